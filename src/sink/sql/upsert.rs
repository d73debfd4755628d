//! Upserts of partials and rows, and what they bind.
//!
//! `ON DUPLICATE KEY UPDATE` assigns from left to right, so the guard column (`rev`, `revision`) is assigned last.
//! `VALUES(column)` is used because it is the one form that MySQL and MariaDB share.

use super::dialect::{Dialect, local_column, partial_table_name, quote, row_table_name};
use super::literal::Bound;
use super::times::{datetime, local, milliseconds};
use crate::engine::aggregate::row::Cell;
use crate::engine::schema::Summary;
use crate::engine::zone::WindowKind;
use crate::sink::port::{PartialRecord, RowRecord};

fn insert(dialect: Dialect, table: &str, columns: &[&str], values: &str) -> String {
    let names: Vec<_> = columns.iter().map(|c| quote(dialect, c)).collect();
    format!("INSERT INTO {} ({}) VALUES {values}", quote(dialect, table), names.join(","))
}

/// What changes in a partial that is there: a run has one writer for good.
const PARTIAL_CHANGES: [&str; 2] = ["state", "rev"];

/// The columns of a partial, in the order of [`bind_partial`].
pub fn partial_columns(summary: &Summary) -> Vec<&str> {
    let key = summary.key.iter().map(String::as_str);
    key.chain(["window_start", "run", "writer"]).chain(PARTIAL_CHANGES).collect()
}

/// Upserts partials over those of the same run with no more points. `values` are rows of literals or placeholders.
///
/// MySQL assigns from left to right: `rev`, which the condition looks at, comes last.
pub fn upsert_partials(dialect: Dialect, summary: &Summary, values: &str) -> String {
    let table = partial_table_name(summary);
    let insert = insert(dialect, &table, &partial_columns(summary), values);
    match dialect {
        Dialect::Sqlite => {
            let keys: Vec<_> = summary.key.iter().map(|k| quote(dialect, k)).collect();
            let set: Vec<_> = PARTIAL_CHANGES.iter().map(|c| format!("\"{c}\"=excluded.\"{c}\"")).collect();
            format!(
                "{insert} ON CONFLICT({},\"window_start\",\"run\") DO UPDATE SET {} WHERE \"rev\"<=excluded.\"rev\"",
                keys.join(","),
                set.join(",")
            )
        }
        Dialect::MySql | Dialect::MariaDb => {
            let set: Vec<_> =
                PARTIAL_CHANGES.iter().map(|c| format!("`{c}`=IF(`rev`<=VALUES(`rev`),VALUES(`{c}`),`{c}`)")).collect();
            format!("{insert} ON DUPLICATE KEY UPDATE {}", set.join(","))
        }
    }
}

/// The values of one partial, in the order of [`upsert_partials`].
pub fn bind_partial(record: &PartialRecord) -> Vec<Bound<'_>> {
    let mut out: Vec<_> = record.key.iter().map(|text| Bound::text(text)).collect();
    out.push(Bound::made(datetime(record.window_start)));
    out.push(Bound::text(&record.run));
    out.push(Bound::text(&record.writer));
    out.push(Bound::text(&record.state));
    out.push(Bound::Integer(record.rev.min(i64::MAX as u64) as i64));
    out
}

/// Upserts rows (`values`, as literals or placeholders) into the columns named by `columns`: a row of a lower revision never replaces one of a higher; of
/// equal revisions the later writer's values count, but a final row stays final.
pub fn upsert_rows(dialect: Dialect, summary: &Summary, kind: WindowKind, columns: &[&str], values: &str) -> String {
    let table = row_table_name(summary, kind);
    let insert = insert(dialect, &table, columns, values);
    let is_key = |c: &str| c == "window_start" || summary.key.iter().any(|k| k == c);
    let values = columns.iter().filter(|c| !is_key(c) && !matches!(**c, "is_final" | "revision"));
    match dialect {
        Dialect::Sqlite => {
            let keys: Vec<_> = summary.key.iter().map(|k| quote(dialect, k)).collect();
            let set: Vec<_> = values.map(|c| quote(dialect, c)).map(|c| format!("{c}=excluded.{c}")).collect();
            format!(
                "{insert} ON CONFLICT({},\"window_start\") DO UPDATE SET {},\
                 \"is_final\"=CASE WHEN excluded.\"revision\">\"revision\" THEN excluded.\"is_final\" \
                 ELSE MAX(\"is_final\",excluded.\"is_final\") END,\"revision\"=excluded.\"revision\" \
                 WHERE excluded.\"revision\">=\"revision\"",
                keys.join(","),
                set.join(",")
            )
        }
        Dialect::MySql | Dialect::MariaDb => {
            let set: Vec<_> = values
                .map(|c| quote(dialect, c))
                .map(|c| format!("{c}=IF(VALUES(`revision`)>=`revision`,VALUES({c}),{c})"))
                .collect();
            format!(
                "{insert} ON DUPLICATE KEY UPDATE {},\
                 `is_final`=IF(VALUES(`revision`)>`revision`,VALUES(`is_final`),\
                 IF(VALUES(`revision`)=`revision`,GREATEST(`is_final`,VALUES(`is_final`)),`is_final`)),\
                 `revision`=GREATEST(`revision`,VALUES(`revision`))",
                set.join(",")
            )
        }
    }
}

/// All values of one row with their columns.
pub fn bind_row<'s>(summary: &'s Summary, kind: WindowKind, row: &'s RowRecord, now: i64) -> Vec<(&'s str, Bound<'s>)> {
    let integer = |value: u64| Bound::Integer(value.min(i64::MAX as u64) as i64);
    let mut out: Vec<(&str, Bound<'_>)> = Vec::with_capacity(summary.columns.len() + 13);
    for (name, text) in summary.key.iter().zip(&row.key[..]) {
        out.push((name, Bound::text(text)));
    }
    out.push(("window_start", Bound::made(datetime(row.span.start))));
    out.push((local_column(kind), Bound::made(local(&row.zone, kind, row.span.start))));
    out.push(("zone", Bound::text(row.zone.name())));
    for (column, cell) in summary.columns.iter().zip(&row.summed.cells) {
        let value = match cell {
            Cell::Null => Bound::Null,
            Cell::Integer(value) => Bound::Integer(*value),
            Cell::Float(value) => Bound::Float(*value),
        };
        out.push((&column.name, value));
    }
    out.push(("samples", integer(row.summed.samples)));
    out.push(("coverage", Bound::Float(row.summed.coverage)));
    out.push(("is_final", Bound::Integer(i64::from(row.is_final))));
    out.push(("revision", integer(row.revision)));
    out.push(("writers", Bound::Integer(i64::from(row.writers))));
    let seen = |at: Option<i64>| at.map_or(Bound::Null, |at| Bound::made(milliseconds(at)));
    out.push(("first_seen", seen(row.summed.seen.map(|s| s.0))));
    out.push(("last_seen", seen(row.summed.seen.map(|s| s.1))));
    out.push(("updated_at", Bound::made(milliseconds(now))));
    out
}
