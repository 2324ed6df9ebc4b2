//! Finding a gateway and connecting to it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use moorline_client::{Client, ConnectOptions};
use moorline_server::config::{Config, Sources};
use moorline_server::data_dir::Endpoint;
use moorline_wire::Secret;

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
    let mut options = ConnectOptions::new(url, token(connection)?);
    if let Some(path) = &connection.ca_cert {
        options.extra_roots_pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(Client::connect(options).await?)
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

fn token(connection: &Connection) -> Result<Secret> {
    if let Some(token) = &connection.token {
        return Ok(Secret::new(token.trim()));
    }
    let path = match &connection.token_file {
        Some(path) => path.clone(),
        None => data_dir(connection)?.join(ADMIN_TOKEN),
    };
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("cannot read an API key from {}; give one with --token-file or MOORLINE_TOKEN", path.display())
    });
    Ok(Secret::new(text.context(Stop(Exit::Unreachable))?.trim()))
}

/// The data directory that a gateway started here and now would use.
fn data_dir(connection: &Connection) -> Result<PathBuf> {
    if let Some(path) = &connection.data_dir {
        return Ok(path.clone());
    }
    let sources = Sources::from_process(std::collections::BTreeMap::new(), None);
    let (config, _) = Config::resolve(sources)?;
    Ok(config.data_dir)
}
