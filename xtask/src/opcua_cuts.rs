//! `cargo xtask opcua-cuts`: the OPC UA worker is cut off from its server again and again, and what was lost is counted.
//!
//! Two tests do it a few times with the test kit's own server in every run of the tests: one looks at what the worker is
//! told, one at what a client of a gateway is. This does both for longer, and with a server that nobody here wrote too, and
//! prints what [docs/opcua.md](../../docs/opcua.md) has as a table.

use anyhow::Result;

use crate::interop;

/// Cuts, unless it is said.
const CUTS: u64 = 100;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpcUaCuts {
    /// What decides about chances; drawn and shown if it is not given.
    seed: Option<u64>,
    cuts: u64,
}

impl OpcUaCuts {
    /// What the arguments after `opcua-cuts` ask for.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        let mut asked = Self { seed: None, cuts: CUTS };
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            let value = args.next().and_then(|value| value.parse::<u64>().ok());
            match (flag.as_str(), value) {
                ("--seed", Some(seed)) => asked.seed = Some(seed),
                ("--cuts", Some(cuts @ 1..)) => asked.cuts = cuts,
                ("--seed" | "--cuts", _) => return Err(format!("{flag} takes a number")),
                (other, _) => return Err(format!("opcua-cuts takes --seed N and --cuts N, not {other:?}")),
            }
        }
        Ok(asked)
    }

    /// Builds what is needed, and lets it happen.
    pub(crate) fn run(self) -> Result<()> {
        let (cuts, seed) = (self.cuts.to_string(), self.seed.map(|seed| seed.to_string()));
        let mut args = vec!["--cuts", cuts.as_str()];
        if let Some(seed) = &seed {
            args.extend(["--seed", seed.as_str()]);
        }
        interop::cuts(&args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| OpcUaCuts::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in ["--seed", "--seed x", "--cuts 0", "--minutes 1", "7"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(""), Ok(OpcUaCuts { seed: None, cuts: CUTS }));
        assert_eq!(read("--cuts 3 --seed 7"), Ok(OpcUaCuts { seed: Some(7), cuts: 3 }));
    }
}
