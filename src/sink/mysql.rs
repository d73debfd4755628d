//! MySQL 8.0 to 9.x, MariaDB 10.6 and later, and what speaks their protocol.
//!
//! One connection per flush: connect, write, disconnect, so that a fleet of writers does not hold the server's
//! connections. The session is set to UTC and to the strict mode that refuses what does not fit. Statements are prepared;
//! a batch is cut where it would exceed the server's 65,535 placeholders or a modest packet.
//!
//! A statement that the server aborts for a deadlock or a lock timeout is sent again: each is complete in itself.

use super::statements::{self, Bound, Dialect};
use super::{PartialRange, PartialRecord, RowRecord, Sink, SinkError, TableInfo};
use crate::config::{MySql, Password, Tls};
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::WindowKind;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Params, SslOpts, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(60);
/// The server accepts 65,535 placeholders in a statement.
const PLACEHOLDERS_MAX: usize = 60_000;
/// Rows of one statement.
const ROWS_MAX: usize = 1_000;
/// Bytes of one statement's values: far below the smallest default of `max_allowed_packet` (4 MiB).
const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Ranges of one SELECT.
const RANGES_MAX: usize = 500;
/// How often a statement that the server aborted is sent again.
const ABORTED_TRIES_MAX: u32 = 10;

const ER_DBACCESS_DENIED: u16 = 1044;
const ER_ACCESS_DENIED: u16 = 1045;
const ER_BAD_DB: u16 = 1049;
const ER_DUP_FIELDNAME: u16 = 1060;
const ER_TABLEACCESS_DENIED: u16 = 1142;
const ER_COLUMNACCESS_DENIED: u16 = 1143;
const ER_LOCK_WAIT_TIMEOUT: u16 = 1205;
const ER_LOCK_DEADLOCK: u16 = 1213;

/// A MySQL server as the sink.
pub struct MySqlSink {
    config: MySql,
    /// Made with the first connection; a current-thread runtime has no threads of its own.
    runtime: Option<Runtime>,
    connection: Option<Conn>,
    dialect: Dialect,
    /// Columns of each table of rows that exist and are written; filled once the tables are known to be complete.
    written: BTreeMap<String, BTreeSet<String>>,
}

impl From<Bound> for Value {
    fn from(bound: Bound) -> Value {
        match bound {
            Bound::Null => Value::NULL,
            Bound::Integer(value) => Value::Int(value),
            Bound::Float(value) => Value::Double(value),
            Bound::Text(text) => Value::Bytes(text.into_bytes()),
        }
    }
}

fn size(bound: &Bound) -> usize {
    match bound {
        Bound::Text(text) => text.len() + 4,
        _ => 9,
    }
}

impl MySqlSink {
    /// A sink that has not connected yet.
    pub fn new(config: MySql) -> MySqlSink {
        MySqlSink { config, runtime: None, connection: None, dialect: Dialect::MySql, written: BTreeMap::new() }
    }

    fn options(&self) -> Result<Opts, SinkError> {
        let config = &self.config;
        let password = match &config.password {
            Password::None => None,
            Password::Text(text) => Some(text.clone()),
            Password::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| SinkError::Setup(format!("cannot read the password file {}: {e}", path.display())))?;
                Some(text.trim_end_matches(['\r', '\n']).to_string())
            }
        };
        let tls = (config.tls == Tls::VerifyFull).then(|| {
            let roots = config.ca_file.clone();
            SslOpts::default()
                .with_disable_built_in_roots(roots.is_some())
                .with_root_certs(roots.into_iter().map(Into::into).collect())
        });
        Ok(OptsBuilder::default()
            .ip_or_hostname(config.host.clone())
            .tcp_port(config.port)
            .user(Some(config.user.clone()))
            .pass(password)
            .db_name(Some(config.database.clone()))
            .ssl_opts(tls)
            .prefer_socket(Some(false))
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .init(vec![
                "SET time_zone='+00:00'".to_string(),
                "SET sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'".to_string(),
            ])
            .into())
    }

    /// Says what an error means to the person who has to act on it. The text never holds a password.
    fn error(&self, error: &Error) -> SinkError {
        let MySql { user, host, port, database, migrate, .. } = &self.config;
        let server = format!("{host}:{port}");
        match error {
            Error::Server(e) => match e.code {
                ER_ACCESS_DENIED => SinkError::Setup(format!(
                    "{server} refused user {user:?}: check the user and the password ({})",
                    e.message
                )),
                ER_DBACCESS_DENIED | ER_TABLEACCESS_DENIED | ER_COLUMNACCESS_DENIED => SinkError::Setup(format!(
                    "{server}: {}: run {}",
                    e.message,
                    statements::grants(user, database, *migrate)
                )),
                ER_BAD_DB => SinkError::Setup(format!(
                    "{server} has no database {database:?}: run CREATE DATABASE `{}` CHARACTER SET utf8mb4;",
                    database.replace('`', "``")
                )),
                code => SinkError::Temporary(format!("{server}: error {code}: {}", e.message)),
            },
            // The handshake's verdict arrives as an input/output error around the text of the TLS library.
            Error::Io(e) if matches!(e, mysql_async::IoError::Tls(_)) || e.to_string().contains("certificate") => {
                SinkError::Setup(format!(
                    "{server}: no trusted encrypted connection ({e}): set sink.ca_file to the authority that signed \
                     the server's certificate, or write tls = \"off\""
                ))
            }
            other => SinkError::Temporary(format!("{server}: {other}")),
        }
    }

    /// Waits for a future, but not longer than `limit`.
    fn wait<T>(
        &mut self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, SinkError> {
        let Some(runtime) = &self.runtime else {
            return Err(SinkError::Temporary("there is no connection".to_string()));
        };
        match runtime.block_on(async { tokio::time::timeout(limit, work).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => {
                let (host, port) = (&self.config.host, self.config.port);
                Err(SinkError::Temporary(format!("{host}:{port}: no answer to {what} within {} s", limit.as_secs())))
            }
        }
    }

    /// Runs one use of the connection. A failure other than the server's own answer closes the connection.
    fn with<T, W>(&mut self, what: &str, work: W) -> Result<T, SinkError>
    where
        W: AsyncFnOnce(&mut Conn) -> Result<T, Error>,
    {
        let Some(mut connection) = self.connection.take() else {
            return Err(SinkError::Temporary("there is no connection".to_string()));
        };
        let (connection, answer) = self.wait(STATEMENT_TIME_MAX, what, async {
            let answer = work(&mut connection).await;
            Ok((connection, answer))
        })?;
        match answer {
            Ok(value) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Err(error) => {
                if matches!(error, Error::Server(_)) {
                    self.connection = Some(connection);
                }
                Err(self.error(&error))
            }
        }
    }

    /// Executes a statement, again if the server aborts it.
    fn execute(&mut self, what: &str, sql: &str, values: &[Bound]) -> Result<(), SinkError> {
        self.with(what, async |connection| {
            let mut tries = 0;
            loop {
                let values: Vec<Value> = values.iter().cloned().map(Value::from).collect();
                let params = if values.is_empty() { Params::Empty } else { Params::Positional(values) };
                match connection.exec_drop(sql, params).await {
                    Err(Error::Server(e))
                        if matches!(e.code, ER_LOCK_DEADLOCK | ER_LOCK_WAIT_TIMEOUT) && tries < ABORTED_TRIES_MAX =>
                    {
                        tries += 1;
                        tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20)).await;
                    }
                    other => return other,
                }
            }
        })
    }

    fn query(&mut self, what: &str, sql: &str, values: Vec<Value>) -> Result<Vec<mysql_async::Row>, SinkError> {
        self.with(what, async |connection| {
            let params = if values.is_empty() { Params::Empty } else { Params::Positional(values.clone()) };
            connection.exec(sql, params).await
        })
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let options = self.options()?;
        if self.runtime.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            self.runtime = Some(runtime.map_err(|e| SinkError::Temporary(format!("cannot start the network: {e}")))?);
        }
        self.connection = Some(self.wait(CONNECT_TIME_MAX, "the connection attempt", Conn::new(options))?);
        let version = self.query("the version", "SELECT @@version", Vec::new())?;
        let version: String = version.first().and_then(|row| row.get(0)).unwrap_or_default();
        self.dialect = if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql };
        Ok(())
    }

    /// The columns of a table, in lower case, and which of them are the primary key.
    fn columns(&mut self, table: &str) -> Result<(BTreeSet<String>, Vec<String>), SinkError> {
        let sql = "SELECT LOWER(column_name), column_key = 'PRI' FROM information_schema.columns \
                   WHERE table_schema = DATABASE() AND table_name = ?";
        let rows = self.query("the list of columns", sql, vec![Value::from(table)])?;
        let columns: Vec<(String, bool)> =
            rows.into_iter().filter_map(|row| Some((row.get(0)?, row.get::<bool, _>(1)?))).collect();
        let key = columns.iter().filter(|(_, key)| *key).map(|(name, _)| name.clone()).collect();
        Ok((columns.into_iter().map(|(name, _)| name).collect(), key))
    }

    /// Makes or completes the tables, or, if they may not be changed, learns what can be written.
    fn migrate(&mut self, schema: &Schema) -> Result<(), SinkError> {
        let dialect = self.dialect;
        let mut written = BTreeMap::new();
        for table in statements::tables(dialect, schema) {
            let (mut present, key) = self.columns(&table.name)?;
            if !present.is_empty()
                && let Some(problem) = statements::key_problem(&table, &key)
            {
                return Err(SinkError::Setup(problem));
            }
            if present.is_empty() && !self.config.migrate {
                let ddl = statements::create_table(dialect, &table).join("; ");
                return Err(SinkError::Setup(format!(
                    "the table {} is missing and sink.migrate = \"check\": create it with {ddl}",
                    table.name
                )));
            }
            if present.is_empty() {
                for sql in statements::create_table(dialect, &table) {
                    self.execute("CREATE TABLE", &sql, &[])?;
                }
                present = table.columns.iter().map(|c| c.name.to_lowercase()).collect();
            }
            for missing in table.columns.iter().filter(|c| !present.contains(&c.name.to_lowercase())) {
                if !self.config.migrate {
                    log::warn!("column {:?} is missing in {}: it is left out", missing.name, table.name);
                    continue;
                }
                self.add_column(&statements::add_column(dialect, &table.name, missing))?;
            }
            let columns = table.columns.iter().map(|c| c.name.clone());
            let kept = columns.filter(|c| self.config.migrate || present.contains(&c.to_lowercase()));
            written.insert(table.name, kept.collect());
        }
        self.written = written;
        Ok(())
    }

    /// Adds a column; that another client added it first is no error.
    fn add_column(&mut self, sql: &str) -> Result<(), SinkError> {
        self.with("ALTER TABLE", async |connection| match connection.query_drop(sql).await {
            Err(Error::Server(e)) if e.code == ER_DUP_FIELDNAME => Ok(()),
            other => other,
        })
    }
}

/// Cuts rows of values into pieces that fit one statement each.
fn pieces(rows: Vec<Vec<Bound>>) -> Vec<Vec<Vec<Bound>>> {
    let mut out: Vec<Vec<Vec<Bound>>> = Vec::new();
    let (mut bytes, mut placeholders) = (0, 0);
    for row in rows {
        let row_bytes: usize = row.iter().map(size).sum();
        let full = out.last().is_none_or(|piece| {
            piece.len() >= ROWS_MAX
                || bytes + row_bytes > STATEMENT_BYTES_MAX
                || placeholders + row.len() > PLACEHOLDERS_MAX
        });
        if full {
            out.push(Vec::new());
            (bytes, placeholders) = (0, 0);
        }
        bytes += row_bytes;
        placeholders += row.len();
        if let Some(piece) = out.last_mut() {
            piece.push(row);
        }
    }
    out
}

impl Sink for MySqlSink {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.connect()?;
        if self.written.is_empty() {
            self.migrate(schema)?;
        }
        Ok(())
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord], now: i64) -> Result<(), SinkError> {
        for piece in pieces(records.iter().map(|r| statements::bind_partial(r, now)).collect()) {
            let sql = statements::upsert_partials(self.dialect, summary, piece.len());
            let values: Vec<Bound> = piece.into_iter().flatten().collect();
            self.execute("an upsert of partials", &sql, &values)?;
        }
        Ok(())
    }

    fn read_partials(&mut self, summary: &Summary, ranges: &[PartialRange]) -> Result<Vec<PartialRecord>, SinkError> {
        let keys = summary.key.len();
        let mut out = Vec::new();
        for ranges in ranges.chunks(RANGES_MAX) {
            let sql = statements::select_partials(self.dialect, summary, ranges.len());
            let mut values = Vec::new();
            for range in ranges {
                values.extend(range.key.iter().map(|k| Value::from(k.as_str())));
                values.push(Value::from(statements::datetime(range.span.start)));
                values.push(Value::from(statements::datetime(range.span.end - 1)));
            }
            for mut row in self.query("a read of partials", &sql, values)? {
                let mut text = |i: usize| row.take_opt::<String, _>(i).and_then(Result::ok);
                let key: Option<Vec<String>> = (0..keys).map(&mut text).collect();
                let start = text(keys).and_then(|t| statements::parse_datetime(&t));
                let (writer, run, state) = (text(keys + 1), text(keys + 2), text(keys + 4));
                let rev = row.take_opt::<u64, _>(keys + 3).and_then(Result::ok);
                match (key, start, writer, run, rev, state) {
                    (Some(key), Some(window_start), Some(writer), Some(run), Some(rev), Some(state)) => {
                        out.push(PartialRecord { key, window_start, writer, run, rev, state });
                    }
                    _ => {
                        let table = statements::partial_table_name(summary);
                        let message = format!("{table} holds a row that is not readable: its columns were changed");
                        return Err(SinkError::Setup(message));
                    }
                }
            }
        }
        Ok(out)
    }

    fn put_rows(&mut self, summary: &Summary, kind: WindowKind, rows: &[RowRecord], now: i64) -> Result<(), SinkError> {
        let table = statements::row_table_name(summary, kind);
        let written = self.written.get(&table).cloned().unwrap_or_default();
        let mut columns: Vec<&str> = Vec::new();
        let mut bound = Vec::new();
        for row in rows {
            let kept = statements::bind_row(summary, kind, row, now);
            let (names, values): (Vec<_>, Vec<_>) =
                kept.into_iter().filter(|(name, _)| written.contains(*name)).unzip();
            columns = names;
            bound.push(values);
        }
        for piece in pieces(bound) {
            let sql = statements::upsert_rows(self.dialect, summary, kind, &columns, piece.len());
            let values: Vec<Bound> = piece.into_iter().flatten().collect();
            self.execute("an upsert of rows", &sql, &values)?;
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A polite goodbye; the server notices a closed socket as well.
        let _ = self.wait(Duration::from_secs(1), "the goodbye", connection.disconnect());
    }

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.connect()?;
        let mut out = Vec::new();
        for table in statements::tables(self.dialect, schema) {
            let content = if self.columns(&table.name)?.0.is_empty() {
                None
            } else {
                let name = statements::quote(self.dialect, &table.name);
                let sql = format!("SELECT COUNT(*), DATE_FORMAT(MAX(window_start),'%Y-%m-%d %H:%i:%s') FROM {name}");
                let rows = self.query("a count of rows", &sql, Vec::new())?;
                let row = rows.first();
                Some((
                    row.and_then(|r| r.get_opt::<u64, _>(0)).and_then(Result::ok).unwrap_or(0),
                    row.and_then(|r| r.get_opt::<String, _>(1)).and_then(Result::ok),
                ))
            };
            out.push(TableInfo { name: table.name, content });
        }
        Ok(out)
    }
}
