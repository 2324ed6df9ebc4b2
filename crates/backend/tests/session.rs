//! A session with the simulated back end, as the job of a real worker host.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use moorline_backend::contract::{
    Answer, Command, CommandResult, Done, Event, EventBody, Invocation, ItemAt, Password, ServerHandle, SessionState,
    Status, StatusCategory, UserHandle, Value, Write,
};
use moorline_backend::simulated::Simulated;
use moorline_backend::{
    ANSWER_KIND, Backend, BackendAgent, BackendFault, BackendInfo, EVENT_KIND, OpenError, Opened, Opener,
};
use moorline_types::{Fence, JobId, Json, Millis, Timestamp, WorkerId};
use moorline_worker::in_process::{InProcessWorker, in_process};
use moorline_worker::link::WorkerLink;
use moorline_worker::message::{FromWorker, Output, Report, StartJob, ToWorker};
use moorline_worker::sdk::Agent;
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(60);
const AGENT: &str = "simulated@1.0.0";

struct Session {
    link: WorkerLink,
    _worker: InProcessWorker,
    job: JobId,
    backend: &'static str,
    events: Vec<Event>,
}

impl Session {
    async fn open(options: &str) -> Self {
        Self::with(Simulated, options).await
    }

    async fn with(opener: impl Opener, options: &str) -> Self {
        let at = Timestamp::from_unix_millis(1);
        let (worker, job) = (WorkerId::mint(at, [1; 10]), JobId::mint(at, [2; 10]));
        let backend = opener.info().name;
        let agent: Arc<dyn Agent> = Arc::new(BackendAgent::new(AGENT.parse().unwrap(), opener));
        let (candidate, host) = in_process(worker, [agent]).unwrap();
        let link = candidate.admit(Fence::new(1), []).await.unwrap();
        let start = StartJob {
            job,
            agent: AGENT.parse().unwrap(),
            input: Json::parse(&format!("{{\"options\":{options}}}")).unwrap(),
            lease: Json::parse("{}").unwrap(),
            trace: None,
            deadline: None,
            accepted_at: at,
            credentials: Vec::new(),
        };
        link.sender.send(ToWorker::Start(start)).await.unwrap();
        Self { link, _worker: host, job, backend, events: Vec::new() }
    }

    /// Closes it, and waits for its end.
    async fn close(&mut self) {
        let cancel = ToWorker::Cancel { job: self.job, reason: "client-close".into(), grace: Millis::from_secs(5) };
        self.link.sender.send(cancel).await.unwrap();
        let report = self.next().await;
        let Report::Result { output: Output::Inline(result), .. } = &report else { panic!("{report:?} is no result") };
        assert_eq!(result.get(), r#"{"closed":"client-close"}"#);
    }

    async fn send(&self, id: &str, command: Command) {
        let invocation = Invocation { id: id.into(), by: Some("ada".into()), command };
        let command = moorline_worker::sdk::Command::new(Json::of(&invocation).unwrap());
        self.link.sender.send(ToWorker::Command { job: self.job, command }).await.unwrap();
    }

    /// The next report but events, which are kept, and how the job began.
    async fn next(&mut self) -> Report {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.link.receiver.recv()).await.expect("silence").unwrap();
            let FromWorker::Report { seq, report, .. } = message else { continue };
            self.link.sender.send(ToWorker::Ack { job: self.job, seq }).await.unwrap();
            match &report {
                Report::Event { kind, body } if kind.as_str() == EVENT_KIND => self.events.push(body.to().unwrap()),
                Report::Event { .. } | Report::Result { .. } | Report::Failure(_) => return report,
            }
        }
    }

    async fn answer(&mut self) -> Answer {
        let report = self.next().await;
        let Report::Event { kind, body } = &report else { panic!("{report:?} is no answer") };
        assert_eq!(kind.as_str(), ANSWER_KIND);
        body.to().unwrap()
    }

    async fn invoke(&mut self, id: &str, command: Command) -> CommandResult {
        self.send(id, command).await;
        let answer = self.answer().await;
        assert_eq!((&*answer.id, &*answer.backend), (id, self.backend));
        answer.result
    }
}

fn register() -> Command {
    Command::Register { client: "test".to_owned() }
}

#[tokio::test]
async fn a_session_begins_with_its_back_end_and_ends_when_it_is_told_to() {
    let mut session = Session::open("null").await;
    session.invoke("a", register()).await;
    assert_eq!(session.events[0].said, EventBody::Opened);
    session.close().await;
}

#[tokio::test]
async fn options_that_the_back_end_does_not_know_end_the_session() {
    let mut session = Session::open(r#"{"tics":1}"#).await;
    let Report::Failure(failure) = session.next().await else { panic!() };
    assert!(failure.message.contains("tics"), "{}", failure.message);
}

#[tokio::test]
async fn a_back_end_that_fails_ends_the_session() {
    let mut session = Session::open(r#"{"faults":[{"after_ms":0,"kind":"failure"}]}"#).await;
    assert!(matches!(session.next().await, Report::Failure(_)));
}

#[tokio::test]
async fn a_command_that_comes_again_is_not_carried_out_again() {
    let mut session = Session::open("null").await;
    let first = session.invoke("a", register()).await;
    assert_eq!(first.done, Done::Server(ServerHandle(1)));
    session.send("a", register()).await;
    let again = session.answer().await;
    assert_eq!((again.result, again.repeated), (first, true));
    let other = session.invoke("a", Command::WorkerInfo).await;
    assert!(!other.success && other.message.contains("command_id"), "{other:?}");
    let second = session.invoke("b", register()).await;
    assert_eq!(second.done, Done::Server(ServerHandle(2)), "one under another name is another");
    let Done::Session(state) = session.invoke("c", Command::SessionState).await.done else { panic!() };
    let known: Vec<_> = state.commands.iter().map(|command| (&*command.id, command.finished)).collect();
    assert_eq!(known, [("a", true), ("b", true), ("c", false)]);
    assert_eq!(state.servers.len(), 2);
}

#[tokio::test]
async fn several_commands_are_answered_each_in_their_order() {
    let mut session = Session::open("null").await;
    let add = |item: &str| Command::AddItem {
        server: ServerHandle(1),
        item: item.to_owned(),
        context: "Plant".to_owned(),
        buffered: false,
    };
    let refused =
        Command::Refused { message: "not yours".to_owned(), status: Status::refused(StatusCategory::SecurityError) };
    let commands = vec![register(), add("Setpoint"), refused, add("Label"), Command::Bulk { commands: vec![] }];
    let result = session.invoke("bulk", Command::Bulk { commands }).await;
    let Done::Results(results) = &result.done else { panic!() };
    let each: Vec<_> = results.iter().map(|result| result.success).collect();
    assert_eq!((result.success, each), (false, vec![true, true, false, true, false]));
    assert!(matches!(&results[3].done, Done::Item { name, item, .. } if name == "Plant.Label" && item.0 == 2));
}

#[tokio::test]
async fn a_write_is_answered_and_complete_later() {
    let mut session = Session::open("null").await;
    session.invoke("r", register()).await;
    let (server, context) = (ServerHandle(1), String::new());
    let add = Command::AddItem { server, item: "Plant.Setpoint".to_owned(), context, buffered: false };
    let Done::Item { item, .. } = session.invoke("i", add).await.done else { panic!() };
    let at = ItemAt { server, item };
    session.invoke("a", Command::Advise { at, supervisory: false }).await;
    let write = Write { at, value: Value::Double(7.5), user: UserHandle(0), verifier: None, source_time: None };
    assert!(session.invoke("w", Command::Write(write)).await.success);
    let complete = EventBody::WriteComplete { command: "w".into() };
    while !session.events.iter().any(|event| event.said == complete) {
        session.invoke(&format!("more {}", session.events.len()), Command::WorkerInfo).await;
        tokio::task::yield_now().await;
    }
    let read = Command::Read { items: vec!["plant.setpoint".to_owned(), "nowhere".to_owned()] };
    let Done::Readings(readings) = session.invoke("read", read).await.done else { panic!() };
    assert_eq!(readings[0].sample.as_ref().unwrap().value, Value::Double(7.5));
    assert_eq!((readings[0].success, readings[1].success), (true, false));
}

/// A back end that answers what is read when it is let, after some turns of whatever else there is to do, and what is
/// registered never.
#[derive(Clone)]
struct Slow {
    answers: watch::Receiver<bool>,
    reads: Arc<AtomicUsize>,
}

/// Turns that an answer takes that comes at once.
const TURNS: usize = 50;

#[async_trait]
impl Opener for Slow {
    fn info(&self) -> BackendInfo {
        BackendInfo { name: "slow", version: "1" }
    }

    async fn open(&self, _options: Option<&Json>) -> Result<Opened, OpenError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Backend for Slow {
    async fn execute(&mut self, _id: &str, _by: Option<&str>, command: &Command) -> CommandResult {
        let Command::SessionState = command else { return pending().await };
        CommandResult::done(Done::Session(SessionState::default()))
    }

    fn look(&self, command: &Command) -> Option<BoxFuture<'static, CommandResult>> {
        let Command::Read { .. } = command else { return None };
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.clone();
        Some(Box::pin(async move {
            drop(answers.wait_for(|answers| *answers).await);
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            CommandResult::done(Done::Readings(Vec::new()))
        }))
    }

    async fn next_event(&mut self) -> Result<Event, BackendFault> {
        pending().await
    }

    async fn close(&mut self) {}
}

/// A session with one, what lets it answer, and how often it was read.
async fn slow(answers: bool) -> (Session, watch::Sender<bool>, Arc<AtomicUsize>) {
    let (lets, answers) = watch::channel(answers);
    let reads = Arc::new(AtomicUsize::new(0));
    (Session::with(Slow { answers, reads: Arc::clone(&reads) }, "null").await, lets, reads)
}

fn read() -> Command {
    Command::Read { items: vec!["a".to_owned()] }
}

#[tokio::test]
async fn a_read_that_is_not_answered_holds_up_nothing_and_is_carried_out_once_however_often_it_is_asked_for() {
    let (mut session, lets, reads) = slow(false).await;
    for id in ["first", "second", "first"] {
        session.send(id, read()).await;
    }
    session.send("state", Command::SessionState).await;
    let state = session.answer().await;
    let Done::Session(known) = state.result.done else { panic!("{state:?}") };
    let known: Vec<_> = known.commands.iter().map(|command| (&*command.id, command.finished)).collect();
    assert_eq!(known, [("first", false), ("second", false), ("state", false)]);
    assert!(!session.invoke("first", Command::WorkerInfo).await.success, "its name is another command's");
    lets.send_replace(true);
    let mut answered = [session.answer().await.id, session.answer().await.id];
    answered.sort();
    assert_eq!(answered.each_ref().map(|id| &**id), ["first", "second"]);
    session.send("first", read()).await;
    assert!(session.answer().await.repeated);
    assert_eq!(reads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_read_that_is_answered_soon_is_answered_before_what_came_after_it() {
    let (mut session, _lets, _) = slow(true).await;
    for id in ["a", "b", "c"] {
        session.send(id, read()).await;
        session.send(&format!("after {id}"), Command::WorkerInfo).await;
    }
    for id in ["a", "after a", "b", "after b", "c", "after c"] {
        assert_eq!(&*session.answer().await.id, id);
    }
}

#[tokio::test]
async fn the_end_of_a_session_waits_for_no_command() {
    for command in [read(), register()] {
        let (mut session, _lets, _) = slow(false).await;
        // A session that is ended before it has begun is none.
        assert!(session.invoke("state", Command::SessionState).await.success);
        session.send("a", command).await;
        session.close().await;
    }
}

#[test]
fn a_password_is_in_no_debug_output() {
    let password = Password::new("hunter2".to_owned());
    let command = Command::AuthenticateUser { server: ServerHandle(1), user: "ada".to_owned(), password };
    assert!(!format!("{command:?}").contains("hunter2"));
    assert!(serde_json::to_string(&command).unwrap().contains("hunter2"), "it does travel");
}
