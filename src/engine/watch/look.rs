//! Looking at a line, and at the devices.

use super::sighting::{ColumnSightings, Instead, Sighting, SilentColumn, SilentDevice, Watch};
use crate::engine::aggregate::kind::Kind;
use crate::engine::core::Engine;
use crate::engine::ids::{ColumnIndex, DeviceIndex, Key, SummaryIndex};
use crate::engine::line::decode::{Point, decode};
use crate::engine::line::head::Head;
use crate::engine::line::token::Value;
use crate::engine::schema::{Column, Summary, fnv1a};
use crate::engine::series::columns::columns;
use crate::engine::series::compile::key_text;
use crate::engine::zone::HOUR;

/// So long without a value, while the device goes on, makes a column silent; in nanoseconds of event time.
const SILENT_AFTER: i64 = HOUR;
/// Longest text of a line that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// Bytes of a line, for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes).replace(char::is_control, "?");
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

/// A device by its key, for people.
fn named(summary: &Summary, key: &[String]) -> String {
    let tags: Vec<String> = summary.key.iter().zip(key).map(|(tag, value)| format!("{tag}={value}")).collect();
    tags.join(",").replace(char::is_control, "?")
}

/// What tells the lines of a measurement apart, but for their devices.
fn kind(head: &Head, summary: &Summary) -> u64 {
    let tags = head.tags.iter().filter(|(key, _)| !summary.key.iter().any(|k| k.as_bytes() == *key));
    let parts = tags.flat_map(|(key, value)| [&key[..], b"=", value, b","]);
    fnv1a(&[&head.measurement[..], b","].into_iter().chain(parts).collect::<Vec<_>>().concat())
}

/// What a point has in place of what a column asks for; `None` if the column takes it, or no source asks for its measurement.
fn instead(point: &Point<'_>, summary: &Summary, column: &Column) -> Option<Instead> {
    let mut found = None;
    for def in column.groups.iter().flat_map(|group| &group.defs) {
        let accumulator = &summary.accumulators[def.at()];
        let source = &accumulator.source;
        if !source.measurement.matches(&point.head.measurement) {
            continue;
        }
        let has = |(key, pattern): &(String, crate::engine::pattern::Pattern)| {
            point.head.tag(key.as_bytes()).is_some_and(|value| pattern.matches(value))
        };
        let kind = if !source.tags.iter().all(has) {
            Instead::OtherTags
        } else {
            match point.fields.iter().find(|(key, _)| *key == source.field.as_bytes()) {
                None => Instead::OtherField {
                    wanted: source.field.clone(),
                    came: point.fields.first().map(|(key, _)| shown(key)).unwrap_or_default(),
                },
                Some((_, Value::Text(text))) if accumulator.kind != Kind::Count => {
                    Instead::Text { field: source.field.clone(), value: shown(text) }
                }
                Some(_) => return None,
            }
        };
        found = found.max(Some(kind));
    }
    found
}

impl Engine {
    /// Looks at a sample of the lines from now on: at so many one after the other, then at one of so many.
    pub fn watch(&mut self, all_of: u32, every: u32) {
        let count = columns(&self.schema).count();
        self.watch.get_or_insert_with(|| Box::new(Watch::new(count))).look(all_of, every);
        self.look_ahead = 0;
    }

    /// Takes what was seen of each column since it was taken last.
    pub fn take_seen(&mut self) -> Vec<ColumnSightings> {
        let count = columns(&self.schema).count();
        let nothing = vec![ColumnSightings::default(); count];
        let Some(watch) = &mut self.watch else { return nothing };
        let mut taken = std::mem::replace(&mut watch.seen, nothing);
        for ((index, (place, ..)), seen) in columns(&self.schema).enumerate().zip(&mut taken) {
            // A value may have come since.
            let last = self.newest_of(place, index, &seen.key);
            seen.silent.take_if(|(device, _)| device.last != last);
        }
        taken
    }

    /// Event time of the newest value of a column, by its index, on a device.
    fn newest_of(&self, place: SummaryIndex, index: usize, key: &Key) -> Option<i64> {
        let device = self.directory.find(&self.devices, &(place, key.clone()))?;
        Some(self.newest(device)[index - first_of(&self.schema.summaries, place)]).filter(|at| *at != i64::MIN)
    }

    /// Takes, for each column, the head of a series of which too many values came for a time that had another one, and how many
    /// of a hundred.
    pub fn take_differing(&mut self) -> Vec<Option<(String, u8)>> {
        let differing = self.plans.take_differing();
        let named = |(series, share)| Some((self.plans.head_text(series)?, share));
        differing.into_iter().map(|of| of.and_then(named)).collect()
    }

    /// Looks at a line, if it is time to, `passed` lines after the last call. Returns how many lines may pass until the next
    /// call.
    pub(in crate::engine) fn watch_line(&mut self, line: &[u8], now: i64, passed: u32) -> u32 {
        let Some(mut watch) = self.watch.take() else { return u32::MAX };
        match watch.wait.checked_sub(passed) {
            Some(wait) if wait > 0 => watch.wait = wait,
            _ => {
                self.look(&mut watch, line, now);
                // Behind this line, which counts too.
                watch.wait = watch.next_wait() + 1;
            }
        }
        let wait = watch.wait;
        self.watch = Some(watch);
        wait - 1
    }

    fn look(&self, watch: &mut Watch, line: &[u8], now: i64) {
        let Ok(Some(point)) = decode(line) else { return };
        let at = point.timestamp.unwrap_or(now);
        for (index, (place, summary, column)) in columns(&self.schema).enumerate() {
            let Some(instead) = instead(&point, summary, column) else { continue };
            let says_more = watch.seen[index].instead.as_ref().is_none_or(|known| known.instead < instead);
            let sighting = |is_new| Sighting { head: point.head.to_string(), instead: instead.clone(), is_new };
            if says_more {
                watch.seen[index].instead = Some(sighting(false));
            }
            let first = watch.first_seen(index, kind(&point.head, summary), at);
            let key: Option<Key> = summary.key.iter().map(|k| point.head.tag(k.as_bytes()).map(key_text)).collect();
            let Some(key) = key else { continue };
            let last = self.newest_of(place, index, &key);
            let is_silent = match last {
                Some(last) => at.saturating_sub(last) >= SILENT_AFTER,
                // A device of another kind may have no such series at all; one that has it lacks the field.
                None => matches!(instead, Instead::OtherField { .. }),
            };
            let is_new = last.zip(first).is_some_and(|(last, first)| first > last);
            let knows_new = watch.seen[index].silent.as_ref().is_some_and(|(_, sighting)| sighting.is_new);
            if is_silent && (is_new || !knows_new) {
                let device = SilentDevice { device: named(summary, &key), last, newest: at };
                watch.seen[index].key = key;
                watch.seen[index].silent = Some((device, sighting(is_new)));
            }
        }
    }

    /// Event times of the newest values of a device, by the columns of its summary; `i64::MIN` where none is known.
    fn newest(&self, device: DeviceIndex) -> Vec<i64> {
        let of = &self.devices[device.at()];
        let first = first_of(&self.schema.summaries, of.summary);
        let mut newest = vec![i64::MIN; self.schema.summaries[of.summary.at()].columns.len()];
        for state in of.series.iter().flat_map(|series| self.plans.fields(*series)) {
            let Some((at, sample)) = state.slot.pending else { continue };
            for taker in &state.field.tally.takers {
                let place = state.field.targets[taker.target].place;
                if state.places[usize::from(place)].device == device && state.field.refusal(taker, sample).is_none() {
                    let of = &mut newest[taker.column.at() - first];
                    *of = at.max(*of);
                }
            }
        }
        newest
    }

    /// Looks at most at `count` devices from `from` on for those that have had no value for a column for an hour, while
    /// other columns of theirs have; adds them to `into`, by column. Returns where to go on; `None` at the end.
    pub fn silent(&self, from: usize, count: usize, into: &mut Vec<SilentColumn>) -> Option<usize> {
        into.resize(columns(&self.schema).count(), SilentColumn::default());
        let until = (from + count).min(self.devices.len());
        for index in (from..until).map(DeviceIndex::of) {
            let device = &self.devices[index.at()];
            if device.is_gone() || device.series.is_empty() {
                continue;
            }
            let newest = self.newest(index);
            let last_of_all = newest.iter().copied().max().unwrap_or(i64::MIN);
            let first = first_of(&self.schema.summaries, device.summary);
            for (place, last) in newest.into_iter().enumerate() {
                if last == i64::MIN || last_of_all.saturating_sub(last) < SILENT_AFTER {
                    continue;
                }
                let column = &mut into[ColumnIndex::of(first + place).at()];
                column.devices += 1;
                column.first.get_or_insert_with(|| SilentDevice {
                    device: named(&self.schema.summaries[device.summary.at()], &device.key),
                    last: Some(last),
                    newest: last_of_all,
                });
            }
        }
        (until < self.devices.len()).then_some(until)
    }
}

/// The index of the first column of a summary.
fn first_of(summaries: &[Summary], place: SummaryIndex) -> usize {
    summaries[..place.at()].iter().map(|summary| summary.columns.len()).sum()
}
