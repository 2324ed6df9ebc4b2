//! What a worker sends.

use super::Heartbeat;

/// One frame from a worker.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerMessage {
    /// Exactly one of them.
    #[prost(oneof = "worker_message::Body", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub body: Option<worker_message::Body>,
}

/// The alternatives of [`WorkerMessage`].
pub mod worker_message {
    /// What the frame says.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Body {
        /// First frame of the handshake.
        #[prost(message, tag = "1")]
        Hello(super::Hello),
        /// Third frame of the handshake.
        #[prost(message, tag = "2")]
        Proof(super::Proof),
        /// A job was taken up.
        #[prost(message, tag = "3")]
        JobStarted(super::JobStarted),
        /// Something about a job.
        #[prost(message, tag = "4")]
        Report(super::Report),
        /// A job was not taken up.
        #[prost(message, tag = "5")]
        JobRefused(super::JobRefused),
        /// Nothing, but alive.
        #[prost(message, tag = "6")]
        Heartbeat(super::Heartbeat),
        /// The last frame.
        #[prost(message, tag = "7")]
        Goodbye(super::Goodbye),
        /// A job asks something.
        #[prost(message, tag = "8")]
        Ask(super::Ask),
    }
}

/// Who wants to attach, and with which versions of the protocol.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Hello {
    /// The oldest version of the protocol that the worker speaks.
    #[prost(uint32, tag = "1")]
    pub min_protocol: u32,
    /// The newest one.
    #[prost(uint32, tag = "2")]
    pub max_protocol: u32,
    /// `wrk_…`, from the worker's assignment.
    #[prost(string, tag = "3")]
    pub worker_id: String,
    /// 16 random bytes, fresh for each attempt.
    #[prost(bytes = "vec", tag = "4")]
    pub nonce: Vec<u8>,
    /// The worker's process id as it sees it itself. For people; identity is proven otherwise.
    #[prost(uint32, tag = "5")]
    pub pid: u32,
    /// What the worker is built with.
    #[prost(string, tag = "6")]
    pub sdk_name: String,
    /// Which version of it.
    #[prost(string, tag = "7")]
    pub sdk_version: String,
    /// Random, and the same for the whole life of the worker's process: it tells a worker that comes back from another
    /// process that has its secret. Zero from workers that do not say it.
    #[prost(fixed64, tag = "8")]
    pub instance: u64,
}

/// The worker's proof that it knows the secret, and all that it brings.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Proof {
    /// HMAC-SHA256 over the transcript with the worker's label.
    #[prost(bytes = "vec", tag = "1")]
    pub mac: Vec<u8>,
    /// What it can run.
    #[prost(message, repeated, tag = "2")]
    pub agents: Vec<AgentOffer>,
    /// What it runs already, or has run and not seen acknowledged.
    #[prost(message, repeated, tag = "3")]
    pub jobs: Vec<HeldJob>,
}

/// One version of one agent that a worker hosts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentOffer {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Whether this version is meant when none is named.
    #[prost(bool, tag = "3")]
    pub is_default: bool,
    /// One line for people.
    #[prost(string, tag = "4")]
    pub description: String,
    /// How many jobs of it the worker runs at once.
    #[prost(uint32, tag = "5")]
    pub capacity: u32,
}

/// A job that a worker holds when it attaches.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HeldJob {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// The oldest report that the worker still has: all before it were acknowledged to it.
    #[prost(uint64, tag = "2")]
    pub first_worker_seq: u64,
    /// The number of the report that it will make next.
    #[prost(uint64, tag = "3")]
    pub next_worker_seq: u64,
    /// Whether its last report is among them.
    #[prost(bool, tag = "4")]
    pub finished: bool,
}

/// The worker runs the job. Said again for a job that it runs already.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobStarted {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
}

/// The worker does not run the job and never has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobRefused {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// `unknown_agent`, `at_capacity` or `shutting_down`.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// The worker ends the link and will not come back.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Goodbye {
    /// `shutdown` or `signal`.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// A job asks something. Sent again on every link until it is answered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Ask {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// Names the question among those of the job.
    #[prost(uint64, tag = "2")]
    pub ask_id: u64,
    /// The job's last report before the question, which was sent on this link or is acknowledged; 0 if there was none.
    #[prost(uint64, tag = "3")]
    pub after_worker_seq: u64,
    /// Exactly one of them.
    #[prost(oneof = "ask::Body", tags = "4, 5")]
    pub body: Option<ask::Body>,
}

/// The alternatives of [`Ask`].
pub mod ask {
    /// What is asked.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Body {
        /// Whether the lease covers an operation.
        #[prost(message, tag = "4")]
        Authorize(super::Authorize),
        /// What became of a delegation.
        #[prost(message, tag = "5")]
        Delegation(super::AskDelegation),
    }
}

/// Whether the job's lease covers an operation (spec 9.3).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Authorize {
    /// What is to be done: a namespace of leases, such as `tool.call`.
    #[prost(string, tag = "1")]
    pub capability: String,
    /// To what.
    #[prost(string, tag = "2")]
    pub target: String,
}

/// What became of a delegation that was reported before (spec 10).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AskDelegation {
    /// What the job calls it.
    #[prost(string, tag = "1")]
    pub delegate_id: String,
    /// Whether the answer waits for the child's end; otherwise for its beginning.
    #[prost(bool, tag = "2")]
    pub until_ended: bool,
}

/// One report about one job.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Report {
    /// The job.
    #[prost(string, tag = "1")]
    pub job_id: String,
    /// Its number among the job's reports, from 1.
    #[prost(uint64, tag = "2")]
    pub worker_seq: u64,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    #[prost(uint64, tag = "3")]
    pub at_ms: u64,
    /// Exactly one of them.
    #[prost(oneof = "report::Body", tags = "4, 5, 6")]
    pub body: Option<report::Body>,
}

/// The alternatives of [`Report`].
pub mod report {
    /// What is reported.
    #[derive(Clone, PartialEq, Eq, prost::Oneof)]
    pub enum Body {
        /// The agent did something.
        #[prost(message, tag = "4")]
        Event(super::Event),
        /// The agent is done. The last report.
        #[prost(message, tag = "5")]
        Result(super::Outcome),
        /// The agent has failed. The last report.
        #[prost(message, tag = "6")]
        Failure(super::Failure),
    }
}

/// An event (spec 8.2).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Event {
    /// Its kind.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its body, a JSON object.
    #[prost(string, tag = "2")]
    pub body_json: String,
}

/// A result: either `result_json`, or `result_id` and `result_size` (spec 8.4).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Outcome {
    /// The result itself, JSON.
    #[prost(string, optional, tag = "1")]
    pub result_json: Option<String>,
    /// Names the `result_chunk` events that make up the result.
    #[prost(string, optional, tag = "2")]
    pub result_id: Option<String>,
    /// Bytes of the assembled result.
    #[prost(uint64, optional, tag = "3")]
    pub result_size: Option<u64>,
    /// One line for people.
    #[prost(string, optional, tag = "4")]
    pub summary: Option<String>,
}

/// A failure.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failure {
    /// The spec's code (section 12), of those that an agent may use.
    #[prost(string, tag = "1")]
    pub code: String,
    /// The same for people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Whether the same submission may succeed later.
    #[prost(bool, tag = "3")]
    pub retryable: bool,
    /// What a program may want to know: a JSON object.
    #[prost(string, optional, tag = "4")]
    pub details_json: Option<String>,
}
