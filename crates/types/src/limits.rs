//! Every bound that does not depend on configuration, with the argument for its number.

use crate::Millis;

// === Envelopes ===

/// The longest envelope id, in bytes. Ids are ULIDs or UUIDs with a prefix; 128 leaves room for any scheme.
pub const MAX_MESSAGE_ID_BYTES: usize = 128;

/// How deeply arrays and objects may nest in a frame. Real payloads stay below ten; 64 keeps every recursive reader,
/// ours and an agent's, far from the end of its stack.
pub const MAX_JSON_DEPTH: usize = 64;

/// The largest frame we read unless configured otherwise. Four times what the strictest official SDK can send.
pub const DEFAULT_MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// The largest frame that is read from a client before it has authenticated: a hello with a token of the longest kind,
/// every feature and a resume, four times over.
pub const MAX_HELLO_BYTES: usize = 16 * 1024;

/// The largest frame we send. Two official SDKs refuse a message of 1 MiB; the rest is for the envelope.
pub const MAX_SENT_FRAME_BYTES: usize = 900 * 1024;

/// The largest body of one event. Leaves the envelope room within [`MAX_SENT_FRAME_BYTES`].
pub const MAX_EVENT_BODY_BYTES: usize = 880 * 1024;

/// The largest inline result. The same bound as an event's, for the same reason.
pub const MAX_INLINE_RESULT_BYTES: usize = MAX_EVENT_BODY_BYTES;

/// The longest reason or message that a peer may send along, in bytes: a paragraph, not a document.
pub const MAX_REASON_BYTES: usize = 4 * 1024;

/// The longest `tracestate` that is handed on, in bytes: what W3C asks of everybody at least. It is stored with the job.
pub const MAX_TRACE_STATE_BYTES: usize = 512;

/// How many members a `tracestate` may have: W3C's number.
pub const MAX_TRACE_STATE_MEMBERS: usize = 32;

// === Names ===

/// The longest agent name, in bytes. Names appear in paths, tables and metrics.
pub const MAX_AGENT_NAME_BYTES: usize = 64;

/// The longest agent version, in bytes: a semantic version with build metadata fits twice.
pub const MAX_AGENT_VERSION_BYTES: usize = 64;

/// The longest name of a principal, in bytes: an e-mail address or a distinguished name fits.
pub const MAX_PRINCIPAL_BYTES: usize = 256;

/// The longest tag, in bytes: the name of a team or of a tenant, with a prefix.
pub const MAX_TAG_BYTES: usize = 64;

/// Tags of one identity. They are stored with every session and job of it, and compared one by one.
pub const MAX_TAGS: usize = 16;

/// Patterns of agents, or budgets, in the constraints of one identity.
pub const MAX_GRANT_PATTERNS: usize = 64;

/// The longest event kind, in bytes. Vendor kinds are `x-vendor.<vendor>.<name>`.
pub const MAX_EVENT_KIND_BYTES: usize = 128;

/// The longest idempotency key, in bytes: the strictest official SDK's bound.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;

/// The longest client name or version, in bytes.
pub const MAX_CLIENT_TEXT_BYTES: usize = 256;

/// Feature names in one hello. The spec has eleven; the rest is for vendors.
pub const MAX_FEATURES: usize = 64;

/// Namespaces in one lease request. The spec has seven.
pub const MAX_LEASE_NAMESPACES: usize = 64;

/// Patterns in one namespace of a lease request.
pub const MAX_LEASE_PATTERNS: usize = 256;

/// The longest lease pattern, in bytes.
pub const MAX_LEASE_PATTERN_BYTES: usize = 1024;

/// The longest target of an operation, in bytes: what browsers and servers take for a URL.
pub const MAX_LEASE_TARGET_BYTES: usize = 8 * 1024;

// === Jobs ===

/// The longest `max_runtime_sec`: a day, the strictest official SDK's bound.
pub const MAX_RUNTIME_SEC: u64 = 86_400;

/// Reports of one job that a worker may have under way unacknowledged if its gateway has not said how many. What every
/// gateway has taken from the beginning.
pub const WORKER_REPORT_WINDOW: u64 = 256;

/// Reports of one job that a worker may have under way unacknowledged. Bounds, together with their size, what a job
/// holds in memory on both sides while a commit is under way; at one commit in five milliseconds, which is a disk that
/// is busy with something else, it still allows 800,000 events a second.
pub const MAX_REPORT_WINDOW: u64 = 4096;

/// How long after its lease has ended a job is ended. Clocks differ: the client's, which named the moment, and ours
/// (spec 14).
pub const LEASE_EXPIRY_GRACE: Millis = Millis::from_secs(1);

/// Records that one append of one job may carry. A quarter of the window above, so that one append is under way while
/// the next is being filled, and the worker is told of the one before.
pub const MAX_BATCH_RECORDS: usize = 1024;

/// Bytes of bodies that one append may carry, beyond its first record. Keeps one chatty job from holding the writer
/// for longer than a few milliseconds.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// How long a job waits before it offers a refused append again. A full disk does not empty in less.
pub const APPEND_RETRY_DELAY: Millis = Millis::from_secs(1);

/// How long an idempotency key stands for its job: a day, what most official SDKs keep. A client that retries for
/// longer than that has forgotten the key itself.
pub const IDEMPOTENCY_TTL: Millis = Millis::from_secs(24 * 60 * 60);

/// Jobs in one page of a list unless the client wants another number: every official SDK's default.
pub const DEFAULT_LIST_JOBS: usize = 100;

/// Jobs in one page of a list. With its lease an entry has some hundred bytes.
pub const MAX_LIST_JOBS: usize = 1_000;

/// Bytes of entries in one page of a list, beyond its first: leaves the rest of a frame within
/// [`MAX_SENT_FRAME_BYTES`] for the envelope.
pub const MAX_LIST_JOBS_BYTES: usize = 768 * 1024;

/// Jobs that are looked at for one page of a list. A filter that admits few of many gets short pages, perhaps empty
/// ones, instead of holding its connection up: reading as many entries takes some ten milliseconds.
pub const MAX_LIST_JOBS_SCANNED: usize = 5_000;

/// Jobs of other principals that are looked at for one page of a list. What a list of several principals has of a job is
/// whose it is, and its entry is read by itself: some tens of microseconds for each.
pub const MAX_LIST_JOBS_LOOKED_UP: usize = 1_000;

// === Delegation ===

/// How many generations of children a job may have below it unless configured otherwise. Organisations of agents that
/// are written down have three or four; one that delegates to itself by mistake is stopped after eight jobs.
pub const DEFAULT_DELEGATION_DEPTH: u32 = 8;

/// Children that one job may have at once unless configured otherwise. What fans out over more is better off in rounds:
/// the workers that run the children have some tens of places too.
pub const DEFAULT_OPEN_CHILDREN: usize = 32;

/// Delegations that one job may make in its whole life, those that were refused included. The gateway knows each by its
/// `delegate_id` for as long as the job lives, in some hundred bytes.
pub const MAX_DELEGATIONS: usize = 4_096;

/// The longest `delegate_id`, in bytes: any scheme of ids with a prefix.
pub const MAX_DELEGATE_ID_BYTES: usize = 128;

// === Connections ===

/// How long a connection may stay without a `session.hello`. Two round trips over a bad satellite link fit ten times.
pub const HELLO_DEADLINE: Millis = Millis::from_secs(10);

/// How often either side should be heard unless configured otherwise: every official SDK's default.
pub const DEFAULT_HEARTBEAT_INTERVAL: Millis = Millis::from_secs(30);

/// Intervals of silence after which a connection counts as lost (spec 6.4).
pub const HEARTBEAT_LOST_INTERVALS: u64 = 2;

/// Records read for a view at once. Large enough to amortise a read, small enough that a stretch of history is
/// interleaved with replies on the same connection.
pub const VIEW_READ_RECORDS: usize = 256;
/// Bytes read for a view at once, beyond the first record.
pub const VIEW_READ_BYTES: usize = 1024 * 1024;

/// Jobs that one session may watch at once, its own included. Each costs an entry in a map and a wake-up.
pub const MAX_WATCHED_JOBS: usize = 10_000;
