//! Head -> what it feeds, cached.
//!
//! The bytes before the first blank that is not escaped (measurement and tags, the *head*) identify a series. The first
//! sight of a head takes the slow path: it is decoded, matched against every source, and compiled into field slots.
//! After that a head is recognized by comparison alone. Each head remembers its last two successors, because an agent
//! sends its series in the same order poll after poll: most lines cost one comparison and no hash.
//!
//! Different spellings of one series (tags in another order, other escapes) share the series. Unmatched heads are cached
//! too, as such: they are most of the stream.
//!
//! Invariants: at most `limits.series` heads are cached; a cached head has the plain form of
//! [`crate::engine::scan::plain_head_end`], so the comparison of its bytes and of the blank behind them is sufficient.

use super::partial::Kind;
use super::scan::{self, Head};
use super::schema::Schema;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// Index of a series. [`UNMATCHED`] is the series that feeds nothing.
pub type SeriesId = u32;
/// The series of every head that no source matches.
pub const UNMATCHED: SeriesId = u32::MAX;

/// No head.
pub const NO_HEAD: u32 = u32::MAX;

/// One accumulator that a field feeds.
#[derive(Clone, Debug)]
pub struct Feed {
    pub def: u16,
    pub scale: f64,
    pub offset: f64,
    /// Counts take strings too.
    pub takes_text: bool,
}

/// Everything of one device that a field feeds.
#[derive(Clone, Debug)]
pub struct Target {
    pub device: u32,
    pub summary: u16,
    /// The zone that the head names for the device: an index in the engine.
    pub zone: Option<u16>,
    pub feeds: Box<[Feed]>,
}

/// A number, or a string, of which nothing but its existence (and identity) matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    Number(f64),
    Text(u64),
}

impl Sample {
    /// Identifies the value in the memory of duplicates.
    pub fn bits(self) -> u64 {
        match self {
            Sample::Number(value) => value.to_bits(),
            Sample::Text(hash) => hash,
        }
    }
}

/// A field of a series that at least one source wants.
#[derive(Clone, Debug)]
pub struct FieldSlot {
    /// Names the slot in the memory of duplicates.
    pub id: u32,
    /// The decoded field key.
    pub key: Box<[u8]>,
    /// The newest point, not folded yet: while it is the newest, the last value wins.
    pub pending: Option<(i64, Sample)>,
    /// The run that has taken the pending point: it belongs to that run's part of its window.
    pub run: u32,
    /// Changed since the last checkpoint.
    pub unsaved: bool,
    pub targets: Box<[Target]>,
}

/// A series that feeds something.
#[derive(Clone, Debug)]
pub struct Series {
    /// Names the series in stored state.
    pub id: u32,
    /// One of several summaries had no room for the device.
    pub lacks_room: bool,
    pub slots: Box<[FieldSlot]>,
}

struct CachedHead {
    bytes: Box<[u8]>,
    series: SeriesId,
    /// The heads that followed this one, the latest first.
    successors: [u32; 2],
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

/// What a head compiles to.
pub enum Compiled {
    /// Fields and what they feed; true if a summary had no room for the device.
    Feeds(Vec<(Box<[u8]>, Vec<Target>)>, bool),
    Nothing,
    NoKey,
    OverLimit,
}

/// The cache of heads and series.
pub struct Plans {
    heads: Vec<CachedHead>,
    by_bytes: HashTable<u32>,
    by_identity: HashMap<Head, (SeriesId, Found), FixedState>,
    pub series: Vec<Series>,
    hasher: FixedState,
    /// The highest number that a series or a slot has.
    ids: u32,
    /// Series that no checkpoint holds yet.
    pub unsaved: Vec<(u32, Head)>,
    last: u32,
    /// The cached head of the line that was found last, or [`NO_HEAD`].
    hit: u32,
    heads_max: usize,
    /// Cached heads that feed nothing, the oldest first, and their bytes.
    idle: VecDeque<u32>,
    idle_bytes: usize,
    /// Heads in `by_identity` that lack a key.
    without_key: usize,
    unmatched: Vec<String>,
}

/// Bytes of cached heads that feed nothing.
const IDLE_BYTES_MAX: usize = 32 << 20;
/// A longer head that feeds nothing is not cached.
const IDLE_HEAD_BYTES_MAX: usize = 4096;
/// Heads without a key that are remembered; others are looked at every time.
const WITHOUT_KEY_MAX: usize = 10_000;

/// Unmatched heads that are kept to be shown.
const UNMATCHED_SHOWN_MAX: usize = 3;

impl Plans {
    /// An empty cache for at most `heads_max` heads.
    pub fn new(heads_max: usize) -> Plans {
        Plans {
            heads: Vec::new(),
            by_bytes: HashTable::new(),
            by_identity: HashMap::with_hasher(FixedState::default()),
            series: Vec::new(),
            hasher: FixedState::default(),
            ids: 0,
            unsaved: Vec::new(),
            last: NO_HEAD,
            hit: NO_HEAD,
            heads_max: heads_max.min(NO_HEAD as usize / 2 - 1),
            idle: VecDeque::new(),
            idle_bytes: 0,
            without_key: 0,
            unmatched: Vec::new(),
        }
    }

    /// Finds the series of a line. `compile` is called for a head that has not been seen before, and told whether the
    /// limit on series is reached: it must not compile to feeds then.
    #[inline]
    pub fn find(&mut self, line: &[u8], compile: impl FnOnce(&Head, bool) -> Compiled) -> Found {
        if let Some(last) = self.heads.get(self.last as usize) {
            for candidate in last.successors {
                if let Some(head) = self.heads.get(candidate as usize) {
                    let length = head.bytes.len();
                    if line.len() > length && line[length] == b' ' && line[..length] == *head.bytes {
                        self.last = candidate;
                        self.hit = candidate;
                        return Found::Series(head.series, length + 1);
                    }
                }
            }
        }
        self.look_up(line, compile)
    }

    fn look_up(&mut self, line: &[u8], compile: impl FnOnce(&Head, bool) -> Compiled) -> Found {
        let Some(length) = scan::plain_head_end(line) else {
            return self.decode(line, None, compile);
        };
        let bytes = &line[..length];
        let hash = self.hasher.hash_one(bytes);
        match self.by_bytes.find(hash, |&i| *self.heads[i as usize].bytes == *bytes) {
            Some(&index) => {
                self.follow(index);
                self.hit = index;
                Found::Series(self.heads[index as usize].series, length + 1)
            }
            None => self.decode(line, Some((length, hash)), compile),
        }
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

    fn decode(
        &mut self,
        line: &[u8],
        plain: Option<(usize, u64)>,
        compile: impl FnOnce(&Head, bool) -> Compiled,
    ) -> Found {
        self.hit = NO_HEAD;
        if scan::is_empty_line(line) {
            return Found::Empty;
        }
        let Ok((head, fields_at)) = scan::decode_head(line) else {
            return Found::Malformed;
        };
        let (series, found) = match self.by_identity.get(&head) {
            Some(known) => *known,
            None => {
                let is_full = self.by_identity.len() - self.without_key >= self.heads_max;
                let known = match compile(&head, is_full) {
                    Compiled::Nothing => (UNMATCHED, Found::Empty),
                    Compiled::NoKey => (UNMATCHED, Found::NoKey),
                    Compiled::OverLimit => return Found::OverLimit,
                    Compiled::Feeds(fields, lacks_room) => {
                        let series = self.add(fields, lacks_room);
                        self.unsaved.push((self.series[series as usize].id, head.clone()));
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
                        self.by_identity.insert(head, known);
                    }
                    _ if is_full => {}
                    _ => {
                        self.by_identity.insert(head, known);
                    }
                }
                known
            }
        };
        if found == Found::NoKey {
            return found;
        }
        if series == UNMATCHED && self.unmatched.len() < UNMATCHED_SHOWN_MAX {
            self.unmatched.push(String::from_utf8_lossy(line[..fields_at].trim_ascii()).into_owned());
        }
        if let Some((length, hash)) = plain
            && fields_at > length
            && line[..length].iter().all(|b| !matches!(b, b'\t' | 0x0b | 0x0c))
            && let Some(index) = self.place_for(series, length)
        {
            self.heads[index as usize] = CachedHead { bytes: line[..length].into(), series, successors: [NO_HEAD; 2] };
            let (heads, hasher) = (&self.heads, &self.hasher);
            self.by_bytes.insert_unique(hash, index, |&i| hasher.hash_one(&*heads[i as usize].bytes));
            self.follow(index);
            self.hit = index;
        }
        Found::Series(series, fields_at)
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
            let old = &self.heads[index as usize].bytes;
            self.idle_bytes = self.idle_bytes - old.len() + length;
            if let Ok(found) = self.by_bytes.find_entry(self.hasher.hash_one(&**old), |&i| i == index) {
                found.remove();
            }
            self.idle.push_back(index);
            return Some(index);
        }
        let index = self.heads.len() as u32;
        self.heads.push(CachedHead { bytes: Box::default(), series, successors: [NO_HEAD; 2] });
        if series == UNMATCHED {
            self.idle.push_back(index);
            self.idle_bytes += length;
        }
        Some(index)
    }

    fn next_id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn add(&mut self, fields: Vec<(Box<[u8]>, Vec<Target>)>, lacks_room: bool) -> SeriesId {
        let id = self.next_id();
        let slots = fields
            .into_iter()
            .map(|(key, targets)| FieldSlot {
                id: self.next_id(),
                key,
                pending: None,
                run: 0,
                unsaved: true,
                targets: targets.into(),
            })
            .collect();
        self.series.push(Series { id, lacks_room, slots });
        (self.series.len() - 1) as SeriesId
    }

    /// Puts back a series of stored state; gives its index, or `None` if it feeds nothing any more.
    pub fn restore(&mut self, id: u32, head: Head, compiled: Compiled) -> Option<SeriesId> {
        self.ids = self.ids.max(id);
        let Compiled::Feeds(fields, lacks_room) = compiled else { return None };
        let series = self.add(fields, lacks_room);
        self.series[series as usize].id = id;
        self.by_identity.insert(head, (series, Found::Empty));
        Some(series)
    }

    /// Makes sure that new series and slots get higher numbers than this.
    pub fn reserve_ids(&mut self, highest: u32) {
        self.ids = self.ids.max(highest);
    }

    /// Number and length of the cached head of the line that was found last; [`NO_HEAD`] if it has none.
    pub fn hit(&self) -> (u32, usize) {
        (self.hit, self.heads.get(self.hit as usize).map_or(0, |head| head.bytes.len()))
    }

    /// The first few heads that fed nothing.
    pub fn unmatched_heads(&self) -> &[String] {
        &self.unmatched
    }

    /// Series that feed something.
    pub fn matched_series(&self) -> usize {
        self.series.len()
    }
}

/// A device that a head feeds: the summary, and the text of its key tags.
pub type DeviceKey = (u16, Vec<String>);

/// Matches a head against every source and lists what its fields feed.
///
/// `device` gives the index of a device, or `None` if the limit on devices is reached; `zone` that of a zone by its name,
/// or `None` if there is no such zone.
pub fn compile(
    schema: &Schema,
    head: &Head,
    mut device: impl FnMut(DeviceKey) -> Option<u32>,
    mut zone: impl FnMut(&[u8]) -> Option<u16>,
) -> Compiled {
    let mut fields: Vec<(Box<[u8]>, Vec<Target>)> = Vec::new();
    let mut without_key = false;
    let mut over_limit = false;
    for (index, summary) in schema.summaries.iter().enumerate() {
        let mut wanted: Vec<(&str, Vec<Feed>)> = Vec::new();
        for (def, accumulator) in summary.accumulators.iter().enumerate() {
            let source = &accumulator.source;
            let matched = source.measurement.matches(&head.measurement)
                && source.tags.iter().all(|(k, p)| head.tag(k.as_bytes()).is_some_and(|v| p.matches(v)));
            if !matched {
                continue;
            }
            let feed = Feed {
                def: def as u16,
                scale: source.scale,
                offset: source.offset,
                takes_text: accumulator.kind == Kind::Count,
            };
            match wanted.iter_mut().find(|(field, _)| *field == source.field) {
                Some((_, feeds)) => feeds.push(feed),
                None => wanted.push((&source.field, vec![feed])),
            }
        }
        if wanted.is_empty() {
            continue;
        }
        let key: Option<Vec<String>> = summary.key.iter().map(|k| head.tag(k.as_bytes()).map(key_text)).collect();
        let Some(key) = key else {
            without_key = true;
            continue;
        };
        let Some(device) = device((index as u16, key)) else {
            over_limit = true;
            continue;
        };
        let named = summary.timezone_tag.as_ref().and_then(|tag| head.tag(tag.as_bytes()));
        let zone = named.and_then(&mut zone);
        for (field, feeds) in wanted {
            let target = Target { device, summary: index as u16, zone, feeds: feeds.into() };
            match fields.iter_mut().find(|(key, _)| **key == *field.as_bytes()) {
                Some((_, targets)) => targets.push(target),
                None => fields.push((field.as_bytes().into(), vec![target])),
            }
        }
    }
    match fields.is_empty() {
        // A summary that has no room for one more device does not keep the others from counting.
        false => Compiled::Feeds(fields, over_limit),
        true if over_limit => Compiled::OverLimit,
        true if without_key => Compiled::NoKey,
        true => Compiled::Nothing,
    }
}

/// Longest key, in characters, that a table holds as it is.
pub const KEY_CHARS_MAX: usize = 191;

/// A tag value as it is shown in a key column: bytes that are not UTF-8 as `\xNN`; a text of more than
/// [`KEY_CHARS_MAX`] characters is cut and ends in `~` and a hash of the whole, so that it stays unique.
pub fn key_text(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if text.chars().count() > KEY_CHARS_MAX {
        let hash = super::schema::fnv1a(value);
        text = text.chars().take(KEY_CHARS_MAX - 17).collect::<String>() + &format!("~{hash:016x}");
    }
    text
}
