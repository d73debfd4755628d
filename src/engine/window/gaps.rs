//! Windows of a device without a sample: which of them need a row that says so.

use super::device::{Device, EMPTY};
use crate::engine::zone::{Span, Zone};

impl Device {
    /// Lists the windows without a sample that need an empty row: they have ended, and start less than `horizon` after
    /// the newest point before them. Calls `empty` with the window and whether it is final, until it returns false.
    pub fn empty_windows(
        &self,
        zone: &Zone,
        horizon: i64,
        allowed: i64,
        now: i64,
        mut empty: impl FnMut(Span, bool) -> bool,
    ) {
        if horizon == 0 || (self.windows.is_empty() && self.forgotten.is_none()) {
            return;
        }
        let mut newest = self.forgotten;
        let mut cursor = self.filled_until;
        let mut fill = |newest: Option<i64>, mut cursor: i64, until: i64| {
            while let Some(newest) = newest
                && cursor < until
                && cursor.saturating_sub(newest) < horizon
            {
                let span = zone.hour(cursor);
                if span.end > now {
                    break;
                }
                let is_final = span.end.saturating_add(allowed) <= now;
                if (is_final || span.start >= self.filled_provisionally) && !empty(span, is_final) {
                    return false;
                }
                cursor = span.end;
            }
            true
        };
        for window in self.windows.iter().filter(|window| window.newest != EMPTY) {
            if window.span.start >= cursor {
                if !fill(newest, cursor, window.span.start) {
                    return;
                }
                cursor = window.span.end;
            }
            newest = Some(newest.map_or(window.newest, |n| n.max(window.newest)));
        }
        fill(newest, cursor, i64::MAX);
    }

    /// Notes that the empty rows of [`Device::empty_windows`] at `now` have been written.
    pub fn acknowledge_empty(&mut self, windows: &[(Span, bool)]) {
        for (span, is_final) in windows {
            if *is_final {
                self.filled_until = self.filled_until.max(span.end);
            }
            self.filled_provisionally = self.filled_provisionally.max(span.end);
        }
    }
}
