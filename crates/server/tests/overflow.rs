//! A client that does not read: what its subscription says becomes of what it does not take.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use common::{Bench, Client, PATIENCE, runtime_options};
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Level, Metric, Number, Outcome, Progress};
use serde_json::{Value, json};

/// More than the sockets between the two hold.
const EVENTS: u64 = 90_000;

/// Reports progress and two metrics many times, and says something in between.
#[derive(Debug)]
struct Gauge;

#[async_trait]
impl Agent for Gauge {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "gauge@1.0.0".parse().unwrap(),
            description: "measures".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let failed = |_| Failure::cancelled();
        for n in 0..EVENTS / 3 {
            let progress = Progress { current: n, total: Some(EVENTS / 3), units: None, message: None };
            job.progress(progress).await.map_err(failed)?;
            let name = if n % 2 == 0 { "even" } else { "odd" }.to_owned();
            let metric = Metric { name, value: Number::from(n), unit: None, dimensions: BTreeMap::new() };
            job.metric(metric).await.map_err(failed)?;
            if n % 1_000 == 0 {
                job.log(Level::Info, format!("{n}")).await.map_err(failed)?;
            }
        }
        Outcome::of(&"done").map_err(|error| Failure::internal(&error))
    }
}

async fn client(bench: &Bench, gaps: bool) -> (Client, String) {
    let mut hello = bench.hello();
    if gaps {
        hello["payload"]["capabilities"]["features"].as_array_mut().unwrap().push(json!("x-vendor.moorline.gap"));
    }
    let mut client = bench.connect().await;
    client.send(&hello).await;
    let welcome = client.recv().await.unwrap();
    client.session = welcome["session_id"].as_str().map(str::to_owned);
    (client, welcome["payload"]["resume_token"].as_str().unwrap().to_owned())
}

async fn say_with(client: &mut Client, message_type: &str, overflow: &str, payload: Value) {
    let session = client.session.clone();
    let extensions = json!({ "x-vendor.moorline.subscribe": { "overflow": overflow } });
    client
        .send(&json!({
            "arcp": "1.1", "id": "msg_1", "type": message_type, "session_id": session, "payload": payload,
            "extensions": extensions,
        }))
        .await;
}

async fn submit_with(client: &mut Client, agent: &str, overflow: &str) {
    let input = json!({ "echo": { "events": EVENTS } });
    say_with(client, "job.submit", overflow, json!({ "agent": agent, "input": input })).await;
    client.recv_type("job.accepted").await;
}

async fn until_the_job_is_over(bench: &Bench) {
    let ended = async {
        while bench.gateway.open_jobs() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE * 6, ended).await.expect("the job ends although nobody reads it");
}

/// What the client was sent, and what it was told is missing.
#[derive(Default)]
struct Account {
    frames: Vec<Value>,
    gaps: Vec<Value>,
}

impl Account {
    /// Reads to the end of the job. Every number is either sent or told to be missing, in order.
    async fn of(client: &mut Client) -> Self {
        let mut account = Self::default();
        let mut next = 1;
        loop {
            let frame = client.recv().await.unwrap();
            if frame["type"] == "x-vendor.moorline.gap" {
                let gap = &frame["payload"];
                assert_eq!(gap["from"], next, "{frame}");
                next = gap["to"].as_u64().unwrap() + 1;
                assert_eq!(gap["next"], next, "{frame}");
                account.gaps.push(gap.clone());
            } else if frame["event_seq"].is_u64() {
                assert_eq!(frame["event_seq"], next, "{frame}");
                next += 1;
                let ended = frame["type"] == "job.result";
                account.frames.push(frame);
                if ended {
                    return account;
                }
            }
        }
    }

    fn bodies(&self, kind: &str) -> Vec<&Value> {
        let of_kind = self.frames.iter().filter(|frame| frame["payload"]["kind"] == kind);
        of_kind.map(|frame| &frame["payload"]["body"]).collect()
    }
}

#[tokio::test]
async fn whoever_skips_is_moved_ahead_and_told_what_was_left_out() {
    let bench = Bench::start().await;
    let (mut client, token) = client(&bench, true).await;
    submit_with(&mut client, "echo", "skip").await;
    until_the_job_is_over(&bench).await;
    let account = Account::of(&mut client).await;
    assert!(!account.gaps.is_empty(), "the client was not behind: {} frames", account.frames.len());
    assert!(account.gaps.iter().all(|gap| gap["reason"] == "skipped"));
    let last = account.bodies("log").last().unwrap()["message"].as_str().unwrap().to_owned();
    assert_eq!(last, format!("event {EVENTS} of {EVENTS}"), "it is where things are");

    // What was left out is in the journal: whoever comes back for it, without the wish to be ahead, gets it.
    let session = client.session.clone();
    drop(client);
    let mut back = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({ "session_id": session, "resume_token": token, "last_event_seq": 0 });
    back.send(&hello).await;
    let account = Account::of(&mut back).await;
    assert_eq!((account.frames.len() as u64, account.gaps.len()), (EVENTS + 1, 0));
}

#[tokio::test]
async fn whoever_wants_the_latest_gets_it_and_everything_that_nothing_replaces() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Gauge)]).await;
    let (mut client, _) = client(&bench, true).await;
    submit_with(&mut client, "gauge", "latest").await;
    until_the_job_is_over(&bench).await;
    let account = Account::of(&mut client).await;
    assert!(!account.gaps.is_empty(), "the client was not behind: {} frames", account.frames.len());
    assert!(account.gaps.iter().all(|gap| gap["reason"] == "superseded"));
    let said: Vec<_> = account.bodies("log").iter().map(|body| body["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, (0..EVENTS / 3).step_by(1_000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(account.bodies("progress").last().unwrap()["current"], EVENTS / 3 - 1);
    for (name, last) in [("even", EVENTS / 3 - 2), ("odd", EVENTS / 3 - 1)] {
        let of_name = account.bodies("metric").into_iter().rfind(|body| body["name"] == name).unwrap();
        assert_eq!(of_name["value"], last, "{name}");
    }
}

#[tokio::test]
async fn whoever_asks_to_be_disconnected_is_and_can_resume() {
    let bench = Bench::start().await;
    let (mut client, token) = client(&bench, false).await;
    submit_with(&mut client, "echo", "disconnect").await;
    until_the_job_is_over(&bench).await;
    let mut last = 0;
    let error = loop {
        let frame = client.recv().await.unwrap();
        match frame["event_seq"].as_u64() {
            Some(number) => {
                assert_eq!(number, last + 1);
                last = number;
            }
            None => break frame,
        }
    };
    assert_eq!((&error["type"], &error["payload"]["retryable"]), (&json!("session.error"), &json!(true)), "{error}");
    assert_eq!(error["payload"]["details"]["limit"], 1_000, "{error}");
    assert!(client.recv().await.is_none(), "the connection is closed");

    let mut back = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({ "resume_token": token, "last_event_seq": last });
    back.send(&hello).await;
    assert_eq!(back.recv().await.unwrap()["type"], "session.welcome");
    assert_eq!(back.recv().await.unwrap()["event_seq"], last + 1);
}

#[tokio::test]
async fn whoever_cannot_be_told_of_gaps_has_nothing_left_out() {
    let bench = Bench::start().await;
    let (mut client, _) = client(&bench, false).await;
    for overflow in ["skip", "latest"] {
        say_with(&mut client, "job.submit", overflow, json!({ "agent": "echo", "input": null })).await;
        let refused = client.recv_type("session.error").await;
        assert_eq!(refused["payload"]["details"]["feature"], "x-vendor.moorline.gap", "{refused}");
    }
    say_with(&mut client, "job.submit", "sometimes", json!({ "agent": "echo", "input": null })).await;
    let refused = client.recv_type("session.error").await;
    assert_eq!(refused["payload"]["code"], "INVALID_REQUEST", "{refused}");
    submit_with(&mut client, "echo", "catch_up").await;
    until_the_job_is_over(&bench).await;
    assert_eq!(Account::of(&mut client).await.frames.len() as u64, EVENTS + 1);
}
