//! A result in chunks (spec 8.4).
//!
//! One encoding per stream; chunks are numbered from 0; exactly one, the last, says `more: false`. To be able to say
//! that, the stream always holds back what may be the last chunk. Text is cut between characters. A chunk is bounded
//! both raw and as it stands in JSON: a text of control characters grows sixfold there.

use std::borrow::Cow;
use std::mem;

use data_encoding::BASE64;
use moorline_types::limits::MAX_EVENT_BODY_BYTES;
use moorline_types::{EventKind, Json, JsonError, ResultId};
use serde::Serialize;

use super::{EmitError, JobContext, Outcome};
use crate::clock;
use crate::limits::RESULT_CHUNK_BYTES;
use crate::message::{Output, Report};
use crate::random::{self, NoEntropy};

/// What is left for a chunk's data in JSON: the body's bound less its other fields.
const MAX_ESCAPED_BYTES: usize = MAX_EVENT_BODY_BYTES - 1024;

/// How chunks carry their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As text.
    Utf8,
    /// As bytes in base64.
    Base64,
}

/// Why nothing was written to a stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The job has begun its streamed result already.
    #[error("a job has one streamed result, and this one has begun it already")]
    Begun,
    /// Bytes were written to a text stream.
    #[error("this stream carries text: begin it with `Encoding::Base64` to write bytes")]
    NotText,
    /// The stream could not be given a name.
    #[error("the result could not be given an id")]
    Entropy(#[source] NoEntropy),
    /// The job is over.
    #[error("a part of the result could not be emitted")]
    Emit(#[source] EmitError),
}

/// A streamed result that is being written. Without [`Self::finish`] the job has no result.
#[derive(Debug)]
pub struct ResultStream {
    job: JobContext,
    id: ResultId,
    encoding: Encoding,
    buffer: Vec<u8>,
    cut: TextCut,
    chunk_seq: u64,
    size: u64,
}

#[derive(Debug, Serialize)]
struct Chunk<'a> {
    result_id: ResultId,
    chunk_seq: u64,
    data: &'a str,
    encoding: Encoding,
    more: bool,
}

impl Chunk<'_> {
    /// The chunk as an event's body. Data that nothing is escaped in, which most is, is put where the body of an empty
    /// chunk has none: looking for what to escape would take longer than everything else that is done with it.
    fn body(&self) -> Result<Json, JsonError> {
        const EMPTY: &str = "\"data\":\"";
        if !is_plain(self.data) {
            return Json::of(self);
        }
        let empty = Json::of(&Chunk { data: "", ..*self })?;
        let Some((before, after)) = empty.get().split_once(EMPTY) else { return Json::of(self) };
        Json::owned([before, EMPTY, self.data, after].concat())
    }
}

impl ResultStream {
    pub(super) fn begin(job: JobContext, encoding: Encoding) -> Result<Self, StreamError> {
        let id = ResultId::mint(clock::now(), random::draw().map_err(StreamError::Entropy)?);
        Ok(Self { job, id, encoding, buffer: Vec::new(), cut: TextCut::default(), chunk_seq: 0, size: 0 })
    }

    /// Names the result.
    pub const fn id(&self) -> ResultId {
        self.id
    }

    /// Appends text, in either encoding.
    pub async fn write_text(&mut self, text: &str) -> Result<(), StreamError> {
        self.write(text.as_bytes()).await
    }

    /// Appends bytes. Only a stream in base64 takes them.
    pub async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        match self.encoding {
            Encoding::Utf8 => Err(StreamError::NotText),
            Encoding::Base64 => self.write(bytes).await,
        }
    }

    /// Sends the last chunk. What it returns is the job's result.
    pub async fn finish(mut self, summary: impl Into<String> + Send) -> Result<Outcome, StreamError> {
        while let Some(full) = self.take_full() {
            self.send(&full, true).await?;
        }
        let last = mem::take(&mut self.buffer);
        self.send(&last, false).await?;
        let output = Output::Streamed { result_id: self.id.to_string(), result_size: self.size };
        Ok(Outcome { output, summary: None }.summary(summary))
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        self.size += bytes.len() as u64;
        // Taken in by pieces, so that a large write does not copy itself into the buffer at once.
        while !bytes.is_empty() {
            let room = (2 * RESULT_CHUNK_BYTES).saturating_sub(self.buffer.len()).clamp(1, bytes.len());
            self.buffer.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            while let Some(full) = self.take_full() {
                self.send(&full, true).await?;
            }
        }
        Ok(())
    }

    /// Cuts a chunk off the buffer's front if something is left behind it.
    fn take_full(&mut self) -> Option<Vec<u8>> {
        let end = match self.encoding {
            Encoding::Utf8 => self.cut.find(&self.buffer)?,
            Encoding::Base64 => Some(RESULT_CHUNK_BYTES).filter(|end| self.buffer.len() > *end)?,
        };
        self.cut = TextCut::default();
        let rest = self.buffer.split_off(end);
        Some(mem::replace(&mut self.buffer, rest))
    }

    async fn send(&mut self, data: &[u8], more: bool) -> Result<(), StreamError> {
        let encoded;
        let data = match self.encoding {
            Encoding::Utf8 => {
                // Text was written, and is cut between characters.
                encoded =
                    simdutf8::basic::from_utf8(data).map_or_else(|_| String::from_utf8_lossy(data), Cow::Borrowed);
                &*encoded
            }
            Encoding::Base64 => &BASE64.encode(data),
        };
        let chunk = Chunk { result_id: self.id, chunk_seq: self.chunk_seq, data, encoding: self.encoding, more };
        self.chunk_seq += 1;
        // A struct of texts and numbers always has a JSON form.
        let body = chunk.body().unwrap_or_else(|_| Json::null());
        self.job.push(Report::Event { kind: EventKind::ResultChunk, body }).await.map_err(StreamError::Emit)
    }
}

/// Bytes that are looked at together. Their escaped length fits a byte, so that many are added by one instruction.
const BLOCK: usize = 32;

/// How many bytes `byte` has in JSON. Without a branch, so that many are looked at by one instruction.
const fn escaped_len(byte: u8) -> u8 {
    1 + (byte == b'"') as u8 + (byte == b'\\') as u8 + 5 * (byte < 0x20) as u8
}

/// Whether a text stands in JSON as it is.
fn is_plain(text: &str) -> bool {
    let escaped = |block: &[u8]| block.iter().fold(0, |escaped, byte| escaped | (escaped_len(*byte) ^ 1));
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    blocks.iter().all(|block| escaped(block) == 0) && escaped(rest) == 0
}

/// Finds where a text chunk ends. Keeps its place, so that many small writes do not look at the same bytes again.
#[derive(Debug, Default)]
struct TextCut {
    at: usize,
    escaped: usize,
}

impl TextCut {
    /// Where the chunk at the front of `buffer` ends, within both bounds and between two characters; `None` if all of
    /// the buffer fits. The buffer has only grown since the last call.
    fn find(&mut self, buffer: &[u8]) -> Option<usize> {
        let mut rest = &buffer[self.at..];
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
            let escaped = usize::from(block.iter().map(|byte| escaped_len(*byte)).sum::<u8>());
            if self.at + BLOCK > RESULT_CHUNK_BYTES || self.escaped + escaped > MAX_ESCAPED_BYTES {
                break;
            }
            self.escaped += escaped;
            self.at += BLOCK;
            rest = after;
        }
        for byte in rest {
            let escaped = usize::from(escaped_len(*byte));
            if self.at >= RESULT_CHUNK_BYTES || self.escaped + escaped > MAX_ESCAPED_BYTES {
                return buffer[..=self.at].iter().rposition(|byte| byte & 0xc0 != 0x80);
            }
            self.escaped += escaped;
            self.at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &str) -> Vec<usize> {
        let mut rest = text.as_bytes();
        let mut lengths = Vec::new();
        while !rest.is_empty() {
            let end = TextCut::default().find(rest).unwrap_or(rest.len());
            assert!(std::str::from_utf8(&rest[..end]).is_ok(), "cut inside a character");
            let body = Json::of(std::str::from_utf8(&rest[..end]).unwrap()).unwrap();
            assert!(body.get().len() <= MAX_ESCAPED_BYTES + 2, "a chunk has {} bytes as JSON", body.get().len());
            lengths.push(end);
            rest = &rest[end..];
        }
        lengths
    }

    #[test]
    fn text_is_cut_at_the_bound() {
        assert_eq!(chunks(&"x".repeat(RESULT_CHUNK_BYTES)), [RESULT_CHUNK_BYTES]);
        assert_eq!(chunks(&"x".repeat(RESULT_CHUNK_BYTES + 1)), [RESULT_CHUNK_BYTES, 1]);
    }

    #[test]
    fn text_is_cut_before_a_character_that_crosses_the_bound() {
        let text = format!("{}é", "x".repeat(RESULT_CHUNK_BYTES - 1));
        assert_eq!(chunks(&text), [RESULT_CHUNK_BYTES - 1, 2]);
        assert_eq!(chunks(&"€".repeat(RESULT_CHUNK_BYTES)).iter().sum::<usize>(), 3 * RESULT_CHUNK_BYTES);
    }

    #[test]
    fn text_that_grows_in_json_is_cut_earlier() {
        let lengths = chunks(&"\u{1}".repeat(RESULT_CHUNK_BYTES));
        assert!(lengths.len() > 3, "{lengths:?}");
        assert_eq!(lengths.iter().sum::<usize>(), RESULT_CHUNK_BYTES);
        let largest = MAX_ESCAPED_BYTES / 6;
        assert_eq!(lengths[0], largest, "not one character less than there is room for");
    }

    #[test]
    fn a_chunk_is_the_same_body_whether_its_data_is_escaped_or_put_in() {
        let result_id = ResultId::mint(moorline_types::Timestamp::from_unix_millis(1), [1; 10]);
        let mut texts: Vec<String> =
            (0..=0x7f).map(|byte: u8| format!("{}é{}", "x".repeat(40), char::from(byte))).collect();
        texts.extend(["", "\"data\":\"", "plain", "€"].map(str::to_owned));
        for data in &texts {
            let chunk = Chunk { result_id, chunk_seq: 7, data, encoding: Encoding::Utf8, more: true };
            assert_eq!(chunk.body().unwrap(), Json::of(&chunk).unwrap(), "{data:?}");
        }
    }

    #[test]
    fn text_is_cut_at_the_same_place_however_it_is_written() {
        let text = "é\u{1}x\"€".repeat(MAX_ESCAPED_BYTES / 12);
        let at_once = TextCut::default().find(text.as_bytes());
        assert!(at_once.is_some());
        for step in [1, 7, 31, 32, 33, 4_096] {
            let mut cut = TextCut::default();
            let found = (step..text.len()).step_by(step).find_map(|end| cut.find(&text.as_bytes()[..end]));
            assert_eq!(found, at_once, "in steps of {step}");
        }
    }
}
