//! What a column of a summary table may be called.

use super::read::{At, Table};
use std::collections::BTreeSet;

/// Columns that every summary table has.
const FIXED_COLUMNS: [&str; 12] = [
    "window_start",
    "datetime",
    "date",
    "zone",
    "samples",
    "coverage",
    "is_final",
    "revision",
    "writers",
    "first_seen",
    "last_seen",
    "updated_at",
];
/// Columns that the table of partials has beside the key.
const PARTIAL_COLUMNS: [&str; 5] = ["writer", "run", "rev", "base", "state"];

/// Longest name of a column, in characters.
const COLUMN_NAME_MAX: usize = 64;

/// Reports a name that cannot be a column of a table.
pub fn column_name(table: &Table<'_, '_>, name: &At<String>) {
    let text = &name.value;
    let fits = !text.is_empty() && text.chars().count() <= COLUMN_NAME_MAX && text.trim_end() == text;
    if !fits || text.chars().any(|c| c.is_control() || c > '\u{ffff}' || matches!(c, '`' | '"' | '\\')) {
        let message = format!(
            "is the name of a column: 1 to {COLUMN_NAME_MAX} characters, no quotes, emoji or control characters"
        );
        table.document.problem_at(name, message);
    }
}

/// Reports column names that stand twice. Returns true if there are none.
pub fn names_differ<'a>(table: &Table<'_, '_>, names: impl Iterator<Item = &'a At<String>>) -> bool {
    let mut taken: BTreeSet<String> = FIXED_COLUMNS.iter().chain(&PARTIAL_COLUMNS).map(|c| c.to_string()).collect();
    let mut differ = true;
    for name in names {
        if !taken.insert(name.value.to_lowercase()) {
            let fixed = FIXED_COLUMNS.iter().chain(&PARTIAL_COLUMNS).any(|c| name.value.eq_ignore_ascii_case(c));
            let message = if fixed {
                format!("every table has a column {:?} of its own: choose another name", name.value)
            } else {
                format!("there is a column {:?} already: names must differ, also from the key tags", name.value)
            };
            table.document.problem_at(name, message);
            differ = false;
        }
    }
    differ
}
