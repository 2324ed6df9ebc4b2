//! How a simulated plant is set up.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::wave::Wave;
use crate::OpenError;
use crate::contract::Value;

/// Tags of one plant: more than a test needs, and a tick of all of them is still short.
const MAX_TAGS: usize = 10_000;

/// The longest name of a tag, in bytes: what fits as the target of a pattern, with room to spare.
const MAX_NAME_BYTES: usize = 512;

/// The password of every user of a plant.
pub const PASSWORD: &str = "simulated";

/// The options of a simulated plant: all may be absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlantOptions {
    /// How often tags move, in milliseconds.
    pub tick_ms: u64,
    /// How long a write takes, in milliseconds.
    pub slow_write_ms: u64,
    /// How long it takes to close, in milliseconds.
    pub slow_close_ms: u64,
    /// How long after its start what happens.
    pub faults: Vec<Fault>,
    /// Who there is. They have the password [`PASSWORD`], because options are no place for one.
    pub users: BTreeSet<String>,
    /// The tags, by name.
    pub tags: BTreeMap<String, TagOptions>,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TagOptions {
    /// How it moves.
    #[serde(flatten)]
    pub wave: Wave,
    /// Above which value it raises an alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_above: Option<f64>,
    /// Whether a write needs a user and another who verifies it.
    #[serde(default)]
    pub secured: bool,
    /// Whether its quality is bad.
    #[serde(default)]
    pub broken: bool,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How long after the start, in milliseconds.
    pub after_ms: u64,
    /// What.
    pub kind: FaultKind,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Values are lost.
    Gap,
    /// The back end is gone.
    Failure,
}

impl Default for PlantOptions {
    fn default() -> Self {
        let tag = |wave| TagOptions { wave, alarm_above: None, secured: false, broken: false };
        let memory = |value| tag(Wave::Memory { value });
        let tags = [
            ("Plant.Counter", tag(Wave::Counter)),
            ("Plant.Ramp", tag(Wave::Ramp { min: 0.0, max: 100.0, period_ms: 10_000 })),
            (
                "Plant.Temperature",
                TagOptions { alarm_above: Some(90.0), ..tag(Wave::Sine { min: 20.0, max: 95.0, period_ms: 20_000 }) },
            ),
            ("Plant.Pump", tag(Wave::Square { period_ms: 5_000 })),
            ("Plant.Setpoint", memory(Value::Double(50.0))),
            ("Plant.Enabled", memory(Value::Bool(true))),
            ("Plant.Label", memory(Value::Text("line 1".to_owned()))),
            ("Plant.Recipe", TagOptions { secured: true, ..memory(Value::Integer(1)) }),
            ("Plant.Broken", TagOptions { broken: true, ..tag(Wave::Counter) }),
        ];
        Self {
            tick_ms: 500,
            slow_write_ms: 0,
            slow_close_ms: 0,
            faults: Vec::new(),
            users: ["operator", "supervisor"].map(str::to_owned).into(),
            tags: tags.map(|(name, options)| (name.to_owned(), options)).into(),
        }
    }
}

impl PlantOptions {
    /// Whether the options can be carried out.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        let bad = |reason: String| Err(OpenError::Options { reason });
        if self.tick_ms == 0 {
            return bad("tick_ms must be at least 1".to_owned());
        }
        if self.tags.len() > MAX_TAGS {
            return bad(format!("there are {} tags, at most {MAX_TAGS} may be", self.tags.len()));
        }
        let unnameable =
            |name: &&String| name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control);
        match self.tags.keys().find(unnameable) {
            Some(name) => bad(format!("{name:?} is no name of a tag: it has 1 to {MAX_NAME_BYTES} printable bytes")),
            None => Ok(()),
        }
    }
}
