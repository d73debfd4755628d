//! The whole program against `cat`: the table of README. Prints, asserts nothing but that the output is the input.
//!
//! ```sh
//! cargo bench --bench process             # all rows; ROLLUP_BENCH_LINES=1000000 for fewer lines, a word for some rows
//! ```
//!
//! Lines of computers are ROLLUP_BENCH_LINES, 4,000,000 without it, and lines of gateways, which are short, twice as many.
//!
//! "Of stream" is the part of the user time that the threads of the stream have used; the rest is that of the keeper and the
//! flusher: the start, the state, the rows. Every round runs `cat FILE | cat` and `cat FILE | telegraf-rollup run` one after the other, the latter with a fresh state
//! directory, its journal and a SQLite sink. CPU time is that of the program alone. The start, the last flush and the last
//! checkpoint are part of every figure.

use influxdb_line_protocol::parse_lines;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_telegraf-rollup");
const START: i64 = 1_767_225_600_000_000_000;
const STEP: i64 = 10_000_000_000;
const ROUNDS: usize = 3;

const CONFIG: &str = r#"
timezone = "UTC"
[lateness]
allowed = "10m"
max = "3650d"
future = "3650d"
[[summary]]
name = "device_summary"
key = ["host"]
  [[summary.column]]
  name = "avg_cpu"
  method = "avg"
  sources = [
    { measurement = "cpu", tags = { cpu = "cpu-total" }, field = "usage_idle", scale = -1.0, offset = 100.0 },
    { measurement = "gateway", field = "cpu" },
  ]
  [[summary.column]]
  name = "max_temp"
  method = "max"
  sources = [
    { measurement = "hwinfo", tags = { sensorType = "cpu" }, field = "temp" },
    { measurement = "gateway", field = "temp" },
  ]
  [[summary.column]]
  name = "avg_power"
  method = "avg"
  sources = [
    { measurement = "hwinfo", tags = { sensorType = "cpu", readingNameOrig = "CPU Package Power" }, field = "power" },
    { measurement = "gateway", field = "power" },
  ]
  [[summary.column]]
  name = "anomaly_count"
  method = "anomalies"
  rules = ["overheat"]
[[anomaly]]
name = "overheat"
column = "max_temp"
when = "> 80"
"#;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// A number of up to `most`, with so many digits behind the point.
    fn decimal(&mut self, most: u64, digits: usize) -> f64 {
        let scale = 10f64.powi(digits as i32);
        (self.below(1 << 31) as f64 / (1u64 << 31) as f64 * most as f64 * scale).round() / scale
    }
}

/// One poll of a computer with HWiNFO: 84 lines, of which 18 feed a column.
fn computer(out: &mut String, random: &mut Random, host: usize, at: i64) {
    let sensor = |n: usize| match n {
        0..18 => ("CPU [#0]: AMD Ryzen 7 5800X: Enhanced", "cpu"),
        _ => ("GPU [#0]: NVIDIA GeForce RTX 2060: ", "gpu"),
    };
    for n in 0..16 {
        let name = if n == 0 { "cpu-total".to_string() } else { format!("cpu{}", n - 1) };
        let _ = write!(out, "cpu,cpu={name},host=pc-{host:06} ");
        for field in ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"] {
            let _ = write!(out, "usage_{field}={},", random.decimal(100, 11));
        }
        out.pop();
        let _ = writeln!(out, " {at}");
    }
    for n in 0..12 {
        let _ = write!(out, "diskio,host=pc-{host:06},name=nvme0n1p{n} ");
        for field in
            ["io_time", "merged_reads", "read_bytes", "read_time", "reads", "write_bytes", "write_time", "writes"]
        {
            let _ = write!(out, "{field}={}i,", random.below(1 << 30));
        }
        out.pop();
        let _ = writeln!(out, " {at}");
    }
    for n in 0..56 {
        let (name, kind) = sensor(n);
        let (field, unit, reading) = match n {
            0..16 => ("temp", "°C", format!("Core{n} (CCD1)")),
            16 => ("power", "W", "CPU Package Power".to_string()),
            _ => ("clock", "MHz", format!("Core {n} Clock (perf #{})", n % 8 + 1)),
        };
        let escape = |text: &str| text.replace(' ', "\\ ");
        let _ = writeln!(
            out,
            "hwinfo,host=pc-{host:06},readingId={},readingNameOrig={},sensorId=4026532608,sensorInst=0,\
             sensorNameOrig={},sensorType={kind},unit={unit} {field}={} {at}",
            16_777_216 + n,
            escape(&reading),
            escape(name).trim_end_matches("\\ "),
            random.decimal(90, 3)
        );
    }
}

/// One line of a gateway, with three fields that all feed a column.
fn gateway(out: &mut String, random: &mut Random, host: usize, at: i64) {
    let (cpu, temp, power) = (random.decimal(100, 1), random.decimal(90, 1), random.decimal(150, 1));
    let _ = writeln!(out, "gateway,host=pc-{host:06} cpu={cpu},temp={temp},power={power} {at}");
}

/// What is sent.
#[derive(Clone, Copy)]
enum Load {
    Computers(usize),
    Gateways(usize),
    /// Gateways; of 100 lines 5 come up to two hours late, and 2 come twice.
    Late(usize),
}

impl Load {
    fn file(self, folder: &Path, lines: usize) -> PathBuf {
        let path = folder.join(match self {
            Load::Computers(hosts) => format!("computers-{hosts}"),
            Load::Gateways(hosts) => format!("gateways-{hosts}"),
            Load::Late(hosts) => format!("late-{hosts}"),
        });
        if path.exists() {
            return path;
        }
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).unwrap_or_else(|e| panic!("{e}")));
        let (mut random, mut text, mut written) = (Random(1), String::new(), 0);
        for poll in 0.. {
            let at = START + poll * STEP;
            let hosts = match self {
                Load::Computers(hosts) | Load::Gateways(hosts) | Load::Late(hosts) => hosts,
            };
            for host in 0..hosts {
                text.clear();
                match self {
                    Load::Computers(_) => computer(&mut text, &mut random, host, at),
                    Load::Gateways(_) => gateway(&mut text, &mut random, host, at),
                    Load::Late(_) => match random.below(100) {
                        0..5 => gateway(&mut text, &mut random, host, at - STEP * random_polls(host, poll)),
                        5..7 => {
                            gateway(&mut text, &mut random, host, at);
                            text = text.repeat(2);
                        }
                        _ => gateway(&mut text, &mut random, host, at),
                    },
                }
                written += text.bytes().filter(|b| *b == b'\n').count();
                out.write_all(text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
                if written >= lines {
                    out.flush().unwrap_or_else(|e| panic!("{e}"));
                    return path;
                }
            }
        }
        path
    }
}

fn random_polls(host: usize, poll: i64) -> i64 {
    (host as i64 * 7919 + poll * 104_729) % 720
}

/// The program, or `cat`.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Cat,
    Rollup,
}

/// A fresh state directory and a configuration for it.
struct Site(tempfile::TempDir);

impl Site {
    fn new(folder: &Path) -> Site {
        let site = tempfile::tempdir_in(folder).unwrap_or_else(|e| panic!("{e}"));
        let config = format!("state_dir = {:?}\n{CONFIG}", site.path().join("state"));
        std::fs::write(site.path().join("config.toml"), config).unwrap_or_else(|e| panic!("{e}"));
        Site(site)
    }

    fn command(&self, who: Who) -> Command {
        let mut command = Command::new(if who == Who::Cat { "cat" } else { PROGRAM });
        if who == Who::Rollup {
            command.args(["run", "--config"]).arg(self.0.path().join("config.toml"));
            command.stderr(File::create(self.0.path().join("log")).unwrap_or_else(|e| panic!("{e}")));
        }
        command
    }

    /// A run that has lost something is not a measurement.
    fn look_at_the_log(&self) {
        let log = std::fs::read_to_string(self.0.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("E!")).for_each(|line| println!("    {line}"));
    }
}

/// What a process has used.
#[derive(Clone, Copy, Default)]
struct Used {
    wall: f64,
    user: f64,
    system: f64,
    /// User time of the threads of the stream, as it was seen last.
    stream: f64,
    /// The most memory, in MiB.
    memory: f64,
}

impl Used {
    fn cpu(self) -> f64 {
        self.user + self.system
    }
}

/// User and system time of a process, in seconds; it may have ended, and must not have been waited for.
fn times(pid: u32) -> (f64, f64) {
    times_in(&PathBuf::from(format!("/proc/{pid}/stat")))
}

/// User time of the threads that run the stream, in seconds.
fn stream_time(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let is_stream =
        |thread: &PathBuf| std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.starts_with("stream"));
    threads.map(|thread| thread.path()).filter(is_stream).map(|thread| times_in(&thread.join("stat")).0).sum()
}

fn times_in(stat: &Path) -> (f64, f64) {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |place: usize| fields.get(place).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    (seconds(11), seconds(12))
}

fn memory(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Waits for a process to end, and for what it has used.
fn end(mut child: Child, begin: Instant) -> Used {
    let pid = child.id();
    let id = Pid::from_child(&child);
    let mut used = Used::default();
    for look in 0.. {
        // Not so often that it would count.
        if look % 8 == 0 {
            used.stream = stream_time(pid).max(used.stream);
        }
        used.memory = memory(pid, "VmHWM:").max(used.memory);
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        if waitid(WaitId::Pid(id), options).unwrap_or_else(|e| panic!("{e}")).is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    used.wall = begin.elapsed().as_secs_f64();
    (used.user, used.system) = times(pid);
    let status = child.wait().unwrap_or_else(|e| panic!("{e}"));
    assert!(status.success(), "{status}");
    used
}

/// One run over a file, into nothing or into a pipe that `cat` reads.
fn run(folder: &Path, who: Who, file: &Path, into_pipe: bool) -> Used {
    let site = Site::new(folder);
    let begin = Instant::now();
    let mut feed = Command::new("cat").arg(file).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{e}"));
    let input = feed.stdout.take().map_or(Stdio::null(), Stdio::from);
    let output = if into_pipe { Stdio::piped() } else { Stdio::null() };
    let mut child = site.command(who).stdin(input).stdout(output).spawn().unwrap_or_else(|e| panic!("{e}"));
    let reader = child
        .stdout
        .take()
        .map(|out| Command::new("cat").stdin(out).stdout(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{e}")));
    let used = end(child, begin);
    for mut other in std::iter::once(feed).chain(reader) {
        other.wait().unwrap_or_else(|e| panic!("{e}"));
    }
    site.look_at_the_log();
    used
}

/// The output must be the input.
fn check(folder: &Path, file: &Path) {
    let site = Site::new(folder);
    let input = File::open(file).unwrap_or_else(|e| panic!("{e}"));
    let mut child =
        site.command(Who::Rollup).stdin(input).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{e}"));
    let mut out = child.stdout.take().unwrap_or_else(|| panic!("a pipe"));
    let mut expected = File::open(file).unwrap_or_else(|e| panic!("{e}"));
    let (mut found, mut wanted) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let n = out.read(&mut found).unwrap_or_else(|e| panic!("{e}"));
        if n == 0 {
            break;
        }
        expected.read_exact(&mut wanted[..n]).unwrap_or_else(|e| panic!("more than the input: {e}"));
        assert!(found[..n] == wanted[..n], "the output is not the input");
    }
    assert_eq!(expected.read(&mut wanted).unwrap_or(1), 0, "less than the input");
    child.wait().unwrap_or_else(|e| panic!("{e}"));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A row of the table: medians of the rounds.
fn row(name: &str, lines: usize, rounds: &[(Used, Used)]) {
    let of = |f: &dyn Fn(&(Used, Used)) -> f64| median(rounds.iter().map(f).collect());
    let ns = 1e9 / lines as f64;
    println!(
        "{name:<34}{:>9.2}{:>9.2}{:>11.0}{:>13.0}{:>10.0}{:>13.0}{:>9.0}",
        of(&|(cat, us)| cat.wall / us.wall),
        of(&|(cat, us)| us.cpu() / cat.cpu()),
        of(&|(_, us)| us.user * ns),
        of(&|(_, us)| us.stream * ns),
        of(&|(_, us)| us.system * ns),
        of(&|(cat, us)| (us.cpu() - cat.cpu()) * ns),
        of(&|(_, us)| us.memory),
    );
}

fn whole_files(folder: &Path, name: &str, load: Load, lines: usize, into_pipe: bool) -> f64 {
    let file = load.file(folder, lines);
    check(folder, &file);
    let one = |who| run(folder, who, &file, into_pipe);
    one(Who::Cat);
    let rounds: Vec<_> = (0..ROUNDS).map(|_| (one(Who::Cat), one(Who::Rollup))).collect();
    row(name, lines, &rounds);
    median(rounds.iter().map(|(_, us)| us.user).collect())
}

/// One write for each line, as Telegraf does; they come in polls of a hundred, each `pause` after the one before.
fn single_lines(folder: &Path, name: &str, lines: usize, pause: Option<Duration>, rounds: usize) {
    let file = Load::Computers(10).file(folder, lines);
    let text = std::fs::read(&file).unwrap_or_else(|e| panic!("{e}"));
    let one = |who| {
        let site = Site::new(folder);
        let begin = Instant::now();
        let mut child =
            site.command(who).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{e}"));
        let mut input = child.stdin.take().unwrap_or_else(|| panic!("a pipe"));
        for (n, line) in text.split_inclusive(|b| *b == b'\n').take(lines).enumerate() {
            if let Some(pause) = pause
                && n % 100 == 0
            {
                let due = begin + pause * (n / 100) as u32;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            input.write_all(line).unwrap_or_else(|e| panic!("{e}"));
        }
        drop(input);
        end(child, begin)
    };
    let rounds: Vec<_> = (0..rounds).map(|_| (one(Who::Cat), one(Who::Rollup))).collect();
    row(name, lines, &rounds);
}

/// 250 lines a second for a while: CPU, memory, and how much later a line arrives.
fn idle(folder: &Path, seconds: u64) {
    let file = Load::Computers(10).file(folder, 100_000);
    let text = std::fs::read(&file).unwrap_or_else(|e| panic!("{e}"));
    let site = Site::new(folder);
    let mut child = site
        .command(Who::Rollup)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{e}"));
    let (mut input, mut output) = (child.stdin.take(), child.stdout.take());
    let (Some(input), Some(output)) = (&mut input, &mut output) else { panic!("pipes") };
    let (begin, mut latencies, mut buffer) = (Instant::now(), Vec::new(), vec![0; 1 << 16]);
    let mut used = None;
    for (n, line) in text.split_inclusive(|b| *b == b'\n').enumerate() {
        let due = begin + Duration::from_millis(4) * n as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        input.write_all(line).unwrap_or_else(|e| panic!("{e}"));
        let mut left = line.len();
        while left > 0 {
            left -= output.read(&mut buffer).unwrap_or_else(|e| panic!("{e}"));
        }
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
        // The start does not count.
        if used.is_none() && begin.elapsed().as_secs() >= 5 {
            used = Some((times(child.id()), Instant::now()));
        }
        if begin.elapsed().as_secs() >= seconds {
            break;
        }
    }
    let (before, since) = used.unwrap_or_else(|| panic!("it took less than 5 s"));
    let after = times(child.id());
    let cpu = (after.0 + after.1 - before.0 - before.1) / since.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
    println!(
        "250 lines/s, one at a time: {:.2} % of a core, {:.1} MiB resident; a line arrives after {:.2} ms (p50), {:.2} ms (p99)",
        cpu * 100.0,
        memory(child.id(), "VmRSS:"),
        at(0.5),
        at(0.99)
    );
    let _ = child.kill();
    let _ = child.wait();
}

/// `replay` of a file against `cat` of it.
fn replay(folder: &Path, lines: usize) {
    let file = Load::Computers(10).file(folder, lines);
    let site = Site::new(folder);
    let config = site.0.path().join("config.toml");
    let one = |command: &mut Command| {
        let begin = Instant::now();
        end(command.stdout(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{e}")), begin)
    };
    let round = || {
        let cat = one(Command::new("cat").arg(&file));
        (cat, one(Command::new(PROGRAM).args(["replay", "--config"]).arg(&config).arg(&file).stderr(Stdio::null())))
    };
    let rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    row("replay, mixed-10", lines, &rounds);
    let parsing: Vec<_> = (0..ROUNDS).map(|_| parse_alone(&file)).collect();
    println!(
        "  replay takes {:.0} lines/s; the crate `influxdb-line-protocol` parses {:.0} lines/s, and does nothing else",
        lines as f64 / median(rounds.iter().map(|(_, us)| us.wall).collect()),
        lines as f64 / median(parsing)
    );
}

/// How long the crate `influxdb-line-protocol` takes to parse a file, in seconds: every field and the timestamp.
fn parse_alone(file: &Path) -> f64 {
    let mut input = File::open(file).unwrap_or_else(|e| panic!("{e}"));
    let (begin, mut buffer, mut filled, mut fields) = (Instant::now(), vec![0; 1 << 20], 0, 0);
    loop {
        let n = input.read(&mut buffer[filled..]).unwrap_or_else(|e| panic!("{e}"));
        if n == 0 {
            break;
        }
        filled += n;
        let end = buffer[..filled].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let text = std::str::from_utf8(&buffer[..end]).unwrap_or_else(|e| panic!("{e}"));
        for line in parse_lines(text) {
            let line = line.unwrap_or_else(|e| panic!("{e}"));
            fields += line.field_set.len() + usize::from(line.timestamp.is_some());
        }
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
    assert!(fields > 0 && filled == 0, "whole lines with fields");
    begin.elapsed().as_secs_f64()
}

fn main() {
    let lines = std::env::var("ROLLUP_BENCH_LINES").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000_000);
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap_or_else(|e| panic!("{e}"));
    let folder = folder.path();
    println!("{lines} lines (of gateways twice as many), {ROUNDS} rounds, against cat in the same round");
    println!(
        "{:<34}{:>9}{:>9}{:>11}{:>13}{:>10}{:>13}{:>9}",
        "", "tput/cat", "cpu/cat", "user ns/l", "(of stream)", "sys ns/l", "cpu-cat ns/l", "RSS MiB"
    );
    let loads = [
        ("mixed-10", Load::Computers(10), true),
        ("mixed-1000", Load::Computers(1_000), false),
        ("dense-10k", Load::Gateways(10_000), true),
        ("dense-100k", Load::Gateways(100_000), false),
    ];
    let mut clean = None;
    for (name, load, both) in loads.into_iter().filter(|(name, ..)| wanted(name)) {
        let lines = if matches!(load, Load::Gateways(_)) { 2 * lines } else { lines };
        let user = whole_files(folder, &format!("{name}, into /dev/null"), load, lines, false);
        clean = if name == "dense-10k" { Some(user) } else { clean };
        if both {
            whole_files(folder, &format!("{name}, pipe to pipe"), load, lines, true);
        }
    }
    if wanted("late") {
        let user = whole_files(folder, "dense-10k, 5 % late, 2 % twice", Load::Late(10_000), 2 * lines, false);
        if let Some(clean) = clean {
            println!("{:<34}{:>9.2}", "  user time / clean stream", user / clean);
        }
    }
    if wanted("single") {
        single_lines(folder, "single lines, full rate", lines / 4, None, ROUNDS);
        // CPU time is counted in hundredths of a second: long enough that they do not matter.
        single_lines(folder, "single lines, 10,000/s", 300_000.min(lines), Some(Duration::from_millis(10)), 1);
    }
    if wanted("replay") {
        replay(folder, lines);
    }
    if wanted("idle") {
        idle(folder, 35);
    }
}
