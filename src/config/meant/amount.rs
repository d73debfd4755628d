//! Durations and sizes that are written in another way than here.

use crate::config::units::{self, DAY, MINUTE, SECOND};

/// Nanoseconds of an hour.
const HOUR: i64 = 60 * MINUTE;
/// Nanoseconds of a millisecond.
const MILLISECOND: i64 = 1_000_000;
/// Days of the longest duration that nanoseconds in 64 bits can hold.
const DAYS_MAX: i64 = i64::MAX / DAY;

/// Units as people write them, in lower case, with their nanoseconds.
const TIMES: [(&str, i64); 36] = [
    ("ms", MILLISECOND),
    ("msec", MILLISECOND),
    ("msecs", MILLISECOND),
    ("millis", MILLISECOND),
    ("millisecond", MILLISECOND),
    ("milliseconds", MILLISECOND),
    ("s", SECOND),
    ("sec", SECOND),
    ("secs", SECOND),
    ("second", SECOND),
    ("seconds", SECOND),
    ("m", MINUTE),
    ("mi", MINUTE),
    ("min", MINUTE),
    ("mins", MINUTE),
    ("minute", MINUTE),
    ("minutes", MINUTE),
    ("h", HOUR),
    ("hr", HOUR),
    ("hrs", HOUR),
    ("hour", HOUR),
    ("hours", HOUR),
    ("d", DAY),
    ("day", DAY),
    ("days", DAY),
    ("w", 7 * DAY),
    ("wk", 7 * DAY),
    ("week", 7 * DAY),
    ("weeks", 7 * DAY),
    ("mo", 30 * DAY),
    ("mon", 30 * DAY),
    ("month", 30 * DAY),
    ("months", 30 * DAY),
    ("y", 365 * DAY),
    ("year", 365 * DAY),
    ("years", 365 * DAY),
];

/// Units of bytes as people write them, in lower case.
const SIZES: [(&str, u64); 20] = [
    ("b", 1),
    ("byte", 1),
    ("bytes", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("kbyte", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("mbyte", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("gbyte", 1 << 30),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

/// Says what to write in place of a text that is no duration. `unit` is that of a number without one; `forever` says whether
/// that word may stand there.
pub fn duration(text: &str, unit: &str, forever: bool) -> String {
    let lower = text.trim().to_lowercase();
    let is_endless = ["forever", "never", "infinite", "infinity", "inf", "unlimited", "none", "always", "off", "-1"];
    if is_endless.contains(&lower.as_str()) {
        return match forever {
            true => "write \"forever\"".to_string(),
            false => "this one has an end: write a long one, as in \"3650d\"".to_string(),
        };
    }
    if lower.starts_with('-') {
        return "a duration is not negative: write it without the minus sign".to_string();
    }
    if !lower.is_empty() && lower.bytes().all(|b| b.is_ascii_digit()) {
        let others = units::NAMES.iter().filter(|name| **name != unit).copied().collect::<Vec<_>>().join(", ");
        return format!("the unit is missing: write \"{lower}{unit}\", or {others} in place of {unit}");
    }
    match nanoseconds(&lower) {
        Some(0) if !lower.contains('0') => "the shortest unit is ms: write \"1ms\" or longer".to_string(),
        Some(total) => format!("write {:?}", duration_text(total)),
        None if too_long(&lower) => format!("it is too long: write \"{DAYS_MAX}d\" at most"),
        None => "write a number and ms, s, m, h or d, as in \"10m\"".to_string(),
    }
}

/// True if a text is a duration that is too long for nanoseconds in 64 bits.
fn too_long(lower: &str) -> bool {
    let digits = lower.bytes().take_while(u8::is_ascii_digit).count();
    digits > 4 && TIMES.iter().any(|(name, _)| lower[digits..].trim() == *name)
}

/// Nanoseconds of a text in which people and other programs write a duration; `None` if it is something else.
fn nanoseconds(lower: &str) -> Option<i64> {
    // ISO 8601: PT10M, P7D.
    let iso = lower.strip_prefix('p').map(|rest| rest.replacen('t', "", 1));
    let mut rest = iso.as_deref().unwrap_or(lower).trim();
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let (_, unit) = TIMES.iter().find(|(name, _)| *name == &rest[..end])?;
        let nanoseconds = (number * *unit as f64 / MILLISECOND as f64).round() * MILLISECOND as f64;
        // What is as large as this loses whole days in a float, and does not fit soon.
        total = (nanoseconds < 9e18).then(|| total.checked_add(nanoseconds as i64)).flatten()?;
        rest = rest[end..].trim_start_matches([' ', ',', '+']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    (!lower.is_empty()).then_some(total)
}

/// A duration in whole milliseconds as it is written: `90m` is "1h30m".
pub fn duration_text(nanoseconds: i64) -> String {
    let mut rest = nanoseconds;
    let mut out = String::new();
    for (name, unit) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND)] {
        if rest >= unit {
            out += &format!("{}{name}", rest / unit);
            rest %= unit;
        }
    }
    if out.is_empty() { "0s".to_string() } else { out }
}

/// Says what to write in place of a text that is no size.
pub fn size(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let unit = lower[digits..].trim();
    let unit = if unit.is_empty() { Some(1) } else { SIZES.iter().find(|(name, _)| *name == unit).map(|(_, u)| *u) };
    let number: Option<f64> = lower[..digits].parse().ok();
    match number.zip(unit).map(|(number, unit)| number * unit as f64) {
        Some(bytes) if (1.0..9e15).contains(&bytes) => format!("write {:?}", size_text(bytes.round() as u64)),
        _ => "write a number and KiB, MiB or GiB, as in \"1GiB\"".to_string(),
    }
}

/// A size as it is written, in the largest unit that has no fraction.
pub fn size_text(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_other_programs() {
        for (text, meant) in [
            ("10min", "10m"),
            ("1 hour", "1h"),
            ("90sec", "1m30s"),
            ("1w", "7d"),
            ("1.5h", "1h30m"),
            ("2 days", "2d"),
            ("10M", "10m"),
            ("PT10M", "10m"),
            ("P7D", "7d"),
            ("1 hour and 30 minutes", "1h30m"),
            ("1h, 30min", "1h30m"),
            ("0.5s", "500ms"),
            ("1mo", "30d"),
        ] {
            assert_eq!(duration(text, "s", false), format!("write {meant:?}"), "{text}");
            assert!(units::duration(meant).is_some(), "{meant}");
        }
        assert!(duration("10", "s", false).contains("write \"10s\", or ms, m, h, d"));
        assert_eq!(duration("never", "d", true), "write \"forever\"");
        assert!(duration("forever", "d", false).contains("\"3650d\""));
        assert!(duration("-5m", "s", false).contains("minus"));
        assert!(duration("999999999d", "d", false).contains(&format!("{DAYS_MAX}d")));
        assert!(units::duration(&format!("{DAYS_MAX}d")).is_some());
        for odd in ["", "soon", "10:30", "m", "10 fortnights", "1e400h", "99999999999999999999999999"] {
            assert!(duration(odd, "s", false).contains("write "), "{odd}");
        }
    }

    #[test]
    fn sizes_of_other_programs() {
        for (text, meant) in [
            ("500M", "500MiB"),
            ("1g", "1GiB"),
            ("1Gi", "1GiB"),
            ("1.5GiB", "1536MiB"),
            ("1TB", "1024GiB"),
            ("1073741824", "1GiB"),
            ("64 mb", "64MiB"),
        ] {
            assert_eq!(size(text), format!("write {meant:?}"), "{text}");
            assert!(units::bytes(meant).is_some(), "{meant}");
        }
        for odd in ["", "large", "-1GiB", "0", "1.2.3M", "99999999999999999999GiB"] {
            assert!(size(odd).contains("as in \"1GiB\""), "{odd}");
        }
    }
}
