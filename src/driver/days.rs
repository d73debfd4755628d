//! Daily rows: the merge of the hours of a day, with what is known of them from the flush before.
//!
//! Of a day's partials only keys and revisions are read. The hours before the newest one hardly ever change, so what they
//! come to is kept with a fingerprint of their revisions; the newest one has just been written by the same flush. States are
//! read for what is not known: after a start, for points that came late, and of hours that others have written.

use super::flush::{self, Work};
use super::rows;
use crate::engine::aggregate::partial::Partial;
use crate::engine::aggregate::row::Total;
use crate::engine::export::due::DueDay;
use crate::engine::ids::Key;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind, Zone};
use crate::sink::port::{FoundPartial, PartialRange, RowRecord, SinkError, States};
use crate::sink::sql::dialect::row_table_name;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Days in one batch: after a start, each reads up to 25 partials a writer.
const DAYS_A_BATCH: usize = 250;

/// What is known of days, and of hours that this flush has written.
#[derive(Default)]
pub struct Days {
    /// By device and start of the day.
    closed: HashMap<(u32, i64), Closed>,
    /// By device and start of the hour.
    fresh: HashMap<(u32, i64), Fresh>,
}

/// What the hours of a day come to that start before a time.
struct Closed {
    until: i64,
    print: u64,
    total: Total,
}

/// An hour, merged over all writers.
struct Fresh {
    print: u64,
    hour: Partial,
}

/// A fingerprint of partials: of which runs, at which revisions. Their order does not matter.
fn print<'f>(partials: impl Iterator<Item = &'f FoundPartial>) -> u64 {
    let state = foldhash::fast::FixedState::with_seed(0);
    partials.fold(0, |sum, f| sum.wrapping_add(state.hash_one((f.window_start, &f.run, f.rev))))
}

impl Days {
    /// Keeps an hour that has just been written for the row of its day.
    pub fn keep_fresh(&mut self, device: u32, start: i64, there: &[FoundPartial], hour: Partial) {
        self.fresh.insert((device, start), Fresh { print: print(there.iter()), hour });
    }

    /// Ends a flush: its hours are not fresh any more.
    pub fn forget_fresh(&mut self) {
        self.fresh = HashMap::new();
    }
}

/// A day whose row is due, with what has been found of it.
struct Item {
    due: DueDay,
    key: Key,
    zone: Arc<Zone>,
    /// By start of the hour.
    hours: BTreeMap<i64, Vec<FoundPartial>>,
    /// Before this the hours are known.
    until: i64,
}

impl Item {
    fn is_fresh(&self, days: &Days, start: i64) -> bool {
        let fresh = days.fresh.get(&(self.due.device, start));
        fresh.is_some_and(|fresh| self.hours.get(&start).is_some_and(|found| print(found.iter()) == fresh.print))
    }

    /// The hours whose states have to be read, as one span.
    fn unknown(&self, days: &Days) -> Option<Span> {
        let mut unknown =
            self.hours.range(self.until..).map(|(start, _)| *start).filter(|at| !self.is_fresh(days, *at));
        let first = unknown.next()?;
        Some(Span { start: first, end: unknown.next_back().unwrap_or(first) + 1_000_000_000 })
    }
}

/// Writes the rows of the days of some devices of a summary that are due; of days that have not ended only if `running` is
/// true. Gives how many were written.
///
/// # Errors
/// The first failure of the sink; what had been written until then is acknowledged.
pub fn write(work: &mut Work<'_>, summary: &Summary, devices: &[u32], running: bool) -> Result<usize, SinkError> {
    let due = due(work, devices, running);
    let mut written = 0;
    for batch in due.chunks(DAYS_A_BATCH) {
        if summary.windows.contains(&WindowKind::Daily) {
            let items = find(work, summary, batch)?;
            written += put(work, summary, &items)?;
        }
        let aside = &work.memory.aside;
        let is_aside = |day: &DueDay| aside.is_aside(day.device, day.span.start, true);
        let done: Vec<&DueDay> = batch.iter().map(|(_, day, _)| day).filter(|day| !is_aside(day)).collect();
        work.engine.with(|engine| {
            done.iter().for_each(|day| engine.acknowledge_day(day.device, day.span.start, day.is_final));
        });
    }
    Ok(written)
}

/// Reads keys and revisions of the days' partials, without those days that are set aside.
fn find(work: &mut Work<'_>, summary: &Summary, batch: &[(Key, DueDay, Arc<Zone>)]) -> Result<Vec<Item>, SinkError> {
    let ranges: Vec<_> = batch.iter().map(|(key, day, _)| PartialRange { key: key.clone(), span: day.span }).collect();
    let mut by_key = by_key(work.sink.read_partials(summary, &ranges, States::None)?);
    let mut items = Vec::with_capacity(batch.len());
    for (key, due, zone) in batch {
        let hours = take_hours(&mut by_key, key, due.span);
        if work.memory.aside.holds(due.device, due.span.start, true, version(&hours), work.now) {
            continue;
        }
        let closed = work.memory.days.closed.get(&(due.device, due.span.start));
        let is_known =
            |closed: &&Closed| print(hours.range(..closed.until).flat_map(|(_, found)| found)) == closed.print;
        let until = closed.filter(is_known).map_or(due.span.start, |closed| closed.until);
        items.push(Item { due: *due, key: key.clone(), zone: zone.clone(), hours, until });
    }
    // States that are not known; what others have written since comes with them.
    let unknown = items.iter().filter_map(|item| {
        let span = item.unknown(&work.memory.days)?;
        Some(PartialRange { key: item.key.clone(), span })
    });
    let unknown: Vec<_> = unknown.collect();
    if !unknown.is_empty() {
        let mut by_key = self::by_key(work.sink.read_partials(summary, &unknown, States::All)?);
        for item in &mut items {
            let Some(span) = item.unknown(&work.memory.days) else { continue };
            item.hours.extend(take_hours(&mut by_key, &item.key, span));
        }
    }
    Ok(items)
}

fn by_key(found: Vec<FoundPartial>) -> HashMap<Key, Vec<FoundPartial>> {
    let mut out: HashMap<Key, Vec<FoundPartial>> = HashMap::new();
    for mut f in found {
        // The map has the key.
        out.entry(std::mem::take(&mut f.key)).or_default().push(f);
    }
    out
}

/// Takes the partials of a device in a span, by start of the hour.
fn take_hours(
    by_key: &mut HashMap<Key, Vec<FoundPartial>>,
    key: &[String],
    span: Span,
) -> BTreeMap<i64, Vec<FoundPartial>> {
    let mut hours: BTreeMap<i64, Vec<FoundPartial>> = BTreeMap::new();
    if let Some(all) = by_key.get_mut(key) {
        for f in all.extract_if(.., |f| span.contains(f.window_start)) {
            hours.entry(f.window_start).or_default().push(f);
        }
    }
    hours
}

/// A number that changes with what is in a day.
fn version(hours: &BTreeMap<i64, Vec<FoundPartial>>) -> u32 {
    print(hours.values().flatten()) as u32
}

/// Merges the hours and puts the rows. Gives how many were written.
fn put(work: &mut Work<'_>, summary: &Summary, items: &[Item]) -> Result<usize, SinkError> {
    let (mut rows, mut places) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let mut refusals = Vec::new();
    for (place, item) in items.iter().enumerate() {
        match row(work, summary, item) {
            // A running day of which nothing is known yet has no row.
            Ok(row) if row.summed.samples > 0 || row.span.end <= work.now => {
                rows.push(row);
                places.push(place);
            }
            Ok(_) => {}
            // A row that cannot be computed must not hold up the others.
            Err(message) => refusals.push((place, message)),
        }
    }
    let refused = work.sink.put_rows(summary, WindowKind::Daily, &rows, work.now)?;
    let written = rows.len() - refused.len();
    for item in items {
        work.memory.aside.taken(item.due.device, item.due.span.start, true);
    }
    let table = row_table_name(summary, WindowKind::Daily);
    refusals.extend(refused.into_iter().map(|refused| (places[refused.index], refused.reason)));
    for (place, reason) in refusals {
        let item = &items[place];
        let place = (item.due.device, item.due.span, true);
        work.memory.aside.put(place, version(&item.hours), &item.key, table.clone(), reason, work.now);
    }
    Ok(written)
}

/// The row of a day; keeps what its hours before the newest come to.
fn row(work: &mut Work<'_>, summary: &Summary, item: &Item) -> Result<RowRecord, String> {
    let days = &mut work.memory.days;
    let place = (item.due.device, item.due.span.start);
    let mut total = match days.closed.remove(&place) {
        Some(closed) if closed.until == item.until => closed.total,
        _ => Total::default(),
    };
    let newest = item.hours.last_key_value().map(|(start, _)| *start);
    let mut closed = None;
    for (start, found) in item.hours.range(item.until..) {
        if Some(*start) == newest && !item.due.is_final {
            let print = print(item.hours.range(..start).flat_map(|(_, found)| found));
            closed = Some(Closed { until: *start, print, total: total.clone() });
        }
        let fresh = days.fresh.get(&(item.due.device, *start));
        match fresh.filter(|fresh| print(found.iter()) == fresh.print) {
            Some(fresh) => total.add(summary, &fresh.hour),
            None => {
                let pieces = found.iter().filter(|f| f.state.is_some()).map(flush::stored).collect();
                let hours = rows::hours(summary, &item.key, pieces)?;
                hours.values().for_each(|hour| total.add(summary, hour));
            }
        }
    }
    if let Some(closed) = closed {
        days.closed.insert(place, closed);
    }
    let all = || item.hours.values().flatten();
    let writers: BTreeSet<&str> = all().map(|f| &*f.writer).collect();
    Ok(RowRecord {
        key: item.key.clone(),
        span: item.due.span,
        zone: item.zone.clone(),
        summed: total.finish(summary, rows::slots(&item.zone, summary, item.due.span)),
        is_final: item.due.is_final,
        revision: flush::revision(all().map(|f| f.rev)),
        writers: flush::count(writers.len()),
    })
}

/// The due days of some devices, in the order of these.
fn due(work: &Work<'_>, devices: &[u32], running: bool) -> Vec<(Key, DueDay, Arc<Zone>)> {
    let mut days = Vec::new();
    for slice in devices.chunks(flush::DEVICES_A_SLICE) {
        work.engine.with(|engine| {
            let mut due = Vec::new();
            engine.due_days(slice, work.now, running, &mut due);
            let with_key = |day: DueDay| (engine.device(day.device).1.clone(), day, engine.zone(day.zone).clone());
            days.extend(due.into_iter().map(with_key));
        });
    }
    days
}
