//! The tags and alarms as parts of an OPC UA server.

mod conditions;
mod types;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opcua::nodes::{HasNodeId as _, NodeType, ReferenceDirection};
use opcua::server::SubscriptionCache;
use opcua::server::address_space::{AddressSpace, ObjectBuilder, VariableBuilder, add_namespaces, write_node_value};
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{InMemoryNodeManager, InMemoryNodeManagerImpl};
use opcua::server::node_manager::{ParsedWriteValue, RequestContext, ServerContext, WriteNode};
use opcua::sync::{Mutex, RwLock};
use opcua::types::{
    AttributeId, DataEncoding, DataValue, DateTime, NodeId, NumericRange, ObjectId, ReferenceTypeId, StatusCode,
    TimestampsToReturn, Variant,
};
use tokio::sync::watch;

use crate::alarms::{Alarms, Condition, ConditionEvent};
use crate::tags;

pub(crate) use conditions::Conditions;
pub(crate) use types::Inherited;

/// The part of a server that has the tags.
pub(crate) type PlantManager = InMemoryNodeManager<Plant>;

/// The alarms, which are raised by tags and acknowledged by methods.
pub(crate) type SharedAlarms = Arc<Mutex<Alarms>>;

/// What the tags do.
pub(crate) struct Plant {
    namespace: u16,
    alarms: SharedAlarms,
    subscriptions: Arc<SubscriptionCache>,
    counting: watch::Sender<bool>,
    slow_write: Duration,
}

impl Plant {
    /// Puts the tags into the server.
    pub(crate) fn build(
        context: &ServerContext,
        space: &mut AddressSpace,
        alarms: SharedAlarms,
        counting: watch::Sender<bool>,
        slow_write: Duration,
    ) -> Self {
        let namespace = add_namespaces(context, space, &[tags::NAMESPACE]).first().copied().unwrap_or_default();
        let folder = tags::node(tags::FOLDER);
        space.add_folder(&folder, tags::FOLDER, tags::FOLDER, &ObjectId::ObjectsFolder.into());
        for (name, value) in tags::all() {
            add_tag(space, &folder, &name, value);
        }
        for name in tags::ALARMS {
            let node = crate::alarms::node(name);
            ObjectBuilder::new(&node, name, name)
                .component_of(folder.clone())
                .has_type_definition(opcua::types::ObjectTypeId::OffNormalAlarmType)
                .insert(space);
        }
        Self { namespace, alarms, subscriptions: Arc::clone(&context.subscriptions), counting, slow_write }
    }

    async fn write_one(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        write: &ParsedWriteValue,
    ) -> Result<(), StatusCode> {
        self.check(context, space, write)?;
        if write.node_id == tags::node(tags::SLOW) {
            tokio::time::sleep(self.slow_write).await;
        }
        let mut space = space.write();
        let node = space.find_mut(&write.node_id).ok_or(StatusCode::BadNodeIdUnknown)?;
        write_node_value(node, write)?;
        self.tell(node);
        let Some(Variant::Boolean(on)) = write.value.value else { return Ok(()) };
        self.control(&mut space, &write.node_id, on);
        Ok(())
    }

    /// Whether it may be written, and whether it is of the tag's own type. `async-opcua` lets a text through where a number
    /// belongs; this server does not, so that a client that relies on it fails.
    fn check(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        write: &ParsedWriteValue,
    ) -> Result<(), StatusCode> {
        let mut space = space.write();
        let types = context.type_tree.read();
        let node = space.validate_node_write(context, write, &*types)?;
        let NodeType::Variable(variable) = node else { return Err(StatusCode::BadNotWritable) };
        if write.attribute_id != AttributeId::Value {
            return Err(StatusCode::BadNotWritable);
        }
        let refused = write.node_id == tags::node(tags::REFUSED);
        let secured = write.node_id == tags::node(tags::SECURED);
        if refused || secured && context.user_token().is_anonymous() {
            return Err(StatusCode::BadUserAccessDenied);
        }
        let value = write.value.value.as_ref().ok_or(StatusCode::BadTypeMismatch)?;
        let scalar = variable.value_rank() < 0;
        let of_type = value.data_type().is_some_and(|data_type| data_type.node_id == variable.data_type());
        let same = of_type && value.is_array() != scalar;
        if same { Ok(()) } else { Err(StatusCode::BadTypeMismatch) }
    }

    /// What follows from a tag that controls others.
    fn control(&self, space: &mut AddressSpace, node: &NodeId, on: bool) {
        if *node == tags::node(tags::COUNTING) {
            self.counting.send_replace(on);
        }
        if *node == tags::node(tags::SENSOR_FAILED)
            && let Some(NodeType::Variable(sensor)) = space.find_mut(&tags::node(tags::SENSOR))
        {
            // The value changes too: who watches it without a filter is told of a change of the quality alone by some
            // servers, and not by others.
            let (measured, status) =
                if on { (0.0, StatusCode::BadSensorFailure) } else { (tags::SENSOR_VALUE, StatusCode::Good) };
            let value = DataValue::new_now_status(measured, status);
            sensor.set_data_value(value.clone());
            let sensor = tags::node(tags::SENSOR);
            self.subscriptions.notify_data_change(std::iter::once((value, &sensor, AttributeId::Value)));
        }
        if let Some(name) = tags::ALARMS.into_iter().find(|name| tags::node(&tags::alarm_control(name)) == *node)
            && let Some(condition) = self.alarms.lock().set(name, on, DateTime::now())
        {
            tell_alarm(&self.subscriptions, condition);
        }
    }

    /// Tells whoever watches it what a tag holds.
    fn tell(&self, node: &NodeType) {
        let value = node.as_node().get_attribute(
            TimestampsToReturn::Both,
            AttributeId::Value,
            &NumericRange::None,
            &DataEncoding::Binary,
        );
        let value = value.map(|value| (value, node.node_id(), AttributeId::Value));
        self.subscriptions.notify_data_change(value.into_iter());
    }
}

/// Tells everybody what has become of an alarm.
fn tell_alarm(subscriptions: &SubscriptionCache, condition: Condition) {
    let (source, event) = (tags::node(tags::FOLDER), ConditionEvent::from(condition));
    let event: &dyn opcua::nodes::Event = &event;
    subscriptions.notify_events(std::iter::once((event, &source)));
}

fn add_tag(space: &mut AddressSpace, folder: &NodeId, name: &str, value: Variant) {
    let data_type = value.data_type().map(|data_type| data_type.node_id).unwrap_or_default();
    let rank = if value.is_array() { 1 } else { -1 };
    let node = tags::node(name);
    VariableBuilder::new(&node, opcua::types::QualifiedName::new(tags::NAMESPACE_INDEX, name), name)
        .value(value)
        .data_type(data_type)
        .value_rank(rank)
        .writable()
        .reference(folder.clone(), ReferenceTypeId::HasComponent, ReferenceDirection::Inverse)
        .has_type_definition(opcua::types::VariableTypeId::BaseDataVariableType)
        .insert(space);
}

#[async_trait]
impl InMemoryNodeManagerImpl for Plant {
    async fn init(&self, _: &mut AddressSpace, _: ServerContext) {}

    fn name(&self) -> &str {
        "plant"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        let namespace_uri = tags::NAMESPACE.to_owned();
        vec![NamespaceMetadata { namespace_uri, namespace_index: self.namespace, ..NamespaceMetadata::default() }]
    }

    async fn write(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        writes: &mut [&mut WriteNode],
    ) -> Result<(), StatusCode> {
        for write in writes {
            let status = self.write_one(context, space, write.value()).await;
            write.set_status(status.err().unwrap_or(StatusCode::Good));
        }
        Ok(())
    }
}

/// Counts for as long as it is told to, once in a period.
///
/// The values' times are a period apart however late they are: a client that asks to be told at most once in so much time
/// would otherwise miss some whose times lie closer together on a busy machine.
pub(crate) async fn count(
    plant: Arc<PlantManager>,
    subscriptions: Arc<SubscriptionCache>,
    mut counting: watch::Receiver<bool>,
    period: Duration,
) {
    let node = tags::node(tags::COUNTER);
    let mut counted = 0_i64;
    while counting.wait_for(|counting| *counting).await.is_ok() {
        let started = DateTime::now();
        let mut ticks = tokio::time::interval(period);
        // At once would be at the time of the value that is there.
        ticks.tick().await;
        for tick in 1_i64.. {
            let still = tokio::select! {
                _ = ticks.tick() => true,
                stopped = counting.wait_for(|counting| !counting) => stopped.is_err(),
            };
            if !still {
                break;
            }
            counted += 1;
            let at = DateTime::from(started.ticks() + tick * ticks_of(period));
            let mut value = DataValue::new_at(counted, at);
            value.status = Some(StatusCode::Good);
            if plant.set_value(&subscriptions, &node, None, value).is_err() {
                return;
            }
        }
    }
}

/// A period in the ticks of OPC UA's time, which are 100 ns.
fn ticks_of(period: Duration) -> i64 {
    i64::try_from(period.as_nanos() / 100).unwrap_or(i64::MAX)
}
