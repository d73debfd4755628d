//! Sum, mean and deviation by sums and sums of squares in double-double, which merge exactly enough in any order.
//!
//! Values so large or so small that their sums or squares leave the range of a double are summed up apart, multiplied by a
//! power of two. They are rare, so what is needed for them is made only when the first one comes.

use super::double_double::DoubleDouble;

/// From here on a value is summed up apart.
const HUGE: f64 = f64::from_bits((1023 + 400) << 52); // 2^400
/// From here on downwards (but for 0) its square is.
const TINY: f64 = f64::from_bits((1023 - 400) << 52); // 2^-400
/// What huge values are multiplied by.
const DOWN: f64 = f64::from_bits((1023 - 600) << 52); // 2^-600
/// What tiny values are multiplied by.
const UP: f64 = f64::from_bits((1023 + 600) << 52); // 2^600

/// Number and sum of values: serves sum and mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    pub n: u64,
    /// The sum of all but the huge values.
    pub sum: DoubleDouble,
    /// The sum of the huge ones, times 2^-600.
    pub huge: Option<Box<DoubleDouble>>,
}

/// Sum and sum of squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Powers {
    pub sum: DoubleDouble,
    pub squares: DoubleDouble,
}

/// Number, sum and sum of squares: serves the standard deviation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    pub n: u64,
    /// Of all but the huge and the tiny values.
    pub powers: Powers,
    /// Of the huge ones, times 2^-600, and of the tiny ones, times 2^600.
    pub apart: Option<Box<[Powers; 2]>>,
}

impl Sum {
    #[inline]
    pub fn observe(&mut self, value: f64) {
        self.n += 1;
        if value.abs() < HUGE {
            self.sum.add(value);
        } else {
            self.huge.get_or_insert_default().add(value * DOWN);
        }
    }

    pub fn merge(&mut self, other: &Sum) {
        self.n += other.n;
        self.sum = self.sum.plus(other.sum);
        if let Some(theirs) = &other.huge {
            let mine = self.huge.get_or_insert_default();
            **mine = mine.plus(**theirs);
        }
    }

    /// The sum; not finite if a double cannot hold it.
    pub fn total(&self) -> f64 {
        match &self.huge {
            None => self.sum.value(),
            Some(huge) => huge.plus(self.sum.scaled(DOWN)).value() / DOWN,
        }
    }

    /// The mean of at least one value.
    pub fn mean(&self) -> f64 {
        let n = self.n as f64;
        match &self.huge {
            None => self.sum.over(n).value(),
            Some(huge) => huge.plus(self.sum.scaled(DOWN)).over(n).value() / DOWN,
        }
    }
}

impl Powers {
    #[inline]
    fn observe(&mut self, value: f64) {
        self.sum.add(value);
        self.squares = self.squares.plus(DoubleDouble::square(value));
    }

    fn merge(&mut self, other: &Powers) {
        self.sum = self.sum.plus(other.sum);
        self.squares = self.squares.plus(other.squares);
    }

    /// The powers of the same values, each times a power of two.
    fn scaled(&self, power: f64) -> Powers {
        Powers { sum: self.sum.scaled(power), squares: self.squares.scaled(power).scaled(power) }
    }

    /// The sample standard deviation of `n` values.
    ///
    /// `sqrt((S2 - S1^2 / n) / (n - 1))`; the cancellation costs digits of a double-double, not of the result, while
    /// mean / deviation stays below 1e6.
    fn deviation(&self, n: f64) -> f64 {
        let spread = self.squares.minus(self.sum.times(self.sum).over(n)).value();
        // What is below the rounding of n additions is dust: where all values are equal it would show as a deviation.
        let dust = self.squares.value() * n * 2f64.powi(-100);
        if spread <= dust { 0.0 } else { (spread / (n - 1.0)).sqrt() }
    }
}

impl Moments {
    #[inline]
    pub fn observe(&mut self, value: f64) {
        self.n += 1;
        let magnitude = value.abs();
        if (TINY..HUGE).contains(&magnitude) || magnitude == 0.0 {
            self.powers.observe(value);
            return;
        }
        let [huge, tiny] = &mut **self.apart.get_or_insert_default();
        if magnitude < TINY { tiny.observe(value * UP) } else { huge.observe(value * DOWN) }
    }

    pub fn merge(&mut self, other: &Moments) {
        self.n += other.n;
        self.powers.merge(&other.powers);
        if let Some(theirs) = &other.apart {
            let mine = self.apart.get_or_insert_default();
            mine[0].merge(&theirs[0]);
            mine[1].merge(&theirs[1]);
        }
    }

    /// The mean of at least one value.
    pub fn mean(&self) -> f64 {
        let huge = self.apart.as_ref().map(|apart| Box::new(apart[0].sum));
        let mut sum = Sum { n: self.n, sum: self.powers.sum, huge };
        if let Some(apart) = &self.apart {
            sum.sum = sum.sum.plus(apart[1].sum.scaled(DOWN));
        }
        sum.mean()
    }

    /// The sample standard deviation (n - 1); `None` for fewer than two values.
    pub fn deviation(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        let n = self.n as f64;
        let Some(apart) = &self.apart else { return Some(self.powers.deviation(n)) };
        let [huge, tiny] = **apart;
        // All in the unit of the largest: what underflows there has no part in the result.
        if huge != Powers::default() {
            let mut all = huge;
            all.merge(&self.powers.scaled(DOWN));
            Some(all.deviation(n) / DOWN)
        } else if self.powers != Powers::default() {
            let mut all = self.powers;
            all.merge(&tiny.scaled(DOWN));
            Some(all.deviation(n))
        } else {
            Some(tiny.deviation(n) / UP)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|v| sum.observe(*v));
        sum
    }

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|v| moments.observe(*v));
        moments
    }

    #[test]
    fn a_mean_survives_cancellation() {
        assert_eq!(sum(&[1e16, 1.0, -1e16, 3.0]).mean(), 1.0);
    }

    #[test]
    fn a_mean_of_huge_values_is_finite() {
        assert_eq!(sum(&[1e308, 1e308, 1e308]).mean(), 1e308);
        assert!(sum(&[1e308, 1e308]).total().is_infinite());
        assert_eq!(sum(&[1.5e308, 1.5e308, -1.5e308]).total(), 1.5e308);
        assert_eq!(sum(&[f64::MAX]).mean(), f64::MAX);
    }

    #[test]
    fn a_deviation_far_from_zero_is_right() {
        // Deviation of {-1, 0, 1} is 1, wherever it sits.
        assert!((moments(&[999_999.0, 1_000_000.0, 1_000_001.0]).deviation().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(Moments { n: 1, ..Moments::default() }.deviation(), None);
    }

    #[test]
    fn a_deviation_has_the_whole_range_of_doubles() {
        for unit in [1e-300, 1e-200, 1e-120, 1.0, 1e120, 1e200, 1e300] {
            let found = moments(&[unit, 3.0 * unit]).deviation().unwrap();
            assert!((found / unit - 2f64.sqrt()).abs() < 1e-12, "{unit}: {found}");
        }
        let found = moments(&[1.0, 3.0, 1e-200]).deviation().unwrap();
        assert!((found - 7f64.sqrt() / 3f64.sqrt()).abs() < 1e-12, "{found}");
    }

    #[test]
    fn equal_values_have_no_deviation() {
        assert_eq!(moments(&[0.1; 1000]).deviation(), Some(0.0));
    }
}
