//! The port between the journal and a file system: a folder of files that only grow.
//!
//! It is narrow so that tests can put a disk behind it that fails, fills, tears, stalls, or loses what was not synced.

use super::private;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// A folder of append-only files.
pub trait Disk: Send + Sync {
    /// Names of the files, in any order.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Bytes of all files, as they lie on the disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn bytes(&self) -> io::Result<u64>;

    /// Opens a file to be read from its start.
    ///
    /// # Errors
    /// The file cannot be opened.
    fn read(&self, name: &str) -> io::Result<Box<dyn Read>>;

    /// Makes an empty file, or empties the one that is there.
    ///
    /// # Errors
    /// The file cannot be made.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Segment>>;

    /// Gives a file another name, replacing a file of that name, and opens it to be written again from its start. Bytes
    /// that are not written over stay.
    ///
    /// # Errors
    /// There is no such file ([`io::ErrorKind::NotFound`]), or it cannot be renamed or opened.
    fn reuse(&self, from: &str, to: &str) -> io::Result<Arc<dyn Segment>>;

    /// Makes sure that all of a file survives a power loss.
    ///
    /// # Errors
    /// There is no such file, or it cannot be synced.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The file cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, replacing a file of that name.
    ///
    /// # Errors
    /// The file cannot be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes sure that the names of files survive a power loss.
    ///
    /// # Errors
    /// The folder cannot be synced.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file that is written from its start on.
pub trait Segment: Send + Sync {
    /// Writes behind what has been written through this handle. After an error part of the bytes may be there.
    ///
    /// # Errors
    /// Not all bytes were written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, and goes on from there.
    ///
    /// # Errors
    /// The file cannot be cut.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes sure that all that was written survives a power loss.
    ///
    /// # Errors
    /// The file cannot be synced: what was written since the last sync may be lost.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of a real file system.
pub struct Folder(PathBuf);

impl Folder {
    /// A folder, which is made with its first file.
    pub fn new(path: PathBuf) -> Folder {
        Folder(path)
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(e) => return Err(e),
        };
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for name in self.list()? {
            match fs::metadata(self.0.join(name)) {
                Ok(file) => bytes += file.len(),
                // It has just been removed.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(bytes)
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(File::open(self.0.join(name))?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Segment>> {
        let path = self.0.join(name);
        private::folder(&self.0)?;
        Ok(Arc::new(private::create(&path)?))
    }

    fn reuse(&self, from: &str, to: &str) -> io::Result<Arc<dyn Segment>> {
        let path = self.0.join(to);
        fs::rename(self.0.join(from), &path)?;
        // An earlier version may have made it.
        private::tighten(&path)?;
        Ok(Arc::new(OpenOptions::new().write(true).open(path)?))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        // For writing, because Windows syncs nothing that was opened to be read, or for append alone.
        OpenOptions::new().write(true).open(self.0.join(name))?.sync_data()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync_names(&self) -> io::Result<()> {
        // A folder cannot be opened as a file on Windows, where names are journaled by the file system.
        if cfg!(windows) {
            return Ok(());
        }
        match File::open(&self.0) {
            Ok(folder) => folder.sync_all(),
            // It is made with its first file: it has no names yet.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }
}

impl Segment for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        let mut file = self;
        file.seek(SeekFrom::Start(length)).map(|_| ())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
