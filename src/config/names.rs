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

/// Columns that InnoDB has in every table, or refuses.
const INNODB_COLUMNS: [&str; 4] = ["db_row_id", "db_trx_id", "db_roll_ptr", "fts_doc_id"];

/// Longest name of a column, in characters.
const COLUMN_NAME_MAX: usize = 64;

/// Reports a name that cannot be a column of a table.
pub fn column_name(table: &Table<'_, '_>, name: &At<String>) {
    let text = &name.value;
    let fits = !text.is_empty() && text.chars().count() <= COLUMN_NAME_MAX && text.trim_end() == text;
    if !fits || text.chars().any(|c| c.is_control() || c > '\u{ffff}' || matches!(c, '`' | '"' | '\\')) {
        let message = format!(
            "is the name of a column: write 1 to {COLUMN_NAME_MAX} characters, no quotes, emoji or control characters"
        );
        table.document.problem_at(name, message);
    }
    if INNODB_COLUMNS.iter().any(|c| text.eq_ignore_ascii_case(c)) {
        table.document.problem_at(name, "is a column that MySQL and MariaDB have for themselves: choose another name");
    }
}

/// What a name is for a server that does not tell upper from lower case: MySQL folds each character to one, so `İ` is `i`.
fn folded(name: &str) -> String {
    name.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Reports column names that stand twice. Returns true if there are none.
pub fn names_differ<'a>(table: &Table<'_, '_>, names: impl Iterator<Item = &'a At<String>>) -> bool {
    let mut taken: BTreeSet<String> = FIXED_COLUMNS.iter().chain(&PARTIAL_COLUMNS).map(|c| c.to_string()).collect();
    let mut differ = true;
    for name in names {
        if !taken.insert(folded(&name.value)) {
            let fixed = FIXED_COLUMNS.iter().chain(&PARTIAL_COLUMNS).any(|c| name.value.eq_ignore_ascii_case(c));
            let message = if fixed {
                format!("every table has a column {:?} of its own: choose another name", name.value)
            } else {
                format!("there is a column {:?} already, or a key tag: choose another name", name.value)
            };
            table.document.problem_at(name, message);
            differ = false;
        }
    }
    differ
}
