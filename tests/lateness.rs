//! Points against a clock that moves: provisional, final and re-opened rows, what is too old and what is too new, and
//! devices whose clocks are wrong. The sink is a real SQLite file.

#[path = "support/process.rs"]
mod process;

use rusqlite::Connection;
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::flush::pass::FlushMemory;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::engine::{Counters, Engine};
use telegraf_rollup::sink::sqlite::Sqlite;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// 2024-03-05T10:00:00Z
const TEN: i64 = 1_709_632_800 * SECOND;

struct World {
    engine: Shared,
    sink: Sqlite,
    memory: FlushMemory,
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(lateness: &str) -> World {
        World::with_horizon(lateness, "0s")
    }

    fn with_horizon(lateness: &str, horizon: &str) -> World {
        let text = format!(
            "timezone = \"UTC\"\n[lateness]\n{lateness}\n[missing]\nhorizon = \"{horizon}\"\n[[summary]]\nname = \"s\"\n\
             key = [\"host\"]\n[[summary.column]]\nname = \"v\"\nmethod = \"sum\"\n\
             sources = [{{ measurement = \"m\", field = \"v\" }}]\n"
        );
        let config = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("summary.db");
        let engine = Shared::new(Engine::new(config.schema));
        World { engine, sink: Sqlite::new(path.clone()), memory: FlushMemory::default(), path, _folder: folder }
    }

    /// A point that arrives at `now`.
    fn point(&mut self, host: &str, value: i64, at: i64, now: i64) {
        let line = format!("m,host={host} v={value} {at}\n");
        assert!(self.engine.with(|engine| engine.ingest(line.as_bytes(), now)).expect("an engine"));
    }

    fn counters(&self) -> Counters {
        self.engine.with(|engine| engine.counters()).expect("an engine")
    }

    fn flush(&mut self, now: i64) {
        process::flush(&self.engine, &mut self.sink, &mut self.memory, "w", now, process::EVERYTHING).expect("written");
    }

    /// Sum, final, revision of the row of a window.
    fn row(&self, table: &str, host: &str, start: &str) -> Option<(i64, bool, i64)> {
        let c = Connection::open(&self.path).expect("a database");
        let sql =
            format!("SELECT CAST(v AS INTEGER), is_final, revision FROM s_{table} WHERE host = ? AND window_start = ?");
        c.query_row(&sql, [host, start], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).ok()
    }

    fn hour(&self, host: &str, hour: u32) -> Option<(i64, bool, i64)> {
        self.row("hourly", host, &format!("2024-03-05 {hour:02}:00:00"))
    }

    /// Samples and whether it is final, of the row of 2024-03-05 or its hour 10.
    fn samples(&self, host: &str, table: &str) -> Option<(i64, bool)> {
        let start = if table == "daily" { "2024-03-05 00:00:00" } else { "2024-03-05 10:00:00" };
        let c = Connection::open(&self.path).expect("a database");
        let sql = format!("SELECT samples, is_final FROM s_{table} WHERE host = ? AND window_start = ?");
        c.query_row(&sql, [host, start], |row| Ok((row.get(0)?, row.get(1)?))).ok()
    }

    fn text(&self, sql: &str) -> String {
        let c = Connection::open(&self.path).expect("a database");
        c.query_row(sql, [], |row| row.get(0)).expect("a row")
    }

    fn day(&self, host: &str) -> Option<(i64, bool, i64)> {
        self.row("daily", host, "2024-03-05 00:00:00")
    }
}

#[test]
fn a_row_is_provisional_then_final_then_open_again() {
    let mut world = World::new("allowed = \"10m\"\nmax = \"7d\"");
    world.point("a", 1, TEN + 5 * MINUTE, TEN + 5 * MINUTE);
    world.flush(TEN + 6 * MINUTE);
    assert_eq!(world.hour("a", 10), Some((1, false, 1)), "a running hour has a row");
    assert_eq!(world.day("a"), Some((1, false, 1)));

    world.point("a", 2, TEN + 59 * MINUTE, TEN + HOUR + 9 * MINUTE);
    world.flush(TEN + HOUR + 10 * MINUTE - 1);
    assert_eq!(world.hour("a", 10), Some((3, false, 2)), "one nanosecond before the end of `allowed`");
    world.flush(TEN + HOUR + 10 * MINUTE);
    assert_eq!(world.hour("a", 10), Some((3, true, 2)), "nothing came, but it is final now");
    assert_eq!(world.day("a"), Some((3, false, 2)));

    world.point("a", 4, TEN + 30 * MINUTE, TEN + 9 * HOUR);
    world.flush(TEN + 9 * HOUR);
    assert_eq!(world.hour("a", 10), Some((7, true, 3)), "a late point opens it again");
    assert_eq!(world.day("a"), Some((7, false, 3)));

    // The day ends at midnight, and is final ten minutes later.
    world.flush(TEN + 14 * HOUR + 10 * MINUTE - 1);
    assert_eq!(world.day("a"), Some((7, false, 3)));
    world.flush(TEN + 14 * HOUR + 10 * MINUTE);
    assert_eq!(world.day("a"), Some((7, true, 3)));
    world.point("a", 8, TEN + 31 * MINUTE, TEN + 40 * HOUR);
    world.flush(TEN + 40 * HOUR);
    assert_eq!(world.day("a"), Some((15, true, 4)));
    assert_eq!((world.counters().late, world.counters().future), (0, 0));
}

#[test]
fn the_limits_are_those_of_each_point_when_it_comes() {
    let mut world = World::new("allowed = \"10m\"\nmax = \"2h\"\nfuture = \"5m\"");
    let now = TEN + 2 * HOUR;
    world.point("a", 1, TEN, now);
    world.point("a", 10, TEN - 1, now);
    assert_eq!(world.counters().late, 1, "older than `max` by a nanosecond");
    world.point("a", 100, now + 5 * MINUTE, now);
    world.point("a", 1000, now + 5 * MINUTE + 1, now);
    assert_eq!(world.counters().future, 1, "newer than `future` by a nanosecond");
    // What was accepted is not judged again when it is written.
    world.flush(now + 30 * HOUR);
    assert_eq!(world.hour("a", 10), Some((1, true, 1)));
    assert_eq!(world.hour("a", 12), Some((100, true, 1)));
    assert_eq!(world.hour("a", 9), None);
    assert_eq!(world.counters().points, 2);

    let mut world = World::new("max = \"forever\"");
    world.point("a", 1, TEN - 20 * 365 * 24 * HOUR, TEN);
    world.flush(TEN);
    assert_eq!(world.row("hourly", "a", "2004-03-10 10:00:00"), Some((1, true, 1)));
    assert_eq!(world.counters().late, 0);
}

/// A sample that is replaced by what is none, before or after the sink had its row.
#[test]
fn a_row_without_a_sample_is_there_only_if_one_with_a_sample_was() {
    let mut world = World::new("allowed = \"10m\"");
    let text = |world: &mut World, host: &str, at: i64, now: i64| {
        let line = format!("m,host={host} v=\"off\" {at}\n");
        assert!(world.engine.with(|engine| engine.ingest(line.as_bytes(), now)).expect("an engine"));
    };
    let at = TEN + 5 * MINUTE;
    world.point("early", 1, at, at);
    text(&mut world, "early", at, at);
    world.point("late", 1, at, at);
    world.flush(at + MINUTE);
    assert_eq!((world.samples("early", "hourly"), world.hour("late", 10)), (None, Some((1, false, 1))));
    text(&mut world, "late", at, at + 2 * MINUTE);
    // Provisional, final, and the same of the day.
    for later in [3 * MINUTE, 2 * HOUR, 20 * HOUR, 21 * HOUR] {
        world.flush(at + later);
        let is_final = |end: i64| at + later >= end + 10 * MINUTE;
        assert_eq!((world.samples("early", "hourly"), world.samples("early", "daily")), (None, None), "{later}");
        assert_eq!(world.samples("late", "hourly"), Some((0, is_final(TEN + HOUR))), "{later}");
        assert_eq!(world.samples("late", "daily"), Some((0, is_final(TEN + 14 * HOUR))), "{later}");
    }
    // A sample that comes after all has a row, and so has its day.
    world.point("early", 7, TEN + 6 * MINUTE, at + 22 * HOUR);
    world.flush(at + 22 * HOUR);
    assert_eq!(world.hour("early", 10), Some((7, true, 3)));
    assert_eq!(world.day("early"), Some((7, true, 3)));
}

/// A point that comes again with another value is no sample: there is no window for it where there was none.
#[test]
fn a_conflict_changes_nothing_but_the_mark() {
    let mut world = World::new("allowed = \"10m\"");
    let now = TEN + 20 * MINUTE;
    for line in ["v=\"off\" 0", "v=3 60", "v=\"off\" 1200", "v=1 36000", "v=7 0", "v=7 1200", "v=7 60"] {
        let (fields, seconds) = line.split_once(' ').expect("two words");
        let at = TEN - HOUR + seconds.parse::<i64>().expect("seconds") * SECOND;
        let at = if seconds == "0" { at - 24 * HOUR } else { at };
        let line = format!("m,host=a {fields} {at}\n");
        assert!(world.engine.with(|engine| engine.ingest(line.as_bytes(), TEN + 9 * HOUR)).expect("an engine"));
    }
    assert_eq!((world.counters().conflicts, world.counters().points), (3, 2));
    for now in [now, TEN + 10 * HOUR, TEN + 40 * HOUR] {
        world.flush(now);
        for table in ["hourly", "daily"] {
            let empty = world.text(&format!("SELECT COUNT(*) || '' FROM s_{table} WHERE samples = 0"));
            assert_eq!(empty, "0", "{table} at {now}");
        }
    }
    assert_eq!(world.hour("a", 9), Some((3, true, 3)));
    let seen = world.text("SELECT last_seen FROM s_hourly WHERE window_start = '2024-03-05 09:00:00'");
    assert_eq!(seen, "2024-03-05 09:01:00.000");
}

/// A machine whose clock is wrong at its start, and is set right later: by decades forward, or back from a time to come.
#[test]
fn a_clock_that_jumps_leaves_no_rows_and_hides_none() {
    // 1970-01-01, 2000-01-01 and 2030-01-01, each half an hour later.
    for wrong in [1_800, 946_686_600, 1_893_457_800].map(|seconds: i64| seconds * SECOND) {
        let mut world = World::with_horizon("allowed = \"10m\"", "5h");
        // Right, wrong for as long as it takes for hours to become final and leave memory, and right again.
        world.point("before", 1, TEN + 10 * MINUTE, TEN + 10 * MINUTE);
        world.flush(TEN + 11 * MINUTE);
        for minute in (0..180).step_by(20) {
            let now = wrong + minute * MINUTE;
            for host in ["before", "after", "wrong"] {
                world.point(host, 1, now, now);
            }
            world.flush(now);
        }
        world.point("after", 1, TEN + 130 * MINUTE, TEN + 130 * MINUTE);
        for minute in (140..1_500).step_by(20) {
            world.flush(TEN + minute * MINUTE);
        }
        let empty = |host: &str| {
            world.text(&format!(
                "SELECT COALESCE(GROUP_CONCAT(hour, ' '), '') FROM (SELECT substr(window_start, 1, 13) AS hour FROM s_hourly \
                 WHERE host = '{host}' AND samples = 0 AND window_start BETWEEN '2024-01-01' AND '2025-01-01' ORDER BY window_start)"
            ))
        };
        let hours = |from: u32, until: u32| {
            (from..until).map(|hour| format!("2024-03-05 {hour:02}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(empty("before"), hours(11, 16), "{wrong}");
        assert_eq!(empty("after"), hours(13, 18), "{wrong}");
        assert_eq!(empty("wrong"), "", "{wrong}");
        let past = world.text("SELECT COUNT(*) || '' FROM s_hourly WHERE samples = 0 AND window_start < '2024-01-01'");
        let days = world.text("SELECT COUNT(*) || '' FROM s_daily WHERE samples = 0");
        assert_eq!((past.as_str(), days.as_str()), ("0", "0"), "{wrong}");
    }
}

#[test]
fn a_device_with_a_wrong_clock_harms_nobody() {
    let hosts = |clocks: &[i64]| {
        let mut world = World::new("allowed = \"10m\"\nmax = \"2h\"\nfuture = \"5m\"");
        for minute in 0..180 {
            let now = TEN + minute * MINUTE;
            world.point("right", minute, now, now);
            for (n, offset) in clocks.iter().enumerate() {
                world.point(&format!("wrong{n}"), 1, now + offset, now);
            }
            if minute % 7 == 0 {
                world.flush(now);
            }
        }
        world.flush(TEN + 4 * HOUR);
        world
    };
    let alone = hosts(&[]);
    // An hour back, a day back, four minutes ahead, a day ahead, at the ends of what a timestamp can be.
    let crowd = hosts(&[-HOUR, -24 * HOUR, 4 * MINUTE, 24 * HOUR, -3_000_000_000 * SECOND, 7_000_000_000 * SECOND]);
    for hour in 10..13 {
        assert_eq!(alone.hour("right", hour), crowd.hour("right", hour), "{hour}");
        assert!(alone.hour("right", hour).is_some_and(|(_, is_final, _)| is_final));
    }
    assert_eq!(alone.day("right"), crowd.day("right"));
    // Theirs are in the windows that they name, as far as that is believed.
    assert_eq!(crowd.hour("wrong0", 9), Some((60, true, 60)));
    assert_eq!(crowd.hour("wrong1", 10), None);
    assert_eq!(crowd.hour("wrong2", 10), Some((56, true, 56)));
    assert_eq!(crowd.hour("wrong3", 10), None);
    assert_eq!((crowd.counters().late, crowd.counters().future), (360, 360));
}
