//! What was sent, and what may therefore be in the rows.
//!
//! The values of one window are different powers of two, so a sum says exactly which of them it holds.

use std::collections::{BTreeMap, BTreeSet};

pub const HOUR: i64 = 3_600_000_000_000;
/// A double holds a sum of so many powers of two exactly.
const BITS_MAX: u32 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has to be in the rows.
    Sure,
    /// It was on its way, or was not journaled, when the process died.
    Unsure,
}

/// One sending of a point.
#[derive(Clone, Copy, Debug)]
struct Sent {
    bit: u32,
    batch: usize,
}

#[derive(Clone, Debug)]
pub struct Point {
    pub device: usize,
    pub at: i64,
    sent: Vec<Sent>,
    /// It may count so many times more: a power loss may have taken from the journal what the sink has of it, and not
    /// what came of it later.
    again: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub site: usize,
    /// The life of the process that took it.
    pub life: u64,
    pub journaled: bool,
    pub covered: bool,
    pub synced: bool,
    pub fate: Fate,
}

#[derive(Default)]
pub struct Points {
    pub points: Vec<Point>,
    pub batches: Vec<Batch>,
    bits: BTreeMap<(usize, i64), u32>,
}

impl Points {
    /// Room for `n` more values in a window?
    pub fn has_room(&self, device: usize, at: i64, n: u32) -> bool {
        self.bits.get(&(device, at.div_euclid(HOUR))).copied().unwrap_or(0) + n <= BITS_MAX
    }

    pub fn is_taken(&self, device: usize, at: i64) -> bool {
        self.points.iter().any(|p| p.device == device && p.at == at)
    }

    /// A new point; its number.
    pub fn add(&mut self, device: usize, at: i64) -> usize {
        self.points.push(Point { device, at, sent: Vec::new(), again: 0 });
        self.points.len() - 1
    }

    /// Sends a point in a batch, with a value of its own or with the last one again. Returns the line.
    pub fn send(&mut self, point: usize, batch: usize, again: bool) -> String {
        let Point { device, at, sent, .. } = &mut self.points[point];
        let bit = match sent.last().filter(|_| again) {
            Some(last) => last.bit,
            None => {
                let bits = self.bits.entry((*device, at.div_euclid(HOUR))).or_default();
                *bits += 1;
                *bits - 1
            }
        };
        sent.push(Sent { bit, batch });
        format!("m,host=h{device} v={} {at}\n", 1u64 << bit)
    }

    pub fn first_batch(&self, point: usize) -> Option<&Batch> {
        self.points[point].sent.first().map(|sent| &self.batches[sent.batch])
    }

    pub fn last_batch(&self, point: usize) -> Option<&Batch> {
        self.points[point].sent.last().map(|sent| &self.batches[sent.batch])
    }

    /// True if a batch holds a point.
    pub fn was_in(&self, point: usize, batch: usize) -> bool {
        self.points[point].sent.iter().any(|sent| sent.batch == batch)
    }

    /// Notes that power was lost while the sink may have had some of these batches, and the journal no more.
    pub fn may_count_again(&mut self, batches: &[usize]) {
        for point in &mut self.points {
            if point.sent.iter().filter(|sent| batches.contains(&sent.batch)).count() > 1 {
                point.again += 1;
            }
        }
    }

    /// What of the values of a window is wrong in `sum`; `None` if it is right.
    pub fn wrong(&self, device: usize, hour: i64, sum: u64, count: u64) -> Option<String> {
        let again = self.points.iter().filter(|p| p.device == device && p.at.div_euclid(HOUR) == hour && p.again > 0);
        // Without what has come again, in every possible way.
        let mut without = vec![(sum, count)];
        for point in again {
            let bits: BTreeSet<u32> = point.sent.iter().map(|sent| sent.bit).collect();
            for _ in 0..point.again {
                for index in 0..without.len() {
                    let (sum, count) = without[index];
                    let less = bits.iter().filter_map(|bit| Some((sum.checked_sub(1 << bit)?, count.checked_sub(1)?)));
                    without.extend(less);
                }
            }
        }
        let mut wrong = without.iter().map(|(sum, count)| self.wrong_once(device, hour, *sum, *count));
        let first = wrong.next().flatten();
        first.filter(|_| wrong.all(|wrong| wrong.is_some()))
    }

    /// The same if nothing counts again.
    fn wrong_once(&self, device: usize, hour: i64, sum: u64, count: u64) -> Option<String> {
        if u64::from(sum.count_ones()) != count {
            return Some(format!("{count} points make the sum {sum:#b}"));
        }
        let mut rest = sum;
        for point in self.points.iter().filter(|p| p.device == device && p.at.div_euclid(HOUR) == hour) {
            let held: Vec<u32> = (0..BITS_MAX)
                .filter(|bit| sum >> bit & 1 == 1 && point.sent.iter().any(|sent| sent.bit == *bit))
                .collect();
            held.iter().for_each(|bit| rest &= !(1 << bit));
            // The last sure value, or an unsure one after it.
            let sure = point.sent.iter().rposition(|sent| self.batches[sent.batch].fate == Fate::Sure);
            let allowed: Vec<u32> = point.sent[sure.unwrap_or(0)..].iter().map(|sent| sent.bit).collect();
            let right = match held.as_slice() {
                [] => sure.is_none(),
                [bit] => allowed.contains(bit),
                _ => false,
            };
            if !right {
                return Some(format!("the point {point:?} is there as {held:?}; of its batches {:?}", {
                    point.sent.iter().map(|sent| self.batches[sent.batch]).collect::<Vec<_>>()
                }));
            }
        }
        (rest != 0).then(|| format!("values that nobody sent: {rest:#b}"))
    }

    /// True if everything that was sent to a window has to be in the rows.
    pub fn is_sure(&self, device: usize, hour: i64) -> bool {
        let mut points = self.points.iter().filter(|p| p.device == device && p.at.div_euclid(HOUR) == hour);
        points.all(|p| p.sent.iter().all(|sent| self.batches[sent.batch].fate == Fate::Sure))
    }

    /// Every window that was sent to.
    pub fn windows(&self) -> Vec<(usize, i64)> {
        self.bits.keys().copied().collect()
    }
}
