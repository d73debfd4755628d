//! A SQLite file: whether it can be made and written by the user that looks, and what its disk is like.

use super::place::{self, SUBJECT};
use super::tables;
use crate::engine::schema::Schema;
use crate::finding::{Finding, Weight};
use crate::sink::port::Sink;
use crate::sink::sqlite::Sqlite;
use std::path::{Path, PathBuf};

/// Returns what is to be said of a SQLite file.
pub fn probe(path: &Path, schema: &Schema) -> Vec<Finding> {
    let mut out = Vec::new();
    if path.is_dir() {
        out.push(Finding::failure(
            SUBJECT,
            format!("{} is a folder", path.display()),
            "name a file in it: url = \"sqlite:///.../summary.db\"",
        ));
        return out;
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    out.extend(place::rights(path, &folder));
    out.extend(place::disk(&folder));
    let is_readable = !out.iter().any(|f| f.weight == Weight::Failure && f.text.contains("cannot be read"));
    if is_readable {
        let mut sink = Sqlite::new(path.to_path_buf());
        out.extend(tables::findings(sink.inspect(schema)));
    }
    out
}
