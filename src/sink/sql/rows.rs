//! Reads of rows, for people.

use super::dialect::{Dialect, local_column, quote, row_table_name};
use super::literal::{Bound, literal, literals};
use super::times::datetime;
use crate::engine::ids::Key;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind};

/// Columns of a row that stand behind those of the summary.
pub const AFTER_COLUMNS: [&str; 4] = ["samples", "coverage", "is_final", "last_seen"];

/// Reads rows of some devices: their keys, start, local start, zone, the `columns` (NULL for one that the table lacks), and
/// [`AFTER_COLUMNS`].
pub fn select_rows(
    dialect: Dialect,
    summary: &Summary,
    kind: WindowKind,
    columns: &[Option<&str>],
    keys: &[Key],
    span: Span,
) -> String {
    let mut shown: Vec<String> = summary.key.iter().map(|key| quote(dialect, key)).collect();
    shown.extend(["window_start", local_column(kind), "zone"].map(|name| quote(dialect, name)));
    shown.extend(columns.iter().map(|name| name.map_or_else(|| "NULL".to_string(), |name| quote(dialect, name))));
    shown.extend(AFTER_COLUMNS.map(|name| quote(dialect, name)));
    format!(
        "SELECT {} FROM {} WHERE {} AND {}",
        shown.join(","),
        quote(dialect, &row_table_name(summary, kind)),
        any_key(dialect, summary, keys),
        within(dialect, span)
    )
}

/// Reads the keys of devices that have a row in a span and come after `after`, in order.
pub fn select_devices(
    dialect: Dialect,
    summary: &Summary,
    kind: WindowKind,
    span: Span,
    after: Option<&Key>,
    most: usize,
) -> String {
    let keys: Vec<String> = summary.key.iter().map(|key| quote(dialect, key)).collect();
    let names = keys.join(",");
    let mut condition = within(dialect, span);
    if let Some(after) = after {
        let bound: Vec<Bound<'_>> = after.iter().map(|text| Bound::text(text)).collect();
        let mut values = String::new();
        literals(dialect, &mut values, &bound);
        condition.push_str(&format!(" AND ({names}) > {values}"));
    }
    let table = quote(dialect, &row_table_name(summary, kind));
    format!("SELECT DISTINCT {names} FROM {table} WHERE {condition} ORDER BY {names} LIMIT {most}")
}

/// Reads the start of the newest window of a table; NULL if it has none.
pub fn select_newest(dialect: Dialect, summary: &Summary, kind: WindowKind) -> String {
    let (start, table) = (quote(dialect, "window_start"), quote(dialect, &row_table_name(summary, kind)));
    // The local start has an index; it is at most 15 hours beside the other.
    let local = quote(dialect, local_column(kind));
    format!("SELECT MAX({start}) FROM {table} WHERE {local} >= (SELECT MAX({local}) FROM {table})")
}

fn within(dialect: Dialect, span: Span) -> String {
    let (first, last) = (datetime(span.start), datetime(span.end - 1));
    format!("{} BETWEEN '{first}' AND '{last}'", quote(dialect, "window_start"))
}

fn any_key(dialect: Dialect, summary: &Summary, keys: &[Key]) -> String {
    let names: Vec<String> = summary.key.iter().map(|key| quote(dialect, key)).collect();
    let mut out = String::new();
    for key in keys {
        out.push_str(if out.is_empty() { "((" } else { ") OR (" });
        for (at, (name, text)) in names.iter().zip(&key[..]).enumerate() {
            out.push_str(if at == 0 { "" } else { " AND " });
            out.push_str(name);
            out.push('=');
            literal(dialect, &mut out, &Bound::text(text));
        }
    }
    out.push_str("))");
    out
}
