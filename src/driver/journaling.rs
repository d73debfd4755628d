//! The journal as the threads share it: the stream's thread writes, the courier syncs, retires and switches.
//!
//! A disk that is stuck cannot be interrupted. So a batch is written while nobody holds the engine's lock and while the
//! stream can be taken over by another thread, see [`super::relay`]. After a write that failed, batches pass unjournaled
//! for [`RETRY_AFTER`].
//!
//! Invariant: batches are written in the order in which they were folded. Whoever needs the lock of the journal and that of
//! the engine takes the journal's first.

use crate::durable::entries::Frame;
use crate::durable::journal::{Journal, Retirer, Syncer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After a write that failed, the next is tried after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The journal, shared.
#[derive(Clone)]
pub struct Journaling(Arc<State>);

struct State {
    journal: Mutex<Journal>,
    handles: Mutex<(Syncer, Retirer)>,
    /// A frame was not written since this was asked last: the next one must begin a segment.
    failed: AtomicBool,
    /// When writing may be tried again; looked at only while `failing`.
    retry_at: Mutex<Instant>,
    failing: AtomicBool,
    /// Bytes that were written since the start.
    written_bytes: AtomicU64,
}

/// The journal while nobody else can write to it.
pub struct Held<'j> {
    journal: MutexGuard<'j, Journal>,
    state: &'j State,
}

impl Journaling {
    /// Shares a journal.
    pub fn new(journal: Journal) -> Journaling {
        Journaling(Arc::new(State {
            handles: Mutex::new((journal.syncer(), journal.retirer())),
            journal: Mutex::new(journal),
            failed: AtomicBool::new(false),
            retry_at: Mutex::new(Instant::now()),
            failing: AtomicBool::new(false),
            written_bytes: AtomicU64::new(0),
        }))
    }

    /// False while a write has just failed.
    pub fn is_ready(&self) -> bool {
        let state = &*self.0;
        if !state.failing.load(Ordering::Relaxed) {
            return true;
        }
        Instant::now() >= *state.retry_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True, once, after a frame was not written: the next one must begin a segment.
    pub fn takes_failure(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed) && self.0.failed.swap(false, Ordering::Relaxed)
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
        self.syncer().sync().inspect_err(|_| self.0.failed.store(true, Ordering::Relaxed))
    }
}

impl Held<'_> {
    /// Writes one frame. False if it is not in the journal, which is in the log then.
    pub fn append(&mut self, mut frame: Frame) -> bool {
        let state = self.state;
        match self.journal.append(&mut frame) {
            Ok(()) => {
                state.written_bytes.fetch_add(frame.bytes.len() as u64, Ordering::Relaxed);
                state.failing.store(false, Ordering::Relaxed);
                true
            }
            Err(e) => {
                *state.retry_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + RETRY_AFTER;
                state.failing.store(true, Ordering::Relaxed);
                state.failed.store(true, Ordering::Relaxed);
                log::error!("the journal cannot be written: {e}; lines pass and are counted, but a kill loses them");
                false
            }
        }
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Goes on with another journal.
    pub fn replace(&mut self, next: Journal) {
        *self.state.handles.lock().unwrap_or_else(PoisonError::into_inner) = (next.syncer(), next.retirer());
        *self.journal = next;
    }
}
