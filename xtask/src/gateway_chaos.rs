//! `cargo xtask gateway-chaos`: 64 gateway sessions over 20 killed gateways, and a client that loses a thousand connections.
//!
//! The test of the same name does a part of it in every run of the tests; this does all of it.

use anyhow::Result;

use crate::command::cargo;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GatewayChaos {
    /// What decides about chances; drawn and shown if it is not given.
    seed: Option<u64>,
}

impl GatewayChaos {
    /// What the arguments after `gateway-chaos` ask for.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        match args {
            [] => Ok(Self::default()),
            [flag, seed] if flag == "--seed" => {
                let seed = seed.parse().map_err(|_| "--seed takes a number".to_owned())?;
                Ok(Self { seed: Some(seed) })
            }
            _ => Err("gateway-chaos takes --seed N".to_owned()),
        }
    }

    /// Builds what is needed, and lets it happen.
    pub(crate) fn run(self) -> Result<()> {
        let mut env = vec![("MOORLINE_GATEWAY_CHAOS", "full")];
        let seed = self.seed.map(|seed| seed.to_string());
        env.extend(seed.as_deref().map(|seed| ("MOORLINE_CHAOS_SEED", seed)));
        // One after the other: how long an adoption takes is measured.
        let args = ["test", "--package", "moorline-cli", "--test", "gateway_chaos", "--", "--nocapture"];
        cargo(&[&args[..], &["--test-threads=1"]].concat(), &env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| GatewayChaos::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in ["--seed", "--seed x", "--minutes 1", "7"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(""), Ok(GatewayChaos { seed: None }));
        assert_eq!(read("--seed 7"), Ok(GatewayChaos { seed: Some(7) }));
    }
}
