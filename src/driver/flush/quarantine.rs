//! Quarantine: rows that the sink has refused are set aside by name, so that the rest goes on, and tried again with their
//! next point and every [`AGAIN_AFTER`].
//!
//! Invariant: at most [`HELD_MAX`] windows are held. What is refused beyond that is not remembered: it is tried at every
//! flush, and counted.

use crate::engine::ids::{DeviceIndex, Key};
use crate::sink::sql::times;
use std::collections::BTreeMap;

/// After this time, in nanoseconds, a row is tried again although no point has come.
const AGAIN_AFTER: i64 = 600 * 1_000_000_000;
/// Windows that are held at most.
pub const HELD_MAX: usize = 10_000;
/// So many are named in the log.
const NAMED_MAX: u64 = 100;
/// So many are described in the status.
pub const SHOWN_MAX: usize = 20;

/// Which row: the device, the start of its window, and whether it is that of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPlace {
    pub device: DeviceIndex,
    /// Nanoseconds since the epoch.
    pub start: i64,
    pub is_day: bool,
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    pub table: String,
    pub key: Key,
    /// Start of the window, nanoseconds since the epoch.
    pub window_start: i64,
    /// What the database said.
    pub reason: String,
    /// When it was refused for the first time.
    pub since: i64,
    version: u32,
    again_at: i64,
}

/// What the status says of the quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFigures {
    /// Rows that are set aside.
    pub count: usize,
    /// The first few of them.
    pub first: Vec<RefusedRow>,
    /// Rows that were refused and not remembered in the last delivery.
    pub beyond: u64,
}

/// All rows that are set aside.
#[derive(Debug, Default)]
pub struct Quarantine {
    held: BTreeMap<RowPlace, RefusedRow>,
    /// Refused rows of this delivery for which there was no room.
    beyond: u64,
    /// Rows that have been named in the log.
    named: u64,
}

impl Quarantine {
    /// True if a row is not to be tried now. `version` is raised by each point of its window.
    pub fn holds(&self, place: RowPlace, version: u32, now: i64) -> bool {
        self.held.get(&place).is_some_and(|row| {
            row.version == version && now < row.again_at && now >= row.again_at.saturating_sub(AGAIN_AFTER)
        })
    }

    /// Notes that a row was refused; says so when it is the first time.
    pub fn put(&mut self, place: RowPlace, version: u32, key: &Key, table: &str, reason: String, now: i64) {
        let known = self.held.get(&place);
        if known.is_none_or(|known| known.reason != reason) && self.named < NAMED_MAX {
            self.named += 1;
            log::warn!(
                "{table} {key:?} {}: the sink refuses the row ({reason}); set aside, tried again with its next point and \
                 every 10 minutes; `telegraf-rollup resend` tries at once",
                times::datetime(place.start)
            );
        }
        if known.is_none() && self.held.len() >= HELD_MAX {
            if self.beyond == 0 {
                log::error!(
                    "the sink refuses more than {HELD_MAX} rows: others are tried at every flush; see `status`"
                );
            }
            self.beyond += 1;
            return;
        }
        let since = known.map_or(now, |known| known.since);
        let row = RefusedRow {
            table: table.to_string(),
            key: key.clone(),
            window_start: place.start,
            reason,
            since,
            version,
            again_at: now.saturating_add(AGAIN_AFTER),
        };
        self.held.insert(place, row);
    }

    /// Notes that a row was taken.
    pub fn taken(&mut self, place: RowPlace) {
        if !self.held.is_empty() {
            self.held.remove(&place);
        }
    }

    /// Has every row tried at the next flush.
    pub fn release(&mut self) {
        self.held.values_mut().for_each(|row| row.again_at = i64::MIN);
    }

    /// Begins a delivery: counts anew what there is no room for.
    pub fn begin_delivery(&mut self) {
        self.beyond = 0;
    }

    /// True if a row is set aside.
    pub fn is_held(&self, place: RowPlace) -> bool {
        self.held.contains_key(&place)
    }

    /// Returns what the status says.
    pub fn figures(&self) -> QuarantineFigures {
        QuarantineFigures {
            count: self.held.len(),
            first: self.held.values().take(SHOWN_MAX).cloned().collect(),
            beyond: self.beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u32) -> RowPlace {
        RowPlace { device: DeviceIndex(n), start: 0, is_day: false }
    }

    fn refuse(quarantine: &mut Quarantine, n: u32, now: i64) {
        let key: Key = [n.to_string()].into();
        quarantine.put(place(n), 1, &key, "t", "no".to_string(), now);
    }

    #[test]
    fn what_is_held_and_what_is_shown_is_bounded() {
        let mut quarantine = Quarantine::default();
        quarantine.begin_delivery();
        (0..HELD_MAX as u32 + 7).for_each(|n| refuse(&mut quarantine, n, 5));
        let figures = quarantine.figures();
        assert_eq!((figures.count, figures.first.len(), figures.beyond), (HELD_MAX, SHOWN_MAX, 7));
        assert!(!quarantine.holds(place(HELD_MAX as u32), 1, 5), "what is not remembered is tried");
        // One that is known is refused again, also where there is no room.
        refuse(&mut quarantine, 3, 9);
        assert_eq!(quarantine.figures().count, HELD_MAX);
        quarantine.begin_delivery();
        quarantine.taken(place(3));
        refuse(&mut quarantine, HELD_MAX as u32, 9);
        assert_eq!((quarantine.figures().count, quarantine.figures().beyond), (HELD_MAX, 0));
    }

    #[test]
    fn a_row_is_tried_again_with_a_point_after_a_while_and_when_somebody_asks() {
        let mut quarantine = Quarantine::default();
        refuse(&mut quarantine, 1, 0);
        assert!(quarantine.holds(place(1), 1, 1));
        assert!(!quarantine.holds(place(1), 2, 1), "a point has come");
        assert!(!quarantine.holds(place(1), 1, AGAIN_AFTER), "time has passed");
        assert!(!quarantine.holds(place(1), 1, -1), "the clock was set back");
        quarantine.release();
        assert!(!quarantine.holds(place(1), 1, 1), "somebody has asked");
        assert!(quarantine.is_held(place(1)), "it is still shown until it is taken");
    }
}
