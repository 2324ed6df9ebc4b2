//! Everything at once: jobs are submitted and cancelled while gateways and workers are killed, stopped and started again
//! at moments that a seed decides. Afterwards every job is read and compared with what its agent said.
//!
//! `MOORLINE_CHAOS_SEED` repeats a run as far as processes let it, `MOORLINE_CHAOS_SECONDS` says how long it takes;
//! `cargo xtask chaos` sets both.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::time::{Duration, Instant};

use common::survival::{COUNTING, LEAVE, assert_in_order, chances, echo, kill, pass, read, signal, workers};
use common::{Gateway, Running};
use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};

/// How long a run takes that nobody has asked for more: a few hundred jobs and some dozen kills.
const SECONDS: u64 = 60;

/// Jobs that are kept before the oldest are read: a run of hours does not grow.
const MAX_JOBS: usize = 60;

/// A job, and what may become of it.
#[derive(Debug)]
struct Submitted {
    id: String,
    agent: Agent,
    events: u64,
    /// Its cancellation was confirmed.
    cancelled: bool,
    /// Its worker was killed after it was submitted.
    may_be_lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    Echo,
    Count,
}

impl Agent {
    const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Count => "count",
        }
    }
}

struct Chaos {
    rng: Rng,
    gateway: Gateway,
    jobs: Vec<Submitted>,
    read: usize,
}

#[test]
fn every_job_is_told_whole_whoever_is_killed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let rng = chances(number("MOORLINE_CHAOS_SEED"));
    let length = Duration::from_secs(number("MOORLINE_CHAOS_SECONDS").unwrap_or(SECONDS));
    let mut chaos = Chaos { rng, gateway: Gateway::with(COUNTING, LEAVE), jobs: Vec::new(), read: 0 };
    let until = Until::after(length);
    while !until.is_over() {
        chaos = chaos.step();
    }
    while !chaos.jobs.is_empty() {
        chaos.read_oldest();
    }
    chaos.end();
}

struct Until(Instant);

#[expect(clippy::disallowed_methods, reason = "how long a run takes; other processes have no other clock")]
impl Until {
    fn after(length: Duration) -> Self {
        Self(Instant::now() + length)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}

impl Chaos {
    fn step(mut self) -> Self {
        match self.rng.u32(0..100) {
            0..50 => self.submit(),
            50..58 => self.cancel(),
            58..64 => self.stop_a_worker(),
            64..67 => self.kill_a_worker(),
            67..82 => self = self.restart(Signal::KILL),
            82..88 => self = self.restart(Signal::TERM),
            _ => pass(self.rng.u64(0..400)),
        }
        if self.jobs.len() >= MAX_JOBS {
            self.read_oldest();
        }
        self
    }

    fn submit(&mut self) {
        let events = self.rng.u64(0..200);
        let (agent, input) = if self.rng.bool() {
            let delay = if self.rng.u8(0..4) == 0 { 0 } else { self.rng.u64(1..40) };
            (Agent::Echo, echo(events.max(1), delay))
        } else {
            (Agent::Count, json!(events.max(1)))
        };
        let id = self.gateway.submit(agent.name(), &input);
        self.jobs.push(Submitted { id, agent, events: events.max(1), cancelled: false, may_be_lost: false });
    }

    fn cancel(&mut self) {
        let recent = self.jobs.len().saturating_sub(8);
        if recent == self.jobs.len() {
            return;
        }
        let pick = self.rng.usize(recent..self.jobs.len());
        let job = &mut self.jobs[pick];
        // Refused if it has ended.
        job.cancelled |= self.gateway.run(&["cancel", &job.id]).status.success();
    }

    /// A worker does nothing for a while, and then goes on.
    fn stop_a_worker(&mut self) {
        let Some((pid, _)) = self.some_worker() else { return };
        signal(pid, Signal::STOP);
        pass(self.rng.u64(0..1_000));
        signal(pid, Signal::CONT);
    }

    fn kill_a_worker(&mut self) {
        let Some((pid, agent)) = self.some_worker() else { return };
        for job in self.jobs.iter_mut().filter(|job| job.agent == agent) {
            job.may_be_lost = true;
        }
        kill(pid);
    }

    fn some_worker(&mut self) -> Option<(u32, Agent)> {
        let agent = if self.rng.bool() { Agent::Echo } else { Agent::Count };
        let scratch = format!("{}/scratch/{}@", self.gateway.data_dir().display(), agent.name());
        let of_agent = common::processes_with(&scratch);
        let pid = workers(&self.gateway).into_iter().find(|pid| of_agent.contains(pid))?;
        Some((pid, agent))
    }

    /// Ends the gateway and starts it again. Now and then a start is cut off before the gateway has said anything.
    fn restart(self, signal: Signal) -> Self {
        let Self { mut rng, gateway, jobs, read } = self;
        let (home, _) = gateway.end(signal);
        while rng.u8(0..3) == 0 {
            let mut command = common::serve(home.path(), LEAVE);
            let mut starting = Running::start(command.stderr(std::process::Stdio::null()));
            pass(rng.u64(0..500));
            starting.signal(Signal::KILL);
            starting.wait();
        }
        if rng.bool() {
            pass(rng.u64(0..1_500));
        }
        Self { gateway: Gateway::over(home, COUNTING, LEAVE), rng, jobs, read }
    }

    /// Reads the jobs of the first half to their ends.
    fn read_oldest(&mut self) {
        for job in self.jobs.drain(..self.jobs.len().div_ceil(2)) {
            check(&job, &read(&self.gateway, &job.id));
            self.read += 1;
        }
    }

    #[expect(clippy::print_stdout, reason = "what a run of minutes has done")]
    fn end(self) {
        println!("{} jobs were read", self.read);
        let (home, _) = self.gateway.end(Signal::TERM);
        let (home, _) = Gateway::over(home, COUNTING, &["--stop-workers"]).end(Signal::TERM);
        let data = home.path().join("data");
        common::wait_for("nothing is left", || common::processes_with(data.to_str().unwrap()).is_empty());
    }
}

fn check(job: &Submitted, seen: &[Value]) {
    let told = assert_in_order(seen, |n| match job.agent {
        Agent::Echo => format!("event {n} of {}", job.events),
        Agent::Count => n.to_string(),
    });
    let last = seen.last().unwrap();
    let payload = &last["payload"];
    if job.cancelled {
        assert_eq!(payload["final_status"], "cancelled", "{job:?}: {last}");
    } else if last["type"] == "job.error" {
        assert!(job.may_be_lost, "{job:?}: {last}");
        assert_eq!(
            (&payload["code"], &payload["retryable"]),
            (&json!("INTERNAL_ERROR"), &json!(true)),
            "{job:?}: {last}"
        );
    } else {
        assert_eq!(told, job.events, "{job:?}: {last}");
    }
}
