//! Why stored state could not be used, sorted by the remedy.

use std::io;

/// Why stored state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Written by a newer version of the program: it is set aside, never overwritten.
    #[error("it is of version {found}, this program knows version {known}")]
    Newer { found: i64, known: i64 },
    /// Not a database, one with other tables, or with a page that cannot be read: it never works again.
    #[error("it cannot be read: {0}")]
    Broken(Damage),
    /// It may work later: the disk is full, read-only or failing, or another process has the file.
    #[error("{0}")]
    Database(rusqlite::Error),
    /// A file or folder could not be used; it may work later.
    #[error("{what}: {error}")]
    Io { what: &'static str, error: io::Error },
}

/// What is broken.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("{0}")]
    Database(rusqlite::Error),
    #[error("{what}: {reason}")]
    Value { what: &'static str, reason: String },
}

impl StateError {
    /// A value in the tables that cannot be read.
    pub fn value(what: &'static str, reason: impl ToString) -> StateError {
        StateError::Broken(Damage::Value { what, reason: reason.to_string() })
    }

    /// True if the state never works again as it is.
    pub fn is_broken(&self) -> bool {
        matches!(self, StateError::Broken(_))
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> StateError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StateError::Broken(Damage::Database(error)),
            _ => StateError::Database(error),
        }
    }
}
