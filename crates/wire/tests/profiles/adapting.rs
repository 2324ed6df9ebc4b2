//! Adapting at its limits.

use moorline_types::limits::{MAX_EVENT_BODY_BYTES, MAX_INLINE_RESULT_BYTES};
use moorline_types::{EventKind, Json, Timestamp};
use moorline_wire::payload::{JobEvent, JobResult};
use moorline_wire::{Profile, RuntimeMessage};
use proptest::prelude::*;

fn now() -> Timestamp {
    Timestamp::from_unix_millis(0)
}

fn text_of(length: usize) -> Json {
    Json::of(&"x".repeat(length - 2)).unwrap()
}

fn adapted(profile: Profile, result: Json) -> JobResult {
    match profile.adapt(RuntimeMessage::JobResult(JobResult::inline(result, now()))) {
        RuntimeMessage::JobResult(result) => result,
        other => panic!("{other:?}"),
    }
}

fn event(profile: Profile, kind: &EventKind, body: &str) -> Json {
    match profile.adapt(RuntimeMessage::Event(JobEvent::new(kind, now(), Json::parse(body).unwrap()))) {
        RuntimeMessage::Event(event) => event.body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_stands_there_twice_only_if_there_is_room() {
    for (length, both) in [(2, true), (MAX_INLINE_RESULT_BYTES / 2, true), (MAX_INLINE_RESULT_BYTES / 2 + 1, false)] {
        let result = adapted(Profile::Go, text_of(length));
        assert_eq!((result.output.is_some(), result.result.is_some()), (true, both), "{length}");
        let result = adapted(Profile::Spec, text_of(length));
        assert_eq!((result.output.is_some(), result.result.is_some()), (false, true), "{length}");
    }
}

#[test]
fn a_field_gets_its_other_name_only_if_there_is_room_and_nobody_has_it() {
    let metric = |dimensions: &str| format!(r#"{{"name":"n","value":1.50,"dimensions":{dimensions}}}"#);
    for (body, expected) in [
        (metric(r#"{"a": 1.0}"#), r#"{"name":"n","value":1.50,"dimensions":{"a": 1.0},"dims":{"a": 1.0}}"#.to_owned()),
        (metric("{}") + " ", r#"{"name":"n","value":1.50,"dimensions":{},"dims":{}}"#.to_owned()),
        (r#"{"dims":1,"dimensions":2}"#.to_owned(), r#"{"dims":1,"dimensions":2}"#.to_owned()),
        (r#"{"name":"n","value":1}"#.to_owned(), r#"{"name":"n","value":1}"#.to_owned()),
        ("{}".to_owned(), "{}".to_owned()),
    ] {
        assert_eq!(event(Profile::TypeScript, &EventKind::Metric, &body).get().trim_end(), expected);
    }
    let large = metric(&format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_EVENT_BODY_BYTES / 2)));
    assert_eq!(event(Profile::TypeScript, &EventKind::Metric, &large).get(), large);
}

proptest! {
    /// Aliases add fields to an object and change nothing else of it, whatever it is.
    #[test]
    fn a_body_keeps_all_that_it_has(
        fields in proptest::collection::btree_map("(tool|args|call_id|result|\\PC{0,6})", "\\PC{0,9}", 0..6),
        kind in proptest::sample::select(EventKind::SPEC),
        profile in proptest::sample::select(Profile::ALL),
    ) {
        let body = serde_json::to_string(&fields).unwrap();
        let adapted = event(profile, &kind, &body);
        let after: std::collections::BTreeMap<String, String> = adapted.to().unwrap();
        for (name, value) in &fields {
            prop_assert_eq!(after.get(name), Some(value));
        }
        let as_it_was = &body[..body.len() - 1];
        prop_assert!(adapted.get().starts_with(as_it_was), "{}", adapted.get());
    }
}
