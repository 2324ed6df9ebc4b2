//! What the gateway counts, by name: the one place for both.
//!
//! No label ever holds what a client or an operator chose (a session, a tag, a principal, an item): every label has the few
//! values that the code gives it, so however many sessions there are, there are as many series as this page has lines.
//!
//! Counters begin with the process. What was counted before a restart is not known after it, as is usual.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// One label with one of a few values.
type Label = [(&'static str, &'static str); 1];

/// See the module's documentation. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    registry: Registry,
    /// Sets what is not counted but looked at.
    look: OnceLock<Box<dyn Fn() + Send + Sync>>,
    jobs_open: Gauge,
    sessions_connected: Gauge,
    gateway: GatewayMetrics,
}

/// What is counted of gateway sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct GatewayMetrics {
    pub(crate) sessions_opened: Counter,
    pub(crate) sessions_open: Gauge,
    pub(crate) pending_commands: Gauge,
    pub(crate) stream_queue_depth: Gauge,
    queue_overflows: Family<Label, Counter>,
    faults: Family<Label, Counter>,
    stream_disconnects: Family<Label, Counter>,
    events_received: Family<Label, Counter>,
    replay_gaps: Family<Label, Counter>,
    adoptions: Family<Label, Counter>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let (jobs_open, sessions_connected) = (Gauge::default(), Gauge::default());
        let gateway = GatewayMetrics::default();
        let mut registry = Registry::default();
        registry.register("moorline_jobs_open", "Jobs that have not ended", jobs_open.clone());
        registry.register("moorline_sessions", "ARCP sessions that can be resumed", sessions_connected.clone());
        gateway.register(&mut registry);
        Self(Arc::new(Shared { registry, look: OnceLock::new(), jobs_open, sessions_connected, gateway }))
    }

    pub(crate) fn gateway(&self) -> &GatewayMetrics {
        &self.0.gateway
    }

    /// From here on this sets what is not counted but looked at, each time that somebody reads.
    pub(crate) fn look_by(&self, look: impl Fn() + Send + Sync + 'static) {
        // Said once, by those that there is one of.
        drop(self.0.look.set(Box::new(look)));
    }

    /// Everything, in the text form of OpenMetrics.
    pub(crate) fn text(&self, jobs_open: usize, sessions: usize) -> String {
        self.0.jobs_open.set(signed(jobs_open));
        self.0.sessions_connected.set(signed(sessions));
        if let Some(look) = self.0.look.get() {
            look();
        }
        let mut text = String::new();
        if let Err(error) = text::encode(&mut text, &self.0.registry) {
            tracing::error!(%error, "what was counted cannot be written");
        }
        text
    }
}

impl GatewayMetrics {
    fn register(&self, to: &mut Registry) {
        let of = to.sub_registry_with_prefix("gw");
        of.register("sessions_opened", "Gateway sessions that were opened", self.sessions_opened.clone());
        of.register("sessions_open", "Gateway sessions that there are", self.sessions_open.clone());
        of.register("pending_commands", "Commands without an answer", self.pending_commands.clone());
        let help = "Events that are committed and not yet read by those who stream them";
        of.register("stream_queue_depth", help, self.stream_queue_depth.clone());
        let help = "Subscribers that did not keep up, by kind";
        of.register("queue_overflows", help, self.queue_overflows.clone());
        of.register("faults", "Sessions that have failed, by code", self.faults.clone());
        let help = "Streams that have ended, by reason";
        of.register("stream_disconnects", help, self.stream_disconnects.clone());
        of.register("events_received", "Events of back ends, by family", self.events_received.clone());
        of.register("replay_gaps", "Gaps that were told, by cause", self.replay_gaps.clone());
        of.register("adoptions", "Sessions of the last run, by what became of them", self.adoptions.clone());
    }

    pub(crate) fn overflow(&self, kind: &'static str) {
        self.queue_overflows.get_or_create(&[("kind", kind)]).inc();
    }

    pub(crate) fn fault(&self, code: &'static str) {
        self.faults.get_or_create(&[("code", code)]).inc();
    }

    pub(crate) fn disconnect(&self, reason: &'static str) {
        self.stream_disconnects.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn event(&self, family: &'static str) {
        self.events_received.get_or_create(&[("family", family)]).inc();
    }

    pub(crate) fn gap(&self, cause: &'static str) {
        self.replay_gaps.get_or_create(&[("cause", cause)]).inc();
    }

    pub(crate) fn adoption(&self, result: &'static str) {
        self.adoptions.get_or_create(&[("result", result)]).inc();
    }
}

pub(crate) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_under_its_name_with_its_label() {
        let metrics = Metrics::new();
        metrics.gateway().sessions_opened.inc();
        metrics.gateway().overflow("grpc-event-stream");
        let open = metrics.gateway().sessions_open.clone();
        metrics.look_by(move || {
            open.set(3);
        });
        let text = metrics.text(2, 1);
        for line in [
            "gw_sessions_opened_total 1",
            "gw_sessions_open 3",
            "gw_queue_overflows_total{kind=\"grpc-event-stream\"} 1",
            "moorline_jobs_open 2",
            "moorline_sessions 1",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
