//! Everything that is wrong with a configuration, at once: each problem with its line, its path and the remedy.

use std::fmt;

/// One thing to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// Where in the document: `summary[0].column[2].method`.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "line {}: {}", self.line, self.message)
        } else {
            write!(f, "line {}: {}: {}", self.line, self.path, self.message)
        }
    }
}

/// The problems of one configuration, in order of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// So many problems are shown; who corrects them will meet the others.
const SHOWN_MAX: usize = 20;

impl Problems {
    /// Returns how many there are, in words: `1 problem`, `2 problems`.
    pub fn count(&self) -> String {
        let count = self.0.len();
        format!("{count} problem{}", if count == 1 { "" } else { "s" })
    }

    /// Returns the lines that people are shown: the first 20, and how many more there are.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.0.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
        let more = self.0.len().saturating_sub(SHOWN_MAX);
        lines.extend((more > 0).then(|| format!("and {more} more: correct these first")));
        lines
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Problems {}
