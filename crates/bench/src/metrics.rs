//! Everything that is measured, and what it has to be: one table.

use crate::metrics::Target::{AtLeast, AtMost, Of};

/// One thing that is measured.
#[derive(Debug)]
pub(crate) struct Metric {
    /// What it is called in the JSON: the scenario, and what of it.
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) targets: &'static [Target],
}

/// What a median has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// In relation to another median of the same run.
    Of {
        key: &'static str,
        at_least: Option<f64>,
        at_most: Option<f64>,
    },
}

const fn times(key: &'static str, at_least: f64) -> Target {
    Of { key, at_least: Some(at_least), at_most: None }
}

const fn at_most_times(key: &'static str, at_most: f64) -> Target {
    Of { key, at_least: None, at_most: Some(at_most) }
}

/// What it is looked at beside, without a bound.
const fn beside(key: &'static str) -> Target {
    Of { key, at_least: None, at_most: None }
}

macro_rules! metrics {
    ($($key:literal, $unit:literal, $what:literal, [$($target:expr),*];)*) => {
        /// Every metric, in the order in which they are shown.
        pub(crate) const METRICS: &[Metric] =
            &[$(Metric { key: $key, what: $what, unit: $unit, targets: &[$($target),*] },)*];
    };
}

metrics! {
    "resume.last", "ms", "a session that missed 10,000 events is resumed: to the last of them", [AtMost(30.0)];
    "storm.caught_up", "s", "10,000 sessions are resumed after the gateway was killed: from its start to the last one's end",
        [AtMost(5.0)];
    "storm.sessions", "sessions/s", "the same, from its open door on", [];
    "storm.cpu", "CPU s/million", "the same, what the new gateway uses for a million sessions", [];
    "storm.follower_caught_up", "ms", "the same, until the client that follows a job is up to date again", [];
    "storm.p99_before", "µs", "event to that client, before, p99", [];
    "storm.p99_during", "µs", "the same, from then on, while the sessions come back, p99", [at_most_times("storm.p99_before", 3.0)];
    "restart.streaming", "s", "gateway killed with 100 running jobs and 1 million records: until all stream again",
        [AtMost(1.0)];
    "restart.open", "s", "the same, until its door is open", [];
    "restart.memory", "MiB", "the same, the new gateway's memory", [];
    "idle.memory", "KiB", "an idle session with heartbeats, 10,000 of them", [AtMost(10.0)];
    "idle.memory_tenth", "KiB", "the same, 1,000 of them", [];
    "idle.opened", "sessions/s", "the same, opened", [];
    "idle.cpu", "% of a core", "the same, all together, heartbeats every 10 s", [AtMost(5.0)];
    "idle.parked_tenth", "KiB", "a parked session, after 500 more", [];
    "idle.parked", "KiB", "a parked session, after 4,500 more", [AtMost(4.0)];
    "stalled.append_alone", "events/s", "one job to one subscriber", [];
    "stalled.append_beside", "events/s", "the same beside 100 subscribers that do not read",
        [times("stalled.append_alone", 0.9)];
    "stalled.rate_without", "events/s", "one job to 10 subscribers, to each", [];
    "stalled.rate_with", "events/s", "the same, one of them does not read, to each other",
        [times("stalled.rate_without", 0.95)];
    "stalled.p99_without", "µs", "event to 10 subscribers at 5,000 a second, p99", [];
    "stalled.p99_with", "µs", "the same, one of them does not read, to the others, p99",
        [at_most_times("stalled.p99_without", 1.25)];
    "replay.memory", "events/s", "history of a job from memory", [AtLeast(1_000_000.0)];
    "replay.disk", "events/s", "history of a job from disk", [AtLeast(500_000.0)];
    "firehose.inside", "events/s", "one job, agent in the gateway, one subscriber",
        [AtLeast(800_000.0), times("python.events", 20.0)];
    "firehose.inside_cpu", "CPU s/million", "the same, what the gateway uses", [];
    "firehose.inside_peak", "MiB", "the same, the most memory", [];
    "firehose.worker", "events/s", "one job, agent in a worker process", [AtLeast(500_000.0)];
    "firehose.worker_cpu", "CPU s/million", "the same, what gateway and worker use", [];
    "firehose.worker_peak", "MiB", "the same, the most memory of both", [];
    "fanout.1", "deliveries/s", "fan-out to 1 subscriber", [];
    "fanout.10", "deliveries/s", "fan-out to 10 subscribers",
        [times("websocket.batched_10", 0.5), times("nats.core_10", 1.0)];
    "fanout.100", "deliveries/s", "fan-out to 100 subscribers",
        [times("websocket.batched_100", 0.5), times("nats.core_100", 1.0)];
    "fanout.cpu_1", "CPU s/million", "the same, what the gateway uses for a delivery to 1", [];
    "fanout.cpu_10", "CPU s/million", "the same, to 10", [];
    "fanout.cpu_100", "CPU s/million", "the same, to 100", [];
    "short.inside_p50", "µs", "short job, agent in the gateway, one after the other, p50", [AtMost(200.0)];
    "short.inside_p99", "µs", "the same, p99", [AtMost(1_000.0)];
    "short.inside_at_once", "jobs/s", "short jobs, agent in the gateway, 64 at once", [AtLeast(10_000.0)];
    "short.worker_p50", "µs", "short job, agent in a warm worker, one after the other, p50", [AtMost(400.0)];
    "short.worker_p99", "µs", "the same, p99", [];
    "short.worker_at_once", "jobs/s", "short jobs, agent in a warm worker, 64 at once", [];
    "latency.inside_rate", "events/s", "event to subscriber: the rate, a tenth of the capacity", [];
    "latency.inside_p50", "µs", "event to subscriber, agent in the gateway, p50", [AtMost(150.0)];
    "latency.inside_p99", "µs", "the same, p99", [AtMost(1_000.0)];
    "latency.inside_p999", "µs", "the same, p99.9", [];
    "latency.worker_rate", "events/s", "the same from a worker process: the rate", [];
    "latency.worker_p50", "µs", "event to subscriber, agent in a worker process, p50", [];
    "latency.worker_p99", "µs", "the same, p99", [];
    "latency.worker_p999", "µs", "the same, p99.9", [];
    "million.one_quarter", "MiB", "a job of 250,000 events, the gateway's peak memory", [];
    "million.one", "MiB", "a job of 1,000,000 events, the gateway's peak memory",
        [at_most_times("million.one_quarter", 1.25)];
    "million.many_quarter", "MiB", "2,500 jobs of 100 events, the gateway's peak memory", [];
    "million.many", "MiB", "10,000 jobs of 100 events, the gateway's peak memory",
        [at_most_times("million.many_quarter", 1.25)];
    "million.many_rate", "events/s", "the same, 64 jobs at once, to one subscriber", [];
    "chunked.rate", "MB/s", "a streamed result, agent in the gateway", [AtLeast(500.0)];
    "chunked.peak_quarter", "MiB", "a streamed result of 64 MiB, the gateway's peak memory", [];
    "chunked.peak", "MiB", "a streamed result of 256 MiB, the gateway's peak memory",
        [at_most_times("chunked.peak_quarter", 1.25)];
    "session.events_1", "events/s", "a gateway session over gRPC, one subscriber", [beside("grpc.messages_1")];
    "session.deliveries_8", "deliveries/s", "the same, 8 subscribers", [beside("grpc.messages_8")];
    "session.p50", "µs", "event to one subscriber of a gateway session, at 1,000 a second, p50", [];
    "session.p99", "µs", "the same, p99", [];
    "session.p99_without", "µs", "the same to 8 subscribers, p99", [];
    "session.p99_with", "µs", "the same, one of them does not read, to the others, p99",
        [at_most_times("session.p99_without", 1.25)];
    "python.events", "events/s", "the Python SDK's runtime, one job, one client, not durable", [];
    "websocket.batched_1", "messages/s", "bare WebSocket sender, batched, to 1", [];
    "websocket.batched_10", "messages/s", "the same, to 10", [];
    "websocket.batched_100", "messages/s", "the same, to 100", [];
    "websocket.flushed_1", "messages/s", "bare WebSocket sender, each message flushed, to 1", [];
    "websocket.flushed_10", "messages/s", "the same, to 10", [];
    "websocket.flushed_100", "messages/s", "the same, to 100", [];
    "grpc.messages_1", "messages/s", "bare gRPC stream of the same messages, to 1", [];
    "grpc.messages_8", "messages/s", "the same, to 8", [];
    "nats.core_1", "messages/s", "NATS core, not durable, to 1 subscriber", [];
    "nats.core_10", "messages/s", "the same, to 10", [];
    "nats.core_100", "messages/s", "the same, to 100", [];
    "nats.published", "messages/s", "NATS JetStream on disk, acknowledged publishes, 4,000 under way", [];
    "nats.replayed", "messages/s", "NATS JetStream on disk, replay to one consumer", [];
}

impl Metric {
    /// The metric of this name.
    pub(crate) fn find(key: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.key == key)
    }
}

impl Target {
    /// Whether a value is as it has to be; nothing is known if what it is compared with was not measured.
    pub(crate) fn is_met(self, value: f64, median: impl Fn(&str) -> Option<f64>) -> Option<bool> {
        match self {
            AtLeast(least) => Some(value >= least),
            AtMost(most) => Some(value <= most),
            Of { at_least: None, at_most: None, .. } => None,
            Of { key, at_least, at_most } => {
                let ratio = value / median(key)?;
                Some(at_least.is_none_or(|least| ratio >= least) && at_most.is_none_or(|most| ratio <= most))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own_and_is_compared_with_one_that_exists() {
        let keys: BTreeSet<_> = METRICS.iter().map(|metric| metric.key).collect();
        assert_eq!(keys.len(), METRICS.len());
        for target in METRICS.iter().flat_map(|metric| metric.targets) {
            if let Of { key, .. } = target {
                assert!(keys.contains(key), "{key}");
            }
        }
    }

    #[test]
    fn a_target_is_met_or_not_or_unknown() {
        let median = |key: &str| (key == "a").then_some(10.0);
        for (target, value, met) in [
            (AtLeast(5.0), 5.0, Some(true)),
            (AtMost(5.0), 5.1, Some(false)),
            (times("a", 0.5), 5.0, Some(true)),
            (times("a", 0.6), 5.0, Some(false)),
            (Of { key: "a", at_least: None, at_most: Some(3.0) }, 31.0, Some(false)),
            (times("b", 1.0), 5.0, None),
            (beside("a"), 5.0, None),
        ] {
            assert_eq!(target.is_met(value, median), met, "{target:?} of {value}");
        }
    }
}
