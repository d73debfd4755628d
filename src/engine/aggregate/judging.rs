//! What a z-score rule judges by: mean and deviation of the windows before, settled once for each window.
//!
//! A value is flagged if it lies further from the mean than `threshold` deviations. What it is judged by is settled when the
//! first value of its source comes into the window, and kept with the partial, so that a replay finds the same. In a window
//! that has left memory it may have been settled before, so there it is only proposed, and the values wait until stored
//! state has been asked.

use crate::engine::ids::DefIndex;
use crate::engine::schema::Summary;
use serde_json::{Value, json};

/// Mean and sample standard deviation of the values of the windows before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    pub mean: f64,
    pub deviation: f64,
}

/// By what the rules of a window judge, each under its accumulator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judging {
    /// Without a baseline there were too few windows before, and nothing is flagged.
    baselines: Vec<(DefIndex, Option<Baseline>)>,
    /// What it would be, found when the first value came into a window that is not complete.
    proposed: Vec<(DefIndex, Option<Baseline>)>,
    waiting: Vec<(DefIndex, f64)>,
    /// Rules for which stored state is to be asked what that is.
    wanted: Vec<DefIndex>,
}

/// What a list has for an accumulator.
fn find(list: &[(DefIndex, Option<Baseline>)], def: DefIndex) -> Option<Option<Baseline>> {
    list.iter().find(|(d, _)| *d == def).map(|(_, baseline)| *baseline)
}

impl Baseline {
    /// True if a value lies further from the mean than so many deviations.
    pub fn flags(&self, threshold: f64, value: f64) -> bool {
        (value - self.mean).abs() > threshold * self.deviation
    }
}

impl Judging {
    /// What a rule judges by, if that is settled.
    pub fn baseline(&self, def: DefIndex) -> Option<Option<Baseline>> {
        find(&self.baselines, def)
    }

    /// What has been proposed for a rule.
    pub fn proposed(&self, def: DefIndex) -> Option<Option<Baseline>> {
        find(&self.proposed, def)
    }

    /// Notes what a rule would judge by, if nothing was settled before.
    pub fn propose(&mut self, def: DefIndex, baseline: Option<Baseline>) {
        if self.proposed(def).is_none() {
            self.proposed.push((def, baseline));
        }
    }

    /// Notes that what a rule judges by is to be found in stored state.
    pub fn want(&mut self, def: DefIndex) {
        if !self.wants(def) {
            self.wanted.push(def);
        }
    }

    /// True if what a rule judges by is to be found in stored state.
    pub fn wants(&self, def: DefIndex) -> bool {
        self.wanted.contains(&def)
    }

    /// True if values wait for what a rule judges by.
    pub fn waits(&self, def: DefIndex) -> bool {
        self.waiting.iter().any(|(d, _)| *d == def)
    }

    /// True if the value is flagged; keeps it for later if it is not settled by what.
    pub fn judge(&mut self, def: DefIndex, threshold: f64, value: f64) -> bool {
        match self.baseline(def) {
            Some(baseline) => baseline.is_some_and(|baseline| baseline.flags(threshold, value)),
            None => {
                self.waiting.push((def, value));
                false
            }
        }
    }

    /// Settles what a rule judges by, unless it is settled. Returns how many of the values that have waited are
    /// flagged.
    pub fn settle(&mut self, def: DefIndex, threshold: f64, baseline: Option<Baseline>) -> u64 {
        if self.baseline(def).is_none() {
            self.baselines.push((def, baseline));
        }
        self.proposed.retain(|(d, _)| *d != def);
        self.wanted.retain(|d| *d != def);
        let baseline = self.baseline(def).flatten();
        let mut flagged = 0;
        for (_, value) in self.waiting.extract_if(.., |(waiting, _)| *waiting == def) {
            flagged += u64::from(baseline.is_some_and(|baseline| baseline.flags(threshold, value)));
        }
        flagged
    }

    /// Takes over what another part of the same window has. Of two that differ, the one with the larger mean stays, so that
    /// the order does not matter.
    pub fn merge(&mut self, other: &Judging) {
        self.waiting.extend_from_slice(&other.waiting);
        other.proposed.iter().for_each(|(def, baseline)| self.propose(*def, *baseline));
        other.wanted.iter().for_each(|def| self.want(*def));
        for (def, theirs) in &other.baselines {
            match self.baselines.iter_mut().find(|(d, _)| d == def) {
                None => self.baselines.push((*def, *theirs)),
                Some((_, mine)) => {
                    let order = |b: &Option<Baseline>| b.map(|b| (b.mean, b.deviation));
                    if order(theirs) > order(mine) {
                        *mine = *theirs;
                    }
                }
            }
        }
    }

    /// The stored form: `[mean, deviation]` under the hash of each definition, `[]` without a baseline. Nothing waits in a
    /// window that is complete, and no other is stored.
    pub fn to_json(&self, summary: &Summary) -> Value {
        let entry = |(def, baseline): &(DefIndex, Option<Baseline>)| {
            let numbers = baseline.map_or(json!([]), |b| json!([b.mean, b.deviation]));
            (summary.accumulators[def.at()].hash.clone(), numbers)
        };
        Value::Object(self.baselines.iter().map(entry).collect())
    }

    /// Reads the stored form; a definition that is not known is left out.
    pub fn from_json(json: &Value, summary: &Summary) -> Judging {
        let entry = |(hash, numbers): (&String, &Value)| {
            let (def, _) = summary.scores.iter().find(|(def, _)| summary.accumulators[def.at()].hash == *hash)?;
            let baseline = numbers[0].as_f64().zip(numbers[1].as_f64());
            Some((*def, baseline.map(|(mean, deviation)| Baseline { mean, deviation })))
        };
        let baselines = json.as_object().into_iter().flatten().filter_map(entry).collect();
        Judging { baselines, ..Judging::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: Baseline = Baseline { mean: 10.0, deviation: 2.0 };

    #[test]
    fn both_sides_count_and_the_edge_does_not() {
        for (value, flagged) in [(16.0, false), (16.1, true), (4.0, false), (3.9, true), (10.0, false)] {
            assert_eq!(BASELINE.flags(3.0, value), flagged, "{value}");
        }
        let flat = Baseline { mean: 0.1, deviation: 0.0 };
        assert!(!flat.flags(3.0, 0.1));
        assert!(flat.flags(3.0, 0.2));
    }

    #[test]
    fn what_waits_is_judged_once() {
        let mut judging = Judging::default();
        assert!(!judging.judge(DefIndex(1), 3.0, 20.0));
        assert!(!judging.judge(DefIndex(2), 3.0, 20.0));
        assert!(!judging.judge(DefIndex(1), 3.0, 11.0));
        assert_eq!(judging.settle(DefIndex(1), 3.0, Some(BASELINE)), 1);
        assert_eq!(judging.settle(DefIndex(1), 3.0, Some(BASELINE)), 0);
        assert!(judging.judge(DefIndex(1), 3.0, 20.0));
        assert_eq!(judging.settle(DefIndex(2), 3.0, None), 0);
        assert!(!judging.judge(DefIndex(2), 3.0, 1e9));
    }
}
