//! The documents say what is so: the agents that they show are run through a real gateway, and the commands, options
//! and configurations that they show are taken by the program.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{Gateway, Running, moorline, stderr, stdout};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document that shows commands, with its text.
fn documents() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned()];
    for directory in ["docs", "docs/guides"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                names.push(format!("{directory}/{name}"));
            }
        }
    }
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The fenced blocks of this language, each with the line before it.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<(&'a str, String)> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        if line.trim() == format!("```{language}") {
            let body: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            found.push((before, body.join("\n") + "\n"));
        }
        before = line;
    }
    found
}

fn run(args: &[&str]) -> Output {
    moorline(args).output().unwrap()
}

/// A gateway with the agents of `examples/agents`.
fn gateway() -> Gateway {
    let agents = root().join("examples/agents");
    let config = read("examples/agents/moorline.toml").replace("\"./", &format!("\"{}/", agents.display()));
    Gateway::with(&config, &[])
}

/// Kind and body of the events among what was seen.
fn events(seen: &[Value]) -> Vec<(String, Value)> {
    let events = seen.iter().filter(|line| line["type"] == "job.event");
    events.map(|line| (line["payload"]["kind"].as_str().unwrap().to_owned(), line["payload"]["body"].clone())).collect()
}

#[test]
fn the_programs_that_the_pages_show_are_the_ones_in_the_repository() {
    let page = read("docs/writing-an-agent.md") + &read("docs/guides/authority.md");
    let shown = |language| {
        let blocks = blocks(&page, language).into_iter();
        blocks.filter_map(|(before, body)| {
            let path = before.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
            Some((path.to_owned(), body))
        })
    };
    let shown: Vec<_> = shown("python").chain(shown("sh")).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    for (path, body) in shown {
        assert_eq!(body, read(&path), "{path} and the page differ");
    }
}

#[test]
fn the_agents_of_the_page_do_what_it_says() {
    let gateway = gateway();

    let (seen, code) = gateway.follow("wordcount", &json!({"text": "to be or not to be"}));
    let kinds: Vec<_> = events(&seen).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!((kinds, code), (vec!["status".to_owned(), "log".to_owned(), "progress".to_owned()], 0), "{seen:?}");
    let last = &seen.last().unwrap()["payload"];
    assert_eq!(last["result"], json!({ "words": 6, "distinct": 4 }));
    assert_eq!(last["summary"], "6 words");

    let (seen, code) = gateway.follow("wordcount", &json!({"wrong": 1}));
    let last = &seen.last().unwrap()["payload"];
    assert_eq!((&last["code"], code), (&Value::from("INTERNAL_ERROR"), 1), "{last}");
    assert_eq!(last["details"]["exit_status"], 1, "{last}");
    assert!(last["details"]["stderr_tail"].as_str().unwrap().contains("KeyError"), "{last}");

    let (seen, code) = gateway.follow("countdown", &json!({"seconds": 1}));
    assert_eq!((&seen.last().unwrap()["payload"]["result"], code), (&json!({ "slept": 1 }), 0));

    let (seen, code) = gateway.follow("countdown", &json!({"seconds": "one"}));
    let last = &seen.last().unwrap()["payload"];
    assert_eq!((&last["code"], code), (&Value::from("INVALID_REQUEST"), 1), "{last}");
    assert_eq!(last["message"], "input.seconds must be a whole number");
}

/// The worked example of the guide: what it says is called, is, and what comes of it is what the guide shows.
#[test]
fn what_the_guide_of_authority_shows_is_what_happens() {
    let gateway = gateway();
    let guide = read("docs/guides/authority.md");
    let shown = blocks(&guide, "console").into_iter().find_map(|(_, block)| {
        block.lines().find_map(|line| Some(line.strip_prefix("$ moorline submit shopper --follow ")?.to_owned()))
    });
    // Each option is a word, and its value stands between quotation marks.
    let shown = shown.unwrap();
    let mut words = shown.split('\'').map(str::trim);
    let mut args = vec!["submit", "shopper", "--follow", "--json"];
    args.extend(words.by_ref().filter(|word| !word.is_empty()));
    let seen = common::json_lines(&gateway.run(&args));
    let result = &seen.last().unwrap()["payload"]["result"];
    let expected = blocks(&guide, "json").into_iter().find(|(_, block)| block.starts_with("{\"done\""));
    assert_eq!(*result, serde_json::from_str::<Value>(&expected.unwrap().1).unwrap());
}

#[test]
fn a_countdown_that_is_cancelled_hears_of_it_and_ends_as_cancelled() {
    let gateway = gateway();
    let job = gateway.submit("countdown", &json!({ "seconds": 600 }));
    // The trap is set before the first line is printed, so the job is watched until that is seen.
    let mut watch = Running::start(&mut gateway.command(&["watch", &job, "--json"]));
    let first = watch.line().unwrap();
    assert!(first.contains("progress"), "{first}");
    let cancelled = gateway.run(&["cancel", &job, "--reason", "seen enough"]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));

    watch.line_with("told to stop");
    let last: Value = serde_json::from_str(&watch.line_with("job.error")).unwrap();
    assert_eq!(last["payload"]["final_status"], "cancelled", "{last}");
    assert_eq!(watch.wait().code(), Some(3));
}

#[test]
fn every_command_and_option_that_a_document_shows_exists() {
    let mut checked = 0;
    for (name, document) in documents() {
        for line in shown_commands(&document) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let command = command_in(&words);
            assert!(!command.is_empty() || words.contains(&"--help"), "{name}: no command in: moorline {line}");
            let help = help_of(&command);
            for option in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{name}: {option} is no option in: moorline {line}\n{help}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} commands were found in the documents");
}

/// The command that a line names: its words, outermost first.
fn command_in<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut command = Vec::new();
    for word in words {
        if subcommands(&help_of(&command)).contains(&(*word).to_owned()) {
            command.push(word);
        }
    }
    command
}

fn help_of(command: &[&str]) -> String {
    stdout(&run(&[command, &["--help"]].concat()))
}

/// The names in the list of commands that a help shows, if there is one.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    list.take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// What stands after `moorline` in console blocks and in inline code.
fn shown_commands(document: &str) -> Vec<String> {
    let mut shown = Vec::new();
    for (_, block) in blocks(document, "console") {
        for line in block.lines().filter_map(|line| line.trim().strip_prefix("$ ")) {
            let line = line.split(" #").next().unwrap_or_default();
            let after =
                ["moorline ", "cargo run --release -- "].iter().find_map(|program| after_program(line, program));
            shown.extend(after);
        }
    }
    for (_, code) in document.split('`').enumerate().filter(|(index, _)| index % 2 == 1) {
        shown.extend(code.strip_prefix("moorline ").filter(|rest| !rest.contains('\n')).map(str::to_owned));
    }
    shown
}

/// The rest of a line that starts this program, perhaps after variables.
fn after_program(line: &str, program: &str) -> Option<String> {
    let at = line.find(program)?;
    line[..at].split_whitespace().all(|word| word.contains('=')).then(|| line[at + program.len()..].to_owned())
}

#[test]
fn every_configuration_that_a_document_shows_is_taken() {
    let mut checked = 0;
    for (name, document) in documents() {
        for (_, block) in blocks(&document, "toml") {
            let directory = tempfile::tempdir().unwrap();
            // The programs that the documents name; the reference's stands for any.
            for (program, like) in
                [("wordcount.py", "wordcount.py"), ("countdown.sh", "countdown.sh"), ("indexer.py", "wordcount.py")]
            {
                let from = root().join("examples/agents").join(like);
                fs::copy(from, directory.path().join(program)).unwrap();
            }
            let path = directory.path().join("moorline.toml");
            fs::write(&path, &block).unwrap();
            let args = ["config", "check", "--config", path.to_str().unwrap()];
            let output = moorline(args).env("HOME", directory.path()).output().unwrap();
            assert!(output.status.success(), "{name}:\n{block}\n{}{}", stdout(&output), stderr(&output));
            checked += 1;
        }
    }
    assert!(checked > 3, "only {checked} configurations were found in the documents");
}
