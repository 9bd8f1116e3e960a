//! Numbers as JSON writes them, converted exactly. serde_json would convert `9007199254740993.0` to a float first, and
//! so to 9007199254740992.

/// The parts of a number with JSON's grammar: `-12.50e+3`.
pub struct Decimal<'a> {
    text: &'a str,
    is_negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: &'a str,
}

impl<'a> Decimal<'a> {
    /// `None` if the text has not exactly JSON's grammar: it allows no spaces, no `+` in front, no leading zeros, and
    /// requires digits on both sides of the point.
    pub fn new(text: &'a str) -> Option<Self> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, rest) = split_digits(rest);
        if integer.is_empty() || (integer.len() > 1 && integer.starts_with('0')) {
            return None;
        }
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("0", rest),
        };
        let exponent = match rest.strip_prefix(['e', 'E']) {
            Some(exponent) => exponent,
            None if rest.is_empty() => "0",
            None => return None,
        };
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if fraction.is_empty() || digits.is_empty() || !split_digits(digits).1.is_empty() {
            return None;
        }
        Some(Self { text, is_negative, integer, fraction, exponent })
    }

    /// The value if it is an integer, even when it was written as `1.5e1`; `None` if it is not, or has more than 38
    /// digits.
    pub fn to_integer(&self) -> Option<i128> {
        let digits = || self.integer.bytes().chain(self.fraction.bytes());
        let trailing_zeros = digits().rev().take_while(|digit| *digit == b'0').count();
        let count = self.integer.len() + self.fraction.len() - trailing_zeros;
        let mut value: i128 = 0;
        for digit in digits().take(count) {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        if value == 0 {
            return Some(0);
        }
        // The value so far counts in units of the last digit that is not zero. Its power of ten is negative if a
        // fraction remains.
        let last_place = i64::try_from(trailing_zeros).ok()?.checked_sub_unsigned(self.fraction.len() as u64)?;
        let power = u32::try_from(self.exponent.parse::<i64>().ok()?.checked_add(last_place)?).ok()?;
        let value = value.checked_mul(10_i128.checked_pow(power)?)?;
        Some(if self.is_negative { -value } else { value })
    }

    /// The nearest float; `None` if the number is too large.
    pub fn to_f64(&self) -> Option<f64> {
        self.text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The nearest float of 32 bits; `None` if the number is too large.
    pub fn to_f32(&self) -> Option<f32> {
        self.text.parse().ok().filter(|number: &f32| number.is_finite())
    }
}

/// The digits at the start of a text, and the rest of it.
fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_however_they_are_written() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0e7", 0),
            ("0e99999999999999999999", 0),
            ("7", 7),
            ("-7", -7),
            ("100000.000", 100_000),
            ("1e5", 100_000),
            ("1E+5", 100_000),
            ("1500e-2", 15),
            ("1.5e1", 15),
            ("0.0012e4", 12),
            ("2.147483647e9", i128::from(i32::MAX)),
            ("-2.147483648e9", i128::from(i32::MIN)),
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("1.8446744073709551615e19", i128::from(u64::MAX)),
            ("184467440737095516150000e-4", i128::from(u64::MAX)),
            ("-9223372036854775808.000", i128::from(i64::MIN)),
        ] {
            assert_eq!(Decimal::new(text).and_then(|number| number.to_integer()), Some(value), "{text}");
        }
    }

    #[test]
    fn fractions_and_huge_numbers_are_no_integers() {
        let one_and_a_bit = format!("1.{}1", "0".repeat(60_000));
        let huge = "9".repeat(60_000);
        for text in ["0.5", "15e-1", "1e-1", "1e39", "1e536870000", "1e99999999999999999999", "1e-99999999999999999999"]
            .into_iter()
            .chain([one_and_a_bit.as_str(), &huge])
        {
            let number = Decimal::new(text).expect(text);
            assert_eq!(number.to_integer(), None, "{text:.30}");
        }
    }

    #[test]
    fn only_the_grammar_of_json_is_accepted() {
        let faulty = [
            "",
            "-",
            "+1",
            "01",
            "-01",
            "00",
            "1.",
            ".5",
            "1.e1",
            "1e",
            "1e+",
            "1e1.0",
            "1e1e1",
            "--1",
            " 1",
            "1 ",
            "1_000",
            "0x10",
            "1,0",
            "NaN",
            "inf",
            "Infinity",
            "-Infinity",
            "nan",
            "1.5f",
            "\u{661}",
        ];
        for text in faulty {
            assert!(Decimal::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn floats_are_the_nearest_ones_and_finite() {
        let double = |text: &str| Decimal::new(text).unwrap().to_f64();
        let single = |text: &str| Decimal::new(text).unwrap().to_f32();
        assert_eq!(double("1.7976931348623157e308"), Some(f64::MAX));
        assert_eq!(double("1.89769e308"), None);
        assert_eq!(double("5e-324"), Some(f64::from_bits(1)));
        assert_eq!(single("3.4028235e38"), Some(f32::MAX));
        assert_eq!(single("3.502823e38"), None);
        assert_eq!(single("-3.502823e38"), None);
        // Just above the middle between two floats of 32 bits: as a float of 64 bits it is the middle, and that is
        // rounded down.
        assert_eq!(single("1.00000005960464478"), Some(1.0 + f32::EPSILON));
        assert_eq!(double("1.00000005960464478").unwrap() as f32, 1.0);
    }
}
