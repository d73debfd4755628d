//! What a flush needs of the stored state, as a port: the keeper itself, or a way to it from another thread.

use crate::driver::intake::shared::Shared;
use crate::durable::state_error::StateError;
use crate::engine::ids::DeviceId;
use std::sync::Arc;

/// A window in stored state: device and start.
pub type WindowPlace = (DeviceId, i64);

/// The stored state, as a flush sees it.
pub trait Vault {
    /// The name of the state among the writers of a sink.
    fn writer(&self) -> Arc<str>;

    /// Completes windows with what is stored of them, and makes sure that a power loss cannot take from us what the sink
    /// is about to be given: sent again, it would count as new. `now` is in nanoseconds since the epoch.
    ///
    /// # Errors
    /// The state cannot be used.
    fn secure(&mut self, shared: &Shared, now: i64) -> Result<(), StateError>;

    /// Takes windows back to memory that wait in stored state, a bounded number: the first ones, or those behind a place.
    /// Returns the last one's place; `None` if no window waits there, and all that have waited since the first call are back.
    ///
    /// # Errors
    /// The state cannot be used.
    fn hydrate(&mut self, shared: &Shared, after: Option<WindowPlace>) -> Result<Option<WindowPlace>, StateError>;

    /// Saves the state, so that what was written may leave memory.
    ///
    /// # Errors
    /// Nothing was saved.
    fn save(&mut self, shared: &Shared, now: i64) -> Result<(), StateError>;
}
