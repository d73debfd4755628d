//! What the tokens of line protocol are: values, and where they end.

/// The value of a field, as typed on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A decimal number without suffix; always finite.
    Float(f64),
    /// A number with the suffix `i`.
    Integer(i64),
    /// A number with the suffix `u`.
    Unsigned(u64),
    /// One of the ten spellings of true and false.
    Boolean(bool),
    /// The raw bytes between the quotes, escapes included. See [`unescape_string`].
    Text(&'a [u8]),
}

/// True for a byte that separates sections.
pub(super) const fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c)
}

/// The offset of the byte that a parser stuck at `at` has in hand: a CR without its LF is seen one byte late.
#[inline]
pub(super) fn stuck(line: &[u8], at: usize) -> usize {
    if line.get(at) == Some(&b'\r') { at + 1 } else { at }
}

/// True if a value may end at `p`: before a comma, a blank, a newline, or at the end of the slice.
#[inline]
pub(super) fn value_ends(line: &[u8], p: usize) -> bool {
    match line.get(p) {
        None | Some(b',' | b' ' | b'\n' | b'\t' | 0x0b | 0x0c) => true,
        Some(b'\r') => line.get(p + 1) == Some(&b'\n'),
        Some(_) => false,
    }
}

/// True if the bytes of a field key stand for themselves: on the wire, its end is where an equals sign follows them.
pub fn is_plain_key(key: &[u8]) -> bool {
    let special = |b: &u8| matches!(b, b'\\' | b'=' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    !key.is_empty() && !key.iter().any(special)
}

fn unescape(token: &[u8], escaped: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(token.len());
    let mut rest = token;
    while let Some((&b, tail)) = rest.split_first() {
        match tail.split_first() {
            Some((next, after)) if b == b'\\' && escaped.contains(next) => {
                out.push(*next);
                rest = after;
            }
            _ => {
                out.push(b);
                rest = tail;
            }
        }
    }
    out
}

/// Decodes a measurement: only `\,` and `\ ` are escapes.
pub fn unescape_measurement(token: &[u8]) -> Vec<u8> {
    unescape(token, b", ")
}

/// Decodes a tag key, a tag value or a field key: `\,`, `\ ` and `\=` are escapes. As in Telegraf, `\"` becomes `"` too,
/// but only in a token that holds a comma, a space or an equals sign.
pub fn unescape_token(token: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'\\', token).is_none() {
        return token.to_vec();
    }
    if memchr::memchr3(b',', b' ', b'=', token).is_some() { unescape(token, b",\" =") } else { token.to_vec() }
}

/// Decodes the inside of a quoted string: `\"` and `\\` are the only escapes.
pub fn unescape_string(text: &[u8]) -> Vec<u8> {
    unescape(text, b"\"\\")
}
