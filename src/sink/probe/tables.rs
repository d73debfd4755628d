//! What `check` says of the tables of a sink.

use crate::finding::Finding;
use crate::sink::port::{SinkError, TableInfo};

const SUBJECT: &str = "sink.tables";

/// What is found of each table, or why they cannot be used.
pub fn findings(found: Result<Vec<TableInfo>, SinkError>) -> Vec<Finding> {
    match found {
        Ok(tables) => tables.into_iter().map(|table| Finding::fine(SUBJECT, text(&table))).collect(),
        Err(error) => {
            let text = error.to_string();
            let (text, remedy) = match text.rsplit_once(": ") {
                Some((text, remedy)) => (text.to_string(), Some(remedy.to_string())),
                None => (text, None),
            };
            vec![Finding { remedy, ..Finding::failure(SUBJECT, text, "") }]
        }
    }
}

fn text(table: &TableInfo) -> String {
    match &table.content {
        None => format!("table {} will be made by run", table.name),
        Some((0, _)) => format!("table {} is empty", table.name),
        Some((rows, newest)) => {
            let newest = newest.as_deref().unwrap_or_default();
            let rows = if *rows == 1 { "1 row".to_string() } else { format!("{rows} rows") };
            format!("table {}: {rows}, the newest window starts at {newest} UTC", table.name)
        }
    }
}
