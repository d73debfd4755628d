//! Values of another type than their key has: what to write instead, in the form that TOML takes.

use super::amount;
use super::toml_text::{key, quoted, quoted_list};
use crate::config::keys::{ConfigKey, KeyType};
use crate::config::units::SECOND;
use toml::de::DeValue;

/// Says what to write in place of a value of another type; with what was written, as far as that can be meant.
pub fn instead(known: &ConfigKey, value: &DeValue<'_>) -> String {
    let name = known.name();
    match (known.key_type, value) {
        (KeyType::Section, DeValue::Array(_)) => format!("write [{}] with one bracket", known.path),
        (KeyType::Section, DeValue::String(text)) if name == "missing" => {
            format!("write missing.horizon = {}", quoted(text))
        }
        (KeyType::Section, _) if known.path == "anomaly.source" => format!("write source = {SOURCE}"),
        (KeyType::Section, _) => format!("write [{}] on a line of its own, and its keys below", known.path),
        (KeyType::SectionList, _) if known.path == "summary.column.sources" => {
            format!("write sources = [{}]", text_of(value).and_then(source).unwrap_or_else(|| SOURCE.to_string()))
        }
        (KeyType::SectionList, _) => format!("write [[{}]] with two brackets, and its keys below", known.path),
        _ => {
            let meant = if known.section() == "sink" { of_sink(known, value) } else { converted(known, value) };
            format!("write {name} = {}", meant.unwrap_or_else(|| example(known)))
        }
    }
}

/// Says what to write in place of a value that is no text, under a key that the user has chosen.
pub fn entry(name: &str, value: &DeValue<'_>) -> String {
    format!("write {} = {}", key(name), text_of(value).map_or_else(|| "\"text\"".to_string(), |text| quoted(&text)))
}

/// A source, as an example.
const SOURCE: &str = "{ measurement = \"cpu\", field = \"usage_idle\" }";

/// A value that the key takes: its default, or what many write.
pub fn example(known: &ConfigKey) -> String {
    if let Some(default) = known.written_default() {
        return default;
    }
    let text = match known.path {
        "sink.url" => "\"mysql://user@db.example.org:3306/metrics\"",
        "sink.password_file" => "\"/etc/telegraf-rollup/mysql.password\"",
        "sink.ca_file" => "\"/etc/telegraf-rollup/ca.pem\"",
        "sink.client_cert" => "\"/etc/telegraf-rollup/client.pem\"",
        "sink.client_key" => "\"/etc/telegraf-rollup/client.key\"",
        "summary.name" => "\"device_summary\"",
        "summary.key" => "[\"host\"]",
        "summary.timezone_tag" => "\"tz\"",
        "summary.missing.horizon" => "\"7d\"",
        "summary.column.name" => "\"avg_cpu\"",
        "summary.column.method" => "\"avg\"",
        "summary.column.unit" => "\"%\"",
        "summary.column.valid" => "[0, 120]; inf and -inf stand for no limit",
        "summary.column.rules" => "[\"overheat\"], the name of an [[anomaly]]",
        "anomaly.name" => "\"overheat\"",
        "anomaly.column" => "\"max_temp\", the name of a column",
        "anomaly.when" => "\"> 80\"",
        "anomaly.zscore" => "3.0",
        path if path.ends_with(".measurement") => "\"cpu\"",
        path if path.ends_with(".field") => "\"usage_idle\"",
        path if path.ends_with(".tags") => "{ cpu = \"cpu-total\" }",
        _ => "\"text\"",
    };
    text.to_string()
}

/// What a word or a number of `[sink]` means. No other value of that section is shown.
fn of_sink(known: &ConfigKey, value: &DeValue<'_>) -> Option<String> {
    let text = match (known.path, value) {
        ("sink.tls", DeValue::Boolean(true)) => "\"verify-full\"",
        ("sink.tls", DeValue::Boolean(false)) => "\"off\"",
        ("sink.migrate", DeValue::Boolean(true)) => "\"auto\"",
        ("sink.migrate", DeValue::Boolean(false)) => "\"check\"",
        _ => return None,
    };
    Some(text.to_string())
}

/// A value as the key takes it; `None` if it cannot be meant.
fn converted(known: &ConfigKey, value: &DeValue<'_>) -> Option<String> {
    let text = text_of(value);
    let number = text.as_deref().and_then(number);
    let is_number = matches!(value, DeValue::Integer(_) | DeValue::Float(_));
    match known.key_type {
        KeyType::Text if known.path == "anomaly.when" => Some(format!("\"> {}\"", number.filter(|_| is_number)?)),
        KeyType::Text if known.path == "summary.name" && is_number => Some(format!("\"summary_{}\"", text?)),
        KeyType::Text => match value {
            DeValue::Array(items) => items.iter().find_map(|item| text_of(item.get_ref())).map(|text| quoted(&text)),
            DeValue::Boolean(_) | DeValue::Table(_) => None,
            _ => text.map(|text| quoted(&text)),
        },
        KeyType::Duration | KeyType::DurationOrForever if is_number => match number? {
            inf if inf == f64::INFINITY && known.key_type == KeyType::DurationOrForever => {
                Some("\"forever\"".to_string())
            }
            // Who writes no unit means that of the default, where that is a day.
            days if known.default.ends_with('d') && days >= 0.0 && days.fract() == 0.0 => Some(format!("\"{days}d\"")),
            seconds if (0.0..9e9).contains(&seconds) && seconds.fract() == 0.0 => Some(format!("\"{seconds}s\"")),
            seconds if (0.0..9e9).contains(&seconds) => {
                Some(quoted(&amount::duration_text((seconds * SECOND as f64) as i64)))
            }
            _ => None,
        },
        KeyType::Size if is_number => {
            let bytes = number.filter(|bytes| (1.0..9e15).contains(bytes) && bytes.fract() == 0.0)?;
            Some(quoted(&amount::size_text(bytes as u64)))
        }
        KeyType::WholeNumber => number.filter(|n| *n >= 0.0 && *n < 9e15 && n.fract() == 0.0).map(|n| n.to_string()),
        KeyType::Number => number.filter(|n| n.is_finite()).map(|n| format!("{n:?}")),
        KeyType::Range => range(value, text.as_deref()),
        KeyType::TextList => match value {
            DeValue::String(text) => Some(quoted_list(text.split(',').map(str::trim).filter(|part| !part.is_empty())))
                .filter(|list| list != "[]"),
            DeValue::Array(items) => {
                let texts: Vec<String> = items.iter().filter_map(|item| text_of(item.get_ref())).collect();
                (!texts.is_empty()).then(|| quoted_list(texts.iter().map(String::as_str)))
            }
            _ => None,
        },
        KeyType::FreeTable => {
            let texts: Vec<String> = match value {
                DeValue::String(text) => text.split(',').map(str::to_string).collect(),
                DeValue::Array(items) => items.iter().filter_map(|item| text_of(item.get_ref())).collect(),
                _ => return None,
            };
            let pairs: Option<Vec<String>> = texts.iter().map(|text| pair(text)).collect();
            Some(format!("{{ {} }}", pairs.filter(|pairs| !pairs.is_empty())?.join(", ")))
        }
        _ => None,
    }
}

/// A scalar as a text.
fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_string()),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}

/// A number in a text, also with a decimal comma or `_` between digits.
fn number(text: &str) -> Option<f64> {
    let text = text.trim().replace('_', "");
    text.parse().ok().or_else(|| text.replacen(',', ".", 1).parse().ok()).filter(|number: &f64| !number.is_nan())
}

/// A tag and its value in `cpu=cpu-total`, `cpu: cpu-total` or `cpu == "cpu-total"`.
fn pair(text: &str) -> Option<String> {
    let (name, value) = text.split_once(['=', ':'])?;
    let plain =
        |part: &str| part.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=')).to_string();
    let (name, value) = (plain(name), plain(value));
    (!name.is_empty() && !value.is_empty()).then(|| format!("{} = {}", key(&name), quoted(&value)))
}

/// A source in `cpu.usage_idle`, `cpu:usage_idle` or `cpu/usage_idle`.
fn source(text: String) -> Option<String> {
    let (measurement, field) = text.split_once(['.', ':', '/'])?;
    let fit = !measurement.is_empty() && !field.is_empty();
    fit.then(|| format!("{{ measurement = {}, field = {} }}", quoted(measurement), quoted(field)))
}

/// Two numbers in `0-100`, `0..100`, `[0, 100]` or `{ min = 0, max = 100 }`.
fn range(value: &DeValue<'_>, text: Option<&str>) -> Option<String> {
    if let DeValue::Table(table) = value {
        let at = |names: &[&str]| {
            let found = table.iter().find(|(key, _)| names.contains(&key.get_ref().as_ref()));
            found.and_then(|(_, value)| text_of(value.get_ref()))
        };
        return Some(format!("[{}, {}]", at(&["min", "low", "from"])?, at(&["max", "high", "to"])?));
    }
    let inner = text?.trim_matches(|c: char| c.is_whitespace() || "[](){}".contains(c));
    let separators = ["..=", "..", ",", ";", " to ", "-"];
    separators.iter().find_map(|separator| {
        // A minus in front is no separator.
        let at = inner.get(1..)?.find(separator)? + 1;
        let (low, high) = (number(&inner[..at])?, number(&inner[at + separator.len()..])?);
        (low <= high).then(|| format!("[{low}, {high}]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KEYS;
    use toml::de::DeTable;

    #[test]
    fn what_was_written_is_turned_into_what_to_write() {
        for (path, written, wanted) in [
            ("flush.every", "60", "write every = \"60s\""),
            ("flush.every", "1.5", "write every = \"1s500ms\""),
            ("lateness.max", "7", "write max = \"7d\""),
            ("lateness.max", "inf", "write max = \"forever\""),
            ("anomaly.when", "80", "write when = \"> 80\""),
            ("sink.tls", "true", "write tls = \"verify-full\""),
            ("sink.tls", "false", "write tls = \"off\""),
            ("sink.migrate", "false", "write migrate = \"check\""),
            ("summary.name", "5", "write name = \"summary_5\""),
            ("summary.column.name", "5", "write name = \"5\""),
            ("summary.key", "\"host\"", "write key = [\"host\"]"),
            ("summary.key", "\"host, region\"", "write key = [\"host\", \"region\"]"),
            ("summary.key", "[1, 2]", "write key = [\"1\", \"2\"]"),
            ("summary.column.sources.tags", "\"cpu=cpu-total\"", "write tags = { cpu = \"cpu-total\" }"),
            ("summary.column.sources.tags", "\"x\"", "write tags = { cpu = \"cpu-total\" }"),
            ("summary.column.sources.tags", "[\"a=b\", \"c: d\"]", "write tags = { a = \"b\", c = \"d\" }"),
            (
                "summary.column.sources",
                "\"cpu.usage_idle\"",
                "write sources = [{ measurement = \"cpu\", field = \"usage_idle\" }]",
            ),
            ("summary.column.sources.scale", "\"1,5\"", "write scale = 1.5"),
            ("summary.column.valid", "\"-40..120\"", "write valid = [-40, 120]"),
            ("summary.column.valid", "\"0-100\"", "write valid = [0, 100]"),
            ("summary.column.valid", "{ min = 0, max = 5 }", "write valid = [0, 5]"),
            ("limits.series", "\"1000\"", "write series = 1000"),
            ("limits.series", "1000.0", "write series = 1000"),
            ("limits.series", "-1", "write series = 1000000"),
            ("limits.journal_bytes", "1073741824", "write journal_bytes = \"1GiB\""),
            ("missing", "\"3h\"", "write missing.horizon = \"3h\""),
            ("sink", "5", "write [sink] on a line of its own"),
            ("sink", "[]", "write [sink] with one bracket"),
            ("sink.url", "12345", "write url = \"mysql://user@db.example.org:3306/metrics\""),
            ("sink.password_file", "12345", "write password_file = \"/etc/telegraf-rollup/mysql.password\""),
            ("timezone", "[\"UTC\"]", "write timezone = \"UTC\""),
        ] {
            let text = format!("x = {written}");
            let table = DeTable::parse(&text).expect("TOML");
            let (_, value) = table.get_ref().iter().next().expect("a value");
            let known = KEYS.iter().find(|key| key.path == path).expect(path);
            let said = instead(known, value.get_ref());
            assert!(said.starts_with(wanted), "{path} = {written}: {said}");
        }
    }

    #[test]
    fn every_key_has_an_example() {
        for known in KEYS {
            let is_section = matches!(known.key_type, KeyType::Section | KeyType::SectionList);
            assert!(is_section || example(known) != "\"text\"", "{}", known.path);
        }
    }
}
