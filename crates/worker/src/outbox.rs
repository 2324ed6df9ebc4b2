//! One job's reports that the gateway has not yet said to be committed.
//!
//! Reports are numbered here, from 1, and nowhere else. They are sent in order, as often as links come and go, and
//! dropped when they are acknowledged. A window of them, bounded in number and bytes, is in memory; only what is there
//! is sent, so no more than a window is ever on its way. While no gateway is attached, what does not fit goes to a file
//! ([`spill`]) and comes back into the window as that empties. While one is, the agent waits instead: the gateway takes
//! reports in as fast as its disk does.

pub(crate) mod frame;
pub(crate) mod spill;

use std::collections::VecDeque;

use moorline_types::limits::{MAX_REPORT_WINDOW, WORKER_REPORT_WINDOW};
use moorline_types::{JobId, Timestamp, WorkerSeq};

use crate::clock;
use crate::limits::REPORT_WINDOW_BYTES;
use crate::message::{Failure, FailureCode, FromWorker, HeldJob, Report};
use spill::{Spill, SpillRoom};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Outbox {
    job: JobId,
    /// The number of the report at the front.
    first: WorkerSeq,
    waiting: VecDeque<Waiting>,
    /// What follows those that wait in memory.
    spill: Option<Spill>,
    /// How many at the front were sent on the present link.
    sent: usize,
    bytes: usize,
    finished: bool,
}

#[derive(Debug)]
struct Waiting {
    at: Timestamp,
    report: Report,
    bytes: usize,
}

/// Whether a gateway is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LinkState {
    /// One is, and takes so many reports of a job unacknowledged: what does not fit waits. Perhaps it answers questions.
    Attached { window: u64, answers: bool },
    /// None is: what does not fit goes to disk.
    #[default]
    Lost,
}

impl LinkState {
    /// How many reports of a job may be under way.
    pub(crate) const fn window(self) -> u64 {
        match self {
            Self::Attached { window, .. } => window,
            Self::Lost => WORKER_REPORT_WINDOW,
        }
    }

    /// Whether the gateway answers questions.
    pub(crate) const fn answers(self) -> bool {
        matches!(self, Self::Attached { answers: true, .. })
    }
}

/// Why a report was not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The window is full; here is the report.
    Full(Report),
    /// The last report was taken in already.
    Finished,
}

impl Outbox {
    /// An empty outbox, which can spill if there is room for that.
    pub(crate) fn new(job: JobId, room: Option<SpillRoom>) -> Self {
        let spill = room.map(|room| Spill::new(room, job));
        Self { job, first: WorkerSeq::FIRST, waiting: VecDeque::new(), spill, sent: 0, bytes: 0, finished: false }
    }

    /// Numbers a report and keeps it.
    pub(crate) fn push(&mut self, at: Timestamp, report: Report, link: LinkState) -> Result<(), Refused> {
        if self.finished {
            return Err(Refused::Finished);
        }
        let finished = report.is_terminal();
        if self.spilled() == 0 && self.has_room() {
            self.keep(at, report);
        } else {
            self.spill(at, report, link)?;
        }
        self.finished = finished;
        Ok(())
    }

    fn keep(&mut self, at: Timestamp, report: Report) {
        let bytes = report.carried_bytes();
        self.bytes += bytes;
        self.waiting.push_back(Waiting { at, report, bytes });
    }

    fn spill(&mut self, at: Timestamp, report: Report, link: LinkState) -> Result<(), Refused> {
        let seq = self.next_seq();
        let Some(spill) = self.spill.as_mut().filter(|_| link == LinkState::Lost) else {
            return Err(Refused::Full(report));
        };
        spill.push(FromWorker::Report { job: self.job, seq, at, report: report.clone() }).map_err(|error| {
            tracing::warn!(job = %self.job, error = &error as &dyn std::error::Error, "the agent waits for a gateway");
            Refused::Full(report)
        })
    }

    /// Brings what was spilled back as far as there is room.
    fn refill(&mut self) {
        while self.has_room()
            && let Some(spill) = &mut self.spill
        {
            match spill.pop() {
                Ok(Some(FromWorker::Report { at, report, .. })) => self.keep(at, report),
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(job = %self.job, error = &error as &dyn std::error::Error, "reports are lost");
                    self.spill = None;
                    let message =
                        "reports of the agent were kept on disk while no gateway was there and cannot be read back";
                    self.keep(clock::now(), Report::Failure(Failure::new(FailureCode::InternalError, message)));
                    self.finished = true;
                }
            }
        }
    }

    fn spilled(&self) -> u64 {
        self.spill.as_ref().map_or(0, Spill::reports)
    }

    fn next_seq(&self) -> WorkerSeq {
        WorkerSeq::new(self.first.get() + self.waiting.len() as u64 + self.spilled())
    }

    /// Takes out everything that is not acknowledged, in order, for the gateway that comes after this worker.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = FromWorker> {
        let job = self.job;
        self.rewind();
        std::iter::from_fn(move || {
            self.refill();
            let Waiting { at, report, bytes } = self.waiting.pop_front()?;
            let seq = self.first;
            self.first = seq.next();
            self.bytes -= bytes;
            Some(FromWorker::Report { job, seq, at, report })
        })
    }

    /// The next report that the present link has not carried, if no more than `window` are then under way.
    pub(crate) fn next(&mut self, window: u64) -> Option<FromWorker> {
        if !self.has_next(window) {
            return None;
        }
        let Waiting { at, report, .. } = self.waiting.get(self.sent)?;
        let seq = WorkerSeq::new(self.first.get() + self.sent as u64);
        self.sent += 1;
        Some(FromWorker::Report { job: self.job, seq, at: *at, report: report.clone() })
    }

    /// The last report that was made.
    pub(crate) fn last(&self) -> WorkerSeq {
        WorkerSeq::new(self.next_seq().get() - 1)
    }

    /// The last report that the present link has carried, or that is acknowledged.
    pub(crate) const fn said(&self) -> WorkerSeq {
        WorkerSeq::new(self.first.get() + self.sent as u64 - 1)
    }

    /// Whether [`Self::next`] has something.
    pub(crate) fn has_next(&self, window: u64) -> bool {
        self.sent < self.waiting.len() && (self.sent as u64) < window
    }

    /// Forgets reports up to and including `committed`. One that was never made is not believed.
    pub(crate) fn acknowledge(&mut self, committed: WorkerSeq) {
        while self.first <= committed
            && let Some(done) = self.waiting.pop_front()
        {
            self.first = self.first.next();
            self.bytes -= done.bytes;
            self.sent = self.sent.saturating_sub(1);
            self.refill();
        }
    }

    /// A new link has carried nothing yet.
    pub(crate) const fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Whether the last report was made.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the last report was made and everything is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.finished && self.waiting.is_empty() && self.spilled() == 0
    }

    /// What a new link is told about the job.
    pub(crate) fn held(&self) -> HeldJob {
        HeldJob { job: self.job, first: self.first, next: self.next_seq(), finished: self.finished }
    }

    fn has_room(&self) -> bool {
        self.waiting.is_empty() || ((self.waiting.len() as u64) < MAX_REPORT_WINDOW && self.bytes < REPORT_WINDOW_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::{EventKind, Json};
    use proptest::prelude::*;

    use super::*;
    use crate::message::Failure;

    fn outbox() -> Outbox {
        Outbox::new(JobId::mint(Timestamp::from_unix_millis(1), [1; 10]), None)
    }

    fn event(bytes: usize) -> Report {
        Report::Event {
            kind: EventKind::Thought,
            body: Json::of(&serde_json::json!({ "text": "x".repeat(bytes) })).unwrap(),
        }
    }

    fn push(outbox: &mut Outbox, report: Report) -> Result<(), Refused> {
        outbox.push(
            Timestamp::from_unix_millis(1),
            report,
            LinkState::Attached { window: MAX_REPORT_WINDOW, answers: true },
        )
    }

    fn sent(outbox: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| outbox.next(MAX_REPORT_WINDOW))
            .map(|message| {
                let FromWorker::Report { seq, .. } = message else { panic!("not a report: {message:?}") };
                seq.get()
            })
            .collect()
    }

    #[test]
    fn nothing_follows_the_last_report() {
        let mut outbox = outbox();
        push(&mut outbox, Report::Failure(Failure::cancelled())).unwrap();
        assert_eq!(push(&mut outbox, event(1)), Err(Refused::Finished));
        assert!(!outbox.is_settled());
        outbox.acknowledge(WorkerSeq::FIRST);
        assert!(outbox.is_settled());
        assert_eq!(push(&mut outbox, event(1)), Err(Refused::Finished));
    }

    #[test]
    fn a_full_window_hands_the_report_back() {
        let mut outbox = outbox();
        for _ in 0..MAX_REPORT_WINDOW {
            push(&mut outbox, event(1)).unwrap();
        }
        assert_eq!(push(&mut outbox, event(7)), Err(Refused::Full(event(7))));
        outbox.acknowledge(WorkerSeq::FIRST);
        push(&mut outbox, event(7)).unwrap();
    }

    #[test]
    fn no_more_is_under_way_than_the_link_takes() {
        let mut outbox = outbox();
        for _ in 0..10 {
            push(&mut outbox, event(1)).unwrap();
        }
        for (acknowledged, sent) in [(0, 4), (3, 7), (3, 7), (7, 10), (10, 10)] {
            outbox.acknowledge(WorkerSeq::new(acknowledged));
            while outbox.next(4).is_some() {}
            assert_eq!(outbox.first.get() + outbox.sent as u64, sent + 1, "{acknowledged} acknowledged");
        }
    }

    #[test]
    fn large_reports_fill_the_window_by_their_bytes_but_one_always_fits() {
        let mut outbox = outbox();
        push(&mut outbox, event(REPORT_WINDOW_BYTES)).unwrap();
        assert!(matches!(push(&mut outbox, event(1)), Err(Refused::Full(_))));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_made_forgets_only_what_was() {
        let mut outbox = outbox();
        push(&mut outbox, event(1)).unwrap();
        outbox.acknowledge(WorkerSeq::new(99));
        push(&mut outbox, event(1)).unwrap();
        assert_eq!(sent(&mut outbox), [2]);
    }

    fn spilling(directory: &std::path::Path) -> Outbox {
        let room = SpillRoom::new(directory.join("outbox"));
        Outbox::new(JobId::mint(Timestamp::from_unix_millis(1), [1; 10]), Some(room))
    }

    fn push_alone(outbox: &mut Outbox, report: Report) -> Result<(), Refused> {
        outbox.push(Timestamp::from_unix_millis(1), report, LinkState::Lost)
    }

    #[test]
    fn without_a_gateway_reports_go_to_a_private_file_and_come_back_in_order() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let mut outbox = spilling(home.path());
        let many = 3 * MAX_REPORT_WINDOW;
        for n in 1..=many {
            push_alone(&mut outbox, event(usize::try_from(n % 500).unwrap())).unwrap();
        }
        let file = std::fs::read_dir(home.path().join("outbox")).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(push(&mut outbox, event(1)), Err(Refused::Full(event(1))), "a gateway that is there is waited for");
        let mut seen = Vec::new();
        loop {
            let next = sent(&mut outbox);
            let Some(last) = next.last() else { break };
            assert!(next.len() as u64 <= MAX_REPORT_WINDOW, "no more than a window is on its way");
            outbox.acknowledge(WorkerSeq::new(*last));
            seen.extend(next);
        }
        assert_eq!(seen, (1..=many).collect::<Vec<_>>());
        assert!(!home.path().join("outbox").exists(), "nothing is left behind");
    }

    #[test]
    fn a_file_that_is_damaged_ends_the_job_and_says_so() {
        let home = tempfile::tempdir().unwrap();
        let mut outbox = spilling(home.path());
        for _ in 0..2 * MAX_REPORT_WINDOW {
            push_alone(&mut outbox, event(10)).unwrap();
        }
        let file = std::fs::read_dir(home.path().join("outbox")).unwrap().next().unwrap().unwrap();
        std::fs::write(file.path(), vec![b'x'; 1024 * 1024]).unwrap();
        sent(&mut outbox);
        outbox.acknowledge(WorkerSeq::new(MAX_REPORT_WINDOW));
        let next = outbox.next(MAX_REPORT_WINDOW);
        assert!(matches!(next, Some(FromWorker::Report { report: Report::Failure(_), .. })), "{next:?}");
        assert!(outbox.is_finished());
    }

    #[test]
    fn what_is_left_at_the_end_of_a_worker_reads_back_whole() {
        let home = tempfile::tempdir().unwrap();
        let mut outbox = spilling(home.path());
        for _ in 0..MAX_REPORT_WINDOW + 10 {
            push_alone(&mut outbox, event(1)).unwrap();
        }
        sent(&mut outbox);
        outbox.acknowledge(WorkerSeq::new(3));
        push_alone(&mut outbox, Report::Failure(Failure::cancelled())).unwrap();
        crate::leftover::write(home.path(), outbox.job, outbox.drain()).unwrap();
        let mut found = crate::leftover::find(home.path()).unwrap();
        assert_eq!((found.len(), found[0].job()), (1, outbox.job));
        let reports: Vec<_> = std::iter::from_fn(|| found[0].next_report()).collect();
        let seqs = |message: &FromWorker| {
            let FromWorker::Report { seq, .. } = message else { panic!("not a report: {message:?}") };
            seq.get()
        };
        assert_eq!(reports.iter().map(seqs).collect::<Vec<_>>(), (4..=MAX_REPORT_WINDOW + 11).collect::<Vec<_>>());
        assert!(matches!(reports.last(), Some(FromWorker::Report { report: Report::Failure(_), .. })));
    }

    proptest! {
        // Each case fills windows and files.
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The same with a link that comes and goes, so that some of it is on disk.
        #[test]
        fn what_was_on_disk_is_carried_like_the_rest(steps in proptest::collection::vec((0_u8..4, 1_u64..6_000), 0..40)) {
            let home = tempfile::tempdir().unwrap();
            let mut outbox = spilling(home.path());
            let (mut made, mut acknowledged, mut carried) = (0_u64, 0_u64, 0_u64);
            for (step, many) in steps {
                match step {
                    0 => for _ in 0..many {
                        made += u64::from(push_alone(&mut outbox, event(1)).is_ok());
                    },
                    1 => for _ in 0..many {
                        made += u64::from(push(&mut outbox, event(1)).is_ok());
                    },
                    2 => carried = sent(&mut outbox).last().copied().unwrap_or(carried),
                    _ => {
                        acknowledged = (acknowledged + many).min(carried);
                        outbox.acknowledge(WorkerSeq::new(acknowledged));
                    }
                }
                let held = outbox.held();
                prop_assert_eq!(held.first.get(), acknowledged + 1);
                prop_assert_eq!(held.next.get(), made + 1);
            }
            outbox.rewind();
            let mut rest: Vec<u64> = Vec::new();
            while let Some(last) = { let next = sent(&mut outbox); rest.extend(&next); next.last().copied() } {
                outbox.acknowledge(WorkerSeq::new(last));
            }
            prop_assert_eq!(rest, (acknowledged + 1..=made).collect::<Vec<_>>());
        }
    }

    proptest! {
        /// Whatever the order of pushing, sending, acknowledging and losing the link: what is sent after a rewind is
        /// exactly what is not acknowledged, in order and without a hole.
        #[test]
        fn a_new_link_carries_what_is_not_acknowledged(steps in proptest::collection::vec(0_u8..4, 0..200)) {
            let mut outbox = outbox();
            let (mut made, mut acknowledged, mut carried) = (0_u64, 0_u64, 0_u64);
            for step in steps {
                match step {
                    0 | 1 => made += u64::from(push(&mut outbox, event(1)).is_ok()),
                    2 => carried = sent(&mut outbox).last().copied().unwrap_or(carried),
                    _ => {
                        acknowledged = (acknowledged + 1).min(carried);
                        outbox.acknowledge(WorkerSeq::new(acknowledged));
                    }
                }
                let held = outbox.held();
                prop_assert_eq!(held.first.get(), acknowledged + 1);
                prop_assert_eq!(held.next.get(), made + 1);
            }
            outbox.rewind();
            prop_assert_eq!(sent(&mut outbox), (acknowledged + 1..=made).collect::<Vec<_>>());
        }
    }
}
