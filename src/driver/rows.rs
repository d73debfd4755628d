//! Partials of all writers -> rows, for the flush and for `replay`.

use crate::engine::partial::Partial;
use crate::engine::row;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, Zone};
use crate::sink::{PartialRecord, RowRecord};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Slots of a whole window: the sum over its base windows.
pub fn slots(zone: &Zone, summary: &Summary, span: Span) -> u64 {
    let mut at = span.start;
    let mut slots = 0;
    while at < span.end {
        let end = zone.hour(at).end.min(span.end);
        slots += summary.slots_in(end - at);
        at = end;
    }
    slots
}

/// The row of a window from the stored partials of its base windows, of any writers.
///
/// # Errors
/// A partial that cannot be read: its text, and why.
pub fn from_records(
    zone: &Arc<Zone>,
    summary: &Summary,
    key: &[String],
    span: Span,
    is_final: bool,
    records: &[&PartialRecord],
) -> Result<RowRecord, String> {
    // In one order: sums of doubles are the same whoever computes the row.
    let mut sorted: Vec<&&PartialRecord> = records.iter().collect();
    sorted.sort_by(|a, b| (a.window_start, &a.writer, &a.run).cmp(&(b.window_start, &b.writer, &b.run)));
    let mut hours: BTreeMap<i64, Partial> = BTreeMap::new();
    let mut writers = BTreeSet::new();
    let mut revision = 0u64;
    for record in sorted {
        let partial = Partial::from_json(&record.state, summary)
            .map_err(|e| format!("the partial of writer {} for {key:?} is not readable: {e}", record.writer))?;
        hours.entry(record.window_start).or_default().merge(&partial);
        writers.insert(record.writer.as_str());
        revision = revision.saturating_add(record.rev);
    }
    let hours: Vec<Partial> = hours.into_values().collect();
    Ok(RowRecord {
        key: key.to_vec(),
        span,
        zone: zone.clone(),
        summed: row::sum_up(summary, &hours, slots(zone, summary, span)),
        is_final,
        revision,
        writers: u32::try_from(writers.len()).unwrap_or(u32::MAX),
    })
}
