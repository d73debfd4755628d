//! A SQLite file that is asked, and opened for reading alone.

use super::{AnswerRow, Inquirer};
use crate::sink::port::SinkError;
use crate::sink::sql::dialect::Dialect;
use crate::sink::sqlite::read_only;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;

/// The file at a path.
pub struct SqliteInquirer {
    path: PathBuf,
    connection: Option<Connection>,
}

impl SqliteInquirer {
    /// A file that has not been opened yet.
    pub fn new(path: PathBuf) -> SqliteInquirer {
        SqliteInquirer { path, connection: None }
    }

    fn opened(&mut self) -> Result<&Connection, SinkError> {
        if self.connection.is_none() {
            let path = self.path.display();
            if !self.path.exists() {
                return Err(SinkError::Setup(format!(
                    "there is no {path}: `run` makes it with the first rows; is it the configuration that Telegraf's snippet names?"
                )));
            }
            self.connection = Some(read_only(&self.path).map_err(|e| self.error(&e))?);
        }
        self.connection.as_ref().ok_or_else(|| SinkError::Temporary("the file is not open".to_string()))
    }

    fn error(&self, error: &rusqlite::Error) -> SinkError {
        SinkError::Setup(format!(
            "cannot read {} ({error}): whoever reads it needs the right to read the file, and -wal and -shm beside it, and to enter \
             the folders above it",
            self.path.display()
        ))
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(format!("{value:?}")),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

impl Inquirer for SqliteInquirer {
    fn dialect(&mut self) -> Result<Dialect, SinkError> {
        self.opened()?;
        Ok(Dialect::Sqlite)
    }

    fn columns_of(&mut self, table: &str) -> Result<Option<Vec<String>>, SinkError> {
        let read = |connection: &Connection| -> rusqlite::Result<Option<Vec<String>>> {
            let names = "SELECT json_group_array(name) FROM pragma_table_info(?)";
            let list: Option<String> = connection.query_row(names, [table], |row| row.get(0)).optional()?;
            let names: Vec<String> = list.and_then(|list| serde_json::from_str(&list).ok()).unwrap_or_default();
            Ok((!names.is_empty()).then_some(names))
        };
        let answer = read(self.opened()?);
        answer.map_err(|e| self.error(&e))
    }

    fn ask(&mut self, sql: &str, columns: usize) -> Result<Vec<AnswerRow>, SinkError> {
        let read = |connection: &Connection| -> rusqlite::Result<Vec<AnswerRow>> {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                let cell = |at: usize| row.get_ref(at).map(text);
                out.push((0..columns).map(cell).collect::<rusqlite::Result<AnswerRow>>()?);
            }
            Ok(out)
        };
        let answer = read(self.opened()?);
        answer.map_err(|e| self.error(&e))
    }
}
