//! Thousands of seeded histories in which everything fails, and the rules of which each is needed.
//!
//! A failure names its seed; `ROLLUP_SEED=17 cargo test --test simulation` runs that one alone and prints its history;
//! `ROLLUP_SEEDS=100000` runs more of them.

#[path = "sim/mod.rs"]
mod sim;

use sim::{Mutant, world};
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds of an ordinary run.
const SEEDS: u64 = 10_000;
/// Seeds that have failed once.
const KEPT: [u64; 0] = [];

fn seeds() -> u64 {
    std::env::var("ROLLUP_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(SEEDS)
}

/// Runs seeds on all cores until one fails: the lowest that was found.
fn first_failure(seeds: std::ops::Range<u64>, mutant: Mutant) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut failures: Vec<(u64, String)> = std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return None;
                }
                if let Err(wrong) = world::run(seed, mutant) {
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
    if let Some((seed, wrong)) = first_failure(0..seeds, Mutant::None) {
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
    ];
    for mutant in mutants {
        match first_failure(0..SEEDS, mutant) {
            Some((seed, _)) => println!("{mutant:?}: seed {seed}"),
            None => panic!("{mutant:?} makes no difference"),
        }
    }
}
