//! The whole harness, with sizes at which nothing is measured: whether every scenario is right, and all of it is written
//! down. No number is looked at.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const BENCH: &str = env!("CARGO_BIN_EXE_moorline-bench");

#[test]
fn every_scenario_runs_and_is_written_down() {
    let moorline = Path::new(BENCH).with_file_name("moorline");
    assert!(moorline.is_file(), "there is no {}; build it: cargo build -p moorline-cli", moorline.display());
    let out = tempfile::tempdir().unwrap();
    let ran = Command::new(BENCH)
        .args(["--smoke", "--runs", "1", "--moorline"])
        .arg(&moorline)
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let record = std::fs::read_to_string(out.path().join("results.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let measured = record["metrics"].as_object().unwrap();
    for (key, metric) in measured {
        assert!(metric["median"].is_f64() && metric["samples"][0].is_f64(), "{key}: {metric}");
    }
    let listed = String::from_utf8(Command::new(BENCH).arg("--list").output().unwrap().stdout).unwrap();
    let listed: BTreeSet<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    let skipped = record["skipped"].as_object().unwrap().keys().map(String::as_str);
    let there = measured.keys().filter_map(|key| key.split('.').next()).chain(skipped).collect();
    assert_eq!(listed, there);
    assert!(std::fs::read_to_string(out.path().join("subscribers-rate.svg")).unwrap().ends_with("</svg>\n"));
    assert!(String::from_utf8(ran.stdout).unwrap().contains("10,000 sessions are resumed"));
}
