//! The events of a gateway session, to clients over gRPC.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use moorline_gateway_client::{GatewayClient, Item, OpenSession, Options, Session};
use moorline_gateway_proto::v1;
use serde_json::json;

use crate::clock;
use crate::context::Context;
use crate::gateway::{Gateway, Place};
use crate::grpc::{Subscriber, Taking};
use crate::samples::{Lengths, Samples, rate};

/// Subscribers, of which one stops.
const SUBSCRIBERS: u32 = 8;

/// Events a second when it is looked at how long each is on its way.
const RATE: u32 = 1_000;

/// How long a subscriber that does not read is told of the history before it stands still for sure.
const STANDSTILL: Duration = Duration::from_millis(300);

/// The program of a back end that says what it is told to stands in for the one of OPC UA, and reads no file. A session is
/// streamed by several, and retains everything, so that there is no gap however slow a reader is.
const OPTIONS: &[&str] = &[
    "--gateway-listen=127.0.0.1:0",
    "--gateway-backends=opcua",
    "--gateway-opcua-config=/dev/null",
    "--gateway-multiple-subscribers=true",
    "--gateway-replay-events=1000000",
    "--gateway-replay-bytes=1GiB",
    "--gateway-max-orphan-lifetime=1m",
];

pub(super) async fn run(context: &Context) -> Result<Samples> {
    let program = context.own.with_file_name("moorline-bench-backend");
    let program = format!("--gateway-opcua-program={}", program.display());
    let options: Vec<&str> = OPTIONS.iter().copied().chain([program.as_str()]).collect();
    let gateway = Gateway::start(context, Place::Inside, &options).await?;
    let mut samples = Samples::default();
    let timed = context.scale.of(2 * RATE, RATE, 100);

    let events = context.scale.of(60_000, 20_000, 200);
    let mut one = Watched::open(&gateway, 1, &[(events / 5, None), (events, None), (timed, Some(RATE))]).await?;
    one.round(events / 5).await?;
    samples.put("session.events_1", one.round(events).await?.rate);
    let mut lengths = one.round(timed).await?.lengths;
    samples.put("session.p50", lengths.percentile(0.5));
    samples.put("session.p99", lengths.percentile(0.99));
    one.session.close().await?;

    let events = events / 2;
    let rounds = [(events / 5, None), (events, None), (timed, Some(RATE)), (timed, Some(RATE))];
    let mut many = Watched::open(&gateway, SUBSCRIBERS, &rounds).await?;
    many.round(events / 5).await?;
    samples.put("session.deliveries_8", many.round(events).await?.rate);
    samples.put("session.p99_without", many.round(timed).await?.lengths.percentile(0.99));
    many.subscribers.pop();
    let mut still = many.subscribe(Taking::Reluctantly).await?;
    tokio::time::sleep(STANDSTILL).await;
    samples.put("session.p99_with", many.round(timed).await?.lengths.percentile(0.99));
    // What it was not told while it stood still it is told now.
    while still.seen() < many.said {
        still.event().await?;
    }
    many.session.close().await?;
    gateway.end().await?;
    Ok(samples)
}

/// A session, and who watches it.
struct Watched {
    url: String,
    key: String,
    session: Session,
    about: v1::Session,
    item: Item,
    subscribers: Vec<Subscriber>,
    /// Events of the rounds that were run.
    said: u32,
}

/// What a round has shown.
struct Round {
    /// Deliveries a second, from where the first event is made to the last subscriber's end.
    rate: f64,
    /// How long each event was on its way to each subscriber.
    lengths: Lengths,
}

impl Watched {
    /// Opens a session that has these rounds: how many events each has, and how many a second.
    async fn open(gateway: &Gateway, subscribers: u32, rounds: &[(u32, Option<u32>)]) -> Result<Self> {
        let (url, key) = (gateway.grpc()?, gateway.endpoint().token.clone());
        let client = GatewayClient::connect(Options::new(url.as_str(), key.as_str())).await?;
        let rounds: Vec<_> = rounds.iter().map(|(events, rate)| json!({ "events": events, "rate": rate })).collect();
        let backend_options_json = json!({ "rounds": rounds }).to_string();
        let asked = OpenSession { backend: "opcua".to_owned(), backend_options_json, ..OpenSession::new("bench") };
        let session = client.open(asked).await?;
        let item = session.add_item(session.register("bench").await?, "load").await?;
        let about = session.about().await?;
        let mut watched = Self { url, key, session, about, item, subscribers: Vec::new(), said: 0 };
        watched.subscribers = try_join_all((0..subscribers).map(|_| watched.subscribe(Taking::Eagerly))).await?;
        Ok(watched)
    }

    async fn subscribe(&self, taking: Taking) -> Result<Subscriber> {
        Subscriber::open(&self.url, &self.key, &self.about, taking).await
    }

    /// Has the next round run, which has so many events, and everybody read it.
    async fn round(&mut self, events: u32) -> Result<Round> {
        let advised = async { self.session.advise(self.item).await.context("the round does not begin") };
        let read = try_join_all(self.subscribers.iter_mut().map(|subscriber| read(subscriber, events)));
        let (_, read) = futures_util::try_join!(advised, read)?;
        self.said += events;
        ensure!(self.subscribers.iter().all(|subscriber| subscriber.seen() == self.said), "not all were told of all");
        let begun = read.iter().map(|(begun, ..)| *begun).min().unwrap_or_default();
        let ended = read.iter().map(|(_, ended, _)| *ended).max().unwrap_or(begun);
        let deliveries = u64::from(events) * read.len() as u64;
        let mut lengths = Lengths::default();
        read.iter().flat_map(|(.., noted)| noted).for_each(|nanos| lengths.note(*nanos));
        Ok(Round { rate: rate(deliveries, Duration::from_nanos(ended.saturating_sub(begun))), lengths })
    }
}

/// Reads so many events: when the first was made, when the last was read, both in nanoseconds since 1970, and how long each
/// was on its way.
async fn read(subscriber: &mut Subscriber, events: u32) -> Result<(u64, u64, Vec<u64>)> {
    let (mut begun, mut ended) = (None, 0);
    let mut lengths = Vec::new();
    for _ in 0..events {
        let made = subscriber.event().await?;
        begun.get_or_insert(made);
        ended = clock::unix_nanos();
        lengths.push(ended.saturating_sub(made));
    }
    Ok((begun.unwrap_or(ended), ended, lengths))
}
