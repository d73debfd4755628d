//! The main paths of the engine, each prepared so that one round of it can be run and counted.

use std::sync::Arc;
use telegraf_rollup::config::Config;
use telegraf_rollup::durable::journal::entries::Encoder;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::aggregate::partial::Partial;
use telegraf_rollup::engine::ids::HeadNumber;
use telegraf_rollup::engine::line::frame::Framer;
use telegraf_rollup::engine::schema::Schema;

const CONFIG: &str = r#"
timezone = "UTC"
[lateness]
max = "3650d"
future = "3650d"
[missing]
horizon = "0s"
[[summary]]
name = "device_summary"
key = ["host"]
column = [
  { name = "avg_cpu", method = "avg", sources = [
    { measurement = "cpu", tags = { cpu = "cpu-total" }, field = "usage_idle", scale = -1.0, offset = 100.0 },
    { measurement = "gateway", field = "cpu" } ] },
  { name = "max_temp", method = "max", sources = [
    { measurement = "hwinfo", tags = { sensorType = "cpu" }, field = "temp" },
    { measurement = "gateway", field = "temp" } ] },
  { name = "avg_power", method = "avg", sources = [{ measurement = "gateway", field = "power" }] },
  { name = "hot", method = "anomalies", rules = ["overheat"] },
]
[[anomaly]]
name = "overheat"
column = "max_temp"
when = "> 80"
"#;

const HOSTS: usize = 100;
const START: i64 = 1_767_225_600_000_000_000;
const STEP: i64 = 10_000_000_000;

/// A path that is ready to run.
pub struct Path {
    /// What one round does so many times.
    pub units: u64,
    /// Runs the round of a number, which must rise from 0.
    pub round: Box<dyn FnMut(usize)>,
}

/// Name, unit, and what prepares so many rounds.
pub type Entry = (&'static str, &'static str, fn(usize) -> Path);

/// All of them.
pub const PATHS: [Entry; 11] = [
    ("framing", "line", framing),
    ("lookup, unmatched", "line", lookup),
    ("lookup, first sight", "line", first_sight),
    ("fold, one field", "line", |rounds| fold(rounds, sensor)),
    ("fold, one of ten fields", "line", |rounds| fold(rounds, cpu)),
    ("fold, three fields", "line", |rounds| fold(rounds, gateway)),
    ("fold, three fields, late", "line", late),
    ("fold, three fields, twice", "line", twice),
    ("journal entry", "line", journal),
    ("merge", "window", merge),
    ("checkpoint", "device", checkpoint),
];

fn schema() -> Arc<Schema> {
    Config::check(CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema
}

/// A number with one digit behind the point that looks random.
fn decimal(seed: usize) -> f64 {
    (seed.wrapping_mul(2_654_435_761) % 1000) as f64 / 10.0
}

fn sensor(host: usize, at: i64) -> String {
    format!(
        "hwinfo,host=pc-{host:06},readingId=16777226,readingNameOrig=Core0\\ (CCD1),sensorId=4026532608,sensorInst=0,\
         sensorNameOrig=CPU\\ [#0]:\\ AMD\\ Ryzen\\ 7\\ 5800X:\\ Enhanced,sensorType=cpu,unit=°C temp={} {at}\n",
        decimal(host + at as usize / 1_000_000_007)
    )
}

fn cpu(host: usize, at: i64) -> String {
    let seed = host + at as usize / 1_000_000_007;
    let fields = ["user", "system", "nice", "iowait", "irq", "softirq", "idle", "steal", "guest", "guest_nice"];
    let fields: Vec<String> =
        fields.iter().enumerate().map(|(n, f)| format!("usage_{f}={}", decimal(seed + n) / 7.0)).collect();
    format!("cpu,cpu=cpu-total,host=pc-{host:06} {} {at}\n", fields.join(","))
}

fn gateway(host: usize, at: i64) -> String {
    let seed = host + at as usize / 1_000_000_007;
    let (cpu, temp, power) = (decimal(seed), decimal(seed + 1), decimal(seed + 2));
    format!("gateway,host=pc-{host:06} cpu={cpu},temp={temp},power={power} {at}\n")
}

fn unmatched(host: usize, at: i64) -> String {
    format!(
        "hwinfo,host=pc-{host:06},readingId=16777230,readingNameOrig=Core0\\ Clock,sensorId=4026532608,sensorInst=0,\
         sensorNameOrig=GPU\\ [#0]:\\ NVIDIA\\ GeForce\\ RTX\\ 2060,sensorType=gpu,unit=MHz clock={} {at}\n",
        decimal(host)
    )
}

/// One line of each host.
fn poll(line: fn(usize, i64) -> String, at: i64) -> Vec<String> {
    (0..HOSTS).map(|host| line(host, at)).collect()
}

/// Polls, the first of which is before the first round.
fn polls(line: fn(usize, i64) -> String, rounds: usize) -> Vec<Vec<String>> {
    (0..=rounds as i64).map(|n| poll(line, START + n * STEP)).collect()
}

fn ingest(engine: &mut Engine, lines: &[String]) {
    for line in lines {
        engine.ingest(line.as_bytes(), START);
    }
}

/// An engine that has seen the lines twice, in order: every line is expected where it comes.
fn engine(lines: &[String]) -> Engine {
    let mut engine = Engine::new(schema());
    for _ in 0..3 {
        ingest(&mut engine, lines);
    }
    engine
}

fn framing(_: usize) -> Path {
    let text = poll(unmatched, START).concat().into_bytes();
    let round = move |_| {
        let (mut framer, mut at) = (Framer::default(), 0);
        while let Some(length) = framer.line(&text[at..]) {
            at += length;
        }
        assert_eq!(std::hint::black_box(at), text.len());
    };
    Path { units: HOSTS as u64, round: Box::new(round) }
}

fn lookup(_: usize) -> Path {
    let lines = poll(unmatched, START);
    let mut engine = engine(&lines);
    Path { units: HOSTS as u64, round: Box::new(move |_| ingest(&mut engine, &lines)) }
}

fn first_sight(rounds: usize) -> Path {
    let lines: Vec<Vec<String>> =
        (0..=rounds).map(|n| (0..HOSTS).map(|host| unmatched(host + n * HOSTS, START)).collect()).collect();
    let mut engine = engine(&lines[0]);
    Path { units: HOSTS as u64, round: Box::new(move |n| ingest(&mut engine, &lines[n + 1])) }
}

fn fold(rounds: usize, line: fn(usize, i64) -> String) -> Path {
    let polls = polls(line, rounds);
    let mut engine = engine(&polls[0]);
    Path { units: HOSTS as u64, round: Box::new(move |n| ingest(&mut engine, &polls[n + 1])) }
}

/// Every line is an hour older than the newest one.
fn late(rounds: usize) -> Path {
    let polls = polls(gateway, rounds);
    let newest = poll(gateway, START + (rounds as i64 + 360) * STEP);
    let mut engine = engine(&polls[0]);
    ingest(&mut engine, &newest);
    Path { units: HOSTS as u64, round: Box::new(move |n| ingest(&mut engine, &polls[n + 1])) }
}

/// Every line comes again one poll later.
fn twice(rounds: usize) -> Path {
    let polls = polls(gateway, rounds + 1);
    let mut engine = engine(&polls[0]);
    ingest(&mut engine, &polls[1]);
    let round = move |n: usize| {
        ingest(&mut engine, &polls[n + 2]);
        ingest(&mut engine, &polls[n + 1]);
    };
    Path { units: HOSTS as u64, round: Box::new(round) }
}

fn journal(rounds: usize) -> Path {
    let polls = polls(gateway, rounds);
    // The engine knows where the head ends.
    let heads: Vec<usize> = polls[0].iter().map(|line| line.find(' ').unwrap_or_default()).collect();
    let mut encoder = Encoder::new(1);
    let round = move |n: usize| {
        for (index, (line, head)) in polls[n + 1].iter().zip(&heads).enumerate() {
            encoder.line((HeadNumber::of(index), *head), line.as_bytes());
        }
        std::hint::black_box(encoder.take(START));
    };
    Path { units: HOSTS as u64, round: Box::new(round) }
}

/// The partials of one run, merged into those of another.
fn merge(_: usize) -> Path {
    let mut engine = Engine::new(schema());
    (0..60).for_each(|n| ingest(&mut engine, &poll(gateway, START + n * STEP)));
    let stored = engine.checkpoint().unwrap_or_default();
    let parts: Vec<Partial> =
        stored.windows.into_iter().flat_map(|window| window.parts).map(|part| part.partial).collect();
    assert_eq!(parts.len(), HOSTS);
    let mut into = parts.clone();
    let round = move |_| {
        for (mine, theirs) in into.iter_mut().zip(&parts) {
            mine.merge(theirs);
        }
    };
    Path { units: HOSTS as u64, round: Box::new(round) }
}

/// All devices have changed.
fn checkpoint(rounds: usize) -> Path {
    let polls = polls(gateway, rounds);
    let mut engine = engine(&polls[0]);
    let round = move |n: usize| {
        ingest(&mut engine, &polls[n + 1]);
        std::hint::black_box(engine.checkpoint());
    };
    Path { units: HOSTS as u64, round: Box::new(round) }
}
