//! One flush: what is due goes to the sink by the three steps, and is acknowledged to the engine.
//!
//! [`super::due`] makes jobs of what the engine holds, [`super::protocol`] and [`super::days`] write them, [`super::settle`] tells
//! the engine. Text is made and the sink is spoken to without the engine's lock, so the stream never waits for a database.
//! Nothing is queued: what was not acknowledged is due again.
//!
//! Devices are written in groups, in order of key: hours, then days. So what a flush holds in memory does not grow with the
//! number of devices, and one that is cut off leaves rows of both kinds. Rows without a sample come last.

use super::days::{self, DAYS_A_BATCH, DayDone, Days};
use super::due;
use super::protocol::{self, Outcome, Session};
use super::quarantine::Quarantine;
use super::settle;
use crate::driver::intake::shared::Shared;
use crate::engine::export::due::DueWindow;
use crate::engine::ids::{DeviceIndex, SummaryIndex};
use crate::engine::schema::Summary;
use crate::engine::zone::WindowKind;
use crate::sink::port::{Sink, SinkError};
use std::sync::Arc;

/// Devices whose hours are in memory together, for the rows of their days.
const DEVICES_A_GROUP: usize = 1_000;
/// Devices whose windows without a sample are: up to 168 for each of them after a week.
const DEVICES_A_GROUP_OF_EMPTY: usize = 100;
/// Rows without a sample that are written when the process ends.
const EMPTY_ROWS_AT_THE_END: usize = 20_000;
/// Windows in one batch of the protocol.
const KEYS_A_BATCH: usize = 1_000;

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
pub struct FlushMemory {
    pub days: Days,
    pub quarantine: Quarantine,
    /// Rows that the last delivery has not made because the sink's answers lack what was written; they are due again.
    pub missing: usize,
}

/// Which of what is due a flush writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that is due; rows of running days only if `running` is true.
    Everything { running: bool },
    /// All that is due before the process ends, but only some rows without a sample: they are due again at the next start.
    Last,
    /// Windows with samples alone.
    Windows,
}

impl Scope {
    /// True if rows of running days are asked for.
    fn wants_running(self) -> bool {
        matches!(self, Scope::Everything { running: true } | Scope::Last)
    }
}

/// Writes what is due at `now` to a sink that has been prepared. A flush that is cut short leaves the rest due.
///
/// # Errors
/// The first failure of the sink; what had been written until then is acknowledged.
pub fn flush(
    engine: &Shared,
    sink: &mut dyn Sink,
    memory: &mut FlushMemory,
    writer: &str,
    now: i64,
    scope: Scope,
) -> Result<Flushed, SinkError> {
    let Some(schema) = engine.with(|engine| engine.schema().clone()) else {
        return Ok(Flushed::default());
    };
    // While a flush is at work, no device may leave the engine: its index would be another's.
    let _flushing = engine.begin_flush();
    // Of a flush that has failed.
    memory.days.forget_fresh();
    let mut flushed = Flushed::default();
    let mut empty_max = if scope == Scope::Last { EMPTY_ROWS_AT_THE_END } else { usize::MAX };
    let writer: Arc<str> = writer.into();
    for (index, summary) in schema.summaries.iter().enumerate() {
        let session = Session { sink: &mut *sink, summary, writer: &writer, now };
        let mut pass = Pass { engine, session, memory: &mut *memory, allowed: schema.lateness.allowed, scope };
        let busy = due::busy(engine, SummaryIndex::of(index), now);
        for group in busy.chunks(DEVICES_A_GROUP).take_while(|_| !engine.flushes_are_cut_short()) {
            pass.samples(group, &mut flushed)?;
        }
        // Rows without a sample come last: there may be very many of them, and little time.
        let wants_gaps = || scope != Scope::Windows && !engine.flushes_are_cut_short();
        for group in busy.chunks(DEVICES_A_GROUP_OF_EMPTY).take_while(|_| wants_gaps()) {
            pass.gaps(group, &mut empty_max, &mut flushed)?;
        }
    }
    Ok(flushed)
}

/// A flush at work on one summary.
struct Pass<'f> {
    engine: &'f Shared,
    session: Session<'f>,
    memory: &'f mut FlushMemory,
    allowed: i64,
    scope: Scope,
}

impl Pass<'_> {
    fn summary(&self) -> &Summary {
        self.session.summary
    }

    /// Writes the windows with samples of a group of devices, and the rows of their days.
    fn samples(&mut self, group: &[DeviceIndex], flushed: &mut Flushed) -> Result<(), SinkError> {
        let due = due::windows(self.engine, group, self.session.now);
        for batch in due.chunks(KEYS_A_BATCH) {
            self.windows(batch, flushed)?;
        }
        if self.scope != Scope::Windows {
            self.days(group, flushed)?;
        }
        self.memory.days.forget_fresh();
        Ok(())
    }

    /// Writes the windows without a sample of a group of devices, at most so many, and the rows of their days.
    fn gaps(&mut self, group: &[DeviceIndex], most: &mut usize, flushed: &mut Flushed) -> Result<(), SinkError> {
        let mut due = due::gaps(self.engine, group, self.session.now);
        if due.is_empty() || *most == 0 {
            return Ok(());
        }
        if due.len() > *most {
            due.truncate(*most);
            log::info!("{}: other rows without a sample are written after the next start", self.summary().name);
        }
        *most -= due.len();
        while !due.is_empty() {
            let batch: Vec<_> = due.drain(..due.len().min(KEYS_A_BATCH)).collect();
            let (origins, jobs): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let done = protocol::write_empty(&mut self.session, &jobs)?;
            flushed.hourly += done.rows;
            let jobs: Vec<_> = origins.into_iter().zip(jobs).collect();
            settle::gaps(self.engine, self.session.summary, &jobs, &done);
        }
        self.days(group, flushed)
    }

    /// Takes a batch of windows through the three steps.
    fn windows(&mut self, batch: &[DueWindow], flushed: &mut Flushed) -> Result<(), SinkError> {
        let Pass { engine, session, memory, scope, .. } = self;
        let (origins, jobs) = due::copy(engine, batch, &memory.quarantine, (session.now, self.allowed));
        let done = protocol::write_windows(session, &jobs).inspect_err(|_| settle::unpin(engine, &origins, &jobs))?;
        let summary = session.summary;
        flushed.foreign += settle::windows(
            engine,
            (summary, session.writer),
            &mut memory.quarantine,
            (&origins, &jobs, &done),
            session.now,
        );
        flushed.hourly += done.iter().filter(|done| done.has_row).count();
        for ((origin, job), done) in origins.iter().zip(&jobs).zip(&done) {
            if done.outcome == Outcome::Missing || !done.lost.is_empty() {
                memory.missing += 1;
                memory.days.keep_short(origin.device, job.span.start);
            }
        }
        if scope.wants_running() && summary.windows.contains(&WindowKind::Daily) {
            for ((origin, job), done) in origins.iter().zip(&jobs).zip(done) {
                if let Some(hour) = done.hour {
                    memory.days.keep_fresh(origin.device, job.span.start, &done.found, hour);
                }
            }
        }
        Ok(())
    }

    /// Writes the rows of the days of some devices.
    fn days(&mut self, devices: &[DeviceIndex], flushed: &mut Flushed) -> Result<(), SinkError> {
        let due = due::days(self.engine, devices, self.session.now, self.scope.wants_running());
        for batch in due.chunks(DAYS_A_BATCH) {
            let FlushMemory { days, quarantine, missing } = &mut *self.memory;
            let done = days::write(&mut self.session, batch, days, quarantine)?;
            flushed.daily += done.iter().filter(|done| **done == DayDone::Written).count();
            *missing += done.iter().filter(|done| matches!(done, DayDone::Missing { .. })).count();
            settle::days(self.engine, self.session.summary, quarantine, (batch, &done), self.session.now);
        }
        Ok(())
    }
}
