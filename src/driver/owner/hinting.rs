//! Gathers what hints are judged by, once a minute and at the end.

use super::figures::Figures;
use crate::driver::flush::due::DEVICES_A_SLICE;
use crate::driver::hints::{Hints, Look};
use crate::driver::intake::shared::Shared;

/// So many lines a minute are looked at as a whole, about.
const LINES_A_LOOK: u64 = 4_000;
/// So many lines are looked at when the first ones come, and one of so many until the first minute is over.
const FIRST_LINES: (u32, u32) = (1_000, 4_096);
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

    /// Begins to look at lines.
    pub fn begin(&self, shared: &Shared) {
        shared.with(|engine| engine.watch(FIRST_LINES.0, FIRST_LINES.1));
    }

    /// Names, once, the columns for which nothing has come.
    pub fn absent(&mut self, figures: &Figures, now: i64) -> Option<String> {
        self.hints.absent(&figures.columns, now)
    }

    /// Returns what is new.
    pub fn look(&mut self, shared: &Shared, figures: &Figures, now: i64) -> Vec<String> {
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
        self.hints.look(&look, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::Engine;

    const MINUTE: i64 = 60 * 1_000_000_000;
    const START: i64 = 28_400_000 * MINUTE;

    /// The hints of a process that gets lines once a minute, each with the minute.
    fn hints(minutes: i64, lines: impl Fn(i64) -> Vec<String>) -> Vec<(i64, String)> {
        let text = "[[summary]]\nname = \"s\"\nkey = [\"host\"]\ncolumn = [{ name = \"max_temp\", method = \"max\", sources = [\
                    { measurement = \"temp\", tags = { sensor = \"coretemp_*\" }, field = \"temp\" }] }]\n";
        let config = Config::check(text, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        let shared = Shared::new(Engine::new(config.schema));
        let mut hinting = Hinting::new(START);
        hinting.begin(&shared);
        let mut said = Vec::new();
        for minute in 0..minutes {
            let now = START + minute * MINUTE;
            let lines: Vec<String> = lines(minute).into_iter().map(|line| format!("{line} {now}\n")).collect();
            shared.batch(lines.iter().map(|line| line.as_bytes()), now);
            let figures = Figures::take(&shared, None);
            said.extend(hinting.look(&shared, &figures, now).into_iter().map(|hint| (minute, hint)));
        }
        said
    }

    #[test]
    fn a_sensor_that_gets_another_name_is_named_after_an_hour() {
        let said = hints(400, |minute| {
            let name = if minute < 60 { "coretemp_package_id_0" } else { "package_id_0" };
            vec![format!("temp,host=a,sensor=nvme temp={minute}"), format!("temp,host=a,sensor={name} temp={minute}")]
        });
        let [(minute, hint)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(*minute, 59 + 60);
        assert!(hint.starts_with("column s.max_temp: is silent on host=a: the last value is of"), "{hint}");
        assert!(hint.contains("since then `temp,host=a,sensor=package_id_0` comes"), "{hint}");
    }

    #[test]
    fn a_device_that_is_switched_off_is_not_named() {
        let line = |host: &str, sensor: &str| format!("temp,host={host},sensor={sensor} temp=1");
        let said = hints(400, |minute| {
            let (on, off) =
                (["coretemp_0", "nvme"].map(|s| line("a", s)), ["coretemp_0", "nvme"].map(|s| line("b", s)));
            on.into_iter().chain(off.into_iter().filter(|_| minute < 60)).collect()
        });
        assert_eq!(said, []);
    }

    #[test]
    fn a_source_that_no_head_ever_matches_is_named() {
        let said = hints(30, |minute| vec![format!("temp,host=a,sensor=cpu_thermal temp={minute}")]);
        let [(5, hint)] = &said[..] else { panic!("{said:?}") };
        assert!(hint.contains("although the measurement comes") && hint.contains("cpu_thermal"), "{hint}");
    }
}
