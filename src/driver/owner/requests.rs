//! What another process asks of the owner of a state directory: a file there, taken when it has been done.
//!
//! `telegraf-rollup resend` writes one. Deliberately absent: a socket, signals; a file works on every system, with any user
//! who may write there, and waits for an owner that does not run yet.

use std::io;
use std::path::{Path, PathBuf};

/// A request to write again what the state holds of windows that end after a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend {
    /// Nanoseconds since the epoch.
    pub from: i64,
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("resend.request")
}

/// Leaves the request for the owner.
///
/// # Errors
/// The directory cannot be written.
pub fn ask(state_dir: &Path, resend: Resend) -> io::Result<()> {
    // Whole or not at all.
    let draft = state_dir.join("resend.draft");
    std::fs::write(&draft, format!("{}\n", resend.from))?;
    for_everybody(&draft)?;
    std::fs::rename(draft, path(state_dir))
}

/// Lets the owner read it, whoever has asked.
#[cfg(unix)]
fn for_everybody(draft: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(draft, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn for_everybody(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The request, if there is one.
pub fn asked(state_dir: &Path) -> Option<Resend> {
    let path = path(state_dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) => {
            log::warn!("{} cannot be read: {e}; remove it, and type `telegraf-rollup resend` again", path.display());
            return None;
        }
    };
    Some(Resend { from: text.trim().parse().unwrap_or(i64::MIN) })
}

/// Notes that the request has been done.
pub fn done(state_dir: &Path) {
    if let Err(e) = std::fs::remove_file(path(state_dir))
        && e.kind() != io::ErrorKind::NotFound
    {
        log::warn!("{} cannot be removed: {e}; remove it, or it is done again and again", path(state_dir).display());
    }
}
