//! What the stream hands its lines to: the shared engine, and the journal.

use super::courier::Wake;
use super::journaling::Journaling;
use super::shared::Shared;
use crate::durable::journal::frame::Frame;
use crate::engine::Engine;
use std::sync::Arc;

/// What became of a batch.
pub enum Taken {
    /// Nothing of it matched, or there is nothing to journal it with.
    Nothing,
    /// Kept until the configuration has been read: it is settled when that is done.
    Kept,
    /// To be written to the journal: it is settled when that is done.
    Journal(Journaling, Frame),
    /// The journal cannot take it; it would go on at a position.
    Unjournaled(Journaling, u64),
}

/// Feeds lines to the shared engine. It does not panic.
pub struct Ingest {
    engine: Arc<Shared>,
    wake: Wake,
}

impl Ingest {
    pub fn new(engine: Arc<Shared>, wake: Wake) -> Ingest {
        Ingest { engine, wake }
    }

    /// Takes whole lines that have arrived at `at` (nanoseconds since the epoch). Does not wait for anything slow.
    pub fn lines<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, at: i64) -> Taken {
        let (taken, first_match) = self.engine.batch(lines, at);
        if first_match {
            self.wake.wake();
        }
        taken
    }

    /// True if [`Ingest::settle`] has something to do, which may take time.
    pub fn needs_settling(&self, taken: &Taken) -> bool {
        match taken {
            Taken::Nothing => false,
            Taken::Kept => !self.engine.is_journal_stuck(),
            Taken::Journal(..) | Taken::Unjournaled(..) => true,
        }
    }

    /// Settles a batch; takes as long as the disk does. False if it is not in the journal.
    pub fn settle(&self, taken: Taken) -> bool {
        match taken {
            Taken::Nothing => true,
            Taken::Kept => {
                self.engine.wait_configured();
                true
            }
            Taken::Journal(journaling, frame) => journaling.append(frame),
            Taken::Unjournaled(journaling, position) => {
                if !self.engine.is_journal_stuck() {
                    journaling.probe(position);
                }
                false
            }
        }
    }

    /// Notes that the lines of a batch are not in the journal.
    pub fn mark_unjournaled<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, at: i64) {
        self.engine.mark_unjournaled(lines, at);
    }

    /// Says whether a thread waits for the journal's disk: until it comes back, nothing is handed to the journal.
    pub fn journal_is_stuck(&self, stuck: bool) {
        self.engine.journal_is_stuck(stuck);
    }
}

/// Feeds one line. True if it feeds a column.
#[inline]
pub fn one(engine: &mut Engine, line: &[u8], now: i64) -> bool {
    fault(line);
    engine.ingest(line, now)
}

/// Looks whether a line feeds a column, and does not count it.
#[inline]
pub fn matches(engine: &mut Engine, line: &[u8], _: i64) -> bool {
    fault(line);
    engine.matches(line)
}

/// Panics on lines that hold the text of `TELEGRAF_ROLLUP_FAULT_PANIC`: how tests fail the engine in a real process.
/// Only debug builds have it.
#[inline]
fn fault(line: &[u8]) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static TEXT: OnceLock<Option<String>> = OnceLock::new();
        let text = TEXT.get_or_init(|| std::env::var("TELEGRAF_ROLLUP_FAULT_PANIC").ok());
        if let Some(text) = text
            && memchr::memmem::find(line, text.as_bytes()).is_some()
        {
            panic!("fault injected by TELEGRAF_ROLLUP_FAULT_PANIC");
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = line;
}
