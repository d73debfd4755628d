//! `[flush]`: when rows are written.

use super::read::Table;
use super::units::{MINUTE, SECOND};

/// When rows are written, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flush {
    /// How often changed rows are written.
    pub every: i64,
    /// How often the row of a running day is written.
    pub daily_every: i64,
}

/// Reads the section.
pub fn flush(root: &Table<'_, '_>) -> Flush {
    root.section("flush", |table| {
        let read = |key, default| {
            let Some(at) = table.and_then(|t| t.duration(key)) else { return default };
            if at.value < SECOND {
                root.document.problem_at(&at, "must be at least \"1s\": write, for example, \"1m\"");
            }
            at.value
        };
        Flush { every: read("every", MINUTE), daily_every: read("daily_every", 5 * MINUTE) }
    })
}
