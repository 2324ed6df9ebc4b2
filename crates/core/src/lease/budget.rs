//! What a job may cost: counters by currency (spec 9.6).
//!
//! A budget is what a lease asks for; its counters are what becomes of it. A cost that is reported is taken off once, by
//! the record that reports it, so whoever reads the records again comes to the same counters. What a child is given is
//! set aside; when the child has ended, what it has spent is spent, and the rest is free again. Nothing is made or lost
//! on the way:
//!
//! ```text
//! initial = remaining + spent + set aside
//! ```
//!
//! Where an upstream counts too, and says that a budget is spent, its word counts: the agent says so with the metric
//! `cost.budget.exhausted`, and nothing is left.
//!
//! A cost is reported after it has arisen, so a counter may fall below nothing. Then, or at nothing, no further operation
//! is allowed.

use std::collections::BTreeMap;

use moorline_types::{BudgetEntry, BudgetEntryError, COST_BUDGET, MAX_CURRENCY_BYTES, Units, UnitsError};

/// Currencies of one budget.
pub const MAX_CURRENCIES: usize = 16;

/// By how many percent of a budget it has to change before what is left of it is told again.
const TOLD_STEP_PERCENT: u8 = 5;

/// The names of metrics that are costs begin with it.
const COST: &str = "cost.";

/// The names of metrics that say how a budget stands begin with it. They are gauges: they cost nothing.
const GAUGE: &str = COST_BUDGET;

/// The metric that says what is left.
pub const REMAINING: &str = "cost.budget.remaining";

/// The metric by which an agent says that its upstream lets it spend nothing more in this currency, whatever is left by
/// what it has reported.
const EXHAUSTED: &str = "cost.budget.exhausted";

/// What a lease asks for: currency to amount.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Budget(BTreeMap<Box<str>, Units>);

/// Texts are no budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// One of them is no entry.
    #[error("{COST_BUDGET} {text:?} {source}")]
    Entry {
        /// The text, or its beginning.
        text: String,
        /// What is wrong with it.
        source: BudgetEntryError,
    },
    /// There are too many currencies.
    #[error("{COST_BUDGET} must have at most {MAX_CURRENCIES} currencies")]
    Currencies,
}

impl Budget {
    /// Reads what stands in a lease. Amounts of the same currency are added up.
    ///
    /// # Errors
    /// See [`BudgetError`].
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, BudgetError> {
        let mut budget = BTreeMap::<Box<str>, Units>::new();
        for text in texts {
            let text = text.as_ref();
            // What is quoted back is bounded.
            let told = || text.chars().take(2 * MAX_CURRENCY_BYTES).collect();
            let BudgetEntry { currency, amount } =
                BudgetEntry::read(text).map_err(|source| BudgetError::Entry { text: told(), source })?;
            let sum = budget.entry(currency.into()).or_default();
            *sum = sum.plus(amount);
            if *sum > Units::MAX {
                let source = BudgetEntryError::Amount(UnitsError::TooLarge);
                return Err(BudgetError::Entry { text: told(), source });
            }
            if budget.len() > MAX_CURRENCIES {
                return Err(BudgetError::Currencies);
            }
        }
        Ok(Self(budget))
    }

    /// Currency to amount, in the order of the currencies' names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Units)> {
        self.0.iter().map(|(currency, amount)| (&**currency, *amount))
    }

    /// How much there is of a currency; `None` if it is not bounded.
    pub fn get(&self, currency: &str) -> Option<Units> {
        self.0.get(currency).copied()
    }

    /// The same as it stands in a lease.
    pub fn to_texts(&self) -> Vec<String> {
        self.iter().map(|(currency, amount)| format!("{currency}:{amount}")).collect()
    }

    /// Whether there is no bound at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of it is left without so much, and at least nothing. What is not bounded stays so.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let left = |currency: &str, amount: Units| match other.get(currency) {
            Some(taken) => amount.minus(taken).max(Units::ZERO),
            None => amount,
        };
        Self(self.0.iter().map(|(currency, amount)| (currency.clone(), left(currency, *amount))).collect())
    }
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters(BTreeMap<Box<str>, Counter>);

/// One currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counter {
    initial: Units,
    spent: Units,
    /// What of it ended children have spent.
    spent_below: Units,
    set_aside: Units,
    /// What was left when it was told last.
    told: Units,
}

impl Counter {
    const fn remaining(&self) -> Units {
        self.initial.minus(self.spent).minus(self.set_aside)
    }
}

/// What a metric is to a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge<'a> {
    /// No cost, or one in a currency that is not counted.
    None,
    /// A cost, and what is left of its currency.
    Taken {
        /// The currency.
        currency: &'a str,
        /// What is left. May be negative.
        remaining: Units,
    },
    /// A cost below nothing. It changes nothing.
    Negative,
    /// A cost that cannot be counted exactly.
    Uncountable(UnitsError),
}

/// A child asks for more than there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// In this currency.
    pub currency: Box<str>,
    /// So much.
    pub asked: Units,
    /// Of this; `None` if the parent has no budget in this currency to give from.
    pub remaining: Option<Units>,
}

impl Counters {
    /// The counters of a job that begins.
    pub fn new(budget: &Budget) -> Self {
        let zero = Units::ZERO;
        let counter = |initial| Counter { initial, spent: zero, spent_below: zero, set_aside: zero, told: initial };
        Self(budget.0.iter().map(|(currency, amount)| (currency.clone(), counter(*amount))).collect())
    }

    /// What is left, by currency.
    pub fn remaining(&self) -> impl Iterator<Item = (&str, Units)> {
        self.0.iter().map(|(currency, counter)| (&**currency, counter.remaining()))
    }

    /// What has been spent, by currency, with what ended children have spent.
    pub fn spent(&self) -> impl Iterator<Item = (&str, Units)> {
        self.0.iter().map(|(currency, counter)| (&**currency, counter.spent))
    }

    /// The first currency of which nothing is left: no operation is allowed then.
    pub fn exhausted(&self) -> Option<&str> {
        self.remaining().find(|(_, remaining)| remaining.is_spent()).map(|(currency, _)| currency)
    }

    /// Takes a reported metric in. `value` is the text of its number.
    pub fn charge<'a>(&mut self, name: &str, unit: Option<&'a str>, value: &str) -> Charge<'a> {
        if name == EXHAUSTED {
            return self.exhaust(unit);
        }
        let is_gauge = name.strip_prefix(GAUGE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let Some(currency) = unit.filter(|_| name.starts_with(COST) && !is_gauge) else { return Charge::None };
        let Some(counter) = self.0.get_mut(currency) else { return Charge::None };
        match Units::from_cost(value) {
            Err(_) if value.starts_with('-') => Charge::Negative,
            Err(error) => Charge::Uncountable(error),
            Ok(value) if value.is_negative() => Charge::Negative,
            Ok(value) => {
                counter.spent = counter.spent.plus(value);
                Charge::Taken { currency, remaining: counter.remaining() }
            }
        }
    }

    /// The upstream counts what is spent, and says that nothing is left: what was not reported is spent too.
    fn exhaust<'a>(&mut self, unit: Option<&'a str>) -> Charge<'a> {
        let Some((currency, counter)) = unit.and_then(|unit| Some((unit, self.0.get_mut(unit)?))) else {
            return Charge::None;
        };
        if !counter.remaining().is_spent() {
            counter.spent = counter.spent.plus(counter.remaining());
        }
        Charge::Taken { currency, remaining: counter.remaining() }
    }

    /// Sets aside what a child is given.
    ///
    /// # Errors
    /// If there is less in some currency; nothing is set aside then.
    pub fn set_aside(&mut self, child: &Budget) -> Result<(), Shortfall> {
        for (currency, asked) in &child.0 {
            let remaining = self.0.get(currency).map(Counter::remaining);
            if remaining.is_none_or(|remaining| *asked > remaining) {
                return Err(Shortfall { currency: currency.clone(), asked: *asked, remaining });
            }
        }
        for (currency, asked) in &child.0 {
            if let Some(counter) = self.0.get_mut(currency) {
                counter.set_aside = counter.set_aside.plus(*asked);
            }
        }
        Ok(())
    }

    /// A child that was given `budget` has ended, having spent `spent`: the rest is free again.
    pub fn settle<'a>(&mut self, budget: &Budget, spent: impl IntoIterator<Item = (&'a str, Units)>) {
        for (currency, given) in &budget.0 {
            if let Some(counter) = self.0.get_mut(currency) {
                counter.set_aside = counter.set_aside.minus(*given);
            }
        }
        for (currency, spent) in spent {
            if let Some(counter) = self.0.get_mut(currency) {
                counter.spent = counter.spent.plus(spent);
                counter.spent_below = counter.spent_below.plus(spent);
            }
        }
    }

    /// The budget without what ended children have spent: what the job itself and its open children have between them.
    pub fn not_spent_below(&self) -> Budget {
        let own = |counter: &Counter| counter.initial.minus(counter.spent_below);
        Budget(self.0.iter().map(|(currency, counter)| (currency.clone(), own(counter))).collect())
    }

    /// What is left in the currencies in which that is worth telling: it has changed by a twentieth of the budget since
    /// it was told last, or across nothing. Each counts as told then.
    pub fn take_due(&mut self) -> Vec<(Box<str>, Units)> {
        let due = self.0.iter_mut().filter(|(_, counter)| counter.is_due());
        due.map(|(currency, counter)| {
            counter.told = counter.remaining();
            (currency.clone(), counter.told)
        })
        .collect()
    }

    /// What is left of a currency was told, as a record says.
    pub fn note_told(&mut self, currency: &str, remaining: Units) {
        if let Some(counter) = self.0.get_mut(currency) {
            counter.told = remaining;
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Counter {
    fn is_due(&self) -> bool {
        let remaining = self.remaining();
        let change = if remaining < self.told { self.told.minus(remaining) } else { remaining.minus(self.told) };
        let step = self.initial.percent(TOLD_STEP_PERCENT);
        change > Units::ZERO && (change >= step || remaining.is_spent() != self.told.is_spent())
    }
}

#[cfg(test)]
mod tests;
