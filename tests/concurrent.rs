//! What goes on while a flush waits for the sink, or while something else is at work: checkpoints, expiry, lines, damage.

#[path = "support/process.rs"]
mod process;
#[path = "sim/mod.rs"]
mod sim;

use process::{EVERYTHING, Process};
use sim::{chance, server::Server};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telegraf_rollup::config::Config;
use telegraf_rollup::driver::deliver::delivery::deliver;
use telegraf_rollup::driver::deliver::vault::{Vault, WindowPlace};
use telegraf_rollup::driver::flush::pass::FlushMemory;
use telegraf_rollup::driver::intake::journaling::Journaling;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::driver::intake::taken::Taken;
use telegraf_rollup::driver::owner::keeper::{Keeper, own_journal, own_position};
use telegraf_rollup::durable::disk::{Disk, Folder, Segment};
use telegraf_rollup::durable::journal::write::Journal;
use telegraf_rollup::durable::state::db::StateDb;
use telegraf_rollup::durable::state_error::StateError;
use telegraf_rollup::durable::store::{Meta, Store};
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::ids::DeviceId;
use telegraf_rollup::engine::persist::checkpoint::Slice;
use telegraf_rollup::engine::persist::stored::{News, Stored, StoredWindow};
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

const HOUR: i64 = 3_600_000_000_000;
/// 2023-11-14T22:00:00Z
const START: i64 = 1_699_999_200_000_000_000;

fn configured(max: &str, horizon: &str) -> Arc<Schema> {
    let text = format!(
        "state_dir = \"/unused\"\n[lateness]\nmax = \"{max}\"\n[missing]\nhorizon = \"{horizon}\"\n[[summary]]\n\
         name = \"s\"\nkey = [\"host\"]\n[[summary.column]]\nname = \"b\"\nmethod = \"max\"\n\
         sources = [{{ measurement = \"s\", field = \"v\" }}]\n"
    );
    Config::check(&text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema
}

/// One point of a host in the middle of an hour.
fn point(host: &str, hour: i64) -> String {
    format!("s,host={host} v=1 {}\n", START + hour * HOUR + HOUR / 2)
}

/// The samples of a host's row of an hour; `None` if there is no row.
fn samples(server: &Server, kind: WindowKind, host: &str, start: i64) -> Option<u64> {
    let rows = server.rows();
    let row = rows.iter().find(|(of, row)| *of == kind && row.key[0] == host && row.span.start == start);
    row.map(|(_, row)| row.summed.samples)
}

/// The rows of hours, with or without samples.
fn hourly(server: &Server, with_samples: bool) -> usize {
    let rows = server.rows();
    rows.iter().filter(|(kind, row)| *kind == WindowKind::Hourly && (row.summed.samples > 0) == with_samples).count()
}

/// A keeper that a flush and others use by turns.
#[derive(Clone)]
struct SharedVault(Rc<RefCell<Keeper>>);

impl Vault for SharedVault {
    fn writer(&self) -> Arc<str> {
        self.0.borrow().writer().clone()
    }

    fn secure(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.0.borrow_mut().secure(shared, now)
    }

    fn hydrate(&mut self, shared: &Shared, after: Option<WindowPlace>) -> Result<Option<WindowPlace>, StateError> {
        self.0.borrow_mut().hydrate(shared, after)
    }

    fn save(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.0.borrow_mut().save(shared, now)
    }
}

/// A server before whose first statement something happens, which may refuse partials, and whose answers may be old.
struct Odd<'f> {
    server: Server,
    first: Option<Box<dyn FnOnce() + 'f>>,
    refuses: fn(&PartialRecord) -> bool,
    /// Keys and revisions are answered without the partials of this hour.
    lacks: Option<i64>,
}

impl Odd<'_> {
    fn new(server: &Server) -> Odd<'_> {
        Odd { server: server.clone(), first: None, refuses: |_| false, lacks: None }
    }
}

impl Sink for Odd<'_> {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.server.prepare(schema)
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        if let Some(first) = self.first.take() {
            first();
        }
        let (refused, taken): (Vec<_>, Vec<_>) =
            records.iter().enumerate().partition(|(_, record)| (self.refuses)(record));
        let taken: Vec<PartialRecord> = taken.into_iter().map(|(_, record)| record.clone()).collect();
        self.server.put_partials(summary, &taken)?;
        Ok(refused.into_iter().map(|(index, _)| Refused { index, reason: "no".to_string() }).collect())
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        let is_bare = matches!(states, States::None);
        let mut found = self.server.read_partials(summary, ranges, states)?;
        found.retain(|f| !is_bare || Some(f.window_start) != self.lacks);
        Ok(found)
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        self.server.put_rows(summary, kind, rows, now)
    }

    fn purge(&mut self, summary: &Summary, kind: Option<WindowKind>, age: i64, now: i64) -> Result<u64, SinkError> {
        self.server.purge(summary, kind, age, now)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.server.inspect(schema)
    }
}

/// The checkpoint of another thread, between two slices of what waits.
#[test]
fn a_checkpoint_during_a_flush_forgets_nothing_that_waits() {
    const HOSTS: usize = 1_500;
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::begin(folder.path(), &configured("7d", "0s"), chance::id);
    let Process { shared, mut keeper, .. } = process;
    let take = |hour: i64| {
        let lines: Vec<String> = (0..HOSTS).map(|n| point(&format!("h{n}"), hour)).collect();
        for lines in lines.chunks(1_000) {
            let (taken, _) = shared.batch(lines.iter().map(|line| line.as_bytes()), START + hour * HOUR + HOUR / 2);
            let Taken::Journal(journaling, frame) = taken else { panic!("every line matches") };
            assert!(journaling.append(frame));
        }
    };
    for hour in 0..8 {
        take(hour);
        keeper.checkpoint(&shared, START + (hour + 1) * HOUR).expect("saved");
    }
    take(8);
    let now = START + 9 * HOUR;
    let mut vault = SharedVault(Rc::new(RefCell::new(keeper)));
    let server = Server::default();
    let mut sink = Odd::new(&server);
    let (other, engine) = (vault.clone(), shared.clone());
    sink.first = Some(Box::new(move || {
        other.0.borrow_mut().checkpoint(&engine, now).expect("saved");
    }));
    let mut memory = FlushMemory::default();
    deliver(&mut vault, &shared, &mut sink, &mut memory, now, EVERYTHING).expect("written");
    assert_eq!(hourly(&server, true), 9 * HOSTS);
}

/// A window that the sink refuses for days is not forgotten before somebody has corrected the table.
#[test]
fn expiry_spares_what_was_refused() {
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::begin(folder.path(), &configured("2d", "3h"), chance::id);
    let server = Server::default();
    let mut sink = Odd::new(&server);
    sink.refuses = |record| record.key[0] == "h0" && record.window_start == START;
    for hour in 0..24 * 8 {
        let mut lines = vec![point("h1", hour)];
        lines.extend((hour < 12).then(|| point("h0", hour)));
        process.take(&lines, START + hour * HOUR + HOUR / 2);
        let now = START + (hour + 1) * HOUR;
        process.flush(&mut sink, now).expect("written");
        process.checkpoint(now);
    }
    assert_eq!(samples(&server, WindowKind::Hourly, "h0", START), None);
    sink.refuses = |_| false;
    let now = START + 24 * 8 * HOUR + 1;
    process.keeper.resend(&process.shared, i64::MIN, now).expect("changed");
    process.memory.quarantine.release();
    process.flush(&mut sink, now).expect("written");
    assert_eq!(samples(&server, WindowKind::Hourly, "h0", START), Some(1));
}

/// Rows without a sample are due although the sink was away until after `lateness.max`.
#[test]
fn expiry_waits_for_the_rows_of_gaps() {
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::begin(folder.path(), &configured("7d", "7d"), chance::id);
    let mut server = Server::default();
    let is_away = |is: bool| chance::set_faults(chance::Faults { sink_away: is, ..Default::default() });
    for hour in 0..24 * 9 {
        let mut lines = vec![point("h1", hour)];
        lines.extend((hour < 5).then(|| point("h0", hour)));
        process.take(&lines, START + hour * HOUR + HOUR / 2);
        is_away(hour >= 30);
        assert_eq!(process.flush(&mut server, START + (hour + 1) * HOUR).is_err(), hour >= 30);
        process.checkpoint(START + (hour + 1) * HOUR);
    }
    is_away(false);
    for n in 0..3 {
        let now = START + (24 * 9 + n) * HOUR + HOUR / 2;
        process.flush(&mut server, now).expect("written");
        process.checkpoint(now);
    }
    // A week of gaps, but for the hours of the end that are not over.
    let empty = hourly(&server, false);
    assert!(empty > 160, "{empty} rows without a sample");
}

/// A day's row is not made of an answer that lacks what the same flush has written: a proxy may have asked a replica.
#[test]
fn a_day_is_not_made_of_an_answer_that_is_too_old() {
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::begin(folder.path(), &configured("7d", "0s"), chance::id);
    let server = Server::default();
    let mut sink = Odd::new(&server);
    // 2023-11-15T00:00:00Z, and the hours behind it.
    let day = START + 2 * HOUR;
    for hour in 2..5 {
        process.take(&[point("h", hour)], START + hour * HOUR + HOUR / 2);
        process.flush(&mut sink, START + (hour + 1) * HOUR).expect("written");
        assert_eq!(samples(&server, WindowKind::Daily, "h", day), Some(hour as u64 - 1));
    }
    process.take(&[point("h", 5)], START + 5 * HOUR + HOUR / 2);
    sink.lacks = Some(START + 5 * HOUR);
    process.flush(&mut sink, START + 6 * HOUR).expect("the hour is written");
    let row = |kind| server.rows().into_iter().find(|(of, row)| *of == kind && row.span.end > START + 5 * HOUR);
    assert!(row(WindowKind::Hourly).is_some());
    let rows = server.puts().len();
    assert_eq!(samples(&server, WindowKind::Daily, "h", day), Some(3), "it is not written without the newest hour");
    sink.lacks = None;
    process.flush(&mut sink, START + 6 * HOUR + 1).expect("written");
    assert_eq!(samples(&server, WindowKind::Daily, "h", day), Some(4), "it has stayed due");
    assert_eq!(server.puts().len(), rows, "nothing else was");
}

/// The stored state, whose next commit panics behind its first slice (1), or of which a page is broken (2).
struct Bad {
    state: StateDb,
    fault: Arc<AtomicU32>,
}

impl Bad {
    fn has(&self, fault: u32) -> bool {
        self.fault.load(Ordering::Relaxed) == fault
    }
}

impl Store for Bad {
    fn load(&mut self, schema: &Schema) -> Result<Option<(Meta, Stored)>, StateError> {
        self.state.load(schema)
    }

    fn window(&mut self, schema: &Schema, device: DeviceId, at: i64) -> Result<Option<StoredWindow>, StateError> {
        self.state.window(schema, device, at)
    }

    fn windows_before(
        &mut self,
        schema: &Schema,
        device: DeviceId,
        start: i64,
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError> {
        self.state.windows_before(schema, device, start, count)
    }

    fn waiting(
        &mut self,
        schema: &Schema,
        after: (DeviceId, i64),
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError> {
        if self.has(2) {
            return Err(StateError::value("a page", "broken"));
        }
        self.state.waiting(schema, after, count)
    }

    fn resend(&mut self, from: i64) -> Result<u64, StateError> {
        self.state.resend(from)
    }

    fn open_devices(&mut self) -> Result<HashSet<DeviceId>, StateError> {
        self.state.open_devices()
    }

    fn begin_anew(&mut self) -> Result<Vec<String>, StateError> {
        self.fault.store(0, Ordering::Relaxed);
        self.state.begin_anew()
    }

    fn commit(
        &mut self,
        schema: &Schema,
        meta: &Meta,
        news: &News,
        next: &mut dyn FnMut() -> Slice,
        purge_before: i64,
    ) -> Result<bool, StateError> {
        let panics = self.has(1);
        let mut slices = 0;
        let mut next = || {
            slices += 1;
            if panics && slices == 2 {
                self.fault.store(0, Ordering::Relaxed);
                panic!("in the middle of a checkpoint");
            }
            next()
        };
        self.state.commit(schema, meta, news, &mut next, purge_before)
    }
}

/// A process whose stored state fails as it is told.
fn bad(folder: &Path, schema: &Arc<Schema>) -> (Process, Arc<AtomicU32>) {
    let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.join("journal")));
    let (state, _) = StateDb::open(folder).expect("a folder");
    let fault = Arc::new(AtomicU32::new(0));
    let store = Bad { state, fault: fault.clone() };
    (Process::begin_on(disk, Box::new(store), schema, chance::id), fault)
}

#[test]
fn a_checkpoint_that_panics_is_taken_again_in_full() {
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let schema = configured("7d", "0s");
    let (mut process, fault) = bad(folder.path(), &schema);
    for hour in 0..2 {
        let lines: Vec<String> = (0..1_500).map(|n| point(&format!("h{n}"), hour)).collect();
        lines.chunks(1_000).for_each(|lines| process.take(lines, START + hour * HOUR + HOUR / 2));
    }
    let now = START + HOUR + HOUR * 3 / 4;
    process.checkpoint(now);
    // Two windows of a device that is saved late, and a new series.
    let more = [format!("s,host=h1400 v=99 {}\n", START + 5), format!("s,host=h1400,x=1 v=77 {}\n", START + HOUR + 5)];
    process.take(&more, now);
    fault.store(1, Ordering::Relaxed);
    let panicking = AssertUnwindSafe(|| drop(process.keeper.checkpoint(&process.shared, now)));
    assert!(catch_unwind(panicking).is_err());
    // As the owner does after an action that has panicked.
    process.shared.with(|engine| engine.save_all());
    // Only one of the two windows is touched again.
    process.take(&[format!("s,host=h1400 v=5 {}\n", START + HOUR + 9)], now + 1);
    let position = process.checkpoint(now + 2);
    assert!(position > 0);
    drop(process);
    // Of the journal nothing is left that the checkpoint covers.
    let disk = Folder::new(folder.path().join("journal"));
    telegraf_rollup::durable::journal::adopt::remove_before(&disk, position).expect("removed");
    let mut process = Process::begin(folder.path(), &schema, chance::id);
    let mut server = Server::default();
    process.flush(&mut server, now + 3).expect("written");
    assert_eq!(samples(&server, WindowKind::Hourly, "h1400", START), Some(2));
    assert_eq!(samples(&server, WindowKind::Hourly, "h1400", START + HOUR), Some(3));
}

#[test]
fn a_page_that_breaks_while_running_stops_nothing_for_good() {
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut process, fault) = bad(folder.path(), &configured("7d", "0s"));
    for hour in 0..8 {
        process.take(&[point("h0", hour)], START + hour * HOUR + HOUR / 2);
        process.checkpoint(START + (hour + 1) * HOUR);
    }
    fault.store(2, Ordering::Relaxed);
    let mut server = Server::default();
    let now = START + 9 * HOUR;
    assert!(process.flush(&mut server, now).is_err(), "what waited is in the broken state");
    assert!(aside(folder.path()), "it is set aside");
    process.take(&[point("h0", 9)], START + 9 * HOUR + HOUR / 2);
    process.flush(&mut server, START + 10 * HOUR).expect("written");
    process.checkpoint(START + 10 * HOUR);
    assert_eq!(samples(&server, WindowKind::Hourly, "h0", START + 9 * HOUR), Some(1));
}

/// True if a file of a folder is one that was set aside.
fn aside(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("aside"))
}

/// A folder whose next renaming waits: it says that it has begun, and goes on when it is told.
struct Waiting {
    folder: Folder,
    gate: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Disk for Waiting {
    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.folder.bytes()
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        self.folder.read(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Segment>> {
        self.folder.create(name)
    }

    fn reuse(&self, from: &str, to: &str) -> io::Result<Arc<dyn Segment>> {
        self.folder.reuse(from, to)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.folder.sync(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let gate = self.gate.lock().expect("nobody panics").take();
        if let Some((begun, go_on)) = gate {
            begun.send(()).expect("somebody waits for it");
            go_on.recv().expect("somebody says so");
        }
        self.folder.rename(from, to)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.folder.sync_names()
    }
}

/// The engine is switched on, and the disk is stuck in the renaming of the guest's file: lines are taken meanwhile.
#[test]
fn a_disk_that_is_stuck_in_a_renaming_does_not_hold_the_engine() {
    /// So long that only what hangs needs it.
    const HANGS: Duration = Duration::from_secs(60);
    chance::start(1);
    let folder = tempfile::tempdir().expect("a folder");
    let schema = configured("7d", "0s");
    let (begun, has_begun) = channel();
    let (go_on, told) = channel();
    let gate = Mutex::new(Some((begun, told)));
    let disk: Arc<dyn Disk> = Arc::new(Waiting { folder: Folder::new(folder.path().join("journal")), gate });
    let run = chance::id();
    let shared = Arc::new(Shared::starting(run, chance::id));
    let journaling = Journaling::new(Journal::guest(disk.clone(), run, || Ok(())));
    shared.configured(Engine::new(schema.clone()), Some(journaling));
    let now = START + HOUR / 2;
    let batch = |shared: &Shared| {
        let line = point("h", 0);
        match shared.batch([line.as_bytes()].into_iter(), now).0 {
            Taken::Journal(journaling, frame) => Some((journaling, frame)),
            _ => None,
        }
    };
    // The guest's file has a line, and so is renamed.
    let (journaling, frame) = batch(&shared).expect("it matches");
    assert!(journaling.append(frame));
    let (store, _) = StateDb::open(folder.path()).expect("a folder");
    let opened = Keeper::open(Box::new(store), disk.clone(), &schema, &[], run, "w".to_string()).expect("a state");
    let (engine, recovered) = (opened.engine, opened.journal);
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            shared.start(
                engine,
                |held| own_position(held, &recovered),
                |held| drop(own_journal(held, &disk, run, &recovered, 1 << 20)),
            );
        });
        has_begun.recv_timeout(HANGS).expect("the file is renamed");
        let (answer, answered) = channel();
        let stream = shared.clone();
        scope.spawn(move || {
            let _ = answer.send(batch(&stream).is_some());
        });
        let taken = answered.recv_timeout(HANGS);
        go_on.send(()).expect("it waits");
        assert_eq!(taken, Ok(true), "the line waits for the disk");
        starting.join().expect("it does not panic");
    });
    assert_eq!(shared.with(|engine| engine.device_count()), Some(1));
}
