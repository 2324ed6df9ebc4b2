//! Many histories, each told by its seed.

use std::ops::Range;

use moorline_sim::{Reached, check, reached, run};

/// Things that happen in one history.
const STEPS: usize = 400;

async fn check_seed(seed: u64) -> Reached {
    let world = run(seed, STEPS).await;
    let violations = check(&world).await;
    assert!(violations.is_empty(), "seed {seed}, {STEPS} steps: {violations:#?}");
    assert!(!world.accepted.is_empty(), "seed {seed}: nothing happened");
    reached(&world).await
}

fn in_virtual_time(seed: u64) -> Reached {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(check_seed(seed))
}

/// Checks these histories, and that they reach what they are about: otherwise they would show nothing.
fn check_seeds(seeds: Range<u64>) {
    let mut total = Reached::default();
    for seed in seeds.clone() {
        total += in_virtual_time(seed);
    }
    let Reached { children, below, refused, returned, expired, issued, replaced, late } = total;
    let is_enough = children > 50 && below > 3 && refused > 20 && returned > 50 && expired > 5;
    assert!(is_enough && issued > 100 && replaced > 5 && late > 20, "seeds {seeds:?}: {total:?}");
}

#[test]
fn fixed_seeds() {
    check_seeds(0..30);
}

/// Beside the others, so that two processors share them.
#[test]
fn more_fixed_seeds() {
    check_seeds(30..60);
}

#[test]
fn a_random_seed() {
    let seed = fastrand::u64(..);
    in_virtual_time(seed);
}
