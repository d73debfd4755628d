//! Folding: the duplicate rules, and the way of a point into the windows of its devices.
//!
//! The newest point of a series is *pending*: while it is the newest, a later value for the same time replaces it. It is
//! folded when a newer one comes. Whether it is among the values of a window is decided then; what changes meanwhile is the
//! window's `rev` and `version`.
//!
//! Invariants: the pending point of a slot is its newest with a timestamp; a point with a timestamp that is folded is
//! put into the memory of duplicates; a change of what the row of a window shows raises its `version`.

use super::dedupe::{Dedupe, Seen};
use super::device::Device;
use crate::engine::aggregate::partial::Partial;
use crate::engine::counters::{ColumnReason, Counters};
use crate::engine::ids::{RunIndex, SeriesIndex};
use crate::engine::schema::{Schema, Summary};
use crate::engine::series::feed::{Feed, Field, Place, Sample, Target, is_outside, scaled, takes};
use crate::engine::series::plan::Parts;
use crate::engine::series::tally::ColumnTallies;
use crate::engine::zone::{Span, Zone};
use std::sync::Arc;

/// The parts of the engine that folding a point needs.
pub struct Fold<'e> {
    pub schema: &'e Schema,
    pub zones: &'e [Arc<Zone>],
    pub devices: &'e mut [Device],
    pub dedupe: &'e mut Dedupe,
    pub counters: &'e mut Counters,
    /// The run that is at work.
    pub run: RunIndex,
    /// Every point goes the long way.
    pub long_way: bool,
}

impl Fold<'_> {
    /// Applies the duplicate rules to a point of a field, and folds what they let through.
    #[inline]
    pub fn point(
        &mut self,
        (series, parts): (SeriesIndex, &mut Parts<'_>),
        index: usize,
        at: i64,
        sample: Sample,
        has_timestamp: bool,
    ) {
        let (field, slot, columns) = (&mut parts.fields[index], &mut parts.slots[index], &mut *parts.columns);
        if !has_timestamp {
            // The time of arrival is not part of the point: two equal lines are two points.
            self.count(field, columns, at, sample);
            let to = (&*field.targets, parts.places);
            self.touch(to, at, sample, self.run);
            self.fold(to, at, sample, self.run);
            return;
        }
        match slot.pending {
            Some((newest, pending)) if at == newest => {
                self.counters.duplicates += 1;
                if pending == sample {
                    field.tally.all.leave(ColumnReason::Duplicate);
                } else {
                    field.tally.all.leave(ColumnReason::Replaced);
                    if self.count_outside(field, sample) {
                        field.judge_range(columns, sample);
                    }
                    slot.pending = Some((at, sample));
                    slot.unsaved = true;
                    columns.differs(&field.tally, series, slot.differs());
                    let to = (&*field.targets, parts.places);
                    self.touch(to, at, sample, slot.run);
                    self.lose(to, at, pending, sample, slot.run);
                }
            }
            Some((newest, _)) if at < newest => match self.dedupe.look_up(slot.id, at, sample.bits()) {
                seen @ (Seen::New | Seen::TooOld) => {
                    self.counters.too_old_to_compare += u64::from(seen == Seen::TooOld);
                    self.count(field, columns, at, sample);
                    let to = (&*field.targets, parts.places);
                    self.touch(to, at, sample, self.run);
                    self.fold(to, at, sample, self.run);
                    self.dedupe.remember(slot.id, at, sample.bits());
                }
                Seen::Duplicate => {
                    self.counters.duplicates += 1;
                    field.tally.all.leave(ColumnReason::Duplicate);
                }
                Seen::Conflict => {
                    self.counters.conflicts += 1;
                    field.tally.all.leave(ColumnReason::Conflict);
                    columns.differs(&field.tally, series, slot.differs());
                    let to = (&*field.targets, parts.places);
                    self.mark_stale(to, at, sample);
                }
            },
            previous => {
                self.count(field, columns, at, sample);
                let to = (&*field.targets, parts.places);
                if let Some((newest, pending)) = previous {
                    self.fold(to, newest, pending, slot.run);
                    self.dedupe.remember(slot.id, newest, pending.bits());
                }
                slot.pending = Some((at, sample));
                slot.run = self.run;
                slot.unsaved = true;
                slot.points = slot.points.wrapping_add(1);
                self.touch(to, at, sample, self.run);
            }
        }
    }

    /// Counts a point that has not been there before.
    #[inline]
    fn count(&mut self, field: &mut Field, columns: &mut ColumnTallies, at: i64, sample: Sample) {
        let all = field.all_take(sample);
        let is_point = all || field.targets.iter().any(|target| takes(&target.feeds, sample));
        self.counters.points += u64::from(is_point);
        if !all {
            self.count_outside(field, sample);
        }
        field.judge(columns, at, sample, all);
    }

    /// Counts a value that a column does not take because of its range. True if there is one.
    #[inline]
    fn count_outside(&mut self, field: &Field, sample: Sample) -> bool {
        let is_out = field.targets.iter().any(|target| target.is_bounded && is_outside(&target.feeds, sample));
        self.counters.out_of_range += u64::from(is_out);
        is_out
    }

    /// Opens the windows that take a point of a run, and marks them as changed.
    #[inline]
    fn touch(&mut self, (targets, places): (&[Target], &[Place]), at: i64, sample: Sample, run: RunIndex) {
        for target in targets.iter().filter(|target| takes(&target.feeds, sample)) {
            let place = &places[usize::from(target.place)];
            let device = &mut self.devices[place.device.at()];
            let zone = place.zone.unwrap_or(device.zone);
            // A late point says where the device was, not where it is.
            if zone != device.zone && device.is_newest(at) {
                device.zone = zone;
                device.unsaved = true;
            }
            let window = device.open(at, (zone, &self.zones[zone.at()]), self.run);
            window.part(run).rev += 1;
            window.version = window.version.wrapping_add(1);
            window.unsaved = true;
            window.newest = window.newest.max(at);
        }
    }

    /// Marks the windows that have held a pending point and hold its new value no more.
    fn lose(&mut self, (targets, places): (&[Target], &[Place]), at: i64, old: Sample, new: Sample, run: RunIndex) {
        for target in targets.iter().filter(|t| takes(&t.feeds, old) && !takes(&t.feeds, new)) {
            if let Some(window) = self.devices[places[usize::from(target.place)].device.at()].window(at) {
                window.part(run).rev += 1;
                window.version = window.version.wrapping_add(1);
                window.unsaved = true;
                window.may_be_empty = true;
            }
        }
    }

    /// Marks the windows of a point that came again with another value, as far as there are any. It is no sample: nothing else of
    /// them changes but the revision, by which the mark gets to the sink.
    fn mark_stale(&mut self, (targets, places): (&[Target], &[Place]), at: i64, sample: Sample) {
        for target in targets.iter().filter(|target| takes(&target.feeds, sample)) {
            let place = &places[usize::from(target.place)];
            let device = &mut self.devices[place.device.at()];
            let zone = place.zone.unwrap_or(device.zone);
            let Some(window) = device.known(at, (zone, &self.zones[zone.at()]), self.run) else { continue };
            let part = window.part(self.run);
            part.partial.conflicts += 1;
            part.rev += 1;
            window.version = window.version.wrapping_add(1);
            window.unsaved = true;
        }
    }

    /// Folds a point into its windows, into the part of the run that has taken it.
    #[inline]
    fn fold(&mut self, (targets, places): (&[Target], &[Place]), at: i64, sample: Sample, run: RunIndex) {
        for target in targets {
            // A window that has left memory was written with its pending points: nothing is lost.
            if let Some(window) = self.devices[places[usize::from(target.place)].device.at()].window(at) {
                let summary = &self.schema.summaries[target.summary.at()];
                let not_finite = &mut self.counters.not_finite;
                window.unsaved = true;
                let span = window.span;
                observe(&mut window.part(run).partial, span, summary, &target.feeds, at, sample, not_finite);
            } else if self.schema.judges {
                self.devices[places[usize::from(target.place)].device.at()].add_to_past(&target.feeds, at, sample);
            }
        }
    }
}

/// Folds one sample into a partial.
#[inline]
pub fn observe(
    partial: &mut Partial,
    span: Span,
    summary: &Summary,
    feeds: &[Feed],
    at: i64,
    sample: Sample,
    not_finite: &mut u64,
) {
    if !takes(feeds, sample) {
        return;
    }
    // A base window is at most an hour and a slot at least a second: the slot number fits 32 bits.
    let slot = ((at - span.start) / summary.expect_every) as u32;
    partial.sample(at, slot);
    for feed in feeds {
        match sample {
            Sample::Number(number) => match feed.value(number) {
                Some(value) => partial.observe(feed.def, summary, at, slot, value),
                // What is outside of a range was counted when it came.
                None => *not_finite += u64::from(!scaled(feed, number).is_finite()),
            },
            Sample::Text(_) if feed.takes_text => partial.observe(feed.def, summary, at, slot, f64::NAN),
            Sample::Text(_) => {}
        }
    }
}
