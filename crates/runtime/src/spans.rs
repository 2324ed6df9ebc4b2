//! Finished spans on their way to whoever exports them.
//!
//! Nobody waits for an exporter: what finds no room is dropped and counted. As long as nobody exports there are no spans,
//! because no job is recorded then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use moorline_core::job::Job;
use moorline_core::span::{Commit, Moment, SLOW_COMMIT, Span, of_session};
use moorline_core::trace::Participation;
use moorline_types::{PrincipalId, Record, SessionId, StreamSeq, Timestamp, TraceId};
use tokio::sync::mpsc;

use crate::clock::Clock;

/// Spans that may wait for the exporter: a second of a gateway that ends a thousand jobs in it, each with some calls.
/// They have less than a kilobyte each.
const QUEUE: usize = 4096;

/// Takes finished spans. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    exporter: OnceLock<mpsc::Sender<Span>>,
    dropped: AtomicU64,
}

/// What an exporter takes spans from.
#[derive(Debug)]
pub struct FinishedSpans {
    queue: mpsc::Receiver<Span>,
    spans: Spans,
}

impl Spans {
    /// Has spans kept for an exporter from here on. `None` if there is one already.
    pub(crate) fn export(&self) -> Option<FinishedSpans> {
        let (exporter, queue) = mpsc::channel(QUEUE);
        self.0.exporter.set(exporter).ok()?;
        Some(FinishedSpans { queue, spans: self.clone() })
    }

    /// Hands a span to the exporter, if there is one.
    pub(crate) fn tell(&self, span: Span) {
        if let Some(exporter) = self.0.exporter.get()
            && exporter.try_send(span).is_err()
        {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl FinishedSpans {
    /// Waits for spans and takes as many as there are, up to `limit`. Answers how many it took; none at the end.
    pub async fn take(&mut self, into: &mut Vec<Span>, limit: usize) -> usize {
        self.queue.recv_many(into, limit).await
    }

    /// Takes no further spans; those that are waiting can still be taken.
    pub fn close(&mut self) {
        self.queue.close();
    }

    /// How many spans found no room since this was asked last.
    pub fn take_dropped(&self) -> u64 {
        self.spans.0.dropped.swap(0, Ordering::Relaxed)
    }
}

/// Tells of sessions that are over.
#[derive(Debug)]
pub(crate) struct SessionSpans {
    pub(crate) spans: Spans,
    pub(crate) participation: Participation,
}

impl SessionSpans {
    /// A session is over for good.
    pub(crate) fn tell(&self, now: Timestamp, id: SessionId, principal: &PrincipalId) {
        let Participation { sampling, exports } = self.participation;
        if exports && sampling.samples(TraceId::of_session(id)) {
            self.spans.tell(of_session(id, principal, now));
        }
    }
}

/// A commit that is timed, because it may be worth a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    after: StreamSeq,
    records: usize,
    bytes: usize,
    start: Moment,
}

/// Which commits are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// Always: a client waits for this one.
    Always,
    /// If it was slow, or failed.
    IfSlow,
}

impl Timed {
    /// Begins to time a commit of this job; `None`, and nothing is timed, if the job is not recorded.
    pub(crate) fn begin(job: &Job, clock: &Clock, records: &[Record]) -> Option<Self> {
        job.recorded_span()?;
        let (records, bytes) = (records.len(), records.iter().map(|record| record.body.len()).sum());
        Some(Self { after: job.head(), records, bytes, start: clock.moment() })
    }

    /// The store has answered: with this fault, if it refused.
    pub(crate) fn end(self, job: &Job, clock: &Clock, spans: &Spans, worth: Worth, refused: Option<&str>) {
        let Self { after, records, bytes, start } = self;
        let commit = Commit { after, records, bytes, start, end: clock.moment(), refused };
        let is_told = worth == Worth::Always || refused.is_some() || commit.end.since(start) >= SLOW_COMMIT;
        if let (true, Some((trace, span))) = (is_told, job.recorded_span()) {
            spans.tell(commit.span(job.id(), trace, span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        let now = Timestamp::from_unix_millis(1);
        of_session(SessionId::mint(now, [1; 10]), &"ada".parse().unwrap(), now)
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted_and_nobody_waits() {
        let spans = Spans::default();
        spans.tell(span());
        let mut finished = spans.export().unwrap();
        assert!(spans.export().is_none(), "one exporter");
        for _ in 0..QUEUE + 3 {
            spans.tell(span());
        }
        assert_eq!((finished.take_dropped(), finished.take_dropped()), (3, 0));
        finished.close();
        spans.tell(span());
        let mut taken = Vec::new();
        while finished.take(&mut taken, 1000).await > 0 {}
        assert_eq!((taken.len(), finished.take_dropped()), (QUEUE, 1));
    }
}
