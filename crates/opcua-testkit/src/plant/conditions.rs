//! The methods of conditions. They are nodes of OPC UA's own namespace, whose part of the server knows none of them, so
//! this part stands before it and has just these nodes. What is read of them is handed on.

use std::sync::Arc;

use async_trait::async_trait;
use opcua::nodes::{DefaultTypeTree, Event};
use opcua::server::SubscriptionCache;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::{
    BrowseNode, DynNodeManager, MethodCall, NodeManager, NodeManagersRef, ReadNode, RequestContext, ServerContext,
};
use opcua::types::{
    AttributeId, DateTime, MethodId, NodeClass, NodeId, ObjectTypeId, StatusCode, TimestampsToReturn, Variant,
};

use super::{SharedAlarms, tell_alarm};
use crate::alarms::{ConditionEvent, refresh_mark};

/// The methods that are answered.
const METHODS: [MethodId; 3] = [
    MethodId::ConditionType_ConditionRefresh,
    MethodId::ConditionType_ConditionRefresh2,
    MethodId::AcknowledgeableConditionType_Acknowledge,
];

/// What `async-opcua` calls the part that has the rest of the namespace.
const CORE: &str = "core";

/// The part of a server that has the methods of conditions.
pub(crate) struct Conditions {
    alarms: SharedAlarms,
    managers: NodeManagersRef,
    subscriptions: Arc<SubscriptionCache>,
}

impl Conditions {
    pub(crate) fn new(context: &ServerContext, alarms: SharedAlarms) -> Self {
        let subscriptions = Arc::clone(&context.subscriptions);
        Self { alarms, managers: context.node_managers.clone(), subscriptions }
    }

    fn core(&self) -> Result<Arc<DynNodeManager>, StatusCode> {
        self.managers.iter().find(|manager| manager.name() == CORE).ok_or(StatusCode::BadNodeIdUnknown)
    }

    fn carry_out(&self, context: &RequestContext, call: &MethodCall) -> Result<(), StatusCode> {
        match (call.method_id().as_method_id(), call.arguments()) {
            (Ok(MethodId::ConditionType_ConditionRefresh), [Variant::UInt32(subscription)]) => {
                self.refresh(context, *subscription, None)
            }
            (Ok(MethodId::ConditionType_ConditionRefresh2), [Variant::UInt32(subscription), Variant::UInt32(item)]) => {
                self.refresh(context, *subscription, Some(*item))
            }
            (Ok(MethodId::AcknowledgeableConditionType_Acknowledge), [Variant::ByteString(event), comment]) => {
                let Variant::LocalizedText(comment) = comment else { return Err(StatusCode::BadInvalidArgument) };
                let by = &context.user_token().0;
                let now = DateTime::now();
                let told = self.alarms.lock().acknowledge(call.object_id(), event, (**comment).clone(), by, now)?;
                tell_alarm(&self.subscriptions, told);
                Ok(())
            }
            _ => Err(StatusCode::BadInvalidArgument),
        }
    }

    /// Says the alarms that are retained again, to one subscription, between two marks.
    fn refresh(&self, context: &RequestContext, subscription: u32, item: Option<u32>) -> Result<(), StatusCode> {
        let now = DateTime::now();
        let mut alarms = self.alarms.lock();
        let start = refresh_mark(ObjectTypeId::RefreshStartEventType, alarms.next_event(), now);
        let retained: Vec<ConditionEvent> = alarms.retained().into_iter().map(ConditionEvent::from).collect();
        let end = refresh_mark(ObjectTypeId::RefreshEndEventType, alarms.next_event(), now);
        let mut events: Vec<&dyn Event> = vec![&start];
        events.extend(retained.iter().map(|event| event as &dyn Event));
        events.push(&end);

        let of_session = self.subscriptions.get_session_subscriptions(context.session_id());
        let of_session = of_session.ok_or(StatusCode::BadSubscriptionIdInvalid)?;
        let mut of_session = of_session.lock();
        let subscription = of_session.get_mut(subscription).ok_or(StatusCode::BadSubscriptionIdInvalid)?;
        let watching = subscription.items().filter(|watched| {
            watched.item_to_monitor().attribute_id == AttributeId::EventNotifier
                && item.is_none_or(|item| item == watched.id())
        });
        let watching: Vec<u32> = watching.map(|watched| watched.id()).collect();
        if item.is_some() && watching.is_empty() {
            return Err(StatusCode::BadMonitoredItemIdInvalid);
        }
        let types = context.type_tree().read();
        for id in watching {
            events.iter().for_each(|event| subscription.notify_event(&id, *event, &*types));
        }
        Ok(())
    }
}

#[async_trait]
impl NodeManager for Conditions {
    fn owns_node(&self, id: &NodeId) -> bool {
        id.as_method_id().is_ok_and(|id| METHODS.contains(&id))
    }

    fn name(&self) -> &str {
        "conditions"
    }

    fn namespaces_for_user(&self, _: &RequestContext) -> Vec<NamespaceMetadata> {
        Vec::new()
    }

    async fn init(&self, types: &mut DefaultTypeTree, _: ServerContext) {
        // A client asks for the condition itself with an empty path, which the types as they are generated do not have.
        let condition = NodeId::from(ObjectTypeId::ConditionType);
        types.add_type_property(&condition, &condition, &[], NodeClass::Object);
    }

    async fn read(
        &self,
        context: &RequestContext,
        max_age: f64,
        timestamps: TimestampsToReturn,
        nodes: &mut [&mut ReadNode],
    ) -> Result<(), StatusCode> {
        self.core()?.read(context, max_age, timestamps, nodes).await
    }

    async fn browse(&self, _: &RequestContext, _: &mut [BrowseNode]) -> Result<(), StatusCode> {
        // Every part is asked about every node; the one that has the rest of the namespace knows these too.
        Ok(())
    }

    async fn call(&self, context: &RequestContext, calls: &mut [&mut MethodCall]) -> Result<(), StatusCode> {
        for call in calls {
            let status = self.carry_out(context, call).err().unwrap_or(StatusCode::Good);
            call.set_status(status);
        }
        Ok(())
    }
}
