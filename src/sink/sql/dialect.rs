//! The dialects of SQL, and the names of tables and columns in them.

use crate::engine::schema::Summary;
use crate::engine::zone::WindowKind;

/// The two spellings of SQL; MariaDB differs from MySQL in the names of collations alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    MySql,
    MariaDb,
}

/// Quotes an identifier.
pub fn quote(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
        Dialect::MySql | Dialect::MariaDb => format!("`{}`", name.replace('`', "``")),
    }
}

/// Name of the table of partials.
pub fn partial_table_name(summary: &Summary) -> String {
    format!("{}_hourly_partial", summary.name)
}

/// Name of a table of rows.
pub fn row_table_name(summary: &Summary, kind: WindowKind) -> String {
    format!("{}_{}", summary.name, kind.name())
}

/// Name of the column with the window's local start.
pub fn local_column(kind: WindowKind) -> &'static str {
    match kind {
        WindowKind::Hourly => "datetime",
        WindowKind::Daily => "date",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_break_out() {
        assert_eq!(quote(Dialect::MySql, "a`b"), "`a``b`");
        assert_eq!(quote(Dialect::Sqlite, "a\"b"), "\"a\"\"b\"");
    }
}
