//! The keeper of the state: checkpoints, recovery, and what a flush needs of it.
//!
//! It works through ports (a [`Store`], a [`Disk`]) so that tests can let them fail. It waits for the state directory's disk
//! alone, never for a network, and the stream never waits for it.
//!
//! Invariants: a checkpoint and the journal behind its position are what the engine holds; nothing is removed of the
//! journal that a checkpoint does not cover.

use crate::driver::deliver::vault::{Vault, WindowPlace};
use crate::driver::flush::due::DEVICES_A_SLICE;
use crate::driver::intake::journaling::Held;
use crate::driver::intake::recognize;
use crate::driver::intake::shared::Shared;
use crate::durable::disk::Disk;
use crate::durable::journal::name;
use crate::durable::journal::read::Recovered;
use crate::durable::journal::write::Journal;
use crate::durable::recover::{self, Restored};
use crate::durable::state_error::StateError;
use crate::durable::store::{Meta, Store};
use crate::engine::Engine;
use crate::engine::ids::DeviceId;
use crate::engine::persist::checkpoint::Slice;
use crate::engine::schema::{Schema, Summary};
use crate::engine::zone::HOUR;
use crate::words;
use std::sync::Arc;

/// Windows that are taken back from stored state at a time, at least.
const WAITING_A_SLICE: usize = 1_000;
/// Devices or series that are copied for a checkpoint under one lock.
const COPIES_A_SLICE: usize = 500;
/// Allocations of a size for which the allocator keeps nothing ready.
const ALLOCATION_BYTES: usize = 5_000;
const ALLOCATIONS: usize = 300;
/// It is looked this often for series and devices that have expired, in nanoseconds.
const EXPIRE_EVERY: u64 = 600 * 1_000_000_000;
/// How often a checkpoint that meets an incomplete window is tried again.
const CHECKPOINT_TRIES: u32 = 20;

/// The state that this process owns.
pub struct Keeper {
    store: Box<dyn Store>,
    disk: Arc<dyn Disk>,
    schema: Arc<Schema>,
    meta: Meta,
    writer: Arc<str>,
    /// The position up to which the journal was recovered: what a checkpoint stands for while nothing is journaled.
    recovered: u64,
    /// The journal may not give back what has to be known. A sync of it has failed since the last checkpoint: a power
    /// loss may take what lies behind that, whatever later syncs say. Or the guest's file is not part of it: its lines may
    /// come behind those of another guest then. Or the name of the state has never been saved.
    is_doubtful: bool,
    /// Batches that no journal had when the last checkpoint was taken, since the start.
    unjournaled: u64,
    /// Windows that had been spilled when what waits was asked for from the beginning.
    hydrating_since: u64,
    /// When it was looked for the last time what has expired, in nanoseconds of the wall clock.
    expired_at: i64,
}

/// A keeper and what it has recovered.
pub struct Opened {
    pub keeper: Keeper,
    pub engine: Engine,
    /// What was read of the journal, and where it goes on.
    pub journal: Recovered,
    /// A power loss cannot take what was recovered any more.
    pub is_synced: bool,
    pub is_first_start: bool,
    /// What was set aside because it could not be read.
    pub set_aside: Vec<String>,
}

impl Keeper {
    /// Recovers the state, for `run` to go on from it. `abandoned` are files of guests that are gone: their lines come
    /// behind the journal. `writer` is the name of the state among the writers of a sink if it has none yet. A state that
    /// turns out to be broken is set aside, and what the journal holds is recovered.
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
        let mut set_aside = Vec::new();
        let mut restored = match recover::recover(schema, &mut *store, &*disk, abandoned, recognize::one) {
            Err(error) if error.is_broken() => {
                set_aside = store.begin_anew()?;
                log::error!(
                    "the stored state is of no use: {error}; set aside as {}; going on with what the journal holds; look at the disk under state_dir",
                    set_aside.join(", ")
                );
                recover::recover(schema, &mut *store, &*disk, abandoned, recognize::one)?
            }
            other => other?,
        };
        report_skipped(&restored);
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
            log::warn!(
                "the journal that was recovered cannot be synced: {e}; trying again; look at the disk under state_dir"
            );
        }
        let is_synced = synced.is_ok();
        let is_first_start = restored.meta.is_none();
        let meta = restored.meta.unwrap_or(Meta { writer, ..Meta::default() });
        let keeper = Keeper {
            store,
            disk,
            schema: schema.clone(),
            writer: meta.writer.as_str().into(),
            meta,
            recovered: restored.journal.position,
            is_doubtful: !is_synced || is_first_start,
            unjournaled: 0,
            hydrating_since: 0,
            expired_at: 0,
        };
        let (engine, journal) = (restored.engine, restored.journal);
        Ok(Opened { keeper, engine, journal, is_synced, is_first_start, set_aside })
    }

    /// The name of the state among the writers of a sink.
    pub fn writer(&self) -> &Arc<str> {
        &self.writer
    }

    /// Notes that the lines of a guest's file will be in the next checkpoint: the file must not be read again after that.
    pub fn absorb(&mut self, guest: GuestFile) {
        self.is_doubtful |= !guest.is_adopted;
        self.meta.absorbed.push(guest.name);
    }

    /// True if the journal alone does not give back what the engine holds, so that a process which ends must save first.
    pub fn must_save(&mut self, shared: &Shared) -> bool {
        let Some(journaling) = shared.journaling() else { return true };
        self.is_doubtful |= journaling.takes_sync_failure();
        self.is_doubtful || shared.unjournaled() != self.unjournaled || !journaling.is_ready()
    }

    /// Where the journal is.
    pub fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// Makes everything due that the state holds of windows that end after `from`, whatever the sink has of it.
    ///
    /// # Errors
    /// The state cannot be saved, or not be changed.
    pub fn resend(&mut self, shared: &Shared, from: i64, now: i64) -> Result<u64, StateError> {
        self.checkpoint(shared, now)?;
        let open = self.read(shared, |store, _| store.resend(from))?;
        shared.slices(|engine, slice| engine.resend(from, slice, DEVICES_A_SLICE));
        shared.with(|engine| engine.away_at_least(open));
        Ok(open)
    }

    /// Says which sink acknowledges from now on. If it is another one than before, everything that the state holds is due, and the
    /// number of its windows is returned.
    ///
    /// # Errors
    /// The state cannot be saved, or not be changed: it still speaks of the sink before.
    pub fn direct(&mut self, shared: &Shared, sink: &str, now: i64) -> Result<Option<u64>, StateError> {
        if self.meta.sink == sink {
            return Ok(None);
        }
        // A state of an earlier version does not know its sink.
        let is_other = !self.meta.sink.is_empty();
        let open = if is_other { Some(self.resend(shared, i64::MIN, now)?) } else { None };
        // It is saved together with the first acknowledgement.
        self.meta.sink = sink.to_string();
        Ok(open)
    }

    /// Uses the store. One that turns out to be broken is set aside and made anew, so that the next use works.
    fn read<T>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut dyn Store, &Schema) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let result = work(&mut *self.store, &self.schema);
        if let Err(error) = &result
            && error.is_broken()
        {
            self.begin_anew(shared, error)?;
        }
        result
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
                let stored = self.read(shared, |store, schema| store.window(schema, window.id, window.at))?;
                let before = match window.before {
                    0 => Vec::new(),
                    count => {
                        self.read(shared, |store, schema| store.windows_before(schema, window.id, window.start, count))?
                    }
                };
                shared.with(|engine| engine.complete(window.device, window.start, stored, &before));
            }
        }
    }

    /// Saves what has changed, with the position of the journal that it stands for, and lets go of what is not needed any
    /// more. `now` is the wall clock in nanoseconds. Returns the position before which the journal may be removed. A state that
    /// turns out to be broken is set aside and made anew.
    ///
    /// # Errors
    /// Nothing was saved, and nothing is lost: the next checkpoint holds it.
    pub fn checkpoint(&mut self, shared: &Shared, now: i64) -> Result<Option<u64>, StateError> {
        // Taken before the copy: a sync that fails from now on may concern what comes behind it.
        let is_doubtful = std::mem::take(&mut self.is_doubtful)
            | shared.journaling().is_some_and(|journaling| journaling.takes_sync_failure());
        let result = match self.save(shared, now) {
            Err(error) if error.is_broken() => self.begin_anew(shared, &error).and_then(|()| self.save(shared, now)),
            other => other,
        };
        if !matches!(result, Ok(Some(_))) {
            self.is_doubtful |= is_doubtful;
        }
        result
    }

    /// Sets a broken state aside. What the engine holds is saved into a new one; what had left memory is gone.
    fn begin_anew(&mut self, shared: &Shared, error: &StateError) -> Result<(), StateError> {
        let files = self.store.begin_anew()?;
        let away = shared.begin_anew();
        let lost = if away > 0 {
            let (windows, are) = (words::some(away, "window"), words::verb(away, "is", "are"));
            format!("; {windows} that waited on disk for the sink {are} in it")
        } else {
            String::new()
        };
        log::error!(
            "the stored state is of no use: {error}; set aside as {}{lost}; a new one is made; look at the disk under state_dir",
            files.join(", ")
        );
        Ok(())
    }

    fn save(&mut self, shared: &Shared, now: i64) -> Result<Option<u64>, StateError> {
        // What the last checkpoint saved may leave; where that leads to is saved by this one.
        shared.slices(|engine, from| engine.evict(from, DEVICES_A_SLICE));
        if now.abs_diff(self.expired_at) >= EXPIRE_EVERY {
            let open = self.read(shared, |store, _| store.open_devices())?;
            shared.expire(now, &open);
            self.expired_at = now;
        }
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
        let news = match &mut first {
            Slice::Part(slice) | Slice::Last(slice) => slice.take_news(),
            Slice::Void => return Ok(None),
        };
        // The journal before the position is not synced for this: once the state is committed, it is not needed.
        let meta = Meta { position: position.unwrap_or(self.recovered), ..self.meta.clone() };
        let limit = now.checked_sub(self.schema.lateness.max).unwrap_or(i64::MIN);
        // A late point is compared with the hours before it.
        let longest = self.schema.summaries.iter().map(Summary::longest_baseline).max().unwrap_or(0);
        let limit = limit.saturating_sub(HOUR.saturating_mul(longest as i64));
        let mut first = Some(first);
        let mut next = || first.take().unwrap_or_else(copy);
        let result = self.store.commit(&self.schema, &meta, &news, &mut next, limit);
        if !matches!(result, Ok(true)) {
            // Until the copy is complete, nothing else may be done to the engine.
            while matches!(next(), Slice::Part(_)) {}
            shared.with(|engine| engine.mark_all_unsaved(news));
        } else {
            drop(news);
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

impl Vault for Keeper {
    fn writer(&self) -> Arc<str> {
        self.writer.clone()
    }

    fn secure(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.complete(shared)?;
        if let Some(journaling) = shared.journaling() {
            // What has failed is said there.
            let _ = journaling.sync();
            self.is_doubtful |= journaling.takes_sync_failure();
        }
        if self.is_doubtful
            && let Err(e) = self.checkpoint(shared, now)
        {
            // The rows are worth more than that.
            log::warn!(
                "neither the journal is safe, nor can the state be saved: {e}; rows are written all the same, but a power loss could make some count \
                 twice; look at the disk under state_dir"
            );
        }
        Ok(())
    }

    fn hydrate(&mut self, shared: &Shared, after: Option<WindowPlace>) -> Result<Option<WindowPlace>, StateError> {
        let devices = shared.with(|engine| engine.device_count()).unwrap_or_default();
        let spilled = shared.with(|engine| engine.spilled()).unwrap_or_default();
        let (count, from) = (devices.max(WAITING_A_SLICE), after.unwrap_or((DeviceId(0), i64::MIN)));
        let windows = self.read(shared, |store, schema| store.waiting(schema, from, count))?;
        if after.is_none() {
            self.hydrating_since = spilled;
        }
        let last = windows.last().map(|window| (window.device, window.span.start));
        // Nothing leaves memory meanwhile: whatever does so is saved by this thread.
        let began = self.hydrating_since;
        shared.with(|engine| if last.is_some() { engine.admit(windows) } else { engine.taken_back(began) });
        Ok(last)
    }

    fn save(&mut self, shared: &Shared, now: i64) -> Result<(), StateError> {
        self.checkpoint(shared, now).map(|_| ())
    }
}

/// Names the lines on which the engine has panicked.
fn report_skipped(restored: &Restored) {
    for line in &restored.skipped {
        let shown: String = String::from_utf8_lossy(line).chars().take(300).collect();
        log::error!("a line of the journal cannot be folded and is left out: {}; please report it", shown.trim_end());
    }
    if restored.skipped_more > 0 {
        let (more, are) =
            (words::some(restored.skipped_more, "more line"), words::verb(restored.skipped_more, "is", "are"));
        log::error!("{more} of the journal cannot be folded and {are} left out; please report it");
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

/// Returns where the journal goes on in the name of the owner: behind what was recovered, and behind the lines of this
/// process's own time as a guest.
pub fn own_position(held: &Held<'_>, recovered: &Recovered) -> u64 {
    recovered.position + held.journal().guest_bytes()
}

/// Makes the journal go on in the name of the owner, from the position to which it was recovered. Returns the guest's file,
/// which is to be [absorbed](Keeper::absorb): it may not have its new name yet, or may lose it again to a power loss.
pub fn own_journal(
    held: &mut Held<'_>,
    disk: &Arc<dyn Disk>,
    guest: u128,
    recovered: &Recovered,
    bytes_max: u64,
) -> GuestFile {
    let position = recovered.position;
    let (name, bytes) = (name::guest_name(guest), held.journal().guest_bytes());
    let syncer = held.journal().syncer();
    let mut journal = Journal::new(disk.clone(), position).limited_to(bytes_max).synced_by(syncer);
    let (_, adopted) = journal.adopt(name.clone(), position, bytes);
    // Behind the new name, which is to be synced too.
    journal.syncer().found(recovered);
    held.replace(journal);
    if let Err(e) = &adopted {
        log::warn!("{name} cannot be made part of the journal: {e}; trying again; look at the disk under state_dir");
    }
    GuestFile { name, is_adopted: adopted.is_ok() }
}
