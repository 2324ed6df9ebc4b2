//! Values, with their quality and time, and statuses.

use moorline_types::Timestamp;
use serde::{Deserialize, Serialize};

/// A value of an item. Reads back as what it was: a whole number stays one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(untagged)]
pub enum Value {
    /// There is none.
    #[default]
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number; what is not finite has no value, and a quality that says so.
    Double(f64),
    /// Text.
    Text(String),
}

/// How good a value is, in the 16 bits of OPC: severity in bits 6 and 7, sub-status in 2 to 5, limits in 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quality(pub u16);

impl Quality {
    /// As good as can be.
    pub const GOOD: Self = Self(192);
    /// Nobody knows.
    pub const UNCERTAIN: Self = Self(64);
    /// Not to be used.
    pub const BAD: Self = Self(0);
    /// Bad: the item cannot be configured, because there is none of the name.
    pub const BAD_CONFIGURATION: Self = Self(4);
    /// Bad: the sensor has failed.
    pub const BAD_SENSOR_FAILURE: Self = Self(16);
    /// Bad: nobody answers.
    pub const BAD_NO_COMMUNICATION: Self = Self(24);

    /// Whether a value with it may be used without a thought.
    pub const fn is_good(self) -> bool {
        self.0 & 0xc0 == 0xc0
    }
}

/// A value with its quality and its times. [`Sample::new`] makes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The value.
    pub value: Value,
    /// How good it is.
    pub quality: Quality,
    /// When it was so, as well as is known: [`Times::best`].
    pub at: Timestamp,
    /// See [`Times::source`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Timestamp>,
    /// See [`Times::server`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Timestamp>,
    /// See [`Times::received`]. Absent from a worker that knows one time only, `at`, and does not say whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// The back end's own code of the quality; zero if it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub raw: u32,
}

/// The times of a value, each by the clock of whoever has noted it. Nothing is put in the place of one that is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it became so, as its source says: a sensor, a controller, whoever has written it.
    pub source: Option<Timestamp>,
    /// When the back end has seen it so.
    pub server: Option<Timestamp>,
    /// When the worker was told.
    pub received: Timestamp,
}

impl Times {
    /// The one that says most: the source's, else the back end's, else the worker's.
    pub fn best(self) -> Timestamp {
        self.source.or(self.server).unwrap_or(self.received)
    }
}

impl Sample {
    /// A value with its quality, its times, and the back end's own code of the quality.
    pub fn new(value: Value, quality: Quality, times: Times, raw: u32) -> Self {
        let Times { source, server, received } = times;
        Self { value, quality, at: times.best(), source, server, received: Some(received), raw }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(raw: &u32) -> bool {
    *raw == 0
}

/// What a back end says of an operation or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether it went well.
    pub success: bool,
    /// What it is about.
    pub category: StatusCategory,
    /// Who has noticed.
    pub source: StatusSource,
    /// The back end's own number.
    pub detail: i32,
}

/// What a status is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the back ends' own")]
pub enum StatusCategory {
    Unknown,
    Ok,
    Pending,
    Warning,
    CommunicationError,
    ConfigurationError,
    OperationalError,
    SecurityError,
    SoftwareError,
    OtherError,
}

/// Who has noticed what a status is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the back ends' own")]
pub enum StatusSource {
    Unknown,
    RequestingLmx,
    RespondingLmx,
    RequestingNmx,
    RespondingNmx,
    RequestingAutomationObject,
    RespondingAutomationObject,
}

impl Status {
    /// It went well.
    pub const OK: Self =
        Self { success: true, category: StatusCategory::Ok, source: StatusSource::RespondingLmx, detail: 0 };

    /// It did not, as this side has noticed.
    pub const fn refused(category: StatusCategory) -> Self {
        Self { success: false, category, source: StatusSource::RequestingLmx, detail: 0 }
    }

    /// It did not, as the back end says.
    pub const fn failed(category: StatusCategory, detail: i32) -> Self {
        Self { success: false, category, source: StatusSource::RespondingLmx, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_reads_back_with_the_times_that_it_has() {
        let [source, server, received] = [1, 2, 3].map(Timestamp::from_unix_millis);
        for (source, server, best) in
            [(Some(source), Some(server), source), (None, Some(server), server), (None, None, received)]
        {
            let times = Times { source, server, received };
            let sample = Sample::new(Value::Integer(7), Quality::GOOD, times, 0);
            assert_eq!((sample.at, sample.source, sample.server), (best, source, server));
            let text = serde_json::to_string(&sample).unwrap();
            assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample, "{text}");
        }
    }

    #[test]
    fn a_sample_of_an_earlier_worker_has_its_one_time() {
        let sample: Sample = serde_json::from_str(r#"{"value":7,"quality":192,"at":5}"#).unwrap();
        assert_eq!((sample.at, sample.source), (Timestamp::from_unix_millis(5), None));
        assert_eq!((sample.server, sample.received), (None, None));
    }
}
