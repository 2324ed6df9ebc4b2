//! Credentials for upstreams (spec 9.8): a real gateway, a real program that issues them, and kills in between.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::survival::{LEAVE, echo};
use common::upstream::{Client, Upstream, VALUE};
use common::{Gateway, Running, json_lines, stdout, wait_for};
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
