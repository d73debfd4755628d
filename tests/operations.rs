//! The procedures of `docs/operations.md`, carried out on the real program: replacing it, restoring rows, moving to MySQL, another zone.
#![cfg(unix)]

mod support;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::servers::{Database, Kind, PASSWORD, USER};
use support::site::{Site, log, wait_for};
use support::{program, repository};

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;

/// A summary of one column, with the names that the document uses.
const CONFIG: &str = "timezone = \"UTC\"\n[sink]\n[flush]\nevery = \"1s\"\ndaily_every = \"1s\"\n[lateness]\nmax = \"7d\"\n\
                      [missing]\nhorizon = \"0s\"\n[[summary]]\nname = \"device_summary\"\nkey = [\"host\"]\n\
                      [[summary.column]]\nname = \"avg_cpu\"\nmethod = \"avg\"\nsources = [{ measurement = \"cpu\", field = \"v\" }]\n";

/// A line a minute for each of two hosts, one of which has a backslash and a quote in its name.
fn lines(from: i64, until: i64) -> Vec<u8> {
    let line = |at: i64, host: &str| format!("cpu,host={host} v={} {at}\n", at / MINUTE % 100);
    let all = (from / MINUTE..until / MINUTE).map(|m| m * MINUTE);
    all.flat_map(|at| [line(at, "a"), line(at, "b\\xC3'q")]).collect::<String>().into_bytes()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_nanosecond() as i64
}

/// All rows of a table but for the times of writing, as text.
fn table(path: &Path, name: &str) -> Vec<String> {
    let file = rusqlite::Connection::open(path).expect("a file");
    let local = if name.ends_with("daily") { "date" } else { "datetime" };
    let columns =
        format!("host || '|' || window_start || '|' || {local} || '|' || zone || '|' || avg_cpu || '|' || samples");
    let mut all = file.prepare(&format!("SELECT {columns} FROM {name} ORDER BY host, window_start")).expect("a table");
    all.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts")
}

fn both(path: &Path) -> Vec<String> {
    [table(path, "device_summary_hourly"), table(path, "device_summary_daily")].concat()
}

/// The block of shell commands of a chapter.
fn block(chapter: &str) -> String {
    let text = std::fs::read_to_string(repository("docs/operations.md")).expect("the document");
    let chapter = text.split(&format!("\n## {chapter}\n")).nth(1).expect("the chapter");
    let block = chapter.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a block").to_string()
}

/// The program is replaced by a rename while it runs; the next one goes on as the same writer.
#[test]
fn a_program_is_replaced_while_it_runs() {
    let site = Site::with(CONFIG);
    let config = site.configure("state");
    let (path, new) = (site.path("telegraf-rollup"), site.path("telegraf-rollup.new"));
    std::fs::copy(program().get_program(), &path).expect("a copy");
    let start = || {
        let mut command = Command::new(&path);
        command
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let begin = now() - 40 * HOUR;
    let mut child = start();
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&lines(begin, begin + 10 * HOUR)).expect("written");
    wait_for("rows", Duration::from_secs(60), || site.path("state/summary.db").exists());
    std::fs::copy(program().get_program(), &new).expect("a copy");
    std::fs::rename(&new, &path).expect("a rename");
    stdin.write_all(&lines(begin + 10 * HOUR, begin + 20 * HOUR)).expect("written");
    drop(stdin);
    assert!(child.wait_with_output().expect("it ends").status.success());
    let mut child = start();
    child.stdin.take().expect("a pipe").write_all(&lines(begin + 20 * HOUR, begin + 30 * HOUR)).expect("written");
    assert!(child.wait_with_output().expect("it ends").status.success());
    assert_eq!(site.value("SELECT SUM(samples) FROM device_summary_hourly"), 2 * 30 * 60);
    assert_eq!(site.value("SELECT MAX(writers) FROM device_summary_daily"), 1);
}

/// Rows that are set back to a backup are as before after a `resend`, which is asked for while nothing runs.
#[test]
fn rows_of_a_backup_are_completed_by_resend() {
    let site = Site::with(CONFIG);
    let begin = now() - 50 * HOUR;
    let rows = site.path("state/summary.db");
    site.run("state", &lines(begin, begin + 20 * HOUR));
    let copy = site.path("copy.db");
    let made = rusqlite::Connection::open(&rows).expect("a file").execute("VACUUM INTO ?", [copy.to_str()]);
    made.expect("a backup");
    site.run("state", &lines(begin + 20 * HOUR, begin + 40 * HOUR));
    let before = both(&rows);
    std::fs::copy(&copy, &rows).expect("a copy");
    assert_ne!(both(&rows), before);
    assert!(site.tool("resend", "state").status().expect("it runs").success());
    let output = site.run("state", &lines(begin + 40 * HOUR, begin + 40 * HOUR + MINUTE));
    assert!(log(&output).contains("windows are written again"), "{}", log(&output));
    let expected = Site::with(CONFIG);
    expected.run("state", &lines(begin, begin + 40 * HOUR + MINUTE));
    assert_eq!(both(&rows), both(&expected.path("state/summary.db")));
}

/// The recipe of the document, to the letter: all rows are there, those of the state are written again, nothing counts twice.
fn rows_move(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let mut site = Site::with(&CONFIG.replace("7d", "30d"));
    let end = now() - HOUR;
    site.run("state", &lines(end - 20 * 24 * HOUR, end));
    site.config = CONFIG.to_string();
    site.run("state", b"");
    let expected = both(&site.path("state/summary.db"));

    let url = format!("url = \"mysql://{USER}:{PASSWORD}@127.0.0.1:{}/metrics\"\ntls = \"off\"\n", database.port());
    site.config = CONFIG.replace("[sink]\n", &format!("[sink]\n{url}"));
    let config = site.configure("state");
    // `sudo`, the program with its configuration, and the client, as the recipe calls them.
    let bin = site.path("bin");
    std::fs::create_dir(&bin).expect("a folder");
    let own = program();
    for (name, text) in [
        ("sudo", "exec \"$@\"".to_string()),
        ("telegraf-rollup", format!("exec {:?} \"$@\" --config {config:?}", own.get_program())),
        ("mariadb", format!("[ \"$1\" = metrics ] && exec cat >{:?}", site.path("statements.sql"))),
    ] {
        std::fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).expect("written");
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).expect("rights");
    }
    let recipe = block("From SQLite to MySQL");
    let recipe =
        recipe.replace("/var/lib/telegraf-rollup/summary.db", site.path("state/summary.db").to_str().expect("text"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let shell =
        Command::new("bash").args(["-eo", "pipefail", "-c", &recipe]).env("PATH", path).output().expect("a shell");
    assert!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    database.query(&std::fs::read_to_string(site.path("statements.sql")).expect("statements"));

    let found = || -> Vec<String> {
        let of = |name: &str, local: &str| {
            let columns = format!("host, window_start, {local}, zone, avg_cpu, samples");
            let rows = database.query(&format!("SELECT {columns} FROM {name} ORDER BY host, window_start"));
            rows.into_iter().map(|row| row.join("|")).collect::<Vec<_>>()
        };
        [of("device_summary_hourly", "datetime"), of("device_summary_daily", "date")].concat()
    };
    let same = |expected: &[String]| {
        let found = found();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let parts = |row: &str| row.split('|').map(str::to_string).collect::<Vec<_>>();
            let (mut a, mut b) = (parts(found), parts(expected));
            let (x, y): (f64, f64) = (a.remove(4).parse().expect("a mean"), b.remove(4).parse().expect("a mean"));
            assert!(a == b && (x - y).abs() < 1e-9, "{found}\n{expected}");
        }
    };
    same(&expected);
    let output = site.run("state", &lines(end, end + MINUTE));
    assert!(log(&output).contains("the sink is another one than before"), "{}", log(&output));
    let sum = |table: &str| database.value(&format!("SELECT SUM(samples) FROM {table}"));
    let total = (2 * (20 * 24 * 60 + 1)).to_string();
    assert_eq!((sum("device_summary_hourly"), sum("device_summary_daily")), (total.clone(), total));
}

#[test]
fn rows_move_from_sqlite_to_mariadb() {
    rows_move(Kind::MariaDb);
}

#[test]
fn rows_move_from_sqlite_to_mysql() {
    rows_move(Kind::MySql);
}

/// The day under way ends at its old midnight; the next one begins there and ends at the new one.
#[test]
fn another_zone_shortens_one_day() {
    let config = |zone: &str| {
        let config = CONFIG.replace("\"7d\"", "\"forever\"");
        config.replace("\"UTC\"", &format!("{zone:?}"))
    };
    // 2026-11-01T00:00:00Z
    let begin = 1_793_491_200_000_000_000;
    for (old, new, days) in [
        (
            "UTC",
            "Asia/Seoul",
            &[
                "2026-11-01|2026-11-01 00:00:00|UTC|24",
                "2026-11-02|2026-11-02 00:00:00|Asia/Seoul|15",
                "2026-11-03|2026-11-02 15:00:00|Asia/Seoul|21",
            ][..],
        ),
        (
            "UTC",
            "America/New_York",
            &[
                "2026-11-01|2026-11-01 00:00:00|UTC|24",
                "2026-11-01|2026-11-02 00:00:00|America/New_York|5",
                "2026-11-02|2026-11-02 05:00:00|America/New_York|24",
                "2026-11-03|2026-11-03 05:00:00|America/New_York|7",
            ],
        ),
    ] {
        let mut site = Site::with(&config(old));
        site.run("state", &lines(begin, begin + 18 * HOUR));
        site.config = config(new);
        site.run("state", &lines(begin + 18 * HOUR, begin + 60 * HOUR));
        let file = rusqlite::Connection::open(site.path("state/summary.db")).expect("a file");
        let days_of = "SELECT date || '|' || window_start || '|' || zone || '|' || (samples / 60) FROM device_summary_daily \
                       WHERE host = 'a' ORDER BY window_start";
        let mut all = file.prepare(days_of).expect("a table");
        let found: Vec<String> =
            all.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("a text")).collect();
        assert_eq!(found, days, "{old} to {new}");
        let short = "window_start = '2026-11-02 00:00:00'";
        assert_eq!(site.value(&format!("SELECT COUNT(*) FROM device_summary_daily WHERE coverage = 1 AND {short}")), 2);
    }
}
