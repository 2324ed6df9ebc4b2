//! Envelope ids.

use moorline_types::{ENTROPY_BYTES, Entropy, MessageId};

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
