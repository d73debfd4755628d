//! The columns of all summaries, and what has become of their values.

use super::feed::{Field, Sample, Shape};
use super::tally::{ColumnTallies, ColumnTally, Taker};
use crate::engine::counters::{ColumnReason, Tally};
use crate::engine::ids::{ColumnIndex, SummaryIndex};
use crate::engine::schema::{Column, Schema, Summary};

/// All columns of a schema with their summaries, in the order of their indexes.
pub fn columns(schema: &Schema) -> impl Iterator<Item = (SummaryIndex, &Summary, &Column)> {
    schema.summaries.iter().enumerate().flat_map(|(index, summary)| columns_of(SummaryIndex::of(index), summary))
}

fn columns_of(index: SummaryIndex, summary: &Summary) -> impl Iterator<Item = (SummaryIndex, &Summary, &Column)> {
    summary.columns.iter().map(move |column| (index, summary, column))
}

/// Which columns show what, and their figures.
#[derive(Debug)]
pub struct Columns {
    /// Of each summary, by accumulator: the columns that show it.
    shown_by: Vec<Vec<Vec<ColumnIndex>>>,
    pub tallies: ColumnTallies,
}

impl Columns {
    /// Of a schema, with nothing counted.
    pub fn new(schema: &Schema) -> Columns {
        let nothing = |summary: &Summary| vec![Vec::new(); summary.accumulators.len()];
        let mut shown_by: Vec<Vec<Vec<ColumnIndex>>> = schema.summaries.iter().map(nothing).collect();
        let mut tallies = Vec::new();
        for (index, (summary, _, column)) in columns(schema).enumerate() {
            for def in column.groups.iter().flat_map(|group| &group.defs) {
                let shown_by = &mut shown_by[summary.at()][def.at()];
                // Rules of one column may share an accumulator.
                if shown_by.last() != Some(&ColumnIndex::of(index)) {
                    shown_by.push(ColumnIndex::of(index));
                }
            }
            tallies.push(ColumnTally::default());
        }
        Columns { shown_by, tallies: ColumnTallies(tallies) }
    }

    /// Says which columns show what of the fields of a new shape.
    pub fn assign(&self, fields: &mut [Field]) {
        for field in fields {
            let mut takers = Vec::new();
            for (target, of) in field.targets.iter().enumerate() {
                for (feed, def) in of.feeds.iter().map(|feed| feed.def).enumerate() {
                    let shown_by = &self.shown_by[of.summary.at()][def.at()];
                    takers.extend(shown_by.iter().map(|column| Taker { column: *column, target, feed }));
                }
            }
            takers.sort_by_key(|taker| taker.column);
            field.tally.takers = takers.into();
        }
    }

    /// Notes the newest point that stored state knows of a field.
    pub fn restore(&mut self, field: &Field, at: i64, sample: Sample) {
        for taker in field.tally.takers.iter().filter(|taker| field.refusal(taker, sample).is_none()) {
            let tally = &mut self.tallies.0[taker.column.at()].own;
            tally.last_point = tally.last_point.max(at);
        }
    }

    /// The figures of all columns, in the order of the configuration.
    pub fn sum(&self, shapes: &[Shape]) -> Vec<Tally> {
        let mut sums: Vec<Tally> = self.tallies.0.iter().map(|column| column.own.clone()).collect();
        for tally in shapes.iter().flat_map(|shape| &shape.fields).map(|field| &field.tally) {
            for (column, _) in tally.columns() {
                sums[column.at()].add(&tally.all);
            }
        }
        sums
    }
}

/// Counts a line that lacks fields, for the columns that it has no field for. `found` are the fields that it has, `line`
/// is a number that no other line has.
pub fn lacks_fields(columns: &mut ColumnTallies, fields: &mut [Field], found: impl Iterator<Item = usize>, line: u64) {
    for index in found {
        let tally = &mut fields[index].tally;
        tally.line = line;
        tally.columns().for_each(|(column, _)| columns.0[column.at()].line = line);
    }
    for tally in fields.iter().map(|field| &field.tally).filter(|tally| tally.line != line) {
        for (column, _) in tally.columns() {
            let column = &mut columns.0[column.at()];
            if std::mem::replace(&mut column.line, line) != line {
                column.own.leave(ColumnReason::NoField);
            }
        }
    }
}
