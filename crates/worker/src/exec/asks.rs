//! What a program asks, and the answers on its standard input.
//!
//! A question is a line of output with an `id` of the program's own choice, which its answer repeats. Several may be open
//! at once; each is answered as soon as the gateway has, behind everything that the program wrote before it. While as
//! many are open as may be, nothing more is read of the program.

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use moorline_types::{Capability, Json};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

use super::line::warning;
use crate::limits::MAX_ASKS;
use crate::sdk::{AuthorizeError, EmitError, Failure, JobContext, Level};

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
        Self { job, stdin, open: FuturesUnordered::new() }
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

    /// Whether another one may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < MAX_ASKS
    }

    /// Returns when one of them is answered; never, if none is open.
    pub(super) async fn answered(&mut self) {
        if self.open.next().await.is_none() {
            std::future::pending().await
        }
    }
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
