//! Opening a session, and going on with one.

use std::collections::BTreeSet;
use std::sync::Arc;

use moorline_core::Refusal;
use moorline_core::access::{Action, Relation, Ruling, authorise};
use moorline_core::backlog::Missed;
use moorline_core::resume::{ResumeState, ResumeToken, TokenHash};
use moorline_core::session::Session;
use moorline_core::view::View;
use moorline_store::{PutError, ReadLimit};
use moorline_types::{
    Batch, Epoch, EventSeq, JobId, Millis, Offset, Principal, SessionId, StreamId, StreamSeq, Timestamp,
};

use super::{Gateway, JobSummary, no_entropy, put_reason, unavailable};
use crate::mint;
use crate::ruled::Ruled;
use crate::session::SessionHandle;
use crate::sessions::{Attached, ResumeRequest, new_token};
use crate::view::{ViewError, ViewReader};

impl Gateway {
    /// How long after its connection has ended a session can be resumed.
    pub fn resume_window(&self) -> Millis {
        self.0.sessions.window()
    }

    /// The lineage of the journal that every number is from.
    pub fn epoch(&self) -> Epoch {
        self.0.store.epoch()
    }

    /// Opens a session.
    ///
    /// # Errors
    /// If the principal has too many, the gateway is draining, or the journal cannot be written.
    pub async fn open_session(&self, principal: Principal, client: String) -> Result<Attached, Refusal> {
        if self.0.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        let now = self.now();
        let id = mint::session_id(now).map_err(no_entropy)?;
        let limit = self.quotas_of(&principal).sessions;
        let (presence, fence) = self.0.sessions.reserve(now, id, &principal.id, limit).await?;
        let opened = self.begin_session(now, id, principal, client).await;
        let (session, state, token, opened) = match opened {
            Ok(begun) => begun,
            Err(refusal) => {
                self.0.sessions.close(now, id).await;
                return Err(refusal);
            }
        };
        let reader = ViewReader::new(Arc::clone(&self.0.store), View::new(id, opened));
        let session = SessionHandle::new(self.clone(), session, reader, state, opened, Offset::ZERO, presence);
        Ok(Attached { session, token, fence, replaced: false, missed: None })
    }

    /// Writes a session's beginning down. Answers it with the offset of its first record.
    async fn begin_session(
        &self,
        now: Timestamp,
        id: SessionId,
        principal: Principal,
        client: String,
    ) -> Result<(Session, ResumeState, ResumeToken, Offset), Refusal> {
        let owner = principal.id.clone();
        let (mut session, opened) = Session::open(id, principal, client);
        let committed = self.append(id, &owner, Batch::from(vec![session.record(now, 0, &opened)])).await?;
        session.handle_committed([&opened]);
        let opened = committed.last_offset().unwrap_or_default();
        let token = new_token(id).map_err(no_entropy)?;
        let mut state = ResumeState::new(owner, self.epoch(), opened, TokenHash::of(&token));
        self.0.sessions.save(id, &mut state).await.1.map_err(unwritten)?;
        Ok((session, state, token, opened))
    }

    /// Goes on with a session (spec 6.3): what the client has not seen is shown again, under the same numbers.
    ///
    /// # Errors
    /// If the token is not this session's and principal's, or what was missed cannot be shown. The session is as it
    /// was then.
    pub async fn resume_session(&self, principal: Principal, request: ResumeRequest) -> Result<Attached, Refusal> {
        let _turn = self.0.admission.turn().await?;
        let (mut presence, mut state) = self.0.sessions.claim(self.now(), &principal.id, &request).await?;
        let id = presence.id();
        let epoch = self.epoch();
        let stale = [request.epoch, Some(state.epoch())].into_iter().flatten().find(|known| *known != epoch);
        if let (Some(asked), false) = (stale, request.accepts_gap) {
            return Err(Refusal::ResumeReplaced { asked, epoch });
        }
        let floor = self.0.sessions.floor(id).await.map_err(unavailable)?;
        let missed = floor.as_ref().and_then(|floor| Missed::after(request.last, floor.view.event_seq(), floor.reason));
        if let (Some(missed), false) = (missed, request.accepts_gap) {
            return Err(Refusal::ResumeTrimmed { asked: request.last, through: missed.to });
        }
        let view = state.view_before(id, request.last, floor.as_ref());
        let mut reader = ViewReader::new(Arc::clone(&self.0.store), view);
        let replayed_through = self.0.store.tail().head();
        if !reader.skip_to(request.last).await.map_err(unseen)? && stale.is_none() {
            return Err(Refusal::ResumeAhead { asked: request.last, last: reader.event_seq() });
        }
        let (session, written) = self.recover_session(principal, &reader).await?;
        let token = new_token(id).map_err(no_entropy)?;
        state.attach(TokenHash::of(&request.token), TokenHash::of(&token), epoch);
        state.acknowledge(reader.event_seq());
        self.0.sessions.save(id, &mut state).await.1.map_err(unwritten)?;
        presence.forget_state();
        let fence = self.0.sessions.connect(id).ok_or(Refusal::ResumeUnknown)?;
        let session = SessionHandle::new(self.clone(), session, reader, state, written, replayed_through, presence);
        Ok(Attached { session, token, fence, replaced: stale.is_some(), missed })
    }

    /// The session as its stream says it is, and the offset of its last record that the reader's view has not been shown.
    async fn recover_session(&self, principal: Principal, reader: &ViewReader) -> Result<(Session, Offset), Refusal> {
        const PAGE: ReadLimit = ReadLimit::new(1024, 1024 * 1024);
        let view = reader.view();
        let stream = StreamId::Session(view.session());
        // Whoever resumes the session is the only one who writes to its stream, and has not begun.
        let end = self.0.store.tail().head();
        let mut later = Vec::new();
        let mut through = view.position();
        while through < end {
            let page = match self.0.store.tail().read(&[stream], through, PAGE) {
                Some(page) => page,
                None => self.0.store.read_streams(&[stream], through, PAGE).await.map_err(unavailable)?,
            };
            through = page.through;
            later.extend(page.records);
        }
        let head = match later.last().map(|record| record.seq).or(reader.session_head()) {
            Some(head) => head,
            None => self.stream_head(stream).await.map_err(unavailable)?,
        };
        let written = later.last().map_or(view.position(), |record| record.offset());
        let records = || later.iter().map(|record| record.get().as_ref());
        let shown = Session::to_be_shown(view, records()).map_err(|error| unseen(error.into()))?;
        self.check_shown(&principal, shown).await?;
        let session = Session::recover(principal, view, head, records()).map_err(|error| unseen(error.into()))?;
        Ok((session, written))
    }

    /// Whether whoever resumes a session may see what it shows. The same principal may come back with a key that grants
    /// less than the one with which it subscribed.
    async fn check_shown(&self, principal: &Principal, jobs: BTreeSet<JobId>) -> Result<(), Refusal> {
        if authorise(principal, Action::Observe, Relation::Stranger).is_ok() {
            return Ok(());
        }
        for job in jobs {
            let Some(JobSummary { accepted, .. }) = self.summary(job).await.map_err(unavailable)? else { continue };
            let relation = Relation::of(principal, &accepted.principal, &accepted.tags);
            // What it has submitted itself is its session's to see.
            if relation != Relation::Owner && authorise(principal, Action::Observe, relation).is_err() {
                return Err(Refusal::ResumeNotAllowed { job });
            }
        }
        Ok(())
    }

    /// On what ground this principal may observe the job, or not: for the audit trail of a resume that was refused. `None`
    /// if it cannot be found any more.
    pub async fn rule_observation(&self, principal: &Principal, job: JobId) -> Option<Ruling> {
        let JobSummary { accepted, .. } = self.summary(job).await.ok()??;
        let ruled = Ruled::default();
        // Either way: the ruling says which.
        ruled.decide(principal, Action::Observe, Some(&accepted)).ok();
        ruled.take()
    }

    /// The first record of the job that its submitting session sees after this number.
    pub(crate) async fn first_after(&self, job: &JobSummary, number: EventSeq) -> Result<StreamSeq, Refusal> {
        if number == EventSeq::ZERO {
            return Ok(StreamSeq::FIRST);
        }
        let session = job.accepted.session;
        let floor = self.0.sessions.floor(session).await.map_err(unavailable)?;
        let stream = self.0.store.stream_bounds(StreamId::Session(session)).await.map_err(unavailable)?;
        // Where the number stood is not known any more: rather more than less.
        if floor.as_ref().is_some_and(|floor| number < floor.view.event_seq()) || stream.oldest > StreamSeq::FIRST {
            return Ok(StreamSeq::FIRST);
        }
        let view = match self.0.sessions.stored(session).await.map_err(unavailable)? {
            Some(state) => state.view_before(session, number, floor.as_ref()),
            None => View::new(session, Offset::ZERO),
        };
        let mut reader = ViewReader::new(Arc::clone(&self.0.store), view);
        let head = self.head_of(job.job).await.map_err(unavailable)?;
        if !reader.skip_to(number).await.map_err(unseen)? {
            return Ok(head.next());
        }
        let one = ReadLimit::new(1, 1);
        let stream = StreamId::Job(job.job);
        let mut through = reader.position();
        loop {
            let page = self.0.store.read_streams(&[stream], through, one).await.map_err(unavailable)?;
            match page.records.first() {
                Some(record) => return Ok(record.seq),
                None if page.through == through => return Ok(head.next()),
                None => through = page.through,
            }
        }
    }
}

fn unseen(error: ViewError) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "what a session sees was not read");
    Refusal::StoreUnavailable { reason: "it cannot be read" }
}

fn unwritten(error: PutError) -> Refusal {
    tracing::warn!(%error, "a session's state was not written");
    Refusal::StoreUnavailable { reason: put_reason(&error) }
}
