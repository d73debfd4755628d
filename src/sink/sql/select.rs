//! Reads of partials, and the deletion of what is old.

use super::dialect::{Dialect, local_column, partial_table_name, quote, row_table_name};
use super::literal::{Bound, literal, literals};
use super::times::datetime;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind};
use crate::sink::port::{PartialRange, States};
use std::collections::BTreeMap;

/// Reads partials. Columns of the answer: the key, start of the window as text, writer, run, rev, state (NULL where it is not
/// asked for). `condition` is made of [`range`] or [`condition`].
pub fn select_partials(dialect: Dialect, summary: &Summary, states: States<'_>, condition: &str) -> String {
    let keys: Vec<_> = summary.key.iter().map(|k| quote(dialect, k)).collect();
    let shown = quote(dialect, "window_start");
    let (run, state) = (quote(dialect, "run"), quote(dialect, "state"));
    let state = match states {
        States::All => state,
        States::None => "NULL".to_string(),
        States::Except([]) => state,
        States::Except(runs) => {
            let mut known = String::new();
            literals(dialect, &mut known, &runs.iter().map(|run| Bound::text(run)).collect::<Vec<_>>());
            format!("CASE WHEN {run} IN {known} THEN NULL ELSE {state} END")
        }
    };
    format!(
        "SELECT {},{shown},{},{run},{},{state} FROM {} WHERE {condition}",
        keys.join(","),
        quote(dialect, "writer"),
        quote(dialect, "rev"),
        quote(dialect, &partial_table_name(summary)),
    )
}

/// The condition for one range, with placeholders for what [`bind_range`] gives.
pub fn range(dialect: Dialect, summary: &Summary) -> String {
    let equal: Vec<_> = summary.key.iter().map(|k| format!("{}=?", quote(dialect, k))).collect();
    format!("({} AND {} BETWEEN ? AND ?)", equal.join(" AND "), quote(dialect, "window_start"))
}

/// The key, and the first and the last possible start.
pub fn bind_range(range: &PartialRange) -> Vec<Bound<'_>> {
    let mut out: Vec<_> = range.key.iter().map(|text| Bound::text(text)).collect();
    out.push(Bound::made(datetime(range.span.start)));
    out.push(Bound::made(datetime(range.span.end - 1)));
    out
}

/// So many spans get a SELECT each.
const SPANS_MAX: usize = 50;

/// Appends one range to those before it, joined by OR.
fn any_range(dialect: Dialect, keys: &[String], out: &mut String, range: &PartialRange) {
    out.push_str(if out.is_empty() { "(" } else { " OR (" });
    for (name, text) in keys.iter().zip(&range.key[..]) {
        out.push_str(name);
        out.push('=');
        literal(dialect, out, &Bound::text(text));
        out.push_str(" AND ");
    }
    // An equality here would be looked at key by key before the first row is read.
    let (first, last) = (datetime(range.span.start), datetime(range.span.end - 1));
    out.push_str(&format!("{} BETWEEN '{first}' AND '{last}')", quote(dialect, "window_start")));
}

/// Divides ranges into groups, each for a SELECT of its own: of one span, while there are few different ones, and of at most as
/// many ranges as `most` gives for the longest span of the group.
pub fn groups(ranges: &[PartialRange], most: impl Fn(Span) -> usize) -> Vec<Vec<PartialRange>> {
    let mut by_span: BTreeMap<(i64, i64), Vec<PartialRange>> = BTreeMap::new();
    for range in ranges {
        by_span.entry((range.span.start, range.span.end)).or_default().push(range.clone());
    }
    if by_span.len() > SPANS_MAX {
        // A device after an outage: better slow statements than one for each hour.
        let most = ranges.iter().map(|range| most(range.span)).min().unwrap_or(1);
        return ranges.chunks(most).map(<[PartialRange]>::to_vec).collect();
    }
    let cut = |ranges: Vec<PartialRange>| {
        let most = ranges.first().map_or(1, |range| most(range.span));
        ranges.chunks(most).map(<[PartialRange]>::to_vec).collect::<Vec<_>>()
    };
    by_span.into_values().flat_map(cut).collect()
}

/// The condition for some ranges, with literals: ranges of the same span become a list of keys.
///
/// What MySQL makes of 1,000 ranges that are joined by OR takes it longer than to read them. MariaDB does not look up lists of
/// tuples by the index, and makes a subquery of a list of 1,000 values, which may read the whole table: so there are to be
/// less.
pub fn condition(dialect: Dialect, summary: &Summary, ranges: &[PartialRange]) -> String {
    let keys: Vec<String> = summary.key.iter().map(|k| quote(dialect, k)).collect();
    let start = quote(dialect, "window_start");
    let span = ranges.first().map_or(Span { start: 0, end: 1 }, |range| range.span);
    let is_list = keys.len() == 1 || dialect == Dialect::MySql;
    let mut list = String::new();
    if !is_list || ranges.iter().any(|range| range.span != span) {
        ranges.iter().for_each(|range| any_range(dialect, &keys, &mut list, range));
        return format!("({list})");
    }
    for range in ranges {
        list.push_str(if list.is_empty() { "" } else { "," });
        let bound: Vec<Bound<'_>> = range.key.iter().map(|text| Bound::text(text)).collect();
        match bound.as_slice() {
            [value] => literal(dialect, &mut list, value),
            values => literals(dialect, &mut list, values),
        }
    }
    let (first, last) = (datetime(span.start), datetime(span.end - 1));
    let of_span = match first == last {
        true => format!("{start}='{first}'"),
        false => format!("{start} BETWEEN '{first}' AND '{last}'"),
    };
    match keys.as_slice() {
        [key] => format!("{key} IN ({list}) AND {of_span}"),
        _ => format!("({}) IN ({list}) AND {of_span}", keys.join(",")),
    }
}

/// Narrows a condition to runs whose names are greater than `after`, and not greater than `until`.
pub fn of_runs(dialect: Dialect, mut condition: String, after: Option<&str>, until: Option<&str>) -> String {
    for (comparison, run) in [(">", after), ("<=", until)] {
        if let Some(run) = run {
            condition.push_str(&format!(" AND {}{comparison}", quote(dialect, "run")));
            literal(dialect, &mut condition, &Bound::text(run));
        }
    }
    condition
}

/// Puts a row of NULLs behind the rows of a SELECT of so many columns, and limits the answer to `most` rows, that one among them.
/// An answer that holds this row is whole: a server carries out both parts in this order, and whoever limits the answer
/// cuts its end. A LIMIT takes precedence over `sql_select_limit`
/// (<https://dev.mysql.com/doc/refman/9.0/en/server-system-variables.html#sysvar_sql_select_limit>).
pub fn marked(select: &str, columns: usize, most: usize) -> String {
    format!("{select} UNION ALL SELECT {} LIMIT {most}", vec!["NULL"; columns].join(","))
}

/// Deletes some of what started longer ago than so many seconds, by the server's clock. The local time, which the tables of
/// rows have an index on, is at most 14 hours ahead of UTC.
pub fn purge(dialect: Dialect, summary: &Summary, kind: Option<WindowKind>, seconds: i64, most: usize) -> String {
    let table = kind.map_or_else(|| partial_table_name(summary), |kind| row_table_name(summary, kind));
    let (table, start) = (quote(dialect, &table), quote(dialect, "window_start"));
    let limit = format!("UTC_TIMESTAMP() - INTERVAL {seconds} SECOND");
    let local = kind.map_or(String::new(), |kind| {
        format!(" AND {} < {limit} + INTERVAL 14 HOUR", quote(dialect, local_column(kind)))
    });
    format!("DELETE FROM {table} WHERE {start} < {limit}{local} LIMIT {most}")
}
