//! The steps, in the order in which they run.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bench::Bench;
use crate::chaos::Chaos;
use crate::command::cargo;
use crate::gateway_chaos::GatewayChaos;
use crate::hostile::Hostile;
use crate::opcua_cuts::OpcUaCuts;
use crate::{advisories, clients, conformance, install, instructions, interop, licences, purity, tidy};

/// One check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: fn() -> Result<()>,
}

/// Every check.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted", run: fmt },
    Step { name: "clippy", about: "lints, of which none may warn", run: clippy },
    Step { name: "doc", about: "the API documentation builds without warnings", run: doc },
    Step { name: "tidy", about: "house rules that no compiler checks", run: tidy::run },
    Step {
        name: "conformance",
        about: "the page of the protocol's requirements names tests that exist",
        run: conformance::run,
    },
    Step { name: "purity", about: "types, wire and core do no I/O", run: purity::run },
    Step { name: "licences", about: "every dependency may be used", run: licences::run },
    Step { name: "advisories", about: "no dependency has a known hole", run: advisories::run },
    Step { name: "instructions", about: "a delivery costs what it did", run: instructions::run },
    Step { name: "tests", about: "the tests of all packages", run: tests },
    Step { name: "clients", about: "the Python client and the Rust client keep to one contract", run: clients::run },
    Step { name: "interop", about: "software of others and ours understand each other", run: interop::run },
];

/// How a step went.
struct Outcome {
    name: &'static str,
    took: Duration,
    passed: bool,
}

/// Runs every step and sums up.
pub(crate) fn run_all() -> ExitCode {
    let outcomes: Vec<Outcome> = STEPS.iter().map(run).collect();
    print!("{}", summary(&outcomes));
    exit_code(outcomes.iter().all(|outcome| outcome.passed))
}

/// Runs one step.
pub(crate) fn run_one(step: &Step) -> ExitCode {
    exit_code(run(step).passed)
}

/// Lets gateways and workers be killed for a while.
pub(crate) fn run_chaos(chaos: Chaos) -> ExitCode {
    let result = chaos.run();
    if let Err(error) = &result {
        eprintln!("chaos: {error:#}");
    }
    exit_code(result.is_ok())
}

/// Lets gateways of many sessions be killed.
pub(crate) fn run_gateway_chaos(chaos: GatewayChaos) -> ExitCode {
    let result = chaos.run();
    if let Err(error) = &result {
        eprintln!("gateway-chaos: {error:#}");
    }
    exit_code(result.is_ok())
}

/// Lets a gateway be attacked.
pub(crate) fn run_hostile(hostile: Hostile) -> ExitCode {
    let result = hostile.run();
    if let Err(error) = &result {
        eprintln!("hostile: {error:#}");
    }
    exit_code(result.is_ok())
}

/// Cuts the OPC UA worker off from its servers.
pub(crate) fn run_opcua_cuts(cuts: OpcUaCuts) -> ExitCode {
    let result = cuts.run();
    if let Err(error) = &result {
        eprintln!("opcua-cuts: {error:#}");
    }
    exit_code(result.is_ok())
}

/// Measures.
pub(crate) fn run_bench(bench: &Bench) -> ExitCode {
    let result = bench.run();
    if let Err(error) = &result {
        eprintln!("bench: {error:#}");
    }
    exit_code(result.is_ok())
}

#[expect(clippy::disallowed_methods, reason = "how long a step takes is shown, nothing depends on it")]
fn run(step: &Step) -> Outcome {
    println!("\n=== {}: {}", step.name, step.about);
    let started = Instant::now();
    let result = (step.run)();
    if let Err(error) = &result {
        println!("{}: {error:#}", step.name);
    }
    Outcome { name: step.name, took: started.elapsed(), passed: result.is_ok() }
}

fn summary(outcomes: &[Outcome]) -> String {
    let mut table = String::from("\n=== summary\n");
    for Outcome { name, took, passed } in outcomes {
        let seconds = format!("{:.1} s", took.as_secs_f64());
        let verdict = if *passed { "passed".to_owned() } else { format!("FAILED, again with: cargo xtask {name}") };
        table.push_str(&format!("{name:<12}{seconds:>9}  {verdict}\n"));
    }
    table
}

fn exit_code(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fmt() -> Result<()> {
    install::component("fmt", "rustfmt")?;
    cargo(&["fmt", "--all", "--check"], &[])
}

fn clippy() -> Result<()> {
    install::component("clippy", "clippy")?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
}

fn doc() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    cargo(&args, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Builds everything, the `moorline` program included, before the first test starts: tests of processes run it.
/// A build of the program alone would resolve other features and so compile most dependencies a second time.
pub(crate) fn build_tests() -> Result<()> {
    cargo(&["test", "--workspace", "--locked", "--no-run"], &[])
}

fn tests() -> Result<()> {
    install::programs(&["python3"])?;
    build_tests()?;
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_failed_and_how_to_run_it_again() {
        let outcome = |name, millis, passed| Outcome { name, took: Duration::from_millis(millis), passed };
        let table = summary(&[outcome("fmt", 1_240, true), outcome("licences", 62_000, false)]);
        assert_eq!(
            table,
            "\n=== summary\n\
             fmt             1.2 s  passed\n\
             licences       62.0 s  FAILED, again with: cargo xtask licences\n"
        );
    }

    #[test]
    fn an_error_of_a_step_is_a_failure() {
        let step = |run| Step { name: "x", about: "", run };
        assert!(run(&step(|| Ok(()))).passed);
        assert!(!run(&step(|| anyhow::bail!("wrong"))).passed);
    }
}
