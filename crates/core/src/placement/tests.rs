//! Where jobs are, told as what happens to workers.

use moorline_types::Timestamp;
use proptest::prelude::*;

use super::*;

fn job(n: u8) -> JobId {
    JobId::mint(Timestamp::from_unix_millis(u64::from(n)), [n; 10])
}

fn worker(n: u8) -> WorkerId {
    WorkerId::mint(Timestamp::from_unix_millis(u64::from(n)), [n; 10])
}

fn agent() -> ResolvedAgent {
    "echo@1".parse().unwrap()
}

fn fence(n: u64) -> Fence {
    Fence::new(n)
}

fn actions(placement: &mut Placement) -> Vec<Action> {
    std::iter::from_fn(|| placement.poll()).collect()
}

fn attach(placement: &mut Placement, n: u8, link: u64, held: &[JobId]) {
    placement.handle_attached(worker(n), fence(link), [(agent(), 2)], held);
}

#[test]
fn a_worker_that_comes_back_keeps_what_it_holds() {
    let mut placement = Placement::default();
    placement.handle_job(job(1), agent());
    attach(&mut placement, 1, 1, &[]);
    assert_eq!(actions(&mut placement), [Action::Start { job: job(1), fence: fence(1) }]);
    placement.handle_started(job(1), fence(1));
    placement.handle_link_lost(fence(1));
    attach(&mut placement, 2, 2, &[]);
    assert_eq!(actions(&mut placement), [], "no other worker gets it meanwhile");
    attach(&mut placement, 1, 3, &[job(1)]);
    assert_eq!(actions(&mut placement), [Action::Attach { job: job(1), worker: worker(1), fence: fence(3) }]);
}

#[test]
fn a_worker_that_attaches_again_replaces_its_own_link() {
    let mut placement = Placement::default();
    attach(&mut placement, 1, 1, &[]);
    attach(&mut placement, 1, 2, &[]);
    assert_eq!(actions(&mut placement), [Action::Close { fence: fence(1) }]);
    placement.handle_link_lost(fence(1));
    placement.handle_job(job(1), agent());
    assert_eq!(actions(&mut placement), [Action::Start { job: job(1), fence: fence(2) }]);
}

#[test]
fn what_a_worker_does_not_hold_is_lost_if_it_had_begun_and_waits_again_if_not() {
    let mut placement = Placement::default();
    attach(&mut placement, 1, 1, &[]);
    placement.handle_job(job(1), agent());
    placement.handle_job(job(2), agent());
    placement.handle_started(job(1), fence(1));
    placement.handle_link_lost(fence(1));
    actions(&mut placement);
    attach(&mut placement, 1, 2, &[]);
    assert_eq!(
        actions(&mut placement),
        [
            Action::Lose { job: job(1), worker: worker(1), lost: Lost::Forgotten },
            Action::Start { job: job(2), fence: fence(2) }
        ]
    );
}

#[test]
fn what_is_over_or_anothers_is_dropped() {
    let mut placement = Placement::default();
    attach(&mut placement, 1, 1, &[]);
    placement.handle_job(job(1), agent());
    placement.handle_started(job(1), fence(1));
    actions(&mut placement);
    attach(&mut placement, 2, 2, &[job(1), job(9)]);
    let dropped = |n| Action::Drop { job: job(n), fence: fence(2) };
    assert_eq!(actions(&mut placement), [dropped(1), dropped(9)]);
}

#[test]
fn a_recovered_job_waits_for_the_worker_that_may_have_it() {
    for held in [true, false] {
        let mut placement = Placement::default();
        placement.handle_awaited(worker(1), [agent()]);
        placement.handle_recovered(job(1), agent(), None);
        placement.handle_recovery_done();
        attach(&mut placement, 2, 1, &[]);
        assert_eq!(actions(&mut placement), [], "worker 1 may be running it");
        let jobs = if held { vec![job(1)] } else { vec![] };
        attach(&mut placement, 1, 2, &jobs);
        let expected = match held {
            true => Action::Attach { job: job(1), worker: worker(1), fence: fence(2) },
            // Both have room; the first attached takes it.
            false => Action::Start { job: job(1), fence: fence(1) },
        };
        assert_eq!(actions(&mut placement), [expected]);
    }
}

#[test]
fn a_recovered_job_whose_worker_is_not_awaited_is_lost_for_the_reason_that_was_found() {
    for (found, lost) in [(None, Lost::Ended), (Some(Lost::NotAdopted), Lost::NotAdopted)] {
        let mut placement = Placement::default();
        if let Some(found) = found {
            placement.handle_found_gone(worker(1), found);
        }
        placement.handle_recovered(job(1), agent(), Some(worker(1)));
        placement.handle_recovery_done();
        assert_eq!(actions(&mut placement), [Action::Lose { job: job(1), worker: worker(1), lost }]);
    }
}

#[test]
fn an_awaited_worker_that_does_not_come_loses_its_jobs_and_holds_up_no_others() {
    let mut placement = Placement::default();
    placement.handle_awaited(worker(1), [agent()]);
    placement.handle_recovered(job(1), agent(), Some(worker(1)));
    placement.handle_recovered(job(2), agent(), None);
    placement.handle_recovery_done();
    assert_eq!(placement.awaited(), 1);
    attach(&mut placement, 2, 1, &[]);
    placement.handle_worker_gone(worker(1), Lost::Away);
    assert_eq!(
        actions(&mut placement),
        [
            Action::Lose { job: job(1), worker: worker(1), lost: Lost::Away },
            Action::Start { job: job(2), fence: fence(1) }
        ]
    );
}

#[test]
fn a_retiring_worker_finishes_what_it_has_and_leaves() {
    let mut placement = Placement::default();
    placement.handle_awaited(worker(1), [agent()]);
    placement.handle_retiring(worker(1));
    placement.handle_recovered(job(1), agent(), Some(worker(1)));
    placement.handle_recovery_done();
    attach(&mut placement, 1, 1, &[job(1)]);
    placement.handle_job(job(2), agent());
    assert_eq!(actions(&mut placement), [Action::Attach { job: job(1), worker: worker(1), fence: fence(1) }]);
    placement.handle_ended(job(1));
    assert_eq!(actions(&mut placement), [Action::Leave { fence: fence(1) }]);
    attach(&mut placement, 2, 2, &[]);
    assert_eq!(actions(&mut placement), [Action::Start { job: job(2), fence: fence(2) }]);
}

/// What may happen to the workers and jobs of a gateway.
#[derive(Debug, Clone, Copy)]
enum Step {
    Job,
    Attach(u8),
    Unlink(u8),
    Die(u8),
    End(u8),
    TakeUp(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Job),
        (0_u8..3).prop_map(Step::Attach),
        (0_u8..3).prop_map(Step::Unlink),
        (0_u8..3).prop_map(Step::Die),
        any::<u8>().prop_map(Step::End),
        (0_u8..3).prop_map(Step::TakeUp),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A worker as it is.
#[derive(Default)]
struct Slot {
    /// How many workers had this slot before.
    life: u8,
    link: Option<u64>,
    /// What it was told to start, and has not.
    told: Vec<JobId>,
    holds: BTreeSet<JobId>,
}

#[derive(Default)]
struct Model {
    placement: Placement,
    workers: [Slot; 3],
    open: BTreeSet<JobId>,
    next: u64,
}

impl Model {
    fn id(&self, slot: u8) -> WorkerId {
        worker((slot + 1).wrapping_add(self.workers[usize::from(slot)].life.wrapping_mul(3)))
    }

    fn perform(&mut self) {
        while let Some(action) = self.placement.poll() {
            match action {
                Action::Start { job, fence } => {
                    let slot = self.workers.iter_mut().find(|slot| slot.link == Some(fence.get()));
                    slot.expect("a job is started over a link that is there").told.push(job);
                }
                Action::Drop { job, fence } => {
                    for slot in self.workers.iter_mut().filter(|slot| slot.link == Some(fence.get())) {
                        slot.holds.remove(&job);
                    }
                }
                Action::Lose { job, .. } => {
                    self.open.remove(&job);
                    self.placement.handle_ended(job);
                }
                Action::Attach { .. } | Action::Leave { .. } | Action::Close { .. } => {}
            }
        }
        let runners = self.open.iter().map(|job| self.workers.iter().filter(|slot| slot.holds.contains(job)).count());
        assert!(runners.max().unwrap_or(0) <= 1, "a job runs on one worker at a time");
    }
}

proptest! {
    /// Whatever happens to links and workers: an open job never runs on two of them, and once workers are there and
    /// stay, every job has one.
    #[test]
    fn a_job_runs_on_one_worker_and_is_never_forgotten(steps in steps()) {
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Job => {
                    let id = job(u8::try_from(model.next % 200).unwrap());
                    model.next += 1;
                    if model.open.insert(id) {
                        model.placement.handle_job(id, agent());
                    }
                }
                Step::Attach(slot) => {
                    model.next += 1;
                    let (id, link) = (model.id(slot), model.next + 1_000);
                    let worker = &mut model.workers[usize::from(slot)];
                    worker.link = Some(link);
                    // What was said over the old link and not read is gone with it.
                    worker.told.clear();
                    let held: Vec<_> = worker.holds.iter().copied().collect();
                    model.placement.handle_attached(id, fence(link), [(agent(), 3)], &held);
                }
                Step::Unlink(slot) => if let Some(link) = model.workers[usize::from(slot)].link.take() {
                    model.placement.handle_link_lost(fence(link));
                },
                Step::Die(slot) => {
                    let id = model.id(slot);
                    let worker = &mut model.workers[usize::from(slot)];
                    *worker = Slot { life: worker.life + 1, ..Slot::default() };
                    model.placement.handle_worker_gone(id, Lost::Ended);
                }
                Step::End(pick) => if let Some(id) = model.open.iter().nth(usize::from(pick) % model.open.len().max(1)).copied() {
                    model.open.remove(&id);
                    for slot in &mut model.workers {
                        slot.holds.remove(&id);
                        slot.told.retain(|told| *told != id);
                    }
                    model.placement.handle_ended(id);
                },
                Step::TakeUp(slot) => {
                    let worker = &mut model.workers[usize::from(slot)];
                    let link = worker.link;
                    for id in worker.told.drain(..) {
                        worker.holds.insert(id);
                        if let Some(link) = link {
                            model.placement.handle_started(id, fence(link));
                        }
                    }
                }
            }
            model.perform();
        }
        // A worker with room for all comes and stays; the others are gone for good.
        for slot in 0..3 {
            let id = model.id(slot);
            model.workers[usize::from(slot)] = Slot::default();
            model.placement.handle_worker_gone(id, Lost::Ended);
            model.perform();
        }
        model.workers[0].link = Some(9_999);
        model.placement.handle_attached(worker(250), fence(9_999), [(agent(), 1_000)], &[]);
        model.perform();
        let told: BTreeSet<_> = model.workers[0].told.iter().copied().collect();
        prop_assert_eq!(told, model.open);
    }
}
