//! What leaves the engine for the sink: what is due, copies of it, and the acknowledgement.

pub mod acknowledge;
pub mod due;
pub mod snapshot;
