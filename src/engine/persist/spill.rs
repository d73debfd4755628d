//! Windows that leave memory and wait in stored state, and how they come back to be written.
//!
//! Invariant: a window leaves memory only when it is saved, complete, not pinned, and without a pending point.

use super::stored::{StoredWindow, WINDOWS_KEPT};
use crate::engine::core::Engine;
use crate::engine::ids::{DeviceId, ZoneIndex};
use crate::engine::window::device::Window;
use crate::engine::zones::zone_index;

impl Engine {
    /// Lets windows leave memory that are saved and either written as final or not among the newest of their device: what
    /// waits for a sink that is away waits in stored state. A window with a pending point stays: the point may still be
    /// replaced.
    ///
    /// Looks at most at `count` devices from `from` on. Returns where to go on, or `None` after the last device.
    pub fn evict(&mut self, from: usize, count: usize) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for index in from..until {
            let device = &self.devices[index];
            let newest = device.windows.len().saturating_sub(WINDOWS_KEPT);
            let kept_from = device.windows.get(newest).map_or(i64::MAX, |w| w.span.start);
            let leaves =
                |w: &Window| !w.unsaved && !w.is_pinned && w.is_complete && (w.is_done() || w.span.start < kept_from);
            if !device.windows.iter().any(leaves) {
                continue;
            }
            let pending = self.pending_times(index);
            let leaves = |w: &Window| leaves(w) && !pending.iter().any(|at| w.span.contains(*at));
            let device = &mut self.devices[index];
            let spilled = device.windows.iter().filter(|w| leaves(w) && !w.is_done()).count() as u64;
            self.away += spilled;
            self.spilled += spilled;
            device.release(&self.schema.summaries[device.summary.at()], leaves);
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Windows in stored state that are not in memory and have not been written as final.
    pub fn away(&self) -> u64 {
        self.away
    }

    /// Takes windows back from stored state, to be written; those that are in memory are left as they are.
    pub fn admit(&mut self, windows: Vec<StoredWindow>) {
        let by_id: std::collections::HashMap<DeviceId, usize> =
            self.devices.iter().enumerate().map(|(index, device)| (device.id, index)).collect();
        for stored in windows {
            let Some(&index) = by_id.get(&stored.device) else { continue };
            let windows = &self.devices[index].windows;
            let Err(place) = windows.binary_search_by_key(&stored.span.start, |w| w.span.start) else { continue };
            let mut restored = self.restored(stored, index);
            // It stays until it has been written, or could not be.
            restored.is_pinned = true;
            self.devices[index].windows.insert(place, restored);
            self.away = self.away.saturating_sub(1);
        }
    }

    /// Returns how many windows have left memory unwritten since the start.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    /// Notes that all windows have been taken back that were away when so many had been spilled.
    pub fn taken_back(&mut self, spilled: u64) {
        self.away = self.spilled.saturating_sub(spilled);
    }

    /// The zone of a stored window of a device.
    pub(super) fn zone_of(&mut self, stored: &StoredWindow, device: usize) -> ZoneIndex {
        let named = stored.zone.as_ref().and_then(|name| zone_index(&mut self.zones, name.as_bytes()));
        named.unwrap_or(self.devices[device].zone)
    }

    /// A window of a device as it was stored.
    pub(super) fn restored(&mut self, stored: StoredWindow, device: usize) -> Window {
        let zone = self.zone_of(&stored, device);
        let mut window = Window::new(stored.span, zone, stored.newest, self.run);
        window.older = self.parts_of(&stored.parts);
        // The part of the run that is at work has its own place.
        if let Some(own) = window.older.iter().position(|part| part.run == self.run) {
            window.own = window.older.swap_remove(own);
        }
        window.final_written = stored.final_written;
        window.version = 1;
        window.acknowledged = u32::from(stored.written);
        window.unsaved = false;
        window
    }

    /// Event times of the pending points that belong to a device.
    fn pending_times(&self, device: usize) -> Vec<i64> {
        let series = self.devices[device].series.iter();
        let fields = series.flat_map(|series| self.plans.fields(*series));
        fields.filter_map(|seen| seen.slot.pending.map(|(at, _)| at)).collect()
    }
}
