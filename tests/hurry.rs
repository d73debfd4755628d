//! A flush that has little time: what is written first, and what waits for the next one.

#[path = "support/process.rs"]
mod process;

use telegraf_rollup::config::Config;
use telegraf_rollup::driver::flush::pass::{FlushMemory, Flushed, Scope};
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::schema::{Schema, Summary};
use telegraf_rollup::engine::zone::WindowKind;
use telegraf_rollup::sink::memory::MemorySink;
use telegraf_rollup::sink::port::{
    FoundPartial, PartialRange, PartialRecord, Refused, RowRecord, Sink, SinkError, States, TableInfo,
};

const HOUR: i64 = 3_600_000_000_000;
/// 2024-03-05T10:00:00Z
const TEN: i64 = 1_709_632_800_000_000_000;

/// A sink that fails after so many batches of rows.
struct Tired {
    rows: MemorySink,
    batches: usize,
}

impl Sink for Tired {
    fn prepare(&mut self, schema: &Schema) -> Result<(), SinkError> {
        self.rows.prepare(schema)
    }

    fn put_partials(&mut self, summary: &Summary, records: &[PartialRecord]) -> Result<Vec<Refused>, SinkError> {
        self.rows.put_partials(summary, records)
    }

    fn read_partials(
        &mut self,
        summary: &Summary,
        ranges: &[PartialRange],
        states: States<'_>,
    ) -> Result<Vec<FoundPartial>, SinkError> {
        self.rows.read_partials(summary, ranges, states)
    }

    fn put_rows(
        &mut self,
        summary: &Summary,
        kind: WindowKind,
        rows: &[RowRecord],
        now: i64,
    ) -> Result<Vec<Refused>, SinkError> {
        if self.batches == 0 {
            return Err(SinkError::Temporary("no time left".to_string()));
        }
        self.batches -= 1;
        self.rows.put_rows(summary, kind, rows, now)
    }

    fn purge(&mut self, _: &Summary, _: Option<WindowKind>, _: i64, _: i64) -> Result<u64, SinkError> {
        Ok(0)
    }

    fn disconnect(&mut self) {}

    fn inspect(&mut self, schema: &Schema) -> Result<Vec<TableInfo>, SinkError> {
        self.rows.inspect(schema)
    }
}

struct World {
    engine: Shared,
    memory: FlushMemory,
    sink: Tired,
    summary: Summary,
}

impl World {
    /// Devices with one point each, an hour after midnight or later.
    fn new(devices: usize) -> World {
        let text = "state_dir = \"/unused\"\ntimezone = \"UTC\"\n[lateness]\nmax = \"forever\"\n[[summary]]\nname = \"s\"\n\
                    key = [\"host\"]\n[[summary.column]]\nname = \"v\"\nmethod = \"sum\"\n\
                    sources = [{ measurement = \"m\", field = \"v\" }]\n";
        let schema = Config::check(text, &|_| None).unwrap_or_else(|report| panic!("{report}")).schema;
        let summary = schema.summaries[0].clone();
        let mut engine = Engine::new(schema);
        // Not in order of key: a flush sorts them.
        for device in (0..devices).rev() {
            let line = format!("m,host=h{device:06} v=1 {TEN}\n");
            assert!(engine.ingest(line.as_bytes(), TEN));
        }
        let sink = Tired { rows: MemorySink::default(), batches: usize::MAX };
        World { engine: Shared::new(engine), memory: FlushMemory::default(), sink, summary }
    }

    fn flush(&mut self, now: i64, scope: Scope) -> Result<Flushed, SinkError> {
        process::flush(&self.engine, &mut self.sink, &mut self.memory, "w", now, scope)
    }

    fn rows(&self, kind: WindowKind) -> Vec<RowRecord> {
        self.sink.rows.table(&self.summary, kind)
    }

    /// MemorySink without a sample, and rows with one.
    fn counts(&self, kind: WindowKind) -> (usize, usize) {
        let rows = self.rows(kind);
        let with = rows.iter().filter(|row| row.summed.samples > 0).count();
        (rows.len() - with, with)
    }
}

/// A flush that is cut off leaves hours and days of the first devices, not hours of all and days of none.
#[test]
fn rows_of_days_do_not_wait_for_all_hours() {
    let mut world = World::new(2_500);
    // A group of a thousand devices: one batch of hours, four of days.
    world.sink.batches = 5 + 1;
    world.flush(TEN, Scope::Last).expect_err("no time left");
    assert_eq!(world.counts(WindowKind::Hourly), (0, 2_000));
    assert_eq!(world.counts(WindowKind::Daily), (0, 1_000));
    let keys = |kind| world.rows(kind).iter().map(|row| row.key[0].clone()).collect::<Vec<_>>();
    let first: Vec<_> = (0..1_000).map(|device| format!("h{device:06}")).collect();
    assert_eq!(keys(WindowKind::Daily), first, "in order of key");
    assert_eq!(keys(WindowKind::Hourly)[..1_000], first[..]);
    world.sink.batches = usize::MAX;
    let flushed = world.flush(TEN, Scope::Last).expect("written");
    assert_eq!((flushed.hourly, flushed.daily), (500, 1_500), "what was acknowledged is not written again");
    assert_eq!(world.counts(WindowKind::Daily), (0, 2_500));
}

/// Hundreds of devices that have been silent for a week: their windows without a sample hold up neither the end of the
/// process nor rows with samples, and are written after the next start.
#[test]
fn rows_without_a_sample_come_last_and_not_all_when_the_process_ends() {
    const DEVICES: usize = 300;
    let now = TEN + 8 * 24 * HOUR;
    let mut world = World::new(DEVICES);
    world.flush(now, Scope::Last).expect("written");
    let (empty, with) = world.counts(WindowKind::Hourly);
    assert_eq!((empty, with), (20_000, DEVICES));
    let (_, with) = world.counts(WindowKind::Daily);
    assert_eq!(with, DEVICES);
    world.flush(now, Scope::Everything { running: true }).expect("written");
    // Those that start within seven days of the sample, which is at the start of its window.
    assert_eq!(world.counts(WindowKind::Hourly), (DEVICES * (7 * 24 - 1), DEVICES));
    world.flush(now, Scope::Everything { running: true }).expect("written");

    let mut at_once = World::new(DEVICES);
    at_once.flush(now, Scope::Everything { running: true }).expect("written");
    for kind in [WindowKind::Hourly, WindowKind::Daily] {
        assert!(world.rows(kind) == at_once.rows(kind), "{kind:?}: two flushes give what one gives");
    }
}
