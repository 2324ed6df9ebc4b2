//! The two directions of an attached link.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::LinkEnd;
use crate::codec::{FrameError, Heard};
use crate::limits::{READ_BATCH, READ_BATCH_BYTES, WRITE_BATCH};
use crate::message::{Flaw, FromWorker, GoodbyeReason, Malformed, ToWorker};
use crate::proto::{self, GatewayMessage, gateway_message, worker_message};
use crate::stream::{Ear, Writer};

/// Reads until the link ends, and says why it did. Silence is counted only while this waits for the worker, never
/// while it waits for the gateway to take a message.
pub(super) async fn read(
    mut reader: Ear,
    incoming: mpsc::Sender<Result<Vec<FromWorker>, LinkEnd>>,
    lost_after: Duration,
) {
    loop {
        let mut messages = Vec::new();
        let ended = next(&mut reader, lost_after, &mut messages).await.err();
        if !messages.is_empty() && incoming.send(Ok(messages)).await.is_err() {
            return;
        }
        if let Some(end) = ended {
            // If nobody listens any more, the link has ended for its user already.
            incoming.send(Err(end)).await.unwrap_or_default();
            return;
        }
    }
}

/// Waits for a frame, and takes all those along that have come with it. What they say is in `messages`, also of those
/// that came before the one that ends the link.
async fn next(reader: &mut Ear, lost_after: Duration, messages: &mut Vec<FromWorker>) -> Result<(), LinkEnd> {
    let heard = timeout(lost_after, reader.next()).await.map_err(|_| LinkEnd::Silent { after: lost_after })?;
    let mut frame = heard.ok_or(LinkEnd::Closed)?.map_err(LinkEnd::Frame)?;
    let mut bytes = 0;
    loop {
        if let Some(message) = interpret(frame)? {
            bytes += message.carried_bytes();
            messages.push(message);
        }
        if messages.len() >= READ_BATCH || bytes >= READ_BATCH_BYTES {
            return Ok(());
        }
        match reader.next().now_or_never() {
            None => return Ok(()),
            Some(following) => frame = following.ok_or(LinkEnd::Closed)?.map_err(LinkEnd::Frame)?,
        }
    }
}

fn interpret(heard: Heard) -> Result<Option<FromWorker>, LinkEnd> {
    use worker_message::Body;

    let frame = match heard {
        Heard::Event(event) => return Ok(Some(event)),
        Heard::Other(frame) => frame,
    };
    let flaw = |field, flaw| LinkEnd::Malformed(Malformed { message: "WorkerMessage", field, flaw });
    Ok(Some(match frame.body.ok_or_else(|| flaw("body", Flaw::Missing))? {
        Body::JobStarted(started) => started.try_into().map_err(LinkEnd::Malformed)?,
        Body::JobRefused(refused) => refused.try_into().map_err(LinkEnd::Malformed)?,
        Body::Report(report) => report.try_into().map_err(LinkEnd::Malformed)?,
        Body::Ask(ask) => ask.try_into().map_err(LinkEnd::Malformed)?,
        Body::Heartbeat(_) => return Ok(None),
        Body::Goodbye(goodbye) => {
            // A reason from a later version still is a goodbye.
            return Err(LinkEnd::Goodbye(goodbye.reason.parse().unwrap_or(GoodbyeReason::Shutdown)));
        }
        Body::Hello(_) => return Err(flaw("hello", Flaw::Ambiguous)),
        Body::Proof(_) => return Err(flaw("proof", Flaw::Ambiguous)),
    }))
}

/// Writes until the transport fails or nobody can send any more.
pub(super) async fn write(
    mut writer: Writer<GatewayMessage>,
    mut outgoing: mpsc::Receiver<ToWorker>,
    heartbeat: Duration,
) {
    while let Ok(Some(())) = write_some(&mut writer, &mut outgoing, heartbeat).await {}
    // Tells the worker at once; if it cannot be told, it finds out by the silence.
    writer.close().await.unwrap_or_default();
}

/// Writes what waits, or a heartbeat when nothing came for an interval. `None` when nobody can send any more.
async fn write_some(
    writer: &mut Writer<GatewayMessage>,
    outgoing: &mut mpsc::Receiver<ToWorker>,
    heartbeat: Duration,
) -> Result<Option<()>, FrameError> {
    match timeout(heartbeat, outgoing.recv()).await {
        Ok(None) => return Ok(None),
        Ok(Some(first)) => {
            let mut next = Some(first);
            for _ in 0..WRITE_BATCH {
                let Some(message) = next else { break };
                writer.feed(message.into()).await?;
                next = outgoing.try_recv().ok();
            }
            if let Some(message) = next {
                writer.feed(message.into()).await?;
            }
        }
        Err(_) => {
            let beat = gateway_message::Body::Heartbeat(proto::Heartbeat {});
            writer.feed(GatewayMessage { body: Some(beat) }).await?;
        }
    }
    writer.flush().await?;
    Ok(Some(()))
}
