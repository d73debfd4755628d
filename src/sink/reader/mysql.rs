//! A MySQL or MariaDB server that is asked, over a connection like that of the sink.

use super::{AnswerRow, Inquirer};
use crate::config::MySql;
use crate::sink::mysql::MySqlSink;
use crate::sink::port::SinkError;
use crate::sink::sql::dialect::Dialect;

/// A server.
pub struct MySqlInquirer(MySqlSink);

impl MySqlInquirer {
    /// A server that has not been connected to yet.
    pub fn new(config: MySql) -> MySqlInquirer {
        MySqlInquirer(MySqlSink::new(config))
    }
}

impl Inquirer for MySqlInquirer {
    fn dialect(&mut self) -> Result<Dialect, SinkError> {
        self.0.connected()
    }

    fn columns_of(&mut self, table: &str) -> Result<Option<Vec<String>>, SinkError> {
        self.0.connected()?;
        let names: Vec<String> = self.0.columns(table)?.into_iter().map(|(name, _, _)| name).collect();
        Ok((!names.is_empty()).then_some(names))
    }

    fn ask(&mut self, sql: &str, columns: usize) -> Result<Vec<AnswerRow>, SinkError> {
        self.0.connected()?;
        let rows = self.0.all_as_text("a read of rows", sql, columns)?;
        let text = |value: &mysql_async::Value| match value {
            mysql_async::Value::NULL => None,
            mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            // The text protocol has nothing else.
            other => Some(other.as_sql(true)),
        };
        Ok(rows.iter().map(|row| (0..columns).map(|at| row.as_ref(at).and_then(text)).collect()).collect())
    }
}
