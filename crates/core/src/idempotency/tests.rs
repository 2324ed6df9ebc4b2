use std::collections::BTreeMap;

use moorline_types::Millis;
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis)
}

fn job(n: u8) -> JobId {
    JobId::mint(at(1), [n; 10])
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn fingerprint(agent: &str, input: &str) -> Fingerprint {
    let input = json(input);
    let nothing = Parameters {
        agent,
        input: &input,
        lease_request: None,
        lease_constraints: None,
        max_runtime_sec: None,
        parent_job_id: None,
        delegate_id: None,
    };
    Fingerprint::of(&nothing)
}

#[test]
fn every_parameter_counts_and_how_it_is_written_does_not() {
    let (input, lease, constraints) = (json(r#"{"a": 1}"#), json(r#"{"fs.read": ["/a"]}"#), json(r#"{"e": 1}"#));
    let base = || Parameters {
        agent: "echo",
        input: &input,
        lease_request: Some(&lease),
        lease_constraints: Some(&constraints),
        max_runtime_sec: Some(5),
        parent_job_id: Some("job_x"),
        delegate_id: Some("d"),
    };
    let rewritten = json(r#"{ "a" : 1.0 }"#);
    assert_eq!(Fingerprint::of(&base()), Fingerprint::of(&Parameters { input: &rewritten, ..base() }));
    let other = json("2");
    for changed in [
        Parameters { agent: "echo@1.0.0", ..base() },
        Parameters { input: &other, ..base() },
        Parameters { lease_request: None, ..base() },
        Parameters { lease_request: Some(&other), ..base() },
        Parameters { lease_constraints: None, ..base() },
        Parameters { max_runtime_sec: Some(6), ..base() },
        Parameters { max_runtime_sec: None, ..base() },
        Parameters { parent_job_id: None, ..base() },
        Parameters { delegate_id: Some("e"), ..base() },
        Parameters { delegate_id: None, ..base() },
    ] {
        assert_ne!(Fingerprint::of(&base()), Fingerprint::of(&changed), "{changed:?}");
    }
}

#[test]
fn a_key_is_its_principals_own_whatever_is_in_it() {
    let (ada, eve): (PrincipalId, PrincipalId) = ("ada".parse().unwrap(), "eve".parse().unwrap());
    assert_ne!(ClaimKey::of(&ada, "k"), ClaimKey::of(&eve, "k"));
    assert_ne!(ClaimKey::of(&ada, "k"), ClaimKey::of(&ada, "K"));
    for key in ["", "k", "\u{0}/..\n", &"x".repeat(10_000)] {
        let name = ClaimKey::of(&ada, key).to_string();
        assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    }
}

#[test]
fn a_claim_reads_back_as_it_was_stored() {
    let claim = Claim::new(at(7), &fingerprint("echo", "1"), job(3));
    assert_eq!(Claim::decode(&claim.encode()).unwrap(), claim);
    assert!(Claim::decode(b"{}").is_err());
}

#[test]
fn the_verdict_follows_from_the_claim_its_age_and_what_became_of_its_job() {
    let (same, other) = (fingerprint("echo", "1"), fingerprint("echo", "2"));
    let claim = Claim::new(at(0), &same, job(1));
    let taken = Verdict::Refuse(Refusal::KeyTaken { job: job(1) });
    let removed = Verdict::Refuse(Refusal::KeyOfRemovedJob { job: job(1) });
    let (fresh, last) = (at(0), at(limits::IDEMPOTENCY_TTL.get() - 1));
    let over = at(limits::IDEMPOTENCY_TTL.get());
    for (now, asked, fate, expected) in [
        (fresh, &same, Fate::Known, Verdict::Same(job(1))),
        (last, &same, Fate::Known, Verdict::Same(job(1))),
        (over, &same, Fate::Known, Verdict::Claim),
        (last, &other, Fate::Known, taken.clone()),
        (last, &other, Fate::Removed, taken),
        (over, &other, Fate::Known, Verdict::Claim),
        (fresh, &same, Fate::NeverBegan, Verdict::Claim),
        (fresh, &other, Fate::NeverBegan, Verdict::Claim),
        (last, &same, Fate::Removed, removed),
        (over, &same, Fate::Removed, Verdict::Claim),
    ] {
        assert_eq!(judge(now, asked, Some((&claim, fate))), expected, "{now} {fate:?}");
    }
    assert_eq!(judge(fresh, &same, None), Verdict::Claim);
}

/// How far a submission gets before the process ends or the store refuses.
#[derive(Debug, Clone, Copy)]
enum Reaches {
    /// Nothing is written.
    Nothing,
    /// The claim is written, the job is not.
    Claim,
    /// Both are.
    Job,
}

#[derive(Debug, Clone)]
enum Step {
    Submit { input: u8, reaches: Reaches },
    Wait(Millis),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reaches = prop_oneof![Just(Reaches::Nothing), Just(Reaches::Claim), Just(Reaches::Job)];
    let submit = (0_u8..3, reaches).prop_map(|(input, reaches)| Step::Submit { input, reaches });
    let wait = (0..limits::IDEMPOTENCY_TTL.get() / 2).prop_map(|millis| Step::Wait(Millis::new(millis)));
    proptest::collection::vec(prop_oneof![4 => submit, 1 => wait], 0..40)
}

proptest! {
    /// Whatever fails in between: within a claim's life a key stands for one job and one set of parameters.
    #[test]
    fn a_key_stands_for_one_job_whatever_fails_in_between(steps in steps()) {
        let mut now = at(1_000);
        let mut stored: Option<Claim> = None;
        // The jobs that began: what they were asked for, and when.
        let mut began: BTreeMap<JobId, (u8, Timestamp)> = BTreeMap::new();
        let mut next = 0;
        for step in steps {
            let (input, reaches) = match step {
                Step::Wait(length) => { now = now + length; continue }
                Step::Submit { input, reaches } => (input, reaches),
            };
            let asked = fingerprint("echo", &input.to_string());
            let fate = |job| if began.contains_key(&job) { Fate::Known } else { Fate::NeverBegan };
            let living = began.iter().find(|(_, (_, at))| now < *at + limits::IDEMPOTENCY_TTL);
            match judge(now, &asked, stored.as_ref().map(|claim| (claim, fate(claim.job)))) {
                Verdict::Same(job) => prop_assert_eq!(began.get(&job).map(|(input, _)| *input), Some(input)),
                Verdict::Refuse(refusal) => {
                    let (job, (other, _)) = living.expect("somebody has the key");
                    prop_assert_ne!(*other, input);
                    prop_assert_eq!(refusal, Refusal::KeyTaken { job: *job });
                }
                Verdict::Claim => {
                    prop_assert_eq!(living, None, "the key is somebody's");
                    next += 1;
                    let fresh = JobId::mint(now, [next; 10]);
                    if !matches!(reaches, Reaches::Nothing) {
                        stored = Some(Claim::new(now, &asked, fresh));
                    }
                    if matches!(reaches, Reaches::Job) {
                        began.insert(fresh, (input, now));
                    }
                }
            }
        }
    }
}
