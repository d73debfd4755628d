//! Taking a line: from its bytes to its points.

use super::core::Engine;
use super::counters::ColumnReason;
use super::ids::{DeviceIndex, SeriesIndex, UNMATCHED};
use super::line::scan::{self, End, Visit};
use super::line::token::{self, Value};
use super::precision::MISREAD_BELOW;
use super::schema;
use super::series::compile;
use super::series::feed::{Field, Sample};
use super::series::plan::{self, Found};
use super::window::fold::Fold;
use super::zones::zone_index;

/// Event times outside of the years 1828 to 2112 are no measurement, whatever `lateness` allows: they are counted as late
/// or as in the future. Inside, no sum of a time, a window and a duration of the configuration leaves 64 bits.
const EVENT_TIME_MAX: i64 = 4_500_000_000_000_000_000;
const EVENT_TIME_MIN: i64 = -EVENT_TIME_MAX;

/// The state of so many series does not stay in a cache.
const MANY_SERIES: usize = 2_000;

/// Picks the wanted fields of a line.
struct Wanted<'s, 'f> {
    fields: &'s [Field],
    /// Index and value of what has been found.
    found: &'f mut Vec<(usize, Sample)>,
    /// The field whose value comes next.
    next: usize,
    /// Which of the first fields have been found.
    seen: u64,
    timestamp: Option<i64>,
}

impl Wanted<'_, '_> {
    /// The index of a wanted field by its raw key.
    #[inline]
    fn index(&self, key: &[u8], is_plain: bool) -> Option<usize> {
        let is_it = |index: &usize| {
            let field = &self.fields[*index];
            field.is_plain && *field.key == *key
        };
        // Fields come in the same order most of the time, if not in that of the plan.
        let count = self.fields.len();
        let first = self.found.last().map_or(0, |(index, _)| index + 1);
        if let Some(index) = (first..count).chain(0..first.min(count)).find(is_it) {
            return Some(index);
        }
        if is_plain {
            return None;
        }
        memchr::memchr(b'\\', key)?;
        let key = token::unescape_token(key);
        self.fields.iter().position(|field| *field.key == *key)
    }
}

impl<'a> Visit<'a> for Wanted<'_, '_> {
    #[inline]
    fn expects(&mut self, line: &'a [u8], at: usize) -> Option<usize> {
        // Most often fields come in the order in which they came before.
        let next = self.found.last().map_or(0, |(index, _)| index + 1);
        let end = self.fields.get(next)?.stands_at(line, at)?;
        self.next = next;
        Some(end)
    }

    #[inline]
    fn wants(&mut self, key: &'a [u8], is_plain: bool) -> bool {
        let index = self.index(key, is_plain);
        self.next = index.unwrap_or(usize::MAX);
        index.is_some()
    }

    #[inline]
    fn value(&mut self, value: Value<'a>) {
        let index = self.next;
        let sample = match value {
            // Adding zero turns -0 into 0.
            Value::Float(v) => Sample::Number(v + 0.0),
            Value::Integer(v) => Sample::Number(v as f64),
            Value::Unsigned(v) => Sample::Number(v as f64),
            Value::Boolean(v) => Sample::Number(f64::from(u8::from(v))),
            Value::Text(text) => Sample::Text(schema::fnv1a(text)),
        };
        // Of a field that stands twice in a line the last value counts.
        let bit = 1u64.checked_shl(index as u32).unwrap_or(0);
        if (self.seen & bit != 0 || bit == 0)
            && let Some(entry) = self.found.iter_mut().find(|(i, _)| *i == index)
        {
            entry.1 = sample;
            return;
        }
        self.seen |= bit;
        self.found.push((index, sample));
    }

    #[inline]
    fn timestamp(&mut self, at: i64) {
        self.timestamp = Some(at);
    }
}

impl Engine {
    /// Takes one whole line, with or without its newline, that arrived at `now` (nanoseconds since the epoch). True if
    /// the line matches: measurement and tags are what a source asks for, and the key tags are there.
    #[inline]
    pub fn ingest(&mut self, line: &[u8], now: i64) -> bool {
        match self.look_ahead.checked_sub(1) {
            Some(left) => self.look_ahead = left,
            None => self.look_ahead(line, now),
        }
        match self.find(line) {
            Found::Series(UNMATCHED, _) => {
                self.counters.lines += 1;
                false
            }
            Found::Series(series, fields_at) => {
                self.counters.lines += 1;
                self.fields(line, series, fields_at, now);
                true
            }
            Found::Empty => false,
            other => {
                self.counters.lines += 1;
                match other {
                    Found::Malformed => self.counters.malformed += 1,
                    Found::OverLimit => self.counters.over_limit += 1,
                    _ => self.counters.no_key += 1,
                }
                false
            }
        }
    }

    /// True if a line matches. It feeds nothing; it is counted among the lines seen, with the reason if its head is of no use.
    pub fn matches(&mut self, line: &[u8]) -> bool {
        let found = self.find(line);
        self.counters.lines += u64::from(found != Found::Empty);
        self.counters.no_key += u64::from(found == Found::NoKey);
        self.counters.malformed += u64::from(found == Found::Malformed);
        matches!(found, Found::Series(series, _) if series != UNMATCHED)
    }

    /// Reads what the lines that are expected next will need, all of it at once: the state of very many series is in no cache,
    /// and a line that finds it missing waits for each piece in turn.
    ///
    /// A line that is to be looked at as a whole (see [`super::watch`]) is looked at here, too: the others pass by.
    fn look_ahead(&mut self, line: &[u8], now: i64) {
        let is_many = self.plans.matched_series() >= MANY_SERIES;
        let most = if is_many { plan::EXPECTED as u32 - 1 } else { MANY_SERIES as u32 };
        let least = self.watch_line(line, now, self.looked_ahead);
        self.look_ahead = most.min(least);
        self.looked_ahead = self.look_ahead + 1;
        if !is_many {
            return;
        }
        let mut devices = [DeviceIndex(0); plan::EXPECTED];
        let (count, mut sum) = self.plans.expected(&mut devices);
        for device in &devices[..count] {
            sum += self.devices.get(device.at()).map_or(0, |device| device.touch());
        }
        std::hint::black_box(sum);
    }

    /// Finds the series of a line; a head that has not been seen before is compiled.
    #[inline]
    fn find(&mut self, line: &[u8]) -> Found {
        let (schema, devices, directory) = (&self.schema, &mut self.devices, &mut self.directory);
        let (zones, unknown_zones) = (&mut self.zones, &mut self.counters.unknown_zones);
        let checkpoint = self.checkpoint;
        // The devices that a new series feeds.
        let mut touched: Vec<DeviceIndex> = Vec::new();
        let found = self.plans.find(line, |head, is_full| {
            let device = |key| {
                // Where no series can be added, no device is made for one.
                let index = if is_full { None } else { directory.find_or_make(schema, devices, key, checkpoint) };
                touched.extend(index);
                index
            };
            let zone = |name: &[u8]| {
                let zone = zone_index(zones, name);
                *unknown_zones += u64::from(zone.is_none());
                zone
            };
            compile::compile(schema, head, device, zone)
        });
        if let Some(series) = self.plans.take_added() {
            for device in touched {
                self.devices[device.at()].series.push(series);
            }
            self.dedupe.room_for(self.plans.slot_places());
        }
        found
    }

    /// Reads the wanted fields of a line into `self.found`: the timestamp of the line, if it is well formed.
    #[inline]
    fn read(&mut self, line: &[u8], series: SeriesIndex, fields_at: usize) -> Result<Option<i64>, ()> {
        self.found.clear();
        let fields = self.plans.parts(series).fields;
        let mut wanted = Wanted { fields, found: &mut self.found, next: 0, seen: 0, timestamp: None };
        match scan::scan_fields(line, scan::skip_blanks(line, fields_at), &mut wanted) {
            End::Complete(_) => Ok(wanted.timestamp),
            _ => Err(()),
        }
    }

    fn fields(&mut self, line: &[u8], series: SeriesIndex, fields_at: usize, now: i64) {
        self.counters.matched += 1;
        let known = self.plans.series_mut(series);
        // Written only where it has been looked at since the last line.
        if known.idle > 0 {
            known.idle = 0;
        }
        self.counters.over_limit += u64::from(known.lacks_room);
        let Ok(timestamp) = self.read(line, series, fields_at) else {
            self.counters.malformed += 1;
            return;
        };
        let at = timestamp.unwrap_or(now);
        if self.found.len() < self.plans.parts(series).fields.len() {
            self.plans.lacks_fields(series, self.found.iter().map(|(index, _)| *index), self.counters.matched);
            if self.found.is_empty() {
                return;
            }
        }
        if at < MISREAD_BELOW {
            self.misread.note(at);
        }
        let lateness = &self.schema.lateness;
        if at > EVENT_TIME_MAX || at.saturating_sub(now) > lateness.future {
            self.counters.future += self.found.len() as u64;
            self.leave(series, ColumnReason::Future);
            return;
        }
        if at < EVENT_TIME_MIN || now.saturating_sub(at) > lateness.max {
            self.counters.late += self.found.len() as u64;
            self.leave(series, ColumnReason::Late);
            return;
        }
        let points = self.counters.points;
        self.before_change(series);
        let mut fold = Fold {
            schema: &self.schema,
            zones: &self.zones,
            devices: &mut self.devices,
            dedupe: &mut self.dedupe,
            counters: &mut self.counters,
            run: self.run,
            long_way: self.long_way,
        };
        let mut parts = self.plans.parts(series);
        let taken = match timestamp {
            Some(at) => fold.in_order(&mut parts, &self.found, at),
            None => 0,
        };
        for &(index, sample) in &self.found[taken..] {
            fold.point((series, &mut parts), index, at, sample, timestamp.is_some());
        }
        self.counters.fed += u64::from(self.counters.points > points);
        if self.schema.judges {
            self.settle_line(series, at);
        }
    }

    /// Counts the values that were found as not taken.
    #[cold]
    fn leave(&mut self, series: SeriesIndex, reason: ColumnReason) {
        let parts = self.plans.parts(series);
        self.found.iter().for_each(|(index, _)| parts.fields[*index].tally.all.leave(reason));
    }

    /// Notes that a line which has been taken is not in the journal, on the windows that it went to.
    pub fn mark_unjournaled(&mut self, line: &[u8], now: i64) {
        // A head that is not known feeds nothing, or has no room: it must not be remembered as one that feeds nothing.
        let Some((series, fields_at)) = self.plans.find_known(line) else { return };
        if series == UNMATCHED {
            return;
        }
        self.counters.unjournaled += 1;
        let Ok(timestamp) = self.read(line, series, fields_at) else { return };
        let at = timestamp.unwrap_or(now);
        self.before_change(series);
        let parts = self.plans.parts(series);
        let targets = self.found.iter().flat_map(|(index, _)| parts.fields[*index].targets.iter());
        let mut devices: Vec<DeviceIndex> =
            targets.map(|target| parts.places[usize::from(target.place)].device).collect();
        devices.sort_unstable();
        devices.dedup();
        for device in devices {
            if let Some(window) = self.devices[device.at()].window(at) {
                window.own.partial.unjournaled += 1;
                window.unsaved = true;
            }
        }
    }
}
