//! What the sink has refused: set aside by name, so that the rest goes on, and tried again with its next point and every
//! [`AGAIN_AFTER`].

use crate::engine::ids::Key;
use crate::engine::zone::Span;
use crate::sink::sql::times;
use std::collections::BTreeMap;

/// After this time, in nanoseconds, it is tried again although nothing has come.
const AGAIN_AFTER: i64 = 600 * 1_000_000_000;

/// So many are named in the log; `status` has all of them.
const NAMED_MAX: usize = 100;

/// A window whose partial or row was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
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

/// All that was refused.
#[derive(Debug, Default)]
pub struct SetAside(BTreeMap<(u32, i64, bool), Aside>);

impl SetAside {
    /// True if a window is not to be tried now. `version` is raised by each of its points.
    pub fn holds(&self, device: u32, start: i64, is_day: bool, version: u32, now: i64) -> bool {
        let aside = self.0.get(&(device, start, is_day));
        aside.is_some_and(|aside| {
            aside.version == version && now < aside.again_at && now >= aside.again_at - AGAIN_AFTER
        })
    }

    /// Notes that a window was refused; says so when it is the first time.
    pub fn put(&mut self, place: (u32, Span, bool), version: u32, key: &Key, table: String, reason: String, now: i64) {
        let (device, span, is_day) = place;
        let known = self.0.get(&(device, span.start, is_day));
        if known.is_none_or(|known| known.reason != reason) && self.0.len() < NAMED_MAX {
            log::warn!(
                "{table} {key:?} {}: the sink refuses the row ({reason}); set aside, tried again with its next point and \
                 every 10 minutes",
                times::datetime(span.start)
            );
        }
        let since = known.map_or(now, |known| known.since);
        let aside = Aside {
            table,
            key: key.clone(),
            window_start: span.start,
            reason,
            since,
            version,
            again_at: now.saturating_add(AGAIN_AFTER),
        };
        self.0.insert((device, span.start, is_day), aside);
    }

    /// Notes that a window was taken.
    pub fn taken(&mut self, device: u32, start: i64, is_day: bool) {
        if !self.0.is_empty() {
            self.0.remove(&(device, start, is_day));
        }
    }

    /// True if a window is set aside.
    pub fn is_aside(&self, device: u32, start: i64, is_day: bool) -> bool {
        self.0.contains_key(&(device, start, is_day))
    }

    /// True if nothing is set aside.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is set aside.
    pub fn list(&self) -> impl Iterator<Item = &Aside> {
        self.0.values()
    }
}
