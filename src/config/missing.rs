//! `[missing]`, of all summaries or of one: for how long a device that sends nothing still gets rows.

use super::read::Table;

/// Reads the section of the root or of a summary and returns the horizon in nanoseconds; `default` without it.
pub fn missing_horizon(table: &Table<'_, '_>, default: i64) -> i64 {
    table.section("missing", |section| section.and_then(|s| s.duration("horizon")).map_or(default, |at| at.value))
}
