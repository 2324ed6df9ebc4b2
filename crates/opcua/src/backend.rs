//! The commands of the contract, as services of OPC UA.
//!
//! What is advised, paused or collected is only noted here; the links make the server's side like it. So an item that the
//! server does not know is no error of its command but its first data change. What is read, registered or authenticated is
//! asked of the server at once. A write is taken in at once, and complete when the server has answered.

mod items;
mod read;
mod settle;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use moorline_backend::contract::{
    Command, CommandResult, Done, Event, ItemAt, Reading, Revision, ServerHandle, SessionState, Status, StatusCategory,
    UserHandle,
};
use moorline_backend::{Backend, BackendFault, BackendInfo, OpenError, Opened, Opener};
use moorline_types::Json;
use opcua::types::{MethodId, NodeId, StatusCode, Variant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::connect::Server;
use crate::desired::{Group, Wish};
use crate::link::{Link, Outage, Outlet};
use crate::name::ItemName;
use crate::quality;
use crate::settings::{Identity, Settings};
use items::{Advice, ClientSession, Item, Servers, User};
use write::Writes;

/// What the back end is called.
pub const NAME: &str = "opcua";

/// What links have said and nobody has taken yet. When it is full they do not ask the server for more.
const MAX_EVENTS: usize = 1_024;

/// How long the server may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The steps of intervals for collected changes, in milliseconds.
const INTERVAL_STEP_MS: u64 = 100;

/// Opens sessions with OPC UA servers.
#[derive(Debug)]
pub struct OpcUa {
    settings: Settings,
    environment: BTreeMap<String, String>,
}

impl OpcUa {
    /// With these servers. `environment` has the variables that may have passwords.
    pub const fn new(settings: Settings, environment: BTreeMap<String, String>) -> Self {
        Self { settings, environment }
    }
}

#[async_trait]
impl Opener for OpcUa {
    fn info(&self) -> BackendInfo {
        BackendInfo { name: NAME, version: env!("CARGO_PKG_VERSION") }
    }

    async fn open(&self, options: Option<&Json>) -> Result<Opened, OpenError> {
        let (name, endpoint) = self.settings.choose(options)?;
        let identity = endpoint.identity(&self.environment)?;
        tracing::info!(endpoint = name, url = %endpoint.url, ?identity, "opening");
        let server = Arc::new(Server::find(self.settings.clone(), endpoint).await?);
        server.check(&identity)?;
        let (outlet, events) = mpsc::channel(MAX_EVENTS);
        let main = Link::open(&server, "moorline", identity.clone(), outlet.clone());
        main.accepted(CONNECT_TIMEOUT).await.map_err(|Outage { code, remedy }| OpenError::Unavailable {
            reason: remedy.map_or_else(|| server.refusal(&identity, code), |remedy| remedy.to_string()),
        })?;
        let writes = Writes::new(outlet.clone());
        Ok(Box::new(Connected {
            server,
            identity,
            main,
            servers: Servers::default(),
            writes,
            outlet,
            events,
            own: VecDeque::new(),
            advising: Vec::new(),
        }))
    }
}

/// A session of the gateway.
struct Connected {
    server: Arc<Server>,
    identity: Identity,
    /// With the gateway's own identity: reads, supervisory items, alarms.
    main: Link,
    servers: Servers,
    writes: Writes,
    outlet: Outlet,
    events: mpsc::Receiver<Result<Event, BackendFault>>,
    /// What is said before what else links say: what commands have brought, of which each adds one at most, and what
    /// links have said while a command was waited for.
    own: VecDeque<Result<Event, BackendFault>>,
    /// Items that were advised, of which the server has yet to say how they are told.
    advising: Vec<(ItemAt, oneshot::Receiver<Revision>)>,
}

#[async_trait]
impl Backend for Connected {
    async fn execute(&mut self, id: &str, by: Option<&str>, command: &Command) -> CommandResult {
        let done = match command {
            Command::Register { client } => self.register(client).await.map(Done::Server),
            Command::Unregister { server } => self.unregister(*server).await,
            Command::AddItem { server, item, context, buffered } => self.add(*server, item, context, *buffered),
            Command::RemoveItem(at) => self.remove(*at),
            Command::Advise { at, supervisory } => self.advise(*at, *supervisory),
            Command::UnAdvise(at) => self.un_advise(*at),
            Command::Suspend(at) => self.pause(id, *at, true),
            Command::Activate(at) => self.pause(id, *at, false),
            Command::Write(write) => self.write(id, by, write),
            Command::AuthenticateUser { server, user, password } => {
                self.authenticate(*server, user, password.reveal()).await.map(Done::User)
            }
            Command::SetBufferedUpdateInterval { server, interval_ms } => self.pace(*server, *interval_ms).await,
            // In a bulk, whose commands are in order.
            Command::Read { items } => self.read(items).await.map(Done::Readings),
            Command::SubscribeAlarms { area } => Ok(self.subscribe_alarms(area)),
            Command::RefreshAlarms => self.refresh_alarms(),
            Command::AcknowledgeAlarm { alarm, comment } => self.acknowledge(by, alarm, comment).await,
            Command::SessionState => Ok(Done::Session(self.state())),
            Command::WorkerInfo | Command::Bulk { .. } | Command::Refused { .. } => {
                Err(CommandResult::invalid("this is not for a back end"))
            }
        };
        done.map_or_else(|failed| failed, CommandResult::done)
    }

    fn look(&self, command: &Command) -> Option<BoxFuture<'static, CommandResult>> {
        let Command::Read { items } = command else { return None };
        let read = self.read(items).map(|read| read.map(Done::Readings));
        Some(read.map(|done| done.map_or_else(|failed| failed, CommandResult::done)).boxed())
    }

    async fn settle(&mut self, done: &mut [(&Command, &mut CommandResult)]) {
        self.tell_revisions(done).await;
    }

    async fn next_event(&mut self) -> Result<Event, BackendFault> {
        if let Some(event) = self.own.pop_front() {
            return event;
        }
        // The other end is kept here too, so there is always one.
        self.events.recv().await.unwrap_or_else(|| Err(BackendFault { reason: "nothing is told any more".to_owned() }))
    }

    async fn close(&mut self) {
        // Whoever waits to say something is not waited for.
        self.events.close();
        self.writes.stop();
        let links: Vec<Link> = self.servers.take_links().collect();
        join_all(links.iter().chain([&self.main]).map(Link::close)).await;
    }
}

type Outcome = Result<Done, CommandResult>;

impl Connected {
    fn read(&self, items: &[String]) -> impl Future<Output = Result<Vec<Reading>, CommandResult>> + use<> {
        read::read(self.main.asker(), self.server.endpoint.request_timeout(), items.to_vec())
    }

    async fn register(&mut self, client: &str) -> Result<ServerHandle, CommandResult> {
        let handle = self.servers.vacancy()?;
        let link = Link::open(&self.server, &session_name(client), self.identity.clone(), self.outlet.clone());
        link.accepted(CONNECT_TIMEOUT).await.map_err(unanswered)?;
        self.servers.insert(handle, ClientSession::new(client, link));
        Ok(handle)
    }

    async fn unregister(&mut self, server: ServerHandle) -> Outcome {
        let gone = self.servers.remove(server)?;
        self.main.want(|desired| desired.forget(server));
        let links: Vec<Link> = gone.links().collect();
        join_all(links.iter().map(Link::close)).await;
        Ok(Done::Nothing)
    }

    fn add(&mut self, server: ServerHandle, item: &str, context: &str, buffered: bool) -> Outcome {
        let name = ItemName::parse(context, item).map_err(|error| CommandResult::invalid(error.to_string()))?;
        let shown = name.to_string();
        let added = self.servers.get(server)?.add(Item::new(name, shown.as_str().into(), buffered))?;
        Ok(Done::Item { server, item: added, name: shown })
    }

    fn remove(&mut self, at: ItemAt) -> Outcome {
        self.un_advise(at)?;
        self.servers.get(at.server)?.remove(at)
    }

    fn advise(&mut self, at: ItemAt, supervisory: bool) -> Outcome {
        let session = self.servers.get(at.server)?;
        let buffered_ms = session.buffered_ms;
        let item = session.item(at)?;
        if let Some(Advice { supervisory: before, .. }) = item.advice {
            if before == supervisory {
                return Ok(self.told(at)?.map_or(Done::Nothing, |revision| Done::Advised(Box::new(revision))));
            }
            self.un_advise(at)?;
        }
        let item = self.servers.item(at)?;
        let live_ms = self.server.endpoint.rates.publishing_interval_ms;
        let (group, interval_ms) = match item.buffered {
            true => (Group::Buffered(at.server), buffered_ms),
            false => (Group::Live(at.server), live_ms),
        };
        let wish = Wish { group, at, name: item.name.clone(), shown: item.shown.clone(), suspended: item.suspended };
        let link = self.link_of(at.server, supervisory)?;
        let (handle, waits) = link.want(|desired| desired.add(wish, interval_ms));
        if link.session().is_ok() {
            self.advising.push((at, waits));
        }
        self.servers.item(at)?.advice = Some(Advice { supervisory, handle });
        Ok(Done::Nothing)
    }

    fn un_advise(&mut self, at: ItemAt) -> Outcome {
        let item = self.servers.item(at)?;
        if let Some(Advice { supervisory, handle }) = item.advice.take() {
            self.link_of(at.server, supervisory)?.want(|desired| desired.remove(handle));
        }
        Ok(Done::Nothing)
    }

    fn pause(&mut self, id: &str, at: ItemAt, suspended: bool) -> Outcome {
        let item = self.servers.item(at)?;
        item.suspended = suspended;
        match item.advice {
            Some(Advice { supervisory, handle }) => {
                let link = self.link_of(at.server, supervisory)?;
                if !link.want(|desired| desired.suspend(handle, suspended, id)) {
                    return Err(CommandResult::invalid("too many operations on the item wait for the server"));
                }
            }
            None => {
                let event = write::operation_complete(at, &item.shown, id);
                self.own.push_back(Ok(event));
            }
        }
        Ok(Done::Nothing)
    }

    /// Which link has an item: the client session's own, or the gateway's.
    fn link_of(&mut self, server: ServerHandle, supervisory: bool) -> Result<&Link, CommandResult> {
        if supervisory { Ok(&self.main) } else { Ok(&self.servers.get(server)?.link) }
    }

    async fn authenticate(
        &mut self,
        server: ServerHandle,
        user: &str,
        password: &str,
    ) -> Result<UserHandle, CommandResult> {
        let session = self.servers.get(server)?;
        session.check_room_for_user()?;
        let identity = Identity::Password { user: user.to_owned(), password: password.to_owned() };
        // A password that may not be sent is the configuration's fault, and is said to be.
        self.server.check(&identity).map_err(|error| {
            CommandResult::failed(error.to_string(), Status::refused(StatusCategory::ConfigurationError))
        })?;
        let link = Link::quiet(&self.server, &session_name(user), identity);
        link.accepted(CONNECT_TIMEOUT).await.map_err(|outage| match outage.code {
            code if quality::is_of_connection(code) || quality::is_of_certificate(code) => no_connection(outage),
            code => CommandResult::failed(
                format!("the server does not let the user in: {code}"),
                Status::failed(StatusCategory::SecurityError, quality::raw(code)),
            ),
        })?;
        Ok(self.servers.get(server)?.add_user(User { name: user.into(), link }))
    }

    async fn pace(&mut self, server: ServerHandle, interval_ms: u32) -> Outcome {
        let asked = u64::from(interval_ms.max(1)).div_ceil(INTERVAL_STEP_MS).saturating_mul(INTERVAL_STEP_MS);
        let session = self.servers.get(server)?;
        session.buffered_ms = asked;
        let group = Group::Buffered(server);
        let waits = session.link.want(|desired| desired.pace(group, asked));
        let is_connected = session.link.session().is_ok();
        // Supervisory items are in the gateway's own session; what there is of them follows.
        self.main.want(|desired| {
            desired.groups.entry(group).and_modify(|interval| *interval = asked);
        });
        let patience = self.server.endpoint.request_timeout();
        let revised = if is_connected { self.wait_for(waits, Instant::now() + patience).await } else { None };
        let interval = revised.unwrap_or(asked);
        Ok(Done::Interval(u32::try_from(interval).unwrap_or(u32::MAX)))
    }

    fn subscribe_alarms(&mut self, area: &str) -> Done {
        let is_first = self.main.alarms(|alarms| {
            let is_first = !alarms.is_subscribed();
            alarms.subscribe(area);
            is_first
        });
        let interval_ms = self.server.endpoint.rates.publishing_interval_ms;
        if is_first {
            // When it is made the server is asked which alarms there are.
            self.main.want(|desired| desired.groups.insert(Group::Alarms, interval_ms));
        } else {
            self.main.refresh_alarms();
        }
        Done::Nothing
    }

    fn refresh_alarms(&mut self) -> Outcome {
        if !self.main.alarms(|alarms| alarms.is_subscribed()) {
            return Err(CommandResult::invalid("alarms are not told; subscribe to them first"));
        }
        self.main.refresh_alarms();
        Ok(Done::Nothing)
    }

    async fn acknowledge(&mut self, by: Option<&str>, alarm: &str, comment: &str) -> Outcome {
        let known = self.main.alarms(|alarms| alarms.acknowledgement(alarm));
        let known = known.ok_or_else(|| CommandResult::invalid("no alarm of this name is active"))?;
        let session = self.main.session().map_err(no_connection)?;
        tracing::info!(by, alarm, "an alarm is acknowledged");
        let comment = opcua::types::LocalizedText::new("", comment);
        let request = (
            known.condition,
            NodeId::from(MethodId::AcknowledgeableConditionType_Acknowledge),
            Some(vec![Variant::ByteString(known.event), Variant::LocalizedText(Box::new(comment))]),
        );
        let result = session.call_one(request).await.map_err(|error| failed(error.status()))?;
        match result.status_code {
            code if code.is_bad() => Err(failed(code)),
            _ => Ok(Done::Nothing),
        }
    }

    fn state(&self) -> SessionState {
        SessionState {
            servers: self.servers.states(&self.main),
            commands: Box::default(),
            alarms: self.main.alarms(|alarms| alarms.is_subscribed()),
            link: Some(Box::new(self.main.state())),
        }
    }
}

/// What the server calls a session of this client.
fn session_name(client: &str) -> String {
    /// The longest name, in characters: what a server's list of sessions has room for.
    const MAX_CHARS: usize = 64;

    let name: String = client.chars().filter(|char| !char.is_control()).take(MAX_CHARS).collect();
    format!("moorline: {name}")
}

#[expect(clippy::needless_pass_by_value, reason = "it is what an error is mapped with")]
fn no_connection(outage: Outage) -> CommandResult {
    let detail = quality::raw(outage.code);
    let status = Status { detail, ..Status::refused(StatusCategory::CommunicationError) };
    CommandResult { hresult: detail, ..CommandResult::failed(outage.to_string(), status) }
}

/// The server has refused, or was not asked.
fn unanswered(outage: Outage) -> CommandResult {
    let is_down = outage.remedy.is_some() || quality::is_of_connection(outage.code);
    if is_down { no_connection(outage) } else { failed(outage.code) }
}

/// The server has refused.
fn failed(code: StatusCode) -> CommandResult {
    CommandResult {
        hresult: quality::raw(code),
        ..CommandResult::failed(format!("the server refuses: {code}"), quality::status(code))
    }
}
