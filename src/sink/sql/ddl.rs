//! The tables: what they are made of, how they are made and completed, and what keeps one that is there from being used.
//!
//! Key columns compare by bytes and pad nothing, so `pc-01`, `PC-01` and `pc-01 ` are three devices.

use super::dialect::{Dialect, local_column, partial_table_name, quote, row_table_name};
use crate::engine::schema::{Schema, Summary};
use crate::engine::series::compile::KEY_CHARS_MAX;
use crate::engine::zone::WindowKind;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDef {
    pub name: String,
    pub sql_type: String,
    pub nullable: bool,
}

/// A table with its primary key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDef {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    /// Names of the columns of the primary key, a prefix of `columns`.
    pub key: Vec<String>,
    /// A column with an index of its own.
    pub index: Option<String>,
}

struct Types {
    key: String,
    word: &'static str,
    datetime: &'static str,
    milliseconds: &'static str,
    date: &'static str,
    double: &'static str,
    bigint: &'static str,
    int: &'static str,
    tinyint: &'static str,
    text: &'static str,
}

/// The collation of MySQL and MariaDB that compares keys by bytes and pads nothing. MySQL has it since 8.0.17.
pub fn key_collation(dialect: Dialect) -> &'static str {
    if dialect == Dialect::MariaDb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }
}

fn types(dialect: Dialect) -> Types {
    match dialect {
        Dialect::Sqlite => Types {
            key: "TEXT".into(),
            word: "TEXT",
            // By these, dashboards know times. They are stored as texts all the same: none looks like a number.
            datetime: "DATETIME",
            milliseconds: "DATETIME",
            date: "DATE",
            double: "REAL",
            bigint: "INTEGER",
            int: "INTEGER",
            tinyint: "INTEGER",
            text: "TEXT",
        },
        Dialect::MySql | Dialect::MariaDb => {
            let collation = key_collation(dialect);
            Types {
                key: format!("VARCHAR({KEY_CHARS_MAX}) CHARACTER SET utf8mb4 COLLATE {collation}"),
                word: "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin",
                datetime: "DATETIME",
                milliseconds: "DATETIME(3)",
                date: "DATE",
                double: "DOUBLE",
                bigint: "BIGINT",
                int: "INT",
                tinyint: "TINYINT",
                text: "MEDIUMTEXT CHARACTER SET utf8mb4",
            }
        }
    }
}

fn column(name: &str, sql_type: &str, nullable: bool) -> ColumnDef {
    ColumnDef { name: name.to_string(), sql_type: sql_type.to_string(), nullable }
}

/// The table of partials of a summary.
pub fn partial_table(dialect: Dialect, summary: &Summary) -> TableDef {
    let t = types(dialect);
    let mut columns: Vec<_> = summary.key.iter().map(|k| column(k, &t.key, false)).collect();
    columns.push(column("window_start", t.datetime, false));
    columns.push(column("run", t.word, false));
    let key = columns.iter().map(|c| c.name.clone()).collect();
    columns.push(column("writer", t.word, false));
    columns.push(column("rev", t.bigint, false));
    columns.push(column("state", t.text, false));
    TableDef { name: partial_table_name(summary), columns, key, index: Some("window_start".to_string()) }
}

/// A table of rows of a summary.
pub fn row_table(dialect: Dialect, summary: &Summary, kind: WindowKind) -> TableDef {
    let t = types(dialect);
    let mut columns: Vec<_> = summary.key.iter().map(|k| column(k, &t.key, false)).collect();
    columns.push(column("window_start", t.datetime, false));
    let key = columns.iter().map(|c| c.name.clone()).collect();
    let local = local_column(kind);
    columns.push(column(local, if kind == WindowKind::Daily { t.date } else { t.datetime }, false));
    columns.push(column("zone", t.word, false));
    for c in &summary.columns {
        columns.push(column(&c.name, if c.method.is_integer() { t.bigint } else { t.double }, true));
    }
    columns.push(column("samples", t.bigint, false));
    columns.push(column("coverage", t.double, false));
    columns.push(column("is_final", t.tinyint, false));
    columns.push(column("revision", t.bigint, false));
    columns.push(column("writers", t.int, false));
    columns.push(column("first_seen", t.milliseconds, true));
    columns.push(column("last_seen", t.milliseconds, true));
    columns.push(column("updated_at", t.milliseconds, false));
    TableDef { name: row_table_name(summary, kind), columns, key, index: Some(local.to_string()) }
}

/// All tables of a schema.
pub fn tables(dialect: Dialect, schema: &Schema) -> Vec<TableDef> {
    let mut out = Vec::new();
    for summary in &schema.summaries {
        out.extend(summary.windows.iter().map(|kind| row_table(dialect, summary, *kind)));
        out.push(partial_table(dialect, summary));
    }
    out
}

fn definition(dialect: Dialect, c: &ColumnDef) -> String {
    format!("{} {} {}", quote(dialect, &c.name), c.sql_type, if c.nullable { "NULL" } else { "NOT NULL" })
}

/// What is wrong with the primary key of a table that is there, if anything: a summary whose key has been changed speaks of
/// other devices than the rows of the table.
pub fn key_problem(table: &TableDef, present: &[String]) -> Option<String> {
    let names = |names: &[String]| {
        let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        names.sort();
        names
    };
    (names(&table.key) != names(present)).then(|| {
        format!(
            "the table {} has the primary key ({}), and this configuration needs ({}): the key of the summary was changed. \
             Give the summary another name, or rename the tables of the old one",
            table.name,
            present.join(", "),
            table.key.join(", ")
        )
    })
}

/// What kind of values a type holds; `None` for one that is not known here.
fn family(sql_type: &str) -> Option<&'static str> {
    let word: String = sql_type.chars().take_while(|c| c.is_ascii_alphabetic()).collect::<String>().to_lowercase();
    Some(match word.as_str() {
        "double" | "real" | "float" | "decimal" | "numeric" | "int" | "integer" | "bigint" | "tinyint" | "smallint"
        | "mediumint" | "bit" | "bool" | "boolean" => "numbers",
        "char" | "varchar" | "text" | "tinytext" | "mediumtext" | "longtext" | "json" | "binary" | "varbinary"
        | "blob" | "tinyblob" | "mediumblob" | "longblob" | "enum" => "texts",
        "date" | "datetime" | "timestamp" => "times",
        _ => return None,
    })
}

/// What is wrong with the types of columns that are there (name and type), if anything: a text where a number is to go.
pub fn type_problem(table: &TableDef, present: &[(String, String)]) -> Option<String> {
    for column in &table.columns {
        let Some((_, there)) = present.iter().find(|(name, _)| name.eq_ignore_ascii_case(&column.name)) else {
            continue;
        };
        let (Some(wanted), Some(found)) = (family(&column.sql_type), family(there)) else { continue };
        if wanted != found {
            return Some(format!(
                "the column {:?} of {} is {there}, which holds {found}, and this configuration needs {wanted} ({}): give the \
                 column of the configuration another name, or change the table",
                column.name, table.name, column.sql_type
            ));
        }
    }
    None
}

/// Creates a table unless it exists. SQLite needs a second statement for the index.
pub fn create_table(dialect: Dialect, table: &TableDef) -> Vec<String> {
    let name = quote(dialect, &table.name);
    let mut parts: Vec<String> = table.columns.iter().map(|c| definition(dialect, c)).collect();
    let key: Vec<_> = table.key.iter().map(|k| quote(dialect, k)).collect();
    parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    match dialect {
        Dialect::Sqlite => {
            let mut out =
                vec![format!("CREATE TABLE IF NOT EXISTS {name} (\n  {}\n) WITHOUT ROWID", parts.join(",\n  "))];
            if let Some(index) = &table.index {
                let on = quote(dialect, index);
                // Names of indexes are those of the whole file, and of any length.
                let index = quote(dialect, &format!("{}_{index}", table.name));
                out.push(format!("CREATE INDEX IF NOT EXISTS {index} ON {name} ({on})"));
            }
            out
        }
        Dialect::MySql | Dialect::MariaDb => {
            if let Some(index) = &table.index {
                // Names of indexes are those of one table: that of the column fits, however long the table's is.
                let index = quote(dialect, index);
                parts.push(format!("KEY {index} ({index})"));
            }
            vec![format!(
                "CREATE TABLE IF NOT EXISTS {name} (\n  {}\n) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4",
                parts.join(",\n  ")
            )]
        }
    }
}

/// Adds a column that the configuration has gained. It is nullable in an existing table, whatever it is in a new one.
pub fn add_column(dialect: Dialect, table: &str, c: &ColumnDef) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {} NULL", quote(dialect, table), quote(dialect, &c.name), c.sql_type)
}

/// The statement that gives a user from any host what the product needs.
pub fn grants(user: &str, database: &str, migrate: bool) -> String {
    let user = user.replace('\\', "\\\\").replace('\'', "''");
    grants_to(&format!("'{user}'@'%'"), database, migrate)
}

/// The statement that gives an account, as statements name it, what the product needs.
pub fn grants_to(account: &str, database: &str, migrate: bool) -> String {
    let rights = "SELECT, INSERT, UPDATE, DELETE".to_string() + if migrate { ", CREATE, ALTER, INDEX" } else { "" };
    format!("GRANT {rights} ON `{}`.* TO {account};", database.replace('`', "``"))
}
