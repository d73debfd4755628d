//! One device of one summary: its open windows and days, and what of them has been written.
//!
//! A window is *due* while its version differs from the one that was acknowledged, or when it has become final and that
//! has not been written. Nothing is queued: what is not acknowledged is what must be sent.
//!
//! A window's partial is in two parts: the *base*, which an earlier process or an earlier stay in memory left behind, and
//! what has been seen since. Both together are the window; only if the sink turns out to have been written by somebody else
//! with the same state (a cloned machine, a restored snapshot) do the parts separate.
//!
//! Invariants: `windows` and `days` are sorted by start and do not overlap; every window lies in one day of `days`.

use super::partial::Partial;
use super::zone::{Span, Zone};
use std::sync::Arc;

/// What a window held before this stay in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// Nothing.
    None,
    /// Possibly something: the stored state has to be asked. Until then the window is not written.
    Unknown,
    /// This, and how many points the sink may have of it under the run that left it.
    Held(Box<Partial>, u64),
}

/// A base window with its partial.
#[derive(Clone, Debug)]
pub struct Window {
    pub span: Span,
    /// What has been seen since the base.
    pub partial: Partial,
    pub base: Base,
    /// The writer under whose name the sink has the window; `None` until it is written first.
    pub writer: Option<Arc<str>>,
    /// Event time of the newest point, pending ones included.
    pub newest: i64,
    /// Raised by every change.
    pub version: u32,
    /// The version that the sink has.
    pub acknowledged: u32,
    /// The sink has the row as final.
    pub final_written: bool,
    /// The sink has had it from this run.
    pub written_by_us: bool,
    /// Changed, in content or in what has been written, since the last checkpoint.
    pub unsaved: bool,
}

impl Window {
    /// An empty window.
    pub fn new(span: Span, newest: i64) -> Window {
        Window {
            span,
            partial: Partial::default(),
            base: Base::None,
            writer: None,
            newest,
            version: 0,
            acknowledged: 0,
            final_written: false,
            written_by_us: false,
            unsaved: true,
        }
    }

    /// Base and partial together.
    pub fn merged(&self) -> Partial {
        match &self.base {
            Base::Held(base, _) => {
                let mut all = (**base).clone();
                all.merge(&self.partial);
                all
            }
            Base::None | Base::Unknown => self.partial.clone(),
        }
    }

    /// True if the sink has all of it, as final.
    pub fn is_done(&self) -> bool {
        self.final_written && self.version == self.acknowledged
    }
}

/// A day that has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub span: Span,
    /// One of its hours has been written since the day's row was.
    pub stale: bool,
    /// The sink has the row as final.
    pub final_written: bool,
}

/// The state of one device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Names the device in stored state.
    pub id: u32,
    pub summary: u16,
    /// The text of the key tags.
    pub key: Vec<String>,
    pub windows: Vec<Window>,
    pub days: Vec<Day>,
    /// Series that feed the device.
    pub series: Vec<u32>,
    /// Where the last point went: the next one most likely goes there too.
    recent: usize,
    /// Up to here, windows without a sample have got their empty row as final.
    pub filled_until: i64,
    /// Up to here, windows without a sample have got an empty row that may still be provisional.
    pub filled_provisionally: i64,
    /// Event time of the newest point in windows that have left memory.
    pub forgotten: Option<i64>,
    /// Windows that start before this may be in stored state without being in memory.
    pub evicted_until: i64,
    /// Changed since the last checkpoint, its windows aside.
    pub unsaved: bool,
}

impl Device {
    pub fn new(id: u32, summary: u16, key: Vec<String>) -> Device {
        Device {
            id,
            summary,
            key,
            windows: Vec::new(),
            days: Vec::new(),
            series: Vec::new(),
            recent: 0,
            filled_until: i64::MAX,
            filled_provisionally: i64::MAX,
            forgotten: None,
            evicted_until: i64::MIN,
            unsaved: true,
        }
    }

    /// The window that holds `at`, if it is in memory.
    #[inline]
    pub fn window(&mut self, at: i64) -> Option<&mut Window> {
        if self.windows.get(self.recent).is_none_or(|w| !w.span.contains(at)) {
            self.recent = self.windows.partition_point(|w| w.span.end <= at);
        }
        self.windows.get_mut(self.recent).filter(|w| w.span.contains(at))
    }

    /// The window that holds `at`, opened if need be.
    #[inline]
    pub fn open(&mut self, at: i64, zone: &Zone) -> &mut Window {
        if self.windows.get(self.recent).is_none_or(|w| !w.span.contains(at)) {
            self.find_or_insert(at, zone);
        }
        &mut self.windows[self.recent]
    }

    fn find_or_insert(&mut self, at: i64, zone: &Zone) {
        self.recent = self.windows.partition_point(|w| w.span.end <= at);
        if self.windows.get(self.recent).is_some_and(|w| w.span.contains(at)) {
            return;
        }
        let span = zone.hour(at);
        let mut window = Window::new(span, at);
        if span.start < self.evicted_until {
            window.base = Base::Unknown;
        }
        self.windows.insert(self.recent, window);
        self.unsaved = true;
        self.filled_until = self.filled_until.min(span.start);
        self.filled_provisionally = self.filled_provisionally.min(span.start);
        self.open_day(at, zone);
    }

    /// The day that holds `at`, opened if need be.
    pub fn open_day(&mut self, at: i64, zone: &Zone) -> &mut Day {
        let place = self.days.partition_point(|d| d.span.end <= at);
        if self.days.get(place).is_none_or(|d| !d.span.contains(at)) {
            self.days.insert(place, Day { span: zone.day(at), stale: false, final_written: false });
        }
        &mut self.days[place]
    }

    /// Lists the windows without a sample that need an empty row: they have ended, and start less than `horizon` after
    /// the newest point before them. Calls `empty` with the window and whether it is final.
    pub fn empty_windows(&self, zone: &Zone, horizon: i64, allowed: i64, now: i64, mut empty: impl FnMut(Span, bool)) {
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
                if is_final || span.start >= self.filled_provisionally {
                    empty(span, is_final);
                }
                cursor = span.end;
            }
        };
        for window in &self.windows {
            if window.span.start >= cursor {
                fill(newest, cursor, window.span.start);
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

    /// Lets go of windows for which `done` is true; they leave memory only.
    pub fn release(&mut self, done: impl Fn(&Window) -> bool) {
        if !self.windows.iter().any(&done) {
            return;
        }
        for window in self.windows.iter().filter(|w| done(w)) {
            self.forgotten = Some(self.forgotten.map_or(window.newest, |n| n.max(window.newest)));
            self.evicted_until = self.evicted_until.max(window.span.end);
        }
        self.windows.retain(|w| !done(w));
        self.recent = 0;
        self.unsaved = true;
    }

    /// Lets go of windows and days that are written as final and can receive no point any more.
    pub fn forget(&mut self, max: i64, now: i64) {
        let Some(limit) = now.checked_sub(max) else { return };
        self.release(|w| w.is_done() && w.span.end < limit && !w.unsaved);
        self.days.retain(|d| d.stale || !d.final_written || d.span.end >= limit);
    }
}
