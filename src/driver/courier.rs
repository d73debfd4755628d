//! The courier: the thread that reads the configuration, claims and recovers the state, and carries rows to the sink.
//!
//! It never makes the stream wait: it takes the engine's lock for short slices only. A bad configuration is reported and
//! read again every [`CONFIG_EVERY`] until it is valid; a sink that fails is tried again at the next flush, and what was
//! not acknowledged is sent then; a state directory that cannot be used is tried again every [`STATE_EVERY`].
//!
//! The state directory is claimed with the first matched line: Telegraf before 1.40 starts a second instance of every
//! processor if aggregators exist, and starts the wrong one first. While another process owns the directory, matched lines
//! go to a journal file of our own for up to [`CLAIM_MAX`] (the owner may be on its way out); then this process is a plain
//! pipe.

use super::flush::What;
use super::journaling::Journaling;
use super::keeper::{self, FlushError, Keeper};
use super::requests::{self, Resend};
use super::shared::Shared;
use super::status::{self, LastFlush};
use super::watch::Watch;
use super::{backoff, clock, start_thread};
use crate::config::{Config, Retention};
use crate::durable::claim::{self, Claim, GuestMark, Refusal};
use crate::durable::disk::{Disk, Folder};
use crate::durable::journal::write::Journal;
use crate::durable::journal::{adopt, name, read};
use crate::durable::state::db::StateDb;
use crate::durable::state_error::StateError;
use crate::engine::Engine;
use crate::engine::schema::fnv1a;
use crate::engine::zone::WindowKind;
use crate::sink;
use crate::sink::port::{Sink, SinkError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

/// A bad configuration is read again after this time.
const CONFIG_EVERY: Duration = Duration::from_secs(10);
/// A state directory that cannot be used is tried again after this time.
const STATE_EVERY: Duration = Duration::from_secs(10);
/// How long matched lines wait for a state directory that somebody else owns.
const CLAIM_MAX: Duration = Duration::from_secs(15);
/// How often an owned state directory is tried again meanwhile.
const CLAIM_EVERY: Duration = Duration::from_millis(100);
/// Without a matched line, a free state directory is taken after this time to write what is left over, and given back.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(30);
/// State is saved this often, in nanoseconds ...
const CHECKPOINT_EVERY: i64 = 60 * 1_000_000_000;
/// ... and when the journal has grown by this many bytes.
const CHECKPOINT_BYTES: u64 = 8 << 20;
/// A checkpoint is followed by a pause of at least this many times its duration, unless a minute has passed.
const CHECKPOINT_PAUSE: i64 = 20;
/// How often the growth of the journal is looked at.
const TICK: Duration = Duration::from_secs(1);
/// The first rows come within this time, whatever `flush.every` is.
const FIRST_FLUSH_MAX: i64 = 60 * 1_000_000_000;
/// The first flush waits at least this long, so that it has something to write.
const FIRST_FLUSH_MIN: i64 = 2 * 1_000_000_000;
/// Old rows are deleted this often, in nanoseconds.
const PURGE_EVERY: i64 = 3_600 * 1_000_000_000;

/// What the courier is told.
enum Message {
    /// A line has matched for the first time.
    Matched,
    /// The stream has ended: save, flush once more, then answer.
    Stop(SyncSender<()>),
}

/// Wakes the courier at the first match.
pub struct Wake(Sender<Message>);

impl Wake {
    pub fn wake(&self) {
        let _ = self.0.send(Message::Matched);
    }
}

/// The running courier.
pub struct Courier {
    messages: Sender<Message>,
}

impl Courier {
    /// Starts the thread. `run` names this process for good.
    pub fn start(config: PathBuf, run: u128, engine: Arc<Shared>) -> Courier {
        let (messages, received) = channel();
        start_thread("courier", move || {
            let mut work = Work { run, path: config, engine, messages: received };
            // What can panic is contained where it happens; this is for what nobody thought of.
            while catch_unwind(AssertUnwindSafe(|| work.run())).is_err() {
                std::thread::sleep(CONFIG_EVERY);
            }
        });
        Courier { messages }
    }

    /// What wakes it.
    pub fn waker(&self) -> Wake {
        Wake(self.messages.clone())
    }

    /// Asks for a last checkpoint and flush and waits for them, at most `limit`. True if they were done.
    pub fn finish(self, limit: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.messages.send(Message::Stop(done)).is_ok() && answer.recv_timeout(limit).is_ok()
    }
}

/// A random number that names something for good.
pub fn random() -> u128 {
    use std::hash::BuildHasher;
    // The standard library seeds this hasher from the system's source of randomness.
    let half = || u128::from(std::hash::RandomState::new().hash_one(clock::now()));
    half() << 64 | half()
}

struct Work {
    run: u128,
    path: PathBuf,
    engine: Arc<Shared>,
    messages: Receiver<Message>,
}

/// The files of this process while it does not own the state.
struct Guest {
    run: u128,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    mark: Arc<GuestMark>,
}

/// What comes of a state directory that was claimed.
struct Owned {
    keeper: Keeper,
    engine: Engine,
    journal: read::Recovered,
    claim: Claim,
}

/// Why the state is not ours now.
enum NotOwned {
    Taken,
    Foreign,
    Unusable(String),
}

impl Work {
    /// Waits for a message, at most `time`. The end of the process counts as a stop.
    fn wait(&self, time: Duration) -> Option<Message> {
        match self.messages.recv_timeout(time) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Message::Stop(sync_channel(1).0)),
        }
    }

    fn run(&mut self) {
        let config = loop {
            match self.load() {
                Some(config) => break config,
                None => {
                    if let Some(Message::Stop(done)) = self.wait(CONFIG_EVERY) {
                        let _ = done.send(());
                        return;
                    }
                }
            }
        };
        let mut sink = sink::open::open(&config.sink);
        let guest = self.enter(&config);
        log::info!("started: rows go to {}", config.sink.name());
        if guest.is_some() {
            // Tables exist before the first row, so that a dashboard can be made at once.
            self.prepare(&mut sink, &config);
        }
        let Some((mut keeper, _claim)) = self.own(&config, guest, &mut sink) else { return };
        self.serve(&config, &mut keeper, &mut sink);
    }

    fn prepare(&self, sink: &mut Box<dyn Sink + Send>, config: &Config) {
        let prepared = catch_unwind(AssertUnwindSafe(|| {
            if let Err(e) = sink.prepare(&config.schema) {
                report(&e);
                refill(&e, config);
            }
            sink.disconnect();
        }));
        if prepared.is_err() {
            *sink = sink::open::open(&config.sink);
        }
    }

    /// Reads the configuration. `None` if it is bad, which has been reported.
    fn load(&self) -> Option<Config> {
        let path = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(e) => {
                self.engine.switch_off();
                log::error!("cannot read the configuration {path}: {e}; lines pass through, nothing is counted");
                return None;
            }
        };
        match Config::check(&text, &|name| std::env::var(name).ok()) {
            Ok(config) => {
                config.warnings.iter().for_each(|w| log::warn!("{path}: {w}"));
                Some(config)
            }
            Err(report) => {
                self.engine.switch_off();
                log::error!(
                    "{path} has {} problem(s); lines pass through, nothing is counted until they are mended",
                    report.0.len()
                );
                report.0.iter().for_each(|problem| log::error!("{path}: {problem}"));
                None
            }
        }
    }

    /// Begins as a guest of the state directory: from now on lines are matched and journaled. `None` if the directory is
    /// another user's.
    fn enter(&self, config: &Config) -> Option<Guest> {
        let matcher = Engine::new(config.schema.clone());
        let folder = config.state_dir.join("journal");
        match claim::usable(&config.state_dir) {
            Ok(()) => {}
            Err(Refusal::Foreign) => {
                self.engine.refuse();
                let path = config.state_dir.display();
                log::warn!("{path} belongs to another user: lines pass through, nothing is counted");
                return None;
            }
            Err(Refusal::Unusable(e)) => {
                log::error!("{} cannot be used: {e}; trying again", config.state_dir.display());
            }
            Err(Refusal::Owned) => {}
        }
        let run = self.run;
        let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.clone()));
        let bytes_max = config.durability.journal_bytes;
        let mark = Arc::new(GuestMark::new(&folder, &name::guest_name(run)));
        let announce = {
            let mark = Arc::downgrade(&mark);
            move || mark.upgrade().ok_or_else(|| io::Error::other("not a guest any more")).and_then(|mark| mark.set())
        };
        let journaling = Journaling::new(Journal::guest(disk.clone(), run, announce).limited_to(bytes_max));
        sync_regularly(journaling.clone(), config.durability.sync_every);
        self.engine.configured(matcher, Some(journaling));
        Some(Guest { run, disk, folder, mark })
    }

    /// Waits for the first matched line, and claims the state directory then. `None` if the process has nothing more to
    /// do than to pass lines, or is to end; it has ended then.
    fn own(&self, config: &Config, guest: Option<Guest>, sink: &mut Box<dyn Sink + Send>) -> Option<(Keeper, Claim)> {
        let Some(guest) = guest else {
            self.idle();
            return None;
        };
        let begun = Instant::now();
        let mut left_over_at = Some(begun + LEFT_OVER_AFTER);
        let mut refused_since: Option<Instant> = None;
        loop {
            if self.engine.is_claiming() {
                match self.claim(config, &guest) {
                    Ok(owned) => return Some(self.begin(config, guest, owned)),
                    Err(NotOwned::Foreign) => {
                        self.leave(guest, "belongs to another user", config);
                        return None;
                    }
                    Err(NotOwned::Taken) => {
                        let since = *refused_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= CLAIM_MAX {
                            let reason = "is owned by another process: give every Telegraf a state_dir of its own";
                            self.leave(guest, reason, config);
                            return None;
                        }
                    }
                    Err(NotOwned::Unusable(reason)) => {
                        log::error!("{} cannot be used: {reason}; trying again", config.state_dir.display());
                        refused_since = None;
                        if let Some(Message::Stop(done)) = self.wait(STATE_EVERY) {
                            let _ = done.send(());
                            return None;
                        }
                        continue;
                    }
                }
            }
            let pause = if self.engine.is_claiming() { CLAIM_EVERY } else { TICK };
            match self.wait(pause) {
                Some(Message::Stop(done)) => {
                    // A predecessor may have left just now; otherwise our file stays for the next owner.
                    if self.engine.is_claiming()
                        && let Ok(owned) = self.claim(config, &guest)
                    {
                        let (mut keeper, _claim) = self.begin(config, guest, owned);
                        self.end(config, &mut keeper, sink, What::Last);
                    } else if let Some(journaling) = self.engine.journaling() {
                        // What was forwarded has been written.
                        let _ = journaling.sync();
                    }
                    let _ = done.send(());
                    return None;
                }
                Some(Message::Matched) | None => {}
            }
            if left_over_at.is_some_and(|at| Instant::now() >= at) && !self.engine.is_claiming() {
                left_over_at = None;
                self.write_left_over(config, &guest, sink);
            }
        }
    }

    /// Claims the state directory and recovers the state.
    fn claim(&self, config: &Config, guest: &Guest) -> Result<Owned, NotOwned> {
        let own_file = name::guest_name(guest.run);
        let claim = match claim::claim(&config.state_dir) {
            Ok(claim) => claim,
            Err(Refusal::Owned) => return Err(NotOwned::Taken),
            Err(Refusal::Foreign) => return Err(NotOwned::Foreign),
            Err(Refusal::Unusable(e)) => return Err(NotOwned::Unusable(e.to_string())),
        };
        let unusable = |e: StateError| NotOwned::Unusable(e.to_string());
        let (store, aside) = StateDb::open(&config.state_dir, clock::now()).map_err(unusable)?;
        if let Some(aside) = aside {
            log::error!(
                "the state in {} is of no use: {}; set aside as {}; starting anew",
                config.state_dir.display(),
                aside.reason,
                aside.files.join(", ")
            );
        }
        let names = guest.disk.list().map_err(|e| NotOwned::Unusable(e.to_string()))?;
        let abandoned: Vec<String> = names
            .into_iter()
            .filter(|name| name::is_guest(name) && *name != own_file && claim::is_abandoned(&guest.folder, name))
            .collect();
        let started = Instant::now();
        let (disk, writer) = (guest.disk.clone(), format!("{:032x}", random()));
        let opened =
            Keeper::open(Box::new(store), disk, &config.schema, &abandoned, guest.run, writer).map_err(unusable)?;
        if !opened.is_first_start {
            log::info!(
                "recovered {} devices and {} batches of the journal in {} ms",
                opened.engine.device_count(),
                opened.journal.frames,
                started.elapsed().as_millis()
            );
        }
        if opened.journal.missing_bytes > 0 {
            let bytes = opened.journal.missing_bytes;
            log::warn!(
                "{bytes} bytes of the journal are missing: they could not be written, or a power loss took them"
            );
        }
        Ok(Owned { keeper: opened.keeper, engine: opened.engine, journal: opened.journal, claim })
    }

    /// Starts the engine: from now on this process is the owner.
    fn begin(&self, config: &Config, guest: Guest, owned: Owned) -> (Keeper, Claim) {
        let Guest { run, disk, mark, .. } = guest;
        let bytes_max = config.durability.journal_bytes;
        let mut keeper = owned.keeper;
        self.engine.start(owned.engine, |held| {
            let (position, guest) = keeper::own_journal(held, &disk, run, &owned.journal, bytes_max);
            keeper.absorb(guest);
            position
        });
        drop(mark);
        (keeper, owned.claim)
    }

    /// Becomes a plain pipe, and waits for the end.
    fn leave(&self, guest: Guest, reason: &str, config: &Config) {
        self.engine.refuse();
        log::warn!("{} {reason}; lines pass through, nothing is counted", config.state_dir.display());
        let _ = guest.disk.remove(&name::guest_name(guest.run));
        drop(guest);
        self.idle();
    }

    fn idle(&self) {
        loop {
            if let Some(Message::Stop(done)) = self.wait(Duration::from_secs(3600)) {
                let _ = done.send(());
                return;
            }
        }
    }

    /// Without a matched line: writes what an earlier process left over, and gives the state back.
    fn write_left_over(&self, config: &Config, guest: &Guest, sink: &mut Box<dyn Sink + Send>) {
        if !config.state_dir.join("state.db").exists() {
            return;
        }
        if let Ok(owned) = self.claim(config, guest) {
            let mut keeper = owned.keeper;
            let engine = Arc::new(Shared::new(owned.engine));
            let left = Work { run: self.run, path: self.path.clone(), engine, messages: channel().1 };
            left.end(config, &mut keeper, sink, What::Everything { running: true });
        }
    }

    /// The owner's life: flushes, checkpoints, reports, until the stream ends.
    fn serve(&self, config: &Config, keeper: &mut Keeper, sink: &mut Box<dyn Sink + Send>) {
        let started = clock::now();
        let every = config.flush.every;
        // Writers spread over the interval, so that a fleet does not arrive at once.
        let splay = (fnv1a(keeper.writer().as_bytes()) % every.unsigned_abs()) as i64;
        let mut next = started + splay.clamp(FIRST_FLUSH_MIN.min(every), FIRST_FLUSH_MAX);
        let mut daily_at = 0;
        let mut failures = 0;
        let mut last = LastFlush::default();
        let (mut status_at, mut asked_at) = (0, 0);
        // Somewhere in the first hour: a fleet that is restarted does not purge at once.
        let mut purge_at = started + (random() as u64 % PURGE_EVERY.unsigned_abs()) as i64;
        let mut saved_at = started;
        let mut saved_bytes = 0;
        let mut pause_after_save = 0;
        let mut watch = Watch::new(started);
        loop {
            let pause = Duration::from_nanos((next - clock::now()).max(0).unsigned_abs()).min(TICK);
            match self.wait(pause) {
                Some(Message::Stop(done)) => {
                    self.end(config, keeper, sink, What::Last);
                    let _ = done.send(());
                    return;
                }
                Some(Message::Matched) | None => {}
            }
            let now = clock::now();
            watch.look(&self.engine, now);
            if now - status_at >= status::EVERY || now < status_at {
                let of = status::of(&self.engine, keeper, &config.sink.name(), started, &last, now);
                status::write(&config.state_dir, &of);
                status_at = now;
            }
            if now >= asked_at && requests::asked(&config.state_dir).is_some() {
                next = now;
                // If it cannot be done, not again at once.
                asked_at = now + every;
            }
            let bytes = self.engine.journaling().map_or(0, |journaling| journaling.bytes());
            let aged = now - saved_at >= CHECKPOINT_EVERY || now < saved_at;
            let grown = bytes.saturating_sub(saved_bytes) >= CHECKPOINT_BYTES && now - saved_at >= pause_after_save;
            if aged || grown {
                self.checkpoint(keeper, now);
                (saved_at, saved_bytes) = (clock::now(), bytes);
                // A large state under a fast stream: the journal grows, and is bounded, but saving does not take over.
                pause_after_save = (saved_at - now).max(0).saturating_mul(CHECKPOINT_PAUSE);
            }
            // A clock that was set back must not stop the flushes.
            if now < next && next - now <= (every + every / 2).max(FIRST_FLUSH_MAX) {
                continue;
            }
            let running = now - daily_at >= config.flush.daily_every || now < daily_at;
            let pause = if self.flush(sink, config, keeper, What::Everything { running }, &mut last) {
                failures = 0;
                if now >= purge_at || purge_at - now > PURGE_EVERY {
                    self.purge(sink, config, now);
                    purge_at = now + PURGE_EVERY;
                }
                daily_at = if running { now } else { daily_at };
                every
            } else {
                failures += 1;
                backoff::pause(failures, every, random() as u64)
            };
            next = clock::now().max(now) + pause;
        }
    }

    /// The last acts: flush if the sink is quick, then save. What could not be recovered from the journal if the process
    /// is cut off meanwhile is saved first.
    fn end(&self, config: &Config, keeper: &mut Keeper, sink: &mut Box<dyn Sink + Send>, what: What) {
        if keeper.must_save(&self.engine) {
            self.checkpoint(keeper, clock::now());
        }
        self.flush(sink, config, keeper, what, &mut LastFlush::default());
        self.checkpoint(keeper, clock::now());
    }

    /// Deletes what is older than `retention` says.
    fn purge(&self, sink: &mut Box<dyn Sink + Send>, config: &Config, now: i64) {
        let purged = catch_unwind(AssertUnwindSafe(|| {
            let result = sink.prepare(&config.schema).and_then(|()| purge(sink.as_mut(), config, now));
            sink.disconnect();
            result
        }));
        match purged {
            Ok(Ok(0)) => {}
            Ok(Ok(rows)) => log::info!("{rows} rows are older than [retention] keeps them: deleted"),
            Ok(Err(e)) => {
                log::warn!("rows that are older than [retention] keeps them cannot be deleted: {e}");
                refill(&e, config);
            }
            // The panic is in the log.
            Err(_) => *sink = sink::open::open(&config.sink),
        }
    }

    /// Makes everything due again that the state holds.
    fn resend(&self, config: &Config, keeper: &mut Keeper, resend: Resend, now: i64) {
        match catch_unwind(AssertUnwindSafe(|| keeper.resend(&self.engine, resend.from, now))) {
            Ok(Ok(windows)) => {
                log::info!("resend: {windows} windows are written again");
                requests::done(&config.state_dir);
            }
            Ok(Err(e)) => log::error!("resend: {e}; trying again"),
            // The panic is in the log; the same request would lead to it again.
            Err(_) => requests::done(&config.state_dir),
        }
    }

    fn checkpoint(&self, keeper: &mut Keeper, now: i64) {
        match catch_unwind(AssertUnwindSafe(|| keeper.checkpoint(&self.engine, now))) {
            Ok(Ok(Some(position))) => remove_old(keeper.disk(), position),
            Ok(Ok(None)) => {}
            Ok(Err(e)) => log::error!("the state cannot be saved: {e}; trying again; the journal keeps the lines"),
            // The panic is in the log.
            Err(_) => self.save_all(),
        }
    }

    /// What a checkpoint that has panicked took out is not saved: the next one is complete.
    fn save_all(&self) {
        self.engine.with(|engine| engine.mark_all_unsaved(Vec::new()));
    }

    /// One flush. True if everything was written.
    fn flush(
        &self,
        sink: &mut Box<dyn Sink + Send>,
        config: &Config,
        keeper: &mut Keeper,
        what: What,
        last: &mut LastFlush,
    ) -> bool {
        // A sink that was set aside is a new one at the second try.
        let mut one = || self.try_flush(sink, config, keeper, what, last);
        one().or_else(one).unwrap_or(false)
    }

    /// Whether everything was written; `None` if the sink was set aside, and everything is due again.
    fn try_flush(
        &self,
        sink: &mut Box<dyn Sink + Send>,
        config: &Config,
        keeper: &mut Keeper,
        what: What,
        last: &mut LastFlush,
    ) -> Option<bool> {
        let now = clock::now();
        if let Some(resend) = requests::asked(&config.state_dir) {
            self.resend(config, keeper, resend, now);
        }
        let work = || keeper.flush(&self.engine, sink.as_mut(), now, what);
        let result = catch_unwind(AssertUnwindSafe(work));
        let milliseconds = (clock::now() - now).max(0).unsigned_abs() / 1_000_000;
        *last = LastFlush { at: now, milliseconds, complete_at: last.complete_at, ..LastFlush::default() };
        match result {
            Ok(Ok(flushed)) => {
                log::debug!("flushed {} hourly and {} daily rows", flushed.hourly, flushed.daily);
                (last.flushed, last.complete_at) = (flushed, now);
                return Some(true);
            }
            Ok(Err(FlushError::State(error))) => {
                log::error!("nothing is flushed: {error}; trying again");
                last.error = Some(error.to_string());
            }
            Ok(Err(FlushError::Sink(error))) => {
                report(&error);
                last.error = Some(error.to_string());
                // A new sink looks at its tables again: they may have been dropped or replaced.
                *sink = sink::open::open(&config.sink);
                if matches!(error, SinkError::Emptied(_)) {
                    self.resend(config, keeper, Resend { from: i64::MIN }, now);
                    return None;
                }
            }
            Err(_) => {
                // The panic is in the log. A new sink starts without whatever state led to it.
                last.error = Some("a panic, see the log".to_string());
                *sink = sink::open::open(&config.sink);
                self.save_all();
            }
        }
        Some(false)
    }
}

/// Whoever owns the state writes everything again into a sink that was set aside.
fn refill(error: &SinkError, config: &Config) {
    if matches!(error, SinkError::Emptied(_)) {
        let asked = requests::ask(&config.state_dir, Resend { from: i64::MIN });
        asked.unwrap_or_else(|e| log::error!("{}: {e}", config.state_dir.display()));
    }
}

/// Deletes what is older than `retention` says. Gives how many rows are gone.
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

/// Removes old journal files, in a thread of its own: a file system can take its time for it, and a file that stays is
/// removed after the next checkpoint.
fn remove_old(disk: Arc<dyn Disk>, before: u64) {
    start_thread("tidy journal", move || {
        if let Err(e) = adopt::remove_before(&*disk, before) {
            log::warn!("old journal files cannot be removed: {e}; trying again");
        }
    });
}

/// Syncs the journal on a timer, in a thread of its own: a sync can take long, and nothing else may wait for it.
fn sync_regularly(journaling: Journaling, every: i64) {
    start_thread("sync journal", move || {
        loop {
            std::thread::sleep(Duration::from_nanos(every.unsigned_abs()));
            if let Err(e) = journaling.sync() {
                log::error!("the journal cannot be synced: {e}; a power loss would take the last lines");
            }
        }
    });
}

fn report(error: &SinkError) {
    match error {
        SinkError::Temporary(_) => log::error!("the sink failed, trying again soon: {error}"),
        SinkError::Setup(_) => log::error!("the sink needs your help: {error}"),
        SinkError::Emptied(_) => log::error!("{error}"),
    }
}
