//! Acknowledgements: of what the program has taken, and not before.

use serde_json::json;
use tokio::time::{Duration, Instant, timeout};

use crate::peer::{seq, submitted, update};
use crate::rig::{Rig, options};

/// Longer than an acknowledgement waits.
const QUIET: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn what_the_program_has_not_taken_is_not_acknowledged() {
    let (client, mut peer, _rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    for number in 1..=40 {
        peer.log("job_1", number).await;
    }
    assert!(timeout(QUIET, peer.next()).await.is_err(), "nothing was taken");
    let begin = Instant::now();
    for expected in 1..=5 {
        assert_eq!(seq(&update(&mut job).await), expected);
    }
    let ack = peer.expect("session.ack").await;
    assert_eq!(ack["payload"], json!({"last_processed_seq": 5}));
    assert_eq!(begin.elapsed(), Duration::from_millis(250));
    for expected in 6..=40 {
        assert_eq!(seq(&update(&mut job).await), expected);
    }
    let acked = peer.expect("session.ack").await["payload"]["last_processed_seq"].as_u64().unwrap();
    assert!((37..=40).contains(&acked), "{acked}");
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_dropped_holds_no_acknowledgement_up() {
    let (client, mut peer, _rig) = Rig::connected(options()).await;
    let job = submitted(&client, &mut peer, "job_1").await;
    let mut other = submitted(&client, &mut peer, "job_2").await;
    peer.log("job_1", 1).await;
    peer.log("job_2", 2).await;
    assert_eq!(seq(&update(&mut other).await), 2);
    assert!(timeout(QUIET, peer.next()).await.is_err(), "the first was not taken");
    drop(job);
    assert_eq!(peer.expect("session.ack").await["payload"]["last_processed_seq"], 2);
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_go_on_where_they_were_when_the_session_is_resumed() {
    let (client, mut peer, mut rig) = Rig::connected(options()).await;
    let mut job = submitted(&client, &mut peer, "job_1").await;
    peer.log("job_1", 1).await;
    assert_eq!(seq(&update(&mut job).await), 1);
    peer.expect("session.ack").await;
    drop(peer);
    let mut peer = rig.welcomed("rt_2", Some(("rt_1", 1))).await;
    assert!(timeout(QUIET, peer.next()).await.is_err(), "one is said once");
    peer.log("job_1", 2).await;
    assert_eq!(seq(&update(&mut job).await), 2);
    assert_eq!(peer.expect("session.ack").await["payload"]["last_processed_seq"], 2);
}
