//! The relay: two threads and one stream, so that a disk which is stuck cannot hold it.
//!
//! One thread runs the stream. Before it settles a batch (writes it to the journal), it parks the stream where the other
//! thread can reach it. If the batch is settled in time, it takes the stream back, forwards the batch and goes on. If not
//! within [`WAIT_MAX`], the other thread takes the stream, forwards the batch as unjournaled and goes on without the
//! journal, until the first one comes back from the disk. The two have changed places then.
//!
//! Invariant: the stream is in one place: with the thread that runs it, or parked.

use super::ingest::Ingest;
use super::start_thread;
use super::stream::{Ended, Next, Stream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a batch may take to be settled.
pub const WAIT_MAX: Duration = Duration::from_millis(250);
/// How often the other thread looks, while batches are settled: what was parked since then is not overdue yet.
const LOOK_EVERY: Duration = WAIT_MAX;

#[derive(Default)]
struct Place {
    parked: Option<Box<Stream>>,
    /// When it was parked last.
    since: Option<Instant>,
    /// Raised whenever the stream is parked.
    number: u64,
    /// The other thread sleeps until it is woken.
    sleeps: bool,
}

struct Relay {
    place: Mutex<Place>,
    woken: Condvar,
    ingest: Ingest,
    ended: Sender<Option<(Box<Stream>, Ended)>>,
}

/// Starts the stream. When it ends, it is given back, unless an error that nobody thought of has taken it.
pub fn start(stream: Stream, ingest: Ingest) -> Receiver<Option<(Box<Stream>, Ended)>> {
    let (ended, result) = channel();
    let relay = Arc::new(Relay { place: Mutex::default(), woken: Condvar::new(), ingest, ended });
    let other = relay.clone();
    start_thread("stream 2", move || other.guarded(Relay::stand_by));
    start_thread("stream 1", move || {
        relay.guarded(|relay| {
            relay.run(Box::new(stream));
            relay.stand_by();
        })
    });
    result
}

impl Relay {
    fn lock(&self) -> std::sync::MutexGuard<'_, Place> {
        // Nothing panics while it is held.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic takes the stream with it. The process must end then, so that it is started again.
    fn guarded(&self, work: impl FnOnce(&Relay)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            let _ = self.ended.send(None);
        }
    }

    /// Runs the stream until it ends or the other thread has taken it.
    fn run(&self, mut stream: Box<Stream>) {
        loop {
            match stream.next(&self.ingest) {
                Next::Ended(ended) => {
                    // Nobody listens any more only when the process is on its way out.
                    let _ = self.ended.send(Some((stream, ended)));
                    return;
                }
                Next::Batch(taken) => {
                    if self.ingest.needs_settling(&taken) {
                        self.park(stream);
                        let is_settled = self.ingest.settle(taken);
                        let Some(back) = self.take_back() else { return };
                        stream = back;
                        if !is_settled {
                            stream.mark_unjournaled(&self.ingest);
                        }
                    }
                    if let Err(e) = stream.forward() {
                        let _ = self.ended.send(Some((stream, Ended::OutputGone(e))));
                        return;
                    }
                }
            }
        }
    }

    fn park(&self, stream: Box<Stream>) {
        let mut place = self.lock();
        place.parked = Some(stream);
        place.since = Some(Instant::now());
        place.number = place.number.wrapping_add(1);
        if std::mem::take(&mut place.sleeps) {
            drop(place);
            self.woken.notify_one();
        }
    }

    /// `None` if the other thread has taken it. Then that one may use the journal again from now on.
    fn take_back(&self) -> Option<Box<Stream>> {
        let mut place = self.lock();
        let stream = place.parked.take();
        if stream.is_none() {
            self.ingest.journal_is_stuck(false);
        }
        stream
    }

    /// Waits until a batch is not settled in time; takes the stream and runs it then.
    fn stand_by(&self) {
        let mut seen = 0;
        let mut place = self.lock();
        loop {
            let overdue = place.since.is_some_and(|since| since.elapsed() >= WAIT_MAX);
            if overdue && let Some(mut stream) = place.parked.take() {
                self.ingest.journal_is_stuck(true);
                drop(place);
                log::error!(
                    "the journal is stuck for more than {} ms; lines pass and are counted, but a kill loses them",
                    WAIT_MAX.as_millis()
                );
                stream.mark_unjournaled(&self.ingest);
                match stream.forward() {
                    Ok(()) => self.run(stream),
                    Err(e) => {
                        let _ = self.ended.send(Some((stream, Ended::OutputGone(e))));
                    }
                }
                place = self.lock();
                continue;
            }
            let limit = if place.parked.is_some() {
                place.since.map(|since| WAIT_MAX.saturating_sub(since.elapsed()))
            } else if place.number != seen {
                Some(LOOK_EVERY)
            } else {
                place.sleeps = true;
                None
            };
            seen = place.number;
            place = match limit {
                Some(limit) => self
                    .woken
                    .wait_timeout(place, limit.max(Duration::from_millis(1)))
                    .map_or_else(|e| e.into_inner().0, |(place, _)| place),
                None => self.woken.wait(place).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
