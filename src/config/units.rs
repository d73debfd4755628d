//! How durations and sizes are written: `"1h30m"`, `"64MiB"`.

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Nanoseconds of a day of 24 hours.
pub const DAY: i64 = 86_400 * SECOND;

/// The units of durations, the shortest first.
pub const NAMES: [&str; 5] = ["ms", "s", "m", "h", "d"];

/// Nanoseconds of a text like `90s`, `1h30m` or `7d`; `None` if it is something else or does not fit.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        let unit: i64 = match rest[digits..unit_end].trim() {
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => 60 * MINUTE,
            "d" => DAY,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// Bytes of a text like `64MiB`; `None` if it is something else or does not fit.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let unit = match text[digits..].trim() {
        "B" => 1,
        "KiB" | "KB" => 1 << 10,
        "MiB" | "MB" => 1 << 20,
        "GiB" | "GB" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("10m"), Some(600_000_000_000));
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("0s"), Some(0));
        assert_eq!(duration("250ms"), Some(250_000_000));
        assert_eq!(duration("36500d"), Some(36_500 * 86_400_000_000_000));
        for bad in ["", "10", "m", "10x", "-1s", "1.5h", "999999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("64 MiB"), Some(64 << 20));
        assert_eq!(bytes("512B"), Some(512));
        for bad in ["", "1", "GiB", "1.5GiB", "-1B", "1TB", "99999999999GiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
