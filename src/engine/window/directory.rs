//! Which device has a key.
//!
//! Invariants: a key has one device at most; none is made beyond `limits.devices`; the place of a device that is gone
//! is free until another takes it.

use super::device::Device;
use crate::engine::ids::{DeviceId, DeviceIndex};
use crate::engine::schema::Schema;
use crate::engine::series::compile::DeviceKey;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Which device has a key.
#[derive(Default)]
pub struct Directory {
    by_key: HashTable<DeviceIndex>,
    hasher: FixedState,
    /// The highest id that a device has.
    pub ids: u32,
    /// Places of devices that are gone.
    free: Vec<DeviceIndex>,
}

impl Directory {
    /// Adds a device that is not in it.
    pub fn add(&mut self, devices: &[Device], index: DeviceIndex) {
        let hash = |index: &DeviceIndex| {
            let device = &devices[index.at()];
            self.hasher.hash_one((device.summary, &device.key))
        };
        self.ids = self.ids.max(devices[index.at()].id.0);
        self.by_key.insert_unique(hash(&index), index, hash);
    }

    /// Devices that are not gone.
    pub fn live(&self, devices: &[Device]) -> usize {
        devices.len() - self.free.len()
    }

    /// Removes a device: its place will be another's.
    pub fn remove(&mut self, devices: &mut [Device], index: DeviceIndex) {
        let device = std::mem::replace(&mut devices[index.at()], Device::gone());
        let hash = self.hasher.hash_one((device.summary, &device.key));
        if let Ok(found) = self.by_key.find_entry(hash, |known| *known == index) {
            found.remove();
        }
        self.free.push(index);
    }

    /// Index of a device, if there is one of the key.
    pub fn find(&self, devices: &[Device], key: &DeviceKey) -> Option<DeviceIndex> {
        let is_it = |index: &DeviceIndex| {
            let device = &devices[index.at()];
            device.summary == key.0 && device.key == key.1
        };
        self.by_key.find(self.hasher.hash_one((key.0, &key.1)), is_it).copied()
    }

    /// Index of a device, which is made if need be; `None` if the limit on devices is reached. `checkpoint` is the
    /// number of the checkpoint that is being taken, or was taken last.
    pub fn find_or_make(
        &mut self,
        schema: &Schema,
        devices: &mut Vec<Device>,
        key: DeviceKey,
        checkpoint: u32,
    ) -> Option<DeviceIndex> {
        if let Some(index) = self.find(devices, &key) {
            return Some(index);
        }
        if self.live(devices) >= schema.limits.devices {
            return None;
        }
        let mut device = Device::new(DeviceId(self.ids + 1), key.0, key.1);
        // It belongs to the checkpoint after the one that is being taken.
        device.checkpoint = checkpoint;
        let index = match self.free.pop() {
            Some(index) => {
                devices[index.at()] = device;
                index
            }
            None => {
                devices.push(device);
                DeviceIndex::of(devices.len() - 1)
            }
        };
        self.add(devices, index);
        Some(index)
    }
}
