//! What a program asks, and the answers on its standard input.
//!
//! A question is a line of output with an `id` of the program's own choice, which its answer repeats. Several may be open
//! at once; each is answered as soon as the gateway has, behind everything that the program wrote before it. While as
//! many are open as may be, nothing more is read of the program.
//!
//! A delegation is no question, but the program is told what becomes of it: once when there is a child, and once when that
//! has ended; or once why there is none.

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use moorline_types::{Capability, JobId, Json};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

use super::line::warning;
use crate::limits::MAX_ASKS;
use crate::sdk::{
    AuthorizeError, ChildEnd, ChildFailure, DelegationError, EmitError, Failure, JobContext, Level, Output,
};

/// A question as a program writes it: `{"authorize": {"capability", "target"}, "id"?}`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Authorize {
    pub(super) capability: String,
    pub(super) target: String,
}

/// The way to a program's standard input.
pub(super) type Stdin = mpsc::Sender<Vec<u8>>;

/// The questions that are open, and where their answers go.
pub(super) struct Asks<'a> {
    job: &'a JobContext,
    /// None if the program gets no answers: its standard input has ended.
    stdin: Option<Stdin>,
    open: FuturesUnordered<BoxFuture<'a, ()>>,
    /// Delegations whose children have not ended. They may take long, and keep nobody from asking.
    delegated: FuturesUnordered<BoxFuture<'a, ()>>,
}

/// An answer as a program reads it: `{"authorize": {"allowed", "error"?}, "id"?}`.
#[derive(Serialize)]
struct AnswerLine<'a> {
    authorize: Verdict<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Json>,
}

#[derive(Serialize)]
struct Verdict<'a> {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields<'a>>,
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    code: &'a str,
    message: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Json>,
}

impl<'a> Asks<'a> {
    pub(super) fn new(job: &'a JobContext, stdin: Option<Stdin>) -> Self {
        Self { job, stdin, open: FuturesUnordered::new(), delegated: FuturesUnordered::new() }
    }

    /// Takes a question in. One that cannot be answered becomes a warning.
    pub(super) async fn begin(&mut self, ask: Authorize, id: Option<Json>, text: &str) -> Result<(), EmitError> {
        let Some(stdin) = self.stdin.clone() else {
            let why = "the program gets no answers: configure the agent with `answers = true`";
            return self.job.log(Level::Warn, warning("authorize", &why, text)).await;
        };
        let capability = match ask.capability.parse::<Capability>() {
            Ok(capability) => capability,
            Err(error) => {
                let why = format!("`capability` {error}");
                return self.job.log(Level::Warn, warning("authorize", &why, text)).await;
            }
        };
        let job = self.job;
        let answered = async move {
            let verdict = match job.authorize(capability, ask.target).await {
                Ok(()) => Ok(()),
                Err(AuthorizeError::Denied(denial)) => Err(denial),
                // Whoever has ended the job ends the program too.
                Err(AuthorizeError::Ended) => return,
            };
            // A program that has ended reads no answer.
            stdin.send(answer_line(verdict.as_ref(), id.as_ref())).await.unwrap_or_default();
        };
        self.open.push(answered.boxed());
        Ok(())
    }

    /// The program has delegated: it is told what becomes of that, if it is told anything.
    pub(super) fn follow(&mut self, body: &Json) {
        let Some(stdin) = self.stdin.clone() else { return };
        // What has no id was refused as an event.
        let Ok(DelegateLine { delegate_id }) = body.to::<DelegateLine>() else { return };
        let delegated = self.job.delegated(delegate_id);
        let told = async move {
            let begun = match delegated.begun().await {
                Ok(child) => Ok(Some(child)),
                Err(DelegationError::Refused(failure)) => Err(failure),
                // Whoever has ended the job ends the program too.
                Err(DelegationError::Ended) => return,
            };
            let id = delegated.id().to_string();
            let line = match begun {
                Ok(child) => news_line(&id, child, None, None),
                Err(failure) => news_line(&id, None, None, Some(&failure)),
            };
            // A program that has ended reads nothing.
            stdin.send(line).await.unwrap_or_default();
            if let Ok(ChildEnd { child, outcome }) = delegated.ended().await {
                let line = news_line(&id, Some(child), outcome.as_ref().ok(), outcome.as_ref().err());
                stdin.send(line).await.unwrap_or_default();
            }
        };
        self.delegated.push(told.boxed());
    }

    /// Whether another one may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < MAX_ASKS
    }

    /// Returns when one of them is answered, or a delegation is done with; never, if none is open.
    pub(super) async fn answered(&mut self) {
        let Self { open, delegated, .. } = self;
        tokio::select! {
            Some(()) = open.next() => {}
            Some(()) = delegated.next() => {}
            else => std::future::pending().await,
        }
    }
}

/// What is needed of a `delegate` event.
#[derive(Deserialize)]
struct DelegateLine {
    delegate_id: String,
}

/// What became of a delegation, as a program reads it: `{"delegation": {"delegate_id", "child_job_id"?, "result"?, "error"?}}`.
#[derive(Serialize)]
struct NewsLine<'a> {
    delegation: News<'a>,
}

#[derive(Serialize)]
struct News<'a> {
    delegate_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields<'a>>,
}

fn news_line(
    delegate_id: &str,
    child: Option<JobId>,
    output: Option<&Output>,
    failure: Option<&ChildFailure>,
) -> Vec<u8> {
    let (result, result_id) = match output {
        None => (None, None),
        Some(Output::Inline(result)) => (Some(result), None),
        Some(Output::Streamed { result_id, .. }) => (None, Some(result_id.as_str())),
    };
    let error = failure.map(|ChildFailure { code, message, retryable, details }| ErrorFields {
        code: code.as_str(),
        message,
        retryable: *retryable,
        details: details.as_ref(),
    });
    let child_job_id = child.map(|child| child.to_string());
    line(&NewsLine { delegation: News { delegate_id, child_job_id, result, result_id, error } })
}

fn answer_line(verdict: Result<&(), &Failure>, id: Option<&Json>) -> Vec<u8> {
    let error = verdict.err().map(|Failure { code, message, retryable, details }| ErrorFields {
        code: code.as_str(),
        message,
        retryable: *retryable,
        details: details.as_ref(),
    });
    line(&AnswerLine { authorize: Verdict { allowed: error.is_none(), error }, id })
}

/// A value as one line.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    // White space of what is carried along is kept; a line break in it would end the line.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    bytes.push(b'\n');
    bytes
}

/// Writes lines to a program, until there are none or it has ended. A program need not read them.
pub(super) async fn feed(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = stdin.write_all(&line).await {
            return tracing::debug!(%error, "a program did not read what it was told");
        }
    }
}
