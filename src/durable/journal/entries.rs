//! The payload of a frame: matched lines, each head written once a segment.
//!
//! ```text
//! 0  length bytes                          a line as it is
//! 1  number  length head  length rest      a line whose head gets a number, in this segment
//! n  length rest                           a line with the head of number n - 2
//! ```
//!
//! Numbers are unsigned LEB128. Heads (measurement and tags) are most of a line: a sensor line of 340 bytes takes 40.
//!
//! The encoder also decides where a segment ends, because a segment is complete in itself, and it gives every frame its
//! position. A frame has its position whether or not it is written in the end: so the position behind a batch is known at
//! the moment when the batch is folded, and a checkpoint need not wait for the journal.

use super::frame::{Frame, HEAD_BYTES, SEGMENT_BYTES_MAX};
use crate::engine::ids::HeadNumber;
use std::collections::HashMap;

/// Heads that are numbered; lines with another head are written as they are.
const HEADS_MAX: usize = 1 << 20;

/// Makes frames from lines whose heads are known by number.
///
/// After a frame that could not be written, its heads are not in the file: [`Encoder::start_segment`] must be called.
#[derive(Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    /// For each head the segment in which it was written last.
    written_in: Vec<u32>,
    /// The segment that is being written, from 1.
    segment: u32,
    segment_bytes: u64,
    /// The next frame begins a segment.
    is_first: bool,
    /// Position of the next frame.
    position: u64,
    run: u128,
    /// Frames so far.
    frames: u64,
}

impl Encoder {
    /// An encoder for the lines of a run, from position 0 on.
    pub fn new(run: u128) -> Encoder {
        Encoder { run, ..Encoder::default() }
    }

    /// Begins another journal, which has nothing in it yet.
    pub fn begin_anew(&mut self) {
        *self = Encoder::new(self.run);
    }

    /// The lines are another run's from now on, in a segment of their own.
    pub fn begin_run(&mut self, run: u128) {
        self.run = run;
        self.start_segment();
    }

    /// The position behind the last frame.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Frames that have been taken so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Goes on at another position, with a new segment.
    pub fn go_on_at(&mut self, position: u64) {
        self.position = position;
        self.start_segment();
    }

    /// The next frame begins a segment.
    pub fn start_segment(&mut self) {
        self.segment += 1;
        self.segment_bytes = 0;
        self.is_first = true;
    }

    /// Adds a line, which ends in a newline. `head` is its number and length; a number may have another meaning after
    /// [`Encoder::start_segment`].
    #[inline]
    pub fn line(&mut self, head: (HeadNumber, usize), line: &[u8]) {
        if self.segment == 0 {
            self.start_segment();
        }
        if self.bytes.is_empty() {
            self.bytes.resize(HEAD_BYTES, 0);
        }
        let index = head.0.at();
        if index >= HEADS_MAX || head.1 > line.len() {
            number(&mut self.bytes, 0);
            number(&mut self.bytes, line.len() as u64);
            self.bytes.extend_from_slice(line);
            return;
        }
        if self.written_in.len() <= index {
            self.written_in.resize(index + 1, 0);
        }
        let (start, rest) = line.split_at(head.1);
        if self.written_in[index] == self.segment {
            number(&mut self.bytes, u64::from(head.0.0) + 2);
        } else {
            self.written_in[index] = self.segment;
            number(&mut self.bytes, 1);
            number(&mut self.bytes, u64::from(head.0.0));
            number(&mut self.bytes, start.len() as u64);
            self.bytes.extend_from_slice(start);
        }
        number(&mut self.bytes, rest.len() as u64);
        self.bytes.extend_from_slice(rest);
    }

    /// The frame of all lines since the last call, which arrived at `received`; `None` if there are none.
    pub fn take(&mut self, received: i64) -> Option<Frame> {
        if self.bytes.is_empty() {
            return None;
        }
        let next = Vec::with_capacity(self.bytes.capacity().min(1 << 20));
        let bytes = std::mem::replace(&mut self.bytes, next);
        let is_first = std::mem::take(&mut self.is_first);
        let frame = Frame { received, position: self.position, is_first, run: self.run, bytes };
        self.position = frame.end();
        self.frames += 1;
        self.segment_bytes += frame.bytes.len() as u64;
        if self.segment_bytes >= SEGMENT_BYTES_MAX {
            self.start_segment();
        }
        Some(frame)
    }
}

/// Appends an unsigned LEB128 number.
#[inline]
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

/// Turns entries into lines. `heads` are those of the segment so far; `None` if these are not entries.
pub fn expand(mut entries: &[u8], heads: &mut HashMap<u64, Box<[u8]>>, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    while !entries.is_empty() {
        let code = read_number(&mut entries)?;
        if code == 0 {
            out.extend_from_slice(read_bytes(&mut entries)?);
            continue;
        }
        if code == 1 {
            let number = read_number(&mut entries)?;
            let head = read_bytes(&mut entries)?;
            heads.insert(number, head.into());
            out.extend_from_slice(head);
        } else {
            out.extend_from_slice(heads.get(&(code - 2))?);
        }
        out.extend_from_slice(read_bytes(&mut entries)?);
    }
    Some(())
}
