//! Exact decimals, and amounts of a currency in the form that leases have them.

use std::fmt;
use std::str::FromStr;

/// Digits behind the point: the smallest unit is a quintillionth. Tokens are priced in millionths of a currency, and sums
/// of parts of them have to be exact.
const SCALE: u32 = 18;

/// The largest amount, in whole units of its currency. A sum of as many amounts as a job can have events stays far within
/// what is computed with.
const MAX_WHOLE: i128 = 1_000_000_000_000_000;

/// Smallest units in a whole one.
const ONE: i128 = 10_i128.pow(SCALE);

/// The longest text that is read. Leading and trailing zeros are allowed for, padding is not.
const MAX_TEXT_BYTES: usize = 64;

/// A decimal, exactly: at most a million billions, in steps of 10^-18. May be negative: what was spent can exceed what was
/// there (spec 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Units(i128);

/// A text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitsError {
    /// It is no decimal number.
    #[error("must be a decimal number")]
    Format,
    /// It is too large to be counted.
    #[error("must be at most {MAX_WHOLE}")]
    TooLarge,
    /// It has more digits behind the point than are counted.
    #[error("must have at most {SCALE} digits behind the point")]
    TooFine,
}

impl Units {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount that is read.
    pub const MAX: Self = Self(MAX_WHOLE * ONE);

    /// Reads the text of a JSON number (RFC 8259, 6), with an exponent or without.
    ///
    /// # Errors
    /// See [`UnitsError`]. Nothing is rounded.
    pub fn from_json_number(text: &str) -> Result<Self, UnitsError> {
        read(text, Fraction::Exact).and_then(Self::bounded)
    }

    /// Reads what something has cost, as [`Self::from_json_number`] does, but for a fraction that is finer than what is
    /// counted: that is rounded up. Programs compute with binary fractions, so an honest price may have many digits, and
    /// a cost that is not counted would be worse than one that is a quintillionth too high.
    ///
    /// # Errors
    /// See [`UnitsError`]; never [`UnitsError::TooFine`], except for a number below nothing.
    pub fn from_cost(text: &str) -> Result<Self, UnitsError> {
        read(text, Fraction::RoundedUp).and_then(Self::bounded)
    }

    fn bounded(self) -> Result<Self, UnitsError> {
        if self.0.unsigned_abs() > Self::MAX.0.unsigned_abs() { Err(UnitsError::TooLarge) } else { Ok(self) }
    }

    /// Whether nothing is left.
    pub const fn is_spent(self) -> bool {
        self.0 <= 0
    }

    /// Whether it is below nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum. Stops at the largest number that there is, which no sum of amounts reaches.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference. Stops like the sum.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many percent of it, rounded towards nothing.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        Self(self.0 / 100 * i128::from(percent) + self.0 % 100 * i128::from(percent) / 100)
    }
}

/// What is done with digits behind the last that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fraction {
    Exact,
    RoundedUp,
}

fn read(text: &str, fraction: Fraction) -> Result<Units, UnitsError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(UnitsError::Format);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (text, 0),
    };
    let (is_negative, unsigned) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || (whole.len() > 1 && whole.starts_with('0')) {
        return Err(UnitsError::Format);
    }
    let digits = format!("{whole}{part}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(Units::ZERO);
    }
    let dropped = digits.len() - significant.len();
    // The place of the last significant digit, in smallest units.
    let place = i64::from(SCALE) + i64::from(exponent) + signed(dropped) - signed(part.len());
    let value = match u32::try_from(place) {
        Ok(place) => in_smallest_units(significant, place)?,
        Err(_) if fraction == Fraction::RoundedUp && !is_negative => rounded_up(significant, place)?,
        Err(_) => return Err(UnitsError::TooFine),
    };
    Ok(Units(if is_negative { -value } else { value }))
}

fn in_smallest_units(significant: &str, place: u32) -> Result<i128, UnitsError> {
    let power = 10_i128.checked_pow(place).ok_or(UnitsError::TooLarge)?;
    let value: i128 = significant.parse().map_err(|_| UnitsError::TooLarge)?;
    value.checked_mul(power).ok_or(UnitsError::TooLarge)
}

/// `significant` ends with another digit than 0, and `place` is below that of the smallest unit: something is cut off.
fn rounded_up(significant: &str, place: i64) -> Result<i128, UnitsError> {
    let cut = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
    let kept = &significant[..significant.len().saturating_sub(cut)];
    let kept: i128 = if kept.is_empty() { 0 } else { kept.parse().map_err(|_| UnitsError::TooLarge)? };
    kept.checked_add(1).ok_or(UnitsError::TooLarge)
}

fn exponent_of(text: &str) -> Result<i32, UnitsError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UnitsError::Format);
    }
    text.parse().map_err(|_| UnitsError::Format)
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// In plain notation, with no more digits than needed.
impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{rest:018}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// Reads a decimal in plain notation.
impl FromStr for Units {
    type Err = UnitsError;

    fn from_str(text: &str) -> Result<Self, UnitsError> {
        if text.contains(['e', 'E']) { Err(UnitsError::Format) } else { Self::from_json_number(text) }
    }
}

/// As text, in plain notation: a JSON number would be read as a binary fraction by most. A sum of amounts may be larger than
/// one amount, and is read back.
impl serde::Serialize for Units {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        read(&text, Fraction::Exact).map_err(serde::de::Error::custom)
    }
}

/// The longest name of a currency, in bytes. Codes have three; some count tokens or credits by name.
pub const MAX_CURRENCY_BYTES: usize = 32;

/// An entry of a budget, such as `USD:5.00` (spec 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetEntry<'a> {
    /// The currency: a letter, then letters, digits, `.`, `_` and `-`.
    pub currency: &'a str,
    /// How much of it; not negative.
    pub amount: Units,
}

/// A text is no entry of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BudgetEntryError {
    /// It is not a currency, a colon and an amount.
    #[error("must be a currency, a colon and an amount, such as USD:5.00")]
    Format,
    /// The amount cannot be counted.
    #[error("has an amount that {0}")]
    Amount(UnitsError),
    /// The amount is below nothing.
    #[error("must not be negative")]
    Negative,
}

impl<'a> BudgetEntry<'a> {
    /// Reads an entry.
    ///
    /// # Errors
    /// See [`BudgetEntryError`].
    pub fn read(text: &'a str) -> Result<Self, BudgetEntryError> {
        let parts = text.split_once(':').filter(|(currency, _)| is_currency(currency));
        let (currency, amount) = parts.ok_or(BudgetEntryError::Format)?;
        let amount: Units = amount.parse().map_err(BudgetEntryError::Amount)?;
        if amount.is_negative() { Err(BudgetEntryError::Negative) } else { Ok(Self { currency, amount }) }
    }
}

fn is_currency(text: &str) -> bool {
    let rest = text.strip_prefix(|first: char| first.is_ascii_alphabetic());
    text.len() <= MAX_CURRENCY_BYTES
        && rest.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_decimal_is_refused_and_nothing_is_rounded() {
        use UnitsError::{Format, TooFine, TooLarge};
        let long = "1".repeat(MAX_TEXT_BYTES + 1);
        for (text, error) in [
            ("", Format),
            ("-", Format),
            (".5", Format),
            ("5.", Format),
            ("+5", Format),
            ("05", Format),
            ("0x5", Format),
            ("1e", Format),
            ("1e+", Format),
            ("1e99999", Format),
            ("1_000", Format),
            ("NaN", Format),
            ("Infinity", Format),
            ("1.2.3", Format),
            ("1 ", Format),
            ("٣", Format),
            (&long, Format),
            ("1000000000000000.1", TooLarge),
            ("1e16", TooLarge),
            ("1e9999", TooLarge),
            ("0.0000000000000000001", TooFine),
            ("1e-19", TooFine),
        ] {
            assert_eq!(Units::from_json_number(text), Err(error), "{text:?}");
        }
        assert_eq!("1e3".parse::<Units>(), Err(Format), "a lease has no exponents");
    }

    #[test]
    fn a_decimal_is_what_it_says() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("0e99", "0"),
            ("5.00", "5"),
            ("0.1", "0.1"),
            ("-0.12", "-0.12"),
            ("1e-05", "0.00001"),
            ("2.34E-2", "0.0234"),
            ("1.5e+3", "1500"),
            ("1e15", "1000000000000000"),
            ("1000000000000000", "1000000000000000"),
            ("0.000000000000000001", "0.000000000000000001"),
            ("1.000000000000000000000000", "1"),
            ("100e-20", "0.000000000000000001"),
        ] {
            let units = Units::from_json_number(text).unwrap();
            assert_eq!(units.to_string(), expected, "{text}");
            assert_eq!(units.to_string().parse(), Ok(units), "{text}");
        }
    }

    #[test]
    fn a_tenth_ten_times_is_one() {
        let tenth: Units = "0.1".parse().unwrap();
        let sum = (0..10).fold(Units::ZERO, |sum, _| sum.plus(tenth));
        assert_eq!(sum.to_string(), "1");
        assert!(sum.minus("1".parse().unwrap()).is_spent());
    }

    #[test]
    fn a_cost_that_is_finer_than_what_is_counted_is_rounded_up() {
        for (text, expected) in [
            ("0.00020999999999999998", "0.00021"),
            ("3.0000000000000004e-8", "0.000000030000000001"),
            ("1e-99", "0.000000000000000001"),
            ("1.0000000000000000001", "1.000000000000000001"),
            ("0.25", "0.25"),
        ] {
            assert_eq!(Units::from_cost(text).unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(Units::from_cost("-1e-99"), Err(UnitsError::TooFine));
        assert_eq!(Units::from_cost("1e300"), Err(UnitsError::TooLarge));
        assert_eq!(Units::from_cost("NaN"), Err(UnitsError::Format));
    }

    #[test]
    fn a_sum_is_stored_as_text_and_read_back() {
        let sum = Units::MAX.plus(Units::MAX).plus("0.000000000000000001".parse().unwrap());
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(text, "\"2000000000000000.000000000000000001\"");
        assert_eq!(serde_json::from_str::<Units>(&text).unwrap(), sum);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(units in -(MAX_WHOLE * ONE)..=MAX_WHOLE * ONE) {
            let units = Units(units);
            prop_assert_eq!(units.to_string().parse(), Ok(units));
        }

        #[test]
        fn a_part_is_not_more_than_the_whole(units in 0..=MAX_WHOLE * ONE, percent in 0_u8..=100) {
            let whole = Units(units);
            prop_assert!(whole.percent(percent) <= whole);
            prop_assert_eq!(whole.percent(100), whole);
        }
    }
}
