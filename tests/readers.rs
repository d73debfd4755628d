//! The SQLite file for those who read it: dashboards, other users, copies, read-only mounts.
#![cfg(unix)]

mod support;

use rusqlite::{Connection, OpenFlags};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;
use support::site::{CONFIG, Site, lines, log, wait_for};
use telegraf_rollup::sink::port::{PartialRecord, Sink, SinkError};
use telegraf_rollup::sink::sqlite::Sqlite;

/// Somebody who may write nothing here.
const NOBODY: &str = "65534";

fn site() -> Site {
    let site = Site::with(CONFIG);
    rights(site.folder.path(), 0o755);
    site
}

fn rights(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("ours");
}

fn file(site: &Site) -> PathBuf {
    site.path("state/summary.db")
}

/// What lies in the folder of the file and has its name.
fn files(site: &Site) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(site.path("state")) else { return Vec::new() };
    let names = entries.map(|e| e.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with("summary.db"));
    names.sort();
    names
}

/// The number of samples in a file, for one who opens it as most programs do, and for one who asks only to read.
fn samples(path: &Path) -> Result<i64, String> {
    let read = |flags: OpenFlags| -> rusqlite::Result<i64> {
        let database = Connection::open_with_flags(path, flags)?;
        database.query_row("SELECT sum(samples) FROM s_hourly", [], |row| row.get(0))
    };
    let one = read(OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|e| e.to_string())?;
    let other = read(OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| e.to_string())?;
    assert_eq!(one, other);
    Ok(one)
}

/// Reads the file that a variable names: how a test reads as another user, in a process of its own.
#[test]
fn reader() {
    let Ok(path) = std::env::var("ROLLUP_TEST_READS") else { return };
    println!("\nread: {:?}", samples(Path::new(&path)));
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
enum Reader {
    /// Another user, who may not write the folder.
    Nobody,
    /// The same, and the folder is mounted read-only.
    ReadOnlyMount,
}

/// The number of samples in the file of a site, as somebody else reads it; `None` after saying that this cannot be had here.
fn read_by(reader: Reader, site: &Site) -> Option<String> {
    // Nobody may look into the folder where the tests are built.
    let tools = tempfile::tempdir().expect("a folder");
    rights(tools.path(), 0o755);
    let exe = tools.path().join("reader");
    support::copy_program(std::env::current_exe().expect("this program"), &exe);
    rights(&exe, 0o755);
    let as_nobody =
        format!("exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups \"$0\" --exact reader --nocapture");
    let mut command = match reader {
        Reader::Nobody => Command::new("sh"),
        Reader::ReadOnlyMount => {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh"]);
            command
        }
    };
    let script = match reader {
        Reader::Nobody => as_nobody,
        Reader::ReadOnlyMount => {
            format!("mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && {as_nobody}")
        }
    };
    let output = command
        .args(["-c", &script])
        .arg(&exe)
        .arg(site.path("state"))
        .env("ROLLUP_TEST_READS", file(site))
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let read = text.lines().find_map(|line| line.strip_prefix("read: ")).map(str::to_string);
    if read.is_none() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("not permitted") || said.contains("permission denied"), "{reader:?}: {text}{said}");
        eprintln!("SKIPPED: readers: {reader:?} needs root");
    }
    read
}

/// Everybody reads so many samples.
fn all_read(site: &Site, count: i64, when: &str) {
    for reader in [Reader::Nobody, Reader::ReadOnlyMount] {
        if let Some(read) = read_by(reader, site) {
            assert_eq!(read, format!("Ok({count})"), "{reader:?} {when}");
        }
    }
}

/// A copy of the one file, without what lies beside it.
fn copy(site: &Site) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("copy.db");
    std::fs::copy(file(site), &path).expect("a copy");
    (folder, path)
}

fn send(child: &mut Child, lines: &[u8]) {
    use std::io::Write;
    child.stdin.as_mut().expect("a pipe").write_all(lines).expect("it reads");
}

fn end(child: Child) -> String {
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", log(&output));
    log(&output)
}

/// After a clean end one file holds everything, for whoever may read it, also after somebody has opened and closed it.
#[test]
fn after_the_end_one_file_holds_everything() {
    let site = site();
    site.run("state", &lines(0..100));
    assert_eq!(files(&site), ["summary.db"]);
    assert_eq!(samples(&copy(&site).1), Ok(100));
    all_read(&site, 100, "after the end");
    assert_eq!(samples(&file(&site)), Ok(100));
    assert_eq!(files(&site), ["summary.db"]);
    all_read(&site, 100, "after somebody with rights has opened and closed it");
    // And on it goes.
    site.run("state", &lines(100..150));
    assert_eq!(files(&site), ["summary.db"]);
    all_read(&site, 150, "after the second end");
}

/// The same where no line has ever come, and for the tables that `schema` makes.
#[test]
fn tables_without_a_row_are_one_file_too() {
    let site = site();
    let mut child = site.start("state");
    wait_for("the tables", Duration::from_secs(60), || files(&site) == ["summary.db"] && samples_are_null(&site));
    drop(child.stdin.take());
    end(child);
    assert_eq!(files(&site), ["summary.db"]);
    // `schema` makes tables, and no folder.
    std::fs::create_dir(site.path("other")).expect("made");
    let output = site.tool("schema", "other").arg("--apply").output().expect("it starts");
    assert!(output.status.success(), "{}", log(&output));
    let names: Vec<_> = std::fs::read_dir(site.path("other")).expect("a folder").collect();
    assert_eq!(names.len(), 1);
}

fn samples_are_null(site: &Site) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(file(site), flags)
        .and_then(|d| d.query_row("SELECT sum(samples) IS NULL FROM s_hourly", [], |row| row.get(0)))
        .unwrap_or(false)
}

/// While the program runs, everybody reads what has been flushed, and a copy of the one file has it as well. After a kill too.
#[test]
fn while_it_runs_others_read_what_was_flushed() {
    let site = site();
    let mut child = site.start("state");
    for (from, until) in [(0, 100), (100, 200), (200, 300)] {
        send(&mut child, &lines(from..until));
        wait_for("the rows", Duration::from_secs(60), || samples(&file(&site)) == Ok(until));
        all_read(&site, until, "while it runs");
        wait_for("the copy", Duration::from_secs(60), || samples(&copy(&site).1) == Ok(until));
    }
    child.kill().expect("killed");
    child.wait().expect("dead");
    all_read(&site, 300, "after a kill");
}

/// A query that takes long keeps no row back, and the log does not stay large behind it.
#[test]
fn a_long_query_keeps_no_row_back() {
    let site = site();
    let mut child = site.start("state");
    send(&mut child, &lines(0..100));
    wait_for("the rows", Duration::from_secs(60), || samples(&file(&site)) == Ok(100));
    let query = Connection::open(file(&site)).expect("the file");
    let count =
        || -> i64 { query.query_row("SELECT sum(samples) FROM s_hourly", [], |row| row.get(0)).expect("a number") };
    query.execute_batch("BEGIN").expect("a transaction");
    assert_eq!(count(), 100);
    send(&mut child, &lines(100..200));
    wait_for("rows beside a query", Duration::from_secs(60), || samples(&file(&site)) == Ok(200));
    assert_eq!(count(), 100, "what the query sees does not move");
    // The end does not wait for it either; only the log stays.
    send(&mut child, &lines(200..250));
    drop(child.stdin.take());
    let said = end(child);
    assert!(said.contains("another program has") && !said.contains("E! "), "{said}");
    query.execute_batch("COMMIT").expect("its end");
    assert_eq!(count(), 250);
    drop(query);
    site.run("state", &lines(250..260));
    assert_eq!(files(&site), ["summary.db"]);
    assert_eq!(samples(&file(&site)), Ok(260));
}

/// A transaction that somebody has forgotten: the log grows up to its bound, then rows wait and the reason is told; when it
/// ends, they are written, and the log is small again.
#[test]
fn the_log_has_a_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("summary.db");
    let config = format!("state_dir = {:?}\n{CONFIG}", folder.path());
    let schema = telegraf_rollup::config::Config::check(&config, &|_| None).unwrap_or_else(|e| panic!("{e}")).schema;
    let summary = &schema.summaries[0];
    let mut sink = Sqlite::new(path.clone());
    let log_bytes = || std::fs::metadata(folder.path().join("summary.db-wal")).map_or(0, |file| file.len());
    sink.prepare(&schema).expect("tables");
    let reader = Connection::open(&path).expect("the file");
    let begin = || {
        reader.execute_batch("BEGIN").expect("a transaction");
        let _: i64 = reader.query_row("SELECT count(*) FROM s_hourly", [], |row| row.get(0)).expect("a number");
    };
    // A flush of 8 MiB, into the same rows.
    let mut number = 0;
    let mut flush = |sink: &mut Sqlite| -> Result<(), SinkError> {
        sink.prepare(&schema)?;
        number += 1;
        // A page that stays as it is would not be written.
        let state = (number % 10).to_string().repeat(1 << 20);
        let record = |n: i64| PartialRecord {
            key: vec![format!("h{n}")].into_iter().collect(),
            window_start: 0,
            writer: Arc::from("w"),
            run: Arc::from("r"),
            rev: number,
            state: state.clone(),
        };
        let records: Vec<_> = (0..8).map(record).collect();
        assert!(sink.put_partials(summary, &records)?.is_empty());
        sink.disconnect();
        Ok(())
    };
    begin();
    let mut flushes = 0;
    let error = loop {
        match flush(&mut sink) {
            Ok(()) => flushes += 1,
            Err(error) => break error,
        }
        assert!(log_bytes() < 100 << 20, "the log has {} bytes", log_bytes());
    };
    assert!(flushes >= 8, "a reader keeps rows back after {flushes} flushes");
    let SinkError::Temporary(text) = error else { panic!("{error}") };
    assert!(text.contains("summary.db-wal has") && text.contains("rows wait until it ends"), "{text}");
    reader.execute_batch("COMMIT").expect("its end");
    flush(&mut sink).expect("the reader has gone");
    assert!(log_bytes() <= 16 << 20, "the log has {} bytes", log_bytes());
    // Readers that overlap, so that there is always one, each for longer than a flush: rows wait for the oldest of them at most.
    let second = Connection::open(&path).expect("the file");
    let look = |database: &Connection| {
        database.execute_batch("BEGIN").expect("a transaction");
        let _: i64 = database.query_row("SELECT count(*) FROM s_hourly", [], |row| row.get(0)).expect("a number");
    };
    look(&second);
    let mut waited = Vec::new();
    for round in 0..16 {
        let (ends, begins) = if round % 2 == 0 { (&second, &reader) } else { (&reader, &second) };
        waited.push(flush(&mut sink).is_err());
        look(begins);
        ends.execute_batch("COMMIT").expect("its end");
        assert!(log_bytes() < 100 << 20, "the log has {} bytes in round {round}", log_bytes());
    }
    assert!(waited.windows(3).all(|three| three != [true; 3]) && waited.contains(&true), "{waited:?}");
}

/// Declared types, by table and column.
fn types(path: &Path, table: &str) -> Vec<(String, String)> {
    let database = Connection::open(path).expect("the file");
    let mut statement = database.prepare("SELECT name, type FROM pragma_table_info(?)").expect("a statement");
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).expect("a query");
    rows.collect::<Result<_, _>>().expect("rows")
}

/// The columns of times of a table with their types.
fn times(path: &Path, table: &str) -> Vec<String> {
    let wanted = ["window_start", "datetime", "date", "first_seen", "last_seen", "updated_at"];
    let times = types(path, table).into_iter().filter(|(name, _)| wanted.contains(&name.as_str()));
    times.map(|(name, sql_type)| format!("{name} {sql_type}")).collect()
}

const HOURLY_TIMES: [&str; 5] =
    ["window_start DATETIME", "datetime DATETIME", "first_seen DATETIME", "last_seen DATETIME", "updated_at DATETIME"];
const DAILY_TIMES: [&str; 5] =
    ["window_start DATETIME", "date DATE", "first_seen DATETIME", "last_seen DATETIME", "updated_at DATETIME"];

/// Dashboards know times by the declared type; what is stored is text.
#[test]
fn times_are_declared_as_times() {
    let site = site();
    site.run("state", &lines(0..100));
    let path = file(&site);
    assert_eq!(times(&path, "s_hourly"), HOURLY_TIMES);
    assert_eq!(times(&path, "s_daily"), DAILY_TIMES);
    assert_eq!(times(&path, "s_hourly_partial"), ["window_start DATETIME"]);
    let odd = "SELECT count(*) FROM s_hourly WHERE typeof(window_start) <> 'text' OR typeof(datetime) <> 'text' OR
               typeof(first_seen) <> 'text' OR datetime NOT GLOB '2023-11-1[45] ??:00:00'";
    assert_eq!(site.value(odd), 0);
    assert_eq!(site.value("SELECT count(*) FROM s_daily WHERE typeof(date) = 'text' AND date = '2023-11-14'"), 4);
}

/// The tables of the configuration as versions before this one have made them, with what people add to tables.
const OLD: &str = r#"
PRAGMA journal_mode = WAL;
CREATE TABLE "s_hourly" (
  "host" TEXT NOT NULL,
  "window_start" TEXT NOT NULL,
  "datetime" TEXT NOT NULL,
  "zone" TEXT NOT NULL,
  "sum_v" REAL NULL,
  "max_v" REAL NULL,
  "samples" INTEGER NOT NULL,
  "coverage" REAL NOT NULL,
  "is_final" INTEGER NOT NULL,
  "revision" INTEGER NOT NULL,
  "writers" INTEGER NOT NULL,
  "first_seen" TEXT NULL,
  "last_seen" TEXT NULL,
  "updated_at" TEXT NOT NULL,
  PRIMARY KEY ("host", "window_start")
) WITHOUT ROWID;
CREATE INDEX "s_hourly_datetime" ON "s_hourly" ("datetime");
ALTER TABLE "s_hourly" ADD COLUMN "gone" REAL NULL;
CREATE TABLE "s_daily" (
  "host" TEXT NOT NULL,
  "window_start" TEXT NOT NULL,
  "date" TEXT NOT NULL,
  "zone" TEXT NOT NULL,
  "sum_v" REAL NULL,
  "max_v" REAL NULL,
  "n" INTEGER NULL,
  "samples" INTEGER NOT NULL,
  "coverage" REAL NOT NULL,
  "is_final" INTEGER NOT NULL,
  "revision" INTEGER NOT NULL,
  "writers" INTEGER NOT NULL,
  "first_seen" TEXT NULL,
  "last_seen" TEXT NULL,
  "updated_at" TEXT NOT NULL,
  PRIMARY KEY ("host", "window_start")
) WITHOUT ROWID;
CREATE INDEX "s_daily_date" ON "s_daily" ("date");
CREATE TABLE "s_hourly_partial" (
  "host" TEXT NOT NULL,
  "window_start" TEXT NOT NULL,
  "run" TEXT NOT NULL,
  "writer" TEXT NOT NULL,
  "rev" INTEGER NOT NULL,
  "state" TEXT NOT NULL,
  PRIMARY KEY ("host", "window_start", "run")
) WITHOUT ROWID;
CREATE INDEX "s_hourly_partial_window_start" ON "s_hourly_partial" ("window_start");
CREATE VIEW seen AS SELECT host, max(last_seen) AS last FROM s_hourly GROUP BY host;
CREATE TABLE noted (host TEXT);
CREATE TRIGGER note AFTER INSERT ON s_daily BEGIN INSERT INTO noted VALUES (new.host); END;
INSERT INTO s_hourly (host, window_start, datetime, zone, sum_v, max_v, samples, coverage, is_final, revision, writers,
  first_seen, last_seen, updated_at, gone)
VALUES ('old', '2020-01-01 00:00:00', '2020-01-01 00:00:00', 'UTC', 3, 2, 2, 1, 1, 2, 1, '2020-01-01 00:00:00.000',
  NULL, '2020-01-01 01:00:00.000', 7);
INSERT INTO s_daily VALUES ('old', '2020-01-01 00:00:00', '2020-01-01', 'UTC', 3, 2, 2, 2, 1, 1, 2, 1, NULL, NULL,
  '2020-01-01 01:00:00.000');
DELETE FROM noted;
"#;

/// A file of an earlier version is declared anew, once, with all that is in it.
#[test]
fn a_file_of_an_earlier_version_is_declared_anew() {
    let site = site();
    std::fs::create_dir(site.path("state")).expect("a folder");
    let path = file(&site);
    let old = Connection::open(&path).expect("a file");
    old.execute_batch(OLD).expect("tables");
    let all = |table: &str| -> String {
        let mut statement = old.prepare(&format!("SELECT * FROM {table} WHERE host = 'old'")).expect("a table");
        let count = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..count).map(|i| row.get::<_, rusqlite::types::Value>(i)).collect::<rusqlite::Result<Vec<_>>>()
        };
        format!("{:?}", statement.query_map([], row).expect("rows").collect::<Result<Vec<_>, _>>().expect("rows"))
    };
    let before = all("s_daily");
    assert!(before.contains("2020-01-01"));
    // Somebody has it open all the time.
    let output = site.tool("check", "state").output().expect("it starts");
    assert!(output.status.success(), "{}", log(&output));
    let output = site.run("state", &lines(0..100));
    assert!(!log(&output).contains("E! ") && !log(&output).contains("W! "), "{}", log(&output));
    assert!(log(&output).contains("11 columns of times are declared as DATE and DATETIME now"), "{}", log(&output));
    assert_eq!(times(&path, "s_hourly"), HOURLY_TIMES);
    assert_eq!(times(&path, "s_daily"), DAILY_TIMES);
    assert_eq!(times(&path, "s_hourly_partial"), ["window_start DATETIME"]);
    assert_eq!(all("s_daily"), before);
    assert_eq!(site.value("SELECT CAST(sum(gone) AS INTEGER) FROM s_hourly WHERE host = 'old' AND n IS NULL"), 7);
    assert_eq!(site.value("SELECT sum(samples) FROM s_hourly WHERE host <> 'old'"), 100);
    assert_eq!(site.value("SELECT count(*) FROM seen"), 5);
    assert_eq!(site.value("SELECT count(*) FROM noted"), 4);
    assert_eq!(site.value("SELECT count(*) FROM s_hourly WHERE datetime < '2021-01-01'"), 1);
    let whole: String = old.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(whole, "ok");
    drop(old);
    let version = site.value("PRAGMA schema_version");
    let output = site.run("state", &lines(100..200));
    assert!(!log(&output).contains("declared"), "{}", log(&output));
    assert_eq!(site.value("PRAGMA schema_version"), version, "once");
    assert_eq!(files(&site), ["summary.db"]);
}

/// Tables that a person has made, and columns with what this program has not written, stay as they are, and take rows.
#[test]
fn what_is_not_ours_is_not_declared_anew() {
    let site = site();
    std::fs::create_dir(site.path("state")).expect("a folder");
    let path = file(&site);
    let old = Connection::open(&path).expect("a file");
    let by_hand = OLD.replace("  \"date\" TEXT NOT NULL", "  date TEXT NOT NULL");
    old.execute_batch(&by_hand).expect("tables");
    old.execute_batch("UPDATE s_hourly SET first_seen = '2020'").expect("updated");
    drop(old);
    let output = site.run("state", &lines(0..100));
    assert!(log(&output).contains("s_hourly holds times that this program has not written"), "{}", log(&output));
    assert!(!log(&output).contains("E! "), "{}", log(&output));
    assert!(times(&path, "s_hourly").iter().all(|time| time.ends_with(" TEXT")), "{:?}", times(&path, "s_hourly"));
    assert_eq!(times(&path, "s_daily")[..2], ["window_start DATETIME", "date TEXT"]);
    assert_eq!(site.value("SELECT sum(samples) FROM s_hourly WHERE host <> 'old'"), 100);
    assert_eq!(site.value("SELECT sum(samples) FROM s_daily WHERE host <> 'old'"), 100);
    let whole = site.value("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'");
    assert_eq!(whole, 1);
}
