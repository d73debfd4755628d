//! Numbers, times and counts as people read them.

use super::rows::ReportRow;
use jiff::civil::{Date, DateTime};

/// Returns a number with as many digits as people compare: three or four that count, no exponent.
pub fn number(value: f64) -> String {
    let size = value.abs();
    let is_whole = value == value.trunc();
    let digits = if is_whole || size >= 1_000.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        2
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("\u{2212}", rest));
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && whole.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Returns a number with its unit.
pub fn with_unit(value: f64, unit: &str) -> String {
    let gap = if unit.is_empty() { "" } else { "\u{a0}" };
    format!("{}{gap}{unit}", number(value))
}

/// Returns a share of 1 in percent, rounded down, so that only what is whole is 100 %.
pub fn percent(share: f64) -> String {
    format!("{}\u{a0}%", (share * 100.0 + 1e-9).floor().clamp(0.0, 100.0))
}

/// Returns "1 device", "2 devices".
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 {
        noun.to_string()
    } else {
        match noun.strip_suffix('y') {
            Some(stem) if !noun.ends_with("ay") => format!("{stem}ies"),
            _ => format!("{noun}s"),
        }
    };
    format!("{}\u{a0}{plural}", self::number(number as f64))
}

/// Returns a length of time in the unit that people would use; `seconds` is not negative.
pub fn span(seconds: i64) -> String {
    let of = |unit: i64, noun: &str| count((seconds / unit).unsigned_abs(), noun);
    match seconds {
        ..120 => of(1, "second"),
        120..7_200 => of(60, "minute"),
        7_200..172_800 => of(3_600, "hour"),
        _ => of(86_400, "day"),
    }
}

/// Returns a moment in the zone of a row: to the minute.
pub fn moment(at: i64, row: &ReportRow) -> String {
    let local = local_of(row).map_or(at, |local| at + local - row.start);
    let text = jiff::Timestamp::from_second(local).map(|at| at.strftime("%Y-%m-%d %H:%M").to_string());
    text.unwrap_or_default()
}

/// Returns the local time of a row as if it were UTC, in seconds since the epoch.
fn local_of(row: &ReportRow) -> Option<i64> {
    let text = if row.local.len() > 10 { row.local.clone() } else { format!("{} 00:00:00", row.local) };
    let civil: DateTime = text.replace(' ', "T").parse().ok()?;
    Some(jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?.as_second())
}

/// Returns the date of a row.
pub fn date(row: &ReportRow) -> Option<Date> {
    row.local.get(..10)?.parse().ok()
}

/// Returns a date with its weekday: `Sun 25 Oct 2026`.
pub fn day(row: &ReportRow) -> String {
    date(row).map_or_else(|| row.local.clone(), |date| date.strftime("%a %d %b %Y").to_string())
}

/// Returns the hour of a row: `2026-10-25 02:00`.
pub fn hour(row: &ReportRow) -> String {
    row.local.get(..16).unwrap_or(&row.local).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_people_compare() {
        for (value, text) in [
            (0.0, "0"),
            (42.0, "42"),
            (42.25, "42.2"),
            (-3.25, "\u{2212}3.25"),
            (0.01234, "0.0123"),
            (1234.5, "1234"),
            (12_345.6, "12\u{202f}346"),
            (1_234_567.0, "1\u{202f}234\u{202f}567"),
            (-12_345.0, "\u{2212}12\u{202f}345"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
        assert_eq!(with_unit(81.5, "°C"), "81.5\u{a0}°C");
        assert_eq!((percent(0.9999).as_str(), percent(1.0).as_str()), ("99\u{a0}%", "100\u{a0}%"));
    }

    #[test]
    fn counts_and_spans_agree_in_number() {
        assert_eq!(count(1, "device"), "1\u{a0}device");
        assert_eq!(count(2, "anomaly"), "2\u{a0}anomalies");
        assert_eq!(count(0, "day"), "0\u{a0}days");
        assert_eq!(span(60), "60\u{a0}seconds");
        assert_eq!(span(3 * 3_600), "3\u{a0}hours");
        assert_eq!(span(86_400 * 3), "3\u{a0}days");
    }

    #[test]
    fn times_are_those_of_the_row() {
        let row = ReportRow {
            start: 1_792_886_400, // 2026-10-25 00:00 UTC
            local: "2026-10-25 02:00:00".to_string(),
            zone: "Europe/Berlin".to_string(),
            values: vec![],
            samples: 0,
            coverage: 0.0,
            is_final: true,
            last_seen: None,
        };
        assert_eq!(moment(row.start + 90, &row), "2026-10-25 02:01");
        assert_eq!((hour(&row).as_str(), day(&row).as_str()), ("2026-10-25 02:00", "Sun 25 Oct 2026"));
    }
}
