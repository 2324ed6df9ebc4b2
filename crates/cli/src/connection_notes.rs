//! What a person is told of the connection.

use moorline_client::{Client, ConnectionState, Continuity};
use tokio::sync::watch;

const LOST: &str = "connection lost, reconnecting…";

/// Follows a client's connection.
#[derive(Debug)]
pub(crate) struct ConnectionNotes {
    state: watch::Receiver<ConnectionState>,
    /// The connection that was told of last.
    connection: u32,
    /// Whether its loss was told.
    lost: bool,
}

impl ConnectionNotes {
    pub(crate) fn new(client: &Client) -> Self {
        Self { state: client.state(), connection: 1, lost: false }
    }

    /// What there is to tell next. Cancel safe: what was not returned is told by the next call.
    pub(crate) async fn next(&mut self) -> Vec<String> {
        loop {
            let state = self.state.borrow_and_update().clone();
            let notes = self.notes(&state);
            if !notes.is_empty() {
                return notes;
            }
            if self.state.changed().await.is_err() {
                // The end is told by whoever waits for the job.
                std::future::pending::<()>().await;
            }
        }
    }

    fn notes(&mut self, state: &ConnectionState) -> Vec<String> {
        let mut notes = Vec::new();
        match state {
            ConnectionState::Reconnecting { .. } if !self.lost => {
                notes.push(LOST.to_owned());
                self.lost = true;
            }
            ConnectionState::Connected { connection, continuity } if *connection != self.connection => {
                // A loss may be over before it is looked at.
                if !self.lost {
                    notes.push(LOST.to_owned());
                }
                let again = match continuity {
                    Continuity::First | Continuity::Resumed => "resumed",
                    Continuity::NewSession => "connected again, with a new session",
                };
                notes.push(again.to_owned());
                (self.connection, self.lost) = (*connection, false);
            }
            ConnectionState::Reconnecting { .. } | ConnectionState::Connected { .. } | ConnectionState::Ended(_) => {}
        }
        notes
    }
}
