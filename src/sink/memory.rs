//! A sink that keeps everything in memory: for `replay`, and for tests.

use super::port::{FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo};
use crate::engine::ids::Key;
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::{Span, WindowKind};
use std::collections::BTreeMap;

/// A sink that keeps everything in memory.
#[derive(Default)]
pub struct MemorySink {
    partials: BTreeMap<(String, Key, i64), PartialRecord>,
    rows: BTreeMap<(String, WindowKind), BTreeMap<(Key, Span), RowRecord>>,
}

impl MemorySink {
    /// The rows of a table in order of key and window.
    pub fn table(&self, summary: &Summary, kind: WindowKind) -> Vec<RowRecord> {
        let rows = self.rows.get(&(summary.name.clone(), kind));
        rows.into_iter().flat_map(BTreeMap::values).cloned().collect()
    }
}

impl Sink for MemorySink {
    fn prepare(&mut self, _: &Schema) -> Result<(), SinkError> {
        Ok(())
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        for record in records {
            let key = (summary.name.clone(), record.key.clone(), record.window_start);
            self.partials.insert(key, record.clone());
        }
        Ok(Vec::new())
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        let mut out = Vec::new();
        for PartialRange { key, span } in ranges {
            let key = |at: i64| (summary.name.clone(), key.clone(), at);
            out.extend(self.partials.range(key(span.start)..key(span.end)).map(|(_, record)| record.found(states)));
        }
        Ok(out)
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        _: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        let table = self.rows.entry((summary.name.clone(), kind)).or_default();
        table.extend(rows.iter().map(|row| ((row.key.clone(), row.span), row.clone())));
        Ok(Vec::new())
    }

    fn purge(&mut self, _: &Summary, _: Option<WindowKind>, _: i64, _: i64) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, _: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        Ok(Vec::new())
    }
}
