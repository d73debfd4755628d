//! Recovery: stored state, plus the journal behind its position, through the same engine.

use super::disk::Disk;
use super::journal::adopt;
use super::journal::read::{self, Recovered};
use super::state_error::StateError;
use super::store::{Meta, Store};
use crate::engine::Engine;
use crate::engine::line::frame::Framer;
use crate::engine::persist::stored::{Stored, StoredWindow};
use crate::engine::schema::Schema;
use std::sync::Arc;

/// What a recovery gave.
pub struct Restored {
    pub engine: Engine,
    /// `None` if there was no state: the first start.
    pub meta: Option<Meta>,
    pub journal: Recovered,
}

/// Restores an engine. `abandoned` are files of guests that are gone: they become the end of the journal.
///
/// # Errors
/// The state or the journal cannot be read; nothing was changed but the names of adopted files.
pub fn recover(
    schema: &Arc<Schema>,
    store: &mut dyn Store,
    disk: &dyn Disk,
    abandoned: &[String],
) -> Result<Restored, StateError> {
    let loaded = store.load(schema)?;
    let (meta, stored) = loaded.map_or_else(|| (None, Stored::default()), |(meta, stored)| (Some(meta), stored));
    let mut engine = Engine::restore(schema.clone(), stored);
    complete(&mut engine, schema, store)?;
    let from = meta.as_ref().map_or(0, |m| m.position);
    let unreadable = |error: std::io::Error| StateError::Io { what: "the journal cannot be read", error };
    let absorbed = meta.as_ref().map(|meta| meta.absorbed.as_slice()).unwrap_or_default();
    let abandoned: Vec<_> = abandoned.iter().filter(|name| !absorbed.contains(name)).collect();
    adopt(disk, from, &abandoned).map_err(unreadable)?;
    let journal = read::read(disk, from, |frame| {
        engine.begin_run(&run_name(frame.run));
        let mut framer = Framer::default();
        let mut rest = frame.lines;
        while let Some(length) = framer.line(rest) {
            engine.ingest(&rest[..length], frame.received);
            rest = &rest[length..];
        }
    })
    .map_err(unreadable)?;
    adopt::remove_from(disk, journal.position)
        .map_err(|error| StateError::Io { what: "an empty file of the journal cannot be removed", error })?;
    complete(&mut engine, schema, store)?;
    Ok(Restored { engine, meta, journal })
}

/// The name of a run in the engine and in the sink.
pub fn run_name(run: u128) -> String {
    format!("{run:032x}")
}

/// Looks up every window of which stored state may hold more.
fn complete(engine: &mut Engine, schema: &Schema, store: &mut dyn Store) -> Result<(), StateError> {
    loop {
        let mut incomplete = Vec::new();
        engine.incomplete(0, engine.device_count(), &mut incomplete);
        if incomplete.is_empty() {
            return Ok(());
        }
        for window in incomplete {
            let stored: Option<StoredWindow> = store.window(schema, window.id, window.at)?;
            engine.complete(window.device, window.start, stored);
        }
    }
}

/// Makes the files of guests that are gone part of the journal, in the order of their first lines.
fn adopt(disk: &dyn Disk, from: u64, abandoned: &[&String]) -> std::io::Result<()> {
    let mut guests = Vec::new();
    for name in abandoned {
        let first = read::first_received(disk, name)?;
        guests.push((first, name));
    }
    guests.sort();
    for (_, name) in guests {
        let end = read::read(disk, from, |_| ())?.position;
        adopt::adopt(disk, name, end)?;
    }
    Ok(())
}
