//! `moorline-opcua`: the worker of a gateway session with an OPC UA server. A gateway starts it and says on an inherited
//! descriptor what it is to host.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use moorline_backend::host;
use moorline_opcua::OpcUa;
use moorline_opcua::settings::{Settings, SettingsError};

/// The operator's file is not one.
#[derive(Debug, thiserror::Error)]
#[error("gateway.opcua_config cannot be used")]
struct Unusable(#[source] SettingsError);

fn main() -> ExitCode {
    host(|assignment| {
        let settings = Settings::load(&assignment.config).map_err(Unusable)?;
        Ok::<_, Unusable>(OpcUa::new(settings, assignment.environment))
    })
}
