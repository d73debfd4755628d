//! Counts: how many values, and how many of them met a condition.

/// How many values of any type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub n: u64,
}

/// How many values, and how many of them a rule flagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub n: u64,
    pub flagged: u64,
}

impl Count {
    pub fn observe(&mut self) {
        self.n += 1;
    }

    pub fn merge(&mut self, other: &Count) {
        self.n += other.n;
    }
}

impl Flags {
    pub fn observe(&mut self, flagged: bool) {
        self.n += 1;
        self.flagged += u64::from(flagged);
    }

    pub fn merge(&mut self, other: &Flags) {
        self.n += other.n;
        self.flagged += other.flagged;
    }
}
