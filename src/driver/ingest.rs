//! The consumer of the stream: feeds the engine and contains its panics.
//!
//! A line on which the engine panics is skipped, counted and forwarded like any other. After [`PANICS_MAX`] of them the
//! engine is switched off: something is wrong that skipping does not cure.

use super::clock;
use super::flush::{Shared, lock};
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

impl Consumer for Ingest {
    fn lines(&mut self, buffer: &[u8], start: usize, ends: &[usize]) {
        let mut guard = lock(&self.engine);
        let now = clock::now();
        // Where the work stands: what a panic leaves behind.
        let (mut from, mut next) = (start, 0);
        while next < ends.len() {
            let Some(engine) = guard.as_mut() else { return };
            let work = || {
                while let Some(&end) = ends.get(next) {
                    let line = &buffer[from..end];
                    (from, next) = (end, next + 1);
                    fault(line);
                    engine.ingest(line, now);
                }
            };
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                self.panics += 1;
                if self.panics >= PANICS_MAX {
                    log::error!("the engine has failed {PANICS_MAX} times and is switched off; the stream goes on");
                    *guard = None;
                }
            }
        }
    }
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

/// An engine that is ready for lines.
pub fn start(engine: &Shared, new: Engine) {
    *lock(engine) = Some(new);
}
