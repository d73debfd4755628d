//! Many writers, servers that fail: everybody's rows arrive, and add up.
#![cfg(unix)]

#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::servers::{Database, Kind, PASSWORD, USER};
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::backoff;
use telegraf_rollup::driver::flush::pass::FlushMemory;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::driver::jobs::replay::Replay;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink;
use telegraf_rollup::sink::port::{Sink, SinkError};
use telegraf_rollup::sink::sql::times;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// 2024-03-05T10:00:00Z
const START: i64 = 1_709_632_800 * SECOND;
const NOW: i64 = START + 40 * HOUR;

fn config(port: u16) -> Config {
    let sources = "[{ measurement = \"m\", field = \"v\" }]";
    let columns: String = ["avg", "min", "max", "count", "stddev"]
        .iter()
        .map(|m| format!("[[summary.column]]\nname = \"{m}_v\"\nmethod = \"{m}\"\nsources = {sources}\n"))
        .collect();
    let text = format!(
        "state_dir = \"/unused\"\ntimezone = \"UTC\"\n[lateness]\nmax = \"forever\"\n[missing]\nhorizon = \"0s\"\n\
         [sink]\nurl = \"mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/metrics\"\n\
         [[summary]]\nname = \"s\"\nkey = [\"host\"]\n{columns}"
    );
    Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Passes connections on, and cuts them between any two packets while it is told to.
struct Proxy {
    port: u16,
    cuts: Arc<AtomicBool>,
}

/// How many connections have been cut.
static CUT: AtomicU64 = AtomicU64::new(0);

impl Proxy {
    fn start(server: u16, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cuts = Arc::new(AtomicBool::new(true));
        let told = cuts.clone();
        std::thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server))) else { continue };
                let mut dice = Dice(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
                dice.below(2);
                // A flush takes about fifteen packets.
                let (after, forwarded) = (dice.below(30), dice.below(2) == 0);
                let cut = told.load(Ordering::Relaxed).then_some((after, forwarded));
                let (mut from, mut to) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                std::thread::spawn(move || pass(&mut from, &mut to, cut));
                let (mut from, mut to) = (server, client);
                std::thread::spawn(move || pass(&mut from, &mut to, None));
            }
        });
        Proxy { port, cuts }
    }
}

/// Copies until one side ends, or until the packet is there at which the connection is cut, forwarded or not.
fn pass(from: &mut TcpStream, to: &mut TcpStream, cut: Option<(u64, bool)>) {
    let mut buffer = vec![0; 1 << 20];
    for packet in 0.. {
        let Ok(n @ 1..) = from.read(&mut buffer) else { break };
        let is_last = cut.is_some_and(|(after, _)| packet == after);
        if is_last && cut.is_some_and(|(_, forwarded)| !forwarded) {
            CUT.fetch_add(1, Ordering::Relaxed);
            break;
        }
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
        if is_last {
            CUT.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

struct Writer {
    name: String,
    engine: Shared,
    sink: Box<dyn Sink + Send>,
    memory: FlushMemory,
    config: Config,
}

impl Writer {
    fn new(name: String, config: Config) -> Writer {
        let engine = Shared::new(Engine::new(config.schema.clone()));
        engine.with(|engine| engine.begin_run(&format!("run-{name}")));
        Writer { name, engine, sink: sink::open::open(&config.sink), memory: FlushMemory::default(), config }
    }

    fn take(&self, lines: &[String]) {
        self.engine.with(|engine| lines.iter().for_each(|line| assert!(engine.ingest(line.as_bytes(), NOW))));
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        let sink = self.sink.as_mut();
        let result = process::flush(&self.engine, sink, &mut self.memory, &self.name, NOW, process::EVERYTHING);
        self.sink.disconnect();
        if result.is_err() {
            self.sink = sink::open::open(&self.config.sink);
        }
        result.map(drop)
    }

    /// As the keeper orders it.
    fn flush_until_done(&mut self, every: i64) -> u32 {
        let mut failures = 0;
        while let Err(error) = self.flush() {
            failures += 1;
            assert!(matches!(error, SinkError::Temporary(_)), "{}: {error}", self.name);
            assert!(failures < 100, "{}: {error}", self.name);
            let random = u64::from(failures).wrapping_mul(std::process::id().into()) ^ START as u64 ^ self.seed();
            std::thread::sleep(Duration::from_nanos(backoff::pause(failures, every, random).unsigned_abs()));
        }
        failures
    }

    fn seed(&self) -> u64 {
        self.name
            .bytes()
            .fold(7, |h: u64, b| h.wrapping_mul(1_000_003) ^ u64::from(b))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Rows of a table by host and window: average, minimum, maximum, count, deviation, revision.
fn table(kind: WindowKind, query: impl Fn(&str) -> Vec<Vec<String>>) -> BTreeMap<(String, String), Vec<String>> {
    let sql = format!(
        "SELECT host, DATE_FORMAT(window_start,'%Y-%m-%d %H'), avg_v, min_v, max_v, count_v, stddev_v, samples, revision, \
         writers FROM s_{}",
        kind.name()
    );
    query(&sql).into_iter().map(|row| ((row[0].clone(), row[1].clone()), row[2..].to_vec())).collect()
}

/// Eight writers over one set of 1,000 devices, in any order, with connections cut: the rows of a single writer.
fn eight_writers(kind: Kind) {
    const DEVICES: u64 = 1_000;
    const WRITERS: usize = 8;
    const ROUNDS: usize = 5;
    let Some(mut database) = Database::start(kind) else { return };
    let ports: Vec<u16> = match database.cluster() {
        Some(cluster) => (1..=cluster.nodes()).map(|node| cluster.port(node)).collect(),
        None => vec![database.port()],
    };
    let mut dice = Dice(8);
    let mut whole = Replay::new(&config(1).schema, Some(NOW));
    let mut shares: Vec<Vec<Vec<String>>> = vec![vec![Vec::new(); ROUNDS]; WRITERS];
    for n in 0..14_000 {
        let at = START + (dice.below(2 * 3_600) * 1_000_000_000 + n) as i64;
        let value = (dice.below(2_000_000) as f64 - 1e6) / 1e3;
        let line = format!("m,host=h{:04} v={value} {at}\n", dice.below(DEVICES));
        whole.feed(&mut line.as_bytes()).expect("readable");
        shares[dice.below(WRITERS as u64) as usize][dice.below(ROUNDS as u64) as usize].push(line);
    }
    let (rows, _) = whole.finish().expect("rows");

    // The tables are there before: eight clients at once would only wait for each other.
    let mut first = Writer::new("first".to_string(), config(ports[0]));
    first.flush_until_done(SECOND);
    let begun = Instant::now();
    let proxies: Vec<Proxy> = (0..WRITERS).map(|i| Proxy::start(ports[i % ports.len()], i as u64)).collect();
    let failed: u32 = std::thread::scope(|scope| {
        let writers: Vec<_> = shares
            .iter()
            .zip(&proxies)
            .enumerate()
            .map(|(i, (rounds, proxy))| {
                scope.spawn(move || {
                    let mut writer = Writer::new(format!("w{i}"), config(proxy.port));
                    let mut failed = 0;
                    for (round, lines) in rounds.iter().enumerate() {
                        writer.take(lines);
                        std::thread::sleep(Duration::from_millis((i as u64 * 7 + round as u64 * 13) % 11 * 20));
                        failed += u32::from(writer.flush().is_err());
                    }
                    proxy.cuts.store(false, Ordering::Relaxed);
                    failed + writer.flush_until_done(2 * SECOND)
                })
            })
            .collect();
        if let Some(cluster) = database.cluster() {
            std::thread::sleep(Duration::from_millis(700));
            cluster.kill9(3);
            std::thread::sleep(Duration::from_secs(3));
            cluster.restart(3);
        }
        writers.into_iter().map(|writer| writer.join().expect("a writer ends")).sum()
    });
    let cut = CUT.swap(0, Ordering::Relaxed);
    println!(
        "{kind} {}: {WRITERS} writers, {cut} connections cut, {failed} flushes failed, {:?}",
        database.version(),
        begun.elapsed()
    );
    assert!(cut > 5, "the proxies have cut {cut} connections");

    let nodes = database.cluster().map_or(1, |cluster| cluster.nodes());
    for node in 1..=nodes {
        for window in [WindowKind::Hourly, WindowKind::Daily] {
            let found = match database.cluster() {
                Some(cluster) => {
                    table(window, |sql| cluster.query(node, &format!("SET SESSION wsrep_sync_wait=15; {sql}")))
                }
                None => table(window, |sql| database.query(sql)),
            };
            let expected = rows.table(&config(1).schema.summaries[0], window);
            assert_eq!(found.len(), expected.len(), "node {node}: rows of {window:?}");
            for row in expected {
                let start = times::datetime(row.span.start);
                let place = (row.key[0].clone(), start[..13].to_string());
                let there = &found[&place];
                let number = |i: usize| there[i].parse::<f64>().expect("a number");
                for (i, exact) in [(0, false), (1, true), (2, true), (3, true), (4, false)] {
                    let wanted = match row.summed.cells[i] {
                        Cell::Float(x) => x,
                        Cell::Integer(n) => n as f64,
                        Cell::Null => {
                            assert_eq!(there[i], "NULL", "{place:?}");
                            continue;
                        }
                    };
                    let difference = (number(i) - wanted).abs();
                    assert!(difference <= if exact { 0.0 } else { 1e-9 }, "{place:?} column {i}: {there:?}, {wanted}");
                }
                assert_eq!(there[5], row.summed.samples.to_string(), "{place:?}");
                assert_eq!(there[6], row.revision.to_string(), "{place:?}");
            }
        }
    }
    if kind != Kind::Galera {
        let sql = if kind == Kind::MySql {
            "SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"
        } else {
            "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Innodb_deadlocks'"
        };
        assert_eq!(database.value(sql), "0", "deadlocks");
    }
}

#[test]
fn eight_writers_on_mysql() {
    eight_writers(Kind::MySql);
}

#[test]
fn eight_writers_on_mariadb() {
    eight_writers(Kind::MariaDb);
}

#[test]
fn eight_writers_on_galera() {
    eight_writers(Kind::Galera);
}

/// 2,000 hosts and a server for 151 connections: spread over an interval, and all at once.
#[test]
fn two_thousand_hosts() {
    const HOSTS: usize = 2_000;
    let Some(database) = Database::start(Kind::MySql) else { return };
    database.query("SET GLOBAL max_connections = 151");
    let port = database.port();
    Writer::new("first".to_string(), config(port)).flush_until_done(SECOND);
    for (round, spread) in [(0_i64, Duration::from_secs(20)), (1, Duration::ZERO)] {
        database.query("FLUSH STATUS");
        let begun = Instant::now();
        let hosts: Vec<_> = (0..HOSTS)
            .map(|i| {
                let work = move || {
                    let mut writer = Writer::new(format!("{round}-{i}"), config(port));
                    let line = |at: i64| format!("m,host=pc-{i:04} v={i} {}\n", START + round * HOUR + at);
                    writer.take(&[line(1), line(2)]);
                    let splay = writer.seed() % 1_000_000;
                    std::thread::sleep(spread.mul_f64(splay as f64 / 1e6));
                    let begun = Instant::now();
                    let failures = writer.flush_until_done(60 * SECOND);
                    (begun.elapsed(), failures)
                };
                std::thread::Builder::new().stack_size(512 << 10).spawn(work).expect("a thread")
            })
            .collect();
        let mut done: Vec<_> = hosts.into_iter().map(|host| host.join().expect("a host ends")).collect();
        done.sort();
        let status = |name: &str| {
            let sql =
                format!("SELECT variable_value FROM performance_schema.global_status WHERE variable_name = '{name}'");
            database.try_query(&sql).ok().and_then(|rows| rows.first()?.first().cloned()).unwrap_or_default()
        };
        println!(
            "{HOSTS} hosts over {spread:?}: all done after {:?}; a flush took {:?} (median), {:?} (longest, with retries); \
             {} flushes were refused and tried again; at most {} connections, {} refused",
            begun.elapsed(),
            done[HOSTS / 2].0,
            done[HOSTS - 1].0,
            done.iter().map(|(_, failures)| failures).sum::<u32>(),
            status("Max_used_connections"),
            status("Connection_errors_max_connections"),
        );
        let rows = format!("{} {}", HOSTS * (round as usize + 1), 2 * HOSTS * (round as usize + 1));
        assert_eq!(database.value("SELECT CONCAT(COUNT(*), ' ', SUM(samples)) FROM s_hourly"), rows);
        let days = format!("{HOSTS} {}", 2 * HOSTS * (round as usize + 1));
        assert_eq!(database.value("SELECT CONCAT(COUNT(*), ' ', SUM(samples)) FROM s_daily"), days);
    }
}
