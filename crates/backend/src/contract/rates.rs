//! How an item is told, as it was asked for and as the back end has made it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an item is told. What is absent the back end does not have, or does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ItemRates {
    /// How often its value is looked at; zero is as soon as it changes.
    #[serde(rename = "sampling_us", with = "micros", skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Duration>,
    /// Changes of it that the back end keeps between two times of telling.
    #[serde(rename = "queue", skip_serializing_if = "Option::is_none")]
    pub queue_size: Option<u32>,
    /// How often changes are told.
    #[serde(rename = "publishing_us", with = "micros", skip_serializing_if = "Option::is_none")]
    pub publishing: Option<Duration>,
    /// After how long without a change the back end says that it is there.
    #[serde(rename = "keep_alive_us", with = "micros", skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Duration>,
    /// How long the back end keeps what is advised without hearing of the worker.
    #[serde(rename = "lifetime_us", with = "micros", skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Duration>,
}

/// What was asked of the back end for an item, and what it has made of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Revision {
    /// What it was asked for.
    pub requested: ItemRates,
    /// What it does.
    pub revised: ItemRates,
}

/// Lengths of time as whole microseconds: intervals of back ends have fractions of a millisecond.
mod micros {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over a reference")]
    pub(super) fn serialize<S: Serializer>(length: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        length.map(|length| u64::try_from(length.as_micros()).unwrap_or(u64::MAX)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_and_what_is_absent_stays_so() {
        let rates = ItemRates { sampling: Some(Duration::ZERO), queue_size: Some(7), ..ItemRates::default() };
        let revision = Revision { requested: ItemRates::default(), revised: rates };
        let text = serde_json::to_string(&revision).unwrap();
        assert_eq!(text, r#"{"requested":{},"revised":{"sampling_us":0,"queue":7}}"#);
        assert_eq!(serde_json::from_str::<Revision>(&text).unwrap(), revision);
    }
}
