//! What jobs may do and spend when several take from one lease: what official SDKs get wrong, told over a real socket.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Bench, Client, leasing, runtime_options};
use futures_util::future::join_all;
use moorline_types::Capability;
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Outcome};
use serde_json::{Value, json};

/// Does what its input says, one after the other, and returns what became of each: asks whether it may do something to a
/// target, or says what something has cost.
struct Asking;

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    May(String, String),
    Cost(String),
}

#[async_trait]
impl Agent for Asking {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "asking@1.0.0".parse().unwrap(),
            description: "for tests".to_owned(),
            capacity: 16,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let mut told = Vec::new();
        for step in job.input::<Vec<Step>>()? {
            told.push(match step {
                Step::May(capability, target) => {
                    let capability: Capability = capability.parse().unwrap();
                    match job.authorize(capability, &target).await {
                        Ok(()) => "OK".to_owned(),
                        Err(error) => Failure::from(error).code.to_string(),
                    }
                }
                Step::Cost(amount) => {
                    job.cost("step", amount.parse().unwrap(), "USD").await?;
                    "PAID".to_owned()
                }
            });
        }
        Ok(Outcome::of(&told)?)
    }
}

async fn start() -> (Bench, Client) {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Asking)]).await;
    let client = client(&bench).await;
    (bench, client)
}

async fn client(bench: &Bench) -> Client {
    bench.open(&leasing(bench.hello())).await.0
}

/// What a submission is answered: the acceptance, or the refusal.
async fn submit(client: &mut Client, payload: &Value) -> Result<Value, Value> {
    client.say("msg_1", "job.submit", payload.clone()).await;
    loop {
        let frame = client.recv().await.unwrap();
        match frame["type"].as_str().unwrap() {
            "job.accepted" => return Ok(frame["payload"].clone()),
            "session.error" => return Err(frame["payload"].clone()),
            _ => {}
        }
    }
}

/// A job that goes on until it is cancelled, and may give away what the lease has.
async fn parent(client: &mut Client, lease: Value, constraints: Value) -> String {
    let mut lease_request = lease;
    lease_request["agent.delegate"] = json!(["*"]);
    let waiting = json!({ "echo": { "events": 1, "delay_ms": 3_600_000 } });
    let payload = json!({ "agent": "echo", "input": waiting, "lease_request": lease_request,
        "lease_constraints": constraints });
    submit(client, &payload).await.unwrap()["job_id"].as_str().unwrap().to_owned()
}

fn below(parent: &str, input: &Value, lease: &Value) -> Value {
    json!({ "agent": "asking", "input": input, "lease_request": lease, "parent_job_id": parent })
}

/// What the job that was submitted last has returned.
async fn result(client: &mut Client) -> Value {
    client.recv_type("job.result").await["payload"]["result"].clone()
}

/// H13, GO-14, JV-7, CS-11, CS-14: what is no amount is refused wherever it is said, and names what is wrong.
#[tokio::test]
async fn a_budget_that_is_no_amount_is_refused_for_a_job_and_for_its_children() {
    let (_bench, mut client) = start().await;
    let parent = parent(&mut client, json!({ "cost.budget": ["USD:1"] }), json!({})).await;
    for entry in ["USD:NaN", "USD:Inf", "USD:1e3", "USD:-1", "USD:", "USD", ":1", "USD:1 ", "USD:+1", "USD:.5"] {
        let lease = json!({ "cost.budget": [entry] });
        for payload in
            [json!({ "agent": "asking", "input": [], "lease_request": lease }), below(&parent, &json!([]), &lease)]
        {
            let refused = submit(&mut client, &payload).await.unwrap_err();
            assert_eq!(refused["code"], "INVALID_REQUEST", "{entry}: {refused}");
            assert!(refused.to_string().contains("cost.budget"), "{entry}: {refused}");
        }
    }
    for typed in [json!([1]), json!("USD:1"), json!([null]), json!({ "USD": 1 })] {
        let payload = json!({ "agent": "asking", "input": [], "lease_request": { "cost.budget": typed } });
        assert_eq!(submit(&mut client, &payload).await.unwrap_err()["code"], "INVALID_REQUEST", "{typed}");
    }
    let whole = submit(&mut client, &below(&parent, &json!([]), &json!({ "cost.budget": ["USD:1"] }))).await;
    assert_eq!(whole.unwrap()["budget"], json!({ "USD": 1 }), "nothing was set aside for what was refused");
}

/// H13, A14, CS-14: a tenth ten times is one, whether it is given or spent.
#[tokio::test]
async fn amounts_are_added_up_and_spent_exactly() {
    let (_bench, mut client) = start().await;
    let may = json!({ "may": ["tool.call", "grep"] });
    let mut input = Vec::new();
    for _ in 0..10 {
        input.extend([may.clone(), json!({ "cost": "0.1" })]);
    }
    input.push(may);
    let lease = json!({ "tool.call": ["grep"], "cost.budget": vec!["USD:0.1"; 10] });
    let payload = json!({ "agent": "asking", "input": input, "lease_request": lease });
    assert_eq!(submit(&mut client, &payload).await.unwrap()["budget"], json!({ "USD": 1 }));
    let told = result(&mut client).await;
    let told: Vec<_> = told.as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    assert_eq!(told, [["OK", "PAID"].repeat(10), vec!["BUDGET_EXHAUSTED"]].concat());
}

/// H13, TS-16, JV-8, CS-15: what a child is given is its parent's no more, whoever asks at the same moment, and what it
/// leaves is.
#[tokio::test]
async fn children_at_once_are_given_no_more_than_their_parent_has() {
    let (bench, mut client) = start().await;
    let parent = parent(&mut client, json!({ "cost.budget": ["USD:1"] }), json!({})).await;
    let waiting = json!({ "echo": { "events": 1, "delay_ms": 3_600_000 } });
    let asks = (0..8).map(async |_| {
        let mut other = self::client(&bench).await;
        let payload = json!({ "agent": "echo", "input": waiting, "parent_job_id": parent,
            "lease_request": { "cost.budget": ["USD:0.3"] } });
        submit(&mut other, &payload).await
    });
    let (children, refused): (Vec<_>, Vec<_>) = join_all(asks).await.into_iter().partition(Result::is_ok);
    assert_eq!((children.len(), refused.len()), (3, 5));
    for refused in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!(refused["code"], "LEASE_SUBSET_VIOLATION", "{refused}");
        assert_eq!(refused["details"]["remaining"], "0.1", "{refused}");
    }
    // One that ends gives back what it has not spent.
    let spending = json!([{ "cost": "0.04" }]);
    submit(&mut client, &below(&parent, &spending, &json!({ "cost.budget": ["USD:0.1"] }))).await.unwrap();
    result(&mut client).await;
    for (asked, fits) in [("USD:0.0600000001", false), ("USD:0.06", true)] {
        let asked = submit(&mut client, &below(&parent, &json!([]), &json!({ "cost.budget": [asked] }))).await;
        assert_eq!(asked.is_ok(), fits, "{asked:?}");
    }
}

/// H14, PY-13, PY-14, CS-12, CS-13, JV-8: another spelling is no other right, in what is asked for and in what is done.
#[tokio::test]
async fn no_spelling_of_a_pattern_or_a_target_reaches_beyond_the_lease() {
    let (_bench, mut client) = start().await;
    let lease = json!({ "fs.read": ["/ws/*"], "fs.write": ["/ws/**"], "net.fetch": ["https://a.example/docs/**"] });
    let parent = parent(&mut client, lease.clone(), json!({})).await;
    for (namespace, pattern, code) in [
        ("fs.read", "/ws/**", "LEASE_SUBSET_VIOLATION"),
        ("fs.read", "/**", "LEASE_SUBSET_VIOLATION"),
        ("fs.read", "/WS/a", "LEASE_SUBSET_VIOLATION"),
        ("fs.read", "/ws/a/b", "LEASE_SUBSET_VIOLATION"),
        ("fs.read", "/ws/*/*", "LEASE_SUBSET_VIOLATION"),
        ("fs.write", "/w*/**", "LEASE_SUBSET_VIOLATION"),
        ("net.fetch", "https://a.example/**", "LEASE_SUBSET_VIOLATION"),
        ("net.fetch", "http://a.example/docs/x", "LEASE_SUBSET_VIOLATION"),
        ("tool.call", "grep", "LEASE_SUBSET_VIOLATION"),
        ("fs.read", "/ws/../etc/passwd", "INVALID_REQUEST"),
        ("fs.read", "/ws//a", "INVALID_REQUEST"),
        ("net.fetch", "https://a.example/docs/%2e%2e/x", "INVALID_REQUEST"),
        ("net.fetch", "https://A.example/docs/x", "INVALID_REQUEST"),
    ] {
        let refused = submit(&mut client, &below(&parent, &json!([]), &json!({ namespace: [pattern] }))).await;
        let refused = refused.map(|accepted| panic!("{pattern}: {accepted}")).unwrap_err();
        assert_eq!(refused["code"], code, "{pattern}: {refused}");
        assert!(refused.to_string().contains(pattern), "{pattern}: {refused}");
    }
    let asked = [
        ("fs.read", "/ws/a", "OK"),
        ("fs.read", "/ws/./b/../a", "OK"),
        ("fs.read", "//ws//a", "OK"),
        ("fs.read", "/ws/../etc/passwd", "PERMISSION_DENIED"),
        ("fs.read", "/ws/a/b", "PERMISSION_DENIED"),
        ("fs.read", "/WS/a", "PERMISSION_DENIED"),
        ("fs.write", "/ws/a/b/c", "OK"),
        ("fs.write", "/ws/a/../../etc", "PERMISSION_DENIED"),
        ("net.fetch", "HTTPS://A.EXAMPLE:443/docs/x", "OK"),
        ("net.fetch", "https://a.example/docs/%2e%2e/secret", "PERMISSION_DENIED"),
        ("net.fetch", "https://a.example/docs/../secret", "PERMISSION_DENIED"),
        ("net.fetch", "https://a.example/DOCS/x", "PERMISSION_DENIED"),
    ];
    let input: Vec<_> = asked.iter().map(|(capability, target, _)| json!({ "may": [capability, target] })).collect();
    submit(&mut client, &below(&parent, &json!(input), &lease)).await.unwrap();
    let told = result(&mut client).await;
    for ((capability, target, expected), told) in asked.iter().zip(told.as_array().unwrap()) {
        assert_eq!(told, expected, "{capability} of {target}");
    }
}

/// H14, TS-15, GO-15: constraints that name no end are the parent's, and none is later.
#[tokio::test]
async fn a_child_whose_constraints_name_no_end_ends_with_its_parents_lease() {
    let (bench, mut client) = start().await;
    let end = bench.gateway.now() + moorline_types::Millis::from_secs(3_600);
    let parent = parent(&mut client, json!({}), json!({ "expires_at": end.to_string() })).await;
    for constraints in [None, Some(json!({})), Some(json!({ "expires_at": end.to_string() }))] {
        let mut payload = below(&parent, &json!([]), &json!({}));
        if let Some(constraints) = &constraints {
            payload["lease_constraints"] = constraints.clone();
        }
        let accepted = submit(&mut client, &payload).await.unwrap();
        assert_eq!(accepted["lease_constraints"]["expires_at"], end.to_string(), "{constraints:?}: {accepted}");
    }
    let later = end + moorline_types::Millis::from_secs(1);
    let mut payload = below(&parent, &json!([]), &json!({}));
    payload["lease_constraints"] = json!({ "expires_at": later.to_string() });
    assert_eq!(submit(&mut client, &payload).await.unwrap_err()["code"], "LEASE_SUBSET_VIOLATION");
}
