//! What tells series, devices, runs and the like from each other: an index of one kind cannot be passed for another.
//!
//! An *index* is a place in a list of the engine and means nothing outside of the process. An *id* names something in stored
//! state, for as long as it is there.

use std::sync::Arc;

/// Defines a number of a kind of its own.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($number:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $number);

        impl $name {
            /// The number for a place in a list, of which there are never more than the number holds.
            #[inline]
            pub fn of(place: usize) -> $name {
                $name(place as $number)
            }

            /// The place in a list.
            #[inline]
            pub fn at(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

numbers! {
    /// Index of a device.
    DeviceIndex(u32);
    /// Index of a series. [`UNMATCHED`] is the series that feeds nothing.
    SeriesIndex(u32);
    /// Index of a run: a process, or what it has seen behind a gap in its journal.
    RunIndex(u32);
    /// Index of a time zone.
    ZoneIndex(u16);
    /// Index of a summary in the schema.
    SummaryIndex(u16);
    /// Index of an accumulator's definition in its summary.
    DefIndex(u16);
    /// Index of a column among those of all summaries, in the order of the configuration.
    ColumnIndex(u32);
    /// Number of a cached head.
    HeadNumber(u32);
    /// Names a device in stored state.
    DeviceId(u32);
    /// Names a series in stored state.
    SeriesId(u32);
    /// Names a field of a series in stored state and in the memory of duplicates.
    SlotId(u32);
}

/// The series of every head that no source matches.
pub const UNMATCHED: SeriesIndex = SeriesIndex(u32::MAX);
/// No head.
pub const NO_HEAD: HeadNumber = HeadNumber(u32::MAX);

/// The text of the key tags of a device, shared by all that speak of it.
pub type Key = Arc<[String]>;
