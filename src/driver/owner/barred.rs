//! What the log says of a state directory that this process may not or cannot use, and when it can again.

use crate::driver::troubles::{Trouble, Troubles};
use crate::durable::claim::Foreign;
use crate::durable::user;
use crate::words;
use log::Level;
use std::io;
use std::path::Path;

/// It, or something in it, is another user's.
pub fn foreign(troubles: &Troubles, state_dir: &Path, foreign: &Foreign) {
    let (path, owner, chown) = (foreign.path.display(), &foreign.owner, user::chown(state_dir));
    let first = if user::is_root() { format!("let Telegraf run as {owner}, or ") } else { String::new() };
    let text = format!(
        "{path} belongs to another user ({owner}; this process runs as {}): lines pass through, nothing is counted; {first}type, \
         as root, `{chown}`; looking again every 10 s",
        user::name()
    );
    troubles.hold(Trouble::Directory, Level::Warn, &text);
}

/// It cannot be used now.
pub fn unusable(troubles: &Troubles, state_dir: &Path, error: &io::Error) {
    let remedy = user::remedy(state_dir, error);
    let text = format!("{} cannot be used: {error}; trying again every 10 s{remedy}", state_dir.display());
    troubles.hold(Trouble::Directory, Level::Error, &text);
}

/// It can be used; `passed` lines have passed uncounted while it could not.
pub fn free(troubles: &Troubles, state_dir: &Path, passed: impl FnOnce() -> u64) {
    troubles.over(Trouble::Directory, |lasted, _| {
        let cost = match passed() {
            0 => String::new(),
            passed => format!("; {} passed uncounted", words::some(passed, "line")),
        };
        format!("{} can be used now: lines are counted from here on, after {lasted}{cost}", state_dir.display())
    });
}
