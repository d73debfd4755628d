//! Numbers and lengths of time as people read them, for the log and for commands. Pure.

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A number with a comma in front of each three digits: `3,400`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// So many of a thing: `1 device`, `2 devices`, `3,400 rows`. The plural is the noun with an `s`.
pub fn some(n: u64, one: &str) -> String {
    format!("{} {one}{}", number(n), if n == 1 { "" } else { "s" })
}

/// A word for one thing, or for more.
pub fn verb<'w>(n: u64, one: &'w str, more: &'w str) -> &'w str {
    if n == 1 { one } else { more }
}

/// A length of time in nanoseconds, in its largest unit: `12 seconds`, `3 minutes`, `2 hours`, `5 days`.
pub fn lasting(nanoseconds: i64) -> String {
    let (unit, name) = match nanoseconds {
        i64::MIN..SECOND => return "less than a second".to_string(),
        SECOND..MINUTE => (SECOND, "second"),
        MINUTE..HOUR => (MINUTE, "minute"),
        HOUR..DAY => (HOUR, "hour"),
        DAY.. => (DAY, "day"),
    };
    some((nanoseconds / unit).unsigned_abs(), name)
}

/// How long ago that was: `3 minutes ago`, `just now`.
pub fn ago(nanoseconds: i64) -> String {
    if nanoseconds < SECOND { "just now".to_string() } else { format!("{} ago", lasting(nanoseconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(some(0, "row"), "0 rows");
        assert_eq!(some(1, "row"), "1 row");
        assert_eq!(some(999, "row"), "999 rows");
        assert_eq!(some(3_400, "row"), "3,400 rows");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!((verb(1, "is", "are"), verb(2, "is", "are")), ("is", "are"));
    }

    #[test]
    fn lengths_of_time_are_in_their_largest_unit() {
        for (nanoseconds, said) in [
            (-5 * SECOND, "less than a second"),
            (SECOND - 1, "less than a second"),
            (SECOND, "1 second"),
            (59 * SECOND, "59 seconds"),
            (MINUTE, "1 minute"),
            (12 * MINUTE + 59 * SECOND, "12 minutes"),
            (HOUR, "1 hour"),
            (23 * HOUR, "23 hours"),
            (DAY, "1 day"),
            (40 * DAY, "40 days"),
        ] {
            assert_eq!(lasting(nanoseconds), said);
        }
        assert_eq!((ago(0), ago(3 * MINUTE)), ("just now".to_string(), "3 minutes ago".to_string()));
    }
}
