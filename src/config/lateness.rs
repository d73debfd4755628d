//! `[lateness]`: how late a point may come, and how early.

use super::read::Table;
use super::units::{DAY, MINUTE};
use crate::engine::schema::Lateness;

/// Reads the section.
pub fn lateness(root: &Table<'_, '_>) -> Lateness {
    root.section("lateness", |table| {
        let read = |key, default| table.and_then(|t| t.duration(key)).map_or(default, |at| at.value);
        let max = table.and_then(|t| t.duration_or_forever("max"));
        let lateness = Lateness {
            allowed: read("allowed", 10 * MINUTE),
            max: max.map_or(7 * DAY, |at| at.value.unwrap_or(i64::MAX)),
            future: read("future", 5 * MINUTE),
        };
        if lateness.max < lateness.allowed
            && let Some(table) = table
        {
            let message = "is shorter than `allowed`, and points would be refused while their row is provisional: write one that is at least as long";
            table.problem(if table.has("max") { "max" } else { "allowed" }, message);
        }
        lateness
    })
}
