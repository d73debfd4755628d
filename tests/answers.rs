//! Answers of a sink that are not whole, and a sink that is another one than before: no wrong row is acknowledged.
#![cfg(unix)]

#[path = "support/process.rs"]
mod process;
mod support;

use process::Process;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::servers::{Database, Kind, PASSWORD, USER};
use support::site::{CONFIG, Site, log, wait_for};
use telegraf_rollup::config::Config;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};
use telegraf_rollup::sink::sqlite::Sqlite;

const HOUR: i64 = 3_600_000_000_000;
/// 2024-01-01T00:00:00Z
const DAY: i64 = 1_704_067_200_000_000_000;

/// Numbers for runs: each process is another one.
fn runs() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64 | 7
}

fn schema() -> Arc<Schema> {
    let text = "state_dir = \"/unused\"\ntimezone = \"UTC\"\n[lateness]\nmax = \"forever\"\n[missing]\nhorizon = \"0s\"\n\
                [[summary]]\nname = \"s\"\nkey = [\"host\"]\n[[summary.column]]\nname = \"n\"\nmethod = \"count\"\n\
                sources = [{ measurement = \"m\", field = \"v\" }]\n";
    Config::check(text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema
}

/// How an answer is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Nothing,
    /// So many rows come at most.
    After(usize),
    /// Every so-manieth row is left out.
    Each(usize),
    /// All rows of the answer with this number are left out.
    Answer(u64),
}

/// A SQLite file whose answers are cut.
struct Cutting {
    file: Sqlite,
    cut: Cut,
    answers: u64,
}

impl Cutting {
    fn new(folder: &Path) -> Cutting {
        Cutting { file: Sqlite::new(folder.join("cut.db")), cut: Cut::Nothing, answers: 0 }
    }
}

impl Sink for Cutting {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.file.prepare(schema)
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        self.file.put_partials(summary, records)
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        let mut found = self.file.read_partials(summary, ranges, states)?;
        self.answers += 1;
        match self.cut {
            Cut::Nothing => {}
            Cut::After(rows) => found.truncate(rows),
            Cut::Each(nth) => {
                let mut at = 0;
                found.retain(|_| {
                    at += 1;
                    at % nth != 0
                });
            }
            Cut::Answer(number) if number == self.answers => found.clear(),
            Cut::Answer(_) => {}
        }
        Ok(found)
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.file.put_rows(summary, kind, rows, now)
    }

    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError> {
        self.file.purge(summary, kind, age, now)
    }

    fn disconnect(&mut self) {
        self.file.disconnect();
    }

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.file.inspect(schema)
    }
}

/// Rows of a table by host and window, with their `n`.
fn rows(path: &Path, table: &str) -> Vec<(String, String, Option<i64>)> {
    let file = rusqlite::Connection::open(path).expect("a file");
    let mut select =
        file.prepare(&format!("SELECT host, window_start, n FROM {table} ORDER BY 1, 2")).expect("a table");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// One point an hour of each of some hosts.
fn points(hosts: usize, hours: std::ops::Range<i64>) -> Vec<String> {
    hours.flat_map(|h| (0..hosts).map(move |i| format!("m,host=h{i} v=1 {}\n", DAY + h * HOUR + 1))).collect()
}

/// Whatever is left out of whichever answer, also behind a restart and for hours that have left memory: the rows that are
/// there count all points of their window, or the flush has failed; and when the answers are whole again, all rows are right.
#[test]
fn no_row_is_made_of_an_answer_that_was_cut() {
    let cuts = [Cut::After(0), Cut::After(1), Cut::After(7), Cut::After(30), Cut::Each(2), Cut::Each(5)];
    let answers = (1..=6).map(Cut::Answer);
    for (case, cut) in cuts.into_iter().chain(answers).enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sink = Cutting::new(folder.path());
        let path = folder.path().join("cut.db");
        let mut process = Process::begin(folder.path(), &schema(), runs);
        // The first half of the day is written whole, and leaves memory.
        process.take(&points(3, 0..12), DAY + 12 * HOUR);
        process.flush(&mut sink, DAY + 14 * HOUR).expect("written");
        process.checkpoint(DAY + 14 * HOUR);
        process.checkpoint(DAY + 14 * HOUR);
        if case % 2 == 0 {
            drop(process);
            process = Process::begin(folder.path(), &schema(), runs);
        }
        (sink.cut, sink.answers) = (cut, 0);
        process.take(&points(3, 12..24), DAY + 24 * HOUR);
        let mut failed = 0;
        for minute in 0..3 {
            let now = DAY + 26 * HOUR + minute * 60_000_000_000;
            process.flush(&mut sink, now).expect("the file works");
            failed += u32::from(process.memory.missing > 0);
            process.checkpoint(now);
            let hours = rows(&path, "s_hourly");
            assert!(hours.iter().all(|(.., n)| *n == Some(1)), "{cut:?}: {hours:?}");
            for (host, start, n) in rows(&path, "s_daily") {
                let partly = start.starts_with("2024-01-01") && failed > 0 && n == Some(12);
                assert!(partly || n == Some(24), "{cut:?}, {failed} failed: {host} {start}: {n:?}");
            }
        }
        assert!(failed > 0 || rows(&path, "s_daily").len() == 3, "{cut:?}: nothing was said");
        sink.cut = Cut::Nothing;
        for minute in 10..13 {
            process.flush(&mut sink, DAY + 26 * HOUR + minute * 60_000_000_000).expect("written");
        }
        assert_eq!(process.memory.missing, 0, "{cut:?}");
        assert_eq!(rows(&path, "s_hourly").len(), 72, "{cut:?}");
        let days = rows(&path, "s_daily");
        assert!(days.len() == 3 && days.iter().all(|(.., n)| *n == Some(24)), "{cut:?}: {days:?}");
    }
}

/// What the state holds is written to another sink, hours and days, also what has left memory; once, and not again.
#[test]
fn another_sink_gets_what_the_state_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    let begin = || Process::begin(folder.path(), &schema(), runs);
    let mut process = begin();
    assert_eq!(process.keeper.direct(&process.shared, "old", DAY).expect("noted"), None);
    process.take(&points(2, 0..30), DAY + 30 * HOUR);
    process.flush(&mut Sqlite::new(old.clone()), DAY + 32 * HOUR).expect("written");
    (0..2).for_each(|_| assert!(process.checkpoint(DAY + 32 * HOUR) > 0));
    drop(process);

    let mut process = begin();
    assert_eq!(process.keeper.direct(&process.shared, "old", DAY).expect("noted"), None, "the same one");
    process.take(&points(2, 30..31), DAY + 33 * HOUR);
    assert_eq!(process.keeper.direct(&process.shared, "new", DAY).expect("noted"), Some(62));
    let mut sink = Sqlite::new(new.clone());
    process.flush(&mut sink, DAY + 33 * HOUR).expect("written");
    assert_eq!(process.memory.missing, 0);
    process.checkpoint(DAY + 33 * HOUR);
    let of = |kind: &str| rows(&new, kind).into_iter().map(|(.., n)| n).collect::<Vec<_>>();
    assert_eq!(of("s_hourly"), vec![Some(1); 62]);
    assert_eq!(of("s_daily"), [Some(24), Some(7), Some(24), Some(7)]);
    drop(process);
    let mut process = begin();
    assert_eq!(process.keeper.direct(&process.shared, "new", DAY).expect("noted"), None, "once");
    let flushed = process.flush(&mut sink, DAY + 33 * HOUR + 1).expect("written");
    assert_eq!(flushed.hourly, 0, "nothing is due");
    // And back.
    assert_eq!(process.keeper.direct(&process.shared, "old", DAY).expect("noted"), Some(62));
    process.flush(&mut Sqlite::new(old.clone()), DAY + 34 * HOUR).expect("written");
    assert_eq!(rows(&old, "s_daily"), rows(&new, "s_daily"));
}

/// A crash between the change of the state and the next checkpoint does no harm: days are not thought to have been given.
#[test]
fn what_is_sent_again_counts_once_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sink.db");
    let begin = || Process::begin(folder.path(), &schema(), runs);
    let mut process = begin();
    process.take(&points(1, 0..20), DAY + 20 * HOUR);
    process.flush(&mut Sqlite::new(path.clone()), DAY + 22 * HOUR).expect("written");
    (0..2).for_each(|_| assert!(process.checkpoint(DAY + 22 * HOUR) > 0));
    process.keeper.resend(&process.shared, i64::MIN, DAY + 22 * HOUR).expect("changed");
    drop(process);
    std::fs::remove_file(&path).expect("a file");
    let mut process = begin();
    let mut sink = Sqlite::new(path.clone());
    process.flush(&mut sink, DAY + 23 * HOUR).expect("written");
    assert_eq!(process.memory.missing, 0);
    process.take(&points(1, 20..21), DAY + 21 * HOUR);
    process.flush(&mut sink, DAY + 23 * HOUR).expect("written");
    assert_eq!(process.memory.missing, 0);
    assert_eq!(rows(&path, "s_daily"), [("h0".to_string(), "2024-01-01 00:00:00".to_string(), Some(21))]);
}

/// From one file to another by `sink.url` alone, on the real process: nobody has to ask for a `resend`, and the log says once what
/// happens, and nothing of a backup.
#[test]
fn a_changed_url_is_noticed() {
    let mut site = Site::new();
    let now = jiff::Timestamp::now().as_nanosecond() as i64;
    let lines = |from: i64, until: i64| -> Vec<u8> {
        let line = |n: i64| format!("m,host=h{} v={n} {}\n", n % 3, now - 50 * HOUR + n * 600_000_000_000);
        (from..until).map(line).collect::<String>().into_bytes()
    };
    site.run("state", &lines(0, 290));
    let here = site.path("sink.db");
    let sum = |path: &Path, table: &str| -> i64 {
        let file = rusqlite::Connection::open(path).expect("a file");
        file.query_row(&format!("SELECT SUM(samples) FROM {table}"), [], |row| row.get(0)).expect("a sum")
    };
    assert_eq!((sum(&here, "s_hourly"), sum(&here, "s_daily")), (290, 290));
    site.config = site.config.replace("sink.db", "moved.db");
    let output = site.run("state", &lines(290, 291));
    let there = site.path("moved.db");
    assert_eq!((sum(&there, "s_hourly"), sum(&there, "s_daily")), (291, 291));
    let said = log(&output);
    assert_eq!(said.matches("the sink is another one than before").count(), 1, "{said}");
    assert!(!said.contains("backup") && !said.contains("lost"), "{said}");
    let output = site.run("state", &lines(291, 292));
    assert!(!log(&output).contains("another one"), "{}", log(&output));
    assert_eq!(sum(&there, "s_daily"), 292);
}

/// A sink for a database of a server.
fn server_sink(database: &Database) -> String {
    format!("[sink]\nurl = {:?}\n", database.url(USER, PASSWORD, "metrics"))
}

/// A server that limits the rows of every SELECT: the rows of two writers are right, hours and days.
fn limited(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    database.query("SET GLOBAL sql_select_limit = 3");
    let config = CONFIG.to_string() + &server_sink(&database);
    let site = Site::with(&config);
    let hours = |writer: i64| -> Vec<u8> {
        let line = |h: i64, host: i64| format!("m,host=h{host:03} v=1 {}\n", DAY + h * HOUR + writer);
        (0..48).flat_map(|h| (0..60).map(move |host| line(h, host))).collect::<String>().into_bytes()
    };
    let count = |table: &str, n: i64| {
        let counted = database.try_query(&format!("SELECT CONCAT(COUNT(*), ' ', SUM(n = {n})) FROM metrics.{table}"));
        counted.map_or_else(|e| e, |rows| rows[0][0].clone())
    };
    for (writer, points) in [("a", 1), ("b", 2)] {
        // Its input stays open until all is written: the end of the input leaves it 4 s.
        let mut child = site.start(writer);
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(&hours(points)).expect("it reads");
        wait_for("the hours", Duration::from_secs(60), || count("s_hourly", points) == "2880 2880");
        wait_for("the days", Duration::from_secs(60), || count("s_daily", 24 * points) == "120 120");
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        assert!(!log(&output).contains("E!") && !log(&output).contains("W!"), "{}", log(&output));
    }
    // A column is not taken for missing because the list of columns was cut.
    let checked = site.tool("check", "a").output().expect("the program starts");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("table s_hourly: 2880 rows"), "{checked:?}");
    let migrate = Site::with(&(config.clone() + "migrate = \"check\"\n"));
    let output = migrate.run("c", b"m,host=h001 v=1 1704240000000000000\n");
    assert!(!log(&output).contains("is missing in"), "{}", log(&output));
    assert_eq!(database.value("SELECT sum_v FROM metrics.s_hourly WHERE window_start = '2024-01-03'"), "1");
}

#[test]
fn mysql_limits_the_rows_of_a_select() {
    limited(Kind::MySql);
}

#[test]
fn mariadb_limits_the_rows_of_a_select() {
    limited(Kind::MariaDb);
}

/// A statement that is aborted by a conflict is sent again, by whichever number the server says so: TiDB's among them.
#[test]
fn conflicts_are_sent_again() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let Some(database) = Database::start(kind) else { return };
        let site = Site::with(&(CONFIG.to_string() + &server_sink(&database)));
        site.run("state", b"m,host=first v=1 1704240000000000000\n");
        for (at, code) in [8005, 8022, 8028, 9007, 1020, 1213].into_iter().enumerate() {
            database.query(&format!(
                "DELIMITER //\nCREATE TRIGGER metrics.abort{code} BEFORE INSERT ON metrics.s_hourly FOR EACH ROW \
                 BEGIN IF COALESCE(@aborted, 0) < 3 THEN SET @aborted = COALESCE(@aborted, 0) + 1; \
                 SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'a conflict'; END IF; END//\nDELIMITER ;\n"
            ));
            let start = 1_704_240_000_000_000_000 + (at as i64 + 1) * HOUR;
            let output = site.run("state", format!("m,host=first v=1 {start}\n").as_bytes());
            assert!(!log(&output).contains("E!"), "{kind} {code}: {}", log(&output));
            database.query(&format!("DROP TRIGGER metrics.abort{code}"));
            assert_eq!(database.value("SELECT COUNT(*) FROM metrics.s_hourly"), (at + 2).to_string(), "{kind} {code}");
        }
    }
}
