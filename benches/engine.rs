//! The main paths of the engine, timed: `cargo bench --bench engine`. How many instructions they take, which does not depend
//! on what else the machine does, says `cargo bench --bench instructions`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};

mod paths;

/// Rounds that are prepared at once.
const ROUNDS: usize = 200;

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3)).sample_size(20);
    for (name, unit, prepare) in paths::PATHS {
        group.throughput(Throughput::Elements(prepare(1).units));
        group.bench_function(format!("{name} (a {unit} is an element)"), |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut took, mut left) = (Duration::ZERO, iterations as usize);
                while left > 0 {
                    let rounds = left.min(ROUNDS);
                    let mut path = prepare(rounds);
                    let begin = Instant::now();
                    (0..rounds).for_each(|n| (path.round)(n));
                    took += begin.elapsed();
                    left -= rounds;
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, paths);
criterion_main!(benches);
