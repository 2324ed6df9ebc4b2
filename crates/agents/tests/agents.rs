//! The shipped agents, run as a gateway runs them.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use moorline_agents::{Census, Echo, Load};
use moorline_types::{EventKind, Fence, JobId, Json, Millis, Timestamp, WorkerId};
use moorline_worker::in_process::{InProcessWorker, in_process};
use moorline_worker::link::WorkerLink;
use moorline_worker::message::{FailureCode, FromWorker, Output, Report, StartJob, ToWorker};
use moorline_worker::sdk::Agent;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

struct Running {
    link: WorkerLink,
    _worker: InProcessWorker,
    reports: Vec<Report>,
}

fn job() -> JobId {
    JobId::mint(Timestamp::from_unix_millis(1), [1; 10])
}

impl Running {
    async fn start(name: &str, input: &Value) -> Self {
        let agents: [Arc<dyn Agent>; 3] = [
            Arc::new(Echo::new("echo@1".parse().unwrap())),
            Arc::new(Census::new("census@1".parse().unwrap())),
            Arc::new(Load::new("load@1".parse().unwrap())),
        ];
        let worker = WorkerId::mint(Timestamp::from_unix_millis(1), [1; 10]);
        let (candidate, worker) = in_process(worker, agents).unwrap();
        let link = candidate.admit(Fence::new(1), []).await.unwrap();
        let start = StartJob {
            job: job(),
            agent: name.parse().unwrap(),
            input: Json::of(input).unwrap(),
            lease: Json::parse("{}").unwrap(),
            trace: None,
            deadline: None,
            accepted_at: Timestamp::from_unix_millis(1),
            credentials: Vec::new(),
        };
        link.sender.send(ToWorker::Start(start)).await.unwrap();
        Self { link, _worker: worker, reports: Vec::new() }
    }

    async fn next(&mut self) -> &Report {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.link.receiver.recv()).await.unwrap().unwrap();
            if let FromWorker::Report { job, seq, report, .. } = message {
                self.link.sender.send(ToWorker::Ack { job, seq }).await.unwrap();
                self.reports.push(report);
                return self.reports.last().unwrap();
            }
        }
    }

    async fn cancel(&self) {
        let cancel = ToWorker::Cancel { job: job(), reason: "enough".to_owned(), grace: Millis::from_secs(60) };
        self.link.sender.send(cancel).await.unwrap();
    }

    async fn finish(mut self) -> Ran {
        while !self.next().await.is_terminal() {}
        Ran(self.reports)
    }
}

struct Ran(Vec<Report>);

impl Ran {
    fn result(&self) -> Value {
        match self.0.last() {
            Some(Report::Result { output: Output::Inline(json), .. }) => json.to().unwrap(),
            other => panic!("no inline result: {other:?}"),
        }
    }

    fn failure(&self) -> (FailureCode, String) {
        match self.0.last() {
            Some(Report::Failure(failure)) => (failure.code, failure.message.clone()),
            other => panic!("no failure: {other:?}"),
        }
    }

    fn bodies(&self, of: &EventKind) -> Vec<Value> {
        let body = |report: &Report| {
            let Report::Event { kind, body } = report else { return None };
            (kind == of).then(|| body.to().unwrap())
        };
        self.0.iter().filter_map(body).collect()
    }
}

async fn run(name: &str, input: &Value) -> Ran {
    Running::start(name, input).await.finish().await
}

/// Takes a census of `dir` with a report outside of it.
async fn census(dir: &Path, more: Value) -> Ran {
    let reports = tempfile::tempdir().unwrap();
    let mut input = json!({ "path": dir, "report": reports.path().join("report.json") });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run("census@1", &input).await
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn echo_refuses_options_that_it_does_not_know() {
    for (input, part) in [
        (json!({"echo": {"event": 1}}), "unknown field `event`"),
        (json!({"echo": {"events": -1}}), "invalid value"),
        (json!({"echo": {"events": 2_000_000}}), "echo.events must be at most"),
        (json!({"echo": {"delay_ms": 9_999_999}}), "echo.delay_ms must be at most"),
    ] {
        let (code, message) = run("echo@1", &input).await.failure();
        assert_eq!(code, FailureCode::InvalidRequest);
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn echo_returns_its_input() {
    for input in [json!(null), json!([1]), json!("text"), json!({"a": {"b": 1}}), json!({"echo": {"events": 3}})] {
        let ran = run("echo@1", &input).await;
        assert_eq!(ran.result(), input);
        let events = input["echo"]["events"].as_u64().unwrap_or_default();
        assert_eq!(ran.bodies(&EventKind::Log).len() as u64, events);
    }
}

#[tokio::test]
async fn echo_stops_when_it_is_cancelled() {
    let mut running = Running::start("echo@1", &json!({"echo": {"events": 1_000, "delay_ms": 3_000}})).await;
    running.cancel().await;
    while !running.next().await.is_terminal() {}
    assert_eq!(Ran(running.reports).failure().0, FailureCode::Cancelled);
}

#[tokio::test]
async fn load_refuses_what_it_cannot_do() {
    for (input, part) in [
        (json!({"event": 1}), "unknown field `event`"),
        (json!({"events": -1}), "invalid value"),
        (json!({"events": 100_000_001}), "events must be at most"),
        (json!({"bytes": 600_000}), "bytes must be at most"),
        (json!({"rate": 0}), "rate must be at least 1"),
        (json!({"delay_ms": 3_600_001}), "delay_ms must be at most"),
        (json!({"result_bytes": 1_u64 << 40}), "result_bytes must be at most"),
    ] {
        let (code, message) = run("load@1", &input).await.failure();
        assert_eq!(code, FailureCode::InvalidRequest);
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn load_emits_numbered_events_of_the_size_that_is_asked_for() {
    for (input, events, bytes) in [
        (json!({}), 0, 0),
        (json!({"events": 3}), 3, 200),
        (json!({"events": 20, "bytes": 1_000, "rate": 1_000_000}), 20, 1_000),
        (json!({"events": 2, "bytes": 100, "rate": 1_000, "delay_ms": 1}), 2, 100),
    ] {
        let ran = run("load@1", &input).await;
        assert_eq!(ran.result(), json!({ "events": events }));
        let messages: Vec<String> =
            ran.bodies(&EventKind::Log).iter().map(|body| body["message"].as_str().unwrap().to_owned()).collect();
        assert_eq!(messages.len(), events, "{input}");
        for (message, number) in messages.iter().zip(1_u64..) {
            let mut parts = message.split(' ');
            assert_eq!(parts.next().unwrap().parse(), Ok(number));
            assert!(parts.next().unwrap().parse::<u64>().is_ok(), "{message}");
            assert_eq!(message.len(), bytes);
        }
    }
}

#[tokio::test]
async fn load_streams_a_result_of_the_size_that_is_asked_for() {
    let ran = run("load@1", &json!({"result_bytes": 1_500_001})).await;
    let Some(Report::Result { output: Output::Streamed { result_size, .. }, .. }) = ran.0.last() else { panic!() };
    let chunks = ran.bodies(&EventKind::ResultChunk);
    let sent: usize = chunks.iter().map(|chunk| chunk["data"].as_str().unwrap().len()).sum();
    assert_eq!((sent, *result_size), (1_500_001, 1_500_001));
}

#[tokio::test]
async fn load_stops_when_it_is_cancelled() {
    for input in [json!({"events": 1_000_000, "rate": 1}), json!({"delay_ms": 3_000_000})] {
        let mut running = Running::start("load@1", &input).await;
        running.cancel().await;
        while !running.next().await.is_terminal() {}
        assert_eq!(Ran(running.reports).failure().0, FailureCode::Cancelled);
    }
}

#[tokio::test]
async fn a_census_that_cannot_be_taken_names_the_field() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "file", "x");
    let path = dir.path();
    for (input, part) in [
        (json!(["/"]), "must be an object"),
        (json!({}), "missing field `path`"),
        (json!({"path": 1}), "invalid type"),
        (json!({"path": "relative"}), "path: relative must be absolute"),
        (json!({"path": path.join("absent")}), "cannot be looked at"),
        (json!({"path": path.join("file")}), "is not a directory"),
        (json!({"path": path, "depth": 1}), "unknown field `depth`"),
        (json!({"path": path, "top": 101}), "top: 101 is more than 100"),
        (json!({"path": path, "report": "r.json"}), "report: r.json must be absolute"),
        (json!({"path": path, "report": "/no/such/dir/r.json"}), "in a directory that exists"),
        (json!({"path": path, "report": path}), "must name a file"),
    ] {
        let (code, message) = run("census@1", &input).await.failure();
        assert_eq!(code, FailureCode::InvalidRequest, "{input}");
        assert!(message.contains(part), "{input}: {message}");
    }
}

#[tokio::test]
async fn a_census_counts_files_lines_and_bytes_by_type() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.rs", "one\ntwo\n");
    write(dir.path(), "deep/er/b.rs", "one");
    write(dir.path(), "empty.txt", "");
    write(dir.path(), "data.bin", b"\0\n\n\n");
    write(dir.path(), ".hidden/c.rs", "x\n");
    let all = census(dir.path(), json!({})).await.result();
    assert_eq!((&all["files"], &all["directories"], &all["lines"]), (&5.into(), &4.into(), &4.into()));
    assert_eq!(all["types"][0], json!({"type": "Rust", "files": 3, "bytes": 13, "lines": 4, "binary_files": 0}));
    assert_eq!(all["types"][1], json!({"type": "Other", "files": 1, "bytes": 4, "lines": 0, "binary_files": 1}));
    assert_eq!(all["truncated"], false);
    let visible = census(dir.path(), json!({"hidden": false})).await.result();
    assert_eq!((&visible["files"], &visible["directories"]), (&4.into(), &3.into()));
}

#[tokio::test]
async fn an_empty_tree_has_a_census_too() {
    let dir = tempfile::tempdir().unwrap();
    let found = census(dir.path(), json!({})).await.result();
    assert_eq!((&found["files"], &found["directories"], &found["bytes"]), (&0.into(), &1.into(), &0.into()));
}

#[tokio::test]
async fn duplicates_are_found_by_content_and_neither_empty_files_nor_hard_links_are_any() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b/c", "d"] {
        write(dir.path(), name, "the same content");
    }
    write(dir.path(), "as-long", "other content...");
    write(dir.path(), "empty1", "");
    write(dir.path(), "empty2", "");
    write(dir.path(), "linked", "linked content");
    fs::hard_link(dir.path().join("linked"), dir.path().join("also")).unwrap();
    let found = census(dir.path(), json!({})).await.result();
    assert_eq!(found["files"], 7, "a file with two names is one file");
    let duplicates = &found["duplicates"];
    assert_eq!((&duplicates["groups"], &duplicates["wasted_bytes"]), (&1.into(), &32.into()));
    assert_eq!(duplicates["largest"][0]["copies"], 3);
    assert_eq!(duplicates["largest"][0]["paths"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn links_are_not_followed_unless_asked_for_and_never_in_circles() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "there.txt", "there");
    write(dir.path(), "sub/file.txt", "here");
    symlink(dir.path(), dir.path().join("sub/up")).unwrap();
    symlink("self", dir.path().join("self")).unwrap();
    symlink(elsewhere.path(), dir.path().join("out")).unwrap();
    symlink(dir.path().join("sub/file.txt"), dir.path().join("again")).unwrap();
    let plain = census(dir.path(), json!({})).await.result();
    assert_eq!((&plain["files"], &plain["links"], &plain["unreadable"]), (&1.into(), &4.into(), &0.into()));
    let followed = census(dir.path(), json!({"follow_links": true})).await.result();
    assert_eq!((&followed["files"], &followed["directories"]), (&2.into(), &3.into()), "{followed}");
    assert_eq!(followed["unreadable"], 1, "a link to itself leads nowhere");
    assert_eq!(followed["duplicates"]["groups"], 0, "another name is no copy");
}

#[tokio::test]
async fn special_files_are_counted_and_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "file", "x");
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let found = census(dir.path(), json!({})).await.result();
    assert_eq!((&found["files"], &found["special"]), (&1.into(), &1.into()));
}

#[tokio::test]
async fn names_that_are_not_text_are_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"odd\xff.rs")), "x\n").unwrap();
    let found = census(dir.path(), json!({})).await.result();
    assert_eq!((&found["files"], &found["lines"]), (&1.into(), &1.into()));
    assert!(found["largest"][0]["path"].as_str().unwrap().ends_with("odd\u{fffd}.rs"));
}

/// A directory whose path is longer than the kernel takes can be made from within, but not be read from outside,
/// whoever asks.
fn make_unreadable(root: &Path) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

    let name = "d".repeat(200);
    let open = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut parent = openat(CWD, root, open, Mode::empty()).unwrap();
    for _ in 0..25 {
        mkdirat(&parent, name.as_str(), Mode::RWXU).unwrap();
        parent = openat(&parent, name.as_str(), open, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_counted_and_logged_and_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    make_unreadable(dir.path());
    write(dir.path(), "file.txt", "x\n");
    let ran = census(dir.path(), json!({})).await;
    assert_eq!((&ran.result()["files"], &ran.result()["unreadable"]), (&1.into(), &1.into()));
    let warning = |body: &Value| body["level"] == "warn" && body["message"].as_str().unwrap().contains("too long");
    assert!(ran.bodies(&EventKind::Log).iter().any(warning), "{:?}", ran.bodies(&EventKind::Log));
}

#[tokio::test]
async fn the_report_is_a_file_of_its_owner_that_the_artifact_describes() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "tree/a.rs", "x\n");
    let report = dir.path().join("a report.json");
    fs::write(&report, "an old one").unwrap();
    let ran = run("census@1", &json!({"path": dir.path().join("tree"), "report": report})).await;
    let artifacts = ran.bodies(&EventKind::ArtifactRef);
    assert_eq!(artifacts.len(), 1);
    assert_eq!(artifacts[0], ran.result()["report"]);
    assert!(artifacts[0]["uri"].as_str().unwrap().ends_with("/a%20report.json"));
    let bytes = fs::read(&report).unwrap();
    assert_eq!(artifacts[0]["byte_size"], bytes.len());
    assert_eq!(fs::metadata(&report).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["files"], 1);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "something was left behind");
}

#[tokio::test]
async fn phases_and_progress_are_told_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        write(dir.path(), name, "same");
    }
    let ran = census(dir.path(), json!({"top": 1})).await;
    let phases: Vec<_> = ran.bodies(&EventKind::Status).iter().map(|body| body["phase"].clone()).collect();
    assert_eq!(phases, ["scanning", "reading", "hashing", "reporting"]);
    for body in ran.bodies(&EventKind::Progress) {
        assert!(body["current"].as_u64().unwrap() <= body["total"].as_u64().unwrap_or(u64::MAX), "{body}");
    }
    assert!(ran.bodies(&EventKind::Metric).iter().any(|body| body["name"] == "bytes_read" && body["value"] == 8));
    assert_eq!(ran.result()["largest"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_census_stops_when_it_is_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let content = vec![b'x'; 1 << 20];
    for number in 0..64 {
        write(dir.path(), &format!("file{number}"), &content);
    }
    let mut running = Running::start("census@1", &json!({"path": dir.path()})).await;
    while !matches!(running.next().await, Report::Event { kind: EventKind::Status, body } if body.get().contains("reading"))
    {
    }
    running.cancel().await;
    assert_eq!(running.finish().await.failure().0, FailureCode::Cancelled);
}
