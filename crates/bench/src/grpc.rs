//! A subscriber of a gateway session over gRPC, and the check of what it is told.
//!
//! It has a connection of its own, reads the API's messages as they come and does nothing else with them.

use anyhow::{Context as _, Result, bail, ensure};
use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::session_gateway_client::SessionGatewayClient;
use moorline_gateway_proto::v1::stream_events_response::Item;
use moorline_gateway_proto::v1::value::Kind;
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};

/// What a connection takes in that is not read: little, so that a subscriber that does not read stands still soon.
const SMALL_WINDOW: u32 = 64 * 1024;

/// How a subscriber takes what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// As it comes.
    Eagerly,
    /// Not at all, for a while.
    Reluctantly,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Subscriber {
    stream: Streaming<v1::StreamEventsResponse>,
    seen: u32,
    sequence: u64,
}

impl Subscriber {
    /// Subscribes to everything that the session has said.
    pub(crate) async fn open(url: &str, key: &str, session: &v1::Session, taking: Taking) -> Result<Self> {
        let mut endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true);
        if taking == Taking::Reluctantly {
            endpoint = endpoint.initial_stream_window_size(SMALL_WINDOW).initial_connection_window_size(SMALL_WINDOW);
        }
        let (session_id, epoch) = (session.session_id.clone(), session.epoch.clone());
        // Behind the first number stands the first event that is one: zero would be from here on.
        let mut request = Request::new(v1::StreamEventsRequest { session_id, after_worker_sequence: 1, epoch });
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse()?);
        let mut api = SessionGatewayClient::new(endpoint.connect().await?);
        let stream = api.stream_events(request).await?.into_inner();
        Ok(Self { stream, seen: 0, sequence: 1 })
    }

    /// How many events it was told.
    pub(crate) const fn seen(&self) -> u32 {
        self.seen
    }

    /// When the next event was made, in nanoseconds since 1970.
    ///
    /// # Errors
    /// If one is missing or comes twice.
    pub(crate) async fn event(&mut self) -> Result<u64> {
        loop {
            let told = self.stream.message().await?.context("the stream has ended")?;
            let event = match told.item.context("neither an event nor a gap")? {
                Item::ReplayGap(gap) => bail!("a gap after {}", gap.requested_after_sequence),
                Item::Event(event) => event,
            };
            ensure!(event.worker_sequence > self.sequence, "{} after {}", event.worker_sequence, self.sequence);
            self.sequence = event.worker_sequence;
            match event.body {
                Some(v1::event::Body::DataChange(change)) => return self.note(change.sample.unwrap_or_default()),
                Some(v1::event::Body::BackendGap(gap)) => bail!("the back end has lost something: {}", gap.reason),
                _ => {}
            }
        }
    }

    fn note(&mut self, sample: v1::Sample) -> Result<u64> {
        ensure!(sample.raw_status == self.seen + 1, "event {} after {}", sample.raw_status, self.seen);
        self.seen = sample.raw_status;
        match sample.value.and_then(|value| value.kind) {
            Some(Kind::IntegerValue(nanos)) => Ok(nanos.cast_unsigned()),
            _ => bail!("not an event of the load"),
        }
    }
}
