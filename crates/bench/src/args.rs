//! What the command line asks for.

use std::path::PathBuf;

use crate::context::Scale;
use crate::scenarios::{SCENARIOS, Scenario};

/// How often each scenario is run unless it is said.
const RUNS: u32 = 5;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    List,
    Run(Run),
    /// One of the processes that a measurement consists of.
    Part {
        name: String,
        args: Vec<String>,
    },
}

/// A run of scenarios.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) names: Vec<String>,
    pub(crate) moorline: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) scale: Scale,
    pub(crate) runs: u32,
    pub(crate) out: Option<PathBuf>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) write_docs: Option<PathBuf>,
    /// How the whole was started, for whoever wants to do it again.
    pub(crate) command: String,
}

impl Request {
    /// Reads the arguments.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        match args {
            [name, rest @ ..] if name.starts_with("send-") => {
                Ok(Self::Part { name: name.clone(), args: rest.to_vec() })
            }
            args if args.iter().any(|arg| arg == "--list") => Ok(Self::List),
            args => Run::read(args).map(Self::Run),
        }
    }
}

impl Run {
    fn read(args: &[String]) -> Result<Self, String> {
        let mut run = Self {
            names: Vec::new(),
            moorline: PathBuf::new(),
            scratch: std::env::temp_dir(),
            scale: Scale::Full,
            runs: RUNS,
            out: None,
            python: None,
            write_docs: None,
            command: format!("moorline-bench {}", args.join(" ")),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().ok_or_else(|| format!("{arg} takes a value"));
            match arg.as_str() {
                "--quick" => run.scale = Scale::Quick,
                "--smoke" => run.scale = Scale::Smoke,
                "--moorline" => run.moorline = value()?.into(),
                "--scratch" => run.scratch = value()?.into(),
                "--out" => run.out = Some(value()?.into()),
                "--python" => run.python = Some(value()?.into()),
                "--write-docs" => run.write_docs = Some(value()?.into()),
                "--command" => run.command = value()?,
                "--runs" => {
                    let value = value()?;
                    let runs = value.parse().ok().filter(|runs| (1..=100).contains(runs));
                    run.runs = runs.ok_or_else(|| format!("--runs takes a number from 1 to 100, not {value:?}"))?;
                }
                flag if flag.starts_with('-') => return Err(format!("there is no option {flag}")),
                name => {
                    known(name)?;
                    run.names.push(name.to_owned());
                }
            }
        }
        if run.moorline.as_os_str().is_empty() {
            return Err("--moorline says which program is measured".to_owned());
        }
        if run.write_docs.is_some() && (run.scale != Scale::Full || !run.names.is_empty()) {
            return Err(
                "--write-docs takes neither names nor --quick: the page is about everything, at full size".to_owned()
            );
        }
        Ok(run)
    }

    /// The scenarios that are asked for: all, if none is named.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        SCENARIOS.iter().filter(|scenario| self.names.is_empty() || self.names.iter().any(|name| name == scenario.name))
    }
}

fn known(name: &str) -> Result<(), String> {
    if SCENARIOS.iter().any(|scenario| scenario.name == name) {
        return Ok(());
    }
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    Err(format!("there is no scenario {name:?}; there are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, String> {
        Request::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for bad in ["--moorline m --write-docs docs --quick", "--moorline m --write-docs docs firehose"] {
            assert!(read(bad).is_err_and(|problem| problem.contains("--write-docs")), "{bad:?}");
        }
        for bad in
            ["", "--moorline", "--moorline m --runs 0", "--moorline m --runs x", "--moorline m frehose", "--fast"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scenarios_run_by_name_or_all() {
        let Ok(Request::Run(run)) = read("--moorline m --quick --runs 2 firehose") else { panic!() };
        assert_eq!((run.scale, run.runs), (Scale::Quick, 2));
        assert_eq!(run.scenarios().map(|scenario| scenario.name).collect::<Vec<_>>(), ["firehose"]);
        let Ok(Request::Run(run)) = read("--moorline m") else { panic!() };
        assert_eq!(run.scenarios().count(), SCENARIOS.len());
        assert_eq!(read("--list"), Ok(Request::List));
    }
}
