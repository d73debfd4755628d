//! The unit that a timestamp is written in: nanoseconds, if nobody says otherwise.

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// What is read as nanoseconds and lies before this moment of February 1970 may have been written in another unit.
pub const MISREAD_BELOW: i64 = YEARS.1 * 1_000_000;
/// The years 1990 to 2100, in seconds since the epoch: what people measure.
const YEARS: (i64, i64) = (631_152_000, 4_102_444_800);

impl Precision {
    /// All of them, the coarsest first.
    pub const ALL: [Precision; 4] =
        [Precision::Seconds, Precision::Milliseconds, Precision::Microseconds, Precision::Nanoseconds];

    /// Its short name, as InfluxDB writes it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Seconds => "s",
            Precision::Milliseconds => "ms",
            Precision::Microseconds => "us",
            Precision::Nanoseconds => "ns",
        }
    }

    /// Its name for people.
    pub fn words(self) -> &'static str {
        match self {
            Precision::Seconds => "seconds",
            Precision::Milliseconds => "milliseconds",
            Precision::Microseconds => "microseconds",
            Precision::Nanoseconds => "nanoseconds",
        }
    }

    /// How many digits it has fewer than nanoseconds.
    pub fn digits(self) -> usize {
        match self {
            Precision::Seconds => 9,
            Precision::Milliseconds => 6,
            Precision::Microseconds => 3,
            Precision::Nanoseconds => 0,
        }
    }

    /// The unit that a timestamp looks like, if it is not nanoseconds: read so, it is of our time.
    ///
    /// A clock that begins in 1970 gives such small numbers, too; those are whole seconds, in nanoseconds, as Telegraf rounds.
    pub fn guess(at: i64) -> Option<Precision> {
        let unit = |precision: &&Precision| {
            let a_second = 10_i64.pow(9 - precision.digits() as u32);
            (YEARS.0 * a_second..YEARS.1 * a_second).contains(&at)
        };
        let other = &Precision::ALL[..3];
        other.iter().find(unit).copied().filter(|_| at % 1_000_000_000 != 0)
    }
}

/// Timestamps that look like another unit than nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misread {
    /// How many there were.
    pub count: u64,
    /// The last one, as it was written, and the unit that it looks like.
    pub last: Option<(i64, Precision)>,
}

impl Misread {
    /// Looks at a timestamp.
    #[cold]
    pub fn note(&mut self, at: i64) {
        if let Some(precision) = Precision::guess(at) {
            self.count += 1;
            self.last = Some((at, precision));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart() {
        let table = [
            (1_704_067_200, Some(Precision::Seconds)),
            (1_704_067_260_000, Some(Precision::Milliseconds)),
            (1_704_067_260_123_000, Some(Precision::Microseconds)),
            (1_704_067_260_123_456_000, None),
            (0, None),
            (-1_704_067_200, None),
            (86_400, None),
            // A device without a clock, half an hour after it was switched on.
            (1_800_000_000_000, None),
        ];
        for (at, unit) in table {
            assert_eq!(Precision::guess(at), unit, "{at}");
            assert!(unit.is_none() || at < MISREAD_BELOW, "{at}");
        }
    }
}
