//! Lines that wait for the engine, with their times of arrival.

use crate::engine::Engine;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of lines that are kept while the engine is starting.
pub const BACKLOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Lines that wait for the engine.
#[derive(Default)]
pub struct Backlog {
    /// Time of arrival and length of each line.
    pub lines: Vec<(i64, usize)>,
    pub bytes: Vec<u8>,
    /// Lines for which there was no room.
    pub lost: u64,
}

impl Backlog {
    /// Keeps a line, if there is room.
    pub fn push(&mut self, line: &[u8], now: i64) {
        if self.bytes.len() + line.len() > BACKLOG_BYTES_MAX {
            self.lost += 1;
            return;
        }
        self.lines.push((now, line.len()));
        self.bytes.extend_from_slice(line);
    }

    /// Gives all lines to an engine, which may panic on some. `each` is told what `take` says of them.
    pub fn feed(
        &self,
        engine: &mut Engine,
        take: impl Fn(&mut Engine, &[u8], i64) -> bool,
        mut each: impl FnMut(&Engine, &[u8], i64, bool),
    ) {
        let mut at = 0;
        let mut lines = self.lines.iter();
        while !lines.as_slice().is_empty() {
            // A line on which the engine panics has been taken from `lines`, so the rest goes on behind it.
            let work = || {
                for (now, length) in lines.by_ref() {
                    let line = &self.bytes[at..at + length];
                    at += length;
                    let matched = take(engine, line, *now);
                    each(engine, line, *now, matched);
                }
            };
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }
}
