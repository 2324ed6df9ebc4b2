//! How long many things took: counts in classes that are a thirty-second of their length wide, so that any number of
//! lengths needs the same few kilobytes.

/// Classes for each doubling.
const PARTS: usize = 32;

/// How many bits tell the part.
const PART_BITS: u32 = PARTS.ilog2();

/// See the module's documentation. Lengths are in nanoseconds, what is told is in microseconds.
#[derive(Debug)]
pub(super) struct Lengths {
    counts: Vec<u64>,
    most: u64,
}

impl Default for Lengths {
    fn default() -> Self {
        Self { counts: vec![0; class(u64::MAX) + 1], most: 0 }
    }
}

impl Lengths {
    /// Adds one.
    pub(super) fn note(&mut self, nanos: u64) {
        if let Some(count) = self.counts.get_mut(class(nanos)) {
            *count += 1;
        }
        self.most = self.most.max(nanos);
    }

    /// Adds all of another.
    pub(super) fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.most = self.most.max(other.most);
    }

    /// The length that `share` of them do not exceed, in microseconds; 0 if there are none.
    pub(super) fn percentile(&self, share: f64) -> u64 {
        let all: u64 = self.counts.iter().sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count is a count"
        )]
        let wanted = ((all as f64 * share).ceil() as u64).clamp(1, all.max(1));
        let mut sum = 0;
        let within = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        within.map_or(0, |class| end(class).min(self.most) / 1_000)
    }

    /// The longest, in microseconds.
    pub(super) const fn most(&self) -> u64 {
        self.most / 1_000
    }
}

/// The class of a length.
fn class(nanos: u64) -> usize {
    let doubling = nanos.max(1).ilog2().saturating_sub(PART_BITS);
    usize::try_from(nanos >> doubling).unwrap_or(usize::MAX) + doubling as usize * PARTS
}

/// The longest length of a class.
fn end(class: usize) -> u64 {
    if class < 2 * PARTS {
        return class as u64;
    }
    let doubling = class / PARTS - 1;
    let first = (class - doubling * PARTS) as u64;
    ((u128::from(first + 1) << doubling) - 1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_in_a_class_that_is_narrow() {
        for nanos in [0, 1, 31, 32, 63, 64, 65, 1_000, 123_456, 10_u64.pow(12), u64::MAX / 2, u64::MAX] {
            let end = end(class(nanos));
            assert!(end >= nanos && end - nanos <= nanos / 31, "{nanos} is taken for {end}");
        }
    }

    #[test]
    fn percentiles_are_of_what_was_noted() {
        let mut lengths = Lengths::default();
        assert_eq!((lengths.percentile(0.5), lengths.most()), (0, 0));
        (1..=100).for_each(|n| lengths.note(n * 1_000_000));
        let near = |share, expected: u64| lengths.percentile(share).abs_diff(expected) <= expected / 31;
        assert!(near(0.5, 50_000) && near(0.99, 99_000), "{} {}", lengths.percentile(0.5), lengths.percentile(0.99));
        assert_eq!((lengths.percentile(1.0), lengths.most()), (100_000, 100_000));
    }
}
