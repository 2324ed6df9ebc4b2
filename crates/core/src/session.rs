//! The durable half of a session: the numbers of its records, and which jobs it watches.
//!
//! A session's stream says which jobs the session watches and from where on; [`crate::view::View`] derives from it
//! what the session sees. One owner at a time appends to the stream, one batch at a time: a record is minted with
//! [`Session::record`], committed by the store, and counted with [`Session::handle_committed`]. A record that was
//! refused is simply not counted, and its number is used by the next.
//!
//! A job is *watched* from the moment that the stream says so until the session has seen the job's end. The view may
//! be behind that moment, so this is not what the view says.

use std::collections::BTreeSet;

use moorline_types::{JobId, Principal, Record, SessionId, StreamId, StreamSeq, Timestamp};

use crate::record::{Corrupt, Fact, Opened};
use crate::view::View;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    id: SessionId,
    principal: Principal,
    head: StreamSeq,
    watching: BTreeSet<JobId>,
}

impl Session {
    /// A session that begins, and the fact that opens it.
    pub fn open(id: SessionId, principal: Principal, client: String) -> (Self, Fact) {
        let opened =
            Fact::Opened(Opened { principal: principal.id.clone(), tags: principal.grants.tags.clone(), client });
        (Self { id, principal, head: StreamSeq::ZERO, watching: BTreeSet::new() }, opened)
    }

    /// The session again, from a view of it and the records of its stream that the view has not been shown.
    ///
    /// # Errors
    /// If a record does not decode.
    pub fn recover<'a>(
        principal: Principal,
        view: &View,
        head: StreamSeq,
        later: impl IntoIterator<Item = &'a Record>,
    ) -> Result<Self, Corrupt> {
        let awaited = view.awaited().iter().map(|awaited| awaited.job);
        let watching = view.live().keys().copied().chain(awaited).collect();
        let mut session = Self { id: view.session(), principal, head, watching };
        for record in later {
            session.take_note(&Fact::decode(record)?);
        }
        Ok(session)
    }

    /// The jobs that whoever goes on with the session is shown something of: those that its view sees or awaits, and
    /// those that the records which the view has not been shown add.
    ///
    /// # Errors
    /// If a record does not decode.
    pub fn to_be_shown<'a>(
        view: &View,
        later: impl IntoIterator<Item = &'a Record>,
    ) -> Result<BTreeSet<JobId>, Corrupt> {
        let awaited = view.awaited().iter().map(|awaited| awaited.job);
        let mut shown: BTreeSet<_> = view.live().keys().copied().chain(awaited).collect();
        for record in later {
            match Fact::decode(record)? {
                Fact::Attached(attached) => shown.insert(attached.job),
                Fact::Subscribed(subscribed) => shown.insert(subscribed.job),
                Fact::History(history) => shown.insert(history.job),
                Fact::Notice(notice) => shown.insert(notice.job),
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
                | Fact::Detached(_)
                | Fact::Closed(_) => false,
            };
        }
        Ok(shown)
    }

    /// Its id.
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Whose it is.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The jobs whose end the session has not seen.
    pub const fn watching(&self) -> &BTreeSet<JobId> {
        &self.watching
    }

    /// Mints the record of `fact`, the one after `earlier` others of the same batch.
    pub fn record(&self, now: Timestamp, earlier: u64, fact: &Fact) -> Record {
        Record {
            stream: StreamId::Session(self.id),
            seq: StreamSeq::new(self.head.get() + earlier + 1),
            at: now,
            kind: fact.kind(),
            body: fact.encode(),
        }
    }

    /// The store has committed the records of these facts, which were minted last.
    pub fn handle_committed<'a>(&mut self, facts: impl IntoIterator<Item = &'a Fact>) {
        for fact in facts {
            self.head = self.head.next();
            self.take_note(fact);
        }
    }

    /// The session has seen the job's end.
    pub fn handle_end_seen(&mut self, job: JobId) {
        self.watching.remove(&job);
    }

    fn take_note(&mut self, fact: &Fact) {
        match fact {
            Fact::Attached(attached) => {
                self.watching.insert(attached.job);
            }
            Fact::Subscribed(subscribed) => {
                self.watching.insert(subscribed.job);
            }
            Fact::Detached(detached) => {
                self.watching.remove(&detached.job);
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
            | Fact::History(_)
            | Fact::Closed(_)
            | Fact::Notice(_) => {}
        }
    }
}
