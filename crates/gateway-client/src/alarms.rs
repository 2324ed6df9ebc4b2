//! A session's alarms: those that are active, then every transition.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{FusedStream, Stream, StreamExt as _};
use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::stream_alarms_response::Item as Told;
use tokio::sync::watch;

use crate::call::Caller;
use crate::error::CallError;
use crate::streaming::{Ask, Link, Resuming, Source};

/// What comes next in a stream of alarms.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an interruption says that what is known of the alarms is out of date"]
pub enum NextAlarm {
    /// An alarm that is active as the stream begins.
    Active(v1::Alarm),
    /// Those are all that are active; changes follow.
    SnapshotComplete,
    /// An alarm was raised, acknowledged or cleared.
    Transition(v1::Alarm),
    /// The connection was lost, and transitions may not have been told. What is known of the alarms is to be discarded:
    /// those that are active are told once more.
    Interrupted,
}

/// A session's alarms. See [`crate::Session::alarms`].
pub struct AlarmStream(Resuming<Alarms>);

impl AlarmStream {
    pub(crate) async fn open(caller: Caller, session_id: Arc<str>) -> Result<Self, CallError> {
        Ok(Self(Resuming::open(caller, Alarms { session_id }).await?))
    }

    /// What comes next; `None` at the session's end, and after an error.
    ///
    /// # Errors
    /// Why the stream is over: what was refused, or that there was no connection for as long as one was sought.
    pub async fn next(&mut self) -> Option<Result<NextAlarm, CallError>> {
        self.0.next().await
    }

    /// How it stands with the connection.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.0.link()
    }
}

impl Stream for AlarmStream {
    type Item = Result<NextAlarm, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl FusedStream for AlarmStream {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

impl fmt::Debug for AlarmStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlarmStream").finish_non_exhaustive()
    }
}

struct Alarms {
    session_id: Arc<str>,
}

impl Source for Alarms {
    type Response = v1::StreamAlarmsResponse;
    type Item = NextAlarm;

    fn open(
        &self,
        caller: Caller,
        ask: Ask,
    ) -> BoxFuture<'static, Result<tonic::Streaming<Self::Response>, CallError>> {
        let request = v1::StreamAlarmsRequest { session_id: self.session_id.to_string() };
        Box::pin(async move {
            let attempt = |mut api: crate::connect::Api| {
                let request = request.clone();
                async move { api.stream_alarms(request).await }
            };
            caller.call(ask.repeat, ask.patience, ask.backoff, attempt).await
        })
    }

    fn take(&mut self, response: v1::StreamAlarmsResponse) -> Option<NextAlarm> {
        Some(match response.item? {
            Told::ActiveAlarm(alarm) => NextAlarm::Active(alarm),
            Told::SnapshotComplete(_) => NextAlarm::SnapshotComplete,
            Told::Transition(alarm) => NextAlarm::Transition(alarm),
        })
    }

    fn reopened(&mut self) -> Option<NextAlarm> {
        Some(NextAlarm::Interrupted)
    }
}
