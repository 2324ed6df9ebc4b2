//! `moorline config`: looking at the gateway's configuration without starting one.

use anyhow::Result;
use moorline_server::config::{Config, Resolved, Sources};

use crate::args::ConfigArgs;
use crate::exit::Exit;
use crate::output::{Output, Style};

pub(crate) fn check(args: ConfigArgs, output: &Output) -> Result<Exit> {
    let (config, _) = resolve(args)?;
    let agents = config.builtin_agents.len() + config.agents.len();
    let good = output.styled(Style::Green, "the configuration is good");
    output.line(format_args!(
        "{good}: listens on {}, {agents} agents, data in {}",
        config.listen,
        config.data_dir.display()
    ));
    Ok(Exit::Success)
}

pub(crate) fn show(args: ConfigArgs, output: &Output) -> Result<Exit> {
    let (_, resolved) = resolve(args)?;
    output.line(resolved.to_string().trim_end());
    Ok(Exit::Success)
}

/// The configuration by everything that is given.
pub(crate) fn resolve(args: ConfigArgs) -> Result<(Config, Resolved)> {
    let sources = Sources::from_process(args.flags, args.file.as_deref());
    Ok(Config::resolve(sources)?)
}
