//! State that survives: what a checkpoint copies, what is stored of it, and how it comes back.

pub mod checkpoint;
pub(super) mod copying;
pub mod expire;
pub mod hydrate;
pub mod restore;
pub mod spill;
pub mod stored;
