//! The keeper of the state: checkpoints, recovery, and the right to write to the sink.
//!
//! It works through ports (a [`Store`], a [`Disk`]) so that tests can let them fail. It belongs to the courier's thread;
//! the stream never waits for it.

use super::aside::SetAside;
use super::flush::{self, DEVICES_A_SLICE, Flushed, Memory, What};
use super::journaling::Held;
use super::shared::Shared;
use crate::durable::disk::Disk;
use crate::durable::journal::write::Journal;
use crate::durable::journal::{name, read};
use crate::durable::recover;
use crate::durable::state_error::StateError;
use crate::durable::store::{Meta, Store};
use crate::engine::Engine;
use crate::engine::persist::checkpoint::Slice;
use crate::engine::schema::Schema;
use crate::sink::port::{Sink, SinkError};
use std::sync::Arc;

/// Windows that are taken back from stored state at a time, at least.
const WAITING_A_SLICE: usize = 1_000;
/// Devices or series that are copied for a checkpoint under one lock.
const COPIES_A_SLICE: usize = 500;
/// Allocations of a size for which the allocator keeps nothing ready.
const ALLOCATION_BYTES: usize = 5_000;
const ALLOCATIONS: usize = 300;
/// How often a checkpoint that meets an incomplete window is tried again.
const CHECKPOINT_TRIES: u32 = 20;

/// The state that this process owns.
pub struct Keeper {
    store: Box<dyn Store>,
    disk: Arc<dyn Disk>,
    schema: Arc<Schema>,
    meta: Meta,
    /// The position up to which the journal was recovered: what a checkpoint stands for while nothing is journaled.
    recovered: u64,
    /// The journal may not give back what has to be known. A sync of it has failed since the last checkpoint: a power
    /// loss may take what lies behind that, whatever later syncs say. Or the guest's file is not part of it: its lines may
    /// come behind those of another guest then. Or the name of the state has never been saved.
    doubtful: bool,
    /// Batches that no journal had when the last checkpoint was taken, since the start.
    unjournaled: u64,
    /// What one flush leaves for the next.
    memory: Memory,
}

/// Why a flush did not write everything.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// A keeper and what it has recovered.
pub struct Opened {
    pub keeper: Keeper,
    pub engine: Engine,
    /// What was read of the journal, and where it goes on.
    pub journal: read::Recovered,
    /// A power loss cannot take what was recovered any more.
    pub is_synced: bool,
    pub is_first_start: bool,
}

impl Keeper {
    /// Recovers the state, for `run` to go on from it. `abandoned` are files of guests that are gone: their lines come
    /// behind the journal. `writer` is the name of the state among the writers of a sink if it has none yet.
    ///
    /// # Errors
    /// The state cannot be used now; nothing was changed but the names of adopted files.
    pub fn open(
        mut store: Box<dyn Store>,
        disk: Arc<dyn Disk>,
        schema: &Arc<Schema>,
        abandoned: &[String],
        run: u128,
        writer: String,
    ) -> Result<Opened, StateError> {
        let mut restored = recover::recover(schema, &mut *store, &*disk, abandoned)?;
        if let Some(meta) = &mut restored.meta {
            // What cannot be removed stays known.
            meta.absorbed.retain(|name| match disk.remove(name) {
                Ok(()) => false,
                Err(e) => e.kind() != std::io::ErrorKind::NotFound,
            });
        }
        restored.engine.begin_run(&recover::run_name(run));
        // Whoever wrote it may not have lived to sync it, and what comes behind it must not outlive it.
        let synced = restored.journal.files.iter().try_for_each(|name| disk.sync(name));
        let synced = synced.and_then(|()| disk.sync_names());
        if let Err(e) = &synced {
            log::warn!("the journal that was recovered cannot be synced: {e}; trying again");
        }
        let is_synced = synced.is_ok();
        let is_first_start = restored.meta.is_none();
        let meta = restored.meta.unwrap_or(Meta { writer, ..Meta::default() });
        let schema = schema.clone();
        let keeper = Keeper {
            store,
            disk,
            schema,
            meta,
            recovered: restored.journal.position,
            doubtful: !is_synced || is_first_start,
            unjournaled: 0,
            memory: Memory::default(),
        };
        Ok(Opened { keeper, engine: restored.engine, journal: restored.journal, is_synced, is_first_start })
    }

    /// The name of the state among the writers of a sink.
    pub fn writer(&self) -> &str {
        &self.meta.writer
    }

    /// Notes that the lines of a guest's file will be in the next checkpoint: the file must not be read again after that.
    pub fn absorb(&mut self, guest: GuestFile) {
        self.doubtful |= !guest.is_adopted;
        self.meta.absorbed.push(guest.name);
    }

    /// True if the journal alone does not give back what the engine holds, so that a process which ends must save first.
    pub fn must_save(&mut self, shared: &Shared) -> bool {
        let Some(journaling) = shared.journaling() else { return true };
        self.doubtful |= journaling.takes_sync_failure();
        self.doubtful || shared.unjournaled() != self.unjournaled || !journaling.is_ready()
    }

    /// What the sink has refused.
    pub fn set_aside(&self) -> &SetAside {
        &self.memory.aside
    }

    /// Where the journal is.
    pub fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// Writes what is due at `now` to the sink.
    ///
    /// # Errors
    /// Not everything was written; what was not is due again.
    pub fn flush(&mut self, shared: &Shared, sink: &mut dyn Sink, now: i64, what: What) -> Result<Flushed, FlushError> {
        self.complete(shared)?;
        // Before anything is fetched for a sink that is away. From here on every way out disconnects.
        sink.prepare(&self.schema)?;
        self.secure(shared, now);
        let first = self.write_waiting(shared, sink, now).and_then(|foreign| {
            let flushed = flush::flush(shared, sink, &mut self.memory, &self.meta.writer, now, what)?;
            Ok(Flushed { foreign: flushed.foreign + foreign, ..flushed })
        });
        let result = match first {
            Ok(flushed) if flushed.foreign > 0 => {
                log::warn!(
                    "somebody else writes to the sink in the name of this very process (a machine that was set back to \
                     a snapshot while it ran): going on under a new name"
                );
                shared.begin_run();
                flush::flush(shared, sink, &mut self.memory, &self.meta.writer, now, what)
                    .map(|again| Flushed { foreign: flushed.foreign, ..again })
                    .map_err(FlushError::Sink)
            }
            other => other,
        };
        sink.disconnect();
        result
    }

    /// Writes the windows that wait in stored state because the sink has been away, some at a time. Gives in how many of them the
    /// sink has more in the name of our run than we have given it.
    fn write_waiting(&mut self, shared: &Shared, sink: &mut dyn Sink, now: i64) -> Result<usize, FlushError> {
        let mut after = (0, i64::MIN);
        let mut foreign = 0;
        loop {
            let (away, devices) = shared.with(|e| (e.away(), e.device_count())).unwrap_or_default();
            if away == 0 {
                return Ok(foreign);
            }
            let windows = self.store.waiting(&self.schema, after, devices.max(WAITING_A_SLICE))?;
            let Some(last) = windows.last() else {
                shared.with(Engine::none_away);
                return Ok(foreign);
            };
            after = (last.device, last.span.start);
            shared.with(|engine| engine.admit(windows));
            foreign += flush::flush(shared, sink, &mut self.memory, &self.meta.writer, now, What::Windows)?.foreign;
            self.checkpoint(shared, now)?;
        }
    }

    /// Makes everything due that the state holds of windows that end after `from`, whatever the sink has of it.
    ///
    /// # Errors
    /// The state cannot be saved, or not be changed.
    pub fn resend(&mut self, shared: &Shared, from: i64, now: i64) -> Result<u64, StateError> {
        self.checkpoint(shared, now)?;
        let open = self.store.resend(from)?;
        shared.with(|engine| engine.resend(from, open));
        Ok(open)
    }

    /// The sink must not have what a power loss would take from us: sent again, it would count as new.
    fn secure(&mut self, shared: &Shared, now: i64) {
        if let Some(journaling) = shared.journaling() {
            if let Err(e) = journaling.sync() {
                log::warn!("the journal cannot be synced: {e}");
            }
            self.doubtful |= journaling.takes_sync_failure();
        }
        if self.doubtful
            && let Err(e) = self.checkpoint(shared, now)
        {
            // The rows are worth more than that.
            log::warn!("neither the journal is safe, nor can the state be saved: {e}");
        }
    }

    /// Completes windows that have come back to memory with what is stored of them.
    ///
    /// # Errors
    /// The store cannot be read.
    fn complete(&mut self, shared: &Shared) -> Result<(), StateError> {
        loop {
            let mut incomplete = Vec::new();
            shared.slices(|engine, from| engine.incomplete(from, DEVICES_A_SLICE, &mut incomplete));
            if incomplete.is_empty() {
                return Ok(());
            }
            for window in incomplete {
                let stored = self.store.window(&self.schema, window.id, window.at)?;
                shared.with(|engine| engine.complete(window.device, window.start, stored));
            }
        }
    }

    /// Saves what has changed, with the position of the journal that it stands for, and lets go of what is not needed any
    /// more. `now` is the wall clock in nanoseconds. Gives the position before which the journal may be removed.
    ///
    /// # Errors
    /// Nothing was saved, and nothing is lost: the next checkpoint holds it.
    pub fn checkpoint(&mut self, shared: &Shared, now: i64) -> Result<Option<u64>, StateError> {
        // Taken before the copy: a sync that fails from now on may concern what comes behind it.
        let doubtful = std::mem::take(&mut self.doubtful)
            | shared.journaling().is_some_and(|journaling| journaling.takes_sync_failure());
        let result = self.save(shared, now);
        if !matches!(result, Ok(Some(_))) {
            self.doubtful |= doubtful;
        }
        result
    }

    fn save(&mut self, shared: &Shared, now: i64) -> Result<Option<u64>, StateError> {
        // What the last checkpoint saved may leave; where that leads to is saved by this one.
        shared.slices(|engine, from| engine.evict(from, DEVICES_A_SLICE));
        for _ in 0..CHECKPOINT_TRIES {
            self.complete(shared)?;
            if let Some(position) = self.try_save(shared, now)? {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    /// Takes a checkpoint and saves each slice as it comes: the copy is never in memory as a whole. `None` if a window was
    /// incomplete.
    fn try_save(&mut self, shared: &Shared, now: i64) -> Result<Option<u64>, StateError> {
        tidy_up();
        // What is noted from now on may have come before the copy; then it is saved once more.
        let unjournaled = shared.unjournaled();
        // One moment: the state, and the position that it stands for.
        let begin = |engine: &mut Engine, position| {
            engine.begin_checkpoint();
            position
        };
        let Some(position) = shared.with_position(begin) else { return Ok(None) };
        let copy = || {
            // The slice before has just been freed.
            tidy_up();
            shared.with(|engine| engine.checkpoint_slice(COPIES_A_SLICE)).unwrap_or(Slice::Void)
        };
        let mut first = copy();
        let series = match &mut first {
            Slice::Part(slice) | Slice::Last(slice) => std::mem::take(&mut slice.series),
            Slice::Void => return Ok(None),
        };
        // The journal before the position is not synced for this: once the state is committed, it is not needed.
        let meta = Meta { position: position.unwrap_or(self.recovered), ..self.meta.clone() };
        let limit = now.checked_sub(self.schema.lateness.max).unwrap_or(i64::MIN);
        let mut first = Some(first);
        let mut next = || first.take().unwrap_or_else(copy);
        let result = self.store.commit(&self.schema, &meta, &series, &mut next, limit);
        if !matches!(result, Ok(true)) {
            // Until the copy is complete, nothing else may be done to the engine.
            while matches!(next(), Slice::Part(_)) {}
            shared.with(|engine| engine.mark_all_unsaved(series));
        } else {
            drop(series);
            tidy_up();
        }
        if !result? {
            return Ok(None);
        }
        (self.meta, self.unjournaled) = (meta, unjournaled);
        if let Some(journaling) = shared.journaling() {
            journaling.retire(self.meta.position);
        }
        Ok(Some(self.meta.position))
    }
}

/// Lets the allocator put in order what has been freed. GNU's does that when somebody asks for memory, 10,000 pieces at a
/// time, so after a flush of very many devices it is slow for a while: not under the lock.
fn tidy_up() {
    for _ in 0..ALLOCATIONS {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(ALLOCATION_BYTES)));
    }
}

/// The file of this process's own time as a guest.
pub struct GuestFile {
    name: String,
    /// It is part of the journal now.
    pub is_adopted: bool,
}

/// Makes the journal go on in the name of the owner, from the position to which it was recovered: behind the lines of this
/// process's own time as a guest. Gives the position of the next frame, and the guest's file, which is to be
/// [absorbed](Keeper::absorb): it may not have its new name yet, or may lose it again to a power loss.
pub fn own_journal(
    held: &mut Held<'_>,
    disk: &Arc<dyn Disk>,
    guest: u128,
    recovered: &read::Recovered,
    bytes_max: u64,
) -> (u64, GuestFile) {
    let position = recovered.position;
    let (name, bytes) = (name::guest_name(guest), held.journal().guest_bytes());
    let syncer = held.journal().syncer();
    let mut journal = Journal::new(disk.clone(), position).limited_to(bytes_max).synced_by(syncer);
    let (end, adopted) = journal.adopt(name.clone(), position, bytes);
    // Behind the new name, which is to be synced too.
    journal.syncer().found(recovered);
    held.replace(journal);
    if let Err(e) = &adopted {
        log::warn!("{name} cannot be made part of the journal: {e}; trying again");
    }
    (end, GuestFile { name, is_adopted: adopted.is_ok() })
}
