//! The one place where randomness is drawn and identifiers are made.

use moorline_types::{CredentialId, Entropy, EventSeq, JobId, MessageId, MintedText, SessionId, Timestamp, WorkerId};

/// The operating system gave no randomness. Nothing can be named without it.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoEntropy(#[source] getrandom::Error);

/// Fresh random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], NoEntropy> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoEntropy)?;
    Ok(bytes)
}

/// A new job's id.
pub fn job_id(now: Timestamp) -> Result<JobId, NoEntropy> {
    Ok(JobId::mint(now, random()?))
}

/// A new session's id.
pub fn session_id(now: Timestamp) -> Result<SessionId, NoEntropy> {
    Ok(SessionId::mint(now, random()?))
}

/// A new worker's id.
pub fn worker_id(now: Timestamp) -> Result<WorkerId, NoEntropy> {
    Ok(WorkerId::mint(now, random()?))
}

/// A new name of a credential, or of an issue of one.
pub(crate) fn credential_id(now: Timestamp) -> Result<CredentialId, NoEntropy> {
    Ok(CredentialId::mint(now, random()?))
}

/// The id of an envelope that is not part of a session's sequence.
pub fn message_id(now: Timestamp) -> Result<MessageId, NoEntropy> {
    Ok(MessageId::mint(now, random()?))
}

/// The id of the envelope that carries the session's record with this number: a function of the two, so that a replay
/// has the same ids.
pub fn sequenced_message_id(session: SessionId, event_seq: EventSeq, at: Timestamp) -> MessageId {
    MessageId::mint(at, sequenced(session, event_seq))
}

/// The text of [`sequenced_message_id`].
pub fn sequenced_message_id_text(session: SessionId, event_seq: EventSeq, at: Timestamp) -> MintedText {
    MessageId::mint_text(at, sequenced(session, event_seq))
}

fn sequenced(session: SessionId, event_seq: EventSeq) -> Entropy {
    let mut entropy: Entropy = [0; size_of::<Entropy>()];
    entropy.copy_from_slice(&session.to_bytes()[6..]);
    for (byte, seq) in entropy[2..].iter_mut().zip(event_seq.get().to_be_bytes()) {
        *byte ^= seq;
    }
    entropy
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sequenced_ids_repeat_for_the_same_record_and_differ_for_others() {
        let at = Timestamp::from_unix_millis(9);
        let sessions = [SessionId::mint(at, [1; 10]), SessionId::mint(at, [2; 10])];
        let id = |session, n| sequenced_message_id(session, EventSeq::new(n), at).to_string();
        assert_eq!(id(sessions[0], 5), id(sessions[0], 5));
        let ids: HashSet<_> = sessions.iter().flat_map(|session| (1..1_000).map(|n| id(*session, n))).collect();
        assert_eq!(ids.len(), 2 * 999);
    }
}
