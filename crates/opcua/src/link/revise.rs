//! What the server makes of how items are to be told: it is said in the answer of the command that advised the item, and
//! else as an event. So it is said once, and again when it is another: the server may be another after a lost connection.

use std::time::Duration;

use moorline_backend::contract::{Event, EventBody, ItemRates, Revision};
use opcua::types::MonitoredItemCreateResult;

use super::lock;
use super::serve::{Serving, Subscription};
use crate::desired::{Group, Handle, Wish};

impl Serving {
    /// The server monitors an item.
    pub(super) async fn revised_item(&self, handle: Handle, wish: &Wish, created: &MonitoredItemCreateResult) {
        let Some(subscription) = self.groups.get(&wish.group) else { return };
        let requested = ItemRates {
            sampling: length(self.rates.sampling_interval()),
            queue_size: Some(self.rates.queue_size_of(wish.group)),
            ..self.requested_of(subscription)
        };
        let revised = ItemRates {
            sampling: length(created.revised_sampling_interval),
            queue_size: Some(created.revised_queue_size),
            ..revised_of(subscription)
        };
        self.tell_revision(handle, wish, Revision { requested, revised }).await;
    }

    /// The server tells a group at other times than before, or is asked to.
    pub(super) async fn revised_group(&self, group: Group) {
        let Some(subscription) = self.groups.get(&group) else { return };
        let (requested, revised) = (self.requested_of(subscription), revised_of(subscription));
        let of_group = |rates: ItemRates, group: ItemRates| ItemRates {
            sampling: rates.sampling,
            queue_size: rates.queue_size,
            ..group
        };
        let handles: Vec<Handle> =
            self.made.iter().filter(|(_, made)| made.group == group).map(|(handle, _)| *handle).collect();
        for handle in handles {
            let before = lock(&self.shared.told).get(&handle).copied();
            let (Some(before), Some(wish)) = (before, self.wish(handle)) else { continue };
            let revision = Revision {
                requested: of_group(before.requested, requested),
                revised: of_group(before.revised, revised),
            };
            self.tell_revision(handle, &wish, revision).await;
        }
    }

    async fn tell_revision(&self, handle: Handle, wish: &Wish, revision: Revision) {
        let before = lock(&self.shared.told).insert(handle, revision);
        let asked = lock(&self.shared.desired).advising.remove(&handle);
        let is_answered = asked.is_some_and(|asked| asked.send(revision).is_ok());
        if !is_answered && before != Some(revision) {
            tracing::info!(item = %wish.shown, ?revision, "the server tells an item at other times");
            let (at, name) = (Some(wish.at), Some((*wish.shown).into()));
            self.say(Event { at, name, statuses: Vec::new(), said: EventBody::ItemRevised(revision) }).await;
        }
    }

    /// Nothing is told of an item: whoever waits for how it is told need not.
    pub(super) fn not_monitored(&self, handle: Handle) {
        lock(&self.shared.told).remove(&handle);
        lock(&self.shared.desired).advising.remove(&handle);
    }

    /// What is not wanted any more is not told either.
    pub(super) fn forget_told(&self) {
        let desired = lock(&self.shared.desired);
        lock(&self.shared.told).retain(|handle, _| desired.items.contains_key(handle));
    }

    fn requested_of(&self, subscription: &Subscription) -> ItemRates {
        let interval = Duration::from_millis(subscription.requested_ms);
        rates_of(interval, self.rates.keep_alive_count, self.rates.lifetime_count)
    }
}

fn revised_of(subscription: &Subscription) -> ItemRates {
    rates_of(subscription.interval, subscription.keep_alive_count, subscription.lifetime_count)
}

fn rates_of(interval: Duration, keep_alive_count: u32, lifetime_count: u32) -> ItemRates {
    ItemRates {
        publishing: Some(interval),
        keep_alive: Some(interval.saturating_mul(keep_alive_count)),
        lifetime: Some(interval.saturating_mul(lifetime_count)),
        ..ItemRates::default()
    }
}

/// A sampling interval; none if it is no length of time.
fn length(millis: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(millis / 1_000.0).ok()
}
