//! The half of a connection that writes.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use moorline_runtime::{TaskKind, Tasks};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::door::{CloseReason, FrameSink};

/// Frames between the two halves of a connection: enough that writing does not wait for deciding.
const FRAMES: usize = 32;

/// How long the last frames of a connection may take to be written. A client that has not read them by then does not.
const LAST_FRAMES: Duration = Duration::from_secs(2);

/// The deciding half's end of the writing half.
#[derive(Debug)]
pub(super) struct Writer {
    frames: mpsc::Sender<Bytes>,
    close: oneshot::Sender<CloseReason>,
    cut: CancellationToken,
    done: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts writing to `sink`.
    pub(super) fn start(tasks: &Tasks, sink: impl FrameSink + 'static) -> Self {
        let (frames, queued) = mpsc::channel(FRAMES);
        let (close, closing) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        let cut = CancellationToken::new();
        let cutting = cut.clone();
        tasks.spawn(TaskKind::Connection, async move {
            tokio::select! {
                () = write(sink, queued, closing) => {}
                () = cutting.cancelled() => tracing::debug!("the client did not take its last frames"),
            }
            drop(finished);
        });
        Self { frames, close, cut, done }
    }

    /// Room for one frame; `None` when nothing can be written any more.
    pub(super) async fn room(&self) -> Option<mpsc::Permit<'_, Bytes>> {
        self.frames.reserve().await.ok()
    }

    /// Room for one more frame, if there is some at once.
    pub(super) fn room_now(&self) -> Option<mpsc::Permit<'_, Bytes>> {
        self.frames.try_reserve().ok()
    }

    /// Writes the rest, says goodbye, and waits until that is done, but not for long.
    pub(super) async fn finish(self, rest: impl IntoIterator<Item = Bytes>, reason: CloseReason) {
        let Self { frames, close, cut, done } = self;
        let all = async move {
            for frame in rest {
                if frames.send(frame).await.is_err() {
                    return;
                }
            }
            // The writer is gone if this fails, and with it the need to say goodbye.
            close.send(reason).ok();
            drop(frames);
            done.await.ok();
        };
        if tokio::time::timeout(LAST_FRAMES, all).await.is_err() {
            cut.cancel();
        }
    }
}

async fn write(mut sink: impl FrameSink, mut queued: mpsc::Receiver<Bytes>, closing: oneshot::Receiver<CloseReason>) {
    while let Some(frame) = queued.recv().await {
        if let Err(error) = write_all_queued(&mut sink, frame, &mut queued).await {
            tracing::debug!(%error, "the client is gone");
            return;
        }
    }
    if let Ok(reason) = closing.await
        && let Err(error) = sink.close(reason).await
    {
        tracing::debug!(%error, "the client did not wait for the goodbye");
    }
}

/// Writes this frame and what is queued behind it in one go: a frame that is alone does not wait for another.
async fn write_all_queued(
    sink: &mut impl FrameSink,
    first: Bytes,
    queued: &mut mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    sink.feed(first).await?;
    while let Ok(frame) = queued.try_recv() {
        sink.feed(frame).await?;
    }
    sink.flush().await
}
