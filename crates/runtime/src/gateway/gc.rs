//! Removing what is over at an administrator's word: the steps of the retention, one for each request.
//!
//! Nothing of a removal is remembered between two steps: the cursor says where the one before ended and, of a dry run,
//! how much would be free by then. So it may be left off anywhere.

use moorline_core::Refusal;
use moorline_core::backlog::MissedReason;
use moorline_types::{JobId, Millis, Principal, StreamId, Timestamp};

use super::retention::{Retention, Step, StepError};
use super::{Gateway, append_reason, put_reason, unavailable, write_reason};
use crate::ended::{EndedStream, Place};

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcRequest {
    /// Nothing; it is only said what would be.
    pub dry_run: bool,
    /// What ended at least so long ago.
    pub older_than: Option<Millis>,
    /// What ended first, until the journal is no larger. Without either, what is not kept by the configuration.
    pub max_bytes: Option<u64>,
    /// Where the step before ended.
    pub cursor: Option<String>,
}

/// What one step has removed, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcStep {
    /// Jobs that go.
    pub jobs: u64,
    /// Sessions that go.
    pub sessions: u64,
    /// Jobs that stay, because a session is about to be shown them.
    pub kept: Vec<JobId>,
    /// How much of the journal was in use, in bytes.
    pub bytes_before: u64,
    /// How much of it is; of a dry run, how much would be after this step and those before it, at the most.
    pub bytes_after: u64,
    /// When the first of what goes ended.
    pub oldest: Option<Timestamp>,
    /// When the last of what goes ended.
    pub newest: Option<Timestamp>,
    /// Where the next step begins; absent if there is nothing left to do.
    pub next_cursor: Option<String>,
}

/// Where a removal has come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Cursor {
    /// Bytes that would be free by then; of dry runs only.
    freed: u64,
    place: Option<Place>,
}

impl Cursor {
    fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let Some(text) = text else { return Ok(Self::default()) };
        let read = |text: &str| {
            let (freed, place) = text.split_once('/')?;
            Some(Self { freed: freed.parse().ok()?, place: Some(place.parse().ok()?) })
        };
        read(text).ok_or(Refusal::CursorUnknown)
    }
}

impl Gateway {
    /// Does the next step of what an administrator asks for. That it is one is decided before.
    ///
    /// # Errors
    /// If the cursor is none, or the store cannot be used; what went until then is
    /// gone whole, and the rest is as it was.
    pub(crate) async fn collect(&self, principal: &Principal, request: GcRequest) -> Result<GcStep, Refusal> {
        let GcRequest { dry_run, older_than, max_bytes, cursor } = request;
        let Cursor { freed, place } = Cursor::parse(cursor.as_deref())?;
        let retention = match (older_than, max_bytes) {
            (None, None) => self.0.options.retention,
            (max_age, max_bytes) => Retention { max_age, max_bytes },
        };
        let before = self.0.store.used_bytes().await.map_err(unavailable)?;
        if dry_run {
            let used = before.saturating_sub(freed);
            let (step, after) = self.would_remove(retention, place.as_ref(), used).await.map_err(refused)?;
            return Ok(told(&step, before, after, before.saturating_sub(after)));
        }
        let step = self.remove_some(retention, Some(MissedReason::TrimmedByOperator), place.as_ref()).await;
        let step = step.map_err(refused)?;
        let after = self.0.store.used_bytes().await.map_err(unavailable)?;
        let report = told(&step, before, after, 0);
        if !step.gone.is_empty() {
            let (jobs, sessions) = (report.jobs, report.sessions);
            tracing::info!(principal = %principal.id, jobs, sessions, "what is over is removed, as was asked for");
        }
        Ok(report)
    }
}

fn told(step: &Step, bytes_before: u64, bytes_after: u64, freed: u64) -> GcStep {
    let Step { gone, awaited, last } = step;
    let job = |ended: &EndedStream| match ended.stream {
        StreamId::Job(job) => Some(job),
        StreamId::Session(_) => None,
    };
    let jobs = gone.iter().filter_map(job).count() as u64;
    GcStep {
        jobs,
        sessions: gone.len() as u64 - jobs,
        kept: awaited.iter().filter_map(job).collect(),
        bytes_before,
        bytes_after,
        oldest: gone.first().map(|ended| ended.at),
        newest: gone.last().map(|ended| ended.at),
        next_cursor: last.as_ref().map(|place| format!("{freed}/{place}")),
    }
}

fn refused(error: StepError) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "what is over is not removed");
    let reason = match &error {
        StepError::Read(_) | StepError::Corrupt(_) | StepError::View(_) => "it cannot be read",
        StepError::Put(error) => put_reason(error),
        StepError::Write(error) => write_reason(error),
        StepError::Append(error) => append_reason(error),
    };
    Refusal::StoreUnavailable { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cursor_is_refused() {
        let job = "job_01KRHDRWGW0W3GE1R70W3GE1R7";
        for text in ["", "1", "/", "1/", "1/2", "x/1778701333020/", "-1/1778701333020/job_x", "1/177870133302/"] {
            assert_eq!(Cursor::parse(Some(text)), Err(Refusal::CursorUnknown), "{text:?}");
        }
        assert_eq!(Cursor::parse(Some(&format!("1/1/{job}"))), Err(Refusal::CursorUnknown), "too few digits");
        assert_eq!(Cursor::parse(None), Ok(Cursor::default()));
        let read = Cursor::parse(Some(&format!("17/1778701333020/{job}"))).map(|cursor| cursor.freed);
        assert_eq!(read, Ok(17));
    }
}
