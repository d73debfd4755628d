//! How often the owner of a state directory does things, and how long it waits: the periods and limits of its life.
//!
//! Times are in nanoseconds of a clock that is never set back.

pub const SECOND: i64 = 1_000_000_000;
/// A bad configuration is read again after this time.
pub const CONFIG_EVERY: i64 = 10 * SECOND;
/// A state directory that cannot be used, or belongs to another user, is looked at again after this time.
pub const STATE_EVERY: i64 = 10 * SECOND;
/// How long matched lines wait for a state directory that somebody else owns.
pub const CLAIM_MAX: i64 = 15 * SECOND;
/// How often an owned state directory is tried again meanwhile.
pub const CLAIM_EVERY: i64 = SECOND / 10;
/// Without a matched line, a free state directory is taken after this time to write what is left over, and given back.
pub const LEFT_OVER_AFTER: i64 = 30 * SECOND;
/// The state is saved this often ...
pub const CHECKPOINT_EVERY: i64 = 60 * SECOND;
/// ... and when the journal has grown by this many bytes.
pub const CHECKPOINT_BYTES: u64 = 8 << 20;
/// A checkpoint is followed by a pause of at least this many times its duration, unless a minute has passed.
pub const CHECKPOINT_PAUSE: i64 = 20;
/// How often it is looked at the journal, at requests, and at who else waits.
pub const LOOK_EVERY: i64 = SECOND;
/// The first rows come within this time, whatever `flush.every` is.
pub const FIRST_FLUSH_MAX: i64 = 60 * SECOND;
/// The first flush waits at least this long, so that it has something to write.
pub const FIRST_FLUSH_MIN: i64 = 2 * SECOND;
/// Old rows are deleted this often.
pub const PURGE_EVERY: i64 = 3_600 * SECOND;
/// How often `status.json` is written.
pub const STATUS_EVERY: i64 = 10 * SECOND;
/// How often the log says what was not counted.
pub const REPORT_EVERY: i64 = 60 * SECOND;
/// After the first minute: how long it takes until the log says for the second time that nothing has matched, for the third time,
/// and again and again.
pub const NOTHING_MATCHED_AFTER: [i64; 2] = [10 * 60 * SECOND, 3_600 * SECOND];
/// It is looked this often whether the configuration was edited.
pub const LOOK_AT_CONFIG_EVERY: i64 = 10 * SECOND;
/// After an error that nobody thought of, it is gone on after this time.
pub const PANIC_PAUSE: i64 = 10 * SECOND;
/// Of the time that the end may take, this much is kept for the last checkpoint.
pub const END_RESERVE: i64 = SECOND;
/// The last checkpoint may take this many times what the slowest one has taken: the last flush has changed everything.
pub const END_RESERVE_TIMES: i64 = 2;

/// What the machine needs of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds between two flushes.
    pub flush_every: i64,
    /// Nanoseconds between two writings of rows of running days.
    pub daily_every: i64,
    /// Any number: writers spread over the interval, so that a fleet does not arrive at once.
    pub splay: u64,
}

impl Pace {
    /// Returns how long after it has become the owner a process writes its first rows, in nanoseconds.
    pub fn first_flush(&self) -> i64 {
        let every = self.flush_every.max(1);
        let splay = (self.splay % every.unsigned_abs()) as i64;
        splay.clamp(FIRST_FLUSH_MIN.min(every), FIRST_FLUSH_MAX)
    }
}

/// Returns how long the last checkpoint may take, if the slowest one so far took so long.
pub fn last_save_max(slowest: i64) -> i64 {
    slowest.max(0).saturating_mul(END_RESERVE_TIMES)
}
