//! A sender that does nothing but send: messages as a gateway session has them, over the gRPC library that the gateway
//! uses too, from memory, to streams that each have a connection. It is the limit of that library on this machine.

use std::convert::Infallible;
use std::io::Write as _;
use std::process::Stdio;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use moorline_gateway_proto::v1;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::clock;
use crate::context::Context;
use crate::grpc::{Subscriber, Taking};
use crate::samples::{Samples, rate};

pub(crate) async fn run(context: &Context) -> Result<Samples> {
    let mut samples = Samples::default();
    let all: u32 = context.scale.of(400_000, 80_000, 800);
    for subscribers in [1, 8] {
        let took = measure(context, subscribers, all / subscribers).await?;
        samples.put(format!("grpc.messages_{subscribers}"), rate(all, took));
    }
    Ok(samples)
}

async fn measure(context: &Context, subscribers: u32, messages: u32) -> Result<Duration> {
    let mut process = Command::new(&context.own)
        .args(["send-grpc", &messages.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = process.stdout.take().context("the sender has no standard output")?;
    let url = BufReader::new(stdout).lines().next_line().await?.context("the sender did not start")?;
    let session = v1::Session::default();
    let mut streams =
        try_join_all((0..subscribers).map(|_| Subscriber::open(&url, "none", &session, Taking::Eagerly))).await?;
    let begun = clock::now();
    try_join_all(streams.iter_mut().map(|stream| read(stream, messages))).await?;
    let took = begun.elapsed();
    process.kill().await?;
    Ok(took)
}

async fn read(stream: &mut Subscriber, messages: u32) -> Result<()> {
    while stream.seen() < messages {
        stream.event().await?;
    }
    Ok(())
}

/// The sender: `send-grpc MESSAGES`. Prints its address, and sends to whoever asks until it is killed.
pub(crate) fn send(args: &[String]) -> Result<()> {
    let [messages] = args else { bail!("send-grpc MESSAGES") };
    let sender = Sender { messages: messages.parse()? };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
        writeln!(std::io::stdout(), "http://{}", incoming.local_addr()?)?;
        Server::builder().add_service(sender).serve_with_incoming(incoming).await.context("the sender has failed")
    })
}

/// The one call of the API that is answered, whatever is asked for.
#[derive(Debug, Clone, Copy)]
struct Sender {
    messages: u32,
}

impl NamedService for Sender {
    const NAME: &'static str = "moorline.gateway.v1.SessionGateway";
}

impl Service<http::Request<Body>> for Sender {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sender = *self;
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).server_streaming(sender, request).await) })
    }
}

impl ServerStreamingService<v1::StreamEventsRequest> for Sender {
    type Response = v1::StreamEventsResponse;
    type ResponseStream = BoxStream<'static, Result<Self::Response, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<v1::StreamEventsRequest>) -> Self::Future {
        let messages = stream::iter((1..=self.messages).map(|number| Ok(message(number)))).boxed();
        Box::pin(async move { Ok(Response::new(messages)) })
    }
}

/// What an event of the load back end is to a gateway's client.
fn message(number: u32) -> v1::StreamEventsResponse {
    let nanos = clock::unix_nanos().cast_signed();
    let time = prost_types::Timestamp { seconds: nanos / 1_000_000_000, nanos: (nanos % 1_000_000_000) as i32 };
    let value = v1::Value { kind: Some(v1::value::Kind::IntegerValue(nanos)) };
    let sample = v1::Sample {
        value: Some(value),
        quality: 192,
        source_time: Some(time),
        raw_status: number,
        server_time: None,
        received_time: Some(time),
    };
    let status = v1::Status {
        success: true,
        category: v1::StatusCategory::Ok.into(),
        detected_by: v1::StatusSource::RespondingLmx.into(),
        detail: 0,
    };
    let event = v1::Event {
        worker_sequence: u64::from(number) + 1,
        worker_time: Some(time),
        server_handle: 1,
        item_handle: 1,
        statuses: vec![status],
        body: Some(v1::event::Body::DataChange(v1::DataChange { sample: Some(sample) })),
    };
    v1::StreamEventsResponse { item: Some(v1::stream_events_response::Item::Event(event)) }
}
