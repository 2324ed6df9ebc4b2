//! Keeping a session of the library connected.
//!
//! The library tries again for as long as it can. Two things it does not do: it waits for an attempt that hangs as long as
//! the operating system does, and for a server that does not answer any more. The first is given up and begun anew, with
//! another session; on the second the channel is closed, and the library connects again with the same one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use opcua::client::{SessionActivity, SessionConnectMode, SessionPollResult};
use opcua::types::StatusCode;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Connection, Up};
use crate::connect::Server;
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
        let (session, events) = match server.session(&name, &identity) {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "a session cannot be made");
                state.send_replace(Connection::Down(StatusCode::BadConfigurationError));
                tokio::time::sleep(REMAKE_AFTER).await;
                continue;
            }
        };
        let mut events = pin!(events.enter());
        let mut silent = 0;
        loop {
            let is_up = matches!(&*state.borrow(), Connection::Up(_));
            let event = if is_up { Ok(events.next().await) } else { timeout(ATTEMPT_TIMEOUT, events.next()).await };
            match event {
                Err(_) => {
                    tracing::warn!("an attempt to connect hangs; it is begun anew");
                    break;
                }
                Ok(None | Some(Err(_))) => break,
                Ok(Some(Ok(SessionPollResult::Reconnected(mode)))) => {
                    silent = 0;
                    generation += 1;
                    incarnation += u64::from(matches!(mode, SessionConnectMode::NewSession(_)));
                    state.send_replace(Connection::Up(Up { session: session.clone(), generation, incarnation }));
                    tracing::info!(generation, incarnation, "connected");
                }
                Ok(Some(Ok(SessionPollResult::ConnectionLost(code)))) => {
                    state.send_replace(Connection::Down(code));
                    tracing::warn!(%code, "the connection is lost");
                }
                Ok(Some(Ok(SessionPollResult::ReconnectFailed(code)))) => {
                    state.send_replace(Connection::Down(code));
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
        state.send_replace(Connection::Down(StatusCode::BadConnectionClosed));
        if closing.load(Ordering::Relaxed) {
            return;
        }
    }
}
