//! What the steps need beside cargo: programs of the system and components of the toolchain.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Makes sure that these programs run. The Debian package of each has its name; as root, a missing one is installed.
pub(crate) fn programs(names: &[&str]) -> Result<()> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !command::succeeds(name, &["--version"])).collect();
    if missing.is_empty() { Ok(()) } else { packages(&missing) }
}

/// Makes sure that Python has these modules of its library, which some systems pack separately.
pub(crate) fn python_modules(modules: &[&str], package: &str) -> Result<()> {
    let import = format!("import {}", modules.join(", "));
    if command::succeeds("python3", &["-c", &import]) { Ok(()) } else { packages(&[package]) }
}

/// Installs packages of the system, or says how to.
fn packages(missing: &[&str]) -> Result<()> {
    let root = command::output("id", &["-u"]).is_ok_and(|user| user.trim() == "0");
    match plan(missing, root, command::succeeds("apt-get", &["--version"])) {
        Plan::Install => apt_get(missing),
        Plan::Refuse(problem) => bail!(problem),
    }
}

/// Makes sure that cargo has this subcommand, which `component` of the toolchain brings.
pub(crate) fn component(subcommand: &str, component: &str) -> Result<()> {
    if command::succeeds("cargo", &[subcommand, "--version"]) {
        return Ok(());
    }
    println!("missing: {component}");
    let remedy = format!("{component} is missing; run: rustup component add {component}");
    command::output("rustup", &["component", "add", component]).map(drop).context(remedy)
}

enum Plan {
    Install,
    Refuse(String),
}

fn plan(missing: &[&str], root: bool, apt: bool) -> Plan {
    let packages = missing.join(" ");
    match (root, apt) {
        (true, true) => Plan::Install,
        (false, true) => Plan::Refuse(format!("missing: {packages}; run: sudo apt-get install {packages}")),
        (_, false) => Plan::Refuse(format!("missing: {packages}; install it with the system's package manager")),
    }
}

fn apt_get(packages: &[&str]) -> Result<()> {
    let update = vec!["update", "--quiet"];
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    for args in [update, install] {
        println!("$ apt-get {}", args.join(" "));
        let status = Command::new("apt-get").args(&args).env("DEBIAN_FRONTEND", "noninteractive").status();
        let status = status.context("apt-get cannot be started")?;
        if !status.success() {
            bail!("apt-get {} ended with {status}; install by hand: {}", args.join(" "), packages.join(" "));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_installs_and_others_are_told_the_command() {
        for (root, apt, refusal) in [
            (true, true, None),
            (false, true, Some("missing: python3 git; run: sudo apt-get install python3 git")),
            (true, false, Some("missing: python3 git; install it with the system's package manager")),
        ] {
            match plan(&["python3", "git"], root, apt) {
                Plan::Install => assert_eq!(refusal, None),
                Plan::Refuse(problem) => assert_eq!(refusal, Some(problem.as_str())),
            }
        }
    }

    #[test]
    fn what_is_there_is_not_installed() {
        programs(&["git"]).unwrap();
    }
}
