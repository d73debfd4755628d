//! The writing end of the journal.
//!
//! Invariants: after a frame that was not written, none is until one begins a segment; a guest has one file, and
//! nothing lies behind a gap in it; nothing is written behind a guest's file before that is part of the journal.

use super::adopt::{SPARES_MAX, adopt_known};
use super::frame::{Frame, GUEST_SALT, MAGIC, SEGMENT_HEAD_BYTES, complete};
use super::name::{guest_name, segment_name};
use super::sync::Syncer;
use crate::durable::disk::{Disk, Segment};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is done before a guest's file is made.
type Announce = Box<dyn Fn() -> io::Result<()> + Send>;

/// Who writes.
enum JournalOwner {
    /// The owner of the state.
    State,
    /// A guest, into its only file, which is announced before it is made.
    Guest { name: String, salt: u64, announce: Announce },
}

/// A guest's file: its name, where it belongs, and its bytes of frames.
struct GuestFileAt {
    name: String,
    position: u64,
    bytes: u64,
}

/// The writing end of the journal.
pub struct Journal {
    disk: Arc<dyn Disk>,
    owner: JournalOwner,
    segment: Option<Arc<dyn Segment>>,
    /// Salt and run of the segment.
    salt: (u64, u128),
    /// Position of the segment's first frame.
    segment_start: u64,
    /// Bytes of the segment's file that are good.
    segment_bytes: u64,
    /// Everything before this is covered by a checkpoint.
    retired: Arc<AtomicU64>,
    /// Bytes that the journal may hold.
    bytes_max: u64,
    /// A guest's only file has a gap, and nothing may come behind it.
    broken: bool,
    syncer: Syncer,
    /// A guest's file that is to be made part of the journal before anything is written behind it.
    guest: Option<GuestFileAt>,
    /// A batch was not written: later ones refer to heads that are not in the file.
    needs_first: bool,
}

impl Journal {
    /// The journal of the owner of the state. `from` is where it begins, the end of what was recovered.
    pub fn new(disk: Arc<dyn Disk>, from: u64) -> Journal {
        let syncer = Syncer::new(disk.clone());
        Journal {
            disk,
            owner: JournalOwner::State,
            segment: None,
            salt: (0, 0),
            segment_start: from,
            segment_bytes: 0,
            retired: Arc::new(AtomicU64::new(from)),
            bytes_max: u64::MAX,
            broken: false,
            syncer,
            guest: None,
            needs_first: false,
        }
    }

    /// The journal of a process that does not own the state: one file, in the name of its run. `announce` shows to
    /// the owner of the state that the file is in use; without it the file is not made.
    pub fn guest(disk: Arc<dyn Disk>, run: u128, announce: impl Fn() -> io::Result<()> + Send + 'static) -> Journal {
        let (salt, announce) = (run as u64 | GUEST_SALT, Box::new(announce));
        let owner = JournalOwner::Guest { name: guest_name(run), salt, announce };
        Journal { owner, ..Journal::new(disk, 0) }
    }

    /// Makes the file of this process's time as a guest part of the journal, at the position where the journal begins.
    /// Returns the position behind it, and whether it was done; if not, it will be before anything else is written.
    pub fn adopt(&mut self, guest: String, position: u64, bytes: u64) -> (u64, io::Result<()>) {
        self.guest = Some(GuestFileAt { name: guest, position, bytes });
        (position + bytes, self.adopt_guest())
    }

    fn adopt_guest(&mut self) -> io::Result<()> {
        let Some(GuestFileAt { name, position, bytes }) = &self.guest else { return Ok(()) };
        match adopt_known(&*self.disk, name, *position, *bytes) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => {
                self.guest = None;
                Ok(())
            }
        }
    }

    /// Goes on with what a guest has not synced yet, which lies where this journal begins now.
    pub fn synced_by(mut self, guest: Syncer) -> Journal {
        self.syncer = guest;
        self
    }

    /// Limits the bytes that the journal may hold. What would exceed it is refused until a checkpoint makes room.
    pub fn limited_to(mut self, bytes_max: u64) -> Journal {
        self.bytes_max = bytes_max;
        self
    }

    /// Refuses whatever comes from now on.
    pub fn give_up(&mut self) {
        self.broken = true;
    }

    /// What syncs this journal, from any thread.
    pub fn syncer(&self) -> Syncer {
        self.syncer.clone()
    }

    /// What notes that a checkpoint covers everything before a position, from any thread.
    pub fn retirer(&self) -> Retirer {
        Retirer { retired: self.retired.clone(), syncer: self.syncer.clone() }
    }

    #[cfg(test)]
    pub(super) fn needs_first(&mut self) {
        self.needs_first = true;
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// Nothing of it is in the journal, and nothing will be until a frame begins a segment.
    pub fn append(&mut self, frame: &mut Frame) -> io::Result<()> {
        if self.needs_first && !frame.is_first {
            return Err(io::Error::other("waiting for the begin of a segment"));
        }
        let result = self.write(frame);
        self.needs_first = result.is_err();
        if let (Err(_), JournalOwner::Guest { .. }) = (&result, &self.owner) {
            // There is no next file: the torn frame has to go, and nothing may be written behind the gap.
            if let Some(segment) = &self.segment {
                let _ = segment.truncate(self.segment_bytes);
            }
            self.broken = true;
        }
        result
    }

    fn write(&mut self, frame: &mut Frame) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("it goes on when the state directory is ours"));
        }
        let position = frame.position;
        self.adopt_guest()?;
        self.check_limit(frame.end())?;
        let fresh = match (&self.segment, &self.owner) {
            (None, _) => true,
            (Some(_), JournalOwner::State) => frame.is_first,
            (Some(_), JournalOwner::Guest { .. }) => false,
        };
        if fresh {
            self.begin(position, frame.run).inspect_err(|_| self.forget_file(position))?;
        }
        let Some(segment) = &self.segment else { return Err(io::Error::other("no segment")) };
        complete(&mut frame.bytes, self.salt, frame.received);
        if let Err(error) = segment.append(&frame.bytes) {
            if matches!(self.owner, JournalOwner::State) {
                // A reader stops at the torn frame, and goes on with the next segment.
                self.segment = None;
                if fresh {
                    self.forget_file(position);
                }
            }
            return Err(error);
        }
        self.syncer.written(self.segment_start, segment, fresh);
        self.segment_bytes += frame.bytes.len() as u64;
        Ok(())
    }

    /// True if something can be written at a position again, as far as that can be known.
    pub fn probe(&mut self, position: u64) -> bool {
        if self.broken || matches!(self.owner, JournalOwner::Guest { .. }) {
            return !self.broken;
        }
        let is_possible =
            self.adopt_guest().is_ok() && self.check_limit(position).is_ok() && self.begin(position, 0).is_ok();
        // The frame that comes begins the segment once more.
        self.segment = None;
        if !is_possible {
            self.forget_file(position);
        }
        is_possible
    }

    fn check_limit(&self, end: u64) -> io::Result<()> {
        let held = match self.owner {
            JournalOwner::State => end.saturating_sub(self.retired.load(Ordering::Relaxed)),
            JournalOwner::Guest { .. } => end,
        };
        if held > self.bytes_max {
            return Err(io::Error::other("limits.journal_bytes is reached, because no checkpoint was possible"));
        }
        Ok(())
    }

    /// Begins a segment with a header.
    fn begin(&mut self, position: u64, run: u128) -> io::Result<()> {
        self.segment = None;
        let (segment, salt) = match &self.owner {
            JournalOwner::Guest { name, salt, announce } => {
                announce()?;
                (self.disk.create(name)?, *salt)
            }
            JournalOwner::State => (new_segment(&*self.disk, position)?, position),
        };
        let mut head = [0; SEGMENT_HEAD_BYTES];
        head[..4].copy_from_slice(MAGIC);
        head[4..12].copy_from_slice(&salt.to_le_bytes());
        head[12..].copy_from_slice(&run.to_le_bytes());
        segment.append(&head)?;
        (self.segment, self.salt) = (Some(segment), (salt, run));
        (self.segment_start, self.segment_bytes) = (position, SEGMENT_HEAD_BYTES as u64);
        Ok(())
    }

    /// Removes a file in which there is no frame; if it stays, it does no harm.
    fn forget_file(&self, position: u64) {
        if matches!(self.owner, JournalOwner::State) {
            let _ = self.disk.remove(&segment_name(position));
        }
    }

    /// Bytes of the frames in a guest's file.
    pub fn guest_bytes(&self) -> u64 {
        self.segment_bytes.saturating_sub(SEGMENT_HEAD_BYTES as u64)
    }
}

/// Notes what a checkpoint covers.
pub struct Retirer {
    retired: Arc<AtomicU64>,
    syncer: Syncer,
}

impl Retirer {
    /// Everything before a position is covered: it does not count towards the limit any more, nor need it be synced.
    pub fn retire(&self, before: u64) {
        self.retired.fetch_max(before, Ordering::Relaxed);
        self.syncer.forget_before(before);
    }
}

/// A file for a new segment: an old one if there is one.
fn new_segment(disk: &dyn Disk, position: u64) -> io::Result<Arc<dyn Segment>> {
    let name = segment_name(position);
    for spare in 0..SPARES_MAX {
        match disk.reuse(&format!("spare-{spare}.old"), &name) {
            Ok(segment) => return Ok(segment),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => break,
        }
    }
    disk.create(&name)
}
