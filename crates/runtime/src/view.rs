//! Reading what a session sees: [`moorline_core::view::View`] over the store.
//!
//! A reader is a position and nothing else. It reads from memory while it is near the tail and from the store when it
//! is not, and the two are one path: a page, from where the view stands. A reader that is slow costs nobody anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::record::Corrupt;
use moorline_core::view::{Pull, Seen, View};
use moorline_store::{CommittedRecord, Interest, Page, ReadError, ReadLimit, Store};
use moorline_types::{EventSeq, JobId, Offset, StreamId, StreamSeq, limits};

const LIMIT: ReadLimit = ReadLimit::new(limits::VIEW_READ_RECORDS, limits::VIEW_READ_BYTES);

/// A record as one session sees it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its number in the session.
    pub event_seq: EventSeq,
    /// The job that it belongs to.
    pub job: JobId,
    /// What is committed.
    pub record: CommittedRecord,
}

/// Why a view cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store failed.
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    /// The journal is damaged.
    #[error("the journal is damaged")]
    Corrupt(#[from] Corrupt),
    /// What is to be seen next could not be written down.
    #[error("the journal cannot be written")]
    Append(#[source] Refusal),
}

/// See the module's documentation.
#[derive(Debug)]
pub struct ViewReader {
    store: Arc<dyn Store>,
    view: View,
    interest: Interest,
    watched: BTreeSet<StreamId>,
    /// Where a rewind ends: records after this number are left for the next read.
    stop_after: Option<EventSeq>,
}

impl ViewReader {
    /// Reads `view` from `store`.
    pub fn new(store: Arc<dyn Store>, view: View) -> Self {
        let interest = store.tail().subscribe();
        let mut reader = Self { store, view, interest, watched: BTreeSet::new(), stop_after: None };
        reader.watch();
        reader
    }

    /// The number of the last record that was seen.
    pub fn event_seq(&self) -> EventSeq {
        self.view.event_seq()
    }

    /// Whether the view stands in a stretch of history.
    pub fn is_in_history(&self) -> bool {
        matches!(self.view.pull(), Pull::Stretch { .. })
    }

    /// The jobs that are seen live.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.view.streams().filter_map(|stream| match stream {
            StreamId::Job(job) => Some(job),
            StreamId::Session(_) => None,
        })
    }

    /// Goes back to just after the record with this number: a view is a function of the journal, so reading it again
    /// from the session's beginning gives the same numbers. On an error the reader is where it was.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn rewind(&mut self, to: EventSeq) -> Result<(), ViewError> {
        if to == self.view.event_seq() {
            return Ok(());
        }
        let reached = self.view.clone();
        let mut again = Self::new(Arc::clone(&self.store), self.view.restarted());
        while again.view.event_seq() < to && again.view != reached {
            again.stop_after = Some(to);
            again.read().await?;
        }
        again.stop_after = None;
        *self = again;
        Ok(())
    }

    /// Through where the journal has been read.
    pub fn position(&self) -> Offset {
        self.view.position()
    }

    /// One read. Empty if nothing of it is seen; waits if there is nothing to read. Dropping the future loses nothing.
    pub async fn read(&mut self) -> Result<Vec<Delivery>, ViewError> {
        match self.view.pull() {
            Pull::Live { streams, after } => {
                let page = match self.store.tail().read(&streams, after, LIMIT) {
                    Some(page) => page,
                    None => self.store.read_streams(&streams, after, LIMIT).await?,
                };
                if page.records.is_empty() && page.through == after {
                    self.interest.changed().await;
                    return Ok(Vec::new());
                }
                self.take_page(page)
            }
            Pull::Stretch { job, from } => self.read_stretch(job, from).await,
        }
    }

    async fn read_stretch(&mut self, job: JobId, from: StreamSeq) -> Result<Vec<Delivery>, ViewError> {
        let records = self.store.read_stream(StreamId::Job(job), from, LIMIT).await?;
        if records.is_empty() {
            self.view.handle_end_of_stretch();
            return Ok(Vec::new());
        }
        let (deliveries, _turned) = self.take(&records)?;
        Ok(deliveries)
    }

    fn take_page(&mut self, page: Page) -> Result<Vec<Delivery>, ViewError> {
        let (deliveries, turned) = self.take(&page.records)?;
        if !turned {
            self.view.handle_end_of_page(page.through);
        }
        Ok(deliveries)
    }

    fn take(&mut self, records: &[CommittedRecord]) -> Result<(Vec<Delivery>, bool), ViewError> {
        let mut deliveries = Vec::new();
        let mut turned = false;
        for record in records {
            let seen: Seen = self.view.handle(record)?;
            if let (Some(event_seq), StreamId::Job(job)) = (seen.event_seq, record.stream) {
                deliveries.push(Delivery { event_seq, job, record: record.clone() });
            }
            // What follows the place of a rewind is read again, as if the view had turned.
            if seen.turned || (seen.event_seq.is_some() && seen.event_seq == self.stop_after) {
                turned = true;
                break;
            }
        }
        self.watch();
        Ok((deliveries, turned))
    }

    /// Watches the streams that the view needs, and no others.
    fn watch(&mut self) {
        let wanted: BTreeSet<_> = self.view.streams().collect();
        if wanted == self.watched {
            return;
        }
        for stream in wanted.difference(&self.watched) {
            self.interest.add(*stream);
        }
        for stream in self.watched.difference(&wanted) {
            self.interest.remove(*stream);
        }
        self.watched = wanted;
    }
}
