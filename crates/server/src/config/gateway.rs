//! The session gateway: `[gateway]`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::high::Transport;
use super::mistake::{Mistake, Problem};
use super::option::ConfigOption;
use super::options::Found;
use super::origin::Origin;
use super::resolve::is_plaintext_allowed;
use super::words::{Backend, SubscriberPolicy};

/// The session gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewayConfig {
    /// Where its clients are served.
    pub listen: SocketAddr,
    /// Whether and how their connections are encrypted.
    pub transport: Transport,
    /// Which back ends there are.
    pub backends: BTreeSet<Backend>,
    /// The OPC UA back end, if there is one.
    pub opcua: Option<OpcUaConfig>,
    /// Sessions at once.
    pub max_sessions: NonZeroUsize,
    /// Commands of one session that wait.
    pub max_pending_commands: NonZeroUsize,
    /// How long a command may take.
    pub command_timeout: Duration,
    /// How long a worker may take to open its back end.
    pub startup_timeout: Duration,
    /// How long a worker may take to close it.
    pub shutdown_timeout: Duration,
    /// How long a session lasts in which nobody does anything.
    pub lease: Duration,
    /// How often leases are looked at.
    pub sweep_interval: Duration,
    /// How long a session lasts that nobody streams any more.
    pub detach_grace: Duration,
    /// Whether several clients may stream a session's events.
    pub multiple_subscribers: bool,
    /// How many, if they may.
    pub max_subscribers: NonZeroUsize,
    /// What becomes of one that does not keep up.
    pub overflow: SubscriberPolicy,
    /// By how much it may be behind.
    pub queue_capacity: NonZeroUsize,
    /// How many events can be replayed.
    pub replay_events: usize,
    /// How old.
    pub replay_age: Duration,
    /// How large together.
    pub replay_bytes: NonZeroUsize,
    /// How long a session's worker goes on without a gateway.
    pub max_orphan_lifetime: Duration,
    /// The largest message.
    pub max_message_bytes: NonZeroUsize,
    /// Whether the API can be asked for.
    pub reflection: bool,
}

/// The OPC UA back end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpcUaConfig {
    /// The program.
    pub program: PathBuf,
    /// The file that says which servers there are.
    pub config: PathBuf,
}

/// The session gateway, if there is to be one; the outer `None` if that is a mistake, or cannot be said for another one.
pub(super) fn gateway(
    found: &Found,
    clients: Option<&Transport>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Option<GatewayConfig>> {
    let listen = found.gateway_listen.as_ref()?;
    let Some(address) = listen.value else { return Some(None) };
    let transport = clients?.clone();
    if transport == Transport::Plaintext && !is_plaintext_allowed(found, address)? {
        let problem = Problem::PlaintextGateway { listen: address };
        mistakes.push(Mistake { origin: listen.origin.clone(), problem });
        return None;
    }
    let backends = &found.gateway_backends.as_ref()?;
    let opcua =
        if backends.value.contains(&Backend::OpcUa) { Some(opcua(found, &backends.origin, mistakes)?) } else { None };
    Some(Some(GatewayConfig {
        listen: address,
        transport,
        backends: backends.value.clone(),
        opcua,
        max_sessions: found.gateway_max_sessions.as_ref()?.value,
        max_pending_commands: found.gateway_max_pending.as_ref()?.value,
        command_timeout: found.gateway_command_timeout.as_ref()?.value,
        startup_timeout: found.gateway_startup_timeout.as_ref()?.value,
        shutdown_timeout: found.gateway_shutdown_timeout.as_ref()?.value,
        lease: found.gateway_lease.as_ref()?.value,
        sweep_interval: found.gateway_sweep.as_ref()?.value,
        detach_grace: found.gateway_grace.as_ref()?.value,
        multiple_subscribers: found.gateway_multiple.as_ref()?.value,
        max_subscribers: found.gateway_max_subscribers.as_ref()?.value,
        overflow: found.gateway_overflow.as_ref()?.value,
        queue_capacity: found.gateway_queue.as_ref()?.value,
        replay_events: found.gateway_replay_events.as_ref()?.value,
        replay_age: found.gateway_replay_age.as_ref()?.value,
        replay_bytes: found.gateway_replay_bytes.as_ref()?.value,
        max_orphan_lifetime: found.gateway_orphan.as_ref()?.value,
        max_message_bytes: found.gateway_message.as_ref()?.value,
        reflection: found.gateway_reflection.as_ref()?.value,
    }))
}

/// The OPC UA back end; `None` if that is a mistake.
fn opcua(found: &Found, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Option<OpcUaConfig> {
    let program = found.gateway_opcua_program.as_ref()?.value.clone();
    let Some(config) = found.gateway_opcua_config.as_ref()?.value.clone() else {
        let given = ConfigOption::find("gateway.backends")?;
        let missing = ConfigOption::find("gateway.opcua_config")?;
        mistakes.push(Mistake { origin: origin.clone(), problem: Problem::HalfBackend { given, missing } });
        return None;
    };
    Some(OpcUaConfig { program, config })
}
