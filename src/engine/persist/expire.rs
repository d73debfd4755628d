//! Expiry: series and devices that nothing can reach any more leave memory and stored state.
//!
//! Tags that change (containers, process ids) make new series and devices for ever, so what is done has to go:
//! - A series goes when its last point is older than `lateness.max` and the windows of its points have left memory, written
//!   as final; its pending points are in them.
//! - A device goes when its series are gone, its windows and days are written as final and have left memory, and its last point is
//!   older than `lateness.max` and the missing horizon of its summary. What rules with a baseline remember of it is kept for
//!   [`BASELINE_KEPT`] longer.
//!
//! With `lateness.max = "forever"` any point may come at any time, and nothing expires.
//!
//! Invariants: what has expired was acknowledged; while a checkpoint is being copied, or a flush is at work, nothing expires.

use crate::engine::core::Engine;
use crate::engine::ids::{DeviceId, DeviceIndex, SeriesIndex};
use crate::engine::window::device::Device;
use crate::engine::zone::HOUR;
use std::collections::HashSet;

/// Looks without a line after which a series may go.
const IDLE_LOOKS: u8 = 2;
/// The same for a series that has never had a point with a time of its own.
const IDLE_LOOKS_WITHOUT_TIME: u8 = 24;
/// The longest window, and the longest day, with room for changes of the clock.
const WINDOW_MAX: i64 = 2 * HOUR;
const DAY_MAX: i64 = 27 * HOUR;
/// What a rule with a baseline remembers of a device is kept so much longer, in nanoseconds.
const BASELINE_KEPT: i64 = 35 * 24 * HOUR;

/// Expires what it can; the steps in order, each in slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireStep {
    Series,
    Devices,
    /// Puts together what is left of the bytes of heads.
    Heads,
}

impl Engine {
    /// Looks at most at `count` series, devices or heads from `from` on, and expires what nothing can reach at `now`
    /// (nanoseconds since the epoch). Returns where to go on, or `None` at the end of the step.
    /// `open` are the devices of which stored state has windows that are not done.
    pub fn expire(
        &mut self,
        step: ExpireStep,
        from: usize,
        count: usize,
        (now, open): (i64, &HashSet<DeviceId>),
    ) -> Option<usize> {
        let limit = now.checked_sub(self.schema.lateness.max)?;
        if self.copying.is_some() {
            return None;
        }
        match step {
            ExpireStep::Series => self.expire_series(from, count, limit),
            ExpireStep::Devices => self.expire_devices(from, count, limit, (now, open)),
            ExpireStep::Heads => self.plans.compact(from, count),
        }
    }

    /// True, once, after numbers of heads were freed that will mean other heads.
    pub fn takes_renumbered(&mut self) -> bool {
        std::mem::take(&mut self.has_renumbered)
    }

    fn expire_series(&mut self, from: usize, count: usize, limit: i64) -> Option<usize> {
        let all = self.plans.series_places();
        let until = (from + count).min(all);
        let mut gone: HashSet<SeriesIndex> = HashSet::new();
        let mut touched: HashSet<DeviceIndex> = HashSet::new();
        for index in (from..until).map(SeriesIndex::of) {
            let series = self.plans.series_mut(index);
            if series.is_free {
                continue;
            }
            series.idle = series.idle.saturating_add(1);
            let (idle, id) = (series.idle, series.id);
            if idle < IDLE_LOOKS || !self.is_out_of_reach(index, idle, limit) {
                continue;
            }
            self.settle_pending(index);
            touched.extend(self.plans.parts(index).places.iter().map(|place| place.device));
            for slot in self.plans.parts(index).slots {
                self.dedupe.forget_slot(slot.id);
            }
            self.plans.remove(index);
            self.unknown_slots.remove(&id);
            self.gone.series.push(id);
            self.has_renumbered = true;
            gone.insert(index);
        }
        for device in touched {
            self.devices[device.at()].series.retain(|series| !gone.contains(series));
        }
        (until < all).then_some(until)
    }

    /// True if no point of a series can come any more to a window that holds one of its points.
    fn is_out_of_reach(&self, index: SeriesIndex, idle: u8, limit: i64) -> bool {
        let mut has_time = false;
        for state in self.plans.fields(index) {
            let Some((at, _)) = state.slot.pending else { continue };
            has_time = true;
            if at >= limit.saturating_sub(WINDOW_MAX) {
                return false;
            }
            let holds = |place: &crate::engine::series::feed::Place| {
                self.devices[place.device.at()].windows.iter().any(|window| window.span.contains(at))
            };
            if state.places.iter().any(holds) {
                return false;
            }
        }
        let is_silent = |device: &Device| {
            device.windows.is_empty() && device.forgotten.is_none_or(|at| at < limit.saturating_sub(WINDOW_MAX))
        };
        has_time
            || idle >= IDLE_LOOKS_WITHOUT_TIME
                && self.plans.places(index).iter().all(|place| is_silent(&self.devices[place.device.at()]))
    }

    /// Adds the pending points of a series to what rules with a baseline remember of their windows.
    fn settle_pending(&mut self, index: SeriesIndex) {
        if !self.schema.judges {
            return;
        }
        for state in self.plans.fields(index) {
            let Some((at, sample)) = state.slot.pending else { continue };
            for target in &state.field.targets {
                let device = state.places[usize::from(target.place)].device;
                self.devices[device.at()].add_to_past(&target.feeds, at, sample);
            }
        }
    }

    /// True if windows of a device without a sample still need their rows.
    fn lacks_rows(&self, device: &Device, now: i64) -> bool {
        let mut lacks = false;
        device.empty_windows(&self.zones, self.schema.gap_rule(device.summary, now), |_| {
            lacks = true;
            false
        });
        lacks
    }

    fn expire_devices(
        &mut self,
        from: usize,
        count: usize,
        limit: i64,
        (now, open): (i64, &HashSet<DeviceId>),
    ) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for index in (from..until).map(DeviceIndex::of) {
            let device = &self.devices[index.at()];
            let rule = self.schema.gap_rule(device.summary, now);
            let limit = limit.min(now.saturating_sub(rule.horizon).saturating_sub(rule.allowed));
            let limit = limit.saturating_sub(DAY_MAX);
            let limit = if device.past.is_empty() { limit } else { limit.saturating_sub(BASELINE_KEPT) };
            let is_done = !device.is_gone()
                && device.windows.is_empty()
                && device.days.is_empty()
                && device.series.is_empty()
                && device.forgotten.is_none_or(|at| at < limit)
                && !open.contains(&device.id)
                && !self.lacks_rows(device, now);
            if is_done {
                self.gone.devices.push(device.id);
                self.directory.remove(&mut self.devices, index);
            }
        }
        (until < self.devices.len()).then_some(until)
    }
}
