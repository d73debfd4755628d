//! Time zones by other names than those of IANA.

use crate::config::nearest::{distance, folded};
use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

/// Zones of places that many know: the first ones that come to mind for an offset from UTC.
const WELL_KNOWN: [&str; 40] = [
    "Pacific/Honolulu",
    "America/Anchorage",
    "America/Los_Angeles",
    "America/Phoenix",
    "America/Denver",
    "America/Chicago",
    "America/Mexico_City",
    "America/New_York",
    "America/Bogota",
    "America/Halifax",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Argentina/Buenos_Aires",
    "Atlantic/Azores",
    "Europe/London",
    "Europe/Lisbon",
    "Europe/Berlin",
    "Europe/Paris",
    "Africa/Lagos",
    "Africa/Johannesburg",
    "Africa/Cairo",
    "Europe/Helsinki",
    "Africa/Nairobi",
    "Europe/Istanbul",
    "Europe/Moscow",
    "Asia/Tehran",
    "Asia/Dubai",
    "Asia/Karachi",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Dhaka",
    "Asia/Bangkok",
    "Asia/Jakarta",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Pacific/Auckland",
];

/// What letters and the names of Windows may mean, in lower case. Some are names of IANA, too: old ones.
const OTHER_NAMES: [(&str, &[&str]); 48] = [
    ("kst", &["Asia/Seoul"]),
    ("jst", &["Asia/Tokyo"]),
    ("hkt", &["Asia/Hong_Kong"]),
    ("sgt", &["Asia/Singapore"]),
    ("pht", &["Asia/Manila"]),
    ("wib", &["Asia/Jakarta"]),
    ("ict", &["Asia/Bangkok"]),
    ("npt", &["Asia/Kathmandu"]),
    ("pkt", &["Asia/Karachi"]),
    ("ist", &["Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"]),
    ("gst", &["Asia/Dubai"]),
    ("trt", &["Europe/Istanbul"]),
    ("msk", &["Europe/Moscow"]),
    ("eet", &["Europe/Helsinki", "Europe/Kyiv"]),
    ("eest", &["Europe/Helsinki", "Europe/Kyiv"]),
    ("cet", &["Europe/Berlin", "Europe/Paris"]),
    ("mez", &["Europe/Berlin", "Europe/Vienna", "Europe/Zurich"]),
    ("met", &["Europe/Berlin", "Europe/Paris"]),
    ("cest", &["Europe/Berlin", "Europe/Paris"]),
    ("wet", &["Europe/Lisbon"]),
    ("west", &["Europe/Lisbon"]),
    ("bst", &["Europe/London"]),
    ("sast", &["Africa/Johannesburg"]),
    ("eat", &["Africa/Nairobi"]),
    ("wat", &["Africa/Lagos"]),
    ("cat", &["Africa/Maputo"]),
    ("brt", &["America/Sao_Paulo"]),
    ("art", &["America/Argentina/Buenos_Aires"]),
    ("est", &["America/New_York", "America/Panama"]),
    ("edt", &["America/New_York"]),
    ("est5edt", &["America/New_York"]),
    ("cst", &["America/Chicago", "Asia/Shanghai"]),
    ("cdt", &["America/Chicago"]),
    ("cst6cdt", &["America/Chicago"]),
    ("mst", &["America/Denver", "America/Phoenix"]),
    ("mdt", &["America/Denver"]),
    ("mst7mdt", &["America/Denver"]),
    ("pst", &["America/Los_Angeles"]),
    ("pdt", &["America/Los_Angeles"]),
    ("pst8pdt", &["America/Los_Angeles"]),
    ("akst", &["America/Anchorage"]),
    ("hst", &["Pacific/Honolulu"]),
    ("aest", &["Australia/Brisbane", "Australia/Sydney"]),
    ("aedt", &["Australia/Sydney"]),
    ("awst", &["Australia/Perth"]),
    ("nzst", &["Pacific/Auckland"]),
    ("korea_standard_time", &["Asia/Seoul"]),
    ("w._europe_standard_time", &["Europe/Berlin"]),
];

/// The middle of January and of July in one year, in seconds: between them lies every summer time.
const WINTER: i64 = 1_768_435_200;
const SUMMER: i64 = 1_784_073_600;

/// Says which name of IANA to write in place of a text that is none, as the end of a sentence.
pub fn zone(text: &str) -> String {
    let word = folded(text);
    if ["local", "localtime", "system", "here", "auto", "default"].contains(&word.as_str()) {
        return "that of the machine is not looked up, and `timedatectl` shows it".to_string();
    }
    if let Some((_, zones)) = OTHER_NAMES.iter().find(|(name, _)| *name == word) {
        return any_of(zones);
    }
    if let Some(seconds) = offset(&word) {
        return by_offset(seconds);
    }
    let names: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_string()).collect();
    let city = |name: &str| folded(name.rsplit('/').next().unwrap_or(name));
    let mut same: Vec<&str> = names.iter().filter(|name| folded(name) == word).map(String::as_str).collect();
    if same.is_empty() {
        let places = names.iter().filter(|name| name.contains('/') && city(name) == city(&word));
        // Old names of a place, as Asia/Calcutta, have another city; these would be its twins.
        same = places.filter(|name| !is_old(name)).map(String::as_str).take(3).collect();
    }
    if !same.is_empty() {
        return format!("did you mean {}?", any_of(&same));
    }
    let apart = |name: &&String| match word.contains('/') {
        true => distance(&word, &folded(name)),
        false => distance(&word, &city(name)),
    };
    let near = names.iter().filter(|name| name.contains('/') && !is_old(name)).min_by_key(apart);
    match near.filter(|name| word.len() >= 4 && apart(name) <= 1 + word.len() / 5) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "as in \"Europe/Berlin\" or \"UTC\"".to_string(),
    }
}

/// Returns a warning for a name that IANA knows, but that is hardly what was meant.
pub fn doubtful(name: &str) -> Option<String> {
    let word = folded(name);
    if let Some(behind) = word.strip_prefix("etc/gmt+").and_then(|hours| hours.parse::<u32>().ok()).filter(|h| *h > 0) {
        return Some(format!(
            "{name:?} is {behind} h behind UTC: its sign is turned round; if it should be ahead, write \"Etc/GMT-{behind}\""
        ));
    }
    // `folded` has made `_` of `-`.
    if let Some(ahead) = word.strip_prefix("etc/gmt_").and_then(|hours| hours.parse::<u32>().ok()).filter(|h| *h > 0) {
        return Some(format!(
            "{name:?} is {ahead} h ahead of UTC: its sign is turned round; if it should be behind, write \"Etc/GMT+{ahead}\""
        ));
    }
    let (_, zones) = OTHER_NAMES.iter().find(|(known, _)| *known == word)?;
    let summer = match (seconds_at(name, WINTER), seconds_at(name, SUMMER)) {
        (Some(winter), Some(summer)) if winter == summer => "without a summer time: ",
        _ => "",
    };
    Some(format!("{name:?} is an old name, {summer}write the zone of a place, as in {}", any_of(zones)))
}

/// True for names that are kept for old programs alone.
fn is_old(name: &str) -> bool {
    const OLD: [&str; 9] = ["US/", "Etc/", "SystemV/", "Brazil/", "Canada/", "Chile/", "Mexico/", "posix/", "right/"];
    OLD.iter().any(|start| name.starts_with(start))
}

/// Zones in words: `"a", "b" or "c"`.
fn any_of(zones: &[&str]) -> String {
    let quoted: Vec<String> = zones.iter().map(|zone| format!("{zone:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Seconds of an offset from UTC: `utc+9`, `gmt-3:30`, `+09:00`, `+0900`, `9`; `None` if it is something else.
fn offset(word: &str) -> Option<i32> {
    let named = word.strip_prefix("utc").or_else(|| word.strip_prefix("gmt"));
    let rest = named.unwrap_or(word).trim_start_matches('_');
    // Here too, `_` is what was `-`.
    let is_behind = word.contains('_') && !rest.starts_with('+');
    let (digits, has_sign) = match rest.strip_prefix('+') {
        Some(digits) => (digits, true),
        None => (rest, is_behind),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b':' || b == b'.') {
        return None;
    }
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?),
        None if digits.contains('.') => {
            let hours: f64 = digits.parse().ok()?;
            (0, (hours.abs().min(100.0) * 60.0).round() as i32)
        }
        None if digits.len() == 4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        None => (digits.parse().ok()?, 0),
    };
    let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    let is_offset = (has_sign || named.is_some()) && seconds <= 14 * 3600 && minutes < 24 * 60;
    is_offset.then_some(if is_behind { -seconds } else { seconds })
}

/// Offset of a zone at an instant, both in seconds.
fn seconds_at(name: &str, at: i64) -> Option<i32> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    Some(zone.to_offset(Timestamp::from_second(at).ok()?).seconds())
}

/// Names zones that have an offset.
fn by_offset(seconds: i32) -> String {
    if seconds == 0 {
        return "\"UTC\", or that of a place, as in \"Europe/London\"".to_string();
    }
    let of = |name: &str| Some((seconds_at(name, WINTER)?, seconds_at(name, SUMMER)?));
    let with = |fits: &dyn Fn(i32, i32) -> bool, most: usize| -> Vec<&str> {
        let fits = |name: &&str| of(name).is_some_and(|(winter, summer)| fits(winter, summer));
        WELL_KNOWN.iter().copied().filter(|name| fits(name)).take(most).collect()
    };
    let mut found = Vec::new();
    for (when, zones) in [
        ("all year", with(&|winter, summer| winter == seconds && summer == seconds, 3)),
        ("in January", with(&|winter, summer| winter == seconds && summer != seconds, 2)),
        ("in July", with(&|winter, summer| winter != seconds && summer == seconds, 2)),
    ] {
        if !zones.is_empty() {
            found.push(format!("{} ({when})", any_of(&zones)));
        }
    }
    // The sign of these names is turned round.
    let hours = -seconds / 3600;
    if found.is_empty() && seconds % 3600 == 0 && (-14..=12).contains(&hours) {
        found.push(format!("\"Etc/GMT{hours:+}\", whose sign is turned round"));
    }
    match found.is_empty() {
        true => "no place has this offset; as in \"Europe/Berlin\"".to_string(),
        false => found.join(", or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::zone::Zone;

    #[test]
    fn every_zone_that_is_named_is_one() {
        for name in WELL_KNOWN.iter().chain(OTHER_NAMES.iter().flat_map(|(_, zones)| zones.iter())) {
            assert!(Zone::named(name).is_some_and(|zone| zone.name() == *name), "{name}");
        }
    }

    #[test]
    fn what_was_meant_is_named() {
        for (text, wanted) in [
            ("Asia/Soul", "did you mean \"Asia/Seoul\"?"),
            ("Berlin", "did you mean \"Europe/Berlin\"?"),
            ("new york", "did you mean \"America/New_York\"?"),
            ("Europe/Seoul", "did you mean \"Asia/Seoul\"?"),
            ("America/New York", "did you mean \"America/New_York\"?"),
            ("Eurpe/Berlin", "did you mean \"Europe/Berlin\"?"),
            ("KST", "\"Asia/Seoul\""),
            ("IST", "\"Asia/Kolkata\", \"Asia/Jerusalem\" or \"Europe/Dublin\""),
            ("local", "`timedatectl`"),
            ("UTC+9", "\"Asia/Seoul\" or \"Asia/Tokyo\" (all year)"),
            ("+09:00", "\"Asia/Seoul\""),
            ("+0900", "\"Asia/Seoul\""),
            ("GMT+1", "\"Europe/Berlin\" or \"Europe/Paris\" (in January)"),
            ("GMT+1", "\"Europe/London\" or \"Europe/Lisbon\" (in July)"),
            ("UTC-5", "\"America/New_York\" (in January)"),
            ("UTC+5:30", "\"Asia/Kolkata\" (all year)"),
            ("UTC+5.75", "\"Asia/Kathmandu\""),
            ("-3", "\"America/Sao_Paulo\""),
            ("UTC+14", "\"Etc/GMT-14\""),
            ("UTC-12", "\"Etc/GMT+12\""),
            ("+00:00", "\"UTC\""),
        ] {
            let said = zone(text);
            assert!(said.contains(wanted), "{text}: {said}");
        }
        for odd in
            ["", "Mars/Olympus", "1", "UTC+99", "UTC+", "+", "x/y/z", "99999999999", "+99999999999:99999999999", "ü"]
        {
            assert!(zone(odd).contains("as in \"Europe/Berlin\""), "{odd}: {}", zone(odd));
        }
    }

    #[test]
    fn names_that_are_hardly_meant_are_warned_of() {
        for (name, wanted) in
            [("EST", "without a summer time"), ("Etc/GMT+9", "9 h behind UTC"), ("CET", "\"Europe/Berlin\"")]
        {
            assert!(Zone::named(name).is_some(), "{name}");
            assert!(doubtful(name).is_some_and(|said| said.contains(wanted)), "{name}: {:?}", doubtful(name));
        }
        for name in ["UTC", "Europe/Berlin", "Asia/Seoul", "Etc/UTC", "Etc/GMT", "GMT"] {
            assert_eq!(doubtful(name), None, "{name}");
        }
    }
}
