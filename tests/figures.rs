//! Nothing is silent: figures for each column, hints that are tied to points, and points too old to be compared.

mod oracle;
mod support;

use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;
use support::site::{Site, log, wait_for};
use support::{feed, program};
use telegraf_rollup::config::Config;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::counters::ColumnReason;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const START: i64 = 1_704_067_200 * SECOND;

/// Three columns of one summary: two of a field, one that counts another.
const CONFIG: &str = r#"
timezone = "UTC"
[lateness]
max = "1d"
[missing]
horizon = "0s"
[[summary]]
name = "s"
key = ["host"]
column = [
  { name = "avg_v", method = "avg", sources = [{ measurement = "m", field = "v" }] },
  { name = "big", method = "max", sources = [{ measurement = "m", field = "v", scale = 1e300 }] },
  { name = "n", method = "count", sources = [{ measurement = "m", field = "w" }, { measurement = "m", field = "x" }] },
]
"#;

fn engine(config: &str) -> Engine {
    let config = Config::check(config, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    Engine::new(config.schema)
}

/// Points of a column, and what it did not take by reason.
fn figures(engine: &Engine, column: usize) -> (u64, Vec<(&'static str, u64)>) {
    let tally = &engine.tallies()[column];
    let left = ColumnReason::ALL.into_iter().map(|reason| (reason.name(), tally.left(reason)));
    (tally.points, left.filter(|(_, count)| *count > 0).collect())
}

#[test]
fn every_value_is_counted_at_its_column_by_reason() {
    let mut fast = engine(CONFIG);
    let mut slow = engine(CONFIG);
    slow.take_the_long_way();
    let mut lines = Vec::new();
    for n in 0..10 {
        lines.push(format!("m,host=a v={n},w=1 {}\n", START + n * 10 * SECOND));
    }
    let newest = START + 90 * SECOND;
    lines.extend([
        // The newest again, another value, then the same.
        format!("m,host=a v=50,w=1 {newest}\n"),
        format!("m,host=a v=50 {newest}\n"),
        // An older one with another value, and as it was.
        format!("m,host=a v=60 {START}\n"),
        format!("m,host=a v=0 {START}\n"),
        // Texts, a number that only one column can take, and a time without any timestamp.
        format!("m,host=a v=\"7W\",w=\"on\" {}\n", newest + SECOND),
        format!("m,host=a v=1e20 {}\n", newest + 2 * SECOND),
        "m,host=a v=1,x=\"y\"\n".to_string(),
        // Too old, and of the future.
        format!("m,host=a v=1,w=1 {}\n", START - 48 * HOUR),
        format!("m,host=a v=1 {}\n", newest + HOUR),
        // Other fields, and another device of the same kind.
        format!("m,host=a z=1 {}\n", newest + 3 * SECOND),
        format!("m,host=b x=1i {newest}\n"),
    ]);
    for engine in [&mut fast, &mut slow] {
        for line in &lines {
            assert!(engine.ingest(line.as_bytes(), newest), "{line}");
        }
        let rest = [("replaced", 1), ("conflict", 1), ("late", 1), ("future", 1), ("duplicate", 2)];
        let with = |first: &[(&'static str, u64)]| [first, &rest].concat();
        assert_eq!(figures(engine, 0), (12, with(&[("text", 1), ("no_field", 2)])));
        assert_eq!(figures(engine, 1), (11, with(&[("text", 1), ("no_field", 2), ("not_finite", 1)])));
        // A line without `w` may have `x`.
        let left = vec![("no_field", 6), ("late", 1), ("duplicate", 1)];
        assert_eq!(figures(engine, 2), (13, left));
        assert_eq!(engine.tallies()[0].last_point, newest + 2 * SECOND);
        assert_eq!(engine.tallies()[1].last_point, newest);
        let counters = engine.counters();
        assert_eq!((counters.lines, counters.matched, counters.fed), (21, 21, 14));
    }
    assert_eq!(fast.tallies(), slow.tallies());
}

struct Replayed {
    rows: String,
    said: String,
}

fn replay_with(config: &str, input: &[u8], arguments: &[&str]) -> Replayed {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rollup.toml");
    std::fs::write(&path, config).expect("writable");
    let mut command = program();
    command.args(["replay", "--format", "csv", "--config"]).arg(&path).args(arguments).arg("-");
    let Output { stdout, stderr, status } = feed(&mut command, input);
    let said = String::from_utf8(stderr).expect("UTF-8");
    assert!(status.success(), "{said}");
    Replayed { rows: String::from_utf8(stdout).expect("UTF-8"), said }
}

fn replay(config: &str, input: &str) -> Replayed {
    replay_with(config, input.as_bytes(), &[])
}

/// A configuration of columns that each take the largest value of their sources.
fn columns(sources: &[(&str, &str)]) -> String {
    let head = "timezone = \"UTC\"\n[missing]\nhorizon = \"0s\"\n[[summary]]\nname = \"s\"\nkey = [\"host\"]\n";
    let column = |(name, sources): &(&str, &str)| {
        format!("[[summary.column]]\nname = \"{name}\"\nmethod = \"max\"\nsources = [{sources}]\n")
    };
    head.to_string() + &sources.iter().map(column).collect::<String>()
}

/// A line every minute.
fn minutes(count: i64, line: impl Fn(i64) -> String) -> String {
    (0..count).map(|n| format!("{} {}\n", line(n), START + n * 60 * SECOND)).collect()
}

#[test]
fn values_that_are_texts_and_fields_that_are_not_there_are_named() {
    let config = columns(&[("power", "{ measurement = \"rack\", field = \"pd1Power\" }")]);
    let input = minutes(60, |n| match n % 3 {
        0 => "rack,host=a pd1Power=\"887W\"".to_string(),
        1 => "rack,host=b pd1Power=\"44,5\"".to_string(),
        _ => "rack,host=c pd1Pwr=887i".to_string(),
    });
    let said = replay(&config, &input).said;
    assert!(said.contains("60 lines, 0 of them feed a column, 0 points counted"), "{said}");
    assert!(said.contains("60 lines match a source"), "{said}");
    assert!(said.contains("s.power  0 points, none yet; 40 are texts, 20 lines lack the field"), "{said}");
    let hint = said.lines().find(|line| line.starts_with("hint: ")).expect("a hint");
    assert!(hint.contains("column s.power: has taken nothing, although its series come: 40 are texts"), "{hint}");
    assert!(hint.contains("`rack,host=a` has pd1Power=\"887W\", a text"), "{hint}");
    // One device alone sends texts.
    let some = minutes(60, |n| match n % 3 {
        0 => "rack,host=a pd1Power=\"887W\"".to_string(),
        1 => "rack,host=b pd1Power=44.5".to_string(),
        _ => "rack,host=c pd1Pwr=887i".to_string(),
    });
    let said = replay(&config, &some).said;
    assert!(
        said.contains("hint: column s.power: 20 of its values are texts, which are not counted; `rack,host=a`"),
        "{said}"
    );
    // A device lacks the field, others have it.
    let lacks = minutes(60, |n| match n % 2 {
        0 => format!("rack,host=b pd1Power={n}"),
        _ => "rack,host=c pd1Pwr=887i".to_string(),
    });
    let said = replay(&config, &lacks).said;
    assert!(said.contains("hint: column s.power: is silent on host=c: there has never been a value"), "{said}");
    assert!(said.contains("has no field pd1Power, but pd1Pwr"), "{said}");
    // Fields of one device that come in lines of their own.
    let apart = minutes(60, |n| match n % 2 {
        0 => "rack,host=b fan=1".to_string(),
        _ => format!("rack,host=b pd1Power={n}"),
    });
    assert!(!replay(&config, &apart).said.contains("hint: "));
    let good = minutes(60, |n| format!("rack,host=b pd1Power={n}"));
    assert!(!replay(&config, &good).said.contains("hint: "));
}

#[test]
fn a_column_that_falls_silent_names_what_comes_instead() {
    let sources = "{ measurement = \"temp\", tags = { sensor = \"coretemp_package_id_*\" }, field = \"temp\" }";
    let config = columns(&[("max_temp", sources)]);
    // Other names of sensors from the second hour on: nothing matches any more, and the measurement goes on.
    let input = minutes(120, |n| {
        let other = format!("temp,host=box-1,sensor=nvme_composite temp=46 {}\n", START + n * 60 * SECOND);
        match n {
            0..60 => format!("{other}temp,host=box-1,sensor=coretemp_package_id_0 temp={n}"),
            _ => format!("{other}temp,host=box-1,sensor=package_id_0 temp={n}"),
        }
    });
    let said = replay(&config, &input).said;
    assert!(
        said.contains("hint: column s.max_temp: is silent on host=box-1: the last value is of 2024-01-01 00:59:00"),
        "{said}"
    );
    assert!(said.contains("; since then `temp,host=box-1,sensor=package_id_0` comes"), "{said}");
    // Another column of the device goes on.
    let config = columns(&[("max_temp", sources), ("load", "{ measurement = \"system\", field = \"load1\" }")]);
    let input = minutes(150, |n| match n {
        0..60 if n % 2 == 0 => format!("temp,host=box-1,sensor=coretemp_package_id_0 temp={n}"),
        _ => format!("system,host=box-1 load1={n}"),
    });
    let said = replay(&config, &input).said;
    assert!(said.contains("hint: column s.max_temp: is silent on host=box-1"), "{said}");
    assert!(!said.contains("column s.load"), "{said}");
    // A source that has never matched, although its measurement comes.
    let said = replay(&config, &minutes(20, |n| format!("temp,host=box-1,sensor=cpu_thermal temp={n}"))).said;
    assert!(
        said.contains("has taken nothing, although the measurement comes") && said.contains("cpu_thermal"),
        "{said}"
    );
}

#[test]
fn two_sensors_with_one_name_are_named() {
    let config = columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")]);
    let twice = minutes(60, |n| format!("m,host=a v={n} {}\nm,host=a v=1{n}", START + n * 60 * SECOND));
    let said = replay(&config, &twice).said;
    assert!(
        said.contains("60 points, last 2024-01-01T00:59:00Z; 60 replaced another value of the same time"),
        "{said}"
    );
    assert!(
        said.contains("hint: column s.max_v: 50 of 100 values of `m,host=a` come for a time that has another"),
        "{said}"
    );
    // One after the other: the first stays.
    let blocks = minutes(60, |n| format!("m,host=a v={n}")) + &minutes(60, |n| format!("m,host=a v=1{n}"));
    let said = replay(&config, &blocks).said;
    assert!(said.contains("values of `m,host=a` come for a time that has another"), "{said}");
    // One device of very many.
    let lines = |n: i64| -> String {
        let host = |host: i64| format!("m,host=h{host} v={n} {}\n", START + n * 60 * SECOND);
        (0..400).map(host).collect::<String>() + &format!("m,host=h7 v=1{n}")
    };
    let said = replay(&config, &minutes(30, lines)).said;
    assert!(said.contains("`m,host=h7` come for a time that has another"), "{said}");
    // A correction now and then is none, nor is a point that comes twice.
    let some = minutes(400, |n| {
        let again = if n % 150 == 0 { format!("m,host=a v=-1 {}\n", START + n * 60 * SECOND) } else { String::new() };
        format!("{again}m,host=a v={n} {}\nm,host=a v={n}", START + n * 60 * SECOND)
    });
    let said = replay(&config, &some).said;
    assert!(!said.contains("hint: ") && said.contains("400 duplicates"), "{said}");
}

/// Sixty lines whose timestamps have so many digits more than seconds.
fn digits_more(digits: usize) -> String {
    (0..60).map(|n| format!("m,host=a v={n} {}{}\n", START / SECOND + n * 61, "1".repeat(digits))).collect()
}

#[test]
fn timestamps_in_another_unit_are_named() {
    let config = columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")]);
    for (digits, unit, words) in [(0, "s", "seconds"), (3, "ms", "milliseconds"), (6, "us", "microseconds")] {
        let said = replay(&config, &digits_more(digits)).said;
        assert!(said.contains(&format!("hint: 60 timestamps look like {words}, for example 17040")), "{said}");
        assert!(said.contains(&format!("--precision {unit}")), "{said}");
        let said = replay_with(&config, digits_more(digits).as_bytes(), &["--precision", unit]).said;
        assert!(!said.contains("hint: "), "{said}");
    }
    assert!(!replay(&config, &digits_more(9)).said.contains("hint: "));
}

#[test]
fn timestamps_are_read_in_the_unit_that_is_named() {
    let config = columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")]);
    for (digits, unit) in [(0, "s"), (3, "ms"), (6, "us"), (9, "ns")] {
        let read = replay_with(&config, digits_more(digits).as_bytes(), &["--precision", unit]);
        assert!(read.rows.contains("s_hourly,2024-01-01 00:00:00"), "{}", read.rows);
        assert!(read.said.contains("60 points counted"), "{}", read.said);
    }
    let read = replay_with(&config, digits_more(9).as_bytes(), &["--precision", "s"]);
    assert!(read.said.contains("60 timestamps are too large for --precision s: name the unit"), "{}", read.said);
    // No timestamp, before 1970, a text that ends in digits, blanks behind.
    let odd = "m,host=a v=1\nm,host=b v=1 -5\nm,host=c v=1,t=\"x 12\"\nm,host=d v=1 3600 \r\n";
    let read = replay_with(&config, odd.as_bytes(), &["--precision", "s"]);
    assert!(read.rows.contains("1969-12-31 23:00:00") && read.rows.contains("1970-01-01 01:00:00"), "{}", read.rows);
    assert!(read.said.contains("4 points counted"), "{}", read.said);
}

#[test]
fn lines_are_taken_as_telegraf_prints_them() {
    let config = columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")]);
    let plain = minutes(5_000, |n| format!("m,host=a v={n},t=\"one\ntwo \\\" > 3\""));
    let shown = plain.replace("m,host=a", "> m,host=a");
    assert!(shown.len() > 2 * (128 << 10), "several reads");
    let (plain, shown) = (replay(&config, &plain), replay(&config, &shown));
    assert_eq!(plain.rows, shown.rows);
    assert!(shown.said.contains("5000 points counted") && !shown.said.contains("malformed"), "{}", shown.said);
    let odd = replay(&config, "> m,host=a v=1 1704067200000000000\n\n> \n>\n> m,host=b v=2 1704067200000000000");
    assert!(odd.said.contains("2 points counted"), "{}", odd.said);
}

#[cfg(unix)]
#[test]
fn explain_takes_a_prompt_and_bytes_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("rollup.toml");
    std::fs::write(&path, columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")])).expect("writable");
    for line in [&b"> m,host=a v=5"[..], b"m,host=caf\xe9 v=5,t=\"\xff\""] {
        let line = std::ffi::OsStr::from_bytes(line);
        let output =
            program().args(["check", "--config"]).arg(&path).arg("--explain").arg(line).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &log(&output);
        assert!(output.status.success() && said.contains("s.max_v takes m:v = 5"), "{said}");
    }
}

/// The status file and `status` say the same of each column.
#[test]
fn the_status_says_what_became_of_each_column() {
    let mut site = Site::with(
        &(columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")]) + "[lateness]\nmax = \"forever\"\n"),
    );
    site.config = site.config.replace("[[summary]]", "[flush]\nevery = \"1s\"\n[[summary]]");
    let input = format!(
        "m,host=a v=1 {START}\nm,host=a v=2 {START}\nm,host=a v=2 {START}\nm,host=a v=\"x\" {}\nm,host=a w=1 {START}\n",
        START + SECOND
    );
    site.run("state", input.as_bytes());
    wait_for("the status", Duration::from_secs(10), || site.status("state").is_some_and(|s| !s["ended_at"].is_null()));
    let status = site.status("state").expect("a status");
    let column = &status["columns"][0];
    assert_eq!((column["summary"].as_str(), column["name"].as_str()), (Some("s"), Some("max_v")));
    assert_eq!(column["last_point"], Value::from("2024-01-01T00:00:00Z"));
    for (name, count) in [
        ("points", 1),
        ("text", 1),
        ("no_field", 1),
        ("out_of_range", 0),
        ("replaced", 1),
        ("late", 0),
        ("future", 0),
        ("duplicate", 1),
    ] {
        assert_eq!(column[name].as_u64(), Some(count), "{name}: {column}");
    }
    assert_eq!((status["lines"]["matched"].as_u64(), status["lines"]["fed"].as_u64()), (Some(5), Some(1)));
    let said = site.tool("status", "state").output().expect("it starts").stdout;
    let said = String::from_utf8(said).expect("UTF-8");
    assert!(said.contains("5 seen, 5 of them match a source, 1 feeds a column, 1 point counted"), "{said}");
    assert!(
        said.contains("s.max_v  1 point, last 2024-01-01T00:00:00Z; 1 is a text, 1 line lacks the field"),
        "{said}"
    );
}

#[test]
fn points_that_are_too_old_to_be_compared_are_told() {
    let config = columns(&[("max_v", "{ measurement = \"m\", field = \"v\" }")]) + "[limits]\ndedupe_points = 20\n";
    let input = minutes(100, |n| format!("m,host=a v={n}")) + &minutes(1, |_| "m,host=a v=0".to_string());
    let said = replay(&config, &input).said;
    assert!(said.contains("101 points counted; counted all the same: 1 point too old to be compared"), "{said}");
}
