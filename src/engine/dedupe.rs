//! The memory of counted points that recognizes a duplicate, as InfluxDB would have it.
//!
//! The newest point of a series is not here: it is pending in its [`crate::engine::plan::FieldSlot`], where the last
//! value wins. This memory holds the last `limits.dedupe_points` points that were counted before: an older point that
//! is seen again is a duplicate and changes nothing, or, if it carries another value, a conflict.
//!
//! Invariant: at most `capacity` points are held; the oldest one leaves first.

use hashbrown::HashTable;

#[derive(Clone, Copy)]
struct Entry {
    slot: u32,
    at: i64,
    value: u64,
}

/// What the memory knows of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not remembered: count it.
    New,
    /// The same value was counted before.
    Duplicate,
    /// Another value was counted before.
    Conflict,
}

/// A bounded memory of (field slot, timestamp) -> value.
pub struct Dedupe {
    capacity: usize,
    ring: Vec<Entry>,
    /// Where the next entry goes, once the ring is full.
    oldest: usize,
    index: HashTable<u32>,
}

#[inline]
fn hash(slot: u32, at: i64) -> u64 {
    // Multiplicative hashing with the fraction of the golden ratio; the folded product mixes the high half into the low.
    let product = u128::from((at as u64) ^ (u64::from(slot) << 40).rotate_left(17) ^ u64::from(slot))
        * u128::from(0x9e37_79b9_7f4a_7c15_u64 | 1);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Dedupe {
    /// A memory for `capacity` points; with 0 nothing is remembered.
    pub fn new(capacity: usize) -> Dedupe {
        Dedupe { capacity: capacity.min(u32::MAX as usize), ring: Vec::new(), oldest: 0, index: HashTable::new() }
    }

    /// Looks a point up.
    pub fn look_up(&self, slot: u32, at: i64, value: u64) -> Seen {
        let found = self.index.find(hash(slot, at), |&i| {
            let entry = &self.ring[i as usize];
            entry.slot == slot && entry.at == at
        });
        match found {
            None => Seen::New,
            Some(&i) if self.ring[i as usize].value == value => Seen::Duplicate,
            Some(_) => Seen::Conflict,
        }
    }

    /// Remembers a point that was counted. The point must not be in the memory already.
    pub fn remember(&mut self, slot: u32, at: i64, value: u64) {
        if self.capacity == 0 {
            return;
        }
        let entry = Entry { slot, at, value };
        let place = if self.ring.len() < self.capacity {
            self.ring.push(entry);
            self.ring.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % self.capacity;
            let old = self.ring[place];
            if let Ok(found) = self.index.find_entry(hash(old.slot, old.at), |&i| i as usize == place) {
                found.remove();
            }
            self.ring[place] = entry;
            place
        };
        let ring = &self.ring;
        self.index.insert_unique(hash(slot, at), place as u32, |&i| {
            let entry = &ring[i as usize];
            hash(entry.slot, entry.at)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_point_is_forgotten_first() {
        let mut memory = Dedupe::new(3);
        for at in 0..3 {
            memory.remember(7, at, 100);
        }
        assert_eq!(memory.look_up(7, 0, 100), Seen::Duplicate);
        assert_eq!(memory.look_up(7, 0, 101), Seen::Conflict);
        assert_eq!(memory.look_up(8, 0, 100), Seen::New);
        memory.remember(7, 3, 100);
        assert_eq!(memory.look_up(7, 0, 100), Seen::New);
        for at in 4..5000 {
            memory.remember(7, at, 100);
            assert_eq!(memory.index.len(), 3);
            for known in at - 2..=at {
                assert_eq!(memory.look_up(7, known, 100), Seen::Duplicate);
            }
        }
    }

    #[test]
    fn no_capacity_remembers_nothing() {
        let mut memory = Dedupe::new(0);
        memory.remember(1, 1, 1);
        assert_eq!(memory.look_up(1, 1, 1), Seen::New);
    }
}
