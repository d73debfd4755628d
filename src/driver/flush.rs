//! One flush: what is due goes to the sink by the three steps, and is acknowledged to the engine.
//!
//! The engine is locked only for slices of bounded work (a look at some devices, the copy of a batch of partials); text
//! is made and the sink is spoken to without the lock, so the stream never waits for a database. Nothing is queued:
//! what was not acknowledged is due again.

use super::rows;
use super::shared::Shared;
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::{Span, WindowKind};
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
    /// Windows that somebody else had written under our name; they are due again under another one.
    pub detached: usize,
}

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The name of the state among the writers of a sink; for windows that are written first from now on.
    pub id: Arc<str>,
    /// Another name, for windows that somebody else has written under the first one.
    pub spare: Arc<str>,
    /// This process.
    pub run: String,
    /// The processes whose state this one goes on from, the latest last.
    pub inherited: Vec<String>,
}

impl Writer {
    /// A writer without a past.
    pub fn of_one_run(name: &str) -> Writer {
        Writer { id: name.into(), spare: format!("{name}-spare").into(), run: name.to_string(), inherited: Vec::new() }
    }
}

struct Item {
    device: u32,
    writer: Arc<str>,
    key: Vec<String>,
    span: Span,
    version: u32,
    is_final: bool,
    partial: PartialRecord,
}

/// Writes all that is due at `now`. Rows of running days are written only if `running` is true.
///
/// # Errors
/// The first failure of the sink; what had been written until then is acknowledged.
pub fn flush(
    engine: &Shared,
    sink: &mut dyn Sink,
    writer: &Writer,
    now: i64,
    running: bool,
) -> Result<Flushed, SinkError> {
    let Some(schema) = engine.with(|e| e.schema().clone()) else {
        return Ok(Flushed::default());
    };
    sink.prepare(&schema)?;
    let mut flushed = Flushed::default();
    let allowed = schema.lateness.allowed;
    for (index, summary) in schema.summaries.iter().enumerate() {
        let (windows, empty) = due(engine, index as u16, now);
        for batch in windows.chunks(KEYS_A_BATCH) {
            let mut items = Vec::with_capacity(batch.len());
            for slice in batch.chunks(COPIES_A_SLICE) {
                let mut copies = Vec::with_capacity(slice.len());
                engine.with(|engine| {
                    copies.extend(slice.iter().filter_map(|(_, device, span)| {
                        engine.snapshot(*device, span.start).map(|snapshot| (*device, snapshot))
                    }));
                });
                items.extend(copies.into_iter().map(|(device, snapshot)| Item {
                    device,
                    key: snapshot.key.clone(),
                    span: snapshot.span,
                    version: snapshot.version,
                    is_final: snapshot.span.end.saturating_add(allowed) <= now,
                    writer: snapshot.writer.clone().unwrap_or_else(|| writer.id.clone()),
                    partial: PartialRecord {
                        key: snapshot.key,
                        window_start: snapshot.span.start,
                        writer: snapshot.writer.map_or_else(|| writer.id.to_string(), |w| w.to_string()),
                        run: writer.run.clone(),
                        base: snapshot.base_points,
                        rev: snapshot.partial.samples,
                        state: snapshot.partial.to_json(summary),
                    },
                }));
            }
            // A value that no accumulator takes can have replaced the only sample: there is nothing to write.
            let (items, nothing): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.partial.rev > 0);
            let partials: Vec<_> = items.iter().map(|item| item.partial.clone()).collect();
            sink.put_partials(summary, &partials, &writer.inherited, now)?;
            let wanted: Vec<_> = items.iter().map(|i| (i.key.as_slice(), i.span, i.is_final)).collect();
            let records = read(sink, summary, &wanted)?;
            let accepted = accepted(&items, &records);
            if summary.windows.contains(&WindowKind::Hourly) {
                let rows = rows_of(&records, &schema, summary, &wanted);
                flushed.hourly += rows.len();
                sink.put_rows(&schema, summary, WindowKind::Hourly, &rows, now)?;
            }
            flushed.detached += accepted.iter().filter(|accepted| !**accepted).count();
            engine.with(|engine| {
                for (item, accepted) in items.iter().zip(accepted) {
                    if accepted {
                        engine.acknowledge(item.device, item.span.start, item.version, item.is_final, &item.writer);
                    } else {
                        engine.detach(item.device, item.span.start, &writer.spare);
                    }
                }
                for item in &nothing {
                    engine.acknowledge(item.device, item.span.start, item.version, item.is_final, &item.writer);
                }
            });
        }
        for batch in empty.chunks(KEYS_A_BATCH) {
            if summary.windows.contains(&WindowKind::Hourly) {
                let wanted: Vec<_> = batch.iter().map(|(k, _, span, f)| (k.as_slice(), *span, *f)).collect();
                let rows = rows_of(&read(sink, summary, &wanted)?, &schema, summary, &wanted);
                flushed.hourly += rows.len();
                sink.put_rows(&schema, summary, WindowKind::Hourly, &rows, now)?;
            }
            engine.with(|engine| {
                for (_, device, span, is_final) in batch {
                    engine.acknowledge_empty(*device, &[(*span, *is_final)]);
                }
            });
        }
        let days = due_days(engine, index as u16, now, running);
        for batch in days.chunks(DAYS_A_BATCH) {
            if summary.windows.contains(&WindowKind::Daily) {
                let wanted: Vec<_> = batch.iter().map(|(k, day)| (k.as_slice(), day.span, day.is_final)).collect();
                let mut rows = rows_of(&read(sink, summary, &wanted)?, &schema, summary, &wanted);
                // A running day of which nothing is known yet has no row.
                rows.retain(|row| row.summed.samples > 0 || row.span.end <= now);
                flushed.daily += rows.len();
                sink.put_rows(&schema, summary, WindowKind::Daily, &rows, now)?;
            }
            engine.with(|engine| {
                for (_, day) in batch {
                    engine.acknowledge_day(day.device, day.span.start, day.is_final);
                }
            });
        }
    }
    Ok(flushed)
}

/// Whether the sink holds each item as it was put. If not, somebody else has written it under our name.
fn accepted(items: &[Item], records: &[PartialRecord]) -> Vec<bool> {
    let mut found: HashMap<(&[String], i64, &str), &PartialRecord> = HashMap::new();
    for record in records {
        found.insert((&record.key, record.window_start, &record.writer), record);
    }
    let ours = |item: &Item| {
        let record = found.get(&(item.key.as_slice(), item.span.start, &*item.writer));
        record.is_some_and(|r| r.run == item.partial.run && r.rev == item.partial.rev)
    };
    items.iter().map(ours).collect()
}

/// Step 2: all writers' partials of some windows.
fn read(
    sink: &mut dyn Sink,
    summary: &Summary,
    wanted: &[(&[String], Span, bool)],
) -> Result<Vec<PartialRecord>, SinkError> {
    let ranges: Vec<_> = wanted.iter().map(|(key, span, _)| PartialRange { key: key.to_vec(), span: *span }).collect();
    sink.read_partials(summary, &ranges)
}

/// The rows of some windows, merged from all writers' partials.
fn rows_of(
    records: &[PartialRecord],
    schema: &Schema,
    summary: &Summary,
    wanted: &[(&[String], Span, bool)],
) -> Vec<RowRecord> {
    let mut by_key: HashMap<&[String], Vec<&PartialRecord>> = HashMap::new();
    for record in records {
        by_key.entry(&record.key).or_default().push(record);
    }
    let mut rows = Vec::with_capacity(wanted.len());
    for (key, span, is_final) in wanted {
        let all = by_key.get(key).map(Vec::as_slice).unwrap_or_default();
        let inside: Vec<_> = all.iter().copied().filter(|r| span.contains(r.window_start)).collect();
        match rows::from_records(schema, summary, key, *span, *is_final, &inside) {
            Ok(row) => rows.push(row),
            // A row that cannot be computed must not hold up the others; it is named once a minute.
            Err(message) => log::error!("{}: {message}", summary.name),
        }
    }
    rows
}

type DueKey = (Vec<String>, u32, Span);
type EmptyKey = (Vec<String>, u32, Span, bool);

/// The due windows and empty windows of one summary, in order of key.
fn due(engine: &Shared, summary: u16, now: i64) -> (Vec<DueKey>, Vec<EmptyKey>) {
    let (mut windows, mut empty) = (Vec::new(), Vec::new());
    let mut from = Some(0);
    while let Some(at) = from {
        let next = engine.with(|engine| {
            let mut due = Due::default();
            let next = engine.due(at, DEVICES_A_SLICE, now, &mut due);
            for window in due.windows {
                let (owner, key) = engine.device(window.device);
                if owner == summary {
                    windows.push((key.to_vec(), window.device, window.span));
                }
            }
            for window in due.empty {
                let (owner, key) = engine.device(window.device);
                if owner == summary {
                    empty.push((key.to_vec(), window.device, window.span, window.is_final));
                }
            }
            next
        });
        from = next.flatten();
    }
    windows.sort();
    empty.sort();
    (windows, empty)
}

/// The due days of one summary, in order of key.
fn due_days(engine: &Shared, summary: u16, now: i64, running: bool) -> Vec<(Vec<String>, DueDay)> {
    let mut days = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let next = engine.with(|engine| {
            let mut due = Vec::new();
            let next = engine.due_days(at, DEVICES_A_SLICE, now, running, &mut due);
            for day in due {
                let (owner, key) = engine.device(day.device);
                if owner == summary {
                    days.push((key.to_vec(), day));
                }
            }
            next
        });
        from = next.flatten();
    }
    days.sort_by(|a, b| (&a.0, a.1.span).cmp(&(&b.0, b.1.span)));
    days
}
