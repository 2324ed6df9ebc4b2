//! Bytes as decisions.

/// Reads decisions from bytes. When they are used up, every decision is the first choice.
#[derive(Debug)]
pub(crate) struct Decisions<'a>(&'a [u8]);

impl<'a> Decisions<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Has something decided by these bytes again and again, until they are used up, but not more often than that.
    pub(crate) fn each(bytes: &'a [u8], most: usize, mut decide: impl FnMut(&mut Self)) {
        let mut decisions = Self::new(bytes);
        for _ in 0..most {
            if decisions.is_done() {
                break;
            }
            decide(&mut decisions);
        }
    }

    /// Whether nothing is left to be decided.
    pub(crate) const fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// An index into something of this length; `None` if there is nothing.
    pub(crate) fn index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.below(length))
    }
}
