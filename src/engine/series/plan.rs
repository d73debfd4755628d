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

use super::compile::Compiled;
use super::feed::{Field, Place, Shape, Slot, Target};
use super::heads::{Heads, NO_HEAD};
use super::sift::Sift;
use crate::engine::ids::{SeriesId, UNMATCHED};
use crate::engine::line::head::{Head, decode_head, plain_head_end};
use crate::engine::line::scan::is_empty_line;
use crate::engine::schema::Schema;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A series that feeds something.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// Names the series in stored state.
    pub id: u32,
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
        let is_its = move |target: &&Target| self.places[usize::from(target.place)].device as usize == device;
        self.field.targets.iter().filter(is_its)
    }
}

/// The same to be changed: the fields, the slots in the same order, and the places.
pub struct Parts<'p> {
    pub fields: &'p [Field],
    pub slots: &'p mut [Slot],
    pub places: &'p [Place],
}

/// What happened to a line's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The series, and the offset of the first field.
    Series(SeriesId, usize),
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
type ShapeKey = Vec<(Arc<[u8]>, Vec<(u16, u16, Vec<u16>)>)>;

/// Heads, series, and what they feed.
pub struct Plans {
    heads: Heads,
    sift: Sift,
    by_identity: HashMap<Box<[u8]>, (SeriesId, Found), FixedState>,
    series: Vec<Series>,
    shapes: Vec<Shape>,
    by_shape: HashMap<ShapeKey, u32, FixedState>,
    slots: Vec<Slot>,
    places: Vec<Place>,
    /// The highest number that a series or a slot has.
    ids: u32,
    /// Series that no checkpoint holds yet.
    pub unsaved: Vec<(u32, Head)>,
    series_max: usize,
    /// Heads in `by_identity` that lack a key.
    without_key: usize,
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
            by_identity: HashMap::default(),
            series: Vec::new(),
            shapes: Vec::new(),
            by_shape: HashMap::default(),
            slots: Vec::new(),
            places: Vec::new(),
            ids: 0,
            unsaved: Vec::new(),
            series_max: series_max.min(NO_HEAD as usize / 2 - 1),
            without_key: 0,
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
        let (series, found) = match self.by_identity.get(&*identity) {
            Some(known) => *known,
            None => {
                let is_full = self.by_identity.len() - self.without_key >= self.series_max;
                let known = match compile(&head, is_full) {
                    Compiled::Nothing => (UNMATCHED, Found::Empty),
                    Compiled::NoKey => (UNMATCHED, Found::NoKey),
                    Compiled::OverLimit => return Found::OverLimit,
                    Compiled::Feeds { fields, places, lacks_room } => {
                        let series = self.add(fields, places, lacks_room);
                        self.unsaved.push((self.series[series as usize].id, head));
                        (series, Found::Empty)
                    }
                };
                // The identity is needed only to join spellings of a series that feeds something, and to count lines
                // without a key; unmatched heads are remembered by their bytes alone.
                match known {
                    (UNMATCHED, Found::Empty) => {}
                    (UNMATCHED, _) if self.without_key >= WITHOUT_KEY_MAX => {}
                    (UNMATCHED, _) => {
                        self.without_key += 1;
                        self.by_identity.insert(identity, known);
                    }
                    _ if is_full => {}
                    _ => {
                        self.by_identity.insert(identity, known);
                    }
                }
                known
            }
        };
        if found == Found::NoKey {
            return found;
        }
        self.remember(line, plain, series, fields_at);
        Found::Series(series, fields_at)
    }

    /// Adds the head of a line to the cache.
    fn remember(&mut self, line: &[u8], plain: Option<(usize, u64)>, series: SeriesId, fields_at: usize) {
        if series == UNMATCHED && self.unmatched.len() < UNMATCHED_SHOWN_MAX {
            self.unmatched.push(String::from_utf8_lossy(line[..fields_at].trim_ascii()).into_owned());
        }
        if let Some((length, hash)) = plain
            && fields_at > length
            && line[..length].iter().all(|b| !matches!(b, b'\t' | 0x0b | 0x0c))
        {
            self.heads.add(&line[..length], hash, series);
        }
    }

    fn next_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn add(&mut self, fields: Vec<Field>, places: Vec<Place>, lacks_room: bool) -> SeriesId {
        let id = self.next_id();
        let target = |t: &Target| (t.place, t.summary, t.feeds.iter().map(|feed| feed.def).collect());
        let key: ShapeKey = fields.iter().map(|f| (f.key.clone(), f.targets.iter().map(target).collect())).collect();
        let slots = self.slots.len() as u32;
        for _ in &fields {
            let id = self.next_id();
            self.slots.push(Slot { id, run: 0, pending: None, unsaved: true, hint: 0 });
        }
        let shapes = &mut self.shapes;
        let shape = *self.by_shape.entry(key).or_insert_with(|| {
            shapes.push(Shape { fields: fields.into() });
            (shapes.len() - 1) as u32
        });
        // A place for each summary at most, of which there are at most 65,536: the configuration check sees to it.
        let place_count = places.len() as u16;
        let places_at = self.places.len() as u32;
        self.series.push(Series { id, shape, slots, places: places_at, place_count, checkpoint: 0, lacks_room });
        self.places.extend(places);
        (self.series.len() - 1) as SeriesId
    }

    /// Puts back a series of stored state; gives its index, or `None` if it feeds nothing any more.
    pub fn restore(&mut self, id: u32, head: &Head, compiled: Compiled) -> Option<SeriesId> {
        self.ids = self.ids.max(id);
        let Compiled::Feeds { fields, places, lacks_room } = compiled else { return None };
        let series = self.add(fields, places, lacks_room);
        self.series[series as usize].id = id;
        self.by_identity.insert(identity(head), (series, Found::Empty));
        Some(series)
    }

    /// Makes sure that new series and slots get higher numbers than this.
    pub fn reserve_ids(&mut self, highest: u32) {
        self.ids = self.ids.max(highest);
    }

    /// The devices of the series that are expected next, in `into`: how many they are, and a number without a meaning, for
    /// which what the series need is read.
    pub fn expected(&self, into: &mut [u32; EXPECTED]) -> (usize, u64) {
        let mut series = [0; EXPECTED];
        let (count, mut sum) = self.heads.expected(&mut series);
        for (index, device) in series[..count].iter().zip(into.iter_mut()) {
            let series = &self.series[*index as usize];
            sum += self.slots.get(series.slots as usize).map_or(0, |slot| u64::from(slot.id));
            *device = self.places.get(series.places as usize).map_or(0, |place| place.device);
        }
        (count, sum)
    }

    /// Number and length of the cached head of the line that was found last; [`NO_HEAD`] if it has none.
    #[inline]
    pub fn hit(&self) -> (u32, usize) {
        self.heads.hit()
    }

    /// The first few heads that fed nothing.
    pub fn unmatched_heads(&self) -> &[String] {
        &self.unmatched
    }

    /// Series that feed something.
    pub fn matched_series(&self) -> usize {
        self.series.len()
    }

    /// A series.
    #[inline]
    pub fn series(&self, index: SeriesId) -> &Series {
        &self.series[index as usize]
    }

    /// True, once for each checkpoint: a series is to be copied for it.
    pub fn is_due(&mut self, series: SeriesId, checkpoint: u32) -> bool {
        std::mem::replace(&mut self.series[series as usize].checkpoint, checkpoint) != checkpoint
    }

    /// All slots, of all series.
    pub fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The fields of a series.
    pub fn fields(&self, series: SeriesId) -> impl Iterator<Item = FieldState<'_>> {
        let series = &self.series[series as usize];
        let (shape, places) = (&self.shapes[series.shape as usize], &self.places[series.places()]);
        let slots = &self.slots[series.slots(shape)];
        shape.fields.iter().zip(slots).map(move |(field, slot)| FieldState { field, slot, places })
    }

    /// The parts of a series, to be changed.
    #[inline]
    pub fn parts(&mut self, series: SeriesId) -> Parts<'_> {
        let series = &self.series[series as usize];
        let shape = &self.shapes[series.shape as usize];
        Parts {
            fields: &shape.fields,
            slots: &mut self.slots[series.slots(shape)],
            places: &self.places[series.places()],
        }
    }
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
