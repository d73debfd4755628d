//! ProgressLine of long work, on stderr, for people: nothing while it takes less than a second, and nothing where nobody looks.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// A line that is written again and again.
pub struct ProgressLine {
    what: &'static str,
    begun: Instant,
    shown: Option<Instant>,
    is_watched: bool,
}

impl ProgressLine {
    /// Begins; `what` says what is being done.
    pub fn new(what: &'static str) -> ProgressLine {
        ProgressLine { what, begun: Instant::now(), shown: None, is_watched: std::io::stderr().is_terminal() }
    }

    /// Shows how much has been done.
    pub fn show(&mut self, done: usize, all: usize) {
        let is_time = self.shown.map_or(self.begun.elapsed() >= PATIENCE, |shown| shown.elapsed() >= EVERY);
        if self.is_watched && is_time {
            self.shown = Some(Instant::now());
            let _ = write!(std::io::stderr(), "\r{}: {done} of {all}\x1b[K", self.what);
        }
    }

    /// Takes the line away.
    pub fn end(self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
