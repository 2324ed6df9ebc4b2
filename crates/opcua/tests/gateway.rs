//! The whole over real processes: a gateway, the worker that it starts, an OPC UA server, a client over gRPC, and
//! `kill -9`.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use moorline_gateway_client::{
    Event, EventBody, EventStream, GatewayClient, Item, Next, NextAlarm, OpenSession, Options as Connect, Session,
    Start, Value,
};
use moorline_opcua_testkit::{Options, TestServer, tags};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What no file that the gateway leaves behind may contain: a password, and a value that was written.
const SECRETS: [&str; 2] = [tags::PASSWORD, "the recipe of the house"];

/// The gateway's program, made if it is not there: it belongs to another package than these tests. A run of the tests of
/// all packages has made it, with the features that all of them need together, and is not to make it once more with others.
fn moorline() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = Path::new(env!("CARGO_BIN_EXE_moorline-opcua")).with_file_name("moorline");
        if program.exists() {
            return program;
        }
        let profile = program.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap();
        let profile = if profile == "debug" { "dev" } else { profile };
        let build = ["build", "--quiet", "--package", "moorline-cli", "--bin", "moorline", "--profile", profile];
        let made = Command::new(env!("CARGO")).args(build).status().unwrap();
        assert!(made.success() && program.exists(), "{} cannot be made", program.display());
        program
    })
}

/// A gateway in a directory of its own. Killed when it is dropped; its workers end by themselves soon after.
struct Gateway {
    child: Child,
    home: tempfile::TempDir,
}

impl Gateway {
    fn start(home: tempfile::TempDir) -> Self {
        let path = |name: &str| home.path().join(name);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(path("log")).unwrap();
        let mut child = Command::new(moorline())
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(path("moorline.toml"))
            .arg("--data-dir")
            .arg(path("data"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("OPCUA_OPERATOR", tags::PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let gateway = Self { child, home };
        assert!(line.starts_with("listening"), "{line:?}:\n{}", gateway.log());
        gateway
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.home, tempfile::tempdir().unwrap())
    }

    async fn client(&self) -> GatewayClient {
        let read = |name: &str| std::fs::read_to_string(self.home.path().join("data").join(name)).unwrap();
        let endpoint: serde_json::Value = serde_json::from_str(&read("gateway.json")).unwrap();
        let connect = Connect::new(endpoint["grpc"].as_str().unwrap(), read("admin.token").trim());
        GatewayClient::connect(connect).await.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Killed already, or now.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn home(server: &TestServer) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(home.path().join(name), text).unwrap();
    let worker = env!("CARGO_BIN_EXE_moorline-opcua");
    let gateway = "listen = \"127.0.0.1:0\"\nbackends = [\"opcua\"]\nopcua_config = \"opcua.toml\"";
    let orphans = "max_orphan_lifetime = \"1m\"";
    write("moorline.toml", format!("[gateway]\n{gateway}\nopcua_program = \"{worker}\"\n{orphans}\n"));
    let endpoint = "security_policy = \"None\"\nsecurity_mode = \"None\"\ninsecure_passwords = true\n\
                    user = \"operator\"\npassword_env = \"OPCUA_OPERATOR\"\n\
                    publishing_interval_ms = 50\nsampling_interval_ms = 0\nqueue_size = 10000";
    write("opcua.toml", format!("[endpoints.plant]\nurl = \"{}\"\n{endpoint}\n", server.url()));
    home
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not come")
}

async fn until(events: &mut EventStream, is_it: impl Fn(&Event) -> bool) -> Event {
    loop {
        match within(events.next()).await.expect("the stream has ended").unwrap() {
            Next::Event(event) if is_it(&event) => return event,
            Next::Event(event) => assert!(!matches!(event.body, EventBody::BackendGap { .. }), "{event:?}"),
            Next::Gap(gap) => panic!("{gap}"),
        }
    }
}

async fn completed(session: &Session, events: &mut EventStream, tag: &str, value: impl Into<Value>) -> bool {
    let server = session.register("writer").await.unwrap();
    let item = session.add_item(server, tags::item(tag)).await.unwrap();
    session.advise(item).await.unwrap();
    let written = session.write(item, value).await.unwrap();
    let complete =
        until(events, |event| matches!(&event.body, EventBody::WriteComplete { command } if *command == written.id));
    let statuses = complete.await.statuses;
    session.unregister(server).await.unwrap();
    statuses[0].success
}

/// The next counts of the counting tag, from this one on.
async fn follow(events: &mut EventStream, counter: Item, from: i64, counts: i64) -> i64 {
    for expected in from..from + counts {
        let is_count = |event: &Event| event.item == Some(counter) && matches!(event.body, EventBody::DataChange(_));
        let EventBody::DataChange(sample) = until(events, is_count).await.body else { panic!() };
        assert_eq!(sample.value, Value::Integer(expected));
    }
    from + counts
}

#[tokio::test]
async fn live_values_writes_and_alarms_outlive_the_gateway_without_a_gap() {
    let server = TestServer::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(home(&server));
    let client = gateway.client().await;
    let session = within(client.open(OpenSession::new("line 1"))).await.unwrap();
    let line = session.register("line 1").await.unwrap();
    let counter = session.add_item(line, tags::item(tags::COUNTER)).await.unwrap();
    let mut events = session.events(Start::Now).await.unwrap();
    session.advise(counter).await.unwrap();
    follow(&mut events, counter, 0, 1).await;
    assert!(completed(&session, &mut events, tags::SECURED, 7).await, "it is written as the user of the endpoint");
    assert!(!completed(&session, &mut events, tags::REFUSED, 7).await);
    assert!(completed(&session, &mut events, "String", SECRETS[1]).await);
    assert!(session_sets(&session, tags::COUNTING).await);
    let seen = follow(&mut events, counter, 1, 50).await;

    let (id, position) = (session.id().to_owned(), events.position().clone());
    let worker = session.worker_info().await.unwrap().pid;
    let gateway = Gateway::start(gateway.kill());
    let client = gateway.client().await;
    let session = within(client.attach(&id)).await.unwrap();
    let mut events = within(session.events(Start::After(position))).await.unwrap();
    follow(&mut events, counter, seen, 200).await;
    let info = within(session.worker_info()).await.unwrap();
    assert_eq!((info.pid, info.backend.as_str()), (worker, "opcua"), "the same worker has it");

    let mut alarms = session.alarms().await.unwrap();
    while !matches!(within(alarms.next()).await.unwrap().unwrap(), NextAlarm::SnapshotComplete) {}
    assert!(session_sets(&session, &tags::alarm_control(tags::ALARMS[0])).await);
    let raised = loop {
        if let NextAlarm::Transition(alarm) = within(alarms.next()).await.unwrap().unwrap() {
            break alarm;
        }
    };
    assert!(raised.active && !raised.acknowledged, "{raised:?}");
    session.acknowledge(raised.alarm_id.clone(), "seen").await.unwrap();
    let acknowledged = loop {
        if let NextAlarm::Transition(alarm) = within(alarms.next()).await.unwrap().unwrap()
            && alarm.acknowledged
        {
            break alarm;
        }
    };
    assert_eq!((acknowledged.alarm_id, acknowledged.comment.as_str()), (raised.alarm_id, "seen"));
    within(session.close()).await.unwrap();
    assert!(reveals(&gateway.home.path().join("log")).is_empty());
    for entry in std::fs::read_dir(gateway.home.path().join("data/workers")).unwrap() {
        let path = entry.unwrap().path();
        assert!(reveals(&path).is_empty(), "{}: {:?}", path.display(), reveals(&path));
    }
}

/// Writes without waiting for the end, which another stream would tell.
async fn session_sets(session: &Session, tag: &str) -> bool {
    let server = session.register("control").await.unwrap();
    let item = session.add_item(server, tags::item(tag)).await.unwrap();
    session.advise(item).await.unwrap();
    session.write(item, true).await.is_ok()
}

/// The secrets that a file of log lines contains.
fn reveals(file: &Path) -> Vec<&'static str> {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    SECRETS.into_iter().filter(|secret| text.contains(secret)).collect()
}

#[tokio::test]
async fn a_server_that_is_not_there_and_an_address_of_the_clients_are_refused_with_their_reason() {
    let mut server = TestServer::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(home(&server));
    server.crash().await;
    let client = gateway.client().await;
    for (options, word) in
        [("", "opc.tcp"), (r#"{"url":"opc.tcp://elsewhere"}"#, "url"), (r#"{"endpoint":"x"}"#, "plant")]
    {
        let open = OpenSession { backend_options_json: options.to_owned(), ..OpenSession::new("nowhere") };
        let Err(refused) = within(client.open(open)).await else { panic!("it is open: {options}") };
        assert!(refused.to_string().contains(word), "{options}: {refused}");
    }
}
