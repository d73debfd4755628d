//! How many slots a whole window has.

use crate::engine::schema::Summary;
use crate::engine::zone::{Span, Zone};

/// Returns the slots of a whole window: the sum over its base windows.
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
