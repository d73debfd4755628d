//! `[sink]`: where rows go.

use super::mysql::{MySql, TlsFiles, mysql};
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
                format!("MySQL {}@{}:{}/{}", mysql.user, mysql.host, mysql.port, mysql.database)
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
            SinkConfig::MySql(mysql) => {
                format!("mysql:{}:{}/{}", mysql.host.to_lowercase(), mysql.port, mysql.database)
            }
        }
    }
}

/// Reads the section; `None` if there is a problem, which is reported.
pub fn sink(root: &Table<'_, '_>, state_dir: &Path) -> Option<SinkConfig> {
    let document = root.document;
    root.section("sink", |table| {
        let url = table.and_then(|t| t.string("url"));
        let password_file = table.and_then(|t| t.string("password_file"));
        let tls = table.and_then(|t| t.string("tls"));
        let files = TlsFiles {
            ca: table.and_then(|t| t.string("ca_file")),
            certificate: table.and_then(|t| t.string("client_cert")),
            key: table.and_then(|t| t.string("client_key")),
        };
        let migrate = table.and_then(|t| t.string("migrate"));
        let migrate = match migrate.as_ref().map(|m| m.value.as_str()) {
            None | Some("auto") => true,
            Some("check") => false,
            Some(_) => {
                migrate.iter().for_each(|m| document.problem_at(m, "write \"auto\" or \"check\""));
                true
            }
        };
        let is_mysql = url.as_ref().is_some_and(|url| !url.value.starts_with("sqlite://"));
        if let (Some(table), false) = (table, is_mysql) {
            for key in ["password_file", "tls", "ca_file", "client_cert", "client_key", "migrate"]
                .into_iter()
                .filter(|key| table.has(key))
            {
                let message = "is for MySQL: a SQLite file has no use for it; remove it, or set `url`";
                document.problem(table.offset_of(key), &format!("sink.{key}"), message);
            }
        }
        let Some(url) = url else {
            return Some(SinkConfig::Sqlite(state_dir.join("summary.db")));
        };
        if let Some(path) = url.value.strip_prefix("sqlite://") {
            if path.is_empty() {
                document.problem_at(&url, "a path is missing: write, for example, \"sqlite:///var/lib/x/summary.db\"");
                return None;
            }
            // A drive letter comes with a slash before it: sqlite:///C:/data/summary.db
            let drive = path.strip_prefix('/').filter(|p| p.as_bytes().get(1) == Some(&b':'));
            return Some(SinkConfig::Sqlite(PathBuf::from(drive.unwrap_or(path))));
        }
        mysql(document, &url, password_file, tls, files, migrate).map(|server| SinkConfig::MySql(Box::new(server)))
    })
}
