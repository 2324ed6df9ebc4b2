//! The two halves of a byte stream as frames.

use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite};

use crate::codec::{HearFrames, ReadFrames, WriteFrames};
use crate::limits::{READ_BUFFER_BYTES, WRITE_BATCH_BYTES};

/// Whatever a link can run over: a Unix socket, a pipe in memory, TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Reads messages `R`.
pub(crate) type Reader<R> = FramedRead<ReadHalf<Box<dyn Stream>>, ReadFrames<R>>;
/// Reads what a worker that is attached says.
pub(crate) type Ear = FramedRead<ReadHalf<Box<dyn Stream>>, HearFrames>;
/// Writes messages `W`.
pub(crate) type Writer<W> = FramedWrite<WriteHalf<Box<dyn Stream>>, WriteFrames<W>>;

/// Splits a stream. Frames that are read have at most `max_read` bytes, frames that are written at most `max_write`.
pub(crate) fn frames<R, W>(stream: impl Stream, max_read: usize, max_write: usize) -> (Reader<R>, Writer<W>)
where
    R: prost::Message + Default,
    W: prost::Message,
{
    let stream: Box<dyn Stream> = Box::new(stream);
    let (read, write) = tokio::io::split(stream);
    let mut writer = FramedWrite::new(write, WriteFrames::new(max_write));
    // One batch, and the last message beyond it, is one write.
    writer.set_backpressure_boundary(WRITE_BATCH_BYTES);
    (FramedRead::with_capacity(read, ReadFrames::new(max_read), READ_BUFFER_BYTES), writer)
}
