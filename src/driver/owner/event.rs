//! What the lifecycle of an owner is told.

use super::pace::Pace;

/// Where it begins after a valid configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Lines are matched; some have been already.
    Guest { has_matched: bool },
    /// The state directory, or something in it, is another user's.
    Foreign,
    /// Telegraf only tests: nothing may be touched.
    OnlyTests,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The state is ours, and recovered.
    Granted,
    /// Another process owns it.
    Taken,
    /// It is another user's.
    Foreign,
    /// It cannot be used now.
    Unusable,
}

/// How a flush has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushEnd {
    /// Everything was written.
    Complete,
    Failed,
    /// The sink was set aside and is empty: everything is due again.
    Emptied,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Started,
    Configured(Pace),
    Misconfigured,
    Entered(Admission),
    /// A line has matched for the first time.
    Matched,
    Claimed(Claimed),
    /// The engine is switched on, with the state.
    Owned,
    /// While what is left over is written: somebody else waits for the state directory.
    OthersWait,
    /// The state was saved, or could not be; it took so long, and the journal had so many bytes when it began.
    Saved {
        took: i64,
        journal_bytes: u64,
    },
    /// So many bytes were written to the journal since the start.
    JournalHas(u64),
    /// Another process asks for everything to be written again.
    Requested,
    /// Somebody wants the rows now.
    FlushNow,
    /// A flush has ended; `random` is any number.
    FlushEnded {
        end: FlushEnd,
        random: u64,
    },
    /// The thread that flushes has died, or could not be started.
    FlusherLost,
    /// The input has ended; the process must be gone after so many nanoseconds.
    InputEnded {
        patience: i64,
    },
    /// An action has panicked.
    Panicked,
}
