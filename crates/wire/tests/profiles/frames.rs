//! One scene per message: what the gateway says in it, through a profile.

use moorline_types::{Epoch, EventKind, EventSeq, JobId, Json, MessageId, SessionId, Timestamp, TraceId};
use moorline_wire::payload::*;
use moorline_wire::profile::{Asked, Minted, Profile};
use moorline_wire::vendor::{Cursor, Extensions};
use moorline_wire::{
    ErrorCode, FeatureSet, FinalStatus, Frame, JobStatus, MessageType, RuntimeMessage, Secret, encode,
};

/// What was sent in one scene.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) frames: Vec<String>,
}

/// The id of every request that is answered.
pub(crate) const REQUEST: &str = "01KRHDRWGW0C1G60R30C1G60R3";

const BODIES: [(&str, &str); 11] = [
    ("log", r#"{"level":"info","message":"reading","attributes":{"n":1}}"#),
    ("thought", r#"{"text":"two files to go"}"#),
    ("tool_call", r#"{"tool":"search","args":{"q":"x"},"call_id":"c_1"}"#),
    ("tool_result", r#"{"call_id":"c_1","result":[1.0]}"#),
    ("status", r#"{"phase":"indexing","message":"half way"}"#),
    ("metric", r#"{"name":"cost.inference","value":0.1200,"unit":"USD","dimensions":{"model":"m"}}"#),
    ("artifact_ref", r#"{"uri":"file:///a","content_type":"text/plain","byte_size":7}"#),
    ("delegate", r#"{"agent":"echo","child_job_id":"job_01KRHDRWGW0W3GE1R70W3GE1R7"}"#),
    ("progress", r#"{"current":1,"total":2,"units":"files"}"#),
    ("result_chunk", r#"{"result_id":"res_1","chunk_seq":0,"data":"aGk=","encoding":"base64","more":false}"#),
    ("x-vendor.acme.note", r#"{"any":[1,"x"]}"#),
];

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_778_701_333_020)
}

fn job() -> JobId {
    JobId::mint(now(), [7; 10])
}

fn request() -> MessageId {
    REQUEST.parse().unwrap()
}

fn trace() -> TraceId {
    "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn written(mut frame: Frame<RuntimeMessage>) -> String {
    frame.session_id = Some(SessionId::mint(now(), [9; 10]).into());
    String::from_utf8(encode(&frame).to_vec()).unwrap()
}

fn envelope(message: RuntimeMessage) -> Frame<RuntimeMessage> {
    Frame::new(MessageId::mint(now(), [1; 10]), message)
}

fn plain(profile: Profile, message: RuntimeMessage) -> String {
    written(envelope(profile.adapt(message)))
}

fn of_job(profile: Profile, message: RuntimeMessage) -> String {
    written(Frame { job_id: Some(job().into()), trace_id: Some(trace()), ..envelope(profile.adapt(message)) })
}

/// Messages of the session's sequence, from its first.
fn numbered(profile: Profile, messages: impl IntoIterator<Item = RuntimeMessage>) -> Vec<String> {
    let number = |(number, message)| {
        let frame = envelope(profile.adapt(message));
        let (job_id, trace_id) = (Some(job().into()), Some(trace()));
        written(Frame { job_id, trace_id, event_seq: Some(EventSeq::new(number)), ..frame })
    };
    (1..).zip(messages).map(number).collect()
}

fn refused(profile: Profile, asked: Option<MessageType>, code: ErrorCode, message: &str) -> Vec<String> {
    let mut error = SessionError::new(code, message);
    error.details = Some(json(r#"{"field":"agent"}"#));
    let names_job = matches!(asked, Some(MessageType::Cancel | MessageType::Subscribe));
    let asked = Asked {
        id: Some(request()),
        message_type: asked,
        job_id: names_job.then(|| job().into()),
        trace_id: matches!(asked, Some(MessageType::Submit)).then(trace),
    };
    let minted = Minted { message: MessageId::mint(now(), [2; 10]), job: JobId::mint(now(), [3; 10]) };
    profile.refuse(&error, &asked, now(), &minted).map(written).collect()
}

fn welcome() -> RuntimeMessage {
    let agent = |name: &str, versions: &[&str], default: Option<&str>| AgentEntry {
        name: name.to_owned(),
        versions: versions.iter().map(ToString::to_string).collect(),
        default: default.map(str::to_owned),
    };
    RuntimeMessage::Welcome(Box::new(Welcome {
        runtime: RuntimeInfo { name: "moorline".into(), version: "0.1.0".into() },
        session_id: Some(SessionId::mint(now(), [9; 10]).into()),
        resume_token: Some(Secret::from("rt_4f8c")),
        resume_window_sec: Some(600),
        heartbeat_interval_sec: Some(30),
        capabilities: RuntimeCapabilities {
            encodings: vec!["json".into()],
            features: FeatureSet::all(),
            agents: vec![agent("echo", &["1.0.0"], Some("1.0.0")), agent("gone", &[], None)],
        },
        accepted_at: Some(now()),
    }))
}

fn accepted() -> RuntimeMessage {
    RuntimeMessage::Accepted(Box::new(Accepted {
        job_id: job().into(),
        agent: "echo@1.0.0".into(),
        lease: json(r#"{"cost.budget":["USD:5.00"]}"#),
        lease_constraints: None,
        budget: Some([("USD".into(), "5.00".parse().unwrap())].into()),
        credentials: None,
        accepted_at: Some(now()),
        trace_id: Some(trace()),
        parent_job_id: None,
        delegate_id: None,
        request_id: Some(request()),
    }))
}

fn subscribed(status: JobStatus, replayed: bool) -> RuntimeMessage {
    RuntimeMessage::Subscribed(Box::new(Subscribed {
        request_id: Some(request()),
        job_id: job().into(),
        current_status: status.into(),
        agent: "echo@1.0.0".into(),
        lease: json("{}"),
        lease_constraints: None,
        budget: Some([("USD".into(), "4.20".parse().unwrap())].into()),
        parent_job_id: None,
        trace_id: Some(trace()),
        subscribed_from: EventSeq::new(57),
        replayed,
        credentials: None,
    }))
}

fn jobs(entries: usize) -> RuntimeMessage {
    let entry = JobEntry {
        job_id: job().into(),
        agent: "echo@1.0.0".into(),
        status: JobStatus::Running.into(),
        lease: json("{}"),
        parent_job_id: None,
        owner: None,
        created_at: Some(now()),
        submitted_at: Some(now()),
        trace_id: None,
        last_event_seq: EventSeq::new(12),
    };
    let next_cursor = (entries > 0).then(|| "c1".to_owned());
    RuntimeMessage::Jobs(Jobs { request_id: Some(request()), jobs: vec![entry; entries], next_cursor })
}

fn event(kind: &str, body: &str) -> RuntimeMessage {
    RuntimeMessage::Event(JobEvent::new(&kind.parse::<EventKind>().unwrap(), now(), json(body)))
}

fn ended(status: FinalStatus, code: ErrorCode, message: &str) -> RuntimeMessage {
    let mut error = JobError::new(status, code, message, false, now());
    error.details = Some(json(r#"{"after_sec":7}"#));
    RuntimeMessage::JobError(error)
}

/// Everything that a client of this profile is sent.
pub(crate) fn scenes(profile: Profile) -> Vec<Scene> {
    use ErrorCode as Code;

    let cursor = Cursor { epoch: Epoch::mint(now(), [5; 10]), event_seq: EventSeq::new(57) };
    let extensions = Extensions { cursor: Some(cursor), ..Extensions::NONE };
    let welcome = Frame { extensions, ..envelope(profile.adapt(welcome())) };
    let streamed = [
        event("result_chunk", r#"{"result_id":"res_1","chunk_seq":0,"data":"a","encoding":"utf8","more":true}"#),
        event("result_chunk", r#"{"result_id":"res_1","chunk_seq":1,"data":"b","encoding":"utf8","more":false}"#),
        RuntimeMessage::JobResult(JobResult::streamed("res_1".into(), 2, now())),
    ];
    let failed = [
        ended(FinalStatus::Error, Code::InternalError, "the agent failed"),
        ended(FinalStatus::Cancelled, Code::Cancelled, "cancelled: user request"),
        ended(FinalStatus::TimedOut, Code::Timeout, "it ran for longer than 7 seconds"),
        ended(FinalStatus::Error, Code::LeaseExpired, "the lease ran out"),
        ended(FinalStatus::Error, Code::BudgetExhausted, "the budget is spent"),
    ];
    let cancelled = Cancelled { job_id: Some(job().into()), reason: Some("r".into()), request_id: Some(request()) };
    let ping = Ping { nonce: "p_1".parse().unwrap(), sent_at: Some(now()) };
    let pong = Pong { ping_nonce: "p_1".parse().unwrap(), received_at: Some(now()) };
    let refuse = |asked, code, message| refused(profile, asked, code, message);
    [
        ("welcome", vec![written(welcome)]),
        (
            "hello_refused",
            refuse(Some(MessageType::Hello), Code::Unauthenticated, "the bearer token is not known here"),
        ),
        ("accepted", vec![of_job(profile, accepted())]),
        ("submit_refused", refuse(Some(MessageType::Submit), Code::AgentNotAvailable, "no agent is called \"x\"")),
        ("cancel_refused", refuse(Some(MessageType::Cancel), Code::JobNotFound, "no such job is known")),
        ("subscribe_refused", refuse(Some(MessageType::Subscribe), Code::JobNotFound, "no such job is known")),
        ("list_refused", refuse(Some(MessageType::ListJobs), Code::InvalidRequest, "cursor: not one of ours")),
        ("unknown_refused", refuse(None, Code::InvalidRequest, "type: no message is called \"job.dance\"")),
        ("events", numbered(profile, BODIES.map(|(kind, body)| event(kind, body)))),
        (
            "result_inline",
            numbered(profile, [RuntimeMessage::JobResult(JobResult::inline(json(r#"{"n":1.0}"#), now()))]),
        ),
        ("result_streamed", numbered(profile, streamed)),
        ("errors", numbered(profile, failed)),
        ("cancelled", vec![of_job(profile, RuntimeMessage::Cancelled(cancelled))]),
        ("jobs_empty", vec![plain(profile, jobs(0))]),
        ("jobs_page", vec![plain(profile, jobs(2))]),
        ("subscribed_live", vec![of_job(profile, subscribed(JobStatus::Running, false))]),
        ("subscribed_history", vec![of_job(profile, subscribed(JobStatus::TimedOut, true))]),
        ("heartbeat", vec![plain(profile, RuntimeMessage::Ping(ping)), plain(profile, RuntimeMessage::Pong(pong))]),
        ("closed", vec![plain(profile, RuntimeMessage::Closed(Closed { reason: Some("done".into()) }))]),
        ("goodbye", vec![plain(profile, profile.goodbye("the gateway is going away"))]),
    ]
    .map(|(name, frames)| Scene { name, frames })
    .into()
}
