//! The flush protocol on real servers: MySQL, MariaDB, and a Galera cluster of three nodes.
//!
//! Every semantic case, a server that stops in the middle of the stream, several writers for one device, tables that
//! were made by an older configuration, users without rights, encryption.
#![cfg(unix)]

#[path = "oracle/mod.rs"]
mod oracle;
mod support;

use std::io::{BufRead, Read, Write};
use std::process::{Child, Output, Stdio};
use std::time::Duration;
use support::servers::{Database, Kind, PASSWORD, TLS_ONLY_PASSWORD, TLS_ONLY_USER, USER};
use support::site::{Site, wait_for};
use support::{all_said, feed, program, repository, same_csv, tables_csv};

/// A site whose rows go into a server's database. `sink` is what stands below `[sink]`.
fn site(sink: &str, config: &str) -> Site {
    Site::with(&format!("{config}\n[sink]\n{sink}\n"))
}

/// What `check` says.
fn check(site: &Site) -> Output {
    site.tool("check", "state").output().expect("the program starts")
}

/// The rows that the lines of a site make by another implementation.
fn expected(site: &Site, input: &[u8]) -> String {
    let rows = oracle::rollup(&site.config, input, &oracle::Options { now_ns: None, ..Default::default() });
    oracle::to_csv(&site.config, &rows)
}

/// All tables of a configuration in a database, in the format of `replay --format csv`.
fn rows(database: &Database, name: &str, config: &str) -> String {
    tables_csv(config, |table, columns| {
        let shown: Vec<_> = columns
            .iter()
            .map(|c| match c.as_str() {
                "window_start" | "datetime" => format!("DATE_FORMAT(`{c}`,'%Y-%m-%d %H:%i:%s')"),
                "first_seen" | "last_seen" => format!("LEFT(DATE_FORMAT(`{c}`,'%Y-%m-%d %H:%i:%s.%f'),23)"),
                // Hexadecimal keeps what a command line client would escape.
                _ => format!("IF(`{c}` IS NULL,NULL,HEX(CAST(`{c}` AS CHAR CHARACTER SET utf8mb4)))"),
            })
            .collect();
        let sql = format!("SELECT {} FROM `{name}`.`{table}`", shown.join(","));
        let times = ["window_start", "datetime", "first_seen", "last_seen"];
        let rows = database.query(&sql).into_iter().map(|row| {
            row.into_iter()
                .zip(columns)
                .map(|(text, column)| match text.as_str() {
                    "NULL" => None,
                    _ if times.contains(&column.as_str()) => Some(text),
                    hex => {
                        let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex");
                        let bytes = (0..hex.len()).step_by(2).map(byte).collect();
                        Some(String::from_utf8(bytes).expect("UTF-8"))
                    }
                })
                .collect()
        });
        rows.collect()
    })
}

/// Makes a database that the ordinary user may use.
fn make(database: &Database, name: &str) -> String {
    database.query(&format!("CREATE DATABASE `{name}`; GRANT ALL ON `{name}`.* TO '{USER}'@'%'"));
    format!("url = {:?}", database.url(USER, PASSWORD, name))
}

/// Whole numbers that were DOUBLE lose their point in a server's text: compare by value.
fn same_rows(found: &str, expected: &str) -> Result<(), String> {
    let normal = |text: &str| -> String {
        let mut out = String::new();
        for (number, line) in text.lines().enumerate() {
            let fields = support::csv_fields(line).into_iter().map(|field| match field.parse::<f64>() {
                Ok(value) if number > 0 && !field.contains(':') => format!("{value:?}"),
                _ => field,
            });
            out += &(fields.collect::<Vec<_>>().join("\u{1f}") + "\n");
        }
        out
    };
    let (found, expected) = (normal(found), normal(expected));
    same_csv(
        &found.replace(',', "\u{1e}").replace('\u{1f}', ","),
        &expected.replace(',', "\u{1e}").replace('\u{1f}', ","),
    )
}

const CONFIG: &str = r#"
timezone = "Europe/Berlin"
[flush]
every = "1s"
daily_every = "1s"
[lateness]
max = "forever"
[missing]
horizon = "0s"
[[summary]]
name = "s"
key = ["host"]
  [[summary.column]]
  name = "avg_v"
  method = "avg"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "max_v"
  method = "max"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "odd"
  method = "anomalies"
  rules = ["high"]
[[anomaly]]
name = "high"
column = "max_v"
when = "> 900"
"#;

/// One point of a made-up fleet: `number` runs on, four hours in all.
fn point(number: usize) -> String {
    let at = 1_729_980_000_000_000_000 + number as i64 * 3_600_000_000_000 / 500;
    format!("m,host=h{} v={} {at}\n", number % 7, (number * 7919 % 10007) as f64 / 10.0)
}

fn points(numbers: impl Iterator<Item = usize>) -> Vec<u8> {
    numbers.map(point).collect::<String>().into_bytes()
}

fn every_case(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let mut names: Vec<_> = std::fs::read_dir(repository("tests/cases"))
        .expect("the cases")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.is_dir())
        .collect();
    names.sort();
    for folder in names {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let config = std::fs::read_to_string(folder.join("config.toml")).expect("a configuration");
        let input = std::fs::read(folder.join("input.influx")).expect("an input");
        let run = site(&make(&database, &name), &config);
        let output = feed(&mut run.command("state"), &input);
        assert!(output.stdout == input, "{name}: stdout is not the input");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!log.contains("E! "), "{name}: {log}");
        let expected = std::fs::read_to_string(folder.join("expected.csv")).expect("expectations");
        let found = rows(&database, &name, &config);
        same_rows(&found, &expected).unwrap_or_else(|e| panic!("{kind} {name}: {e}\n{log}"));
        // The same flush again changes nothing: every step can be repeated.
        let fresh = site(&format!("url = {:?}", database.url(USER, PASSWORD, &name)), &config);
        assert!(String::from_utf8_lossy(&check(&fresh).stdout).contains("the newest window starts at"), "{name}");
    }
}

struct Stream {
    child: Child,
    reader: std::thread::JoinHandle<Vec<u8>>,
}

impl Stream {
    fn start(run: &Site) -> Stream {
        let mut child = run.command("state").stderr(Stdio::inherit()).spawn().expect("the program starts");
        let mut stdout = child.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).expect("readable");
            out
        });
        Stream { child, reader }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().expect("a pipe").write_all(bytes).expect("a reader");
    }

    fn end(mut self) -> Vec<u8> {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
        self.reader.join().expect("no panic")
    }
}

/// The server goes away (by `stop`) in the middle of the stream and comes back.
fn survives(kind: Kind, stop: fn(&mut Database), back: fn(&mut Database)) {
    let Some(mut database) = Database::start(kind) else { return };
    let run = site(&make(&database, "d"), CONFIG);
    let mut stream = Stream::start(&run);
    let third = |i: usize| points(i * 700..(i + 1) * 700);
    stream.send(&third(0));
    let count = |database: &Database| database.value("SELECT COALESCE(SUM(samples), 0) FROM d.s_hourly");
    wait_for("the first rows", Duration::from_secs(60), || {
        database.try_query("SELECT 1 FROM d.s_hourly LIMIT 1").is_ok() && count(&database) == "700"
    });
    stop(&mut database);
    stream.send(&third(1));
    // Some flushes fail.
    std::thread::sleep(Duration::from_millis(3500));
    stream.send(&third(2));
    back(&mut database);
    wait_for("the rows of the whole stream", Duration::from_secs(120), || count(&database) == "2100");
    let input: Vec<u8> = (0..3).flat_map(third).collect();
    assert!(stream.end() == input, "stdout is not the input");
    same_rows(&rows(&database, "d", CONFIG), &expected(&run, &input)).unwrap_or_else(|e| panic!("{kind}: {e}"));
    assert_eq!(database.value("SELECT MIN(is_final) FROM d.s_hourly"), "1");
    assert_eq!(database.value("SELECT MAX(writers) FROM d.s_daily"), "1");
}

#[test]
fn mysql_stops_and_comes_back() {
    survives(Kind::MySql, Database::stop, Database::restart);
}

#[test]
fn mysql_is_killed_and_comes_back() {
    survives(Kind::MySql, Database::kill9, Database::restart);
}

#[test]
fn mariadb_stops_and_comes_back() {
    survives(Kind::MariaDb, Database::stop, Database::restart);
}

#[test]
fn mysql_hangs_and_goes_on() {
    survives(Kind::MySql, |d| d.freeze(), |d| d.thaw());
}

/// Several writers feed the same devices with disjoint points, at once and one after the other.
/// The server has no room left for rows, and then has.
fn no_room(kind: Kind) {
    let Some(mut database) = Database::start(kind) else { return };
    // One file for all tables, which must not grow beyond so many MB.
    let room = |database: &mut Database, megabytes: u32| {
        let file = format!("--innodb-data-file-path=ibdata1:12M:autoextend:max:{megabytes}M");
        database.restart_with(&[&file, "--innodb-file-per-table=0"]);
    };
    room(&mut database, 32);
    let run = site(&make(&database, "d"), CONFIG);
    database.query("CREATE TABLE d.filler (n INT AUTO_INCREMENT PRIMARY KEY, text LONGTEXT)");
    let fill = |size: u32| {
        (0..10_000).find_map(|_| {
            database.try_query(&format!("INSERT INTO d.filler (text) VALUES (REPEAT('x', {size}))")).err()
        })
    };
    for size in [500_000, 20_000, 4_000] {
        let error = fill(size).unwrap_or_else(|| panic!("{kind} never has no room"));
        assert!(error.contains("is full"), "{error}");
    }
    let mut stream = run.command("state").stderr(Stdio::piped()).spawn().expect("the program starts");
    let input = points(0..700);
    stream.stdin.as_mut().expect("a pipe").write_all(&input).expect("a reader");
    let mut log = std::io::BufReader::new(stream.stderr.take().expect("a pipe"));
    let mut line = String::new();
    // The latter if not even the table can be made.
    while !line.contains("is full") && !line.contains("No more room") {
        line.clear();
        assert!(log.read_line(&mut line).expect("readable") > 0, "the log ended");
    }
    assert!(line.contains("trying again soon"), "{line}");
    room(&mut database, 128);
    let count = || {
        database
            .try_query("SELECT COALESCE(SUM(samples), 0) FROM d.s_hourly")
            .map_or("".into(), |rows| rows[0][0].clone())
    };
    wait_for("the rows", Duration::from_secs(60), || count() == "700");
    drop(stream.stdin.take());
    let mut out = Vec::new();
    stream.stdout.take().expect("a pipe").read_to_end(&mut out).expect("readable");
    assert!(stream.wait().expect("it ends").success());
    assert!(out == input, "stdout is not the input");
    same_rows(&rows(&database, "d", CONFIG), &expected(&run, &input)).unwrap_or_else(|e| panic!("{kind}: {e}"));
}

#[test]
fn mysql_has_no_room() {
    no_room(Kind::MySql);
}

#[test]
fn mariadb_has_no_room() {
    no_room(Kind::MariaDb);
}

fn several_writers(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = make(&database, "d");
    let runs: Vec<_> = (0..4).map(|_| site(&sink, CONFIG)).collect();
    let input = |i: usize| points((0..2100).filter(move |n| n / 3 % 4 == i));
    let mut streams: Vec<_> = runs.iter().take(3).map(Stream::start).collect();
    for round in 0..4 {
        for (i, stream) in streams.iter_mut().enumerate() {
            let all = input(i);
            let lines: Vec<_> = all.split_inclusive(|b| *b == b'\n').collect();
            let part = lines.len().div_ceil(4);
            let from = (round * part).min(lines.len());
            stream.send(&lines[from..(from + part).min(lines.len())].concat());
        }
        std::thread::sleep(Duration::from_millis(1300));
    }
    streams.into_iter().for_each(|stream| drop(stream.end()));
    // The fourth comes when the others have left.
    feed(&mut runs[3].command("state"), &input(3));
    let all: Vec<u8> = (0..4).flat_map(input).collect();
    same_rows(&rows(&database, "d", CONFIG), &expected(&runs[0], &all)).unwrap_or_else(|e| panic!("{kind}: {e}"));
    assert_eq!(database.value("SELECT CONCAT(MIN(writers), ' ', MAX(writers)) FROM d.s_daily"), "4 4");
    assert_eq!(database.value("SELECT SUM(revision) - SUM(samples) FROM d.s_hourly"), "0");
}

/// Tables that an older configuration made gain columns; nothing is lost.
fn columns_are_added(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = make(&database, "d");
    let (before, after) = CONFIG.split_once("  [[summary.column]]\n  name = \"max_v\"").expect("two columns");
    let old = format!("{before}{}", "");
    assert!(after.contains("anomaly"));
    feed(&mut site(&sink, &old).command("state"), &points(0..300));
    let fixed = format!("{sink}\nmigrate = \"check\"");
    // With migrate = "check" the table is left as it is, and what it cannot hold is left out.
    let output = feed(&mut site(&fixed, CONFIG).command("state"), &points(300..600));
    assert!(String::from_utf8_lossy(&output.stderr).contains("column \"max_v\" is missing in s_hourly"));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "600");
    feed(&mut site(&sink, CONFIG).command("state"), &points(600..900));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "900");
    assert!(database.value("SELECT COUNT(max_v) FROM d.s_daily") != "0");
    // A missing table is made by a person then; the log has the statement.
    let output =
        feed(&mut site(&fixed, &CONFIG.replace("name = \"s\"", "name = \"t\"")).command("state"), &points(0..9));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        log.contains("the table t_hourly is missing") && log.contains("CREATE TABLE IF NOT EXISTS `t_hourly`"),
        "{log}"
    );
}

/// Rows of one key are no rows of another: a person has to decide.
fn a_changed_key_is_named(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = make(&database, "d");
    feed(&mut site(&sink, CONFIG).command("state"), &points(0..300));
    let changed = CONFIG.replace("key = [\"host\"]", "key = [\"site\", \"host\"]");
    assert_ne!(changed, CONFIG);
    let output = feed(&mut site(&sink, &changed).command("state"), b"m,site=a,host=b v=1 1700000000000000000\n");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        log.contains("has the primary key (host, window_start)") && log.contains("(site, host, window_start)"),
        "{log}"
    );
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "300");
}

/// What a person has to do is in the error, and no password is.
fn errors_instruct(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    make(&database, "d");
    let said = |sink: String| {
        let run = site(&sink, CONFIG);
        let output = feed(&mut run.command("state"), &points(0..9));
        assert!(output.stdout == points(0..9), "stdout is not the input");
        let checked = check(&run);
        assert!(!checked.status.success(), "check finds it too");
        let log = format!("{}{}", String::from_utf8_lossy(&output.stderr), all_said(&checked));
        assert!(!log.contains("wrong-word") && !log.contains(PASSWORD), "the log shows a password: {log}");
        log
    };
    let log = said(format!("url = {:?}", database.url(USER, "wrong-word", "d")));
    assert!(log.contains("check the user and the password"), "{log}");
    let log = said(format!("url = {:?}", database.url(USER, PASSWORD, "mysql")));
    assert!(
        log.contains("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON `mysql`.* TO 'rollup'@'%';"),
        "{log}"
    );
    database.query("CREATE USER 'all'@'%' IDENTIFIED BY 'all-pw'; GRANT ALL ON *.* TO 'all'@'%'");
    let log = said(format!("url = {:?}", database.url("all", "all-pw", "none")));
    assert!(log.contains("CREATE DATABASE `none`"), "{log}");
}

/// An address that leads to a port of 127.0.0.1 under another name.
fn another_name(port: u16) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.2:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the server");
            for (mut from, mut to) in
                [(client.try_clone().expect("a socket"), server.try_clone().expect("a socket")), (server, client)]
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    address
}

/// Encryption: a server that proves its name is accepted, another is not; the password comes from a file.
fn encryption(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    database.query(&format!("CREATE DATABASE d; GRANT ALL ON d.* TO '{TLS_ONLY_USER}'@'%'"));
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("password");
    std::fs::write(&secret, format!("{TLS_ONLY_PASSWORD}\n")).expect("writable");
    let sink = |ca: Option<&std::path::Path>| {
        let url =
            format!("url = \"mysql://{TLS_ONLY_USER}@127.0.0.1:{}/d\"\npassword_file = {secret:?}\n", database.port());
        let tls = ca.map(|ca| format!("tls = \"verify-full\"\nca_file = {ca:?}\n"));
        url + &tls.unwrap_or_default()
    };
    let output = feed(&mut site(&sink(Some(&database.ca_pem())), CONFIG).command("state"), &points(0..50));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("E! "), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "50");
    // As Notepad and PowerShell write it.
    std::fs::write(&secret, format!("\u{feff}{TLS_ONLY_PASSWORD}\r\n")).expect("writable");
    let marked = site(&sink(Some(&database.ca_pem())), CONFIG);
    // Others can read that file, which is a warning.
    assert_eq!(check(&marked).status.code(), Some(1), "{}", all_said(&check(&marked)));
    for mark in ["", "\u{feff}"] {
        let wide: Vec<u8> =
            format!("{mark}{TLS_ONLY_PASSWORD}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(&secret, wide).expect("writable");
        let log = all_said(&check(&marked));
        assert!(log.contains("cannot read the password file") && log.contains("it is UTF-16"), "{log}");
    }
    std::fs::write(&secret, b"B\xfcro\n").expect("writable");
    let log = all_said(&check(&marked));
    assert!(log.contains("line 1 is not UTF-8") && !log.contains("ro\n"), "{log}");
    std::fs::write(&secret, format!("{TLS_ONLY_PASSWORD}\n")).expect("writable");
    // A name that the certificate does not have.
    let elsewhere = another_name(database.port());
    let named = sink(Some(&database.ca_pem())).replace(&format!("127.0.0.1:{}", database.port()), &elsewhere);
    let output = feed(&mut site(&named, CONFIG).command("state"), &points(50..99));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("no trusted encrypted connection") && log.contains("not for 127.0.0.2"), "{log}");
    let output = feed(&mut site(&sink(Some(&database.other_ca_pem())), CONFIG).command("state"), &points(50..99));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("no trusted encrypted connection") && log.contains("sink.ca_file"), "{log}");
    let output = feed(&mut site(&sink(None), CONFIG).command("state"), &points(50..99));
    assert!(String::from_utf8_lossy(&output.stderr).contains("E! "));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "50");

    // A server that wants to know its client, and a password that systemd hands over.
    database.query("CREATE USER 'known'@'%' IDENTIFIED BY 'known-pw' REQUIRE X509; GRANT ALL ON d.* TO 'known'@'%'");
    let ca = database.ca_pem();
    let (certificate, key) = (ca.with_file_name("client.pem"), ca.with_file_name("client.key"));
    let url =
        format!("url = \"mysql://known@127.0.0.1:{}/d\"\ntls = \"verify-full\"\nca_file = {ca:?}", database.port());
    let known = format!("{url}\nclient_cert = {certificate:?}\nclient_key = {key:?}");
    let credentials = tempfile::tempdir().expect("a folder");
    std::fs::write(credentials.path().join("mysql.password"), "known-pw\n").expect("writable");
    for (sink, is_let_in) in [(&url, false), (&known, true)] {
        let run = site(sink, CONFIG);
        let output = feed(run.command("state").env("CREDENTIALS_DIRECTORY", credentials.path()), &points(50..99));
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(log.contains("E! "), !is_let_in, "{log}");
        assert!(!log.contains("known-pw"), "the log shows a password: {log}");
    }
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "99");
    let missing = known.replace("client.pem", "absent.pem");
    let output = feed(&mut site(&missing, CONFIG).command("state"), &points(0..9));
    assert!(String::from_utf8_lossy(&output.stderr).contains("E! "), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Keys are compared byte for byte: case, trailing blanks, emoji, bytes that are not UTF-8, long ones.
fn keys_are_bytes(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let run = site(&make(&database, "d"), CONFIG);
    let at = 1_729_980_000_000_000_000_i64;
    let mut input = Vec::new();
    let long = "ü".repeat(300);
    let hosts: [&[u8]; 8] =
        [b"pc-01", b"PC-01", b"a", b"a\\ ", "🔥".as_bytes(), b"\xb0C", b"it's\\,`x`", long.as_bytes()];
    for (i, host) in hosts.iter().enumerate() {
        input.extend_from_slice(b"m,host=");
        input.extend_from_slice(host);
        input.extend_from_slice(format!(" v={i} {at}\n").as_bytes());
    }
    let output = feed(&mut run.command("state"), &input);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("E! "), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(database.value("SELECT COUNT(*) FROM d.s_hourly"), "8");
    assert_eq!(database.value("SELECT max_v FROM d.s_daily WHERE host = 'PC-01'"), "1");
    assert_eq!(database.value("SELECT max_v FROM d.s_daily WHERE host = 'a '"), "3");
    assert_eq!(database.value("SELECT max_v FROM d.s_daily WHERE host = '\\\\xb0C'"), "5");
    assert_eq!(database.value("SELECT CHAR_LENGTH(host) FROM d.s_daily WHERE max_v = 7"), "191");
}

/// A column that holds texts where the configuration has a number: named, lines pass, and the rest of the fleet goes on.
fn a_changed_type_is_named(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = make(&database, "d");
    feed(&mut site(&sink, CONFIG).command("state"), &points(0..300));
    database.query("ALTER TABLE d.s_hourly MODIFY avg_v VARCHAR(20) NULL");
    let run = site(&sink, CONFIG);
    let output = feed(&mut run.command("state"), &points(300..600));
    assert!(output.stdout == points(300..600), "stdout is not the input");
    let checked = check(&run);
    assert!(!checked.status.success());
    for log in [all_said(&output), all_said(&checked)] {
        assert!(log.contains("the column \"avg_v\" of s_hourly is varchar, which holds texts"), "{log}");
    }
    // A number of another type takes numbers.
    database.query("ALTER TABLE d.s_hourly MODIFY avg_v DECIMAL(20,6) NULL");
    feed(&mut run.command("state"), &points(600..900));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "900");
}

/// The tables of `schema` are those that `run` makes; `--apply` makes them, and completes them.
fn schema_prints_and_applies(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let run = site(&make(&database, "d"), CONFIG);
    let schema = |more: &[&str]| {
        let mut command = program();
        command.args(["schema", "--config"]).arg(run.configure("state")).args(more);
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let printed = schema(&["--dialect", if kind == Kind::MySql { "mysql" } else { "mariadb" }]);
    database.query(&format!("CREATE DATABASE printed; USE printed; {printed}"));
    assert!(schema(&["--apply"]).contains("are complete"));
    for table in ["s_hourly", "s_daily", "s_hourly_partial"] {
        let made = |name: &str| database.query(&format!("SHOW CREATE TABLE `{name}`.`{table}`"))[0][1].clone();
        assert_eq!(made("d"), made("printed"), "{table}");
    }
    database.query("ALTER TABLE d.s_hourly DROP COLUMN max_v");
    schema(&["--apply"]);
    assert_eq!(database.value("SELECT COUNT(max_v) FROM d.s_hourly"), "0");
    feed(&mut run.command("state"), &points(0..300));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.s_hourly"), "300");
}

/// A table that was emptied is filled again by `resend`, with windows that have long left memory too; `status` says how it
/// goes.
fn resend_fills_an_emptied_table(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let run = site(&make(&database, "d"), CONFIG);
    let path = run.configure("state");
    let tool = |name: &str| program().arg(name).arg("--config").arg(&path).output().expect("the program starts");
    let early = tool("status");
    assert!(
        String::from_utf8_lossy(&early.stdout).contains("nothing has run with this configuration yet"),
        "{early:?}"
    );
    assert!(String::from_utf8_lossy(&tool("resend").stderr).contains("there is no state"));
    feed(&mut run.command("state"), &points(0..2000));
    let rows = || rows(&database, "d", CONFIG);
    let before = rows();
    for table in ["s_hourly", "s_daily", "s_hourly_partial"] {
        database.query(&format!("TRUNCATE d.{table}"));
    }
    let mut stream = Stream::start(&run);
    // A line that is known: it makes the process the owner, and nothing new.
    stream.send(point(1999).as_bytes());
    let asked = tool("resend");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    wait_for("the rows", Duration::from_secs(60), || rows() == before);
    wait_for("the status", Duration::from_secs(60), || tool("status").status.success());
    let status = String::from_utf8(tool("status").stdout).expect("UTF-8");
    assert!(status.starts_with("healthy: process") && status.contains("7 devices"), "{status}");
    assert!(status.contains(&format!("sink: MySQL {USER}@127.0.0.1")) && !status.contains(PASSWORD), "{status}");
    // What the server refuses is shown.
    database.query("ALTER TABLE d.s_hourly MODIFY avg_v DECIMAL(7,3) NULL");
    let at = 1_729_980_000_000_000_000_i64 + 30 * 3_600_000_000_000;
    stream.send(format!("m,host=h0 v=123456 {at}\nm,host=h0 v=3 {}\n", at + 3_600_000_000_000).as_bytes());
    wait_for("the set-aside row", Duration::from_secs(60), || {
        let shown = tool("status");
        !shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("set aside since")
    });
    let shown = String::from_utf8(tool("status").stdout).expect("UTF-8");
    assert!(shown.contains("s_hourly [\"h0\"] 2024-10-28T04:00:00Z: error 1264"), "{shown}");
    stream.end();
    assert_eq!(database.value("SELECT COUNT(*) FROM d.s_hourly WHERE window_start = '2024-10-28 05:00:00'"), "1");
}

/// The recipe of docs/sink.md: tables that are partitioned by month take rows as before; a month without a partition waits.
fn partitions_by_month(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let sink = make(&database, "d");
    let config = CONFIG.replace("name = \"s\"", "name = \"device_summary\"");
    feed(&mut site(&sink, &config).command("state"), &points(0..300));
    let text = std::fs::read_to_string(repository("docs/sink.md")).expect("the recipe");
    let (_, text) = text.split_once("\n## Old rows\n").expect("the chapter");
    let sql = text.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a statement");
    database.query(&format!("USE d; {sql}"));
    let run = site(&sink, &config);
    let november = 1_794_000_000_000_000_000_i64; // 2026-11-06
    let line = |v: i64, at: i64| format!("m,host=p v={v} {at}\n").into_bytes();
    feed(&mut run.command("state"), &[points(300..600), line(1, november)].concat());
    assert_eq!(database.value("SELECT SUM(samples) FROM d.device_summary_hourly"), "601");
    assert_eq!(database.value("SELECT COUNT(*) FROM d.device_summary_hourly PARTITION (p2026_11)"), "1");
    database.query("USE d; ALTER TABLE device_summary_hourly DROP PARTITION p2026_11, p_next");
    let hour = 3_600_000_000_000;
    let output = feed(&mut run.command("state"), &[line(2, november + hour), points(600..601)].concat());
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("set aside") && log.contains("partition"), "{log}");
    assert_eq!(database.value("SELECT SUM(samples) FROM d.device_summary_hourly"), "601");
    assert_eq!(database.value("SELECT SUM(samples) FROM d.device_summary_daily"), "603", "the day goes on");
    database.query(
        "USE d; ALTER TABLE device_summary_hourly ADD PARTITION (PARTITION p2026_11 VALUES LESS THAN ('2026-12-01'))",
    );
    feed(&mut run.command("state"), &line(4, november + hour + 1));
    assert_eq!(database.value("SELECT SUM(samples) FROM d.device_summary_hourly"), "603");
}

/// A test for each kind of server.
macro_rules! on_every_server {
    ($($name:ident)*) => {
        $(mod $name {
            use super::support::servers::Kind;

            #[test]
            fn on_mysql() {
                super::$name(Kind::MySql);
            }

            #[test]
            fn on_mariadb() {
                super::$name(Kind::MariaDb);
            }

            #[test]
            fn on_galera() {
                super::$name(Kind::Galera);
            }
        })*
    };
}

on_every_server! {
    every_case
    several_writers
    a_changed_key_is_named
    columns_are_added
    errors_instruct
    encryption
    keys_are_bytes
    a_changed_type_is_named
    schema_prints_and_applies
    resend_fills_an_emptied_table
    partitions_by_month
}
