//! The whole over real processes: a gateway, the worker that it starts, an OPC UA server, a client over gRPC, and
//! `kill -9`.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use moorline_gateway_client::{
    Event, EventBody, EventStream, Item, Next, NextAlarm, OpenSession, Session, Start, Value,
};
use moorline_opcua_testkit::gateway::{self, Gateway};
use moorline_opcua_testkit::watch::OfGateway;
use moorline_opcua_testkit::{Cut, Options, Proxy, Schedule, TestServer, Trial, tags};
use tempfile::TempDir;
use tokio::task::JoinSet;

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

fn home(url: &str) -> TempDir {
    home_with(url, "")
}

/// The same, with this in what the endpoint says.
fn home_with(url: &str, more: &str) -> TempDir {
    let endpoint = "security_policy = \"None\"\nsecurity_mode = \"None\"\ninsecure_passwords = true\n\
                    user = \"operator\"\npassword_env = \"OPCUA_OPERATOR\"\n\
                    publishing_interval_ms = 50\nsampling_interval_ms = 0\nqueue_size = 10000";
    gateway::home(Path::new(env!("CARGO_BIN_EXE_moorline-opcua")), &format!("url = \"{url}\"\n{endpoint}\n{more}\n"))
        .unwrap()
}

async fn start(home: TempDir) -> Gateway {
    within(Gateway::start(moorline(), home)).await.unwrap()
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
    let gateway = start(home(&server.url())).await;
    let client = gateway.client().await.unwrap();
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
    let gateway = start(gateway.kill().await.unwrap()).await;
    let client = gateway.client().await.unwrap();
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
    assert!(reveals(&gateway.home().join("log")).is_empty());
    for entry in std::fs::read_dir(gateway.home().join("data/workers")).unwrap() {
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
    let gateway = start(home(&server.url())).await;
    server.crash().await;
    let client = gateway.client().await.unwrap();
    for (options, word) in
        [("", "opc.tcp"), (r#"{"url":"opc.tcp://elsewhere"}"#, "url"), (r#"{"endpoint":"x"}"#, "plant")]
    {
        let open = OpenSession { backend_options_json: options.to_owned(), ..OpenSession::new("nowhere") };
        let Err(refused) = within(client.open(open)).await else { panic!("it is open: {options}") };
        assert!(refused.to_string().contains(word), "{options}: {refused}");
    }
}

#[tokio::test]
async fn a_client_loses_nothing_and_is_told_nothing_twice_while_the_worker_is_cut_off() {
    let seed = std::env::var("MOORLINE_OPCUA_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let server = TestServer::start(Options::default()).await.unwrap();
    let network = Proxy::to(server.address()).await.unwrap();
    let gateway = start(home(&format!("opc.tcp://{}/", network.address()))).await;
    let mut client = within(OfGateway::open(&gateway.client().await.unwrap())).await.unwrap();
    let schedule = Schedule::new(seed, 3).at_most(Duration::from_millis(700));
    let outcome = Trial::new(&mut client, &network).run(schedule).await;
    let outcome = outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}\n{}", gateway.log()));
    assert!(outcome.counts.is_exact(), "seed {seed}: {outcome:?}");
    assert!(outcome.connections > outcome.cuts, "seed {seed}: the cuts have cut nothing: {outcome:?}");
    within(client.close()).await.unwrap();
}

#[tokio::test]
async fn reads_that_wait_for_the_connection_hold_up_neither_other_commands_nor_the_end_of_the_session() {
    let server = TestServer::start(Options::default()).await.unwrap();
    let network = Proxy::to(server.address()).await.unwrap();
    // Longer than a command may take: whatever waits for a read fails.
    let url = format!("opc.tcp://{}/", network.address());
    let gateway = start(home_with(&url, "request_timeout_ms = 600000")).await;
    let client = gateway.client().await.unwrap();
    for cut in [Cut::Reset, Cut::BlackHole] {
        let session = within(client.open(OpenSession::new("line 1"))).await.unwrap();
        let line = within(session.register("line 1")).await.unwrap();
        let read = async |session: Session| session.read([tags::item("Int32")]).await;
        network.cut(cut);
        let mut healed = JoinSet::new();
        for _ in 0..3 {
            healed.spawn(read(session.clone()));
        }
        within(session.worker_state()).await.unwrap();
        let item = within(session.add_item(line, tags::item("Int32"))).await.unwrap();
        within(session.remove_item(item)).await.unwrap();
        assert!(healed.try_join_next().is_none(), "{cut:?}: a read is answered without a connection");
        network.heal();
        while let Some(readings) = within(healed.join_next()).await {
            assert_eq!(readings.unwrap().unwrap()[0].sample.as_ref().unwrap().value, Value::Integer(-32), "{cut:?}");
        }
        network.cut(cut);
        let mut never = JoinSet::new();
        never.spawn(read(session.clone()));
        within(session.worker_state()).await.unwrap();
        within(session.close()).await.unwrap();
        assert!(within(never.join_next()).await.unwrap().unwrap().is_err(), "{cut:?}");
        network.heal();
    }
}
