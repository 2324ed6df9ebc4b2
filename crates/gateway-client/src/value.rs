//! Values, and the handles that a back end gives.

use std::fmt;
use std::time::SystemTime;

use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::value::Kind;

/// A client session of the back end: what [`crate::Session::register`] has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server(pub i32);

/// An item in a client session of the back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// In which client session.
    pub server: Server,
    /// Its handle there.
    pub handle: i32,
}

/// An authenticated user of a client session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(pub i32);

impl User {
    /// Nobody: for items that need no user.
    pub const NOBODY: Self = Self(0);
}

/// A value of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Double(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

macro_rules! from {
    ($($from:ty => $to:ident;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$to(value.into())
            }
        }
    )*};
}

from! {
    bool => Bool;
    i32 => Integer;
    i64 => Integer;
    f64 => Double;
    &str => Text;
    String => Text;
}

impl From<v1::Value> for Value {
    fn from(value: v1::Value) -> Self {
        match value.kind {
            None => Self::Null,
            Some(Kind::BoolValue(value)) => Self::Bool(value),
            Some(Kind::IntegerValue(value)) => Self::Integer(value),
            Some(Kind::DoubleValue(value)) => Self::Double(value),
            Some(Kind::StringValue(value)) => Self::Text(value),
        }
    }
}

impl From<Value> for v1::Value {
    fn from(value: Value) -> Self {
        let kind = match value {
            Value::Null => None,
            Value::Bool(value) => Some(Kind::BoolValue(value)),
            Value::Integer(value) => Some(Kind::IntegerValue(value)),
            Value::Double(value) => Some(Kind::DoubleValue(value)),
            Value::Text(value) => Some(Kind::StringValue(value)),
        };
        Self { kind }
    }
}

/// A value with its quality and its times. On a bad status it is not new data.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: Value,
    /// OPC style: 192 is good, 64 uncertain, 0 bad; sub-status in bits 2 to 5, limits in bits 0 and 1.
    pub quality: u32,
    /// When it became so, as its source says, if it does.
    pub source_time: Option<SystemTime>,
    /// When the back end has seen it so, if it says.
    pub server_time: Option<SystemTime>,
    /// When the session's worker was told; absent from a worker that is older than this.
    pub received_time: Option<SystemTime>,
    /// The back end's own code of the quality.
    pub raw_status: u32,
}

impl Sample {
    /// Whether the quality is good.
    pub const fn is_good(&self) -> bool {
        self.quality & 0xc0 == 0xc0
    }

    /// The time that says most: the source's, else the back end's, else the worker's.
    pub fn time(&self) -> Option<SystemTime> {
        self.source_time.or(self.server_time).or(self.received_time)
    }
}

impl From<v1::Sample> for Sample {
    fn from(sample: v1::Sample) -> Self {
        Self {
            value: sample.value.unwrap_or_default().into(),
            quality: sample.quality,
            source_time: sample.source_time.and_then(time),
            server_time: sample.server_time.and_then(time),
            received_time: sample.received_time.and_then(time),
            raw_status: sample.raw_status,
        }
    }
}

/// A time; none if it is beyond what this machine can express.
pub(crate) fn time(at: prost_types::Timestamp) -> Option<SystemTime> {
    at.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_there_and_back() {
        for value in
            [Value::Null, true.into(), (-7).into(), i64::MAX.into(), 42.5.into(), "line 1".into(), String::new().into()]
        {
            assert_eq!(Value::from(v1::Value::from(value.clone())), value);
        }
    }

    #[test]
    fn a_quality_is_good_whatever_its_sub_status() {
        for (quality, good) in [(0xc0, true), (0xc3, true), (0xd8, true), (0x40, false), (0x80, false), (0, false)] {
            assert_eq!(Sample::from(v1::Sample { quality, ..Default::default() }).is_good(), good, "{quality:#x}");
        }
    }
}
