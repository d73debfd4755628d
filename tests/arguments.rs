//! Arguments that cannot be understood cost no line: with a pipe as stdin the program passes them on and says what is wrong.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::site::{Site, lines, log, wait_for};
use support::{feed, program};

/// Mistakes that people make in Telegraf's snippet, and what the log must say of each.
const MISTAKES: [(&[&str], &str); 11] = [
    (&[], "there is no command"),
    (&["--config", "/etc/telegraf-rollup/rollup.toml"], "unexpected argument '--config' found"),
    (&["run", "--config"], "a value is required for '--config <FILE>'"),
    (&["run", "--confg", "x.toml"], "a similar argument exists: '--config'"),
    (&["run", "-config", "x.toml"], "unexpected argument '-c' found"),
    (&["run", "--config", "x.toml", "--verbos"], "'--verbose'"),
    (&["run", "x.toml"], "unexpected argument 'x.toml' found"),
    (&["run", "--config", "x.toml", "--config", "y.toml"], "cannot be used multiple times"),
    (&["rnu", "--config", "x.toml"], "unrecognized subcommand 'rnu'"),
    (&["run --config x.toml"], "unrecognized subcommand 'run --config x.toml'"),
    (&["replay", "--format", "xml", "-"], "invalid value 'xml'"),
];

#[test]
fn lines_pass_whatever_the_arguments_are() {
    // What no text may do to a stream.
    let mut input = lines(0..20_000);
    input.extend(b"m,host=a s=\"two\nlines\",v=1 1\n# \xff\xfe\x00\n\n\r\nnot line protocol\n");
    for (arguments, said) in MISTAKES {
        let output = feed(program().args(arguments), &input);
        assert!(output.stdout == input, "{arguments:?}: stdout is not the input");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let log = log(&output);
        assert!(log.contains(said), "{arguments:?}: {log}");
        assert!(log.contains("NOTHING IS COUNTED") && log.contains("command = ["), "{arguments:?}: {log}");
        for line in log.lines() {
            assert!(line.starts_with("E! ") && line.len() < 1_100, "{arguments:?}: {line}");
        }
    }
}

/// Under `outputs.execd` every line on stdout would go to Telegraf's log.
#[test]
fn an_output_writes_nothing_to_stdout_all_the_same() {
    let output = feed(program().args(["run", "--output", "--confg", "x.toml"]), &lines(0..1_000));
    assert!(output.stdout.is_empty() && log(&output).contains("'--config'"), "{}", log(&output));
}

/// Arguments of any length and bytes make short lines.
#[test]
fn huge_arguments_make_short_lines() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = [b"--".as_slice(), &[0xff; 50_000], b"\x1b[0m\n"].concat();
    let output = feed(program().arg("run").arg(std::ffi::OsStr::from_bytes(&bytes)), &lines(0..10));
    assert_eq!(output.stdout, lines(0..10));
    assert!(output.stderr.len() < 4_000, "{} bytes", output.stderr.len());
    assert!(!log(&output).contains('\x1b'));
}

/// It is said at once, and every minute; no signal ends it before the input ends.
#[test]
fn it_is_said_again_every_minute_and_signals_end_nothing() {
    let mut child = program()
        .args(["--config", "x.toml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let said = Arc::new(Mutex::new(String::new()));
    let (mut stderr, text) = (child.stderr.take().expect("a pipe"), said.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = stderr.read(&mut bytes) {
            text.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
    });
    let times = |n: usize| said.lock().expect("no panic").matches("unexpected argument").count() >= n;
    let mut pass = |n: i64| {
        stdin.write_all(&lines(n..n + 1)).expect("it reads");
        let mut back = vec![0; lines(n..n + 1).len()];
        stdout.read_exact(&mut back).expect("it writes");
        assert_eq!(back, lines(n..n + 1));
    };
    pass(0);
    wait_for("what is wrong", Duration::from_secs(20), || times(1));
    for (n, signal) in (1..).zip(["TERM", "INT", "HUP", "USR1", "USR2", "QUIT"]) {
        let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
        pass(n);
    }
    wait_for("what is wrong, again", Duration::from_secs(150), || times(2));
    pass(7);
    drop(stdin);
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
}

/// What asks for nothing but a text reads no input: it ends although the pipe stays open.
#[test]
fn help_and_commands_do_not_wait_for_a_pipe() {
    let site = Site::new();
    let config = site.configure("state");
    let config = config.to_str().expect("UTF-8");
    let quick: [(&[&str], i32); 9] = [
        (&["--help"], 0),
        (&["-h"], 0),
        (&["--version"], 0),
        (&["-V"], 0),
        (&["help", "run"], 0),
        (&["run", "--help"], 0),
        (&["check", "--config", config], 0),
        (&["schema", "--config", config], 0),
        (&["status", "--config", config], 1),
    ];
    for (arguments, code) in quick {
        let mut child = program()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let _open = child.stdin.take();
        wait_for("its end", Duration::from_secs(60), || child.try_wait().expect("a child").is_some());
        assert_eq!(child.wait().expect("it ends").code(), Some(code), "{arguments:?}");
        let mut text = String::new();
        child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
        assert!(!text.is_empty(), "{arguments:?} says nothing");
    }
}

/// With nothing to read it ends at once, with the exit code of wrong arguments.
#[test]
fn without_an_input_wrong_arguments_are_an_error_as_ever() {
    let output = program().args(["rnu"]).stdin(Stdio::null()).output().expect("it runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(log(&output).contains("unrecognized subcommand 'rnu'"), "{}", log(&output));
}
