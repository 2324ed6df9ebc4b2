//! `moorline-bench`: measures a gateway beside what it is compared with. `cargo xtask bench` builds and starts it.
//!
//! This process is the load generator and the reader. The gateway, its workers and every baseline's sender are processes
//! of their own. It scans frames instead of parsing them, so that it is not what limits a measurement, and checks the
//! numbers of what it reads: a run in which something is lost or comes twice is an error, not a number.
//!
//! Deliberately absent: a second machine. Load generator and gateway share this one's processors, as their numbers say.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod args;
mod baselines;
mod clock;
mod context;
mod crowd;
mod frame;
mod gateway;
mod grpc;
mod machine;
mod metrics;
mod report;
mod samples;
mod scenarios;
mod session;
mod usage;
mod websocket;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use args::{Request, Run};
use context::{Context, Scale};
use machine::Machine;
use report::record::Record;
use samples::All;
use scenarios::SCENARIOS;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match Request::read(&args) {
        Ok(Request::List) => {
            for scenario in SCENARIOS {
                println!("{:12} {}", scenario.name, scenario.about);
            }
            Ok(())
        }
        Ok(Request::Part { name, args }) => part(&name, &args),
        Ok(Request::Run(run)) => measure(&run),
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn part(name: &str, args: &[String]) -> Result<()> {
    match name {
        "send-websocket" => baselines::websocket::send(args),
        "send-nats" => baselines::nats::send(args),
        "send-grpc" => baselines::grpc::send(args),
        other => bail!("there is no {other}"),
    }
}

fn measure(run: &Run) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let context = Context {
        moorline: run.moorline.canonicalize().with_context(|| format!("{} is not there", run.moorline.display()))?,
        own: std::env::current_exe()?,
        scratch: run.scratch.clone(),
        scale: run.scale,
        python: run.python.clone(),
    };
    let (mut all, mut skipped) = (All::default(), BTreeMap::new());
    let begun = clock::now();
    for scenario in run.scenarios() {
        if let Some(why) = (scenario.missing)(&context) {
            eprintln!("{}: skipped: {why}", scenario.name);
            skipped.insert(scenario.name.to_owned(), why.to_owned());
            continue;
        }
        for number in 1..=run.runs {
            let begun = clock::now();
            let samples = runtime.block_on((scenario.run)(&context));
            all.add(samples.with_context(|| format!("{}, run {number}", scenario.name))?);
            eprintln!("{}: run {number} of {}, {:.1} s", scenario.name, run.runs, begun.elapsed().as_secs_f64());
        }
    }
    if run.scale != Scale::Full {
        println!(
            "At {} size: what a line says of numbers of events, jobs and sessions is not so.\n",
            run.scale.as_str()
        );
    }
    print!("{}", report::table::text(&all));
    let record = Record {
        command: run.command.clone(),
        scale: run.scale.as_str().to_owned(),
        runs: run.runs,
        seconds: begun.elapsed().as_secs(),
        machine: Machine::look(&context.moorline, &context.scratch, context.python.as_deref()),
        skipped,
        metrics: Record::metrics(&all),
    };
    if let Some(out) = &run.out {
        record.write(out)?;
        report::page::plots(out, &record)?;
    }
    run.write_docs.as_deref().map_or(Ok(()), |docs| report::page::write(docs, &record, &all))
}
