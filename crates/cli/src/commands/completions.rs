//! `moorline completions`: what a shell completes.

use anyhow::Result;
use clap_complete::Shell;

use crate::args;
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(shell: Shell, output: &Output) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "moorline", &mut script);
    output.line(String::from_utf8(script)?.trim_end());
    Ok(Exit::Success)
}
