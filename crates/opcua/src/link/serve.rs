//! Publishing: asking the server for notifications, and noticing when none come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use moorline_backend::BackendFault;
use moorline_backend::contract::{Event, EventBody, SubscriptionState};
use opcua::client::UARequest as _;
use opcua::client::services::Publish;
use opcua::types::{PublishResponse, StatusCode, SubscriptionAcknowledgement};
use tokio::sync::watch;
use tokio::time::Instant;

use super::publishes::{Answer, Publishes};
use super::{Connection, Outlet, Shared, Up, lock};
use crate::desired::{Group, Handle};
use crate::quality;
use crate::sequence::{Arrival, Sequence};
use crate::settings::{Endpoint, Rates};

/// Requests for notifications that a server has from us at once: one for each group and one to spare, and no more than
/// this.
const MAX_PUBLISHES: usize = 6;

/// What is added to the time after which a server should have said something, for a slow network and a busy machine: this
/// part of the time that a request may take. It is 2 s unless the operator says otherwise.
const WATCHDOG_SLACK: u32 = 5;

/// Times without a notification after which the connection is made anew, the subscriptions are, and the session is given
/// up. After the first the requests are made anew.
const STRIKES_TO_RECONNECT: u32 = 2;
const STRIKES_TO_RECREATE: u32 = 3;
const STRIKES_TO_FAULT: u32 = 5;

/// How long after something that failed it is tried again, on the same connection.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long after an answer that was no notification the next request is made.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(200);

/// The task of a link. Its facts are the server's side as we know it.
pub(super) struct Serving {
    pub(super) shared: Arc<Shared>,
    pub(super) rates: Rates,
    /// See [`WATCHDOG_SLACK`].
    slack: Duration,
    pub(super) events: Outlet,
    /// The subscriptions that there are.
    pub(super) groups: BTreeMap<Group, Subscription>,
    /// What is monitored.
    pub(super) made: BTreeMap<Handle, Made>,
    /// Subscriptions of ours that are of no use any more, for the server to let go.
    pub(super) orphans: Vec<u32>,
    /// The server's session that has all this.
    pub(super) incarnation: u64,
    /// What was received and is yet to be acknowledged.
    acknowledgements: Vec<SubscriptionAcknowledgement>,
    /// When a notification came last.
    heard: Instant,
    strikes: u32,
    /// How many requests the server bears.
    publishes: usize,
}

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: u32,
    pub(super) sequence: Sequence,
    /// How often it was asked to be told, in milliseconds.
    pub(super) requested_ms: u64,
    /// How often it is told.
    pub(super) interval: Duration,
    pub(super) keep_alive_count: u32,
    pub(super) lifetime_count: u32,
}

/// What is monitored, or cannot be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) group: Group,
    /// The server's name of it; absent if it has refused.
    pub(super) id: Option<u32>,
    pub(super) suspended: bool,
}

impl Subscription {
    /// The longest time without a word.
    fn silence(&self) -> Duration {
        self.interval * self.keep_alive_count
    }

    /// How long it lasts without us.
    pub(super) fn lifetime(&self) -> Duration {
        self.interval * self.lifetime_count
    }
}

impl Serving {
    pub(super) fn new(shared: Arc<Shared>, endpoint: &Endpoint, events: Outlet) -> Self {
        Self {
            shared,
            rates: endpoint.rates,
            slack: endpoint.request_timeout() / WATCHDOG_SLACK,
            events,
            groups: BTreeMap::new(),
            made: BTreeMap::new(),
            orphans: Vec::new(),
            incarnation: 0,
            acknowledgements: Vec::new(),
            heard: Instant::now(),
            strikes: 0,
            publishes: MAX_PUBLISHES,
        }
    }

    /// Serves one connection after the other until it is dropped.
    pub(super) async fn run(mut self, mut connection: watch::Receiver<Connection>) {
        loop {
            let Some(up) = self.wait(&mut connection).await else { return };
            self.heard = Instant::now();
            self.publishes = MAX_PUBLISHES;
            self.recover(&up).await;
            self.note_subscriptions();
            self.serve(&up, &mut connection).await;
        }
    }

    /// Waits for a connection. If it takes so long that the server has let go of everything, that is said meanwhile.
    async fn wait(&mut self, connection: &mut watch::Receiver<Connection>) -> Option<Up> {
        let began = Instant::now();
        loop {
            if let Connection::Up(up) = &*connection.borrow_and_update() {
                return Some(up.clone());
            }
            let lifetime = self.groups.values().map(Subscription::lifetime).min();
            let over = async {
                match lifetime {
                    Some(lifetime) => tokio::time::sleep_until(began + lifetime).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = connection.changed() => changed.ok()?,
                () = over => self.lose_all("the connection is down for longer than the server keeps subscriptions").await,
            }
        }
    }

    async fn serve(&mut self, up: &Up, connection: &mut watch::Receiver<Connection>) {
        let shared = self.shared.clone();
        let mut publishes = Publishes::default();
        loop {
            let is_done = self.reconcile(up).await;
            if self.shared.refresh.swap(false, Ordering::Relaxed) {
                self.refresh_alarms(up).await;
            }
            self.request(up, &mut publishes);
            let deadline = self.watchdog();
            let silence = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = connection.changed() => {
                    let is_same = matches!(&*connection.borrow(), Connection::Up(now) if now.generation == up.generation);
                    if changed.is_err() || !is_same {
                        return;
                    }
                }
                answer = publishes.next() => self.answered(up, answer, &mut publishes).await,
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(RETRY_AFTER), if !is_done => {}
                () = silence => self.strike(up, &mut publishes).await,
            }
        }
    }

    /// Lets whoever asks know what the server has of ours. This looks at every item, so it is for when that has changed.
    pub(super) fn note_subscriptions(&self) {
        let mut items: BTreeMap<Group, u32> = BTreeMap::new();
        for made in self.made.values().filter(|made| made.id.is_some()) {
            *items.entry(made.group).or_default() += 1;
        }
        let state = |(group, subscription): (&Group, &Subscription)| {
            let state = SubscriptionState {
                name: subscription.id.to_string(),
                items: items.get(group).copied().unwrap_or_default(),
                last_sequence: subscription.sequence.last(),
            };
            (subscription.id, state)
        };
        *lock(&self.shared.subscriptions) = self.groups.iter().map(state).collect();
    }

    /// The same of one notification.
    fn note_last(&self, group: Group) {
        let Some(subscription) = self.groups.get(&group) else { return };
        if let Some(state) = lock(&self.shared.subscriptions).get_mut(&subscription.id) {
            state.last_sequence = subscription.sequence.last();
        }
    }

    /// Asks for notifications as often as is fit.
    fn request(&mut self, up: &Up, publishes: &mut Publishes) {
        if self.groups.is_empty() {
            return;
        }
        while publishes.expected() < self.publishes.min(self.groups.len() + 1) {
            publishes.push(self.publish(up));
        }
    }

    fn publish(&mut self, up: &Up) -> impl Future<Output = Answer> + use<> {
        let session = up.session.clone();
        let acknowledgements = std::mem::take(&mut self.acknowledgements);
        // The watchdog is there before it; it only keeps a request from being waited for after that.
        let patience = self.longest_silence() * 3;
        async move {
            let publish = Publish::new(&session).acks(acknowledgements).timeout(patience);
            publish.send(session.channel()).await
        }
    }

    fn longest_silence(&self) -> Duration {
        self.groups.values().map(Subscription::silence).max().unwrap_or_default() * 2 + self.slack
    }

    /// When something should have been heard.
    fn watchdog(&self) -> Option<Instant> {
        let shortest = self.groups.values().map(Subscription::silence).min()?;
        Some(self.heard + shortest * 2 + self.slack)
    }

    /// Nothing was heard for too long.
    async fn strike(&mut self, up: &Up, publishes: &mut Publishes) {
        self.heard = Instant::now();
        self.strikes += 1;
        tracing::warn!(strikes = self.strikes, "the server does not tell anything");
        if self.strikes >= STRIKES_TO_FAULT {
            let reason = "the server answers, but tells nothing of what is subscribed".to_owned();
            self.fault(reason).await;
        } else if self.strikes >= STRIKES_TO_RECREATE {
            publishes.write_off();
            self.lose_all("the server told nothing for too long").await;
        } else if self.strikes >= STRIKES_TO_RECONNECT {
            up.session.channel().close_channel().await;
        } else {
            publishes.write_off();
        }
    }

    async fn answered(&mut self, up: &Up, answer: Answer, publishes: &mut Publishes) {
        let response = match answer {
            Ok(response) => response,
            Err(error) => return self.refused(up, error.status(), publishes).await,
        };
        self.strikes = 0;
        let PublishResponse { subscription_id: id, notification_message: message, .. } = response;
        let found = self.groups.iter_mut().find(|(_, subscription)| subscription.id == id);
        let Some((group, subscription)) = found.map(|(group, subscription)| (*group, subscription)) else {
            // It was let go of, or its creation was never answered.
            self.orphans.push(id);
            self.heard = Instant::now();
            return;
        };
        let number = message.sequence_number;
        let is_keep_alive = message.notification_data.as_ref().is_none_or(Vec::is_empty);
        let sequence = &mut subscription.sequence;
        let arrival = if is_keep_alive { sequence.kept_alive(number) } else { sequence.notified(number) };
        match arrival {
            Arrival::InOrder => {}
            Arrival::Seen => {
                self.acknowledge(id, number);
                self.heard = Instant::now();
                return;
            }
            Arrival::Missing(missing) => {
                if !self.fetch(up, group, id, missing).await {
                    self.heard = Instant::now();
                    return;
                }
            }
            Arrival::Restarted => self.gap("the server has begun its numbers anew").await,
        }
        self.note_last(group);
        if !is_keep_alive {
            self.deliver(group, message).await;
            self.acknowledge(id, number);
        }
        // What was not taken at once was no silence of the server.
        self.heard = Instant::now();
    }

    async fn refused(&mut self, up: &Up, code: StatusCode, publishes: &mut Publishes) {
        match code {
            StatusCode::BadNoSubscription => {
                // The others are refused likewise, perhaps when there are subscriptions again.
                publishes.write_off();
                self.lose_all("the server has let go of all subscriptions").await;
            }
            StatusCode::BadTooManyPublishRequests => self.publishes = (self.publishes - 1).max(1),
            StatusCode::BadSessionIdInvalid | StatusCode::BadSessionClosed | StatusCode::BadSessionNotActivated => {
                tracing::warn!(%code, "the server does not know the session");
                up.session.channel().close_channel().await;
            }
            // The watchdog counts these, and the connection's end ends this.
            code if quality::is_of_connection(code) => {}
            code => tracing::warn!(%code, "the server refuses to tell anything"),
        }
        tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
    }

    pub(super) fn acknowledge(&mut self, subscription_id: u32, sequence_number: u32) {
        self.acknowledgements.push(SubscriptionAcknowledgement { subscription_id, sequence_number });
    }

    /// Values were lost before this.
    pub(super) async fn gap(&mut self, reason: &str) {
        tracing::warn!(reason, "values are lost");
        self.say(Event {
            at: None,
            name: None,
            statuses: Vec::new(),
            said: EventBody::BackendGap { reason: reason.to_owned() },
        })
        .await;
    }

    /// The server has something to tell from here on.
    pub(super) fn note_heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits until it is taken, and so slows the server down. Nobody takes it any more only when everything ends.
    pub(super) async fn say(&self, event: Event) {
        if matches!(event.said, EventBody::BackendGap { .. }) {
            self.shared.gaps.fetch_add(1, Ordering::Relaxed);
        }
        self.events.send(Ok(event)).await.unwrap_or_default();
    }

    async fn fault(&self, reason: String) {
        self.events.send(Err(BackendFault { reason })).await.unwrap_or_default();
    }

    /// The server knows nothing of these any more, or is to.
    pub(super) async fn lose_all(&mut self, reason: &str) {
        if self.groups.is_empty() {
            return;
        }
        self.gap(reason).await;
        let groups: Vec<Group> = self.groups.keys().copied().collect();
        groups.into_iter().for_each(|group| self.forget(group));
    }

    /// A subscription is of no use any more; it is made anew if it is wanted.
    pub(super) fn forget(&mut self, group: Group) {
        if let Some(subscription) = self.groups.remove(&group) {
            self.orphans.push(subscription.id);
            self.acknowledgements.retain(|acknowledgement| acknowledgement.subscription_id != subscription.id);
        }
        self.made.retain(|_, made| made.group != group);
        lock(&self.shared.revised).remove(&group);
    }
}
