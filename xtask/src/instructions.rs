//! `cargo xtask instructions`: what a delivery costs, counted and compared with what it did.
//!
//! Instructions do not depend on how busy or how fast the machine is, so a change for the worse shows on any. They
//! depend a little on the compiler and on which copying routines the C library chooses, which is what [`TOLERANCE`] is
//! for. The program is run twice with different numbers of rounds, and the difference is what is compared: what it takes
//! to begin is in both.

use anyhow::{Context as _, Result, bail};

use crate::command::{self, cargo};
use crate::metadata::Metadata;
use crate::{install, sources};

/// What the deliveries cost, in instructions: a line for each scenario and architecture.
const EXPECTED: &str = "crates/counted/expected.txt";

/// Set to write what was counted there instead of comparing it.
const UPDATE_VARIABLE: &str = "UPDATE_INSTRUCTIONS";

const SCENARIOS: [&str; 2] = ["one_job", "many_jobs"];

/// Deliveries in one round, as `moorline-counted` has them.
const DELIVERIES: u64 = 1_000;

/// Rounds of the first and of the second run.
const ROUNDS: (u64, u64) = (2, 12);

/// By how much more or less a delivery may cost, in percent. Another compiler or C library makes two or three; one
/// allocation more in every delivery makes fifteen.
const TOLERANCE: u64 = 8;

pub(crate) fn run() -> Result<()> {
    install::programs(&["valgrind"])?;
    cargo(&["build", "--release", "--locked", "--package", "moorline-counted"], &[])?;
    let program = Metadata::read()?.target_directory().join("release/moorline-counted");
    let program = program.to_str().context("a path that is not UTF-8")?;
    let counted = SCENARIOS.map(|scenario| Ok((scenario, count(program, scenario)?)));
    let counted = counted.into_iter().collect::<Result<Vec<_>>>()?;
    let path = sources::root().join(EXPECTED);
    let expected = std::fs::read_to_string(&path).with_context(|| format!("{EXPECTED} cannot be read"))?;
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        return std::fs::write(path, updated(&expected, &counted))
            .with_context(|| format!("{EXPECTED} is not written"));
    }
    let problems: Vec<String> = counted.iter().filter_map(|counted| problem(&expected, *counted)).collect();
    if problems.is_empty() { Ok(()) } else { bail!("{}", problems.join("\n")) }
}

/// Instructions of one delivery.
fn count(program: &str, scenario: &str) -> Result<u64> {
    let (fewer, more) = ROUNDS;
    let difference = run_counted(program, scenario, more)?.saturating_sub(run_counted(program, scenario, fewer)?);
    Ok(difference / ((more - fewer) * DELIVERIES))
}

fn run_counted(program: &str, scenario: &str, rounds: u64) -> Result<u64> {
    let rounds = rounds.to_string();
    let args = ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1", program, scenario, &rounds];
    let printed = command::output("valgrind", &args)?;
    collected(&printed).with_context(|| format!("valgrind does not say what it counted: {printed}"))
}

/// The number in callgrind's line `==123== Collected : 456`.
fn collected(printed: &str) -> Option<u64> {
    let line = printed.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

/// What is wrong with a count, if anything is.
fn problem(expected: &str, (scenario, counted): (&str, u64)) -> Option<String> {
    let update = format!("{UPDATE_VARIABLE}=1 cargo xtask instructions");
    let Some(expected) = expected.lines().find_map(|line| read(line, scenario)) else {
        println!("{scenario}: {counted} instructions a delivery; none are expected on {}", std::env::consts::ARCH);
        return None;
    };
    println!("{scenario}: {counted} instructions a delivery, expected are {expected}");
    let verdict = if counted * 100 > expected * (100 + TOLERANCE) {
        "costs more than it did"
    } else if counted * 100 < expected * (100 - TOLERANCE) {
        "costs less than it did, which is to be kept"
    } else {
        return None;
    };
    Some(format!(
        "{scenario}: a delivery {verdict}: {counted} instructions, not {expected}; if that is meant: {update}"
    ))
}

/// The count of a line of this scenario on this machine.
fn read(line: &str, scenario: &str) -> Option<u64> {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [arch, name, count] if *arch == std::env::consts::ARCH && *name == scenario => count.parse().ok(),
        _ => None,
    }
}

/// The file with these counts for this machine, and the others' as they are.
fn updated(expected: &str, counted: &[(&str, u64)]) -> String {
    let ours = |line: &&str| line.split_whitespace().next() == Some(std::env::consts::ARCH);
    let others = expected.lines().filter(|line| !ours(line)).map(str::to_owned);
    let new = counted.iter().map(|(scenario, count)| format!("{} {scenario} {count}", std::env::consts::ARCH));
    others.chain(new).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_what_callgrind_prints() {
        let printed = "==7== Callgrind, a profiler\n==7== \n==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
        assert_eq!(collected(printed), Some(123_456));
        assert_eq!(collected("==7== it ended\n"), None);
    }

    #[test]
    fn more_and_less_than_tolerated_are_problems_and_an_unknown_machine_is_none() {
        let expected = format!("alien one_job 7\n{} one_job 1000\n", std::env::consts::ARCH);
        for (counted, wrong) in [(919, true), (920, false), (1_000, false), (1_080, false), (1_081, true)] {
            assert_eq!(problem(&expected, ("one_job", counted)).is_some(), wrong, "{counted}");
        }
        assert_eq!(problem("alien one_job 7\n", ("one_job", 1_000)), None);
    }

    #[test]
    fn an_update_leaves_other_machines_alone() {
        let ours = std::env::consts::ARCH;
        let before = format!("alien one_job 7\n{ours} one_job 1\n{ours} gone 2\n");
        assert_eq!(updated(&before, &[("one_job", 9)]), format!("alien one_job 7\n{ours} one_job 9\n"));
    }
}
