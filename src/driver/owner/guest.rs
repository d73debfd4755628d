//! What a process has of a state directory that it does not own: a journal file of its own, and the mark beside it.
//!
//! Invariant: the mark is set before the file is made, and held until the process owns the directory or is a plain
//! pipe.

use crate::driver::intake::journaling::Journaling;
use crate::driver::troubles::Troubles;
use crate::durable::claim::GuestMark;
use crate::durable::disk::{Disk, Folder};
use crate::durable::journal::name;
use crate::durable::journal::write::Journal;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of this process while it does not own the state.
pub struct Guest {
    pub run: u128,
    pub disk: Arc<dyn Disk>,
    /// Where the journal is.
    pub folder: PathBuf,
    mark: Arc<GuestMark>,
}

impl Guest {
    /// A guest of a state directory, and what journals its lines: at most so many bytes. Troubles of the journal are told to a board.
    pub fn new(state_dir: &Path, run: u128, bytes_max: u64, troubles: Troubles) -> (Guest, Journaling) {
        let folder = state_dir.join("journal");
        let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.clone()));
        let mark = Arc::new(GuestMark::new(&folder, &name::guest_name(run)));
        let announce = {
            let mark = Arc::downgrade(&mark);
            move || mark.upgrade().ok_or_else(|| io::Error::other("not a guest any more")).and_then(|mark| mark.set())
        };
        let journal = Journal::guest(disk.clone(), run, announce).limited_to(bytes_max);
        (Guest { run, disk, folder, mark }, Journaling::telling(journal, troubles))
    }

    /// Returns the files of other guests.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn others(&self) -> io::Result<Vec<String>> {
        let own = name::guest_name(self.run);
        Ok(self.disk.list()?.into_iter().filter(|name| name::is_guest(name) && *name != own).collect())
    }

    /// Lets go of the mark: the file is part of the journal, or gone.
    pub fn leave(self) {
        drop(self.mark);
    }
}
