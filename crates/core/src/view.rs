//! What one session sees: committed records, numbered 1, 2, 3… as `event_seq`.
//!
//! A view is a pure function of the journal. The session's own stream says where it begins to see a job
//! ([`Attached`](crate::record::Attached)), where it sees a stretch of a job's history
//! ([`History`](crate::record::History)) and where it stops; between these, it sees the live records of its jobs in
//! the order of the journal. Nothing is numbered when it is sent, so a replay, after whatever crash, gives the same
//! numbers for the same records.
//!
//! A view holds positions, never records. It is driven in a circle: [`View::pull`] says what to read,
//! [`View::handle`] takes each record that was read, in order, and numbers those that the session sees.
//!
//! Deliberately absent: buffering, sending, and waiting; the runtime does these.

use std::collections::BTreeSet;

use moorline_types::{Committed, EventSeq, JobId, Offset, Record, RecordKind, SessionId, StreamId, StreamSeq};

use crate::record::{Corrupt, Fact};

/// What to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pull {
    /// The records of these streams after this offset, merged by offset. If there are none yet, wait for one.
    Live {
        /// The session's own stream and those of its jobs.
        streams: Vec<StreamId>,
        /// Where the view stands.
        after: Offset,
    },
    /// The records of one job from this position on. If there are none, call [`View::handle_end_of_stretch`].
    Stretch {
        /// The job.
        job: JobId,
        /// The next record to see.
        from: StreamSeq,
    },
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The number under which the session sees the record, if it does.
    pub event_seq: Option<EventSeq>,
    /// What to read has changed: forget what else was read, and pull again.
    pub turned: bool,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    session: SessionId,
    /// The session's first record: nothing before it is seen.
    opened: Offset,
    position: Offset,
    event_seq: EventSeq,
    live: BTreeSet<JobId>,
    stretch: Option<Stretch>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    job: JobId,
    next: StreamSeq,
    end: End,
}

/// Where a stretch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With this record.
    With(StreamSeq),
    /// Before the first record that is later in the journal than this: from there on the job is seen live.
    Before(Offset),
}

impl View {
    /// The view of a session from its beginning: nothing is seen yet.
    pub const fn new(session: SessionId) -> Self {
        let (opened, position, event_seq) = (Offset::ZERO, Offset::ZERO, EventSeq::ZERO);
        Self { session, opened, position, event_seq, live: BTreeSet::new(), stretch: None }
    }

    /// The same session's view at its beginning.
    #[must_use]
    pub fn restarted(&self) -> Self {
        Self { opened: self.opened, position: self.opened, ..Self::new(self.session) }
    }

    /// Skips what lies before the session's first record: nothing of it is seen.
    pub fn start_at(&mut self, opened: Offset) {
        self.opened = opened;
        self.advance_to(opened);
    }

    fn advance_to(&mut self, offset: Offset) {
        if self.position < offset {
            self.position = offset;
        }
    }

    /// The number of the last record that was seen.
    pub const fn event_seq(&self) -> EventSeq {
        self.event_seq
    }

    /// Through where the journal has been read for this view, stretches of history aside.
    pub const fn position(&self) -> Offset {
        self.position
    }

    /// How many jobs are seen live.
    pub fn live_jobs(&self) -> usize {
        self.live.len()
    }

    /// What to read next.
    pub fn pull(&self) -> Pull {
        match &self.stretch {
            Some(stretch) => Pull::Stretch { job: stretch.job, from: stretch.next },
            None => Pull::Live { streams: self.streams().collect(), after: self.position },
        }
    }

    /// The streams whose new records the view waits for.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        let jobs = self.live.iter().map(|job| StreamId::Job(*job));
        std::iter::once(StreamId::Session(self.session)).chain(jobs)
    }

    /// A record that was read because of the last [`View::pull`], in the order in which it was read.
    pub fn handle(&mut self, record: &Committed<impl AsRef<Record>>) -> Result<Seen, Corrupt> {
        let offset = record.offset();
        let record = record.get().as_ref();
        if self.stretch.is_some() { Ok(self.handle_stretch(offset, record)) } else { self.handle_live(offset, record) }
    }

    /// All records that the last [`Pull::Live`] read have been handled, and none turned the view: there are no others
    /// through this offset.
    pub fn handle_end_of_page(&mut self, through: Offset) {
        self.advance_to(through);
    }

    /// The job has no more records for the stretch that [`View::pull`] asked for.
    pub fn handle_end_of_stretch(&mut self) {
        self.stretch = None;
    }

    fn handle_stretch(&mut self, offset: Offset, record: &Record) -> Seen {
        let turned = Seen { event_seq: None, turned: true };
        let Some(stretch) = &mut self.stretch else { return turned };
        if matches!(stretch.end, End::Before(end) if offset > end) {
            self.stretch = None;
            return turned;
        }
        stretch.next = record.seq.next();
        let job = stretch.job;
        let last = matches!(stretch.end, End::With(last) if record.seq >= last);
        if last {
            self.stretch = None;
        }
        Seen { turned: last, ..self.see(job, record) }
    }

    fn handle_live(&mut self, offset: Offset, record: &Record) -> Result<Seen, Corrupt> {
        self.position = offset;
        match record.stream {
            StreamId::Job(job) => Ok(self.see(job, record)),
            StreamId::Session(_) => {
                let turned = self.turn(offset, Fact::decode(record)?);
                Ok(Seen { event_seq: None, turned })
            }
        }
    }

    /// The session's own stream changes what is seen. Answers whether it did.
    fn turn(&mut self, offset: Offset, fact: Fact) -> bool {
        match fact {
            Fact::Attached(attached) => {
                let fresh = self.live.insert(attached.job);
                if let (true, Some(next)) = (fresh, attached.from) {
                    self.stretch = Some(Stretch { job: attached.job, next, end: End::Before(offset) });
                }
                fresh
            }
            Fact::History(history) => {
                let end = End::With(history.to);
                self.stretch = Some(Stretch { job: history.job, next: history.from, end });
                true
            }
            Fact::Detached(detached) => self.live.remove(&detached.job),
            Fact::Accepted(_)
            | Fact::Started(_)
            | Fact::Event(_)
            | Fact::CancelRequested(_)
            | Fact::Result(_)
            | Fact::Error(_)
            | Fact::Opened(_)
            | Fact::Closed(_) => false,
        }
    }

    fn see(&mut self, job: JobId, record: &Record) -> Seen {
        if matches!(record.kind, RecordKind::JobResult | RecordKind::JobError) {
            // A job's last record: there is nothing left to wait for.
            self.live.remove(&job);
        }
        if !record.kind.is_visible() {
            return Seen::default();
        }
        self.event_seq = self.event_seq.next();
        Seen { event_seq: Some(self.event_seq), turned: false }
    }
}

#[cfg(test)]
mod tests;
