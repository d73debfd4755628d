//! Sum, mean and deviation by sums and sums of squares in double-double, which merge exactly enough in any order.

use super::double_double::DoubleDouble;

/// Number and sum of values: serves sum and mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    pub n: u64,
    pub sum: DoubleDouble,
}

/// Number, sum and sum of squares: serves the standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    pub n: u64,
    pub sum: DoubleDouble,
    pub squares: DoubleDouble,
}

impl Sum {
    #[inline]
    pub fn observe(&mut self, value: f64) {
        self.n += 1;
        self.sum.add(value);
    }

    pub fn merge(&mut self, other: &Sum) {
        self.n += other.n;
        self.sum = self.sum.plus(other.sum);
    }

    /// The mean of at least one value.
    pub fn mean(&self) -> f64 {
        self.sum.over(self.n as f64).value()
    }
}

impl Moments {
    #[inline]
    pub fn observe(&mut self, value: f64) {
        self.n += 1;
        self.sum.add(value);
        self.squares = self.squares.plus(DoubleDouble::square(value));
    }

    pub fn merge(&mut self, other: &Moments) {
        self.n += other.n;
        self.sum = self.sum.plus(other.sum);
        self.squares = self.squares.plus(other.squares);
    }

    /// The sample standard deviation (n - 1); `None` for fewer than two values.
    ///
    /// `sqrt((S2 - S1^2 / n) / (n - 1))`; the cancellation costs digits of a double-double, not of the result, while
    /// mean / deviation stays below 1e6.
    pub fn deviation(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        let n = self.n as f64;
        let spread = self.squares.minus(self.sum.times(self.sum).over(n)).value();
        // What is below the rounding of n additions is dust: where all values are equal it would show as a deviation.
        let dust = self.squares.value() * n * 2f64.powi(-100);
        if spread <= dust {
            return Some(0.0);
        }
        Some((spread / (n - 1.0)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_survives_cancellation() {
        let mut sum = Sum::default();
        for value in [1e16, 1.0, -1e16, 3.0] {
            sum.observe(value);
        }
        assert_eq!(sum.mean(), 1.0);
    }

    #[test]
    fn a_deviation_far_from_zero_is_right() {
        // Deviation of {-1, 0, 1} is 1, wherever it sits.
        let mut moments = Moments::default();
        for value in [999_999.0, 1_000_000.0, 1_000_001.0] {
            moments.observe(value);
        }
        assert!((moments.deviation().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(Moments { n: 1, ..Moments::default() }.deviation(), None);
    }

    #[test]
    fn equal_values_have_no_deviation() {
        let mut moments = Moments::default();
        for _ in 0..1000 {
            moments.observe(0.1);
        }
        assert_eq!(moments.deviation(), Some(0.0));
    }
}
