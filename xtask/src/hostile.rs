//! `cargo xtask hostile`: a gateway among ten thousand connections and clients that mean it harm.
//!
//! The test of the same name does it with fewer connections in every run of the tests, and times nothing. This compares
//! what a client waits that keeps to the rules, before and during each attack, and prints what
//! [docs/SECURITY.md](../../docs/SECURITY.md) has as a table.

use anyhow::Result;

use crate::command::cargo;

/// Connections, unless it is said.
const CONNECTIONS: u64 = 10_000;

/// Connections at the most: those that may come from the loopback addresses that the test uses.
const MAX_CONNECTIONS: u64 = 19_000;

/// Jobs that are measured during each attack, at least.
const JOBS: &str = "300";

/// How many times as long as usual a job may take in the median. The attackers, the test and the gateway share the
/// machine, which may have two cores: three are usual there.
const MAX_RATIO: &str = "10";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hostile {
    connections: u64,
}

impl Hostile {
    /// What the arguments after `hostile` ask for.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        match args {
            [] => Ok(Self { connections: CONNECTIONS }),
            [flag, number] if flag == "--connections" => match number.parse() {
                Ok(connections @ 1..=MAX_CONNECTIONS) => Ok(Self { connections }),
                _ => Err(format!("--connections takes a number up to {MAX_CONNECTIONS}, not {number:?}")),
            },
            _ => Err("hostile takes --connections N".to_owned()),
        }
    }

    /// Builds what is needed, and lets it happen.
    pub(crate) fn run(self) -> Result<()> {
        println!("| attack | memory at most | jobs | median before | median during | ratio | 99th percentile |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        let connections = self.connections.to_string();
        let env = [
            ("MOORLINE_HOSTILE_CONNECTIONS", connections.as_str()),
            ("MOORLINE_HOSTILE_JOBS", JOBS),
            ("MOORLINE_HOSTILE_MAX_RATIO", MAX_RATIO),
        ];
        let args = ["test", "--package", "moorline-cli", "--test", "hostile", "--", "--nocapture", "--test-threads=1"];
        cargo(&args, &env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| Hostile::read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in ["--connections", "--connections x", "--connections 0", "--connections 20000", "7", "--seed 1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(""), Ok(Hostile { connections: CONNECTIONS }));
        assert_eq!(read("--connections 500"), Ok(Hostile { connections: 500 }));
    }
}
