//! The memory of counted points that recognizes a duplicate, as InfluxDB would have it.
//!
//! The newest point of a series is not here: it is pending in its [`crate::engine::plan::FieldSlot`], where the last
//! value wins. This memory holds the last `limits.dedupe_points` points that were counted before: an older point that
//! is seen again is a duplicate and changes nothing, or, if it carries another value, a conflict.
//!
//! Invariant: at most `capacity` points are held; the oldest one leaves first.
//!
//! In stored state the memory is a ring of chunks of [`CHUNK`] entries of 20 bytes: slot u32, time i64, value u64, all
//! little-endian. Only chunks that have changed are saved.

use hashbrown::HashTable;
use std::collections::BTreeSet;

/// Entries in a stored chunk.
const CHUNK: usize = 256;
/// Bytes of a stored entry.
const ENTRY_BYTES: usize = 20;

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
    /// Chunks that have changed since they were saved.
    unsaved: BTreeSet<usize>,
    /// The chunk that was marked last: the next entry is most likely in it.
    last_unsaved: usize,
}

/// The stored form, or the part of it that has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredDedupe {
    pub oldest: u64,
    /// Number of a chunk, and its entries.
    pub chunks: Vec<(u64, Vec<u8>)>,
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
        Dedupe {
            capacity: capacity.min(u32::MAX as usize),
            ring: Vec::new(),
            oldest: 0,
            index: HashTable::new(),
            unsaved: BTreeSet::new(),
            last_unsaved: usize::MAX,
        }
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
        if self.last_unsaved != place / CHUNK {
            self.last_unsaved = place / CHUNK;
            self.unsaved.insert(place / CHUNK);
        }
        self.insert(place);
    }

    fn insert(&mut self, place: usize) {
        let ring = &self.ring;
        let entry = &ring[place];
        self.index.insert_unique(hash(entry.slot, entry.at), place as u32, |&i| {
            let entry = &ring[i as usize];
            hash(entry.slot, entry.at)
        });
    }

    /// Gives what has changed since the last call.
    pub fn take_unsaved(&mut self) -> StoredDedupe {
        let chunks = std::mem::take(&mut self.unsaved);
        self.last_unsaved = usize::MAX;
        let chunk = |number: usize| {
            let mut bytes = Vec::with_capacity(CHUNK * ENTRY_BYTES);
            for entry in self.ring.iter().skip(number * CHUNK).take(CHUNK) {
                bytes.extend_from_slice(&entry.slot.to_le_bytes());
                bytes.extend_from_slice(&entry.at.to_le_bytes());
                bytes.extend_from_slice(&entry.value.to_le_bytes());
            }
            (number as u64, bytes)
        };
        StoredDedupe { oldest: self.oldest as u64, chunks: chunks.into_iter().map(chunk).collect() }
    }

    /// Marks everything as changed: what [`Dedupe::take_unsaved`] gave was not saved.
    pub fn mark_unsaved(&mut self) {
        self.unsaved.extend(0..self.ring.len().div_ceil(CHUNK));
    }

    /// Puts back what was stored, the chunks in order. A memory of another capacity starts anew with the newest points
    /// that fit, in the order in which they were counted.
    pub fn restore(&mut self, stored: &StoredDedupe) {
        let mut entries = Vec::new();
        for (_, bytes) in &stored.chunks {
            for entry in bytes.chunks_exact(ENTRY_BYTES) {
                let (slot, rest) = entry.split_at(4);
                let (at, value) = rest.split_at(8);
                // The pieces have the lengths of their types.
                let (Ok(slot), Ok(at), Ok(value)) = (slot.try_into(), at.try_into(), value.try_into()) else {
                    continue;
                };
                entries.push((u32::from_le_bytes(slot), i64::from_le_bytes(at), u64::from_le_bytes(value)));
            }
        }
        // A full ring begins at its oldest entry.
        let oldest = (stored.oldest as usize).min(entries.len());
        entries.rotate_left(oldest);
        let skip = entries.len().saturating_sub(self.capacity);
        for (slot, at, value) in entries.into_iter().skip(skip) {
            if self.look_up(slot, at, value) == Seen::New {
                self.remember(slot, at, value);
            }
        }
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
    fn what_is_stored_comes_back_in_order() {
        let mut memory = Dedupe::new(700);
        let mut stored: std::collections::BTreeMap<u64, Vec<u8>> = std::collections::BTreeMap::new();
        let mut oldest = 0;
        for at in 0..2000 {
            memory.remember(3, at, 7);
            if at % 150 == 0 || at == 1999 {
                let part = memory.take_unsaved();
                oldest = part.oldest;
                stored.extend(part.chunks);
            }
        }
        assert!(memory.take_unsaved().chunks.is_empty());
        let all = StoredDedupe { oldest, chunks: stored.into_iter().collect() };
        for capacity in [700, 300, 5000] {
            let mut other = Dedupe::new(capacity);
            other.restore(&all);
            let kept = capacity.min(700) as i64;
            for at in 0..2000 {
                let known = if at >= 2000 - kept { Seen::Duplicate } else { Seen::New };
                assert_eq!(other.look_up(3, at, 7), known, "{at} of {capacity}");
            }
            other.remember(3, 5000, 7);
            let first = if capacity > 700 { Seen::Duplicate } else { Seen::New };
            assert_eq!(other.look_up(3, 2000 - kept, 7), first, "the oldest leaves first");
        }
    }

    #[test]
    fn no_capacity_remembers_nothing() {
        let mut memory = Dedupe::new(0);
        memory.remember(1, 1, 1);
        assert_eq!(memory.look_up(1, 1, 1), Seen::New);
    }
}
