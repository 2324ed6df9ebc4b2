//! What is measured: each scenario starts what it needs, warms it up, measures once, checks what came and ends it all.

mod chunked;
mod fanout;
pub(crate) mod firehose;
mod idle;
mod latency;
mod million;
mod replay;
mod restart;
mod resume;
mod session;
mod short;
mod stalled;
mod storm;

use std::pin::Pin;

use anyhow::Result;

use crate::baselines::{grpc, nats, python, websocket};
use crate::context::Context;
use crate::samples::Samples;

type Running<'a> = Pin<Box<dyn Future<Output = Result<Samples>> + 'a>>;

/// A group of measurements that are made together.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Why it cannot be run here, if it cannot.
    pub(crate) missing: fn(&Context) -> Option<&'static str>,
    pub(crate) run: for<'a> fn(&'a Context) -> Running<'a>,
}

const fn nothing(_: &Context) -> Option<&'static str> {
    None
}

/// Every scenario, in the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "resume",
        about: "a session that has missed 10,000 events is resumed",
        missing: nothing,
        run: |context| Box::pin(resume::run(context)),
    },
    Scenario {
        name: "storm",
        about: "10,000 sessions come back after the gateway was killed, while a job streams to another client",
        missing: nothing,
        run: |context| Box::pin(storm::run(context)),
    },
    Scenario {
        name: "restart",
        about: "the gateway is killed and started again with 100 running jobs and a million records",
        missing: nothing,
        run: |context| Box::pin(restart::run(context)),
    },
    Scenario {
        name: "idle",
        about: "10,000 sessions that do nothing, with heartbeats and parked",
        missing: nothing,
        run: |context| Box::pin(idle::run(context)),
    },
    Scenario {
        name: "stalled",
        about: "subscribers that stop reading, and what the others notice",
        missing: nothing,
        run: |context| Box::pin(stalled::run(context)),
    },
    Scenario {
        name: "replay",
        about: "the history of a job from memory and from disk",
        missing: nothing,
        run: |context| Box::pin(replay::run(context)),
    },
    Scenario {
        name: "grpc",
        about: "baseline: a bare gRPC stream of the messages of a gateway session",
        missing: nothing,
        run: |context| Box::pin(grpc::run(context)),
    },
    Scenario {
        name: "session",
        about: "a gateway session's events over gRPC, to 1 and 8 subscribers, and beside one that stands still",
        missing: nothing,
        run: |context| Box::pin(session::run(context)),
    },
    Scenario {
        name: "websocket",
        about: "baseline: a bare WebSocket sender, batched and each message flushed",
        missing: nothing,
        run: |context| Box::pin(websocket::run(context)),
    },
    Scenario {
        name: "nats",
        about: "baseline: NATS core to subscribers, JetStream publishing and replaying",
        missing: nats::missing,
        run: |context| Box::pin(nats::run(context)),
    },
    Scenario {
        name: "python",
        about: "baseline: the official Python SDK's runtime, one job to one client",
        missing: python::missing,
        run: |context| Box::pin(python::run(context)),
    },
    Scenario {
        name: "firehose",
        about: "one job as fast as it goes, to one subscriber",
        missing: nothing,
        run: |context| Box::pin(firehose::run(context)),
    },
    Scenario {
        name: "fanout",
        about: "one job to 1, 10 and 100 subscribers",
        missing: nothing,
        run: |context| Box::pin(fanout::run(context)),
    },
    Scenario {
        name: "short",
        about: "short jobs, one after the other and 64 at once",
        missing: nothing,
        run: |context| Box::pin(short::run(context)),
    },
    Scenario {
        name: "latency",
        about: "from event to subscriber, at a tenth of what the gateway carries",
        missing: nothing,
        run: |context| Box::pin(latency::run(context)),
    },
    Scenario {
        name: "million",
        about: "memory with a million events of one job, and of ten thousand jobs",
        missing: nothing,
        run: |context| Box::pin(million::run(context)),
    },
    Scenario {
        name: "chunked",
        about: "a streamed result",
        missing: nothing,
        run: |context| Box::pin(chunked::run(context)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;

    #[test]
    fn every_metric_belongs_to_a_scenario_and_every_scenario_has_some() {
        let of = |key: &str| key.split_once('.').map(|(scenario, _)| scenario.to_owned());
        for metric in METRICS {
            assert!(
                SCENARIOS.iter().any(|scenario| Some(scenario.name) == of(metric.key).as_deref()),
                "{}",
                metric.key
            );
        }
        for scenario in SCENARIOS {
            assert!(METRICS.iter().any(|metric| of(metric.key).as_deref() == Some(scenario.name)), "{}", scenario.name);
        }
    }
}
