//! Everything together, and what may happen to it.

use moorline_core::job::Job;
use moorline_core::record::Overflow;
use moorline_types::{JobId, Millis, StreamSeq, Timestamp};

use super::Tally;
use super::job::{JobRun, LIMITS};
use super::session::SessionRun;
use crate::bytes::Decisions;
use crate::journal::Journal;

/// Jobs of one sequence.
const MAX_JOBS: usize = 40;

/// Operations are about the jobs that were accepted last, so that they meet.
const RECENT_JOBS: usize = 3;

/// Reads after which a session has seen everything that one sequence records.
const MAX_READS: usize = 10_000;

/// Sessions of one sequence.
const MAX_SESSIONS: usize = 3;

#[derive(Debug)]
pub(super) struct World {
    now: Timestamp,
    journal: Journal,
    jobs: Vec<JobRun>,
    sessions: Vec<SessionRun>,
    tally: Tally,
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            now: Timestamp::from_unix_millis(1_000_000),
            journal: Journal::default(),
            jobs: Vec::new(),
            sessions: Vec::new(),
            tally: Tally::default(),
        };
        world.open();
        world
    }
}

impl World {
    pub(super) fn open(&mut self) {
        if let Some(number) = u8::try_from(self.sessions.len()).ok().filter(|_| self.sessions.len() < MAX_SESSIONS) {
            self.sessions.push(SessionRun::open(self.now, number, &mut self.journal));
        }
    }

    pub(super) fn submit(&mut self, decisions: &mut Decisions<'_>) {
        let Some(session) = connected(&mut self.sessions, decisions) else { return };
        let Some(number) = u8::try_from(self.jobs.len()).ok().filter(|_| self.jobs.len() < MAX_JOBS) else { return };
        let id = JobId::mint(self.now, [number; 10]);
        let accepted = serde_json::from_value(serde_json::json!({
            "session": session.id().to_string(), "principal": "ada", "agent": "echo", "version": "1.0.0",
            "input": null, "lease": {}, "max_runtime_sec": decisions.flag().then_some(20),
            "expires_at": decisions.flag().then(|| self.now + Millis::from_secs(15)),
        }));
        let mut job = Job::accept(self.now, id, accepted.unwrap(), LIMITS);
        let batch = job.poll_append().unwrap();
        session.submit(self.now, id, batch, &mut self.journal);
        job.handle_committed(self.now);
        self.jobs.push(JobRun::new(job));
        self.tally.jobs += 1;
    }

    pub(super) fn attach(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(job) = recent(&mut self.jobs, decisions) {
            job.attach(now);
        }
    }

    pub(super) fn report(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(job) = recent(&mut self.jobs, decisions) {
            job.report(now, decisions);
        }
    }

    pub(super) fn cancel(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(run) = recent(&mut self.jobs, decisions) {
            let over = run.job.status().is_terminal();
            assert_eq!(run.job.handle_cancel(now, None, None).is_err(), over);
        }
    }

    pub(super) fn lose_worker(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(job) = recent(&mut self.jobs, decisions) {
            job.lose_worker(now);
        }
    }

    pub(super) fn abandon(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(run) = recent(&mut self.jobs, decisions) {
            run.job.handle_abandoned(now, "the gateway cannot go on".to_owned());
        }
    }

    pub(super) fn pass(&mut self, decisions: &mut Decisions<'_>) {
        let millis = u64::from(decisions.byte()).pow(2) * 10;
        self.now = self.now + Millis::new(millis);
        self.jobs.iter_mut().for_each(|run| run.job.handle_timeout(self.now));
    }

    /// The store is offered something, takes it, or refuses it.
    pub(super) fn store(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        let Some(job) = recent(&mut self.jobs, decisions) else { return };
        match decisions.below(4) {
            0 => job.offer(),
            1 => job.refuse(now),
            2 => job.commit(now, &mut self.journal),
            _ => {
                job.offer();
                job.commit(now, &mut self.journal);
            }
        }
    }

    pub(super) fn read(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(session) = any(&mut self.sessions, decisions) {
            session.read(now, decisions.below(8) + 1, &mut self.journal);
        }
    }

    pub(super) fn drop_connection(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(session) = any(&mut self.sessions, decisions) {
            session.drop_connection(now, decisions.flag());
        }
    }

    pub(super) fn resume(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(session) = any(&mut self.sessions, decisions) {
            let (forgotten, lost) = (decisions.below(12), decisions.below(4) == 3);
            session.resume(now, forgotten, lost, &self.journal);
            self.tally.resumed += 1;
        }
    }

    pub(super) fn subscribe(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        let Some(job) = recent(&mut self.jobs, decisions).map(|run| run.job.id()) else { return };
        let Some(session) = connected(&mut self.sessions, decisions) else { return };
        let history = (decisions.below(4) > 0).then(|| StreamSeq::new(decisions.below(6) as u64 + 1));
        let overflow = match decisions.below(4) {
            0 => Overflow::CatchUp,
            1 => Overflow::Skip,
            2 => Overflow::Latest,
            _ => Overflow::Disconnect,
        };
        self.tally.subscribed += usize::from(session.subscribe(now, job, history, overflow, &mut self.journal));
    }

    pub(super) fn unsubscribe(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        let Some(job) = recent(&mut self.jobs, decisions).map(|run| run.job.id()) else { return };
        if let Some(session) = connected(&mut self.sessions, decisions) {
            session.unsubscribe(now, job, &mut self.journal);
        }
    }

    pub(super) fn acknowledge(&mut self, decisions: &mut Decisions<'_>) {
        if let Some(session) = connected(&mut self.sessions, decisions) {
            session.acknowledge(usize::from(decisions.byte()));
        }
    }

    pub(super) fn notify(&mut self, decisions: &mut Decisions<'_>) {
        let now = self.now;
        if let Some(session) = connected(&mut self.sessions, decisions) {
            session.notify(now, &mut self.journal);
        }
    }

    /// The gateway is killed, and started again.
    pub(super) fn crash(&mut self) {
        self.tally.crashes += 1;
        for (n, job) in self.jobs.iter_mut().enumerate() {
            job.crash(self.now, &mut self.journal, n % 2 == 0);
        }
        self.sessions.iter_mut().for_each(|session| session.drop_connection(self.now, false));
    }

    /// Every job ends, every client comes back and reads everything.
    pub(super) fn end(mut self) -> Tally {
        for job in &mut self.jobs {
            job.commit(self.now, &mut self.journal);
            // One that is over refuses.
            let _over = job.job.handle_cancel(self.now, None, None).is_err();
            for _ in 0..3 {
                self.now = self.now + Millis::from_secs(3_600);
                job.job.handle_timeout(self.now);
                job.settle(self.now, &mut self.journal);
            }
        }
        for job in &self.jobs {
            job.check(&self.journal);
        }
        for session in &mut self.sessions {
            if session.connection.is_none() {
                session.resume(self.now, 2, false, &self.journal);
            }
            let reads = (0..MAX_READS).take_while(|_| session.read(self.now, 5, &mut self.journal)).count();
            assert!(reads < MAX_READS, "reading does not come to an end");
            self.tally.given += session.check(&self.journal);
        }
        self.tally
    }
}

fn any<'a, T>(all: &'a mut [T], decisions: &mut Decisions<'_>) -> Option<&'a mut T> {
    let index = decisions.index(all.len())?;
    all.get_mut(index)
}

/// One of the jobs that were accepted last.
fn recent<'a>(jobs: &'a mut [JobRun], decisions: &mut Decisions<'_>) -> Option<&'a mut JobRun> {
    let first = jobs.len().saturating_sub(RECENT_JOBS);
    any(jobs.get_mut(first..)?, decisions)
}

/// A session that has a connection, if the one that is chosen has.
fn connected<'a>(all: &'a mut [SessionRun], decisions: &mut Decisions<'_>) -> Option<&'a mut SessionRun> {
    any(all, decisions).filter(|session| session.connection.is_some())
}
