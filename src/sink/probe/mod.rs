//! Looks at a sink for `check`, without changing anything: can it be used as it will have to be, and what helps if not.
//!
//! What can be tried without an effect is tried, by statements that concern no row. What cannot (to make a table) is read from the
//! grants of the account. What is neither is said to be unknown.

mod certificates;
mod file;
mod grants;
mod place;
mod rights;
mod server;
mod tables;

use crate::config::SinkConfig;
use crate::engine::schema::Schema;
use crate::finding::Finding;

/// Returns what is to be said of a sink: whether it can be reached, what the account may do, and what its tables hold. No text
/// holds a password.
pub fn probe(config: &SinkConfig, schema: &Schema) -> Vec<Finding> {
    match config {
        SinkConfig::Sqlite(path) => file::probe(path, schema),
        SinkConfig::MySql(mysql) => server::probe(mysql, schema),
    }
}
