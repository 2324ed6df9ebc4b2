//! What the spec does not have: extensions of the envelope, and messages of our own.
//!
//! Every name begins with `x-vendor.moorline.`, as the spec asks of vendors (section 15). A peer that does not know an
//! extension ignores it; a message of our own is sent only to a client that negotiated its feature or asked for it. Of
//! what other vendors put into `extensions`, only a trace context is read ([`trace`]).
//!
//! | name | where |
//! | --- | --- |
//! | [`CURSOR`] | `extensions` of `session.welcome` and of a runtime's `session.ping`: [`Cursor`] |
//! | [`RESUME`] | `extensions` of `session.hello`: [`ResumeOptions`] |
//! | [`REPLAYED`] | `extensions` of a numbered message that a resume sends again: `true` |
//! | [`SUBSCRIBE`] | `extensions` of `job.subscribe` and `job.submit`: [`SubscribeOptions`] |
//! | [`PROFILE`] | `extensions` of the `session.hello` of our client: [`PROFILE_VERSION`] |
//! | [`RETRY`] | `extensions` of `session.closed` and `session.error` of a runtime that is going away: [`Retry`] |
//! | [`WHOSE`] | `filter` of `session.list_jobs`: [`Whose`] |
//! | [`OWNER`] | the entries of a `session.jobs` that was asked for with it: the name of the job's principal |
//! | [`GAP`] | a message, [`Gap`], and the feature of the same name |
//! | [`GC`] | an administrator's request, [`Gc`] |
//! | [`GC_REPORT`] | its answer, [`GcReport`] |
//! | [`AUDIT`] | an administrator's request, [`AuditQuery`] |
//! | [`AUDIT_PAGE`] | its answer, [`AuditPage`] |
//! | [`KEYS`] | an administrator's request, [`Keys`] |
//! | [`KEYS_REPORT`] | its answer, [`KeysReport`] |
//! | [`CREDENTIALS`] | an administrator's request, [`Credentials`] |
//! | [`CREDENTIALS_REPORT`] | its answer, [`CredentialsReport`] |

use moorline_types::{Epoch, EventSeq, TraceContext};
use serde_json::value::RawValue;

use crate::decode::{FieldError, object, value};
use crate::{MessageType, Received, trace};

mod audit;
mod credentials;
mod gc;

pub use audit::{AuditPage, AuditQuery, AuditRecord};
pub use credentials::{CredentialEntry, Credentials, CredentialsReport};
pub use gc::{Gc, GcReport};

mod keys;
pub use keys::{KeyEntry, Keys, KeysReport};

/// Where the session's numbering stands.
pub const CURSOR: &str = "x-vendor.moorline.cursor";
/// How a session is to be resumed.
pub const RESUME: &str = "x-vendor.moorline.resume";
/// The message was sent before, on another connection.
pub const REPLAYED: &str = "x-vendor.moorline.replayed";
/// What is to happen to a subscriber that lags behind.
pub const SUBSCRIBE: &str = "x-vendor.moorline.subscribe";
/// The peer is our own client.
pub const PROFILE: &str = "x-vendor.moorline.profile";
/// When to come back.
pub const RETRY: &str = "x-vendor.moorline.retry";
/// Whose jobs are to be listed.
pub const WHOSE: &str = "x-vendor.moorline.whose";
/// Whose a listed job is.
pub const OWNER: &str = "x-vendor.moorline.owner";
/// Numbers are missing: a message, and the feature that allows to send it.
pub const GAP: &str = MessageType::Gap.as_str();
/// What is over is to be removed.
pub const GC: &str = MessageType::Gc.as_str();
/// What of it was removed.
pub const GC_REPORT: &str = MessageType::GcReport.as_str();
/// The audit trail is to be read.
pub const AUDIT: &str = MessageType::Audit.as_str();
/// A part of it.
pub const AUDIT_PAGE: &str = MessageType::AuditPage.as_str();
/// API keys are to be looked after.
pub const KEYS: &str = MessageType::Keys.as_str();
/// Keys that were asked for, or changed.
pub const KEYS_REPORT: &str = MessageType::KeysReport.as_str();
/// Credentials are to be looked after.
pub const CREDENTIALS: &str = MessageType::Credentials.as_str();
/// What of them is to be withdrawn.
pub const CREDENTIALS_REPORT: &str = MessageType::CredentialsReport.as_str();

/// What our own client says under [`PROFILE`].
pub const PROFILE_VERSION: &str = "1";

/// Where a session's numbering stands, so that a loss at the quiet end of a stream is noticed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// The lineage of the journal that the numbers come from.
    pub epoch: Epoch,
    /// The highest number that the session has been given so far; 0 before the first.
    pub event_seq: EventSeq,
}

/// How a session is to be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct ResumeOptions {
    /// The lineage that the client's last number is from. Numbers of another journal are never taken for this one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// What is to happen if numbers are missing; refused if the client does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gap: Option<OnGap>,
}

words! {
    /// What is to happen to a resume beyond what is retained.
    OnGap {
        /// The session goes on after a [`Gap`].
        Continue = "continue";
        /// The resume is refused with `RESUME_WINDOW_EXPIRED`, and the session stays as it was.
        Refuse = "refuse";
    }
}

/// How a job is to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SubscribeOptions {
    /// What is to happen to a subscriber that lags behind.
    pub overflow: Overflow,
}

words! {
    /// What is to happen to a subscriber that lags behind. The job never waits for it, whatever the answer.
    Overflow {
        /// It reads everything from the journal, at its own pace.
        CatchUp = "catch_up";
        /// It is moved ahead, and a [`Gap`] says over what.
        Skip = "skip";
        /// Of events that replace each other (progress, metrics of one name) it gets the latest.
        Latest = "latest";
        /// Its connection ends.
        Disconnect = "disconnect";
    }
}

words! {
    /// Whose jobs are to be listed.
    Whose {
        /// The principal's own.
        Own = "own";
        /// Everybody's that the principal may observe.
        Observable = "observable";
    }
}

/// When to come back to a runtime that is going away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// How long to wait before connecting again, in milliseconds. Differs from client to client, so that they do not
    /// all come back at once.
    pub after_ms: u64,
}

/// Numbers of the session are missing, for good. Sent in place of the messages that had them, before the next one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// The first number that is missing. Absent only if the journal was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EventSeq>,
    /// The last number that is missing. Absent only if the journal was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EventSeq>,
    /// The number that the next numbered message will have.
    pub next: EventSeq,
    /// Why they are missing.
    pub reason: Received<GapReason>,
    /// The lineage of the journal that `next` is from.
    pub epoch: Epoch,
}

words! {
    /// Why numbers are missing.
    GapReason {
        /// The records were older than what is kept.
        TrimmedByAge = "trimmed_by_age";
        /// The records were more than what is kept.
        TrimmedBySize = "trimmed_by_size";
        /// The operator removed the records.
        TrimmedByOperator = "trimmed_by_operator";
        /// The subscriber lagged behind and asked to be moved ahead.
        Skipped = "skipped";
        /// A later event of the same kind replaced them.
        Superseded = "superseded";
        /// The journal is another one: the numbers of the old one mean nothing any more.
        JournalReplaced = "journal_replaced";
    }
}

/// Our own extensions of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// [`CURSOR`].
    pub cursor: Option<Cursor>,
    /// [`RESUME`].
    pub resume: Option<ResumeOptions>,
    /// [`REPLAYED`].
    pub replayed: bool,
    /// [`SUBSCRIBE`].
    pub subscribe: Option<SubscribeOptions>,
    /// [`PROFILE`]: whether the peer is our own client.
    pub profile: bool,
    /// [`RETRY`].
    pub retry: Option<Retry>,
}

impl Extensions {
    /// No extension.
    pub const NONE: Self =
        Self { cursor: None, resume: None, replayed: false, subscribe: None, profile: false, retry: None };

    /// The `extensions` object of an envelope.
    pub(crate) fn written(&self, optional: bool, trace: Option<&TraceContext>) -> impl serde::Serialize + use<> {
        let Self { cursor, resume, replayed, subscribe, profile, retry } = *self;
        Written {
            optional: optional.then_some(true),
            cursor,
            resume,
            replayed: replayed.then_some(true),
            subscribe,
            profile: profile.then_some(PROFILE_VERSION),
            retry,
            trace_context: trace.map(Into::into),
        }
    }
}

#[derive(serde::Serialize)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    optional: Option<bool>,
    #[serde(rename = "x-vendor.moorline.cursor", skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
    #[serde(rename = "x-vendor.moorline.resume", skip_serializing_if = "Option::is_none")]
    resume: Option<ResumeOptions>,
    #[serde(rename = "x-vendor.moorline.replayed", skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
    #[serde(rename = "x-vendor.moorline.subscribe", skip_serializing_if = "Option::is_none")]
    subscribe: Option<SubscribeOptions>,
    #[serde(rename = "x-vendor.moorline.profile", skip_serializing_if = "Option::is_none")]
    profile: Option<&'static str>,
    #[serde(rename = "x-vendor.moorline.retry", skip_serializing_if = "Option::is_none")]
    retry: Option<Retry>,
    #[serde(rename = "x-vendor.opentelemetry.tracecontext", skip_serializing_if = "Option::is_none")]
    trace_context: Option<trace::Written>,
}

/// The `extensions` object as it stands in an envelope.
#[derive(Default, serde::Deserialize)]
pub(crate) struct RawExtensions {
    #[serde(default)]
    optional: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.opentelemetry.tracecontext")]
    trace_context: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.moorline.cursor")]
    cursor: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.moorline.resume")]
    resume: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.moorline.replayed")]
    replayed: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.moorline.subscribe")]
    subscribe: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.moorline.profile")]
    profile: Option<Box<RawValue>>,
    #[serde(default, rename = "x-vendor.moorline.retry")]
    retry: Option<Box<RawValue>>,
}

impl RawExtensions {
    /// Whether a receiver that does not know the message's type may ignore it.
    pub(crate) fn is_optional(&self) -> bool {
        self.optional.as_ref().is_some_and(|raw| raw.get() == "true")
    }

    /// What the tracing layer of a client puts here.
    pub(crate) fn trace_context(&self) -> Option<&RawValue> {
        self.trace_context.as_deref()
    }

    /// Reads our own. One that is not what it has to be is an error, or left out if `lenient`.
    pub(crate) fn read(&self, lenient: bool) -> Result<Extensions, FieldError> {
        let reader = Reader { lenient };
        Ok(Extensions {
            cursor: reader.object(CURSOR, self.cursor.as_deref())?,
            resume: reader.object(RESUME, self.resume.as_deref())?,
            replayed: reader.flag(REPLAYED, self.replayed.as_deref())?,
            subscribe: reader.object(SUBSCRIBE, self.subscribe.as_deref())?,
            // A hint, and a later version of our client is still our client.
            profile: self.profile.is_some(),
            retry: reader.object(RETRY, self.retry.as_deref())?,
        })
    }
}

struct Reader {
    lenient: bool,
}

impl Reader {
    fn object<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        raw: Option<&RawValue>,
    ) -> Result<Option<T>, FieldError> {
        self.judge(raw.map(|raw| object(&path(name), raw.get())).transpose())
    }

    fn flag(&self, name: &str, raw: Option<&RawValue>) -> Result<bool, FieldError> {
        Ok(self.judge(raw.map(|raw| value(&path(name), raw.get())).transpose())?.unwrap_or(false))
    }

    fn judge<T>(&self, read: Result<Option<T>, FieldError>) -> Result<Option<T>, FieldError> {
        match read {
            Err(_) if self.lenient => Ok(None),
            read => read,
        }
    }
}

fn path(name: &str) -> String {
    format!("extensions.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feature;
    use crate::payload::{JobEntry, JobFilter};

    #[test]
    fn the_names_in_the_structs_are_those_of_the_constants() {
        let all = Extensions {
            cursor: Some(Cursor { epoch: Epoch::from_bytes([0; 16]), event_seq: EventSeq::new(1) }),
            resume: Some(ResumeOptions::default()),
            replayed: true,
            subscribe: Some(SubscribeOptions { overflow: Overflow::Skip }),
            profile: true,
            retry: Some(Retry { after_ms: 1 }),
        };
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let text = serde_json::to_string(&all.written(false, Some(&parent))).unwrap();
        let keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let mut names = [CURSOR, RESUME, REPLAYED, SUBSCRIBE, PROFILE, RETRY, trace::TRACE_CONTEXT];
        names.sort_unstable();
        assert_eq!(keys.keys().map(String::as_str).collect::<Vec<_>>(), names);
        let raw: RawExtensions = serde_json::from_str(&text).unwrap();
        assert_eq!(raw.read(false).unwrap(), all);
        assert_eq!(Feature::Gap.as_str(), GAP);
        let filter = JobFilter { whose: Some(Whose::Observable), ..JobFilter::default() };
        assert_eq!(serde_json::to_value(filter).unwrap(), serde_json::json!({ WHOSE: "observable" }));
        let entry: JobEntry =
            serde_json::from_value(serde_json::json!({ "job_id": "job_1", "status": "running", OWNER: "ada" }))
                .unwrap();
        assert_eq!(entry.owner.as_deref(), Some("ada"));
    }

    #[test]
    fn an_extension_that_cannot_be_read_is_refused_from_a_client_and_left_out_from_a_runtime() {
        for (text, at) in [
            (r#"{"x-vendor.moorline.resume":{"epoch":"yesterday"}}"#, "extensions.x-vendor.moorline.resume.epoch"),
            (r#"{"x-vendor.moorline.resume":{"on_gap":"shrug"}}"#, "extensions.x-vendor.moorline.resume.on_gap"),
            (r#"{"x-vendor.moorline.subscribe":{}}"#, "extensions.x-vendor.moorline.subscribe.overflow"),
            (r#"{"x-vendor.moorline.subscribe":["skip"]}"#, "extensions.x-vendor.moorline.subscribe"),
            (r#"{"x-vendor.moorline.replayed":"yes"}"#, "extensions.x-vendor.moorline.replayed"),
        ] {
            let raw: RawExtensions = serde_json::from_str(text).unwrap();
            assert_eq!(raw.read(false).unwrap_err().path, at);
            assert_eq!(raw.read(true).unwrap(), Extensions::NONE, "{text}");
        }
    }
}
