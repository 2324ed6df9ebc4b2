//! The agent that runs a back end: a gateway session is a job of it.
//!
//! - Commands are carried out one after the other, in the order in which they come, and answered in that order. One that
//!   changes nothing and is not answered at once is waited for beside those that come after it.
//! - A command that comes again under its name is not carried out again: what came of it is said once more. One that
//!   comes under the name of another is refused.
//! - What the back end says waits while it is not yet committed; that slows the back end down and loses nothing.
//! - When the job is cancelled the back end is closed in order, and that is the job's result.

mod known;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
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

/// How long a command that changes nothing holds up those that come after it: longer than a back end needs that answers
/// at all, so that their order is seen to be kept, and shorter than anybody waits for the others. While one is waited for
/// beside the others, so are those that come after it, without this.
const PATIENCE: Duration = Duration::from_millis(500);

/// Commands that are waited for beside the others. A gateway has fewer under way in a session, unless clients have given
/// them up; one more holds up those that come after it.
const MAX_BESIDE: usize = 256;

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

/// Commands that are waited for beside those that came after them, each with its name.
type Beside = FuturesUnordered<BoxFuture<'static, (Box<str>, CommandResult)>>;

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
        let mut beside = Beside::new();
        loop {
            tokio::select! {
                biased;
                () = self.job.cancelled() => {
                    self.backend.close().await;
                    return Ok(Outcome::of(&serde_json::json!({ "closed": self.job.cancel_reason() }))?);
                }
                Some((id, result)) = beside.next(), if !beside.is_empty() => self.answer(id, result).await?,
                command = self.job.next_command() => self.handle(command.json(), &mut beside).await?,
                event = self.backend.next_event() => match event {
                    Ok(event) => self.say(&event).await?,
                    Err(fault) => return Err(Failure::internal(&fault)),
                },
            }
        }
    }

    async fn handle(&mut self, json: &Json, beside: &mut Beside) -> Result<(), Failure> {
        let Ok(Invocation { id, by, command }) = json.to() else {
            // Who sends it is the gateway, and there is nothing that could be answered.
            tracing::error!("a command cannot be read; the gateway is of another version");
            return Ok(());
        };
        let (result, repeated) = match self.known.look_up(&id, json.get()) {
            Kind::New => {
                let carried_out = match self.backend.look(&command) {
                    Some(look) => self.look(&id, look, beside).await,
                    None => {
                        let cancelled = self.job.cancelled();
                        tokio::select! {
                            biased;
                            result = self.execute(&id, by.as_deref(), &command) => Some(result),
                            // The end does not wait for a back end that does not answer; it answers the command itself.
                            () = cancelled => None,
                        }
                    }
                };
                let Some(result) = carried_out else { return Ok(()) };
                return self.answer(id, result).await;
            }
            // It is answered when it is carried out, and that is for everybody who asks under its name.
            Kind::UnderWay => return Ok(()),
            Kind::Finished(result) => (result, true),
            Kind::Forgotten => {
                let message = "the command was carried out before; what came of it is not kept";
                (CommandResult::failed(message, Status::refused(StatusCategory::Unknown)), true)
            }
            Kind::Other => (CommandResult::invalid("another command of this session has this command_id"), false),
        };
        self.say_answer(id, result, repeated).await
    }

    /// Waits for a command that changes nothing, or lets it be waited for beside those that come after it.
    async fn look(
        &self,
        id: &str,
        mut look: BoxFuture<'static, CommandResult>,
        beside: &mut Beside,
    ) -> Option<CommandResult> {
        let patience = match beside.len() {
            0 => PATIENCE,
            1..MAX_BESIDE => Duration::ZERO,
            _ => Duration::MAX,
        };
        tokio::select! {
            biased;
            result = &mut look => return Some(result),
            () = self.job.cancelled() => return None,
            () = tokio::time::sleep(patience) => {}
        }
        let id = id.into();
        beside.push(look.map(|result| (id, result)).boxed());
        None
    }

    /// Answers a command that was carried out.
    async fn answer(&mut self, id: Box<str>, result: CommandResult) -> Result<(), Failure> {
        let bytes = Json::of(&result).map_or(0, |json| json.get().len());
        self.known.finish(&id, &result, bytes);
        self.say_answer(id, result, false).await
    }

    async fn say_answer(&self, id: Box<str>, result: CommandResult, repeated: bool) -> Result<(), Failure> {
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
