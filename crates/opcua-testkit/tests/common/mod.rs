//! The client of `async-opcua`, as far as the tests of the kit need it.

#![allow(dead_code, reason = "not every test needs all of this")]

use std::sync::Arc;
use std::time::Duration;

use moorline_opcua_testkit::tags;
use opcua::client::{ClientBuilder, IdentityToken, Session, SubscriptionCallbacks};
use opcua::crypto::SecurityPolicy;
use opcua::types::{
    AttributeId, ContentFilter, DataValue, EventFilter, ExtensionObject, MessageSecurityMode,
    MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, NumericRange, ObjectId, ObjectTypeId,
    QualifiedName, ReadValueId, SimpleAttributeOperand, StatusCode, TimestampsToReturn, Variant, WriteValue,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a subscription may have told that nobody has read yet: more than any test lets pile up.
const TOLD: usize = 100_000;

/// What a subscription has told: a data value of a node, or an event's fields.
#[derive(Debug)]
pub(crate) enum Told {
    Value(NodeId, DataValue),
    Event(Vec<Variant>),
}

/// A client with a session.
pub(crate) struct Client {
    pub(crate) session: Arc<Session>,
    running: tokio::task::JoinHandle<StatusCode>,
    _directory: TempDir,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Client {
    pub(crate) async fn connect(url: &str, identity: IdentityToken) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let client = ClientBuilder::new()
            .application_name("test")
            .application_uri("urn:test")
            .pki_dir(directory.path())
            .session_retry_initial(Duration::from_millis(50))
            .session_retry_max(Duration::from_millis(200))
            .session_retry_limit(-1)
            .max_message_size(16 << 20)
            .client();
        let endpoint = (url, SecurityPolicy::None.to_str(), MessageSecurityMode::None);
        let connected = client.unwrap().connect_to_matching_endpoint(endpoint, identity).await;
        let (session, running) = connected.unwrap();
        let running = running.spawn();
        assert!(timeout(PATIENCE, session.wait_for_connection()).await.unwrap(), "no connection to {url}");
        Self { session, running, _directory: directory }
    }

    pub(crate) async fn anonymous(url: &str) -> Self {
        Self::connect(url, IdentityToken::Anonymous).await
    }

    pub(crate) async fn read(&self, tag: &str) -> DataValue {
        let values = self.session.read(&[ReadValueId::from(tags::node(tag))], TimestampsToReturn::Both, 0.0).await;
        values.unwrap().remove(0)
    }

    pub(crate) async fn value(&self, tag: &str) -> Variant {
        self.read(tag).await.value.unwrap()
    }

    pub(crate) async fn write(&self, tag: &str, value: impl Into<Variant>) -> StatusCode {
        let write = WriteValue {
            node_id: tags::node(tag),
            attribute_id: AttributeId::Value as u32,
            index_range: NumericRange::None,
            value: DataValue::value_only(value.into()),
        };
        self.session.write(&[write]).await.unwrap().remove(0)
    }

    /// A subscription, and what it tells.
    pub(crate) async fn subscribe(&self) -> (u32, mpsc::Receiver<Told>) {
        let (values, told) = mpsc::channel(TOLD);
        let events = values.clone();
        let callbacks = SubscriptionCallbacks::new(
            |_| {},
            move |value, item| values.try_send(Told::Value(item.item_to_monitor().node_id.clone(), value)).unwrap(),
            move |fields, _| events.try_send(Told::Event(fields.unwrap_or_default())).unwrap(),
        );
        let every = Duration::from_millis(50);
        let id = self.session.create_subscription(every, 1000, 100, 0, 0, true, callbacks).await.unwrap();
        (id, told)
    }

    /// Watches a tag; what the server has made of the queue that was asked for.
    pub(crate) async fn watch(&self, subscription: u32, tag: &str, queue_size: u32) -> u32 {
        let item_to_monitor = ReadValueId::from(tags::node(tag));
        self.monitor(subscription, item_to_monitor, ExtensionObject::null(), queue_size).await
    }

    /// Watches alarms: these fields of every event.
    pub(crate) async fn watch_alarms(&self, subscription: u32, fields: &[&str]) {
        let condition = NodeId::from(ObjectTypeId::ConditionType);
        let mut select = vec![operand(&condition, &[], AttributeId::NodeId)];
        let base = NodeId::from(ObjectTypeId::BaseEventType);
        let alarm = NodeId::from(ObjectTypeId::AlarmConditionType);
        select.extend(fields.iter().map(|field| {
            let path: Vec<&str> = field.split('/').collect();
            let of_base = ["EventId", "EventType", "Time", "Message", "Severity", "SourceName"].contains(field);
            operand(if of_base { &base } else { &alarm }, &path, AttributeId::Value)
        }));
        let filter = EventFilter { select_clauses: Some(select), where_clause: ContentFilter { elements: None } };
        let item = ReadValueId {
            node_id: ObjectId::Server.into(),
            attribute_id: AttributeId::EventNotifier as u32,
            ..ReadValueId::default()
        };
        self.monitor(subscription, item, ExtensionObject::from_message(filter), 100).await;
    }

    async fn monitor(
        &self,
        subscription: u32,
        item_to_monitor: ReadValueId,
        filter: ExtensionObject,
        queue_size: u32,
    ) -> u32 {
        let requested_parameters = MonitoringParameters {
            sampling_interval: 0.0,
            queue_size,
            discard_oldest: true,
            filter,
            ..MonitoringParameters::default()
        };
        let monitoring_mode = MonitoringMode::Reporting;
        let item = MonitoredItemCreateRequest { item_to_monitor, monitoring_mode, requested_parameters };
        let created = self.session.create_monitored_items(subscription, TimestampsToReturn::Both, vec![item]).await;
        let result = created.unwrap().remove(0).result;
        assert_eq!(result.status_code, StatusCode::Good);
        result.revised_queue_size
    }
}

fn operand(of: &NodeId, path: &[&str], attribute: AttributeId) -> SimpleAttributeOperand {
    SimpleAttributeOperand {
        type_definition_id: of.clone(),
        browse_path: Some(path.iter().map(|name| QualifiedName::new(0, *name)).collect()),
        attribute_id: attribute as u32,
        index_range: NumericRange::None,
    }
}

/// What is told next.
pub(crate) async fn next(told: &mut mpsc::Receiver<Told>) -> Told {
    timeout(PATIENCE, told.recv()).await.expect("nothing was told").expect("the subscription is gone")
}

/// The next value.
pub(crate) async fn next_value(told: &mut mpsc::Receiver<Told>) -> DataValue {
    loop {
        if let Told::Value(_, value) = next(told).await {
            return value;
        }
    }
}

/// The next event.
pub(crate) async fn next_event(told: &mut mpsc::Receiver<Told>) -> Vec<Variant> {
    loop {
        if let Told::Event(fields) = next(told).await {
            return fields;
        }
    }
}
