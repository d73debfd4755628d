//! The engine's state as it is stored: what a checkpoint takes out, and what a recovery puts back.
//!
//! A checkpoint ([`super::checkpoint`]) holds what has changed since the last one, as copies, and is written without holding
//! up the stream. If it could not be written, [`Engine::mark_all_unsaved`] makes the next one complete.
//!
//! Recovery is the stored state plus the lines behind it, through the same engine, with the same times of arrival and in
//! the name of the runs that took them; see [`super::device`].

use super::Engine;
use super::accumulate::moments::Moments;
use super::dedupe::StoredDedupe;
use super::device::{Day, Device, Key, Part, Window};
use super::partial::Partial;
use super::plan::{self, Sample};
use super::scan::Head;
use super::schema::{Schema, Summary};
use super::score::Past;
use super::zone::{Span, Zone};
use std::sync::Arc;

/// A device with its cursors and days.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDevice {
    pub id: u32,
    /// Name of the summary.
    pub summary: String,
    pub key: Key,
    /// Name of the zone, if it is not that of the schema.
    pub zone: Option<String>,
    pub filled_until: i64,
    pub filled_provisionally: i64,
    pub forgotten: Option<i64>,
    pub evicted_until: i64,
    /// Each with the name of its zone, if that is not the schema's; the index means nothing here.
    pub days: Vec<(Day, Option<String>)>,
    /// Of windows that rules with a baseline need: span, and the moments under the hashes of their definitions.
    pub past: Vec<(Span, Vec<(String, Moments)>)>,
}

/// A base window.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWindow {
    pub device: u32,
    /// Index of the summary in the schema.
    pub summary: u16,
    pub span: Span,
    pub newest: i64,
    /// The sink has all of it.
    pub written: bool,
    /// The sink has it as final.
    pub final_written: bool,
    pub parts: Vec<StoredPart>,
}

impl StoredWindow {
    /// True if the sink has all of it, as final.
    pub fn is_done(&self) -> bool {
        self.written && self.final_written
    }
}

/// What one run has seen of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPart {
    pub run: Arc<str>,
    pub rev: u64,
    /// The `rev` that the sink has.
    pub acknowledged: u64,
    /// Without pending points.
    pub partial: Partial,
}

/// A series, by its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSeries {
    pub id: u32,
    pub head: Head,
}

/// A field of a series, with its pending point.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSlot {
    pub id: u32,
    pub series: u32,
    pub field: Arc<[u8]>,
    pub pending: Option<(i64, Sample)>,
    /// The run that has taken the pending point.
    pub run: Arc<str>,
}

/// State, or what of it has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub devices: Vec<StoredDevice>,
    pub windows: Vec<StoredWindow>,
    pub series: Vec<StoredSeries>,
    pub slots: Vec<StoredSlot>,
    pub dedupe: StoredDedupe,
    /// Windows that are stored, not written as final, and not in `windows`.
    pub away: u64,
}

/// Windows of a device that stay in memory although they could be looked up in stored state.
pub const WINDOWS_KEPT: usize = 3;

/// A window of which stored state may hold more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Index of the device in the engine.
    pub device: u32,
    /// Its id in stored state.
    pub id: u32,
    pub start: i64,
    /// A time within the window; the stored one may have been cut in another zone.
    pub at: i64,
}

/// The name of a zone, if it is not that of the schema.
pub(super) fn zone_name(zones: &[Arc<Zone>], index: u16) -> Option<String> {
    (index > 0).then(|| zones[usize::from(index)].name().to_string())
}

/// What is remembered of a window, with the hashes of its definitions.
pub(super) fn named(past: &Past, summary: &Summary) -> Vec<(String, Moments)> {
    let name = |def: u16| summary.accumulators[usize::from(def)].hash.clone();
    past.moments.iter().map(|(def, moments)| (name(*def), moments.clone())).collect()
}

/// What a schema still needs of a window that was remembered.
fn known((span, moments): (Span, Vec<(String, Moments)>), summary: &Summary) -> Option<Past> {
    let needed = |hash: &str| {
        let mut defs = summary.scores.iter().map(|(_, score)| score.moments);
        defs.find(|def| summary.accumulators[usize::from(*def)].hash == *hash)
    };
    let moments: Vec<_> = moments.into_iter().filter_map(|(hash, of)| Some((needed(&hash)?, of))).collect();
    (!moments.is_empty()).then_some(Past { span, moments })
}

impl Engine {
    /// Appends the windows that cannot be written or saved before stored state has been asked for them, of at most `count`
    /// devices from `from` on. Returns where to go on, or `None` after the last device.
    pub fn incomplete(&self, from: usize, count: usize, out: &mut Vec<Incomplete>) -> Option<usize> {
        let until = (from + count).min(self.devices.len());
        for (index, device) in self.devices.iter().enumerate().take(until).skip(from) {
            let incomplete = device.windows.iter().filter(|w| !w.is_complete);
            out.extend(incomplete.map(|window| Incomplete {
                device: index as u32,
                id: device.id,
                start: window.span.start,
                at: window.newest,
            }));
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Completes a window with what stored state has of it, if anything.
    pub fn complete(&mut self, device: u32, start: i64, stored: Option<StoredWindow>) {
        let Ok(place) = self.devices[device as usize].windows.binary_search_by_key(&start, |w| w.span.start) else {
            return;
        };
        let parts = self.parts_of(stored.as_ref().map(|s| s.parts.as_slice()).unwrap_or_default());
        let window = &mut self.devices[device as usize].windows[place];
        if std::mem::replace(&mut window.is_complete, true) {
            return;
        }
        let Some(stored) = stored else {
            self.settle_all(device as usize, start);
            let device = &mut self.devices[device as usize];
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
        self.settle_all(device as usize, start);
    }

    fn parts_of(&mut self, stored: &[StoredPart]) -> Vec<Part> {
        let part = |part: &StoredPart| Part {
            run: self.run_index(&part.run),
            partial: part.partial.clone(),
            rev: part.rev,
            acknowledged: part.acknowledged,
        };
        stored.iter().map(part).collect()
    }

    /// Notes that a checkpoint was not written: all of it is due again, the new series that it held, too.
    pub fn mark_all_unsaved(&mut self, lost: Vec<StoredSeries>) {
        for device in &mut self.devices {
            device.unsaved = true;
            device.windows.iter_mut().for_each(|w| w.unsaved = true);
        }
        self.plans.slots_mut().iter_mut().for_each(|slot| slot.unsaved = true);
        self.plans.unsaved.extend(lost.into_iter().map(|series| (series.id, series.head)));
        self.dedupe.mark_unsaved();
    }

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
            let leaves = |w: &Window| !w.unsaved && w.is_complete && (w.is_done() || w.span.start < kept_from);
            if !device.windows.iter().any(leaves) {
                continue;
            }
            let pending = self.pending_times(index);
            let leaves = |w: &Window| leaves(w) && !pending.iter().any(|at| w.span.contains(*at));
            let device = &mut self.devices[index];
            self.away += device.windows.iter().filter(|w| leaves(w) && !w.is_done()).count() as u64;
            device.release(&self.schema.summaries[usize::from(device.summary)], leaves);
        }
        (until < self.devices.len()).then_some(until)
    }

    /// Windows in stored state that are not in memory and have not been written as final.
    pub fn away(&self) -> u64 {
        self.away
    }

    /// Takes windows back from stored state, to be written; those that are in memory are left as they are.
    pub fn admit(&mut self, windows: Vec<StoredWindow>) {
        let by_id: std::collections::HashMap<u32, usize> =
            self.devices.iter().enumerate().map(|(index, device)| (device.id, index)).collect();
        for stored in windows {
            let Some(&index) = by_id.get(&stored.device) else { continue };
            let windows = &self.devices[index].windows;
            let Err(place) = windows.binary_search_by_key(&stored.span.start, |w| w.span.start) else { continue };
            let restored = self.restored(stored);
            self.devices[index].windows.insert(place, restored);
            self.away = self.away.saturating_sub(1);
        }
    }

    /// Notes that no window is away: stored state has none.
    pub fn none_away(&mut self) {
        self.away = 0;
    }

    fn restored(&mut self, stored: StoredWindow) -> Window {
        let mut window = Window::new(stored.span, stored.newest, self.run);
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

    /// An engine with stored state. `stored` holds all devices, series, slots and duplicates, and those windows that are
    /// not done; what no longer fits the schema is left out.
    pub fn restore(schema: Arc<Schema>, stored: Stored) -> Engine {
        let mut engine = Engine::new(schema.clone());
        let mut by_id = std::collections::HashMap::new();
        for device in stored.devices {
            engine.directory.ids = engine.directory.ids.max(device.id);
            let summary = schema.summaries.iter().position(|s| s.name == device.summary);
            let Some(summary) = summary.filter(|s| schema.summaries[*s].key.len() == device.key.len()) else {
                continue;
            };
            let index = engine.devices.len() as u32;
            by_id.insert(device.id, index);
            let key = (summary as u16, device.key);
            let zone = device.zone.and_then(|name| super::zone_index(&mut engine.zones, name.as_bytes()));
            let mut restored = Device::new(device.id, key.0, key.1);
            restored.zone = zone.unwrap_or(0);
            restored.filled_until = device.filled_until;
            restored.filled_provisionally = device.filled_provisionally;
            restored.forgotten = device.forgotten;
            restored.evicted_until = device.evicted_until;
            for (day, zone) in device.days {
                let zone = zone.and_then(|name| super::zone_index(&mut engine.zones, name.as_bytes()));
                let stale = day.stale || !day.final_written;
                restored.days.push(Day { zone: zone.unwrap_or(0), stale, ..day });
            }
            restored.past =
                device.past.into_iter().filter_map(|past| known(past, &schema.summaries[summary])).collect();
            restored.unsaved = false;
            engine.devices.push(restored);
            engine.directory.add(&engine.devices, index);
        }
        for window in stored.windows {
            let Some(&index) = by_id.get(&window.device) else { continue };
            let restored = engine.restored(window);
            let device = &mut engine.devices[index as usize];
            let place = device.windows.partition_point(|w| w.span.start < restored.span.start);
            device.windows.insert(place, restored);
        }
        for device in engine.devices.iter_mut().filter(|device| device.windows.len() >= WINDOWS_KEPT) {
            // There may be more of them in stored state, before the first.
            device.evicted_until = device.evicted_until.max(device.windows[0].span.start);
        }
        let mut slots: std::collections::HashMap<u32, Vec<StoredSlot>> = std::collections::HashMap::new();
        for slot in stored.slots {
            engine.plans.reserve_ids(slot.id);
            slots.entry(slot.series).or_default().push(slot);
        }
        engine.plans.reserve_ids(stored.series.iter().map(|s| s.id).max().unwrap_or(0));
        for series in stored.series {
            engine.restore_series(series, &slots);
        }
        engine.dedupe.restore(&stored.dedupe);
        engine.away = stored.away;
        engine
    }

    fn restore_series(&mut self, stored: StoredSeries, slots: &std::collections::HashMap<u32, Vec<StoredSlot>>) {
        let schema = self.schema.clone();
        let mut touched = Vec::new();
        let mut zones = std::mem::take(&mut self.zones);
        let device = |key| {
            let index = self.device_for(key);
            touched.extend(index);
            index
        };
        let compiled = plan::compile(&schema, &stored.head, device, |name| super::zone_index(&mut zones, name));
        self.zones = zones;
        let Some(series) = self.plans.restore(stored.id, &stored.head, compiled) else { return };
        for device in touched {
            self.devices[device as usize].series.push(series);
        }
        for saved in slots.get(&stored.id).into_iter().flatten() {
            let run = self.run_index(&saved.run);
            let parts = self.plans.parts(series);
            let Some(index) = parts.fields.iter().position(|field| *field.key == *saved.field) else {
                self.unknown_slots.entry(stored.id).or_default().push(saved.clone());
                continue;
            };
            let slot = &mut parts.slots[index];
            (slot.id, slot.pending, slot.run, slot.unsaved) = (saved.id, saved.pending, run, false);
            let Some((at, _)) = saved.pending else { continue };
            // The window of a pending point is in memory, because the point may still be folded into it.
            for target in &parts.fields[index].targets {
                let device = &mut self.devices[parts.places[usize::from(target.place)].device as usize];
                if device.window(at).is_none() {
                    let zone = &self.zones[usize::from(device.zone)];
                    device.open(at, zone, self.run).is_complete = false;
                }
            }
        }
    }
}
