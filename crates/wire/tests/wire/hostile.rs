//! Frames that mean harm, or are nonsense.

use moorline_types::limits::MAX_JSON_DEPTH;
use moorline_wire::{DecodeErrorKind, DecodeLimits, decode_client, decode_runtime, encode};
use proptest::prelude::*;

use crate::samples;

fn error(frame: impl AsRef<[u8]>) -> DecodeErrorKind {
    decode_client(frame.as_ref(), DecodeLimits::default()).unwrap_err().kind
}

#[test]
fn a_frame_that_cannot_be_read_is_refused_in_words_that_help() {
    for (frame, expected) in [
        ("", "the frame is not JSON: error at line 1, column 0"),
        ("{", "the frame is not JSON: error at line 1, column 1"),
        ("hello", "the frame is not JSON: error at line 1, column 1"),
        ("[]", "the frame must be a JSON object"),
        ("\"x\"", "the frame must be a JSON object"),
        ("{}", "id: missing"),
        (r#"{"id":7}"#, "id: expected a string, found another number"),
        (r#"{"id":""}"#, "id: must be 1 to 128 printable characters"),
        (r#"{"id":"a"}"#, "arcp: missing"),
        (r#"{"id":"a","arcp":"1.0"}"#, "arcp: this runtime speaks version 1.1, the frame says \"1.0\""),
        (r#"{"id":"a","arcp":1.1}"#, "arcp: expected a string, found another number"),
        (r#"{"id":"a","arcp":"1.1"}"#, "type: missing"),
        (r#"{"id":"a","id":"b","arcp":"1.1"}"#, "id: there more than once"),
        (r#"{"id":"a","arcp":"1.1","type":"job.teleport"}"#, "type: no message is called \"job.teleport\""),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.accepted"}"#,
            "type: job.accepted is not a message that this side receives",
        ),
        (r#"{"id":"a","arcp":"1.1","type":"job.submit"}"#, "payload.agent: missing"),
        (r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":[]}"#, "payload: expected an object, found an array"),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":5}}"#,
            "payload.agent: expected a string, found a whole number",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":"e","agent":"f"}}"#,
            "payload.agent: there more than once",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":"E"}}"#,
            "payload.agent: an agent name is [a-z0-9][a-z0-9._-]* of at most 64 characters",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":"e","max_runtime_sec":0}}"#,
            "payload.max_runtime_sec: must be a whole number from 1 to 86400",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":"e","lease_request":{"fs.read":["a",2]}}}"#,
            "payload.lease_request.fs.read[1]: expected a string, found a whole number",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":"e","input":{"a":"\ud800"},"x":"\ud800"}}"#,
            "",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.hello","payload":{"client":["n","v"]}}"#,
            "payload.client: expected an object, found an array",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.hello","payload":{"client":{"name":"n"},"auth":"sk-secret"}}"#,
            "payload.auth: expected an object, found a string",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.ack","payload":{"last_processed_seq":5.0}}"#,
            "payload.last_processed_seq: expected a whole number, 0 or more, found a number with a fraction or an exponent",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.list_jobs","payload":{"filter":{"status":["asleep"]}}}"#,
            "payload.filter.status[0]: expected one of: pending running success error cancelled timed_out, found another value",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.close","trace_id":"xyz"}"#,
            "trace_id: a trace id is 32 lower-case hexadecimal digits, not all zero",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.close","job_id":""}"#,
            "job_id: must be 1 to 128 printable characters",
        ),
        (
            r#"{"id":"a","arcp":"1.1","type":"session.close","extensions":7}"#,
            "extensions: expected an object, found a whole number",
        ),
        (r#"{"id":"\ud800","arcp":"1.1","type":"session.close"}"#, "id: must be valid Unicode"),
    ] {
        if expected.is_empty() {
            assert!(decode_client(frame.as_bytes(), DecodeLimits::default()).is_ok(), "{frame}");
        } else {
            assert_eq!(error(frame).to_string(), expected, "{frame}");
        }
    }
    assert_eq!(error(b"\xff{}"), DecodeErrorKind::NotText);
}

#[test]
fn an_error_keeps_what_an_answer_needs() {
    let frame = r#"{"payload":{"agent":5},"job_id":"job_x","type":"job.submit","event_seq":4,"id":"m1","arcp":"2"}"#;
    let error = decode_client(frame.as_bytes(), DecodeLimits::default()).unwrap_err();
    assert_eq!(error.id.unwrap().as_str(), "m1");
    assert_eq!(error.message_type.unwrap().as_str(), "job.submit");
    assert_eq!(error.job_id.unwrap().as_str(), "job_x");
    assert_eq!(error.event_seq.unwrap().get(), 4);
}

#[test]
fn the_details_of_an_error_are_for_programs() {
    let details = |frame: &str| error(frame).details().map(|json| json.get().to_owned());
    for (frame, expected) in [
        (
            r#"{"id":"a","arcp":"1.1","type":"job.submit","payload":{"agent":5}}"#,
            Some(r#"{"expected":"a string","field":"payload.agent","found":"a whole number"}"#),
        ),
        (r#"{"id":"a","arcp":"1.1","type":"job.submit"}"#, Some(r#"{"field":"payload.agent"}"#)),
        (r#"{"id":"a","arcp":"1.1","type":"nope"}"#, Some(r#"{"field":"type","type":"nope"}"#)),
        (r#"{"id":"a","arcp":"9"}"#, Some(r#"{"field":"arcp","found":"9"}"#)),
        ("[]", None),
    ] {
        assert_eq!(details(frame).as_deref(), expected, "{frame}");
    }
}

#[test]
fn an_unknown_type_that_may_be_ignored_says_so_and_its_name_is_cut() {
    let name = "x".repeat(10_000);
    let frame = format!(r#"{{"id":"a","arcp":"1.1","type":"{name}","extensions":{{"optional":true}}}}"#);
    let DecodeErrorKind::UnknownType { name, optional } = error(frame) else { panic!("the type is unknown") };
    assert!(optional && name.len() == 64);
}

#[test]
fn a_frame_of_brackets_is_refused_in_one_pass() {
    for bomb in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 18), format!("{{\"payload\":{}", "[".repeat(1 << 20))] {
        assert_eq!(error(bomb), DecodeErrorKind::TooDeep { max_depth: MAX_JSON_DEPTH });
    }
    // The deepest frame that is allowed, and one more.
    for (inner, deep) in [(MAX_JSON_DEPTH - 2, false), (MAX_JSON_DEPTH - 1, true)] {
        let input = "[".repeat(inner) + &"]".repeat(inner);
        let frame =
            format!(r#"{{"id":"a","arcp":"1.1","type":"job.submit","payload":{{"agent":"e","input":{input}}}}}"#);
        let decoded = decode_client(frame.as_bytes(), DecodeLimits::default());
        assert_eq!(decoded.is_err(), deep, "{inner} arrays");
    }
}

#[test]
fn a_frame_that_is_too_large_is_not_looked_at() {
    let limits = DecodeLimits { max_bytes: 100, ..DecodeLimits::default() };
    let kind = decode_client(&[0xff; 101], limits).unwrap_err().kind;
    assert_eq!(kind, DecodeErrorKind::TooLarge { bytes: 101, max_bytes: 100 });
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        decode_client(&bytes, DecodeLimits::default()).unwrap_err();
        decode_runtime(&bytes, DecodeLimits::default()).unwrap_err();
    }

    #[test]
    fn no_damage_to_a_valid_frame_makes_the_reader_panic(
        which in 0..64_usize,
        at in 0..4096_usize,
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let client = samples::client_frames();
        let runtime = samples::runtime_frames();
        for mut bytes in [
            encode(&client[which % client.len()]).to_vec(),
            encode(&runtime[which % runtime.len()]).to_vec(),
        ] {
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            // Some damage leaves a valid frame; all that counts is that both readers come back.
            let _either_way = (decode_client(&bytes, DecodeLimits::default()), decode_runtime(&bytes, DecodeLimits::default()));
        }
    }
}
