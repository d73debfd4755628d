//! The engine as the threads share it, and the lines that arrive before it is there.
//!
//! ```text
//! Starting --bad config--> Off
//!    |                      |
//!    +------ valid config --+--> Idle --first matched line--> Claiming --recovered--> On
//!                                                                |
//!                                                                +--refused--> Refused
//! ```
//!
//! Lines that arrive while the configuration is being read, while the state directory is being claimed and while the
//! state is being recovered are kept, up to [`BACKLOG_BYTES_MAX`], with their time of arrival, and journaled like any
//! other. The stream waits for none of it but the reading of the configuration, which says where the journal is, and for
//! that no longer than for the journal itself.

use super::ingest;
use super::journaling::{Journaling, Ticket};
use crate::durable::journal::Encoder;
use crate::engine::Engine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

impl Backlog {
    fn push(&mut self, line: &[u8], now: i64) {
        if self.bytes.len() + line.len() > BACKLOG_BYTES_MAX {
            self.lost += 1;
            return;
        }
        self.lines.push((now, line.len()));
        self.bytes.extend_from_slice(line);
    }

    /// Feeds all lines to `engine`, which may panic on some.
    fn feed(&self, engine: &mut Engine, mut each: impl FnMut(&[u8], i64, bool)) {
        let mut at = 0;
        let mut lines = self.lines.iter();
        while !lines.as_slice().is_empty() {
            // A line on which the engine panics has been taken from `lines`, so the rest goes on behind it.
            let work = || {
                for (now, length) in lines.by_ref() {
                    let line = &self.bytes[at..at + length];
                    at += length;
                    let matched = ingest::one(engine, line, *now);
                    each(line, *now, matched);
                }
            };
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }
}

enum State {
    /// The configuration has not been read yet.
    Starting(Backlog),
    /// The configuration is bad: lines pass through uncounted.
    Off,
    /// No line has matched yet. The engine serves to recognize one, and is thrown away.
    Idle(Box<Engine>),
    /// Lines match; the state directory is being claimed, or the state recovered.
    Claiming(Box<Engine>, Backlog),
    /// Somebody else owns the state directory.
    Refused,
    On(Box<Engine>),
}

struct Inner {
    state: State,
    journaling: Option<Journaling>,
    /// Matched lines of the batch in hand.
    batch: Encoder,
    panics: u32,
}

/// The shared engine.
pub struct Shared {
    inner: Mutex<Inner>,
    /// Told when the configuration has been read.
    configured: Condvar,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// Nothing of it matched, or there is nothing to journal it with.
    Nothing,
    /// Kept until the configuration has been read: wait for that.
    Kept,
    /// Handed to the journal: wait for it.
    Handed(Ticket),
    /// The journal cannot take it.
    Unjournaled,
}

/// Panics after which the engine is switched off: something is wrong that skipping a line does not cure.
const PANICS_MAX: u32 = 100;

impl Shared {
    fn with_state(state: State) -> Shared {
        let inner = Inner { state, journaling: None, batch: Encoder::default(), panics: 0 };
        Shared { inner: Mutex::new(inner), configured: Condvar::new() }
    }

    /// An engine that is about to be started.
    pub fn starting() -> Shared {
        Shared::with_state(State::Starting(Backlog::default()))
    }

    /// An engine that is there.
    pub fn new(engine: Engine) -> Shared {
        Shared::with_state(State::On(Box::new(engine)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside is caught and handled where it happens, so a poisoned lock means nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the engine under the lock; `None` if there is none. Keep it short: the stream waits.
    pub fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        match &mut self.lock().state {
            State::On(engine) => Some(work(engine)),
            _ => None,
        }
    }

    /// The configuration is valid: from now on lines are matched, and matched ones are journaled. `matcher` is an engine
    /// without state.
    pub fn configured(&self, mut matcher: Engine, journaling: Option<Journaling>) {
        let mut inner = self.lock();
        let mut kept = Backlog::default();
        if let State::Starting(backlog) = &inner.state {
            kept.lost = backlog.lost;
            backlog.feed(&mut matcher, |line, now, matched| {
                if matched {
                    kept.push(line, now);
                    if let Some(journaling) = &journaling {
                        journaling.append_lines(now, line.to_vec());
                    }
                }
            });
        }
        inner.journaling = journaling;
        let matcher = Box::new(matcher);
        inner.state = if kept.lines.is_empty() { State::Idle(matcher) } else { State::Claiming(matcher, kept) };
        self.configured.notify_all();
    }

    /// Waits until the configuration has been read and what was kept until then is in the journal, at most `limit`.
    pub fn wait_configured(&self, limit: Duration) {
        let start = Instant::now();
        let mut inner = self.lock();
        while matches!(inner.state, State::Starting(_)) {
            let rest = limit.saturating_sub(start.elapsed());
            if rest.is_zero() {
                return;
            }
            inner = self.configured.wait_timeout(inner, rest).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
        }
        let mark = inner.journaling.as_ref().map(Journaling::mark);
        drop(inner);
        if let Some(mark) = mark {
            let _ = mark.recv_timeout(limit.saturating_sub(start.elapsed()));
        }
    }

    /// True while matched lines wait for the state directory.
    pub fn is_claiming(&self) -> bool {
        matches!(self.lock().state, State::Claiming(..))
    }

    /// Starts the engine with the lines that have been waiting for it. `switch` is called at the moment from which on
    /// lines go to the engine directly.
    pub fn start(&self, mut engine: Engine, switch: impl FnOnce(&Journaling)) {
        let mut inner = self.lock();
        if let State::Claiming(_, backlog) | State::Starting(backlog) = &inner.state {
            backlog.feed(&mut engine, |_, _, _| ());
            if backlog.lost > 0 {
                log::error!("{} lines that arrived before the engine was ready are not counted", backlog.lost);
            }
        }
        if let Some(journaling) = &inner.journaling {
            switch(journaling);
        }
        // Another file, and an engine that numbers heads in its own way.
        inner.batch.start_segment();
        inner.state = State::On(Box::new(engine));
    }

    /// Switches the engine off: lines pass through uncounted.
    pub fn switch_off(&self) {
        self.lock().state = State::Off;
        self.configured.notify_all();
    }

    /// Becomes a plain pipe: somebody else owns the state directory.
    pub fn refuse(&self) {
        let mut inner = self.lock();
        inner.state = State::Refused;
        inner.journaling = None;
        self.configured.notify_all();
    }

    /// Copies changed state, and asks the journal for the position behind what it holds, in one moment.
    pub fn with_mark<T>(&self, work: impl FnOnce(&mut Engine, Option<&Journaling>) -> T) -> Option<T> {
        let mut inner = self.lock();
        let Inner { state, journaling, .. } = &mut *inner;
        match state {
            State::On(engine) => Some(work(engine, journaling.as_ref())),
            _ => None,
        }
    }

    /// What journals, if anything does.
    pub fn journaling(&self) -> Option<Journaling> {
        self.lock().journaling.clone()
    }

    /// Takes a batch: hands its lines to the engine, or keeps them if it is starting, and matched ones to the journal, all
    /// in one moment, so that a checkpoint holds whole batches. True with the answer if this was the first match.
    ///
    /// A line on which the engine panics is skipped; after [`PANICS_MAX`] of them the engine is switched off.
    pub fn batch<'b>(&self, mut lines: impl Iterator<Item = &'b [u8]>, now: i64) -> (Batch, bool) {
        let mut inner = self.lock();
        let was_idle = matches!(inner.state, State::Idle(_));
        let mut kept = Backlog::default();
        loop {
            let Inner { state, batch, journaling, .. } = &mut *inner;
            let mut encoder = journaling.is_some().then_some(batch);
            let work = || take(state, &mut lines, now, &mut encoder, &mut kept);
            if catch_unwind(AssertUnwindSafe(work)).is_ok() {
                break;
            }
            inner.panics += 1;
            if inner.panics == PANICS_MAX {
                log::error!("the engine has failed {PANICS_MAX} times and is switched off; the stream goes on");
                inner.state = State::Off;
            }
        }
        let matched = was_idle && !kept.lines.is_empty();
        if matched && let State::Idle(matcher) = std::mem::replace(&mut inner.state, State::Off) {
            // What came of the first match so far is only a recognition.
            inner.state = State::Claiming(matcher, kept);
        }
        let Some(payload) = inner.batch.take() else {
            let kept = matches!(inner.state, State::Starting(_));
            return (if kept { Batch::Kept } else { Batch::Nothing }, matched);
        };
        let Inner { journaling, batch, .. } = &mut *inner;
        let Some(journaling) = journaling else { return (Batch::Nothing, matched) };
        let handed = journaling.append(now, payload);
        if handed.is_none() || journaling.takes_failure() {
            // What this batch, or one before it, said of heads is not in the file.
            batch.start_segment();
        }
        (handed.map_or(Batch::Unjournaled, Batch::Handed), matched)
    }

    /// Notes on the windows of a batch that it is not in the journal.
    pub fn mark_unjournaled<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, now: i64) {
        self.with(|engine| lines.for_each(|line| engine.mark_unjournaled(line, now)));
    }
}

/// Takes lines in a state. `encoder` receives the matched ones, `kept` those that were the first to match.
fn take<'b>(
    state: &mut State,
    lines: &mut impl Iterator<Item = &'b [u8]>,
    now: i64,
    encoder: &mut Option<&mut Encoder>,
    kept: &mut Backlog,
) {
    match state {
        State::On(engine) => {
            for line in lines {
                if ingest::one(engine, line, now) {
                    encode(encoder, engine, line);
                }
            }
        }
        State::Starting(backlog) => lines.for_each(|line| backlog.push(line, now)),
        State::Claiming(matcher, backlog) => {
            for line in lines {
                if ingest::one(matcher, line, now) {
                    encode(encoder, matcher, line);
                    backlog.push(line, now);
                }
            }
        }
        State::Idle(matcher) => {
            for line in lines {
                if ingest::one(matcher, line, now) {
                    encode(encoder, matcher, line);
                    kept.push(line, now);
                }
            }
        }
        State::Off | State::Refused => {}
    }
}

/// Adds the line that an engine has just taken to what is journaled.
#[inline]
fn encode(encoder: &mut Option<&mut Encoder>, engine: &Engine, line: &[u8]) {
    if let Some(encoder) = encoder {
        encoder.line(engine.last_head(), line);
    }
}
