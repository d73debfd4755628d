//! The keeper of the state: checkpoints, recovery, and the right to write to the sink.
//!
//! It works through ports (a [`Store`], a [`Disk`]) so that tests can let them fail. It belongs to the courier's thread;
//! the stream never waits for it.

use super::flush::Writer;
use super::journaling::Held;
use super::shared::Shared;
use crate::durable::disk::Disk;
use crate::durable::journal::{self, Journal};
use crate::durable::recover::{self, BASES_A_SLICE};
use crate::durable::state::{Meta, StateError, Store};
use crate::engine::Engine;
use crate::engine::schema::Schema;
use std::sync::Arc;

/// Processes whose partials this state may write over. A process counts only if it has written to the sink.
const RUNS_MAX: usize = 200;
/// How often a checkpoint that meets a window with an unknown base is tried again.
const CHECKPOINT_TRIES: u32 = 20;

/// The state that this process owns.
pub struct Keeper {
    store: Box<dyn Store>,
    disk: Arc<dyn Disk>,
    schema: Arc<Schema>,
    meta: Meta,
    writer: Writer,
    /// The store knows that this process writes.
    run_saved: bool,
    /// The position up to which the journal was recovered: what a checkpoint stands for while nothing is journaled.
    recovered: u64,
}

/// A keeper and what it has recovered.
pub struct Opened {
    pub keeper: Keeper,
    pub engine: Engine,
    /// Where the journal goes on.
    pub position: u64,
    /// Frames and torn bytes of the journal that was read.
    pub journal: journal::Recovered,
    pub is_first_start: bool,
}

impl Keeper {
    /// Recovers the state. `abandoned` are files of guests that are gone: their lines come behind the journal. `id` gives
    /// random names.
    ///
    /// # Errors
    /// The state cannot be used now; nothing was changed but the names of adopted files.
    pub fn open(
        mut store: Box<dyn Store>,
        disk: Arc<dyn Disk>,
        schema: &Arc<Schema>,
        abandoned: &[String],
        mut id: impl FnMut() -> String,
    ) -> Result<Opened, StateError> {
        let restored = recover::recover(schema, &mut *store, &*disk, abandoned)?;
        let is_first_start = restored.meta.is_none();
        let meta = restored.meta.unwrap_or_else(|| Meta { writer: id(), ..Meta::default() });
        let writer =
            Writer { id: meta.writer.as_str().into(), spare: id().into(), run: id(), inherited: meta.runs.clone() };
        let position = restored.journal.position;
        let schema = schema.clone();
        let keeper = Keeper { store, disk, schema, meta, writer, run_saved: false, recovered: position };
        Ok(Opened { keeper, engine: restored.engine, position, journal: restored.journal, is_first_start })
    }

    /// Who writes to the sink.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Makes sure that a later process will know what this one wrote, before it writes.
    ///
    /// # Errors
    /// It could not be noted: nothing may be written to the sink.
    pub fn begin_writing(&mut self) -> Result<(), StateError> {
        if self.run_saved {
            return Ok(());
        }
        let mut meta = self.meta.clone();
        meta.runs.push(self.writer.run.clone());
        let excess = meta.runs.len().saturating_sub(RUNS_MAX);
        meta.runs.drain(..excess);
        self.store.save_runs(&meta)?;
        self.meta = meta;
        self.run_saved = true;
        Ok(())
    }

    /// Takes another name among the writers of the sink: somebody else has the old one.
    pub fn rename(&mut self, spare: String) {
        self.writer.id = std::mem::replace(&mut self.writer.spare, spare.into());
        self.meta.writer = self.writer.id.to_string();
    }

    /// Looks up the stored part of windows that have come back to memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn settle(&mut self, shared: &Shared) -> Result<(), StateError> {
        loop {
            let unknown = shared.with(|engine| engine.unknown_bases(BASES_A_SLICE)).unwrap_or_default();
            if unknown.is_empty() {
                return Ok(());
            }
            for base in unknown {
                let stored = self.store.window(&self.schema, base.id, base.start)?;
                shared.with(|engine| engine.set_base(base.device, base.start, stored));
            }
        }
    }

    /// Saves what has changed, with the position of the journal that it stands for, and lets go of what is not needed any
    /// more. `now` is the wall clock in nanoseconds.
    ///
    /// # Errors
    /// Nothing was saved, and nothing is lost: the next checkpoint holds it.
    pub fn checkpoint(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        let mut taken = None;
        for _ in 0..CHECKPOINT_TRIES {
            self.settle(shared)?;
            // One moment: the copy, and the position that it stands for.
            taken =
                shared.with_position(|engine, position| engine.checkpoint().map(|stored| (stored, position))).flatten();
            if taken.is_some() {
                break;
            }
        }
        let Some((stored, position)) = taken else { return Ok(()) };
        // The journal before the position is not synced for this: once the state is committed, it is not needed.
        let meta = Meta { position: position.unwrap_or(self.recovered), ..self.meta.clone() };
        let limit = now.checked_sub(self.schema.lateness.max).unwrap_or(i64::MIN);
        let result = self.store.commit(&self.schema, &meta, &stored, limit);
        match result {
            Ok(()) => {
                self.meta = meta;
                if let Some(journaling) = shared.journaling() {
                    journaling.retire(self.meta.position);
                }
                remove_old(self.disk.clone(), self.meta.position);
                shared.with(Engine::evict);
                Ok(())
            }
            Err(error) => {
                shared.with(|engine| engine.mark_all_unsaved(&stored));
                Err(error)
            }
        }
    }
}

/// Removes old journal files, in a thread of its own: a file system can take its time for it, and a file that stays is
/// removed after the next checkpoint.
fn remove_old(disk: Arc<dyn Disk>, before: u64) {
    std::thread::spawn(move || {
        if let Err(e) = journal::remove_before(&*disk, before) {
            log::warn!("old journal files cannot be removed: {e}; trying again");
        }
    });
}

/// Makes the journal go on in the name of the owner, from the position to which the state was recovered: behind the lines
/// of this process's own time as a guest. Gives the position of the next frame.
pub fn own_journal(held: &mut Held<'_>, disk: &Arc<dyn Disk>, guest: &str, position: u64, bytes_max: u64) -> u64 {
    let (name, bytes) = (journal::guest_name(guest), held.journal().guest_bytes());
    let mut end = position + bytes;
    match journal::adopt_known(&**disk, &name, position, bytes) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && bytes == 0 => {}
        Err(e) => {
            // The lines are counted. As a guest's file they would be counted again by the next owner.
            log::error!(
                "{name} cannot be made part of the journal: {e}; a kill before the next checkpoint loses its lines"
            );
            let _ = disk.remove(&name);
            end = position;
        }
    }
    let journal = Journal::new(disk.clone(), position).limited_to(bytes_max);
    journal.syncer().renamed();
    held.replace(journal);
    end
}
