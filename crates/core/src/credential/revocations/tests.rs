use proptest::prelude::*;

use super::*;
use crate::credential::Stage;
use crate::lease::budget::Budget;

const START: Timestamp = Timestamp::from_unix_millis(1_000_000);

fn custody(n: u8, stage: Stage) -> Custody {
    Custody {
        issue: CredentialId::mint(START, [n; 10]),
        credential: CredentialId::mint(START, [n; 10]),
        job: JobId::mint(START, [n; 10]),
        principal: "ada".parse().unwrap(),
        upstream: "test".to_owned(),
        since: START,
        stage,
        above: Vec::new(),
        share: Budget::default(),
    }
}

fn live(n: u8) -> Custody {
    custody(n, Stage::Live { sealed: String::new() })
}

fn failed() -> Answer {
    Answer::Failed("HTTP 503".to_owned())
}

#[test]
fn an_upstream_is_asked_again_after_waits_that_double_up_to_a_bound() {
    let mut revocations = Revocations::default();
    revocations.handle_wanted(START, live(1));
    let (mut now, mut waits) = (START, Vec::new());
    for _ in 0..11 {
        let asked = revocations.poll(now).expect("it is due");
        assert!(revocations.poll(now).is_none(), "it is under way");
        assert!(!revocations.handle_answer(now, asked.issue, failed()));
        let next = revocations.poll_timeout().unwrap();
        assert!(revocations.poll(now).is_none(), "it has to wait");
        waits.push((next.as_unix_millis() - now.as_unix_millis()) / 1_000);
        now = next;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    let asked = revocations.poll(now).unwrap();
    assert!(revocations.handle_answer(now, asked.issue, Answer::Revoked));
    revocations.handle_forgotten(asked.issue);
    assert_eq!((revocations.poll_timeout(), revocations.failing()), (None, 0));
}

#[test]
fn an_absence_is_believed_of_what_was_there_or_cannot_come_any_more() {
    let late = START + SETTLES_AFTER;
    for (stage, now, gone) in [
        (live(1).stage, START, true),
        (Stage::Intended, START, false),
        (Stage::Intended, START + Millis::from_secs(60), false),
        (Stage::Intended, late, true),
    ] {
        let mut revocations = Revocations::default();
        revocations.handle_wanted(now, custody(1, stage.clone()));
        let asked = revocations.poll(now).unwrap();
        assert_eq!(revocations.handle_answer(now, asked.issue, Answer::Absent), gone, "{stage:?} at {now}");
        assert_eq!(revocations.failing(), 0, "an upstream that says so is no failing one");
        if !gone {
            assert_eq!(revocations.poll_timeout(), Some(late), "it is asked when the answer is final");
        }
    }
    // That it was withdrawn is believed at any time: it was there.
    let mut revocations = Revocations::default();
    revocations.handle_wanted(START, custody(1, Stage::Intended));
    let asked = revocations.poll(START).unwrap();
    assert!(revocations.handle_answer(START, asked.issue, Answer::Revoked));
}

#[test]
fn what_waits_is_asked_for_at_once_when_somebody_says_so() {
    let mut revocations = Revocations::default();
    (1..=3).for_each(|n| revocations.handle_wanted(START, live(n)));
    for _ in 0..3 {
        let asked = revocations.poll(START).unwrap();
        revocations.handle_answer(START, asked.issue, failed());
    }
    assert!(revocations.poll(START).is_none());
    assert_eq!((revocations.failing(), revocations.handle_hurry(START)), (3, 3));
    assert!(revocations.poll(START).is_some());
}

#[test]
fn not_too_many_are_under_way_at_once_and_none_twice() {
    let mut revocations = Revocations::default();
    (1..=9).for_each(|n| revocations.handle_wanted(START, live(n)));
    revocations.handle_wanted(START, live(1));
    let asked: Vec<_> = std::iter::from_fn(|| revocations.poll(START)).map(|custody| custody.issue).collect();
    assert_eq!(asked.len(), MAX_AT_ONCE);
    assert_eq!(revocations.iter().count(), 9);
    assert!(revocations.is_pending(live(9).job) && !revocations.is_pending(live(10).job));
}

proptest! {
    /// Whatever an upstream answers, in whatever order and at whatever times: what is wanted is asked for until it is
    /// gone, nothing is forgotten before, and nothing is asked for afterwards.
    #[test]
    fn everything_is_asked_for_until_it_is_gone(steps in proptest::collection::vec((0_u8..5, 0_u64..400), 1..200)) {
        let mut revocations = Revocations::default();
        let (mut now, mut wanted, mut under_way, mut gone) = (START, 0_u8, Vec::new(), Vec::new());
        for (step, seconds) in steps {
            match step {
                0 => {
                    wanted += 1;
                    let stage = if seconds % 2 == 0 { Stage::Intended } else { live(1).stage };
                    revocations.handle_wanted(now, custody(wanted, stage));
                }
                1 => if let Some(asked) = revocations.poll(now) {
                    prop_assert!(!under_way.contains(&asked.issue) && !gone.contains(&asked.issue));
                    under_way.push(asked.issue);
                },
                2 => now = now + Millis::from_secs(seconds),
                answer => if let Some(issue) = under_way.pop() {
                    let answer = match (answer, seconds % 3) {
                        (3, _) => Answer::Absent,
                        (_, 0) => Answer::Revoked,
                        _ => failed(),
                    };
                    if revocations.handle_answer(now, issue, answer) {
                        revocations.handle_forgotten(issue);
                        gone.push(issue);
                    }
                },
            }
            prop_assert_eq!(revocations.iter().count() + gone.len(), usize::from(wanted));
        }
        for issue in under_way {
            revocations.handle_answer(now, issue, failed());
        }
        // An upstream that is well again settles everything.
        now = now + LONGEST_WAIT;
        while let Some(asked) = revocations.poll(now) {
            prop_assert!(revocations.handle_answer(now, asked.issue, Answer::Revoked));
            revocations.handle_forgotten(asked.issue);
        }
        prop_assert_eq!(revocations.iter().count(), 0);
    }
}
