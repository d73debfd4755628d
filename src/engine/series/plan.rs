//! Series -> what they feed.
//!
//! The bytes before the first blank that is not escaped (measurement and tags, the *head*) identify a series. The first
//! sight of a head takes the slow path: it is decoded, matched against every source, and compiled: which fields feed which
//! accumulators of which devices. After that [`super::heads`] knows the series by its head. Unmatched heads are cached too,
//! as such: they are most of the stream.
//!
//! Different spellings of one series (tags in another order, other escapes) share the series. Series that feed the same
//! accumulators share the list of them, the [`Shape`]; what differs, devices and pending points, lies in memory in the order
//! in which the series were seen first, which is the order in which they come.
//!
//! Invariants: an identity has one series at most; an id of a series or a slot names one at a time; the slots of a
//! series stand one behind the other, as do its places, and are free when it is removed.

use super::columns::{self, Columns};
use super::compile::Compiled;
use super::feed::{Field, Place, Shape, Slot, Target};
use super::heads::Heads;
use super::sift::Sift;
use super::tally::ColumnTallies;
use crate::engine::counters::Tally;
use crate::engine::ids::{
    DefIndex, DeviceIndex, HeadNumber, NO_HEAD, SeriesId, SeriesIndex, SlotId, SummaryIndex, UNMATCHED,
};
use crate::engine::line::head::{Head, decode_head, plain_head_end};
use crate::engine::line::scan::is_empty_line;
use crate::engine::schema::Schema;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

/// A series that feeds something.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Names the series in stored state.
    pub id: SeriesId,
    shape: u32,
    /// Where its slots begin; as many as the shape has fields.
    slots: u32,
    /// Where its places begin, and how many they are.
    places: u32,
    place_count: u16,
    /// The number of the checkpoint that it was copied for last.
    checkpoint: u32,
    /// One of several summaries had no room for the device.
    pub lacks_room: bool,
    /// Looks since the last line, see [`crate::engine::persist::expire`].
    pub idle: u8,
    /// It is gone, and its place is free.
    pub is_free: bool,
    /// The head that was seen last.
    head: HeadNumber,
}

impl Series {
    fn slots(&self, shape: &Shape) -> Range<usize> {
        self.slots as usize..self.slots as usize + shape.fields.len()
    }

    fn places(&self) -> Range<usize> {
        self.places as usize..self.places as usize + usize::from(self.place_count)
    }
}

/// A field of a series with its state, and the places that its targets mean.
#[derive(Clone, Copy)]
pub struct FieldState<'p> {
    pub field: &'p Field,
    pub slot: &'p Slot,
    pub places: &'p [Place],
}

impl<'p> FieldState<'p> {
    /// What of a device the field feeds.
    pub fn targets_of(self, device: usize) -> impl Iterator<Item = &'p Target> {
        let is_its = move |target: &&Target| self.places[usize::from(target.place)].device.at() == device;
        self.field.targets.iter().filter(is_its)
    }
}

/// The same to be changed: the fields, the slots in the same order, and the places.
pub struct Parts<'p> {
    pub fields: &'p mut [Field],
    pub slots: &'p mut [Slot],
    pub places: &'p [Place],
    pub columns: &'p mut ColumnTallies,
}

/// What happened to a line's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The series, and the offset of the first field.
    Series(SeriesIndex, usize),
    /// A blank line or a comment.
    Empty,
    /// Telegraf's parser would refuse the line.
    Malformed,
    /// The line would feed a device, but a limit on series or devices is reached.
    OverLimit,
    /// A source matches, but no summary finds all its key tags.
    NoKey,
}

/// What tells a shape from others: of each field the key, and of each target place, summary and definitions.
type ShapeKey = Vec<(Arc<[u8]>, Vec<(u16, SummaryIndex, Vec<DefIndex>)>)>;

/// Heads, series, and what they feed.
pub struct Plans {
    heads: Heads,
    sift: Sift,
    /// Series by the bytes that identify their heads.
    by_identity: HashTable<SeriesIndex>,
    /// Of each series.
    identities: Vec<Box<[u8]>>,
    /// Heads that lack a key tag: their lines are counted.
    without_key: HashSet<Box<[u8]>, FixedState>,
    hasher: FixedState,
    series: Vec<Series>,
    /// Places of series that are gone.
    free: FreePlaces,
    shapes: Vec<Shape>,
    columns: Columns,
    by_shape: HashMap<ShapeKey, u32, FixedState>,
    slots: Vec<Slot>,
    places: Vec<Place>,
    /// The highest number that a series has, and the highest that a slot has.
    series_ids: u32,
    slot_ids: u32,
    /// Series that no checkpoint holds yet.
    pub unsaved: Vec<(SeriesId, Head)>,
    /// The series that the last line has added.
    added: Option<SeriesIndex>,
    /// The number of the checkpoint that is being taken, or was taken last.
    checkpoint: u32,
    series_max: usize,
    unmatched: Vec<String>,
}

/// How far ahead what lines will need is read.
pub const EXPECTED: usize = 16;

/// Heads without a key that are remembered; others are looked at every time.
const WITHOUT_KEY_MAX: usize = 10_000;

/// Unmatched heads that are kept to be shown.
const UNMATCHED_SHOWN_MAX: usize = 3;

impl Plans {
    /// No series yet.
    pub fn new(schema: &Schema) -> Plans {
        let series_max = schema.limits.series;
        Plans {
            heads: Heads::new(series_max),
            sift: Sift::new(schema),
            by_identity: HashTable::new(),
            identities: Vec::new(),
            without_key: HashSet::default(),
            hasher: FixedState::default(),
            series: Vec::new(),
            free: FreePlaces::default(),
            shapes: Vec::new(),
            columns: Columns::new(schema),
            by_shape: HashMap::default(),
            slots: Vec::new(),
            places: Vec::new(),
            series_ids: 0,
            slot_ids: 0,
            unsaved: Vec::new(),
            added: None,
            checkpoint: 0,
            series_max: series_max.min(NO_HEAD.at() / 2 - 1),
            unmatched: Vec::new(),
        }
    }

    /// Finds the series of a line. `compile` is called for a head that has not been seen before, and told whether the
    /// limit on series is reached: it must not compile to feeds then.
    #[inline]
    pub fn find(&mut self, line: &[u8], compile: impl FnOnce(&Head, bool) -> Compiled) -> Found {
        match self.heads.predicted(line) {
            Some((series, length)) => Found::Series(series, length + 1),
            None => self.look_up(line, compile),
        }
    }

    fn look_up(&mut self, line: &[u8], compile: impl FnOnce(&Head, bool) -> Compiled) -> Found {
        let Some(length) = plain_head_end(line) else {
            return self.decode(line, None, compile);
        };
        match self.heads.look_up(&line[..length]) {
            Ok(series) => Found::Series(series, length + 1),
            Err(hash) => self.decode(line, Some((length, hash)), compile),
        }
    }

    fn decode(
        &mut self,
        line: &[u8],
        plain: Option<(usize, u64)>,
        compile: impl FnOnce(&Head, bool) -> Compiled,
    ) -> Found {
        self.heads.missed();
        if is_empty_line(line) {
            return Found::Empty;
        }
        match self.sift.feeds_nothing(line) {
            Ok(None) => {}
            Ok(Some(fields_at)) => {
                self.remember(line, plain, UNMATCHED, fields_at);
                return Found::Series(UNMATCHED, fields_at);
            }
            Err(_) => return Found::Malformed,
        }
        let Ok((head, fields_at)) = decode_head(line) else {
            return Found::Malformed;
        };
        let identity = identity(&head);
        if self.without_key.contains(&identity) {
            return Found::NoKey;
        }
        let series = match self.find_identity(&identity) {
            Some(series) => series,
            None => {
                let is_full = self.matched_series() >= self.series_max;
                match compile(&head, is_full) {
                    Compiled::Nothing => UNMATCHED,
                    Compiled::NoKey => {
                        if self.without_key.len() < WITHOUT_KEY_MAX {
                            self.without_key.insert(identity);
                        }
                        return Found::NoKey;
                    }
                    Compiled::OverLimit => return Found::OverLimit,
                    Compiled::Feeds { fields, places, lacks_room } => {
                        let series = self.add(identity, fields, places, lacks_room);
                        self.unsaved.push((self.series[series.at()].id, head));
                        self.added = Some(series);
                        series
                    }
                }
            }
        };
        self.remember(line, plain, series, fields_at);
        Found::Series(series, fields_at)
    }

    /// The series of a line, if its head is known; the head is not remembered.
    pub fn find_known(&mut self, line: &[u8]) -> Option<(SeriesIndex, usize)> {
        if let Some((series, length)) = self.heads.predicted(line) {
            return Some((series, length + 1));
        }
        if let Some(length) = plain_head_end(line)
            && let Ok(series) = self.heads.look_up(&line[..length])
        {
            return Some((series, length + 1));
        }
        let (head, fields_at) = decode_head(line).ok()?;
        Some((self.find_identity(&identity(&head))?, fields_at))
    }

    fn find_identity(&self, identity: &[u8]) -> Option<SeriesIndex> {
        let is_it = |series: &SeriesIndex| *self.identities[series.at()] == *identity;
        self.by_identity.find(self.hasher.hash_one(identity), is_it).copied()
    }

    /// Takes the series that the last line has added, if it has.
    pub fn take_added(&mut self) -> Option<SeriesIndex> {
        self.added.take()
    }

    /// Adds the head of a line to the cache.
    fn remember(&mut self, line: &[u8], plain: Option<(usize, u64)>, series: SeriesIndex, fields_at: usize) {
        if series == UNMATCHED && self.unmatched.len() < UNMATCHED_SHOWN_MAX {
            self.unmatched.push(String::from_utf8_lossy(line[..fields_at].trim_ascii()).into_owned());
        }
        if let Some((length, hash)) = plain
            && fields_at > length
            && line[..length].iter().all(|b| !matches!(b, b'\t' | 0x0b | 0x0c))
        {
            let other = self.series.get(series.at()).map_or(NO_HEAD, |series| series.head);
            let added = self.heads.add(&line[..length], hash, series, other);
            if let (Some(number), Some(series)) = (added, self.series.get_mut(series.at())) {
                series.head = number;
            }
        }
    }

    fn next_series_id(&mut self) -> SeriesId {
        self.free.series_ids.pop().unwrap_or_else(|| {
            self.series_ids += 1;
            SeriesId(self.series_ids)
        })
    }

    fn next_slot_id(&mut self) -> SlotId {
        self.free.slot_ids.pop().unwrap_or_else(|| {
            self.slot_ids += 1;
            SlotId(self.slot_ids)
        })
    }

    fn add(&mut self, identity: Box<[u8]>, fields: Vec<Field>, places: Vec<Place>, lacks_room: bool) -> SeriesIndex {
        let id = self.next_series_id();
        let target = |t: &Target| (t.place, t.summary, t.feeds.iter().map(|feed| feed.def).collect());
        let key: ShapeKey = fields.iter().map(|f| (f.key.clone(), f.targets.iter().map(target).collect())).collect();
        let new_slots: Vec<Slot> = (0..fields.len()).map(|_| Slot::new(self.next_slot_id())).collect();
        let slots = place_run(&mut self.slots, &mut self.free.slots, &new_slots);
        let (shapes, columns) = (&mut self.shapes, &self.columns);
        let shape = *self.by_shape.entry(key).or_insert_with(|| {
            let mut fields = fields;
            columns.assign(&mut fields);
            shapes.push(Shape { fields: fields.into() });
            (shapes.len() - 1) as u32
        });
        // A place for each summary at most, of which the configuration check allows fewer than 65,536.
        let place_count = places.len() as u16;
        let places = place_run(&mut self.places, &mut self.free.places, &places);
        let series = Series {
            id,
            shape,
            slots,
            places,
            place_count,
            // It belongs to the checkpoint after the one that is being taken.
            checkpoint: self.checkpoint,
            lacks_room,
            idle: 0,
            is_free: false,
            head: NO_HEAD,
        };
        let index = match self.free.series.pop() {
            Some(index) => {
                self.series[index.at()] = series;
                self.identities[index.at()] = identity;
                index
            }
            None => {
                self.series.push(series);
                self.identities.push(identity);
                SeriesIndex::of(self.series.len() - 1)
            }
        };
        let (identities, hasher) = (&self.identities, &self.hasher);
        let hash = |series: &SeriesIndex| hasher.hash_one(&*identities[series.at()]);
        self.by_identity.insert_unique(hash(&index), index, hash);
        index
    }

    /// Removes a series. Its head, its slots and its places will be another's.
    pub fn remove(&mut self, index: SeriesIndex) {
        let identity = std::mem::take(&mut self.identities[index.at()]);
        if let Ok(found) = self.by_identity.find_entry(self.hasher.hash_one(&*identity), |known| *known == index) {
            found.remove();
        }
        let series = self.series[index.at()];
        self.heads.remove(series.head);
        let (slots, places) = (series.slots(&self.shapes[series.shape as usize]), series.places());
        self.free.series_ids.push(series.id);
        self.free.slot_ids.extend(self.slots[slots.clone()].iter().map(|slot| slot.id));
        self.free.slots.entry(slots.len()).or_default().push(series.slots);
        self.free.places.entry(places.len()).or_default().push(series.places);
        for slot in &mut self.slots[slots] {
            (slot.pending, slot.unsaved) = (None, false);
        }
        self.series[index.at()] = Series { is_free: true, head: NO_HEAD, ..series };
        self.free.series.push(index);
    }

    /// Puts bytes of heads together that are left over from series that were removed.
    pub fn compact(&mut self, from: usize, count: usize) -> Option<usize> {
        self.heads.compact(from, count)
    }

    /// Puts back a series of stored state. Returns its index, or `None` if it feeds nothing any more.
    pub fn restore(&mut self, id: SeriesId, head: &Head, compiled: Compiled) -> Option<SeriesIndex> {
        let Compiled::Feeds { fields, places, lacks_room } = compiled else { return None };
        let series = self.add(identity(head), fields, places, lacks_room);
        self.series[series.at()].id = id;
        Some(series)
    }

    /// Makes the ids free that nothing in stored state has, after its series have been put back.
    pub fn reuse_ids(&mut self, series: Vec<SeriesId>, slots: Vec<SlotId>) {
        let free = |mut used: Vec<u32>| {
            used.sort_unstable();
            used.dedup();
            let highest = used.last().copied().unwrap_or(0);
            let mut free = Vec::new();
            let mut next = 1;
            for id in used {
                free.extend(next..id);
                next = id + 1;
            }
            (highest, free)
        };
        let (highest, ids) = free(series.into_iter().map(|id| id.0).collect());
        (self.series_ids, self.free.series_ids) = (highest, ids.into_iter().map(SeriesId).collect());
        // Fields that stored state did not know got ids above those that it has.
        let new = self.slots.iter().map(|slot| slot.id.0);
        let (highest, ids) = free(slots.into_iter().map(|id| id.0).chain(new).collect());
        (self.slot_ids, self.free.slot_ids) = (highest, ids.into_iter().map(SlotId).collect());
    }

    /// Begins a checkpoint: series that come from now on belong to the next one.
    pub fn begin_checkpoint(&mut self, number: u32) {
        self.checkpoint = number;
    }

    /// Notes that no checkpoint holds any series.
    pub fn mark_all_new(&mut self) {
        self.unsaved.clear();
        for (series, identity) in self.series.iter().zip(&self.identities).filter(|(series, _)| !series.is_free) {
            self.unsaved.extend(head_of(identity).map(|head| (series.id, head)));
        }
    }

    /// Makes sure that new slots get higher numbers than this.
    pub fn reserve_slot_ids(&mut self, highest: u32) {
        self.slot_ids = self.slot_ids.max(highest);
    }

    /// The devices of the series that are expected next, in `into`: how many they are, and a number without a meaning, for
    /// which what the series need is read.
    pub fn expected(&self, into: &mut [DeviceIndex; EXPECTED]) -> (usize, u64) {
        let mut series = [UNMATCHED; EXPECTED];
        let (count, mut sum) = self.heads.expected(&mut series);
        for (index, device) in series[..count].iter().zip(into.iter_mut()) {
            let series = &self.series[index.at()];
            sum += self.slots.get(series.slots as usize).map_or(0, |slot| u64::from(slot.id.0));
            *device = self.places.get(series.places as usize).map_or(DeviceIndex(0), |place| place.device);
        }
        (count, sum)
    }

    /// Number and length of the cached head of the line that was found last; [`NO_HEAD`] if it has none.
    #[inline]
    pub fn hit(&self) -> (HeadNumber, usize) {
        self.heads.hit()
    }

    /// The first few heads that fed nothing.
    pub fn unmatched_heads(&self) -> &[String] {
        &self.unmatched
    }

    /// Series that feed something.
    pub fn matched_series(&self) -> usize {
        self.series.len() - self.free.series.len()
    }

    /// Places of series, free ones included: every index is below.
    pub fn series_places(&self) -> usize {
        self.series.len()
    }

    /// A series.
    #[inline]
    pub fn series(&self, index: SeriesIndex) -> &Series {
        &self.series[index.at()]
    }

    /// A series, to be changed.
    #[inline]
    pub fn series_mut(&mut self, index: SeriesIndex) -> &mut Series {
        &mut self.series[index.at()]
    }

    /// True, once for each checkpoint: a series is to be copied for it.
    pub fn is_due(&mut self, series: SeriesIndex, checkpoint: u32) -> bool {
        std::mem::replace(&mut self.series[series.at()].checkpoint, checkpoint) != checkpoint
    }

    /// Places of slots, free ones included.
    pub fn slot_places(&self) -> usize {
        self.slots.len()
    }

    /// All slots, of all series.
    pub fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The fields of a series.
    pub fn fields(&self, series: SeriesIndex) -> impl Iterator<Item = FieldState<'_>> {
        let series = &self.series[series.at()];
        let (shape, places) = (&self.shapes[series.shape as usize], &self.places[series.places()]);
        let slots = &self.slots[series.slots(shape)];
        shape.fields.iter().zip(slots).map(move |(field, slot)| FieldState { field, slot, places })
    }

    /// The devices of a series.
    pub fn places(&self, series: SeriesIndex) -> &[Place] {
        &self.places[self.series[series.at()].places()]
    }

    /// The parts of a series, to be changed.
    #[inline]
    pub fn parts(&mut self, series: SeriesIndex) -> Parts<'_> {
        let series = &self.series[series.at()];
        let shape = &mut self.shapes[series.shape as usize];
        Parts {
            slots: &mut self.slots[series.slots(shape)],
            fields: &mut shape.fields,
            places: &self.places[series.places()],
            columns: &mut self.columns.tallies,
        }
    }

    /// Counts a line of a series that lacks fields. `found` are the fields that it has, `line` is a number that no other
    /// line has.
    pub fn lacks_fields(&mut self, series: SeriesIndex, found: impl Iterator<Item = usize>, line: u64) {
        let parts = self.parts(series);
        columns::lacks_fields(parts.columns, parts.fields, found, line);
    }

    /// Notes the newest points that stored state knows of a series.
    pub fn restore_tallies(&mut self, series: SeriesIndex) {
        let series = &self.series[series.at()];
        let shape = &self.shapes[series.shape as usize];
        for (field, slot) in shape.fields.iter().zip(&self.slots[series.slots(shape)]) {
            if let Some((at, sample)) = slot.pending {
                self.columns.restore(field, at, sample);
            }
        }
    }

    /// The figures of all columns, in the order of the configuration.
    pub fn tallies(&self) -> Vec<Tally> {
        self.columns.sum(&self.shapes)
    }

    /// Takes, for each column, a series whose values for one time differ too often, and how many of a hundred do.
    pub fn take_differing(&mut self) -> Vec<Option<(SeriesIndex, u8)>> {
        self.columns.tallies.0.iter_mut().map(|column| column.differs.take()).collect()
    }

    /// The head of a series as a line would begin with it; `None` if it is gone.
    pub fn head_text(&self, index: SeriesIndex) -> Option<String> {
        let is_there = self.series.get(index.at()).is_some_and(|series| !series.is_free);
        head_of(self.identities.get(index.at()).filter(|_| is_there)?).map(|head| head.to_string())
    }
}

/// Puts values one behind the other into a list, into a run of places that is free if there is one of that length.
fn place_run<T: Copy>(list: &mut Vec<T>, free: &mut std::collections::HashMap<usize, Vec<u32>>, values: &[T]) -> u32 {
    match free.get_mut(&values.len()).and_then(Vec::pop) {
        Some(at) => {
            list[at as usize..at as usize + values.len()].copy_from_slice(values);
            at
        }
        None => {
            list.extend_from_slice(values);
            (list.len() - values.len()) as u32
        }
    }
}

/// What series that are gone have left.
#[derive(Default)]
struct FreePlaces {
    series: Vec<SeriesIndex>,
    series_ids: Vec<SeriesId>,
    slot_ids: Vec<SlotId>,
    /// By length: where runs of free slots, and of free places, begin.
    slots: std::collections::HashMap<usize, Vec<u32>>,
    places: std::collections::HashMap<usize, Vec<u32>>,
}

/// The bytes that identify a head: its measurement and tags with their lengths.
fn identity(head: &Head) -> Box<[u8]> {
    let tags = head.tags.iter().flat_map(|(key, value)| [key, value]);
    let mut bytes = Vec::new();
    for part in std::iter::once(&head.measurement).chain(tags) {
        // Short lengths take one byte, longer ones five.
        match u8::try_from(part.len()) {
            Ok(length) if length < u8::MAX => bytes.push(length),
            _ => {
                bytes.push(u8::MAX);
                bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            }
        }
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

/// Reads what [`identity`] wrote.
fn head_of(mut bytes: &[u8]) -> Option<Head> {
    let mut parts = Vec::new();
    while let Some((&short, rest)) = bytes.split_first() {
        let (length, rest) = match short {
            u8::MAX => {
                let (long, rest) = rest.split_first_chunk::<4>()?;
                (u32::from_le_bytes(*long) as usize, rest)
            }
            short => (usize::from(short), rest),
        };
        let (part, rest) = rest.split_at_checked(length)?;
        parts.push(part.to_vec());
        bytes = rest;
    }
    let mut parts = parts.into_iter();
    let measurement = parts.next()?;
    let mut tags = Vec::new();
    while let Some(key) = parts.next() {
        tags.push((key, parts.next()?));
    }
    Some(Head { measurement, tags })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_from_its_identity() {
        let long = vec![b'x'; 300];
        for tags in [vec![], vec![(b"a".to_vec(), long.clone()), (vec![0xff; 255], vec![])]] {
            let head = Head { measurement: b"m".to_vec(), tags };
            assert_eq!(head_of(&identity(&head)), Some(head));
        }
    }
}
