//! `check`: everything that it looks at is right on real files, and named with what to do where it is not. Only root can play
//! another user: without it those tests are skipped.
#![cfg(unix)]

mod support;

use serde_json::Value;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use support::site::CONFIG;
use support::{all_said, copy_program, feed, program, repository};

/// A user without a name, and a group of its own.
const STRANGER: u32 = 12_345;
const GROUP: u32 = 54_321;

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: {test}: needs root");
    }
    is_root
}

/// A machine: a configuration, and the folders of the system that `check` looks into.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().expect("a folder") };
        mode(machine.folder.path(), 0o755);
        std::fs::create_dir_all(machine.path("root/proc")).expect("made");
        machine.configure(&format!("state_dir = {:?}\n{CONFIG}", machine.path("state")));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.path("rollup.toml"), text).expect("writable");
    }

    /// Writes a file of Telegraf.
    fn telegraf(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("root/etc/telegraf").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("writable");
        path
    }

    /// A snippet that is right, for this configuration.
    fn snippet(&self) -> String {
        format!(
            "[[processors.execd]]\n  command = [{:?}, \"run\", \"--config\", {:?}]\n  restart_delay = \"1s\"\n  namepass = [\"m\"]\n",
            env!("CARGO_BIN_EXE_telegraf-rollup"),
            self.path("rollup.toml")
        )
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.env("TELEGRAF_ROLLUP_ROOT", self.path("root"));
        command.args(["check", "--config"]).arg(self.path("rollup.toml"));
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().expect("it starts")
    }

    /// The exit code, and the report for programs.
    fn check(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.output(&[arguments, &["--json"]].concat());
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", all_said(&output)));
        (output.status.code().expect("it ends"), report)
    }

    /// There is one finding of this weight that says something of a subject, and it says what to do. Returns its remedy.
    fn finds(&self, arguments: &[&str], weight: &str, subject: &str, words: &str) -> String {
        let (code, report) = self.check(arguments);
        let found = findings(&report);
        let these: Vec<_> =
            found.iter().filter(|f| f.weight == weight && f.subject == subject && f.text.contains(words)).collect();
        assert_eq!(these.len(), 1, "{weight} {subject} {words:?}: {found:#?}");
        match weight {
            "fine" => assert!(!these[0].text.is_empty()),
            "warning" => assert!(code >= 1 && !these[0].remedy.is_empty(), "{code} {found:#?}"),
            _ => assert!(code == 2 && !these[0].remedy.is_empty(), "{code} {found:#?}"),
        }
        these[0].remedy.clone()
    }

    /// Nothing is wrong.
    fn is_fine(&self, arguments: &[&str]) {
        let (code, report) = self.check(arguments);
        assert!(code == 0 && report["verdict"] == "ready", "{report:#}");
    }
}

#[derive(Debug)]
struct Found {
    weight: String,
    subject: String,
    text: String,
    remedy: String,
}

fn findings(report: &Value) -> Vec<Found> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_string();
    let found = report["findings"].as_array().expect("findings").iter();
    found
        .map(|finding| Found {
            weight: text(finding, "weight"),
            subject: text(finding, "subject"),
            text: text(finding, "text"),
            remedy: text(finding, "remedy"),
        })
        .collect()
}

/// Does what a remedy says: the command between backticks.
fn follow(remedy: &str) {
    let command = remedy.split('`').nth(1).unwrap_or_else(|| panic!("{remedy}: no command"));
    let status = Command::new("sh").arg("-c").arg(command).status();
    assert!(status.expect("it runs").success(), "{command}");
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
}

/// The first line, the exit code and the verdict say the same, and nothing is made.
#[test]
fn the_first_line_and_the_exit_code_say_it_all() {
    let machine = Machine::new();
    let first = |code: i32, verdict: &str| {
        let output = machine.output(&[]);
        assert_eq!(output.status.code(), Some(code), "{}", all_said(&output));
        let (_, report) = machine.check(&[]);
        assert_eq!((&report["version"], &report["verdict"]), (&Value::from(1), &Value::from(verdict)));
        assert_eq!(report["config"], machine.path("rollup.toml").display().to_string());
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().next().expect("a line").to_string()
    };
    let sink = format!("rows will go to SQLite {}", machine.path("state/summary.db").display());
    assert_eq!(first(0, "ready"), format!("ready: {sink}"));
    machine.telegraf("telegraf.conf", &machine.snippet().replace("restart_delay", "# restart_delay"));
    assert_eq!(first(1, "warnings"), format!("works, with 1 warning: {sink}"));
    std::fs::write(machine.path("state"), "a file").expect("writable");
    assert!(first(2, "failure").starts_with("does not work: "));
    std::fs::remove_file(machine.path("state")).expect("removed");
    assert_eq!(std::fs::read_dir(machine.folder.path()).expect("a folder").count(), 2, "nothing was made");
}

#[test]
fn a_broken_configuration_is_a_report_too() {
    let machine = Machine::new();
    machine.configure("timezone = 5\n[[summary]]\nname = \"s\"\n");
    let (code, report) = machine.check(&[]);
    assert_eq!((code, &report["verdict"]), (2, &Value::from("failure")));
    let problems = report["problems"].as_array().expect("problems");
    assert!(problems.len() >= 2, "{report:#}");
    assert_eq!((&problems[0]["line"], &problems[0]["path"]), (&Value::from(1), &Value::from("timezone")));
    assert!(problems[0]["message"].as_str().expect("a text").contains("string"));
    std::fs::remove_file(machine.path("rollup.toml")).expect("removed");
    machine.finds(&[], "failure", "config", "cannot read");
}

#[test]
fn the_clock_of_the_zone_is_shown() {
    let machine = Machine::new();
    machine.configure(&format!("timezone = \"Asia/Kathmandu\"\nstate_dir = {:?}\n{CONFIG}", machine.path("state")));
    machine.finds(&[], "fine", "config.zone", "there now (UTC+05:45)");
    machine.configure(&format!("timezone = \"America/Phoenix\"\nstate_dir = {:?}\n{CONFIG}", machine.path("state")));
    machine.finds(&[], "fine", "config.zone", "there now (UTC-07:00)");
}

#[test]
fn a_state_directory_that_cannot_be_is_named() {
    let machine = Machine::new();
    let with = |dir: &str| machine.configure(&format!("state_dir = {dir:?}\n{CONFIG}"));
    machine.finds(&[], "fine", "state_dir", "will be made by run");
    for dir in ["/proc/nope", "/sys/nope/deeper"] {
        with(dir);
        machine.finds(&[], "failure", "state_dir", "the kernel's own");
    }
    std::fs::write(machine.path("file"), "").expect("writable");
    with(&machine.path("file").display().to_string());
    machine.finds(&[], "failure", "state_dir", "is a file");
    with(&machine.path("file/state").display().to_string());
    machine.finds(&[], "failure", "state_dir", "is a file");
    // What is there already.
    std::fs::create_dir(machine.path("there")).expect("made");
    with(&machine.path("there").display().to_string());
    machine.finds(&[], "fine", "state_dir", "can be written by");
    // The sink's file may lie elsewhere.
    machine.configure(&format!(
        "state_dir = {:?}\n{CONFIG}[sink]\nurl = \"sqlite:///proc/nope/summary.db\"\n",
        machine.path("there")
    ));
    machine.finds(&[], "failure", "file.sink", "the kernel's own");
}

/// A small disk, and one in memory.
#[test]
fn a_disk_without_room_is_named() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("small")).expect("made");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(machine.path("small")).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_disk_without_room_is_named: needs the right to mount");
        return;
    }
    machine.configure(&format!("state_dir = {:?}\n{CONFIG}", machine.path("small/state")));
    machine.finds(&[], "fine", "state_dir", "in memory (tmpfs)");
    machine.finds(&[], "warning", "state_dir", "MiB are free");
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(machine.path("small")).status();
    assert!(remounted.expect("mount runs").success());
    machine.finds(&[], "failure", "state_dir", "read-only");
    let unmounted = Command::new("umount").arg(machine.path("small")).status();
    assert!(unmounted.expect("umount runs").success());
}

/// Every file is judged by the rights of the user that is asked for, with the very command that helps.
#[test]
fn files_are_judged_by_the_rights_of_the_user() {
    if !is_root("files_are_judged_by_the_rights_of_the_user") {
        return;
    }
    let machine = Machine::new();
    let nobody = ["--as", "nobody"];
    let remedy = machine.finds(&nobody, "failure", "state_dir", "nobody cannot make it in");
    assert!(remedy.contains("install -d -o nobody -g nogroup "), "{remedy}");
    std::fs::create_dir(machine.path("state")).expect("made");
    let remedy =
        machine.finds(&nobody, "failure", "state_dir", "belongs to another user (root; Telegraf runs as nobody)");
    assert!(remedy.contains("chown -R nobody:nogroup "), "{remedy}");
    follow(&remedy);
    machine.is_fine(&nobody);
    // A folder that is missing.
    std::fs::remove_dir(machine.path("state")).expect("removed");
    follow(&machine.finds(&nobody, "failure", "state_dir", "nobody cannot make it in"));
    machine.is_fine(&nobody);
    // What root has left in it.
    std::fs::write(machine.path("state/lock"), "").expect("writable");
    machine.finds(&nobody, "failure", "state_dir", "state/lock belongs to another user (root;");
    std::fs::remove_file(machine.path("state/lock")).expect("removed");
    // The configuration.
    mode(&machine.path("rollup.toml"), 0o600);
    let remedy = machine.finds(&nobody, "failure", "file.config", "its mode does not allow it");
    machine.is_fine_but_for(&[], "state_dir");
    follow(&remedy);
    machine.is_fine(&nobody);
    // A link into a folder that is closed.
    std::fs::create_dir(machine.path("closed")).expect("made");
    std::fs::rename(machine.path("rollup.toml"), machine.path("closed/rollup.toml")).expect("moved");
    symlink("closed/rollup.toml", machine.path("rollup.toml")).expect("made");
    mode(&machine.path("closed"), 0o700);
    let words = format!("the folder {} is closed", machine.path("closed").display());
    follow(&machine.finds(&nobody, "failure", "file.config", &words));
    assert_eq!(std::fs::metadata(machine.path("closed")).expect("there").permissions().mode() & 0o777, 0o710);
    machine.is_fine(&nobody);
    std::fs::remove_file(machine.path("rollup.toml")).expect("removed");
    std::fs::rename(machine.path("closed/rollup.toml"), machine.path("rollup.toml")).expect("moved");
    mode(&machine.path("rollup.toml"), 0o644);
    // A closed folder on the way.
    mode(machine.folder.path(), 0o700);
    let (code, report) = machine.check(&nobody);
    let closed = format!("the folder {} is closed for that user", machine.folder.path().display());
    assert!(code == 2 && findings(&report).iter().filter(|f| f.text.contains(&closed)).count() >= 2, "{report:#}");
    mode(machine.folder.path(), 0o755);
    // The files of a server's sink.
    let file = |name: &str| {
        std::fs::write(machine.path(name), "secret").expect("writable");
        mode(&machine.path(name), 0o600);
        machine.path(name)
    };
    machine.configure(&format!(
        "state_dir = {:?}\n{CONFIG}[sink]\nurl = \"mysql://u@127.0.0.1:1/d\"\ntls = \"verify-full\"\npassword_file = {:?}\nca_file = \
         {:?}\nclient_cert = {:?}\nclient_key = {:?}\n",
        machine.path("state"),
        file("password"),
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    ));
    for subject in ["file.password", "file.ca", "file.client_cert", "file.client_key"] {
        machine.finds(&nobody, "failure", subject, "cannot be read by nobody");
        machine.finds(&[], "fine", subject, "can be read by root");
    }
    let said = all_said(&machine.output(&nobody));
    assert!(!said.contains("secret"), "{said}");
    chown(machine.path("password"), None, Some(65_534)).expect("root may");
    mode(&machine.path("password"), 0o640);
    machine.finds(&nobody, "fine", "file.password", "can be read by nobody");
    machine.finds(&["--as", "no such user"], "failure", "account", "there is no user");
    machine.finds(&["--as", "12345"], "failure", "state_dir", "Telegraf runs as 12345");
}

impl Machine {
    /// Nothing is wrong but with one subject.
    fn is_fine_but_for(&self, arguments: &[&str], subject: &str) {
        let (_, report) = self.check(arguments);
        assert!(findings(&report).iter().all(|f| f.weight == "fine" || f.subject == subject), "{report:#}");
    }
}

/// A process with the name of Telegraf, as another user with a group beside its own.
struct RunningAgent(Child);

impl RunningAgent {
    fn start(machine: &Machine, arguments: &[&Path]) -> RunningAgent {
        let script = machine.path("telegraf");
        std::fs::write(machine.path("script"), "#!/bin/sh\nwhile :; do sleep 0.2; done\n").expect("writable");
        copy_program(machine.path("script"), &script);
        mode(&script, 0o755);
        let groups = format!("--groups={STRANGER},{GROUP}");
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={STRANGER}"), format!("--regid={STRANGER}"), groups])
            .arg(script)
            .args(arguments);
        let child = command.spawn().expect("setpriv is there");
        let process = Path::new("/proc").join(child.id().to_string());
        support::site::wait_for("its name", std::time::Duration::from_secs(10), || {
            std::fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == "telegraf")
        });
        symlink(&process, machine.path("root/proc").join(child.id().to_string())).expect("made");
        RunningAgent(child)
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The user of a running Telegraf is the one that counts, with all its groups; its arguments say where its configuration is.
#[test]
fn a_running_telegraf_says_who_it_is_and_what_it_reads() {
    if !is_root("a_running_telegraf_says_who_it_is_and_what_it_reads") {
        return;
    }
    let machine = Machine::new();
    std::fs::create_dir(machine.path("state")).expect("made");
    chown(machine.path("state"), Some(STRANGER), Some(STRANGER)).expect("root may");
    chown(machine.path("rollup.toml"), None, Some(GROUP)).expect("root may");
    mode(&machine.path("rollup.toml"), 0o640);
    // The usual places hold something else.
    machine.telegraf("telegraf.conf", "[[inputs.cpu]]\n");
    std::fs::create_dir(machine.path("own.d")).expect("made");
    std::fs::write(machine.path("own.conf"), "[[inputs.cpu]]\n").expect("writable");
    let program = machine.path("telegraf-rollup");
    copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &program);
    mode(&program, 0o755);
    let snippet = machine.snippet().replace(env!("CARGO_BIN_EXE_telegraf-rollup"), program.to_str().expect("UTF-8"));
    std::fs::write(machine.path("own.d/rollup.conf"), &snippet).expect("writable");
    let arguments =
        [Path::new("--config"), &machine.path("own.conf"), Path::new("--config-directory"), &machine.path("own.d")]
            .map(Path::to_path_buf);
    let agent = RunningAgent::start(&machine, &arguments.each_ref().map(PathBuf::as_path));
    let (code, report) = machine.check(&[]);
    assert!(code == 0 && report["as"] == "12345", "{report:#}");
    machine.finds(&[], "fine", "telegraf", "own.d/rollup.conf runs the program with this configuration");
    // The group alone lets it read the file.
    machine.finds(&["--as", "12345"], "failure", "file.config", "cannot be read by 12345");
    // It cannot run this program, nor read that file: it would not start.
    mode(&program, 0o700);
    machine.finds(&[], "failure", "telegraf.command", "cannot be run by 12345");
    mode(&program, 0o755);
    mode(&machine.path("own.d/rollup.conf"), 0o600);
    let remedy = machine.finds(&[], "failure", "telegraf.file", "stops Telegraf from starting");
    assert!(remedy.contains("chmod 644 "), "{remedy}");
    drop(agent);
}

/// The unit's user, also where an administrator has changed it.
#[test]
fn the_unit_of_systemd_names_the_user() {
    if !is_root("the_unit_of_systemd_names_the_user") {
        return;
    }
    let machine = Machine::new();
    let unit = machine.path("root/lib/systemd/system");
    std::fs::create_dir_all(&unit).expect("made");
    std::fs::write(unit.join("telegraf.service"), "[Service]\nUser=nobody\n").expect("writable");
    assert_eq!(machine.check(&[]).1["as"], "nobody");
    let over = machine.path("root/etc/systemd/system/telegraf.service.d");
    std::fs::create_dir_all(&over).expect("made");
    std::fs::write(over.join("override.conf"), "[Service]\nUser=root\n").expect("writable");
    assert_eq!(machine.check(&[]).1["as"], "root");
}

/// Who is not root cannot act as another user: the modes are read, and that is said.
#[test]
fn without_root_modes_are_read_and_that_is_said() {
    if !is_root("without_root_modes_are_read_and_that_is_said") {
        return;
    }
    let machine = Machine::new();
    let program = machine.path("telegraf-rollup");
    copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &program);
    mode(&program, 0o755);
    std::fs::create_dir(machine.path("state")).expect("made");
    let check = |user: &str| {
        let mut command = Command::new(&program);
        command.env("TELEGRAF_ROLLUP_ROOT", machine.path("root")).uid(STRANGER).gid(STRANGER).current_dir("/");
        command.args(["check", "--json", "--as", user, "--config"]).arg(machine.path("rollup.toml"));
        let output = command.output().expect("it starts");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        findings(&report)
    };
    let found = check("nobody");
    assert!(
        found.iter().any(|f| f.text.starts_with("not looked at: what nobody really may; root is needed")),
        "{found:#?}"
    );
    let foreign = found.iter().find(|f| f.subject == "state_dir" && f.weight == "failure").expect("a failure");
    assert!(
        foreign.text.contains("(root; Telegraf runs as nobody)") && foreign.remedy.contains("chown -R nobody "),
        "{foreign:?}"
    );
    chown(machine.path("state"), Some(65_534), Some(65_534)).expect("root may");
    assert!(check("nobody").iter().all(|f| f.subject != "state_dir" || f.weight == "fine"));
    // A password that is hidden from this user is no failure of the other one.
    std::fs::write(machine.path("password"), "x").expect("writable");
    chown(machine.path("password"), Some(65_534), None).expect("root may");
    mode(&machine.path("password"), 0o600);
    machine.configure(&format!(
        "state_dir = {:?}\n{CONFIG}[sink]\nurl = \"mysql://u@127.0.0.1:1/d\"\npassword_file = {:?}\n",
        machine.path("state"),
        machine.path("password")
    ));
    let found = check("nobody");
    assert!(found.iter().all(|f| f.weight == "fine"), "{found:#?}");
    assert!(found.iter().any(|f| f.subject == "sink" && f.text.contains("is hidden from you")), "{found:#?}");
    mode(&machine.path("state"), 0o500);
    assert!(check("nobody").iter().any(|f| f.subject == "state_dir" && f.text.contains("cannot be written by nobody")));
}

/// Without a Telegraf nothing is missing; with one, nothing runs us.
#[test]
fn a_missing_snippet_is_a_warning_where_there_is_a_telegraf() {
    let machine = Machine::new();
    machine.finds(&[], "fine", "telegraf", "there is no Telegraf on this machine");
    machine.is_fine(&[]);
    machine.telegraf("telegraf.conf", "[[inputs.cpu]]\n");
    let remedy = machine.finds(&[], "warning", "telegraf", "runs the program: no line is counted");
    assert!(remedy.contains("processor.conf"), "{remedy}");
    machine.is_fine(&["--telegraf", "none"]);
    machine.telegraf("telegraf.d/rollup.conf", &machine.snippet());
    machine.is_fine(&[]);
    // What Telegraf does not read does not count.
    std::fs::rename(
        machine.path("root/etc/telegraf/telegraf.d/rollup.conf"),
        machine.path("root/etc/telegraf/telegraf.d/x.toml"),
    )
    .expect("moved");
    machine.finds(&[], "warning", "telegraf", "no line is counted");
    let file = machine.path("root/etc/telegraf/telegraf.d/x.toml");
    machine.is_fine(&["--telegraf", file.to_str().expect("UTF-8")]);
    machine.finds(&["--telegraf", "/nowhere.conf"], "failure", "telegraf.file", "/nowhere.conf does not exist");
}

/// One thing of a good snippet is changed at a time.
#[test]
fn every_mistake_in_the_snippet_is_named() {
    let machine = Machine::new();
    machine.telegraf("telegraf.d/rollup.conf", &machine.snippet());
    machine.is_fine(&[]);
    let program = format!("{:?}", env!("CARGO_BIN_EXE_telegraf-rollup"));
    let config = format!("\"--config\", {:?}", machine.path("rollup.toml"));
    let as_output = |text: &str| text.replace("[[processors.execd]]", "[[outputs.execd]]");
    let cases: Vec<(&str, &str, &str, String)> = vec![
        (
            "failure",
            "telegraf.command",
            "does not exist",
            machine.snippet().replace(&program, "\"/nowhere/telegraf-rollup\""),
        ),
        (
            "failure",
            "telegraf.command",
            "does not exist",
            machine.snippet().replace(&program, "\"telegraf-rollup-of-nobody\""),
        ),
        (
            "warning",
            "telegraf.command",
            "depends on the folder",
            machine.snippet().replace(&program, "\"./telegraf-rollup\""),
        ),
        (
            "failure",
            "telegraf.command",
            "its first argument must be \"run\"",
            machine.snippet().replace("\"run\"", "\"check\""),
        ),
        ("failure", "telegraf.command", "cannot be understood", machine.snippet().replace("\"run\", ", "")),
        ("failure", "telegraf.command", "'--outputs'", machine.snippet().replace("\"run\"", "\"run\", \"--outputs\"")),
        ("failure", "telegraf.command", "is no list", {
            let text = machine.snippet();
            let line = text.lines().find(|line| line.contains("command")).expect("a line").to_string();
            text.replace(&line, "  command = \"/usr/bin/telegraf-rollup run\"")
        }),
        ("failure", "telegraf.command", "is one string", {
            let text = machine.snippet();
            let line = text.lines().find(|line| line.contains("command")).expect("a line").to_string();
            text.replace(&line, "  command = [\"/usr/bin/telegraf-rollup run --config x\"]")
        }),
        (
            "failure",
            "telegraf.output",
            "nothing comes back",
            machine.snippet().replace("\"run\"", "\"run\", \"--output\""),
        ),
        ("warning", "telegraf.output", "lacks `--output`", as_output(&machine.snippet())),
        (
            "warning",
            "telegraf.config",
            "another configuration",
            machine.snippet().replace(&config, "\"--config\", \"/etc/other.toml\""),
        ),
        ("warning", "telegraf.config", "another configuration", machine.snippet().replace(&format!(", {config}"), "")),
        ("failure", "telegraf.data_format", "\"json\"", machine.snippet() + "  data_format = \"json\"\n"),
        ("warning", "telegraf.restart_delay", "10 s", machine.snippet().replace("restart_delay", "# restart_delay")),
        (
            "warning",
            "telegraf.namepass",
            "never lets \"m\" through: s.max_v, s.n, s.sum_v get",
            machine.snippet().replace("[\"m\"]", "[\"cpu\"]"),
        ),
        (
            "fine",
            "telegraf.namepass",
            "not looked at: what `metricpass`",
            machine.snippet() + "  metricpass = \"true\"\n",
        ),
        (
            "fine",
            "telegraf.command",
            "which has variables in it",
            machine.snippet().replace(&program, "\"${HOME}/telegraf-rollup\""),
        ),
        (
            "fine",
            "telegraf.command",
            "the arguments behind \"sh\"",
            machine.snippet().replace(&program, "\"sh\", \"telegraf-rollup\""),
        ),
    ];
    // A program of another name that gets our configuration, and files of ours that are no program.
    machine.telegraf("telegraf.d/rollup.conf", &machine.snippet().replace(&program, "\"/opt/wrapper\""));
    machine.finds(&[], "fine", "telegraf.command", "the arguments behind \"/opt/wrapper\"");
    machine.telegraf(
        "telegraf.d/rollup.conf",
        "[[processors.execd]]\n  command = [\"cat\", \"/var/lib/telegraf-rollup/x\"]\n",
    );
    machine.finds(&[], "warning", "telegraf", "no line is counted");
    for (weight, subject, words, text) in cases {
        machine.telegraf("telegraf.d/rollup.conf", &text);
        machine.finds(&[], weight, subject, words);
    }
    // An output that is right.
    machine
        .telegraf("telegraf.d/rollup.conf", &as_output(&machine.snippet()).replace("\"run\"", "\"run\", \"--output\""));
    machine.is_fine(&[]);
}

/// What a filter takes away for certain is named, and nothing else is.
#[test]
fn filters_are_compared_with_sources_and_keys() {
    let machine = Machine::new();
    machine.configure(&format!(
        "state_dir = {:?}\n[[summary]]\nname = \"s\"\nkey = [\"host\"]\ntimezone_tag = \"tz\"\ncolumn = [{{ name = \"c\", method = \"max\", \
         sources = [{{ measurement = \"temp\", tags = {{ sensor = \"core*\", kind = \"x\" }}, field = \"v\" }}, {{ measurement = \"win_*\", \
         field = \"w\" }}] }}]\n",
        machine.path("state")
    ));
    let with = |lines: &str| {
        let text = machine.snippet().replace("  namepass = [\"m\"]\n", "") + lines + "\n";
        machine.telegraf("telegraf.d/rollup.conf", &text);
    };
    for lines in [
        "",
        "namepass = [\"temp\", \"win_cpu\"]",
        "namepass = [\"te*\", \"w*\"]",
        "namedrop = [\"cpu\", \"win_cpu\"]",
        "namepass = [\"*\"]\nnamedrop = [\"tem\"]",
        "tagpass = { sensor = [\"coretemp\"], instance = [\"_Total\"] }",
        "tagpass = { sensor = [\"c*\"] }",
        "tagdrop = { sensor = [\"nvme*\"] }",
        "tagdrop = { sensor = [\"coretemp\"] }",
        "namepass_separator = \".\"\nnamepass = [\"t*\"]",
    ] {
        with(lines);
        let (code, report) = machine.check(&[]);
        assert_eq!(code, 0, "{lines}: {report:#}");
    }
    for (lines, subject, words, remedy) in [
        (
            "namepass = [\"win_cpu\"]",
            "telegraf.namepass",
            "never lets \"temp\" through: s.c get",
            "add \"temp\" to namepass",
        ),
        ("namepass = [\"temp\"]", "telegraf.namepass", "never lets \"win_*\" through", "add \"win_*\""),
        ("namepass = [\"w*\", \"[!t]*\"]", "telegraf.namepass", "never lets \"temp\" through", "add \"temp\""),
        ("namedrop = [\"te?p\"]", "telegraf.namepass", "`namedrop`", "remove what matches \"temp\""),
        ("tagexclude = [\"ho*\"]", "telegraf.tags", "takes the tag \"host\" away: no line of s", "from tagexclude"),
        ("tagexclude = [\"tz\"]", "telegraf.tags", "takes the tag \"tz\" away", "from tagexclude"),
        (
            "tagexclude = [\"sensor\"]",
            "telegraf.tags",
            "the tag \"sensor\" of \"temp\" away, which s.c ask",
            "from tagexclude",
        ),
        (
            "taginclude = [\"tz\", \"sensor\", \"kind\"]",
            "telegraf.tags",
            "takes the tag \"host\" away",
            "add \"host\" to taginclude",
        ),
        ("fieldexclude = [\"v\"]", "telegraf.fields", "takes the field \"v\" of \"temp\" away", "from fieldexclude"),
        ("fielddrop = [\"v*\"]", "telegraf.fields", "takes the field \"v\" of \"temp\" away", "from fieldexclude"),
        (
            "fieldinclude = [\"v\"]",
            "telegraf.fields",
            "takes the field \"w\" of \"win_*\" away",
            "add \"w\" to fieldinclude",
        ),
        ("tagpass = { kind = [\"y\", \"z*\"] }", "telegraf.tags", "`tagpass`", "correct tagpass"),
        ("tagdrop = { kind = [\"x\"] }", "telegraf.tags", "`tagdrop`", "correct tagdrop"),
    ] {
        with(lines);
        let said = machine.finds(&[], "warning", subject, words);
        assert!(said.contains(remedy), "{lines}: {said}");
    }
    // On a processor they change what goes on to the database, too; on an output they do not.
    with("fieldexclude = [\"x\"]");
    machine.finds(&[], "warning", "telegraf.fields", "for everything behind it");
    let output =
        machine.snippet().replace("processors.execd", "outputs.execd").replace("\"run\"", "\"run\", \"--output\"");
    let output = output.replace("  namepass = [\"m\"]\n", "fieldexclude = [\"x\"]\n");
    machine.telegraf("telegraf.d/rollup.conf", &output);
    machine.is_fine(&[]);
    with("tagpass = { cpu = [\"cpu-total\"] }");
    machine.finds(
        &[],
        "fine",
        "telegraf.tags",
        "not looked at: whether lines of \"temp\", \"win_*\" have a tag that `tagpass`",
    );
}

/// What is beside the snippet.
#[test]
fn the_rest_of_telegraf_is_judged_where_it_touches_us() {
    let machine = Machine::new();
    machine.telegraf("telegraf.d/rollup.conf", &machine.snippet());
    machine.telegraf("telegraf.conf", "[agent]\n  omit_hostname = true\n[[inputs.cpu]]\n");
    machine.finds(&[], "warning", "telegraf.agent", "omit_hostname = true");
    machine
        .telegraf("telegraf.conf", "[agent]\n  omit_hostname = true\n[global_tags]\n  host = \"x\"\n[[inputs.cpu]]\n");
    machine.is_fine(&[]);
    // Lines of others may have a host of their own.
    machine.telegraf("telegraf.conf", "[agent]\n  omit_hostname = true\n[[inputs.influxdb_listener]]\n");
    machine.finds(&[], "fine", "telegraf.agent", "not looked at: whether every line brings its own");
    machine.telegraf("telegraf.conf", "[[aggregators.basicstats]]\n");
    machine.finds(&[], "fine", "telegraf.aggregators", "before 1.40");
    machine
        .telegraf("telegraf.conf", "[agent]\nskip_processors_after_aggregators = true\n[[aggregators.basicstats]]\n");
    let (code, report) = machine.check(&[]);
    assert!(code == 0 && findings(&report).iter().all(|f| f.subject != "telegraf.aggregators"), "{report:#}");
    // Twice, of one kind and of both.
    machine.telegraf("telegraf.conf", &machine.snippet());
    machine.finds(&[], "warning", "telegraf.twice", "share one state_dir");
    let output =
        machine.snippet().replace("processors.execd", "outputs.execd").replace("\"run\"", "\"run\", \"--output\"");
    machine.telegraf("telegraf.conf", &output);
    machine.finds(&[], "warning", "telegraf.twice", "nothing is counted twice");
    // A file that is no file of Telegraf.
    machine.telegraf("telegraf.conf", CONFIG);
    machine.finds(&[], "failure", "telegraf.file", "is a configuration of telegraf-rollup");
    machine.telegraf("telegraf.conf", "[agent]\n  interval = ${EVERY}\n  x = = 1\n");
    machine.finds(&[], "fine", "telegraf.file", "it is not TOML from line 2 on");
    machine.telegraf("telegraf.conf", "[agent]\n  interval = ${EVERY}\n");
    machine.is_fine(&[]);
    let wide: Vec<u8> = "[agent]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(machine.path("root/etc/telegraf/telegraf.conf"), wide).expect("writable");
    machine.finds(&[], "failure", "telegraf.file", "Telegraf cannot read");
}

/// The files that we ship fit each other.
#[test]
fn the_samples_are_fine() {
    let sample = |name: &str| std::fs::read_to_string(repository("telegraf").join(name)).expect("the sample");
    for (config, snippet) in [
        ("rollup.toml", "processor.conf"),
        ("rollup.toml", "output.conf"),
        ("rollup-windows-hwinfo.toml", "processor-windows.conf"),
    ] {
        let machine = Machine::new();
        let text = sample(config);
        let line = text.lines().find(|line| line.starts_with("state_dir")).expect("a line").to_string();
        machine.configure(&text.replace(&line, &format!("state_dir = {:?}", machine.path("state"))));
        let mut text = sample(snippet);
        let (from, to) = (text.find("\n  command = [").expect("a command") + 1, text.len());
        let to = from + text[from..to].find('\n').expect("its end");
        let is_output = snippet.starts_with("output");
        let command = machine.snippet().lines().nth(1).expect("a command").to_string();
        let command = if is_output { command.replace("\"run\"", "\"run\", \"--output\"") } else { command };
        text.replace_range(from..to, &command);
        machine.telegraf("telegraf.d/rollup.conf", &text);
        machine.telegraf("telegraf.d/inputs.conf", &sample("inputs-linux.conf"));
        machine.is_fine(&[]);
    }
}

/// Many lines as `telegraf --test` prints them: each once, with what takes it or what came nearest, and what to write.
#[test]
fn explain_takes_what_telegraf_prints() {
    let machine = Machine::new();
    machine.configure(&std::fs::read_to_string(repository("telegraf/rollup.toml")).expect("the sample"));
    let input = "2026-11-30T12:00:00Z I! Loading config: /etc/telegraf/telegraf.conf\n\
        > cpu,cpu=cpu-total,host=a usage_idle=93 1\n> cpu,cpu=cpu-total,host=b usage_idle=9,note=\"x\ny\" 1\n\
        > cpu,cpu=cpu0,host=a usage_idle=93 1\n> cpu,cpu=cpu1,host=a usage_idle=9 1\n> cpu,cpu=cpu2,host=b usage_idle=3 1\n\
        > temp,host=a,sensor=nvme temp=30 1\n> net,host=a,interface=eth\\ 0 bytes=1i,name=\"x\" 1\n\
        > cpu,cpu=cpu-total usage_idle=3 1\n> cpu,cpu=cpu-total,host=a usage_idl=3 1\n\
        > temp,host=a,sensor=coretemp_package_id_0 temp=300 1\n";
    let output = feed(machine.command().args(["--explain", "-"]), input.as_bytes());
    let said = all_said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for wanted in [
        "cpu,cpu=cpu-total,host=a usage_idle=93 1\n  device_summary.avg_cpu takes cpu:usage_idle = 7\n  and 1 more line like it\n",
        "  device_summary.avg_cpu does not take it: tag \"cpu\" is \"cpu0\", not \"cpu-total\"\n    to take it, write in its `sources`: \
         { measurement = \"cpu\", tags = { cpu = \"cpu0\" }, field = \"usage_idle\", scale = -1.0, offset = 100.0 }\n  and 2 more lines like it, with cpu = \"cpu1\", \"cpu2\"\n",
        "  device_summary.max_temp and device_summary.anomaly_count do not take it: tag \"sensor\" is \"nvme\", not \"k10temp_tctl\"; or",
        "{ measurement = \"temp\", tags = { sensor = \"nvme\" }, field = \"temp\" }\n",
        "no source asks for the measurement \"net\"\n",
        "{ measurement = \"net\", tags = { interface = \"eth 0\" }, field = \"bytes\" }\n",
        "device_summary.avg_cpu would take cpu:usage_idle, but the line lacks the key tag \"host\"\n",
        "there is no field \"usage_idle\"\n    to take it, write in its `sources`: { measurement = \"cpu\", tags = { cpu = \"cpu-total\" }, field = \
         \"usage_idl\" }\n",
        "300 is outside of `valid`, which is 0 to 125\n",
        "\n10 lines, 2 of them feed a column; 1 line is no metric and left out\n",
        "\ncolumns that take nothing of all this: device_summary.max_temp, device_summary.avg_power, device_summary.anomaly_count\n",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
    // From a file, and without the prompt.
    std::fs::write(machine.path("lines"), input.replace("> ", "")).expect("writable");
    let file = format!("@{}", machine.path("lines").display());
    let again = machine.output(&["--explain", &file]);
    assert_eq!(all_said(&again), said);
    let none = machine.output(&["--explain", "net,host=a bytes=1i"]);
    assert_eq!(none.status.code(), Some(1), "{}", all_said(&none));
    let none = machine.output(&["--explain", "@/nowhere"]);
    assert!(none.status.code() != Some(0) && all_said(&none).contains("cannot read /nowhere"));
}

/// What `--explain` says that one should write is valid, and takes the line.
#[test]
fn what_explain_says_to_write_takes_the_line() {
    let machine = Machine::new();
    let config = |sources: &str| {
        machine.configure(&format!(
            "[[summary]]\nname = \"s\"\nkey = [\"host\"]\ncolumn = [{{ name = \"c\", method = \"max\", sources = [{sources}] }}]\n"
        ));
    };
    let own = "{ measurement = \"temp\", tags = { sensor = \"core*\", kind = \"x\" }, field = \"v\", scale = 2.0 }";
    for line in [
        "temp,host=a,sensor=nvme,kind=x v=1",
        "temp,host=a,kind=y v=1",
        "temp,host=a,sensor=core0,kind=x w=1,t=\"x\"",
        "temp,host=a,sensor=CPU\\ [#0]:\\ \"A\" v=1",
        "other\\ one,host=a,a\\ tag=b\\\\c,d=e f\\ g=1i",
        "other,host=a on=true",
    ] {
        config(own);
        let said = all_said(&machine.output(&["--explain", line]));
        let place = said.find("{ measurement").unwrap_or_else(|| panic!("{line}: {said}"));
        config(&format!("{own}, {}", said[place..].lines().next().expect("a line")));
        let output = machine.output(&["--explain", line]);
        let now = all_said(&output);
        assert!(output.status.code() == Some(0) && now.contains("s.c takes "), "{line}: {said}\n{now}");
    }
}
