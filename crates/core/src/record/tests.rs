use moorline_types::TraceFlags;

use super::*;
use crate::job::Status;

/// A job of which nothing is said that can be left out.
pub(crate) fn plain(lease: &str) -> Accepted {
    Accepted {
        session: SessionId::mint(Timestamp::from_unix_millis(1_000), [1; 10]),
        principal: "ada".parse().unwrap(),
        tags: BTreeSet::new(),
        agent: "echo".into(),
        version: "1.0.0".into(),
        input: Json::null(),
        lease: Json::parse(lease).unwrap(),
        max_runtime_sec: None,
        expires_at: None,
        trace_id: None,
        credentials: Vec::new(),
        span: None,
        parent: None,
        bounds: None,
    }
}

/// A job with everything that can be said of one.
pub(crate) fn accepted() -> Accepted {
    let now = Timestamp::from_unix_millis(1_000);
    let quotas = Quotas { jobs: Some(3), ..Quotas::default() };
    let bounds = SubmitterBounds { agents: vec!["echo*".parse().unwrap()], quotas };
    Accepted {
        session: SessionId::mint(now, [2; 10]),
        principal: "ada".parse().unwrap(),
        tags: ["team/a".parse().unwrap()].into(),
        agent: "echo".into(),
        version: "1.0.0".into(),
        input: Json::parse(r#"{"a": [1, 2.50]}"#).unwrap(),
        lease: Json::parse("{}").unwrap(),
        max_runtime_sec: Some(5),
        expires_at: Some(now),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".parse().ok(),
        span: Some(Box::new(JobSpan {
            id: "00f067aa0ba902b7".parse().unwrap(),
            recorded: true,
            parent: "b7ad6b7169203331".parse().ok(),
            flags: TraceFlags::of(true),
            state: "vendor=value".parse().ok(),
        })),
        credentials: vec![Provisioned {
            id: CredentialId::mint(now, [4; 10]),
            issue: CredentialId::mint(now, [5; 10]),
            endpoint: "https://models.example.com/v1".into(),
            profile: Some("openai".into()),
            constraints: Json::parse(r#"{"model.use":["a"]}"#).unwrap(),
            good_until: now,
        }],
        parent: Some(Parent { job: JobId::mint(now, [7; 10]), delegate_id: "dlg_1".into(), depth: 1, detached: true }),
        bounds: Some(Box::new(bounds)),
    }
}

fn facts() -> Vec<Fact> {
    let now = Timestamp::from_unix_millis(1_000);
    let job = JobId::mint(now, [1; 10]);
    let principal: PrincipalId = "ada".parse().unwrap();
    vec![
        Fact::Accepted(accepted()),
        Fact::Started(Started { worker: WorkerId::mint(now, [3; 10]), fence: Fence::FIRST }),
        Fact::Event(Event {
            kind: EventKind::Log,
            ts: now,
            worker_seq: Some(WorkerSeq::FIRST),
            body: Json::parse(r#"{"level":"info","message":"1e3 and 1.0 stay as they are"}"#).unwrap(),
        }),
        Fact::CancelRequested(CancelRequested { by: Some(principal.clone()), reason: None }),
        Fact::Result(Success {
            worker_seq: None,
            output: Output::Streamed { result_id: "res_1".into(), result_size: 7 },
            summary: Some("done".into()),
        }),
        Fact::Result(Success { worker_seq: None, output: Output::Inline(Json::null()), summary: None }),
        Fact::Error(Failure {
            worker_seq: Some(WorkerSeq::new(9)),
            cause: Cause::Agent,
            message: "no".into(),
            retryable: true,
            details: Json::parse(r#"{"n":1}"#).ok(),
        }),
        Fact::Reserved(Reserved { child: job, budget: Budget::new(["USD:1.50", "credits:3"]).unwrap() }),
        Fact::Settled(Settled { child: job, spent: [("USD".into(), "0.25".parse().unwrap())].into() }),
        Fact::CredentialRotated(CredentialRotated {
            credential: CredentialId::mint(now, [4; 10]),
            issue: CredentialId::mint(now, [6; 10]),
            good_until: now,
        }),
        Fact::DelegationHeld(DelegationHeld {
            worker_seq: WorkerSeq::new(3),
            delegate_id: "dlg_0".into(),
            child: job,
            accepted: Box::new(plain(r#"{"model.use":["a"]}"#)),
        }),
        Fact::Delegated(Delegated {
            worker_seq: Some(WorkerSeq::new(4)),
            delegate_id: "dlg_1".into(),
            child: job,
            agent: "echo@1.0.0".into(),
            input: Json::null(),
            lease: Json::parse(r#"{"cost.budget":["USD:1"]}"#).unwrap(),
            expires_at: Some(now),
            detached: false,
        }),
        Fact::DelegationRefused(DelegationRefused {
            delegate_id: "dlg_2".into(),
            failure: Failure {
                worker_seq: Some(WorkerSeq::new(5)),
                cause: Cause::LeaseSubset,
                message: "no".into(),
                retryable: false,
                details: None,
            },
        }),
        Fact::ChildEnded(ChildEnded {
            delegate_id: "dlg_1".into(),
            child: job,
            status: Status::Success,
            failure: None,
        }),
        Fact::Opened(Opened { principal, tags: BTreeSet::new(), client: "test".into() }),
        Fact::Attached(Attached { job, from: None, overflow: Overflow::CatchUp }),
        Fact::Attached(Attached { job, from: Some(StreamSeq::FIRST), overflow: Overflow::Skip }),
        Fact::Subscribed(Subscribed { job, from: StreamSeq::FIRST, overflow: Overflow::Latest }),
        Fact::Notice(Notice { job, kind: EventKind::Status, body: Json::parse(r#"{"phase":"x"}"#).unwrap() }),
        Fact::History(History { job, from: StreamSeq::FIRST, to: StreamSeq::new(4) }),
        Fact::Detached(Detached { job }),
        Fact::Closed(Closed { reason: Some("bye".into()) }),
    ]
}

#[test]
fn a_job_of_an_earlier_version_has_no_span() {
    let earlier = Accepted { span: None, ..accepted() };
    let written = String::from_utf8(Fact::Accepted(earlier.clone()).encode().to_vec()).unwrap();
    assert!(!written.contains("span"), "{written}");
    assert_eq!(serde_json::from_str::<Accepted>(&written).unwrap(), earlier);
}

#[test]
fn every_fact_reads_back_as_it_was_written() {
    for fact in facts() {
        let record = Record {
            stream: moorline_types::StreamId::Job(JobId::from_bytes([0; 16])),
            seq: StreamSeq::FIRST,
            at: Timestamp::from_unix_millis(0),
            kind: fact.kind(),
            body: fact.encode(),
        };
        assert_eq!(Fact::decode(&record).unwrap(), fact);
    }
}

#[test]
fn every_kind_of_record_has_a_fact() {
    let kinds: Vec<_> = facts().iter().map(Fact::kind).collect();
    for kind in RecordKind::ALL {
        assert!(kinds.contains(kind), "{kind:?} is not in the table of this test");
    }
}

#[test]
fn a_body_of_another_kind_is_corrupt_and_says_where() {
    let record = Record {
        stream: moorline_types::StreamId::Job(JobId::from_bytes([0; 16])),
        seq: StreamSeq::new(3),
        at: Timestamp::from_unix_millis(0),
        kind: RecordKind::JobEvent,
        body: Bytes::from_static(b"{}"),
    };
    let error = Fact::decode(&record).unwrap_err();
    assert_eq!((error.seq, error.kind), (StreamSeq::new(3), RecordKind::JobEvent));
}
