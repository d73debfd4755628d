//! The configuration that a command works with.

use crate::config::Config;
use crate::places;
use crate::text;
use anyhow::Context;
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
    let text = text::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Config::check(&text, &|name| std::env::var(name).ok()).map_err(|report| {
        let count = report.0.len();
        anyhow::anyhow!("{} has {count} problem{}:\n{report}", path.display(), if count == 1 { "" } else { "s" })
    })
}
