//! What a program's output and its end say together about how its job ended. The first of several verdicts counts.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use data_encoding::BASE64;
use moorline_types::Json;
use serde_json::json;

use super::line::{Chunk, ChunkEncoding, ErrorBody, quoted, warning};
use crate::sdk::{EmitError, Encoding, Failure, FailureCode, JobContext, Level, Outcome, ResultStream, StreamError};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    said: Option<Said>,
}

#[derive(Debug)]
enum Said {
    Result(Outcome),
    Streaming(ResultStream),
    Failure(Failure),
}

impl Verdict {
    /// A result was said.
    pub(super) async fn result(
        &mut self,
        job: &JobContext,
        result: Json,
        summary: Option<String>,
        text: &str,
    ) -> Result<(), EmitError> {
        if self.said.is_some() {
            return self.ignore(job, "result", text).await;
        }
        match Outcome::inline(result) {
            Ok(outcome) => self.said = Some(Said::Result(outcome.summary(summary.unwrap_or_default()))),
            Err(error) => {
                self.said = Some(Said::Failure(Failure::internal(&error)));
            }
        }
        Ok(())
    }

    /// A failure was said. If it was the first verdict, it decides however the program ends.
    pub(super) async fn error(&mut self, job: &JobContext, error: ErrorBody, text: &str) -> Result<(), EmitError> {
        if self.said.is_some() {
            return self.ignore(job, "error", text).await;
        }
        let code = error.code.as_deref().unwrap_or(FailureCode::InternalError.as_str());
        let known = code.parse::<FailureCode>();
        let message = if error.message.is_empty() { "the program reported an error".to_owned() } else { error.message };
        let failure = Failure::new(known.unwrap_or(FailureCode::InternalError), message);
        let failure = match (error.details, known) {
            (Some(details), _) => failure.details(&details),
            (None, Err(_)) => failure.details(&json!({ "code": code })),
            (None, Ok(_)) => failure,
        };
        let retryable = error.retryable.unwrap_or(failure.retryable);
        self.said = Some(Said::Failure(failure.retryable(retryable)));
        Ok(())
    }

    /// A part of a streamed result was said.
    pub(super) async fn chunk(&mut self, job: &JobContext, chunk: Chunk, text: &str) -> Result<(), EmitError> {
        let bytes = match chunk.encoding {
            ChunkEncoding::Utf8 => None,
            ChunkEncoding::Base64 => match BASE64.decode(chunk.data.as_bytes()) {
                Err(_) => return job.log(Level::Warn, warning("result_chunk", &"`data` is not base64", text)).await,
                Ok(bytes) => Some(bytes),
            },
        };
        if self.said.is_none() {
            let encoding = if bytes.is_some() { Encoding::Base64 } else { Encoding::Utf8 };
            match job.result_stream(encoding) {
                Ok(stream) => self.said = Some(Said::Streaming(stream)),
                Err(error) => return job.log(Level::Warn, warning("result_chunk", &error, text)).await,
            }
        }
        let Some(Said::Streaming(stream)) = &mut self.said else { return self.ignore(job, "result_chunk", text).await };
        let written = match &bytes {
            Some(bytes) => stream.write_bytes(bytes).await,
            None => stream.write_text(&chunk.data).await,
        };
        match written {
            Ok(()) => Ok(()),
            Err(StreamError::Emit(error)) => Err(error),
            Err(error) => job.log(Level::Warn, warning("result_chunk", &error, text)).await,
        }
    }

    /// The job's end.
    pub(super) async fn conclude(
        self,
        job: &JobContext,
        status: ExitStatus,
        stderr_tail: &str,
    ) -> Result<Outcome, Failure> {
        match self.said {
            Some(Said::Failure(failure)) => Err(failure),
            _ if !status.success() && job.is_cancelled() => Err(Failure::cancelled()),
            _ if !status.success() => Err(ended_badly(status, stderr_tail)),
            Some(Said::Result(outcome)) => Ok(outcome),
            Some(Said::Streaming(stream)) => Ok(stream.finish("").await?),
            None => Err(Failure::new(
                FailureCode::InternalError,
                "the program ended without a result: print {\"result\": ...} as one line on its standard output",
            )
            .retryable(false)
            .details(&details(status, stderr_tail))),
        }
    }

    async fn ignore(&self, job: &JobContext, form: &str, text: &str) -> Result<(), EmitError> {
        let first = match &self.said {
            Some(Said::Result(_)) => "a result",
            Some(Said::Streaming(_)) => "a streamed result",
            Some(Said::Failure(_)) => "an error",
            None => "nothing",
        };
        let text = quoted(text);
        job.log(Level::Warn, format!("this `{form}` is ignored, because {first} was printed before: {text}")).await
    }
}

fn ended_badly(status: ExitStatus, stderr_tail: &str) -> Failure {
    let message = match (status.code(), status.signal()) {
        (Some(code), _) => format!("the program ended with status {code}"),
        (None, Some(signal)) => format!("the program was ended by {}", signal_name(signal)),
        (None, None) => "the program ended in an unknown way".to_owned(),
    };
    Failure::new(FailureCode::InternalError, message).details(&details(status, stderr_tail))
}

fn details(status: ExitStatus, stderr_tail: &str) -> serde_json::Value {
    match status.signal() {
        Some(signal) => json!({ "signal": signal_name(signal), "stderr_tail": stderr_tail }),
        None => json!({ "exit_status": status.code(), "stderr_tail": stderr_tail }),
    }
}

/// The names that people know; the numbers of these are the same on every Linux we run on.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}
