//! `[sink]`: where rows go.

use super::address::{Address, address};
use super::mysql::{MySql, MySqlKeys, TlsFiles, mysql};
use super::path::path;
use super::read::Table;
use std::path::{Path, PathBuf};

/// Where rows go.
#[derive(Clone, Debug)]
pub enum SinkConfig {
    /// Into a file.
    Sqlite(PathBuf),
    /// To a server.
    MySql(Box<MySql>),
}

impl SinkConfig {
    /// Returns what people call the sink: a path, or user, host and database. Never a password.
    pub fn name(&self) -> String {
        match self {
            SinkConfig::Sqlite(path) => format!("SQLite {}", path.display()),
            SinkConfig::MySql(mysql) => {
                format!("MySQL {}@{}/{}", mysql.user, mysql.place(), mysql.database)
            }
        }
    }

    /// Returns what tells the sink from another one: the path, or host, port and database. The user, the password and
    /// encryption lead to the same rows. Two names of one machine count as two sinks: to write everything again is harmless.
    pub fn identity(&self) -> String {
        match self {
            SinkConfig::Sqlite(path) => {
                let absolute = std::path::absolute(path);
                format!("sqlite:{}", absolute.as_deref().unwrap_or(path).display())
            }
            SinkConfig::MySql(mysql) => match &mysql.socket {
                Some(socket) => format!("mysql:{}/{}", socket.display(), mysql.database),
                None => format!("mysql:{}:{}/{}", mysql.host.to_lowercase(), mysql.port, mysql.database),
            },
        }
    }
}

/// The keys that a SQLite file has no use for.
const OF_MYSQL: [&str; 6] = ["password_file", "tls", "ca_file", "client_cert", "client_key", "migrate"];

/// Reads the section; `None` if there is a problem, which is reported.
pub fn sink(root: &Table<'_, '_>, state_dir: &Path) -> Option<SinkConfig> {
    let document = root.document;
    root.section("sink", |table| {
        let url = table.and_then(|t| t.string("url"));
        for key in ["url", "password_file", "ca_file", "client_cert", "client_key"] {
            table.iter().for_each(|table| table.warn_of_dollars(key));
        }
        let keys = MySqlKeys {
            password_file: table.and_then(|t| path(t, "password_file")),
            tls: table.and_then(|t| t.string("tls")),
            files: TlsFiles {
                ca: table.and_then(|t| path(t, "ca_file")),
                certificate: table.and_then(|t| path(t, "client_cert")),
                key: table.and_then(|t| path(t, "client_key")),
            },
            migrate: migrate(table),
        };
        let address = url.as_ref().map(|url| (url, address(&url.value)));
        let is_sqlite = matches!(address, None | Some((_, Ok(Address::Sqlite(_)))));
        if let (Some(table), true) = (table, is_sqlite) {
            // A url of another type has its own problem.
            for key in OF_MYSQL.into_iter().filter(|key| table.has(key) && (url.is_some() || !table.has("url"))) {
                let message = "is for MySQL: a SQLite file has no use for it; remove it, or set `url`";
                table.problem(key, message);
            }
        }
        match address {
            None => Some(SinkConfig::Sqlite(state_dir.join("summary.db"))),
            Some((_, Ok(Address::Sqlite(path)))) => Some(SinkConfig::Sqlite(path)),
            Some((url, Ok(Address::Server(server)))) => {
                Some(SinkConfig::MySql(Box::new(mysql(document, url, server, keys))))
            }
            Some((url, Err(message))) => {
                document.problem_at(url, message);
                None
            }
        }
    })
}

/// Reads `migrate`: true if tables are made and completed.
fn migrate(table: Option<&Table<'_, '_>>) -> bool {
    let Some((table, at)) = table.and_then(|table| Some((table, table.string("migrate")?))) else { return true };
    match at.value.as_str() {
        "auto" => true,
        "check" => false,
        _ => {
            let message = format!(
                "{:?} is neither: write \"auto\" (tables are made and completed) or \"check\" (they are only looked at)",
                at.value
            );
            table.document.problem_at(&at, message);
            true
        }
    }
}
