//! The sacred stream, on the real process: whatever happens, the bytes pass, in whole lines.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::site::{Site, wait_for};
use support::{feed, program, repository, same_csv, sqlite_csv};
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::engine::Engine;

const CONFIG: &str = r#"
[lateness]
max = "forever"
[missing]
horizon = "0s"
[[summary]]
name = "s"
key = ["host"]
  [[summary.column]]
  name = "sum_v"
  method = "sum"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
"#;

/// A made-up line of a number, long enough that a pipe holds few of them.
fn line(number: usize) -> String {
    let pad = "x".repeat(number * 7 % 900);
    format!("m,host=h{},pad=p{pad} v={number} {}\n", number % 5, 1_700_000_000_000_000_000 + number as i64 * 1_000_000)
}

#[test]
fn a_torn_tail_is_dropped_and_logged() {
    let run = Site::with(CONFIG);
    let output = feed(&mut run.command("state"), b"m,host=a v=1 1700000000000000000\nm,host=a v=2 17000000");
    assert_eq!(output.stdout, b"m,host=a v=1 1700000000000000000\n");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("W! the input ended within a line"), "{log}");
    assert!(run.rows().contains(",a,1.0,1,1,"), "{}", run.rows());
}

#[test]
fn an_unfinished_line_is_forwarded_after_a_second_and_counted_when_it_ends() {
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    stdin.write_all(b"m,host=a v=12").expect("a reader");
    let start = Instant::now();
    let mut buffer = [0; 64];
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(&buffer[..n], b"m,host=a v=12");
    assert!(start.elapsed() >= Duration::from_millis(900), "it was not held");
    stdin.write_all(b"34 1700000000000000000\n").expect("a reader");
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(&buffer[..n], b"34 1700000000000000000\n");
    // Behind a whole line it is held no longer.
    stdin.write_all(b"m,host=b v=1 1700000000000000000\nm,host=b v").expect("a reader");
    for expected in [&b"m,host=b v=1 1700000000000000000\n"[..], b"m,host=b v"] {
        let n = stdout.read(&mut buffer).expect("readable");
        assert_eq!(&buffer[..n], expected);
    }
    stdin.write_all(b"=2 1700000001000000000\n").expect("a reader");
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(&buffer[..n], b"=2 1700000001000000000\n");
    // A backslash at the end of what is forwarded would hang the reader's parser if the stream ended there.
    stdin.write_all(b"m\\").expect("a reader");
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(&buffer[..n], b"m");
    stdin.write_all(b"\\ x=1 5\n").expect("a reader");
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("readable");
    assert_eq!(rest, b"\\\\ x=1 5\n");
    assert!(child.wait().expect("it ends").success());
    assert!(run.rows().contains(",a,1234.0,1,1,"), "{}", run.rows());
}

/// A byte order mark leaves as it came, and the line behind it counts, however the bytes arrive.
#[test]
fn a_byte_order_mark_passes_and_the_first_line_counts() {
    let input = b"\xef\xbb\xbfm,host=a v=1 1700000000000000000\nm,host=a v=2 1700000001000000000\n";
    for pieces in [&[][..], &[1], &[2], &[3], &[4], &[1, 2, 3, 5]] {
        let run = Site::with(CONFIG);
        let mut child = run.start("state");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut at = 0;
        for end in pieces {
            stdin.write_all(&input[at..*end]).expect("a reader");
            at = *end;
            std::thread::sleep(Duration::from_millis(100));
        }
        stdin.write_all(&input[at..]).expect("a reader");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.stdout == input, "in pieces {pieces:?}");
        assert!(run.rows().contains(",a,3.0,2,2,"), "in pieces {pieces:?}: {}", run.rows());
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!log.contains("W! ") && !log.contains("E! "), "{log}");
    }
    // A mark that has waited too long leaves before its line.
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut buffer = [0; 8];
    stdin.write_all(&input[..2]).expect("a reader");
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(buffer[..n], input[..2]);
    stdin.write_all(&input[2..]).expect("a reader");
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("readable");
    assert!(rest == input[2..], "stdout is not the input");
    assert!(child.wait().expect("it ends").success());
    assert!(run.rows().contains(",a,3.0,2,2,"), "{}", run.rows());
}

/// Lines of another encoding pass as they are; the log names it, once.
#[test]
fn an_input_of_another_encoding_is_named() {
    let text = "m,host=a v=1 1700000000000000000\r\nm,host=a v=2 1700000001000000000\r\n";
    let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let ended = |mut bytes: Vec<u8>| {
        // A stream that does not end in a newline is torn.
        bytes.push(b'\n');
        bytes
    };
    let latin = b"m,host=a v=1 1700000000000000000\nm,host=b\xfcro v=1 1700000000000000000\nm,host=\xe4 v=1 1700000000000000000\n";
    for (name, input) in [
        ("UTF-16 (little-endian", ended(wide(text, u16::to_le_bytes))),
        ("UTF-16 (little-endian", ended(wide(&format!("\u{feff}{text}"), u16::to_le_bytes))),
        ("UTF-16 (big-endian", ended(wide(&format!("\u{feff}{text}"), u16::to_be_bytes))),
        ("not all UTF-8 (is it Latin-1 or another code page?), as in `m,host=b\\xfcro v=1 17", latin.to_vec()),
    ] {
        let run = Site::with(CONFIG);
        let output = feed(&mut run.command("state"), &input);
        assert!(output.stdout == input, "{name}: stdout is not the input");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(log.matches(name).count(), 1, "{name}: {log}");
    }
}

#[test]
fn a_huge_line_passes_without_being_held() {
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut input = b"m,host=a,k=".to_vec();
    input.extend(std::iter::repeat_n(b'a', 80 << 20));
    input.extend_from_slice(b" v=1 1700000000000000000\nm,host=a v=2 1700000001000000000\n");
    let expected = input.clone();
    let reader = std::thread::spawn(move || {
        let mut out = Vec::new();
        stdout.read_to_end(&mut out).expect("readable");
        out
    });
    stdin.write_all(&input).expect("a reader");
    drop(stdin);
    let out = reader.join().expect("no panic");
    assert!(out == expected, "stdout is not the input");
    assert!(child.wait().expect("it ends").success());
    // The line of 80 MiB is not read; the one behind it is.
    assert!(run.rows().contains(",a,2.0,1,1,"), "{}", run.rows());
}

#[test]
fn a_kill_at_any_moment_leaves_whole_lines() {
    for round in 0..12_u64 {
        let run = Site::with(CONFIG);
        let mut child = run.start("state");
        let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let writer = std::thread::spawn(move || {
            let batch: String = (0..60_000).map(line).collect();
            // The reader of this pipe is killed: the write fails then, as it should.
            let _ = stdin.write_all(batch.as_bytes());
        });
        // A slow reader keeps the pipe full, which is when a large write can stop half-way.
        let mut out = Vec::new();
        let mut buffer = vec![0; 3000];
        for _ in 0..40 + round * 25 {
            let n = stdout.read(&mut buffer).expect("readable");
            out.extend_from_slice(&buffer[..n]);
        }
        std::thread::sleep(Duration::from_millis(3 + round));
        child.kill().expect("it lives");
        child.wait().expect("it ends");
        stdout.read_to_end(&mut out).expect("readable");
        writer.join().expect("no panic");
        assert_eq!(out.last(), Some(&b'\n'), "round {round}: a torn line at the reader");
        let expected: String = (0..60_000).map(line).collect();
        assert!(expected.as_bytes().starts_with(&out), "round {round}: the bytes were changed");
        assert!(out.len() > 100_000, "round {round}: the pipe was never full");
    }
}

/// Bytes that a process has given to `write` so far.
#[cfg(target_os = "linux")]
fn bytes_written(child: &Child) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", child.id())).expect("counters");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("a counter");
    line.parse().expect("a number")
}

/// A stream at full speed, of which nothing is counted: its pages go on as they are, and whatever comes between (single lines,
/// a line that is held and forwarded unfinished, a long line) leaves in its place.
#[cfg(target_os = "linux")]
#[test]
fn what_comes_fast_goes_on_without_a_copy() {
    const ROUNDS: usize = 6;
    let bulk: String = (0..200_000).map(|n| format!("other,host=h{} v={n}i {n}\n", n % 7)).collect();
    let long = format!("other v=\"{}\" 1\n", "x".repeat(300_000));
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        expected.extend_from_slice(bulk.as_bytes());
        expected.extend_from_slice(if round % 2 == 0 { &b"other v=1i 1\nother v=2i 2\n"[..] } else { long.as_bytes() });
    }
    let (total, half) = (expected.len(), "other v=1i".len());
    let pieces = bulk.clone();
    let writer = std::thread::spawn(move || {
        for round in 0..ROUNDS {
            stdin.write_all(pieces.as_bytes()).expect("a reader");
            if round % 2 == 1 {
                stdin.write_all(long.as_bytes()).expect("a reader");
                continue;
            }
            stdin.write_all(b"other v=1i").expect("a reader");
            // It is forwarded as it is after a second.
            std::thread::sleep(Duration::from_millis(if round == 0 { 1_300 } else { 30 }));
            stdin.write_all(&b"other v=1i 1\nother v=2i 2\n"[half..]).expect("a reader");
        }
        stdin
    });
    // What is compared as it comes needs no memory, which would make the reader slow.
    let (mut buffer, mut at) = (vec![1; 1 << 20], 0);
    while at < total {
        let n = stdout.read(&mut buffer).expect("readable");
        assert!(n > 0 && buffer[..n] == expected[at..at + n], "the bytes were changed at {at}");
        at += n;
    }
    let written = bytes_written(&child);
    drop(writer.join().expect("no panic"));
    assert!(child.wait().expect("it ends").success());
    assert!(written < total as u64 / 10 * 9, "{written} of {total} bytes were copied");
}

/// An operator who does not trust it can do without.
#[cfg(target_os = "linux")]
#[test]
fn with_copy_every_byte_is_written() {
    let run = Site::with(CONFIG);
    let mut child = run.command("state").arg("--copy").spawn().expect("the program starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let input: String = (0..200_000).map(|n| format!("other,host=h{} v={n}i {n}\n", n % 7)).collect();
    let bytes = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(bytes.as_bytes()).map(|()| stdin).expect("a reader"));
    let mut out = vec![0; input.len()];
    stdout.read_exact(&mut out).expect("readable");
    assert!(out == input.as_bytes(), "the bytes were changed");
    assert!(bytes_written(&child) >= input.len() as u64);
    drop(writer.join().expect("no panic"));
    assert!(child.wait().expect("it ends").success());
}

/// The same, killed: what is handed on is whole lines, too.
#[cfg(target_os = "linux")]
#[test]
fn a_kill_leaves_whole_lines_of_what_is_not_copied() {
    let bulk: String = (0..400_000).map(|n| format!("other,host=h{} v={n}i {n}\n", n % 7)).collect();
    let mut least = 1.0;
    for round in 0..12_u64 {
        let run = Site::with(CONFIG);
        let mut child = run.start("state");
        let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let input = bulk.clone();
        let writer = std::thread::spawn(move || {
            // The reader of this pipe is killed: the write fails then, as it should.
            let _ = stdin.write_all(input.as_bytes());
        });
        let mut out = Vec::new();
        let mut buffer = vec![0; 200_000];
        while out.len() < 4_000_000 + round as usize * 500_000 {
            let n = stdout.read(&mut buffer).expect("readable");
            out.extend_from_slice(&buffer[..n]);
        }
        // The pipe fills up again meanwhile, or does not get to it.
        std::thread::sleep(Duration::from_micros(300 * round));
        let written = bytes_written(&child) as f64;
        child.kill().expect("it lives");
        child.wait().expect("it ends");
        stdout.read_to_end(&mut out).expect("readable");
        writer.join().expect("no panic");
        assert_eq!(out.last(), Some(&b'\n'), "round {round}: a torn line at the reader");
        assert!(bulk.as_bytes().starts_with(&out), "round {round}: the bytes were changed");
        least = written.min(least * out.len() as f64) / out.len() as f64;
    }
    assert!(least < 0.9, "of no round less than {least:.2} was copied");
}

#[test]
fn a_reader_that_comes_late_gets_everything() {
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let input: String = (0..500).map(line).collect();
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().expect("its state").is_none(), "it left before its output was read");
    let start = Instant::now();
    let mut out = String::new();
    stdout.read_to_string(&mut out).expect("readable");
    assert_eq!(out, input);
    assert!(child.wait().expect("it ends").success());
    assert!(start.elapsed() < Duration::from_secs(3), "it lingers after its output was read");
}

#[test]
fn a_reader_that_never_reads_does_not_keep_it() {
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    // More than fits into stdout, less than fits into both pipes.
    let input: String = (0..)
        .map(line)
        .scan(0, |bytes, l| {
            *bytes += l.len();
            (*bytes < 1_400_000).then_some(l)
        })
        .collect();
    stdin.write_all(input.as_bytes()).expect("a reader");
    drop(stdin);
    let status = child.wait().expect("it ends by itself");
    assert_eq!(status.code(), Some(1));
    let mut log = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("UTF-8");
    assert!(log.contains("nobody reads stdout"), "{log}");
    drop(stdout);
    assert!(run.rows().lines().count() > 1, "what was counted was written");
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_nothing() {
    let problems: String = (0..2_000).map(|n| format!("unknown_key_{n} = {n}\n")).collect();
    let run = Site::with(&problems);
    let mut child = run.start("state");
    let _stderr = child.stderr.take().expect("a pipe");
    let input: String = (0..500).map(line).collect();
    let output = support::feed_child(child, input.as_bytes());
    assert!(output.status.success());
    assert_eq!(output.stdout, input.as_bytes());
}

#[test]
fn signals_do_not_end_it_before_the_input_does() {
    let run = Site::with(CONFIG);
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut buffer = [0; 128];
    for (number, signal) in ["TERM", "INT", "HUP"].into_iter().enumerate() {
        let text = line(number);
        stdin.write_all(text.as_bytes()).expect("a reader");
        let n = stdout.read(&mut buffer).expect("readable");
        assert_eq!(&buffer[..n], text.as_bytes(), "after {number} signals");
        let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(stdin);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(run.rows().contains(",h0,0.0,1,1,"), "{}", run.rows());
}

#[test]
fn a_broken_configuration_is_reported_and_picked_up_when_it_is_mended() {
    let mut run = Site::with("timezone = \"Mars/Olympus\"\n[flush]\nevery = \"1 fortnight\"\n");
    let mut child = run.start("state");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut stderr = child.stderr.take().expect("a pipe");
    let mut buffer = [0; 128];
    let first = "m,host=a v=1 1700000000000000000\n";
    stdin.write_all(first.as_bytes()).expect("a reader");
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(&buffer[..n], first.as_bytes());
    // The log names every problem before the file is corrected.
    let mut log = Vec::new();
    while !String::from_utf8_lossy(&log).contains("fortnight") {
        let n = stderr.read(&mut buffer).expect("readable");
        log.extend_from_slice(&buffer[..n]);
    }
    run.config = CONFIG.to_string();
    run.configure("state");
    let made = || run.path("state/summary.db").exists();
    wait_for("the engine to start", Duration::from_secs(30), made);
    std::thread::sleep(Duration::from_millis(200));
    let second = "m,host=a v=2 1700000001000000000\n";
    stdin.write_all(second.as_bytes()).expect("a reader");
    drop(stdin);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("readable");
    assert_eq!(rest, second);
    stderr.read_to_end(&mut log).expect("readable");
    assert!(child.wait().expect("it ends").success());
    let log = String::from_utf8_lossy(&log);
    for wanted in [
        "E! ",
        "3 problems; lines pass through, nothing is counted until they are corrected",
        "line 2: timezone",
        "line 4: flush.every",
        "missing key `[[summary]]`",
    ] {
        assert!(log.contains(wanted), "{wanted:?} is not in the log:\n{log}");
    }
    let rows = run.rows();
    assert!(rows.contains(",a,2.0,1,1,"), "what came after the repair is counted, and nothing else:\n{rows}");
}

#[test]
fn a_missing_configuration_does_not_stop_the_stream() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = feed(program().args(["run", "--config"]).arg(folder.path().join("none.toml")), b"m v=1 1\n");
    assert_eq!(output.stdout, b"m v=1 1\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("E! cannot read the configuration"));
    assert!(output.status.success());
}

#[test]
fn a_panic_in_the_engine_costs_one_line_and_no_byte() {
    let run = Site::with(CONFIG);
    let mut input = String::new();
    for number in 0..2000 {
        input += &line(number);
        if number % 500 == 250 {
            input += "m,host=h1 v=1000000,poison=1 1700000000000000000\n";
        }
    }
    let output = feed(run.command("state").env("TELEGRAF_ROLLUP_FAULT_PANIC", "poison"), input.as_bytes());
    assert!(output.status.success());
    assert!(output.stdout == input.as_bytes(), "stdout is not the input");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("E! internal error"), "{log}");
    assert!(log.lines().all(|l| ["E! ", "W! ", "I! "].iter().any(|p| l.starts_with(p))), "{log}");
    // The rows are those of the input without the poisoned lines.
    let good: String = (0..2000).map(line).collect();
    let other = Site::with(CONFIG);
    feed(&mut other.command("state"), good.as_bytes());
    same_csv(&run.rows(), &other.rows()).expect("the same rows");
}

#[test]
fn an_engine_that_keeps_failing_is_switched_off() {
    let run = Site::with(CONFIG);
    let input: String = (0..500).map(line).collect();
    let output = feed(run.command("state").env("TELEGRAF_ROLLUP_FAULT_PANIC", "host="), input.as_bytes());
    assert!(output.stdout == input.as_bytes(), "stdout is not the input");
    assert!(output.status.success());
    assert!(output.stderr.len() < 20_000, "the log is flooded");
}

#[test]
fn a_sink_that_cannot_be_written_does_not_stop_the_stream() {
    let run = Site::with(&format!("[sink]\nurl = \"sqlite:///proc/no/such/place.db\"\n{CONFIG}"));
    let input: String = (0..2000).map(line).collect();
    let start = Instant::now();
    let output = feed(&mut run.command("state"), input.as_bytes());
    assert!(output.stdout == input.as_bytes(), "stdout is not the input");
    assert!(String::from_utf8_lossy(&output.stderr).contains("E! the sink needs your help"));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_unreachable_server_does_not_delay_the_end() {
    // A listener that accepts and says nothing: a connection attempt hangs.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let run = Site::with(&format!("[sink]\nurl = \"mysql://u:secret-word@127.0.0.1:{port}/d\"\n{CONFIG}"));
    let input: String = (0..2000).map(line).collect();
    let start = Instant::now();
    let output = feed(&mut run.command("state"), input.as_bytes());
    assert!(start.elapsed() < Duration::from_secs(5), "Telegraf would have killed it");
    assert!(output.stdout == input.as_bytes(), "stdout is not the input");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("the last flush was not done in time"), "{log}");
    assert!(!log.contains("secret-word"), "the log shows a password");
}

#[test]
fn output_mode_writes_nothing_and_counts_everything() {
    let run = Site::with(CONFIG);
    let input: String = (0..2000).map(line).collect();
    let output = feed(run.command("state").arg("--output"), input.as_bytes());
    assert!(output.status.success());
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    let other = Site::with(CONFIG);
    feed(&mut other.command("state"), input.as_bytes());
    same_csv(&run.rows(), &other.rows()).expect("the same rows");
}

#[test]
fn rows_appear_while_the_stream_runs() {
    let config = format!("[flush]\nevery = \"1s\"\n{CONFIG}");
    let run = Site::with(&config);
    let mut child = run.start("state");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(line(7).as_bytes()).expect("a reader");
    let database = run.path("state/summary.db");
    // The file is there before its tables are.
    let has_rows = |path: &Path| {
        let database = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
        database.and_then(|d| d.query_row("SELECT 1 FROM s_daily LIMIT 1", [], |_| Ok(()))).is_ok()
    };
    let ready = |path: &Path| has_rows(path) && sqlite_csv(path, &config).contains(",h2,7.0,1,1,");
    wait_for("the first row", Duration::from_secs(30), || ready(&database));
    stdin.write_all(line(2).as_bytes()).expect("a reader");
    wait_for("the next one", Duration::from_secs(30), || sqlite_csv(&database, &config).contains(",h2,9.0,2,2,"));
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn the_sample_passes_and_gives_the_rows_of_replay() {
    let input = std::fs::read(repository("telegraf/sample.influx")).expect("the sample");
    for name in ["rollup.toml", "rollup-windows-hwinfo.toml"] {
        let text = std::fs::read_to_string(repository("telegraf").join(name)).expect("the configuration");
        let folder = tempfile::tempdir().expect("a folder");
        // The sample is older than the default lateness.max, and the folder of the state is the user's.
        let config: String = text
            .lines()
            .map(|line| match line.split('=').next().map(str::trim) {
                Some("state_dir") => format!("state_dir = {:?}\n", folder.path()),
                Some("max") => "max = \"forever\"\n".to_string(),
                _ => format!("{line}\n"),
            })
            .collect();
        let path = folder.path().join("rollup.toml");
        std::fs::write(&path, &config).expect("writable");
        let output = feed(program().args(["run", "--config"]).arg(&path), &input);
        assert!(output.stdout == input, "{name}: stdout is not the input");
        // Without a time, `replay` has empty rows up to the newest point; the live process has them up to now.
        let now = jiff::Timestamp::now().to_string();
        let mut replay = program();
        replay.args(["replay", "--format", "csv", "--now", &now, "--config"]).arg(&path).arg("-");
        let replayed = feed(&mut replay, &input);
        let expected = String::from_utf8(replayed.stdout).expect("UTF-8");
        assert!(expected.lines().count() > 20, "{expected}");
        same_csv(&sqlite_csv(&folder.path().join("summary.db"), &config), &expected).expect(name);
    }
}

/// While what has been waiting is fed to the engine, lines go on to arrive as fast as they can: the engine takes them over all
/// the same, and counts every one of them.
#[test]
fn a_stream_at_full_speed_does_not_outrun_the_start() {
    // Counting a line takes much longer than finding that it counts.
    let methods = ["avg", "stddev", "p50", "p95", "p99", "max", "range", "last"];
    let column = |method: &&str| {
        format!(
            "[[summary.column]]\nname = \"{method}_v\"\nmethod = \"{method}\"\nsources = [{{ measurement = \"m\", field = \"v\" }}]\n"
        )
    };
    let text = format!("{CONFIG}{}", methods.iter().map(column).collect::<String>());
    let config = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let shared = Shared::starting(1, || 2);
    shared.configured(Engine::new(config.schema.clone()), None);
    let at = 1_700_000_000_000_000_000;
    let lines: Vec<String> = (0..1_000).map(|n| format!("m,host=h{n},pad={} v={n}.5\n", "x".repeat(100))).collect();
    let (sent, is_started) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Far more than a start takes, if it ends at all.
            while !is_started.load(Ordering::Relaxed) && sent.load(Ordering::Relaxed) < 2_000_000 {
                shared.batch(lines.iter().map(|line| line.as_bytes()), at);
                sent.fetch_add(lines.len() as u64, Ordering::Relaxed);
            }
        });
        while sent.load(Ordering::Relaxed) < 200_000 {
            std::thread::yield_now();
        }
        shared.start(Engine::new(config.schema.clone()), |_| 0, |_| ());
        assert!(sent.load(Ordering::Relaxed) < 2_000_000, "it was taken over only when nothing came any more");
        is_started.store(true, Ordering::Relaxed);
    });
    assert_eq!(shared.with(|engine| engine.counters().matched), Some(sent.load(Ordering::Relaxed)));
}
