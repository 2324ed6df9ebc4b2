//! From a program's output to its job's events.

use std::collections::VecDeque;
use std::time::Duration;

use moorline_types::EventKind;
use tokio::io::AsyncRead;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::asks::Asks;
use super::line::{self, Said};
use super::lines::{Line, Lines};
use super::verdict::Verdict;
use crate::sdk::{EmitError, JobContext, Level};
use crate::text::clip;

/// How long an output is listened to after the program has ended, without a byte coming. What was written before is
/// in the pipe already; only a process that has left the group can still hold the other end.
const SILENCE_AFTER_END: Duration = Duration::from_millis(500);

/// How much of the end of standard error goes into a failure's details.
const TAIL_BYTES: usize = 4 * 1024;

/// Reads standard output to its end.
pub(super) async fn standard_output(
    source: impl AsyncRead + Unpin,
    job: &JobContext,
    exited: &CancellationToken,
    mut asks: Asks<'_>,
) -> Result<Verdict, EmitError> {
    let mut lines = Lines::new(source);
    let mut verdict = Verdict::default();
    loop {
        // A program that has ended waits for no answer, and neither does what it has written.
        let is_read = asks.has_room() || exited.is_cancelled();
        let line = tokio::select! {
            () = asks.answered() => continue,
            () = exited.cancelled(), if !is_read => continue,
            line = next(&mut lines, exited), if is_read => line,
        };
        let Some(line) = line else { break };
        let text = || String::from_utf8_lossy(&line.bytes).into_owned();
        match line::read(&line) {
            Said::Nothing => {}
            Said::Text(text) => job.log(Level::Info, text).await?,
            Said::Wrong { what } => job.log(Level::Warn, what).await?,
            Said::Event { kind, body } => match job.emit_checked(kind.clone(), body.clone()).await {
                Err(EmitError::Invalid(invalid)) => {
                    job.log(Level::Warn, line::warning(kind.as_str(), &invalid.flaw, &text())).await?;
                }
                Ok(()) if kind == EventKind::Delegate => asks.follow(&body),
                other => other?,
            },
            Said::Chunk(chunk) => verdict.chunk(job, chunk, &text()).await?,
            Said::Result { result, summary } => verdict.result(job, result, summary, &text()).await?,
            Said::Authorize { ask, id } => asks.begin(ask, id, &text()).await?,
            Said::Error(error) => verdict.error(job, error, &text()).await?,
        }
    }
    Ok(verdict)
}

/// Reads standard error to its end; returns the last of it.
pub(super) async fn standard_error(
    source: impl AsyncRead + Unpin,
    job: &JobContext,
    exited: &CancellationToken,
) -> Result<String, EmitError> {
    let mut lines = Lines::new(source);
    let mut tail: VecDeque<String> = VecDeque::new();
    let mut bytes = 0;
    while let Some(line) = next(&mut lines, exited).await {
        let Said::Text(text) = line::plain(&line) else { continue };
        let kept = clip(text.clone(), TAIL_BYTES);
        bytes += kept.len() + 1;
        tail.push_back(kept);
        while bytes > TAIL_BYTES
            && tail.len() > 1
            && let Some(oldest) = tail.pop_front()
        {
            bytes -= oldest.len() + 1;
        }
        job.log(Level::Warn, text).await?;
    }
    Ok(Vec::from(tail).join("\n"))
}

/// The next line; `None` at the end, or when the program has ended and nothing more comes.
async fn next(lines: &mut Lines<impl AsyncRead + Unpin>, exited: &CancellationToken) -> Option<Line> {
    let read = tokio::select! {
        biased;
        read = lines.next() => read,
        () = exited.cancelled() => match timeout(SILENCE_AFTER_END, lines.next()).await {
            Ok(read) => read,
            Err(_) => return lines.rest(),
        },
    };
    // A pipe that cannot be read is one that has ended.
    read.unwrap_or_default()
}
