//! Streamed results put together (spec 8.4).

use std::borrow::Cow;

use data_encoding::BASE64;

use super::{ChunkEncoding, ResultChunk};
use crate::payload::JobResult;

/// The largest result that is put together by default: the same as the strictest official SDK's.
pub const DEFAULT_MAX_RESULT_BYTES: usize = 64 * 1024 * 1024;

/// Reads the chunks of one result, one after the other, and holds none of them: for results of any size.
#[derive(Debug, Default)]
pub struct ResultChunks {
    result_id: Option<String>,
    encoding: Option<ChunkEncoding>,
    next_seq: u64,
    complete: bool,
    bytes: u64,
}

/// Puts the chunks of one result together, in memory that grows with what has arrived and no further than its bound.
#[derive(Debug)]
pub struct ResultAssembler {
    max_bytes: usize,
    chunks: ResultChunks,
    bytes: Vec<u8>,
}

/// Why chunks are no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A chunk of another result.
    #[error("a chunk of result {found:?} among those of {expected:?}")]
    OtherResult {
        /// The result being put together.
        expected: String,
        /// The chunk's.
        found: String,
    },
    /// A chunk is missing, or came twice.
    #[error("chunk {found} where chunk {expected} was due")]
    Sequence {
        /// The chunk that was due.
        expected: u64,
        /// The chunk that came.
        found: u64,
    },
    /// A chunk after the last.
    #[error("a chunk after the one that said it was the last")]
    AfterLast,
    /// A chunk is written in another way than the first.
    #[error("a chunk in {found} among chunks in {expected}")]
    Encoding {
        /// How the first chunk is written.
        expected: ChunkEncoding,
        /// How this one is.
        found: ChunkEncoding,
    },
    /// A chunk's data is not base64.
    #[error("chunk {chunk} is not base64")]
    Base64 {
        /// The chunk.
        chunk: u64,
    },
    /// The result is larger than its bound.
    #[error("the result is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
    /// The job ended before the last chunk.
    #[error("the job ended after {chunks} chunks, none of which said that it was the last")]
    Incomplete {
        /// How many arrived.
        chunks: u64,
    },
    /// The job's result names another size.
    #[error("the chunks have {found} bytes, the job says {expected}")]
    Size {
        /// What the job says.
        expected: u64,
        /// What arrived.
        found: u64,
    },
}

impl ResultChunks {
    /// What a chunk adds to the result.
    ///
    /// # Errors
    /// The chunk does not follow the one before. The result cannot be read any further.
    pub fn read<'a>(&mut self, chunk: &'a ResultChunk) -> Result<Cow<'a, [u8]>, AssembleError> {
        if self.complete {
            return Err(AssembleError::AfterLast);
        }
        self.check_place(chunk)?;
        // One official runtime ends every stream with an empty text chunk, also after base64.
        let empty_end = chunk.data.is_empty() && !chunk.more;
        let encoding = *self.encoding.get_or_insert(chunk.encoding);
        if encoding != chunk.encoding && !empty_end {
            return Err(AssembleError::Encoding { expected: encoding, found: chunk.encoding });
        }
        let bytes = match chunk.encoding {
            ChunkEncoding::Utf8 => Cow::Borrowed(chunk.data.as_bytes()),
            ChunkEncoding::Base64 => {
                let decoded = BASE64.decode(chunk.data.as_bytes());
                Cow::Owned(decoded.map_err(|_| AssembleError::Base64 { chunk: chunk.chunk_seq })?)
            }
        };
        self.next_seq += 1;
        self.complete = !chunk.more;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes)
    }

    fn check_place(&mut self, chunk: &ResultChunk) -> Result<(), AssembleError> {
        let expected = self.result_id.get_or_insert_with(|| chunk.result_id.clone());
        if *expected != chunk.result_id {
            return Err(AssembleError::OtherResult { expected: expected.clone(), found: chunk.result_id.clone() });
        }
        if chunk.chunk_seq != self.next_seq {
            return Err(AssembleError::Sequence { expected: self.next_seq, found: chunk.chunk_seq });
        }
        Ok(())
    }

    /// Whether the last chunk has been read.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// How many bytes have been read.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Checks that the result is whole, once the job's own message has arrived.
    ///
    /// # Errors
    /// The last chunk is missing, or the message tells of another result.
    pub fn finish(&self, result: &JobResult) -> Result<(), AssembleError> {
        if let (Some(expected), Some(found)) = (&self.result_id, &result.result_id)
            && **expected != **found
        {
            return Err(AssembleError::OtherResult { expected: expected.clone(), found: found.as_ref().into() });
        }
        if !self.complete {
            return Err(AssembleError::Incomplete { chunks: self.next_seq });
        }
        match result.result_size {
            Some(expected) if expected != self.bytes => Err(AssembleError::Size { expected, found: self.bytes }),
            _ => Ok(()),
        }
    }
}

impl ResultAssembler {
    /// Begins a result of at most `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, chunks: ResultChunks::default(), bytes: Vec::new() }
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// The chunk does not follow the one before, or the bound is reached. The assembler is then of no further use.
    pub fn push(&mut self, chunk: &ResultChunk) -> Result<(), AssembleError> {
        let bytes = self.chunks.read(chunk)?;
        if bytes.len() > self.max_bytes - self.bytes.len() {
            return Err(AssembleError::TooLarge { max_bytes: self.max_bytes });
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    /// Whether the last chunk has arrived.
    pub const fn is_complete(&self) -> bool {
        self.chunks.is_complete()
    }

    /// How the chunks are written, once one has arrived.
    pub const fn encoding(&self) -> Option<ChunkEncoding> {
        self.chunks.encoding
    }

    /// How many bytes have arrived.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no bytes have arrived.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The result, once the job's own message has arrived.
    ///
    /// # Errors
    /// The last chunk is missing, or the message tells of another result.
    pub fn finish(self, result: &JobResult) -> Result<Vec<u8>, AssembleError> {
        self.chunks.finish(result)?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn chunk(chunk_seq: u64, data: &str, encoding: ChunkEncoding, more: bool) -> ResultChunk {
        ResultChunk { result_id: "res_1".into(), chunk_seq, data: data.into(), encoding, more }
    }

    fn result(size: u64) -> JobResult {
        JobResult::streamed("res_1".into(), size, Timestamp::from_unix_millis(0))
    }

    fn check(chunks: &[ResultChunk], size: u64, expected: Result<&[u8], AssembleError>) {
        let mut assembler = ResultAssembler::new(8);
        let pushed = chunks.iter().try_for_each(|chunk| assembler.push(chunk));
        let assembled = pushed.and_then(|()| assembler.finish(&result(size)));
        assert_eq!(assembled.as_deref().map_err(Clone::clone), expected, "{chunks:?}");
    }

    #[test]
    fn chunks_that_do_not_make_a_result_are_refused() {
        use AssembleError as E;
        use ChunkEncoding::{Base64, Utf8};
        check(&[], 0, Err(E::Incomplete { chunks: 0 }));
        check(&[chunk(0, "a", Utf8, true)], 1, Err(E::Incomplete { chunks: 1 }));
        check(&[chunk(1, "a", Utf8, false)], 1, Err(E::Sequence { expected: 0, found: 1 }));
        check(&[chunk(0, "a", Utf8, true), chunk(0, "a", Utf8, false)], 1, Err(E::Sequence { expected: 1, found: 0 }));
        check(&[chunk(0, "a", Utf8, false), chunk(1, "b", Utf8, false)], 1, Err(E::AfterLast));
        let mixed = E::Encoding { expected: Base64, found: Utf8 };
        check(&[chunk(0, "YQ==", Base64, true), chunk(1, "b", Utf8, false)], 2, Err(mixed));
        for bad in ["YQ", "YQ=", "Y!==", "YQ==\n", "YR=="] {
            check(&[chunk(0, bad, Base64, false)], 1, Err(E::Base64 { chunk: 0 }));
        }
        check(&[chunk(0, "123456789", Utf8, false)], 9, Err(E::TooLarge { max_bytes: 8 }));
        check(&[chunk(0, "abc", Utf8, false)], 4, Err(E::Size { expected: 4, found: 3 }));
        let other = ResultChunk { result_id: "res_2".into(), ..chunk(1, "b", Utf8, false) };
        let error = E::OtherResult { expected: "res_1".into(), found: "res_2".into() };
        check(&[chunk(0, "a", Utf8, true), other], 2, Err(error));
    }

    #[test]
    fn an_empty_last_chunk_may_be_written_in_either_way() {
        use ChunkEncoding::{Base64, Utf8};
        check(&[chunk(0, "/wA=", Base64, true), chunk(1, "", Utf8, false)], 2, Ok(b"\xff\x00"));
        check(&[chunk(0, "ab", Utf8, true), chunk(1, "", Base64, false)], 2, Ok(b"ab"));
        check(&[chunk(0, "", Utf8, false)], 0, Ok(b""));
    }

    proptest! {
        #[test]
        fn whatever_is_cut_into_chunks_is_put_together_again(pieces in proptest::collection::vec(any::<Vec<u8>>(), 1..8)) {
            let whole = pieces.concat();
            let mut assembler = ResultAssembler::new(whole.len());
            for (seq, piece) in pieces.iter().enumerate() {
                let more = seq + 1 < pieces.len();
                let chunk = chunk(u64::try_from(seq).unwrap(), &BASE64.encode(piece), ChunkEncoding::Base64, more);
                assembler.push(&chunk).unwrap();
            }
            let size = u64::try_from(whole.len()).unwrap();
            prop_assert_eq!(assembler.finish(&result(size)), Ok(whole));
        }
    }
}
