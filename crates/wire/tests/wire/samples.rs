//! One valid frame of every message, with every field set.

use moorline_types::{CredentialId, Epoch, EventSeq, Grants, JobId, Json, KeyId, MessageId, SessionId, Timestamp};
use moorline_wire::payload::*;
use moorline_wire::vendor::{
    AuditPage, AuditQuery, AuditRecord, CredentialEntry, Credentials, CredentialsReport, Gap, GapReason, Gc, GcReport,
    KeyEntry, Keys, KeysReport,
};
use moorline_wire::{
    ClientMessage, ErrorCode, FeatureSet, Field, FinalStatus, Frame, JobStatus, LeaseConstraints, LeaseRequest,
    MessageType, RuntimeMessage, Secret,
};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_778_701_333_020)
}

pub(crate) fn job() -> JobId {
    JobId::mint(now(), [7; 10])
}

pub(crate) fn session() -> SessionId {
    SessionId::mint(now(), [9; 10])
}

pub(crate) fn message_id() -> MessageId {
    MessageId::mint(now(), [1; 10])
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// The envelope that the table of messages asks for.
fn framed<M>(message_type: MessageType, message: M) -> Frame<M> {
    let carries = |field| message_type.carries().contains(&field);
    let mut frame = Frame::new(message_id(), message);
    frame.session_id = carries(Field::SessionId).then(|| session().into());
    frame.job_id = carries(Field::JobId).then(|| job().into());
    frame.trace_id = carries(Field::TraceId).then(|| TRACE.parse().unwrap());
    frame.event_seq = carries(Field::EventSeq).then(|| EventSeq::new(17));
    frame
}

pub(crate) fn client_frames() -> Vec<Frame<ClientMessage>> {
    let resume = Resume {
        session_id: Some(session().into()),
        resume_token: Secret::from("rt_4f8c"),
        last_event_seq: EventSeq::new(41),
    };
    let hello = Hello {
        client: ClientInfo { name: "examplectl".parse().unwrap(), version: Some("0.4.1".parse().unwrap()) },
        auth: Some(Auth { scheme: "bearer".parse().unwrap(), token: Some(Secret::from("tok")) }),
        capabilities: ClientCapabilities { encodings: vec!["json".parse().unwrap()], features: FeatureSet::all() },
        resume: Some(resume.clone()),
    };
    let lease: LeaseRequest =
        json(r#"{"cost.budget":["USD:5.00"],"fs.read":["/ws/**"],"x-vendor.acme.gpu":["a100"]}"#).to().unwrap();
    let submit = Submit {
        agent: "echo@1.0.0".parse().unwrap(),
        input: json(r#"{"n":[1,2.5,"x"]}"#),
        lease_request: Some(lease),
        lease_constraints: Some(LeaseConstraints { expires_at: Some(now()) }),
        idempotency_key: Some("refactor-auth-2026-W19".parse().unwrap()),
        max_runtime_sec: Some(1_800),
        parent_job_id: Some(job().into()),
        delegate_id: Some("dlg_1".parse().unwrap()),
    };
    let list = ListJobs {
        filter: Some(JobFilter {
            whose: None,
            status: vec![JobStatus::Running, JobStatus::Pending],
            agent: Some("echo".parse().unwrap()),
            created_after: Some(now()),
            created_before: Some(now()),
        }),
        limit: Some(100),
        cursor: Some("c1".parse().unwrap()),
    };
    let target = || job().into();
    let close = || Close { reason: Some("done".parse().unwrap()) };
    [
        ClientMessage::Hello(hello),
        ClientMessage::Resume(resume),
        ClientMessage::Ack(Ack { last_processed_seq: EventSeq::new(1827) }),
        ClientMessage::ListJobs(list),
        ClientMessage::Submit(Box::new(submit)),
        ClientMessage::Cancel(Cancel { job_id: Some(target()), reason: Some("user request".parse().unwrap()) }),
        ClientMessage::Subscribe(Subscribe { job_id: target(), from_event_seq: Some(EventSeq::new(3)), history: true }),
        ClientMessage::Unsubscribe(Unsubscribe { job_id: target() }),
        ClientMessage::Audit(AuditQuery {
            since: Some(now()),
            max_age_ms: Some(86_400_000),
            principal: Some("ada".parse().unwrap()),
            action: Some("cancel".parse().unwrap()),
            job: Some(job().to_string().parse().unwrap()),
            decision: Some("refused".parse().unwrap()),
            limit: Some(7),
            cursor: Some("c1".parse().unwrap()),
        }),
        ClientMessage::Gc(Gc {
            dry_run: true,
            older_than_ms: Some(86_400_000),
            max_bytes: Some(1 << 30),
            cursor: Some("g1".parse().unwrap()),
        }),
        ClientMessage::Keys(Box::new(Keys::Create {
            name: "ci".parse().unwrap(),
            principal: "ada".parse().unwrap(),
            grants: Box::new(grants()),
            expires_in_ms: Some(86_400_000),
        })),
        ClientMessage::Credentials(Credentials::Retry {}),
        ClientMessage::Credentials(Credentials::Rotate {
            job_id: job().into(),
            name: Some(CredentialId::mint(now(), [9; 10])),
        }),
        ClientMessage::Close(close()),
        ClientMessage::Bye(close()),
        ClientMessage::Ping(ping()),
        ClientMessage::Pong(pong()),
    ]
    .map(|message| framed(message.message_type(), message))
    .into()
}

pub(crate) fn runtime_frames() -> Vec<Frame<RuntimeMessage>> {
    let welcome = Welcome {
        runtime: RuntimeInfo { name: "moorline".into(), version: "0.1.0".into() },
        session_id: Some(session().into()),
        resume_token: Some(Secret::from("rt_4f8c")),
        resume_window_sec: Some(600),
        heartbeat_interval_sec: Some(30),
        capabilities: RuntimeCapabilities {
            encodings: vec!["json".into()],
            features: FeatureSet::all(),
            agents: vec![AgentEntry {
                name: "echo".into(),
                versions: vec!["1.0.0".into()],
                default: Some("1.0.0".into()),
            }],
        },
        accepted_at: Some(now()),
    };
    let mut session_error = SessionError::new(ErrorCode::JobNotFound, "no job job_x is known to this principal");
    session_error.details = Some(json(r#"{"job":"job_x"}"#));
    session_error.request_id = Some(message_id());
    session_error.job_id = Some(job().into());
    let mut job_error = JobError::new(FinalStatus::Cancelled, ErrorCode::Cancelled, "cancelled", false, now());
    job_error.details = Some(json(r#"{"by":"user"}"#));
    let mut streamed = JobResult::streamed("res_1".into(), 31_457_280, now());
    streamed.summary = Some("137 chunks".into());
    let mut inline = JobResult::inline(json(r#"{"answer":42}"#), now());
    inline.output = inline.result.clone();
    [
        RuntimeMessage::Welcome(Box::new(welcome)),
        RuntimeMessage::SessionError(session_error),
        RuntimeMessage::Closed(Closed { reason: Some("done".into()) }),
        RuntimeMessage::Jobs(jobs()),
        RuntimeMessage::Accepted(Box::new(accepted())),
        RuntimeMessage::Event(JobEvent {
            kind: "log".into(),
            ts: now(),
            body: json(r#"{"level":"info","message":"hello"}"#),
        }),
        RuntimeMessage::JobResult(inline),
        RuntimeMessage::JobResult(streamed),
        RuntimeMessage::JobError(job_error),
        RuntimeMessage::Cancelled(Cancelled {
            job_id: Some(job().into()),
            reason: Some("user request".into()),
            request_id: Some(message_id()),
        }),
        RuntimeMessage::Subscribed(Box::new(subscribed())),
        RuntimeMessage::Gap(Gap {
            from: Some(EventSeq::new(3)),
            to: Some(EventSeq::new(8)),
            next: EventSeq::new(9),
            reason: GapReason::TrimmedByAge.into(),
            epoch: Epoch::mint(now(), [5; 10]),
        }),
        RuntimeMessage::AuditPage(AuditPage {
            request_id: Some(message_id()),
            entries: vec![AuditRecord {
                at: now().to_string(),
                action: "cancel".to_owned(),
                decision: "refused".to_owned(),
                relation: Some("stranger".to_owned()),
                scope: Some("control_all".to_owned()),
                who: Some("eve".to_owned()),
                object: Some(job().to_string()),
                owner: Some("ada".to_owned()),
                reason: Some("no such job".to_owned()),
                credential: Some("JWT".to_owned()),
                from: Some("192.0.2.1".to_owned()),
                session: Some("sess_1".to_owned()),
                trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
                count: Some(2),
            }],
            next_cursor: Some("c2".parse().unwrap()),
            more: true,
        }),
        RuntimeMessage::GcReport(GcReport {
            request_id: Some(message_id()),
            dry_run: true,
            jobs: 12,
            sessions: 3,
            kept: vec![job().into()],
            bytes_before: 4096,
            bytes_after: 1024,
            oldest: Some(now()),
            newest: Some(now()),
            next_cursor: Some("g2".parse().unwrap()),
        }),
        RuntimeMessage::KeysReport(KeysReport {
            request_id: Some(message_id()),
            keys: vec![KeyEntry {
                id: KeyId::mint(now(), [8; 10]),
                hint: Some("mlk_AbCd".to_owned()),
                name: "ci".to_owned(),
                principal: "ada".parse().unwrap(),
                grants: grants(),
                created_at: now(),
                rotated_at: Some(now()),
                previous_until: Some(now()),
                expires_at: Some(now()),
                last_used_at: Some(now()),
                revoked: true,
                revoked_at: Some(now()),
            }],
            secret: Some("mlk_secret".into()),
            next_cursor: Some("k2".parse().unwrap()),
        }),
        RuntimeMessage::CredentialsReport(CredentialsReport {
            request_id: Some(message_id()),
            upstream: Some("litellm https://models.example.com".to_owned()),
            offered: false,
            trouble: Some("it answered with HTTP 503".to_owned()),
            live: 2,
            outstanding: 1,
            rotated: Some(CredentialId::mint(now(), [8; 10])),
            credentials: vec![CredentialEntry {
                name: CredentialId::mint(now(), [9; 10]),
                job_id: JobId::mint(now(), [1; 10]),
                upstream: "litellm https://models.example.com".to_owned(),
                since: now(),
                failed: 3,
                error: Some("it answered with HTTP 503".to_owned()),
            }],
        }),
        RuntimeMessage::Close(Close { reason: None }),
        RuntimeMessage::Bye(Close { reason: Some("shutting down".parse().unwrap()) }),
        RuntimeMessage::Ping(ping()),
        RuntimeMessage::Pong(pong()),
    ]
    .map(|message| framed(message.message_type(), message))
    .into()
}

fn ping() -> Ping {
    Ping { nonce: "p_1".parse().unwrap(), sent_at: Some(now()) }
}

fn pong() -> Pong {
    Pong { ping_nonce: "p_1".parse().unwrap(), received_at: Some(now()) }
}

fn credential() -> Credential {
    Credential {
        id: "cred_1".into(),
        scheme: "bearer".into(),
        value: Secret::from("sk-virt"),
        endpoint: "https://gateway.example.com/v1".into(),
        profile: Some("openai".into()),
        constraints: Some(json(r#"{"model.use":["tier-fast/*"]}"#)),
    }
}

fn accepted() -> Accepted {
    Accepted {
        job_id: job().into(),
        agent: "echo@1.0.0".into(),
        lease: json(r#"{"cost.budget":["USD:5.00"]}"#),
        lease_constraints: Some(LeaseConstraints { expires_at: Some(now()) }),
        budget: Some([("USD".into(), "5.0".parse().unwrap())].into()),
        credentials: Some(vec![credential()]),
        accepted_at: Some(now()),
        trace_id: Some(TRACE.parse().unwrap()),
        parent_job_id: Some(job().into()),
        delegate_id: Some("dlg_1".into()),
        request_id: Some(message_id()),
    }
}

fn subscribed() -> Subscribed {
    Subscribed {
        request_id: Some(message_id()),
        job_id: job().into(),
        current_status: JobStatus::Running.into(),
        agent: "echo@1.0.0".into(),
        lease: json("{}"),
        lease_constraints: Some(LeaseConstraints { expires_at: Some(now()) }),
        budget: Some([("USD".into(), "-0.12".parse().unwrap())].into()),
        parent_job_id: Some(job().into()),
        trace_id: Some(TRACE.parse().unwrap()),
        subscribed_from: EventSeq::new(57),
        replayed: true,
        credentials: Some(vec![credential()]),
    }
}

fn jobs() -> Jobs {
    let entry = JobEntry {
        job_id: job().into(),
        agent: "echo@1.0.0".into(),
        status: JobStatus::TimedOut.into(),
        lease: json("{}"),
        parent_job_id: Some(job().into()),
        owner: None,
        created_at: Some(now()),
        submitted_at: Some(now()),
        trace_id: Some(TRACE.parse().unwrap()),
        last_event_seq: EventSeq::new(12),
    };
    Jobs { request_id: Some(message_id()), jobs: vec![entry], next_cursor: None }
}

fn grants() -> Grants {
    let text = r#"{"scopes":["submit"],"tags":["team/a"],"constraints":{"agents":["echo*"],"max_runtime_sec":60}}"#;
    serde_json::from_str(text).unwrap()
}
