//! The flusher: the thread that speaks to the sink. It flushes, deletes what is old, and waits for the network as long as it
//! takes; nobody waits for it. What it needs of the stored state it asks the keeper for, which never waits for a network.
//!
//! Invariants: it does one job at a time; its memory between flushes is that of one engine, and emptied for another; it
//! says when it ends, however it does.

use super::delivery::{DeliveryError, deliver, make_tables};
use super::session::connected;
use super::vault::{Vault, WindowPlace};
use crate::config::{Config, Retention};
use crate::driver::flush::pass::{FlushMemory, Flushed, Scope};
use crate::driver::flush::quarantine::QuarantineFigures;
use crate::driver::intake::shared::Shared;
use crate::driver::troubles::{Trouble, Troubles};
use crate::driver::{clock, threads};
use crate::durable::state_error::StateError;
use crate::engine::zone::WindowKind;
use crate::sink::open::open;
use crate::sink::port::{Sink, SinkError};
use crate::words;
use log::Level;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Tables that could not be made are tried again after this time, which doubles ...
const TABLES_PAUSE: Duration = Duration::from_secs(10);
/// ... up to this.
const TABLES_PAUSE_MAX: Duration = Duration::from_secs(300);

/// What the flusher asks of the keeper, each with the way of its answer.
pub enum VaultCall {
    Secure { now: i64, answer: SyncSender<Result<(), StateError>> },
    Hydrate { after: Option<WindowPlace>, answer: SyncSender<Result<Option<WindowPlace>, StateError>> },
    Save { now: i64, answer: SyncSender<Result<(), StateError>> },
}

/// Sends calls to the keeper; false if it is gone, or has given the state back.
pub type CallKeeper = Box<dyn Fn(VaultCall) -> bool + Send>;

/// The vault as seen from another thread than the keeper's.
struct RemoteVault {
    writer: Arc<str>,
    call: CallKeeper,
}

impl RemoteVault {
    fn ask<T>(&self, call: impl FnOnce(SyncSender<Result<T, StateError>>) -> VaultCall) -> Result<T, StateError> {
        let gone = || StateError::Io {
            what: "the state has been given back",
            error: io::Error::from(io::ErrorKind::NotConnected),
        };
        let (answer, answered) = sync_channel(1);
        if !(self.call)(call(answer)) {
            return Err(gone());
        }
        answered.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Vault for RemoteVault {
    fn writer(&self) -> Arc<str> {
        self.writer.clone()
    }

    fn secure(&mut self, _: &Shared, now: i64) -> Result<(), StateError> {
        self.ask(|answer| VaultCall::Secure { now, answer })
    }

    fn hydrate(&mut self, _: &Shared, after: Option<WindowPlace>) -> Result<Option<WindowPlace>, StateError> {
        self.ask(|answer| VaultCall::Hydrate { after, answer })
    }

    fn save(&mut self, _: &Shared, now: i64) -> Result<(), StateError> {
        self.ask(|answer| VaultCall::Save { now, answer })
    }
}

/// A flush that is asked for.
pub struct FlushJob {
    /// Tells it from other flushes.
    pub number: u64,
    pub shared: Arc<Shared>,
    /// The name of the state among the writers of a sink.
    pub writer: Arc<str>,
    pub call: CallKeeper,
    pub scope: Scope,
    /// Delete what is older than the retention afterwards.
    pub purge: bool,
    /// Try rows at once that the sink has refused.
    pub retry_refused: bool,
}

/// What the flusher is asked for.
pub enum Job {
    MakeTables,
    Flush(Box<FlushJob>),
    /// Nothing will be written for long.
    Close,
}

/// How a flush went.
#[derive(Clone, Debug, Default)]
pub struct FlushReport {
    /// That of the job.
    pub number: u64,
    /// When it began, nanoseconds since the epoch.
    pub at: i64,
    pub milliseconds: u64,
    pub flushed: Flushed,
    /// Why it failed, without secrets; `None` if everything was written.
    pub error: Option<String>,
    /// The sink was set aside, and everything is due again.
    pub was_emptied: bool,
    pub quarantine: QuarantineFigures,
}

/// What the flusher says to the keeper.
pub enum FlusherSays {
    Flushed(Box<FlushReport>),
    /// The sink was set aside outside of a flush: the owner of the state is to write everything again.
    Emptied,
    /// The thread has ended.
    Gone,
}

/// The way to the running flusher.
pub struct Flusher {
    jobs: Sender<Job>,
}

impl Flusher {
    /// Starts the thread. `say` is called by it, and must not wait. What is wrong with the sink is told to a board.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(
        config: Arc<Config>,
        troubles: Troubles,
        say: impl Fn(FlusherSays) + Send + 'static,
    ) -> io::Result<Flusher> {
        let (jobs, received) = channel();
        threads::start("flusher", move || {
            // Also if it dies of something that nobody thought of.
            let say = Farewell(say);
            let mut work = FlusherWork {
                sink: open(&config.sink),
                config,
                memory: FlushMemory::default(),
                engine: None,
                troubles,
                tables_wait: None,
            };
            while let Some(job) = work.next(&received) {
                match job {
                    Job::MakeTables => {
                        if work.make_tables() {
                            (say.0)(FlusherSays::Emptied);
                        }
                    }
                    Job::Close => work.close(),
                    Job::Flush(job) => (say.0)(FlusherSays::Flushed(Box::new(work.flush(*job)))),
                }
            }
        })?;
        Ok(Flusher { jobs })
    }

    /// Asks for something; false if the thread is gone.
    pub fn ask(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

/// Says when the thread has ended, however it did.
struct Farewell<S: Fn(FlusherSays)>(S);

impl<S: Fn(FlusherSays)> Drop for Farewell<S> {
    fn drop(&mut self) {
        (self.0)(FlusherSays::Gone);
    }
}

/// What the thread works with.
struct FlusherWork {
    config: Arc<Config>,
    sink: Box<dyn Sink + Send>,
    memory: FlushMemory,
    /// The engine that the memory is of.
    engine: Option<Arc<Shared>>,
    troubles: Troubles,
    /// The tables could not be made: they are tried again after this time, unless a flush makes them first.
    tables_wait: Option<Duration>,
}

impl FlusherWork {
    /// The next job; `None` at the end.
    fn next(&self, jobs: &Receiver<Job>) -> Option<Job> {
        let Some(pause) = self.tables_wait else { return jobs.recv().ok() };
        match jobs.recv_timeout(pause) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => Some(Job::MakeTables),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Says that the sink is of no use now, and why.
    fn fails(&self, error: &SinkError) {
        let text = match error {
            SinkError::Temporary(_) => format!("the sink failed, trying again soon: {error}"),
            SinkError::Setup(_) => format!("the sink needs your help: {error}"),
            // Said once: what was set aside is no trouble any more.
            SinkError::Emptied(_) => return log::error!("{error}"),
        };
        self.troubles.hold(Trouble::Sink, Level::Error, &text);
    }

    /// Says that the sink works, if it has not: so many rows had waited.
    fn works(&self, rows: usize) {
        self.troubles.over(Trouble::Sink, |lasted, _| {
            let late = match rows as u64 {
                0 => "nothing was late".to_string(),
                rows => format!("{} {} late", words::some(rows, "row"), words::verb(rows, "was", "were")),
            };
            format!("the sink works again after {lasted}: {late}, nothing is lost")
        });
    }

    /// Begins with a new sink, which looks at its tables again: they may have been dropped or replaced.
    fn renew(&mut self) {
        self.sink = open(&self.config.sink);
    }

    /// Makes the tables. True if the sink was set aside for it.
    fn make_tables(&mut self) -> bool {
        let FlusherWork { config, sink, .. } = self;
        let made = catch_unwind(AssertUnwindSafe(|| make_tables(sink.as_mut(), &config.schema)));
        match made {
            Ok(Ok(())) => {
                self.tables_wait = None;
                self.works(0);
                false
            }
            Ok(Err(error)) => {
                self.tables_wait =
                    Some(self.tables_wait.map_or(TABLES_PAUSE, |pause| (pause * 2).min(TABLES_PAUSE_MAX)));
                self.fails(&error);
                self.renew();
                matches!(error, SinkError::Emptied(_))
            }
            // The panic is in the log. The first flush makes them.
            Err(_) => {
                self.tables_wait = None;
                self.renew();
                false
            }
        }
    }

    fn flush(&mut self, job: FlushJob) -> FlushReport {
        let FlushJob { number, shared, writer, call, scope, purge, retry_refused } = job;
        let now = clock::now();
        self.tables_wait = None;
        if !self.engine.as_ref().is_some_and(|engine| Arc::ptr_eq(engine, &shared)) {
            // What is remembered is of another engine's devices.
            (self.memory, self.engine) = (FlushMemory::default(), Some(shared.clone()));
        }
        if retry_refused {
            self.memory.quarantine.release();
        }
        let mut vault = RemoteVault { writer, call };
        let FlusherWork { sink, memory, .. } = self;
        let work = || deliver(&mut vault, &shared, sink.as_mut(), memory, now, scope);
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut said = FlushReport { number, at: now, ..FlushReport::default() };
        match result {
            Ok(Ok(flushed)) => {
                log::debug!("flushed {} hourly and {} daily rows", flushed.hourly, flushed.daily);
                said.flushed = flushed;
                match self.memory.missing as u64 {
                    0 => {
                        self.works(said.flushed.hourly + said.flushed.daily);
                        if purge {
                            self.purge();
                        }
                    }
                    missing => {
                        let error = format!(
                            "its answers lack what was written, and {} {} not made of them",
                            words::some(missing, "row"),
                            words::verb(missing, "is", "are")
                        );
                        let text = format!("the sink failed, trying again soon: {error}");
                        self.troubles.hold(Trouble::Sink, Level::Error, &text);
                        said.error = Some(error);
                    }
                }
            }
            Ok(Err(DeliveryError::State(error))) => {
                let text = format!("no rows are written: {error}; trying again soon; look at the disk under state_dir");
                self.troubles.hold(Trouble::Sink, Level::Error, &text);
                said.error = Some(error.to_string());
            }
            Ok(Err(DeliveryError::Sink(error))) => {
                self.fails(&error);
                said.error = Some(error.to_string());
                said.was_emptied = matches!(error, SinkError::Emptied(_));
                self.renew();
            }
            Err(_) => {
                // The panic is in the log. A new sink starts without whatever state led to it.
                let error = "an internal error, see the log; please report it".to_string();
                self.troubles.hold(
                    Trouble::Sink,
                    Level::Error,
                    &format!("the sink failed, trying again soon: {error}"),
                );
                said.error = Some(error);
                self.renew();
            }
        }
        if scope == Scope::Last {
            self.close();
        }
        said.milliseconds = (clock::now() - now).max(0).unsigned_abs() / 1_000_000;
        said.quarantine = self.memory.quarantine.figures();
        said
    }

    /// Leaves the sink as others can read it best.
    fn close(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.sink.close())).is_err() {
            // The panic is in the log.
            self.renew();
        }
    }

    /// Deletes what is older than `retention` says.
    fn purge(&mut self) {
        let FlusherWork { config, sink, .. } = self;
        let work = || connected(sink.as_mut(), &config.schema, |sink| purge(sink, config, clock::now()));
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(rows)) => {
                self.troubles.over(Trouble::Retention, |lasted, _| {
                    format!("old rows can be deleted again after {lasted}: nothing is lost")
                });
                if rows > 0 {
                    let is = words::verb(rows, "is", "are");
                    log::info!("{} {is} older than [retention] keeps them: deleted", words::some(rows, "row"));
                }
            }
            Ok(Err(e)) => {
                let text = format!(
                    "rows that are older than [retention] keeps them cannot be deleted: {e}; trying again in an hour"
                );
                self.troubles.hold(Trouble::Retention, Level::Warn, &text);
                self.renew();
            }
            // The panic is in the log.
            Err(_) => self.renew(),
        }
    }
}

/// Deletes what is older than `retention` says. Returns how many rows are gone.
fn purge(sink: &mut dyn Sink, config: &Config, now: i64) -> Result<u64, SinkError> {
    let Retention { hourly, daily, partials } = config.retention;
    let mut gone = 0;
    for summary in &config.schema.summaries {
        if let Some(age) = partials {
            gone += sink.purge(summary, None, age, now)?;
        }
        for kind in &summary.windows {
            let age = if *kind == WindowKind::Hourly { hourly } else { daily };
            if let Some(age) = age {
                gone += sink.purge(summary, Some(*kind), age, now)?;
            }
        }
    }
    Ok(gone)
}
