//! One link, while it lasts.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use moorline_types::Fence;
use tokio::time::timeout;

use super::{Contact, Stop};
use crate::codec::FrameError;
use crate::host::{Handled, Host};
use crate::link::lost_after;
use crate::message::{FromWorker, GatewayEpoch, GoodbyeReason, Malformed, decode};
use crate::outbox::LinkState;
use crate::proto::{self, GatewayMessage, WorkerMessage, worker_message};
use crate::stream::{Reader, Writer};

/// An attached link.
pub(crate) struct Session {
    reader: Reader<GatewayMessage>,
    writer: Writer<WorkerMessage>,
    fence: Fence,
    epoch: GatewayEpoch,
    heartbeat: Duration,
    link: LinkState,
}

/// How a link ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// The worker has said goodbye.
    Left(GoodbyeReason),
    /// It broke.
    Lost(Lost),
}

/// Why a link broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the gateway closed it")]
    Closed,
    #[error("nothing was heard for {} ms", after.as_millis())]
    Silent { after: Duration },
    #[error("its transport failed")]
    Frame(#[source] FrameError),
    #[error("the gateway sent a message that it should not have sent: {0}")]
    Malformed(#[source] Malformed),
    #[error("the gateway sent an empty message")]
    Empty,
    #[error("the gateway starts jobs without taking the answers")]
    Overrun,
}

impl Session {
    pub(super) const fn new(
        reader: Reader<GatewayMessage>,
        writer: Writer<WorkerMessage>,
        fence: Fence,
        epoch: GatewayEpoch,
        heartbeat: Duration,
        link: LinkState,
    ) -> Self {
        Self { reader, writer, fence, epoch, heartbeat, link }
    }

    pub(super) const fn fence(&self) -> Fence {
        self.fence
    }

    pub(super) const fn epoch(&self) -> GatewayEpoch {
        self.epoch
    }

    /// Carries messages in both directions, independent of each other, until either fails.
    pub(crate) async fn serve(self, host: &Host, contact: &Contact, stop: &Stop) -> SessionEnd {
        let Self { mut reader, mut writer, heartbeat, link, .. } = self;
        contact.heard();
        host.set_link(link);
        let lost = tokio::select! {
            lost = read(&mut reader, host, contact, stop, lost_after(heartbeat)) => lost,
            failed = write(&mut writer, host, heartbeat) => Lost::Frame(failed),
            reason = stop.goodbye() => {
                goodbye(&mut writer, reason).await;
                return SessionEnd::Left(reason);
            }
        };
        host.set_link(LinkState::Lost);
        SessionEnd::Lost(lost)
    }
}

async fn read(
    reader: &mut Reader<GatewayMessage>,
    host: &Host,
    contact: &Contact,
    stop: &Stop,
    lost_after: Duration,
) -> Lost {
    loop {
        let frame = match timeout(lost_after, reader.next()).await {
            Err(_) => return Lost::Silent { after: lost_after },
            Ok(None) => return Lost::Closed,
            Ok(Some(Err(error))) => return Lost::Frame(error),
            Ok(Some(Ok(frame))) => frame,
        };
        contact.heard();
        let Some(body) = frame.body else { return Lost::Empty };
        let handled = match decode::to_worker(body) {
            Err(malformed) => return Lost::Malformed(malformed),
            Ok(None) => continue,
            Ok(Some(message)) => host.handle(message),
        };
        match handled {
            Handled::Done => {}
            Handled::Shutdown { grace } => stop.request(GoodbyeReason::Shutdown, grace),
            Handled::Overrun => return Lost::Overrun,
        }
    }
}

async fn write(writer: &mut Writer<WorkerMessage>, host: &Host, heartbeat: Duration) -> FrameError {
    loop {
        if let Err(error) = write_some(writer, host, heartbeat).await {
            return error;
        }
    }
}

/// Writes what waits, or a heartbeat when nothing came for an interval.
async fn write_some(writer: &mut Writer<WorkerMessage>, host: &Host, heartbeat: Duration) -> Result<(), FrameError> {
    match timeout(heartbeat, host.next()).await {
        Ok(messages) => {
            for message in messages {
                writer.feed(message).await?;
            }
        }
        Err(_) => {
            let beat = worker_message::Body::Heartbeat(proto::Heartbeat {});
            writer.feed(WorkerMessage { body: Some(beat) }).await?;
        }
    }
    futures_util::SinkExt::<FromWorker>::flush(writer).await
}

async fn goodbye(writer: &mut Writer<WorkerMessage>, reason: GoodbyeReason) {
    let body = worker_message::Body::Goodbye(proto::Goodbye { reason: reason.to_string() });
    // The process is about to end either way; a gateway that misses this sees the process end.
    if let Err(error) = writer.send(WorkerMessage { body: Some(body) }).await {
        tracing::debug!(%error, "the goodbye could not be sent");
    }
}
