//! One flush: what is due goes to the sink by the three steps, and is acknowledged to the engine.
//!
//! The engine is locked only for slices of bounded work (a look at some devices, the copy of a batch of partials); text
//! is made and the sink is spoken to without the lock, so the stream never waits for a database. Nothing is queued:
//! what was not acknowledged is due again.

use super::rows;
use super::shared::Shared;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind, Zone};
use crate::engine::{Due, DueDay};
use crate::sink::{PartialRange, PartialRecord, RowRecord, Sink, SinkError};
use std::collections::HashMap;
use std::sync::Arc;

/// Devices that are looked at under one lock.
const DEVICES_A_SLICE: usize = 2_000;
/// Windows in one batch of the protocol.
const KEYS_A_BATCH: usize = 1_000;
/// Partials that are copied under one lock.
const COPIES_A_SLICE: usize = 100;
/// Days in one batch: each reads up to 25 partials a writer.
const DAYS_A_BATCH: usize = 100;

/// What a flush wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    pub hourly: usize,
    pub daily: usize,
    /// Windows of which the sink has more in the name of our run than we have given it.
    pub foreign: usize,
}

struct Item {
    device: u32,
    key: Vec<String>,
    zone: Arc<Zone>,
    span: Span,
    version: u32,
    is_final: bool,
    was_written: bool,
    /// Run and `rev` of the parts that the sink does not have, and where they are among the records.
    parts: Vec<(u32, u64, usize)>,
}

/// What the sink says of an item after it was put.
enum Answer {
    /// It is there.
    There,
    /// There is more than we have given: somebody else writes in the name of our run.
    Foreign,
    /// It is not there, although nothing has failed.
    Missing,
}

/// What a flush is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All that is due; rows of running days only if `running` is true.
    Everything { running: bool },
    /// Windows with samples alone.
    Windows,
}

/// Writes what is due at `now`.
///
/// # Errors
/// The first failure of the sink; what had been written until then is acknowledged.
pub fn flush(engine: &Shared, sink: &mut dyn Sink, writer: &str, now: i64, what: What) -> Result<Flushed, SinkError> {
    let Some((schema, own)) = engine.with(|e| (e.schema().clone(), e.run())) else {
        return Ok(Flushed::default());
    };
    sink.prepare(&schema)?;
    let mut flushed = Flushed::default();
    let allowed = schema.lateness.allowed;
    for (index, summary) in schema.summaries.iter().enumerate() {
        let (windows, empty) = due(engine, index as u16, now);
        for batch in windows.chunks(KEYS_A_BATCH) {
            let (items, records) = copy(engine, summary, batch, writer, allowed, now);
            sink.put_partials(summary, &records, now)?;
            let wanted: Vec<_> = items.iter().map(|i| (i.key.as_slice(), i.span, i.is_final, &i.zone)).collect();
            let found = read(sink, summary, &wanted)?;
            let answers = answers(&items, &records, &found, own);
            if summary.windows.contains(&WindowKind::Hourly) {
                let mut rows = rows_of(&found, summary, &wanted);
                // Without a sample there is no row, unless there has been one.
                rows.retain(|row| {
                    let is_new = |i: &Item| i.span == row.span && i.key == row.key && !i.was_written;
                    row.summed.samples > 0 || !items.iter().any(is_new)
                });
                flushed.hourly += rows.len();
                sink.put_rows(summary, WindowKind::Hourly, &rows, now)?;
            }
            let missing = answers.iter().filter(|a| matches!(a, Answer::Missing)).count();
            if missing > 0 {
                log::warn!(
                    "{missing} partials of {} were written and cannot be read back: does the sink read from a replica?",
                    summary.name
                );
            }
            flushed.foreign += answers.iter().filter(|a| matches!(a, Answer::Foreign)).count();
            engine.with(|engine| {
                for (item, answer) in items.iter().zip(answers) {
                    if !matches!(answer, Answer::Missing) {
                        let parts: Vec<_> = item.parts.iter().map(|(run, rev, _)| (*run, *rev)).collect();
                        engine.acknowledge(item.device, item.span.start, item.version, item.is_final, &parts);
                    }
                }
            });
        }
        let What::Everything { running } = what else { continue };
        for batch in empty.chunks(KEYS_A_BATCH) {
            if summary.windows.contains(&WindowKind::Hourly) {
                let wanted: Vec<_> = batch.iter().map(|e| (e.key.as_slice(), e.span, e.is_final, &e.zone)).collect();
                let rows = rows_of(&read(sink, summary, &wanted)?, summary, &wanted);
                flushed.hourly += rows.len();
                sink.put_rows(summary, WindowKind::Hourly, &rows, now)?;
            }
            engine.with(|engine| {
                for e in batch {
                    engine.acknowledge_empty(e.device, &[(e.span, e.is_final)]);
                }
            });
        }
        let days = due_days(engine, index as u16, now, running);
        for batch in days.chunks(DAYS_A_BATCH) {
            if summary.windows.contains(&WindowKind::Daily) {
                let wanted: Vec<_> =
                    batch.iter().map(|(k, day, zone)| (k.as_slice(), day.span, day.is_final, zone)).collect();
                let mut rows = rows_of(&read(sink, summary, &wanted)?, summary, &wanted);
                // A running day of which nothing is known yet has no row.
                rows.retain(|row| row.summed.samples > 0 || row.span.end <= now);
                flushed.daily += rows.len();
                sink.put_rows(summary, WindowKind::Daily, &rows, now)?;
            }
            engine.with(|engine| {
                for (_, day, _) in batch {
                    engine.acknowledge_day(day.device, day.span.start, day.is_final);
                }
            });
        }
    }
    Ok(flushed)
}

/// Copies a batch of due windows: the items, and the records of those of their parts that the sink does not have.
fn copy(
    engine: &Shared,
    summary: &Summary,
    batch: &[DueKey],
    writer: &str,
    allowed: i64,
    now: i64,
) -> (Vec<Item>, Vec<PartialRecord>) {
    let (mut items, mut records) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for slice in batch.chunks(COPIES_A_SLICE) {
        let mut copies = Vec::with_capacity(slice.len());
        engine.with(|engine| {
            copies.extend(slice.iter().filter_map(|(_, device, span)| {
                engine.snapshot(*device, span.start).map(|snapshot| (*device, snapshot))
            }));
        });
        for (device, snapshot) in copies {
            let mut parts = Vec::with_capacity(snapshot.parts.len());
            for part in snapshot.parts {
                parts.push((part.run, part.rev, records.len()));
                records.push(PartialRecord {
                    key: snapshot.key.clone(),
                    window_start: snapshot.span.start,
                    writer: writer.to_string(),
                    run: part.name.to_string(),
                    rev: part.rev,
                    state: part.partial.to_json(summary),
                });
            }
            items.push(Item {
                device,
                key: snapshot.key,
                zone: snapshot.zone,
                span: snapshot.span,
                version: snapshot.version,
                is_final: snapshot.span.end.saturating_add(allowed) <= now,
                was_written: snapshot.was_written,
                parts,
            });
        }
    }
    (items, records)
}

/// Compares what the sink has with what it was given.
fn answers(items: &[Item], records: &[PartialRecord], found: &[PartialRecord], own: u32) -> Vec<Answer> {
    let mut revs: HashMap<(&[String], i64, &str), u64> = HashMap::new();
    for record in found {
        revs.insert((&record.key, record.window_start, &record.run), record.rev);
    }
    let answer = |item: &Item| {
        let mut answer = Answer::There;
        for (run, rev, record) in &item.parts {
            let record = &records[*record];
            match revs.get(&(record.key.as_slice(), record.window_start, record.run.as_str())) {
                None => return Answer::Missing,
                Some(there) if there < rev => return Answer::Missing,
                // Of an earlier run there may be more: a clone, or what a power loss took from the journal.
                Some(there) if there > rev && *run == own => answer = Answer::Foreign,
                Some(_) => {}
            }
        }
        answer
    };
    items.iter().map(answer).collect()
}

/// Step 2: all writers' partials of some windows.
fn read(sink: &mut dyn Sink, summary: &Summary, wanted: &[Wanted<'_>]) -> Result<Vec<PartialRecord>, SinkError> {
    let ranges: Vec<_> = wanted.iter().map(|(key, span, ..)| PartialRange { key: key.to_vec(), span: *span }).collect();
    sink.read_partials(summary, &ranges)
}

/// The rows of some windows, merged from all writers' partials.
fn rows_of(records: &[PartialRecord], summary: &Summary, wanted: &[Wanted<'_>]) -> Vec<RowRecord> {
    let mut by_key: HashMap<&[String], Vec<&PartialRecord>> = HashMap::new();
    for record in records {
        by_key.entry(&record.key).or_default().push(record);
    }
    let mut rows = Vec::with_capacity(wanted.len());
    for (key, span, is_final, zone) in wanted {
        let all = by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        let inside: Vec<_> = all.iter().copied().filter(|r| span.contains(r.window_start)).collect();
        match rows::from_records(zone, summary, key, *span, *is_final, &inside) {
            Ok(row) => rows.push(row),
            // A row that cannot be computed must not hold up the others; it is named once a minute.
            Err(message) => log::error!("{}: {message}", summary.name),
        }
    }
    rows
}

/// A window of which a row is wanted: key, span, whether it is final, and its zone.
type Wanted<'a> = (&'a [String], Span, bool, &'a Arc<Zone>);
type DueKey = (Vec<String>, u32, Span);

struct EmptyWindow {
    key: Vec<String>,
    device: u32,
    span: Span,
    is_final: bool,
    zone: Arc<Zone>,
}

/// The due windows and empty windows of one summary, in order of key.
fn due(engine: &Shared, summary: u16, now: i64) -> (Vec<DueKey>, Vec<EmptyWindow>) {
    let (mut windows, mut empty) = (Vec::new(), Vec::new());
    let mut from = Some(0);
    while let Some(at) = from {
        let next = engine.with(|engine| {
            let mut due = Due::default();
            let next = engine.due(at, DEVICES_A_SLICE, now, &mut due);
            for window in due.windows {
                let (owner, key, _) = engine.device(window.device);
                if owner == summary {
                    windows.push((key.to_vec(), window.device, window.span));
                }
            }
            for window in due.empty {
                let (owner, key, zone) = engine.device(window.device);
                if owner == summary {
                    empty.push(EmptyWindow {
                        key: key.to_vec(),
                        device: window.device,
                        span: window.span,
                        is_final: window.is_final,
                        zone: zone.clone(),
                    });
                }
            }
            next
        });
        from = next.flatten();
    }
    windows.sort();
    empty.sort_by(|a, b| (&a.key, a.span).cmp(&(&b.key, b.span)));
    (windows, empty)
}

/// The due days of one summary, in order of key.
fn due_days(engine: &Shared, summary: u16, now: i64, running: bool) -> Vec<(Vec<String>, DueDay, Arc<Zone>)> {
    let mut days = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let next = engine.with(|engine| {
            let mut due = Vec::new();
            let next = engine.due_days(at, DEVICES_A_SLICE, now, running, &mut due);
            for day in due {
                let (owner, key, zone) = engine.device(day.device);
                if owner == summary {
                    days.push((key.to_vec(), day, zone.clone()));
                }
            }
            next
        });
        from = next.flatten();
    }
    days.sort_by(|a, b| (&a.0, a.1.span).cmp(&(&b.0, b.1.span)));
    days
}
