//! What official peers send and the spec does not say.

use moorline_types::{EventSeq, TraceState};
use moorline_wire::{ClientMessage, DecodeLimits, Feature, JobStatus, RuntimeMessage, decode_client, decode_runtime};

fn client(message_type: &str, payload: &str) -> ClientMessage {
    let frame = format!(r#"{{"arcp":"1.1","id":"01H","type":"{message_type}","payload":{payload}}}"#);
    decode_client(frame.as_bytes(), DecodeLimits::default()).unwrap().message
}

fn runtime(message_type: &str, payload: &str) -> RuntimeMessage {
    let frame = format!(r#"{{"arcp":"1.1","id":"x","type":"{message_type}","session_id":"s","payload":{payload}}}"#);
    decode_runtime(frame.as_bytes(), DecodeLimits::default()).unwrap().message
}

macro_rules! expect_message {
    ($message:expr, $variant:path) => {
        match $message {
            $variant(payload) => payload,
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn a_resume_is_read_from_all_three_forms() {
    let client_info = r#""client":{"name":"n"}"#;
    for (payload, session, seq) in [
        (r#""resume":{"session_id":"sess_1","resume_token":"t","last_event_seq":41}"#, Some("sess_1"), 41),
        (r#""resume_token":"t","last_event_seq":41"#, None, 41),
        (r#""resume_token":"t","last_event_seq":-1"#, None, 0),
        (r#""resume_token":"t","last_event_seq":null"#, None, 0),
        (r#""resume_token":"t""#, None, 0),
    ] {
        let hello =
            expect_message!(client("session.hello", &format!("{{{client_info},{payload}}}")), ClientMessage::Hello);
        let resume = hello.resume.unwrap();
        assert_eq!(resume.session_id.as_ref().map(|id| id.as_str()), session, "{payload}");
        assert_eq!((resume.resume_token.expose(), resume.last_event_seq), ("t", EventSeq::new(seq)), "{payload}");
    }
    for payload in ["", r#","resume":null,"resume_token":null,"last_event_seq":null"#, r#","last_event_seq":-1"#] {
        let hello =
            expect_message!(client("session.hello", &format!("{{{client_info}{payload}}}")), ClientMessage::Hello);
        assert_eq!(hello.resume, None, "{payload}");
    }
    let resume = expect_message!(client("session.resume", r#"{"resume_token":"t"}"#), ClientMessage::Resume);
    assert_eq!(resume.last_event_seq, EventSeq::ZERO);
}

#[test]
fn a_hello_may_leave_out_all_but_the_clients_name() {
    let hello = expect_message!(
        client("session.hello", r#"{"client":{"name":"n","version":"","kind":"x"},"auth":null,"capabilities":null}"#),
        ClientMessage::Hello
    );
    assert!(hello.auth.is_none() && hello.client.version.is_none());
    assert_eq!(hello.capabilities.features.iter().count(), 0);
    let hello = expect_message!(
        client(
            "session.hello",
            r#"{"client":{"name":"n"},"capabilities":{"agents":["any",5],"features":["ack","x-vendor.a.b"]}}"#
        ),
        ClientMessage::Hello
    );
    assert_eq!(hello.capabilities.features.iter().collect::<Vec<_>>(), [Feature::Ack]);
}

#[test]
fn a_submission_with_nulls_is_one_without_the_fields() {
    let nulls = r#"{"agent":"echo","input":null,"lease_request":null,"lease_constraints":null,"idempotency_key":null,
        "max_runtime_sec":null,"parent_job_id":null,"delegate_id":null,"unknown":[null]}"#;
    assert_eq!(client("job.submit", nulls), client("job.submit", r#"{"agent":"echo"}"#));
}

#[test]
fn a_list_request_leaves_to_the_runtime_what_it_does_not_say() {
    for payload in ["{}", r#"{"filter":{},"limit":0,"cursor":""}"#, r#"{"filter":null,"limit":-5,"cursor":null}"#] {
        let list = expect_message!(client("session.list_jobs", payload), ClientMessage::ListJobs);
        assert_eq!((list.limit, list.cursor), (None, None), "{payload}");
    }
}

#[test]
fn ids_of_another_form_are_read_and_are_not_ours() {
    let frame = r#"{"arcp":"1.1","id":"0190b1f2-7c1e","type":"job.cancel","session_id":"S-1","job_id":"job-17"}"#;
    let frame = decode_client(frame.as_bytes(), DecodeLimits::default()).unwrap();
    assert_eq!(frame.session_id.unwrap().known(), None);
    let cancel = expect_message!(frame.message, ClientMessage::Cancel);
    assert_eq!(cancel.target(frame.job_id.as_ref()).unwrap().known(), None);
}

#[test]
fn a_null_or_unknown_field_of_the_envelope_is_as_good_as_absent() {
    let frame = r#"{"arcp":"1.1","id":"a","type":"session.bye","session_id":null,"job_id":null,"trace_id":null,
        "event_seq":0,"payload":null,"extensions":null,"timestamp":"yesterday","correlation_id":7}"#;
    let frame = decode_client(frame.as_bytes(), DecodeLimits::default()).unwrap();
    assert!(frame.session_id.is_none() && frame.trace_id.is_none() && frame.event_seq.is_none());
}

#[test]
fn an_envelope_with_escaped_keys_is_the_same_envelope() {
    let frame = r#"{"\u0061rcp":"1.1","id":"\u0061","type":"session\u002ebye","payload":{}}"#;
    let frame = decode_client(frame.as_bytes(), DecodeLimits::default()).unwrap();
    assert_eq!(frame.id.as_str(), "a");
}

#[test]
fn a_runtimes_odd_trace_id_is_left_out_and_a_clients_is_refused() {
    let frame = r#"{"arcp":"1.1","id":"a","type":"session.ping","trace_id":"?","payload":{"nonce":"n"}}"#;
    assert_eq!(decode_runtime(frame.as_bytes(), DecodeLimits::default()).unwrap().trace_id, None);
    assert!(decode_client(frame.as_bytes(), DecodeLimits::default()).is_err());
}

#[test]
fn a_trace_that_a_tracing_layer_puts_into_the_extensions_counts_if_there_is_no_other() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const OTHER: &str = "11111111111111111111111111111111";
    let context = |traceparent: &str| format!(r#"{{"traceparent":"{traceparent}","tracestate":"a=b"}}"#);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let own = format!("00-{TRACE}-1111111111111111-00");
    let none = || "null".to_owned();
    let with_odd_state = format!(r#"{{"traceparent":"{parent}","tracestate":"not a state"}}"#);
    for (trace_id, context, expected, below) in [
        (none(), context(&parent), Some(TRACE), Some((parent.as_str(), Some("a=b")))),
        (format!("{TRACE:?}"), context(&parent), Some(TRACE), Some((parent.as_str(), Some("a=b")))),
        (format!("{OTHER:?}"), context(&parent), Some(OTHER), None),
        (format!("{own:?}"), none(), Some(TRACE), Some((own.as_str(), None))),
        (format!("{own:?}"), context(&parent), Some(TRACE), Some((parent.as_str(), Some("a=b")))),
        (none(), with_odd_state, Some(TRACE), Some((parent.as_str(), None))),
        (none(), context("00-nothing"), None, None),
        (none(), r#"["x"]"#.to_owned(), None, None),
        (none(), none(), None, None),
    ] {
        let frame = format!(
            r#"{{"arcp":"1.1","id":"a","type":"job.submit","trace_id":{trace_id},"payload":{{"agent":"a"}},
                "extensions":{{"x-vendor.opentelemetry.tracecontext":{context}}}}}"#
        );
        let frame = decode_client(frame.as_bytes(), DecodeLimits::default()).unwrap();
        assert_eq!(frame.trace_id.map(|trace| trace.to_string()).as_deref(), expected, "{context}");
        let parent = frame.trace_parent.as_ref().map(ToString::to_string);
        let state = frame.trace_parent.as_ref().and_then(|parent| parent.state.as_ref()).map(TraceState::as_str);
        assert_eq!(parent.as_deref().map(|parent| (parent, state)), below, "{trace_id} {context}");
    }
}

#[test]
fn a_welcome_may_list_bare_names_and_leave_out_the_session() {
    let welcome = expect_message!(
        runtime("session.welcome", r#"{"runtime":{"name":"r"},"capabilities":{"agents":["echo",{"name":"b"}]}}"#),
        RuntimeMessage::Welcome
    );
    let names: Vec<_> = welcome.capabilities.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["echo", "b"]);
    assert!(welcome.session_id.is_none() && welcome.resume_token.is_none());
}

#[test]
fn a_result_is_found_under_each_of_its_names() {
    for payload in [r#"{"result":{"a":1}}"#, r#"{"output":{"a":1},"event_seq":3}"#, r#"{"value":{"a":1}}"#] {
        let result = expect_message!(runtime("job.result", payload), RuntimeMessage::JobResult);
        assert_eq!(result.value().unwrap().get(), r#"{"a":1}"#, "{payload}");
    }
}

#[test]
fn lists_and_descriptors_of_other_runtimes_are_read() {
    let jobs = expect_message!(runtime("session.jobs", r#"{"request_id":"r","jobs":null}"#), RuntimeMessage::Jobs);
    assert!(jobs.jobs.is_empty() && jobs.next_cursor.is_none());
    let jobs = expect_message!(
        runtime(
            "session.jobs",
            r#"{"jobs":[{"job_id":"j","status":"completed","submitted_at":"2026-05-13T19:42:13.020000000+00:00"}]}"#
        ),
        RuntimeMessage::Jobs
    );
    assert_eq!(jobs.jobs[0].status.known(), Some(JobStatus::Success));
    assert!(jobs.jobs[0].accepted_at().is_some());
    let subscribed = expect_message!(
        runtime("job.subscribed", r#"{"job_id":"j","current_status":"timedout","replayed":3,"parent_job_id":null}"#),
        RuntimeMessage::Subscribed
    );
    assert!(subscribed.replayed);
    assert_eq!(subscribed.current_status.known(), Some(JobStatus::TimedOut));
    let accepted = expect_message!(
        runtime("job.accepted", r#"{"job_id":"j","budget":{"USD":"USD:5.00"}}"#),
        RuntimeMessage::Accepted
    );
    assert_eq!(accepted.budget.unwrap()["USD"].as_str(), "5.00");
    assert_eq!(accepted.lease.get(), "{}");
}
