//! Times in SQLite files of earlier versions, which were declared as TEXT: declared as DATE and DATETIME from now on, by which
//! dashboards know them.
//!
//! SQLite stores by value: the texts of times look like no number, so they stay the texts that they are, and the same bytes are
//! right under either type. So not a row is written again: the declaration alone is changed, in the schema table, as SQLite's
//! documentation of ALTER TABLE describes it for changes that do not touch what is stored. Triggers, indexes and columns
//! that a person has added stay.
//!
//! Invariants: a declaration changes only after a look at every value of its column; all of it is one transaction, so a
//! kill in between changes nothing.

use super::sql::ddl::TableDef;
use super::sql::dialect::{Dialect, quote};
use rusqlite::Connection;

/// A column of a table that is there: name and declared type.
pub type Declared<'c> = (&'c str, &'c str);

/// True if a type is one of SQLite's for texts (<https://sqlite.org/datatype3.html#determination_of_column_affinity>).
fn holds_texts(sql_type: &str) -> bool {
    let upper = sql_type.to_uppercase();
    !upper.contains("INT") && ["CHAR", "CLOB", "TEXT"].iter().any(|word| upper.contains(word))
}

/// The type by which the column of a table is to be declared, if it holds times and is declared as a text.
pub fn wanted<'t>(table: &'t TableDef, (name, sql_type): Declared<'_>) -> Option<&'t str> {
    let column = table.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))?;
    let is_time = matches!(column.sql_type.as_str(), "DATE" | "DATETIME");
    (is_time && holds_texts(sql_type)).then_some(column.sql_type.as_str())
}

/// Declares the columns of a table anew that hold times as texts, within the caller's transaction; [`finish`] must follow.
/// Returns how many there were. Columns of which one holds something else, or whose declaration is not ours, are left.
///
/// # Errors
/// The file's.
pub fn declare(connection: &Connection, table: &TableDef, present: &[Declared<'_>]) -> rusqlite::Result<usize> {
    let name = quote(Dialect::Sqlite, &table.name);
    let find = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE";
    let old: String = connection.query_row(find, [&table.name], |row| row.get(0))?;
    let (mut sql, mut conditions) = (old.clone(), Vec::new());
    for column in present {
        let Some(sql_type) = wanted(table, *column) else { continue };
        let quoted = quote(Dialect::Sqlite, column.0);
        let declaration = format!("{quoted} TEXT ");
        if sql.matches(&declaration).count() == 1 {
            sql = sql.replace(&declaration, &format!("{quoted} {sql_type} "));
            conditions.push(format!("{quoted} NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'"));
        }
    }
    if conditions.is_empty() {
        return Ok(0);
    }
    let other = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE {})", conditions.join(" OR "));
    if connection.query_row(&other, [], |row| row.get::<_, bool>(0))? {
        log::warn!("{} holds times that this program has not written: they stay TEXT", table.name);
        return Ok(0);
    }
    connection.pragma_update(None, "writable_schema", "ON")?;
    let change = "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ? COLLATE NOCASE";
    connection.execute(change, [&sql, &table.name])?;
    Ok(conditions.len())
}

/// Makes changed declarations known to this connection, and to others with the end of the transaction.
///
/// # Errors
/// The schema cannot be read any more, which must not be committed.
pub fn finish(connection: &Connection) -> rusqlite::Result<()> {
    let version: i64 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
    connection.pragma_update(None, "schema_version", version + 1)?;
    connection.pragma_update(None, "writable_schema", "RESET")
}
