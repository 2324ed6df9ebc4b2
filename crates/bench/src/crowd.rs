//! Many sessions at once.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::session::{Endpoint, Manner, Session};

/// Connections that are being made at once: fewer than wait in the system's queue of a socket that listens.
const CONNECTING: usize = 256;

/// Sessions that connect from one address of this machine: well below the ports that one address has.
const PER_ADDRESS: usize = 4_000;

/// Descriptors that are needed beside the sessions'.
const DESCRIPTORS: u64 = 256;

/// Lets this process, and those that it starts, have so many connections.
pub(crate) fn allow(connections: usize) -> Result<()> {
    let needed = connections as u64 + DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })
            .with_context(|| format!("the system does not allow {needed} open files; see ulimit -Hn"))?;
    }
    Ok(())
}

/// How the session of this number connects.
pub(crate) fn manner(at: usize, heartbeat: bool) -> Manner {
    let last = u8::try_from(at / PER_ADDRESS).unwrap_or(u8::MAX).saturating_add(1);
    Manner { from: Some(Ipv4Addr::new(127, 0, 0, last)), heartbeat, ..Manner::default() }
}

/// Does something for each of so many numbers, as many at once as connections may be made.
pub(crate) async fn each<T, F: Future<Output = Result<T>>>(count: usize, act: impl Fn(usize) -> F) -> Result<Vec<T>> {
    stream::iter(0..count).map(act).buffer_unordered(CONNECTING).try_collect().await
}

/// Opens so many sessions.
pub(crate) async fn open(endpoint: &Endpoint, count: usize, heartbeat: bool) -> Result<Vec<Session>> {
    each(count, |at| Session::open(endpoint, manner(at, heartbeat))).await
}
