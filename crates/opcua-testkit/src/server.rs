//! A server of OPC UA on this machine.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::DiagnosticsNodeManagerBuilder;
use opcua::server::node_manager::ServerContext;
use opcua::server::node_manager::memory::{CoreNodeManagerBuilder, InMemoryNodeManagerBuilder};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint, ServerInfo, ServerUserToken};
use opcua::sync::Mutex;
use opcua::types::{VariableId, Variant};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

use crate::alarms::Alarms;
use crate::pki::{self, Pki};
use crate::plant::{Conditions, Inherited, Plant, PlantManager, count};
use crate::tags;

/// How often the server looks whether something is to be published. The shortest publishing interval there can be.
const POLL: Duration = Duration::from_millis(10);

/// Messages that wait to be published in a subscription, at most: what a test lets pile up is bounded by the queues of its
/// items, and not by this.
const MAX_QUEUED_MESSAGES: usize = 10_000;

/// Requests to publish that wait in a session, at most. The server keeps twice as many messages for whoever asks for one
/// again, so this is more than a client is sent between its acknowledgements.
const MAX_PUBLISH_REQUESTS: usize = 100;

/// How long its tasks have to end when it crashes. They only wait for sockets and timers.
const END: Duration = Duration::from_secs(10);

/// Bytes of a message, at most: more than a queue that is full.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// What the server does to requests that ask for more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The shortest publishing interval.
    pub publishing_interval: Duration,
    /// The shortest sampling interval.
    pub sampling_interval: Duration,
    /// The longest queue of an item.
    pub queue_size: usize,
    /// The most intervals between two signs of life.
    pub keep_alive_count: u32,
    /// The most intervals that a subscription lives without its client.
    pub lifetime_count: u32,
}

impl Default for Limits {
    /// As good as none, so that nothing is lost.
    fn default() -> Self {
        Self {
            publishing_interval: POLL,
            sampling_interval: Duration::ZERO,
            queue_size: 100_000,
            keep_alive_count: 1_000,
            lifetime_count: 100_000,
        }
    }
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What it does to requests that ask for more.
    pub limits: Limits,
    /// How often [`tags::COUNTER`] counts.
    pub count_every: Duration,
    /// How long a write to [`tags::SLOW`] takes.
    pub slow_write: Duration,
    /// How long a session lives without a connection.
    pub session_timeout: Duration,
    /// Whether it has endpoints that are secured, and whom it trusts there.
    pub security: Security,
}

/// How a server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// Not at all.
    #[default]
    None,
    /// It has secured endpoints beside the other one, and trusts every client's certificate.
    Trusting,
    /// The same, but it trusts those certificates only that are to be ([`Pki::trust_rejected`]).
    Strict,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            count_every: Duration::from_millis(20),
            slow_write: Duration::from_secs(1),
            session_timeout: Duration::from_secs(60),
            security: Security::None,
        }
    }
}

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It gets no thread, no socket or no directory.
    #[error("the server cannot be started: {0}")]
    Start(#[source] io::Error),
    /// It gets no certificates.
    #[error("the server's certificates cannot be made: {0}")]
    Certificates(#[from] pki::PkiError),
    /// The library does not want it so.
    #[error("the server cannot be built: {0}")]
    Build(String),
}

/// A server with tags and alarms. It ends when it is dropped.
pub struct TestServer {
    options: Options,
    address: SocketAddr,
    running: Option<Running>,
    pki: Arc<Pki>,
}

/// What of a server goes away when it is stopped.
struct Running {
    /// Its tasks, those of its connections among them: they all end with it. Taken when it ends.
    runtime: Option<Runtime>,
    info: Arc<ServerInfo>,
}

impl TestServer {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        Self::start_at(0, options).await
    }

    /// Starts one on this port of the loopback address.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_at(port: u16, options: Options) -> Result<Self, ServerError> {
        let directory = tempfile::tempdir().map_err(ServerError::Start)?;
        Self::start_with(port, options, Arc::new(Pki::new(directory))).await
    }

    async fn start_with(port: u16, options: Options, pki: Arc<Pki>) -> Result<Self, ServerError> {
        let of_server = Arc::clone(&pki);
        let started = tokio::task::spawn_blocking(move || Running::start(port, options, &of_server)).await;
        let (address, running) = started.map_err(|error| ServerError::Build(error.to_string()))??;
        Ok(Self { options, address, running: Some(running), pki })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How clients call it.
    pub fn url(&self) -> String {
        format!("opc.tcp://{}/", self.address)
    }

    /// Its certificates, and those of its clients and users.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// How many sessions it has ended because nothing was heard of them.
    pub fn expired_sessions(&self) -> u32 {
        let count = VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_SessionTimeoutCount;
        let counted = self.running.as_ref().and_then(|running| running.info.diagnostics.get(count));
        match counted.and_then(|counted| counted.value) {
            Some(Variant::UInt32(count)) => count,
            _ => 0,
        }
    }

    /// Ends it as a crash does: without a word to anybody. Its subscriptions are gone.
    pub async fn crash(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let end = move || running.runtime.take().map(|runtime| runtime.shutdown_timeout(END));
        // What is waited for is that the port is free; without, the next start says so.
        drop(tokio::task::spawn_blocking(end).await);
    }

    /// Starts it again after [`TestServer::crash`], where it was and as it was at first, with the certificates that it had.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_again(&mut self) -> Result<(), ServerError> {
        self.start_again_with(self.options).await
    }

    /// The same, as another server than it was.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start_again_with(&mut self, options: Options) -> Result<(), ServerError> {
        self.crash().await;
        *self = Self::start_with(self.address.port(), options, Arc::clone(&self.pki)).await?;
        Ok(())
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer")
            .field("address", &self.address)
            .field("options", &self.options)
            .field("running", &self.running.is_some())
            .finish()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    fn start(port: u16, options: Options, pki: &Pki) -> Result<(SocketAddr, Self), ServerError> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(ServerError::Start)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = runtime.block_on(listener).map_err(ServerError::Start)?;
        let address = listener.local_addr().map_err(ServerError::Start)?;
        let (counting, counts) = watch::channel(false);
        let builder = secured(builder(options, counting), options.security, pki)?;
        let (server, handle) = builder.build().map_err(ServerError::Build)?;
        let plant = handle.node_managers().get_of_type::<PlantManager>();
        let plant = plant.ok_or_else(|| ServerError::Build("it has no tags".to_owned()))?;
        let subscriptions = Arc::clone(handle.subscriptions());
        let info = Arc::clone(handle.info());
        drop(runtime.spawn(count(plant, subscriptions, counts, options.count_every)));
        // Why it has ended is seen by its clients.
        drop(runtime.spawn(async move { drop(server.run_with(listener).await) }));
        Ok((address, Self { runtime: Some(runtime), info }))
    }
}

fn builder(options: Options, counting: watch::Sender<bool>) -> ServerBuilder {
    let alarms = Arc::new(Mutex::new(Alarms::new()));
    let of_methods = Arc::clone(&alarms);
    let plant = move |context: ServerContext, space: &mut AddressSpace| {
        Plant::build(&context, space, alarms, counting, options.slow_write)
    };
    let mut builder = ServerBuilder::new()
        // The methods of conditions stand before the part that has the rest of their namespace.
        .without_node_managers()
        .with_node_manager(move |context: ServerContext| Conditions::new(&context, of_methods))
        .with_node_manager(InMemoryNodeManagerBuilder::new(CoreNodeManagerBuilder))
        .with_node_manager(DiagnosticsNodeManagerBuilder)
        .with_node_manager(InMemoryNodeManagerBuilder::new(plant))
        .with_type_tree_getter(Arc::new(Inherited))
        .application_name("Moorline OPC UA test kit")
        .application_uri("urn:moorline:opcua-testkit:server")
        .product_uri("urn:moorline:opcua-testkit:server")
        .host(Ipv4Addr::LOCALHOST.to_string())
        .add_user_token(tags::USER, ServerUserToken::user_pass(tags::USER, tags::PASSWORD))
        .add_endpoint(
            "none",
            ServerEndpoint::new_none("/", &[ANONYMOUS_USER_TOKEN_ID.to_owned(), tags::USER.to_owned()]),
        )
        .discovery_urls(vec!["/".to_owned()])
        .diagnostics_enabled(true)
        .subscription_poll_interval_ms(millis(POLL))
        .max_session_timeout_ms(millis(options.session_timeout));
    let limits = builder.limits_mut();
    limits.max_message_size = MAX_MESSAGE_BYTES;
    limits.max_chunk_count = 0;
    let subscriptions = &mut limits.subscriptions;
    subscriptions.min_publishing_interval_ms = options.limits.publishing_interval.as_secs_f64() * 1e3;
    subscriptions.min_sampling_interval_ms = options.limits.sampling_interval.as_secs_f64() * 1e3;
    subscriptions.max_monitored_item_queue_size = options.limits.queue_size;
    subscriptions.max_keep_alive_count = options.limits.keep_alive_count;
    subscriptions.max_lifetime_count = options.limits.lifetime_count;
    subscriptions.max_queued_notifications = MAX_QUEUED_MESSAGES;
    subscriptions.max_pending_publish_requests = MAX_PUBLISH_REQUESTS;
    subscriptions.max_publish_requests_per_subscription = MAX_PUBLISH_REQUESTS;
    builder
}

/// The same with what it is secured by.
fn secured(builder: ServerBuilder, security: Security, pki: &Pki) -> Result<ServerBuilder, ServerError> {
    let builder = builder.pki_dir(pki.directory());
    if security == Security::None {
        return Ok(builder);
    }
    let user = pki.make_user()?;
    let users = [ANONYMOUS_USER_TOKEN_ID, tags::USER, tags::USER_WITH_CERTIFICATE].map(str::to_owned);
    let builder = builder
        .create_sample_keypair(true)
        .trust_client_certs(security == Security::Trusting)
        .add_user_token(tags::USER_WITH_CERTIFICATE, ServerUserToken::x509(tags::USER_WITH_CERTIFICATE, &user));
    let endpoints = pki::POLICIES.iter().flat_map(|policy| pki::MODES.map(|mode| (*policy, mode)));
    Ok(endpoints.fold(builder, |builder, (policy, mode)| {
        builder.add_endpoint(format!("{policy} {mode}"), ServerEndpoint::new("/", policy, mode, &users))
    }))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
