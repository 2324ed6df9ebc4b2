//! A session, its connection if it has one, and what its client remembers.

use moorline_core::record::{Attached, Detached, Fact, History, Notice, Overflow, Subscribed};
use moorline_core::resume::{ResumeState, ResumeToken, TokenHash};
use moorline_core::session::Session;
use moorline_core::view::{Pull, Shown, View};
use moorline_types::{
    Batch, Epoch, EventKind, EventSeq, JobId, Json, Millis, Offset, Principal, Record, RecordKind, Scopes, SessionId,
    StreamId, StreamSeq, Timestamp,
};

use crate::journal::{Entry, Journal};

/// Records of history that are attached at once.
const STRETCH: u64 = 3;

/// How long a session waits for its client: longer than the sequences last.
const WINDOW: Millis = Millis::from_secs(1_000_000_000);

/// What a number was given to: the record's offset, and its job.
type Given = (Offset, JobId);

#[derive(Debug)]
pub(super) struct SessionRun {
    id: SessionId,
    /// The lineage of the journal.
    epoch: Epoch,
    /// Before the first record that the session may see.
    opened: Offset,
    /// While it has a connection.
    pub(super) connection: Option<Connection>,
    /// What a document beside the journal has.
    saved: String,
    /// Every number that was ever given, in order.
    given: Vec<Given>,
    /// The token that the client has.
    token: String,
    welcomes: u64,
}

#[derive(Debug)]
pub(super) struct Connection {
    session: Session,
    view: View,
    resume: ResumeState,
    /// The session's last record.
    written: Offset,
}

fn principal() -> Principal {
    Principal::new("ada".parse().unwrap(), Scopes::JOBS)
}

fn hash(token: &str) -> TokenHash {
    TokenHash::of(&ResumeToken::new(token))
}

impl SessionRun {
    pub(super) fn open(now: Timestamp, number: u8, journal: &mut Journal) -> Self {
        let id = SessionId::mint(now, [number; 10]);
        let epoch = Epoch::mint(now, [7; 10]);
        let (mut session, fact) = Session::open(id, principal(), "fuzz".to_owned());
        let opened = journal.append(Batch::from(vec![session.record(now, 0, &fact)]));
        session.handle_committed([&fact]);
        let token = "token 0".to_owned();
        let resume = ResumeState::new(principal().id, epoch, opened, hash(&token));
        let saved = serde_json::to_string(&resume).unwrap();
        let connection = Connection { session, view: View::new(id, opened), resume, written: opened };
        Self { id, epoch, opened, connection: Some(connection), saved, given: Vec::new(), token, welcomes: 0 }
    }

    /// Submits a job: its beginning and the session's attachment are one batch.
    pub(super) fn submit(&mut self, now: Timestamp, job: JobId, accepted: Batch, journal: &mut Journal) {
        let connection = self.frame();
        let fact = attached(job, None, Overflow::CatchUp);
        let mut records: Vec<Record> = vec![connection.session.record(now, 0, &fact)];
        records.extend(accepted.records);
        journal.append(Batch::from(records));
        connection.session.handle_committed([&fact]);
    }

    pub(super) const fn id(&self) -> SessionId {
        self.id
    }

    /// The client sends a frame, which proves that it has its token.
    fn frame(&mut self) -> &mut Connection {
        let connection = self.connection.as_mut().unwrap();
        if connection.resume.confirm() {
            self.saved = serde_json::to_string(&connection.resume).unwrap();
        }
        connection
    }

    /// Watches a job. Answers whether that was written down.
    pub(super) fn subscribe(
        &mut self,
        now: Timestamp,
        job: JobId,
        history: Option<StreamSeq>,
        overflow: Overflow,
        journal: &mut Journal,
    ) -> bool {
        let over = journal.of(StreamId::Job(job)).any(|entry| is_end(entry.get().kind));
        let connection = self.frame();
        if connection.session.watching().contains(&job) {
            return false;
        }
        match history {
            // Nothing is left to be shown, and no end to be waited for.
            Some(from) if over && from > journal.stream_head(StreamId::Job(job)) => return false,
            Some(from) => {
                let from = from.min(journal.stream_head(StreamId::Job(job)).next());
                connection.append(now, &Fact::Subscribed(Subscribed { job, from, overflow }), journal);
            }
            None if over => return false,
            None => connection.append(now, &attached(job, None, overflow), journal),
        }
        true
    }

    pub(super) fn unsubscribe(&mut self, now: Timestamp, job: JobId, journal: &mut Journal) {
        let connection = self.frame();
        if connection.session.watching().contains(&job) {
            connection.append(now, &Fact::Detached(Detached { job }), journal);
        }
    }

    /// The client acknowledges some of what it was given.
    pub(super) fn acknowledge(&mut self, part: usize) {
        let through = self.given.len() * part / 255;
        self.frame().resume.acknowledge(EventSeq::new(through as u64));
    }

    /// The gateway tells the client something about a job that it sees live.
    pub(super) fn notify(&mut self, now: Timestamp, journal: &mut Journal) {
        let Some(connection) = &mut self.connection else { return };
        let Some(job) = connection.view.live().keys().next_back().copied() else { return };
        let body = Json::parse(r#"{"phase":"back_pressure"}"#).unwrap();
        connection.append(now, &Fact::Notice(Notice { job, kind: EventKind::Status, body }), journal);
    }

    /// One read of at most so many records. Answers whether there was anything to do.
    pub(super) fn read(&mut self, now: Timestamp, at_most: usize, journal: &mut Journal) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        let attached = connection.attach_more(now, journal);
        let shown = read(&mut connection.view, at_most, journal);
        let busy = attached || shown.is_some();
        for (entry, shown) in shown.unwrap_or_default() {
            if is_end(entry.get().kind) {
                connection.session.handle_end_seen(shown.job);
            }
            give(&mut self.given, shown, entry.offset());
        }
        busy
    }

    /// The connection ends, in order or not: if it does, where it stood is written down.
    pub(super) fn drop_connection(&mut self, now: Timestamp, in_order: bool) {
        let Some(mut connection) = self.connection.take() else { return };
        if in_order {
            connection.resume.park(now);
            connection.resume.checkpoint(&connection.view);
            self.saved = serde_json::to_string(&connection.resume).unwrap();
        }
    }

    /// The client comes back with what it remembers; its welcome may be lost.
    pub(super) fn resume(&mut self, now: Timestamp, forgotten: usize, lost: bool, journal: &Journal) {
        self.drop_connection(now, true);
        let mut resume: ResumeState = serde_json::from_str(&self.saved).unwrap();
        let presented = hash(&self.token);
        resume.admit(&principal().id, &presented, now, WINDOW).unwrap();
        let last = EventSeq::new(self.given.len().saturating_sub(forgotten) as u64);
        let mut view = resume.view_before(self.id, last, None);
        skip_to(&mut view, last, journal, &mut self.given);
        let (session, written) = self.recover(&view, journal);
        self.welcomes += 1;
        let fresh = format!("token {}", self.welcomes);
        resume.attach(presented, hash(&fresh), self.epoch);
        resume.acknowledge(view.event_seq());
        self.saved = serde_json::to_string(&resume).unwrap();
        if !lost {
            self.token = fresh;
            self.connection = Some(Connection { session, view, resume, written });
        }
    }

    fn recover(&self, view: &View, journal: &Journal) -> (Session, Offset) {
        let stream = StreamId::Session(self.id);
        let later: Vec<&Entry> = journal.of(stream).filter(|entry| entry.offset() > view.position()).collect();
        let written = later.last().map_or(view.position(), |entry| entry.offset());
        let records = later.iter().map(|entry| entry.get().as_ref());
        (Session::recover(principal(), view, journal.stream_head(stream), records).unwrap(), written)
    }

    /// What must be so once every job is over and everything has been read. Answers how much was given.
    pub(super) fn check(&self, journal: &Journal) -> usize {
        let connection = self.connection.as_ref().unwrap();
        let watching = connection.session.watching();
        assert!(watching.is_empty(), "{} waits for the end of {watching:?}", self.id);
        assert!(connection.view.live().is_empty() && connection.view.awaited().is_empty());
        // From nothing, in portions of several sizes: the same.
        for at_most in [1, 2, 7, 1_000] {
            let mut again = Vec::new();
            let mut view = View::new(self.id, self.opened);
            while let Some(shown) = read(&mut view, at_most, journal) {
                shown.iter().for_each(|(entry, shown)| give(&mut again, *shown, entry.offset()));
                assert!(again.len() <= self.given.len(), "more is given than before");
            }
            assert_eq!(again, self.given, "in portions of {at_most}");
        }
        self.given.len()
    }
}

impl Connection {
    fn append(&mut self, now: Timestamp, fact: &Fact, journal: &mut Journal) {
        self.written = journal.append(Batch::from(vec![self.session.record(now, 0, fact)]));
        self.session.handle_committed([fact]);
    }

    /// Attaches the next stretch of history, if the one before has been read. Answers whether it did.
    fn attach_more(&mut self, now: Timestamp, journal: &mut Journal) -> bool {
        let due = !self.view.is_in_history() && self.view.position() >= self.written;
        let Some(awaited) = self.view.awaited().front().copied().filter(|_| due) else { return false };
        let (job, next) = (awaited.job, awaited.next);
        let head = journal.stream_head(StreamId::Job(job));
        let fact = if head.since(next) < STRETCH {
            attached(job, Some(next), awaited.overflow)
        } else {
            Fact::History(History { job, from: next, to: StreamSeq::new(next.get() + STRETCH - 1) })
        };
        self.append(now, &fact, journal);
        true
    }
}

const fn attached(job: JobId, from: Option<StreamSeq>, overflow: Overflow) -> Fact {
    Fact::Attached(Attached { job, from, overflow })
}

const fn is_end(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::JobResult | RecordKind::JobError)
}

/// One read of a view; `None` if there is nothing to read.
fn read(view: &mut View, at_most: usize, journal: &Journal) -> Option<Vec<(Entry, Shown)>> {
    let (page, through) = match view.pull() {
        Pull::Live { after } => {
            let streams: Vec<_> = view.streams().collect();
            let (page, through) = journal.page(&streams, after, at_most);
            if page.is_empty() && through == after {
                return None;
            }
            (page, Some(through))
        }
        Pull::Stretch { job, from } => {
            let page = journal.stretch(job, from, at_most);
            if page.is_empty() {
                view.handle_end_of_stretch();
                return Some(Vec::new());
            }
            (page, None)
        }
    };
    let mut given = Vec::new();
    for entry in page {
        let seen = view.handle(&entry).unwrap();
        given.extend(seen.shown.map(|shown| (entry, shown)));
        if seen.turned {
            return Some(given);
        }
    }
    if let Some(through) = through {
        view.handle_end_of_page(through);
    }
    Some(given)
}

/// Reads on to just after a number that was given, and finds what it was given to.
fn skip_to(view: &mut View, number: EventSeq, journal: &Journal, given: &mut Vec<Given>) {
    while view.event_seq() < number {
        let shown = read(view, 1, journal).expect("what was given is in the journal");
        shown.iter().for_each(|(entry, shown)| give(given, *shown, entry.offset()));
    }
}

/// A number is given: the next one, or one of before to the same record.
fn give(given: &mut Vec<Given>, shown: Shown, offset: Offset) {
    let number = usize::try_from(shown.event_seq.get()).unwrap();
    match given.get(number - 1) {
        Some(before) => assert_eq!(*before, (offset, shown.job), "number {number} is given to another record"),
        None => {
            assert_eq!(number, given.len() + 1, "a hole in the numbers");
            given.push((offset, shown.job));
        }
    }
}
