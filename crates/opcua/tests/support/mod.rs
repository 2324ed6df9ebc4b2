//! A back end that is open with the test server.

#![allow(dead_code, reason = "not every test needs all of this")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use moorline_backend::contract::{
    Command, CommandResult, Done, Event, EventBody, ItemAt, Password, Reading, Revision, Sample, ServerHandle, Status,
    UserHandle, Value, Write,
};
use moorline_backend::{OpenError, Opened, Opener as _};
use moorline_opcua::OpcUa;
use moorline_opcua::settings::Settings;
use moorline_opcua_testkit::tags;
use moorline_types::Json;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A back end, and what it has said that nobody has asked for yet.
pub(crate) struct Session {
    pub(crate) backend: Opened,
    pub(crate) server: ServerHandle,
    events: Vec<Event>,
    commands: u64,
    /// Where its file and its certificates are, if nobody else has that.
    home: Option<TempDir>,
}

/// What an endpoint says that is not secured.
const PLAIN: &str = "security_policy = \"None\"\nsecurity_mode = \"None\"\n";

/// The variables of the environment: a user's password, and one that is nobody's.
const ENVIRONMENT: [(&str, &str); 2] = [("OPCUA_OPERATOR", tags::PASSWORD), ("OPCUA_NOBODY", "of-nobody")];

/// What an endpoint says that is used as a user of the test server, in whatever way that is secured.
pub(crate) const AS_OPERATOR: &str =
    "user = \"operator\"\npassword_env = \"OPCUA_OPERATOR\"\ninsecure_passwords = true\n";

/// A back end with this server, set up like this, with its file and its certificates in `home`.
pub(crate) fn back_end(home: &Path, url: &str, endpoint: &str) -> OpcUa {
    let path = home.join("opcua.toml");
    let times = "publishing_interval_ms = 50\nheartbeat_ms = 1000\n";
    std::fs::write(&path, format!("[endpoints.test]\nurl = \"{url}\"\n{times}{endpoint}\n")).unwrap();
    let environment = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    OpcUa::new(Settings::load(&path).unwrap(), BTreeMap::from(environment))
}

/// The same, open.
pub(crate) async fn open(home: &Path, url: &str, endpoint: &str, options: &str) -> Result<Opened, OpenError> {
    let (options, back_end) = (json(options), back_end(home, url, endpoint));
    match tokio::time::timeout(PATIENCE, back_end.open(Some(&options))).await {
        Ok(opened) => opened,
        Err(_) => panic!("it does not open"),
    }
}

/// What an endpoint says that is not secured, and this.
pub(crate) fn plain(endpoint: &str) -> String {
    format!("{PLAIN}{endpoint}")
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

impl Session {
    /// With one client session, over an endpoint that is not secured.
    pub(crate) async fn open(url: &str, endpoint: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut session = Self::of(open(home.path(), url, &plain(endpoint), "{}").await.unwrap()).await;
        session.home = Some(home);
        session
    }

    /// The same over one that is, to a server that is trusted whatever it shows.
    pub(crate) async fn open_secured(url: &str, endpoint: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let endpoint = format!("trust_unknown_certificates = true\n{endpoint}");
        let mut session = Self::of(open(home.path(), url, &endpoint, "{}").await.unwrap()).await;
        session.home = Some(home);
        session
    }

    /// With one client session of a back end that is open.
    pub(crate) async fn of(backend: Opened) -> Self {
        let mut session = Self { backend, server: ServerHandle(0), events: Vec::new(), commands: 0, home: None };
        let Done::Server(server) = session.done(Command::Register { client: "test".to_owned() }).await else {
            panic!()
        };
        session.server = server;
        session
    }

    pub(crate) async fn invoke(&mut self, command: Command) -> CommandResult {
        self.commands += 1;
        let id = format!("command {}", self.commands);
        self.invoke_as(&id, command).await
    }

    pub(crate) async fn invoke_as(&mut self, id: &str, command: Command) -> CommandResult {
        let carried_out = async {
            let mut result = self.backend.execute(id, Some("ada"), &command).await;
            self.backend.settle(&mut [(&command, &mut result)]).await;
            result
        };
        tokio::time::timeout(PATIENCE, carried_out).await.expect("it is not answered")
    }

    pub(crate) async fn done(&mut self, command: Command) -> Done {
        let result = self.invoke(command).await;
        assert!(result.success, "{result:?}");
        result.done
    }

    pub(crate) async fn item_of(&mut self, name: &str, buffered: bool) -> ItemAt {
        let server = self.server;
        let add = Command::AddItem { server, item: name.to_owned(), context: String::new(), buffered };
        let Done::Item { item, .. } = self.done(add).await else { panic!() };
        ItemAt { server, item }
    }

    /// How an item is told that is advised by this.
    pub(crate) async fn revision(&mut self, at: ItemAt) -> Revision {
        let Done::Advised(revision) = self.done(Command::Advise { at, supervisory: false }).await else { panic!() };
        *revision
    }

    /// An advised tag of the test server.
    pub(crate) async fn advised(&mut self, tag: &str) -> ItemAt {
        let at = self.item_of(&tags::item(tag), false).await;
        self.done(Command::Advise { at, supervisory: false }).await;
        at
    }

    pub(crate) fn write_of(at: ItemAt, value: Value) -> Write {
        Write { at, value, user: UserHandle(0), verifier: None, source_time: None }
    }

    /// Writes and waits until that is complete.
    pub(crate) async fn write(&mut self, write: Write) -> Status {
        self.commands += 1;
        let id = format!("command {}", self.commands);
        let result = self.invoke_as(&id, Command::Write(write)).await;
        assert!(result.success, "{result:?}");
        self.complete(&id).await
    }

    pub(crate) async fn complete(&mut self, id: &str) -> Status {
        let is_it = |event: &Event| {
            let (EventBody::WriteComplete { command } | EventBody::OperationComplete { command }) = &event.said else {
                return false;
            };
            &**command == id
        };
        self.until(id, is_it).await.statuses[0]
    }

    pub(crate) async fn set(&mut self, tag: &str, value: Value) {
        let at = self.advised(tag).await;
        let status = self.write(Self::write_of(at, value)).await;
        assert!(status.success, "{tag}: {status:?}");
        self.done(Command::RemoveItem(at)).await;
    }

    pub(crate) async fn read(&mut self, name: &str) -> Reading {
        let Done::Readings(readings) = self.done(Command::Read { items: vec![name.to_owned()] }).await else {
            panic!()
        };
        readings.into_iter().next().unwrap()
    }

    pub(crate) async fn authenticate(&mut self, user: &str, password: &str) -> CommandResult {
        let (server, user, password) = (self.server, user.to_owned(), Password::new(password.to_owned()));
        self.invoke(Command::AuthenticateUser { server, user, password }).await
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        if self.events.is_empty() {
            let next = tokio::time::timeout(PATIENCE, self.backend.next_event()).await;
            return next.expect("nothing is said").unwrap();
        }
        self.events.remove(0)
    }

    /// The first event of which this is true. Those before it stay for others.
    pub(crate) async fn until(&mut self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        if let Some(found) = self.events.iter().position(&is_it) {
            return self.events.remove(found);
        }
        let found = async {
            loop {
                let event = self.backend.next_event().await.unwrap();
                if is_it(&event) {
                    return event;
                }
                self.events.push(event);
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("waited for {what}; there were {:?}", self.events))
    }

    /// The next sample of an item, with its status.
    pub(crate) async fn sample(&mut self, at: ItemAt) -> (Sample, Status) {
        let event = self.until("a data change", |event| event.at == Some(at) && is_change(event)).await;
        let EventBody::DataChange(sample) = event.said else { panic!() };
        (sample, event.statuses[0])
    }

    /// Waits until an item has a value.
    pub(crate) async fn value(&mut self, at: ItemAt, value: &Value) -> Sample {
        loop {
            let (sample, _) = self.sample(at).await;
            if sample.value == *value {
                return sample;
            }
        }
    }

    pub(crate) async fn gap(&mut self) -> Event {
        self.until("a gap", |event| matches!(event.said, EventBody::BackendGap { .. })).await
    }

    pub(crate) async fn close(mut self) {
        tokio::time::timeout(PATIENCE, self.backend.close()).await.expect("it does not close");
    }
}

pub(crate) fn is_change(event: &Event) -> bool {
    matches!(event.said, EventBody::DataChange(_))
}
