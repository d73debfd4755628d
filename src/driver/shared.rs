//! The engine as the threads share it, and the lines that arrive before it is there.
//!
//! The stream does not wait for the configuration to be read: lines that arrive in the meantime are kept, up to
//! [`BACKLOG_BYTES_MAX`], and folded with their time of arrival when the engine starts. If the configuration turns out to
//! be bad they are let go: from then on lines pass through uncounted, and the log says so.

use super::ingest;
use crate::engine::Engine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of lines that are kept while the engine is starting.
const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lines that wait for the engine.
#[derive(Default)]
struct Backlog {
    /// Time of arrival and length of each line.
    lines: Vec<(i64, usize)>,
    bytes: Vec<u8>,
    lost: u64,
}

enum State {
    Starting(Backlog),
    Off,
    On(Box<Engine>),
}

/// The shared engine.
pub struct Shared(Mutex<State>);

impl Shared {
    /// An engine that is about to be started.
    pub fn starting() -> Shared {
        Shared(Mutex::new(State::Starting(Backlog::default())))
    }

    /// An engine that is there.
    pub fn new(engine: Engine) -> Shared {
        Shared(Mutex::new(State::On(Box::new(engine))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside is caught and handled where it happens, so a poisoned lock means nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the engine under the lock; `None` if there is none. Keep it short: the stream waits.
    pub fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        match &mut *self.lock() {
            State::On(engine) => Some(work(engine)),
            State::Starting(_) | State::Off => None,
        }
    }

    /// Starts the engine with the lines that have been waiting for it.
    pub fn start(&self, mut engine: Engine) {
        let mut state = self.lock();
        if let State::Starting(backlog) = &mut *state {
            let mut at = 0;
            let mut lines = backlog.lines.iter();
            while !lines.as_slice().is_empty() {
                // A line on which the engine panics has been taken from `lines`, so the rest goes on behind it.
                let feed = || {
                    for (now, length) in lines.by_ref() {
                        let line = &backlog.bytes[at..at + length];
                        at += length;
                        ingest::one(&mut engine, line, *now);
                    }
                };
                let _ = catch_unwind(AssertUnwindSafe(feed));
            }
            if backlog.lost > 0 {
                log::error!("{} lines that arrived before the engine was ready are not counted", backlog.lost);
            }
        }
        *state = State::On(Box::new(engine));
    }

    /// Switches the engine off: lines pass through uncounted.
    pub fn switch_off(&self) {
        *self.lock() = State::Off;
    }

    /// Hands lines to the engine, or keeps them if it is starting. `each` is called for one line after the other with
    /// the engine; it must not fail.
    pub fn lines<'b>(
        &self,
        lines: impl Iterator<Item = &'b [u8]>,
        now: i64,
        mut each: impl FnMut(&mut Engine, &'b [u8]),
    ) {
        match &mut *self.lock() {
            State::On(engine) => lines.for_each(|line| each(engine, line)),
            State::Off => {}
            State::Starting(backlog) => {
                for line in lines {
                    if backlog.bytes.len() + line.len() > BACKLOG_BYTES_MAX {
                        backlog.lost += 1;
                        continue;
                    }
                    backlog.lines.push((now, line.len()));
                    backlog.bytes.extend_from_slice(line);
                }
            }
        }
    }
}
