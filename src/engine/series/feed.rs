//! What the fields of a series feed: accumulators of devices.

use super::tally::{ColumnTallies, FieldTally, Taker};
use crate::engine::counters::ColumnReason;
use crate::engine::ids::{DefIndex, DeviceIndex, RunIndex, SlotId, SummaryIndex, ZoneIndex};
use crate::engine::line::number::eight;
use crate::engine::line::token::is_plain_key;
use crate::engine::schema::{Valid, When};
use std::sync::Arc;

/// Scale, offset or value up to this size: what comes of three such numbers is finite.
const TAME_MAX: f64 = f64::from_bits((1023 + 400) << 52); // 2^400

/// One accumulator that a field feeds.
#[derive(Clone, Debug)]
pub struct Feed {
    pub def: DefIndex,
    pub scale: f64,
    pub offset: f64,
    /// The lowest and the highest value that is a sample, after scale and offset.
    pub low: f64,
    pub high: f64,
    /// Counts take strings too.
    pub takes_text: bool,
    /// What flags a value without a look at others.
    pub when: Option<When>,
}

impl Feed {
    /// The lowest and the highest value that a feed takes: a finite one, but for a count, to which the value is nothing.
    pub fn limits(valid: Valid, takes_text: bool) -> (f64, f64) {
        match takes_text && !valid.is_bounded() {
            true => (valid.low, valid.high),
            false => (valid.low.max(f64::MIN), valid.high.min(f64::MAX)),
        }
    }

    /// The value that it takes of a number; `None` if it is no sample.
    #[inline]
    pub fn value(&self, number: f64) -> Option<f64> {
        let value = scaled(self, number);
        (self.low <= value && value <= self.high).then_some(value)
    }
}

/// Everything of one device that a field feeds.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which of the series' places.
    pub place: u16,
    pub summary: SummaryIndex,
    /// A value that is not huge stays finite in all of its feeds.
    pub is_tame: bool,
    /// Some of its feeds have a lowest or a highest value.
    pub is_bounded: bool,
    pub feeds: Box<[Feed]>,
}

/// A field that at least one source wants.
#[derive(Clone, Debug)]
pub struct Field {
    /// The decoded field key.
    pub key: Arc<[u8]>,
    /// It has no backslash: bytes on the wire that are equal to it mean it.
    pub is_plain: bool,
    /// The first eight bytes of the key and the equals sign behind it, and which of them there are; a word that no mask
    /// gives where the key may be spelled in several ways.
    pub begin: (u64, u64),
    pub targets: Box<[Target]>,
    pub tally: FieldTally,
}

impl Field {
    pub fn new(key: &[u8], targets: Vec<Target>) -> Field {
        let begin = match is_plain_key(key) {
            false => (1, 0),
            true => {
                let mut bytes = key.to_vec();
                bytes.push(b'=');
                let known = bytes.len().min(8);
                bytes.resize(bytes.len().max(8), 0);
                (eight(&bytes, 0), u64::MAX >> (64 - 8 * known))
            }
        };
        let is_plain = !key.contains(&b'\\');
        Field { key: key.into(), is_plain, begin, targets: targets.into(), tally: FieldTally::default() }
    }

    /// True if every feed takes a value for certain.
    #[inline]
    pub fn all_take(&self, sample: Sample) -> bool {
        matches!(sample, Sample::Number(value) if is_tame(value))
            && self.targets.iter().all(|target| target.is_tame && !target.is_bounded)
    }

    /// Counts a value for the columns that take it, and for the others why not. `all` is what [`Field::all_take`] says of it.
    #[inline]
    pub fn judge(&mut self, columns: &mut ColumnTallies, at: i64, sample: Sample, all: bool) {
        match all {
            true => self.tally.all.take(at),
            false => columns.judge(&self.tally, at, |taker| self.refusal(taker, sample)),
        }
    }

    /// Counts a value that replaces another one at the columns whose range it lies outside of.
    #[cold]
    pub fn judge_range(&mut self, columns: &mut ColumnTallies, sample: Sample) {
        columns.leave(&self.tally, ColumnReason::OutOfRange, |taker| self.refusal(taker, sample));
    }

    /// Why a column does not take a value through a feed; `None` if it does.
    pub fn refusal(&self, taker: &Taker, sample: Sample) -> Option<ColumnReason> {
        refusal(&self.targets[taker.target].feeds[taker.feed], sample)
    }

    /// The offset of the equals sign behind the key, if it stands at `at` byte for byte; `None` says nothing.
    #[inline]
    pub fn stands_at(&self, line: &[u8], at: usize) -> Option<usize> {
        let (word, mask) = self.begin;
        if eight(line, at) & mask != word {
            return None;
        }
        let end = at + self.key.len();
        if self.key.len() < 8 {
            return Some(end);
        }
        let rest = line.get(at + 8..end)?;
        (*rest == self.key[8..] && line.get(end) == Some(&b'=')).then_some(end)
    }
}

/// The fields of a series and what they feed.
#[derive(Clone, Debug)]
pub struct Shape {
    pub fields: Box<[Field]>,
}

/// A device that a series feeds.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub device: DeviceIndex,
    /// The zone that the head names for the device: an index in the engine.
    pub zone: Option<ZoneIndex>,
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

/// The state of a field of a series.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Names the slot in the memory of duplicates.
    pub id: SlotId,
    /// The run that has taken the pending point: it belongs to that run's part of its window.
    pub run: RunIndex,
    /// The newest point, not folded yet: while it is the newest, the last value wins.
    pub pending: Option<(i64, Sample)>,
    /// Changed since the last checkpoint.
    pub unsaved: bool,
    /// Where the accumulators that it feeds stood last.
    pub hint: u8,
    /// Of about [`DIFFERING_OF`] points at most: how many came for a time that had another value already.
    pub differing: u16,
    /// Points that came in their order.
    pub points: u32,
}

/// So many points say whether values of one time differ too often.
const DIFFERING_OF: u64 = 1_000;
/// A few may be corrections.
const DIFFERING_MIN: u16 = 3;

impl Slot {
    /// A slot without a point.
    pub fn new(id: SlotId) -> Slot {
        Slot { id, run: RunIndex(0), pending: None, unsaved: true, hint: 0, differing: 0, points: 0 }
    }

    /// Counts a value for a time that had another one. Returns how many of a hundred values that happens to, if it is more than
    /// one.
    pub fn differs(&mut self) -> Option<u8> {
        let points = u64::from(self.points);
        if points > DIFFERING_OF {
            // What was long ago must not hide what is.
            self.differing = (u64::from(self.differing) * DIFFERING_OF / points) as u16;
            self.points = DIFFERING_OF as u32;
        }
        self.differing = self.differing.saturating_add(1);
        let (differing, points) = (u64::from(self.differing), u64::from(self.points));
        let share = 100 * differing / (points + differing);
        (self.differing >= DIFFERING_MIN && 100 * differing > points + differing).then_some(share as u8)
    }
}

/// True if a number, scaled by one and moved by another of the kind, is finite.
#[inline]
pub fn is_tame(number: f64) -> bool {
    number.abs() <= TAME_MAX
}

/// True if a feed takes the sample.
pub fn takes(feeds: &[Feed], sample: Sample) -> bool {
    match sample {
        Sample::Number(value) => feeds.iter().any(|feed| feed.value(value).is_some()),
        Sample::Text(_) => feeds.iter().any(|feed| feed.takes_text),
    }
}

/// True if a feed does not take the sample because it lies outside of the feed's range.
pub fn is_outside(feeds: &[Feed], sample: Sample) -> bool {
    feeds.iter().any(|feed| refusal(feed, sample) == Some(ColumnReason::OutOfRange))
}

/// Why a feed does not take a sample; `None` if it does.
fn refusal(feed: &Feed, sample: Sample) -> Option<ColumnReason> {
    match sample {
        Sample::Text(_) => (!feed.takes_text).then_some(ColumnReason::Text),
        Sample::Number(value) if feed.value(value).is_some() => None,
        Sample::Number(value) if scaled(feed, value).is_finite() => Some(ColumnReason::OutOfRange),
        Sample::Number(_) => Some(ColumnReason::NotFinite),
    }
}

/// `x * scale` rounded, `+ offset` rounded; -0 becomes 0.
#[inline]
pub fn scaled(feed: &Feed, value: f64) -> f64 {
    value * feed.scale + feed.offset + 0.0
}
