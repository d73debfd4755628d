//! What the sink has: noted when it was written, and taken back where the sink has lost it.

use super::due::DueEmpty;
use crate::engine::core::Engine;
use crate::engine::ids::{DeviceIndex, RunIndex};
use crate::engine::window::device::EMPTY;

impl Engine {
    /// Notes that the sink has a window at `version`, as final or not, and `parts` of it: run and `rev` of each, and whether it
    /// is there in the name of this state.
    pub fn acknowledge(
        &mut self,
        device: DeviceIndex,
        start: i64,
        version: u32,
        is_final: bool,
        parts: &[(RunIndex, u64, bool)],
    ) {
        self.before_settling(device);
        let device = &mut self.devices[device.at()];
        let Ok(place) = device.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut device.windows[place];
        let mut given = 0_u64;
        for (run, rev, is_ours) in parts {
            let part = window.part(*run);
            if *is_ours {
                given = given.saturating_add(rev.saturating_sub(part.acknowledged));
            }
            part.acknowledged = *rev;
        }
        window.acknowledged = version;
        window.final_written = is_final;
        window.unsaved = true;
        let zone = window.zone;
        device.day_changed(start, (zone, &self.zones[zone.at()]));
        if let Some(day) = device.known_day(start) {
            day.given = day.given.saturating_add(given);
        }
    }

    /// Notes that a window without a sample needs nothing of the sink.
    pub(super) fn leave_unwritten(&mut self, device: DeviceIndex, start: i64) {
        self.before_settling(device);
        let windows = &mut self.devices[device.at()].windows;
        let Ok(place) = windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut windows[place];
        (window.newest, window.may_be_empty) = (EMPTY, false);
        (window.acknowledged, window.final_written) = (window.version, true);
        window.unsaved = true;
    }

    /// Notes that the sink has lost the part of a run that it had: it is due again.
    pub fn lost(&mut self, device: DeviceIndex, start: i64, run: RunIndex) {
        self.before_settling(device);
        let device = &mut self.devices[device.at()];
        let Ok(place) = device.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut device.windows[place];
        let gone = std::mem::take(&mut window.part(run).acknowledged);
        window.version = window.version.wrapping_add(1);
        window.unsaved = true;
        // Saved with the window: what is acknowledged again must not count twice.
        device.unsaved = true;
        if let Some(day) = device.known_day(start) {
            day.given = day.given.saturating_sub(gone);
        }
    }

    /// Makes every window in memory due that ends after `from`, whatever the sink has of it, of at most `count` devices from
    /// `first` on; their days, too. Returns where to go on, or `None` after the last device.
    pub fn resend(&mut self, from: i64, first: usize, count: usize) -> Option<usize> {
        let until = (first + count).min(self.devices.len());
        for device in &mut self.devices[first.min(until)..until] {
            for window in device.windows.iter_mut().filter(|window| window.span.end > from) {
                let parts = window.older.iter_mut().chain(std::iter::once(&mut window.own));
                parts.for_each(|part| part.acknowledged = 0);
                window.acknowledged = window.version.wrapping_sub(1);
                window.unsaved = true;
            }
            for day in device.days.iter_mut().filter(|day| day.span.end > from) {
                (day.stale, day.given) = (true, 0);
                device.unsaved = true;
            }
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Notes that at least so many windows in stored state are due.
    pub fn away_at_least(&mut self, away: u64) {
        self.away = self.away.max(away);
    }

    /// Notes that the sink has the partials of a window, but not its row: that of its day is due.
    pub fn day_changed(&mut self, device: DeviceIndex, start: i64) {
        self.before_settling(device);
        let device = &mut self.devices[device.at()];
        let zone = device.window(start).map(|window| window.zone).unwrap_or(device.zone);
        device.day_changed(start, (zone, &self.zones[zone.at()]));
    }

    /// Notes that the empty row of a window has been written.
    pub fn acknowledge_empty(&mut self, DueEmpty { device, gap }: DueEmpty) {
        self.before_settling(device);
        let device = &mut self.devices[device.at()];
        let zone = &self.zones[gap.zone.at()];
        device.acknowledge_empty(gap.span, gap.is_final);
        device.unsaved = true;
        // A day whose first window is empty gets its row too; any other day has one by its samples.
        if device.day_of(gap.span.start, zone).start == gap.span.start {
            device.day_changed(gap.span.start, (gap.zone, zone));
        }
    }

    /// Notes that the sink has the row of a day, as final or not.
    pub fn acknowledge_day(&mut self, device: DeviceIndex, start: i64, is_final: bool) {
        self.before_settling(device);
        let device = &mut self.devices[device.at()];
        if let Ok(place) = device.days.binary_search_by_key(&start, |d| d.span.start) {
            let day = &mut device.days[place];
            // What is stored of a day counts once it is final, see [`Day::stale`].
            device.unsaved |= day.final_written || is_final;
            (day.stale, day.final_written) = (false, is_final);
        }
    }
}
