//! Starting programs. Each is shown first, in a form that can be run again by hand from the root of the repository.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{advisories, sources};

/// Runs cargo; what it prints goes where our own output goes.
pub(crate) fn cargo(args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    println!("$ {}", shown("cargo", args, env));
    let status = cargo_command(args).envs(env.iter().copied()).status().context("cargo cannot be started")?;
    if !status.success() {
        bail!("cargo {} ended with {status}", args.first().copied().unwrap_or_default());
    }
    Ok(())
}

/// Runs another program than cargo; what it prints goes where our own output goes.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    println!("$ {}", shown(program, args, &[]));
    let status = other(program, args).status().with_context(|| format!("{program} cannot be started"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}

/// Runs a program and returns what it printed.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String> {
    println!("$ {}", shown(program, args, &[]));
    let mut command = if program == "cargo" { cargo_command(args) } else { other(program, args) };
    let output = command.output().with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        bail!("{program} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("what {program} printed is not UTF-8"))
}

/// Whether a program runs and is content, whatever it prints.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = if program == "cargo" { cargo_command(args) } else { other(program, args) };
    command.output().is_ok_and(|output| output.status.success())
}

/// A path as an argument.
pub(crate) fn path_text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

fn other(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(sources::root());
    command
}

/// The cargo that runs us, with the environment that it would have if it had been started by hand.
fn cargo_command(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(sources::root());
    // `cargo run` describes our own package in the environment. Build scripts of dependencies watch these variables and
    // would run again, with everything that depends on them, whenever a developer changes between cargo and xtask.
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(describes_our_package) {
        command.env_remove(name);
    }
    // The gateway refuses variables of its prefix that it does not know; this one is ours.
    command.env_remove(advisories::DATABASE_VARIABLE);
    command
}

fn describes_our_package(name: &OsString) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}

fn shown(program: &str, args: &[&str], env: &[(&str, &str)]) -> String {
    let env = env.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
    env.chain([program.to_owned()]).chain(args.iter().map(|arg| quoted(arg))).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        for (args, env, expected) in [
            (&["fmt", "--all"][..], &[][..], "cargo fmt --all"),
            (&["doc"], &[("RUSTDOCFLAGS", "-D warnings")], "RUSTDOCFLAGS='-D warnings' cargo doc"),
            (&["it's", ""], &[], r"cargo 'it'\''s' ''"),
        ] {
            assert_eq!(shown("cargo", args, env), expected);
        }
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_what_it_said() {
        let error = output("git", &["no-such-command"]).unwrap_err().to_string();
        assert!(error.starts_with("git ended with") && error.contains("no-such-command"), "{error}");
        assert!(output("git", &["--version"]).unwrap().starts_with("git version"));
        assert!(!succeeds("no-such-program", &[]));
    }

    #[test]
    fn only_what_describes_our_package_is_kept_from_cargo() {
        for (name, kept) in
            [("CARGO_PKG_NAME", false), ("CARGO_MANIFEST_DIR", false), ("CARGO_HOME", true), ("PATH", true)]
        {
            assert_eq!(!describes_our_package(&name.into()), kept, "{name}");
        }
    }
}
