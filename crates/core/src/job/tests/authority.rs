//! What a job may do, and what becomes of its budget, over any crashes.

use std::collections::BTreeMap;

use moorline_types::{Capability, Units};

use super::*;
use crate::lease::budget::Budget;

fn metric(name: &str, value: &str, unit: &str) -> Report {
    let body = Json::parse(&format!(r#"{{"name":"{name}","value":{value},"unit":"{unit}"}}"#)).unwrap();
    Report::Event { kind: EventKind::Metric, ts: Timestamp::from_unix_millis(7), body }
}

fn child(number: u8) -> JobId {
    JobId::mint(Timestamp::from_unix_millis(9), [number; 10])
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

impl Bench {
    fn budgeted(lease: &str) -> Self {
        Self::with_lease(lease, None, None).taken_up()
    }

    fn cost(&mut self, worker_seq: u64, value: &str) {
        self.report(worker_seq, metric("cost.inference", value, "USD")).unwrap();
    }

    fn may(&self, after: u64, capability: &Capability, target: &str) -> Result<(), Denied> {
        match self.job.handle_authorize(self.now, FENCE, WorkerSeq::new(after), capability, target) {
            Ok(verdict) => verdict,
            Err(error) => panic!("the question is not taken in: {error}"),
        }
    }

    fn remaining(&self) -> Vec<String> {
        self.job.authority().remaining().map(|(currency, units)| format!("{currency}:{units}")).collect()
    }

    /// What the gateway has told of the budget, as the journal has it.
    fn told(&self) -> Vec<String> {
        let told = |record: &Record| match Fact::decode(record).unwrap() {
            Fact::Event(event) if event.worker_seq.is_none() => Some(event.body.get().to_owned()),
            _ => None,
        };
        self.journal.iter().filter_map(told).collect()
    }
}

/// Whatever the agent has reported, the upstream is who counts; its word is told, and holds after a restart.
#[test]
fn what_an_upstream_says_is_spent_is_spent() {
    let mut bench = Bench::budgeted(r#"{"tool.call":["grep"],"cost.budget":["USD:1","EUR:1"]}"#);
    bench.cost(1, "0.01");
    bench.report(2, metric("cost.budget.exhausted", "0", "USD")).unwrap();
    let exhausted = Denied::Exhausted { currency: "USD".into(), remaining: Units::ZERO };
    assert_eq!(bench.may(2, &Capability::ToolCall, "grep"), Err(exhausted.clone()));
    bench.settle();
    assert_eq!(bench.told(), [r#"{"name":"cost.budget.remaining","value":0,"unit":"USD"}"#]);
    bench.report(3, metric("cost.budget.exhausted", "0", "USD")).unwrap();
    bench.cost(4, "0.5");
    assert_eq!(bench.remaining(), ["EUR:1", "USD:-0.5"], "said again it changes nothing");
    bench.settle();
    bench.restart();
    assert_eq!(bench.remaining(), ["EUR:1", "USD:-0.5"]);
}

#[test]
fn an_operation_is_held_against_the_end_then_the_patterns_then_the_budget() {
    let lease = r#"{"tool.call":["git-*"],"cost.budget":["USD:1"]}"#;
    let mut bench = Bench::with_lease(lease, None, Some(Millis::from_secs(60))).taken_up();
    let tool = Capability::ToolCall;
    assert_eq!(bench.may(0, &tool, "git-log"), Ok(()));
    assert!(matches!(bench.may(0, &tool, "rm"), Err(Denied::NotCovered { .. })));
    assert!(matches!(bench.may(0, &Capability::ModelUse, "gpt"), Err(Denied::NotCovered { .. })));
    assert!(matches!(bench.may(0, &tool, ""), Err(Denied::Target { .. })));

    bench.cost(1, "1");
    let exhausted = Denied::Exhausted { currency: "USD".into(), remaining: Units::ZERO };
    assert_eq!(bench.may(1, &tool, "git-log"), Err(exhausted));
    assert!(matches!(bench.may(1, &tool, "rm"), Err(Denied::NotCovered { .. })), "the budget is not told to it");

    bench.now = bench.now + Millis::from_secs(60);
    assert!(matches!(bench.may(1, &tool, "rm"), Err(Denied::Expired { .. })), "at the end, the lease has ended");
    bench.report(2, result()).unwrap();
    assert!(matches!(bench.may(2, &tool, "git-log"), Err(Denied::Ended { status: Status::Success })));
}

#[test]
fn a_question_is_answered_after_the_reports_that_were_made_before_it() {
    let mut bench = Bench::budgeted(r#"{"tool.call":["**"],"cost.budget":["USD:1"]}"#);
    let ask = |bench: &Bench, fence, after| {
        bench.job.handle_authorize(bench.now, fence, WorkerSeq::new(after), &Capability::ToolCall, "grep")
    };
    let gap = ReportError::Gap { expected: WorkerSeq::FIRST, got: WorkerSeq::new(2) };
    assert_eq!(ask(&bench, FENCE, 1), Err(gap));
    assert!(matches!(ask(&bench, FENCE.next(), 0), Err(ReportError::Stale { .. })));
    assert_eq!(ask(&bench, FENCE, 0), Ok(Ok(())));
    bench.cost(1, "1");
    assert!(matches!(ask(&bench, FENCE, 1), Ok(Err(Denied::Exhausted { .. }))), "although nothing is committed yet");
}

#[test]
fn a_cost_counts_once_and_a_gauge_never() {
    let mut bench = Bench::budgeted(r#"{"cost.budget":["USD:1","credits:10"]}"#);
    for (worker_seq, name, value, unit) in [
        (1, "cost.inference", "0.10", "USD"),
        (1, "cost.inference", "0.10", "USD"),
        (2, "cost.budget.remaining", "0.5", "USD"),
        (3, "cost.search", "2.5e-1", "USD"),
        (4, "cost.search", "1", "EUR"),
        (5, "tokens", "5", "USD"),
        (6, "cost.search", "1e0", "credits"),
    ] {
        bench.report(worker_seq, metric(name, value, unit)).unwrap();
    }
    assert_eq!(bench.remaining(), ["USD:0.65", "credits:9"]);
    bench.settle();
    bench.restart();
    assert_eq!(bench.remaining(), ["USD:0.65", "credits:9"]);
}

#[test]
fn a_cost_that_cannot_be_counted_is_replaced_by_a_warning() {
    for (value, problem) in [("-1", "a cost must not be negative"), ("1e300", "a cost must be at most")] {
        let mut bench = Bench::budgeted(r#"{"cost.budget":["USD:1"]}"#);
        bench.cost(1, value);
        bench.settle();
        let Fact::Event(event) = Fact::decode(bench.journal.last().unwrap()).unwrap() else { panic!("no event") };
        assert_eq!((event.kind, event.worker_seq), (EventKind::Log, Some(WorkerSeq::FIRST)), "{value}");
        assert!(event.body.get().contains(problem), "{:?}", event.body);
        assert_eq!(bench.remaining(), ["USD:1"]);
        bench.restart();
        assert_eq!(bench.remaining(), ["USD:1"]);
    }
}

#[test]
fn what_is_left_is_told_in_steps_and_under_the_same_numbers_after_a_restart() {
    let mut bench = Bench::budgeted(r#"{"cost.budget":["USD:1"]}"#);
    for worker_seq in 1..=10 {
        bench.cost(worker_seq, "0.02");
    }
    bench.settle();
    let told = [r#"{"name":"cost.budget.remaining","value":0.94,"unit":"USD"}"#, "0.88", "0.82"];
    let told: Vec<_> = told
        .iter()
        .map(|text| if text.starts_with('{') { (*text).to_owned() } else { told[0].replace("0.94", text) })
        .collect();
    assert_eq!(bench.told(), told);
    bench.restart();
    bench.settle();
    assert_eq!(bench.told(), told, "nothing is told twice");
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.cost(11, "0.02");
    bench.settle();
    assert_eq!(bench.told(), told, "and the steps go on from what was told last");
}

#[test]
fn what_was_not_told_because_the_gateway_died_is_told_by_the_next() {
    let mut bench = Bench::budgeted(r#"{"cost.budget":["USD:1"]}"#);
    bench.cost(1, "2");
    bench.settle();
    let gauge = bench.journal.pop().unwrap();
    bench.restart();
    bench.settle();
    assert_eq!(bench.journal.last().unwrap().seq, gauge.seq);
    assert_eq!(bench.told(), [r#"{"name":"cost.budget.remaining","value":-1,"unit":"USD"}"#]);
}

#[test]
fn a_lease_of_an_earlier_version_that_cannot_be_read_allows_nothing() {
    let bench = Bench::budgeted(r#"{"fs.read":["/a/../b"],"tool.call":["**"]}"#);
    assert!(matches!(bench.may(0, &Capability::ToolCall, "grep"), Err(Denied::NotCovered { .. })));
}

#[test]
fn what_a_child_is_given_is_set_aside_once_and_the_rest_given_back_once() {
    let mut bench = Bench::budgeted(r#"{"cost.budget":["USD:5"]}"#);
    let two = Budget::new(["USD:2"]).unwrap();
    let at = bench.job.reserve(bench.now, child(1), two.clone()).unwrap();
    assert_eq!(bench.job.reserve(bench.now, child(1), two.clone()).unwrap(), at);
    bench.settle();
    bench.restart();
    assert_eq!(bench.remaining(), ["USD:3"]);
    let four = Budget::new(["USD:4"]).unwrap();
    assert!(matches!(bench.job.reserve(bench.now, child(2), four), Err(ReserveError::Shortfall(_))));
    assert_eq!(bench.job.authority().spent(), [("USD".into(), units("2"))].into(), "until it has ended");
    for _ in 0..2 {
        bench.job.refund(bench.now, child(1), [("USD".into(), units("0.5"))].into());
        bench.settle();
        assert_eq!(bench.remaining(), ["USD:4.5"]);
        bench.restart();
        assert_eq!(bench.remaining(), ["USD:4.5"]);
    }
    bench.job.handle_attached(bench.now, worker(), FENCE);
    bench.report(1, result()).unwrap();
    assert!(matches!(bench.job.reserve(bench.now, child(3), two), Err(ReserveError::Ended { .. })));
}

/// What happens to a job with a budget.
#[derive(Debug, Clone)]
enum Step {
    Cost { cents: u32 },
    Reserve { child: u8, cents: u32 },
    Refund { child: u8, cents: u32 },
    Commit,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u32..150).prop_map(|cents| Step::Cost { cents }),
        2 => (0_u8..4, 0_u32..400).prop_map(|(child, cents)| Step::Reserve { child, cents }),
        2 => (0_u8..4, 0_u32..400).prop_map(|(child, cents)| Step::Refund { child, cents }),
        2 => Just(Step::Commit),
        1 => Just(Step::Crash),
    ]
}

fn cents(cents: u32) -> Units {
    Units::from_json_number(&format!("{cents}e-2")).unwrap()
}

/// A parent, the worker that keeps its reports, and those who give to its children and take back.
struct World {
    bench: Bench,
    costs: Vec<u32>,
    /// Asked for and not settled, by child; and settled.
    given: BTreeMap<u8, u32>,
    settled: BTreeMap<u8, u32>,
}

impl World {
    fn step(&mut self, step: &Step) {
        let now = self.bench.now;
        match *step {
            Step::Cost { cents } => {
                self.costs.push(cents);
                self.report(self.costs.len());
            }
            Step::Reserve { child, cents } => {
                if !self.given.contains_key(&child) && !self.settled.contains_key(&child) {
                    let budget = Budget::new([format!("USD:{}", self::cents(cents))]).unwrap();
                    if self.bench.job.reserve(now, self::child(child), budget).is_ok() {
                        self.given.insert(child, cents);
                    }
                }
            }
            Step::Refund { child, cents } => {
                if self.given.remove(&child).is_some() {
                    self.settled.insert(child, cents);
                    self.bench.job.refund(now, self::child(child), [("USD".into(), self::cents(cents))].into());
                }
            }
            Step::Commit => self.bench.settle(),
            Step::Crash => self.crash(),
        }
    }

    fn report(&mut self, number: usize) {
        let value = format!("{}e-2", self.costs[number - 1]);
        self.bench.cost(number as u64, &value);
    }

    /// The gateway is gone with what was not committed; the worker says its part again, and so do the others, who go by
    /// what is recorded.
    fn crash(&mut self) {
        self.bench.restart();
        let now = self.bench.now;
        self.bench.job.handle_attached(now, worker(), FENCE);
        for number in 1..=self.costs.len() {
            self.report(number);
        }
        let reserved: Vec<JobId> = self.bench.job.authority().reserved().keys().copied().collect();
        // What was neither set aside nor settled before the crash never happened.
        let recorded: std::collections::BTreeSet<JobId> = self
            .bench
            .journal
            .iter()
            .filter_map(|record| match Fact::decode(record).unwrap() {
                Fact::Reserved(reserved) => Some(reserved.child),
                _ => None,
            })
            .collect();
        self.given.retain(|number, _| reserved.contains(&child(*number)));
        self.settled.retain(|number, _| recorded.contains(&child(*number)));
        for (number, spent) in &self.settled {
            self.bench.job.refund(now, child(*number), [("USD".into(), cents(*spent))].into());
        }
    }

    /// Both sides of the account.
    fn check(&self) {
        let sum = |all: &mut dyn Iterator<Item = u32>| all.fold(Units::ZERO, |sum, one| sum.plus(cents(one)));
        let costs = sum(&mut self.costs.iter().copied()).plus(sum(&mut self.settled.values().copied()));
        let spent = costs.plus(sum(&mut self.given.values().copied()));
        let authority = self.bench.job.authority();
        assert_eq!(authority.spent(), [("USD".into(), spent)].into());
        let (_, left) = authority.remaining().next().unwrap();
        assert_eq!(left.plus(spent), units("10"));
        assert_eq!(authority.reserved().len(), self.given.len());
    }
}

proptest! {
    /// Whatever is spent, set aside and given back, and however often the gateway dies in between, the budget is
    /// what is left, what is spent and what is set aside, and the journal says the same as the machine.
    #[test]
    fn no_sequence_of_costs_children_and_crashes_makes_or_loses_a_unit(steps in prop::collection::vec(step(), 0..60)) {
        let bench = Bench::budgeted(r#"{"cost.budget":["USD:10"]}"#);
        let mut world = World { bench, costs: Vec::new(), given: BTreeMap::new(), settled: BTreeMap::new() };
        for step in &steps {
            world.step(step);
            world.check();
        }
        world.bench.settle();
        let told = world.bench.told();
        world.bench.restart();
        world.check();
        world.bench.settle();
        prop_assert_eq!(world.bench.told(), told, "nothing was left to be told");
    }
}
