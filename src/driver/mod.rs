//! The edge: the only clock, the threads, the pipes, the log.
//!
//! One thread is the stream ([`stream`]): it reads, frames, feeds the engine ([`intake`]), writes the journal and writes
//! stdout. Another stands by to take over should the journal's disk be stuck. The keeper ([`owner`]) reads the configuration,
//! claims, recovers and saves the state, and says how things are; it waits for the disk of the state directory alone. The
//! flusher ([`deliver`], by [`flush`]) writes rows; it alone waits for a network. They share the engine behind a lock that all
//! but the stream take for short slices only and never hold across input or output.

pub mod backoff;
pub mod clock;
pub mod deliver;
pub mod flush;
pub mod hints;
pub mod intake;
pub mod jobs;
mod names;
pub mod owner;
pub mod run;
mod signals;
pub mod stderr;
pub mod stream;
mod threads;
pub mod troubles;
