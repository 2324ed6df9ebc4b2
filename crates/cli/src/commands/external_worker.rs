//! `moorline worker --connect`: runs a program as an agent for a gateway on another machine.
//!
//! The worker's directory holds its lock and what it cannot report yet. What is found there at a start is from a
//! process that has ended: its jobs have been told to have ended too, so it is removed.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use moorline_types::ResolvedAgent;
use moorline_worker::connect::{Identity, NetworkDial};
use moorline_worker::enrolment::EnrolmentToken;
use moorline_worker::exec::{ExecAgent, ExecSpec};
use moorline_worker::{external_worker_main, leftover};

use crate::args::{Connection, ExternalWorker};
use crate::exit::{Exit, Stop};

/// The longest file with a token: a token and a generous amount of white space.
const MAX_TOKEN_FILE_BYTES: usize = 1024;

pub(crate) fn run(worker: ExternalWorker, connection: &Connection) -> Result<ExitCode> {
    let token = token(connection)?;
    let dial = dial(&worker, connection)?;
    let directory = match worker.state_dir {
        Some(directory) => directory,
        None => default_state_dir()?.join(token.worker().to_string()),
    };
    let lock = take(&directory)?;
    let outbox = directory.join("outbox");
    leftover::remove(&outbox)
        .with_context(|| format!("{} cannot be emptied", outbox.display()))
        .context(Stop(Exit::DataDir))?;
    let identity = Identity { worker: token.worker(), key: token.key(), orphan_lifetime: worker.orphan_lifetime };
    let ResolvedAgent { name, version } = worker.agent;
    let agent = ExecAgent::new(ExecSpec {
        name,
        version,
        is_default: false,
        description: worker.description,
        command: worker.command,
        env: BTreeMap::new(),
        cwd: None,
        capacity: worker.capacity,
        answers: worker.answers,
    });
    let exit = external_worker_main(identity, dial, vec![Arc::new(agent)], outbox);
    drop(lock);
    Ok(exit)
}

fn token(connection: &Connection) -> Result<EnrolmentToken> {
    let path = connection.token_file.as_ref().ok_or_else(|| anyhow!("name the file of the token with --token-file"));
    let path = path.context(Stop(Exit::Usage))?;
    let read = || -> Result<EnrolmentToken> {
        let text = fs::read(path)?;
        let text = String::from_utf8(text.into_iter().take(MAX_TOKEN_FILE_BYTES).collect()).unwrap_or_default();
        Ok(EnrolmentToken::parse(&text)?)
    };
    read().with_context(|| format!("{} cannot be used", path.display())).context(Stop(Exit::Usage))
}

fn dial(worker: &ExternalWorker, connection: &Connection) -> Result<NetworkDial> {
    let dial = if worker.plaintext {
        NetworkDial::plaintext(&worker.address)
    } else {
        let trusted = match &connection.ca_cert {
            Some(path) => Some(
                fs::read(path).with_context(|| format!("cannot read {}", path.display())).context(Stop(Exit::Usage))?,
            ),
            None => None,
        };
        NetworkDial::with_tls(&worker.address, trusted.as_deref())
    };
    dial.with_context(|| format!("{} cannot be connected to", worker.address)).context(Stop(Exit::Usage))
}

fn default_state_dir() -> Result<PathBuf> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")));
    let state =
        state.ok_or_else(|| anyhow!("there is neither HOME nor XDG_STATE_HOME; name a directory with --state-dir"));
    Ok(state.context(Stop(Exit::Usage))?.join("moorline/workers"))
}

/// Takes the worker's directory into use. The lock ends with the process, however that ends.
fn take(directory: &Path) -> Result<File> {
    let unusable = || format!("{} cannot be used", directory.display());
    let opened = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    let opened = opened.and_then(|()| File::options().create(true).append(true).open(directory.join("lock")));
    let lock = opened.with_context(unusable).context(Stop(Exit::DataDir))?;
    lock.try_lock().map_err(|_| {
        anyhow!("another process uses {}; enrol a second worker for a second process", directory.display())
            .context(Stop(Exit::Locked))
    })?;
    Ok(lock)
}
