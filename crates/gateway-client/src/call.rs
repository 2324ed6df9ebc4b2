//! One call, made again where that cannot do a thing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moorline_gateway_proto::v1::ErrorCode;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Response, Status};

use crate::backoff::Backoff;
use crate::command::CommandId;
use crate::connect::{Api, ConnectError, connect};
use crate::error::{CallError, Lost, Refused, Verdict};
use crate::options::{Options, ReconnectPolicy};

/// For how long a place that is taken may still be our own, after our connection was lost: the gateway notices a client
/// that has vanished after twenty seconds of silence and ten of waiting.
const OWN_PLACE: Duration = Duration::from_secs(45);

/// What may be done about a call without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It only looks: it is made again.
    Look,
    /// The gateway makes sure that it is carried out once: it is made again, and what then has no answer may have been
    /// carried out.
    Named(Option<CommandId>),
    /// It is not made again once it may have been carried out.
    Never,
    /// It streams once more, and the place that is taken may be our own.
    Return,
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// One attempt.
    pub(crate) attempt: Duration,
    /// All of them, outages included; `None` for as long as it takes.
    pub(crate) total: Option<Duration>,
}

impl Patience {
    /// A call that has this long.
    pub(crate) const fn of(length: Duration) -> Self {
        Self { attempt: length, total: Some(length) }
    }

    fn allows(self, after: Duration) -> bool {
        self.total.is_none_or(|total| after <= total)
    }
}

/// Makes calls.
#[derive(Clone)]
pub(crate) struct Caller {
    api: Api,
    shared: Arc<Shared>,
}

struct Shared {
    reconnect: ReconnectPolicy,
    call_timeout: Duration,
    /// What the names of this client's commands begin with: drawn once, and then they are counted.
    names: u128,
    next: AtomicU64,
}

impl Caller {
    pub(crate) async fn connect(options: &Options) -> Result<Self, ConnectError> {
        let mut drawn = [0; 16];
        getrandom::fill(&mut drawn).map_err(|_| ConnectError::Entropy)?;
        let shared = Shared {
            reconnect: options.reconnect,
            call_timeout: options.call_timeout,
            names: u128::from_be_bytes(drawn),
            next: AtomicU64::new(1),
        };
        Ok(Self { api: connect(options).await?, shared: Arc::new(shared) })
    }

    pub(crate) fn reconnect(&self) -> ReconnectPolicy {
        self.shared.reconnect
    }

    pub(crate) fn call_timeout(&self) -> Duration {
        self.shared.call_timeout
    }

    /// A name that no other command has.
    pub(crate) fn command_id(&self) -> CommandId {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        CommandId::minted(self.shared.names, number)
    }

    /// Asks for what only has to be looked at.
    pub(crate) async fn look<T, F>(&self, attempt: impl FnMut(Api) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(Repeat::Look, Patience::of(self.call_timeout()), Backoff::default(), attempt).await
    }

    /// Makes a call, and makes it again for as long as that is of use.
    ///
    /// # Errors
    /// Why there is no answer, or which other one.
    pub(crate) async fn call<T, F>(
        &self,
        repeat: Repeat,
        patience: Patience,
        mut backoff: Backoff,
        mut attempt: impl FnMut(Api) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let began = Instant::now();
        let mut maybe_done = false;
        loop {
            let left = patience.total.map(|total| total.saturating_sub(began.elapsed()));
            let wait = left.map_or(patience.attempt, |left| left.min(patience.attempt));
            let verdict = match timeout(wait, attempt(self.api.clone())).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Verdict::from(status),
                Err(_) if repeat == Repeat::Return => Verdict::Lost(Lost::Timeout { after: wait }),
                Err(_) => return Err(repeat.unanswered(Lost::Timeout { after: wait }, true)),
            };
            let (lost, hint) = match verdict {
                Verdict::Final(refused) if repeat.may_be_own_place(&refused, began.elapsed()) => {
                    (Lost::Unanswered(refused), None)
                }
                Verdict::Final(refused) => return Err(repeat.unanswered(Lost::Unanswered(refused), maybe_done)),
                Verdict::Unknown(refused) => return Err(repeat.unanswered(Lost::Unanswered(refused), true)),
                Verdict::Later(refused) => {
                    let hint = refused.retry_after;
                    (Lost::Unanswered(refused), hint)
                }
                Verdict::NotSent(lost) => (lost, None),
                Verdict::Lost(lost) if repeat == Repeat::Never => return Err(repeat.unanswered(lost, true)),
                Verdict::Lost(lost) => {
                    maybe_done = true;
                    (lost, None)
                }
            };
            let after = backoff.next(entropy(), hint);
            let is_sought = self.shared.reconnect != ReconnectPolicy::Never;
            if !is_sought || !patience.allows(began.elapsed() + after) {
                return Err(repeat.unanswered(lost, maybe_done));
            }
            tracing::debug!(%lost, ?after, "a call is made again");
            sleep(after).await;
        }
    }
}

/// Randomness for a wait. Without any the wait is the shortest of its length, which is better than none.
pub(crate) fn entropy() -> u64 {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_or(0, |()| u64::from_be_bytes(drawn))
}

impl Repeat {
    fn may_be_own_place(&self, refused: &Refused, after: Duration) -> bool {
        let is_place =
            matches!(refused.reason, ErrorCode::EventSubscriberAlreadyActive | ErrorCode::EventSubscriberLimitReached);
        *self == Self::Return && is_place && after < OWN_PLACE
    }

    /// The error of a call that was given up for this.
    fn unanswered(&self, lost: Lost, maybe_done: bool) -> CallError {
        match (self, lost) {
            (Self::Named(command), cause) if maybe_done => {
                CallError::OutcomeUnknown { command: command.clone(), cause }
            }
            (Self::Never, cause) if maybe_done => CallError::OutcomeUnknown { command: None, cause },
            (_, Lost::Unanswered(refused)) => CallError::Refused(refused),
            (_, lost) => CallError::Unreachable(lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use moorline_gateway_proto::ERROR_INFO_KEY;
    use moorline_gateway_proto::v1::ErrorInfo;
    use prost::Message as _;
    use tonic::Code;
    use tonic::metadata::{MetadataMap, MetadataValue};

    use super::*;
    use crate::connect::nowhere;

    /// What an attempt comes to.
    #[derive(Debug, Clone, Copy)]
    enum Comes {
        Answer,
        NotSent,
        Lost,
        Later,
        Refused(Code, ErrorCode),
        Never,
    }

    use Comes::{Answer, Later, Lost as Cut, Never, NotSent, Refused as No};

    impl Comes {
        async fn come(self) -> Result<Response<u32>, Status> {
            match self {
                Answer => Ok(Response::new(7)),
                NotSent => Err(Status::from_error(Box::new(tonic::ConnectError(Box::from("refused"))))),
                Cut => Err(Status::unknown("transport error")),
                Later => Err(told(Code::Unavailable, ErrorCode::Unavailable)),
                No(code, reason) => Err(told(code, reason)),
                Never => std::future::pending().await,
            }
        }
    }

    fn told(code: Code, reason: ErrorCode) -> Status {
        let info = ErrorInfo { code: reason.into(), ..Default::default() };
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(ERROR_INFO_KEY, MetadataValue::from_bytes(&info.encode_to_vec()));
        Status::with_metadata(code, "no", metadata)
    }

    fn caller(reconnect: ReconnectPolicy) -> Caller {
        let call_timeout = Duration::from_secs(60);
        let shared = Shared { reconnect, call_timeout, names: 1, next: AtomicU64::new(1) };
        Caller { api: nowhere(), shared: Arc::new(shared) }
    }

    /// Has these attempts come to this, the last of them for ever; answers in a word, with the number of attempts.
    async fn outcome(reconnect: ReconnectPolicy, repeat: Repeat, comes: &[Comes]) -> (&'static str, usize) {
        let mut left: VecDeque<Comes> = comes.to_vec().into();
        let mut attempts = 0;
        let patience = Patience { attempt: Duration::from_secs(30), total: Some(Duration::from_secs(120)) };
        let caller = caller(reconnect);
        let answer = caller.call(repeat, patience, Backoff::default(), |_| {
            attempts += 1;
            let next = if left.len() > 1 { left.pop_front() } else { left.front().copied() };
            next.unwrap().come()
        });
        let word = match answer.await {
            Ok(_) => "answered",
            Err(CallError::Refused(_)) => "refused",
            Err(CallError::Failed(_)) => "failed",
            Err(CallError::OutcomeUnknown { command, .. }) if command.is_some() => "unknown by name",
            Err(CallError::OutcomeUnknown { .. }) => "unknown",
            Err(CallError::Unreachable(_)) => "unreachable",
            Err(CallError::Unreadable { .. }) => "unreadable",
        };
        (word, attempts)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_made_again_exactly_if_that_cannot_do_a_thing_twice() {
        let named = || Repeat::Named(Some(CommandId::new("once")));
        let gone = No(Code::NotFound, ErrorCode::SessionNotFound);
        for (repeat, comes, expected) in [
            (named(), &[Cut, NotSent, Later, Answer][..], ("answered", 4)),
            (Repeat::Look, &[Cut, NotSent, Later, Answer], ("answered", 4)),
            (Repeat::Never, &[NotSent, Later, Answer], ("answered", 3)),
            (Repeat::Never, &[NotSent, Cut, Answer], ("unknown", 2)),
            (Repeat::Never, &[Never], ("unknown", 1)),
            (named(), &[gone], ("refused", 1)),
            (named(), &[NotSent, gone], ("refused", 2)),
            (named(), &[Cut, gone], ("unknown by name", 2)),
            (Repeat::Look, &[Cut, gone], ("refused", 2)),
            (named(), &[Never], ("unknown by name", 1)),
            (Repeat::Look, &[Never], ("unreachable", 1)),
            (Repeat::Return, &[Never], ("unreachable", 4)),
        ] {
            let found = outcome(ReconnectPolicy::Always, repeat.clone(), comes).await;
            assert_eq!(found, expected, "{repeat:?} {comes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_given_up_when_its_time_is_over_and_says_whether_it_may_have_been_carried_out() {
        let named = || Repeat::Named(Some(CommandId::new("once")));
        for (repeat, comes, expected) in [
            (named(), &[NotSent][..], "unreachable"),
            (named(), &[Cut, NotSent], "unknown by name"),
            (named(), &[Later], "refused"),
            (Repeat::Look, &[Cut, NotSent], "unreachable"),
            (Repeat::Never, &[NotSent], "unreachable"),
        ] {
            let began = Instant::now();
            let (found, attempts) = outcome(ReconnectPolicy::Always, repeat.clone(), comes).await;
            assert_eq!(found, expected, "{repeat:?} {comes:?}");
            let took = began.elapsed();
            assert!((110..=120).contains(&took.as_secs()) && attempts < 50, "{took:?} {attempts}");
            let never = outcome(ReconnectPolicy::Never, repeat, comes).await;
            assert_eq!(never.1, 1, "nobody is asked again who is not to be");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_taken_may_be_our_own_for_a_while() {
        let taken = No(Code::AlreadyExists, ErrorCode::EventSubscriberAlreadyActive);
        for (repeat, comes, expected) in [
            (Repeat::Return, &[taken, taken, Answer][..], "answered"),
            (Repeat::Return, &[taken], "refused"),
            (Repeat::Look, &[taken, Answer], "refused"),
        ] {
            let began = Instant::now();
            let (found, _) = outcome(ReconnectPolicy::Always, repeat.clone(), comes).await;
            assert_eq!(found, expected, "{repeat:?} {comes:?}");
            assert!(began.elapsed() < OWN_PLACE + Duration::from_secs(6), "{:?}", began.elapsed());
        }
    }
}
