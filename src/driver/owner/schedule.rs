//! A table of deadlines. Pure: time is an argument, in nanoseconds of a clock that is never set back.
//!
//! Invariant: a timer has one deadline at most, the last that was set; one that is taken is not set any more.

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Read the configuration again.
    ReadConfig,
    /// Look again whether the state directory is another user's.
    LookAtDirectory,
    /// Try again to claim the state directory.
    Claim,
    /// Without a matched line: write what an earlier process has left over.
    LeftOver,
    /// While that is written: look whether somebody else waits for the state directory.
    LookForOthers,
    /// Save the state.
    Checkpoint,
    /// Look how much the journal has grown.
    LookAtJournal,
    Flush,
    /// Delete what is older than the retention.
    Purge,
    WriteStatus,
    /// Look what other processes ask for.
    LookForRequests,
    /// Say in the log what was not counted.
    Report,
    /// Start a thread that has died, or could not be started.
    StartFlusher,
    /// The last flush has had its time.
    GiveUpFlush,
    /// Look whether the configuration was edited.
    LookAtConfig,
}

/// How many timers there are.
const TIMERS: usize = 15;

/// When each timer is due.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    due: [Option<i64>; TIMERS],
}

impl Schedule {
    /// Sets a timer, whatever it was set to.
    pub fn set(&mut self, timer: Timer, at: i64) {
        self.due[timer as usize] = Some(at);
    }

    /// Stops a timer.
    pub fn stop(&mut self, timer: Timer) {
        self.due[timer as usize] = None;
    }

    /// Stops all timers.
    pub fn stop_all(&mut self) {
        self.due = [None; TIMERS];
    }

    /// Returns when the next timer is due; `None` if none is set.
    pub fn next(&self) -> Option<i64> {
        self.due.iter().flatten().min().copied()
    }

    /// Returns when a timer is due; `None` if it is not set.
    pub fn due(&self, timer: Timer) -> Option<i64> {
        self.due[timer as usize]
    }

    /// Takes the timer that has been due for longest; `None` if none is. It is not set any more then.
    pub fn take_due(&mut self, now: i64) -> Option<Timer> {
        const ALL: [Timer; TIMERS] = [
            Timer::ReadConfig,
            Timer::LookAtDirectory,
            Timer::Claim,
            Timer::LeftOver,
            Timer::LookForOthers,
            Timer::Checkpoint,
            Timer::LookAtJournal,
            Timer::Flush,
            Timer::Purge,
            Timer::WriteStatus,
            Timer::LookForRequests,
            Timer::Report,
            Timer::StartFlusher,
            Timer::GiveUpFlush,
            Timer::LookAtConfig,
        ];
        let due = ALL.into_iter().filter_map(|timer| Some((self.due(timer).filter(|at| *at <= now)?, timer)));
        let (_, timer) = due.min()?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_due_in_the_order_of_their_times() {
        let mut schedule = Schedule::default();
        assert_eq!((schedule.next(), schedule.take_due(i64::MAX)), (None, None));
        schedule.set(Timer::Flush, 30);
        schedule.set(Timer::GiveUpFlush, 10);
        schedule.set(Timer::ReadConfig, 20);
        assert_eq!(schedule.next(), Some(10));
        assert_eq!(schedule.take_due(9), None);
        assert_eq!(schedule.take_due(25), Some(Timer::GiveUpFlush));
        assert_eq!(schedule.take_due(25), Some(Timer::ReadConfig));
        assert_eq!(schedule.take_due(25), None);
        schedule.set(Timer::Flush, 40);
        assert_eq!(schedule.next(), Some(40), "the last setting counts");
        schedule.stop_all();
        assert_eq!(schedule.take_due(i64::MAX), None);
    }
}
