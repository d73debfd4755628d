//! Windows of a device without a sample: which of them need a row that says so.

use super::device::{Device, EMPTY};
use crate::engine::ids::ZoneIndex;
use crate::engine::schema::GapRule;
use crate::engine::zone::{SECOND, Span, Zone};
use std::sync::Arc;

/// 2001-01-01. A clock that has lost its time begins in 1970, 1980 or 2000, so a sample before this tells when nothing was
/// measured no more than it tells when it was: no row follows it.
const CLOCKS_BEGIN: i64 = 978_307_200 * SECOND;

/// A window without a sample that needs a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub span: Span,
    /// The zone that cuts it: that of the window before. An index in the engine.
    pub zone: ZoneIndex,
    pub is_final: bool,
}

impl Device {
    /// Lists the windows without a sample that need an empty row: they have ended, and start less than the horizon after
    /// the newest point before them. Calls `empty` with each, until it returns false.
    pub fn empty_windows(&self, zones: &[Arc<Zone>], rule: GapRule, mut empty: impl FnMut(Gap) -> bool) {
        if rule.horizon == 0 || (self.windows.is_empty() && self.forgotten.is_none()) {
            return;
        }
        let (mut newest, mut zone) = (None, self.zone);
        let mut cursor = self.filled_until;
        for window in self.windows.iter().filter(|window| window.newest != EMPTY) {
            let until = window.span.start;
            if !self.fill((newest, zone), cursor..until, zones, rule, &mut empty) {
                return;
            }
            cursor = cursor.max(window.span.end);
            (newest, zone) = (newest.max(Some(window.newest)), window.zone);
        }
        self.fill((newest, zone), cursor..i64::MAX, zones, rule, &mut empty);
    }

    /// Lists those of a stretch of time without a window in memory; what is known of the windows before it is the newest point and
    /// the zone. False if no more are wanted.
    fn fill(
        &self,
        (mut newest, index): (Option<i64>, ZoneIndex),
        stretch: std::ops::Range<i64>,
        zones: &[Arc<Zone>],
        rule: GapRule,
        empty: &mut impl FnMut(Gap) -> bool,
    ) -> bool {
        let (mut cursor, until) = (stretch.start, stretch.end);
        let zone = &zones[index.at()];
        while cursor < until {
            // Points of windows that have left memory, as far as they lie before.
            let left = [self.filled_after, self.forgotten];
            newest = left.into_iter().flatten().filter(|at| *at < cursor).max().max(newest);
            if newest.is_some_and(|at| at >= CLOCKS_BEGIN && cursor.saturating_sub(at) < rule.horizon) {
                let span = Span { start: cursor, end: zone.hour(cursor).end.min(until) };
                if span.end > rule.now {
                    return true;
                }
                let is_final = span.end.saturating_add(rule.allowed) <= rule.now;
                if (is_final || span.start >= self.filled_provisionally) && !empty(Gap { span, zone: index, is_final })
                {
                    return false;
                }
                cursor = span.end;
            } else {
                // A window that has left memory, and lies in the stretch, has a gap of its own behind it.
                let Some(at) = self.forgotten.filter(|at| *at >= cursor) else { return true };
                cursor = zone.hour(at).end;
            }
        }
        true
    }

    /// Notes that the row of a window of [`Device::empty_windows`] has been written.
    pub fn acknowledge_empty(&mut self, span: Span, is_final: bool) {
        if is_final {
            self.filled_until = self.filled_until.max(span.end);
        }
        self.filled_provisionally = self.filled_provisionally.max(span.end);
    }

    /// Notes that a window was opened, or opened again: what follows it may need its row anew.
    pub(super) fn unfill(&mut self, start: i64) {
        self.filled_until = self.filled_until.min(start);
        self.filled_provisionally = self.filled_provisionally.min(start);
        self.filled_after = self.filled_after.filter(|at| *at < start);
    }

    /// Notes that a window leaves memory, whose newest point is `newest`: it needs no empty row, here or later.
    pub(super) fn leave_filled(&mut self, span: Span, newest: i64) {
        for filled in [&mut self.filled_until, &mut self.filled_provisionally] {
            if span.contains(*filled) {
                *filled = span.end;
            }
        }
        if span.end <= self.filled_until {
            self.filled_after = self.filled_after.max(Some(newest));
        }
    }
}
