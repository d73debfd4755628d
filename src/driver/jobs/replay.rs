//! Line protocol -> rows, through the engine and the flush that `run` uses, without state and without a database.

use crate::driver::clock;
use crate::driver::flush::pass::{self, FlushMemory, Scope};
use crate::driver::hints::{Hints, Look};
use crate::driver::intake::shared::Shared;
use crate::driver::owner::figures::ColumnFigures;
use crate::engine::line::frame::Framer;
use crate::engine::precision::Precision;
use crate::engine::schema::{Lateness, Schema};
use crate::engine::{Counters, Engine};
use crate::sink::memory::MemorySink;
use crate::sink::port::{Sink, SinkError};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of one read: they stay in the cache while they are looked at.
const READ_BYTES: usize = 128 << 10;

/// So many lines are looked at for hints, then one of so many.
const LINES_LOOKED_AT: u32 = 1 << 14;
const LINES_A_LOOK: u32 = 256;

/// Without a time to judge at, every window has been settled for as long as this, in nanoseconds.
const SETTLED: i64 = i64::MAX / 2;

/// A replay that is being fed.
pub struct Replay {
    engine: Engine,
    now: Option<i64>,
    precision: Precision,
    /// The line in hand with its timestamp in nanoseconds; kept to reuse its memory.
    line: Vec<u8>,
    /// Timestamps that are too large for the unit.
    too_large: u64,
}

/// What `telegraf --test` prints in front of a line.
const PROMPT: &[u8] = b"> ";

/// Digits of the largest timestamp in nanoseconds.
const TIMESTAMP_DIGITS_MAX: usize = 19;

/// Where the digits of a line's timestamp stand, if it has one.
fn timestamp(line: &[u8]) -> Option<Range<usize>> {
    let line = line.trim_ascii_end();
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let before = line[..line.len() - digits].strip_suffix(b"-").unwrap_or(&line[..line.len() - digits]);
    (digits > 0 && before.last().is_some_and(u8::is_ascii_whitespace)).then_some(line.len() - digits..line.len())
}

impl Replay {
    /// Starts a replay. Every line is judged at `now` (nanoseconds since the epoch); with `None` nothing is late, every window
    /// is final, also that of the newest point, and windows without a sample have rows up to that point.
    pub fn new(schema: &Schema, now: Option<i64>) -> Replay {
        let mut schema = schema.clone();
        if now.is_none() {
            schema.lateness = Lateness { max: i64::MAX, future: i64::MAX, allowed: -SETTLED };
        }
        let mut engine = Engine::new(Arc::new(schema));
        engine.watch(LINES_LOOKED_AT, LINES_A_LOOK);
        Replay { engine, now, precision: Precision::Nanoseconds, line: Vec::new(), too_large: 0 }
    }

    /// Timestamps are in this unit from now on.
    pub fn with_precision(mut self, precision: Precision) -> Replay {
        self.precision = precision;
        self
    }

    fn take(&mut self, line: &[u8], arrival: i64) {
        let more = self.precision.digits();
        match (more > 0).then(|| timestamp(line)).flatten() {
            None => self.engine.ingest(line, arrival),
            Some(at) => {
                self.too_large += u64::from(at.len() + more > TIMESTAMP_DIGITS_MAX);
                self.line.clear();
                self.line.extend_from_slice(&line[..at.end]);
                self.line.resize(at.end + more, b'0');
                self.line.extend_from_slice(&line[at.end..]);
                self.engine.ingest(&self.line, arrival)
            }
        };
    }

    /// Timestamps that are too large for the unit: their lines count as malformed.
    pub fn too_large(&self) -> u64 {
        self.too_large
    }

    /// What is computed.
    pub fn schema(&self) -> &Arc<Schema> {
        self.engine.schema()
    }

    /// Takes all lines of one input, with or without the `> ` that `telegraf --test` prints in front of them. A last line
    /// without a newline counts: unlike a pipe, a file is not torn.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn feed(&mut self, input: &mut dyn Read) -> io::Result<()> {
        let arrival = self.now.unwrap_or_else(clock::now);
        let mut framer = Framer::default();
        let mut buffer: Vec<u8> = Vec::new();
        let (mut line, mut filled) = (0, 0);
        let mut is_new = true;
        loop {
            let rest = filled - line;
            // What is left of the last read is short, or much of a long line, which is not moved again and again.
            if rest <= READ_BYTES || buffer.len() - filled < READ_BYTES {
                buffer.copy_within(line..filled, 0);
                (filled, line) = (rest, 0);
            }
            if buffer.len() - filled < READ_BYTES {
                buffer.resize(2 * filled + 2 * READ_BYTES, 0);
            }
            let read = match input.read(&mut buffer[filled..filled + READ_BYTES]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            filled += read;
            loop {
                let rest = &buffer[line..filled];
                if is_new && rest.starts_with(PROMPT) {
                    line += PROMPT.len();
                } else if is_new && PROMPT.starts_with(rest) {
                    // Whether it is one shows with the next byte.
                    break;
                }
                is_new = false;
                let Some(length) = framer.line(&buffer[line..filled]) else { break };
                self.take(&buffer[line..line + length], arrival);
                line += length;
                is_new = true;
            }
        }
        if filled > line {
            self.take(&buffer[line..filled], arrival);
        }
        Ok(())
    }

    /// What is to be said of the input as a whole.
    pub fn hints(&mut self) -> Vec<String> {
        let mut silent = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.engine.silent(at, usize::MAX / 2, &mut silent);
        }
        let (seen, differing) = (self.engine.take_seen(), self.engine.take_differing());
        Hints::of_all(&Look { columns: self.columns(), seen, differing, silent, misread: self.engine.misread() })
    }

    /// What became of the values of each column, in the order of the configuration.
    pub fn columns(&self) -> Vec<ColumnFigures> {
        ColumnFigures::of(self.engine.schema(), self.engine.tallies())
    }

    /// Ends the replay: writes its rows to a sink, as they are at `now` (nanoseconds since the epoch).
    ///
    /// # Errors
    /// Those of the sink.
    pub fn write_to(self, sink: &mut dyn Sink, now: i64) -> Result<(), SinkError> {
        sink.prepare(self.engine.schema())?;
        let shared = Shared::new(self.engine);
        let scope = Scope::Everything { running: true };
        pass::flush(&shared, sink, &mut FlushMemory::default(), "replay", now, scope)?;
        sink.close();
        Ok(())
    }

    /// Ends the replay: its rows, and what became of the lines.
    ///
    /// # Errors
    /// None of the sink's errors can happen in memory.
    pub fn finish(self) -> Result<(MemorySink, Counters), SinkError> {
        let counters = self.engine.counters();
        let newest = || self.engine.tallies().iter().map(|tally| tally.last_point).max().unwrap_or_default();
        let judged = self.now.unwrap_or_else(newest);
        let shared = Shared::new(self.engine);
        let mut rows = MemorySink::default();
        let scope = Scope::Everything { running: true };
        pass::flush(&shared, &mut rows, &mut FlushMemory::default(), "replay", judged, scope)?;
        Ok((rows, counters))
    }
}
