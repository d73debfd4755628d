//! `status.json`: what the owner of a state directory says of itself, written whole every 10 s and at the end.
//!
//! While nobody owns it, a process whose lines do not match any source says so there.
//!
//! Invariant: it is written by who holds the lock of the state directory.

use super::figures::{ColumnFigures, Figures, FlushFigures};
use super::pace::SECOND;
use super::processes;
use super::report;
use crate::driver::troubles::{Trouble, TroubleFigures, Troubles};
use crate::engine::counters::ColumnReason;
use crate::engine::watch::arrivals::Arrivals;
use crate::sink::sql::times;
use log::Level;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Version of the form below.
const VERSION: u64 = 1;

/// The file in a state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("status.json")
}

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// `None` while no line has matched: it has none yet.
    pub writer: Option<String>,
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
pub fn of(
    speaker: &Speaker,
    figures: &Figures,
    flushes: &FlushFigures,
    troubles: &[TroubleFigures],
    now: i64,
) -> Value {
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
        "namespace": processes::namespace(),
        "role": if speaker.writer.is_some() { "owner" } else { "guest" },
        "written_at": time(Some(now)),
        "started_at": time(Some(speaker.started)),
        "ended_at": time(speaker.ended),
        "writer": speaker.writer,
        "sink": speaker.sink,
        "troubles": troubles.iter().map(|t| json!({ "what": t.name, "since": time(Some(t.since)), "text": t.text })).collect::<Vec<_>>(),
        "lines": lines,
        "arrivals": null,
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

/// So many measurements are named.
const MEASUREMENTS_MAX: usize = 20;

/// Returns what it says of lines of which none matches.
pub fn arrivals(arrivals: &Arrivals) -> Value {
    let (most, others) = arrivals.most(MEASUREMENTS_MAX);
    json!({
        "measurements": most.iter().map(|(name, lines)| json!({ "name": name, "lines": lines })).collect::<Vec<_>>(),
        "others": others,
        "missing_tags": arrivals.missing(),
        "nearest": arrivals.nearest().map(report::closest),
    })
}

/// A time in a status, in nanoseconds since the epoch; `None` if there is none.
pub fn parsed(time: &Value) -> Option<i64> {
    times::parse_datetime(time.as_str()?.trim_end_matches('Z'))
}

/// A status that is older than this, in nanoseconds, and that a living process has not ended: nobody writes it any more.
pub const STALE_AFTER: i64 = 35 * SECOND;

/// Reads the file; `None` if there is none that can be read.
pub fn read(state_dir: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path(state_dir)).ok()?).ok()
}

/// True if a status is that of another process which lives, has matched no line either, and has seen more of them.
pub fn is_of_a_better_guest(status: &Value, lines: u64, now: i64) -> bool {
    let is_fresh = parsed(&status["written_at"]).is_some_and(|at| now - at < STALE_AFTER);
    status["role"] == "guest"
        && status["ended_at"].is_null()
        && status["pid"] != std::process::id()
        && is_fresh
        && status["lines"]["seen"].as_u64().is_some_and(|seen| seen > lines)
}

/// Writes the file, whole or not at all. A failure is worth a line in the log, nothing more.
pub fn write(troubles: &Troubles, state_dir: &Path, status: &Value) {
    let draft = state_dir.join("status.draft");
    let written =
        std::fs::write(&draft, format!("{status:#}\n")).and_then(|()| std::fs::rename(&draft, path(state_dir)));
    match written {
        Ok(()) => troubles.over(Trouble::Status, |lasted, _| {
            format!("{} can be written again after {lasted}: nothing is lost", path(state_dir).display())
        }),
        Err(e) => {
            let text = format!(
                "{} cannot be written: {e}; lines are counted all the same, but `telegraf-rollup status` shows old figures; look at that disk",
                path(state_dir).display()
            );
            troubles.hold(Trouble::Status, Level::Warn, &text);
        }
    }
}
