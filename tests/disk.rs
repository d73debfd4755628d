//! Disks that are full, failing, read-only or stuck: the stream does not notice, and all is well again when the disk is.
//!
//! `faults/faults.c` is loaded below the program's file code, so that journal and stored state meet the same errors as on
//! a real disk.
#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{program, repository};

const CONFIG: &str = r#"
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
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
"#;

/// The faulting layer, built once.
fn layer() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
            let source = repository("tests/faults/faults.c");
            let mut command = Command::new("cc");
            command.args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&out).arg(source).arg("-ldl");
            let status = command.status().expect("a C compiler");
            assert!(status.success(), "the faulting layer does not compile");
            out
        })
        .clone()
}

struct Outcome {
    sent: u64,
    longest_gap: Duration,
    log: String,
    counted: i64,
}

/// Runs the program under a steady stream while its disk is in a mode from `start` on for `length`.
fn run(mode: &str, start: Duration, length: Duration) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, sink, control) =
        (folder.path().join("state"), folder.path().join("sink.db"), folder.path().join("control"));
    let config = folder.path().join("rollup.toml");
    let text = format!("state_dir = {state:?}\n[sink]\nurl = \"sqlite://{}\"\n{CONFIG}", sink.display());
    std::fs::write(&config, text).expect("writable");
    std::fs::write(&control, "ok\n").expect("writable");
    let mut command = program();
    command.args(["run", "--config"]).arg(&config);
    command.env("LD_PRELOAD", layer()).env("FAULT_FOLDER", &state).env("FAULT_CONTROL", &control);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let reader = std::thread::spawn(move || {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let (mut last, mut longest): (Option<Instant>, _) = (None, Duration::ZERO);
        loop {
            let n = stdout.read(&mut buffer).expect("readable");
            if n == 0 {
                return (all, longest);
            }
            if let Some(last) = last {
                longest = longest.max(last.elapsed());
            }
            last = Some(Instant::now());
            all.extend_from_slice(&buffer[..n]);
        }
    });
    let began = Instant::now();
    let (mut sent, mut input, mut now) = (0_u64, Vec::new(), "ok");
    while began.elapsed() < start + length + Duration::from_secs(4) {
        let is_in = (start..start + length).contains(&began.elapsed());
        let wanted = if is_in { mode } else { "ok" };
        if wanted != now {
            // Renamed, so that it is never seen half written.
            let next = folder.path().join("next");
            std::fs::write(&next, format!("{wanted}\n")).expect("writable");
            std::fs::rename(&next, &control).expect("renamed");
            now = wanted;
        }
        for _ in 0..5 {
            let line = format!("m,host=h{} v=1 {}\n", sent % 10, 1_700_000_000_000_000_000 + sent);
            stdin.write_all(line.as_bytes()).expect("it reads");
            input.extend_from_slice(line.as_bytes());
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stdin);
    let (output, longest_gap) = reader.join().expect("no panic");
    assert!(output == input, "{mode}: the stream is not what came");
    let mut log = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("UTF-8");
    child.wait().expect("it ends");
    // Another process goes on with what the disk has.
    let mut command = program();
    command.args(["run", "--config"]).arg(&config);
    let again = support::feed(&mut command, format!("m,host=h0 v=1 {}\n", 1_700_000_000_000_000_000 + sent).as_bytes());
    assert!(again.status.success());
    let database = rusqlite::Connection::open(&sink).expect("the sink");
    let counted = database.query_row("SELECT SUM(n) FROM s_hourly", [], |row| row.get(0)).expect("rows");
    Outcome { sent: sent + 1, longest_gap, log, counted }
}

#[test]
fn a_disk_that_fails_does_not_hold_the_stream() {
    let seconds = Duration::from_secs;
    layer();
    // Side by side: they mostly wait.
    let outcomes: Vec<(&str, Outcome)> = std::thread::scope(|scope| {
        let start = |mode, length| scope.spawn(move || (mode, run(mode, seconds(3), length)));
        let threads = [
            start("ok", seconds(6)),
            start("full", seconds(6)),
            start("eio", seconds(6)),
            start("readonly", seconds(6)),
            start("stall", seconds(30)),
        ];
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let quiet = outcomes[0].1.longest_gap;
    for (mode, outcome) in outcomes {
        let Outcome { sent, longest_gap, log, counted } = outcome;
        println!("{mode}: longest gap {longest_gap:?}, {sent} lines sent, {counted} counted");
        assert_eq!(counted as u64, sent, "{mode}: {log}");
        assert!(longest_gap < quiet + Duration::from_millis(500), "{mode}: {longest_gap:?}, without it {quiet:?}");
        let trouble = log.lines().filter(|line| line.starts_with("E! the journal")).count();
        if mode == "ok" {
            assert_eq!(trouble, 0, "{log}");
            continue;
        }
        assert!((1..=3).contains(&trouble), "{mode}: named {trouble} times:\n{log}");
        if mode != "stall" {
            assert!(log.contains("I! the journal can be written again after "), "{mode}: {log}");
        }
        // The last word of each trouble is that it is over.
        for (begins, over) in [
            ("the journal cannot be written: ", "the journal can be written again after "),
            ("the journal cannot be synced: ", "the journal can be synced again after "),
            ("the journal is stuck ", "the journal moves again after "),
            ("the state cannot be saved: ", "the state is saved again after "),
            ("status.json cannot be written: ", "status.json can be written again after "),
            ("E! no rows are written: ", "I! the sink works again after "),
        ] {
            if let Some(began) = log.rfind(begins) {
                let ended = log.rfind(over);
                assert!(ended.is_some_and(|ended| ended > began), "{mode}: {begins:?} has no end:\n{log}");
            }
        }
    }
}
