//! Traces, as a collector sees them (spec 11): real gateways, workers and programs, and a server that reads OTLP.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::collector::{Collector, Conduct, attribute, hex};
use common::survival::{LEAVE, read, watching};
use common::{Gateway, moorline, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// An agent that calls a tool, whose answer comes when there is a file `go`, and returns its place in the trace.
const AGENT: &str = r#"
[[agents]]
name = "traced"
version = "1.0.0"
command = ["sh", "-c", '''
read -r job
echo '{"kind":"tool_call","body":{"call_id":"c1","tool":"grep","args":{}}}'
while [ ! -e go ]; do sleep 0.02; done
echo '{"kind":"tool_result","body":{"call_id":"c1","result":1}}'
printf '{"result":"%s"}\n' "$TRACEPARENT"
''']
"#;

/// Submits a job below a span with these flags.
fn submit_below(gateway: &Gateway, agent: &str, flags: &str) -> String {
    let parent = format!("00-{TRACE}-{SPAN}-{flags}");
    let output = gateway.command(&["submit", agent]).env("TRACEPARENT", parent).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

fn let_go(gateway: &Gateway) {
    fs::write(gateway.data_dir().join("scratch/traced@1.0.0/go"), "").unwrap();
}

fn result(gateway: &Gateway, job: &str) -> Value {
    read(gateway, job).last().unwrap()["payload"]["result"].clone()
}

#[test]
fn a_job_that_goes_on_over_a_kill_is_one_span_below_its_submitters() {
    let collector = Collector::start();
    let export = collector.flag();
    let gateway = Gateway::with(AGENT, &[LEAVE, &[&export]].concat());
    let job = submit_below(&gateway, "traced", "01");
    watching(&gateway, &job).line_with("tool_call");
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, AGENT, &[export.as_str()]);
    let_go(&gateway);
    let own = result(&gateway, &job).as_str().unwrap().to_owned();
    wait_for("the job's span", || !collector.named("arcp.job").is_empty());
    gateway.end(Signal::TERM);

    let [span] = &collector.named("arcp.job")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!(own, format!("00-{TRACE}-{}-01", hex(&span.span_id)), "the agent is below it");
    assert_eq!(attribute(span, "arcp.job_id"), Some(job));
    assert_eq!(attribute(span, "arcp.agent").as_deref(), Some("traced@1.0.0"));
    assert_eq!(span.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["started"]);
    assert!(span.start_time_unix_nano < span.end_time_unix_nano && span.links.is_empty());
    assert_eq!(span.status.as_ref().unwrap().code, 1, "well");

    let [call] = &collector.named("arcp.tool_call")[..] else { panic!("{:?}", collector.spans()) };
    assert_eq!((&call.trace_id, &call.parent_span_id), (&span.trace_id, &span.span_id));
    assert_eq!(attribute(call, "gen_ai.tool.name").as_deref(), Some("grep"));
    let commits = collector.named("moorline.commit");
    assert!(!commits.is_empty() && commits.iter().all(|commit| commit.parent_span_id == span.span_id));
}

/// An agent that asks whether it may call two tools, and returns its place in the trace.
const ASKER: &str = r#"
[[agents]]
name = "asker"
version = "1.0.0"
answers = true
command = ["sh", "-c", '''
read -r job
for tool in grep rm; do
    echo '{"authorize":{"capability":"tool.call","target":"'$tool'"}}'
    read -r answer
done
printf '{"result":"%s"}\n' "$TRACEPARENT"
''']
"#;

/// What a job delegates is below it in its trace, and so is what it may not delegate and what it asks.
#[test]
fn a_child_is_below_its_delegation_and_its_questions_are_below_it() {
    let collector = Collector::start();
    let gateway = Gateway::with(ASKER, &[&collector.flag()]);
    let lease = json!({ "tool.call": ["grep"] });
    let parts = json!([{ "agent": "asker", "lease": lease }, { "agent": "census" }]);
    let input = json!({ "echo": { "delegate": parts } }).to_string();
    let lease = json!({ "agent.delegate": ["asker"], "tool.call": ["grep"] }).to_string();
    let submit = ["submit", "echo", "--input", &input, "--lease", &lease];
    let output = gateway.command(&submit).env("TRACEPARENT", format!("00-{TRACE}-{SPAN}-01")).output().unwrap();
    let job = stdout(&output).trim().to_owned();
    let told = result(&gateway, &job);
    wait_for("both jobs' spans", || collector.named("arcp.job").len() == 2);
    gateway.end(Signal::TERM);

    let jobs = collector.named("arcp.job");
    let of = |agent: &str| {
        let named = |span: &&_| attribute(span, "arcp.agent").is_some_and(|named| named.starts_with(agent));
        jobs.iter().find(named).unwrap_or_else(|| panic!("{jobs:?}"))
    };
    let (parent, child) = (of("echo@"), of("asker@"));
    assert_eq!(hex(&parent.parent_span_id), SPAN);
    let delegations = collector.named("arcp.delegate");
    let [refused, made] = ["PERMISSION_DENIED", ""].map(|code| {
        let failed = |span: &&_| attribute(span, "error.type").unwrap_or_default() == code;
        delegations.iter().find(failed).unwrap_or_else(|| panic!("{code}: {delegations:?}"))
    });
    assert_eq!(delegations.len(), 2, "{delegations:?}");
    assert_eq!(attribute(made, "arcp.child_job_id"), attribute(child, "arcp.job_id"));
    assert_eq!(child.parent_span_id, made.span_id);
    assert!(delegations.iter().all(|span| span.parent_span_id == parent.span_id));
    assert_eq!((attribute(refused, "arcp.child_job_id"), refused.status.as_ref().unwrap().code), (None, 2));
    let own = format!("00-{TRACE}-{}-01", hex(&child.span_id));
    assert_eq!(told[0]["result"], json!(own), "the child's agent is below the child: {told}");

    let questions = collector.named("arcp.authorize");
    let codes: Vec<_> = questions.iter().map(|span| attribute(span, "error.type")).collect();
    assert_eq!(codes, [None, Some("PERMISSION_DENIED".to_owned())]);
    assert!(questions.iter().all(|span| span.parent_span_id == child.span_id), "{questions:?}");
    let spans = collector.spans();
    let of_jobs = spans.iter().filter(|span| span.name != "arcp.session");
    assert!(of_jobs.clone().count() > 6 && of_jobs.clone().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
}

#[test]
fn a_trace_that_its_submitter_does_not_record_is_handed_on_and_not_told_of() {
    let collector = Collector::start();
    let gateway = Gateway::with(AGENT, &[&collector.flag()]);
    let job = submit_below(&gateway, "traced", "00");
    let_go_when_there(&gateway, &job);
    assert_eq!(result(&gateway, &job), json!(format!("00-{TRACE}-{SPAN}-00")), "below the submitter's span");
    gateway.end(Signal::TERM);
    let told = collector.spans();
    assert!(told.iter().all(|span| hex(&span.trace_id) != TRACE), "{told:?}");
}

fn let_go_when_there(gateway: &Gateway, job: &str) {
    watching(gateway, job).line_with("tool_call");
    let_go(gateway);
}

#[test]
fn a_job_without_a_trace_is_the_root_of_one_and_linked_to_its_session() {
    let collector = Collector::start();
    let gateway = Gateway::with("", &[&collector.flag()]);
    let (seen, code) = gateway.follow("echo", &json!({ "echo": { "events": "a secret" } }));
    let (whole, _) = gateway.follow("echo", &json!(1));
    gateway.end(Signal::TERM);
    let jobs = collector.named("arcp.job");
    assert_eq!(jobs.len(), 2, "{seen:?}");
    let sessions = collector.named("arcp.session");
    for job in &jobs {
        assert!(job.parent_span_id.is_empty());
        let [link] = &job.links[..] else { panic!("{job:?}") };
        assert_ne!(link.trace_id, job.trace_id);
        let session = sessions.iter().find(|session| session.span_id == link.span_id);
        assert!(session.is_none_or(|session| session.trace_id == link.trace_id && session.parent_span_id.is_empty()));
    }
    let of = |seen: &[Value]| {
        let id = seen[0]["job_id"].as_str().unwrap();
        jobs.iter().find(|job| attribute(job, "arcp.job_id").as_deref() == Some(id)).unwrap()
    };
    assert_ne!(code, 0);
    assert_eq!(attribute(of(&seen), "error.type").as_deref(), Some("INVALID_REQUEST"));
    assert_eq!((of(&seen).status.as_ref().unwrap().code, of(&whole).status.as_ref().unwrap().code), (2, 1));
    assert!(!format!("{jobs:?}").contains("a secret"), "an agent's words are not told");
}

#[test]
fn a_collector_that_refuses_for_now_gets_the_spans_later_and_with_its_headers() {
    let collector = Collector::start();
    let home = tempfile::tempdir().unwrap();
    let headers = home.path().join("headers");
    fs::write(&headers, "Authorization: Bearer of-the-collector\n").unwrap();
    collector.conducts_itself(Conduct::Answers(503));
    let headers = format!("--otlp-headers-file={}", headers.display());
    let gateway = Gateway::over(home, "", &[&collector.flag(), &headers]);
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0, "nobody waits for the collector");
    wait_for("a request that is refused", || !collector.asked().is_empty());
    assert!(collector.spans().is_empty());
    collector.conducts_itself(Conduct::Takes);
    wait_for("the job's span", || !collector.named("arcp.job").is_empty());
    assert_eq!(collector.named("arcp.job").len(), 1);
    let asked = collector.asked();
    assert!(asked.iter().all(|head| head.contains("authorization: Bearer of-the-collector")), "{asked:?}");
    wait_for("the log says so", || gateway.log().contains("takes spans again"));
    let log = gateway.log();
    assert!(log.contains("does not take spans") && !log.contains("of-the-collector"), "{log}");
}

#[test]
fn a_collector_that_is_gone_or_never_answers_holds_nobody_up() {
    let collector = Collector::start();
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("--otlp-endpoint=http://{}/v1/traces", listener.local_addr().unwrap())
    };
    collector.conducts_itself(Conduct::Hangs);
    for endpoint in [gone, collector.flag()] {
        let gateway = Gateway::with("", &[&endpoint]);
        for _ in 0..3 {
            assert_eq!(gateway.follow("echo", &json!(1)).1, 0);
        }
        let (_, status) = gateway.end(Signal::TERM);
        assert_eq!(status.code(), Some(0), "{endpoint}");
    }
}

#[test]
fn a_refused_batch_is_dropped_and_told() {
    let collector = Collector::start();
    collector.conducts_itself(Conduct::Answers(401));
    let gateway = Gateway::with("", &[&collector.flag()]);
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0);
    wait_for("the job's span is refused", || collector.has_refused("arcp.job"));
    wait_for("the log says so", || gateway.log().contains("the collector refuses spans"));
    collector.conducts_itself(Conduct::Takes);
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0);
    wait_for("the second job's span", || !collector.named("arcp.job").is_empty());
    assert_eq!(collector.named("arcp.job").len(), 1, "the first was refused");
}

#[test]
fn what_cannot_be_exported_to_keeps_the_gateway_from_starting_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let headers = home.path().join("headers");
    fs::write(&headers, "not a header\n").unwrap();
    let headers = format!("--otlp-headers-file={}", headers.display());
    let here = "--otlp-endpoint=http://127.0.0.1:4318/v1/traces";
    fs::write(home.path().join("moorline.toml"), "").unwrap();
    for (flags, said) in [
        (vec![here, "--otlp-protocol=http/json"], "http/protobuf"),
        (vec!["--otlp-endpoint=http://collector.example.com:4318/v1/traces"], "--otlp-insecure-plaintext"),
        (vec![headers.as_str()], "otlp.endpoint"),
        (vec!["--otlp-insecure-plaintext=true"], "otlp.endpoint"),
        (
            vec![here, headers.as_str(), "--otlp-headers-variable=PATH"],
            "both otlp.headers_file and otlp.headers_variable",
        ),
        (vec![here, "--otlp-headers-variable=NO_SUCH_VARIABLE"], "NO_SUCH_VARIABLE"),
        (vec![here, "--otlp-headers-variable=PATH"], "header 1 in PATH"),
        (vec![here, "--otlp-resource-attributes=region"], "`key=value`"),
        (vec![here, headers.as_str()], "line 1 of"),
        (vec!["--otlp-sample-ratio=2"], "from 0 to 1"),
    ] {
        let output = common::serve(home.path(), &flags).output();
        let output = output.unwrap();
        let text = stderr(&output);
        assert!(!output.status.success() && text.contains(said), "{flags:?}: {text}");
        assert!(!text.contains("not a header"), "{text}");
    }
}

/// The same spans over gRPC, in the clear and with TLS, with headers that nobody else sees.
#[test]
fn a_collector_that_speaks_grpc_is_told_the_same() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for tls in [None, Some((certificate.as_str(), key.as_str()))] {
        let collector = Collector::over_grpc(tls);
        let home = tempfile::tempdir().unwrap();
        let authority = home.path().join("ca.pem");
        fs::write(&authority, &certificate).unwrap();
        let authority = format!("--otlp-ca={}", authority.display());
        let export = collector.flag();
        let flags = [&export, "--otlp-protocol=grpc", "--otlp-headers-variable=SECRET", &authority];
        let variables = [("SECRET", "authorization=Bearer%20of-the-collector")];
        collector.conducts_itself(Conduct::Answers(503));
        let gateway = Gateway::among(home, AGENT, &flags, &variables);
        gateway.secret("a header for a collector", "of-the-collector");
        let job = submit_below(&gateway, "traced", "01");
        let_go_when_there(&gateway, &job);
        let own = result(&gateway, &job).as_str().unwrap().to_owned();
        wait_for("a call that is refused", || !collector.asked().is_empty());
        collector.conducts_itself(Conduct::Takes);
        wait_for("the job's span", || !collector.named("arcp.job").is_empty());
        let [span] = &collector.named("arcp.job")[..] else { panic!("{:?}", collector.spans()) };
        assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
        assert_eq!(own, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
        assert_eq!(collector.named("arcp.tool_call").len(), 1);
        let asked = collector.asked();
        assert!(asked.iter().all(|head| head.contains("Bearer of-the-collector")), "{asked:?}");
        for worker in common::workers_of(&gateway.data_dir()) {
            let environment = fs::read(format!("/proc/{worker}/environ")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&environment).contains("of-the-collector"), "a worker is not told");
        }
        assert_eq!(gateway.end(Signal::TERM).1.code(), Some(0));
    }
}

/// A collector that says when it wants a batch again does not get it before.
#[test]
fn a_collector_is_asked_again_when_it_wants_to_be() {
    for (collector, protocol) in [(Collector::start(), "http/protobuf"), (Collector::over_grpc(None), "grpc")] {
        collector.conducts_itself(Conduct::Waits(4));
        let gateway = Gateway::with("", &[&collector.flag(), "--otlp-protocol", protocol]);
        assert_eq!(gateway.follow("echo", &json!(1)).1, 0, "nobody waits for the collector");
        wait_for("it is asked twice", || collector.asked().len() >= 2);
        assert!(collector.put_off() >= 3.9, "{protocol}: after {} s", collector.put_off());
        collector.conducts_itself(Conduct::Takes);
        wait_for("the job's span", || !collector.named("arcp.job").is_empty());
        assert_eq!(collector.named("arcp.job").len(), 1, "{protocol}");
    }
}

#[test]
fn a_gateway_is_told_of_by_the_variables_of_opentelemetry() {
    let collector = Collector::over_grpc(None);
    let gateway = Gateway::among(
        tempfile::tempdir().unwrap(),
        "",
        &[],
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=one%20of%20many"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=moorline-eu"),
        ],
    );
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0);
    wait_for("the job's span", || !collector.named("arcp.job").is_empty());
    let resource = collector.resource();
    let said = ["service.name", "deployment.environment.name"].map(|key| resource.get(key).map(String::as_str));
    assert_eq!(said, [Some("moorline-eu"), Some("test")]);
    assert!(resource.contains_key("service.version"), "{resource:?}");
    assert!(collector.asked().iter().all(|head| head.contains("one of many")));
}

/// What an operator vouches for is done, and said at every start.
#[test]
fn spans_go_in_the_clear_to_another_machine_only_where_that_is_said_and_with_a_warning() {
    let elsewhere = "--otlp-endpoint=http://collector.invalid:4318/v1/traces";
    let gateway = Gateway::with("", &[elsewhere, "--otlp-insecure-plaintext=true"]);
    assert_eq!(gateway.follow("echo", &json!(1)).1, 0);
    wait_for("the log warns", || gateway.log().contains("in the clear to another machine"));
    let here = Gateway::with("", &[&Collector::start().flag(), "--otlp-insecure-plaintext=true"]);
    assert!(!here.log().contains("in the clear"), "{}", here.log());
}

#[test]
fn the_variables_of_opentelemetry_are_heeded() {
    let show = |name: &str, value: &str| {
        let output = moorline(["config", "show"]).env("HOME", "/nonexistent").env(name, value).output().unwrap();
        stdout(&output) + &stderr(&output)
    };
    let shown = show("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    assert!(shown.contains(r#"otlp.endpoint = "http://localhost:4318/v1/traces""#), "{shown}");
    assert!(shown.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{shown}");
    let shown = show("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector.example.com/v1/traces");
    assert!(shown.contains("--otlp-insecure-plaintext"), "{shown}");
}
