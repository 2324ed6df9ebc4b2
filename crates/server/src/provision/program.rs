//! A program of the operator's that issues and withdraws credentials, of whatever upstream.
//!
//! It is run once for each request, with one JSON object on standard input, and answers with one on standard output. The
//! contract is described in `docs/credentials.md`. What it writes to standard error is not read: it may be secret.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moorline_core::credential::{Answer, Capped};
use moorline_runtime::credentials::{Cap, Issued, NotIssued, Order, Provisioner, Value};
use moorline_types::{COST_BUDGET, CredentialId, Json, Timestamp};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::{Value as AnyJson, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// The version of the contract, which the program is told.
const VERSION: u8 = 1;

/// How long one request may take. A client waits for its job meanwhile, and itself has a deadline of about a minute.
const DEADLINE: Duration = Duration::from_secs(30);

/// The largest answer: a value and an address, a hundred times over.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// The longest value, address or profile, in bytes. A signed token of the longest kind fits.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    upstream: String,
    /// Whether it has said that it carries out updates: earlier ones know no such request.
    updates: AtomicBool,
}

/// What the program answers.
#[derive(serde::Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Said {
    Issued {
        value: String,
        endpoint: String,
        profile: Option<String>,
        /// An object, in the words of a lease.
        constraints: Option<serde_json::Map<String, AnyJson>>,
        #[serde(default, deserialize_with = "moment")]
        expires_at: Option<Timestamp>,
    },
    Refused {
        reason: String,
    },
    Revoked,
    Absent,
    Updated,
    Ready {
        #[serde(default)]
        updates: bool,
    },
}

/// Why there is no answer that means anything.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the program cannot be started: {0}")]
    NotStarted(std::io::ErrorKind),
    #[error("the program did not answer within {} s and was ended", DEADLINE.as_secs())]
    Late,
    #[error("the program's pipes failed: {0}")]
    Pipe(std::io::ErrorKind),
    #[error("the program ended with {0}")]
    Failed(std::process::ExitStatus),
    #[error("the program answered more than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("the program's answer is not what it was asked for; see the contract in docs/credentials.md")]
    Unexpected,
}

impl Program {
    pub(super) fn new(path: PathBuf) -> Self {
        let upstream = format!("program {}", path.display());
        Self { path, upstream, updates: AtomicBool::new(false) }
    }

    async fn ask(&self, request: AnyJson) -> Result<Said, NoAnswer> {
        let mut program = Command::new(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Whoever stops waiting, for whatever reason, ends it.
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| NoAnswer::NotStarted(error.kind()))?;
        tokio::time::timeout(DEADLINE, exchange(&mut program, request)).await.unwrap_or(Err(NoAnswer::Late))
    }
}

async fn exchange(program: &mut Child, request: AnyJson) -> Result<Said, NoAnswer> {
    let pipe = |error: std::io::Error| NoAnswer::Pipe(error.kind());
    let (Some(mut input), Some(output)) = (program.stdin.take(), program.stdout.take()) else {
        return Err(NoAnswer::Unexpected);
    };
    let request = format!("{request}\n");
    let asked = async move {
        // One that does not read what it is asked may still answer: that it is there, for instance.
        if let Err(error) = input.write_all(request.as_bytes()).await {
            tracing::debug!(%error, "the program does not read its request");
        }
    };
    let mut answer = Vec::new();
    let answered = async {
        output.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut answer).await.map_err(pipe)?;
        Ok::<_, NoAnswer>(())
    };
    let ((), read) = tokio::join!(asked, answered);
    read?;
    if answer.len() as u64 > MAX_ANSWER_BYTES {
        return Err(NoAnswer::TooLong);
    }
    let status = program.wait().await.map_err(pipe)?;
    if !status.success() {
        return Err(NoAnswer::Failed(status));
    }
    serde_json::from_slice(&answer).map_err(|_| NoAnswer::Unexpected)
}

/// Reads a moment as it is on the wire: text (RFC 3339).
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// Whether a text of the program's can be told to a client: some, and on one line.
fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
}

#[async_trait]
impl Provisioner for Program {
    fn upstream(&self) -> &str {
        &self.upstream
    }

    async fn issue(&self, order: Order<'_>) -> Result<Issued, NotIssued> {
        let asked = order.constraints.to_json();
        let request = json!({
            "version": VERSION,
            "request": "issue",
            "name": order.issue.to_string(),
            "job_id": order.job.to_string(),
            "principal": order.principal.as_str(),
            "constraints": asked.to::<AnyJson>().unwrap_or_default(),
            "replaces": order.replaces.map(Value::expose),
        });
        let unavailable = |no_answer: NoAnswer| NotIssued::Unavailable(no_answer.to_string());
        match self.ask(request).await.map_err(unavailable)? {
            Said::Issued { value, endpoint, profile, constraints, expires_at }
                if [Some(&value), Some(&endpoint), profile.as_ref()].into_iter().flatten().all(|text| fits(text)) =>
            {
                let latest = order.constraints.good_until;
                let good_until = expires_at.map_or(latest, |at| at.min(latest));
                let constraints = constraints.and_then(|said| Json::of(&said).ok()).unwrap_or(asked);
                Ok(Issued { value: Value::new(value), endpoint, profile, constraints, good_until })
            }
            Said::Refused { reason } if fits(&reason) => Err(NotIssued::Refused(reason)),
            Said::Issued { .. }
            | Said::Refused { .. }
            | Said::Revoked
            | Said::Absent
            | Said::Updated
            | Said::Ready { .. } => Err(unavailable(NoAnswer::Unexpected)),
        }
    }

    async fn revoke(&self, issue: CredentialId) -> Answer {
        let request = json!({ "version": VERSION, "request": "revoke", "name": issue.to_string() });
        match self.ask(request).await {
            Ok(Said::Revoked) => Answer::Revoked,
            Ok(Said::Absent) => Answer::Absent,
            Ok(Said::Issued { .. } | Said::Refused { .. } | Said::Updated | Said::Ready { .. }) => {
                Answer::Failed(NoAnswer::Unexpected.to_string())
            }
            Err(no_answer) => Answer::Failed(no_answer.to_string()),
        }
    }

    async fn cap(&self, cap: Cap<'_>) -> Capped {
        if !self.updates.load(Ordering::Relaxed) {
            return Capped::Unable;
        }
        let constraints = json!({ COST_BUDGET: cap.budget.to_texts() });
        let name = cap.issue.to_string();
        let request = json!({ "version": VERSION, "request": "update", "name": name, "constraints": constraints });
        match self.ask(request).await {
            Ok(Said::Updated | Said::Absent) => Capped::Done,
            Ok(Said::Issued { .. } | Said::Refused { .. } | Said::Revoked | Said::Ready { .. }) => {
                Capped::Failed(NoAnswer::Unexpected.to_string())
            }
            Err(no_answer) => Capped::Failed(no_answer.to_string()),
        }
    }

    async fn check(&self) -> Result<(), String> {
        match self.ask(json!({ "version": VERSION, "request": "check" })).await {
            Ok(Said::Ready { updates }) => {
                self.updates.store(updates, Ordering::Relaxed);
                Ok(())
            }
            Ok(Said::Issued { .. } | Said::Refused { .. } | Said::Revoked | Said::Absent | Said::Updated) => {
                Err(NoAnswer::Unexpected.to_string())
            }
            Err(no_answer) => Err(no_answer.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
