//! The laws of partial aggregates: an empty one changes nothing, neither order nor grouping matters, and the stored form
//! holds all of it.

use std::sync::Arc;
use telegraf_rollup::config::Config;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::aggregate::judging::Baseline;
use telegraf_rollup::engine::aggregate::partial::Partial;
use telegraf_rollup::engine::aggregate::row;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::ids::DefIndex;
use telegraf_rollup::engine::persist::checkpoint::Slice;
use telegraf_rollup::engine::persist::stored::Stored;
use telegraf_rollup::engine::schema::{Method, Schema, Summary};

const METHODS: [&str; 10] = ["avg", "sum", "stddev", "min", "max", "range", "first", "last", "count", "p95"];
const HOUR: i64 = 3_600_000_000_000;

fn summary() -> Summary {
    schema().summaries[0].clone()
}

fn schema() -> Arc<Schema> {
    let mut config = "[[summary]]\nname = \"s\"\nkey = [\"host\"]\n".to_string();
    for method in METHODS {
        let source = "[{ measurement = \"m\", field = \"v\" }]";
        config += &format!("[[summary.column]]\nname = \"{method}_v\"\nmethod = \"{method}\"\nsources = {source}\n");
    }
    config += "[[summary.column]]\nname = \"hot\"\nmethod = \"anomalies\"\nrules = [\"r\", \"z\"]\n[[anomaly]]\nname = \"r\"\n\
        column = \"max_v\"\nwhen = \"> 1\"\n[[anomaly]]\nname = \"z\"\ncolumn = \"max_v\"\nzscore = 1.5\n";
    let config = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    config.schema
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// A value of any magnitude.
    fn value(&mut self) -> f64 {
        let digits = self.below(2_000_001) as f64 - 1e6;
        let exponents = [-200, -6, -3, 0, 0, 0, 3, 200];
        digits * 10f64.powi(exponents[self.below(8) as usize])
    }
}

fn partial(summary: &Summary, points: &[(i64, f64)]) -> Partial {
    let mut partial = Partial::default();
    for (def, score) in &summary.scores {
        partial.settle(*def, score.threshold, Some(Baseline { mean: 3.0, deviation: 1e4 }));
    }
    for (at, value) in points {
        let slot = (at / 60_000_000_000) as u32;
        partial.sample(*at, slot);
        for def in 0..summary.accumulators.len() {
            partial.observe(DefIndex::of(def), summary, *at, slot, *value);
        }
    }
    partial
}

fn merged(parts: &[&Partial]) -> Partial {
    let mut all = Partial::default();
    parts.iter().for_each(|part| all.merge(part));
    all
}

/// Every column must say the same; those that add may differ by the rounding of their promise.
fn same(summary: &Summary, a: &Partial, b: &Partial, magnitude: f64) {
    let (a, b) = (row::sum_up(summary, std::slice::from_ref(a), 60), row::sum_up(summary, std::slice::from_ref(b), 60));
    assert_eq!((a.samples, a.coverage.to_bits(), a.seen), (b.samples, b.coverage.to_bits(), b.seen));
    for (column, (x, y)) in summary.columns.iter().zip(a.cells.iter().zip(&b.cells)) {
        let agree = match (column.method, x, y) {
            (Method::Avg, Cell::Float(x), Cell::Float(y)) => (x - y).abs() <= 1e-12 * magnitude,
            (Method::Sum, Cell::Float(x), Cell::Float(y)) => (x - y).abs() <= 1e-12 * magnitude * a.samples as f64,
            (Method::Stddev, Cell::Float(x), Cell::Float(y)) => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
            _ => x == y,
        };
        assert!(agree, "{}: {x:?} and {y:?}", column.name);
    }
}

#[test]
fn merging_obeys_its_laws() {
    let summary = summary();
    let mut random = Random(7);
    for round in 0..500 {
        let count = random.below(60);
        // Distinct times, so that first and last do not depend on a tie.
        let points: Vec<(i64, f64)> = (0..count)
            .map(|n| ((random.below(HOUR as u64 / 1_000_000) as i64 * 1_000 + n as i64) * 1_000, random.value()))
            .collect();
        let magnitude = points.iter().map(|(_, v)| v.abs()).sum::<f64>() / points.len().max(1) as f64;
        let mut parts: [Vec<(i64, f64)>; 3] = Default::default();
        points.iter().for_each(|point| parts[random.below(3) as usize].push(*point));
        let whole = partial(&summary, &points);
        let [a, b, c] = parts.map(|points| partial(&summary, &points));
        let nothing = Partial::default();
        same(&summary, &merged(&[&whole, &nothing]), &whole, magnitude);
        same(&summary, &merged(&[&nothing, &whole]), &whole, magnitude);
        same(&summary, &merged(&[&a, &b]), &merged(&[&b, &a]), magnitude);
        same(&summary, &merged(&[&merged(&[&a, &b]), &c]), &merged(&[&a, &merged(&[&b, &c])]), magnitude);
        same(&summary, &merged(&[&c, &a, &b]), &whole, magnitude);
        for one in [&whole, &a, &merged(&[&a, &c])] {
            let text = one.to_json(&summary);
            let back = Partial::from_json(&text, &summary).unwrap_or_else(|e| panic!("round {round}: {e}: {text}"));
            assert_eq!(back.to_json(&summary), text, "round {round}");
            // Times are stored to the millisecond.
            let (x, y) = (row::sum_up(&summary, &[back], 60), row::sum_up(&summary, std::slice::from_ref(one), 60));
            assert_eq!((x.cells, x.samples), (y.cells, y.samples), "round {round}");
        }
    }
}

/// What a checkpoint holds, in one order: devices and series are copied when a line comes, if that is before their turn.
fn ordered(mut stored: Stored) -> Stored {
    stored.devices.sort_by_key(|device| device.id);
    stored.windows.sort_by_key(|window| (window.device, window.span.start));
    stored.slots.sort_by_key(|slot| slot.id);
    stored.dedupe.chunks.sort();
    stored
}

/// Lines that come while a checkpoint is taken do not show in it, and all of them show in the next one.
#[test]
fn a_checkpoint_in_slices_is_the_state_of_its_beginning() {
    let schema = schema();
    let mut random = Random(7);
    let at = 1_700_000_000_000_000_000;
    for round in 0..200 {
        let hosts = 1 + random.below(30);
        let line = |random: &mut Random, hosts: u64| {
            let (host, time) = (random.below(hosts), at + random.below(3 * 3_600) as i64 * 1_000_000_000);
            format!("m,host=h{host},extra={} v={} {time}\n", random.below(3), random.value())
        };
        let (mut whole, mut sliced) = (Engine::new(schema.clone()), Engine::new(schema.clone()));
        for _ in 0..4 {
            for _ in 0..random.below(200) {
                let line = line(&mut random, hosts);
                assert!(whole.ingest(line.as_bytes(), at) && sliced.ingest(line.as_bytes(), at));
            }
            let expected = whole.checkpoint().expect("every window is complete");
            sliced.begin_checkpoint();
            let mut found = Stored::default();
            let mut between = Vec::new();
            loop {
                for _ in 0..random.below(4) {
                    // Some are of devices and series that were not there.
                    let line = line(&mut random, 2 * hosts);
                    assert!(sliced.ingest(line.as_bytes(), at));
                    between.push(line);
                }
                if random.below(20) == 0 {
                    sliced.begin_run(&format!("run {}", between.len()));
                    between.push(String::new());
                }
                match sliced.checkpoint_slice(1 + random.below(5) as usize) {
                    Slice::Part(part) => found.extend(part),
                    Slice::Last(part) => {
                        found.extend(part);
                        break;
                    }
                    Slice::Void => panic!("every window is complete"),
                }
            }
            assert_eq!(ordered(found), ordered(expected), "round {round}");
            for (place, line) in between.iter().enumerate() {
                match line.is_empty() {
                    true => whole.begin_run(&format!("run {place}")),
                    false => assert!(whole.ingest(line.as_bytes(), at)),
                }
            }
        }
        let (found, expected) = (sliced.checkpoint(), whole.checkpoint());
        assert_eq!(found.map(ordered), expected.map(ordered), "round {round}");
    }
}

/// Two summaries; what `m` says goes to one of them, what `n` says to both.
fn two_summaries() -> Arc<Schema> {
    let mut config =
        "[missing]\nhorizon = \"0s\"\n[lateness]\nmax = \"30d\"\n[limits]\ndedupe_points = 1000\n".to_string();
    for (summary, measurements) in [("s", &["m", "n"][..]), ("t", &["n"])] {
        config += &format!("[[summary]]\nname = \"{summary}\"\nkey = [\"host\"]\ntimezone_tag = \"zone\"\n");
        for (place, method) in METHODS.iter().enumerate() {
            let valid = if place % 4 == 1 { "valid = [-150, 90]\n" } else { "" };
            let scale = ["1.0", "-2.0", "1e100"][place % 3];
            let source = |measurement| {
                format!("{{ measurement = \"{measurement}\", field = \"f {}\", scale = {scale} }}", place % 5)
            };
            let sources = measurements.iter().map(source).collect::<Vec<_>>().join(", ");
            config += &format!(
                "[[summary.column]]\nname = \"{method}_{summary}\"\nmethod = \"{method}\"\n{valid}sources = [{sources}]\n"
            );
        }
        config += &format!("[[summary.column]]\nname = \"hot\"\nmethod = \"anomalies\"\nrules = [\"{summary}\"]\n");
    }
    for summary in ["s", "t"] {
        config += &format!("[[anomaly]]\nname = \"{summary}\"\ncolumn = \"max_{summary}\"\nwhen = \"> 1\"\n");
    }
    let config = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    config.schema
}

/// The short way of a line is there for speed alone: whatever comes, it leaves the same state as the long one.
#[test]
fn the_short_way_does_what_the_long_way_does() {
    let schema = two_summaries();
    let mut random = Random(11);
    let begin = 1_700_000_000_000_000_000;
    for round in 0..300 {
        let (mut short, mut long) = (Engine::new(schema.clone()), Engine::new(schema.clone()));
        long.take_the_long_way();
        let hosts = 1 + random.below(4);
        // Some streams are as most are, others are not.
        let oddity = [0, 2, 10, 40][round % 4];
        let mut now = begin;
        for step in 0..400 {
            let gap = if random.below(20) == 0 { random.below(40) } else { 0 };
            // Some lines come twice for one time.
            let step_seconds = if random.below(100) < oddity { 0 } else { 10 * (1 + gap as i64) };
            now += step_seconds * 1_000_000_000;
            for host in 0..hosts {
                let mut line = format!("{},host=h{host}", if host == 0 { "n" } else { "m" });
                let is_odd = |random: &mut Random| random.below(100) < oddity;
                if is_odd(&mut random) {
                    line += [",zone=Asia/Kathmandu", ",zone=Europe/Berlin", ",zone=No/Where"][random.below(3) as usize];
                }
                let mut fields: Vec<u64> = (0..1 + random.below(5)).collect();
                if is_odd(&mut random) {
                    fields.push(random.below(6));
                    fields.reverse();
                }
                let value = |random: &mut Random| match random.below(12) {
                    0 if is_odd(random) => "\"text\"".to_string(),
                    1 if is_odd(random) => "true".to_string(),
                    2 if is_odd(random) => "1e307".to_string(),
                    3 => format!("{}i", random.below(100)),
                    4 => random.value().to_string(),
                    _ => format!("{}", random.below(1000) as f64 / 10.0),
                };
                let fields = fields.iter().map(|field| format!("f\\ {field}={}", value(&mut random)));
                line += &format!(" {}", fields.collect::<Vec<_>>().join(","));
                if !is_odd(&mut random) {
                    let back = if is_odd(&mut random) { random.below(3_000) as i64 * 10_000_000_000 } else { 0 };
                    line += &format!(" {}", now - back);
                }
                line.push('\n');
                assert!(short.ingest(line.as_bytes(), now) && long.ingest(line.as_bytes(), now), "{line}");
            }
            if random.below(100) == 0 {
                let name = format!("run {}", random.below(5));
                short.begin_run(&name);
                long.begin_run(&name);
            }
            if random.below(150) == 0 {
                let (found, expected) = (short.checkpoint(), long.checkpoint());
                assert_eq!(found.map(ordered), expected.map(ordered), "round {round}, step {step}");
            }
        }
        assert_eq!(short.counters(), long.counters(), "round {round}");
        assert_eq!(short.checkpoint().map(ordered), long.checkpoint().map(ordered), "round {round}");
    }
}
