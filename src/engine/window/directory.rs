//! Which device has a key.

use super::device::Device;
use crate::engine::schema::Schema;
use crate::engine::series::compile::DeviceKey;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Which device has a key.
#[derive(Default)]
pub struct Directory {
    by_key: HashTable<u32>,
    hasher: FixedState,
    /// The highest id that a device has.
    pub ids: u32,
}

impl Directory {
    /// Adds a device that is not in it.
    pub fn add(&mut self, devices: &[Device], index: u32) {
        let hash = |index: &u32| {
            let device = &devices[*index as usize];
            self.hasher.hash_one((device.summary, &device.key))
        };
        self.ids = self.ids.max(devices[index as usize].id);
        self.by_key.insert_unique(hash(&index), index, hash);
    }

    /// Index of a device, which is made if need be; `None` if the limit on devices is reached.
    pub fn find_or_make(&mut self, schema: &Schema, devices: &mut Vec<Device>, key: DeviceKey) -> Option<u32> {
        let hash = self.hasher.hash_one((key.0, &key.1));
        let is_it = |index: &u32| {
            let device = &devices[*index as usize];
            device.summary == key.0 && device.key == key.1
        };
        if let Some(index) = self.by_key.find(hash, is_it) {
            return Some(*index);
        }
        if devices.len() >= schema.limits.devices {
            return None;
        }
        let index = devices.len() as u32;
        devices.push(Device::new(self.ids + 1, key.0, key.1));
        self.add(devices, index);
        Some(index)
    }
}
