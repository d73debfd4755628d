//! Instants <-> windows of a time zone.
//!
//! A base window is a local clock hour, cut at every change of the zone's offset from UTC, so that it never spans one:
//! the repeated hour of autumn is two windows, Lord Howe's half-hour shift leaves a window of half an hour, Kathmandu's
//! windows start at a quarter past in UTC. A day runs from the first instant of its local date to the first instant of
//! the next one and has 23, 24 or 25 hours (or none, where a date was skipped).
//!
//! All instants are nanoseconds since the Unix epoch, UTC. Rules come from the database that is compiled in, so that a
//! host with old zone files cuts the same windows as any other.

use jiff::{Timestamp, civil, tz};
use std::sync::Arc;

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds in an hour.
pub const HOUR: i64 = 3600 * SECOND;

/// A half-open interval `[start, end)` of instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: i64,
    pub end: i64,
}

impl Span {
    /// True if `at` lies in the interval.
    #[inline]
    pub fn contains(&self, at: i64) -> bool {
        self.start <= at && at < self.end
    }

    /// Length in nanoseconds.
    pub fn length(&self) -> i64 {
        self.end - self.start
    }
}

/// The two lengths of window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WindowKind {
    Hourly,
    Daily,
}

impl WindowKind {
    /// The word used in configuration and in table names.
    pub fn name(self) -> &'static str {
        match self {
            WindowKind::Hourly => "hourly",
            WindowKind::Daily => "daily",
        }
    }
}

/// A time zone with its IANA name.
#[derive(Clone, Debug)]
pub struct Zone {
    name: Arc<str>,
    rules: tz::TimeZone,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name == other.name
    }
}

impl Zone {
    /// Looks the zone up by its IANA name, ignoring case; `None` if there is no such zone.
    pub fn named(name: &str) -> Option<Zone> {
        let rules = tz::TimeZoneDatabase::bundled().get(name).ok()?;
        let name = rules.iana_name().unwrap_or(name).into();
        Some(Zone { name, rules })
    }

    /// UTC.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), rules: tz::TimeZone::UTC }
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The IANA name, shared by all that keep it.
    pub fn shared_name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Offset from UTC in nanoseconds at an instant.
    fn offset(&self, at: i64) -> i64 {
        i64::from(self.rules.to_offset(instant(at)).seconds()) * SECOND
    }

    /// The base window that holds an instant.
    pub fn hour(&self, at: i64) -> Span {
        let offset = self.offset(at);
        let start = at - (at + offset).rem_euclid(HOUR);
        let end = start + HOUR;
        let same = |t: i64| self.offset(t) == offset;
        Span {
            start: if same(start) { start } else { first_instant(start, at, same) },
            end: if same(end - 1) { end } else { first_instant(at, end - 1, |t| !same(t)) },
        }
    }

    /// The day (of the local date) that holds an instant.
    pub fn day(&self, at: i64) -> Span {
        let mut date = self.local(at).date();
        // Where a clock is set back over midnight, an instant can show yesterday's date after today has begun.
        while at >= self.day_start(tomorrow(date)) {
            date = tomorrow(date);
        }
        while at < self.day_start(date) {
            date = yesterday(date);
        }
        let mut end = self.day_start(tomorrow(date));
        let mut next = tomorrow(date);
        while end <= at {
            next = tomorrow(next);
            end = self.day_start(next);
        }
        Span { start: self.day_start(date), end }
    }

    /// The first instant of a local date. A date that the zone skipped starts where the next one does.
    fn day_start(&self, date: civil::Date) -> i64 {
        let midnight = date.at(0, 0, 0, 0);
        let Ok(zoned) = self.rules.to_ambiguous_zoned_datetime(midnight).compatible() else {
            // Only the first and the last day of year -9999 and 9999, which nanoseconds in 64 bits cannot express.
            return i64::MAX;
        };
        let start = nanoseconds(zoned.timestamp());
        // A gap that starts before midnight and ends after it: the date begins at the end of the gap.
        let before = start - 1;
        if self.local(before).date() >= date {
            let from = start - 24 * HOUR;
            return first_instant(from, before, |t| self.local(t).date() >= date);
        }
        start
    }

    /// What a clock in the zone shows at an instant.
    pub fn local(&self, at: i64) -> civil::DateTime {
        self.rules.to_datetime(instant(at))
    }
}

fn instant(at: i64) -> Timestamp {
    // Every 64-bit count of nanoseconds (years 1677 to 2262) is a valid timestamp; the fallback is never taken.
    Timestamp::from_nanosecond(i128::from(at)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

fn tomorrow(date: civil::Date) -> civil::Date {
    date.tomorrow().unwrap_or(civil::Date::MAX)
}

fn yesterday(date: civil::Date) -> civil::Date {
    date.yesterday().unwrap_or(civil::Date::MIN)
}

/// The first instant in `(low, high]` for which `holds` is true, given that it is false at `low`, true at `high` and
/// changes once between them.
fn first_instant(mut low: i64, mut high: i64, holds: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// `YYYY-MM-DD HH:MM:SS` of an instant in UTC.
pub fn utc_datetime(at: i64) -> civil::DateTime {
    tz::TimeZone::UTC.to_datetime(instant(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        nanoseconds(text.parse::<Timestamp>().expect("a timestamp"))
    }

    fn span(from: &str, to: &str) -> Span {
        Span { start: at(from), end: at(to) }
    }

    fn zone(name: &str) -> Zone {
        Zone::named(name).expect("a zone of the database")
    }

    #[test]
    fn hours_follow_the_local_clock() {
        let kathmandu = zone("Asia/Kathmandu");
        assert_eq!(kathmandu.hour(at("2024-03-05T10:20:00Z")), span("2024-03-05T10:15:00Z", "2024-03-05T11:15:00Z"));
        assert_eq!(kathmandu.day(at("2024-03-05T10:20:00Z")), span("2024-03-04T18:15:00Z", "2024-03-05T18:15:00Z"));
    }

    #[test]
    fn berlin_repeats_and_skips_an_hour() {
        let berlin = zone("Europe/Berlin");
        assert_eq!(berlin.hour(at("2024-10-27T00:30:00Z")), span("2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z"));
        assert_eq!(berlin.hour(at("2024-10-27T01:30:00Z")), span("2024-10-27T01:00:00Z", "2024-10-27T02:00:00Z"));
        assert_eq!(berlin.local(at("2024-10-27T00:00:00Z")), berlin.local(at("2024-10-27T01:00:00Z")));
        assert_eq!(berlin.day(at("2024-10-27T12:00:00Z")).length(), 25 * HOUR);
        assert_eq!(berlin.day(at("2024-03-31T12:00:00Z")).length(), 23 * HOUR);
    }

    #[test]
    fn lord_howe_shifts_by_half_an_hour() {
        let howe = zone("Australia/Lord_Howe");
        // 2024-04-07 02:00 +11 -> 01:30 +10:30
        assert_eq!(howe.hour(at("2024-04-06T14:30:00Z")), span("2024-04-06T14:00:00Z", "2024-04-06T15:00:00Z"));
        assert_eq!(howe.hour(at("2024-04-06T15:10:00Z")), span("2024-04-06T15:00:00Z", "2024-04-06T15:30:00Z"));
        assert_eq!(howe.hour(at("2024-04-06T15:30:00Z")), span("2024-04-06T15:30:00Z", "2024-04-06T16:30:00Z"));
        // 2024-10-06 02:00 +10:30 -> 02:30 +11
        assert_eq!(howe.hour(at("2024-10-05T15:30:00Z")), span("2024-10-05T15:30:00Z", "2024-10-05T16:00:00Z"));
        assert_eq!(howe.day(at("2024-10-05T15:30:00Z")).length(), 23 * HOUR + HOUR / 2);
    }

    #[test]
    fn days_without_midnight_start_at_their_first_instant() {
        let sao_paulo = zone("America/Sao_Paulo");
        let day = sao_paulo.day(at("2018-11-04T12:00:00Z"));
        assert_eq!(day, span("2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"));
        let apia = zone("Pacific/Apia");
        assert_eq!(apia.day(at("2011-12-30T09:00:00Z")), span("2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"));
        assert_eq!(apia.day(at("2011-12-30T10:00:00Z")), span("2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"));
        // Toronto's clocks went from 23:30 to 00:30 on 30 March 1919: the 31st begins at half past midnight.
        let toronto = zone("America/Toronto");
        assert_eq!(toronto.day(at("1919-03-31T04:30:00Z")).start, at("1919-03-31T04:30:00Z"));
    }

    #[test]
    fn windows_tile_time_in_every_zone_around_every_change() {
        for name in ["America/St_Johns", "America/Havana", "Africa/Casablanca", "Asia/Tehran", "Antarctica/Troll"] {
            let zone = zone(name);
            let (mut t, until) = (zone.hour(at("2006-03-01T00:00:00Z")).start, at("2007-12-01T00:00:00Z"));
            while t < until {
                let hour = zone.hour(t);
                assert_eq!(hour.start, t, "{name}");
                assert!(hour.length() > 0 && hour.length() <= HOUR, "{name}");
                assert_eq!(zone.hour(hour.end - 1), hour, "{name}");
                let day = zone.day(t);
                assert!(day.start <= hour.start && hour.end <= day.end, "{name}: an hour lies in one day");
                t = hour.end;
            }
        }
    }

    #[test]
    fn instants_before_1970_work() {
        let span = Zone::utc().hour(-1);
        assert_eq!(span, Span { start: -HOUR, end: 0 });
    }
}
