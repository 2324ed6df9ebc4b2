//! Alarms: which fields of events are asked for, what an event says, and which alarms there are.
//!
//! An alarm is named by its condition. Its item is the condition's source, its area what stands before the first dot or
//! slash of the source's name. Branches of a condition, which are earlier states that somebody has yet to acknowledge,
//! are not told.

use std::collections::{BTreeMap, BTreeSet};

use moorline_backend::contract::{Alarm, Event, EventBody};
use moorline_types::Timestamp;
use opcua::types::{
    AttributeId, ByteString, EventFilter, NodeId, ObjectTypeId, QualifiedName, SimpleAttributeOperand, Variant,
};

use crate::value;

/// Alarms that are known at once. An area with more has other problems than ours; those beyond are told, and cannot be
/// acknowledged.
const MAX_ALARMS: usize = 10_000;

/// The most severe alarm of the contract; OPC UA's has one more.
const MAX_SEVERITY: u16 = 999;

/// The fields of events that are asked for, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    EventId,
    EventType,
    SourceNode,
    SourceName,
    Time,
    Message,
    Severity,
    Condition,
    Branch,
    Retain,
    Active,
    Acknowledged,
    Comment,
    ClientUser,
}

const FIELDS: [(Field, ObjectTypeId, &[&str]); 14] = [
    (Field::EventId, ObjectTypeId::BaseEventType, &["EventId"]),
    (Field::EventType, ObjectTypeId::BaseEventType, &["EventType"]),
    (Field::SourceNode, ObjectTypeId::BaseEventType, &["SourceNode"]),
    (Field::SourceName, ObjectTypeId::BaseEventType, &["SourceName"]),
    (Field::Time, ObjectTypeId::BaseEventType, &["Time"]),
    (Field::Message, ObjectTypeId::BaseEventType, &["Message"]),
    (Field::Severity, ObjectTypeId::BaseEventType, &["Severity"]),
    // The condition itself: its NodeId attribute (Part 9, 5.5.2.13).
    (Field::Condition, ObjectTypeId::ConditionType, &[]),
    (Field::Branch, ObjectTypeId::ConditionType, &["BranchId"]),
    (Field::Retain, ObjectTypeId::ConditionType, &["Retain"]),
    (Field::Active, ObjectTypeId::AlarmConditionType, &["ActiveState", "Id"]),
    (Field::Acknowledged, ObjectTypeId::AcknowledgeableConditionType, &["AckedState", "Id"]),
    (Field::Comment, ObjectTypeId::ConditionType, &["Comment"]),
    (Field::ClientUser, ObjectTypeId::ConditionType, &["ClientUserId"]),
];

/// Which events are asked for: all, with these fields. What is no alarm is passed over here, because not every server can
/// choose by type.
pub(crate) fn filter() -> EventFilter {
    let clause = |(_, kind, path): &(Field, ObjectTypeId, &[&str])| SimpleAttributeOperand {
        type_definition_id: (*kind).into(),
        browse_path: Some(path.iter().map(|name| QualifiedName::new(0, *name)).collect()),
        attribute_id: if path.is_empty() { AttributeId::NodeId } else { AttributeId::Value } as u32,
        index_range: Default::default(),
    };
    EventFilter { select_clauses: Some(FIELDS.iter().map(clause).collect()), ..EventFilter::default() }
}

/// What an event says.
#[derive(Debug)]
pub(crate) enum Said {
    /// What follows is said because somebody asked.
    RefreshBegins,
    /// That was all.
    RefreshEnds,
    /// The server wants to be asked.
    RefreshIsNeeded,
    /// An alarm is like this.
    Alarm(Box<Condition>),
    /// Nothing about alarms.
    Nothing,
}

/// An alarm as an event tells it.
#[derive(Debug)]
pub(crate) struct Condition {
    id: NodeId,
    event: ByteString,
    retained: bool,
    alarm: Alarm,
}

/// What the fields of an event say.
pub(crate) fn read(fields: &[Variant], received: Timestamp) -> Said {
    let field = |wanted: Field| {
        let index = FIELDS.iter().position(|(field, ..)| *field == wanted)?;
        fields.get(index)
    };
    let node = |wanted| match field(wanted) {
        Some(Variant::NodeId(node)) if !node.is_null() => Some((**node).clone()),
        _ => None,
    };
    let text = |wanted| match field(wanted) {
        Some(Variant::String(text)) => text.as_ref().to_owned(),
        Some(Variant::LocalizedText(text)) => text.text.as_ref().to_owned(),
        _ => String::new(),
    };
    let flag = |wanted| matches!(field(wanted), Some(Variant::Boolean(true)));
    let kind = node(Field::EventType);
    let is_kind = |known: ObjectTypeId| kind.as_ref() == Some(&NodeId::from(known));
    if is_kind(ObjectTypeId::RefreshStartEventType) {
        return Said::RefreshBegins;
    } else if is_kind(ObjectTypeId::RefreshEndEventType) {
        return Said::RefreshEnds;
    } else if is_kind(ObjectTypeId::RefreshRequiredEventType) {
        return Said::RefreshIsNeeded;
    }
    let is_state = matches!(field(Field::Active), Some(Variant::Boolean(_)));
    let (Some(id), Some(Variant::ByteString(event)), true) = (node(Field::Condition), field(Field::EventId), is_state)
    else {
        return Said::Nothing;
    };
    if node(Field::Branch).is_some() {
        return Said::Nothing;
    }
    let name = text(Field::SourceName);
    let item = node(Field::SourceNode).map_or_else(|| name.clone(), |node| node.to_string());
    let time = match field(Field::Time) {
        Some(Variant::DateTime(time)) => value::timestamp(time),
        _ => None,
    };
    let severity = match field(Field::Severity) {
        Some(Variant::UInt16(severity)) => (*severity).min(MAX_SEVERITY),
        _ => 0,
    };
    let alarm = Alarm {
        alarm: id.to_string(),
        item,
        area: name.split(['.', '/']).next().unwrap_or_default().to_owned(),
        message: text(Field::Message),
        severity,
        active: flag(Field::Active),
        acknowledged: flag(Field::Acknowledged),
        raised_at: time.unwrap_or(received),
        by: text(Field::ClientUser),
        comment: text(Field::Comment),
        snapshot: false,
    };
    Said::Alarm(Box::new(Condition { id, event: event.clone(), retained: flag(Field::Retain), alarm }))
}

/// The alarms that are known, and which of them are told.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// Below which area they are told; `None` if not at all.
    area: Option<String>,
    known: BTreeMap<String, Known>,
    /// What the server has said again so far, while it does.
    refreshed: Option<BTreeSet<String>>,
}

#[derive(Debug)]
struct Known {
    condition: NodeId,
    event: ByteString,
    alarm: Alarm,
}

/// What an acknowledgement is for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Acknowledgement {
    /// The condition.
    pub(crate) condition: NodeId,
    /// The event that said how it is.
    pub(crate) event: ByteString,
}

impl Alarms {
    /// Alarms below this area are told from here on.
    pub(crate) fn subscribe(&mut self, area: &str) {
        self.area = Some(area.to_owned());
    }

    /// Whether they are told.
    pub(crate) const fn is_subscribed(&self) -> bool {
        self.area.is_some()
    }

    /// An event has come. What is to be told of it.
    pub(crate) fn observe(&mut self, said: Said) -> Vec<Event> {
        match said {
            Said::Nothing | Said::RefreshIsNeeded => Vec::new(),
            Said::RefreshBegins => {
                self.refreshed = Some(BTreeSet::new());
                Vec::new()
            }
            Said::RefreshEnds => {
                if let Some(refreshed) = self.refreshed.take() {
                    // What was not said again has ended while nobody listened.
                    self.known.retain(|name, _| refreshed.contains(name));
                }
                vec![complete()]
            }
            Said::Alarm(condition) => self.changed(*condition),
        }
    }

    fn changed(&mut self, condition: Condition) -> Vec<Event> {
        let Condition { id, event, retained, mut alarm } = condition;
        let name = alarm.alarm.clone();
        let before = self.known.remove(&name);
        if let Some(Known { alarm: before, .. }) = &before
            && before.active
            && alarm.active
        {
            // It is the same occurrence, whatever else has changed of it.
            alarm.raised_at = before.raised_at;
        }
        if let Some(refreshed) = &mut self.refreshed {
            if refreshed.len() < MAX_ALARMS {
                refreshed.insert(name.clone());
            }
            alarm.snapshot = true;
        }
        if retained || alarm.active {
            if self.known.len() < MAX_ALARMS {
                self.known.insert(name, Known { condition: id, event, alarm: alarm.clone() });
            } else {
                tracing::warn!(
                    alarm = name,
                    "there are {MAX_ALARMS} alarms; this one is told, and cannot be acknowledged"
                );
            }
        }
        self.told(alarm).into_iter().collect()
    }

    /// What is known, and that this was all: for a server that does not say it.
    pub(crate) fn snapshot(&mut self) -> Vec<Event> {
        self.refreshed = None;
        let active = self.known.values().map(|known| Alarm { snapshot: true, ..known.alarm.clone() });
        let told: Vec<Event> = active.collect::<Vec<_>>().into_iter().filter_map(|alarm| self.told(alarm)).collect();
        told.into_iter().chain([complete()]).collect()
    }

    /// What is to be acknowledged for the alarm of this name, if it is known.
    pub(crate) fn acknowledgement(&self, alarm: &str) -> Option<Acknowledgement> {
        let Known { condition, event, .. } = self.known.get(alarm)?;
        Some(Acknowledgement { condition: condition.clone(), event: event.clone() })
    }

    fn told(&self, alarm: Alarm) -> Option<Event> {
        let is_told = self.area.as_ref().is_some_and(|area| alarm.area.starts_with(area.as_str()));
        let name = Some(alarm.item.as_str().into());
        is_told.then(|| Event { at: None, name, statuses: Vec::new(), said: EventBody::Alarm(alarm) })
    }
}

fn complete() -> Event {
    Event { at: None, name: None, statuses: Vec::new(), said: EventBody::AlarmSnapshotComplete }
}

#[cfg(test)]
mod tests {
    use opcua::types::LocalizedText;

    use super::*;

    fn fields(kind: ObjectTypeId, condition: &str, event: &str, active: bool, acknowledged: bool) -> Vec<Variant> {
        let node = |node: NodeId| Variant::NodeId(Box::new(node));
        vec![
            Variant::ByteString(ByteString::from(event.as_bytes().to_vec())),
            node(kind.into()),
            node(NodeId::new(2, "Line1.Speed")),
            "Line1.Speed".into(),
            Variant::DateTime(Box::new(value::date_time(Timestamp::from_unix_millis(event.len() as u64 * 1_000)))),
            Variant::LocalizedText(Box::new(LocalizedText::new("en", "too fast"))),
            Variant::UInt16(1_000),
            node(NodeId::new(2, condition)),
            node(NodeId::null()),
            Variant::Boolean(active || !acknowledged),
            Variant::Boolean(active),
            Variant::Boolean(acknowledged),
            Variant::LocalizedText(Box::default()),
            Variant::String("ada".into()),
        ]
    }

    fn state(event: &str, active: bool, acknowledged: bool) -> Said {
        let fields = fields(ObjectTypeId::ExclusiveLevelAlarmType, "high", event, active, acknowledged);
        read(&fields, Timestamp::from_unix_millis(9))
    }

    fn marker(kind: ObjectTypeId) -> Said {
        read(&fields(kind, "", "", false, false), Timestamp::from_unix_millis(9))
    }

    fn alarms(events: &[Event]) -> Vec<(bool, bool, bool)> {
        let alarm = |event: &Event| {
            let EventBody::Alarm(alarm) = &event.said else { return None };
            Some((alarm.active, alarm.acknowledged, alarm.snapshot))
        };
        events.iter().filter_map(alarm).collect()
    }

    #[test]
    fn every_field_is_asked_for_where_it_is_read() {
        let clauses = filter().select_clauses.unwrap();
        assert_eq!(clauses.len(), FIELDS.len());
        for (clause, (field, ..)) in clauses.iter().zip(FIELDS) {
            let is_condition = field == Field::Condition;
            assert_eq!(clause.attribute_id == AttributeId::NodeId as u32, is_condition, "{field:?}");
        }
    }

    #[test]
    fn an_event_tells_an_alarm() {
        let mut all = Alarms::default();
        all.subscribe("");
        let told = all.observe(state("a", true, false));
        let [Event { name: Some(name), said: EventBody::Alarm(alarm), .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(&**name, "ns=2;s=Line1.Speed");
        assert_eq!((alarm.alarm.as_str(), alarm.area.as_str(), alarm.severity), ("ns=2;s=high", "Line1", 999));
        assert_eq!((alarm.message.as_str(), alarm.raised_at.as_unix_millis()), ("too fast", 1_000));
    }

    #[test]
    fn an_alarm_is_raised_once_and_acknowledged_by_its_latest_event() {
        let mut all = Alarms::default();
        all.subscribe("Line1");
        all.observe(state("a", true, false));
        let told = all.observe(state("bb", true, true));
        let EventBody::Alarm(alarm) = &told[0].said else { panic!() };
        assert_eq!(alarm.raised_at.as_unix_millis(), 1_000, "it is still the same occurrence");
        let event = all.acknowledgement("ns=2;s=high").unwrap().event;
        assert_eq!(event, ByteString::from(b"bb".to_vec()));
        assert_eq!(alarms(&all.observe(state("c", false, true))), [(false, true, false)]);
        assert_eq!(all.acknowledgement("ns=2;s=high"), None, "it is over");
    }

    #[test]
    fn what_is_said_again_is_a_snapshot() {
        let mut all = Alarms::default();
        all.subscribe("");
        let mut told = all.observe(marker(ObjectTypeId::RefreshStartEventType));
        told.extend(all.observe(state("a", true, false)));
        told.extend(all.observe(marker(ObjectTypeId::RefreshEndEventType)));
        assert_eq!(alarms(&told), [(true, false, true)]);
        assert_eq!(told.last().unwrap().said, EventBody::AlarmSnapshotComplete);
        assert_eq!(alarms(&all.observe(state("b", false, false))), [(false, false, false)]);
        assert_eq!(alarms(&all.snapshot()), [(false, false, true)], "it is over, and nobody has acknowledged it");
    }

    #[test]
    fn what_is_not_said_again_has_ended() {
        let mut all = Alarms::default();
        all.subscribe("");
        all.observe(state("a", true, false));
        all.observe(marker(ObjectTypeId::RefreshStartEventType));
        all.observe(marker(ObjectTypeId::RefreshEndEventType));
        assert_eq!(all.acknowledgement("ns=2;s=high"), None);
    }

    #[test]
    fn what_is_in_another_area_or_no_alarm_is_not_told() {
        let mut all = Alarms::default();
        all.subscribe("Line2");
        assert!(all.observe(state("a", true, false)).is_empty());
        assert!(matches!(marker(ObjectTypeId::RefreshRequiredEventType), Said::RefreshIsNeeded));
        let mut plain = fields(ObjectTypeId::BaseEventType, "", "x", true, true);
        plain[10] = Variant::Empty;
        assert!(matches!(read(&plain, Timestamp::from_unix_millis(1)), Said::Nothing));
        assert!(matches!(read(&[], Timestamp::from_unix_millis(1)), Said::Nothing));
    }
}
