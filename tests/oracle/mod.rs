//! The oracle: what the summary rows must be, computed in the plainest way there is.
//!
//! It keeps every point of the whole input in memory, decides at the end which value each point has,
//! and then computes each row from the list of its values. It shares no code, no parser, no zone
//! database and no arithmetic with the engine: lines are cut by a byte-at-a-time parser written from
//! the twelve rules of `line-protocol/vectors.md`, zones come from `chrono-tz` (the engine uses jiff),
//! and sums are exact big integers. A difference between the two is a bug in one of them.
//!
//! Deliberately simple:
//! - no partials, no merging, no plans, no memory bound: a window is a `Vec` of its points;
//! - offsets of a zone are looked up step by step, transitions are found second by second;
//! - every f64 is an integer multiple of 2^-1074, so a sum is an integer sum and a sum of squares an
//!   integer sum of squares; avg, sum and stddev are rounded once, at the very end;
//! - the memory of duplicates has no limit (`limits.dedupe_points` is not modelled);
//! - a config is trusted: what is missing or malformed panics with its name.
//!
//! Not computed: `delta`, `integral`, `time_weighted_avg` and `distinct`. Such a column is left out of `Row::columns` and `to_csv` shows it as `?`; what it takes
//! still counts in `samples`, `coverage`, `first_seen` and `last_seen`. Keys over 191 characters are
//! shown whole (no cut, no hash). Not modelled at all: limits, backfill, several writers.
//!
//! Where the contract leaves a choice, the comment `Reading:` says which one was made.
// Allowed because a test that includes this file need not use all of it.
#![allow(dead_code, clippy::collapsible_if)]

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Offset, TimeZone};
use num_bigint::{BigInt, BigUint, Sign};

// ------------------------------------------------------------------------------------------------
// What goes in and what comes out
// ------------------------------------------------------------------------------------------------

/// How the lines are judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `None`: nothing is late, all windows have ended and are final, lines without timestamp are
    /// skipped. `Some(t)`: every line arrives at `t` (nanoseconds since 1970).
    pub now_ns: Option<i64>,
    /// A rule that is broken on purpose, to see that a comparison finds it.
    pub broken: Option<Broken>,
}

/// Rules to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Of the newest point the first value counts.
    FirstValueWins,
    /// An older point that comes again replaces what was there.
    OlderIsReplaced,
    /// A point that comes again is another point.
    DuplicatesCount,
    /// A window holds its end instead of its start.
    WindowHoldsItsEnd,
    /// Windows are cut in UTC.
    ZoneIsForgotten,
    /// The first source with a sample feeds a column.
    FirstSourceFeeds,
    /// The source is chosen for the whole day.
    SourceOfTheDay,
    /// Slots are counted for each series.
    EverySampleIsASlot,
    /// Windows without a sample have no row.
    NoEmptyRows,
    /// The deviation is that of a population.
    DeviationByN,
    /// Of equal times the smaller value is the last.
    SmallerIsLast,
    /// What a z-score judges by takes in what comes late.
    BaselineMoves,
    /// A z-score sees values above the mean only.
    AboveOnly,
    /// An hour in which a point came again with another value needs no empty row.
    ConflictHidesAGap,
    /// All hours of a device show the clock of where it is last.
    HoursMoveWithTheDevice,
    /// Values outside of `valid` are samples.
    EveryValueIsValid,
    /// The horizon of a summary is that of all.
    OneHorizonForAll,
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Float(f64),
    /// Not produced by any method that this module computes; there for callers that compare.
    Text(String),
}

/// One expected row of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `<summary>_hourly` or `<summary>_daily`.
    pub table: String,
    pub window_start_ns: i64,
    /// `YYYY-MM-DD HH:MM:SS` (hourly) or `YYYY-MM-DD` (daily) in the window's zone.
    pub local: String,
    /// Key tag and its shown value, in config order.
    pub keys: Vec<(String, String)>,
    /// Column name and value, in config order, without the columns that are not computed.
    pub columns: Vec<(String, Cell)>,
    pub samples: i64,
    pub coverage: f64,
    /// Milliseconds since 1970, cut.
    pub first_seen: Option<i64>,
    pub last_seen: Option<i64>,
    pub is_final: bool,
}

/// The rows of all tables, sorted by table (config order, hourly before daily), window start, key bytes.
pub fn rollup(config_toml: &str, input: &[u8], options: &Options) -> Vec<Row> {
    let config = Config::read(config_toml);
    let arrivals = arrivals(&config, input, options);
    let mut rows = Vec::new();
    let until = options.now_ns.or_else(|| newest(&config, &arrivals, options));
    for summary in &config.summaries {
        summary_rows(&config, summary, (&arrivals, until), options, &mut rows);
    }
    rows
}

/// When the newest point was that a column of any summary took as it came: without a time to judge at, windows without a sample
/// have rows up to then.
fn newest(config: &Config, arrivals: &[Point], options: &Options) -> Option<i64> {
    let counts = |point: &&Point| {
        let counts =
            |summary: &Summary| device_of(summary, point).is_some() && !takers(summary, point, options).is_empty();
        config.summaries.iter().any(counts)
    };
    arrivals.iter().filter(counts).map(|point| point.ts).max()
}

/// The rows in the format of `expected.csv` of the cases. There the rows of a table are ordered by key
/// first and window start second, so they are sorted again here.
pub fn to_csv(config_toml: &str, rows: &[Row]) -> String {
    let config = Config::read(config_toml);
    // Header: per summary its key tags, then its columns; a name that is already there is not repeated.
    let mut names: Vec<String> = Vec::new();
    let mut tables: Vec<(String, &Summary)> = Vec::new();
    for summary in &config.summaries {
        let columns = summary.columns.iter().map(|column| &column.name);
        for name in summary.key.iter().chain(columns) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        for (suffix, wanted) in [("hourly", summary.hourly), ("daily", summary.daily)] {
            if wanted {
                tables.push((format!("{}_{suffix}", summary.name), summary));
            }
        }
    }

    let mut out = String::from("table,window_start,local");
    for name in &names {
        out.push(',');
        out.push_str(&csv_field(name));
    }
    out.push_str(",samples,coverage,first_seen,last_seen\n");

    for (table, summary) in &tables {
        let mut of_table: Vec<&Row> = rows.iter().filter(|row| row.table == *table).collect();
        of_table.sort_by(|a, b| (&a.keys, a.window_start_ns).cmp(&(&b.keys, b.window_start_ns)));
        for row in of_table {
            let mut fields =
                vec![csv_field(&row.table), utc_text(row.window_start_ns.div_euclid(NANOS)), row.local.clone()];
            for name in &names {
                let key = row.keys.iter().find(|(key, _)| key == name);
                let cell = row.columns.iter().find(|(column, _)| column == name);
                fields.push(match (key, cell) {
                    (Some((_, value)), _) => csv_field(value),
                    (None, Some((_, cell))) => cell_text(cell),
                    (None, None) if summary.columns.iter().any(|c| &c.name == name) => "?".into(),
                    (None, None) => "-".into(),
                });
            }
            fields.push(row.samples.to_string());
            fields.push(float_text(row.coverage));
            fields.push(row.first_seen.map(millis_text).unwrap_or_default());
            fields.push(row.last_seen.map(millis_text).unwrap_or_default());
            out.push_str(&fields.join(","));
            out.push('\n');
        }
    }
    out
}

const NANOS: i64 = 1_000_000_000;

fn utc_text(seconds: i64) -> String {
    let at = DateTime::from_timestamp(seconds, 0).expect("a time that a calendar knows");
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn millis_text(millis: i64) -> String {
    let seconds = millis.div_euclid(1000);
    format!("{}.{:03}", utc_text(seconds), millis.rem_euclid(1000))
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Int(value) => value.to_string(),
        Cell::Float(value) => float_text(*value),
        Cell::Text(text) => csv_field(text),
    }
}

/// Quotes a field only where it must be quoted.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

/// The shortest text that reads back as the same float, laid out as Python's `repr` does it.
fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("Rust writes an e");
    let exponent: i32 = exponent.parse().expect("Rust writes a number after e");
    if value == 0.0 || (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

// ------------------------------------------------------------------------------------------------
// Config
// ------------------------------------------------------------------------------------------------

struct Config {
    zone: chrono_tz::Tz,
    allowed_ns: i128,
    /// `None` is "forever".
    max_ns: Option<i128>,
    future_ns: i128,
    horizon_ns: i128,
    summaries: Vec<Summary>,
}

struct Summary {
    name: String,
    key: Vec<String>,
    hourly: bool,
    daily: bool,
    expect_every_ns: i64,
    /// Its own horizon, if it has one.
    horizon_ns: Option<i128>,
    timezone_tag: Option<String>,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    method: Method,
    sources: Vec<Source>,
    /// Only for `anomalies`.
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, PartialEq)]
enum Method {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
    Stddev,
    Range,
    Anomalies,
    /// The value below which this share lies.
    Percentile(f64),
    /// Takes numbers (`delta`, `integral`, `time_weighted_avg`), its value is not computed.
    OtherOfNumbers,
    /// Takes values of any type (`distinct`), its value is not computed.
    OtherOfAnything,
}

struct Source {
    measurement: String,
    tags: Vec<(String, String)>,
    field: String,
    scale: f64,
    offset: f64,
    /// The lowest and the highest value of the column.
    valid: Option<(f64, f64)>,
}

struct Rule {
    input: RuleInput,
    judge: Judge,
}

#[derive(Clone, Copy)]
enum Judge {
    When(Operator, f64),
    ZScore { threshold: f64, baseline: usize },
}

enum RuleInput {
    /// Index of a column of the same summary.
    Column(usize),
    Source(Source),
}

#[derive(Clone, Copy)]
enum Operator {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

impl Operator {
    fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Operator::Greater => value > threshold,
            Operator::GreaterOrEqual => value >= threshold,
            Operator::Less => value < threshold,
            Operator::LessOrEqual => value <= threshold,
            Operator::Equal => value == threshold,
            Operator::NotEqual => value != threshold,
        }
    }
}

impl Config {
    fn read(text: &str) -> Config {
        let root: toml::Table = toml::from_str(text).unwrap_or_else(|e| panic!("config: {e}"));
        let duration = |section: &str, key: &str, default: &str| -> Option<i128> {
            let value = root.get(section).and_then(|section| section.get(key));
            let text = value.map_or(default, |value| value.as_str().expect("a duration is text"));
            if text == "forever" { None } else { Some(duration_ns(text)) }
        };
        let zone = text_of(&root, "timezone").unwrap_or_else(|| "UTC".into());
        let no_anomalies = Vec::new();
        let anomalies = match root.get("anomaly") {
            Some(list) => list.as_array().expect("[[anomaly]] is a list"),
            None => &no_anomalies,
        };
        let summaries = root["summary"].as_array().expect("[[summary]] is a list");
        Config {
            zone: zone.parse().unwrap_or_else(|_| panic!("timezone {zone}")),
            allowed_ns: duration("lateness", "allowed", "10m").expect("lateness.allowed"),
            max_ns: duration("lateness", "max", "7d"),
            future_ns: duration("lateness", "future", "5m").expect("lateness.future"),
            horizon_ns: duration("missing", "horizon", "7d").expect("missing.horizon"),
            summaries: summaries.iter().map(|s| Summary::read(s.as_table().unwrap(), anomalies)).collect(),
        }
    }
}

impl Summary {
    fn read(table: &toml::Table, anomalies: &[toml::Value]) -> Summary {
        let windows = texts_of(table, "windows").unwrap_or_else(|| vec!["hourly".into(), "daily".into()]);
        let written: Vec<&toml::Table> = table["column"]
            .as_array()
            .expect("[[summary.column]] is a list")
            .iter()
            .map(|column| column.as_table().expect("a column is a table"))
            .collect();
        let names: Vec<String> = written.iter().map(|c| text_of(c, "name").expect("column name")).collect();
        let every = text_of(table, "expect_every").unwrap_or_else(|| "1m".into());
        Summary {
            name: text_of(table, "name").expect("summary name"),
            key: texts_of(table, "key").unwrap_or_else(|| vec!["host".into()]),
            hourly: windows.iter().any(|w| w == "hourly"),
            daily: windows.iter().any(|w| w == "daily"),
            expect_every_ns: i64::try_from(duration_ns(&every)).expect("expect_every"),
            horizon_ns: table
                .get("missing")
                .and_then(|m| m.get("horizon"))
                .map(|h| duration_ns(h.as_str().expect("text"))),
            timezone_tag: text_of(table, "timezone_tag"),
            columns: written.iter().map(|column| Column::read(column, &names, anomalies)).collect(),
        }
    }
}

impl Column {
    fn read(table: &toml::Table, names: &[String], anomalies: &[toml::Value]) -> Column {
        let method = match text_of(table, "method").expect("column method").as_str() {
            "avg" => Method::Avg,
            "min" => Method::Min,
            "max" => Method::Max,
            "sum" => Method::Sum,
            "count" => Method::Count,
            "first" => Method::First,
            "last" => Method::Last,
            "stddev" => Method::Stddev,
            "range" => Method::Range,
            "anomalies" => Method::Anomalies,
            "distinct" => Method::OtherOfAnything,
            word if word.starts_with('p') => {
                Method::Percentile(word[1..].parse::<f64>().expect("a percentage") / 100.0)
            }
            _ => Method::OtherOfNumbers,
        };
        let mut sources = Vec::new();
        if let Some(list) = table.get("sources") {
            for source in list.as_array().expect("sources is a list") {
                sources.push(Source::read(source.as_table().expect("a source is a table"), table));
            }
        }
        let mut rules = Vec::new();
        for rule in texts_of(table, "rules").unwrap_or_default() {
            let found = anomalies.iter().find(|a| a.get("name").and_then(|n| n.as_str()) == Some(rule.as_str()));
            let found = found.unwrap_or_else(|| panic!("[[anomaly]] {rule}")).as_table().unwrap();
            rules.push(Rule::read(found, names));
        }
        Column { name: text_of(table, "name").unwrap(), method, sources, rules }
    }
}

impl Source {
    /// Reading: `scale` and `offset` stand in the source (as in the example of the contract); where a
    /// source has none, the column's own apply.
    fn read(table: &toml::Table, column: &toml::Table) -> Source {
        let number = |key: &str, default: f64| {
            let value = table.get(key).or_else(|| column.get(key));
            value.map_or(default, |v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)).expect("a number"))
        };
        let mut tags = Vec::new();
        if let Some(written) = table.get("tags") {
            for (tag, pattern) in written.as_table().expect("tags is a table") {
                tags.push((tag.clone(), pattern.as_str().expect("a tag pattern is text").to_string()));
            }
        }
        Source {
            measurement: text_of(table, "measurement").expect("measurement"),
            tags,
            field: text_of(table, "field").expect("field"),
            scale: number("scale", 1.0),
            offset: number("offset", 0.0),
            valid: column.get("valid").map(|list| {
                let numbers = list.as_array().expect("valid is a list").iter();
                let numbers: Vec<f64> = numbers
                    .map(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)).expect("a number"))
                    .collect();
                (numbers[0], numbers[1])
            }),
        }
    }

    /// A number that lies outside of the column's range. A string lies outside of nothing.
    fn is_outside(&self, value: &Value, options: &Options) -> bool {
        let (Some((low, high)), Some(number)) = (self.valid, value.number()) else { return false };
        let value = number * self.scale + self.offset;
        (value < low || value > high) && options.broken != Some(Broken::EveryValueIsValid)
    }

    fn matches(&self, point: &Point) -> bool {
        pattern_matches(&self.measurement, &point.series.measurement)
            && self.field.as_bytes() == point.field
            && self.tags.iter().all(|(tag, pattern)| {
                let value = point.series.tags.get(tag.as_bytes());
                value.is_some_and(|value| pattern_matches(pattern, value))
            })
    }

    /// The value as a column sees it; `None` for a string and where scaling leaves the finite numbers.
    fn scaled(&self, value: &Value) -> Option<f64> {
        let value = value.number()? * self.scale;
        let value = value + self.offset;
        // `-0.0 == 0.0` holds, so this turns -0 into 0.
        let value = if value == 0.0 { 0.0 } else { value };
        value.is_finite().then_some(value)
    }
}

impl Rule {
    fn read(table: &toml::Table, names: &[String]) -> Rule {
        let judge = text_of(table, "when").map(|when| {
            let when = when.trim();
            // Two-character operators first, or ">=" would be read as ">".
            let known = [
                (">=", Operator::GreaterOrEqual),
                ("<=", Operator::LessOrEqual),
                ("==", Operator::Equal),
                ("!=", Operator::NotEqual),
                (">", Operator::Greater),
                ("<", Operator::Less),
            ];
            let (sign, operator) = known.into_iter().find(|(sign, _)| when.starts_with(sign)).expect("operator");
            Judge::When(operator, when[sign.len()..].trim().parse().expect("threshold"))
        });
        let judge = judge.unwrap_or_else(|| Judge::ZScore {
            threshold: table["zscore"].as_float().expect("zscore"),
            baseline: table.get("baseline").map_or(24, |n| n.as_integer().expect("baseline") as usize),
        });
        let input = match (text_of(table, "column"), table.get("source")) {
            (Some(column), None) => {
                let at = names.iter().position(|name| *name == column);
                RuleInput::Column(at.unwrap_or_else(|| panic!("no column {column} in the rule's summary")))
            }
            (None, Some(source)) => RuleInput::Source(Source::read(source.as_table().unwrap(), &toml::Table::new())),
            _ => panic!("a rule has either a column or a source"),
        };
        Rule { input, judge }
    }
}

fn text_of(table: &toml::Table, key: &str) -> Option<String> {
    table.get(key).map(|value| value.as_str().unwrap_or_else(|| panic!("{key} is text")).to_string())
}

fn texts_of(table: &toml::Table, key: &str) -> Option<Vec<String>> {
    let list = table.get(key)?.as_array().unwrap_or_else(|| panic!("{key} is a list"));
    Some(list.iter().map(|item| item.as_str().expect("a list of texts").to_string()).collect())
}

/// `10s`, `1h30m`, `36500d` in nanoseconds.
fn duration_ns(text: &str) -> i128 {
    let mut total = 0i128;
    let mut rest = text.trim();
    assert!(!rest.is_empty(), "empty duration");
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: i128 = rest[..digits].parse().unwrap_or_else(|_| panic!("duration {text}"));
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit: i128 = match rest[..letters].trim() {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            other => panic!("unit {other} in duration {text}"),
        };
        rest = &rest[letters..];
        total += number * unit;
    }
    total
}

// ------------------------------------------------------------------------------------------------
// Patterns: exact, or a glob as Telegraf (gobwas/glob, without separators) reads it
// ------------------------------------------------------------------------------------------------

/// Reading: "exactly or by glob" is taken literally: a pattern that equals the value always matches, so
/// that `GPU [#0]` matches `GPU [#0]`. Only a pattern with one of `*?[` is a glob (Telegraf's rule); in a
/// glob `{a,b}` are alternatives and a backslash takes the next character literally.
pub fn pattern_matches(pattern: &str, value: &[u8]) -> bool {
    if pattern.as_bytes() == value {
        return true;
    }
    if !pattern.contains(['*', '?', '[']) {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    match glob_parts(&pattern, &mut 0, false) {
        Some(parts) => glob_matches(&parts, &characters(value)),
        None => false,
    }
}

/// The characters of a value; a byte that is not UTF-8 is one character (`None`), as Go counts them.
fn characters(value: &[u8]) -> Vec<Option<char>> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < value.len() {
        let found = (1..=4).filter(|n| at + n <= value.len()).find_map(|n| {
            let text = std::str::from_utf8(&value[at..at + n]).ok()?;
            Some((n, text.chars().next()?))
        });
        let (length, character) = match found {
            Some((length, character)) => (length, Some(character)),
            None => (1, None),
        };
        out.push(character);
        at += length;
    }
    out
}

#[derive(Clone)]
enum GlobPart {
    Char(char),
    AnyOne,
    AnyRun,
    Set { not: bool, low: char, high: char },
    List { not: bool, members: Vec<char> },
    Alternatives(Vec<Vec<GlobPart>>),
}

/// Reads a pattern from `at`; inside braces up to the next `,` or `}`. `None`: not a valid glob.
fn glob_parts(pattern: &[char], at: &mut usize, in_braces: bool) -> Option<Vec<GlobPart>> {
    let mut parts = Vec::new();
    while *at < pattern.len() {
        let character = pattern[*at];
        if in_braces && (character == ',' || character == '}') {
            return Some(parts);
        }
        *at += 1;
        match character {
            '*' => parts.push(GlobPart::AnyRun),
            '?' => parts.push(GlobPart::AnyOne),
            '\\' => {
                parts.push(GlobPart::Char(*pattern.get(*at)?));
                *at += 1;
            }
            '[' => {
                let not = pattern.get(*at) == Some(&'!');
                *at += usize::from(not);
                // gobwas knows one range `[a-z]` or one list `[abc]`, never a mixture.
                if pattern.get(*at + 1) == Some(&'-') {
                    let (low, high) = (pattern[*at], *pattern.get(*at + 2)?);
                    if pattern.get(*at + 3) != Some(&']') {
                        return None;
                    }
                    *at += 4;
                    parts.push(GlobPart::Set { not, low, high });
                } else {
                    let mut members = Vec::new();
                    loop {
                        let mut member = *pattern.get(*at)?;
                        *at += 1;
                        if member == ']' {
                            break;
                        }
                        if member == '\\' {
                            member = *pattern.get(*at)?;
                            *at += 1;
                        }
                        members.push(member);
                    }
                    parts.push(GlobPart::List { not, members });
                }
            }
            '{' => {
                let mut alternatives = Vec::new();
                loop {
                    alternatives.push(glob_parts(pattern, at, true)?);
                    let end = *pattern.get(*at)?;
                    *at += 1;
                    if end == '}' {
                        break;
                    }
                }
                parts.push(GlobPart::Alternatives(alternatives));
            }
            other => parts.push(GlobPart::Char(other)),
        }
    }
    // The end of the pattern inside braces is an error, outside it is the end.
    (!in_braces).then_some(parts)
}

/// Backtracking; the patterns and values of tests are short.
fn glob_matches(parts: &[GlobPart], value: &[Option<char>]) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return value.is_empty();
    };
    let one = |fits: &dyn Fn(Option<char>) -> bool| match value.split_first() {
        Some((first, after)) => fits(*first) && glob_matches(rest, after),
        None => false,
    };
    match part {
        GlobPart::Char(wanted) => one(&|c| c == Some(*wanted)),
        GlobPart::AnyOne => one(&|_| true),
        GlobPart::AnyRun => (0..=value.len()).any(|n| glob_matches(rest, &value[n..])),
        GlobPart::Set { not, low, high } => one(&|c| {
            let c = c.unwrap_or('\u{fffd}');
            (*low <= c && c <= *high) != *not
        }),
        GlobPart::List { not, members } => one(&|c| members.contains(&c.unwrap_or('\u{fffd}')) != *not),
        GlobPart::Alternatives(alternatives) => alternatives.iter().any(|alternative| {
            let joined: Vec<GlobPart> = alternative.iter().chain(rest).cloned().collect();
            glob_matches(&joined, value)
        }),
    }
}

// ------------------------------------------------------------------------------------------------
// Line protocol
// ------------------------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Float(f64),
    Int(i64),
    Unsigned(u64),
    Bool(bool),
    Text(Vec<u8>),
}

impl Value {
    /// What tells it from another value of the same time.
    fn identity(&self) -> (Option<u64>, &[u8]) {
        match self {
            Value::Text(text) => (None, text),
            // -0 is 0.
            number => (number.number().map(|n| (n + 0.0).to_bits()), &[]),
        }
    }

    /// Numbers are f64 on arrival (rounded to nearest); booleans are 1 and 0; strings are never numbers.
    fn number(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            Value::Unsigned(value) => Some(*value as f64),
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            Value::Text(_) => None,
        }
    }
}

/// One accepted line, everything decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub measurement: Vec<u8>,
    /// Sorted by key; of a repeated key the last value.
    pub tags: BTreeMap<Vec<u8>, Vec<u8>>,
    /// In order of first appearance; of a repeated key the last value.
    pub fields: Vec<(Vec<u8>, Value)>,
    pub timestamp: Option<i64>,
}

/// All lines of the input in order; `None` is a rejected line. Blank lines and comments leave nothing.
///
/// Reading: a last line without a newline is accepted (vector I03).
pub fn parse(input: &[u8]) -> Vec<Option<Line>> {
    let mut out = Vec::new();
    let mut cursor = Cursor { bytes: input, at: 0 };
    loop {
        cursor.skip_blanks();
        match cursor.peek() {
            None => return out,
            Some(b'#') => cursor.skip_physical_line(),
            Some(_) if cursor.take_newline() => {}
            Some(_) => match cursor.metric() {
                Ok(line) => out.push(Some(line)),
                Err(Rejected) => {
                    out.push(None);
                    // Rule 11: the rest of the physical line goes, from the byte that was wrong.
                    cursor.skip_physical_line();
                }
            },
        }
    }
}

/// The cursor stands on the byte that was wrong.
struct Rejected;

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Where a name or a tag may end without an escape. VT ends a measurement and a tag value (rule 3), but
/// a tag key and a field key, which no blank may follow, hold it as an ordinary byte (Telegraf's grammar).
#[derive(Clone, Copy, PartialEq)]
enum Token {
    Measurement,
    TagKey,
    TagValue,
    FieldKey,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | 0x0b | 0x0c)) {
            self.at += 1;
        }
    }

    /// Takes LF or CR LF.
    fn take_newline(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        let length = if rest.starts_with(b"\n") {
            1
        } else if rest.starts_with(b"\r\n") {
            2
        } else {
            0
        };
        self.at += length;
        length > 0
    }

    /// Goes behind the next LF, whatever stands before it.
    fn skip_physical_line(&mut self) {
        while let Some(byte) = self.peek() {
            self.at += 1;
            if byte == b'\n' {
                return;
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Rejected> {
        if self.peek() == Some(wanted) {
            self.at += 1;
            Ok(())
        } else {
            Err(Rejected)
        }
    }

    fn metric(&mut self) -> Result<Line, Rejected> {
        let measurement = unescape_measurement(self.token(Token::Measurement)?);

        let mut tags = BTreeMap::new();
        while self.peek() == Some(b',') {
            self.at += 1;
            let key = unescape(self.token(Token::TagKey)?);
            self.expect(b'=')?;
            let value = unescape(self.token(Token::TagValue)?);
            tags.insert(key, value);
        }

        if !matches!(self.peek(), Some(b' ' | b'\t' | 0x0b | 0x0c)) {
            return Err(Rejected);
        }
        self.skip_blanks();

        let mut fields: Vec<(Vec<u8>, Value)> = Vec::new();
        loop {
            let key = unescape(self.token(Token::FieldKey)?);
            self.expect(b'=')?;
            let value = self.field_value()?;
            match fields.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => fields.push((key, value)),
            }
            if self.peek() != Some(b',') {
                break;
            }
            self.at += 1;
        }

        let mut timestamp = None;
        if matches!(self.peek(), Some(b' ' | b'\t' | 0x0b | 0x0c)) {
            self.skip_blanks();
            if matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
                timestamp = Some(self.timestamp()?);
                self.skip_blanks();
            }
        }
        if self.peek().is_none() || self.take_newline() {
            Ok(Line { measurement, tags, fields, timestamp })
        } else {
            Err(Rejected)
        }
    }

    /// The raw bytes of a name, a tag key, a tag value or a field key; never empty.
    fn token(&mut self, kind: Token) -> Result<&[u8], Rejected> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b',' | b'\t' | b'\n' | b'\r' | 0x0c => break,
                0x0b if matches!(kind, Token::Measurement | Token::TagValue) => break,
                b'=' if kind != Token::Measurement => break,
                b'\\' => match self.bytes.get(self.at + 1) {
                    None | Some(b'\t' | b'\n' | b'\r' | 0x0c) => {
                        self.at += 1;
                        return Err(Rejected);
                    }
                    // Rule 6: in tags only the first of two backslashes is taken; the second may
                    // still escape what follows.
                    Some(b'\\') if matches!(kind, Token::TagKey | Token::TagValue) => self.at += 1,
                    Some(_) => self.at += 2,
                },
                _ => self.at += 1,
            }
        }
        if self.at == start { Err(Rejected) } else { Ok(&self.bytes[start..self.at]) }
    }

    fn field_value(&mut self) -> Result<Value, Rejected> {
        if self.peek() == Some(b'"') {
            self.at += 1;
            return self.text();
        }
        let start = self.at;
        while let Some(byte) = self.peek() {
            if matches!(byte, b',' | b' ' | b'\t' | 0x0b | 0x0c | b'\n' | b'\r') {
                break;
            }
            self.at += 1;
        }
        scalar(&self.bytes[start..self.at]).ok_or(Rejected)
    }

    /// A string behind its opening quote. Reading: a raw form feed in it is refused, as Telegraf's grammar
    /// (`machine.go.rl`) has it; LF, CR, TAB, NUL are data (rule 1).
    fn text(&mut self) -> Result<Value, Rejected> {
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None | Some(0x0c) => return Err(Rejected),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value::Text(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(byte @ (b'"' | b'\\')) => out.push(byte),
                        _ => return Err(Rejected),
                    }
                    self.at += 1;
                }
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn timestamp(&mut self) -> Result<i64, Rejected> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if !(1..=19).contains(&(self.at - digits)) {
            return Err(Rejected);
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).expect("digits");
        text.parse().map_err(|_| Rejected)
    }
}

/// A field value that is not a string; `None` where the grammar or the range says no.
fn scalar(token: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(token).ok()?;
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_plain_integer = |text: &str| is_digits(text) && (text == "0" || !text.starts_with('0'));
    if let Some(integer) = text.strip_suffix('i') {
        let digits = integer.strip_prefix('-').unwrap_or(integer);
        return if is_plain_integer(digits) { integer.parse().ok().map(Value::Int) } else { None };
    }
    if let Some(integer) = text.strip_suffix('u') {
        return if is_plain_integer(integer) { integer.parse().ok().map(Value::Unsigned) } else { None };
    }
    // Float: -? ( digits [. digits?] | . digits ) [ e [+-]? digits ]
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !is_digits(digits) {
            return None;
        }
    }
    let mantissa_is_right = match mantissa.split_once('.') {
        None => is_digits(mantissa),
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
    };
    if !mantissa_is_right {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(Value::Float(value))
}

/// Drops the backslash before each of `escaped`, from left to right.
fn drop_backslashes(raw: &[u8], escaped: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'\\' && at + 1 < raw.len() && escaped.contains(&raw[at + 1]) {
            at += 1;
        }
        out.push(raw[at]);
        at += 1;
    }
    out
}

fn unescape_measurement(raw: &[u8]) -> Vec<u8> {
    drop_backslashes(raw, b", ")
}

/// Rule 5 with its quirk: `\"` loses its backslash only where the token holds a space, comma or `=`.
fn unescape(raw: &[u8]) -> Vec<u8> {
    if raw.iter().any(|byte| matches!(byte, b' ' | b',' | b'=')) {
        drop_backslashes(raw, b", =\"")
    } else {
        raw.to_vec()
    }
}

// ------------------------------------------------------------------------------------------------
// Points: who is late, who is a duplicate
// ------------------------------------------------------------------------------------------------

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Series {
    measurement: Vec<u8>,
    tags: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One (series, field, timestamp) with a value.
#[derive(Clone)]
struct Point {
    series: Series,
    field: Vec<u8>,
    ts: i64,
    value: Value,
    /// The line had a timestamp of its own.
    is_stamped: bool,
    /// Number of the line.
    line: usize,
}

/// Everything that is neither late nor in the future, as it comes.
fn arrivals(config: &Config, input: &[u8], options: &Options) -> Vec<Point> {
    let mut out = Vec::new();
    for (number, line) in parse(input).into_iter().flatten().enumerate() {
        let Some(ts) = line.timestamp.or(options.now_ns) else {
            continue;
        };
        if let Some(now) = options.now_ns {
            let age = i128::from(now) - i128::from(ts);
            let too_new = -age > config.future_ns;
            let too_old = config.max_ns.is_some_and(|max| age > max);
            if too_new || too_old {
                continue;
            }
        }
        let series = Series { measurement: line.measurement, tags: line.tags };
        let is_stamped = line.timestamp.is_some();
        for (field, value) in line.fields {
            out.push(Point { series: series.clone(), field, ts, value, is_stamped, line: number });
        }
    }
    out
}

/// Each point once, with its final value.
///
/// Readings:
/// - "the newest of its series" is judged per series and field, over all points of it that were not
///   refused as late or future, whatever their type and whether a column takes them or not;
/// - last value wins also over a change of type (a number replaced by a string is no number any more);
/// - a line without timestamp is outside the rule: each is a point of its own, it neither replaces
///   another nor makes another older.
fn accepted_points(arrivals: &[Point], options: &Options) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut at: HashMap<(Series, Vec<u8>, i64), usize> = HashMap::new();
    let mut newest: HashMap<(Series, Vec<u8>), i64> = HashMap::new();
    let broken = |rule| options.broken == Some(rule);
    for point in arrivals {
        let ts = point.ts;
        if !point.is_stamped || broken(Broken::DuplicatesCount) {
            points.push(point.clone());
            continue;
        }
        let newest = newest.entry((point.series.clone(), point.field.clone())).or_insert(ts);
        match at.entry((point.series.clone(), point.field.clone(), ts)) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(points.len());
                points.push(point.clone());
                *newest = ts.max(*newest);
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                if (ts == *newest && !broken(Broken::FirstValueWins)) || broken(Broken::OlderIsReplaced) {
                    points[*entry.get()].value = point.value.clone();
                }
            }
        }
    }
    points
}

// ------------------------------------------------------------------------------------------------
// Windows
// ------------------------------------------------------------------------------------------------

/// Half open, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub start: i64,
    pub end: i64,
}

impl Window {
    fn start_ns(self) -> i128 {
        i128::from(self.start) * i128::from(NANOS)
    }

    fn end_ns(self) -> i128 {
        i128::from(self.end) * i128::from(NANOS)
    }

    /// Reading: a slot that the window's end cuts short is a slot too.
    fn slots(self, every_ns: i64) -> i64 {
        let length = (self.end - self.start) * NANOS;
        (length + every_ns - 1) / every_ns
    }
}

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Seconds that the zone's clocks are ahead of UTC.
fn offset_at(zone: chrono_tz::Tz, seconds: i64) -> i64 {
    let utc = DateTime::from_timestamp(seconds, 0).expect("a time that a calendar knows").naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

/// A stretch of time with one offset.
struct Stretch {
    start: i64,
    end: i64,
    offset: i64,
}

/// Cuts `[from, to)` where the zone's offset changes. No zone has ever gone away from an offset and come
/// back to it within the quarter of an hour that this steps over.
fn stretches(zone: chrono_tz::Tz, from: i64, to: i64) -> Vec<Stretch> {
    let mut out = Vec::new();
    let mut start = from;
    let mut offset = offset_at(zone, from);
    let mut at = from;
    while at < to {
        let next = (at + 900).min(to);
        if offset_at(zone, next) == offset {
            at = next;
            continue;
        }
        while offset_at(zone, at) == offset {
            at += 1;
        }
        out.push(Stretch { start, end: at, offset });
        start = at;
        offset = offset_at(zone, at);
    }
    if start < to {
        out.push(Stretch { start, end: to, offset });
    }
    out
}

/// The base window of an instant: its local clock hour, cut off where the offset changes.
pub fn hour_window(zone: chrono_tz::Tz, seconds: i64) -> Window {
    let around = stretches(zone, seconds - HOUR, seconds + HOUR);
    let here = around.iter().find(|s| s.start <= seconds && seconds < s.end).expect("the stretches cover it");
    let local = seconds + here.offset;
    let start = local.div_euclid(HOUR) * HOUR - here.offset;
    Window { start: start.max(here.start), end: (start + HOUR).min(here.end) }
}

/// The first instant whose local date is `day` (days since 1970); `None` where the zone skipped that day.
fn first_instant(zone: chrono_tz::Tz, day: i64) -> Option<i64> {
    let midnight = day * DAY;
    // No zone is more than 16 hours away from UTC.
    for stretch in stretches(zone, midnight - 20 * HOUR, midnight + DAY + 20 * HOUR) {
        let first = (midnight - stretch.offset).max(stretch.start);
        if first < stretch.end && first + stretch.offset < midnight + DAY {
            return Some(first);
        }
    }
    None
}

/// The day of an instant: between the first instants of two local dates that follow each other.
pub fn day_window(zone: chrono_tz::Tz, seconds: i64) -> Window {
    let day = (seconds + offset_at(zone, seconds)).div_euclid(DAY);
    let mut starts: Vec<i64> = (day - 3..=day + 4).filter_map(|day| first_instant(zone, day)).collect();
    starts.sort_unstable();
    let start = *starts.iter().rfind(|start| **start <= seconds).expect("a day before");
    let end = *starts.iter().find(|start| **start > seconds).expect("a day after");
    Window { start, end }
}

/// Remembers windows, because most points ask for the same ones.
#[derive(Default)]
struct Windows {
    hours: HashMap<chrono_tz::Tz, BTreeMap<i64, Window>>,
    days: HashMap<chrono_tz::Tz, BTreeMap<i64, Window>>,
}

impl Windows {
    fn hour(&mut self, zone: chrono_tz::Tz, seconds: i64) -> Window {
        remembered(self.hours.entry(zone).or_default(), seconds, || hour_window(zone, seconds))
    }

    fn day(&mut self, zone: chrono_tz::Tz, seconds: i64) -> Window {
        remembered(self.days.entry(zone).or_default(), seconds, || day_window(zone, seconds))
    }
}

fn remembered(known: &mut BTreeMap<i64, Window>, seconds: i64, compute: impl Fn() -> Window) -> Window {
    if let Some((_, window)) = known.range(..=seconds).next_back() {
        if seconds < window.end {
            return *window;
        }
    }
    let window = compute();
    assert!(window.start <= seconds && seconds < window.end, "a window holds its instant");
    known.insert(window.start, window);
    window
}

// ------------------------------------------------------------------------------------------------
// Rows
// ------------------------------------------------------------------------------------------------

/// What one source of one column found in one hour: (timestamp, value); no value for a string (count).
type Found = Vec<(i64, Option<f64>)>;

/// All that one device has in one base window.
struct HourOfDevice {
    window: Window,
    /// The zone that has cut it.
    zone: chrono_tz::Tz,
    /// Timestamps of the points that at least one column or rule took, each point once.
    taken: Vec<i64>,
    /// By column, by source.
    by_column: Vec<Vec<Found>>,
    /// By column, by rule; filled for rules with a source of their own.
    by_rule: Vec<Vec<Found>>,
    /// Mean and deviation by column, rule and source, where a z-score has them.
    baselines: HashMap<(usize, usize, usize), (f64, f64)>,
}

impl HourOfDevice {
    fn slot(&self, summary: &Summary, ts: i64) -> i64 {
        (ts - self.window.start * NANOS) / summary.expect_every_ns
    }

    fn slots_of<'a>(&self, summary: &Summary, times: impl Iterator<Item = &'a i64>) -> usize {
        times.map(|ts| self.slot(summary, *ts)).collect::<BTreeSet<i64>>().len()
    }

    /// What the column's chosen source found: the source with the most slots that hold a sample, of
    /// several such the first in order. Empty if none has a sample.
    fn chosen(&self, summary: &Summary, column: usize) -> &[(i64, Option<f64>)] {
        self.chosen_source(summary, column).map_or(&[], |source| &self.by_column[column][source])
    }

    fn chosen_source(&self, summary: &Summary, column: usize) -> Option<usize> {
        let mut best = None;
        let mut best_slots = 0;
        for (source, found) in self.by_column[column].iter().enumerate() {
            let slots = self.slots_of(summary, found.iter().map(|(ts, _)| ts));
            if slots > best_slots {
                best = Some(source);
                best_slots = slots;
            }
        }
        best
    }
}

/// A device: the raw bytes of its key tags.
type Device = Vec<Vec<u8>>;

/// A clock that has lost its time begins in 1970, 1980 or 2000: samples before 2001 are followed by no empty rows.
const CLOCKS_BEGIN_NS: i128 = 978_307_200 * NANOS as i128;

/// How the time of a device is cut: each point opens, when it comes, the hour and the day that hold it, in the zone that it names, between
/// those that are there.
#[derive(Default)]
struct Cuts {
    hours: Vec<(Window, chrono_tz::Tz)>,
    days: Vec<(Window, chrono_tz::Tz)>,
    /// The zone that its newest point names, and when that was.
    zone: Option<chrono_tz::Tz>,
    newest: Option<i64>,
    /// When points came again with another value.
    conflicts: Vec<i64>,
}

/// The window of a list that holds an instant.
fn holding(list: &[(Window, chrono_tz::Tz)], seconds: i64) -> Option<(Window, chrono_tz::Tz)> {
    list.iter().find(|(window, _)| window.start <= seconds && seconds < window.end).copied()
}

/// Cuts a window off where others begin or end.
fn between(list: &[(Window, chrono_tz::Tz)], seconds: i64, mut window: Window) -> Window {
    for (other, _) in list {
        if other.end <= seconds {
            window.start = window.start.max(other.end);
        }
        if other.start > seconds {
            window.end = window.end.min(other.start);
        }
    }
    window
}

impl Cuts {
    fn open(&mut self, windows: &mut Windows, seconds: i64, zone: chrono_tz::Tz) {
        if holding(&self.hours, seconds).is_none() {
            let hour = between(&self.hours, seconds, windows.hour(zone, seconds));
            self.hours.push((hour, zone));
            self.open_day(windows, seconds, zone);
        }
    }

    fn day_of(&self, windows: &mut Windows, seconds: i64, zone: chrono_tz::Tz) -> (Window, chrono_tz::Tz) {
        let known = holding(&self.days, seconds);
        known.unwrap_or_else(|| (between(&self.days, seconds, windows.day(zone, seconds)), zone))
    }

    fn open_day(&mut self, windows: &mut Windows, seconds: i64, zone: chrono_tz::Tz) {
        let day = self.day_of(windows, seconds, zone);
        if holding(&self.days, seconds).is_none() {
            self.days.push(day);
        }
    }
}

/// The second in which a point lies, for the windows.
fn second_of(point: &Point, options: &Options) -> i64 {
    let cut = if options.broken == Some(Broken::WindowHoldsItsEnd) { point.ts - 1 } else { point.ts };
    cut.div_euclid(NANOS)
}

/// The values of the key tags; `None`: the point feeds no row.
fn device_of(summary: &Summary, point: &Point) -> Option<Device> {
    summary.key.iter().map(|tag| point.series.tags.get(tag.as_bytes()).cloned()).collect()
}

/// How the time of each device is cut, by the order in which points come.
fn cuts(config: &Config, summary: &Summary, arrivals: &[Point], options: &Options) -> BTreeMap<Device, Cuts> {
    let mut windows = Windows::default();
    let mut out: BTreeMap<Device, Cuts> = BTreeMap::new();
    let mut known: HashMap<(&Series, &[u8], i64), &Value> = HashMap::new();
    let mut newest: HashMap<(&Series, &[u8]), i64> = HashMap::new();
    for point in arrivals {
        let Some(device) = device_of(summary, point) else { continue };
        let (place, series) = ((&point.series, &*point.field, point.ts), (&point.series, &*point.field));
        let mut is_older_again = false;
        if point.is_stamped {
            let newest = newest.entry(series).or_insert(point.ts);
            let first = known.get(&place).copied();
            is_older_again = first.is_some() && point.ts < *newest;
            if is_older_again && first.map(Value::identity) != Some(point.value.identity()) {
                out.entry(device.clone()).or_default().conflicts.push(point.ts);
            }
            if first.map(Value::identity) == Some(point.value.identity()) {
                continue;
            }
            if !is_older_again {
                known.insert(place, &point.value);
                *newest = point.ts.max(*newest);
            }
        }
        let is_broken = matches!(options.broken, Some(Broken::OlderIsReplaced | Broken::DuplicatesCount));
        if (is_older_again && !is_broken) || takers(summary, point, options).is_empty() {
            continue;
        }
        let cuts = out.entry(device).or_default();
        let zone = named_zone(summary, point).or(cuts.zone).unwrap_or(config.zone);
        let zone = if options.broken == Some(Broken::ZoneIsForgotten) { chrono_tz::UTC } else { zone };
        if cuts.newest.is_none_or(|newest| newest <= point.ts) {
            (cuts.zone, cuts.newest) = (Some(zone), Some(point.ts));
        }
        cuts.open(&mut windows, second_of(point, options), zone);
    }
    out
}

/// The rows of a summary; those without a sample are of windows that end at `until` at the latest.
fn summary_rows(
    config: &Config,
    summary: &Summary,
    (arrivals, until): (&[Point], Option<i64>),
    options: &Options,
    rows: &mut Vec<Row>,
) {
    let points = &accepted_points(arrivals, options);
    let mut windows = Windows::default();
    let mut cuts = cuts(config, summary, arrivals, options);
    let mut devices: BTreeMap<Device, BTreeMap<i64, HourOfDevice>> = BTreeMap::new();
    for point in points {
        // A line without a key tag feeds no row.
        let Some(key) = device_of(summary, point) else { continue };
        let taken = takers(summary, point, options);
        if taken.is_empty() {
            continue;
        }
        let cuts = cuts.entry(key.clone()).or_default();
        // With a broken rule a point may count that did not when it came.
        let zone = cuts.zone.unwrap_or(config.zone);
        cuts.open(&mut windows, second_of(point, options), zone);
        let (window, zone) = holding(&cuts.hours, second_of(point, options)).expect("it was opened");
        let moved = options.broken == Some(Broken::HoursMoveWithTheDevice);
        let zone = cuts.zone.filter(|_| moved).unwrap_or(zone);
        let hours = devices.entry(key).or_default();
        let hour = hours.entry(window.start).or_insert_with(|| HourOfDevice {
            window,
            zone,
            taken: Vec::new(),
            by_column: summary.columns.iter().map(|c| vec![Vec::new(); c.sources.len()]).collect(),
            by_rule: summary.columns.iter().map(|c| vec![Vec::new(); c.rules.len()]).collect(),
            baselines: HashMap::new(),
        });
        hour.taken.push(point.ts);
        for taker in taken {
            let (list, value) = match taker {
                Taker::Source { column, source, value } => (&mut hour.by_column[column][source], value),
                Taker::Rule { column, rule, value } => (&mut hour.by_rule[column][rule], Some(value)),
            };
            list.push((point.ts, value));
        }
    }
    for (device, hours) in &mut devices {
        for hour in hours.values_mut() {
            hour.baselines = baselines(summary, device, &cuts[device].hours, hour.window, arrivals, options);
        }
    }

    let ends = |window: Window| until.is_some_and(|until| window.end_ns() <= i128::from(until));
    let mut tables: [Vec<(i64, &Device, Row)>; 2] = Default::default();
    for (device, hours) in &devices {
        let cuts = cuts.get_mut(device).expect("it has hours");
        // The windows without a sample behind each window with one, up to the next with one, in the zone of the one before.
        let mut empty: Vec<(Window, chrono_tz::Tz)> = Vec::new();
        let starts: Vec<i64> = hours.keys().copied().collect();
        for (place, hour) in hours.values().enumerate() {
            let last = i128::from(*hour.taken.iter().max().expect("an hour has a sample"));
            let until = starts.get(place + 1).copied().unwrap_or(i64::MAX);
            let horizon = match summary.horizon_ns {
                Some(own) if options.broken != Some(Broken::OneHorizonForAll) => own,
                _ => config.horizon_ns,
            };
            let mut start = hour.window.end;
            while start < until
                && i128::from(start) * i128::from(NANOS) - last < horizon
                && last >= CLOCKS_BEGIN_NS
                && options.broken != Some(Broken::NoEmptyRows)
            {
                let window = Window { start, end: windows.hour(hour.zone, start).end.min(until) };
                if !ends(window) {
                    break;
                }
                let is_hidden = |at: &i64| (window.start_ns()..window.end_ns()).contains(&i128::from(*at));
                if options.broken != Some(Broken::ConflictHidesAGap) || !cuts.conflicts.iter().any(is_hidden) {
                    empty.push((window, hour.zone));
                }
                start = window.end;
            }
        }
        // Each hour lies in a day, by its start; a day whose first hour is empty has a row of its own.
        let mut days: BTreeMap<i64, (Window, chrono_tz::Tz, Vec<&HourOfDevice>)> = BTreeMap::new();
        for hour in hours.values() {
            cuts.open_day(&mut windows, hour.window.start, hour.zone);
            let (day, zone) = holding(&cuts.days, hour.window.start).expect("it was opened");
            days.entry(day.start).or_insert((day, zone, Vec::new())).2.push(hour);
        }
        for (window, zone) in &empty {
            let (day, zone) = cuts.day_of(&mut windows, window.start, *zone);
            if day.start == window.start && ends(day) {
                cuts.open_day(&mut windows, window.start, zone);
                days.entry(day.start).or_insert((day, zone, Vec::new()));
            }
        }
        let with_samples = hours.values().map(|hour| (hour.window, hour.zone, vec![hour]));
        for (window, zone, hours) in with_samples.chain(empty.iter().map(|(window, zone)| (*window, *zone, Vec::new())))
        {
            tables[0].push((
                window.start,
                device,
                row_of(config, summary, false, device, zone, window, &hours, options),
            ));
        }
        for (window, zone, hours) in days.values() {
            tables[1].push((
                window.start,
                device,
                row_of(config, summary, true, device, *zone, *window, hours, options),
            ));
        }
    }
    for (mut table, wanted) in tables.into_iter().zip([summary.hourly, summary.daily]) {
        table.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        rows.extend(table.into_iter().filter(|_| wanted).map(|(_, _, row)| row));
    }
}

/// What the z-scores of a window judge by: mean and deviation of all values that the source had in its last windows before
/// this one, as they were known when the first value of the window came.
fn baselines(
    summary: &Summary,
    device: &Device,
    cuts: &[(Window, chrono_tz::Tz)],
    window: Window,
    arrivals: &[Point],
    options: &Options,
) -> HashMap<(usize, usize, usize), (f64, f64)> {
    let mut out = HashMap::new();
    let is_of_device = |point: &Point| {
        let mut tags = summary.key.iter().zip(device);
        tags.all(|(tag, value)| point.series.tags.get(tag.as_bytes()) == Some(value))
    };
    for (column, definition) in summary.columns.iter().enumerate() {
        for (rule, wanted) in definition.rules.iter().enumerate() {
            let Judge::ZScore { baseline, .. } = wanted.judge else { continue };
            let sources = match &wanted.input {
                RuleInput::Column(column) => summary.columns[*column].sources.as_slice(),
                RuleInput::Source(source) => std::slice::from_ref(source),
            };
            for (index, source) in sources.iter().enumerate() {
                let takes = |p: &Point| {
                    is_of_device(p)
                        && source.matches(p)
                        && source.scaled(&p.value).is_some()
                        && !source.is_outside(&p.value, options)
                };
                let inside = |p: &Point| (window.start_ns()..window.end_ns()).contains(&i128::from(p.ts));
                let Some(first) = arrivals.iter().find(|p| inside(p) && takes(p)) else { continue };
                let moves = options.broken == Some(Broken::BaselineMoves);
                let known: Vec<Point> = arrivals.iter().filter(|p| moves || p.line < first.line).cloned().collect();
                let mut before: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
                for point in accepted_points(&known, options) {
                    if takes(&point) && i128::from(point.ts) < window.start_ns() {
                        let (hour, _) = holding(cuts, second_of(&point, options)).expect("it was opened");
                        before.entry(hour.start).or_default().extend(source.scaled(&point.value));
                    }
                }
                if before.len() < baseline {
                    continue;
                }
                let values: Vec<f64> = before.into_values().rev().take(baseline).flatten().collect();
                if let Some(deviation) = exact_stddev(&values) {
                    out.insert((column, rule, index), (exact_mean(&values), deviation));
                }
            }
        }
    }
    out
}

/// The zone that a point names.
fn named_zone(summary: &Summary, point: &Point) -> Option<chrono_tz::Tz> {
    let tag = summary.timezone_tag.as_ref().and_then(|tag| point.series.tags.get(tag.as_bytes()));
    tag.and_then(|name| std::str::from_utf8(name).ok()).and_then(|name| name.parse().ok())
}

enum Taker {
    Source { column: usize, source: usize, value: Option<f64> },
    Rule { column: usize, rule: usize, value: f64 },
}

/// Every source that takes the point.
///
/// Readings: the sources of a column are independent, so a point that two of them match is a sample of
/// both. `count` and `distinct` take a value of any type, scaling cannot refuse it. A number that scaling
/// makes non-finite is not a sample of that source.
fn takers(summary: &Summary, point: &Point, options: &Options) -> Vec<Taker> {
    let mut out = Vec::new();
    for (column, definition) in summary.columns.iter().enumerate() {
        let takes_anything = matches!(definition.method, Method::Count | Method::OtherOfAnything);
        for (source, wanted) in definition.sources.iter().enumerate() {
            if wanted.matches(point) && !wanted.is_outside(&point.value, options) {
                let value = wanted.scaled(&point.value);
                if takes_anything || value.is_some() {
                    out.push(Taker::Source { column, source, value });
                }
            }
        }
        for (rule, wanted) in definition.rules.iter().enumerate() {
            if let RuleInput::Source(wanted) = &wanted.input {
                if wanted.matches(point) {
                    if let Some(value) = wanted.scaled(&point.value) {
                        out.push(Taker::Rule { column, rule, value });
                    }
                }
            }
        }
    }
    out
}

#[allow(clippy::too_many_arguments)]
fn row_of(
    config: &Config,
    summary: &Summary,
    daily: bool,
    device: &Device,
    zone: chrono_tz::Tz,
    window: Window,
    hours: &[&HourOfDevice],
    options: &Options,
) -> Row {
    let mut columns = Vec::new();
    for (at, column) in summary.columns.iter().enumerate() {
        if let Some(cell) = cell_of(summary, at, hours, options.broken) {
            columns.push((column.name.clone(), cell));
        }
    }
    let mut covered: usize = hours.iter().map(|hour| hour.slots_of(summary, hour.taken.iter())).sum();
    if options.broken == Some(Broken::EverySampleIsASlot) {
        covered = hours.iter().map(|hour| hour.taken.len()).sum();
    }
    // The slots of all base windows inside the window, also of those without a sample.
    let mut slots = 0;
    let mut at = window.start;
    while at < window.end {
        let end = hour_window(zone, at).end.min(window.end);
        slots += Window { start: at, end }.slots(summary.expect_every_ns);
        at = end;
    }
    let times = || hours.iter().flat_map(|hour| hour.taken.iter().copied());
    let local = utc_text(window.start + offset_at(zone, window.start));
    Row {
        table: format!("{}_{}", summary.name, if daily { "daily" } else { "hourly" }),
        window_start_ns: window.start * NANOS,
        local: if daily { local[..local.find(' ').expect("date, blank, time")].to_string() } else { local },
        keys: summary.key.iter().cloned().zip(device.iter().map(|value| shown(value))).collect(),
        columns,
        samples: times().count() as i64,
        coverage: (covered as f64 / slots as f64).min(1.0),
        first_seen: times().min().map(|ts| ts.div_euclid(1_000_000)),
        last_seen: times().max().map(|ts| ts.div_euclid(1_000_000)),
        is_final: options.now_ns.is_none_or(|now| i128::from(now) >= window.end_ns() + config.allowed_ns),
    }
}

/// A key as it is shown: each byte that is not UTF-8 as `\xNN` (lower case).
fn shown(value: &[u8]) -> String {
    let mut out = String::new();
    for chunk in value.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// One cell from the chosen samples of the hours; `None` where the method is not computed here.
fn cell_of(summary: &Summary, at: usize, hours: &[&HourOfDevice], broken: Option<Broken>) -> Option<Cell> {
    let column = &summary.columns[at];
    let mut chosen: Vec<(i64, Option<f64>)> = hours.iter().flat_map(|hour| hour.chosen(summary, at)).copied().collect();
    if broken == Some(Broken::FirstSourceFeeds) {
        let first = |hour: &&HourOfDevice| hour.by_column[at].iter().find(|found| !found.is_empty()).cloned();
        chosen = hours.iter().filter_map(first).flatten().collect();
    }
    if broken == Some(Broken::SourceOfTheDay) && column.method != Method::Anomalies {
        let of_day = |source: usize| -> Vec<_> {
            hours.iter().flat_map(|hour| hour.by_column[at][source].iter().copied()).collect()
        };
        let sources = (0..column.sources.len()).map(of_day);
        chosen = sources.max_by_key(Vec::len).unwrap_or_default();
    }
    match column.method {
        Method::OtherOfNumbers | Method::OtherOfAnything => return None,
        Method::Anomalies => return Some(anomaly_count(summary, at, hours, broken)),
        Method::Count if chosen.is_empty() => return Some(Cell::Null),
        Method::Count => return Some(Cell::Int(chosen.len() as i64)),
        _ => {}
    }
    let values: Vec<(i64, f64)> = chosen.iter().map(|(ts, v)| (*ts, v.expect("only numbers are taken"))).collect();
    if values.is_empty() {
        return Some(Cell::Null);
    }
    let numbers: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Of equal timestamps the larger value is both the first and the last.
    let largest_at = |wanted: i64| {
        let there = values.iter().filter(|(ts, _)| *ts == wanted);
        match broken {
            Some(Broken::SmallerIsLast) => there.map(|(_, value)| *value).fold(f64::INFINITY, f64::min),
            _ => there.map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max),
        }
    };
    let times = || values.iter().map(|(ts, _)| *ts);
    let result = match column.method {
        Method::Min => Some(min),
        Method::Max => Some(max),
        Method::Range => Some(max - min),
        Method::First => Some(largest_at(times().min().expect("not empty"))),
        Method::Last => Some(largest_at(times().max().expect("not empty"))),
        Method::Sum => Some(exact_sum(&numbers)),
        Method::Avg => Some(exact_mean(&numbers)),
        Method::Stddev if broken == Some(Broken::DeviationByN) => {
            let n = numbers.len() as f64;
            exact_stddev(&numbers).map(|deviation| deviation * ((n - 1.0) / n).sqrt())
        }
        Method::Stddev => exact_stddev(&numbers),
        Method::Percentile(share) => {
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            Some(sorted[(share * (sorted.len() - 1) as f64).floor() as usize])
        }
        Method::Count | Method::Anomalies | Method::OtherOfNumbers | Method::OtherOfAnything => unreachable!(),
    };
    Some(match result {
        Some(value) if value.is_finite() => Cell::Float(value),
        _ => Cell::Null,
    })
}

/// The number of values on which a rule fires, over all rules of the column and all hours; NULL when no
/// rule saw a value at all.
fn anomaly_count(summary: &Summary, at: usize, hours: &[&HourOfDevice], broken: Option<Broken>) -> Cell {
    let mut seen = 0;
    let mut flags = 0;
    for (index, rule) in summary.columns[at].rules.iter().enumerate() {
        for hour in hours {
            let (values, source) = match rule.input {
                RuleInput::Column(column) => (hour.chosen(summary, column), hour.chosen_source(summary, column)),
                RuleInput::Source(_) => (hour.by_rule[at][index].as_slice(), Some(0)),
            };
            for value in values.iter().filter_map(|(_, value)| *value) {
                seen += 1;
                flags += i64::from(match rule.judge {
                    Judge::When(operator, threshold) => operator.holds(value, threshold),
                    Judge::ZScore { threshold, .. } => {
                        let baseline = hour.baselines.get(&(at, index, source.expect("it has values")));
                        baseline.is_some_and(|(mean, deviation)| {
                            let distance = value - mean;
                            let distance = if broken == Some(Broken::AboveOnly) { distance } else { distance.abs() };
                            distance > threshold * deviation
                        })
                    }
                });
            }
        }
    }
    if seen == 0 { Cell::Null } else { Cell::Int(flags) }
}

// ------------------------------------------------------------------------------------------------
// Exact arithmetic: every f64 is an integer number of 2^-1074
// ------------------------------------------------------------------------------------------------

const UNIT: i64 = -1074;

/// `value / 2^-1074`, an integer.
fn units(value: f64) -> BigInt {
    let bits = value.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    assert!(exponent != 0x7ff, "only finite numbers are summed");
    let magnitude = match exponent {
        0 => BigUint::from(fraction),
        _ => BigUint::from(fraction | (1 << 52)) << (exponent - 1),
    };
    BigInt::from_biguint(if value < 0.0 { Sign::Minus } else { Sign::Plus }, magnitude)
}

fn exact_sum(values: &[f64]) -> f64 {
    nearest(&values.iter().map(|v| units(*v)).sum(), &BigUint::from(1u8), UNIT)
}

fn exact_mean(values: &[f64]) -> f64 {
    nearest(&values.iter().map(|v| units(*v)).sum(), &BigUint::from(values.len()), UNIT)
}

/// `sqrt((n * sum(x^2) - sum(x)^2) / (n * (n - 1)))`; `None` for a single value.
fn exact_stddev(values: &[f64]) -> Option<f64> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let sum: BigInt = values.iter().map(|v| units(*v)).sum();
    let squares: BigInt = values.iter().map(|v| units(*v) * units(*v)).sum();
    let numerator = (squares * BigInt::from(n) - &sum * &sum).to_biguint().expect("a variance is not negative");
    let denominator = BigUint::from(n) * BigUint::from(n - 1);
    // The root of the fraction with at least 100 bits, as an integer `root` with `root * 2^-shift`.
    let shift = 100 + denominator.bits().saturating_sub(numerator.bits());
    let shifted = numerator << (2 * shift);
    let quotient = &shifted / &denominator;
    let root = quotient.sqrt();
    // What was cut off is kept as one more bit, so that the final rounding cannot meet a false tie.
    let is_exact = &root * &root * &denominator == shifted;
    let root = (root << 1u8) + BigUint::from(u8::from(!is_exact));
    Some(nearest(&BigInt::from(root), &BigUint::from(1u8), UNIT - shift as i64 - 1))
}

/// The f64 nearest to `numerator / denominator * 2^exponent`, ties to even, infinite on overflow.
fn nearest(numerator: &BigInt, denominator: &BigUint, exponent: i64) -> f64 {
    let mut top = numerator.magnitude().clone();
    let mut bottom = denominator.clone();
    if top == BigUint::ZERO {
        return 0.0;
    }
    // 2^highest <= top / bottom < 2^(highest + 1)
    let mut highest = top.bits() as i64 - bottom.bits() as i64;
    let reaches = if highest >= 0 { top >= &bottom << highest } else { &top << -highest >= bottom };
    if !reaches {
        highest -= 1;
    }
    // The last place of an f64 of this size.
    let last_place = (highest + exponent - 52).max(-1074);
    if last_place > 971 {
        return if numerator.sign() == Sign::Minus { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let shift = exponent - last_place;
    if shift >= 0 {
        top <<= shift;
    } else {
        bottom <<= -shift;
    }
    let mut places = &top / &bottom;
    let rest = (&top - &places * &bottom) << 1u8;
    let up = match rest.cmp(&bottom) {
        Ordering::Greater => true,
        Ordering::Equal => places.bit(0),
        Ordering::Less => false,
    };
    if up {
        places += 1u8;
    }
    let places = u64::try_from(places).expect("at most 2^53") as f64;
    // Exact: `places` has at most 53 bits and the power of two is representable.
    let power = if last_place >= -1022 {
        f64::from_bits(((last_place + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (last_place + 1074))
    };
    let magnitude = places * power;
    if numerator.sign() == Sign::Minus { -magnitude } else { magnitude }
}
