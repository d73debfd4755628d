//! What became of lines and points, counted by reason: one table, which the log, the status and `replay` read.

/// A reason for which something was not counted, or not as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its name in `status.json`.
    pub name: &'static str,
    /// What it counts, for a list.
    pub things: &'static str,
    /// How the log says it, behind the count; `None` for what is no loss and only in the status.
    pub sentence: Option<&'static str>,
    pub count: u64,
}

/// Defines the counters and the table of reasons.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $things:literal, $sentence:expr;)*) => {
        /// What became of the lines and points that were read, since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            /// Lines with something in them: not blank, not a comment.
            pub lines: u64,
            /// Lines of a series that feeds a column.
            pub matched: u64,
            /// Points (fields) folded into a window, or pending there.
            pub points: u64,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Returns every reason with its count.
            pub fn reasons(&self) -> impl Iterator<Item = Reason> {
                [$(Reason {
                    name: stringify!($name),
                    things: $things,
                    sentence: $sentence,
                    count: self.$name,
                }),*].into_iter()
            }
        }
    };
}

counters! {
    /// Points older than `lateness.max` when they arrived.
    late: "late points", Some("points are older than lateness.max");
    /// Points further in the future than `lateness.future`.
    future: "points in the future", Some("points are further in the future than lateness.future: look at that clock");
    /// Points seen before with the same value, or replaced by a later value for the same time.
    duplicates: "duplicates", None;
    /// Points seen before with another value.
    conflicts: "conflicts", Some("points came again with another value");
    /// Lines that match a source but lack a key tag.
    no_key: "lines without a key tag", Some("lines match a source but lack a key tag");
    /// Lines beyond `limits.series` or `limits.devices`.
    over_limit: "lines over a limit", Some("lines exceed limits.series or limits.devices");
    /// Values that scale and offset turned into something that is not a finite number.
    not_finite: "values that are not finite", Some("values are not finite after scale and offset");
    /// Values outside of the `valid` range of a column, after scale and offset.
    out_of_range: "values out of range", Some("values are outside of the `valid` range of a column");
    /// Lines that Telegraf's parser would refuse.
    malformed: "malformed lines", Some("lines are not line protocol");
    /// Series that name a time zone which does not exist.
    unknown_zones: "series with an unknown time zone",
        Some("series name an unknown time zone, their windows are cut in `timezone`");
    /// Lines that were counted but could not be journaled: a kill before the next checkpoint loses them.
    unjournaled: "lines that are not in the journal", None;
}
