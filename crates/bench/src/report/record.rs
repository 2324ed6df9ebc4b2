//! What was measured, as JSON: everything that the table, the plots and the page are made from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::metrics::METRICS;
use crate::samples::All;

/// The file's name.
pub(crate) const FILE: &str = "results.json";

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) command: String,
    pub(crate) scale: String,
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) machine: Machine,
    /// Why a scenario was left out.
    pub(crate) skipped: BTreeMap<String, String>,
    pub(crate) metrics: BTreeMap<String, Measured>,
}

/// One metric.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) median: f64,
    pub(crate) samples: Vec<f64>,
    /// Whether all of its targets are met, if it has some.
    pub(crate) met: Option<bool>,
}

impl Record {
    /// What there is of each metric.
    pub(crate) fn metrics(all: &All) -> BTreeMap<String, Measured> {
        let measured = METRICS.iter().filter_map(|metric| {
            let (samples, median) = (all.sorted(metric.key)?, all.median(metric.key)?);
            let met: Vec<bool> =
                metric.targets.iter().filter_map(|target| target.is_met(median, |key| all.median(key))).collect();
            let met = (!met.is_empty()).then(|| met.into_iter().all(|met| met));
            let (what, unit) = (metric.what.to_owned(), metric.unit.to_owned());
            Some((metric.key.to_owned(), Measured { what, unit, median, samples, met }))
        });
        measured.collect()
    }

    /// Writes it into a directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}
