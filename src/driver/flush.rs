//! One flush: what is due goes to the sink by the three steps, and is acknowledged to the engine.
//!
//! The engine is locked only for slices of bounded work (a look at some devices, the copy of a batch of partials); text
//! is made and the sink is spoken to without the lock, so the stream never waits for a database. Nothing is queued:
//! what was not acknowledged is due again.
//!
//! Devices are written in groups, in order of key: hours, then days. So what a flush holds in memory does not grow with the
//! number of devices, and one that is cut off leaves rows of both kinds. Rows without a sample come last.

use super::aside::SetAside;
use super::days::{self, Days};
use super::rows::{self, Piece, State};
use super::shared::Shared;
use crate::engine::aggregate::partial::Partial;
use crate::engine::aggregate::row;
use crate::engine::export::due::DueWindow;
use crate::engine::export::snapshot::PartSnapshot;
use crate::engine::ids::Key;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind, Zone};
use crate::sink::port::{FoundPartial, PartialRange, PartialRecord, RowRecord, Sink, SinkError, States};
use crate::sink::sql::dialect::partial_table_name;
use crate::sink::sql::dialect::row_table_name;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Devices that are looked at under one lock.
pub const DEVICES_A_SLICE: usize = 500;
/// Devices whose hours are in memory together, for the rows of their days.
const DEVICES_A_GROUP: usize = 1_000;
/// Devices whose windows without a sample are: up to 168 for each of them after a week.
const DEVICES_A_GROUP_OF_EMPTY: usize = 100;
/// Rows without a sample that are written when the process ends.
const EMPTY_ROWS_AT_THE_END: usize = 20_000;
/// Windows in one batch of the protocol.
const KEYS_A_BATCH: usize = 1_000;
/// Partials that are copied, or acknowledged, under one lock.
const COPIES_A_SLICE: usize = 100;
/// Runs whose states the sink is asked to leave out, at most.
const RUNS_NAMED_MAX: usize = 32;

/// What a flush wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    pub hourly: usize,
    pub daily: usize,
    /// Windows of which the sink has more in the name of our run than we have given it.
    pub foreign: usize,
}

/// What one flush leaves for the next.
#[derive(Default)]
pub struct Memory {
    pub days: Days,
    pub aside: SetAside,
}

struct Item {
    device: u32,
    key: Key,
    zone: Arc<Zone>,
    span: Span,
    version: u32,
    is_final: bool,
    was_written: bool,
    parts: Vec<PartSnapshot>,
    /// What the sink says of it after it was put.
    answer: Answer,
}

/// What the sink says of an item after it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It is there.
    There,
    /// There is more than we have given: somebody else writes in the name of our run.
    Foreign,
    /// It is not there, although nothing has failed.
    Missing,
    /// It was refused, and is set aside.
    Refused,
    /// Its partials are there, its row was refused.
    RowRefused,
}

/// What a flush is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All that is due; rows of running days only if `running` is true.
    Everything { running: bool },
    /// All that is due before the process ends, but only some rows without a sample: they are due again at the next start.
    Last,
    /// Windows with samples alone.
    Windows,
}

impl What {
    /// True if rows of running days are asked for.
    fn wants_running(self) -> bool {
        matches!(self, What::Everything { running: true } | What::Last)
    }
}

/// Writes what is due at `now`.
///
/// # Errors
/// The first failure of the sink; what had been written until then is acknowledged.
pub fn flush(
    engine: &Shared,
    sink: &mut dyn Sink,
    memory: &mut Memory,
    writer: &str,
    now: i64,
    what: What,
) -> Result<Flushed, SinkError> {
    let Some((schema, own)) = engine.with(|e| (e.schema().clone(), e.run())) else {
        return Ok(Flushed::default());
    };
    sink.prepare(&schema)?;
    // Of a flush that has failed.
    memory.days.forget_fresh();
    let mut work = Work { engine, sink, memory, writer, own, now, allowed: schema.lateness.allowed };
    let mut flushed = Flushed::default();
    let mut empty_max = if what == What::Last { EMPTY_ROWS_AT_THE_END } else { usize::MAX };
    for (index, summary) in schema.summaries.iter().enumerate() {
        let busy = busy(engine, index as u16, now);
        for group in busy.chunks(DEVICES_A_GROUP) {
            work.samples(summary, group, what, &mut flushed)?;
        }
        // Rows without a sample come last: there may be very many of them, and little time.
        for group in busy.chunks(DEVICES_A_GROUP_OF_EMPTY).filter(|_| what != What::Windows) {
            work.gaps(summary, group, what, &mut empty_max, &mut flushed)?;
        }
    }
    Ok(flushed)
}

/// What every step of a flush needs.
pub struct Work<'f> {
    pub engine: &'f Shared,
    pub sink: &'f mut dyn Sink,
    pub memory: &'f mut Memory,
    writer: &'f str,
    /// The run that is at work.
    own: u32,
    pub now: i64,
    pub allowed: i64,
}

impl Work<'_> {
    /// Windows with samples of a group of devices, and the rows of their days.
    fn samples(
        &mut self,
        summary: &Summary,
        group: &[u32],
        what: What,
        flushed: &mut Flushed,
    ) -> Result<(), SinkError> {
        let wants_days = what.wants_running() && summary.windows.contains(&WindowKind::Daily);
        let mut due = Vec::new();
        for slice in group.chunks(DEVICES_A_SLICE) {
            self.engine.with(|engine| engine.due_windows(slice, self.now, &mut due));
        }
        for batch in due.chunks(KEYS_A_BATCH) {
            self.windows(summary, batch, wants_days, flushed)?;
        }
        if what != What::Windows {
            flushed.daily += days::write(self, summary, group, what.wants_running())?;
        }
        self.memory.days.forget_fresh();
        Ok(())
    }

    /// Windows without a sample of a group of devices, at most so many, and the rows of their days.
    fn gaps(
        &mut self,
        summary: &Summary,
        group: &[u32],
        what: What,
        most: &mut usize,
        flushed: &mut Flushed,
    ) -> Result<(), SinkError> {
        let mut due = Vec::new();
        self.engine.with(|engine| {
            let mut empty = Vec::new();
            engine.due_empty(group, self.now, &mut empty);
            due.extend(empty.into_iter().map(|of| {
                let (_, key, zone) = engine.device(of.device);
                EmptyWindow {
                    key: key.clone(),
                    device: of.device,
                    span: of.span,
                    is_final: of.is_final,
                    zone: zone.clone(),
                }
            }));
        });
        if due.is_empty() || *most == 0 {
            return Ok(());
        }
        if due.len() >= *most {
            due.truncate(*most);
            log::info!("{}: other rows without a sample are written after the next start", summary.name);
        }
        *most -= due.len();
        for batch in due.chunks(KEYS_A_BATCH) {
            self.empty(summary, batch, flushed)?;
        }
        flushed.daily += days::write(self, summary, group, what.wants_running())?;
        Ok(())
    }

    /// The three steps for a batch of windows.
    fn windows(
        &mut self,
        summary: &Summary,
        batch: &[DueWindow],
        wants_days: bool,
        flushed: &mut Flushed,
    ) -> Result<(), SinkError> {
        let mut items = self.copy(batch);
        self.put_partials(summary, &mut items)?;
        let found = self.read(summary, &items)?;
        self.judge(summary, &mut items, &found);
        let mut rows = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(items.len());
        let mut unreadable = Vec::new();
        for (place, item) in items.iter().enumerate().filter(|(_, item)| item.answer != Answer::Refused) {
            let there = found[place].as_slice();
            let hour = match rows::hours(summary, &item.key, pieces(item, there)) {
                Ok(mut hours) => hours.pop_first().map(|(_, hour)| hour).unwrap_or_default(),
                // A row that cannot be computed must not hold up the others.
                Err(message) => {
                    unreadable.push((place, message));
                    continue;
                }
            };
            // Without a sample there is no row, unless there has been one.
            if hour.samples > 0 || item.was_written {
                rows.push(row_of(summary, item, there, &hour));
                places.push(place);
            }
            if wants_days {
                self.memory.days.keep_fresh(item.device, item.span.start, there, hour);
            }
        }
        let mut refusals = unreadable;
        if summary.windows.contains(&WindowKind::Hourly) {
            let refused = self.sink.put_rows(summary, WindowKind::Hourly, &rows, self.now)?;
            flushed.hourly += rows.len() - refused.len();
            refusals.extend(refused.into_iter().map(|refused| (places[refused.index], refused.reason)));
        }
        let table = row_table_name(summary, WindowKind::Hourly);
        for (place, reason) in refusals {
            let item = &mut items[place];
            item.answer = Answer::RowRefused;
            let place = (item.device, item.span, false);
            self.memory.aside.put(place, item.version, &item.key, table.clone(), reason, self.now);
        }
        self.acknowledge(&items, flushed);
        Ok(())
    }

    /// Copies a batch of due windows, without those that are set aside.
    fn copy(&self, batch: &[DueWindow]) -> Vec<Item> {
        let mut items = Vec::with_capacity(batch.len());
        for slice in batch.chunks(COPIES_A_SLICE) {
            let mut copies = Vec::with_capacity(slice.len());
            self.engine.with(|engine| {
                copies.extend(slice.iter().filter_map(|window| {
                    let snapshot = engine.snapshot(window.device, window.span.start)?;
                    Some((window.device, snapshot))
                }));
            });
            for (device, snapshot) in copies {
                let (span, version) = (snapshot.span, snapshot.version);
                if self.memory.aside.holds(device, span.start, false, version, self.now) {
                    continue;
                }
                items.push(Item {
                    device,
                    key: snapshot.key,
                    zone: snapshot.zone,
                    span,
                    version,
                    is_final: span.end.saturating_add(self.allowed) <= self.now,
                    was_written: snapshot.was_written,
                    parts: snapshot.parts,
                    answer: Answer::There,
                });
            }
        }
        items
    }

    /// Step 1: the parts that the sink does not have.
    fn put_partials(&mut self, summary: &Summary, items: &mut [Item]) -> Result<(), SinkError> {
        let writer: Arc<str> = self.writer.into();
        let (mut records, mut owners) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for (place, item) in items.iter().enumerate() {
            for part in item.parts.iter().filter(|part| !part.is_acknowledged) {
                owners.push(place);
                records.push(PartialRecord {
                    key: item.key.clone(),
                    window_start: item.span.start,
                    writer: writer.clone(),
                    run: part.name.clone(),
                    rev: part.rev,
                    state: part.partial.to_json(summary),
                });
            }
        }
        for refused in self.sink.put_partials(summary, &records)? {
            let item = &mut items[owners[refused.index]];
            item.answer = Answer::Refused;
            let (place, table) = ((item.device, item.span, false), partial_table_name(summary));
            self.memory.aside.put(place, item.version, &item.key, table, refused.reason, self.now);
        }
        Ok(())
    }

    /// Step 2: all writers' partials of each window, with the states that are not here.
    fn read(&mut self, summary: &Summary, items: &[Item]) -> Result<Vec<Vec<FoundPartial>>, SinkError> {
        let runs: BTreeSet<&str> = items.iter().flat_map(|item| item.parts.iter().map(|part| &*part.name)).collect();
        let runs: Vec<String> = runs.into_iter().take(RUNS_NAMED_MAX).map(str::to_string).collect();
        let ranges = |places: &[usize]| -> Vec<PartialRange> {
            places.iter().map(|place| PartialRange::exact(&items[*place].key, items[*place].span.start)).collect()
        };
        let wanted: Vec<usize> = (0..items.len()).filter(|place| items[*place].answer != Answer::Refused).collect();
        let mut out: Vec<Vec<FoundPartial>> = vec![Vec::new(); items.len()];
        let places: HashMap<(&[String], i64), usize> =
            wanted.iter().map(|place| ((&items[*place].key[..], items[*place].span.start), *place)).collect();
        for f in self.sink.read_partials(summary, &ranges(&wanted), States::Except(&runs))? {
            if let Some(place) = places.get(&(&f.key[..], f.window_start)) {
                out[*place].push(f);
            }
        }
        // Somebody else has written in the name of a run of ours.
        let is_here = |item: &Item, f: &FoundPartial| {
            f.state.is_some() || item.parts.iter().any(|part| *part.name == *f.run && part.rev == f.rev)
        };
        let again: Vec<usize> =
            wanted.into_iter().filter(|place| !out[*place].iter().all(|f| is_here(&items[*place], f))).collect();
        if !again.is_empty() {
            again.iter().for_each(|place| out[*place].clear());
            for f in self.sink.read_partials(summary, &ranges(&again), States::All)? {
                if let Some(place) = places.get(&(&f.key[..], f.window_start)) {
                    out[*place].push(f);
                }
            }
        }
        Ok(out)
    }

    /// Compares what the sink has with what it was given.
    fn judge(&self, summary: &Summary, items: &mut [Item], found: &[Vec<FoundPartial>]) {
        let mut missing = 0;
        let mut lost = Vec::new();
        for (item, there) in items.iter_mut().zip(found).filter(|(item, _)| item.answer == Answer::There) {
            for part in &item.parts {
                let rev = there.iter().find(|f| *f.run == *part.name).map(|f| f.rev);
                match rev {
                    Some(rev) if rev > part.rev && part.run == self.own => item.answer = Answer::Foreign,
                    // Of an earlier run there may be more: a clone, or what a power loss took from the journal.
                    Some(rev) if rev >= part.rev => {}
                    // A backup was restored there, or a table emptied.
                    _ if part.is_acknowledged => lost.push((item.device, item.span.start, part.run)),
                    _ => {
                        item.answer = Answer::Missing;
                        break;
                    }
                }
            }
            missing += usize::from(item.answer == Answer::Missing);
        }
        let table = partial_table_name(summary);
        if missing > 0 {
            log::warn!(
                "{missing} partials of {table} were written and cannot be read back: does the sink read from a replica?"
            );
        }
        if !lost.is_empty() {
            log::warn!(
                "{table} has lost {} partials (a backup was restored, or the table emptied): they are written again; \
                 `telegraf-rollup resend` writes again what has left memory too",
                lost.len()
            );
            self.engine.with(|engine| lost.iter().for_each(|(device, start, run)| engine.lost(*device, *start, *run)));
        }
    }

    fn acknowledge(&mut self, items: &[Item], flushed: &mut Flushed) {
        flushed.foreign += items.iter().filter(|item| item.answer == Answer::Foreign).count();
        for slice in items.chunks(COPIES_A_SLICE) {
            self.engine.with(|engine| {
                for item in slice {
                    match item.answer {
                        Answer::There | Answer::Foreign => {
                            let parts = item.parts.iter().filter(|part| !part.is_acknowledged);
                            let parts: Vec<_> = parts.map(|part| (part.run, part.rev)).collect();
                            engine.acknowledge(item.device, item.span.start, item.version, item.is_final, &parts);
                        }
                        Answer::RowRefused => engine.day_changed(item.device, item.span.start),
                        Answer::Missing | Answer::Refused => {}
                    }
                }
            });
        }
        for item in items.iter().filter(|item| matches!(item.answer, Answer::There | Answer::Foreign)) {
            self.memory.aside.taken(item.device, item.span.start, false);
        }
    }

    /// Rows of windows without a sample of ours; somebody else may have some.
    fn empty(&mut self, summary: &Summary, batch: &[EmptyWindow], flushed: &mut Flushed) -> Result<(), SinkError> {
        let mut unreadable = BTreeSet::new();
        if summary.windows.contains(&WindowKind::Hourly) {
            let range = |e: &EmptyWindow| PartialRange::exact(&e.key, e.span.start);
            let ranges: Vec<_> = batch.iter().map(range).collect();
            let found = self.sink.read_partials(summary, &ranges, States::All)?;
            let mut by_place: HashMap<(&[String], i64), Vec<&FoundPartial>> = HashMap::new();
            for f in &found {
                by_place.entry((&f.key[..], f.window_start)).or_default().push(f);
            }
            let mut rows = Vec::with_capacity(batch.len());
            for (place, e) in batch.iter().enumerate() {
                let there = by_place.get(&(&e.key[..], e.span.start)).map(Vec::as_slice).unwrap_or_default();
                let hour = match rows::hours(summary, &e.key, there.iter().map(|f| stored(f)).collect()) {
                    Ok(mut hours) => hours.pop_first().map(|(_, hour)| hour).unwrap_or_default(),
                    Err(message) => {
                        log::error!("{}: {message}", summary.name);
                        unreadable.insert(place);
                        continue;
                    }
                };
                let writers: BTreeSet<&str> = there.iter().map(|f| &*f.writer).collect();
                rows.push(RowRecord {
                    key: e.key.clone(),
                    span: e.span,
                    zone: e.zone.clone(),
                    summed: row::sum_up(summary, &[hour], rows::slots(&e.zone, summary, e.span)),
                    is_final: e.is_final,
                    revision: revision(there.iter().map(|f| f.rev)),
                    writers: count(writers.len()),
                });
            }
            let refused = self.sink.put_rows(summary, WindowKind::Hourly, &rows, self.now)?;
            flushed.hourly += rows.len() - refused.len();
            if let Some(refused) = refused.first() {
                log::warn!("{}: the sink refuses a row without samples: {}", summary.name, refused.reason);
            }
        }
        self.engine.with(|engine| {
            for (_, e) in batch.iter().enumerate().filter(|(place, _)| !unreadable.contains(place)) {
                engine.acknowledge_empty(e.device, &[(e.span, e.is_final)]);
            }
        });
        Ok(())
    }
}

/// The pieces of a window: what was found, with the states that are here.
fn pieces<'p>(item: &'p Item, there: &'p [FoundPartial]) -> Vec<Piece<'p>> {
    let piece = |f: &'p FoundPartial| {
        let state = match &f.state {
            Some(text) => State::Stored(text),
            None => State::Here(&item.parts.iter().find(|part| *part.name == *f.run)?.partial),
        };
        Some(Piece { window_start: f.window_start, writer: &f.writer, run: &f.run, state })
    };
    there.iter().filter_map(piece).collect()
}

/// A piece that was read whole.
pub fn stored(f: &FoundPartial) -> Piece<'_> {
    let state = State::Stored(f.state.as_deref().unwrap_or_default());
    Piece { window_start: f.window_start, writer: &f.writer, run: &f.run, state }
}

fn row_of(summary: &Summary, item: &Item, there: &[FoundPartial], hour: &Partial) -> RowRecord {
    let writers: BTreeSet<&str> = there.iter().map(|f| &*f.writer).collect();
    RowRecord {
        key: item.key.clone(),
        span: item.span,
        zone: item.zone.clone(),
        summed: row::sum_up(summary, std::slice::from_ref(hour), rows::slots(&item.zone, summary, item.span)),
        is_final: item.is_final,
        revision: revision(there.iter().map(|f| f.rev)),
        writers: count(writers.len()),
    }
}

/// The revision of a row: the sum of those of its partials.
pub fn revision(revs: impl Iterator<Item = u64>) -> u64 {
    revs.fold(0, u64::saturating_add)
}

/// A count as the tables have it.
pub fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

struct EmptyWindow {
    key: Key,
    device: u32,
    span: Span,
    is_final: bool,
    zone: Arc<Zone>,
}

/// The devices of one summary of which something is due, in order of key: of neighbours, the sink touches the same pages.
fn busy(engine: &Shared, summary: u16, now: i64) -> Vec<u32> {
    let mut busy = Vec::new();
    engine.slices(|engine, from| {
        let mut devices = Vec::new();
        let next = engine.busy(from, DEVICES_A_SLICE, now, &mut devices);
        for device in devices {
            let (owner, key, _) = engine.device(device);
            if owner == summary {
                busy.push((key.clone(), device));
            }
        }
        next
    });
    busy.sort_unstable();
    busy.into_iter().map(|(_, device)| device).collect()
}
