//! An agent on the SDK, run for one job without a gateway: what it reports is printed.
//!
//! `cargo run -p moorline-worker --example initials -- '{"name": "ada lovelace"}'`
#![expect(clippy::print_stdout, reason = "printing is what this example is for")]

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use moorline_types::{Fence, JobId, Json, Timestamp, WorkerId};
use moorline_worker::in_process::in_process;
use moorline_worker::message::{FromWorker, StartJob, ToWorker};
use moorline_worker::sdk::{Agent, AgentDescription, Failure, JobContext, Level, Outcome};
use serde::Deserialize;

struct Initials;

#[derive(Deserialize)]
struct Input {
    name: String,
}

#[async_trait]
impl Agent for Initials {
    fn describe(&self) -> AgentDescription {
        AgentDescription {
            agent: "initials@1.0.0".parse().expect("the name keeps to the grammar"),
            description: "the initials of a name".to_owned(),
            capacity: 4,
            is_default: true,
        }
    }

    async fn run(&self, job: JobContext) -> Result<Outcome, Failure> {
        let Input { name } = job.input().map_err(|error| error.into_failure())?;
        job.log(Level::Info, format!("reading {name:?}")).await?;
        if name.trim().is_empty() {
            return Err(Failure::invalid_request("input: name must not be empty"));
        }
        let initials: String = name.split_whitespace().filter_map(|word| word.chars().next()).collect();
        Ok(Outcome::of(&initials.to_uppercase())?.summary("done"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let input = std::env::args().nth(1).unwrap_or_else(|| r#"{"name": "ada lovelace"}"#.to_owned());
    let agent: Arc<dyn Agent> = Arc::new(Initials);
    let start = StartJob {
        job: JobId::mint(Timestamp::from_unix_millis(1), [1; 10]),
        agent: agent.describe().agent,
        input: Json::parse(&input)?,
        lease: Json::parse("{}")?,
        trace: None,
        deadline: None,
        accepted_at: Timestamp::from_unix_millis(1),
        credentials: Vec::new(),
    };

    // What follows is the gateway's part, as small as it gets.
    let worker = WorkerId::mint(Timestamp::from_unix_millis(1), [2; 10]);
    let (candidate, _running) = in_process(worker, [agent])?;
    let mut link = candidate.admit(Fence::FIRST, []).await?;
    link.sender.send(ToWorker::Start(start)).await?;
    loop {
        let report = link.receiver.recv().await?;
        println!("{report:?}");
        if matches!(&report, FromWorker::Report { report, .. } if report.is_terminal()) {
            return Ok(());
        }
    }
}
