//! How much of what a worker reports about a job waits to be committed.
//!
//! A worker that keeps to the protocol never has more than a window of reports under way, and what it says again on a
//! new link may meet the same from the old one. More than twice the window comes from a worker that does not keep to it.

use std::sync::atomic::{AtomicUsize, Ordering};

use moorline_core::job::Report;
use moorline_types::limits::{MAX_EVENT_BODY_BYTES, MAX_REPORT_WINDOW};
use moorline_worker::limits::REPORT_WINDOW_BYTES;

/// Reports of one job that may wait: two windows.
#[expect(clippy::cast_possible_truncation, reason = "a window of reports that are in memory is counted by a usize")]
pub(crate) const MAX_REPORTS: usize = 2 * MAX_REPORT_WINDOW as usize;

/// Their size. The window is counted without its last report.
const MAX_BYTES: usize = 2 * (REPORT_WINDOW_BYTES + MAX_EVENT_BODY_BYTES);

/// See the module's documentation. Shared by who hands reports in and by the job that takes them.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    reports: AtomicUsize,
    bytes: AtomicUsize,
}

/// Reports, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub(crate) reports: usize,
    pub(crate) bytes: usize,
}

impl Intake {
    /// Takes note of reports that are about to be handed in. `false` if they are more than may wait.
    pub(crate) fn admit(&self, load: Load) -> bool {
        // Only counted, so nothing depends on the order of the two.
        let reports = self.reports.fetch_add(load.reports, Ordering::Relaxed) + load.reports;
        let bytes = self.bytes.fetch_add(load.bytes, Ordering::Relaxed) + load.bytes;
        let fits = reports <= MAX_REPORTS && bytes <= MAX_BYTES;
        if !fits {
            self.release(load);
        }
        fits
    }

    /// Reports that were admitted do not wait any more. To be said before their worker is told that they are committed.
    pub(crate) fn release(&self, load: Load) {
        self.reports.fetch_sub(load.reports, Ordering::Relaxed);
        self.bytes.fetch_sub(load.bytes, Ordering::Relaxed);
    }
}

impl Load {
    pub(crate) fn of(reports: &[Report]) -> Self {
        Self { reports: reports.len(), bytes: reports.iter().map(Report::carried_bytes).sum() }
    }

    /// What of this is more than `rest`.
    pub(crate) const fn beyond(self, rest: Self) -> Self {
        Self { reports: self.reports.saturating_sub(rest.reports), bytes: self.bytes.saturating_sub(rest.bytes) }
    }
}

impl std::ops::AddAssign for Load {
    fn add_assign(&mut self, more: Self) {
        self.reports += more.reports;
        self.bytes += more.bytes;
    }
}

impl std::ops::SubAssign for Load {
    fn sub_assign(&mut self, less: Self) {
        self.reports -= less.reports;
        self.bytes -= less.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_two_windows_is_found_out_by_number_and_by_size() {
        for load in [Load { reports: MAX_REPORTS, bytes: 0 }, Load { reports: 1, bytes: MAX_BYTES }] {
            let intake = Intake::default();
            assert!(intake.admit(load));
            let more = Load { reports: 1, bytes: 1 };
            assert!(!intake.admit(more));
            intake.release(load);
            assert!(intake.admit(more));
        }
    }
}
