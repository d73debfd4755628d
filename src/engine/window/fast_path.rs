//! The fast path of a line that follows the last one of its series, as nearly every line does.
//!
//! Its points go to one device, each is newer than the one that is pending in its slot, and both lie in the window that took
//! the device's last point. Then there is nothing to look for: the pending points are folded, the new ones are pending, and
//! what the window keeps of both is changed once for the whole line. Any point that is different, and those behind it, go
//! the slow path, [`Fold::point`].
//!
//! Invariant: both leave the same state, which a test holds them to.

use super::fold::Fold;
use crate::engine::aggregate::partial::Partial;
use crate::engine::schema::Summary;
use crate::engine::series::feed::{Feed, Sample, is_tame, scaled};
use crate::engine::series::plan::Parts;

impl Fold<'_> {
    /// Takes the points of a line with a timestamp from the first on, as long as they go the short way: how many there were.
    #[inline]
    pub fn in_order(&mut self, parts: &mut Parts<'_>, found: &[(usize, Sample)], at: i64) -> usize {
        let [place] = parts.places else { return 0 };
        if self.long_way {
            return 0;
        }
        let device = &mut self.devices[place.device.at()];
        if place.zone.is_some_and(|zone| zone != device.zone) {
            return 0;
        }
        let summary = &self.schema.summaries[device.summary.at()];
        let run = self.run;
        let Some(window) = device.recent().filter(|window| window.span.contains(at) && window.own.run == run) else {
            return 0;
        };
        // The points of the line before have one time most often.
        let mut slot_of = None;
        let mut taken = 0;
        for &(index, sample) in found {
            let (field, slot) = (&mut parts.fields[index], &mut parts.slots[index]);
            let ([target], Sample::Number(value)) = (&*field.targets, sample) else { break };
            let Some((newest, Sample::Number(pending))) = slot.pending else { break };
            let is_next = newest < at && newest >= window.span.start && slot.run == run;
            if !is_next || !target.is_tame || !is_tame(value) || !is_tame(pending) {
                break;
            }
            let is_valid = |value| target.feeds.iter().all(|feed| feed.value(value).is_some());
            if target.is_bounded && !(is_valid(value) && is_valid(pending)) {
                break;
            }
            let number = match slot_of {
                Some((time, number)) if time == newest => number,
                // A base window is at most an hour and a slot at least a second: the slot number fits 32 bits.
                _ => ((newest - window.span.start) / summary.expect_every) as u32,
            };
            slot_of = Some((newest, number));
            let partial = &mut window.own.partial;
            partial.sample(newest, number);
            observe(partial, summary, &target.feeds, &mut slot.hint, (newest, number), pending);
            self.dedupe.remember(slot.id, newest, pending.to_bits());
            slot.pending = Some((at, sample));
            slot.unsaved = true;
            slot.points = slot.points.wrapping_add(1);
            field.tally.all.take(at);
            taken += 1;
        }
        if taken > 0 {
            window.own.rev += taken as u64;
            window.version = window.version.wrapping_add(taken as u32);
            window.unsaved = true;
            window.newest = window.newest.max(at);
            self.counters.points += taken as u64;
        }
        taken
    }
}

/// Folds a tame value into its accumulators, which stand one behind the other from `hint` on more often than not.
#[inline]
fn observe(
    partial: &mut Partial,
    summary: &Summary,
    feeds: &[Feed],
    hint: &mut u8,
    (at, slot): (i64, u32),
    value: f64,
) {
    let mut place = usize::from(*hint);
    for (n, feed) in feeds.iter().enumerate() {
        let value = scaled(feed, value);
        let flagged = feed.when.is_some_and(|when| when.holds(value));
        if !partial.observe_at(place, feed.def, at, slot, value, flagged) {
            partial.observe(feed.def, summary, at, slot, value);
            place = partial.place_of(feed.def).unwrap_or_default();
            if n == 0 {
                *hint = u8::try_from(place).unwrap_or_default();
            }
        }
        place += 1;
    }
}
