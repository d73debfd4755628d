//! Signals: none ends the process before the input does, USR1 writes the rows, and a person at a terminal can end it.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::site::{CONFIG, START, Site, lines, log, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

fn signal(child: u32, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.to_string()]).status();
    assert!(status.expect("kill runs").success(), "{signal}");
}

/// Sends lines to a process that runs, and reads them back.
fn pass(child: &mut Child, lines: &[u8], when: &str) {
    child.stdin.as_mut().expect("a pipe").write_all(lines).unwrap_or_else(|e| panic!("{when}: {e}"));
    let mut back = vec![0; lines.len()];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut back).unwrap_or_else(|e| panic!("{when}: {e}"));
    assert!(back == lines, "{when}: stdout is not the input");
}

/// Every signal that a process can survive, the real-time ones too, by name or number. Not among them: KILL and STOP, those that
/// report a fault of the program itself, those that only stop it, and 32 and 33, which the C library keeps for itself.
fn signals() -> Vec<String> {
    let named = [
        "HUP", "INT", "QUIT", "TRAP", "ABRT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "CHLD", "CONT", "URG", "XCPU",
        "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "SYS",
    ];
    let mut signals: Vec<String> = named.iter().map(|name| name.to_string()).collect();
    if cfg!(target_os = "linux") {
        signals.extend(["STKFLT", "PWR"].map(String::from));
        signals.extend((34..=64).map(|number| number.to_string()));
    }
    signals
}

#[test]
fn no_signal_ends_it_before_the_input_does() {
    let site = Site::new();
    let mut child = site.start("state");
    pass(&mut child, &lines(0..1), "before any signal");
    let mut sent = 1;
    for name in signals() {
        signal(child.id(), &name);
        pass(&mut child, &lines(sent..sent + 1), &format!("after {name}"));
        sent += 1;
    }
    // All at once, too.
    signals().iter().for_each(|name| signal(child.id(), name));
    pass(&mut child, &lines(sent..sent + 100), "after all of them");
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", log(&output));
    assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), sent + 100);
    assert!(log(&output).contains("SIGTERM: going on until the input ends"), "{}", log(&output));
}

/// The same for one that counts nothing, because of its configuration.
#[test]
fn no_signal_ends_one_that_cannot_count() {
    let site = Site::with("no_such_key = 1\n");
    let mut child = site.start("state");
    pass(&mut child, &lines(0..1), "before any signal");
    for name in signals() {
        signal(child.id(), &name);
        pass(&mut child, &lines(0..1), &format!("after {name}"));
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn usr1_writes_the_rows_at_once() {
    // By itself it would write the rows within the first minute, and then after an hour.
    let config = CONFIG.replace("every = \"1s\"", "every = \"1h\"");
    assert!(config.contains("daily_every = \"1h\""));
    let site = Site::with(&config);
    let mut child = site.start("state");
    for round in 1..=4 {
        pass(&mut child, &lines((round - 1) * 10..round * 10), "a stream");
        signal(child.id(), "USR1");
        wait_for("rows of hours and of the running day", Duration::from_secs(20), || {
            let sink = site.path("state/summary.db");
            let has_tables =
                sink.exists() && site.value("SELECT COUNT(*) FROM sqlite_master WHERE name = 's_daily'") == 1;
            has_tables
                && site.value("SELECT COALESCE(SUM(n), 0) FROM s_hourly") == round * 10
                && site.value("SELECT COALESCE(SUM(n), 0) FROM s_daily") == round * 10
        });
    }
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(log(&output).contains("SIGUSR1: a flush is asked for"), "{}", log(&output));
}

/// The program at a terminal of its own: what is written to the child's stdin is typed there.
struct Terminal {
    site: Site,
    script: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn start() -> Terminal {
        let site = Site::new();
        let config = site.configure("state");
        let program = env!("CARGO_BIN_EXE_telegraf-rollup");
        let run = format!("exec '{program}' run --config '{}'", config.display());
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--command", &run, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script runs");
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, text) = (script.stdout.take().expect("a pipe"), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut bytes) {
                text.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        let mut terminal = Terminal { site, script, shown };
        terminal.shows("waiting for line protocol; Ctrl-D ends the input");
        terminal.types(&format!("m,host=h v=1 {START}\n"));
        wait_for("the state", PATIENCE, || terminal.site.has_owner("state"));
        terminal
    }

    fn types(&mut self, keys: &str) {
        self.script.stdin.as_mut().expect("a pipe").write_all(keys.as_bytes()).expect("it runs");
    }

    fn shows(&self, text: &str) {
        wait_for(text, PATIENCE, || self.shown.lock().expect("no panic").contains(text));
    }

    /// It ends by itself, and what it has counted is written.
    fn ends(mut self) {
        wait_for("the end", PATIENCE, || self.script.try_wait().expect("a child").is_some());
        let code = self.script.wait().expect("it ends").code();
        assert_eq!(code, Some(0), "{}", self.shown.lock().expect("no panic"));
        assert_eq!(self.site.value("SELECT SUM(n) FROM s_hourly"), 1);
        assert!(self.site.status("state").expect("a status")["ended_at"].is_string(), "an orderly end");
    }
}

#[test]
fn at_a_terminal_the_second_interrupt_ends_it() {
    let mut terminal = Terminal::start();
    terminal.types("\x03");
    terminal.shows("Ctrl-C again, or Ctrl-D, ends it");
    terminal.types("\x03");
    terminal.ends();
}

#[test]
fn at_a_terminal_the_end_of_the_input_and_sigterm_end_it() {
    let mut terminal = Terminal::start();
    terminal.types("\x04");
    terminal.ends();
    let terminal = Terminal::start();
    let pid = terminal.site.status("state").expect("a status")["pid"].as_u64().expect("a process");
    signal(u32::try_from(pid).expect("a number"), "TERM");
    terminal.ends();
}
