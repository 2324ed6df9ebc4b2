//! What waits to be sent to a client that takes less than there is, and what is left out for it.
//!
//! Everything is in the journal, so nothing needs to wait here: a session that catches up simply reads later. But a
//! client may prefer to be where things are: its subscriptions say what becomes of records that it does not take in
//! time ([`Overflow`]). Then its session reads ahead, to the journal's end, and here is decided what of that is sent.
//!
//! - Nothing is left out silently: what precedes the next record that is sent is said, as a range of numbers.
//! - The end of a job is never left out, nor is what one client only is told.
//! - What is left out keeps its number. A client that resumes from before it is shown it.
//!
//! Deliberately absent: waiting, reading, and what is in a record.

use std::collections::VecDeque;

use moorline_types::{EventSeq, JobId};
use serde::{Deserialize, Serialize};

use crate::record::Overflow;

/// Records that wait for one session beyond which those that may be left out are. A screen shows fewer, and a client
/// that is this far behind is not where things are.
pub const MAX_WAITING_RECORDS: usize = 1_000;

/// The same in bytes of bodies. Bounds what one session holds in memory when its records are large.
pub const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// A record that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<T> {
    /// Its number.
    pub event_seq: EventSeq,
    /// Its job.
    pub job: JobId,
    /// What may become of it.
    pub overflow: Overflow,
    /// Of which kind it replaces the one before, if it does.
    pub replaces: Option<Box<str>>,
    /// Its size, in bytes.
    pub bytes: usize,
    /// The record.
    pub item: T,
}

/// Numbers that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first.
    pub from: EventSeq,
    /// The last.
    pub to: EventSeq,
    /// Why.
    pub reason: MissedReason,
}

/// Why numbers are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissedReason {
    /// The session was moved ahead.
    Skipped,
    /// Later records of the same kind replace them.
    Superseded,
    /// The records were kept for as long as they are.
    TrimmedByAge,
    /// The records had to make room.
    TrimmedBySize,
    /// The operator had the records removed.
    TrimmedByOperator,
}

/// A record to be sent, and what is left out before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure<T> {
    /// What is left out, directly before the record.
    pub missed: Option<Missed>,
    /// The record's number.
    pub event_seq: EventSeq,
    /// The record.
    pub item: T,
}

/// More waits of a job than its subscription allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun {
    /// The job.
    pub job: JobId,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Backlog<T> {
    waiting: VecDeque<Waiting<T>>,
    bytes: usize,
    /// Records whose number only their reader bounds.
    kept: usize,
    /// Records of which the oldest are left out.
    skippable: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    missed: Option<Missed>,
    arrival: Arrival<T>,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, kept: 0, skippable: 0 }
    }
}

impl<T> Backlog<T> {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many records wait whose number nothing here bounds. Whoever reads ahead stops for them.
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// A record that was read. Its number is higher than those before.
    ///
    /// # Errors
    /// If it is one too many; it waits all the same.
    pub fn push(&mut self, arrival: Arrival<T>) -> Result<(), Overrun> {
        let (job, overflow) = (arrival.job, arrival.overflow);
        if overflow == Overflow::Latest && arrival.replaces.is_some() {
            let same = |waiting: &Waiting<T>| {
                waiting.arrival.job == job
                    && waiting.arrival.overflow == Overflow::Latest
                    && waiting.arrival.replaces == arrival.replaces
            };
            let replaced = self.waiting.iter().position(same);
            self.insert(arrival);
            if let Some(at) = replaced {
                self.leave_out(at, MissedReason::Superseded);
            }
            return Ok(());
        }
        self.insert(arrival);
        match overflow {
            Overflow::CatchUp | Overflow::Latest => Ok(()),
            Overflow::Skip => {
                self.skip();
                Ok(())
            }
            Overflow::Disconnect if self.waiting_of(job) > MAX_WAITING_RECORDS => Err(Overrun { job }),
            Overflow::Disconnect => Ok(()),
        }
    }

    /// Everything that waits, in order.
    pub fn take(&mut self) -> Vec<Departure<T>> {
        (self.bytes, self.kept, self.skippable) = (0, 0, 0);
        let depart = |Waiting { missed, arrival }| {
            let Arrival { event_seq, item, .. } = arrival;
            Departure { missed, event_seq, item }
        };
        self.waiting.drain(..).map(depart).collect()
    }

    fn insert(&mut self, arrival: Arrival<T>) {
        self.bytes += arrival.bytes;
        self.kept += usize::from(matches!(arrival.overflow, Overflow::CatchUp | Overflow::Latest));
        self.skippable += usize::from(arrival.overflow == Overflow::Skip);
        self.waiting.push_back(Waiting { missed: None, arrival });
    }

    /// Leaves the oldest out until the rest is not too much. The last one stays, so what is left out is always told.
    fn skip(&mut self) {
        let is_skipped = |waiting: &Waiting<T>| waiting.arrival.overflow == Overflow::Skip;
        while self.skippable > MAX_WAITING_RECORDS || self.bytes > MAX_WAITING_BYTES {
            match self.waiting.iter().position(is_skipped) {
                Some(at) if at < self.waiting.len() - 1 => self.leave_out(at, MissedReason::Skipped),
                Some(_) | None => return,
            }
        }
    }

    /// Leaves one out; what follows it tells of it.
    fn leave_out(&mut self, at: usize, reason: MissedReason) {
        let Some(Waiting { missed, arrival }) = self.waiting.remove(at) else { return };
        self.bytes -= arrival.bytes;
        self.kept -= usize::from(matches!(arrival.overflow, Overflow::CatchUp | Overflow::Latest));
        self.skippable -= usize::from(arrival.overflow == Overflow::Skip);
        let own = Missed { from: arrival.event_seq, to: arrival.event_seq, reason };
        let before = missed.map_or(own, |missed| missed.and(own));
        if let Some(next) = self.waiting.get_mut(at) {
            next.missed = Some(next.missed.map_or(before, |after| before.and(after)));
        }
    }

    fn waiting_of(&self, job: JobId) -> usize {
        self.waiting.iter().filter(|waiting| waiting.arrival.job == job).count()
    }
}

impl Missed {
    /// The numbers after `seen` up to `to`, if there are any.
    pub fn after(seen: EventSeq, to: EventSeq, reason: MissedReason) -> Option<Self> {
        (seen < to).then_some(Self { from: seen.next(), to, reason })
    }

    /// This range and the one directly after it.
    const fn and(self, later: Self) -> Self {
        let reason = match (self.reason, later.reason) {
            (MissedReason::Superseded, MissedReason::Superseded) => MissedReason::Superseded,
            _ => MissedReason::Skipped,
        };
        Self { from: self.from, to: later.to, reason }
    }
}

#[cfg(test)]
mod tests {
    use moorline_types::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn job(n: u8) -> JobId {
        JobId::mint(Timestamp::from_unix_millis(1), [n; 10])
    }

    fn arrival(number: u64, n: u8, overflow: Overflow, replaces: Option<&str>) -> Arrival<u64> {
        let replaces = replaces.map(Into::into);
        Arrival { event_seq: EventSeq::new(number), job: job(n), overflow, replaces, bytes: 10, item: number }
    }

    /// What is left out before a number, and the number.
    type Sent = (Option<(u64, u64, MissedReason)>, u64);

    fn sent(backlog: &mut Backlog<u64>) -> Vec<Sent> {
        let missed = |missed: Missed| (missed.from.get(), missed.to.get(), missed.reason);
        backlog.take().into_iter().map(|departure| (departure.missed.map(missed), departure.item)).collect()
    }

    use MissedReason::{Skipped, Superseded};
    use Overflow::{CatchUp, Disconnect, Latest, Skip};

    #[test]
    fn whoever_catches_up_is_sent_everything() {
        let mut backlog = Backlog::default();
        let many = 3 * MAX_WAITING_RECORDS as u64;
        for number in 1..=many {
            backlog.push(arrival(number, 1, CatchUp, Some("progress"))).unwrap();
        }
        assert_eq!(backlog.kept() as u64, many);
        assert_eq!(sent(&mut backlog), (1..=many).map(|number| (None, number)).collect::<Vec<_>>());
        assert!(backlog.is_empty() && backlog.kept() == 0);
    }

    #[test]
    fn whoever_skips_is_sent_the_last_and_told_what_precedes_them() {
        let mut backlog = Backlog::default();
        let limit = MAX_WAITING_RECORDS as u64;
        for number in 1..=limit + 5 {
            backlog.push(arrival(number, 1, Skip, None)).unwrap();
        }
        let sent = sent(&mut backlog);
        assert_eq!(sent[0], (Some((1, 5, Skipped)), 6));
        assert_eq!(sent.len() as u64, limit);
        assert!(sent[1..].iter().all(|(missed, _)| missed.is_none()));
    }

    #[test]
    fn large_records_are_skipped_by_their_bytes() {
        let mut backlog = Backlog::default();
        for number in 1..=4 {
            let arrival = arrival(number, 1, Skip, None);
            backlog.push(Arrival { bytes: MAX_WAITING_BYTES / 2, ..arrival }).unwrap();
        }
        assert_eq!(sent(&mut backlog), [(Some((1, 2, Skipped)), 3), (None, 4)]);
        backlog.push(Arrival { bytes: 2 * MAX_WAITING_BYTES, ..arrival(5, 1, Skip, None) }).unwrap();
        assert_eq!(sent(&mut backlog), [(None, 5)], "one record is sent, whatever its size");
    }

    #[test]
    fn of_what_replaces_itself_only_the_latest_is_sent() {
        let mut backlog = Backlog::default();
        for (number, n, key) in [
            (1, 1, Some("progress")),
            (2, 1, None),
            (3, 1, Some("progress")),
            (4, 1, Some("metric:a")),
            (5, 2, Some("progress")),
            (6, 1, Some("progress")),
            (7, 1, Some("metric:a")),
        ] {
            backlog.push(arrival(number, n, Latest, key)).unwrap();
        }
        assert_eq!(
            sent(&mut backlog),
            [(Some((1, 1, Superseded)), 2), (Some((3, 4, Superseded)), 5), (None, 6), (None, 7)]
        );
    }

    #[test]
    fn a_job_whose_subscription_says_so_ends_the_connection() {
        let mut backlog = Backlog::default();
        for number in 1..=MAX_WAITING_RECORDS as u64 {
            backlog.push(arrival(number, 1, Disconnect, None)).unwrap();
        }
        backlog.push(arrival(9_000, 2, Disconnect, None)).unwrap();
        assert_eq!(backlog.push(arrival(9_001, 1, Disconnect, None)), Err(Overrun { job: job(1) }));
    }

    proptest! {
        /// Whatever is left out is told, exactly, and what may not be left out is sent.
        #[test]
        fn what_is_sent_and_what_is_told_are_everything(
            steps in proptest::collection::vec(
                (1_u8..4, 0_u8..4, proptest::option::of(0_u8..2), 0_usize..MAX_WAITING_BYTES / 3, any::<bool>()),
                1..200,
            ),
        ) {
            let mut backlog = Backlog::default();
            let mut next = 1;
            let mut check = |departures: Vec<Departure<bool>>| {
                for departure in departures {
                    if let Some(missed) = departure.missed {
                        assert_eq!(missed.from.get(), next);
                        assert!(missed.to >= missed.from);
                        next = missed.to.get() + 1;
                    }
                    assert_eq!(departure.event_seq.get(), next);
                    next += 1;
                }
            };
            let mut kept = Vec::new();
            let mut seen = Vec::new();
            for ((n, policy, key, bytes, read), number) in steps.into_iter().zip(1_u64..) {
                let overflow = [CatchUp, Skip, Latest, Disconnect][usize::from(policy)];
                let replaces = key.map(|key| key.to_string().into());
                let arrival = Arrival {
                    event_seq: EventSeq::new(number), job: job(n), overflow, replaces, bytes, item: true,
                };
                if matches!(overflow, CatchUp | Disconnect) || overflow == Latest && arrival.replaces.is_none() {
                    kept.push(number);
                }
                let overrun = backlog.push(arrival);
                prop_assert!(overrun.is_ok(), "so few do not overrun");
                if read {
                    let departures = backlog.take();
                    seen.extend(departures.iter().map(|departure| departure.event_seq.get()));
                    check(departures);
                }
            }
            let departures = backlog.take();
            seen.extend(departures.iter().map(|departure| departure.event_seq.get()));
            check(departures);
            prop_assert!(kept.iter().all(|number| seen.contains(number)));
        }
    }
}
