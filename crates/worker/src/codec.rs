//! Frames: a 4-byte big-endian length, then one protobuf message.

use std::io;
use std::marker::PhantomData;

use bytes::{BufMut as _, BytesMut};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// Bytes of the length before each frame.
const LENGTH_BYTES: usize = 4;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The transport failed, ended inside a frame, or the other side announced a frame that is too long.
    #[error("the transport failed or broke the frame limit")]
    Transport(#[source] io::Error),
    /// The frame is no message.
    #[error("the frame is no protobuf message of this protocol")]
    Protobuf(#[source] prost::DecodeError),
    /// The message does not fit into a frame.
    #[error("the message has {bytes} bytes, a frame has at most {max}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
}

impl From<io::Error> for FrameError {
    // The codec traits ask for this conversion; it is the only way an I/O error gets here.
    fn from(error: io::Error) -> Self {
        Self::Transport(error)
    }
}

/// Reads frames of messages `R`.
#[derive(Debug)]
pub(crate) struct ReadFrames<R> {
    lengths: LengthDelimitedCodec,
    message: PhantomData<fn() -> R>,
}

impl<R> ReadFrames<R> {
    pub(crate) fn new(max_frame_bytes: usize) -> Self {
        let lengths = LengthDelimitedCodec::builder()
            .length_field_length(LENGTH_BYTES)
            .max_frame_length(max_frame_bytes)
            .new_codec();
        Self { lengths, message: PhantomData }
    }

    pub(crate) fn set_max(&mut self, max_frame_bytes: usize) {
        self.lengths.set_max_frame_length(max_frame_bytes);
    }
}

impl<R: prost::Message + Default> Decoder for ReadFrames<R> {
    type Item = R;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<R>, FrameError> {
        match self.lengths.decode(buffer)? {
            None => Ok(None),
            Some(frame) => R::decode(frame).map(Some).map_err(FrameError::Protobuf),
        }
    }
}

/// Writes frames of messages `W`.
#[derive(Debug)]
pub(crate) struct WriteFrames<W> {
    max: usize,
    message: PhantomData<fn(W)>,
}

impl<W> WriteFrames<W> {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, message: PhantomData }
    }
}

impl<W: prost::Message> Encoder<W> for WriteFrames<W> {
    type Error = FrameError;

    fn encode(&mut self, message: W, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let bytes = message.encoded_len();
        let too_long = FrameError::TooLong { bytes, max: self.max };
        if bytes > self.max {
            return Err(too_long);
        }
        buffer.reserve(LENGTH_BYTES + bytes);
        buffer.put_u32(u32::try_from(bytes).map_err(|_| too_long)?);
        message.encode_raw(buffer);
        Ok(())
    }
}
