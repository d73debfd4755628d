//! One line decoded as a whole: the slow path, for commands that show a line and for tests.

use super::head::{Head, decode_head};
use super::scan::{End, OpenString, Visit, is_empty_line, scan_fields};
use super::token::{Value, unescape_token};

/// A decoded line.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a> {
    pub head: Head,
    /// Decoded keys in order of first arrival; of a repeated key the last value and type win.
    pub fields: Vec<(Vec<u8>, Value<'a>)>,
    /// Nanoseconds since the epoch; `None` if the line carries no timestamp.
    pub timestamp: Option<i64>,
}

/// Decodes one line. `Ok(None)` is a blank line or a comment.
///
/// # Errors
/// The offset at which Telegraf's parser would give up.
pub fn decode(line: &[u8]) -> Result<Option<Point<'_>>, usize> {
    struct Collect<'a> {
        key: Vec<u8>,
        fields: Vec<(Vec<u8>, Value<'a>)>,
        timestamp: Option<i64>,
    }
    impl<'a> Visit<'a> for Collect<'a> {
        fn wants(&mut self, key: &'a [u8], _: bool) -> bool {
            self.key = unescape_token(key);
            true
        }
        fn value(&mut self, value: Value<'a>) {
            let key = std::mem::take(&mut self.key);
            match self.fields.iter_mut().find(|(k, _)| *k == key) {
                Some(slot) => slot.1 = value,
                None => self.fields.push((key, value)),
            }
        }
        fn timestamp(&mut self, at: i64) {
            self.timestamp = Some(at);
        }
    }
    if is_empty_line(line) {
        return Ok(None);
    }
    let (head, at) = decode_head(line)?;
    let mut found = Collect { key: Vec::new(), fields: Vec::new(), timestamp: None };
    match scan_fields(line, at, &mut found) {
        End::Complete(_) => Ok(Some(Point { head, fields: found.fields, timestamp: found.timestamp })),
        End::Rejected(at) => Err(at),
        End::Open(OpenString { at }) | End::Closed(at) => Err(at),
    }
}
