//! To the sink: what is due, and what waits on disk, by a thread that may wait for a network.

pub mod delivery;
pub mod flusher;
pub mod session;
pub mod vault;
