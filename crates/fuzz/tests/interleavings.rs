//! Any interleaving of what may happen to jobs and sessions gives every job one end and every session one numbering.

use moorline_fuzz::families;
use moorline_fuzz::operations::{Tally, run};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// What does not hold panics; proptest shrinks the bytes to the shortest that do it.
    #[test]
    fn any_interleaving_gives_one_end_per_job_and_one_numbering_per_session(
        bytes in proptest::collection::vec(any::<u8>(), 0..1_200),
    ) {
        run(&bytes);
    }

    #[test]
    fn any_interleaving_keeps_every_unit_of_a_budget_and_ends_families_with_their_leases_and_credentials(
        bytes in proptest::collection::vec(any::<u8>(), 0..1_200),
    ) {
        families::run(&bytes);
    }
}

/// The sequences reach what they are about: otherwise the test above would show nothing.
#[test]
fn sequences_reach_every_kind_of_operation() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut total = Tally::default();
    for _ in 0..50 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1_200).collect();
        let tally = run(&bytes);
        total.jobs += tally.jobs;
        total.given += tally.given;
        total.resumed += tally.resumed;
        total.subscribed += tally.subscribed;
        total.crashes += tally.crashes;
    }
    let enough =
        total.jobs > 100 && total.given > 500 && total.resumed > 200 && total.subscribed > 100 && total.crashes > 50;
    assert!(enough, "{total:?}");
}

#[test]
fn sequences_of_families_reach_every_kind_of_operation() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut total = families::Tally::default();
    for _ in 0..100 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1_200).collect();
        let tally = families::run(&bytes);
        total.submitted += tally.submitted;
        total.children += tally.children;
        total.refused += tally.refused;
        total.expired += tally.expired;
        total.issued += tally.issued;
        total.replaced += tally.replaced;
        total.impatient += tally.impatient;
        total.crashes += tally.crashes;
    }
    let families::Tally { submitted, children, refused, expired, issued, replaced, impatient, crashes } = total;
    let is_enough = submitted > 300 && children > 100 && refused > 100 && expired > 50;
    assert!(is_enough && issued > 10 && replaced > 10 && impatient > 10 && crashes > 500, "{total:?}");
}
