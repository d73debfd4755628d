//! Performs the actions of the lifecycle, and returns their outcomes as events.
//!
//! It waits for the disk of the state directory alone, never for a network: rows are written by the [`Flusher`]. It takes the
//! engine's lock for short slices only.
//!
//! Invariant: what this process owns (the claim, the keeper, the guest's file) is held in [`OwnerWork`], outside of any action: after
//! one that has panicked it is still there.

use super::action::{Action, FlushOrder, PipeReason};
use super::barred;
use super::configuring::Configuring;
use super::fault::fault;
use super::figures::{ColumnFigures, Figures, FlushFigures};
use super::guest::Guest;
use super::hinting::Hinting;
use super::keeper::{self, Keeper};
use super::lifecycle::{Admission, Claimed, Event, FlushEnd};
use super::message::Message;
use super::opening::{open, remove_old};
use super::pace::Pace;
use super::parent;
use super::processes;
use super::report::{self, LossReport};
use super::requests::{self, Resend};
use super::status::{self, Speaker};
use crate::config::Config;
use crate::driver::deliver::flusher::{CallKeeper, FlushJob, FlushReport, Flusher, Job, VaultCall};
use crate::driver::deliver::vault::Vault;
use crate::driver::flush::pass::Scope;
use crate::driver::intake::journaling::Journaling;
use crate::driver::intake::shared::Shared;
use crate::driver::names::random;
use crate::driver::troubles::Trouble;
use crate::driver::{clock, threads};
use crate::durable::claim::{self, Claim, Refusal};
use crate::durable::journal::name;
use crate::durable::journal::read::Recovered;
use crate::engine::Engine;
use crate::engine::line::decode::decode;
use crate::engine::schema::fnv1a;
use crate::engine::zone::WindowKind;
use crate::sink::sql::times;
use crate::words;
use log::Level;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};
use std::time::{Duration, Instant};

/// A state directory that was claimed.
struct Owned {
    keeper: Keeper,
    _claim: Claim,
    /// What was recovered and is not in use yet.
    recovered: Option<(Engine, Recovered)>,
}

/// What the thread works with.
pub(super) struct OwnerWork {
    run: u128,
    configuring: Configuring,
    engine: Arc<Shared>,
    messages: Sender<Message>,
    /// The moment that the lifecycle's time counts from.
    begun: Instant,
    /// Nanoseconds since the epoch.
    started: i64,
    config: Option<Arc<Config>>,
    pace: Option<Pace>,
    guest: Option<Guest>,
    owned: Option<Owned>,
    /// The engine with what an earlier process has left over, while that is written.
    left_over: Option<Arc<Shared>>,
    /// Windows that wait in stored state for the sink, as far as this process has seen it.
    waiting: Option<u64>,
    flusher: Option<Flusher>,
    flushes: FlushFigures,
    /// Raised with each flush, and when the state is given back: calls of earlier ones are refused.
    flush_number: u64,
    report: LossReport,
    hinting: Hinting,
    /// Telegraf was seen to only test when this process began: it may have ended by now.
    only_tests: bool,
    /// A thread syncs the journal.
    is_syncing: bool,
    pub(super) stop: Option<SyncSender<()>>,
    pub(super) ended: bool,
}

impl OwnerWork {
    /// Of a process that is named by `run` for good; `messages` is the way to its thread.
    pub(super) fn new(path: PathBuf, run: u128, engine: Arc<Shared>, messages: Sender<Message>) -> OwnerWork {
        OwnerWork {
            run,
            configuring: Configuring::new(path),
            engine,
            messages,
            begun: Instant::now(),
            started: clock::now(),
            config: None,
            pace: None,
            guest: None,
            owned: None,
            left_over: None,
            waiting: None,
            flusher: None,
            flushes: FlushFigures::default(),
            flush_number: 0,
            report: LossReport::default(),
            hinting: Hinting::new(clock::now()),
            only_tests: parent::only_tests(),
            is_syncing: false,
            stop: None,
            ended: false,
        }
    }

    /// Performs an action. Returns the event that it leads to.
    pub(super) fn perform(&mut self, action: Action) -> Option<Event> {
        fault(action);
        match action {
            Action::ReadConfig => return Some(self.read_config()),
            Action::Enter => return self.enter().map(Event::Entered),
            Action::StartFlusher => return self.start_flusher(),
            Action::MakeTables => return self.ask(Job::MakeTables),
            Action::Claim => return Some(Event::Claimed(self.claim())),
            Action::Own => return self.own(),
            Action::WriteLeftOver => return self.write_left_over(),
            Action::GiveBack => self.give_back(),
            Action::Abandon => self.abandon(),
            Action::LookForOthers => {
                let others = self.guest.as_ref().and_then(|guest| guest.others().ok()).unwrap_or_default();
                let folder = self.guest.as_ref().map(|guest| guest.folder.clone()).unwrap_or_default();
                return others.iter().any(|name| !claim::is_abandoned(&folder, name)).then_some(Event::OthersWait);
            }
            Action::BecomePipe(reason) => self.become_pipe(reason),
            Action::Checkpoint => return self.checkpoint(),
            Action::LookAtJournal => return Some(Event::JournalHas(self.journal_bytes_written())),
            Action::Flush(order) => return self.flush(order),
            Action::WriteStatus => self.write_status(),
            Action::LookAtConfig => self.configuring.look(self.engine.troubles()),
            Action::LookForRequests => {
                let config = self.config.as_ref()?;
                return requests::asked(&config.state_dir).map(|_| Event::Requested);
            }
            Action::Resend => self.resend(),
            Action::Report => {
                self.say_what_is_new();
            }
            Action::SayNothingMatched => {
                if let Some((counters, arrivals)) = self.engine.nothing_matched() {
                    let keys = self.config.as_ref().map(|config| report::keys(&config.schema)).unwrap_or_default();
                    let said = report::nothing_matched(&counters, &arrivals, &keys);
                    said.iter().for_each(|line| log::warn!("{line}"));
                }
            }
            Action::SaveAllNext => {
                self.flushed_engine().with(|engine| engine.save_all());
            }
            Action::SaveForTheEnd => {
                let must_save = match &mut self.owned {
                    Some(owned) => owned.keeper.must_save(&self.engine),
                    None => false,
                };
                if must_save {
                    return self.checkpoint();
                }
            }
            Action::SyncJournal => {
                if let Some(journaling) = self.engine.journaling() {
                    // What was forwarded has been written.
                    let _ = journaling.sync();
                }
            }
            Action::CutFlushShort => {
                self.flushed_engine().cut_flushes_short();
                log::error!(
                    "the last flush was not done in time: the rows of the last minutes are incomplete until the next start writes them"
                );
            }
            Action::Finish => {
                if self.owned.is_some() {
                    self.say_what_is_new();
                }
                self.ended = true;
            }
        }
        None
    }

    /// Reads the configuration.
    fn read_config(&mut self) -> Event {
        let Some(config) = self.configuring.read(&self.engine) else { return Event::Misconfigured };
        let splay = config.state_dir.to_string_lossy().into_owned() + &format!("{:x}", random());
        let pace = Pace {
            flush_every: config.flush.every,
            daily_every: config.flush.daily_every,
            splay: fnv1a(splay.as_bytes()),
        };
        log::info!(
            "started: rows go to {}; the first ones are due {} after the first line that a source asks for",
            config.sink.name(),
            words::lasting(pace.first_flush())
        );
        self.config = Some(Arc::new(config));
        self.pace = Some(pace);
        Event::Configured(pace)
    }

    fn start_flusher(&mut self) -> Option<Event> {
        let config = self.config.clone()?;
        let messages = self.messages.clone();
        let troubles = self.engine.troubles();
        match Flusher::start(config, troubles.clone(), move |said| drop(messages.send(Message::Flusher(said)))) {
            Ok(flusher) => {
                troubles.over(Trouble::Flusher, |lasted, _| {
                    format!("the thread that writes rows runs again after {lasted}: rows are late, nothing is lost")
                });
                self.flusher = Some(flusher);
                None
            }
            Err(e) => {
                let text = format!(
                    "no thread can be started ({e}): rows wait; trying again every 10 s; raise the limit on tasks (TasksMax) of Telegraf's service"
                );
                troubles.hold(Trouble::Flusher, Level::Error, &text);
                Some(Event::FlusherLost)
            }
        }
    }

    /// Notes that the flusher has ended.
    pub(super) fn flusher_is_gone(&mut self) {
        self.flusher = None;
        self.flushes.running_since = None;
        if self.stop.is_none() {
            let text = "the thread that writes rows has ended by an internal error: it is started again in 10 s; please report this";
            self.engine.troubles().hold(Trouble::Flusher, Level::Error, text);
        }
    }

    /// Asks the flusher for something.
    fn ask(&mut self, job: Job) -> Option<Event> {
        let is_asked = self.flusher.as_ref().is_some_and(|flusher| flusher.ask(job));
        (!is_asked).then_some(Event::FlusherLost)
    }

    /// Begins as a guest of the state directory: from now on lines are matched and journaled.
    fn enter(&mut self) -> Option<Admission> {
        let config = self.config.clone()?;
        if self.only_tests {
            return Some(Admission::OnlyTests);
        }
        let troubles = self.engine.troubles().clone();
        match claim::usable(&config.state_dir) {
            Ok(()) | Err(Refusal::Owned) => barred::free(&troubles, &config.state_dir, || self.engine.takes_passed()),
            Err(Refusal::Foreign(foreign)) => {
                barred::foreign(&troubles, &config.state_dir, &foreign);
                return Some(Admission::Foreign);
            }
            Err(Refusal::Unusable(e)) => barred::unusable(&troubles, &config.state_dir, &e),
        }
        let (guest, journaling) = Guest::new(&config.state_dir, self.run, config.durability.journal_bytes, troubles);
        self.guest = Some(guest);
        self.sync_regularly(&journaling);
        self.engine.configured(Engine::new(config.schema.clone()), Some(journaling));
        Some(Admission::Guest { has_matched: self.engine.is_claiming() })
    }

    /// Syncs the journal on a timer, in a thread of its own: a sync can take long, and nothing else may wait for it.
    fn sync_regularly(&mut self, journaling: &Journaling) {
        let Some(config) = self.config.as_ref().filter(|_| !self.is_syncing) else { return };
        let (journaling, every) = (journaling.clone(), config.durability.sync_every);
        let started = threads::start("sync journal", move || {
            loop {
                std::thread::sleep(Duration::from_nanos(every.unsigned_abs()));
                // What has failed is said there.
                let _ = journaling.sync();
            }
        });
        match started {
            Ok(_) => self.is_syncing = true,
            Err(e) => log::error!(
                "no thread can be started ({e}): the journal is synced with each checkpoint; raise the limit on tasks (TasksMax) of Telegraf's service"
            ),
        }
    }

    /// Claims the state directory and recovers the state.
    fn claim(&mut self) -> Claimed {
        // What is left of an earlier claim would keep us out.
        self.owned = None;
        let (Some(config), Some(guest)) = (self.config.clone(), &self.guest) else { return Claimed::Unusable };
        let troubles = self.engine.troubles();
        if self.left_over_only() && !config.state_dir.join("state.db").exists() {
            return Claimed::Unusable;
        }
        let claim = match claim::claim(&config.state_dir) {
            Ok(claim) => claim,
            Err(Refusal::Owned) => return Claimed::Taken,
            Err(Refusal::Foreign(foreign)) => {
                barred::foreign(troubles, &config.state_dir, &foreign);
                return Claimed::Foreign;
            }
            Err(Refusal::Unusable(e)) => {
                barred::unusable(troubles, &config.state_dir, &e);
                return Claimed::Unusable;
            }
        };
        match open(&config, guest) {
            Ok((keeper, recovered)) => {
                barred::free(troubles, &config.state_dir, || self.engine.takes_passed());
                self.owned = Some(Owned { keeper, _claim: claim, recovered: Some(recovered) });
                Claimed::Granted
            }
            Err(e) => {
                let text = format!("{} cannot be used: {e}; trying again every 10 s", config.state_dir.display());
                troubles.hold(Trouble::Directory, Level::Error, &text);
                Claimed::Unusable
            }
        }
    }

    /// True while nothing has matched: only what is left over is to be written.
    fn left_over_only(&self) -> bool {
        !self.engine.is_claiming()
    }

    /// Starts the engine: from now on this process is the owner.
    fn own(&mut self) -> Option<Event> {
        let (Some(owned), Some(config), Some(guest)) = (&mut self.owned, &self.config, &self.guest) else {
            return Some(Event::Panicked);
        };
        let Some((engine, recovered)) = owned.recovered.take() else { return Some(Event::Panicked) };
        if let (Some(line), Some(pace)) = (self.engine.first_waiting(), self.pace) {
            let head = decode(&line).ok().flatten().map(|point| point.head.to_string()).unwrap_or_default();
            let zone = &config.schema.zone;
            let due = times::local(zone, WindowKind::Hourly, clock::now() + pace.first_flush());
            log::info!(
                "counting: the first line is `{head}`; rows are due in {} at {} ({}), at the latest",
                config.sink.name(),
                due.get(11..).unwrap_or(&due),
                zone.name()
            );
        }
        let bytes_max = config.durability.journal_bytes;
        let mut file = None;
        self.engine.start(
            engine,
            |held| keeper::own_position(held, &recovered),
            |held| {
                let work = || keeper::own_journal(held, &guest.disk, guest.run, &recovered, bytes_max);
                file = catch_unwind(AssertUnwindSafe(work)).ok();
                if file.is_none() {
                    // Whatever it was: no line may go into a file that is numbered in another way.
                    held.give_up();
                }
            },
        );
        if let Some(file) = file {
            owned.keeper.absorb(file);
        }
        if let Some(guest) = self.guest.take() {
            guest.leave();
        }
        self.started = clock::now();
        self.report = LossReport::default();
        self.hinting = Hinting::new(self.started);
        self.hinting.begin(&self.engine);
        Some(Event::Owned)
    }

    /// Says in the log what was not counted, and what columns do not get.
    fn say_what_is_new(&mut self) {
        let (figures, now) = (Figures::take(&self.engine, None), clock::now());
        self.report.look(&figures);
        for hint in self.hinting.look(&self.engine, &figures, now) {
            log::warn!("{hint}");
        }
        if let Some(note) = self.hinting.absent(&figures, now) {
            log::info!("{note}");
        }
    }

    /// Without a matched line: writes what an earlier process has left over.
    fn write_left_over(&mut self) -> Option<Event> {
        let owned = self.owned.as_mut()?;
        let (engine, _) = owned.recovered.take()?;
        self.left_over = Some(Arc::new(Shared::new(engine)));
        self.flush(FlushOrder { running: true, is_last: false, purge: false, retry_refused: false })
    }

    /// Saves the state with which what was left over has been written, and gives the directory back.
    fn give_back(&mut self) {
        // Taken out first: whatever happens, the directory is given back.
        let (owned, left_over) = (self.owned.take(), self.left_over.take());
        if let (Some(mut owned), Some(left_over)) = (owned, left_over) {
            self.waiting = Some(Figures::take(&left_over, None).unacknowledged);
            if let Err(e) = owned.keeper.checkpoint(&left_over, clock::now()) {
                log::error!(
                    "the state cannot be saved: {e}; the journal keeps the lines; look at the disk under state_dir"
                );
            }
        }
        // A flusher that is gone has nothing open.
        let _ = self.ask(Job::Close);
        self.abandon();
    }

    /// Gives the directory back at once: a flush that is at work is refused what it asks for from now on.
    fn abandon(&mut self) {
        self.flush_number += 1;
        (self.owned, self.left_over) = (None, None);
        self.flushes.running_since = None;
    }

    /// Passes lines through uncounted from now on.
    fn become_pipe(&mut self, reason: PipeReason) {
        self.engine.refuse();
        let state_dir = self.config.as_ref().map(|config| config.state_dir.display().to_string()).unwrap_or_default();
        match reason {
            // The log has it, and will have it again.
            PipeReason::Foreign => {}
            PipeReason::OnlyTests => log::info!(
                "Telegraf only tests: lines pass through, nothing is counted, and neither {state_dir} nor the sink is touched"
            ),
            PipeReason::OwnedByAnother => {
                let owner = self.config.as_ref().and_then(|config| status::read(&config.state_dir)?["pid"].as_u64());
                match owner {
                    Some(pid) if processes::are_siblings(pid) => log::info!(
                        "this is Telegraf's second instance (it has an aggregator): process {pid} counts, lines pass through here; nothing \
                         to do"
                    ),
                    _ => log::warn!(
                        "{state_dir} is owned by another process{}: lines pass through, nothing is counted here; give every Telegraf a \
                         state_dir of its own, and reload",
                        owner.map(|pid| format!(" ({pid})")).unwrap_or_default()
                    ),
                }
            }
        }
        if let Some(guest) = self.guest.take() {
            let _ = guest.disk.remove(&name::guest_name(guest.run));
            guest.leave();
        }
    }

    /// The engine whose rows are written.
    fn flushed_engine(&self) -> Arc<Shared> {
        self.left_over.as_ref().unwrap_or(&self.engine).clone()
    }

    /// Makes everything due that the state holds if the sink is another one than before.
    fn direct(&mut self) {
        let engine = self.flushed_engine();
        let (Some(config), Some(owned)) = (&self.config, &mut self.owned) else { return };
        match owned.keeper.direct(&engine, &config.sink.identity(), clock::now()) {
            Ok(None) => {}
            Ok(Some(windows)) => log::info!(
                "the sink is another one than before: what the state holds is written to {} ({})",
                config.sink.name(),
                words::some(windows, "window")
            ),
            Err(e) => log::error!(
                "the state cannot be made ready for another sink: {e}; trying again; look at the disk under state_dir"
            ),
        }
    }

    fn flush(&mut self, order: FlushOrder) -> Option<Event> {
        self.direct();
        if order.is_last {
            // Somebody may have asked since it was looked at last.
            self.resend();
        }
        let writer = self.owned.as_ref()?.keeper.writer().clone();
        self.flush_number += 1;
        let (number, messages) = (self.flush_number, self.messages.clone());
        let call: CallKeeper = Box::new(move |call| messages.send(Message::Vault(number, call)).is_ok());
        let scope = match order.is_last {
            true => Scope::Last,
            false => Scope::Everything { running: order.running },
        };
        self.flushes.running_since = Some(clock::now());
        self.ask(Job::Flush(Box::new(FlushJob {
            number,
            shared: self.flushed_engine(),
            writer,
            call,
            scope,
            purge: order.purge,
            retry_refused: order.retry_refused,
        })))
    }

    /// Notes how a flush went.
    pub(super) fn flushed(&mut self, report: FlushReport) -> Option<Event> {
        if report.was_emptied {
            self.ask_for_everything();
        }
        // One that was abandoned ends at last: another may be at work by now.
        if report.number != self.flush_number {
            return None;
        }
        self.flushes.running_since = None;
        let end = match &report.error {
            // The sink was set aside when its tables were to be made, and the word of it came behind that of the end. The flush
            // may also have failed of that: the new sink lacks what the old one had.
            _ if report.was_emptied || (self.stop.is_some() && self.is_asked_for()) => FlushEnd::Emptied,
            None => FlushEnd::Complete,
            Some(_) => FlushEnd::Failed,
        };
        if end == FlushEnd::Complete {
            self.flushes.complete_at = Some(report.at);
        }
        self.flushes.last = Some(report);
        Some(Event::FlushEnded { end, random: random() as u64 })
    }

    /// Leaves a request for the owner of the state: the sink is empty.
    pub(super) fn ask_for_everything(&self) {
        let Some(config) = &self.config else { return };
        let asked = requests::ask(&config.state_dir, Resend { from: i64::MIN });
        asked.unwrap_or_else(|e| {
            log::error!("{} cannot be written: {e}; type `telegraf-rollup resend`", config.state_dir.display())
        });
    }

    /// True if somebody asks for everything to be written again.
    fn is_asked_for(&self) -> bool {
        self.config.as_ref().is_some_and(|config| requests::asked(&config.state_dir).is_some())
    }

    /// Answers what a flush asks of the state.
    pub(super) fn serve(&mut self, number: u64, call: VaultCall) {
        let engine = self.flushed_engine();
        // Of a flush that is not the one at work, the answer is that nobody answers.
        let Some(owned) = self.owned.as_mut().filter(|_| number == self.flush_number) else { return };
        match call {
            VaultCall::Secure { now, answer } => drop(answer.send(owned.keeper.secure(&engine, now))),
            VaultCall::Hydrate { after, answer } => drop(answer.send(owned.keeper.hydrate(&engine, after))),
            VaultCall::Save { now, answer } => {
                let saved = owned.keeper.checkpoint(&engine, now);
                let disk = owned.keeper.disk();
                if let Ok(Some(position)) = saved {
                    remove_old(disk, position);
                }
                drop(answer.send(saved.map(|_| ())));
            }
        }
    }

    fn checkpoint(&mut self) -> Option<Event> {
        let owned = self.owned.as_mut()?;
        let (began, journal_bytes) = (self.begun.elapsed(), self.engine.journaling().map_or(0, |j| j.bytes()));
        match owned.keeper.checkpoint(&self.engine, clock::now()) {
            Ok(position) => {
                self.engine.troubles().over(Trouble::State, |lasted, _| {
                    format!("the state is saved again after {lasted}: nothing is lost")
                });
                position.into_iter().for_each(|position| remove_old(owned.keeper.disk(), position));
            }
            Err(e) => {
                let text = format!(
                    "the state cannot be saved: {e}; trying again; the journal keeps the lines; look at the disk under state_dir"
                );
                self.engine.troubles().hold(Trouble::State, Level::Error, &text);
            }
        }
        if let Some(journaling) = self.engine.journaling()
            && !self.is_syncing
        {
            let _ = journaling.sync();
            self.sync_regularly(&journaling);
        }
        let took = self.begun.elapsed().saturating_sub(began);
        log::debug!("the checkpoint took {} ms", took.as_millis());
        Some(Event::Saved { took: i64::try_from(took.as_nanos()).unwrap_or(i64::MAX), journal_bytes })
    }

    fn journal_bytes_written(&self) -> u64 {
        self.engine.journaling().map_or(0, |journaling| journaling.bytes())
    }

    fn write_status(&mut self) {
        let Some(config) = self.config.clone() else { return };
        let now = clock::now();
        let speaker = |writer: Option<String>| Speaker {
            writer,
            sink: config.sink.name(),
            started: self.started,
            ended: self.stop.is_some().then_some(now),
        };
        let troubles = self.engine.troubles();
        if let Some(owned) = self.owned.as_ref().filter(|_| self.guest.is_none()) {
            let figures = Figures::take(&self.engine, Some(&*owned.keeper.disk()));
            let speaker = speaker(Some(owned.keeper.writer().to_string()));
            let status = status::of(&speaker, &figures, &self.flushes, &troubles.open(), now);
            status::write(troubles, &config.state_dir, &status);
            return;
        }
        // Whoever owns the directory speaks for it.
        let _claim = match (&self.owned, &self.guest) {
            (Some(_), _) => None,
            (None, Some(_)) => match claim::claim(&config.state_dir) {
                Ok(claim) => Some(claim),
                Err(_) => return,
            },
            (None, None) => return,
        };
        let Some((counters, arrivals)) = self.engine.nothing_matched() else { return };
        let before = status::read(&config.state_dir);
        if before.as_ref().is_some_and(|before| status::is_of_a_better_guest(before, counters.lines, now)) {
            return;
        }
        let waiting = self.waiting.or_else(|| before?["windows"]["unacknowledged"].as_u64()).unwrap_or_default();
        let columns = ColumnFigures::none(&config.schema);
        let figures =
            Figures { counters, columns, unacknowledged: waiting, waiting_on_disk: waiting, ..Figures::default() };
        let mut status = status::of(&speaker(None), &figures, &self.flushes, &troubles.open(), now);
        status["arrivals"] = status::arrivals(&arrivals);
        status::write(troubles, &config.state_dir, &status);
    }

    /// Makes everything due again that the state holds, as somebody has asked for.
    fn resend(&mut self) {
        let (Some(config), Some(owned)) = (&self.config, &mut self.owned) else { return };
        let Some(resend) = requests::asked(&config.state_dir) else { return };
        match owned.keeper.resend(&self.engine, resend.from, clock::now()) {
            Ok(windows) => {
                log::info!(
                    "resend: {} {} written again",
                    words::some(windows, "window"),
                    words::verb(windows, "is", "are")
                );
                requests::done(&config.state_dir);
            }
            Err(e) => log::error!("resend: {e}; trying again every 10 s; look at the disk under state_dir"),
        }
    }
}
