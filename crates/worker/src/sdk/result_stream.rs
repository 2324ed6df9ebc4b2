//! A result in chunks (spec 8.4).
//!
//! One encoding per stream; chunks are numbered from 0; exactly one, the last, says `more: false`. To be able to say
//! that, the stream always holds back what may be the last chunk. Text is cut between characters. A chunk is bounded
//! both raw and as it stands in JSON: a text of control characters grows sixfold there.

use std::mem;

use data_encoding::BASE64;
use moorline_types::limits::MAX_EVENT_BODY_BYTES;
use moorline_types::{EventKind, Json, ResultId};
use serde::Serialize;

use super::{EmitError, JobContext, Outcome};
use crate::clock;
use crate::limits::RESULT_CHUNK_BYTES;
use crate::message::{Output, Report};
use crate::random::{self, NoEntropy};

/// What is left for a chunk's data in JSON: the body's bound less its other fields.
const MAX_ESCAPED_BYTES: usize = MAX_EVENT_BODY_BYTES - 1024;

/// How much is held of what may be a chunk: a full one, and the longest character behind it, by which it is known not to
/// be the last.
const MAX_HELD_BYTES: usize = RESULT_CHUNK_BYTES + 4;

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
    held: Held,
    next: Next,
    size: u64,
}

/// What is written and not sent.
#[derive(Debug)]
enum Held {
    /// Text, behind what is before the data of its chunk: where nothing is escaped, which is most text, the body is made
    /// where the text is, and nothing is copied.
    Text { begun: Begun, cut: TextCut },
    /// Bytes that will be encoded.
    Bytes(Vec<u8>),
}

/// The body of a chunk, up to where its data ends.
#[derive(Debug)]
struct Begun {
    text: String,
    /// Where the data begins.
    data: usize,
}

/// The chunk that comes next.
#[derive(Debug, Clone, Copy)]
struct Next {
    id: ResultId,
    chunk_seq: u64,
    encoding: Encoding,
}

#[derive(Debug, Serialize)]
struct Chunk<'a> {
    result_id: ResultId,
    chunk_seq: u64,
    data: &'a str,
    encoding: Encoding,
    more: bool,
}

impl Next {
    const fn with<'a>(&self, data: &'a str, more: bool) -> Chunk<'a> {
        let Self { id: result_id, chunk_seq, encoding } = *self;
        Chunk { result_id, chunk_seq, data, encoding, more }
    }

    /// The body without data, in two: what is before the data and what is behind it.
    fn around(&self, more: bool) -> (String, String) {
        const EMPTY: &str = "\"data\":\"";
        // A struct of texts and numbers always has a JSON form, and this one has the field.
        let mut before = serde_json::to_string(&self.with("", more)).unwrap_or_default();
        let data = before.find(EMPTY).map_or(0, |at| at + EMPTY.len());
        let behind = before.split_off(data);
        (before, behind)
    }

    /// Begins the body, with room for so much data and what is behind it: of a full chunk exactly what it takes, so that
    /// nothing is given back of it, which would leave a hole that the next one does not fit into.
    fn begin(&self, bytes: usize) -> Begun {
        let (before, behind) = self.around(true);
        let mut text = String::with_capacity(before.len() + bytes + behind.len());
        text.push_str(&before);
        Begun { data: text.len(), text }
    }

    /// The body of bytes, whose text in base64 stands in JSON as it is.
    fn encoded(&self, bytes: &[u8], more: bool) -> Json {
        let mut begun = self.begin(BASE64.encode_len(bytes.len()));
        BASE64.encode_append(bytes, &mut begun.text);
        self.end(begun, true, more)
    }

    /// Ends the body, whose data is known to stand in JSON as it is or is looked at.
    fn end(&self, begun: Begun, is_plain: bool, more: bool) -> Json {
        let Begun { mut text, data } = begun;
        let written = text.get(data..).unwrap_or_default();
        let body = if is_plain {
            text.push_str(&self.around(more).1);
            Json::owned(text)
        } else {
            Json::of(&self.with(written, more))
        };
        body.unwrap_or_else(|_| Json::null())
    }
}

impl Begun {
    fn data(&self) -> &str {
        self.text.get(self.data..).unwrap_or_default()
    }
}

impl ResultStream {
    pub(super) fn begin(job: JobContext, encoding: Encoding) -> Result<Self, StreamError> {
        let id = ResultId::mint(clock::now(), random::draw().map_err(StreamError::Entropy)?);
        let next = Next { id, chunk_seq: 0, encoding };
        let held = match encoding {
            Encoding::Utf8 => Held::Text { begun: next.begin(0), cut: TextCut::default() },
            Encoding::Base64 => Held::Bytes(Vec::new()),
        };
        Ok(Self { job, held, next, size: 0 })
    }

    /// Names the result.
    pub const fn id(&self) -> ResultId {
        self.next.id
    }

    /// Appends text, in either encoding.
    pub async fn write_text(&mut self, mut text: &str) -> Result<(), StreamError> {
        if matches!(self.held, Held::Bytes(_)) {
            return self.write(text.as_bytes()).await;
        }
        self.size += text.len() as u64;
        // Taken in by pieces, so that a large write does not copy itself into the buffer at once.
        while let Held::Text { begun, .. } = &mut self.held
            && !text.is_empty()
        {
            let room = MAX_HELD_BYTES.saturating_sub(begun.data().len()).max(MAX_HELD_BYTES - RESULT_CHUNK_BYTES);
            let (piece, rest) = text.split_at(text.floor_char_boundary(room));
            begun.text.push_str(piece);
            text = rest;
            self.send_full().await?;
        }
        Ok(())
    }

    /// Appends bytes. Only a stream in base64 takes them.
    pub async fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        match self.held {
            Held::Text { .. } => Err(StreamError::NotText),
            Held::Bytes(_) => self.write(bytes).await,
        }
    }

    /// Sends the last chunk. What it returns is the job's result.
    pub async fn finish(mut self, summary: impl Into<String> + Send) -> Result<Outcome, StreamError> {
        self.send_full().await?;
        let last = match mem::replace(&mut self.held, Held::Bytes(Vec::new())) {
            // All of it was looked at, because nothing was cut off.
            Held::Text { begun, cut } => self.next.end(begun, cut.is_plain(), false),
            Held::Bytes(bytes) => self.next.encoded(&bytes, false),
        };
        self.send(last).await?;
        let output = Output::Streamed { result_id: self.next.id.to_string(), result_size: self.size };
        Ok(Outcome { output, summary: None }.summary(summary))
    }

    async fn write(&mut self, mut written: &[u8]) -> Result<(), StreamError> {
        self.size += written.len() as u64;
        while let Held::Bytes(bytes) = &mut self.held
            && !written.is_empty()
        {
            let room = MAX_HELD_BYTES.saturating_sub(bytes.len()).clamp(1, written.len());
            let (piece, rest) = written.split_at(room);
            bytes.extend_from_slice(piece);
            written = rest;
            self.send_full().await?;
        }
        Ok(())
    }

    /// Sends what is held but for the last of it, which may be the last chunk.
    async fn send_full(&mut self) -> Result<(), StreamError> {
        while let Some(body) = self.take_full() {
            self.send(body).await?;
        }
        Ok(())
    }

    /// Cuts a chunk off the front of what is held if something is left behind it.
    fn take_full(&mut self) -> Option<Json> {
        match &mut self.held {
            Held::Text { begun, cut } => {
                let end = begun.data + cut.find(begun.data().as_bytes())?;
                let is_plain = mem::take(cut).is_plain();
                let following = Next { chunk_seq: self.next.chunk_seq + 1, ..self.next };
                // Whoever has filled a chunk fills another.
                let mut rest = following.begin(RESULT_CHUNK_BYTES);
                rest.text.push_str(begun.text.get(end..).unwrap_or_default());
                begun.text.truncate(end);
                let full = mem::replace(begun, rest);
                Some(self.next.end(full, is_plain, true))
            }
            Held::Bytes(bytes) => {
                if bytes.len() <= RESULT_CHUNK_BYTES {
                    return None;
                }
                let mut rest = Vec::with_capacity(MAX_HELD_BYTES);
                rest.extend_from_slice(&bytes[RESULT_CHUNK_BYTES..]);
                bytes.truncate(RESULT_CHUNK_BYTES);
                let full = mem::replace(bytes, rest);
                Some(self.next.encoded(&full, true))
            }
        }
    }

    async fn send(&mut self, body: Json) -> Result<(), StreamError> {
        self.next.chunk_seq += 1;
        self.job.push(Report::Event { kind: EventKind::ResultChunk, body }).await.map_err(StreamError::Emit)
    }
}

/// Bytes that are looked at together. Their escaped length fits a byte, so that many are added by one instruction.
const BLOCK: usize = 32;

/// How many bytes `byte` has in JSON. Without a branch, so that many are looked at by one instruction.
const fn escaped_len(byte: u8) -> u8 {
    1 + (byte == b'"') as u8 + (byte == b'\\') as u8 + 5 * (byte < 0x20) as u8
}

/// Finds where a text chunk ends. Keeps its place, so that many small writes do not look at the same bytes again.
#[derive(Debug, Default)]
struct TextCut {
    at: usize,
    escaped: usize,
}

impl TextCut {
    /// Whether what was looked at stands in JSON as it is.
    const fn is_plain(&self) -> bool {
        self.escaped == self.at
    }

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
    fn a_chunk_is_the_same_body_whether_its_data_is_escaped_or_left_where_it_is() {
        let id = ResultId::mint(moorline_types::Timestamp::from_unix_millis(1), [1; 10]);
        let mut texts: Vec<String> =
            (0..=0x7f).map(|byte: u8| format!("{}é{}", "x".repeat(40), char::from(byte))).collect();
        texts.extend(["", "\"data\":\"", "plain", "€"].map(str::to_owned));
        for data in &texts {
            let next = Next { id, chunk_seq: 7, encoding: Encoding::Utf8 };
            let mut cut = TextCut::default();
            assert_eq!(cut.find(data.as_bytes()), None);
            for more in [true, false] {
                let mut begun = next.begin(0);
                begun.text.push_str(data);
                assert_eq!(begun.data(), data);
                let expected = Json::of(&next.with(data, more)).unwrap();
                assert_eq!(next.end(begun, cut.is_plain(), more), expected, "{data:?}");
            }
        }
    }

    #[test]
    fn bytes_stand_in_their_chunk_as_base64() {
        let id = ResultId::mint(moorline_types::Timestamp::from_unix_millis(1), [1; 10]);
        let next = Next { id, chunk_seq: 1, encoding: Encoding::Base64 };
        for bytes in [b"".as_slice(), b"\0\xff", b"four"] {
            let expected = Json::of(&next.with(&BASE64.encode(bytes), true)).unwrap();
            assert_eq!(next.encoded(bytes, true), expected);
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
