//! Which slots of a base window hold a sample. Merging is OR, so several writers and repeated merges agree.

/// A set of slot numbers. The first 64 slots, which is all of an hour of minutes, need no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    low: u64,
    /// Slots 64 and up; none without them, and small where there are none.
    high: Option<Box<High>>,
}

/// Words of slots from 64 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct High(Vec<u64>);

impl Slots {
    /// Marks a slot.
    #[inline]
    pub fn set(&mut self, slot: u32) {
        if slot < 64 {
            self.low |= 1 << slot;
        } else {
            self.set_high(slot - 64);
        }
    }

    fn set_high(&mut self, slot: u32) {
        let (word, bit) = (slot as usize / 64, slot % 64);
        let high = &mut self.high.get_or_insert_default().0;
        if high.len() <= word {
            high.resize(word + 1, 0);
        }
        high[word] |= 1 << bit;
    }

    fn high(&self) -> &[u64] {
        self.high.as_ref().map(|high| high.0.as_slice()).unwrap_or_default()
    }

    /// Adds the slots of another set.
    pub fn merge(&mut self, other: &Slots) {
        self.low |= other.low;
        let theirs = other.high();
        if theirs.is_empty() {
            return;
        }
        let high = &mut self.high.get_or_insert_default().0;
        if high.len() < theirs.len() {
            high.resize(theirs.len(), 0);
        }
        for (mine, theirs) in high.iter_mut().zip(theirs) {
            *mine |= theirs;
        }
    }

    /// How many slots are marked.
    pub fn count(&self) -> u64 {
        let high: u32 = self.high().iter().map(|w| w.count_ones()).sum();
        u64::from(self.low.count_ones() + high)
    }

    /// Words of 16 hex digits, the first holding slots 0 to 63, without trailing zero words.
    pub fn to_hex(&self) -> String {
        let mut words = vec![self.low];
        words.extend_from_slice(self.high());
        while words.len() > 1 && words.last() == Some(&0) {
            words.pop();
        }
        words.iter().map(|w| format!("{w:016x}")).collect()
    }

    /// Reads what [`Slots::to_hex`] wrote; `None` if it is something else.
    pub fn from_hex(text: &str) -> Option<Slots> {
        if !text.is_ascii() || !text.len().is_multiple_of(16) {
            return None;
        }
        let words: Option<Vec<u64>> =
            (0..text.len() / 16).map(|i| u64::from_str_radix(&text[i * 16..(i + 1) * 16], 16).ok()).collect();
        let (low, high) = words?.split_first().map(|(l, h)| (*l, h.to_vec()))?;
        Some(Slots { low, high: (!high.is_empty()).then(|| Box::new(High(high))) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_round_trip_and_merge() {
        let mut a = Slots::default();
        for slot in [0, 63, 64, 359] {
            a.set(slot);
        }
        let mut b = Slots::default();
        b.set(1);
        b.set(64);
        a.merge(&b);
        assert_eq!(a.count(), 5);
        assert_eq!(Slots::from_hex(&a.to_hex()), Some(a));
        assert_eq!(Slots::from_hex("zz"), None);
    }
}
