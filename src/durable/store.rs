//! The port to stored state.

use super::state_error::StateError;
use crate::engine::ids::DeviceId;
use crate::engine::persist::checkpoint::Slice;
use crate::engine::persist::stored::{News, Stored, StoredWindow};
use crate::engine::schema::Schema;
use std::collections::HashSet;

/// What belongs to the state as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Name of this state among the writers of a sink.
    pub writer: String,
    /// Everything before this position of the journal is in the state.
    pub position: u64,
    /// Files of guests that are in the state too, and could not be made part of the journal.
    pub absorbed: Vec<String>,
    /// What tells the sink from another one to which the acknowledgements speak; empty in states of earlier versions.
    pub sink: String,
}

/// The port to stored state.
pub trait Store: Send {
    /// Everything but windows that are done, or not among the newest of their device; `None` if there is no state yet.
    ///
    /// # Errors
    /// The state cannot be used.
    fn load(&mut self, schema: &Schema) -> Result<Option<(Meta, Stored)>, StateError>;

    /// The window of a device that holds `at`.
    ///
    /// # Errors
    /// The state cannot be used.
    fn window(&mut self, schema: &Schema, device: DeviceId, at: i64) -> Result<Option<StoredWindow>, StateError>;

    /// At most `count` windows of a device that start before `start`, the newest first.
    ///
    /// # Errors
    /// The state cannot be used.
    fn windows_before(
        &mut self,
        schema: &Schema,
        device: DeviceId,
        start: i64,
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError>;

    /// At most `count` windows that are not done, in order of device and start, behind the given one.
    ///
    /// # Errors
    /// The state cannot be used.
    fn waiting(
        &mut self,
        schema: &Schema,
        after: (DeviceId, i64),
        count: usize,
    ) -> Result<Vec<StoredWindow>, StateError>;

    /// Forgets what the sink has of windows and days that end after `from` (nanoseconds since the epoch). Returns how many
    /// windows are not done now.
    ///
    /// # Errors
    /// Nothing was changed.
    fn resend(&mut self, from: i64) -> Result<u64, StateError>;

    /// The devices of which not all windows are done.
    ///
    /// # Errors
    /// The state cannot be used.
    fn open_devices(&mut self) -> Result<HashSet<DeviceId>, StateError>;

    /// Sets a state aside that is of no use, and begins with an empty one. Returns the names of the files set aside.
    ///
    /// # Errors
    /// The state cannot be used.
    fn begin_anew(&mut self) -> Result<Vec<String>, StateError>;

    /// Saves a checkpoint, all of it or nothing: what is new and what is gone, and the slices that `next` gives one after the other.
    /// Windows that are done and ended before `purge_before` are removed. False if the checkpoint was void.
    ///
    /// # Errors
    /// Nothing was saved.
    fn commit(
        &mut self,
        schema: &Schema,
        meta: &Meta,
        news: &News,
        next: &mut dyn FnMut() -> Slice,
        purge_before: i64,
    ) -> Result<bool, StateError>;
}
