//! Where the stream is parked while its batch is settled. Pure: time is an argument, and what is parked is any value.
//!
//! Invariants: one stream at most is parked; a ticket takes back the very stream that it was given for, or nothing,
//! even if another has been parked since.

use std::time::Duration;

/// Which parking it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// A place for one stream. Times are those since a moment that the caller chooses.
#[derive(Debug)]
pub struct Berth<S> {
    parked: Option<S>,
    /// When something was parked last.
    since: Option<Duration>,
    /// Raised whenever something is parked.
    number: u64,
}

impl<S> Default for Berth<S> {
    fn default() -> Berth<S> {
        Berth { parked: None, since: None, number: 0 }
    }
}

impl<S> Berth<S> {
    /// Parks a stream at `now`. Returns what takes it back.
    pub fn park(&mut self, stream: S, now: Duration) -> Ticket {
        self.number = self.number.wrapping_add(1);
        (self.parked, self.since) = (Some(stream), Some(now));
        Ticket(self.number)
    }

    /// Takes back what was parked with a ticket; `None` if somebody else has taken it.
    pub fn take_back(&mut self, ticket: Ticket) -> Option<S> {
        if ticket.0 == self.number { self.parked.take() } else { None }
    }

    /// Takes what has been parked for `limit` or longer.
    pub fn take_overdue(&mut self, now: Duration, limit: Duration) -> Option<S> {
        let is_overdue = self.since.is_some_and(|since| now.saturating_sub(since) >= limit);
        if is_overdue { self.parked.take() } else { None }
    }

    /// Returns how long it takes until what is parked is overdue; `None` if nothing is.
    pub fn overdue_in(&self, now: Duration, limit: Duration) -> Option<Duration> {
        let since = self.since.filter(|_| self.parked.is_some())?;
        Some(limit.saturating_sub(now.saturating_sub(since)))
    }

    /// Returns how often something has been parked.
    pub fn count(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(250);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_settled_in_time_is_taken_back() {
        let mut berth = Berth::default();
        let ticket = berth.park("stream", at(0));
        assert_eq!(berth.overdue_in(at(100), LIMIT), Some(at(150)));
        assert_eq!(berth.take_overdue(at(249), LIMIT), None);
        assert_eq!(berth.take_back(ticket), Some("stream"));
        assert_eq!((berth.take_back(ticket), berth.overdue_in(at(300), LIMIT)), (None, None));
    }

    #[test]
    fn what_is_overdue_is_taken_by_the_other() {
        let mut berth = Berth::default();
        let ticket = berth.park("stream", at(0));
        assert_eq!(berth.take_overdue(at(250), LIMIT), Some("stream"));
        assert_eq!(berth.take_back(ticket), None);
    }

    /// The thread that comes back from a disk that was stuck must not take what the other one has parked meanwhile.
    #[test]
    fn nobody_takes_back_what_another_has_parked() {
        let mut berth = Berth::default();
        let first = berth.park("first batch", at(0));
        assert!(berth.take_overdue(at(300), LIMIT).is_some());
        let second = berth.park("second batch", at(301));
        assert_eq!(berth.take_back(first), None);
        assert_eq!(berth.take_back(second), Some("second batch"));
        assert_eq!(berth.count(), 2);
    }
}
