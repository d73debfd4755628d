//! Rows read back, for reports: never a write, never a lock that a writer would wait for.
//!
//! Every question asks for a bounded number of rows, and an answer that is not whole is an error: no picture is made of it.
//! Deliberately absent: partials; whoever merges reads them through [`super::port::Sink`].

use super::port::SinkError;
use super::sql::dialect::{Dialect, row_table_name};
use super::sql::{rows, times};
use super::whole::ANSWER_ROWS_MAX;
use crate::engine::ids::Key;
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, WindowKind};
use std::sync::Arc;

pub mod mysql;
pub mod sqlite;

const HOUR: i64 = 3_600 * 1_000_000_000;
/// Rows that one question is expected to have, at most; some room is left for windows of half an hour.
const EXPECTED_MAX: i64 = 6_000;
/// Devices of one question, at most.
const DEVICES_MAX: usize = 100;

/// A row as it stands in its table.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    pub key: Key,
    /// Nanoseconds since the epoch.
    pub window_start: i64,
    /// The start in the zone of the row, as text.
    pub local: String,
    pub zone: String,
    /// In the order of the summary's columns.
    pub values: Vec<Option<f64>>,
    pub samples: u64,
    pub coverage: f64,
    pub is_final: bool,
    /// The last sample, nanoseconds since the epoch.
    pub last_seen: Option<i64>,
}

/// A row of an answer: values as text, `None` for NULL.
pub type AnswerRow = Vec<Option<String>>;

/// A database that can be asked.
pub trait Inquirer {
    /// Connects, if there is no connection, and returns how SQL is spelled.
    ///
    /// # Errors
    /// The database is away, or refuses.
    fn dialect(&mut self) -> Result<Dialect, SinkError>;

    /// Returns the names of a table's columns; `None` if there is no such table.
    ///
    /// # Errors
    /// As [`Inquirer::dialect`].
    fn columns_of(&mut self, table: &str) -> Result<Option<Vec<String>>, SinkError>;

    /// Returns the whole answer to a SELECT of so many columns, of which the first is never NULL.
    ///
    /// # Errors
    /// As [`Inquirer::dialect`], or the answer is not whole.
    fn ask(&mut self, sql: &str, columns: usize) -> Result<Vec<AnswerRow>, SinkError>;
}

/// Reads rows of the tables of summaries.
pub struct RowReader {
    database: Box<dyn Inquirer>,
}

impl RowReader {
    /// A reader of a database that has not been asked yet.
    pub fn new(database: Box<dyn Inquirer>) -> RowReader {
        RowReader { database }
    }

    /// Returns the start of the newest window of a table, in nanoseconds since the epoch; `None` if there is no row.
    ///
    /// # Errors
    /// The database is away, or refuses.
    pub fn newest(&mut self, summary: &Summary, kind: WindowKind) -> Result<Option<i64>, SinkError> {
        if self.database.columns_of(&row_table_name(summary, kind))?.is_none() {
            return Ok(None);
        }
        let dialect = self.database.dialect()?;
        let sql = format!("SELECT 1, ({})", rows::select_newest(dialect, summary, kind));
        let answer = self.database.ask(&sql, 2)?;
        Ok(answer.first().and_then(|row| times::parse_datetime(row.get(1)?.as_deref()?)))
    }

    /// Returns the devices that have a row which starts in a span, by their keys.
    ///
    /// # Errors
    /// The database is away, or refuses.
    pub fn devices(&mut self, summary: &Summary, kind: WindowKind, span: Span) -> Result<Vec<Key>, SinkError> {
        if self.database.columns_of(&row_table_name(summary, kind))?.is_none() {
            return Ok(Vec::new());
        }
        let dialect = self.database.dialect()?;
        let most = ANSWER_ROWS_MAX / 2;
        let mut out: Vec<Key> = Vec::new();
        loop {
            let sql = rows::select_devices(dialect, summary, kind, span, out.last(), most);
            // A LIMIT of its own inside, and the mark behind it.
            let answer = self.database.ask(&format!("SELECT * FROM ({sql}) AS devices"), summary.key.len())?;
            let count = answer.len();
            let text = |value: Option<String>| value.unwrap_or_default();
            out.extend(answer.into_iter().map(|row| row.into_iter().map(text).collect::<Arc<[String]>>()));
            if count < most {
                out.sort_unstable();
                return Ok(out);
            }
        }
    }

    /// Returns the rows of some devices that start in a span, by key and time.
    ///
    /// # Errors
    /// The database is away, refuses, or holds something that is no row.
    pub fn rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        keys: &[Key],
        span: Span,
    ) -> Result<Vec<StoredRow>, SinkError> {
        let table = row_table_name(summary, kind);
        let Some(present) = self.database.columns_of(&table)? else { return Ok(Vec::new()) };
        let dialect = self.database.dialect()?;
        let has = |name: &str| present.iter().any(|present| present.eq_ignore_ascii_case(name));
        let columns: Vec<Option<&str>> =
            summary.columns.iter().map(|column| Some(column.name.as_str()).filter(|name| has(name))).collect();
        let width = summary.key.len() + 3 + columns.len() + rows::AFTER_COLUMNS.len();
        let step = if kind == WindowKind::Hourly { HOUR } else { 24 * HOUR };
        let mut out = Vec::new();
        let mut from = span.start;
        while from < span.end && !keys.is_empty() {
            let until = span.end.min(from.saturating_add(EXPECTED_MAX * step));
            let windows = (until - from).div_euclid(step) + 1;
            let most = usize::try_from(EXPECTED_MAX / windows).unwrap_or(1).clamp(1, DEVICES_MAX);
            for some in keys.chunks(most) {
                let sql = rows::select_rows(dialect, summary, kind, &columns, some, Span { start: from, end: until });
                for row in self.database.ask(&sql, width)? {
                    let stored = stored(summary, row).ok_or_else(|| {
                        SinkError::Setup(format!("a row of {table} cannot be read: was the table changed by hand?"))
                    })?;
                    out.push(stored);
                }
            }
            from = until;
        }
        out.sort_by(|a, b| (&a.key, a.window_start).cmp(&(&b.key, b.window_start)));
        Ok(out)
    }
}

/// Reads one row of an answer to [`rows::select_rows`].
fn stored(summary: &Summary, row: AnswerRow) -> Option<StoredRow> {
    let mut cells = row.into_iter();
    let key: Option<Vec<String>> = (0..summary.key.len()).map(|_| cells.next()?).collect();
    let window_start = times::parse_datetime(&cells.next()??)?;
    let (local, zone) = (cells.next()??, cells.next()??);
    let mut values = Vec::with_capacity(summary.columns.len());
    for _ in &summary.columns {
        values.push(match cells.next()? {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        });
    }
    Some(StoredRow {
        key: key?.into(),
        window_start,
        local,
        zone,
        values,
        samples: cells.next()??.parse().ok()?,
        coverage: cells.next()??.parse().ok()?,
        is_final: cells.next()??.parse::<i64>().ok()? != 0,
        last_seen: match cells.next()? {
            Some(text) => Some(times::parse_datetime(&text)?),
            None => None,
        },
    })
}
