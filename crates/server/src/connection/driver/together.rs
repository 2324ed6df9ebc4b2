//! Submissions that have arrived together, and are accepted in one commit.
//!
//! Nobody is waited for. Whatever is no submission, or one that may have to wait for something, comes after those that are
//! taken in already, so answers keep the order of what they answer.

use futures_util::FutureExt as _;
use moorline_runtime::session::{Finished, Prepared};

use super::slow::Request;
use super::{Broken, Driver};
use crate::door::{CloseReason, Transport, read_now};

/// Answers that are gathered while the client has sent more already: as many submissions as are committed in a
/// millisecond, which is what the first of them waits for at the most.
const GATHERED_ANSWERS: usize = 16;

/// Bytes of submissions that are accepted together, beyond the first: some hundred usual ones. A large one is a commit that
/// is worth it by itself.
const TOGETHER_BYTES: usize = 64 * 1024;

/// Submissions that are taken in and are accepted in one commit, as soon as nothing else has arrived that could go along.
#[derive(Default)]
pub(super) struct Accepting(Vec<(Request, Prepared)>);

impl Accepting {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    const fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, prepared)| prepared.bytes()).sum()
    }
}

impl Driver<'_> {
    /// Takes a submission in, to be accepted with others.
    pub(super) async fn accept_later(&mut self, request: Request, prepared: Prepared) {
        if self.accepting.bytes() + prepared.bytes() > TOGETHER_BYTES {
            self.accept_all().await;
        }
        self.accepting.0.push((request, prepared));
    }

    /// Before a submission is accepted, takes in what else the client has sent already, so that others are accepted with
    /// it; and before that is written, lets the jobs begin: what follows at once goes out with the answers, in one write.
    /// Nobody is waited for.
    pub(super) async fn gather(&mut self, transport: &mut impl Transport) -> Result<Option<CloseReason>, Broken> {
        while self.answers + self.accepting.len() < GATHERED_ANSWERS
            && let Some(incoming) = read_now(transport, &mut self.outgoing).await
        {
            if let Some(reason) = self.handle_incoming(incoming).await {
                return Ok(Some(reason));
            }
        }
        self.accept_all().await;
        self.has_begun = false;
        tokio::task::yield_now().await;
        let session = self.session.as_mut().filter(|session| !session.is_something_due());
        match session.and_then(|session| session.next().now_or_never()) {
            Some(deliveries) => self.deliver_all(deliveries?).await,
            None => Ok(None),
        }
    }

    /// Has the submissions accepted that were taken in, and answers them.
    pub(super) async fn accept_all(&mut self) {
        if self.accepting.is_empty() {
            return;
        }
        let (requests, prepared): (Vec<_>, Vec<_>) = std::mem::take(&mut self.accepting.0).into_iter().unzip();
        let Some(session) = &mut self.session else { return };
        let finished = session.finish_submissions(prepared).await;
        for (Request { id, asked, deed }, Finished { outcome, ruling }) in requests.into_iter().zip(finished) {
            if let Some(session) = &self.session {
                session.restore_ruling(ruling);
            }
            match outcome {
                Ok(job) => self.tell_accepted(&id, &job),
                Err(refusal) => self.tell_refused(deed, &refusal, &asked),
            }
        }
    }
}
