//! Percentiles: a DDSketch, which answers within 1 % relative and merges exactly.
//!
//! Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A fast and fully-mergeable quantile sketch with relative-error
//! guarantees", PVLDB 12(12), 2019. A positive value x is counted in bucket `ceil(log_g x)` with `g = (1 + a) / (1 - a)`,
//! and is read back as `2 g^i / (g + 1)`. Buckets are never collapsed: an hour touches few of them, and so the merge of
//! parts is the same as the whole, to the last bit.

use std::collections::BTreeMap;

/// The relative accuracy of an answer.
pub const ACCURACY: f64 = 0.01;
/// `ln g`.
const LN_GAMMA: f64 = 0.020_000_666_706_669_435;

/// Counts of values by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    pub zeros: u64,
    /// Bucket and count of positive values.
    pub positive: BTreeMap<i32, u64>,
    /// Bucket and count of the magnitude of negative values.
    pub negative: BTreeMap<i32, u64>,
    /// Exact bounds of all values; meaningless without any.
    pub min: f64,
    pub max: f64,
}

fn bucket(magnitude: f64) -> i32 {
    // The logarithm of a double is between -745 and 710, so its bucket fits.
    (magnitude.ln() / LN_GAMMA).ceil() as i32
}

fn middle(bucket: i32) -> f64 {
    // 2 g^i / (g + 1) = (1 - a) g^i, because g + 1 = 2 / (1 - a).
    (1.0 - ACCURACY) * (f64::from(bucket) * LN_GAMMA).exp()
}

impl Sketch {
    /// Number of values.
    pub fn n(&self) -> u64 {
        self.zeros + self.positive.values().sum::<u64>() + self.negative.values().sum::<u64>()
    }

    fn is_empty(&self) -> bool {
        self.zeros == 0 && self.positive.is_empty() && self.negative.is_empty()
    }

    pub fn observe(&mut self, value: f64) {
        (self.min, self.max) =
            if self.is_empty() { (value, value) } else { (self.min.min(value), self.max.max(value)) };
        if value > 0.0 {
            *self.positive.entry(bucket(value)).or_default() += 1;
        } else if value < 0.0 {
            *self.negative.entry(bucket(-value)).or_default() += 1;
        } else {
            self.zeros += 1;
        }
    }

    pub fn merge(&mut self, other: &Sketch) {
        if other.is_empty() {
            return;
        }
        (self.min, self.max) =
            if self.is_empty() { (other.min, other.max) } else { (self.min.min(other.min), self.max.max(other.max)) };
        self.zeros += other.zeros;
        for (bucket, count) in &other.positive {
            *self.positive.entry(*bucket).or_default() += count;
        }
        for (bucket, count) in &other.negative {
            *self.negative.entry(*bucket).or_default() += count;
        }
    }

    /// The value below which a share `q` (0 to 1) of the values lies: that of rank `floor(q * (n - 1))`, counted from the
    /// smallest, within [`ACCURACY`]. `None` without values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let n = self.n();
        let rank = (q * n.checked_sub(1)? as f64).floor() as u64;
        let mut below = 0;
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-middle(*bucket), *count));
        let positive = self.positive.iter().map(|(bucket, count)| (middle(*bucket), *count));
        for (value, count) in negative.chain(std::iter::once((0.0, self.zeros))).chain(positive) {
            below += count;
            if below > rank {
                return Some(value.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_is_the_logarithm_of_gamma() {
        assert_eq!(((1.0 + ACCURACY) / (1.0 - ACCURACY)).ln(), LN_GAMMA);
    }

    #[test]
    fn answers_are_within_a_percent_and_agree_with_another_implementation() {
        use sketches_ddsketch::{Config, DDSketch};
        let mut values: Vec<f64> =
            (1..=5000_i64).map(|i| ((i * 7919 % 5003 - 1500) as f64) * 10f64.powi((i % 7) as i32 - 3)).collect();
        let (mut ours, mut theirs) = (Sketch::default(), DDSketch::new(Config::defaults()));
        for value in &values {
            ours.observe(*value);
            theirs.add(*value);
        }
        values.sort_by(f64::total_cmp);
        for percent in 0..=1000 {
            let q = f64::from(percent) / 1000.0;
            let exact = values[(q * 4999.0).floor() as usize];
            let found = ours.quantile(q).expect("values");
            assert!((found - exact).abs() <= exact.abs() * 0.010_000_001, "{q}: {found}, not {exact}");
            let second = theirs.quantile(q).expect("a quantile").expect("values");
            assert!((found - second).abs() <= exact.abs() * 0.021, "{q}: {found}, they say {second}");
        }
    }

    #[test]
    fn any_split_in_any_order_is_the_whole() {
        let values: Vec<f64> = (0..300).map(|i| f64::from(i * 37 % 101 - 50) * 1.37).collect();
        let mut whole = Sketch::default();
        values.iter().for_each(|v| whole.observe(*v));
        let mut parts = vec![Sketch::default(); 7];
        values.iter().rev().enumerate().for_each(|(i, v)| parts[i % 7].observe(*v));
        let mut merged = Sketch::default();
        parts.iter().rev().for_each(|part| merged.merge(part));
        assert_eq!(merged, whole);
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}
