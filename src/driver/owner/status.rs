//! `status.json`: what the owner of a state directory says of itself, written whole every 10 s and at the end.

use super::figures::{ColumnFigures, Figures, FlushFigures};
use crate::driver::clock;
use crate::engine::counters::ColumnReason;
use crate::sink::sql::times;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Version of the form below.
const VERSION: u64 = 1;

/// The file in a state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("status.json")
}

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Speaker {
    pub writer: String,
    /// The name of the sink, without secrets.
    pub sink: String,
    /// Nanoseconds since the epoch.
    pub started: i64,
    /// When the input has ended and everything was saved; `None` while it goes on.
    pub ended: Option<i64>,
}

fn time(at: Option<i64>) -> Value {
    at.map_or(Value::Null, |at| json!(format!("{}Z", times::datetime(at).replace(' ', "T"))))
}

/// Returns what it says of the columns.
pub fn columns(columns: &[ColumnFigures]) -> Value {
    let each = columns.iter().map(|column| {
        let last = Some(column.tally.last_point).filter(|at| *at != i64::MIN);
        let mut object = Map::new();
        object.insert("summary".to_string(), column.summary.as_str().into());
        object.insert("name".to_string(), column.name.as_str().into());
        object.insert("points".to_string(), column.tally.points.into());
        object.insert("last_point".to_string(), time(last));
        let left = |reason: ColumnReason| (reason.name().to_string(), column.tally.left(reason).into());
        object.extend(ColumnReason::ALL.into_iter().map(left));
        Value::Object(object)
    });
    each.collect()
}

/// Returns what is in the file.
pub fn of(speaker: &Speaker, figures: &Figures, flushes: &FlushFigures, now: i64) -> Value {
    let mut lines = Map::new();
    lines.insert("seen".to_string(), figures.counters.lines.into());
    lines.insert("matched".to_string(), figures.counters.matched.into());
    lines.insert("fed".to_string(), figures.counters.fed.into());
    lines.insert("points".to_string(), figures.counters.points.into());
    lines.extend(figures.counters.reasons().map(|reason| (reason.name.to_string(), reason.count.into())));
    let last = flushes.last.clone().unwrap_or_default();
    let refused = |row: &crate::driver::flush::quarantine::RefusedRow| {
        json!({
            "table": row.table, "key": row.key[..], "window_start": time(Some(row.window_start)),
            "since": time(Some(row.since)), "reason": row.reason,
        })
    };
    json!({
        "version": VERSION,
        "program": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "written_at": time(Some(now)),
        "started_at": time(Some(speaker.started)),
        "ended_at": time(speaker.ended),
        "writer": speaker.writer,
        "sink": speaker.sink,
        "lines": lines,
        "columns": columns(&figures.columns),
        "devices": figures.devices,
        "series": figures.series,
        "windows": {
            "in_memory": figures.windows, "unacknowledged": figures.unacknowledged,
            "waiting_on_disk": figures.waiting_on_disk,
        },
        "journal_bytes": figures.journal_bytes,
        "flush": {
            "at": time(flushes.last.as_ref().map(|last| last.at)), "milliseconds": last.milliseconds,
            "hourly_rows": last.flushed.hourly, "daily_rows": last.flushed.daily, "error": last.error,
            "last_complete_at": time(flushes.complete_at), "running_since": time(flushes.running_since),
        },
        "set_aside": {
            "count": last.quarantine.count, "beyond": last.quarantine.beyond,
            "first": last.quarantine.first.iter().map(refused).collect::<Vec<_>>(),
        },
    })
}

/// Returns how old a status is; `None` if it does not say.
pub fn age(status: &Value) -> Option<Duration> {
    let written = times::parse_datetime(status["written_at"].as_str()?.trim_end_matches('Z'))?;
    Some(Duration::from_nanos((clock::now() - written).max(0).unsigned_abs()))
}

/// Writes the file, whole or not at all. A failure is worth a line in the log, nothing more.
pub fn write(state_dir: &Path, status: &Value) {
    let draft = state_dir.join("status.draft");
    let written =
        std::fs::write(&draft, format!("{status:#}\n")).and_then(|()| std::fs::rename(&draft, path(state_dir)));
    if let Err(e) = written {
        log::warn!("{} cannot be written: {e}", path(state_dir).display());
    }
}
