//! The journal as the threads share it: the stream's thread writes, the keeper retires and switches, a thread syncs.
//!
//! A disk that is stuck cannot be interrupted. So a batch is written while nobody holds the engine's lock and while the
//! stream can be taken over by another thread, see [`crate::driver::stream::relay`]. After a write that failed, batches
//! pass unjournaled until a look at the disk, at first after [`RETRY_AFTER`], says that writing is possible again.
//!
//! Invariants: batches are written in the order in which they were folded; a thread that needs the lock of the journal
//! and that of the engine takes the journal's first.

use crate::driver::troubles::{Trouble, Troubles};
use crate::durable::journal::frame::Frame;
use crate::durable::journal::sync::Syncer;
use crate::durable::journal::write::{Journal, Retirer};
use crate::words;
use log::Level;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a write that failed, it is tried again after this time, which doubles ...
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// ... up to so many times.
const RETRY_DOUBLINGS: u32 = 5;
/// A sync that fails again and again begins a new segment no more often than after so many times that time.
const SYNC_FAILURE_EVERY: u32 = 60;

/// The journal, shared.
#[derive(Clone)]
pub struct Journaling(Arc<State>);

struct State {
    journal: Mutex<Journal>,
    handles: Mutex<(Syncer, Retirer)>,
    /// A frame was not written since this was asked last: the next one must begin a segment.
    failed: AtomicBool,
    /// A frame was not written: the next one must begin a segment.
    needs_first: AtomicBool,
    /// When writing may be tried again, and how often it was in vain; looked at only while `failing`.
    retry: Mutex<(Instant, u32)>,
    sync_failed: Mutex<Option<Instant>>,
    retry_after: Duration,
    failing: AtomicBool,
    /// A write has failed, and none has succeeded since.
    recovering: AtomicBool,
    /// Bytes that were written since the start.
    written_bytes: AtomicU64,
    /// Frames that were dealt with since the start.
    frames: AtomicU64,
    troubles: Troubles,
}

/// The journal while nobody else can write to it.
pub struct Held<'j> {
    journal: MutexGuard<'j, Journal>,
    state: &'j State,
}

impl Journaling {
    /// Shares a journal.
    pub fn new(journal: Journal) -> Journaling {
        Journaling::retrying_after(journal, RETRY_AFTER)
    }

    /// Shares a journal which is tried again after another time than usual.
    pub fn retrying_after(journal: Journal, retry_after: Duration) -> Journaling {
        Journaling::made(journal, retry_after, Troubles::default())
    }

    /// Shares a journal whose troubles are told to a board.
    pub fn telling(journal: Journal, troubles: Troubles) -> Journaling {
        Journaling::made(journal, RETRY_AFTER, troubles)
    }

    fn made(journal: Journal, retry_after: Duration, troubles: Troubles) -> Journaling {
        Journaling(Arc::new(State {
            handles: Mutex::new((journal.syncer(), journal.retirer())),
            journal: Mutex::new(journal),
            failed: AtomicBool::new(false),
            needs_first: AtomicBool::new(false),
            retry: Mutex::new((Instant::now(), 0)),
            sync_failed: Mutex::default(),
            retry_after,
            failing: AtomicBool::new(false),
            recovering: AtomicBool::new(false),
            written_bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            troubles,
        }))
    }

    /// False after a write that failed.
    pub fn is_ready(&self) -> bool {
        !self.0.failing.load(Ordering::Relaxed)
    }

    /// Looks whether writing is possible again, if it is time to. Takes as long as the disk does.
    pub fn probe(&self, position: u64) {
        let state = &*self.0;
        let is_time = || Instant::now() >= state.retry.lock().unwrap_or_else(PoisonError::into_inner).0;
        if self.is_ready() || !is_time() {
            return;
        }
        if self.hold().journal.probe(position) {
            state.failing.store(false, Ordering::Relaxed);
        } else {
            state.put_off();
        }
    }

    /// True, once, after a frame was not written: the next one must begin a segment.
    pub fn takes_failure(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed) && self.0.failed.swap(false, Ordering::Relaxed)
    }

    /// True if a frame was not written, and the next one must begin a segment.
    pub fn has_gap(&self) -> bool {
        self.0.needs_first.load(Ordering::Relaxed)
    }

    /// True if a frame was not written or not synced, and the stream has not noticed yet.
    pub fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// True, once, after a sync that failed: only a checkpoint makes good for it.
    pub fn takes_sync_failure(&self) -> bool {
        self.syncer().takes_failure()
    }

    /// Waits until nobody writes, and keeps it so. Takes as long as the disk does.
    pub fn hold(&self) -> Held<'_> {
        // A panic while it was held leaves a journal whose last frame may be torn, which a reader copes with.
        Held { journal: self.0.journal.lock().unwrap_or_else(PoisonError::into_inner), state: &self.0 }
    }

    /// Writes one frame; takes as long as the disk does. False if it is not in the journal, which is in the log then.
    pub fn append(&self, frame: Frame) -> bool {
        self.hold().append(frame)
    }

    /// Notes that a checkpoint covers everything before a position.
    pub fn retire(&self, before: u64) {
        self.0.handles.lock().unwrap_or_else(PoisonError::into_inner).1.retire(before);
    }

    /// Bytes that were written since the start.
    pub fn bytes(&self) -> u64 {
        self.0.written_bytes.load(Ordering::Relaxed)
    }

    /// What syncs the journal, without keeping anybody from writing.
    pub fn syncer(&self) -> Syncer {
        self.0.handles.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Makes everything that was written until now survive a power loss.
    ///
    /// # Errors
    /// The disk could not sync it. What it said to be written may be gone: the journal goes on in a new segment.
    pub fn sync(&self) -> std::io::Result<()> {
        let synced = self.syncer().sync();
        match &synced {
            Ok(()) => self.0.troubles.over(Trouble::Sync, |lasted, _| {
                format!("the journal can be synced again after {lasted}: nothing is lost, and the next checkpoint protects what came meanwhile")
            }),
            Err(e) => {
                let text = format!(
                    "the journal cannot be synced: {e}; lines pass and are counted, but a power loss would take the last ones; look at \
                     the disk under state_dir"
                );
                self.0.troubles.hold(Trouble::Sync, Level::Error, &text);
            }
        }
        synced.inspect_err(|_| {
            let mut last = self.0.sync_failed.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_none_or(|last| last.elapsed() >= self.0.retry_after * SYNC_FAILURE_EVERY) {
                *last = Some(Instant::now());
                self.0.failed.store(true, Ordering::Relaxed);
            }
        })
    }
}

/// What is said when the journal works again: so many lines came meanwhile that are not in it.
pub fn written_again(can: &str, lasted: &str, lines: u64) -> String {
    let cost = match lines {
        0 => "no line was unprotected".to_string(),
        _ => format!(
            "{} of that time {} not in it; the next checkpoint, within a minute, protects {}",
            words::some(lines, "line"),
            words::verb(lines, "is", "are"),
            words::verb(lines, "it", "them")
        ),
    };
    format!("the journal {can} again after {lasted}: {cost}")
}

impl State {
    /// Notes that writing was in vain.
    fn put_off(&self) {
        let mut retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        *retry = (Instant::now() + self.retry_after * (1 << retry.1.min(RETRY_DOUBLINGS)), retry.1 + 1);
        self.failing.store(true, Ordering::Relaxed);
    }
}

impl Held<'_> {
    /// Writes one frame. False if it is not in the journal, which is in the log then.
    pub fn append(&mut self, mut frame: Frame) -> bool {
        let state = self.state;
        state.frames.fetch_add(1, Ordering::Relaxed);
        match self.journal.append(&mut frame) {
            Ok(()) => {
                state.needs_first.store(false, Ordering::Relaxed);
                state.written_bytes.fetch_add(frame.bytes.len() as u64, Ordering::Relaxed);
                if state.recovering.swap(false, Ordering::Relaxed) {
                    state.retry.lock().unwrap_or_else(PoisonError::into_inner).1 = 0;
                    state
                        .troubles
                        .over(Trouble::Journal, |lasted, lines| written_again("can be written", lasted, lines));
                }
                true
            }
            Err(e) => {
                state.put_off();
                state.recovering.store(true, Ordering::Relaxed);
                state.failed.store(true, Ordering::Relaxed);
                state.needs_first.store(true, Ordering::Relaxed);
                let text = format!(
                    "the journal cannot be written: {e}; lines pass and are counted, but a kill loses them; look at the disk under \
                     state_dir"
                );
                state.troubles.hold(Trouble::Journal, Level::Error, &text);
                false
            }
        }
    }

    /// Frames that were dealt with since the start, written or not.
    pub fn frames(&self) -> u64 {
        self.state.frames.load(Ordering::Relaxed)
    }

    /// Writes nothing any more: lines pass unjournaled, and checkpoints alone protect them.
    pub fn give_up(&mut self) {
        let text = "the journal cannot go on: lines pass and are counted, and the state is saved once a minute; reload Telegraf, and \
                    report this if it comes again";
        self.state.troubles.hold(Trouble::Journal, Level::Error, text);
        self.journal.give_up();
        self.state.failing.store(true, Ordering::Relaxed);
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Goes on with another journal, which may be written at once.
    pub fn replace(&mut self, next: Journal) {
        self.state.failing.store(false, Ordering::Relaxed);
        *self.state.handles.lock().unwrap_or_else(PoisonError::into_inner) = (next.syncer(), next.retirer());
        *self.journal = next;
    }
}
