//! Windows that have come back to memory while stored state may hold more of them, and how they are completed.
//!
//! Invariant: a window that is not complete is neither due nor saved.

use super::stored::{StoredPart, StoredWindow};
use crate::engine::core::Engine;
use crate::engine::ids::{DeviceId, DeviceIndex};
use crate::engine::window::device::Part;

/// A window of which stored state may hold more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Index of the device in the engine.
    pub device: DeviceIndex,
    /// Its id in stored state.
    pub id: DeviceId,
    pub start: i64,
    /// A time within the window; the stored one may have been cut in another zone.
    pub at: i64,
    /// How many windows before it rules with a baseline need of stored state.
    pub before: usize,
}

impl Engine {
    /// Appends the windows that cannot be written or saved before stored state has been asked for them, of at most `count`
    /// devices from `from` on. Returns where to go on, or `None` after the last device.
    pub fn incomplete(&self, from: usize, count: usize, out: &mut Vec<Incomplete>) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for (index, device) in self.devices.iter().enumerate().take(until).skip(from) {
            let summary = &self.schema.summaries[device.summary.at()];
            let incomplete = device.windows.iter().filter(|w| !w.is_complete);
            out.extend(incomplete.map(|window| Incomplete {
                device: DeviceIndex::of(index),
                id: device.id,
                start: window.span.start,
                at: window.newest,
                before: if summary.scores.is_empty() { 0 } else { self.wanted_before(index, window) },
            }));
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Completes a window with what stored state has of it, if anything. `before` are the windows before it, as far as they were
    /// [wanted](Incomplete::before).
    pub fn complete(&mut self, device: DeviceIndex, start: i64, stored: Option<StoredWindow>, before: &[StoredWindow]) {
        let schema = self.schema.clone();
        let summary = &schema.summaries[self.devices[device.at()].summary.at()];
        self.devices[device.at()].recall(before, summary);
        self.complete_one(device, start, stored);
        if !before.is_empty() {
            self.devices[device.at()].forget_past(summary);
        }
    }

    fn complete_one(&mut self, device: DeviceIndex, start: i64, stored: Option<StoredWindow>) {
        let Ok(place) = self.devices[device.at()].windows.binary_search_by_key(&start, |w| w.span.start) else {
            return;
        };
        let parts = self.parts_of(stored.as_ref().map(|s| s.parts.as_slice()).unwrap_or_default());
        let zone = stored.as_ref().map(|stored| self.zone_of(stored, device.at()));
        let window = &mut self.devices[device.at()].windows[place];
        if std::mem::replace(&mut window.is_complete, true) {
            return;
        }
        let Some(stored) = stored else {
            self.settle_all(device.at(), start);
            let device = &mut self.devices[device.at()];
            if device.windows[place].version == 0 {
                // It was opened for a pending point that counted elsewhere, before the configuration was changed.
                device.windows.remove(place);
                if device.windows.is_empty() && device.forgotten.is_none() {
                    device.days.clear();
                }
            }
            return;
        };
        window.span = stored.span;
        window.zone = zone.unwrap_or(window.zone);
        if !stored.is_done() {
            self.away = self.away.saturating_sub(1);
        }
        window.newest = window.newest.max(stored.newest);
        window.final_written = stored.final_written;
        if window.version == 0 {
            // It is here for a pending point alone: what is due is what was due when it left.
            window.unsaved = false;
            window.version = u32::from(!stored.written);
        }
        for part in parts {
            // What is in memory has come on top of what is stored.
            let here = window.part(part.run);
            here.partial.merge(&part.partial);
            here.rev += part.rev;
            here.acknowledged = part.acknowledged;
        }
        let start = window.span.start;
        self.settle_all(device.at(), start);
    }

    pub(super) fn parts_of(&mut self, stored: &[StoredPart]) -> Vec<Part> {
        let part = |part: &StoredPart| Part {
            run: self.run_index(&part.run),
            partial: part.partial.clone(),
            rev: part.rev,
            acknowledged: part.acknowledged,
        };
        stored.iter().map(part).collect()
    }
}
