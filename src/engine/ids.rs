//! What tells series, devices and the like from each other.

use std::sync::Arc;

/// Index of a series. [`UNMATCHED`] is the series that feeds nothing.
pub type SeriesId = u32;
/// The series of every head that no source matches.
pub const UNMATCHED: SeriesId = u32::MAX;

/// The text of the key tags of a device, shared by whoever speaks of it.
pub type Key = Arc<[String]>;
