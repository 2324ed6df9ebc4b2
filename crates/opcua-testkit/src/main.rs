//! The test kit as a program: its server, and the worker's back end against any server that has the same tags.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod args;
mod drive;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use moorline_opcua_testkit::gateway::{self, Gateway};
use moorline_opcua_testkit::watch::{OfBackend, OfGateway};
use moorline_opcua_testkit::{Options, Outcome, Proxy, Schedule, TestServer, Trial, worker};
use tokio::io::{AsyncReadExt as _, stdin};

use args::{Cuts, Drive, HELP, Request};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args::read(&args) {
        Ok(Request::Serve { port, options }) => serve(port, options).await,
        Ok(Request::Drive(to)) => drive(to).await,
        Ok(Request::Cuts(cuts)) => cut(cuts).await,
        Err(problem) => {
            eprint!("{problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// Serves until standard input ends.
async fn serve(port: u16, options: Options) -> Result<ExitCode, Box<dyn Error>> {
    let server = TestServer::start_at(port, options).await?;
    println!("listening url={} certificates={}", server.url(), server.pki().directory().display());
    let mut ignored = [0; 64];
    while let Ok(1..) = stdin().read(&mut ignored).await {}
    Ok(ExitCode::SUCCESS)
}

/// Lets standard input tell the worker's back end what to do.
async fn drive(to: Drive) -> Result<ExitCode, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let opened = match to {
        Drive::Server(server) => {
            worker::open(&format!("opc.tcp://{server}/"), worker::Wanted::default(), directory.path()).await
        }
        Drive::Config(file) => worker::open_with(&file).await,
    };
    let mut backend = match opened {
        Ok(backend) => backend,
        Err(error) => {
            drive::refused(&error)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    drive::drive(&mut *backend).await?;
    backend.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Cuts the worker off again and again. Fails if a value was lost or came twice.
async fn cut(cuts: Cuts) -> Result<ExitCode, Box<dyn Error>> {
    let own = match cuts.server {
        Some(_) => None,
        None => Some(TestServer::start(Options::default()).await?),
    };
    let server = cuts.server.or_else(|| own.as_ref().map(TestServer::address)).ok_or("there is no server")?;
    let seed = cuts.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("seed {seed}");
    let schedule = Schedule::new(seed, cuts.cuts).at_most(cuts.longest);
    let network = Proxy::to(server).await?;
    let outcome = match &cuts.gateway {
        Some(programs) => through_gateway(programs, &network, schedule).await?,
        None => directly(&network, schedule).await?,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(if outcome.counts.lost == 0 && outcome.counts.doubled == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn directly(network: &Proxy, schedule: Schedule) -> Result<Outcome, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let url = format!("opc.tcp://{}/", network.address());
    let mut backend = worker::open(&url, worker::Wanted::default(), directory.path()).await?;
    let outcome = Trial::new(&mut OfBackend::new(&mut *backend), network).run(schedule).await?;
    backend.close().await;
    Ok(outcome)
}

async fn through_gateway(programs: &Path, network: &Proxy, schedule: Schedule) -> Result<Outcome, Box<dyn Error>> {
    let endpoint = worker::endpoint(&format!("opc.tcp://{}/", network.address()), worker::Wanted::default());
    let home = gateway::home(&programs.join("moorline-opcua"), &endpoint)?;
    let gateway = Gateway::start(&programs.join("moorline"), home).await?;
    let mut client = OfGateway::open(&gateway.client().await?).await?;
    let outcome = Trial::new(&mut client, network).run(schedule).await?;
    client.close().await?;
    Ok(outcome)
}
