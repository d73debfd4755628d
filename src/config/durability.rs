//! `[durability]`: what a power loss may take.

use super::read::Table;
use super::units::SECOND;

/// What a power loss may take, and what the disk must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// The journal is synced this often, in nanoseconds: a power loss takes at most what came since.
    pub sync_every: i64,
    /// Bytes that the journal may hold while no checkpoint is possible.
    pub journal_bytes: u64,
}

/// Reads the section; `journal_bytes` stands among the limits.
pub fn durability(root: &Table<'_, '_>, journal_bytes: u64) -> Durability {
    let sync_every = root.section("durability", |table| {
        let Some(at) = table.and_then(|t| t.duration("sync_every")) else { return 5 * SECOND };
        if at.value < SECOND / 10 {
            root.document.problem_at(&at, "must be at least \"100ms\": write, for example, \"5s\"");
        }
        at.value
    });
    Durability { sync_every, journal_bytes }
}
