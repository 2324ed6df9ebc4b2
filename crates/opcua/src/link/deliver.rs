//! From notifications to what the back end says.

use std::collections::BTreeMap;

use moorline_backend::contract::{Event, EventBody, Sample, Status};
use opcua::types::{
    DataChangeNotification, EventNotificationList, MonitoredItemNotification, NotificationMessage,
    StatusChangeNotification, StatusCode,
};

use super::lock;
use super::serve::Serving;
use crate::desired::{Group, Handle, Wish};
use crate::{alarm, clock, value};

impl Serving {
    /// Says what a notification says.
    pub(super) async fn deliver(&mut self, group: Group, message: NotificationMessage) {
        for part in message.notification_data.into_iter().flatten() {
            if let Some(changes) = part.inner_as::<DataChangeNotification>() {
                self.deliver_changes(group, changes.monitored_items.as_deref().unwrap_or_default()).await;
            } else if let Some(events) = part.inner_as::<EventNotificationList>() {
                self.deliver_events(events).await;
            } else if let Some(change) = part.inner_as::<StatusChangeNotification>() {
                // The subscription has ended, or another session has it.
                self.lose(group, &format!("the server has ended the subscription: {}", change.status)).await;
            } else {
                tracing::warn!(kind = ?part.type_name(), "a notification of another kind is passed over");
            }
        }
    }

    async fn deliver_changes(&mut self, group: Group, changes: &[MonitoredItemNotification]) {
        let received = clock::now();
        let mut collected: BTreeMap<Handle, (Wish, Vec<(Sample, Status)>)> = BTreeMap::new();
        for MonitoredItemNotification { client_handle: handle, value: data } in changes {
            let Some(wish) = self.wish(*handle) else { continue };
            if data.status.is_some_and(|status| status.overflow()) {
                self.say(overflow(&wish)).await;
            }
            let told = value::sample(data, received);
            if let Group::Buffered(_) = group {
                collected.entry(*handle).or_insert_with(|| (wish, Vec::new())).1.push(told);
            } else {
                let (sample, status) = told;
                self.say(event(&wish, status, EventBody::DataChange(sample))).await;
            }
        }
        for (wish, told) in collected.into_values() {
            let worst = told.iter().map(|(_, status)| *status).find(|status| !status.success);
            let samples = told.into_iter().map(|(sample, _)| sample).collect();
            self.say(event(&wish, worst.unwrap_or(Status::OK), EventBody::BufferedDataChange(samples))).await;
        }
    }

    async fn deliver_events(&mut self, events: &EventNotificationList) {
        let received = clock::now();
        for fields in events.events.iter().flatten() {
            let said = alarm::read(fields.event_fields.as_deref().unwrap_or_default(), received);
            if let alarm::Said::RefreshIsNeeded = said {
                self.shared.refresh.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            let told = lock(&self.shared.alarms).observe(said);
            for event in told {
                self.say(event).await;
            }
        }
    }

    /// What an item is that cannot be monitored: its name is no error, and this is its first data change.
    pub(super) async fn deliver_refusal(&mut self, wish: &Wish, code: StatusCode) {
        let (sample, status) = value::nothing(code, clock::now());
        let said = match wish.group {
            Group::Buffered(_) => EventBody::BufferedDataChange(vec![sample]),
            Group::Live(_) | Group::Alarms => EventBody::DataChange(sample),
        };
        self.say(event(wish, status, said)).await;
    }

    pub(super) fn wish(&self, handle: Handle) -> Option<Wish> {
        lock(&self.shared.desired).items.get(&handle).cloned()
    }
}

pub(super) fn event(wish: &Wish, status: Status, said: EventBody) -> Event {
    Event { at: Some(wish.at), name: Some((*wish.shown).into()), statuses: vec![status], said }
}

/// The server's queue of an item was too short for what came between two times of telling.
fn overflow(wish: &Wish) -> Event {
    let reason = "the server's queue of the item overflowed: values before the next one are lost".to_owned();
    Event {
        at: Some(wish.at),
        name: Some((*wish.shown).into()),
        statuses: Vec::new(),
        said: EventBody::BackendGap { reason },
    }
}
