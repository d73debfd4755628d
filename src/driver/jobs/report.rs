//! Rows of a sink -> what a report is made of.

use crate::engine::ids::Key;
use crate::engine::pattern::Pattern;
use crate::engine::schema::{Column, Method, Schema, Summary};
use crate::engine::zone::{Span, WindowKind};
use crate::report::rows::{ColumnShape, DeviceRows, ReportColumn, ReportRow, SummaryRows};
use crate::sink::port::SinkError;
use crate::sink::reader::{RowReader, StoredRow};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Hours are read of so many days, and days of so many, if no other range is asked for.
const HOURS_OF: i64 = 32 * DAY;
const DAYS_OF: i64 = 367 * DAY;
/// A device is silent after so long at least, in seconds, and after so many slots of its summary.
const SILENT_MIN: i64 = 2 * 3_600;
const SILENT_SLOTS: i64 = 3;
/// Devices that are read at once.
const DEVICES_AT_ONCE: usize = 50;

/// Which rows a report is about.
pub struct ReportOrder {
    /// Devices whose key matches, as it is shown; `None`: all.
    pub device: Option<Pattern>,
    /// Nanoseconds since the epoch; `None`: as far back as the charts go.
    pub from: Option<i64>,
    /// Nanoseconds since the epoch; `None`: to the newest row.
    pub to: Option<i64>,
}

/// Reads the rows; `progress` is told how many of how many devices have been read.
///
/// # Errors
/// The sink is away, or refuses.
pub fn gather(
    reader: &mut RowReader,
    schema: &Schema,
    order: &ReportOrder,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<SummaryRows>, SinkError> {
    schema.summaries.iter().map(|summary| one(reader, summary, order, progress)).collect()
}

fn one(
    reader: &mut RowReader,
    summary: &Summary,
    order: &ReportOrder,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<SummaryRows, SinkError> {
    let mut out = SummaryRows {
        name: summary.name.clone(),
        columns: summary.columns.iter().map(report_column).collect(),
        silent_after: SILENT_MIN.max(SILENT_SLOTS * summary.expect_every / SECOND),
        from: order.from.map(|from| from.div_euclid(SECOND)),
        devices: Vec::new(),
    };
    let mut newest = None;
    for kind in &summary.windows {
        newest = newest.max(reader.newest(summary, *kind)?);
    }
    let Some(newest) = newest else { return Ok(out) };
    let end = order.to.unwrap_or(newest + 1).min(newest + 1);
    let span = |back: i64| Span { start: order.from.unwrap_or(end - back).min(end), end };
    let spans = |kind: WindowKind| span(if kind == WindowKind::Hourly { HOURS_OF } else { DAYS_OF });
    let mut keys: Vec<Key> = Vec::new();
    for kind in &summary.windows {
        keys.extend(reader.devices(summary, *kind, spans(*kind))?);
    }
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| order.device.as_ref().is_none_or(|pattern| pattern.matches(device_name(key).as_bytes())));
    for some in keys.chunks(DEVICES_AT_ONCE) {
        progress(out.devices.len(), keys.len());
        let first = out.devices.len();
        out.devices.extend(some.iter().map(|key| DeviceRows { name: device_name(key), ..DeviceRows::default() }));
        for kind in &summary.windows {
            for row in reader.rows(summary, *kind, some, spans(*kind))? {
                // Keys are in order, and the answer holds no others.
                let Ok(at) = some.binary_search(&row.key) else { continue };
                let device = &mut out.devices[first + at];
                let rows = if *kind == WindowKind::Hourly { &mut device.hours } else { &mut device.days };
                rows.push(report_row(row));
            }
        }
    }
    progress(keys.len(), keys.len());
    Ok(out)
}

/// Returns the name of a device: its key tags.
fn device_name(key: &Key) -> String {
    key.join(" / ")
}

fn report_column(column: &Column) -> ReportColumn {
    let shape = match column.method {
        Method::Anomalies => ColumnShape::Anomalies,
        Method::Count | Method::Sum => ColumnShape::Count,
        Method::Min => ColumnShape::Low,
        Method::Max => ColumnShape::High,
        Method::Avg | Method::First | Method::Last | Method::Stddev | Method::Range | Method::Percentile(_) => {
            ColumnShape::Level
        }
    };
    ReportColumn { name: column.name.clone(), unit: column.unit.clone(), shape }
}

fn report_row(row: StoredRow) -> ReportRow {
    ReportRow {
        start: row.window_start.div_euclid(SECOND),
        local: row.local,
        zone: row.zone,
        values: row.values,
        samples: row.samples,
        coverage: row.coverage,
        is_final: row.is_final,
        last_seen: row.last_seen.map(|at| at.div_euclid(SECOND)),
    }
}
