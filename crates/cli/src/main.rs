//! The `moorline` command: the gateway, and what a person or a script does with one.
//!
//! The one place where the process ends, with a number that means something (see [`exit`]).

mod args;
mod census;
mod clock;
mod commands;
mod connect;
mod connection_notes;
mod exit;
mod follow;
mod keyboard;
mod output;
mod signals;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use args::{Command, ConfigCommand};
use exit::Exit;
use output::Output;

/// How long the runtime has to let go of what cannot be cancelled, such as a read from standard input.
const RUNTIME_GRACE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let parsed = args::parse();
    // A managed worker is set up before anything else opens a descriptor or starts a thread.
    if matches!(parsed.command, Command::Worker) {
        return commands::worker::run();
    }
    let output = Output::new(parsed.color);
    if let Command::ExternalWorker(worker) = parsed.command {
        return commands::external_worker::run(worker, &parsed.connection).unwrap_or_else(|error| {
            output.error(&error);
            Exit::of(&error).into()
        });
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&anyhow::Error::new(error).context("no threads can be started"));
            return Exit::Internal.into();
        }
    };
    let exit = runtime.block_on(run(parsed, &output));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    written(exit, &output).into()
}

/// A result that is not where it should be is no success.
fn written(exit: Exit, output: &Output) -> Exit {
    let Some(error) = output.failure() else { return exit };
    output.note(format_args!("error: standard output cannot be written: {error}"));
    if matches!(exit, Exit::Success | Exit::Interrupted) { Exit::Internal } else { exit }
}

async fn run(parsed: args::Parsed, output: &Output) -> Exit {
    let args::Parsed { command, connection, verbose, .. } = parsed;
    if !matches!(command, Command::Serve { .. }) {
        output::log_to_stderr(verbose);
    }
    let done = match command {
        Command::Serve { stdio, config } => commands::serve::run(stdio, config, output).await,
        Command::Config(ConfigCommand::Check(config)) => commands::config::check(config, output),
        Command::Config(ConfigCommand::Show(config)) => commands::config::show(config, output),
        Command::Demo(demo) => commands::demo::run(demo, output).await,
        Command::Submit(submit) => commands::submit::run(submit, &connection, output).await,
        Command::Result(fetch) => commands::result::run(fetch, &connection, output).await,
        Command::Watch(watch) => commands::watch::run(watch, &connection, output).await,
        Command::Cancel(cancel) => commands::cancel::run(cancel, &connection, output).await,
        Command::Jobs(jobs) => commands::jobs::run(jobs, &connection, output).await,
        Command::Audit(audit) => commands::audit::run(audit, &connection, output).await,
        Command::Gc(collect) => commands::gc::run(collect, &connection, output).await,
        Command::Credentials(credentials) => commands::credentials::run(credentials, &connection, output).await,
        Command::Keys(keys) => commands::keys::run(keys, &connection, output).await,
        Command::Agents { json } => commands::agents::run(json, &connection, output).await,
        Command::Bench(bench) => Box::pin(commands::bench::run(bench, &connection, output)).await,
        Command::Gateway(gateway) => Box::pin(commands::gateway::run(gateway, &connection, output)).await,
        Command::Version { json } => commands::version::run(json, output),
        Command::Completions(shell) => commands::completions::run(shell, output),
        Command::Workers(workers) => commands::workers::run(workers, &connection, output),
        Command::Worker | Command::ExternalWorker(_) => Ok(Exit::Internal),
    };
    match done {
        Ok(exit) => exit,
        Err(error) => {
            let exit = Exit::of(&error);
            output.error(&error);
            if let (Exit::Unreachable, Some(remedy)) = (exit, connect::remedy(&connection)) {
                output.note(remedy);
            }
            exit
        }
    }
}
