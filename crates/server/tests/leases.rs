//! What a submission may lease, what it then gets, and what its agent may do (spec 9).

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use common::{Bench, Client, hello_with, leasing, runtime_options};
use moorline_core::access::Unasked;
use moorline_runtime::RuntimeOptions;
use moorline_types::{Capability, Json};
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Outcome, ToolAnswer, ToolError};
use serde_json::{Value, json};

async fn client(bench: &Bench) -> Client {
    bench.open(&leasing(bench.hello())).await.0
}

/// Somebody whose key has these constraints.
async fn constrained(bench: &Bench, constraints: Value) -> Client {
    let mut admin = bench.open(&bench.hello_of_an_administrator()).await.0;
    let grants = json!({ "scopes": ["jobs"], "constraints": constraints });
    let request = json!({ "do": "create", "name": "test", "principal": "bounded", "grants": grants });
    admin.say("msg_keys", "x-vendor.moorline.keys", request).await;
    let report = admin.recv_type("x-vendor.moorline.keys_report").await;
    let hello = hello_with(&json!({ "scheme": "bearer", "token": report["payload"]["secret"] }));
    bench.open(&leasing(hello)).await.0
}

fn asking_for(lease: &Value) -> Value {
    json!({ "agent": "echo", "input": 1, "lease_request": lease })
}

async fn accepted(client: &mut Client, lease: Value) -> Value {
    client.say("msg_1", "job.submit", asking_for(&lease)).await;
    client.recv_type("job.accepted").await["payload"].clone()
}

async fn refused(client: &mut Client, lease: Value) -> Value {
    client.say("msg_1", "job.submit", asking_for(&lease)).await;
    client.recv_type("session.error").await["payload"].clone()
}

/// What is no amount and no normal pattern is refused before there is a job.
#[tokio::test]
async fn a_lease_that_cannot_be_read_is_refused_with_what_is_wrong_with_it() {
    let bench = Bench::start().await;
    let mut client = client(&bench).await;
    let budgets = ["NaN", "Inf", "1e3", "-1", "", "five", " 5", "0x5", "1000000000000000.1", "0.0000000000000000001"];
    for amount in budgets {
        let entry = format!("USD:{amount}");
        let error = refused(&mut client, json!({ "cost.budget": [entry] })).await;
        assert_eq!(error["code"], "INVALID_REQUEST", "{error}");
        assert_eq!(error["details"]["namespace"], "cost.budget", "{error}");
        assert_eq!(error["details"]["pattern"], json!(entry), "{error}");
    }
    for (namespace, pattern) in [
        ("fs.read", "/ws/../etc"),
        ("fs.read", "/ws//a"),
        ("fs.read", "/ws/"),
        ("fs.write", "ws/a"),
        ("net.fetch", "HTTPS://example.com/"),
        ("net.fetch", "https://example.com:443/"),
        ("net.fetch", "https://example.com/%2e%2e/a"),
        ("net.fetch", "ftp://example.com/"),
        ("tool.call", "git/../rm"),
        ("model.use", "fast/**x"),
    ] {
        let error = refused(&mut client, json!({ namespace: [pattern] })).await;
        assert_eq!(error["code"], "INVALID_REQUEST", "{pattern}: {error}");
        assert_eq!(error["details"]["field"], "payload.lease_request", "{error}");
        assert_eq!(error["details"]["namespace"], namespace, "{error}");
        assert_eq!(error["details"]["pattern"], pattern, "{error}");
        assert!(error["message"].as_str().unwrap().contains("must"), "the remedy is named: {error}");
    }
    assert_eq!(client.echo(json!(1)).await, json!(1), "nothing is lost for it");
}

#[tokio::test]
async fn an_acceptance_has_the_lease_and_the_counters_of_its_budget() {
    let bench = Bench::start().await;
    let mut client = client(&bench).await;
    let lease = json!({ "tool.call": ["git-*"], "cost.budget": ["USD:1.50", "credits:1000", "USD:0.1"] });
    let job = accepted(&mut client, lease.clone()).await;
    assert_eq!(job["lease"], lease);
    assert_eq!(job["budget"], json!({ "USD": 1.6, "credits": 1000 }), "amounts of a currency are added up");
    let job = accepted(&mut client, json!({ "tool.call": ["**"] })).await;
    assert_eq!(job.get("budget"), None, "what is not bounded is not counted");
}

#[tokio::test]
async fn a_budget_of_a_key_bounds_what_its_jobs_may_spend() {
    let bench = Bench::start().await;
    let mut client = constrained(&bench, json!({ "max_budget": ["USD:5"] })).await;
    let error = refused(&mut client, json!({ "cost.budget": ["USD:5.01"] })).await;
    assert_eq!(error["code"], "PERMISSION_DENIED", "{error}");
    let details = json!({ "constraint": "max_budget", "currency": "USD", "asked": "5.01", "limit": "5" });
    assert_eq!(error["details"], details);

    let job = accepted(&mut client, json!({ "cost.budget": ["USD:4"] })).await;
    assert_eq!(job["budget"], json!({ "USD": 4 }));
    let job = accepted(&mut client, json!({})).await;
    assert_eq!(job["budget"], json!({ "USD": 5 }), "leaving it out is no way around");
    assert_eq!(job["lease"], json!({ "cost.budget": ["USD:5"] }));
}

#[tokio::test]
async fn models_that_no_lease_names_are_allowed_where_the_operator_says_so() {
    let (bench, lax) = (Bench::start().await, Unasked { any_model: true, ..Unasked::default() });
    assert_eq!(accepted(&mut client(&bench).await, json!({})).await["lease"], json!({}));
    let bench = Bench::with_runtime(RuntimeOptions { unasked: lax, ..runtime_options() }).await;
    assert_eq!(accepted(&mut client(&bench).await, json!({})).await["lease"], json!({ "model.use": ["**"] }));
    let named = json!({ "model.use": ["fast/*"] });
    assert_eq!(accepted(&mut client(&bench).await, named.clone()).await["lease"], named);
}

#[tokio::test]
async fn what_was_not_negotiated_cannot_be_leased() {
    let bench = Bench::start().await;
    let mut client = bench.client().await;
    for (lease, feature) in
        [(json!({ "cost.budget": ["USD:1"] }), "cost.budget"), (json!({ "model.use": ["**"] }), "model.use")]
    {
        let error = refused(&mut client, lease).await;
        assert_eq!((&error["code"], &error["details"]["feature"]), (&json!("INVALID_REQUEST"), &json!(feature)));
    }
}

/// Calls the tools of its input, of which each costs a third of a dollar, and returns how each went. Where that says
/// `wait` it waits for its end, what is `refused` is refused by its upstream, and what is `vital` is too and ends it.
struct Buyer;

#[async_trait]
impl Agent for Buyer {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "buyer@1.0.0".parse().unwrap(),
            description: "for tests".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let mut went = Vec::new();
        for tool in job.input::<Vec<String>>()? {
            if tool == "wait" {
                job.cancelled().await;
                return Err(Failure::cancelled());
            }
            if tool == "vital" {
                return Err(job.budget_exhausted("USD").await.unwrap());
            }
            let (paid, is_refused) = (job.clone(), tool == "refused");
            let call = async move || {
                if is_refused {
                    let refusal = paid.budget_exhausted("USD").await.unwrap();
                    return ToolAnswer::Error(ToolError::from(&refusal));
                }
                let spent = paid.cost("tool", "0.333333333333333334".parse().unwrap(), "USD").await;
                ToolAnswer::Result(json!(spent.is_ok()))
            };
            went.push(match job.call_tool(&tool, Json::parse("{}")?, call).await? {
                ToolAnswer::Result(_) => "OK".to_owned(),
                ToolAnswer::Error(error) => error.code,
            });
        }
        Ok(Outcome::of(&went)?)
    }
}

#[tokio::test]
async fn tools_are_called_as_far_as_the_lease_and_the_budget_go_and_the_agent_goes_on() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Buyer)]).await;
    let mut client = client(&bench).await;
    let lease = json!({ "tool.call": ["git-*"], "cost.budget": ["USD:1.00"] });
    let input = ["git-log", "rm", "git-diff", "git/log", "git-blame", "git-log", "rm"];
    let submission = json!({ "agent": "buyer", "input": input, "lease_request": lease });
    client.say("msg_1", "job.submit", submission).await;

    let (mut errors, mut left, mut calls) = (Vec::new(), Vec::new(), 0);
    let result = loop {
        let frame = client.recv().await.unwrap();
        let (kind, body) = (frame["payload"]["kind"].clone(), &frame["payload"]["body"]);
        if frame["type"] == "job.result" {
            break frame["payload"]["result"].clone();
        } else if kind == "tool_result" && body.get("error").is_some() {
            errors.push(body["error"].clone());
        } else if kind == "metric" && body["name"] == "cost.budget.remaining" {
            left.push(body["value"].to_string());
        } else if kind == "tool_call" {
            calls += 1;
        }
    };
    let denied = "PERMISSION_DENIED";
    assert_eq!(result, json!(["OK", denied, "OK", denied, "OK", "BUDGET_EXHAUSTED", denied]));
    assert_eq!(calls, input.len(), "what was not allowed is told too");
    assert_eq!(errors[0]["details"], json!({ "capability": "tool.call", "target": "rm" }));
    assert_eq!(errors[2]["details"], json!({ "currency": "USD", "remaining": "-0.000000000000000002" }));
    assert!(errors.iter().all(|error| error["retryable"] == json!(false)), "{errors:?}");
    assert_eq!(left.len(), 3, "each cost is more than a twentieth: {left:?}");
    // Without exact decimals this would be 0.3333333333333333.
    assert!(["0.333333333333333332", "0.3333333333333333"].contains(&left[1].as_str()), "{left:?}");
}

async fn subscribed(client: &mut Client, job: &Value) -> Value {
    client.say("msg_2", "job.subscribe", json!({ "job_id": job })).await;
    client.recv_type("job.subscribed").await["payload"].clone()
}

/// Whoever subscribes is told what is left at that moment, of a job that is over too, if both sides know budgets.
#[tokio::test]
async fn a_subscription_says_what_is_left_of_the_budget() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Buyer)]).await;
    let (mut submitter, mut dashboard) = (client(&bench).await, client(&bench).await);
    let buying = |input: Value, lease: Value| json!({ "agent": "buyer", "input": input, "lease_request": lease });
    let lease = json!({ "tool.call": ["git-*"], "cost.budget": ["USD:1.00", "credits:7"] });
    submitter.say("msg_1", "job.submit", buying(json!(["git-log", "git-log", "wait"]), lease)).await;
    let job = submitter.recv_type("job.accepted").await["payload"]["job_id"].clone();
    let mut costs = 0;
    while costs < 2 {
        let event = submitter.recv_type("job.event").await;
        costs += usize::from(event["payload"]["body"]["name"] == "cost.tool");
    }
    let left = subscribed(&mut dashboard, &job).await["budget"].clone();
    assert_eq!((left["USD"].as_f64(), &left["credits"]), (Some(0.333_333_333_333_333_3), &json!(7)), "{left}");
    assert_eq!(subscribed(&mut bench.client().await, &job).await.get("budget"), None, "it was not negotiated");

    submitter.say("msg_3", "job.cancel", json!({ "job_id": job })).await;
    submitter.recv_type("job.error").await;
    assert_eq!(subscribed(&mut client(&bench).await, &job).await["budget"], left, "and when it is over");
    submitter.say("msg_4", "job.submit", buying(json!([]), json!({}))).await;
    let unbounded = submitter.recv_type("job.result").await["job_id"].clone();
    assert_eq!(subscribed(&mut dashboard, &unbounded).await.get("budget"), None, "nothing is counted");
}

/// What its upstream refuses for a spent budget, an agent tells with the spec's code, and the account says the same.
#[tokio::test]
async fn a_budget_that_an_upstream_says_is_spent_is_exhausted() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Buyer)]).await;
    let mut client = client(&bench).await;
    let lease = json!({ "tool.call": ["*"], "cost.budget": ["USD:100"] });
    let submission = json!({ "agent": "buyer", "input": ["git-log", "refused", "git-log"], "lease_request": lease });
    client.say("msg_1", "job.submit", submission).await;
    let (mut told, mut left) = (Vec::new(), Vec::new());
    let result = loop {
        let frame = client.recv().await.unwrap();
        let body = &frame["payload"]["body"];
        if frame["type"] == "job.result" {
            break frame["payload"]["result"].clone();
        } else if frame["payload"]["kind"] == "tool_result" && body.get("error").is_some() {
            told.push(body["error"]["code"].clone());
        } else if body["name"] == "cost.budget.remaining" {
            left.push(body["value"].clone());
        }
    };
    assert_eq!(result, json!(["OK", "BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED"]), "it is not asked again");
    assert_eq!((told, left), (vec![json!("BUDGET_EXHAUSTED"); 2], vec![json!(0)]));
}

/// Whether a spent budget is the end is for the agent to say (spec 7.3).
#[tokio::test]
async fn an_agent_that_ends_with_a_spent_budget_ends_its_job_as_error() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Buyer)]).await;
    let mut client = client(&bench).await;
    let lease = json!({ "tool.call": ["*"], "cost.budget": ["USD:100"] });
    let submission = json!({ "agent": "buyer", "input": ["git-log", "vital", "git-log"], "lease_request": lease });
    client.say("msg_1", "job.submit", submission).await;
    let error = client.recv_type("job.error").await["payload"].clone();
    assert_eq!(error["code"], "BUDGET_EXHAUSTED", "{error}");
    assert_eq!((&error["final_status"], &error["retryable"]), (&json!("error"), &json!(false)), "{error}");
}

#[tokio::test]
async fn a_model_needs_a_lease_that_names_it() {
    let bench = Bench::with_agents(runtime_options(), vec![Arc::new(Thinker)]).await;
    let mut client = client(&bench).await;
    for (lease, code) in [
        (json!({ "model.use": ["fast/*"] }), None),
        (json!({ "model.use": ["slow/*"] }), Some("PERMISSION_DENIED")),
        (json!({}), Some("PERMISSION_DENIED")),
    ] {
        client.say("msg_1", "job.submit", json!({ "agent": "thinker", "input": 1, "lease_request": lease })).await;
        match code {
            None => assert_eq!(client.recv_type("job.result").await["payload"]["result"], "thought"),
            Some(code) => assert_eq!(client.recv_type("job.error").await["payload"]["code"], code, "{lease}"),
        }
    }
}

/// Uses a model, and ends with the denial if it may not.
struct Thinker;

#[async_trait]
impl Agent for Thinker {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "thinker@1.0.0".parse().unwrap(),
            description: "for tests".to_owned(),
            capacity: 8,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        job.authorize(Capability::ModelUse, "fast/small").await?;
        Ok(Outcome::of(&"thought")?)
    }
}
