//! Numbers of line protocol: those of fields, and timestamps.
//!
//! [`by_rule`] is the grammar, byte for byte Telegraf's. The numbers that a stream is full of, a few digits with or without
//! a point, take a short way: eight digits at a time are found and converted in a word. What the short way does not know it
//! leaves to the rule, and where it gives an answer it is the same one, which a test holds it to.

use super::token::{Value, stuck, value_ends};

/// The powers of ten that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Whole numbers up to this are doubles.
const MANTISSA_MAX: u64 = 1 << 53;
/// So many digits fit an unsigned number of 64 bits, whatever they are.
pub(super) const DIGITS_SAFE: usize = 19;
/// An integer of so many digits fits 64 bits, with a sign too.
const INTEGER_DIGITS_SAFE: usize = 18;
/// A number without an exponent that is written in so many bytes is a finite double.
const FLOAT_BYTES_SAFE: usize = 300;

/// The eight bytes from `p` on, the first one lowest; behind the end of the slice there are zeros.
#[inline]
pub(crate) fn eight(bytes: &[u8], p: usize) -> u64 {
    match bytes.get(p..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => last_eight(bytes, p),
    }
}

/// The same near the end of the slice.
fn last_eight(bytes: &[u8], p: usize) -> u64 {
    let left = bytes.len().saturating_sub(p);
    match bytes.last_chunk::<8>() {
        _ if left == 0 => 0,
        Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - left)),
        None => bytes[p..].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// How many of the eight bytes are digits before the first one that is none.
#[inline]
fn leading_digits(eight: u64) -> usize {
    // The high half of a digit's byte is 3, and stays 3 when 6 is added.
    let high =
        (eight & 0xf0f0_f0f0_f0f0_f0f0) | ((eight.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0) >> 4);
    (high ^ 0x3333_3333_3333_3333).trailing_zeros() as usize / 8
}

/// The value of eight digits, the first one in the lowest byte; a zero byte counts as the digit 0.
///
/// Neighbours are joined: to four numbers of two digits, to two of four, to one. The idea is that of D. Lemire,
/// "Quickly parsing eight digits", 2018.
#[inline]
fn value_of_eight(digits: u64) -> u64 {
    let ones = digits & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// Powers of ten by the number of digits that are appended.
const SHIFTS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Appends the digits from `p` on to `value`: the value, and the offset behind them. Beyond [`DIGITS_SAFE`] digits in all
/// the value has no meaning.
#[inline]
pub(super) fn digits(bytes: &[u8], mut p: usize, mut value: u64) -> (u64, usize) {
    loop {
        let eight = eight(bytes, p);
        let count = leading_digits(eight);
        if count < 8 {
            // Leading zeros for the digits that are missing. In two steps: a shift by 64 is none.
            let padded = eight << 8 << (56 - 8 * count);
            return (value.wrapping_mul(SHIFTS[count]).wrapping_add(value_of_eight(padded)), p + count);
        }
        value = value.wrapping_mul(SHIFTS[8]).wrapping_add(value_of_eight(eight));
        p += 8;
    }
}

/// The offset behind the digits from `p` on.
#[inline]
fn digits_end(bytes: &[u8], mut p: usize) -> usize {
    loop {
        let count = leading_digits(eight(bytes, p));
        p += count;
        if count < 8 {
            return p;
        }
    }
}

/// The short way to read a number: a decimal number of at most [`DIGITS_SAFE`] digits whose digits alone are exact in a double, or a signed
/// integer; `None` for anything else, an error too.
///
/// Digits and power of ten are both exact, so the one division rounds as the standard asks (W. D. Clinger, "How to read
/// floating point numbers accurately", 1990).
#[inline(always)]
pub(super) fn quick<'a>(line: &'a [u8], at: usize) -> Option<(Value<'a>, usize)> {
    let is_negative = line[at] == b'-';
    let from = at + usize::from(is_negative);
    if let Some((value, end)) = quick_few(line, from) {
        return Some((Value::Float(if is_negative { -value } else { value }), end));
    }
    let (whole, point) = digits(line, from, 0);
    let (mantissa, end, fraction) = match line.get(point) {
        Some(b'.') => {
            let (mantissa, end) = digits(line, point + 1, whole);
            (mantissa, end, end - point - 1)
        }
        Some(b'i') => return quick_integer(line, from, point, whole, is_negative),
        _ => (whole, point, 0),
    };
    let count = end - from - usize::from(end > point);
    if count == 0 || count > DIGITS_SAFE || mantissa > MANTISSA_MAX || !value_ends(line, end) {
        return None;
    }
    let value = mantissa as f64 / TENS[fraction];
    Some((Value::Float(if is_negative { -value } else { value }), end))
}

/// A decimal number with a point, without its sign, of up to seven bytes: all of it, and where it ends, is in one word.
#[inline(always)]
fn quick_few(line: &[u8], from: usize) -> Option<(f64, usize)> {
    let word = eight(line, from);
    let point = leading_digits(word);
    if point > 6 || word >> (8 * point) & 0xff != u64::from(b'.') {
        return None;
    }
    // Without the point the digits are neighbours.
    let before = (1 << (8 * point)) - 1;
    let joined = word & before | word >> 8 & !before;
    let count = leading_digits(joined);
    let end = from + count + 1;
    if !(1..7).contains(&count) || !value_ends(line, end) {
        return None;
    }
    let mantissa = value_of_eight(joined << 8 << (56 - 8 * count));
    Some((mantissa as f64 / TENS[count - point], end))
}

/// A timestamp of nineteen digits, as they have since 2001: the bytes behind it are left out; `None` for anything else.
#[inline]
pub(super) fn nineteen(digits: &[u8; 19]) -> Option<i64> {
    let word = |at: usize| eight(digits, at);
    let (first, second, last) = (word(0), word(8), word(11));
    if [first, second, last].iter().any(|word| leading_digits(*word) < 8) {
        return None;
    }
    // Of the last word only three digits are new.
    let last = value_of_eight(last >> 40 << 40);
    let value = value_of_eight(first) * 100_000_000_000 + value_of_eight(second) * 1_000 + last;
    i64::try_from(value).ok()
}

/// An integer of which the digits have been read.
#[inline(always)]
fn quick_integer<'a>(
    line: &'a [u8],
    from: usize,
    suffix: usize,
    value: u64,
    is_negative: bool,
) -> Option<(Value<'a>, usize)> {
    let count = suffix - from;
    let has_leading_zero = count > 1 && line[from] == b'0';
    if count == 0 || count > INTEGER_DIGITS_SAFE || has_leading_zero || !value_ends(line, suffix + 1) {
        return None;
    }
    // Eighteen digits fit.
    let value = value as i64;
    Some((Value::Integer(if is_negative { -value } else { value }), suffix + 1))
}

/// The short way past a number that is not wanted: the offset behind it, if it is one that is certain to be in range; `None`
/// for anything else, an error too.
#[inline]
pub(super) fn skip(line: &[u8], at: usize) -> Option<usize> {
    let from = at + usize::from(line[at] == b'-');
    let point = digits_end(line, from);
    let (end, count) = match line.get(point) {
        Some(b'.') => {
            let end = digits_end(line, point + 1);
            (end, end - from - 1)
        }
        Some(b'i') if point - from <= INTEGER_DIGITS_SAFE && (point == from + 1 || line[from] != b'0') => {
            (point + 1, point - from)
        }
        _ => (point, point - from),
    };
    (count > 0 && end - from <= FLOAT_BYTES_SAFE && value_ends(line, end)).then_some(end)
}

/// The rule: reads a number with its suffix, the first byte of which is a sign, a point or a digit. Returns the offset
/// behind it, too. Grammar and range are Telegraf's; a float that overflows is refused, one that underflows is 0.
///
/// # Errors
/// The offset at which Telegraf's parser would give up.
pub(super) fn by_rule<'a>(line: &'a [u8], at: usize) -> Result<(Value<'a>, usize), usize> {
    let negative = line[at] == b'-';
    let int_at = at + usize::from(negative);
    let int_end = digits_end(line, int_at);
    match line.get(int_end) {
        Some(&suffix @ (b'i' | b'u')) if int_end > int_at => {
            let leading_zero = int_end - int_at > 1 && line[int_at] == b'0';
            if leading_zero || (negative && suffix == b'u') || !value_ends(line, int_end + 1) {
                return Err(int_end);
            }
            let end = int_end + 1;
            // The bytes are ASCII digits with an optional sign, so they are valid UTF-8.
            let text = std::str::from_utf8(&line[at..int_end]).map_err(|_| end)?;
            if suffix == b'i' {
                text.parse().map(|v| (Value::Integer(v), end)).map_err(|_| end)
            } else {
                text.parse().map(|v| (Value::Unsigned(v), end)).map_err(|_| end)
            }
        }
        _ => {
            let mut p = int_end;
            let mut has_digits = int_end > int_at;
            if line.get(p) == Some(&b'.') {
                let fraction_end = digits_end(line, p + 1);
                has_digits |= fraction_end > p + 1;
                p = fraction_end;
            }
            if !has_digits {
                return Err(stuck(line, p));
            }
            if let Some(b'e' | b'E') = line.get(p) {
                p += 1;
                if let Some(b'+' | b'-') = line.get(p) {
                    p += 1;
                }
                let exponent_end = digits_end(line, p);
                if exponent_end == p {
                    return Err(stuck(line, p));
                }
                p = exponent_end;
            }
            if !value_ends(line, p) {
                return Err(stuck(line, p));
            }
            match fast_float2::parse::<f64, _>(&line[at..p]) {
                Ok(v) if v.is_finite() => Ok((Value::Float(v), p)),
                _ => Err(p),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of all kinds, and what is none, ended in all ways: a number a test case.
    fn texts() -> Vec<String> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut texts: Vec<String> = [
            "0",
            "-0",
            "-",
            ".",
            "-.",
            "5.",
            ".5",
            "-.5",
            "00",
            "007",
            "007i",
            "0i",
            "-0i",
            "1u",
            "-1u",
            "1.0i",
            "1e5",
            "1e",
            "1e+",
            "1.5E-3",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.0",
            "0.9007199254740993",
            "999999999999999999i",
            "9223372036854775807i",
            "9223372036854775808i",
            "-9223372036854775808i",
            "18446744073709551615u",
            "18446744073709551616u",
            "9999999999999999999",
            "99999999999999999999",
            "0.0000000000000000001",
            "00000000000000000000000001",
            "1.7976931348623157e308",
            "2e308",
            "12345678",
            "123456789",
            "1234567.8",
            "12345678.12345678",
            "1i2",
            "1..2",
            "1.2.3",
            "1-2",
            "1\r",
            "1\r\n",
            "1 ",
            "1,",
            "1x",
            "/",
            ":",
        ]
        .map(String::from)
        .to_vec();
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..1 + random(24) {
                text.push(match random(40) {
                    0 => '-',
                    1 => 'i',
                    2 => 'e',
                    3..7 => '.',
                    n => char::from(b'0' + (n % 10) as u8),
                });
            }
            texts.push(text);
        }
        texts
    }

    #[test]
    fn the_short_way_says_what_the_rule_says() {
        let bits = |read: Result<(Value<'_>, usize), usize>| {
            read.map(|(value, end)| match value {
                Value::Float(float) => (format!("{:x}", float.to_bits()), end),
                other => (format!("{other:?}"), end),
            })
        };
        let mut short = 0;
        for text in texts() {
            for end in ["", " ", ",", "\n", "\r\n", "\r", "x", "i", " 1767225600000000000\n", ",other=12\n"] {
                let line = format!("{text}{end}");
                let line = line.as_bytes();
                if !matches!(line.first(), Some(b'-' | b'.' | b'0'..=b'9')) {
                    continue;
                }
                let expected = by_rule(line, 0);
                if let Some((value, end)) = quick(line, 0) {
                    short += 1;
                    let found = Ok((value, end));
                    assert_eq!(bits(found), bits(expected), "{}", String::from_utf8_lossy(line));
                }
                // What is not wanted ends in the same place.
                if let Some(skipped) = skip(line, 0) {
                    assert_eq!(Ok(skipped), expected.map(|(_, end)| end), "{}", String::from_utf8_lossy(line));
                }
            }
        }
        assert!(short > 100_000, "{short} numbers went the short way");
    }

    #[test]
    fn nineteen_digits_are_a_timestamp() {
        let as_it_is = |text: &str| text.parse().ok().filter(|_| !text.contains(['-', '+']));
        for text in ["1767225600123456789", "0000000000000000000", "9223372036854775807", "9223372036854775808"] {
            for place in 0..=19 {
                for byte in ["", "0", "9", "/", ":", " ", "-", "a"] {
                    let text = match place {
                        19 => text.to_string(),
                        _ if byte.is_empty() => text.to_string(),
                        _ => format!("{}{byte}{}", &text[..place], &text[place + 1..]),
                    };
                    let digits = text.as_bytes().first_chunk().expect("nineteen");
                    assert_eq!(nineteen(digits), as_it_is(&text), "{text}");
                }
            }
        }
    }

    #[test]
    fn digits_are_read_to_their_end_and_no_further() {
        for length in 0..DIGITS_SAFE {
            for behind in ["", "a", "/:", "0x", "\n", " 99999999999"] {
                let text: String = (0..length).map(|n| char::from(b'0' + ((n * 7 + 1) % 10) as u8)).collect();
                let line = format!("xx{text}{behind}");
                let all: String = line[2..].chars().take_while(char::is_ascii_digit).collect();
                let expected = all.parse().unwrap_or(0);
                assert_eq!(digits(line.as_bytes(), 2, 0), (expected, 2 + all.len()), "{line:?}");
                assert_eq!(digits_end(line.as_bytes(), 2), 2 + all.len(), "{line:?}");
            }
        }
        assert_eq!(digits(b"12", 5, 7), (7, 5), "behind the end there are none");
    }
}
