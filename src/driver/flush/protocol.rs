//! The three steps of the sink for base windows: put our partials, read those of all writers, put the rows merged from them.
//!
//! It knows no engine: jobs go in, outcomes come out, so that every holder of partials can write windows by it. Every
//! step can be repeated, reordered or interrupted, see [`crate::sink`].
//!
//! Invariants: a row is made from an answer that holds all we know to have been written, or it is not made; a job that is
//! refused holds up no other one.

use super::calendar;
use super::merge::{self, Piece, PieceState};
use crate::engine::aggregate::partial::Partial;
use crate::engine::aggregate::row;
use crate::engine::ids::Key;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind, Zone};
use crate::sink::port::{FoundPartial, PartialRange, PartialRecord, RowRecord, Sink, SinkError, States};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Runs whose states the sink is asked to leave out, at most.
const RUNS_NAMED_MAX: usize = 32;

/// Where rows are written, and in whose name.
pub struct Session<'s> {
    pub sink: &'s mut dyn Sink,
    pub summary: &'s Summary,
    /// The name of the state among the writers.
    pub writer: &'s Arc<str>,
    /// Nanoseconds since the epoch.
    pub now: i64,
}

/// A base window with samples that is to be written.
#[derive(Debug)]
pub struct WindowJob {
    pub key: Key,
    pub zone: Arc<Zone>,
    pub span: Span,
    pub is_final: bool,
    /// The sink has had a row of it, which may have lost its last sample.
    pub had_row: bool,
    pub parts: Vec<PartJob>,
}

/// What one run has seen of a window.
#[derive(Debug)]
pub struct PartJob {
    pub run: Arc<str>,
    pub rev: u64,
    /// The run is at work: nobody else can add to it.
    pub is_own: bool,
    /// The sink has been given it.
    pub is_acknowledged: bool,
    pub partial: Partial,
}

/// What became of a job.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has its partials and its row.
    Written,
    /// The sink has more of our own run than we have given it: somebody else writes in its name.
    Foreign,
    /// A partial was written without an error and cannot be read back, or the state of one was not in the answer.
    Missing,
    /// The sink refuses a partial.
    PartialRefused(String),
    /// The sink has the partials and refuses the row, or the row cannot be computed.
    RowRefused(String),
}

/// A job that has been through the three steps.
#[derive(Debug)]
pub struct WindowDone {
    pub outcome: Outcome,
    /// All writers' partials of the window.
    pub found: Vec<FoundPartial>,
    /// The merge of them; `None` if no row was made of it.
    pub hour: Option<Partial>,
    /// The sink has been given a row.
    pub has_row: bool,
    /// The runs whose part the sink had been given and does not have any more.
    pub lost: Vec<Arc<str>>,
}

/// Takes a batch of windows through the three steps. Returns what became of each, in the same order.
///
/// # Errors
/// The first failure of the sink; whatever had been written until then may be written again.
pub fn write_windows(session: &mut Session<'_>, jobs: &[WindowJob]) -> Result<Vec<WindowDone>, SinkError> {
    let mut refused = put_partials(session, jobs)?;
    let found = read_partials(session, jobs, &refused)?;
    let mut done: Vec<WindowDone> = Vec::with_capacity(jobs.len());
    for (place, (job, found)) in jobs.iter().zip(found).enumerate() {
        done.push(match refused.remove(&place) {
            Some(reason) => WindowDone {
                outcome: Outcome::PartialRefused(reason),
                found,
                hour: None,
                has_row: false,
                lost: Vec::new(),
            },
            None => compare(job, found),
        });
    }
    put_rows(session, jobs, &mut done)?;
    Ok(done)
}

/// Step 1: puts the parts that the sink does not have. Returns the reasons of those that were refused, by job.
fn put_partials(session: &mut Session<'_>, jobs: &[WindowJob]) -> Result<HashMap<usize, String>, SinkError> {
    let (mut records, mut owners) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for (place, job) in jobs.iter().enumerate() {
        for part in job.parts.iter().filter(|part| !part.is_acknowledged) {
            owners.push(place);
            records.push(PartialRecord {
                key: job.key.clone(),
                window_start: job.span.start,
                writer: session.writer.clone(),
                run: part.run.clone(),
                rev: part.rev,
                state: part.partial.to_json(session.summary),
            });
        }
    }
    let refused = session.sink.put_partials(session.summary, &records)?;
    Ok(refused.into_iter().map(|refused| (owners[refused.index], refused.reason)).collect())
}

/// Step 2: reads all writers' partials of each window, with the states that are not here.
fn read_partials(
    session: &mut Session<'_>,
    jobs: &[WindowJob],
    refused: &HashMap<usize, String>,
) -> Result<Vec<Vec<FoundPartial>>, SinkError> {
    let runs: BTreeSet<&str> = jobs.iter().flat_map(|job| job.parts.iter().map(|part| &*part.run)).collect();
    let runs: Vec<String> = runs.into_iter().take(RUNS_NAMED_MAX).map(str::to_string).collect();
    let ranges = |places: &[usize]| -> Vec<PartialRange> {
        places.iter().map(|place| PartialRange::exact(&jobs[*place].key, jobs[*place].span.start)).collect()
    };
    let wanted: Vec<usize> = (0..jobs.len()).filter(|place| !refused.contains_key(place)).collect();
    let mut out: Vec<Vec<FoundPartial>> = vec![Vec::new(); jobs.len()];
    let places: HashMap<(&[String], i64), usize> =
        wanted.iter().map(|place| ((&jobs[*place].key[..], jobs[*place].span.start), *place)).collect();
    for f in session.sink.read_partials(session.summary, &ranges(&wanted), States::Except(&runs))? {
        if let Some(place) = places.get(&(&f.key[..], f.window_start)) {
            out[*place].push(f);
        }
    }
    // Somebody else has written in the name of a run of ours: its state is not the one that is here.
    let again: Vec<usize> =
        wanted.into_iter().filter(|place| !out[*place].iter().all(|f| is_here(&jobs[*place], f))).collect();
    if !again.is_empty() {
        let mut whole: HashMap<usize, Vec<FoundPartial>> = HashMap::new();
        for f in session.sink.read_partials(session.summary, &ranges(&again), States::All)? {
            if let Some(place) = places.get(&(&f.key[..], f.window_start)) {
                whole.entry(*place).or_default().push(f);
            }
        }
        // An answer that has less than the one before is not used: without the states, no row is made.
        for (place, found) in whole {
            if merge::holds(&found, &out[place]) {
                out[place] = found;
            }
        }
    }
    Ok(out)
}

/// True if the state of a partial is known: it has come with the answer, or the job has it.
fn is_here(job: &WindowJob, f: &FoundPartial) -> bool {
    f.state.is_some() || job.parts.iter().any(|part| *part.run == *f.run && part.rev == f.rev)
}

/// Compares what the sink has with what it was given.
fn compare(job: &WindowJob, found: Vec<FoundPartial>) -> WindowDone {
    let mut outcome = if found.iter().all(|f| is_here(job, f)) { Outcome::Written } else { Outcome::Missing };
    let mut lost = Vec::new();
    for part in &job.parts {
        let rev = found.iter().find(|f| *f.run == *part.run).map(|f| f.rev);
        match rev {
            Some(rev) if rev > part.rev && part.is_own && outcome == Outcome::Written => outcome = Outcome::Foreign,
            // Of an earlier run there may be more: a clone, or what a power loss took from the journal.
            Some(rev) if rev >= part.rev => {}
            // A backup was restored there, or a table emptied.
            _ if part.is_acknowledged => lost.push(part.run.clone()),
            _ => {
                outcome = Outcome::Missing;
                break;
            }
        }
    }
    WindowDone { outcome, found, hour: None, has_row: false, lost }
}

/// Step 3: puts the rows that were merged from what was found.
fn put_rows(session: &mut Session<'_>, jobs: &[WindowJob], done: &mut [WindowDone]) -> Result<(), SinkError> {
    let mut rows = Vec::with_capacity(jobs.len());
    let mut places = Vec::with_capacity(jobs.len());
    for (place, (job, done)) in jobs.iter().zip(done.iter_mut()).enumerate() {
        // Of an answer in which something is missing no row is made.
        if matches!(done.outcome, Outcome::PartialRefused(_) | Outcome::Missing) || !done.lost.is_empty() {
            continue;
        }
        let hour = match merge::hour(session.summary, &job.key, pieces(job, &done.found)) {
            Ok(hour) => hour,
            // A row that cannot be computed must not hold up the others.
            Err(message) => {
                done.outcome = Outcome::RowRefused(message);
                continue;
            }
        };
        // Without a sample there is no row, unless there has been one.
        if hour.samples > 0 || job.had_row {
            rows.push(row_of(session.summary, &job.key, &job.zone, job.span, job.is_final, &hour, &done.found));
            places.push(place);
        }
        done.hour = Some(hour);
    }
    if session.summary.windows.contains(&WindowKind::Hourly) {
        let refused = session.sink.put_rows(session.summary, WindowKind::Hourly, &rows, session.now)?;
        places.iter().for_each(|place| done[*place].has_row = true);
        for refused in refused {
            done[places[refused.index]].has_row = false;
            done[places[refused.index]].outcome = Outcome::RowRefused(refused.reason);
        }
    }
    Ok(())
}

/// Returns what was found as pieces, with the states that are in the job.
fn pieces<'p>(job: &'p WindowJob, found: &'p [FoundPartial]) -> Vec<Piece<'p>> {
    let piece = |f: &'p FoundPartial| {
        let state = match &f.state {
            Some(text) => PieceState::Stored(text),
            None => PieceState::InMemory(&job.parts.iter().find(|part| *part.run == *f.run)?.partial),
        };
        Some(Piece { window_start: f.window_start, writer: &f.writer, run: &f.run, state })
    };
    found.iter().filter_map(piece).collect()
}

/// Makes the row of a base window.
fn row_of(
    summary: &Summary,
    key: &Key,
    zone: &Arc<Zone>,
    span: Span,
    is_final: bool,
    hour: &Partial,
    found: &[FoundPartial],
) -> RowRecord {
    let found: Vec<&FoundPartial> = found.iter().collect();
    RowRecord {
        key: key.clone(),
        span,
        zone: zone.clone(),
        summed: row::sum_up(summary, std::slice::from_ref(hour), calendar::slots(zone, summary, span)),
        is_final,
        revision: merge::revision(&found),
        writers: merge::writers(&found),
    }
}

/// A window without a sample of ours that needs a row; somebody else may have samples of it.
#[derive(Debug)]
pub struct EmptyJob {
    pub key: Key,
    pub zone: Arc<Zone>,
    pub span: Span,
    pub is_final: bool,
}

/// What became of windows without a sample.
#[derive(Debug, Default)]
pub struct EmptyDone {
    /// Rows that were written.
    pub rows: usize,
    /// The jobs whose row could not be computed, each with the reason; they are due again.
    pub unreadable: Vec<(usize, String)>,
    /// The reason of the first row that the sink refuses, if there was one.
    pub refused: Option<String>,
}

/// Writes rows of windows without a sample of ours: what other writers have of them is in the row.
///
/// # Errors
/// The first failure of the sink.
pub fn write_empty(session: &mut Session<'_>, jobs: &[EmptyJob]) -> Result<EmptyDone, SinkError> {
    let mut done = EmptyDone::default();
    if !session.summary.windows.contains(&WindowKind::Hourly) {
        return Ok(done);
    }
    let ranges: Vec<_> = jobs.iter().map(|job| PartialRange::exact(&job.key, job.span.start)).collect();
    let mut by_place: HashMap<(Key, i64), Vec<FoundPartial>> = HashMap::new();
    for f in session.sink.read_partials(session.summary, &ranges, States::All)? {
        by_place.entry((f.key.clone(), f.window_start)).or_default().push(f);
    }
    let mut rows = Vec::with_capacity(jobs.len());
    for (place, job) in jobs.iter().enumerate() {
        let found = by_place.remove(&(job.key.clone(), job.span.start)).unwrap_or_default();
        match merge::hour(session.summary, &job.key, found.iter().map(Piece::stored).collect()) {
            Ok(hour) => {
                rows.push(row_of(session.summary, &job.key, &job.zone, job.span, job.is_final, &hour, &found));
            }
            Err(message) => done.unreadable.push((place, message)),
        }
    }
    let refused = session.sink.put_rows(session.summary, WindowKind::Hourly, &rows, session.now)?;
    done.rows = rows.len() - refused.len();
    done.refused = refused.into_iter().next().map(|refused| refused.reason);
    Ok(done)
}
