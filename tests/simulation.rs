//! Thousands of seeded histories in which everything fails, and the rules of which each is needed.
//!
//! A failure names its seed; `ROLLUP_SEED=17 cargo test --test simulation` runs that one alone and prints its history;
//! `ROLLUP_SEEDS=100000` runs more of them.

#[path = "support/process.rs"]
mod process;
#[path = "sim/mod.rs"]
mod sim;

use process::Process;
use sim::{Mutant, chance, lives, server::Server, world};
use std::sync::atomic::{AtomicU64, Ordering};
use telegraf_rollup::config::Config;
use telegraf_rollup::engine::aggregate::row::Cell;
use telegraf_rollup::engine::schema::Method;

/// Seeds of an ordinary run.
const SEEDS: u64 = 10_000;
/// Seeds that have failed once.
const KEPT: [u64; 2] = [396, 272_529];

fn seeds() -> u64 {
    std::env::var("ROLLUP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

/// Runs the history of a seed.
type History = fn(u64, Mutant) -> Result<(), String>;

/// Runs seeds on all cores until one fails: the lowest that was found.
fn first_failure(history: History, seeds: std::ops::Range<u64>, mutant: Mutant) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut failures: Vec<(u64, String)> = std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return None;
                }
                if let Err(wrong) = history(seed, mutant) {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Some((seed, wrong));
                }
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    failures.sort();
    failures.into_iter().next()
}

#[test]
fn whatever_fails_nothing_is_lost_and_nothing_counts_twice() {
    if let Some(seed) = std::env::var("ROLLUP_SEED").ok().and_then(|n| n.parse().ok()) {
        match world::run(seed, Mutant::None) {
            Ok(()) => return,
            Err(wrong) => panic!("{wrong}"),
        }
    }
    for seed in KEPT {
        world::run(seed, Mutant::None).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let seeds = seeds();
    if let Some((seed, wrong)) = first_failure(world::run, 0..seeds, Mutant::None) {
        panic!("{wrong}\nagain: ROLLUP_SEED={seed} cargo test --test simulation whatever");
    }
    println!("{seeds} histories");
}

#[test]
fn every_broken_rule_shows() {
    let mutants = [
        Mutant::JournalIsBuffered,
        Mutant::JournalIsNotSynced,
        Mutant::PositionIsForgotten,
        Mutant::DuplicatesAreForgotten,
        Mutant::PendingIsForgotten,
        Mutant::JournalIsRemovedFirst,
        Mutant::PartialsAreNotGuarded,
        Mutant::RunsAreOne,
        Mutant::RowsAreNotGuarded,
        Mutant::AcknowledgedBeforeWritten,
        Mutant::FlushIsNotSecured,
        Mutant::WaitingIsNotFetched,
        Mutant::OthersAreNotRead,
    ];
    let lives = [
        Mutant::TicketIsNotCompared,
        Mutant::FlusherIsWaitedFor,
        Mutant::PanicIsNotSavedAgain,
        Mutant::ClaimIsNotHeld,
        Mutant::FlushNumberStays,
    ];
    let all = mutants.map(|mutant| (world::run as History, mutant)).into_iter();
    for (history, mutant) in all.chain(lives.map(|mutant| (lives::run as History, mutant))) {
        match first_failure(history, 0..SEEDS, mutant) {
            Some((seed, _)) => println!("{mutant:?}: seed {seed}"),
            None => panic!("{mutant:?} makes no difference"),
        }
    }
}

/// Processes come and go, panic and are killed, and the sink needs up to a minute and a half a statement.
#[test]
fn whoever_owns_the_state_waits_for_no_sink_and_nothing_is_lost() {
    let seed = std::env::var("ROLLUP_SEED").ok().and_then(|n| n.parse().ok());
    let seeds = seed.map_or(0..seeds(), |seed: u64| seed..seed + 1);
    if let Some((seed, wrong)) = first_failure(lives::run, seeds, Mutant::None) {
        panic!("{wrong}\nagain: ROLLUP_SEED={seed} cargo test --test simulation whoever");
    }
}

/// The same points in any order, in any pieces, divided over three writers that start again in between: the same rows.
#[test]
fn any_order_any_pieces_any_writers() {
    const METHODS: [&str; 11] = ["avg", "sum", "stddev", "min", "max", "range", "first", "last", "count", "p50", "p99"];
    let start = 1_700_000_000_000_000_000;
    let mut config =
        "state_dir = \"/unused\"\ntimezone = \"Asia/Kathmandu\"\n[lateness]\nmax = \"forever\"\n[[summary]]\n\
        name = \"s\"\nkey = [\"host\"]\n"
            .to_string();
    for method in METHODS {
        let sources = "[{ measurement = \"a\", field = \"v\" }, { measurement = \"b\", field = \"v\", scale = 0.1 }]";
        config += &format!("[[summary.column]]\nname = \"{method}_v\"\nmethod = \"{method}\"\nsources = {sources}\n");
    }
    config += "[[summary.column]]\nname = \"hot\"\nmethod = \"anomalies\"\nrules = [\"r\"]\n[[anomaly]]\nname = \"r\"\n\
        column = \"max_v\"\nwhen = \"> 500\"\n";
    let schema = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let now = start + 30 * 24 * 3_600_000_000_000;
    for seed in 0..20 {
        chance::start(seed);
        let mut lines = Vec::new();
        for n in 0..600 {
            // Distinct times: of equal ones the order of arrival would decide.
            let at = start + (chance::below(30 * 3600) * 1_000_000_000 + n) as i64;
            let value = (chance::below(2_000_000) as f64 - 1e6) / 1e3;
            let measurement = if chance::percent(60) { "a" } else { "b" };
            lines.push(format!("{measurement},host=h{} v={value} {at}\n", chance::below(3)));
        }
        lines.sort_by_key(|line| line.rsplit(' ').next().map(str::to_string));
        let mut whole = Server::default();
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Process::begin(folder.path(), &schema, chance::id);
        process.take(&lines, now);
        process.flush(&mut whole, now).expect("written");

        let mut parts = Server::default();
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let mut writers: Vec<_> =
            folders.iter().map(|folder| Process::begin(folder.path(), &schema, chance::id)).collect();
        while !lines.is_empty() {
            let writer = chance::below(3) as usize;
            let piece: Vec<String> = (0..1 + chance::below(40))
                .map_while(|_| {
                    (!lines.is_empty()).then(|| lines.swap_remove(chance::below(lines.len() as u64) as usize))
                })
                .collect();
            let process = &mut writers[writer];
            process.take(&piece, now);
            match chance::below(6) {
                0 => {
                    process.checkpoint(now);
                }
                1 => {
                    process.flush(&mut parts, now).expect("written");
                }
                2 => writers[writer] = Process::begin(folders[writer].path(), &schema, chance::id),
                _ => {}
            }
        }
        // Whoever comes last sees everything; before, each saw what was there.
        for _ in 0..2 {
            for process in &mut writers {
                process.flush(&mut parts, now).expect("written");
            }
        }
        let (whole, parts) = (whole.rows(), parts.rows());
        assert_eq!(whole.len(), parts.len(), "seed {seed}");
        assert!(whole.len() > 90, "{} rows", whole.len());
        for ((kind, a), (_, b)) in whole.iter().zip(&parts) {
            let place = format!("seed {seed}: {kind:?} {:?} {}", a.key, a.span.start);
            assert_eq!(
                (&a.key, a.span, a.summed.samples, a.summed.seen),
                (&b.key, b.span, b.summed.samples, b.summed.seen)
            );
            assert_eq!(a.summed.coverage.to_bits(), b.summed.coverage.to_bits(), "{place}");
            for (column, (x, y)) in schema.summaries[0].columns.iter().zip(a.summed.cells.iter().zip(&b.summed.cells)) {
                let same = match (column.method, x, y) {
                    // 1e-12 of the mean magnitude, which is about 500; for a sum of the sum of magnitudes.
                    (Method::Avg | Method::Stddev, Cell::Float(x), Cell::Float(y)) => (x - y).abs() <= 1e-9,
                    (Method::Sum, Cell::Float(x), Cell::Float(y)) => {
                        (x - y).abs() <= 1e-12 * 500.0 * a.summed.samples as f64
                    }
                    _ => x == y,
                };
                assert!(same, "{place}: {} is {x:?} and {y:?}", column.name);
            }
        }
    }
}

/// What a z-score judges by is the same whether windows leave memory and the process starts again in between or not.
#[test]
fn a_baseline_survives_leaving_memory_and_restarts() {
    let start = 1_700_000_000_000_000_000;
    let hour = 3_600_000_000_000;
    let sources = "[{ measurement = \"a\", field = \"v\" }, { measurement = \"b\", field = \"v\", scale = 0.1 }]";
    let config = format!(
        "state_dir = \"/unused\"\n[lateness]\nmax = \"forever\"\n[[summary]]\nname = \"s\"\nkey = [\"host\"]\n\
         [[summary.column]]\nname = \"v\"\nmethod = \"max\"\nsources = {sources}\n\
         [[summary.column]]\nname = \"odd\"\nmethod = \"anomalies\"\nrules = [\"near\", \"far\"]\n\
         [[anomaly]]\nname = \"near\"\ncolumn = \"v\"\nzscore = 0.7\nbaseline = 2\n\
         [[anomaly]]\nname = \"far\"\ncolumn = \"v\"\nzscore = 1.3\nbaseline = 9\n"
    );
    let schema = Config::check(&config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let mut flagged = 0;
    for seed in 0..10 {
        chance::start(seed);
        // A third of them late, by up to four hours.
        let mut lines: Vec<(i64, String)> = (0..1500)
            .map(|n| {
                let at = start + (chance::below(72 * 3600) * 1_000_000_000 + n) as i64;
                let late = if chance::percent(33) { chance::below(4 * 3600) as i64 * 1_000_000_000 } else { 0 };
                let value = (chance::below(2_000_000) as f64 - 1e6) / 1e3;
                let measurement = if chance::percent(60) { "a" } else { "b" };
                (at + late, format!("{measurement},host=h{} v={value} {at}\n", chance::below(3)))
            })
            .collect();
        lines.sort();
        let (mut whole, mut parts) = (Server::default(), Server::default());
        let (calm_folder, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let mut calm = Process::begin(calm_folder.path(), &schema, chance::id);
        let mut process = Process::begin(folder.path(), &schema, chance::id);
        let mut restarts = 0;
        for piece in lines.chunks(12) {
            let now = piece.last().expect("a chunk holds something").0 + 1_000_000_000;
            let piece: Vec<String> = piece.iter().map(|(_, line)| line.clone()).collect();
            calm.take(&piece, now);
            process.take(&piece, now);
            match chance::below(4) {
                0 => {
                    process.checkpoint(now);
                }
                1 => {
                    process.flush(&mut parts, now).expect("written");
                    process.checkpoint(now);
                }
                2 if chance::percent(50) => {
                    drop(process);
                    process = Process::begin(folder.path(), &schema, chance::id);
                    restarts += 1;
                }
                _ => {}
            }
        }
        assert!(restarts > 3, "{restarts} restarts");
        let now = start + 100 * hour;
        calm.flush(&mut whole, now).expect("written");
        process.flush(&mut parts, now).expect("written");
        let (whole, parts) = (whole.rows(), parts.rows());
        assert_eq!(whole.len(), parts.len(), "seed {seed}");
        for ((kind, a), (_, b)) in whole.iter().zip(&parts) {
            assert_eq!(a.summed.samples, b.summed.samples, "seed {seed}: {kind:?} {:?} {}", a.key, a.span.start);
            assert_eq!(a.summed.cells[1], b.summed.cells[1], "seed {seed}: {kind:?} {:?} {}", a.key, a.span.start);
            if let Cell::Integer(n) = a.summed.cells[1] {
                flagged += n;
            }
        }
    }
    assert!(flagged > 1000, "{flagged} values are flagged");
}
