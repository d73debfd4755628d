//! Who may claim a state directory: not who only tests, and not another user. What is another user's is named with what to type,
//! and heals by itself. Only root can play two users: without it these tests are skipped.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::feed;
use support::site::{CONFIG, Site, lines, log, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
/// A user without a name.
const STRANGER: u32 = 12_345;

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: {test}: needs root");
    }
    is_root
}

/// Gives everything in a folder away, as `chown -R` does.
fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).expect("root may");
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            give(&entry.expect("an entry").path(), user);
        }
    }
}

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
        wait_for(&format!("the log to say {text:?}"), PATIENCE, || self.said().contains(text));
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

/// The program where another user can run it.
fn copy_of_the_program(folder: &Path) -> PathBuf {
    let copy = folder.join("telegraf-rollup");
    support::copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &copy);
    for path in [folder, &copy] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("changed");
    }
    copy
}

/// `run` by another user.
fn as_stranger(site: &Site, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(site.configure("state"));
    command.uid(STRANGER).gid(STRANGER).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The log names the owner, this user and the command; lines pass; nothing is touched. After the command, counting begins.
#[test]
fn another_user_s_directory_heals_by_itself() {
    if !is_root("another_user_s_directory_heals_by_itself") {
        return;
    }
    let site = Site::with(CONFIG);
    std::fs::create_dir(site.path("state")).expect("a folder");
    give(&site.path("state"), STRANGER);
    let mut running = Running::start(&mut site.command("state"));
    running.pass(&lines(0..100));
    let real = site.path("state").canonicalize().expect("there");
    running.says(&format!(
        "{} belongs to another user ({STRANGER}; this process runs as root)",
        site.path("state").display()
    ));
    running.says(&format!("`chown -R root:root {}`", real.display()));
    assert_eq!(std::fs::read_dir(site.path("state")).expect("a folder").count(), 0);
    give(&site.path("state"), 0);
    running.says("can be used now: lines are counted from here on");
    running.pass(&lines(100..200));
    running.end();
    assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 100);
}

/// Root has run it once: whatever of it lies in the service's directory is named, and is mended by one command.
#[test]
fn what_root_has_left_in_the_directory_is_named_and_heals() {
    if !is_root("what_root_has_left_in_the_directory_is_named_and_heals") {
        return;
    }
    for left in ["lock", "state.db", "journal"] {
        let site = Site::with(CONFIG);
        let program = copy_of_the_program(site.folder.path());
        site.run("state", &lines(0..10));
        give(&site.path("state"), STRANGER);
        give(&site.path("state").join(left), 0);
        let mut running = Running::start(&mut as_stranger(&site, &program));
        running.pass(&lines(10..20));
        running.says(&format!("state/{left} belongs to another user (root; this process runs as {STRANGER})"));
        running.says(&format!("`chown -R {STRANGER}:{STRANGER} "));
        give(&site.path("state"), STRANGER);
        running.says("can be used now");
        running.pass(&lines(20..30));
        running.end();
        assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 20, "{left}");
    }
    // A single file of the journal.
    let site = Site::with(CONFIG);
    let program = copy_of_the_program(site.folder.path());
    site.run("state", &lines(0..10));
    std::fs::write(site.path("state/journal/spare-3.old"), "").expect("written");
    give(&site.path("state"), STRANGER);
    give(&site.path("state/journal/spare-3.old"), 0);
    let output = feed(&mut as_stranger(&site, &program), &lines(10..20));
    assert!(log(&output).contains("state/journal/spare-3.old belongs to another user (root"), "{}", log(&output));
}

/// A folder that this user may not make: the log says by which command it is made, and counting begins after it.
#[test]
fn a_directory_that_cannot_be_made_is_named_with_the_command_that_makes_it() {
    if !is_root("a_directory_that_cannot_be_made_is_named_with_the_command_that_makes_it") {
        return;
    }
    let site = Site::with(CONFIG);
    let program = copy_of_the_program(site.folder.path());
    let mut running = Running::start(&mut as_stranger(&site, &program));
    running.pass(&lines(0..10));
    let state = site.path("state");
    running.says(&format!("`install -d -o {STRANGER} -g {STRANGER} {}`", state.display()));
    // In one step: for a moment it would be root's.
    let made = site.path("made");
    std::fs::create_dir(&made).expect("made");
    give(&made, STRANGER);
    std::fs::rename(&made, &state).expect("renamed");
    running.says("can be used now");
    running.pass(&lines(10..20));
    let said = running.end();
    let healed = said.split_once("can be used now").expect("it says so").1;
    assert!(!healed.contains("E! ") && !healed.contains("W! "), "nothing is wrong any more: {said}");
    // What came before may count, too: it was kept in memory.
    assert!(site.value("SELECT SUM(n) FROM s_hourly") >= 10);
}

/// The directory is root's when it is looked at next, and given away only then: lines that were kept before must not matter.
#[test]
fn a_directory_that_is_made_and_given_away_later_heals() {
    if !is_root("a_directory_that_is_made_and_given_away_later_heals") {
        return;
    }
    let site = Site::with(CONFIG);
    let program = copy_of_the_program(site.folder.path());
    let mut running = Running::start(&mut as_stranger(&site, &program));
    running.pass(&lines(0..10));
    running.says("cannot be used");
    std::fs::create_dir(site.path("state")).expect("made");
    running.says("belongs to another user");
    give(&site.path("state"), STRANGER);
    running.says("can be used now");
    running.pass(&lines(10..20));
    let said = running.end();
    assert!(!said.contains("could not be saved"), "{said}");
    assert!(site.value("SELECT SUM(n) FROM s_hourly") >= 10);
}

/// A parent by the name of Telegraf.
fn parent(site: &Site, arguments: &[&str]) -> Command {
    let script = site.path("telegraf");
    let program = env!("CARGO_BIN_EXE_telegraf-rollup");
    let config = site.configure("state");
    let text = format!("#!/bin/sh\n'{program}' run --config '{}'\nexit $?\n", config.display());
    std::fs::write(&script, text).expect("writable");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("changed");
    let mut command = Command::new("/bin/sh");
    command.arg(&script).args(arguments);
    command
}

#[cfg(target_os = "linux")]
#[test]
fn who_only_tests_touches_nothing() {
    for arguments in [&["--config", "x.conf", "--test"][..], &["-test"], &["--test-wait", "5"]] {
        let site = Site::with(CONFIG);
        let output = feed(&mut parent(&site, arguments), &lines(0..100));
        assert!(output.stdout == lines(0..100), "stdout is not the input");
        assert!(log(&output).contains("Telegraf only tests"), "{arguments:?}: {}", log(&output));
        assert!(!site.path("state").exists(), "{arguments:?}");
    }
    for arguments in [&["--config", "x.conf", "--once"][..], &["--once", "--test-wait", "5"], &[]] {
        let site = Site::with(CONFIG);
        let output = feed(&mut parent(&site, arguments), &lines(0..100));
        assert!(output.stdout == lines(0..100), "stdout is not the input");
        assert_eq!(site.value("SELECT SUM(n) FROM s_hourly"), 100, "{arguments:?}: {}", log(&output));
    }
}

/// `schema --apply` by root before the first start would make the directory root's.
#[test]
fn schema_replay_and_check_never_make_the_state_directory() {
    let site = Site::with(CONFIG);
    let output = site.tool("schema", "state").arg("--apply").output().expect("it runs");
    let said = log(&output);
    assert!(!output.status.success() && said.contains("state does not exist: `run` makes it"), "{said}");
    let output = feed(site.tool("replay", "state").arg("-"), &lines(0..10));
    assert!(output.status.success(), "{}", log(&output));
    let output = site.tool("check", "state").output().expect("it runs");
    assert!(output.status.success(), "{}", log(&output));
    assert!(!site.path("state").exists());
    // Where the folder is, the tables are made.
    std::fs::create_dir(site.path("state")).expect("made");
    let output = site.tool("schema", "state").arg("--apply").output().expect("it runs");
    assert!(output.status.success(), "{}", log(&output));
    assert_eq!(site.value("SELECT COUNT(*) FROM s_hourly"), 0);
}

/// A file that the service could not write is not left in its directory.
#[test]
fn schema_leaves_no_file_in_another_user_s_directory() {
    if !is_root("schema_leaves_no_file_in_another_user_s_directory") {
        return;
    }
    let site = Site::with(CONFIG);
    std::fs::create_dir(site.path("state")).expect("made");
    give(&site.path("state"), STRANGER);
    let output = site.tool("schema", "state").arg("--apply").output().expect("it runs");
    let said = log(&output);
    assert!(
        !output.status.success() && said.contains(&format!("`sudo -u '#{STRANGER}' telegraf-rollup schema")),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(site.path("state")).expect("a folder").count(), 0);
}

/// Root asks for everything again, with a umask that hides what it writes: the service reads it all the same.
#[test]
fn a_request_of_root_can_be_read_by_the_service() {
    if !is_root("a_request_of_root_can_be_read_by_the_service") {
        return;
    }
    let site = Site::with(CONFIG);
    let copy = copy_of_the_program(site.folder.path());
    site.run("state", &lines(0..10));
    give(&site.path("state"), STRANGER);
    let resend = format!("umask 077; '{}' resend --config '{}'", copy.display(), site.configure("state").display());
    assert!(Command::new("/bin/sh").args(["-c", &resend]).stdout(Stdio::null()).status().expect("it runs").success());
    let output = feed(&mut as_stranger(&site, &copy), &lines(10..20));
    assert!(log(&output).contains("windows are written again"), "{}", log(&output));
    assert!(!site.path("state/resend.request").exists());
}
