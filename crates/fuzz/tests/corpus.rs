//! A short run of what libFuzzer runs for long: the corpus, and seeded mutations of it, the same in every run.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]
use std::path::{Path, PathBuf};

use moorline_fuzz::{TARGETS, Target};

/// Mutations of every entry of a corpus.
const MUTATIONS: u64 = 200;

/// The longest input that a mutation grows to.
const MAX_BYTES: usize = 4_096;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The entries of a target's corpus, by name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut corpus: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    corpus.sort();
    corpus
}

/// Runs a target; what makes it panic is shown so that it can be added to the corpus.
fn run(target: &Target, input: &[u8], origin: &str) {
    let (run, bytes) = (target.run, input.to_vec());
    if std::panic::catch_unwind(move || run(&bytes)).is_err() {
        panic!("{} panics, {origin}: {:?}", target.name, String::from_utf8_lossy(input));
    }
}

/// One change of the kind that finds something: bytes changed, removed, repeated, moved over from another entry.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut fastrand::Rng) {
    const TELLING: [&[u8]; 12] = [
        b"null",
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b"-1",
        b"1e999",
        b"18446744073709551616",
        b"\\u0000",
        b"\xff",
        b"true",
    ];
    let at = random.usize(..=input.len());
    let length = random.usize(..=16).min(input.len() - at);
    match random.u8(..7) {
        0 if at < input.len() => input[at] = random.u8(..),
        1 => drop(input.drain(at..at + length)),
        2 => {
            let part = input[at..at + length].to_vec();
            input.splice(at..at, part);
        }
        3 => {
            let telling = TELLING[random.usize(..TELLING.len())];
            input.splice(at..at + length.min(random.usize(..8)), telling.iter().copied());
        }
        4 => {
            let from = random.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 => input.truncate(at),
        _ => input.extend(std::iter::repeat_with(|| random.u8(..)).take(length)),
    }
    input.truncate(MAX_BYTES);
}

#[test]
fn the_corpus_and_its_mutations_hold() {
    for target in &TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() >= 4, "{} has a corpus of {}", target.name, corpus.len());
        for (n, (name, entry)) in corpus.iter().enumerate() {
            run(target, entry, name);
            for seed in 0..MUTATIONS {
                let mut random = fastrand::Rng::with_seed(seed);
                let other = &corpus[(n + random.usize(..corpus.len())) % corpus.len()].1;
                let mut input = entry.clone();
                for _ in 0..=random.usize(..4) {
                    mutate(&mut input, other, &mut random);
                }
                run(target, &input, &format!("{name} mutated with seed {seed}"));
            }
        }
    }
}

/// What libFuzzer runs is what is run here.
#[test]
fn every_target_has_its_program_and_its_corpus_and_there_are_no_others() {
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for Target { name, .. } in &TARGETS {
        let program = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let function = match *name {
            "operations" | "families" => format!("run_{name}"),
            frames => frames.to_owned(),
        };
        assert!(program.contains(&format!("moorline_fuzz::{function}(")), "{name}: {program}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not in the manifest");
    }
    for folder in ["fuzz_targets", "corpus"] {
        let entries = std::fs::read_dir(fuzz().join(folder)).unwrap().count();
        assert_eq!(entries, TARGETS.len(), "{folder} has something that is no target");
    }
}
