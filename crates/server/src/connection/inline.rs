//! A streamed result for a client that has not agreed on `result_chunk`: put together from the journal and sent as an
//! inline one, under the number of the job's end.
//!
//! What does not fit one frame cannot be told to such a client. It is told that, with the remedy; the result itself
//! stays in the journal, for a subscription with the feature.

use data_encoding::BASE64;
use moorline_runtime::JobEvents;
use moorline_runtime::view::ViewError;
use moorline_types::limits::MAX_INLINE_RESULT_BYTES;
use moorline_types::{Json, Timestamp};
use moorline_wire::event::{AssembleError, ChunkEncoding, ResultAssembler, ResultChunk};
use moorline_wire::payload::{JobError, JobResult};
use moorline_wire::{ErrorCode, Feature, FinalStatus, RuntimeMessage};

/// Why a result is not sent inline.
#[derive(Debug, thiserror::Error)]
enum NotInline {
    #[error("it has {size} bytes, and a message holds at most {MAX_INLINE_RESULT_BYTES} of JSON")]
    TooLarge { size: u64 },
    #[error("its chunks cannot be put together: {0}")]
    Broken(#[from] AssembleError),
    #[error("a chunk of it is no chunk")]
    Unreadable,
}

/// What such a client is told of a job that ended with this streamed result.
pub(super) async fn told(events: JobEvents, result: &JobResult, at: Timestamp) -> Result<RuntimeMessage, ViewError> {
    Ok(match assembled(events, result).await? {
        Ok(value) => RuntimeMessage::JobResult(JobResult {
            summary: result.summary.clone(),
            completed_at: result.completed_at,
            ..JobResult::inline(value, at)
        }),
        Err(reason) => RuntimeMessage::JobError(untellable(result, &reason, at)),
    })
}

async fn assembled(mut events: JobEvents, result: &JobResult) -> Result<Result<Json, NotInline>, ViewError> {
    let size = result.result_size.unwrap_or(0);
    if size > MAX_INLINE_RESULT_BYTES as u64 {
        return Ok(Err(NotInline::TooLarge { size }));
    }
    let mut assembler = ResultAssembler::new(MAX_INLINE_RESULT_BYTES);
    while !assembler.is_complete()
        && let Some(stretch) = events.next().await?
    {
        for event in stretch {
            let pushed = match event.body.to::<ResultChunk>() {
                Ok(chunk) => assembler.push(&chunk).map_err(NotInline::from),
                Err(_) => Err(NotInline::Unreadable),
            };
            if let Err(reason) = pushed {
                return Ok(Err(reason));
            }
        }
    }
    Ok(as_json(assembler, result))
}

/// Text is a string. Bytes have no form in JSON: they are an object that says how they are written.
fn as_json(assembler: ResultAssembler, result: &JobResult) -> Result<Json, NotInline> {
    let encoding = assembler.encoding();
    let bytes = assembler.finish(result)?;
    let size = bytes.len() as u64;
    let json = match (encoding, String::from_utf8(bytes)) {
        (Some(ChunkEncoding::Base64), text) => {
            let bytes = text.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
            Json::of(&serde_json::json!({ "encoding": ChunkEncoding::Base64, "data": BASE64.encode(&bytes) }))
        }
        (_, Ok(text)) => Json::of(&text),
        (_, Err(_)) => return Err(NotInline::Unreadable),
    };
    let json = json.map_err(|_| NotInline::Unreadable)?;
    if json.get().len() > MAX_INLINE_RESULT_BYTES { Err(NotInline::TooLarge { size }) } else { Ok(json) }
}

fn untellable(result: &JobResult, reason: &NotInline, at: Timestamp) -> JobError {
    let feature = Feature::ResultChunk;
    let message = format!(
        "the job succeeded, and its result cannot be sent to this client: {reason}. Subscribe with history from a \
         session that negotiated {feature}, rather than submitting again"
    );
    let mut error = JobError::new(FinalStatus::Error, ErrorCode::InternalError, &message, true, at);
    error.details = Json::of(&serde_json::json!({
        "feature": feature.as_str(),
        "result_id": result.result_id,
        "result_size": result.result_size,
        "max_bytes": MAX_INLINE_RESULT_BYTES,
    }))
    .ok();
    error
}
