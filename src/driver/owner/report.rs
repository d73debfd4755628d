//! What the log says of lines that were not counted.
//!
//! Invariant: the log says each count once; `seen` is what it has said.

use super::figures::Figures;
use crate::engine::Counters;

/// After this time without a match the log says what arrives instead.
const NO_MATCH_AFTER: i64 = 300 * 1_000_000_000;

/// Says what was not counted since it said so last, and why.
#[derive(Debug)]
pub struct LossReport {
    started: i64,
    seen: Counters,
    has_matched: bool,
}

impl LossReport {
    /// Begins at `started`, in nanoseconds since the epoch.
    pub fn new(started: i64) -> LossReport {
        LossReport { started, seen: Counters::default(), has_matched: false }
    }

    /// Compares figures with the last ones.
    pub fn look(&mut self, figures: &Figures, now: i64) {
        let counters = figures.counters;
        for (reason, before) in counters.reasons().zip(self.seen.reasons()) {
            let count = reason.count.saturating_sub(before.count);
            if let Some(sentence) = reason.sentence.filter(|_| count > 0) {
                log::warn!("in the last minute {count} {sentence}");
            }
        }
        self.seen = counters;
        self.has_matched |= counters.matched > 0;
        if !self.has_matched && counters.lines > 0 && now - self.started > NO_MATCH_AFTER {
            log::warn!(
                "no line has matched a source for {} minutes; seen were for example {}; compare with the sources by \
                 `telegraf-rollup check --explain LINE`",
                (now - self.started) / 60_000_000_000,
                figures.unmatched.join("  ")
            );
            // Once is enough.
            self.has_matched = true;
        }
    }
}
