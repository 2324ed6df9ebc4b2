//! The worker's back end against the server, while the network between them fails.
//!
//! `MOORLINE_OPCUA_SEED` repeats a run; `cargo xtask opcua-cuts` does it longer, and against a server of other software.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use moorline_opcua_testkit::watch::OfBackend;
use moorline_opcua_testkit::worker::{self, Wanted};
use moorline_opcua_testkit::{Options, Outcome, Proxy, Schedule, TestServer, Trial};

/// Cuts of a run that nobody has asked for more.
const CUTS: usize = 6;

/// The longest cut.
const LONGEST: Duration = Duration::from_millis(1_500);

fn seed() -> u64 {
    let asked = std::env::var("MOORLINE_OPCUA_SEED").ok();
    asked.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap())
}

async fn run(seed: u64, wanted: Wanted) -> Outcome {
    let server = TestServer::start(Options::default()).await.unwrap();
    let network = Proxy::to(server.address()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let url = format!("opc.tcp://{}/", network.address());
    let mut backend = worker::open(&url, wanted, directory.path()).await.unwrap();
    let schedule = Schedule::new(seed, CUTS).at_most(LONGEST);
    let outcome = Trial::new(&mut OfBackend::new(&mut *backend), &network).run(schedule).await;
    backend.close().await;
    outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"))
}

#[tokio::test]
async fn whatever_is_cut_nothing_is_lost_and_nothing_comes_twice() {
    let seed = seed();
    let outcome = run(seed, Wanted::default()).await;
    assert!(outcome.counts.is_exact(), "seed {seed}: {outcome:?}");
    assert!(outcome.connections > CUTS, "seed {seed}: the cuts have cut nothing: {outcome:?}");
}

#[tokio::test]
async fn what_a_queue_that_is_too_short_loses_is_told() {
    let seed = seed();
    let outcome = run(seed, Wanted { queue: 2, ..Wanted::default() }).await;
    assert!(outcome.counts.lost > 0, "seed {seed}: {outcome:?}");
    assert!(outcome.counts.gaps_told > 0, "seed {seed}: {outcome:?}");
    assert_eq!(outcome.counts.doubled, 0, "seed {seed}: {outcome:?}");
}
