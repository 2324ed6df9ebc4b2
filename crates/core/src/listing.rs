//! Listing jobs (spec 6.6): what an entry of the index says, which entries a filter admits, and where a page ends.
//!
//! A list has the principal's own jobs, as it has with every official SDK, so that a client which takes up what it has
//! left finds nothing else. Whoever asks for it gets every job that it may observe ([`Whose`]).
//!
//! The index has one small document for each job. Its key is the principal's digest and the job's id, which begins with
//! the moment of acceptance: a principal's jobs are a range of keys in the order of their creation, and a span of time
//! is a part of that range.
//!
//! A page ends with a *cursor*: the last job that was looked at, and a digest that binds it to principal and filter. It
//! needs no memory and outlives a restart. Jobs that come or go in between do not move the others, so nothing is told
//! twice or left out.

use std::collections::{BTreeMap, BTreeSet};

use moorline_types::{AgentRef, JobId, Json, PrincipalId, SessionId, Tag, Timestamp, TraceId, Units};
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::digest::Parts;
use crate::job::Status;
use crate::record::Accepted;

/// The largest lease that is kept in the index, in bytes of JSON. A larger one is read from the job when it is listed:
/// an entry must stay far below the largest document, and few leases have more than some hundred bytes.
const MAX_INDEXED_LEASE_BYTES: usize = 8 * 1024;

/// What the index says of a job. JSON, like records; fields are added, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The session that submitted it.
    pub session: SessionId,
    /// The agent's name.
    pub agent: String,
    /// The agent's version.
    pub version: String,
    /// The trace that the job belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<TraceId>,
    /// What the job may do; absent if that is long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<Json>,
    /// What the job is marked with, which says in which lists it is.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub tags: BTreeSet<Tag>,
    /// The job that delegated it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<JobId>,
    /// How it ended; absent until that is known here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<Status>,
    /// What was left of its budget then, by currency. Absent in entries of earlier versions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub remaining: BTreeMap<Box<str>, Units>,
}

impl Entry {
    /// The entry of a job that is accepted.
    pub fn of(accepted: &Accepted) -> Self {
        let Accepted { session, agent, version, trace_id, lease, tags, parent, .. } = accepted;
        Self {
            session: *session,
            agent: agent.clone(),
            version: version.clone(),
            trace_id: *trace_id,
            lease: (lease.get().len() <= MAX_INDEXED_LEASE_BYTES).then(|| lease.clone()),
            tags: tags.clone(),
            parent: parent.as_ref().map(|parent| parent.job),
            ended: None,
            remaining: BTreeMap::new(),
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        // Serialising to memory fails only for maps with keys that are no strings; an entry's has strings.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What was stored.
    ///
    /// # Errors
    /// If it is no entry: the store is damaged.
    pub fn decode(stored: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(stored)
    }
}

/// A part of the index: a principal's, or one of several principals' jobs.
#[derive(Debug, Clone)]
pub struct Range(String);

impl Range {
    /// The range of the keys of this principal's jobs.
    pub fn of(principal: &PrincipalId) -> Self {
        Self(format!("{}/", Parts::new("jobs of").with(principal.as_str()).finish()))
    }

    /// The range of the keys of everybody's jobs.
    pub fn everybody() -> Self {
        Self("all/".to_owned())
    }

    /// The range of the keys of the jobs with this tag.
    pub fn tagged(tag: &Tag) -> Self {
        Self(format!("{}/", Parts::new("jobs tagged").with(tag.as_str()).finish()))
    }

    /// The key of one job.
    pub fn key(&self, job: JobId) -> String {
        format!("{}{job}", self.0)
    }

    /// What comes before every key of the range, and after those of the ranges before it.
    pub fn start(&self) -> &str {
        &self.0
    }

    /// The job that a key names, if it is of this range.
    pub fn job(&self, key: &str) -> Option<JobId> {
        key.strip_prefix(&self.0)?.parse().ok()
    }
}

/// When a job was made, by its id. It is accepted after that, as soon as it is committed, or as its credential is issued
/// if it gets one.
pub fn created_at(job: JobId) -> Timestamp {
    let millis = job.to_bytes().iter().take(6).fold(0, |millis, byte| millis << 8 | u64::from(*byte));
    Timestamp::from_unix_millis(millis)
}

/// Whose jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whose {
    /// The principal's own.
    #[default]
    Own,
    /// Everybody's that the principal may observe.
    Observable,
}

/// Which jobs. What is absent or empty does not narrow the choice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobFilter {
    /// Of whom.
    pub whose: Whose,
    /// In one of these states.
    pub statuses: Vec<Status>,
    /// Of this agent; a bare name means every version.
    pub agent: Option<AgentRef>,
    /// Accepted later than this.
    pub created_after: Option<Timestamp>,
    /// Accepted earlier than this.
    pub created_before: Option<Timestamp>,
}

impl JobFilter {
    /// The last id that is too early, if the filter has a beginning.
    pub fn starts_after(&self) -> Option<JobId> {
        self.created_after.map(|after| JobId::mint(after, [u8::MAX; 10]))
    }

    /// Whether this job, and with it every later one, is too late.
    pub fn ends_before(&self, job: JobId) -> bool {
        self.created_before.is_some_and(|before| created_at(job) >= before)
    }

    /// Whether jobs of this agent and version are wanted.
    pub fn admits_agent(&self, name: &str, version: &str) -> bool {
        self.agent.as_ref().is_none_or(|agent| {
            agent.name.as_str() == name && agent.version.as_ref().is_none_or(|wanted| wanted.as_str() == version)
        })
    }

    /// Whether jobs that stand so are wanted.
    pub fn admits_status(&self, status: Status) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// What tells the filter from others, for a cursor. The same choice in other words is the same filter.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.statuses.iter().map(ToString::to_string).collect();
        words.sort_unstable();
        words.dedup();
        let agent = self.agent.iter().map(|agent| format!("agent {agent}"));
        let after = self.created_after.iter().map(|after| format!("after {after}"));
        let before = self.created_before.iter().map(|before| format!("before {before}"));
        let whose = match self.whose {
            Whose::Own => None,
            Whose::Observable => Some("observable".to_owned()),
        };
        words.extend(agent.chain(after).chain(before).chain(whose));
        words
    }
}

/// The text that stands for the end of a page.
pub fn cursor(principal: &PrincipalId, filter: &JobFilter, last: JobId) -> String {
    let parts = Parts::new("jobs cursor").with(principal.as_str()).with(last.to_bytes());
    let digest = filter.words().into_iter().fold(parts, Parts::with).finish().to_string();
    let id = last.to_string();
    format!("{}{digest}", id.strip_prefix(JobId::PREFIX).unwrap_or_default())
}

/// Where the page after this cursor begins: after this job.
///
/// # Errors
/// If the cursor was given to another principal, or for another filter, or is none.
pub fn position(principal: &PrincipalId, filter: &JobFilter, presented: &str) -> Result<JobId, Refusal> {
    let id = presented.get(..26).and_then(|id| format!("{}{id}", JobId::PREFIX).parse().ok());
    id.filter(|last| cursor(principal, filter, *last) == presented).ok_or(Refusal::CursorUnknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::tests::plain;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn principal(name: &str) -> PrincipalId {
        name.parse().unwrap()
    }

    fn filter(statuses: &[Status], agent: &str) -> JobFilter {
        JobFilter { statuses: statuses.to_vec(), agent: agent.parse().ok(), ..JobFilter::default() }
    }

    fn accepted(lease: &str) -> Accepted {
        Accepted { session: SessionId::mint(at(1), [1; 10]), ..plain(lease) }
    }

    #[test]
    fn an_entry_reads_back_and_stays_small_whatever_the_lease_is() {
        let mut entry = Entry::of(&accepted(r#"{"fs.read": ["/a"]}"#));
        entry.ended = Some(Status::TimedOut);
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        assert!(String::from_utf8(entry.encode()).unwrap().contains(r#""ended":"timed_out""#));
        let long = format!(r#"{{"fs.read": ["{}"]}}"#, "a".repeat(100_000));
        let entry = Entry::of(&accepted(&long));
        assert_eq!(entry.lease, None);
        assert!(entry.encode().len() < 1_024);
    }

    #[test]
    fn a_filter_admits_what_it_names_and_a_bare_name_every_version() {
        let named = filter(&[], "echo");
        assert!(named.admits_agent("echo", "1.0.0") && named.admits_agent("echo", "2"));
        assert!(!named.admits_agent("echo2", "1.0.0"));
        let exact = filter(&[], "echo@2");
        assert!(exact.admits_agent("echo", "2") && !exact.admits_agent("echo", "1.0.0"));
        let running = filter(&[Status::Running, Status::Pending], "");
        assert!(running.admits_status(Status::Pending) && !running.admits_status(Status::Success));
        assert!(JobFilter::default().admits_status(Status::Error) && JobFilter::default().admits_agent("a", "b"));
    }

    #[test]
    fn both_ends_of_a_span_of_time_are_left_out() {
        let span =
            JobFilter { created_after: Some(at(1_000)), created_before: Some(at(2_000)), ..JobFilter::default() };
        let is_in = |millis, entropy| {
            let job = JobId::mint(at(millis), entropy);
            job > span.starts_after().unwrap() && !span.ends_before(job)
        };
        for (millis, expected) in [(999, false), (1_000, false), (1_001, true), (1_999, true), (2_000, false)] {
            assert_eq!((is_in(millis, [0; 10]), is_in(millis, [254; 10])), (expected, expected), "{millis}");
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_principal_and_filter_and_for_nothing_else() {
        let (ada, eve) = (principal("ada"), principal("eve"));
        let (one, other) = (filter(&[Status::Running], "echo"), filter(&[Status::Running], "echo@1"));
        let job = JobId::mint(at(5), [9; 10]);
        let given = cursor(&ada, &one, job);
        assert_eq!(position(&ada, &one, &given), Ok(job));
        let repeated = filter(&[Status::Running, Status::Running], "echo");
        assert_eq!(position(&ada, &repeated, &given), Ok(job), "the same choice");
        for (who, what, text) in [
            (&eve, &one, given.as_str()),
            (&ada, &other, &given),
            (&ada, &JobFilter::default(), &given),
            (&ada, &JobFilter { whose: Whose::Observable, ..one.clone() }, &given),
            (&ada, &one, ""),
            (&ada, &one, "0"),
            (&ada, &one, "ééééééééééééééé"),
            (&ada, &one, given.get(..26).unwrap()),
            (&ada, &one, &format!("{given}0")),
            (&ada, &one, &given.to_lowercase()),
        ] {
            assert_eq!(position(who, what, text), Err(Refusal::CursorUnknown), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_that_was_changed_anywhere_is_none(place in 0_usize..90, byte in 0x20_u8..0x7f) {
            let (ada, filter) = (principal("ada"), JobFilter::default());
            let given = cursor(&ada, &filter, JobId::mint(at(5), [9; 10]));
            prop_assert_eq!(given.len(), 90);
            let mut bytes = given.clone().into_bytes();
            bytes[place] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(position(&ada, &filter, &changed).is_ok(), changed == given);
        }

        #[test]
        fn the_order_of_keys_is_the_order_of_creation(one in 0_u64..1 << 40, other in 0_u64..1 << 40, n: [u8; 10]) {
            let range = Range::of(&principal("ada"));
            let job = |millis| JobId::mint(at(millis), n);
            prop_assert_eq!(created_at(job(one)), at(one));
            prop_assert_eq!(range.key(job(one)).cmp(&range.key(job(other))), one.cmp(&other));
            prop_assert!(range.key(job(one)).as_str() > range.start());
            prop_assert_eq!(range.job(&range.key(job(one))), Some(job(one)));
            let tag = "ada".parse().unwrap();
            for other in [Range::of(&principal("eve")), Range::tagged(&tag), Range::everybody()] {
                prop_assert_eq!(other.job(&range.key(job(one))), None);
            }
        }
    }
}
