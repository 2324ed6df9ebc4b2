//! The exec shim: any program as an agent.
//!
//! For each job the program is started in a process group of its own. It gets the job as one line of JSON on its
//! standard input, `{"job_id", "agent", "input", "lease", "trace_id"?, "traceparent"?, "tracestate"?, "deadline"?,
//! "credentials"?}`, and then the end of input, unless it is one that gets answers ([`ExecSpec::answers`]). `TRACEPARENT`
//! and `TRACESTATE` of its environment say the trace too. Each line that it writes to its standard output is one of:
//!
//! | line | meaning |
//! | --- | --- |
//! | `{"kind": "…", "body": {…}}` | an event; with `result_chunk` (`{"data", "encoding"?}`) a part of a streamed result |
//! | `{"result": …, "summary"?}` | the result |
//! | `{"error": {"message", "code"?, "retryable"?, "details"?}}` | the failure |
//! | `{"authorize": {"capability", "target"}, "id"?}` | a question, if the program gets answers: whether it may do this |
//! | anything else | a `log` event of level `info` |
//!
//! Lines on standard error are `log` events of level `warn`. Nothing that a program writes is lost silently: a line
//! that has one of these forms but not its fields becomes a `warn` that says what is wrong with it, and a line that is
//! too long is cut with a mark. A program that writes faster than its events are committed waits on its full pipe.
//!
//! A program succeeds by ending with status 0 after a result. When its job is cancelled its group gets `SIGTERM`, and
//! `SIGKILL` when the grace is over; whatever is left of the group when the program has ended is killed. A process
//! that leaves the group on purpose is out of reach.

mod asks;
mod group;
mod line;
mod lines;
mod output;
mod verdict;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use async_trait::async_trait;
use moorline_types::{AgentName, AgentVersion, Json, ResolvedAgent, TraceContext, TraceState};
use serde::Serialize;
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::credential::Credential;
use crate::limits::MAX_ASKS;
use crate::program::{self, ProgramError};
use crate::sdk::{Agent, AgentDescription, EmitError, Failure, FailureCode, JobContext, Outcome};
use crate::{environment, tasks};
use asks::Asks;
use group::Group;

/// One program as an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// The agent's name.
    pub name: AgentName,
    /// Its version.
    pub version: AgentVersion,
    /// Whether this version is meant when none is named.
    pub is_default: bool,
    /// One line for people.
    pub description: String,
    /// The program and its arguments. A name without a slash is searched for in `PATH`.
    pub command: Vec<String>,
    /// Variables beside the inherited ones.
    pub env: BTreeMap<String, String>,
    /// Its working directory; without one, the worker's.
    pub cwd: Option<PathBuf>,
    /// How many jobs of it run at once.
    pub capacity: u32,
    /// Whether its standard input stays open and brings answers to what it asks.
    pub answers: bool,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct ExecAgent {
    spec: ExecSpec,
}

/// Why a job's program does not run. Becomes the job's failure.
#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error("no command is configured for this agent: name the program to run")]
    NoCommand,
    #[error(transparent)]
    Program(ProgramError),
    #[error("the working directory {} is no directory that can be entered: create it", path.display())]
    Cwd { path: PathBuf },
    #[error("{} could not be started: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("the program could not be watched: {0}")]
    Watch(io::Error),
    #[error("the program was started without its pipes")]
    Pipes,
}

impl From<ExecError> for EndedEarly {
    fn from(error: ExecError) -> Self {
        Self(Failure::new(FailureCode::InternalError, error.to_string()).retryable(false))
    }
}

/// A failure before the program's own end.
struct EndedEarly(Failure);

impl From<EmitError> for EndedEarly {
    fn from(error: EmitError) -> Self {
        Self(error.into())
    }
}

/// What the program reads.
#[derive(Debug, Serialize)]
struct JobLine<'a> {
    job_id: String,
    agent: String,
    input: &'a Json,
    lease: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(skip_serializing_if = "<[Credential]>::is_empty")]
    credentials: &'a [Credential],
}

impl ExecAgent {
    /// The agent that runs this program.
    pub const fn new(spec: ExecSpec) -> Self {
        Self { spec }
    }

    async fn execute(&self, job: &JobContext) -> Result<Outcome, EndedEarly> {
        let (mut group, stdin) = self.start(job.trace())?;
        let (stdout, stderr) = group.take_output().ok_or(ExecError::Pipes)?;
        let exited = CancellationToken::new();
        let (lines, told) = mpsc::channel(MAX_ASKS + 1);
        let feeding = tasks::spawn("exec stdin", asks::feed(stdin, told));
        // There is room: it is the first.
        lines.send(job_line(job)).await.unwrap_or_default();
        let asks = Asks::new(job, Some(lines).filter(|_| self.spec.answers));
        let (status, verdict, tail) = tokio::try_join!(
            async { supervise(&mut group, job, &exited).await.map_err(EndedEarly::from) },
            async { Ok(output::standard_output(stdout, job, &exited, asks).await?) },
            async { Ok(output::standard_error(stderr, job, &exited).await?) },
        )?;
        drop(feeding);
        verdict.conclude(job, status, &tail).await.map_err(EndedEarly)
    }

    fn start(&self, trace: Option<&TraceContext>) -> Result<(Group, ChildStdin), ExecError> {
        let (name, args) = self.spec.command.split_first().ok_or(ExecError::NoCommand)?;
        let cwd = self.spec.cwd.clone().map_or_else(std::env::current_dir, Ok).unwrap_or_else(|_| "/".into());
        if !cwd.is_dir() {
            return Err(ExecError::Cwd { path: cwd });
        }
        let program = program::find(OsStr::new(name), &self.search_path(), &cwd).map_err(ExecError::Program)?;
        let mut child = self.command(&program, args, &cwd, trace).spawn();
        // A file that was just written may still be held open for writing by a process that is being started.
        for _ in 0..TEXT_BUSY_RETRIES {
            match &child {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    child = self.command(&program, args, &cwd, trace).spawn();
                }
                _ => break,
            }
        }
        let mut child = child.map_err(|source| ExecError::Spawn { program, source })?;
        let stdin = child.stdin.take().ok_or(ExecError::Pipes)?;
        Ok((Group::lead_by(child).map_err(ExecError::Watch)?, stdin))
    }

    fn search_path(&self) -> std::ffi::OsString {
        let own = self.spec.env.get("PATH").map(Into::into);
        own.or_else(|| std::env::var_os("PATH")).unwrap_or_default()
    }

    fn command(&self, program: &Path, args: &[String], cwd: &Path, trace: Option<&TraceContext>) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(environment::inherited())
            .envs(&self.spec.env)
            .envs(trace.into_iter().flat_map(environment::of_trace))
            .current_dir(cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }
}

/// How often a start is tried again because the program's file is being written by a process about to exec.
const TEXT_BUSY_RETRIES: usize = 20;

#[async_trait]
impl Agent for ExecAgent {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: ResolvedAgent { name: self.spec.name.clone(), version: self.spec.version.clone() },
            description: self.spec.description.clone(),
            capacity: self.spec.capacity,
            is_default: self.spec.is_default,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        self.execute(&job).await.map_err(|EndedEarly(failure)| failure)
    }
}

fn job_line(job: &JobContext) -> Vec<u8> {
    let credentials = job.credentials();
    let line = JobLine {
        job_id: job.job_id().to_string(),
        agent: job.agent().to_string(),
        input: job.input_json(),
        lease: job.lease_json(),
        trace_id: job.trace_id().map(|id| id.to_string()),
        traceparent: job.trace().map(ToString::to_string),
        tracestate: job.trace().and_then(|context| context.state.as_ref()).map(TraceState::as_str),
        deadline: job.deadline().map(|at| at.to_string()),
        credentials: &credentials,
    };
    asks::line(&line)
}

/// Waits for the program's end, and sees to it when the job is cancelled.
async fn supervise(group: &mut Group, job: &JobContext, exited: &CancellationToken) -> Result<ExitStatus, ExecError> {
    let end = async {
        tokio::select! {
            ended = group.exited() => return ended,
            () = job.cancelled() => {}
        }
        group.terminate();
        let grace = job.cancel_request().map_or(moorline_types::Millis::ZERO, |request| request.grace);
        match tokio::time::timeout(grace.as_duration(), group.exited()).await {
            Ok(ended) => ended,
            Err(_) => {
                group.kill();
                group.exited().await
            }
        }
    };
    let ended = end.await;
    group.kill();
    exited.cancel();
    ended.map_err(ExecError::Watch)?;
    group.reap().await.map_err(ExecError::Watch)
}
