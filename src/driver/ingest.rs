//! The consumer of the stream: feeds the engine and contains its panics.
//!
//! A line on which the engine panics is skipped, counted and forwarded like any other. After [`PANICS_MAX`] of them the
//! engine is switched off: something is wrong that skipping does not cure.

use super::clock;
use super::shared::Shared;
use super::stream::Consumer;
use crate::engine::Engine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Panics after which the engine is switched off.
const PANICS_MAX: u32 = 100;

/// Feeds lines to the shared engine.
pub struct Ingest {
    engine: Arc<Shared>,
    panics: u32,
}

impl Ingest {
    pub fn new(engine: Arc<Shared>) -> Ingest {
        Ingest { engine, panics: 0 }
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
    fn lines(&mut self, buffer: &[u8], start: usize, ends: &[usize]) {
        let now = clock::now();
        // What a panic leaves behind is where the work stands: the line that caused it has been taken.
        let mut lines = Lines { buffer, start, ends };
        while !lines.ends.is_empty() {
            let work = || {
                self.engine.lines(&mut lines, now, |engine, line| one(engine, line, now));
            };
            if catch_unwind(AssertUnwindSafe(work)).is_ok() {
                return;
            }
            self.panics += 1;
            if self.panics == PANICS_MAX {
                log::error!("the engine has failed {PANICS_MAX} times and is switched off; the stream goes on");
                self.engine.switch_off();
            }
        }
    }
}

/// Feeds one line.
#[inline]
pub fn one(engine: &mut Engine, line: &[u8], now: i64) {
    fault(line);
    engine.ingest(line, now);
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
