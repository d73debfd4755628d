//! The table of keys against everything that speaks of keys: the checked configuration, the samples and the documents.

mod support;

use support::repository;
use telegraf_rollup::config::Config;
use telegraf_rollup::config::keys::{self, ConfigKey, KEYS, KeyType, REQUIRED};
use toml::{Table, Value};

/// A valid configuration with every key of the table.
const FULL: &str = include_str!("support/full.toml");

fn check(text: &str) -> Result<Config, Vec<String>> {
    Config::check(text, &|_| None).map_err(|report| report.0.iter().map(ToString::to_string).collect())
}

fn key_at(path: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.path == path)
}

fn is_free(path: &str) -> bool {
    key_at(path).is_some_and(|key| key.key_type == KeyType::FreeTable)
}

fn joined(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_string() } else { format!("{section}.{name}") }
}

/// True if a list of tables is on the way to the key: what stands there is the user's.
fn is_in_list(key: &ConfigKey) -> bool {
    key.path.starts_with("summary") || key.path.starts_with("anomaly")
}

/// All keys of a document with their values, tables and what is in them alike.
fn flat(section: &str, table: &Table) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (name, value) in table {
        let path = joined(section, name);
        match value {
            Value::Table(inner) if !is_free(&path) => out.extend(flat(&path, inner)),
            Value::Array(items) => items.iter().filter_map(Value::as_table).for_each(|t| out.extend(flat(&path, t))),
            _ => {}
        }
        out.push((path, value.clone()));
    }
    out
}

/// The full configuration after a look at each key: `None` takes it away.
fn changed(change: &dyn Fn(&str, &Value) -> Option<Value>) -> String {
    fn walk(section: &str, table: &Table, change: &dyn Fn(&str, &Value) -> Option<Value>) -> Table {
        let inner = |path: &str, value: &Value| match value {
            Value::Table(table) if !is_free(path) => Value::Table(walk(path, table, change)),
            Value::Array(items) if items.iter().all(Value::is_table) => {
                let tables = items.iter().filter_map(Value::as_table);
                Value::Array(tables.map(|t| Value::Table(walk(path, t, change))).collect())
            }
            other => other.clone(),
        };
        let each = table.iter().filter_map(|(name, value)| {
            let path = joined(section, name);
            Some((name.clone(), change(&path, &inner(&path, value))?))
        });
        each.collect()
    }
    let full: Table = FULL.parse().expect("TOML");
    walk("", &full, change).to_string()
}

/// A key in a sample.
struct Shown {
    path: String,
    value: Value,
    is_commented: bool,
}

/// All keys of a sample, those behind a comment sign too.
fn sample(name: &str) -> Vec<Shown> {
    let text = std::fs::read_to_string(repository("telegraf").join(name)).expect("the sample");
    let live = flat("", &text.parse().expect("TOML"));
    let mut out: Vec<_> = live.into_iter().map(|(path, value)| Shown { path, value, is_commented: false }).collect();
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_string();
        }
        let Some(comment) = line.strip_prefix('#').map(str::trim) else { continue };
        // A comment that is no line of TOML is a sentence.
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.');
        if comment.split_once(" = ").is_some_and(|(name, _)| is_word(name))
            && let Ok(table) = comment.parse::<Table>()
        {
            let keys = flat(&section, &table).into_iter();
            out.extend(keys.map(|(path, value)| Shown { path, value, is_commented: true }));
        }
    }
    out
}

/// The value of a key's default; `None` if it has none.
fn default_value(key: &ConfigKey) -> Option<Value> {
    let table: Table = format!("x = {}", key.written_default()?).parse().expect("a value of TOML");
    table.get("x").cloned()
}

/// A valid value that is not the default.
fn other_value(key: &ConfigKey) -> Value {
    match (key.path, key.key_type) {
        ("timezone", _) => "Asia/Seoul".into(),
        ("state_dir", _) => "/elsewhere".into(),
        ("sink.tls", _) => "off".into(),
        ("sink.migrate", _) => "check".into(),
        (_, KeyType::Duration) => "90s".into(),
        (_, KeyType::DurationOrForever) => "50d".into(),
        (_, KeyType::Size) => "3GiB".into(),
        (_, KeyType::WholeNumber) => 77.into(),
        (_, KeyType::Number) => 1.5.into(),
        (_, KeyType::TextList) => vec!["daily"].into(),
        _ => panic!("{}: name a value", key.path),
    }
}

#[test]
fn the_full_configuration_is_full() {
    if let Err(problems) = check(FULL) {
        panic!("{problems:#?}");
    }
    let full = flat("", &FULL.parse().expect("TOML"));
    for key in KEYS {
        assert!(full.iter().any(|(path, _)| path == key.path), "{} is missing", key.path);
    }
}

#[test]
fn the_samples_show_every_key_and_no_other() {
    for name in ["rollup.toml", "rollup-windows-hwinfo.toml"] {
        for shown in sample(name) {
            assert!(key_at(&shown.path).is_some(), "{name}: {} is not in the table of keys", shown.path);
        }
    }
    let sample = sample("rollup.toml");
    for key in KEYS {
        assert!(sample.iter().any(|shown| shown.path == key.path), "rollup.toml does not show {}", key.path);
    }
}

#[test]
fn the_sample_shows_the_default_of_the_table() {
    let sample = sample("rollup.toml");
    for key in KEYS {
        let mut shown = sample.iter().filter(|shown| shown.path == key.path);
        match default_value(key) {
            // In a list each place may show something else, but one shows what holds without the key.
            Some(default) if is_in_list(key) => {
                assert!(shown.any(|s| s.value == default), "{}: the sample nowhere shows {default}", key.path);
            }
            Some(default) => {
                shown.for_each(|s| assert_eq!(s.value, default, "{}: shown is not the default", key.path));
            }
            None if is_in_list(key) || key.key_type == KeyType::Section => {}
            None => assert!(shown.all(|s| s.is_commented), "{} has no default: comment it out", key.path),
        }
    }
}

#[test]
fn the_defaults_of_the_table_are_those_that_hold() {
    // Files for encryption stand in the way of tls = "off", and the horizon of the summary in that of all.
    let files = ["sink.ca_file", "sink.client_cert", "sink.client_key", "summary.missing.horizon"];
    let is_left_out = |path: &str| files.contains(&path) || key_at(path).and_then(default_value).is_some();
    let with = |path: &str, value: Option<&Value>| {
        let text = changed(&|at, old| match at {
            _ if at == path => value.cloned(),
            _ => (!is_left_out(at)).then(|| old.clone()),
        });
        check(&text).map(|config| format!("{config:?}")).unwrap_or_else(|problems| panic!("{path}: {problems:#?}"))
    };
    let bare = with("", None);
    let mut defaults = 0;
    for key in KEYS {
        let Some(default) = default_value(key) else { continue };
        if key.path == "state_dir" && cfg!(windows) {
            continue;
        }
        defaults += 1;
        assert_eq!(with(key.path, Some(&default)), bare, "{}: {default} is not what holds", key.path);
        assert_ne!(with(key.path, Some(&other_value(key))), bare, "{} changes nothing", key.path);
    }
    assert!(defaults > 20, "only {defaults} defaults");
    // A section that is not there says the same as one that is empty.
    let without_empty = changed(&|path, old| {
        let is_empty = old.as_table().is_some_and(Table::is_empty);
        (!is_left_out(path) && !is_empty && !["flush", "limits"].contains(&path)).then(|| old.clone())
    });
    assert!(!without_empty.contains("[flush]") && !without_empty.contains("[limits]"), "{without_empty}");
    assert_eq!(format!("{:?}", check(&without_empty).expect("valid")), bare);
}

#[test]
fn a_key_is_required_where_the_table_says_so() {
    // One of two must be there, or both together.
    let pairs = ["anomaly.column", "anomaly.source", "anomaly.when", "anomaly.zscore"];
    let pairs = [&pairs[..], &["anomaly", "sink.url", "sink.client_cert", "sink.client_key"]].concat();
    for key in KEYS {
        let text = changed(&|path, old| (path != key.path).then(|| old.clone()));
        let problems = check(&text).err().unwrap_or_default();
        if key.default == REQUIRED {
            let name = if key.path == "summary" { "[[summary]]" } else { key.name() };
            let is_missing = |p: &String| p.contains(&format!("missing key `{name}`"));
            assert!(problems.iter().any(is_missing), "{} is not required: {problems:#?}", key.path);
        } else if !pairs.contains(&key.path) {
            assert!(problems.is_empty(), "{} is required: {problems:#?}", key.path);
        }
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    let refused = |key: &ConfigKey, value: &Value| {
        let text = changed(&|path, old| Some(if path == key.path { value.clone() } else { old.clone() }));
        let problems = check(&text).err().unwrap_or_default();
        let is_refused = |p: &String| {
            let names_it = p.contains(&format!("{}: ", key.name())) || p.contains(&format!("{}[0]: ", key.name()));
            names_it && (p.contains("found a boolean") || p.contains("must be a list of tables"))
        };
        let words = key.key_type.words();
        assert!(problems.iter().any(is_refused), "{}: {value} is no {words}: {problems:#?}", key.path);
    };
    for key in KEYS {
        refused(key, &true.into());
        if matches!(key.key_type, KeyType::TextList | KeyType::SectionList) {
            refused(key, &vec![true].into());
        }
    }
}

/// The full configuration with a line more at the head of a section, and the number of that line.
fn with_line(text: &str, section: &str, line: &str) -> (String, usize) {
    let mut lines: Vec<&str> = text.lines().collect();
    let is_head = |line: &&str| line.starts_with('[') && line.trim_matches(['[', ']']) == section;
    let place = if section.is_empty() { 0 } else { lines.iter().position(is_head).expect("the section") + 1 };
    lines.insert(place, line);
    (lines.join("\n"), place + 1)
}

/// The path of a key in the first table of a section, as a report spells it.
fn reported(section: &str, name: &str) -> String {
    let mut path = String::new();
    let mut plain = String::new();
    for part in section.split('.').filter(|part| !part.is_empty()) {
        plain = joined(&plain, part);
        let is_list = key_at(&plain).is_some_and(|key| key.key_type == KeyType::SectionList);
        path = joined(&path, &format!("{part}{}", if is_list { "[0]" } else { "" }));
    }
    joined(&path, name)
}

/// Every table of the document, the root first.
fn sections() -> Vec<&'static str> {
    let tables = KEYS.iter().filter(|key| matches!(key.key_type, KeyType::Section | KeyType::SectionList));
    std::iter::once("").chain(tables.map(|key| key.path)).collect()
}

#[test]
fn an_unknown_key_is_one_problem_with_the_nearest_known_key() {
    for section in sections() {
        for name in keys::names(section) {
            let typo = format!("{name}x");
            let (text, line) = with_line(FULL, section, &format!("{typo} = 1"));
            let path = reported(section, &typo);
            let wanted = format!("line {line}: {path}: unknown key: did you mean `{name}`?");
            assert_eq!(check(&text).err(), Some(vec![wanted]));
        }
        let (text, line) = with_line(FULL, section, "quite_another = 1");
        let path = reported(section, "quite_another");
        let known = keys::listed(section).join(", ");
        let wanted = format!("line {line}: {path}: unknown key: remove it; known here are {known}");
        assert_eq!(check(&text).err(), Some(vec![wanted]));
    }
}

#[test]
fn unknown_keys_at_all_levels_are_reported_at_once() {
    let add = |text: String, section: &&str| with_line(&text, section, "quite_another = 1").0;
    let text = sections().iter().fold(FULL.to_string(), add);
    let lines = text.lines().zip(1..).filter(|(line, _)| line.starts_with("quite_another"));
    let wanted: Vec<String> = lines.map(|(_, number)| format!("line {number}: ")).collect();
    let problems = check(&text).err().unwrap_or_default();
    assert_eq!((problems.len(), wanted.len()), (sections().len(), sections().len()), "{problems:#?}");
    for (problem, line) in problems.iter().zip(&wanted) {
        assert!(problem.starts_with(line) && problem.contains("quite_another: unknown key"), "{problem}");
    }
}

#[test]
fn a_rule_with_both_conditions_has_one_problem() {
    let text = FULL.replace("baseline = 2\n", "baseline = 2\nwhen = \"> 1\"\n");
    let problems = check(&text).err().unwrap_or_default();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].contains("has both `when` and a z-score"), "{problems:#?}");
}

#[test]
fn what_later_versions_act_on_is_one_warning() {
    let text = format!("{FULL}[internal]\nx = 1\n[[alert]]\nx = 1\n[notify]\nx = 1\n[source]\nx = 1\n");
    let text = text.replacen("windows = [\"hourly\"]", "windows = [\"hourly\", \"weekly\"]", 1);
    let config = check(&text).expect("valid");
    let wanted = "not built yet, and ignored: [internal], [alert], [notify], [source], \"weekly\" in windows";
    assert_eq!(config.warnings, [wanted]);
    assert_eq!(config.warnings_of_run().count(), 0, "a running process says it again and again");
}

/// The documents that speak of keys, each with its text.
fn documents() -> Vec<(String, String)> {
    let mut paths = vec![repository("README.md"), repository("telegraf/README.md")];
    let docs = std::fs::read_dir(repository("docs")).expect("a folder");
    paths
        .extend(docs.map(|entry| entry.expect("an entry").path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    let read = |path: std::path::PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).expect("text"));
    paths.into_iter().map(read).collect()
}

#[test]
fn the_examples_of_the_documents_have_keys_of_the_table() {
    let mut readme = 0;
    for (name, text) in documents() {
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            let table: Table = block.parse().unwrap_or_else(|e| panic!("{name}: {e}\n{block}"));
            let keys = flat("", &table);
            for (path, _) in &keys {
                assert!(key_at(path).is_some(), "{name}: {path} is not in the table of keys");
            }
            readme += if name.ends_with("README.md") { keys.len() } else { 0 };
        }
    }
    assert!(readme > 20, "the example of the README has {readme} keys");
}

/// The table of all keys, as the page of the configuration has it.
fn table_of_keys() -> String {
    let mut out = String::from("| key | type | without it | what it is for |\n|---|---|---|---|\n");
    for key in KEYS {
        let default = match key.default {
            "none" => String::new(),
            REQUIRED => "required".to_string(),
            _ => format!("`{}`", key.written_default().expect("a default")),
        };
        out += &format!("| `{}` | {} | {default} | {} |\n", key.path, key.key_type.words(), key.meaning);
    }
    out
}

/// With `ROLLUP_BLESS=1` the page is written anew.
#[test]
fn the_page_of_the_configuration_documents_every_key() {
    let path = repository("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("text");
    let begin = page.find("--test config documents -->\n").expect("the begin") + "--test config documents -->\n".len();
    let end = page.find("<!-- end of the table -->").expect("the end");
    let table = format!("\n{}\n", table_of_keys());
    if std::env::var_os("ROLLUP_BLESS").is_some() {
        std::fs::write(&path, format!("{}{table}{}", &page[..begin], &page[end..])).expect("writable");
    } else {
        assert!(page[begin..end] == table, "with ROLLUP_BLESS=1 the table is written anew:{table}");
    }
}

#[test]
fn the_documents_name_keys_of_the_table() {
    let mut named = 0;
    for (name, text) in documents() {
        for code in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let word = code.split(' ').next().unwrap_or_default();
            let is_path = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.');
            let section = word.split_once('.').map_or("", |(section, _)| section);
            let has_section = key_at(section).is_some();
            let is_file = [".rs", ".db"].iter().any(|end| word.ends_with(end));
            if is_path && has_section && !is_file {
                named += 1;
                assert!(key_at(word).is_some(), "{name}: `{word}` is not in the table of keys");
            }
        }
    }
    assert!(named > 5, "only {named} names");
}
