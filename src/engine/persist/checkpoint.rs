//! A checkpoint: the state of one moment, copied in slices while lines go on to arrive.
//!
//! What has changed since the last checkpoint is copied device by device and series by series. A line that comes meanwhile
//! may change what has not been copied: so it is copied first. Devices and series that come meanwhile belong to the next
//! checkpoint. So the copy is the state at the moment of [`Engine::begin_checkpoint`], between two batches of lines.
//!
//! Invariant: while a checkpoint is being taken, what has its number has been copied, and nothing else has been changed since
//! it began. Lines and the answers of the sink may come meanwhile, and copy what they are about to change; the thread
//! that takes checkpoints does nothing else to the engine until the copy is complete.

use super::copying::Copying;
use super::stored::{
    Gone, News, Stored, StoredDevice, StoredPart, StoredSeries, StoredSlot, StoredWindow, WINDOWS_KEPT,
};
use crate::engine::aggregate::moments::Moments;
use crate::engine::core::Engine;
use crate::engine::ids::{DefIndex, DeviceIndex, SeriesIndex, ZoneIndex};
use crate::engine::schema::Summary;
use crate::engine::window::dedupe::StoredDedupe;
use crate::engine::window::device::{Day, Part};
use crate::engine::window::past::Past;
use crate::engine::zone::{Span, Zone};
use std::sync::Arc;

/// Devices that take as long to copy as a chunk of the memory of duplicates.
const DEVICES_A_CHUNK: usize = 50;

/// One slice of a checkpoint.
#[derive(Debug, PartialEq)]
pub enum Slice {
    /// There is more.
    Part(Stored),
    Last(Stored),
    /// A window is incomplete: there is no checkpoint, and everything is due again.
    Void,
}

/// The name of a zone.
fn zone_name(zones: &[Arc<Zone>], index: ZoneIndex) -> Arc<str> {
    zones[index.at()].shared_name()
}

/// What is remembered of a window, with the hashes of its definitions.
fn named(past: &Past, summary: &Summary) -> Vec<(String, Moments)> {
    let name = |def: DefIndex| summary.accumulators[def.at()].hash.clone();
    past.moments.iter().map(|(def, moments)| (name(*def), moments.clone())).collect()
}

impl Engine {
    /// Begins a checkpoint: the state as it is now is what [`Engine::checkpoint_slice`] gives.
    pub fn begin_checkpoint(&mut self) {
        self.checkpoint = self.checkpoint.wrapping_add(1);
        self.plans.begin_checkpoint(self.checkpoint);
        let series = std::mem::take(&mut self.plans.unsaved);
        let gone = std::mem::take(&mut self.gone);
        let dedupe = StoredDedupe { oldest: self.dedupe.begin_copy(), chunks: Vec::new() };
        let out = Stored {
            dedupe,
            gone,
            series: series.into_iter().map(|(id, head)| StoredSeries { id, head }).collect(),
            ..Stored::default()
        };
        let (devices, series) = (0..self.devices.len(), 0..self.plans.series_places());
        self.copying = Some(Copying { out, devices, series, is_void: false });
    }

    /// Goes on with a checkpoint: looks at `count` devices or series more.
    pub fn checkpoint_slice(&mut self, count: usize) -> Slice {
        for _ in 0..count {
            let Some(copying) = &mut self.copying else { break };
            if let Some(device) = copying.devices.next() {
                self.copy_device(device);
            } else if let Some(series) = copying.series.next() {
                self.copy_slots(SeriesIndex::of(series));
            } else {
                break;
            }
        }
        let Some(copying) = &mut self.copying else { return Slice::Void };
        let (chunks, no_more) = self.dedupe.copy_slice(count.div_ceil(DEVICES_A_CHUNK));
        copying.out.dedupe.chunks.extend(chunks);
        let oldest = copying.out.dedupe.oldest;
        let out = std::mem::take(&mut copying.out);
        copying.out.dedupe.oldest = oldest;
        let (is_last, is_void) = (no_more && copying.devices.is_empty() && copying.series.is_empty(), copying.is_void);
        if !is_void && !is_last {
            return Slice::Part(out);
        }
        self.copying = None;
        if is_void {
            self.mark_all_unsaved(News { series: out.series, gone: out.gone });
            return Slice::Void;
        }
        Slice::Last(out)
    }

    /// The whole checkpoint at once; `None` while a window is incomplete.
    pub fn checkpoint(&mut self) -> Option<Stored> {
        self.begin_checkpoint();
        match self.checkpoint_slice(usize::MAX) {
            Slice::Last(stored) => Some(stored),
            Slice::Part(_) | Slice::Void => None,
        }
    }

    /// Notes that a checkpoint was not written: all of it is due again, what was new and what was gone, too.
    pub fn mark_all_unsaved(&mut self, lost: News) {
        // What a copy that was given up has taken is due again, too.
        self.copying = None;
        for device in self.devices.iter_mut().filter(|device| !device.is_gone()) {
            device.unsaved = true;
            device.windows.iter_mut().for_each(|w| w.unsaved = true);
        }
        self.plans.slots_mut().iter_mut().for_each(|slot| slot.unsaved = true);
        self.plans.unsaved.extend(lost.series.into_iter().map(|series| (series.id, series.head)));
        self.gone.devices.extend(lost.gone.devices);
        self.gone.series.extend(lost.gone.series);
        self.dedupe.mark_unsaved();
    }

    /// Makes the next checkpoint hold everything, also after one that was given up half-way.
    pub fn save_all(&mut self) {
        self.mark_all_unsaved(News::default());
        self.plans.mark_all_new();
    }

    /// Notes that stored state is empty: all of it is due. Another run, of this name, is about to begin; what has come to windows
    /// of which only stored state knew the rest is its own. Returns how many windows were there that are not in memory.
    pub fn begin_anew(&mut self, run: &str) -> u64 {
        self.save_all();
        self.gone = Gone::default();
        let next = self.run_index(run);
        for index in 0..self.devices.len() {
            let incomplete: Vec<Span> = self.devices[index]
                .windows
                .iter()
                .filter(|window| !window.is_complete)
                .map(|window| window.span)
                .collect();
            self.devices[index].evicted_until = i64::MIN;
            if incomplete.is_empty() {
                continue;
            }
            for window in self.devices[index].windows.iter_mut().filter(|window| !window.is_complete) {
                (window.is_complete, window.own.run) = (true, next);
            }
            for place in 0..self.devices[index].series.len() {
                let series = self.devices[index].series[place];
                for slot in self.plans.parts(series).slots {
                    let is_theirs = |(at, _): (i64, _)| incomplete.iter().any(|span| span.contains(at));
                    if slot.run == self.run && slot.pending.is_some_and(is_theirs) {
                        slot.run = next;
                    }
                }
            }
        }
        std::mem::take(&mut self.away)
    }

    /// Copies what a line of a series is about to change, if a checkpoint is being taken.
    #[inline(always)]
    pub(crate) fn before_change(&mut self, series: SeriesIndex) {
        if self.copying.is_some() {
            self.copy_before_change(series);
        }
    }

    /// Copies what the sink's answer is about to change of a device, if a checkpoint is being taken.
    pub(crate) fn before_settling(&mut self, device: DeviceIndex) {
        if self.copying.is_some() {
            self.copy_device(device.at());
        }
    }

    #[cold]
    fn copy_before_change(&mut self, series: SeriesIndex) {
        self.copy_slots(series);
        for place in 0..self.plans.parts(series).places.len() {
            let device = self.plans.parts(series).places[place].device;
            self.copy_device(device.at());
        }
    }

    /// Copies the fields of a series, all of them if one has changed: they are stored together.
    fn copy_slots(&mut self, index: SeriesIndex) {
        let Some(copying) = &mut self.copying else { return };
        if index.at() >= copying.series.end
            || self.plans.series(index).is_free
            || !self.plans.is_due(index, self.checkpoint)
        {
            return;
        }
        let id = self.plans.series(index).id;
        let parts = self.plans.parts(index);
        if !parts.slots.iter().any(|slot| slot.unsaved) {
            return;
        }
        for (field, slot) in parts.fields.iter().zip(parts.slots) {
            slot.unsaved = false;
            copying.out.slots.push(StoredSlot {
                id: slot.id,
                series: id,
                field: field.key.clone(),
                pending: slot.pending,
                run: self.runs[slot.run.at()].clone(),
            });
        }
        // What this configuration does not know is kept.
        copying.out.slots.extend(self.unknown_slots.get(&id).into_iter().flatten().cloned());
    }

    /// Copies what has changed of a device and its windows.
    fn copy_device(&mut self, index: usize) {
        let (Some(copying), Some(device)) = (&self.copying, self.devices.get_mut(index)) else { return };
        if index >= copying.devices.end || std::mem::replace(&mut device.checkpoint, self.checkpoint) == self.checkpoint
        {
            return;
        }
        self.settle_empty(index);
        let (Some(copying), Some(device)) = (&mut self.copying, self.devices.get_mut(index)) else { return };
        copying.is_void |= device.windows.iter().any(|w| !w.is_complete);
        let summary = &self.schema.summaries[device.summary.at()];
        if !summary.scores.is_empty() {
            // After a restart, of those that are not done only the newest are in memory.
            let mut open = 0;
            for place in (0..device.windows.len()).rev() {
                let window = &device.windows[place];
                let is_away = window.is_done() || open >= WINDOWS_KEPT;
                open += usize::from(!window.is_done());
                if is_away {
                    device.remember(place, summary);
                }
            }
        }
        for window in device.windows.iter_mut().filter(|w| w.unsaved) {
            window.unsaved = false;
            if window.is_done() && device.evicted_until < window.span.end {
                // After a restart it is in stored state only.
                device.evicted_until = window.span.end;
                device.unsaved = true;
            }
            let part = |part: &Part| StoredPart {
                run: self.runs[part.run.at()].clone(),
                rev: part.rev,
                acknowledged: part.acknowledged,
                partial: part.partial.clone(),
            };
            copying.out.windows.push(StoredWindow {
                device: device.id,
                summary: device.summary,
                span: window.span,
                zone: Some(zone_name(&self.zones, window.zone)),
                newest: window.newest,
                written: window.version == window.acknowledged,
                final_written: window.final_written,
                parts: window.parts().map(part).collect(),
            });
        }
        if device.unsaved {
            device.unsaved = false;
            let day = |day: &Day| (Day { zone: ZoneIndex(0), ..*day }, Some(zone_name(&self.zones, day.zone)));
            copying.out.devices.push(StoredDevice {
                id: device.id,
                summary: summary.name.clone(),
                key: device.key.clone(),
                // One that names no zone goes where the schema goes.
                zone: (device.zone.at() > 0).then(|| zone_name(&self.zones, device.zone)),
                filled_until: device.filled_until,
                filled_provisionally: device.filled_provisionally,
                forgotten: device.forgotten,
                filled_after: device.filled_after,
                evicted_until: device.evicted_until,
                days: device.days.iter().map(day).collect(),
                past: device.past.iter().map(|past| (past.span, named(past, summary))).collect(),
            });
        }
    }
}
