//! Line protocol, one line at a time, exactly as Telegraf's own parser reads it.
//!
//! The norm is Telegraf's stream parser (a state machine), not the documentation of line protocol: the two differ, and
//! what Telegraf rejects downstream must not be counted here. `tests/vectors.rs` holds this file to rows that were run
//! on that parser.
//!
//! Two users share the scanner. [`crate::engine::line::frame`] asks only where a line ends, because a quoted string may
//! hold raw newlines and an error makes the rest of the physical line void, quotes included. [`decode`] and [`fields`]
//! ask what the line says.
//!
//! Invariants: no byte of the input is copied unless a token holds an escape; every position that is returned lies
//! inside the slice that was given.

use super::number;
use super::token::{Value, is_blank, stuck, value_ends};
use std::ops::Range;

/// How a line, or the part of it that was asked for, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The line is well formed and ends before this offset (its newline is included).
    Complete(usize),
    /// The line is malformed. It ends after the first newline at or after this offset.
    Rejected(usize),
    /// A quoted string is still open at the end of the slice.
    Open(OpenString),
    /// A quoted string was closed before this offset, and no newline has arrived behind it.
    Closed(usize),
}

/// Where to go on when more bytes of an open string have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenString {
    /// The first byte of the string that has not been judged yet.
    pub at: usize,
}

/// Receives what [`scan_fields`] finds.
pub trait Visit<'a> {
    /// The raw (still escaped) key of a field, which has no backslash if `is_plain`. True if its value is wanted; any other
    /// one is checked, but not read.
    fn wants(&mut self, key: &'a [u8], is_plain: bool) -> bool;
    /// The offset of the equals sign behind the key at `at`, if the visitor knows the key by its bytes; it is wanted then.
    #[inline]
    fn expects(&mut self, line: &'a [u8], at: usize) -> Option<usize> {
        let _ = (line, at);
        None
    }
    /// The value of the field that was wanted last.
    fn value(&mut self, value: Value<'a>);
    /// The timestamp in nanoseconds since the epoch, if the line carries one.
    fn timestamp(&mut self, at: i64);
    /// A quoted string was closed before `at`. False ends the scan there: what follows may not have arrived yet.
    fn go_on(&mut self, line: &'a [u8], at: usize) -> bool {
        let _ = (line, at);
        true
    }
}

/// The visitor of framing: wants nothing, and stops behind a string until its line's newline has arrived. Every other
/// token lies before a newline that is known.
struct Framing {
    /// No newline was needed beyond this offset so far.
    newline: usize,
}

impl<'a> Visit<'a> for Framing {
    fn wants(&mut self, _: &'a [u8], _: bool) -> bool {
        false
    }
    fn value(&mut self, _: Value<'a>) {}
    fn timestamp(&mut self, _: i64) {}
    fn go_on(&mut self, line: &'a [u8], at: usize) -> bool {
        if at > self.newline {
            match memchr::memchr(b'\n', &line[at..]) {
                Some(n) => self.newline = at + n,
                None => return false,
            }
        }
        true
    }
}

/// Skips the blanks that may stand before a line and between its sections.
#[inline]
pub fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while at < line.len() && is_blank(line[at]) {
        at += 1;
    }
    at
}

/// True if a newline (LF or CRLF) or the end of the slice stands at `at`; returns the offset behind it.
#[inline]
fn line_end(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at) {
        None => Some(at),
        Some(b'\n') => Some(at + 1),
        Some(b'\r') if line.get(at + 1) == Some(&b'\n') => Some(at + 2),
        Some(_) => None,
    }
}

/// True for a line without a point: blank, or a comment.
pub fn is_empty_line(line: &[u8]) -> bool {
    let at = skip_blanks(line, 0);
    line.get(at) == Some(&b'#') || line_end(line, at).is_some() || line[at..] == *b"\r"
}

/// Finds the end of the measurement that starts at `at`: the offset of the byte behind it.
fn measurement_end(line: &[u8], at: usize) -> Result<usize, usize> {
    let mut p = at;
    loop {
        match line.get(p) {
            Some(b'\\') => match line.get(p + 1) {
                Some(b'\t' | b'\n' | 0x0b | 0x0c | b'\r') | None => return Err(p + 1),
                Some(_) => p += 2,
            },
            Some(b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) | None => break,
            Some(_) => p += 1,
        }
    }
    if p == at { Err(stuck(line, p)) } else { Ok(p) }
}

/// Finds the end of a tag key or a tag value that starts at `at`.
///
/// In tags a backslash before a backslash stands for itself, and the second one may still escape what follows.
fn tag_token_end(line: &[u8], at: usize) -> Result<usize, usize> {
    let mut p = at;
    loop {
        p = plain_end(line, p);
        match line.get(p) {
            Some(b'\\') => match line.get(p + 1) {
                Some(b'\t' | b'\n' | 0x0b | 0x0c | b'\r') | None => return Err(p + 1),
                Some(b'\\') => p += 1,
                Some(_) => p += 2,
            },
            Some(b',' | b'=' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) | None => break,
            Some(_) => p += 1,
        }
    }
    if p == at { Err(stuck(line, p)) } else { Ok(p) }
}

/// Finds the end of a field key that starts at `at`; true with it if no backslash is in the key for certain.
#[inline]
fn field_key_end(line: &[u8], at: usize) -> Result<(usize, bool), usize> {
    // Most keys hold nothing but letters: they are passed eight at a time.
    let p = plain_end(line, at);
    if p > at && line.get(p) == Some(&b'=') {
        return Ok((p, true));
    }
    field_key_end_by_rule(line, at, p).map(|end| (end, false))
}

/// Goes on to the first byte that may have a meaning in a key or a tag, or to the last few bytes of the slice.
#[inline]
fn plain_end(line: &[u8], mut p: usize) -> usize {
    while let Some(eight) = line.get(p..).and_then(|rest| rest.first_chunk::<8>()) {
        let count = first_special(u64::from_le_bytes(*eight));
        p += count;
        if count < 8 {
            break;
        }
    }
    p
}

/// How many of eight bytes stand before the first one that may have a meaning in a key or a tag: before a comma, an equals
/// sign, a backslash, or anything up to a space.
#[inline]
fn first_special(eight: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The highest bit of a byte is set if the byte is below `n`; above the first such byte more of them may be.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let equal = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    let special = below(eight, 0x21) | equal(b',') | equal(b'=') | equal(b'\\');
    (special & (ONES << 7)).trailing_zeros() as usize / 8
}

/// The same, byte by byte: `p` is where to go on.
fn field_key_end_by_rule(line: &[u8], at: usize, mut p: usize) -> Result<usize, usize> {
    loop {
        match line.get(p) {
            Some(b'\\') => match line.get(p + 1) {
                Some(b'\t' | b'\n' | 0x0b | 0x0c | b'\r') | None => return Err(p + 1),
                Some(_) => p += 2,
            },
            Some(b'=') if p > at => return Ok(p),
            Some(b'=' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) | None => return Err(stuck(line, p)),
            Some(_) => p += 1,
        }
    }
}

/// Walks over measurement and tags from `at`: the offset of the blank behind them.
///
/// `tag` is told where the raw key and value of every tag stand.
pub(super) fn head_end(
    line: &[u8],
    at: usize,
    mut tag: impl FnMut(Range<usize>, Range<usize>),
) -> Result<(usize, usize), usize> {
    if line.get(at) == Some(&b'#') {
        return Err(at);
    }
    let name_end = measurement_end(line, at)?;
    let mut p = name_end;
    while line.get(p) == Some(&b',') {
        let key_at = p + 1;
        let key_end = tag_token_end(line, key_at)?;
        if line.get(key_end) != Some(&b'=') {
            return Err(stuck(line, key_end));
        }
        let value_at = key_end + 1;
        let value_end = tag_token_end(line, value_at)?;
        if line.get(value_end) == Some(&b'=') {
            return Err(value_end);
        }
        tag(key_at..key_end, value_at..value_end);
        p = value_end;
    }
    match line.get(p) {
        Some(&b) if is_blank(b) => Ok((name_end, p)),
        _ => Err(stuck(line, p)),
    }
}

fn boolean<'a>(line: &'a [u8], at: usize) -> Result<(Value<'a>, usize), usize> {
    let mut p = at;
    while p < line.len() && line[p].is_ascii_alphabetic() && p - at < 6 {
        p += 1;
    }
    let value = match &line[at..p] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => true,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => false,
        word => {
            // The parser is stuck where the word stops being the beginning of a spelling that it knows.
            const WORDS: [&[u8]; 6] = [b"true", b"True", b"TRUE", b"false", b"False", b"FALSE"];
            let known = WORDS.iter().map(|w| w.iter().zip(word).take_while(|(a, b)| a == b).count()).max();
            return Err(stuck(line, at + known.unwrap_or(0)));
        }
    };
    if value_ends(line, p) { Ok((Value::Boolean(value), p)) } else { Err(stuck(line, p)) }
}

/// Walks through a quoted string from `at` (behind the opening quote): the offset of the closing quote.
fn string_end(line: &[u8], at: usize) -> Result<usize, End> {
    let mut p = at;
    loop {
        match line.get(p) {
            None => return Err(End::Open(OpenString { at: p })),
            Some(b'"') => return Ok(p),
            Some(b'\\') => match line.get(p + 1) {
                Some(b'"' | b'\\') => p += 2,
                None => return Err(End::Open(OpenString { at: p })),
                Some(_) => return Err(End::Rejected(p + 1)),
            },
            Some(_) => p += 1,
        }
    }
}

/// Reads the fields and the timestamp from `at`, which is behind the blanks that follow the head.
pub fn scan_fields<'a, V: Visit<'a>>(line: &'a [u8], at: usize, visit: &mut V) -> End {
    let mut p = at;
    loop {
        let key_at = p;
        let (key_end, wanted) = match visit.expects(line, key_at) {
            Some(end) => (end, true),
            None => match field_key_end(line, key_at) {
                Ok((end, is_plain)) => (end, visit.wants(&line[key_at..end], is_plain)),
                Err(at) => return End::Rejected(at),
            },
        };
        let value_at = key_end + 1;
        // Nearly every value is a number that goes the short way.
        let short = match line.get(value_at) {
            Some(b'-' | b'.' | b'0'..=b'9') if !wanted => number::skip(line, value_at),
            Some(b'-' | b'.' | b'0'..=b'9') => number::quick(line, value_at).map(|(value, end)| {
                visit.value(value);
                end
            }),
            _ => None,
        };
        let end = match short {
            Some(end) => end,
            None => match scan_value(line, value_at, wanted, visit) {
                Ok(end) => end,
                Err(end) => return end,
            },
        };
        if line.get(end) == Some(&b',') {
            p = end + 1;
            continue;
        }
        return scan_timestamp(line, end, visit);
    }
}

/// Reads a value of any kind, by the rule: the offset behind it.
fn scan_value<'a, V: Visit<'a>>(line: &'a [u8], at: usize, wanted: bool, visit: &mut V) -> Result<usize, End> {
    let read = match line.get(at) {
        Some(b'"') => {
            let close = string_end(line, at + 1)?;
            if !visit.go_on(line, close + 1) {
                return Err(End::Closed(close + 1));
            }
            Ok((Value::Text(&line[at + 1..close]), close + 1))
        }
        Some(b'-' | b'.' | b'0'..=b'9') => number::by_rule(line, at),
        Some(b't' | b'T' | b'f' | b'F') => boolean(line, at),
        _ => Err(stuck(line, at)),
    };
    let (value, end) = read.map_err(End::Rejected)?;
    if wanted {
        visit.value(value);
    }
    Ok(end)
}

/// Reads on behind the closing quote of a string that was open: more fields, or the timestamp.
pub fn scan_after_string(line: &[u8], at: usize) -> End {
    let mut framing = Framing { newline: at };
    if line.get(at) == Some(&b',') {
        scan_fields(line, at + 1, &mut framing)
    } else {
        scan_timestamp(line, at, &mut framing)
    }
}

/// Reads on inside a string that was open. `Ok` is the offset behind the closing quote.
pub fn scan_open_string(line: &[u8], open: OpenString) -> Result<usize, End> {
    string_end(line, open.at).map(|close| close + 1)
}

#[inline]
fn scan_timestamp<'a, V: Visit<'a>>(line: &'a [u8], at: usize, visit: &mut V) -> End {
    // Nearly every line ends like this.
    if let Some([b' ', digits @ .., b'\n']) = line.get(at..)
        && let Ok(digits) = <&[u8; 19]>::try_from(digits)
        && let Some(at) = number::nineteen(digits)
    {
        visit.timestamp(at);
        return End::Complete(line.len());
    }
    let p = skip_blanks(line, at);
    if let Some(end) = line_end(line, p) {
        return End::Complete(end);
    }
    if p == at || !matches!(line[p], b'-' | b'0'..=b'9') {
        return End::Rejected(stuck(line, p));
    }
    let digits_at = p + usize::from(line[p] == b'-');
    let (magnitude, digits) = number::digits(line, digits_at, 0);
    if digits == digits_at || digits - digits_at > number::DIGITS_SAFE {
        return End::Rejected(stuck(line, digits.min(digits_at + number::DIGITS_SAFE)));
    }
    let close = skip_blanks(line, digits);
    let Some(end) = line_end(line, close) else {
        return End::Rejected(stuck(line, close));
    };
    // Up to 19 digits as nanoseconds; not all of them fit.
    let at = if p < digits_at { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    match at {
        Some(at) => {
            visit.timestamp(at);
            End::Complete(end)
        }
        None => End::Rejected(digits),
    }
}

/// Scans a line for its end alone. The slice must hold at least one newline.
pub fn scan_line(line: &[u8]) -> End {
    let at = skip_blanks(line, 0);
    if line.get(at) == Some(&b'#') {
        return End::Complete(memchr::memchr(b'\n', &line[at..]).map_or(line.len(), |n| at + n + 1));
    }
    if let Some(end) = line_end(line, at) {
        return End::Complete(end);
    }
    match head_end(line, at, |_, _| ()) {
        Ok((_, blank)) => scan_fields(line, skip_blanks(line, blank), &mut Framing { newline: 0 }),
        Err(at) => End::Rejected(at),
    }
}
