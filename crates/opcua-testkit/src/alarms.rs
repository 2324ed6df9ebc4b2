//! The alarms of the plant, as conditions of OPC UA Part 9: pure, and without a clock.

use opcua::nodes::{BaseEventType, Event, EventField};
use opcua::types::{
    AttributeId, ByteString, DateTime, LocalizedText, NodeId, NumericRange, ObjectId, ObjectTypeId, QualifiedName,
    StatusCode, UAString, Variant,
};

use crate::tags;

/// How severe the alarms are, of 1 to 1000.
const SEVERITY: u16 = 700;

/// The alarms, and how they are.
#[derive(Debug)]
pub(crate) struct Alarms {
    alarms: Vec<Condition>,
    /// Events so far: what the next event's id is made of.
    events: u64,
}

/// An alarm, as one event of it says it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) name: &'static str,
    event_id: ByteString,
    time: DateTime,
    active: bool,
    acknowledged: bool,
    comment: LocalizedText,
    by: UAString,
}

impl Alarms {
    /// None of them is active.
    pub(crate) fn new() -> Self {
        let quiet = |name| Condition {
            name,
            event_id: ByteString::null(),
            time: DateTime::null(),
            active: false,
            acknowledged: true,
            comment: LocalizedText::null(),
            by: UAString::null(),
        };
        Self { alarms: tags::ALARMS.map(quiet).to_vec(), events: 0 }
    }

    /// Raises or clears an alarm. What is to be told, if that is a change.
    pub(crate) fn set(&mut self, name: &str, active: bool, now: DateTime) -> Option<Condition> {
        let event_id = self.next_event();
        let alarm = self.alarms.iter_mut().find(|alarm| alarm.name == name && alarm.active != active)?;
        alarm.active = active;
        if active {
            (alarm.acknowledged, alarm.comment, alarm.by) = (false, LocalizedText::null(), UAString::null());
        }
        (alarm.event_id, alarm.time) = (event_id, now);
        Some(alarm.clone())
    }

    /// Acknowledges what an event of an alarm said.
    ///
    /// # Errors
    /// [`StatusCode::BadEventIdUnknown`] if it is not the alarm's last event, and
    /// [`StatusCode::BadConditionBranchAlreadyAcked`] if somebody was faster.
    pub(crate) fn acknowledge(
        &mut self,
        condition: &NodeId,
        event_id: &ByteString,
        comment: LocalizedText,
        by: &str,
        now: DateTime,
    ) -> Result<Condition, StatusCode> {
        let next = self.next_event();
        let alarm = self.alarms.iter_mut().find(|alarm| alarm.node() == *condition);
        let alarm = alarm.ok_or(StatusCode::BadNodeIdUnknown)?;
        if alarm.event_id != *event_id || alarm.event_id.is_null() {
            return Err(StatusCode::BadEventIdUnknown);
        }
        if alarm.acknowledged {
            return Err(StatusCode::BadConditionBranchAlreadyAcked);
        }
        (alarm.acknowledged, alarm.comment, alarm.by) = (true, comment, UAString::from(by));
        (alarm.event_id, alarm.time) = (next, now);
        Ok(alarm.clone())
    }

    /// The alarms that somebody has to know of.
    pub(crate) fn retained(&self) -> Vec<Condition> {
        self.alarms.iter().filter(|alarm| alarm.retained()).cloned().collect()
    }

    /// The id of an event that is not one of an alarm.
    pub(crate) fn next_event(&mut self) -> ByteString {
        self.events += 1;
        ByteString::from(self.events.to_be_bytes().to_vec())
    }
}

impl Condition {
    /// Its node.
    pub(crate) fn node(&self) -> NodeId {
        node(self.name)
    }

    /// An alarm that is active, or that nobody has acknowledged.
    fn retained(&self) -> bool {
        self.active || !self.acknowledged
    }

    /// A field by the names on the way to it.
    fn field(&self, path: &[&str]) -> Variant {
        let state = |is: bool, yes: &str, no: &str| Variant::from(LocalizedText::from(if is { yes } else { no }));
        match path {
            ["EventId"] => self.event_id.clone().into(),
            ["EventType"] => event_type().into(),
            ["SourceNode"] => tags::node(tags::FOLDER).into(),
            ["SourceName"] => UAString::from(tags::FOLDER).into(),
            ["Time" | "ReceiveTime"] => self.time.into(),
            ["Message"] => LocalizedText::from(format!("{} is out of its limits", self.name)).into(),
            ["Severity"] => SEVERITY.into(),
            ["ConditionName"] => UAString::from(self.name).into(),
            ["ConditionClassId"] => NodeId::from(ObjectTypeId::ProcessConditionClassType).into(),
            ["BranchId"] => NodeId::null().into(),
            ["Retain"] => self.retained().into(),
            ["EnabledState"] => state(true, "Enabled", "Disabled"),
            ["EnabledState", "Id"] => true.into(),
            ["ActiveState"] => state(self.active, "Active", "Inactive"),
            ["ActiveState", "Id"] => self.active.into(),
            ["AckedState"] => state(self.acknowledged, "Acknowledged", "Unacknowledged"),
            ["AckedState", "Id"] => self.acknowledged.into(),
            ["Quality"] => StatusCode::Good.into(),
            ["Comment"] => self.comment.clone().into(),
            ["ClientUserId"] => self.by.clone().into(),
            ["InputNode"] => tags::node(&tags::alarm_control(self.name)).into(),
            _ => Variant::Empty,
        }
    }
}

/// An alarm's node.
pub(crate) fn node(name: &str) -> NodeId {
    tags::node(&format!("{name}.Condition"))
}

/// What type of condition they are.
fn event_type() -> NodeId {
    ObjectTypeId::OffNormalAlarmType.into()
}

/// The type that an event gives itself as. Part of the event, because it is asked for by reference.
pub(crate) struct ConditionEvent {
    condition: Condition,
    event_type: NodeId,
}

impl From<Condition> for ConditionEvent {
    fn from(condition: Condition) -> Self {
        Self { condition, event_type: event_type() }
    }
}

impl EventField for ConditionEvent {
    fn get_value(&self, attribute: AttributeId, _: &NumericRange, path: &[QualifiedName]) -> Variant {
        if path.is_empty() && attribute == AttributeId::NodeId {
            // What Part 9 calls the ConditionId is no field: it is the condition itself.
            return self.condition.node().into();
        }
        if attribute != AttributeId::Value || path.iter().any(|name| name.namespace_index != 0) {
            return Variant::Empty;
        }
        let path: Vec<&str> = path.iter().map(|name| name.name.as_ref()).collect();
        self.condition.field(&path)
    }
}

impl Event for ConditionEvent {
    fn get_field(&self, _: &NodeId, attribute: AttributeId, range: &NumericRange, path: &[QualifiedName]) -> Variant {
        // Names of fields are unique among the types that an alarm is of.
        self.get_value(attribute, range, path)
    }

    fn time(&self) -> &DateTime {
        &self.condition.time
    }

    fn event_type_id(&self) -> &NodeId {
        &self.event_type
    }
}

/// What stands before and after the alarms of a refresh.
pub(crate) fn refresh_mark(kind: ObjectTypeId, event_id: ByteString, now: DateTime) -> BaseEventType {
    BaseEventType::new(kind, event_id, "", now)
        .set_source_node(ObjectId::Server.into())
        .set_source_name(UAString::from("Server"))
        .set_severity(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of an event of an alarm, by the names on the way to them.
    const FIELDS: [&[&str]; 22] = [
        &["EventId"],
        &["EventType"],
        &["SourceNode"],
        &["SourceName"],
        &["Time"],
        &["ReceiveTime"],
        &["Message"],
        &["Severity"],
        &["ConditionName"],
        &["ConditionClassId"],
        &["BranchId"],
        &["Retain"],
        &["EnabledState"],
        &["EnabledState", "Id"],
        &["ActiveState"],
        &["ActiveState", "Id"],
        &["AckedState"],
        &["AckedState", "Id"],
        &["Quality"],
        &["Comment"],
        &["ClientUserId"],
        &["InputNode"],
    ];

    fn states(condition: &Condition) -> (bool, bool, bool) {
        (condition.active, condition.acknowledged, condition.retained())
    }

    #[test]
    fn an_alarm_is_raised_acknowledged_and_cleared_in_any_order() {
        let now = DateTime::ymd(2026, 1, 2);
        let mut alarms = Alarms::new();
        assert!(alarms.retained().is_empty());
        let raised = alarms.set("Level", true, now).unwrap();
        assert_eq!(states(&raised), (true, false, true));
        assert_eq!(alarms.set("Level", true, now), None, "it is active already");

        let cleared = alarms.set("Level", false, now).unwrap();
        assert_eq!(states(&cleared), (false, false, true), "nobody has acknowledged it");
        assert_eq!(alarms.retained(), std::slice::from_ref(&cleared));

        let said = LocalizedText::from("seen");
        let stale = alarms.acknowledge(&node("Level"), &raised.event_id, said.clone(), "ada", now);
        assert_eq!(stale, Err(StatusCode::BadEventIdUnknown));
        let acknowledged = alarms.acknowledge(&node("Level"), &cleared.event_id, said.clone(), "ada", now).unwrap();
        assert_eq!(states(&acknowledged), (false, true, false));
        assert_eq!((acknowledged.field(&["Comment"]), alarms.retained().len()), (said.clone().into(), 0));
        let again = alarms.acknowledge(&node("Level"), &acknowledged.event_id, said.clone(), "bob", now);
        assert_eq!(again, Err(StatusCode::BadConditionBranchAlreadyAcked));
        let unknown = alarms.acknowledge(&node("Weather"), &acknowledged.event_id, said, "ada", now);
        assert_eq!(unknown, Err(StatusCode::BadNodeIdUnknown));
    }

    #[test]
    fn an_alarm_that_never_was_cannot_be_acknowledged() {
        let now = DateTime::ymd(2026, 1, 2);
        let mut alarms = Alarms::new();
        let nothing = alarms.acknowledge(&node("Level"), &ByteString::null(), LocalizedText::null(), "ada", now);
        assert_eq!(nothing, Err(StatusCode::BadEventIdUnknown));
    }

    #[test]
    fn every_field_has_a_value() {
        let condition = Alarms::new().set("Level", true, DateTime::ymd(2026, 1, 2)).unwrap();
        for field in FIELDS {
            assert_ne!(condition.field(field), Variant::Empty, "{field:?}");
        }
    }

    #[test]
    fn an_event_answers_by_path_and_its_condition_by_an_empty_one() {
        let condition = Alarms::new().set("Level", true, DateTime::ymd(2026, 1, 2)).unwrap();
        let event = ConditionEvent::from(condition);
        let any = NodeId::null();
        let get = |attribute, path: &[&str]| {
            let path: Vec<QualifiedName> = path.iter().map(|name| QualifiedName::new(0, *name)).collect();
            event.get_field(&any, attribute, &NumericRange::None, &path)
        };
        assert_eq!(get(AttributeId::NodeId, &[]), node("Level").into());
        assert_eq!(get(AttributeId::Value, &["ActiveState", "Id"]), true.into());
        assert_eq!(get(AttributeId::Value, &["ConditionName"]), UAString::from("Level").into());
        assert_eq!(get(AttributeId::Value, &["Weather"]), Variant::Empty);
        assert_eq!(get(AttributeId::NodeId, &["Time"]), Variant::Empty);
    }
}
