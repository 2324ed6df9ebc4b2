//! Agents inside the gateway's own process.
//!
//! The same host as in a worker process, and the same [`WorkerLink`](crate::link::WorkerLink) at the gateway's end, but
//! nothing between them is bytes: what one side says is handed to the other as it is. There is nobody to prove anything
//! to and nothing to listen for, so there is neither a handshake nor a heartbeat. What such a worker cannot do is
//! outlive the gateway: its jobs end with the process.

use std::sync::Arc;

use moorline_types::WorkerId;
use moorline_types::limits::MAX_REPORT_WINDOW;

use crate::connect::{Stop, leave};
use crate::host::{Handled, Host, HostError};
use crate::link::{Candidate, LinkEnd, WorkerSide};
use crate::message::{FromWorker, GoodbyeReason, Report, WorkerInfo, decode};
use crate::outbox::LinkState;
use crate::proto;
use crate::sdk::Agent;
use crate::tasks::{self, Task};
use crate::version::VersionRange;

/// Agents that run in this process. Dropping it stops them; so does the end of its link.
#[derive(Debug)]
pub struct InProcessWorker {
    task: Task<()>,
}

impl InProcessWorker {
    /// Returns when the worker has ended, because its link has.
    pub async fn ended(&mut self) {
        self.task.join().await.unwrap_or_default();
    }

    /// Whether the worker has ended.
    pub fn is_ended(&self) -> bool {
        self.task.is_finished()
    }
}

/// Starts agents in this process, in the runtime that this is called in. The candidate is admitted like any other
/// worker.
///
/// # Errors
/// If the agents cannot be hosted together.
pub fn in_process(
    worker: WorkerId,
    agents: impl IntoIterator<Item = Arc<dyn Agent>>,
) -> Result<(Candidate, InProcessWorker), HostError> {
    let host = Host::new(agents)?;
    let info = WorkerInfo {
        worker,
        pid: std::process::id(),
        instance: host.instance(),
        sdk: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
        protocol: VersionRange::OURS.max,
        offers: host.offers(),
        held: host.held(),
    };
    let (candidate, admission) = Candidate::here(info);
    let task = tasks::spawn("in-process worker", async move {
        // Without an admission there is nothing to run the agents for.
        if let Ok(side) = admission.await {
            serve(side, &host).await;
        }
    });
    Ok((candidate, InProcessWorker { task }))
}

async fn serve(side: WorkerSide, host: &Host) {
    let WorkerSide { committed, mut incoming, outgoing } = side;
    for (job, seq) in committed {
        host.acknowledge(job, seq);
    }
    host.set_link(LinkState::Attached { window: MAX_REPORT_WINDOW, answers: true });
    let stop = Stop::default();
    let end = tokio::select! {
        biased;
        () = listen(&mut incoming, host, &stop) => LinkEnd::Closed,
        end = speak(&outgoing, host) => end,
        reason = stop.goodbye() => LinkEnd::Goodbye(reason),
        reason = leave(host, &stop) => LinkEnd::Goodbye(reason),
    };
    tracing::debug!(reason = %end, "the link to an in-process worker has ended");
    // If nobody listens any more, the gateway has ended the link.
    outgoing.send(Err(end)).await.unwrap_or_default();
}

/// Takes in what the gateway says, until it says nothing more.
async fn listen(incoming: &mut crate::link::FromGateway, host: &Host, stop: &Stop) {
    while let Some(message) = incoming.recv().await {
        match host.handle(message) {
            Handled::Done => {}
            Handled::Shutdown { grace } => stop.request(GoodbyeReason::Shutdown, grace),
            Handled::Overrun => return,
        }
    }
}

/// Hands over what there is to say, until nobody takes it or it is not what may be said.
async fn speak(outgoing: &crate::link::ToGateway, host: &Host) -> LinkEnd {
    loop {
        let checked: Result<Vec<_>, _> = host.next().await.into_iter().map(check).collect();
        match checked.map_err(LinkEnd::Malformed) {
            Ok(messages) => {
                if outgoing.send(Ok(messages)).await.is_err() {
                    return LinkEnd::Closed;
                }
            }
            Err(end) => return end,
        }
    }
}

/// An event was checked when it was emitted. How a job ends is checked here as a link does it, by the same rules.
fn check(message: FromWorker) -> Result<FromWorker, decode::Malformed> {
    match message {
        FromWorker::Report { job, seq, at, report: report @ (Report::Result { .. } | Report::Failure(_)) } => {
            let report = Report::try_from(proto::report::Body::from(report))?;
            Ok(FromWorker::Report { job, seq, at, report })
        }
        FromWorker::Started { .. }
        | FromWorker::Refused { .. }
        | FromWorker::Ask { .. }
        | FromWorker::Report { report: Report::Event { .. }, .. } => Ok(message),
    }
}
