//! `moorline version`.

use anyhow::Result;
use serde_json::json;

use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(as_json: bool, output: &Output) -> Result<Exit> {
    let (version, protocol) = (env!("CARGO_PKG_VERSION"), moorline_wire::PROTOCOL_VERSION);
    if as_json {
        output.line(json!({ "version": version, "arcp": protocol }));
    } else {
        output.line(format_args!("moorline {version} (ARCP {protocol})"));
    }
    Ok(Exit::Success)
}
