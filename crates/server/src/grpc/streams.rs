//! Streams of a session, as the calls answer them.
//!
//! A stream is pulled: the next item is asked for when the one before is on its way to the client, so that what a client
//! does not read stays in the journal. Nothing is copied into a queue between the two.

use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{Stream, unfold};
use moorline_backend::contract::EventBody;
use moorline_gateway_proto::v1::{self, stream_alarms_response::Item};
use moorline_runtime::backend_sessions::{EventStream, SessionError, StreamItem};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::status::{going_away, status, unauthenticated};
use super::to_proto;

/// What a call that streams answers with.
pub(super) type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What ends a stream beside its session.
pub(super) struct Bounds {
    /// The gateway ends.
    pub(super) closing: CancellationToken,
    /// What the caller has authenticated with is over.
    pub(super) over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct Reading {
    events: EventStream,
    session: String,
    bounds: Bounds,
    is_over: bool,
}

impl Reading {
    /// The next item; `None` at the end. An error is the last.
    async fn next(&mut self) -> Option<Result<StreamItem, Status>> {
        if self.is_over {
            return None;
        }
        let mut is_ending = false;
        let next = loop {
            tokio::select! {
                next = self.events.next() => break next,
                () = self.bounds.closing.cancelled(), if !is_ending => {
                    // A session that has ended with the gateway is over, and not to be come back to.
                    is_ending = self.events.is_ending();
                    if !is_ending {
                        self.is_over = true;
                        return Some(Err(going_away()));
                    }
                }
                () = self.bounds.over.as_mut() => {
                    self.is_over = true;
                    return Some(Err(unauthenticated("the key or token is over; go on with another one", None)));
                }
            }
        };
        let failed = |error: SessionError| Err(status(&self.session, &error));
        let next = next.map_or_else(|error| Some(failed(error)), |item| item.map(Ok));
        self.is_over = matches!(next, None | Some(Err(_)));
        next
    }
}

/// The session's events.
pub(super) fn events(events: EventStream, session: String, bounds: Bounds) -> Streamed<v1::StreamEventsResponse> {
    let reading = Reading { events, session, bounds, is_over: false };
    Box::pin(unfold(reading, |mut reading| async move {
        loop {
            match reading.next().await? {
                Err(status) => return Some((Err(status), reading)),
                Ok(item) => {
                    if let Some(item) = to_proto::stream_item(item) {
                        return Some((Ok(item), reading));
                    }
                }
            }
        }
    }))
}

/// The session's alarms: one snapshot of those that are active, then every transition.
pub(super) fn alarms(events: EventStream, session: String, bounds: Bounds) -> Streamed<v1::StreamAlarmsResponse> {
    let reading = (Reading { events, session, bounds, is_over: false }, false);
    Box::pin(unfold(reading, |(mut reading, mut has_snapshot)| async move {
        loop {
            let item = match reading.next().await? {
                Err(status) => return Some((Err(status), (reading, has_snapshot))),
                Ok(StreamItem::Gap { .. }) => continue,
                Ok(StreamItem::Event(streamed)) => streamed.event.said,
            };
            // A later snapshot is somebody else's.
            let told = match item {
                EventBody::Alarm(alarm) if alarm.snapshot && has_snapshot => None,
                EventBody::Alarm(alarm) if alarm.snapshot => Some(Item::ActiveAlarm(to_proto::alarm(alarm))),
                EventBody::Alarm(alarm) => Some(Item::Transition(to_proto::alarm(alarm))),
                EventBody::AlarmSnapshotComplete if !has_snapshot => {
                    has_snapshot = true;
                    Some(Item::SnapshotComplete(v1::AlarmSnapshotComplete {}))
                }
                EventBody::AlarmSnapshotComplete
                | EventBody::Opened
                | EventBody::DataChange(_)
                | EventBody::BufferedDataChange(_)
                | EventBody::ItemRevised(_)
                | EventBody::WriteComplete { .. }
                | EventBody::OperationComplete { .. }
                | EventBody::BackendGap { .. } => None,
            };
            if let Some(item) = told {
                let response = v1::StreamAlarmsResponse { item: Some(item) };
                return Some((Ok(response), (reading, has_snapshot)));
            }
        }
    }))
}
