//! Bounds of the worker protocol, with the argument for each number. Those that the gateway shares are in
//! `moorline_types::limits`.

use std::time::Duration;

use moorline_types::limits::{DEFAULT_MAX_FRAME_BYTES, MAX_EVENT_BODY_BYTES};

/// The largest frame from a worker: one event body (or an inline result, which has the same bound) and room for the
/// fields around it, failure details and a long list of held jobs.
pub const MAX_WORKER_FRAME_BYTES: usize = MAX_EVENT_BODY_BYTES + 144 * 1024;

/// The largest frame from the gateway. A job's input came in one client frame; twice the default bound of those leaves
/// room for an operator who has raised it and for the lease.
pub const MAX_GATEWAY_FRAME_BYTES: usize = 2 * DEFAULT_MAX_FRAME_BYTES;

/// The largest frame that is read from somebody who has not yet said who he is. A hello has at most 600 bytes.
pub const MAX_HELLO_FRAME_BYTES: usize = 4 * 1024;

/// How long a handshake may take as a whole. Both sides are on one machine or a few milliseconds apart; ten seconds
/// forgive a machine that is starting a hundred workers at once.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How often either side is to be heard.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// After how many silent intervals a link counts as lost. Two may be lost to a paused process; three are not.
pub const HEARTBEAT_LOST_INTERVALS: u32 = 3;

/// Messages that wait between a link's user and its task that writes to the worker. A gateway says a few words about
/// each job.
pub const LINK_QUEUE: usize = 256;

/// Batches of messages that wait between a link's task that reads from the worker and its user. Two would keep both
/// busy; the others bridge a user that is held up for a moment. The window per job bounds what lies behind it.
pub const READ_QUEUE: usize = 8;

/// Messages in one of those batches. Large enough that handing one over costs little for each message, small enough
/// that what is handed over is worked at while the next is read.
pub const READ_BATCH: usize = 256;

/// Bytes of JSON in one of those batches, beyond its last message. With [`READ_QUEUE`] it bounds what a link holds of
/// large messages to some ten megabytes.
pub const READ_BATCH_BYTES: usize = 256 * 1024;

/// Messages that are written before one flush.
pub const WRITE_BATCH: usize = 256;

/// Bytes of JSON that are written before one flush, beyond the last message. Bounds what a link copies at once of large
/// messages; the socket takes some hundred kilobytes.
pub const WRITE_BATCH_BYTES: usize = 256 * 1024;

/// Bytes that a link's buffer for reading begins with: some hundred events in one read. One that has to be larger grows.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Reports of one job that are said before it is the turn of the worker's next job. A job that says much is cheaper to
/// carry in stretches, and another waits for fractions of a millisecond.
pub const REPORTS_PER_TURN: usize = 64;

/// Agent versions that one worker may offer. A worker that hosts more is several workers.
pub const MAX_OFFERS: usize = 256;

/// Jobs that one worker may hold, running or waiting for an acknowledgement. Their list fits in one proof frame.
pub const MAX_HELD_JOBS: usize = 1024;

/// The longest one-line description of an agent, in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 1024;

/// The longest name or version of an SDK, in bytes.
pub const MAX_SDK_TEXT_BYTES: usize = 64;

/// The largest `details` object of a failure, in bytes.
pub const MAX_DETAILS_BYTES: usize = 16 * 1024;

/// The largest size of unacknowledged reports of one job, in bytes, beyond the first. Together with the window of
/// reports it bounds what a job holds in its worker's memory.
pub const REPORT_WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// The largest size of what all jobs of one worker keep on disk, beyond what they keep in memory. An hour of a line of a
/// hundred bytes a millisecond fits; a machine with a dozen workers does not fill up while nobody looks.
pub const MAX_SPILL_BYTES: u64 = 512 * 1024 * 1024;

/// Questions of one job that may wait for the gateway's answer; a further one waits for room. More operations at once than
/// most agents have, and little enough that the answers for every job of a worker fit into the gateway's memory.
pub const MAX_ASKS: usize = 16;

/// Delegations of one job whose children its agent waits for at once; a further one waits for room. Twice the children
/// that a job has at once unless configured otherwise.
pub const MAX_AWAITED: usize = 64;

/// Answers to the gateway that wait for the link, beside reports. A gateway that asks for more without reading the
/// answers is cut off.
pub const MAX_NOTICES: usize = 2 * MAX_HELD_JOBS;

/// The largest command for a job's agent, in bytes of JSON: a bulk of a thousand writes with room to spare. Fits in a
/// frame of the gateway with the rest.
pub const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;

/// Commands of one job that its agent has not taken up. A gateway lets fewer of a session wait for their answers; the rest
/// is for those that it hands over again after a link was lost. One that hands over more is cut off.
pub const MAX_WAITING_COMMANDS: usize = 8 * 1024;

/// The first wait before a worker dials again.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(100);

/// The longest wait before a worker dials again: a gateway that has come back is found within it. Over a network an attempt
/// may cost a handshake of TLS, so a hundred workers make no more than a hundred of them a second.
pub const RECONNECT_CAP: Duration = Duration::from_secs(1);

/// The same for a worker on the gateway's machine. Until it is found, its jobs stand still for everybody who watches them. A
/// dial that finds nobody is one system call, of which a hundred workers make five hundred a second.
pub const LOCAL_RECONNECT_CAP: Duration = Duration::from_millis(200);

/// By how many per cent a wait before dialling is lengthened or shortened at random, so that a hundred workers do not
/// come back in the same millisecond.
pub const RECONNECT_JITTER_PERCENT: u32 = 20;

/// How long a worker lives without a gateway unless its assignment says otherwise. A day covers a night in which nobody
/// looks, and a machine does not fill up with workers that nobody will come back to.
pub const DEFAULT_ORPHAN_LIFETIME: Duration = Duration::from_secs(86_400);

/// How long a worker lives without a gateway if it holds no job. A minute covers a restart, which then finds it warm;
/// beyond that it would only take up memory.
pub const IDLE_ORPHAN_LIFETIME: Duration = Duration::from_secs(60);

/// How long a worker lives without a gateway whose store forgets everything: nobody will ever take it over. A minute
/// covers a gateway that is only paused.
pub const FORGETFUL_ORPHAN_LIFETIME: Duration = Duration::from_secs(60);

/// How long jobs have to end when a worker is asked to leave by a signal.
pub const SIGNAL_GRACE: Duration = Duration::from_secs(10);

/// How long a worker that leaves waits for its last reports to be acknowledged.
pub const FLUSH_GRACE: Duration = Duration::from_secs(2);

/// Raw bytes of one chunk of a streamed result. In base64 it stays below the strictest official client's bound.
pub const RESULT_CHUNK_BYTES: usize = 512 * 1024;

/// The largest assignment that a worker reads from its descriptor.
pub const MAX_ASSIGNMENT_BYTES: usize = 256 * 1024;
