//! What became of lines and points, counted by reason, and of the values of each column: two tables, which the log, the status
//! and `replay` read.

/// A reason for which something was not counted, or not as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its name in `status.json`.
    pub name: &'static str,
    /// What it counts, for a list.
    pub things: &'static str,
    /// How the log says it, behind the count; `None` for what is only in the status.
    pub sentence: Option<Sentence>,
    /// What it counts is not in the rows.
    pub is_loss: bool,
    pub count: u64,
}

impl Reason {
    /// Returns what it counts, for its count: `1 late point`, `2 late points`, without the number.
    pub fn words(&self) -> String {
        if self.count != 1 {
            return self.things.to_string();
        }
        let nouns = [
            ("points", "point"),
            ("lines", "line"),
            ("values", "value"),
            ("duplicates", "duplicate"),
            ("conflicts", "conflict"),
        ];
        let one = nouns.iter().fold(self.things.to_string(), |text, (more, one)| text.replacen(more, one, 1));
        one.replacen(" are ", " is ", 1)
    }
}

/// What the log says of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The thing and its verb, for one.
    one: &'static str,
    /// The same for more.
    more: &'static str,
    /// What is so, and what to do.
    rest: &'static str,
}

impl Sentence {
    /// Returns it with its count.
    pub fn of(&self, count: u64) -> String {
        format!("{count} {} {}", if count == 1 { self.one } else { self.more }, self.rest)
    }
}

/// A sentence about things: how one of them begins it, how more do, and how it goes on.
const fn say(one: &'static str, more: &'static str, rest: &'static str) -> Option<Sentence> {
    Some(Sentence { one, more, rest })
}

/// What it counts is not in the rows.
const LOSS: bool = true;
/// What it counts is in the rows all the same.
const COUNTED: bool = false;

/// Defines the counters and the table of reasons.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $is_loss:expr, $things:literal, $sentence:expr;)*) => {
        /// What became of the lines and points that were read, since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            /// Lines with something in them: not blank, not a comment.
            pub lines: u64,
            /// Lines that match: measurement and tags are what a source asks for, and the key tags are there. That says nothing
            /// of their fields.
            pub matched: u64,
            /// Lines that feed a column: at least one of their points was counted.
            pub fed: u64,
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
                    is_loss: $is_loss,
                    count: self.$name,
                }),*].into_iter()
            }
        }
    };
}

counters! {
    /// Points older than `lateness.max` when they arrived.
    late: LOSS, "late points", say("point is", "points are",
        "older than lateness.max: forwarded, not counted; raise it if they are to count");
    /// Points further in the future than `lateness.future`.
    future: LOSS, "points in the future", say("point is", "points are",
        "further in the future than lateness.future: forwarded, not counted; look at that clock");
    /// Points seen before with the same value, or replaced by a later value for the same time.
    duplicates: LOSS, "duplicates", None;
    /// Points seen before with another value.
    conflicts: LOSS, "conflicts", say("point", "points",
        "came again with another value: forwarded, not counted, the first value stays; give two sensors of one name a tag each");
    /// Late points that are counted, although what came before them may have been forgotten: one that came twice counts twice.
    too_old_to_compare: COUNTED, "points too old to be compared with those before", say("point is", "points are",
        "older than the memory of duplicates reaches: counted; what came twice of them counts twice; raise limits.dedupe_points");
    /// Lines that match a source but lack a key tag.
    no_key: LOSS, "lines without a key tag", say("line matches", "lines match",
        "a source without a tag of the key: forwarded, not counted; look at `omit_hostname`, `tagexclude` and `taginclude` in Telegraf's \
         configuration");
    /// Lines beyond `limits.series` or `limits.devices`.
    over_limit: LOSS, "lines over a limit", say("line is", "lines are",
        "beyond limits.series or limits.devices: forwarded, not counted; raise the limit, or leave out the tag that makes so many");
    /// Values that scale and offset turned into something that is not a finite number.
    not_finite: LOSS, "values that are not finite", say("value is", "values are",
        "not finite after scale and offset: forwarded, not counted; look at those of the source");
    /// Values outside of the `valid` range of a column, after scale and offset.
    out_of_range: LOSS, "values out of range", say("value is", "values are",
        "outside of the `valid` range of a column: forwarded, not counted; look at that sensor, or at `valid`");
    /// Lines that Telegraf's parser would refuse.
    malformed: LOSS, "malformed lines", say("line is", "lines are",
        "not line protocol: forwarded, not counted; `telegraf-rollup check --explain LINE` shows where one breaks");
    /// Series that name a time zone which does not exist.
    unknown_zones: COUNTED, "series with an unknown time zone", say("series names", "series name",
        "an unknown time zone: counted, and their windows are cut in `timezone`; correct the tag that timezone_tag names");
    /// Lines that were counted but could not be journaled: a kill before the next checkpoint loses them.
    unjournaled: COUNTED, "lines that are not in the journal", None;
}

/// Defines why a column does not take a value, and the table of it.
macro_rules! column_reasons {
    ($($(#[$doc:meta])* $variant:ident: $name:literal, $thing:literal, $things:literal;)*) => {
        /// Why a column does not take a value that its sources ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ColumnReason {
            $($(#[$doc])* $variant,)*
        }

        impl ColumnReason {
            /// All of them, in the order of the table.
            pub const ALL: [ColumnReason; COLUMN_REASONS] = [$(ColumnReason::$variant),*];

            /// Its name in `status.json`.
            pub fn name(self) -> &'static str {
                match self {
                    $(ColumnReason::$variant => $name,)*
                }
            }

            /// What it counts, behind a number: this one.
            pub fn things(self, count: u64) -> &'static str {
                match (self, count) {
                    $((ColumnReason::$variant, 1) => $thing, (ColumnReason::$variant, _) => $things,)*
                }
            }
        }

        /// How many reasons there are.
        const COLUMN_REASONS: usize = [$($name),*].len();
    };
}

column_reasons! {
    /// A text, where a number is asked for.
    Text: "text", "is a text", "are texts";
    /// A line that matches a source of the column, and has none of the fields that those ask for.
    NoField: "no_field", "line lacks the field", "lines lack the field";
    /// A value outside of the column's `valid`.
    OutOfRange: "out_of_range", "out of range", "out of range";
    /// Not a finite number after scale and offset.
    NotFinite: "not_finite", "not finite", "not finite";
    /// Another value for the newest time: it takes the place of the one before.
    Replaced: "replaced", "replaced another value of the same time", "replaced another value of the same time";
    /// Another value for an older time: the first one stays.
    Conflict: "conflict", "came again with another value", "came again with another value";
    /// Older than `lateness.max`.
    Late: "late", "late", "late";
    /// Further ahead than `lateness.future`.
    Future: "future", "in the future", "in the future";
    /// Seen before.
    Duplicate: "duplicate", "duplicate", "duplicates";
}

/// What a column has taken since the start, and what not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub points: u64,
    /// Event time of the newest point; `i64::MIN` if there is none.
    pub last_point: i64,
    left: [u64; COLUMN_REASONS],
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { points: 0, last_point: i64::MIN, left: [0; COLUMN_REASONS] }
    }
}

impl Tally {
    /// Counts a point.
    #[inline]
    pub fn take(&mut self, at: i64) {
        self.points += 1;
        self.last_point = self.last_point.max(at);
    }

    /// Counts what is not taken.
    pub fn leave(&mut self, reason: ColumnReason) {
        self.left[reason as usize] += 1;
    }

    /// How much was not taken for a reason.
    pub fn left(&self, reason: ColumnReason) -> u64 {
        self.left[reason as usize]
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Tally) {
        self.points += other.points;
        self.last_point = self.last_point.max(other.last_point);
        self.left.iter_mut().zip(other.left).for_each(|(mine, theirs)| *mine += theirs);
    }
}
