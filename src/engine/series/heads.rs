//! The cache of heads: from the bytes before the fields of a line to its series.
//!
//! A head is recognized by comparison alone. Each head remembers its last two successors, because an agent sends its series
//! in the same order poll after poll: most lines cost one comparison and no hash. Heads and their bytes lie in memory in the
//! order in which they were seen first, so that a stream of very many of them reads memory from front to back.
//!
//! Invariants: at most so many heads are cached that feed something, and as many that feed nothing; a cached head has the
//! plain form of [`crate::engine::scan::plain_head_end`], so the comparison of its bytes and of the blank behind them is
//! sufficient.

use crate::engine::ids::{SeriesId, UNMATCHED};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// No head.
pub const NO_HEAD: u32 = u32::MAX;
/// Bytes of cached heads that feed nothing.
const IDLE_BYTES_MAX: usize = 32 << 20;
/// A longer head that feeds nothing is not cached.
const IDLE_HEAD_BYTES_MAX: usize = 4096;
/// Bytes of a chunk; a longer head has one of its own.
const CHUNK_BYTES: usize = 256 << 10;

struct Cached {
    /// Where its bytes are: the chunk, and where they begin in it.
    chunk: u32,
    at: u32,
    length: u32,
    hash: u32,
    series: SeriesId,
    /// The heads that followed this one, the latest first.
    successors: [u32; 2],
}

/// Bytes of heads. Those of heads that feed nothing are apart from the others: they leave in the order in which they came, so
/// whole chunks become free.
#[derive(Default)]
struct Chunks {
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    /// The chunks that grow: of heads that feed something, and of the others.
    growing: [Option<u32>; 2],
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    heads: u32,
}

impl Chunks {
    #[inline]
    fn get(&self, head: &Cached) -> &[u8] {
        &self.chunks[head.chunk as usize].bytes[head.at as usize..(head.at + head.length) as usize]
    }

    /// Keeps the bytes of a head: chunk and offset.
    fn add(&mut self, head: &[u8], is_idle: bool) -> (u32, u32) {
        let growing = &mut self.growing[usize::from(is_idle)];
        let fits = |chunk: &Chunk| chunk.bytes.len() + head.len() <= chunk.bytes.capacity();
        let place = match growing.filter(|place| fits(&self.chunks[*place as usize])) {
            Some(place) => place,
            None => {
                // All that were in the last one may have left before it was full.
                let last = growing.take();
                last.into_iter().for_each(|last| Self::release(&mut self.chunks, &mut self.free, last));
                let free = if head.len() <= CHUNK_BYTES { self.free.pop() } else { None };
                let place = free.unwrap_or_else(|| {
                    self.chunks.push(Chunk::default());
                    (self.chunks.len() - 1) as u32
                });
                self.chunks[place as usize].bytes.reserve_exact(head.len().max(CHUNK_BYTES));
                *growing = Some(place);
                place
            }
        };
        let chunk = &mut self.chunks[place as usize];
        let at = chunk.bytes.len() as u32;
        chunk.bytes.extend_from_slice(head);
        chunk.heads += 1;
        (place, at)
    }

    /// Lets go of the bytes of a head.
    fn remove(&mut self, head: &Cached) {
        self.chunks[head.chunk as usize].heads -= 1;
        if !self.growing.contains(&Some(head.chunk)) {
            Self::release(&mut self.chunks, &mut self.free, head.chunk);
        }
    }

    /// Makes a chunk that does not grow free if no head is in it any more.
    fn release(chunks: &mut [Chunk], free: &mut Vec<u32>, place: u32) {
        let chunk = &mut chunks[place as usize];
        if chunk.heads == 0 {
            chunk.bytes.clear();
            free.push(place);
        }
    }
}

/// A hash of 64 bits from one of 32, which is kept so that a table that grows need not read the heads: the lower half is the
/// hash itself, and the upper bits, by which the table compares first, depend on all of it.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash) | u64::from(hash.wrapping_mul(0x9e37_79b9)) << 32
}

/// The cache.
pub struct Heads {
    heads: Vec<Cached>,
    bytes: Chunks,
    by_bytes: HashTable<u32>,
    hasher: FixedState,
    last: u32,
    /// The head of the line that was found last, or [`NO_HEAD`].
    hit: u32,
    heads_max: usize,
    /// Heads that feed nothing, the oldest first, and their bytes.
    idle: VecDeque<u32>,
    idle_bytes: usize,
}

impl Heads {
    /// An empty cache for at most `heads_max` heads of each kind.
    pub fn new(heads_max: usize) -> Heads {
        Heads {
            heads: Vec::new(),
            bytes: Chunks::default(),
            by_bytes: HashTable::new(),
            hasher: FixedState::default(),
            last: NO_HEAD,
            hit: NO_HEAD,
            heads_max: heads_max.min(NO_HEAD as usize / 2 - 1),
            idle: VecDeque::new(),
            idle_bytes: 0,
        }
    }

    /// Series and length of the line's head, if it is one that has followed the last one before.
    #[inline]
    pub fn predicted(&mut self, line: &[u8]) -> Option<(SeriesId, usize)> {
        let [first, second] = self.heads.get(self.last as usize)?.successors;
        if let Some(found) = self.is_it(line, first) {
            (self.last, self.hit) = (first, first);
            return Some(found);
        }
        let found = self.is_it(line, second)?;
        // What comes next is read ahead along the first ones.
        self.follow(second);
        self.hit = second;
        Some(found)
    }

    /// Series and length of a head, if the line has it.
    #[inline]
    fn is_it(&self, line: &[u8], candidate: u32) -> Option<(SeriesId, usize)> {
        let head = self.heads.get(candidate as usize)?;
        let length = head.length as usize;
        let is_it = line.len() > length && line[length] == b' ' && line[..length] == *self.bytes.get(head);
        is_it.then_some((head.series, length))
    }

    /// The series of a head in plain form, if it is cached, or the hash to add it with.
    pub fn look_up(&mut self, head: &[u8]) -> Result<SeriesId, u64> {
        let hash = spread(self.hasher.hash_one(head) as u32);
        match self.by_bytes.find(hash, |&i| *self.bytes.get(&self.heads[i as usize]) == *head) {
            Some(&index) => {
                self.follow(index);
                self.hit = index;
                Ok(self.heads[index as usize].series)
            }
            None => Err(hash),
        }
    }

    /// Lists the series of the heads that are expected next, those that feed something. Gives how many they are, and a number
    /// without a meaning: what the heads need is read for it.
    pub fn expected(&self, into: &mut [SeriesId]) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        let mut next = self.heads.get(self.last as usize);
        for _ in 0..into.len() {
            next = next.and_then(|head| self.heads.get(head.successors[0] as usize));
            let Some(head) = next else { break };
            // Their bytes lie one behind the other, which the processor notices by itself.
            sum += u64::from(head.length);
            if head.series != UNMATCHED {
                into[count] = head.series;
                count += 1;
            }
        }
        (count, sum)
    }

    /// Notes that the line in hand has a head that is not cached.
    pub fn missed(&mut self) {
        self.hit = NO_HEAD;
    }

    /// Remembers that `index` came after the last head.
    fn follow(&mut self, index: u32) {
        if let Some(last) = self.heads.get_mut(self.last as usize)
            && last.successors[0] != index
        {
            last.successors = [index, last.successors[0]];
        }
        self.last = index;
    }

    /// Adds a head in plain form, with the hash that a look-up has given, if there is a place for it.
    pub fn add(&mut self, head: &[u8], hash: u64, series: SeriesId) {
        let Ok(length) = u32::try_from(head.len()) else { return };
        let Some(index) = self.place_for(series, head.len()) else { return };
        let (chunk, at) = self.bytes.add(head, series == UNMATCHED);
        self.heads[index as usize] = Cached { chunk, at, length, hash: hash as u32, series, successors: [NO_HEAD; 2] };
        let heads = &self.heads;
        self.by_bytes.insert_unique(hash, index, |&i| spread(heads[i as usize].hash));
        self.follow(index);
        self.hit = index;
    }

    /// A place in the cache for a head of this length; `None` if there is none. What feeds nothing gives way to what comes
    /// after it, and never takes the place of what does.
    fn place_for(&mut self, series: SeriesId, length: usize) -> Option<u32> {
        if series != UNMATCHED {
            if self.heads.len() - self.idle.len() >= self.heads_max {
                return None;
            }
        } else if length > IDLE_HEAD_BYTES_MAX {
            return None;
        } else if self.idle.len() >= self.heads_max || self.idle_bytes + length > IDLE_BYTES_MAX {
            let index = self.idle.pop_front()?;
            let old = &self.heads[index as usize];
            self.idle_bytes = self.idle_bytes - old.length as usize + length;
            if let Ok(found) = self.by_bytes.find_entry(spread(old.hash), |&i| i == index) {
                found.remove();
            }
            self.bytes.remove(old);
            self.idle.push_back(index);
            return Some(index);
        }
        let index = self.heads.len() as u32;
        self.heads.push(Cached { chunk: 0, at: 0, length: 0, hash: 0, series, successors: [NO_HEAD; 2] });
        if series == UNMATCHED {
            self.idle.push_back(index);
            self.idle_bytes += length;
        }
        Some(index)
    }

    /// Number and length of the head of the line that was found last; [`NO_HEAD`] if it is not cached.
    pub fn hit(&self) -> (u32, usize) {
        (self.hit, self.heads.get(self.hit as usize).map_or(0, |head| head.length as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_a_single_head_become_free() {
        let mut heads = Heads::new(1);
        for i in 0..2_000 {
            let name = format!("{}{i}", "x".repeat(4_000));
            let hash = heads.look_up(name.as_bytes()).expect_err("new");
            heads.add(name.as_bytes(), hash, UNMATCHED);
            assert_eq!(heads.look_up(name.as_bytes()), Ok(UNMATCHED));
        }
        assert_eq!(heads.bytes.chunks.len(), 1);
    }

    #[test]
    fn heads_that_feed_nothing_come_and_go_and_the_others_stay() {
        let mut heads = Heads::new(100);
        let name = |i: u32| format!("{}{i}", "x".repeat(1 + i as usize % 4000));
        let add = |heads: &mut Heads, i: u32, series| {
            if let Err(hash) = heads.look_up(name(i).as_bytes()) {
                heads.add(name(i).as_bytes(), hash, series);
            }
        };
        (0..50).for_each(|i| add(&mut heads, i, i));
        (50..20_000).for_each(|i| add(&mut heads, i, UNMATCHED));
        // A hundred heads of at most 4 KB, and of each kind a chunk that grows.
        assert!(heads.bytes.chunks.len() <= 5, "{} chunks", heads.bytes.chunks.len());
        // One that is longer than a chunk, among others.
        let long = "y".repeat(CHUNK_BYTES + 1);
        let hash = heads.look_up(long.as_bytes()).expect_err("new");
        heads.add(long.as_bytes(), hash, 77);
        add(&mut heads, 20_000, 78);
        assert_eq!(heads.look_up(long.as_bytes()), Ok(77));
        assert_eq!(heads.look_up(name(20_000).as_bytes()), Ok(78));
        (0..50).for_each(|i| assert_eq!(heads.look_up(name(i).as_bytes()), Ok(i)));
        (19_900..20_000).for_each(|i| assert_eq!(heads.look_up(name(i).as_bytes()), Ok(UNMATCHED), "{i}"));
        assert!(heads.look_up(name(19_899).as_bytes()).is_err());
        // One that has followed another is expected there.
        heads.look_up(name(3).as_bytes()).expect("cached");
        heads.look_up(name(7).as_bytes()).expect("cached");
        heads.look_up(name(3).as_bytes()).expect("cached");
        let line = format!("{} f=1", name(7));
        assert_eq!(heads.predicted(line.as_bytes()), Some((7, name(7).len())));
        assert_eq!(heads.predicted(line.as_bytes()), None);
    }
}
