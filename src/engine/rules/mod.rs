//! Rules that judge values by more than the value itself.

pub mod baseline;
