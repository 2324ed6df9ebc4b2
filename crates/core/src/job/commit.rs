//! From what is decided to what is durable, and from there to its effects.

use moorline_types::{Batch, RecordKind, Timestamp, WorkerSeq, limits};

use super::{Effect, Job, Offer, UnderWay};
use crate::record::Fact;

impl Job {
    /// The next batch for the store, if something is decided and nothing is with the store. The only place where a
    /// job's records get their numbers.
    pub fn poll_append(&mut self) -> Option<Batch> {
        if let Some(under_way) = &mut self.under_way {
            return (under_way.offer == Offer::Due).then(|| {
                under_way.offer = Offer::WithStore;
                under_way.batch.clone()
            });
        }
        let under_way = self.next_batch()?;
        let batch = under_way.batch.clone();
        self.under_way = Some(under_way);
        Some(batch)
    }

    /// The store has committed the batch that it was given.
    pub fn handle_committed(&mut self, now: Timestamp) {
        let Some(UnderWay { batch, worker_seq, ends, .. }) = self.under_way.take() else { return };
        for record in &batch.records {
            self.head = record.seq;
            if record.kind == RecordKind::JobAccepted {
                self.effects.push_back(Effect::Dispatch);
            }
            if record.kind == RecordKind::JobCancelRequested {
                self.handle_cancel_committed(now);
            }
        }
        // When the job is over, the reports that came too late need not be kept by the worker either.
        let settled = if ends { self.reported } else { worker_seq };
        if settled > self.acknowledged {
            self.acknowledged = settled;
            self.acknowledge();
        }
        if ends {
            if let Some(fence) = self.fence
                && !self.worker_done
            {
                self.effects.push_back(Effect::Kill { fence });
            }
            self.effects.push_back(Effect::Release);
        }
    }

    /// The store has refused the batch that it was given: nothing of it is in the journal.
    pub fn handle_refused(&mut self, now: Timestamp) {
        if let Some(under_way) = &mut self.under_way {
            under_way.offer = Offer::RetryAt(now + limits::APPEND_RETRY_DELAY);
        }
    }

    /// The next effect of what is committed.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) fn acknowledge(&mut self) {
        if let Some(fence) = self.fence
            && self.acknowledged > WorkerSeq::ZERO
        {
            self.effects.push_back(Effect::Acknowledge { fence, worker_seq: self.acknowledged });
        }
    }

    fn next_batch(&mut self) -> Option<UnderWay> {
        let mut under_way =
            UnderWay { batch: Batch::default(), offer: Offer::WithStore, worker_seq: self.acknowledged, ends: false };
        let mut bytes = 0;
        while let Some((at, fact)) = self.waiting.front() {
            let record = self.record(under_way.batch.records.len() as u64 + 1, *at, fact);
            bytes += record.body.len();
            let full = under_way.batch.records.len() == limits::MAX_BATCH_RECORDS || bytes > limits::MAX_BATCH_BYTES;
            if full && !under_way.batch.records.is_empty() {
                break;
            }
            under_way.worker_seq = fact.worker_seq().unwrap_or(under_way.worker_seq);
            under_way.ends = matches!(fact, Fact::Result(_) | Fact::Error(_));
            under_way.batch.records.push(record);
            self.waiting.pop_front();
        }
        (!under_way.batch.records.is_empty()).then_some(under_way)
    }
}
