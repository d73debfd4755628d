//! A real server behind a proxy: one that holds every statement back, forgets what a session has set, cuts answers, or changes
//! a statement into one that can never succeed. And a password file that others can read.
#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::all_said;
use support::servers::{Database, Kind, PASSWORD, USER};
use support::site::{CONFIG, START, Site, lines, log, wait_for};
use telegraf_rollup::durable::journal::frame::SEGMENT_BYTES_MAX;

/// How long a slow proxy holds a statement back.
const HOLD: Duration = Duration::from_secs(5);

/// The commands of the protocol that are statements.
const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;

/// How a proxy treats the statements of its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Holds each statement back for [`HOLD`], or until the manner changes.
    Slow,
    /// Hands on a statement that does nothing in place of each `SET`.
    Forgetful,
    /// Puts a word in the place of another one of the same length.
    Garbling(&'static str, &'static str),
}

/// Passes connections on to a server, packet by packet.
struct Proxy {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    /// Statements that were held back or changed.
    touched: Arc<AtomicU64>,
    /// Connections that were begun: a flush begins one.
    connections: Arc<AtomicU64>,
}

impl Proxy {
    fn start(server: u16, manner: Manner) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (manner, touched, connections) = (Arc::new(Mutex::new(manner)), Arc::default(), Arc::default());
        let proxy = Proxy { port, manner, touched, connections };
        let (manner, touched) = (proxy.manner.clone(), proxy.touched.clone());
        let connections = proxy.connections.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else { continue };
                connections.fetch_add(1, Ordering::Relaxed);
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (mut from, mut to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let (manner, touched) = (manner.clone(), touched.clone());
                std::thread::spawn(move || {
                    // It ends with the connection.
                    let _ = pass_packets(&mut from, &mut to, &manner, &touched);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let (mut from, mut to) = (server, client);
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        });
        proxy
    }

    fn become_honest(&self) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = Manner::Honest;
    }

    /// Waits until a process has said something, and has tried more than once.
    fn wait_for_refusals(&self, process: &Running, words: &str) -> String {
        wait_for(words, Duration::from_secs(60), || {
            self.connections.load(Ordering::Relaxed) >= 4 && process.said().contains(words)
        });
        process.said()
    }

    fn touched(&self) -> u64 {
        self.touched.load(Ordering::Relaxed)
    }

    /// The configuration of [`CONFIG`] with this proxy in front of a database.
    fn site(&self, database: &str) -> Site {
        Site::with(&format!("{CONFIG}[sink]\nurl = \"mysql://{USER}:{PASSWORD}@127.0.0.1:{}/{database}\"\n", self.port))
    }
}

/// Passes on what a client sends: a length of three bytes, a number, and so many bytes.
fn pass_packets(
    from: &mut TcpStream,
    to: &mut TcpStream,
    manner: &Mutex<Manner>,
    touched: &AtomicU64,
) -> io::Result<()> {
    let manner = || *manner.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let mut packet = vec![0; 4];
        from.read_exact(&mut packet)?;
        let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]);
        packet.resize(4 + length as usize, 0);
        from.read_exact(&mut packet[4..])?;
        // A command has the number 0. What a client sends to log in answers the server, and has another one.
        let command = if packet[3] == 0 { packet.get(4).copied() } else { None };
        let is_changed = match (command, manner()) {
            (Some(COM_QUERY | COM_STMT_PREPARE | COM_STMT_EXECUTE), Manner::Slow) => {
                let begun = Instant::now();
                while begun.elapsed() < HOLD && manner() == Manner::Slow {
                    std::thread::sleep(Duration::from_millis(20));
                }
                true
            }
            (Some(COM_QUERY), Manner::Forgetful) if packet[5..].starts_with(b"SET ") => {
                let nothing = b"DO 0 -- ";
                packet[5..].fill(b'-');
                packet[5..5 + nothing.len()].copy_from_slice(nothing);
                true
            }
            (Some(COM_QUERY), Manner::Garbling(word, other)) => {
                assert_eq!(word.len(), other.len(), "a packet keeps its length");
                let places: Vec<usize> =
                    (5..packet.len()).filter(|at| packet[*at..].starts_with(word.as_bytes())).collect();
                places.iter().for_each(|at| packet[*at..at + other.len()].copy_from_slice(other.as_bytes()));
                !places.is_empty()
            }
            _ => false,
        };
        touched.fetch_add(u64::from(is_changed), Ordering::Relaxed);
        to.write_all(&packet)?;
    }
}

/// Makes a database that the ordinary user may use.
fn make(database: &Database, name: &str) {
    database.query(&format!("CREATE DATABASE `{name}`; GRANT ALL ON `{name}`.* TO '{USER}'@'%'"));
}

/// Points that a database holds; none if it has no table yet.
fn points_in(database: &Database, name: &str) -> u64 {
    let found = database.try_query(&format!("SELECT COALESCE(SUM(n), 0) FROM {name}.s_hourly"));
    found.map_or(0, |rows| rows[0][0].parse().expect("a number"))
}

/// A process with pipes that are read all the time.
struct Running {
    child: Child,
    /// Bytes that have come out of stdout.
    passed: Arc<AtomicUsize>,
    /// What it has said so far.
    said: Arc<Mutex<String>>,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<()>,
}

impl Running {
    fn start(site: &Site) -> Running {
        let mut child = site.start("state");
        let (passed, said) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let (mut out, mut err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let (count, text) = (passed.clone(), said.clone());
        let stdout = std::thread::spawn(move || {
            let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
            while let Ok(n @ 1..) = out.read(&mut buffer) {
                all.extend_from_slice(&buffer[..n]);
                count.store(all.len(), Ordering::Relaxed);
            }
            all
        });
        let stderr = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 12];
            while let Ok(n @ 1..) = err.read(&mut buffer) {
                let piece = String::from_utf8_lossy(&buffer[..n]);
                text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&piece);
            }
        });
        Running { child, passed, said, stdout, stderr }
    }

    fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a pipe")
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the input. Returns what came out, and what was said.
    fn end(mut self, input: ChildStdin) -> (Vec<u8>, String) {
        drop(input);
        assert!(self.child.wait().expect("it ends").success());
        self.stderr.join().expect("no panic");
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.stdout.join().expect("no panic"), said)
    }
}

/// How long the slow sink is fed, and how: so many lines every so often.
const FEED: Duration = Duration::from_secs(120);
const FEED_EVERY: Duration = Duration::from_millis(100);
const FEED_LINES: u64 = 200;

/// A piece of the feed: lines of 50 devices, 50 ms apart, over more than three hours. A text that nobody asks for makes them
/// long, so that the journal grows by a segment every few seconds.
fn feed_lines(piece: u64) -> String {
    let text = "x".repeat(360);
    let line = |n: u64| {
        let at = START.unsigned_abs() + n * 50_000_000;
        format!("m,host=h{} text=\"{text}\",v={} {at}\n", n % 50, n * 37 % 1000)
    };
    (piece * FEED_LINES..(piece + 1) * FEED_LINES).map(line).collect()
}

/// What is seen of a process from outside, once a second.
#[derive(Default)]
struct Seen {
    /// The times at which `status.json` was written, each with the moment at which it was seen first.
    versions: Vec<(String, Duration)>,
    /// Names of the oldest segment of the journal: each new one is the work of another checkpoint.
    oldest: BTreeSet<String>,
    /// Segments, and bytes of all files of the journal, when there were most.
    segments_max: usize,
    bytes_max: u64,
    /// Statuses that show a flush at work.
    flushing: usize,
}

impl Seen {
    fn look(&mut self, site: &Site, at: Duration) {
        if let Some(status) = site.status("state") {
            let written = status["written_at"].as_str().expect("a time").to_string();
            if self.versions.last().is_none_or(|(last, _)| *last != written) {
                self.versions.push((written, at));
                self.flushing += usize::from(!status["flush"]["running_since"].is_null());
            }
        }
        let Ok(folder) = std::fs::read_dir(site.path("state/journal")) else { return };
        let (mut segments, mut bytes) = (BTreeSet::new(), 0);
        for entry in folder {
            let entry = entry.expect("an entry");
            // It may have been renamed just now.
            bytes += entry.metadata().map_or(0, |file| file.len());
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".seg") {
                segments.insert(name);
            }
        }
        self.segments_max = self.segments_max.max(segments.len());
        self.bytes_max = self.bytes_max.max(bytes);
        self.oldest.extend(segments.into_iter().find(|name| !name.starts_with("guest-")));
    }

    /// The longest time without a new status, from the first one until the end.
    fn gap(&self, end: Duration) -> Duration {
        let times = self.versions.iter().map(|(_, at)| *at).chain([end]);
        let next = times.clone().skip(1);
        times.zip(next).map(|(from, until)| until.saturating_sub(from)).max().unwrap_or(end)
    }

    fn figures(&self, end: Duration) -> String {
        format!(
            "{} statuses, longest gap {:?}, {} with a flush at work; {} checkpoints at least; at most {} segments, {} KiB",
            self.versions.len(),
            self.gap(end),
            self.flushing,
            self.oldest.len(),
            self.segments_max,
            self.bytes_max >> 10
        )
    }
}

/// A sink that takes 5 s for each statement, for two minutes: lines pass, and `status.json`, checkpoints and the journal are
/// those of a process beside it whose sink is quick. When it is quick again, all rows are there.
#[test]
fn a_sink_that_is_slow_holds_up_nothing_but_rows() {
    let Some(database) = Database::start(Kind::MariaDb) else { return };
    let names = ["slow", "quick"];
    names.iter().for_each(|name| make(&database, name));
    let proxies = [Manner::Slow, Manner::Honest].map(|manner| Proxy::start(database.port(), manner));
    let sites = [0, 1].map(|i| proxies[i].site(names[i]));
    let mut processes = [0, 1].map(|i| Running::start(&sites[i]));
    let begun = Instant::now();
    let pieces = (FEED.as_millis() / FEED_EVERY.as_millis()) as u64;
    let feeds = [0, 1].map(|i| {
        let mut input = processes[i].input();
        std::thread::spawn(move || {
            for piece in 0..pieces {
                input.write_all(feed_lines(piece).as_bytes()).expect("it reads");
                let next = FEED_EVERY * (piece as u32 + 1);
                std::thread::sleep(next.saturating_sub(begun.elapsed()));
            }
            input
        })
    });
    let mut seen = [Seen::default(), Seen::default()];
    while !feeds.iter().all(JoinHandle::is_finished) {
        seen.iter_mut().zip(&sites).for_each(|(seen, site)| seen.look(site, begun.elapsed()));
        std::thread::sleep(Duration::from_secs(1));
    }
    let end = begun.elapsed();
    let inputs = feeds.map(|feed| feed.join().expect("a feed ends"));
    let all: String = (0..pieces).map(feed_lines).collect();
    // Neither the end of the input nor the sink is waited for.
    for process in &processes {
        wait_for("the lines", Duration::from_secs(30), || process.passed() == all.len());
    }
    let held = proxies[0].touched();
    let [slow, quick] = &seen;
    println!("after {end:?}, {} MiB fed, {held} statements held back", all.len() >> 20);
    println!("slow sink: {}", slow.figures(end));
    println!("quick sink: {}", quick.figures(end));

    assert!(held >= 15 && proxies[1].touched() == 0, "the proxy has held {held} statements back");
    assert!(slow.flushing >= 8, "{} statuses show a flush at work", slow.flushing);
    for seen in [slow, quick] {
        assert!(seen.versions.len() >= 10, "{} statuses", seen.versions.len());
        assert!(seen.gap(end) <= Duration::from_secs(30), "no status for {:?}", seen.gap(end));
        assert!(seen.oldest.len() >= 4, "{} checkpoints", seen.oldest.len());
    }
    assert!(slow.versions.len().abs_diff(quick.versions.len()) <= 2);
    assert!(slow.oldest.len() + 2 >= quick.oldest.len());
    assert!(slow.segments_max <= quick.segments_max + 1);
    assert!(slow.bytes_max <= quick.bytes_max + SEGMENT_BYTES_MAX);

    proxies[0].become_honest();
    for (process, input) in processes.into_iter().zip(inputs) {
        let (out, said) = process.end(input);
        assert!(out == all.as_bytes(), "stdout is not the input");
        assert!(!said.contains("E! "), "{said}");
    }
    let fed = pieces * FEED_LINES;
    let sum: u64 = (0..fed).map(|n| n * 37 % 1000).sum();
    for table in ["s_hourly", "s_daily"] {
        let rows = |name: &str| {
            database.query(&format!(
                "SELECT host, window_start, sum_v, max_v, n, samples FROM {name}.{table} ORDER BY host, window_start"
            ))
        };
        assert!(rows("slow") == rows("quick"), "{table}");
        let totals =
            database.value(&format!("SELECT CONCAT(SUM(n), ' ', CAST(SUM(sum_v) AS SIGNED)) FROM slow.{table}"));
        assert_eq!(totals, format!("{fed} {sum}"), "{table}");
    }
}

/// A proxy between whose sessions are not the client's: what `SET` has set is gone. Nothing is written then, `run` and `check`
/// say why, and the rows come when the session is kept.
fn a_session_that_is_not_kept(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    make(&database, "d");
    let proxy = Proxy::start(database.port(), Manner::Forgetful);
    let site = proxy.site("d");
    let mut process = Running::start(&site);
    let mut input = process.input();
    input.write_all(&lines(0..300)).expect("it reads");
    let said = proxy.wait_for_refusals(&process, "the session does not keep what SET has set");
    assert!(said.contains("the sink needs your help") && !said.contains("trying again soon"), "{said}");
    assert!(said.contains("a proxy in between shares sessions"), "{said}");
    let checked = site.tool("check", "state").output().expect("it runs");
    assert!(!checked.status.success() && all_said(&checked).contains("the session does not keep"), "{checked:?}");
    assert!(proxy.touched() >= 4, "the proxy has changed {} statements", proxy.touched());
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'd'";
    assert_eq!(database.value(tables), "0", "nothing was written");

    proxy.become_honest();
    wait_for("the rows", Duration::from_secs(60), || points_in(&database, "d") == 300);
    let (out, _) = process.end(input);
    assert!(out == lines(0..300), "stdout is not the input");
}

/// What no repetition mends is for a person to mend: a statement that the server does not understand, a key that is too long,
/// a collation that it does not have. Lines pass meanwhile, and where the cause goes away, the rows come.
fn statements_that_can_never_succeed(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let collation = if kind == Kind::MySql { ("0900_bin", "0800_bin") } else { ("nopad_bin", "nopod_bin") };
    let hopeless = [
        ("error 1064", "does not understand the statement", ("CREATE TABLE", "CREATE TABEL")),
        ("error 1071", "use fewer key tags", ("VARCHAR(191)", "VARCHAR(991)")),
        ("error 1273", "lacks the collation", collation),
    ];
    for (number, (code, advice, (word, other))) in hopeless.into_iter().enumerate() {
        let name = format!("d{number}");
        make(&database, &name);
        let proxy = Proxy::start(database.port(), Manner::Garbling(word, other));
        let site = proxy.site(&name);
        let mut process = Running::start(&site);
        let mut input = process.input();
        input.write_all(&lines(0..100)).expect("it reads");
        let said = proxy.wait_for_refusals(&process, code);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("E! ")).collect();
        assert!(!errors.is_empty(), "{said}");
        for error in errors {
            assert!(error.contains("the sink needs your help") && error.contains(advice), "{code}: {error}");
        }
        assert!(proxy.touched() >= 2, "the proxy has changed {} statements", proxy.touched());
        assert_eq!(points_in(&database, &name), 0);
        if code == "error 1273" {
            let checked = site.tool("check", "state").output().expect("the program starts");
            let said = all_said(&checked);
            assert!(!checked.status.success() && said.contains(advice) && said.contains("8.0.17 or newer"), "{said}");
        }
        proxy.become_honest();
        wait_for("the rows", Duration::from_secs(60), || points_in(&database, &name) == 100);
        let (out, _) = process.end(input);
        assert!(out == lines(0..100), "stdout is not the input");
    }
}

/// A proxy that lets fewer rows of an answer through than were asked for: they are asked for in pieces, and all rows are right.
/// Where not even two come back at once, nothing is written, and the log says why.
fn answers_that_are_cut(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    for (name, limit, is_enough) in [("seven", "LIMIT 0007", true), ("one", "LIMIT 0001", false)] {
        make(&database, name);
        let proxy = Proxy::start(database.port(), Manner::Garbling("LIMIT 8000", limit));
        let site = proxy.site(name);
        let mut process = Running::start(&site);
        let mut input = process.input();
        input.write_all(&lines(0..3_000)).expect("it reads");
        if !is_enough {
            let said = proxy.wait_for_refusals(&process, "was cut short after");
            assert!(said.contains("the sink needs your help") && said.contains("lift that limit"), "{said}");
            assert_eq!(points_in(&database, name), 0);
            proxy.become_honest();
        }
        wait_for("the rows", Duration::from_secs(60), || points_in(&database, name) == 3_000);
        let days = format!("SELECT COALESCE(SUM(n), 0) FROM {name}.s_daily");
        wait_for("the days", Duration::from_secs(60), || database.value(&days) == "3000");
        let (_, said) = process.end(input);
        let told = said.matches("W! ").count();
        assert!(!is_enough || (told == 1 && said.contains("an answer was cut short after 7 rows")), "{said}");
    }
}

#[test]
fn answers_that_a_proxy_cuts_on_mysql() {
    answers_that_are_cut(Kind::MySql);
}

#[test]
fn answers_that_a_proxy_cuts_on_mariadb() {
    answers_that_are_cut(Kind::MariaDb);
}

/// A password file that others can read is worth a warning by `run` and `check`; one for its owner, or a group, is not.
fn a_password_file_that_others_can_read(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    make(&database, "d");
    let secret = tempfile::tempdir().expect("a folder");
    let secret = (secret.path().join("password"), secret);
    std::fs::write(&secret.0, PASSWORD).expect("writable");
    let url = format!("mysql://{USER}@127.0.0.1:{}/d", database.port());
    let site = Site::with(&format!("{CONFIG}[sink]\nurl = {url:?}\npassword_file = {:?}\n", secret.0));
    for (round, (mode, is_warned)) in
        [(0o644, true), (0o600, false), (0o640, false), (0o604, true)].into_iter().enumerate()
    {
        std::fs::set_permissions(&secret.0, std::fs::Permissions::from_mode(mode)).expect("changed");
        let warning = format!("other users can read the password file {}: run `chmod 640", secret.0.display());
        let found = warning.split_once(": ").expect("a remedy").0.to_string();
        let output = site.run("state", &lines(round as i64 * 10..(round as i64 + 1) * 10));
        assert_eq!(log(&output).matches(&warning).count(), usize::from(is_warned), "{mode:o}: {}", log(&output));
        assert!(!log(&output).contains("E! "), "{}", log(&output));
        let checked = site.tool("check", "state").output().expect("it runs");
        let said = String::from_utf8_lossy(&checked.stdout);
        assert_eq!(checked.status.code(), Some(i32::from(is_warned)), "{mode:o}: {said}");
        assert!(
            said.contains(&found) == is_warned && said.contains("-> run `chmod 640") == is_warned,
            "{mode:o}: {said}"
        );
    }
    assert_eq!(points_in(&database, "d"), 40, "a warning is no refusal");
}

#[test]
fn a_session_that_mysql_does_not_keep() {
    a_session_that_is_not_kept(Kind::MySql);
}

#[test]
fn a_session_that_mariadb_does_not_keep() {
    a_session_that_is_not_kept(Kind::MariaDb);
}

#[test]
fn statements_that_can_never_succeed_on_mysql() {
    statements_that_can_never_succeed(Kind::MySql);
}

#[test]
fn statements_that_can_never_succeed_on_mariadb() {
    statements_that_can_never_succeed(Kind::MariaDb);
}

#[test]
fn a_password_file_that_others_can_read_is_named() {
    a_password_file_that_others_can_read(Kind::MariaDb);
}
