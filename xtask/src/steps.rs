//! The steps, in the order in which they run: the quick ones first.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{advisories, install, licences, purity, tidy};

/// One check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: fn() -> Result<()>,
}

/// Every check.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted", run: || cargo(&["fmt", "--all", "--check"], &[]) },
    Step { name: "tidy", about: "house rules that no compiler checks", run: tidy::run },
    Step { name: "purity", about: "types, wire and core do no I/O", run: purity::run },
    Step { name: "licences", about: "every dependency may be used", run: licences::run },
    Step { name: "advisories", about: "no dependency has a known hole", run: advisories::run },
    Step { name: "clippy", about: "lints", run: clippy },
    Step { name: "doc", about: "the API documentation builds without warnings", run: doc },
    Step { name: "unit", about: "the tests", run: tests },
];

/// Runs every step and sums up.
#[expect(clippy::disallowed_methods, reason = "how long a step takes is shown, nothing depends on it")]
pub(crate) fn run_all() -> ExitCode {
    let mut results = Vec::new();
    for step in STEPS {
        println!("\n=== {}: {}", step.name, step.about);
        let started = Instant::now();
        let result = (step.run)();
        if let Err(error) = &result {
            println!("{}: {error:#}", step.name);
        }
        results.push((step.name, started.elapsed(), result.is_ok()));
    }
    println!("\n=== summary");
    for (name, took, passed) in &results {
        println!("{:<11}{:>8}  {}", name, seconds(*took), if *passed { "passed" } else { "FAILED" });
    }
    let failed = results.iter().any(|(_, _, passed)| !passed);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs one step.
pub(crate) fn run_one(step: &Step) -> ExitCode {
    match (step.run)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}: {error:#}", step.name);
            ExitCode::FAILURE
        }
    }
}

fn clippy() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
}

fn doc() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    cargo(&args, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// The program is built before its tests, because tests of other packages start it too.
fn tests() -> Result<()> {
    install::programs(&["python3"])?;
    cargo(&["build", "--package", "moorline-cli", "--locked"], &[])?;
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], &[])
}

/// Runs cargo, and shows how, so that it can be run again by hand.
fn cargo(args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let shown: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
    println!("{}cargo {}", shown.concat(), args.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).envs(env.iter().copied());
    // The gateway refuses variables of its prefix that it does not know; this one is ours.
    command.env_remove(advisories::DATABASE_VARIABLE);
    let status = command.status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.first().copied().unwrap_or_default());
    }
    Ok(())
}

fn seconds(length: Duration) -> String {
    format!("{:.1} s", length.as_secs_f64())
}
