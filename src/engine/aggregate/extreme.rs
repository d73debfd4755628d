//! The smallest and the largest value: exact in any order.

/// Smallest and largest of at least one finite value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extreme {
    pub min: f64,
    pub max: f64,
}

impl Extreme {
    pub fn of(value: f64) -> Extreme {
        Extreme { min: value, max: value }
    }

    pub fn observe(&mut self, value: f64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    pub fn merge(&mut self, other: &Extreme) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}
