//! How fast rows get into the sinks. Prints ratios and seconds; asserts nothing, because machines differ.
//!
//! ```sh
//! tests/run --bench sink          # sets up the servers, then runs this
//! ```
//!
//! - Rows per second of whole flushes (partials, read-back, rows) into MySQL over TLS, against a bare upsert of the same rows,
//!   1,000 at a time, over the same connection, in the same run.
//! - One process with 100,000 devices (`ROLLUP_BENCH_DEVICES`): a whole flush of hourly and daily rows into each sink, and a
//!   checkpoint, while lines go on to arrive, and the longest time that a batch of lines had to wait meanwhile.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::servers::{Database, Kind, PASSWORD, USER};
use telegraf_rollup::config::{Config, SinkConfig};
use telegraf_rollup::driver::deliver::delivery::deliver;
use telegraf_rollup::driver::flush::pass::{self, FlushMemory, Scope};
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::driver::owner::keeper::Keeper;
use telegraf_rollup::durable::disk::Folder;
use telegraf_rollup::durable::state::db::StateDb;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

const HOUR: i64 = 3_600_000_000_000;
/// 2026-11-20T00:00:00Z
const START: i64 = 1_795_132_800_000_000_000;

fn config(sink: &str, windows: &str) -> Config {
    let text = format!(
        "timezone = \"UTC\"\nstate_dir = \"/unused\"\n[sink]\n{sink}\n[[summary]]\nname = \"s\"\nkey = [\"host\"]\n\
         windows = {windows}\n\
         [[summary.column]]\nname = \"avg_cpu\"\nmethod = \"avg\"\nsources = [{{ measurement = \"m\", field = \"cpu\" }}]\n\
         [[summary.column]]\nname = \"max_temp\"\nmethod = \"max\"\nsources = [{{ measurement = \"m\", field = \"temp\" }}]\n\
         [[summary.column]]\nname = \"avg_power\"\nmethod = \"avg\"\nsources = [{{ measurement = \"m\", field = \"power\" }}]\n"
    );
    Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

fn line(device: usize, at: i64) -> String {
    let n = device as i64 + at / 10_000_000_000;
    format!(
        "m,host=gateway-{device:06} cpu={},temp={}i,power={} {at}\n",
        (n * 7919 % 10_007) as f64 / 101.0,
        20 + n % 70,
        (n * 104_729 % 100_003) as f64 / 999.0
    )
}

/// One point of each device.
fn round(shared: &Shared, devices: usize, at: i64) {
    for from in (0..devices).step_by(500) {
        let lines: Vec<String> = (from..(from + 500).min(devices)).map(|device| line(device, at)).collect();
        shared.batch(lines.iter().map(|line| line.as_bytes()), at);
    }
}

fn engine(schema: &Arc<Schema>) -> Shared {
    Shared::new(Engine::new(schema.clone()))
}

/// A sink that says how long each step took.
struct Timed {
    sink: Box<dyn Sink + Send>,
    steps: [Duration; 3],
}

impl Timed {
    fn step<T>(&mut self, step: usize, work: impl FnOnce(&mut dyn Sink) -> T) -> T {
        let begin = Instant::now();
        let result = work(self.sink.as_mut());
        self.steps[step] += begin.elapsed();
        result
    }
}

impl Sink for Timed {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.sink.prepare(schema)
    }

    fn put_partials(&mut self, s: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        self.step(0, |sink| sink.put_partials(s, records))
    }

    fn read_partials(
        &mut self,
        s: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        self.step(1, |sink| sink.read_partials(s, ranges, states))
    }

    fn put_rows(
        &mut self,
        s: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.step(2, |sink| sink.put_rows(s, kind, rows, now))
    }

    fn purge(&mut self, s: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError> {
        self.sink.purge(s, kind, age, now)
    }

    fn disconnect(&mut self) {
        self.sink.disconnect();
    }

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.sink.inspect(schema)
    }
}

struct Counted {
    rows: usize,
    time: Duration,
}

impl Counted {
    fn per_second(&self) -> f64 {
        self.rows as f64 / self.time.as_secs_f64()
    }
}

fn flush_all(shared: &Shared, sink: &mut dyn Sink, memory: &mut FlushMemory, now: i64) -> Counted {
    let begin = Instant::now();
    let schema = shared.with(|engine| engine.schema().clone()).unwrap_or_else(|| panic!("an engine"));
    sink.prepare(&schema).unwrap_or_else(|e| panic!("{e}"));
    let flushed = pass::flush(shared, sink, memory, "writer", now, Scope::Everything { running: true });
    sink.disconnect();
    let flushed = flushed.unwrap_or_else(|e| panic!("{e}"));
    Counted { rows: flushed.hourly + flushed.daily, time: begin.elapsed() }
}

/// Flushes against bare upserts, over TLS.
fn ratio(kind: Kind) {
    const DEVICES: usize = 20_000;
    let Some(database) = Database::start(kind) else { return };
    ordinary(&database);
    database.query(&format!("CREATE DATABASE bare; GRANT ALL ON bare.* TO '{USER}'@'%'"));
    let url = |name: &str| {
        format!(
            "url = {:?}\ntls = \"verify-full\"\nca_file = {:?}",
            database.url(USER, PASSWORD, name),
            database.ca_pem()
        )
    };
    let config_of = |name: &str| config(&url(name), "[\"hourly\"]");
    let (whole, bare) = (config_of("metrics"), config_of("bare"));
    let mut sink = Timed { sink: sink::open::open(&whole.sink), steps: Default::default() };
    let mut bare_sink = sink::open::open(&bare.sink);
    sink.prepare(&whole.schema).unwrap_or_else(|e| panic!("{e}"));
    bare_sink.prepare(&bare.schema).unwrap_or_else(|e| panic!("{e}"));
    let shared = engine(&whole.schema);
    let mut memory = FlushMemory::default();
    let summary = &whole.schema.summaries[0];
    println!("{kind} {}: {DEVICES} devices over TLS, rows/s", database.version());
    let mut ratios = Vec::new();
    for pass in 0..8 {
        let at = START + pass * 60_000_000_000;
        round(&shared, DEVICES, at);
        sink.steps = Default::default();
        let flushed = flush_all(&shared, &mut sink, &mut memory, at);
        // The same rows once more, as they are, without partials and without reading.
        let rows: Vec<RowRecord> = bare_rows(&whole, DEVICES, pass);
        let begin = Instant::now();
        bare_sink.prepare(&bare.schema).unwrap_or_else(|e| panic!("{e}"));
        for rows in rows.chunks(1_000) {
            bare_sink.put_rows(summary, WindowKind::Hourly, rows, at).unwrap_or_else(|e| panic!("{e}"));
        }
        bare_sink.disconnect();
        let bare = Counted { rows: rows.len(), time: begin.elapsed() };
        ratios.push(flushed.per_second() / bare.per_second());
        println!(
            "  {}: flush {:.0}, bare upsert {:.0}, ratio {:.2}; {:.2} s: partials {:.2}, read {:.2}, rows {:.2}",
            if pass == 0 { "insert" } else { "update" },
            flushed.per_second(),
            bare.per_second(),
            flushed.per_second() / bare.per_second(),
            flushed.time.as_secs_f64(),
            sink.steps[0].as_secs_f64(),
            sink.steps[1].as_secs_f64(),
            sink.steps[2].as_secs_f64()
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio {:.2}", ratios[ratios.len() / 2]);
}

/// The rows that the flush of a pass writes, made by a flush into memory.
fn bare_rows(config: &Config, devices: usize, pass: i64) -> Vec<RowRecord> {
    let mut replay = telegraf_rollup::driver::jobs::replay::Replay::new(&config.schema, Some(START + HOUR));
    for pass in 0..=pass {
        let at = START + pass * 60_000_000_000;
        let lines: String = (0..devices).map(|device| line(device, at)).collect();
        replay.feed(&mut lines.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    }
    let (rows, _) = replay.finish().unwrap_or_else(|e| panic!("{e}"));
    rows.table(&config.schema.summaries[0], WindowKind::Hourly)
}

/// A process on a folder for its state, without a journal.
fn process(folder: &Path, config: &Config) -> (Arc<Shared>, Keeper) {
    let (store, _) = StateDb::open(folder).unwrap_or_else(|e| panic!("{e}"));
    let disk = Arc::new(Folder::new(folder.join("journal")));
    let opened = Keeper::open(Box::new(store), disk, &config.schema, &[], 1, "writer".into());
    let opened = opened.unwrap_or_else(|e| panic!("{e}"));
    (Arc::new(Shared::new(opened.engine)), opened.keeper)
}

/// Flushes and checkpoints of many devices while lines go on to arrive.
fn many(name: &str, config: &Config, devices: usize, hours: i64) {
    let mut sink = Timed { sink: sink::open::open(&config.sink), steps: Default::default() };
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (mut shared, mut keeper) = process(folder.path(), config);
    let mut memory = FlushMemory::default();
    println!("{name}: {devices} devices, hourly and daily rows");
    for hour in 0..hours {
        for minute in [1, 30] {
            round(&shared, devices, START + hour * HOUR + minute * 60_000_000_000);
        }
        let is_after_a_start = hour + 1 == hours && hours > 1;
        if is_after_a_start {
            // Only stored state is known of the hours before.
            (shared, keeper) = process(folder.path(), config);
            memory = FlushMemory::default();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stream = {
            let (shared, stop) = (shared.clone(), stop.clone());
            std::thread::spawn(move || stream(&shared, devices, START + hour * HOUR + 40 * 60_000_000_000, &stop))
        };
        sink.steps = Default::default();
        let (begin, now) = (Instant::now(), START + hour * HOUR + 50 * 60_000_000_000);
        let flushed = deliver(&mut keeper, &shared, &mut sink, &mut memory, now, Scope::Everything { running: true })
            .unwrap_or_else(|e| panic!("{e}"));
        let flushed = Counted { rows: flushed.hourly + flushed.daily, time: begin.elapsed() };
        let begin = Instant::now();
        keeper.checkpoint(&shared, now).unwrap_or_else(|e| panic!("{e}"));
        let checkpoint = begin.elapsed();
        stop.store(true, Ordering::Relaxed);
        let (lines, longest) = stream.join().unwrap_or_default();
        println!(
            "  hour {hour}{}: {} rows in {:.1} s ({:.0} rows/s; partials {:.1}, read {:.1}, rows {:.1} s), checkpoint {:.1} s, \
             meanwhile {lines} lines, longest wait of a batch {:.1} ms",
            if is_after_a_start { ", as after a start" } else { "" },
            flushed.rows,
            flushed.time.as_secs_f64(),
            flushed.per_second(),
            sink.steps[0].as_secs_f64(),
            sink.steps[1].as_secs_f64(),
            sink.steps[2].as_secs_f64(),
            checkpoint.as_secs_f64(),
            longest.as_secs_f64() * 1e3
        );
    }
    println!("  resident: {} MiB", resident_mib());
}

/// Lines at about 20,000 a second until told to stop: how many, and the longest time that a batch of 100 took.
fn stream(shared: &Shared, devices: usize, at: i64, stop: &AtomicBool) -> (usize, Duration) {
    let (mut lines, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<String> =
            (0..100).map(|i| line((lines + i) % devices, at + (lines / devices) as i64 * 1_000_000_000)).collect();
        let begin = Instant::now();
        shared.batch(batch.iter().map(|line| line.as_bytes()), at);
        longest = longest.max(begin.elapsed());
        lines += batch.len();
        std::thread::sleep(Duration::from_millis(5));
    }
    (lines, longest)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Test servers are small: gives one the buffer pool and the log of an ordinary installation, and waits for it.
fn ordinary(database: &Database) {
    database.query("SET GLOBAL innodb_buffer_pool_size = 134217728");
    let redo = if database.kind() == Kind::MySql { "innodb_redo_log_capacity" } else { "innodb_log_file_size" };
    database.query(&format!("SET GLOBAL {redo} = 100663296"));
    std::thread::sleep(Duration::from_secs(1));
}

fn sqlite(path: &Path) -> SinkConfig {
    SinkConfig::Sqlite(path.to_path_buf())
}

fn main() {
    let (devices, hours) = (number("ROLLUP_BENCH_DEVICES", 100_000), number("ROLLUP_BENCH_HOURS", 3) as i64);
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    for kind in Kind::ALL {
        if wanted("ratio") {
            ratio(kind);
        }
    }
    let windows = "[\"hourly\", \"daily\"]";
    if wanted("sqlite") {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let mut config = config("", windows);
        config.sink = sqlite(&folder.path().join("summary.db"));
        many("SQLite", &config, devices, hours);
    }
    for kind in Kind::ALL {
        if wanted(&kind.to_string().to_lowercase())
            && let Some(database) = Database::start(kind)
        {
            ordinary(&database);
            let url = format!("url = {:?}\ntls = \"off\"", database.url(USER, PASSWORD, "metrics"));
            many(&format!("{kind} {}", database.version()), &config(&url, windows), devices, hours);
        }
    }
}
