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
//!
//! Invariants: nobody holds the lock while it reads or writes a file, a pipe or a socket; a batch is folded under one
//! lock, so a checkpoint holds whole batches; behind lines that are not in the journal, the journal goes on as another
//! run.

use super::backlog::Backlog;
use super::journaling::{Held, Journaling};
use super::recognize;
use super::runs::RunPace;
use super::taken::Taken;
use crate::driver::troubles::{Trouble, Troubles};
use crate::durable::journal::entries::Encoder;
use crate::durable::journal::frame::Frame;
use crate::durable::recover::run_name;
use crate::engine::ids::DeviceId;
use crate::engine::persist::expire::ExpireStep;
use crate::engine::watch::arrivals::Arrivals;
use crate::engine::{Counters, Engine};
use crate::words;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// What is left of them when the engine is switched on, with the stream waiting.
const BACKLOG_BYTES_LAST: usize = 64 * 1024;
/// With so much waiting, the stream goes slower.
const BACKLOG_BYTES_FAST: usize = 64 * 1024 * 1024;
/// With so much waiting, while an engine is fed with what has been waiting before, it does too.
const BACKLOG_BYTES_FEEDING: usize = 1024 * 1024;
/// How often what waits is fed at least before the stream has to wait for so much.
const FEEDS_MIN: u32 = 3;
/// How much slower: a batch waits so long for the engine at most.
const PACE_MAX: Duration = Duration::from_millis(20);

/// How long to wait for a batch that is on its way to the journal before looking again.
const SWITCH_PAUSE: Duration = Duration::from_micros(100);

enum EngineState {
    /// The configuration has not been read yet.
    Starting(Backlog),
    /// The configuration is bad: lines pass through uncounted.
    Off,
    /// No line has matched yet. The engine serves to recognize one, and is thrown away.
    Idle(Box<Engine>, Box<Arrivals>),
    /// Lines match; the state directory is being claimed, or the state recovered.
    Claiming(Box<Engine>, Backlog),
    /// Somebody else owns the state directory.
    Refused,
    On(Box<Engine>),
}

impl EngineState {
    /// Takes out the lines that wait.
    fn waiting(&mut self) -> Backlog {
        match self {
            EngineState::Starting(backlog) | EngineState::Claiming(_, backlog) => std::mem::take(backlog),
            EngineState::Off | EngineState::Idle(..) | EngineState::Refused | EngineState::On(_) => Backlog::default(),
        }
    }
}

struct Inner {
    state: EngineState,
    journaling: Option<Journaling>,
    /// Matched lines of the batch in hand.
    batch: Encoder,
    /// Lines have passed that are not in the journal: the lines behind them there are another run's.
    has_gap: bool,
    /// When the next run may begin.
    pace: RunPace,
    /// The journal goes without lines until another run may begin.
    is_paused: bool,
    panics: u32,
}

impl Inner {
    /// Begins another run, in a segment of its own: lines that arrive from now on are that run's.
    fn begin_run(&mut self, run: u128) {
        self.has_gap = false;
        self.is_paused = false;
        self.batch.begin_run(run);
        if let EngineState::On(engine) = &mut self.state {
            engine.begin_run(&run_name(run));
        }
    }

    /// True if the lines of a batch that comes at `now` are to be journaled. Behind a gap another run begins, whose name is
    /// `run()`, as soon as it may.
    fn journals(&mut self, now: i64, run: impl FnOnce() -> u128) -> bool {
        let Some(journaling) = self.journaling.as_ref().filter(|journaling| journaling.is_ready()) else {
            return false;
        };
        if !journaling.has_failed() && !self.has_gap {
            return true;
        }
        if !self.pace.may_begin(now) {
            if !self.has_gap && !journaling.has_gap() {
                // A sync has failed, and everything was written: it goes on, and the next checkpoint makes good for it.
                return true;
            }
            if !std::mem::replace(&mut self.is_paused, true) {
                log::warn!(
                    "the journal's disk has failed again and again: lines pass and are counted, the state is saved once a \
                     minute, and the journal goes on within an hour; look at that disk"
                );
            }
            return false;
        }
        // What a frame before this one said of heads is not in the file, either.
        journaling.takes_failure();
        self.begin_run(run());
        true
    }
}

/// The shared engine.
pub struct Shared {
    inner: Mutex<Inner>,
    /// Told when the configuration has been read.
    configured: Condvar,
    /// Told when lines that wait are about to be fed to the engine.
    fed: Condvar,
    /// A thread waits for the journal's disk, and the stream goes on without the journal.
    journal_stuck: AtomicBool,
    /// Batches that no journal has, since the start.
    unjournaled: AtomicU64,
    /// The lines that wait are being fed to an engine. Not behind the lock, which a stream at full speed leaves to nobody.
    is_feeding: AtomicBool,
    /// The stream waits for the lock.
    stream_waits: AtomicBool,
    /// Flushes that are at work.
    flushing: AtomicUsize,
    /// The process ends: a flush writes no further group.
    ends_flushes: AtomicBool,
    /// Lines that passed uncounted, since this was asked last.
    passed: AtomicU64,
    troubles: Troubles,
    /// Makes names for runs.
    runs: fn() -> u128,
}

/// A flush that is at work, until this is dropped.
pub struct Flushing<'s>(&'s Shared);

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        self.0.flushing.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Series or devices that are looked at under one lock to see whether they have expired.
const EXPIRED_A_SLICE: usize = 500;

/// How often another thread that wants the engine lets the stream go first.
const YIELDS_MAX: u32 = 1_000;
/// Panics after which the engine is switched off: something is wrong that skipping a line does not cure.
const PANICS_MAX: u32 = 100;

impl Shared {
    fn with_state(state: EngineState, run: u128, runs: fn() -> u128) -> Shared {
        let inner = Inner {
            state,
            journaling: None,
            batch: Encoder::new(run),
            has_gap: false,
            pace: RunPace::default(),
            is_paused: false,
            panics: 0,
        };
        Shared {
            inner: Mutex::new(inner),
            configured: Condvar::new(),
            fed: Condvar::new(),
            journal_stuck: AtomicBool::new(false),
            unjournaled: AtomicU64::new(0),
            is_feeding: AtomicBool::new(false),
            stream_waits: AtomicBool::new(false),
            flushing: AtomicUsize::new(0),
            ends_flushes: AtomicBool::new(false),
            passed: AtomicU64::new(0),
            troubles: Troubles::default(),
            runs,
        }
    }

    /// An engine that is about to be started, for a run; `runs` gives names for more of them.
    pub fn starting(run: u128, runs: fn() -> u128) -> Shared {
        Shared::with_state(EngineState::Starting(Backlog::default()), run, runs)
    }

    /// An engine that is there.
    pub fn new(engine: Engine) -> Shared {
        Shared::with_state(EngineState::On(Box::new(engine)), 0, || 0)
    }

    /// What is wrong for a while.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// How many lines have passed uncounted since this was asked last.
    pub fn takes_passed(&self) -> u64 {
        self.passed.swap(0, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic inside is caught and handled where it happens, so a poisoned lock means nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks before anybody else who wants to.
    fn lock_first(&self) -> MutexGuard<'_, Inner> {
        match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.stream_waits.store(true, Ordering::Relaxed);
                let inner = self.lock();
                self.stream_waits.store(false, Ordering::Relaxed);
                inner
            }
        }
    }

    /// Uses the engine under the lock; `None` if there is none. Keep it short: the stream waits.
    pub fn with<T>(&self, work: impl FnOnce(&mut Engine) -> T) -> Option<T> {
        match &mut self.lock_second().state {
            EngineState::On(engine) => Some(work(engine)),
            _ => None,
        }
    }

    /// Returns what has come while no line has matched; `None` in any other state.
    pub fn nothing_matched(&self) -> Option<(Counters, Arrivals)> {
        match &self.lock_second().state {
            EngineState::Idle(matcher, arrivals) => Some((matcher.counters(), (**arrivals).clone())),
            _ => None,
        }
    }

    /// Locks after the stream, if it waits.
    fn lock_second(&self) -> MutexGuard<'_, Inner> {
        // A lock goes to whoever asks for it first after it is free. The stream has been asking.
        for _ in 0..YIELDS_MAX {
            if !self.stream_waits.load(Ordering::Relaxed) {
                break;
            }
            std::thread::yield_now();
        }
        self.lock()
    }

    /// Uses the engine in slices, each under the lock for itself: `work` gets where to go on, and returns where the
    /// next slice begins.
    pub fn slices(&self, mut work: impl FnMut(&mut Engine, usize) -> Option<usize>) {
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.with(|engine| work(engine, at)).flatten();
        }
    }

    /// The configuration is valid: from now on lines are matched, and matched ones are journaled. `matcher` is an engine
    /// without state.
    pub fn configured(&self, mut matcher: Engine, journaling: Option<Journaling>) {
        let mut held = journaling.as_ref().map(Journaling::hold);
        let mut frames: Vec<Frame> = Vec::new();
        {
            let mut inner = self.lock();
            let Inner { state, batch, .. } = &mut *inner;
            let (mut kept, mut arrivals) = (Backlog::default(), Arrivals::default());
            if let EngineState::Starting(backlog) = state {
                kept.lost = backlog.lost;
                let mut received = None;
                let schema = matcher.schema().clone();
                backlog.feed(&mut matcher, recognize::matches, |matcher, line, now, matched| {
                    if !matched {
                        arrivals.line(&schema, line);
                        return;
                    }
                    kept.push(line, now);
                    if journaling.is_some() {
                        if let Some(before) = received.replace(now).filter(|before| *before != now) {
                            frames.extend(batch.take(before));
                        }
                        batch.line(matcher.last_head(), line);
                    }
                });
                frames.extend(batch.take(received.unwrap_or_default()));
            }
            inner.journaling = journaling.clone();
            if !matches!(inner.state, EngineState::Starting(_)) {
                // Another journal, which has no frames and knows no heads yet.
                inner.batch.begin_anew();
            }
            let matcher = Box::new(matcher);
            inner.state = match kept.lines.is_empty() {
                true => EngineState::Idle(matcher, Box::new(arrivals)),
                false => EngineState::Claiming(matcher, kept),
            };
        }
        if let Some(held) = &mut held {
            frames.into_iter().for_each(|frame| {
                held.append(frame);
            });
        }
        drop(held);
        self.configured.notify_all();
    }

    /// Waits until the configuration has been read and what was kept until then is in the journal.
    pub fn wait_configured(&self) {
        let mut inner = self.lock();
        while matches!(inner.state, EngineState::Starting(_)) {
            inner = self.configured.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let journaling = inner.journaling.clone();
        drop(inner);
        if let Some(journaling) = journaling {
            drop(journaling.hold());
        }
    }

    /// Begins another run: lines that arrive from now on are that run's.
    pub fn begin_run(&self) {
        self.lock().begin_run((self.runs)());
    }

    /// Notes that a flush is at work: until the answer is dropped, no device leaves the engine.
    pub fn begin_flush(&self) -> Flushing<'_> {
        let _inner = self.lock_second();
        self.flushing.fetch_add(1, Ordering::Relaxed);
        Flushing(self)
    }

    /// Makes a flush that is at work stop behind the rows that it is writing: the last checkpoint needs the time.
    pub fn cut_flushes_short(&self) {
        self.ends_flushes.store(true, Ordering::Relaxed);
    }

    /// True if a flush is to write no further group of devices.
    pub fn flushes_are_cut_short(&self) -> bool {
        self.ends_flushes.load(Ordering::Relaxed)
    }

    /// Says whether a thread waits for the journal's disk: until it comes back, nothing is handed to the journal.
    pub fn journal_is_stuck(&self, stuck: bool) {
        self.journal_stuck.store(stuck, Ordering::Relaxed);
    }

    /// True while a thread waits for the journal's disk.
    pub fn is_journal_stuck(&self) -> bool {
        self.journal_stuck.load(Ordering::Relaxed)
    }

    /// True while matched lines wait for the state directory.
    pub fn is_claiming(&self) -> bool {
        matches!(self.lock().state, EngineState::Claiming(..))
    }

    /// The first of the lines that wait for the state directory.
    pub fn first_waiting(&self) -> Option<Vec<u8>> {
        match &self.lock().state {
            EngineState::Claiming(_, backlog) => {
                backlog.lines.first().map(|(_, length)| backlog.bytes[..*length].to_vec())
            }
            _ => None,
        }
    }

    /// Starts the engine with the lines that have been waiting for it; the stream waits only for the last few of them.
    /// At the moment from which on lines go to the engine directly, the journal goes on in the name of the owner: `position`
    /// says where, under the engine's lock, and `switch` makes it so, without that lock but before anything is written.
    pub fn start(
        &self,
        mut engine: Engine,
        position: impl FnOnce(&Held<'_>) -> u64,
        switch: impl FnOnce(&mut Held<'_>),
    ) {
        let mut lost = 0;
        self.is_feeding.store(true, Ordering::Relaxed);
        for feed in 0.. {
            let waiting = self.lock().state.waiting();
            self.fed.notify_all();
            waiting.feed(&mut engine, recognize::one, |_, _, _, _| ());
            lost += waiting.lost;
            // A stream at full speed is always as far ahead as it may be.
            let is_paced = feed >= FEEDS_MIN && waiting.bytes.len() <= 2 * BACKLOG_BYTES_FEEDING;
            if is_paced || waiting.bytes.len() <= BACKLOG_BYTES_LAST {
                break;
            }
        }
        let journaling = self.journaling();
        loop {
            // Nobody may write to the journal between the last line and the switch, and a batch that was taken before it
            // must have been written before it.
            let mut held = journaling.as_ref().map(Journaling::hold);
            let mut inner = self.lock();
            if held.as_ref().is_some_and(|held| held.frames() != inner.batch.frames()) {
                drop(inner);
                drop(held);
                std::thread::sleep(SWITCH_PAUSE);
                continue;
            }
            let last = inner.state.waiting();
            last.feed(&mut engine, recognize::one, |_, _, _, _| ());
            lost += last.lost;
            if let Some(held) = &held {
                // Another file, and an engine that numbers heads in its own way.
                inner.batch.go_on_at(position(held));
            }
            inner.state = EngineState::On(Box::new(engine));
            self.is_feeding.store(false, Ordering::Relaxed);
            if inner.has_gap {
                inner.begin_run((self.runs)());
            }
            drop(inner);
            // A disk that is stuck now holds the journal, which the stream does without, and nothing else.
            if let Some(held) = &mut held {
                switch(held);
            }
            break;
        }
        if lost > 0 {
            let (lines, are) = (words::some(lost, "line"), words::verb(lost, "is", "are"));
            log::error!(
                "{lines} that arrived before the engine was ready {are} not counted: there was no room to keep more"
            );
        }
    }

    /// Lets series and devices go that nothing can reach any more, in slices, unless a flush is at work.
    ///
    /// `open` are the devices of which stored state has windows that are not done.
    pub fn expire(&self, now: i64, open: &HashSet<DeviceId>) {
        for step in [ExpireStep::Series, ExpireStep::Devices, ExpireStep::Heads] {
            let mut from = Some(0);
            while let Some(at) = from {
                let mut inner = self.lock_second();
                // A flush says under this lock that it begins.
                if self.flushing.load(Ordering::Relaxed) > 0 {
                    return;
                }
                let Inner { state: EngineState::On(engine), batch, .. } = &mut *inner else { return };
                from = engine.expire(step, at, EXPIRED_A_SLICE, (now, open));
                if engine.takes_renumbered() {
                    // Heads are written once a segment, by their numbers.
                    batch.start_segment();
                }
            }
        }
    }

    /// Notes that stored state is empty: all of it is due, and another run begins. Returns how many windows were there
    /// that are not in memory.
    pub fn begin_anew(&self) -> u64 {
        let run = (self.runs)();
        let mut inner = self.lock_second();
        let EngineState::On(engine) = &mut inner.state else { return 0 };
        let away = engine.begin_anew(&run_name(run));
        inner.begin_run(run);
        away
    }

    /// Switches the engine off: lines pass through uncounted.
    pub fn switch_off(&self) {
        let mut inner = self.lock();
        // What waited has passed.
        let Backlog { lines, lost, .. } = inner.state.waiting();
        self.passed.fetch_add(lines.len() as u64 + lost, Ordering::Relaxed);
        inner.state = EngineState::Off;
        self.configured.notify_all();
    }

    /// Becomes a plain pipe: somebody else owns the state directory.
    pub fn refuse(&self) {
        let mut inner = self.lock();
        inner.state = EngineState::Refused;
        inner.journaling = None;
        self.configured.notify_all();
    }

    /// Uses the engine in one moment with the position of the journal that its state stands for, if anything journals.
    pub fn with_position<T>(&self, work: impl FnOnce(&mut Engine, Option<u64>) -> T) -> Option<T> {
        let mut inner = self.lock();
        let Inner { state, journaling, batch, .. } = &mut *inner;
        match state {
            EngineState::On(engine) => Some(work(engine, journaling.as_ref().map(|_| batch.position()))),
            _ => None,
        }
    }

    /// What journals, if anything does.
    pub fn journaling(&self) -> Option<Journaling> {
        self.lock().journaling.clone()
    }

    /// Takes a batch: hands its lines to the engine, or keeps them if it is starting, and makes a frame of the matched
    /// ones, all in one moment, so that a checkpoint holds whole batches. True with the answer if this was the first match.
    ///
    /// A line on which the engine panics is skipped; after [`PANICS_MAX`] of them the engine is switched off.
    pub fn batch<'b>(&self, mut lines: impl Iterator<Item = &'b [u8]>, now: i64) -> (Taken, bool) {
        let mut inner = self.lock_first();
        let is_feeding = self.is_feeding.load(Ordering::Relaxed);
        let most = if is_feeding { BACKLOG_BYTES_FEEDING } else { BACKLOG_BYTES_FAST };
        if let EngineState::Claiming(_, backlog) = &inner.state
            && backlog.bytes.len() > most
        {
            inner = self.fed.wait_timeout(inner, PACE_MAX).map_or_else(|e| e.into_inner().0, |(inner, _)| inner);
        }
        let was_idle = matches!(inner.state, EngineState::Idle(..));
        let mut kept = Backlog::default();
        let mut matched_any = false;
        if matches!(inner.state, EngineState::Off | EngineState::Refused) {
            self.passed.fetch_add(lines.by_ref().count() as u64, Ordering::Relaxed);
        }
        let journals = !self.is_journal_stuck() && inner.journals(now, self.runs);
        loop {
            let Inner { state, batch, .. } = &mut *inner;
            let mut sink = Matched { encoder: journals.then_some(batch), any: &mut matched_any };
            let work = || take(state, &mut lines, now, &mut sink, &mut kept);
            if catch_unwind(AssertUnwindSafe(work)).is_ok() {
                break;
            }
            inner.panics += 1;
            if inner.panics == PANICS_MAX {
                log::error!(
                    "the engine has failed {PANICS_MAX} times and is switched off: lines pass, nothing is counted; reload Telegraf, and report this"
                );
                inner.state = EngineState::Off;
            }
        }
        let is_first = was_idle && !kept.lines.is_empty();
        if is_first && let EngineState::Idle(matcher, _) = std::mem::replace(&mut inner.state, EngineState::Off) {
            // What came of the first match so far is only a recognition.
            inner.state = EngineState::Claiming(matcher, kept);
        }
        let taken = match (inner.batch.take(now), &inner.journaling) {
            (Some(frame), Some(journaling)) => Taken::Journal(journaling.clone(), frame),
            (_, Some(journaling)) if matched_any => Taken::Unjournaled(journaling.clone(), inner.batch.position()),
            _ if matches!(inner.state, EngineState::Starting(_)) => Taken::Kept,
            _ => Taken::Nothing,
        };
        inner.has_gap |= matches!(taken, Taken::Unjournaled(..));
        (taken, is_first)
    }

    /// How many batches no journal has, since the start; there may be no engine yet that could know of them.
    pub fn unjournaled(&self) -> u64 {
        self.unjournaled.load(Ordering::Relaxed)
    }

    /// Notes on the windows of a batch that it is not in the journal.
    pub fn mark_unjournaled<'b>(&self, lines: impl Iterator<Item = &'b [u8]>, now: i64) {
        self.unjournaled.fetch_add(1, Ordering::Relaxed);
        let mark = |engine: &mut Engine| {
            let before = engine.counters().unjournaled;
            lines.for_each(|line| engine.mark_unjournaled(line, now));
            engine.counters().unjournaled - before
        };
        let count = self.with(mark).unwrap_or_default();
        self.troubles.count(&[Trouble::Journal, Trouble::StuckDisk], count);
    }
}

/// What is told of the lines that match.
struct Matched<'e> {
    encoder: Option<&'e mut Encoder>,
    any: &'e mut bool,
}

impl Matched<'_> {
    /// The engine has just taken this line.
    #[inline]
    fn line(&mut self, engine: &Engine, line: &[u8]) {
        *self.any = true;
        if let Some(encoder) = &mut self.encoder {
            encoder.line(engine.last_head(), line);
        }
    }
}

/// Takes lines in a state. `kept` receives those that were the first to match.
fn take<'b>(
    state: &mut EngineState,
    lines: &mut impl Iterator<Item = &'b [u8]>,
    now: i64,
    matched: &mut Matched<'_>,
    kept: &mut Backlog,
) {
    match state {
        EngineState::On(engine) => {
            for line in lines {
                if recognize::one(engine, line, now) {
                    matched.line(engine, line);
                }
            }
        }
        EngineState::Starting(backlog) => lines.for_each(|line| backlog.push(line, now)),
        EngineState::Claiming(matcher, backlog) => {
            for line in lines {
                if recognize::matches(matcher, line, now) {
                    matched.line(matcher, line);
                    backlog.push(line, now);
                }
            }
        }
        EngineState::Idle(matcher, arrivals) => {
            for line in lines {
                if recognize::matches(matcher, line, now) {
                    matched.line(matcher, line);
                    kept.push(line, now);
                } else if kept.lines.is_empty() {
                    arrivals.line(matcher.schema(), line);
                }
            }
        }
        EngineState::Off | EngineState::Refused => {}
    }
}
