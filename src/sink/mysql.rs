//! MySQL 8.0 to 9.x, MariaDB 10.6 and later, and what speaks their protocol.
//!
//! One connection per flush: connect, write, disconnect, so that a fleet of writers does not hold the server's
//! connections. The session is set to UTC and to the strict mode that refuses what does not fit. Each statement is one text
//! with its values, one round trip; a batch is cut where it would exceed a modest packet, or half of what the server takes.
//!
//! Every SELECT shows that its answer is whole, see [`super::whole`]; what was cut short is asked for again in smaller pieces.
//!
//! A statement that the server aborts for a deadlock or a lock timeout (on Galera also: for a conflict with another node) is
//! sent again: each is complete in itself. If a row is what the server refuses, the statement is cut in halves until the row
//! stands alone; the others are written.

use super::account::Account;
use super::answer::{self, persistently, without_mark};
use super::codes::{About, ER_DUP_FIELDNAME, about};
use super::connect::connect;
use super::explain::{Scene, address};
pub use super::password::exposed;
use super::port::{
    FoundPartial, Names, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};
use super::sql::ddl::TableDef;
use super::sql::dialect::Dialect;
use super::sql::literal::Bound;
use super::sql::{ddl, dialect, literal, select, upsert};
use super::trouble::SinkTrouble;
use super::whole::{ANSWER_ROWS_MAX, Measure, Question};
use super::{password, tls};
use crate::config::{MySql, Password};
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::WindowKind;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;

const STATEMENT_TIME_MAX: Duration = Duration::from_secs(60);
/// Rows of one statement.
const ROWS_MAX: usize = 1_000;
/// Bytes of one statement: below the smallest default of `max_allowed_packet` (4 MiB).
const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// Rows that one statement of a purge deletes, and how many such statements follow each other: others want to write, too.
const PURGE_ROWS: usize = 5_000;
const PURGE_STATEMENTS_MAX: usize = 50;
/// With so many refused rows in one batch, others are not searched for row by row: what is in a statement that is refused then
/// is refused with it, and tried again later.
const REFUSED_MAX: usize = 100;

/// A MySQL server as the sink.
pub struct MySqlSink {
    config: MySql,
    /// Made with the first connection; a current-thread runtime has no threads of its own.
    runtime: Option<Runtime>,
    connection: Option<Conn>,
    dialect: Dialect,
    /// Bytes of one statement at most.
    statement_bytes: usize,
    /// How much is asked for at once.
    measure: Measure,
    /// Said that answers are cut short.
    has_told_cut: bool,
    /// Said that others can read the password file.
    has_warned: bool,
    /// What listens in place of the server, if it was looked at; see [`connect`].
    other_service: Option<Option<SinkTrouble>>,
    /// The account that the server sees; `None` before the first connection.
    account: Option<Account>,
    /// Columns of each table of rows that exist and are written; filled once the tables are known to be complete.
    written: BTreeMap<String, BTreeSet<String>>,
}

impl MySqlSink {
    /// A sink that has not connected yet.
    pub fn new(config: MySql) -> MySqlSink {
        MySqlSink {
            config,
            runtime: None,
            connection: None,
            dialect: Dialect::MySql,
            statement_bytes: STATEMENT_BYTES_MAX,
            measure: Measure::default(),
            has_told_cut: false,
            has_warned: false,
            other_service: None,
            account: None,
            written: BTreeMap::new(),
        }
    }

    /// A sink that does not warn of a password file that others can read: the caller does.
    pub(super) fn quiet(config: MySql) -> MySqlSink {
        MySqlSink { has_warned: true, ..MySqlSink::new(config) }
    }

    /// The account that the server sees; `None` before the first connection.
    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The dialect of the server, known once it is connected.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Says what an error of a connection that is there means.
    fn error(&self, error: &Error) -> SinkTrouble {
        Scene { config: &self.config, secret: None, account: self.account.as_ref() }.explain(error)
    }

    /// Waits for a future, but not longer than `limit`.
    fn wait<T>(
        &mut self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, SinkTrouble> {
        let Some(runtime) = &self.runtime else {
            return Err(SinkTrouble::passing("sink.connection", "there is no connection", ""));
        };
        match runtime.block_on(async { tokio::time::timeout(limit, work).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => Err(SinkTrouble::passing(
                "sink.connection",
                format!("{}: no answer to {what} within {} s", address(&self.config), limit.as_secs()),
                "",
            )),
        }
    }

    /// Runs one use of the connection. A failure other than the server's own answer closes the connection.
    fn with<T, W>(&mut self, what: &str, work: W) -> Result<T, SinkTrouble>
    where
        W: AsyncFnOnce(&mut Conn) -> Result<T, Error>,
    {
        let Some(mut connection) = self.connection.take() else {
            return Err(SinkTrouble::passing("sink.connection", "there is no connection", ""));
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

    /// Executes a statement, again if the server aborts it. Returns the server's reason if it refuses a row.
    fn execute(&mut self, what: &str, sql: &str) -> Result<Option<String>, SinkTrouble> {
        self.with(what, async |connection| match persistently(async || connection.query_drop(sql).await).await {
            Err(Error::Server(e)) if about(e.code) == About::Row => {
                Ok(Some(format!("error {}: {}", e.code, e.message)))
            }
            other => other.map(|()| None),
        })
    }

    /// Executes a statement once. Returns number and message of the error if the server says no.
    pub(super) fn attempt(&mut self, what: &str, sql: &str) -> Result<Option<(u16, String)>, SinkTrouble> {
        self.with(what, async |connection| match connection.query_drop(sql).await {
            Err(Error::Server(e)) => Ok(Some((e.code, e.message))),
            other => other.map(|()| None),
        })
    }

    /// Executes a statement that concerns no single row.
    fn command(&mut self, what: &str, sql: &str) -> Result<(), SinkError> {
        match self.execute(what, sql)? {
            None => Ok(()),
            Some(reason) => Err(SinkError::Setup(format!("{what}: {reason}"))),
        }
    }

    /// Executes a statement with as many rows of values at a time as fit. Returns those that were refused.
    fn put(
        &mut self,
        what: &str,
        rows: &[Vec<Bound<'_>>],
        statement: impl Fn(Dialect, &str) -> String,
    ) -> Result<Vec<Refused>, SinkError> {
        let mut refused = Vec::new();
        let (mut from, mut values) = (0, String::new());
        let mut row = String::new();
        for (index, bound) in rows.iter().enumerate() {
            row.clear();
            literal::literals(self.dialect, &mut row, bound);
            let is_full = index - from == ROWS_MAX || values.len() + row.len() > self.statement_bytes;
            if is_full && index > from {
                self.put_piece(what, rows, (from, index), &values, &statement, &mut refused)?;
                (from, values) = (index, String::new());
            }
            if !values.is_empty() {
                values.push(',');
            }
            values.push_str(&row);
        }
        if from < rows.len() {
            self.put_piece(what, rows, (from, rows.len()), &values, &statement, &mut refused)?;
        }
        Ok(refused)
    }

    /// Executes a statement with the rows of a piece, in halves if one of them is refused.
    fn put_piece(
        &mut self,
        what: &str,
        rows: &[Vec<Bound<'_>>],
        (from, until): (usize, usize),
        values: &str,
        statement: &impl Fn(Dialect, &str) -> String,
        refused: &mut Vec<Refused>,
    ) -> Result<(), SinkError> {
        let sql = statement(self.dialect, values);
        let Some(reason) = self.execute(what, &sql)? else { return Ok(()) };
        if until - from == 1 || refused.len() >= REFUSED_MAX {
            refused.extend((from..until).map(|index| Refused { index, reason: reason.clone() }));
            return Ok(());
        }
        let middle = from + (until - from) / 2;
        for (from, until) in [(from, middle), (middle, until)] {
            let mut values = String::new();
            for bound in &rows[from..until] {
                if !values.is_empty() {
                    values.push(',');
                }
                literal::literals(self.dialect, &mut values, bound);
            }
            self.put_piece(what, rows, (from, until), &values, statement, refused)?;
        }
        Ok(())
    }

    /// All rows of a query.
    pub(super) fn query(&mut self, what: &str, sql: &str) -> Result<Vec<mysql_async::Row>, SinkTrouble> {
        self.with(what, async |connection| persistently(async || connection.query(sql).await).await)
    }

    /// The one row of a query.
    pub(super) fn row(&mut self, what: &str, sql: &str) -> Result<mysql_async::Row, SinkTrouble> {
        self.query(what, sql)?.into_iter().next().ok_or_else(|| self.cut_short(what, 0))
    }

    /// All rows of a query of so many columns, the first of which is never NULL, with values that are not part of its text.
    fn all(
        &mut self,
        what: &str,
        sql: &str,
        columns: usize,
        values: Vec<Value>,
    ) -> Result<Vec<mysql_async::Row>, SinkTrouble> {
        let sql = &select::marked(sql, columns, ANSWER_ROWS_MAX);
        let values = Params::Positional(values);
        let ask = async |connection: &mut Conn| {
            persistently(async || connection.exec::<mysql_async::Row, _, _>(sql, values.clone()).await).await
        };
        let (rows, is_whole) = without_mark(self.with(what, ask)?);
        if is_whole { Ok(rows) } else { Err(self.cut_short(what, rows.len())) }
    }

    /// Connects, if there is no connection, and returns how the server spells SQL.
    pub(super) fn connected(&mut self) -> Result<Dialect, SinkError> {
        self.connect()?;
        Ok(self.dialect)
    }

    /// All rows of a query of so many columns, the first of which is never NULL, with all values as text.
    pub(super) fn all_as_text(
        &mut self,
        what: &str,
        sql: &str,
        columns: usize,
    ) -> Result<Vec<mysql_async::Row>, SinkTrouble> {
        let (rows, is_whole) = without_mark(self.query(what, &select::marked(sql, columns, ANSWER_ROWS_MAX))?);
        if is_whole { Ok(rows) } else { Err(self.cut_short(what, rows.len())) }
    }

    /// The error for an answer that cannot be had whole.
    fn cut_short(&self, what: &str, rows: usize) -> SinkTrouble {
        let server = address(&self.config);
        SinkTrouble::lasting(
            "sink.server",
            format!("{server}: the answer to {what} was cut short after {rows} rows, and nothing is made of it"),
            "the server or a proxy limits the rows of an answer; lift that limit for this user",
        )
    }

    /// The partials of a question, and whether they are all.
    fn find(
        &mut self,
        summary: &Summary,
        question: &Question,
        states: States<'_>,
        names: &mut Names,
    ) -> Result<(Vec<FoundPartial>, bool), SinkError> {
        let keys = summary.key.len();
        let condition = select::condition(self.dialect, summary, &question.ranges);
        let condition = select::of_runs(self.dialect, condition, question.after.as_deref(), question.until.as_deref());
        let sql = select::select_partials(self.dialect, summary, states, &condition);
        let rows = self.query("a read of partials", &select::marked(&sql, keys + 5, ANSWER_ROWS_MAX))?;
        let (rows, is_whole) = without_mark(rows);
        let unreadable = || {
            let table = dialect::partial_table_name(summary);
            SinkError::Setup(format!("{table} holds a row that is not readable: its columns were changed"))
        };
        let found = rows.into_iter().map(|row| answer::partial(row, keys, names).ok_or_else(unreadable));
        Ok((found.collect::<Result<_, _>>()?, is_whole))
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        Ok(self.reach()?)
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    /// There is no connection; the trouble says why.
    pub(super) fn reach(&mut self) -> Result<(), SinkTrouble> {
        if self.connection.is_some() {
            return Ok(());
        }
        if let Password::File(path) = &self.config.password
            && !self.has_warned
            && let Some(warning) = exposed(path)
        {
            self.has_warned = true;
            log::warn!("{warning}");
        }
        let secret = password::read(&self.config.password)?;
        let tls = tls::options(&self.config).map_err(|e| SinkTrouble::lasting("sink.tls", e.to_string(), ""))?;
        let runtime = match &self.runtime {
            Some(runtime) => runtime,
            None => {
                let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let fail = |e| SinkTrouble::passing("sink.connection", format!("cannot start the network: {e}"), "");
                self.runtime.insert(made.map_err(fail)?)
            }
        };
        self.connection = Some(connect(runtime, &self.config, &secret, tls, &mut self.other_service)?);
        let answer = self.row("the version", "SELECT @@version, @@max_allowed_packet, CURRENT_USER()")?;
        self.check_session()?;
        let version: String = answer.get_opt(0).and_then(Result::ok).unwrap_or_default();
        let packet: usize = answer.get_opt(1).and_then(Result::ok).unwrap_or(STATEMENT_BYTES_MAX);
        self.account = answer.get_opt::<String, _>(2).and_then(Result::ok).and_then(|text| Account::current(&text));
        self.statement_bytes = (packet / 2).min(STATEMENT_BYTES_MAX);
        self.dialect = if version.contains("MariaDB") { Dialect::MariaDb } else { Dialect::MySql };
        Ok(())
    }

    /// Looks whether the session has what was set: a proxy that hands statements to sessions of its own forgets it, and times
    /// and texts would be stored in another form.
    fn check_session(&mut self) -> Result<(), SinkTrouble> {
        let sql = "SELECT @@time_zone, @@character_set_client, @@character_set_connection, @@character_set_results, @@sql_mode, \
                   @@sql_select_limit";
        let row = self.row("the settings of the session", sql)?;
        let text = |i: usize| row.get_opt::<String, _>(i).and_then(Result::ok).unwrap_or_default();
        let rows_max = row.get_opt::<u64, _>(5).and_then(Result::ok).unwrap_or(0);
        let is_kept = text(0) == "+00:00"
            && (1..=3).all(|i| text(i) == "utf8mb4")
            && text(4).split(',').any(|mode| mode == "STRICT_ALL_TABLES")
            && !text(4).split(',').any(|mode| mode == "NO_BACKSLASH_ESCAPES")
            && rows_max >= ANSWER_ROWS_MAX as u64;
        if is_kept {
            return Ok(());
        }
        self.connection = None;
        Err(SinkTrouble::lasting(
            "sink.server",
            format!(
                "{}: the session does not keep what SET has set (time_zone is {:?}, sql_mode {:?}, sql_select_limit {rows_max})",
                address(&self.config),
                text(0),
                text(4)
            ),
            "a proxy in between shares sessions; switch that off for this user (ProxySQL: transaction_persistent, multiplex = 0), or \
             connect to the server",
        ))
    }

    /// Looks whether the server has what the keys of a new table need.
    pub(super) fn check_collation(&mut self) -> Result<(), SinkTrouble> {
        let collation = ddl::key_collation(self.dialect);
        let sql = format!(
            "SELECT @@version, (SELECT COUNT(*) FROM information_schema.collations WHERE collation_name = '{collation}')"
        );
        let row = self.row("the list of collations", &sql)?;
        if row.get_opt::<u64, _>(1).and_then(Result::ok) != Some(0) {
            return Ok(());
        }
        let version = row.get_opt::<String, _>(0).and_then(Result::ok).unwrap_or_default();
        Err(SinkTrouble::lasting(
            "sink.server",
            format!(
                "{}: this server ({version}) lacks the collation {collation}, by which keys are compared",
                address(&self.config)
            ),
            "use MySQL 8.0.17 or newer, or MariaDB 10.6 or newer",
        ))
    }

    /// The columns of a table: name, type, and whether it is part of the primary key.
    pub(super) fn columns(&mut self, table: &str) -> Result<Vec<(String, String, bool)>, SinkTrouble> {
        let sql = "SELECT column_name, data_type, column_key = 'PRI' FROM information_schema.columns \
                   WHERE table_schema = DATABASE() AND table_name = ?";
        let rows = self.all("the list of columns", sql, 3, vec![Value::from(table)])?;
        Ok(rows.into_iter().filter_map(|row| Some((row.get(0)?, row.get(1)?, row.get::<bool, _>(2)?))).collect())
    }

    /// Makes or completes the tables, or, if they may not be changed, learns what can be written.
    fn migrate(&mut self, schema: &Schema) -> Result<(), SinkError> {
        let dialect = self.dialect;
        let mut written = BTreeMap::new();
        for table in ddl::tables(dialect, schema) {
            let there = self.columns(&table.name)?;
            if let Some(problem) = problem(&table, &there) {
                return Err(SinkError::Setup(problem));
            }
            let mut present: BTreeSet<String> = there.into_iter().map(|(name, ..)| name.to_lowercase()).collect();
            if present.is_empty() && !self.config.migrate {
                let ddl = ddl::create_table(dialect, &table).join("; ");
                return Err(SinkError::Setup(format!(
                    "the table {} is missing and sink.migrate = \"check\": create it with {ddl}",
                    table.name
                )));
            }
            if present.is_empty() {
                for sql in ddl::create_table(dialect, &table) {
                    self.command("CREATE TABLE", &sql)?;
                }
                present = table.columns.iter().map(|c| c.name.to_lowercase()).collect();
            }
            for missing in table.columns.iter().filter(|c| !present.contains(&c.name.to_lowercase())) {
                if !self.config.migrate {
                    log::warn!("column {:?} is missing in {}: it is left out", missing.name, table.name);
                    continue;
                }
                self.add_column(&ddl::add_column(dialect, &table.name, missing))?;
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
        Ok(self.with("ALTER TABLE", async |connection| {
            match persistently(async || connection.query_drop(sql).await).await {
                Err(Error::Server(e)) if e.code == ER_DUP_FIELDNAME => Ok(()),
                other => other,
            }
        })?)
    }
}

/// What keeps a table that is there from being used, if anything.
fn problem(table: &TableDef, there: &[(String, String, bool)]) -> Option<String> {
    if there.is_empty() {
        return None;
    }
    let key: Vec<String> = there.iter().filter(|(.., is_key)| *is_key).map(|(name, ..)| name.clone()).collect();
    let types: Vec<_> = there.iter().map(|(name, sql_type, _)| (name.clone(), sql_type.clone())).collect();
    ddl::key_problem(table, &key).or_else(|| ddl::type_problem(table, &types))
}

impl Sink for MySqlSink {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.connect()?;
        if self.written.is_empty() {
            self.migrate(schema)?;
        }
        Ok(())
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        let rows: Vec<_> = records.iter().map(upsert::bind_partial).collect();
        self.put("an upsert of partials", &rows, |dialect, values| upsert::upsert_partials(dialect, summary, values))
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        let mut names = Names::default();
        let mut out = Vec::new();
        let measure = self.measure;
        for group in select::groups(ranges, |span| measure.ranges_max(span)) {
            let mut open = vec![Question::of(group)];
            while let Some(question) = open.pop() {
                let (found, is_whole) = self.find(summary, &question, states, &mut names)?;
                if is_whole {
                    out.extend(found);
                    continue;
                }
                let Some([first, second]) = question.halves(&found) else {
                    return Err(self.cut_short("a read of partials", found.len()).into());
                };
                if self.measure.ended_after(found.len()) && !std::mem::replace(&mut self.has_told_cut, true) {
                    let server = address(&self.config);
                    log::warn!(
                        "{server}: an answer was cut short after {} rows: the server or a proxy limits them; asking for fewer \
                         at a time, which takes longer",
                        found.len()
                    );
                }
                open.extend([second, first]);
            }
        }
        Ok(out)
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        let table = dialect::row_table_name(summary, kind);
        let written = self.written.get(&table).cloned().unwrap_or_default();
        let mut columns: Vec<&str> = Vec::new();
        let mut bound = Vec::new();
        for row in rows {
            let kept = upsert::bind_row(summary, kind, row, now);
            let (names, values): (Vec<_>, Vec<_>) =
                kept.into_iter().filter(|(name, _)| written.contains(*name)).unzip();
            columns = names;
            bound.push(values);
        }
        self.put("an upsert of rows", &bound, |dialect, values| {
            upsert::upsert_rows(dialect, summary, kind, &columns, values)
        })
    }

    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, _: i64) -> Result<u64, SinkError> {
        let sql = select::purge(self.dialect, summary, kind, age / 1_000_000_000, PURGE_ROWS);
        let mut gone = 0;
        for _ in 0..PURGE_STATEMENTS_MAX {
            self.command("a purge", &sql)?;
            let rows = self.connection.as_ref().map_or(0, Conn::affected_rows);
            gone += rows;
            if rows < PURGE_ROWS as u64 {
                break;
            }
        }
        Ok(gone)
    }

    fn disconnect(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A polite goodbye; the server notices a closed socket as well.
        let _ = self.wait(Duration::from_secs(1), "the goodbye", connection.disconnect());
    }

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.connect()?;
        let mut out = Vec::new();
        for table in ddl::tables(self.dialect, schema) {
            let there = self.columns(&table.name)?;
            if let Some(problem) = problem(&table, &there) {
                return Err(SinkError::Setup(problem));
            }
            let content = if there.is_empty() {
                self.check_collation()?;
                None
            } else {
                let name = dialect::quote(self.dialect, &table.name);
                let sql = format!("SELECT COUNT(*), DATE_FORMAT(MAX(window_start),'%Y-%m-%d %H:%i:%s') FROM {name}");
                let row = self.row("a count of rows", &sql)?;
                Some((
                    row.get_opt::<u64, _>(0).and_then(Result::ok).unwrap_or(0),
                    row.get_opt::<String, _>(1).and_then(Result::ok),
                ))
            };
            out.push(TableInfo { name: table.name, content });
        }
        Ok(out)
    }
}
