//! What one job has asked and was not answered.
//!
//! A question is kept until it is answered, and asked anew on every link. It follows the reports that were made before it,
//! also over a link that was lost in between: so a cost that was reported is counted before the question is answered.

use std::collections::BTreeMap;

use moorline_types::{JobId, WorkerSeq};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::message::{Answer, Ask, AskId, FromWorker};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: BTreeMap<AskId, Open>,
    last: AskId,
}

#[derive(Debug)]
struct Open {
    ask: Ask,
    /// The last report that was made before it.
    after: WorkerSeq,
    is_said: bool,
    answer: oneshot::Sender<Answer>,
    /// Room for as many questions as a job may have.
    _room: OwnedSemaphorePermit,
}

impl Asks {
    pub(super) fn push(&mut self, ask: Ask, after: WorkerSeq, room: OwnedSemaphorePermit) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.last = self.last.next();
        self.open.insert(self.last, Open { ask, after, is_said: false, answer, _room: room });
        answered
    }

    /// Whether there is one to be said, the reports having been said that far.
    pub(super) fn has_next(&self, said: WorkerSeq) -> bool {
        self.open.values().any(|open| !open.is_said && open.after <= said)
    }

    /// The next to be said.
    pub(super) fn next(&mut self, job: JobId, said: WorkerSeq) -> Option<FromWorker> {
        let (id, open) = self.open.iter_mut().find(|(_, open)| !open.is_said && open.after <= said)?;
        open.is_said = true;
        Some(FromWorker::Ask { job, id: *id, after: open.after, ask: open.ask.clone() })
    }

    /// A question is answered. Nobody may be waiting any more.
    pub(super) fn answer(&mut self, id: AskId, answer: Answer) {
        if let Some(open) = self.open.remove(&id) {
            drop(open.answer.send(answer));
        }
    }

    /// The present gateway answers nothing: all are answered like this.
    pub(super) fn answer_all(&mut self, answer: &Answer) {
        for id in self.open.keys().copied().collect::<Vec<_>>() {
            self.answer(id, answer.clone());
        }
    }

    /// A new link has carried nothing yet.
    pub(super) fn rewind(&mut self) {
        for open in self.open.values_mut() {
            open.is_said = false;
        }
    }
}
