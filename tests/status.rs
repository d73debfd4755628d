//! `status` never lies: it looks at the process, and its first line, its exit code and the log agree.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;
use support::site::{Site, lines, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

/// What `status` says, and whether its exit code is 0.
fn asked(site: &Site) -> (String, bool) {
    let output = site.tool("status", "state").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (said, output.status.success())
}

/// The first line, as soon as it begins so.
fn begins(site: &Site, text: &str, is_well: bool) -> String {
    let mut last = (String::new(), false);
    wait_for(&format!("status to begin with {text:?}"), PATIENCE, || {
        last = asked(site);
        last.0.starts_with(text) && last.1 == is_well
    });
    last.0
}

fn started(site: &Site, input: &[u8]) -> Child {
    let mut child = site.start("state");
    child.stdin.as_mut().expect("a pipe").write_all(input).expect("it reads");
    child
}

fn ended(mut child: Child) {
    drop(child.stdin.take());
    child.wait_with_output().expect("it ends");
}

#[test]
fn where_nothing_has_run_it_says_what_to_do() {
    let site = Site::new();
    let (said, is_well) = asked(&site);
    assert!(said.starts_with("1 thing needs you: nothing has run with this configuration yet") && !is_well, "{said}");
    assert!(said.contains("state does not exist: start or reload Telegraf"), "{said}");
    assert!(!site.path("state").exists(), "it touches nothing");
}

#[test]
fn it_is_healthy_then_ended_well() {
    let site = Site::new();
    let child = started(&site, &lines(0..100));
    begins(&site, &format!("healthy: process {} counts since", child.id()), true);
    wait_for("the rows", PATIENCE, || asked(&site).0.contains("; the last rows were written "));
    assert!(asked(&site).0.contains("in memory: 4 devices, "), "{}", asked(&site).0);
    ended(child);
    // At once, and not only when the file has become old.
    let (said, is_well) = asked(&site);
    assert!(
        said.starts_with("ended ") && said.lines().next().is_some_and(|line| line.ends_with(": everything is written")),
        "{said}"
    );
    assert!(is_well && said.contains("windows: all are written") && !said.contains("never"), "{said}");
}

/// A run of a moment, as `telegraf/try` does it.
#[test]
fn a_short_run_leaves_a_status_that_is_understood() {
    let site = Site::new();
    site.run("state", &lines(0..1));
    let (said, is_well) = asked(&site);
    assert!(is_well && said.starts_with("ended ") && said.contains("in memory: 1 device, 1 series"), "{said}");
    assert!(said.contains("1 seen, 1 of them matches a source, 1 feeds a column, 1 point counted"), "{said}");
}

#[test]
fn who_was_killed_does_not_run() {
    let site = Site::new();
    let mut child = started(&site, &lines(0..100));
    begins(&site, &format!("healthy: process {} counts since", child.id()), true);
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    let (said, is_well) = asked(&site);
    assert!(said.starts_with("ended without a word, after ") && !is_well, "{said}");
    assert!(said.contains("it was killed, or the machine stopped"), "{said}");
    // The next one is not taken for the one before.
    let next = started(&site, &lines(100..200));
    begins(&site, &format!("healthy: process {} counts since", next.id()), true);
    ended(next);
}

/// The log says E!, and so does the status; rows that were not written at the end wait, and it says so.
#[test]
fn a_sink_that_fails_needs_somebody_and_the_end_says_what_waits() {
    let mut site = Site::new();
    let sink = site.path("folder");
    std::fs::create_dir(&sink).expect("made");
    site.config = site.config.replace(&site.path("sink.db").display().to_string(), &sink.display().to_string());
    let child = started(&site, &lines(0..100));
    let said = begins(&site, "1 thing needs you: the sink ", false);
    assert!(said.contains("  - the sink "), "{said}");
    ended(child);
    let (said, is_well) = asked(&site);
    assert!(
        said.starts_with("ended ")
            && said.contains("they wait in state_dir, and the next start writes them")
            && !is_well,
        "{said}"
    );
    // As a guest of the next start, without a line: what waits is still known.
    site.run("state", b"mem,host=a v=1\n");
    let (said, is_well) = asked(&site);
    assert!(said.starts_with("ended ") && said.contains("not written: ") && !is_well, "{said}");
    assert!(said.contains("nothing is counted: none of 1 line matches") || said.contains("1 line"), "{said}");
}

#[test]
fn json_has_the_verdict() {
    let site = Site::new();
    site.run("state", &lines(0..10));
    let output = site.tool("status", "state").arg("--json").output().expect("it runs");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && json["verdict"]["is_well"] == true, "{json}");
    assert!(json["verdict"]["line"].as_str().expect("a line").starts_with("ended "), "{json}");
    assert_eq!(json["version"], 1);
}

/// Looking, again and again, costs the owner nothing, and a process that starts meanwhile still becomes it.
#[test]
fn looking_takes_the_directory_from_nobody() {
    let site = Site::new();
    let path = site.configure("state");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let mut command = support::program();
                let _ = command.args(["status", "--config"]).arg(&path).output().expect("it runs");
            }
        });
        for round in 0..3 {
            site.run("state", &lines(round * 100..(round + 1) * 100));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 300);
}

/// As a user who may not look: who may.
#[cfg(unix)]
#[test]
fn who_may_not_look_is_told_who_may() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: who_may_not_look_is_told_who_may: needs root");
        return;
    }
    let site = Site::new();
    site.run("state", &lines(0..10));
    let copy = site.path("telegraf-rollup");
    support::copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &copy);
    let rights = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    rights(site.folder.path(), 0o755);
    rights(&copy, 0o755);
    chown(site.path("state"), Some(23_456), None).expect("root may");
    rights(&site.path("state"), 0o700);
    let mut command = std::process::Command::new(&copy);
    command.args(["status", "--config"]).arg(site.configure("state")).uid(12_345).gid(12_345).current_dir("/");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("run this as 23456 (`sudo -u '#23456' telegraf-rollup status"),
        "{said}"
    );
}

/// `resend` says whether somebody is there to do it.
#[test]
fn resend_says_when_it_is_done() {
    let site = Site::new();
    let resend = || {
        let output = site.tool("resend", "state").output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert!(resend().contains("there is no state in "), "{}", resend());
    let child = started(&site, &lines(0..1));
    begins(&site, "healthy: process ", true);
    wait_for("the state", PATIENCE, || site.path("state/state.db").exists());
    assert!(resend().contains("begins within a second"), "{}", resend());
    ended(child);
    assert!(resend().contains("nothing runs with this state now"), "{}", resend());
    let output = site.run("state", &lines(0..1));
    assert!(support::site::log(&output).contains("resend: 1 window is written again"), "{output:?}");
}

/// The view comes again and again, each time as it is then.
#[test]
fn a_view_that_is_watched_follows_the_process() {
    let site = Site::new();
    let child = started(&site, &lines(0..10));
    begins(&site, "healthy: process ", true);
    let mut watch = site.tool("status", "state").arg("--watch").stdout(Stdio::piped()).spawn().expect("it starts");
    let views = BufReader::new(watch.stdout.take().expect("a pipe"));
    let mut child = Some(child);
    let has_ended = views.lines().map_while(Result::ok).any(|line| {
        if line.starts_with("healthy: process ") {
            child.take().into_iter().for_each(ended);
        }
        line.starts_with("ended ")
    });
    let _ = watch.kill();
    watch.wait().expect("it ends");
    assert!(has_ended);
}
