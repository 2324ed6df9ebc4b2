//! The handshake over a real transport, and a link that breaks at every possible place.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use moorline_types::{Capability, Fence, Millis, WorkerSeq};
use moorline_worker::Stream;
use moorline_worker::connect::{Dial, Ended, Identity, Stop, Worker};
use moorline_worker::link::{AttachError, AttachParams, Candidate, LinkEnd, WorkerLink, accept};
use moorline_worker::message::{
    Answer, Failure, FailureCode, FromWorker, GatewayEpoch, GoodbyeReason, Report, ToWorker,
};
use moorline_worker::sdk::{Agent, AuthorizeError, JobContext, Level, Outcome};
use moorline_worker::secret::{WorkerKey, WorkerSecret};
use moorline_worker::version::{ProtocolVersion, VersionRange};
use serde_json::json;
use support::{Journal, fn_agent, job, lines, params, start, worker};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

fn key(byte: u8) -> WorkerKey {
    WorkerSecret::new([byte; 32]).key()
}

/// Dials a gateway that takes transports from a channel.
struct ChannelDial(mpsc::Sender<DuplexStream>);

#[async_trait]
impl Dial for ChannelDial {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let (ours, theirs) = tokio::io::duplex(256);
        self.0.send(theirs).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(ours))
    }
}

#[expect(clippy::disallowed_methods, reason = "the worker runs beside the test, and ends with its runtime")]
fn spawn(worker: impl Future<Output = Ended> + Send + 'static) -> JoinHandle<Ended> {
    tokio::spawn(worker)
}

struct Running {
    transports: mpsc::Receiver<DuplexStream>,
    stop: Stop,
    ended: JoinHandle<Ended>,
}

fn run(agents: impl IntoIterator<Item = Arc<dyn Agent>>) -> Running {
    run_for(Duration::from_secs(60), agents)
}

/// A worker that lives this long without a gateway.
fn run_for(orphan_lifetime: Duration, agents: impl IntoIterator<Item = Arc<dyn Agent>>) -> Running {
    let (dialled, transports) = mpsc::channel(1);
    let identity = Identity { worker: worker(1), key: key(1), orphan_lifetime };
    let worker = Worker::new(identity, ChannelDial(dialled), agents).unwrap();
    let stop = Stop::default();
    let asked = stop.clone();
    Running { transports, stop, ended: spawn(worker.run(asked)) }
}

fn chatty(events: usize) -> Arc<dyn Agent> {
    fn_agent("a@1", 1, move |job: JobContext| async move {
        for event in 0..events {
            job.log(Level::Info, format!("event {event}")).await?;
        }
        Ok(Outcome::of(&events)?)
    })
}

async fn admit(candidate: Candidate) -> WorkerLink {
    candidate.admit(Fence::new(1), []).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_not_known_or_has_another_key_is_not_attached() {
    let mut running = run([chatty(0)]);
    for (known, expected) in [(None, "is not known here"), (Some(key(2)), "went away")] {
        let transport = running.transports.recv().await.unwrap();
        let error = accept(transport, |_| async { known }, params()).await.unwrap_err();
        // With another key it is the worker that turns away: the gateway has to prove itself first.
        let said = error.to_string();
        assert!(said.contains(expected), "{said}");
    }
    // And it still comes back.
    let transport = running.transports.recv().await.unwrap();
    admit(accept(transport, |_| async { Some(key(1)) }, params()).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_of_an_older_life_is_refused() {
    let mut running = run([chatty(0)]);
    let life = |epoch| AttachParams::new(GatewayEpoch::new(epoch));
    for (epoch, attaches) in [(5, true), (4, false), (5, true), (6, true), (5, false)] {
        let transport = running.transports.recv().await.unwrap();
        let attached = accept(transport, |_| async { Some(key(1)) }, life(epoch)).await;
        assert_eq!(attached.is_ok(), attaches, "epoch {epoch}");
        if let Ok(candidate) = attached {
            // Long enough for the worker to be attached.
            let mut link = admit(candidate).await;
            link.sender.send(start(job(9), "no@1", "0")).await.unwrap();
            assert!(matches!(link.receiver.recv().await, Ok(FromWorker::Refused { .. })));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_or_nonsense_is_turned_away() {
    let (silent, gateway) = tokio::io::duplex(64);
    let error = accept(gateway, |_| async { Some(key(1)) }, params()).await.unwrap_err();
    assert!(matches!(error, AttachError::Deadline { .. }), "{error:?}");
    drop(silent);
    for (bytes, expected) in [
        (&[0, 0, 0, 1, 0xff][..], "no protobuf"),
        (&[0xff, 0xff, 0xff, 0xff], "frame limit"),
        (&[0, 0, 0, 0], "hello"),
        (&[0, 0, 0, 2, 0x32, 0], "hello"),
        (&[0, 0, 0, 2, 0x0a, 0], "should not have sent"),
        (&[], "went away"),
    ] {
        let (mut peer, gateway) = tokio::io::duplex(64);
        peer.write_all(bytes).await.unwrap();
        peer.shutdown().await.unwrap();
        let error = accept(gateway, |_| async { Some(key(1)) }, params()).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {source}").contains(expected), "{bytes:?}: {error}: {source}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_worker_only_if_it_says_so() {
    let mut running = run([chatty(0)]);
    for terminate in [false, true] {
        let transport = running.transports.recv().await.unwrap();
        let candidate = accept(transport, |_| async { Some(key(1)) }, params()).await.unwrap();
        candidate.refuse("not today".to_owned(), terminate).await.unwrap();
    }
    assert_eq!(running.ended.await.unwrap(), Ended::Refused { reason: "not today".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_gateway_ends_itself() {
    let running = run([chatty(0)]);
    drop(running.transports);
    assert_eq!(running.ended.await.unwrap(), Ended::Orphaned);
}

/// A worker that holds a job is worth coming back to; one that holds none is not for long.
#[tokio::test(start_paused = true)]
async fn without_a_gateway_a_worker_lives_long_only_with_a_job() {
    const HOUR: Duration = Duration::from_secs(3_600);
    for (has_job, at_least, at_most) in [(false, Duration::ZERO, HOUR / 30), (true, 24 * HOUR, 25 * HOUR)] {
        let mut running = run_for(24 * HOUR, [chatty(1)]);
        let transport = running.transports.recv().await.unwrap();
        let candidate = accept(transport, |_| async { Some(key(1)) }, params()).await.unwrap();
        let mut link = admit(candidate).await;
        if has_job {
            link.sender.send(start(job(1), "a@1", "null")).await.unwrap();
            link.receiver.recv().await.unwrap();
        }
        drop((link, running.transports));
        let left = tokio::time::Instant::now();
        assert_eq!(running.ended.await.unwrap(), Ended::Orphaned);
        let lived = left.elapsed();
        assert!((at_least..at_most).contains(&lived), "with a job: {has_job}, lived {lived:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_link_on_both_sides() {
    let mut running = run([chatty(0)]);
    let transport = running.transports.recv().await.unwrap();
    // What the worker sends is swallowed, and nothing is sent to it: a machine that is gone.
    let (gateway, lost) = deaf(transport);
    let candidate = accept(gateway, |_| async { Some(key(1)) }, params()).await.unwrap();
    let mut link = admit(candidate).await;
    lost.store(1, Ordering::Relaxed);
    assert!(matches!(link.receiver.recv().await, Err(LinkEnd::Silent { .. })));
    let again = tokio::time::timeout(Duration::from_secs(30), running.transports.recv()).await;
    assert!(again.is_ok(), "the worker has not noticed the silence");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_an_idle_link() {
    let mut running = run([chatty(0)]);
    let transport = running.transports.recv().await.unwrap();
    let mut link = admit(accept(transport, |_| async { Some(key(1)) }, params()).await.unwrap()).await;
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, link.receiver.recv()).await.is_err(), "an idle link has ended");
    running.stop.request(GoodbyeReason::Signal, Millis::ZERO);
    assert!(matches!(link.receiver.recv().await, Err(LinkEnd::Goodbye(GoodbyeReason::Signal))));
    assert_eq!(running.ended.await.unwrap(), Ended::Left(GoodbyeReason::Signal));
}

/// A gateway that crashes whenever its transport breaks, keeping only what it had committed.
async fn serve_until_finished(mut running: Running, mut budgets: impl FnMut() -> usize) -> (Journal, usize) {
    let mut journal = Journal::default();
    let mut links = 0;
    let mut started = false;
    while !journal.is_finished(job(1)) {
        let transport = running.transports.recv().await.unwrap();
        links += 1;
        assert!(links < 10_000, "the job makes no progress");
        let transport = CutAfter { inner: transport, budget: budgets() };
        let Ok(candidate) = accept(transport, |_| async { Some(key(1)) }, params()).await else { continue };
        let holds = candidate.info().held.iter().any(|held| held.job == job(1));
        assert!(holds || !started, "the worker has forgotten a job");
        let Ok(mut link) = candidate.admit(Fence::new(links as u64), journal.committed()).await else { continue };
        if !holds && link.sender.send(start(job(1), "a@1", "0")).await.is_err() {
            continue;
        }
        while let Ok(message) = link.receiver.recv().await {
            match message {
                FromWorker::Started { .. } => started = true,
                FromWorker::Refused { reason, .. } => panic!("refused: {reason}"),
                FromWorker::Ask { job, id, after, .. } => {
                    let reported = journal.0.get(&job).map_or(0, Vec::len) as u64;
                    assert!(after.get() <= reported, "asked after report {after}, of which {reported} have come");
                    let answer = Answer::Verdict(verdict(after));
                    if link.sender.send(ToWorker::Answer { job, id, answer }).await.is_err() {
                        break;
                    }
                }
                FromWorker::Report { job, seq, report, .. } => {
                    started = true;
                    journal.take(job, seq, report);
                    if journal.is_finished(job) || link.sender.send(ToWorker::Ack { job, seq }).await.is_err() {
                        break;
                    }
                }
            }
        }
    }
    (journal, links)
}

/// After every other report nothing is allowed.
fn verdict(after: WorkerSeq) -> Result<(), Failure> {
    let denied = || Failure::new(FailureCode::BudgetExhausted, "nothing is left").details(&json!({ "after": after }));
    if after.get().is_multiple_of(2) { Ok(()) } else { Err(denied()) }
}

/// An agent that says, after each of its events, what it may do then.
fn asking(events: u64) -> Arc<dyn Agent> {
    fn_agent("a@1", 1, move |job: JobContext| async move {
        for event in 0..events {
            let verdict = match job.authorize(Capability::ToolCall, "grep").await {
                Ok(()) => "allowed".to_owned(),
                Err(AuthorizeError::Denied(denial)) => denial.details.unwrap().get().to_owned(),
                Err(error @ AuthorizeError::Ended) => return Err(error.into()),
            };
            job.log(Level::Info, format!("event {event}: {verdict}")).await?;
        }
        Ok(Outcome::of(&events)?)
    })
}

fn expected_of_asking(events: u64) -> Vec<String> {
    let verdict = |after: u64| match after.is_multiple_of(2) {
        true => "allowed".to_owned(),
        false => format!("{{\\\"after\\\":{after}}}"),
    };
    let event = |n| format!("log {{\"level\":\"info\",\"message\":\"event {n}: {}\"}}", verdict(n));
    (0..events).map(event).chain([format!("result {events}")]).collect()
}

#[tokio::test(start_paused = true)]
async fn every_question_is_answered_behind_its_reports_wherever_a_link_breaks() {
    const EVENTS: u64 = 6;
    for cut in 0..2_500 {
        let mut first = true;
        let budget = move || if std::mem::take(&mut first) { cut } else { usize::MAX };
        let (journal, links) = serve_until_finished(run([asking(EVENTS)]), budget).await;
        assert_eq!(lines(&journal.0[&job(1)]), expected_of_asking(EVENTS), "cut after {cut} bytes");
        assert!(links <= 2, "cut after {cut} bytes: {links} links");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_answers_nothing_allows_nothing() {
    let asks = fn_agent("a@1", 1, |job: JobContext| async move {
        job.authorize(Capability::ToolCall, "grep").await?;
        Ok(Outcome::of(&1)?)
    });
    let mut running = run([asks]);
    let transport = running.transports.recv().await.unwrap();
    let old = VersionRange { min: ProtocolVersion::V1, max: ProtocolVersion::V1 };
    let params = AttachParams { versions: old, ..params() };
    let mut link = admit(accept(transport, |_| async { Some(key(1)) }, params).await.unwrap()).await;
    link.sender.send(start(job(1), "a@1", "0")).await.unwrap();
    loop {
        match link.receiver.recv().await.unwrap() {
            FromWorker::Started { .. } => {}
            FromWorker::Report { report: Report::Failure(failure), .. } => {
                assert_eq!(failure.code, FailureCode::PermissionDenied);
                assert!(failure.message.contains("update it"), "{}", failure.message);
                return;
            }
            other @ (FromWorker::Refused { .. } | FromWorker::Ask { .. } | FromWorker::Report { .. }) => {
                panic!("not to be said: {other:?}")
            }
        }
    }
}

fn expected(events: usize) -> Vec<String> {
    let event = |event| format!("log {{\"level\":\"info\",\"message\":\"event {event}\"}}");
    (0..events).map(event).chain([format!("result {events}")]).collect()
}

#[tokio::test(start_paused = true)]
async fn every_report_arrives_once_wherever_the_first_link_breaks() {
    const EVENTS: usize = 8;
    const ALL_BYTES: usize = 3_000;
    let mut all_whole = false;
    for cut in 0..ALL_BYTES {
        let mut first = true;
        let budget = move || if std::mem::take(&mut first) { cut } else { usize::MAX };
        let (journal, links) = serve_until_finished(run([chatty(EVENTS)]), budget).await;
        assert_eq!(lines(&journal.0[&job(1)]), expected(EVENTS), "cut after {cut} bytes");
        assert!(links <= 2, "cut after {cut} bytes: {links} links");
        all_whole = links == 1;
    }
    assert!(all_whole, "{ALL_BYTES} bytes are less than a whole job: the last frames were not cut");
}

#[tokio::test(start_paused = true)]
async fn every_report_arrives_once_over_links_that_all_break() {
    // More events than the window holds, so the agent waits for acknowledgements in between.
    const EVENTS: usize = 600;
    for seed in 1..=20_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let budget = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(600 + state % 6_000).unwrap()
        };
        let (journal, links) = serve_until_finished(run([chatty(EVENTS)]), budget).await;
        assert_eq!(lines(&journal.0[&job(1)]), expected(EVENTS), "seed {seed}");
        assert!(links > 5, "seed {seed}: only {links} links, nothing was tested");
    }
}

/// A transport that breaks after so many bytes, in both directions together.
struct CutAfter {
    inner: DuplexStream,
    budget: usize,
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

impl AsyncRead for CutAfter {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.budget == 0 {
            return Poll::Ready(Err(broken()));
        }
        let mut bytes = [0; 256];
        let room = buf.remaining().min(self.budget).min(bytes.len());
        let mut part = ReadBuf::new(&mut bytes[..room]);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        buf.put_slice(part.filled());
        self.budget -= part.filled().len();
        polled
    }
}

impl AsyncWrite for CutAfter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.budget == 0 {
            return Poll::Ready(Err(broken()));
        }
        let part = &bytes[..bytes.len().min(self.budget)];
        let polled = Pin::new(&mut self.inner).poll_write(cx, part);
        if let Poll::Ready(Ok(written)) = polled {
            self.budget -= written;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A transport that can be cut off without either end being told.
struct Deaf {
    inner: DuplexStream,
    lost: Arc<AtomicUsize>,
}

fn deaf(inner: DuplexStream) -> (Deaf, Arc<AtomicUsize>) {
    let lost = Arc::new(AtomicUsize::new(0));
    (Deaf { inner, lost: lost.clone() }, lost)
}

impl AsyncRead for Deaf {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.lost.load(Ordering::Relaxed) > 0 {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.lost.load(Ordering::Relaxed) > 0 {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
