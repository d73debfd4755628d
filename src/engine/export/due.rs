//! What is to be written: windows, windows without a sample, and days. Nothing is queued: what is not acknowledged is due.

use crate::engine::core::Engine;
use crate::engine::ids::{DeviceIndex, RunIndex, ZoneIndex};
use crate::engine::series::feed::takes;
use crate::engine::series::plan::FieldState;
use crate::engine::window::device::{EMPTY, Part, Window};
use crate::engine::window::gaps::Gap;
use crate::engine::zone::Span;
use std::sync::Arc;

/// A due window, to be fetched with [`Engine::snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueWindow {
    pub device: DeviceIndex,
    pub span: Span,
}

/// A window without a sample that needs an empty row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueEmpty {
    pub device: DeviceIndex,
    pub gap: Gap,
}

/// A day whose row is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueDay {
    pub device: DeviceIndex,
    pub span: Span,
    /// The zone that has cut it; see [`Engine::zone`].
    pub zone: ZoneIndex,
    pub is_final: bool,
    /// See [`Day::given`](crate::engine::window::device::Day::given).
    pub given: u64,
}

/// A part of a window in memory that the sink has been given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenPart {
    /// Start of the window.
    pub start: i64,
    /// Index of the run in the engine, and its name.
    pub run: RunIndex,
    pub name: Arc<str>,
    /// What the sink has at least.
    pub rev: u64,
}

impl Engine {
    /// Adds base windows in memory, and how many of them are not in the sink as they are, of at most `count` devices from
    /// `from` on. Returns where to go on, or `None` after the last device.
    pub fn open_windows(&self, from: usize, count: usize, (all, due): (&mut usize, &mut usize)) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for window in self.devices[from.min(until)..until].iter().flat_map(|device| &device.windows) {
            *all += 1;
            *due += usize::from(window.version != window.acknowledged);
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Appends the devices, of at most `count` from `from` on, of which anything may be due, and lets go of windows that are
    /// done. Returns where to go on, or `None` after the last device.
    pub fn busy(&mut self, from: usize, count: usize, now: i64, busy: &mut Vec<DeviceIndex>) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        let (schema, allowed) = (&self.schema, self.schema.lateness.allowed);
        let is_copying = self.copying.is_some();
        for (index, device) in self.devices.iter_mut().enumerate().take(until).skip(from) {
            // What a checkpoint that is being taken has not copied stays as it is.
            if !is_copying {
                device.forget(&schema.summaries[device.summary.at()], schema.lateness.max, now);
            }
            let mut is_busy = device.windows.iter().any(|window| window.may_be_empty || window.is_due(allowed, now))
                || device.days.iter().any(|day| day.is_due(allowed, now, true));
            if !is_busy {
                device.empty_windows(&self.zones, schema.gap_rule(device.summary, now), |_| {
                    is_busy = true;
                    false
                });
            }
            if is_busy {
                busy.push(DeviceIndex::of(index));
            }
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Appends the windows of some devices that are to be written.
    pub fn due_windows(&self, devices: &[DeviceIndex], now: i64, due: &mut Vec<DueWindow>) {
        let allowed = self.schema.lateness.allowed;
        for &index in devices {
            let windows = self.devices[index.at()].windows.iter().filter(|window| window.is_due(allowed, now));
            due.extend(windows.map(|window| DueWindow { device: index, span: window.span }));
        }
    }

    /// Appends the windows of some devices that need a row without a sample.
    pub fn due_empty(&mut self, devices: &[DeviceIndex], now: i64, due: &mut Vec<DueEmpty>) {
        for &index in devices {
            if self.devices[index.at()].windows.iter().any(|window| window.may_be_empty) {
                self.look_for_empty(index.at());
            }
            let (schema, device) = (&self.schema, &self.devices[index.at()]);
            device.empty_windows(&self.zones, schema.gap_rule(device.summary, now), |gap| {
                due.push(DueEmpty { device: index, gap });
                true
            });
        }
    }

    /// Finds out which windows of a device have lost their only samples, and when the last sample of the others was.
    fn look_for_empty(&mut self, device: usize) {
        self.before_settling(DeviceIndex::of(device));
        self.settle_empty(device);
    }

    /// The same while the device is being copied for a checkpoint: what is stored is settled.
    pub(crate) fn settle_empty(&mut self, device: usize) {
        let is_open = |window: &Window| window.may_be_empty && window.is_complete;
        if !self.devices[device].windows.iter().any(is_open) {
            return;
        }
        let fields = self.devices[device].series.iter().flat_map(|series| self.plans.fields(*series));
        let counts = |seen: FieldState<'_>| {
            let (at, sample) = seen.slot.pending?;
            seen.targets_of(device).any(|t| takes(&t.feeds, sample)).then_some(at)
        };
        let pending: Vec<i64> = fields.filter_map(counts).collect();
        for window in self.devices[device].windows.iter_mut().filter(|window| is_open(window)) {
            window.may_be_empty = false;
            let folded = window.parts().filter(|p| p.partial.samples > 0).map(|p| p.partial.last_seen).max();
            let waiting = pending.iter().copied().filter(|at| window.span.contains(*at)).max();
            window.newest = folded.max(waiting).unwrap_or(EMPTY);
            window.unsaved = true;
        }
    }

    /// Appends the days of some devices whose row is due. Days that have not ended are listed only if `running` is true.
    pub fn due_days(&self, devices: &[DeviceIndex], now: i64, running: bool, due: &mut Vec<DueDay>) {
        let allowed = self.schema.lateness.allowed;
        for &device in devices {
            for day in self.devices[device.at()].days.iter().filter(|day| day.is_due(allowed, now, running)) {
                let is_final = day.is_over(allowed, now);
                due.push(DueDay { device, span: day.span, zone: day.zone, is_final, given: day.given });
            }
        }
    }

    /// Returns the parts of the windows in memory that start in `span` of which the sink has been given something.
    pub fn given_parts(&self, device: DeviceIndex, span: Span) -> Vec<GivenPart> {
        let windows = self.devices[device.at()].windows.iter().filter(|window| span.contains(window.span.start));
        let given = windows.flat_map(|window| window.parts().map(move |part| (window.span.start, part)));
        let given = given.filter(|(_, part)| part.acknowledged > 0);
        let part = |(start, part): (i64, &Part)| GivenPart {
            start,
            run: part.run,
            name: self.runs[part.run.at()].clone(),
            rev: part.acknowledged,
        };
        given.map(part).collect()
    }
}
