//! Whatever can be said is read back as it was said.

use moorline_types::{Epoch, EventSeq, Json, Timestamp, TraceContext};
use moorline_wire::payload::*;
use moorline_wire::vendor::{Cursor, Extensions, OnGap, Overflow, ResumeOptions, Retry, SubscribeOptions};
use moorline_wire::{
    ClientMessage, DecodeLimits, ErrorCode, Feature, FeatureSet, FinalStatus, Frame, RuntimeMessage, Secret,
    decode_client, decode_runtime, encode,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "\\PC{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::hash_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
    .prop_map(|value| Json::of(&value).unwrap())
}

fn text<T: std::str::FromStr + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_filter_map("a text of the type", |text: String| text.parse().ok())
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (0..=Timestamp::MAX.as_unix_millis()).prop_map(Timestamp::from_unix_millis)
}

fn any_seq() -> impl Strategy<Value = EventSeq> {
    (1..=u64::MAX).prop_map(EventSeq::new)
}

fn any_resume() -> impl Strategy<Value = Resume> {
    (option::of(text("\\PC{1,20}")), "\\PC{0,20}", any_seq()).prop_map(|(session_id, token, last_event_seq)| Resume {
        session_id,
        resume_token: Secret::from(token),
        last_event_seq,
    })
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let auth = (text("[a-z]{1,8}"), option::of("\\PC{0,30}"))
        .prop_map(|(scheme, token)| Auth { scheme, token: token.map(Secret::from) });
    let features = proptest::sample::subsequence(Feature::ALL, 0..=Feature::ALL.len());
    (text("\\PC{1,30}"), option::of(text("\\PC{1,9}")), option::of(auth), features, option::of(any_resume())).prop_map(
        |(name, version, auth, features, resume)| Hello {
            client: ClientInfo { name, version },
            auth,
            capabilities: ClientCapabilities {
                encodings: Vec::new(),
                features: features.into_iter().collect::<FeatureSet>(),
            },
            resume,
        },
    )
}

fn any_submit() -> impl Strategy<Value = Submit> {
    let lease = option::of(proptest::collection::btree_map(
        "x-vendor\\.[a-z]{1,4}\\.[a-z]{1,4}",
        vec(text("\\PC{1,9}"), 0..3),
        0..4,
    ));
    (
        text("[a-z0-9][a-z0-9._-]{0,8}(@[a-zA-Z0-9.+_-]{1,6})?"),
        any_json(),
        lease,
        option::of(text("\\PC{1,20}")),
        option::of(1..=86_400_u64),
        option::of(text("\\PC{1,20}")),
    )
        .prop_map(|(agent, input, lease, idempotency_key, max_runtime_sec, parent_job_id)| Submit {
            lease_request: lease.map(|grants| {
                let grants = grants.into_iter().map(|(name, patterns)| (name.into(), patterns)).collect();
                moorline_wire::LeaseRequest::new(grants).unwrap()
            }),
            idempotency_key,
            max_runtime_sec,
            parent_job_id,
            ..Submit::new(agent, input)
        })
}

fn any_client_message() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![
        any_hello().prop_map(ClientMessage::Hello),
        any_resume().prop_map(ClientMessage::Resume),
        any_submit().prop_map(|submit| ClientMessage::Submit(Box::new(submit))),
        any_seq().prop_map(|last_processed_seq| ClientMessage::Ack(Ack { last_processed_seq })),
        (option::of(text("\\PC{1,20}")), option::of(text("\\PC{1,40}")))
            .prop_map(|(job_id, reason)| ClientMessage::Cancel(Cancel { job_id, reason })),
        (text("\\PC{1,20}"), option::of(any_seq()), any::<bool>()).prop_map(|(job_id, from_event_seq, history)| {
            ClientMessage::Subscribe(Subscribe { job_id, from_event_seq, history })
        }),
        option::of(text("\\PC{1,40}")).prop_map(|reason| ClientMessage::Bye(Close { reason })),
        (text("\\PC{1,20}"), option::of(any_time()))
            .prop_map(|(nonce, sent_at)| ClientMessage::Ping(Ping { nonce, sent_at })),
    ]
}

fn any_runtime_message() -> impl Strategy<Value = RuntimeMessage> {
    let code = || proptest::sample::select(ErrorCode::ALL);
    prop_oneof![
        (code(), "\\PC{0,40}", any::<bool>(), option::of(any_json())).prop_map(
            |(code, message, retryable, details)| {
                let mut error = SessionError::new(code, &message).retryable_if(retryable);
                error.details = details.filter(|details| details.get() != "null");
                RuntimeMessage::SessionError(error)
            }
        ),
        (proptest::sample::select(FinalStatus::ALL), code(), "\\PC{0,40}", any::<bool>(), any_time()).prop_map(
            |(status, code, message, retryable, at)| {
                RuntimeMessage::JobError(JobError::new(status, code, &message, retryable, at))
            }
        ),
        (any_json(), any_time())
            .prop_filter("a result of null is left out", |(json, _)| json.get() != "null")
            .prop_map(|(json, at)| RuntimeMessage::JobResult(JobResult::inline(json, at))),
        ("\\PC{0,20}", any_time(), any_json()).prop_map(|(kind, ts, body)| {
            let body = Json::of(&std::collections::BTreeMap::from([("b", body)])).unwrap();
            RuntimeMessage::Event(JobEvent { kind: kind.into(), ts, body })
        }),
    ]
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    any::<[u8; 16]>().prop_map(Epoch::from_bytes)
}

fn any_extensions() -> impl Strategy<Value = Extensions> {
    let cursor = (any_epoch(), any_seq()).prop_map(|(epoch, event_seq)| Cursor { epoch, event_seq });
    let resume = (option::of(any_epoch()), option::of(proptest::sample::select(OnGap::ALL)))
        .prop_map(|(epoch, on_gap)| ResumeOptions { epoch, on_gap });
    let subscribe = proptest::sample::select(Overflow::ALL).prop_map(|overflow| SubscribeOptions { overflow });
    (
        option::of(cursor),
        option::of(resume),
        any::<bool>(),
        option::of(subscribe),
        any::<bool>(),
        option::of(any::<u64>().prop_map(|after_ms| Retry { after_ms })),
    )
        .prop_map(|(cursor, resume, replayed, subscribe, profile, retry)| Extensions {
            cursor,
            resume,
            replayed,
            subscribe,
            profile,
            retry,
        })
}

fn framed<M: std::fmt::Debug>(message: impl Strategy<Value = M>) -> impl Strategy<Value = Frame<M>> {
    let trace = proptest::sample::select(vec![None, Some(crate::samples::TRACE)]);
    (
        text("\\PC{1,30}"),
        option::of(text("\\PC{1,30}")),
        option::of(text("\\PC{1,30}")),
        trace,
        option::of(any_seq()),
        any::<bool>(),
        any::<bool>(),
        any_extensions(),
        message,
    )
        .prop_map(|(id, session_id, job_id, trace, event_seq, parent, optional, extensions, message)| Frame {
            id,
            session_id,
            job_id,
            trace_id: trace.map(|trace| trace.parse().unwrap()),
            trace_parent: trace.filter(|_| parent).map(|trace| {
                let context: TraceContext = format!("00-{trace}-00f067aa0ba902b7-01").parse().unwrap();
                TraceContext { state: "a=b".parse().ok(), ..context }
            }),
            event_seq,
            optional,
            extensions,
            message,
        })
}

proptest! {
    #[test]
    fn what_a_client_says_is_read_back(frame in framed(any_client_message())) {
        prop_assert_eq!(decode_client(&encode(&frame), DecodeLimits::default()), Ok(frame));
    }

    #[test]
    fn what_a_runtime_says_is_read_back(frame in framed(any_runtime_message())) {
        prop_assert_eq!(decode_runtime(&encode(&frame), DecodeLimits::default()), Ok(frame));
    }
}
