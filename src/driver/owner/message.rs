//! What the keeper's thread is told.

use crate::driver::deliver::flusher::{FlusherSays, VaultCall};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// What the thread is told.
pub enum Message {
    /// A line has matched for the first time.
    Matched,
    /// Somebody wants the rows now.
    FlushNow,
    /// The flusher speaks.
    Flusher(FlusherSays),
    /// A flush that began under this number asks something of the state.
    Vault(u64, VaultCall),
    /// The stream has ended: save, flush once more, then answer; within a time.
    Stop(Duration, SyncSender<()>),
}
