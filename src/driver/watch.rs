//! What the log says of lines that were not counted.

use super::shared::Shared;
use crate::engine::Counters;

/// Counters that speak of lost points are looked at this often.
const REPORT_EVERY: i64 = 60 * 1_000_000_000;
/// After this time without a match the log says what arrives instead.
const NO_MATCH_AFTER: i64 = 300 * 1_000_000_000;

/// Says once a minute what was not counted, and why.
pub struct Watch {
    next: i64,
    started: i64,
    seen: Counters,
    matched_once: bool,
}

impl Watch {
    /// Begins at `started`, in nanoseconds since the epoch.
    pub fn new(started: i64) -> Watch {
        Watch { next: started + REPORT_EVERY, started, seen: Counters::default(), matched_once: false }
    }

    /// Looks at the counters, if it is time to.
    pub fn look(&mut self, engine: &Shared, now: i64) {
        if now < self.next && self.next - now <= REPORT_EVERY {
            return;
        }
        self.next = now + REPORT_EVERY;
        let Some((counters, heads)) = engine.with(|e| (e.counters(), e.unmatched_heads().to_vec())) else { return };
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        let (c, s) = (counters, self.seen);
        let reasons = [
            (grown(c.over_limit, s.over_limit), "lines exceed limits.series or limits.devices"),
            (grown(c.late, s.late), "points are older than lateness.max"),
            (grown(c.future, s.future), "points are further in the future than lateness.future: look at that clock"),
            (
                grown(c.unknown_zones, s.unknown_zones),
                "series name an unknown time zone, their windows are cut in `timezone`",
            ),
            (grown(c.no_key, s.no_key), "lines match a source but lack a key tag"),
            (grown(c.conflicts, s.conflicts), "points came again with another value"),
            (grown(c.not_finite, s.not_finite), "values are not finite after scale and offset"),
            (grown(c.malformed, s.malformed), "lines are not line protocol"),
        ];
        for (count, reason) in reasons {
            if count > 0 {
                log::warn!("in the last minute {count} {reason}: forwarded, not counted");
            }
        }
        self.seen = counters;
        self.matched_once |= counters.matched > 0;
        if !self.matched_once && counters.lines > 0 && now - self.started > NO_MATCH_AFTER {
            log::warn!(
                "no line has matched a source for {} minutes; seen were for example {}; compare with the sources by \
                 `telegraf-rollup check --explain LINE`",
                (now - self.started) / 60_000_000_000,
                heads.join("  ")
            );
            // Once is enough: whoever looks at the log finds it.
            self.matched_once = true;
        }
    }
}
