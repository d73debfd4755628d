//! The consumer of the stream: hands each batch to the shared engine and waits, briefly, for the journal.

use super::clock;
use super::courier::Wake;
use super::journaling::WAIT_MAX;
use super::shared::{Batch, Shared};
use super::stream::{Consumer, Taken};
use crate::engine::Engine;
use std::sync::Arc;

/// Feeds lines to the shared engine.
pub struct Ingest {
    engine: Arc<Shared>,
    wake: Wake,
}

impl Ingest {
    pub fn new(engine: Arc<Shared>, wake: Wake) -> Ingest {
        Ingest { engine, wake }
    }
}

/// The lines between `start` and the ends.
struct Lines<'b> {
    buffer: &'b [u8],
    start: usize,
    ends: &'b [usize],
}

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let (&end, rest) = self.ends.split_first()?;
        let line = &self.buffer[self.start..end];
        (self.start, self.ends) = (end, rest);
        Some(line)
    }
}

impl Consumer for Ingest {
    fn lines(&mut self, buffer: &[u8], start: usize, ends: &[usize]) -> Taken {
        let at = clock::now();
        let (batch, first_match) = self.engine.batch(Lines { buffer, start, ends }, at);
        if first_match {
            self.wake.wake();
        }
        Taken { at, batch }
    }

    fn settle(&mut self, taken: Taken, buffer: &[u8], start: usize, ends: &[usize]) {
        let journaled = match taken.batch {
            Batch::Nothing => true,
            Batch::Kept => {
                self.engine.wait_configured(WAIT_MAX);
                true
            }
            Batch::Handed(ticket) => self.engine.journaling().is_none_or(|journaling| journaling.wait(ticket)),
            Batch::Unjournaled => false,
        };
        if !journaled {
            self.engine.mark_unjournaled(Lines { buffer, start, ends }, taken.at);
        }
    }
}

/// Feeds one line. True if it feeds a column.
#[inline]
pub fn one(engine: &mut Engine, line: &[u8], now: i64) -> bool {
    fault(line);
    engine.ingest(line, now)
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
