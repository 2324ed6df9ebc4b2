//! The life of a job, told as what happens and what comes of it.

#![expect(clippy::disallowed_methods, reason = "the tests stand in for a store")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the cases that it is about")]

use moorline_types::{EventKind, Json, Record, WorkerId, limits};
use proptest::prelude::*;

use super::*;
use crate::Refusal;
use crate::credential::Provisioned;
use crate::record::tests::plain;
use crate::record::{Output, Success};

mod authority;

const LIMITS: JobLimits = JobLimits {
    cancel_grace: Millis::from_secs(30),
    max_pending: Millis::from_secs(300),
    delegation: DelegationLimits::DEFAULT,
    tracing: Participation::DEFAULT,
};
const FENCE: Fence = Fence::FIRST;

fn worker() -> WorkerId {
    WorkerId::mint(Timestamp::from_unix_millis(1), [3; 10])
}

mod credentials;

/// A job with a store that commits at once, or not.
struct Bench {
    job: Job,
    now: Timestamp,
    journal: Vec<Record>,
    effects: Vec<Effect>,
}

impl Bench {
    fn accepted(max_runtime_sec: Option<u64>) -> Self {
        Self::leased(max_runtime_sec, None)
    }

    /// With a lease that ends after so long.
    fn leased(max_runtime_sec: Option<u64>, lease: Option<Millis>) -> Self {
        Self::with_lease("{}", max_runtime_sec, lease)
    }

    fn with_lease(grants: &str, max_runtime_sec: Option<u64>, lease: Option<Millis>) -> Self {
        Self::with(grants, max_runtime_sec, lease, Vec::new())
    }

    fn with(grants: &str, max_runtime_sec: Option<u64>, lease: Option<Millis>, credentials: Vec<Provisioned>) -> Self {
        let now = Timestamp::from_unix_millis(1_000_000);
        let expires_at = lease.map(|lease| now + lease);
        let accepted = Accepted { max_runtime_sec, expires_at, credentials, ..plain(grants) };
        let job = Job::accept(now, JobId::mint(now, [2; 10]), accepted, LIMITS);
        Self { job, now, journal: Vec::new(), effects: Vec::new() }
    }

    fn running(max_runtime_sec: Option<u64>) -> Self {
        Self::accepted(max_runtime_sec).taken_up()
    }

    fn taken_up(mut self) -> Self {
        self.settle();
        self.job.handle_attached(self.now, worker(), FENCE);
        self.settle();
        self.effects.clear();
        self
    }

    /// The store takes everything that is decided.
    fn settle(&mut self) {
        while let Some(batch) = self.job.poll_append() {
            self.journal.extend(batch.records);
            self.job.handle_committed(self.now);
        }
        self.effects.extend(std::iter::from_fn(|| self.job.poll_effect()));
    }

    /// The gateway dies, and the next one makes the job anew from what was committed.
    fn restart(&mut self) {
        self.effects.clear();
        self.job = Job::recover(self.now, self.job.id(), committed(&self.journal), LIMITS).unwrap();
    }

    fn pass(&mut self, length: Millis) {
        self.now = self.now + length;
        self.job.handle_timeout(self.now);
    }

    fn report(&mut self, worker_seq: u64, report: Report) -> Result<(), ReportError> {
        self.job.handle_report(self.now, FENCE, WorkerSeq::new(worker_seq), report)
    }

    fn endings(&self) -> Vec<Status> {
        let fact = |record: &Record| Fact::decode(record).unwrap();
        self.journal
            .iter()
            .filter_map(|record| match fact(record) {
                Fact::Result(_) => Some(Status::Success),
                Fact::Error(failure) => Some(Status::of(failure.cause)),
                _ => None,
            })
            .collect()
    }
}

fn committed(journal: &[Record]) -> impl Iterator<Item = moorline_types::Committed<std::sync::Arc<Record>>> {
    let offsets = (1..).map(moorline_types::Offset::new);
    offsets.zip(journal).map(|(at, record)| moorline_types::Committed::attest(at, std::sync::Arc::new(record.clone())))
}

fn event(kind: EventKind) -> Report {
    Report::Event { kind, ts: Timestamp::from_unix_millis(7), body: Json::parse("{}").unwrap() }
}

fn result() -> Report {
    Report::Result { output: Output::Inline(Json::parse("42").unwrap()), summary: None }
}

fn failure() -> Report {
    Report::Failure { cause: Cause::Agent, message: "no".into(), retryable: true, details: None }
}

#[test]
fn a_job_that_goes_well_is_recorded_in_order_and_released_once() {
    let mut bench = Bench::accepted(None);
    bench.settle();
    assert_eq!(bench.effects, [Effect::Dispatch]);
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.report(1, event(EventKind::Log)).unwrap();
    bench.report(2, result()).unwrap();
    bench.settle();
    let kinds: Vec<_> = bench.journal.iter().map(|record| (record.seq.get(), record.kind)).collect();
    use moorline_types::RecordKind as Kind;
    assert_eq!(kinds, [(1, Kind::JobAccepted), (2, Kind::JobStarted), (3, Kind::JobEvent), (4, Kind::JobResult)]);
    assert_eq!(
        bench.effects,
        [Effect::Dispatch, Effect::Acknowledge { fence: FENCE, worker_seq: WorkerSeq::new(2) }, Effect::Release]
    );
    assert_eq!(bench.job.status(), Status::Success);
}

#[test]
fn nothing_happens_outside_before_it_is_committed() {
    let mut bench = Bench::accepted(None);
    assert!(bench.job.poll_append().is_some());
    assert_eq!(bench.job.poll_append(), None, "one batch at a time");
    assert_eq!(bench.job.poll_effect(), None);
    bench.job.handle_committed(bench.now);
    assert_eq!(bench.job.poll_effect(), Some(Effect::Dispatch));

    let mut bench = Bench::running(None);
    bench.report(1, event(EventKind::Log)).unwrap();
    assert!(bench.job.poll_append().is_some());
    assert_eq!(bench.job.poll_effect(), None, "a report is acknowledged when it cannot be lost");
}

#[test]
fn a_refused_batch_is_offered_again_with_the_same_numbers() {
    let mut bench = Bench::running(None);
    bench.report(1, event(EventKind::Log)).unwrap();
    let first = bench.job.poll_append().unwrap();
    bench.job.handle_refused(bench.now);
    bench.report(2, event(EventKind::Log)).unwrap();
    assert_eq!(bench.job.poll_append(), None, "not before its time");
    let deadline = bench.job.poll_timeout().unwrap();
    assert_eq!((deadline.at, deadline.why), (bench.now + limits::APPEND_RETRY_DELAY, DeadlineReason::RetryAppend));
    bench.pass(limits::APPEND_RETRY_DELAY);
    assert_eq!(bench.job.poll_append().unwrap(), first);
    bench.job.handle_committed(bench.now);
    bench.settle();
    assert_eq!(bench.job.head(), StreamSeq::new(4));
}

#[test]
fn a_report_that_comes_again_is_acknowledged_and_not_recorded() {
    let mut bench = Bench::running(None);
    for _ in 0..3 {
        bench.report(1, event(EventKind::Log)).unwrap();
        bench.settle();
    }
    assert_eq!(bench.journal.len(), 3);
    let acknowledge = Effect::Acknowledge { fence: FENCE, worker_seq: WorkerSeq::FIRST };
    assert_eq!(bench.effects, [acknowledge.clone(), acknowledge.clone(), acknowledge]);
}

#[test]
fn a_report_that_skips_a_number_or_comes_from_elsewhere_is_refused() {
    let mut bench = Bench::running(None);
    let gap = ReportError::Gap { expected: WorkerSeq::FIRST, got: WorkerSeq::new(2) };
    assert_eq!(bench.report(2, result()), Err(gap));
    let other = Fence::new(99);
    let stale = ReportError::Stale { got: other, current: Some(FENCE) };
    assert_eq!(bench.job.handle_report(bench.now, other, WorkerSeq::FIRST, result()), Err(stale));
    bench.settle();
    assert_eq!(bench.endings(), []);
}

#[test]
fn cancelling_a_running_job_is_confirmed_then_told_to_the_worker_then_ends_it() {
    let mut bench = Bench::running(None);
    let confirmed_at = bench.job.handle_cancel(bench.now, None, Some("enough".into())).unwrap();
    assert!(bench.job.head() < confirmed_at);
    bench.settle();
    assert_eq!(bench.job.head(), confirmed_at);
    let cancel = Effect::Cancel { fence: FENCE, reason: "enough".into(), grace: LIMITS.cancel_grace };
    assert_eq!(bench.effects, [cancel]);
    bench.report(1, result()).unwrap();
    bench.settle();
    assert_eq!(bench.endings(), [Status::Cancelled], "a result after the confirmation does not undo it");
    assert_eq!(bench.effects.last(), Some(&Effect::Release));
    assert!(!bench.effects.contains(&Effect::Kill { fence: FENCE }), "the worker is done by itself");
}

#[test]
fn a_second_cancel_is_confirmed_by_the_same_record() {
    let mut bench = Bench::running(None);
    bench.job.handle_cancel(bench.now, None, None).unwrap();
    bench.settle();
    let again = bench.job.handle_cancel(bench.now, None, None).unwrap();
    assert!(again <= bench.job.head());
    bench.settle();
    assert_eq!(bench.effects.len(), 1);
}

#[test]
fn cancelling_a_job_that_no_worker_has_ends_it_at_once() {
    let mut bench = Bench::accepted(None);
    bench.settle();
    bench.job.handle_cancel(bench.now, None, None).unwrap();
    bench.settle();
    assert_eq!(bench.endings(), [Status::Cancelled]);
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.settle();
    assert_eq!(bench.effects.last(), Some(&Effect::Kill { fence: FENCE }), "a worker that took it up too late stops");
}

#[test]
fn a_cancel_that_overtakes_the_start_reaches_the_worker_once() {
    let mut bench = Bench::accepted(None);
    bench.settle();
    bench.job.handle_cancel(bench.now, None, None).unwrap();
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.effects.clear();
    bench.settle();
    assert_eq!(bench.effects.len(), 1, "{:?}", bench.effects);
}

#[test]
fn an_agent_that_does_not_heed_a_cancel_is_ended_by_force() {
    let mut bench = Bench::running(None);
    bench.job.handle_cancel(bench.now, None, None).unwrap();
    bench.settle();
    bench.effects.clear();
    let Deadline { at, why } = bench.job.poll_timeout().unwrap();
    assert_eq!(why, DeadlineReason::CancelGrace);
    bench.pass(at.since(bench.now));
    bench.settle();
    assert_eq!(bench.endings(), [Status::Cancelled]);
    assert_eq!(bench.effects, [Effect::Kill { fence: FENCE }, Effect::Release]);
}

#[test]
fn a_job_that_runs_too_long_times_out_and_is_killed() {
    let mut bench = Bench::running(Some(5));
    assert_eq!(bench.job.poll_timeout().map(|deadline| deadline.why), Some(DeadlineReason::MaxRuntime));
    bench.pass(Millis::from_secs(5));
    bench.report(1, result()).unwrap();
    bench.settle();
    assert_eq!(bench.endings(), [Status::TimedOut], "the result came too late");
    assert_eq!(bench.job.handle_cancel(bench.now, None, None), Err(Refusal::JobEnded { status: Status::TimedOut }));
}

/// Whether or not its agent ever asks for anything (spec 9.5).
#[test]
fn a_job_ends_with_its_lease_and_a_moment_of_grace() {
    let lease = Millis::from_secs(60);
    for running in [true, false] {
        let mut bench = Bench::leased(Some(600), Some(lease));
        bench.settle();
        if running {
            bench.job.handle_attached(bench.now, worker(), FENCE);
            bench.settle();
        }
        bench.effects.clear();
        let due = bench.now + lease + limits::LEASE_EXPIRY_GRACE;
        assert_eq!(bench.job.poll_timeout(), Some(Deadline { at: due, why: DeadlineReason::LeaseExpiry }));
        bench.pass(lease);
        bench.settle();
        assert_eq!(bench.endings(), [], "clocks differ");
        bench.pass(limits::LEASE_EXPIRY_GRACE);
        bench.settle();
        assert_eq!(bench.endings(), [Status::Error]);
        let Fact::Error(failure) = Fact::decode(bench.journal.last().unwrap()).unwrap() else { panic!("no error") };
        assert_eq!((failure.cause, failure.retryable), (Cause::LeaseExpired, false));
        assert_eq!(bench.effects.contains(&Effect::Kill { fence: FENCE }), running, "{:?}", bench.effects);
    }
}

/// The time goes on while no gateway is there.
#[test]
fn a_lease_that_ended_while_the_gateway_was_away_ends_the_job_at_the_next_start() {
    let mut bench = Bench::leased(None, Some(Millis::from_secs(60)));
    bench.settle();
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.settle();
    bench.now = bench.now + Millis::from_secs(3_600);
    bench.restart();
    bench.pass(Millis::new(0));
    bench.settle();
    assert_eq!(bench.endings(), [Status::Error]);
}

#[test]
fn a_job_that_was_cancelled_before_its_lease_ended_is_cancelled() {
    let mut bench = Bench::leased(None, Some(Millis::from_secs(5)));
    bench.settle();
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.settle();
    bench.job.handle_cancel(bench.now, None, None).unwrap();
    bench.settle();
    bench.pass(Millis::from_secs(6));
    bench.settle();
    assert_eq!(bench.endings(), [Status::Cancelled]);
}

#[test]
fn a_job_that_no_worker_takes_up_ends_and_says_so() {
    let mut bench = Bench::accepted(Some(5));
    bench.settle();
    assert_eq!(bench.job.poll_timeout().map(|deadline| deadline.why), Some(DeadlineReason::MaxPending));
    bench.pass(LIMITS.max_pending);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Error]);
}

#[test]
fn a_job_ends_with_its_worker() {
    let mut bench = Bench::running(None);
    let other = WorkerId::mint(bench.now, [9; 10]);
    bench.job.handle_worker_lost(bench.now, other, Lost::Ended);
    assert_eq!(bench.job.status(), Status::Running, "another worker's end is not this job's");
    bench.job.handle_worker_lost(bench.now, worker(), Lost::Ended);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Error]);
    assert_eq!(bench.effects, [Effect::Release]);
}

#[test]
fn reports_after_the_end_are_acknowledged_and_dropped() {
    let mut bench = Bench::running(Some(1));
    bench.pass(Millis::from_secs(1));
    bench.settle();
    bench.effects.clear();
    let records = bench.journal.len();
    bench.report(1, event(EventKind::Log)).unwrap();
    bench.settle();
    assert_eq!(bench.journal.len(), records);
    assert_eq!(bench.effects, [Effect::Acknowledge { fence: FENCE, worker_seq: WorkerSeq::FIRST }]);
}

#[test]
fn an_inline_result_after_a_streamed_part_is_the_agents_error() {
    let mut bench = Bench::running(None);
    bench.report(1, event(EventKind::ResultChunk)).unwrap();
    bench.report(2, result()).unwrap();
    bench.settle();
    assert_eq!(bench.endings(), [Status::Error]);
}

/// The next gateway reads little of an event, and knows of it what the one before knew.
#[test]
fn a_job_that_was_made_anew_knows_that_it_streams_and_what_was_reported() {
    let mut bench = Bench::running(None);
    bench.report(1, event(EventKind::ResultChunk)).unwrap();
    bench.report(2, event(EventKind::Log)).unwrap();
    bench.settle();
    bench.restart();
    assert_eq!((bench.job.acknowledged().get(), bench.job.head().get()), (2, 4));
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.report(2, event(EventKind::Log)).unwrap();
    bench.report(3, result()).unwrap();
    bench.settle();
    assert_eq!((bench.job.head().get(), bench.endings()), (5, vec![Status::Error]));
}

#[test]
fn one_batch_is_bounded_and_the_rest_follows() {
    let mut bench = Bench::running(None);
    let many = limits::MAX_BATCH_RECORDS as u64 + 10;
    for n in 1..=many {
        bench.report(n, event(EventKind::Log)).unwrap();
    }
    assert_eq!(bench.job.poll_append().unwrap().records.len(), limits::MAX_BATCH_RECORDS);
    bench.job.handle_committed(bench.now);
    assert_eq!(bench.job.poll_append().unwrap().records.len(), 10);
}

/// What may happen to a job, in any order.
#[derive(Debug, Clone)]
enum Step {
    Start,
    Event,
    Result,
    Failure,
    Cancel,
    WorkerLost,
    Abandon,
    Pass(u64),
    Offer,
    Commit,
    Refuse,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Start),
        Just(Step::Event),
        Just(Step::Result),
        Just(Step::Failure),
        Just(Step::Cancel),
        Just(Step::WorkerLost),
        Just(Step::Abandon),
        (0_u64..40_000).prop_map(Step::Pass),
        Just(Step::Offer),
        Just(Step::Commit),
        Just(Step::Refuse),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn whatever_races_there_is_one_ending_and_no_hole(steps in steps()) {
        let mut bench = Bench::accepted(Some(20));
        let mut worker_seq = 0;
        let mut offered: Option<Batch> = None;
        for step in steps {
            match step {
                Step::Start => bench.job.handle_attached(bench.now, worker(), FENCE),
                Step::Event | Step::Result | Step::Failure => {
                    let report = match step {
                        Step::Result => result(),
                        Step::Failure => failure(),
                        _ => event(EventKind::Log),
                    };
                    if bench.report(worker_seq + 1, report).is_ok() {
                        worker_seq += 1;
                    }
                }
                Step::Cancel => drop(bench.job.handle_cancel(bench.now, None, None)),
                Step::WorkerLost => bench.job.handle_worker_lost(bench.now, worker(), Lost::Away),
                Step::Abandon => bench.job.handle_abandoned(bench.now, "test".into()),
                Step::Pass(millis) => bench.pass(Millis::new(millis)),
                Step::Offer => offered = bench.job.poll_append().or(offered),
                Step::Commit => if let Some(batch) = offered.take() {
                    bench.journal.extend(batch.records);
                    bench.job.handle_committed(bench.now);
                },
                Step::Refuse => if offered.take().is_some() {
                    bench.job.handle_refused(bench.now);
                },
            }
        }
        if let Some(batch) = offered.take() {
            bench.journal.extend(batch.records);
            bench.job.handle_committed(bench.now);
        }
        // A client cancels, an uncooperative agent is ended by force: every job ends.
        drop(bench.job.handle_cancel(bench.now, None, None));
        bench.settle();
        bench.pass(Millis::from_secs(3_600));
        bench.settle();
        bench.pass(Millis::from_secs(3_600));
        bench.settle();

        let numbers: Vec<_> = bench.journal.iter().map(|record| record.seq.get()).collect();
        prop_assert_eq!(numbers, (1..=bench.journal.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(bench.endings().len(), 1);
        prop_assert!(bench.journal.last().is_some_and(|record| Fact::decode(record).is_ok_and(|fact| {
            matches!(fact, Fact::Result(Success { .. }) | Fact::Error(_))
        })), "the ending is the last record");
        prop_assert_eq!(bench.endings()[0], bench.job.status());
        prop_assert_eq!(bench.effects.iter().filter(|effect| **effect == Effect::Release).count(), 1);

        let recovered = Job::recover(bench.now, bench.job.id(), committed(&bench.journal), LIMITS).unwrap();
        prop_assert_eq!(recovered.status(), bench.job.status());
        prop_assert_eq!(recovered.head(), bench.job.head());
    }

    /// A worker goes on through any number of gateways, which may die between any two steps: everything that it
    /// reports is recorded once and in order, and the job has one ending.
    #[test]
    fn a_job_goes_on_through_any_number_of_gateways(steps in proptest::collection::vec(0_u8..6, 0..80)) {
        let mut bench = Bench::running(None);
        let mut fence = FENCE;
        let mut reported = 0;
        for step in steps.into_iter().chain([4, 5]) {
            match step {
                // The worker makes another report.
                0 => reported += 1,
                // It sends what it has not seen acknowledged, of which some was sent before.
                1 | 2 => for n in bench.job.acknowledged().get() + 1..=reported {
                    bench.job.handle_report(bench.now, fence, WorkerSeq::new(n), event(EventKind::Log)).unwrap();
                },
                3 => bench.settle(),
                // What was decided and not committed is lost with the gateway.
                4 => {
                    bench.restart();
                    prop_assert_eq!(bench.job.status(), Status::Running);
                    let stale = bench.job.handle_report(bench.now, fence, WorkerSeq::FIRST, result());
                    prop_assert!(stale.is_err(), "the worker is not attached to this gateway");
                    fence = fence.next();
                    bench.job.handle_attached(bench.now, worker(), fence);
                }
                _ => {
                    fence = fence.next();
                    bench.job.handle_attached(bench.now, worker(), fence);
                    bench.settle();
                }
            }
        }
        for n in bench.job.acknowledged().get() + 1..=reported {
            bench.job.handle_report(bench.now, fence, WorkerSeq::new(n), event(EventKind::Log)).unwrap();
        }
        bench.job.handle_report(bench.now, fence, WorkerSeq::new(reported + 1), result()).unwrap();
        bench.settle();
        let numbers: Vec<_> = bench.journal.iter().map(|record| record.seq.get()).collect();
        prop_assert_eq!(numbers, (1..=bench.journal.len() as u64).collect::<Vec<_>>());
        let seqs: Vec<_> =
            bench.journal.iter().filter_map(|record| Fact::decode(record).unwrap().worker_seq()).collect();
        prop_assert_eq!(seqs, (1..=reported + 1).map(WorkerSeq::new).collect::<Vec<_>>());
        prop_assert_eq!(bench.endings(), [Status::Success]);
    }
}

#[test]
fn a_recovered_job_goes_on_only_on_its_own_worker() {
    let mut bench = Bench::running(None);
    bench.report(1, event(EventKind::Log)).unwrap();
    bench.settle();
    bench.restart();
    assert_eq!(bench.job.worker(), Some(worker()));
    let (other, fence) = (WorkerId::mint(bench.now, [9; 10]), Fence::new(7));
    bench.job.handle_attached(bench.now, other, fence);
    bench.settle();
    assert_eq!(bench.effects, [Effect::Kill { fence }], "a worker that has no business with it stops");
    bench.effects.clear();
    let fence = Fence::new(8);
    bench.job.handle_attached(bench.now, worker(), fence);
    bench.settle();
    assert_eq!(bench.effects, [Effect::Acknowledge { fence, worker_seq: WorkerSeq::FIRST }]);
}

#[test]
fn what_was_under_way_when_the_gateway_died_goes_on() {
    // A cancellation: the worker is told again, and has what is left of the grace.
    let mut bench = Bench::running(None);
    bench.job.handle_cancel(bench.now, None, Some("enough".into())).unwrap();
    bench.settle();
    let forced = bench.job.poll_timeout().unwrap();
    bench.now = bench.now + Millis::from_secs(5);
    bench.restart();
    assert_eq!(bench.job.poll_timeout(), Some(forced));
    let fence = Fence::new(2);
    bench.job.handle_attached(bench.now, worker(), fence);
    bench.settle();
    let cancel = Effect::Cancel { fence, reason: "enough".into(), grace: LIMITS.cancel_grace };
    assert_eq!(bench.effects, [cancel]);

    // A deadline: it counts while no gateway is there.
    let mut bench = Bench::running(Some(5));
    let deadline = bench.job.poll_timeout().unwrap();
    bench.restart();
    assert_eq!(bench.job.poll_timeout(), Some(deadline));

    // A cancellation that came before any worker took the job up.
    let mut bench = Bench::accepted(None);
    bench.settle();
    bench.job.handle_cancel(bench.now, None, None).unwrap();
    let batch = bench.job.poll_append().unwrap();
    bench.journal.extend(batch.records);
    bench.restart();
    bench.settle();
    assert_eq!(bench.endings(), [Status::Cancelled]);

    // Waiting for a worker begins anew.
    let mut bench = Bench::accepted(None);
    bench.settle();
    bench.now = bench.now + LIMITS.max_pending;
    bench.restart();
    assert_eq!(bench.job.poll_timeout().map(|deadline| deadline.at), Some(bench.now + LIMITS.max_pending));
}

#[test]
fn a_job_whose_end_is_being_committed_tells_the_workers_new_attachment() {
    let mut bench = Bench::running(None);
    bench.report(1, result()).unwrap();
    let fence = Fence::new(2);
    bench.job.handle_attached(bench.now, worker(), fence);
    bench.settle();
    assert_eq!(bench.effects, [Effect::Acknowledge { fence, worker_seq: WorkerSeq::FIRST }, Effect::Release]);
}
