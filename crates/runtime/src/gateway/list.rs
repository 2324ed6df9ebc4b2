//! Lists of jobs (spec 6.6).

use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::access::{Action, Relation, authorise};
use moorline_core::job::Status;
use moorline_core::listing::{self, JobFilter, Range, Whose};
use moorline_store::ReadError;
use moorline_types::{EventSeq, JobId, Json, Principal, PrincipalId, Timestamp, TraceId, limits};

use super::{Gateway, unavailable};
use crate::job_lists::{Found, Merged};

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
    /// Whose it is; absent in a list of the principal's own.
    pub owner: Option<PrincipalId>,
    /// The agent's name.
    pub agent: String,
    /// The agent's version.
    pub version: String,
    /// Where it stands, as far as it is committed.
    pub status: Status,
    /// What it may do.
    pub lease: Json,
    /// The job that delegated it.
    pub parent: Option<JobId>,
    /// When it was made, a moment before it was accepted: [`listing::created_at`].
    pub created_at: Timestamp,
    /// The trace that it belongs to.
    pub trace_id: Option<TraceId>,
    /// The last number under which the session that submitted it was given a record of it; 0 if none was, or if it is
    /// not known any more.
    pub last_event_seq: EventSeq,
}

impl Gateway {
    /// The jobs that the principal asks for, page by page: nothing is looked at that it may not see.
    pub(crate) async fn list_jobs(&self, principal: &Principal, query: &JobQuery) -> Result<JobPage, Refusal> {
        let JobQuery { filter, limit, cursor } = query;
        let told = cursor.as_deref().map(|cursor| listing::position(&principal.id, filter, cursor)).transpose()?;
        let limit = limit.map_or(limits::DEFAULT_LIST_JOBS, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limit = limit.clamp(1, limits::MAX_LIST_JOBS);
        let end = |last: Option<JobId>| last.map(|last| listing::cursor(&principal.id, filter, last));
        let mut last = told.max(filter.starts_after());
        let mut jobs = self.jobs_of(principal, filter.whose, last);
        let mut page = JobPage { jobs: Vec::new(), next_cursor: None };
        let (mut looked_up, mut scanned, mut bytes) = (0, 0, 0);
        while let Some(found) = jobs.next().await.map_err(unavailable)? {
            let job = found.job;
            if filter.ends_before(job) {
                return Ok(page);
            }
            let is_enough = page.jobs.len() == limit || looked_up == limits::MAX_LIST_JOBS_LOOKED_UP;
            if is_enough || scanned == limits::MAX_LIST_JOBS_SCANNED {
                return Ok(JobPage { next_cursor: end(last), ..page });
            }
            looked_up += usize::from(found.entry.is_none());
            if let Some(listed) = self.look(found, filter).await.map_err(unavailable)? {
                bytes += listed.lease.get().len() + ENTRY_BYTES;
                if bytes > limits::MAX_LIST_JOBS_BYTES && !page.jobs.is_empty() {
                    return Ok(JobPage { next_cursor: end(last), ..page });
                }
                page.jobs.push(listed);
            }
            scanned += 1;
            last = Some(job);
        }
        Ok(page)
    }

    /// The jobs of whom the principal asks for, as far as it may observe them, after this one.
    fn jobs_of(&self, principal: &Principal, whose: Whose, after: Option<JobId>) -> Merged {
        let may_see = |relation| authorise(principal, Action::Observe, relation).is_ok();
        let none = Merged::new(Arc::clone(&self.0.store), self.0.index.clone());
        match whose {
            Whose::Observable if may_see(Relation::Stranger) => none.and(Range::everybody(), after),
            Whose::Observable if may_see(Relation::SharesTag) => {
                let tags = principal.grants.tags.iter();
                tags.fold(none.own(&principal.id, after), |jobs, tag| jobs.and(Range::tagged(tag), after))
            }
            Whose::Own | Whose::Observable => none.own(&principal.id, after),
        }
    }

    /// The job that was found, if there is one and the filter admits it.
    async fn look(&self, found: Found, filter: &JobFilter) -> Result<Option<ListedJob>, ReadError> {
        let Found { job, owner, entry } = found;
        let entry = match entry {
            Some(entry) => Some(entry),
            None => self.0.index.get(job, &owner).await?,
        };
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
            owner: match filter.whose {
                Whose::Own => None,
                Whose::Observable => Some(owner),
            },
            agent: entry.agent,
            version: entry.version,
            status,
            lease,
            parent: entry.parent,
            created_at: listing::created_at(job),
            trace_id: entry.trace_id,
            last_event_seq: self.0.last_seen.get(job, entry.session),
        }))
    }
}
