//! Reading what a session sees: [`moorline_core::view::View`] over the store.
//!
//! A reader is a position and nothing else. It reads from memory while it is near the tail and from the store when it
//! is not, and the two are one path: a page, from where the view stands. A reader that is slow costs nobody anything.

use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::backlog::Missed;
use moorline_core::record::Corrupt;
use moorline_core::view::{Pull, Seen, Shown, View};
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
    /// What is left out directly before it.
    pub missed: Option<Missed>,
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
    /// What the view needs, in order; the interest is in the same.
    watched: Vec<StreamId>,
    /// The last record of the session's own stream that was read; `None` before the first.
    session_head: Option<StreamSeq>,
    /// Where a search ends: records after this number are left for the next read.
    stop_after: Option<EventSeq>,
}

impl ViewReader {
    /// Reads `view` from `store`.
    pub fn new(store: Arc<dyn Store>, view: View) -> Self {
        let interest = store.tail().subscribe();
        let mut reader = Self { store, view, interest, watched: Vec::new(), session_head: None, stop_after: None };
        reader.watch();
        reader
    }

    /// A reader of another view of the same store.
    pub fn at(&self, view: View) -> Self {
        Self::new(Arc::clone(&self.store), view)
    }

    /// The number of the last record that was seen.
    pub fn event_seq(&self) -> EventSeq {
        self.view.event_seq()
    }

    /// The last record of the session's own stream that was read; `None` before the first.
    pub const fn session_head(&self) -> Option<StreamSeq> {
        self.session_head
    }

    /// What the reader has come to.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Reads on to just after the record with this number, without anybody seeing it. `false` if the journal does not
    /// reach that far.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn skip_to(&mut self, number: EventSeq) -> Result<bool, ViewError> {
        while self.view.event_seq() < number {
            self.stop_after = Some(number);
            let read = self.read_now().await;
            self.stop_after = None;
            if read?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Through where the journal has been read.
    pub fn position(&self) -> Offset {
        self.view.position()
    }

    /// One read. Empty if nothing of it is seen; waits if there is nothing to read. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn read(&mut self) -> Result<Vec<Delivery>, ViewError> {
        match self.read_now().await? {
            Some(deliveries) => Ok(deliveries),
            None => {
                self.interest.changed().await;
                Ok(Vec::new())
            }
        }
    }

    /// One read; `None` if there is nothing to read at the moment.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn read_now(&mut self) -> Result<Option<Vec<Delivery>>, ViewError> {
        match self.view.pull() {
            Pull::Live { after } => {
                let page = match self.store.tail().read(&self.watched, after, LIMIT) {
                    Some(page) => page,
                    None => self.store.read_streams(&self.watched, after, LIMIT).await?,
                };
                if page.records.is_empty() && page.through == after {
                    return Ok(None);
                }
                self.take_page(page).map(Some)
            }
            Pull::Stretch { job, from } => self.read_stretch(job, from).await.map(Some),
        }
    }

    async fn read_stretch(&mut self, job: JobId, from: StreamSeq) -> Result<Vec<Delivery>, ViewError> {
        let stream = StreamId::Job(job);
        let records = match self.store.tail().read_stream(stream, from, self.view.position(), LIMIT) {
            Some(records) => records,
            None => self.store.read_stream(stream, from, LIMIT).await?,
        };
        if records.is_empty() {
            self.view.handle_end_of_stretch();
            return Ok(Vec::new());
        }
        let (deliveries, _turned) = self.take(records)?;
        Ok(deliveries)
    }

    fn take_page(&mut self, page: Page) -> Result<Vec<Delivery>, ViewError> {
        let Page { records, through } = page;
        let (deliveries, turned) = self.take(records)?;
        if !turned {
            self.view.handle_end_of_page(through);
        }
        Ok(deliveries)
    }

    fn take(&mut self, records: Vec<CommittedRecord>) -> Result<(Vec<Delivery>, bool), ViewError> {
        let mut deliveries = Vec::with_capacity(records.len());
        let mut turned = false;
        let mut ended = false;
        for record in records {
            let seen: Seen = self.view.handle(&record)?;
            ended |= record.kind.is_last();
            if matches!(record.stream, StreamId::Session(_)) {
                self.session_head = Some(record.seq);
            }
            if let Some(Shown { event_seq, job }) = seen.shown {
                deliveries.push(Delivery { event_seq, job, record, missed: None });
            }
            // What follows the place of a search is read again, as if the view had turned.
            if seen.turned || self.stop_after.is_some_and(|last| self.view.event_seq() >= last) {
                turned = true;
                break;
            }
        }
        if turned || ended {
            self.watch();
        }
        Ok((deliveries, turned))
    }

    /// Watches the streams that the view needs, and no others.
    fn watch(&mut self) {
        let mut wanted: Vec<_> = self.view.streams().collect();
        wanted.sort_unstable();
        for stream in &wanted {
            if self.watched.binary_search(stream).is_err() {
                self.interest.add(*stream);
            }
        }
        for stream in &self.watched {
            if wanted.binary_search(stream).is_err() {
                self.interest.remove(*stream);
            }
        }
        self.watched = wanted;
    }
}
