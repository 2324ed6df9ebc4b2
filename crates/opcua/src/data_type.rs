//! What can be written to a node: its type, and a value as one of that.
//!
//! A server may take a value of another type and keep it, so the type is found out before and the value is made one of it
//! or refused, without the server.

use data_encoding::BASE64;
use moorline_backend::contract::Value;
use opcua::client::Session;
use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, ByteString, DataTypeId, DateTime, Identifier, LocalizedText,
    NodeClassMask, NodeId, ReadValueId, ReferenceTypeId, StatusCode, TimestampsToReturn, Variant, VariantScalarTypeId,
};

/// How far a type may be from the one that it is stored as.
const MAX_SUPERTYPES: usize = 16;

/// The largest and the smallest whole number that a double has exactly.
const EXACT_IN_DOUBLE: i64 = 1 << 53;

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Unwritable {
    /// The server says so, or could not be asked.
    #[error("the type of the item could not be found out: {0}")]
    Unknown(StatusCode),
    /// It is not one value.
    #[error("the item is an array; only single values are written")]
    Array,
    /// Its type is a structure or another one that the contract has no value of.
    #[error("values of the type {0} are not written")]
    Type(String),
    /// The value is none of the item's type.
    #[error("the item is a {0:?}, and the value is none")]
    Value(VariantScalarTypeId),
}

impl Unwritable {
    /// The same as the server would say it.
    pub(crate) const fn code(&self) -> StatusCode {
        match self {
            Self::Unknown(code) => *code,
            Self::Array | Self::Type(_) => StatusCode::BadNotSupported,
            Self::Value(_) => StatusCode::BadTypeMismatch,
        }
    }
}

/// Finds out as what a node's value is stored.
pub(crate) async fn of_node(session: &Session, node: &NodeId) -> Result<VariantScalarTypeId, Unwritable> {
    let attribute = |attribute: AttributeId| ReadValueId {
        node_id: node.clone(),
        attribute_id: attribute as u32,
        ..ReadValueId::default()
    };
    let asked = [AttributeId::DataType, AttributeId::ValueRank, AttributeId::Value].map(attribute);
    let read = session.read(&asked, TimestampsToReturn::Neither, 0.0).await;
    let read = read.map_err(|error| Unwritable::Unknown(error.status()))?;
    let [data_type, rank, value] = &read[..] else { return Err(Unwritable::Unknown(StatusCode::BadUnexpectedError)) };
    if let Some(Variant::Int32(0..)) = rank.value {
        return Err(Unwritable::Array);
    }
    let Some(Variant::NodeId(data_type)) = &data_type.value else {
        return Err(Unwritable::Unknown(data_type.status.unwrap_or(StatusCode::BadUnexpectedError)));
    };
    match supertypes(session, data_type).await? {
        Stored::As(stored) => Ok(stored),
        // It may have any type, or any number; it stays what it is.
        Stored::AsAnything => match value.value.as_ref().map(Variant::type_id) {
            Some(opcua::types::VariantTypeId::Scalar(stored)) => Ok(stored),
            Some(_) => Err(Unwritable::Array),
            None => Err(Unwritable::Unknown(StatusCode::BadWaitingForInitialData)),
        },
    }
}

enum Stored {
    As(VariantScalarTypeId),
    AsAnything,
}

async fn supertypes(session: &Session, data_type: &NodeId) -> Result<Stored, Unwritable> {
    let mut current = data_type.clone();
    for _ in 0..MAX_SUPERTYPES {
        if let Some(stored) = builtin(&current) {
            return Ok(stored);
        }
        let up = BrowseDescription {
            node_id: current.clone(),
            browse_direction: BrowseDirection::Inverse,
            reference_type_id: ReferenceTypeId::HasSubtype.into(),
            include_subtypes: true,
            node_class_mask: NodeClassMask::DATA_TYPE.bits(),
            result_mask: 0,
        };
        let found = session.browse(&[up], 1, None).await.map_err(|error| Unwritable::Unknown(error.status()))?;
        let parent = found.into_iter().next().and_then(|result| result.references?.into_iter().next());
        current = parent.ok_or_else(|| Unwritable::Type(data_type.to_string()))?.node_id.node_id;
    }
    Err(Unwritable::Type(data_type.to_string()))
}

/// The types that have a number of their own in the encoding, and those above them.
fn builtin(node: &NodeId) -> Option<Stored> {
    let Identifier::Numeric(number) = node.identifier else { return None };
    if node.namespace != 0 {
        return None;
    }
    let is = |known: DataTypeId| number == known as u32;
    if is(DataTypeId::BaseDataType) || is(DataTypeId::Number) || is(DataTypeId::Integer) || is(DataTypeId::UInteger) {
        return Some(Stored::AsAnything);
    }
    if is(DataTypeId::Enumeration) {
        return Some(Stored::As(VariantScalarTypeId::Int32));
    }
    VariantScalarTypeId::try_from(number).ok().map(Stored::As)
}

/// The value as one of the type that the node has.
pub(crate) fn convert(value: &Value, stored: VariantScalarTypeId) -> Result<Variant, Unwritable> {
    use VariantScalarTypeId as Id;

    let integer = if let Value::Integer(number) = value { Some(*number) } else { None };
    let text = if let Value::Text(text) = value { Some(text.as_str()) } else { None };
    let boolean = if let Value::Bool(value) = value { Some(*value) } else { None };
    let converted = match stored {
        Id::Boolean => boolean.map(Variant::Boolean),
        Id::SByte => integer.and_then(|n| i8::try_from(n).ok()).map(Variant::SByte),
        Id::Byte => integer.and_then(|n| u8::try_from(n).ok()).map(Variant::Byte),
        Id::Int16 => integer.and_then(|n| i16::try_from(n).ok()).map(Variant::Int16),
        Id::UInt16 => integer.and_then(|n| u16::try_from(n).ok()).map(Variant::UInt16),
        Id::Int32 => integer.and_then(|n| i32::try_from(n).ok()).map(Variant::Int32),
        Id::UInt32 => integer.and_then(|n| u32::try_from(n).ok()).map(Variant::UInt32),
        Id::Int64 => integer.map(Variant::Int64),
        Id::UInt64 => match text {
            // What is too large for the contract's whole numbers is told as its digits, and so is taken as them.
            Some(digits) => digits.parse().ok().map(Variant::UInt64),
            None => integer.and_then(|n| u64::try_from(n).ok()).map(Variant::UInt64),
        },
        Id::Float => double(value).and_then(float).map(Variant::Float),
        Id::Double => double(value).map(Variant::Double),
        Id::String => text.map(|text| Variant::String(text.into())),
        Id::DateTime => {
            text.and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|time| Variant::DateTime(Box::new(time)))
        }
        Id::Guid => text.and_then(|text| text.parse().ok()).map(|guid| Variant::Guid(Box::new(guid))),
        Id::StatusCode => {
            integer.and_then(|n| u32::try_from(n).ok()).map(|bits| Variant::StatusCode(StatusCode::from(bits)))
        }
        Id::ByteString => {
            text.and_then(|text| BASE64.decode(text.as_bytes()).ok()).map(|b| Variant::ByteString(ByteString::from(b)))
        }
        Id::LocalizedText => text.map(|text| Variant::LocalizedText(Box::new(LocalizedText::new("", text)))),
        Id::NodeId => text.and_then(|text| text.parse().ok()).map(|node| Variant::NodeId(Box::new(node))),
        Id::XmlElement
        | Id::ExpandedNodeId
        | Id::QualifiedName
        | Id::ExtensionObject
        | Id::DataValue
        | Id::Variant
        | Id::DiagnosticInfo => return Err(Unwritable::Type(format!("{stored:?}"))),
    };
    converted.ok_or(Unwritable::Value(stored))
}

fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Double(number) => number.is_finite().then_some(*number),
        #[expect(clippy::cast_precision_loss, reason = "what would lose some is refused")]
        Value::Integer(number) => (-EXACT_IN_DOUBLE..=EXACT_IN_DOUBLE).contains(number).then_some(*number as f64),
        Value::Null | Value::Bool(_) | Value::Text(_) => None,
    }
}

/// The nearest number of the smaller type; none if it is beyond its largest.
#[expect(clippy::cast_possible_truncation, reason = "the nearest one is what a server keeps of it")]
fn float(number: f64) -> Option<f32> {
    let nearest = number as f32;
    nearest.is_finite().then_some(nearest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_made_one_of_the_type_or_refused() {
        use VariantScalarTypeId as Id;

        let text = |text: &str| Value::Text(text.to_owned());
        for (value, stored, expected) in [
            (Value::Bool(true), Id::Boolean, Some(Variant::Boolean(true))),
            (Value::Integer(1), Id::Boolean, None),
            (Value::Integer(-128), Id::SByte, Some(Variant::SByte(-128))),
            (Value::Integer(-129), Id::SByte, None),
            (Value::Integer(65_535), Id::UInt16, Some(Variant::UInt16(65_535))),
            (Value::Integer(-1), Id::UInt32, None),
            (text("18446744073709551615"), Id::UInt64, Some(Variant::UInt64(u64::MAX))),
            (Value::Integer(7), Id::UInt64, Some(Variant::UInt64(7))),
            (Value::Double(1.0), Id::Int32, None),
            (Value::Integer(3), Id::Double, Some(Variant::Double(3.0))),
            (Value::Integer(i64::MAX), Id::Double, None),
            (Value::Double(0.1), Id::Float, Some(Variant::Float(0.1))),
            (Value::Double(1e300), Id::Float, None),
            (text("7"), Id::Int32, None),
            (text("seven"), Id::String, Some(Variant::String("seven".into()))),
            (Value::Integer(7), Id::String, None),
            (Value::Null, Id::String, None),
            (text("YWI="), Id::ByteString, Some(Variant::ByteString(ByteString::from(b"ab".to_vec())))),
            (text("not base64!"), Id::ByteString, None),
            (text("yesterday"), Id::DateTime, None),
            (text("{}"), Id::ExtensionObject, None),
        ] {
            assert_eq!(convert(&value, stored).ok(), expected, "{value:?} {stored:?}");
        }
    }

    #[test]
    fn types_above_the_built_in_ones_are_known() {
        let stored = |id: DataTypeId| builtin(&id.into());
        assert!(matches!(stored(DataTypeId::Int32), Some(Stored::As(VariantScalarTypeId::Int32))));
        assert!(matches!(stored(DataTypeId::Enumeration), Some(Stored::As(VariantScalarTypeId::Int32))));
        assert!(matches!(stored(DataTypeId::Number), Some(Stored::AsAnything)));
        assert!(stored(DataTypeId::Duration).is_none(), "it is asked for what it is a kind of");
        assert!(builtin(&NodeId::new(2, 6_u32)).is_none(), "a number of another namespace is another type");
    }

    proptest! {
        /// What is told of a number can be written back, and is the same.
        #[test]
        fn a_number_that_was_told_is_written_as_what_it_was(number in any::<u64>()) {
            let (sample, _) = crate::value::sample(
                &opcua::types::DataValue::value_only(number),
                moorline_types::Timestamp::from_unix_millis(1),
            );
            prop_assert_eq!(convert(&sample.value, VariantScalarTypeId::UInt64), Ok(Variant::UInt64(number)));
        }
    }
}
