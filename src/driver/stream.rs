//! The sacred stream: stdin -> whole lines -> the engine -> stdout, byte for byte.
//!
//! A batch is forwarded when it is settled: when the journal has it, or could not take it in time. While the journal works
//! on one batch, the next one is read if it is there already; when nothing is waiting, nothing is delayed.
//!
//! One thread does all of it. Whatever happens beyond the engine (database, disk, network) happens in other threads, and
//! whatever happens in the engine (a panic too) is contained by the [`Consumer`].
//!
//! Invariants:
//! - The bytes that leave are the bytes that came, in order; only whole lines leave, except that an unfinished line is
//!   held no longer than [`HOLD_TIME_MAX`] and no larger than [`HOLD_BYTES_MAX`].
//! - The consumer sees every whole line once, before it leaves.
//! - A torn tail at the end of the stream does not leave: it could read as a valid point with a cut timestamp.
//! - Memory is bounded by [`LINE_BYTES_MAX`] and a read.

use super::platform::{Input, Output, Read};
use super::shared::Batch;
use crate::engine::frame::Framer;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Bytes of one read. Two of them may be on their way: counted, and not forwarded yet.
const READ_BYTES: usize = 128 * 1024;
/// An unfinished line is forwarded as it is when it exceeds this.
const HOLD_BYTES_MAX: usize = 1024 * 1024;
/// An unfinished line is forwarded as it is after this time.
const HOLD_TIME_MAX: Duration = Duration::from_secs(1);
/// An unfinished line is kept for the engine up to this size; a larger one is forwarded but not read.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long to wait for room in the pipe before looking again.
const ROOM_WAIT: Duration = Duration::from_micros(500);

/// A batch of lines that the consumer has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// When it arrived, nanoseconds since the epoch.
    pub at: i64,
    pub batch: Batch,
}

/// Takes the lines on their way through.
pub trait Consumer {
    /// Whole lines: the first starts at `start`, each ends before one of `ends`. Must not block and must not panic.
    fn lines(&mut self, buffer: &[u8], start: usize, ends: &[usize]) -> Taken;

    /// Waits, briefly, until a batch may be forwarded. It is given with the same lines as before.
    fn settle(&mut self, taken: Taken, buffer: &[u8], start: usize, ends: &[usize]);
}

/// How the stream ended.
#[derive(Debug)]
pub enum Ended {
    /// Stdin was closed.
    EndOfInput,
    /// Stdout cannot be written any more: nobody is left to forward to.
    OutputGone(io::Error),
    /// Stdin cannot be read.
    InputGone(io::Error),
}

/// Lines that have been taken and not been forwarded.
struct Waiting {
    taken: Option<Taken>,
    /// Where the lines start that were taken.
    start: usize,
    ends: Vec<usize>,
}

/// The state between two reads.
struct Stream {
    buffer: Vec<u8>,
    /// Up to here bytes have been forwarded; beyond `line` only if an unfinished line was.
    sent: usize,
    /// Start of the line that has begun and not ended.
    line: usize,
    filled: usize,
    framer: Framer,
    waiting: Option<Waiting>,
    /// The line that has begun is too long to be read: it is forwarded only.
    too_long: bool,
    /// Framing has failed: lines end at every newline, and the engine sees none.
    plain: bool,
}

/// Runs the stream until it ends. With `output` absent nothing is forwarded.
pub fn run(input: &mut Input, output: &mut Option<Output>, consumer: &mut dyn Consumer) -> Ended {
    let mut stream = Stream {
        buffer: vec![0; 4 * READ_BYTES],
        sent: 0,
        line: 0,
        filled: 0,
        framer: Framer::default(),
        waiting: None,
        too_long: false,
        plain: false,
    };
    match stream.run(input, output, consumer) {
        Ok(()) => Ended::EndOfInput,
        Err(ended) => ended,
    }
}

impl Stream {
    fn run(
        &mut self,
        input: &mut Input,
        output: &mut Option<Output>,
        consumer: &mut dyn Consumer,
    ) -> Result<(), Ended> {
        let mut held_since: Option<Instant> = None;
        loop {
            self.make_room();
            let limit = match &self.waiting {
                Some(_) => Some(Duration::ZERO),
                None => held_since.map(|since| HOLD_TIME_MAX.saturating_sub(since.elapsed())),
            };
            let end = (self.filled + READ_BYTES).min(self.buffer.len());
            let read = input.read(&mut self.buffer[self.filled..end], limit).map_err(Ended::InputGone)?;
            let next = match read {
                Read::Bytes(n) => {
                    self.filled += n;
                    self.split(consumer)
                }
                Read::Timeout => None,
                Read::End => {
                    self.settle(output, consumer).map_err(Ended::OutputGone)?;
                    return self.finish(output).map_err(Ended::OutputGone);
                }
            };
            self.settle(output, consumer).map_err(Ended::OutputGone)?;
            self.waiting = next;
            if self.waiting.as_ref().is_some_and(|w| w.taken.is_none_or(|taken| taken.batch == Batch::Nothing)) {
                // There is nothing to wait for.
                self.settle(output, consumer).map_err(Ended::OutputGone)?;
                held_since = None;
            }
            if self.waiting.is_some() {
                held_since = None;
                continue;
            }
            let unsent = self.filled - self.sent;
            if unsent == 0 {
                held_since = None;
            } else if unsent > HOLD_BYTES_MAX || held_since.is_some_and(|since| since.elapsed() >= HOLD_TIME_MAX) {
                self.forward_unfinished(output).map_err(Ended::OutputGone)?;
                held_since = None;
            } else {
                held_since = held_since.or_else(|| Some(Instant::now()));
            }
        }
    }

    /// Makes room for a read: moves what is kept to the front, and grows if one line fills the buffer.
    fn make_room(&mut self) {
        let keep = self.sent.min(self.line);
        if keep == self.filled {
            (self.sent, self.line, self.filled) = (0, 0, 0);
        }
        if self.buffer.len() - self.filled >= READ_BYTES {
            return;
        }
        if self.filled - self.line > LINE_BYTES_MAX && self.sent == self.filled {
            log::warn!("a line of more than {} MiB is forwarded, but not counted", LINE_BYTES_MAX >> 20);
            self.too_long = true;
            self.framer = Framer::discarding();
            (self.sent, self.line, self.filled) = (0, 0, 0);
            return;
        }
        self.buffer.copy_within(keep..self.filled, 0);
        self.sent -= keep;
        self.line -= keep;
        self.filled -= keep;
        if let Some(waiting) = &mut self.waiting {
            waiting.start -= keep;
            waiting.ends.iter_mut().for_each(|end| *end -= keep);
        }
        if self.buffer.len() - self.filled < READ_BYTES {
            self.buffer.resize(self.filled + 4 * READ_BYTES, 0);
        }
    }

    /// Finds the lines that are complete and shows them to the consumer. `None` if there are none.
    fn split(&mut self, consumer: &mut dyn Consumer) -> Option<Waiting> {
        let mut start = self.line;
        let mut ends = Vec::new();
        if !self.plain {
            let framed = catch_unwind(AssertUnwindSafe(|| {
                while let Some(length) = self.framer.line(&self.buffer[self.line..self.filled]) {
                    self.line += length;
                    ends.push(self.line);
                }
            }));
            if framed.is_err() {
                log::error!("framing has failed: the stream goes on, nothing is counted until a restart");
                self.plain = true;
            }
        }
        if self.plain {
            ends.extend(memchr::memchr_iter(b'\n', &self.buffer[self.line..self.filled]).map(|n| self.line + n + 1));
            self.line = ends.last().copied().unwrap_or(self.line);
            return (!ends.is_empty()).then_some(Waiting { taken: None, start, ends });
        }
        let mut lines = ends.as_slice();
        if self.too_long
            && let Some((first, rest)) = lines.split_first()
        {
            // The tail of a line whose beginning is gone.
            (start, lines) = (*first, rest);
            self.too_long = false;
        }
        let taken = (!lines.is_empty()).then(|| consumer.lines(&self.buffer, start, lines));
        (!ends.is_empty()).then_some(Waiting { taken, start, ends })
    }

    /// Forwards the lines that wait, when they may be.
    fn settle(&mut self, output: &mut Option<Output>, consumer: &mut dyn Consumer) -> io::Result<()> {
        let Some(Waiting { taken, start, ends }) = self.waiting.take() else { return Ok(()) };
        if let Some(taken) = taken {
            let lines = &ends[ends.partition_point(|end| *end <= start)..];
            consumer.settle(taken, &self.buffer, start, lines);
        }
        let Some(&last) = ends.last() else { return Ok(()) };
        if let Some(output) = output {
            forward(output, &self.buffer, self.sent, &ends)?;
        }
        self.sent = self.sent.max(last);
        Ok(())
    }

    /// Forwards an unfinished line as it is. A backslash or a CR at its end stays back: if the stream ended there, the
    /// reader's parser would never return.
    fn forward_unfinished(&mut self, output: &mut Option<Output>) -> io::Result<()> {
        let mut end = self.filled;
        while end > self.sent && matches!(self.buffer[end - 1], b'\\' | b'\r') {
            end -= 1;
        }
        if let Some(output) = output {
            output.write(&self.buffer[self.sent..end])?;
        }
        self.sent = end;
        Ok(())
    }

    /// Ends the stream. A tail without a newline is dropped: cut anywhere, it can read as a valid point. A tail with one
    /// is inside an open string, which no parser takes for a point.
    fn finish(&mut self, output: &mut Option<Output>) -> io::Result<()> {
        let tail = &self.buffer[self.sent..self.filled];
        if tail.is_empty() {
            return Ok(());
        }
        if tail.last() == Some(&b'\n') {
            if let Some(output) = output {
                output.write(tail)?;
            }
        } else {
            log::warn!("the input ended within a line: its last {} bytes are dropped", tail.len());
        }
        Ok(())
    }
}

/// Writes whole lines from `start` on, as many at once as surely fit.
fn forward(output: &mut Output, buffer: &[u8], start: usize, ends: &[usize]) -> io::Result<()> {
    let Some(&last) = ends.last() else { return Ok(()) };
    let mut at = start;
    let mut index = 0;
    while at < last {
        if last - at <= output.atomic() {
            return output.write(&buffer[at..last]);
        }
        // The lines that fit, seen from the next one on.
        let fitting = |room: usize| index + ends[index..].partition_point(|end| end - at <= room);
        let mut next = fitting(output.room());
        if next == index {
            next = fitting(output.atomic());
        }
        if next == index {
            // A line longer than a page: wait until it fits, or until the pipe is empty and it never will.
            let length = ends[index] - at;
            let mut idle_room = output.room();
            while idle_room < length && !output.is_drained() {
                std::thread::sleep(ROOM_WAIT);
                idle_room = output.room();
            }
            next = index + 1;
        }
        output.write(&buffer[at..ends[next - 1]])?;
        at = ends[next - 1];
        index = next;
    }
    Ok(())
}
