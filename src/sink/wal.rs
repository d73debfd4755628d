//! The write-ahead log of a SQLite sink, and how the file stays one that others can read.
//!
//! While rows are written the file has a write-ahead log (WAL): a reader never keeps the writer waiting, nor the writer a
//! reader, however long a query takes. With a rollback journal one transaction that a reader has left open would keep back
//! every row, and dashboards would find the file locked whenever rows are written.
//!
//! But a file with such a log needs two others beside it, `-wal` and `-shm`. Who may not make them, because the folder or the
//! disk is read-only for him, cannot read the file when they are not there; and who has a copy of the file alone lacks what
//! is in the log. Hence:
//!
//! - After each flush the log is copied into the file.
//! - When the file is closed it goes back to a rollback journal: one file, which anybody can read who may read it, and which
//!   stays so when somebody opens and closes it.
//! - A reader who stays in one transaction keeps the log from beginning anew. Rows are written all the same until it is larger
//!   than [`WAL_BYTES_MAX`] and than the file itself; then they wait for that reader.

use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for another process that holds the file.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long it is waited for readers of an older state, so that the log can begin anew ...
const READERS_WAIT: Duration = Duration::from_secs(1);
/// ... and for those that have the file open when it is closed: Telegraf does not wait long.
const CLOSE_WAIT: Duration = Duration::from_millis(300);
/// The log's file is cut to this when it begins anew; a larger one could not begin anew for a while.
const WAL_KEPT_BYTES: u64 = 16 << 20;
/// Nothing is written while the log is larger than this and than the file it belongs to.
pub const WAL_BYTES_MAX: u64 = 64 << 20;

/// Puts an opened file into the state for writing.
///
/// # Errors
/// The file cannot be written, or another program has it in a transaction.
pub fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES as i64)
}

/// Copies what is in the log into the file, as far as readers of older states let it, and begins a large log anew.
///
/// # Errors
/// The disk's; what was committed is in the log.
pub fn settle(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    checkpoint(connection, "PASSIVE")?;
    if size(path).0 <= WAL_KEPT_BYTES {
        return Ok(());
    }
    // Readers that overlap would let it grow for ever: new ones read the file alone by now, and the old ones end soon.
    connection.busy_timeout(READERS_WAIT)?;
    let done = checkpoint(connection, "TRUNCATE");
    connection.busy_timeout(BUSY_WAIT)?;
    done
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    // A column of the answer says whether readers were in the way, which is no error.
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

/// Says how large the log is if it may not grow any more.
pub fn overgrown(path: &Path) -> Option<u64> {
    let (log, file) = size(path);
    (log > WAL_BYTES_MAX.max(file)).then_some(log)
}

/// Bytes of the log and of the file.
fn size(path: &Path) -> (u64, u64) {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let mut log = path.as_os_str().to_os_string();
    log.push("-wal");
    (bytes(&PathBuf::from(log)), bytes(path))
}

/// Leaves one file that holds everything and needs no others beside it. False if another program has it open: then the file
/// holds everything, but keeps its log.
///
/// # Errors
/// The disk's; what was committed is in the log.
pub fn end(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(CLOSE_WAIT)?;
    match connection.pragma_update(None, "journal_mode", "DELETE") {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
            checkpoint(connection, "PASSIVE")?;
            Ok(false)
        }
        Err(e) => Err(e),
    }
}
