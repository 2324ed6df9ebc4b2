//! Amounts of money or of other counted means: exact decimals (spec 9.6).
//!
//! A budget is a JSON number on the wire, and never passes through floating point here: its text is kept. One official
//! runtime writes `"USD:5.00"` instead of a number; that is read too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Counters by currency, as they stand.
pub type Budget = BTreeMap<Box<str>, Amount>;

/// The longest amount that is read, in characters: twenty digits before the point and eighteen after it.
const MAX_AMOUNT_CHARS: usize = 40;

/// A decimal in plain notation, such as `5`, `0.25` or `-0.12`. Counters may be negative (spec 9.6).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Amount(Box<str>);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal in plain notation of at most {MAX_AMOUNT_CHARS} characters")]
pub struct AmountError;

impl Amount {
    /// The decimal as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if text.len() > MAX_AMOUNT_CHARS || leading_zero || !digits(whole) || !digits(fraction) {
            return Err(AmountError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The grammar of an amount is a part of JSON's grammar of numbers.
        RawValue::from_string(self.0.as_ref().into()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        if !raw.get().starts_with('"') {
            return raw.get().parse().map_err(D::Error::custom);
        }
        let text: Cow<'_, str> = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let amount = text.rsplit_once(':').map_or(text.as_ref(), |(_currency, amount)| amount);
        amount.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_the_number_that_was_read() {
        for text in ["0", "5", "0.25", "-0.12", "12345678901234567890.123456789012345678"] {
            let amount: Amount = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&amount).unwrap(), text);
        }
        assert_eq!(serde_json::from_str::<Amount>(r#""USD:5.00""#).unwrap().as_str(), "5.00");
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in ["1e3", "null", "true", "[]", r#""""#, r#""USD:""#, r#""NaN""#, r#""1.""#, r#"".5""#, r#""007""#] {
            assert!(serde_json::from_str::<Amount>(text).is_err(), "{text}");
        }
        assert!("1".repeat(MAX_AMOUNT_CHARS + 1).parse::<Amount>().is_err());
    }
}
