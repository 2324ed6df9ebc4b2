//! `cargo xtask chaos`: gateways and workers are killed at random moments for as long as one likes.
//!
//! The test of the same name does it for a short while in every run of the tests; this runs it for longer.

use anyhow::Result;

use crate::command::cargo;

/// How long, unless it is said.
const MINUTES: u64 = 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chaos {
    /// What decides about chances; drawn and shown if it is not given.
    seed: Option<u64>,
    minutes: u64,
}

impl Chaos {
    /// What the arguments after `chaos` ask for.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        let mut chaos = Self { seed: None, minutes: MINUTES };
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            let value = args.next().and_then(|value| value.parse::<u64>().ok());
            match (flag.as_str(), value) {
                ("--seed", Some(seed)) => chaos.seed = Some(seed),
                ("--minutes", Some(minutes @ 1..)) => chaos.minutes = minutes,
                ("--seed" | "--minutes", _) => return Err(format!("{flag} takes a number")),
                (other, _) => return Err(format!("chaos takes --seed N and --minutes M, not {other:?}")),
            }
        }
        Ok(chaos)
    }

    /// Builds what is needed, and lets it happen.
    pub(crate) fn run(self) -> Result<()> {
        let seconds = (self.minutes * 60).to_string();
        let mut env = vec![("MOORLINE_CHAOS_SECONDS", seconds.as_str())];
        let seed = self.seed.map(|seed| seed.to_string());
        env.extend(seed.as_deref().map(|seed| ("MOORLINE_CHAOS_SEED", seed)));
        cargo(&["test", "--package", "moorline-cli", "--test", "chaos", "--", "--nocapture"], &env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| Chaos::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in ["--seed", "--seed x", "--minutes 0", "--hours 1", "7"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(""), Ok(Chaos { seed: None, minutes: MINUTES }));
        assert_eq!(read("--minutes 3 --seed 7"), Ok(Chaos { seed: Some(7), minutes: 3 }));
    }
}
