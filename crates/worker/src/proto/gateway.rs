//! What the gateway sends.

use super::{Failure, Heartbeat, Outcome};

/// One frame from the gateway.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GatewayMessage {
    /// Exactly one of them.
    #[prost(oneof = "gateway_message::Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20")]
    pub body: Option<gateway_message::Body>,
}

/// The alternatives of [`GatewayMessage`].
pub mod gateway_message {
    /// What the frame says.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Body {
        /// Second frame of the handshake.
        #[prost(message, tag = "1")]
        Challenge(super::Challenge),
        /// Last frame of a handshake that succeeds.
        #[prost(message, tag = "2")]
        Accepted(super::Accepted),
        /// Last frame of a handshake that does not.
        #[prost(message, tag = "3")]
        Refused(super::Refused),
        /// Run a job.
        #[prost(message, tag = "4")]
        StartJob(super::StartJob),
        /// Ask a job's agent to stop.
        #[prost(message, tag = "5")]
        CancelJob(super::CancelJob),
        /// Stop a job.
        #[prost(message, tag = "6")]
        KillJob(super::KillJob),
        /// Reports are committed.
        #[prost(message, tag = "7")]
        Ack(super::Ack),
        /// Nothing, but alive.
        #[prost(message, tag = "8")]
        Heartbeat(super::Heartbeat),
        /// End the worker.
        #[prost(message, tag = "9")]
        Shutdown(super::Shutdown),
        /// What a job asked is answered.
        #[prost(message, tag = "10")]
        Answer(super::Answer),
        /// Hand a command to a job's agent.
        #[prost(message, tag = "20")]
        CommandJob(super::CommandJob),
    }
}

/// The gateway's proof that it knows the worker's secret, and its question to the worker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Challenge {
    /// 16 random bytes, fresh for each attempt.
    #[prost(bytes = "vec", tag = "1")]
    pub nonce: Vec<u8>,
    /// Which life of the gateway this is. A worker refuses one that is smaller than the largest it has seen.
    #[prost(uint64, tag = "2")]
    pub gateway_epoch: u64,
    /// The version of the protocol that both will speak.
    #[prost(uint32, tag = "3")]
    pub protocol: u32,
    /// HMAC-SHA256 over the transcript with the gateway's label.
    #[prost(bytes = "vec", tag = "4")]
    pub mac: Vec<u8>,
}

/// The worker is attached.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Accepted {
    /// Names this attachment.
    #[prost(uint64, tag = "1")]
    pub fence: u64,
    /// How often either side is to be heard, in milliseconds.
    #[prost(uint64, tag = "2")]
    pub heartbeat_interval_ms: u64,
    /// What is committed of the jobs that the worker holds. A held job without an entry has nothing committed.
    #[prost(message, repeated, tag = "3")]
    pub acks: Vec<Ack>,
    /// How many reports of one job may be under way unacknowledged. Zero from gateways that do not say it, which take 256.
    #[prost(uint32, tag = "4")]
    pub report_window: u32,
}

/// The worker is not attached.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Refused {
    /// Why, for people.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// Whether the worker should end itself. Heeded only from a gateway that has proven itself.
    #[prost(bool, tag = "2")]
    pub terminate: bool,
}

/// Run a job. For a job that the worker holds already this asks only to be told so, and says its present credentials.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartJob {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// `name@version`.
    #[prost(string, tag = "2")]
    pub agent: String,
    /// The submitter's input, JSON.
    #[prost(string, tag = "3")]
    pub input_json: String,
    /// What the job may do (spec 9), a JSON object.
    #[prost(string, tag = "4")]
    pub lease_json: String,
    /// The W3C trace that the job belongs to.
    #[prost(string, optional, tag = "5")]
    pub trace_id: Option<String>,
    /// When the gateway will end the job, in milliseconds since 1970-01-01T00:00:00Z.
    #[prost(uint64, optional, tag = "6")]
    pub deadline_ms: Option<u64>,
    /// When the job was accepted, likewise.
    #[prost(uint64, tag = "7")]
    pub accepted_at_ms: u64,
    /// The job's place in that trace: a W3C `traceparent`.
    #[prost(string, optional, tag = "8")]
    pub traceparent: Option<String>,
    /// What tracing systems hand on beside it: a W3C `tracestate`.
    #[prost(string, optional, tag = "9")]
    pub tracestate: Option<String>,
    /// The job's credentials for upstreams (spec 9.8), a JSON array. Secret.
    #[prost(string, optional, tag = "10")]
    pub credentials_json: Option<String>,
}

/// Ask a job's agent to stop. It still reports how it ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CancelJob {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// Why, in the asker's words.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// How long the agent has, in milliseconds.
    #[prost(uint64, tag = "3")]
    pub grace_ms: u64,
}

/// Hand a command to the agent of a job that takes commands. What comes of it is an event of the job. A command may come
/// again when a link is lost: who carries commands out knows them by what they say.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CommandJob {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// The command, a JSON object.
    #[prost(string, tag = "2")]
    pub command_json: String,
}

/// Stop a job, report nothing more about it and forget it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KillJob {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
}

/// Every report of the job up to this one is committed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ack {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// The last report that is.
    #[prost(uint64, tag = "2")]
    pub worker_seq: u64,
}

/// End the worker: cancel its jobs, say goodbye, leave.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Shutdown {
    /// How long its jobs have, in milliseconds.
    #[prost(uint64, tag = "1")]
    pub grace_ms: u64,
}

/// What a job asked is answered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Answer {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// Which question.
    #[prost(uint64, tag = "2")]
    pub ask_id: u64,
    /// Exactly one of them.
    #[prost(oneof = "answer::Body", tags = "3, 4")]
    pub body: Option<answer::Body>,
}

/// The alternatives of [`Answer`].
pub mod answer {
    /// What is answered.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Body {
        /// To an `Authorize`.
        #[prost(message, tag = "3")]
        Verdict(super::Verdict),
        /// To an `AskDelegation`.
        #[prost(message, tag = "4")]
        Delegation(super::DelegationNews),
    }
}

/// Whether an operation is allowed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Verdict {
    /// Why not; absent if it is.
    #[prost(message, optional, tag = "1")]
    pub denied: Option<Failure>,
}

/// What became of a delegation: a child and nothing else if it has not ended, a failure and no child if there is none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DelegationNews {
    /// The child.
    #[prost(string, optional, tag = "1")]
    pub child_job_id: Option<String>,
    /// Why there is none, or why it has no result.
    #[prost(message, optional, tag = "2")]
    pub failure: Option<Failure>,
    /// Its result.
    #[prost(message, optional, tag = "3")]
    pub result: Option<Outcome>,
}
