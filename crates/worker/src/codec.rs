//! Frames: a 4-byte big-endian length, then one protobuf message.

mod event;

use std::io;
use std::marker::PhantomData;

use bytes::{BufMut as _, BytesMut};
use prost::Message as _;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

use crate::message::FromWorker;
use crate::proto::WorkerMessage;
use event::EventFrame;

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

/// What a worker that is attached has sent.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An event of a job, checked.
    Event(FromWorker),
    /// Anything else.
    Other(WorkerMessage),
}

/// Reads frames from a worker that is attached.
#[derive(Debug)]
pub(crate) struct HearFrames(ReadFrames<WorkerMessage>);

impl From<ReadFrames<WorkerMessage>> for HearFrames {
    fn from(frames: ReadFrames<WorkerMessage>) -> Self {
        Self(frames)
    }
}

impl Decoder for HearFrames {
    type Item = Heard;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Heard>, FrameError> {
        let Some(frame) = self.0.lengths.decode(buffer)? else { return Ok(None) };
        if let Some(event) = event::read(&frame) {
            return Ok(Some(Heard::Event(event)));
        }
        WorkerMessage::decode(frame).map(|message| Some(Heard::Other(message))).map_err(FrameError::Protobuf)
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
        self.put_length(message.encoded_len(), buffer)?;
        message.encode_raw(buffer);
        Ok(())
    }
}

impl Encoder<FromWorker> for WriteFrames<WorkerMessage> {
    type Error = FrameError;

    fn encode(&mut self, message: FromWorker, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let Some(event) = EventFrame::of(&message) else {
            return Encoder::<WorkerMessage>::encode(self, message.into(), buffer);
        };
        self.put_length(event.bytes(), buffer)?;
        event.put(buffer);
        Ok(())
    }
}

impl<W> WriteFrames<W> {
    /// Begins the frame of a message that is so long, and makes room for it.
    fn put_length(&self, bytes: usize, buffer: &mut BytesMut) -> Result<(), FrameError> {
        let too_long = FrameError::TooLong { bytes, max: self.max };
        if bytes > self.max {
            return Err(too_long);
        }
        buffer.reserve(LENGTH_BYTES + bytes);
        buffer.put_u32(u32::try_from(bytes).map_err(|_| too_long)?);
        Ok(())
    }
}
