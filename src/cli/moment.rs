//! Times as people type them: one form for all commands.
//!
//! A time names its offset from UTC (RFC 3339), or it is one of the zone of the configuration, as the rows that people look at
//! are. A date alone is its first instant there. Deliberately absent: words as `yesterday`, which would need a clock.

use crate::engine::zone::Zone;
use anyhow::Context;
use jiff::{Timestamp, civil, tz};

/// Fewer digits are a date, or a slip: as seconds they would be a time before 1973.
const DIGITS_OF_SECONDS_MIN: usize = 9;

/// Reads the value of an option: RFC 3339, a date with or without a time of day in `zone`, or seconds since the epoch.
/// Returns nanoseconds since the epoch. Where clocks change, a time that comes twice is the earlier one, and one that is
/// left out is as long behind the change.
///
/// # Errors
/// It is none of these, or no instant that 64 bits of nanoseconds hold (1677 to 2262).
pub fn parse(option: &str, text: &str, zone: &Zone) -> anyhow::Result<i64> {
    instant(text.trim(), zone).with_context(|| {
        format!(
            "{option} {text:?} is not a time: write 2026-01-31 or '2026-01-31 12:00', in {} as the configuration says, or with an \
             offset, as in 2026-01-31T12:00:00Z",
            zone.name()
        )
    })
}

/// An instant as people read it in a zone.
pub fn shown(at: i64, zone: &Zone) -> String {
    let at = Timestamp::from_nanosecond(i128::from(at)).unwrap_or_default();
    match rules(zone) {
        Some(rules) => format!("{} {}", at.to_zoned_datetime(rules).strftime("%Y-%m-%d %H:%M:%S%:z"), zone.name()),
        None => at.to_string(),
    }
}

fn rules(zone: &Zone) -> Option<tz::TimeZone> {
    tz::TimeZoneDatabase::bundled().get(zone.name()).ok()
}

fn instant(text: &str, zone: &Zone) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.len() >= DIGITS_OF_SECONDS_MIN && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1_000_000_000);
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => text.parse::<civil::DateTime>().ok()?.to_zoned_datetime(rules(zone)?).ok()?.timestamp(),
    };
    i64::try_from(at.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: &str) -> Option<String> {
        let zone = Zone::named(zone).expect("a zone");
        let at = parse("--now", text, &zone).ok()?;
        Some(Timestamp::from_nanosecond(i128::from(at)).expect("in range").to_string())
    }

    #[test]
    fn a_time_without_an_offset_is_one_of_the_zone() {
        for (text, zone, utc) in [
            ("2026-01-31", "UTC", "2026-01-31T00:00:00Z"),
            ("2026-01-31", "Asia/Seoul", "2026-01-30T15:00:00Z"),
            ("20260131", "Asia/Seoul", "2026-01-30T15:00:00Z"),
            (" 2026-01-31 12:00 ", "Asia/Seoul", "2026-01-31T03:00:00Z"),
            ("2026-01-31T12:00:00.5", "Asia/Kathmandu", "2026-01-31T06:15:00.5Z"),
            // The hour that comes twice is the first one; the hour that does not exist is behind the change.
            ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"),
            ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29T01:30:00Z"),
            // Clocks skip midnight there: the day begins at one o'clock.
            ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            // Whoever names an offset is believed, whatever the zone.
            ("2026-01-31T12:00:00Z", "Asia/Seoul", "2026-01-31T12:00:00Z"),
            ("2026-01-31 12:00:00Z", "Asia/Seoul", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00+05:45", "Asia/Seoul", "2026-01-31T06:15:00Z"),
            ("1700000000", "Asia/Seoul", "2023-11-14T22:13:20Z"),
            ("-100000000", "Asia/Seoul", "1966-10-31T14:13:20Z"),
        ] {
            assert_eq!(read(text, zone).as_deref(), Some(utc), "{text} {zone}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_the_zone_and_the_forms() {
        for text in [
            "",
            "yesterday",
            "0",
            "2026",
            "2026-02-30",
            "2026-01-31 25:00",
            "12:00",
            "31.01.2026",
            "1700000000000",
            "1700000000000000000",
            "2300-01-01",
            "1600-01-01T00:00:00Z",
            "2026-01-31T12:00:00+99:00",
        ] {
            assert_eq!(read(text, "UTC"), None, "{text}");
        }
        let error = parse("--from", "soon", &Zone::named("Asia/Seoul").expect("a zone")).expect_err("no time");
        let said = error.to_string();
        for part in ["--from \"soon\" is not a time", "2026-01-31", "in Asia/Seoul", "2026-01-31T12:00:00Z"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn an_instant_is_shown_in_the_zone() {
        let seoul = Zone::named("Asia/Seoul").expect("a zone");
        assert_eq!(shown(1_700_000_000_000_000_000, &seoul), "2023-11-15 07:13:20+09:00 Asia/Seoul");
    }
}
