//! `[missing]`: for how long a device that sends nothing still gets rows.

use super::read::Table;
use super::units::DAY;

/// Reads the section and returns the horizon in nanoseconds.
pub fn missing_horizon(root: &Table<'_, '_>) -> i64 {
    root.section("missing", |table| table.and_then(|t| t.duration("horizon")).map_or(7 * DAY, |at| at.value))
}
