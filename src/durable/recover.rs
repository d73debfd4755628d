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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Devices that are looked at in one go.
const DEVICES_A_SLICE: usize = 10_000;

/// Lines that are named when they had to be left out.
pub const SKIPPED_NAMED_MAX: usize = 100;

/// The outcome of a recovery.
pub struct Restored {
    pub engine: Engine,
    /// `None` if there was no state: the first start.
    pub meta: Option<Meta>,
    pub journal: Recovered,
    /// Lines on which the engine has panicked: they were left out. The first [`SKIPPED_NAMED_MAX`] of them, and how many more.
    pub skipped: Vec<Vec<u8>>,
    pub skipped_more: u64,
}

/// Restores an engine. `abandoned` are files of guests that are gone: they become the end of the journal. `take` feeds a line.
///
/// # Errors
/// The state or the journal cannot be read; nothing was changed but the names of adopted files.
pub fn recover(
    schema: &Arc<Schema>,
    store: &mut dyn Store,
    disk: &dyn Disk,
    abandoned: &[String],
    take: impl Fn(&mut Engine, &[u8], i64) -> bool,
) -> Result<Restored, StateError> {
    let loaded = store.load(schema)?;
    let (meta, stored) = loaded.map_or_else(|| (None, Stored::default()), |(meta, stored)| (Some(meta), stored));
    let mut engine = Engine::restore(schema.clone(), stored);
    complete(&mut engine, schema, store)?;
    let unreadable = |error: std::io::Error| StateError::Io { what: "the journal cannot be read", error };
    // Without a state, all that the journal holds is behind it.
    let from = match &meta {
        Some(meta) => meta.position,
        None => read::first_position(disk).map_err(unreadable)?.unwrap_or(0),
    };
    let absorbed = meta.as_ref().map(|meta| meta.absorbed.as_slice()).unwrap_or_default();
    let abandoned: Vec<_> = abandoned.iter().filter(|name| !absorbed.contains(name)).collect();
    adopt(disk, from, &abandoned).map_err(unreadable)?;
    let (mut skipped, mut skipped_more) = (Vec::new(), 0);
    let journal = read::read(disk, from, |frame| {
        engine.begin_run(&run_name(frame.run));
        let mut framer = Framer::default();
        let mut rest = frame.lines;
        let mut line: &[u8] = &[];
        // The stream has gone on behind a line on which the engine panicked: so does recovery, or it would never end.
        loop {
            let left = rest.len();
            let work = || {
                while let Some(length) = framer.line(rest) {
                    (line, rest) = rest.split_at(length);
                    take(&mut engine, line, frame.received);
                }
            };
            if catch_unwind(AssertUnwindSafe(work)).is_ok() {
                break;
            }
            if rest.len() == left {
                // Framing itself has failed: what is left of the batch cannot be read.
                skipped_more += 1;
                break;
            }
            if skipped.len() < SKIPPED_NAMED_MAX {
                skipped.push(line.to_vec());
            } else {
                skipped_more += 1;
            }
        }
    })
    .map_err(unreadable)?;
    adopt::remove_from(disk, journal.position)
        .map_err(|error| StateError::Io { what: "an empty file of the journal cannot be removed", error })?;
    complete(&mut engine, schema, store)?;
    Ok(Restored { engine, meta, journal, skipped, skipped_more })
}

/// The name of a run in the engine and in the sink.
pub fn run_name(run: u128) -> String {
    format!("{run:032x}")
}

/// Looks up every window of which stored state may hold more.
fn complete(engine: &mut Engine, schema: &Schema, store: &mut dyn Store) -> Result<(), StateError> {
    loop {
        let mut incomplete = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            from = engine.incomplete(at, DEVICES_A_SLICE, &mut incomplete);
        }
        if incomplete.is_empty() {
            return Ok(());
        }
        for window in incomplete {
            let stored: Option<StoredWindow> = store.window(schema, window.id, window.at)?;
            let before = match window.before {
                0 => Vec::new(),
                count => store.windows_before(schema, window.id, window.start, count)?,
            };
            engine.complete(window.device, window.start, stored, &before);
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
    if guests.is_empty() {
        return Ok(());
    }
    let mut end = read::read(disk, from, |_| ())?.position;
    for (_, name) in guests {
        end = adopt::adopt(disk, name, end)?;
    }
    Ok(())
}
