//! Finding a gateway and connecting to it.
//!
//! The key in a data directory opens the gateway of that directory. It is never sent anywhere else: whoever names
//! another gateway names a key for it too.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use moorline_client::{Client, ClientCertificate, ConnectError, ConnectOptions, Dial, Dialing, dial_tcp};
use moorline_server::config::{Config, Sources};
use moorline_server::data_dir::Endpoint;
use moorline_server::tls::Identity;
use moorline_wire::Secret;
use moorline_wire::vendor::OnGap;

use crate::args::Connection;
use crate::exit::{Exit, Stop};

/// What the gateway leaves its administrator's key in.
pub(crate) const ADMIN_TOKEN: &str = "admin.token";

/// Connects to the gateway that is named, or else to the one of the data directory.
pub(crate) async fn connect(connection: &Connection) -> Result<Client> {
    let url = match &connection.url {
        Some(url) => url.clone(),
        None => local_url(connection)?,
    };
    let mut options = ConnectOptions::new(url.clone(), token(connection, &url)?);
    options.reconnect = connection.reconnect;
    // Every command says what is missing, so it may go on.
    options.on_gap = OnGap::Continue;
    options.extra_roots_pem = roots(connection)?;
    options.certificate = identity(connection)?
        .map(|Identity { certificate_pem, key_pem }| ClientCertificate { certificate_pem, key_pem });
    let connected = match &connection.url {
        Some(_) => Client::connect(options).await,
        None => {
            Client::connect_with(Arc::new(Local { data_dir: data_dir(connection)?, url: url.clone() }), options).await
        }
    };
    if let (Err(ConnectError::Unreachable { .. }), None) = (&connected, &connection.url) {
        // A gateway that was killed leaves its address behind.
        let told = format!("no gateway answers at {url}; start one with `moorline serve`, or name one with --url");
        return connected.context(told);
    }
    Ok(connected?)
}

/// The certificates that are trusted besides the public ones, in PEM.
pub(crate) fn roots(connection: &Connection) -> Result<Vec<u8>> {
    let Some(path) = &connection.ca_cert else { return Ok(Vec::new()) };
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display())).context(Stop(Exit::Usage))
}

/// The certificate that says who the person is, if one is named.
pub(crate) fn identity(connection: &Connection) -> Result<Option<Identity>> {
    let Some((cert, key)) = &connection.client_cert else { return Ok(None) };
    Identity::load(cert, key).map(Some).context(Stop(Exit::Usage))
}

/// What may help where a gateway was not reached. One that asks for a certificate closes the connection of whoever shows
/// none, and often that is all that comes back.
pub(crate) fn remedy(connection: &Connection) -> Option<&'static str> {
    let is_encrypted = |url: &String| url.starts_with("https://") || url.starts_with("wss://");
    let encrypted = connection.ca_cert.is_some() || connection.url.as_ref().is_some_and(is_encrypted);
    (encrypted && connection.client_cert.is_none())
        .then_some("if the gateway asks for a certificate, show one with --client-cert and --client-key")
}

/// Dials the gateway of a data directory, wherever it listens at the moment: one that is started again may have taken
/// another port.
struct Local {
    data_dir: PathBuf,
    /// Where it listened at first.
    url: String,
}

impl Dial for Local {
    fn dial(&self) -> Dialing<'_> {
        Box::pin(async {
            let endpoint = Endpoint::read(&self.data_dir).ok().flatten();
            let url = endpoint.map_or_else(|| self.url.clone(), |endpoint| endpoint.url);
            dial_tcp(&url).await
        })
    }
}

fn local_url(connection: &Connection) -> Result<String> {
    let data_dir = data_dir(connection)?;
    match Endpoint::read(&data_dir) {
        Ok(Some(endpoint)) => Ok(endpoint.url),
        Ok(None) => Err(anyhow!(Stop(Exit::Unreachable)).context(format!(
            "no gateway runs with the data directory {}; start one with `moorline serve`, or name one with --url",
            data_dir.display()
        ))),
        Err(error) => Err(anyhow::Error::new(error).context(Stop(Exit::Unreachable))),
    }
}

/// Where a session gateway is, and the key for it.
#[derive(Debug)]
pub(crate) struct SessionGateway {
    pub(crate) url: String,
    pub(crate) token: Secret,
}

/// The session gateway that is named, or else the one of the data directory.
pub(crate) fn session_gateway(connection: &Connection) -> Result<SessionGateway> {
    let url = match &connection.url {
        Some(url) => url.clone(),
        None => local_session_gateway(connection)?,
    };
    let token = token(connection, &url)?;
    Ok(SessionGateway { url, token })
}

fn local_session_gateway(connection: &Connection) -> Result<String> {
    let data_dir = data_dir(connection)?;
    let endpoint = Endpoint::read(&data_dir).context(Stop(Exit::Unreachable))?;
    endpoint.and_then(|endpoint| endpoint.grpc).ok_or_else(|| {
        anyhow!(Stop(Exit::Unreachable)).context(format!(
            "no session gateway runs with the data directory {}; start one with `moorline serve --gateway-listen \
             127.0.0.1:7709`, or name one with --url",
            data_dir.display()
        ))
    })
}

/// The key to send; an empty one where a certificate says who the person is.
fn token(connection: &Connection, url: &str) -> Result<Secret> {
    if let Some(token) = &connection.token {
        return Ok(Secret::new(token.trim()));
    }
    let path = match &connection.token_file {
        Some(path) => path.clone(),
        // The administrator's key beside it would be that of somebody else.
        None if connection.client_cert.is_some() => return Ok(Secret::new("")),
        None => local_token(connection, url)?,
    };
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read an API key from {}; give one with --token-file or MOORLINE_TOKEN", path.display())
    });
    Ok(Secret::new(text.context(Stop(Exit::Unreachable))?.trim()))
}

/// Where the key of this machine's gateway is, if that is the gateway to connect to.
fn local_token(connection: &Connection, url: &str) -> Result<PathBuf> {
    let data_dir = data_dir(connection)?;
    let is_local = Endpoint::read(&data_dir)
        .is_ok_and(|endpoint| endpoint.is_some_and(|local| local.url == url || local.grpc.as_deref() == Some(url)));
    if !is_local {
        return Err(anyhow!(Stop(Exit::Usage)).context(format!(
            "{url} is not the gateway of {}, so the key there is not sent to it; give a key with --token-file or \
             MOORLINE_TOKEN",
            data_dir.display()
        )));
    }
    Ok(data_dir.join(ADMIN_TOKEN))
}

/// The data directory that a gateway started here and now would use.
pub(crate) fn data_dir(connection: &Connection) -> Result<PathBuf> {
    if let Some(path) = &connection.data_dir {
        return Ok(path.clone());
    }
    let sources = Sources::from_process(std::collections::BTreeMap::new(), None);
    let (config, _) = Config::resolve(sources)?;
    Ok(config.data_dir)
}
