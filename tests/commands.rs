//! `check`, `replay` and the configuration as a user meets them: every problem at once, with its line and remedy.

mod support;

use std::path::PathBuf;
use support::{feed, program, repository};
use telegraf_rollup::config::{Config, SinkConfig};

fn problems(text: &str) -> Vec<String> {
    match Config::check(text, &|name| (name == "KNOWN").then(|| "value".to_string())) {
        Ok(_) => Vec::new(),
        Err(report) => report.0.iter().map(ToString::to_string).collect(),
    }
}

/// A configuration without a problem, to break in one place.
const GOOD: &str = r#"timezone = "UTC"
state_dir = "/tmp/x"
[[summary]]
name = "s"
key = ["host"]
windows = ["hourly"]
  [[summary.column]]
  name = "avg_v"
  method = "avg"
  sources = [{ measurement = "m", field = "v" }]
  [[summary.column]]
  name = "odd"
  method = "anomalies"
  rules = ["high"]
[[anomaly]]
name = "high"
column = "avg_v"
when = "> 80"
"#;

#[test]
fn every_bad_configuration_is_explained() {
    assert_eq!(problems(GOOD), Vec::<String>::new());
    let table = [
        (
            "timezone = \"UTC\"",
            "timezone = \"Berlin\"",
            "line 1: timezone: \"Berlin\" is not a time zone: write an IANA name",
        ),
        ("timezone = \"UTC\"", "timezone = 1", "line 1: timezone: expected a string in quotes, found an integer"),
        ("timezone = \"UTC\"", "timezon = \"UTC\"", "line 1: timezon: unknown key: did you mean `timezone`?"),
        (
            "state_dir = \"/tmp/x\"",
            "state_dir = \"${NOWHERE}\"",
            "line 2: state_dir: the environment variable NOWHERE is not set",
        ),
        ("state_dir = \"/tmp/x\"", "state_dir = \"${KNOWN\"", "`${` without `}`"),
        ("name = \"s\"\n", "", "line 3: summary[0]: missing key `name`: write, for example, name = \"device_summary\""),
        ("name = \"s\"\n", "name = \"a b\"\n", "line 4: summary[0].name: is part of table names"),
        ("key = [\"host\"]", "key = []", "line 5: summary[0].key: must name 1 to 3 tags"),
        ("key = [\"host\"]", "key = \"host\"", "expected a list of strings"),
        ("key = [\"host\"]", "key = [\"samples\"]", "every table has a column \"samples\" of its own"),
        ("key = [\"host\"]", "key = [\"AVG_V\"]", "there is a column \"avg_v\" already"),
        (
            "windows = [\"hourly\"]",
            "windows = [\"weekly\"]",
            "line 6: summary[0].windows: names only windows that are not built yet: write windows = ",
        ),
        ("windows = [\"hourly\"]", "expect_every = \"1\"", "\"1\" is not a duration"),
        (
            "method = \"avg\"",
            "method = \"average\"",
            "line 9: summary[0].column[0].method: unknown method \"average\": write \"avg\"",
        ),
        ("method = \"avg\"", "method = \"agv\"", "did you mean \"avg\"?"),
        ("method = \"avg\"", "method = \"p101\"", "or a percentile as in \"p95\""),
        (
            "method = \"avg\"",
            "method = \"avg\"\nvalid = [120, 0]",
            "line 10: summary[0].column[0].valid: the lowest value is above the highest: write [0, 120]",
        ),
        (
            "method = \"avg\"",
            "method = \"avg\"\nvalid = [0, nan]",
            "column[0].valid: nan is no limit: write two numbers",
        ),
        (
            "method = \"avg\"",
            "method = \"avg\"\nvalid = [+nan, 0]",
            "column[0].valid: nan is no limit: write two numbers",
        ),
        (
            "method = \"avg\"",
            "method = \"avg\"\nvalid = [0, \"120\"]",
            "column[0].valid: expected a number, found a string",
        ),
        ("method = \"avg\"", "method = \"avg\"\nvalid = [0]", "column[0].valid: must hold two numbers, not 1"),
        ("method = \"avg\"", "method = \"avg\"\nvalid = [0, 1, 2]", "column[0].valid: must hold two numbers, not 3"),
        ("method = \"avg\"", "method = \"avg\"\nvalid = []", "column[0].valid: must hold two numbers, not 0"),
        (
            "method = \"avg\"",
            "method = \"avg\"\nvalid = 120",
            "column[0].valid: expected the lowest and the highest value",
        ),
        ("method = \"avg\"", "method = \"avg\"\nvalid = [inf, inf]", "column[0].valid: no value is in it"),
        ("method = \"avg\"", "method = \"avg\"\nvalid = [-inf, -inf]", "column[0].valid: no value is in it"),
        (
            "rules = [\"high\"]",
            "rules = [\"high\"]\nvalid = [0, 1]",
            "column[1].valid: an anomalies column has no values",
        ),
        (
            "windows = [\"hourly\"]",
            "missing.horizon = \"soon\"",
            "line 6: summary[0].missing.horizon: \"soon\" is not a duration",
        ),
        ("windows = [\"hourly\"]", "missing = \"3h\"", "line 6: summary[0].missing: expected a table"),
        (
            "windows = [\"hourly\"]",
            "missing.horizn = \"3h\"",
            "summary[0].missing.horizn: unknown key: did you mean `horizon`?",
        ),
        ("field = \"v\"", "fild = \"v\"", "missing key `field`"),
        ("field = \"v\"", "field = \"v\", scale = inf", "expected a finite number, as in 1.5"),
        ("when = \"> 80\"", "when = \"> 80\"\n[sink]\ntls = \"off\"", "sink.tls: is for MySQL"),
        ("field = \"v\"", "field = \"v\", scale = \"2\"", "expected a finite number, as in 1.5, found a string"),
        ("sources = [{ measurement = \"m\", field = \"v\" }]", "", "missing key `sources`"),
        (
            "rules = [\"high\"]",
            "rules = [\"hihg\"]",
            "line 14: summary[0].column[1].rules[0]: there is no [[anomaly]] with the name \"hihg\"",
        ),
        ("rules = [\"high\"]", "", "missing key `rules`"),
        ("rules = [\"high\"]", "rules = [\"high\", \"high\"]", "rules[1]: \"high\" stands twice"),
        ("column = \"avg_v\"", "column = \"other\"", "\"other\" is not a column with sources"),
        ("column = \"avg_v\"\n", "", "needs either `column`"),
        ("when = \"> 80\"", "when = \"80\"", "line 18: anomaly[0].when: \"80\" is not a condition"),
        ("when = \"> 80\"", "when = \"> inf\"", "is not a condition"),
        ("when = \"> 80\"", "", "missing key `when`"),
        ("when = \"> 80\"", "when = \"> 80\"\nzscore = 3.0", "has both `when` and a z-score"),
        ("when = \"> 80\"", "zscore = -3.0", "anomaly[0].zscore: must be above 0"),
        ("when = \"> 80\"", "baseline = 24", "missing key `zscore`"),
        ("when = \"> 80\"", "zscore = 3.0\nbaseline = 0", "line 19: anomaly[0].baseline: must be from 1 to 720"),
        ("when = \"> 80\"", "zscore = 3.0\nbaseline = 100000", "must be from 1 to 720"),
        (
            "when = \"> 80\"",
            "when = \"> 80\"\n[sink]\nurl = \"postgres://x/y\"",
            "line 20: sink.url: postgres:// is not the address of a sink",
        ),
        ("when = \"> 80\"", "when = \"> 80\"\n[sink]\nurl = \"mysql://h/d\"", "the user is missing"),
        ("when = \"> 80\"", "when = \"> 80\"\n[sink]\nurl = \"mysql://u@h/d\"\ntls = \"on\"", "write \"verify-full\""),
        (
            "when = \"> 80\"",
            "when = \"> 80\"\n[sink]\nurl = \"mysql://u@h/d\"\ntls = \"verify-ca\"",
            "sink.tls: needs `ca_file`",
        ),
        ("when = \"> 80\"", "when = \"> 80\"\n[flush]\nevery = \"0s\"", "must be at least \"1s\""),
        ("when = \"> 80\"", "when = \"> 80\"\n[lateness]\nmax = \"1m\"", "is shorter than `allowed`"),
        ("when = \"> 80\"", "when = \"> 80\"\n[limits]\ndevices = -1", "expected a whole number that is not negative"),
        ("when = \"> 80\"", "when = \"> 80\"\n[limits]\njournal_bytes = \"1 GB of it\"", "is not a size"),
        (
            "when = \"> 80\"",
            "when = \"> 80\"\n[retention]\npartials = \"13d\"",
            "at least lateness.max and two days, and \"14d\"",
        ),
        ("when = \"> 80\"", "when = \"> 80\"\n[retention]\nhourly = \"1h\"", "must be at least \"2d\", or \"forever\""),
        (
            "when = \"> 80\"",
            "when = \"> 80\"\n[sink]\nurl = \"mysql://u@db/d\"\nclient_cert = \"/c.pem\"",
            "sink.client_cert: needs the other one too",
        ),
        ("when = \"> 80\"", "when = > 80", "line 18"),
    ];
    for (good, bad, wanted) in table {
        assert!(GOOD.contains(good), "{good}");
        let found = problems(&GOOD.replacen(good, bad, 1));
        assert!(found.iter().any(|p| p.contains(wanted)), "{bad}: {wanted:?} is not in {found:#?}");
    }
}

#[test]
fn a_range_may_be_open_and_may_be_one_value() {
    for (range, low, high) in [
        ("[0, 120]", 0.0, 120.0),
        ("[-inf, +inf]", f64::NEG_INFINITY, f64::INFINITY),
        ("[-40.5, inf]", -40.5, f64::INFINITY),
        ("[7, 7]", 7.0, 7.0),
        ("[-0.0, 1_000.0]", 0.0, 1e3),
    ] {
        let text = GOOD.replacen("method = \"avg\"", &format!("method = \"avg\"\nvalid = {range}"), 1);
        let config = Config::check(&text, &|_| None).unwrap_or_else(|r| panic!("{range}: {r}"));
        let accumulators = &config.schema.summaries[0].accumulators;
        // The rule watches the column: it sees what the column takes.
        assert!(accumulators.len() > 1);
        for accumulator in accumulators {
            let valid = accumulator.source.valid;
            assert_eq!((valid.low.to_bits(), valid.high.to_bits()), (low.to_bits(), high.to_bits()), "{range}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once_in_order() {
    let text = GOOD
        .replace("\"UTC\"", "\"Mars\"")
        .replace("\"avg\"", "\"mean\"")
        .replace("> 80", "hot")
        .replace("name = \"s\"", "nam = 5");
    let found = problems(&text);
    let lines: Vec<usize> =
        found.iter().map(|p| p[5..p.find(':').expect("a colon")].parse().expect("a line")).collect();
    assert!(found.len() >= 5, "{found:#?}");
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn secrets_and_defaults() {
    let url = |url: &str| {
        let config = Config::check(&format!("{GOOD}[sink]\nurl = {url:?}\n"), &|_| Some("s%40cret".to_string()));
        config.unwrap_or_else(|r| panic!("{r}")).sink
    };
    let SinkConfig::MySql(mysql) = url("mysql://me:${PW}@db.example.org/metrics") else { panic!("not MySQL") };
    assert_eq!((mysql.port, mysql.host.as_str(), mysql.database.as_str()), (3306, "db.example.org", "metrics"));
    assert!(matches!(&mysql.password, telegraf_rollup::config::Password::Text(t) if t == "s@cret"));
    assert!(!format!("{mysql:?}").contains("cret"), "a password is shown");
    assert_eq!(mysql.tls, telegraf_rollup::config::Tls::VerifyFull, "encrypted unless the host is local");
    let SinkConfig::MySql(local) = url("mysql://me@[::1]:3307/metrics") else { panic!("not MySQL") };
    assert_eq!((local.tls, local.port, local.host.as_str()), (telegraf_rollup::config::Tls::Off, 3307, "::1"));
    let SinkConfig::Sqlite(path) = url("sqlite:///C:/data/summary.db") else { panic!("not SQLite") };
    assert_eq!(path, PathBuf::from("C:/data/summary.db"));
    let config = Config::check(GOOD, &|_| None).unwrap_or_else(|r| panic!("{r}"));
    assert!(matches!(config.sink, SinkConfig::Sqlite(path) if path.ends_with("tmp/x/summary.db")));
}

#[test]
fn the_samples_are_valid_and_show_the_defaults() {
    for name in ["rollup.toml", "rollup-windows-hwinfo.toml"] {
        let text = std::fs::read_to_string(repository("telegraf").join(name)).expect("the sample");
        let sample = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{name}: {report}"));
        assert!(sample.warnings.is_empty(), "{name}: {:?}", sample.warnings);
        let bare = text[text.find("[[summary]]").expect("a summary")..].to_string();
        let default = Config::check(&bare, &|_| None).unwrap_or_else(|report| panic!("{name}: {report}"));
        assert_eq!(sample.flush, default.flush, "{name}");
        assert_eq!(sample.durability, default.durability, "{name}");
        assert_eq!(sample.retention, default.retention, "{name}");
        assert_eq!(sample.schema.lateness, default.schema.lateness, "{name}");
        assert_eq!(sample.schema.limits, default.schema.limits, "{name}");
        let horizon = |config: &Config| config.schema.summaries[0].missing_horizon;
        assert_eq!(horizon(&sample), horizon(&default), "{name}");
        assert!(matches!(sample.sink, SinkConfig::Sqlite(_)), "{name}");
        // What is behind a comment sign must work too when it is uncommented.
        let commented: String = text
            .lines()
            .filter(|l| l.starts_with("# ") && l.contains(" = \""))
            .filter(|l| !l.contains("timezone_tag") && !l.contains("partials") && !l.contains("missing"))
            .map(|l| format!("{}\n", &l[2..]))
            .collect();
        let with_sink = text.replacen("[sink]\n", &format!("[sink]\n{commented}"), 1);
        assert!(with_sink.contains("# timezone_tag = "), "{name}");
        let with_sink = with_sink
            .replace("# timezone_tag = ", "timezone_tag = ")
            .replace("# partials = ", "partials = ")
            .replace("# missing.", "missing.");
        if let Err(report) = Config::check(&with_sink, &|_| None) {
            panic!("{name}: the commented keys of [sink]: {report}\n{commented}");
        }
    }
    for name in
        ["processor.conf", "processor-windows.conf", "output.conf", "inputs-linux.conf", "inputs-windows-hwinfo.conf"]
    {
        let text = std::fs::read_to_string(repository("telegraf").join(name)).expect("the snippet");
        text.parse::<toml::Table>().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn check_shows_the_configuration_and_the_sink() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    std::fs::write(&config, GOOD.replace("/tmp/x", folder.path().to_str().expect("UTF-8"))).expect("writable");
    let check = || {
        let output = program().args(["check", "--config"]).arg(&config).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let said = check();
    assert!(
        said.starts_with("ready: rows will go to SQLite ") && said.contains("table s_hourly will be made by run"),
        "{said}"
    );
    assert!(!folder.path().join("summary.db").exists(), "check must not write");
    feed(program().args(["run", "--config"]).arg(&config), format!("m,host=a v=81 {}\n", now()).as_bytes());
    let said = check();
    assert!(said.contains("table s_hourly: 1 row, the newest window starts at"), "{said}");
    std::fs::write(&config, "[[summary]]\nname = 1\n").expect("writable");
    let output = program().args(["check", "--config"]).arg(&config).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("does not work: 3 things to correct"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2: summary[0].name: expected a string"));
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("this century")
}

#[test]
fn check_explains_a_line() {
    let explain = |line: &str| {
        let config = repository("telegraf/rollup.toml");
        let output = program().args(["check", "--explain", line, "--config"]).arg(config).output().expect("it starts");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let said = explain("cpu,cpu=cpu-total,host=pc-1 usage_idle=93.5");
    assert!(said.contains("device_summary.avg_cpu takes cpu:usage_idle = 6.5"), "{said}");
    assert!(explain("cpu,cpu=cpu3,host=pc-1 usage_idle=93.5").contains("tag \"cpu\" is \"cpu3\", not \"cpu-total\""));
    assert!(explain("cpu,cpu=cpu-total usage_idle=93.5").contains("lacks the key tag \"host\""));
    assert!(explain("net,host=a bytes=1i").contains("no column takes this line"));
    assert!(explain("cpu usage_idle=1,").contains("not line protocol: Telegraf's parser gives up at byte"));
    assert!(explain("temp,host=a,sensor=k10temp_tctl temp=81").contains("anomaly_count takes temp:temp = 81, flagged"));
}

/// A value that a column does not take because of its range is counted once, whatever else does not take it.
#[test]
fn values_out_of_range_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    let text = GOOD.replace("/tmp/x", folder.path().to_str().expect("UTF-8"));
    std::fs::write(&config, text.replacen("method = \"avg\"", "method = \"avg\"\nvalid = [0, 125]", 1))
        .expect("writable");
    let at = 1_700_000_000_000_000_000_i64;
    let line = |(n, value): (i64, &str)| format!("m,host=a v={value} {}\n", at + n * 60_000_000_000);
    // 255 came twice with the same value, and 50 was replaced by 300.
    let points = [(0, "5"), (1, "255"), (1, "255"), (2, "-1"), (3, "50"), (3, "300"), (4, "125"), (5, "0"), (1, "9")];
    let input: String = points.into_iter().map(line).collect();
    let output =
        feed(program().args(["replay", "--format", "csv", "--config"]).arg(&config).arg("-"), input.as_bytes());
    let (rows, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("3 values out of range") && said.contains("4 points counted"), "{said}");
    assert!(said.contains("2 duplicates") && said.contains("1 conflict"), "{said}");
    assert!(rows.lines().nth(1).is_some_and(|row| row.contains(",3,")), "{rows}");
    let explained = |value: &str| {
        let mut command = program();
        command.args(["check", "--config"]).arg(&config).args(["--explain", &format!("m,host=a v={value}")]);
        String::from_utf8(command.output().expect("it starts").stdout).expect("UTF-8")
    };
    assert!(explained("125").contains("takes m:v = 125"), "{}", explained("125"));
    assert!(explained("255").contains("255 is outside of `valid`, which is 0 to 125"), "{}", explained("255"));
}

#[test]
fn replay_prints_rows_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    std::fs::write(&config, format!("{GOOD}[missing]\nhorizon = \"2d\"\n")).expect("writable");
    let input =
        b"m,host=a v=81 1700000000000000000\nm,host=a v=1 1700000001000000000\nx\nm,host=b v=2 1700093600000000000\n";
    let replay = |arguments: &[&str]| {
        let mut command = program();
        command.args(["replay", "--config"]).arg(&config).args(arguments).arg("-");
        let output = feed(&mut command, input);
        (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (table, said) = replay(&[]);
    assert!(table.contains("2023-11-14 22:00:00") && table.contains("41.000"), "{table}");
    assert!(table.contains("24 more windows without a sample"), "{table}");
    assert!(
        said.contains("4 lines, 3 of them feed a column, 3 points counted; not counted: 1 malformed line"),
        "{said}"
    );
    let (json, _) = replay(&["--format", "json"]);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().expect("a row")).expect("JSON");
    assert_eq!(
        (first["avg_v"].as_f64(), first["odd"].as_i64(), first["is_final"].as_i64()),
        (Some(41.0), Some(1), Some(1))
    );
    let (csv, _) = replay(&["--format", "csv"]);
    assert!(
        csv.starts_with("table,window_start,local,host,avg_v,odd,samples,coverage,first_seen,last_seen\n"),
        "{csv}"
    );
    // Rows with samples, and those of a that end before the newest point, which is one of b at 00:13 two days later.
    assert_eq!(csv.lines().count(), 1 + 2 + 25, "{csv}");
    let (json, _) = replay(&["--format", "json"]);
    assert!(
        !json.contains("\"is_final\":0"),
        "without a time every window is final, also that of the newest point: {json}"
    );
    // Up to a time: 48 windows start within the horizon of a, and 22 of b have ended.
    let (csv, _) = replay(&["--format", "csv", "--now", "2023-11-16T23:00:00Z"]);
    assert_eq!(csv.lines().count(), 1 + 2 + 48 + 22, "{csv}");
    // Judged at a time: the third point is too far ahead, the window has not ended.
    let (json, said) = replay(&["--format", "json", "--now", "2023-11-14T22:13:20Z"]);
    assert_eq!(json.lines().count(), 1, "{json}");
    assert!(json.contains("\"is_final\":0") && said.contains("2 points counted"), "{json}{said}");
    let (json, said) = replay(&["--format", "json", "--now", "2023-11-14T22:00:00Z"]);
    assert!(json.is_empty() && said.contains("3 points in the future"), "{json}{said}");
    let (json, said) = replay(&["--format", "json", "--now", "2024-11-14"]);
    assert!(json.is_empty() && said.contains("3 late points"), "{json}{said}");
    let (_, said) = replay(&["--now", "2024-11-14 12:00"]);
    assert!(said.contains("as if it arrived at 2024-11-14 12:00:00+00:00 UTC"), "{said}");
    let (out, said) = replay(&["--now", "soon"]);
    assert!(out.is_empty() && said.contains("--now \"soon\" is not a time: write 2026-01-31 or"), "{said}");
    // A reader that goes away is no error.
    let mut command = program();
    command.args(["replay", "--config"]).arg(&config).arg(repository("telegraf/none.influx"));
    let output = command.output().expect("it starts");
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("cannot read"));
}

/// What Notepad and PowerShell write: a byte order mark is skipped, and other encodings are named with what to do.
#[test]
fn text_files_of_the_world() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    };
    let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let config = format!("# Büro\n{GOOD}").replace("/tmp/x", &folder.path().display().to_string());
    let good = write("good.toml", config.as_bytes());
    let input = "m,host=büro v=1 1700000000000000000\nm,host=büro v=2 1700000001000000000\n";
    let ascii = input.replace('ü', "ue");
    let latin = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let said = |command: &str, config: &PathBuf, more: &[&std::ffi::OsStr]| {
        let mut program = program();
        program.arg(command).arg("--config").arg(config).args(more);
        let output = program.output().expect("the program starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    // Configurations, by `check`; `run` reads them in the same way.
    let marked = write("marked.toml", format!("\u{feff}{}", config.replace('\n', "\r\n")).as_bytes());
    let (is_valid, out, err) = said("check", &marked, &[]);
    assert!(is_valid && out.contains("valid"), "{out}{err}");
    let bad = write("bad.toml", format!("\u{feff}timezon = 1\n{config}").as_bytes());
    assert!(said("check", &bad, &[]).2.contains("line 1: timezon: unknown key"));
    let encodings = [
        ("UTF-16 (little-endian", wide(&format!("\u{feff}{config}"), u16::to_le_bytes)),
        ("UTF-16 (big-endian", wide(&format!("\u{feff}{config}"), u16::to_be_bytes)),
        ("UTF-16 (little-endian", wide(&config, u16::to_le_bytes)),
        ("UTF-16 (big-endian", wide(&config, u16::to_be_bytes)),
        ("line 1 is not UTF-8 (is it Latin-1", latin(&config)),
    ];
    for (name, bytes) in &encodings {
        let path = write("other.toml", bytes);
        let (is_valid, _, err) = said("check", &path, &[]);
        assert!(!is_valid && err.contains(name) && err.contains("save it as UTF-8"), "{name}: {err}");
        assert!(err.contains("other.toml"), "{err}");
        let output = feed(program().args(["run", "--config"]).arg(&path), ascii.as_bytes());
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains(name) && log.contains("nothing is counted"), "{name}: {log}");
        assert!(output.stdout == ascii.as_bytes(), "stdout is not the input");
    }
    // Line protocol, by `replay`.
    let replay = |name: &str, bytes: &[u8]| {
        let path = write(name, bytes);
        let format = ["--format".as_ref(), "csv".as_ref(), path.as_os_str()];
        said("replay", &good, &format)
    };
    let plain = replay("plain.influx", input.as_bytes());
    assert!(plain.0 && plain.1.contains("büro") && plain.2.contains("2 points counted"), "{plain:?}");
    assert_eq!(replay("marked.influx", format!("\u{feff}{input}").as_bytes()), plain);
    for bytes in [wide(&ascii, u16::to_le_bytes), wide(&format!("\u{feff}{ascii}"), u16::to_be_bytes)] {
        let (is_read, _, err) = replay("wide.influx", &bytes);
        assert!(!is_read && err.contains("wide.influx: it is UTF-16") && err.contains("save it as UTF-8"), "{err}");
    }
    let (is_read, out, err) = replay("latin.influx", &latin(input));
    assert!(is_read && out.contains("b\\xfcro") && err.contains("2 points counted"), "{out}{err}");
    assert!(
        err.contains("latin.influx is not all UTF-8 (is it Latin-1") && err.contains("`m,host=b\\xfcro v=1"),
        "{err}"
    );
    // A line that was copied with the mark.
    let line = std::ffi::OsString::from("\u{feff}m,host=a v=1");
    let (is_good, out, _) = said("check", &good, &["--explain".as_ref(), line.as_os_str()]);
    assert!(is_good && out.contains("s.avg_v takes m:v = 1"), "{out}");
}

#[test]
fn extreme_timestamps_are_refused_and_nothing_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    let text = GOOD.replace("/tmp/x", folder.path().to_str().expect("UTF-8")).replace("\"UTC\"", "\"Europe/Berlin\"");
    std::fs::write(&config, format!("{text}[lateness]\nmax = \"forever\"\nfuture = \"100000d\"\n")).expect("writable");
    let mut input = String::new();
    for at in [i64::MIN, i64::MIN + 1, -9_223_300_000_000_000_000, 9_223_286_400_000_000_000, i64::MAX - 1, i64::MAX] {
        input += &format!("m,host=a v=1 {at}\n");
    }
    input += "m,host=a v=3 1700000000000000000\n";
    let replayed =
        feed(program().args(["replay", "--format", "json", "--config"]).arg(&config).arg("-"), input.as_bytes());
    let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(said.contains("1 point counted") && said.contains("3 late points, 3 points in the future"), "{said}");
    let run = feed(program().args(["run", "--config"]).arg(&config), input.as_bytes());
    assert!(run.stdout == input.as_bytes(), "stdout is not the input");
}

#[test]
fn limits_bound_what_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("rollup.toml");
    std::fs::write(&config, format!("{GOOD}[limits]\nseries = 10\n")).expect("writable");
    let line = |host: u32, i: u32| format!("m,host=h{host} v=1 {}\n", 1_700_000_000_000_000_000_i64 + i64::from(i));
    let input: String = (0..5000).map(|i| line(i % 20, i)).collect();
    let replayed =
        feed(program().args(["replay", "--format", "csv", "--config"]).arg(&config).arg("-"), input.as_bytes());
    let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(said.contains("2500 points counted; not counted: 2500 lines over a limit"), "{said}");
    let rows = String::from_utf8_lossy(&replayed.stdout).lines().filter(|l| l.contains(",250,")).count();
    assert_eq!(rows, 10, "{}", String::from_utf8_lossy(&replayed.stdout));
}

#[test]
fn help_teaches() {
    for arguments in [&["--help"][..], &["run", "--help"], &["check", "--help"], &["replay", "--help"]] {
        let output = program().args(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("--"), "{said}");
        assert!(said.contains("telegraf-rollup"), "{said}");
    }
}

/// Without --config, a command reads where the packages put the file.
#[test]
fn the_configuration_has_a_place_of_its_own() {
    let place = if cfg!(windows) { "telegraf-rollup\\rollup.toml" } else { "/etc/telegraf-rollup/rollup.toml" };
    for command in ["run", "check", "status", "resend", "schema", "replay"] {
        let output = program().args([command, "--help"]).output().expect("help");
        assert!(String::from_utf8_lossy(&output.stdout).contains(place), "{command}");
    }
}

/// Completions name every command, and every command has a page of the manual.
#[test]
fn shells_and_readers_of_manuals_get_what_they_want() {
    let commands = ["run", "check", "status", "resend", "schema", "replay", "setup", "report", "demo"];
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = program().args(["completions", shell]).output().expect("it runs");
        let script = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success() && commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    let output = program().arg("man").output().expect("it runs");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success() && page.contains(".TH telegraf-rollup 1") && page.contains("SUBCOMMANDS"),
        "{page}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let output = program().args(["man", "--output"]).arg(folder.path().join("man1")).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    for command in commands {
        let path = folder.path().join(format!("man1/telegraf-rollup-{command}.1"));
        assert!(path.exists(), "{}", path.display());
    }
}
