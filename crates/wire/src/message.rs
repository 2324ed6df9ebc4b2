//! The wire vocabulary: every message's name is spelled in the table below and nowhere else.

use crate::decode::FieldError;
use crate::{payload, vendor};

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// Clients only.
    Client,
    /// Runtimes only.
    Runtime,
    /// Either.
    Both,
}

/// A field of the envelope that not every message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `session_id`.
    SessionId,
    /// `job_id`.
    JobId,
    /// `trace_id`.
    TraceId,
    /// `event_seq`.
    EventSeq,
}

/// What [`crate::decode`] and [`crate::encode()`] need of a set of messages.
pub(crate) trait Message: Sized {
    /// Whether a trace id or an extension that does not parse is left out rather than refused: a runtime's is, a
    /// client's is not.
    const LENIENT: bool;

    /// Reads the payload of a message; `None` if messages of this type are not in the set.
    fn read(message_type: MessageType, payload: &str) -> Result<Option<Self>, FieldError>;

    /// Writes the payload.
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()>;
}

macro_rules! vocabulary {
    (
        client { $($(#[$cdoc:meta])* $client:ident = $ctext:literal, $cpayload:ty, [$($cfield:ident)*];)* }
        runtime { $($(#[$rdoc:meta])* $runtime:ident = $rtext:literal, $rpayload:ty, [$($rfield:ident)*];)* }
        both { $($(#[$bdoc:meta])* $both:ident = $btext:literal, $bpayload:ty, [$($bfield:ident)*];)* }
    ) => {
        words! {
            /// The type of a message.
            MessageType {
                $($(#[$cdoc])* $client = $ctext;)*
                $($(#[$rdoc])* $runtime = $rtext;)*
                $($(#[$bdoc])* $both = $btext;)*
            }
        }

        impl MessageType {
            /// Who sends it.
            pub const fn sender(self) -> Sender {
                match self {
                    $(Self::$client => Sender::Client,)*
                    $(Self::$runtime => Sender::Runtime,)*
                    $(Self::$both => Sender::Both,)*
                }
            }

            /// Which further fields its envelope may carry. What a peer puts elsewhere is read and means nothing.
            pub const fn carries(self) -> &'static [Field] {
                match self {
                    $(Self::$client => &[$(Field::$cfield),*],)*
                    $(Self::$runtime => &[$(Field::$rfield),*],)*
                    $(Self::$both => &[$(Field::$bfield),*],)*
                }
            }
        }

        /// What a client sends.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ClientMessage {
            $($(#[$cdoc])* $client($cpayload),)*
            $($(#[$bdoc])* $both($bpayload),)*
        }

        /// What a runtime sends.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum RuntimeMessage {
            $($(#[$rdoc])* $runtime($rpayload),)*
            $($(#[$bdoc])* $both($bpayload),)*
        }

        vocabulary!(@messages ClientMessage, false, { $($client)* $($both)* });
        vocabulary!(@messages RuntimeMessage, true, { $($runtime)* $($both)* });
    };

    (@messages $name:ident, $lenient:literal, { $($variant:ident)* }) => {
        impl Message for $name {
            const LENIENT: bool = $lenient;

            fn read(message_type: MessageType, payload: &str) -> Result<Option<Self>, FieldError> {
                match message_type {
                    $(MessageType::$variant => crate::decode::payload(payload).map(Self::$variant).map(Some),)*
                    _ => Ok(None),
                }
            }

            fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
                match self { $(Self::$variant(payload) => serde_json::to_writer(out, payload),)* }
            }
        }

        impl $name {
            /// The message's type.
            pub const fn message_type(&self) -> MessageType {
                match self { $(Self::$variant(_) => MessageType::$variant,)* }
            }
        }
    };
}

vocabulary! {
    client {
        /// Opens a session: the first message of a connection (spec 6.2).
        Hello = "session.hello", payload::Hello, [];
        /// Goes on with a session: another first message (spec 6.3).
        Resume = "session.resume", payload::Resume, [];
        /// How far the client has processed the session's events (spec 6.5).
        Ack = "session.ack", payload::Ack, [SessionId];
        /// Asks for jobs that the principal may see (spec 6.6).
        ListJobs = "session.list_jobs", payload::ListJobs, [SessionId];
        /// Asks for work to be done (spec 7.1).
        Submit = "job.submit", Box<payload::Submit>, [SessionId TraceId];
        /// Asks for a job's end (spec 7.4).
        Cancel = "job.cancel", payload::Cancel, [SessionId JobId TraceId];
        /// Asks to watch a job (spec 7.6).
        Subscribe = "job.subscribe", payload::Subscribe, [SessionId JobId];
        /// The session stops watching a job (spec 7.6).
        Unsubscribe = "job.unsubscribe", payload::Unsubscribe, [SessionId JobId];
        /// Has what is over removed. Not in the spec; for administrators.
        Gc = "x-vendor.moorline.gc", vendor::Gc, [SessionId];
        /// Asks for a page of the audit trail. Not in the spec; for administrators.
        Audit = "x-vendor.moorline.audit", vendor::AuditQuery, [SessionId];
        /// Makes, lists, rotates or revokes API keys. Not in the spec; for administrators.
        Keys = "x-vendor.moorline.keys", Box<vendor::Keys>, [SessionId];
        /// Asks which credentials are to be withdrawn, or has it done. Not in the spec; for administrators.
        Credentials = "x-vendor.moorline.credentials", vendor::Credentials, [SessionId];
    }
    runtime {
        /// The session is open (spec 6.2).
        Welcome = "session.welcome", Box<payload::Welcome>, [SessionId];
        /// A request was refused, or the session cannot go on (spec 12).
        SessionError = "session.error", payload::SessionError, [SessionId JobId];
        /// The session has ended (spec 6.7).
        Closed = "session.closed", payload::Closed, [SessionId];
        /// A page of jobs (spec 6.6).
        Jobs = "session.jobs", payload::Jobs, [SessionId];
        /// The job exists (spec 7.1).
        Accepted = "job.accepted", Box<payload::Accepted>, [SessionId JobId TraceId];
        /// Something happened in a job (spec 8).
        Event = "job.event", payload::JobEvent, [SessionId JobId TraceId EventSeq];
        /// A job ended with a result (spec 8.4).
        JobResult = "job.result", payload::JobResult, [SessionId JobId TraceId EventSeq];
        /// A job ended without a result (spec 12).
        JobError = "job.error", payload::JobError, [SessionId JobId TraceId EventSeq];
        /// The job's end was asked for (spec 7.4).
        Cancelled = "job.cancelled", payload::Cancelled, [SessionId JobId TraceId];
        /// The session watches the job (spec 7.6).
        Subscribed = "job.subscribed", Box<payload::Subscribed>, [SessionId JobId TraceId];
        /// Numbers are missing here. Not in the spec; sent only to a client that negotiated it.
        Gap = "x-vendor.moorline.gap", vendor::Gap, [SessionId];
        /// What was removed. Not in the spec; sent only to a client that asked.
        GcReport = "x-vendor.moorline.gc_report", vendor::GcReport, [SessionId];
        /// A page of the audit trail. Not in the spec; sent only to a client that asked.
        AuditPage = "x-vendor.moorline.audit_page", vendor::AuditPage, [SessionId];
        /// The keys that were asked for. Not in the spec; sent only to a client that asked.
        KeysReport = "x-vendor.moorline.keys_report", vendor::KeysReport, [SessionId];
        /// What is to be withdrawn. Not in the spec; sent only to a client that asked.
        CredentialsReport = "x-vendor.moorline.credentials_report", vendor::CredentialsReport, [SessionId];
    }
    both {
        /// Ends the session by agreement (spec 6.7).
        Close = "session.close", payload::Close, [SessionId];
        /// The same under the name that some peers use.
        Bye = "session.bye", payload::Close, [SessionId];
        /// Asks whether the peer is there (spec 6.4).
        Ping = "session.ping", payload::Ping, [SessionId];
        /// Answers a ping (spec 6.4).
        Pong = "session.pong", payload::Pong, [SessionId];
    }
}
