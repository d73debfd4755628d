//! Processes that come and go on one state directory, each with the life of the product's keeper ([`Lifecycle`]), its keeper,
//! its flushes and its relay ([`Berth`]): a seed decides what happens when.
//!
//! The sink is slow: up to a minute and a half a statement, during which all timers go on. Actions panic, at any call of a
//! port; processes are killed, or their input ends. What is never allowed is checked all the time, and at the end the rows
//! are judged.

use super::Mutant;
use super::chance;
use super::disk::SimDisk;
use super::points::HOUR;
use super::server::Server;
use super::store::SimStore;
use std::cell::{Cell as Shown, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::deliver::delivery::deliver;
use telegraf_rollup::driver::deliver::vault::{Vault, WindowPlace};
use telegraf_rollup::driver::flush::pass::{FlushMemory, Scope};
use telegraf_rollup::driver::intake::journaling::Journaling;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::driver::intake::taken::Taken;
use telegraf_rollup::driver::owner::action::{Action, FlushOrder};
use telegraf_rollup::driver::owner::keeper::{Keeper, own_journal, own_position};
use telegraf_rollup::driver::owner::lifecycle::{Admission, Claimed, Event, FlushEnd, Lifecycle};
use telegraf_rollup::driver::owner::pace::{CHECKPOINT_EVERY, Pace, STATUS_EVERY};
use telegraf_rollup::driver::stream::berth::{Berth, Ticket};
use telegraf_rollup::durable::disk::Disk;
use telegraf_rollup::durable::journal::frame::Frame;
use telegraf_rollup::durable::journal::read::Recovered;
use telegraf_rollup::durable::journal::write::Journal;
use telegraf_rollup::durable::journal::{adopt, name};
use telegraf_rollup::durable::state_error::StateError;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

const CONFIG: &str = r#"
state_dir = "/unused"
[lateness]
max = "2d"
[missing]
horizon = "0s"
[[summary]]
name = "s"
key = ["host"]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
"#;

const SECOND: i64 = 1_000_000_000;
/// The wall clock when a history begins.
const WALL: i64 = 1_700_000_000 * SECOND;
const DEVICES: u64 = 3;
const STEPS: u64 = 40;
/// What the end of a process may take.
const PATIENCE: i64 = 5 * SECOND;
/// How long a batch may take to be settled, as in the relay.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// An action that panics puts things off by so much.
const PANIC_PAUSE: i64 = 10 * SECOND;
/// Flushes that wait at the same time, at most: of several processes, and abandoned ones.
const DEPTH: usize = 4;

/// A device and the start of an hour.
type Window = (u64, i64);

/// What a process owns.
struct Owned {
    keeper: Keeper,
    recovered: Option<(Engine, Recovered)>,
}

/// A flush that is asked for.
struct FlushJob {
    number: u64,
    shared: Arc<Shared>,
    scope: Scope,
}

/// A batch whose frame the disk has not taken yet, and what takes the stream back.
struct Stuck {
    ticket: Ticket,
    journaling: Journaling,
    frame: Frame,
    windows: Vec<Window>,
    /// When the disk answers.
    until: i64,
    /// The number of the batch.
    batch: u64,
}

struct Process {
    life: Lifecycle,
    events: VecDeque<Event>,
    shared: Arc<Shared>,
    journaling: Journaling,
    run: u128,
    owned: Rc<RefCell<Option<Owned>>>,
    left_over: Option<Arc<Shared>>,
    job: Option<FlushJob>,
    memory: FlushMemory,
    flush_number: Rc<Shown<u64>>,
    /// The number of the flush at work.
    flushing: Option<u64>,
    /// The flusher's thread is there.
    has_flusher: bool,
    has_matched: bool,
    /// Its file as a guest is its own.
    is_guest: bool,
    /// Lines in that file.
    guest_lines: Vec<Window>,
    /// Lines that no journal has, since the last checkpoint.
    unjournaled: Vec<Window>,
    /// The stream: the number of the batch that is on its way.
    berth: Berth<u64>,
    stuck: Vec<Stuck>,
    next_batch: u64,
    forwarded: Vec<u64>,
    checkpoint_at: i64,
    status_at: i64,
    end_at: Option<i64>,
    ended: bool,
}

pub struct Lives {
    schema: Arc<Schema>,
    server: Server,
    disk: SimDisk,
    store: SimStore,
    processes: Vec<Process>,
    /// Who holds the claim.
    claim: Option<usize>,
    now: i64,
    mutant: Mutant,
    /// Lines that have to be in the rows, and lines that may be.
    sure: BTreeMap<Window, u64>,
    maybe: BTreeMap<Window, u64>,
    points: i64,
    depth: usize,
    is_calm: bool,
    wrong: Option<String>,
    trace: Vec<String>,
}

/// Runs the history of a seed. The error says what is wrong.
pub fn run(seed: u64, mutant: Mutant) -> Result<(), String> {
    chance::start(seed);
    let config = Config::check(CONFIG, &|_| None).map_err(|report| report.to_string())?;
    let mut world = Lives {
        schema: config.schema,
        server: Server::new(mutant),
        disk: SimDisk::new(mutant),
        store: SimStore::new(mutant),
        processes: Vec::new(),
        claim: None,
        now: 0,
        mutant,
        sure: BTreeMap::new(),
        maybe: BTreeMap::new(),
        points: 0,
        depth: 0,
        is_calm: false,
        wrong: None,
        trace: Vec::new(),
    };
    for _ in 0..STEPS {
        world.step();
    }
    world.end();
    let wrong = world.wrong.take().or_else(|| world.judge());
    match wrong {
        Some(wrong) => Err(format!("seed {seed} of lives: {wrong}\n{}", world.trace.join("\n"))),
        None => Ok(()),
    }
}

/// The keeper as a flush sees it: it is refused if another flush is at work by now.
struct LifeVault {
    owned: Rc<RefCell<Option<Owned>>>,
    current: Rc<Shown<u64>>,
    number: u64,
    writer: Arc<str>,
    /// A call has panicked in the keeper's thread.
    panicked: Rc<Shown<bool>>,
    may_panic: bool,
}

impl LifeVault {
    fn call<T>(&self, work: impl FnOnce(&mut Keeper) -> Result<T, StateError>) -> Result<T, StateError> {
        let gone = || StateError::Io {
            what: "the state has been given back",
            error: io::Error::from(io::ErrorKind::NotConnected),
        };
        if self.number != self.current.get() {
            return Err(gone());
        }
        let mut owned = self.owned.borrow_mut();
        let Some(owned) = owned.as_mut() else { return Err(gone()) };
        let death = if self.may_panic && chance::percent(3) { 1 + chance::below(10) } else { 0 };
        match chance::until_death(death, || work(&mut owned.keeper)) {
            Some(result) => result,
            None => {
                self.panicked.set(true);
                Err(gone())
            }
        }
    }
}

impl Vault for LifeVault {
    fn writer(&self) -> Arc<str> {
        self.writer.clone()
    }

    fn secure(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.call(|keeper| keeper.secure(shared, now))
    }

    fn hydrate(&mut self, shared: &Shared, after: Option<WindowPlace>) -> Result<Option<WindowPlace>, StateError> {
        self.call(|keeper| keeper.hydrate(shared, after))
    }

    fn save(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.call(|keeper| keeper.save(shared, now))
    }
}

/// The server as one flush of a process sees it.
struct LifeSink<'w> {
    world: &'w mut Lives,
    process: usize,
    panicked: Rc<Shown<bool>>,
    is_slow: bool,
}

impl LifeSink<'_> {
    /// Waits for the server. The process may be gone meanwhile; a statement may still be carried out then.
    fn wait(&mut self) -> Result<(), SinkError> {
        if self.panicked.take() {
            self.world.processes[self.process].events.push_back(Event::Panicked);
        }
        if self.is_slow {
            let wait = match chance::below(4) {
                0 => chance::below(90),
                _ => chance::below(5),
            };
            self.world.pass(wait as i64 * SECOND);
            if chance::percent(50) {
                self.world.lines();
            }
        }
        if self.world.processes[self.process].ended && chance::percent(50) {
            return Err(SinkError::Temporary("simulated: the process is gone".to_string()));
        }
        Ok(())
    }
}

impl Sink for LifeSink<'_> {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.wait()?;
        self.world.server.prepare(schema)
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        self.wait()?;
        self.world.server.put_partials(summary, records)
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        self.wait()?;
        self.world.server.read_partials(summary, ranges, states)
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.wait()?;
        self.world.server.put_rows(summary, kind, rows, now)
    }

    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError> {
        self.world.server.purge(summary, kind, age, now)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.world.server.inspect(schema)
    }
}

impl Lives {
    fn note(&mut self, process: usize, what: impl std::fmt::Display) {
        self.trace.push(format!("  {:>5} s, process {process}: {what}", self.now / SECOND));
    }

    /// Something is wrong; the first of it is told.
    fn fail(&mut self, process: usize, what: impl std::fmt::Display) {
        let at = self.now / SECOND;
        self.wrong.get_or_insert_with(|| format!("process {process} at {at} s: {what}"));
    }

    fn living(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|index| !self.processes[*index].ended).collect()
    }

    fn step(&mut self) {
        if self.wrong.is_some() {
            return;
        }
        match chance::below(100) {
            0..45 => self.lines(),
            45..50 => self.pass(SECOND * chance::below(3_600) as i64),
            50..80 => self.pass(SECOND * chance::below(40) as i64),
            80..88 if self.living().len() < 2 => self.start(),
            88..94 => {
                if let Some(process) = self.any() {
                    self.note(process, "the input ends");
                    self.input_ends(process);
                }
            }
            94..97 => {
                if let Some(process) = self.any() {
                    self.note(process, "is killed");
                    self.gone(process);
                }
            }
            _ => self.pass(SECOND / 10),
        }
    }

    fn any(&self) -> Option<usize> {
        let living = self.living();
        (!living.is_empty()).then(|| living[chance::below(living.len() as u64) as usize])
    }

    fn start(&mut self) {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let run = chance::id();
        let shared = Arc::new(Shared::starting(run, chance::id));
        let journal = Journal::guest(disk, run, || Ok(())).limited_to(1 << 20);
        let journaling = Journaling::retrying_after(journal, Duration::ZERO);
        let index = self.processes.len();
        self.processes.push(Process {
            life: Lifecycle::default(),
            events: VecDeque::from([Event::Started]),
            shared,
            journaling,
            run,
            owned: Rc::default(),
            left_over: None,
            job: None,
            memory: FlushMemory::default(),
            flush_number: Rc::default(),
            flushing: None,
            has_flusher: false,
            has_matched: false,
            is_guest: true,
            guest_lines: Vec::new(),
            unjournaled: Vec::new(),
            berth: Berth::default(),
            stuck: Vec::new(),
            next_batch: 0,
            forwarded: Vec::new(),
            checkpoint_at: 0,
            status_at: 0,
            end_at: None,
            ended: false,
        });
        self.note(index, "starts");
        self.pass(0);
    }

    /// The process is gone, with what it had in memory.
    fn gone(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.ended = true;
        process.owned.replace(None);
        process.flush_number.set(process.flush_number.get() + 1);
        let lost = std::mem::take(&mut process.unjournaled);
        let stuck: Vec<Window> = process.stuck.drain(..).flat_map(|stuck| stuck.windows).collect();
        for window in lost.into_iter().chain(stuck) {
            *self.maybe.entry(window).or_default() += 1;
        }
        if self.claim == Some(index) {
            self.claim = None;
        }
    }

    fn input_ends(&mut self, index: usize) {
        let (now, process) = (self.now, &mut self.processes[index]);
        if process.end_at.is_none() {
            process.end_at = Some(now + PATIENCE);
            process.events.push_back(Event::InputEnded { patience: PATIENCE });
        }
        self.pass(0);
    }

    /// A batch of lines comes to a process, in whose journal they are before they are forwarded, if the disk answers in time.
    fn lines(&mut self) {
        let Some(index) = self.any() else { return self.start() };
        let now = Duration::from_nanos(self.now.unsigned_abs());
        let process = &self.processes[index];
        if process.end_at.is_some() || process.berth.overdue_in(now, WAIT_MAX).is_some() {
            // Nothing is read any more, or not while the stream is parked.
            return;
        }
        let wall = WALL + self.now;
        let (mut lines, mut windows) = (Vec::new(), Vec::new());
        for _ in 0..1 + chance::below(3) {
            self.points += 1;
            let at = wall - chance::below(3 * 3_600) as i64 * SECOND - self.points;
            let device = chance::below(DEVICES);
            lines.push(format!("m,host=h{device} v=1 {at}\n"));
            windows.push((device, at.div_euclid(HOUR)));
        }
        let until = self.now + chance::below(2_000) as i64 * SECOND / 1_000;
        let process = &mut self.processes[index];
        let batch = process.next_batch;
        process.next_batch += 1;
        let (taken, _) = process.shared.batch(lines.iter().map(|line| line.as_bytes()), wall);
        let is_claiming = process.shared.is_claiming();
        match taken {
            Taken::Journal(journaling, frame) if process.stuck.is_empty() && chance::percent(10) => {
                // The thread that runs the stream waits for the disk.
                let ticket = process.berth.park(batch, now);
                process.stuck.push(Stuck { ticket, journaling, frame, windows, until, batch });
                self.relay(index);
            }
            Taken::Journal(journaling, frame) => {
                let ticket = process.berth.park(batch, now);
                if !process.stuck.is_empty() {
                    // The journal must not be asked while a frame waits for it.
                    self.fail(index, "a batch is journaled while another waits for the disk");
                    return;
                }
                let is_settled = journaling.append(frame);
                process.forwarded.extend(process.berth.take_back(ticket));
                if is_settled {
                    if process.is_guest {
                        process.guest_lines.extend(&windows);
                    }
                    windows.iter().for_each(|window| *self.sure.entry(*window).or_default() += 1);
                } else {
                    self.fail(index, "the disk is well, and does not take a batch");
                }
            }
            Taken::Unjournaled(journaling, position) => {
                if process.stuck.is_empty() {
                    journaling.probe(position);
                }
                process.shared.mark_unjournaled(lines.iter().map(|line| line.as_bytes()), wall);
                process.unjournaled.extend(windows);
                process.forwarded.push(batch);
            }
            Taken::Nothing | Taken::Kept => process.forwarded.push(batch),
        }
        let process = &mut self.processes[index];
        if is_claiming && !std::mem::replace(&mut process.has_matched, true) {
            process.events.push_back(Event::Matched);
        }
        self.pass(0);
    }

    /// The two threads of the stream at this moment.
    fn relay(&mut self, index: usize) {
        let now = Duration::from_nanos(self.now.unsigned_abs());
        let at = self.now;
        let is_compared = self.mutant != Mutant::TicketIsNotCompared;
        let process = &mut self.processes[index];
        // The other thread.
        if let Some(batch) = process.berth.take_overdue(now, WAIT_MAX) {
            process.shared.journal_is_stuck(true);
            process.forwarded.push(batch);
            if chance::percent(50) {
                // The next batch is on its way, and parked: its own frame waits for nothing but a lock.
                let next = process.next_batch;
                process.next_batch += 1;
                process.berth.park(next, now);
            }
        }
        // The disk answers, and the thread that has waited comes back.
        while let Some(place) = process.stuck.iter().position(|stuck| stuck.until <= at) {
            let stuck = process.stuck.swap_remove(place);
            let is_settled = stuck.journaling.append(stuck.frame);
            let back = if is_compared {
                process.berth.take_back(stuck.ticket)
            } else {
                process.berth.take_overdue(now, Duration::ZERO)
            };
            match back {
                Some(batch) => {
                    process.forwarded.push(batch);
                    if batch != stuck.batch {
                        return self.fail(index, format!("batch {batch} was taken by the thread of {}", stuck.batch));
                    }
                }
                None => process.shared.journal_is_stuck(false),
            }
            if is_settled {
                if process.is_guest {
                    process.guest_lines.extend(&stuck.windows);
                }
                stuck.windows.iter().for_each(|window| *self.sure.entry(*window).or_default() += 1);
            } else {
                process.unjournaled.extend(stuck.windows);
            }
            // What was parked behind it goes on.
            if let Some(next) = process.berth.take_overdue(now, Duration::ZERO) {
                process.forwarded.push(next);
            }
        }
    }

    /// Lets time pass: everything that is due is done, in order.
    fn pass(&mut self, time: i64) {
        let until = self.now + time;
        while self.wrong.is_none() {
            for index in self.living() {
                self.events(index);
                self.relay(index);
            }
            // The keeper waits for the sink.
            let waits = |process: &Process| self.mutant == Mutant::FlusherIsWaitedFor && process.flushing.is_some();
            let next = |index: &usize| {
                let process = &self.processes[*index];
                let stuck = process.stuck.iter().map(|stuck| stuck.until).min();
                let life = process.life.next().filter(|_| !waits(process));
                [life, stuck].into_iter().flatten().min()
            };
            let due = self.living().into_iter().filter_map(|index| Some((next(&index)?, index))).min();
            let Some((at, index)) = due.filter(|(at, _)| *at <= until) else { break };
            self.now = self.now.max(at);
            let now = self.now;
            let actions = if waits(&self.processes[index]) { Vec::new() } else { self.processes[index].life.tick(now) };
            self.perform_all(index, actions);
            self.look(index);
            self.jobs(index);
        }
        self.now = self.now.max(until);
        for index in self.living() {
            self.jobs(index);
        }
    }

    /// Checks what must hold at any time.
    fn look(&mut self, index: usize) {
        let (now, process) = (self.now, &self.processes[index]);
        if process.ended {
            return;
        }
        if let Some(end_at) = process.end_at {
            if now > end_at {
                self.fail(index, "it is still there after its end");
            }
        } else if process.life.is_owner() {
            let limit = CHECKPOINT_EVERY + PANIC_PAUSE + SECOND;
            if now - process.checkpoint_at > limit {
                return self.fail(index, format!("no checkpoint for {} s", (now - process.checkpoint_at) / SECOND));
            }
            if now - process.status_at > STATUS_EVERY + PANIC_PAUSE + SECOND {
                self.fail(index, format!("no status for {} s", (now - process.status_at) / SECOND));
            }
        }
    }

    fn events(&mut self, index: usize) {
        while let Some(event) = self.processes[index].events.pop_front() {
            let now = self.now;
            let actions = self.processes[index].life.step(now, event);
            self.perform_all(index, actions);
        }
        self.jobs(index);
    }

    fn perform_all(&mut self, index: usize, actions: Vec<Action>) {
        for action in actions {
            if self.processes[index].ended {
                return;
            }
            let death = if !self.is_calm && chance::percent(2) { 1 + chance::below(12) } else { 0 };
            match chance::until_death(death, || self.perform(index, action)) {
                Some(event) => self.processes[index].events.extend(event),
                None => {
                    self.note(index, format!("{action:?} panics"));
                    self.processes[index].events.push_back(Event::Panicked);
                }
            }
        }
    }

    fn perform(&mut self, index: usize, action: Action) -> Option<Event> {
        let (now, wall) = (self.now, WALL + self.now);
        let process = &mut self.processes[index];
        match action {
            Action::ReadConfig => {
                let pace = Pace { flush_every: 60 * SECOND, daily_every: 60 * SECOND, splay: chance::below(60) };
                return Some(Event::Configured(pace));
            }
            Action::Enter => {
                if !self.is_calm && chance::percent(5) {
                    return Some(Event::Entered(Admission::Foreign));
                }
                process.shared.configured(Engine::new(self.schema.clone()), Some(process.journaling.clone()));
                return Some(Event::Entered(Admission::Guest { has_matched: process.shared.is_claiming() }));
            }
            Action::StartFlusher => {
                process.has_flusher = self.is_calm || !chance::percent(5);
                return (!process.has_flusher).then_some(Event::FlusherLost);
            }
            Action::MakeTables
            | Action::Report
            | Action::SayNothingMatched
            | Action::CutFlushShort
            | Action::LookAtConfig => {}
            Action::Claim => return Some(Event::Claimed(self.claim(index))),
            Action::Own => return self.own(index),
            Action::WriteLeftOver => {
                let (engine, _) = process.owned.borrow_mut().as_mut()?.recovered.take()?;
                process.left_over = Some(Arc::new(Shared::new(engine)));
                return self
                    .flush(index, FlushOrder { running: true, is_last: false, purge: false, retry_refused: false });
            }
            Action::GiveBack => {
                let owned = process.owned.take();
                if let (Some(mut owned), Some(left_over)) = (owned, process.left_over.take()) {
                    let saved = owned.keeper.checkpoint(&left_over, wall);
                    self.note(index, format!("gives back, {:?}", saved.map_err(|e| e.to_string())));
                }
                self.abandon(index);
            }
            Action::Abandon => self.abandon(index),
            Action::LookForOthers => {
                let others = self.living().into_iter().any(|other| {
                    other != index && self.processes[other].is_guest && !self.processes[other].guest_lines.is_empty()
                });
                return others.then_some(Event::OthersWait);
            }
            Action::BecomePipe(_) => {
                process.shared.refuse();
                let _ = self.disk.remove(&name::guest_name(process.run));
                // They have passed, and are not counted.
                let lines = std::mem::take(&mut process.guest_lines);
                for stuck in &mut process.stuck {
                    stuck.windows.clear();
                }
                process.unjournaled.clear();
                lines.iter().for_each(|window| *self.sure.entry(*window).or_default() -= 1);
                self.note(index, "becomes a pipe");
            }
            Action::Checkpoint => {
                process.checkpoint_at = now;
                return self.checkpoint(index);
            }
            Action::LookAtJournal => return Some(Event::JournalHas(process.journaling.bytes())),
            Action::Flush(order) => return self.flush(index, order),
            Action::WriteStatus => process.status_at = now,
            Action::LookForRequests => {
                return (!self.is_calm && chance::below(2_000) == 0).then_some(Event::Requested);
            }
            Action::Resend => {
                if let Some(owned) = process.owned.borrow_mut().as_mut() {
                    let _ = owned.keeper.resend(&process.shared, i64::MIN, wall);
                }
            }
            Action::SaveAllNext => {
                if self.mutant != Mutant::PanicIsNotSavedAgain {
                    process.left_over.as_ref().unwrap_or(&process.shared).with(|engine| engine.save_all());
                }
            }
            Action::SaveForTheEnd => {
                let must = match process.owned.borrow_mut().as_mut() {
                    Some(owned) => owned.keeper.must_save(&process.shared),
                    None => false,
                };
                if must {
                    return self.checkpoint(index);
                }
            }
            Action::SyncJournal => drop(process.journaling.sync()),
            Action::Finish => {
                self.note(index, "has ended");
                let process = &mut self.processes[index];
                // What is parked at the end is forwarded by whoever has it; everything else has been, once.
                let parked = process.berth.take_overdue(Duration::from_nanos(now.unsigned_abs()), Duration::ZERO);
                process.forwarded.extend(parked);
                process.forwarded.sort_unstable();
                if !process.forwarded.iter().copied().eq(0..process.next_batch) {
                    let what = format!("forwarded: {:?} of {}", process.forwarded, process.next_batch);
                    self.fail(index, what);
                }
                self.gone(index);
            }
        }
        None
    }

    fn claim(&mut self, index: usize) -> Claimed {
        let is_free = self.claim.is_none_or(|holder| holder == index) || self.mutant == Mutant::ClaimIsNotHeld;
        let process = &mut self.processes[index];
        process.owned.replace(None);
        if !process.shared.is_claiming() && self.store.saved() == 0 {
            return Claimed::Unusable;
        }
        if !is_free {
            return Claimed::Taken;
        }
        self.claim = Some(index);
        let (run, living) = (process.run, self.living());
        let guests: Vec<String> = living.iter().map(|other| name::guest_name(self.processes[*other].run)).collect();
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let Ok(names) = disk.list() else { return Claimed::Unusable };
        let abandoned: Vec<String> =
            names.into_iter().filter(|name| name::is_guest(name) && !guests.contains(name)).collect();
        let writer = format!("{:032x}", chance::id());
        match Keeper::open(Box::new(self.store.clone()), disk, &self.schema, &abandoned, run, writer) {
            Ok(opened) => {
                let recovered = Some((opened.engine, opened.journal));
                self.processes[index].owned.replace(Some(Owned { keeper: opened.keeper, recovered }));
                self.note(index, "has the claim");
                Claimed::Granted
            }
            Err(_) => {
                self.claim = None;
                Claimed::Unusable
            }
        }
    }

    fn own(&mut self, index: usize) -> Option<Event> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let process = &mut self.processes[index];
        if let Some(place) = (!process.stuck.is_empty()).then_some(0) {
            // Whoever waits for the disk holds the journal: the engine is switched on when it answers.
            process.stuck[place].until = self.now;
            chance::alive(|| self.relay(index));
        }
        let now = self.now;
        let process = &mut self.processes[index];
        let mut owned = process.owned.borrow_mut();
        let Some(owned) = owned.as_mut() else { return Some(Event::Panicked) };
        let Some((engine, recovered)) = owned.recovered.take() else { return Some(Event::Panicked) };
        let mut file = None;
        process.shared.start(
            engine,
            |held| own_position(held, &recovered),
            |held| {
                let work = || own_journal(held, &disk, process.run, &recovered, 1 << 20);
                file = catch_unwind(AssertUnwindSafe(work)).ok();
                if file.is_none() {
                    held.give_up();
                }
            },
        );
        if let Some(file) = file {
            owned.keeper.absorb(file);
        }
        process.is_guest = false;
        process.guest_lines.clear();
        (process.checkpoint_at, process.status_at) = (now, now);
        Some(Event::Owned)
    }

    fn abandon(&mut self, index: usize) {
        let process = &mut self.processes[index];
        if self.mutant != Mutant::FlushNumberStays {
            process.flush_number.set(process.flush_number.get() + 1);
        }
        process.owned.replace(None);
        (process.left_over, process.job, process.flushing) = (None, None, None);
        if self.claim == Some(index) {
            self.claim = None;
        }
        self.note(index, "gives the directory back");
    }

    fn checkpoint(&mut self, index: usize) -> Option<Event> {
        let wall = WALL + self.now;
        let process = &mut self.processes[index];
        let saved = {
            let mut owned = process.owned.borrow_mut();
            let keeper = &mut owned.as_mut()?.keeper;
            keeper.checkpoint(&process.shared, wall).map(|position| (position, keeper.disk()))
        };
        if let Ok((Some(position), disk)) = saved {
            let _ = adopt::remove_before(&*disk, position);
            let covered = std::mem::take(&mut process.unjournaled);
            covered.into_iter().for_each(|window| *self.sure.entry(window).or_default() += 1);
        }
        Some(Event::Saved { took: 0, journal_bytes: self.processes[index].journaling.bytes() })
    }

    fn flush(&mut self, index: usize, order: FlushOrder) -> Option<Event> {
        let process = &mut self.processes[index];
        if process.flushing.is_some() {
            self.fail(index, "a second flush begins");
            return None;
        }
        if !process.has_flusher {
            return Some(Event::FlusherLost);
        }
        let scope = match order.is_last {
            true => Scope::Last,
            false => Scope::Everything { running: order.running },
        };
        process.flush_number.set(process.flush_number.get() + 1);
        let number = process.flush_number.get();
        process.flushing = Some(number);
        let shared = process.left_over.as_ref().unwrap_or(&process.shared).clone();
        process.job = Some(FlushJob { number, shared, scope });
        None
    }

    /// Runs the flush that was asked for, as the flusher's thread would.
    fn jobs(&mut self, index: usize) {
        let is_slow = !self.is_calm && self.depth < DEPTH && chance::percent(60);
        let process = &mut self.processes[index];
        let Some(FlushJob { number, shared, scope }) = process.job.take() else { return };
        let writer = process.owned.borrow().as_ref().map(|owned| owned.keeper.writer().clone());
        let Some(writer) = writer else { return };
        // Of another engine nothing is remembered.
        let is_left_over = process.left_over.is_some();
        let mut memory = if is_left_over { FlushMemory::default() } else { std::mem::take(&mut process.memory) };
        let panicked = Rc::new(Shown::new(false));
        let mut vault = LifeVault {
            owned: process.owned.clone(),
            current: process.flush_number.clone(),
            number,
            writer,
            panicked: panicked.clone(),
            may_panic: !self.is_calm,
        };
        self.depth += 1;
        let wall = WALL + self.now;
        let mut sink = LifeSink { world: self, process: index, panicked: panicked.clone(), is_slow };
        let result = deliver(&mut vault, &shared, &mut sink, &mut memory, wall, scope);
        self.depth -= 1;
        self.note(index, format!("flush {number}: {:?}", result.as_ref().map_err(ToString::to_string)));
        let process = &mut self.processes[index];
        if panicked.take() {
            process.events.push_back(Event::Panicked);
        }
        if !is_left_over {
            process.memory = memory;
        }
        // One that was abandoned ends at last: another may be at work by now.
        if process.flushing == Some(number) && process.flush_number.get() == number {
            process.flushing = None;
            let is_lost = !self.is_calm && chance::percent(3);
            let end = if result.is_ok() { FlushEnd::Complete } else { FlushEnd::Failed };
            let ended = Event::FlushEnded { end, random: chance::below(1_000) };
            process.has_flusher = !is_lost;
            process.events.push_back(if is_lost { Event::FlusherLost } else { ended });
        }
    }

    /// All is well again: the last of them writes everything.
    fn end(&mut self) {
        self.is_calm = true;
        self.trace.push("  all is well again".to_string());
        for index in self.living() {
            self.input_ends(index);
        }
        self.pass(10 * SECOND);
        if let Some(index) = self.living().first() {
            return self.fail(*index, "it is still there long after its end");
        }
        for round in 0..2 {
            self.start();
            let index = self.processes.len() - 1;
            if round == 0 {
                self.lines();
            }
            // Of the second one nothing is asked but what is left over.
            self.pass(200 * SECOND);
            if round == 0 && !self.processes[index].life.is_owner() {
                return self.fail(index, "it does not become the owner");
            }
            self.input_ends(index);
            self.pass(10 * SECOND);
        }
    }

    /// What is wrong in the rows; `None` if they are right.
    fn judge(&self) -> Option<String> {
        let mut found = BTreeMap::new();
        for (kind, row) in self.server.rows() {
            if let (WindowKind::Hourly, Some(Cell::Integer(n))) = (kind, row.summed.cells.first()) {
                let device = row.key[0].trim_start_matches('h').parse::<u64>().ok()?;
                found.insert((device, row.span.start.div_euclid(HOUR)), *n as u64);
            }
        }
        for (window, sure) in &self.sure {
            let n = found.remove(window).unwrap_or(0);
            let most = sure + self.maybe.get(window).copied().unwrap_or(0);
            if n < *sure || n > most {
                return Some(format!("{window:?} has {n} points, not {sure} to {most}"));
            }
        }
        let rest = found.into_iter().find(|(window, n)| *n > self.maybe.get(window).copied().unwrap_or(0));
        rest.map(|(window, n)| format!("{window:?} has {n} points that nobody sent"))
    }
}
