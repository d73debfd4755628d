//! The journal: matched lines on disk before they are forwarded, so that a kill cannot lose them.
//!
//! ```text
//! journal/00000000000000000000.seg        named by the position of its first frame
//! journal/00000000000004194471.seg
//! journal/00000000000008391114.guest.seg  made by a process that did not own the state then
//! journal/guest-5f2c….seg                 of a process that does not own the state (yet)
//! journal/spare-0.old                     an old segment, to be written again as a new one
//!
//! segment   "TRJ2" | salt u64 | run u128 | frame frame frame ...
//! frame     length u32 | crc u32 | type u8 | received i64 | payload
//! ```
//!
//! Numbers are little-endian. `length` counts from `type` on, `crc` is CRC-32 over salt, run and the same bytes, `received`
//! is the time of arrival in nanoseconds since the epoch. The only type so far is 2: entries, see [`super::entries`]. A
//! *position* is a number of bytes of frames since the journal began, headers not counted. What could not be written leaves
//! a gap in the positions. `run` is the process that took the lines.
//!
//! A new segment takes the place of an old one where there is one: an unlink of some MiB takes milliseconds, and so does
//! finding room for them again. The salt is the position in the name, so that an old header is not taken for a new one,
//! and no two segments have salt and run in common, so that neither are old frames. A guest's salt has its highest bit set.
//!
//! One plain write for each batch: no memory mapping, because a full disk turns that into SIGBUS. After a write that failed
//! the journal goes on in a new segment; a reader stops at the first frame that is torn, and goes on with the next segment.
//! The lines behind a gap are another run's: what is known of a run is the beginning of its history, never a part with a gap.
//!
//! What a checkpoint covers need not be synced any more; a segment that is synced is synced from its start.
//!
//! Invariants: positions grow; a frame is read back whole or not at all; a segment is removed only when a checkpoint
//! covers all of it.

use super::disk::{Disk, Segment};
use super::entries::{self, Frame};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// First bytes of a segment.
const MAGIC: &[u8; 4] = b"TRJ2";
/// Bytes of a segment before its first frame.
const SEGMENT_HEAD_BYTES: usize = 4 + 8 + 16;
/// Bytes of a frame before its payload.
pub const HEAD_BYTES: usize = 4 + 4 + 1 + 8;
/// A segment that has reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// Longest payload that a reader believes in.
const PAYLOAD_BYTES_MAX: usize = 1 << 28;
/// The type of a frame with heads written once.
const ENTRIES: u8 = 2;
/// Set in the salt of a guest's file.
const GUEST_SALT: u64 = 1 << 63;
/// Old segments that are kept to be written again.
const SPARES_MAX: usize = 4;

/// One frame as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines<'a> {
    /// The run that has taken them.
    pub run: u128,
    pub received: i64,
    /// Whole lines.
    pub lines: &'a [u8],
    /// Bytes of the whole frame.
    pub length: u64,
}

fn checksum((salt, run): (u64, u128), body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&run.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Reads the frame at the start of `bytes`: time of arrival and payload. `None` if it is torn or damaged.
fn decode(bytes: &[u8], salt: (u64, u128)) -> Option<(i64, &[u8])> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (length, crc) = (number(0)? as usize, number(4)?);
    if !(HEAD_BYTES - 8..=PAYLOAD_BYTES_MAX).contains(&length) {
        return None;
    }
    let body = bytes.get(8..8 + length)?;
    if body[0] != ENTRIES || checksum(salt, body) != crc {
        return None;
    }
    Some((i64::from_le_bytes(body[1..9].try_into().ok()?), &body[9..]))
}

/// Calls `each` with every whole frame of a segment, up to the first that is not.
fn frames(name: &str, segment: &[u8], mut each: impl FnMut(Lines<'_>)) {
    let Some((head, mut rest)) = segment.split_at_checked(SEGMENT_HEAD_BYTES) else { return };
    let (Ok(salt), Ok(run)) = (head[4..12].try_into(), head[12..].try_into()) else { return };
    let (salt, run) = (u64::from_le_bytes(salt), u128::from_le_bytes(run));
    let expected = match Name::of(name) {
        Some(Name::Own(position)) => salt == position,
        Some(Name::Adopted(_) | Name::Guest) => salt & GUEST_SALT != 0,
        None => false,
    };
    if &head[..4] != MAGIC || !expected {
        return;
    }
    let mut heads = HashMap::new();
    let mut lines = Vec::new();
    while let Some((received, payload)) = decode(rest, (salt, run)) {
        if entries::expand(payload, &mut heads, &mut lines).is_none() {
            return;
        }
        let length = HEAD_BYTES + payload.len();
        each(Lines { run, received, lines: &lines, length: length as u64 });
        rest = &rest[length..];
    }
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Own(u64),
    Adopted(u64),
    Guest,
}

impl Name {
    fn of(name: &str) -> Option<Name> {
        if is_guest(name) {
            return Some(Name::Guest);
        }
        let stem = name.strip_suffix(".seg")?;
        let (digits, adopted) = stem.strip_suffix(".guest").map_or((stem, false), |digits| (digits, true));
        let position = (digits.len() == 20).then(|| digits.parse().ok())??;
        Some(if adopted { Name::Adopted(position) } else { Name::Own(position) })
    }

    fn position(self) -> Option<u64> {
        match self {
            Name::Own(position) | Name::Adopted(position) => Some(position),
            Name::Guest => None,
        }
    }
}

fn segment_name(position: u64) -> String {
    format!("{position:020}.seg")
}

/// The name of a guest's file.
pub fn guest_name(run: u128) -> String {
    format!("guest-{run:032x}.seg")
}

/// True for the name of a guest's file.
pub fn is_guest(name: &str) -> bool {
    name.starts_with("guest-") && name.ends_with(".seg")
}

/// What must be synced: files with bytes that a power loss would take.
#[derive(Clone)]
pub struct Syncer {
    disk: Arc<dyn Disk>,
    state: Arc<Mutex<Unsynced>>,
    /// Held while something is being synced: whoever comes then has to wait for that too.
    working: Arc<Mutex<()>>,
    /// A sync has failed since this was asked last.
    has_failed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Unsynced {
    /// Segments with bytes that were not synced, each with the position of its first frame; the last one may still grow.
    segments: Vec<(u64, Arc<dyn Segment>)>,
    /// Files that an earlier process has written, up to position `found_until`.
    found: Vec<String>,
    found_until: u64,
    names_changed: bool,
}

impl Syncer {
    fn new(disk: Arc<dyn Disk>) -> Syncer {
        Syncer { disk, state: Arc::default(), working: Arc::default(), has_failed: Arc::default() }
    }

    fn written(&self, start: u64, segment: &Arc<dyn Segment>, is_new: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.names_changed |= is_new;
        if !state.segments.last().is_some_and(|(_, last)| Arc::ptr_eq(last, segment)) {
            state.segments.push((start, segment.clone()));
        }
    }

    /// Forgets segments that lie before a position: a checkpoint covers them.
    fn forget_before(&self, position: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A segment ends where the next one starts; the last one may still grow.
        let covered = state.segments.iter().skip(1).take_while(|(start, _)| *start <= position).count();
        state.segments.drain(..covered);
        if state.found_until <= position {
            state.found.clear();
        }
    }

    /// Adds what a recovery has found: whoever wrote it may not have lived to sync it.
    pub fn found(&self, recovered: &Recovered) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.found.clone_from(&recovered.files);
        state.found_until = recovered.position;
        state.names_changed = true;
    }

    /// True, once, after a sync that failed. The system may have dropped what it could not write, and it says so only
    /// once: a later sync that succeeds does not bring it back, a checkpoint does.
    pub fn takes_failure(&self) -> bool {
        self.has_failed.swap(false, Ordering::Relaxed)
    }

    /// Makes all that was appended before this call survive a power loss. Appends may go on meanwhile.
    ///
    /// # Errors
    /// Something was not synced; it will be tried again by the next call.
    pub fn sync(&self) -> io::Result<()> {
        let _working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        let work = || {
            if taken.names_changed {
                self.disk.sync_names()?;
            }
            for name in &taken.found {
                match self.disk.sync(name) {
                    // A checkpoint has covered it meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
            taken.segments.iter().try_for_each(|(_, segment)| segment.sync())
        };
        let result = work();
        if result.is_err() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut *state, taken);
            self.has_failed.store(true, Ordering::Relaxed);
            state.names_changed |= newer.names_changed;
            if !newer.found.is_empty() {
                (state.found, state.found_until) = (newer.found, newer.found_until);
            }
            for segment in newer.segments {
                if !state.segments.iter().any(|(_, s)| Arc::ptr_eq(s, &segment.1)) {
                    state.segments.push(segment);
                }
            }
        }
        result
    }
}

/// What is done before a guest's file is made.
type Announce = Box<dyn Fn() -> io::Result<()> + Send>;

/// Who writes.
enum Owner {
    /// The owner of the state.
    State,
    /// A guest, into its only file, which is announced before it is made.
    Guest { name: String, salt: u64, announce: Announce },
}

/// A guest's file: its name, where it belongs, and its bytes of frames.
struct Guest {
    name: String,
    position: u64,
    bytes: u64,
}

/// The writing end of the journal.
pub struct Journal {
    disk: Arc<dyn Disk>,
    owner: Owner,
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
    guest: Option<Guest>,
    /// A batch was not written: later ones refer to heads that are not in the file.
    needs_first: bool,
}

impl Journal {
    /// The journal of the owner of the state. `from` is where it begins, the end of what was recovered.
    pub fn new(disk: Arc<dyn Disk>, from: u64) -> Journal {
        let syncer = Syncer::new(disk.clone());
        Journal {
            disk,
            owner: Owner::State,
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
    /// whoever owns the state that the file is in use; without it the file is not made.
    pub fn guest(disk: Arc<dyn Disk>, run: u128, announce: impl Fn() -> io::Result<()> + Send + 'static) -> Journal {
        let (salt, announce) = (run as u64 | GUEST_SALT, Box::new(announce));
        let owner = Owner::Guest { name: guest_name(run), salt, announce };
        Journal { owner, ..Journal::new(disk, 0) }
    }

    /// Makes the file of this process's time as a guest part of the journal, at the position where the journal begins.
    /// Gives the position behind it, and whether it was done; if not, it will be before anything else is written.
    pub fn adopt(&mut self, guest: String, position: u64, bytes: u64) -> (u64, io::Result<()>) {
        self.guest = Some(Guest { name: guest, position, bytes });
        (position + bytes, self.adopt_guest())
    }

    fn adopt_guest(&mut self) -> io::Result<()> {
        let Some(Guest { name, position, bytes }) = &self.guest else { return Ok(()) };
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

    /// What syncs this journal, from any thread.
    pub fn syncer(&self) -> Syncer {
        self.syncer.clone()
    }

    /// What notes that a checkpoint covers everything before a position, from any thread.
    pub fn retirer(&self) -> Retirer {
        Retirer { retired: self.retired.clone(), syncer: self.syncer.clone() }
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
        if let (Err(_), Owner::Guest { .. }) = (&result, &self.owner) {
            // There is no next file: what is there of the frame has to go, and nothing may come behind the gap.
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
            (Some(_), Owner::State) => frame.is_first,
            (Some(_), Owner::Guest { .. }) => false,
        };
        if fresh {
            self.begin(position, frame.run).inspect_err(|_| self.forget_file(position))?;
        }
        let Some(segment) = &self.segment else { return Err(io::Error::other("no segment")) };
        complete(&mut frame.bytes, self.salt, frame.received);
        if let Err(error) = segment.append(&frame.bytes) {
            if matches!(self.owner, Owner::State) {
                // A reader stops at what is there of it, and goes on with the next segment.
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
        if matches!(self.owner, Owner::Guest { .. }) {
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
            Owner::State => end.saturating_sub(self.retired.load(Ordering::Relaxed)),
            Owner::Guest { .. } => end,
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
            Owner::Guest { name, salt, announce } => {
                announce()?;
                (self.disk.create(name)?, *salt)
            }
            Owner::State => (new_segment(&*self.disk, position)?, position),
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
        if matches!(self.owner, Owner::State) {
            let _ = self.disk.remove(&segment_name(position));
        }
    }

    /// Bytes of the frames in a guest's file.
    pub fn guest_bytes(&self) -> u64 {
        self.segment_bytes.saturating_sub(SEGMENT_HEAD_BYTES as u64)
    }
}

/// Fills in the head of a frame.
fn complete(frame: &mut [u8], salt: (u64, u128), received: i64) {
    let (head, body) = frame.split_at_mut(8);
    body[0] = ENTRIES;
    body[1..9].copy_from_slice(&received.to_le_bytes());
    // A batch is far below 4 GiB: a read is 256 KiB, a line at most 64 MiB.
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&checksum(salt, body).to_le_bytes());
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

/// Removes the segments that lie before a position, or keeps them as spares. The journal may be written meanwhile.
///
/// # Errors
/// A file cannot be removed; it will be by a later call.
pub fn remove_before(disk: &dyn Disk, before: u64) -> io::Result<()> {
    let names = disk.list()?;
    let mut starts: Vec<(u64, &String)> =
        names.iter().filter_map(|name| Name::of(name)?.position().map(|position| (position, name))).collect();
    starts.sort_unstable();
    let mut free = (0..SPARES_MAX).map(|n| format!("spare-{n}.old")).filter(|spare| !names.contains(spare));
    for (start, name) in &starts {
        // A segment ends where the next one starts; the last one may still grow.
        let next = starts.iter().map(|(next, _)| *next).find(|next| next > start);
        if next.is_none_or(|next| next > before) {
            break;
        }
        let spare = if matches!(Name::of(name), Some(Name::Own(_))) { free.next() } else { None };
        let done = spare.map_or_else(|| disk.remove(name), |spare| disk.rename(name, &spare));
        match done {
            // Another removal was faster.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes the segments from a position on, the end of what was recovered: no frame of theirs is whole. If they stayed,
/// the segment before them would be taken to end where they begin.
///
/// # Errors
/// A file cannot be removed: the journal must not go on at this position.
pub fn remove_from(disk: &dyn Disk, position: u64) -> io::Result<()> {
    for name in disk.list()? {
        if Name::of(&name).and_then(Name::position).is_some_and(|start| start >= position) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// What [`read`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The position behind the last frame: where the journal goes on.
    pub position: u64,
    /// Frames that were handed out.
    pub frames: u64,
    /// Bytes of frames that are not there: they could not be written, or are damaged.
    pub missing_bytes: u64,
    /// The files that hold the frames.
    pub files: Vec<String>,
}

/// Reads the journal: calls `each` with every whole frame behind position `from`, in order.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn read(disk: &dyn Disk, from: u64, mut each: impl FnMut(Lines<'_>)) -> io::Result<Recovered> {
    let mut names: Vec<(u64, String)> =
        disk.list()?.into_iter().filter_map(|n| Name::of(&n)?.position().map(|p| (p, n))).collect();
    names.sort();
    let mut found = Recovered { position: from, ..Recovered::default() };
    for (start, name) in &names {
        // A segment ends where the next one starts. A torn one may have left its position to another.
        let next = names.iter().map(|(next, _)| *next).find(|next| next > start);
        if next.is_some_and(|next| next <= from) {
            continue;
        }
        let bytes = disk.read(name)?;
        let before = found.frames;
        let mut position = *start;
        frames(name, &bytes, |frame| {
            if position >= found.position {
                found.missing_bytes += position - found.position;
                found.frames += 1;
                each(frame);
            }
            position += frame.length;
            found.position = found.position.max(position);
        });
        if found.frames > before {
            found.files.push(name.clone());
        }
    }
    Ok(found)
}

/// Time of arrival of the first frame of a guest's file; `None` if it has none.
///
/// # Errors
/// The file cannot be read.
pub fn first_received(disk: &dyn Disk, guest: &str) -> io::Result<Option<i64>> {
    let mut first = None;
    frames(guest, &disk.read(guest)?, |frame| first = first.or(Some(frame.received)));
    Ok(first)
}

/// Makes a guest's file the next segment of the journal: its frames come behind all others. Returns the position
/// behind it.
///
/// # Errors
/// The file cannot be read or renamed; it stays as it is.
pub fn adopt(disk: &dyn Disk, guest: &str, position: u64) -> io::Result<u64> {
    let mut length = 0;
    frames(guest, &disk.read(guest)?, |frame| length += frame.length);
    adopt_known(disk, guest, position, length)?;
    disk.sync_names()?;
    Ok(position + length)
}

/// Does what [`adopt`] does with a file of which the bytes of frames are known; its new name is not synced.
///
/// # Errors
/// The file cannot be renamed or removed; it stays as it is.
pub fn adopt_known(disk: &dyn Disk, guest: &str, position: u64, length: u64) -> io::Result<()> {
    if length == 0 {
        return disk.remove(guest);
    }
    disk.rename(guest, &format!("{position:020}.guest.seg"))
}

#[cfg(test)]
mod tests {
    use super::super::disk::Folder;
    use super::super::entries::Encoder;
    use super::*;

    fn folder() -> (tempfile::TempDir, Arc<dyn Disk>) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.path().to_path_buf()));
        (folder, disk)
    }

    fn all(disk: &dyn Disk, from: u64) -> (Vec<(i64, Vec<u8>)>, Recovered) {
        let mut out = Vec::new();
        let found = read(disk, from, |f| out.push((f.received, f.lines.to_vec()))).expect("readable");
        (out, found)
    }

    /// Encodes one line and appends it.
    fn put(journal: &mut Journal, encoder: &mut Encoder, received: i64, line: &[u8]) -> io::Result<()> {
        encoder.line((0, 0), line);
        journal.append(&mut encoder.take(received).expect("a line"))
    }

    #[test]
    fn the_format_is_pinned() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::new(0xfe01);
        encoder.line((5, 1), b"m v=1 1\n");
        encoder.line((5, 1), b"m v=2 2\n");
        encoder.line((u32::MAX, 0), b"\tx y=1\n");
        let mut frame = encoder.take(1_700_000_000_000_000_000).expect("lines");
        journal.append(&mut frame).expect("written");
        assert_eq!(all(&*disk, 0).0, [(1_700_000_000_000_000_000, b"m v=1 1\nm v=2 2\n\tx y=1\n".to_vec())]);
        let bytes = disk.read("00000000000000000000.seg").expect("the segment");
        let golden = [
            0x54, 0x52, 0x4a, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfe, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x27, 0x00, 0x00, 0x00, 0x4e, 0xe9, 0x7b, 0xd6,
            0x02, 0x00, 0x00, 0x2a, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0x01, 0x05, 0x01, 0x6d, 0x07, 0x20, 0x76, 0x3d, 0x31,
            0x20, 0x31, 0x0a, 0x07, 0x07, 0x20, 0x76, 0x3d, 0x32, 0x20, 0x32, 0x0a, 0x00, 0x07, 0x09, 0x78, 0x20, 0x79,
            0x3d, 0x31, 0x0a,
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn what_was_appended_is_read_back_from_any_position() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 1000);
        let mut encoder = Encoder::default();
        encoder.go_on_at(1000);
        let mut positions = vec![1000];
        for i in 0..40 {
            put(&mut journal, &mut encoder, i, format!("line {i}\n").repeat(20_000).as_bytes()).expect("written");
            positions.push(encoder.position());
        }
        assert!(disk.list().expect("names").len() > 1, "several segments");
        for (skip, position) in positions.iter().enumerate() {
            let (frames, found) = all(&*disk, *position);
            assert_eq!(frames.len(), 40 - skip);
            assert_eq!((found.position, found.missing_bytes), (encoder.position(), 0));
            assert!(frames.first().is_none_or(|f| f.0 == skip as i64));
        }
        remove_before(&*disk, positions[35]).expect("removed");
        assert_eq!(all(&*disk, positions[35]).0.len(), 5);
    }

    #[test]
    fn an_old_segment_is_written_again() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        let mut files = std::collections::BTreeSet::new();
        for i in 0..400 {
            // The first frames of a segment are long, so that old ones lie behind the new ones.
            put(&mut journal, &mut encoder, i, &b"x\n".repeat(if i % 40 < 20 { 100_000 } else { 30_000 }))
                .expect("written");
            let from = encoder.position();
            if i % 40 == 25 {
                remove_before(&*disk, from).expect("removed");
                assert_eq!(all(&*disk, from).0, [], "nothing old is read, at {i}");
                files.extend(disk.list().expect("names"));
            }
        }
        assert!(files.iter().any(|name| name.starts_with("spare-")), "{files:?}");
        assert!(disk.list().expect("names").len() <= 8);
    }

    #[test]
    fn a_renamed_segment_without_a_new_header_is_empty() {
        let (folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        put(&mut journal, &mut encoder, 1, b"one\n").expect("written");
        std::fs::rename(folder.path().join(segment_name(0)), folder.path().join(segment_name(77))).expect("renamed");
        assert_eq!(all(&*disk, 0).0, []);
        assert_eq!(all(&*disk, 77).0, []);
    }

    /// A segment whose sync takes until it is told to go on.
    struct Slow {
        begun: std::sync::mpsc::SyncSender<()>,
        go_on: Mutex<std::sync::mpsc::Receiver<()>>,
        done: AtomicBool,
    }

    impl Segment for Slow {
        fn append(&self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn truncate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.begun.send(()).expect("somebody listens");
            self.go_on.lock().expect("nobody panics").recv().expect("somebody speaks");
            self.done.store(true, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn a_sync_waits_for_the_one_before_it() {
        let (_folder, disk) = folder();
        let (begun, has_begun) = std::sync::mpsc::sync_channel(1);
        let (go, go_on) = std::sync::mpsc::channel();
        let slow = Arc::new(Slow { begun, go_on: Mutex::new(go_on), done: false.into() });
        let segment: Arc<dyn Segment> = slow.clone();
        let syncer = Syncer::new(disk);
        syncer.written(0, &segment, false);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| syncer.sync());
            has_begun.recv().expect("it begins");
            let second = scope.spawn(|| syncer.sync().map(|()| slow.done.load(Ordering::Relaxed)));
            std::thread::sleep(std::time::Duration::from_millis(50));
            go.send(()).expect("it waits");
            first.join().expect("no panic").expect("synced");
            assert!(second.join().expect("no panic").expect("synced"), "it was not on the disk yet");
        });
    }

    #[test]
    fn heads_are_numbered_anew_in_every_segment() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        let mut expected = Vec::new();
        let mut missing = 0;
        for i in 0..3000_u32 {
            let head = format!("m,host=h{},pad={}", i % 7, "x".repeat(300));
            let line = format!("{head} v={i} {}\n", "9".repeat(2000));
            encoder.line((i % 7, head.len()), line.as_bytes());
            let mut frame = encoder.take(i64::from(i)).expect("a line");
            // A batch that is lost takes its heads with it: the next one begins a segment.
            if i % 500 == 499 {
                journal.needs_first = true;
                assert!(frame.is_first || journal.append(&mut frame).is_err());
                missing += if i < 2999 { frame.bytes.len() as u64 } else { 0 };
                encoder.start_segment();
                continue;
            }
            journal.append(&mut frame).expect("written");
            expected.push((i64::from(i), line.into_bytes()));
        }
        assert!(disk.list().expect("names").len() >= 6, "several segments");
        let (found, recovered) = all(&*disk, 0);
        assert!(found == expected);
        assert_eq!(recovered.missing_bytes, missing);
    }

    #[test]
    fn a_torn_end_is_cut_at_every_byte() {
        let (folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        put(&mut journal, &mut encoder, 1, b"one\n").expect("written");
        let whole = encoder.position();
        put(&mut journal, &mut encoder, 2, b"two\n").expect("written");
        let path = folder.path().join("00000000000000000000.seg");
        let bytes = std::fs::read(&path).expect("readable");
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).expect("writable");
            let (frames, found) = all(&*disk, 0);
            assert_eq!(frames.len(), usize::from(cut >= whole as usize + SEGMENT_HEAD_BYTES), "cut at {cut}");
            assert!(found.position <= whole);
        }
        for flip in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[flip] ^= 0x40;
            std::fs::write(&path, &damaged).expect("writable");
            assert!(all(&*disk, 0).0.len() < 2, "byte {flip} is not covered");
        }
    }

    #[test]
    fn a_guest_is_adopted_behind_the_others() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        put(&mut journal, &mut encoder, 1, b"one\n").expect("written");
        let mut guest = Journal::guest(disk.clone(), 0xab, || Ok(()));
        let mut theirs = Encoder::default();
        put(&mut guest, &mut theirs, 2, b"two\n").expect("written");
        put(&mut guest, &mut theirs, 3, b"three\n").expect("written");
        assert_eq!(first_received(&*disk, &guest_name(0xab)).expect("readable"), Some(2));
        let end = adopt(&*disk, &guest_name(0xab), encoder.position()).expect("adopted");
        assert_eq!(end, encoder.position() + guest.guest_bytes());
        let (frames, found) = all(&*disk, 0);
        assert_eq!(frames.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found.position, end);
    }

    /// An owner that looks for files of guests at any moment must find that this one is in use.
    #[test]
    fn a_guest_s_file_is_announced_before_it_is_there() {
        let (folder, disk) = folder();
        let name = guest_name(0xab);
        let file = folder.path().join(&name);
        let mark = Arc::new(crate::durable::claim::GuestMark::new(folder.path(), &name));
        let announced = mark.clone();
        let mut guest = Journal::guest(disk.clone(), 0xab, move || {
            assert!(!file.exists(), "announced after it was made");
            announced.set()
        });
        let mut encoder = Encoder::default();
        put(&mut guest, &mut encoder, 1, b"one\n").expect("written");
        put(&mut guest, &mut encoder, 2, b"two\n").expect("written");
        assert!(!crate::durable::claim::is_abandoned(folder.path(), &name));

        let mut refused = Journal::guest(disk, 0xcd, || Err(io::Error::other("no mark")));
        put(&mut refused, &mut Encoder::default(), 1, b"one\n").expect_err("no mark, no file");
        assert!(!folder.path().join(guest_name(0xcd)).exists());
    }
}
