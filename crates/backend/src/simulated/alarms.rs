//! The alarms of a simulated plant: one for each tag that has a limit.

use std::collections::BTreeMap;

use moorline_types::Timestamp;

use crate::contract::{Alarm, Event, EventBody, Value};

/// How severe an alarm of the plant is.
const SEVERITY: u16 = 500;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    subscribed: Option<String>,
    active: BTreeMap<String, Alarm>,
}

impl Alarms {
    pub(super) const fn is_subscribed(&self) -> bool {
        self.subscribed.is_some()
    }

    /// Alarms below an area are told from here on.
    pub(super) fn subscribe(&mut self, area: &str) -> Vec<Event> {
        self.subscribed = Some(area.to_owned());
        self.snapshot()
    }

    /// Everything that is active, and that this was all.
    pub(super) fn snapshot(&self) -> Vec<Event> {
        let all = self.active.values().filter(|alarm| self.is_told(alarm));
        let mut events: Vec<_> = all.map(|alarm| event(&Alarm { snapshot: true, ..alarm.clone() })).collect();
        events.push(Event { at: None, name: None, statuses: Vec::new(), said: EventBody::AlarmSnapshotComplete });
        events
    }

    /// A tag with a limit has a value.
    pub(super) fn observe(&mut self, now: Timestamp, tag: &str, limit: f64, value: &Value) -> Option<Event> {
        let Value::Double(number) = value else { return None };
        let alarm = match (*number > limit, self.active.remove(tag)) {
            (true, None) => raised(now, tag, limit),
            (true, Some(lasting)) => {
                self.active.insert(tag.to_owned(), lasting);
                return None;
            }
            (false, Some(lasting)) => {
                return self.told(Alarm { active: false, ..lasting });
            }
            (false, None) => return None,
        };
        self.active.insert(tag.to_owned(), alarm.clone());
        self.told(alarm)
    }

    /// Somebody acknowledges an alarm.
    ///
    /// # Errors
    /// If there is none that is active and of this name.
    pub(super) fn acknowledge(&mut self, id: &str, by: &str, comment: &str) -> Result<Option<Event>, ()> {
        let alarm = self.active.values_mut().find(|alarm| alarm.alarm == id).ok_or(())?;
        if alarm.acknowledged {
            return Ok(None);
        }
        alarm.acknowledged = true;
        by.clone_into(&mut alarm.by);
        comment.clone_into(&mut alarm.comment);
        let alarm = alarm.clone();
        Ok(self.told(alarm))
    }

    fn told(&self, alarm: Alarm) -> Option<Event> {
        self.is_told(&alarm).then(|| event(&alarm))
    }

    fn is_told(&self, alarm: &Alarm) -> bool {
        self.subscribed.as_ref().is_some_and(|area| alarm.area.starts_with(area.as_str()))
    }
}

fn raised(now: Timestamp, tag: &str, limit: f64) -> Alarm {
    Alarm {
        alarm: format!("{tag}.High"),
        item: tag.to_owned(),
        area: tag.split_once('.').map_or(tag, |(area, _)| area).to_owned(),
        message: format!("{tag} is above {limit}"),
        severity: SEVERITY,
        active: true,
        acknowledged: false,
        raised_at: now,
        by: String::new(),
        comment: String::new(),
        snapshot: false,
    }
}

fn event(alarm: &Alarm) -> Event {
    let name = Some(alarm.item.as_str().into());
    Event { at: None, name, statuses: Vec::new(), said: EventBody::Alarm(alarm.clone()) }
}
