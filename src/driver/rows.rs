//! Partials of all writers -> base windows, for the flush and for `replay`.

use crate::engine::aggregate::partial::Partial;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, Zone};
use std::collections::BTreeMap;

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

/// What one run has seen of a base window, wherever it is.
pub struct Piece<'a> {
    pub window_start: i64,
    pub writer: &'a str,
    pub run: &'a str,
    pub state: State<'a>,
}

pub enum State<'a> {
    /// As stored.
    Stored(&'a str),
    /// In memory.
    Here(&'a Partial),
}

/// Base windows in the order of time, each merged over all writers.
///
/// # Errors
/// A partial that cannot be read, and why.
pub fn hours(summary: &Summary, key: &[String], mut pieces: Vec<Piece<'_>>) -> Result<BTreeMap<i64, Partial>, String> {
    // In one order: sums of doubles are the same whoever computes the row.
    pieces.sort_by(|a, b| (a.window_start, a.writer, a.run).cmp(&(b.window_start, b.writer, b.run)));
    let mut hours: BTreeMap<i64, Partial> = BTreeMap::new();
    for piece in pieces {
        let hour = hours.entry(piece.window_start).or_default();
        match piece.state {
            State::Here(partial) => hour.merge(partial),
            State::Stored(text) => hour.merge(
                &Partial::from_json(text, summary)
                    .map_err(|e| format!("the partial of writer {} for {key:?} is not readable: {e}", piece.writer))?,
            ),
        }
    }
    Ok(hours)
}
