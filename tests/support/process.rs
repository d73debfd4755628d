//! One process in the memory of a test: the shared engine, the keeper, and what flushes leave for each other.
// Each test binary compiles its own copy of this module and uses a part of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use telegraf_rollup::driver::deliver::delivery::{DeliveryError, deliver};
use telegraf_rollup::driver::flush::pass::{self, FlushMemory, Flushed, Scope};
use telegraf_rollup::driver::intake::journaling::Journaling;
use telegraf_rollup::driver::intake::shared::Shared;
use telegraf_rollup::driver::intake::taken::Taken;
use telegraf_rollup::driver::owner::keeper::{Keeper, own_journal, own_position};
use telegraf_rollup::durable::disk::{Disk, Folder};
use telegraf_rollup::durable::journal::write::Journal;
use telegraf_rollup::durable::state::db::StateDb;
use telegraf_rollup::durable::store::Store;
use telegraf_rollup::engine::Engine;
use telegraf_rollup::engine::schema::Schema;
use telegraf_rollup::sink::port::{Sink, SinkError};

/// All that is due, rows of running days among it.
pub const EVERYTHING: Scope = Scope::Everything { running: true };

/// A process that owns the state in a folder.
pub struct Process {
    pub shared: Arc<Shared>,
    pub keeper: Keeper,
    pub memory: FlushMemory,
}

impl Process {
    /// Starts a process on a folder, as the owner of the state there. `runs` makes names.
    pub fn begin(folder: &Path, schema: &Arc<Schema>, runs: fn() -> u128) -> Process {
        let disk: Arc<dyn Disk> = Arc::new(Folder::new(folder.join("journal")));
        let (store, aside) = StateDb::open(folder).expect("a folder");
        assert!(aside.is_none());
        Process::begin_on(disk, Box::new(store), schema, runs)
    }

    /// Starts a process on a journal's folder and stored state.
    pub fn begin_on(disk: Arc<dyn Disk>, store: Box<dyn Store>, schema: &Arc<Schema>, runs: fn() -> u128) -> Process {
        let run = runs();
        let shared = Arc::new(Shared::starting(run, runs));
        let journaling = Journaling::new(Journal::guest(disk.clone(), run, || Ok(())));
        shared.configured(Engine::new(schema.clone()), Some(journaling));
        let opened = Keeper::open(store, disk.clone(), schema, &[], run, format!("{run:x}")).expect("a state");
        let (mut keeper, recovered) = (opened.keeper, opened.journal);
        let mut file = None;
        shared.start(
            opened.engine,
            |held| own_position(held, &recovered),
            |held| file = Some(own_journal(held, &disk, run, &recovered, 1 << 30)),
        );
        keeper.absorb(file.expect("it journals"));
        Process { shared, keeper, memory: FlushMemory::default() }
    }

    /// Takes lines that arrive at `now`, all of which match, and journals them.
    pub fn take(&self, lines: &[String], now: i64) {
        let (taken, _) = self.shared.batch(lines.iter().map(|line| line.as_bytes()), now);
        let Taken::Journal(journaling, frame) = taken else { panic!("every line matches") };
        assert!(journaling.append(frame));
    }

    /// Flushes as the process does.
    pub fn flush(&mut self, sink: &mut dyn Sink, now: i64) -> Result<Flushed, DeliveryError> {
        deliver(&mut self.keeper, &self.shared, sink, &mut self.memory, now, EVERYTHING)
    }

    /// Saves the state; the position before which the journal may be removed.
    pub fn checkpoint(&mut self, now: i64) -> u64 {
        self.keeper.checkpoint(&self.shared, now).expect("saved").expect("a position")
    }
}

/// Flushes an engine without stored state, and leaves the sink connected.
pub fn flush(
    engine: &Shared,
    sink: &mut dyn Sink,
    memory: &mut FlushMemory,
    writer: &str,
    now: i64,
    scope: Scope,
) -> Result<Flushed, SinkError> {
    let schema = engine.with(|engine| engine.schema().clone()).expect("an engine");
    sink.prepare(&schema)?;
    pass::flush(engine, sink, memory, writer, now, scope)
}
