use proptest::prelude::*;

use super::*;

fn budget(texts: &[&str]) -> Budget {
    Budget::new(texts).unwrap()
}

fn units(text: &str) -> Units {
    text.parse().unwrap()
}

fn remaining(counters: &Counters) -> String {
    let entries = counters.remaining().map(|(currency, units)| format!("{currency}:{units}"));
    entries.collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_no_budget_is_refused_with_its_text() {
    let long = format!("{}:1", "C".repeat(MAX_CURRENCY_BYTES + 1));
    for text in [
        "", "USD", "USD 5", ":5", "5:USD", "U$D:5", "USD:", "USD:five", "USD:-1", "USD:1e3", "USD:NaN", "USD: 5", &long,
    ] {
        let error = Budget::new([text]).unwrap_err().to_string();
        assert!(error.contains(&text[..text.len().min(20)]), "{error}");
    }
    let large = Budget::new(["USD:1000000000000000", "USD:1"]).unwrap_err().to_string();
    assert!(large.contains("must be at most"), "{large}");
    let many: Vec<_> = (0..=MAX_CURRENCIES).map(|n| format!("C{n}:1")).collect();
    assert_eq!(Budget::new(many), Err(BudgetError::Currencies));
}

#[test]
fn amounts_of_a_currency_are_added_up() {
    let counters = Counters::new(&budget(&["USD:1.50", "credits:1000", "USD:0.5"]));
    assert_eq!(remaining(&counters), "USD:2 credits:1000");
}

#[test]
fn only_costs_in_a_counted_currency_are_taken_off() {
    for (name, unit, value, expected) in [
        ("cost.inference", Some("USD"), "0.25", "USD:4.75"),
        ("cost.inference", Some("USD"), "2.5e-1", "USD:4.75"),
        ("cost.inference", Some("USD"), "6", "USD:-1"),
        ("cost.inference", Some("USD"), "0", "USD:5"),
        ("cost.inference", Some("EUR"), "1", "USD:5"),
        ("cost.inference", Some("usd"), "1", "USD:5"),
        ("cost.inference", None, "1", "USD:5"),
        ("latency", Some("USD"), "1", "USD:5"),
        ("cost", Some("USD"), "1", "USD:5"),
        ("cost.budget.remaining", Some("USD"), "1", "USD:5"),
        ("cost.budget.exhausted", Some("USD"), "0", "USD:0"),
        ("cost.budget.exhausted", Some("USD"), "-1", "USD:0"),
        ("cost.budget.exhausted", Some("EUR"), "0", "USD:5"),
        ("cost.budget.exhausted", None, "0", "USD:5"),
        ("cost.budget", Some("USD"), "1", "USD:5"),
        ("cost.budgeting", Some("USD"), "1", "USD:4"),
        ("cost.inference", Some("USD"), "-1", "USD:5"),
        ("cost.inference", Some("USD"), "NaN", "USD:5"),
        ("cost.inference", Some("USD"), "1e300", "USD:5"),
    ] {
        let mut counters = Counters::new(&budget(&["USD:5"]));
        counters.charge(name, unit, value);
        assert_eq!(remaining(&counters), expected, "{name} {unit:?} {value}");
    }
}

#[test]
fn what_cannot_be_taken_off_is_said() {
    let mut counters = Counters::new(&budget(&["USD:5"]));
    assert_eq!(counters.charge("cost.a", Some("USD"), "-1"), Charge::Negative);
    assert_eq!(counters.charge("cost.a", Some("USD"), "-1e-30"), Charge::Negative);
    assert_eq!(counters.charge("cost.a", Some("USD"), "1e300"), Charge::Uncountable(UnitsError::TooLarge));
}

#[test]
fn nothing_is_left_at_nothing_and_below() {
    let mut counters = Counters::new(&budget(&["USD:1", "EUR:1"]));
    assert_eq!(counters.exhausted(), None);
    counters.charge("cost.a", Some("USD"), "0.999999999999999999");
    assert_eq!(counters.exhausted(), None);
    counters.charge("cost.a", Some("USD"), "0.000000000000000001");
    assert_eq!(counters.exhausted(), Some("USD"));
    assert_eq!(Counters::new(&budget(&["USD:0"])).exhausted(), Some("USD"));
    assert_eq!(Counters::default().exhausted(), None, "what has no budget is not bounded");
}

#[test]
fn what_is_left_is_told_in_steps_of_a_twentieth_and_at_nothing() {
    for (initial, cost, told_after) in [
        ("USD:100", "1", &[5, 10, 15][..]),
        ("USD:1", "0.01", &[5, 10, 15]),
        ("USD:0.0001", "0.000001", &[5, 10, 15]),
        ("USD:20", "1.01", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
    ] {
        let mut counters = Counters::new(&budget(&[initial]));
        let is_told = |counters: &mut Counters| {
            counters.charge("cost.a", Some("USD"), cost);
            !counters.take_due().is_empty()
        };
        let told: Vec<_> = (1..=15).filter(|_| is_told(&mut counters)).collect();
        assert_eq!(told, told_after, "{cost} of {initial}");
    }
    let mut counters = Counters::new(&budget(&["USD:100"]));
    for (cost, told) in [("96", Some("4")), ("3", None), ("1", Some("0")), ("1", None), ("5", Some("-6"))] {
        counters.charge("cost.a", Some("USD"), cost);
        let due: Vec<_> = told.map(|told| ("USD".into(), units(told))).into_iter().collect();
        assert_eq!(counters.take_due(), due, "{cost}");
    }
}

#[test]
fn a_child_gets_what_is_there_and_no_more() {
    let mut counters = Counters::new(&budget(&["USD:5", "EUR:1"]));
    counters.charge("cost.a", Some("USD"), "3");
    let shortfall = counters.set_aside(&budget(&["EUR:1", "USD:2.01"])).unwrap_err();
    let expected = Shortfall { currency: "USD".into(), asked: units("2.01"), remaining: Some(units("2")) };
    assert_eq!(shortfall, expected);
    assert_eq!(remaining(&counters), "EUR:1 USD:2", "nothing is set aside by halves");
    let foreign = counters.set_aside(&budget(&["GBP:1"])).unwrap_err();
    assert_eq!(foreign.remaining, None);

    let child = budget(&["USD:2"]);
    counters.set_aside(&child).unwrap();
    assert_eq!(counters.exhausted(), Some("USD"));
    counters.settle(&child, [("USD", units("0.5"))]);
    assert_eq!(remaining(&counters), "EUR:1 USD:1.5");
}

#[test]
fn a_child_that_has_spent_more_than_it_was_given_costs_its_parent_all_of_it() {
    let mut counters = Counters::new(&budget(&["USD:5"]));
    let child = budget(&["USD:1"]);
    counters.set_aside(&child).unwrap();
    counters.settle(&child, [("USD", units("1.25"))]);
    assert_eq!(remaining(&counters), "USD:3.75");
}

/// What happens to a parent and its children, by their number.
#[derive(Debug, Clone)]
enum Step {
    Charge { who: usize, cents: u32 },
    Delegate { cents: u32 },
    End { who: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..4, 0_u32..400).prop_map(|(who, cents)| Step::Charge { who, cents }),
        2 => (0_u32..700).prop_map(|cents| Step::Delegate { cents }),
        2 => (1_usize..4).prop_map(|who| Step::End { who }),
    ]
}

fn cents(cents: u32) -> Units {
    Units::from_json_number(&format!("{cents}e-2")).unwrap()
}

proptest! {
    /// Whatever is spent, handed on and given back, what is left of the parent, what its running children were given and
    /// what was spent by it and by the ended ones make its budget.
    #[test]
    fn no_unit_is_made_or_lost(steps in prop::collection::vec(step(), 0..60)) {
        let given = budget(&["USD:10"]);
        let mut parent = Counters::new(&given);
        let mut children: Vec<(Budget, Counters)> = Vec::new();
        let mut spent = Units::ZERO;
        for step in steps {
            match step {
                Step::Charge { who: 0, cents } => {
                    parent.charge("cost.a", Some("USD"), &format!("{cents}e-2"));
                    spent = spent.plus(self::cents(cents));
                }
                Step::Charge { who, cents } => {
                    if let Some((_, counters)) = children.get_mut(who - 1) {
                        counters.charge("cost.a", Some("USD"), &format!("{cents}e-2"));
                    }
                }
                Step::Delegate { cents } => {
                    let child = Budget::new([format!("USD:{}", self::cents(cents))]).unwrap();
                    let left = parent.remaining().next().unwrap().1;
                    let fits = self::cents(cents) <= left;
                    prop_assert_eq!(parent.set_aside(&child).is_ok(), fits);
                    if fits {
                        children.push((child.clone(), Counters::new(&child)));
                    }
                }
                Step::End { who } => {
                    if who <= children.len() {
                        let (child, counters) = children.remove(who - 1);
                        let costs = counters.spent().map(|(_, units)| units).next().unwrap();
                        parent.settle(&child, counters.spent());
                        spent = spent.plus(costs);
                    }
                }
            }
            let running = children.iter().fold(Units::ZERO, |sum, (child, _)| sum.plus(child.iter().next().unwrap().1));
            let left = parent.remaining().next().unwrap().1;
            prop_assert_eq!(left.plus(spent).plus(running), units("10"));
        }
    }
}
