//! The task that drives one gateway session: between its machine, its job, its worker and the journal.

use std::sync::Arc;

use moorline_backend::contract::{
    Answer, Command as Invoked, CommandResult, Done, EventBody, ItemHandle, ServerHandle,
};
use moorline_backend::{ANSWER_KIND, EVENT_KIND};
use moorline_core::backend_session::{
    Answer as Unanswered, CloseReason, CommandNumber, Effect, FaultKind, ReplayWindow, State,
};
use moorline_core::record::{Cause, EventText, Fact};
use moorline_store::{CommittedRecord, Interest, ReadLimit};
use moorline_types::{Json, StreamId, StreamSeq, WorkerId, WorkerSeq, limits};
use moorline_worker::message::Command;
use tokio::sync::{oneshot, watch};

use super::completions::{self, Completion};
use super::shared::{Inner, Replied, Session, Waiting};
use super::trim::Carried;
use super::{BackendSessions, GatewaySessionId, SessionError};
use crate::hold::{self, Point};
use crate::prologue::Prologue;
use crate::registry::Progress;
use crate::tasks::TaskKind;
use crate::view::ViewError;

pub(super) const PAGE: ReadLimit = ReadLimit::new(limits::VIEW_READ_RECORDS, limits::VIEW_READ_BYTES);

/// What a driver listens to, besides the journal.
struct Driver {
    sessions: BackendSessions,
    session: Arc<Session>,
    interest: Interest,
    next: StreamSeq,
    progress: Option<watch::Receiver<Progress>>,
    attachment: Option<(WorkerId, watch::Receiver<bool>)>,
    worker: Worker,
    /// Whether its worker has taken its job up: what follows from the worker's end is in the job's records then.
    has_begun: bool,
    /// Whether it was looked for what has left the journal.
    is_begun: bool,
    /// Whether everything was taken in that was there at the start: what follows is counted.
    is_caught_up: bool,
    /// Whether its worker is known to be there, or not to come.
    is_settled: bool,
    is_over: bool,
}

/// What tells a session's driver that its worker is gone.
pub(super) enum Worker {
    /// It was started for the session. Told or dropped, it is gone.
    Hired(oneshot::Receiver<()>),
    /// It is of the last run, and watched for as long as there is somebody who would tell. `None` if there is no such
    /// worker: the gateway ended before there was a process that could be found again.
    Adopted(Option<watch::Receiver<bool>>),
    /// That was seen.
    Gone,
}

impl BackendSessions {
    /// Drives a session until its job is over.
    pub(super) fn drive(&self, session: Arc<Session>, worker: Worker) {
        let stream = StreamId::Job(session.about.job);
        let mut interest = self.0.gateway.store().tail().subscribe();
        interest.add(stream);
        let progress = self.0.gateway.open_job(session.about.job).map(|handle| handle.progress);
        let driver = Driver {
            sessions: self.clone(),
            session,
            interest,
            next: StreamSeq::FIRST,
            progress,
            attachment: None,
            worker,
            has_begun: false,
            is_begun: false,
            is_caught_up: false,
            is_settled: false,
            is_over: false,
        };
        self.0.gateway.tasks().spawn(TaskKind::BackendSession, driver.run());
    }
}

impl Driver {
    async fn run(mut self) {
        let gateway = self.sessions.0.gateway.clone();
        let stopping = gateway.tasks().stopping().clone();
        let ending = self.sessions.0.ending.clone();
        loop {
            if let Err(error) = self.take_in().await {
                tracing::error!(%error, "a gateway session's records cannot be read");
                self.session.with(|inner| inner.machine.handle_ended(Some(error.to_string())));
            }
            self.look_at_worker();
            self.session.with(|inner| inner.machine.handle_timeout(gateway.now()));
            self.perform().await;
            if self.is_over && !matches!(self.session.lock().machine.state(), State::Faulted(_)) {
                break;
            }
            let due = self.session.lock().machine.poll_timeout();
            tokio::select! {
                () = self.interest.changed(), if !self.is_over => {}
                () = changed(&mut self.progress) => {}
                () = changed_attachment(&mut self.attachment) => {}
                () = gone(&mut self.worker), if !self.is_over => self.handle_worker_gone().await,
                () = self.session.changed.notified() => {}
                () = ending.cancelled(), if !self.is_over && !self.is_closing() => {
                    self.session.with(|inner| inner.machine.handle_close(CloseReason::GatewayShutdown));
                }
                () = gateway.clock().sleep_until(due) => {}
                () = stopping.cancelled() => return,
            }
        }
        self.sessions.remove(self.session.about.job).await;
    }

    /// Whether somebody has asked for the session's end, or it has come.
    fn is_closing(&self) -> bool {
        match self.session.lock().machine.state() {
            State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching => false,
            State::Closing(_) | State::Closed(_) | State::Faulted(_) => true,
        }
    }

    /// Its worker is gone. A job that has begun ends for it, with a better reason; one that has not would wait for ever.
    async fn handle_worker_gone(&mut self) {
        let has_it = self.progress.as_ref().is_some_and(|progress| progress.borrow().attached.is_some());
        if self.has_begun || has_it {
            return;
        }
        if self.session.about.adopted {
            let session = GatewaySessionId::of(self.session.about.job);
            tracing::warn!(%session, "the gateway ended while the session was being opened; it is closed");
            // Whoever asked for it was not told of it, so nobody would close one that has faulted.
            self.session.with(|inner| inner.machine.handle_close(CloseReason::OpenFailed));
        } else {
            let message = "its worker could not be started; the gateway's log says why".to_owned();
            self.session.with(|inner| inner.machine.handle_ended(Some(message)));
            self.end_job(CloseReason::OpenFailed.as_str()).await;
        }
    }

    /// Takes in what was committed.
    async fn take_in(&mut self) -> Result<(), ViewError> {
        if !self.is_begun {
            self.begin().await?;
            self.is_begun = true;
        }
        while !self.is_over {
            let stream = StreamId::Job(self.session.about.job);
            let page = self.sessions.0.gateway.store().read_stream(stream, self.next, PAGE).await?;
            let Some(last) = page.last() else {
                self.is_caught_up = true;
                return Ok(());
            };
            self.next = last.seq.next();
            for record in &page {
                if cfg!(debug_assertions) && EventText::of(record.get()).is_some_and(|event| event.kind == ANSWER_KIND)
                {
                    hold::reached(Point::Answered).await;
                }
                self.take_in_record(record)?;
            }
        }
        Ok(())
    }

    /// Takes in what stands in the place of what has left the journal.
    async fn begin(&mut self) -> Result<(), ViewError> {
        let (job, store) = (self.session.about.job, self.sessions.0.gateway.store().as_ref());
        let Some(prologue) = Prologue::load(store, job).await? else { return Ok(()) };
        let retention = self.sessions.0.options.retention;
        let carried = prologue.carried.to::<Carried>().unwrap_or_else(|error| {
            tracing::error!(%error, "the names of a session's items cannot be read");
            Carried::default()
        });
        self.session.with(|inner| {
            inner.window = ReplayWindow::after(retention, prologue.through(), prologue.last_event());
            inner.highest = prologue.reported();
            inner.is_open = prologue.last_event() > WorkerSeq::ZERO;
            inner.journal_from = prologue.through().next();
            carried.restore(inner);
        });
        self.next = prologue.through().next();
        for record in prologue.records(job) {
            self.take_in_fact(&Fact::decode(&record)?);
        }
        Ok(())
    }

    /// A record that is no event to be replayed is noted before it is taken in; one that is, as it is.
    fn take_in_record(&mut self, record: &CommittedRecord) -> Result<(), ViewError> {
        let fact = Fact::decode(record.get())?;
        let said = if let Fact::Event(event) = &fact { event.worker_seq.map(|seq| (event, seq)) } else { None };
        if let Some((event, seq)) = said.filter(|(event, _)| event.kind.as_str() == EVENT_KIND) {
            self.take_in_event(record, seq, &event.body);
            return Ok(());
        }
        self.session.with(|inner| inner.note_record(record));
        match said {
            Some((event, seq)) if event.kind.as_str() == ANSWER_KIND => match event.body.to::<Answer>() {
                Ok(answer) => self.session.with(|inner| take_in_answer(inner, seq, &answer)),
                Err(error) => tracing::error!(%error, %seq, "an answer of a back end cannot be read"),
            },
            Some(_) => {}
            None => self.take_in_fact(&fact),
        }
        Ok(())
    }

    /// What else a job's records say does not concern its session.
    fn take_in_fact(&mut self, fact: &Fact) {
        if let Fact::Started(started) = fact {
            self.has_begun = true;
            self.session.with(|inner| inner.worker = Some(started.worker));
        } else if let Fact::CancelRequested(request) = fact {
            let reason = request.reason.as_deref();
            let known = CloseReason::ALL.into_iter().find(|known| reason == Some(known.as_str()));
            self.session.with(|inner| match reason == Some(FaultKind::EventQueueOverflow.as_str()) {
                true => inner.machine.handle_overflow_fault(),
                // Whoever has cancelled the job has closed the session.
                false => drop(inner.machine.handle_close(known.unwrap_or(CloseReason::ClientClose))),
            });
        } else if let Fact::Result(_) = fact {
            self.end(None);
        } else if let Fact::Error(failure) = fact {
            let was_wanted = failure.cause == Cause::Cancelled;
            self.end(if was_wanted { None } else { Some(failure.message.clone()) });
        }
    }

    fn end(&mut self, fault: Option<String>) {
        self.is_over = true;
        self.session.with(|inner| inner.machine.handle_ended(fault));
        // A worker of the last run retires anyway, and one that is gone need not.
        let worker = self.session.lock().worker.filter(|_| matches!(self.worker, Worker::Hired(_)));
        if let Some(worker) = worker {
            self.sessions.0.gateway.pool().retire(worker);
        }
    }

    fn take_in_event(&mut self, record: &CommittedRecord, seq: WorkerSeq, body: &Json) {
        let now = self.sessions.0.gateway.now();
        let family = family_of(body);
        if self.is_caught_up {
            self.sessions.metrics().event(family);
        }
        let ended = completions::FAMILIES.contains(&family).then(|| completions::completion(seq, body)).flatten();
        let is_much = self.session.with(|inner| {
            inner.highest = inner.highest.max(seq);
            if let Some((command, completion)) = ended {
                take_in_completion(inner, &command, &completion);
            }
            if !inner.is_open && is_opening(body) {
                inner.is_open = true;
                inner.machine.handle_opened();
                inner.note_record(record);
                return false;
            }
            inner.note_event(now, seq, record);
            inner.machine.handle_events(now, 1);
            inner.is_much_beyond(now)
        });
        if is_much {
            self.sessions.0.much.notify_one();
        }
    }

    /// Looks whether the worker is attached, and where.
    fn look_at_worker(&mut self) {
        let Some(attached) = self.progress.as_ref().and_then(|progress| progress.borrow().attached) else { return };
        let (worker, fence) = attached;
        if self.attachment.as_ref().is_none_or(|(watched, _)| *watched != worker) {
            self.attachment = Some((worker, self.sessions.0.gateway.pool().watch_worker(worker)));
        }
        let is_there = self.attachment.as_mut().is_some_and(|(_, attached)| *attached.borrow_and_update());
        self.session.with(|inner| match is_there {
            true => inner.machine.handle_attached(fence, inner.is_open),
            false => inner.machine.handle_away(),
        });
    }

    async fn perform(&mut self) {
        loop {
            let effect = self.session.lock().machine.poll_effect();
            match effect {
                None => break,
                Some(Effect::Send { command, fence }) => {
                    hold::reached(Point::Sending).await;
                    self.send(command, fence);
                }
                Some(Effect::Answer { command, answer }) => self.answer(command, answer),
                Some(Effect::Disconnect { subscriber, reason }) => {
                    let stream = self.session.lock().streams.remove(&subscriber);
                    if let Some(stream) = stream {
                        stream.send_replace(Some(reason));
                    }
                }
                Some(Effect::Close(reason)) => self.end_job(reason.as_str()).await,
                Some(Effect::Kill) => {
                    let (worker, reason) = self.session.with(|inner| match inner.machine.state() {
                        State::Faulted(fault) => (inner.worker, fault.kind.as_str()),
                        State::StartingWorker
                        | State::Handshaking
                        | State::Ready
                        | State::Reattaching
                        | State::Closing(_)
                        | State::Closed(_) => (inner.worker, CloseReason::Killed.as_str()),
                    });
                    self.end_job(reason).await;
                    hold::reached(Point::Killing).await;
                    if let Some(worker) = worker {
                        self.sessions.0.workers.kill(worker);
                    }
                }
            }
        }
        let state = self.session.lock().machine.state().clone();
        let is_other = self.session.state.send_if_modified(|shown| std::mem::replace(shown, state.clone()) != state);
        if is_other {
            self.count(&state);
        }
    }

    /// Counts what has become of the session.
    fn count(&mut self, state: &State) {
        let metrics = self.sessions.metrics();
        if let State::Faulted(fault) = state {
            metrics.fault(fault.kind.as_str());
        }
        let is_settled = !matches!(state, State::StartingWorker | State::Handshaking | State::Reattaching);
        if is_settled && !std::mem::replace(&mut self.is_settled, true) && self.session.about.adopted {
            metrics.adoption(if *state == State::Ready { "adopted" } else { "lost" });
        }
    }

    async fn end_job(&self, reason: &str) {
        let by = self.session.lock().closed_by.clone();
        self.sessions.0.gateway.end_job(self.session.about.job, by, reason).await;
    }

    fn send(&self, command: CommandNumber, fence: moorline_types::Fence) {
        let invocation = self.session.lock().waiting.get(&command).map(|waiting| Json::of(&waiting.invocation));
        match invocation {
            Some(Ok(json)) => {
                self.sessions.0.gateway.pool().command(fence, self.session.about.job, Command::new(json));
            }
            Some(Err(error)) => tracing::error!(%error, "a command cannot be written"),
            None => {}
        }
    }

    fn answer(&self, command: CommandNumber, answer: Unanswered) {
        let waiting = self.session.lock().waiting.remove(&command);
        let error = match answer {
            Unanswered::TimedOut { after } => SessionError::CommandTimeout { after },
            Unanswered::SessionOver { state } => SessionError::SessionOver { state },
        };
        if let Some(waiting) = waiting {
            // Whoever asked may have gone.
            waiting.reply.send(Err(error)).unwrap_or_default();
        }
    }
}

/// An answer is for everybody who asked under its name.
fn take_in_answer(inner: &mut Inner, seq: WorkerSeq, answer: &Answer) {
    inner.highest = inner.highest.max(seq);
    note_items(inner, &answer.result);
    forget_items(inner, answer);
    let asked: Vec<_> = inner
        .waiting
        .iter()
        .filter(|(_, waiting)| waiting.invocation.id == answer.id)
        .map(|(command, _)| *command)
        .collect();
    for command in asked {
        match inner.waiting.get_mut(&command).and_then(|waiting| waiting.awaited.as_mut()) {
            Some(awaited) => {
                awaited.answered(answer, seq);
                reply_if_complete(inner, command);
            }
            None => reply(inner, command, Replied { answer: answer.clone(), worker_seq: seq, completions: Vec::new() }),
        }
    }
}

/// Something has ended that a command began.
fn take_in_completion(inner: &mut Inner, command: &str, completion: &Completion) {
    inner.completions.note(command, completion.clone());
    let mut told = Vec::new();
    for (number, waiting) in inner.waiting.iter_mut().filter(|(_, waiting)| *waiting.invocation.id == *command) {
        if let Some(awaited) = &mut waiting.awaited {
            awaited.completed(completion.clone());
            told.push(*number);
        }
    }
    told.into_iter().for_each(|number| reply_if_complete(inner, number));
}

fn reply_if_complete(inner: &mut Inner, command: CommandNumber) {
    let waiting = inner.waiting.get_mut(&command);
    let complete = waiting.and_then(|Waiting { awaited, invocation, .. }| awaited.as_mut()?.take(&invocation.command));
    if let Some((answer, worker_seq, completions)) = complete {
        reply(inner, command, Replied { answer, worker_seq, completions });
    }
}

fn reply(inner: &mut Inner, command: CommandNumber, replied: Replied) {
    inner.machine.handle_answer(command);
    if let Some(waiting) = inner.waiting.remove(&command) {
        // Whoever asked may have gone.
        waiting.reply.send(Ok(replied)).unwrap_or_default();
    }
}

fn note_items(inner: &mut Inner, result: &CommandResult) {
    match &result.done {
        Done::Item { server, item, name } => {
            inner.items.insert((*server, *item), name.as_str().into());
        }
        Done::Results(results) => results.iter().for_each(|result| note_items(inner, result)),
        Done::Nothing
        | Done::Server(_)
        | Done::Advised(_)
        | Done::User(_)
        | Done::Interval(_)
        | Done::Readings(_)
        | Done::Session(_)
        | Done::Worker(_) => {}
    }
}

/// Forgets what items are called that the answered command has removed, if it was asked here. Their handles are not used
/// again, so one that stays known after a restart harms nobody.
fn forget_items(inner: &mut Inner, answer: &Answer) {
    let asked = inner.waiting.values().find(|waiting| waiting.invocation.id == answer.id);
    let Some(asked) = asked else { return };
    let removed = match (&asked.invocation.command, &answer.result.done) {
        (Invoked::Bulk { commands }, Done::Results(results)) => {
            commands.iter().zip(results).filter_map(|(command, result)| removal(command, result)).collect()
        }
        (command, _) => Vec::from_iter(removal(command, &answer.result)),
    };
    for (server, item) in removed {
        match item {
            Some(item) => drop(inner.items.remove(&(server, item))),
            None => inner.items.retain(|(of, _), _| *of != server),
        }
    }
}

/// Which item, or which client session with all its items, a command has removed.
fn removal(command: &Invoked, result: &CommandResult) -> Option<(ServerHandle, Option<ItemHandle>)> {
    let removed = if let Invoked::RemoveItem(at) = command {
        (at.server, Some(at.item))
    } else if let Invoked::Unregister { server } = command {
        (*server, None)
    } else {
        return None;
    };
    result.success.then_some(removed)
}

/// What kind of event it is, without reading what it says.
fn family_of(body: &Json) -> &'static str {
    #[derive(serde::Deserialize)]
    struct Said {
        said: Json,
    }
    let said = body.to::<Said>().map(|told| told.said);
    let word = said.as_ref().ok().and_then(|said| said.get().split('"').nth(1));
    EventBody::FAMILIES.into_iter().find(|family| word == Some(*family)).unwrap_or("other")
}

fn is_opening(body: &Json) -> bool {
    body.to::<moorline_backend::contract::Event>().is_ok_and(|event| event.said == EventBody::Opened)
}

async fn changed(progress: &mut Option<watch::Receiver<Progress>>) {
    let is_over = match progress {
        Some(progress) => progress.changed().await.is_err(),
        None => std::future::pending().await,
    };
    if is_over {
        *progress = None;
    }
}

async fn changed_attachment(attachment: &mut Option<(WorkerId, watch::Receiver<bool>)>) {
    match attachment {
        Some((_, attached)) => {
            if attached.changed().await.is_err() {
                // The worker is gone; what that means for the job is in its records.
                std::future::pending().await
            }
        }
        None => std::future::pending().await,
    }
}

async fn gone(worker: &mut Worker) {
    match worker {
        Worker::Hired(ended) => drop(ended.await),
        Worker::Adopted(Some(attached)) => while attached.changed().await.is_ok() {},
        Worker::Adopted(None) => {}
        Worker::Gone => std::future::pending().await,
    }
    *worker = Worker::Gone;
}
