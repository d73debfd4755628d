//! Outages of the sink: what waits, and for how long.
//!
//! A process of its own, because it measures its memory.

#[path = "sim/mod.rs"]
mod sim;

use sim::{chance, server::Server};
use std::sync::Arc;
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::ingest::Taken;
use telegraf_rollup::driver::journaling::Journaling;
use telegraf_rollup::driver::keeper::{Keeper, own_journal};
use telegraf_rollup::driver::shared::Shared;
use telegraf_rollup::durable::disk::{Disk, Folder};
use telegraf_rollup::durable::journal::{Journal, remove_before};
use telegraf_rollup::durable::state::StateDb;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::schema::Schema;
use telegraf_rollup::engine::zone::WindowKind;

/// Resident memory of this process in KiB; 0 where it is not known.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Bytes of all files in a folder.
fn bytes_in(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry"))
        .map(
            |entry| {
                if entry.path().is_dir() { bytes_in(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) }
            },
        )
        .sum()
}

/// Starts a process on a folder, as the owner of the state there.
fn begin(folder: &std::path::Path, schema: &Arc<Schema>) -> (Shared, Keeper) {
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.join("journal")));
    let run = chance::id();
    let shared = Shared::starting(run, chance::id);
    let journaling = Journaling::new(Journal::guest(disk.clone(), run));
    shared.configured(Engine::new(schema.clone()), Some(journaling));
    let (store, aside) = StateDb::open(folder, 0).expect("a folder");
    assert_eq!(aside, None);
    let opened = Keeper::open(Box::new(store), disk.clone(), schema, &[], run, format!("{run:x}")).expect("a state");
    let mut keeper = opened.keeper;
    shared.start(opened.engine, |held| {
        let (position, guest) = own_journal(held, &disk, run, &opened.journal, 1 << 30);
        keeper.absorb(guest);
        position
    });
    (shared, keeper)
}

#[test]
fn a_week_without_the_sink() {
    const DEVICES: i64 = 1_000;
    const HOURS: i64 = 7 * 24;
    const HOUR: i64 = 3_600_000_000_000;
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let config = "state_dir = \"unused\"\n[lateness]\nmax = \"30d\"\n[[summary]]\nname = \"s\"\nkey = [\"host\"]\n\
        [[summary.column]]\nname = \"a\"\nmethod = \"avg\"\nsources = [{ measurement = \"m\", field = \"v\" }]\n\
        [[summary.column]]\nname = \"b\"\nmethod = \"max\"\nsources = [{ measurement = \"m\", field = \"v\" }]\n";
    let schema = Config::check(config, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
    let begin = || begin(folder.path(), &schema);
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.path().join("journal")));
    let (mut shared, mut keeper) = begin();
    let mut server = Server::default();
    chance::set_faults(chance::Faults { sink_away: true, ..Default::default() });
    let start = 1_699_999_200_000_000_000;
    let mut after_a_day = 0;
    for hour in 0..HOURS {
        for minute in [10, 50] {
            let at = start + hour * HOUR + minute * HOUR / 60;
            let lines: Vec<String> = (0..DEVICES).map(|d| format!("m,host=h{d} v={} {at}\n", d + hour)).collect();
            let (taken, _) = shared.batch(lines.iter().map(|line| line.as_bytes()), at);
            let Taken::Journal(journaling, frame) = taken else { panic!("every line matches") };
            assert!(journaling.append(frame));
        }
        let now = start + (hour + 1) * HOUR;
        assert!(keeper.flush(&shared, &mut server, now, true).is_err(), "the sink is away");
        let position = keeper.checkpoint(&shared, now).expect("saved").expect("a position");
        remove_before(&*disk, position).expect("removed");
        let windows = shared.with(|engine| engine.window_count()).expect("an engine");
        assert!(windows <= 5 * DEVICES as usize, "{windows} windows are in memory after {hour} hours");
        if hour == 24 {
            after_a_day = resident_kib();
        }
        if hour == 100 {
            // A restart takes no more of it to memory either.
            (shared, keeper) = begin();
            let windows = shared.with(|engine| engine.window_count()).expect("an engine");
            assert!(windows <= 5 * DEVICES as usize, "{windows} windows are in memory after a restart");
        }
    }
    let (after_a_week, disk_bytes) = (resident_kib(), bytes_in(folder.path()));
    chance::set_faults(chance::Faults::default());
    let now = start + HOURS * HOUR + HOUR / 2;
    let began = std::time::Instant::now();
    keeper.flush(&shared, &mut server, now, true).expect("the sink is back");
    let took = began.elapsed();
    let puts = server.puts();
    let hourly: Vec<u32> = puts.iter().filter(|(kind, _)| *kind == WindowKind::Hourly).map(|(_, n)| *n).collect();
    assert_eq!(hourly.len() as i64, DEVICES * HOURS);
    let twice = server.twice();
    assert!(twice.is_empty(), "one write for each device and window: {} {:?}", twice.len(), twice.first());
    assert!(puts.iter().all(|(_, n)| *n == 1), "and for each day");
    println!(
        "memory {after_a_day} KiB after a day, {after_a_week} KiB after a week; {} bytes of disk for each device and hour; \
         {} hourly rows in {took:?}",
        disk_bytes as i64 / (DEVICES * HOURS),
        hourly.len()
    );
    // Other tests run in this process: a window is about 500 bytes, and all of them would be 80 MB.
    assert!(after_a_week < after_a_day + 40_000, "{after_a_day} KiB after a day, {after_a_week} KiB after a week");
    assert!(disk_bytes as i64 <= 1_000 * DEVICES * HOURS, "{disk_bytes} bytes");
}
