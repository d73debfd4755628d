//! From outcomes back to the engine: what was written is acknowledged, what was refused is put into quarantine, what was lost
//! is due again.

use super::days::{DayDone, DayJob};
use super::due::{COPIES_A_SLICE, WindowOrigin};
use super::protocol::{EmptyDone, EmptyJob, Outcome, WindowDone, WindowJob};
use super::quarantine::{Quarantine, RowPlace};
use crate::driver::intake::shared::Shared;
use crate::engine::export::due::DueEmpty;
use crate::engine::schema::Summary;
use crate::engine::zone::WindowKind;
use crate::sink::sql::dialect::{partial_table_name, row_table_name};
use crate::words;

/// Unpins windows whose jobs have failed: they are due again.
pub fn unpin(engine: &Shared, origins: &[WindowOrigin], jobs: &[WindowJob]) {
    for slice in origins.iter().zip(jobs).collect::<Vec<_>>().chunks(COPIES_A_SLICE) {
        engine.with(|engine| slice.iter().for_each(|(origin, job)| engine.unpin(origin.device, job.span.start)));
    }
}

/// Settles a batch of windows. Returns how many of them somebody else has written in the name of our run.
pub fn windows(
    engine: &Shared,
    (summary, writer): (&Summary, &str),
    quarantine: &mut Quarantine,
    (origins, jobs, done): (&[WindowOrigin], &[WindowJob], &[WindowDone]),
    now: i64,
) -> usize {
    report(summary, done);
    let all: Vec<_> = origins.iter().zip(jobs).zip(done).collect();
    for slice in all.chunks(COPIES_A_SLICE) {
        engine.with(|engine| {
            for ((origin, job), done) in slice {
                let (device, start) = (origin.device, job.span.start);
                engine.unpin(device, start);
                for (run, part) in origin.runs.iter().zip(&job.parts) {
                    if done.lost.contains(&part.run) {
                        engine.lost(device, start, *run);
                    }
                }
                match &done.outcome {
                    Outcome::Written | Outcome::Foreign => {
                        let parts = origin.runs.iter().zip(&job.parts).filter(|(_, part)| !part.is_acknowledged);
                        let is_ours = |run: &str| done.found.iter().any(|f| *f.run == *run && *f.writer == *writer);
                        let parts: Vec<_> = parts.map(|(run, part)| (*run, part.rev, is_ours(&part.run))).collect();
                        engine.acknowledge(device, start, origin.version, job.is_final, &parts);
                    }
                    Outcome::RowRefused(_) => engine.day_changed(device, start),
                    Outcome::Missing | Outcome::PartialRefused(_) => {}
                }
            }
        });
    }
    let (partials, rows) = (partial_table_name(summary), row_table_name(summary, WindowKind::Hourly));
    for ((origin, job), done) in all {
        let place = RowPlace { device: origin.device, start: job.span.start, is_day: false };
        match &done.outcome {
            Outcome::Written | Outcome::Foreign => quarantine.taken(place),
            Outcome::PartialRefused(reason) => {
                quarantine.put(place, origin.version, &job.key, &partials, reason.clone(), now);
            }
            Outcome::RowRefused(reason) => {
                quarantine.put(place, origin.version, &job.key, &rows, reason.clone(), now);
            }
            Outcome::Missing => {}
        }
    }
    done.iter().filter(|done| done.outcome == Outcome::Foreign).count()
}

/// Says what the sink does not have although it was given it.
fn report(summary: &Summary, done: &[WindowDone]) {
    let table = partial_table_name(summary);
    let missing = done.iter().filter(|done| done.outcome == Outcome::Missing).count();
    if missing > 0 {
        log::warn!(
            "{} of {table} {} written and cannot be read back: does the sink read from a replica, or limit the rows of an answer? Let \
             sink.url name the server that is written to",
            words::some(missing as u64, "partial"),
            words::verb(missing as u64, "was", "were")
        );
    }
    let lost: usize = done.iter().map(|done| done.lost.len()).sum();
    if lost > 0 {
        log::warn!(
            "{table} has lost {} (a backup was restored, or the table emptied): what is in memory is written again; \
             `telegraf-rollup resend` writes the rest, too",
            words::some(lost as u64, "partial")
        );
    }
}

/// Settles rows without a sample.
pub fn gaps(engine: &Shared, summary: &Summary, jobs: &[(DueEmpty, EmptyJob)], done: &EmptyDone) {
    for (_, message) in &done.unreadable {
        log::error!("{}: {message}", summary.name);
    }
    if let Some(reason) = &done.refused {
        log::warn!(
            "{}: the sink refuses a row without samples: {reason}; change its table so that it takes such rows",
            summary.name
        );
    }
    let is_unreadable = |place: usize| done.unreadable.iter().any(|(unreadable, _)| *unreadable == place);
    let written: Vec<_> = jobs.iter().enumerate().filter(|(place, _)| !is_unreadable(*place)).collect();
    for slice in written.chunks(COPIES_A_SLICE) {
        engine.with(|engine| {
            slice.iter().for_each(|(_, (origin, _))| engine.acknowledge_empty(*origin));
        });
    }
}

/// Settles rows of days.
pub fn days(
    engine: &Shared,
    summary: &Summary,
    quarantine: &mut Quarantine,
    (jobs, done): (&[DayJob], &[DayDone]),
    now: i64,
) {
    let table = row_table_name(summary, WindowKind::Daily);
    let missing = done.iter().filter(|done| matches!(done, DayDone::Missing { .. })).count();
    if missing > 0 {
        log::warn!(
            "{} of {table} {} not written yet: the sink's answer lacks partials that it was given; does it read from a \
             replica? If a backup was restored, or the table emptied, `telegraf-rollup resend` writes all again",
            words::some(missing as u64, "row"),
            words::verb(missing as u64, "is", "are")
        );
    }
    let mut written: Vec<&DayJob> = Vec::with_capacity(jobs.len());
    for (job, done) in jobs.iter().zip(done) {
        let place = RowPlace { device: job.device, start: job.span.start, is_day: true };
        match done {
            DayDone::Written | DayDone::Needless => {
                quarantine.taken(place);
                written.push(job);
            }
            DayDone::Refused { reason, version } => {
                quarantine.put(place, *version, &job.key, &table, reason.clone(), now);
            }
            // It stays due, and so is what the sink does not have any more.
            DayDone::Missing { lost } => {
                engine.with(|engine| lost.iter().for_each(|(start, run)| engine.lost(job.device, *start, *run)));
            }
            DayDone::Held => {}
        }
    }
    for slice in written.chunks(COPIES_A_SLICE) {
        engine.with(|engine| {
            slice.iter().for_each(|job| engine.acknowledge_day(job.device, job.span.start, job.is_final));
        });
    }
}
