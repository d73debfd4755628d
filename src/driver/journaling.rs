//! The journal's thread, and the handle by which the stream uses it.
//!
//! A disk that is stuck cannot be interrupted, so the stream does not write itself: it hands over a batch and waits for it
//! at most [`WAIT_MAX`]. What took longer, or failed, passes as *unjournaled*: it is counted, and a kill before the next
//! checkpoint would lose it. While the disk is stuck nobody waits, and what would exceed [`QUEUE_BYTES_MAX`] is not even
//! handed over.
//!
//! Invariant: batches are written in the order in which they were folded, and a mark gives the position behind exactly
//! those batches that were handed over before it.

use crate::durable::journal::{Journal, Payload, Syncer};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the stream waits for the journal.
pub const WAIT_MAX: Duration = Duration::from_millis(250);
/// Bytes that may wait for a disk that is stuck.
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// A batch that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

enum Request {
    Append {
        number: u64,
        received: i64,
        payload: Payload,
    },
    /// Lines as they are; nobody waits for them but by a mark.
    AppendLines {
        received: i64,
        lines: Vec<u8>,
    },
    /// Answers with the position behind everything before it.
    Mark(SyncSender<u64>),
    /// Notes that a checkpoint covers everything before a position.
    Retire(u64),
    /// Goes on with another journal, made by the function from the position of this one.
    Switch(Box<dyn FnOnce() -> Journal + Send>, SyncSender<()>),
}

#[derive(Default)]
struct Progress {
    /// Number of the last batch that was dealt with.
    done: u64,
    /// Number of the last batch that failed.
    failed: u64,
}

/// The stream's and the courier's end.
#[derive(Clone)]
pub struct Journaling {
    requests: Sender<Request>,
    shared: Arc<State>,
}

struct State {
    progress: Mutex<Progress>,
    moved: Condvar,
    queued_bytes: AtomicUsize,
    /// A batch was not done in time, and none has been since: nobody waits.
    stuck: AtomicBool,
    /// A batch was not written since this was asked last.
    failed: AtomicBool,
    numbers: Mutex<u64>,
    /// Bytes that were written since the start.
    written_bytes: AtomicU64,
    syncer: Mutex<Syncer>,
}

impl Journaling {
    /// Starts the thread with a journal.
    pub fn start(journal: Journal) -> Journaling {
        let (requests, received) = channel();
        let shared = Arc::new(State {
            progress: Mutex::default(),
            moved: Condvar::new(),
            queued_bytes: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            numbers: Mutex::new(0),
            written_bytes: AtomicU64::new(0),
            syncer: Mutex::new(journal.syncer()),
        });
        let state = shared.clone();
        std::thread::spawn(move || work(journal, &received, &state));
        Journaling { requests, shared }
    }

    /// Hands a batch over; `None` if it cannot be taken. Call it under the engine's lock, so that the order is that of
    /// folding.
    pub fn append(&self, received: i64, payload: Payload) -> Option<Ticket> {
        if self.shared.queued_bytes.load(Ordering::Relaxed) > QUEUE_BYTES_MAX {
            return None;
        }
        let mut numbers = self.shared.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        *numbers += 1;
        let number = *numbers;
        self.shared.queued_bytes.fetch_add(payload.bytes.len(), Ordering::Relaxed);
        self.requests.send(Request::Append { number, received, payload }).ok()?;
        Some(Ticket(number))
    }

    /// Hands lines over as they are.
    pub fn append_lines(&self, received: i64, lines: Vec<u8>) {
        let _ = self.requests.send(Request::AppendLines { received, lines });
    }

    /// True, once, after a batch was not written: the next one must begin a segment.
    pub fn takes_failure(&self) -> bool {
        self.shared.failed.swap(false, Ordering::Relaxed)
    }

    /// Waits until a batch is in the journal, at most [`WAIT_MAX`]. False if it is not, or not yet.
    pub fn wait(&self, ticket: Ticket) -> bool {
        let mut progress = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        while progress.done < ticket.0 {
            let limit = WAIT_MAX.saturating_sub(start.elapsed());
            if limit.is_zero() || self.shared.stuck.load(Ordering::Relaxed) {
                self.shared.stuck.store(true, Ordering::Relaxed);
                return false;
            }
            progress =
                self.shared.moved.wait_timeout(progress, limit).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
        }
        progress.failed < ticket.0
    }

    /// Asks for the position behind all batches that were handed over until now; the answer comes when they have been
    /// dealt with.
    pub fn mark(&self) -> Receiver<u64> {
        let (answer, position) = sync_channel(1);
        let _ = self.requests.send(Request::Mark(answer));
        position
    }

    /// Notes that a checkpoint covers everything before a position.
    pub fn retire(&self, before: u64) {
        let _ = self.requests.send(Request::Retire(before));
    }

    /// Goes on with another journal behind everything that was handed over until now. Returns when that is done.
    pub fn switch(&self, next: impl FnOnce() -> Journal + Send + 'static) -> Receiver<()> {
        let (answer, done) = sync_channel(1);
        let _ = self.requests.send(Request::Switch(Box::new(next), answer));
        done
    }

    /// Bytes of lines that were handed to the disk since the start.
    pub fn bytes(&self) -> u64 {
        self.shared.written_bytes.load(Ordering::Relaxed)
    }

    /// Makes everything that was written until now survive a power loss.
    ///
    /// # Errors
    /// The disk could not sync it.
    pub fn sync(&self) -> std::io::Result<()> {
        let syncer = self.shared.syncer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        syncer.sync()
    }
}

fn report(result: std::io::Result<()>) {
    if let Err(e) = result {
        log::error!("the journal cannot be written: {e}; lines pass and are counted, but a kill loses them");
    }
}

fn work(mut journal: Journal, requests: &Receiver<Request>, state: &State) {
    while let Ok(request) = requests.recv() {
        match request {
            Request::Append { number, received, payload } => {
                let result = journal.append_payload(received, &payload);
                state.queued_bytes.fetch_sub(payload.bytes.len(), Ordering::Relaxed);
                state.written_bytes.fetch_add(payload.bytes.len() as u64, Ordering::Relaxed);
                {
                    let mut progress = state.progress.lock().unwrap_or_else(PoisonError::into_inner);
                    progress.done = number;
                    if result.is_err() {
                        progress.failed = number;
                        state.failed.store(true, Ordering::Relaxed);
                    }
                }
                state.stuck.store(false, Ordering::Relaxed);
                state.moved.notify_all();
                report(result);
            }
            Request::AppendLines { received, lines } => report(journal.append(received, &lines)),
            Request::Mark(answer) => {
                let _ = answer.send(journal.position());
            }
            Request::Retire(before) => journal.retire(before),
            Request::Switch(next, done) => {
                journal = next();
                *state.syncer.lock().unwrap_or_else(PoisonError::into_inner) = journal.syncer();
                let _ = done.send(());
            }
        }
    }
}
