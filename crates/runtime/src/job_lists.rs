//! Jobs of several principals in the order of creation: every job of everybody, and those that carry one tag.
//!
//! - A list is a range of keys, as a principal's own jobs are ([`crate::job_index`]); what it has of a job is whose it is,
//!   and the rest is that owner's entry. It is written with the job's entry, changes never, and goes with it.
//! - What a principal may see of others is some of these ranges, so nobody's job is looked at that it may not see.
//! - Several ranges are read as one: the next job is the earliest of theirs, and one that is in several is told once.
//! - A journal of an earlier version has no such lists. The first start of this version writes them, once.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use moorline_core::listing::{Entry, Range};
use moorline_core::record::{Accepted, Fact};
use moorline_store::{Change, Collection, DocKey, Expect, ReadError, ReadLimit, Store};
use moorline_types::{Batch, JobId, PrincipalId, StreamId, StreamSeq, Tag};

use crate::job_index::JobIndex;

/// Documents that are read at once.
const PAGE: usize = 256;

/// The document that says that the lists are complete.
const COMPLETE: &str = "job_lists";

/// The lists that a job is in, to be committed with its entry.
pub(crate) fn entries<'a>(job: JobId, owner: &'a PrincipalId, tags: impl IntoIterator<Item = &'a Tag>) -> Vec<Change> {
    let owner = Bytes::copy_from_slice(owner.as_str().as_bytes());
    ranges(tags).map(|range| Change::put(key(&range, job), owner.clone(), Expect::Any)).collect()
}

/// The job's removal from them, to be committed with its entry's.
pub(crate) fn removals<'a>(job: JobId, tags: impl IntoIterator<Item = &'a Tag>) -> Vec<Change> {
    ranges(tags).map(|range| Change::delete(key(&range, job), Expect::Any)).collect()
}

fn ranges<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> impl Iterator<Item = Range> {
    std::iter::once(Range::everybody()).chain(tags.into_iter().map(Range::tagged))
}

fn key(range: &Range, job: JobId) -> DocKey {
    DocKey::new(Collection::JobLists, range.key(job)).expect("a word or a digest, and a job's id, are a valid key")
}

/// A job that is in one of the ranges that are read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) job: JobId,
    /// Whose it is.
    pub(crate) owner: PrincipalId,
    /// What the index says of it, if that was read with it.
    pub(crate) entry: Option<Entry>,
}

/// Some ranges, read as one.
#[derive(Debug)]
pub(crate) struct Merged {
    store: Arc<dyn Store>,
    index: JobIndex,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    range: Range,
    /// Whose jobs these are, if they are one principal's own.
    own: Option<PrincipalId>,
    /// The last that was read.
    last: Option<JobId>,
    read: VecDeque<Found>,
    is_over: bool,
}

impl Merged {
    /// Nothing yet.
    pub(crate) const fn new(store: Arc<dyn Store>, index: JobIndex) -> Self {
        Self { store, index, sources: Vec::new() }
    }

    /// And the principal's own jobs after this one.
    pub(crate) fn own(mut self, principal: &PrincipalId, after: Option<JobId>) -> Self {
        self.sources.push(Source::new(Range::of(principal), Some(principal.clone()), after));
        self
    }

    /// And the jobs of this range after this one.
    pub(crate) fn and(mut self, range: Range, after: Option<JobId>) -> Self {
        self.sources.push(Source::new(range, None, after));
        self
    }

    /// The earliest job that was not told yet.
    pub(crate) async fn next(&mut self) -> Result<Option<Found>, ReadError> {
        for source in &mut self.sources {
            source.fill(&self.store, &self.index).await?;
        }
        let firsts = self.sources.iter().filter_map(|source| Some(source.read.front()?.job));
        let Some(job) = firsts.min() else { return Ok(None) };
        let mut found = None;
        for source in &mut self.sources {
            let first = source.read.pop_front_if(|first| first.job == job);
            found = found.or(first);
        }
        Ok(found)
    }
}

impl Source {
    const fn new(range: Range, own: Option<PrincipalId>, last: Option<JobId>) -> Self {
        Self { range, own, last, read: VecDeque::new(), is_over: false }
    }

    async fn fill(&mut self, store: &Arc<dyn Store>, index: &JobIndex) -> Result<(), ReadError> {
        while self.read.is_empty() && !self.is_over {
            match &self.own {
                Some(owner) => {
                    let page = index.after(&self.range, self.last).await?;
                    self.is_over = page.is_empty();
                    self.last = page.last().map(|(job, _)| *job).or(self.last);
                    let found = |(job, entry): (JobId, Option<Entry>)| {
                        entry.map(|entry| Found { job, owner: owner.clone(), entry: Some(entry) })
                    };
                    self.read.extend(page.into_iter().filter_map(found));
                }
                None => {
                    let after = self.last.map(|job| self.range.key(job));
                    let after = after.as_deref().unwrap_or(self.range.start());
                    index.settle().await;
                    let page = store.list(Collection::JobLists, Some(after), PAGE).await?;
                    let jobs: Vec<_> = page
                        .iter()
                        .map_while(|(key, found)| Some((self.range.job(key.key())?, &found.value)))
                        .collect();
                    self.is_over = jobs.is_empty();
                    self.last = jobs.last().map(|(job, _)| *job).or(self.last);
                    self.read.extend(jobs.into_iter().filter_map(|(job, owner)| {
                        let owner = std::str::from_utf8(owner).ok()?.parse().ok()?;
                        Some(Found { job, owner, entry: None })
                    }));
                }
            }
        }
        Ok(())
    }
}

/// Writes the lists of a journal that has none, so that they have every job. Does nothing if that was done.
pub(crate) async fn complete(store: &Arc<dyn Store>) -> Result<(), ReadError> {
    let done = DocKey::new(Collection::Meta, COMPLETE).expect("the name is a valid key");
    if store.get(&done).await?.is_some() {
        return Ok(());
    }
    let mut after: Option<String> = None;
    loop {
        let page = store.list(Collection::JobIndex, after.as_deref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.key().to_owned());
        let mut changes = Vec::new();
        for (key, document) in &page {
            let Some(job) = key.key().rsplit('/').next().and_then(|job| job.parse().ok()) else { continue };
            let (Ok(entry), Some(accepted)) = (Entry::decode(&document.value), accepted(store, job).await?) else {
                continue;
            };
            changes.extend(entries(job, &accepted.principal, &accepted.tags));
            if !accepted.tags.is_empty() {
                let entry = Entry { tags: accepted.tags, ..entry };
                changes.push(Change::put(key.clone(), entry.encode().into(), Expect::Revision(document.revision)));
            }
        }
        if let Err(error) = store.append_with(Batch::default(), changes).await {
            tracing::warn!(%error, "lists of jobs of others are not complete; the next start completes them");
            return Ok(());
        }
    }
    if let Err(error) = store.put(&done, Bytes::new(), Expect::Any).await {
        tracing::debug!(%error, "that the lists of jobs are complete is not noted; the next start looks again");
    }
    Ok(())
}

async fn accepted(store: &Arc<dyn Store>, job: JobId) -> Result<Option<Accepted>, ReadError> {
    let first = store.read_stream(StreamId::Job(job), StreamSeq::FIRST, ReadLimit::new(1, 1)).await?;
    let Some(Ok(Fact::Accepted(accepted))) = first.first().map(|record| Fact::decode(record.get())) else {
        return Ok(None);
    };
    Ok(Some(accepted))
}
