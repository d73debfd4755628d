//! What is wrong for a while: each trouble is said when it begins, then ever less often, and once more when it is over, with how
//! long it took and what it cost. One board for the log and for `status.json`.
//!
//! Invariants: a trouble that is over has been said to be; the board has one place for each kind, so it is bounded. The table
//! itself is pure: times are arguments.

use super::clock;
use crate::words;
use log::Level;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const MINUTE: i64 = 60 * 1_000_000_000;
/// A trouble that lasts is said again after these times, and then after the last of them again and again.
const SAID_AGAIN_AFTER: [i64; 3] = [MINUTE, 10 * MINUTE, 60 * MINUTE];
/// So many causes of one trouble are said at once; others wait for their time.
const CAUSES_MAX: usize = 4;

/// What can be wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The configuration cannot be used: nothing is counted.
    Configuration,
    /// The configuration was edited and is not valid: the one from the start stays.
    Edited,
    /// The state directory cannot be used, or is another user's.
    Directory,
    /// The journal cannot be written.
    Journal,
    /// The journal's disk does not answer.
    StuckDisk,
    /// The journal cannot be synced.
    Sync,
    /// The state cannot be saved.
    State,
    /// The sink does not take rows.
    Sink,
    /// The thread that speaks to the sink is gone.
    Flusher,
    /// Old rows cannot be deleted.
    Retention,
    /// `status.json` cannot be written.
    Status,
}

impl Trouble {
    /// Its name in `status.json`.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Configuration => "configuration",
            Trouble::Edited => "edited",
            Trouble::Directory => "directory",
            Trouble::Journal => "journal",
            Trouble::StuckDisk => "stuck_disk",
            Trouble::Sync => "sync",
            Trouble::State => "state",
            Trouble::Sink => "sink",
            Trouble::Flusher => "flusher",
            Trouble::Retention => "retention",
            Trouble::Status => "status",
        }
    }
}

/// A trouble that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenTrouble {
    /// When it began: of a clock that is never set back, and in nanoseconds since the epoch.
    since: i64,
    since_wall: i64,
    /// The last cause.
    text: String,
    /// Causes that have been said.
    causes: Vec<String>,
    said_at: i64,
    said: usize,
    count: u64,
}

/// A trouble that is not over, as `status.json` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TroubleFigures {
    pub name: &'static str,
    /// Nanoseconds since the epoch.
    pub since: i64,
    pub text: String,
}

/// The troubles that are not over.
#[derive(Debug, Default)]
struct TroubleTable(BTreeMap<Trouble, OpenTrouble>);

impl TroubleTable {
    /// Notes that it is so at `now`. Returns what is to be said now.
    fn hold(&mut self, what: Trouble, text: &str, now: i64, wall: i64) -> Option<String> {
        let Some(open) = self.0.get_mut(&what) else {
            let open = OpenTrouble {
                since: now,
                since_wall: wall,
                text: text.to_string(),
                causes: vec![text.to_string()],
                said_at: now,
                said: 0,
                count: 0,
            };
            self.0.insert(what, open);
            return Some(text.to_string());
        };
        open.text = text.to_string();
        if open.causes.len() < CAUSES_MAX && open.causes.iter().all(|cause| cause != text) {
            open.causes.push(text.to_string());
            return Some(text.to_string());
        }
        let pause = SAID_AGAIN_AFTER[open.said.min(SAID_AGAIN_AFTER.len() - 1)];
        if now - open.said_at < pause {
            return None;
        }
        (open.said_at, open.said) = (now, open.said + 1);
        Some(format!("{text}; so for {}", words::lasting(now - open.since)))
    }

    /// It is over. Returns how long it lasted, in nanoseconds, and what was counted meanwhile.
    fn over(&mut self, what: Trouble, now: i64) -> Option<(i64, u64)> {
        self.0.remove(&what).map(|open| (now - open.since, open.count))
    }
}

/// The board, shared by all threads.
#[derive(Clone, Debug)]
pub struct Troubles {
    table: Arc<Mutex<TroubleTable>>,
    begun: Instant,
}

impl Default for Troubles {
    fn default() -> Troubles {
        Troubles { table: Arc::default(), begun: Instant::now() }
    }
}

impl Troubles {
    fn lock(&self) -> MutexGuard<'_, TroubleTable> {
        // Nothing panics while it is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Notes that something is wrong, whether it has been before or not. The log says it if it is time to; true then.
    pub fn hold(&self, what: Trouble, level: Level, text: &str) -> bool {
        let said = self.lock().hold(what, text, self.now(), clock::now());
        if let Some(said) = &said {
            log::log!(level, "{said}");
        }
        said.is_some()
    }

    /// Counts what some troubles cost, those of them that are not over.
    pub fn count(&self, whats: &[Trouble], n: u64) {
        let mut table = self.lock();
        for what in whats {
            table.0.entry(*what).and_modify(|open| open.count += n);
        }
    }

    /// Notes that something is not wrong. If it has been, the log says what `say` makes of how long it lasted, in words, and of
    /// what was counted meanwhile.
    pub fn over(&self, what: Trouble, say: impl FnOnce(&str, u64) -> String) {
        let over = self.lock().over(what, self.now());
        if let Some((lasted, count)) = over {
            let said = say(&words::lasting(lasted), count);
            log::info!("{said}");
        }
    }

    /// Those that are not over.
    pub fn open(&self) -> Vec<TroubleFigures> {
        let figures = |(what, open): (&Trouble, &OpenTrouble)| TroubleFigures {
            name: what.name(),
            since: open.since_wall,
            text: open.text.clone(),
        };
        self.lock().0.iter().map(figures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_trouble_that_lasts_is_said_ever_less_often() {
        let mut table = TroubleTable::default();
        let hour = 3_600;
        let said: Vec<i64> =
            (0..5 * hour).filter(|second| table.hold(Trouble::Sink, "away", second * SECOND, 0).is_some()).collect();
        assert_eq!(said, [0, 60, 660, 660 + hour, 660 + 2 * hour, 660 + 3 * hour, 660 + 4 * hour]);
        assert_eq!(table.over(Trouble::Sink, 5 * hour * SECOND), Some((5 * hour * SECOND, 0)));
        assert_eq!(table.over(Trouble::Sink, 6 * hour * SECOND), None, "once");
        assert_eq!(table.hold(Trouble::Sink, "away", 0, 0).as_deref(), Some("away"), "a new one is said at once");
    }

    #[test]
    fn another_cause_is_said_at_once_but_not_every_one_of_many() {
        let mut table = TroubleTable::default();
        let said = (0..100).filter(|n| table.hold(Trouble::Sink, &format!("cause {n}"), *n, 0).is_some()).count();
        assert_eq!(said, CAUSES_MAX);
        let again = table.hold(Trouble::Sink, "cause 100", 12 * MINUTE, 0);
        assert_eq!(again.as_deref(), Some("cause 100; so for 12 minutes"));
        assert_eq!(table.0[&Trouble::Sink].text, "cause 100");
    }

    #[test]
    fn what_a_trouble_costs_is_counted_while_it_lasts() {
        let troubles = Troubles::default();
        let both = [Trouble::Journal, Trouble::StuckDisk];
        troubles.count(&both, 7);
        troubles.hold(Trouble::Journal, Level::Error, "full");
        troubles.count(&both, 5);
        let mut cost = None;
        troubles.over(Trouble::StuckDisk, |_, _| panic!("it has not begun"));
        assert_eq!(
            troubles.open().iter().map(|open| (open.name, &open.text[..])).collect::<Vec<_>>(),
            [("journal", "full")]
        );
        troubles.over(Trouble::Journal, |_, count| {
            cost = Some(count);
            String::new()
        });
        assert_eq!((cost, troubles.open()), (Some(5), Vec::new()));
    }
}
