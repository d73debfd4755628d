//! When a flush that failed is tried again: soon, then ever later, and not at the same moment as everybody else.

/// The first pause, in nanoseconds.
const FIRST: i64 = 2_000_000_000;

/// The pause after so many failures in a row, in nanoseconds: doubled with each, at most `every`, times a random factor from
/// a half to one and a half. `random` is any number.
pub fn pause(failures: u32, every: i64, random: u64) -> i64 {
    let doubled =
        FIRST.saturating_mul(1_i64.checked_shl(failures.saturating_sub(1)).filter(|n| *n > 0).unwrap_or(i64::MAX));
    let pause = doubled.min(every).max(1);
    pause / 2 + (random % pause.unsigned_abs()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_interval_and_differ() {
        let minute = 60_000_000_000;
        for (failures, longest) in [(1, 2), (2, 4), (5, 32), (6, 60), (60, 60), (u32::MAX, 60)] {
            for random in [0, 1, u64::MAX, 123_456_789_123] {
                let pause = pause(failures, minute, random);
                let longest = longest * 1_000_000_000;
                assert!((longest / 2..=longest * 3 / 2).contains(&pause), "{failures}: {pause}");
            }
        }
        assert!(pause(3, 1_000_000_000, 5) <= 1_500_000_000, "never much later than the next flush would be");
        assert_ne!(pause(4, minute, 1), pause(4, minute, 1 << 33));
    }
}
