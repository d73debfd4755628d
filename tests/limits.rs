//! What is kept is bounded, and what is over a limit is counted.

use telegraf_rollup::config::Config;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::ids::DeviceIndex;

const GOOD: &str = "[[summary]]\nname = \"s\"\nkey = [\"host\"]\n[[summary.column]]\nname = \"n\"\nmethod = \"count\"\n\
    sources = [{ measurement = \"m\", field = \"v\" }]\n";

/// Heads that feed nothing are remembered within bounds, and never take the place of those that do.
#[test]
fn a_flood_of_heads_that_feed_nothing_is_bounded() {
    let config = Config::check(GOOD, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let mut engine = Engine::new(config.schema);
    let flood = 40_000;
    for n in 0..flood {
        // 2 KB each: three times what is kept.
        let line = format!("other,id={n},pad={} v=1 1700000000000000000\n", "x".repeat(2_000));
        assert!(!engine.ingest(line.as_bytes(), 1_700_000_000_000_000_000));
        if n % 1_000 == 0 {
            let line = format!("m,host=h{n} v=1 1700000000000000000\n");
            assert!(engine.ingest(line.as_bytes(), 1_700_000_000_000_000_000));
        }
    }
    for n in (0..flood).step_by(1_000) {
        let line = format!("m,host=h{n} v=2 1700000001000000000\n");
        assert!(engine.ingest(line.as_bytes(), 1_700_000_001_000_000_000));
    }
    assert_eq!(engine.series_count(), 40);
    assert_eq!(engine.counters().points, 80);
    // Once more, from the oldest to the newest: what was let go of is found to feed nothing again.
    for n in 0..flood {
        let line = format!("other,id={n},pad={} v=1 1700000000000000000\n", "x".repeat(2_000));
        assert!(!engine.ingest(line.as_bytes(), 1_700_000_000_000_000_000));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(line) = status.lines().find(|line| line.starts_with("VmHWM:")) {
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        // The heads of the flood alone are 80 MB.
        assert!(kib < 75_000, "{kib} KiB");
    }
}

#[test]
fn a_device_that_one_of_two_summaries_has_no_room_for_is_counted() {
    let summary = |name: &str, key: &str| {
        format!(
            "[[summary]]\nname = \"{name}\"\nkey = [\"{key}\"]\n[[summary.column]]\nname = \"n\"\nmethod = \"count\"\n\
             sources = [{{ measurement = \"m\", field = \"v\" }}]\n"
        )
    };
    let text = format!("[limits]\ndevices = 2\n{}{}", summary("a", "site"), summary("b", "host"));
    let config = Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let mut engine = Engine::new(config.schema);
    let at = 1_700_000_000_000_000_000;
    for host in ["x", "y", "z"] {
        assert!(engine.ingest(format!("m,site=s,host={host} v=1 {at}\n").as_bytes(), at));
    }
    assert_eq!(engine.counters().over_limit, 2);
    assert_eq!(engine.device_count(), 2);
}

/// A point that comes again with another value changes no number, and marks its window for a backfill.
#[test]
fn a_conflict_marks_its_window() {
    let config = Config::check(GOOD, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let mut engine = Engine::new(config.schema);
    let at = 1_700_000_000_000_000_000;
    let hour = 3_600_000_000_000;
    for (value, at) in [(1, at), (2, at + hour), (9, at), (9, at)] {
        assert!(engine.ingest(format!("m,host=h v={value} {at}\n").as_bytes(), at + 2 * hour));
    }
    assert_eq!((engine.counters().points, engine.counters().conflicts), (2, 2));
    let snapshot = engine.snapshot(DeviceIndex(0), at - at % hour).expect("the window");
    assert_eq!((snapshot.parts[0].partial.samples, snapshot.parts[0].partial.conflicts), (1, 2));
    let text = snapshot.parts[0].partial.to_json(&engine.schema().summaries[0]);
    assert!(text.contains("\"stale\":2"), "{text}");
    let other = engine.snapshot(DeviceIndex(0), at - at % hour + hour).expect("the window");
    assert_eq!(other.parts[0].partial.conflicts, 0);
}

/// Sixteen points of each field of a series are known again, however many series there are; older ones count, and are told.
#[test]
fn the_memory_of_duplicates_grows_with_the_series() {
    let column = |name: &str| {
        format!(
            "[[summary.column]]\nname = \"{name}\"\nmethod = \"max\"\n\
             sources = [{{ measurement = \"m\", field = \"{name}\" }}]\n"
        )
    };
    let head = "[limits]\ndedupe_points = 1000\n[[summary]]\nname = \"s\"\nkey = [\"host\"]\n";
    let config = Config::check(&format!("{head}{}{}", column("a"), column("b")), &|_| None);
    let mut engine = Engine::new(config.unwrap_or_else(|report| panic!("{report}")).schema);
    let (at, hosts) = (1_700_000_000_000_000_000, 400);
    let poll = |engine: &mut Engine, n: i64| {
        for host in 0..hosts {
            let line = format!("m,host=h{host} a={n},b=1 {}\n", at + n * 1_000_000_000);
            assert!(engine.ingest(line.as_bytes(), at + 60_000_000_000));
        }
    };
    (0..40).for_each(|n| poll(&mut engine, n));
    assert_eq!(engine.dedupe_capacity(), 16 * 2 * hosts);
    // The newest one is not in the memory.
    (23..40).for_each(|n| poll(&mut engine, n));
    let counters = engine.counters();
    assert_eq!((counters.points, counters.duplicates, counters.too_old_to_compare), (40 * 800, 17 * 800, 0));
    poll(&mut engine, 0);
    let counters = engine.counters();
    assert_eq!((counters.points, counters.too_old_to_compare), (41 * 800, 800));
}
