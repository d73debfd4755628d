//! What comes back from a MySQL server: statements that it aborted are sent again, and rows are read.

use super::codes::{About, about};
use super::port::{FoundPartial, Names};
use super::sql::times;
use crate::engine::ids::Key;
use mysql_async::{Error, Row, Value};
use std::time::Duration;

/// How often a statement that the server aborted is sent again.
const ABORTED_TRIES_MAX: u32 = 10;

/// Does something, again if the server aborts it to let another statement pass.
pub async fn persistently<T>(mut work: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        match work().await {
            Err(Error::Server(e)) if about(e.code) == About::Conflict && tries < ABORTED_TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20)).await;
            }
            other => return other,
        }
    }
}

/// Takes the row out of an answer that shows that it is whole: its first column, which no table has empty, is NULL. Returns
/// whether it was there, too.
pub fn without_mark(mut rows: Vec<Row>) -> (Vec<Row>, bool) {
    let before = rows.len();
    rows.retain(|row| row.as_ref(0) != Some(&Value::NULL));
    let is_whole = rows.len() + 1 == before;
    (rows, is_whole)
}

/// Reads a partial with a key of so many tags from the columns of [`super::sql::select::select_partials`]; `None` if it is not
/// readable.
pub fn partial(mut row: Row, keys: usize, names: &mut Names) -> Option<FoundPartial> {
    let mut text = |i: usize| row.take_opt::<String, _>(i).and_then(Result::ok);
    let key: Key = (0..keys).map(&mut text).collect::<Option<_>>()?;
    let window_start = times::parse_datetime(&text(keys)?)?;
    let (writer, run) = (names.shared(&text(keys + 1)?), names.shared(&text(keys + 2)?));
    let rev = row.take_opt::<u64, _>(keys + 3)?.ok()?;
    let state = row.take_opt::<Option<String>, _>(keys + 4)?.ok()?;
    Some(FoundPartial { key, window_start, writer, run, rev, state })
}
