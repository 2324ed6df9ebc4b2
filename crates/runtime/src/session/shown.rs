//! What a session is shown next, and what is left out for a client that does not read.

use moorline_core::backlog::{Arrival, Departure, Missed, Overrun};
use moorline_core::record::{Fact, Overflow};
use moorline_types::{EventKind, JobId, Offset, RecordKind, limits};

use super::SessionHandle;
use crate::view::{Delivery, ViewError};

/// Reads of the journal in one go for a session that is to be where things are. A job that writes faster than this reads
/// is not caught up with; its client is then sent what is known.
const READS_AHEAD: usize = 256;

impl SessionHandle {
    /// The next records that the session sees; waits until there are some. None, if there is something to
    /// [`SessionHandle::prepare`] first. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Delivery>, ViewError> {
        while !self.is_history_due() {
            let from = self.reader.position();
            let deliveries = if self.backlog.is_empty() { self.reader.read().await? } else { Vec::new() };
            if self.rise(from, &deliveries) {
                break;
            }
            let deliveries = if self.reads_ahead() { Box::pin(self.read_ahead(deliveries)).await? } else { deliveries };
            if !deliveries.is_empty() {
                return Ok(self.note_seen(deliveries));
            }
        }
        let waiting = self.take_backlog();
        Ok(self.note_seen(waiting))
    }

    fn take_backlog(&mut self) -> Vec<Delivery> {
        let depart = |departure: Departure<Delivery>| Delivery { missed: departure.missed, ..departure.item };
        self.backlog.take().into_iter().map(depart).collect()
    }

    fn note_seen(&mut self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        self.gateway.note_seen(self.id(), &deliveries);
        for delivery in &deliveries {
            if delivery.record.kind.is_last() {
                self.session.handle_end_seen(delivery.job);
            }
        }
        deliveries
    }

    /// Goes on from the session's floor, if what was read from this place on may have been read across records that are
    /// gone. What was read is forgotten then; answers whether that is so.
    fn rise(&mut self, from: Offset, read: &[Delivery]) -> bool {
        let Some(floor) = self.presence.floor().filter(|floor| from < floor.view.position()) else { return false };
        let seen = read.first().map_or(self.reader.event_seq(), |first| first.event_seq.previous());
        self.missed = Missed::after(seen, floor.view.event_seq(), floor.reason);
        self.reader = self.reader.at(floor.view.clone());
        true
    }

    /// What is gone from the journal before the session was shown it. To be told after what [`SessionHandle::next`] has
    /// returned.
    pub const fn take_missed(&mut self) -> Option<Missed> {
        self.missed.take()
    }

    /// The job of which more waits than its subscription allows, if there is one: the connection is to be closed.
    pub const fn overrun(&self) -> Option<JobId> {
        self.overrun
    }

    /// Whether some subscription says what becomes of records that are not taken in time.
    fn reads_ahead(&self) -> bool {
        let special = |overflow: &Overflow| match overflow {
            Overflow::CatchUp => false,
            Overflow::Disconnect => true,
            Overflow::Skip | Overflow::Latest => self.takes_gaps,
        };
        !self.backlog.is_empty() || self.reader.view().live().values().any(special)
    }

    /// Reads on to the journal's end, and answers what of all that is to be sent.
    async fn read_ahead(&mut self, first: Vec<Delivery>) -> Result<Vec<Delivery>, ViewError> {
        self.take_in(first);
        for _ in 0..READS_AHEAD {
            // A stretch of history was asked for as it is.
            let enough = self.backlog.kept() >= limits::VIEW_READ_RECORDS || self.overrun.is_some();
            if enough || self.reader.view().is_in_history() {
                break;
            }
            let from = self.reader.position();
            match self.reader.read_now().await? {
                Some(deliveries) if self.rise(from, &deliveries) => break,
                Some(deliveries) => self.take_in(deliveries),
                None => break,
            }
        }
        Ok(self.take_backlog())
    }

    fn take_in(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            let arrival = self.arrival(delivery);
            if let Err(Overrun { job }) = self.backlog.push(arrival) {
                self.overrun = Some(job);
            }
        }
    }

    fn arrival(&self, delivery: Delivery) -> Arrival<Delivery> {
        let policy = self.reader.view().live().get(&delivery.job).copied().unwrap_or_default();
        let may_be_left_out = self.takes_gaps && !self.reader.view().is_in_history();
        let overflow = match policy {
            // The end of a job, and what only this session is told.
            _ if delivery.record.kind != RecordKind::JobEvent => Overflow::CatchUp,
            Overflow::Skip | Overflow::Latest if !may_be_left_out => Overflow::CatchUp,
            Overflow::Disconnect if self.is_replayed(&delivery) => Overflow::CatchUp,
            Overflow::CatchUp | Overflow::Skip | Overflow::Latest | Overflow::Disconnect => policy,
        };
        let replaces = if overflow == Overflow::Latest { replaced_kind(&delivery) } else { None };
        let bytes = delivery.record.body.len();
        let (event_seq, job) = (delivery.event_seq, delivery.job);
        Arrival { event_seq, job, overflow, replaces, bytes, item: delivery }
    }

    /// Whether the record was there before the client came back, and may have been sent to it then.
    pub fn is_replayed(&self, delivery: &Delivery) -> bool {
        delivery.record.offset() <= self.replayed_through
    }

    /// The client can be told of numbers that are left out.
    pub const fn accept_gaps(&mut self) {
        self.takes_gaps = true;
    }
}

/// What later events of the same kind replace: progress, and each metric by its name.
fn replaced_kind(delivery: &Delivery) -> Option<Box<str>> {
    #[derive(serde::Deserialize)]
    struct Metric {
        name: Box<str>,
    }

    let Ok(Fact::Event(event)) = Fact::decode(delivery.record.get()) else { return None };
    match event.kind {
        EventKind::Progress => Some("progress".into()),
        EventKind::Metric => {
            let metric: Metric = event.body.to().ok()?;
            Some(format!("metric {}", metric.name).into())
        }
        EventKind::Log
        | EventKind::Thought
        | EventKind::ToolCall
        | EventKind::ToolResult
        | EventKind::Status
        | EventKind::ArtifactRef
        | EventKind::Delegate
        | EventKind::ResultChunk
        | EventKind::Vendor(_) => None,
    }
}
