//! What the log says of a state directory that this process may not or cannot use, and when it can again.

use crate::durable::claim::Foreign;
use crate::durable::user;
use std::io;
use std::path::Path;

/// Whether the directory was of use when it was looked at last.
#[derive(Default)]
pub struct Barred(bool);

impl Barred {
    /// It, or something in it, is another user's. The log says so once a minute at most.
    pub fn foreign(&mut self, state_dir: &Path, foreign: &Foreign) {
        self.0 = true;
        let (path, owner, chown) = (foreign.path.display(), &foreign.owner, user::chown(state_dir));
        let first = if user::is_root() { format!("let Telegraf run as {owner}, or ") } else { String::new() };
        log::warn!(
            "{path} belongs to another user ({owner}; this process runs as {}): lines pass through, nothing is counted; {first}type, \
             as root, `{chown}`; looking again every 10 s",
            user::name()
        );
    }

    /// It cannot be used now.
    pub fn unusable(&mut self, state_dir: &Path, error: &io::Error) {
        self.0 = true;
        let remedy = user::remedy(state_dir, error);
        log::error!("{} cannot be used: {error}; trying again every 10 s{remedy}", state_dir.display());
    }

    /// It can be used.
    pub fn free(&mut self, state_dir: &Path) {
        if std::mem::take(&mut self.0) {
            log::info!("{} can be used now: lines are counted from here on", state_dir.display());
        }
    }
}
