//! `state.db`: everything that must survive, but for the lines behind its position.
//!
//! One transaction for each checkpoint, synced before it counts (`synchronous = FULL`). Partials are the same JSON text as
//! in the sink, so that a changed configuration finds what it knows and keeps what it does not.
//!
//! A state of a newer version, and one that cannot be read, is set aside under another name together with its journal,
//! never overwritten.

use crate::engine::accumulate::moments::Moments;
use crate::engine::checkpoint::Slice;
use crate::engine::dedupe::StoredDedupe;
use crate::engine::device::{Day, Key};
use crate::engine::partial::{Kind, Partial, State};
use crate::engine::plan::Sample;
use crate::engine::scan::Head;
use crate::engine::schema::Schema;
use crate::engine::stored::{Stored, StoredDevice, StoredPart, StoredSeries, StoredSlot, StoredWindow, WINDOWS_KEPT};
use crate::engine::zone::Span;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Version of the tables below.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE device (id INTEGER PRIMARY KEY, summary TEXT NOT NULL, key TEXT NOT NULL, cursors TEXT NOT NULL);
CREATE TABLE window (
  device INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, newest INTEGER NOT NULL,
  done INTEGER NOT NULL, written INTEGER NOT NULL, final INTEGER NOT NULL, PRIMARY KEY (device, start)) WITHOUT ROWID;
CREATE TABLE part (
  device INTEGER NOT NULL, start INTEGER NOT NULL, run TEXT NOT NULL, rev INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (device, start, run)) WITHOUT ROWID;
CREATE INDEX window_open ON window (device, start) WHERE done = 0;
CREATE INDEX window_end ON window (end) WHERE done = 1;
CREATE TABLE series (id INTEGER PRIMARY KEY, head BLOB NOT NULL);
CREATE TABLE slot (
  id INTEGER PRIMARY KEY, series INTEGER NOT NULL, field BLOB NOT NULL, at INTEGER, kind INTEGER, bits INTEGER,
  run TEXT NOT NULL);
CREATE TABLE dedupe (chunk INTEGER PRIMARY KEY, entries BLOB NOT NULL);
";

/// What belongs to the state as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Name of this state among the writers of a sink.
    pub writer: String,
    /// Everything before this position of the journal is in the state.
    pub position: u64,
    /// Files of guests that are in the state too, and could not be made part of the journal.
    pub absorbed: Vec<String>,
}

/// Why the state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a newer version of the program.
    #[error("it is of version {0}, this program knows version {VERSION}")]
    Newer(i64),
    /// Not a database, or one with other tables.
    #[error("it cannot be read: {0}")]
    Broken(String),
    /// It may work later: the disk is full, read-only or failing.
    #[error("{0}")]
    Unusable(String),
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> StateError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StateError::Broken(error.to_string()),
            _ => StateError::Unusable(error.to_string()),
        }
    }
}

/// The port to stored state.
pub trait Store: Send {
    /// Everything but windows that are done, or not among the newest of their device; `None` if there is no state yet.
    ///
    /// # Errors
    /// The state cannot be used.
    fn load(&mut self, schema: &Schema) -> Result<Option<(Meta, Stored)>, StateError>;

    /// The window of a device that holds `at`.
    ///
    /// # Errors
    /// The state cannot be used.
    fn window(&mut self, schema: &Schema, device: u32, at: i64) -> Result<Option<StoredWindow>, StateError>;

    /// At most `count` windows that are not done, in order of device and start, behind the given one.
    ///
    /// # Errors
    /// The state cannot be used.
    fn waiting(&mut self, schema: &Schema, after: (u32, i64), count: usize) -> Result<Vec<StoredWindow>, StateError>;

    /// Forgets what the sink has of windows that end after `from` (nanoseconds since the epoch). Gives how many windows are
    /// not done now.
    ///
    /// # Errors
    /// Nothing was changed.
    fn resend(&mut self, from: i64) -> Result<u64, StateError>;

    /// Saves a checkpoint, all of it or nothing: the series that are new, and the slices that `next` gives one after the other.
    /// Windows that are done and ended before `purge_before` are removed. False if the checkpoint was void.
    ///
    /// # Errors
    /// Nothing was saved.
    fn commit(
        &mut self,
        schema: &Schema,
        meta: &Meta,
        series: &[StoredSeries],
        next: &mut dyn FnMut() -> Slice,
        purge_before: i64,
    ) -> Result<bool, StateError>;
}

/// The real store.
pub struct StateDb {
    connection: Connection,
}

impl StateDb {
    /// Opens the state in a folder. A state that is of no use is set aside; gives the name of what was set aside and why.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path, now: i64) -> Result<(StateDb, Option<String>), StateError> {
        match StateDb::try_open(&folder.join("state.db")) {
            Ok(store) => Ok((store, None)),
            Err(error @ (StateError::Newer(_) | StateError::Broken(_))) => {
                let suffix = format!("set-aside-{now}");
                let mut moved = Vec::new();
                for name in ["state.db", "state.db-wal", "state.db-shm", "journal"] {
                    let from = folder.join(name);
                    let to = folder.join(format!("{name}.{suffix}"));
                    if from.exists() {
                        std::fs::rename(&from, &to).map_err(|e| StateError::Unusable(e.to_string()))?;
                        moved.push(to.display().to_string());
                    }
                }
                let store = StateDb::try_open(&folder.join("state.db"))?;
                Ok((store, Some(format!("{error}; set aside as {}", moved.join(", ")))))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the parts of a window.
    fn read_parts(&self, schema: &Schema, window: &mut StoredWindow) -> Result<(), StateError> {
        let sql = format!("SELECT {PART_COLUMNS} FROM part p WHERE p.device = ? AND p.start = ?");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![window.device, window.span.start])?;
        while let Some(row) = rows.next()? {
            let part = read_part(row, 0, schema, window.summary)?;
            window.parts.push(part);
        }
        Ok(())
    }

    fn try_open(path: &PathBuf) -> Result<StateDb, StateError> {
        let connection = Connection::open(path)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > VERSION {
            return Err(StateError::Newer(version));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if version == 0 {
            let transaction = connection.unchecked_transaction()?;
            transaction.execute_batch(TABLES).map_err(|e| StateError::Broken(e.to_string()))?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        }
        Ok(StateDb { connection })
    }
}

fn head_text(head: &Head) -> Vec<u8> {
    // Length-prefixed parts: tags may hold any byte.
    let mut out = Vec::new();
    let mut part = |bytes: &[u8]| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    part(&head.measurement);
    for (key, value) in &head.tags {
        part(key);
        part(value);
    }
    out
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, tail) = rest.split_at_checked(4)?;
        let (part, tail) = tail.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
        parts.push(part.to_vec());
        rest = tail;
    }
    let mut parts = parts.into_iter();
    let measurement = parts.next()?;
    let mut tags = Vec::new();
    while let Some(key) = parts.next() {
        tags.push((key, parts.next()?));
    }
    Some(Head { measurement, tags })
}

/// What is remembered of a window.
fn past((span, moments): &(Span, Vec<(String, Moments)>)) -> Value {
    let of = |(hash, moments): &(String, Moments)| (hash.clone(), json!(State::Moments(Box::new(moments.clone()))));
    json!([span.start, span.end, moments.iter().map(of).collect::<serde_json::Map<_, _>>()])
}

fn read_past(json: &Value) -> Option<(Span, Vec<(String, Moments)>)> {
    let moments = json[2].as_object()?.iter().filter_map(|(hash, json)| match State::from_json(Kind::Moments, json)? {
        State::Moments(moments) => Some((hash.clone(), *moments)),
        _ => None,
    });
    Some((Span { start: json[0].as_i64()?, end: json[1].as_i64()? }, moments.collect()))
}

fn cursors(device: &StoredDevice) -> String {
    let days: Vec<_> =
        device.days.iter().map(|(d, zone)| json!([d.span.start, d.span.end, d.stale, d.final_written, zone])).collect();
    json!({
        "filled": device.filled_until,
        "provisional": device.filled_provisionally,
        "forgotten": device.forgotten,
        "evicted": device.evicted_until,
        "zone": device.zone,
        "days": days,
        "past": device.past.iter().map(past).collect::<Vec<_>>(),
    })
    .to_string()
}

fn read_device(row: &Row<'_>) -> rusqlite::Result<Option<StoredDevice>> {
    let (key, cursors): (String, String) = (row.get(2)?, row.get(3)?);
    let read = || -> Option<(Key, Value)> {
        Some((serde_json::from_str::<Vec<String>>(&key).ok()?.into(), serde_json::from_str(&cursors).ok()?))
    };
    let Some((key, json)) = read() else { return Ok(None) };
    let days = json["days"].as_array().into_iter().flatten().filter_map(|d| {
        let span = Span { start: d[0].as_i64()?, end: d[1].as_i64()? };
        let day = Day { span, zone: 0, stale: d[2].as_bool()?, final_written: d[3].as_bool()? };
        Some((day, d[4].as_str().map(str::to_string)))
    });
    Ok(Some(StoredDevice {
        id: row.get(0)?,
        summary: row.get(1)?,
        key,
        zone: json["zone"].as_str().map(str::to_string),
        filled_until: json["filled"].as_i64().unwrap_or(i64::MAX),
        filled_provisionally: json["provisional"].as_i64().unwrap_or(i64::MAX),
        forgotten: json["forgotten"].as_i64(),
        evicted_until: json["evicted"].as_i64().unwrap_or(i64::MIN),
        days: days.collect(),
        past: json["past"].as_array().into_iter().flatten().filter_map(read_past).collect(),
    }))
}

/// Columns: device, start, end, newest, written, final, name of the summary.
const WINDOW_COLUMNS: &str = "w.device, w.start, w.end, w.newest, w.written, w.final, d.summary";

/// Reads a window without its parts; `None` if its summary is not in the schema.
fn read_window(row: &Row<'_>, schema: &Schema) -> rusqlite::Result<Option<StoredWindow>> {
    let name: String = row.get(6)?;
    let Some(summary) = schema.summaries.iter().position(|s| s.name == name) else { return Ok(None) };
    Ok(Some(StoredWindow {
        device: row.get(0)?,
        summary: summary as u16,
        span: Span { start: row.get(1)?, end: row.get(2)? },
        newest: row.get(3)?,
        written: row.get(4)?,
        final_written: row.get(5)?,
        parts: Vec::new(),
    }))
}

/// The condition that a window belongs to a summary of the schema: one that is gone must not hide others.
const KNOWN: &str = "d.summary IN (SELECT value FROM json_each(?))";

/// The names of the summaries, for [`KNOWN`].
fn names(schema: &Schema) -> String {
    json!(schema.summaries.iter().map(|summary| &summary.name).collect::<Vec<_>>()).to_string()
}

/// Columns: run, rev, acknowledged, state.
const PART_COLUMNS: &str = "p.run, p.rev, p.acknowledged, p.state";

/// Reads a part from column `from` on.
fn read_part(row: &Row<'_>, from: usize, schema: &Schema, summary: u16) -> Result<StoredPart, StateError> {
    let (run, state): (String, String) = (row.get(from)?, row.get(from + 3)?);
    let partial = Partial::from_json(&state, &schema.summaries[usize::from(summary)]).map_err(StateError::Broken)?;
    let number = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
    Ok(StoredPart { run: run.into(), rev: number(from + 1)?, acknowledged: number(from + 2)?, partial })
}

impl Store for StateDb {
    fn load(&mut self, schema: &Schema) -> Result<Option<(Meta, Stored)>, StateError> {
        let c = &self.connection;
        let meta: Option<String> =
            c.query_row("SELECT value FROM meta WHERE name = 'meta'", [], |row| row.get(0)).optional()?;
        let Some(meta) = meta else { return Ok(None) };
        let json: Value = serde_json::from_str(&meta).map_err(|e| StateError::Broken(e.to_string()))?;
        let meta = Meta {
            writer: json["writer"].as_str().unwrap_or_default().to_string(),
            position: json["position"].as_u64().unwrap_or(0),
            absorbed: json["absorbed"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_string))
                .collect(),
        };
        let mut stored = Stored::default();
        let mut statement = c.prepare("SELECT id, summary, key, cursors FROM device ORDER BY id")?;
        for device in statement.query_map([], read_device)? {
            stored.devices.extend(device?);
        }
        // The newest windows of each device.
        let recent = format!(
            "recent AS (SELECT device, start FROM (SELECT device, start, \
             ROW_NUMBER() OVER (PARTITION BY device ORDER BY start DESC) AS place FROM window WHERE done = 0) \
             WHERE place <= {WINDOWS_KEPT})"
        );
        let sql = format!(
            "WITH {recent} SELECT {WINDOW_COLUMNS} FROM recent r \
             JOIN window w ON w.device = r.device AND w.start = r.start JOIN device d ON d.id = w.device \
             ORDER BY w.device, w.start"
        );
        let mut statement = c.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            stored.windows.extend(read_window(row, schema)?);
        }
        let sql =
            format!("SELECT COUNT(*) FROM window w JOIN device d ON d.id = w.device WHERE w.done = 0 AND {KNOWN}");
        let open: i64 = c.query_row(&sql, [names(schema)], |row| row.get(0))?;
        stored.away = open.unsigned_abs().saturating_sub(stored.windows.len() as u64);
        let sql = format!(
            "WITH {recent} SELECT p.device, p.start, {PART_COLUMNS} FROM recent r \
             JOIN part p ON p.device = r.device AND p.start = r.start ORDER BY p.device, p.start"
        );
        let mut statement = c.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut at = 0;
        while let Some(row) = rows.next()? {
            let place: (u32, i64) = (row.get(0)?, row.get(1)?);
            // Both come in the same order; a part without a window belongs to a summary that is gone.
            while stored.windows.get(at).is_some_and(|w| (w.device, w.span.start) < place) {
                at += 1;
            }
            if let Some(window) = stored.windows.get_mut(at).filter(|w| (w.device, w.span.start) == place) {
                let part = read_part(row, 2, schema, window.summary)?;
                window.parts.push(part);
            }
        }
        let mut statement = c.prepare("SELECT id, head FROM series ORDER BY id")?;
        for series in statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))? {
            let (id, head) = series?;
            stored.series.extend(read_head(&head).map(|head| StoredSeries { id, head }));
        }
        let mut statement = c.prepare("SELECT id, series, field, at, kind, bits, run FROM slot")?;
        let slots = statement.query_map([], |row| {
            let at: Option<i64> = row.get(3)?;
            let (kind, bits): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
            let sample = kind.zip(bits).map(|(kind, bits)| match kind {
                0 => Sample::Number(f64::from_bits(bits as u64)),
                _ => Sample::Text(bits as u64),
            });
            Ok(StoredSlot {
                id: row.get(0)?,
                series: row.get(1)?,
                field: row.get::<_, Vec<u8>>(2)?.into(),
                pending: at.zip(sample),
                run: row.get::<_, String>(6)?.into(),
            })
        })?;
        for slot in slots {
            stored.slots.push(slot?);
        }
        stored.dedupe.oldest = json["oldest"].as_u64().unwrap_or(0);
        let mut statement = c.prepare("SELECT chunk, entries FROM dedupe ORDER BY chunk")?;
        for chunk in statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))? {
            stored.dedupe.chunks.push(chunk?);
        }
        Ok(Some((meta, stored)))
    }

    fn window(&mut self, schema: &Schema, device: u32, at: i64) -> Result<Option<StoredWindow>, StateError> {
        let sql = format!(
            "SELECT {WINDOW_COLUMNS} FROM window w JOIN device d ON d.id = w.device WHERE w.device = ? AND w.start <= ? AND w.end > ? \
             ORDER BY w.start DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![device, at, at])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let Some(mut window) = read_window(row, schema)? else { return Ok(None) };
        drop(rows);
        drop(statement);
        self.read_parts(schema, &mut window)?;
        Ok(Some(window))
    }

    fn waiting(&mut self, schema: &Schema, after: (u32, i64), count: usize) -> Result<Vec<StoredWindow>, StateError> {
        let mut windows = Vec::new();
        {
            let sql = format!(
                "SELECT {WINDOW_COLUMNS} FROM window w JOIN device d ON d.id = w.device \
                 WHERE w.done = 0 AND (w.device, w.start) > (?, ?) AND {KNOWN} ORDER BY w.device, w.start LIMIT ?"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows =
                statement.query(params![after.0, after.1, names(schema), count.min(i64::MAX as usize) as i64])?;
            while let Some(row) = rows.next()? {
                windows.extend(read_window(row, schema)?);
            }
        }
        windows.iter_mut().try_for_each(|window| self.read_parts(schema, window))?;
        Ok(windows)
    }

    fn resend(&mut self, from: i64) -> Result<u64, StateError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "UPDATE part SET acknowledged = 0 WHERE (device, start) IN (SELECT device, start FROM window WHERE end > ?)",
            [from],
        )?;
        transaction.execute("UPDATE window SET done = 0, written = 0 WHERE end > ?", [from])?;
        let open: i64 = transaction.query_row("SELECT COUNT(*) FROM window WHERE done = 0", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(open.unsigned_abs())
    }

    fn commit(
        &mut self,
        schema: &Schema,
        meta: &Meta,
        series: &[StoredSeries],
        next: &mut dyn FnMut() -> Slice,
        purge_before: i64,
    ) -> Result<bool, StateError> {
        let transaction = self.connection.transaction()?;
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO series VALUES (?, ?)")?;
        for series in series {
            put.execute(params![series.id, head_text(&series.head)])?;
        }
        drop(put);
        loop {
            let (slice, is_last) = match next() {
                Slice::Part(slice) => (slice, false),
                Slice::Last(slice) => (slice, true),
                Slice::Void => return Ok(false),
            };
            put_slice(&transaction, schema, &slice)?;
            if is_last {
                put_meta(&transaction, meta, slice.dedupe.oldest)?;
                break;
            }
        }
        transaction
            .prepare_cached(
                "DELETE FROM part WHERE (device, start) IN (SELECT device, start FROM window WHERE done = 1 AND end < ?)",
            )?
            .execute([purge_before])?;
        transaction.prepare_cached("DELETE FROM window WHERE done = 1 AND end < ?")?.execute([purge_before])?;
        transaction.commit()?;
        Ok(true)
    }
}

/// Writes a slice of a checkpoint.
fn put_slice(c: &Connection, schema: &Schema, slice: &Stored) -> rusqlite::Result<()> {
    let mut put = c.prepare_cached("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)")?;
    for device in &slice.devices {
        put.execute(params![device.id, device.summary, json!(device.key[..]).to_string(), cursors(device)])?;
    }
    let mut put = c.prepare_cached("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    let mut put_part = c.prepare_cached("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?)")?;
    for w in &slice.windows {
        put.execute(params![
            w.device,
            w.span.start,
            w.span.end,
            w.newest,
            w.written && w.final_written,
            w.written,
            w.final_written,
        ])?;
        for part in &w.parts {
            let state = part.partial.to_json(&schema.summaries[usize::from(w.summary)]);
            let (rev, acknowledged) = (part.rev.cast_signed(), part.acknowledged.cast_signed());
            put_part.execute(params![w.device, w.span.start, &*part.run, rev, acknowledged, state])?;
        }
    }
    let mut put = c.prepare_cached("INSERT OR REPLACE INTO slot VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for slot in &slice.slots {
        let at = slot.pending.map(|(at, _)| at);
        let kind = slot.pending.map(|(_, sample)| i64::from(matches!(sample, Sample::Text(_))));
        let bits = slot.pending.map(|(_, sample)| sample.bits() as i64);
        put.execute(params![slot.id, slot.series, slot.field, at, kind, bits, &*slot.run])?;
    }
    put_dedupe(c, &slice.dedupe)
}

fn put_dedupe(connection: &Connection, dedupe: &StoredDedupe) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO dedupe VALUES (?, ?)")?;
    for (chunk, entries) in &dedupe.chunks {
        put.execute(params![chunk.cast_signed(), entries])?;
    }
    Ok(())
}

/// Writes the one row about the whole.
fn put_meta(connection: &Connection, meta: &Meta, oldest: u64) -> rusqlite::Result<()> {
    let mut json = json!({"writer": meta.writer, "position": meta.position, "oldest": oldest});
    if !meta.absorbed.is_empty() {
        json["absorbed"] = json!(meta.absorbed);
    }
    let text = json.to_string();
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('meta', ?)", [text])?;
    Ok(())
}
