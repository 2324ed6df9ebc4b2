//! Jobs and sessions under any sequence of operations: agents report, clients submit, cancel, subscribe, acknowledge,
//! go away and come back, the store refuses, time passes, the gateway is killed.
//!
//! The machines are the real ones of `core`; what the runtime does around them is done here by hand, without threads
//! and without a clock, so that the bytes decide everything. After every operation, and at the end of all:
//!
//! - a job's records are numbered without a hole, it ends exactly once, and its end is its last record;
//! - a cancellation that was recorded decides how the job ends;
//! - what a worker reports is recorded once and in order, over any number of attachments and gateways;
//! - a report is acknowledged, and a job released, only when the records that justify it are committed;
//! - what a session is given is numbered 1, 2, 3…; a number means the same record whenever it is given, on whatever
//!   connection, in portions of whatever size, before and after a crash;
//! - whoever watches a job is given its end.

mod job;
mod session;
mod world;

use crate::bytes::Decisions;
use world::World;

/// How much happened, so that tests can tell a sequence that does something from one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Jobs that were accepted. Each has ended.
    pub jobs: usize,
    /// Records that were given to sessions.
    pub given: usize,
    /// Sessions that were resumed.
    pub resumed: usize,
    /// Subscriptions that were written down.
    pub subscribed: usize,
    /// Times that the gateway was killed.
    pub crashes: usize,
}

/// The most operations that one sequence performs: what breaks, breaks in fewer.
const MAX_OPERATIONS: usize = 600;

/// Performs what the bytes say, ends everything, and checks.
///
/// # Panics
/// If something does not hold.
pub fn run(bytes: &[u8]) -> Tally {
    let mut world = World::default();
    Decisions::each(bytes, MAX_OPERATIONS, |decisions| operation(&mut world, decisions));
    world.end()
}

fn operation(world: &mut World, decisions: &mut Decisions<'_>) {
    match decisions.below(32) {
        0 => world.open(),
        1 | 2 => world.submit(decisions),
        3 | 4 => world.attach(decisions),
        5..=11 => world.report(decisions),
        12 => world.cancel(decisions),
        13 => world.lose_worker(decisions),
        14 => world.pass(decisions),
        15..=18 => world.store(decisions),
        19..=22 => world.read(decisions),
        23 => world.drop_connection(decisions),
        24 | 25 => world.resume(decisions),
        26 | 27 => world.subscribe(decisions),
        28 => world.unsubscribe(decisions),
        29 => world.acknowledge(decisions),
        30 => world.notify(decisions),
        _ => match decisions.below(8) {
            0..=2 => world.crash(),
            3 => world.abandon(decisions),
            _ => world.open(),
        },
    }
}
