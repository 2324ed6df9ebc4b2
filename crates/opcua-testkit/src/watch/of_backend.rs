//! The worker's back end, told things in this process.

use std::fmt;

use async_trait::async_trait;
use moorline_backend::Backend;
use moorline_backend::contract::{
    Command, CommandResult, Done, EventBody, ItemAt, ServerHandle, UserHandle, Value, Write,
};

use super::{Told, Watch};
use crate::{Failure, tags};

/// A back end, with what was made in it.
pub struct OfBackend<'a> {
    backend: &'a mut dyn Backend,
    commands: u64,
    server: ServerHandle,
    /// The tag that lets the other one count.
    control: ItemAt,
}

impl fmt::Debug for OfBackend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfBackend").field("commands", &self.commands).finish_non_exhaustive()
    }
}

impl<'a> OfBackend<'a> {
    /// With a back end that is open.
    pub fn new(backend: &'a mut dyn Backend) -> Self {
        let server = ServerHandle::default();
        Self { backend, commands: 0, server, control: ItemAt { server, item: Default::default() } }
    }

    async fn advised(&mut self, tag: &str) -> Result<ItemAt, Failure> {
        let server = self.server;
        let add = Command::AddItem { server, item: tags::item(tag), context: String::new(), buffered: false };
        let done = self.command("add item", add).await?;
        let Done::Item { server, item, .. } = done else {
            return Err(Failure::Refused { command: "add item", message: format!("it answers {done:?}") });
        };
        let at = ItemAt { server, item };
        self.command("advise", Command::Advise { at, supervisory: false }).await?;
        Ok(at)
    }

    async fn command(&mut self, name: &'static str, command: Command) -> Result<Done, Failure> {
        self.commands += 1;
        let id = format!("trial-{}", self.commands);
        let CommandResult { success, message, done, .. } = self.backend.execute(&id, None, &command).await;
        if success { Ok(done) } else { Err(Failure::Refused { command: name, message }) }
    }
}

#[async_trait]
impl Watch for OfBackend<'_> {
    async fn begin(&mut self) -> Result<(), Failure> {
        let done = self.command("register", Command::Register { client: "cuts".to_owned() }).await?;
        if let Done::Server(server) = done {
            self.server = server;
        }
        self.control = self.advised(tags::COUNTING).await?;
        self.advised(tags::COUNTER).await.map(drop)
    }

    async fn control(&mut self, on: bool) -> Result<(), Failure> {
        let (at, value) = (self.control, Value::Bool(on));
        let write = Write { at, value, user: UserHandle::default(), verifier: None, source_time: None };
        self.command("write", Command::Write(write)).await.map(drop)
    }

    async fn read(&mut self) -> Result<Option<i64>, Failure> {
        let done = self.command("read", Command::Read { items: vec![tags::item(tags::COUNTER)] }).await?;
        let Done::Readings(readings) = done else { return Ok(None) };
        let sample = readings.into_iter().next().and_then(|reading| reading.sample);
        Ok(sample.and_then(|sample| if let Value::Integer(value) = sample.value { Some(value) } else { None }))
    }

    async fn next(&mut self) -> Result<Told, Failure> {
        let event = self.backend.next_event().await?;
        let is_counter = event.name.as_deref() == Some(tags::item(tags::COUNTER).as_str());
        Ok(match event.said {
            EventBody::BackendGap { reason } => Told::Gap(reason),
            EventBody::DataChange(sample) if is_counter && sample.quality.is_good() => match sample.value {
                Value::Integer(value) => Told::Count(value),
                Value::Null | Value::Bool(_) | Value::Double(_) | Value::Text(_) => Told::Else,
            },
            EventBody::DataChange(_)
            | EventBody::Opened
            | EventBody::BufferedDataChange(_)
            | EventBody::ItemRevised(_)
            | EventBody::WriteComplete { .. }
            | EventBody::OperationComplete { .. }
            | EventBody::Alarm(_)
            | EventBody::AlarmSnapshotComplete => Told::Else,
        })
    }
}
