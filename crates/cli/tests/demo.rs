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
    for fragment in [
        "the connection is cut",
        "resumed",
        "kill -9",
        "adopted the workers",
        "the connection was cut once and the gateway killed once; of ",
        " events 0 were lost and 0 repeated",
    ] {
        assert!(told.contains(fragment), "{fragment:?} in:\n{told}");
    }
    assert!(told.contains("--report"), "where the report went: {told}");
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
fn a_calm_demo_breaks_nothing() {
    let (tree, temporary) = (tree(), tempfile::tempdir().unwrap());
    let output = demo(temporary.path(), &["--calm", tree.path().to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("without a gap") && !told.contains("kill"), "{told}");
    assert_nothing_stays(temporary.path());
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

#[test]
fn the_demo_of_sessions_loses_nothing_and_tells_its_gap() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--gateway"]).output().unwrap();
    let (shown, told) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{told}");
    for fragment in [
        "the connection of the client \"cut\" is cut",
        "cut: connected again",
        "kill -9",
        "and the session's worker",
        "steady: connected again",
        "\"slow\" is cut off",
        "slow: GAP: ",
        "0 events were lost without being told so, and 0 came twice",
    ] {
        assert!(told.contains(fragment), "{fragment:?} in:\n{told}");
    }
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    for (name, gaps) in [("steady", "0"), ("cut", "0"), ("slow", "1")] {
        let row = rows.iter().find(|row| row.first() == Some(&name)).unwrap_or_else(|| panic!("{name} in:\n{shown}"));
        assert_eq!(row[2..5], ["0", "0", gaps], "lost, twice and gaps of {name} in:\n{shown}");
    }
    assert_nothing_stays(temporary.path());
}

#[test]
fn the_demo_of_sessions_speaks_json_to_scripts_and_can_be_calm() {
    let temporary = tempfile::tempdir().unwrap();
    for (args, kills, gaps) in [(&["--gateway", "--json"][..], 1, 1), (&["--gateway", "--json", "--calm"], 0, 0)] {
        let output = demo(temporary.path(), args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        let counted: Value = serde_json::from_str(&stdout(&output)).unwrap();
        let clients = counted["clients"].as_array().unwrap();
        assert_eq!((&counted["lost"], &counted["twice"], &counted["kills"]), (&0.into(), &0.into(), &kills.into()));
        assert_eq!(clients.iter().filter(|client| client["gaps"] != 0).count(), gaps, "{counted}");
        assert!(clients.len() == 3 && clients.iter().all(|client| client["events"].as_u64() > Some(100)), "{counted}");
        assert!(stderr(&output).is_empty(), "{}", stderr(&output));
    }
    let both = demo(temporary.path(), &["--gateway", "/tmp"]).output().unwrap();
    assert_eq!(both.status.code(), Some(2), "{}", stderr(&both));
    assert_nothing_stays(temporary.path());
}

#[test]
fn ctrl_c_ends_the_demo_of_sessions() {
    let (temporary, told) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let mut command = demo(temporary.path(), &["--gateway"]);
    let mut running = Running::start(command.stderr(told.reopen().unwrap()));
    wait_for("the plant to run", || fs::read_to_string(told.path()).unwrap().contains("simulated plant"));
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), Some(130), "{}", fs::read_to_string(told.path()).unwrap());
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

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_job() {
    let (tree, temporary) = (endless(), tempfile::tempdir().unwrap());
    let (marker, told) = (temporary.path().to_str().unwrap().to_owned(), tree.path().join("told"));
    let mut command = demo(temporary.path(), &[tree.path().to_str().unwrap()]);
    let mut running = Running::start(command.stderr(fs::File::create(&told).unwrap()));
    running.line_with("reading");
    // A worker that is held still cannot hear of the cancellation, so the job stays for as long as this takes.
    let worker = common::processes_with(&marker).into_iter().find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let agent = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("moorline\0worker")
            && String::from_utf8_lossy(&agent).contains("scratch/census@")
    });
    let worker = rustix::process::Pid::from_raw(i32::try_from(worker.unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(worker, Signal::STOP).unwrap();
    running.signal(Signal::INT);
    wait_for("the first one is heard", || fs::read_to_string(&told).unwrap().contains("cancelling the job"));
    running.signal(Signal::INT);
    let status = running.wait();
    // If it is gone already, so much the better.
    rustix::process::kill_process(worker, Signal::CONT).unwrap_or_default();
    assert_eq!(status.code(), Some(130), "{}", fs::read_to_string(&told).unwrap());
    assert_nothing_stays(temporary.path());
}

/// From the first file that the demo makes, an interruption is heard, wherever it comes.
#[test]
fn ctrl_c_during_the_start_ends_everything_too() {
    let (tree, temporary) = (endless(), tempfile::tempdir().unwrap());
    let mut running = Running::start(&mut demo(temporary.path(), &[tree.path().to_str().unwrap()]));
    wait_for("the demo begins", || fs::read_dir(temporary.path()).unwrap().count() > 0);
    running.signal(Signal::INT);
    // The job may have begun in the meantime; it is cancelled then.
    let code = running.wait().code();
    assert!(matches!(code, Some(130 | 3)), "{code:?}");
    assert_nothing_stays(temporary.path());
}

/// The gateway's log shows the administrator's key, which is nobody else's to read.
#[test]
fn nobody_else_can_look_into_the_demo() {
    use std::os::unix::fs::PermissionsExt as _;

    let (tree, temporary) = (endless(), tempfile::tempdir().unwrap());
    let running = Running::start(&mut demo(temporary.path(), &[tree.path().to_str().unwrap()]));
    running.line_with("reading");
    let home = fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
    assert!(fs::read_to_string(home.join("gateway.log")).unwrap().contains("mlk_"), "the key is there to be guarded");
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    drop(running);
    assert_nothing_stays(temporary.path());
}

#[test]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;

    let (tree, temporary) = (tree(), tempfile::tempdir().unwrap());
    let odd = tree.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    fs::create_dir(&odd).unwrap();
    let output = demo(temporary.path(), &[]).arg(&odd).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("not UTF-8"), "{}", stderr(&output));
}
