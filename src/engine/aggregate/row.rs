//! Partials -> one row of a summary table.
//!
//! Which source feeds a column is decided for each hour, from the merge of all writers' partials of that hour: the
//! source with the most slots that hold a sample, the first of equals. The day is the merge of the states that were
//! chosen for its hours, never an average of averages.

use super::partial::Partial;
use super::state::AccumulatorState;
use crate::engine::ids::DefIndex;
use crate::engine::schema::{Column, Group, Method, Summary};

/// The value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// No sample, or a result that is not a finite number.
    Null,
    Integer(i64),
    Float(f64),
}

/// What the row says beside its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Summed {
    /// One for each column of the summary, in order.
    pub cells: Vec<Cell>,
    pub samples: u64,
    /// Share of the window's slots that hold a sample, 0 to 1.
    pub coverage: f64,
    /// Event time of the first and the last sample in nanoseconds; `None` without samples.
    pub seen: Option<(i64, i64)>,
}

/// What some base windows of a window come to, each already merged over all writers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Total {
    /// One for each column of the summary.
    states: Vec<Option<AccumulatorState>>,
    samples: u64,
    /// Slots that hold a sample.
    marked: u64,
    seen: Option<(i64, i64)>,
}

impl Total {
    /// Adds a base window. In the order of time, sums of doubles are the same whoever adds.
    pub fn add(&mut self, summary: &Summary, hour: &Partial) {
        self.states.resize(summary.columns.len(), None);
        for (column, total) in summary.columns.iter().zip(&mut self.states) {
            for chosen in column.groups.iter().filter_map(|group| chosen(group, hour)) {
                match total {
                    None => *total = Some(chosen.clone()),
                    Some(total) => total.merge(chosen),
                }
            }
        }
        if hour.samples > 0 {
            self.samples += hour.samples;
            self.marked += hour.slots.count();
            // Stored partials have milliseconds: the row is the same wherever the partial comes from.
            let cut = |at: i64| at.div_euclid(1_000_000) * 1_000_000;
            let (from, until) = (cut(hour.first_seen), cut(hour.last_seen));
            self.seen = Some(match self.seen {
                None => (from, until),
                Some((first, last)) => (first.min(from), last.max(until)),
            });
        }
    }

    /// What the row says; `slots` is the number of slots in the whole window.
    pub fn finish(&self, summary: &Summary, slots: u64) -> Summed {
        let cell = |(i, column): (usize, &Column)| {
            let state = self.states.get(i).and_then(Option::as_ref);
            state.map_or(Cell::Null, |state| finalize(column.method, state))
        };
        Summed {
            cells: summary.columns.iter().enumerate().map(cell).collect(),
            samples: self.samples,
            coverage: if slots == 0 { 0.0 } else { (self.marked as f64 / slots as f64).min(1.0) },
            seen: self.seen,
        }
    }
}

/// Sums up a window from the partials of its base windows in the order of time, each already merged over all writers.
///
/// `slots` is the number of slots in the whole window.
pub fn sum_up(summary: &Summary, hours: &[Partial], slots: u64) -> Summed {
    let mut total = Total::default();
    hours.iter().for_each(|hour| total.add(summary, hour));
    total.finish(summary, slots)
}

/// The state of the source that feeds the column in this hour.
fn chosen<'h>(group: &Group, hour: &'h Partial) -> Option<&'h AccumulatorState> {
    let mut best: Option<(u64, DefIndex)> = None;
    for (def, by) in group.defs.iter().zip(&group.chosen_by) {
        let Some(accumulator) = hour.accumulator(*by) else { continue };
        let slots = accumulator.slots.count();
        if best.is_none_or(|(most, _)| slots > most) {
            best = Some((slots, *def));
        }
    }
    hour.accumulator(best?.1).map(|accumulator| &accumulator.state)
}

fn finalize(method: Method, state: &AccumulatorState) -> Cell {
    let float = |value: f64| {
        // Adding zero turns -0 into 0.
        if value.is_finite() { Cell::Float(value + 0.0) } else { Cell::Null }
    };
    let integer = |value: u64| i64::try_from(value).map_or(Cell::Null, Cell::Integer);
    match (method, state) {
        (Method::Avg, AccumulatorState::Sum(s)) => float(s.mean()),
        (Method::Sum, AccumulatorState::Sum(s)) => float(s.total()),
        (Method::Stddev, AccumulatorState::Moments(s)) => s.deviation().map_or(Cell::Null, float),
        (Method::Min, AccumulatorState::Extreme(s)) => float(s.min),
        (Method::Max, AccumulatorState::Extreme(s)) => float(s.max),
        (Method::Range, AccumulatorState::Extreme(s)) => float(s.max - s.min),
        (Method::First, AccumulatorState::FirstLast(s)) => float(s.first.value),
        (Method::Last, AccumulatorState::FirstLast(s)) => float(s.last.value),
        (Method::Count, AccumulatorState::Count(s)) => integer(s.n),
        (Method::Anomalies, AccumulatorState::Flags(s)) => integer(s.flagged),
        (Method::Percentile(millionths), AccumulatorState::Sketch(s)) => {
            s.quantile(f64::from(millionths) / 1e6).map_or(Cell::Null, float)
        }
        _ => Cell::Null,
    }
}
