//! Envelope ids.

use moorline_types::{ENTROPY_BYTES, Entropy, MessageId};

use moorline_wire::payload::IdempotencyKey;

use crate::clock;

/// Mints the ids of one connection: drawn once, then counted, so that no two are alike and a failing random source is
/// noticed while connecting.
#[derive(Debug)]
pub(crate) struct Mint {
    next: [u8; 16],
}

impl Mint {
    /// A mint with fresh randomness; `None` if there is none.
    pub(crate) fn new() -> Option<Self> {
        let mut entropy = [0; ENTROPY_BYTES];
        getrandom::fill(&mut entropy).ok()?;
        let mut next = [0; 16];
        next[6..].copy_from_slice(&entropy);
        Some(Self { next })
    }

    /// The id of an envelope.
    pub(crate) fn message_id(&mut self) -> MessageId {
        MessageId::mint(clock::now(), self.entropy())
    }

    /// An idempotency key.
    pub(crate) fn key(&mut self) -> Option<IdempotencyKey> {
        // As unlike all others as an envelope's id is, and told apart from one at a glance.
        let id = self.message_id();
        format!("key_{}", id.as_str().strip_prefix("msg_").unwrap_or(id.as_str())).parse().ok()
    }

    /// Randomness for a wait; from the count if the system has none, which is better than none.
    pub(crate) fn jitter(&mut self) -> u64 {
        let mut bytes = [0; 8];
        if getrandom::fill(&mut bytes).is_err() {
            bytes.copy_from_slice(&self.entropy()[2..]);
        }
        u64::from_be_bytes(bytes)
    }

    fn entropy(&mut self) -> Entropy {
        self.next = u128::from_be_bytes(self.next).wrapping_add(1).to_be_bytes();
        let mut entropy = [0; ENTROPY_BYTES];
        entropy.copy_from_slice(&self.next[6..]);
        entropy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ids_are_alike_even_when_the_count_wraps() {
        let mut mint = Mint { next: [0xff; 16] };
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| mint.message_id()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
