//! A window at one moment, as a copy that can be written without the engine.

use crate::engine::aggregate::partial::Partial;
use crate::engine::core::Engine;
use crate::engine::ids::Key;
use crate::engine::ids::{DeviceIndex, RunIndex, SummaryIndex};
use crate::engine::window::fold::observe;
use crate::engine::zone::{Span, Zone};
use std::sync::Arc;

/// A window at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub summary: SummaryIndex,
    pub key: Key,
    pub zone: Arc<Zone>,
    pub span: Span,
    pub version: u32,
    /// The sink has a row of it.
    pub was_written: bool,
    pub parts: Vec<PartSnapshot>,
}

/// What one run has seen of a window, pending points included.
#[derive(Clone, Debug)]
pub struct PartSnapshot {
    /// Index of the run in the engine.
    pub run: RunIndex,
    pub name: Arc<str>,
    pub rev: u64,
    /// The sink has been given it.
    pub is_acknowledged: bool,
    pub partial: Partial,
}

impl Engine {
    /// Returns the version of a window, which each of its points raises; `None` if it is not in memory.
    pub fn version(&self, device: DeviceIndex, start: i64) -> Option<u32> {
        let windows = &self.devices[device.at()].windows;
        windows.binary_search_by_key(&start, |w| w.span.start).ok().map(|place| windows[place].version)
    }

    /// Returns a copy of a window, which stays in memory until it is [unpinned](Engine::unpin); `None` if it has left, or if
    /// there is nothing to write: it lost its samples before the sink had a row of it.
    pub fn pin(&mut self, device: DeviceIndex, start: i64) -> Option<Snapshot> {
        let copy = self.snapshot(device, start)?;
        if !copy.was_written && copy.parts.iter().all(|part| part.partial.samples == 0) {
            self.leave_unwritten(device, start);
            return None;
        }
        self.set_pinned(device, start, true);
        Some(copy)
    }

    /// Lets a window leave memory again.
    pub fn unpin(&mut self, device: DeviceIndex, start: i64) {
        self.set_pinned(device, start, false);
    }

    /// Lets all windows leave memory again, of at most `count` devices from `from` on. Returns where to go on, or `None` after
    /// the last device.
    pub fn unpin_slice(&mut self, from: usize, count: usize) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for window in self.devices[from.min(until)..until].iter_mut().flat_map(|device| &mut device.windows) {
            window.is_pinned = false;
        }
        (until < self.devices.len()).then_some(until)
    }

    fn set_pinned(&mut self, device: DeviceIndex, start: i64, is_pinned: bool) {
        let windows = &mut self.devices[device.at()].windows;
        if let Ok(place) = windows.binary_search_by_key(&start, |w| w.span.start) {
            windows[place].is_pinned = is_pinned;
        }
    }

    /// A window with its parts; `None` if it has left memory.
    pub fn snapshot(&self, device: DeviceIndex, start: i64) -> Option<Snapshot> {
        let state = &self.devices[device.at()];
        let place = state.windows.binary_search_by_key(&start, |w| w.span.start).ok()?;
        let window = &state.windows[place];
        let summary = &self.schema.summaries[state.summary.at()];
        let mut parts: Vec<PartSnapshot> = window
            .parts()
            .map(|part| PartSnapshot {
                run: part.run,
                name: self.runs[part.run.at()].clone(),
                rev: part.rev,
                is_acknowledged: part.rev == part.acknowledged,
                partial: part.partial.clone(),
            })
            .collect();
        let mut not_finite = 0;
        for seen in state.series.iter().flat_map(|series| self.plans.fields(*series)) {
            if let Some((at, sample)) = seen.slot.pending
                && window.span.contains(at)
                && let Some(part) = parts.iter_mut().find(|part| part.run == seen.slot.run)
            {
                for target in seen.targets_of(device.at()) {
                    observe(&mut part.partial, window.span, summary, &target.feeds, at, sample, &mut not_finite);
                }
            }
        }
        Some(Snapshot {
            summary: state.summary,
            key: state.key.clone(),
            zone: self.zones[window.zone.at()].clone(),
            span: window.span,
            version: window.version,
            was_written: window.parts().any(|part| part.acknowledged > 0),
            parts,
        })
    }
}
