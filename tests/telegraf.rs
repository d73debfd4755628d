//! Under a real Telegraf: what goes in comes out, and the rows are right, whatever fails on the way.
//!
//! Telegraf runs the snippets of `telegraf/` with the paths of the test. Lines come in by HTTP (Telegraf answers when it
//! has handed every point to the pipeline) and go out to a file. Runs with `cat` as the processor are the reference.
#![cfg(unix)]

#[path = "oracle/mod.rs"]
mod oracle;
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::servers::{Database, Kind, PASSWORD, USER, telegraf};
use support::{all_said, program, repository, same_csv, sqlite_csv};

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
fn wait_for(what: &str, done: impl FnMut() -> bool) {
    support::site::wait_for(what, PATIENCE, done);
}

/// A Telegraf with its folder: `rollup.toml`, `out.influx`, the log, the state.
struct Agent {
    folder: tempfile::TempDir,
    telegraf: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Agent {
    /// Starts Telegraf with a listener, `middle` (a processor or an output), and a file as the output.
    fn start(telegraf: &Path, rollup: &str, middle: impl Fn(&Path) -> String) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let mut agent = Agent { folder, telegraf: telegraf.to_path_buf(), port, child: None };
        agent.write_rollup(rollup);
        let config = format!(
            "[agent]\n  interval = \"1s\"\n  flush_interval = \"500ms\"\n  omit_hostname = true\n  \
             metric_buffer_limit = 1000000\n  metric_batch_size = 5000\n\
             [[inputs.influxdb_v2_listener]]\n  service_address = \"127.0.0.1:{port}\"\n{}\n\
             [[outputs.file]]\n  files = [{:?}]\n  data_format = \"influx\"\n  influx_sort_fields = true\n  \
             influx_uint_support = true\n",
            middle(agent.folder.path()),
            agent.path("out.influx"),
        );
        std::fs::write(agent.path("telegraf.conf"), config).expect("writable");
        agent.start_again();
        agent
    }

    /// Starts Telegraf with the configuration that is there.
    fn start_again(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("telegraf.log"));
        let log = log.expect("writable");
        let child = Command::new(&self.telegraf)
            .arg("--config")
            .arg(self.path("telegraf.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("Telegraf starts"));
        self.wait_for_listener();
    }

    fn wait_for_listener(&self) {
        wait_for("Telegraf's listener", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let kill = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// What has come out so far.
    fn out(&self) -> String {
        std::fs::read_to_string(self.path("out.influx")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_rollup(&self, rollup: &str) {
        let text = format!("state_dir = {:?}\n{rollup}", self.path("state"));
        std::fs::write(self.path("rollup.toml"), text).expect("writable");
    }

    /// Hands lines to Telegraf; returns when they are in its pipeline.
    fn post(&self, lines: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the listener");
        let head = format!(
            "POST /api/v2/write?precision=ns HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            lines.len()
        );
        stream.write_all(head.as_bytes()).expect("writable");
        stream.write_all(lines).expect("writable");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("readable");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("telegraf.log")).expect("the log")
    }

    /// Errors in the log, but for what Telegraf itself says when it closes the pipes of a child that has left.
    fn errors(&self) -> Vec<String> {
        let log = self.log();
        let errors = log.lines().filter(|l| l.contains(" E! ") && !l.contains("file already closed"));
        errors.map(str::to_string).collect()
    }

    /// Stops Telegraf as a service manager does, and gives what came out.
    fn stop(&mut self) -> Vec<u8> {
        let start = Instant::now();
        self.signal("TERM");
        let child = self.child.as_mut().expect("it runs");
        child.wait().expect("it ends");
        // Telegraf sends SIGTERM to a child that is still there after 5 s.
        assert!(start.elapsed() < Duration::from_secs(5), "stopping took {:?}", start.elapsed());
        self.child = None;
        std::fs::read(self.path("out.influx")).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
            eprintln!("{}", self.log());
        }
    }
}

/// A snippet of `telegraf/` with the program and the configuration of the test. Fields are sorted so that runs compare.
fn snippet(name: &str, folder: &Path, extra: &str) -> String {
    let text = std::fs::read_to_string(repository("telegraf").join(name)).expect("the snippet");
    let program = env!("CARGO_BIN_EXE_telegraf-rollup");
    let config = folder.join("rollup.toml");
    let text = text.replace("/usr/bin/telegraf-rollup", program);
    let text = text.replace("/etc/telegraf-rollup/rollup.toml", config.to_str().expect("UTF-8"));
    assert!(text.contains(program), "{name} names the program");
    // Every measurement of the test passes through the program.
    let (head, tail) = text.split_once("namepass = [").expect("a filter");
    let rest = tail.split_once(']').expect("its end").1;
    format!("{head}influx_sort_fields = true\n{extra}{rest}")
}

/// What comes out with `cat` in place of the program. Telegraf drops what it has not read when a child exits, and `cat`
/// does not wait for it: the output is complete before Telegraf is stopped.
fn reference(telegraf: &Path, config: &str, posts: &[&[u8]]) -> Vec<u8> {
    let mut agent = Agent::start(telegraf, config, cat);
    posts.iter().for_each(|post| agent.post(post));
    let newlines = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'\n').count();
    let wanted: usize = posts.iter().map(|post| newlines(post)).sum();
    wait_for("the reference", || newlines(&std::fs::read(agent.path("out.influx")).unwrap_or_default()) == wanted);
    agent.stop()
}

fn cat(_: &Path) -> String {
    "[[processors.execd]]\n  command = [\"cat\"]\n  influx_uint_support = true\n  influx_sort_fields = true\n"
        .to_string()
}

fn processor(folder: &Path) -> String {
    snippet("processor.conf", folder, "")
}

/// The configuration for the sample, with flushes every second.
fn rollup(sink: &str) -> String {
    let text = std::fs::read_to_string(repository("telegraf/rollup.toml")).expect("the configuration");
    let mut out = String::new();
    for line in text.lines() {
        match line.split('=').next().map(str::trim) {
            Some("state_dir") => {}
            Some("max") => out.push_str("max = \"forever\"\n"),
            Some("horizon") => out.push_str("horizon = \"0s\"\n"),
            Some("every" | "daily_every") => {
                out += &(line.split('=').next().unwrap_or_default().to_string() + "= \"1s\"\n")
            }
            Some("[sink]") => out += &format!("[sink]\n{sink}\n"),
            Some("timezone") => out.push_str("timezone = \"Europe/Berlin\"\n"),
            _ => out += &format!("{line}\n"),
        }
    }
    out
}

fn sample() -> Vec<u8> {
    std::fs::read(repository("telegraf/sample.influx")).expect("the sample")
}

/// The sample in parts; no part ends within a line.
fn parts(count: usize) -> Vec<Vec<u8>> {
    let sample = sample();
    let mut out = Vec::new();
    let mut from = 0;
    for i in 1..=count {
        let mut to = sample.len() * i / count;
        // A line of the sample starts with a measurement; the raw newline in a string is followed by another text.
        while to < sample.len() && !(sample[to - 1] == b'\n' && sample[to..].starts_with(b"hwinfo")) {
            to += 1;
        }
        out.push(sample[from..to].to_vec());
        from = to;
    }
    out
}

fn expected(config: &str, input: &[u8]) -> String {
    oracle::to_csv(config, &oracle::rollup(config, input, &oracle::Options { now_ns: None, ..Default::default() }))
}

/// The rows must be those of what came out, computed by the oracle.
fn rows_are_right(agent: &Agent, config: &str, out: &[u8]) {
    let found = sqlite_csv(&agent.path("state/summary.db"), config);
    if let Err(difference) = same_csv(&found, &expected(config, out)) {
        panic!("{difference}\n{}", agent.log());
    }
}

#[test]
fn what_comes_out_is_what_cat_lets_out() {
    let Some(telegraf) = telegraf() else { return };
    let config = rollup("");
    let parts = parts(7);
    let mut agent = Agent::start(&telegraf, &config, processor);
    parts.iter().for_each(|part| agent.post(part));
    // Stopped at once: what is still on its way must come out all the same.
    let out = agent.stop();
    assert!(agent.errors().is_empty(), "{}", agent.log());
    rows_are_right(&agent, &config, &out);
    assert!(expected(&config, &out).lines().count() > 20);
    assert!(out.len() > 1_000_000, "the sample came through");
    let posts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert!(reference(&telegraf, &config, &posts) == out, "the bytes differ from those of cat");
}

#[test]
fn rows_reach_mysql_and_survive_its_stop() {
    let Some(telegraf) = telegraf() else { return };
    let Some(mut database) = Database::start(Kind::MySql) else { return };
    let config = rollup(&format!("url = {:?}", database.url(USER, PASSWORD, "metrics")));
    let mut agent = Agent::start(&telegraf, &config, processor);
    let parts = parts(6);
    agent.post(&parts[0]);
    agent.post(&parts[1]);
    let samples = |d: &Database| d.value("SELECT COALESCE(SUM(samples), 0) FROM device_summary_hourly");
    wait_for("the first rows", || {
        database.try_query("SELECT 1 FROM device_summary_hourly").is_ok() && samples(&database) != "0"
    });
    database.stop();
    agent.post(&parts[2]);
    agent.post(&parts[3]);
    std::thread::sleep(Duration::from_millis(2500));
    database.restart();
    agent.post(&parts[4]);
    agent.post(&parts[5]);
    let input = sample();
    let all = expected(&config, &input);
    let total: i64 = all
        .lines()
        .filter(|l| l.starts_with("device_summary_hourly"))
        .map(|l| l.rsplit(',').nth(3).expect("samples").parse::<i64>().expect("a number"))
        .sum();
    wait_for("all rows", || samples(&database) == total.to_string());
    let out = agent.stop();
    assert!(agent.log().contains("E! [processors.execd::telegraf-rollup] the sink failed"), "{}", agent.log());
    let posts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert!(reference(&telegraf, &config, &posts) == out, "the bytes differ from those of cat");
    // The rows, as far as text of another database compares: averages rounded to six digits.
    let found = database.query(
        "SELECT host, DATE_FORMAT(window_start,'%Y-%m-%d %H:%i:%s'), FORMAT(avg_cpu,6), FORMAT(max_temp,6), \
         FORMAT(avg_power,6), anomaly_count, samples FROM device_summary_hourly ORDER BY host, window_start",
    );
    let rows = oracle::rollup(&config, &out, &oracle::Options { now_ns: None, ..Default::default() });
    let mut hours: Vec<_> = rows.iter().filter(|r| r.table == "device_summary_hourly").collect();
    hours.sort_by(|a, b| (&a.keys, a.window_start_ns).cmp(&(&b.keys, b.window_start_ns)));
    assert_eq!(found.len(), hours.len());
    for (row, hour) in found.iter().zip(hours) {
        assert_eq!(row[0], hour.keys[0].1);
        for (i, (_, cell)) in hour.columns.iter().enumerate() {
            let text = match cell {
                oracle::Cell::Float(value) => format!("{value:.6}"),
                oracle::Cell::Int(value) => value.to_string(),
                _ => "NULL".to_string(),
            };
            let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() < 2e-6,
                _ => a == b,
            };
            assert!(near(&row[2 + i], &text), "{row:?}: {text}");
        }
        assert_eq!(row[6], hour.samples.to_string());
    }
}

#[test]
fn a_broken_configuration_and_its_repair() {
    let Some(telegraf) = telegraf() else { return };
    let config = rollup("");
    let mut agent = Agent::start(&telegraf, "timezone = 5\n", processor);
    let parts = parts(4);
    agent.post(&parts[0]);
    agent.post(&parts[1]);
    wait_for("the report", || agent.log().contains("timezone: expected a string"));
    agent.write_rollup(&config);
    wait_for("the engine", || agent.path("state/summary.db").exists());
    std::thread::sleep(Duration::from_millis(200));
    agent.post(&parts[2]);
    agent.post(&parts[3]);
    let out = agent.stop();
    let posts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    assert!(reference(&telegraf, &config, &posts) == out, "the bytes differ from those of cat");
    let counted = [parts[2].clone(), parts[3].clone()].concat();
    rows_are_right(&agent, &config, &counted);
}

#[test]
fn a_panic_in_the_engine() {
    let Some(telegraf) = telegraf() else { return };
    let config = rollup("");
    let environment = "environment = [\"TELEGRAF_ROLLUP_FAULT_PANIC=poison\"]\n";
    let mut agent = Agent::start(&telegraf, &config, |folder| snippet("processor.conf", folder, environment));
    let parts = parts(4);
    let poison = b"system_metrics,host=pc-iot-04 cpu_usage=1,poison=1 1792888000000000000\n";
    for part in &parts {
        agent.post(part);
        agent.post(poison);
    }
    let out = agent.stop();
    assert!(agent.log().contains("internal error"), "{}", agent.log());
    let posts: Vec<&[u8]> = parts.iter().flat_map(|part| [part.as_slice(), poison]).collect();
    assert!(reference(&telegraf, &config, &posts) == out, "the bytes differ from those of cat");
    rows_are_right(&agent, &config, &sample());
}

#[test]
fn as_an_output_it_counts_the_same() {
    let Some(telegraf) = telegraf() else { return };
    let config = rollup("");
    let mut agent = Agent::start(&telegraf, &config, |folder| snippet("output.conf", folder, ""));
    parts(3).iter().for_each(|part| agent.post(part));
    let out = agent.stop();
    assert!(out.len() > 1_000_000, "the raw output is not disturbed");
    rows_are_right(&agent, &config, &out);
}

#[test]
fn live_inputs_give_rows() {
    let Some(telegraf) = telegraf() else { return };
    let config = rollup("");
    let mut agent = Agent::start(&telegraf, &config, |folder| {
        let file = folder.join("hwinfo.influx");
        let line = sample().split(|b| *b == b'\n').find(|l| l.starts_with(b"hwinfo,")).expect("a line").to_vec();
        // Without a timestamp: the file is read at every interval, and each reading is a new point.
        let head: Vec<u8> = line[..line.len() - 20].to_vec();
        std::fs::write(&file, [head, b"\n".to_vec()].concat()).expect("writable");
        format!(
            "[[inputs.cpu]]\n  percpu = true\n  totalcpu = true\n  [inputs.cpu.tags]\n    host = \"here\"\n[[inputs.mem]]\n\
             [[inputs.file]]\n  files = [{file:?}]\n  data_format = \"influx\"\n  precision = \"1ns\"\n{}",
            processor(folder)
        )
    });
    std::thread::sleep(Duration::from_secs(5));
    let out = agent.stop();
    let text = String::from_utf8_lossy(&out).into_owned();
    for wanted in ["cpu,cpu=cpu-total,host=here", "cpu,cpu=cpu0,host=here", "mem ", "hwinfo,"] {
        assert!(text.contains(wanted), "{wanted} is not in the output");
    }
    rows_are_right(&agent, &config, &out);
    assert!(agent.errors().is_empty(), "{}", agent.log());
}

#[test]
fn telegraf_accepts_every_snippet() {
    let Some(telegraf) = telegraf() else { return };
    // The test agent has no win_perf_counters: that snippet is read as TOML by another test.
    for name in ["processor.conf", "processor-windows.conf", "output.conf", "inputs-linux.conf"] {
        let folder = tempfile::tempdir().expect("a folder");
        let rest = if name.starts_with("inputs") { "" } else { "[[inputs.cpu]]\n" };
        let text = std::fs::read_to_string(repository("telegraf").join(name)).expect("the snippet");
        let config = folder.path().join("telegraf.conf");
        std::fs::write(&config, format!("{text}\n{rest}[[outputs.discard]]\n")).expect("writable");
        let output = Command::new(&telegraf).args(["config", "check", "--config"]).arg(&config).output();
        let output = output.expect("Telegraf starts");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Every line is a device of its own: what is counted twice, or not at all, shows.
const SINGLES: &str = r#"
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
windows = ["hourly"]
  [[summary.column]]
  name = "n"
  method = "count"
  sources = [{ measurement = "m", field = "v" }]
"#;

fn singles(numbers: std::ops::Range<i64>) -> Vec<u8> {
    let line = |n: i64| format!("m,host=h{n} v={n}i {}\n", 1_700_000_000_000_000_000 + n * 1_000_000);
    numbers.map(line).collect::<String>().into_bytes()
}

/// The hosts of the lines of `m` that came out, each with how often.
fn hosts(out: &str) -> std::collections::BTreeMap<String, u64> {
    let mut hosts = std::collections::BTreeMap::new();
    for line in out.lines().filter(|line| line.starts_with("m,")) {
        let host = line.split([',', ' ']).find_map(|tag| tag.strip_prefix("host=")).expect("a host");
        *hosts.entry(host.to_string()).or_default() += 1;
    }
    hosts
}

/// Lets another Telegraf take over what the ones before have left, when all their children are gone.
fn take_over(agent: &mut Agent) {
    use telegraf_rollup::durable::claim::claim;
    wait_for("the last owner's end", || claim(&agent.path("state")).is_ok());
    agent.start_again();
    agent.post(&singles(1_000_000..1_000_001));
    let database = rusqlite::Connection::open(agent.path("state/summary.db")).expect("the sink");
    wait_for("its row", || {
        let sql = "SELECT COUNT(*) FROM s_hourly WHERE host = 'h1000000'";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|n| n == 1)
    });
    agent.stop();
}

/// Every host that came out is in the rows, and each of them once.
fn counted_once(agent: &Agent, at_least: usize) {
    let out = hosts(&agent.out());
    assert!(out.len() >= at_least, "{} came out\n{}", out.len(), agent.log());
    let database = rusqlite::Connection::open(agent.path("state/summary.db")).expect("the sink");
    let mut statement = database.prepare("SELECT host, n FROM s_hourly").expect("a query");
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))).expect("rows");
    let rows: std::collections::BTreeMap<String, i64> = rows.map(|row| row.expect("a row")).collect();
    let twice: Vec<_> = rows.iter().filter(|(_, n)| **n != 1).collect();
    assert!(twice.is_empty(), "{} lines are not counted once: {:?}\n{}", twice.len(), twice.first(), agent.log());
    let lost: Vec<_> = out.keys().filter(|host| !rows.contains_key(*host)).collect();
    assert!(lost.is_empty(), "{} of {} lines are lost: {:?}\n{}", lost.len(), out.len(), lost.first(), agent.log());
}

#[test]
fn telegraf_is_killed() {
    let Some(telegraf) = telegraf() else { return };
    let mut agent = Agent::start(&telegraf, SINGLES, processor);
    for round in 0..4 {
        let from = round * 20_000;
        let before = hosts(&agent.out()).len();
        agent.post(&singles(from..from + 10_000));
        // In the middle of a stream.
        wait_for("lines", || hosts(&agent.out()).len() > before + 1_000);
        agent.post(&singles(from + 10_000..from + 20_000));
        agent.signal("KILL");
        agent.child.as_mut().expect("it runs").wait().expect("it ends");
        // Our process lives on for a moment, and the next one starts beside it.
        agent.start_again();
    }
    agent.post(&singles(80_000..90_000));
    agent.stop();
    take_over(&mut agent);
    counted_once(&agent, 14_000);
}

#[test]
fn telegraf_reloads() {
    let Some(telegraf) = telegraf() else { return };
    let mut agent = Agent::start(&telegraf, SINGLES, processor);
    for round in 0..4 {
        agent.post(&singles(round * 10_000..(round + 1) * 10_000));
        agent.signal("HUP");
        std::thread::sleep(Duration::from_millis(1_500));
        agent.wait_for_listener();
    }
    agent.post(&singles(40_000..50_000));
    agent.stop();
    take_over(&mut agent);
    counted_once(&agent, 30_000);
    assert!(!agent.log().contains("is owned by another process"), "{}", agent.log());
}

/// With aggregators Telegraf starts a second instance of every processor, which sees what the aggregators make.
#[test]
fn aggregators_count_nothing_twice() {
    let Some(telegraf) = telegraf() else { return };
    let aggregators = [
        "[[aggregators.basicstats]]\n  period = \"1s\"\n  grace = \"100000h\"\n  stats = [\"mean\"]\n",
        "[[aggregators.final]]\n  period = \"1s\"\n  grace = \"100000h\"\n  series_timeout = \"1s\"\n  \
         keep_original_field_names = true\n",
        "[[aggregators.merge]]\n  period = \"1s\"\n  grace = \"100000h\"\n  drop_original = true\n",
    ];
    for aggregator in aggregators {
        let middle = |folder: &Path| format!("{}\n{aggregator}", processor(folder));
        let mut agent = Agent::start(&telegraf, SINGLES, middle);
        for round in 0..4 {
            agent.post(&singles(round * 2_000..(round + 1) * 2_000));
            std::thread::sleep(Duration::from_millis(1_200));
        }
        wait_for("the last lines", || hosts(&agent.out()).len() >= 8_000);
        agent.stop();
        counted_once(&agent, 8_000);
    }
}

/// People signal by name, and systemd signals the whole group: what our process gets costs no line.
#[test]
fn signals_by_name_cost_no_line() {
    let Some(telegraf) = telegraf() else { return };
    let mut agent = Agent::start(&telegraf, SINGLES, processor);
    agent.post(&singles(0..1_000));
    let status = || {
        let text = std::fs::read_to_string(agent.path("state/status.json")).ok()?;
        serde_json::from_str::<serde_json::Value>(&text).ok()
    };
    wait_for("the status", || status().is_some());
    let child = status().expect("a status")["pid"].to_string();
    for (round, name) in (1..).zip(["HUP", "USR1", "USR2", "QUIT", "TERM", "INT", "ALRM"]) {
        let kill = Command::new("kill").args(["-s", name, &child]).status();
        assert!(kill.expect("kill runs").success(), "{name}");
        agent.post(&singles(round * 1_000..(round + 1) * 1_000));
    }
    wait_for("the last lines", || hosts(&agent.out()).len() >= 8_000);
    assert_eq!(status().expect("a status")["pid"].to_string(), child, "the same process");
    agent.stop();
    counted_once(&agent, 8_000);
}

/// A flag that does not exist, a forgotten `run`: every metric comes out, and the log says what is wrong.
#[test]
fn a_wrong_snippet_costs_no_line() {
    let Some(telegraf) = telegraf() else { return };
    for (right, wrong) in [("\"run\", \"--config\"", "\"--config\""), ("\"--config\"", "\"--confg\"")] {
        let middle = |folder: &Path| {
            let text = processor(folder);
            assert!(text.contains(right));
            text.replace(right, wrong)
        };
        let mut agent = Agent::start(&telegraf, SINGLES, middle);
        agent.post(&singles(0..5_000));
        wait_for("the lines", || hosts(&agent.out()).len() >= 5_000);
        agent.stop();
        assert!(hosts(&agent.out()).values().all(|times| *times == 1));
        assert!(agent.log().contains("the arguments cannot be understood"), "{}", agent.log());
        assert!(!agent.path("state").exists());
    }
}

#[test]
fn a_telegraf_that_only_tests_touches_nothing() {
    let Some(telegraf) = telegraf() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (config, rollup) = (folder.path().join("telegraf.conf"), folder.path().join("rollup.toml"));
    let text = format!(
        "state_dir = {:?}\n{}",
        folder.path().join("state"),
        SINGLES.replace("measurement = \"m\"", "measurement = \"cpu\"")
    );
    std::fs::write(&rollup, text.replace("field = \"v\"", "field = \"usage_idle\"")).expect("writable");
    let inputs = "[[inputs.cpu]]\n  percpu = false\n[[outputs.discard]]\n";
    std::fs::write(&config, format!("{}\n{inputs}", processor(folder.path()))).expect("writable");
    let run = |arguments: &[&str]| {
        let output =
            Command::new(&telegraf).arg("--config").arg(&config).args(arguments).output().expect("Telegraf starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    for arguments in [&["--test"][..], &["--test-wait", "1"]] {
        let (is_well, said) = run(arguments);
        assert!(is_well && said.contains("> cpu,") && said.contains("Telegraf only tests"), "{said}");
        assert!(!folder.path().join("state").exists(), "{arguments:?}: {said}");
    }
    let (is_well, said) = run(&["--once"]);
    assert!(is_well && folder.path().join("state/summary.db").exists(), "{said}");
}

/// What `check` says of a Telegraf that runs.
fn checked(agent: &Agent) -> (Option<i32>, String) {
    let mut check = program();
    check.args(["check", "--config"]).arg(agent.path("rollup.toml"));
    let output = check.arg("--telegraf").arg(agent.path("telegraf.conf")).output().expect("it starts");
    (output.status.code(), all_said(&output))
}

/// What `check` says of filters is what Telegraf does with lines.
#[test]
fn check_names_what_a_filter_keeps_away() {
    let Some(telegraf) = telegraf() else { return };
    for (filter, words) in [
        ("namepass = [\"other\", \"x*\"]", Some("`namepass` in [[processors.execd]] of")),
        ("namedrop = [\"[a-m]\"]", Some("`namedrop` in [[processors.execd]] of")),
        ("fieldexclude = [\"v*\"]", Some("takes the field \"v\" of \"m\" away")),
        ("fieldinclude = [\"w\"]", Some("takes the field \"v\" of \"m\" away")),
        ("tagexclude = [\"ho?t\"]", Some("takes the tag \"host\" away")),
        ("namepass = [\"other\", \"m\"]", None),
    ] {
        let middle = |folder: &Path| snippet("processor.conf", folder, &format!("{filter}\n"));
        let mut agent = Agent::start(&telegraf, SINGLES, middle);
        let (code, said) = checked(&agent);
        assert_eq!(code, Some(i32::from(words.is_some())), "{filter}: {said}");
        assert!(words.is_none_or(|words| said.contains(words)), "{filter}: {said}");
        agent.post(b"m,host=a v=1,w=2 1700000000000000000\n");
        wait_for("the line", || agent.out().contains("m"));
        agent.stop();
        // A line that never reaches the program makes no state.
        let rows = agent.path("state/summary.db").exists().then(|| {
            let database = rusqlite::Connection::open(agent.path("state/summary.db")).expect("the sink");
            database.query_row("SELECT COUNT(*) FROM s_hourly", [], |row| row.get::<_, i64>(0)).expect("a count")
        });
        assert_eq!(rows.unwrap_or(0), i64::from(words.is_none()), "{filter}: {}", agent.log());
    }
}

/// Our reading of Telegraf's globs against the real one: what goes into a file behind a filter.
#[test]
fn filters_match_as_telegraf_has_it() {
    use telegraf_rollup::inspect::glob::NameFilter;
    let Some(telegraf) = telegraf() else { return };
    let filters: [&[&str]; 14] = [
        &["cpu"],
        &["cpu", "mem"],
        &["c*"],
        &["cpu", "n?t"],
        &["[a-m]*"],
        &["[!a-m]*"],
        &["[cn]*"],
        &["{cpu,mem}"],
        &["{cpu,me*}"],
        &["{cpu,mem}", "x*"],
        &["CPU [#0]"],
        &["a\\*b*"],
        &["*"],
        &["win_*_x", "°C"],
    ];
    let names = [
        "cpu",
        "mem",
        "memory",
        "net",
        "network",
        "CPU [#0]",
        "CPU #",
        "a*bc",
        "abc",
        "°C",
        "win_cpu_x",
        "{cpu,mem}",
        "x",
    ];
    let mut agent = Agent::start(&telegraf, SINGLES, |folder| {
        let file = |(i, filter): (usize, &&[&str])| {
            let words: Vec<String> = filter.iter().map(|word| format!("'{word}'")).collect();
            let path = folder.join(format!("filter-{i}"));
            format!(
                "[[outputs.file]]\n  files = [{path:?}]\n  data_format = \"influx\"\n  namepass = [{}]\n",
                words.join(", ")
            )
        };
        filters.iter().enumerate().map(file).collect()
    });
    let escaped = |name: &str| name.replace(' ', "\\ ").replace(',', "\\,");
    let lines: String =
        names.iter().map(|name| format!("{},host=a v=1 1700000000000000000\n", escaped(name))).collect();
    agent.post(lines.as_bytes());
    wait_for("all lines", || agent.out().lines().count() == names.len());
    agent.stop();
    for (i, filter) in filters.iter().enumerate() {
        let out = std::fs::read_to_string(agent.path(&format!("filter-{i}"))).unwrap_or_default();
        let ours = NameFilter::new(filter.iter().map(|word| (*word).to_string()).collect(), "");
        for name in names {
            let passed = out.lines().any(|line| line.starts_with(&format!("{},host=a ", escaped(name))));
            assert_eq!(ours.matches(name), Some(passed), "{filter:?} {name}");
        }
    }
}
