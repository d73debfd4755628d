//! Whole lines on their way out: as many at once as surely fit the pipe.

use super::platform::Output;
use std::io;
use std::time::Duration;

/// How long to wait for room in the pipe before looking again.
const ROOM_WAIT: Duration = Duration::from_micros(500);

/// The lines between `start` and the ends.
pub struct BatchLines<'b> {
    buffer: &'b [u8],
    start: usize,
    ends: &'b [usize],
}

impl<'b> BatchLines<'b> {
    /// The lines of a buffer from `start` to each of the ends.
    pub fn new(buffer: &'b [u8], start: usize, ends: &'b [usize]) -> BatchLines<'b> {
        BatchLines { buffer, start, ends }
    }
}

impl<'b> Iterator for BatchLines<'b> {
    type Item = &'b [u8];

    #[inline]
    fn next(&mut self) -> Option<&'b [u8]> {
        let (&end, rest) = self.ends.split_first()?;
        let line = &self.buffer[self.start..end];
        (self.start, self.ends) = (end, rest);
        Some(line)
    }
}

/// Writes whole lines from `start` on, as many at once as surely fit.
///
/// # Errors
/// Stdout is gone.
pub fn forward(output: &mut Output, buffer: &[u8], start: usize, ends: &[usize]) -> io::Result<()> {
    let ends = unsent(ends, start);
    let Some(&last) = ends.last() else { return Ok(()) };
    let mut at = start;
    let mut index = 0;
    while at < last {
        if last - at <= output.atomic() {
            return output.write(&buffer[at..last]);
        }
        // The lines that fit, seen from the next one on.
        let fitting = |room: usize| index + ends[index..].partition_point(|end| end - at <= room);
        let mut next = fitting(output.room());
        if next == index {
            next = fitting(output.atomic());
        }
        if next == index {
            // A line longer than a page: wait until it fits, or until the pipe is empty and it never will.
            let length = ends[index] - at;
            let mut idle_room = output.room();
            while idle_room < length && !output.is_drained() {
                std::thread::sleep(ROOM_WAIT);
                idle_room = output.room();
            }
            next = index + 1;
        }
        output.write(&buffer[at..ends[next - 1]])?;
        at = ends[next - 1];
        index = next;
    }
    Ok(())
}

/// The ends behind `start`: where framing has failed, some may lie within what has been sent as an unfinished line.
fn unsent(ends: &[usize], start: usize) -> &[usize] {
    &ends[ends.partition_point(|end| *end <= start)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_sent_is_not_sent_again() {
        assert_eq!(unsent(&[3, 9, 20], 12), [20]);
        assert_eq!(unsent(&[3, 9, 20], 9), [20]);
        assert_eq!(unsent(&[3, 9, 20], 0), [3, 9, 20]);
        assert_eq!(unsent(&[3, 9], 12), [0_usize; 0]);
    }
}
