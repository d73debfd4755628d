//! Who owns a state directory: one process at a time, by a lock on a file.
//!
//! The lock goes with the process, however it ends. A process that runs as another user than the one the directory
//! belongs to (root's `telegraf --once`) never claims it: it would leave files behind that the service cannot write. Neither does
//! one that finds such files in it.

use super::{private, user};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The right to a state directory; it ends when this is dropped.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

/// Why a directory was not claimed.
#[derive(Debug)]
pub enum Refusal {
    /// Another process owns it.
    Owned,
    /// It belongs to another user, or something in it does.
    Foreign(Foreign),
    /// It cannot be used now.
    Unusable(io::Error),
}

/// What of a state directory is another user's.
#[derive(Debug)]
pub struct Foreign {
    /// The directory, or what lies in it.
    pub path: PathBuf,
    /// The name or the number of the user that it belongs to.
    pub owner: String,
}

/// Files and folders of a state directory that its owner has to write.
const OURS: [&str; 5] = ["lock", "state.db", "state.db-wal", "state.db-shm", "journal"];

/// Claims a state directory, which is made if it is missing.
///
/// # Errors
/// Why it was not claimed.
pub fn claim(folder: &Path) -> Result<Claim, Refusal> {
    usable(folder)?;
    lock(&folder.join("lock"))
}

/// Looks whether a state directory may be used by this user; it is made if it is missing.
///
/// # Errors
/// Why not.
pub fn usable(folder: &Path) -> Result<(), Refusal> {
    fs::create_dir_all(folder).map_err(Refusal::Unusable)?;
    match foreign(folder).map_err(Refusal::Unusable)? {
        None => Ok(()),
        Some(foreign) => Err(Refusal::Foreign(foreign)),
    }
}

/// Looks for the first thing of a state directory that is another user's.
///
/// # Errors
/// It cannot be looked at.
pub fn foreign(folder: &Path) -> io::Result<Option<Foreign>> {
    let look = |path: PathBuf| -> io::Result<Option<Foreign>> {
        Ok(user::other_owner(&path)?.map(|owner| Foreign { path, owner }))
    };
    for path in std::iter::once(folder.to_path_buf()).chain(OURS.iter().map(|name| folder.join(name))) {
        if let Some(foreign) = look(path)? {
            return Ok(Some(foreign));
        }
    }
    let entries = match fs::read_dir(folder.join("journal")) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    for entry in entries {
        if let Some(foreign) = look(entry?.path())? {
            return Ok(Some(foreign));
        }
    }
    Ok(None)
}

/// Whether a state directory has an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    Owned,
    Free,
    /// Who asks may not look.
    Unknown,
}

/// Looks whether a process owns a state directory, and touches nothing: the lock is shared with nobody, for less than a moment, and a
/// process that claims it just then tries again.
pub fn tenancy(folder: &Path) -> Tenancy {
    let file = match File::open(folder.join("lock")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Tenancy::Free,
        Err(_) => return Tenancy::Unknown,
    };
    match file.try_lock_shared() {
        Ok(()) => Tenancy::Free,
        Err(TryLockError::WouldBlock) => Tenancy::Owned,
        Err(TryLockError::Error(_)) => Tenancy::Unknown,
    }
}

fn lock(path: &Path) -> Result<Claim, Refusal> {
    let file = private::lockable(path).map_err(Refusal::Unusable)?;
    match file.try_lock() {
        // Windows locks only what was opened for reading or writing; Wine locks anything. What cannot be read is no lock anywhere,
        // so that a test on any system sees it.
        Ok(()) => match (&file).read(&mut [0]) {
            Ok(_) => Ok(Claim { _lock: file }),
            Err(e) => Err(Refusal::Unusable(e)),
        },
        Err(TryLockError::WouldBlock) => Err(Refusal::Owned),
        Err(TryLockError::Error(e)) => Err(Refusal::Unusable(e)),
    }
}

/// A guest's sign of life beside its journal file: locked while the guest runs.
///
/// Invariant: where the file is, the mark is, which is set before the file is made.
#[derive(Debug)]
pub struct GuestMark {
    path: PathBuf,
    claim: Mutex<Option<Claim>>,
}

fn mark_path(journal: &Path, guest: &str) -> PathBuf {
    journal.join(guest).with_extension("lock")
}

impl GuestMark {
    /// The mark of a guest's file, not set yet.
    pub fn new(journal: &Path, guest: &str) -> GuestMark {
        GuestMark { path: mark_path(journal, guest), claim: Mutex::default() }
    }

    /// Marks the file as in use, if it is not yet.
    ///
    /// # Errors
    /// The mark cannot be made.
    pub fn set(&self) -> io::Result<()> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.is_some() {
            return Ok(());
        }
        if let Some(journal) = self.path.parent() {
            private::folder(journal)?;
        }
        *claim = Some(lock(&self.path).map_err(|refusal| match refusal {
            Refusal::Unusable(e) => e,
            Refusal::Owned | Refusal::Foreign(_) => io::Error::other("another process has the mark of our file"),
        })?);
        Ok(())
    }
}

impl Drop for GuestMark {
    fn drop(&mut self) {
        if self.claim.get_mut().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            // If it stays, the next owner removes it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// True if no living process writes a guest's file; its mark is removed then.
pub fn is_abandoned(journal: &Path, guest: &str) -> bool {
    let path = mark_path(journal, guest);
    if !path.exists() {
        return true;
    }
    match lock(&path) {
        Ok(_claim) => fs::remove_file(&path).is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let first = claim(&path).expect("free");
        assert!(matches!(claim(&path), Err(Refusal::Owned)));
        assert_eq!(tenancy(&path), Tenancy::Owned);
        drop(first);
        assert_eq!(tenancy(&path), Tenancy::Free);
        claim(&path).expect("free again");
    }

    #[test]
    fn a_guest_is_abandoned_when_its_mark_is_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = GuestMark::new(folder.path(), "guest-1.seg");
        mark.set().expect("free");
        mark.set().expect("ours");
        assert!(!is_abandoned(folder.path(), "guest-1.seg"));
        drop(mark);
        assert!(is_abandoned(folder.path(), "guest-1.seg"));
    }
}
