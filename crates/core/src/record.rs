//! What records say: the durable vocabulary of the journal, and its encoding.
//!
//! A record's body is JSON, one object per record, so that a journal can be read with the tools at hand and a later
//! version can add fields. Fields are added, never renamed or given another meaning. An event's body and a result are
//! carried as the text that the worker sent. The wire is another encoding, made from these at the edge; an event, of
//! which there are many, is written so that its text can be copied there ([`EventBytes`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use moorline_types::{
    AgentPattern, CredentialId, EventKind, Fence, JobId, Json, Principal, PrincipalId, Quotas, Record, RecordKind,
    ResolvedAgent, SessionId, StreamSeq, Tag, Timestamp, TraceId, Units, WorkerId, WorkerSeq,
};
use serde::{Deserialize, Serialize};

use crate::credential::Provisioned;
use crate::lease::budget::Budget;
use crate::trace::JobSpan;

mod delegation;
mod event_text;
mod session;

pub use delegation::{ChildEnded, Delegated, DelegationHeld, DelegationRefused, Parent};
pub use event_text::{EventBytes, EventText};
pub use session::{Attached, Closed, Detached, History, Notice, Opened, Overflow, Subscribed};

/// A record's body is not what its kind promises: the journal was damaged, or written by something else.
#[derive(Debug, thiserror::Error)]
#[error("record {seq} of {stream} ({kind:?}) does not decode")]
pub struct Corrupt {
    /// Whose record it is.
    pub stream: moorline_types::StreamId,
    /// Its position in the stream.
    pub seq: StreamSeq,
    /// What it was to be.
    pub kind: RecordKind,
    /// Why it is not.
    #[source]
    pub source: serde_json::Error,
}

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A job was accepted.
    Accepted(Accepted),
    /// A worker took a job up.
    Started(Started),
    /// An agent reported an event.
    Event(Event),
    /// A job's end was asked for.
    CancelRequested(CancelRequested),
    /// A job ended with success.
    Result(Success),
    /// A job ended otherwise.
    Error(Failure),
    /// A part of a job's budget was set aside for a child.
    Reserved(Reserved),
    /// What was set aside for a child was settled: it has ended.
    Settled(Settled),
    /// A credential of a job was replaced.
    CredentialRotated(CredentialRotated),
    /// A job is to delegate once an upstream has answered.
    DelegationHeld(DelegationHeld),
    /// A job has delegated.
    Delegated(Delegated),
    /// A job was not allowed or not able to delegate.
    DelegationRefused(DelegationRefused),
    /// A child of a job has ended.
    ChildEnded(ChildEnded),
    /// A session was opened.
    Opened(Opened),
    /// A session sees a job from here on.
    Attached(Attached),
    /// A session sees a stretch of a job's history here.
    History(History),
    /// A session stops seeing a job.
    Detached(Detached),
    /// A session was closed by its client.
    Closed(Closed),
    /// A session is to see a job's history.
    Subscribed(Subscribed),
    /// The gateway tells one session something about a job.
    Notice(Notice),
}

/// The job as its submitter asked for it and the gateway resolved it (spec 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The session that submitted it.
    pub session: SessionId,
    /// The principal that owns it.
    pub principal: PrincipalId,
    /// What it is marked with: who has one of these tags may watch it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub tags: BTreeSet<Tag>,
    /// The agent's name.
    pub agent: String,
    /// The agent's version, fixed from here on (spec 7.5).
    pub version: String,
    /// What the agent is given.
    pub input: Json,
    /// What the job may do: namespace to patterns (spec 9.1), as a JSON object.
    pub lease: Json,
    /// After how many seconds of running the job is ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_runtime_sec: Option<u64>,
    /// When the job's lease ends, and the job with it (spec 9.5).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<Timestamp>,
    /// The trace that the job belongs to. Absent in records of earlier versions if the submitter named none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<TraceId>,
    /// The credentials that were issued for it, without their values (spec 9.8).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub credentials: Vec<Provisioned>,
    /// The job's span in it. Absent in records of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub span: Option<Box<JobSpan>>,
    /// The job that delegated it; absent if a client submitted it by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<Parent>,
    /// What its submitter may use and have at most, for the jobs that it delegates.
    /// Absent if it is bounded by the configuration only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bounds: Option<Box<SubmitterBounds>>,
}

/// What the submitter of a job may use and have, as far as it is needed for children of the job. What is absent is not
/// bounded beyond the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubmitterBounds {
    /// Which agents; any if there is no pattern.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub agents: Vec<AgentPattern>,
    /// How much it may have.
    #[serde(skip_serializing_if = "Quotas::is_default", default)]
    pub quotas: Quotas,
}

impl Accepted {
    /// What is accepted of whoever asks for nothing but that this agent takes this up: without limits of time, a trace,
    /// credentials or a parent, and without bounds of the submitter's.
    pub fn new(session: SessionId, principal: PrincipalId, agent: &ResolvedAgent, input: Json, lease: Json) -> Self {
        Self {
            session,
            principal,
            tags: BTreeSet::new(),
            agent: agent.name.to_string(),
            version: agent.version.to_string(),
            input,
            lease,
            max_runtime_sec: None,
            expires_at: None,
            trace_id: None,
            span: None,
            credentials: Vec::new(),
            parent: None,
            bounds: None,
        }
    }
}

impl SubmitterBounds {
    /// What is bounded for jobs of this principal; `None` if nothing is.
    pub fn of(principal: &Principal) -> Option<Box<Self>> {
        let grants = &principal.grants;
        let bounds = Self { agents: grants.constraints.agents.clone(), quotas: grants.quotas };
        (bounds != Self::default()).then(|| Box::new(bounds))
    }
}

/// Which worker took the job up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The worker.
    pub worker: WorkerId,
    /// Its attachment.
    pub fence: Fence,
}

/// One event (spec 8.2).
///
/// What the journal alone has comes first, and the rest is written as the wire has it: [`EventBytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What the worker numbered it; absent for events that the gateway itself adds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worker_seq: Option<WorkerSeq>,
    /// What it is about.
    pub kind: EventKind,
    /// When the agent reported it.
    #[serde(with = "event_text::ts")]
    pub ts: Timestamp,
    /// The kind's own fields, as the worker sent them.
    pub body: Json,
}

/// Who asked for the end, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequested {
    /// The principal that asked; absent if the gateway itself did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<PrincipalId>,
    /// Why, in the asker's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// A part of a job's budget is set aside for a child (spec 9.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The child.
    pub child: JobId,
    /// What it is given: currency to amount.
    pub budget: Budget,
}

/// A child has ended: what it has spent is spent, and the rest of what it was given is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The child.
    pub child: JobId,
    /// What it has spent: currency to amount.
    pub spent: BTreeMap<Box<str>, Units>,
}

/// A credential has another value from here on (spec 9.8.2). The value is not in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRotated {
    /// The credential, whose name stays.
    pub credential: CredentialId,
    /// Under which name the upstream has it now.
    pub issue: CredentialId,
    /// Until when it is good at the upstream.
    pub good_until: Timestamp,
}

/// How a job ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// What the worker numbered the report.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worker_seq: Option<WorkerSeq>,
    /// The result.
    pub output: Output,
    /// One line for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub summary: Option<String>,
}

/// Where the result is. Exactly one of the two (spec 8.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Here.
    Inline(Json),
    /// In the `result_chunk` events with this id.
    Streamed {
        /// Names the chunks that belong together.
        result_id: String,
        /// Bytes of the assembled result.
        result_size: u64,
    },
}

/// How a job ended otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the worker numbered the report; absent if the gateway ended the job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub worker_seq: Option<WorkerSeq>,
    /// Why.
    pub cause: Cause,
    /// The same for people.
    pub message: String,
    /// Whether the same submission may succeed later.
    pub retryable: bool,
    /// What a program may want to know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<Json>,
}

/// Why a job ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody with the right to asked for it.
    Cancelled,
    /// It ran for longer than `max_runtime_sec`.
    TimedOut,
    /// The agent refused its input.
    InvalidRequest,
    /// The agent was not allowed something that it needs.
    PermissionDenied,
    /// The agent gave up because its lease ran out.
    LeaseExpired,
    /// The agent gave up because its budget was spent.
    BudgetExhausted,
    /// A delegation asked for more than the job has.
    LeaseSubset,
    /// There is no agent of the name that a delegation asked for.
    AgentNotAvailable,
    /// The agent that a delegation asked for has no such version.
    AgentVersionNotAvailable,
    /// No worker took the job up in time.
    NotDispatched,
    /// The worker that ran it is gone.
    WorkerLost,
    /// The agent failed.
    Agent,
    /// The gateway itself failed.
    Gateway,
}

impl Fact {
    /// The kind that a record of this fact has.
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Accepted(_) => RecordKind::JobAccepted,
            Self::Started(_) => RecordKind::JobStarted,
            Self::Event(_) => RecordKind::JobEvent,
            Self::CancelRequested(_) => RecordKind::JobCancelRequested,
            Self::Result(_) => RecordKind::JobResult,
            Self::Error(_) => RecordKind::JobError,
            Self::Reserved(_) => RecordKind::JobReserved,
            Self::Settled(_) => RecordKind::JobSettled,
            Self::CredentialRotated(_) => RecordKind::JobCredentialRotated,
            Self::DelegationHeld(_) => RecordKind::JobDelegationHeld,
            Self::Delegated(_) => RecordKind::JobDelegated,
            Self::DelegationRefused(_) => RecordKind::JobDelegationRefused,
            Self::ChildEnded(_) => RecordKind::JobChildEnded,
            Self::Opened(_) => RecordKind::SessionOpened,
            Self::Attached(_) => RecordKind::SessionAttached,
            Self::History(_) => RecordKind::SessionHistory,
            Self::Detached(_) => RecordKind::SessionDetached,
            Self::Closed(_) => RecordKind::SessionClosed,
            Self::Subscribed(_) => RecordKind::SessionSubscribed,
            Self::Notice(_) => RecordKind::SessionNotice,
        }
    }

    /// The job that a session's record is about, if it is about one.
    pub const fn job(&self) -> Option<JobId> {
        match self {
            Self::Attached(attached) => Some(attached.job),
            Self::History(history) => Some(history.job),
            Self::Detached(detached) => Some(detached.job),
            Self::Subscribed(subscribed) => Some(subscribed.job),
            Self::Notice(notice) => Some(notice.job),
            Self::Accepted(_)
            | Self::Started(_)
            | Self::Event(_)
            | Self::CancelRequested(_)
            | Self::Result(_)
            | Self::Error(_)
            | Self::Reserved(_)
            | Self::Settled(_)
            | Self::CredentialRotated(_)
            | Self::DelegationHeld(_)
            | Self::Delegated(_)
            | Self::DelegationRefused(_)
            | Self::ChildEnded(_)
            | Self::Opened(_)
            | Self::Closed(_) => None,
        }
    }

    /// The number of the worker's report that the fact came from, if one did.
    pub const fn worker_seq(&self) -> Option<WorkerSeq> {
        match self {
            Self::Event(event) => event.worker_seq,
            Self::Result(success) => success.worker_seq,
            Self::Error(failure) => failure.worker_seq,
            Self::DelegationHeld(held) => Some(held.worker_seq),
            Self::Delegated(delegated) => delegated.worker_seq,
            Self::DelegationRefused(refused) => refused.failure.worker_seq,
            Self::Accepted(_)
            | Self::Started(_)
            | Self::CancelRequested(_)
            | Self::Reserved(_)
            | Self::Settled(_)
            | Self::CredentialRotated(_)
            | Self::ChildEnded(_)
            | Self::Opened(_)
            | Self::Attached(_)
            | Self::History(_)
            | Self::Detached(_)
            | Self::Closed(_)
            | Self::Subscribed(_)
            | Self::Notice(_) => None,
        }
    }

    /// The record's body.
    pub fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        self.encode_into(&mut body);
        Bytes::from(body)
    }

    /// Appends the record's body.
    pub fn encode_into(&self, into: &mut Vec<u8>) {
        let encoded = match self {
            Self::Accepted(fact) => serde_json::to_writer(into, fact),
            Self::Started(fact) => serde_json::to_writer(into, fact),
            Self::Event(fact) => {
                fact.write(into);
                Ok(())
            }
            Self::CancelRequested(fact) => serde_json::to_writer(into, fact),
            Self::Result(fact) => serde_json::to_writer(into, fact),
            Self::Error(fact) => serde_json::to_writer(into, fact),
            Self::Reserved(fact) => serde_json::to_writer(into, fact),
            Self::Settled(fact) => serde_json::to_writer(into, fact),
            Self::CredentialRotated(fact) => serde_json::to_writer(into, fact),
            Self::DelegationHeld(fact) => serde_json::to_writer(into, fact),
            Self::Delegated(fact) => serde_json::to_writer(into, fact),
            Self::DelegationRefused(fact) => serde_json::to_writer(into, fact),
            Self::ChildEnded(fact) => serde_json::to_writer(into, fact),
            Self::Opened(fact) => serde_json::to_writer(into, fact),
            Self::Attached(fact) => serde_json::to_writer(into, fact),
            Self::History(fact) => serde_json::to_writer(into, fact),
            Self::Detached(fact) => serde_json::to_writer(into, fact),
            Self::Closed(fact) => serde_json::to_writer(into, fact),
            Self::Subscribed(fact) => serde_json::to_writer(into, fact),
            Self::Notice(fact) => serde_json::to_writer(into, fact),
        };
        // Serialising to memory fails only for maps with keys that are no strings; no fact has such a map.
        encoded.unwrap_or_default();
    }

    /// The size of the JSON that the fact carries along as it is, for whoever makes room for its encoding.
    pub fn carried_bytes(&self) -> usize {
        match self {
            Self::Accepted(accepted) => accepted.input.get().len() + accepted.lease.get().len(),
            Self::Event(event) => event.body.get().len(),
            Self::Result(Success { output: Output::Inline(json), .. }) => json.get().len(),
            Self::DelegationHeld(held) => held.accepted.input.get().len() + held.accepted.lease.get().len(),
            Self::Delegated(delegated) => delegated.input.get().len() + delegated.lease.get().len(),
            Self::Result(_)
            | Self::Started(_)
            | Self::CancelRequested(_)
            | Self::Error(_)
            | Self::Reserved(_)
            | Self::Settled(_)
            | Self::CredentialRotated(_)
            | Self::DelegationRefused(_)
            | Self::ChildEnded(_)
            | Self::Opened(_)
            | Self::Attached(_)
            | Self::History(_)
            | Self::Detached(_)
            | Self::Closed(_)
            | Self::Subscribed(_)
            | Self::Notice(_) => 0,
        }
    }

    /// What `record` says.
    pub fn decode(record: &Record) -> Result<Self, Corrupt> {
        fn read<'a, T: Deserialize<'a>>(record: &'a Record) -> Result<T, Corrupt> {
            let Record { stream, seq, kind, .. } = *record;
            serde_json::from_slice(&record.body).map_err(|source| Corrupt { stream, seq, kind, source })
        }
        Ok(match record.kind {
            RecordKind::JobAccepted => Self::Accepted(read(record)?),
            RecordKind::JobStarted => Self::Started(read(record)?),
            RecordKind::JobEvent => Self::Event(read(record)?),
            RecordKind::JobCancelRequested => Self::CancelRequested(read(record)?),
            RecordKind::JobResult => Self::Result(read(record)?),
            RecordKind::JobError => Self::Error(read(record)?),
            RecordKind::JobReserved => Self::Reserved(read(record)?),
            RecordKind::JobSettled => Self::Settled(read(record)?),
            RecordKind::JobCredentialRotated => Self::CredentialRotated(read(record)?),
            RecordKind::JobDelegationHeld => Self::DelegationHeld(read(record)?),
            RecordKind::JobDelegated => Self::Delegated(read(record)?),
            RecordKind::JobDelegationRefused => Self::DelegationRefused(read(record)?),
            RecordKind::JobChildEnded => Self::ChildEnded(read(record)?),
            RecordKind::SessionOpened => Self::Opened(read(record)?),
            RecordKind::SessionAttached => Self::Attached(read(record)?),
            RecordKind::SessionHistory => Self::History(read(record)?),
            RecordKind::SessionDetached => Self::Detached(read(record)?),
            RecordKind::SessionClosed => Self::Closed(read(record)?),
            RecordKind::SessionSubscribed => Self::Subscribed(read(record)?),
            RecordKind::SessionNotice => Self::Notice(read(record)?),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
