//! The bytes of every message, and that they are read back.

use expect_test::{Expect, expect};
use moorline_wire::{
    ClientMessage, DecodeLimits, Encoded, Frame, MessageType, RecordType, RuntimeMessage, decode_client,
    decode_runtime, encode,
};

use crate::samples;

fn lines<'a>(frames: impl Iterator<Item = &'a [u8]>) -> String {
    let text: Vec<_> = frames.map(|frame| std::str::from_utf8(frame).unwrap().to_owned()).collect();
    text.join("\n") + "\n"
}

fn check(frames: &[bytes::Bytes], expected: &Expect) {
    expected.assert_eq(&lines(frames.iter().map(AsRef::as_ref)));
}

#[test]
fn every_client_message_has_these_bytes_and_reads_back() {
    let frames = samples::client_frames();
    for frame in &frames {
        assert_eq!(decode_client(&encode(frame), DecodeLimits::default()).as_ref(), Ok(frame));
    }
    check(
        &frames.iter().map(encode).collect::<Vec<_>>(),
        &expect![[r#"
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.hello","payload":{"client":{"name":"examplectl","version":"0.4.1"},"auth":{"scheme":"bearer","token":"tok"},"capabilities":{"encodings":["json"],"features":["heartbeat","ack","list_jobs","subscribe","lease_expires_at","cost.budget","model.use","provisioned_credentials","progress","result_chunk","agent_versions","x-vendor.moorline.gap"]},"resume":{"session_id":"sess_01KRHDRWGW144GJ289144GJ289","resume_token":"rt_4f8c","last_event_seq":41},"resume_token":"rt_4f8c","last_event_seq":41}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.resume","payload":{"session_id":"sess_01KRHDRWGW144GJ289144GJ289","resume_token":"rt_4f8c","last_event_seq":41}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.ack","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"last_processed_seq":1827}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.list_jobs","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"filter":{"status":["running","pending"],"agent":"echo","created_after":"2026-05-13T19:42:13.020Z","created_before":"2026-05-13T19:42:13.020Z"},"limit":100,"cursor":"c1"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.submit","session_id":"sess_01KRHDRWGW144GJ289144GJ289","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{"agent":"echo@1.0.0","input":{"n":[1,2.5,"x"]},"lease_request":{"cost.budget":["USD:5.00"],"fs.read":["/ws/**"],"x-vendor.acme.gpu":["a100"]},"lease_constraints":{"expires_at":"2026-05-13T19:42:13.020Z"},"idempotency_key":"refactor-auth-2026-W19","max_runtime_sec":1800,"parent_job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","delegate_id":"dlg_1"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.cancel","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{"job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","reason":"user request"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.subscribe","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","payload":{"job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","from_event_seq":3,"history":true}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.unsubscribe","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","payload":{"job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.audit","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"since":"2026-05-13T19:42:13.020Z","max_age_ms":86400000,"principal":"ada","action":"cancel","job":"job_01KRHDRWGW0W3GE1R70W3GE1R7","decision":"refused","limit":7,"cursor":"c1"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.gc","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"dry_run":true,"older_than_ms":86400000,"max_bytes":1073741824,"cursor":"g1"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.keys","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"do":"create","name":"ci","principal":"ada","grants":{"scopes":["submit"],"tags":["team/a"],"constraints":{"agents":["echo*"],"max_runtime_sec":60}},"expires_in_ms":86400000}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.credentials","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"do":"retry"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.credentials","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"do":"rotate","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","name":"cred_01KRHDRWGW144GJ289144GJ289"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.close","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"reason":"done"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.bye","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"reason":"done"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.ping","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"nonce":"p_1","sent_at":"2026-05-13T19:42:13.020Z"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.pong","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"ping_nonce":"p_1","received_at":"2026-05-13T19:42:13.020Z"}}
        "#]],
    );
}

#[test]
fn every_runtime_message_has_these_bytes_and_reads_back() {
    let frames = samples::runtime_frames();
    for frame in &frames {
        assert_eq!(decode_runtime(&encode(frame), DecodeLimits::default()).as_ref(), Ok(frame));
    }
    check(
        &frames.iter().map(encode).collect::<Vec<_>>(),
        &expect![[r#"
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.welcome","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"runtime":{"name":"moorline","version":"0.1.0"},"session_id":"sess_01KRHDRWGW144GJ289144GJ289","resume_token":"rt_4f8c","resume_window_sec":600,"heartbeat_interval_sec":30,"capabilities":{"encodings":["json"],"features":["heartbeat","ack","list_jobs","subscribe","lease_expires_at","cost.budget","model.use","provisioned_credentials","progress","result_chunk","agent_versions","x-vendor.moorline.gap"],"agents":[{"name":"echo","versions":["1.0.0"],"default":"1.0.0"}]},"accepted_at":"2026-05-13T19:42:13.020Z"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.error","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","payload":{"code":"JOB_NOT_FOUND","message":"no job job_x is known to this principal","retryable":false,"details":{"job":"job_x"},"request_id":"msg_01KRHDRWGW040G2081040G2081","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.closed","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"reason":"done"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.jobs","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"request_id":"msg_01KRHDRWGW040G2081040G2081","jobs":[{"job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","agent":"echo@1.0.0","status":"timed_out","lease":{},"parent_job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","created_at":"2026-05-13T19:42:13.020Z","submitted_at":"2026-05-13T19:42:13.020Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","last_event_seq":12}],"next_cursor":null}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.accepted","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{"job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","agent":"echo@1.0.0","lease":{"cost.budget":["USD:5.00"]},"lease_constraints":{"expires_at":"2026-05-13T19:42:13.020Z"},"budget":{"USD":5.0},"credentials":[{"id":"cred_1","scheme":"bearer","value":"sk-virt","endpoint":"https://gateway.example.com/v1","profile":"openai","constraints":{"model.use":["tier-fast/*"]}}],"accepted_at":"2026-05-13T19:42:13.020Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","parent_job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","delegate_id":"dlg_1","request_id":"msg_01KRHDRWGW040G2081040G2081"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.event","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":17,"payload":{"kind":"log","ts":"2026-05-13T19:42:13.020Z","body":{"level":"info","message":"hello"}}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.result","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":17,"payload":{"final_status":"success","result":{"answer":42},"output":{"answer":42},"completed_at":"2026-05-13T19:42:13.020Z"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.result","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":17,"payload":{"final_status":"success","result_id":"res_1","result_size":31457280,"summary":"137 chunks","completed_at":"2026-05-13T19:42:13.020Z"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.error","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","event_seq":17,"payload":{"final_status":"cancelled","code":"CANCELLED","message":"cancelled","retryable":false,"details":{"by":"user"},"completed_at":"2026-05-13T19:42:13.020Z"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.cancelled","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{"job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","reason":"user request","request_id":"msg_01KRHDRWGW040G2081040G2081"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"job.subscribed","session_id":"sess_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","payload":{"request_id":"msg_01KRHDRWGW040G2081040G2081","job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","current_status":"running","agent":"echo@1.0.0","lease":{},"lease_constraints":{"expires_at":"2026-05-13T19:42:13.020Z"},"budget":{"USD":-0.12},"parent_job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","subscribed_from":57,"replayed":true,"credentials":[{"id":"cred_1","scheme":"bearer","value":"sk-virt","endpoint":"https://gateway.example.com/v1","profile":"openai","constraints":{"model.use":["tier-fast/*"]}}]}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.gap","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"from":3,"to":8,"next":9,"reason":"trimmed_by_age","epoch":"01KRHDRWGW0M2GA1850M2GA185"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.audit_page","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"request_id":"msg_01KRHDRWGW040G2081040G2081","entries":[{"at":"2026-05-13T19:42:13.020Z","action":"cancel","decision":"refused","relation":"stranger","scope":"control_all","who":"eve","object":"job_01KRHDRWGW0W3GE1R70W3GE1R7","owner":"ada","reason":"no such job","credential":"JWT","from":"192.0.2.1","session":"sess_1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","count":2}],"next_cursor":"c2","more":true}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.gc_report","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"request_id":"msg_01KRHDRWGW040G2081040G2081","dry_run":true,"jobs":12,"sessions":3,"kept":["job_01KRHDRWGW0W3GE1R70W3GE1R7"],"bytes_before":4096,"bytes_after":1024,"oldest":"2026-05-13T19:42:13.020Z","newest":"2026-05-13T19:42:13.020Z","next_cursor":"g2"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.keys_report","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"request_id":"msg_01KRHDRWGW040G2081040G2081","keys":[{"id":"key_01KRHDRWGW1040G2081040G208","hint":"mlk_AbCd","name":"ci","principal":"ada","grants":{"scopes":["submit"],"tags":["team/a"],"constraints":{"agents":["echo*"],"max_runtime_sec":60}},"created_at":"2026-05-13T19:42:13.020Z","rotated_at":"2026-05-13T19:42:13.020Z","previous_until":"2026-05-13T19:42:13.020Z","expires_at":"2026-05-13T19:42:13.020Z","last_used_at":"2026-05-13T19:42:13.020Z","revoked":true,"revoked_at":"2026-05-13T19:42:13.020Z"}],"secret":"mlk_secret","next_cursor":"k2"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"x-vendor.moorline.credentials_report","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"request_id":"msg_01KRHDRWGW040G2081040G2081","upstream":"litellm https://models.example.com","offered":false,"trouble":"it answered with HTTP 503","live":2,"outstanding":1,"rotated":"cred_01KRHDRWGW1040G2081040G208","credentials":[{"name":"cred_01KRHDRWGW144GJ289144GJ289","job_id":"job_01KRHDRWGW040G2081040G2081","upstream":"litellm https://models.example.com","since":"2026-05-13T19:42:13.020Z","failed":3,"error":"it answered with HTTP 503"}]}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.close","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.bye","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"reason":"shutting down"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.ping","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"nonce":"p_1","sent_at":"2026-05-13T19:42:13.020Z"}}
            {"arcp":"1.1","id":"msg_01KRHDRWGW040G2081040G2081","type":"session.pong","session_id":"sess_01KRHDRWGW144GJ289144GJ289","payload":{"ping_nonce":"p_1","received_at":"2026-05-13T19:42:13.020Z"}}
        "#]],
    );
}

#[test]
fn every_type_of_the_table_has_a_sample() {
    let client = samples::client_frames().into_iter().map(|frame| frame.message.message_type());
    let runtime = samples::runtime_frames().into_iter().map(|frame| frame.message.message_type());
    let sampled: Vec<_> = client.chain(runtime).collect();
    for message_type in MessageType::ALL {
        assert!(sampled.contains(message_type), "{message_type}");
    }
}

#[test]
fn a_payload_that_is_encoded_already_is_copied_as_it_is() {
    let payload = samples::json("{ \"kind\" : \"log\",\t\"ts\":\"2026-05-13T19:42:13Z\" , \"body\":{\"n\":1e400}}");
    let frame = Frame::new(samples::message_id(), Encoded { record: RecordType::Event, payload: payload.clone() });
    let bytes = encode(&frame);
    assert!(std::str::from_utf8(&bytes).unwrap().contains(payload.get()));
    let decoded = decode_runtime(&bytes, DecodeLimits::default()).unwrap();
    let RuntimeMessage::Event(event) = decoded.message else { panic!("{:?}", decoded.message) };
    assert_eq!(event.body.get(), "{\"n\":1e400}");
}

#[test]
fn a_frame_that_may_be_ignored_says_so() {
    let mut frame = samples::client_frames().remove(0);
    frame.optional = true;
    let decoded = decode_client(&encode(&frame), DecodeLimits::default());
    assert_eq!(decoded.as_ref(), Ok(&frame));
    assert!(matches!(frame.message, ClientMessage::Hello(_)));
}

#[test]
fn secrets_do_not_appear_in_debug_output() {
    let client = format!("{:?}", samples::client_frames());
    let runtime = format!("{:?}", samples::runtime_frames());
    for secret in ["rt_4f8c", "\"tok\"", "sk-virt"] {
        assert!(!client.contains(secret) && !runtime.contains(secret), "{secret}");
    }
}
