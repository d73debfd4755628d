//! The first minute, and what is said when a trouble is over: on the real process.

mod support;

use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::program;
use support::site::{CONFIG, Site, lines, log, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

/// A process with its log as it comes.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().expect("it starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (mut stderr, text) = (child.stderr.take().expect("a pipe"), said.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut bytes) {
                text.lock().expect("no panic").push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Running { child, said }
    }

    fn pass(&mut self, lines: &[u8]) {
        self.child.stdin.as_mut().expect("a pipe").write_all(lines).expect("it reads");
        let mut back = vec![0; lines.len()];
        self.child.stdout.as_mut().expect("a pipe").read_exact(&mut back).expect("it writes");
        assert!(back == lines, "stdout is not the input");
    }

    fn says(&self, text: &str) {
        wait_for(&format!("the log to say {text:?}, after {}", self.said()), PATIENCE, || self.said().contains(text));
    }

    fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
        self.said()
    }
}

/// A status as soon as it says something.
fn status(site: &Site, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    wait_for("the status", PATIENCE, || {
        found = site.status("state").filter(&is_it);
        found.is_some()
    });
    found.expect("it was found")
}

/// A run of less than a second in which no line matches leaves a status that says what has come.
#[test]
fn a_run_that_matches_nothing_leaves_a_status() {
    let site = Site::new();
    site.run("state", b"mem,host=a v=1\nm,site=x v=1\nmem,host=b v=1\n");
    let status = site.status("state").expect("a status");
    assert_eq!((&status["role"], status["lines"]["seen"].as_u64()), (&Value::from("guest"), Some(3)));
    assert_eq!(status["lines"]["no_key"].as_u64(), Some(1));
    assert!(status["ended_at"].is_string(), "{status}");
    let arrivals = &status["arrivals"];
    assert_eq!(arrivals["measurements"][0], serde_json::json!({ "name": "mem", "lines": 2 }));
    assert_eq!(arrivals["missing_tags"], serde_json::json!(["host"]));
    // Nothing was claimed for good, and nothing counted.
    assert!(!site.path("state/state.db").exists());
}

/// Without any input the status is there at once; the log says when the first rows are due.
#[test]
fn a_process_that_waits_for_its_first_line_says_so() {
    let site = Site::new();
    let mut running = Running::start(&mut site.command("state"));
    let before = status(&site, |status| status["role"] == "guest");
    assert!(before["ended_at"].is_null() && before["lines"]["seen"] == 0, "{before}");
    running.says("I! started: rows go to SQLite");
    running.says("the first ones are due 1 second after the first line that a source asks for");
    running.pass(&lines(0..10));
    running.says("I! counting: the first line is `m,host=h0`; rows are due in SQLite");
    let after = status(&site, |status| status["role"] == "owner");
    assert_eq!((&after["arrivals"], after["writer"].is_string()), (&Value::Null, true));
    running.end();
}

/// Who does not own the directory writes no status over the owner's, neither while it waits for it nor without a match.
#[test]
fn a_guest_leaves_the_owner_s_status_alone() {
    let site = Site::new();
    let mut owner = Running::start(&mut site.command("state"));
    owner.pass(&lines(0..10));
    status(&site, |status| status["role"] == "owner");
    let output = site.run("state", b"mem,host=a v=1\n");
    assert!(log(&output).contains("started"), "{}", log(&output));
    let mut waiting = Running::start(&mut site.command("state"));
    waiting.pass(&lines(10..20));
    waiting.end();
    let status = site.status("state").expect("a status");
    assert_eq!((&status["role"], status["pid"].as_u64()), (&Value::from("owner"), Some(owner.child.id().into())));
    owner.end();
}

/// After a minute: how many lines, of which measurements, and what comes closest. It takes a minute.
#[test]
fn after_a_minute_without_a_match_the_log_says_what_comes() {
    let site = Site::with(&CONFIG.replace("measurement = \"m\"", "measurement = \"m\", tags = { kind = \"all\" }"));
    let mut running = Running::start(&mut site.command("state"));
    running.pass(b"cpu,host=a v=1\ncpu,host=b v=1\nm,host=a,kind=one v=1\n");
    std::thread::sleep(Duration::from_secs(5));
    let said = {
        wait_for("the minute", Duration::from_secs(90), || running.said().contains("what to do"));
        running.end()
    };
    assert!(
        said.contains("W! nothing is counted: none of 3 lines matches a source; lines by measurement: cpu (2), m (1)"),
        "{said}"
    );
    assert!(
        said.contains(
            "W! what comes closest: `m,host=a,kind=one`; s.sum_v asks for kind=\"all\", and this line has kind=\"one\""
        ),
        "{said}"
    );
}

/// A configuration that is corrected: how long it took, and how many lines passed meanwhile.
#[test]
fn a_configuration_that_is_corrected_is_said_to_be() {
    let site = Site::new();
    let mut command = site.command("state");
    let path = site.path("state.toml");
    let valid = std::fs::read_to_string(&path).expect("readable");
    std::fs::write(&path, "odd = 1\n").expect("writable");
    let mut running = Running::start(&mut command);
    running.says("problem");
    running.pass(&lines(0..7));
    std::fs::write(&path, valid).expect("writable");
    running.says("state.toml is valid now, after ");
    running.says("seconds: lines are counted from here on; 7 lines passed uncounted");
    running.pass(&lines(7..10));
    running.end();
    assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 3);
}

/// The sink is away, and comes back: said once each, with what it cost.
#[test]
fn a_sink_that_works_again_is_said_to() {
    let site = Site::new();
    let sink = site.path("sink.db");
    // A folder in its place.
    std::fs::create_dir(&sink).expect("made");
    let mut running = Running::start(&mut site.command("state"));
    running.pass(&lines(0..100));
    running.says("E! the sink");
    status(&site, |status| status["troubles"][0]["what"] == "sink");
    std::thread::sleep(Duration::from_secs(4));
    std::fs::remove_dir(&sink).expect("removed");
    running.says("I! the sink works again after ");
    status(&site, |status| status["troubles"] == serde_json::json!([]));
    let said = running.end();
    assert_eq!(said.matches("E! the sink").count(), 1, "{said}");
    assert!(said.contains("rows were late, nothing is lost"), "{said}");
}

/// An edited file is looked at: what is valid asks for a reload, what is not says why, and `status` shows both.
#[test]
fn an_edited_configuration_is_noticed() {
    let site = Site::new();
    let mut command = site.command("state");
    let path = site.path("state.toml");
    let first = std::fs::read_to_string(&path).expect("readable");
    let mut running = Running::start(&mut command);
    running.pass(&lines(0..10));
    status(&site, |status| status["role"] == "owner");
    std::fs::write(&path, format!("odd = 1\n{first}")).expect("writable");
    running.says("state.toml has changed and is not valid: line 1: odd");
    std::fs::write(&path, format!("timezone = \"Asia/Seoul\"\n{first}")).expect("writable");
    running.says("W! ");
    running.says("state.toml has changed and is valid: reload Telegraf");
    status(&site, |status| status["troubles"][0]["what"] == "edited");
    let mut shown = program();
    let output = shown.args(["status", "--config"]).arg(&path).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && said.starts_with("1 thing needs you: ") && said.contains("has changed"),
        "{said}"
    );
    std::fs::write(&path, first).expect("writable");
    running.says("says again what is in use");
    running.end();
}

/// With an aggregator Telegraf starts a second instance: it says that nothing is to be done. Another Telegraf is told apart.
#[cfg(target_os = "linux")]
#[test]
fn the_second_instance_of_one_telegraf_is_told_from_another_telegraf() {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Stdio;
    let site = Site::new();
    let program = env!("CARGO_BIN_EXE_telegraf-rollup");
    let config = site.configure("state");
    let script = site.path("telegraf");
    // Two children of one parent; what each says goes to a file of its own.
    let text = format!(
        "#!/bin/sh\nmkfifo '{0}/one' '{0}/two'\n'{program}' run --config '{1}' < '{0}/one' > /dev/null 2> '{0}/one.log' &\n\
         exec 3> '{0}/one'\ncat '{0}/lines' >&3\nsleep 3\n\
         '{program}' run --config '{1}' < '{0}/two' > /dev/null 2> '{0}/two.log' &\n\
         exec 4> '{0}/two'\ncat '{0}/lines' >&4\nsleep 20\nexec 4>&-\nexec 3>&-\nwait\n",
        site.folder.path().display(),
        config.display()
    );
    std::fs::write(site.path("lines"), lines(0..10)).expect("written");
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("changed");
    let mut parent = Command::new("/bin/sh").arg(&script).stdin(Stdio::null()).spawn().expect("it starts");
    wait_for("the owner", PATIENCE, || site.status("state").is_some_and(|status| status["role"] == "owner"));
    let mut other = Running::start(&mut site.command("state"));
    other.pass(&lines(0..10));
    other.says("is owned by another process (");
    other.says("give every Telegraf a state_dir of its own");
    other.end();
    assert!(parent.wait().expect("it ends").success());
    let second = std::fs::read_to_string(site.path("two.log")).expect("readable");
    assert!(second.contains("I! this is Telegraf's second instance (it has an aggregator)"), "{second}");
    assert!(!second.contains("W! ") && !second.contains("E! "), "{second}");
}
