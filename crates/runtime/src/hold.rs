//! Moments at which a test holds the gateway, to kill it, or somebody else, right there.
//!
//! Only in builds with debug assertions, which nobody ships: `HOLD_GATEWAY_AT=POINT:FILE` in the environment makes whatever
//! comes to that point say so in the log and wait until there is such a file. In other builds there is nothing of it.

/// Where one can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// A worker is about to be written down.
    Intent,
    /// It is written down, and its process is about to be started.
    Intended,
    /// Its process runs, and is not on record.
    Spawned,
    /// Its process is on record, and it is not let in yet.
    Recorded,
    /// Somebody is at the worker socket and has said nothing.
    Hello,
    /// It has proven itself and is about to be attached.
    Admitting,
    /// It is attached.
    Admitted,
    /// A command is about to be sent to it.
    Sending,
    /// It has answered, which is committed, and nobody was told.
    Answered,
    /// It is about to be killed.
    Killing,
    /// Its process is gone, and what it has left is about to be looked at.
    Gone,
    /// Nothing is left of it but its entry.
    Removing,
}

#[cfg(debug_assertions)]
impl Point {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Intended => "intended",
            Self::Spawned => "spawned",
            Self::Recorded => "recorded",
            Self::Hello => "hello",
            Self::Admitting => "admitting",
            Self::Admitted => "admitted",
            Self::Sending => "sending",
            Self::Answered => "answered",
            Self::Killing => "killing",
            Self::Gone => "gone",
            Self::Removing => "removing",
        }
    }
}

/// The point is reached.
#[cfg(debug_assertions)]
pub(crate) async fn reached(point: Point) {
    use std::path::Path;
    use std::sync::OnceLock;
    use std::time::Duration;

    static HOLD: OnceLock<Option<String>> = OnceLock::new();
    let hold = HOLD.get_or_init(|| std::env::var("HOLD_GATEWAY_AT").ok());
    let Some((name, file)) = hold.as_ref().and_then(|hold| hold.split_once(':')) else { return };
    if name != point.as_str() || Path::new(file).exists() {
        return;
    }
    tracing::warn!(point = name, "held");
    while !Path::new(file).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The point is reached.
#[cfg(not(debug_assertions))]
#[expect(clippy::unused_async, reason = "as in builds that can be held")]
pub(crate) async fn reached(_point: Point) {}
