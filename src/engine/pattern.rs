//! Exact or glob patterns for measurements and tag values, as in Telegraf's own filters.
//!
//! A pattern matches the value that is spelled like it, byte for byte, even if it holds glob characters: HWiNFO's
//! `CPU [#0]: …` must be usable as it is. Otherwise `*`, `?`, `[abc]`, `[!abc]` and `{a,b}` work as globs in which `*`
//! crosses every character.

use std::fmt;

/// A pattern, compiled.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    glob: Option<regex::bytes::Regex>,
}

impl Pattern {
    /// Compiles a pattern. Text that is not a valid glob is matched literally.
    pub fn new(text: &str) -> Pattern {
        let glob = if text.contains(['*', '?', '[', '{']) {
            globset::GlobBuilder::new(text)
                .literal_separator(false)
                .backslash_escape(true)
                .build()
                .ok()
                .and_then(|glob| regex::bytes::Regex::new(glob.regex()).ok())
        } else {
            None
        };
        Pattern { text: text.to_string(), glob }
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if the value is matched.
    pub fn matches(&self, value: &[u8]) -> bool {
        value == self.text.as_bytes() || self.glob.as_ref().is_some_and(|glob| glob.is_match(value))
    }
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
        assert!(Pattern::new("{a,b}c").matches(b"bc"));
        assert!(Pattern::new("x[!0-9]").matches(b"xa") && !Pattern::new("x[!0-9]").matches(b"x1"));
        assert!(!Pattern::new("cpu").matches(b"cpu0") && !Pattern::new("CPU").matches(b"cpu"));
        assert!(Pattern::new("[broken").matches(b"[broken"));
    }
}
