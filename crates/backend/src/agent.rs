//! The agent that runs a back end: a gateway session is a job of it.
//!
//! - Commands are carried out one after the other, in the order in which they come, and answered in that order.
//! - A command that comes again under its name is not carried out again: what came of it is said once more. One that
//!   comes under the name of another is refused.
//! - What the back end says waits while it is not yet committed; that slows the back end down and loses nothing.
//! - When the job is cancelled the back end is closed in order, and that is the job's result.

mod known;

use async_trait::async_trait;
use moorline_types::{EventKind, Json, ResolvedAgent, Timestamp};
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Outcome};
use serde::{Deserialize, Serialize};

use crate::contract::{
    Answer, Command, CommandResult, Done, Event, EventBody, Invocation, Status, StatusCategory, WorkerInfo,
};
use crate::{ANSWER_KIND, BackendInfo, EVENT_KIND, Opened, Opener, clock};
use known::{Kind, Known};

pub use known::MAX_KNOWN_COMMANDS;

/// Commands that one command may stand for. A client that has more sends several.
const MAX_BULK: usize = 1_000;

/// The input of a session's job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInput {
    /// What its client calls it.
    #[serde(default)]
    pub client_session_name: String,
    /// How long a command may take unless it says otherwise, in milliseconds; absent for what is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_timeout_ms: Option<u64>,
    /// How the back end is set up: an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<serde_json::Value>,
}

/// See the module's documentation.
pub struct BackendAgent {
    agent: ResolvedAgent,
    opener: Box<dyn Opener>,
}

impl std::fmt::Debug for BackendAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendAgent").field("agent", &self.agent).finish_non_exhaustive()
    }
}

impl BackendAgent {
    /// The agent under this name and version, which opens its back ends so.
    pub fn new(agent: ResolvedAgent, opener: impl Opener) -> Self {
        Self { agent, opener: Box::new(opener) }
    }
}

#[async_trait]
impl Agent for BackendAgent {
    fn describe(&self) -> AgentDescription {
        let BackendInfo { name, version } = self.opener.info();
        AgentDescription {
            agent: self.agent.clone(),
            description: format!("a gateway session with the {name} back end, {version}"),
            // Its worker is one session's alone.
            capacity: 1,
            is_default: false,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let input: SessionInput = job.input().map_err(|error| error.into_failure())?;
        let options = input.options.as_ref().map(Json::of).transpose();
        let options = options.map_err(|error| Failure::invalid_request(format!("input: {error}")))?;
        let backend = tokio::select! {
            backend = self.opener.open(options.as_ref()) => backend,
            () = job.cancelled() => return Err(Failure::cancelled()),
        };
        let backend = backend.map_err(|error| Failure::invalid_request(error.to_string()))?;
        let mut session =
            Session { job, backend, info: self.opener.info(), known: Known::default(), began: clock::now() };
        session.run().await
    }
}

struct Session {
    job: JobContext,
    backend: Opened,
    info: BackendInfo,
    known: Known,
    began: Timestamp,
}

impl Session {
    async fn run(&mut self) -> Result<Outcome, Failure> {
        self.say(&Event { at: None, name: None, statuses: Vec::new(), said: EventBody::Opened }).await?;
        loop {
            tokio::select! {
                biased;
                () = self.job.cancelled() => {
                    self.backend.close().await;
                    return Ok(Outcome::of(&serde_json::json!({ "closed": self.job.cancel_reason() }))?);
                }
                command = self.job.next_command() => self.handle(command.json()).await?,
                event = self.backend.next_event() => match event {
                    Ok(event) => self.say(&event).await?,
                    Err(fault) => return Err(Failure::internal(&fault)),
                },
            }
        }
    }

    async fn handle(&mut self, json: &Json) -> Result<(), Failure> {
        let Ok(Invocation { id, by, command }) = json.to() else {
            // Who sends it is the gateway, and there is nothing that could be answered.
            tracing::error!("a command cannot be read; the gateway is of another version");
            return Ok(());
        };
        let (result, repeated) = match self.known.look_up(&id, json.get()) {
            Kind::New => {
                let result = self.execute(&id, by.as_deref(), &command).await;
                let bytes = Json::of(&result).map_or(0, |json| json.get().len());
                self.known.finish(&id, &result, bytes);
                (result, false)
            }
            Kind::Finished(result) => (result, true),
            Kind::Forgotten => {
                let message = "the command was carried out before; what came of it is not kept";
                (CommandResult::failed(message, Status::refused(StatusCategory::Unknown)), true)
            }
            Kind::Other => (CommandResult::invalid("another command of this session has this command_id"), false),
        };
        let answer = Answer { id, result, repeated, backend: self.info.name.into() };
        self.emit(ANSWER_KIND, &answer).await
    }

    async fn execute(&mut self, id: &str, by: Option<&str>, command: &Command) -> CommandResult {
        let Command::Bulk { commands } = command else {
            let mut result = self.execute_one(id, by, command).await;
            self.backend.settle(&mut [(command, &mut result)]).await;
            return result;
        };
        if commands.len() > MAX_BULK {
            return CommandResult::invalid(format!("a bulk has at most {MAX_BULK} commands"));
        }
        let mut results = Vec::with_capacity(commands.len());
        for command in commands {
            results.push(self.execute_one(id, by, command).await);
        }
        let mut done: Vec<_> = commands.iter().zip(&mut results).collect();
        self.backend.settle(&mut done).await;
        CommandResult::of_several(results)
    }

    async fn execute_one(&mut self, id: &str, by: Option<&str>, command: &Command) -> CommandResult {
        if let Command::Bulk { .. } = command {
            return CommandResult::invalid("a bulk in a bulk is not carried out");
        }
        if let Command::Refused { message, status } = command {
            return CommandResult::failed(message.clone(), *status);
        }
        if let Command::WorkerInfo = command {
            return CommandResult::done(Done::Worker(self.worker_info()));
        }
        let mut result = self.backend.execute(id, by, command).await;
        if let Done::Session(state) = &mut result.done {
            state.commands = self.known.states();
        }
        result
    }

    fn worker_info(&self) -> WorkerInfo {
        WorkerInfo {
            backend: self.info.name.to_owned(),
            version: self.info.version.to_owned(),
            pid: std::process::id(),
            started_at: self.began,
        }
    }

    async fn say(&self, event: &Event) -> Result<(), Failure> {
        self.emit(EVENT_KIND, event).await
    }

    async fn emit(&self, kind: &'static str, body: &(impl Serialize + Sync)) -> Result<(), Failure> {
        let kind: EventKind = kind.parse().map_err(|error| Failure::internal(&error))?;
        let body = Json::of(body).map_err(|error| Failure::internal(&error))?;
        Ok(self.job.event(kind, body).await?)
    }
}
