//! What goes out: every frame that a connection sends is made here, in the form that its client needs.

use moorline_core::Refusal;
use moorline_core::audit::AuditAction;
use moorline_core::backlog::Missed;
use moorline_core::record::EventBytes;
use moorline_runtime::{Delivery, mint};
use moorline_types::{EventKind, EventSeq, JobId, MessageId, Timestamp};
use moorline_wire::payload::SessionError;
use moorline_wire::profile::{Asked, Detected, Minted, Profile, detect, refuse_session_open};
use moorline_wire::vendor::{Cursor, Extensions};
use moorline_wire::{EventFrame, EventFrames, Feature, Frame, MessageType, RuntimeMessage, encode_into};

use super::audit::Deed;
use super::{Broken, Driver};
use crate::connection::{inline, retry};
use crate::front::to_wire;

impl Driver<'_> {
    /// Takes note of which client it is, by its first frame.
    pub(super) fn recognise(&mut self, frame: &[u8]) {
        match detect(frame) {
            Detected::Profile(profile) => self.profile = Some(profile),
            Detected::SessionOpen { id } => {
                self.profile = Some(Profile::Spec);
                let now = self.service.gateway().now();
                let refused = refuse_session_open(id.as_ref(), &self.message_id(now), now);
                self.outgoing.frame(|bytes| bytes.extend_from_slice(&refused));
            }
        }
    }

    pub(super) fn profile(&self) -> Profile {
        self.profile.unwrap_or(Profile::Spec)
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal, asked: &Asked) {
        if refusal.is_for_later() {
            self.retry = Some(retry::after(self.service.connections()));
        }
        self.tell(&to_wire::refusal(refusal), asked);
    }

    /// Tells of a refusal in the frames that this client understands.
    pub(super) fn tell(&mut self, error: &SessionError, asked: &Asked) {
        let now = self.service.gateway().now();
        // Until there is a session, all that the client waits for is the answer to its hello.
        let hello = Asked { message_type: Some(MessageType::Hello), ..asked.clone() };
        let asked = if self.session.is_some() { asked } else { &hello };
        let minted = Minted {
            message: self.message_id(now),
            job: mint::job_id(now).unwrap_or_else(|_| JobId::mint(now, [0; 10])),
        };
        for frame in self.profile().refuse(error, asked, now, &minted) {
            self.send(now, frame);
        }
        self.retry = None;
    }

    /// A record that the session sees, under its number.
    pub(super) async fn deliver(&mut self, delivery: &Delivery) -> Result<(), Broken> {
        if let Some(missed) = delivery.missed {
            self.tell_missed(missed);
        }
        let Some(handle) = &self.session else { return Ok(()) };
        let (session, replayed) = (handle.id(), handle.is_replayed(delivery));
        let Some(mut message) =
            to_wire::delivery(delivery, self.features, |rotated| handle.rotated_value(delivery.job, rotated))?
        else {
            return Ok(());
        };
        let trace_id = match self.traces.get(&delivery.job) {
            Some(known) => *known,
            // The session was resumed: the job was submitted on another connection.
            None => {
                let (trace_id, ruling) = handle.look_up(delivery.job).await;
                self.traces.insert(delivery.job, trace_id);
                self.watched.extend(ruling.map(|ruling| (delivery.job, ruling)));
                trace_id
            }
        };
        if let RuntimeMessage::JobResult(result) = &message
            && result.result_id.is_some()
            && !self.features.contains(Feature::ResultChunk)
        {
            let chunks = handle.events(delivery.job, EventKind::ResultChunk);
            message = inline::told(chunks, result, delivery.record.at).await?;
        }
        let terminal = matches!(message, RuntimeMessage::JobResult(_) | RuntimeMessage::JobError(_));
        let message = self.profile().adapt(message);
        let id = mint::sequenced_message_id(session, delivery.event_seq, delivery.record.at);
        let frame = Frame {
            session_id: Some(session.into()),
            job_id: Some(delivery.job.into()),
            trace_id,
            event_seq: Some(delivery.event_seq),
            extensions: Extensions { replayed, ..Extensions::NONE },
            ..Frame::new(id, message)
        };
        self.outgoing.frame(|bytes| encode_into(&frame, bytes));
        if terminal {
            if let Some(ruling) = self.watched.remove(&delivery.job) {
                self.note_ruled(Deed { action: AuditAction::Result, job: Some(delivery.job), trace_id }, Some(ruling));
            }
            self.traces.remove(&delivery.job);
            self.frames = None;
        }
        Ok(())
    }

    /// Delivers an event that this client is shown as it stands in the journal, which nearly all are: without reading
    /// it, and without an allocation. `false` if it is none, or something else is to be told with it: [`Self::deliver`].
    pub(super) fn copy(&mut self, delivery: &Delivery) -> bool {
        let Some(handle) = self.session.as_ref().filter(|_| delivery.missed.is_none()) else { return false };
        let Some(event) = EventBytes::of(delivery.record.get()) else { return false };
        if !to_wire::shows(event.kind, self.features) || !self.profile().takes_as_it_is(event.kind) {
            return false;
        }
        if self.frames.as_ref().is_none_or(|frames| frames.job() != delivery.job) {
            let Some(trace) = self.traces.get(&delivery.job) else { return false };
            match &mut self.frames {
                Some(frames) => frames.turn_to(delivery.job, *trace),
                none => *none = Some(EventFrames::new(handle.id(), delivery.job, *trace)),
            }
        }
        let Some(frames) = &mut self.frames else { return false };
        let frame = EventFrame {
            id: mint::sequenced_message_id_text(handle.id(), delivery.event_seq, delivery.record.at),
            event_seq: delivery.event_seq,
            fields: event.fields,
            replayed: handle.is_replayed(delivery),
        };
        self.outgoing.frame(|bytes| frames.write(frame, bytes));
        true
    }

    /// Numbers that the client will not be sent.
    pub(super) fn tell_missed(&mut self, missed: Missed) {
        let gap = to_wire::missed(missed, missed.to.next(), self.service.gateway().epoch());
        self.push(None, RuntimeMessage::Gap(gap));
    }

    /// A message that is not part of the session's sequence.
    pub(super) fn push(&mut self, job: Option<JobId>, message: RuntimeMessage) {
        let now = self.service.gateway().now();
        let frame = Frame {
            job_id: job.map(Into::into),
            trace_id: job.and_then(|job| self.traces.get(&job).copied().flatten()),
            extensions: self.extensions(&message),
            ..Frame::new(self.message_id(now), self.profile().adapt(message))
        };
        self.send(now, frame);
    }

    /// The frame, of this session.
    fn send(&mut self, now: Timestamp, mut frame: Frame<RuntimeMessage>) {
        // Before there is a session an error still names one: a peer that sees none drops the frame.
        let session = match &self.session {
            Some(session) => Some(session.id()),
            None => mint::session_id(now).ok(),
        };
        frame.session_id = session.map(Into::into);
        frame.extensions.retry = self.retry;
        self.outgoing.frame(|bytes| encode_into(&frame, bytes));
        self.answers += 1;
    }

    /// What a message says beside its payload: a welcome and a ping, where the numbering stands, so that a loss at the
    /// quiet end of a stream is noticed.
    fn extensions(&self, message: &RuntimeMessage) -> Extensions {
        match (message, &self.session) {
            (RuntimeMessage::Welcome(_), Some(session)) => self.cursor(session.given()),
            (RuntimeMessage::Ping(_), Some(session)) => self.cursor(session.event_seq()),
            _ => Extensions::NONE,
        }
    }

    fn cursor(&self, event_seq: EventSeq) -> Extensions {
        let cursor = Cursor { epoch: self.service.gateway().epoch(), event_seq };
        Extensions { cursor: Some(cursor), ..Extensions::NONE }
    }

    pub(super) fn message_id(&self, now: Timestamp) -> MessageId {
        mint::message_id(now).unwrap_or_else(|error| {
            tracing::error!(%error, "an envelope gets an id of zeros");
            MessageId::mint(now, [0; 10])
        })
    }
}
