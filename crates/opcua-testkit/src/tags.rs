//! The tags of the test servers: the one here, and the one in `interop/opcua/`.
//!
//! An item's name is `ns=2;s=NAME` in both, and `/Plant/NAME` below the folder of objects.

use opcua::types::{ByteString, DateTime, Guid, NodeId, UAString, Variant};

/// The namespace of the tags.
pub const NAMESPACE: &str = "urn:moorline:opcua-testkit";

/// Its index, in both servers.
pub const NAMESPACE_INDEX: u16 = 2;

/// The folder of the tags.
pub const FOLDER: &str = "Plant";

/// Counts from 0, one at a time, while [`COUNTING`] is true: no value comes twice, so what is lost or doubled shows.
pub const COUNTER: &str = "Counter";

/// Whether [`COUNTER`] counts.
pub const COUNTING: &str = "Counter.Run";

/// A number whose writes take a while.
pub const SLOW: &str = "Slow";

/// A number that can be read, and that nobody may write.
pub const REFUSED: &str = "Refused";

/// A number that can be written by [`USER`] and [`USER_WITH_CERTIFICATE`] only.
pub const SECURED: &str = "Secured";

/// A number whose quality is bad while [`SENSOR_FAILED`] is true.
pub const SENSOR: &str = "Sensor";

/// What it measures while it works; while it does not, it says 0.
pub const SENSOR_VALUE: f64 = 20.0;

/// Whether [`SENSOR`] is broken.
pub const SENSOR_FAILED: &str = "Sensor.Failed";

/// An array.
pub const ARRAY: &str = "Int32Array";

/// Who may write [`SECURED`].
pub const USER: &str = "operator";

/// How that is proven. No secret: it is known to whoever reads this.
pub const PASSWORD: &str = "operator-password";

/// Who may write it too, and proves it with a certificate.
pub const USER_WITH_CERTIFICATE: &str = "engineer";

/// The alarms there are. Each has a tag of its name with `.Alarm` behind, which raises and clears it.
pub const ALARMS: [&str; 2] = ["Level", "Pressure"];

/// The tag that raises and clears an alarm.
pub fn alarm_control(alarm: &str) -> String {
    format!("{alarm}.Alarm")
}

/// A tag's node.
pub fn node(name: &str) -> NodeId {
    NodeId::new(NAMESPACE_INDEX, name)
}

/// A tag's name as an item.
pub fn item(name: &str) -> String {
    format!("ns={NAMESPACE_INDEX};s={name}")
}

/// The tags that hold one value, with what they hold at first: one for each scalar type that has values of its own.
pub fn scalars() -> Vec<(&'static str, Variant)> {
    vec![
        ("Boolean", Variant::Boolean(true)),
        ("SByte", Variant::SByte(-8)),
        ("Byte", Variant::Byte(8)),
        ("Int16", Variant::Int16(-16)),
        ("UInt16", Variant::UInt16(16)),
        ("Int32", Variant::Int32(-32)),
        ("UInt32", Variant::UInt32(32)),
        ("Int64", Variant::Int64(-64)),
        ("UInt64", Variant::UInt64(64)),
        ("Float", Variant::Float(0.5)),
        ("Double", Variant::Double(0.25)),
        ("String", Variant::String(UAString::from("text"))),
        ("DateTime", Variant::DateTime(Box::new(DateTime::ymd(2026, 1, 2)))),
        ("Guid", Variant::Guid(Box::new(Guid::from_bytes([7; 16])))),
        ("ByteString", Variant::ByteString(ByteString::from(vec![1, 2, 3]))),
        ("LocalizedText", Variant::LocalizedText(Box::new("words".into()))),
    ]
}

/// Every tag, with what it holds at first.
pub fn all() -> Vec<(String, Variant)> {
    let mut tags: Vec<(String, Variant)> =
        scalars().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let own = [
        (ARRAY, Variant::from(vec![1_i32, 2, 3])),
        (COUNTER, Variant::Int64(0)),
        (COUNTING, Variant::Boolean(false)),
        (SLOW, Variant::Int32(0)),
        (REFUSED, Variant::Int32(0)),
        (SECURED, Variant::Int32(0)),
        (SENSOR, Variant::Double(SENSOR_VALUE)),
        (SENSOR_FAILED, Variant::Boolean(false)),
    ];
    tags.extend(own.map(|(name, value)| (name.to_owned(), value)));
    tags.extend(ALARMS.map(|alarm| (alarm_control(alarm), Variant::Boolean(false))));
    tags
}
