//! How an item is told, for a person and for a script.

use std::time::Duration;

use moorline_gateway_client::{ItemRates, Revision};
use serde_json::{Value, json};

/// Everything that was asked for and made of it.
pub(super) fn as_json(revision: &Revision) -> Value {
    json!({ "requested": rates(&revision.requested), "revised": rates(&revision.revised) })
}

fn rates(rates: &ItemRates) -> Value {
    let millis = |length: Option<Duration>| length.map(|length| length.as_secs_f64() * 1_000.0);
    json!({
        "sampling_interval_ms": millis(rates.sampling_interval), "queue_size": rates.queue_size,
        "publishing_interval_ms": millis(rates.publishing_interval),
        "keep_alive_interval_ms": millis(rates.keep_alive_interval), "lifetime_ms": millis(rates.lifetime),
    })
}

/// What the back end does; and what it was asked for, where that is something else.
pub(super) fn in_words(Revision { requested, revised, .. }: &Revision) -> String {
    let length = |length: Duration| format!("{length:?}");
    let sampling = |interval: Duration| match interval.is_zero() {
        true => "as it changes".to_owned(),
        false => length(interval),
    };
    let all = [
        part("sampling", requested.sampling_interval, revised.sampling_interval, sampling),
        part("queue", requested.queue_size, revised.queue_size, |size| size.to_string()),
        part("publishing", requested.publishing_interval, revised.publishing_interval, length),
        part("keep-alive", requested.keep_alive_interval, revised.keep_alive_interval, length),
        part("lifetime", requested.lifetime, revised.lifetime, length),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn part<T: PartialEq + Copy>(
    name: &str,
    requested: Option<T>,
    revised: Option<T>,
    shown: impl Fn(T) -> String,
) -> Option<String> {
    let is = shown(revised?);
    Some(match requested.filter(|requested| Some(*requested) != revised) {
        Some(requested) => format!("{name} {is} ({} was asked for)", shown(requested)),
        None => format!("{name} {is}"),
    })
}

#[cfg(test)]
mod tests {
    use moorline_gateway_proto::v1;

    use super::*;

    #[test]
    fn what_was_revised_is_said_beside_what_was_asked_for() {
        let rates = |sampling_ms: i32, queue_size| v1::ItemRates {
            sampling_interval: Some(prost_types::Duration { seconds: 0, nanos: sampling_ms * 1_000_000 }),
            queue_size: Some(queue_size),
            ..v1::ItemRates::default()
        };
        for (requested, revised, expected) in [
            (rates(5, 500), rates(100, 10), "sampling 100ms (5ms was asked for), queue 10 (500 was asked for)"),
            (rates(0, 1), rates(0, 1), "sampling as it changes, queue 1"),
            (v1::ItemRates::default(), rates(20, 1), "sampling 20ms, queue 1"),
            (rates(5, 1), v1::ItemRates::default(), ""),
        ] {
            let revision = v1::Revision { requested: Some(requested), revised: Some(revised) };
            assert_eq!(in_words(&revision.into()), expected);
        }
    }
}
