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

use super::coverage::Slots;
use super::judging::{Baseline, Judging};
use super::state::AccumulatorState;
use crate::engine::ids::DefIndex;
use crate::engine::schema::{Rule, Summary};
use serde_json::{Map, Value};

/// An accumulator of a partial: which definition, its own slots (they decide which source feeds a column), its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    /// Index into [`Summary::accumulators`].
    pub def: DefIndex,
    pub slots: Slots,
    pub state: AccumulatorState,
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
    pub fn observe(&mut self, def: DefIndex, summary: &Summary, at: i64, slot: u32, value: f64) {
        let flagged = match summary.accumulators[def.at()].rule {
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
                let kind = summary.accumulators[def.at()].kind;
                // Most devices feed few of them: what is not needed is not taken.
                if self.accumulators.len() < 8 {
                    self.accumulators.reserve_exact(1);
                }
                self.accumulators.push(Accumulator {
                    def,
                    slots,
                    state: AccumulatorState::first(kind, at, value, flagged),
                });
            }
        }
    }

    /// Folds one value into the accumulator that stands at `place`, if it is that of the definition.
    #[inline]
    pub fn observe_at(&mut self, place: usize, def: DefIndex, at: i64, slot: u32, value: f64, flagged: bool) -> bool {
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
    pub fn place_of(&self, def: DefIndex) -> Option<usize> {
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
    pub fn accumulator(&self, def: DefIndex) -> Option<&Accumulator> {
        self.accumulators.iter().find(|a| a.def == def)
    }

    /// True if it is settled what a rule judges the values by, or if it has been proposed, or is to be found in stored state.
    pub fn has_baseline(&self, def: DefIndex) -> bool {
        let has = |judging: &Judging| judging.baseline(def).or(judging.proposed(def)).is_some() || judging.wants(def);
        self.judging.as_deref().is_some_and(has)
    }

    /// Settles what a rule judges the values by, and judges those that have come before.
    pub fn settle(&mut self, def: DefIndex, threshold: f64, baseline: Option<Baseline>) {
        let flagged = self.judging.get_or_insert_default().settle(def, threshold, baseline);
        if let Some(Accumulator { state: AccumulatorState::Flags(flags), .. }) =
            self.accumulators.iter_mut().find(|accumulator| accumulator.def == def)
        {
            flags.flagged += flagged;
        }
    }
}
