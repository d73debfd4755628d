//! `status.json`: what the owner of a state directory says of itself, written whole every [`EVERY`].

use super::clock;
use super::flush::DEVICES_A_SLICE;
use super::flush::Flushed;
use super::keeper::Keeper;
use super::shared::Shared;
use crate::sink::sql::times;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the file is written, in nanoseconds.
pub const EVERY: i64 = 10 * 1_000_000_000;

/// Version of the form below.
const VERSION: u64 = 1;

/// The file in a state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("status.json")
}

/// How the last flush went.
#[derive(Clone, Debug, Default)]
pub struct LastFlush {
    /// When the last flush began; 0: there was none yet.
    pub at: i64,
    pub milliseconds: u64,
    pub flushed: Flushed,
    /// Why it failed, without secrets.
    pub error: Option<String>,
    /// When the last one began that wrote everything; 0: none yet.
    pub complete_at: i64,
}

fn time(at: i64) -> Value {
    if at == 0 { Value::Null } else { json!(format!("{}Z", times::datetime(at).replace(' ', "T"))) }
}

/// What is in the file.
pub fn of(shared: &Shared, keeper: &Keeper, sink: &str, started: i64, last: &LastFlush, now: i64) -> Value {
    let engine = shared.with(|e| (e.counters(), e.device_count(), e.series_count(), e.away()));
    let (c, devices, series, away) = engine.unwrap_or_default();
    let (mut windows, mut due) = (0, 0);
    shared.slices(|engine, from| engine.open_windows(from, DEVICES_A_SLICE, (&mut windows, &mut due)));
    let aside: Vec<Value> = keeper
        .set_aside()
        .list()
        .map(|aside| {
            json!({
                "table": aside.table, "key": aside.key[..], "window_start": time(aside.window_start),
                "since": time(aside.since), "reason": aside.reason,
            })
        })
        .collect();
    json!({
        "version": VERSION,
        "program": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "written_at": time(now),
        "started_at": time(started),
        "writer": keeper.writer(),
        "sink": sink,
        "lines": {
            "seen": c.lines, "matched": c.matched, "points": c.points, "late": c.late, "future": c.future,
            "duplicates": c.duplicates, "conflicts": c.conflicts, "no_key": c.no_key, "over_limit": c.over_limit,
            "not_finite": c.not_finite, "malformed": c.malformed, "unknown_zones": c.unknown_zones,
            "unjournaled": c.unjournaled,
        },
        "devices": devices,
        "series": series,
        "windows": {"in_memory": windows, "unacknowledged": due as u64 + away, "waiting_on_disk": away},
        "journal_bytes": shared.journaling().map_or(0, |journaling| journaling.bytes()),
        "flush": {
            "at": time(last.at), "milliseconds": last.milliseconds, "hourly_rows": last.flushed.hourly,
            "daily_rows": last.flushed.daily, "error": last.error, "last_complete_at": time(last.complete_at),
        },
        "set_aside": aside,
    })
}

/// How old a status is; `None` if it does not say.
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
