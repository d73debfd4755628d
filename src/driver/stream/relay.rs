//! The relay: two threads and one stream, so that a disk which is stuck cannot hold it.
//!
//! One thread runs the stream. Before it settles a batch (writes it to the journal), it parks the stream where the other
//! thread can reach it ([`super::berth`]). If the batch is settled in time, it takes the stream back, forwards the batch and goes
//! on. If not within [`WAIT_MAX`], the other thread takes the stream, forwards the batch as unjournaled and goes on without the
//! journal, until the first one comes back from the disk. The two have changed places then.
//!
//! Invariant: the stream is in one place: with the thread that runs it, or parked.

use super::berth::{Berth, Ticket};
use super::pipe::{Ended, Next, Stream};
use crate::driver::intake::ingest::Ingest;
use crate::driver::intake::journaling::written_again;
use crate::driver::threads;
use crate::driver::troubles::Trouble;
use log::Level;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a batch may take to be settled.
pub const WAIT_MAX: Duration = Duration::from_millis(250);
/// How often the other thread looks, while batches are settled: what was parked since then is not overdue yet.
const LOOK_EVERY: Duration = WAIT_MAX;

#[derive(Default)]
struct Shore {
    berth: Berth<Box<Stream>>,
    /// The other thread sleeps until it is woken.
    sleeps: bool,
}

struct Relay {
    shore: Mutex<Shore>,
    woken: Condvar,
    ingest: Ingest,
    ended: Sender<Option<(Box<Stream>, Ended)>>,
    /// The moment that times in the berth count from.
    begun: Instant,
}

/// Starts the stream. When it ends, it is sent back, unless an error that nobody thought of has taken it. Where no thread can
/// be had for it, the stream runs in the caller's, and what is returned holds its end.
pub fn start(stream: Stream, ingest: Ingest) -> Receiver<Option<(Box<Stream>, Ended)>> {
    let (ended, result) = channel();
    let relay =
        Arc::new(Relay { shore: Mutex::default(), woken: Condvar::new(), ingest, ended, begun: Instant::now() });
    let other = relay.clone();
    if let Err(e) = threads::start("stream 2", move || other.guarded(Relay::stand_by)) {
        log::error!(
            "no thread can be started ({e}): a journal's disk that is stuck holds the stream; raise the limit on tasks (TasksMax) of Telegraf's service"
        );
    }
    // The stream goes to whichever thread takes it first.
    let waiting = Arc::new(Mutex::new(Some(Box::new(stream))));
    let (first, taken) = (relay.clone(), waiting.clone());
    let take = |from: &Mutex<Option<Box<Stream>>>| from.lock().unwrap_or_else(PoisonError::into_inner).take();
    let run = move || {
        first.guarded(|relay| {
            if let Some(stream) = take(&taken) {
                relay.run(stream);
            }
            relay.stand_by();
        });
    };
    if let Err(e) = threads::start("stream 1", run) {
        log::error!(
            "no thread can be started ({e}): the stream runs in the main one; raise the limit on tasks (TasksMax) of Telegraf's service"
        );
        relay.guarded(|relay| {
            if let Some(stream) = take(&waiting) {
                relay.run(stream);
            }
        });
    }
    result
}

impl Relay {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shore> {
        // Nothing panics while it is held.
        self.shore.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
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
                        let ticket = self.park(stream);
                        let is_settled = self.ingest.settle(taken);
                        let Some(back) = self.take_back(ticket) else { return };
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

    fn park(&self, stream: Box<Stream>) -> Ticket {
        let now = self.now();
        let mut shore = self.lock();
        let ticket = shore.berth.park(stream, now);
        if std::mem::take(&mut shore.sleeps) {
            drop(shore);
            self.woken.notify_one();
        }
        ticket
    }

    /// `None` if the other thread has taken it. Then that one may use the journal again from now on.
    fn take_back(&self, ticket: Ticket) -> Option<Box<Stream>> {
        let stream = self.lock().berth.take_back(ticket);
        if stream.is_none() {
            self.ingest.journal_is_stuck(false);
            self.ingest.troubles().over(Trouble::StuckDisk, |lasted, lines| written_again("moves", lasted, lines));
        }
        stream
    }

    /// Waits until a batch is not settled in time; takes the stream and runs it then.
    fn stand_by(&self) {
        let mut seen = 0;
        let mut shore = self.lock();
        loop {
            let now = self.now();
            if let Some(mut stream) = shore.berth.take_overdue(now, WAIT_MAX) {
                self.ingest.journal_is_stuck(true);
                drop(shore);
                let text = format!(
                    "the journal is stuck for more than {} ms; lines pass and are counted, but a kill loses them; look at the disk under \
                     state_dir",
                    WAIT_MAX.as_millis()
                );
                self.ingest.troubles().hold(Trouble::StuckDisk, Level::Error, &text);
                stream.mark_unjournaled(&self.ingest);
                match stream.forward() {
                    Ok(()) => self.run(stream),
                    Err(e) => {
                        let _ = self.ended.send(Some((stream, Ended::OutputGone(e))));
                    }
                }
                shore = self.lock();
                continue;
            }
            let limit = shore.berth.overdue_in(now, WAIT_MAX);
            let limit = limit.or((shore.berth.count() != seen).then_some(LOOK_EVERY));
            shore.sleeps = limit.is_none();
            seen = shore.berth.count();
            shore = match limit {
                Some(limit) => self
                    .woken
                    .wait_timeout(shore, limit.max(Duration::from_millis(1)))
                    .map_or_else(|e| e.into_inner().0, |(shore, _)| shore),
                None => self.woken.wait(shore).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
