//! Nothing lost, nothing twice: kills, restarts, hand-overs, copies of the state, disks that are full.
#![cfg(unix)]

#[path = "oracle/mod.rs"]
mod oracle;
mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::site::{CONFIG, START, Site, copy, lines, log, wait_for};
use support::{feed, program, same_csv};

/// The rows must be those of these lines.
fn holds(site: &Site, lines: &[u8]) {
    let rows = oracle::rollup(CONFIG, lines, &oracle::Options { now_ns: None, ..Default::default() });
    same_csv(&site.rows(), &oracle::to_csv(CONFIG, &rows)).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_restart_goes_on_where_the_last_process_ended() {
    let site = Site::new();
    for part in 0..5 {
        site.run("state", &lines(part * 500..(part + 1) * 500));
    }
    holds(&site, &lines(0..2500));
    assert_eq!(site.value("SELECT MAX(writers) FROM s_daily"), 1, "one state is one writer");
    assert_eq!(site.value("SELECT SUM(revision) - SUM(samples) FROM s_hourly"), 0);
}

#[test]
fn lines_that_are_sent_again_after_a_restart_count_once() {
    let site = Site::new();
    site.run("state", &lines(0..600));
    site.run("state", &lines(0..900));
    site.run("state", &lines(300..900));
    holds(&site, &lines(0..900));
}

#[test]
fn a_late_line_finds_the_window_that_has_left_memory() {
    let site = Site::new();
    let early = lines((0..2000).filter(|n| n % 3 != 0));
    let late = lines((0..2000).filter(|n| n % 3 == 0));
    site.run("state", &early);
    // All windows are final, written and saved by now: the next process starts without them.
    site.run("state", &late);
    holds(&site, &[early, late].concat());
    assert_eq!(site.value("SELECT MIN(is_final) FROM s_hourly"), 1);
}

#[test]
fn a_changed_configuration_keeps_what_it_does_not_know() {
    let site = Site::new();
    site.run("state", &lines(0..300));
    let (head, tail) = CONFIG.split_once("  [[summary.column]]\n  name = \"max_v\"").expect("a column");
    let without = format!("{head}{}", &tail[tail.find("  [[summary.column]]").expect("the next column")..]);
    let path = site.configure("state");
    let text = std::fs::read_to_string(&path).expect("readable").replace(CONFIG, &without);
    std::fs::write(&path, text).expect("writable");
    let mut command = program();
    command.args(["run", "--config"]).arg(&path);
    feed(&mut command, &lines(300..340));
    site.run("state", &lines(340..600));
    // The lines in between did not count for the column that was gone; the others still do.
    assert_eq!(site.value("SELECT SUM(samples) FROM s_hourly"), 600);
    let expected = (0..600).filter(|n| !(300..340).contains(n)).map(|n| n * 37 % 1000).max().expect("a value");
    assert_eq!(site.value("SELECT CAST(MAX(max_v) AS INTEGER) FROM s_daily"), expected);
}

#[test]
fn a_changed_key_is_named() {
    let site = Site::new();
    site.run("state", &lines(0..300));
    let path = site.configure("state");
    let text = std::fs::read_to_string(&path).expect("readable").replace("[\"host\"]", "[\"site\", \"host\"]");
    std::fs::write(&path, text).expect("writable");
    let mut command = program();
    command.args(["run", "--config"]).arg(&path);
    let output = feed(&mut command, b"m,site=a,host=b v=1 1700000000000000000\n");
    assert!(log(&output).contains("the key of the summary was changed"), "{}", log(&output));
    // The rows of the old key are as they were, and go on with it.
    site.run("state", &lines(300..400));
    holds(&site, &lines(0..400));
}

/// A summary file that cannot be read is set aside by name, and a new one gets everything that the state holds.
#[test]
fn a_broken_summary_file_is_set_aside_and_made_anew() {
    let site = Site::new();
    site.run("state", &lines(0..1500));
    let path = site.path("sink.db");
    let whole = std::fs::read(&path).expect("a file");
    assert!(whole.len() > 20_000, "{} bytes", whole.len());
    // A header that makes no sense behind the 16 bytes that say SQLite; and one that shows it only behind its first page.
    for (number, from) in [(1, 16), (2, 4096)] {
        let mut broken = whole.clone();
        broken[from..].fill(0x5a);
        std::fs::write(&path, &broken).expect("writable");
        let next = 1500 + (number - 1) * 100;
        let output = site.run("state", &lines(next..next + 100));
        let aside = site.path(&format!("sink.db.set-aside-{number}"));
        assert!(log(&output).contains("sink.db.set-aside-"), "{}", log(&output));
        // Its header may say that it has a log: that is noted before the first page is read.
        let kept = std::fs::read(&aside).expect("the file that was set aside");
        assert!(kept.len() == broken.len() && kept[100..] == broken[100..]);
        holds(&site, &lines(0..next + 100));
    }
}

/// A device that names its zone in a tag, and moves.
#[test]
fn a_device_changes_its_zone_between_two_processes() {
    let site = Site::new();
    let path = site.configure("state");
    let text = std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, text.replace("key = [\"host\"]", "key = [\"host\"]\ntimezone_tag = \"tz\""))
        .expect("writable");
    let run = |numbers: std::ops::Range<i64>, zone: &str| {
        let line = |n: i64| format!("m,host=h,tz={zone} v=1 {}\n", START + n * 300_000_000_000);
        let mut command = program();
        command.args(["run", "--config"]).arg(&path);
        assert!(feed(&mut command, numbers.map(line).collect::<String>().as_bytes()).status.success());
    };
    run(0..100, "Europe/Berlin");
    run(100..130, "Asia/Kathmandu");
    run(130..200, "Asia/Kathmandu");
    run(200..300, "Mars/Olympus");
    assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 300);
    assert_eq!(site.value("SELECT SUM(n) FROM s_daily"), 300);
    assert_eq!(site.value("SELECT COUNT(DISTINCT zone) FROM s_hourly"), 2);
    // Windows do not overlap: a quarter past in the new zone, the first of them shorter.
    assert_eq!(site.value("SELECT COUNT(*) FROM s_hourly WHERE zone LIKE 'Asia%' AND window_start LIKE '%:15:00'"), 16);
    assert_eq!(site.value("SELECT MAX(n) FROM s_hourly"), 12);
}

/// An hour shows the clock of the zone that has cut it: neither a late point of another zone nor another `timezone` moves it,
/// in whichever process it is written again.
#[test]
fn old_hours_keep_their_clock() {
    let site = Site::new();
    let path = site.configure("state");
    let text = std::fs::read_to_string(&path).expect("readable");
    let with = |zone: &str| {
        let key = "key = [\"host\"]\ntimezone_tag = \"tz\"";
        let text = text.replace("key = [\"host\"]", key);
        std::fs::write(&path, format!("timezone = \"{zone}\"\n{text}")).expect("writable");
    };
    // 2024-03-05T10:30:00Z
    let at = |minutes: i64| (1_709_634_600 + 60 * minutes) * 1_000_000_000;
    let run = |lines: &[String]| {
        let mut command = program();
        command.args(["run", "--config"]).arg(&path);
        assert!(feed(&mut command, lines.concat().as_bytes()).status.success());
    };
    let berlin = |minutes: i64| format!("m,host=a,tz=Europe/Berlin v=1 {}\n", at(minutes));
    let seoul = |minutes: i64| format!("m,host=a,tz=Asia/Seoul v=1 {}\n", at(minutes));
    let plain = |minutes: i64| format!("m,host=b v=1 {}\n", at(minutes));
    let clock = |host: &str, hour: i64| {
        let start = format!("2024-03-05 {hour:02}:00:00");
        let sql =
            format!("SELECT substr(datetime, 12, 2) FROM s_hourly WHERE host = '{host}' AND window_start = '{start}'");
        site.value(&format!("SELECT CAST(({sql}) AS INTEGER)"))
    };
    with("America/New_York");
    run(&[berlin(0), plain(0)]);
    run(&[seoul(240), plain(240)]);
    // Each of a process of its own, by stored state.
    run(&[seoul(1)]);
    run(&[seoul(2), berlin(239)]);
    with("Asia/Tokyo");
    run(&[seoul(3), plain(3), plain(243), plain(300)]);
    assert_eq!((clock("a", 10), clock("a", 14)), (11, 23));
    assert_eq!((clock("b", 10), clock("b", 14), clock("b", 15)), (5, 9, 0));
    assert_eq!(site.value("SELECT n FROM s_hourly WHERE host = 'a' AND window_start LIKE '%10:00:00'"), 4);
    // The day of b began in New York, and is still that of the 5th.
    assert_eq!(site.value("SELECT COUNT(*) FROM s_daily WHERE host = 'b' AND date = '2024-03-05' AND n = 5"), 1);
    // A late point tells where the device was: what names no zone goes where it is.
    run(&[format!("m,host=a v=1 {}\n", at(360))]);
    assert_eq!(clock("a", 16), 1);
}

/// What a late value is compared with is found, however many hours have come since, and after a restart.
#[test]
fn a_late_hour_is_judged_after_a_restart_too() {
    let mut found = Vec::new();
    for pieces in [1, 2] {
        let site = Site::with(
            "timezone = \"UTC\"\n[lateness]\nmax = \"36500d\"\n[missing]\nhorizon = \"0s\"\n[[summary]]\nname = \"s\"\n\
             key = [\"host\"]\n[[summary.column]]\nname = \"v\"\nmethod = \"avg\"\n\
             sources = [{ measurement = \"m\", field = \"v\" }]\n[[summary.column]]\nname = \"odd\"\n\
             method = \"anomalies\"\nrules = [\"far\"]\n[[anomaly]]\nname = \"far\"\ncolumn = \"v\"\nzscore = 3.0\nbaseline = 1\n",
        );
        let line = |hour: i64, minute: i64, v: i64| {
            format!("m,host=a v={v} {}\n", START + (hour * 60 + minute) * 60_000_000_000)
        };
        let hours = (2..60).flat_map(|hour| [line(hour, 0, 9 + hour), line(hour, 1, 11 + hour)]);
        let early = [line(0, 0, 9), line(0, 1, 11)].into_iter().chain(hours).collect::<String>();
        // 100 is far from hour 0, also as the first point of its series; 32 is not far from hour 31, and would be from hour 0.
        let late = [line(1, 0, 100), line(1, 2, 100).replace("host=a", "host=a,of=new"), line(32, 2, 32)].concat();
        match pieces {
            1 => drop(site.run("state", [early, late].concat().as_bytes())),
            _ => {
                site.run("state", early.as_bytes());
                site.run("state", late.as_bytes());
            }
        }
        found.push((
            site.value("SELECT SUM(odd) FROM s_hourly"),
            site.value("SELECT MAX(odd) FROM s_hourly WHERE v = 100"),
        ));
    }
    assert_eq!(found[0].1, 2, "one process flags both");
    assert_eq!(found[0], found[1]);
}

/// What a clone and its original write adds up: each counts what it has seen, and what they have in common once.
/// The day that has begun in the old zone keeps its date, wherever the device is when its row is written again.
#[test]
fn a_device_moves_west_and_its_day_keeps_its_date() {
    let site = Site::new();
    let path = site.configure("state");
    let text = std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, text.replace("key = [\"host\"]", "key = [\"host\"]\ntimezone_tag = \"tz\""))
        .expect("writable");
    // Midnight in Berlin, 2023-11-14T23:00:00Z.
    let midnight = 1_700_002_800_000_000_000;
    let hour = 3_600_000_000_000;
    let run = |hours: std::ops::Range<i64>, zone: &str| {
        let line = |n: i64| format!("m,host=h,tz={zone} v=1 {}\n", midnight + n * hour + 1);
        let mut command = program();
        command.args(["run", "--config"]).arg(&path);
        assert!(feed(&mut command, hours.map(line).collect::<String>().as_bytes()).status.success());
    };
    run(0..9, "Europe/Berlin");
    run(9..14, "America/New_York");
    run(14..60, "America/New_York");
    assert_eq!(site.value("SELECT SUM(n) FROM s_daily"), 60);
    assert_eq!(site.value("SELECT n FROM s_daily WHERE date = '2023-11-15' AND zone = 'Europe/Berlin'"), 24);
    // It ends before the same date ends in the new zone; what is left of that is a row of its own.
    for (date, n) in [("2023-11-15", 6), ("2023-11-16", 24), ("2023-11-17", 6)] {
        let sql = format!("SELECT n FROM s_daily WHERE date = '{date}' AND zone = 'America/New_York'");
        assert_eq!(site.value(&sql), n, "{date}");
    }
    assert_eq!(site.value("SELECT COUNT(*) FROM s_daily"), 4);
}

#[test]
fn a_cloned_state_counts_nothing_twice() {
    let site = Site::new();
    site.run("state", &lines(0..301));
    copy(&site.path("state"), &site.path("clone"));
    site.run("state", &lines((301..700).filter(|n| n % 3 == 0)));
    site.run("clone", &lines((301..700).filter(|n| n % 3 != 0)));
    holds(&site, &lines(0..700));
    // Both go on, each with parts of its own.
    site.run("state", &lines((700..1000).filter(|n| n % 3 == 0)));
    site.run("clone", &lines((700..1000).filter(|n| n % 3 != 0)));
    holds(&site, &lines(0..1000));
}

#[test]
fn a_state_that_was_restored_from_a_backup_goes_on() {
    let site = Site::new();
    site.run("state", &lines(0..200));
    copy(&site.path("state"), &site.path("backup"));
    site.run("state", &lines(200..321));
    std::fs::remove_dir_all(site.path("state")).expect("removable");
    copy(&site.path("backup"), &site.path("state"));
    site.run("state", &lines(321..500));
    site.run("state", &lines(500..800));
    holds(&site, &lines(0..800));
}

#[test]
fn a_state_of_a_newer_version_is_set_aside() {
    let site = Site::new();
    site.run("state", &lines(0..100));
    rusqlite::Connection::open(site.path("state/state.db"))
        .expect("it")
        .pragma_update(None, "user_version", 99)
        .expect("set");
    let output = site.run("state", &lines(100..200));
    assert!(log(&output).contains("it is of version 99"), "{}", log(&output));
    let names: Vec<String> = std::fs::read_dir(site.path("state"))
        .expect("the folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|n| n.starts_with("state.db.set-aside-")), "{names:?}");
    // A new name among the writers: the sum of both is right.
    holds(&site, &lines(0..200));
    for name in ["state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(site.path("state").join(name));
    }
    std::fs::write(site.path("state/state.db"), "this is not a database\n".repeat(500)).expect("writable");
    let output = site.run("state", &lines(200..300));
    assert!(log(&output).contains("it cannot be read"), "{}", log(&output));
    holds(&site, &lines(0..300));
}

struct Live {
    child: Child,
    reader: Option<std::thread::JoinHandle<Vec<u8>>>,
}

impl Live {
    fn start(site: &Site, state: &str) -> Live {
        let mut child = site.command(state).spawn().expect("it starts");
        let mut stdout = child.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut out = Vec::new();
            stdout.read_to_end(&mut out).expect("readable");
            out
        });
        Live { child, reader: Some(reader) }
    }

    fn send(&mut self, lines: &[u8]) {
        self.child.stdin.as_mut().expect("a pipe").write_all(lines).expect("a reader");
    }

    fn end(mut self) -> (Vec<u8>, String) {
        drop(self.child.stdin.take());
        let mut log = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("text");
        assert!(self.child.wait().expect("it ends").success());
        (self.reader.take().expect("once").join().expect("no panic"), log)
    }
}

#[test]
fn a_second_process_takes_over_when_the_first_leaves() {
    let site = Site::new();
    let mut first = Live::start(&site, "state");
    first.send(&lines(0..100));
    wait_for("the first rows", Duration::from_secs(20), || {
        site.path("sink.db").exists() && site.path("state/state.db").exists()
    });
    let mut second = Live::start(&site, "state");
    second.send(&lines(100..200));
    std::thread::sleep(Duration::from_millis(1500));
    second.send(&lines(200..300));
    assert!(std::fs::read_dir(site.path("state/journal")).expect("a folder").count() >= 2, "it journals as a guest");
    let (out, _) = first.end();
    assert!(out == lines(0..100));
    wait_for("the hand-over", Duration::from_secs(10), || {
        site.value("SELECT COALESCE(SUM(samples), 0) FROM s_hourly") == 300
    });
    second.send(&lines(300..400));
    let (out, log) = second.end();
    assert!(out == lines(100..400));
    assert!(!log.contains("W! "), "{log}");
    holds(&site, &lines(0..400));
    assert_eq!(site.value("SELECT MAX(writers) FROM s_daily"), 1);
}

#[test]
fn a_guest_that_ends_leaves_its_lines_to_the_next_owner() {
    let site = Site::new();
    let mut first = Live::start(&site, "state");
    first.send(&lines(0..100));
    wait_for("the owner", Duration::from_secs(20), || site.path("state/state.db").exists());
    site.run("state", &lines(100..200));
    first.send(&lines(200..300));
    first.end();
    site.run("state", &lines(300..400));
    holds(&site, &lines(0..400));
}

#[test]
fn a_second_process_becomes_a_plain_pipe() {
    let site = Site::new();
    let mut first = Live::start(&site, "state");
    first.send(&lines(0..100));
    wait_for("the owner", Duration::from_secs(20), || site.path("state/state.db").exists());
    let mut second = Live::start(&site, "state");
    second.send(&lines(100..200));
    // Its file is there until it gives up, after 15 s.
    let guests = || {
        let names = std::fs::read_dir(site.path("state/journal")).expect("a folder");
        names.filter(|e| e.as_ref().expect("an entry").file_name().to_string_lossy().starts_with("guest-")).count()
    };
    wait_for("its file", Duration::from_secs(10), || guests() > 0);
    wait_for("it to give up", Duration::from_secs(30), || guests() == 0);
    second.send(&lines(200..300));
    let (out, log) = second.end();
    assert!(out == lines(100..300), "a plain pipe passes everything");
    assert!(log.contains("W! ") && log.contains("give every Telegraf a state_dir of its own"), "{log}");
    first.end();
    holds(&site, &lines(0..100));
}

#[test]
fn what_a_process_left_over_is_written_by_the_next_without_a_line() {
    let site = Site::new();
    let mut first = Live::start(&site, "state");
    first.send(&lines(0..100));
    wait_for("the owner", Duration::from_secs(20), || site.path("state/state.db").exists());
    first.child.kill().expect("it lives");
    first.child.wait().expect("it ends");
    let second = Live::start(&site, "state");
    wait_for("the rows", Duration::from_secs(50), || {
        let made = "SELECT COUNT(*) FROM sqlite_master WHERE name = 's_hourly'";
        let rows = "SELECT COALESCE(SUM(samples), 0) FROM s_hourly";
        site.path("sink.db").exists() && site.value(made) == 1 && site.value(rows) == 100
    });
    second.end();
    holds(&site, &lines(0..100));
}

/// A kill before the first checkpoint: the next process is the same writer to the sink.
#[test]
fn a_state_keeps_its_name_from_its_first_row_on() {
    let site = Site::new();
    let mut first = Live::start(&site, "state");
    first.send(&lines(0..100));
    wait_for("the first rows", Duration::from_secs(50), || {
        site.path("sink.db").exists() && site.value("SELECT COUNT(*) FROM sqlite_master WHERE name = 's_daily'") == 1
    });
    wait_for("the first rows", Duration::from_secs(50), || site.value("SELECT COUNT(*) FROM s_daily") > 0);
    first.child.kill().expect("it lives");
    first.child.wait().expect("it ends");
    site.run("state", &lines(100..120));
    holds(&site, &lines(0..120));
    assert_eq!(site.value("SELECT MAX(writers) FROM s_daily"), 1, "one state is one writer");
}

/// A process that is cut off in its last flush has not saved its state: the next one finds everything in the journal.
#[test]
fn a_last_flush_that_hangs_takes_nothing_with_it() {
    // A listener that accepts and says nothing: a connection attempt hangs.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("url = \"mysql://u:p@{}/d\"", listener.local_addr().expect("an address"));
    let site = Site::new();
    site.run("state", &lines(0..10));
    let path = site.configure("state");
    let text = std::fs::read_to_string(&path).expect("readable");
    let sink = text.lines().find(|line| line.starts_with("url = ")).expect("a sink");
    std::fs::write(&path, text.replace(sink, &url)).expect("writable");
    let mut command = program();
    command.args(["run", "--config"]).arg(&path);
    let output = feed(&mut command, &lines(10..2_000));
    assert!(log(&output).contains("the last flush was not done in time"), "{}", log(&output));
    site.run("state", &lines(2_000..2_010));
    holds(&site, &lines(0..2_010));
    assert_eq!(site.value("SELECT MAX(writers) FROM s_daily"), 1);
}

#[test]
fn another_user_s_directory_is_not_touched() {
    use std::os::unix::fs::chown;
    let site = Site::new();
    std::fs::create_dir(site.path("state")).expect("a folder");
    if chown(site.path("state"), Some(12_345), None).is_err() {
        // Only root can give a folder away, and only root is dangerous here.
        eprintln!("SKIPPED: another_user_s_directory_is_not_touched: needs root");
        return;
    }
    let output = site.run("state", &lines(0..100));
    assert!(log(&output).contains("belongs to another user"), "{}", log(&output));
    assert_eq!(std::fs::read_dir(site.path("state")).expect("a folder").count(), 0);
}

/// 100,000 devices and 64 MB of journal: the stream does not wait for the recovery.
#[test]
fn a_large_state_does_not_hold_the_stream() {
    use std::sync::Arc;
    use telegraf_rollup::durable::disk::{Disk, Folder};
    use telegraf_rollup::durable::journal::entries::Encoder;
    use telegraf_rollup::durable::journal::read;
    use telegraf_rollup::durable::journal::write::Journal;
    use telegraf_rollup::engine::ids::HeadNumber;
    const DEVICES: i64 = 100_000;
    const JOURNAL_BYTES: u64 = 64 << 20;
    let site = Site::new();
    let all: String = (0..DEVICES).map(|n| format!("m,host=h{n} v=1 {}\n", START + n)).collect();
    site.run("state", all.as_bytes());
    // What a process has journaled that was killed before it saved.
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(site.path("state/journal")));
    let from = read::read(&*disk, 0, |_| ()).expect("readable").position;
    let mut journal = Journal::new(disk, from);
    let mut encoder = Encoder::new(7);
    encoder.go_on_at(from);
    let mut number = 0_i64;
    while encoder.position() - from < JOURNAL_BYTES {
        for _ in 0..1000 {
            let head = format!("m,host=h{}", number % DEVICES);
            let line = format!("{head} v=1 {}\n", START + 1_000_000_000 + number);
            encoder.line((HeadNumber((number % DEVICES) as u32), head.len()), line.as_bytes());
            number += 1;
        }
        journal.append(&mut encoder.take(START).expect("lines")).expect("written");
    }
    let mut command = site.command("state");
    let began = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let (mut stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let over = is_over.clone();
    let recovered = std::thread::spawn(move || {
        let (mut all, mut at) = (String::new(), None);
        while log.read_line(&mut all).expect("UTF-8") > 0 {
            if at.is_none() && all.contains("recovered") {
                at = Some(began.elapsed());
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        (all, at.expect("it says so"))
    });
    let mut stdout = BufReader::new(stdout);
    let (mut sent, mut first, mut longest) = (0_i64, None, Duration::ZERO);
    let mut line = String::new();
    // One line at a time, each of which must come back; some of them after the recovery, however long that takes.
    while !is_over.load(std::sync::atomic::Ordering::Relaxed) || sent < 1_000 {
        let now = Instant::now();
        writeln!(stdin, "m,host=h{} v=1 {}", sent % DEVICES, START + 9_000_000_000 + sent).expect("it reads");
        line.clear();
        stdout.read_line(&mut line).expect("UTF-8");
        longest = longest.max(now.elapsed());
        first = first.or_else(|| Some(began.elapsed()));
        sent += 1;
    }
    drop(stdin);
    child.wait().expect("it ends");
    let (log, recovered) = recovered.join().expect("no panic");
    let first = first.expect("a line");
    println!("first line after {first:?}, recovered after {recovered:?}, longest wait for a line {longest:?}: {log}");
    assert!(first < recovered, "the stream waited for the recovery: {first:?}, {recovered:?}");
    assert!(longest < recovered / 2 + Duration::from_millis(300), "{longest:?} of {recovered:?}");
    // The rest is written by the next one, if the first had no time for it.
    let mut next = Live::start(&site, "state");
    next.send(format!("m,host=h0 v=1 {}\n", START + 99_000_000_000).as_bytes());
    let wanted = DEVICES + number + sent + 1;
    wait_for("all rows", Duration::from_secs(120), || {
        let found = site.value("SELECT SUM(n) FROM s_hourly");
        assert!(found <= wanted, "{found} points are counted, {wanted} were sent");
        found == wanted
    });
    next.end();
}

/// 200 kills under a steady stream: what the reader got is in the rows, nothing is counted twice, no line is torn.
#[test]
fn two_hundred_kills() {
    const KILLS: u64 = 200;
    let site = Site::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut number = 0_u64;
    let mut received: HashSet<u64> = HashSet::new();
    let mut longest_batch = 0;
    for round in 0..=KILLS {
        let mut child = site.command("state").stderr(Stdio::null()).spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let stdout = child.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut numbers = Vec::new();
            let mut torn = false;
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            while reader.read_line(&mut line).expect("UTF-8") > 0 {
                torn |= !line.ends_with('\n');
                numbers.push(line[8..line.find(' ').expect("a blank")].parse::<u64>().expect("a number"));
                line.clear();
            }
            (numbers, torn)
        });
        let first = number;
        let (chunk, life) = (1 + random(20), random(70));
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(life) {
            let mut text = String::new();
            for _ in 0..chunk {
                // Every line is a device of its own. A line without a timestamp is never a duplicate: counting it twice shows.
                let stamp =
                    if number.is_multiple_of(2) { String::new() } else { format!(" {}", START + number as i64) };
                text += &format!("m,host=h{number} v=1{stamp}\n");
                number += 1;
            }
            if stdin.write_all(text.as_bytes()).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_micros(random(3000)));
        }
        if round < KILLS {
            child.kill().expect("it lives");
        } else {
            // The last process lives until it has written everything.
            let sink = site.path("sink.db");
            let rows = || {
                let database = rusqlite::Connection::open(&sink).expect("the sink");
                database.query_row("SELECT COUNT(*) FROM s_daily", [], |row| row.get::<_, i64>(0)).unwrap_or(0)
            };
            wait_for("the rows", Duration::from_secs(120), || rows() >= received.len() as i64);
        }
        drop(stdin);
        child.wait().expect("it ends");
        let (numbers, torn) = reader.join().expect("no panic");
        assert!(!torn, "round {round}: a torn line at the reader");
        assert!(numbers.windows(2).all(|w| w[0] < w[1]) && numbers.first().is_none_or(|n| *n >= first), "in order");
        longest_batch = longest_batch.max(number - first);
        received.extend(numbers);
    }
    let database = rusqlite::Connection::open(site.path("sink.db")).expect("the sink");
    let mut statement = database.prepare("SELECT host, SUM(n), COUNT(*) FROM s_hourly GROUP BY host").expect("a query");
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    let mut counted = HashSet::new();
    for row in rows.expect("rows") {
        let (host, n, windows) = row.expect("a row");
        let number: u64 = host[1..].parse().expect("a number");
        assert_eq!((n, windows), (1, 1), "line {number} is counted {n} times");
        counted.insert(number);
    }
    let lost: Vec<_> = received.difference(&counted).collect();
    assert!(lost.is_empty(), "{} of {} forwarded lines are not counted: {lost:?}", lost.len(), received.len());
    let excess = counted.difference(&received).count() as u64;
    eprintln!(
        "{number} lines sent, {} forwarded, {} counted, {excess} more than forwarded",
        received.len(),
        counted.len()
    );
    // A batch is at most 256 KiB; the shortest line of this test has 12 bytes.
    assert!(excess <= KILLS * (256 * 1024 / 12), "{excess} lines are counted that nobody got");
    assert!(received.len() > 10_000, "the test has run too little to mean anything");
}
