//! Writing: taken in at once, carried out beside everything else, in order for each item.

use std::sync::Arc;

use moorline_backend::BackendFault;
use moorline_backend::contract::{
    CommandResult, Done, Event, EventBody, ItemAt, Status, StatusCategory, UserHandle, Value, Write,
};
use moorline_types::Timestamp;
use opcua::client::Session;
use opcua::types::{AttributeId, DataValue, StatusCode, WriteValue};
use tokio::sync::{OnceCell, mpsc, oneshot};

use super::Connected;
use super::items::Place;
use crate::data_type::{self, Unwritable};
use crate::link::Outlet;
use crate::name::ItemName;
use crate::tasks::{self, Task};
use crate::{quality, resolve, value};

/// Writes that are under way at once. A server that is slower than its clients is found out by this.
const MAX_WRITES: usize = 256;

/// The writes that are under way.
#[derive(Debug)]
pub(super) struct Writes {
    tasks: Vec<Task>,
    events: Outlet,
}

impl Writes {
    pub(super) const fn new(events: mpsc::Sender<Result<Event, BackendFault>>) -> Self {
        Self { tasks: Vec::new(), events }
    }

    pub(super) fn stop(&mut self) {
        self.tasks.clear();
    }

    fn begin(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tasks::spawn("write", task));
    }

    /// Whether there is room for one more.
    fn has_room(&mut self) -> bool {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.len() < MAX_WRITES
    }
}

/// A write that is under way.
struct Pending {
    /// What it waits for: the one before it on the same item.
    before: Option<oneshot::Receiver<()>>,
    session: Result<Arc<Session>, StatusCode>,
    name: ItemName,
    place: Arc<OnceCell<Place>>,
    value: Value,
    source_time: Option<Timestamp>,
}

impl Connected {
    pub(super) fn write(&mut self, id: &str, by: Option<&str>, write: &Write) -> Result<Done, CommandResult> {
        let Write { at, value, user, verifier, source_time } = write;
        let item = self.servers.item(*at)?;
        let Some(advice) = item.advice else {
            return Err(CommandResult::invalid("the item is not advised, so its type is not known; advise it first"));
        };
        let (name, shown, place) = (item.name.clone(), item.shown.clone(), item.place.clone());
        let clients = self.servers.get(at.server)?;
        let verifier = verifier.map(|verifier| clients.user(verifier)).transpose()?;
        let writer = if *user == UserHandle::default() { None } else { Some(clients.user(*user)?) };
        if let Some(verifier) = verifier {
            let Some(writer) = writer else {
                let status = Status::refused(StatusCategory::SecurityError);
                return Err(CommandResult::failed("a secured write has a user and one who verifies it", status));
            };
            // OPC UA has no second signature: both have proven who they are, both are noted, and the first one writes.
            tracing::info!(item = %shown, command = id, by, user = %writer.name, verifier = %verifier.name, "a secured write");
        }
        let session = match writer {
            Some(writer) => writer.link.session(),
            None if advice.supervisory => self.main.session(),
            None => clients.link.session(),
        };
        let session = session.map_err(|outage| outage.code);
        if !self.writes.has_room() {
            let status = Status::refused(StatusCategory::OperationalError);
            return Err(CommandResult::failed(format!("{MAX_WRITES} writes are under way; wait for one"), status));
        }
        let (done, is_done) = oneshot::channel();
        let before = self.servers.item(*at)?.last_write.replace(is_done);
        let pending = Pending { before, session, name, place, value: value.clone(), source_time: *source_time };
        let (at, command, events) = (*at, id.into(), self.writes.events.clone());
        self.writes.begin(async move {
            let status = pending.carry_out().await;
            drop(done);
            let said = EventBody::WriteComplete { command };
            let event = Event { at: Some(at), name: Some((*shown).into()), statuses: vec![status], said };
            // Nobody listens any more only when everything ends.
            events.send(Ok(event)).await.unwrap_or_default();
        });
        Ok(Done::Nothing)
    }
}

impl Pending {
    async fn carry_out(self) -> Status {
        let Self { before, session, name, place, value, source_time } = self;
        if let Some(before) = before {
            // It says nothing; it is over when its end is dropped.
            before.await.unwrap_or_default();
        }
        let session = match session {
            Ok(session) => session,
            Err(code) => return ours(StatusCategory::CommunicationError, code),
        };
        let found = place.get_or_try_init(|| find(&session, &name)).await;
        let converted = found.and_then(|place| Ok((place.node.clone(), data_type::convert(&value, place.stored)?)));
        let (node_id, variant) = match converted {
            Ok(converted) => converted,
            Err(refusal @ Unwritable::Unknown(_)) => return quality::status(refusal.code()),
            Err(refusal) => return ours(StatusCategory::ConfigurationError, refusal.code()),
        };
        let data = DataValue { source_timestamp: source_time.map(value::date_time), ..DataValue::value_only(variant) };
        let write =
            WriteValue { node_id, attribute_id: AttributeId::Value as u32, value: data, ..WriteValue::default() };
        match session.write(&[write]).await {
            Ok(results) => quality::status(results.into_iter().next().unwrap_or(StatusCode::BadUnexpectedError)),
            Err(error) => quality::status(error.status()),
        }
    }
}

async fn find(session: &Session, name: &ItemName) -> Result<Place, Unwritable> {
    let node = resolve::node(session, name).await.map_err(Unwritable::Unknown)?;
    let stored = data_type::of_node(session, &node).await?;
    Ok(Place { node, stored })
}

/// A status that this side gives.
fn ours(category: StatusCategory, code: StatusCode) -> Status {
    Status { detail: quality::raw(code), ..Status::refused(category) }
}

/// What is said of a pause of an item that is not monitored: there is nothing to pause.
pub(super) fn operation_complete(at: ItemAt, shown: &str, command: &str) -> Event {
    let said = EventBody::OperationComplete { command: command.into() };
    Event { at: Some(at), name: Some(shown.into()), statuses: vec![Status::OK], said }
}
