//! The SQL of both dialects, as pure functions: tables in, text out.
//!
//! MySQL gets its values as literals in the text: one round trip for each statement, no limit of placeholders, and no answer of
//! one packet for each of them. SQLite gets placeholders.
//!
//! `ON DUPLICATE KEY UPDATE` assigns from left to right, so the guard column (`rev`, `revision`) is assigned last.
//! `VALUES(column)` is used because it is the one form that MySQL and MariaDB share. DATETIME, not TIMESTAMP: it neither
//! ends in 2038 nor shifts with the session's zone. Key columns compare by bytes and pad nothing, so `pc-01`, `PC-01` and
//! `pc-01 ` are three devices.

use super::{PartialRange, PartialRecord, RowRecord, States};
use crate::engine::plan::KEY_CHARS_MAX;
use crate::engine::row::Cell;
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::{self, WindowKind, Zone};
use jiff::civil;
use std::borrow::Cow;

/// The two spellings of SQL; MariaDB differs from MySQL in the names of collations alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    MySql,
    MariaDb,
}

/// A value that is bound to a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound<'a> {
    Null,
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Bound<'a> {
    /// A text that is there.
    pub fn text(text: &'a str) -> Bound<'a> {
        Bound::Text(Cow::Borrowed(text))
    }

    /// A text that was made for this.
    fn made(text: String) -> Bound<'static> {
        Bound::Text(Cow::Owned(text))
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDef {
    pub name: String,
    pub sql_type: String,
    pub nullable: bool,
}

/// A table with its primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDef {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    /// Names of the columns of the primary key, a prefix of `columns`.
    pub key: Vec<String>,
    /// A column with an index of its own.
    pub index: Option<String>,
}

/// Quotes an identifier.
pub fn quote(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        Dialect::MySql | Dialect::MariaDb => format!("`{}`", name.replace('`', "``")),
    }
}

/// Name of the table of partials.
pub fn partial_table_name(summary: &Summary) -> String {
    format!("{}_hourly_partial", summary.name)
}

/// Name of a table of rows.
pub fn row_table_name(summary: &Summary, kind: WindowKind) -> String {
    format!("{}_{}", summary.name, kind.name())
}

/// Name of the column with the window's local start.
pub fn local_column(kind: WindowKind) -> &'static str {
    match kind {
        WindowKind::Hourly => "datetime",
        WindowKind::Daily => "date",
    }
}

struct Types {
    key: String,
    word: &'static str,
    datetime: &'static str,
    milliseconds: &'static str,
    date: &'static str,
    double: &'static str,
    bigint: &'static str,
    int: &'static str,
    tinyint: &'static str,
    text: &'static str,
}

fn types(dialect: Dialect) -> Types {
    match dialect {
        Dialect::Sqlite => Types {
            key: "TEXT".into(),
            word: "TEXT",
            datetime: "TEXT",
            milliseconds: "TEXT",
            date: "TEXT",
            double: "REAL",
            bigint: "INTEGER",
            int: "INTEGER",
            tinyint: "INTEGER",
            text: "TEXT",
        },
        Dialect::MySql | Dialect::MariaDb => {
            let collation = if dialect == Dialect::MySql { "utf8mb4_0900_bin" } else { "utf8mb4_nopad_bin" };
            Types {
                key: format!("VARCHAR({KEY_CHARS_MAX}) CHARACTER SET utf8mb4 COLLATE {collation}"),
                word: "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin",
                datetime: "DATETIME",
                milliseconds: "DATETIME(3)",
                date: "DATE",
                double: "DOUBLE",
                bigint: "BIGINT",
                int: "INT",
                tinyint: "TINYINT",
                text: "MEDIUMTEXT CHARACTER SET utf8mb4",
            }
        }
    }
}

fn column(name: &str, sql_type: &str, nullable: bool) -> ColumnDef {
    ColumnDef { name: name.to_string(), sql_type: sql_type.to_string(), nullable }
}

/// The table of partials of a summary.
pub fn partial_table(dialect: Dialect, summary: &Summary) -> TableDef {
    let t = types(dialect);
    let mut columns: Vec<_> = summary.key.iter().map(|k| column(k, &t.key, false)).collect();
    columns.push(column("window_start", t.datetime, false));
    columns.push(column("run", t.word, false));
    let key = columns.iter().map(|c| c.name.clone()).collect();
    columns.push(column("writer", t.word, false));
    columns.push(column("rev", t.bigint, false));
    columns.push(column("state", t.text, false));
    TableDef { name: partial_table_name(summary), columns, key, index: Some("window_start".to_string()) }
}

/// A table of rows of a summary.
pub fn row_table(dialect: Dialect, summary: &Summary, kind: WindowKind) -> TableDef {
    let t = types(dialect);
    let mut columns: Vec<_> = summary.key.iter().map(|k| column(k, &t.key, false)).collect();
    columns.push(column("window_start", t.datetime, false));
    let key = columns.iter().map(|c| c.name.clone()).collect();
    let local = local_column(kind);
    columns.push(column(local, if kind == WindowKind::Daily { t.date } else { t.datetime }, false));
    columns.push(column("zone", t.word, false));
    for c in &summary.columns {
        columns.push(column(&c.name, if c.method.is_integer() { t.bigint } else { t.double }, true));
    }
    columns.push(column("samples", t.bigint, false));
    columns.push(column("coverage", t.double, false));
    columns.push(column("is_final", t.tinyint, false));
    columns.push(column("revision", t.bigint, false));
    columns.push(column("writers", t.int, false));
    columns.push(column("first_seen", t.milliseconds, true));
    columns.push(column("last_seen", t.milliseconds, true));
    columns.push(column("updated_at", t.milliseconds, false));
    TableDef { name: row_table_name(summary, kind), columns, key, index: Some(local.to_string()) }
}

/// All tables of a schema.
pub fn tables(dialect: Dialect, schema: &Schema) -> Vec<TableDef> {
    let mut out = Vec::new();
    for summary in &schema.summaries {
        out.extend(summary.windows.iter().map(|kind| row_table(dialect, summary, *kind)));
        out.push(partial_table(dialect, summary));
    }
    out
}

fn definition(dialect: Dialect, c: &ColumnDef) -> String {
    format!("{} {} {}", quote(dialect, &c.name), c.sql_type, if c.nullable { "NULL" } else { "NOT NULL" })
}

/// What is wrong with the primary key of a table that is there, if anything: a summary whose key has been changed speaks of
/// other devices than the rows of the table.
pub fn key_problem(table: &TableDef, present: &[String]) -> Option<String> {
    let names = |names: &[String]| {
        let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        names.sort();
        names
    };
    (names(&table.key) != names(present)).then(|| {
        format!(
            "the table {} has the primary key ({}), and this configuration needs ({}): the key of the summary was changed. \
             Give the summary another name, or rename the tables of the old one",
            table.name,
            present.join(", "),
            table.key.join(", ")
        )
    })
}

/// What kind of values a type holds; `None` for one that is not known here.
fn family(sql_type: &str) -> Option<&'static str> {
    let word: String = sql_type.chars().take_while(|c| c.is_ascii_alphabetic()).collect::<String>().to_lowercase();
    Some(match word.as_str() {
        "double" | "real" | "float" | "decimal" | "numeric" | "int" | "integer" | "bigint" | "tinyint" | "smallint"
        | "mediumint" | "bit" | "bool" | "boolean" => "numbers",
        "char" | "varchar" | "text" | "tinytext" | "mediumtext" | "longtext" | "json" | "binary" | "varbinary"
        | "blob" | "tinyblob" | "mediumblob" | "longblob" | "enum" => "texts",
        "date" | "datetime" | "timestamp" => "times",
        _ => return None,
    })
}

/// What is wrong with the types of columns that are there (name and type), if anything: a text where a number is to go.
pub fn type_problem(table: &TableDef, present: &[(String, String)]) -> Option<String> {
    for column in &table.columns {
        let Some((_, there)) = present.iter().find(|(name, _)| name.eq_ignore_ascii_case(&column.name)) else {
            continue;
        };
        let (Some(wanted), Some(found)) = (family(&column.sql_type), family(there)) else { continue };
        if wanted != found {
            return Some(format!(
                "the column {:?} of {} is {there}, which holds {found}, and this configuration needs {wanted} ({}): give the \
                 column of the configuration another name, or change the table",
                column.name, table.name, column.sql_type
            ));
        }
    }
    None
}

/// Creates a table unless it exists. SQLite needs a second statement for the index.
pub fn create_table(dialect: Dialect, table: &TableDef) -> Vec<String> {
    let name = quote(dialect, &table.name);
    let mut parts: Vec<String> = table.columns.iter().map(|c| definition(dialect, c)).collect();
    let key: Vec<_> = table.key.iter().map(|k| quote(dialect, k)).collect();
    parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    let index_name = |column: &str| quote(dialect, &format!("{}_{column}", table.name));
    match dialect {
        Dialect::Sqlite => {
            let mut out =
                vec![format!("CREATE TABLE IF NOT EXISTS {name} (\n  {}\n) WITHOUT ROWID", parts.join(",\n  "))];
            if let Some(index) = &table.index {
                let on = quote(dialect, index);
                out.push(format!("CREATE INDEX IF NOT EXISTS {} ON {name} ({on})", index_name(index)));
            }
            out
        }
        Dialect::MySql | Dialect::MariaDb => {
            if let Some(index) = &table.index {
                parts.push(format!("KEY {} ({})", index_name(index), quote(dialect, index)));
            }
            vec![format!(
                "CREATE TABLE IF NOT EXISTS {name} (\n  {}\n) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4",
                parts.join(",\n  ")
            )]
        }
    }
}

/// Adds a column that the configuration has gained. It is nullable in an existing table, whatever it is in a new one.
pub fn add_column(dialect: Dialect, table: &str, c: &ColumnDef) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {} NULL", quote(dialect, table), quote(dialect, &c.name), c.sql_type)
}

/// Appends a value as a literal. MySQL reads a backslash in a text as an escape (the session's mode says so); a number with
/// an exponent is a double for it, and one without would be a decimal.
pub fn literal(dialect: Dialect, out: &mut String, value: &Bound<'_>) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = match value {
        Bound::Null => write!(out, "NULL"),
        Bound::Integer(value) => write!(out, "{value}"),
        Bound::Float(value) => write!(out, "{value:e}"),
        Bound::Text(text) => {
            out.push('\'');
            let is_special = |c: char| c == '\'' || (dialect != Dialect::Sqlite && matches!(c, '\\' | '\0'));
            let mut rest = &**text;
            while let Some(at) = rest.find(is_special) {
                out.push_str(&rest[..at]);
                // All three are one byte long.
                out.push_str(match &rest[at..=at] {
                    "'" => "''",
                    "\\" => "\\\\",
                    _ => "\\0",
                });
                rest = &rest[at + 1..];
            }
            out.push_str(rest);
            write!(out, "'")
        }
    };
}

/// Appends one row of literals, `(1,'a',NULL)`.
pub fn literals(dialect: Dialect, out: &mut String, row: &[Bound<'_>]) {
    out.push('(');
    for (i, value) in row.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        literal(dialect, out, value);
    }
    out.push(')');
}

/// One row of placeholders.
pub fn placeholders(count: usize) -> String {
    format!("({})", vec!["?"; count].join(","))
}

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

/// Reads partials. Columns of the answer: the key, start of the window as text, writer, run, rev, state (NULL where it is not
/// asked for). `condition` is made of [`range`] or [`range_literals`].
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

/// The conditions for some ranges, with literals, each for a SELECT of its own of at most `most` ranges: ranges of the same span
/// become a list of keys.
///
/// What MySQL makes of 1,000 ranges that are joined by OR takes it longer than to read them. MariaDB does not look up lists of
/// tuples by the index, and makes a subquery of a list of 1,000 values, which may read the whole table: so `most` is to be
/// less.
pub fn range_literals(dialect: Dialect, summary: &Summary, ranges: &[PartialRange], most: usize) -> Vec<String> {
    let keys: Vec<String> = summary.key.iter().map(|k| quote(dialect, k)).collect();
    let start = quote(dialect, "window_start");
    let mut by_span: std::collections::BTreeMap<(i64, i64), Vec<&PartialRange>> = std::collections::BTreeMap::new();
    for range in ranges {
        by_span.entry((range.span.start, range.span.end)).or_default().push(range);
    }
    let mut out = Vec::new();
    if by_span.len() > SPANS_MAX {
        // A device after an outage: better slow statements than one for each hour.
        for ranges in ranges.chunks(most) {
            let mut list = String::new();
            for range in ranges {
                any_range(dialect, &keys, &mut list, range);
            }
            out.push(list);
        }
        return out;
    }
    for ((from, until), ranges) in by_span {
        let (first, last) = (datetime(from), datetime(until - 1));
        let of_span = match first == last {
            true => format!("{start}='{first}'"),
            false => format!("{start} BETWEEN '{first}' AND '{last}'"),
        };
        for ranges in ranges.chunks(most) {
            let mut list = String::new();
            for (i, range) in ranges.iter().enumerate() {
                let bound: Vec<Bound<'_>> = range.key.iter().map(|text| Bound::text(text)).collect();
                match bound.as_slice() {
                    [value] => {
                        list.push_str(if i > 0 { "," } else { "" });
                        literal(dialect, &mut list, value);
                    }
                    values if dialect == Dialect::MySql => {
                        list.push_str(if i > 0 { "," } else { "" });
                        literals(dialect, &mut list, values);
                    }
                    _ => any_range(dialect, &keys, &mut list, range),
                }
            }
            out.push(match keys.as_slice() {
                [key] => format!("{key} IN ({list}) AND {of_span}"),
                _ if dialect == Dialect::MySql => format!("({}) IN ({list}) AND {of_span}", keys.join(",")),
                _ => list,
            });
        }
    }
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

/// The local start of a window: a datetime for hours, a date for days.
pub fn local(zone: &Zone, kind: WindowKind, start: i64) -> String {
    let local = zone.local(start);
    match kind {
        WindowKind::Hourly => civil_text(local),
        WindowKind::Daily => local.date().to_string(),
    }
}

/// `YYYY-MM-DD HH:MM:SS`, digit by digit: rows have up to five of them. Years have four digits: event times do.
fn civil_text(at: civil::DateTime) -> String {
    let mut text = String::with_capacity("YYYY-MM-DD HH:MM:SS.mmm".len());
    let mut put = |number: i16, unit: i16, behind: &str| {
        let mut unit = unit;
        while unit > 0 {
            text.push(char::from(b'0' + (number / unit % 10) as u8));
            unit /= 10;
        }
        text.push_str(behind);
    };
    put(at.year(), 1000, "-");
    for (number, behind) in
        [(at.month(), "-"), (at.day(), " "), (at.hour(), ":"), (at.minute(), ":"), (at.second(), "")]
    {
        put(i16::from(number), 10, behind);
    }
    text
}

/// An instant as `YYYY-MM-DD HH:MM:SS` in UTC.
pub fn datetime(at: i64) -> String {
    civil_text(zone::utc_datetime(at))
}

/// An instant as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, cut, not rounded: rounding could show the next hour.
pub fn milliseconds(at: i64) -> String {
    let ms = at.div_euclid(1_000_000).rem_euclid(1000);
    let mut text = datetime(at.div_euclid(1_000_000_000) * 1_000_000_000);
    text.push('.');
    text.extend([ms / 100, ms / 10 % 10, ms % 10].map(|digit| char::from(b'0' + digit as u8)));
    text
}

/// Reads what [`datetime`] wrote.
pub fn parse_datetime(text: &str) -> Option<i64> {
    let at: civil::DateTime = text.parse().ok()?;
    i64::try_from(jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_nanosecond()).ok()
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

/// The statements that give a user what the product needs.
pub fn grants(user: &str, database: &str, migrate: bool) -> String {
    let rights = "SELECT, INSERT, UPDATE, DELETE".to_string() + if migrate { ", CREATE, ALTER, INDEX" } else { "" };
    let text = |s: &str| s.replace('\'', "''");
    format!("GRANT {rights} ON `{}`.* TO '{}'@'%';", database.replace('`', "``"), text(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_and_read_back() {
        assert_eq!(milliseconds(1_709_683_199_999_999_999), "2024-03-05 23:59:59.999");
        assert_eq!(milliseconds(-1), "1969-12-31 23:59:59.999");
        assert_eq!(datetime(1_709_683_200_000_000_000), "2024-03-06 00:00:00");
        assert_eq!(parse_datetime("2024-03-06 00:00:00"), Some(1_709_683_200_000_000_000));
        assert_eq!(parse_datetime("never"), None);
        assert_eq!(milliseconds(1_709_683_200_007_000_000), "2024-03-06 00:00:00.007");
        // Event times are from 1828 to 2112.
        for at in (-4_500_000_000..4_500_000_000).step_by(86_399 * 7) {
            let (date, time) =
                (zone::utc_datetime(at * 1_000_000_000).date(), zone::utc_datetime(at * 1_000_000_000).time());
            let expected = format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
            assert_eq!(datetime(at * 1_000_000_000), expected);
        }
    }

    #[test]
    fn literals_cannot_break_out() {
        let text = |dialect, text: &str| {
            let mut out = String::new();
            literal(dialect, &mut out, &Bound::text(text));
            out
        };
        assert_eq!(text(Dialect::MySql, "a'b\\' OR 1=1 -- \0"), "'a''b\\\\'' OR 1=1 -- \\0'");
        assert_eq!(text(Dialect::Sqlite, "a'b\\"), "'a''b\\'");
        let mut row = String::new();
        literals(Dialect::MySql, &mut row, &[Bound::Null, Bound::Integer(-7), Bound::Float(0.1), Bound::Float(-1e300)]);
        assert_eq!(row, "(NULL,-7,1e-1,-1e300)");
    }

    #[test]
    fn identifiers_cannot_break_out() {
        assert_eq!(quote(Dialect::MySql, "a`b"), "`a``b`");
        assert_eq!(quote(Dialect::Sqlite, "a\"b"), "\"a\"\"b\"");
    }
}
