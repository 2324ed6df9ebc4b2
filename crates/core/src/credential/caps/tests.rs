use moorline_types::Millis;
use proptest::prelude::*;

use super::*;
use crate::credential::Stage;

const START: Timestamp = Timestamp::from_unix_millis(1_000_000);

fn job(n: u8) -> JobId {
    JobId::mint(START, [n; 10])
}

fn usd(amount: &str) -> Budget {
    Budget::new([format!("USD:{amount}")]).unwrap()
}

fn wanted(n: u8, amount: &str) -> Wanted {
    Wanted { job: job(n), issue: CredentialId::mint(START, [n; 10]), budget: usd(amount) }
}

/// A credential of the job `n`, which was given so much by the first of those above it.
fn custody(n: u8, above: &[u8], share: &str) -> Custody {
    let issue = CredentialId::mint(START, [n; 10]);
    Custody {
        issue,
        credential: issue,
        job: job(n),
        principal: "ada".parse().unwrap(),
        upstream: "test".to_owned(),
        since: START,
        stage: Stage::Intended,
        above: above.iter().map(|n| job(*n)).collect(),
        share: usd(share),
    }
}

fn failed() -> Capped {
    Capped::Failed("HTTP 503".to_owned())
}

#[test]
fn a_job_has_what_its_children_were_not_given_and_what_is_withdrawn_of_them() {
    let given = |children: &[(u8, &str)]| children.iter().map(|(n, share)| (job(*n), usd(share))).collect();
    for (children, withdrawing, own) in [
        (&[][..], vec![], "2"),
        (&[(2, "0.50"), (3, "0.25")], vec![], "1.25"),
        // A child that has ended counts as it did until its credential is gone, and once.
        (&[], vec![custody(2, &[1], "0.50"), custody(2, &[1], "0.50")], "1.5"),
        (&[(2, "0.50")], vec![custody(2, &[1], "0.50")], "1.5"),
        // So does one further down, but not below a child that counts itself.
        (&[], vec![custody(3, &[2, 1], "0.25")], "1.75"),
        (&[(2, "0.50")], vec![custody(3, &[2, 1], "0.25")], "1.5"),
        (&[], vec![custody(3, &[9], "0.25")], "2"),
        (&[(2, "1.50")], vec![custody(3, &[1], "1.00")], "0"),
    ] {
        let sharing = Sharing { budget: usd("2"), given: given(children) };
        assert_eq!(sharing.own(job(1), &withdrawing), usd(own), "{children:?} {withdrawing:?}");
    }
}

#[test]
fn what_is_wanted_is_told_until_it_is_kept_to_after_waits_that_double() {
    let mut caps = Caps::default();
    assert_eq!(caps.standing(job(1)), Standing::Kept, "nothing is wanted");
    caps.handle_wanted(START, wanted(1, "1"));
    let mut now = START;
    for seconds in [1, 2, 4, 8] {
        assert_eq!(caps.standing(job(1)).clone() == Standing::Open, seconds == 1);
        let asked = caps.poll(now).expect("it is due");
        assert_eq!((caps.poll(now), caps.poll_timeout()), (None, None), "it is under way");
        caps.handle_answer(now, &asked, failed());
        assert_eq!(caps.standing(job(1)), Standing::Failed("HTTP 503".to_owned()));
        assert_eq!(caps.poll_timeout(), Some(now + Millis::from_secs(seconds)));
        now = now + Millis::from_secs(seconds);
    }
    let asked = caps.poll(now).unwrap();
    caps.handle_answer(now, &asked, Capped::Done);
    assert_eq!((caps.standing(job(1)), caps.poll(now)), (Standing::Kept, None));
}

#[test]
fn something_else_that_is_wanted_meanwhile_is_told_when_the_answer_is_there() {
    for answer in [Capped::Done, Capped::Unable, failed()] {
        let mut caps = Caps::default();
        caps.handle_wanted(START, wanted(1, "1"));
        let asked = caps.poll(START).unwrap();
        caps.handle_wanted(START, wanted(1, "0.5"));
        assert_eq!(caps.poll(START), None, "an upstream is told one thing of a job at a time");
        caps.handle_answer(START, &asked, answer);
        assert_eq!(caps.standing(job(1)), Standing::Open);
        assert_eq!(caps.poll(START), Some(wanted(1, "0.5")));
    }
}

#[test]
fn what_was_not_answered_well_does_not_have_the_last_word() {
    let mut caps = Caps::default();
    caps.handle_wanted(START, wanted(1, "1"));
    let asked = caps.poll(START).unwrap();
    caps.handle_answer(START, &asked, failed());
    caps.handle_wanted(START, wanted(1, "0.5"));
    let asked = caps.poll(START).unwrap();
    caps.handle_answer(START, &asked, Capped::Done);
    assert_eq!(caps.standing(job(1)), Standing::Kept);
    let settled = START + SETTLES_AFTER;
    assert_eq!((caps.poll(START), caps.poll_timeout()), (None, Some(settled)));
    let asked = caps.poll(settled).unwrap();
    caps.handle_answer(settled, &asked, Capped::Done);
    assert_eq!(caps.poll_timeout(), None, "nothing can be under way any more");
}

#[test]
fn an_upstream_that_changes_nothing_is_told_once_and_nobody_waits_for_it() {
    let mut caps = Caps::default();
    caps.handle_wanted(START, wanted(1, "1"));
    let asked = caps.poll(START).unwrap();
    caps.handle_answer(START, &asked, Capped::Unable);
    caps.handle_wanted(START, wanted(1, "1"));
    assert_eq!((caps.standing(job(1)), caps.poll_timeout()), (Standing::Kept, None));
}

#[test]
fn who_waits_has_the_upstream_told_at_once() {
    let mut caps = Caps::default();
    caps.handle_wanted(START, wanted(1, "1"));
    let asked = caps.poll(START).unwrap();
    caps.handle_answer(START, &asked, failed());
    assert_eq!(caps.poll(START), None);
    caps.handle_awaited(START, job(1));
    assert_eq!((caps.standing(job(1)), caps.poll(START)), (Standing::Open, Some(wanted(1, "1"))));
}

#[test]
fn a_credential_that_is_being_replaced_is_not_kept_to_anything_yet() {
    let mut caps = Caps::default();
    caps.handle_replacing(job(1));
    assert_eq!(caps.standing(job(1)), Standing::Open);
    caps.handle_replaced(job(1));
    assert_eq!(caps.standing(job(1)), Standing::Kept);
    let again = Wanted { issue: CredentialId::mint(START, [9; 10]), ..wanted(1, "1") };
    for wanted in [wanted(1, "1"), again] {
        caps.handle_wanted(START, wanted);
        let asked = caps.poll(START).expect("the new value is told of too");
        caps.handle_answer(START, &asked, Capped::Done);
    }
    assert_eq!(caps.budget(job(1)), Some(&usd("1")));
    caps.handle_withdrawn(job(1));
    assert_eq!((caps.poll(START), caps.budget(job(1))), (None, None));
}

#[test]
fn no_more_than_so_many_are_told_at_once() {
    let mut caps = Caps::default();
    (1..=9).for_each(|n| caps.handle_wanted(START, wanted(n, "1")));
    assert_eq!(std::iter::from_fn(|| caps.poll(START)).count(), MAX_AT_ONCE);
}

proptest! {
    /// Whatever is wanted and answered, in whatever order: a credential that counts as kept is kept to what is wanted, and
    /// an upstream that is well again is told everything.
    #[test]
    fn what_counts_as_kept_is_what_the_upstream_was_told_last(
        steps in proptest::collection::vec((0_u8..5, 1_u8..4, 0_u64..200), 1..200),
    ) {
        let (mut caps, mut now, mut under_way) = (Caps::default(), START, Vec::<Wanted>::new());
        let (mut last_wanted, mut told) = (BTreeMap::new(), BTreeMap::new());
        for (step, n, seconds) in steps {
            match step {
                0 => {
                    let wanted = wanted(n, &seconds.to_string());
                    last_wanted.insert(wanted.job, wanted.clone());
                    caps.handle_wanted(now, wanted);
                }
                1 => if let Some(asked) = caps.poll(now) {
                    prop_assert!(under_way.iter().all(|other| other.job != asked.job));
                    under_way.push(asked);
                },
                2 => now = now + Millis::from_secs(seconds),
                answer => if let Some(asked) = under_way.pop() {
                    if answer == 3 {
                        told.insert(asked.job, asked.clone());
                    }
                    caps.handle_answer(now, &asked, if answer == 3 { Capped::Done } else { failed() });
                },
            }
            for (job, wanted) in &last_wanted {
                if caps.standing(*job) == Standing::Kept {
                    prop_assert_eq!(told.get(job), Some(wanted));
                }
            }
        }
        for asked in under_way {
            caps.handle_answer(now, &asked, failed());
        }
        now = now + Millis::from_secs(600);
        while let Some(asked) = caps.poll(now) {
            caps.handle_answer(now, &asked, Capped::Done);
        }
        prop_assert!(last_wanted.keys().all(|job| caps.standing(*job) == Standing::Kept));
        prop_assert_eq!(caps.poll_timeout(), None);
    }
}
