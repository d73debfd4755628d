//! From the engine to jobs: which devices are busy, and copies of what is due of them.
//!
//! The engine is locked for slices of bounded work only. A window that has been copied is pinned until it is settled: it must
//! not leave memory while its acknowledgement is on the way.

use super::days::DayJob;
use super::protocol::{EmptyJob, PartJob, WindowJob};
use super::quarantine::{Quarantine, RowPlace};
use crate::driver::intake::shared::Shared;
use crate::engine::export::due::{DueDay, DueEmpty, DueWindow};
use crate::engine::export::snapshot::Snapshot;
use crate::engine::ids::{DeviceIndex, Key, RunIndex, SummaryIndex};
use crate::engine::window::gaps::Gap;
use std::sync::Arc;

/// Devices that are looked at under one lock.
pub const DEVICES_A_SLICE: usize = 500;
/// Partials that are copied, or acknowledged, under one lock.
pub const COPIES_A_SLICE: usize = 100;

/// Where a window job comes from.
#[derive(Debug)]
pub struct WindowOrigin {
    pub device: DeviceIndex,
    pub version: u32,
    /// The runs of the job's parts, in the same order.
    pub runs: Vec<RunIndex>,
}

/// Returns the devices of one summary of which something is due, in order of key: of neighbours, the sink touches the same
/// pages.
pub fn busy(engine: &Shared, summary: SummaryIndex, now: i64) -> Vec<DeviceIndex> {
    let mut busy: Vec<(Key, DeviceIndex)> = Vec::new();
    engine.slices(|engine, from| {
        let mut devices = Vec::new();
        let next = engine.busy(from, DEVICES_A_SLICE, now, &mut devices);
        for device in devices {
            let (owner, key) = engine.device(device);
            if owner == summary {
                busy.push((key.clone(), device));
            }
        }
        next
    });
    busy.sort_unstable();
    busy.into_iter().map(|(_, device)| device).collect()
}

/// Returns the windows of some devices that are due.
pub fn windows(engine: &Shared, devices: &[DeviceIndex], now: i64) -> Vec<DueWindow> {
    let mut due = Vec::new();
    for slice in devices.chunks(DEVICES_A_SLICE) {
        engine.with(|engine| engine.due_windows(slice, now, &mut due));
    }
    due
}

/// Copies a batch of due windows, without those in quarantine, and pins them.
pub fn copy(
    engine: &Shared,
    batch: &[DueWindow],
    quarantine: &Quarantine,
    (now, allowed): (i64, i64),
) -> (Vec<WindowOrigin>, Vec<WindowJob>) {
    let (mut origins, mut jobs) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    let mut own = RunIndex(0);
    for slice in batch.chunks(COPIES_A_SLICE) {
        let mut copies: Vec<(DeviceIndex, Snapshot)> = Vec::with_capacity(slice.len());
        engine.with(|engine| {
            own = engine.run();
            for window in slice {
                let Some(version) = engine.version(window.device, window.span.start) else { continue };
                let place = RowPlace { device: window.device, start: window.span.start, is_day: false };
                if !quarantine.holds(place, version, now) {
                    copies.extend(engine.pin(window.device, window.span.start).map(|copy| (window.device, copy)));
                }
            }
        });
        for (device, copy) in copies {
            origins.push(WindowOrigin {
                device,
                version: copy.version,
                runs: copy.parts.iter().map(|part| part.run).collect(),
            });
            let part = |part: crate::engine::export::snapshot::PartSnapshot| PartJob {
                run: part.name,
                rev: part.rev,
                is_own: part.run == own,
                is_acknowledged: part.is_acknowledged,
                partial: part.partial,
            };
            jobs.push(WindowJob {
                key: copy.key,
                zone: copy.zone,
                span: copy.span,
                is_final: copy.span.end.saturating_add(allowed) <= now,
                had_row: copy.was_written,
                parts: copy.parts.into_iter().map(part).collect(),
            });
        }
    }
    (origins, jobs)
}

/// Returns the windows of some devices that need a row without a sample, each with where it comes from.
pub fn gaps(engine: &Shared, devices: &[DeviceIndex], now: i64) -> Vec<(DueEmpty, EmptyJob)> {
    let gaps = engine.with(|engine| {
        let mut empty = Vec::new();
        engine.due_empty(devices, now, &mut empty);
        let job = |of: DueEmpty| {
            let (Gap { span, zone, is_final }, key) = (of.gap, engine.device(of.device).1.clone());
            (of, EmptyJob { key, zone: Arc::clone(engine.zone(zone)), span, is_final })
        };
        empty.into_iter().map(job).collect::<Vec<_>>()
    });
    gaps.unwrap_or_default()
}

/// Returns the days of some devices whose row is due, in the order of these; days that have not ended only if `running` is
/// true.
pub fn days(engine: &Shared, devices: &[DeviceIndex], now: i64, running: bool) -> Vec<DayJob> {
    let mut jobs = Vec::new();
    for slice in devices.chunks(DEVICES_A_SLICE) {
        engine.with(|engine| {
            let mut due: Vec<DueDay> = Vec::new();
            engine.due_days(slice, now, running, &mut due);
            jobs.extend(due.into_iter().map(|day| DayJob {
                device: day.device,
                key: engine.device(day.device).1.clone(),
                zone: Arc::clone(engine.zone(day.zone)),
                span: day.span,
                is_final: day.is_final,
                given: day.given,
                parts: engine.given_parts(day.device, day.span),
            }));
        });
    }
    jobs
}
