//! The journal: matched lines on disk before they are forwarded, so that a kill cannot lose them.
//!
//! ```text
//! journal/00000000000000000000.seg     named by the position of its first frame
//! journal/00000000000004194471.seg
//! journal/guest-5f2c….seg              of a process that does not own the state (yet)
//!
//! segment   "TRJ1"  frame frame frame ...
//! frame     length u32 | crc u32 | type u8 | received i64 | payload
//! ```
//!
//! Numbers are little-endian. `length` counts from `type` on, `crc` is CRC-32 over the same bytes, `received` is the time
//! of arrival in nanoseconds since the epoch. A *position* is the number of bytes of frames since the journal began, headers
//! not counted.
//!
//! ```text
//! type 1    whole lines, each with its newline
//! type 2    entries, in which the head of a line (measurement and tags) is written once a segment
//!   0  length bytes                          a line as it is
//!   1  number  length head  length rest      a line whose head gets a number, in this segment
//!   n  length rest                           a line with the head of number n - 2
//! ```
//!
//! The numbers of type 2 are unsigned LEB128. Heads are most of a line: a sensor line of 340 bytes takes 40.
//!
//! One plain write for each batch: no memory mapping, because a full disk turns that into SIGBUS. What a write left
//! behind when it failed is cut off, and the journal goes on in a new segment; a reader stops at the first frame that is
//! torn, and goes on with the next segment.
//!
//! What a checkpoint covers need not be synced any more; a segment that is synced is synced from its start.
//!
//! Invariants: positions grow; a frame is read back whole or not at all; a segment is removed only when a checkpoint
//! covers all of it.

use super::disk::{Disk, Segment};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// First bytes of a segment.
const MAGIC: &[u8; 4] = b"TRJ1";
/// Bytes of a frame before its payload.
const HEAD_BYTES: usize = 4 + 4 + 1 + 8;
/// A segment that has reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// Longest payload that a reader believes in.
const PAYLOAD_BYTES_MAX: usize = 1 << 28;
/// The type of a frame with raw lines.
const RAW_LINES: u8 = 1;
/// The type of a frame with heads written once.
const COMPACT_LINES: u8 = 2;
/// Heads that are numbered; lines with another head are written as they are.
const HEADS_MAX: usize = 1 << 20;

/// Makes the payload of a frame from lines whose heads are known by number: what the stream hands to the journal.
///
/// A segment is complete in itself, so the encoder decides where one ends: it then numbers all heads anew. After a batch
/// that could not be written, its heads are not in the file: [`Encoder::start_segment`] must be called.
#[derive(Default)]
pub struct Encoder {
    payload: Vec<u8>,
    /// For each head the segment in which it was written last.
    written_in: Vec<u32>,
    /// The segment that is being written, from 1.
    segment: u32,
    segment_bytes: u64,
    /// The next payload begins a segment.
    is_first: bool,
}

/// The payload of one frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Payload {
    pub bytes: Vec<u8>,
    /// It begins a segment.
    pub is_first: bool,
}

impl Encoder {
    /// The next payload begins a segment.
    pub fn start_segment(&mut self) {
        self.segment += 1;
        self.segment_bytes = 0;
        self.is_first = true;
    }

    /// Adds a line, which ends in a newline. `head` is its number and length; a number may have another meaning after
    /// [`Encoder::start_segment`].
    #[inline]
    pub fn line(&mut self, head: (u32, usize), line: &[u8]) {
        if self.segment == 0 {
            self.start_segment();
        }
        let index = head.0 as usize;
        if index >= HEADS_MAX || head.1 > line.len() {
            number(&mut self.payload, 0);
            number(&mut self.payload, line.len() as u64);
            self.payload.extend_from_slice(line);
            return;
        }
        if self.written_in.len() <= index {
            self.written_in.resize(index + 1, 0);
        }
        let (start, rest) = line.split_at(head.1);
        if self.written_in[index] == self.segment {
            number(&mut self.payload, u64::from(head.0) + 2);
        } else {
            self.written_in[index] = self.segment;
            number(&mut self.payload, 1);
            number(&mut self.payload, u64::from(head.0));
            number(&mut self.payload, start.len() as u64);
            self.payload.extend_from_slice(start);
        }
        number(&mut self.payload, rest.len() as u64);
        self.payload.extend_from_slice(rest);
    }

    /// The payload of all lines since the last call; `None` if there are none.
    pub fn take(&mut self) -> Option<Payload> {
        if self.payload.is_empty() {
            return None;
        }
        let bytes = std::mem::replace(&mut self.payload, Vec::with_capacity(4096));
        let payload = Payload { is_first: std::mem::take(&mut self.is_first), bytes };
        self.segment_bytes += payload.bytes.len() as u64;
        if self.segment_bytes >= SEGMENT_BYTES_MAX {
            self.start_segment();
        }
        Some(payload)
    }
}

/// Appends an unsigned LEB128 number.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads an unsigned LEB128 number from the front of `bytes`.
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Reads a length and so many bytes.
fn read_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Turns the entries of a frame into lines; `None` if they are not entries.
fn expand<'a>(mut entries: &'a [u8], heads: &mut HashMap<u64, &'a [u8]>, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    while !entries.is_empty() {
        let code = read_number(&mut entries)?;
        if code == 0 {
            out.extend_from_slice(read_bytes(&mut entries)?);
            continue;
        }
        let head = if code == 1 {
            let number = read_number(&mut entries)?;
            let head = read_bytes(&mut entries)?;
            heads.insert(number, head);
            head
        } else {
            heads.get(&(code - 2))?
        };
        out.extend_from_slice(head);
        out.extend_from_slice(read_bytes(&mut entries)?);
    }
    Some(())
}

/// Appends one frame to a buffer.
fn encode(out: &mut Vec<u8>, kind: u8, received: i64, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.push(kind);
    out.extend_from_slice(&received.to_le_bytes());
    out.extend_from_slice(payload);
    let body = &out[start + 8..];
    // The caller's batches are far below 4 GiB: a read is 128 KiB, a line at most 64 MiB.
    let length = (body.len() as u32).to_le_bytes();
    let crc = crc32fast::hash(body).to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    out[start + 4..start + 8].copy_from_slice(&crc);
}

/// One frame as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub received: i64,
    pub lines: &'a [u8],
    /// Bytes of the whole frame.
    pub length: u64,
}

/// Reads the frame at the start of `bytes`: its type, and the frame with its payload as it is. `None` if it is torn or
/// damaged.
fn decode(bytes: &[u8]) -> Option<(u8, Frame<'_>)> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (length, crc) = (number(0)? as usize, number(4)?);
    if !(HEAD_BYTES - 8..=PAYLOAD_BYTES_MAX).contains(&length) {
        return None;
    }
    let body = bytes.get(8..8 + length)?;
    if crc32fast::hash(body) != crc {
        return None;
    }
    let received = i64::from_le_bytes(body[1..9].try_into().ok()?);
    Some((body[0], Frame { received, lines: &body[9..], length: 8 + length as u64 }))
}

/// Calls `each` with every whole frame of a segment, its lines expanded. Returns the bytes behind the last of them.
pub fn frames(segment: &[u8], mut each: impl FnMut(Frame<'_>)) -> usize {
    let Some(mut rest) = segment.strip_prefix(MAGIC) else { return segment.len() };
    let mut heads = HashMap::new();
    let mut lines = Vec::new();
    while let Some((kind, frame)) = decode(rest) {
        match kind {
            RAW_LINES => each(frame),
            COMPACT_LINES if expand(frame.lines, &mut heads, &mut lines).is_some() => {
                each(Frame { lines: &lines, ..frame })
            }
            _ => break,
        }
        // The frame lies in memory, so its length fits.
        rest = &rest[frame.length as usize..];
    }
    rest.len()
}

/// The name of the segment that starts at a position.
fn segment_name(position: u64) -> String {
    format!("{position:020}.seg")
}

fn segment_position(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|d| d.len() == 20)?;
    digits.parse().ok()
}

/// The name of a guest's file.
pub fn guest_name(id: &str) -> String {
    format!("guest-{id}.seg")
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
}

#[derive(Default)]
struct Unsynced {
    /// Segments with bytes that were not synced, each with the position of its first frame; the last one may still grow.
    segments: Vec<(u64, Arc<dyn Segment>)>,
    names_changed: bool,
}

impl Syncer {
    fn new(disk: Arc<dyn Disk>) -> Syncer {
        Syncer { disk, state: Arc::default() }
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
    }

    /// Makes all that was appended before this call survive a power loss. Appends may go on meanwhile.
    ///
    /// # Errors
    /// Something was not synced; it will be tried again by the next call.
    pub fn sync(&self) -> io::Result<()> {
        let taken = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        let work = || {
            if taken.names_changed {
                self.disk.sync_names()?;
            }
            taken.segments.iter().try_for_each(|(_, segment)| segment.sync())
        };
        let result = work();
        if result.is_err() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut *state, taken);
            state.names_changed |= newer.names_changed;
            for segment in newer.segments {
                if !state.segments.iter().any(|(_, s)| Arc::ptr_eq(s, &segment.1)) {
                    state.segments.push(segment);
                }
            }
        }
        result
    }
}

/// The writing end of the journal.
pub struct Journal {
    disk: Arc<dyn Disk>,
    /// `None`: a guest's only file. `Some`: position of the next frame.
    position: Option<u64>,
    /// The name of a guest's file.
    guest: String,
    segment: Option<Arc<dyn Segment>>,
    /// Position of the segment's first frame.
    segment_start: u64,
    segment_bytes: u64,
    /// Everything before this has been retired.
    retired: u64,
    /// Bytes that the journal may hold.
    bytes_max: u64,
    /// A guest's only file has a torn end that could not be cut: nothing behind it would be read.
    broken: bool,
    syncer: Syncer,
    /// A batch was not written: later ones refer to heads that are not in the file.
    needs_first: bool,
    buffer: Vec<u8>,
}

impl Journal {
    /// A journal that goes on at a position: the end of what was recovered.
    pub fn new(disk: Arc<dyn Disk>, position: u64) -> Journal {
        let syncer = Syncer::new(disk.clone());
        Journal {
            disk,
            position: Some(position),
            guest: String::new(),
            segment: None,
            segment_start: position,
            segment_bytes: 0,
            retired: position,
            bytes_max: u64::MAX,
            broken: false,
            syncer,
            needs_first: false,
            buffer: Vec::new(),
        }
    }

    /// The journal of a process that does not own the state: one file, of the given name.
    pub fn guest(disk: Arc<dyn Disk>, id: &str) -> Journal {
        Journal { position: None, guest: guest_name(id), ..Journal::new(disk, 0) }
    }

    /// Limits the bytes that the journal may hold. What would exceed it is refused until a checkpoint makes room.
    pub fn limited_to(mut self, bytes_max: u64) -> Journal {
        self.bytes_max = bytes_max;
        self
    }

    /// The position behind the last frame.
    pub fn position(&self) -> u64 {
        self.position.unwrap_or(0)
    }

    /// What syncs this journal, from any thread.
    pub fn syncer(&self) -> Syncer {
        self.syncer.clone()
    }

    /// Writes whole lines as they are.
    ///
    /// # Errors
    /// Nothing of them is in the journal.
    pub fn append(&mut self, received: i64, lines: &[u8]) -> io::Result<()> {
        let full = self.position.is_some() && self.segment_bytes >= SEGMENT_BYTES_MAX;
        self.frame(RAW_LINES, received, lines, full)
    }

    /// Writes one batch of an [`Encoder`].
    ///
    /// # Errors
    /// Nothing of it is in the journal, and nothing will be until a payload begins a segment.
    pub fn append_payload(&mut self, received: i64, payload: &Payload) -> io::Result<()> {
        if self.needs_first && !payload.is_first {
            return Err(io::Error::other("waiting for the begin of a segment"));
        }
        let result = self.frame(COMPACT_LINES, received, &payload.bytes, payload.is_first && self.position.is_some());
        self.needs_first = result.is_err();
        result
    }

    fn frame(&mut self, kind: u8, received: i64, payload: &[u8], rotate: bool) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the file could not be mended after an error"));
        }
        let held = self.position.map_or(self.segment_bytes, |position| position - self.retired);
        if held + payload.len() as u64 > self.bytes_max {
            return Err(io::Error::other("limits.journal_bytes is reached, because no checkpoint was possible"));
        }
        self.buffer.clear();
        // A segment without a frame is as good as a new one, and has the name of one.
        let rotate = rotate && self.position != Some(self.segment_start);
        let fresh = self.segment.is_none() || rotate;
        let segment = match &self.segment {
            Some(segment) if !rotate => segment.clone(),
            _ => {
                let name = self.position.map_or_else(|| self.guest.clone(), segment_name);
                let segment = self.disk.create(&name)?;
                self.segment_start = self.position();
                self.segment_bytes = 0;
                self.buffer.extend_from_slice(MAGIC);
                segment
            }
        };
        let header = self.buffer.len() as u64;
        encode(&mut self.buffer, kind, received, payload);
        if let Err(error) = segment.append(&self.buffer) {
            // Whatever part of it is there: a reader would stop at it and miss what comes behind.
            let cut = segment.truncate(self.segment_bytes);
            if fresh || (cut.is_err() && self.position.is_some()) {
                self.segment = None;
            } else {
                self.broken = cut.is_err();
            }
            return Err(error);
        }
        self.syncer.written(self.segment_start, &segment, fresh);
        self.segment = Some(segment);
        self.segment_bytes += self.buffer.len() as u64;
        if let Some(position) = &mut self.position {
            *position += self.buffer.len() as u64 - header;
        }
        Ok(())
    }

    /// Notes that a checkpoint covers everything before a position: it does not count towards the limit any more.
    pub fn retire(&mut self, before: u64) {
        self.retired = self.retired.max(before);
        self.syncer.forget_before(before);
    }
}

/// Removes the segments that lie before a position. The journal may be written meanwhile.
///
/// # Errors
/// A file cannot be removed; it will be by a later call.
pub fn remove_before(disk: &dyn Disk, before: u64) -> io::Result<()> {
    let mut starts: Vec<u64> = disk.list()?.iter().filter_map(|n| segment_position(n)).collect();
    starts.sort_unstable();
    // A segment ends where the next one starts; the last one may still grow.
    for pair in starts.windows(2) {
        if pair[1] <= before {
            match disk.remove(&segment_name(pair[0])) {
                // Another removal was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// What [`read`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The position behind the last frame: where the journal goes on.
    pub position: u64,
    /// Frames that were handed out.
    pub frames: u64,
    /// Bytes that were torn or damaged.
    pub torn_bytes: u64,
}

/// Reads the journal: calls `each` with every whole frame behind position `from`, in order.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn read(disk: &dyn Disk, from: u64, mut each: impl FnMut(Frame<'_>)) -> io::Result<Recovered> {
    let mut names: Vec<(u64, String)> =
        disk.list()?.into_iter().filter_map(|n| segment_position(&n).map(|p| (p, n))).collect();
    names.sort();
    let mut found = Recovered { position: from, ..Recovered::default() };
    for (index, (start, name)) in names.iter().enumerate() {
        if names.get(index + 1).is_some_and(|(next, _)| *next <= from) {
            continue;
        }
        let bytes = disk.read(name)?;
        let mut position = *start;
        let torn = frames(&bytes, |frame| {
            position += frame.length;
            if position > from {
                found.frames += 1;
                each(frame);
            }
        });
        found.torn_bytes += torn as u64;
        found.position = found.position.max(position);
    }
    Ok(found)
}

/// Makes a guest's file the next segment of the journal: its frames come behind all others. Returns the position
/// behind it.
///
/// # Errors
/// The file cannot be read or renamed; it stays as it is.
pub fn adopt(disk: &dyn Disk, guest: &str, position: u64) -> io::Result<u64> {
    let bytes = disk.read(guest)?;
    let mut length = 0;
    frames(&bytes, |frame| length += frame.length);
    if length == 0 {
        disk.remove(guest)?;
        return Ok(position);
    }
    disk.rename(guest, &segment_name(position))?;
    disk.sync_names()?;
    Ok(position + length)
}

#[cfg(test)]
mod tests {
    use super::super::disk::Folder;
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

    #[test]
    fn the_format_is_pinned() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        encoder.line((5, 1), b"m v=1 1\n");
        encoder.line((5, 1), b"m v=2 2\n");
        encoder.line((u32::MAX, 0), b"\tx y=1\n");
        let payload = encoder.take().expect("lines");
        journal.append_payload(1_700_000_000_000_000_000, &payload).expect("written");
        assert_eq!(all(&*disk, 0).0, [(1_700_000_000_000_000_000, b"m v=1 1\nm v=2 2\n\tx y=1\n".to_vec())]);
        let bytes = disk.read("00000000000000000000.seg").expect("the segment");
        let golden = [
            0x54, 0x52, 0x4a, 0x31, 0x27, 0x00, 0x00, 0x00, 0xbe, 0xd7, 0x81, 0x01, 0x02, 0x00, 0x00, 0x2a, 0x36, 0xfe,
            0x9c, 0x97, 0x17, 0x01, 0x05, 0x01, 0x6d, 0x07, 0x20, 0x76, 0x3d, 0x31, 0x20, 0x31, 0x0a, 0x07, 0x07, 0x20,
            0x76, 0x3d, 0x32, 0x20, 0x32, 0x0a, 0x00, 0x07, 0x09, 0x78, 0x20, 0x79, 0x3d, 0x31, 0x0a,
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn what_was_appended_is_read_back_from_any_position() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 1000);
        let mut positions = vec![journal.position()];
        for i in 0..40 {
            journal.append(i, format!("line {i}\n").repeat(20_000).as_bytes()).expect("written");
            positions.push(journal.position());
        }
        assert!(disk.list().expect("names").len() > 1, "several segments");
        for (skip, position) in positions.iter().enumerate() {
            let (frames, found) = all(&*disk, *position);
            assert_eq!(frames.len(), 40 - skip);
            assert_eq!(found.position, journal.position());
            assert!(frames.first().is_none_or(|f| f.0 == skip as i64));
        }
        remove_before(&*disk, positions[35]).expect("removed");
        assert_eq!(all(&*disk, positions[35]).0.len(), 5);
    }

    #[test]
    fn heads_are_numbered_anew_in_every_segment() {
        let (_folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        let mut encoder = Encoder::default();
        let mut expected = Vec::new();
        for i in 0..3000_u32 {
            let head = format!("m,host=h{},pad={}", i % 7, "x".repeat(300));
            let line = format!("{head} v={i} {}\n", "9".repeat(2000));
            encoder.line((i % 7, head.len()), line.as_bytes());
            let payload = encoder.take().expect("a line");
            // A batch that is lost takes its heads with it: the next one begins a segment.
            if i % 500 == 499 {
                journal.needs_first = true;
                assert!(payload.is_first || journal.append_payload(0, &payload).is_err());
                encoder.start_segment();
                continue;
            }
            journal.append_payload(i64::from(i), &payload).expect("written");
            expected.push((i64::from(i), line.into_bytes()));
        }
        assert!(disk.list().expect("names").len() >= 6, "several segments");
        assert!(all(&*disk, 0).0 == expected);
    }

    #[test]
    fn a_torn_end_is_cut_at_every_byte() {
        let (folder, disk) = folder();
        let mut journal = Journal::new(disk.clone(), 0);
        journal.append(1, b"one\n").expect("written");
        let whole = journal.position();
        journal.append(2, b"two\n").expect("written");
        let path = folder.path().join("00000000000000000000.seg");
        let bytes = std::fs::read(&path).expect("readable");
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).expect("writable");
            let (frames, found) = all(&*disk, 0);
            assert_eq!(frames.len(), usize::from(cut as u64 >= whole + 4), "cut at {cut}");
            assert!(found.position <= whole);
        }
        for flip in 4..bytes.len() {
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
        journal.append(1, b"one\n").expect("written");
        let mut guest = Journal::guest(disk.clone(), "ab");
        guest.append(2, b"two\n").expect("written");
        guest.append(3, b"three\n").expect("written");
        let end = adopt(&*disk, &guest_name("ab"), journal.position()).expect("adopted");
        let (frames, found) = all(&*disk, 0);
        assert_eq!(frames.iter().map(|f| f.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found.position, end);
    }
}
