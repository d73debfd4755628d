//! `setup` on Linux: in systems below a folder (`--root`), and once on the real one, in mounts of its own, under a real Telegraf. Only
//! root can set up: without it these tests are skipped.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::servers::telegraf;
use support::site::{CONFIG, lines};
use support::{copy_program, program, repository};

/// The user and the group telegraf of an image: nobody's numbers here.
const USER: u32 = 31_998;
const GROUP: u32 = 31_997;
const PROGRAM: &str = "usr/bin/telegraf-rollup";
const CONFIGURATION: &str = "etc/telegraf-rollup/rollup.toml";
const SNIPPET: &str = "etc/telegraf/telegraf.d/telegraf-rollup.conf";
const STATE: &str = "var/lib/telegraf-rollup";

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED: {test}: needs root");
    }
    is_root
}

/// A system below a folder.
struct Image(tempfile::TempDir);

impl Image {
    /// One with Telegraf and its account, in Seoul.
    fn new() -> Image {
        let image = Image(tempfile::tempdir().expect("a folder"));
        for folder in ["etc/telegraf/telegraf.d", "usr/bin", "var/lib"] {
            std::fs::create_dir_all(image.path(folder)).expect("a folder");
        }
        image.write("etc/passwd", &format!("root:x:0:0::/root:/bin/sh\ntelegraf:x:{USER}:{GROUP}::/:/bin/false\n"));
        image.write("etc/group", &format!("root:x:0:\ntelegraf:x:{GROUP}:\n"));
        symlink("/usr/share/zoneinfo/Asia/Seoul", image.path("etc/localtime")).expect("a link");
        image
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("writable");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn setup(&self, arguments: &[&str]) -> Output {
        self.setup_by(&mut program(), arguments)
    }

    fn setup_by(&self, program: &mut Command, arguments: &[&str]) -> Output {
        program.args(["setup", "--root"]).arg(self.0.path()).args(arguments).output().expect("it starts")
    }

    /// Sets up; returns what it says.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.setup(arguments);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Does not set up, changes nothing, and returns what is wrong.
    fn refused(&self, arguments: &[&str]) -> String {
        let before = self.all();
        let output = self.setup(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_eq!(self.all(), before, "something was changed");
        said(&output)
    }

    /// Everything in it: owner, mode, and what it holds.
    fn all(&self) -> BTreeMap<PathBuf, (u32, u32, u32, String)> {
        all(self.0.path())
    }

    fn owner(&self, name: &str) -> (u32, u32) {
        let found = std::fs::symlink_metadata(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        (found.uid(), found.gid())
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).expect("there").mode() & 0o7777
    }
}

fn all(root: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, String)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let data = std::fs::symlink_metadata(&path).expect("there");
            let content = if data.is_file() {
                String::from_utf8_lossy(&std::fs::read(&path).expect("readable")).into_owned()
            } else if data.is_symlink() {
                std::fs::read_link(&path).expect("a link").display().to_string()
            } else {
                String::new()
            };
            if data.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (data.uid(), data.gid(), data.mode(), content));
        }
    }
    found
}

/// Everything that a process has said.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_system_is_set_up_and_taken_back() {
    if !is_root("a_system_is_set_up_and_taken_back") {
        return;
    }
    let image = Image::new();
    let before = image.all();
    let text = image.done(&["--dry-run"]);
    assert!(text.contains("would make") && text.contains("Nothing has been changed"), "{text}");
    assert_eq!(image.all(), before, "--dry-run has changed something");

    // A umask that hides everything changes nothing.
    let mut hidden = Command::new("sh");
    hidden.args(["-c", "umask 077; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_telegraf-rollup")]);
    let text = said(&image.setup_by(&mut hidden, &[]));
    for (name, owner, mode) in [
        ("etc/telegraf-rollup", (0, 0), 0o755),
        (CONFIGURATION, (0, 0), 0o644),
        (STATE, (USER, GROUP), 0o750),
        (PROGRAM, (0, 0), 0o755),
        (SNIPPET, (0, 0), 0o644),
    ] {
        assert_eq!((image.owner(name), image.mode(name)), (owner, mode), "{name}");
    }
    let sample = std::fs::read_to_string(repository("telegraf/rollup.toml")).expect("the sample");
    assert_eq!(image.read(CONFIGURATION), sample.replace("timezone = \"UTC\"", "timezone = \"Asia/Seoul\""));
    let snippet = std::fs::read_to_string(repository("telegraf/processor.conf")).expect("the snippet");
    assert_eq!(image.read(SNIPPET), snippet);
    let place =
        |name: &str| text.find(&format!("made {}", image.path(name).display())).unwrap_or_else(|| panic!("{text}"));
    assert!(place(PROGRAM) < place(SNIPPET), "the program comes before the snippet: {text}");
    for part in ["Telegraf runs as telegraf: ", "Next:", "The first row comes within 60 s", "mysql.password"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let version = Command::new(image.path(PROGRAM)).arg("--version").output().expect("it runs");
    assert!(version.status.success());

    let made = image.all();
    let text = image.done(&[]);
    assert!(text.contains("Nothing to do: everything is in place.") && !text.contains("  made "), "{text}");
    assert_eq!(image.all(), made, "a second run has changed something");

    let text = image.done(&["--remove", "--dry-run"]);
    assert!(text.contains("would remove"), "{text}");
    assert_eq!(image.all(), made, "--dry-run has changed something");
    let text = image.done(&["--remove"]);
    let place =
        |name: &str| text.find(&format!("removed {}", image.path(name).display())).unwrap_or_else(|| panic!("{text}"));
    assert!(place(SNIPPET) < place(PROGRAM), "the snippet goes first: {text}");
    assert_eq!(image.all(), before, "something is left");
    let text = image.done(&["--remove"]);
    assert!(text.contains("Nothing to take back"), "{text}");
}

#[test]
fn what_somebody_else_has_made_is_never_changed() {
    if !is_root("what_somebody_else_has_made_is_never_changed") {
        return;
    }
    let image = Image::new();
    let config = format!("# mine\nstate_dir = \"/srv/rollup\"\n{CONFIG}");
    image.write(CONFIGURATION, &config);
    image.write(PROGRAM, "another program");
    let snippet = std::fs::read_to_string(repository("telegraf/processor.conf")).expect("the snippet");
    image.write(SNIPPET, &snippet.replace("restart_delay = \"1s\"", "restart_delay = \"3s\""));
    let before = image.all();
    let text = image.done(&[]);
    for part in [
        "rollup.toml (days of UTC); it stays as it is",
        "is another program than this one",
        "install -m 755 ",
        "-   restart_delay = \"3s\"",
        "+   restart_delay = \"1s\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The state directory is the one of the configuration that is there.
    assert_eq!((image.owner("srv/rollup"), image.mode("srv/rollup")), ((USER, GROUP), 0o750));
    assert_eq!((image.owner("srv"), image.mode("srv")), ((0, 0), 0o755));
    for (path, data) in &before {
        assert_eq!(image.all().get(path), Some(data), "{}", path.display());
    }
    image.done(&["--remove"]);
    assert_eq!(image.all(), before);

    // A snippet of another name runs the program already.
    let image = Image::new();
    image.write(
        "etc/telegraf/telegraf.d/mine.conf",
        "[[outputs.execd]]\n  command = [\"telegraf-rollup\", \"run\", \"--output\"]\n",
    );
    let text = image.done(&[]);
    assert!(text.contains("no second snippet: ") && text.contains("mine.conf runs the program already"), "{text}");
    assert!(!image.path(SNIPPET).exists());
}

#[test]
fn what_was_edited_stays_and_is_named() {
    if !is_root("what_was_edited_stays_and_is_named") {
        return;
    }
    let image = Image::new();
    image.done(&[]);
    let edited = image.read(CONFIGURATION).replace("Asia/Seoul", "Europe/Berlin");
    image.write(CONFIGURATION, &edited);
    image.write("etc/telegraf-rollup/mysql.password", "secret");
    image.write(&format!("{STATE}/summary.db"), "rows");
    let text = image.done(&["--remove"]);
    let shown = |name: &str| image.path(name).display().to_string();
    for part in [
        format!("{} has been edited: rm {}", shown(CONFIGURATION), shown(CONFIGURATION)),
        format!("{} holds other files: rm -r ", shown("etc/telegraf-rollup")),
        format!("{} holds the state: rm -r ", shown(STATE)),
        format!("{} holds the rows: rm ", shown(&format!("{STATE}/summary.db"))),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    assert_eq!(image.read(CONFIGURATION), edited);
    assert!(image.path(&format!("{STATE}/summary.db")).exists());
    assert!(!image.path(SNIPPET).exists() && !image.path(PROGRAM).exists());

    // Rows on a server are named by their tables.
    image.write(CONFIGURATION, &edited.replace("[sink]", "[sink]\nurl = \"mysql://rollup@db.example.org/metrics\""));
    image.done(&[]);
    let text = image.done(&["--remove"]);
    let tables = "DROP TABLE device_summary_hourly, device_summary_daily, device_summary_hourly_partial";
    assert!(text.contains(tables) && text.contains("MySQL rollup@db.example.org:3306/metrics"), "{text}");
}

/// While anything is unclear nothing is done, and all that is unclear is said at once.
#[test]
fn nothing_is_done_while_something_is_unclear() {
    if !is_root("nothing_is_done_while_something_is_unclear") {
        return;
    }
    let image = Image::new();
    let text = image.refused(&["--user", "telegraff"]);
    assert!(text.contains("there is no user \"telegraff\"") && text.contains("useradd "), "{text}");
    image.write(CONFIGURATION, "timezone = \"Asia/Soul\"\n");
    image.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    let text = image.refused(&[]);
    for part in
        ["nothing has been changed", "which user runs Telegraf", "--user NAME", "useradd ", "Asia/Soul", "problems"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }

    let with = |state_dir: &str| {
        let image = Image::new();
        image.write(CONFIGURATION, &format!("state_dir = \"{state_dir}\"\n{CONFIG}"));
        image
    };
    let text = with("/var").refused(&[]);
    assert!(text.contains("is a folder of the system"), "{text}");
    // Others may put something else in the place of a folder that lies in one of theirs.
    let image = with("/tmp/state");
    std::fs::create_dir(image.path("tmp")).expect("made");
    std::fs::set_permissions(image.path("tmp"), std::fs::Permissions::from_mode(0o1777)).expect("changed");
    let text = image.refused(&[]);
    assert!(text.contains("other users may write to") && text.contains("/tmp"), "{text}");
    let image = with("/home/eve/state");
    std::fs::create_dir_all(image.path("home/eve")).expect("made");
    chown(image.path("home/eve"), Some(12_345), None).expect("root may");
    assert!(image.refused(&[]).contains("/home/eve"));
    // A directory that is somebody else's.
    let image = with("/srv/state");
    std::fs::create_dir_all(image.path("srv/state")).expect("made");
    chown(image.path("srv/state"), Some(12_345), None).expect("root may");
    let text = image.refused(&[]);
    assert!(text.contains("belongs to user 12345") && text.contains("chown -R telegraf:telegraf "), "{text}");
    // One that holds other things.
    let image = with("/srv/data");
    image.write("srv/data/photos", "many");
    image.write("srv/data/letters", "few");
    let text = image.refused(&[]);
    assert!(text.contains("is root's and holds other things (letters, photos)"), "{text}");
    // A file in the place of a folder.
    let image = Image::new();
    image.write(STATE, "a file");
    assert!(image.refused(&[]).contains("is not a folder"));
    // Files that the user of Telegraf could not read.
    let image = with("/srv/state");
    std::fs::set_permissions(image.path(CONFIGURATION), std::fs::Permissions::from_mode(0o600)).expect("changed");
    let text = image.refused(&[]);
    assert!(text.contains("telegraf cannot read") && text.contains("chgrp telegraf "), "{text}");
    let image = with("/srv/state");
    std::fs::set_permissions(image.path("etc/telegraf-rollup"), std::fs::Permissions::from_mode(0o700))
        .expect("changed");
    let text = image.refused(&[]);
    assert!(text.contains("telegraf cannot enter") && text.contains("chmod o+x "), "{text}");
}

/// Root follows no link that somebody else may have made, and gives away nothing that is elsewhere, too.
#[test]
fn no_link_leads_root_astray() {
    if !is_root("no_link_leads_root_astray") {
        return;
    }
    // The state directory itself.
    let image = Image::new();
    std::fs::create_dir_all(image.path("home/telegraf")).expect("made");
    chown(image.path("home/telegraf"), Some(USER), Some(GROUP)).expect("root may");
    std::fs::create_dir_all(image.path("etc/shadows")).expect("made");
    symlink("/etc/shadows", image.path("home/telegraf/state")).expect("a link");
    image.write(CONFIGURATION, &format!("state_dir = \"/home/telegraf/state\"\n{CONFIG}"));
    let text = image.refused(&[]);
    assert!(text.contains("is a link that others than root may have made"), "{text}");
    assert_eq!(image.owner("etc/shadows"), (0, 0));

    // What lies in it.
    let image = Image::new();
    image.done(&[]);
    image.write("etc/shadow", "secret");
    image.write("etc/secrets/key", "secret");
    symlink("/etc/shadow", image.path(&format!("{STATE}/lock"))).expect("a link");
    symlink("../../../etc/secrets", image.path(&format!("{STATE}/journal"))).expect("a link");
    std::fs::hard_link(image.path("etc/shadow"), image.path(&format!("{STATE}/state.db"))).expect("a name");
    std::fs::create_dir(image.path(&format!("{STATE}/journal.set-aside-1"))).expect("made");
    symlink("/etc/shadow", image.path(&format!("{STATE}/journal.set-aside-1/0.seg"))).expect("a link");
    image.write(&format!("{STATE}/notes"), "root's own");
    let text = image.done(&[]);
    for name in ["etc/shadow", "etc/secrets", "etc/secrets/key", "var/lib/telegraf-rollup/notes"] {
        assert_eq!(image.owner(name), (0, 0), "{name}");
    }
    assert_eq!(image.owner(&format!("{STATE}/journal.set-aside-1")), (USER, GROUP), "a folder of ours heals");
    assert!(
        text.contains("state.db (it has another name elsewhere)") && text.contains("lock (a link, or no file)"),
        "{text}"
    );

    // A link that root has made is the way that the system has been laid out, and stays within the image.
    let image = Image::new();
    std::fs::remove_dir(image.path("var/lib")).expect("removed");
    std::fs::create_dir_all(image.path("data/lib")).expect("made");
    symlink("/data/lib", image.path("var/lib")).expect("a link");
    image.done(&[]);
    assert_eq!(image.owner("data/lib/telegraf-rollup"), (USER, GROUP));
}

/// `telegraf --once` by root, before the first start and after it.
#[test]
fn what_root_has_left_is_given_to_the_user() {
    if !is_root("what_root_has_left_is_given_to_the_user") {
        return;
    }
    let image = Image::new();
    let state = image.path(STATE);
    let leave = || {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rollup.toml");
        std::fs::write(&path, format!("state_dir = {state:?}\n{CONFIG}")).expect("writable");
        let output = support::feed(program().args(["run", "--config"]).arg(&path), &lines(0..100));
        assert!(output.status.success() && state.join("state.db").exists(), "{}", said(&output));
    };
    let owners = || -> Vec<(PathBuf, u32)> {
        let wrong = all(&state).into_iter().map(|(path, data)| (path, data.0)).filter(|(_, user)| *user != USER);
        wrong.collect()
    };
    leave();
    assert!(!owners().is_empty());
    let text = image.done(&["--dry-run"]);
    assert!(text.contains("would give") && !owners().is_empty(), "{text}");
    let text = image.done(&[]);
    assert!(text.contains("that root has left in") && text.contains("to telegraf"), "{text}");
    assert_eq!(owners(), []);
    assert_eq!(image.owner(STATE), (USER, GROUP));
    // Files in a directory that is the user's already.
    std::fs::remove_file(state.join("status.json")).expect("there");
    image.write(&format!("{STATE}/status.json"), "{}");
    image.write(&format!("{STATE}/journal/0.seg"), "");
    image.done(&[]);
    assert_eq!(owners(), []);
    assert!(image.done(&[]).contains("Nothing to do"));
}

#[test]
fn the_user_is_the_one_of_the_unit_or_the_account_telegraf() {
    if !is_root("the_user_is_the_one_of_the_unit_or_the_account_telegraf") {
        return;
    }
    let image = Image::new();
    let users = "root:x:0:0::/:/bin/sh\nmetrics:x:31901:31901::/:/bin/false\nrollup:x:31902:100::/:/bin/false\n";
    image.write("etc/passwd", users);
    let user = |arguments: &[&str]| {
        let mut all = vec!["--dry-run"];
        all.extend(arguments);
        image.done(&all).lines().next().expect("a line").to_string()
    };
    assert!(user(&["--user", "metrics"]).contains("runs as metrics: as you say"));
    image.write("usr/lib/systemd/system/telegraf.service", "[Service]\nUser=metrics\nExecStart=/usr/bin/telegraf\n");
    assert!(user(&[]).contains("runs as metrics: the user of telegraf.service"));
    image.write("etc/systemd/system/telegraf.service.d/user.conf", "[Service]\nUser=rollup\n");
    assert!(user(&[]).contains("runs as rollup"));
    assert!(user(&["--user", "metrics"]).contains("runs as metrics"), "what a person says comes first");
    image.write("etc/systemd/system/telegraf.service", "[Service]\nExecStart=/usr/bin/telegraf --config x\n");
    image.write("etc/systemd/system/telegraf.service.d/user.conf", "[Service]\n");
    let text = image.done(&["--dry-run"]);
    assert!(
        text.contains("runs as root") && text.contains("no snippet: Telegraf is started without --config-directory"),
        "{text}"
    );
    image.write("etc/systemd/system/telegraf.service", "[Service]\nUser=gone\n");
    assert!(image.refused(&[]).contains("there is no user \"gone\""));
}

#[test]
fn days_are_those_of_the_system() {
    if !is_root("days_are_those_of_the_system") {
        return;
    }
    for (link, file, zone) in [
        (Some("/usr/share/zoneinfo/Europe/Berlin"), Some("Asia/Tokyo\n"), "Europe/Berlin"),
        (Some("../usr/share/zoneinfo/America/Argentina/Buenos_Aires"), None, "America/Argentina/Buenos_Aires"),
        (Some("/usr/share/zoneinfo/Etc/UTC"), None, "UTC"),
        (None, Some("Asia/Tokyo\n"), "Asia/Tokyo"),
        (Some("/somewhere/else"), Some("Asia/Tokyo\n"), "Asia/Tokyo"),
        (None, Some("Mars/Olympus\n"), "UTC"),
        (None, None, "UTC"),
    ] {
        let image = Image::new();
        std::fs::remove_file(image.path("etc/localtime")).expect("there");
        if let Some(link) = link {
            symlink(link, image.path("etc/localtime")).expect("a link");
        }
        file.into_iter().for_each(|text| image.write("etc/timezone", text));
        image.done(&[]);
        assert!(image.read(CONFIGURATION).contains(&format!("\ntimezone = \"{zone}\"\n")), "{link:?} {file:?}");
    }
}

/// What was done before a failure is said, and the next run goes on from there.
#[test]
fn a_failure_says_what_was_done() {
    if !is_root("a_failure_says_what_was_done") {
        return;
    }
    let image = Image::new();
    // No file can be made in that folder.
    let obstacle = image.path("etc/telegraf/telegraf.d/.telegraf-rollup.draft");
    std::fs::create_dir(&obstacle).expect("made");
    let output = image.setup(&[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("cannot make ") && text.contains("telegraf-rollup.conf"), "{text}");
    let so_far = text.split_once("What was done so far:").expect("it is said").1;
    assert!(so_far.contains(PROGRAM) && so_far.contains(CONFIGURATION) && so_far.contains("Run setup again"), "{text}");
    std::fs::remove_dir(&obstacle).expect("empty");
    let text = image.done(&[]);
    assert_eq!(text.lines().filter(|line| line.contains("  made ")).count(), 1, "{text}");
    image.done(&["--remove"]);
    assert!(!image.path(PROGRAM).exists() && !image.path("etc/telegraf-rollup").exists());
}

/// A program that setup has put there is replaced by a newer one, and goes at the end.
#[test]
fn a_newer_program_takes_the_place_of_an_older_one() {
    if !is_root("a_newer_program_takes_the_place_of_an_older_one") {
        return;
    }
    let image = Image::new();
    let older = image.path("older");
    copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &older);
    let more = Command::new("sh").args(["-c", "echo older >>\"$1\"", "sh"]).arg(&older).status();
    assert!(more.expect("sh runs").success());
    assert!(image.setup_by(&mut Command::new(&older), &[]).status.success());
    assert!(std::fs::read(image.path(PROGRAM)).expect("there").ends_with(b"older\n"));
    let text = image.done(&[]);
    assert!(text.contains("replaced ") && text.contains(PROGRAM), "{text}");
    assert!(!std::fs::read(image.path(PROGRAM)).expect("there").ends_with(b"older\n"));
    assert!(image.done(&[]).contains("Nothing to do"));
    image.done(&["--remove"]);
    assert!(!image.path(PROGRAM).exists());
}

/// Telegraf would drop metrics without the program: it stays until Telegraf has let go of it.
#[test]
fn a_program_that_runs_stays_until_telegraf_is_reloaded() {
    if !is_root("a_program_that_runs_stays_until_telegraf_is_reloaded") {
        return;
    }
    let image = Image::new();
    image.done(&[]);
    let mut child = Command::new(image.path(PROGRAM));
    let child = child.args(["run", "--config"]).arg(image.path("none.toml"));
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let output = image.setup(&["--remove"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT FINISHED") && text.contains(&format!("(process {})", child.id())), "{text}");
    assert!(!image.path(SNIPPET).exists() && image.path(PROGRAM).exists());
    drop(child.stdin.take());
    child.wait().expect("it ends");
    image.done(&["--remove"]);
    assert!(!image.path(PROGRAM).exists() && !image.path("etc/telegraf-rollup").exists());
}

#[test]
fn who_may_not_set_up_is_told() {
    if !is_root("who_may_not_set_up_is_told") {
        return;
    }
    use std::os::unix::process::CommandExt;
    let image = Image::new();
    let copy = image.path("program");
    copy_program(env!("CARGO_BIN_EXE_telegraf-rollup"), &copy);
    for path in [image.0.path(), &copy] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("changed");
    }
    let by_user = || {
        let mut command = Command::new(&copy);
        command.uid(USER).gid(GROUP).current_dir("/");
        command
    };
    let output = image.setup_by(&mut by_user(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("setup needs root: type `sudo "), "{}", said(&output));
    let output = image.setup_by(&mut by_user(), &["--dry-run"]);
    assert!(output.status.success() && said(&output).contains("would make"), "{}", said(&output));
}

/// The whole way on the real system, in mounts and among processes of its own: set up, a real Telegraf as another user, a row, and back.
#[test]
fn a_real_telegraf_runs_it_and_nothing_is_left() {
    let name = "a_real_telegraf_runs_it_and_nothing_is_left";
    let Some(telegraf) = telegraf().filter(|_| is_root(name)) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // Only root enters a folder for temporary files, and the agent may lie in root's home.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("changed");
    copy_program(&telegraf, &folder.path().join("telegraf"));
    let script = r#"
set -eu
here=$1 program=$2
mount -t tmpfs none "$here/mounts"
for place in etc usr/bin; do
  mkdir -p "$here/mounts/$place/upper" "$here/mounts/$place/work"
  mount -t overlay none -o "lowerdir=/$place,upperdir=$here/mounts/$place/upper,workdir=$here/mounts/$place/work" "/$place"
done
mount -t tmpfs -o mode=755 none /var/lib
trap 'touch "$here/began"' EXIT
rm -rf /etc/telegraf /etc/telegraf-rollup /usr/bin/telegraf-rollup
mkdir -p /etc/telegraf/telegraf.d
grep -v '^telegraf:' /etc/passwd >"$here/passwd" && cat "$here/passwd" >/etc/passwd
echo 'telegraf:x:31998:31997::/etc/telegraf:/bin/false' >>/etc/passwd
cat >/etc/telegraf/telegraf.conf <<'END'
[agent]
  interval = "1s"
  flush_interval = "1s"
  hostname = "pc-1"
[[inputs.cpu]]
[[outputs.discard]]
END
list() { find /etc/telegraf /etc/telegraf-rollup /usr/bin/telegraf-rollup /var/lib 2>/dev/null | sort; }
list >"$here/before"
"$program" setup --user telegraf
setpriv --reuid 31998 --regid 31997 --clear-groups "$here/telegraf" --config /etc/telegraf/telegraf.conf \
  --config-directory /etc/telegraf/telegraf.d >"$here/telegraf.log" 2>&1 &
telegraf=$!
# At its end Telegraf closes the pipe, and the rows are written.
tries=0
until [ -e /var/lib/telegraf-rollup/state.db ] || [ "$tries" -gt 300 ]; do tries=$((tries + 1)); sleep 0.1; done
sleep 3
echo == the user is the one of the process
"$program" setup
echo == two users run one
mkdir "$here/other" && cp "$(command -v sleep)" "$here/other/telegraf"
"$here/other/telegraf" 600 &
other=$!
until [ "$(cat /proc/$other/comm)" = telegraf ]; do sleep 0.1; done
"$program" setup && exit 8
kill "$other"
echo == the program runs
"$program" setup --remove && exit 9
kill "$telegraf"
wait "$telegraf" || true
tries=0
until [ -e /var/lib/telegraf-rollup/summary.db ] || [ "$tries" -gt 300 ]; do tries=$((tries + 1)); sleep 0.1; done
sleep 1
cp /var/lib/telegraf-rollup/summary.db* "$here"
ls -ln /var/lib/telegraf-rollup >"$here/owners"
echo == the program has ended
"$program" setup --remove >"$here/removed"
cat "$here/removed"
sed -n 's/^.* holds the state: //p' "$here/removed" >"$here/commands"
sh -eu "$here/commands"
list >"$here/after"
"#;
    std::fs::create_dir(folder.path().join("mounts")).expect("made");
    let mut command = Command::new("unshare");
    command
        .args(["-m", "-p", "--fork", "--mount-proc", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(folder.path());
    let output = command.arg(env!("CARGO_BIN_EXE_telegraf-rollup")).output().expect("unshare runs");
    let text = said(&output);
    if !folder.path().join("began").exists() {
        eprintln!("SKIPPED: {name}: no mounts of its own here: {text}");
        return;
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    assert!(output.status.success(), "{text}{}", read("telegraf.log"));
    assert!(text.contains("NOT FINISHED: Telegraf still runs the program"), "{text}");
    let part =
        |from: &str, to: &str| text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect("a part").0;
    let found = part("== the user is the one of the process", "== two users");
    for words in ["runs as telegraf: it runs the Telegraf with process id", "Nothing to do", "kill -HUP "] {
        assert!(found.contains(words), "{words}: {found}");
    }
    assert!(text.contains("several users run a Telegraf: ") && text.contains("root (process "), "{text}");
    let owners = read("owners");
    assert!(
        owners.lines().skip(1).count() > 2 && owners.lines().skip(1).all(|line| line.contains(" 31998 ")),
        "{owners}"
    );
    let database = rusqlite::Connection::open(folder.path().join("summary.db")).expect("the rows");
    let sql = "SELECT COUNT(*) FROM device_summary_hourly WHERE host = 'pc-1' AND avg_cpu IS NOT NULL";
    let rows: i64 = database.query_row(sql, [], |row| row.get(0)).expect("a number");
    assert!(rows > 0, "{}", read("telegraf.log"));
    assert_eq!(read("after"), read("before"), "something is left");
}
