//! `check` against real servers: a configuration that it calls valid makes its tables and writes its rows on SQLite, MySQL and
//! MariaDB; one that is broken is named with line, path and remedy.
//!
//! A failure names its seed; `ROLLUP_SEED=17` runs that one alone.
#![cfg(unix)]

#[path = "support/process.rs"]
mod process;
mod support;

use process::EVERYTHING;
use std::fmt::Write;
use support::servers::{Database, Kind, PASSWORD, USER};
use telegraf_rollup::config::Config;
use telegraf_rollup::config::report::Problems;
use telegraf_rollup::driver::flush::pass::FlushMemory;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::schema::Schema;
use telegraf_rollup::sink;

/// Configurations of each kind.
const SEEDS: u64 = 300;
const HOUR: i64 = 3_600_000_000_000;
/// 2024-03-05T23:00:00Z
const START: i64 = 1_709_679_600_000_000_000;

/// Numbers by chance, the same for the same seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn word(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }

    /// A name of a column or of a key tag: most are allowed.
    fn name(&mut self) -> String {
        const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
        const WORLD: &str =
            "aäàáÄéÉñøåÅİıiIğŞßſKkμµΩσςΣжЖйИё温度湿电压전압온도センサーがか α-./;:,='%$#@!()[]{}<>?*+~^|&";
        match self.below(6) {
            0 => {
                let words = [
                    "select", "ORDER", "key", "primary", "group", "index", "null", "values", "table", "rowid",
                    "_rowid_", "oid",
                ];
                self.one(&words).to_string()
            }
            1 => {
                let length = 1 + self.below(12);
                self.word(WORLD, length)
            }
            2 => (0..1 + self.below(64))
                .map(|_| char::from_u32(0x20 + self.below(0xffdf) as u32).unwrap_or('x'))
                .collect(),
            3 => self.word(LETTERS, 64),
            4 => self.word("温度湿电压전압온도", 64),
            _ => {
                let length = 1 + self.below(10);
                self.word(LETTERS, length)
            }
        }
    }

    fn summary_name(&mut self) -> String {
        let length = if self.below(4) == 0 { 47 } else { self.below(20) };
        self.word("ghGHxyz_", 1) + &self.word("abcXYZ019_", length)
    }
}

/// A text of TOML. Names hold neither quotes nor backslashes where they are allowed.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(|c: char| c.is_control(), ""))
}

/// The column that all have: `method` of a field.
fn column(name: &str, method: &str, field: usize) -> String {
    let source = format!("{{ measurement = \"m\", field = \"f{field}\" }}");
    format!("[[summary.column]]\nname = {}\nmethod = \"{method}\"\nsources = [{source}]\n", quoted(name))
}

/// A configuration without a sink.
fn configuration(chance: &mut Chance) -> String {
    let zone = chance.one(&["UTC", "Asia/Kathmandu", "America/St_Johns", "Europe/Berlin"]);
    let mut text = format!(
        "state_dir = \"/unused\"\ntimezone = \"{zone}\"\n[lateness]\nmax = \"forever\"\n[missing]\nhorizon = \"0s\"\n\
         [[anomaly]]\nname = \"hot\"\nsource = {{ measurement = \"m\", field = \"f0\" }}\nwhen = \"> 1\"\n"
    );
    for _ in 0..1 + chance.below(2) {
        let keys: Vec<String> = (0..1 + chance.below(3)).map(|_| quoted(&chance.name())).collect();
        let windows =
            chance.one(&["[\"hourly\"]", "[\"daily\"]", "[\"hourly\", \"daily\"]", "[\"daily\", \"hourly\"]"]);
        let name = chance.summary_name();
        let _ = write!(text, "[[summary]]\nname = \"{name}\"\nkey = [{}]\nwindows = {windows}\n", keys.join(", "));
        let _ = writeln!(text, "expect_every = \"{}\"", chance.one(&["1s", "1m", "7m", "1h", "24h"]));
        let columns = match chance.below(40) {
            0 => 600,
            1 => 60 + chance.below(300),
            _ => 1 + chance.below(6),
        };
        for number in 0..columns {
            let name = if columns < 10 { chance.name() } else { format!("c{number}") };
            match chance.below(8) {
                0 => {
                    let _ = writeln!(
                        text,
                        "[[summary.column]]\nname = {}\nmethod = \"anomalies\"\nrules = [\"hot\"]",
                        quoted(&name)
                    );
                }
                _ => {
                    let methods =
                        ["avg", "min", "max", "sum", "count", "first", "last", "stddev", "range", "p50", "p99.9"];
                    let method = chance.one(&methods);
                    text.push_str(&column(&name, method, chance.below(3)));
                }
            }
        }
    }
    text
}

fn check(text: &str) -> Result<Config, Problems> {
    Config::check(text, &|_| None)
}

/// A line that feeds every column of a schema; `value` is that of all key tags.
fn line(schema: &Schema, value: &str) -> String {
    let mut keys: Vec<&String> = schema.summaries.iter().flat_map(|summary| &summary.key).collect();
    keys.sort();
    keys.dedup();
    let mut line = "m".to_string();
    for key in keys {
        let escaped = key.chars().fold(String::new(), |mut text, c| {
            text.extend(matches!(c, ' ' | ',' | '=').then_some('\\'));
            text.push(c);
            text
        });
        let _ = write!(line, ",{escaped}={value}");
    }
    format!("{line} f0=1.5,f1=2i,f2=-3 {}\n", START + 1)
}

/// Makes the tables of a configuration and writes its rows. What is wrong, if anything.
fn works(text: &str, value: &str) -> Result<(), String> {
    let config = check(text).map_err(|report| report.to_string())?;
    let schema = config.schema.clone();
    let mut engine = Engine::new(schema.clone());
    engine.begin_run("run");
    let line = line(&schema, value);
    if !engine.ingest(line.as_bytes(), START + 2) {
        return Err(format!("the line feeds nothing: {line}"));
    }
    let engine = Shared::new(engine);
    let mut sink = sink::open::open(&config.sink);
    let flushed = process::flush(&engine, &mut *sink, &mut FlushMemory::default(), "w", START + 27 * HOUR, EVERYTHING);
    let flushed = flushed.map_err(|e| e.to_string())?;
    let tables = sink.inspect(&schema).map_err(|e| e.to_string())?;
    sink.disconnect();
    for table in tables {
        if table.content.as_ref().is_none_or(|(rows, _)| *rows != 1) {
            return Err(format!("{}: {:?}, {flushed:?}", table.name, table.content));
        }
    }
    Ok(())
}

/// The seeds of a run.
fn seeds() -> Vec<u64> {
    match std::env::var("ROLLUP_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

/// A valid configuration: one that is not is replaced by the next.
fn valid(seed: u64) -> String {
    let mut chance = Chance::new(seed);
    (0..200).map(|_| configuration(&mut chance)).find(|text| check(text).is_ok()).expect("a valid one in 200")
}

/// So many valid configurations, each with its seed.
fn valid_ones() -> Vec<(u64, String)> {
    seeds().into_iter().map(|seed| (seed, valid(seed))).collect()
}

fn value_for(seed: u64) -> String {
    if seed.is_multiple_of(3) { "🔥".repeat(191) } else { format!("host{seed}") }
}

fn works_on(kind: Kind) {
    let Some(mut database) = Database::start(kind) else { return };
    // Hundreds of tables are made and thrown away.
    database.restart_with(&["--innodb-flush-method=nosync", "--innodb-doublewrite=0"]);
    let configurations = valid_ones();
    let mut sql = format!("GRANT ALL ON `valid%`.* TO '{USER}'@'%';");
    for (seed, _) in &configurations {
        let _ = write!(sql, "CREATE DATABASE valid{seed};");
    }
    database.query(&sql);
    let mut failed = Vec::new();
    for (seed, text) in configurations {
        let url = database.url(USER, PASSWORD, &format!("valid{seed}"));
        let whole = format!("{text}[sink]\nurl = {url:?}\n");
        if let Err(problem) = works(&whole, &value_for(seed)) {
            failed.push(format!("seed {seed}: {problem}\n{}", text.chars().take(3_000).collect::<String>()));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {kind} failed, the first ones: {}",
        failed.len(),
        failed[..failed.len().min(3)].join("\n")
    );
}

#[test]
fn valid_configurations_work_on_mysql() {
    works_on(Kind::MySql);
}

#[test]
fn valid_configurations_work_on_mariadb() {
    works_on(Kind::MariaDb);
}

#[test]
fn valid_configurations_work_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    for (seed, text) in valid_ones() {
        let url = format!("sqlite://{}/{seed}.db", folder.path().display());
        let problem = works(&format!("{text}[sink]\nurl = {url:?}\n"), &value_for(seed));
        assert!(problem.is_ok(), "seed {seed}: {problem:?}\n{text}");
    }
}

/// A summary with so many columns and keys.
fn wide(keys: usize, columns: impl Iterator<Item = String>) -> String {
    let keys: Vec<String> = (0..keys).map(|n| format!("\"k{n}\"")).collect();
    let columns: String = columns.map(|name| column(&name, "avg", 0)).collect();
    format!(
        "state_dir = \"/unused\"\ntimezone = \"UTC\"\n[lateness]\nmax = \"forever\"\n[missing]\nhorizon = \"0s\"\n[[summary]]\n\
         name = \"wide_{}\"\nkey = [{}]\n{columns}",
        keys.len(),
        keys.join(", ")
    )
}

/// The largest number of columns that `check` takes, found by halving.
fn most(make: impl Fn(usize) -> String) -> usize {
    let (mut fits, mut fails) = (1_usize, 2_000);
    while fails - fits > 1 {
        let middle = fits.midpoint(fails);
        match check(&make(middle)) {
            Ok(_) => fits = middle,
            Err(report) => {
                assert!(report.to_string().contains("divide the summary"), "{report}");
                fails = middle;
            }
        }
    }
    fits
}

/// The widest summaries that `check` takes hold the longest keys, and the longest names that it takes make a table.
#[test]
fn the_widest_summaries_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let servers: Vec<Database> = [Kind::MySql, Kind::MariaDb].into_iter().filter_map(Database::start).collect();
    let mut urls = vec![format!("sqlite://{}/wide.db", folder.path().display())];
    urls.extend(servers.iter().map(|server| server.url(USER, PASSWORD, "metrics")));
    let plain = |keys: usize| move |n: usize| wide(keys, (0..n).map(|i| format!("c{i}")));
    let long = |n: usize| wide(1, (0..n).map(|i| format!("{}{i:04}", "温".repeat(60)))).replace("wide_1", "long_names");
    let mut texts: Vec<String> = (1..=3).map(|keys| plain(keys)(most(plain(keys)))).collect();
    texts.push(long(most(long)));
    // The longest name of a summary that is allowed.
    texts.push(wide(1, ["c".to_string()].into_iter()).replace("wide_1", &"n".repeat(48)));
    for (url, text) in urls.iter().flat_map(|url| texts.iter().map(move |text| (url, text))) {
        let problem = works(&format!("{text}[sink]\nurl = {url:?}\n"), &"🔥".repeat(191));
        assert!(problem.is_ok(), "{url}: {problem:?}\n{}", text.chars().take(400).collect::<String>());
    }
    assert!(check(&wide(1, ["c".to_string()].into_iter()).replace("wide_1", &"n".repeat(49))).is_err());
}

/// What may be wrong with a configuration: what is put behind a valid one.
fn breaks(chance: &mut Chance) -> String {
    let summary = |name: &str, key: &str, more: &str| {
        format!("[[summary]]\nname = {name}\nkey = {key}\n{more}{}", column("broken_column", "avg", 0))
    };
    let host = "[\"broken_host\"]";
    let with = |more: &str| summary("\"broken\"", host, "") + more;
    let columns =
        |n: usize, name: &dyn Fn(usize) -> String| -> String { (0..n).map(|i| column(&name(i), "avg", 0)).collect() };
    match chance.below(32) {
        0 => with(
            "[[summary.column]]\nname = \"x\"\nmethod = \"mean\"\nsources = [{ measurement = \"m\", field = \"v\" }]\n",
        ),
        1 => with("colour = \"red\"\n"),
        2 => summary(&format!("\"{}\"", "n".repeat(49)), host, ""),
        3 => summary("\"SQLite_stat\"", host, ""),
        4 => summary("\"a-b\"", host, ""),
        5 => summary("\"\"", host, ""),
        6 => summary("5", host, ""),
        7 => summary("\"broken\"", "[]", ""),
        8 => summary("\"broken\"", "[\"a\", \"b\", \"c\", \"d\"]", ""),
        9 => summary("\"broken\"", "[\"zone\"]", ""),
        10 => summary("\"broken\"", "[\"broken_x\", \"BROKEN_X\"]", ""),
        11 => with(&column(&"x".repeat(65), "avg", 0)),
        12 => with(&column("Db_Row_Id", "avg", 0)),
        13 => with(&column("hot 🔥", "avg", 0)),
        14 => with(&(column("İ", "avg", 0) + &column("i", "avg", 0))),
        15 => with(&column("Broken_Host", "avg", 0)),
        16 => summary("\"broken\"", host, "windows = [\"minutely\"]\n"),
        17 => summary("\"broken\"", host, "windows = []\n"),
        18 => summary("\"broken\"", host, "expect_every = \"0s\"\n"),
        19 => with("[[summary.column]]\nname = \"x\"\nmethod = \"avg\"\nsources = []\n"),
        20 => with("[[summary.column]]\nname = \"x\"\nmethod = \"anomalies\"\nrules = [\"nothing\"]\n"),
        21 => summary("\"broken\"", host, "") + &summary("\"BROKEN\"", host, ""),
        22 => with(&columns(900, &|i| format!("c{i}"))),
        23 => with(&columns(400, &|i| format!("{}{i:04}", "温".repeat(60)))),
        24 => "[flush]\nevery = \"10ms\"\n".to_string(),
        25 => "[flush]\nevery = \"5\"\n".to_string(),
        26 => "[limits]\nseries = \"many\"\n".to_string(),
        27 => "[sink]\nurl = \"http://x/y\"\n".to_string(),
        28 => "[sink]\nurl = \"mysql://u@h/d\"\nmigrate = \"never\"\n".to_string(),
        29 => "[retention]\nhourly = \"1d\"\n".to_string(),
        30 => "[summry]\nx = 1\n".to_string(),
        _ => "[[anomaly]]\nname = \"broken_rule\"\nwhen = \"> 1\"\n".to_string(),
    }
}

/// Each problem of a broken configuration has a line, a path and a remedy.
#[test]
fn broken_configurations_are_named_with_line_path_and_remedy() {
    let remedies = [
        "write",
        "must",
        "choose",
        "keep",
        "remove",
        "shorten",
        "divide",
        "did you mean",
        "add",
        "expected",
        "at most",
        "needs either",
    ];
    for seed in seeds() {
        let mut chance = Chance::new(seed);
        let valid = valid(seed);
        let text = valid.clone() + &breaks(&mut chance);
        let report = check(&text).expect_err(&text);
        let lines = text.lines().count();
        assert!(!report.0.is_empty());
        for problem in report.0 {
            let shown = problem.to_string();
            assert!((1..=lines).contains(&problem.line) && !problem.path.is_empty(), "seed {seed}: {shown}");
            assert!(remedies.iter().any(|word| problem.message.contains(word)), "seed {seed}: no remedy: {shown}");
            let first = valid.lines().count();
            assert!(
                problem.line > first || problem.path.contains("anomaly"),
                "seed {seed}: {shown} is not what is broken"
            );
        }
    }
}
