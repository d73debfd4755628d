//! Instants as the tables hold them. DATETIME, not TIMESTAMP: it neither ends in 2038 nor shifts with the session's zone.

use crate::engine::zone;
use crate::engine::zone::{WindowKind, Zone};
use jiff::civil;

/// The local start of a window: a datetime for hours, a date for days.
pub fn local(zone: &Zone, kind: WindowKind, start: i64) -> String {
    let local = zone.local(start);
    match kind {
        WindowKind::Hourly => civil_text(local),
        WindowKind::Daily => local.date().to_string(),
    }
}

/// `YYYY-MM-DD HH:MM:SS`, digit by digit: rows have up to five of them. Years have four digits: event times do.
fn civil_text(at: civil::DateTime) -> String {
    let mut text = String::with_capacity("YYYY-MM-DD HH:MM:SS.mmm".len());
    let mut put = |number: i16, unit: i16, behind: &str| {
        let mut unit = unit;
        while unit > 0 {
            text.push(char::from(b'0' + (number / unit % 10) as u8));
            unit /= 10;
        }
        text.push_str(behind);
    };
    put(at.year(), 1000, "-");
    for (number, behind) in
        [(at.month(), "-"), (at.day(), " "), (at.hour(), ":"), (at.minute(), ":"), (at.second(), "")]
    {
        put(i16::from(number), 10, behind);
    }
    text
}

/// An instant as `YYYY-MM-DD HH:MM:SS` in UTC.
pub fn datetime(at: i64) -> String {
    civil_text(zone::utc_datetime(at))
}

/// An instant as `YYYY-MM-DD HH:MM:SS.mmm` in UTC, cut, not rounded: rounding could show the next hour.
pub fn milliseconds(at: i64) -> String {
    let ms = at.div_euclid(1_000_000).rem_euclid(1000);
    let mut text = datetime(at.div_euclid(1_000_000_000) * 1_000_000_000);
    text.push('.');
    text.extend([ms / 100, ms / 10 % 10, ms % 10].map(|digit| char::from(b'0' + digit as u8)));
    text
}

/// Reads what [`datetime`] wrote.
pub fn parse_datetime(text: &str) -> Option<i64> {
    let at: civil::DateTime = text.parse().ok()?;
    i64::try_from(jiff::tz::TimeZone::UTC.to_timestamp(at).ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_and_read_back() {
        assert_eq!(milliseconds(1_709_683_199_999_999_999), "2024-03-05 23:59:59.999");
        assert_eq!(milliseconds(-1), "1969-12-31 23:59:59.999");
        assert_eq!(datetime(1_709_683_200_000_000_000), "2024-03-06 00:00:00");
        assert_eq!(parse_datetime("2024-03-06 00:00:00"), Some(1_709_683_200_000_000_000));
        assert_eq!(parse_datetime("never"), None);
        assert_eq!(milliseconds(1_709_683_200_007_000_000), "2024-03-06 00:00:00.007");
        // Event times are from 1828 to 2112.
        for at in (-4_500_000_000..4_500_000_000).step_by(86_399 * 7) {
            let (date, time) =
                (zone::utc_datetime(at * 1_000_000_000).date(), zone::utc_datetime(at * 1_000_000_000).time());
            let expected = format!("{date} {:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
            assert_eq!(datetime(at * 1_000_000_000), expected);
        }
    }
}
