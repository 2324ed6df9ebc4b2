//! `moorline bench`: what may be typed, and what was.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use super::grammar::{duration, json};

/// The most sessions and jobs of one test. A client holds all of them in one process.
const MOST: u64 = 1_000;

/// The most events of one job: what the `load` agent emits at the most.
const MOST_EVENTS: u64 = 100_000_000;

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bench {
    /// Jobs at once.
    pub(crate) jobs: usize,
    /// Events of each.
    pub(crate) events: u64,
    /// Bytes of an event's message.
    pub(crate) bytes: u64,
    /// Events a second of each; as many as the gateway takes if there is none.
    pub(crate) rate: Option<u64>,
    /// Sessions that watch each job.
    pub(crate) subscribers: usize,
    /// When the jobs are cancelled.
    pub(crate) duration: Option<Duration>,
    pub(crate) json: bool,
}

pub(super) fn grammar() -> Clap {
    let number = |name: &'static str, value: &'static str, most: u64| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(u64).range(1..=most))
    };
    Clap::new("bench")
        .about("Test what a gateway that runs can carry")
        .arg(number("jobs", "N", MOST).default_value("1").help("Jobs at once"))
        .arg(number("events", "N", MOST_EVENTS).default_value("100000").help("Events of each job"))
        .arg(number("bytes", "N", 512 * 1024).default_value("200").help("Bytes of each event's message"))
        .arg(number("rate", "N", 10_000_000).help("Events a second of each job [default: as many as are taken]"))
        .arg(
            number("subscribers", "N", MOST)
                .default_value("1")
                .help("Sessions that watch every job, the one that submits them among them"),
        )
        .arg(
            Arg::new("duration")
                .long("duration")
                .value_name("DURATION")
                .value_parser(duration)
                .conflicts_with("events")
                .help("Go on for so long, such as 30s, instead of a number of events"),
        )
        .arg(json("Print one JSON object"))
        .after_help(
            "Submits jobs of the agent `load`, which the gateway has to offer (--builtin-agents census,echo,load), and \
             reads all of their events with the client that any program would use. Exits with 1 if an event is missing \
             or comes twice. The latency is from the agent's clock to this machine's, so it means something if both are \
             the same. The journal keeps what was made: moorline gc removes it.\n\nExamples:\n  \
             moorline bench\n  moorline bench --jobs 10 --subscribers 5 --rate 1000 --duration 30s\n  \
             moorline bench --json | jq .latency_us.p99",
        )
}

impl Bench {
    pub(super) fn read(matches: &ArgMatches) -> Self {
        let number = |name: &str| matches.get_one::<u64>(name).copied();
        let count = |name: &str| number(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
        let duration = matches.get_one("duration").copied();
        Self {
            jobs: count("jobs"),
            events: if duration.is_some() { MOST_EVENTS } else { number("events").unwrap_or(1) },
            bytes: number("bytes").unwrap_or(1),
            rate: number("rate"),
            subscribers: count("subscribers"),
            duration,
            json: matches.get_flag("json"),
        }
    }
}
