//! Families of jobs under any sequence of operations: agents delegate, ask, spend and end; leases end; credentials are
//! replaced and withdrawn, soon, late or not before the end; the store refuses; the gateway is killed.
//!
//! The machines are the real ones of `core`; what the runtime does around them is done here by hand, so that the bytes
//! decide everything. After every operation, and at the end of all:
//!
//! - of no budget a unit is made or lost: what a job was given is what it has left, what it has spent, and what those
//!   below it were given or have spent, by its records and by the machine alike;
//! - a child may do nothing that its parent may not, and its lease ends no later;
//! - a job that is bound to its parent ends before it, and each end is told to the parent once;
//! - a job whose lease has ended has ended, and is allowed nothing;
//! - an end is recorded when the job's credentials are withdrawn, or after the patience for that.

mod account;
mod member;
mod world;

use crate::bytes::Decisions;
use world::World;

/// How much happened, so that tests can tell a sequence that does something from one that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Jobs that were submitted.
    pub submitted: usize,
    /// Children that there were.
    pub children: usize,
    /// Delegations that were refused.
    pub refused: usize,
    /// Jobs that ended for their lease.
    pub expired: usize,
    /// Credentials that were issued for children.
    pub issued: usize,
    /// Values of credentials that were replaced.
    pub replaced: usize,
    /// Jobs whose end was told before their credentials were withdrawn.
    pub impatient: usize,
    /// Times that the gateway was killed.
    pub crashes: usize,
}

/// The most operations that one sequence performs: what breaks, breaks in fewer.
const MAX_OPERATIONS: usize = 400;

/// Performs what the bytes say, ends everything, and checks.
///
/// # Panics
/// If something does not hold.
pub fn run(bytes: &[u8]) -> Tally {
    let mut world = World::default();
    Decisions::each(bytes, MAX_OPERATIONS, |decisions| {
        operation(&mut world, decisions);
        world.check();
    });
    world.end()
}

fn operation(world: &mut World, decisions: &mut Decisions<'_>) {
    match decisions.below(32) {
        0 => world.submit(decisions),
        1..=6 => world.delegate(decisions),
        7..=10 => world.spend(decisions),
        11 | 12 => world.succeed(decisions),
        13 => world.cancel(decisions),
        14 => world.lose_worker(decisions),
        15 | 16 => world.attach(),
        17..=23 => world.store(decisions),
        24 | 25 => world.pass(decisions),
        26 => world.replace(decisions),
        27 | 28 => world.withdraw(decisions),
        29 | 30 => world.settle(),
        _ => world.crash(decisions),
    }
}
