//! Exact or glob patterns for measurements and tag values, as in Telegraf's own filters.
//!
//! A pattern matches the value that is spelled like it, byte for byte, even if it holds glob characters: HWiNFO's
//! `CPU [#0]: …` must be usable as it is. Otherwise `*`, `?`, `[abc]`, `[a-z]`, `[!abc]` and `{a,b}` work as globs in which
//! `*` crosses every character and `\` takes the next one literally. A character is a Unicode character; a byte that is
//! not UTF-8 counts as one.

use regex::Regex;
use std::fmt;

/// A pattern, compiled.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    glob: Option<Regex>,
}

impl Pattern {
    /// Compiles a pattern. Text that is not a valid glob is matched literally.
    pub fn new(text: &str) -> Pattern {
        let is_glob = text.contains(['*', '?', '[']);
        let glob = if is_glob { to_regex(text).and_then(|regex| Regex::new(&regex).ok()) } else { None };
        Pattern { text: text.to_string(), glob }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if the value is matched.
    pub fn matches(&self, value: &[u8]) -> bool {
        value == self.text.as_bytes() || self.glob.as_ref().is_some_and(|glob| glob.is_match(&characters(value)))
    }
}

/// The value as characters: a byte that is not UTF-8 becomes one of a private plane.
fn characters(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(0xf_0000 + u32::from(*b))));
    }
    out
}

/// Translates a glob; `None` if brackets or braces are not closed.
fn to_regex(glob: &str) -> Option<String> {
    let mut out = String::from("(?s)^");
    let mut braces = 0;
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => out.push_str(&regex::escape(&chars.next()?.to_string())),
            '[' => {
                out.push('[');
                let mut first = true;
                loop {
                    match chars.next()? {
                        ']' => break,
                        '!' if first => out.push('^'),
                        '-' => out.push('-'),
                        c => out.push_str(&regex::escape(&c.to_string())),
                    }
                    first = false;
                }
                out.push(']');
            }
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out.push('$');
    (braces == 0).then_some(out)
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_first_then_glob() {
        assert!(Pattern::new("CPU [#0]: AMD").matches(b"CPU [#0]: AMD"));
        assert!(Pattern::new("CPU [#0]: *").matches(b"CPU #: AMD"));
        assert!(Pattern::new("cpu*").matches(b"cpu-total"));
        assert!(Pattern::new("*").matches(b"a/b\\c\xb0"));
        assert!(Pattern::new("core?").matches(b"core7"));
        assert!(!Pattern::new("core?").matches(b"core"));
        assert!(!Pattern::new("{a,b}c").matches(b"bc") && Pattern::new("{a,b}?").matches(b"bc"));
        assert!(Pattern::new("x[!0-9]").matches(b"xa") && !Pattern::new("x[!0-9]").matches(b"x1"));
        assert!(!Pattern::new("cpu").matches(b"cpu0") && !Pattern::new("CPU").matches(b"cpu"));
        assert!(Pattern::new("[broken").matches(b"[broken"));
        assert!(Pattern::new("?C").matches("°C".as_bytes()) && Pattern::new("?C").matches(b"\xb0C"));
        assert!(Pattern::new("a\\*").matches(b"a*") && !Pattern::new("a\\*").matches(b"ab"));
        assert!(Pattern::new("*.{a,b*}").matches(b"x.bc") && !Pattern::new("*.{a,b*}").matches(b"xxa"));
        assert!(Pattern::new("[^a]?").matches(b"^a") && Pattern::new("a[]b").matches(b"a[]b"));
    }
}
