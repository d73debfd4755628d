//! Outages of the sink: what waits, and for how long.
//!
//! A process of its own, because it measures its memory.

#[path = "support/process.rs"]
mod process;
#[path = "sim/mod.rs"]
mod sim;
mod support;

use process::Process;
use sim::{chance, server::Server};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use support::servers::{Database, Kind};
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::driver::intake::taken::Taken;
use telegraf_rollup::durable::disk::Folder;
use telegraf_rollup::durable::journal::adopt::remove_before;
use telegraf_rollup::engine::schema::Schema;
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink;
use telegraf_rollup::sink::port::Sink;

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

/// One test at a time: memory is that of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const HOUR: i64 = 3_600_000_000_000;
const START: i64 = 1_699_999_200_000_000_000;

fn configured(sink: &str, summaries: &[&str]) -> Config {
    let mut text = format!("state_dir = \"/unused\"\n[lateness]\nmax = \"30d\"\n{sink}");
    for name in summaries {
        text.push_str(&format!(
            "[[summary]]\nname = \"{name}\"\nkey = [\"host\"]\n\
             [[summary.column]]\nname = \"a\"\nmethod = \"avg\"\nsources = [{{ measurement = \"{name}\", field = \"v\" }}]\n\
             [[summary.column]]\nname = \"b\"\nmethod = \"max\"\nsources = [{{ measurement = \"{name}\", field = \"v\" }}]\n"
        ));
    }
    Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

/// A process on a folder, whose devices send twice an hour.
struct Fleet<'f> {
    folder: &'f Path,
    schema: Arc<Schema>,
    devices: i64,
    process: Process,
}

impl Fleet<'_> {
    fn begin<'f>(folder: &'f Path, schema: &Arc<Schema>, devices: i64) -> Fleet<'f> {
        let process = Process::begin(folder, schema, chance::id);
        Fleet { folder, schema: schema.clone(), devices, process }
    }

    fn send(&self, hour: i64) {
        for minute in [10, 50] {
            let at = START + hour * HOUR + minute * HOUR / 60;
            let line = |name: &str, d: i64| format!("{name},host=h{d} v={} {at}\n", d + hour);
            let of = |name: &str| (0..self.devices).map(|d| line(name, d)).collect::<Vec<_>>();
            let lines: Vec<String> = self.schema.summaries.iter().flat_map(|summary| of(&summary.name)).collect();
            self.process.take(&lines, at);
        }
    }

    /// An hour of lines, a flush that fails, and a checkpoint.
    fn hour_without(&mut self, sink: &mut dyn Sink, hour: i64) {
        self.send(hour);
        let now = START + (hour + 1) * HOUR;
        assert!(self.process.flush(sink, now).is_err(), "the sink is away");
        let position = self.process.checkpoint(now);
        let disk = Folder::new(self.folder.join("journal"));
        remove_before(&disk, position).expect("removed");
        let windows = self.windows();
        assert!(windows <= 5 * self.devices as usize, "{windows} windows are in memory after {hour} hours");
    }

    fn windows(&self) -> usize {
        self.process.shared.with(|engine| engine.window_count()).expect("an engine")
    }

    fn flush(&mut self, sink: &mut dyn Sink, now: i64) {
        self.process.flush(sink, now).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn a_week_without_the_sink() {
    let _alone = alone();
    const DEVICES: i64 = 1_000;
    const HOURS: i64 = 7 * 24;
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let schema = configured("", &["s"]).schema;
    let mut fleet = Fleet::begin(folder.path(), &schema, DEVICES);
    let mut server = Server::default();
    chance::set_faults(chance::Faults { sink_away: true, ..Default::default() });
    let mut after_a_day = 0;
    for hour in 0..HOURS {
        fleet.hour_without(&mut server, hour);
        if hour == 24 {
            after_a_day = resident_kib();
        }
        if hour == 100 {
            // A restart takes no more of it to memory either.
            fleet = Fleet::begin(folder.path(), &schema, DEVICES);
            let windows = fleet.windows();
            assert!(windows <= 5 * DEVICES as usize, "{windows} windows are in memory after a restart");
        }
    }
    let (after_a_week, disk_bytes) = (resident_kib(), bytes_in(folder.path()));
    chance::set_faults(chance::Faults::default());
    let began = std::time::Instant::now();
    fleet.flush(&mut server, START + HOURS * HOUR + HOUR / 2);
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
    // A window is about 500 bytes, and all of them would be 80 MB.
    assert!(after_a_week < after_a_day + 40_000, "{after_a_day} KiB after a day, {after_a_week} KiB after a week");
    assert!(disk_bytes as i64 <= 1_000 * DEVICES * HOURS, "{disk_bytes} bytes");
}

/// A process that is cut off while it flushes leaves its journal: what is not in there has to be saved before.
#[test]
fn what_the_journal_does_not_have_is_saved_first() {
    let _alone = alone();
    let config = configured("", &["s"]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut fleet = Fleet::begin(folder.path(), &config.schema, 5);
    assert!(fleet.process.keeper.must_save(&fleet.process.shared), "the name of the state is not stored yet");
    fleet.process.checkpoint(START);
    fleet.send(0);
    assert!(!fleet.process.keeper.must_save(&fleet.process.shared));
    let line = format!("s,host=h1 v=7 {}\n", START + HOUR);
    assert!(matches!(fleet.process.shared.batch([line.as_bytes()].into_iter(), START + HOUR).0, Taken::Journal(..)));
    fleet.process.shared.mark_unjournaled([line.as_bytes()].into_iter(), START + HOUR);
    assert!(fleet.process.keeper.must_save(&fleet.process.shared), "a line was not written");
    fleet.process.checkpoint(START + HOUR);
    assert!(!fleet.process.keeper.must_save(&fleet.process.shared));

    // The next one on the same state has a name.
    drop(fleet);
    let mut fleet = Fleet::begin(folder.path(), &config.schema, 5);
    assert!(!fleet.process.keeper.must_save(&fleet.process.shared));
    // Nor is a line forgotten that came before there was an engine.
    let starting = Shared::starting(chance::id(), chance::id);
    starting.mark_unjournaled([line.as_bytes()].into_iter(), START + HOUR);
    assert!(fleet.process.keeper.must_save(&starting));
}

/// The server is stopped with rows of an hour in it, comes back a week later, and after that with an older backup.
#[test]
fn a_week_without_mysql() {
    let _alone = alone();
    const DEVICES: i64 = 100;
    const HOURS: i64 = 7 * 24;
    let Some(mut database) = Database::start(Kind::MySql) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = configured(&format!("[sink]\nurl = {:?}\ntls = \"off\"\n", database.default_url()), &["s"]);
    let mut sink = sink::open::open(&config.sink);
    let mut fleet = Fleet::begin(folder.path(), &config.schema, DEVICES);
    fleet.send(0);
    fleet.flush(&mut *sink, START + HOUR - 1);
    database.query("CREATE TABLE old_hourly AS SELECT * FROM s_hourly");
    database.query("CREATE TABLE old_partial AS SELECT * FROM s_hourly_partial");
    database.stop();
    for hour in 1..HOURS {
        fleet.hour_without(&mut *sink, hour);
        if hour == 100 {
            fleet = Fleet::begin(folder.path(), &config.schema, DEVICES);
        }
    }
    database.restart();
    let now = START + HOURS * HOUR + HOUR / 2;
    fleet.flush(&mut *sink, now);
    // Nothing is missing and nothing is there twice; each device has the values of each hour.
    let whole = || {
        let sums = "SELECT COUNT(*), SUM(samples), SUM(a), SUM(b) FROM s_hourly";
        let rows = database.query(sums).remove(0);
        let number = |text: &String| text.parse::<f64>().expect("a number") as i64;
        let values: i64 = (0..DEVICES).map(|device| HOURS * device + HOURS * (HOURS - 1) / 2).sum();
        assert_eq!(
            rows.iter().map(number).collect::<Vec<_>>(),
            [DEVICES * HOURS, 2 * DEVICES * HOURS, values, values],
            "{rows:?}"
        );
        assert_eq!(database.value("SELECT SUM(samples) FROM s_daily"), (2 * DEVICES * HOURS).to_string());
        assert_eq!(database.value("SELECT MAX(writers) FROM s_daily"), "1");
    };
    whole();
    // The backup from before the week: what is in memory is found missing, the rest is asked for.
    for (table, old) in [("s_hourly", "old_hourly"), ("s_hourly_partial", "old_partial")] {
        database.query(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {old}"));
    }
    database.query("DELETE FROM s_daily");
    fleet.process.keeper.resend(&fleet.process.shared, i64::MIN, now).expect("stored state can be read");
    fleet.flush(&mut *sink, now + HOUR / 60);
    whole();
}

/// What waits of a summary that was taken out of the configuration does not hide what waits of the others, and is written
/// when the summary is there again.
#[test]
fn windows_of_a_removed_summary_wait_apart() {
    let _alone = alone();
    const DEVICES: i64 = 100;
    const HOURS: i64 = 24;
    chance::start(2);
    let folder = tempfile::tempdir().expect("a folder");
    let both = configured("", &["gone", "kept"]).schema;
    let mut server = Server::default();
    chance::set_faults(chance::Faults { sink_away: true, ..Default::default() });
    let mut fleet = Fleet::begin(folder.path(), &both, DEVICES);
    for hour in 0..HOURS {
        fleet.send(hour);
        let now = START + (hour + 1) * HOUR;
        assert!(fleet.process.flush(&mut server, now).is_err(), "the sink is away");
        fleet.process.checkpoint(now);
    }
    chance::set_faults(chance::Faults::default());
    let now = START + HOURS * HOUR + HOUR / 2;
    let written = |server: &Server| server.puts().iter().filter(|(kind, _)| *kind == WindowKind::Hourly).count() as i64;
    let mut fleet = Fleet::begin(folder.path(), &configured("", &["kept"]).schema, DEVICES);
    fleet.flush(&mut server, now);
    assert_eq!(written(&server), DEVICES * HOURS);
    let mut fleet = Fleet::begin(folder.path(), &both, DEVICES);
    // The simulated server does not tell summaries apart.
    let mut server = Server::default();
    fleet.flush(&mut server, now + HOUR / 60);
    assert_eq!(written(&server), DEVICES * HOURS);
}
