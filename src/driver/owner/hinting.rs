//! Gathers what hints are judged by, once a minute, and puts them into the log.

use super::figures::Figures;
use crate::driver::flush::due::DEVICES_A_SLICE;
use crate::driver::hints::{Hints, Look};
use crate::driver::intake::shared::Shared;

/// So many lines a minute are looked at as a whole, about.
const LINES_A_LOOK: u64 = 4_000;
/// Devices are looked through at every tenth look.
const LOOKS_A_SEARCH: u32 = 10;

/// The hints of a process.
#[derive(Debug)]
pub struct Hinting {
    hints: Hints,
    lines: u64,
    looks: u32,
}

impl Hinting {
    /// Of an owner that has started at a time, in nanoseconds since the epoch.
    pub fn new(started: i64) -> Hinting {
        Hinting { hints: Hints::new(started), lines: 0, looks: 0 }
    }

    /// Says what is new.
    pub fn look(&mut self, shared: &Shared, figures: &Figures, now: i64) {
        let lines = figures.counters.lines;
        let every = (lines.saturating_sub(self.lines) / LINES_A_LOOK).max(1);
        (self.lines, self.looks) = (lines, self.looks + 1);
        let mut silent = Vec::new();
        if self.looks.is_multiple_of(LOOKS_A_SEARCH) {
            shared.slices(|engine, from| engine.silent(from, DEVICES_A_SLICE, &mut silent));
        }
        let taken = shared.with(|engine| {
            engine.watch(0, u32::try_from(every).unwrap_or(u32::MAX / 2));
            (engine.take_seen(), engine.take_differing())
        });
        let (seen, differing) = taken.unwrap_or_default();
        let look = Look { columns: figures.columns.clone(), seen, differing, silent, misread: figures.misread };
        for hint in self.hints.look(&look, now) {
            log::warn!("{hint}");
        }
    }
}
