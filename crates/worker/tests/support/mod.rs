//! A gateway for tests: the real end of the link, and a model of what a gateway remembers.
#![allow(dead_code, reason = "every test file uses a part of this")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moorline_types::{Fence, JobId, Json, Millis, ResolvedAgent, Timestamp, TraceContext, WorkerId, WorkerSeq};
use moorline_worker::in_process::{InProcessWorker, in_process};
use moorline_worker::link::{AttachParams, WorkerLink};
use moorline_worker::message::{FromWorker, GatewayEpoch, Output, Report, StartJob, ToWorker};
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Outcome};

pub(crate) fn job(n: u8) -> JobId {
    JobId::mint(Timestamp::from_unix_millis(u64::from(n)), [n; 10])
}

pub(crate) fn worker(n: u8) -> WorkerId {
    WorkerId::mint(Timestamp::from_unix_millis(u64::from(n)), [n; 10])
}

pub(crate) fn agent(text: &str) -> ResolvedAgent {
    text.parse().unwrap()
}

pub(crate) fn params() -> AttachParams {
    AttachParams::new(GatewayEpoch::new(1))
}

pub(crate) fn start(job: JobId, name: &str, input: &str) -> ToWorker {
    ToWorker::Start(StartJob {
        job,
        agent: agent(name),
        input: Json::parse(input).unwrap(),
        lease: Json::parse("{}").unwrap(),
        trace: Some(trace()),
        deadline: None,
        accepted_at: Timestamp::from_unix_millis(1),
        credentials: Vec::new(),
    })
}

pub(crate) fn cancel(job: JobId, grace_ms: u64) -> ToWorker {
    ToWorker::Cancel { job, reason: "enough".to_owned(), grace: Millis::new(grace_ms) }
}

/// An agent out of a function.
pub(crate) struct FnAgent<F> {
    pub(crate) description: AgentDescription,
    pub(crate) run: F,
}

pub(crate) fn fn_agent<F, R>(name: &str, capacity: u32, run: F) -> Arc<dyn Agent>
where
    F: Fn(JobContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outcome, Failure>> + Send + 'static,
{
    let description =
        AgentDescription { agent: agent(name), description: "for tests".to_owned(), capacity, is_default: true };
    Arc::new(FnAgent { description, run })
}

#[async_trait]
impl<F, R> Agent for FnAgent<F>
where
    F: Fn(JobContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Outcome, Failure>> + Send + 'static,
{
    fn describe(&self) -> AgentDescription {
        self.description.clone()
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        (self.run)(job).await
    }
}

/// An attached in-process worker.
pub(crate) struct Attached {
    pub(crate) link: WorkerLink,
    pub(crate) worker: InProcessWorker,
}

pub(crate) async fn attach(agents: impl IntoIterator<Item = Arc<dyn Agent>>) -> Attached {
    let (candidate, worker) = in_process(worker(1), agents).unwrap();
    let link = candidate.admit(Fence::new(1), []).await.unwrap();
    Attached { link, worker }
}

impl Attached {
    pub(crate) async fn send(&self, message: ToWorker) {
        self.link.sender.send(message).await.unwrap();
    }

    /// The next message; fails the test rather than waiting for ever.
    pub(crate) async fn next(&mut self) -> FromWorker {
        tokio::time::timeout(DEADLINE, self.link.receiver.recv()).await.expect("the worker said nothing").unwrap()
    }

    /// Runs a job to its end, acknowledging each report; returns all of them.
    pub(crate) async fn run(&mut self, name: &str, input: &str) -> Vec<Report> {
        self.send(start(job(1), name, input)).await;
        self.finish(job(1)).await
    }

    /// Takes a job's reports until the last.
    pub(crate) async fn finish(&mut self, job: JobId) -> Vec<Report> {
        let mut reports = Vec::new();
        loop {
            if let FromWorker::Report { job: of, seq, report, .. } = self.next().await
                && of == job
            {
                assert_eq!(seq.get(), reports.len() as u64 + 1, "reports come in order");
                let last = report.is_terminal();
                reports.push(report);
                self.send(ToWorker::Ack { job, seq }).await;
                if last {
                    return reports;
                }
            }
        }
    }
}

/// How long any one step of a test may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a gateway remembers of reports: each once, in order.
#[derive(Default, Debug)]
pub(crate) struct Journal(pub(crate) BTreeMap<JobId, Vec<Report>>);

impl Journal {
    /// Takes a report in unless it is there already. A hole is a failed test.
    pub(crate) fn take(&mut self, job: JobId, seq: WorkerSeq, report: Report) {
        let reports = self.0.entry(job).or_default();
        let expected = reports.len() as u64 + 1;
        assert!(seq.get() <= expected, "report {} came where {expected} was due", seq.get());
        if seq.get() == expected {
            reports.push(report);
        }
    }

    pub(crate) fn committed(&self) -> Vec<(JobId, WorkerSeq)> {
        self.0.iter().map(|(job, reports)| (*job, WorkerSeq::new(reports.len() as u64))).collect()
    }

    pub(crate) fn is_finished(&self, job: JobId) -> bool {
        self.0.get(&job).and_then(|reports| reports.last()).is_some_and(Report::is_terminal)
    }
}

/// A report in a line, for comparisons that read well.
pub(crate) fn line(report: &Report) -> String {
    match report {
        Report::Event { kind, body } => format!("{kind} {}", body.get()),
        Report::Result { output: Output::Inline(json), summary } => match summary {
            None => format!("result {}", json.get()),
            Some(summary) => format!("result {} ({summary})", json.get()),
        },
        Report::Result { output: Output::Streamed { result_size, .. }, .. } => format!("streamed {result_size} bytes"),
        Report::Failure(Failure { code, message, .. }) => format!("{code}: {message}"),
    }
}

pub(crate) fn lines(reports: &[Report]) -> Vec<String> {
    reports.iter().map(line).collect()
}

/// The place in a trace of every job.
pub(crate) fn trace() -> TraceContext {
    let context: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    TraceContext { state: "a=b".parse().ok(), ..context }
}
