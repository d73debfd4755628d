//! The state of one accumulator, of any kind: what it does with a value, and how it is stored.

use super::count::{Count, Flags};
use super::double_double::DoubleDouble;
use super::extreme::Extreme;
use super::first_last::{FirstLast, Stamped};
use super::kind::Kind;
use super::moments::{Moments, Powers, Sum};
use super::sketch::Sketch;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// One accumulator's state; it exists only if it has taken a value.
#[derive(Clone, Debug, PartialEq)]
pub enum AccumulatorState {
    Sum(Sum),
    Moments(Box<Moments>),
    Extreme(Extreme),
    FirstLast(FirstLast),
    Count(Count),
    Flags(Flags),
    Sketch(Box<Sketch>),
}

impl AccumulatorState {
    /// The state after one value. `value` is `None` for a string, which only a count takes.
    pub(super) fn first(kind: Kind, at: i64, value: f64, flagged: bool) -> AccumulatorState {
        match kind {
            Kind::Sum => {
                let mut sum = Sum::default();
                sum.observe(value);
                AccumulatorState::Sum(sum)
            }
            Kind::Moments => {
                let mut moments = Box::<Moments>::default();
                moments.observe(value);
                AccumulatorState::Moments(moments)
            }
            Kind::Extreme => AccumulatorState::Extreme(Extreme::of(value)),
            Kind::FirstLast => AccumulatorState::FirstLast(FirstLast::of(at, value)),
            Kind::Count => AccumulatorState::Count(Count { n: 1 }),
            Kind::Flags => AccumulatorState::Flags(Flags { n: 1, flagged: u64::from(flagged) }),
            Kind::Sketch => {
                let mut sketch = Box::<Sketch>::default();
                sketch.observe(value);
                AccumulatorState::Sketch(sketch)
            }
        }
    }

    #[inline]
    pub(super) fn observe(&mut self, at: i64, value: f64, flagged: bool) {
        match self {
            AccumulatorState::Sum(s) => s.observe(value),
            AccumulatorState::Moments(s) => s.observe(value),
            AccumulatorState::Extreme(s) => s.observe(value),
            AccumulatorState::FirstLast(s) => s.observe(at, value),
            AccumulatorState::Count(s) => s.observe(),
            AccumulatorState::Flags(s) => s.observe(flagged),
            AccumulatorState::Sketch(s) => s.observe(value),
        }
    }

    /// Merges a state of the same kind; a state of another kind, which no correct writer stores under the same hash, is
    /// ignored.
    pub fn merge(&mut self, other: &AccumulatorState) {
        match (self, other) {
            (AccumulatorState::Sum(a), AccumulatorState::Sum(b)) => a.merge(b),
            (AccumulatorState::Moments(a), AccumulatorState::Moments(b)) => a.merge(b),
            (AccumulatorState::Extreme(a), AccumulatorState::Extreme(b)) => a.merge(b),
            (AccumulatorState::FirstLast(a), AccumulatorState::FirstLast(b)) => a.merge(b),
            (AccumulatorState::Count(a), AccumulatorState::Count(b)) => a.merge(b),
            (AccumulatorState::Flags(a), AccumulatorState::Flags(b)) => a.merge(b),
            (AccumulatorState::Sketch(a), AccumulatorState::Sketch(b)) => a.merge(b),
            _ => {}
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            AccumulatorState::Sum(_) => Kind::Sum,
            AccumulatorState::Moments(_) => Kind::Moments,
            AccumulatorState::Extreme(_) => Kind::Extreme,
            AccumulatorState::FirstLast(_) => Kind::FirstLast,
            AccumulatorState::Count(_) => Kind::Count,
            AccumulatorState::Flags(_) => Kind::Flags,
            AccumulatorState::Sketch(_) => Kind::Sketch,
        }
    }

    /// Reads the stored form; `None` if it is none of this kind.
    pub fn from_json(kind: Kind, json: &Value) -> Option<AccumulatorState> {
        let items = json.as_array()?;
        let count = |i: usize| items.get(i)?.as_u64();
        let float = |i: usize| items.get(i)?.as_f64();
        let double = |i: usize| Some(DoubleDouble { high: float(i)?, low: float(i + 1)? });
        let stamped = |i: usize| Some(Stamped { at: items.get(i)?.as_i64()?, value: float(i + 1)? });
        Some(match kind {
            Kind::Sum => {
                let huge = if items.len() > 3 { Some(Box::new(double(3)?)) } else { None };
                AccumulatorState::Sum(Sum { n: count(0)?, sum: double(1)?, huge })
            }
            Kind::Moments => {
                let powers = |i: usize| Some(Powers { sum: double(i)?, squares: double(i + 2)? });
                let apart = if items.len() > 5 { Some(Box::new([powers(5)?, powers(9)?])) } else { None };
                AccumulatorState::Moments(Box::new(Moments { n: count(0)?, powers: powers(1)?, apart }))
            }
            Kind::Extreme => AccumulatorState::Extreme(Extreme { min: float(0)?, max: float(1)? }),
            Kind::FirstLast => AccumulatorState::FirstLast(FirstLast { first: stamped(0)?, last: stamped(2)? }),
            Kind::Count => AccumulatorState::Count(Count { n: count(0)? }),
            Kind::Flags => AccumulatorState::Flags(Flags { n: count(0)?, flagged: count(1)? }),
            Kind::Sketch => {
                let buckets = |i: usize| -> Option<BTreeMap<i32, u64>> {
                    let pairs = items.get(i)?.as_array()?.iter();
                    pairs.map(|p| Some((i32::try_from(p[0].as_i64()?).ok()?, p[1].as_u64()?))).collect()
                };
                let (positive, negative) = (buckets(3)?, buckets(4)?);
                AccumulatorState::Sketch(Box::new(Sketch {
                    min: float(0)?,
                    max: float(1)?,
                    zeros: count(2)?,
                    positive,
                    negative,
                }))
            }
        })
    }
}

/// The stored form: a list of numbers.
impl Serialize for AccumulatorState {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // No state of finite values holds a number that is not finite, which JSON could not hold.
        match self {
            AccumulatorState::Sum(s) => match &s.huge {
                None => (s.n, s.sum.high, s.sum.low).serialize(to),
                Some(huge) => (s.n, s.sum.high, s.sum.low, huge.high, huge.low).serialize(to),
            },
            AccumulatorState::Moments(s) => {
                let of = |p: &Powers| [p.sum.high, p.sum.low, p.squares.high, p.squares.low];
                let mut list = to.serialize_seq(None)?;
                list.serialize_element(&s.n)?;
                let apart = s.apart.iter().flat_map(|apart| apart.iter());
                for number in std::iter::once(&s.powers).chain(apart).flat_map(of) {
                    list.serialize_element(&number)?;
                }
                list.end()
            }
            AccumulatorState::Extreme(s) => (s.min, s.max).serialize(to),
            AccumulatorState::FirstLast(s) => (s.first.at, s.first.value, s.last.at, s.last.value).serialize(to),
            AccumulatorState::Count(s) => [s.n].serialize(to),
            AccumulatorState::Flags(s) => (s.n, s.flagged).serialize(to),
            AccumulatorState::Sketch(s) => {
                let buckets = |b: &BTreeMap<i32, u64>| b.iter().map(|(i, n)| (*i, *n)).collect::<Vec<_>>();
                (s.min, s.max, s.zeros, buckets(&s.positive), buckets(&s.negative)).serialize(to)
            }
        }
    }
}
