//! The cache of heads: from the bytes before the fields of a line to its series.
//!
//! A head is recognized by comparison alone. Each head remembers its last two successors, because an agent sends its series
//! in the same order poll after poll: most lines cost one comparison and no hash. Heads and their bytes lie in memory in the
//! order in which they were seen first, so that a stream of very many of them reads memory from front to back.
//!
//! Invariants: at most so many heads are cached that feed something, and as many that feed nothing; a cached head has the
//! plain form of [`crate::engine::line::head::plain_head_end`], so the comparison of its bytes and of the blank behind
//! them is sufficient.

use crate::engine::ids::{HeadNumber, NO_HEAD, SeriesIndex, UNMATCHED};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// Bytes of cached heads that feed nothing.
const IDLE_BYTES_MAX: usize = 32 << 20;
/// A longer head that feeds nothing is not cached.
const IDLE_HEAD_BYTES_MAX: usize = 4096;
/// Bytes of a chunk; a longer head has one of its own.
const CHUNK_BYTES: usize = 256 << 10;
/// A chunk is sparse when less than this part of it is in use.
const SPARSE_PART: usize = 4;

struct Cached {
    /// Where its bytes are: the chunk, and where they begin in it.
    chunk: u32,
    at: u32,
    length: u32,
    hash: u32,
    series: SeriesIndex,
    /// The heads that followed this one, the latest first.
    successors: [HeadNumber; 2],
    /// Another head of the same series.
    next: HeadNumber,
}

/// The length of a head that has been removed: no line is longer.
const REMOVED: u32 = u32::MAX;

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
    /// Bytes of the heads that are left.
    live: u32,
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
        chunk.live += head.len() as u32;
        (place, at)
    }

    /// Lets go of the bytes of a head.
    fn remove(&mut self, head: &Cached) {
        let chunk = &mut self.chunks[head.chunk as usize];
        chunk.heads -= 1;
        chunk.live -= head.length;
        if !self.growing.contains(&Some(head.chunk)) {
            Self::release(&mut self.chunks, &mut self.free, head.chunk);
        }
    }

    /// True if little is left in the chunk of a head, which does not grow any more.
    fn is_sparse(&self, head: &Cached) -> bool {
        let chunk = &self.chunks[head.chunk as usize];
        !self.growing.contains(&Some(head.chunk)) && (chunk.live as usize) < chunk.bytes.capacity() / SPARSE_PART
    }

    /// Makes a chunk that does not grow free if no head is in it any more.
    fn release(chunks: &mut [Chunk], free: &mut Vec<u32>, place: u32) {
        let chunk = &mut chunks[place as usize];
        if chunk.heads == 0 {
            chunk.bytes.clear();
            chunk.live = 0;
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
    by_bytes: HashTable<HeadNumber>,
    hasher: FixedState,
    last: HeadNumber,
    /// The head of the line that was found last, or [`NO_HEAD`].
    hit: HeadNumber,
    heads_max: usize,
    /// Places of heads that have been removed.
    free: Vec<HeadNumber>,
    /// Heads that feed nothing, the oldest first, and their bytes.
    idle: VecDeque<HeadNumber>,
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
            heads_max: heads_max.min(NO_HEAD.at() / 2 - 1),
            free: Vec::new(),
            idle: VecDeque::new(),
            idle_bytes: 0,
        }
    }

    /// Series and length of the line's head, if it is one that has followed the last one before.
    #[inline]
    pub fn predicted(&mut self, line: &[u8]) -> Option<(SeriesIndex, usize)> {
        let [first, second] = self.heads.get(self.last.at())?.successors;
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
    fn is_it(&self, line: &[u8], candidate: HeadNumber) -> Option<(SeriesIndex, usize)> {
        let head = self.heads.get(candidate.at())?;
        let length = head.length as usize;
        let is_it = line.len() > length && line[length] == b' ' && line[..length] == *self.bytes.get(head);
        is_it.then_some((head.series, length))
    }

    /// The series of a head in plain form, if it is cached, or the hash to add it with.
    pub fn look_up(&mut self, head: &[u8]) -> Result<SeriesIndex, u64> {
        let hash = spread(self.hasher.hash_one(head) as u32);
        match self.by_bytes.find(hash, |&i| *self.bytes.get(&self.heads[i.at()]) == *head) {
            Some(&index) => {
                self.follow(index);
                self.hit = index;
                Ok(self.heads[index.at()].series)
            }
            None => Err(hash),
        }
    }

    /// Lists the series of the heads that are expected next, those that feed something. Returns how many they are, and
    /// a number without a meaning: the heads are read for it.
    pub fn expected(&self, into: &mut [SeriesIndex]) -> (usize, u64) {
        let (mut count, mut sum) = (0, 0);
        let mut next = self.heads.get(self.last.at());
        for _ in 0..into.len() {
            next = next.and_then(|head| self.heads.get(head.successors[0].at()));
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
    fn follow(&mut self, index: HeadNumber) {
        if let Some(last) = self.heads.get_mut(self.last.at())
            && last.successors[0] != index
        {
            last.successors = [index, last.successors[0]];
        }
        self.last = index;
    }

    /// Adds a head in plain form, with the hash that a look-up has given, if there is a place for it. `next` is another head of
    /// the same series. Returns its number.
    pub fn add(&mut self, head: &[u8], hash: u64, series: SeriesIndex, next: HeadNumber) -> Option<HeadNumber> {
        let length = u32::try_from(head.len()).ok().filter(|length| *length != REMOVED)?;
        let index = self.place_for(series, head.len())?;
        let (chunk, at) = self.bytes.add(head, series == UNMATCHED);
        self.heads[index.at()] =
            Cached { chunk, at, length, hash: hash as u32, series, successors: [NO_HEAD; 2], next };
        let heads = &self.heads;
        self.by_bytes.insert_unique(hash, index, |&i| spread(heads[i.at()].hash));
        self.follow(index);
        self.hit = index;
        Some(index)
    }

    /// Removes a head of a series that is gone, and those behind it. Their numbers will mean other heads.
    pub fn remove(&mut self, first: HeadNumber) {
        let mut number = first;
        while let Some(head) = self.heads.get_mut(number.at()) {
            let removed = std::mem::replace(
                head,
                Cached {
                    chunk: 0,
                    at: 0,
                    length: REMOVED,
                    hash: 0,
                    series: UNMATCHED,
                    successors: [NO_HEAD; 2],
                    next: NO_HEAD,
                },
            );
            if let Ok(found) = self.by_bytes.find_entry(spread(removed.hash), |&i| i == number) {
                found.remove();
            }
            self.bytes.remove(&removed);
            self.free.push(number);
            for known in [&mut self.last, &mut self.hit] {
                if *known == number {
                    *known = NO_HEAD;
                }
            }
            number = removed.next;
        }
    }

    /// Moves the bytes of heads out of chunks in which little is left, of at most `count` heads from `from` on. Returns where to
    /// go on, or `None` after the last head.
    pub fn compact(&mut self, from: usize, count: usize) -> Option<usize> {
        let until = (from + count).min(self.heads.len());
        for head in &mut self.heads[from.min(until)..until] {
            if head.length == REMOVED || head.series == UNMATCHED || !self.bytes.is_sparse(head) {
                continue;
            }
            let bytes = self.bytes.get(head).to_vec();
            self.bytes.remove(head);
            (head.chunk, head.at) = self.bytes.add(&bytes, false);
        }
        (until < self.heads.len()).then_some(until)
    }

    /// Heads that feed something.
    fn matched(&self) -> usize {
        self.heads.len() - self.idle.len() - self.free.len()
    }

    /// A place in the cache for a head of this length; `None` if there is none. What feeds nothing gives way to what comes
    /// after it, and never takes the place of what does.
    fn place_for(&mut self, series: SeriesIndex, length: usize) -> Option<HeadNumber> {
        if series != UNMATCHED {
            if self.matched() >= self.heads_max {
                return None;
            }
        } else if length > IDLE_HEAD_BYTES_MAX {
            return None;
        } else if self.idle.len() >= self.heads_max || self.idle_bytes + length > IDLE_BYTES_MAX {
            let index = self.idle.pop_front()?;
            let old = &self.heads[index.at()];
            self.idle_bytes = self.idle_bytes - old.length as usize + length;
            if let Ok(found) = self.by_bytes.find_entry(spread(old.hash), |&i| i == index) {
                found.remove();
            }
            self.bytes.remove(old);
            self.idle.push_back(index);
            return Some(index);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            let head = Cached { chunk: 0, at: 0, length: 0, hash: 0, series, successors: [NO_HEAD; 2], next: NO_HEAD };
            self.heads.push(head);
            HeadNumber::of(self.heads.len() - 1)
        });
        if series == UNMATCHED {
            self.idle.push_back(index);
            self.idle_bytes += length;
        }
        Some(index)
    }

    /// Number and length of the head of the line that was found last; [`NO_HEAD`] if it is not cached.
    pub fn hit(&self) -> (HeadNumber, usize) {
        (self.hit, self.heads.get(self.hit.at()).map_or(0, |head| head.length as usize))
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
            heads.add(name.as_bytes(), hash, UNMATCHED, NO_HEAD);
            assert_eq!(heads.look_up(name.as_bytes()), Ok(UNMATCHED));
        }
        assert_eq!(heads.bytes.chunks.len(), 1);
    }

    #[test]
    fn heads_that_feed_nothing_come_and_go_and_the_others_stay() {
        let mut heads = Heads::new(100);
        let name = |i: u32| format!("{}{i}", "x".repeat(1 + i as usize % 4000));
        let add = |heads: &mut Heads, i: u32, series: SeriesIndex| {
            if let Err(hash) = heads.look_up(name(i).as_bytes()) {
                heads.add(name(i).as_bytes(), hash, series, NO_HEAD);
            }
        };
        (0..50).for_each(|i| add(&mut heads, i, SeriesIndex(i)));
        (50..20_000).for_each(|i| add(&mut heads, i, UNMATCHED));
        // A hundred heads of at most 4 KB, and of each kind a chunk that grows.
        assert!(heads.bytes.chunks.len() <= 5, "{} chunks", heads.bytes.chunks.len());
        // One that is longer than a chunk, among others.
        let long = "y".repeat(CHUNK_BYTES + 1);
        let hash = heads.look_up(long.as_bytes()).expect_err("new");
        heads.add(long.as_bytes(), hash, SeriesIndex(77), NO_HEAD);
        add(&mut heads, 20_000, SeriesIndex(78));
        assert_eq!(heads.look_up(long.as_bytes()), Ok(SeriesIndex(77)));
        assert_eq!(heads.look_up(name(20_000).as_bytes()), Ok(SeriesIndex(78)));
        (0..50).for_each(|i| assert_eq!(heads.look_up(name(i).as_bytes()), Ok(SeriesIndex(i))));
        (19_900..20_000).for_each(|i| assert_eq!(heads.look_up(name(i).as_bytes()), Ok(UNMATCHED), "{i}"));
        assert!(heads.look_up(name(19_899).as_bytes()).is_err());
        // One that has followed another is expected there.
        heads.look_up(name(3).as_bytes()).expect("cached");
        heads.look_up(name(7).as_bytes()).expect("cached");
        heads.look_up(name(3).as_bytes()).expect("cached");
        let line = format!("{} f=1", name(7));
        assert_eq!(heads.predicted(line.as_bytes()), Some((SeriesIndex(7), name(7).len())));
        assert_eq!(heads.predicted(line.as_bytes()), None);
    }

    /// Names come and go for a long time, and one in a hundred stays.
    #[test]
    fn heads_that_are_removed_leave_no_trace() {
        let mut heads = Heads::new(5_000);
        let name = |i: u32| format!("container,id={i:08},pad={}", "x".repeat(200));
        let mut live: Vec<(u32, HeadNumber)> = Vec::new();
        for i in 0..100_000_u32 {
            let hash = heads.look_up(name(i).as_bytes()).expect_err("new");
            let number = heads.add(name(i).as_bytes(), hash, SeriesIndex(i), NO_HEAD).expect("room");
            live.push((i, number));
            if live.len() > 2_000 {
                let (gone, staying): (Vec<_>, Vec<_>) = live.drain(..).partition(|(i, _)| i % 100 != 0);
                gone.iter().for_each(|(_, number)| heads.remove(*number));
                gone.iter().for_each(|(i, _)| assert!(heads.look_up(name(*i).as_bytes()).is_err(), "{i}"));
                live = staying;
                let mut from = Some(0);
                while let Some(at) = from {
                    from = heads.compact(at, 100);
                }
            }
        }
        assert!(heads.heads.len() <= 2_001 + 1_000, "{} places", heads.heads.len());
        let bytes: usize = heads.bytes.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum();
        assert!(bytes < 4 << 20, "{bytes} bytes in chunks");
        for (i, _) in live {
            assert_eq!(heads.look_up(name(i).as_bytes()), Ok(SeriesIndex(i)));
            assert_eq!(heads.predicted(format!("{} v=1", name(i)).as_bytes()), None, "nothing has followed it");
        }
    }
}
