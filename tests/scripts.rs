//! The scripts that a newcomer runs first: what they say before they do anything, and that their advice can be followed.
#![cfg(target_os = "linux")]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::repository;

/// What the scripts call, and no machine is without.
const TOOLS: [&str; 31] = [
    "awk", "bash", "cat", "chmod", "cmp", "cp", "cut", "df", "dirname", "env", "flock", "grep", "head", "ls", "mkdir",
    "mktemp", "paste", "printf", "python3", "realpath", "rm", "sed", "sh", "sleep", "sort", "sqlite3", "tail", "tee",
    "touch", "tr", "wc",
];

/// A folder of programs to be found in place of those of this machine.
struct Programs(tempfile::TempDir);

impl Programs {
    /// Nothing but [`TOOLS`], on a machine of this user where no package is installed.
    fn bare(user: u32) -> Programs {
        let programs = Programs(tempfile::tempdir().expect("a folder"));
        for tool in TOOLS {
            let known = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
            if let Some(known) = known.iter().find(|path| path.exists()) {
                symlink(known, programs.path(tool)).expect("a link");
            }
        }
        programs.add("id", &format!("echo {user}"));
        programs.add("dpkg-query", "exit 1");
        programs.add("apt-get", "exit 100");
        programs
    }

    /// The same with a compiler and a Rust of this version, whose `cargo build` takes the program of this test, and whose
    /// `cargo test` leaves files behind.
    fn with_rust(self, version: &str) -> Programs {
        let (target, program) = (self.path("target"), env!("CARGO_BIN_EXE_telegraf-rollup"));
        let cargo = format!(
            "case $1 in\n--version) echo cargo {version} ;;\nfmt|clippy) exit 0 ;;\n\
             build) mkdir -p {target:?}/release && cp {program:?} {target:?}/release/ ;;\n\
             metadata) echo '{{\"target_directory\":\"{}\"}}' ;;\n\
             test) mkdir -p $TMPDIR/rollup-mysql-1-0/data; echo left in $TMPDIR/ | tee $TMPDIR/.tmpabc ;;\nesac",
            target.display()
        );
        self.add("cargo", &cargo);
        self.add("rustc", &format!("echo rustc {version}"));
        self.add("cc", "exit 0");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn add(&self, name: &str, script: &str) {
        let path = self.path(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("changed");
    }

    fn without(self, name: &str) -> Programs {
        std::fs::remove_file(self.path(name)).expect("it is there");
        self
    }

    /// Runs a script of the repository with nothing else in its path.
    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        self.command(script, arguments).output().expect("it starts")
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/bash");
        command.arg(repository(script)).args(arguments).current_dir(repository("")).env_clear();
        command.env("PATH", self.0.path()).env("HOME", self.path("home")).env("CARGO_TARGET_DIR", self.path("target"));
        command.env("TELEGRAF_ROLLUP_CACHE", self.path("cache"));
        command
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn needed() -> String {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    manifest["package"]["rust-version"].as_str().expect("a version").to_string()
}

#[test]
fn scripts_say_first_what_they_do() {
    let programs = Programs::bare(0);
    for (script, arguments) in
        [("telegraf/try", &["--dry-run"][..]), ("tests/run", &["--dry-run"]), ("tests/run", &["--dry-run", "--quick"])]
    {
        let output = programs.run(script, arguments);
        let text = said(&output);
        assert!(output.status.success(), "{script}: {text}");
        for part in ["  installs    gcc libc6-dev", "  takes       ", "minutes on 2 cores", "  disk        about "] {
            assert!(text.contains(part), "{script}: {part}: {text}");
        }
        assert!(!programs.path("cache").exists() && !programs.path("target").exists(), "{script} has made something");
    }
    let text = said(&Programs::bare(0).with_rust("1.99.0").run("telegraf/try", &["--dry-run"]));
    assert!(text.contains("ca-certificates") || text.contains("installs    nothing"), "{text}");
}

#[test]
fn scripts_explain_themselves() {
    let programs = Programs::bare(0);
    for script in ["telegraf/try", "tests/run"] {
        for flag in ["--help", "-h"] {
            let output = programs.run(script, &[flag]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && text.contains(&format!("  {script} ")), "{script} {flag}: {text}");
            assert!(!programs.path("cache").exists(), "{script} {flag} has made something");
        }
        let output = programs.run(script, &["--helpp"]);
        assert!(!output.status.success() && said(&output).contains("--helpp"), "{script}: {}", said(&output));
    }
    let output = programs.run("telegraf/try", &["none.toml"]);
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("there is no file") && text.contains("telegraf/rollup.toml"),
        "{text}"
    );
}

/// Who may not install, or cannot, is told what to type.
#[test]
fn what_is_missing_is_named_with_the_remedy() {
    let output = Programs::bare(1000).run("telegraf/try", &[]);
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    for part in ["only root may do that", "sudo apt-get install --no-install-recommends gcc libc6-dev", "rustup.rs"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A Rust that is too old, where there are no packages of Debian.
    let programs = Programs::bare(1000).with_rust("1.63.0").without("apt-get").without("dpkg-query");
    let output = programs.run("telegraf/try", &[]);
    let text = said(&output);
    let is_found = text.contains("installs    nothing");
    assert!(is_found || text.contains(&format!("Rust {} or newer (https://rustup.rs", needed())), "{text}");
    assert!(is_found || !output.status.success(), "{text}");
}

/// The whole script, with the program of this test in place of a build; its last advice is typed.
#[test]
fn the_last_advice_of_try_works() {
    for with_sqlite in [true, false] {
        let mut programs = Programs::bare(0).with_rust("1.99.0");
        programs.add("dpkg-query", "echo installed");
        if !with_sqlite && programs.path("sqlite3").exists() {
            programs = programs.without("sqlite3");
        }
        let output = programs.run("telegraf/try", &[]);
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("the raw stream passed unchanged"), "{text}");
        let advice = text.split_once("Look at them:\n").expect("advice").1.lines().next().expect("a command").trim();
        if advice.starts_with("apt-get") {
            assert!(!programs.path("python3").exists(), "{text}");
            continue;
        }
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", advice]).current_dir(repository("")).env("PATH", programs.0.path());
        let shown = said(&shell.output().expect("sh"));
        assert!(shown.contains("PC-AMD-01") && shown.lines().count() >= 4, "{advice}: {shown}");
        assert!(text.contains(" status --config ") && text.contains(" setup --dry-run"), "{text}");
    }
}

/// A cargo of before 2024 stops at the edition and says that it is too old for it: no key before that may be one it cannot read. A newer
/// one names the version that is needed.
#[test]
fn an_old_cargo_is_told_that_it_is_old() {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
    for (name, profile) in manifest["profile"].as_table().expect("profiles") {
        for key in ["debug", "strip"] {
            let is_read = |value: &toml::Value| value.is_integer() || value.is_bool() || key == "strip";
            assert!(profile.get(key).is_none_or(is_read), "profile.{name}.{key}");
        }
    }
    assert!(!needed().is_empty());
}

/// What a test leaves, killed or not, goes with the run: files, folders, and those that nobody may write to.
#[test]
fn a_run_leaves_nothing_in_the_temporary_directory() {
    let programs = Programs::bare(0).with_rust("1.99.0");
    programs.add("dpkg-query", "echo installed");
    let temporary = tempfile::tempdir().expect("a folder");
    let output =
        programs.command("tests/run", &["--quick"]).env("TMPDIR", temporary.path()).output().expect("it starts");
    let text = said(&output);
    assert!(
        text.contains(&format!("left in {}/rollup.", temporary.path().display())),
        "the tests had a folder of their own: {text}"
    );
    assert!(text.contains("== cargo test: ok"), "{text}");
    assert_eq!(std::fs::read_dir(temporary.path()).expect("a folder").count(), 0, "{text}");
}

/// By shellcheck, where it is installed.
#[test]
fn scripts_are_clean() {
    let mut scripts = vec![repository("telegraf/try"), repository("tests/run"), repository(".ci/run")];
    scripts.extend(["packaging/windows/build.sh", "packaging/windows/sysroot.sh"].map(repository));
    for entry in std::fs::read_dir(repository("tests/setup")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_script = std::fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"#!") && bytes.contains(&b'\n'));
        if is_script {
            scripts.push(path);
        }
    }
    for script in &scripts {
        let parsed = Command::new("bash").arg("-n").arg(script).output().expect("bash");
        assert!(parsed.status.success(), "{}", said(&parsed));
    }
    let mut command = Command::new("shellcheck");
    if let Ok(output) = command.arg("-x").args(&scripts).current_dir(repository("")).output() {
        assert!(output.status.success(), "{}", said(&output));
    }
}
