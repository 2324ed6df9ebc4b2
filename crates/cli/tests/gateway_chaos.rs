//! Many gateway sessions whose gateway is killed again and again, and a client that loses its connection all the time.
//!
//! `MOORLINE_GATEWAY_CHAOS=full` makes it 64 sessions, 20 kills and 1,000 lost connections, which `cargo xtask gateway-chaos`
//! does; `MOORLINE_CHAOS_SEED` repeats what a seed decides.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::plant::{self, LEAVE, TIDY, Told};
use common::survival::chances;
use common::{Gateway, wait_for, workers_of};
use rustix::process::Signal;

/// Sessions, kills and lost connections of a usual run, and of a full one.
const USUAL: (usize, usize, usize) = (8, 4, 60);
const FULL: (usize, usize, usize) = (64, 20, 1_000);

/// By when a worker has to be adopted, at the 99th percentile, from the gateway's open door on.
const ADOPTION: Duration = Duration::from_secs(2);

fn size() -> (usize, usize, usize) {
    if std::env::var("MOORLINE_GATEWAY_CHAOS").is_ok_and(|size| size == "full") { FULL } else { USUAL }
}

fn seed() -> Option<u64> {
    std::env::var("MOORLINE_CHAOS_SEED").ok().map(|text| text.parse().unwrap())
}

fn config(sessions: usize) -> String {
    // The window holds what is counted in the longest time without a gateway that a busy machine brings about.
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nmax_sessions = {sessions}\nstartup_timeout = \"2m\"\n\
         detach_grace = \"5m\"\nreplay_events = 100000\nreplay_age = \"0s\"\n"
    )
}

#[expect(clippy::disallowed_methods, reason = "other processes have no other clock")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "what a full run has measured")]
async fn every_session_is_adopted_however_often_the_gateway_is_killed_and_none_leaks() {
    let (sessions, kills, _) = size();
    let config = config(sessions);
    let mut rng = chances(seed());
    let mut gateway = Gateway::with(&config, LEAVE);
    let mut open = Vec::new();
    let mut api = plant::api(&gateway).await;
    for _ in 0..sessions {
        open.push(plant::open(&mut api, 200).await.unwrap());
        plant::advise(&mut api, &open.last().unwrap().session_id).await;
    }
    let workers = workers_of(&gateway.data_dir());
    assert_eq!(workers.len(), sessions);
    let mut seen: BTreeMap<usize, (i64, u64)> = BTreeMap::new();
    let mut took = Vec::new();
    for kill in 1..=kills {
        let (home, _) = gateway.end(Signal::KILL);
        // not a wait: the moment is what is tried
        tokio::time::sleep(Duration::from_millis(rng.u64(0..300))).await;
        gateway = Gateway::over(home, &config, LEAVE);
        let begun = now();
        api = plant::api(&gateway).await;
        for session in &open {
            assert!(plant::is_ready(&mut api, &session.session_id).await, "{} after kill {kill}", session.session_id);
            took.push(begun.elapsed());
        }
        assert_eq!(workers_of(&gateway.data_dir()), workers, "after kill {kill}: the same processes, and no others");
        // A few are read on after each kill, and all of them are in their turn: without a gap, and nothing twice.
        for number in (0..sessions).filter(|number| number % 4 == kill % 4) {
            read_on(&mut api, &open[number], seen.entry(number).or_default()).await;
        }
    }
    took.sort_unstable();
    let p99 = took[(took.len() - 1) * 99 / 100];
    println!("{sessions} sessions, {kills} kills, all adopted: p99 {p99:?}, the last after {:?}", took.last().unwrap());
    for session in &open {
        plant::close(&mut api, &session.session_id).await;
    }
    assert!(plant::list(&mut api).await.is_empty());
    let data = gateway.data_dir();
    wait_for("every worker is gone", || workers_of(&data).is_empty());
    // Every place is free.
    let again = plant::open(&mut api, 200).await.unwrap();
    plant::close(&mut api, &again.session_id).await;
    let (home, _) = gateway.end(Signal::TERM);
    let data = home.path().join("data");
    wait_for("nothing is left", || workers_of(&data).is_empty());
    // Last, so that a busy machine hides nothing of what is true on every machine.
    assert!(size() == USUAL || p99 < ADOPTION, "adopted after {p99:?}");
}

/// Reads a few counts on from where this session was left.
async fn read_on(api: &mut plant::Api, session: &moorline_gateway_proto::v1::Session, (last, after): &mut (i64, u64)) {
    let mut events = plant::stream(api, session, *after).await.unwrap();
    for _ in 0..5 {
        let Told::Count { count, seq } = plant::next(&mut events).await.unwrap() else {
            panic!("{}: a gap after {after}", session.session_id)
        };
        assert!(*after == 0 || count == *last + 1, "{}: {count} after {last}", session.session_id);
        (*last, *after) = (count, seq);
    }
}

/// The client goes away at any moment, comes back with the number that it has seen last, and once in a while so late that
/// the window has gone on. Every count comes once, or is covered by a gap.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "what a full run has counted")]
async fn a_client_that_loses_its_connection_all_the_time_has_every_event_once_or_a_gap() {
    let (_, _, cuts) = size();
    let mut rng = chances(seed());
    let config = "[gateway]\nlisten = \"127.0.0.1:0\"\nmultiple_subscribers = true\nreplay_events = 100\n";
    let gateway = Gateway::with(config, TIDY);
    let mut api = plant::api(&gateway).await;
    let session = plant::open(&mut api, 2).await.unwrap();
    plant::advise(&mut api, &session.session_id).await;
    let mut events = plant::stream(&mut api, &session, 0).await.unwrap();
    let Told::Count { count: first, seq } = plant::next(&mut events).await.unwrap() else { panic!("a gap at first") };
    let (mut last, mut after) = (first, seq);
    let (mut got, mut gaps, mut missed) = (1_i64, 0, 0_i64);
    for cut in 0..cuts {
        drop(events);
        // Half of the connections are lost with their stream, the rest leave only that.
        if rng.bool() {
            api = plant::api(&gateway).await;
        }
        let late = rng.u8(0..10) == 0;
        // not a wait: the moment is what is tried
        tokio::time::sleep(Duration::from_millis(if late { rng.u64(300..600) } else { rng.u64(0..20) })).await;
        events = plant::stream(&mut api, &session, after).await.unwrap();
        let mut is_gap = false;
        for _ in 0..rng.u64(1..40) {
            match plant::next(&mut events).await.unwrap() {
                Told::Gap { oldest } => {
                    assert!(oldest > after + 1, "cut {cut}: a gap of nothing, after {after}");
                    (gaps, is_gap) = (gaps + 1, true);
                }
                Told::Count { count, seq } => {
                    assert!(count > last, "cut {cut}: {count} comes after {last}");
                    assert!(is_gap || count == last + 1, "cut {cut}: {count} after {last} and no gap");
                    missed += count - last - 1;
                    got += 1;
                    (last, after, is_gap) = (count, seq, false);
                }
            }
        }
    }
    assert_eq!(got + missed, last - first + 1, "each once, or covered");
    println!("{cuts} lost connections: {got} counts once each, {gaps} gaps cover {missed}");
    assert!(cuts < 100 || gaps > 0, "no gap was tried");
    plant::close(&mut api, &session.session_id).await;
}
