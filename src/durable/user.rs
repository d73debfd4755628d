//! The user that this process runs as, and what a person types, as root, so that it may use a directory.
//!
//! On Windows the rights of the folder decide, and nothing is another user's here.

#[cfg(unix)]
use crate::users;
use std::io;
use std::path::Path;

/// Returns the name of the user that a file or folder belongs to, if that is not the one that this process runs as. What does not
/// exist is nobody's.
///
/// # Errors
/// It cannot be looked at.
#[cfg(unix)]
pub fn other_owner(path: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        Ok(found) if found.uid() == rustix::process::geteuid().as_raw() => Ok(None),
        Ok(found) => Ok(Some(users::user(found.uid()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(not(unix))]
pub fn other_owner(_: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

/// The name of the user that this process runs as, or its number where it has no name.
#[cfg(unix)]
pub fn name() -> String {
    users::user(rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
pub fn name() -> String {
    "this user".to_string()
}

/// True if this process may do everything.
#[cfg(unix)]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub fn is_root() -> bool {
    false
}

/// The command that gives a folder and all that is in it to the user of this process.
#[cfg(unix)]
pub fn chown(folder: &Path) -> String {
    let (user, group) = ids();
    // `chown -R` does not go through a link.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    format!("chown -R {user}:{group} {}", users::quoted(&folder))
}

#[cfg(not(unix))]
pub fn chown(folder: &Path) -> String {
    format!("icacls \"{}\" /grant *S-1-3-4:(OI)(CI)F /T", folder.display())
}

/// The command that makes a folder for the user of this process.
#[cfg(unix)]
pub fn install(folder: &Path) -> String {
    let (user, group) = ids();
    format!("install -d -o {user} -g {group} {}", users::quoted(folder))
}

#[cfg(not(unix))]
pub fn install(folder: &Path) -> String {
    format!("mkdir \"{}\"", folder.display())
}

/// The name of a user by its number, or the number where it has no name.
#[cfg(unix)]
pub fn name_of(id: u32) -> String {
    users::user(id)
}

/// The name of a group by its number, or the number where it has no name.
#[cfg(unix)]
pub fn group_of(id: u32) -> String {
    users::group(id)
}

#[cfg(not(unix))]
pub fn group_of(id: u32) -> String {
    id.to_string()
}

/// A path as a shell takes it.
#[cfg(unix)]
pub fn quoted(path: &Path) -> String {
    users::quoted(path)
}

#[cfg(not(unix))]
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// What helps against an error with a folder that this process has to write, as the end of a sentence; empty if nothing is known.
#[cfg(unix)]
pub fn remedy(folder: &Path, error: &io::Error) -> String {
    let quoted = users::quoted(folder);
    match error.kind() {
        io::ErrorKind::PermissionDenied if !folder.exists() => format!("; make it, as root: `{}`", install(folder)),
        io::ErrorKind::PermissionDenied => format!("; as root: `chmod -R u+rwX {quoted}`"),
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("; it is read-only for this process: under systemd, `ReadWritePaths={quoted}` in the unit helps")
        }
        _ => String::new(),
    }
}

#[cfg(not(unix))]
pub fn remedy(folder: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("; the account that runs Telegraf must be able to write to {}", folder.display())
        }
        _ => String::new(),
    }
}

/// Says what keeps this process from reading a file, and what a person types, as root, so that it may.
#[cfg(unix)]
pub fn in_the_way(file: &Path) -> String {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let mut ways: Vec<&Path> = file.ancestors().collect();
    ways.reverse();
    // What cannot be looked at lies in a folder that may not be entered.
    let closed = ways.windows(2).find(|pair| std::fs::metadata(pair[1]).is_err());
    let (place, rights) = closed.map_or((file.as_path(), "g+r"), |pair| (pair[0], "g+x"));
    let (quoted, (_, group)) = (users::quoted(place), ids());
    let owner = owner(place).unwrap_or_default();
    format!("{}{owner}; as root: `chgrp {group} {quoted} && chmod {rights} {quoted}`", place.display())
}

#[cfg(not(unix))]
pub fn in_the_way(file: &Path) -> String {
    format!("{} is closed to it; give the account that runs Telegraf the right to read it", file.display())
}

/// Whose a file or folder is, and its mode, as the end of a sentence; `None` if it cannot be looked at.
#[cfg(unix)]
fn owner(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    let (user, group) = (users::user(found.uid()), users::group(found.gid()));
    Some(format!(" belongs to {user}:{group}, mode {:04o}", found.mode() & 0o7777))
}

/// The user and the group of this process, as commands take them.
#[cfg(unix)]
fn ids() -> (String, String) {
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    (users::user(user), users::group(group))
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_can_be_typed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::create_dir(&real).expect("made");
        std::os::unix::fs::symlink(&real, &link).expect("made");
        let real = real.canonicalize().expect("there");
        assert!(chown(&link).ends_with(&format!(" {}", real.display())), "{}", chown(&link));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(remedy(&folder.path().join("new"), &denied).contains("install -d -o "));
        assert!(remedy(&real, &denied).contains("chmod -R u+rwX "));
        assert_eq!(remedy(&real, &io::Error::other("odd")), "");
    }
}
