//! `[limits]`: bounds on memory and on the journal.

use super::read::Table;
use crate::engine::schema::Limits;

/// The journal must hold what comes between two checkpoints.
const JOURNAL_BYTES_MIN: u64 = 32 << 20;

/// Reads the section and returns the bounds on memory, and the bytes that the journal may hold.
pub fn limits(root: &Table<'_, '_>) -> (Limits, u64) {
    root.section("limits", |table| {
        let read = |key, default, least: usize| {
            let Some(at) = table.and_then(|t| t.count(key)) else { return default };
            if at.value < least {
                root.document
                    .problem_at(&at, format!("must be at least {least}: write {default}, or leave the key out"));
            }
            at.value
        };
        let limits = Limits {
            series: read("series", 1_000_000, 1),
            devices: read("devices", 200_000, 1),
            dedupe_points: read("dedupe_points", 65_536, 0),
        };
        let bytes = table.and_then(|t| t.bytes("journal_bytes"));
        if let Some(at) = &bytes
            && at.value < JOURNAL_BYTES_MIN
        {
            root.document.problem_at(at, "must be at least \"32MiB\", so that a minute of lines fits: write \"1GiB\"");
        }
        (limits, bytes.map_or(1 << 30, |at| at.value))
    })
}
