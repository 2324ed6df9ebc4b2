//! Many histories, each told by its seed.

use moorline_sim::{check, run};

/// Things that happen in one history.
const STEPS: usize = 400;

async fn check_seed(seed: u64) {
    let world = run(seed, STEPS).await;
    let violations = check(&world).await;
    assert!(violations.is_empty(), "seed {seed}, {STEPS} steps: {violations:#?}");
    assert!(!world.accepted.is_empty(), "seed {seed}: nothing happened");
}

fn in_virtual_time(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(check_seed(seed));
}

#[test]
fn fixed_seeds() {
    for seed in 0..60 {
        in_virtual_time(seed);
    }
}

#[test]
fn a_random_seed() {
    let seed = fastrand::u64(..);
    in_virtual_time(seed);
}
