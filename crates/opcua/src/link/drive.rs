//! Keeping a session of the library connected.
//!
//! The library tries again for as long as it can. Three things it does not do: it waits for an attempt that hangs as long
//! as the operating system does, and for a server that does not answer any more, and it knows a server by the certificate
//! that it had at first. The first is given up and begun anew, with another session; on the second the channel is closed,
//! and the library connects again with the same one; a server that it cannot connect to is looked at beside it, and if it
//! is another one that is trusted, the session is made anew.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use opcua::client::{SessionActivity, SessionConnectMode, SessionPollResult};
use opcua::types::StatusCode;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Connection, Outage, Up};
use crate::connect::{Look, Server, Undriven};
use crate::quality;
use crate::settings::Identity;

/// How long an attempt to connect may take: longer than a server needs that has much to do.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// Heartbeats without an answer after which the connection is lost.
const MAX_SILENT_HEARTBEATS: u32 = 2;

/// How long after a session that could not even be made the next one is.
const REMAKE_AFTER: Duration = Duration::from_secs(5);

/// Keeps a session connected until it is dropped, or ended when that is wanted, and says in `state` whether it is.
pub(super) async fn drive(
    server: Arc<Server>,
    name: String,
    identity: Identity,
    state: watch::Sender<Connection>,
    closing: Arc<AtomicBool>,
) {
    let (mut generation, mut incarnation) = (0, 0);
    loop {
        let Undriven { session, events, certificate } = match server.session(&name, &identity) {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "a session cannot be made");
                down(&state, StatusCode::BadConfigurationError, Some(error.to_string().into()));
                tokio::time::sleep(REMAKE_AFTER).await;
                continue;
            }
        };
        let mut events = pin!(events.enter());
        let mut silent = 0;
        // A look at a server to which the session cannot connect, and what was found out by the last one.
        let mut look: Option<BoxFuture<'_, Look>> = None;
        let mut remedy = None;
        loop {
            let is_up = matches!(&*state.borrow(), Connection::Up(_));
            let patience = if is_up { Duration::MAX } else { ATTEMPT_TIMEOUT };
            let seen = async {
                match &mut look {
                    Some(look) => look.await,
                    None => pending().await,
                }
            };
            let event = tokio::select! {
                event = timeout(patience, events.next()) => event,
                seen = seen => {
                    look = None;
                    if matches!(seen, Look::Other) {
                        break;
                    }
                    let Connection::Down(Outage { code, .. }) = *state.borrow() else { continue };
                    remedy = match seen {
                        Look::Wrong(remedy) => Some(remedy),
                        Look::Same if !quality::is_of_connection(code) => Some(server.refusal(&identity, code).into()),
                        Look::Same | Look::Other | Look::Unseen => None,
                    };
                    down(&state, code, remedy.clone());
                    continue;
                }
            };
            match event {
                Err(_) => {
                    tracing::warn!("an attempt to connect hangs; it is begun anew");
                    break;
                }
                Ok(None | Some(Err(_))) => break,
                Ok(Some(Ok(SessionPollResult::Reconnected(mode)))) => {
                    (silent, remedy) = (0, None);
                    look = None;
                    generation += 1;
                    incarnation += u64::from(matches!(mode, SessionConnectMode::NewSession(_)));
                    state.send_replace(Connection::Up(Up { session: session.clone(), generation, incarnation }));
                    tracing::info!(generation, incarnation, "connected");
                }
                Ok(Some(Ok(SessionPollResult::ConnectionLost(code)))) => {
                    down(&state, code, None);
                    tracing::warn!(%code, "the connection is lost");
                }
                Ok(Some(Ok(SessionPollResult::ReconnectFailed(code)))) => {
                    down(&state, code, remedy.clone());
                    look.get_or_insert_with(|| server.look_again(&certificate).boxed());
                }
                Ok(Some(Ok(SessionPollResult::SessionActivity(SessionActivity::KeepAliveSucceeded)))) => silent = 0,
                Ok(Some(Ok(SessionPollResult::SessionActivity(SessionActivity::KeepAliveFailed(code))))) => {
                    silent += u32::from(quality::is_of_connection(code));
                    if silent >= MAX_SILENT_HEARTBEATS {
                        silent = 0;
                        tracing::warn!("the server does not answer; the connection is made anew");
                        session.channel().close_channel().await;
                    }
                }
                Ok(Some(Ok(_))) => {}
            }
        }
        down(&state, StatusCode::BadConnectionClosed, None);
        if closing.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// There is no connection. What is known to be wrong is in the log once.
fn down(state: &watch::Sender<Connection>, code: StatusCode, remedy: Option<Arc<str>>) {
    let outage = Outage { code, remedy };
    let before = state.send_replace(Connection::Down(outage.clone()));
    let was_known = matches!(&before, Connection::Down(before) if before.remedy == outage.remedy);
    if outage.remedy.is_some() && !was_known {
        tracing::warn!(%outage, "the session waits for somebody to do something");
    }
}
