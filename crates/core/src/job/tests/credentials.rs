//! A job that was given a credential for an upstream.

use moorline_types::CredentialId;
use proptest::prelude::*;

use super::*;
use crate::Refusal;
use crate::record::CredentialRotated;

const HOUR: Millis = Millis::from_secs(3_600);
const TWO_HOURS: Millis = Millis::from_secs(7_200);

fn named(n: u8) -> CredentialId {
    CredentialId::mint(Timestamp::from_unix_millis(1), [n; 10])
}

/// A running job whose credential is good for an hour.
fn bench(lease: Option<Millis>) -> Bench {
    let good_until = Timestamp::from_unix_millis(1_000_000) + HOUR;
    let provisioned = Provisioned {
        id: named(1),
        issue: named(1),
        endpoint: "https://models.example.com/v1".into(),
        profile: None,
        constraints: Json::parse("{}").unwrap(),
        good_until,
    };
    let mut bench = Bench::with("{}", None, lease, vec![provisioned]);
    bench.settle();
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.settle();
    bench.effects.clear();
    bench
}

fn rotated(bench: &Bench, n: u8) -> CredentialRotated {
    CredentialRotated { credential: named(1), issue: named(n), good_until: bench.now + HOUR }
}

#[test]
fn however_a_job_ends_its_credentials_are_withdrawn_first() {
    type Ending = fn(&mut Bench);
    let endings: [(Ending, Status); 6] = [
        (|bench| bench.report(1, result()).unwrap(), Status::Success),
        (|bench| bench.report(1, failure()).unwrap(), Status::Error),
        (|bench| bench.job.handle_worker_lost(bench.now, worker(), Lost::Ended), Status::Error),
        (|bench| bench.job.handle_abandoned(bench.now, "test".into()), Status::Error),
        (
            |bench| {
                bench.job.handle_cancel(bench.now, None, None).unwrap();
                bench.settle();
                bench.effects.clear();
                bench.pass(Millis::from_secs(31));
            },
            Status::Cancelled,
        ),
        (|bench| bench.pass(Millis::from_secs(61)), Status::Error),
    ];
    for (end, status) in endings {
        let mut bench = bench(Some(Millis::from_secs(60)));
        end(&mut bench);
        bench.settle();
        assert_eq!((bench.effects.as_slice(), bench.endings()), ([Effect::Revoke].as_slice(), vec![]), "{status}");
        assert!(!bench.job.is_settled(), "what the status says is not durable yet");
        bench.job.handle_revoked(bench.now);
        bench.settle();
        assert_eq!(bench.endings(), [status]);
        assert_eq!(bench.effects.last(), Some(&Effect::Release));
    }
}

#[test]
fn an_upstream_that_is_away_keeps_a_result_back_for_a_moment_only() {
    let mut bench = bench(None);
    bench.report(1, result()).unwrap();
    bench.settle();
    assert_eq!(bench.job.poll_timeout().map(|deadline| deadline.why), Some(DeadlineReason::RevocationPatience));
    bench.pass(Millis::from_secs(5));
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success]);
    bench.job.handle_revoked(bench.now);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success], "that it is withdrawn at last ends nothing twice");
}

/// A job for which the upstream has issued another value, which is not on record yet.
fn replacing() -> Bench {
    let mut bench = bench(None);
    bench.pass(Millis::from_secs(45 * 60));
    bench.settle();
    bench.effects.clear();
    let new = rotated(&bench, 2);
    assert!(bench.job.handle_rotated(bench.now, new));
    bench
}

/// The store takes neither record as long as it refuses, so nobody is kept from anything.
#[test]
fn an_end_does_not_give_up_on_a_new_value_whose_record_is_on_its_way() {
    let mut bench = replacing();
    assert!(bench.job.poll_append().is_some(), "the store has it and does not answer");
    bench.report(1, result()).unwrap();
    bench.pass(Millis::from_secs(60));
    assert_eq!((bench.job.poll_effect(), bench.job.poll_timeout()), (None, None), "nothing can be withdrawn yet");
    bench.job.handle_committed(bench.now);
    let effects: Vec<_> = std::iter::from_fn(|| bench.job.poll_effect()).collect();
    assert_eq!(effects, [Effect::Revoke]);
    assert_eq!(bench.job.poll_append(), None, "the end waits for that");
    bench.job.handle_revoked(bench.now);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success]);
}

#[test]
fn a_job_without_credentials_ends_at_once() {
    let mut bench = Bench::running(None);
    bench.report(1, result()).unwrap();
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success]);
    assert!(!bench.effects.contains(&Effect::Revoke));
}

#[test]
fn a_gateway_that_dies_while_credentials_are_withdrawn_does_it_again() {
    let mut bench = bench(None);
    bench.report(1, result()).unwrap();
    bench.settle();
    bench.restart();
    assert_eq!(bench.job.status(), Status::Running);
    bench.job.handle_attached(bench.now, worker(), Fence::new(2));
    bench.job.handle_report(bench.now, Fence::new(2), WorkerSeq::FIRST, result()).unwrap();
    bench.settle();
    assert_eq!(bench.effects.last(), Some(&Effect::Revoke));
    bench.job.handle_revoked(bench.now);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success]);
}

#[test]
fn a_value_is_replaced_before_the_upstream_lets_it_expire_and_the_prior_one_goes_after_the_record() {
    let mut bench = bench(None);
    let due = bench.now + Millis::from_secs(45 * 60);
    assert_eq!(bench.job.poll_timeout(), Some(Deadline { at: due, why: DeadlineReason::RotateCredential }));
    bench.pass(Millis::from_secs(45 * 60));
    bench.settle();
    assert_eq!(bench.effects, [Effect::Rotate { credential: named(1) }]);
    assert_eq!(bench.job.poll_timeout(), None, "one at a time");

    bench.job.handle_not_rotated(bench.now);
    bench.pass(Millis::from_secs(30));
    bench.effects.clear();
    bench.settle();
    assert_eq!(bench.effects, [Effect::Rotate { credential: named(1) }], "the upstream is asked again");

    bench.effects.clear();
    let new = rotated(&bench, 2);
    assert!(bench.job.handle_rotated(bench.now, new));
    assert_eq!(bench.job.poll_effect(), None, "the client has not been told of the new one");
    bench.settle();
    let prior = Effect::RevokePrior { credential: named(1), issue: named(2) };
    assert_eq!(bench.effects, [Effect::TellCredentials { fence: FENCE }, prior]);
    let next = bench.now + Millis::from_secs(45 * 60);
    assert_eq!(bench.job.poll_timeout().map(|deadline| deadline.at), Some(next));
    bench.restart();
    assert_eq!(bench.job.poll_timeout().map(|deadline| deadline.at), Some(next), "the next gateway knows when");
    let fence = Fence::new(2);
    bench.job.handle_attached(bench.now, worker(), fence);
    bench.settle();
    assert_eq!(bench.effects, [Effect::TellCredentials { fence }], "a worker that was away is told");
}

#[test]
fn a_value_that_lasts_as_long_as_the_lease_is_not_replaced() {
    for (lease, is_replaced) in [(HOUR, false), (Millis::from_secs(60), false), (TWO_HOURS, true)] {
        let bench = bench(Some(lease));
        let why = bench.job.poll_timeout().map(|deadline| deadline.why);
        assert_eq!(why == Some(DeadlineReason::RotateCredential), is_replaced, "{lease:?}");
    }
}

#[test]
fn a_job_that_ends_while_a_new_value_is_committed_has_both_withdrawn() {
    let mut bench = replacing();
    bench.report(1, result()).unwrap();
    assert_eq!(bench.job.poll_effect(), None, "the new value would be missed");
    bench.settle();
    assert_eq!((bench.effects.as_slice(), bench.endings()), ([Effect::Revoke].as_slice(), vec![]));
    bench.job.handle_revoked(bench.now);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success]);
}

#[test]
fn a_job_that_is_over_takes_no_new_value() {
    let mut bench = bench(None);
    bench.pass(Millis::from_secs(45 * 60));
    bench.report(1, result()).unwrap();
    let new = rotated(&bench, 2);
    assert!(!bench.job.handle_rotated(bench.now, new));
    bench.job.handle_revoked(bench.now);
    bench.settle();
    assert_eq!(bench.endings(), [Status::Success]);
}

proptest! {
    /// Whatever races: no end is recorded while a credential is out, unless the upstream had its time.
    #[test]
    fn no_end_is_told_before_credentials_are_withdrawn_or_had_their_time(steps in proptest::collection::vec(0_u8..9, 1..60)) {
        let mut bench = bench(Some(TWO_HOURS));
        let (mut revoked, mut wanted_at, mut reported) = (false, None, 0);
        for step in steps {
            match step {
                0 => { bench.report(reported + 1, result()).unwrap(); reported += 1; }
                1 => { bench.report(reported + 1, event(EventKind::Log)).unwrap(); reported += 1; }
                2 => drop(bench.job.handle_cancel(bench.now, None, None)),
                3 => bench.job.handle_abandoned(bench.now, "test".into()),
                4 => bench.pass(Millis::from_secs(1)),
                5 => bench.pass(Millis::from_secs(1_800)),
                6 => { let new = rotated(&bench, 2); bench.job.handle_rotated(bench.now, new); }
                7 => bench.job.handle_not_rotated(bench.now),
                _ => if wanted_at.is_some() {
                    bench.job.handle_revoked(bench.now);
                    revoked = true;
                },
            }
            bench.settle();
            if bench.effects.contains(&Effect::Revoke) && wanted_at.is_none() {
                wanted_at = Some(bench.now);
            }
            if !bench.endings().is_empty() {
                let had_its_time = wanted_at.is_some_and(|at| at + Millis::from_secs(5) <= bench.now);
                prop_assert!(revoked || had_its_time);
            }
        }
        bench.job.handle_abandoned(bench.now, "test".into());
        bench.job.handle_revoked(bench.now);
        bench.settle();
        prop_assert_eq!(bench.endings().len(), 1);
    }
}

#[test]
fn a_credential_is_replaced_at_once_when_that_is_asked_for() {
    let mut bench = bench(None);
    let unknown = Refusal::CredentialUnknown { job: bench.job.id(), name: Some(named(2)) };
    assert_eq!(bench.job.handle_rotation_asked(Some(named(2))), Err(unknown));
    assert_eq!(bench.job.handle_rotation_asked(None), Ok(named(1)));
    assert_eq!(bench.job.handle_rotation_asked(Some(named(1))), Ok(named(1)), "it is under way");
    bench.settle();
    assert_eq!(bench.effects, [Effect::Rotate { credential: named(1) }]);
    assert!(bench.job.handle_rotated(bench.now, rotated(&bench, 3)));
    bench.effects.clear();
    bench.settle();
    assert!(bench.effects.contains(&Effect::RevokePrior { credential: named(1), issue: named(3) }));

    bench.report(1, result()).unwrap();
    let over = Refusal::JobEnded { status: Status::Success };
    assert_eq!(bench.job.handle_rotation_asked(None), Err(over));
    let mut plain = Bench::running(None);
    let unknown = Refusal::CredentialUnknown { job: plain.job.id(), name: None };
    assert_eq!(plain.job.handle_rotation_asked(None), Err(unknown), "it has none");
    plain.settle();
}
