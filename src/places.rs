//! Where the packages put things, on each platform.
//!
//! Deliberately absent: looking for things. A command that finds another file than `run` reads would judge the wrong one.

use std::path::PathBuf;

/// Returns the configuration file that is read where none is named.
pub fn config() -> PathBuf {
    if cfg!(windows) { program_data().join("rollup.toml") } else { PathBuf::from("/etc/telegraf-rollup/rollup.toml") }
}

/// Returns the state directory of a configuration that does not name one.
pub fn state_dir() -> PathBuf {
    if cfg!(windows) { program_data() } else { PathBuf::from("/var/lib/telegraf-rollup") }
}

/// Returns our folder among the data of all users on Windows.
fn program_data() -> PathBuf {
    let data = std::env::var_os("ProgramData").unwrap_or_else(|| "C:\\ProgramData".into());
    PathBuf::from(data).join("telegraf-rollup")
}
