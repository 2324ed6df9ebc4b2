//! What lets a client come back to its session (spec 6.3): tokens, and where the session stands.
//!
//! The state is written down beside the journal, so a session outlives its connection and the gateway alike.
//!
//! - A token is bound to session and principal, kept as a hash, and rotated by every welcome. The one before stays good
//!   until the client has sent a frame on its new connection, so a client whose welcome was lost can try again.
//! - The window is counted from the moment that the session lost its connection.
//! - Checkpoints are views of the session at some numbers. To go on after a number is to read on from the last
//!   checkpoint before it. None is needed for that: a session can be read from its beginning.
//!
//! Deliberately absent: what was sent. The journal has it.

use std::fmt;

use hmac_sha256::Hash;
use moorline_types::{Epoch, EventSeq, Millis, Offset, PrincipalId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::Refusal;
use crate::backlog::MissedReason;
use crate::view::View;

/// Checkpoints that are kept. A client comes back to where it was moments ago, or to where it was before its
/// connection broke; a handful, spread over the session's life, leaves little to be read again.
pub const MAX_CHECKPOINTS: usize = 6;

/// A token as the client has it. What prints it prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken(Box<str>);

impl ResumeToken {
    /// The token with this text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Its text, to be sent to its client or to be compared.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(…)")
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of a token as the client has it.
    pub fn of(token: &ResumeToken) -> Self {
        Self(Hash::hash(token.expose().as_bytes()))
    }

    fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// From where on a session can be read, because what it saw before is not kept any longer.
///
/// Written down before anything is removed: a session that was read across records that are gone would number the rest
/// anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The session there.
    pub view: View,
    /// Why.
    pub reason: MissedReason,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeState {
    principal: PrincipalId,
    /// The lineage in which the session's numbers were given.
    epoch: Epoch,
    /// Before the session's first record.
    opened: Offset,
    current: TokenHash,
    previous: Option<TokenHash>,
    /// Since when the session has no connection; absent while it has one.
    parked: Option<Timestamp>,
    /// The highest number that is known to have been given.
    given: EventSeq,
    acknowledged: EventSeq,
    checkpoints: Vec<View>,
}

impl ResumeState {
    /// Of a session that begins, with its first token.
    pub const fn new(principal: PrincipalId, epoch: Epoch, opened: Offset, token: TokenHash) -> Self {
        Self {
            principal,
            epoch,
            opened,
            current: token,
            previous: None,
            parked: None,
            given: EventSeq::ZERO,
            acknowledged: EventSeq::ZERO,
            checkpoints: Vec::new(),
        }
    }

    /// Whose session it is.
    pub const fn principal(&self) -> &PrincipalId {
        &self.principal
    }

    /// The lineage in which the session's numbers were given.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The highest number that is known to have been given. More may have been, if the gateway was killed.
    pub const fn given(&self) -> EventSeq {
        self.given
    }

    /// Up to which number the client has processed everything, by its own word.
    pub const fn acknowledged(&self) -> EventSeq {
        self.acknowledged
    }

    /// Since when the session has no connection.
    pub const fn parked(&self) -> Option<Timestamp> {
        self.parked
    }

    /// Whether the window is over.
    pub fn is_expired(&self, now: Timestamp, window: Millis) -> bool {
        self.parked.is_some_and(|since| since + window <= now)
    }

    /// Whether this principal may go on with the session by this token. Changes nothing.
    ///
    /// # Errors
    /// [`Refusal::ResumeUnknown`], whatever is wrong: a stranger learns nothing.
    pub fn admit(
        &self,
        principal: &PrincipalId,
        presented: &TokenHash,
        now: Timestamp,
        window: Millis,
    ) -> Result<(), Refusal> {
        let previous = self.previous.as_ref().is_some_and(|hash| hash.matches(presented));
        let known = self.current.matches(presented) | previous;
        if known && self.principal == *principal && !self.is_expired(now, window) {
            Ok(())
        } else {
            Err(Refusal::ResumeUnknown)
        }
    }

    /// The client is back, with the token that it presented; the welcome carries a fresh one.
    pub fn attach(&mut self, presented: TokenHash, fresh: TokenHash, epoch: Epoch) {
        self.previous = Some(presented);
        self.current = fresh;
        self.parked = None;
        self.epoch = epoch;
    }

    /// The client has sent a frame: it has its current token. Answers whether that is news.
    pub const fn confirm(&mut self) -> bool {
        self.previous.take().is_some()
    }

    /// The connection has ended. One that was known to have ended before stays so.
    pub fn park(&mut self, now: Timestamp) {
        self.parked.get_or_insert(now);
    }

    /// The client has processed everything up to this number.
    pub fn acknowledge(&mut self, through: EventSeq) {
        self.acknowledged = self.acknowledged.max(through);
        // The last checkpoint up to there is as good as any before it.
        let reached = self.checkpoints.partition_point(|view| view.event_seq() <= self.acknowledged);
        self.checkpoints.drain(..reached.saturating_sub(1));
    }

    /// Takes note of where the session stands. With as many checkpoints as there may be, the one goes that leaves the
    /// least to be read again.
    pub fn checkpoint(&mut self, view: &View) {
        self.given = self.given.max(view.event_seq());
        let later = self.checkpoints.partition_point(|other| other.event_seq() < view.event_seq());
        self.checkpoints.truncate(later);
        self.checkpoints.push(view.clone());
        if self.checkpoints.len() > MAX_CHECKPOINTS {
            let hole = |at: &usize| self.checkpoints[at + 1].event_seq().since(self.checkpoints[at - 1].event_seq());
            if let Some(least) = (1..self.checkpoints.len() - 1).min_by_key(hole) {
                self.checkpoints.remove(least);
            }
        }
    }

    /// Gives up the checkpoint that saves the least, for a state that is too large to be written down. Answers whether
    /// there was one.
    pub fn shrink(&mut self) -> bool {
        let any = !self.checkpoints.is_empty();
        if any {
            self.checkpoints.remove(0);
        }
        any
    }

    /// From where to read on to see what follows this number, which is not below the floor.
    pub fn view_before(&self, session: SessionId, number: EventSeq, floor: Option<&Floor>) -> View {
        let reached = self.checkpoints.iter().rfind(|view| view.event_seq() <= number);
        self.above(session, reached, floor)
    }

    /// From where to read on to see what follows this place in the journal.
    pub fn view_at(&self, session: SessionId, place: Offset, floor: Option<&Floor>) -> View {
        let reached = self.checkpoints.iter().rfind(|view| view.position() <= place);
        self.above(session, reached, floor)
    }

    fn above(&self, session: SessionId, reached: Option<&View>, floor: Option<&Floor>) -> View {
        let floor = floor.map(|floor| &floor.view);
        let higher = reached.into_iter().chain(floor).max_by_key(|view| view.position());
        higher.cloned().unwrap_or_else(|| View::new(session, self.opened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Millis = Millis::from_secs(600);

    fn hash(token: &str) -> TokenHash {
        TokenHash::of(&ResumeToken::new(token))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn ada() -> PrincipalId {
        "ada".parse().unwrap()
    }

    fn epoch() -> Epoch {
        Epoch::mint(at(1), [7; 10])
    }

    fn session() -> SessionId {
        SessionId::mint(at(1), [1; 10])
    }

    fn state() -> ResumeState {
        ResumeState::new(ada(), epoch(), Offset::new(5), hash("one"))
    }

    /// A view that has come as far as this number.
    fn view(number: u64) -> View {
        let text = serde_json::to_string(&View::new(session(), Offset::new(5))).unwrap();
        serde_json::from_str(&text.replace(r#""event_seq":0"#, &format!(r#""event_seq":{number}"#))).unwrap()
    }

    #[test]
    fn only_the_principal_with_its_token_within_the_window_is_admitted() {
        let mut parked = state();
        parked.park(at(100));
        for (who, token, when, admitted) in [
            ("ada", "one", 101, true),
            ("ada", "one", 699, true),
            ("ada", "one", 700, false),
            ("bob", "one", 101, false),
            ("ada", "two", 101, false),
            ("ada", "", 101, false),
        ] {
            let before = parked.clone();
            let answer = parked.admit(&who.parse().unwrap(), &hash(token), at(when), WINDOW);
            assert_eq!(answer.is_ok(), admitted, "{who} {token} {when}");
            assert_eq!(parked, before, "an attempt changes nothing");
        }
        assert!(state().admit(&ada(), &hash("one"), at(9_999), WINDOW).is_ok(), "a connection has no window");
    }

    #[test]
    fn the_token_before_is_good_until_the_client_has_shown_that_it_has_the_new_one() {
        let mut state = state();
        let admits = |state: &ResumeState, token| state.admit(&ada(), &hash(token), at(1), WINDOW).is_ok();
        state.attach(hash("one"), hash("two"), epoch());
        assert!(admits(&state, "one") && admits(&state, "two"));
        // The welcome was lost, and the one after it too.
        state.attach(hash("one"), hash("three"), epoch());
        assert!(admits(&state, "one") && admits(&state, "three") && !admits(&state, "two"));
        assert!(state.confirm());
        assert!(!admits(&state, "one") && admits(&state, "three"));
        assert!(!state.confirm());
    }

    #[test]
    fn the_window_is_counted_from_the_first_loss() {
        let mut state = state();
        state.park(at(10));
        state.park(at(500));
        assert_eq!(state.parked(), Some(at(10)));
        state.attach(hash("one"), hash("two"), epoch());
        assert_eq!(state.parked(), None);
    }

    #[test]
    fn reading_goes_on_from_the_last_checkpoint_before_the_number() {
        let mut state = state();
        for number in [10, 20, 30] {
            state.checkpoint(&view(number));
        }
        for (number, from) in [(0, 0), (9, 0), (10, 10), (19, 10), (20, 20), (31, 30)] {
            assert_eq!(state.view_before(session(), EventSeq::new(number), None).event_seq().get(), from, "{number}");
        }
        assert_eq!(state.view_before(session(), EventSeq::ZERO, None).position(), Offset::new(5));
        // A client that was rewound reaches the same numbers again.
        state.checkpoint(&view(15));
        assert_eq!(state.view_before(session(), EventSeq::new(99), None).event_seq().get(), 15);
        assert_eq!(state.given(), EventSeq::new(30));
    }

    #[test]
    fn however_many_are_taken_the_checkpoints_are_few_and_spread() {
        let mut state = state();
        for number in 1..=100 {
            state.checkpoint(&view(number * 10));
            assert!(state.checkpoints.len() <= MAX_CHECKPOINTS);
        }
        let numbers: Vec<_> = state.checkpoints.iter().map(|view| view.event_seq().get()).collect();
        assert_eq!((numbers[0], numbers[numbers.len() - 1]), (10, 1_000), "{numbers:?}");
        let widest = numbers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest <= 600, "{numbers:?}");
    }

    #[test]
    fn what_is_acknowledged_needs_no_checkpoint_but_the_last() {
        let mut state = state();
        for number in [10, 20, 30] {
            state.checkpoint(&view(number));
        }
        state.acknowledge(EventSeq::new(25));
        assert_eq!(state.checkpoints.iter().map(|view| view.event_seq().get()).collect::<Vec<_>>(), [20, 30]);
        state.acknowledge(EventSeq::new(5));
        assert_eq!(state.acknowledged(), EventSeq::new(25), "an acknowledgement is not taken back");
        assert_eq!(state.view_before(session(), EventSeq::new(12), None).event_seq(), EventSeq::ZERO, "still readable");
    }

    #[test]
    fn the_state_reads_back_as_it_was_written() {
        let mut state = state();
        state.checkpoint(&view(3));
        state.attach(hash("one"), hash("two"), epoch());
        state.park(at(4));
        let written = serde_json::to_vec(&state).unwrap();
        assert_eq!(serde_json::from_slice::<ResumeState>(&written).unwrap(), state);
        assert!(!String::from_utf8(written).unwrap().contains("one"));
        assert!(!format!("{:?}", ResumeToken::new("one")).contains("one"));
    }
}
