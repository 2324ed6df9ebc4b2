//! The capacity test from the command line, against a real gateway. It is about what comes, not about how fast.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{Gateway, json_lines, moorline, stderr, stdout};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn what_makes_no_sense_is_refused() {
    for (args, fragment) in [
        (&["bench", "--jobs", "0"][..], "--jobs"),
        (&["bench", "--rate", "fast"], "--rate"),
        (&["bench", "--events", "5", "--duration", "1s"], "--duration"),
    ] {
        let output = moorline(args).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_gateway_without_the_agent_is_told_apart_with_the_remedy() {
    let gateway = Gateway::start();
    let output = gateway.run(&["bench"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(5), ""));
    assert!(stderr(&output).contains("--builtin-agents census,echo,load"), "{}", stderr(&output));
}

#[test]
fn every_session_gets_every_event_of_every_job_once() {
    for place in ["--builtin-agents=load", "--in-process-agents=load"] {
        let gateway = Gateway::with("", &[place]);
        let output = gateway.run(&["bench", "--jobs", "3", "--subscribers", "2", "--events", "400", "--json"]);
        assert!(output.status.success(), "{place}: {}", stderr(&output));
        let found = json_lines(&output).remove(0);
        assert_eq!((&found["deliveries"], &found["lost"], &found["twice"]), (&json!(2_400), &json!(0), &json!(0)));
        assert!(found["latency_us"]["p99"].is_u64() && found["deliveries_per_second"].is_u64(), "{found}");
    }
}

#[test]
fn being_told_to_hurry_is_no_event_of_the_agents() {
    let gateway = Gateway::with("", &["--builtin-agents=load", "--session-back-pressure-lag=1"]);
    let output = gateway.run(&["bench", "--events", "2000", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found = json_lines(&output).remove(0);
    assert_eq!((&found["deliveries"], &found["lost"], &found["twice"]), (&json!(2_000), &json!(0), &json!(0)));
}

#[test]
fn a_test_that_goes_on_for_a_time_ends_its_jobs() {
    let gateway = Gateway::with("", &["--builtin-agents=load"]);
    let output = gateway.run(&["bench", "--jobs", "2", "--rate", "200", "--duration", "1s"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("lost         0\ntwice        0\n"), "{}", stdout(&output));
    let jobs = json_lines(&gateway.run(&["jobs", "--json"]));
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job["status"] == "cancelled"), "{jobs:?}");
}

#[test]
fn a_job_inside_the_gateway_ends_with_it() {
    let gateway = Gateway::with("", &["--in-process-agents=load"]);
    let job = gateway.submit("load", &json!({ "events": 1_000_000, "rate": 100 }));
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, "", &["--in-process-agents=load"]);
    let output = gateway.run(&["watch", &job, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let end = json_lines(&output).pop().unwrap();
    assert_eq!((&end["type"], &end["payload"]["code"]), (&json!("job.error"), &json!("INTERNAL_ERROR")), "{end}");
    let output = gateway.run(&["bench", "--events", "10"]);
    assert!(output.status.success(), "the agent is there again: {}", stderr(&output));
}
