//! `moorline agents`: what a gateway can run.

use anyhow::Result;
use serde_json::json;

use crate::args::Connection;
use crate::connect::connect;
use crate::exit::Exit;
use crate::output::{Output, Style};

pub(crate) async fn run(as_json: bool, connection: &Connection, output: &Output) -> Result<Exit> {
    let client = connect(connection).await?;
    let welcome = client.welcome();
    let agents = &welcome.capabilities.agents;
    if as_json {
        output.line(json!(agents));
    } else if agents.is_empty() {
        output.note("this gateway has no agents; add [[agents]] to its configuration, or --builtin-agents");
    }
    for agent in agents.iter().filter(|_| !as_json) {
        let versions = agent.versions.iter().map(|version| {
            let is_default = agent.default.as_ref() == Some(version) && agent.versions.len() > 1;
            if is_default { format!("{version} (default)") } else { version.clone() }
        });
        let versions = versions.collect::<Vec<_>>().join(", ");
        output.line(format_args!(
            "{}  {}",
            output.styled(Style::Bold, &agent.name),
            output.styled(Style::Dim, versions)
        ));
    }
    client.close(None).await;
    Ok(Exit::Success)
}
