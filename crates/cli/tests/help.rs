//! The help texts, word for word, but for the gateway's options, whose words are the server's. `UPDATE_EXPECT=1 cargo
//! test -p moorline-cli --test help` writes them anew.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use common::{moorline, stderr, stdout};
use expect_test::{ExpectFile, expect_file};

fn check(args: &[&str], expected: &ExpectFile) {
    let output = moorline([args, &["--help"]].concat()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    expected.assert_eq(&without_trailing_space(&without_options(&stdout(&output))));
}

/// The text without the section of the gateway's options.
fn without_options(help: &str) -> String {
    let Some((before, options)) = help.split_once("\nConfiguration:\n") else { return help.to_owned() };
    let is_option = |line: &&str| line.is_empty() || line.starts_with(' ');
    let after: Vec<_> = options.lines().skip_while(is_option).collect();
    format!("{before}\n{}\n", after.join("\n"))
}

/// Empty lines are indented by the library; nobody sees it, and files here have none of that.
fn without_trailing_space(help: &str) -> String {
    help.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn every_command_explains_itself() {
    check(&[], &expect_file!["help/moorline.txt"]);
    check(&["serve"], &expect_file!["help/serve.txt"]);
    check(&["config"], &expect_file!["help/config.txt"]);
    check(&["bench"], &expect_file!["help/bench.txt"]);
    check(&["demo"], &expect_file!["help/demo.txt"]);
    check(&["submit"], &expect_file!["help/submit.txt"]);
    check(&["watch"], &expect_file!["help/watch.txt"]);
    check(&["result"], &expect_file!["help/result.txt"]);
    check(&["cancel"], &expect_file!["help/cancel.txt"]);
    check(&["jobs"], &expect_file!["help/jobs.txt"]);
    check(&["gc"], &expect_file!["help/gc.txt"]);
    check(&["audit"], &expect_file!["help/audit.txt"]);
    check(&["agents"], &expect_file!["help/agents.txt"]);
    check(&["worker"], &expect_file!["help/worker.txt"]);
    check(&["keys"], &expect_file!["help/keys.txt"]);
    check(&["keys", "create"], &expect_file!["help/keys-create.txt"]);
    check(&["credentials"], &expect_file!["help/credentials.txt"]);
    check(&["gateway"], &expect_file!["help/gateway.txt"]);
    check(&["workers"], &expect_file!["help/workers.txt"]);
    check(&["version"], &expect_file!["help/version.txt"]);
    check(&["completions"], &expect_file!["help/completions.txt"]);
}

/// A key in the environment must not end up in a terminal's history or in a bug report.
#[test]
fn help_does_not_show_a_key() {
    let output = moorline(["agents", "--help"]).env("MOORLINE_TOKEN", "mlk_secret").output().unwrap();
    assert!(!stdout(&output).contains("mlk_secret"), "{}", stdout(&output));
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_with_what_is_near() {
    for (args, fragment) in [
        (&["sumbit", "echo"][..], "submit"),
        (&["submit"], "<AGENT>"),
        (&["serve", "--lisen", "x"], "--listen"),
        (&["demo", "--top", "0"], "1..=1000"),
        (&["completions", "tcsh"], "zsh"),
        (&["--color", "blue", "agents"], "never"),
    ] {
        let output = moorline(args).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{args:?}");
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
    }
}
