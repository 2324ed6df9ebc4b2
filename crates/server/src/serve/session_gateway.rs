//! The session gateway of a gateway's process.

use std::sync::Arc;

use moorline_core::backend_session::{OverflowPolicy, Retention, SessionOptions};
use moorline_runtime::Gateway;
use moorline_runtime::backend_sessions::{BackendOptions, BackendSessions, SessionWorkers};
use moorline_runtime::gateway::RecoverJobsError;
use moorline_runtime::workers::Crew;

use super::{TlsError, workers};
use crate::config::{Config, GatewayConfig, SubscriberPolicy, Transport};
use crate::data_dir::DataDir;
use crate::grpc::GrpcOptions;
use crate::tls::{Certificates, ClientCerts, TlsFiles};

/// Loads the certificate of the session gateway's address, and which ones its clients are asked for.
pub(super) fn load_tls(
    transport: &Transport,
    clients: Option<ClientCerts>,
) -> Result<Option<Arc<Certificates>>, TlsError> {
    let Transport::Tls { cert, key } = transport else { return Ok(None) };
    let files = TlsFiles { cert: cert.clone(), key: key.clone(), clients };
    Certificates::load(files).map(|loaded| Some(Arc::new(loaded.speaking_http2())))
}

/// What its door is opened with.
pub(super) fn door_options(config: &Config, asked: &GatewayConfig, tls: Option<Arc<Certificates>>) -> GrpcOptions {
    GrpcOptions {
        listen: asked.listen,
        tls,
        client_principals: super::client_principals(config),
        max_connections: config.limits.max_connections.get(),
        max_connections_per_address: config.limits.max_connections_per_address.get(),
        max_message_bytes: asked.max_message_bytes.get(),
        reflection: asked.reflection,
    }
}

/// Its sessions, with those of the last run; those are closed if it is not configured any more. To be called when jobs
/// and workers of the last run were taken up.
pub(super) async fn sessions(
    config: &Config,
    data_dir: &DataDir,
    gateway: &Gateway,
    crew: &Crew,
) -> Result<Option<BackendSessions>, RecoverJobsError> {
    let Some(asked) = &config.gateway else {
        BackendSessions::close_leftovers(gateway).await;
        return Ok(None);
    };
    let spec = workers::backend_spec(config, asked, data_dir);
    let workers = SessionWorkers::Processes { crew: crew.clone(), spec };
    let sessions = BackendSessions::new(gateway.clone(), workers, options(asked));
    sessions.recover().await?;
    Ok(Some(sessions))
}

fn options(asked: &GatewayConfig) -> BackendOptions {
    let overflow = match asked.overflow {
        SubscriberPolicy::CatchUp => OverflowPolicy::CatchUp,
        SubscriberPolicy::DisconnectSubscriber => OverflowPolicy::DisconnectSubscriber,
        SubscriberPolicy::FailFast => OverflowPolicy::FailFast,
    };
    BackendOptions {
        session: SessionOptions {
            startup_timeout: asked.startup_timeout.into(),
            command_timeout: asked.command_timeout.into(),
            max_pending_commands: asked.max_pending_commands.get(),
            lease: asked.lease.into(),
            sweep_interval: asked.sweep_interval.into(),
            detach_grace: asked.detach_grace.into(),
            multiple_subscribers: asked.multiple_subscribers,
            max_subscribers: asked.max_subscribers.get(),
            overflow,
            queue_capacity: asked.queue_capacity.get(),
        },
        max_sessions: asked.max_sessions.get(),
        retention: Retention {
            events: asked.replay_events,
            age: asked.replay_age.into(),
            bytes: asked.replay_bytes.get(),
        },
        shutdown_timeout: asked.shutdown_timeout.into(),
        backends: asked.backends.iter().map(|backend| backend.as_str()).collect(),
    }
}
