//! Every folder in `tests/cases`: the same rows by `replay`, by `run` into SQLite, and by the oracle; stdout of `run` is
//! the input.

#[path = "oracle/mod.rs"]
mod oracle;
mod support;

use std::fs;
use std::path::PathBuf;
use support::{feed, program, repository, same_csv, sqlite_csv};

struct Case {
    name: String,
    folder: PathBuf,
    config: String,
    input: Vec<u8>,
    expected: String,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(repository("tests/cases")).expect("the folder of cases") {
        let folder = entry.expect("an entry").path();
        if !folder.is_dir() {
            continue;
        }
        let read =
            |name: &str| fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", folder.display()));
        let text = |name: &str| String::from_utf8(read(name)).expect("UTF-8");
        cases.push(Case {
            name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
            config: text("config.toml"),
            input: read("input.influx"),
            expected: text("expected.csv"),
            folder,
        });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 120, "the folder of cases is not complete");
    cases
}

/// Collects what differs, so that one run shows all of it.
#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    fn compare(&mut self, case: &Case, found: &str, log: &str) {
        if let Err(difference) = same_csv(found, &case.expected) {
            self.0.push(format!("{}: {difference}\n{log}", case.name));
        }
    }

    fn end(self) {
        assert!(self.0.is_empty(), "{} cases differ:\n{}", self.0.len(), self.0.join("\n"));
    }
}

#[test]
fn replay_gives_the_expected_rows() {
    let mut report = Report::default();
    // Cases hold what a live process writes: windows without a sample have rows up to now.
    let now = jiff::Timestamp::now().to_string();
    for case in cases() {
        let mut command = program();
        command
            .args(["replay", "--format", "csv", "--now", &now, "--config"])
            .arg(case.folder.join("config.toml"))
            .arg("-");
        let output = feed(&mut command, &case.input);
        assert!(output.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
        let found = String::from_utf8(output.stdout).expect("UTF-8");
        if std::env::var_os("ROLLUP_BLESS").is_some() {
            fs::write(case.folder.join("expected.csv"), &found).expect("writable");
            continue;
        }
        report.compare(&case, &found, "");
    }
    report.end();
}

/// Without a time to judge at: those of the expected rows that end before the newest point, and nothing else.
#[test]
fn replay_without_a_time_shows_windows_up_to_the_newest_point() {
    let mut report = Report::default();
    let mut shorter = 0;
    for mut case in cases() {
        let options = oracle::Options { now_ns: None, ..Default::default() };
        let rows = oracle::to_csv(&case.config, &oracle::rollup(&case.config, &case.input, &options));
        let mut command = program();
        command.args(["replay", "--format", "csv", "--config"]).arg(case.folder.join("config.toml")).arg("-");
        let output = feed(&mut command, &case.input);
        let found = String::from_utf8(output.stdout).expect("UTF-8");
        shorter += usize::from(rows.lines().count() < case.expected.lines().count());
        case.expected = rows;
        report.compare(&case, &found, "");
    }
    report.end();
    assert!(shorter > 10, "only {shorter} cases have windows behind the newest point");
}

#[test]
fn run_gives_the_expected_rows_and_the_same_bytes() {
    let mut report = Report::default();
    for case in cases() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!("state_dir = {:?}\n{}", folder.path().to_str().expect("UTF-8"), case.config);
        let path = folder.path().join("rollup.toml");
        fs::write(&path, config).expect("writable");
        let output = feed(program().args(["run", "--config"]).arg(&path), &case.input);
        assert!(output.status.success(), "{}", case.name);
        assert!(output.stdout == case.input, "{}: stdout is not the input", case.name);
        let found = sqlite_csv(&folder.path().join("summary.db"), &case.config);
        report.compare(&case, &found, &String::from_utf8_lossy(&output.stderr));
    }
    report.end();
}

#[test]
fn the_oracle_gives_the_expected_rows() {
    let mut report = Report::default();
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("before 2262");
    for case in cases() {
        let options = oracle::Options { now_ns: Some(now), ..Default::default() };
        let rows = oracle::rollup(&case.config, &case.input, &options);
        let found = oracle::to_csv(&case.config, &rows);
        report.compare(&case, &found, "");
    }
    report.end();
}
