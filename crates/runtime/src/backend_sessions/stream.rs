//! A session's events, for one subscriber: a cursor in the session's records.

use std::collections::VecDeque;
use std::sync::Arc;

use moorline_backend::EVENT_KIND;
use moorline_backend::contract::{Event, EventBody};
use moorline_core::backend_session::{Begin, Disconnect, Gap, ItemAccess, State, SubscriberId, SubscriberKind};
use moorline_core::record::Fact;
use moorline_store::{CommittedRecord, Interest, Store};
use moorline_types::{Epoch, StreamId, StreamSeq, Timestamp, WorkerSeq};
use tokio::sync::watch;

use super::drive::PAGE;
use super::shared::Session;
use super::{SessionError, SessionHandle};
use crate::clock::Clock;
use crate::metrics::GatewayMetrics;
use crate::view::ViewError;

/// Where a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeFrom {
    /// The last number that the subscriber has seen; zero for what happens from now on.
    pub after: WorkerSeq,
    /// The lineage in which it was given, if the subscriber knows.
    pub epoch: Option<Epoch>,
}

/// What a stream is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// In the place of what is not retained: first, or when a subscriber was too far behind.
    Gap {
        /// Where.
        gap: Gap,
        /// The lineage from here on.
        epoch: Epoch,
        /// Whether it is another than the subscriber's.
        is_other_journal: bool,
    },
    /// What happened.
    Event(StreamedEvent),
}

/// An event of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedEvent {
    /// Its number.
    pub worker_seq: WorkerSeq,
    /// When the worker said it.
    pub at: Timestamp,
    /// What the back end said.
    pub event: Event,
}

/// See the module's documentation. Dropping it is leaving.
#[derive(Debug)]
pub struct EventStream {
    store: Arc<dyn Store>,
    clock: Clock,
    session: Arc<Session>,
    subscriber: SubscriberId,
    kind: SubscriberKind,
    metrics: GatewayMetrics,
    access: ItemAccess,
    interest: Interest,
    next: StreamSeq,
    after: WorkerSeq,
    /// The number of the last event that was read, or that had been when the stream began.
    passed: WorkerSeq,
    epoch: Epoch,
    ready: VecDeque<StreamItem>,
    last_delivered: WorkerSeq,
    ended: watch::Receiver<Option<Disconnect>>,
}

impl SessionHandle {
    /// Streams the session's events.
    ///
    /// # Errors
    /// If nobody more may, the session is over, or what the principal may read cannot be known.
    pub fn subscribe(&self, kind: SubscriberKind, from: SubscribeFrom) -> Result<EventStream, SessionError> {
        let gateway = &self.sessions.0.gateway;
        let access = ItemAccess::of(&self.principal.grants.constraints)?;
        let store = Arc::clone(gateway.store());
        let mut interest = store.tail().subscribe();
        interest.add(StreamId::Job(self.session.about.job));
        let (now, epoch) = (gateway.now(), gateway.epoch());
        let is_other_journal = from.epoch.is_some_and(|theirs| theirs != epoch);
        // A number of another journal says nothing here: all that is retained follows.
        let after = if is_other_journal { WorkerSeq::ZERO } else { from.after };
        let mut inner = self.session.lock();
        let (next, behind) = inner.window.begin(now, after);
        let gap = match is_other_journal {
            true => Some(Gap { requested_after: from.after, oldest_available: inner.window.oldest() }),
            false => inner.window.gap(now, after),
        };
        let passed = if after == WorkerSeq::ZERO { inner.window.highest() } else { after };
        let Begin { subscriber } = inner.machine.handle_subscribe(kind, behind)?;
        let (end, ended) = watch::channel(None);
        inner.streams.insert(subscriber, end);
        inner.cursors.insert(subscriber, next);
        drop(inner);
        self.session.changed.notify_one();
        if gap.is_some() {
            gateway.metrics().gateway().gap(if is_other_journal { "other_journal" } else { "retention" });
        }
        let ready = gap.map(|gap| StreamItem::Gap { gap, epoch, is_other_journal }).into_iter().collect();
        let (clock, session) = (gateway.clock().clone(), Arc::clone(&self.session));
        let last_delivered = after;
        Ok(EventStream {
            store,
            clock,
            session,
            subscriber,
            kind,
            metrics: gateway.metrics().gateway().clone(),
            access,
            interest,
            next,
            after,
            passed,
            epoch,
            ready,
            last_delivered,
            ended,
        })
    }
}

impl EventStream {
    /// What comes next; `None` at the session's end. May be cancelled without loss.
    ///
    /// # Errors
    /// If the subscriber did not keep up, the session has failed, or the journal cannot be read.
    pub async fn next(&mut self) -> Result<Option<StreamItem>, SessionError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                if let StreamItem::Event(event) = &item {
                    self.last_delivered = event.worker_seq;
                }
                return Ok(Some(item));
            }
            let ended = self.ended.borrow_and_update().clone();
            if let Some(Disconnect::Overflow { capacity }) = ended {
                return Err(SessionError::Overflow { capacity, last_delivered: self.last_delivered });
            }
            if self.read().await? {
                continue;
            }
            match ended {
                None => {
                    tokio::select! {
                        () = self.interest.changed() => {}
                        _ = self.ended.changed() => {}
                    }
                }
                Some(Disconnect::SessionOver { state: State::Faulted(fault) }) => {
                    return Err(moorline_core::backend_session::Refused::Faulted { fault }.into());
                }
                Some(Disconnect::SessionOver { .. } | Disconnect::Overflow { .. }) => return Ok(None),
            }
        }
    }

    /// Whether the session is known to be over: what is left of it comes without waiting, and then the end.
    pub fn is_ending(&self) -> bool {
        matches!(&*self.ended.borrow(), Some(Disconnect::SessionOver { .. }))
    }

    /// The last number that was handed over.
    pub const fn last_delivered(&self) -> WorkerSeq {
        self.last_delivered
    }

    /// Reads on. Answers whether there was something to read.
    async fn read(&mut self) -> Result<bool, ViewError> {
        let stream = StreamId::Job(self.session.about.job);
        let page = self.store.read_stream(stream, self.next, PAGE).await?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(false) };
        if first.seq > self.next {
            self.move_on(first.seq);
            return Ok(true);
        }
        self.next = last.seq.next();
        let mut passed = 0;
        for record in &page {
            let Some(event) = event_of(record)? else { continue };
            passed += 1;
            self.passed = event.worker_seq;
            if event.worker_seq > self.after && self.may_see(&event.event) {
                self.ready.push_back(StreamItem::Event(event));
            }
        }
        let (subscriber, next) = (self.subscriber, self.next);
        self.session.with(|inner| {
            inner.cursors.entry(subscriber).and_modify(|cursor| *cursor = next);
            inner.machine.handle_delivered(subscriber, passed);
        });
        Ok(true)
    }

    /// What was to be read has left the journal: goes on with what is retained, and says what is missing.
    fn move_on(&mut self, oldest: StreamSeq) {
        let (now, subscriber) = (self.clock.now(), self.subscriber);
        let (gap, next) = self.session.with(|inner| {
            let gap = inner.window.missing(now, self.passed);
            let (next, behind) = inner.window.go_on(self.passed);
            inner.cursors.entry(subscriber).and_modify(|cursor| *cursor = next);
            inner.machine.handle_moved(subscriber, behind);
            (gap, next)
        });
        self.next = next.max(oldest);
        if gap.is_some() {
            self.metrics.gap("behind");
        }
        let epoch = self.epoch;
        self.ready.extend(gap.map(|gap| StreamItem::Gap { gap, epoch, is_other_journal: false }));
    }

    fn may_see(&self, event: &Event) -> bool {
        let Some(name) = &event.name else { return true };
        let is_own_write = matches!(event.said, EventBody::WriteComplete { .. });
        self.access.may_read(name) || is_own_write && self.access.may_write(name)
    }
}

/// The event that a client is shown of a record, if it is shown one.
fn event_of(record: &CommittedRecord) -> Result<Option<StreamedEvent>, ViewError> {
    let Fact::Event(event) = Fact::decode(record.get())? else { return Ok(None) };
    let (Some(worker_seq), EVENT_KIND) = (event.worker_seq, event.kind.as_str()) else { return Ok(None) };
    let body: Event = match event.body.to() {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, seq = %record.seq, "an event of a back end cannot be read");
            return Ok(None);
        }
    };
    if body.said == EventBody::Opened {
        return Ok(None);
    }
    Ok(Some(StreamedEvent { worker_seq, at: event.ts, event: body }))
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let reason = match &*self.ended.borrow() {
            None => "detached",
            Some(Disconnect::SessionOver { .. }) => "session_over",
            Some(Disconnect::Overflow { .. }) => {
                self.metrics.overflow(match self.kind {
                    SubscriberKind::External => "grpc-event-stream",
                    SubscriberKind::Internal => "dashboard-mirror",
                });
                "overflow"
            }
        };
        self.metrics.disconnect(reason);
        let (now, subscriber) = (self.clock.now(), self.subscriber);
        self.session.tell(|inner| {
            inner.streams.remove(&subscriber);
            inner.cursors.remove(&subscriber);
            inner.machine.handle_unsubscribe(now, subscriber);
        });
    }
}
