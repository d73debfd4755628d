//! The memory of counted points that recognizes a duplicate, as InfluxDB would have it.
//!
//! The newest point of a series is not here: it is pending in its [`crate::engine::series::feed::Slot`], where the last
//! value wins. This memory holds the last points that were counted before, `limits.dedupe_points` of all series together or
//! [`POINTS_A_SLOT`] for each of their fields, whatever is more: an older point that is seen again is a duplicate and changes
//! nothing, or, if it carries another value, a conflict. A point that is older than what is left of its series cannot be compared:
//! it counts, and that is told.
//!
//! Every point is remembered, and hardly any is ever looked up. So remembering only writes: the points stand in a ring, in
//! the order in which they were counted, and those of one slot form a chain, the newest first. A look-up follows the chain
//! until it meets a point that was in order and is earlier: all before it are earlier still. A point that is earlier than all
//! that were in order can only be one of those that came late themselves, of which there is an index. Where look-ups follow
//! chains for too long, an index of the whole ring is made, and kept for as long as it is of use.
//!
//! Invariant: at most `capacity` points are held; the oldest one leaves first. The capacity only grows, and only where the ring
//! stands in order from its first place on, so that no entry moves.
//!
//! In stored state the memory is a ring of chunks of [`CHUNK`] entries of 20 bytes: slot u32, time i64, value u64, all
//! little-endian. Only chunks that have changed are saved.

use crate::engine::ids::SlotId;
use hashbrown::HashTable;
use std::collections::BTreeSet;

/// So many points are remembered for each field of a series, on average: those that send more often have more of them.
pub const POINTS_A_SLOT: usize = 16;
/// Bytes of an entry in memory.
pub const BYTES_A_POINT: usize = size_of::<DedupeEntry>();

/// Entries in a stored chunk.
const CHUNK: usize = 256;
/// Bytes of a stored entry.
const ENTRY_BYTES: usize = 20;

/// Entries of a chain that a look-up visits before it makes an index.
const CHAIN_MAX: u32 = 4_096;
/// So many entries may be visited for each one that is remembered: an index costs more than that.
const VISITS: u64 = 2;
/// A small memory needs no index.
const PATIENCE: u64 = 50_000;

#[derive(Clone, Copy)]
struct DedupeEntry {
    slot: u32,
    /// How many entries further back the one before it in its chain stands; 0 if there was none. The highest bit is set if
    /// one that has been in the chain before it has a later time, or the same.
    link: u32,
    at: i64,
    value: u64,
}

const OUT_OF_ORDER: u32 = 1 << 31;

impl DedupeEntry {
    fn distance(&self) -> usize {
        (self.link & !OUT_OF_ORDER) as usize
    }

    fn is_in_order(&self) -> bool {
        self.link & OUT_OF_ORDER == 0
    }
}

/// The newest end of a slot's chain.
#[derive(Clone, Copy)]
struct Chain {
    /// The number of the newest entry, which may have left since; 0 if there was none.
    newest: u64,
    /// The number of its first entry; 0 if what was before a restart may have left by then.
    first: u64,
    /// The latest time that has been in the chain.
    latest: i64,
    /// No entry that was in order when it came, and has not left, has an earlier time.
    floor: i64,
}

const NO_CHAIN: Chain = Chain { newest: 0, first: 0, latest: i64::MIN, floor: i64::MIN };

/// What the memory knows of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not remembered: count it.
    New,
    /// Not remembered, and older than what is: it may have been counted before. Count it.
    TooOld,
    /// The same value was counted before.
    Duplicate,
    /// Another value was counted before.
    Conflict,
}

/// A bounded memory of (field slot, timestamp) -> value.
pub struct Dedupe {
    capacity: usize,
    /// What the capacity will be as soon as the ring can grow.
    wanted: usize,
    ring: Vec<DedupeEntry>,
    /// Where the next entry goes, once the ring is full.
    oldest: usize,
    /// Entries that have ever come: the number of the newest one.
    count: u64,
    /// By slot.
    chains: Vec<Chain>,
    /// The places of entries that were not in order when they came.
    late: HashTable<u32>,
    /// All places, if look-ups need it.
    index: Option<HashTable<u32>>,
    /// Entries that look-ups have visited beyond what was allowed for those that have been remembered.
    visits: u64,
    /// How many of them there may be, and as many more as there are entries.
    patience: u64,
    /// Entries that have come since the index was needed.
    unused: usize,
    /// Chunks that have changed since they were saved.
    unsaved: BTreeSet<usize>,
    /// The chunk that was marked last: the next entry is most likely in it.
    last_unsaved: usize,
    /// Chunks that are to be copied as they were when a copy began, and those that have been.
    pending: BTreeSet<usize>,
    copied: Vec<(u64, Vec<u8>)>,
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

/// The hash of an entry by its place.
fn hash_of(ring: &[DedupeEntry], place: u32) -> u64 {
    let entry = &ring[place as usize];
    hash(entry.slot, entry.at)
}

/// Takes a place out of an index.
fn forget(index: &mut HashTable<u32>, hash: u64, place: usize) {
    if let Ok(found) = index.find_entry(hash, |known| *known as usize == place) {
        found.remove();
    }
}

impl Dedupe {
    /// A memory for `capacity` points, at most 2^31 - 1; with 0 nothing is remembered.
    pub fn new(capacity: usize) -> Dedupe {
        let capacity = capacity.min(OUT_OF_ORDER as usize - 1);
        Dedupe {
            capacity,
            wanted: capacity,
            ring: Vec::new(),
            oldest: 0,
            count: 0,
            chains: Vec::new(),
            late: HashTable::new(),
            index: None,
            visits: 0,
            patience: PATIENCE,
            unused: 0,
            unsaved: BTreeSet::new(),
            last_unsaved: usize::MAX,
            pending: BTreeSet::new(),
            copied: Vec::new(),
        }
    }

    /// Makes room for the points of so many slots, unless nothing is remembered at all.
    pub fn room_for(&mut self, slots: usize) {
        let wanted = slots.saturating_mul(POINTS_A_SLOT).min(OUT_OF_ORDER as usize - 1);
        if self.capacity > 0 && wanted > self.wanted {
            self.wanted = wanted;
            if self.oldest == 0 {
                self.capacity = wanted;
            }
        }
    }

    /// How many points it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The place of the newest entry of a slot, if it has not left.
    #[inline]
    fn newest(&self, slot: u32) -> Option<usize> {
        let newest = self.chains.get(slot as usize)?.newest;
        let age = self.count - newest;
        if newest == 0 || age >= self.ring.len() as u64 {
            return None;
        }
        // The newest entry of all stands before the oldest one, or at the end.
        let last = self.oldest.checked_sub(1).unwrap_or(self.ring.len() - 1);
        let age = age as usize;
        Some(if last >= age { last - age } else { last + self.ring.len() - age })
    }

    /// The place of the entry before the one at `place` in its chain, if it has not left.
    #[inline]
    fn before(&self, place: usize) -> Option<usize> {
        let distance = self.ring[place].distance();
        // Entries that stand before it in the order of their coming.
        let elder = if place >= self.oldest { place - self.oldest } else { place + self.ring.len() - self.oldest };
        if distance == 0 || distance > elder {
            return None;
        }
        Some(if place >= distance { place - distance } else { place + self.ring.len() - distance })
    }

    /// Looks a point up.
    pub fn look_up(&mut self, SlotId(slot): SlotId, at: i64, value: u64) -> Seen {
        let found = match self.chains.get(slot as usize) {
            None => return Seen::New,
            Some(chain) if at > chain.latest => return Seen::New,
            Some(chain) if at < chain.floor => self.find_in(&self.late, slot, at),
            Some(_) if self.index.is_some() => self.find(slot, at),
            Some(_) => self.follow(slot, at).unwrap_or_else(|()| self.find(slot, at)),
        };
        match found {
            None if self.is_too_old(slot, at) => Seen::TooOld,
            None => Seen::New,
            Some(place) if self.ring[place].value == value => Seen::Duplicate,
            Some(_) => Seen::Conflict,
        }
    }

    /// True if an entry of the slot's for that time, which is not there, may have left.
    ///
    /// One that came late left before any entry that was in order when it came did, if that was later and is still there.
    fn is_too_old(&self, slot: u32, at: i64) -> bool {
        let Some(chain) = self.chains.get(slot as usize).filter(|chain| chain.newest > 0) else { return false };
        let has_lost = self.count - chain.first >= self.ring.len() as u64;
        has_lost && (at < chain.floor || self.newest(slot).is_none())
    }

    /// Follows the chain of a slot to the entry of a time. An error if that takes too long.
    fn follow(&mut self, slot: u32, at: i64) -> Result<Option<usize>, ()> {
        let mut next = self.newest(slot);
        // What comes in order from now on is later than all that have been.
        let mut floor = self.chains[slot as usize].latest.saturating_add(1);
        for visited in 1..=CHAIN_MAX {
            let Some(place) = next else {
                self.chains[slot as usize].floor = floor;
                return Ok(None);
            };
            let entry = &self.ring[place];
            if entry.at == at {
                return Ok(Some(place));
            }
            if entry.is_in_order() {
                if entry.at < at {
                    return Ok(None);
                }
                floor = entry.at;
            }
            self.visits += 1;
            if visited == CHAIN_MAX || self.visits > self.ring.len() as u64 + self.patience {
                break;
            }
            next = self.before(place);
        }
        Err(())
    }

    /// Asks an index.
    fn find_in(&self, index: &HashTable<u32>, slot: u32, at: i64) -> Option<usize> {
        let is_it = |place: &u32| self.ring[*place as usize].slot == slot && self.ring[*place as usize].at == at;
        index.find(hash(slot, at), is_it).map(|place| *place as usize)
    }

    /// Asks the index of all, which is made if need be.
    fn find(&mut self, slot: u32, at: i64) -> Option<usize> {
        self.unused = 0;
        let Dedupe { ring, index, chains, .. } = self;
        let index = index.take().unwrap_or_else(|| {
            // From now on the floors are kept as entries leave.
            chains.iter_mut().for_each(|chain| chain.floor = chain.latest.saturating_add(1));
            for entry in ring.iter().filter(|entry| entry.is_in_order()) {
                if let Some(chain) = chains.get_mut(entry.slot as usize) {
                    chain.floor = chain.floor.min(entry.at);
                }
            }
            let hash_of = |place: &u32| hash_of(ring, *place);
            let mut index = HashTable::with_capacity(ring.len());
            (0..ring.len() as u32).for_each(|place| {
                index.insert_unique(hash_of(&place), place, hash_of);
            });
            index
        });
        let found = self.find_in(&index, slot, at);
        self.index = Some(index);
        found
    }

    /// Remembers a point that was counted. The point must not be in the memory already.
    #[inline]
    pub fn remember(&mut self, SlotId(slot): SlotId, at: i64, value: u64) {
        if self.capacity == 0 {
            return;
        }
        let held = self.ring.len();
        let is_full = held == self.capacity;
        let place = if is_full { self.oldest } else { held };
        if self.last_unsaved != place / CHUNK {
            self.begin_chunk(place / CHUNK);
        }
        self.visits = self.visits.saturating_sub(VISITS);
        if self.index.is_some() {
            self.leave_index(place);
        }
        if is_full && !self.ring[place].is_in_order() {
            let old = hash_of(&self.ring, place as u32);
            forget(&mut self.late, old, place);
        }
        self.count += 1;
        let count = self.count;
        let chain = match self.chains.get_mut(slot as usize) {
            Some(chain) => chain,
            None => self.begin_chain(slot),
        };
        if chain.newest == 0 {
            (chain.floor, chain.first) = (at, count);
        }
        // One that is further back has left.
        let distance = match count - chain.newest {
            distance if chain.newest > 0 && distance <= held as u64 => distance as u32,
            _ => 0,
        };
        let link = distance | if at > chain.latest { 0 } else { OUT_OF_ORDER };
        (chain.newest, chain.latest) = (count, chain.latest.max(at));
        let entry = DedupeEntry { slot, link, at, value };
        match self.ring.get_mut(place) {
            Some(oldest) => {
                *oldest = entry;
                self.oldest = if place + 1 == self.capacity { 0 } else { place + 1 };
                if self.oldest == 0 {
                    self.capacity = self.wanted;
                }
            }
            None => self.ring.push(entry),
        }
        if self.index.is_some() || link & OUT_OF_ORDER != 0 {
            self.enter_indexes(place, link & OUT_OF_ORDER != 0);
        }
    }

    /// Forgets the chain of a slot whose number will be another's. What is left of it in the ring is too old to be asked for.
    pub fn forget_slot(&mut self, SlotId(slot): SlotId) {
        if let Some(chain) = self.chains.get_mut(slot as usize) {
            *chain = NO_CHAIN;
        }
    }

    /// A slot that has no chain yet gets one.
    #[cold]
    fn begin_chain(&mut self, slot: u32) -> &mut Chain {
        self.chains.resize(slot as usize + 1, NO_CHAIN);
        &mut self.chains[slot as usize]
    }

    /// A chunk is about to change.
    #[cold]
    fn begin_chunk(&mut self, chunk: usize) {
        self.last_unsaved = chunk;
        self.copy(chunk);
        self.unsaved.insert(chunk);
    }

    /// Puts the entry of a place into the indexes.
    #[cold]
    fn enter_indexes(&mut self, place: usize, is_late: bool) {
        let Dedupe { ring, index, late, .. } = self;
        let hash_of = |place: &u32| hash_of(ring, *place);
        let place = place as u32;
        for index in index.iter_mut().chain(is_late.then_some(late)) {
            index.insert_unique(hash_of(&place), place, hash_of);
        }
    }

    /// Takes the entry that is about to leave its place out of the index, or gives the index up.
    #[cold]
    fn leave_index(&mut self, place: usize) {
        self.unused += 1;
        if self.unused > self.capacity {
            self.index = None;
            return;
        }
        if let (Some(index), Some(old)) = (&mut self.index, self.ring.get(place)) {
            forget(index, hash(old.slot, old.at), place);
            if old.is_in_order()
                && let Some(chain) = self.chains.get_mut(old.slot as usize)
            {
                chain.floor = chain.floor.max(old.at.saturating_add(1));
            }
        }
    }

    /// Begins to copy what has changed since the last copy. Returns where the oldest entry is. What is remembered
    /// meanwhile does not show.
    pub fn begin_copy(&mut self) -> u64 {
        self.pending = std::mem::take(&mut self.unsaved);
        self.last_unsaved = usize::MAX;
        self.oldest as u64
    }

    /// Goes on with a copy. Returns `count` chunks, and those that had to be copied meanwhile; true with the last ones.
    pub fn copy_slice(&mut self, count: usize) -> (Vec<(u64, Vec<u8>)>, bool) {
        for _ in 0..count {
            let Some(chunk) = self.pending.first().copied() else { break };
            self.copy(chunk);
        }
        (std::mem::take(&mut self.copied), self.pending.is_empty())
    }

    /// Copies a chunk, if it is to be copied.
    fn copy(&mut self, chunk: usize) {
        if !self.pending.remove(&chunk) {
            return;
        }
        let mut bytes = Vec::with_capacity(CHUNK * ENTRY_BYTES);
        for entry in self.ring.iter().skip(chunk * CHUNK).take(CHUNK) {
            bytes.extend_from_slice(&entry.slot.to_le_bytes());
            bytes.extend_from_slice(&entry.at.to_le_bytes());
            bytes.extend_from_slice(&entry.value.to_le_bytes());
        }
        self.copied.push((chunk as u64, bytes));
    }

    /// Marks everything as changed: what was copied was not saved.
    pub fn mark_unsaved(&mut self) {
        self.unsaved.extend(0..self.ring.len().div_ceil(CHUNK));
    }

    /// Puts back what was stored, the chunks in order, into a memory that has held nothing. One of another capacity starts anew
    /// with the newest points that fit, in the order in which they were counted.
    pub fn restore(&mut self, stored: &StoredDedupe) {
        let chunks = stored.chunks.len();
        let full = self.capacity;
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
            if matches!(self.look_up(SlotId(slot), at, value), Seen::New | Seen::TooOld) {
                self.remember(SlotId(slot), at, value);
            }
        }
        if self.ring.len() >= full {
            // Others have left before.
            self.chains.iter_mut().for_each(|chain| chain.first = 0);
        }
        // What stands in stored chunks behind the ring is not of this memory.
        self.unsaved.extend(self.ring.len().div_ceil(CHUNK)..chunks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_point_is_forgotten_first() {
        let mut memory = Dedupe::new(3);
        for at in 0..3 {
            memory.remember(SlotId(7), at, 100);
        }
        assert_eq!(memory.look_up(SlotId(7), 0, 100), Seen::Duplicate);
        assert_eq!(memory.look_up(SlotId(7), 0, 101), Seen::Conflict);
        assert_eq!(memory.look_up(SlotId(8), 0, 100), Seen::New);
        memory.remember(SlotId(7), 3, 100);
        assert_eq!(memory.look_up(SlotId(7), 0, 100), Seen::TooOld);
        for at in 4..5000 {
            memory.remember(SlotId(7), at, 100);
            assert_eq!(memory.ring.len(), 3);
            for known in at - 2..=at {
                assert_eq!(memory.look_up(SlotId(7), known, 100), Seen::Duplicate);
            }
        }
    }

    /// Against a list that is searched from end to end: points of few and many slots, in order and out of it.
    #[test]
    fn chains_and_index_agree_with_a_plain_list() {
        let mut state = 88172645463325252_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for round in 0..40 {
            let (capacity, slots) = (1 + random(400) as usize, 1 + random(if round % 2 == 0 { 3 } else { 200 }));
            let (mut memory, mut list) = (Dedupe::new(capacity), std::collections::VecDeque::new());
            let (mut ever, mut left) = (std::collections::HashSet::new(), std::collections::HashSet::new());
            let (mut made_index, mut too_old) = (false, 0);
            memory.patience = capacity as u64;
            for at in 0..4000 {
                let (slot, value) = (random(slots) as u32, random(3));
                let at = if random(3) == 0 { at - random(600) as i64 } else { at };
                let known = list.iter().find(|(s, t, _)| (*s, *t) == (slot, at));
                let expected = match known {
                    None => Seen::New,
                    Some((_, _, known)) if *known == value => Seen::Duplicate,
                    Some(_) => Seen::Conflict,
                };
                // Phases without a look-up let the index go.
                if at % 2000 < 1200 || expected != Seen::New {
                    let seen = memory.look_up(SlotId(slot), at, value);
                    if seen == Seen::TooOld {
                        too_old += 1;
                        assert!(expected == Seen::New && left.contains(&slot), "round {round}, time {at}");
                    } else {
                        assert_eq!(seen, expected, "round {round}, time {at}");
                        // What is called new has never been counted.
                        assert!(seen != Seen::New || !ever.contains(&(slot, at)), "round {round}, time {at}");
                    }
                }
                made_index |= memory.index.is_some();
                if expected == Seen::New {
                    memory.remember(SlotId(slot), at, value);
                    list.push_back((slot, at, value));
                    ever.insert((slot, at));
                    left.extend(list.drain(..list.len().saturating_sub(capacity)).map(|(slot, ..)| slot));
                }
            }
            let late = memory.ring.iter().filter(|entry| !entry.is_in_order()).count();
            assert_eq!(memory.late.len(), late, "what has left is not in the index of what came late");
            assert!(made_index || slots > 3 || capacity < 100, "{capacity} {slots}");
            assert!(too_old > 0, "{capacity} {slots}");
        }
    }

    #[test]
    fn what_is_stored_comes_back_in_order() {
        let mut memory = Dedupe::new(700);
        let mut stored: std::collections::BTreeMap<u64, Vec<u8>> = std::collections::BTreeMap::new();
        let mut oldest = 0;
        for at in 0..2000 {
            memory.remember(SlotId(3), at, 7);
            if at % 150 == 0 || at == 1999 {
                oldest = memory.begin_copy();
                stored.extend(memory.copy_slice(usize::MAX).0);
            }
        }
        memory.begin_copy();
        assert_eq!(memory.copy_slice(1), (Vec::new(), true));
        let all = StoredDedupe { oldest, chunks: stored.into_iter().collect() };
        for capacity in [700, 300, 5000] {
            let mut other = Dedupe::new(capacity);
            other.restore(&all);
            let kept = capacity.min(700) as i64;
            for at in 0..2000 {
                // A memory that is not full has forgotten nothing that it knows of.
                let unknown = if capacity > 700 { Seen::New } else { Seen::TooOld };
                let known = if at >= 2000 - kept { Seen::Duplicate } else { unknown };
                assert_eq!(other.look_up(SlotId(3), at, 7), known, "{at} of {capacity}");
            }
            other.remember(SlotId(3), 5000, 7);
            let first = if capacity > 700 { Seen::Duplicate } else { Seen::TooOld };
            assert_eq!(other.look_up(SlotId(3), 2000 - kept, 7), first, "the oldest leaves first");
        }
    }

    #[test]
    fn what_a_larger_memory_has_stored_does_not_come_back() {
        let mut memory = Dedupe::new(2000);
        (0..2000).for_each(|at| memory.remember(SlotId(3), at, 7));
        let oldest = memory.begin_copy();
        let mut stored: std::collections::BTreeMap<u64, Vec<u8>> =
            memory.copy_slice(usize::MAX).0.into_iter().collect();
        let restored = |oldest, stored: &std::collections::BTreeMap<u64, Vec<u8>>| {
            let mut memory = Dedupe::new(300);
            memory.restore(&StoredDedupe { oldest, chunks: stored.clone().into_iter().collect() });
            memory
        };
        let mut smaller = restored(oldest, &stored);
        (2000..2010).for_each(|at| smaller.remember(SlotId(3), at, 7));
        let oldest = smaller.begin_copy();
        stored.extend(smaller.copy_slice(usize::MAX).0);
        let mut again = restored(oldest, &stored);
        for at in 1710..2010 {
            assert_eq!(again.look_up(SlotId(3), at, 7), Seen::Duplicate, "{at}");
        }
        assert_eq!(again.look_up(SlotId(3), 1709, 7), Seen::TooOld);
    }

    /// A ring that has begun anew grows when it comes to its end: no entry moves, and none is forgotten for it.
    #[test]
    fn the_memory_grows_with_the_slots() {
        let mut memory = Dedupe::new(100);
        let mut at = 0;
        let mut poll = |memory: &mut Dedupe, slots: u32| {
            at += 1;
            (0..slots).for_each(|slot| memory.remember(SlotId(slot), at, 7));
            at
        };
        (0..15).for_each(|_| assert!(poll(&mut memory, 10) > 0));
        assert_eq!((memory.ring.len(), memory.capacity), (100, 100));
        memory.room_for(50);
        memory.begin_copy();
        let mut stored: std::collections::BTreeMap<u64, Vec<u8>> =
            memory.copy_slice(usize::MAX).0.into_iter().collect();
        let last = (0..40).map(|_| poll(&mut memory, 50)).last().expect("polls");
        assert_eq!((memory.ring.len(), memory.capacity), (800, 800));
        let oldest = memory.begin_copy();
        stored.extend(memory.copy_slice(usize::MAX).0);
        let mut other = Dedupe::new(100);
        other.room_for(50);
        other.restore(&StoredDedupe { oldest, chunks: stored.into_iter().collect() });
        for memory in [&mut memory, &mut other] {
            for slot in (0..50).map(SlotId) {
                for at in last - 15..=last {
                    assert_eq!(memory.look_up(slot, at, 7), Seen::Duplicate, "{slot:?} {at}");
                }
                assert_eq!(memory.look_up(slot, last - 16, 7), Seen::TooOld, "{slot:?}");
            }
        }
        memory.room_for(20);
        assert_eq!(memory.capacity, 800, "what it has had room for stays");
        assert_eq!((BYTES_A_POINT, size_of::<Chain>()), (24, 32), "what the documents say");
    }

    #[test]
    fn no_capacity_remembers_nothing() {
        let mut memory = Dedupe::new(0);
        memory.room_for(100);
        memory.remember(SlotId(1), 1, 1);
        assert_eq!(memory.look_up(SlotId(1), 1, 1), Seen::New);
    }
}
