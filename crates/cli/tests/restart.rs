//! A job outlives its gateway: real gateways, real workers, real programs, and real kills at moments that a seed
//! decides. Afterwards what a client reads is compared with what the agent said: every event, in order, once.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use common::survival::{
    COUNTING, LEAVE, WITH_COUNTING, all_workers, assert_in_order, assert_whole, chances, echo, echoed, kill, pass,
    read, signal, watching, workers,
};
use common::{Gateway, Running, stderr, wait_for};
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::json;

/// Kills the gateway and starts it again, a few times, twice in a row and right after a start among them.
fn kill_often(mut gateway: Gateway, config: &str, rng: &mut Rng) -> Gateway {
    for _ in 0..5 {
        // A third of the kills come while the gateway is still busy taking its workers over.
        if rng.u8(0..3) > 0 {
            pass(rng.u64(0..900));
        }
        let (home, status) = gateway.end(Signal::KILL);
        assert!(!status.success());
        gateway = Gateway::over(home, config, LEAVE);
    }
    gateway
}

#[test]
fn jobs_go_on_in_the_same_processes_whenever_the_gateway_is_killed() {
    let mut rng = chances(None);
    let gateway = Gateway::with(COUNTING, LEAVE);
    let jobs: Vec<_> = (0..4).map(|_| gateway.submit("echo", &echo(400, 20))).collect();
    let counted = gateway.submit("count", &json!(400));
    let watch = watching(&gateway, &counted);
    watch.line_with("job.event");
    let before = all_workers(&gateway, WITH_COUNTING);
    let gateway = kill_often(gateway, COUNTING, &mut rng);
    for job in &jobs {
        assert_whole(&read(&gateway, job), 400, echoed(400));
    }
    assert_whole(&read(&gateway, &counted), 400, |n| n.to_string());
    assert_eq!(workers(&gateway), before);
    assert_eq!(gateway.follow("count", &json!(3)).1, 0, "an adopted worker takes new work");
    let (home, _) = Gateway::over(gateway.end(Signal::TERM).0, COUNTING, &["--stop-workers"]).end(Signal::TERM);
    let data = home.path().join("data");
    wait_for("nothing is left", || common::processes_with(data.to_str().unwrap()).is_empty());
}

/// Jobs that end, fail, are cancelled and run into their limit while no gateway is there, or just after.
#[test]
fn whatever_happened_while_no_gateway_was_there_is_told_once() {
    let gateway = Gateway::with(COUNTING, LEAVE);
    let short = gateway.submit("count", &json!(40));
    let flood = gateway.submit("echo", &echo(3_000, 0));
    let long = gateway.submit("echo", &echo(100_000, 10));
    let watch = watching(&gateway, &long);
    watch.line_with("job.event");
    let cancelled = gateway.run(&["cancel", &long]);
    assert!(cancelled.status.success(), "{}", stderr(&cancelled));
    let (home, _) = gateway.end(Signal::KILL);
    pass(1_500);
    let gateway = Gateway::over(home, COUNTING, &[]);
    assert_whole(&read(&gateway, &short), 40, |n| n.to_string());
    assert_whole(&read(&gateway, &flood), 3_000, echoed(3_000));
    assert_eq!(read(&gateway, &long).last().unwrap()["payload"]["final_status"], "cancelled");
}

#[test]
fn a_hundred_jobs_go_on_at_once() {
    let gateway = Gateway::with("", LEAVE);
    let jobs: Vec<_> = (0..100).map(|_| gateway.submit("echo", &echo(50, 200))).collect();
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, "", &[]);
    for job in &jobs {
        assert_whole(&read(&gateway, job), 50, echoed(50));
    }
}

/// As many processes as there are agents, and each of them is found again.
#[test]
fn thirty_workers_with_a_job_each_go_on_at_once() {
    const WORKERS: usize = 30;
    let agent = |n: usize| {
        let say =
            "read job; n=1; while [ $n -le 40 ]; do sleep 0.2; echo $n; n=$((n + 1)); done; echo '{\"result\": 40}'";
        format!("[[agents]]\nname = \"agent-{n}\"\nversion = \"1.0.0\"\ncommand = [\"sh\", \"-c\", {}]\n", json!(say))
    };
    let config: String = (0..WORKERS).map(agent).collect();
    let gateway = Gateway::with(&config, LEAVE);
    let jobs: Vec<_> = (0..WORKERS).map(|n| gateway.submit(&format!("agent-{n}"), &json!(null))).collect();
    // All of them run, so all of them are found again and not begun anew.
    for job in &jobs {
        watching(&gateway, job).line_with("job.event");
    }
    let before = all_workers(&gateway, WORKERS + 2);
    let gateway = Gateway::over(gateway.end(Signal::KILL).0, &config, LEAVE);
    let gateway = Gateway::over(gateway.end(Signal::KILL).0, &config, &[]);
    for job in &jobs {
        assert_whole(&read(&gateway, job), 40, |n| n.to_string());
    }
    assert_eq!(workers(&gateway), before);
}

#[test]
fn a_worker_that_dies_with_the_gateway_ends_its_own_jobs_only() {
    let gateway = Gateway::with(COUNTING, LEAVE);
    let marker = format!("{}/scratch/count", gateway.data_dir().display());
    let lost = gateway.submit("count", &json!(100_000));
    let kept = gateway.submit("echo", &echo(100, 20));
    let watch = watching(&gateway, &lost);
    watch.line_with("job.event");
    let worker = workers(&gateway).into_iter().find(|pid| common::processes_with(&marker).contains(pid)).unwrap();
    let (home, _) = gateway.end(Signal::KILL);
    kill(worker);
    let gateway = Gateway::over(home, COUNTING, &[]);
    let last = read(&gateway, &lost).pop().unwrap();
    assert_eq!((&last["payload"]["code"], &last["payload"]["retryable"]), (&json!("INTERNAL_ERROR"), &json!(true)));
    assert!(last["payload"]["message"].as_str().unwrap().contains("submit it again"), "{last}");
    assert_whole(&read(&gateway, &kept), 100, echoed(100));
    assert_eq!(gateway.follow("count", &json!(3)).1, 0, "there is another worker");
}

#[test]
fn a_stop_in_order_leaves_jobs_running_and_the_next_start_takes_them_over() {
    let gateway = Gateway::with(COUNTING, LEAVE);
    let job = gateway.submit("count", &json!(200));
    let before = all_workers(&gateway, WITH_COUNTING);
    let (home, status) = gateway.end(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(!home.path().join("data/gateway.json").exists());
    assert_eq!(common::workers_of(&home.path().join("data")), before, "workers go on");
    let gateway = Gateway::over(home, COUNTING, &[]);
    assert_whole(&read(&gateway, &job), 200, |n| n.to_string());
    assert_eq!(workers(&gateway), before);
}

#[test]
fn without_reattach_the_workers_of_the_last_run_are_ended_and_their_jobs_told() {
    let gateway = Gateway::with(COUNTING, LEAVE);
    let job = gateway.submit("count", &json!(100_000));
    let watch = watching(&gateway, &job);
    watch.line_with("job.event");
    let before = all_workers(&gateway, WITH_COUNTING);
    let (home, _) = gateway.end(Signal::KILL);
    let gateway = Gateway::over(home, COUNTING, &["--workers-reattach=false"]);
    let last = read(&gateway, &job).pop().unwrap();
    assert_eq!((&last["payload"]["code"], &last["payload"]["retryable"]), (&json!("INTERNAL_ERROR"), &json!(true)));
    assert!(last["payload"]["message"].as_str().unwrap().contains("did not take over"), "{last}");
    assert!(workers(&gateway).is_disjoint(&before));
    assert_eq!(gateway.follow("count", &json!(3)).1, 0);
}

#[test]
fn a_worker_whose_agent_has_changed_finishes_its_jobs_and_a_new_one_takes_the_next() {
    let gateway = Gateway::with(COUNTING, LEAVE);
    let job = gateway.submit("count", &json!(150));
    let watch = watching(&gateway, &job);
    watch.line_with("job.event");
    let before = all_workers(&gateway, WITH_COUNTING);
    let (home, _) = gateway.end(Signal::TERM);
    let changed = COUNTING.replace("'result': number", "'result': 'changed'");
    let gateway = Gateway::over(home, &changed, &[]);
    let (seen, exit) = gateway.follow("count", &json!(3));
    assert_eq!((exit, &seen.last().unwrap()["payload"]["result"]), (0, &json!("changed")));
    let seen = read(&gateway, &job);
    assert_whole(&seen, 150, |n| n.to_string());
    assert_eq!(seen.last().unwrap()["payload"]["result"], 150, "it was finished by the worker that began it");
    wait_for("the old worker has left", || workers(&gateway).intersection(&before).count() == 2);
}

/// A worker that is stopped answers nobody. It is not taken for dead before its time, and then it is ended.
#[test]
fn a_worker_that_does_not_come_back_is_ended_and_its_jobs_told() {
    let gateway = Gateway::with(COUNTING, LEAVE);
    let marker = format!("{}/scratch/count", gateway.data_dir().display());
    let job = gateway.submit("count", &json!(100_000));
    let watch = watching(&gateway, &job);
    watch.line_with("job.event");
    let worker = workers(&gateway).into_iter().find(|pid| common::processes_with(&marker).contains(pid)).unwrap();
    let (home, _) = gateway.end(Signal::KILL);
    signal(worker, Signal::STOP);
    let gateway = Gateway::over(home, COUNTING, &["--workers-adoption-window", "2s"]);
    let last = read(&gateway, &job).pop().unwrap();
    assert!(last["payload"]["message"].as_str().unwrap().contains("did not come back"), "{last}");
    assert!(!workers(&gateway).contains(&worker));
    assert_eq!(gateway.follow("count", &json!(3)).1, 0);
}

#[test]
fn strangers_at_the_worker_socket_are_refused_and_change_nothing() {
    use std::io::{Read as _, Write as _};
    let gateway = Gateway::with("", &[]);
    let job = gateway.submit("echo", &echo(50, 20));
    for bytes in [&b""[..], b"\0\0\0\x02\xff\xff", b"GET / HTTP/1.1\r\n\r\n", &[0; 64]] {
        let mut stranger = UnixStream::connect(gateway.data_dir().join("worker.sock")).unwrap();
        stranger.write_all(bytes).unwrap();
        stranger.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A reset is an answer too.
        drop(stranger.read_to_end(&mut answer));
        assert!(answer.is_empty(), "a stranger is told nothing");
    }
    assert_whole(&read(&gateway, &job), 50, echoed(50));
    wait_for("the refusals are told", || gateway.log().contains("a peer at the worker socket is refused"));
    let key = fs::read_to_string(gateway.data_dir().join("workers.key")).unwrap();
    assert!(!gateway.log().contains(key.trim()));
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(gateway.data_dir().join("workers.key")).unwrap()) & 0o777,
        0o600
    );
}

/// A program that says more than a worker keeps in memory goes on, and one that nobody comes back to leaves what it said.
#[test]
fn what_is_said_without_a_gateway_is_kept_on_disk_and_outlives_the_worker() {
    let gateway = Gateway::with(COUNTING, &["--stop-workers=false", "--workers-max-orphan-lifetime", "3s"]);
    let flood = gateway.submit("echo", &echo(20_000, 0));
    let endless = gateway.submit("echo", &echo(1_000_000, 1));
    watching(&gateway, &endless).line_with("job.event");
    let data = gateway.data_dir();
    let (home, _) = gateway.end(Signal::KILL);
    wait_for("the workers end themselves", || common::workers_of(&data).is_empty());
    let gateway = Gateway::over(home, COUNTING, &[]);
    assert_whole(&read(&gateway, &flood), 20_000, echoed(20_000));
    let seen = read(&gateway, &endless);
    let said = assert_in_order(&seen, echoed(1_000_000));
    assert!(said > 300, "more than a worker keeps in memory: {said}");
    let last = &seen.last().unwrap()["payload"];
    assert_eq!((&last["code"], &last["retryable"]), (&json!("INTERNAL_ERROR"), &json!(true)));
    let is_outbox = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".outbox");
    let outboxes = || fs::read_dir(gateway.data_dir().join("workers")).unwrap().flatten().filter(is_outbox).count();
    wait_for("nothing is left of them", || outboxes() == 0);
}

/// Killed at any moment of its first starts: before, between and after it writes its workers down and starts them.
#[test]
fn a_gateway_that_is_killed_while_it_starts_its_workers_leaves_none_that_nobody_knows() {
    let mut rng = chances(None);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("moorline.toml"), COUNTING).unwrap();
    for _ in 0..10 {
        let mut starting = Running::start(common::serve(home.path(), LEAVE).stderr(Stdio::null()));
        pass(rng.u64(0..400));
        starting.signal(Signal::KILL);
        starting.wait();
    }
    let gateway = Gateway::over(home, COUNTING, &[]);
    assert_eq!(gateway.follow("count", &json!(3)).1, 0);
    assert_eq!(gateway.follow("echo", &json!(3)).1, 0);
    all_workers(&gateway, WITH_COUNTING);
    let (home, _) = gateway.end(Signal::TERM);
    let data = home.path().join("data");
    wait_for("nothing is left", || common::processes_with(data.to_str().unwrap()).is_empty());
}
