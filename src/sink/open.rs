//! The sink of a configuration.

use super::mysql::MySqlSink;
use super::port::Sink;
use super::reader::RowReader;
use super::reader::mysql::MySqlInquirer;
use super::reader::sqlite::SqliteInquirer;
use super::sqlite::Sqlite;
use crate::config::SinkConfig;

/// Makes the sink of a configuration. Nothing is opened or connected yet.
pub fn open(config: &SinkConfig) -> Box<dyn Sink + Send> {
    match config {
        SinkConfig::Sqlite(path) => Box::new(Sqlite::new(path.clone())),
        SinkConfig::MySql(mysql) => Box::new(MySqlSink::new((**mysql).clone())),
    }
}

/// Makes what reads rows from the sink of a configuration. Nothing is opened or connected yet.
pub fn reader(config: &SinkConfig) -> RowReader {
    match config {
        SinkConfig::Sqlite(path) => RowReader::new(Box::new(SqliteInquirer::new(path.clone()))),
        SinkConfig::MySql(mysql) => RowReader::new(Box::new(MySqlInquirer::new((**mysql).clone()))),
    }
}
