//! `state.db`: everything that must survive, but for the lines behind its position.
//!
//! One transaction for each checkpoint, synced before it counts (`synchronous = FULL`). Partials are the same JSON text as
//! in the sink, so that a changed configuration finds what it knows and keeps what it does not.
//!
//! A state that is of no use is set aside under another name, never overwritten: one of a newer version together with
//! its journal, one that is broken alone, because the journal holds the last lines.
//!
//! Invariants: a checkpoint is in it whole or not at all; at most [`COPIES_MAX`] copies of what was set aside are kept.

use super::columns;
use crate::durable::journal::name;
use crate::durable::state_error::StateError;
use crate::durable::store::{Meta, Store};
use crate::durable::{claim, private};
use crate::engine::ids::{DeviceId, Key, SummaryIndex, ZoneIndex};
use crate::engine::persist::checkpoint::Slice;
use crate::engine::persist::stored::{News, Stored, StoredDevice, StoredSeries, StoredWindow, WINDOWS_KEPT};
use crate::engine::schema::Schema;
use crate::engine::window::dedupe::StoredDedupe;
use crate::engine::window::device::Day;
use crate::engine::zone::Span;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the tables below.
const VERSION: i64 = 3;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE device (id INTEGER PRIMARY KEY, summary TEXT NOT NULL, key TEXT NOT NULL, cursors TEXT NOT NULL);
CREATE TABLE window (
  device INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, newest INTEGER NOT NULL,
  done INTEGER NOT NULL, written INTEGER NOT NULL, final INTEGER NOT NULL, parts TEXT NOT NULL,
  zone TEXT, PRIMARY KEY (device, start)) WITHOUT ROWID;
CREATE INDEX window_open ON window (device, start) WHERE done = 0;
CREATE INDEX window_end ON window (end) WHERE done = 1;
CREATE TABLE series (id INTEGER PRIMARY KEY, head BLOB NOT NULL);
CREATE TABLE slots (series INTEGER PRIMARY KEY, slots BLOB NOT NULL);
CREATE TABLE dedupe (chunk INTEGER PRIMARY KEY, entries BLOB NOT NULL);
";

/// The real store.
pub struct StateDb {
    folder: PathBuf,
    /// `None` only after it could not be opened anew.
    connection: Option<Connection>,
}

/// The files of a state, beside its journal.
const FILES: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];
/// Copies of state that was of no use which are kept, the oldest first to go.
const COPIES_MAX: usize = 3;

/// What was set aside, and why.
#[derive(Debug)]
pub struct Aside {
    pub reason: StateError,
    /// The names under which it lies now.
    pub files: Vec<String>,
}

impl StateDb {
    /// Opens the state in a folder. A state that is of no use is set aside; returns what was, too. The journal goes with a
    /// state of a newer version, and stays where a state is broken: it holds what came last.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path) -> Result<(StateDb, Option<Aside>), StateError> {
        match StateDb::try_open(folder) {
            Ok(store) => Ok((store, None)),
            Err(reason @ (StateError::Newer { .. } | StateError::Broken(_))) => {
                let files = set_aside(folder, matches!(reason, StateError::Newer { .. }))?;
                Ok((StateDb::try_open(folder)?, Some(Aside { reason, files })))
            }
            Err(error) => Err(error),
        }
    }

    fn try_open(folder: &Path) -> Result<StateDb, StateError> {
        let path = folder.join(FILES[0]);
        // Made here, so that nobody else may read it from the first moment on; what SQLite makes beside it gets the same rights.
        private::lockable(&path).map_err(|error| StateError::Io { what: "state.db", error })?;
        for file in FILES {
            private::tighten(&folder.join(file))
                .map_err(|error| StateError::Io { what: "the rights of state.db", error })?;
        }
        let connection = Connection::open(&path)?;
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > VERSION {
            return Err(StateError::Newer { found: version, known: VERSION });
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if version == 0 {
            let transaction = connection.unchecked_transaction()?;
            transaction.execute_batch(TABLES).map_err(|e| StateError::value("its tables", e))?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        } else {
            super::upgrade::to_this_version(&connection, version)?;
        }
        Ok(StateDb { folder: folder.to_path_buf(), connection: Some(connection) })
    }

    /// The connection, which is made anew if the last one is gone.
    fn connection(&mut self) -> Result<&mut Connection, StateError> {
        if self.connection.is_none() {
            self.connection = StateDb::try_open(&self.folder)?.connection;
        }
        self.connection.as_mut().ok_or(StateError::Database(rusqlite::Error::InvalidQuery))
    }
}

/// Gives what is of no use another name. Returns the new names.
fn set_aside(folder: &Path, with_journal: bool) -> Result<Vec<String>, StateError> {
    let failed = |error| StateError::Io { what: "a state that is of no use cannot be set aside", error };
    remove_old_copies(folder).map_err(failed)?;
    let number = next_number(folder).map_err(failed)?;
    let mut moved = Vec::new();
    // The journal first: what is left of it must not be taken for that of the next state.
    if with_journal && let Some(to) = set_journal_aside(folder, number).map_err(failed)? {
        moved.push(to);
    }
    // The log first: one that stays must not be taken for that of the next state.
    for name in FILES.into_iter().rev() {
        let (from, to) = (folder.join(name), folder.join(format!("{name}.set-aside-{number}")));
        if from.exists() {
            std::fs::rename(&from, &to).map_err(failed)?;
            moved.push(to.display().to_string());
        }
    }
    Ok(moved)
}

/// Moves the files of the journal into another folder, but for those of guests that live. One by one: Windows does not rename a
/// folder in which a file is open, and our own file as a guest is. Returns the new folder, if there was anything to move.
fn set_journal_aside(folder: &Path, number: u64) -> std::io::Result<Option<String>> {
    let (from, to) = (folder.join("journal"), folder.join(format!("journal.set-aside-{number}")));
    let entries = match std::fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    private::folder(&to)?;
    let mut result = Ok(());
    for entry in entries {
        let name = entry?.file_name();
        // The mark of a guest, too, which has its name.
        let guest = Path::new(&name).with_extension("seg").to_string_lossy().into_owned();
        if name::is_guest(&guest) && !claim::is_abandoned(&from, &guest) {
            continue;
        }
        match std::fs::rename(from.join(&name), to.join(&name)) {
            // A mark that was abandoned is gone.
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => result = Err(e),
            _ => {}
        }
    }
    // If nothing was moved.
    let is_empty = std::fs::remove_dir(&to).is_ok();
    result.map(|()| (!is_empty).then(|| to.display().to_string()))
}

/// The copies in a folder: the number and the name of each file.
fn copies(folder: &Path) -> std::io::Result<Vec<(u64, String)>> {
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let number = name.split_once(".set-aside-").and_then(|(_, number)| number.parse().ok());
        if let Some(number) = number.filter(|_| name.starts_with("state.db") || name.starts_with("journal.")) {
            copies.push((number, name));
        }
    }
    Ok(copies)
}

/// The number of the next copy.
fn next_number(folder: &Path) -> std::io::Result<u64> {
    Ok(copies(folder)?.iter().map(|(number, _)| *number).max().unwrap_or(0).saturating_add(1))
}

/// Makes room for one more copy: the oldest go.
fn remove_old_copies(folder: &Path) -> std::io::Result<()> {
    let copies = copies(folder)?;
    let numbers: BTreeSet<u64> = copies.iter().map(|(number, _)| *number).collect();
    let kept: BTreeSet<u64> = numbers.into_iter().rev().take(COPIES_MAX - 1).collect();
    for (_, name) in copies.iter().filter(|(number, _)| !kept.contains(number)) {
        let path = folder.join(name);
        if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(())
}

fn read_device(row: &Row<'_>) -> rusqlite::Result<Option<StoredDevice>> {
    let (key, cursors): (String, String) = (row.get(2)?, row.get(3)?);
    let read = || -> Option<(Key, Value)> {
        Some((serde_json::from_str::<Vec<String>>(&key).ok()?.into(), serde_json::from_str(&cursors).ok()?))
    };
    let Some((key, json)) = read() else { return Ok(None) };
    let days = json["days"].as_array().into_iter().flatten().filter_map(|d| {
        let span = Span { start: d[0].as_i64()?, end: d[1].as_i64()? };
        let (stale, final_written) = (d[2].as_bool()?, d[3].as_bool()?);
        // Unknown in states of earlier versions.
        let given = d[5].as_u64().unwrap_or(0);
        let day = Day { span, zone: ZoneIndex(0), stale, final_written, given };
        Some((day, d[4].as_str().map(Arc::from)))
    });
    Ok(Some(StoredDevice {
        id: row.get(0)?,
        summary: row.get(1)?,
        key,
        zone: json["zone"].as_str().map(Arc::from),
        filled_until: json["filled"].as_i64().unwrap_or(i64::MAX),
        filled_provisionally: json["provisional"].as_i64().unwrap_or(i64::MAX),
        forgotten: json["forgotten"].as_i64(),
        filled_after: json["after"].as_i64(),
        evicted_until: json["evicted"].as_i64().unwrap_or(i64::MIN),
        days: days.collect(),
        past: json["past"].as_array().into_iter().flatten().filter_map(columns::read_past).collect(),
    }))
}

/// Columns: device, start, end, newest, written, final, name of the summary, parts, name of the zone.
const WINDOW_COLUMNS: &str = "w.device, w.start, w.end, w.newest, w.written, w.final, d.summary, w.parts, w.zone";

/// Reads a window; `None` if its summary is not in the schema.
fn read_window(row: &Row<'_>, schema: &Schema) -> Result<Option<StoredWindow>, StateError> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let name = text(6)?;
    let Some(summary) = schema.summaries.iter().position(|s| s.name == name) else { return Ok(None) };
    let parts = columns::read_parts(text(7)?, &schema.summaries[summary])?;
    Ok(Some(StoredWindow {
        device: row.get(0)?,
        summary: SummaryIndex::of(summary),
        span: Span { start: row.get(1)?, end: row.get(2)? },
        newest: row.get(3)?,
        written: row.get(4)?,
        final_written: row.get(5)?,
        zone: row.get::<_, Option<String>>(8)?.map(Arc::from),
        parts,
    }))
}

/// The condition that a window belongs to a summary of the schema: one that is gone must not hide others.
const KNOWN: &str = "d.summary IN (SELECT value FROM json_each(?))";

/// The names of the summaries, for [`KNOWN`].
fn names(schema: &Schema) -> String {
    json!(schema.summaries.iter().map(|summary| &summary.name).collect::<Vec<_>>()).to_string()
}

impl Store for StateDb {
    fn open_devices(&mut self) -> Result<HashSet<DeviceId>, StateError> {
        let mut statement = self.connection()?.prepare_cached("SELECT DISTINCT device FROM window WHERE done = 0")?;
        let devices = statement.query_map([], |row| row.get(0))?;
        Ok(devices.collect::<rusqlite::Result<_>>()?)
    }

    fn begin_anew(&mut self) -> Result<Vec<String>, StateError> {
        self.connection = None;
        let files = set_aside(&self.folder, false)?;
        self.connection()?;
        Ok(files)
    }

    fn load(&mut self, schema: &Schema) -> Result<Option<(Meta, Stored)>, StateError> {
        let c = &*self.connection()?;
        let meta: Option<String> =
            c.query_row("SELECT value FROM meta WHERE name = 'meta'", [], |row| row.get(0)).optional()?;
        let Some(meta) = meta else { return Ok(None) };
        let json: Value = serde_json::from_str(&meta).map_err(|e| StateError::value("meta", e))?;
        let meta = Meta {
            writer: json["writer"].as_str().unwrap_or_default().to_string(),
            position: json["position"].as_u64().unwrap_or(0),
            absorbed: json["absorbed"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_string))
                .collect(),
            sink: json["sink"].as_str().unwrap_or_default().to_string(),
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
        let mut statement = c.prepare("SELECT id, head FROM series ORDER BY id")?;
        for series in statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))? {
            let (id, head) = series?;
            stored.series.extend(columns::read_head(&head).map(|head| StoredSeries { id, head }));
        }
        let mut statement = c.prepare("SELECT series, slots FROM slots ORDER BY series")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let slots = columns::read_slots(row.get(0)?, bytes);
            stored.slots.extend(slots.ok_or_else(|| StateError::value("slots of a series", "not of their form"))?);
        }
        stored.dedupe.oldest = json["oldest"].as_u64().unwrap_or(0);
        let mut statement = c.prepare("SELECT chunk, entries FROM dedupe ORDER BY chunk")?;
        for chunk in statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))? {
            stored.dedupe.chunks.push(chunk?);
        }
        Ok(Some((meta, stored)))
    }

    fn window(&mut self, schema: &Schema, device: DeviceId, at: i64) -> Result<Option<StoredWindow>, StateError> {
        let sql = format!(
            "SELECT {WINDOW_COLUMNS} FROM window w JOIN device d ON d.id = w.device WHERE w.device = ? AND w.start <= ? AND w.end > ? \
             ORDER BY w.start DESC LIMIT 1"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let mut rows = statement.query(params![device, at, at])?;
        rows.next()?.map_or(Ok(None), |row| read_window(row, schema))
    }

    fn windows_before(
        &mut self,
        schema: &Schema,
        device: DeviceId,
        start: i64,
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError> {
        let sql = format!(
            "SELECT {WINDOW_COLUMNS} FROM window w JOIN device d ON d.id = w.device WHERE w.device = ? AND w.start < ? \
             ORDER BY w.start DESC LIMIT ?"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let mut rows = statement.query(params![device, start, count.min(i64::MAX as usize) as i64])?;
        let mut windows = Vec::new();
        while let Some(row) = rows.next()? {
            windows.extend(read_window(row, schema)?);
        }
        Ok(windows)
    }

    fn waiting(
        &mut self,
        schema: &Schema,
        after: (DeviceId, i64),
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError> {
        let sql = format!(
            "SELECT {WINDOW_COLUMNS} FROM window w JOIN device d ON d.id = w.device \
             WHERE w.done = 0 AND (w.device, w.start) > (?, ?) AND {KNOWN} ORDER BY w.device, w.start LIMIT ?"
        );
        let mut statement = self.connection()?.prepare_cached(&sql)?;
        let mut rows =
            statement.query(params![after.0, after.1, names(schema), count.min(i64::MAX as usize) as i64])?;
        let mut windows = Vec::new();
        while let Some(row) = rows.next()? {
            windows.extend(read_window(row, schema)?);
        }
        Ok(windows)
    }

    fn resend(&mut self, from: i64) -> Result<u64, StateError> {
        let transaction = self.connection()?.transaction()?;
        transaction.create_scalar_function(
            "without_acknowledgements",
            1,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
            |context| {
                let text = context.get_raw(0).as_str()?;
                columns::without_acknowledgements(text).map_err(|e| rusqlite::Error::UserFunctionError(e.into()))
            },
        )?;
        transaction.create_scalar_function(
            "without_given",
            2,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
            |context| {
                let (text, from) = (context.get_raw(0).as_str()?, context.get(1)?);
                Ok(columns::without_given(text, from))
            },
        )?;
        transaction.execute("UPDATE device SET cursors = without_given(cursors, ?)", [from])?;
        transaction.execute(
            "UPDATE window SET done = 0, written = 0, parts = without_acknowledgements(parts) WHERE end > ?",
            [from],
        )?;
        let open: i64 = transaction.query_row("SELECT COUNT(*) FROM window WHERE done = 0", [], |row| row.get(0))?;
        transaction.commit()?;
        Ok(open.unsigned_abs())
    }

    fn commit(
        &mut self,
        schema: &Schema,
        meta: &Meta,
        news: &News,
        next: &mut dyn FnMut() -> Slice,
        purge_before: i64,
    ) -> Result<bool, StateError> {
        let transaction = self.connection()?.transaction()?;
        // What is gone goes first: its ids may be those of what is new.
        for sql in ["DELETE FROM series WHERE id = ?", "DELETE FROM slots WHERE series = ?"] {
            let mut remove = transaction.prepare_cached(sql)?;
            for id in &news.gone.series {
                remove.execute([id])?;
            }
        }
        for sql in ["DELETE FROM device WHERE id = ?", "DELETE FROM window WHERE device = ?"] {
            let mut remove = transaction.prepare_cached(sql)?;
            for id in &news.gone.devices {
                remove.execute([id])?;
            }
        }
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO series VALUES (?, ?)")?;
        for series in &news.series {
            put.execute(params![series.id, columns::head_text(&series.head)])?;
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
        transaction.prepare_cached("DELETE FROM window WHERE done = 1 AND end < ?")?.execute([purge_before])?;
        transaction.commit()?;
        Ok(true)
    }
}

/// Writes a slice of a checkpoint.
fn put_slice(c: &Connection, schema: &Schema, slice: &Stored) -> rusqlite::Result<()> {
    let mut put = c.prepare_cached("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)")?;
    for device in &slice.devices {
        put.execute(params![device.id, device.summary, json!(device.key[..]).to_string(), columns::cursors(device)])?;
    }
    let mut put = c.prepare_cached("INSERT OR REPLACE INTO window VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for w in &slice.windows {
        let parts = columns::parts_text(&w.parts, &schema.summaries[w.summary.at()]);
        let (Span { start, end }, is_done) = (w.span, w.is_done());
        put.execute(params![
            w.device,
            start,
            end,
            w.newest,
            is_done,
            w.written,
            w.final_written,
            parts,
            w.zone.as_deref()
        ])?;
    }
    let mut put = c.prepare_cached("INSERT OR REPLACE INTO slots VALUES (?, ?)")?;
    // Those of a series come together, and all of them.
    for slots in slice.slots.chunk_by(|one, next| one.series == next.series) {
        put.execute(params![slots[0].series, columns::slots_bytes(slots)])?;
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
    if !meta.sink.is_empty() {
        json["sink"] = json!(meta.sink);
    }
    let text = json.to_string();
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('meta', ?)", [text])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::Engine;
    use std::sync::Arc;

    fn schema(columns: &[&str]) -> Arc<Schema> {
        let mut text =
            "state_dir = \"/unused\"\ntimezone = \"UTC\"\n[lateness]\nmax = \"forever\"\n[[summary]]\nname = \"s\"\n\
                        key = [\"host\"]\n"
                .to_string();
        for field in columns {
            text.push_str(&format!(
                "[[summary.column]]\nname = \"max_{field}\"\nmethod = \"max\"\n\
                 sources = [{{ measurement = \"m\", field = \"{field}\" }}]\n"
            ));
        }
        Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema
    }

    /// Goes on from what is stored with some lines, and saves.
    fn go_on(folder: &Path, columns: &[&str], lines: &[&str]) -> Stored {
        let schema = schema(columns);
        let (mut store, aside) = StateDb::open(folder).expect("usable");
        assert!(aside.is_none());
        let (meta, stored) = store.load(&schema).expect("readable").unwrap_or_default();
        let mut engine = Engine::restore(schema.clone(), stored);
        engine.begin_run("run");
        for line in lines {
            assert!(engine.ingest(line.as_bytes(), 1 << 50), "{line}");
        }
        let mut slices = vec![Slice::Last(engine.checkpoint().expect("complete"))];
        let news = match &mut slices[0] {
            Slice::Last(stored) => stored.take_news(),
            _ => panic!("one slice"),
        };
        let mut next = || slices.pop().expect("one slice");
        assert!(store.commit(&schema, &meta, &news, &mut next, i64::MIN).expect("saved"));
        store.load(&schema).expect("readable").expect("a state").1
    }

    /// The slots of a series are one row: a point that is pending in one that nobody knows now is still in it.
    /// The file of a guest that lives is in use: it stays, and the journal goes on with it.
    #[test]
    fn a_state_of_a_newer_version_takes_its_journal_and_no_file_that_is_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = folder.path().join("journal");
        drop(StateDb::open(folder.path()).expect("usable"));
        Connection::open(folder.path().join("state.db"))
            .expect("a database")
            .pragma_update(None, "user_version", 99)
            .expect("set");
        let (ours, other) = (name::guest_name(1), name::guest_name(2));
        let mark = claim::GuestMark::new(&journal, &ours);
        mark.set().expect("free");
        for name in [ours.as_str(), &other, "00000000000000000000.seg"] {
            std::fs::write(journal.join(name), name).expect("written");
        }
        let (_, aside) = StateDb::open(folder.path()).expect("usable");
        let files = aside.expect("it is of a newer version").files;
        assert!(files.iter().any(|file| file.ends_with("journal.set-aside-1")), "{files:?}");
        let aside = folder.path().join("journal.set-aside-1");
        assert!(aside.join(&other).exists() && aside.join("00000000000000000000.seg").exists());
        assert_eq!(std::fs::read_to_string(journal.join(&ours)).expect("it stays"), ours);
        assert!(!claim::is_abandoned(&journal, &ours), "its mark stays");
        // A journal without a file needs no copy.
        drop(mark);
        std::fs::remove_dir_all(&journal).expect("removed");
        assert_eq!(set_aside(folder.path(), true).expect("done").len(), 1, "state.db alone");
    }

    #[test]
    fn a_pending_point_of_a_column_that_is_gone_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = go_on(folder.path(), &["v", "w"], &["m,host=a v=1,w=7 1\n", "m,host=b w=8 1\n"]);
        let pending = |stored: &Stored, field: &str| {
            let of = stored.slots.iter().filter(|slot| *slot.field == *field.as_bytes());
            of.map(|slot| (slot.id, slot.series, slot.pending)).collect::<Vec<_>>()
        };
        let w = pending(&first, "w");
        assert_eq!(w.iter().filter(|slot| slot.2.is_some()).count(), 2);
        go_on(folder.path(), &["v"], &["m,host=a v=2,w=9 2\n", "m,host=a v=3 3\n"]);
        go_on(folder.path(), &["v"], &["m,host=a v=4 4\n"]);
        let last = go_on(folder.path(), &["v", "w"], &[]);
        assert_eq!(pending(&last, "w"), w);
        assert!(pending(&last, "v").iter().any(|slot| slot.2.is_some_and(|(at, _)| at == 4)));
    }

    #[test]
    fn what_is_sent_again_is_not_acknowledged() {
        let folder = tempfile::tempdir().expect("a folder");
        let hour = 3_600_000_000_000;
        let lines = [1, hour, 2 * hour].map(|at| format!("m,host=a v=1 {at}\n"));
        let mut stored = go_on(folder.path(), &["v"], &lines.each_ref().map(String::as_str));
        for window in &mut stored.windows {
            (window.written, window.final_written) = (true, true);
            window.parts.iter_mut().for_each(|part| part.acknowledged = part.rev);
        }
        let schema = schema(&["v"]);
        let (mut store, _) = StateDb::open(folder.path()).expect("usable");
        let mut slices = vec![Slice::Last(Stored { windows: stored.windows.clone(), ..Stored::default() })];
        let mut next = || slices.pop().expect("one slice");
        assert!(store.commit(&schema, &Meta::default(), &News::default(), &mut next, i64::MIN).expect("saved"));
        assert_eq!(store.waiting(&schema, (DeviceId(0), i64::MIN), 10).expect("readable"), []);
        // The one that ends at `from` is not sent again.
        assert_eq!(store.resend(2 * hour).expect("changed"), 1);
        let waiting = store.waiting(&schema, (DeviceId(0), i64::MIN), 10).expect("readable");
        let mut expected = stored.windows[2].clone();
        expected.written = false;
        expected.parts.iter_mut().for_each(|part| part.acknowledged = 0);
        assert_eq!(waiting, [expected]);
        assert_eq!(store.window(&schema, DeviceId(1), 5).expect("readable").as_ref(), Some(&stored.windows[0]));
    }
}
