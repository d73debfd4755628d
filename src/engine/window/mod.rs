//! Devices with their windows and days, and the way of a point into them.

pub mod dedupe;
pub mod device;
pub mod directory;
mod fast_path;
pub mod fold;
pub mod gaps;
pub mod past;
pub mod remember;
