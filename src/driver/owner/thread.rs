//! The keeper's thread: it waits for messages and deadlines, asks the [`Lifecycle`], and has actions performed ([`OwnerWork`]).
//!
//! An action that panics is contained: the life goes on, with everything that is ours.
//!
//! Invariant: this thread alone steps the lifecycle; actions are performed in its order, and a panic of one is an
//! event.

use super::action::Action;
use super::lifecycle::{Event, Lifecycle};
use super::message::Message;
use super::perform::OwnerWork;
use crate::driver::deliver::flusher::FlusherSays;
use crate::driver::intake::shared::Shared;
use crate::driver::intake::wake::Wake;
use crate::driver::threads;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The way to the thread.
pub struct Owner {
    messages: Sender<Message>,
    /// What is to run in the thread, until it has been started.
    work: Arc<Mutex<Option<Loop>>>,
    is_started: AtomicBool,
}

impl Owner {
    /// Prepares the thread; [`Owner::start`] starts it. `run` names this process for good.
    pub fn new(config: PathBuf, run: u128, engine: Arc<Shared>) -> Owner {
        let (messages, received) = channel();
        let work = OwnerWork::new(config, run, engine, messages.clone());
        let work = Loop { work, received, life: Lifecycle::default(), begun: Instant::now() };
        Owner { messages, work: Arc::new(Mutex::new(Some(work))), is_started: AtomicBool::new(false) }
    }

    /// Starts the thread, if it does not run yet. False if no thread can be had: try again later.
    pub fn start(&self) -> bool {
        if self.is_started.load(Ordering::Relaxed) {
            return true;
        }
        let work = self.work.clone();
        let run = move || {
            let work = work.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(mut work) = work {
                work.run();
            }
        };
        match threads::start("keeper", run) {
            Ok(_) => {
                self.is_started.store(true, Ordering::Relaxed);
                true
            }
            Err(e) => {
                log::error!(
                    "no thread can be started ({e}): lines pass through and are not counted; trying again; raise the limit on tasks (TasksMax) of Telegraf's service"
                );
                false
            }
        }
    }

    /// Returns what wakes the thread at the first match.
    pub fn waker(&self) -> Wake {
        let messages = Mutex::new(self.messages.clone());
        Wake::new(move || {
            let _ = messages.lock().unwrap_or_else(PoisonError::into_inner).send(Message::Matched);
        })
    }

    /// Returns what asks the thread for a flush.
    pub fn flush_now(&self) -> impl Fn() + Send + 'static {
        let messages = self.messages.clone();
        move || drop(messages.send(Message::FlushNow))
    }

    /// Asks for a last checkpoint and flush and waits for them, at most `limit`. True if they were done.
    pub fn finish(self, limit: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.is_started.load(Ordering::Relaxed)
            && self.messages.send(Message::Stop(limit, done)).is_ok()
            && answer.recv_timeout(limit).is_ok()
    }
}

/// The loop that runs in the thread.
struct Loop {
    work: OwnerWork,
    received: Receiver<Message>,
    life: Lifecycle,
    /// The moment that the lifecycle's time counts from.
    begun: Instant,
}

impl Loop {
    /// The lifecycle's time.
    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn run(&mut self) {
        let mut events = vec![Event::Started];
        while !self.work.ended {
            for event in std::mem::take(&mut events) {
                let actions = self.life.step(self.now(), event);
                self.perform_all(actions, &mut events);
            }
            while events.is_empty() && !self.work.ended {
                let before = self.life.next();
                let actions = self.life.tick(self.now());
                if actions.is_empty() && self.life.next() == before {
                    break;
                }
                self.perform_all(actions, &mut events);
            }
            if events.is_empty() && !self.work.ended {
                events.extend(self.wait());
            }
        }
        if let Some(stop) = self.work.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits for a message, at most until the lifecycle has something to do. Whatever comes of it besides is done here.
    fn wait(&mut self) -> Option<Event> {
        let message = match self.life.next() {
            Some(at) => {
                let limit = Duration::from_nanos((at - self.now()).max(0).unsigned_abs());
                match self.received.recv_timeout(limit) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => return None,
                    // The end of the process.
                    Err(RecvTimeoutError::Disconnected) => Message::Stop(Duration::ZERO, sync_channel(1).0),
                }
            }
            None => self.received.recv().unwrap_or_else(|_| Message::Stop(Duration::ZERO, sync_channel(1).0)),
        };
        match message {
            Message::Matched => Some(Event::Matched),
            Message::FlushNow => Some(Event::FlushNow),
            Message::Stop(patience, done) => {
                self.work.stop = Some(done);
                Some(Event::InputEnded { patience: i64::try_from(patience.as_nanos()).unwrap_or(i64::MAX) })
            }
            Message::Flusher(FlusherSays::Gone) => {
                self.work.flusher_is_gone();
                Some(Event::FlusherLost)
            }
            Message::Flusher(FlusherSays::Emptied) => {
                self.work.ask_for_everything();
                None
            }
            Message::Flusher(FlusherSays::Flushed(report)) => self.work.flushed(*report),
            Message::Vault(number, call) => {
                let served = catch_unwind(AssertUnwindSafe(|| self.work.serve(number, call)));
                served.is_err().then_some(Event::Panicked)
            }
        }
    }

    /// Performs actions in order; what they lead to is appended to `events`.
    fn perform_all(&mut self, actions: Vec<Action>, events: &mut Vec<Event>) {
        for action in actions {
            match catch_unwind(AssertUnwindSafe(|| self.work.perform(action))) {
                Ok(event) => events.extend(event),
                // The panic is in the log.
                Err(_) => events.push(Event::Panicked),
            }
        }
    }
}
