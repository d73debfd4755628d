//! The head of a line: measurement and tags, which identify its series.

use super::scan::{head_end, skip_blanks};
use super::token::{unescape_measurement, unescape_token};
use std::fmt;
use std::ops::Range;

/// Longest head that is shown to people, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Measurement and tags of a line, decoded. Tags are sorted by key; of a repeated key the last value wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Head {
    pub measurement: Vec<u8>,
    pub tags: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Head {
    /// The decoded value of a tag.
    pub fn tag(&self, key: &[u8]) -> Option<&[u8]> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_slice())
    }
}

/// As a line begins with it, for people: without control characters, and cut if it is long.
impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(' ', "\\ ").replace(',', "\\,");
            text.replace(char::is_control, "?")
        };
        let tags = self.tags.iter().map(|(key, value)| format!(",{}={}", text(key), text(value)));
        let all: String = std::iter::once(text(&self.measurement)).chain(tags).collect();
        match all.char_indices().nth(SHOWN_CHARS_MAX) {
            Some((end, _)) => write!(out, "{}...", &all[..end]),
            None => out.write_str(&all),
        }
    }
}

/// Walks over the head of a line: where its measurement stands, and the offset of the first field. `tag` is told where key
/// and value of every tag stand.
///
/// # Errors
/// The offset at which Telegraf's parser would give up.
pub fn split_head(line: &[u8], tag: impl FnMut(Range<usize>, Range<usize>)) -> Result<(Range<usize>, usize), usize> {
    let at = skip_blanks(line, 0);
    let (name_end, blank) = head_end(line, at, tag)?;
    Ok((at..name_end, skip_blanks(line, blank)))
}

/// Decodes the head of a line: the head, and the offset of the first field.
///
/// # Errors
/// The offset at which Telegraf's parser would give up.
pub fn decode_head(line: &[u8]) -> Result<(Head, usize), usize> {
    let mut tags: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let tag = |k, v| tags.push((unescape_token(&line[k]), unescape_token(&line[v])));
    let (measurement, fields_at) = split_head(line, tag)?;
    // A stable sort keeps the arrival order within a key, so the last of equal keys is the last that arrived.
    tags.sort_by(|a, b| a.0.cmp(&b.0));
    let mut unique: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(tags.len());
    for tag in tags {
        match unique.last_mut() {
            Some(last) if last.0 == tag.0 => *last = tag,
            _ => unique.push(tag),
        }
    }
    Ok((Head { measurement: unescape_measurement(&line[measurement]), tags: unique }, fields_at))
}

/// The offset of the first blank that no backslash escapes, if the line has the plain form that nearly every line has:
/// no leading blank, sections separated by a space.
///
/// The bytes before it identify a series without being decoded: the cache key of [`crate::engine::series::plan`].
#[inline]
pub fn plain_head_end(line: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b' ', b'\n', &line[from..])?;
        if line[at] == b'\n' || at == 0 {
            return None;
        }
        // A run of backslashes before the blank: only an odd one escapes in a measurement; in a tag the last backslash
        // always does. Both readings agree on "not escaped" if there is no backslash at all.
        if line[at - 1] != b'\\' {
            return Some(at);
        }
        from = at + 1;
    }
}
