//! A session with a server that outlives its connections.
//!
//! The library's session connects, reconnects and keeps the channel secured ([`drive`]). Subscriptions are ours: they are
//! made with the services themselves, published by our own loop ([`serve`]), asked for what was lost after a lost
//! connection ([`recover`]), and made like what is wanted ([`reconcile`]). So nothing depends on when the library begins
//! to publish again, every notification's number is seen, and one that is not taken is not asked for: the server's queue
//! waits, and says when it overflows.

mod deliver;
mod drive;
mod publishes;
mod reconcile;
mod recover;
mod revise;
mod serve;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moorline_backend::BackendFault;
use moorline_backend::contract::{Event, LinkState, Revision, SubscriptionState};
use opcua::client::Session;
use opcua::types::StatusCode;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::alarm::Alarms;
use crate::connect::Server;
use crate::desired::{Desired, Group, Handle};
use crate::lock::lock;
use crate::quality;
use crate::settings::Identity;
use crate::tasks::{self, Task};

/// How long an orderly end may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What links say: what the back end says next, or that it cannot go on.
pub(crate) type Outlet = mpsc::Sender<Result<Event, BackendFault>>;

/// A session with a server. Dropped, it is gone without a word to the server.
pub(crate) struct Link {
    shared: Arc<Shared>,
    connection: watch::Receiver<Connection>,
    /// Whether its end is wanted.
    closing: Arc<AtomicBool>,
    _drive: Task,
    _serve: Option<Task>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("connection", &*self.connection.borrow()).finish_non_exhaustive()
    }
}

/// Whether there is a connection.
#[derive(Clone)]
pub(crate) enum Connection {
    /// There is none, for this reason.
    Down(Outage),
    /// There is one.
    Up(Up),
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Up {
    /// What requests are made with.
    pub(crate) session: Arc<Session>,
    /// Counts connections.
    pub(crate) generation: u64,
    /// Counts the server's sessions: another one knows nothing of our subscriptions.
    pub(crate) incarnation: u64,
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    pub(crate) code: StatusCode,
    /// What is wrong and what can be done about it, for people, if that is known. It does not pass by itself.
    pub(crate) remedy: Option<Arc<str>>,
}

impl Outage {
    /// Whether it may pass by itself, or is yet to be looked into.
    pub(crate) fn may_pass(&self) -> bool {
        self.remedy.is_none() && (quality::is_of_connection(self.code) || quality::is_of_certificate(self.code))
    }
}

impl From<StatusCode> for Outage {
    fn from(code: StatusCode) -> Self {
        Self { code, remedy: None }
    }
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, remedy } = self;
        write!(f, "there is no connection to the server: {code}")?;
        remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Down(outage) => write!(f, "down: {}", outage.code),
            Self::Up(up) => write!(f, "up {} of session {}", up.generation, up.incarnation),
        }
    }
}

/// What commands and the link's tasks have in common.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    desired: Mutex<Desired>,
    alarms: Mutex<Alarms>,
    /// How often groups really are told, in milliseconds.
    revised: Mutex<BTreeMap<Group, u64>>,
    /// How items are told, as it was said last.
    told: Mutex<BTreeMap<Handle, Revision>>,
    /// The subscriptions that the server has, by its names of them.
    subscriptions: Mutex<BTreeMap<u32, SubscriptionState>>,
    /// How often values were lost.
    gaps: AtomicU64,
    /// There is something to do: what is wanted has changed, or alarms are to be said again.
    wake: Notify,
    /// Whether alarms are to be said again.
    refresh: AtomicBool,
}

impl Link {
    /// A link that tells what is monitored. It begins to connect at once.
    pub(crate) fn open(server: &Arc<Server>, name: &str, identity: Identity, events: Outlet) -> Self {
        let mut link = Self::quiet(server, name, identity);
        let serving = serve::Serving::new(link.shared.clone(), &server.endpoint, events);
        link._serve = Some(tasks::spawn("serve", serving.run(link.connection.clone())));
        link
    }

    /// A link that is only asked.
    pub(crate) fn quiet(server: &Arc<Server>, name: &str, identity: Identity) -> Self {
        let (state, connection) = watch::channel(Connection::Down(StatusCode::BadNotConnected.into()));
        let closing = Arc::new(AtomicBool::new(false));
        let driving = drive::drive(server.clone(), name.to_owned(), identity, state, closing.clone());
        let shared = Arc::new(Shared::default());
        Self { shared, connection, closing, _drive: tasks::spawn("drive", driving), _serve: None }
    }

    /// Waits until the server has let us in or has not.
    ///
    /// # Errors
    /// Why it has not, or why there is no connection after this time.
    pub(crate) async fn accepted(&self, patience: Duration) -> Result<Arc<Session>, Outage> {
        let mut connection = self.connection.clone();
        let is_answer = |connection: &Connection| match connection {
            Connection::Up(_) => true,
            Connection::Down(outage) => !outage.may_pass(),
        };
        // Whether there was an answer or not, this says what is known by now.
        drop(timeout(patience, connection.wait_for(is_answer)).await);
        self.session()
    }

    /// What asks over the link, for as long as there is one.
    pub(crate) fn asker(&self) -> Asker {
        Asker { connection: self.connection.clone() }
    }

    /// What requests are made with.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) fn session(&self) -> Result<Arc<Session>, Outage> {
        session(&self.connection)
    }

    /// Changes what is wanted.
    pub(crate) fn want<T>(&self, change: impl FnOnce(&mut Desired) -> T) -> T {
        let result = change(&mut lock(&self.shared.desired));
        self.shared.wake.notify_one();
        result
    }

    /// Looks at alarms.
    pub(crate) fn alarms<T>(&self, look: impl FnOnce(&mut Alarms) -> T) -> T {
        look(&mut lock(&self.shared.alarms))
    }

    /// Lets the server say again which alarms there are.
    pub(crate) fn refresh_alarms(&self) {
        self.shared.refresh.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
    }

    /// How often a group really is told, in milliseconds, if the server has it.
    pub(crate) fn revised(&self, group: Group) -> Option<u64> {
        lock(&self.shared.revised).get(&group).copied()
    }

    /// How an item is told, if the server has said so.
    pub(crate) fn told(&self, handle: Handle) -> Option<Revision> {
        lock(&self.shared.told).get(&handle).copied()
    }

    /// How it stands.
    pub(crate) fn state(&self) -> LinkState {
        let session = self.session();
        LinkState {
            name: session.as_ref().map(|session| session.server_session_id().to_string()).unwrap_or_default(),
            problem: session.err().map(|outage| outage.to_string()).unwrap_or_default(),
            subscriptions: lock(&self.shared.subscriptions).values().cloned().collect(),
            gaps: self.shared.gaps.load(Ordering::Relaxed),
        }
    }

    /// Ends the session with the server in order.
    pub(crate) async fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Ok(session) = self.session()
            && timeout(CLOSE_TIMEOUT, session.disconnect()).await.is_err()
        {
            tracing::warn!("a session of the server did not end in time; the server ends it when it times out");
        }
    }
}

/// Asks over a link, beside whatever else is done with it.
#[derive(Debug)]
pub(crate) struct Asker {
    connection: watch::Receiver<Connection>,
}

impl Asker {
    /// Asks something that changes nothing at the server. While there is no connection one is waited for, until then; and
    /// what was asked on a connection that was lost over it is asked again on the next.
    ///
    /// # Errors
    /// What the server says, or why there is no connection.
    pub(crate) async fn ask<T, F: Future<Output = Result<T, StatusCode>>>(
        &self,
        until: Instant,
        question: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, Outage> {
        let mut connection = self.connection.clone();
        // Connections are counted from 1.
        let (mut tried, mut lost) = (0, StatusCode::BadTimeout);
        loop {
            let is_untried =
                |connection: &Connection| matches!(connection, Connection::Up(up) if up.generation > tried);
            let next = timeout_at(until, connection.wait_for(is_untried)).await.ok().and_then(Result::ok);
            let Some(Connection::Up(up)) = next.map(|next| (*next).clone()) else {
                return Err(session(&connection).err().unwrap_or(lost.into()));
            };
            match question(up.session).await {
                Err(code) if quality::is_of_connection(code) => (tried, lost) = (up.generation, code),
                answer => return answer.map_err(Outage::from),
            }
        }
    }
}

fn session(connection: &watch::Receiver<Connection>) -> Result<Arc<Session>, Outage> {
    match &*connection.borrow() {
        Connection::Up(up) => Ok(up.session.clone()),
        Connection::Down(outage) => Err(outage.clone()),
    }
}
