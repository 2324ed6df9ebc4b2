//! What principals have in the journal, counted at a start and given back when it goes: [`crate::stored`] over the store.
//!
//! What is over is counted by the notes of its end, a page at a time, and what is not over by its records. Whatever is
//! counted for a stream is what is given back for it, so that both agree however the two were measured.

use moorline_core::record::Fact;
use moorline_store::{ReadError, ReadLimit};
use moorline_types::{JobId, PrincipalId, StreamId, StreamSeq};

use super::Gateway;
use crate::ended::EndedStream;

/// Notes that are read at once at a start.
const PAGE: usize = 256;

/// What a stream is counted with.
#[derive(Debug)]
pub(super) struct Usage {
    owner: PrincipalId,
    bytes: u64,
}

impl Gateway {
    /// Counts what is over. The first thing at a start: what ends from then on is counted already.
    pub(super) async fn count_ended(&self) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let page = self.0.ended.first(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.place());
            for ended in &page {
                if let Some(Usage { owner, bytes }) = self.usage(ended).await? {
                    self.0.stored.of(&owner).add(bytes);
                }
            }
        }
    }

    /// Counts a job that is not noted as over. Answers with how many bytes.
    pub(super) async fn count_job(&self, job: JobId, owner: &PrincipalId) -> Result<u64, ReadError> {
        let bytes = self.0.store.stream_bytes(StreamId::Job(job)).await?;
        self.0.stored.of(owner).add(bytes);
        Ok(bytes)
    }

    /// What a stream that is over is counted with. Of one that an earlier version has noted, its records tell, as long as
    /// there are any.
    pub(super) async fn usage(&self, ended: &EndedStream) -> Result<Option<Usage>, ReadError> {
        let owner = match &ended.owner {
            Some(owner) => owner.clone(),
            None => match self.opener(ended.stream).await? {
                Some(owner) => owner,
                None => return Ok(None),
            },
        };
        let bytes = match ended.bytes {
            Some(bytes) => bytes,
            None => self.0.store.stream_bytes(ended.stream).await?,
        };
        Ok(Some(Usage { owner, bytes }))
    }

    /// What was counted with this is gone.
    pub(super) fn give_back(&self, Usage { owner, bytes }: Usage) {
        self.0.stored.remove(&owner, bytes);
    }

    /// Whose session it was, by its first record.
    async fn opener(&self, stream: StreamId) -> Result<Option<PrincipalId>, ReadError> {
        let first = self.0.store.read_stream(stream, StreamSeq::FIRST, ReadLimit::new(1, 1)).await?;
        let Some(Ok(Fact::Opened(opened))) = first.first().map(|record| Fact::decode(record.get())) else {
            return Ok(None);
        };
        Ok(Some(opened.principal))
    }
}
