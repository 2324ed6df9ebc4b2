//! After a lost connection: what was lost with it is asked for (OPC UA Part 4, 6.7).

use opcua::client::UARequest as _;
use opcua::client::services::{Republish, TransferSubscriptions};
use opcua::types::StatusCode;

use super::Up;
use super::serve::Serving;
use crate::desired::Group;
use crate::quality;
use crate::sequence::Missing;

/// Notifications of one subscription that are asked for again. A server keeps fewer.
const MAX_REPUBLISHED: u32 = 10_000;

/// What became of a notification that was asked for again.
enum Again {
    Delivered,
    NotThere,
    NoSubscription,
    NoConnection,
}

impl Serving {
    /// A connection is there anew.
    pub(super) async fn recover(&mut self, up: &Up) {
        if self.incarnation != up.incarnation && !self.groups.is_empty() && !self.transfer(up).await {
            return;
        }
        self.incarnation = up.incarnation;
        for group in self.groups.keys().copied().collect::<Vec<_>>() {
            self.republish(up, group).await;
        }
    }

    /// The server's session is another one: it is to take over what the old one had. False if the connection is lost over
    /// it: then that is asked for on the next one.
    async fn transfer(&mut self, up: &Up) -> bool {
        let ids: Vec<(Group, u32)> =
            self.groups.iter().map(|(group, subscription)| (*group, subscription.id)).collect();
        let asked = TransferSubscriptions::new(&up.session).subscription_ids(ids.iter().map(|(_, id)| *id).collect());
        let mut results = match asked.send(up.session.channel()).await {
            Ok(answer) => answer.results.unwrap_or_default().into_iter(),
            Err(error) if quality::is_of_connection(error.status()) => return false,
            Err(_) => Vec::new().into_iter(),
        };
        for (group, _) in ids {
            let is_ours = results.next().is_some_and(|result| result.status_code.is_good());
            if !is_ours {
                self.lose(group, "the server has another session for us, without what was subscribed").await;
            }
        }
        true
    }

    async fn republish(&mut self, up: &Up, group: Group) {
        for _ in 0..MAX_REPUBLISHED {
            let Some(subscription) = self.groups.get_mut(&group) else { return };
            let (id, number) = (subscription.id, subscription.sequence.next());
            match self.again(up, group, id, number).await {
                Again::Delivered => {
                    if let Some(subscription) = self.groups.get_mut(&group) {
                        subscription.sequence.notified(number);
                    }
                }
                Again::NoSubscription => return self.lose(group, "the server has let go of the subscription").await,
                // Whether any are missing is seen by the number of the next one.
                Again::NotThere | Again::NoConnection => return,
            }
        }
    }

    /// Asks for what is missing. False if the connection is lost meanwhile: then it is asked for on the next one, with all
    /// that came after it.
    pub(super) async fn fetch(&mut self, up: &Up, group: Group, id: u32, missing: Missing) -> bool {
        let mut lost = missing.count.saturating_sub(MAX_REPUBLISHED);
        for number in missing.numbers().skip(lost as usize) {
            match self.again(up, group, id, number).await {
                Again::Delivered => {}
                Again::NotThere | Again::NoSubscription => lost += 1,
                Again::NoConnection => {
                    if let Some(subscription) = self.groups.get_mut(&group) {
                        subscription.sequence.resume_at(number);
                    }
                    return false;
                }
            }
        }
        if lost > 0 {
            self.gap(&format!("{lost} notifications are lost, and the server does not have them any more")).await;
        }
        true
    }

    async fn again(&mut self, up: &Up, group: Group, id: u32, number: u32) -> Again {
        match Republish::new(id, number, &up.session).send(up.session.channel()).await {
            // Not every server refuses what it does not have: some answer with an empty message.
            Ok(answer) if answer.notification_message.sequence_number == number => {
                self.deliver(group, answer.notification_message).await;
                self.acknowledge(id, number);
                Again::Delivered
            }
            Ok(_) => Again::NotThere,
            Err(error) => match error.status() {
                StatusCode::BadMessageNotAvailable => Again::NotThere,
                StatusCode::BadSubscriptionIdInvalid => Again::NoSubscription,
                code if quality::is_of_connection(code) => Again::NoConnection,
                code => {
                    tracing::warn!(%code, "the server does not say again what was lost");
                    Again::NotThere
                }
            },
        }
    }

    pub(super) async fn lose(&mut self, group: Group, reason: &str) {
        self.gap(reason).await;
        self.forget(group);
    }
}
