//! The life of the process that owns a state directory, or would like to, as a pure state machine: events with a time go in,
//! actions come out. Time is an argument, in nanoseconds of a clock that is never set back.
//!
//! ```text
//! Starting --valid configuration--> Guest --first matched line--> Claiming --granted--> Owner --end of input--> Ending
//!    |                               |  ^                             |
//!    |                               |  +-- LeftOver (nothing has matched for a while: what an earlier process
//!    |                               +----> has left over is written, and the directory is given back)
//!    +--> Foreign (another user's directory: looked at again)         +--refused--> Pipe
//!    +--> Pipe (Telegraf only tests)
//! ```
//!
//! The state directory is claimed with the first matched line: Telegraf before 1.40 starts a second instance of every
//! processor if aggregators exist, and starts the wrong one first. While another process owns the directory, matched lines
//! go to a journal file of our own for up to [`CLAIM_MAX`] (the owner may be on its way out); then this process is a plain
//! pipe.
//!
//! Invariants: after [`Action::Finish`] there are no actions; one flush at most is at work; what waits for a network
//! is never an action of this machine's thread, only the order to begin it.

use super::action::{Action, FlushOrder, PipeReason};
use super::pace::{
    CHECKPOINT_BYTES, CHECKPOINT_EVERY, CHECKPOINT_PAUSE, CLAIM_EVERY, CLAIM_MAX, CONFIG_EVERY, END_RESERVE,
    LEFT_OVER_AFTER, LOOK_AT_CONFIG_EVERY, LOOK_EVERY, NOTHING_MATCHED_AFTER, PANIC_PAUSE, PURGE_EVERY, Pace,
    REPORT_EVERY, SECOND, STATE_EVERY, STATUS_EVERY, last_save_max,
};
use super::schedule::{Schedule, Timer};
use crate::driver::backoff;

pub use super::event::{Admission, Claimed, Event, FlushEnd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Foreign,
    Guest,
    Claiming,
    /// The state is claimed and recovered, and the engine is being switched on.
    Owning,
    LeftOver,
    Owner,
    Ending,
    Pipe,
    Ended,
}

/// The state machine.
#[derive(Debug)]
pub struct Lifecycle {
    phase: Phase,
    schedule: Schedule,
    pace: Option<Pace>,
    /// Since when somebody else has owned the state directory.
    taken_since: Option<i64>,
    /// A flush is at work.
    is_flushing: bool,
    /// The flush at work is the last one.
    is_last: bool,
    /// When rows of running days were written.
    daily_at: Option<i64>,
    /// Flushes that have failed, in a row.
    failures: u32,
    wants_purge: bool,
    /// How often it was said that nothing has matched.
    complaints: usize,
    /// Everything is to be written again as soon as no flush is at work.
    wants_resend: bool,
    /// A flush was asked for that could not begin yet.
    wants_flush: bool,
    /// At the end: the sink was set aside, and is being filled again.
    has_refilled: bool,
    saved_at: i64,
    saved_bytes: u64,
    /// What the slowest checkpoint took.
    slowest_save: i64,
    pause_after_save: i64,
    /// At the end: the state was saved before the last flush.
    has_saved_first: bool,
    /// The process must be gone then.
    end_at: i64,
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle {
            phase: Phase::Starting,
            schedule: Schedule::default(),
            pace: None,
            taken_since: None,
            is_flushing: false,
            is_last: false,
            daily_at: None,
            failures: 0,
            wants_purge: false,
            complaints: 0,
            wants_resend: false,
            wants_flush: false,
            has_refilled: false,
            saved_at: 0,
            saved_bytes: 0,
            slowest_save: 0,
            pause_after_save: 0,
            has_saved_first: false,
            end_at: i64::MAX,
        }
    }
}

impl Lifecycle {
    /// Returns when [`Lifecycle::tick`] has something to do; `None` if nothing but an event is waited for.
    pub fn next(&self) -> Option<i64> {
        self.schedule.next()
    }

    /// True if this process owns the state, or has until the end of the input.
    pub fn is_owner(&self) -> bool {
        matches!(self.phase, Phase::Owner | Phase::Ending)
    }

    /// Returns the actions of the timer that is due; call it until it returns none.
    pub fn tick(&mut self, now: i64) -> Vec<Action> {
        let Some(timer) = self.schedule.take_due(now) else { return Vec::new() };
        match (timer, self.phase) {
            (Timer::ReadConfig, Phase::Starting) => vec![Action::ReadConfig],
            (Timer::LookAtDirectory, Phase::Foreign) => vec![Action::Enter],
            (Timer::Claim, Phase::Claiming) => vec![Action::Claim],
            (Timer::LeftOver, Phase::Guest) => {
                self.phase = Phase::LeftOver;
                vec![Action::Claim]
            }
            (Timer::LookForOthers, Phase::LeftOver) => {
                self.schedule.set(Timer::LookForOthers, now + LOOK_EVERY);
                vec![Action::LookForOthers]
            }
            (Timer::Checkpoint, Phase::Owner) => {
                self.schedule.set(Timer::Checkpoint, now + CHECKPOINT_EVERY);
                vec![Action::Checkpoint]
            }
            (Timer::LookAtJournal, Phase::Owner) => {
                self.schedule.set(Timer::LookAtJournal, now + LOOK_EVERY);
                vec![Action::LookAtJournal]
            }
            (Timer::LookForRequests, Phase::Owner) => {
                self.schedule.set(Timer::LookForRequests, now + LOOK_EVERY);
                vec![Action::LookForRequests]
            }
            (Timer::Report, Phase::Guest) => {
                let pause = NOTHING_MATCHED_AFTER[self.complaints.min(NOTHING_MATCHED_AFTER.len() - 1)];
                self.complaints += 1;
                self.schedule.set(Timer::Report, now + pause);
                vec![Action::SayNothingMatched]
            }
            (Timer::Report, Phase::LeftOver) => {
                self.schedule.set(Timer::Report, now + LOOK_EVERY);
                Vec::new()
            }
            (Timer::Report, Phase::Owner) => {
                self.schedule.set(Timer::Report, now + REPORT_EVERY);
                vec![Action::Report]
            }
            (Timer::LookAtConfig, _) => {
                self.schedule.set(Timer::LookAtConfig, now + LOOK_AT_CONFIG_EVERY);
                vec![Action::LookAtConfig]
            }
            (Timer::WriteStatus, Phase::Owner | Phase::Guest | Phase::LeftOver) => {
                self.schedule.set(Timer::WriteStatus, now + STATUS_EVERY);
                vec![Action::WriteStatus]
            }
            (Timer::Purge, Phase::Owner) => {
                self.schedule.set(Timer::Purge, now + PURGE_EVERY);
                self.wants_purge = true;
                Vec::new()
            }
            (Timer::Flush, Phase::Owner) if !self.is_flushing => self.flush(now),
            (Timer::StartFlusher, _) => vec![Action::StartFlusher],
            (Timer::GiveUpFlush, Phase::Ending) => [vec![Action::CutFlushShort], self.finish(now)].concat(),
            _ => Vec::new(),
        }
    }

    /// Returns the actions that an event leads to.
    pub fn step(&mut self, now: i64, event: Event) -> Vec<Action> {
        match event {
            _ if self.phase == Phase::Ended => Vec::new(),
            Event::Started => vec![Action::ReadConfig],
            Event::Misconfigured => {
                self.schedule.set(Timer::ReadConfig, now + CONFIG_EVERY);
                Vec::new()
            }
            Event::Configured(pace) => {
                self.pace = Some(pace);
                self.schedule.set(Timer::LookAtConfig, now + LOOK_AT_CONFIG_EVERY);
                vec![Action::StartFlusher, Action::Enter]
            }
            Event::Entered(entry) => self.entered(now, entry),
            Event::Matched => match self.phase {
                Phase::Guest => self.begin_claiming(),
                Phase::LeftOver => {
                    self.schedule.stop(Timer::LookForOthers);
                    [vec![Action::Abandon], self.begin_claiming()].concat()
                }
                _ => Vec::new(),
            },
            Event::Claimed(answer) => self.claimed(now, answer),
            Event::Owned => self.owned(now),
            Event::OthersWait => match self.phase {
                Phase::LeftOver => self.be_guest(vec![Action::Abandon]),
                _ => Vec::new(),
            },
            Event::Saved { took, journal_bytes } => {
                (self.saved_at, self.saved_bytes) = (now, journal_bytes);
                self.slowest_save = self.slowest_save.max(took);
                // A large state under a fast stream: the journal grows, and is bounded, but saving does not take over.
                self.pause_after_save = took.max(0).saturating_mul(CHECKPOINT_PAUSE);
                Vec::new()
            }
            Event::JournalHas(bytes) => {
                let has_grown = bytes.saturating_sub(self.saved_bytes) >= CHECKPOINT_BYTES;
                if self.phase != Phase::Owner || !has_grown || now - self.saved_at < self.pause_after_save {
                    return Vec::new();
                }
                self.schedule.set(Timer::Checkpoint, now + CHECKPOINT_EVERY);
                vec![Action::Checkpoint]
            }
            Event::Requested => self.requested(now),
            Event::FlushNow => self.flush_now(now),
            Event::FlushEnded { end, random } => self.flush_ended(now, end, random),
            Event::FlusherLost => {
                // Whoever asks it for something meanwhile does not put it off.
                if self.schedule.due(Timer::StartFlusher).is_none() {
                    self.schedule.set(Timer::StartFlusher, now + PANIC_PAUSE);
                }
                let was_flushing = std::mem::take(&mut self.is_flushing);
                match self.phase {
                    Phase::Ending => self.finish(now),
                    Phase::LeftOver => self.be_guest(vec![Action::Abandon]),
                    Phase::Owner if was_flushing => {
                        self.schedule.set(Timer::Flush, now + PANIC_PAUSE);
                        Vec::new()
                    }
                    _ => Vec::new(),
                }
            }
            Event::InputEnded { patience } => self.input_ended(now, patience),
            Event::Panicked => self.panicked(now),
        }
    }

    fn entered(&mut self, now: i64, entry: Admission) -> Vec<Action> {
        match entry {
            Admission::Foreign => {
                let is_new = self.phase != Phase::Foreign;
                self.phase = Phase::Foreign;
                self.schedule.set(Timer::LookAtDirectory, now + STATE_EVERY);
                if is_new { vec![Action::BecomePipe(PipeReason::Foreign)] } else { Vec::new() }
            }
            Admission::OnlyTests => self.be_pipe(PipeReason::OnlyTests),
            Admission::Guest { has_matched } => {
                self.phase = Phase::Guest;
                self.schedule.set(Timer::LeftOver, now + LEFT_OVER_AFTER);
                self.schedule.set(Timer::Report, now + REPORT_EVERY);
                self.schedule.set(Timer::WriteStatus, now);
                let mut actions = vec![Action::MakeTables];
                if has_matched {
                    actions.extend(self.begin_claiming());
                }
                actions
            }
        }
    }

    fn begin_claiming(&mut self) -> Vec<Action> {
        self.phase = Phase::Claiming;
        self.schedule.stop(Timer::LeftOver);
        self.schedule.stop(Timer::Report);
        // Somebody else may own the directory.
        self.schedule.stop(Timer::WriteStatus);
        vec![Action::Claim]
    }

    /// Waits for a line again; what is left over has been looked at.
    fn be_guest(&mut self, actions: Vec<Action>) -> Vec<Action> {
        self.phase = Phase::Guest;
        self.is_flushing = false;
        self.schedule.stop(Timer::LookForOthers);
        actions
    }

    fn claimed(&mut self, now: i64, answer: Claimed) -> Vec<Action> {
        match (self.phase, answer) {
            (Phase::LeftOver, Claimed::Granted) => {
                self.is_flushing = true;
                self.schedule.set(Timer::LookForOthers, now + LOOK_EVERY);
                vec![Action::WriteLeftOver]
            }
            (Phase::LeftOver, _) => self.be_guest(Vec::new()),
            (Phase::Claiming, Claimed::Granted) => {
                self.phase = Phase::Owning;
                vec![Action::Own]
            }
            (Phase::Claiming, Claimed::Taken) => {
                let since = *self.taken_since.get_or_insert(now);
                if now - since >= CLAIM_MAX {
                    return self.be_pipe(PipeReason::OwnedByAnother);
                }
                self.schedule.set(Timer::Claim, now + CLAIM_EVERY);
                Vec::new()
            }
            (Phase::Claiming, Claimed::Foreign) => self.entered(now, Admission::Foreign),
            (Phase::Claiming, Claimed::Unusable) => {
                self.taken_since = None;
                self.schedule.set(Timer::Claim, now + STATE_EVERY);
                Vec::new()
            }
            // The last try, at the end of the input.
            (Phase::Ending, Claimed::Granted) => vec![Action::Own],
            (Phase::Ending, _) => {
                self.phase = Phase::Ended;
                // Our file stays for the next owner; what was forwarded has been written.
                vec![Action::SyncJournal, Action::Finish]
            }
            _ => Vec::new(),
        }
    }

    /// The engine is on: flushes, checkpoints and reports begin.
    fn owned(&mut self, now: i64) -> Vec<Action> {
        match self.phase {
            Phase::Owning => {
                self.begin_owning(now);
                Vec::new()
            }
            // The input has ended meanwhile.
            Phase::Ending => [vec![Action::SaveForTheEnd], self.last_flush()].concat(),
            _ => Vec::new(),
        }
    }

    fn be_pipe(&mut self, reason: PipeReason) -> Vec<Action> {
        self.phase = Phase::Pipe;
        self.schedule.stop_all();
        vec![Action::BecomePipe(reason)]
    }

    fn begin_owning(&mut self, now: i64) {
        let pace = self.pace.unwrap_or(Pace { flush_every: 60 * SECOND, daily_every: 60 * SECOND, splay: 0 });
        self.phase = Phase::Owner;
        // A flusher that could not be started is still waited for.
        self.schedule.stop(Timer::LeftOver);
        self.saved_at = now;
        let first = if self.wants_flush { 0 } else { pace.first_flush() };
        self.schedule.set(Timer::Flush, now + first);
        // Somewhere in the first hour: a fleet that is restarted does not purge at once.
        self.schedule.set(Timer::Purge, now + (pace.splay % PURGE_EVERY.unsigned_abs()) as i64);
        self.schedule.set(Timer::Checkpoint, now + CHECKPOINT_EVERY);
        self.schedule.set(Timer::LookAtJournal, now + LOOK_EVERY);
        self.schedule.set(Timer::LookForRequests, now + LOOK_EVERY);
        self.schedule.set(Timer::WriteStatus, now);
        self.schedule.set(Timer::Report, now + REPORT_EVERY);
    }

    /// Begins a flush.
    fn flush(&mut self, now: i64) -> Vec<Action> {
        let daily_every = self.pace.map_or(0, |pace| pace.daily_every);
        let is_wanted = std::mem::take(&mut self.wants_flush);
        let running = is_wanted || self.daily_at.is_none_or(|at| now - at >= daily_every);
        if running {
            self.daily_at = Some(now);
        }
        self.is_flushing = true;
        let purge = std::mem::take(&mut self.wants_purge);
        vec![Action::Flush(FlushOrder { running, is_last: false, purge, retry_refused: false })]
    }

    /// Begins a flush, rows of running days too. One that is at work may have passed what has come since: another follows it.
    fn flush_now(&mut self, now: i64) -> Vec<Action> {
        match self.phase {
            Phase::Owner if !self.is_flushing => {
                self.wants_flush = true;
                self.flush(now)
            }
            // Whoever does not own the state yet flushes as soon as it does.
            Phase::Owner | Phase::Starting | Phase::Guest | Phase::Claiming | Phase::Owning | Phase::LeftOver => {
                self.wants_flush = true;
                Vec::new()
            }
            // There is nothing to flush, or the last flush is on its way.
            Phase::Foreign | Phase::Pipe | Phase::Ending | Phase::Ended => Vec::new(),
        }
    }

    fn requested(&mut self, now: i64) -> Vec<Action> {
        if self.phase != Phase::Owner {
            return Vec::new();
        }
        if self.is_flushing {
            self.wants_resend = true;
            return Vec::new();
        }
        self.resend(now)
    }

    fn resend(&mut self, now: i64) -> Vec<Action> {
        (self.wants_resend, self.wants_flush) = (false, false);
        // If it cannot be done, not again at once.
        self.schedule.set(Timer::LookForRequests, now + STATE_EVERY);
        self.is_flushing = true;
        self.daily_at = Some(now);
        let order = FlushOrder { running: true, is_last: false, purge: false, retry_refused: true };
        vec![Action::Resend, Action::Flush(order)]
    }

    fn flush_ended(&mut self, now: i64, end: FlushEnd, random: u64) -> Vec<Action> {
        self.is_flushing = false;
        match self.phase {
            Phase::LeftOver => return self.be_guest(vec![Action::GiveBack]),
            // A sink that was set aside is a new one at the second try.
            Phase::Ending if self.is_last && end == FlushEnd::Emptied && !self.has_refilled => {
                self.has_refilled = true;
                return self.last_flush();
            }
            Phase::Ending if self.is_last => return self.finish(now),
            Phase::Ending => return self.last_flush(),
            Phase::Owner => {}
            _ => return Vec::new(),
        }
        let every = self.pace.map_or(60 * SECOND, |pace| pace.flush_every);
        let pause = match end {
            FlushEnd::Complete => {
                self.failures = 0;
                every
            }
            FlushEnd::Failed | FlushEnd::Emptied => {
                self.failures = self.failures.saturating_add(1);
                // Rows of running days are still due.
                self.daily_at = None;
                backoff::pause(self.failures, every, random)
            }
        };
        self.schedule.set(Timer::Flush, now + pause);
        // A sink that was set aside is a new one at the second try.
        if (end == FlushEnd::Emptied && self.failures == 1) || self.wants_resend {
            self.resend(now)
        } else if self.wants_flush {
            self.flush(now)
        } else {
            Vec::new()
        }
    }

    fn input_ended(&mut self, now: i64, patience: i64) -> Vec<Action> {
        self.end_at = now.saturating_add(patience);
        self.schedule.stop_all();
        match self.phase {
            Phase::Owner => {
                self.phase = Phase::Ending;
                // A large state goes before the last rows: what they acknowledge is due again at the next start.
                self.has_saved_first = last_save_max(self.slowest_save) > END_RESERVE;
                let save = if self.has_saved_first { Action::Checkpoint } else { Action::SaveForTheEnd };
                let mut actions = vec![save];
                if self.is_flushing {
                    self.schedule.set(Timer::GiveUpFlush, self.end_at - END_RESERVE);
                } else {
                    actions.extend(self.last_flush());
                }
                actions
            }
            // What is being switched on says so in a moment.
            Phase::Owning => {
                self.phase = Phase::Ending;
                Vec::new()
            }
            Phase::Claiming => {
                // A predecessor may have left just now.
                self.phase = Phase::Ending;
                vec![Action::Claim]
            }
            Phase::LeftOver => {
                self.phase = Phase::Ended;
                vec![Action::Abandon, Action::WriteStatus, Action::Finish]
            }
            Phase::Guest => {
                self.phase = Phase::Ended;
                vec![Action::SyncJournal, Action::WriteStatus, Action::Finish]
            }
            Phase::Starting | Phase::Foreign | Phase::Pipe => {
                self.phase = Phase::Ended;
                vec![Action::Finish]
            }
            Phase::Ending | Phase::Ended => Vec::new(),
        }
    }

    fn last_flush(&mut self) -> Vec<Action> {
        (self.is_flushing, self.is_last) = (true, true);
        self.schedule.set(Timer::GiveUpFlush, self.end_at - END_RESERVE);
        vec![Action::Flush(FlushOrder { running: true, is_last: true, purge: false, retry_refused: false })]
    }

    /// Saves the state for the last time, if it was not saved a moment ago and there is no time for it.
    fn finish(&mut self, now: i64) -> Vec<Action> {
        self.phase = Phase::Ended;
        self.schedule.stop_all();
        let end = [Action::Checkpoint, Action::WriteStatus, Action::Finish];
        let skips_saving = self.has_saved_first && now.saturating_add(last_save_max(self.slowest_save)) > self.end_at;
        end[usize::from(skips_saving)..].to_vec()
    }

    /// Goes on after an error that nobody thought of: what was being done is done again after a pause.
    fn panicked(&mut self, now: i64) -> Vec<Action> {
        let again = now + PANIC_PAUSE;
        match self.phase {
            Phase::Starting => self.schedule.set(Timer::ReadConfig, again),
            Phase::Foreign => self.schedule.set(Timer::LookAtDirectory, again),
            Phase::Claiming => self.schedule.set(Timer::Claim, again),
            Phase::Owning => {
                self.phase = Phase::Claiming;
                self.schedule.set(Timer::Claim, again);
                return vec![Action::Abandon];
            }
            Phase::LeftOver => return self.be_guest(vec![Action::Abandon]),
            Phase::Owner => {
                if !self.is_flushing && self.schedule.due(Timer::Flush).is_none() {
                    self.schedule.set(Timer::Flush, again);
                }
                return vec![Action::SaveAllNext];
            }
            Phase::Ending if self.is_flushing => return vec![Action::SaveAllNext],
            Phase::Ending => {
                self.phase = Phase::Ended;
                return vec![Action::Finish];
            }
            // Whatever was being given back is given back.
            Phase::Guest => return vec![Action::Abandon],
            Phase::Pipe | Phase::Ended => {}
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { flush_every: 60 * SECOND, daily_every: 300 * SECOND, splay: 7 * SECOND as u64 };

    /// A life whose time is moved by hand.
    struct Life {
        life: Lifecycle,
        now: i64,
    }

    impl Life {
        fn new() -> Life {
            let mut life = Life { life: Lifecycle::default(), now: 0 };
            assert_eq!(life.event(Event::Started), [Action::ReadConfig]);
            life
        }

        fn event(&mut self, event: Event) -> Vec<Action> {
            self.life.step(self.now, event)
        }

        /// Lets time pass. Returns each action with the second in which it was due, but for looks at the configuration, and the
        /// status of who owns nothing.
        fn pass(&mut self, seconds: i64) -> Vec<(i64, Action)> {
            let is_owner = self.life.is_owner();
            let mut out = self.pass_all(seconds);
            out.retain(|(_, action)| *action != Action::LookAtConfig && (is_owner || *action != Action::WriteStatus));
            out
        }

        /// The same with all actions.
        fn pass_all(&mut self, seconds: i64) -> Vec<(i64, Action)> {
            let until = self.now + seconds * SECOND;
            let mut out = Vec::new();
            while let Some(at) = self.life.next().filter(|at| *at <= until) {
                self.now = at.max(self.now);
                out.extend(self.life.tick(self.now).into_iter().map(|action| (self.now / SECOND, action)));
            }
            self.now = until;
            out
        }

        fn guest() -> Life {
            let mut life = Life::new();
            assert_eq!(life.event(Event::Configured(PACE)), [Action::StartFlusher, Action::Enter]);
            let entered = Event::Entered(Admission::Guest { has_matched: false });
            assert_eq!(life.event(entered), [Action::MakeTables]);
            life
        }

        fn owner() -> Life {
            let mut life = Life::guest();
            assert_eq!(life.event(Event::Matched), [Action::Claim]);
            assert_eq!(life.event(Event::Claimed(Claimed::Granted)), [Action::Own]);
            assert_eq!(life.event(Event::Owned), []);
            assert!(life.life.is_owner());
            life
        }

        /// The flushes among the actions of some time.
        fn flushes(&mut self, seconds: i64) -> Vec<(i64, FlushOrder)> {
            let flush = |(at, action)| match action {
                Action::Flush(order) => Some((at, order)),
                _ => None,
            };
            self.pass(seconds).into_iter().filter_map(flush).collect()
        }

        fn flush_ended(&mut self, end: FlushEnd) -> Vec<Action> {
            self.event(Event::FlushEnded { end, random: 0 })
        }
    }

    const END: Event = Event::InputEnded { patience: 4 * SECOND };
    const LAST: FlushOrder = FlushOrder { running: true, is_last: true, purge: false, retry_refused: false };

    #[test]
    fn a_bad_configuration_is_read_again_until_it_is_good() {
        let mut life = Life::new();
        assert_eq!(life.event(Event::Misconfigured), []);
        assert_eq!(life.pass(10), [(10, Action::ReadConfig)]);
        assert_eq!(life.event(Event::Panicked), [], "so is one whose reading panics");
        assert_eq!(life.pass(10), [(20, Action::ReadConfig)]);
        assert_eq!(life.event(END), [Action::Finish]);
        assert_eq!((life.event(Event::Configured(PACE)), life.pass(100)), (vec![], vec![]), "nothing follows the end");
    }

    #[test]
    fn another_user_s_directory_is_looked_at_again_and_heals() {
        let mut life = Life::new();
        life.event(Event::Configured(PACE));
        let foreign = Event::Entered(Admission::Foreign);
        assert_eq!(life.event(foreign), [Action::BecomePipe(PipeReason::Foreign)]);
        assert_eq!(life.pass(10), [(10, Action::Enter)]);
        assert_eq!(life.event(foreign), [], "said once");
        assert_eq!(life.pass(10), [(20, Action::Enter)]);
        let entered = Event::Entered(Admission::Guest { has_matched: true });
        assert_eq!(life.event(entered), [Action::MakeTables, Action::Claim]);
    }

    #[test]
    fn a_directory_that_is_taken_is_waited_for_a_while() {
        let mut life = Life::guest();
        life.event(Event::Matched);
        let mut tries = 0;
        let last = loop {
            let actions = life.event(Event::Claimed(Claimed::Taken));
            if !actions.is_empty() {
                break actions;
            }
            tries += 1;
            life.life.schedule.stop(Timer::LookAtConfig);
            let next = life.life.next().expect("it tries again");
            life.now = next;
            assert_eq!(life.life.tick(next), [Action::Claim]);
        };
        assert_eq!(last, [Action::BecomePipe(PipeReason::OwnedByAnother)]);
        assert_eq!((tries, life.now), (CLAIM_MAX / CLAIM_EVERY, CLAIM_MAX));
        assert_eq!((life.pass(1_000), life.event(END)), (vec![], vec![Action::Finish]));
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_tried_for_ever() {
        let mut life = Life::guest();
        life.event(Event::Matched);
        for round in 1..100 {
            assert_eq!(life.event(Event::Claimed(Claimed::Unusable)), []);
            assert_eq!(life.pass(10), [(round * 10, Action::Claim)]);
        }
        assert_eq!(life.event(Event::Claimed(Claimed::Granted)), [Action::Own]);
    }

    #[test]
    fn that_nothing_matches_is_said_after_a_minute_and_then_ever_less_often() {
        let mut life = Life::guest();
        life.pass(30);
        life.event(Event::Claimed(Claimed::Unusable));
        let said = life.pass(8_000).into_iter().map(|(at, action)| {
            assert_eq!(action, Action::SayNothingMatched);
            at
        });
        assert_eq!(said.collect::<Vec<_>>(), [60, 660, 4_260, 7_860]);
        assert_eq!(life.event(Event::Matched), [Action::Claim]);
        assert_eq!(life.pass(10_000), [], "something has matched");
    }

    /// From the start: nobody has to wait for a line to learn how it is. But whoever waits for a directory that is another's says
    /// nothing in its name.
    #[test]
    fn a_guest_writes_its_status_from_the_start() {
        let mut life = Life::guest();
        assert_eq!(life.pass_all(0), [(0, Action::WriteStatus)]);
        let status = |life: &mut Life, seconds| {
            let actions = life.pass_all(seconds).into_iter();
            actions.filter_map(|(at, action)| (action == Action::WriteStatus).then_some(at)).collect::<Vec<_>>()
        };
        assert_eq!(status(&mut life, 40), [10, 20, 30, 40], "also while what is left over is looked at");
        life.event(Event::Claimed(Claimed::Unusable));
        life.event(Event::Matched);
        life.event(Event::Claimed(Claimed::Taken));
        assert_eq!(status(&mut life, 10), Vec::<i64>::new(), "somebody else owns the directory");
        life.event(Event::Claimed(Claimed::Granted));
        life.event(Event::Owned);
        assert_eq!(status(&mut life, 10), [50, 60]);
        let mut life = Life::guest();
        let end = [Action::SyncJournal, Action::WriteStatus, Action::Finish];
        assert_eq!((life.pass_all(0).len(), life.event(END)), (1, end.to_vec()), "also if it ends at once");
    }

    #[test]
    fn it_is_looked_whether_the_configuration_was_edited() {
        for mut life in [Life::guest(), Life::owner()] {
            let looks = life.pass_all(60).into_iter().filter(|(_, action)| *action == Action::LookAtConfig);
            assert_eq!(looks.map(|(at, _)| at).collect::<Vec<_>>(), [10, 20, 30, 40, 50, 60]);
            life.event(END);
            assert_eq!(life.pass_all(0), []);
        }
    }

    #[test]
    fn what_is_left_over_is_written_and_the_directory_given_back() {
        let mut life = Life::guest();
        assert_eq!(life.pass(30), [(30, Action::Claim)]);
        assert_eq!(life.event(Event::Claimed(Claimed::Granted)), [Action::WriteLeftOver]);
        assert_eq!(life.pass(2), [(31, Action::LookForOthers), (32, Action::LookForOthers)]);
        assert_eq!(life.flush_ended(FlushEnd::Complete), [Action::GiveBack]);
        assert_eq!(life.pass(600), [(60, Action::SayNothingMatched)], "it is done once");
        assert_eq!(life.event(Event::Matched), [Action::Claim]);
    }

    #[test]
    fn what_is_left_over_waits_for_nobody_who_needs_the_directory() {
        let begin = || {
            let mut life = Life::guest();
            life.pass(30);
            life.event(Event::Claimed(Claimed::Granted));
            life
        };
        let mut life = begin();
        assert_eq!(life.event(Event::OthersWait), [Action::Abandon]);
        assert_eq!(life.flush_ended(FlushEnd::Complete), [], "the flush that was abandoned ends at last");
        assert_eq!(life.event(Event::Matched), [Action::Claim]);
        let mut life = begin();
        assert_eq!(life.event(Event::Matched), [Action::Abandon, Action::Claim]);
        assert_eq!(life.flush_ended(FlushEnd::Failed), []);
        assert_eq!(begin().event(END), [Action::Abandon, Action::WriteStatus, Action::Finish]);
        assert_eq!(begin().event(Event::FlusherLost), [Action::Abandon]);
        assert_eq!(begin().event(Event::Panicked), [Action::Abandon]);
    }

    /// The sink needs an hour for one flush: everything else goes on as with a quick one.
    #[test]
    fn a_slow_sink_delays_nothing_but_its_rows() {
        let mut life = Life::owner();
        assert_eq!(life.pass(0), [(0, Action::WriteStatus)]);
        let hour = |life: &mut Life, is_slow: bool| {
            let mut counts = std::collections::BTreeMap::new();
            for _ in 0..3_600 {
                for (_, action) in life.pass(1) {
                    *counts
                        .entry(format!("{action:?}").split('(').next().unwrap_or_default().to_string())
                        .or_insert(0) += 1;
                    match action {
                        Action::Checkpoint => drop(life.event(Event::Saved { took: SECOND / 10, journal_bytes: 0 })),
                        Action::Flush(_) if !is_slow => drop(life.flush_ended(FlushEnd::Complete)),
                        _ => {}
                    }
                }
            }
            counts
        };
        let mut quick = hour(&mut life, false);
        let mut slow = hour(&mut life, true);
        assert_eq!((quick.remove("Flush"), slow.remove("Flush")), (Some(60), Some(1)));
        assert_eq!(slow, quick);
        assert_eq!((slow["Checkpoint"], slow["WriteStatus"], slow["LookAtJournal"]), (60, 360, 3_600));
    }

    #[test]
    fn the_journal_s_growth_is_saved_at_once_but_not_all_the_time() {
        let mut life = Life::owner();
        assert_eq!(life.event(Event::JournalHas(CHECKPOINT_BYTES - 1)), []);
        assert_eq!(life.event(Event::JournalHas(CHECKPOINT_BYTES)), [Action::Checkpoint]);
        life.event(Event::Saved { took: SECOND, journal_bytes: CHECKPOINT_BYTES });
        life.now += 19 * SECOND;
        assert_eq!(life.event(Event::JournalHas(9 * CHECKPOINT_BYTES)), [], "saving does not take over");
        life.now += SECOND;
        assert_eq!(life.event(Event::JournalHas(9 * CHECKPOINT_BYTES)), [Action::Checkpoint]);
    }

    #[test]
    fn flushes_back_off_and_come_back() {
        let mut life = Life::owner();
        let first = life.flushes(60);
        assert_eq!(first.len(), 1);
        assert_eq!((first[0].0, first[0].1.running), (7, true), "spread by the writer");
        let mut pauses = Vec::new();
        for _ in 0..8 {
            life.flush_ended(FlushEnd::Failed);
            let began = life.now / SECOND;
            let flushes = life.flushes(100);
            assert_eq!(flushes.len(), 1);
            assert!(flushes[0].1.running, "rows of running days are still due");
            pauses.push(flushes[0].0 - began);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        life.flush_ended(FlushEnd::Complete);
        assert_eq!(life.flushes(60).len(), 1);
    }

    #[test]
    fn who_asks_for_everything_gets_it_as_soon_as_no_flush_is_at_work() {
        let again = FlushOrder { running: true, is_last: false, purge: false, retry_refused: true };
        let mut life = Life::owner();
        assert_eq!(life.event(Event::Requested), [Action::Resend, Action::Flush(again)]);
        assert_eq!(life.event(Event::Requested), []);
        assert_eq!(life.flush_ended(FlushEnd::Complete), [Action::Resend, Action::Flush(again)]);
        assert_eq!(life.flush_ended(FlushEnd::Emptied), [Action::Resend, Action::Flush(again)]);
        assert_eq!(life.flush_ended(FlushEnd::Emptied), [], "a sink that is emptied again and again backs off");
    }

    #[test]
    fn who_wants_the_rows_now_gets_them_at_once() {
        let now = [Action::Flush(FlushOrder { running: true, is_last: false, purge: false, retry_refused: false })];
        let mut life = Life::owner();
        assert_eq!(life.event(Event::FlushNow), now);
        life.flush_ended(FlushEnd::Complete);
        life.now += SECOND;
        assert_eq!(life.event(Event::FlushNow), now, "rows of running days too, whenever they were written");
        // What has come since it began is not in the one at work.
        assert_eq!(life.event(Event::FlushNow), []);
        assert_eq!(life.event(Event::FlushNow), []);
        assert_eq!(life.flush_ended(FlushEnd::Complete), now);
        assert_eq!(life.flush_ended(FlushEnd::Complete), [], "one follows, however often it was asked for");
        let flushes = life.flushes(130);
        assert_eq!(flushes.len(), 1, "the pace stays as it is: {flushes:?}");
        // A sink that is away is tried at once, and one that is away still is left alone after that.
        assert_eq!(life.event(Event::FlushNow), []);
        assert_eq!(life.flush_ended(FlushEnd::Failed), now);
        assert_eq!(life.flush_ended(FlushEnd::Failed), []);
        assert_eq!(life.event(Event::FlushNow), now);
        // Everything again is more than what was asked for.
        assert_eq!((life.event(Event::FlushNow), life.event(Event::Requested)), (vec![], vec![]));
        assert_eq!(life.flush_ended(FlushEnd::Complete)[0], Action::Resend);
        assert_eq!(life.flush_ended(FlushEnd::Complete), []);
        // The last flush has them all.
        life.event(END);
        assert_eq!(life.event(Event::FlushNow), []);
    }

    #[test]
    fn who_wants_the_rows_before_the_state_is_ours_gets_them_first_of_all() {
        let mut life = Life::guest();
        assert_eq!(life.event(Event::FlushNow), []);
        life.event(Event::Matched);
        life.event(Event::Claimed(Claimed::Granted));
        assert_eq!(life.event(Event::Owned), []);
        let order = FlushOrder { running: true, is_last: false, purge: false, retry_refused: false };
        assert_eq!(life.flushes(0), [(0, order)]);
        // A plain pipe has no rows.
        let mut life = Life::new();
        life.event(Event::Configured(PACE));
        life.event(Event::Entered(Admission::Foreign));
        assert_eq!(life.event(Event::FlushNow), []);
    }

    #[test]
    fn who_only_tests_is_a_plain_pipe() {
        let mut life = Life::new();
        assert_eq!(life.event(Event::Configured(PACE)), [Action::StartFlusher, Action::Enter]);
        let actions = life.event(Event::Entered(Admission::OnlyTests));
        assert_eq!(actions, [Action::BecomePipe(PipeReason::OnlyTests)]);
        assert_eq!((life.event(Event::Matched), life.pass(1_000)), (vec![], vec![]));
        assert_eq!(life.event(END), [Action::Finish]);
    }

    #[test]
    fn the_end_of_an_owner() {
        let mut life = Life::owner();
        assert_eq!(life.event(END), [Action::SaveForTheEnd, Action::Flush(LAST)]);
        let end = [Action::Checkpoint, Action::WriteStatus, Action::Finish];
        assert_eq!(life.flush_ended(FlushEnd::Complete), end);
        assert_eq!((life.pass(100), life.event(Event::Matched)), (vec![], vec![]));

        // A flush is at work: the last one comes after it.
        let mut life = Life::owner();
        assert_eq!(life.flushes(10).len(), 1);
        assert_eq!(life.event(END), [Action::SaveForTheEnd]);
        assert_eq!(life.flush_ended(FlushEnd::Complete), [Action::Flush(LAST)]);
        // The sink was set aside: a new one is filled.
        assert_eq!(life.flush_ended(FlushEnd::Emptied), [Action::Flush(LAST)]);
        assert_eq!(life.flush_ended(FlushEnd::Emptied), end);
    }

    /// A sink that does not answer costs the last rows, and not the state.
    #[test]
    fn the_end_does_not_wait_for_a_sink() {
        let unfinished = [Action::CutFlushShort, Action::Checkpoint, Action::WriteStatus, Action::Finish];
        for flush_first in [false, true] {
            let mut life = Life::owner();
            if flush_first {
                life.flushes(10);
            }
            let began = life.now / SECOND;
            life.event(END);
            assert_eq!(life.pass(4), unfinished.map(|action| (began + 3, action)));
            assert_eq!(life.flush_ended(FlushEnd::Complete), []);
        }
        let mut life = Life::owner();
        life.event(END);
        assert_eq!(life.event(Event::FlusherLost), [Action::Checkpoint, Action::WriteStatus, Action::Finish]);
    }

    /// A state that takes long to save goes before the last rows, and is saved again if there is time for it.
    #[test]
    fn a_large_state_is_saved_before_the_last_rows() {
        let saved = |took| Event::Saved { took, journal_bytes: 0 };
        let large = || {
            let mut life = Life::owner();
            life.event(saved(SECOND * 3 / 4));
            life.event(saved(SECOND / 10));
            assert_eq!(life.event(END), [Action::Checkpoint, Action::Flush(LAST)]);
            life
        };
        let end = [Action::Checkpoint, Action::WriteStatus, Action::Finish];
        let mut quick = large();
        quick.now += 2 * SECOND;
        quick.event(saved(SECOND));
        assert_eq!(quick.flush_ended(FlushEnd::Complete), end);
        let mut slow = large();
        slow.now += 2 * SECOND;
        slow.event(saved(2 * SECOND));
        assert_eq!(slow.flush_ended(FlushEnd::Complete), end[1..]);
        let mut cut = large();
        let began = cut.now / SECOND;
        let unfinished = [Action::CutFlushShort, Action::WriteStatus, Action::Finish];
        assert_eq!(cut.pass(4), unfinished.map(|action| (began + 3, action)));
        let mut small = Life::owner();
        small.event(saved(SECOND / 2));
        assert_eq!(small.event(END), [Action::SaveForTheEnd, Action::Flush(LAST)]);
        assert_eq!(small.flush_ended(FlushEnd::Complete), end);
    }

    #[test]
    fn the_end_of_one_who_is_no_owner() {
        assert_eq!(Life::guest().event(END), [Action::SyncJournal, Action::WriteStatus, Action::Finish]);
        let mut life = Life::guest();
        life.event(Event::Matched);
        life.event(Event::Claimed(Claimed::Taken));
        assert_eq!(life.event(END), [Action::Claim], "the predecessor may have left just now");
        assert_eq!(life.event(Event::Claimed(Claimed::Taken)), [Action::SyncJournal, Action::Finish]);
        let mut life = Life::guest();
        life.event(Event::Matched);
        assert_eq!(life.event(END), [Action::Claim]);
        assert_eq!(life.event(Event::Claimed(Claimed::Granted)), [Action::Own]);
        assert_eq!(life.event(Event::Owned), [Action::SaveForTheEnd, Action::Flush(LAST)]);
        // The input ends while the engine is switched on.
        let mut life = Life::guest();
        life.event(Event::Matched);
        life.event(Event::Claimed(Claimed::Granted));
        assert_eq!(life.event(END), []);
        assert_eq!(life.event(Event::Owned), [Action::SaveForTheEnd, Action::Flush(LAST)]);
    }

    #[test]
    fn an_action_that_panics_ends_nothing() {
        let mut life = Life::guest();
        life.event(Event::Matched);
        assert_eq!(life.event(Event::Panicked), []);
        assert_eq!(life.pass(10), [(10, Action::Claim)]);
        assert_eq!(life.event(Event::Claimed(Claimed::Granted)), [Action::Own]);
        assert_eq!(life.event(Event::Panicked), [Action::Abandon]);
        assert_eq!(life.pass(10), [(20, Action::Claim)]);
        assert_eq!(life.event(Event::FlusherLost), []);
        life.event(Event::Claimed(Claimed::Granted));
        life.event(Event::Owned);
        let mut started = None;
        for _ in 0..12 {
            for (at, action) in life.pass(1) {
                match action {
                    Action::Flush(_) if started.is_none() => assert_eq!(life.event(Event::FlusherLost), []),
                    Action::StartFlusher => started = Some(at),
                    _ => {}
                }
            }
        }
        assert_eq!(started, Some(30), "whatever is asked of it meanwhile");
        assert_eq!(life.event(Event::Panicked), [Action::SaveAllNext]);
        assert_eq!(life.flushes(58).len(), 1);
        assert_eq!(life.event(Event::FlusherLost), []);
        let actions = life.pass(60);
        assert!(actions.contains(&(100, Action::StartFlusher)), "{actions:?}");
        assert!(actions.iter().any(|(_, action)| matches!(action, Action::Flush(_))), "{actions:?}");
        assert_eq!(life.event(END)[0], Action::SaveForTheEnd);
        assert_eq!(life.event(Event::Panicked), [Action::SaveAllNext]);
    }
}
