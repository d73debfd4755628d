//! Keys that a section does not have.

use crate::config::keys::{self, KEYS, KeyType};
use crate::config::nearest::{distance, folded, nearest};

/// Keys of other programs, each with the section in which it is written and what stands for it here.
const SYNONYMS: [(&str, &str, &str); 38] = [
    ("", "tz", "timezone = \"Europe/Berlin\""),
    ("", "zone", "timezone = \"Europe/Berlin\""),
    ("", "data_dir", "state_dir"),
    ("", "database", "[sink] with url = \"mysql://user@host:3306/database\""),
    ("", "mysql", "[sink] with url = \"mysql://user@host:3306/database\""),
    ("", "sqlite", "[sink] with url = \"sqlite:///path/summary.db\""),
    ("", "output", "[sink]"),
    ("", "rollup", "[[summary]]"),
    ("sink", "dsn", "url = \"mysql://user@host:3306/database\""),
    ("sink", "uri", "url = \"mysql://user@host:3306/database\""),
    ("sink", "address", "url = \"mysql://user@host:3306/database\""),
    ("sink", "connection", "url = \"mysql://user@host:3306/database\""),
    ("sink", "host", "url = \"mysql://user@host:3306/database\""),
    ("sink", "port", "url = \"mysql://user@host:3306/database\""),
    ("sink", "user", "url = \"mysql://user@host:3306/database\""),
    ("sink", "username", "url = \"mysql://user@host:3306/database\""),
    ("sink", "database", "url = \"mysql://user@host:3306/database\""),
    ("sink", "db", "url = \"mysql://user@host:3306/database\""),
    ("sink", "type", "url = \"mysql://user@host:3306/database\""),
    ("sink", "socket", "url = \"mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock\""),
    ("sink", "path", "url = \"sqlite:///path/summary.db\""),
    ("sink", "file", "url = \"sqlite:///path/summary.db\""),
    ("sink", "password", "password_file = \"/etc/telegraf-rollup/mysql.password\", a file that holds it alone"),
    ("sink", "pass", "password_file = \"/etc/telegraf-rollup/mysql.password\", a file that holds it alone"),
    ("sink", "ssl", "tls = \"verify-full\""),
    ("sink", "ca", "ca_file"),
    ("flush", "interval", "every = \"1m\""),
    ("summary", "tags", "key = [\"host\"]"),
    ("summary", "group_by", "key = [\"host\"]"),
    ("summary", "interval", "windows = [\"hourly\", \"daily\"]"),
    ("summary.column", "function", "method = \"avg\""),
    ("summary.column", "aggregate", "method = \"avg\""),
    ("summary.column", "agg", "method = \"avg\""),
    ("summary.column", "type", "method = \"avg\""),
    ("summary.column.sources", "name", "measurement = \"cpu\""),
    ("summary.column.sources", "factor", "scale = 1.0"),
    ("anomaly", "threshold", "when = \"> 80\""),
    ("anomaly", "condition", "when = \"> 80\""),
];

/// Says what to do about a key that a section does not have; `None` if nothing is like it.
pub fn unknown(section: &str, name: &str) -> Option<String> {
    let own = keys::names(section);
    let word = folded(name);
    if let Some(near) = own.iter().find(|own| distance(&word, &folded(own)) <= 1 && word.len() > 2) {
        return Some(format!("did you mean `{near}`?"));
    }
    if let Some((.., written)) = SYNONYMS.iter().find(|(at, other, _)| *at == section && *other == word) {
        return Some(format!("write {written}"));
    }
    if section == "anomaly.source" {
        return unknown("summary.column.sources", name);
    }
    if let Some(places) = places(section, &word) {
        return Some(places);
    }
    if let Some(near) = nearest(name, &own) {
        return Some(format!("did you mean `{near}`?"));
    }
    let elsewhere: Vec<&str> = KEYS.iter().filter(|key| key.section() != section).map(|key| key.name()).collect();
    let near = nearest(name, &elsewhere).filter(|near| word.len() >= 5 && distance(&word, near) <= 2)?;
    places(section, near).map(|places| format!("did you mean `{near}`? It {places}"))
}

/// Says where a key belongs that other sections have: those within this section, else those around it, else any.
fn places(section: &str, name: &str) -> Option<String> {
    let sections: Vec<&str> =
        KEYS.iter().filter(|key| key.name() == name && key.section() != section).map(|key| key.section()).collect();
    let below: Vec<&str> =
        sections.iter().copied().filter(|at| !section.is_empty() && at.starts_with(section)).collect();
    let around: Vec<&str> = sections.iter().copied().filter(|at| at.is_empty() || section.starts_with(at)).collect();
    let fit = [below, around, sections].into_iter().find(|sections| !sections.is_empty())?;
    let mut names: Vec<String> = fit.iter().map(|at| written(at)).collect();
    names.dedup();
    let last = names.pop()?;
    let names = if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) };
    let at = if fit == [""] { "at" } else { "in" };
    Some(format!("belongs {at} {names}: write it there"))
}

/// A section as people write it.
pub fn written(section: &str) -> String {
    match section {
        "" => "the top of the file, above the first [section]".to_string(),
        "summary.column.sources" => "a source of a column, as in sources = [{ measurement = \"cpu\" }]".to_string(),
        "anomaly.source" => "the source of an anomaly, as in source = { measurement = \"cpu\" }".to_string(),
        _ => {
            let is_list = KEYS.iter().any(|key| key.path == section && key.key_type == KeyType::SectionList);
            if is_list { format!("[[{section}]]") } else { format!("[{section}]") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_is_said() {
        for (section, name, wanted) in [
            ("", "timezon", "did you mean `timezone`?"),
            ("", "Timezone", "did you mean `timezone`?"),
            ("", "state-dir", "did you mean `state_dir`?"),
            ("", "allowed", "belongs in [lateness]: write it there"),
            ("flush", "max", "belongs in [lateness]: write it there"),
            ("sink", "timezone", "belongs at the top of the file, above the first [section]: write it there"),
            ("summary.column", "measurement", "belongs in a source of a column"),
            ("summary.column", "key", "belongs in [[summary]]: write it there"),
            ("summary.column", "source", "did you mean `sources`?"),
            ("sink", "password", "write password_file"),
            ("anomaly", "threshold", "write when = \"> 80\""),
            ("anomaly.source", "factor", "write scale"),
            ("", "alowed", "did you mean `allowed`? It belongs in [lateness]"),
        ] {
            let said = unknown(section, name).unwrap_or_default();
            assert!(said.starts_with(wanted), "[{section}] {name}: {said}");
        }
        assert_eq!(unknown("summary", "colour"), None);
    }

    #[test]
    fn synonyms_are_no_keys_themselves() {
        for (section, name, _) in SYNONYMS {
            assert!(section.is_empty() || keys::names(section).len() > 1, "{section}");
            assert!(keys::find(section, name).is_none(), "[{section}] {name}");
        }
    }
}
