//! Looks at a sink for `check`, without changing anything.

use super::open::open;
use crate::config::SinkConfig;
use crate::engine::schema::Schema;
use crate::finding::Finding;

/// Returns what is to be said of a sink: whether it can be reached, and what its tables hold.
pub fn probe(config: &SinkConfig, schema: &Schema) -> Vec<Finding> {
    let mut sink = open(config);
    let found = sink.inspect(schema);
    sink.disconnect();
    match found {
        Ok(tables) => tables
            .into_iter()
            .map(|table| {
                let text = match table.content {
                    None => format!("table {} will be made by run", table.name),
                    Some((0, _)) => format!("table {} is empty", table.name),
                    Some((rows, newest)) => {
                        let newest = newest.unwrap_or_default();
                        format!("table {}: {rows} rows, the newest window starts at {newest} UTC", table.name)
                    }
                };
                Finding::fine("sink.tables", text)
            })
            .collect(),
        Err(error) => vec![Finding::failure("sink", format!("the sink is not usable: {error}"), "")],
    }
}
