//! What waits to be sent to one worker.
//!
//! Acknowledgements of a job replace each other, because a later one says all that an earlier one did. Everything else
//! keeps its order. What can wait is bounded by the jobs that a worker may hold, so a mailbox that is over its bound
//! belongs to a worker that does not read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use moorline_types::{JobId, WorkerSeq};
use moorline_worker::limits::{MAX_ASKS, MAX_AWAITED, MAX_HELD_JOBS};
use moorline_worker::message::ToWorker;
use tokio::sync::Notify;

use crate::sync::lock;

/// Messages that may wait beside acknowledgements: a start, a cancel, a kill and the answers to all questions for every
/// job that the worker may hold, and as many again for jobs that replace them.
const MAX_WAITING: usize = 2 * (3 + MAX_ASKS + MAX_AWAITED) * MAX_HELD_JOBS;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<ToWorker>,
    acks: BTreeMap<JobId, WorkerSeq>,
}

/// The worker does not read what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_WAITING} messages wait for the worker")]
pub(crate) struct Full;

impl Mailbox {
    /// Adds a message.
    pub(crate) fn put(&self, message: ToWorker) -> Result<(), Full> {
        let mut waiting = lock(&self.waiting);
        if let ToWorker::Ack { job, seq } = message {
            waiting.acks.insert(job, seq);
        } else if waiting.messages.len() == MAX_WAITING {
            return Err(Full);
        } else {
            waiting.messages.push_back(message);
        }
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// The next message; waits for one. There is one taker at a time.
    pub(crate) async fn take(&self) -> ToWorker {
        loop {
            if let Some(message) = self.try_take() {
                return message;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(&self) -> Option<ToWorker> {
        let mut waiting = lock(&self.waiting);
        if let Some(message) = waiting.messages.pop_front() {
            return Some(message);
        }
        waiting.acks.pop_first().map(|(job, seq)| ToWorker::Ack { job, seq })
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;

    use super::*;

    fn job(n: u8) -> JobId {
        JobId::mint(Timestamp::from_unix_millis(1), [n; 10])
    }

    #[tokio::test]
    async fn acknowledgements_of_a_job_replace_each_other_and_the_rest_keeps_its_order() {
        let mailbox = Mailbox::default();
        for n in 1..=1_000_000 {
            mailbox.put(ToWorker::Ack { job: job(1), seq: WorkerSeq::new(n) }).unwrap();
        }
        mailbox.put(ToWorker::Kill { job: job(1) }).unwrap();
        mailbox.put(ToWorker::Kill { job: job(2) }).unwrap();
        assert_eq!(mailbox.take().await, ToWorker::Kill { job: job(1) });
        assert_eq!(mailbox.take().await, ToWorker::Kill { job: job(2) });
        assert_eq!(mailbox.take().await, ToWorker::Ack { job: job(1), seq: WorkerSeq::new(1_000_000) });
        assert_eq!(mailbox.try_take(), None);
    }

    #[test]
    fn a_worker_that_does_not_read_is_found_out() {
        let mailbox = Mailbox::default();
        for _ in 0..MAX_WAITING {
            mailbox.put(ToWorker::Kill { job: job(1) }).unwrap();
        }
        assert_eq!(mailbox.put(ToWorker::Kill { job: job(1) }), Err(Full));
    }
}
