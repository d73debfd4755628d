//! The engine against the oracle: random configurations and inputs, and the sample in every kind of zone.
//!
//! A failure names its seed; `ROLLUP_SEED=17 cargo test --test differential` runs that one alone, and
//! `ROLLUP_SEEDS=10000` runs more of them.

#[path = "oracle/mod.rs"]
mod oracle;
#[path = "oracle/random.rs"]
mod random;
mod support;

use support::site::Site;
use support::{repository, same_csv};
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::jobs::replay::Replay;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::line::frame::Framer;
use telegraf_rollup::sink::sql::{dialect, times};

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;

/// All rows, one line each, for a report; compared field by field elsewhere.
struct Found {
    table: String,
    start: i64,
    local: String,
    keys: Vec<String>,
    cells: Vec<Cell>,
    samples: u64,
    coverage: f64,
    seen: Option<(i64, i64)>,
    is_final: bool,
}

fn engine(config_toml: &str, input: &[u8], now: Option<i64>) -> Vec<Found> {
    let config = Config::check(config_toml, &|_| None).unwrap_or_else(|report| panic!("{report}\n{config_toml}"));
    let mut replay = Replay::new(&config.schema, now);
    replay.feed(&mut &input[..]).expect("memory can be read");
    let schema = replay.schema().clone();
    let (rows, _) = replay.finish().expect("memory can be written");
    let mut out = Vec::new();
    for summary in &schema.summaries {
        for kind in &summary.windows {
            let mut table = rows.table(summary, *kind);
            // By the text that is shown, as the expected rows are sorted below.
            table.sort_by(|a, b| (a.span.start, &a.key).cmp(&(b.span.start, &b.key)));
            out.extend(table.into_iter().map(|row| Found {
                table: dialect::row_table_name(summary, *kind),
                start: row.span.start,
                local: times::local(&row.zone, *kind, row.span.start),
                keys: row.key.to_vec(),
                cells: row.summed.cells,
                samples: row.summed.samples,
                coverage: row.summed.coverage,
                seen: row.summed.seen,
                is_final: row.is_final,
            }));
        }
    }
    out
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-6)
}

fn same_cell(found: &Cell, expected: &oracle::Cell, method: &str) -> bool {
    let exact = !matches!(method, "avg" | "sum" | "stddev");
    match (found, expected) {
        (Cell::Null, oracle::Cell::Null) => true,
        (Cell::Integer(a), oracle::Cell::Int(b)) => a == b,
        (Cell::Float(a), oracle::Cell::Float(b)) => {
            if method.starts_with('p') {
                // Promised within 1 %; the rest is the rounding of the promise itself.
                (a - b).abs() <= b.abs() * 0.010_000_001
            } else if exact {
                a.to_bits() == b.to_bits()
            } else {
                close(*a, *b)
            }
        }
        _ => false,
    }
}

/// The first difference, in words.
fn difference(config_toml: &str, input: &[u8], now: Option<i64>) -> Option<String> {
    difference_to(config_toml, input, &oracle::Options { now_ns: now, ..Default::default() })
}

/// The first difference to an oracle, which may have a broken rule.
fn difference_to(config_toml: &str, input: &[u8], options: &oracle::Options) -> Option<String> {
    let found = engine(config_toml, input, options.now_ns);
    let mut expected = oracle::rollup(config_toml, input, options);
    let tables: Vec<String> = found.iter().map(|f| f.table.clone()).collect();
    expected.sort_by(|a, b| {
        let place = |row: &oracle::Row| tables.iter().position(|t| *t == row.table);
        (place(a), a.window_start_ns, &a.keys).cmp(&(place(b), b.window_start_ns, &b.keys))
    });
    let config: toml::Table = config_toml.parse().expect("a configuration");
    let method = |table: &str, column: &str| {
        let summaries = config["summary"].as_array().expect("summaries");
        let summary = summaries.iter().find(|s| table.starts_with(s["name"].as_str().expect("a name")));
        let columns = summary.and_then(|s| s["column"].as_array()).expect("columns");
        let method = columns.iter().find(|c| c["name"].as_str() == Some(column)).map(|c| c["method"].as_str());
        method.flatten().unwrap_or_default().to_string()
    };
    for (f, e) in found.iter().zip(&expected) {
        let place = format!("{} {} {:?}", e.table, e.local, e.keys);
        let keys: Vec<&str> = e.keys.iter().map(|(_, v)| v.as_str()).collect();
        if f.table != e.table || f.start != e.window_start_ns || f.local != e.local || f.keys != keys {
            return Some(format!("{place}: found {} {} {:?} in its place", f.table, f.local, f.keys));
        }
        for (cell, (name, wanted)) in f.cells.iter().zip(&e.columns) {
            if !same_cell(cell, wanted, &method(&e.table, name)) {
                return Some(format!("{place}: {name} is {cell:?}, not {wanted:?}"));
            }
        }
        let seen = f.seen.map(|(a, b)| (a.div_euclid(1_000_000), b.div_euclid(1_000_000)));
        if f.samples as i64 != e.samples || !close(f.coverage, e.coverage) || seen != e.first_seen.zip(e.last_seen) {
            return Some(format!(
                "{place}: samples {}, not {}; coverage {}, not {}; seen {seen:?}, not {:?}",
                f.samples,
                e.samples,
                f.coverage,
                e.coverage,
                e.first_seen.zip(e.last_seen)
            ));
        }
        if f.is_final != e.is_final {
            return Some(format!("{place}: final is {}, not {}", f.is_final, e.is_final));
        }
    }
    (found.len() != expected.len()).then(|| format!("{} rows, not {}", found.len(), expected.len()))
}

#[test]
fn random_cases_agree() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = match number("ROLLUP_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ROLLUP_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let (config, input) = random::case(seed);
        if let Some(difference) = difference(&config, &input, None) {
            panic!("seed {seed}: {difference}");
        }
    }
}

/// Seeds whose cases are run by the real program, in several processes one after the other.
const SEEDS_OF_RESTARTS: u64 = 40;

/// Windows leave memory, come back, and are completed from stored state: the rows are those of one process that has seen all.
#[test]
fn random_cases_agree_over_restarts() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let seeds = match number("ROLLUP_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ROLLUP_SEEDS").map_or(SEEDS_OF_RESTARTS, |seeds| seeds / 10),
    };
    for seed in seeds {
        let (config, input) = random::case(seed);
        // Of a device that moves, the days are those that it had when they were written first.
        let config = config.replace("timezone_tag = \"tz\"\n", "");
        // Tables of text are compared closer than percentiles are promised.
        let config =
            ["p50", "p95", "p99.9"].iter().fold(config, |config, p| config.replace(&format!("\"{p}\""), "\"max\""));
        let site = Site::with(&config);
        let lines: Vec<&[u8]> = whole_lines(&input);
        for piece in lines.chunks(lines.len() / 3 + 1) {
            site.run("state", &piece.concat());
        }
        let expected = oracle::to_csv(&config, &oracle::rollup(&config, &input, &oracle::Options::default()));
        if expected.lines().count() == 1 {
            continue;
        }
        let is_expected: std::collections::HashSet<&str> = expected.lines().collect();
        // A row that was written stays, if its only sample is replaced after that.
        let found = site.rows();
        let found = found.lines().filter(|line| !line.ends_with(",0,0.0,,") || is_expected.contains(line));
        let found: String = found.map(|line| format!("{line}\n")).collect();
        same_csv(&found, &expected).unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    }
}

/// The lines of an input as the program frames them.
fn whole_lines(input: &[u8]) -> Vec<&[u8]> {
    let (mut framer, mut rest, mut lines) = (Framer::default(), input, Vec::new());
    while let Some(length) = framer.line(rest) {
        let (line, behind) = rest.split_at(length);
        lines.push(line);
        rest = behind;
    }
    assert!(rest.is_empty());
    lines
}

/// Seeds within which a broken rule must show.
const SEEDS_TO_FIND: u64 = 200;

#[test]
fn a_broken_rule_is_found() {
    use oracle::Broken;
    let rules = [
        Broken::FirstValueWins,
        Broken::OlderIsReplaced,
        Broken::DuplicatesCount,
        Broken::WindowHoldsItsEnd,
        Broken::ZoneIsForgotten,
        Broken::FirstSourceFeeds,
        Broken::SourceOfTheDay,
        Broken::EverySampleIsASlot,
        Broken::NoEmptyRows,
        Broken::DeviationByN,
        Broken::SmallerIsLast,
        Broken::BaselineMoves,
        Broken::AboveOnly,
        Broken::ConflictHidesAGap,
        Broken::HoursMoveWithTheDevice,
        Broken::EveryValueIsValid,
        Broken::OneHorizonForAll,
    ];
    for rule in rules {
        let options = oracle::Options { broken: Some(rule), ..Default::default() };
        let found = (0..SEEDS_TO_FIND).find(|seed| {
            let (config, input) = random::case(*seed);
            difference_to(&config, &input, &options).is_some()
        });
        match found {
            Some(seed) => println!("{rule:?}: seed {seed}"),
            None => panic!("{rule:?} makes no difference in {SEEDS_TO_FIND} seeds"),
        }
    }
}

/// Half-way through the sample, so that windows are open, ended and final.
const SAMPLE_NOW: i64 = 1_792_889_100_000_000_000; // 2026-10-25T00:45:00Z

#[test]
fn the_sample_agrees_in_every_kind_of_zone() {
    let input = std::fs::read(repository("telegraf/sample.influx")).expect("the sample");
    let zones = ["UTC", "Asia/Seoul", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"];
    for file in ["telegraf/rollup.toml", "telegraf/rollup-windows-hwinfo.toml"] {
        let text = std::fs::read_to_string(repository(file)).expect("the sample configuration");
        for zone in zones {
            let config = text.replace("timezone = \"UTC\"", &format!("timezone = {zone:?}"));
            assert!(zone == "UTC" || config != text, "{file} names its zone");
            for now in [None, Some(SAMPLE_NOW)] {
                if let Some(difference) = difference(&config, &input, now) {
                    panic!("{file} in {zone} at {now:?}: {difference}");
                }
            }
        }
    }
}

/// Moves every timestamp by a whole number of seconds.
fn shifted(input: &[u8], seconds: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len());
    for line in input.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let stamp = text.rsplit(|b| *b == b' ').next().filter(|t| t.len() == 19 && t.iter().all(u8::is_ascii_digit));
        match stamp {
            Some(stamp) => {
                let at: i64 = std::str::from_utf8(stamp).expect("digits").parse().expect("19 digits");
                out.extend_from_slice(&text[..text.len() - 19]);
                out.extend_from_slice((at + seconds * 1_000_000_000).to_string().as_bytes());
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

#[test]
fn the_sample_agrees_over_clock_changes() {
    let input = std::fs::read(repository("telegraf/sample.influx")).expect("the sample");
    let text = std::fs::read_to_string(repository("telegraf/rollup.toml")).expect("the sample configuration");
    let begin = 1_792_881_000; // 2026-10-24T22:30:00Z, the first line of the sample
    for (zone, change) in [
        ("Europe/Berlin", 1_792_890_000_i64),   // 2026-10-25T01:00Z, back
        ("Europe/Berlin", 1_774_746_000),       // 2026-03-29T01:00Z, forth
        ("Australia/Lord_Howe", 1_775_314_800), // 2026-04-04T15:00Z, back by half an hour
        ("Australia/Lord_Howe", 1_791_041_400), // 2026-10-03T15:30Z, forth by half an hour
        ("Asia/Kathmandu", 504_901_800),        // 1985-12-31T18:30Z, from +05:30 to +05:45
        ("America/Sao_Paulo", 1_541_300_400),   // 2018-11-04T03:00Z, no midnight
        ("Pacific/Apia", 1_325_239_200),        // 2011-12-30T10:00Z, no 30 December
    ] {
        let moved = shifted(&input, change - begin - 2 * 3600);
        let config = text.replace("timezone = \"UTC\"", &format!("timezone = {zone:?}"));
        if let Some(difference) = difference(&config, &moved, None) {
            panic!("{zone} around {change}: {difference}");
        }
    }
}
