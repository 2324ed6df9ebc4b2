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
//! A view can be written down ([`Serialize`]) and taken up again: a *checkpoint*, from which reading goes on as if it
//! had never stopped.
//!
//! Deliberately absent: buffering, sending, and waiting; the runtime does these.

use std::collections::{BTreeMap, VecDeque};

use moorline_types::{Committed, EventSeq, JobId, Offset, Record, SessionId, StreamId, StreamSeq};
use serde::{Deserialize, Serialize};

use crate::record::{Corrupt, Fact, Overflow};

/// What to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// The records of [`View::streams`] after this offset, merged by offset. If there are none yet, wait for one.
    Live {
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
    /// How the session sees the record, if it does.
    pub shown: Option<Shown>,
    /// What to read has changed: forget what else was read, and pull again.
    pub turned: bool,
}

/// A record as the session sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Its number.
    pub event_seq: EventSeq,
    /// The job that it is about.
    pub job: JobId,
}

/// A job's history that the session is to see and that is not attached yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The job.
    pub job: JobId,
    /// The first record of the next stretch.
    pub next: StreamSeq,
    /// What becomes of records that the session does not take in time.
    pub overflow: Overflow,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    session: SessionId,
    position: Offset,
    event_seq: EventSeq,
    live: BTreeMap<JobId, Overflow>,
    awaited: VecDeque<Awaited>,
    stretch: Option<Stretch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stretch {
    job: JobId,
    next: StreamSeq,
    end: End,
}

/// Where a stretch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// With this record.
    With(StreamSeq),
    /// Before the first record that is later in the journal than this: from there on the job is seen live.
    Before(Offset),
}

impl View {
    /// The view of a session from its beginning: nothing is seen yet. Nothing precedes the session's first record,
    /// which is after `opened`.
    pub const fn new(session: SessionId, opened: Offset) -> Self {
        Self {
            session,
            position: opened,
            event_seq: EventSeq::ZERO,
            live: BTreeMap::new(),
            awaited: VecDeque::new(),
            stretch: None,
        }
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

    /// Whose view it is.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The jobs that are seen live, and what becomes of their records that are not taken in time.
    pub const fn live(&self) -> &BTreeMap<JobId, Overflow> {
        &self.live
    }

    /// The history that is not attached yet, in the order in which its stretches take turns.
    pub const fn awaited(&self) -> &VecDeque<Awaited> {
        &self.awaited
    }

    /// Whether the view stands in a stretch of history.
    pub const fn is_in_history(&self) -> bool {
        self.stretch.is_some()
    }

    /// What to read next.
    pub fn pull(&self) -> Pull {
        match &self.stretch {
            Some(stretch) => Pull::Stretch { job: stretch.job, from: stretch.next },
            None => Pull::Live { after: self.position },
        }
    }

    /// The streams whose new records the view waits for: the session's own and those of its jobs. They change only with
    /// a record that turns the view, or that is a job's last.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        let jobs = self.live.keys().map(|job| StreamId::Job(*job));
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
        let turned = Seen { shown: None, turned: true };
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
                let fact = Fact::decode(record)?;
                // Nothing about a job follows its end.
                if let Fact::Notice(notice) = &fact
                    && self.live.contains_key(&notice.job)
                {
                    return Ok(self.show(notice.job));
                }
                Ok(Seen { shown: None, turned: self.turn(offset, fact) })
            }
        }
    }

    /// The session's own stream changes what is seen. Answers whether it did.
    fn turn(&mut self, offset: Offset, fact: Fact) -> bool {
        match fact {
            Fact::Subscribed(subscribed) => {
                let (job, next, overflow) = (subscribed.job, subscribed.from, subscribed.overflow);
                self.awaited.push_back(Awaited { job, next, overflow });
                false
            }
            Fact::Attached(attached) => {
                self.awaited.retain(|awaited| awaited.job != attached.job);
                let fresh = self.live.insert(attached.job, attached.overflow).is_none();
                if let (true, Some(next)) = (fresh, attached.from) {
                    self.stretch = Some(Stretch { job: attached.job, next, end: End::Before(offset) });
                }
                fresh
            }
            Fact::History(history) => {
                if let Some(at) = self.awaited.iter().position(|awaited| awaited.job == history.job)
                    && let Some(awaited) = self.awaited.remove(at)
                {
                    self.awaited.push_back(Awaited { next: history.to.next(), ..awaited });
                }
                let end = End::With(history.to);
                self.stretch = Some(Stretch { job: history.job, next: history.from, end });
                true
            }
            Fact::Detached(detached) => {
                self.awaited.retain(|awaited| awaited.job != detached.job);
                self.live.remove(&detached.job).is_some()
            }
            Fact::Accepted(_)
            | Fact::Started(_)
            | Fact::Event(_)
            | Fact::CancelRequested(_)
            | Fact::Reserved(_)
            | Fact::Settled(_)
            | Fact::DelegationHeld(_)
            | Fact::Delegated(_)
            | Fact::DelegationRefused(_)
            | Fact::ChildEnded(_)
            | Fact::Result(_)
            | Fact::Error(_)
            | Fact::CredentialRotated(_)
            | Fact::Opened(_)
            | Fact::Closed(_)
            | Fact::Notice(_) => false,
        }
    }

    fn see(&mut self, job: JobId, record: &Record) -> Seen {
        if record.kind.is_last() {
            // A job's last record: there is nothing left to wait for.
            self.live.remove(&job);
        }
        if !record.kind.is_visible() {
            return Seen::default();
        }
        self.show(job)
    }

    const fn show(&mut self, job: JobId) -> Seen {
        self.event_seq = self.event_seq.next();
        Seen { shown: Some(Shown { event_seq: self.event_seq, job }), turned: false }
    }
}

#[cfg(test)]
mod tests;
