//! One history: a seed decides what happens, and at the end the rows are judged.

use super::Mutant;
use super::chance::{self, Faults};
use super::disk::SimDisk;
use super::points::{Batch, Fate, HOUR, Points};
use super::server::Server;
use super::store::SimStore;
use std::cell::RefCell;
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
use telegraf_rollup::driver::owner::keeper::{Keeper, own_journal, own_position};
use telegraf_rollup::durable::disk::Disk;
use telegraf_rollup::durable::journal::frame::Frame;
use telegraf_rollup::durable::journal::write::Journal;
use telegraf_rollup::durable::journal::{adopt, name};
use telegraf_rollup::durable::state_error::StateError;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::aggregate::partial::Partial;
use telegraf_rollup::engine::aggregate::row;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

const CONFIG: &str = r#"
state_dir = "/unused"
[lateness]
allowed = "10m"
max = "2d"
[missing]
horizon = "3h"
[limits]
dedupe_points = 64
[[summary]]
name = "s"
key = ["host"]
  [[summary.column]]
  name = "sum_v"
  method = "sum"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
"#;

const DEVICES: u64 = 3;
const STEPS: u64 = 70;
/// Points that may be sent again.
const RECENT: usize = 20;
/// Points that may come between: fewer than `limits.dedupe_points`.
const MEMORY: usize = 50;

/// The living process of a site.
struct Process {
    shared: Arc<Shared>,
    /// `None` while it is a guest. A flush that waits for the sink does not hold it.
    keeper: Option<Rc<RefCell<Keeper>>>,
    memory: FlushMemory,
    /// A flush waits for the sink.
    is_flushing: bool,
    journaling: Journaling,
    run: u128,
    /// Its file as a guest is part of the journal, if it is the owner.
    is_adopted: bool,
    /// A write that the disk does not answer.
    stalled: Option<(Journaling, Frame)>,
}

/// The keeper as the flush of another thread sees it: it is held during a call alone.
struct SimVault {
    keeper: Rc<RefCell<Keeper>>,
    mutant: Mutant,
}

impl Vault for SimVault {
    fn writer(&self) -> Arc<str> {
        self.keeper.borrow().writer().clone()
    }

    fn secure(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        if self.mutant == Mutant::FlushIsNotSecured {
            return Ok(());
        }
        self.keeper.borrow_mut().secure(shared, now)
    }

    fn hydrate(&mut self, shared: &Shared, after: Option<WindowPlace>) -> Result<Option<WindowPlace>, StateError> {
        if self.mutant == Mutant::WaitingIsNotFetched {
            return Ok(None);
        }
        self.keeper.borrow_mut().hydrate(shared, after)
    }

    fn save(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.keeper.borrow_mut().save(shared, now)
    }
}

/// The server as one flush sees it. It is slow: everything else goes on between its statements.
struct SlowSink<'w> {
    server: Server,
    world: &'w mut World,
    site: usize,
    /// How often the state had been saved when that was looked at for the last time.
    saved: u64,
    is_slow: bool,
}

impl SlowSink<'_> {
    fn wait(&mut self) {
        while self.is_slow && chance::percent(40) {
            self.saved = self.world.meanwhile(self.site, self.saved);
        }
    }
}

impl Sink for SlowSink<'_> {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.wait();
        self.server.prepare(schema)
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        self.wait();
        let result = self.server.put_partials(summary, records);
        self.wait();
        result
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        self.wait();
        let result = self.server.read_partials(summary, ranges, states);
        self.wait();
        result
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.wait();
        let result = self.server.put_rows(summary, kind, rows, now);
        self.wait();
        result
    }

    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError> {
        self.server.purge(summary, kind, age, now)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.server.inspect(schema)
    }
}

/// A machine with its state directory.
struct Site {
    disk: SimDisk,
    store: SimStore,
    process: Option<Process>,
    life: u64,
    /// Points of this site that may be sent again, the newest last.
    recent: Vec<usize>,
    /// Event time of the newest point of each device that was sent to it.
    newest: [i64; DEVICES as usize],
    /// Points before this number are known to a clone too.
    shared_points: usize,
    /// A sync has failed since the last checkpoint.
    sync_failed: bool,
    /// The sink may have what a power loss would take: a sync has failed, and no checkpoint was possible, or nobody who
    /// lives knows of it.
    is_exposed: bool,
    /// Batches that no checkpoint covers.
    uncovered: Vec<usize>,
}

pub struct World {
    schema: Arc<Schema>,
    server: Server,
    sites: Vec<Site>,
    points: Points,
    now: i64,
    mutant: Mutant,
    /// Nothing fails and nothing is slow any more.
    is_calm: bool,
    pub trace: Vec<String>,
}

/// Runs the history of a seed. The error says what is wrong at its end.
pub fn run(seed: u64, mutant: Mutant) -> Result<(), String> {
    chance::start(seed);
    let config = Config::check(CONFIG, &|_| None).map_err(|report| report.to_string())?;
    let mut world = World {
        schema: config.schema,
        server: Server::new(mutant),
        sites: Vec::new(),
        points: Points::default(),
        now: 1_700_000_000_000_000_000 + chance::below(48) as i64 * HOUR / 2,
        mutant,
        is_calm: false,
        trace: Vec::new(),
    };
    let sites = 1 + usize::from(chance::percent(30));
    for _ in 0..sites {
        world.add_site(SimDisk::new(mutant), SimStore::new(mutant));
    }
    for _ in 0..STEPS {
        world.step();
    }
    world.end();
    world.judge().map_err(|wrong| format!("seed {seed}: {wrong}\n{}", world.trace.join("\n")))
}

/// True if a checkpoint may fail.
fn store_fails() -> bool {
    let faults = chance::faults();
    faults.full || faults.store > 0
}

/// The number in a cell of a row.
fn number(cell: Option<&Cell>) -> u64 {
    match cell {
        Some(Cell::Integer(n)) => *n as u64,
        Some(Cell::Float(f)) => *f as u64,
        _ => 0,
    }
}

impl World {
    fn add_site(&mut self, disk: SimDisk, store: SimStore) {
        let shared_points = self.points.points.len();
        self.sites.push(Site {
            disk,
            store,
            process: None,
            life: 0,
            recent: Vec::new(),
            newest: [i64::MIN; DEVICES as usize],
            shared_points,
            sync_failed: false,
            is_exposed: false,
            uncovered: Vec::new(),
        });
    }

    fn note(&mut self, site: usize, what: impl Into<String>) {
        let life = self.sites[site].life;
        self.trace.push(format!("  site {site}.{life} {}", what.into()));
    }

    fn step(&mut self) {
        match chance::below(100) {
            0..40 => self.lines(),
            40..50 => self.clock(),
            50..62 => self.of_a_site(World::flush),
            62..72 => self.of_a_site(World::checkpoint),
            72..77 => self.of_a_site(World::sync),
            77..80 => self.of_a_site(World::answer_of_the_disk),
            80..84 => self.of_a_site(World::leave),
            84..88 => {
                let site = self.any_site();
                self.die(site, false);
            }
            88..90 => {
                let site = self.any_site();
                self.die(site, true);
            }
            90..97 => self.weather(),
            97..98 if self.sites.len() < 3 => self.clone_a_site(),
            _ => self.server.catch_up(false),
        }
    }

    fn any_site(&self) -> usize {
        chance::below(self.sites.len() as u64) as usize
    }

    /// Does something to a site with a process, which may die on the way.
    fn of_a_site(&mut self, work: fn(&mut World, usize)) {
        let site = self.any_site();
        if !self.is_owner(site) {
            return;
        }
        self.mortal(site, 6, |world| work(world, site));
    }

    /// Runs something during which the process of a site may die.
    fn mortal(&mut self, site: usize, percent: u64, work: impl FnOnce(&mut World)) {
        let death = if chance::percent(percent) { 1 + chance::below(25) } else { 0 };
        if chance::until_death(death, || work(self)).is_none() {
            let power = chance::percent(30);
            self.die(site, power);
        }
    }

    /// What fails from now on.
    fn weather(&mut self) {
        let some = |percent: u64, most: u64| if chance::percent(percent) { chance::below(most) } else { 0 };
        let faults = Faults {
            full: chance::percent(10),
            disk: some(20, 40),
            store: some(20, 60),
            sink: some(40, 60),
            sink_away: chance::percent(15),
        };
        self.trace.push(format!("  {faults:?}"));
        chance::set_faults(faults);
    }

    fn clock(&mut self) {
        let jump = match chance::below(10) {
            0 => -(chance::below(4) as i64) * HOUR,
            1 => chance::below(30) as i64 * HOUR,
            _ => chance::below(90) as i64 * HOUR / 60,
        };
        self.now += jump;
        self.trace.push(format!("  the clock goes on by {} min", jump / (HOUR / 60)));
    }

    /// Starts a process if there is none: as a guest, then as the owner.
    fn start(&mut self, site: usize) {
        let disk: Arc<dyn Disk> = Arc::new(self.sites[site].disk.clone());
        let mut run = chance::id();
        if self.mutant == Mutant::RunsAreOne {
            run = 1;
        }
        let shared = Arc::new(Shared::starting(run, chance::id));
        let journal = Journal::guest(disk, run, || Ok(())).limited_to(1 << 20);
        let journaling = Journaling::retrying_after(journal, Duration::ZERO);
        shared.configured(Engine::new(self.schema.clone()), Some(journaling.clone()));
        self.sites[site].life += 1;
        self.sites[site].process = Some(Process {
            shared,
            keeper: None,
            memory: FlushMemory::default(),
            is_flushing: false,
            journaling,
            run,
            is_adopted: true,
            stalled: None,
        });
        self.note(site, format!("starts as {run:032x}"));
    }

    /// Makes the process of a site the owner of its state, if it can be. True if it is.
    fn is_owner(&mut self, site: usize) -> bool {
        if self.sites[site].process.is_none() {
            self.start(site);
        }
        if self.sites[site].process.as_ref().is_some_and(|p| p.keeper.is_some()) {
            return true;
        }
        self.mortal(site, 10, |world| world.own(site));
        self.sites[site].process.as_ref().is_some_and(|p| p.keeper.is_some())
    }

    fn own(&mut self, site: usize) {
        let Site { disk, store, process, .. } = &mut self.sites[site];
        let Some(process) = process else { return };
        if process.stalled.is_some() {
            // Whoever waits for the disk holds the journal.
            return;
        }
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let own_file = name::guest_name(process.run);
        let Ok(names) = disk.list() else { return };
        let abandoned: Vec<String> =
            names.into_iter().filter(|name| name::is_guest(name) && *name != own_file).collect();
        let (run, writer) = (process.run, format!("{:032x}", chance::id()));
        let opened = Keeper::open(Box::new(store.clone()), disk.clone(), &self.schema, &abandoned, run, writer);
        let Ok(opened) = opened else { return };
        let recovered = opened.journal;
        if opened.is_synced && self.sites[site].disk.has_dropped() {
            // An earlier process was told, and this one is not.
            self.is_exposed(site);
        }
        self.sites[site].sync_failed |= !opened.is_synced;
        let Some(process) = &mut self.sites[site].process else { return };
        let (mut keeper, mut is_adopted) = (opened.keeper, true);
        let mut file = None;
        process.shared.start(
            opened.engine,
            |held| own_position(held, &recovered),
            |held| file = Some(own_journal(held, &disk, run, &recovered, 1 << 20)),
        );
        if let Some(file) = file {
            is_adopted = file.is_adopted;
            keeper.absorb(file);
        }
        process.is_adopted = is_adopted;
        process.keeper = Some(Rc::new(RefCell::new(keeper)));
        let text = format!("owns the state, from {}, {} frames", recovered.position, recovered.frames);
        self.note(site, text);
    }

    /// A batch of lines comes to a site.
    fn lines(&mut self) {
        let site = self.any_site();
        if self.sites[site].process.is_none() {
            self.start(site);
        }
        if chance::percent(80) {
            self.is_owner(site);
        }
        if self.sites[site].process.is_none() {
            return;
        }
        if let Some((batch, lines)) = self.new_batch(site) {
            self.mortal(site, 4, |world| world.take(site, batch, &lines));
        }
    }

    /// Makes up the lines of a batch, and its number.
    fn new_batch(&mut self, site: usize) -> Option<(usize, Vec<String>)> {
        let batch = self.points.batches.len();
        let life = self.sites[site].life;
        // Until it has left, it may or may not be counted.
        let new = Batch { site, life, journaled: false, covered: false, synced: false, fate: Fate::Unsure };
        self.points.batches.push(new);
        self.sites[site].uncovered.push(batch);
        let mut lines = Vec::new();
        for _ in 0..1 + chance::below(4) {
            lines.extend(self.line(site, batch));
        }
        if lines.is_empty() {
            return None;
        }
        self.note(site, format!("batch {batch}: {}", lines.concat().trim_end().replace('\n', " | ")));
        Some((batch, lines))
    }

    fn line(&mut self, site: usize, batch: usize) -> Option<String> {
        let recent = &self.sites[site].recent;
        if chance::percent(25) && !recent.is_empty() {
            let point = recent[chance::below(recent.len() as u64) as usize];
            if self.points.last_batch(point).is_none_or(|b| b.fate == Fate::Unsure) {
                // Sent again while it is not known whether it counts: see the module head.
                return None;
            }
            let age = self.now - self.points.points[point].at;
            let points_since = self.points.points.len() - point;
            if !(0..40 * HOUR).contains(&age) || points_since > MEMORY {
                // It would be refused as late or as in the future, or not be remembered.
                return None;
            }
            // A new value counts only for the newest point of its series.
            let Site { newest, shared_points, .. } = &self.sites[site];
            let (device, at) = (self.points.points[point].device, self.points.points[point].at);
            let is_newest = newest[device] == at;
            // Replacing a value has limits. It is lost if the sink knows more of the run that took the point than the state
            // does (points that were not journaled, flushed before a kill), and lives that were guests only are put in
            // order by their clocks.
            let life = self.sites[site].life;
            let is_owner = self.sites[site].process.as_ref().is_some_and(|p| p.keeper.is_some());
            let all = || self.points.batches[..batch].iter().filter(|b| b.site == site);
            let is_known = all().all(|b| b.journaled || b.covered)
                && (self.points.first_batch(point).is_some_and(|b| b.site == site && b.life == life)
                    || is_owner && all().all(|b| b.life == life || b.fate == Fate::Sure));
            let replaces = is_newest && is_known && point >= *shared_points && self.points.has_room(device, at, 1);
            return Some(self.points.send(point, batch, !(replaces && chance::percent(50))));
        }
        let device = chance::below(DEVICES) as usize;
        let back = if chance::percent(80) { chance::below(20) * 60 } else { chance::below(30) * 3600 };
        let at = self.now - back as i64 * 1_000_000_000 + chance::below(1_000_000) as i64;
        if self.points.is_taken(device, at) || !self.points.has_room(device, at, 1) {
            return None;
        }
        let point = self.points.add(device, at);
        let newest = &mut self.sites[site].newest[device];
        *newest = at.max(*newest);
        self.sites[site].recent.push(point);
        if self.sites[site].recent.len() > RECENT {
            self.sites[site].recent.remove(0);
        }
        Some(self.points.send(point, batch, false))
    }

    fn take(&mut self, site: usize, batch: usize, lines: &[String]) {
        let Some(process) = &mut self.sites[site].process else { return };
        let all = || lines.iter().map(|line| line.as_bytes());
        let (taken, _) = process.shared.batch(all(), self.now);
        let journaled = match taken {
            Taken::Journal(journaling, frame) => {
                if chance::percent(5) {
                    process.shared.journal_is_stuck(true);
                    process.stalled = Some((journaling, frame));
                    false
                } else {
                    journaling.append(frame)
                }
            }
            Taken::Unjournaled(journaling, position) => {
                if process.stalled.is_none() {
                    journaling.probe(position);
                }
                false
            }
            Taken::Nothing | Taken::Kept => panic!("every line matches"),
        };
        if !journaled {
            process.shared.mark_unjournaled(all(), self.now);
            self.trace.push("    unjournaled".to_string());
        }
        let batch = &mut self.points.batches[batch];
        batch.journaled = journaled;
        batch.fate = Fate::Sure;
        if !journaled {
            // It counts, but whether that lasts is known with the next checkpoint: it is not sent again.
            let points = &self.points;
            let number = points.batches.len() - 1;
            self.sites[site].recent.retain(|p| !points.was_in(*p, number));
        }
    }

    /// The disk answers at last.
    fn answer_of_the_disk(&mut self, site: usize) {
        let Some(process) = &mut self.sites[site].process else { return };
        if let Some((journaling, frame)) = process.stalled.take() {
            journaling.append(frame);
            process.shared.journal_is_stuck(false);
            self.note(site, "the disk answers");
        }
    }

    fn flush(&mut self, site: usize) {
        let (now, running) = (self.now, chance::percent(70));
        let saved = self.sites[site].store.saved();
        if store_fails() && self.sites[site].process.as_ref().is_some_and(|p| !p.is_adopted) {
            // The sink may have what the next owner reads behind the lines of another guest.
            self.is_exposed(site);
        }
        let Some(process) = &mut self.sites[site].process else { return };
        let Some(keeper) = process.keeper.clone() else { return };
        let (shared, journaling) = (process.shared.clone(), process.journaling.clone());
        let mut memory = std::mem::take(&mut process.memory);
        process.is_flushing = true;
        let before = self.points.batches.len();
        let mutant = self.mutant;
        let is_slow = !self.is_calm && chance::percent(40);
        let mut sink = SlowSink { server: self.server.clone(), world: self, site, saved, is_slow };
        let result = deliver(
            &mut SimVault { keeper, mutant },
            &shared,
            &mut sink,
            &mut memory,
            now,
            Scope::Everything { running },
        );
        let saved = sink.saved;
        if let Some(process) = &mut self.sites[site].process {
            (process.memory, process.is_flushing) = (memory, false);
        }
        let text = format!("flush at {}: {:?}", now / 1_000_000_000, result.as_ref().map_err(ToString::to_string));
        self.note(site, text);
        if self.sites[site].store.saved() > saved {
            self.is_covered(site);
        } else if journaling.has_failed() || self.sites[site].disk.has_dropped() {
            self.may_be_exposed(site);
        } else if result.is_ok() {
            self.synced(site, before);
        }
        // What came meanwhile may be in the sink, and not be safe in the journal.
        let points = &self.points;
        let is_safe = |point: usize| points.last_batch(point).is_some_and(|b| b.synced || b.covered);
        let came = |point: usize| (before..points.batches.len()).any(|batch| points.was_in(point, batch));
        self.sites[site].recent.retain(|point| !came(*point) || is_safe(*point));
    }

    /// A sync has failed: what was flushed may not be safe in the journal.
    fn may_be_exposed(&mut self, site: usize) {
        self.sites[site].sync_failed = true;
        if store_fails() {
            self.is_exposed(site);
        }
    }

    /// What goes on while a flush of a site waits for the sink, `saved` being how often its state was saved when that was
    /// looked at for the last time. Returns how often it has been saved.
    fn meanwhile(&mut self, site: usize, saved: u64) -> u64 {
        // What the flush itself has saved covers what came before.
        if self.sites[site].store.saved() > saved {
            self.is_covered(site);
        }
        if self.sites[site].process.as_ref().is_some_and(|process| process.journaling.has_failed())
            || self.sites[site].disk.has_dropped()
        {
            self.may_be_exposed(site);
        }
        self.trace.push("  { meanwhile".to_string());
        match chance::below(12) {
            0..4 => {
                if let Some((batch, lines)) = self.new_batch(site) {
                    self.take(site, batch, &lines);
                }
            }
            4..8 => self.checkpoint(site),
            8 => self.sync(site),
            9 => self.clock(),
            10 => self.answer_of_the_disk(site),
            _ => {
                let other = self.any_site();
                let is_free = |p: &Process| p.keeper.is_some() && !p.is_flushing;
                if self.sites[other].process.as_ref().is_some_and(is_free) {
                    chance::alive(|| self.flush(other));
                }
            }
        }
        self.trace.push("  }".to_string());
        self.sites[site].store.saved()
    }

    /// What was not synced and has been flushed must not be sent again: after a power loss it would count as new.
    fn is_exposed(&mut self, site: usize) {
        let site = &mut self.sites[site];
        (site.sync_failed, site.is_exposed) = (true, true);
        site.recent.clear();
    }

    /// A checkpoint covers all that has come.
    fn is_covered(&mut self, site: usize) {
        let life = self.sites[site].life;
        let batches = self.points.batches.iter_mut();
        batches.filter(|b| b.site == site && b.life <= life).for_each(|b| b.covered = true);
        let site = &mut self.sites[site];
        (site.sync_failed, site.is_exposed) = (false, false);
        site.uncovered.clear();
        if let Some(process) = &mut site.process {
            process.is_adopted = true;
        }
    }

    fn sync(&mut self, site: usize) {
        let Some(process) = &self.sites[site].process else { return };
        if process.journaling.sync().is_ok() && !self.sites[site].disk.has_dropped() {
            self.synced(site, self.points.batches.len());
        } else {
            self.sites[site].sync_failed = true;
        }
        self.note(site, "sync");
    }

    /// The batches before the one that is named are safe in the journal.
    fn synced(&mut self, site: usize, before: usize) {
        if self.sites[site].sync_failed {
            return;
        }
        let life = self.sites[site].life;
        let batches = self.points.batches.iter_mut().take(before);
        batches.filter(|b| b.site == site && b.life <= life && b.journaled).for_each(|b| b.synced = true);
    }

    fn checkpoint(&mut self, site: usize) {
        let now = self.now;
        let is_first = self.mutant == Mutant::JournalIsRemovedFirst;
        let Some(Process { shared, keeper: Some(keeper), .. }) = &mut self.sites[site].process else { return };
        let mut keeper = keeper.borrow_mut();
        let disk = keeper.disk();
        if is_first && let Some(Some(position)) = shared.with_position(|_, position| position) {
            let _ = adopt::remove_before(&*disk, position);
        }
        let result = keeper.checkpoint(shared, now);
        drop(keeper);
        let position = result.as_ref().ok().copied().flatten();
        self.note(site, format!("checkpoint: {:?}", result.as_ref().map_err(ToString::to_string)));
        let Some(position) = position else { return };
        self.is_covered(site);
        let _ = adopt::remove_before(&*disk, position);
    }

    /// The orderly end.
    fn leave(&mut self, site: usize) {
        self.checkpoint(site);
        self.flush(site);
        self.checkpoint(site);
        self.note(site, "leaves");
        // What it could not save is as lost as after a kill.
        self.die(site, false);
    }

    fn die(&mut self, site: usize, power: bool) {
        if self.sites[site].process.take().is_none() {
            return;
        }
        self.note(site, if power { "power loss" } else { "dies" });
        let kept = |b: &Batch| b.covered || if power { b.synced } else { b.journaled };
        for batch in self.points.batches.iter_mut().filter(|b| b.site == site) {
            if !kept(batch) {
                batch.fate = Fate::Unsure;
            }
        }
        let points = &self.points;
        // What may be lost is not sent again: it is not known what the state knows of it.
        self.sites[site].recent.retain(|p| points.last_batch(*p).is_some_and(|b| b.fate == Fate::Sure));
        if power {
            // It may have been flushing while neither the journal nor the state could be saved.
            let Site { disk, is_exposed, uncovered, .. } = &self.sites[site];
            if *is_exposed || disk.has_dropped() && store_fails() {
                self.points.may_count_again(uncovered);
            }
            self.sites[site].disk.power_lost();
            // What survived a power loss survives the next one.
            self.points.batches.iter_mut().filter(|b| b.site == site && b.journaled).for_each(|b| b.synced = true);
        } else {
            self.sites[site].disk.process_died();
        }
    }

    /// Another machine starts from a copy of a state, and both go on.
    fn clone_a_site(&mut self) {
        let site = self.any_site();
        if self.sites[site].process.as_ref().is_some_and(|p| p.keeper.is_none()) {
            return;
        }
        let (disk, store) = (self.sites[site].disk.cloned(), self.sites[site].store.cloned());
        self.note(site, "is cloned");
        // What a power loss takes from one of the two, the other has: sent again, it would count twice.
        let points = &self.points;
        self.sites[site].recent.retain(|p| points.last_batch(*p).is_some_and(|b| b.synced || b.covered));
        self.add_site(disk, store);
        let (newest, uncovered) = (self.sites[site].newest, self.sites[site].uncovered.clone());
        if let Some(site) = self.sites.last_mut() {
            (site.newest, site.uncovered) = (newest, uncovered);
        }
        self.sites[site].shared_points = self.points.points.len();
    }

    /// All is well again, and everything is written.
    fn end(&mut self) {
        chance::set_faults(Faults::default());
        self.is_calm = true;
        self.trace.push("  all is well again".to_string());
        for round in 0..3 {
            self.server.catch_up(true);
            self.now += 60 * HOUR;
            for site in 0..self.sites.len() {
                assert!(self.is_owner_at_last(site), "it becomes the owner");
                self.answer_of_the_disk(site);
                self.flush(site);
                self.checkpoint(site);
                if round == 0 {
                    // What is in the rows must be in the state too.
                    self.die(site, true);
                }
            }
        }
    }

    fn is_owner_at_last(&mut self, site: usize) -> bool {
        if let Some(process) = &mut self.sites[site].process
            && let Some((journaling, frame)) = process.stalled.take()
        {
            journaling.append(frame);
            process.shared.journal_is_stuck(false);
        }
        (0..100).any(|_| self.is_owner(site))
    }

    fn judge(&self) -> Result<(), String> {
        let rows = self.server.rows();
        let found = |kind: WindowKind, device: usize, start: i64| {
            let key = format!("h{device}");
            rows.iter().find(|(k, row)| *k == kind && row.key[0] == key && row.span.start == start).map(|(_, row)| row)
        };
        let mut days = std::collections::BTreeMap::new();
        for (device, hour) in self.points.windows() {
            let row = found(WindowKind::Hourly, device, hour * HOUR);
            let cells = row.map(|row| row.summed.cells.as_slice()).unwrap_or_default();
            let (sum, count) = (number(cells.first()), number(cells.get(1)));
            if let Some(wrong) = self.points.wrong(device, hour, sum, count) {
                return Err(format!("h{device} at hour {hour}: {wrong}\n{}", self.partials_of(device, hour)));
            }
            // A row stays as it is if whoever has written it last has lost what it wrote.
            let is_sure = self.points.is_sure(device, hour);
            if is_sure && row.is_some_and(|row| !row.is_final) {
                return Err(format!("h{device} at hour {hour}: not final"));
            }
            let day = days.entry((device, hour.div_euclid(24))).or_insert((0, 0, true));
            *day = (day.0 + sum, day.1 + count, day.2 && is_sure);
        }
        for ((device, day), (sum, count, is_sure)) in days {
            let row = found(WindowKind::Daily, device, day * 24 * HOUR);
            let cells = row.map(|row| row.summed.cells.as_slice()).unwrap_or_default();
            let found = (number(cells.first()), number(cells.get(1)));
            // A partial that came late and belongs to nobody is in the day, and not in its hour, if only the day has been
            // written again since.
            if is_sure && found != (sum, count) && found != self.of_partials(device, day) {
                return Err(format!("h{device} on day {day}: {cells:?}, not the sum of its hours {sum} and {count}"));
            }
        }
        Ok(())
    }

    /// The partials of a window, to be shown.
    fn partials_of(&self, device: usize, hour: i64) -> String {
        let key = format!("h{device}");
        let partials = self.server.partials();
        let partials = partials.iter().filter(|p| p.window_start == hour * HOUR && p.key[0] == key);
        partials.map(|p| format!("{} rev {} {}\n", p.run, p.rev, p.state)).collect()
    }

    /// Sum and count of a day by the partials that the server has.
    fn of_partials(&self, device: usize, day: i64) -> (u64, u64) {
        let summary = &self.schema.summaries[0];
        let (mut sum, mut count) = (0, 0);
        for record in self.server.partials() {
            if record.key[0] == format!("h{device}") && record.window_start.div_euclid(24 * HOUR) == day {
                let partial = Partial::from_json(&record.state, summary).expect("written by us");
                let summed = row::sum_up(summary, &[partial], 60);
                sum += number(summed.cells.first());
                count += number(summed.cells.get(1));
            }
        }
        (sum, count)
    }
}
