//! When another run may begin: behind a gap of the journal, but not behind every one.
//!
//! The lines behind a gap are another run's. A disk that fails and recovers again and again would make a run each time,
//! and each run is a row in the sink for every window that it has a point of. So a new run waits for a pause, which
//! doubles with each; meanwhile lines are counted and not journaled, and checkpoints protect them.
//!
//! Invariant: between two runs lies at least the pause, also where the clock is set back; the pause is a minute to an
//! hour.

/// The first pause between two runs, in nanoseconds.
const PAUSE_FIRST: i64 = 60 * 1_000_000_000;
/// The longest pause.
const PAUSE_MAX: i64 = 3_600 * 1_000_000_000;
/// After so long without a new run, pauses are short again.
const CALM_AFTER: i64 = 24 * 3_600 * 1_000_000_000;

/// Decides when the next run may begin.
#[derive(Debug, Default)]
pub struct RunPace {
    /// When the last run began that was not the first one of the process.
    last: Option<i64>,
    pause: i64,
}

impl RunPace {
    /// True if a run may begin at `now` (nanoseconds since the epoch), which is noted.
    pub fn may_begin(&mut self, now: i64) -> bool {
        let Some(last) = self.last else {
            (self.last, self.pause) = (Some(now), PAUSE_FIRST);
            return true;
        };
        let since = now.saturating_sub(last);
        if since < 0 {
            // The clock was set back.
            self.last = Some(now);
            return false;
        }
        if since < self.pause {
            return false;
        }
        self.pause = if since >= CALM_AFTER { PAUSE_FIRST } else { (self.pause * 2).min(PAUSE_MAX) };
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that recovers every second for a month.
    #[test]
    fn runs_are_bounded() {
        let (mut pace, mut runs) = (RunPace::default(), 0);
        for second in 0..30 * 24 * 3_600 {
            runs += u32::from(pace.may_begin(second * 1_000_000_000));
        }
        assert!((720..730).contains(&runs), "about one an hour: {runs}");
    }

    #[test]
    fn after_a_calm_day_the_next_gap_ends_at_once() {
        let mut pace = RunPace::default();
        assert!(pace.may_begin(0));
        assert!(!pace.may_begin(PAUSE_FIRST - 1));
        assert!(pace.may_begin(PAUSE_FIRST));
        assert!(pace.may_begin(PAUSE_FIRST + CALM_AFTER));
        assert!(pace.may_begin(2 * PAUSE_FIRST + CALM_AFTER));
        assert!(!pace.may_begin(0), "set back");
        assert!(!pace.may_begin(PAUSE_FIRST));
        assert!(pace.may_begin(2 * PAUSE_FIRST));
    }
}
