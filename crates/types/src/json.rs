//! JSON text that is carried through without being taken apart.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

/// Why a text is not JSON.
#[derive(Debug, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// A JSON value as text, known to be well formed. Cheap to clone: the text is shared.
///
/// An agent's input, an event's body and a result are such values: the gateway forwards and stores them, it never
/// needs their inside.
#[derive(Clone)]
pub struct Json(
    // The text stays where it was made: a chunk of a result is half a megabyte, which a count in front of it would copy.
    Arc<Box<RawValue>>,
);

impl Json {
    /// Checks that `text` is one JSON value and keeps it.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        // A raw value keeps surrounding white space out but inner white space as it is.
        Ok(serde_json::from_str::<Box<RawValue>>(text)?.into())
    }

    /// The same of a text that is not copied before it is checked. White space around the value is no part of it.
    pub fn owned(text: String) -> Result<Self, JsonError> {
        Ok(RawValue::from_string(text)?.into())
    }

    /// The JSON form of `value`.
    pub fn of<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, JsonError> {
        Ok(serde_json::value::to_raw_value(value)?.into())
    }

    /// The JSON `null`.
    pub fn null() -> Self {
        RawValue::NULL.to_owned().into()
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads the value as a `T`.
    pub fn to<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        Ok(serde_json::from_str(self.get())?)
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(Arc::new(raw))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl serde::Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Box<RawValue>>::deserialize(deserializer).map(Self::from)
    }
}
