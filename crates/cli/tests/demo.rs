//! The first command of the README, as a new user runs it.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::path::Path;

use common::{Running, moorline, stderr, stdout, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// A tree with something of everything.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| fs::write(tree.path().join(name), content).unwrap();
    fs::create_dir(tree.path().join("sub")).unwrap();
    write("main.rs", "fn main() {}\n// two lines\n");
    write("sub/one.txt", "the same content in two places, long enough to matter\n");
    write("sub/two.txt", "the same content in two places, long enough to matter\n");
    write("empty", "");
    std::os::unix::fs::symlink("..", tree.path().join("sub/up")).unwrap();
    tree
}

/// The demo with a temporary directory of its own, to see that nothing of it stays.
fn demo(temporary: &Path, args: &[&str]) -> std::process::Command {
    let mut command = moorline([&["demo"], args].concat());
    command.env("TMPDIR", temporary).env("MOORLINE_LISTEN", "rubbish that concerns no demo");
    command
}

fn assert_nothing_stays(temporary: &Path) {
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0, "the demo leaves something behind");
    wait_for("every process of the demo has ended", || common::processes_with(temporary.to_str().unwrap()).is_empty());
}

#[test]
fn the_demo_takes_stock_of_a_directory_and_leaves_nothing_behind() {
    let (tree, temporary) = (tree(), tempfile::tempdir().unwrap());
    let output = demo(temporary.path(), &[tree.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (shown, told) = (stdout(&output), stderr(&output));
    for fragment in ["4 files in 2 directories", "By type", "Rust", "Largest", "Newest", "Duplicates", "sub/one.txt"] {
        assert!(shown.contains(fragment), "{fragment:?} in:\n{shown}");
    }
    assert!(told.contains("without a gap"), "{told}");
    assert!(!shown.contains('\u{1b}') && !told.contains('\u{1b}'), "no colours into a pipe");
    assert_nothing_stays(temporary.path());
}

#[test]
fn the_demo_speaks_json_to_scripts_and_keeps_the_report_that_is_asked_for() {
    let (tree, temporary) = (tree(), tempfile::tempdir().unwrap());
    let report = tree.path().join("report.json");
    let args = [tree.path().to_str().unwrap(), "--json", "--top", "1", "--report", report.to_str().unwrap()];
    let output = demo(temporary.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(result["files"], 4);
    assert_eq!(result["largest"].as_array().unwrap().len(), 1);
    assert_eq!(result["duplicates"]["groups"], 1);
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(report["files"], 4);
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn a_directory_that_is_none_is_refused_before_anything_starts() {
    let (tree, temporary) = (tree(), tempfile::tempdir().unwrap());
    let file = tree.path().join("empty");
    for (directory, fragment) in [("/nowhere/at/all", "name a directory"), (file.to_str().unwrap(), "not a directory")]
    {
        let output = demo(temporary.path(), &[directory]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(fragment), "{}", stderr(&output));
    }
    assert_nothing_stays(temporary.path());
}

/// A tree in which the census is busy for as long as nobody stops it: a fifo that is read would hang, a large sparse
/// file takes long to read.
fn endless() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for n in 0..4 {
        let file = fs::File::create(tree.path().join(format!("large-{n}"))).unwrap();
        file.set_len(64 * 1024 * 1024 * 1024).unwrap();
    }
    tree
}

#[test]
fn ctrl_c_cancels_the_job_and_ends_everything() {
    let (tree, temporary) = (endless(), tempfile::tempdir().unwrap());
    let mut running = Running::start(&mut demo(temporary.path(), &[tree.path().to_str().unwrap()]));
    running.line_with("reading");
    running.signal(Signal::INT);
    running.line_with("cancelling");
    assert_eq!(running.wait().code(), Some(3));
    assert_nothing_stays(temporary.path());
}
