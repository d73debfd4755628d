//! The engine's state as it is stored: what a checkpoint takes out, and what a recovery puts back.
//!
//! A checkpoint holds what has changed since the last one, as copies: it is taken between two batches of lines, so it is
//! the state after a whole number of them, and written without holding up the stream. If it could not be written,
//! [`Engine::mark_all_unsaved`] makes the next one complete.
//!
//! Recovery is the stored state plus the lines behind it, through the same engine with the same times of arrival. What
//! the windows hold then becomes their base; see [`super::device`].

use super::Engine;
use super::dedupe::StoredDedupe;
use super::device::{Base, Day, Device, Window};
use super::partial::Partial;
use super::plan::{self, Origin, Sample};
use super::scan::Head;
use super::schema::Schema;
use super::zone::Span;
use std::sync::Arc;

/// A device with its cursors and days.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDevice {
    pub id: u32,
    /// Name of the summary.
    pub summary: String,
    pub key: Vec<String>,
    pub filled_until: i64,
    pub filled_provisionally: i64,
    pub forgotten: Option<i64>,
    pub evicted_until: i64,
    pub days: Vec<Day>,
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
    pub writer: Option<Arc<str>>,
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
    pub field: Vec<u8>,
    pub pending: Option<(i64, Sample)>,
    /// The pending point is counted by somebody else.
    pub counted_elsewhere: bool,
}

/// State, or what of it has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    pub devices: Vec<StoredDevice>,
    pub windows: Vec<StoredWindow>,
    pub series: Vec<StoredSeries>,
    pub slots: Vec<StoredSlot>,
    pub dedupe: StoredDedupe,
}

/// A window whose base is to be looked up in stored state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBase {
    /// Index of the device in the engine.
    pub device: u32,
    /// Its id in stored state.
    pub id: u32,
    pub start: i64,
}

impl Engine {
    /// Windows that cannot be written or saved before their base is known. At most `most` of them.
    pub fn unknown_bases(&self, most: usize) -> Vec<UnknownBase> {
        let mut out = Vec::new();
        for (index, device) in self.devices.iter().enumerate() {
            for window in device.windows.iter().filter(|w| w.base == Base::Unknown) {
                if out.len() == most {
                    return out;
                }
                out.push(UnknownBase { device: index as u32, id: device.id, start: window.span.start });
            }
        }
        out
    }

    /// Settles the base of a window: what stored state has of it, if anything.
    pub fn set_base(&mut self, device: u32, start: i64, stored: Option<StoredWindow>) {
        let device = &mut self.devices[device as usize];
        let Ok(place) = device.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut device.windows[place];
        if window.base != Base::Unknown {
            return;
        }
        window.base = Base::None;
        let Some(stored) = stored else { return };
        window.newest = window.newest.max(stored.newest);
        window.writer = stored.writer;
        window.final_written = stored.final_written;
        if window.partial.samples == 0 && window.version == 0 && stored.written {
            // It is here for a pending point alone: there is nothing new to write.
            window.unsaved = false;
        }
        if stored.partial.samples > 0 {
            let points = stored.partial.samples;
            window.base = Base::Held(Box::new(stored.partial), points);
        }
    }

    /// Takes out what has changed since the last checkpoint; `None` while the base of a window is unknown.
    pub fn checkpoint(&mut self) -> Option<Stored> {
        if self.devices.iter().any(|d| d.windows.iter().any(|w| w.base == Base::Unknown)) {
            return None;
        }
        let mut out = Stored { dedupe: self.dedupe.take_unsaved(), ..Stored::default() };
        for device in &mut self.devices {
            for window in device.windows.iter_mut().filter(|w| w.unsaved) {
                window.unsaved = false;
                if window.is_done() && device.evicted_until < window.span.end {
                    // After a restart it is in stored state only.
                    device.evicted_until = window.span.end;
                    device.unsaved = true;
                }
                out.windows.push(StoredWindow {
                    device: device.id,
                    summary: device.summary,
                    span: window.span,
                    newest: window.newest,
                    written: window.version == window.acknowledged,
                    final_written: window.final_written,
                    writer: window.writer.clone(),
                    partial: window.merged(),
                });
            }
            if device.unsaved {
                device.unsaved = false;
                out.devices.push(StoredDevice {
                    id: device.id,
                    summary: self.schema.summaries[usize::from(device.summary)].name.clone(),
                    key: device.key.clone(),
                    filled_until: device.filled_until,
                    filled_provisionally: device.filled_provisionally,
                    forgotten: device.forgotten,
                    evicted_until: device.evicted_until,
                    days: device.days.clone(),
                });
            }
        }
        let unsaved = std::mem::take(&mut self.plans.unsaved);
        out.series.extend(unsaved.into_iter().map(|(id, head)| StoredSeries { id, head }));
        for series in &mut self.plans.series {
            for slot in series.slots.iter_mut().filter(|s| s.unsaved) {
                slot.unsaved = false;
                out.slots.push(StoredSlot {
                    id: slot.id,
                    series: series.id,
                    field: slot.key.to_vec(),
                    pending: slot.pending,
                    counted_elsewhere: slot.origin == Origin::CountedElsewhere,
                });
            }
        }
        Some(out)
    }

    /// Notes that a checkpoint was not written: `lost` is what it held, and all of it is due again.
    pub fn mark_all_unsaved(&mut self, lost: &Stored) {
        for device in &mut self.devices {
            device.unsaved = true;
            device.windows.iter_mut().for_each(|w| w.unsaved = true);
        }
        self.plans.series.iter_mut().for_each(|s| s.slots.iter_mut().for_each(|slot| slot.unsaved = true));
        self.plans.unsaved.extend(lost.series.iter().map(|s| (s.id, s.head.clone())));
        self.dedupe.mark_unsaved();
    }

    /// Lets windows leave memory that are written as final and saved. A window with a pending point stays: the point may
    /// still be replaced.
    pub fn evict(&mut self) {
        for index in 0..self.devices.len() {
            let done = |w: &Window| w.is_done() && !w.unsaved && w.base != Base::Unknown;
            if !self.devices[index].windows.iter().any(done) {
                continue;
            }
            let pending = self.pending_times(index);
            self.devices[index].release(|w| done(w) && !pending.iter().any(|at| w.span.contains(*at)));
        }
    }

    /// Event times of the pending points that belong to a device.
    fn pending_times(&self, device: usize) -> Vec<i64> {
        let series = self.devices[device].series.iter();
        let slots = series.flat_map(|s| self.plans.series[*s as usize].slots.iter());
        slots.filter_map(|slot| slot.pending.map(|(at, _)| at)).collect()
    }

    /// An engine with stored state. `stored` holds all devices, series, slots and duplicates, and those windows that are
    /// not done; what no longer fits the schema is left out.
    pub fn restore(schema: Arc<Schema>, stored: Stored) -> Engine {
        let mut engine = Engine::new(schema.clone());
        let mut by_id = std::collections::HashMap::new();
        for device in stored.devices {
            engine.device_ids = engine.device_ids.max(device.id);
            let summary = schema.summaries.iter().position(|s| s.name == device.summary);
            let Some(summary) = summary.filter(|s| schema.summaries[*s].key.len() == device.key.len()) else {
                continue;
            };
            let index = engine.devices.len() as u32;
            by_id.insert(device.id, index);
            engine.by_key.insert((summary as u16, device.key.clone()), index);
            let mut restored = Device::new(device.id, summary as u16, device.key);
            restored.filled_until = device.filled_until;
            restored.filled_provisionally = device.filled_provisionally;
            restored.forgotten = device.forgotten;
            restored.evicted_until = device.evicted_until;
            restored.days = device.days;
            restored.unsaved = false;
            engine.devices.push(restored);
        }
        for window in stored.windows {
            let Some(&index) = by_id.get(&window.device) else { continue };
            let device = &mut engine.devices[index as usize];
            let place = device.windows.partition_point(|w| w.span.start < window.span.start);
            let mut restored = Window::new(window.span, window.newest);
            restored.partial = window.partial;
            restored.writer = window.writer;
            restored.final_written = window.final_written;
            restored.version = 1;
            restored.acknowledged = u32::from(window.written);
            restored.unsaved = false;
            device.windows.insert(place, restored);
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
        engine
    }

    fn restore_series(&mut self, stored: StoredSeries, slots: &std::collections::HashMap<u32, Vec<StoredSlot>>) {
        let schema = self.schema.clone();
        let mut touched = Vec::new();
        let compiled = plan::compile(&schema, &stored.head, |key| {
            let index = self.device_for(key);
            touched.extend(index);
            index
        });
        let Some(series) = self.plans.restore(stored.id, stored.head, compiled) else { return };
        for device in touched {
            self.devices[device as usize].series.push(series);
        }
        for saved in slots.get(&stored.id).into_iter().flatten() {
            let slots = &mut self.plans.series[series as usize].slots;
            let Some(slot) = slots.iter_mut().find(|slot| *slot.key == *saved.field) else { continue };
            slot.id = saved.id;
            slot.pending = saved.pending;
            slot.origin = if saved.counted_elsewhere { Origin::CountedElsewhere } else { Origin::Recovered };
            slot.unsaved = false;
            let Some((at, _)) = saved.pending else { continue };
            // The window of a pending point is in memory, because the point may still be folded into it.
            for target in &slot.targets {
                let device = &mut self.devices[target.device as usize];
                if device.window(at).is_none() {
                    let window = device.open(at, &schema.zone);
                    window.base = Base::Unknown;
                }
            }
        }
    }

    /// Ends a recovery: what the windows hold becomes their base, and what is pending belongs to it. No base may be
    /// unknown.
    pub fn end_recovery(&mut self) {
        for series in &mut self.plans.series {
            for slot in series.slots.iter_mut().filter(|s| s.origin == Origin::Seen && s.pending.is_some()) {
                slot.origin = Origin::Recovered;
            }
        }
        for index in 0..self.devices.len() {
            let pending = self.pending_times(index);
            for window in &mut self.devices[index].windows {
                let mut all = window.merged();
                if all.samples == 0 && pending.is_empty() {
                    continue;
                }
                let waiting = pending.iter().filter(|at| window.span.contains(**at)).count() as u64;
                let points = all.samples + waiting;
                window.partial = Partial::default();
                window.base = Base::Held(Box::new(std::mem::take(&mut all)), points);
            }
        }
    }

    /// Gives up the base of a window: somebody else has written it to the sink, under the name that this state had. From
    /// here on the window holds only what this process has seen, for `writer`.
    pub fn detach(&mut self, device: u32, start: i64, writer: &Arc<str>) {
        let state = &mut self.devices[device as usize];
        let Ok(place) = state.windows.binary_search_by_key(&start, |w| w.span.start) else { return };
        let window = &mut state.windows[place];
        if window.written_by_us {
            // The sink had it from this run before: what was written then is in the other's hands.
            window.partial = Partial::default();
        }
        window.base = Base::None;
        window.written_by_us = false;
        window.writer = Some(writer.clone());
        window.version = window.version.wrapping_add(1);
        window.unsaved = true;
        let span = window.span;
        for series in &state.series {
            for slot in &mut self.plans.series[*series as usize].slots {
                if slot.origin == Origin::Recovered && slot.pending.is_some_and(|(at, _)| span.contains(at)) {
                    slot.origin = Origin::CountedElsewhere;
                    slot.unsaved = true;
                }
            }
        }
    }
}
