//! One device of one summary: its open windows and days, and what of them has been written.
//!
//! A window is *due* while its version differs from the one that was acknowledged, or when it has become final and that
//! has not been written. Nothing is queued: what is not acknowledged is what must be sent.
//!
//! A window consists of parts, one for each run (process) that has seen points of it. A part only grows, and only its own
//! run adds to it; a copy of it, after a restart or on a cloned machine, is a part of the same history. So the
//! sink may keep the longest of all that are written, and nothing is lost or counted twice.
//!
//! Invariants: `windows` and `days` are sorted by start and do not overlap; every window lies in one day of `days`.

use super::past::Past;
use crate::engine::aggregate::partial::Partial;
use crate::engine::ids::{DeviceId, Key, RunIndex, SeriesIndex, SummaryIndex, ZoneIndex};
use crate::engine::schema::Summary;
use crate::engine::zone::{Span, Zone};

/// The id that no device has.
const GONE: DeviceId = DeviceId(0);

/// The event time of the newest point of a window without one.
pub const EMPTY: i64 = i64::MIN;

/// A zone: an index in the engine, and what is there.
pub type ZoneAt<'z> = (ZoneIndex, &'z Zone);

/// What one run has seen of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Index of the run in the engine.
    pub run: RunIndex,
    /// Without the pending points.
    pub partial: Partial,
    /// Raised by every point that the run has taken, has replaced by a later value, or has seen again with another one; pending
    /// ones included.
    pub rev: u64,
    /// The `rev` that the sink has.
    pub acknowledged: u64,
}

impl Part {
    pub fn new(run: RunIndex) -> Part {
        Part { run, partial: Partial::default(), rev: 0, acknowledged: 0 }
    }
}

/// A base window with its parts.
#[derive(Clone, Debug)]
pub struct Window {
    pub span: Span,
    /// The zone that has cut it: an index in the engine. The device may be elsewhere by now.
    pub zone: ZoneIndex,
    /// The part of the run that is at work.
    pub own: Part,
    /// Those of earlier runs.
    pub older: Vec<Part>,
    /// False while stored state may hold more of it: it is not written before that has been looked up.
    pub is_complete: bool,
    /// Event time of the newest point, pending ones included; [`EMPTY`] if there is none.
    pub newest: i64,
    /// A point that was pending has been replaced by one that does not count here: `newest` may be wrong.
    pub may_be_empty: bool,
    /// Raised by every change.
    pub version: u32,
    /// The version that the sink has.
    pub acknowledged: u32,
    /// The sink has the row as final, or is to have none: it holds no sample, and no row of it was ever written.
    pub final_written: bool,
    /// Changed, in content or in what has been written, since the last checkpoint.
    pub unsaved: bool,
    /// A copy of it is on its way to the sink: it does not leave memory before that is settled.
    pub is_pinned: bool,
}

impl Window {
    /// An empty window, for a run to add to.
    pub fn new(span: Span, zone: ZoneIndex, newest: i64, run: RunIndex) -> Window {
        Window {
            span,
            zone,
            own: Part::new(run),
            older: Vec::new(),
            is_complete: true,
            newest,
            may_be_empty: false,
            version: 0,
            acknowledged: 0,
            final_written: false,
            unsaved: true,
            is_pinned: false,
        }
    }

    /// The part of a run, which is made if need be.
    #[inline]
    pub fn part(&mut self, run: RunIndex) -> &mut Part {
        if self.own.run == run { &mut self.own } else { self.older_part(run) }
    }

    fn older_part(&mut self, run: RunIndex) -> &mut Part {
        let place = self.older.iter().position(|part| part.run == run).unwrap_or_else(|| {
            self.older.push(Part::new(run));
            self.older.len() - 1
        });
        &mut self.older[place]
    }

    /// The parts that hold something.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.older.iter().chain(std::iter::once(&self.own)).filter(|part| part.rev > 0)
    }

    /// Another run is at work from now on.
    pub fn begin_run(&mut self, run: RunIndex) {
        let known = self.older.iter().position(|part| part.run == run);
        let next = known.map_or_else(|| Part::new(run), |place| self.older.swap_remove(place));
        let own = std::mem::replace(&mut self.own, next);
        if own.rev > 0 || own.partial.samples > 0 {
            self.older.push(own);
        }
    }

    /// True if it is to be written at `now`: it has changed, or has become final.
    pub fn is_due(&self, allowed: i64, now: i64) -> bool {
        let is_final = self.span.end.saturating_add(allowed) <= now;
        self.is_complete && (self.version != self.acknowledged || (is_final && !self.final_written))
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
    /// The zone that has cut it: an index in the engine. The device may be elsewhere by now.
    pub zone: ZoneIndex,
    /// One of its hours has been written since the day's row was. Stored for days that are final alone: all others are
    /// written once more after a restart.
    pub stale: bool,
    /// The sink has the row as final, or none of its hours has had a row yet.
    pub final_written: bool,
    /// The sum of the acknowledged `rev` of parts of its windows that the sink has in the name of this state: an answer of the sink with less of them is not whole.
    /// It may be less than that sum after a restart, never more.
    pub given: u64,
}

impl Day {
    /// True if no point is expected any more: it has ended, and the allowed lateness has passed.
    pub fn is_over(&self, allowed: i64, now: i64) -> bool {
        self.span.end.saturating_add(allowed) <= now
    }

    /// True if its row is to be written at `now`, before it has ended only if `running` is true.
    pub fn is_due(&self, allowed: i64, now: i64, running: bool) -> bool {
        (self.stale && (running || self.span.end <= now)) || (self.is_over(allowed, now) && !self.final_written)
    }
}

/// The state of one device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Names the device in stored state.
    pub id: DeviceId,
    pub summary: SummaryIndex,
    /// The zone that its newest point names, which cuts windows of points that name none: an index in the engine.
    pub zone: ZoneIndex,
    /// The text of the key tags.
    pub key: Key,
    pub windows: Vec<Window>,
    pub days: Vec<Day>,
    /// Series that feed the device.
    pub series: Vec<SeriesIndex>,
    /// Where the last point went: the next one most likely goes there too.
    recent: usize,
    /// Up to here, windows without a sample have got their empty row as final.
    pub filled_until: i64,
    /// Up to here, windows without a sample have got an empty row that may still be provisional.
    pub filled_provisionally: i64,
    /// Event time of the newest point in windows that have left memory.
    pub forgotten: Option<i64>,
    /// The same of those that end at `filled_until` or before, if it is known.
    pub filled_after: Option<i64>,
    /// Windows that start before this may be in stored state without being in memory.
    pub evicted_until: i64,
    /// What rules with a baseline need of its last windows, in order of start; those in memory count as they are there.
    pub past: Vec<Past>,
    /// Changed since the last checkpoint, its windows aside.
    pub unsaved: bool,
    /// The number of the checkpoint that it was copied for last.
    pub checkpoint: u32,
}

impl Device {
    pub fn new(id: DeviceId, summary: SummaryIndex, key: Key) -> Device {
        Device {
            id,
            summary,
            zone: ZoneIndex(0),
            key,
            windows: Vec::new(),
            days: Vec::new(),
            series: Vec::new(),
            recent: 0,
            filled_until: i64::MAX,
            filled_provisionally: i64::MAX,
            forgotten: None,
            filled_after: None,
            evicted_until: i64::MIN,
            past: Vec::new(),
            unsaved: true,
            checkpoint: 0,
        }
    }

    /// What stands in the place of a device that is gone.
    pub fn gone() -> Device {
        Device { unsaved: false, ..Device::new(GONE, SummaryIndex(0), Key::default()) }
    }

    /// True if the device is gone, and its place is free.
    pub fn is_gone(&self) -> bool {
        self.id == GONE
    }

    /// Reads what the next point will most likely need: a number without a meaning.
    #[inline]
    pub fn touch(&self) -> u64 {
        let Some(window) = self.windows.get(self.recent) else { return 0 };
        let accumulators = &window.own.partial.accumulators;
        let ends = accumulators.first().into_iter().chain(accumulators.last());
        ends.fold(u64::from(window.version) ^ window.own.rev, |sum, a| sum ^ u64::from(a.def.0))
    }

    /// Where the last point went, if that window is still there.
    #[inline]
    pub fn recent(&mut self) -> Option<&mut Window> {
        self.windows.get_mut(self.recent)
    }

    /// The window that holds `at`, if it is in memory.
    #[inline]
    pub fn window(&mut self, at: i64) -> Option<&mut Window> {
        if self.windows.get(self.recent).is_none_or(|w| !w.span.contains(at)) {
            self.recent = self.windows.partition_point(|w| w.span.end <= at);
        }
        self.windows.get_mut(self.recent).filter(|w| w.span.contains(at))
    }

    /// The window that holds `at`, opened for a run if need be.
    #[inline]
    pub fn open(&mut self, at: i64, zone: ZoneAt<'_>, run: RunIndex) -> &mut Window {
        if self.windows.get(self.recent).is_none_or(|w| !w.span.contains(at)) {
            self.find_or_insert(at, zone, run);
        }
        &mut self.windows[self.recent]
    }

    /// The window that holds `at`, if there is one: in memory, or in stored state, which is asked for it later. `None` if
    /// there never was one.
    pub fn known(&mut self, at: i64, zone: ZoneAt<'_>, run: RunIndex) -> Option<&mut Window> {
        if self.window(at).is_none() {
            if at >= self.evicted_until {
                return None;
            }
            // No point comes into it, so no row without a sample is due anew.
            let filled = (self.filled_until, self.filled_provisionally, self.filled_after);
            self.find_or_insert(at, zone, run);
            (self.filled_until, self.filled_provisionally, self.filled_after) = filled;
            self.windows[self.recent].may_be_empty = true;
        }
        self.window(at)
    }

    fn find_or_insert(&mut self, at: i64, zone: ZoneAt<'_>, run: RunIndex) {
        self.recent = self.windows.partition_point(|w| w.span.end <= at);
        if self.windows.get(self.recent).is_some_and(|w| w.span.contains(at)) {
            return;
        }
        // A device that has changed its zone may have windows that were cut in the old one: they stay.
        let mut span = zone.1.hour(at);
        if let Some(before) = self.recent.checked_sub(1).and_then(|place| self.windows.get(place)) {
            span.start = span.start.max(before.span.end);
        }
        if let Some(behind) = self.windows.get(self.recent) {
            span.end = span.end.min(behind.span.start);
        }
        let mut window = Window::new(span, zone.0, at, run);
        window.is_complete = span.start >= self.evicted_until;
        // A device has few windows, and there may be very many devices.
        if self.windows.len() < 4 {
            self.windows.reserve_exact(1);
        }
        self.windows.insert(self.recent, window);
        self.unsaved = true;
        self.unfill(span.start);
        self.open_day(at, zone);
    }

    /// The span of the day that holds `at`: as it is known, or as the zone would cut it beside those that are.
    pub fn day_of(&self, at: i64, zone: &Zone) -> Span {
        let place = self.days.partition_point(|d| d.span.end <= at);
        let behind = self.days.get(place);
        if let Some(day) = behind.filter(|d| d.span.contains(at)) {
            return day.span;
        }
        let mut span = zone.day(at);
        if let Some(before) = place.checked_sub(1).and_then(|place| self.days.get(place)) {
            span.start = span.start.max(before.span.end);
        }
        if let Some(behind) = behind {
            span.end = span.end.min(behind.span.start);
        }
        span
    }

    /// True if no point of the device that is in memory, or is remembered, is newer.
    pub fn is_newest(&self, at: i64) -> bool {
        self.windows.iter().map(|window| window.newest).chain(self.forgotten).all(|known| known <= at)
    }

    /// The day that holds `at`, opened if need be.
    pub fn open_day(&mut self, at: i64, zone: ZoneAt<'_>) -> &mut Day {
        let place = self.days.partition_point(|d| d.span.end <= at);
        if self.days.get(place).is_none_or(|d| !d.span.contains(at)) {
            let span = self.day_of(at, zone.1);
            if self.days.len() < 4 {
                self.days.reserve_exact(1);
            }
            // Nothing of it is due before one of its hours has a row: if all lose their samples first, it gets none either.
            self.days.insert(place, Day { span, zone: zone.0, stale: false, final_written: true, given: 0 });
        }
        &mut self.days[place]
    }

    /// Notes that the row of the day that holds `at` is due.
    pub fn day_changed(&mut self, at: i64, zone: ZoneAt<'_>) {
        let known = self.days.len();
        let day = self.open_day(at, zone);
        day.stale = true;
        self.unsaved |= day.final_written || self.days.len() > known;
    }

    /// The day that holds `at`, if it is known.
    pub fn known_day(&mut self, at: i64) -> Option<&mut Day> {
        let place = self.days.partition_point(|d| d.span.end <= at);
        self.days.get_mut(place).filter(|d| d.span.contains(at))
    }

    /// Lets go of windows for which `done` is true; they leave memory only.
    pub fn release(&mut self, summary: &Summary, done: impl Fn(&Window) -> bool) {
        if !self.windows.iter().any(&done) {
            return;
        }
        if !summary.scores.is_empty() {
            let leaving: Vec<usize> = (0..self.windows.len()).filter(|place| done(&self.windows[*place])).collect();
            leaving.into_iter().for_each(|place| self.remember(place, summary));
        }
        let mut leaving = Vec::new();
        for window in self.windows.iter().filter(|w| done(w)) {
            self.evicted_until = self.evicted_until.max(window.span.end);
            if window.newest != EMPTY {
                self.forgotten = self.forgotten.max(Some(window.newest));
                leaving.push((window.span, window.newest));
            }
        }
        leaving.into_iter().for_each(|(span, newest)| self.leave_filled(span, newest));
        self.windows.retain(|w| !done(w));
        self.recent = 0;
        self.unsaved = true;
    }

    /// Lets go of windows and days that are written as final and can receive no point any more.
    pub fn forget(&mut self, summary: &Summary, max: i64, now: i64) {
        let Some(limit) = now.checked_sub(max) else { return };
        self.release(summary, |w| w.is_done() && w.span.end < limit && !w.unsaved && !w.is_pinned);
        self.days.retain(|d| d.stale || !d.final_written || d.span.end >= limit);
    }
}
