//! SHA-256 over several parts, so that no two lists of parts have the same digest by how they are put together.

use std::fmt;

use hmac_sha256::Hash;

/// 256 bits that stand for what was digested.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The first 64 bits.
    pub(crate) fn head(&self) -> [u8; 8] {
        let mut head = [0; 8];
        head.copy_from_slice(&self.0[..8]);
        head
    }
}

/// Takes the parts in.
pub(crate) struct Parts(Hash);

impl Parts {
    /// `purpose` keeps digests of different things apart.
    pub(crate) fn new(purpose: &'static str) -> Self {
        Self(Hash::new()).with(purpose)
    }

    /// A part that is there.
    pub(crate) fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update([1]);
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    /// A part that may be absent, which is something else than empty.
    pub(crate) fn with_maybe(mut self, part: Option<impl AsRef<[u8]>>) -> Self {
        match part {
            Some(part) => self.with(part),
            None => {
                self.0.update([0]);
                self
            }
        }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize())
    }
}

impl Digest {
    /// As bytes.
    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn where_one_part_ends_and_the_next_begins_is_part_of_the_digest() {
        let absent: Option<&str> = None;
        let digests: BTreeSet<_> = [
            Parts::new("a").with("bc").with("d"),
            Parts::new("a").with("b").with("cd"),
            Parts::new("a").with("bcd"),
            Parts::new("ab").with("cd"),
            Parts::new("a").with("bcd").with(""),
            Parts::new("a").with("bcd").with_maybe(absent),
        ]
        .into_iter()
        .map(|parts| parts.finish().to_string())
        .collect();
        assert_eq!(digests.len(), 6);
        assert!(digests.iter().all(|digest| digest.len() == 64));
    }
}
