//! A job's events of one kind, read from the journal: for what must be looked at again after it was delivered.
//!
//! One bounded stretch is in memory at a time, whatever the job's length.

use std::sync::Arc;

use moorline_core::record::{Event, Fact};
use moorline_store::{ReadLimit, Store};
use moorline_types::{EventKind, JobId, RecordKind, StreamId, StreamSeq, limits};

use crate::view::ViewError;

const LIMIT: ReadLimit = ReadLimit::new(limits::VIEW_READ_RECORDS, limits::VIEW_READ_BYTES);

/// See the module's documentation.
#[derive(Debug)]
pub struct JobEvents {
    store: Arc<dyn Store>,
    job: JobId,
    kind: EventKind,
    next: StreamSeq,
}

impl JobEvents {
    pub(crate) const fn new(store: Arc<dyn Store>, job: JobId, kind: EventKind) -> Self {
        Self { store, job, kind, next: StreamSeq::FIRST }
    }

    /// The events of the next stretch, in order; it may have none of the kind. `None` at the end.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, ViewError> {
        let records = self.store.read_stream(StreamId::Job(self.job), self.next, LIMIT).await?;
        let Some(last) = records.last() else { return Ok(None) };
        self.next = last.seq.next();
        let mut events = Vec::new();
        for record in records.iter().filter(|record| record.kind == RecordKind::JobEvent) {
            if let Fact::Event(event) = Fact::decode(record.get())?
                && event.kind == self.kind
            {
                events.push(event);
            }
        }
        Ok(Some(events))
    }
}
