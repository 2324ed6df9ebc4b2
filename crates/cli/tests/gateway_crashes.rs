//! Gateways, workers and both are killed at each named moment of a gateway session's life. Afterwards the session is the
//! same or definitely gone, no command was carried out twice, and nothing is left: no process, no place, no entry.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::plant::{self, Api, LEAVE, TIDY};
use common::survival::kill;
use common::{Gateway, wait_for, wait_for_or_tell, workers_of};
use moorline_gateway_proto::v1;
use rustix::process::Signal;

/// What there is to configure where this is to become of the session: a worker that is to be adopted is waited for longer
/// than a busy machine may take, and one that cannot come is not.
fn config(after: After) -> String {
    let window = if after == Same { "1m" } else { "5s" };
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nmax_sessions = 1\ndetach_grace = \"10m\"\nsweep_interval = \"1s\"\n\
         lease = \"10m\"\nstartup_timeout = \"50s\"\n[workers]\nadoption_window = \"{window}\"\n"
    )
}

/// Slow enough that little is streamed: what is tried here is not the stream.
const TICK_MS: u64 = 500;

/// Who is killed while the gateway is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Gateway,
    Worker,
    Both,
}

use Victim::{Both, Gateway as OfGateway, Worker};

/// What has the gateway come to the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum During {
    Opening,
    Adopting,
    Command,
    Close,
    Kill,
}

/// What must be true of the session afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// It is ready, with the worker that it had.
    Same,
    /// There is none, or one that is over.
    Over,
    /// One or the other.
    Either,
}

use After::{Either, Over, Same};

/// A gateway that is held at a point until it is released.
struct Held {
    gateway: Gateway,
    config: String,
    release: std::path::PathBuf,
}

impl Held {
    fn over(home: tempfile::TempDir, config: String, point: &str) -> Self {
        let release = home.path().join(format!("release-{point}"));
        let hold = format!("{point}:{}", release.display());
        let gateway = Gateway::among(home, &config, LEAVE, &[("HOLD_GATEWAY_AT", &hold)]);
        Self { gateway, config, release }
    }

    fn wait(&self, case: &str) {
        wait_for(&format!("{case}: the gateway is held"), || self.gateway.log().contains("held"));
    }

    /// Kills whom it is about, lets a gateway that lives go on, and gives a gateway that is not held.
    fn strike(self, case: &str, victim: Victim) -> Struck {
        let mut survivors = workers_of(&self.gateway.data_dir());
        if victim != OfGateway {
            assert_eq!(survivors.len(), 1, "{case}: the session's worker runs");
            std::mem::take(&mut survivors).into_iter().for_each(kill);
        }
        if victim == Worker {
            std::fs::write(&self.release, "").unwrap();
            return Struck { gateway: self.gateway, survivors };
        }
        let (home, _) = self.gateway.end(Signal::KILL);
        std::fs::remove_file(home.path().join("log")).unwrap();
        Struck { gateway: Gateway::over(home, &self.config, LEAVE), survivors }
    }
}

/// A gateway that is not held, and the workers that were there before and were not killed.
struct Struck {
    gateway: Gateway,
    survivors: BTreeSet<u32>,
}

async fn open(api: &mut Api) -> v1::Session {
    plant::open(api, TICK_MS).await.unwrap()
}

/// Lets a case happen, and checks that nothing is left of it.
async fn run(during: During, point: &str, victim: Victim, after: After) {
    let case = format!("{during:?}, held at {point}, {victim:?} killed");
    let (home, config) = (tempfile::tempdir().unwrap(), config(after));
    let (struck, session) = match during {
        During::Opening => {
            let held = Held::over(home, config.clone(), point);
            let mut api = plant::api(&held.gateway).await;
            let opening = plant::meanwhile(async move { plant::open(&mut api, TICK_MS).await });
            held.wait(&case);
            let struck = held.strike(&case, victim);
            let opened = opening.await.unwrap();
            (struck, opened.ok())
        }
        During::Adopting => {
            let gateway = Gateway::over(home, &config, LEAVE);
            let session = open(&mut plant::api(&gateway).await).await;
            let (home, _) = gateway.end(Signal::KILL);
            std::fs::remove_file(home.path().join("log")).unwrap();
            let held = Held::over(home, config.clone(), point);
            held.wait(&case);
            (held.strike(&case, victim), Some(session))
        }
        During::Command => command(Held::over(home, config.clone(), point), &case, victim, after).await,
        During::Close | During::Kill => {
            let held = Held::over(home, config.clone(), point);
            let mut api = plant::api(&held.gateway).await;
            let session = open(&mut api).await;
            let id = session.session_id.clone();
            let ending = plant::meanwhile(async move {
                let reason = "it is tried".to_owned();
                match during {
                    During::Kill => drop(api.kill_worker(v1::KillWorkerRequest { session_id: id, reason }).await),
                    During::Opening | During::Adopting | During::Command | During::Close => {
                        drop(api.close_session(v1::CloseSessionRequest { session_id: id }).await);
                    }
                }
            });
            held.wait(&case);
            let struck = held.strike(&case, victim);
            ending.await.unwrap();
            (struck, Some(session))
        }
    };
    check(struck, &config, &case, session, after).await;
}

/// A command is asked for; whatever is killed, it is asked for again under its name, and was carried out once.
async fn command(held: Held, case: &str, victim: Victim, after: After) -> (Struck, Option<v1::Session>) {
    let mut api = plant::api(&held.gateway).await;
    let session = open(&mut api).await;
    let id = session.session_id.clone();
    let asking = plant::meanwhile(async move {
        let command = Some(v1::Command { body: Some(plant::register()) });
        let request =
            v1::InvokeRequest { session_id: id, command_id: "once".to_owned(), command, ..Default::default() };
        drop(api.invoke(request).await);
    });
    held.wait(case);
    let struck = held.strike(case, victim);
    asking.await.unwrap();
    let mut api = plant::api(&struck.gateway).await;
    if after == Same {
        assert!(plant::is_ready(&mut api, &session.session_id).await, "{case}");
        let again = plant::invoke(&mut api, &session.session_id, "once", plant::register()).await.unwrap();
        assert!(again.result.unwrap().success, "{case}");
        assert_eq!(plant::registered(&mut api, &session.session_id).await, 1, "{case}: it was carried out once");
    }
    (struck, Some(session))
}

async fn check(struck: Struck, config: &str, case: &str, session: Option<v1::Session>, after: After) {
    let Struck { gateway, survivors } = struck;
    let mut api = plant::api(&gateway).await;
    if let Some(session) = &session {
        match after {
            Over => wait_until_over(&mut api, case, &session.session_id).await,
            Same => assert!(plant::is_ready(&mut api, &session.session_id).await, "{case}: it is not the same"),
            // What is neither yet will be one of them.
            Either => drop(plant::is_ready(&mut api, &session.session_id).await),
        }
    }
    // A client whose gateway was killed while it opened a session was told of none; there may be one all the same.
    let listed = plant::list(&mut api).await;
    assert!(listed.len() <= 1, "{case}: {listed:?}");
    let ready = listed.iter().filter(|session| session.state() == v1::SessionState::Ready).count();
    assert!(after != Over || ready == 0, "{case}: {listed:?}");
    let data = gateway.data_dir();
    if ready > 0 {
        assert_eq!(
            workers_of(&data),
            survivors,
            "{case}: what is ready has the worker that it had, and there is no other"
        );
    }
    // One whose worker cannot come is not waited for. The place of one that has faulted is taken until it is closed.
    for left in listed {
        plant::is_ready(&mut api, &left.session_id).await;
        plant::close(&mut api, &left.session_id).await;
    }
    plant::within(async {
        while !plant::list(&mut api).await.is_empty() {
            // not a wait: lets others work between two looks
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    wait_for(&format!("{case}: no worker is left"), || workers_of(&data).is_empty());
    let fresh = open(&mut api).await;
    plant::close(&mut api, &fresh.session_id).await;
    wait_for(&format!("{case}: no worker is left"), || workers_of(&data).is_empty());
    let forgotten = || unforgotten(&gateway.log()).is_empty();
    wait_for_or_tell(&format!("{case}: every worker is forgotten"), forgotten, || gateway.log());
    // Whatever is on record of a worker is told at a start.
    let (home, _) = gateway.end(Signal::TERM);
    std::fs::remove_file(home.path().join("log")).unwrap();
    let gateway = Gateway::over(home, config, TIDY);
    let log = gateway.log();
    for told in ["was being started when", "has ended while no gateway", "not configured any more", "is taken over"] {
        assert!(!log.contains(told), "{case}: something is on record:\n{log}");
    }
    let (home, _) = gateway.end(Signal::TERM);
    let data = home.path().join("data");
    wait_for(&format!("{case}: nothing is left"), || workers_of(&data).is_empty());
}

/// The workers whose processes a log tells of, but not that nothing is left of them. What it tells of a session's lost
/// worker says nothing of an entry: that may have been removed by the gateway before.
fn unforgotten(log: &str) -> BTreeSet<&str> {
    let of_processes = log.lines().filter(|line| line.contains("moorline_runtime::workers"));
    let (forgotten, told): (Vec<_>, Vec<_>) = of_processes.partition(|line| line.contains("nothing is left of it"));
    let [forgotten, told] =
        [forgotten, told].map(|lines| lines.into_iter().filter_map(worker).collect::<BTreeSet<_>>());
    &told - &forgotten
}

/// The worker that a line of a log is about.
fn worker(line: &str) -> Option<&str> {
    line.split_once("worker=")?.1.split(' ').next()
}

/// That a worker has died is not seen at once.
async fn wait_until_over(api: &mut Api, case: &str, session: &str) {
    let over = async {
        while plant::is_ready(api, session).await {
            // not a wait: lets others work between two looks
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(common::PATIENCE, over).await.unwrap_or_else(|_| panic!("{case}: it is not over"));
}

async fn run_all(during: During, cases: &[(&str, &[Victim], After)]) {
    for (point, victims, after) in cases {
        for victim in *victims {
            run(during, point, *victim, *after).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_before_a_worker_is_on_record_leaves_nothing() {
    let cases: &[(&str, &[Victim], After)] = &[
        ("intent", &[OfGateway], Over),
        ("intended", &[OfGateway], Over),
        ("spawned", &[OfGateway, Worker, Both], Over),
    ];
    run_all(During::Opening, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_while_a_worker_is_let_in_leaves_a_session_or_nothing() {
    let cases: &[(&str, &[Victim], After)] = &[
        ("recorded", &[OfGateway], Either),
        ("recorded", &[Worker, Both], Over),
        ("hello", &[OfGateway], Either),
        ("hello", &[Both], Over),
        ("admitting", &[OfGateway], Either),
        ("admitting", &[Both], Over),
        ("admitted", &[OfGateway], Either),
        ("admitted", &[Worker, Both], Over),
    ];
    run_all(During::Opening, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_during_an_adoption_the_session_is_adopted_by_the_next_or_its_worker_is_gone() {
    let cases: &[(&str, &[Victim], After)] = &[
        ("hello", &[OfGateway], Same),
        ("hello", &[Both], Over),
        ("admitting", &[OfGateway], Same),
        ("admitting", &[Worker, Both], Over),
        ("admitted", &[OfGateway], Same),
        ("admitted", &[Both], Over),
    ];
    run_all(During::Adopting, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_during_a_command_it_is_carried_out_at_most_once() {
    let cases: &[(&str, &[Victim], After)] = &[
        ("sending", &[OfGateway], Same),
        ("sending", &[Worker, Both], Over),
        ("answered", &[OfGateway], Same),
        ("answered", &[Worker, Both], Over),
    ];
    run_all(During::Command, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_during_a_close_or_a_kill_the_session_is_over() {
    run_all(During::Close, &[("gone", &[OfGateway], Over), ("removing", &[OfGateway], Over)]).await;
    let cases: &[(&str, &[Victim], After)] = &[
        // Whoever asked for it was not answered: that it was asked for may not be durable yet.
        ("killing", &[OfGateway], Either),
        ("killing", &[Worker, Both], Over),
        ("gone", &[OfGateway], Over),
        ("removing", &[OfGateway], Over),
    ];
    run_all(During::Kill, cases).await;
}
