//! Files that nobody else may read: they hold lines as they came. One way for each platform.
//!
//! On Windows the rights of the folder that holds the state decide; files inherit them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a file that its owner alone may read and write, or empties the one that is there and takes the rights of others.
///
/// # Errors
/// The file cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    let file = options().write(true).create(true).truncate(true).open(path)?;
    restrict(&file)?;
    Ok(file)
}

/// Opens a file to be locked, which is made if it is missing. Windows locks only what was opened for reading or writing.
///
/// # Errors
/// The file cannot be opened.
pub fn lockable(path: &Path) -> io::Result<File> {
    options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Makes a folder, and those above it, if it is missing; no other user may look into the folder.
///
/// # Errors
/// The folder cannot be made.
pub fn folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match make(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Takes the rights of other users from a file or folder that an earlier version has made, if it is there.
///
/// # Errors
/// The rights cannot be changed.
#[cfg(unix)]
pub fn tighten(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if found.mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o700))
}

#[cfg(not(unix))]
pub fn tighten(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn options() -> OpenOptions {
    OpenOptions::new()
}

#[cfg(unix)]
fn restrict(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    /// A handle that was opened for append alone cannot be locked on Windows: what is read back here was opened for both.
    #[test]
    fn what_is_locked_was_opened_for_reading_and_writing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        std::fs::write(&path, "kept").expect("written");
        let mut file = lockable(&path).expect("opened");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("opened for reading");
        assert_eq!(text, "kept", "what is there stays");
        file.rewind().expect("a file");
        file.write_all(b"K").expect("opened for writing");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "Kept", "not opened for append");
        file.try_lock().expect("free");
        drop(file);
        lockable(&folder.path().join("new")).expect("made");
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").mode() & 0o777;
        let (inner, file) = (folder.path().join("a/b"), folder.path().join("a/b/c"));
        self::folder(&inner).expect("made");
        self::folder(&inner).expect("there already");
        assert_eq!(mode(&inner), 0o700);
        std::fs::write(&file, "old").expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
        create(&file).expect("emptied");
        assert_eq!((mode(&file), std::fs::read(&file).expect("readable").len()), (0o600, 0));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).expect("changed");
        tighten(&file).expect("changed");
        assert_eq!(mode(&file), 0o600);
        tighten(&folder.path().join("missing")).expect("nothing to do");
        lockable(&folder.path().join("lock")).expect("made");
        assert_eq!(mode(&folder.path().join("lock")), 0o600);
    }
}
