//! The embedded default: one file, nothing to install.
//!
//! Write-ahead log, so that a reader never blocks the writer, see [`super::wal`]; `synchronous = FULL` so that what was
//! acknowledged survives a power loss. Every step of the protocol is one transaction, which SQLite needs for speed; the protocol does not rely
//! on it.

use super::port::{
    FoundPartial, Names, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};
use super::sql::ddl::ColumnDef;
use super::sql::ddl::TableDef;
use super::sql::dialect::Dialect;
use super::sql::literal::Bound;
use super::sql::{ddl, dialect, literal, select, times, upsert};
use super::{declare, wal};
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::WindowKind;
use rusqlite::types::{ToSql, ToSqlOutput, Value};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params_from_iter};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most memory for pages of the file, in KiB; only what is used is taken.
const CACHE_KIB: i64 = 8 * 1024;

/// The newest window of a file may have begun this long ago, in nanoseconds.
const NEWEST_MARGIN: i64 = 2 * 3_600 * 1_000_000_000;
/// Files that were of no use and are kept beside the one in use.
const COPIES_MAX: u32 = 5;
/// The first bytes of every SQLite database (<https://sqlite.org/fileformat2.html#the_database_header>).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Windows that one purge deletes, at most.
const PURGE_WINDOWS_MAX: usize = 500;

/// A SQLite file as the sink.
pub struct Sqlite {
    path: PathBuf,
    connection: Option<Connection>,
    /// Which file the connection has open.
    opened: Option<(u64, u64)>,
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Bound::Null => ToSqlOutput::Owned(Value::Null),
            Bound::Integer(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Bound::Float(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Bound::Text(text) => ToSqlOutput::Borrowed((**text).into()),
        })
    }
}

impl Sqlite {
    /// A sink in the file at `path`, which is made when the first rows are written.
    pub fn new(path: PathBuf) -> Sqlite {
        Sqlite { path, connection: None, opened: None }
    }

    fn error(&self, error: &rusqlite::Error) -> SinkError {
        let path = self.path.display();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => self.set_aside(error),
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                SinkError::Setup(format!(
                    "cannot write {path} ({error}): make the folder and the file writable for the user that runs Telegraf"
                ))
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SinkError::Temporary(format!(
                "{path} is locked by another program ({error}): rows wait until it ends its transaction"
            )),
            _ => SinkError::Temporary(format!("{path}: {error}")),
        }
    }

    /// Moves a file that is of no use out of the way, under a name that tells where it comes from. A file that does not begin as
    /// SQLite's do is somebody else's: it stays.
    fn set_aside(&self, error: &rusqlite::Error) -> SinkError {
        let path = self.path.display();
        match begins_as_sqlite(&self.path) {
            Ok(true) => {}
            Ok(false) => {
                return SinkError::Setup(format!(
                    "{path} is no SQLite database and was not touched: set sink.url to another path, or move the file away"
                ));
            }
            Err(e) => return SinkError::Temporary(format!("{path}: {error}; and it cannot be read: {e}")),
        }
        let name = |number: u32, suffix: &str| format!("{}.set-aside-{number}{suffix}", self.path.display());
        let Some(number) = (1..=COPIES_MAX).find(|number| !Path::new(&name(*number, "")).exists()) else {
            return SinkError::Setup(format!(
                "{path} is not a usable SQLite database ({error}), and {COPIES_MAX} such files have been set aside before: look \
                 at the disk, then remove {}.set-aside-*",
                self.path.display()
            ));
        };
        for suffix in ["-wal", "-shm", ""] {
            let from = PathBuf::from(format!("{}{suffix}", self.path.display()));
            if !from.exists() {
                continue;
            }
            if let Err(e) = std::fs::rename(&from, name(number, suffix)) {
                let path = self.path.display();
                return SinkError::Setup(format!(
                    "{path} is not a usable SQLite database ({error}): move it away ({e})"
                ));
            }
        }
        SinkError::Emptied(format!(
            "{} is not a usable SQLite database ({error}): set aside as {}, a new one is made",
            self.path.display(),
            name(number, "")
        ))
    }

    fn connection(&self) -> Result<&Connection, SinkError> {
        self.connection.as_ref().ok_or_else(|| SinkError::Temporary(format!("{} is not open", self.path.display())))
    }

    /// Opens the file and makes what is missing.
    fn open(&self, schema: &Schema) -> Result<Connection, SinkError> {
        if let Some(folder) = self.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|e| SinkError::Setup(format!("cannot make the folder {}: {e}", folder.display())))?;
        }
        let mut problem = None;
        let mut open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(&self.path)?;
            wal::begin(&connection)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            let tables = ddl::tables(Dialect::Sqlite, schema);
            let lacks = |table: &TableDef| {
                let present = columns(&connection, &table.name)?;
                let is_old = declared(&present).iter().any(|column| declare::wanted(table, *column).is_some());
                Ok(is_old || !missing(table, &present).is_empty())
            };
            let lacking: rusqlite::Result<Vec<bool>> = tables.iter().map(lacks).collect();
            // One at a time: two that find the same column missing would both add it.
            let change = if lacking?.contains(&true) {
                Some(Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?)
            } else {
                None
            };
            let mut changed = 0;
            for table in tables {
                for sql in ddl::create_table(Dialect::Sqlite, &table) {
                    connection.execute(&sql, [])?;
                }
                let present = columns(&connection, &table.name)?;
                problem = self::problem(&table, &present);
                if problem.is_some() {
                    break;
                }
                for missing in missing(&table, &present) {
                    connection.execute(&ddl::add_column(Dialect::Sqlite, &table.name, missing), [])?;
                }
                changed += declare::declare(&connection, &table, &declared(&present))?;
            }
            if changed > 0 {
                declare::finish(&connection)?;
                log::info!("{}: {changed} columns of times are declared as DATE and DATETIME now", self.path.display());
            }
            // What was made before a problem was found stays.
            change.map_or(Ok(()), Transaction::commit)?;
            Ok(connection)
        };
        let connection = open().map_err(|e| self.error(&e))?;
        match problem {
            Some(problem) => Err(SinkError::Setup(format!("{}: {problem}", self.path.display()))),
            None => Ok(connection),
        }
    }

    /// Executes a statement for each of some rows of values, in one transaction. Returns those that were refused.
    fn put<'a>(&self, sql: &str, rows: impl Iterator<Item = Vec<Bound<'a>>>) -> Result<Vec<Refused>, SinkError> {
        let connection = self.connection()?;
        let run = || -> rusqlite::Result<Vec<Refused>> {
            let transaction = connection.unchecked_transaction()?;
            let mut refused = Vec::new();
            {
                let mut upsert = transaction.prepare_cached(sql)?;
                for (index, row) in rows.enumerate() {
                    match upsert.execute(params_from_iter(row)) {
                        Ok(_) => {}
                        // The statement alone was undone.
                        Err(e) if is_refusal(&e) => refused.push(Refused { index, reason: e.to_string() }),
                        Err(e) => return Err(e),
                    }
                }
            }
            transaction.commit()?;
            Ok(refused)
        };
        run().map_err(|e| self.error(&e))
    }
}

/// True if the row is what SQLite does not take: a person's CHECK or NOT NULL, a trigger, a text that is too long.
fn is_refusal(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig))
}

fn values_of<'r>(row: Vec<(&str, Bound<'r>)>) -> Vec<Bound<'r>> {
    row.into_iter().map(|(_, value)| value).collect()
}

/// A column of a table that is there.
struct Present {
    name: String,
    is_key: bool,
    sql_type: String,
}

/// The columns of a table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Present>> {
    let mut statement = connection.prepare("SELECT name, pk > 0, type FROM pragma_table_info(?)")?;
    let column =
        |row: &rusqlite::Row<'_>| Ok(Present { name: row.get(0)?, is_key: row.get(1)?, sql_type: row.get(2)? });
    statement.query_map([table], column)?.collect()
}

/// The columns that a table lacks.
fn missing<'t>(table: &'t TableDef, present: &[Present]) -> Vec<&'t ColumnDef> {
    let is_present = |c: &ColumnDef| present.iter().any(|p| p.name.eq_ignore_ascii_case(&c.name));
    table.columns.iter().filter(|c| !is_present(c)).collect()
}

/// Columns that are there, as they are declared.
fn declared(present: &[Present]) -> Vec<declare::Declared<'_>> {
    present.iter().map(|column| (column.name.as_str(), column.sql_type.as_str())).collect()
}

/// What keeps a table that is there from being used, if anything.
fn problem(table: &TableDef, present: &[Present]) -> Option<String> {
    if present.is_empty() {
        return None;
    }
    let key: Vec<String> = present.iter().filter(|c| c.is_key).map(|c| c.name.clone()).collect();
    // A time is a text, whatever it is declared as.
    let is_other = |column: &declare::Declared<'_>| declare::wanted(table, *column).is_none();
    let others = declared(present).into_iter().filter(is_other);
    let types: Vec<_> = others.map(|(name, sql_type)| (name.to_string(), sql_type.to_string())).collect();
    ddl::key_problem(table, &key).or_else(|| ddl::type_problem(table, &types))
}

/// What tells a file from another of the same name; `None` where that is not known.
#[cfg(unix)]
fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}

impl Sink for Sqlite {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        // A file that was deleted or replaced under an open connection would swallow rows for ever.
        if self.connection.is_some() && identity(&self.path) != self.opened {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(self.open(schema)?);
            self.opened = identity(&self.path);
        }
        if wal::overgrown(&self.path).is_none() {
            return Ok(());
        }
        wal::settle(self.connection()?, &self.path).map_err(|e| self.error(&e))?;
        match wal::overgrown(&self.path) {
            None => Ok(()),
            Some(bytes) => {
                let path = self.path.display();
                Err(SinkError::Temporary(format!(
                    "{path}-wal has {} MiB, because a program has been reading {path} in one transaction for long: rows wait \
                     until it ends; close it (a query that hangs, a forgotten BEGIN)",
                    bytes >> 20
                )))
            }
        }
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        let values = literal::placeholders(upsert::partial_columns(summary).len());
        let sql = upsert::upsert_partials(Dialect::Sqlite, summary, &values);
        self.put(&sql, records.iter().map(upsert::bind_partial))
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        let read = || -> rusqlite::Result<Vec<FoundPartial>> {
            let connection = self.connection.as_ref().ok_or(rusqlite::Error::InvalidQuery)?;
            let condition = select::range(Dialect::Sqlite, summary);
            let sql = select::select_partials(Dialect::Sqlite, summary, states, &condition);
            // One transaction: otherwise every range would lock the file anew.
            let transaction = connection.unchecked_transaction()?;
            let mut select = transaction.prepare_cached(&sql)?;
            let keys = summary.key.len();
            let mut names = Names::default();
            let mut out = Vec::new();
            for range in ranges {
                let mut rows = select.query(params_from_iter(select::bind_range(range)))?;
                while let Some(row) = rows.next()? {
                    let mut name = |column: usize| {
                        let text = row.get_ref(column)?.as_str()?;
                        Ok::<_, rusqlite::Error>(names.shared(text))
                    };
                    let (writer, run) = (name(keys + 1)?, name(keys + 2)?);
                    let start = row.get_ref(keys)?.as_str()?;
                    out.push(FoundPartial {
                        key: range.key.clone(),
                        window_start: times::parse_datetime(start).ok_or(rusqlite::Error::InvalidQuery)?,
                        writer,
                        run,
                        rev: row.get::<_, i64>(keys + 3)?.unsigned_abs(),
                        state: row.get(keys + 4)?,
                    });
                }
            }
            Ok(out)
        };
        read().map_err(|e| self.error(&e))
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let columns: Vec<&str> = upsert::bind_row(summary, kind, first, now).iter().map(|(name, _)| *name).collect();
        let values = literal::placeholders(columns.len());
        let sql = upsert::upsert_rows(Dialect::Sqlite, summary, kind, &columns, &values);
        self.put(&sql, rows.iter().map(|row| values_of(upsert::bind_row(summary, kind, row, now))))
    }

    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError> {
        let table = match kind {
            Some(kind) => dialect::row_table_name(summary, kind),
            None => dialect::partial_table_name(summary),
        };
        let table = dialect::quote(Dialect::Sqlite, &table);
        // The file has no clock of its own: a machine that starts years ahead must not empty it.
        let partials = dialect::quote(Dialect::Sqlite, &dialect::partial_table_name(summary));
        let sql = format!("SELECT max(\"window_start\") FROM {partials}");
        let newest: Option<String> =
            self.connection()?.query_row(&sql, [], |row| row.get(0)).map_err(|e| self.error(&e))?;
        let newest = newest.and_then(|text| times::parse_datetime(&text));
        let Some(newest) = newest.map(|newest| newest.saturating_add(NEWEST_MARGIN)) else { return Ok(0) };
        let limit = times::datetime(now.min(newest).saturating_sub(age));
        // Window by window, so that nobody waits long for the file. Rows have an index on their local time: the oldest of
        // them is among the oldest in UTC.
        let sql = match kind {
            Some(kind) => {
                let local = dialect::quote(Dialect::Sqlite, dialect::local_column(kind));
                format!(
                    "DELETE FROM {table} WHERE {local} = (SELECT min({local}) FROM {table}) AND \"window_start\" < ?"
                )
            }
            None => format!(
                "DELETE FROM {table} WHERE \"window_start\" = (SELECT min(\"window_start\") FROM {table}) AND \
                 \"window_start\" < ?"
            ),
        };
        let mut gone = 0;
        for _ in 0..PURGE_WINDOWS_MAX {
            let rows = self.connection()?.execute(&sql, [&limit]).map_err(|e| self.error(&e))? as u64;
            gone += rows;
            if rows == 0 {
                break;
            }
        }
        Ok(gone)
    }

    fn disconnect(&mut self) {
        // An open file costs nothing, and a file that stays open keeps its statements prepared.
        if let Some(connection) = &self.connection
            && let Err(e) = wal::settle(connection, &self.path)
        {
            log::warn!("rows of {} are in its -wal file alone: {e}; trying again", self.path.display());
        }
    }

    fn close(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let opened = self.opened.take();
        // A file that was set aside or deleted meanwhile stays as it is.
        if identity(&self.path) != opened {
            return;
        }
        match wal::end(&connection) {
            Ok(true) => {}
            Ok(false) => log::info!(
                "another program has {0} open: {0}-wal and {0}-shm stay, and who may not write there needs them to read",
                self.path.display()
            ),
            Err(e) => log::debug!("{}: {e}", self.path.display()),
        }
    }

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        let look = |e: &rusqlite::Error| match e.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                let path = self.path.display();
                match begins_as_sqlite(&self.path) {
                    Ok(false) => self.set_aside(e),
                    _ => SinkError::Setup(format!(
                        "{path} is not a usable SQLite database ({e}): `run` sets it aside and makes a new one"
                    )),
                }
            }
            _ => self.error(e),
        };
        let connection = if self.path.exists() { Some(read_only(&self.path).map_err(|e| look(&e))?) } else { None };
        let mut out = Vec::new();
        for table in ddl::tables(Dialect::Sqlite, schema) {
            let present = match &connection {
                Some(c) => columns(c, &table.name).map_err(|e| look(&e))?,
                None => Vec::new(),
            };
            if let Some(problem) = problem(&table, &present) {
                return Err(SinkError::Setup(format!("{}: {problem}", self.path.display())));
            }
            let content = match &connection {
                Some(c) if !present.is_empty() => {
                    let name = dialect::quote(Dialect::Sqlite, &table.name);
                    let sql = format!("SELECT count(*), max(\"window_start\") FROM {name}");
                    let found = c.query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)));
                    Some(found.map_err(|e| look(&e))?)
                }
                _ => None,
            };
            out.push(TableInfo { name: table.name, content });
        }
        Ok(out)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

/// True if a file begins as a SQLite database does, or is empty.
fn begins_as_sqlite(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(MAGIC.len());
    std::fs::File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head.is_empty() || head == MAGIC)
}

pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(wal::BUSY_WAIT)?;
    Ok(connection)
}
