//! Credentials for upstreams (spec 9.8): a real gateway, a real program that issues them, and kills in between.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::survival::{LEAVE, echo};
use common::upstream::{Client, Upstream, VALUE};
use common::{Gateway, Running, json_lines, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

fn admin(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap().trim().to_owned()
}

fn report(gateway: &Gateway) -> Value {
    json_lines(&gateway.run(&["credentials", "list", "--json"])).remove(0)
}

fn key_for(gateway: &Gateway, principal: &str, scope: &str) -> String {
    stdout(&gateway.run(&["keys", "create", "--principal", principal, "--scope", scope])).trim().to_owned()
}

#[test]
fn a_submitter_is_given_a_credential_that_is_dead_before_the_job_is_over_and_nobody_else_sees_it() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &[]);
    let (ada, eve) = (key_for(&gateway, "ada", "jobs"), key_for(&gateway, "eve", "observe_all"));
    let mut client = Client::offered(&gateway, &ada);
    client.submit("echo", &echo(100_000, 20));
    let accepted = client.recv("job.accepted");
    let credential = &accepted["credentials"][0];
    assert_eq!(upstream.live(), [credential["value"].as_str().unwrap()]);
    assert_eq!(credential["scheme"], "bearer");
    assert_eq!(credential["constraints"]["cost.budget"], json!(["USD:2"]));
    assert_eq!(credential["constraints"]["model.use"], json!(["tier-fast/*"]));

    let subscribe = json!({ "job_id": accepted["job_id"], "history": true });
    let mut elsewhere = Client::connect(&gateway, &ada);
    elsewhere.send("job.subscribe", &subscribe);
    assert_eq!(elsewhere.recv("job.subscribed")["credentials"], accepted["credentials"]);
    for other in [&eve, &admin(&gateway)] {
        let mut observer = Client::connect(&gateway, other);
        observer.send("job.subscribe", &subscribe);
        assert_eq!(observer.recv("job.subscribed").get("credentials"), None);
    }
    client.send("job.cancel", &json!({ "job_id": accepted["job_id"] }));
    client.recv("job.error");
    assert!(upstream.live().is_empty(), "whoever sees the end knows that it is withdrawn");
    assert_eq!((report(&gateway)["live"].as_u64(), report(&gateway)["outstanding"].as_u64()), (Some(0), Some(0)));
}

#[test]
fn what_is_not_issued_refuses_the_job_with_the_reason_and_a_well_upstream_is_offered_again() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &[]);
    let key = admin(&gateway);
    let mut client = Client::offered(&gateway, &key);
    for (fault, code, fragment) in
        [("refuse", "INVALID_REQUEST", "no such model"), ("lose", "INTERNAL_ERROR", "submit it again later")]
    {
        upstream.fault(fault, true);
        client.submit("echo", &json!(1));
        let error = client.recv("session.error");
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().unwrap().contains(fragment), "{error}");
        upstream.fault(fault, false);
        wait_for("nothing is left behind", || upstream.live().is_empty() && report(&gateway)["outstanding"] == 0);
    }
    assert!(stdout(&gateway.run(&["jobs", "--json"])).is_empty(), "no job is there");
    client.submit("echo", &json!(1));
    client.recv("job.result");
}

#[test]
fn credentials_are_not_offered_while_the_upstream_is_not_well() {
    let upstream = Upstream::new();
    upstream.fault("down", true);
    let gateway = Gateway::with(&upstream.config(), &[]);
    let key = admin(&gateway);
    wait_for("it was looked at", || {
        report(&gateway)["trouble"].as_str().is_some_and(|why| why.contains("exit status"))
    });
    assert!(!Client::connect(&gateway, &key).features.contains(&"provisioned_credentials".to_owned()));
    upstream.fault("down", false);
    drop(Client::offered(&gateway, &key));
}

/// The upstream has issued, and the gateway dies before it knows: nobody has the credential, and it is withdrawn.
#[test]
fn a_gateway_that_is_killed_between_issue_and_acceptance_withdraws_at_its_next_start() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &[]);
    let mut client = Client::offered(&gateway, &admin(&gateway));
    upstream.fault("hang", true);
    client.submit("echo", &json!(1));
    wait_for("it is issued", || upstream.live().len() == 1);
    let (home, _) = gateway.end(Signal::KILL);
    assert_eq!(upstream.live().len(), 1);
    upstream.fault("hang", false);
    let gateway = Gateway::over(home, &upstream.config(), &[]);
    wait_for("it is withdrawn", || upstream.live().is_empty());
    wait_for("and forgotten", || report(&gateway)["outstanding"] == 0);
    assert!(stdout(&gateway.run(&["jobs", "--json"])).is_empty(), "no job was accepted");
}

/// The job's end is told, and the gateway dies before the upstream has withdrawn: the next one goes on asking, and an
/// operator sees it and can have it hurry.
#[test]
fn a_gateway_that_is_killed_between_end_and_revocation_withdraws_later() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &[]);
    let mut client = Client::offered(&gateway, &admin(&gateway));
    upstream.fault("keep", true);
    client.submit("echo", &json!(1));
    let accepted = client.recv("job.accepted");
    client.recv("job.result");
    let (home, _) = gateway.end(Signal::KILL);
    assert_eq!(upstream.live().len(), 1);
    let gateway = Gateway::over(home, &upstream.config(), &[]);
    wait_for("it fails again", || {
        report(&gateway)["credentials"][0]["failed"].as_u64().is_some_and(|failed| failed > 0)
    });
    let listed = report(&gateway);
    assert_eq!(listed["credentials"][0]["job_id"], accepted["job_id"]);
    assert!(listed["credentials"][0]["error"].as_str().unwrap().contains("exit status"), "{listed}");
    assert!(stdout(&gateway.run(&["credentials", "list"])).contains(accepted["job_id"].as_str().unwrap()));
    upstream.fault("keep", false);
    assert!(gateway.run(&["credentials", "retry"]).status.success());
    wait_for("it is withdrawn", || upstream.live().is_empty() && report(&gateway)["outstanding"] == 0);
    let trail = stdout(&gateway.run(&["audit", "--json"]));
    assert!(trail.contains(r#""action":"credentials""#), "{trail}");
}

#[test]
fn a_job_that_goes_on_through_a_kill_keeps_its_credential_until_its_end() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), LEAVE);
    let key = admin(&gateway);
    let mut client = Client::offered(&gateway, &key);
    client.submit("echo", &echo(100_000, 20));
    let accepted = client.recv("job.accepted");
    client.recv("job.event");
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, &upstream.config(), &[]);
    let mut client = Client::offered(&gateway, &key);
    client.send("job.subscribe", &json!({ "job_id": accepted["job_id"] }));
    assert_eq!(client.recv("job.subscribed")["credentials"], accepted["credentials"], "it was sealed in the store");
    assert_eq!(upstream.live(), [accepted["credentials"][0]["value"].as_str().unwrap()]);
    client.send("job.cancel", &json!({ "job_id": accepted["job_id"] }));
    client.recv("job.error");
    assert!(upstream.live().is_empty());
}

/// H15, PY-16, JV-17, TS-27: the value of before is withdrawn, the new one is alive, and only its submitter is told.
#[test]
fn a_credential_is_replaced_while_its_job_runs() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&format!("{}lifetime = \"8s\"\n", upstream.config()), &[]);
    let (ada, eve) = (key_for(&gateway, "ada", "jobs"), key_for(&gateway, "eve", "observe_all"));
    let mut client = Client::offered(&gateway, &ada);
    client.submit("echo", &json!({ "echo": { "events": 0, "delay_ms": 3_600_000 } }));
    let accepted = client.recv("job.accepted");
    let first = accepted["credentials"][0].clone();
    let mut observer = Client::connect(&gateway, &eve);
    observer.send("job.subscribe", &json!({ "job_id": accepted["job_id"], "history": true }));
    let rotated = |client: &mut Client| loop {
        let body = client.recv("job.event")["body"].clone();
        if body["phase"] == "credential_rotated" {
            return body;
        }
    };
    let told = rotated(&mut client);
    assert_eq!(
        (&told["id"], &told["credential_id"], &told["details"]["id"]),
        (&first["id"], &first["id"], &first["id"])
    );
    assert!(told["value"].as_str().unwrap().starts_with(VALUE));
    assert_ne!(told["value"], first["value"]);
    let mut watch = gateway.command(&["--token", &ada, "watch", accepted["job_id"].as_str().unwrap(), "--json"]);
    let line = Running::start(&mut watch).line_with("credential_rotated");
    assert!(!line.contains(VALUE), "what is printed is kept: {line}");
    let seen = rotated(&mut observer);
    assert_eq!(seen["id"], first["id"]);
    assert!(!seen.to_string().contains(VALUE), "{seen}");
    wait_for("the prior one is withdrawn", || !upstream.live().contains(&first["value"].as_str().unwrap().to_owned()));
    client.send("job.cancel", &json!({ "job_id": accepted["job_id"] }));
    client.recv("job.error");
    assert!(upstream.live().is_empty());
}

#[test]
fn a_credential_is_replaced_when_an_administrator_says_so() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &[]);
    let ada = key_for(&gateway, "ada", "jobs");
    let mut client = Client::offered(&gateway, &ada);
    client.submit("echo", &echo(100_000, 20));
    let accepted = client.recv("job.accepted");
    let (job, first) = (accepted["job_id"].as_str().unwrap(), accepted["credentials"][0].clone());
    let name = first["id"].as_str().unwrap();

    let refused = gateway.run(&["--token", &ada, "credentials", "rotate", job]);
    assert!(!refused.status.success() && stderr(&refused).contains("PERMISSION_DENIED"), "{}", stderr(&refused));
    let unknown = gateway.run(&["credentials", "rotate", job, "cred_01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert!(!unknown.status.success() && stderr(&unknown).contains("leave the name out"), "{}", stderr(&unknown));
    let rotated = gateway.run(&["credentials", "rotate", job, name]);
    assert!(rotated.status.success() && stderr(&rotated).contains(name), "{}", stderr(&rotated));
    let told = loop {
        let body = client.recv("job.event")["body"].clone();
        if body["phase"] == "credential_rotated" {
            break body;
        }
    };
    assert_ne!(told["value"], first["value"]);
    wait_for("the prior one is withdrawn", || upstream.live() == [told["value"].as_str().unwrap()]);
    let trail = json_lines(&gateway.run(&["audit", "--json"]));
    let entry = trail.iter().find(|entry| entry["action"] == "credentials" && entry["object"] == job);
    assert!(trail.iter().any(|entry| entry["reason"] == format!("rotated {name}")), "{entry:?}");
    client.send("job.cancel", &json!({ "job_id": job }));
    client.recv("job.error");
    assert!(upstream.live().is_empty());
}

/// A job that delegates to `echo`, which may use models, and waits for it.
fn delegating(client: &mut Client, input: &Value) -> Value {
    let child = json!({ "model.use": ["tier-fast/a"], "cost.budget": ["USD:0.5"] });
    let input = json!({ "echo": { "delegate": [{ "agent": "echo", "input": input, "lease": child }] } });
    let lease = json!({ "agent.delegate": ["echo"], "model.use": ["tier-fast/*"], "cost.budget": ["USD:2"] });
    client.send("job.submit", &json!({ "agent": "echo", "input": input, "lease_request": lease }));
    client.recv("job.accepted")
}

/// A job delegates while the upstream misbehaves in this way, and the gateway is killed when it has come so far. Answers the
/// next gateway, whose upstream is well, and what is seen of the job, which ends well.
fn killed_while_delegating(upstream: &Upstream, fault: &str, come_so_far: impl FnOnce()) -> (Gateway, Vec<Value>) {
    let gateway = Gateway::with(&upstream.config(), LEAVE);
    let key = admin(&gateway);
    let mut client = Client::offered(&gateway, &key);
    upstream.fault(fault, true);
    let parent = delegating(&mut client, &echo(3, 20))["job_id"].as_str().unwrap().to_owned();
    come_so_far();
    let (home, _) = gateway.end(Signal::KILL);
    upstream.fault(fault, false);
    let gateway = Gateway::over(home, &upstream.config(), &[]);
    let seen = json_lines(&gateway.run(&["watch", &parent, "--json"]));
    assert_eq!(seen.last().unwrap()["type"], "job.result", "{seen:?}");
    (gateway, seen)
}

/// The upstream has issued for a child, and the gateway dies before it knows: the next one withdraws that and asks anew, and
/// there is one child with one credential, which is dead before its end.
#[test]
fn a_gateway_that_is_killed_while_a_child_waits_for_its_credential_goes_on_with_that_child() {
    let upstream = Upstream::new();
    // The child's, which is smaller, and not the parent's.
    let (gateway, seen) = killed_while_delegating(&upstream, "hang_small", || {
        wait_for("it is issued", || upstream.live().len() == 2);
    });
    let children = seen.iter().filter(|line| line["payload"]["kind"] == "delegate").count();
    assert_eq!(children, 1, "{seen:?}");
    wait_for("nothing is left", || upstream.live().is_empty() && report(&gateway)["outstanding"] == 0);
    assert_eq!(json_lines(&gateway.run(&["jobs", "--all", "--json"])).len(), 2, "and no other job began");
}

/// The gateway dies while it tells the upstream what the parent may spend beside its child: the child has nothing until the
/// next one has told it.
#[test]
fn a_gateway_that_is_killed_before_a_parent_may_spend_less_tells_that_before_the_child_may_spend() {
    let upstream = Upstream::new();
    let (gateway, _) = killed_while_delegating(&upstream, "stall", || {
        wait_for("the upstream is told", || upstream.has_stalled());
        assert_eq!(upstream.live().len(), 1, "nothing is issued for the child yet");
    });
    assert!(["USD:1.5", "USD:2"].contains(&upstream.budgets()[0].as_str()), "{:?}", upstream.budgets());
    wait_for("nothing is left", || upstream.live().is_empty() && report(&gateway)["outstanding"] == 0);
}

#[test]
fn a_child_has_a_credential_of_its_own_that_its_owner_alone_is_shown() {
    let upstream = Upstream::new();
    let gateway = Gateway::with(&upstream.config(), &[]);
    let (ada, eve) = (key_for(&gateway, "ada", "jobs"), key_for(&gateway, "eve", "observe_all"));
    let mut client = Client::offered(&gateway, &ada);
    let parent = delegating(&mut client, &echo(100_000, 20));
    let delegated = loop {
        let event = client.recv("job.event");
        if event["kind"] == "delegate" {
            break event;
        }
    };
    assert!(!delegated.to_string().contains(VALUE), "the parent's agent and its watchers are not told: {delegated}");
    let subscribe = json!({ "job_id": delegated["body"]["child_job_id"] });
    client.send("job.subscribe", &subscribe);
    let shown = client.recv("job.subscribed")["credentials"][0].clone();
    assert_ne!(shown["value"], parent["credentials"][0]["value"]);
    assert_eq!(shown["constraints"]["cost.budget"], json!(["USD:0.5"]));
    assert_eq!(shown["constraints"]["model.use"], json!(["tier-fast/a"]));
    assert_eq!((upstream.live().len(), upstream.budgets()), (2, vec!["USD:1.5".to_owned()]));
    for other in [&eve, &admin(&gateway)] {
        let mut observer = Client::connect(&gateway, other);
        observer.send("job.subscribe", &subscribe);
        assert_eq!(observer.recv("job.subscribed").get("credentials"), None);
    }
    client.send("job.cancel", &json!({ "job_id": delegated["body"]["child_job_id"] }));
    while client.recv_any("job.error")["job_id"] != delegated["body"]["child_job_id"] {}
    assert!(!upstream.live().contains(&shown["value"].as_str().unwrap().to_owned()), "dead before its end is told");
}
