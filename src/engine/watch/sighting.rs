//! Which lines are looked at, and what was seen.

use crate::engine::ids::Key;

/// What a line has in place of what a source of its measurement asks for; the later kinds say more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instead {
    /// Its tags are others.
    OtherTags,
    /// It lacks the field; `came` is one that it has.
    OtherField { wanted: String, came: String },
    /// The field is a text.
    Text { field: String, value: String },
}

/// A line that a column does not take, although a source asks for its measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Measurement and tags, for people.
    pub head: String,
    pub instead: Instead,
    /// Lines with its tags, whatever the device, were not seen before the column's last value.
    pub is_new: bool,
}

/// A device without values for a column, while others of its values, or lines of the same measurement, come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentDevice {
    /// Its key, for people.
    pub device: String,
    /// Event time of the column's newest value; `None` if it is not known.
    pub last: Option<i64>,
    /// Event time of what came since.
    pub newest: i64,
}

/// What was seen for a column since it was asked for last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnSightings {
    /// A line that the column does not take.
    pub instead: Option<Sighting>,
    /// A device that sends such a line and has had no value for an hour, or never one, and the line.
    pub silent: Option<(SilentDevice, Sighting)>,
    /// The key of that device.
    pub key: Key,
}

/// The devices without values for a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SilentColumn {
    pub devices: u64,
    pub first: Option<SilentDevice>,
}

/// Kinds of lines that are told apart for a column.
const KINDS_MAX: usize = 64;

/// Looks at every line at first, then at one of so many, at random so that polls of any length show all of their lines.
#[derive(Debug)]
pub struct Watch {
    /// So many lines more are looked at one after the other.
    pub all_of: u32,
    /// One of so many afterwards; at least 1.
    every: u32,
    /// Lines until the next look.
    pub wait: u32,
    random: u32,
    /// By column: what tells lines of the measurement apart but for the device, as a hash, and the event time of the first one.
    kin: Vec<Vec<(u64, i64)>>,
    /// By [`crate::engine::ids::ColumnIndex`].
    pub seen: Vec<ColumnSightings>,
}

impl Watch {
    /// Of so many columns.
    pub fn new(columns: usize) -> Watch {
        Watch {
            all_of: 0,
            every: 1,
            wait: 0,
            random: 0x9e37_79b9,
            kin: vec![Vec::new(); columns],
            seen: vec![ColumnSightings::default(); columns],
        }
    }

    /// The event time of the first line of a kind that was seen for a column; `None` if there are too many kinds.
    pub fn first_seen(&mut self, column: usize, kind: u64, at: i64) -> Option<i64> {
        let known = &mut self.kin[column];
        if let Some((_, first)) = known.iter_mut().find(|(other, _)| *other == kind) {
            *first = at.min(*first);
            return Some(*first);
        }
        let has_room = known.len() < KINDS_MAX;
        has_room.then(|| {
            known.push((kind, at));
            at
        })
    }

    /// From now on: so many lines, then one of so many.
    pub fn look(&mut self, all_of: u32, every: u32) {
        (self.all_of, self.every, self.wait) = (all_of, every.max(1), 0);
    }

    /// Lines until the next look, behind the one of now.
    pub fn next_wait(&mut self) -> u32 {
        if self.all_of > 0 {
            self.all_of -= 1;
            return 0;
        }
        // A xorshift: any numbers do, and the same input gives the same hints.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random % (2 * self.every - 1)
    }
}
