//! A stored state that fails before and after it has saved.

use super::Mutant;
use super::chance;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use telegraf_rollup::durable::state_error::StateError;
use telegraf_rollup::durable::store::{Meta, Store};
use telegraf_rollup::engine::aggregate::partial::Partial;
use telegraf_rollup::engine::ids::{DeviceId, SeriesId, SlotId};
use telegraf_rollup::engine::persist::checkpoint::Slice;
use telegraf_rollup::engine::persist::stored::{
    News, Stored, StoredDevice, StoredPart, StoredSeries, StoredSlot, StoredWindow, WINDOWS_KEPT,
};
use telegraf_rollup::engine::schema::Schema;

#[derive(Clone, Default)]
struct Data {
    meta: Option<Meta>,
    devices: BTreeMap<DeviceId, StoredDevice>,
    windows: BTreeMap<(DeviceId, i64), StoredWindow>,
    /// By device, start and run, with the partial as text, as in the real one.
    parts: BTreeMap<(DeviceId, i64, String), (StoredPart, String)>,
    series: BTreeMap<SeriesId, StoredSeries>,
    slots: BTreeMap<SlotId, StoredSlot>,
    chunks: BTreeMap<u64, Vec<u8>>,
    oldest: u64,
    /// Commits of which it was said that they were saved.
    saved: u64,
    mutant: Mutant,
}

#[derive(Clone, Default)]
pub struct SimStore(Arc<Mutex<Data>>);

impl SimStore {
    pub fn new(mutant: Mutant) -> SimStore {
        SimStore(Arc::new(Mutex::new(Data { mutant, ..Data::default() })))
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits of which it was said that they were saved.
    pub fn saved(&self) -> u64 {
        self.data().saved
    }

    pub fn cloned(&self) -> SimStore {
        SimStore(Arc::new(Mutex::new(self.data().clone())))
    }
}

fn away(what: &'static str) -> StateError {
    StateError::Io { what, error: std::io::Error::other("simulated") }
}

fn fails() -> Result<(), StateError> {
    chance::step();
    if chance::percent(chance::faults().store) || chance::faults().full {
        return Err(away("simulated"));
    }
    Ok(())
}

impl Data {
    /// A window with its parts.
    fn read(&self, schema: &Schema, window: &StoredWindow) -> StoredWindow {
        let summary = &schema.summaries[window.summary.at()];
        let (device, start) = (window.device, window.span.start);
        let parts = self.parts.range((device, start, String::new())..);
        let parts = parts.take_while(|(key, _)| (key.0, key.1) == (device, start));
        let parts = parts.map(|(_, (part, text))| StoredPart {
            partial: Partial::from_json(text, summary).expect("written by us"),
            ..part.clone()
        });
        StoredWindow { parts: parts.collect(), ..window.clone() }
    }
}

impl Store for SimStore {
    fn load(&mut self, schema: &Schema) -> Result<Option<(Meta, Stored)>, StateError> {
        chance::step();
        let data = self.data();
        let Some(meta) = data.meta.clone() else { return Ok(None) };
        let mut stored = Stored {
            devices: data.devices.values().cloned().collect(),
            series: data.series.values().cloned().collect(),
            slots: data.slots.values().cloned().collect(),
            ..Stored::default()
        };
        // The newest windows of each device.
        let open: Vec<_> = data.windows.values().filter(|w| !w.is_done()).collect();
        for (index, window) in open.iter().enumerate() {
            if open.get(index + WINDOWS_KEPT).is_none_or(|later| later.device != window.device) {
                stored.windows.push(data.read(schema, window));
            }
        }
        stored.away = (open.len() - stored.windows.len()) as u64;
        stored.dedupe.oldest = data.oldest;
        stored.dedupe.chunks = data.chunks.iter().map(|(n, bytes)| (*n, bytes.clone())).collect();
        Ok(Some((meta, stored)))
    }

    fn window(&mut self, schema: &Schema, device: DeviceId, at: i64) -> Result<Option<StoredWindow>, StateError> {
        chance::step();
        let data = self.data();
        let found = data.windows.range((device, i64::MIN)..=(device, at)).next_back().map(|(_, window)| window);
        Ok(found.filter(|w| w.span.contains(at)).map(|w| data.read(schema, w)))
    }

    fn windows_before(
        &mut self,
        schema: &Schema,
        device: DeviceId,
        start: i64,
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError> {
        chance::step();
        let data = self.data();
        let before = data.windows.range((device, i64::MIN)..(device, start)).rev();
        Ok(before.take(count).map(|(_, window)| data.read(schema, window)).collect())
    }

    fn waiting(
        &mut self,
        schema: &Schema,
        after: (DeviceId, i64),
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError> {
        chance::step();
        let data = self.data();
        let behind = data.windows.values().filter(|w| !w.is_done() && (w.device, w.span.start) > after);
        Ok(behind.take(count).map(|w| data.read(schema, w)).collect())
    }

    fn resend(&mut self, from: i64) -> Result<u64, StateError> {
        let mut data = self.data();
        let data = &mut *data;
        let again = data.windows.values_mut().filter(|window| window.span.end > from);
        again.for_each(|window| window.written = false);
        data.parts.values_mut().for_each(|(part, _)| part.acknowledged = 0);
        Ok(data.windows.values().filter(|window| !window.is_done()).count() as u64)
    }

    fn open_devices(&mut self) -> Result<HashSet<DeviceId>, StateError> {
        chance::step();
        let data = self.data();
        Ok(data.windows.values().filter(|window| !window.is_done()).map(|window| window.device).collect())
    }

    fn begin_anew(&mut self) -> Result<Vec<String>, StateError> {
        chance::step();
        let mut data = self.data();
        *data = Data { mutant: data.mutant, saved: data.saved, ..Data::default() };
        Ok(vec!["state.db".to_string()])
    }

    fn commit(
        &mut self,
        schema: &Schema,
        meta: &Meta,
        news: &News,
        next: &mut dyn FnMut() -> Slice,
        purge_before: i64,
    ) -> Result<bool, StateError> {
        fails()?;
        let mut stored = Stored { series: news.series.clone(), ..Stored::default() };
        loop {
            match next() {
                Slice::Part(slice) => stored.extend(slice),
                Slice::Last(slice) => {
                    stored.extend(slice);
                    break;
                }
                Slice::Void => return Ok(false),
            }
            chance::step();
            // A disk that fails half-way.
            fails()?;
        }
        let mut data = self.data();
        let data = &mut *data;
        let mut meta = meta.clone();
        if data.mutant == Mutant::PositionIsForgotten {
            meta.position = data.meta.as_ref().map_or(0, |m| m.position);
        }
        data.meta = Some(meta);
        for device in &stored.devices {
            data.devices.insert(device.id, device.clone());
        }
        for window in &stored.windows {
            let place = (window.device, window.span.start);
            data.windows.insert(place, StoredWindow { parts: Vec::new(), ..window.clone() });
            for part in &window.parts {
                let text = part.partial.to_json(&schema.summaries[window.summary.at()]);
                let bare = StoredPart { partial: Partial::default(), ..part.clone() };
                data.parts.insert((place.0, place.1, part.run.to_string()), (bare, text));
            }
        }
        for id in &news.gone.series {
            data.series.remove(id);
            data.slots.retain(|_, slot| slot.series != *id);
        }
        for id in &news.gone.devices {
            data.devices.remove(id);
            data.windows.retain(|(device, _), _| device != id);
        }
        for series in &stored.series {
            data.series.insert(series.id, series.clone());
        }
        for slot in &stored.slots {
            let mut slot = slot.clone();
            if data.mutant == Mutant::PendingIsForgotten {
                slot.pending = None;
            }
            data.slots.insert(slot.id, slot);
        }
        if data.mutant != Mutant::DuplicatesAreForgotten {
            data.oldest = stored.dedupe.oldest;
            data.chunks.extend(stored.dedupe.chunks.iter().cloned());
        }
        data.windows.retain(|_, w| !(w.written && w.final_written && w.span.end < purge_before));
        let windows = &data.windows;
        data.parts.retain(|key, _| windows.contains_key(&(key.0, key.1)));
        chance::step();
        if chance::percent(chance::faults().store) {
            return Err(away("simulated: saved, but it was not said"));
        }
        data.saved += 1;
        Ok(true)
    }
}
