//! `cargo xtask`: every check of the repository, the same for a developer and for CI.
//!
//! `cargo xtask test` runs all steps on a fresh machine and installs what they need; `cargo xtask STEP` runs one. A
//! failed step does not keep the others from running, so one run shows everything that is wrong.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod advisories;
mod install;
mod licences;
mod metadata;
mod purity;
mod sources;
mod spdx;
mod steps;
mod tidy;

use std::process::ExitCode;

use steps::STEPS;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => steps::run_all(),
        ["--help" | "-h" | "help"] => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        [name] => match STEPS.iter().find(|step| step.name == *name) {
            Some(step) => steps::run_one(step),
            None => usage(&format!("there is no step called {name:?}")),
        },
        [] => usage("say what to run"),
        _ => usage("one step at a time"),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprint!("{problem}\n\n{}", help());
    ExitCode::from(2)
}

fn help() -> String {
    let mut help = String::from("cargo xtask test     run every step, and install what they need\n");
    for step in STEPS {
        help.push_str(&format!("cargo xtask {:<9}{}\n", step.name, step.about));
    }
    help
}
