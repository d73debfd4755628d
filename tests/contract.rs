//! The contract of a sink, unchanged on SQLite, MySQL, MariaDB and a Galera cluster: what is put is found, what must not be
//! replaced is not, what fails says how.
#![cfg(unix)]

#[path = "support/process.rs"]
mod process;
mod support;

use process::EVERYTHING;
use std::sync::Arc;
use support::servers::{Database, Kind, PASSWORD, USER};
use telegraf_rollup::config::{Config, SinkConfig};
use telegraf_rollup::driver::flush::pass::{FlushMemory, Flushed};
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::aggregate::row::{Cell, Summed};
use telegraf_rollup::engine::ids::Key;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::{Span, WindowKind, Zone};
use telegraf_rollup::sink;
use telegraf_rollup::sink::port::{FoundPartial, PartialRange, PartialRecord, RowRecord, Sink, SinkError, States};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// 2024-03-05T23:00:00Z
const START: i64 = 1_709_679_600 * SECOND;

/// A sink that is tested, and a way around it.
struct Target {
    config: SinkConfig,
    database: Option<Database>,
    folder: tempfile::TempDir,
}

impl Target {
    fn sqlite() -> Target {
        let folder = tempfile::tempdir().expect("a folder");
        Target { config: SinkConfig::Sqlite(folder.path().join("summary.db")), database: None, folder }
    }

    fn server(kind: Kind) -> Option<Target> {
        let database = Database::start(kind)?;
        let text = format!("{}[sink]\nurl = {:?}\n", config("x", ""), database.url(USER, PASSWORD, "metrics"));
        let config = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}")).sink;
        Some(Target { config, database: Some(database), folder: tempfile::tempdir().expect("a folder") })
    }

    fn sink(&self) -> Box<dyn Sink + Send> {
        sink::open::open(&self.config)
    }

    /// A sink that has made the tables of a schema.
    fn ready(&self, schema: &Schema) -> Box<dyn Sink + Send> {
        let mut sink = self.sink();
        sink.prepare(schema).unwrap_or_else(|e| panic!("{e}"));
        sink
    }

    /// Executes a statement as a person would, beside the sink.
    fn execute(&self, sql: &str) {
        match &self.database {
            Some(database) => drop(database.query(sql)),
            None => self.file().execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}")),
        }
    }

    /// The first column of the first row, as text.
    fn value(&self, sql: &str) -> String {
        match &self.database {
            Some(database) => database.value(sql),
            None => {
                let value: rusqlite::types::Value = self.file().query_row(sql, [], |row| row.get(0)).expect("a row");
                match value {
                    rusqlite::types::Value::Null => "NULL".to_string(),
                    rusqlite::types::Value::Integer(n) => n.to_string(),
                    rusqlite::types::Value::Real(x) => format!("{x:e}"),
                    rusqlite::types::Value::Text(text) => text,
                    rusqlite::types::Value::Blob(_) => panic!("{sql}: a blob"),
                }
            }
        }
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("summary.db")).expect("a file")
    }
}

fn config(name: &str, more: &str) -> String {
    format!(
        "state_dir = \"/unused\"\ntimezone = \"Asia/Kathmandu\"\n[[summary]]\nname = \"{name}\"\nkey = [\"host\"]\n{more}\n\
         [[summary.column]]\nname = \"avg_v\"\nmethod = \"avg\"\nsources = [{{ measurement = \"m\", field = \"v\" }}]\n\
         [[summary.column]]\nname = \"n\"\nmethod = \"count\"\nsources = [{{ measurement = \"m\", field = \"v\" }}]\n"
    )
}

fn schema(name: &str) -> Arc<Schema> {
    let config = config(name, "");
    Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema
}

fn key_of(host: &str) -> Key {
    Key::from([host.to_string()])
}

fn partial(host: &str, start: i64, run: &str, rev: u64, state: &str) -> PartialRecord {
    PartialRecord {
        key: key_of(host),
        window_start: start,
        writer: "w".into(),
        run: run.into(),
        rev,
        state: state.to_string(),
    }
}

fn row(host: &str, start: i64, cells: [Cell; 2], revision: u64, is_final: bool) -> RowRecord {
    let seen = Some((start + 1, start + HOUR - 400_000));
    RowRecord {
        key: key_of(host),
        span: Span { start, end: start + HOUR },
        zone: Arc::new(Zone::named("Asia/Kathmandu").expect("a zone")),
        summed: Summed { cells: cells.to_vec(), samples: 2, coverage: 0.5, seen },
        is_final,
        revision,
        writers: 1,
    }
}

fn found(
    sink: &mut dyn Sink,
    summary: &Summary,
    ranges: &[PartialRange],
    states: States<'_>,
) -> Vec<(String, i64, String, u64, Option<String>)> {
    let found = sink.read_partials(summary, ranges, states).unwrap_or_else(|e| panic!("{e}"));
    let plain = |f: FoundPartial| {
        assert_eq!(&*f.writer, "w");
        (f.key[0].clone(), f.window_start, f.run.to_string(), f.rev, f.state)
    };
    let mut found: Vec<_> = found.into_iter().map(plain).collect();
    found.sort();
    found
}

fn day(host: &str) -> PartialRange {
    PartialRange { key: key_of(host), span: Span { start: START - 22 * HOUR, end: START + 2 * HOUR } }
}

/// Partials come back as they were put; one of a lower revision never replaces one of a higher.
fn partials(target: &Target) {
    let schema = schema("partials");
    let summary = &schema.summaries[0];
    let mut sink = target.ready(&schema);
    let long = format!("{{\"x\":\"{}\"}}", "ü'\\\u{0}🔥\n\t\"%_;--".repeat(3_000));
    let hosts = ["pc-01", "PC-01", "a", "a ", "", "🔥", "it's `x`\\", "\u{1}\u{7f}\u{0}end", &"ü".repeat(191)];
    let mut records = Vec::new();
    for host in hosts {
        for (hour, run) in [(0, "r1"), (0, "r2"), (1, "r1")] {
            records.push(partial(host, START - hour * HOUR, run, 5, &format!("{{\"of\":\"{run}\"}}")));
        }
    }
    records[0].state = long.clone();
    assert_eq!(sink.put_partials(summary, &records), Ok(Vec::new()), "nothing is refused");
    for host in hosts {
        let at = |start| PartialRange::exact(&key_of(host), start);
        assert_eq!(found(&mut *sink, summary, &[at(START)], States::All).len(), 2, "{host:?}");
        assert_eq!(found(&mut *sink, summary, &[at(START), at(START - HOUR)], States::None).len(), 3, "{host:?}");
        assert_eq!(found(&mut *sink, summary, &[day(host)], States::All).len(), 3, "{host:?}");
        assert!(found(&mut *sink, summary, &[at(START - 2 * HOUR)], States::All).is_empty(), "{host:?}");
    }
    let exact = PartialRange::exact(&key_of("pc-01"), START);
    let all = found(&mut *sink, summary, std::slice::from_ref(&exact), States::All);
    assert_eq!(all[0], ("pc-01".into(), START, "r1".into(), 5, Some(long.clone())), "a text of any characters");
    let known = ["r1".to_string()];
    let some = found(&mut *sink, summary, std::slice::from_ref(&exact), States::Except(&known));
    assert_eq!(some.iter().map(|f| f.4.is_some()).collect::<Vec<_>>(), [false, true]);

    for (rev, state, kept) in
        [(4, "lower", &*long), (5, "equal", "equal"), (6, "higher", "higher"), (5, "again", "higher")]
    {
        sink.put_partials(summary, &[partial("pc-01", START, "r1", rev, state)]).expect("written");
        let now = found(&mut *sink, summary, std::slice::from_ref(&exact), States::All);
        assert_eq!(
            (now[0].4.as_deref(), now[0].3),
            (Some(kept), rev.max(if kept == "higher" { 6 } else { 5 })),
            "{state}"
        );
    }
    // Before 1970, and beyond the range of a 32-bit time.
    for start in [-1_000 * HOUR, 1_167_600 * HOUR] {
        sink.put_partials(summary, &[partial("far", start, "r1", 1, "{}")]).expect("written");
        let range = PartialRange::exact(&key_of("far"), start);
        assert_eq!(found(&mut *sink, summary, &[range], States::All).len(), 1);
    }
}

/// Rows hold every number, NULL, and times to the millisecond; a lower revision or a provisional one replaces nothing.
fn rows(target: &Target) {
    let schema = schema("rows_");
    let summary = &schema.summaries[0];
    let mut sink = target.ready(&schema);
    let numbers = [0.1, -1.5e-300, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, 1e22, 123_456_789.123_456_78, 0.0];
    let mut records = Vec::new();
    for (i, number) in numbers.iter().enumerate() {
        records.push(row(&format!("h{i}"), START, [Cell::Float(*number), Cell::Integer(i64::MAX)], 1, false));
    }
    records.push(row("null", START, [Cell::Null, Cell::Null], 1, false));
    assert_eq!(sink.put_rows(summary, WindowKind::Hourly, &records, START + 1_999_999), Ok(Vec::new()));
    for (i, number) in numbers.iter().enumerate() {
        let found = target.value(&format!("SELECT avg_v FROM rows__hourly WHERE host = 'h{i}'"));
        assert_eq!(found.parse::<f64>().expect("a number").to_bits(), number.to_bits(), "{number:e}");
    }
    let of =
        |column: &str, host: &str| target.value(&format!("SELECT {column} FROM rows__hourly WHERE host = '{host}'"));
    assert_eq!(of("n", "h0"), i64::MAX.to_string());
    assert_eq!((of("avg_v", "null"), of("n", "null")), ("NULL".to_string(), "NULL".to_string()));
    assert_eq!(of("window_start", "h0"), "2024-03-05 23:00:00");
    assert_eq!(of("datetime", "h0"), "2024-03-06 04:45:00");
    assert_eq!(of("last_seen", "h0"), "2024-03-05 23:59:59.999", "cut, not rounded to the next day");
    assert_eq!(of("updated_at", "h0"), "2024-03-05 23:00:00.001");
    assert_eq!(of("coverage", "h0").parse::<f64>(), Ok(0.5));
    let day = row("h0", START, [Cell::Null, Cell::Null], 1, false);
    sink.put_rows(summary, WindowKind::Daily, &[day], START).expect("written");
    assert_eq!(target.value("SELECT date FROM rows__daily WHERE host = 'h0'"), "2024-03-06");

    let steps = [
        // revision, final, value; what is there afterwards
        (7, false, 1.5, (7, 0, 1.5)),
        (6, true, 2.5, (7, 0, 1.5)),
        (7, true, 3.5, (7, 1, 3.5)),
        (7, false, 4.5, (7, 1, 4.5)),
        (8, false, 5.5, (8, 0, 5.5)),
    ];
    for (revision, is_final, value, (kept, final_kept, value_kept)) in steps {
        let record = row("g", START, [Cell::Float(value), Cell::Integer(1)], revision, is_final);
        sink.put_rows(summary, WindowKind::Hourly, &[record], START).expect("written");
        let there = (of("revision", "g"), of("is_final", "g"), of("avg_v", "g").parse::<f64>());
        assert_eq!(there, (kept.to_string(), final_kept.to_string(), Ok(value_kept)), "revision {revision}");
    }
}

/// Batches of any size: many rows, large states, more of them than a packet takes.
fn batches(target: &Target) {
    let schema = schema("batches");
    let summary = &schema.summaries[0];
    if let Some(database) = &target.database {
        database.query("SET GLOBAL max_allowed_packet = 262144");
    }
    let mut sink = target.ready(&schema);
    let state = "x".repeat(3_000);
    let records: Vec<_> = (0..2_500).map(|i| partial(&format!("h{i:05}"), START, "r", 1, &state)).collect();
    assert_eq!(sink.put_partials(summary, &records), Ok(Vec::new()));
    let ranges: Vec<_> = records.iter().map(|r| PartialRange::exact(&r.key, START)).collect();
    assert_eq!(found(&mut *sink, summary, &ranges, States::None).len(), 2_500);
    let whole = found(&mut *sink, summary, &ranges[..100], States::All);
    assert!(whole.len() == 100 && whole.iter().all(|f| f.4.as_deref() == Some(&*state)));
    let rows: Vec<_> = (0..2_500)
        .map(|i| row(&format!("h{i:05}"), START, [Cell::Float(f64::from(i)), Cell::Null], 1, false))
        .collect();
    assert_eq!(sink.put_rows(summary, WindowKind::Hourly, &rows, START), Ok(Vec::new()));
    assert_eq!(target.value("SELECT COUNT(*) FROM batches_hourly"), "2500");
    assert_eq!(target.value("SELECT SUM(avg_v) FROM batches_hourly").parse::<f64>(), Ok(3_123_750.0));
    assert_eq!(sink.put_rows(summary, WindowKind::Hourly, &[], START), Ok(Vec::new()), "nothing is nothing");
    if let Some(database) = &target.database {
        database.query("SET GLOBAL max_allowed_packet = 16777216");
    }
}

/// Makes a table refuse values above 1000, by a rule that a person has given it.
fn refuse(target: &Target, table: &str) {
    target.execute(&match &target.database {
        None => format!(
            "CREATE TRIGGER too_much_{table} BEFORE INSERT ON {table} WHEN NEW.avg_v > 1000 \
             BEGIN SELECT RAISE(ABORT, 'too much'); END"
        ),
        Some(_) => format!("ALTER TABLE {table} MODIFY avg_v DECIMAL(7,3) NULL"),
    });
}

fn allow(target: &Target, table: &str) {
    target.execute(&match &target.database {
        None => format!("DROP TRIGGER too_much_{table}"),
        Some(_) => format!("ALTER TABLE {table} MODIFY avg_v DOUBLE NULL"),
    });
}

/// A row that the database does not take is named; the others are written.
fn refusals(target: &Target) {
    let schema = schema("refusals");
    let summary = &schema.summaries[0];
    let mut sink = target.ready(&schema);
    refuse(target, "refusals_hourly");
    let value = |i: usize| if [3, 64, 99].contains(&i) { 1e9 } else { i as f64 };
    let rows: Vec<_> =
        (0..100).map(|i| row(&format!("h{i}"), START, [Cell::Float(value(i)), Cell::Integer(1)], 1, false)).collect();
    let refused = sink.put_rows(summary, WindowKind::Hourly, &rows, START).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(refused.iter().map(|r| r.index).collect::<Vec<_>>(), [3, 64, 99]);
    assert!(refused.iter().all(|r| r.reason.contains("avg_v") || r.reason.contains("too much")), "{refused:?}");
    assert_eq!(target.value("SELECT COUNT(*) FROM refusals_hourly"), "97");
    // So many that nobody looks for each of them: what is written is written, and no other is lost.
    let rows: Vec<_> = (0..3_000)
        .map(|i| row(&format!("x{i}"), START, [Cell::Float(if i < 1_500 { 1e9 } else { 1.0 }), Cell::Null], 1, false))
        .collect();
    let refused = sink.put_rows(summary, WindowKind::Hourly, &rows, START).unwrap_or_else(|e| panic!("{e}"));
    let mut written: Vec<bool> = vec![true; rows.len()];
    refused.iter().for_each(|refused| written[refused.index] = false);
    assert!(written[..1_500].iter().all(|written| !written) && written[2_000..].iter().all(|written| *written));
    let there = written.iter().filter(|written| **written).count();
    assert_eq!(target.value("SELECT COUNT(*) FROM refusals_hourly"), (97 + there).to_string());
}

/// A partial that cannot be read (a newer release wrote it) holds up its own row alone, and is tried again.
fn unreadable(target: &Target) {
    let schema = schema("unread");
    let mut sink = target.ready(&schema);
    // The hour of the zone.
    let start = START - 45 * 60 * SECOND;
    let newer = PartialRecord { writer: "x".into(), ..partial("a", start, "newer", 1, "{\"v\":2}") };
    sink.put_partials(&schema.summaries[0], &[newer]).expect("written");
    let engine = Shared::new(Engine::new(schema.clone()));
    let mut memory = FlushMemory::default();
    engine.with(|engine| {
        for host in ["a", "b"] {
            assert!(engine.ingest(format!("m,host={host} v=1 {}\n", START + 1).as_bytes(), START + 1));
        }
    });
    let flush = |sink: &mut dyn Sink, memory: &mut FlushMemory, now: i64| {
        process::flush(&engine, sink, memory, "w", now, EVERYTHING).unwrap_or_else(|e| panic!("{e}"))
    };
    assert_eq!(flush(&mut *sink, &mut memory, START + 60 * SECOND).hourly, 1);
    let held = memory.quarantine.figures();
    assert!(held.first.iter().all(|row| row.reason.contains("newer release")));
    assert_eq!(held.count, 2, "the hour and the day");
    target.execute("DELETE FROM unread_hourly_partial WHERE writer = 'x'");
    assert_eq!(flush(&mut *sink, &mut memory, START + 700 * SECOND), Flushed { hourly: 1, daily: 1, foreign: 0 });
    assert!(memory.quarantine.figures().count == 0);
    assert_eq!(target.value("SELECT COUNT(*) FROM unread_hourly"), "2");
    assert_eq!(target.value("SELECT SUM(n) FROM unread_daily"), "2");
}

/// In a flush such a row is set aside; it is tried again with its next point, and after ten minutes.
fn set_aside(target: &Target) {
    let schema = schema("aside");
    let mut sink = target.ready(&schema);
    refuse(target, "aside_hourly");
    let engine = Shared::new(Engine::new(schema.clone()));
    let mut memory = FlushMemory::default();
    let point = |host: &str, value: f64, at: i64| {
        let line = format!("m,host={host} v={value} {at}\n");
        assert!(engine.with(|engine| engine.ingest(line.as_bytes(), at)).expect("an engine"));
    };
    let flush = |sink: &mut dyn Sink, memory: &mut FlushMemory, now: i64| {
        process::flush(&engine, sink, memory, "w", now, EVERYTHING).unwrap_or_else(|e| panic!("{e}"))
    };
    point("good", 1.0, START + 1);
    point("bad", 50_000.0, START + 2);
    assert_eq!(flush(&mut *sink, &mut memory, START + 60 * SECOND).hourly, 1);
    let aside = memory.quarantine.figures().first;
    assert_eq!(aside.len(), 1);
    assert_eq!((aside[0].table.as_str(), aside[0].key[0].as_str()), ("aside_hourly", "bad"));
    assert_eq!(target.value("SELECT COUNT(*) FROM aside_hourly"), "1");
    assert_eq!(target.value("SELECT COUNT(*) FROM aside_daily"), "2", "its day goes on");
    // Not again before ten minutes have passed or a point has come.
    assert_eq!(flush(&mut *sink, &mut memory, START + 120 * SECOND).hourly, 0);
    point("bad", -49_900.0, START + 130 * SECOND);
    assert_eq!(flush(&mut *sink, &mut memory, START + 180 * SECOND).hourly, 1, "its mean fits now");
    assert!(memory.quarantine.figures().count == 0);
    assert_eq!(target.value("SELECT COUNT(*) FROM aside_hourly"), "2");

    point("late", 70_000.0, START + 200 * SECOND);
    assert_eq!(flush(&mut *sink, &mut memory, START + 240 * SECOND).hourly, 0);
    allow(target, "aside_hourly");
    assert_eq!(flush(&mut *sink, &mut memory, START + 300 * SECOND).hourly, 0);
    assert_eq!(flush(&mut *sink, &mut memory, START + 841 * SECOND).hourly, 1, "ten minutes later");
    assert!(memory.quarantine.figures().count == 0);
    assert_eq!(target.value("SELECT COUNT(*) FROM aside_hourly"), "3");

    // A row that somebody has corrected is tried at once when it is asked for.
    target.execute("DELETE FROM aside_hourly");
    refuse(target, "aside_hourly");
    point("mended", 80_000.0, START + 850 * SECOND);
    assert_eq!(flush(&mut *sink, &mut memory, START + 860 * SECOND).hourly, 0);
    allow(target, "aside_hourly");
    memory.quarantine.release();
    assert_eq!(flush(&mut *sink, &mut memory, START + 870 * SECOND).hourly, 1);
    assert!(memory.quarantine.figures().count == 0);
}

/// A table that was emptied, or a backup that was restored: what is in memory comes back with the next flush but one.
fn losses(target: &Target) {
    let schema = schema("losses");
    let mut sink = target.ready(&schema);
    let engine = Shared::new(Engine::new(schema.clone()));
    let mut memory = FlushMemory::default();
    let mut flush = |sink: &mut dyn Sink, now: i64| {
        process::flush(&engine, sink, &mut memory, "w", now, EVERYTHING).unwrap_or_else(|e| panic!("{e}"))
    };
    let point = |value: i64, at: i64| {
        let line = format!("m,host=a v={value} {at}\n");
        assert!(engine.with(|engine| engine.ingest(line.as_bytes(), at)).expect("an engine"));
    };
    point(1, START + 1);
    flush(&mut *sink, START + 10 * SECOND);
    engine.begin_run();
    point(3, START + 20 * SECOND);
    target.execute("DELETE FROM losses_hourly");
    target.execute("DELETE FROM losses_daily");
    target.execute("DELETE FROM losses_hourly_partial");
    flush(&mut *sink, START + 30 * SECOND);
    flush(&mut *sink, START + 40 * SECOND);
    assert_eq!(target.value("SELECT n FROM losses_hourly"), "2", "the part of the run before, too");
    assert_eq!(target.value("SELECT n FROM losses_daily"), "2");

    // A backup that is older than what was acknowledged since.
    let tables = ["losses_hourly", "losses_daily", "losses_hourly_partial"];
    tables.iter().for_each(|table| target.execute(&format!("CREATE TABLE old_{table} AS SELECT * FROM {table}")));
    point(5, START + 50 * SECOND);
    flush(&mut *sink, START + 60 * SECOND);
    assert_eq!(target.value("SELECT n FROM losses_daily"), "3");
    for table in tables {
        target.execute(&format!("DELETE FROM {table}"));
        target.execute(&format!("INSERT INTO {table} SELECT * FROM old_{table}"));
        target.execute(&format!("DROP TABLE old_{table}"));
    }
    assert_eq!(target.value("SELECT n FROM losses_daily"), "2");
    point(7, START + 70 * SECOND);
    flush(&mut *sink, START + 80 * SECOND);
    assert_eq!(target.value("SELECT n FROM losses_hourly"), "4");
    assert_eq!(target.value("SELECT n FROM losses_daily"), "4");
    // And one without a point that comes afterwards is noticed at the end of the hour.
    target.execute("DELETE FROM losses_hourly");
    target.execute("DELETE FROM losses_hourly_partial");
    flush(&mut *sink, START + 2 * HOUR);
    flush(&mut *sink, START + 2 * HOUR + SECOND);
    assert_eq!(target.value("SELECT n FROM losses_hourly"), "4");
    assert_eq!(target.value("SELECT is_final FROM losses_hourly WHERE n > 0"), "1");
}

/// A table that is dropped, a connection that is killed, a server that only reads: an error, and then it goes on.
fn failures(target: &Target) {
    let schema = schema("failures");
    let summary = &schema.summaries[0];
    let mut sink = target.ready(&schema);
    let records = [partial("a", START, "r", 1, "{}")];
    sink.put_partials(summary, &records).expect("written");
    target.execute("DROP TABLE failures_hourly_partial");
    assert!(sink.put_partials(summary, &records).is_err());
    let mut sink = target.ready(&schema);
    sink.put_partials(summary, &records).expect("the table is there again");
    let Some(database) = &target.database else { return };

    // Between any two statements.
    let kill = "SELECT GROUP_CONCAT(CONCAT('KILL ', id) SEPARATOR '; ') FROM information_schema.processlist WHERE user = 'rollup'";
    database.query(&database.value(kill));
    let error = sink.put_partials(summary, &records).expect_err("the connection is gone");
    assert!(matches!(error, SinkError::Temporary(_)), "{error}");
    sink.prepare(&schema).expect("a new connection");
    sink.put_partials(summary, &records).expect("written");
    sink.disconnect();

    database.query("SET GLOBAL read_only = 1");
    sink.prepare(&schema).expect("connected");
    let error = sink.put_partials(summary, &records).expect_err("it only reads");
    assert!(matches!(&error, SinkError::Temporary(text) if text.contains("read-only")), "{error}");
    database.query("SET GLOBAL read_only = 0");
    sink.put_partials(summary, &records).expect("it writes again");
    // Another zone of the server, and of every session that does not say otherwise.
    sink.disconnect();
    database.query("SET GLOBAL time_zone = '+05:00'; SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'");
    sink.prepare(&schema).expect("connected");
    let odd = [partial("a\\'b", START, "r", 1, "{\"\\\\\":1}")];
    sink.put_partials(summary, &odd).expect("written");
    let there = found(&mut *sink, summary, &[PartialRange::exact(&odd[0].key, START)], States::All);
    assert_eq!((there[0].1, there[0].4.as_deref()), (START, Some(&*odd[0].state)));
    database.query("SET GLOBAL time_zone = 'SYSTEM'; SET GLOBAL sql_mode = DEFAULT");
}

/// Keys of several tags: each is one device, in lists of any length and over any span.
fn several_keys(target: &Target) {
    let text = config("keys", "").replace("key = [\"host\"]", "key = [\"host\", \"disk\"]");
    let schema = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let summary = &schema.summaries[0];
    let mut sink = target.ready(&schema);
    let key = |i: usize| Key::from([format!("h{}'", i % 40), format!("d\\{}", i / 40)]);
    let records: Vec<_> = (0..1_200)
        .flat_map(|i| {
            [START, START - HOUR].map(|start| PartialRecord { key: key(i), ..partial("", start, "r", 1, "{}") })
        })
        .collect();
    assert_eq!(sink.put_partials(summary, &records), Ok(Vec::new()));
    let mut read = |ranges: &[PartialRange]| {
        let found = sink.read_partials(summary, ranges, States::All).unwrap_or_else(|e| panic!("{e}"));
        let mut found: Vec<_> = found.into_iter().map(|f| (f.key, f.window_start)).collect();
        found.sort();
        found
    };
    let wanted = |starts: &[i64], of: &mut dyn Iterator<Item = usize>| {
        let mut wanted: Vec<_> = of.flat_map(|i| starts.iter().map(move |start| (key(i), *start))).collect();
        wanted.sort();
        wanted
    };
    let every_third = || (0..1_200).step_by(3);
    let exact: Vec<_> = every_third().map(|i| PartialRange::exact(&key(i), START)).collect();
    assert_eq!(read(&exact), wanted(&[START], &mut every_third()));
    let span = Span { start: START - HOUR, end: START + HOUR };
    let spans: Vec<_> = (0..1_200).map(|i| PartialRange { key: key(i), span }).collect();
    assert_eq!(read(&spans), wanted(&[START, START - HOUR], &mut (0..1_200)));
    // Ranges of different spans in one call.
    let mixed = [PartialRange::exact(&key(7), START), PartialRange { key: key(8), span }];
    let mut of_mixed = wanted(&[START], &mut std::iter::once(7));
    of_mixed.extend(wanted(&[START, START - HOUR], &mut std::iter::once(8)));
    of_mixed.sort();
    assert_eq!(read(&mixed), of_mixed);
    assert!(read(&[PartialRange::exact(&Key::from(["h0'".to_string(), "d\\999".to_string()]), START)]).is_empty());
}

/// Many clients make and complete the same tables at once, as a fleet does after its configuration has changed.
fn migration(target: &Target) {
    let more: String = (0..6)
        .map(|i| {
            let source = "[{ measurement = \"m\", field = \"v\" }]";
            format!("[[summary.column]]\nname = \"more{i}\"\nmethod = \"max\"\nsources = {source}\n")
        })
        .collect();
    for (name, text) in [("old", config("migration", "")), ("new", config("migration", "") + &more)] {
        let schema = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| self::prepared(target, &schema))).collect();
            for client in clients {
                let tries = client.join().expect("no panic");
                assert!(tries < 5, "{name}: {tries} tries");
            }
        });
    }
    target.execute("INSERT INTO migration_hourly SELECT * FROM migration_hourly");
    assert_eq!(target.value("SELECT COUNT(more5) FROM migration_hourly"), "0", "the column is there");
}

/// How often it took to prepare a sink.
fn prepared(target: &Target, schema: &Schema) -> u32 {
    for tries in 1.. {
        match target.sink().prepare(schema) {
            Ok(()) => return tries,
            Err(SinkError::Temporary(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("it counts for ever")
}

/// What is older than it is to be kept goes; the rest stays.
fn retention(target: &Target) {
    let schema = schema("retention");
    let summary = &schema.summaries[0];
    let mut sink = target.ready(&schema);
    let clock = jiff::Timestamp::now().as_nanosecond() as i64;
    let now = clock - clock.rem_euclid(HOUR);
    let ages: Vec<i64> = (0..60).map(|n| n * HOUR).collect();
    for age in &ages {
        let (start, none) = (now - age, [Cell::Null, Cell::Null]);
        sink.put_partials(summary, &[partial("a", start, "r", 1, "{}"), partial("b", start, "r", 1, "{}")])
            .expect("put");
        let rows = [row("a", start, none, 1, true), row("b", start, none, 1, true)];
        sink.put_rows(summary, WindowKind::Hourly, &rows, now).expect("put");
    }
    let count = |table: &str| target.value(&format!("SELECT COUNT(*) FROM {table}"));
    // Half an hour before the window of 48 hours ago, whatever the minute is.
    let age = clock - now + 48 * HOUR + HOUR / 2;
    assert_eq!(sink.purge(summary, Some(WindowKind::Hourly), age, clock), Ok(22));
    assert_eq!((count("retention_hourly"), count("retention_hourly_partial")), ("98".into(), "120".into()));
    assert_eq!(sink.purge(summary, None, age, clock), Ok(22));
    assert_eq!(count("retention_hourly_partial"), "98");
    assert_eq!(sink.purge(summary, Some(WindowKind::Daily), age, clock), Ok(0));
    assert_eq!(sink.purge(summary, None, age, clock), Ok(0));
}

fn contract(target: &Target) {
    partials(target);
    rows(target);
    batches(target);
    refusals(target);
    set_aside(target);
    unreadable(target);
    losses(target);
    failures(target);
    retention(target);
    several_keys(target);
    migration(target);
}

#[test]
fn contract_on_sqlite() {
    contract(&Target::sqlite());
}

#[test]
fn contract_on_mysql() {
    Target::server(Kind::MySql).iter().for_each(contract);
}

#[test]
fn contract_on_mariadb() {
    Target::server(Kind::MariaDb).iter().for_each(contract);
}

#[test]
fn contract_on_galera() {
    Target::server(Kind::Galera).iter().for_each(contract);
}
