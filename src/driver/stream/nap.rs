//! The nap: at Telegraf's rates, one write for each line, the system calls are most of what a stream costs.
//!
//! A read that brings a line or two while more are on their way is followed by a nap of at most [`NAP_MAX`], and by another
//! read, before anything is done with them. What a nap may hold back is bounded: it is shorter than the time in which the
//! writer would fill a quarter of the pipe. It switches itself off where it does not pay: for lines that are far apart, and
//! for streams so fast that every read is large.
//!
//! Invariants: no nap is longer than [`NAP_MAX`]; after one that was in vain follow [`READS_AWAKE`] reads without one.

use std::time::{Duration, Instant};

/// The longest nap, and so the longest delay of a line.
pub const NAP_MAX: Duration = Duration::from_millis(1);
/// Not worth the timer.
const NAP_MIN: Duration = Duration::from_micros(50);
/// A read of so many bytes is large.
const LARGE_BYTES: usize = 16 * 1024;
/// Lines that are further apart come one by one, or in bursts.
const APART: Duration = Duration::from_millis(2);
/// So many lines at once are a burst; a nap that brings fewer was in vain.
const BURST: usize = 4;
/// After a nap that was in vain there are so many reads without one.
const READS_AWAKE: u32 = 64;

/// Decides when to nap.
#[derive(Debug, Default)]
pub struct Nap {
    /// When the last read returned.
    last: Option<Instant>,
    /// The last lines came in a burst: the next ones most likely will, too.
    bursts: bool,
    /// More has been waited for.
    napped: bool,
    /// Reads until the next nap may be tried.
    awake: u32,
}

impl Nap {
    /// How long to wait for more: a read returned at `now` with so many bytes, from a pipe that holds `capacity` bytes (`None`
    /// if that is not known, or if it is no pipe).
    pub fn before_more(&mut self, now: Instant, bytes: usize, capacity: Option<usize>) -> Option<Duration> {
        let since = self.last.replace(now).map(|last| now.saturating_duration_since(last))?;
        if let Some(left) = self.awake.checked_sub(1) {
            self.awake = left;
            return None;
        }
        let nap = match capacity? {
            _ if bytes >= LARGE_BYTES => return None,
            // As long as the writer would need for a quarter of the pipe.
            capacity if since < APART => since.mul_f64((capacity / 4) as f64 / bytes.max(1) as f64).min(NAP_MAX),
            _ if self.bursts => NAP_MAX,
            _ => return None,
        };
        self.napped = nap >= NAP_MIN;
        self.napped.then_some(nap)
    }

    /// Notes how many lines there were in the end.
    pub fn brought(&mut self, lines: usize) {
        self.bursts = lines >= BURST;
        if std::mem::take(&mut self.napped) && !self.bursts {
            self.awake = READS_AWAKE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Option<usize> = Some(1 << 20);

    /// Naps of a stream of reads, each so many microseconds after the one before, with so many bytes, and lines in the end.
    fn naps(reads: &[(u64, usize, usize)], capacity: Option<usize>) -> Vec<Option<Duration>> {
        let (mut nap, mut now) = (Nap::default(), Instant::now());
        let mut read = |(pause, bytes, lines): &(u64, usize, usize)| {
            now += Duration::from_micros(*pause);
            let found = nap.before_more(now, *bytes, capacity);
            nap.brought(*lines);
            found
        };
        reads.iter().map(&mut read).collect()
    }

    #[test]
    fn lines_that_come_in_quick_succession_are_waited_for() {
        let found = naps(&[(0, 300, 1), (20, 300, 100), (20, 30_000, 100), (20, 300, 100)], PIPE);
        assert_eq!(found, [None, Some(NAP_MAX), None, Some(NAP_MAX)]);
    }

    #[test]
    fn lines_that_come_in_bursts_are_waited_for() {
        let burst = (10_000, 300, 80);
        assert_eq!(naps(&[burst, burst, burst], PIPE), [None, Some(NAP_MAX), Some(NAP_MAX)]);
    }

    #[test]
    fn lines_that_are_far_apart_are_not_waited_for() {
        assert!(naps(&[(4_000, 300, 1); 100], PIPE).iter().all(Option::is_none));
    }

    #[test]
    fn a_nap_in_vain_is_not_repeated_soon() {
        let found = naps(&[(1_500, 300, 1); 200], PIPE);
        assert_eq!(found.iter().flatten().count(), 4, "the first read has none before it");
    }

    #[test]
    fn a_small_pipe_does_not_fill_up_meanwhile() {
        // 6,000 bytes in 20 microseconds: a quarter of 64 KiB is there after 55.
        let found = naps(&[(0, 6_000, 20), (20, 6_000, 20)], Some(64 << 10));
        let nap = found[1].unwrap_or_default().as_secs_f64();
        assert!((nap - 54.6e-6).abs() < 1e-6, "{nap}");
        assert_eq!(naps(&[(0, 6_000, 20), (20, 6_000, 20)], Some(4 << 10))[1], None);
    }

    #[test]
    fn what_is_no_pipe_has_no_nap() {
        assert!(naps(&[(20, 300, 100); 10], None).iter().all(Option::is_none));
    }
}
