//! Letting go of the oldest records of jobs that run: what of a gateway session's events cannot be replayed any more.
//!
//! Only of jobs whose events say nothing about the job itself, which has no budget and delegates nothing. What else the
//! job is made of again stays as its [`Prologue`]. Sessions that were shown what goes get their floors first, as before a
//! whole job is removed; one that is still to be shown it keeps it there until the next time.
//!
//! A step is bounded in records for each job, so a journal that has grown long is shortened in several.

use moorline_core::backlog::MissedReason;
use moorline_core::record::{EventText, Fact};
use moorline_store::{ReadLimit, StreamBounds};
use moorline_types::{EventKind, JobId, Json, Offset, StreamId, StreamSeq};

use super::Gateway;
use super::retention::{Clearing, StepError};
use crate::prologue::Prologue;
use crate::registry::JobInput;

/// Records of one job that go in one step: some 20 MiB to be read again at the most usual size, and less than a second of
/// the store's writer.
pub(crate) const STEP: u64 = 65_536;

/// What is read at once.
const PAGE: ReadLimit = ReadLimit::new(4_096, 1024 * 1024);

/// What is to go of one job.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) job: JobId,
    /// The oldest record that stays, as far as one step comes.
    pub(crate) before: StreamSeq,
    /// The events that are counted, by their kind.
    pub(crate) counted: EventKind,
    /// What is to be known at the next start besides.
    pub(crate) carried: Json,
}

/// What has gone of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortened {
    pub(crate) job: JobId,
    /// The oldest record that is left.
    pub(crate) oldest: StreamSeq,
    /// The bodies of what has gone, in bytes.
    pub(crate) bytes: u64,
}

impl Gateway {
    /// Lets go of what these say, and answers what has gone.
    pub(crate) async fn shorten(&self, mut cuts: Vec<Cut>) -> Result<Vec<Shortened>, StepError> {
        let _turn = self.0.retaining.turn().await;
        // Who subscribes waits until this is done: what it is shown must not go while it is being shown.
        let _nobody_subscribes = self.0.going.write().await;
        // One that is over goes as a whole.
        cuts.retain(|cut| self.0.registry.get(cut.job).is_some());
        let mut through = Offset::ZERO;
        let mut whole = Vec::new();
        for cut in &mut cuts {
            let bounds = self.0.store.stream_bounds(StreamId::Job(cut.job)).await?;
            cut.before = cut.before.min(bounds.head).min(StreamSeq::new(bounds.oldest.get().saturating_add(STEP)));
            if cut.before > bounds.oldest {
                through = through.max(self.offset_before(cut.job, cut.before).await?);
                whole.push(bounds);
            } else {
                whole.push(StreamBounds::EMPTY);
            }
        }
        let jobs = cuts.iter().map(|cut| cut.job).collect();
        let reason = MissedReason::TrimmedBySize;
        let awaited = self.clear_for(&jobs, through, Clearing::Raise(reason)).await?;
        let mut shortened = Vec::new();
        for (cut, bounds) in cuts.into_iter().zip(whole) {
            if cut.before > bounds.oldest && bounds != StreamBounds::EMPTY && !awaited.contains(&cut.job) {
                shortened.extend(self.shorten_one(cut, bounds).await?);
            }
        }
        Ok(shortened)
    }

    async fn offset_before(&self, job: JobId, before: StreamSeq) -> Result<Offset, StepError> {
        let last = StreamSeq::new(before.get() - 1);
        let found = self.0.store.read_stream(StreamId::Job(job), last, ReadLimit::new(1, 1)).await?;
        Ok(found.first().map_or(Offset::ZERO, |record| record.offset()))
    }

    async fn shorten_one(&self, cut: Cut, bounds: StreamBounds) -> Result<Option<Shortened>, StepError> {
        let Cut { job, before, counted, carried } = cut;
        let stream = StreamId::Job(job);
        let earlier = Prologue::read(self.0.store.as_ref(), job).await?;
        if earlier.is_none() && bounds.oldest > StreamSeq::FIRST {
            tracing::error!(%job, "a job's beginning is gone; nothing more goes of it");
            return Ok(None);
        }
        let mut prologue = earlier.unwrap_or_else(Prologue::new);
        let mut next = prologue.through().next();
        let before = before.max(next);
        let mut bytes = 0;
        while next < before {
            let page = self.0.store.read_stream(stream, next, PAGE).await?;
            let Some(last) = page.last() else { break };
            next = last.seq.next();
            for record in page.iter().take_while(|record| record.seq < before) {
                bytes += record.body.len() as u64;
                let (reported, is_counted) = match EventText::of(record.get()) {
                    Some(event) => (event.worker_seq, event.kind == counted.as_str()),
                    None => {
                        let fact = Fact::decode(record.get())?;
                        (fact.worker_seq(), matches!(&fact, Fact::Event(event) if event.kind == counted))
                    }
                };
                prologue.take(record.get(), reported, is_counted);
            }
        }
        prologue.carried = carried;
        if prologue.is_too_large() {
            tracing::warn!(%job, "what a job is made of is too large; its events stay in the journal until it ends");
            return Ok(None);
        }
        prologue.write(self.0.store.as_ref(), job).await?;
        // Nothing needs them from here on, whether or not they can be removed by now.
        self.tell(job, JobInput::Shortened { bytes }).await;
        let oldest = self.0.store.trim_stream(stream, before).await?;
        Ok(Some(Shortened { job, oldest, bytes }))
    }
}
