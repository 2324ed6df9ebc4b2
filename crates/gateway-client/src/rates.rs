//! How an item is told, as it was asked for and as the back end has made it.

use std::time::Duration;

use moorline_gateway_proto::v1;

/// How an item is told. What is absent the back end does not have, or does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ItemRates {
    /// How often its value is looked at; zero is as soon as it changes.
    pub sampling_interval: Option<Duration>,
    /// Changes of it that the back end keeps between two times of telling.
    pub queue_size: Option<u32>,
    /// How often changes are told.
    pub publishing_interval: Option<Duration>,
    /// After how long without a change the back end says that it is there.
    pub keep_alive_interval: Option<Duration>,
    /// How long the back end keeps what is advised without hearing of the worker.
    pub lifetime: Option<Duration>,
}

/// What was asked of the back end for an item, and what it has made of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Revision {
    /// What it was asked for.
    pub requested: ItemRates,
    /// What it does.
    pub revised: ItemRates,
}

impl From<v1::Revision> for Revision {
    fn from(revision: v1::Revision) -> Self {
        let rates = |rates: Option<v1::ItemRates>| rates.map(ItemRates::from).unwrap_or_default();
        Self { requested: rates(revision.requested), revised: rates(revision.revised) }
    }
}

impl From<v1::ItemRates> for ItemRates {
    fn from(rates: v1::ItemRates) -> Self {
        let length = |length: Option<prost_types::Duration>| length.and_then(|length| length.try_into().ok());
        Self {
            sampling_interval: length(rates.sampling_interval),
            queue_size: rates.queue_size,
            publishing_interval: length(rates.publishing_interval),
            keep_alive_interval: length(rates.keep_alive_interval),
            lifetime: length(rates.lifetime),
        }
    }
}
