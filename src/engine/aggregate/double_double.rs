//! A sum with about 32 decimal digits: two doubles whose exact sum is the value.
//!
//! Source of the formulas: T. J. Dekker, "A floating-point technique for extending the available precision", 1971;
//! D. E. Knuth, TAOCP 2, 4.2.2 (two-sum).

/// An unevaluated sum `high + low` with `|low| <= ulp(high) / 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DoubleDouble {
    pub high: f64,
    pub low: f64,
}

#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    (sum, (a - (sum - b_part)) + (b - b_part))
}

#[inline]
fn quick_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// Splits a double into two halves of 26 bits, so that products of halves are exact.
#[inline]
fn split(a: f64) -> (f64, f64) {
    let shifted = 134_217_729.0 * a; // 2^27 + 1
    let high = shifted - (shifted - a);
    (high, a - high)
}

#[inline]
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    let ((ah, al), (bh, bl)) = (split(a), split(b));
    (product, ((ah * bh - product) + ah * bl + al * bh) + al * bl)
}

impl DoubleDouble {
    /// A value that is one double.
    pub fn of(value: f64) -> DoubleDouble {
        DoubleDouble { high: value, low: 0.0 }
    }

    /// The exact square of a double between 2^-400 and 2^400.
    #[inline]
    pub fn square(value: f64) -> DoubleDouble {
        let (high, low) = two_product(value, value);
        DoubleDouble { high, low }
    }

    /// The product with a power of two, which is exact unless it overflows or underflows.
    pub fn scaled(self, power: f64) -> DoubleDouble {
        DoubleDouble { high: self.high * power, low: self.low * power }
    }

    /// Adds one double.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let (sum, error) = two_sum(self.high, value);
        let (high, low) = quick_two_sum(sum, error + self.low);
        *self = DoubleDouble { high, low };
    }

    /// The sum of two.
    #[inline]
    pub fn plus(self, other: DoubleDouble) -> DoubleDouble {
        let (s, e) = two_sum(self.high, other.high);
        let (t, f) = two_sum(self.low, other.low);
        let (s, e) = quick_two_sum(s, e + t);
        let (high, low) = quick_two_sum(s, e + f);
        DoubleDouble { high, low }
    }

    /// The difference of two.
    pub fn minus(self, other: DoubleDouble) -> DoubleDouble {
        self.plus(DoubleDouble { high: -other.high, low: -other.low })
    }

    /// The product of two.
    pub fn times(self, other: DoubleDouble) -> DoubleDouble {
        let (p, e) = two_product(self.high, other.high);
        let (high, low) = quick_two_sum(p, e + (self.high * other.low + self.low * other.high));
        DoubleDouble { high, low }
    }

    /// The quotient by a double; both below 2^990, beyond which the products in it overflow.
    pub fn over(self, divisor: f64) -> DoubleDouble {
        let quotient = self.high / divisor;
        let rest = self.minus(DoubleDouble::of(quotient).times(DoubleDouble::of(divisor)));
        let (high, low) = quick_two_sum(quotient, (rest.high + rest.low) / divisor);
        DoubleDouble { high, low }
    }

    /// The nearest double.
    pub fn value(self) -> f64 {
        self.high + self.low
    }
}
