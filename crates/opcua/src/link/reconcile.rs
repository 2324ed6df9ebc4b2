//! Making the server's side like what is wanted.
//!
//! What is wanted is compared with what was made, and the difference is asked of the server, many items at once. Until
//! there is none, or the connection is lost: then the rest is done on the next one.

use std::collections::BTreeMap;
use std::time::Duration;

use moorline_backend::contract::EventBody;
use opcua::client::UARequest as _;
use opcua::client::services::{
    Call, CreateMonitoredItems, CreateSubscription, DeleteMonitoredItems, DeleteSubscriptions, ModifySubscription,
    SetMonitoringMode,
};
use opcua::types::{
    AttributeId, CallMethodRequest, ExtensionObject, MethodId, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, NodeId, ObjectId, ObjectTypeId, ReadValueId, StatusCode, TimestampsToReturn, Variant,
};

use super::serve::{Made, Serving, Subscription};
use super::{Up, deliver, lock};
use crate::desired::{Group, Handle, Wish};
use crate::sequence::Sequence;
use crate::{alarm, quality, resolve};

/// Items that one request is about. Servers that allow less are rare, and say so.
const ITEMS_AT_ONCE: usize = 200;

/// The handle of the item whose changes are alarms. No item of a client has it.
const ALARMS: Handle = Handle::MAX;

/// Events that the server keeps between two times of telling.
const ALARM_QUEUE: u32 = 1_000;

/// The connection was lost while something was asked of the server.
pub(super) struct Lost;

type Done = Result<(), Lost>;

/// What is to be done for a group, and all that is known of it by its name.
struct Difference {
    groups: Vec<(Group, u64)>,
    create: BTreeMap<Group, Vec<(Handle, Wish)>>,
    delete: Vec<(Handle, Made)>,
    modes: Vec<(Handle, Made, bool)>,
    gone: Vec<Group>,
}

impl Serving {
    /// Does all that is to be done. False if the rest has to be tried again.
    pub(super) async fn reconcile(&mut self, up: &Up) -> bool {
        // Each round does everything; what a command wants meanwhile is another round.
        while let Some(difference) = self.difference() {
            let applied = self.apply(up, difference).await;
            self.note_subscriptions();
            if applied.is_err() {
                return false;
            }
        }
        self.answer_paces();
        true
    }

    fn difference(&self) -> Option<Difference> {
        let desired = lock(&self.shared.desired);
        let groups = desired
            .groups
            .iter()
            .filter(|(group, interval)| self.groups.get(group).is_none_or(|made| made.requested_ms != **interval));
        let groups: Vec<_> = groups.map(|(group, interval)| (*group, *interval)).collect();
        let mut create: BTreeMap<Group, Vec<(Handle, Wish)>> = BTreeMap::new();
        for (handle, wish) in desired.items.iter().filter(|(handle, _)| !self.made.contains_key(handle)) {
            create.entry(wish.group).or_default().push((*handle, wish.clone()));
        }
        let is_wanted = |handle: &Handle| desired.items.contains_key(handle) || *handle == ALARMS;
        let delete = self.made.iter().filter(|(handle, _)| !is_wanted(handle));
        let delete: Vec<_> = delete.map(|(handle, made)| (*handle, *made)).collect();
        let modes = desired.items.iter().filter_map(|(handle, wish)| {
            let made = self.made.get(handle)?;
            let is_asked_for = made.suspended != wish.suspended || desired.operations.contains_key(handle);
            is_asked_for.then_some((*handle, *made, wish.suspended))
        });
        let modes: Vec<_> = modes.collect();
        let gone: Vec<_> = self.groups.keys().filter(|group| !desired.groups.contains_key(group)).copied().collect();
        drop(desired);
        let needs_alarms = self.groups.contains_key(&Group::Alarms) && !self.made.contains_key(&ALARMS);
        let is_nothing = groups.is_empty()
            && create.is_empty()
            && delete.is_empty()
            && modes.is_empty()
            && gone.is_empty()
            && self.orphans.is_empty()
            && !needs_alarms;
        (!is_nothing).then_some(Difference { groups, create, delete, modes, gone })
    }

    async fn apply(&mut self, up: &Up, difference: Difference) -> Done {
        let Difference { groups, create, delete, modes, gone } = difference;
        let has_gone = !delete.is_empty() || !gone.is_empty();
        for group in gone {
            self.forget(group);
        }
        self.delete_subscriptions(up).await?;
        for (group, interval) in &groups {
            self.make_group(up, *group, *interval).await?;
        }
        // Whoever waits is answered before all that is said of items, for which there may be no room.
        self.answer_paces();
        for (group, _) in groups {
            self.revised_group(group).await;
        }
        if self.groups.contains_key(&Group::Alarms) && !self.made.contains_key(&ALARMS) {
            self.monitor_alarms(up).await?;
        }
        for (group, items) in create {
            for chunk in items.chunks(ITEMS_AT_ONCE) {
                self.monitor(up, group, chunk).await?;
            }
        }
        self.stop_monitoring(up, delete).await?;
        if has_gone {
            self.forget_told();
        }
        self.set_modes(up, modes).await
    }

    async fn delete_subscriptions(&mut self, up: &Up) -> Done {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let asked = DeleteSubscriptions::new(&up.session).subscription_ids(self.orphans.clone());
        // Those that are gone already were the point.
        checked(asked.send(up.session.channel()).await.map(drop).map_err(|error| error.status()))?;
        self.orphans.clear();
        Ok(())
    }

    async fn make_group(&mut self, up: &Up, group: Group, requested_ms: u64) -> Done {
        let interval = Duration::from_millis(requested_ms);
        let (keep_alive, lifetime) = (self.rates.keep_alive_count, self.rates.lifetime_count);
        if let Some(made) = self.groups.get_mut(&group) {
            let asked = ModifySubscription::new(made.id, &up.session)
                .publishing_interval(interval)
                .max_keep_alive_count(keep_alive)
                .max_lifetime_count(lifetime);
            match asked.send(up.session.channel()).await.map_err(|error| error.status()) {
                Ok(answer) => {
                    made.requested_ms = requested_ms;
                    made.interval = revised(answer.revised_publishing_interval, interval);
                    made.keep_alive_count = answer.revised_max_keep_alive_count;
                    made.lifetime_count = answer.revised_lifetime_count;
                }
                Err(StatusCode::BadSubscriptionIdInvalid) => {
                    self.lose(group, "the server has let go of the subscription").await;
                }
                Err(code) => {
                    // It stays as it is; asking for the same again would change nothing.
                    made.requested_ms = requested_ms;
                    return checked(Err(code));
                }
            }
        } else {
            let asked = CreateSubscription::new(&up.session)
                .publishing_interval(interval)
                .max_keep_alive_count(keep_alive)
                .max_lifetime_count(lifetime)
                .publishing_enabled(true);
            match asked.send(up.session.channel()).await.map_err(|error| error.status()) {
                Ok(answer) => {
                    let made = Subscription {
                        id: answer.subscription_id,
                        sequence: Sequence::default(),
                        requested_ms,
                        interval: revised(answer.revised_publishing_interval, interval),
                        keep_alive_count: answer.revised_max_keep_alive_count.max(1),
                        lifetime_count: answer.revised_lifetime_count.max(1),
                    };
                    if self.groups.is_empty() {
                        self.note_heard();
                    }
                    self.groups.insert(group, made);
                }
                Err(code) if quality::is_of_connection(code) => return Err(Lost),
                Err(code) => {
                    self.refuse_group(group, code).await;
                    return Ok(());
                }
            }
        }
        if let Some(made) = self.groups.get(&group) {
            let interval_ms = u64::try_from(made.interval.as_millis()).unwrap_or(u64::MAX);
            lock(&self.shared.revised).insert(group, interval_ms);
        }
        Ok(())
    }

    /// The server makes no subscription: whoever wanted to be told is told why, and it is not asked for again until
    /// something else is wanted.
    async fn refuse_group(&mut self, group: Group, code: StatusCode) {
        tracing::error!(?group, %code, "the server makes no subscription");
        let refused: Vec<Wish> = {
            let mut desired = lock(&self.shared.desired);
            desired.groups.remove(&group);
            let handles: Vec<Handle> =
                desired.items.iter().filter(|(_, wish)| wish.group == group).map(|(handle, _)| *handle).collect();
            handles.into_iter().filter_map(|handle| desired.items.remove(&handle)).collect()
        };
        for wish in refused {
            self.deliver_refusal(&wish, code).await;
        }
    }

    async fn monitor(&mut self, up: &Up, group: Group, wishes: &[(Handle, Wish)]) -> Done {
        let Some(id) = self.groups.get(&group).map(|subscription| subscription.id) else { return Ok(()) };
        let names: Vec<_> = wishes.iter().map(|(_, wish)| wish.name.clone()).collect();
        let nodes = match resolve::nodes(&up.session, &names).await {
            Ok(nodes) => nodes,
            Err(code) if quality::is_of_connection(code) => return Err(Lost),
            Err(code) => vec![Err(code); names.len()],
        };
        let mut asked: Vec<(&(Handle, Wish), MonitoredItemCreateRequest)> = Vec::new();
        for (wanted, node) in wishes.iter().zip(nodes) {
            match node {
                Ok(node) => asked.push((wanted, self.request_for(wanted, node))),
                Err(code) => self.refuse(wanted, code).await,
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let (wanted, requests): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let request = CreateMonitoredItems::new(id, &up.session)
            .timestamps_to_return(TimestampsToReturn::Both)
            .items_to_create(requests);
        let results = match request.send(up.session.channel()).await.map_err(|error| error.status()) {
            Ok(answer) => answer.results.into_iter().map(|created| created.result).collect::<Vec<_>>(),
            Err(StatusCode::BadSubscriptionIdInvalid) => {
                self.lose(group, "the server has let go of the subscription").await;
                return Ok(());
            }
            Err(code) if quality::is_of_connection(code) => {
                // Nobody knows whether they are there, and twice the same item would be every value twice.
                if self.made.values().any(|made| made.group == group) {
                    self.lose(group, "it is not known what the server has made of a request").await;
                } else {
                    self.forget(group);
                }
                return Err(Lost);
            }
            Err(code) => {
                for wanted in wanted {
                    self.refuse(wanted, code).await;
                }
                return Ok(());
            }
        };
        for (wanted, result) in wanted.into_iter().zip(results) {
            if result.status_code.is_bad() {
                self.refuse(wanted, result.status_code).await;
                continue;
            }
            let (handle, wish) = wanted;
            let made = Made { group, id: Some(result.monitored_item_id), suspended: wish.suspended };
            self.made.insert(*handle, made);
            self.revised_item(*handle, wish, &result).await;
        }
        Ok(())
    }

    fn request_for(&self, (handle, wish): &(Handle, Wish), node: NodeId) -> MonitoredItemCreateRequest {
        MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId::new_value(node),
            monitoring_mode: mode(wish.suspended),
            requested_parameters: MonitoringParameters {
                client_handle: *handle,
                sampling_interval: self.rates.sampling_interval(),
                queue_size: self.rates.queue_size_of(wish.group),
                discard_oldest: true,
                filter: ExtensionObject::null(),
            },
        }
    }

    async fn refuse(&mut self, (handle, wish): &(Handle, Wish), code: StatusCode) {
        self.made.insert(*handle, Made { group: wish.group, id: None, suspended: wish.suspended });
        self.not_monitored(*handle);
        self.deliver_refusal(wish, code).await;
    }

    async fn monitor_alarms(&mut self, up: &Up) -> Done {
        let Some(id) = self.groups.get(&Group::Alarms).map(|subscription| subscription.id) else { return Ok(()) };
        let request = MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: ObjectId::Server.into(),
                attribute_id: AttributeId::EventNotifier as u32,
                ..ReadValueId::default()
            },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: ALARMS,
                sampling_interval: 0.0,
                queue_size: ALARM_QUEUE,
                discard_oldest: true,
                filter: ExtensionObject::from_message(alarm::filter()),
            },
        };
        let request = CreateMonitoredItems::new(id, &up.session).item(request);
        let result = match request.send(up.session.channel()).await.map_err(|error| error.status()) {
            Ok(answer) => answer.results.into_iter().next().map(|created| created.result),
            Err(code) if quality::is_of_connection(code) => return Err(Lost),
            Err(code) => {
                tracing::error!(%code, "the server tells no alarms");
                None
            }
        };
        let id = result.filter(|result| result.status_code.is_good()).map(|result| result.monitored_item_id);
        self.made.insert(ALARMS, Made { group: Group::Alarms, id, suspended: false });
        self.shared.refresh.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Asks the server to say again which alarms there are. If it cannot, what is known is said.
    pub(super) async fn refresh_alarms(&mut self, up: &Up) {
        let subscription = self.groups.get(&Group::Alarms).map(|subscription| subscription.id);
        let is_monitored = self.made.get(&ALARMS).is_some_and(|made| made.id.is_some());
        let asked = match subscription.filter(|_| is_monitored) {
            Some(id) => {
                let request: CallMethodRequest = (
                    NodeId::from(ObjectTypeId::ConditionType),
                    NodeId::from(MethodId::ConditionType_ConditionRefresh),
                    Some(vec![Variant::UInt32(id)]),
                )
                    .into();
                let answer = Call::new(&up.session).method(request).send(up.session.channel()).await;
                answer.map_err(|error| error.status()).and_then(|answer| {
                    let code =
                        answer.results.and_then(|results| results.into_iter().next()).map(|result| result.status_code);
                    code.filter(|code| code.is_bad()).map_or(Ok(()), Err)
                })
            }
            None => Err(StatusCode::BadNoSubscription),
        };
        if let Err(code) = asked {
            if quality::is_of_connection(code) {
                self.shared.refresh.store(true, std::sync::atomic::Ordering::Relaxed);
                return;
            }
            tracing::info!(%code, "the server does not say again which alarms there are");
            let told = lock(&self.shared.alarms).snapshot();
            for event in told {
                self.say(event).await;
            }
        }
    }

    async fn stop_monitoring(&mut self, up: &Up, delete: Vec<(Handle, Made)>) -> Done {
        let mut by_group: BTreeMap<Group, Vec<u32>> = BTreeMap::new();
        for (_, made) in &delete {
            if let Some(id) = made.id {
                by_group.entry(made.group).or_default().push(id);
            }
        }
        for (group, ids) in by_group {
            let Some(subscription) = self.groups.get(&group) else { continue };
            for chunk in ids.chunks(ITEMS_AT_ONCE) {
                let asked = DeleteMonitoredItems::new(subscription.id, &up.session).items_to_delete(chunk.to_vec());
                checked(asked.send(up.session.channel()).await.map(drop).map_err(|error| error.status()))?;
            }
        }
        for (handle, _) in delete {
            self.made.remove(&handle);
        }
        Ok(())
    }

    async fn set_modes(&mut self, up: &Up, modes: Vec<(Handle, Made, bool)>) -> Done {
        for (handle, made, suspended) in modes {
            if made.suspended && !suspended && made.id.is_some() {
                // It is made anew in the next round, and so tells what it is: not every server does that by itself.
                self.stop_monitoring(up, vec![(handle, made)]).await?;
                continue;
            }
            let code = match (made.id, self.groups.get(&made.group)) {
                (Some(id), Some(subscription)) => {
                    let asked = SetMonitoringMode::new(subscription.id, mode(suspended), &up.session).item(id);
                    match asked.send(up.session.channel()).await.map_err(|error| error.status()) {
                        Ok(answer) => {
                            answer.results.and_then(|results| results.into_iter().next()).unwrap_or(StatusCode::Good)
                        }
                        Err(code) if quality::is_of_connection(code) => return Err(Lost),
                        Err(code) => code,
                    }
                }
                // Nothing is told of an item that the server has refused.
                _ => StatusCode::BadMonitoredItemIdInvalid,
            };
            self.made.insert(handle, Made { suspended, ..made });
            let (wish, commands) = {
                let mut desired = lock(&self.shared.desired);
                (desired.items.get(&handle).cloned(), desired.operations.remove(&handle).unwrap_or_default())
            };
            let Some(wish) = wish else { continue };
            for command in commands {
                let said = EventBody::OperationComplete { command };
                self.say(deliver::event(&wish, quality::status(code), said)).await;
            }
        }
        Ok(())
    }

    /// Answers those whose group is as they wanted it, as far as the server does that. Of a group that it has refused
    /// nothing is said any more.
    fn answer_paces(&self) {
        let mut desired = lock(&self.shared.desired);
        for (group, told) in std::mem::take(&mut desired.waiting) {
            match self.groups.get(&group) {
                Some(made) if desired.groups.get(&group) == Some(&made.requested_ms) => {
                    let interval_ms = u64::try_from(made.interval.as_millis()).unwrap_or(u64::MAX);
                    // Whoever asked may have gone.
                    told.send(interval_ms).unwrap_or_default();
                }
                Some(_) | None if desired.groups.contains_key(&group) => desired.waiting.push((group, told)),
                Some(_) | None => drop(told),
            }
        }
    }
}

const fn mode(suspended: bool) -> MonitoringMode {
    if suspended { MonitoringMode::Disabled } else { MonitoringMode::Reporting }
}

/// What the server has made of an interval; `asked` if that is no interval.
fn revised(interval_ms: f64, asked: Duration) -> Duration {
    Duration::try_from_secs_f64(interval_ms / 1_000.0).ok().filter(|interval| !interval.is_zero()).unwrap_or(asked)
}

fn checked(answer: Result<(), StatusCode>) -> Done {
    match answer {
        Ok(()) => Ok(()),
        Err(code) if quality::is_of_connection(code) => Err(Lost),
        Err(code) => {
            tracing::warn!(%code, "the server refuses what is asked for what is monitored");
            Ok(())
        }
    }
}
