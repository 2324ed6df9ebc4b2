//! A client of a gateway session that loses its connection all the time.
//!
//! `MOORLINE_GATEWAY_CHAOS=full` makes it 1,000 lost connections, which `cargo xtask gateway-chaos` does;
//! `MOORLINE_CHAOS_SEED` repeats what a seed decides.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::time::Duration;

use common::Gateway;
use common::plant::{self, TIDY, Told};
use common::survival::chances;

/// Lost connections of a usual run, and of a full one.
const USUAL: usize = 60;
const FULL: usize = 1_000;

fn size() -> usize {
    if std::env::var("MOORLINE_GATEWAY_CHAOS").is_ok_and(|size| size == "full") { FULL } else { USUAL }
}

fn seed() -> Option<u64> {
    std::env::var("MOORLINE_CHAOS_SEED").ok().map(|text| text.parse().unwrap())
}

/// The client goes away at any moment, comes back with the number that it has seen last, and once in a while so late that
/// the window has gone on. Every count comes once, or is covered by a gap.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "what a full run has counted")]
async fn a_client_that_loses_its_connection_all_the_time_has_every_event_once_or_a_gap() {
    let cuts = size();
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
