//! A checkpoint that is being taken.
//!
//! Invariant: `devices` and `series` are what is left to be copied; all before them has been.

use super::stored::Stored;

/// A checkpoint that is being taken.
pub struct Copying {
    /// What has been copied since the last slice.
    pub out: Stored,
    /// The devices and series that are left, of those that were there when it began.
    pub devices: std::ops::Range<usize>,
    pub series: std::ops::Range<usize>,
    /// A window was found of which stored state may hold more.
    pub is_void: bool,
}
