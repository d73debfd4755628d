//! The Windows executable, run by Wine: the stream, the sample, the end.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::servers::{Wine, wine};
use support::site::{ACCESS, APPEND, opened, wait_for};
use support::{feed, repository, same_csv, sqlite_csv};

const CONFIG: &str = "
[lateness]
max = \"forever\"
[missing]
horizon = \"0s\"
[[summary]]
name = \"s\"
key = [\"host\"]
  [[summary.column]]
  name = \"sum_v\"
  method = \"sum\"
  sources = [{ measurement = \"m\", field = \"v\" }]
";

/// `run` with a configuration of its own.
fn run(wine: &Wine, folder: &Path, config: &str) -> Command {
    let path = folder.join("rollup.toml");
    std::fs::write(&path, format!("state_dir = '{}'\n{config}", wine.path(folder))).expect("writable");
    let mut command = wine.command(["run", "--config", &wine.path(&path)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_sample_passes_and_gives_rows() {
    let Some(wine) = wine() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(repository("telegraf/rollup-windows-hwinfo.toml")).expect("the configuration");
    let config: String = text
        .lines()
        .map(|line| match line.split('=').next().map(str::trim) {
            Some("state_dir") => String::new(),
            Some("max") => "max = \"forever\"\n".to_string(),
            Some("horizon") => "horizon = \"0s\"\n".to_string(),
            _ => format!("{line}\n"),
        })
        .collect();
    let input = std::fs::read(repository("telegraf/sample.influx")).expect("the sample");
    let output = feed(&mut run(&wine, folder.path(), &config), &input);
    assert!(output.stdout == input, "stdout is not the input");
    assert!(output.status.success());
    let mut replay =
        wine.command(["replay", "--format", "csv", "--config", &wine.path(&folder.path().join("rollup.toml")), "-"]);
    let replayed = feed(&mut replay, &input);
    let expected = String::from_utf8(replayed.stdout).expect("UTF-8").replace("\r\n", "\n");
    assert!(expected.lines().count() > 20, "{expected}");
    same_csv(&sqlite_csv(&folder.path().join("summary.db"), &config), &expected).expect("the rows of replay");
    // The same rows as the program for this system makes.
    let here = feed(
        support::program()
            .args(["replay", "--format", "csv", "--config"])
            .arg(folder.path().join("rollup.toml"))
            .arg("-"),
        &input,
    );
    same_csv(&String::from_utf8(here.stdout).expect("UTF-8"), &expected).expect("the rows of this system");
}

#[test]
fn bytes_that_windows_treats_specially_pass() {
    let Some(wine) = wine() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut input =
        b"m,host=a v=1 1700000000000000000\r\nm,host=a s=\"x\r\ny\x1az\x00\" 1700000000000000000\n# \x1a\n".to_vec();
    input.extend((0..3000).flat_map(|i| {
        format!("m,host=b,k={} v={i} {}\n", "x".repeat(i % 300 + 1), 1_700_000_000_000_000_000_i64 + i as i64)
            .into_bytes()
    }));
    let output = feed(&mut run(&wine, folder.path(), CONFIG), &input);
    assert!(output.stdout == input, "stdout is not the input");
    let rows = sqlite_csv(&folder.path().join("summary.db"), CONFIG);
    assert!(rows.contains(",a,1.0,1,") && rows.contains(",b,4498500.0,3000,"), "{rows}");
}

#[test]
fn single_lines_come_back_at_once_and_the_end_is_quick() {
    let Some(wine) = wine() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = run(&wine, folder.path(), CONFIG).spawn().expect("wine starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let mut buffer = [0; 256];
    for i in 0..20 {
        let line = format!("m,host=a v={i} {}\n", 1_700_000_000_000_000_000_i64 + i);
        stdin.write_all(line.as_bytes()).expect("a reader");
        let n = stdout.read(&mut buffer).expect("readable");
        assert_eq!(&buffer[..n], line.as_bytes());
    }
    // A tail that is not finished is forwarded after a second, and dropped when the input ends there.
    stdin.write_all(b"m,host=a v=9").expect("a reader");
    let n = stdout.read(&mut buffer).expect("readable");
    assert_eq!(&buffer[..n], b"m,host=a v=9");
    let start = Instant::now();
    drop(stdin);
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).expect("readable");
    assert!(rest.is_empty());
    assert!(child.wait().expect("it ends").success());
    assert!(start.elapsed() < Duration::from_secs(5), "Telegraf would have ended it");
    assert!(sqlite_csv(&folder.path().join("summary.db"), CONFIG).contains(",a,190.0,20,"));
}

#[test]
fn a_kill_leaves_whole_lines() {
    let Some(wine) = wine() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = run(&wine, folder.path(), CONFIG).spawn().expect("wine starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let writer = std::thread::spawn(move || {
        let line = format!("m,host=a,k={} v=1 1700000000000000000\n", "x".repeat(200));
        while stdin.write_all(line.as_bytes()).is_ok() {}
    });
    let mut out = vec![0; 500_000];
    stdout.read_exact(&mut out).expect("readable");
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    stdout.read_to_end(&mut out).expect("readable");
    writer.join().expect("no panic");
    assert_eq!(out.last(), Some(&b'\n'), "a torn line at the reader");
}

/// Windows refuses to lock a handle that was opened for append alone. Wine does not, and hides how a handle was opened; but it does refuse
/// to read such a handle, and whoever claims reads through it.
#[test]
fn the_lock_is_opened_for_reading_and_writing() {
    let Some(wine) = wine() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = run(&wine, folder.path(), CONFIG).spawn().expect("wine starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let line = b"m,host=a v=1 1700000000000000000\n";
    stdin.write_all(line).expect("a reader");
    stdout.read_exact(&mut vec![0; line.len()]).expect("readable");
    wait_for("the owner's status", Duration::from_secs(30), || {
        std::fs::read_to_string(folder.path().join("status.json")).is_ok_and(|text| text.contains("\"owner\""))
    });
    let flags = opened(&folder.path().join("lock"));
    assert!(flags.iter().any(|flags| flags & ACCESS == 2 && flags & APPEND == 0), "{flags:?}");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

/// Folders as people have them.
#[test]
fn a_path_with_spaces_and_umlauts_works() {
    let Some(wine) = wine() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("Überwachung der Räume, 2. Stock");
    std::fs::create_dir(&folder).expect("made");
    let input = b"m,host=a v=7 1700000000000000000\n";
    let output = feed(&mut run(&wine, &folder, CONFIG), input);
    assert!(output.status.success() && output.stdout == input);
    assert!(sqlite_csv(&folder.join("summary.db"), CONFIG).contains(",a,7.0,1,"));
}

/// A mistyped snippet costs no line on Windows either, and bytes pass as they are.
#[test]
fn lines_pass_whatever_the_arguments_are() {
    let Some(wine) = wine() else { return };
    let input = b"m,host=a v=1 1700000000000000000\r\nm,host=a s=\"\x1a\" 1\n";
    let output = feed(wine.command(["--config", "x.toml"]).stderr(Stdio::piped()), input);
    assert!(output.stdout == input, "stdout is not the input");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("E! the arguments cannot be understood: unexpected argument '--config' found"), "{log}");
    assert_eq!(output.status.code(), Some(2));
}
