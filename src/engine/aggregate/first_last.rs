//! The value at the earliest and at the latest timestamp. Of equal timestamps the larger value counts, so that the
//! result does not depend on the order of arrival.

/// A value with its event time in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamped {
    pub at: i64,
    pub value: f64,
}

/// First and last of at least one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstLast {
    pub first: Stamped,
    pub last: Stamped,
}

impl FirstLast {
    pub fn of(at: i64, value: f64) -> FirstLast {
        let only = Stamped { at, value };
        FirstLast { first: only, last: only }
    }

    pub fn observe(&mut self, at: i64, value: f64) {
        self.merge(&FirstLast::of(at, value));
    }

    pub fn merge(&mut self, other: &FirstLast) {
        let (a, b) = (self.first, other.first);
        if b.at < a.at || (b.at == a.at && b.value > a.value) {
            self.first = b;
        }
        let (a, b) = (self.last, other.last);
        if b.at > a.at || (b.at == a.at && b.value > a.value) {
            self.last = b;
        }
    }
}
