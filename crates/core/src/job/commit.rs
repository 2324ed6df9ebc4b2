//! From what is decided to what is durable, and from there to its effects.

use moorline_types::{Batch, Record, RecordKind, StreamId, StreamSeq, Timestamp, WorkerSeq, limits};

use super::{Effect, Job, Offer, UnderWay};

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
            if let StreamId::Job(child) = record.stream
                && child != self.id
            {
                self.handle_child_committed(child, record);
                continue;
            }
            self.head = record.seq;
            if let Some(spans) = &mut self.spans {
                self.told.extend(spans.handle_committed(record, self.authority.remaining()));
            }
            if matches!(
                record.kind,
                RecordKind::JobDelegated | RecordKind::JobDelegationRefused | RecordKind::JobChildEnded
            ) {
                self.handle_delegation_committed(record);
            }
            if record.kind == RecordKind::JobDelegationHeld {
                self.handle_held_committed(record);
            }
            if record.kind == RecordKind::JobAccepted {
                self.effects.push_back(Effect::Dispatch);
            }
            if record.kind == RecordKind::JobCancelRequested {
                self.handle_cancel_committed(now);
            }
            if record.kind == RecordKind::JobCredentialRotated {
                self.handle_rotation_committed(now);
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
        let (mut records, mut own, mut bytes) = (Vec::new(), 0, 0);
        let (mut worker_seq, mut ends) = (self.acknowledged, false);
        let fits = |records: &Vec<Record>, bytes: usize| {
            records.is_empty() || records.len() < limits::MAX_BATCH_RECORDS && bytes <= limits::MAX_BATCH_BYTES
        };
        while let Some(next) = self.waiting.pop_if(|next| next.joined || fits(&records, bytes + next.body.len())) {
            bytes += next.body.len();
            worker_seq = next.worker_seq.unwrap_or(worker_seq);
            ends = next.child.is_none() && next.kind.is_last();
            own += usize::from(next.child.is_none());
            let own_seq = StreamSeq::new(self.head.get() + own as u64);
            records.push(Record {
                stream: StreamId::Job(next.child.unwrap_or(self.id)),
                seq: if next.child.is_some() { StreamSeq::FIRST } else { own_seq },
                at: next.at,
                kind: next.kind,
                body: next.body,
            });
        }
        let batch = Batch { records };
        (!batch.records.is_empty()).then_some(UnderWay { batch, own, bytes, offer: Offer::WithStore, worker_seq, ends })
    }
}
