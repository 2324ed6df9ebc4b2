//! A runtime that keeps its promises over a network that keeps none: whatever is cut, repeated, refused or left out, the
//! program sees every record of its job once and in order. One generator decides; its seed is in every failure.

use std::time::Duration;

use moorline_client::{ConnectOptions, JobHandle, JobUpdate};
use serde_json::json;

use crate::peer::{Peer, soon, submitted};
use crate::rig::{Rig, options, resumable};

/// Runs with seeds of their own, and records of each one's job.
const SEEDS: u64 = 200;
const RECORDS: u64 = 40;

/// More than the longest row of lost welcomes takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// SplitMix64: a generator that is a function of its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A runtime whose sessions see the records of one job, from its first.
struct Runtime {
    rig: Rig,
    dice: Dice,
    /// Which token was minted last.
    token: u64,
}

impl Runtime {
    /// Sends some records, or less than that, until the job is over or the connection is.
    async fn serve(&mut self, mut peer: Peer, from: u64) -> Option<Peer> {
        let mut next = from;
        while next <= RECORDS {
            match self.dice.roll(12) {
                0 => return None,
                // Some again, as a resume may.
                1 if next > 1 => next -= 1 + self.dice.roll((next - 1).min(3)),
                // Some left out: the client has to notice. What is left out again when it was asked for is lost, so
                // that does not happen here.
                2 if next > from => next += 1 + self.dice.roll(2),
                _ => {}
            }
            if next > RECORDS {
                return None;
            }
            if peer.try_event(next).await.is_err() {
                return None;
            }
            next += 1;
        }
        Some(peer)
    }

    /// The client comes back: to its session, or to a new one. Answers what the connection begins with.
    async fn welcome_back(&mut self) -> (Peer, u64) {
        loop {
            let mut peer = self.rig.next().await;
            let hello = peer.expect("session.hello").await;
            let resume = &hello["payload"]["resume"];
            match self.dice.roll(8) {
                // The welcome is lost.
                0 => {}
                1 if resume.is_object() => {
                    let error = json!({"code": "RESUME_WINDOW_EXPIRED", "message": "gone", "retryable": false});
                    peer.send("session.error", &error).await;
                    assert!(peer.next().await.is_none());
                }
                _ if resume.is_object() => {
                    assert_eq!(resume["resume_token"], format!("rt_{}", self.token));
                    self.token += 1;
                    peer.send("session.welcome", &resumable(&format!("rt_{}", self.token))).await;
                    return (peer, resume["last_event_seq"].as_u64().unwrap() + 1);
                }
                _ => {
                    self.token += 1;
                    peer.send("session.welcome", &resumable(&format!("rt_{}", self.token))).await;
                    let subscribe = peer.expect("job.subscribe").await;
                    assert_eq!(subscribe["payload"]["history"], true);
                    peer.send("job.subscribed", &json!({"job_id": "job_1", "current_status": "running"})).await;
                    return (peer, 1);
                }
            }
        }
    }
}

async fn read(job: &mut JobHandle, seed: u64) {
    let mut next = 1;
    while next <= RECORDS {
        let update = tokio::time::timeout(PATIENCE, job.next()).await;
        let update = update.unwrap_or_else(|_| panic!("seed {seed}: record {next} does not come"));
        match update.unwrap().unwrap() {
            JobUpdate::Event(event) => {
                let said: serde_json::Value = event.body.to().unwrap();
                assert_eq!(said["message"], next.to_string(), "seed {seed}");
                next += 1;
            }
            JobUpdate::Gap(gap) => assert!(!gap.loses(), "seed {seed}: {gap}"),
            other @ (JobUpdate::CancelRequested { .. }
            | JobUpdate::Unreadable(_)
            | JobUpdate::Result { .. }
            | JobUpdate::Error { .. }) => panic!("seed {seed}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_network_does_every_record_is_seen_once_and_in_order() {
    for seed in 0..SEEDS {
        let patient = ConnectOptions { reconnect: moorline_client::ReconnectPolicy::Always, ..options() };
        let (client, mut peer, rig) = Rig::connected(patient).await;
        let mut job = submitted(&client, &mut peer, "job_1").await;
        let mut runtime = Runtime { rig, dice: Dice(seed), token: 1 };
        let serve = async {
            let mut from = 1;
            // To the end of the job, and until the program has it.
            loop {
                let _idle = runtime.serve(peer, from).await;
                (peer, from) = runtime.welcome_back().await;
            }
        };
        tokio::select! {
            () = read(&mut job, seed) => {}
            never = serve => never,
        }
        soon("the end", client.close(None)).await;
    }
}
