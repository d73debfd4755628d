//! The sacred stream: stdin -> whole lines -> the engine -> stdout, byte for byte.
//!
//! A batch is forwarded when it is settled: when the journal has it, or could not take it in time, see [`super::relay`].
//! One thread at a time does all of it. Whatever happens beyond the engine (database, network) happens in other threads,
//! and whatever happens in the engine (a panic too) is contained by [`Ingest`].
//!
//! Invariants:
//! - The bytes that leave are the bytes that came, in order; only whole lines leave, except that an unfinished line is
//!   held no longer than [`HOLD_TIME_MAX`] and no larger than [`HOLD_BYTES_MAX`].
//! - The engine sees every whole line once, before it leaves.
//! - A torn tail at the end of the stream does not leave: it could read as a valid point with a cut timestamp.
//! - Memory is bounded by [`LINE_BYTES_MAX`] and a read.

use super::beginning::Beginning;
use super::forward::{BatchLines, forward};
use super::nap::Nap;
use super::platform::{Bypass, Input, Output, Read};
use crate::driver::clock;
use crate::driver::intake::ingest::Ingest;
use crate::driver::intake::taken::Taken;
use crate::engine::line::frame::Framer;
use crate::words;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Bytes of one read: what may be counted and not forwarded yet.
const READ_BYTES: usize = 256 * 1024;
/// An unfinished line is forwarded as it is when it exceeds this.
const HOLD_BYTES_MAX: usize = 1024 * 1024;
/// An unfinished line is forwarded as it is after this time.
const HOLD_TIME_MAX: Duration = Duration::from_secs(1);
/// An unfinished line is kept for the engine up to this size; a larger one is forwarded but not read.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

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

/// What the stream has come to.
pub enum Next {
    /// Whole lines, which the engine has seen: to be forwarded.
    Batch(Taken),
    Ended(Ended),
}

/// The stream between two reads.
pub struct Stream {
    input: Input,
    /// `None`: nothing is forwarded.
    output: Option<Output>,
    /// A way past the buffer for what has been read and not forwarded.
    bypass: Option<Bypass>,
    buffer: Vec<u8>,
    /// Up to here bytes have been forwarded; beyond `line` only if an unfinished line was.
    sent: usize,
    /// Start of the line that has begun and not ended.
    line: usize,
    filled: usize,
    framer: Framer,
    beginning: Beginning,
    /// Where the lines of the batch in hand start that the engine has seen.
    start: usize,
    /// Where the lines of the batch in hand end.
    ends: Vec<usize>,
    /// When the batch in hand arrived.
    at: i64,
    held_since: Option<Instant>,
    nap: Nap,
    /// The line that has begun is too long to be read: it is forwarded only.
    too_long: bool,
    /// Framing has failed: lines end at every newline, and the engine sees none.
    plain: bool,
}

impl Stream {
    /// A stream between two pipes. With `output` absent nothing is forwarded; with `bypass` false nothing goes past the buffer.
    pub fn new(input: Input, output: Option<Output>, bypass: bool) -> Stream {
        let bypass = output.as_ref().filter(|_| bypass).and_then(|output| Bypass::new(&input, output));
        Stream {
            input,
            output,
            bypass,
            buffer: vec![0; 2 * READ_BYTES],
            sent: 0,
            line: 0,
            filled: 0,
            framer: Framer::default(),
            beginning: Beginning::default(),
            start: 0,
            ends: Vec::new(),
            at: 0,
            held_since: None,
            nap: Nap::default(),
            too_long: false,
            plain: false,
        }
    }

    /// The same, of which nothing will ever be counted.
    pub fn uncounted(self) -> Stream {
        Stream { beginning: Beginning::of_no_interest(), ..self }
    }

    /// Where it leaves.
    pub fn into_output(self) -> Option<Output> {
        self.output
    }

    /// Reads until there is a batch of whole lines, and shows it to the engine.
    pub fn next(&mut self, ingest: &Ingest) -> Next {
        loop {
            self.make_room();
            let limit = self.held_since.map(|since| HOLD_TIME_MAX.saturating_sub(since.elapsed()));
            let end = (self.filled + READ_BYTES).min(self.buffer.len());
            match self.read(end, limit) {
                Ok(Read::Bytes(n)) => {
                    self.filled += n;
                    if let Some(pause) = self.nap.before_more(Instant::now(), n, self.input.capacity()) {
                        std::thread::sleep(pause);
                        self.read_more(READ_BYTES - n);
                    }
                    let taken = self.split(ingest);
                    self.nap.brought(self.ends.len());
                    if let Some(taken) = taken {
                        // What has begun behind the last whole line.
                        self.held_since = (self.filled > self.line).then(Instant::now);
                        return Next::Batch(taken);
                    }
                }
                Ok(Read::Timeout) => {}
                Ok(Read::End) => {
                    return Next::Ended(self.finish().map_or_else(Ended::OutputGone, |()| Ended::EndOfInput));
                }
                Err(e) => return Next::Ended(Ended::InputGone(e)),
            }
            if let Err(e) = self.hold() {
                return Next::Ended(Ended::OutputGone(e));
            }
        }
    }

    /// Reads into the buffer, up to `end`, as [`Input::read`] does.
    fn read(&mut self, end: usize, limit: Option<Duration>) -> io::Result<Read> {
        let Some(bypass) = &mut self.bypass else {
            return self.input.read(&mut self.buffer[self.filled..end], limit);
        };
        bypass.consider(&self.buffer[self.sent..self.filled]);
        bypass.read(&mut self.input, &mut self.buffer[self.filled..end], limit)
    }

    /// Reads what there is by now, at most so many bytes. An error, or the end, shows again at the next read.
    fn read_more(&mut self, most: usize) {
        let end = (self.filled + most).min(self.buffer.len());
        if let Ok(Read::Bytes(n)) = self.read(end, Some(Duration::ZERO)) {
            self.filled += n;
        }
    }

    /// An unfinished line is held, but not for ever.
    fn hold(&mut self) -> io::Result<()> {
        let unsent = self.filled - self.sent;
        if unsent == 0 {
            self.held_since = None;
        } else if unsent > HOLD_BYTES_MAX || self.held_since.is_some_and(|since| since.elapsed() >= HOLD_TIME_MAX) {
            self.forward_unfinished()?;
            self.held_since = None;
        } else {
            self.held_since = self.held_since.or_else(|| Some(Instant::now()));
        }
        Ok(())
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
            log::warn!(
                "a line of more than {} MiB is forwarded, but not counted: look what sends it",
                LINE_BYTES_MAX >> 20
            );
            self.too_long = true;
            self.framer = Framer::discarding();
            (self.sent, self.line, self.filled) = (0, 0, 0);
            return;
        }
        self.buffer.copy_within(keep..self.filled, 0);
        self.sent -= keep;
        self.line -= keep;
        self.filled -= keep;
        if self.buffer.len() - self.filled < READ_BYTES {
            self.buffer.resize(self.filled + 2 * READ_BYTES, 0);
        }
    }

    /// Finds the lines that are complete and shows them to the engine. `None` if there are none.
    fn split(&mut self, ingest: &Ingest) -> Option<Taken> {
        self.line += self.beginning.skip(&self.buffer[self.line..self.filled])?;
        self.start = self.line;
        self.ends.clear();
        if !self.plain {
            let framed = catch_unwind(AssertUnwindSafe(|| {
                while let Some(length) = self.framer.line(&self.buffer[self.line..self.filled]) {
                    self.line += length;
                    self.ends.push(self.line);
                }
            }));
            if framed.is_err() {
                log::error!(
                    "framing has failed: the stream goes on, nothing is counted until a restart: reload Telegraf, and report this"
                );
                self.plain = true;
            }
        }
        if self.plain {
            let newlines = memchr::memchr_iter(b'\n', &self.buffer[self.line..self.filled]);
            self.ends.extend(newlines.map(|n| self.line + n + 1));
            self.line = self.ends.last().copied().unwrap_or(self.line);
            self.start = self.line;
            return (!self.ends.is_empty()).then_some(Taken::Nothing);
        }
        if self.too_long
            && let Some(first) = self.ends.first()
        {
            // The tail of a line whose beginning is gone.
            self.start = *first;
            self.too_long = false;
        }
        self.beginning.look(&self.buffer[self.start..self.line]);
        self.at = clock::now();
        (!self.ends.is_empty()).then(|| ingest.lines(self.lines(), self.at))
    }

    /// The lines of the batch in hand that the engine has seen.
    fn lines(&self) -> BatchLines<'_> {
        let ends = &self.ends[self.ends.partition_point(|end| *end <= self.start)..];
        BatchLines::new(&self.buffer, self.start, ends)
    }

    /// Notes that the batch in hand is not in the journal.
    pub fn mark_unjournaled(&self, ingest: &Ingest) {
        ingest.mark_unjournaled(self.lines(), self.at);
    }

    /// Forwards the batch in hand.
    ///
    /// # Errors
    /// Stdout is gone.
    pub fn forward(&mut self) -> io::Result<()> {
        let Some(&last) = self.ends.last() else { return Ok(()) };
        if let Some(output) = &mut self.output {
            if let Some(bypass) = self.bypass.as_mut().filter(|bypass| bypass.is_taken()) {
                if bypass.forward(output, last.saturating_sub(self.sent))? {
                    self.sent = self.sent.max(last);
                    return Ok(());
                }
                bypass.leave();
            }
            forward(output, &self.buffer, self.sent, &self.ends)?;
        }
        self.sent = self.sent.max(last);
        Ok(())
    }

    /// Forwards an unfinished line as it is. A backslash or a CR at its end stays back: if the stream ended there, the
    /// reader's parser would never return.
    fn forward_unfinished(&mut self) -> io::Result<()> {
        let mut end = self.filled;
        while end > self.sent && matches!(self.buffer[end - 1], b'\\' | b'\r') {
            end -= 1;
        }
        if let Some(output) = &mut self.output {
            self.bypass.iter_mut().for_each(Bypass::leave);
            output.write(&self.buffer[self.sent..end])?;
        }
        self.sent = end;
        Ok(())
    }

    /// Ends the stream. A tail without a newline is dropped: cut anywhere, it can read as a valid point. A tail with one
    /// is inside an open string, which no parser takes for a point.
    fn finish(&mut self) -> io::Result<()> {
        let tail = &self.buffer[self.sent..self.filled];
        if tail.is_empty() {
            return Ok(());
        }
        if tail.last() == Some(&b'\n') {
            if let Some(output) = &mut self.output {
                output.write(tail)?;
            }
        } else {
            let (bytes, are) = (words::some(tail.len() as u64, "byte"), words::verb(tail.len() as u64, "is", "are"));
            log::warn!(
                "the input ended within a line: its last {bytes} {are} dropped, as they could read as another value"
            );
        }
        Ok(())
    }
}
