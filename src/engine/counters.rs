//! What became of lines and points, counted by reason.

/// What became of the lines and points that were read, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines with something in them: not blank, not a comment.
    pub lines: u64,
    /// Lines of a series that feeds a column.
    pub matched: u64,
    /// Points (fields) folded into a window, or pending there.
    pub points: u64,
    /// Lines that Telegraf's parser would refuse.
    pub malformed: u64,
    /// Points older than `lateness.max` when they arrived.
    pub late: u64,
    /// Points further in the future than `lateness.future`.
    pub future: u64,
    /// Points seen before with the same value, or replaced by a later value for the same time.
    pub duplicates: u64,
    /// Points seen before with another value.
    pub conflicts: u64,
    /// Lines that match a source but lack a key tag.
    pub no_key: u64,
    /// Lines beyond `limits.series` or `limits.devices`.
    pub over_limit: u64,
    /// Series that name a time zone which does not exist.
    pub unknown_zones: u64,
    /// Values that scale and offset turned into something that is not a finite number.
    pub not_finite: u64,
    /// Lines that were counted but could not be journaled: a kill before the next checkpoint loses them.
    pub unjournaled: u64,
}
