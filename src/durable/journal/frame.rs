//! Frames as they stand in a segment; see the head of [`super`].

use std::io::{self, BufReader, Read};

/// First bytes of a segment.
pub(super) const MAGIC: &[u8; 4] = b"TRJ2";

/// Bytes of a segment before its first frame.
pub(super) const SEGMENT_HEAD_BYTES: usize = 4 + 8 + 16;

/// Bytes of a frame before its payload.
pub const HEAD_BYTES: usize = 4 + 4 + 1 + 8;

/// A segment that has reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 20;

/// Longest payload that a reader believes in.
const PAYLOAD_BYTES_MAX: usize = 1 << 28;

/// The type of a frame with heads written once.
const ENTRIES: u8 = 2;

/// Bytes that are read from a segment at a time.
const READ_BYTES: usize = 64 << 10;

/// Set in the salt of a guest's file.
pub(super) const GUEST_SALT: u64 = 1 << 63;

/// One frame that is ready to be written, its checksum aside.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Time of arrival, nanoseconds since the epoch.
    pub received: i64,
    /// Position of its first byte.
    pub position: u64,
    /// It begins a segment.
    pub is_first: bool,
    /// The run that has taken the lines.
    pub run: u128,
    /// Room for the head of the frame, and the entries.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Position behind it.
    pub fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

fn checksum((salt, run): (u64, u128), body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&run.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Fills in the head of a frame.
pub(super) fn complete(frame: &mut [u8], salt: (u64, u128), received: i64) {
    let (head, body) = frame.split_at_mut(8);
    body[0] = ENTRIES;
    body[1..9].copy_from_slice(&received.to_le_bytes());
    // A batch is far below 4 GiB: a read is 256 KiB, a line at most 64 MiB.
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&checksum(salt, body).to_le_bytes());
}

/// Reads a segment from its start, one frame at a time.
pub(super) struct SegmentReader<R> {
    input: BufReader<R>,
    salt: (u64, u128),
    /// The body of the frame in hand; kept to reuse its memory.
    body: Vec<u8>,
}

impl<R: Read> SegmentReader<R> {
    /// Reads the head of a segment; `None` if it is none, or if its salt is not the expected one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn open(input: R, is_expected: impl FnOnce(u64) -> bool) -> io::Result<Option<SegmentReader<R>>> {
        let mut input = BufReader::with_capacity(READ_BYTES, input);
        let mut head = [0; SEGMENT_HEAD_BYTES];
        if !fill(&mut input, &mut head)? {
            return Ok(None);
        }
        let (Ok(salt), Ok(run)) = (head[4..12].try_into(), head[12..].try_into()) else { return Ok(None) };
        let (salt, run) = (u64::from_le_bytes(salt), u128::from_le_bytes(run));
        let is_ours = &head[..4] == MAGIC && is_expected(salt);
        Ok(is_ours.then(|| SegmentReader { input, salt: (salt, run), body: Vec::new() }))
    }

    /// The run that has taken the lines.
    pub(super) fn run(&self) -> u128 {
        self.salt.1
    }

    /// Reads the next frame: time of arrival and payload. `None` if it is torn or damaged, or if there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<(i64, &[u8])>> {
        let mut head = [0; 8];
        if !fill(&mut self.input, &mut head)? {
            return Ok(None);
        }
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, crc) = (number(0) as usize, number(4));
        if !(HEAD_BYTES - 8..=PAYLOAD_BYTES_MAX).contains(&length) {
            return Ok(None);
        }
        self.body.clear();
        // The buffer grows with what is there, whatever a damaged length says.
        self.input.by_ref().take(length as u64).read_to_end(&mut self.body)?;
        let body = &self.body;
        if body.len() < length || body[0] != ENTRIES || checksum(self.salt, body) != crc {
            return Ok(None);
        }
        let received = body[1..9].try_into().map(i64::from_le_bytes);
        Ok(received.ok().map(|received| (received, &body[9..])))
    }
}

/// Fills a buffer; false if the input ends before it is full.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
