//! A month of names that change: series and devices expire, and those that return are right.

#[path = "support/process.rs"]
mod process;

use process::Process;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::intake::taken::Taken;
use telegraf_rollup::durable::disk::Folder;
use telegraf_rollup::durable::journal::adopt::remove_before;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::ids::Key;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// 2024-03-01T00:00:00Z
const START: i64 = 1_709_251_200 * SECOND;

const CONFIG: &str = r#"
state_dir = "/unused"
timezone = "UTC"
[lateness]
max = "6h"
[missing]
horizon = "0s"
[limits]
series = 250000
devices = 150000
[[summary]]
name = "s"
key = ["host"]
  [[summary.column]]
  name = "cpu"
  method = "sum"
  sources = [{ measurement = "cpu", field = "v" }]
  [[summary.column]]
  name = "mem"
  method = "max"
  sources = [{ measurement = "mem", field = "v" }]
"#;

/// Names of runs.
fn run() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A database that keeps partials for three days, and of rows only those of a device that is looked at.
#[derive(Default)]
struct Sieve {
    partials: BTreeMap<(i64, Key, String), PartialRecord>,
    rows: BTreeMap<(WindowKind, i64), RowRecord>,
    written: u64,
    now: i64,
}

impl Sink for Sieve {
    fn prepare(&mut self, _: &Schema) -> Result<(), SinkError> {
        Ok(())
    }

    fn put_partials(&mut self, _: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        for record in records {
            let key = (record.window_start, record.key.clone(), record.run.to_string());
            if self.partials.get(&key).is_none_or(|old| old.rev <= record.rev) {
                self.partials.insert(key, record.clone());
            }
        }
        self.partials = self.partials.split_off(&(self.now - 72 * HOUR, Key::default(), String::new()));
        Ok(Vec::new())
    }

    fn read_partials(
        &mut self,
        _: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        let mut out = Vec::new();
        for PartialRange { key, span } in ranges {
            let mut start = span.start - span.start.rem_euclid(HOUR);
            while start < span.end {
                let from = (start, key.clone(), String::new());
                let of_key = self.partials.range(from..).take_while(|((at, k, _), _)| *at == start && k == key);
                out.extend(of_key.filter(|((at, ..), _)| span.contains(*at)).map(|(_, record)| record.found(states)));
                start += HOUR;
            }
        }
        Ok(out)
    }

    fn put_rows(
        &mut self,
        _: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        _: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.written += rows.len() as u64;
        for row in rows.iter().filter(|row| row.key[0] == "returns") {
            match self.rows.get(&(kind, row.span.start)) {
                Some(old) if old.revision > row.revision => {}
                _ => drop(self.rows.insert((kind, row.span.start), row.clone())),
            }
        }
        Ok(Vec::new())
    }

    fn purge(&mut self, _: &Summary, _: Option<WindowKind>, _: i64, _: i64) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, _: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        Ok(Vec::new())
    }
}

/// Resident memory of this process in KiB; 0 where it is not known.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries.map(|e| if e.path().is_dir() { bytes_in(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

/// What there is at one moment.
#[derive(Clone, Copy, Debug)]
struct Size {
    devices: usize,
    series: usize,
    windows: usize,
    resident_kib: u64,
    disk_bytes: u64,
}

fn size(process: &Process, folder: &Path) -> Size {
    let of = |engine: &mut telegraf_rollup::engine::Engine| {
        (engine.device_count(), engine.series_count(), engine.window_count())
    };
    let (devices, series, windows) = process.shared.with(of).expect("an engine");
    Size { devices, series, windows, resident_kib: resident_kib(), disk_bytes: bytes_in(folder) }
}

/// Lines of one hour: names that were never there before and are never there again, each with two series; one host whose
/// processes change; one device that is there on two days far apart.
fn lines(hour: i64, names: i64) -> Vec<String> {
    let at = |minute: i64, n: i64| START + hour * HOUR + minute * 60 * SECOND + n % SECOND;
    let mut out = Vec::new();
    for minute in [5, 50] {
        for n in 0..names {
            let name = hour * names + n;
            out.push(format!("cpu,host=c{name:012x} v={} {}\n", n % 7, at(minute, n)));
            out.push(format!("mem,host=c{name:012x} v={} {}\n", n % 9, at(minute, n)));
        }
        for n in 0..names / 10 {
            let pid = hour * names + n;
            out.push(format!("cpu,host=server,pid={pid} v=1 {}\n", at(minute, n)));
        }
        if matches!(hour, 30..34 | 300..304) {
            out.push(format!("cpu,host=returns v={hour} {}\n", at(minute, 0)));
        }
    }
    out
}

/// The value of a column in a row of the device that is looked at.
fn value(sink: &Sieve, kind: WindowKind, hour: i64) -> f64 {
    match sink.rows.get(&(kind, START + hour * HOUR)).map(|row| row.summed.cells[0]) {
        Some(Cell::Float(value)) => value,
        other => panic!("{kind:?} of hour {hour}: {other:?}"),
    }
}

#[test]
fn a_month_of_two_thousand_new_names_an_hour() {
    const NAMES: i64 = 2_000;
    const HOURS: i64 = 30 * 24;
    let schema = Config::check(CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Folder::new(folder.path().join("journal"));
    let mut process = Process::begin(folder.path(), &schema, run);
    let mut sink = Sieve::default();
    let mut sizes = Vec::new();
    for hour in 0..HOURS {
        let now = START + (hour + 1) * HOUR;
        for lines in lines(hour, NAMES).chunks(1_000) {
            process.take(lines, now);
        }
        sink.now = now;
        if hour % 3 == 2 {
            process.flush(&mut sink, now + SECOND).unwrap_or_else(|e| panic!("{e}"));
            let position = process.checkpoint(now + 2 * SECOND);
            remove_before(&disk, position).expect("removed");
        }
        if hour % 24 == 23 {
            sizes.push(size(&process, folder.path()));
        }
        if hour == 400 {
            // A restart knows no more than the process before it.
            drop(process);
            process = Process::begin(folder.path(), &schema, run);
            let counters = process.shared.with(|engine| engine.counters()).expect("an engine");
            assert_eq!(counters.over_limit, 0);
        }
    }
    let counters = process.shared.with(|engine| engine.counters()).expect("an engine");
    assert_eq!((counters.over_limit, counters.late), (0, 0), "no new host is refused");
    let (early, last) = (sizes[6], sizes[sizes.len() - 1]);
    println!("after a week {early:?}, after a month {last:?}; {} rows", sink.written);
    // A day of lateness, a day until its row is final, and some hours until it is looked at.
    assert!(early.devices < 70 * NAMES as usize, "{early:?}");
    let flat = |what: &str, early: u64, last: u64| assert!(last * 10 <= early * 12, "{what}: {early}, then {last}");
    flat("devices", early.devices as u64, last.devices as u64);
    flat("series", early.series as u64, last.series as u64);
    flat("windows", early.windows as u64, last.windows as u64);
    // Of each process: where a restart has left its gaps differs.
    flat("memory", early.resident_kib, sizes[15].resident_kib);
    flat("memory", sizes[19].resident_kib, last.resident_kib);
    flat("disk", early.disk_bytes, last.disk_bytes);
    // A device that comes back after it was forgotten: both of its times are right, hours and days.
    for (first, day) in [(30, 24), (300, 288)] {
        for hour in first..first + 4 {
            assert_eq!(value(&sink, WindowKind::Hourly, hour), 2.0 * hour as f64);
        }
        assert_eq!(value(&sink, WindowKind::Daily, day), 2.0 * (first..first + 4).sum::<i64>() as f64);
    }
}

/// A device that comes back on the very day on which it was forgotten: the row of the day has both of its times.
#[test]
fn a_device_that_is_forgotten_and_comes_back_is_one_writer_with_the_same_sums() {
    let config = CONFIG.replace("max = \"6h\"", "max = \"10m\"");
    let schema = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::begin(folder.path(), &schema, run);
    let mut sink = Sieve::default();
    let mut expected = 0.0;
    let mut forgotten = 0;
    for hour in 0..24 * 12_i64 {
        let now = START + (hour + 1) * HOUR;
        sink.now = now;
        // Sometimes there, and days of silence in between.
        if (hour / 5) % 23 == 0 {
            process.take(&[format!("cpu,host=returns v=1 {}\n", now - 60 * SECOND)], now);
            expected += 1.0;
        }
        process.flush(&mut sink, now + SECOND).unwrap_or_else(|e| panic!("{e}"));
        process.checkpoint(now + 2 * SECOND);
        let devices = process.shared.with(|engine| engine.device_count()).expect("an engine");
        forgotten += usize::from(devices == 0);
        if hour % 7 == 3 {
            process = Process::begin(folder.path(), &schema, run);
        }
    }
    process.flush(&mut sink, START + 20 * 24 * HOUR).unwrap_or_else(|e| panic!("{e}"));
    assert!(forgotten > 24, "it was forgotten for {forgotten} hours");
    for kind in [WindowKind::Hourly, WindowKind::Daily] {
        let rows = sink.rows.iter().filter(|((of, _), _)| *of == kind).map(|(_, row)| row);
        let sum: f64 = rows.map(|row| if let Cell::Float(v) = row.summed.cells[0] { v } else { 0.0 }).sum();
        assert_eq!(sum, expected, "{kind:?}");
    }
}

/// A device expires when its own summary has no more rows for it, whatever others want.
#[test]
fn each_summary_expires_by_its_own_horizon() {
    let summary = &CONFIG[CONFIG.find("[[summary]]").expect("a summary")..];
    let config =
        CONFIG.replace("horizon = \"0s\"", "horizon = \"10d\"").replace("\"s\"\n", "\"s\"\nmissing.horizon = \"0s\"\n");
    let config = format!("{config}{}", summary.replace("\"s\"", "\"t\""));
    let schema = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::begin(folder.path(), &schema, run);
    let mut sink = Sieve::default();
    process.take(&[format!("cpu,host=once v=1 {START}\n")], START);
    let mut counts = Vec::new();
    for hour in (1..16 * 24).step_by(3) {
        let now = START + hour * HOUR;
        sink.now = now;
        process.flush(&mut sink, now).unwrap_or_else(|e| panic!("{e}"));
        process.checkpoint(now + SECOND);
        counts.push(process.shared.with(|engine| engine.device_count()).expect("an engine"));
    }
    let at = |day: usize| counts[day * 8 - 1];
    assert_eq!((at(1), at(4), at(9), at(15)), (2, 1, 1, 0), "{counts:?}");
    // An hour and a day in each, and in one of them 239 hours without a sample, and the days that begin among them.
    assert!(sink.written >= 2 * 2 + 239 + 9, "{} rows", sink.written);
}

/// The numbers of heads that are gone mean other heads: the journal must not take one for the other.
#[test]
fn a_journal_is_read_back_after_heads_have_got_other_names() {
    let schema = Config::check(CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::begin(folder.path(), &schema, run);
    let mut sink = Sieve::default();
    for hour in 0..80 {
        let now = START + (hour + 1) * HOUR;
        sink.now = now;
        process.take(&lines(hour, 20), now);
        process.flush(&mut sink, now + SECOND).unwrap_or_else(|e| panic!("{e}"));
        process.checkpoint(now + 2 * SECOND);
        // In the journal alone: recovery must find these devices, and no others.
        process.take(&lines(hour, 20).iter().map(|line| line.replace("host=c", "host=d")).collect::<Vec<_>>(), now);
        process.shared.expire(now + 3 * SECOND, &Default::default());
        let more = format!("cpu,host=after{hour} v=1 {now}\n");
        process.take(std::slice::from_ref(&more), now);
    }
    // What is due: key, start of the window and number of points.
    let due = |process: &Process| {
        let now = START + 81 * HOUR;
        let mut due = Vec::new();
        process.shared.slices(|engine, from| {
            let (mut busy, mut windows) = (Vec::new(), Vec::new());
            let next = engine.busy(from, 1_000, now, &mut busy);
            engine.due_windows(&busy, now, &mut windows);
            for window in windows {
                let copy = engine.snapshot(window.device, window.span.start).expect("it is there");
                let samples: u64 = copy.parts.iter().map(|part| part.partial.samples).sum();
                due.push((copy.key[0].clone(), copy.span.start, samples));
            }
            next
        });
        due.sort();
        due
    };
    let before = due(&process);
    // Killed: nothing is saved.
    process = Process::begin(folder.path(), &schema, run);
    assert!(due(&process) == before, "{:?} and {before:?}", due(&process));
    assert!(before.len() > 20, "{} windows", before.len());
}

/// A line beyond a limit that was not journaled is still a line beyond a limit.
#[test]
fn what_has_no_room_is_counted_also_when_it_was_not_journaled() {
    let config = CONFIG.replace("series = 250000", "series = 1");
    let schema = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::begin(folder.path(), &schema, run);
    process.take(&[format!("cpu,host=a v=1 {START}\n")], START);
    let over = [format!("cpu,host=b v=1 {START}\n"), format!("cpu,nokey=b v=1 {START}\n")];
    for round in 1..5 {
        let (taken, _) = process.shared.batch(over.iter().map(|line| line.as_bytes()), START);
        assert!(matches!(taken, Taken::Nothing));
        process.shared.mark_unjournaled(over.iter().map(|line| line.as_bytes()), START);
        let counters = process.shared.with(|engine| engine.counters()).expect("an engine");
        assert_eq!((counters.over_limit, counters.no_key, counters.unjournaled), (round, round, 0));
    }
}
