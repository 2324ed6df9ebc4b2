//! What a client can lose, see twice or see out of order in a runtime that was not built for it: it does not here.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::{Bench, Client, runtime_options, with_sessions};
use futures_util::future::join_all;
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Level, Outcome};
use serde_json::{Value, json};

/// How long the long ones among these tests may take on a machine that does other things too.
const LONG: Duration = Duration::from_secs(300);

/// The text that the echo agent logs as its n-th of so many.
fn text(n: u64, of: u64) -> String {
    format!("event {n} of {of}")
}

async fn submit(client: &mut Client, id: &str, agent: &str, input: Value) -> String {
    client.say(id, "job.submit", json!({ "agent": agent, "input": input })).await;
    client.recv_type("job.accepted").await["job_id"].as_str().unwrap().to_owned()
}

fn is_end(frame: &Value) -> bool {
    frame["type"] == "job.result" || frame["type"] == "job.error"
}

/// The next numbered frame.
async fn numbered(client: &mut Client) -> Value {
    loop {
        let frame = client.recv().await.expect("the connection goes on");
        assert_ne!(frame["type"], "session.error", "{frame}");
        if frame["event_seq"].is_u64() {
            return frame;
        }
    }
}

/// Every numbered frame up to and with the end of the job.
async fn to_the_end(client: &mut Client, job: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        seen.push(numbered(client).await);
        let last = seen.last().unwrap();
        if is_end(last) && last["job_id"] == job {
            return seen;
        }
    }
}

/// What matters of a numbered frame: all but the time, the ids and the trace.
fn essence(frame: &Value) -> Value {
    let payload = &frame["payload"];
    json!([frame["type"], frame["event_seq"], payload["kind"], payload["body"], payload["result"]])
}

fn assert_dense(seen: &[Value], context: &str) {
    let numbers: Vec<_> = seen.iter().map(|frame| frame["event_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=seen.len() as u64).collect::<Vec<_>>(), "{context}");
}

/// The texts of one job's log events.
fn logged<'a>(seen: &'a [Value], job: &str) -> Vec<&'a str> {
    let of_job = seen.iter().filter(|frame| frame["job_id"] == job);
    of_job.filter_map(|frame| frame["payload"]["body"]["message"].as_str()).collect()
}

async fn resume(bench: &Bench, session: &str, token: &str, last: u64) -> (Client, String) {
    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({ "session_id": session, "resume_token": token, "last_event_seq": last });
    bench.open(&hello).await
}

#[tokio::test]
async fn a_socket_that_drops_after_every_frame_loses_and_repeats_nothing() {
    const EVENTS: u64 = 1_000;
    let bench = Bench::start().await;
    let input = json!({ "echo": { "events": EVENTS } });
    let mut undisturbed = bench.client().await;
    let job = submit(&mut undisturbed, "msg_1", "echo", input.clone()).await;
    let expected: Vec<_> = to_the_end(&mut undisturbed, &job).await.iter().map(essence).collect();
    assert_eq!(expected.len() as u64, EVENTS + 1);

    let dropping = async {
        let (mut client, mut token) = bench.open(&bench.hello()).await;
        let session = client.session.clone().unwrap();
        submit(&mut client, "msg_1", "echo", input).await;
        let mut seen: Vec<Value> = Vec::new();
        while !seen.last().is_some_and(is_end) {
            drop(client);
            (client, token) = resume(&bench, &session, &token, seen.len() as u64).await;
            assert_eq!(client.session.as_ref(), Some(&session));
            seen.push(numbered(&mut client).await);
        }
        seen
    };
    let seen = tokio::time::timeout(LONG, dropping).await.expect("a thousand reconnections");
    assert_eq!(seen.iter().map(essence).collect::<Vec<_>>(), expected);
}

/// Emits from many tasks at once.
struct Choir;

const VOICES: u64 = 64;
const SONGS: u64 = 20;

#[async_trait]
impl Agent for Choir {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "choir@1.0.0".parse().unwrap(),
            description: "many voices".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let voices = (0..VOICES).map(|voice| {
            let job = job.clone();
            async move {
                for song in 0..SONGS {
                    job.log(Level::Info, format!("{voice}/{song}")).await.map_err(|_| Failure::cancelled())?;
                }
                Ok::<(), Failure>(())
            }
        });
        join_all(voices).await.into_iter().collect::<Result<(), Failure>>()?;
        Outcome::of(&(VOICES * SONGS)).map_err(|error| Failure::internal(&error))
    }
}

/// Emitters in one job and in as many jobs of one session.
#[tokio::test]
async fn the_frames_of_64_emitters_are_dense_and_in_order() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Choir)]).await;
    let mut client = bench.client().await;
    let job = submit(&mut client, "msg_1", "choir", json!(null)).await;
    let seen = to_the_end(&mut client, &job).await;
    assert_dense(&seen, "one job");
    assert_eq!(seen.len() as u64, VOICES * SONGS + 1);
    for voice in 0..VOICES {
        let own: Vec<_> =
            logged(&seen, &job).into_iter().filter(|line| line.starts_with(&format!("{voice}/"))).collect();
        let expected: Vec<_> = (0..SONGS).map(|song| format!("{voice}/{song}")).collect();
        assert_eq!(own, expected, "each task's events stay in its order");
    }

    let mut client = bench.client().await;
    for n in 0..VOICES {
        let input = json!({ "echo": { "events": SONGS } });
        client.say(&format!("msg_{n}"), "job.submit", json!({ "agent": "echo", "input": input })).await;
    }
    let (mut seen, mut ended) = (Vec::new(), Vec::new());
    while (ended.len() as u64) < VOICES {
        let frame = numbered(&mut client).await;
        if is_end(&frame) {
            ended.push(frame["job_id"].as_str().unwrap().to_owned());
        }
        seen.push(frame);
    }
    assert_dense(&seen, "many jobs");
    for job in &ended {
        assert_eq!(logged(&seen, job), (1..=SONGS).map(|n| text(n, SONGS)).collect::<Vec<_>>(), "{job}");
    }
}

#[tokio::test]
async fn fifty_observers_of_a_burst_see_it_once_in_order_and_to_the_end() {
    const OBSERVERS: usize = 50;
    const EVENTS: u64 = 2_000;
    let options = with_sessions(2 * OBSERVERS);
    let bench = Bench::with_agents(options, Vec::new()).await;
    let mut owner = bench.client().await;
    let mut observers = Vec::new();
    for _ in 0..OBSERVERS {
        observers.push(bench.client().await);
    }
    let job = submit(&mut owner, "msg_1", "echo", json!({ "echo": { "events": EVENTS } })).await;
    let watch = |mut observer: Client, job: String, n: usize| async move {
        observer.say("msg_watch", "job.subscribe", json!({ "job_id": job, "history": true })).await;
        let first = observer.recv().await.unwrap();
        assert_eq!(first["type"], "job.subscribed", "observer {n}: {first}");
        let seen = to_the_end(&mut observer, &job).await;
        assert_dense(&seen, &format!("observer {n}"));
        assert_eq!(logged(&seen, &job), (1..=EVENTS).map(|n| text(n, EVENTS)).collect::<Vec<_>>(), "observer {n}");
        assert_eq!(seen.len() as u64, EVENTS + 1, "observer {n}");
        // Nothing follows the end.
        observer.echo(json!(n)).await;
    };
    let watching = observers.into_iter().enumerate().map(|(n, observer)| watch(observer, job.clone(), n));
    let (_, own) = tokio::join!(join_all(watching), to_the_end(&mut owner, &job));
    assert_eq!(own.len() as u64, EVENTS + 1);
    watch(bench.client().await, job, OBSERVERS).await;
}

/// The owner sees all of its job while an observer reads nothing; the observer then comes back for all of it.
#[tokio::test]
async fn an_observer_that_stops_reading_delays_nobody_and_can_come_back() {
    // More than the sockets between the two hold.
    const EVENTS: u64 = 40_000;
    let bench = Bench::start().await;
    let mut owner = bench.client().await;
    let (mut observer, token) = bench.open(&bench.hello()).await;
    let session = observer.session.clone().unwrap();
    let job = submit(&mut owner, "msg_1", "echo", json!({ "echo": { "events": EVENTS } })).await;
    observer.say("msg_watch", "job.subscribe", json!({ "job_id": job, "history": true })).await;
    observer.recv_type("job.subscribed").await;

    let own = tokio::time::timeout(LONG, to_the_end(&mut owner, &job)).await.expect("the owner is not delayed");
    assert_eq!(own.len() as u64, EVENTS + 1);
    owner.echo(json!("and goes on")).await;

    let (mut back, _) = resume(&bench, &session, &token, 0).await;
    drop(observer);
    let seen = tokio::time::timeout(LONG, to_the_end(&mut back, &job)).await.expect("the observer gets the rest");
    assert_eq!(seen.iter().map(essence).collect::<Vec<_>>(), own.iter().map(essence).collect::<Vec<_>>());
}

/// Whoever has seen a job's end and asks for what follows it waits for nothing: the session is done when it is closed.
#[tokio::test]
async fn history_after_the_end_of_a_job_is_not_waited_for() {
    let bench = Bench::start().await;
    let mut owner = bench.client().await;
    let job = submit(&mut owner, "msg_1", "echo", json!({ "echo": { "events": 3 } })).await;
    let last = to_the_end(&mut owner, &job).await.len();

    let (mut observer, token) = bench.open(&bench.hello()).await;
    for from in [last, last + 5] {
        let payload = json!({ "job_id": job, "history": true, "from_event_seq": from });
        observer.say("msg_watch", "job.subscribe", payload).await;
        let subscribed = observer.recv_type("job.subscribed").await;
        assert_eq!(subscribed["payload"]["replayed"], false, "{subscribed}");
        assert_eq!(subscribed["payload"]["current_status"], "success", "{subscribed}");
    }
    observer.say("msg_close", "session.close", json!({})).await;
    observer.recv_type("session.closed").await;
    let mut again = bench.connect().await;
    let mut hello = bench.hello();
    hello["payload"]["resume"] = json!({ "session_id": observer.session, "resume_token": token, "last_event_seq": 0 });
    again.send(&hello).await;
    assert_eq!(again.recv().await.unwrap()["payload"]["code"], "RESUME_WINDOW_EXPIRED");
}
