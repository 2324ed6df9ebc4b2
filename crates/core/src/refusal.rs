//! Refusals: answers to a client that asked for something it cannot have.
//!
//! A refusal is a domain answer, not a failure. Which wire code it has is decided at the edge; its text helps the
//! person who reads it, and its fields carry what a program needs.

use moorline_types::{AgentName, AgentVersion, CredentialId, Epoch, EventSeq, JobId, KeyId, Scope, Timestamp};

use crate::access::{Action, ConstraintBroken};
use crate::delegation::DelegationError;
use crate::job::Status;
use crate::lease::TermsError;
use crate::quota::QuotaReached;

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first message was something else than a hello.
    #[error("the first message of a connection must be session.hello")]
    HelloExpected,
    /// A hello on a connection that has a session.
    #[error("this connection has a session already; open another connection for another session")]
    SecondHello,
    /// No hello arrived in time.
    #[error("no session.hello within {seconds} seconds; send it as the first message")]
    HelloTooLate {
        /// How long the gateway waited.
        seconds: u64,
    },
    /// The message names another session than the connection's.
    #[error("the message names another session than this connection's")]
    ForeignSession,
    /// The message needs a feature that both sides have not agreed on (spec 6.2).
    #[error(
        "feature {feature:?} was not negotiated: session.welcome lists what this runtime serves, and session.hello must list it too"
    )]
    FeatureNotNegotiated {
        /// The feature's name.
        feature: &'static str,
    },
    /// A part of the protocol that this runtime does not serve.
    #[error("{what} is not served by this runtime")]
    NotServed {
        /// What was asked for.
        what: &'static str,
    },
    /// The token is missing, unknown or disabled.
    #[error("the bearer token is not known here; check session.hello auth.token")]
    Unauthenticated,
    /// The token was good until a moment that is past, perhaps while the connection lasted.
    #[error("the credential was good until {at}; authenticate with another")]
    CredentialExpired {
        /// Until when.
        at: Timestamp,
    },
    /// The key was withdrawn.
    #[error("the API key {key} was revoked; ask an administrator for another")]
    KeyRevoked {
        /// The key.
        key: KeyId,
    },
    /// An administrator names a key that there is not.
    #[error("there is no API key {key}; `moorline keys list` shows those that there are")]
    KeyUnknown {
        /// The key.
        key: KeyId,
    },
    /// An administrator would change a key that is over.
    #[error("the API key {key} is over; make another")]
    KeyOver {
        /// The key.
        key: KeyId,
    },
    /// A key cannot be as it was asked for.
    #[error("no such key can be made: {reason}")]
    KeyRefused {
        /// Why not.
        reason: String,
    },
    /// There are as many keys as there may be.
    #[error("there are {limit} API keys, which is the limit")]
    TooManyKeys {
        /// The limit.
        limit: usize,
    },
    /// Nobody would be left who can make a key.
    #[error("this is the only key that can administer; make another first")]
    LastAdministrator,
    /// A session was to be resumed by its token alone.
    #[error("authenticate first: send session.hello with the resume in it, or session.resume after the welcome")]
    ResumeWithoutHello,
    /// The token names no session that this principal can resume.
    #[error("the token resumes no session: it is unknown, was used, or its window is over; open a new session")]
    ResumeUnknown,
    /// The journal is not the one in which the client's numbers were given.
    #[error(
        "the journal was replaced since: epoch {asked} is not that of this journal, {epoch}, and the numbers are not the same; open a new session and subscribe to its jobs"
    )]
    ResumeReplaced {
        /// The epoch of the client's numbers.
        asked: Epoch,
        /// The journal's epoch.
        epoch: Epoch,
    },
    /// What followed the client's last number is not retained.
    #[error(
        "event_seq {asked} is too old: numbers up to {through} are gone; open a new session and subscribe to its jobs"
    )]
    ResumeTrimmed {
        /// What the client says that it has seen.
        asked: EventSeq,
        /// The last number that is not retained.
        through: EventSeq,
    },
    /// The client acknowledges what it was not sent.
    #[error("event_seq {asked} was not sent in this session; its last is {last}")]
    AckAhead {
        /// What the client says that it has processed.
        asked: EventSeq,
        /// The last that was sent.
        last: EventSeq,
    },
    /// The client has seen more than the session was ever shown.
    #[error("the session has not come as far as event_seq {asked}; its last is {last}")]
    ResumeAhead {
        /// What the client says that it has seen.
        asked: EventSeq,
        /// The last that there was.
        last: EventSeq,
    },
    /// Another connection is resuming the session at this moment.
    #[error("the session is being resumed by another connection; try again in a moment")]
    ResumeBusy,
    /// The principal has as much of something as it may.
    #[error(transparent)]
    QuotaReached(#[from] QuotaReached),
    /// The session watches as many jobs as it may.
    #[error("this session watches {limit} jobs, which is its limit; unsubscribe from one first")]
    TooManyWatched {
        /// The limit.
        limit: usize,
    },
    /// More of a job waits for the session than its subscription allows.
    #[error(
        "more than {limit} events of {job} wait for this session, whose subscription asks to be disconnected then; resume the session to read them"
    )]
    Overrun {
        /// The job.
        job: JobId,
        /// How many may wait.
        limit: usize,
    },
    /// Too many sessions are being resumed.
    #[error("many sessions are being resumed at this moment; come back a little later")]
    Crowded,
    /// The gateway takes no new work.
    #[error("the gateway is shutting down; submit again when it is back")]
    Draining,
    /// No agent has this name.
    #[error("no agent is called {name:?}; session.welcome lists the agents of this runtime")]
    AgentNotAvailable {
        /// The name asked for.
        name: AgentName,
    },
    /// The agent exists, the version does not.
    #[error("agent {name:?} has no version {version:?}; available: {}", list(.available))]
    AgentVersionNotAvailable {
        /// The agent.
        name: AgentName,
        /// The version asked for.
        version: AgentVersion,
        /// The versions that exist.
        available: Vec<AgentVersion>,
    },
    /// The lease would have ended already.
    #[error("lease_constraints.expires_at is {expires_at}, which is past; name a moment that is to come")]
    LeasePast {
        /// The moment that was named.
        expires_at: Timestamp,
    },
    /// A submission below a job asks for what that job cannot give (spec 9.4).
    #[error("not submitted below its parent: {error}")]
    NotDelegated {
        /// Why not. "This job" in it is the parent.
        error: Box<DelegationError>,
    },
    /// The lease that was asked for is none.
    #[error("lease_request cannot be read: {source}")]
    LeaseUnreadable {
        /// What is wrong with it.
        source: TermsError,
    },
    /// The principal may know of it and may not do it.
    #[error("{} needs the scope {needs}, which this identity does not have; an administrator can grant it", .action.as_str())]
    ScopeMissing {
        /// What was asked for.
        action: Action,
        /// The least scope that would be enough.
        needs: Scope,
    },
    /// The submission asks for more than its principal may.
    #[error("{broken}")]
    NotWithinConstraints {
        /// What it does not keep to.
        broken: ConstraintBroken,
    },
    /// The session watches a job that whoever resumes it may not observe.
    #[error(
        "the session watches {job}, which this identity may not observe; resume with one that may, or open another session"
    )]
    ResumeNotAllowed {
        /// The job.
        job: JobId,
    },
    /// The job does not exist, or not for this principal: the two are not told apart.
    #[error("no job {job:?} is known to this principal")]
    JobNotFound {
        /// The id as it was sent.
        job: String,
    },
    /// The idempotency key was used for another submission (spec 7.2).
    #[error("the idempotency key was used with other parameters; use another key for another job")]
    KeyTaken {
        /// What the key was used for.
        job: JobId,
    },
    /// The idempotency key was used for the same submission, of which nothing is left to be told.
    #[error("the job of this idempotency key is over and has been removed; use another key to run it again")]
    KeyOfRemovedJob {
        /// What the key was used for.
        job: JobId,
    },
    /// The cursor was not given to this principal for this filter (spec 6.6).
    #[error("the cursor is none of this list; leave it out to begin with the first page, and keep the filter")]
    CursorUnknown,
    /// The job is over.
    #[error("the job has ended already, with {status}")]
    JobEnded {
        /// How it ended.
        status: Status,
    },
    /// The upstream does not issue a credential for this lease (spec 9.8), now or later.
    #[error("no credential is issued for this lease: {reason}")]
    CredentialRefused {
        /// Why not, and what would help.
        reason: String,
    },
    /// No credential can be issued at the moment, so the job is not accepted.
    #[error("no credential can be issued for the job at the moment: {reason}; submit it again later")]
    CredentialUnavailable {
        /// Why not.
        reason: String,
    },
    /// An administrator names a credential that the job does not have.
    #[error("job {job} has no {}", credential(.name))]
    CredentialUnknown {
        /// The job.
        job: JobId,
        /// What was named.
        name: Option<CredentialId>,
    },
    /// The journal cannot be written at the moment, so nothing that must last is promised.
    #[error("the journal cannot be written at the moment ({reason}); try again later")]
    StoreUnavailable {
        /// What the store said, without paths.
        reason: &'static str,
    },
}

impl Refusal {
    /// Whether the same request is worth repeating a little later, for a reason that concerns many clients at once.
    pub const fn is_for_later(&self) -> bool {
        matches!(self, Self::Draining | Self::ResumeBusy | Self::Crowded)
    }
}

fn credential(name: &Option<CredentialId>) -> String {
    match name {
        Some(name) => format!("credential {name}; leave the name out for the one that it has"),
        None => "credential".to_owned(),
    }
}

fn list(versions: &[AgentVersion]) -> String {
    versions.iter().map(AgentVersion::as_str).collect::<Vec<_>>().join(", ")
}
