//! An engine made of stored state.
//!
//! Recovery is the stored state plus the lines behind it, through the same engine, with the same times of arrival and in
//! the name of the runs that took them; see [`crate::engine::window::device`].
//!
//! Invariant: ids of series and devices that the schema leaves out are not given to others.

use super::stored::{Stored, StoredSeries, StoredSlot, WINDOWS_KEPT};
use crate::engine::aggregate::moments::Moments;
use crate::engine::core::Engine;
use crate::engine::ids::{DeviceIndex, SeriesId, SlotId, SummaryIndex};
use crate::engine::schema::{Schema, Summary};
use crate::engine::series::compile;
use crate::engine::window::device::{Day, Device};
use crate::engine::window::past::Past;
use crate::engine::zone::Span;
use crate::engine::zones::zone_index;
use std::collections::HashMap;
use std::sync::Arc;

/// What a schema still needs of a window that was remembered.
fn known((span, moments): (Span, Vec<(String, Moments)>), summary: &Summary) -> Option<Past> {
    let needed = |hash: &str| {
        let mut defs = summary.scores.iter().map(|(_, score)| score.moments);
        defs.find(|def| summary.accumulators[def.at()].hash == *hash)
    };
    let moments: Vec<_> = moments.into_iter().filter_map(|(hash, of)| Some((needed(&hash)?, of))).collect();
    (!moments.is_empty()).then_some(Past { span, moments })
}

impl Engine {
    /// An engine with stored state. `stored` holds all devices, series, slots and duplicates, and those windows that are
    /// not done; what no longer fits the schema is left out.
    pub fn restore(schema: Arc<Schema>, stored: Stored) -> Engine {
        let mut engine = Engine::new(schema.clone());
        let mut by_id = HashMap::new();
        for device in stored.devices {
            engine.directory.ids = engine.directory.ids.max(device.id.0);
            let summary = schema.summaries.iter().position(|s| s.name == device.summary);
            let Some(summary) = summary.filter(|s| schema.summaries[*s].key.len() == device.key.len()) else {
                continue;
            };
            let index = DeviceIndex::of(engine.devices.len());
            by_id.insert(device.id, index);
            let key = (SummaryIndex::of(summary), device.key);
            let zone = device.zone.and_then(|name| zone_index(&mut engine.zones, name.as_bytes()));
            let mut restored = Device::new(device.id, key.0, key.1);
            restored.zone = zone.unwrap_or_default();
            restored.filled_until = device.filled_until;
            restored.filled_provisionally = device.filled_provisionally;
            restored.forgotten = device.forgotten;
            restored.filled_after = device.filled_after;
            restored.evicted_until = device.evicted_until;
            for (day, zone) in device.days {
                let zone = zone.and_then(|name| zone_index(&mut engine.zones, name.as_bytes()));
                let stale = day.stale || !day.final_written;
                restored.days.push(Day { zone: zone.unwrap_or_default(), stale, ..day });
            }
            restored.past =
                device.past.into_iter().filter_map(|past| known(past, &schema.summaries[summary])).collect();
            restored.unsaved = false;
            engine.devices.push(restored);
            engine.directory.add(&engine.devices, index);
        }
        for window in stored.windows {
            let Some(&index) = by_id.get(&window.device) else { continue };
            let restored = engine.restored(window, index.at());
            let device = &mut engine.devices[index.at()];
            let place = device.windows.partition_point(|w| w.span.start < restored.span.start);
            device.windows.insert(place, restored);
        }
        for device in engine.devices.iter_mut().filter(|device| device.windows.len() >= WINDOWS_KEPT) {
            // There may be more of them in stored state, before the first.
            device.evicted_until = device.evicted_until.max(device.windows[0].span.start);
        }
        let mut slots: HashMap<SeriesId, Vec<StoredSlot>> = HashMap::new();
        let series_ids: Vec<SeriesId> = stored.series.iter().map(|series| series.id).collect();
        let slot_ids: Vec<SlotId> = stored.slots.iter().map(|slot| slot.id).collect();
        for slot in stored.slots {
            engine.plans.reserve_slot_ids(slot.id.0);
            slots.entry(slot.series).or_default().push(slot);
        }
        for series in stored.series {
            engine.restore_series(series, &slots);
        }
        engine.dedupe.room_for(engine.plans.slot_places());
        engine.dedupe.restore(&stored.dedupe);
        engine.plans.reuse_ids(series_ids, slot_ids);
        engine.away = stored.away;
        engine
    }

    fn restore_series(&mut self, stored: StoredSeries, slots: &HashMap<SeriesId, Vec<StoredSlot>>) {
        let schema = self.schema.clone();
        let mut touched = Vec::new();
        let mut zones = std::mem::take(&mut self.zones);
        let device = |key| {
            let index = self.device_for(key);
            touched.extend(index);
            index
        };
        let compiled = compile::compile(&schema, &stored.head, device, |name| zone_index(&mut zones, name));
        self.zones = zones;
        let Some(series) = self.plans.restore(stored.id, &stored.head, compiled) else { return };
        for device in touched {
            self.devices[device.at()].series.push(series);
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
                let place = &parts.places[usize::from(target.place)];
                let device = &mut self.devices[place.device.at()];
                if device.window(at).is_none() {
                    let zone = place.zone.unwrap_or(device.zone);
                    device.open(at, (zone, &self.zones[zone.at()]), self.run).is_complete = false;
                }
            }
        }
        self.plans.restore_tallies(series);
    }
}
