//! Broken configurations: each is told with its line, its path and a remedy, and no message holds a secret.
//!
//! The first part breaks every key of the table of keys in every way that fits its type. The second one has mistakes that
//! people make, with all that is said of them in `broken/messages.txt`; with `ROLLUP_BLESS=1` that file is written anew: read
//! the difference.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use support::{feed, program, repository};
use telegraf_rollup::config::Config;
use telegraf_rollup::config::keys::{ConfigKey, KEYS, KeyType};
use telegraf_rollup::config::report::Problem;

/// A valid configuration with every key, one in each line.
const FULL: &str = include_str!("support/full.toml");
/// A password that no message may hold.
const SECRET: &str = "hunter2";

/// What a message says that tells people what to do.
const REMEDIES: [&str; 9] =
    ["write", "remove", "did you mean", "add it", "choose another", "keep", "set `", "set it", "divide"];

fn problems(text: &str) -> Vec<Problem> {
    Config::check(text, &|_| None).err().map(|report| report.0).unwrap_or_default()
}

/// A broken text, and where its problem must be told.
struct Broken {
    name: String,
    text: String,
    line: usize,
    /// What the path ends with, places in lists left out.
    path: String,
}

/// The section of each line, as `summary.column`.
fn sections(text: &str) -> Vec<String> {
    let mut section = String::new();
    let of_line = |line: &str| {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_string();
        }
        section.clone()
    };
    text.lines().map(of_line).collect()
}

/// The number of the line, from 0, in which a key of the full configuration stands first; of a section that is its header.
fn line_of(text: &str, key: &ConfigKey) -> Option<usize> {
    let is_section = matches!(key.key_type, KeyType::Section | KeyType::SectionList | KeyType::FreeTable);
    let sections = sections(text);
    text.lines().enumerate().position(|(number, line)| match is_section {
        true => line.starts_with('[') && line.trim_matches(['[', ']']) == key.path,
        false => sections[number] == key.section() && line.starts_with(&format!("{} = ", key.name())),
    })
}

/// A text with another line in place of one.
fn with_line(text: &str, number: usize, line: &str) -> String {
    let lines = text.lines().enumerate().map(|(at, old)| if at == number { line } else { old });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Values that a key of a type does not take.
fn wrong_values(key: &ConfigKey) -> Vec<&'static str> {
    let mut values = match key.key_type {
        KeyType::Text => vec!["true", "5", "1.5", "[]", "[\"a\", \"b\"]", "{ a = 1 }", "1979-05-27"],
        KeyType::Duration => {
            vec!["false", "5", "1.5", "[]", "\"10\"", "\"soon\"", "\"10 min\"", "\"-5m\"", "\"\"", "\"forever\""]
        }
        KeyType::DurationOrForever => {
            vec!["false", "7", "inf", "[\"7d\"]", "\"30\"", "\"always\"", "\"1 week\"", "\"999999999d\""]
        }
        KeyType::Size => vec!["true", "1073741824", "\"500M\"", "\"1\"", "\"large\"", "\"\"", "[]"],
        KeyType::WholeNumber => vec!["true", "\"5\"", "1.5", "-1", "[5]", "{}"],
        KeyType::Number => vec!["true", "\"1,5\"", "\"x\"", "inf", "nan", "[1.5]"],
        KeyType::Range => vec![
            "true",
            "\"0-100\"",
            "5",
            "[1]",
            "[1, 2, 3]",
            "[2, 1]",
            "[\"a\", 1]",
            "[nan, 1]",
            "{ min = 0, max = 1 }",
        ],
        KeyType::TextList => vec!["true", "\"host\"", "5", "[1]", "[true]", "{}"],
        KeyType::FreeTable => vec!["true", "\"x\"", "\"a=b\"", "[\"a=b\"]", "{ a = 1 }", "{ a = true }"],
        KeyType::Section | KeyType::SectionList => vec![],
    };
    values.extend_from_slice(match key.path {
        "timezone" => &["\"Asia/Soul\"", "\"KST\"", "\"UTC+9\"", "\"Mars\"", "\"\""],
        "state_dir" => {
            &["\"state\"", "\"./state\"", "\"~/state\"", "\"\"", "\"C:\\temp\"", "\"%ProgramData%/x\"", "\"file:///x\""]
        }
        "sink.url" => &[
            "\"\"",
            "\"postgres://u@h/d\"",
            "\"db:3306\"",
            "\"mysql://u@::1/d\"",
            "\"mysql://u:a/b@h/d\"",
            "\"/x.db\"",
        ],
        "sink.password_file" => &["\"x\"", "\"~/x\"", "\"\"", "\"hunter2\""],
        "sink.ca_file" | "sink.client_cert" | "sink.client_key" => &["\"x\"", "\"~/x\"", "\"\""],
        "sink.tls" => &["\"on\"", "\"required\"", "\"\""],
        "sink.migrate" => &["\"never\"", "\"\""],
        "summary.name" => &["\"\"", "\"a-b\"", "\"5\"", "\"sqlite_x\""],
        "summary.key" => &["[]", "[\"a\", \"b\", \"c\", \"d\"]", "[\"zone\"]", "[\"\"]"],
        "summary.windows" => &["[]", "[\"hour\"]", "[\"daly\"]", "[\"weekly\"]", "[\"\"]"],
        "summary.expect_every" => &["\"0s\"", "\"25h\""],
        "summary.column.name" => &["\"\"", "\"samples\"", "\"host\"", "\"a\\tb\""],
        "summary.column.method" => &["\"mean\"", "\"median\"", "\"P95\"", "\"AVG\"", "\"\"", "\"p101\""],
        "summary.column.rules" => &["[]", "[\"fra\"]", "[\"nothing\"]", "[\"far\", \"far\"]"],
        "anomaly.name" => &["\"\""],
        "anomaly.column" => &["\"avg_w\"", "\"nothing\"", "\"\""],
        "anomaly.when" => &["\"80\"", "\"hot\"", "\"above 80\"", "\"> 1 and < 2\"", "\"\""],
        "anomaly.zscore" => &["0.0", "-1.0"],
        "anomaly.baseline" => &["0", "721"],
        "flush.every" | "flush.daily_every" => &["\"0s\"", "\"10ms\""],
        "retention.hourly" | "retention.daily" => &["\"1d\""],
        "retention.partials" => &["\"1d\""],
        "lateness.max" => &["\"1m\""],
        "durability.sync_every" => &["\"1ms\""],
        "limits.series" | "limits.devices" => &["0"],
        "limits.journal_bytes" => &["\"1MiB\""],
        path if path.ends_with(".measurement") || path.ends_with(".field") => &["\"\""],
        _ => &[],
    });
    values
}

/// Names that are nearly that of a key.
fn near_misses(name: &str) -> Vec<String> {
    let mut swapped: Vec<char> = name.chars().collect();
    swapped.swap(0, 1);
    let all = [
        name[..name.len() - 1].to_string(),
        format!("{}{name}", &name[..1]),
        swapped.into_iter().collect(),
        name.to_uppercase(),
        format!("{name}_"),
    ];
    all.into_iter().filter(|near| near != name).collect()
}

/// The full configuration, broken at every key in every way.
fn broken(full: &str) -> Vec<Broken> {
    let mut out = Vec::new();
    for key in KEYS {
        let Some(number) = line_of(full, key) else { continue };
        let line = full.lines().nth(number).expect("the line");
        let (name, path) = (key.name(), key.path);
        let mut add = |what: &str, text: String, at: usize, path: &str| {
            out.push(Broken { name: format!("{}: {what}", key.path), text, line: at + 1, path: path.to_string() });
        };
        for value in wrong_values(key) {
            let mut text = with_line(full, number, &format!("{name} = {value}"));
            if key.key_type == KeyType::FreeTable {
                text = with_line(&text, number + 1, "# what stood in the table");
            }
            add(value, text, number, name);
        }
        if line.starts_with('[') {
            let is_list = line.starts_with("[[");
            let other = if is_list { line[1..line.len() - 1].to_string() } else { format!("[{line}]") };
            let is_first = full.lines().filter(|other| *other == line).count() == 1;
            if is_first && key.key_type != KeyType::FreeTable {
                add(&other, with_line(full, number, &other), number, name);
            }
            add("no bracket", with_line(full, number, line.trim_end_matches(']')), number, name);
            let typo = line.replace(name, &format!("{name}x"));
            // What stands below the name is a list of its own.
            if key.key_type != KeyType::FreeTable && is_first && !full.contains(&format!("[{path}.")) {
                add(&typo, with_line(full, number, &typo), number, &format!("{name}x"));
            }
            continue;
        }
        for near in near_misses(name) {
            add(&near, with_line(full, number, &line.replacen(name, &near, 1)), number, &near);
        }
        let value = line.split_once(" = ").expect("a value").1;
        add("no value", with_line(full, number, &format!("{name} =")), number, name);
        add("no sign", with_line(full, number, &format!("{name} {value}")), number, name);
        add("a colon", with_line(full, number, &format!("{name}: {value}")), number, name);
        add("a semicolon", with_line(full, number, &format!("{line};")), number, name);
        let twice = with_line(full, number, &format!("{line}\n{line}"));
        add("twice", twice, number + 1, name);
        if value.starts_with('"') {
            add("no closing quote", with_line(full, number, line.trim_end_matches('"')), number, name);
            add("no quotes", with_line(full, number, &line.replace('"', "")), number, name);
            add("typographic quotes", with_line(full, number, &line.replacen('"', "“", 1)), number, name);
        }
        let sink = full.lines().position(|line| line == "[sink]").expect("the section");
        if key.section() != "sink" {
            let elsewhere = with_line(full, sink, &format!("[sink]\n{line}"));
            // A name of [sink] itself is no problem there, and one like it is taken for that one.
            add("in [sink]", elsewhere, sink + 1, name);
        }
    }
    out
}

/// A path without the places in lists and without quotes.
fn plain(path: &str) -> String {
    let mut depth = 0;
    let keep = |c: char| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        depth == 0 && c != ']' && c != '"'
    };
    path.chars()
        .filter({
            let mut keep = keep;
            move |c| keep(*c)
        })
        .collect()
}

#[test]
fn hundreds_of_broken_configurations_are_told_with_line_path_and_remedy() {
    assert!(problems(FULL).is_empty(), "{:#?}", problems(FULL));
    // The same with a password in the url.
    let with_secret = FULL
        .replace("mysql://user@", &format!("mysql://user:{SECRET}@"))
        .replace("password_file = \"/password\"\n", "");
    assert!(with_secret.contains(SECRET) && problems(&with_secret).is_empty(), "{:#?}", problems(&with_secret));
    let all: Vec<Broken> = broken(FULL).into_iter().chain(broken(&with_secret)).collect();
    let mut failed = Vec::new();
    for Broken { name, text, line, path } in &all {
        let found = problems(text);
        let is_told = |problem: &Problem| {
            let ends = plain(&problem.path);
            problem.line == *line
                && (ends == *path || ends.ends_with(&format!(".{path}")) || ends.contains(&format!(".{path}.")))
        };
        let has_remedy = |problem: &Problem| REMEDIES.iter().any(|word| problem.message.contains(word));
        let has_secret = found.iter().any(|problem| problem.to_string().contains(SECRET));
        let is_fine = found.iter().any(|problem| is_told(problem) && has_remedy(problem))
            && found.iter().all(|problem| has_remedy(problem) && !problem.path.is_empty())
            && found.iter().all(|problem| (1..=text.lines().count()).contains(&problem.line))
            && !has_secret;
        if !is_fine {
            let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
            failed.push(format!(
                "{name}: line {line}, {path}: {}: {shown:#?}",
                text.lines().nth(line - 1).unwrap_or("?")
            ));
        }
    }
    eprintln!("{} broken configurations", all.len());
    assert!(all.len() >= 300, "only {}", all.len());
    assert!(
        failed.is_empty(),
        "{} of {} failed:\n{}",
        failed.len(),
        all.len(),
        failed[..failed.len().min(25)].join("\n")
    );
}

/// Each key that is nearly one of the table is told by the name that was meant.
#[test]
fn a_key_that_is_nearly_right_is_told_by_its_name() {
    for key in KEYS {
        let Some(number) = line_of(FULL, key).filter(|at| !FULL.lines().nth(*at).expect("a line").starts_with('['))
        else {
            continue;
        };
        let line = FULL.lines().nth(number).expect("the line");
        for near in near_misses(key.name()) {
            let found = problems(&with_line(FULL, number, &line.replacen(key.name(), &near, 1)));
            let wanted = format!("did you mean `{}`?", key.name());
            let is_named = found.iter().any(|p| p.line == number + 1 && p.message.contains(&wanted));
            assert!(is_named, "{near}: {wanted}: {found:#?}");
        }
    }
}

/// However a configuration is torn, nobody panics, and what is refused has a line, a path and a remedy.
#[test]
fn a_configuration_that_is_cut_anywhere_is_told() {
    for (at, _) in FULL.char_indices().step_by(7) {
        for text in [
            FULL[..at].to_string(),
            format!("{}{}", &FULL[..at], &FULL[at + 1..]),
            format!("{}\"{}", &FULL[..at], &FULL[at..]),
        ] {
            for problem in problems(&text) {
                let has_remedy = REMEDIES.iter().any(|word| problem.message.contains(word));
                assert!(problem.line > 0 && !problem.path.is_empty() && has_remedy, "{problem}\n{text}");
            }
        }
    }
}

/// `run` looks at the file again and again. Work that grows with the square of the lines would make this test the slowest.
#[test]
fn a_large_file_that_is_wrong_everywhere_is_told() {
    let lines = |line: &dyn Fn(usize) -> String| (0..60_000).map(line).collect::<String>();
    for text in [
        lines(&|_| "word\n".to_string()),
        lines(&|n| format!("k{n} = word\n")),
        lines(&|n| format!("sinc{n} = 1\n")),
        "[flush]\n".to_string() + &lines(&|_| "every = 1\n".to_string()),
    ] {
        let found = problems(&text);
        assert!(!found.is_empty() && found.iter().all(|problem| !problem.path.is_empty()));
    }
}

#[test]
fn at_most_twenty_problems_are_shown() {
    let text: String = (0..60).map(|n| format!("[[anomaly]]\nname = \"r{n}\"\n")).collect();
    let report = Config::check(&text, &|_| None).expect_err("broken");
    let lines = report.lines();
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[20], format!("and {} more: correct these first", report.0.len() - 20));
    assert_eq!(report.to_string().lines().count(), 21);
    assert_eq!(report.count(), format!("{} problems", report.0.len()));
    let one = Config::check(&FULL.replace("Europe/Berlin", "Mars"), &|_| None).expect_err("broken");
    assert_eq!((one.count().as_str(), one.lines().len()), ("1 problem", 1));
}

/// A small valid configuration, to make mistakes in.
const GOOD: &str = r#"timezone = "Europe/Berlin"
state_dir = "/var/lib/telegraf-rollup"
[[summary]]
name = "device_summary"
key = ["host"]
windows = ["hourly", "daily"]
  [[summary.column]]
  name = "max_temp"
  method = "max"
  sources = [{ measurement = "temp", tags = { sensor = "k10temp_tctl" }, field = "temp" }]
  [[summary.column]]
  name = "hot"
  method = "anomalies"
  rules = ["overheat"]
[[anomaly]]
name = "overheat"
column = "max_temp"
when = "> 80"
"#;

/// Mistakes that people make: what they are, what stands in the configuration, and what is written in its place. Without the
/// first, the second stands at the end.
const MISTAKES: &[(&str, &str, &str)] = &[
    // Those that a new user has met.
    ("a zone with a typing error", "Europe/Berlin", "Asia/Soul"),
    ("letters for a zone", "Europe/Berlin", "KST"),
    ("an offset for a zone", "Europe/Berlin", "UTC+9"),
    ("a relative state_dir", "/var/lib/telegraf-rollup", "state"),
    ("a home in state_dir", "/var/lib/telegraf-rollup", "~/rollup"),
    ("a variable without braces in a path", "/var/lib/telegraf-rollup", "$HOME/rollup"),
    ("a path of Windows in double quotes", "/var/lib/telegraf-rollup", "C:\\Program Files\\telegraf-rollup"),
    ("a path of Windows that happens to be TOML", "/var/lib/telegraf-rollup", "C:\\telegraf\\new"),
    ("a variable without braces in a password", "", "[sink]\nurl = \"mysql://me:$MYSQL_PW@db/metrics\""),
    ("a / in a password", "", "[sink]\nurl = \"mysql://me:hun/ter2@db/metrics\""),
    ("a # in a password", "", "[sink]\nurl = \"mysql://me:hun#ter2@db/metrics\""),
    ("a ? in a password", "", "[sink]\nurl = \"mysql://me:hun?ter2@db/metrics\""),
    ("a % in a password", "", "[sink]\nurl = \"mysql://me:hunter%41@db/metrics\""),
    ("IPv6 without brackets", "", "[sink]\nurl = \"mysql://me@::1/metrics\""),
    ("a parameter of another program", "", "[sink]\nurl = \"mysql://me@db/metrics?ssl-mode=required\""),
    ("the password in place of its file", "", "[sink]\nurl = \"mysql://me@db/metrics\"\npassword_file = \"hunter2\""),
    ("method = mean", "\"max\"", "\"mean\""),
    ("a number for a duration", "", "[flush]\nevery = 60"),
    ("a number for a condition", "\"> 80\"", "80"),
    ("a text for tags", "{ sensor = \"k10temp_tctl\" }", "\"k10temp_tctl\""),
    ("Telegraf's snippet", "", "[[processors.execd]]\ncommand = [\"telegraf-rollup\", \"run\"]\nnamepass = [\"cpu\"]"),
    ("sections of later versions", "", "[internal]\nevery = \"10s\"\n[[alert]]\nname = \"hot\""),
    // Others.
    ("method = median", "\"max\"", "\"median\""),
    ("a percentile as a share", "\"max\"", "\"p0.95\""),
    ("a percentile with a capital letter", "\"max\"", "\"P95\""),
    ("a method without quotes", "method = \"max\"", "method = max"),
    ("a city for a zone", "Europe/Berlin", "Berlin"),
    ("an old name of a zone", "Europe/Berlin", "EST"),
    ("a zone whose sign is turned round", "Europe/Berlin", "Etc/GMT+9"),
    ("a window by another name", "\"hourly\", \"daily\"", "\"1h\", \"daly\""),
    ("a window of later versions", "\"daily\"", "\"weekly\""),
    ("a duration with a long unit", "", "[flush]\nevery = \"10min\""),
    ("a duration with a fraction", "", "[lateness]\nallowed = \"1.5h\""),
    ("a duration without a unit", "", "[lateness]\nmax = \"30\""),
    ("never", "", "[lateness]\nmax = \"never\""),
    ("a size without its end", "", "[limits]\njournal_bytes = \"500M\""),
    ("a boolean for encryption", "", "[sink]\nurl = \"mysql://me@db/metrics\"\ntls = true"),
    ("the encryption of another program", "", "[sink]\nurl = \"mysql://me@db/metrics\"\ntls = \"required\""),
    ("a key in the wrong section", "", "[flush]\nallowed = \"10m\""),
    ("a zone below a section", "", "[flush]\ntimezone = \"UTC\""),
    ("the password in the file", "", "[sink]\nurl = \"mysql://me@db/metrics\"\npassword = \"hunter2\""),
    (
        "a table of something else",
        "",
        "[flush]\nalpha = 1\nbravo = 2\ncharlie = 3\ndelta_echo = 4\nfoxtrot = 5\ngolf_hotel = 6",
    ),
    ("one bracket", "[[summary]]", "[summary]"),
    ("two brackets", "", "[[flush]]\nevery = \"1m\""),
    ("no list for the key", "[\"host\"]", "\"host\""),
    ("four keys", "[\"host\"]", "[\"host\", \"region\", \"rack\", \"room\"]"),
    ("no sources", "[{ measurement = \"temp\", tags = { sensor = \"k10temp_tctl\" }, field = \"temp\" }]", "[]"),
    (
        "a source as a text",
        "[{ measurement = \"temp\", tags = { sensor = \"k10temp_tctl\" }, field = \"temp\" }]",
        "[\"temp.temp\"]",
    ),
    ("a rule with a typing error", "rules = [\"overheat\"]", "rules = [\"overhaet\"]"),
    ("a rule for a column that is not there", "column = \"max_temp\"", "column = \"max_tmp\""),
    ("a rule without a column", "column = \"max_temp\"\n", ""),
    ("a condition in words", "\"> 80\"", "\"above 80\""),
    ("two conditions", "\"> 80\"", "\"> 80 and < 90\""),
    ("a name of a table with a dash", "\"device_summary\"", "\"device-summary\""),
    ("PostgreSQL", "", "[sink]\nurl = \"postgres://me:hunter2@db/metrics\""),
    ("MariaDB", "", "[sink]\nurl = \"mariadb://me:hunter2@db:3306/metrics\""),
    ("JDBC", "", "[sink]\nurl = \"jdbc:mysql://db:3306/metrics?user=me&password=hunter2\""),
    ("an address of Go", "", "[sink]\nurl = \"me:hunter2@tcp(db:3306)/metrics\""),
    ("InfluxDB as the sink", "", "[sink]\nurl = \"http://localhost:8086\""),
    ("a path as the sink", "", "[sink]\nurl = \"/var/lib/x/summary.db\""),
    ("SQLite with one slash", "", "[sink]\nurl = \"sqlite:/var/lib/x/summary.db\""),
    ("a missing quote", "\"Europe/Berlin\"", "\"Europe/Berlin"),
    ("a missing bracket", "[[summary]]", "[[summary]"),
    ("a list that never ends", "[\"host\"]", "[\"host\""),
    ("a colon", "timezone = ", "timezone: "),
    ("typographic quotes", "\"Europe/Berlin\"", "“Europe/Berlin”"),
    ("a section twice", "", "[flush]\nevery = \"1m\"\n[lateness]\nmax = \"7d\"\n[flush]\ndaily_every = \"5m\""),
    ("a key twice", "", "[flush]\nevery = \"1m\"\nevery = \"2m\""),
    ("a password on a line of its own", "", "[sink]\nurl = \"mysql://me@db/metrics\"\nhunter2"),
    ("a merge conflict", "", "<<<<<<< HEAD"),
    ("nothing but a comment", GOOD, "# later\n"),
    (
        "Telegraf's own file",
        GOOD,
        "[agent]\ninterval = \"10s\"\n[[inputs.cpu]]\npercpu = true\n[[outputs.influxdb]]\nurls = [\"http://x\"]\n",
    ),
    ("JSON", GOOD, "{\n  \"timezone\": \"UTC\",\n  \"summary\": []\n}\n"),
    ("YAML", GOOD, "timezone: UTC\nsummary:\n  - name: device_summary\n    key: [host]\n"),
    ("INI", GOOD, "; my settings\n[sink]\nurl = mysql://me:hunter2@db/x\n[flush]\nevery = 1m\ndaily_every = 5m\n"),
];

/// All that is said of a text.
fn said(text: &str) -> String {
    match Config::check(text, &|_| None) {
        Ok(config) if config.warnings.is_empty() => "valid\n".to_string(),
        Ok(config) => config.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect(),
        Err(report) => report.0.iter().map(|problem| format!("{problem}\n")).collect(),
    }
}

#[test]
fn mistakes_that_people_make_are_told_as_they_were() {
    assert_eq!(said(GOOD), "valid\n");
    let mut all = String::new();
    for (name, good, bad) in MISTAKES {
        let text = if good.is_empty() { format!("{GOOD}{bad}\n") } else { GOOD.replacen(good, bad, 1) };
        assert_ne!(text, GOOD, "{name}");
        let said = said(&text);
        for secret in [SECRET, "hun", "ter2", "MYSQL_PW"] {
            assert!(!said.contains(secret), "{name}: {said}");
        }
        assert_ne!(said, "valid\n", "{name}");
        let changed: String = text
            .lines()
            .filter(|line| !GOOD.lines().any(|old| old == *line))
            .map(|line| format!("    {}\n", line.trim()))
            .collect();
        let _ = write!(all, "## {name}\n\n{changed}\n{said}\n");
    }
    let path = repository("tests/broken/messages.txt");
    if std::env::var_os("ROLLUP_BLESS").is_some() {
        std::fs::write(&path, &all).expect("writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    for (now, kept) in all.split("## ").zip(kept.split("## ")) {
        assert_eq!(now, kept, "with ROLLUP_BLESS=1 the file is written anew");
    }
    assert!(all == kept, "with ROLLUP_BLESS=1 the file is written anew");
}

/// What `check` and `run` say of a configuration file that is none, and that the stream does not mind.
fn said_of_file(path: &Path) -> (String, String) {
    let output = program().arg("check").arg("--config").arg(path).output().expect("it starts");
    assert!(!output.status.success());
    let checked = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let output = feed(program().arg("run").arg("--config").arg(path), b"m v=1 1\n");
    assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"m v=1 1\n"[..], Some(0)));
    (checked, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_file_that_is_no_configuration_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large.toml");
    std::fs::write(&large, "# more\n".repeat(300_000)).expect("writable");
    let wide: Vec<u8> = "timezone = \"UTC\"\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(folder.path().join("wide.toml"), wide).expect("writable");
    for (name, wanted) in [
        ("none.toml", "there is no such file; to write one: `telegraf-rollup setup`, or copy telegraf/rollup.toml"),
        ("", "it is a folder: name the file in it"),
        ("large.toml", "it is larger than 1 MiB, which no such file is: name the right one"),
        ("wide.toml", "it is UTF-16"),
    ] {
        let (checked, log) = said_of_file(&folder.path().join(name));
        let error = checked.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert_eq!(error.matches(wanted).count(), 1, "{error}");
        let wanted = format!("cannot read the configuration {}: {wanted}", folder.path().join(name).display());
        assert!(checked.contains(&wanted), "{checked}");
        assert!(log.contains(&format!("E! {wanted}")), "{log}");
        assert!(log.contains("; lines pass through, nothing is counted until it can be read"), "{log}");
    }
}

/// Only root can play two users.
#[cfg(unix)]
#[test]
fn a_file_that_another_user_keeps_is_told_with_what_to_type() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: a_file_that_another_user_keeps_is_told_with_what_to_type: needs root");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("telegraf-rollup");
    support::copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &copy);
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
    };
    let (inner, file) = (folder.path().join("etc"), folder.path().join("etc/rollup.toml"));
    std::fs::create_dir(&inner).expect("made");
    std::fs::write(&file, GOOD).expect("writable");
    mode(folder.path(), 0o755);
    mode(&copy, 0o755);
    for (of_folder, of_file, place, rights, shown) in
        [(0o755, 0o600, &file, "g+r", "0600"), (0o750, 0o644, &inner, "g+x", "0750")]
    {
        mode(&inner, of_folder);
        mode(&file, of_file);
        let mut command = std::process::Command::new(&copy);
        command.args(["check", "--config"]).arg(&file).uid(12_345).gid(12_345).current_dir("/");
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let place = place.display();
        let wanted = format!(
            "user 12345 may not read it: {place} belongs to root:root, mode {shown}; as root: `chgrp 12345 {place} && chmod \
             {rights} {place}`"
        );
        assert!(!output.status.success() && said.contains(&wanted), "{said}");
    }
}
