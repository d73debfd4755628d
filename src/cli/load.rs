//! The configuration that a command works with.

use crate::config::Config;
use crate::config_file;
use crate::places;
use clap::Args;
use std::path::{Path, PathBuf};

/// Which configuration a command works with.
#[derive(Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE", default_value_os_t = places::config())]
    pub path: PathBuf,
}

/// Reads and checks a configuration; the error lists every problem.
///
/// # Errors
/// The file cannot be read, or has problems.
pub fn load(path: &Path) -> anyhow::Result<Config> {
    let text = config_file::read(path)?;
    Config::check(&text, &|name| std::env::var(name).ok())
        .map_err(|report| anyhow::anyhow!("{} has {}:\n{report}", path.display(), report.count()))
}
