//! `cargo xtask`: every check of the repository, the same for a developer and for CI.
//!
//! `cargo xtask test` runs all steps on a fresh machine and installs what they need; `cargo xtask STEP` runs one. A
//! failed step does not keep the others from running, so one run shows everything that is wrong.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod advisories;
mod bench;
mod chaos;
mod clients;
mod command;
mod conformance;
mod gateway_chaos;
mod hostile;
mod install;
mod instructions;
mod interop;
mod lex;
mod licences;
mod metadata;
mod opcua_cuts;
mod purity;
mod python;
mod rust;
mod sources;
mod spdx;
mod steps;
mod tidy;

use std::process::ExitCode;

use bench::Bench;
use chaos::Chaos;
use gateway_chaos::GatewayChaos;
use hostile::Hostile;
use opcua_cuts::OpcUaCuts;
use steps::{STEPS, Step};

/// What the command line asks for.
enum Request {
    Help,
    All,
    One(&'static Step),
    Chaos(Chaos),
    GatewayChaos(GatewayChaos),
    Hostile(Hostile),
    OpcUaCuts(OpcUaCuts),
    Bench(Bench),
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match request(&args) {
        Ok(Request::Help) => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Ok(Request::All) => steps::run_all(),
        Ok(Request::One(step)) => steps::run_one(step),
        Ok(Request::Chaos(chaos)) => steps::run_chaos(chaos),
        Ok(Request::GatewayChaos(chaos)) => steps::run_gateway_chaos(chaos),
        Ok(Request::Hostile(hostile)) => steps::run_hostile(hostile),
        Ok(Request::OpcUaCuts(cuts)) => steps::run_opcua_cuts(cuts),
        Ok(Request::Bench(bench)) => steps::run_bench(&bench),
        Err(problem) => {
            eprint!("{problem}\n\n{}", help());
            ExitCode::from(2)
        }
    }
}

fn request(args: &[String]) -> Result<Request, String> {
    match args {
        [] => Err("say what to run".to_owned()),
        [name, rest @ ..] if name == "chaos" => Chaos::read(rest).map(Request::Chaos),
        [name, rest @ ..] if name == "gateway-chaos" => GatewayChaos::read(rest).map(Request::GatewayChaos),
        [name, rest @ ..] if name == "hostile" => Hostile::read(rest).map(Request::Hostile),
        [name, rest @ ..] if name == "opcua-cuts" => OpcUaCuts::read(rest).map(Request::OpcUaCuts),
        [name, rest @ ..] if name == "bench" => Bench::read(rest).map(Request::Bench),
        [arg] => match arg.as_str() {
            "--help" | "-h" | "help" => Ok(Request::Help),
            "test" => Ok(Request::All),
            name => STEPS.iter().find(|step| step.name == name).map(Request::One).ok_or_else(|| {
                let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
                format!("there is no step called {name:?}; the steps are {}", names.join(", "))
            }),
        },
        [_, extra, ..] => Err(format!("one step at a time: {extra:?} is too much")),
    }
}

fn help() -> String {
    let mut help = String::from("cargo xtask test         run every step in this order, and install what they need\n");
    for step in STEPS {
        help.push_str(&format!("cargo xtask {:<12} {}\n", step.name, step.about));
    }
    help.push_str("\ncargo xtask chaos [--seed N] [--minutes M]   kill gateways and workers for a while\n");
    help.push_str("cargo xtask gateway-chaos [--seed N]         the same to many sessions of the session gateway\n");
    help.push_str(
        "cargo xtask hostile [--connections N]        attack a gateway, and measure who keeps to the rules\n",
    );
    help.push_str(
        "cargo xtask opcua-cuts [--seed N] [--cuts N]     cut the OPC UA worker off from two servers, and count what it lost\n",
    );
    help.push_str(
        "cargo xtask bench [NAME...] [--quick] [--runs N] [--out DIR] [--write-docs] [--list]\n\
         \x20                                            measure, as docs/BENCHMARKS.md says\n",
    );
    help.push_str(&format!(
        "\nA step that fails does not keep the next from running; the exit code says whether any failed.\n\
         {}=DIR names an advisory database in the form of RustSec's.\n",
        advisories::DATABASE_VARIABLE
    ));
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Request, String> {
        request(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_cannot_be_run_is_answered_with_what_can() {
        for (line, problem) in [
            ("", "say what to run"),
            ("tidy fmt", "one step at a time: \"fmt\" is too much"),
            (
                "lint",
                "there is no step called \"lint\"; the steps are fmt, clippy, doc, tidy, conformance, purity, \
                 licences, advisories, instructions, tests, clients, interop",
            ),
        ] {
            assert_eq!(asked(line).err().as_deref(), Some(problem), "{line:?}");
        }
    }

    #[test]
    fn every_step_is_found_and_explained() {
        for step in STEPS {
            assert!(matches!(asked(step.name), Ok(Request::One(found)) if found.name == step.name), "{}", step.name);
            assert!(help().contains(&format!("cargo xtask {}", step.name)), "{}", step.name);
        }
        assert!(matches!(asked("test"), Ok(Request::All)));
        assert!(matches!(asked("--help"), Ok(Request::Help)));
        assert!(matches!(asked("chaos --minutes 1"), Ok(Request::Chaos(_))));
        assert!(matches!(asked("gateway-chaos --seed 1"), Ok(Request::GatewayChaos(_))));
        assert!(matches!(asked("hostile --connections 100"), Ok(Request::Hostile(_))));
        assert!(matches!(asked("opcua-cuts --cuts 3"), Ok(Request::OpcUaCuts(_))));
        assert!(matches!(asked("bench --quick firehose"), Ok(Request::Bench(_))));
    }
}
