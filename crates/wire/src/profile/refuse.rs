//! How a refusal is told.

use moorline_types::{JobId, MessageId, Timestamp, TraceId};

use super::{Profile, Telling};
use crate::payload::{JobError, SessionError};
use crate::{ErrorCode, FinalStatus, Frame, JobRef, MessageType, RuntimeMessage};

/// The request that is refused, as far as it could be read.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Its envelope's id.
    pub id: Option<MessageId>,
    /// What it asked for; `None` if it was no message that we know, or nothing was asked.
    pub message_type: Option<MessageType>,
    /// The job that it names.
    pub job_id: Option<JobRef>,
    /// Its trace.
    pub trace_id: Option<TraceId>,
}

/// Ids for the answer. A refusal needs at most these.
#[derive(Debug)]
pub struct Minted {
    /// For its envelope.
    pub message: MessageId,
    /// For a job that there never was.
    pub job: JobId,
}

impl Profile {
    /// The frames that tell the peer of a refusal, in order; none if it is better not told.
    pub fn refuse(
        self,
        error: &SessionError,
        asked: &Asked,
        at: Timestamp,
        minted: &Minted,
    ) -> impl Iterator<Item = Frame<RuntimeMessage>> {
        self.tellings(asked.message_type)
            .iter()
            .filter_map(move |telling| tell(*telling, error, asked, at, minted))
            .map(move |frame| frame.map(|message| self.adapt(message)))
    }

    const fn tellings(self, asked: Option<MessageType>) -> &'static [Telling] {
        use std::slice::from_ref;

        let quirks = self.quirks();
        match asked {
            Some(MessageType::Hello | MessageType::Resume) => quirks.refused_hello,
            Some(MessageType::Submit) => from_ref(&quirks.refused_submit),
            Some(MessageType::Cancel) => from_ref(&quirks.refused_cancel),
            Some(MessageType::Subscribe) => from_ref(&quirks.refused_subscribe),
            _ => from_ref(&quirks.refused_other),
        }
    }
}

fn tell(
    telling: Telling,
    error: &SessionError,
    asked: &Asked,
    at: Timestamp,
    minted: &Minted,
) -> Option<Frame<RuntimeMessage>> {
    let echoed = || asked.id.clone().unwrap_or_else(|| minted.message.clone());
    let of_job = |id, job_id, trace_id| {
        let message = RuntimeMessage::JobError(as_job_error(error, asked, at));
        Frame { job_id, trace_id, ..Frame::new(id, message) }
    };
    Some(match telling {
        Telling::Silence => return None,
        Telling::SessionError => {
            let mut error = error.clone();
            error.request_id.clone_from(&asked.id);
            error.job_id.clone_from(&asked.job_id);
            let message = RuntimeMessage::SessionError(error);
            Frame { job_id: asked.job_id.clone(), ..Frame::new(minted.message.clone(), message) }
        }
        Telling::FreshJob => of_job(minted.message.clone(), Some(minted.job.into()), asked.trace_id),
        Telling::Echo => of_job(echoed(), None, None),
        Telling::EchoOfJob => of_job(echoed(), asked.job_id.clone(), None),
    })
}

fn as_job_error(error: &SessionError, asked: &Asked, at: Timestamp) -> JobError {
    let code = error.code().known().unwrap_or(ErrorCode::InternalError);
    let mut told = JobError::new(FinalStatus::Error, code, error.message(), error.is_retryable(), at);
    told.details.clone_from(&error.details);
    told.request_id.clone_from(&asked.id);
    told
}
