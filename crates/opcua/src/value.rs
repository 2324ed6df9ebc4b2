//! Values of OPC UA as values of the contract.
//!
//! A scalar that the contract can hold is itself. What is text elsewhere (times, identifiers, byte strings in base64) is
//! text here, an array is its JSON. A value that the contract cannot hold (a structure, a number that is not finite, an
//! array of more than [`MAX_ELEMENTS`]) is none, and its quality says so.

use data_encoding::BASE64;
use moorline_backend::contract::{Quality, Sample, Status, StatusCategory, Times, Value};
use moorline_types::Timestamp;
use opcua::types::{DataValue, DateTime, StatusCode, UAString, Variant};

use crate::quality;

/// The most elements of an array that is told. What is longer does not fit into an event.
const MAX_ELEMENTS: usize = 1_024;

/// The longest text that is told, in bytes. What is longer does not fit into an event either.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The value, with its quality and its times. Beside it what the server says of it.
pub(crate) fn sample(data: &DataValue, received: Timestamp) -> (Sample, Status) {
    let code = data.status.unwrap_or(StatusCode::Good);
    let mut status = quality::status(code);
    let mut quality = quality::quality(code);
    let told = data.value.as_ref().map_or(Some(Value::Null), told);
    let value = told.unwrap_or_else(|| {
        if status.success {
            // Nothing is wrong with it but that it cannot be told.
            quality = Quality::BAD_CONFIGURATION;
            status = Status::refused(StatusCategory::ConfigurationError);
        }
        Value::Null
    });
    let [source, server] = [data.source_timestamp, data.server_timestamp].map(|time| timestamp(&time?));
    (Sample::new(value, quality, Times { source, server, received }, code.bits()), status)
}

/// What was read or told cannot be: the sample and the status of that.
pub(crate) fn nothing(code: StatusCode, received: Timestamp) -> (Sample, Status) {
    sample(&DataValue { status: Some(code), ..DataValue::default() }, received)
}

fn told(value: &Variant) -> Option<Value> {
    Some(match value {
        Variant::Empty => Value::Null,
        Variant::Boolean(value) => Value::Bool(*value),
        Variant::SByte(value) => Value::Integer((*value).into()),
        Variant::Byte(value) => Value::Integer((*value).into()),
        Variant::Int16(value) => Value::Integer((*value).into()),
        Variant::UInt16(value) => Value::Integer((*value).into()),
        Variant::Int32(value) => Value::Integer((*value).into()),
        Variant::UInt32(value) => Value::Integer((*value).into()),
        Variant::Int64(value) => Value::Integer(*value),
        // A whole number that is too large for the contract's stays exact as its digits.
        Variant::UInt64(value) => i64::try_from(*value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer),
        Variant::Float(value) if value.is_finite() => Value::Double((*value).into()),
        Variant::Double(value) if value.is_finite() => Value::Double(*value),
        Variant::StatusCode(value) => Value::Integer(value.bits().into()),
        Variant::String(value) => text(value)?,
        Variant::XmlElement(value) => Value::Text(value.to_string()),
        Variant::DateTime(value) => Value::Text(value.to_rfc3339()),
        Variant::Guid(value) => Value::Text(value.to_string()),
        Variant::ByteString(value) => match &value.value {
            None => Value::Null,
            Some(bytes) if bytes.len() <= MAX_TEXT_BYTES / 4 * 3 => Value::Text(BASE64.encode(bytes)),
            Some(_) => return None,
        },
        Variant::QualifiedName(value) => Value::Text(value.to_string()),
        Variant::LocalizedText(value) => text(&value.text)?,
        Variant::NodeId(value) => Value::Text(value.to_string()),
        Variant::ExpandedNodeId(value) => Value::Text(value.to_string()),
        Variant::Variant(value) => told(value)?,
        Variant::Array(array) if array.dimensions.as_ref().is_none_or(|dimensions| dimensions.len() <= 1) => {
            if array.values.len() > MAX_ELEMENTS {
                return None;
            }
            let elements: Option<Vec<Value>> = array.values.iter().map(told).collect();
            let json = serde_json::to_string(&elements?).ok()?;
            (json.len() <= MAX_TEXT_BYTES).then_some(Value::Text(json))?
        }
        Variant::Float(_)
        | Variant::Double(_)
        | Variant::ExtensionObject(_)
        | Variant::DataValue(_)
        | Variant::DiagnosticInfo(_)
        | Variant::Array(_) => return None,
    })
}

fn text(value: &UAString) -> Option<Value> {
    match value.value() {
        None => Some(Value::Null),
        Some(text) => (text.len() <= MAX_TEXT_BYTES).then(|| Value::Text(text.clone())),
    }
}

/// A time, unless it is none or before the year 1970.
pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    let millis = u64::try_from(time.as_chrono().timestamp_millis()).ok()?;
    (!time.is_null() && millis <= Timestamp::MAX.as_unix_millis()).then(|| Timestamp::from_unix_millis(millis))
}

/// A time as OPC UA has it.
pub(crate) fn date_time(time: Timestamp) -> DateTime {
    /// Between 1601, where OPC UA begins to count, and 1970, in ticks of 100 ns.
    const UNIX_EPOCH_TICKS: i64 = 116_444_736_000_000_000;
    const TICKS_PER_MILLI: i64 = 10_000;

    let millis = i64::try_from(time.as_unix_millis()).unwrap_or(i64::MAX);
    DateTime::from(millis.saturating_mul(TICKS_PER_MILLI).saturating_add(UNIX_EPOCH_TICKS))
}

#[cfg(test)]
mod tests {
    use opcua::types::{Array, ByteString, VariantScalarTypeId};
    use proptest::prelude::*;

    use super::*;

    fn of(value: Variant) -> (Value, u16) {
        let (sample, _) = sample(&DataValue::value_only(value), Timestamp::from_unix_millis(1));
        (sample.value, sample.quality.0)
    }

    #[test]
    fn a_scalar_is_itself() {
        for (variant, value) in [
            (Variant::Empty, Value::Null),
            (Variant::Boolean(true), Value::Bool(true)),
            (Variant::SByte(-1), Value::Integer(-1)),
            (Variant::UInt32(u32::MAX), Value::Integer(u32::MAX.into())),
            (Variant::Int64(i64::MIN), Value::Integer(i64::MIN)),
            (Variant::UInt64(u64::MAX), Value::Text("18446744073709551615".to_owned())),
            (Variant::Float(0.5), Value::Double(0.5)),
            (Variant::String(UAString::null()), Value::Null),
            (Variant::String("".into()), Value::Text(String::new())),
            (Variant::ByteString(ByteString::from(b"ab".to_vec())), Value::Text("YWI=".to_owned())),
        ] {
            assert_eq!(of(variant.clone()), (value, 192), "{variant:?}");
        }
    }

    #[test]
    fn an_array_is_its_json() {
        let array = Array::new(VariantScalarTypeId::Int32, vec![Variant::Int32(1), Variant::Int32(2)]).unwrap();
        assert_eq!(of(array.into()), (Value::Text("[1,2]".to_owned()), 192));
    }

    #[test]
    fn what_cannot_be_told_has_no_value_and_says_so() {
        for variant in
            [Variant::Double(f64::NAN), Variant::Float(f32::INFINITY), Variant::String("x".repeat(70_000).into())]
        {
            let (sample, status) = sample(&DataValue::value_only(variant), Timestamp::from_unix_millis(1));
            assert_eq!((sample.value, status.success), (Value::Null, false));
            assert!(!sample.quality.is_good());
        }
    }

    #[test]
    fn a_value_has_every_time_that_it_came_with_and_ours() {
        let [source, server, ours] = [1_000, 2_000, 3_000].map(Timestamp::from_unix_millis);
        let mut data = DataValue::value_only(1_i32);
        let mut check = |source_timestamp, server_timestamp, expected| {
            (data.source_timestamp, data.server_timestamp) = (source_timestamp, server_timestamp);
            let sample = sample(&data, ours).0;
            assert_eq!((sample.at, sample.source, sample.server, sample.received), expected);
        };
        let both = [source, server].map(|time| Some(date_time(time)));
        check(None, None, (ours, None, None, Some(ours)));
        check(None, both[1], (server, None, Some(server), Some(ours)));
        check(both[0], both[1], (source, Some(source), Some(server), Some(ours)));
        // No time is no time.
        check(Some(DateTime::null()), both[1], (server, None, Some(server), Some(ours)));
    }

    proptest! {
        #[test]
        fn a_time_reads_back(millis in 1_u64..=4_000_000_000_000) {
            let time = Timestamp::from_unix_millis(millis);
            prop_assert_eq!(timestamp(&date_time(time)), Some(time));
        }
    }
}
