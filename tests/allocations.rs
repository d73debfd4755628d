//! In steady state a line costs no allocation. A process of its own, because it counts all of them.

use telegraf_rollup::config::Config;
use telegraf_rollup::durable::journal::entries::Encoder;
use telegraf_rollup::engine::Engine;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const CONFIG: &str = include_str!("../telegraf/rollup.toml");

#[test]
fn a_line_of_a_known_series_allocates_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let config = Config::check(CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let mut engine = Engine::new(config.schema);
    let mut encoder = Encoder::new(1);
    let poll = |engine: &mut Engine, encoder: &mut Encoder, at: i64, text: &[String]| {
        for line in text {
            if engine.ingest(line.as_bytes(), at) {
                encoder.line(engine.last_head(), line.as_bytes());
            }
        }
    };
    let lines = |at: i64| -> Vec<String> {
        let hosts = (0..20).flat_map(|host| {
            let value = (at / 1_000_000_000 * 7919 + host * 31) % 1000;
            [
                format!("cpu,cpu=cpu-total,host=pc-{host} usage_idle={}.5,usage_user=1.25 {at}\n", value % 100),
                format!("cpu,cpu=cpu0,host=pc-{host} usage_idle=50,usage_user=1.25 {at}\n"),
                format!("mem,host=pc-{host} used=1i,text=\"a b\" {at}\n"),
            ]
        });
        hosts.collect()
    };
    let start = 1_700_000_000_000_000_000;
    let polls: Vec<Vec<String>> = (0..40).map(|poll| lines(start + poll * 10_000_000_000)).collect();
    // The first polls open the windows and the memory of duplicates; bytes for the journal are taken from what is there.
    for (n, text) in polls.iter().enumerate().take(20) {
        poll(&mut engine, &mut encoder, start + n as i64 * 10_000_000_000, text);
    }
    let matched = engine.counters().matched;
    encoder.take(0).expect("lines match");
    let before = dhat::HeapStats::get().total_blocks;
    for (n, text) in polls.iter().enumerate().skip(20) {
        poll(&mut engine, &mut encoder, start + n as i64 * 10_000_000_000, text);
    }
    let blocks = dhat::HeapStats::get().total_blocks - before;
    let lines = engine.counters().matched - matched;
    assert!(lines >= 400, "{lines} lines match");
    // The ring of duplicates doubles until it is full.
    assert!(blocks <= 8, "{blocks} allocations for {lines} lines that match");
}
