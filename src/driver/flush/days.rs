//! Daily rows: the merge of the hours of a day, with what is known of them from the flush before.
//!
//! Of a day's partials only keys and revisions are read. The hours before the newest one hardly ever change, so what they
//! come to is kept with a fingerprint of their revisions; the newest one has just been written by the same flush. States are
//! read for what is not known: after a start, for points that came late, and of hours that others have written.

use super::calendar;
use super::merge::{self, Piece};
use super::protocol::Session;
use super::quarantine::{Quarantine, RowPlace};
use crate::engine::aggregate::partial::Partial;
use crate::engine::aggregate::row::Total;
use crate::engine::export::due::GivenPart;
use crate::engine::ids::{DeviceIndex, Key, RunIndex};
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind, Zone};
use crate::sink::port::{FoundPartial, PartialRange, RowRecord, SinkError, States};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Days in one batch: after a start, each reads up to 25 partials a writer.
pub const DAYS_A_BATCH: usize = 250;

/// A day whose row is due.
#[derive(Clone, Debug)]
pub struct DayJob {
    pub device: DeviceIndex,
    pub key: Key,
    /// The zone that has cut the day.
    pub zone: Arc<Zone>,
    pub span: Span,
    pub is_final: bool,
    /// What our partials of the day's windows come to at least: the sum of their `rev`.
    pub given: u64,
    /// Those of them whose windows are in memory.
    pub parts: Vec<GivenPart>,
}

/// What became of a day's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayDone {
    Written,
    /// It needs no row.
    Needless,
    /// It is in quarantine and was not tried.
    Held,
    /// The sink's answers lack a partial that we have written, or one that they had before: no row is made of them. Of windows
    /// in memory it is known which: start and run of each.
    Missing {
        lost: Vec<(i64, RunIndex)>,
    },
    /// The sink refuses it, or it cannot be computed; `version` changes with what is in the day.
    Refused {
        reason: String,
        version: u32,
    },
}

/// What is known of days, and of hours that this flush has written.
#[derive(Default)]
pub struct Days {
    /// By device and start of the day.
    closed: HashMap<(DeviceIndex, i64), Closed>,
    /// By device and start of the hour.
    fresh: BTreeMap<(DeviceIndex, i64), Fresh>,
    /// Hours of which this flush has not found all that was written, by device and start: their days wait.
    short: BTreeSet<(DeviceIndex, i64)>,
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
    /// The runs that the sink has of it, each with its revision.
    runs: Box<[(Arc<str>, u64)]>,
    hour: Partial,
}

/// A fingerprint of partials: of which runs, at which revisions. Their order does not matter.
fn print<'f>(partials: impl Iterator<Item = &'f FoundPartial>) -> u64 {
    let state = foldhash::fast::FixedState::with_seed(0);
    partials.fold(0, |sum, f| sum.wrapping_add(state.hash_one((f.window_start, &f.run, f.rev))))
}

impl Days {
    /// Keeps an hour that has just been written for the row of its day.
    pub fn keep_fresh(&mut self, device: DeviceIndex, start: i64, there: &[FoundPartial], hour: Partial) {
        let runs = there.iter().map(|f| (f.run.clone(), f.rev)).collect();
        self.fresh.insert((device, start), Fresh { print: print(there.iter()), runs, hour });
    }

    /// Notes an hour of which not all was found that was written.
    pub fn keep_short(&mut self, device: DeviceIndex, start: i64) {
        self.short.insert((device, start));
    }

    /// Ends a flush: its hours are not fresh any more.
    pub fn forget_fresh(&mut self) {
        (self.fresh, self.short) = (BTreeMap::new(), BTreeSet::new());
    }
}

/// A day with what has been found of it.
struct FoundDay<'j> {
    job: &'j DayJob,
    /// By start of the hour.
    hours: BTreeMap<i64, Vec<FoundPartial>>,
    /// Before this the hours are known.
    until: i64,
}

impl FoundDay<'_> {
    fn is_fresh(&self, days: &Days, start: i64) -> bool {
        let fresh = days.fresh.get(&(self.job.device, start));
        fresh.is_some_and(|fresh| self.hours.get(&start).is_some_and(|found| print(found.iter()) == fresh.print))
    }

    /// True if the answer lacks what this flush has found before: it is of an earlier moment, from a replica for example.
    fn is_stale(&self, days: &Days) -> bool {
        let (device, Span { start, end }) = (self.job.device, self.job.span);
        let mut fresh = days.fresh.range((device, start)..(device, end));
        fresh.any(|((_, at), fresh)| {
            let found = self.hours.get(at).map_or(&[][..], |found| found);
            let has = |run: &str, rev: u64| found.iter().any(|f| *f.run == *run && f.rev >= rev);
            print(found.iter()) != fresh.print && !fresh.runs.iter().all(|(run, rev)| has(run, *rev))
        })
    }

    /// The parts of windows in memory that were written and are not in the answer.
    fn lost(&self) -> Vec<(i64, RunIndex)> {
        let is_found = |part: &GivenPart| {
            let found = self.hours.get(&part.start).map_or(&[][..], |found| found);
            found.iter().any(|f| f.run == part.name && f.rev >= part.rev)
        };
        self.job.parts.iter().filter(|part| !is_found(part)).map(|part| (part.start, part.run)).collect()
    }

    /// True if the answers lack something: what we have written of the day, or the state of an hour that has to be merged.
    fn is_short(&self, days: &Days, writer: &str) -> bool {
        let (device, Span { start, end }) = (self.job.device, self.job.span);
        let ours = self.hours.values().flatten().filter(|f| *f.writer == *writer);
        ours.fold(0_u64, |sum, f| sum.saturating_add(f.rev)) < self.job.given
            || days.short.range((device, start)..(device, end)).next().is_some()
            || self
                .hours
                .range(self.until..)
                .any(|(start, found)| !self.is_fresh(days, *start) && found.iter().any(|f| f.state.is_none()))
            || self.is_stale(days)
    }

    /// Returns the hours whose states have to be read, as one span.
    fn unknown(&self, days: &Days) -> Option<Span> {
        let mut unknown =
            self.hours.range(self.until..).map(|(start, _)| *start).filter(|at| !self.is_fresh(days, *at));
        let first = unknown.next()?;
        Some(Span { start: first, end: unknown.next_back().unwrap_or(first) + 1_000_000_000 })
    }

    /// Returns a number that changes with what is in the day.
    fn version(&self) -> u32 {
        print(self.hours.values().flatten()) as u32
    }
}

/// Writes the rows of a batch of days. Returns what became of each, in the same order.
///
/// # Errors
/// The first failure of the sink; whatever had been written until then may be written again.
pub fn write(
    session: &mut Session<'_>,
    jobs: &[DayJob],
    days: &mut Days,
    quarantine: &Quarantine,
) -> Result<Vec<DayDone>, SinkError> {
    if !session.summary.windows.contains(&WindowKind::Daily) {
        return Ok(vec![DayDone::Needless; jobs.len()]);
    }
    let found = find(session, jobs, days, quarantine)?;
    put(session, days, &found)
}

/// Reads keys and revisions of the days' partials, and the states that are not known. `None` for days in quarantine.
fn find<'j>(
    session: &mut Session<'_>,
    jobs: &'j [DayJob],
    days: &Days,
    quarantine: &Quarantine,
) -> Result<Vec<Option<FoundDay<'j>>>, SinkError> {
    let ranges: Vec<_> = jobs.iter().map(|job| PartialRange { key: job.key.clone(), span: job.span }).collect();
    let mut by_key = by_key(session.sink.read_partials(session.summary, &ranges, States::None)?);
    let mut found = Vec::with_capacity(jobs.len());
    for job in jobs {
        let hours = take_hours(&mut by_key, &job.key, job.span);
        let closed = days.closed.get(&(job.device, job.span.start));
        let is_known =
            |closed: &&Closed| print(hours.range(..closed.until).flat_map(|(_, found)| found)) == closed.print;
        let until = closed.filter(is_known).map_or(job.span.start, |closed| closed.until);
        let day = FoundDay { job, hours, until };
        let place = RowPlace { device: job.device, start: job.span.start, is_day: true };
        found.push((!quarantine.holds(place, day.version(), session.now)).then_some(day));
    }
    // What others have written since comes with the states.
    let unknown = found.iter().flatten().filter_map(|day| {
        let span = day.unknown(days)?;
        Some(PartialRange { key: day.job.key.clone(), span })
    });
    let unknown: Vec<_> = unknown.collect();
    if !unknown.is_empty() {
        let mut by_key = self::by_key(session.sink.read_partials(session.summary, &unknown, States::All)?);
        for day in found.iter_mut().flatten() {
            let Some(span) = day.unknown(days) else { continue };
            let mut again = take_hours(&mut by_key, &day.job.key, span);
            for (start, found) in day.hours.range_mut(span.start..span.end) {
                // An answer that has less than the one before is not used.
                if let Some(again) = again.remove(start).filter(|again| merge::holds(again, found)) {
                    *found = again;
                }
            }
            day.hours.extend(again);
        }
    }
    Ok(found)
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

/// Merges the hours and puts the rows.
fn put(session: &mut Session<'_>, days: &mut Days, found: &[Option<FoundDay<'_>>]) -> Result<Vec<DayDone>, SinkError> {
    let (mut rows, mut places) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    let mut done = vec![DayDone::Held; found.len()];
    for (place, day) in found.iter().enumerate() {
        let Some(day) = day else { continue };
        let lost = day.lost();
        if !lost.is_empty() || day.is_short(days, session.writer) {
            done[place] = DayDone::Missing { lost };
            continue;
        }
        done[place] = DayDone::Written;
        match row(session.summary, days, day) {
            // A running day of which nothing is known yet has no row; one whose samples are gone has had one.
            Ok(row) if row.summed.samples > 0 || !day.hours.is_empty() || row.span.end <= session.now => {
                rows.push(row);
                places.push(place);
            }
            Ok(_) => done[place] = DayDone::Needless,
            // A row that cannot be computed must not hold up the others.
            Err(reason) => done[place] = DayDone::Refused { reason, version: day.version() },
        }
    }
    for refused in session.sink.put_rows(session.summary, WindowKind::Daily, &rows, session.now)? {
        let place = places[refused.index];
        let version = found[place].as_ref().map_or(0, FoundDay::version);
        done[place] = DayDone::Refused { reason: refused.reason, version };
    }
    Ok(done)
}

/// Makes the row of a day; keeps the merge of its hours before the newest.
fn row(summary: &Summary, days: &mut Days, day: &FoundDay<'_>) -> Result<RowRecord, String> {
    let job = day.job;
    let place = (job.device, job.span.start);
    let mut total = match days.closed.remove(&place) {
        Some(closed) if closed.until == day.until => closed.total,
        _ => Total::default(),
    };
    let newest = day.hours.last_key_value().map(|(start, _)| *start);
    let mut closed = None;
    for (start, found) in day.hours.range(day.until..) {
        if Some(*start) == newest && !job.is_final {
            let print = print(day.hours.range(..start).flat_map(|(_, found)| found));
            closed = Some(Closed { until: *start, print, total: total.clone() });
        }
        let fresh = days.fresh.get(&(job.device, *start));
        match fresh.filter(|fresh| print(found.iter()) == fresh.print) {
            Some(fresh) => total.add(summary, &fresh.hour),
            None => {
                let pieces = found.iter().map(Piece::stored).collect();
                let hours = merge::hours(summary, &job.key, pieces)?;
                hours.values().for_each(|hour| total.add(summary, hour));
            }
        }
    }
    if let Some(closed) = closed {
        days.closed.insert(place, closed);
    }
    let all: Vec<&FoundPartial> = day.hours.values().flatten().collect();
    Ok(RowRecord {
        key: job.key.clone(),
        span: job.span,
        zone: job.zone.clone(),
        summed: total.finish(summary, calendar::slots(&job.zone, summary, job.span)),
        is_final: job.is_final,
        revision: merge::revision(&all),
        writers: merge::writers(&all),
    })
}
