//! Counters of what becomes of the values of a field, and of a column.
//!
//! A value that every column of its field takes, as nearly every value is, is counted once, at the field: series that feed
//! the same share it ([`super::feed::Shape`]), so it costs no memory for each of them. What the columns of a field judge each in
//! its own way is counted at the column. A column's figures are the sum of both, see [`super::columns`].
//!
//! Invariant: nothing is counted at both.

use crate::engine::counters::{ColumnReason, Tally};
use crate::engine::ids::{ColumnIndex, SeriesIndex};

/// A feed of a field that a column shows.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    pub column: ColumnIndex,
    /// Which of the field's targets, and which of its feeds.
    pub target: usize,
    pub feed: usize,
}

/// What has become of the values of a field, in all series of a shape.
#[derive(Clone, Debug, Default)]
pub struct FieldTally {
    /// What concerns all columns of the field.
    pub all: Tally,
    /// What the columns show of the field, in order of the columns.
    pub takers: Box<[Taker]>,
    /// The line that has had it last, of those that lack fields.
    pub line: u64,
}

impl FieldTally {
    /// The columns of the field, each once, with what they show of it.
    pub fn columns(&self) -> impl Iterator<Item = (ColumnIndex, &[Taker])> {
        self.takers.chunk_by(|a, b| a.column == b.column).map(|takers| (takers[0].column, takers))
    }
}

/// What is counted at a column.
#[derive(Clone, Debug, Default)]
pub struct ColumnTally {
    pub own: Tally,
    /// The line that was looked at last for a field of the column, of those that lack fields.
    pub line: u64,
    /// The last series whose values for one time differ too often, and how many of a hundred do.
    pub differs: Option<(SeriesIndex, u8)>,
}

/// What is counted at the columns, by [`ColumnIndex`].
#[derive(Debug, Default)]
pub struct ColumnTallies(pub Vec<ColumnTally>);

impl ColumnTallies {
    /// Counts a value at each column of a field: as a point, or with the reason for which none of its feeds takes it.
    #[cold]
    pub fn judge(&mut self, field: &FieldTally, at: i64, refusal: impl Fn(&Taker) -> Option<ColumnReason>) {
        for (column, takers) in field.columns() {
            let refused = takers.iter().map(&refusal).reduce(|first, other| first.filter(|_| other.is_some()));
            let tally = &mut self.0[column.at()].own;
            match refused.flatten() {
                None => tally.take(at),
                Some(reason) => tally.leave(reason),
            }
        }
    }

    /// Counts a value at each column of a field none of whose feeds takes it, if that is for `reason`.
    pub fn leave(
        &mut self,
        field: &FieldTally,
        reason: ColumnReason,
        refusal: impl Fn(&Taker) -> Option<ColumnReason>,
    ) {
        for (column, takers) in field.columns() {
            if takers.iter().all(|taker| refusal(taker) == Some(reason)) {
                self.0[column.at()].own.leave(reason);
            }
        }
    }

    /// Notes how many of a hundred values of a series came for a time that had another one, if those are too many.
    #[cold]
    pub fn differs(&mut self, field: &FieldTally, series: SeriesIndex, share: Option<u8>) {
        let Some(share) = share else { return };
        for (column, _) in field.columns() {
            self.0[column.at()].differs = Some((series, share));
        }
    }
}
