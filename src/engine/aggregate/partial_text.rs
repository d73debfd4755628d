//! The stored form of a partial: JSON text, the same in state, journal of the sink and tables; see [`super::partial`].

use super::coverage::Slots;
use super::judging::Judging;
use super::kind::Kind;
use super::partial::{Accumulator, Partial};
use super::state::AccumulatorState;
use crate::engine::ids::DefIndex;
use crate::engine::schema::Summary;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Partial {
    /// The stored form.
    pub fn to_json(&self, summary: &Summary) -> String {
        // Nothing in it can fail: its keys are strings, and a string takes all that is written.
        serde_json::to_string(&PartialText { partial: self, summary }).unwrap_or_default()
    }

    /// Reads the stored form. Slots of another length cannot be compared with ours and are left out of coverage.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str, summary: &Summary) -> Result<Partial, String> {
        let read: ReadPartial<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
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
                let mut entry: ReadAccumulator<'_> = serde_json::from_str(text.get()).map_err(|e| e.to_string())?;
                let state = entry.state(def.kind).and_then(|state| AccumulatorState::from_json(def.kind, &state));
                let state = state.ok_or_else(|| format!("accumulator {hash} is not a {}", def.kind.name()))?;
                debug_assert_eq!(state.kind(), def.kind);
                let slots = if entry.slots.is_some() { slots(entry.slots.as_deref())? } else { of_all.clone() };
                // A summary has at most 65,536 accumulators: the configuration check sees to it.
                accumulators.push(Accumulator { def: DefIndex::of(index), slots, state });
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
struct PartialText<'p> {
    partial: &'p Partial,
    summary: &'p Summary,
}

impl Serialize for PartialText<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let PartialText { partial, summary } = self;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("acc", &AccumulatorsText(self))?;
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

struct AccumulatorsText<'p>(&'p PartialText<'p>);

impl Serialize for AccumulatorsText<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        enum Entry<'p> {
            Known(&'p Accumulator),
            Unknown(&'p Value),
        }
        let PartialText { partial, summary } = self.0;
        let def = |accumulator: &Accumulator| &summary.accumulators[accumulator.def.at()];
        let known = partial.accumulators.iter().map(|a| (def(a).hash.as_str(), Entry::Known(a)));
        let unknown = partial.unknown.iter().flat_map(|unknown| unknown.iter());
        let mut parts: Vec<_> =
            unknown.map(|(hash, entry)| (hash.as_str(), Entry::Unknown(entry))).chain(known).collect();
        parts.sort_by_key(|(hash, _)| *hash);
        let mut map = to.serialize_map(Some(parts.len()))?;
        for (hash, part) in parts {
            match part {
                Entry::Unknown(entry) => map.serialize_entry(hash, entry)?,
                Entry::Known(accumulator) => {
                    let slots = (accumulator.slots != partial.slots).then(|| accumulator.slots.to_hex());
                    let (kind, state) = (def(accumulator).kind, &accumulator.state);
                    map.serialize_entry(hash, &AccumulatorText { kind, slots, state })?;
                }
            }
        }
        map.end()
    }
}

struct AccumulatorText<'p> {
    kind: Kind,
    /// If they are others than those of the whole.
    slots: Option<String>,
    state: &'p AccumulatorState,
}

impl Serialize for AccumulatorText<'_> {
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
struct ReadPartial<'t> {
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
struct ReadAccumulator<'t> {
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

impl ReadAccumulator<'_> {
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
