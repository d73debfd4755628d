//! A machine with the program, a configuration, a state directory and a SQLite file: what tests of the real process stand on.
//!
//! A test that compares rows declares `mod oracle`, too.
// Each test binary compiles its own copy of this module and uses a part of it.
#![allow(dead_code)]

use super::{feed, program, sqlite_csv};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Sum, maximum and count of one field, written every second.
pub const CONFIG: &str = r#"
[flush]
every = "1s"
daily_every = "1s"
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
  name = "max_v"
  method = "max"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
"#;

/// Event time of the first of [`lines`], nanoseconds since the epoch.
pub const START: i64 = 1_700_000_000_000_000_000;

/// Made-up lines: one every 10 s, over four devices.
pub fn lines(numbers: impl Iterator<Item = i64>) -> Vec<u8> {
    let line = |n: i64| format!("m,host=h{} v={} {}\n", n % 4, n * 37 % 1000, START + n * 10_000_000_000);
    numbers.map(line).collect::<String>().into_bytes()
}

/// What a process has said on stderr.
pub fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until something is so.
pub fn wait_for(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A configuration with its folders.
pub struct Site {
    pub folder: tempfile::TempDir,
    /// Behind `state_dir`.
    pub config: String,
    /// The sink's file.
    sink: PathBuf,
}

impl Site {
    /// A site with [`CONFIG`], whose sink is `sink.db` for every state directory.
    pub fn new() -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = folder.path().join("sink.db");
        let config = format!("{CONFIG}[sink]\nurl = \"sqlite://{}\"\n", sink.display());
        Site { folder, config, sink }
    }

    /// A site with a configuration of its own, and the default sink if that names none.
    pub fn with(config: &str) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = folder.path().join("state/summary.db");
        Site { folder, config: config.to_string(), sink }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration for a state directory. Returns its path.
    pub fn configure(&self, state: &str) -> PathBuf {
        let path = self.path(&format!("{state}.toml"));
        let text = format!("state_dir = {:?}\n{}", self.path(state), self.config);
        // A process may be reading it: half of a text is another configuration.
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            std::fs::write(&path, text).expect("writable");
        }
        path
    }

    /// `run` for a state directory, with pipes.
    pub fn command(&self, state: &str) -> Command {
        let mut command = program();
        command.args(["run", "--config"]).arg(self.configure(state));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts `run`.
    pub fn start(&self, state: &str) -> Child {
        self.command(state).spawn().expect("the program starts")
    }

    /// Runs a process over some lines, from start to end.
    pub fn run(&self, state: &str, lines: &[u8]) -> Output {
        self.run_with(state, lines, &[])
    }

    /// The same with variables of the environment.
    pub fn run_with(&self, state: &str, lines: &[u8], environment: &[(&str, &str)]) -> Output {
        let output = feed(self.command(state).envs(environment.iter().copied()), lines);
        assert!(output.status.success(), "{}", log(&output));
        assert!(output.stdout == lines, "stdout is not the input");
        output
    }

    /// Another command on the same configuration.
    pub fn tool(&self, name: &str, state: &str) -> Command {
        let mut command = program();
        command.args([name, "--config"]).arg(self.configure(state));
        command
    }

    /// The rows, as `replay --format csv` prints them.
    pub fn rows(&self) -> String {
        sqlite_csv(&self.sink, &self.config)
    }

    /// A number from the sink.
    pub fn value(&self, sql: &str) -> i64 {
        let database = rusqlite::Connection::open(&self.sink).expect("the sink");
        database.query_row(sql, [], |row| row.get(0)).expect("a value")
    }

    /// True if a process owns a state directory and says so.
    pub fn has_owner(&self, state: &str) -> bool {
        self.status(state).is_some_and(|status| status["role"] == "owner")
    }

    /// `status.json`; `None` while there is none.
    pub fn status(&self, state: &str) -> Option<serde_json::Value> {
        let text = std::fs::read_to_string(self.path(state).join("status.json")).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// How every process that this one may look into has opened a file: the flags of its handles, as `open` takes them.
/// Empty where the system does not show them.
pub fn opened(path: &Path) -> Vec<u32> {
    let path = path.canonicalize().expect("a file");
    let folder = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let handles = folder("/proc".into()).flat_map(|process| folder(process.path().join("fd")));
    let ours = handles.filter(|handle| std::fs::read_link(handle.path()).is_ok_and(|target| target == path));
    let flags = ours.filter_map(|handle| {
        let process = handle.path().parent().and_then(Path::parent).expect("/proc/PID/fd/N").to_path_buf();
        let text = std::fs::read_to_string(process.join("fdinfo").join(handle.file_name())).ok()?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        u32::from_str_radix(flags.trim(), 8).ok()
    });
    flags.collect()
}

/// The bits of those flags that say for what: 0 is reading, 1 is writing, 2 is both; and the one of append.
pub const ACCESS: u32 = 0o3;
pub const APPEND: u32 = 0o2000;

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
