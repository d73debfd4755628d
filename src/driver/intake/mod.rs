//! The engine behind its lock, and the way of a batch into it: recognized, folded, journaled.

pub mod backlog;
pub mod ingest;
pub mod journaling;
pub mod recognize;
pub mod runs;
pub mod shared;
pub mod taken;
pub mod wake;
