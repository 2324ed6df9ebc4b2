//! The way to a worker in this process: nothing is carried, what one side says is handed to the other as it is.
//!
//! Neither side waits for the other, so there is no queue between them and no task that would serve one.

use std::sync::{Arc, Weak};

use moorline_types::limits::MAX_REPORT_WINDOW;
use moorline_types::{JobId, WorkerSeq};

use super::{LinkEnd, SendError};
use crate::connect::Stop;
use crate::host::{Handled, Host};
use crate::message::{FromWorker, GoodbyeReason, Report, ToWorker, decode};
use crate::outbox::LinkState;
use crate::proto;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    /// The worker's own task has it; when that ends, it is gone.
    host: Weak<Host>,
    stop: Stop,
}

impl Here {
    pub(crate) fn new(host: &Arc<Host>, stop: Stop) -> Self {
        Self { host: Arc::downgrade(host), stop }
    }

    /// The gateway takes the worker; these reports are committed.
    pub(super) fn admit(&self, committed: impl IntoIterator<Item = (JobId, WorkerSeq)>) {
        let Some(host) = self.host.upgrade() else { return };
        for (job, seq) in committed {
            host.acknowledge(job, seq);
        }
        host.set_link(LinkState::Attached { window: MAX_REPORT_WINDOW, answers: true });
    }

    /// Hands over what the gateway says.
    pub(super) fn handle(&self, message: ToWorker) -> Result<(), SendError> {
        let host = self.host.upgrade().ok_or(SendError::Closed)?;
        match host.handle(message) {
            Handled::Done => Ok(()),
            Handled::Shutdown { grace } => {
                self.stop.request(GoodbyeReason::Shutdown, grace);
                Ok(())
            }
            Handled::Overrun => Err(SendError::Closed),
        }
    }

    /// What the worker says next. Nothing for ever, if it is gone: that is said by the end of its task.
    pub(super) async fn next(&self) -> Result<Vec<FromWorker>, LinkEnd> {
        let Some(host) = self.host.upgrade() else { return std::future::pending().await };
        host.next().await.into_iter().map(check).collect::<Result<_, _>>().map_err(LinkEnd::Malformed)
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
