//! Letting what is beyond the replay window leave the journal while its session lives.
//!
//! - What goes is what no client can ask for any more, and what no subscriber that keeps up has still to be given. One that
//!   is behind by more than `queue_capacity` is not waited for: it is told a gap, as if it had come back.
//! - Sessions are looked at once a minute; one of which much has piled up at once, but not more often than once a second.
//!   So what a session has in the journal is its window, what piles up meanwhile, and nothing that grows with its age.
//! - The names of its items go with it, since what is written to a handle after a restart is judged by them.

use std::sync::Arc;

use moorline_backend::EVENT_KIND;
use moorline_backend::contract::{ItemHandle, ServerHandle};
use moorline_store::CommittedRecord;
use moorline_types::{EventKind, JobId, Json, Millis, StreamSeq, Timestamp, WorkerSeq};

use super::shared::{Inner, Session};
use super::{BackendSessions, GatewaySessionId};
use crate::gateway::shorten::{Cut, STEP, Shortened};
use crate::sync::lock;
use crate::tasks::TaskKind;

/// How often every session is looked at: what is kept for longer than it has to be costs only its place.
const INTERVAL: Millis = Millis::from_secs(60);

/// How often one of which much has piled up may be: each time the floors of all sessions are looked at.
const PAUSE: Millis = Millis::from_secs(1);

/// Records beyond the window that are much: five megabytes of the usual size, and a few dozen rows of the store.
const MUCH_RECORDS: u64 = 16_384;

/// Bytes beyond the window that are much: as much as the window itself may have by default.
const MUCH_BYTES: usize = 8 * 1024 * 1024;

/// Bytes beyond the window that are kept for a subscriber at the most.
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl Inner {
    /// A record of the session is in the journal that is no event to be replayed.
    pub(super) fn note_record(&mut self, record: &CommittedRecord) {
        self.window.pass(record.seq);
        self.journal_bytes = self.journal_bytes.saturating_add(record.body.len());
    }

    /// An event with this number is. It is noted as a record and as an event at once, so that no stream can begin in between.
    pub(super) fn note_event(&mut self, now: Timestamp, seq: WorkerSeq, record: &CommittedRecord) {
        self.window.push(now, seq, record.seq, record.at, record.body.len());
        self.journal_bytes = self.journal_bytes.saturating_add(record.body.len());
    }

    /// Whether so much is beyond the window that it is to go soon.
    pub(super) fn is_much_beyond(&mut self, now: Timestamp) -> bool {
        let beyond = self.window.first_needed(now).get().saturating_sub(self.journal_from.get());
        beyond >= MUCH_RECORDS || self.bytes_beyond() >= MUCH_BYTES
    }

    fn bytes_beyond(&self) -> usize {
        self.journal_bytes.saturating_sub(self.window.bytes())
    }

    /// The oldest record that is needed.
    fn first_needed(&mut self, now: Timestamp) -> StreamSeq {
        let needed = self.window.first_needed(now);
        if self.bytes_beyond() >= MOST_BYTES {
            return needed;
        }
        let kept_for = self.cursors.iter().filter(|(subscriber, _)| self.machine.is_kept_for(**subscriber));
        kept_for.map(|(_, next)| *next).fold(needed, StreamSeq::min)
    }

    fn note_shortened(&mut self, done: Shortened) {
        self.journal_from = done.oldest;
        self.journal_bytes = self.journal_bytes.saturating_sub(usize::try_from(done.bytes).unwrap_or(usize::MAX));
    }
}

impl BackendSessions {
    /// Lets go of what is beyond the windows, now and then, until the gateway stops.
    pub(super) fn start_trimming(&self) {
        let (sessions, tasks) = (self.clone(), self.0.gateway.tasks().clone());
        let clock = self.0.gateway.clock().clone();
        tasks.clone().spawn(TaskKind::Sweep, async move {
            let stopping = tasks.stopping().clone();
            loop {
                let next = sessions.0.gateway.now() + INTERVAL;
                tokio::select! {
                    () = clock.sleep_until(Some(next)) => {}
                    () = sessions.0.much.notified() => {}
                    () = stopping.cancelled() => return,
                }
                tokio::select! {
                    () = sessions.trim() => {}
                    () = stopping.cancelled() => return,
                }
                let pause = sessions.0.gateway.now() + PAUSE;
                tokio::select! {
                    () = clock.sleep_until(Some(pause)) => {}
                    () = stopping.cancelled() => return,
                }
            }
        });
    }

    /// Lets go of what is beyond the windows now.
    async fn trim(&self) {
        let all: Vec<_> =
            lock(&self.0.slots).sessions.iter().map(|(job, session)| (*job, Arc::clone(session))).collect();
        let now = self.0.gateway.now();
        let cuts: Vec<_> = all.iter().filter_map(|(job, session)| cut(*job, session, now)).collect();
        if cuts.is_empty() {
            return;
        }
        let done = match self.0.gateway.shorten(cuts).await {
            Ok(done) => done,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                return tracing::warn!(error, "events that cannot be replayed any more stay in the journal for now");
            }
        };
        for (job, session) in all {
            if let Some(done) = done.iter().find(|done| done.job == job) {
                tracing::debug!(session = %GatewaySessionId::of(job), oldest = %done.oldest, "what cannot be replayed has gone");
                session.with(|inner| {
                    inner.note_shortened(*done);
                    // There was more than one step takes.
                    if inner.first_needed(now).get().saturating_sub(done.oldest.get()) >= STEP {
                        self.0.much.notify_one();
                    }
                });
            }
        }
    }
}

fn cut(job: JobId, session: &Session, now: Timestamp) -> Option<Cut> {
    let mut inner = session.lock();
    let before = inner.first_needed(now);
    if before <= inner.journal_from || !inner.is_open {
        return None;
    }
    let carried = Json::of(&Carried::of(&inner)).ok()?;
    let counted: EventKind = EVENT_KIND.parse().ok()?;
    Some(Cut { job, before, counted, carried })
}

/// What a session needs besides its records.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Carried {
    items: Vec<(ServerHandle, ItemHandle, Box<str>)>,
}

impl Carried {
    fn of(inner: &Inner) -> Self {
        let items = inner.items.iter();
        Self { items: items.map(|((server, item), name)| (*server, *item, name.clone())).collect() }
    }

    /// Gives it to the session.
    pub(super) fn restore(self, inner: &mut Inner) {
        inner.items.extend(self.items.into_iter().map(|(server, item, name)| ((server, item), name)));
    }
}
