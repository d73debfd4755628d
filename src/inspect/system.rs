//! Where the files of the system are: below the root, which a test may move.

use std::path::PathBuf;

/// Returns the place of a file of the system, as in `/etc/telegraf`. A build with assertions looks below `TELEGRAF_ROLLUP_ROOT`.
pub fn at(path: &str) -> PathBuf {
    if cfg!(debug_assertions)
        && let Some(root) = std::env::var_os("TELEGRAF_ROLLUP_ROOT")
    {
        return PathBuf::from(root).join(path.trim_start_matches('/'));
    }
    PathBuf::from(path)
}
