//! Requests for notifications that wait for the server.

use std::future::pending;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use opcua::types::{Error, PublishResponse};

/// What a request was answered.
pub(super) type Answer = Result<PublishResponse, Error>;

/// Requests on one connection. Those of which nothing is expected any more do not count, so that they do not stand in the
/// way of others; what comes for them all the same is handed out, for it may be a notification.
#[derive(Debug, Default)]
pub(super) struct Publishes {
    waiting: FuturesUnordered<BoxFuture<'static, (u32, Answer)>>,
    /// Counts how often those that waited were written off.
    round: u32,
    /// How many wait that were not.
    expected: usize,
}

impl Publishes {
    /// One more waits.
    pub(super) fn push(&mut self, request: impl Future<Output = Answer> + Send + 'static) {
        let round = self.round;
        self.expected += 1;
        self.waiting.push(Box::pin(async move { (round, request.await) }));
    }

    /// How many are expected to be answered.
    pub(super) const fn expected(&self) -> usize {
        self.expected
    }

    /// Expects nothing of those any more that wait: the server does not have them, or answers them for what is gone.
    pub(super) const fn write_off(&mut self) {
        self.round += 1;
        self.expected = 0;
    }

    /// The next answer that says something: of those that were written off, only a notification does. Waits for ever while
    /// there is no request. May be cancelled without loss.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            let Some((round, answer)) = self.waiting.next().await else { return pending().await };
            if round == self.round {
                self.expected -= 1;
                return answer;
            }
            if answer.is_ok() {
                return answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use opcua::types::StatusCode;
    use tokio::time::timeout;

    use super::*;

    fn refused() -> Answer {
        Err(Error::new(StatusCode::BadNoSubscription, "no subscription"))
    }

    async fn says_nothing(publishes: &mut Publishes) -> bool {
        timeout(Duration::from_millis(1), publishes.next()).await.is_err()
    }

    #[tokio::test]
    async fn what_is_expected_counts_until_it_is_answered() {
        let mut publishes = Publishes::default();
        assert!(says_nothing(&mut publishes).await);
        publishes.push(pending());
        publishes.push(ready(refused()));
        assert_eq!(publishes.expected(), 2);
        assert!(publishes.next().await.is_err());
        assert_eq!(publishes.expected(), 1);
        assert!(says_nothing(&mut publishes).await);
    }

    #[tokio::test]
    async fn of_what_was_written_off_only_a_notification_is_handed_out() {
        let mut publishes = Publishes::default();
        publishes.push(ready(refused()));
        publishes.push(ready(Ok(PublishResponse::default())));
        publishes.push(pending());
        publishes.write_off();
        assert_eq!(publishes.expected(), 0);
        assert!(publishes.next().await.is_ok());
        assert!(says_nothing(&mut publishes).await);
        publishes.push(ready(refused()));
        assert!(publishes.next().await.is_err(), "one that was made since counts");
        assert_eq!(publishes.expected(), 0);
    }
}
