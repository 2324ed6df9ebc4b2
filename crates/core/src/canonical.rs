//! One text for every way of writing the same JSON value.
//!
//! Two values are the same if they differ in white space, in the order of an object's fields, in how a string is
//! escaped, or in how a number is written: `1`, `1.0` and `10e-1` are one number, and so are `0` and `-0`. Numbers are
//! compared as decimals of any length and never become floating point, so `9007199254740993` is not
//! `9007199254740992`. Fields of the same name keep their order: which of them an agent reads is its own affair.

use moorline_types::Json;
use moorline_types::limits::MAX_JSON_DEPTH;

/// Digits of an exponent that are taken at their value. With more, the number is its own text: nobody writes such a
/// number in two ways.
const MAX_EXPONENT_DIGITS: usize = 15;

/// The one text of the value. A value that nests deeper than any frame may is its own text.
pub fn canonical(json: &Json) -> String {
    let mut scanner = Scanner { text: json.get(), at: 0 };
    let mut canonical = String::with_capacity(json.get().len());
    match scanner.value(&mut canonical, MAX_JSON_DEPTH) {
        Some(()) => canonical,
        None => json.get().to_owned(),
    }
}

/// Reads a text that is known to be JSON. `None` means that it nests too deeply.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn value(&mut self, out: &mut String, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(out, depth.checked_sub(1)?),
            b'[' => self.array(out, depth.checked_sub(1)?),
            b'"' => {
                out.push_str(&string(self.string()?));
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                number(self.token(), out);
                Some(())
            }
            _ => {
                out.push_str(self.token());
                Some(())
            }
        }
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Option<()> {
        let mut fields = Vec::new();
        self.at += 1;
        while self.peek()? != b'}' {
            let name = string(self.string()?);
            self.skip(b':')?;
            let mut value = String::new();
            self.value(&mut value, depth)?;
            fields.push((name, value));
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        // Stable, so that fields of the same name keep their order.
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        out.push('{');
        for (place, (name, value)) in fields.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            out.push_str(name);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Some(())
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Option<()> {
        out.push('[');
        self.at += 1;
        while self.peek()? != b']' {
            self.value(out, depth)?;
            if self.peek()? == b',' {
                self.at += 1;
                out.push(',');
            }
        }
        self.at += 1;
        out.push(']');
        Some(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let blank = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += blank;
        rest.get(blank).copied()
    }

    fn skip(&mut self, expected: u8) -> Option<()> {
        (self.peek()? == expected).then(|| self.at += 1)
    }

    /// A string with its quotation marks.
    fn string(&mut self) -> Option<&'a str> {
        self.peek()?;
        let rest = self.text.get(self.at..)?;
        let mut bytes = rest.bytes().enumerate().skip(1);
        while let Some((place, byte)) = bytes.next() {
            match byte {
                b'\\' => {
                    bytes.next()?;
                }
                b'"' => {
                    self.at += place + 1;
                    return rest.get(..=place);
                }
                _ => {}
            }
        }
        None
    }

    /// A number, `true`, `false` or `null`.
    fn token(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace();
        let token = rest.find(ends).and_then(|end| rest.get(..end)).unwrap_or(rest);
        self.at += token.len();
        token
    }
}

/// The string with no more escapes than it needs. One that holds half of a surrogate pair is no text and stays as it is.
fn string(token: &str) -> String {
    let text = serde_json::from_str::<String>(token);
    text.and_then(|text| serde_json::to_string(&text)).unwrap_or_else(|_| token.to_owned())
}

/// The number as its digits, without zeros at either end, and a power of ten.
fn number(token: &str, out: &mut String) {
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = [whole, fraction].concat();
    let leading = digits.trim_start_matches('0');
    let significant = leading.trim_end_matches('0');
    if significant.is_empty() {
        return out.push('0');
    }
    let Some(exponent) = small(exponent) else { return out.push_str(token) };
    let zeros = leading.len() - significant.len();
    // Lengths of a text in memory and an exponent of fifteen digits are far from the ends of the type.
    let power = exponent + zeros as i128 - fraction.len() as i128;
    out.push_str(sign);
    out.push_str(significant);
    out.push('e');
    out.push_str(&power.to_string());
}

/// The exponent, if it is of a size that anybody would write in two ways.
fn small(exponent: &str) -> Option<i128> {
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > MAX_EXPONENT_DIGITS {
        return None;
    }
    digits.parse::<i128>().ok().map(|exponent| sign * exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&Json::parse(text).unwrap())
    }

    #[test]
    fn the_same_value_has_one_text_however_it_is_written() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, " {\n\"b\" : [ true , null ] , \"a\":1 }"),
            (r#""é/""#, r#""\u00e9\/""#),
            (r#""😀""#, r#""\uD83D\ude00""#),
            (r#"{"\u0061":{"y":1,"x":2}}"#, r#"{"a":{"x":2,"y":1}}"#),
            ("1", "1.0"),
            ("1", "10e-1"),
            ("100", "1e2"),
            ("100", "1E+02"),
            ("0.001", "1e-3"),
            ("-0.50", "-5e-1"),
            ("0", "-0.000e7"),
            ("12300000000000000000000000", "1.23e25"),
            ("[]", "[ ]"),
            ("{}", "{ }"),
        ] {
            assert_eq!(of(one), of(other), "{one} and {other}");
        }
    }

    #[test]
    fn another_value_has_another_text() {
        for (one, other) in [
            ("1", "-1"),
            ("1", "\"1\""),
            ("1", "10"),
            ("0.1", "0.10000000000000000001"),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "1e401"),
            ("1e99999999999999999999", "1e99999999999999999998"),
            ("[1,2]", "[2,1]"),
            ("[[1],2]", "[1,[2]]"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            ("null", "{}"),
            (r#""\ud800""#, r#""\ud801""#),
            (r#""a\"b""#, r#""a\\b""#),
        ] {
            assert_ne!(of(one), of(other), "{one} and {other}");
        }
    }

    #[test]
    fn a_value_of_any_depth_has_a_text() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep), deep);
        let bound = format!("{}1.0{}", "[".repeat(MAX_JSON_DEPTH), "]".repeat(MAX_JSON_DEPTH));
        assert!(of(&bound).contains("1e0"), "{}", of(&bound));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Writes the value in another way: fields backwards, white space, every character escaped, numbers with a point.
    fn rewritten(value: &Value) -> String {
        let text = |text: &str| {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!(" \"{escaped}\"\n")
        };
        match value {
            Value::Null | Value::Bool(_) => format!("\t{value} "),
            Value::Number(number) => format!("{number}.000E+0"),
            Value::String(string) => text(string),
            Value::Array(values) => format!("[ {} ]", values.iter().map(rewritten).collect::<Vec<_>>().join(" , ")),
            Value::Object(fields) => {
                let fields = fields.iter().rev().map(|(name, value)| format!("{}:{}", text(name), rewritten(value)));
                format!("{{ {} }}", fields.collect::<Vec<_>>().join(",\r\n"))
            }
        }
    }

    proptest! {
        #[test]
        fn writing_a_value_in_another_way_changes_nothing(value in values()) {
            prop_assert_eq!(of(&value.to_string()), of(&rewritten(&value)));
        }

        #[test]
        fn only_equal_values_have_the_same_text(one in values(), other in values()) {
            prop_assert_eq!(of(&one.to_string()) == of(&other.to_string()), one == other);
        }

        #[test]
        fn a_number_is_the_same_wherever_its_point_stands(digits in "[1-9][0-9]{0,30}", shift in 0_usize..40) {
            let moved = format!("{digits}{}e-{shift}", "0".repeat(shift));
            prop_assert_eq!(of(&digits), of(&moved));
        }
    }
}
