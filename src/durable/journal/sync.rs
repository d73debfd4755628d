//! Syncing: which files hold bytes that a power loss would take.

use super::read::Recovered;
use crate::durable::disk::{Disk, Segment};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What must be synced: files with bytes that a power loss would take.
#[derive(Clone)]
pub struct Syncer {
    disk: Arc<dyn Disk>,
    state: Arc<Mutex<Unsynced>>,
    /// Held while something is being synced: a sync that is asked for then waits for that too.
    working: Arc<Mutex<()>>,
    /// A sync has failed since this was asked last.
    has_failed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Unsynced {
    /// Segments with bytes that were not synced, each with the position of its first frame; the last one may still grow.
    segments: Vec<(u64, Arc<dyn Segment>)>,
    /// Files that an earlier process has written, up to position `found_until`.
    found: Vec<String>,
    found_until: u64,
    names_changed: bool,
}

impl Syncer {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Syncer {
        Syncer { disk, state: Arc::default(), working: Arc::default(), has_failed: Arc::default() }
    }

    pub(super) fn written(&self, start: u64, segment: &Arc<dyn Segment>, is_new: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.names_changed |= is_new;
        if !state.segments.last().is_some_and(|(_, last)| Arc::ptr_eq(last, segment)) {
            state.segments.push((start, segment.clone()));
        }
    }

    /// Forgets segments that lie before a position: a checkpoint covers them.
    pub(super) fn forget_before(&self, position: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A segment ends where the next one starts; the last one may still grow.
        let covered = state.segments.iter().skip(1).take_while(|(start, _)| *start <= position).count();
        state.segments.drain(..covered);
        if state.found_until <= position {
            state.found.clear();
        }
    }

    /// Adds what a recovery has found: whoever wrote it may not have lived to sync it.
    pub fn found(&self, recovered: &Recovered) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.found.clone_from(&recovered.files);
        state.found_until = recovered.position;
        state.names_changed = true;
    }

    /// True, once, after a sync that failed. The system may have dropped what it could not write, and it says so only
    /// once: a later sync that succeeds does not bring it back, a checkpoint does.
    pub fn takes_failure(&self) -> bool {
        self.has_failed.swap(false, Ordering::Relaxed)
    }

    /// Makes all that was appended before this call survive a power loss. Appends may go on meanwhile.
    ///
    /// # Errors
    /// Something was not synced; it will be tried again by the next call.
    pub fn sync(&self) -> io::Result<()> {
        let _working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        let work = || {
            if taken.names_changed {
                self.disk.sync_names()?;
            }
            for name in &taken.found {
                match self.disk.sync(name) {
                    // A checkpoint has covered it meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
            taken.segments.iter().try_for_each(|(_, segment)| segment.sync())
        };
        let result = work();
        if result.is_err() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut *state, taken);
            self.has_failed.store(true, Ordering::Relaxed);
            state.names_changed |= newer.names_changed;
            if !newer.found.is_empty() {
                (state.found, state.found_until) = (newer.found, newer.found_until);
            }
            for segment in newer.segments {
                if !state.segments.iter().any(|(_, s)| Arc::ptr_eq(s, &segment.1)) {
                    state.segments.push(segment);
                }
            }
        }
        result
    }
}
