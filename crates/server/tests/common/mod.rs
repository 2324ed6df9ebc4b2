//! A gateway with a real WebSocket door on a free port, the reference store, and the shipped echo agent in process.

#![allow(dead_code, reason = "not every test needs all of the bench")]

pub(crate) mod trail;
pub(crate) mod virtual_keys;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use moorline_agents::Echo;
use moorline_core::delegation::DelegationLimits;
use moorline_core::record::Overflow;
use moorline_runtime::credentials::{Credentials, Provisioning, SealKey};
use moorline_runtime::workers::{Host, WorkerDoor, WorkerSpec, raise_generation, supervise};
use moorline_runtime::{Clock, Gateway, Retention, RuntimeOptions, Tasks};
use moorline_server::config::{Allowed, CredentialsConfig};
use moorline_server::connection::{Service, ServiceOptions};
use moorline_server::http::{HttpOptions, Listener};
use moorline_server::jwt::Jwt;
use moorline_server::key_store::Keys;
use moorline_server::keys::{ApiKey, KeyRecord, KeyRing};
use moorline_server::provisioning;
use moorline_store::{Collection, MemoryStore, Store, TailLimits};
use moorline_types::{Epoch, Millis, Principal, Quotas, Scopes, Timestamp};
use moorline_wire::Profile;
use moorline_worker::sdk::Agent;
use moorline_worker::secret::GatewaySecret;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a lease is that ends while a test looks on: a busy machine has accepted its job by then, and somebody has
/// subscribed to it.
pub(crate) const LEASE: Millis = Millis::from_secs(3);

pub(crate) const MAX_FRAME: usize = 64 * 1024;

pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Gateway,
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<MemoryStore>,
    key: ApiKey,
    other_key: ApiKey,
    configured_key: ApiKey,
    admin_key: ApiKey,
}

pub(crate) fn service_options() -> ServiceOptions {
    ServiceOptions {
        max_frame_bytes: MAX_FRAME,
        hello_deadline: Millis::from_secs(10),
        heartbeat_interval: Millis::from_secs(30),
        free_failures: 20,
    }
}

fn secret() -> GatewaySecret {
    GatewaySecret::new([9; 32])
}

/// Whom the gateway relies on.
#[derive(Default)]
struct Trusted {
    jwt: Option<Arc<Jwt>>,
    provisioning: Option<Provisioning>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(service_options(), 100).await
    }

    pub(crate) async fn with(options: ServiceOptions, max_connections_per_address: usize) -> Self {
        let epoch = Epoch::mint(Clock::system().now(), [7; 10]);
        let store = Arc::new(MemoryStore::new(epoch, TailLimits::default()));
        Self::over(store, runtime_options(), options, max_connections_per_address, Vec::new()).await
    }

    pub(crate) async fn with_runtime(options: RuntimeOptions) -> Self {
        Self::with_agents(options, Vec::new()).await
    }

    /// With agents of the test beside the shipped one.
    pub(crate) async fn with_agents(runtime: RuntimeOptions, agents: Vec<Arc<dyn Agent>>) -> Self {
        let epoch = Epoch::mint(Clock::system().now(), [7; 10]);
        let store = Arc::new(MemoryStore::new(epoch, TailLimits::default()));
        Self::over(store, runtime, service_options(), 100, agents).await
    }

    /// A client with a session, and the token that resumes it.
    pub(crate) async fn open(&self, hello: &Value) -> (Client, String) {
        let mut client = self.connect().await;
        client.send(hello).await;
        let welcome = client.recv().await.unwrap();
        assert_eq!(welcome["type"], "session.welcome", "{welcome}");
        client.session = welcome["session_id"].as_str().map(str::to_owned);
        (client, welcome["payload"]["resume_token"].as_str().unwrap().to_owned())
    }

    /// Another gateway over what this one has left behind, as if it had been killed.
    pub(crate) async fn restarted(&self) -> Self {
        let store = Arc::new(self.store.reopen(TailLimits::default()));
        Self::over(store, *self.gateway.options(), *self.service.options(), 100, Vec::new()).await
    }

    pub(crate) async fn over(
        store: Arc<MemoryStore>,
        runtime: RuntimeOptions,
        options: ServiceOptions,
        max_connections_per_address: usize,
        agents: Vec<Arc<dyn Agent>>,
    ) -> Self {
        let http = HttpOptions { max_connections_per_address, ..http_options() };
        Self::opened(store, runtime, options, http, agents, Trusted::default()).await
    }

    /// With a door of these options.
    pub(crate) async fn behind(http: HttpOptions) -> Self {
        let epoch = Epoch::mint(Clock::system().now(), [7; 10]);
        let store = Arc::new(MemoryStore::new(epoch, TailLimits::default()));
        Self::opened(store, runtime_options(), service_options(), http, Vec::new(), Trusted::default()).await
    }

    /// Where tokens of others are trusted.
    pub(crate) async fn trusting(jwt: Arc<Jwt>) -> Self {
        let epoch = Epoch::mint(Clock::system().now(), [7; 10]);
        let store = Arc::new(MemoryStore::new(epoch, TailLimits::default()));
        let trusted = Trusted { jwt: Some(jwt), ..Trusted::default() };
        Self::opened(store, runtime_options(), service_options(), http_options(), Vec::new(), trusted).await
    }

    /// Whose jobs are given credentials of this upstream.
    pub(crate) async fn issuing(upstream: &CredentialsConfig) -> Self {
        let epoch = Epoch::mint(Clock::system().now(), [7; 10]);
        let store = Arc::new(MemoryStore::new(epoch, TailLimits::default()));
        let provisioning = Some(provisioning(upstream, Clock::system()).unwrap());
        let trusted = Trusted { provisioning, ..Trusted::default() };
        Self::opened(store, runtime_options(), service_options(), http_options(), Vec::new(), trusted).await
    }

    async fn opened(
        store: Arc<MemoryStore>,
        runtime: RuntimeOptions,
        options: ServiceOptions,
        http: HttpOptions,
        mut agents: Vec<Arc<dyn Agent>>,
        Trusted { jwt, provisioning }: Trusted,
    ) -> Self {
        let clock = Clock::system();
        let entropy = [7; 10];
        let tasks = Tasks::default();
        agents.insert(0, Arc::new(Echo::new("echo@1.0.0".parse().unwrap())));
        let names: Vec<_> = agents.iter().map(|agent| (agent.describe().agent, true)).collect();
        let shared: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
        let generation = raise_generation(shared.as_ref()).await.unwrap();
        let key = SealKey::new(&[3; 32]);
        let credentials = Credentials::new(Arc::clone(&shared), clock.clone(), Some(key), provisioning);
        let gateway = Gateway::with_credentials(shared, clock.clone(), runtime, names, tasks.clone(), credentials);
        gateway.recover().await.unwrap();
        let door = WorkerDoor::new(Arc::clone(gateway.pool()), tasks.clone(), clock.clone(), generation, secret());
        supervise(WorkerSpec { name: "agents".to_owned(), host: Host::InProcess(agents) }, door, clock, &tasks);

        let key = ApiKey::generate().unwrap();
        let owner = Principal::new("ada".parse().unwrap(), Scopes::JOBS);
        let record = KeyRecord::issue(&key, "test", owner, Timestamp::from_unix_millis(1), entropy).unwrap();
        let other_key = ApiKey::generate().unwrap();
        let other = Principal::new("eve".parse().unwrap(), Scopes::JOBS);
        let other = KeyRecord::issue(&other_key, "other", other, Timestamp::from_unix_millis(1), [8; 10]).unwrap();
        let configured_key = ApiKey::generate().unwrap();
        let configured = Principal::new("pia".parse().unwrap(), Scopes::JOBS);
        let profiles = [(configured.id.clone(), Profile::Python)].into();
        let configured =
            KeyRecord::issue(&configured_key, "configured", configured, Timestamp::from_unix_millis(1), [9; 10])
                .unwrap();
        let admin_key = ApiKey::generate().unwrap();
        let admin = Principal::new("root".parse().unwrap(), Scopes::ADMIN);
        let admin = KeyRecord::issue(&admin_key, "admin", admin, Timestamp::from_unix_millis(1), [10; 10]).unwrap();
        let ring = KeyRing::new([record, other, configured, admin]);
        let keys = Arc::new(Keys::new(Arc::<MemoryStore>::clone(&store), ring));
        let service = Arc::new(Service::new(gateway.clone(), keys, options).with_profiles(profiles).with_jwt(jwt));
        let listener = Listener::bind(http).await.unwrap();
        let url = listener.url();
        let address =
            url.trim_start_matches("wss://").trim_start_matches("ws://").trim_end_matches("/arcp").parse().unwrap();
        listener.serve(Arc::clone(&service));
        Self { url, address, gateway, service, store, key, other_key, configured_key, admin_key }
    }

    /// The keys as the next start will find them.
    pub(crate) async fn stored_keys(&self) -> KeyRing {
        let page = self.store.list(Collection::ApiKeys, None, 100).await.unwrap();
        KeyRing::new(page.iter().map(|(_, found)| KeyRecord::from_json(&found.value).unwrap()))
    }

    pub(crate) fn hello(&self) -> Value {
        hello_with(&json!({ "scheme": "bearer", "token": self.key.expose() }))
    }

    /// How the audit trail names what the other one authenticates with.
    pub(crate) fn credential_of_another(&self) -> Value {
        json!(format!("API key {}", moorline_types::KeyId::mint(Timestamp::from_unix_millis(1), [8; 10])))
    }

    pub(crate) fn hello_of_another(&self) -> Value {
        hello_with(&json!({ "scheme": "bearer", "token": self.other_key.expose() }))
    }

    /// Of a principal whose clients are configured to be the Python SDK's.
    pub(crate) fn hello_of_a_configured_peer(&self) -> Value {
        hello_with(&json!({ "scheme": "bearer", "token": self.configured_key.expose() }))
    }

    pub(crate) fn hello_of_an_administrator(&self) -> Value {
        hello_with(&json!({ "scheme": "bearer", "token": self.admin_key.expose() }))
    }

    pub(crate) async fn connect(&self) -> Client {
        let (socket, _) = tokio_tungstenite::connect_async(&self.url).await.unwrap();
        Client { socket, session: None }
    }

    /// A client with an open session.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.connect().await;
        client.send(&self.hello()).await;
        let welcome = client.recv().await.unwrap();
        assert_eq!(welcome["type"], "session.welcome", "{welcome}");
        client.session = welcome["session_id"].as_str().map(str::to_owned);
        client
    }
}

pub(crate) fn hello_with(auth: &Value) -> Value {
    let features = ["heartbeat", "ack", "list_jobs", "subscribe", "progress", "result_chunk", "agent_versions"];
    json!({
        "arcp": "1.1", "id": "msg_hello", "type": "session.hello",
        "payload": {
            "client": { "name": "test", "version": "1" },
            "auth": auth,
            "capabilities": { "encodings": ["json"], "features": features },
        },
    })
}

/// The hello with which everything can be leased.
pub(crate) fn leasing(mut hello: Value) -> Value {
    let features = hello["payload"]["capabilities"]["features"].as_array_mut().unwrap();
    features.extend(["cost.budget", "model.use", "lease_expires_at"].map(Value::from));
    hello
}

pub(crate) fn http_options() -> HttpOptions {
    HttpOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        client_principals: BTreeMap::default(),
        allowed_origins: Allowed::Only(["https://app.example.com".to_owned()].into()),
        allowed_hosts: Allowed::Only(["gateway.example.com".to_owned()].into()),
        max_connections: 1_000,
        max_connections_per_address: 100,
    }
}

pub(crate) fn runtime_options() -> RuntimeOptions {
    RuntimeOptions {
        cancel_grace: Millis::from_secs(30),
        max_pending: Millis::from_secs(300),
        unasked: moorline_core::access::Unasked::default(),
        quotas: Quotas { sessions: Some(50), jobs: Some(1_000), ..Quotas::default() },
        resume_window: Millis::from_secs(600),
        // What is not about acknowledgements is not told of them.
        back_pressure_lag: u64::MAX,
        overflow: Overflow::CatchUp,
        retention: Retention::default(),
        audit_max_age: None,
        audit_max_bytes: None,
        tracing: moorline_core::trace::Participation::default(),
        delegation: DelegationLimits::DEFAULT,
        check_event: |kind, body| moorline_wire::validate_body(kind, body).map_err(|error| error.to_string()),
    }
}

/// The usual options, but for how many sessions each principal may have.
pub(crate) fn with_sessions(sessions: usize) -> RuntimeOptions {
    let usual = runtime_options();
    RuntimeOptions { quotas: Quotas { sessions: Some(sessions as u64), ..usual.quotas }, ..usual }
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) session: Option<String>,
}

impl Client {
    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    /// Sends frames in one write.
    pub(crate) async fn send_together(&mut self, frames: &[Value]) {
        for frame in frames {
            self.socket.feed(Message::text(frame.to_string())).await.unwrap();
        }
        self.socket.flush().await.unwrap();
    }

    /// Sends a message of the session.
    pub(crate) async fn say(&mut self, id: &str, message_type: &str, payload: Value) {
        let frame = json!({
            "arcp": "1.1", "id": id, "type": message_type, "session_id": self.session, "payload": payload,
        });
        self.send(&frame).await;
    }

    /// The next envelope; `None` when the connection has ended.
    pub(crate) async fn recv(&mut self) -> Option<Value> {
        match self.recv_message().await {
            Some(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            _ => None,
        }
    }

    pub(crate) async fn recv_message(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match next.expect("the gateway answers or closes") {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next envelope of this type; others are passed over.
    pub(crate) async fn recv_type(&mut self, message_type: &str) -> Value {
        loop {
            let frame = self.recv().await.unwrap_or_else(|| panic!("the connection ended before {message_type}"));
            if frame["type"] == message_type {
                return frame;
            }
        }
    }

    /// Submits to the echo agent and waits for the result: the proof that connection, gateway and worker go on.
    pub(crate) async fn echo(&mut self, input: Value) -> Value {
        self.say("msg_echo", "job.submit", json!({ "agent": "echo", "input": input })).await;
        self.recv_type("job.accepted").await;
        self.recv_type("job.result").await["payload"]["result"].clone()
    }
}
