//! The partial aggregate of one (summary, base window, device): everything the row needs, mergeable.
//!
//! `merge` is commutative and associative; an empty partial is its identity. A partial is stored as JSON text, the same
//! wherever it is kept:
//!
//! ```json
//! {"v":1,"every":60,"n":7,"first":1662305471022,"last":1662305472022,"slots":"0000000080000000",
//!  "acc":{"9c3e5f0a51b7d204":{"sum":[2,100.0,0.0]},"0b51b7d2049c3e5f":{"slots":"0000000080000000","extreme":[1.5,2.0]}}}
//! ```
//!
//! `every` is the length of a slot in seconds, `n` the number of samples, `first` and `last` the event times in
//! milliseconds. Each accumulator stands under the hash of its definition, so a changed definition is a new accumulator; it has slots of
//! its own if they are others than those of the whole. A reader keeps what it does not know and writes it again. `uj` is the
//! number of points that were counted while the journal could not take them, `stale` that of points that came again with
//! another value; they are there only if they are not 0. `base` holds, for each rule that judges by a baseline and has been
//! asked, mean and deviation, or nothing if there were too few windows before.

use super::accumulate::baseline::{Baseline, Judging};
use super::accumulate::count::{Count, Flags};
use super::accumulate::coverage::Slots;
use super::accumulate::double_double::DoubleDouble;
use super::accumulate::extreme::Extreme;
use super::accumulate::first_last::{FirstLast, Stamped};
use super::accumulate::moments::{Moments, Powers, Sum};
use super::accumulate::sketch::Sketch;
use super::schema::{Rule, Summary};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The states that an accumulator can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Sum,
    Moments,
    Extreme,
    FirstLast,
    Count,
    Flags,
    Sketch,
}

impl Kind {
    /// The name in stored partials.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sum => "sum",
            Kind::Moments => "moments",
            Kind::Extreme => "extreme",
            Kind::FirstLast => "firstlast",
            Kind::Count => "count",
            Kind::Flags => "flags",
            Kind::Sketch => "sketch",
        }
    }
}

/// One accumulator's state; it exists only if it has taken a value.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Sum(Sum),
    Moments(Box<Moments>),
    Extreme(Extreme),
    FirstLast(FirstLast),
    Count(Count),
    Flags(Flags),
    Sketch(Box<Sketch>),
}

impl State {
    /// The state after one value. `value` is `None` for a string, which only a count takes.
    fn first(kind: Kind, at: i64, value: f64, flagged: bool) -> State {
        match kind {
            Kind::Sum => {
                let mut sum = Sum::default();
                sum.observe(value);
                State::Sum(sum)
            }
            Kind::Moments => {
                let mut moments = Box::<Moments>::default();
                moments.observe(value);
                State::Moments(moments)
            }
            Kind::Extreme => State::Extreme(Extreme::of(value)),
            Kind::FirstLast => State::FirstLast(FirstLast::of(at, value)),
            Kind::Count => State::Count(Count { n: 1 }),
            Kind::Flags => State::Flags(Flags { n: 1, flagged: u64::from(flagged) }),
            Kind::Sketch => {
                let mut sketch = Box::<Sketch>::default();
                sketch.observe(value);
                State::Sketch(sketch)
            }
        }
    }

    #[inline]
    fn observe(&mut self, at: i64, value: f64, flagged: bool) {
        match self {
            State::Sum(s) => s.observe(value),
            State::Moments(s) => s.observe(value),
            State::Extreme(s) => s.observe(value),
            State::FirstLast(s) => s.observe(at, value),
            State::Count(s) => s.observe(),
            State::Flags(s) => s.observe(flagged),
            State::Sketch(s) => s.observe(value),
        }
    }

    /// Merges a state of the same kind; a state of another kind, which no correct writer stores under the same hash, is
    /// ignored.
    pub fn merge(&mut self, other: &State) {
        match (self, other) {
            (State::Sum(a), State::Sum(b)) => a.merge(b),
            (State::Moments(a), State::Moments(b)) => a.merge(b),
            (State::Extreme(a), State::Extreme(b)) => a.merge(b),
            (State::FirstLast(a), State::FirstLast(b)) => a.merge(b),
            (State::Count(a), State::Count(b)) => a.merge(b),
            (State::Flags(a), State::Flags(b)) => a.merge(b),
            (State::Sketch(a), State::Sketch(b)) => a.merge(b),
            _ => {}
        }
    }

    fn kind(&self) -> Kind {
        match self {
            State::Sum(_) => Kind::Sum,
            State::Moments(_) => Kind::Moments,
            State::Extreme(_) => Kind::Extreme,
            State::FirstLast(_) => Kind::FirstLast,
            State::Count(_) => Kind::Count,
            State::Flags(_) => Kind::Flags,
            State::Sketch(_) => Kind::Sketch,
        }
    }

    /// Reads the stored form; `None` if it is none of this kind.
    pub fn from_json(kind: Kind, json: &Value) -> Option<State> {
        let items = json.as_array()?;
        let count = |i: usize| items.get(i)?.as_u64();
        let float = |i: usize| items.get(i)?.as_f64();
        let double = |i: usize| Some(DoubleDouble { high: float(i)?, low: float(i + 1)? });
        let stamped = |i: usize| Some(Stamped { at: items.get(i)?.as_i64()?, value: float(i + 1)? });
        Some(match kind {
            Kind::Sum => {
                let huge = if items.len() > 3 { Some(Box::new(double(3)?)) } else { None };
                State::Sum(Sum { n: count(0)?, sum: double(1)?, huge })
            }
            Kind::Moments => {
                let powers = |i: usize| Some(Powers { sum: double(i)?, squares: double(i + 2)? });
                let apart = if items.len() > 5 { Some(Box::new([powers(5)?, powers(9)?])) } else { None };
                State::Moments(Box::new(Moments { n: count(0)?, powers: powers(1)?, apart }))
            }
            Kind::Extreme => State::Extreme(Extreme { min: float(0)?, max: float(1)? }),
            Kind::FirstLast => State::FirstLast(FirstLast { first: stamped(0)?, last: stamped(2)? }),
            Kind::Count => State::Count(Count { n: count(0)? }),
            Kind::Flags => State::Flags(Flags { n: count(0)?, flagged: count(1)? }),
            Kind::Sketch => {
                let buckets = |i: usize| -> Option<BTreeMap<i32, u64>> {
                    let pairs = items.get(i)?.as_array()?.iter();
                    pairs.map(|p| Some((i32::try_from(p[0].as_i64()?).ok()?, p[1].as_u64()?))).collect()
                };
                let (positive, negative) = (buckets(3)?, buckets(4)?);
                State::Sketch(Box::new(Sketch { min: float(0)?, max: float(1)?, zeros: count(2)?, positive, negative }))
            }
        })
    }
}

/// The stored form: a list of numbers.
impl Serialize for State {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // No state of finite values holds a number that is not finite, which JSON could not hold.
        match self {
            State::Sum(s) => match &s.huge {
                None => (s.n, s.sum.high, s.sum.low).serialize(to),
                Some(huge) => (s.n, s.sum.high, s.sum.low, huge.high, huge.low).serialize(to),
            },
            State::Moments(s) => {
                let of = |p: &Powers| [p.sum.high, p.sum.low, p.squares.high, p.squares.low];
                let mut list = to.serialize_seq(None)?;
                list.serialize_element(&s.n)?;
                let apart = s.apart.iter().flat_map(|apart| apart.iter());
                for number in std::iter::once(&s.powers).chain(apart).flat_map(of) {
                    list.serialize_element(&number)?;
                }
                list.end()
            }
            State::Extreme(s) => (s.min, s.max).serialize(to),
            State::FirstLast(s) => (s.first.at, s.first.value, s.last.at, s.last.value).serialize(to),
            State::Count(s) => [s.n].serialize(to),
            State::Flags(s) => (s.n, s.flagged).serialize(to),
            State::Sketch(s) => {
                let buckets = |b: &BTreeMap<i32, u64>| b.iter().map(|(i, n)| (*i, *n)).collect::<Vec<_>>();
                (s.min, s.max, s.zeros, buckets(&s.positive), buckets(&s.negative)).serialize(to)
            }
        }
    }
}

/// An accumulator of a partial: which definition, its own slots (they decide which source feeds a column), its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    /// Index into [`Summary::accumulators`].
    pub def: u16,
    pub slots: Slots,
    pub state: State,
}

/// The partial aggregate of one base window of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partial {
    /// Distinct (series, field, timestamp) that at least one accumulator took.
    pub samples: u64,
    /// Event time of the first and the last sample in nanoseconds; meaningless without samples.
    pub first_seen: i64,
    pub last_seen: i64,
    pub slots: Slots,
    /// Only those that hold a value, in order of first value.
    pub accumulators: Vec<Accumulator>,
    /// Lines that were counted but not journaled: a kill before the next checkpoint would have lost them.
    pub unjournaled: u64,
    /// Points that came again with another value: the raw store may have that one, so the window is due for a backfill.
    pub conflicts: u64,
    /// Stored accumulators that this configuration does not define.
    pub unknown: Option<Box<Map<String, Value>>>,
    /// What rules with a baseline judge by; made when the first one is asked.
    pub judging: Option<Box<Judging>>,
}

impl Partial {
    /// Counts one sample at `at` in slot `slot`.
    #[inline]
    pub fn sample(&mut self, at: i64, slot: u32) {
        if self.samples == 0 {
            self.first_seen = at;
            self.last_seen = at;
        } else {
            self.first_seen = self.first_seen.min(at);
            self.last_seen = self.last_seen.max(at);
        }
        self.samples += 1;
        self.slots.set(slot);
    }

    /// Folds one value into an accumulator.
    #[inline]
    pub fn observe(&mut self, def: u16, summary: &Summary, at: i64, slot: u32, value: f64) {
        let flagged = match summary.accumulators[usize::from(def)].rule {
            None => false,
            Some(Rule::When(when)) => when.holds(value),
            Some(Rule::ZScore(score)) => self.judging.get_or_insert_default().judge(def, score.threshold, value),
        };
        match self.accumulators.iter_mut().find(|a| a.def == def) {
            Some(accumulator) => {
                accumulator.slots.set(slot);
                accumulator.state.observe(at, value, flagged);
            }
            None => {
                let mut slots = Slots::default();
                slots.set(slot);
                let kind = summary.accumulators[usize::from(def)].kind;
                // Most devices feed few of them: what is not needed is not taken.
                if self.accumulators.len() < 8 {
                    self.accumulators.reserve_exact(1);
                }
                self.accumulators.push(Accumulator { def, slots, state: State::first(kind, at, value, flagged) });
            }
        }
    }

    /// Folds one value into the accumulator that stands at `place`, if it is that of the definition.
    #[inline]
    pub fn observe_at(&mut self, place: usize, def: u16, at: i64, slot: u32, value: f64, flagged: bool) -> bool {
        match self.accumulators.get_mut(place) {
            Some(accumulator) if accumulator.def == def => {
                accumulator.slots.set(slot);
                accumulator.state.observe(at, value, flagged);
                true
            }
            _ => false,
        }
    }

    /// Where the accumulator of a definition stands.
    pub fn place_of(&self, def: u16) -> Option<usize> {
        self.accumulators.iter().position(|accumulator| accumulator.def == def)
    }

    /// Adds another partial of the same window and device: other points, seen by another writer.
    pub fn merge(&mut self, other: &Partial) {
        self.unjournaled += other.unjournaled;
        self.conflicts += other.conflicts;
        if let Some(theirs) = &other.unknown {
            let mine = self.unknown.get_or_insert_default();
            for (hash, state) in theirs.iter() {
                // Two states of which nothing is known cannot be merged; they come from one past, and ours is kept.
                mine.entry(hash).or_insert_with(|| state.clone());
            }
        }
        if let Some(theirs) = &other.judging {
            self.judging.get_or_insert_default().merge(theirs);
        }
        if other.samples == 0 {
            return;
        }
        if self.samples == 0 {
            let (unjournaled, conflicts) = (self.unjournaled, self.conflicts);
            let (unknown, judging) = (self.unknown.take(), self.judging.take());
            *self = Partial { unjournaled, conflicts, unknown, judging, ..other.clone() };
            return;
        }
        self.samples += other.samples;
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.slots.merge(&other.slots);
        for theirs in &other.accumulators {
            match self.accumulators.iter_mut().find(|a| a.def == theirs.def) {
                Some(mine) => {
                    mine.slots.merge(&theirs.slots);
                    mine.state.merge(&theirs.state);
                }
                None => self.accumulators.push(theirs.clone()),
            }
        }
    }

    /// The accumulator of a definition, if it holds a value.
    pub fn accumulator(&self, def: u16) -> Option<&Accumulator> {
        self.accumulators.iter().find(|a| a.def == def)
    }

    /// True if it is settled what a rule judges the values by, or if it has been proposed.
    pub fn has_baseline(&self, def: u16) -> bool {
        let has = |judging: &Judging| judging.baseline(def).or(judging.proposed(def)).is_some();
        self.judging.as_deref().is_some_and(has)
    }

    /// Settles what a rule judges the values by, and judges those that have come before.
    pub fn settle(&mut self, def: u16, threshold: f64, baseline: Option<Baseline>) {
        let flagged = self.judging.get_or_insert_default().settle(def, threshold, baseline);
        if let Some(Accumulator { state: State::Flags(flags), .. }) =
            self.accumulators.iter_mut().find(|accumulator| accumulator.def == def)
        {
            flags.flagged += flagged;
        }
    }

    /// The stored form.
    pub fn to_json(&self, summary: &Summary) -> String {
        // Nothing in it can fail: its keys are strings, and a string takes all that is written.
        serde_json::to_string(&Stored { partial: self, summary }).unwrap_or_default()
    }

    /// Reads the stored form. Slots of another length cannot be compared with ours and are left out of coverage.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str, summary: &Summary) -> Result<Partial, String> {
        let read: Read<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let version = read.v.ok_or("no version")?;
        if version != 1 {
            return Err(format!("version {version} was written by a newer release"));
        }
        let milliseconds = |ms: Option<i64>| ms.and_then(|ms| ms.checked_mul(1_000_000));
        let same_slots = read.every == Some(summary.expect_every as f64 / 1e9);
        let slots = |hex: Option<&str>| {
            let slots = hex.and_then(Slots::from_hex).ok_or("no slots")?;
            Ok::<_, String>(if same_slots { slots } else { Slots::default() })
        };
        let of_all = slots(read.slots.as_deref())?;
        let mut accumulators = Vec::with_capacity(summary.accumulators.len());
        let mut unknown: Option<Box<Map<String, Value>>> = None;
        for (hash, text) in read.acc.as_ref().ok_or("no accumulators")? {
            let mut is_known = false;
            for (index, def) in summary.accumulators.iter().enumerate().filter(|(_, def)| def.hash == *hash) {
                is_known = true;
                let mut entry: Entry<'_> = serde_json::from_str(text.get()).map_err(|e| e.to_string())?;
                let state = entry.state(def.kind).and_then(|state| State::from_json(def.kind, &state));
                let state = state.ok_or_else(|| format!("accumulator {hash} is not a {}", def.kind.name()))?;
                debug_assert_eq!(state.kind(), def.kind);
                let slots = if entry.slots.is_some() { slots(entry.slots.as_deref())? } else { of_all.clone() };
                // A summary has at most 65,536 accumulators: the configuration check sees to it.
                accumulators.push(Accumulator { def: index as u16, slots, state });
            }
            if !is_known {
                let mut entry: Value = serde_json::from_str(text.get()).map_err(|e| e.to_string())?;
                if entry.is_object() && entry["slots"].is_null() {
                    // Those of the whole, as they were: the whole goes on without it.
                    entry["slots"] = read.slots.as_deref().into();
                }
                unknown.get_or_insert_default().insert(hash.to_string(), entry);
            }
        }
        Ok(Partial {
            samples: read.n.ok_or("no sample count")?,
            first_seen: milliseconds(read.first).ok_or("no first time")?,
            last_seen: milliseconds(read.last).ok_or("no last time")?,
            slots: of_all,
            accumulators,
            unjournaled: read.uj,
            conflicts: read.stale,
            unknown,
            judging: read.base.map(|base| Box::new(Judging::from_json(&base, summary))),
        })
    }
}

/// Writes a partial; the keys are in order.
struct Stored<'p> {
    partial: &'p Partial,
    summary: &'p Summary,
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Stored { partial, summary } = self;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("acc", &StoredAccumulators(self))?;
        if let Some(judging) = &partial.judging {
            map.serialize_entry("base", &judging.to_json(summary))?;
        }
        map.serialize_entry("every", &(summary.expect_every as f64 / 1e9))?;
        map.serialize_entry("first", &partial.first_seen.div_euclid(1_000_000))?;
        map.serialize_entry("last", &partial.last_seen.div_euclid(1_000_000))?;
        map.serialize_entry("n", &partial.samples)?;
        map.serialize_entry("slots", &partial.slots.to_hex())?;
        if partial.conflicts > 0 {
            map.serialize_entry("stale", &partial.conflicts)?;
        }
        if partial.unjournaled > 0 {
            map.serialize_entry("uj", &partial.unjournaled)?;
        }
        map.serialize_entry("v", &1)?;
        map.end()
    }
}

struct StoredAccumulators<'p>(&'p Stored<'p>);

impl Serialize for StoredAccumulators<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        enum Part<'p> {
            Known(&'p Accumulator),
            Unknown(&'p Value),
        }
        let Stored { partial, summary } = self.0;
        let def = |accumulator: &Accumulator| &summary.accumulators[usize::from(accumulator.def)];
        let known = partial.accumulators.iter().map(|a| (def(a).hash.as_str(), Part::Known(a)));
        let unknown = partial.unknown.iter().flat_map(|unknown| unknown.iter());
        let mut parts: Vec<_> =
            unknown.map(|(hash, entry)| (hash.as_str(), Part::Unknown(entry))).chain(known).collect();
        parts.sort_by_key(|(hash, _)| *hash);
        let mut map = to.serialize_map(Some(parts.len()))?;
        for (hash, part) in parts {
            match part {
                Part::Unknown(entry) => map.serialize_entry(hash, entry)?,
                Part::Known(accumulator) => {
                    let slots = (accumulator.slots != partial.slots).then(|| accumulator.slots.to_hex());
                    let (kind, state) = (def(accumulator).kind, &accumulator.state);
                    map.serialize_entry(hash, &StoredAccumulator { kind, slots, state })?;
                }
            }
        }
        map.end()
    }
}

struct StoredAccumulator<'p> {
    kind: Kind,
    /// If they are others than those of the whole.
    slots: Option<String>,
    state: &'p State,
}

impl Serialize for StoredAccumulator<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry(self.kind.name(), self.state)?;
        if let Some(slots) = &self.slots {
            map.serialize_entry("slots", slots)?;
        }
        map.end()
    }
}

/// What is read of a stored partial.
#[derive(Deserialize)]
struct Read<'t> {
    v: Option<u64>,
    every: Option<f64>,
    n: Option<u64>,
    first: Option<i64>,
    last: Option<i64>,
    #[serde(borrow)]
    slots: Option<Cow<'t, str>>,
    #[serde(borrow)]
    acc: Option<BTreeMap<Cow<'t, str>, &'t RawValue>>,
    #[serde(default)]
    uj: u64,
    #[serde(default)]
    stale: u64,
    base: Option<Value>,
}

/// What is read of a stored accumulator: its slots, and the state under the name of its kind.
#[derive(Deserialize)]
struct Entry<'t> {
    #[serde(borrow)]
    slots: Option<Cow<'t, str>>,
    sum: Option<Value>,
    moments: Option<Value>,
    extreme: Option<Value>,
    firstlast: Option<Value>,
    count: Option<Value>,
    flags: Option<Value>,
    sketch: Option<Value>,
}

impl Entry<'_> {
    fn state(&mut self, kind: Kind) -> Option<Value> {
        let state = match kind {
            Kind::Sum => &mut self.sum,
            Kind::Moments => &mut self.moments,
            Kind::Extreme => &mut self.extreme,
            Kind::FirstLast => &mut self.firstlast,
            Kind::Count => &mut self.count,
            Kind::Flags => &mut self.flags,
            Kind::Sketch => &mut self.sketch,
        };
        state.take()
    }
}
