//! How the tags of a simulated plant move.

use serde::{Deserialize, Serialize};

use crate::contract::Value;

/// How a tag moves. A period is in milliseconds and at least 1; zero is read as 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "wave", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wave {
    /// From `min` up to `max`, then at once back.
    Ramp {
        /// The lowest.
        min: f64,
        /// The highest.
        max: f64,
        /// How long from the lowest to the highest.
        period_ms: u64,
    },
    /// Up and down.
    Sine {
        /// The lowest.
        min: f64,
        /// The highest.
        max: f64,
        /// How long from one highest to the next.
        period_ms: u64,
    },
    /// Now `false`, now `true`.
    Square {
        /// How long for both.
        period_ms: u64,
    },
    /// One more with every tick, so that nothing of it can be missing unseen.
    Counter,
    /// As it was written, from this value on.
    Memory {
        /// The first value.
        value: Value,
    },
}

impl Wave {
    /// The value so many milliseconds and so many ticks after the beginning; `None` if it is what was written.
    pub fn at(&self, elapsed_ms: u64, tick: u64) -> Option<Value> {
        let phase = |period_ms: u64| {
            let period = period_ms.max(1);
            // Within a period, which is far below the precision of a double.
            #[expect(clippy::cast_precision_loss, reason = "a phase is a fraction; its last bits do not matter")]
            let phase = (elapsed_ms % period) as f64 / period as f64;
            phase
        };
        match self {
            Self::Ramp { min, max, period_ms } => Some(double(min + (max - min) * phase(*period_ms))),
            Self::Sine { min, max, period_ms } => {
                let swing = (phase(*period_ms) * std::f64::consts::TAU).sin();
                Some(double(min + (max - min) * (swing + 1.0) / 2.0))
            }
            Self::Square { period_ms } => Some(Value::Bool(phase(*period_ms) >= 0.5)),
            Self::Counter => Some(Value::Integer(i64::try_from(tick).unwrap_or(i64::MAX))),
            Self::Memory { .. } => None,
        }
    }

    /// Whether it can be written.
    pub const fn is_writable(&self) -> bool {
        matches!(self, Self::Memory { .. })
    }
}

/// A number that JSON can say.
fn double(number: f64) -> Value {
    if number.is_finite() { Value::Double(number) } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_go_where_they_should() {
        let ramp = Wave::Ramp { min: 0.0, max: 10.0, period_ms: 1_000 };
        let sine = Wave::Sine { min: -1.0, max: 1.0, period_ms: 1_000 };
        let square = Wave::Square { period_ms: 100 };
        for (wave, elapsed, expected) in [
            (&ramp, 0, Value::Double(0.0)),
            (&ramp, 500, Value::Double(5.0)),
            (&ramp, 1_000, Value::Double(0.0)),
            (&sine, 0, Value::Double(0.0)),
            (&sine, 250, Value::Double(1.0)),
            (&square, 49, Value::Bool(false)),
            (&square, 50, Value::Bool(true)),
            (&Wave::Square { period_ms: 0 }, 7, Value::Bool(false)),
            (&Wave::Counter, 7, Value::Integer(3)),
            (&Wave::Ramp { min: f64::MIN, max: f64::MAX, period_ms: 2 }, 1, Value::Null),
        ] {
            assert_eq!(wave.at(elapsed, 3), Some(expected), "{wave:?} at {elapsed}");
        }
        assert_eq!(Wave::Memory { value: Value::Null }.at(1, 1), None);
    }
}
