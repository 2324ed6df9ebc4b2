//! What is done about a server that answers and tells nothing: one step after the other, each of which helps at last.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use moorline_backend::contract::{EventBody, ItemAt, Value};
use moorline_opcua_testkit::{Muffler, Options, Silence, TestServer, tags};
use support::{PATIENCE, Session};

/// Counts that are followed before the server falls silent, and when it is not any more.
const COUNTS: i64 = 30;

/// Requests that wait at the server for the one thing that is subscribed.
const REQUESTS: usize = 2;

/// A client that follows the counts over a way on which requests are lost.
struct Watched {
    session: Session,
    way: Muffler,
    counter: ItemAt,
    last: i64,
    _server: TestServer,
}

impl Watched {
    async fn start() -> Self {
        let server = TestServer::start(Options::default()).await.unwrap();
        let way = Muffler::to(server.address()).await.unwrap();
        // Each step comes two seconds after the one before: twice 50 ms * 8, and a fifth of the time of a request. By then a
        // step has helped on a busy machine too.
        let times = "keep_alive_count = 8\nlifetime_count = 2000\nrequest_timeout_ms = 6000";
        let endpoint = format!("sampling_interval_ms = 0\nqueue_size = 10000\n{times}");
        let mut session = Session::open(&format!("opc.tcp://{}/", way.address()), &endpoint).await;
        session.set(tags::COUNTING, Value::Bool(true)).await;
        let counter = session.advised(tags::COUNTER).await;
        let Value::Integer(last) = session.sample(counter).await.0.value else { panic!() };
        let mut watched = Self { session, way, counter, last, _server: server };
        assert_eq!(watched.follow().await, 0);
        watched
    }

    /// Follows the counts from the last one on. How many gaps were told; where none was, no count is missing.
    async fn follow(&mut self) -> usize {
        let (mut counts, mut gaps, mut may_skip) = (0, 0, false);
        while counts < COUNTS {
            let counter = self.counter;
            let is_one = |said: &EventBody| matches!(said, EventBody::DataChange(_) | EventBody::BackendGap { .. });
            let event =
                self.session.until("a count", |event| is_one(&event.said) && event.at.is_none_or(|at| at == counter));
            let EventBody::DataChange(sample) = event.await.said else {
                (gaps, may_skip) = (gaps + 1, true);
                continue;
            };
            let Value::Integer(count) = sample.value else { panic!() };
            assert!(count == self.last + 1 || (may_skip && count > self.last), "{count} came after {}", self.last);
            (self.last, may_skip, counts) = (count, false, counts + 1);
        }
        gaps
    }

    /// Lets the server fall silent, and follows the counts after that. How many gaps were told, and how many connections
    /// were made.
    async fn through(&mut self, silence: Silence) -> (usize, usize) {
        let opened = self.way.opened();
        self.way.muffle(silence);
        let gaps = self.follow().await;
        assert!(self.way.swallowed() >= REQUESTS, "it has not been silent");
        (gaps, self.way.opened() - opened)
    }
}

#[tokio::test]
async fn requests_that_are_lost_are_made_anew_on_the_same_connection() {
    let mut watched = Watched::start().await;
    assert_eq!(watched.through(Silence::Requests(REQUESTS)).await, (0, 0));
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_told_is_made_anew_and_nothing_is_lost() {
    let mut watched = Watched::start().await;
    assert_eq!(watched.through(Silence::Connection).await, (0, 1));
}

#[tokio::test]
async fn what_is_subscribed_is_made_anew_when_another_connection_does_not_help_and_the_gap_is_told() {
    let mut watched = Watched::start().await;
    assert_eq!(watched.through(Silence::Subscription).await, (1, 1));
}

#[tokio::test]
async fn a_server_that_nothing_helps_with_is_a_fault_with_its_reason() {
    let mut watched = Watched::start().await;
    watched.way.muffle(Silence::Forever);
    let fault = async {
        loop {
            if let Err(fault) = watched.session.backend.next_event().await {
                return fault;
            }
        }
    };
    let fault = tokio::time::timeout(PATIENCE, fault).await.expect("it goes on for ever");
    assert!(fault.reason.contains("tells nothing"), "{fault}");
}
