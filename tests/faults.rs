//! What must not happen and does: an action that panics, threads that cannot be had, a line that cannot be folded, stored state
//! that is broken, a file that is not ours. The program goes on, says what it has done, and counts what it can.
#![cfg(unix)]

#[path = "oracle/mod.rs"]
mod oracle;
mod support;

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Child;
use std::time::Duration;
use support::site::{CONFIG, START, Site, lines, log, wait_for};
use support::{all_said, same_csv};

fn holds(site: &Site, lines: &[u8]) {
    let rows = oracle::rollup(CONFIG, lines, &oracle::Options { now_ns: None, ..Default::default() });
    same_csv(&site.rows(), &oracle::to_csv(CONFIG, &rows)).unwrap_or_else(|e| panic!("{e}"));
}

/// Sends lines to a process that runs, and reads them back.
fn pass(child: &mut Child, lines: &[u8]) {
    child.stdin.as_mut().expect("a pipe").write_all(lines).expect("it reads");
    let mut back = vec![0; lines.len()];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut back).expect("it writes");
    assert!(back == lines, "stdout is not the input");
}

fn end(mut child: Child) -> String {
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    log(&output)
}

/// Whichever action of the keeper panics: the lines pass, and no point is lost or counted twice, by this process or the next.
#[test]
fn an_action_that_panics_loses_nothing() {
    for action in
        ["Enter", "Claim", "Own", "Checkpoint", "SaveForTheEnd", "Flush", "WriteStatus", "StartFlusher", "MakeTables"]
    {
        let site = Site::new();
        site.run("state", &lines(0..100));
        let fault = format!("{action}:1");
        let output = site.run_with("state", &lines(100..200), &[("TELEGRAF_ROLLUP_FAULT_ACTION", &fault)]);
        assert!(log(&output).contains("internal error"), "{action}: {}", log(&output));
        site.run("state", &lines(200..300));
        // What came while nothing was ready to count it is the one thing that may be missing.
        match action {
            "Enter" => assert!(site.value("SELECT SUM(n) FROM s_hourly") >= 200, "{action}"),
            _ => holds(&site, &lines(0..300)),
        }
    }
}

/// A keeper that panics while it claims takes over later, and its journal is whole: a kill loses nothing.
#[test]
fn a_keeper_that_has_panicked_takes_over_all_the_same() {
    for action in ["Claim:1", "Own:1", "Checkpoint:1"] {
        let site = Site::new();
        let mut child = site.command("state").env("TELEGRAF_ROLLUP_FAULT_ACTION", action).spawn().expect("it starts");
        pass(&mut child, &lines(0..100));
        wait_for("the first status", Duration::from_secs(40), || site.has_owner("state"));
        pass(&mut child, &lines(100..200));
        wait_for("rows", Duration::from_secs(40), || {
            site.path("sink.db").exists() && site.value("SELECT COALESCE(SUM(n), 0) FROM s_hourly") == 200
        });
        pass(&mut child, &lines(200..250));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        site.run("state", &lines(250..300));
        holds(&site, &lines(0..300));
        assert_eq!(site.value("SELECT MAX(writers) FROM s_daily"), 1, "{action}");
    }
}

/// A limit on processes: whichever thread cannot be had, the lines pass and are counted.
#[test]
fn threads_that_cannot_be_had_cost_no_line() {
    for thread in ["keeper", "stream 1", "stream 2", "sync journal", "tidy journal", "log", "drain"] {
        let site = Site::new();
        let fault = format!("{thread}:1");
        let output = site.run_with("state", &lines(0..200), &[("TELEGRAF_ROLLUP_FAULT_THREAD", &fault)]);
        site.run("state", &lines(200..300));
        holds(&site, &lines(0..300));
        let is_silent = matches!(thread, "log" | "drain" | "tidy journal");
        assert!(is_silent || log(&output).contains("no thread can be started"), "{thread}: {}", log(&output));
    }
    // The flusher's rows come when it can be started.
    let site = Site::new();
    let mut child = site.command("state").env("TELEGRAF_ROLLUP_FAULT_THREAD", "flusher:1").spawn().expect("it starts");
    pass(&mut child, &lines(0..200));
    wait_for("rows", Duration::from_secs(40), || {
        site.path("sink.db").exists()
            && site.value("SELECT COUNT(*) FROM sqlite_master WHERE name = 's_hourly'") == 1
            && site.value("SELECT COALESCE(SUM(n), 0) FROM s_hourly") == 200
    });
    let log = end(child);
    assert!(log.contains("no thread can be started"), "{log}");
    holds(&site, &lines(0..200));
}

/// A line on which folding panics is in the journal: recovery leaves it out and names it, as often as it is tried.
#[test]
fn a_line_that_cannot_be_folded_does_not_keep_the_state_from_being_recovered() {
    let site = Site::new();
    let poison = format!("m,host=poison v=1 {START}\n");
    let all = [lines(0..50), poison.clone().into_bytes(), lines(50..100)].concat();
    // A process that takes it and is killed before it saves.
    let mut child = site.start("state");
    pass(&mut child, &all);
    std::thread::sleep(Duration::from_millis(300));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let fault = [("TELEGRAF_ROLLUP_FAULT_PANIC", "poison")];
    let output = site.run_with("state", &lines(100..150), &fault);
    assert!(log(&output).contains("cannot be folded and is left out: m,host=poison v=1"), "{}", log(&output));
    let output = site.run_with("state", &lines(150..200), &fault);
    assert!(!log(&output).contains("poison"), "it is behind us: {}", log(&output));
    holds(&site, &lines(0..200));
}

/// Damages a database from an offset on, with everything in its one file.
fn damage(path: &Path, from: usize) {
    let database = rusqlite::Connection::open(path).expect("a database");
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    let mut bytes = std::fs::read(path).expect("a file");
    assert!(bytes.len() > from + 4096, "{} bytes", bytes.len());
    bytes[from..].fill(0x5a);
    std::fs::write(path, bytes).expect("writable");
}

fn set_aside(site: &Site) -> Vec<String> {
    let names = std::fs::read_dir(site.path("state")).expect("a folder");
    let names = names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("state.db.set-aside-")).collect()
}

/// Stored state that is broken in its header, or on any page behind: it is set aside, and counting goes on at once.
#[test]
fn a_state_that_is_broken_on_any_page_is_set_aside() {
    for page in [0, 1, 2, 5] {
        let site = Site::new();
        site.run("state", &lines(0..2_000));
        damage(&site.path("state/state.db"), page * 4096);
        let output = site.run("state", &lines(2_000..2_500));
        assert!(log(&output).contains("set aside as"), "page {page}: {}", log(&output));
        assert_eq!(set_aside(&site).len(), 1, "page {page}");
        // What the sink has it keeps; what has come since is in it.
        assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 2_500, "page {page}: {}", log(&output));
        site.run("state", &lines(2_500..3_000));
        assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 3_000, "page {page}");
    }
}

/// The same while it runs: what is in memory is saved into a new one, and a kill loses nothing of it.
#[test]
fn a_state_that_breaks_while_it_is_in_use_is_made_anew() {
    let site = Site::new();
    site.run("state", &lines(0..2_000));
    let mut child = site.start("state");
    pass(&mut child, &lines(2_000..2_100));
    wait_for("the first status", Duration::from_secs(20), || {
        site.status("state").is_some_and(|status| status["lines"]["seen"] == 100)
    });
    // Everything but the first page, in the file and in its log.
    damage(&site.path("state/state.db"), 4096);
    let _ = std::fs::remove_file(site.path("state/state.db-wal"));
    let _ = std::fs::remove_file(site.path("state/state.db-shm"));
    pass(&mut child, &lines(2_100..2_200));
    let log = end(child);
    site.run("state", &lines(2_200..2_300));
    assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 2_300, "{log}");
}

/// State and journal hold lines as they came: nobody else may read them. The sink's file is for readers.
#[test]
fn nobody_else_reads_the_state() {
    let site = Site::new();
    let mode = |name: &str| std::fs::metadata(site.path(name)).expect(name).mode() & 0o777;
    site.run("state", &lines(0..10));
    // As an earlier version has left it.
    for (name, rights) in [("state/state.db", 0o644), ("state/journal", 0o755)] {
        std::fs::set_permissions(site.path(name), std::fs::Permissions::from_mode(rights)).expect("changed");
    }
    let mut child = site.start("state");
    pass(&mut child, &lines(10..20));
    wait_for("the first status", Duration::from_secs(20), || {
        site.status("state").is_some_and(|status| status["pid"] == child.id() && status["role"] == "owner")
    });
    for file in ["state.db", "state.db-wal", "state.db-shm", "lock"] {
        assert_eq!(mode(&format!("state/{file}")), 0o600, "{file}");
    }
    assert_eq!(mode("state/journal"), 0o700);
    for entry in std::fs::read_dir(site.path("state/journal")).expect("a folder") {
        let entry = entry.expect("an entry");
        assert_eq!(entry.metadata().expect("a file").mode() & 0o077, 0, "{:?}", entry.file_name());
    }
    end(child);
    holds(&site, &lines(0..20));
}

/// Windows locks nothing that was opened for append alone (`docs/windows.md`): every lock is opened for reading and writing.
#[cfg(target_os = "linux")]
#[test]
fn locks_are_opened_for_reading_and_writing() {
    use support::site::{ACCESS, APPEND, opened};
    let site = Site::new();
    let mut child = site.start("state");
    pass(&mut child, &lines(0..10));
    wait_for("the first status", Duration::from_secs(20), || site.has_owner("state"));
    let flags = opened(&site.path("state/lock"));
    assert!(!flags.is_empty() && flags.iter().all(|flags| flags & ACCESS == 2 && flags & APPEND == 0), "{flags:?}");
    // A guest's mark, too.
    let mut guest = site.start("state");
    pass(&mut guest, &lines(10..20));
    let mark = || {
        let entries = std::fs::read_dir(site.path("state/journal")).expect("a folder");
        entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "lock"))
    };
    wait_for("the mark", Duration::from_secs(20), || mark().is_some_and(|mark| !opened(&mark).is_empty()));
    let flags = opened(&mark().expect("it runs"));
    assert!(flags.iter().all(|flags| flags & ACCESS == 2 && flags & APPEND == 0), "{flags:?}");
    end(child);
    end(guest);
}

/// What `sink.url` points to by mistake is not touched, by `run` or by `schema --apply`.
#[test]
fn a_file_that_is_no_database_is_not_touched() {
    let site = Site::new();
    let letter = "Dear reader, this is no database.\n".repeat(1_000);
    std::fs::write(site.path("sink.db"), &letter).expect("writable");
    let output = site.tool("schema", "state").arg("--apply").output().expect("it runs");
    let said = log(&output);
    assert!(!output.status.success() && said.contains("is no SQLite database and was not touched"), "{said}");
    let output = site.run("state", &lines(0..100));
    assert!(log(&output).contains("is no SQLite database and was not touched"), "{}", log(&output));
    let output = site.tool("check", "state").output().expect("it runs");
    assert!(output.status.code() == Some(2) && all_said(&output).contains("was not touched"), "{}", all_said(&output));
    assert_eq!(std::fs::read_to_string(site.path("sink.db")).expect("still there"), letter);
    let names: Vec<_> = std::fs::read_dir(site.folder.path()).expect("a folder").collect();
    assert_eq!(names.len(), 3, "nothing beside it: {names:?}");
    // Nothing is lost: the rows come when the file is out of the way.
    std::fs::remove_file(site.path("sink.db")).expect("removed");
    site.run("state", &lines(100..200));
    holds(&site, &lines(0..200));
}

/// A disk that breaks one file after the other does not fill up with them.
#[test]
fn databases_that_were_set_aside_are_bounded() {
    let site = Site::new();
    let mut said = String::new();
    for round in 0..8 {
        site.run("state", &lines(round * 10..(round + 1) * 10));
        let mut bytes = b"SQLite format 3\0".to_vec();
        bytes.resize(20_000, 0x5a);
        if round < 7 {
            std::fs::write(site.path("sink.db"), bytes).expect("writable");
            for suffix in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(site.path(&format!("sink.db{suffix}")));
            }
            said = log(&site.run("state", b"m,host=h v=1 1\n"));
        }
        if said.contains("have been set aside before") {
            break;
        }
    }
    assert!(said.contains("have been set aside before: look at the disk, then remove"), "{said}");
    let copies = std::fs::read_dir(site.folder.path()).expect("a folder");
    let copies =
        copies.filter(|e| e.as_ref().expect("an entry").file_name().to_string_lossy().contains("set-aside")).count();
    assert_eq!(copies, 5);
}
