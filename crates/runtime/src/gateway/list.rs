//! Lists of jobs (spec 6.6).

use moorline_core::Refusal;
use moorline_core::job::Status;
use moorline_core::listing::{self, Entry, JobFilter, Range};
use moorline_store::ReadError;
use moorline_types::{EventSeq, JobId, Json, PrincipalId, Timestamp, TraceId, limits};

use super::{Gateway, unavailable};

/// What an entry takes in a message beside its lease: names, ids and moments of bounded length.
const ENTRY_BYTES: usize = 600;

/// Which jobs, how many, and from where on.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Which jobs.
    pub filter: JobFilter,
    /// How many at the most; [`limits::DEFAULT_LIST_JOBS`] if absent, and never more than [`limits::MAX_LIST_JOBS`].
    pub limit: Option<u64>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A page of jobs, oldest first.
#[derive(Debug, Clone)]
pub struct JobPage {
    /// The jobs. Perhaps none, although there are more.
    pub jobs: Vec<ListedJob>,
    /// Where the next page begins, if there may be one.
    pub next_cursor: Option<String>,
}

/// One job in a page.
#[derive(Debug, Clone)]
pub struct ListedJob {
    /// Its id.
    pub job: JobId,
    /// The agent's name.
    pub agent: String,
    /// The agent's version.
    pub version: String,
    /// Where it stands, as far as it is committed.
    pub status: Status,
    /// What it may do.
    pub lease: Json,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
    /// The last number under which the session that submitted it was given a record of it; 0 if none was, or if it is
    /// not known any more.
    pub last_event_seq: EventSeq,
}

impl Gateway {
    /// The jobs of this principal and of nobody else, page by page.
    pub(crate) async fn list_jobs(&self, principal: &PrincipalId, query: &JobQuery) -> Result<JobPage, Refusal> {
        let JobQuery { filter, limit, cursor } = query;
        let told = cursor.as_deref().map(|cursor| listing::position(principal, filter, cursor)).transpose()?;
        let limit = limit.map_or(limits::DEFAULT_LIST_JOBS, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = limit.clamp(1, limits::MAX_LIST_JOBS);
        let end = |last: Option<JobId>| last.map(|last| listing::cursor(principal, filter, last));
        let range = Range::of(principal);
        let mut last = told.max(filter.starts_after());
        let mut page = JobPage { jobs: Vec::new(), next_cursor: None };
        let (mut scanned, mut bytes) = (0, 0);
        loop {
            let entries = self.0.index.after(&range, last).await.map_err(unavailable)?;
            if entries.is_empty() {
                return Ok(page);
            }
            for (job, entry) in entries {
                if filter.ends_before(job) {
                    return Ok(page);
                }
                if page.jobs.len() == limit || scanned == limits::MAX_LIST_JOBS_SCANNED {
                    return Ok(JobPage { next_cursor: end(last), ..page });
                }
                if let Some(listed) = self.look(job, entry, filter).await.map_err(unavailable)? {
                    bytes += listed.lease.get().len() + ENTRY_BYTES;
                    if bytes > limits::MAX_LIST_JOBS_BYTES && !page.jobs.is_empty() {
                        return Ok(JobPage { next_cursor: end(last), ..page });
                    }
                    page.jobs.push(listed);
                }
                scanned += 1;
                last = Some(job);
            }
        }
    }

    /// The job of this entry, if there is one and the filter admits it.
    async fn look(&self, job: JobId, entry: Option<Entry>, filter: &JobFilter) -> Result<Option<ListedJob>, ReadError> {
        let Some(entry) = entry.filter(|entry| filter.admits_agent(&entry.agent, &entry.version)) else {
            return Ok(None);
        };
        let (status, lease) = match (self.0.registry.get(job), entry.ended) {
            (Some(handle), _) => (handle.status(), Some(handle.accepted.lease.clone())),
            (None, Some(status)) => (status, entry.lease),
            // It begins or ends at this moment, or an ending could not be noted.
            (None, None) => match self.read_summary(job).await? {
                Some(summary) => (summary.status, Some(summary.accepted.lease.clone())),
                None => return Ok(None),
            },
        };
        if !filter.admits_status(status) {
            return Ok(None);
        }
        let lease = match lease {
            Some(lease) => lease,
            None => match self.read_summary(job).await? {
                Some(summary) => summary.accepted.lease.clone(),
                None => return Ok(None),
            },
        };
        Ok(Some(ListedJob {
            job,
            agent: entry.agent,
            version: entry.version,
            status,
            lease,
            created_at: listing::created_at(job),
            trace_id: entry.trace_id,
            last_event_seq: self.0.last_seen.get(job, entry.session),
        }))
    }
}
