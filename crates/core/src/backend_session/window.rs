//! What of a session's events can still be replayed: the newest, within a number, an age and a size.
//!
//! A client that comes back names the last number that it has seen. What followed is there, or it is told of a gap:
//! exactly if an event with a higher number than its own is not retained. Numbers rise and need not be dense, and need
//! not begin at 1; so what is compared with is the highest number that was let go, and nothing is ever computed from a
//! number that a client sent.

use std::collections::VecDeque;

use moorline_types::{Millis, StreamSeq, Timestamp, WorkerSeq};

/// How much is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events; with zero nothing is.
    pub events: usize,
    /// Their age; however old if it is zero.
    pub age: Millis,
    /// Bytes of their bodies, but for the newest event, which is retained whatever its size.
    pub bytes: usize,
}

/// What followed a number is not all retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The number.
    pub requested_after: WorkerSeq,
    /// The oldest that is retained, or the one after the highest that there was. A stream from the number before it has
    /// no gap.
    pub oldest_available: WorkerSeq,
}

#[derive(Debug)]
struct Retained {
    seq: WorkerSeq,
    position: StreamSeq,
    at: Timestamp,
    bytes: usize,
}

/// See the module's documentation. Holds where the events are, not the events.
#[derive(Debug)]
pub struct ReplayWindow {
    retention: Retention,
    retained: VecDeque<Retained>,
    bytes: usize,
    /// The highest number of an event that was let go; zero if none was.
    last_evicted: WorkerSeq,
    highest: WorkerSeq,
    head: StreamSeq,
}

impl ReplayWindow {
    /// A window without events.
    pub const fn new(retention: Retention) -> Self {
        Self {
            retention,
            retained: VecDeque::new(),
            bytes: 0,
            last_evicted: WorkerSeq::ZERO,
            highest: WorkerSeq::ZERO,
            head: StreamSeq::ZERO,
        }
    }

    /// A window behind what has left the journal: everything up to and including this place, the last event of which had
    /// this number (zero if none was an event).
    pub fn after(retention: Retention, position: StreamSeq, last: WorkerSeq) -> Self {
        Self { head: position, last_evicted: last, highest: last, ..Self::new(retention) }
    }

    /// An event, with its number, its place in the journal, when it was recorded and its size. Behind everything that was
    /// pushed or passed.
    pub fn push(&mut self, now: Timestamp, seq: WorkerSeq, position: StreamSeq, at: Timestamp, bytes: usize) {
        debug_assert!(position > self.head, "the event at {position} was passed before it was taken in");
        self.highest = self.highest.max(seq);
        self.head = self.head.max(position);
        self.retained.push_back(Retained { seq, position, at, bytes });
        self.bytes = self.bytes.saturating_add(bytes);
        self.evict(now);
    }

    /// What is no event to be replayed is at this place in the journal. One that is to be replayed is pushed and never
    /// passed: a stream that began in between would begin behind it, and nobody would be told of a gap.
    pub fn pass(&mut self, position: StreamSeq) {
        self.head = self.head.max(position);
    }

    /// Lets go what is not to be retained any longer.
    pub fn evict(&mut self, now: Timestamp) {
        while self.retained.front().is_some_and(|oldest| self.is_beyond(now, oldest)) {
            if let Some(gone) = self.retained.pop_front() {
                self.bytes = self.bytes.saturating_sub(gone.bytes);
                self.last_evicted = gone.seq;
            }
        }
    }

    fn is_beyond(&self, now: Timestamp, oldest: &Retained) -> bool {
        let Retention { events, age, bytes } = self.retention;
        let too_old = age.get() > 0 && now.since(oldest.at) > age;
        let too_large = self.bytes > bytes && self.retained.len() > 1;
        self.retained.len() > events || too_old || too_large
    }

    /// The gap that a client is to be told of that has seen everything up to `after`; none for one that has seen nothing
    /// and begins with what happens from now on.
    pub fn gap(&mut self, now: Timestamp, after: WorkerSeq) -> Option<Gap> {
        if after > WorkerSeq::ZERO { self.missing(now, after) } else { None }
    }

    /// The same for one that was there when the event with this number was the last, even if none had been: what has come
    /// since then is to be told, or a gap.
    pub fn missing(&mut self, now: Timestamp, passed: WorkerSeq) -> Option<Gap> {
        self.evict(now);
        let is_gap = passed < self.last_evicted;
        is_gap.then(|| Gap { requested_after: passed, oldest_available: self.oldest() })
    }

    /// Where in the journal the oldest retained event is, or the next one will be: what is before is not needed.
    pub fn first_needed(&mut self, now: Timestamp) -> StreamSeq {
        self.evict(now);
        self.retained.front().map_or_else(|| self.head.next(), |oldest| oldest.position)
    }

    /// How large the retained events are together.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where in the journal a stream begins whose client has seen everything up to `after`, and how many retained events
    /// follow. One that has seen nothing begins with what happens from now on.
    pub fn begin(&mut self, now: Timestamp, after: WorkerSeq) -> (StreamSeq, usize) {
        self.evict(now);
        if after == WorkerSeq::ZERO {
            return (self.head.next(), 0);
        }
        self.go_on(after)
    }

    /// Where a stream goes on that has passed everything up to this number, and how many retained events follow.
    pub fn go_on(&self, after: WorkerSeq) -> (StreamSeq, usize) {
        let first = self.retained.partition_point(|event| event.seq <= after);
        let position = self.retained.get(first).map_or_else(|| self.head.next(), |event| event.position);
        (position, self.retained.len() - first)
    }

    /// The oldest number that is retained, or the one after the highest that there was.
    pub fn oldest(&self) -> WorkerSeq {
        let after_all = || WorkerSeq::new(self.highest.get().saturating_add(1));
        self.retained.front().map_or_else(after_all, |oldest| oldest.seq)
    }

    /// The highest number that there was.
    pub const fn highest(&self) -> WorkerSeq {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn window(events: usize, age: u64, seqs: &[u64]) -> ReplayWindow {
        let mut window = ReplayWindow::new(Retention { events, age: Millis::from_secs(age), bytes: usize::MAX });
        for seq in seqs {
            window.push(at(0), WorkerSeq::new(*seq), StreamSeq::new(seq.saturating_add(100)), at(0), 1);
        }
        window
    }

    /// How many retained events follow, and whether there is a gap.
    fn asked(window: &mut ReplayWindow, now: Timestamp, after: u64) -> (usize, bool) {
        let gap = window.gap(now, WorkerSeq::new(after)).is_some();
        (window.begin(now, WorkerSeq::new(after)).1, gap)
    }

    #[test]
    fn what_is_retained_follows_and_what_is_not_is_a_gap() {
        for (capacity, seqs, after, expected, why) in [
            (3, vec![1, 2, 3, 4, 5], 1, (3, true), "over capacity"),
            (3, vec![1, 2, 3, 4, 5], 2, (3, false), "within the window"),
            (3, vec![1, 2, 3], 9, (0, false), "newer than all"),
            (0, vec![1, 2, 3], 2, (0, true), "nothing retained, below the highest"),
            (0, vec![1, 2, 3], 3, (0, false), "nothing retained, at the highest"),
            (5, vec![], 4, (0, false), "nothing seen"),
            (3, vec![1, 2, 3, 4, 5], u64::MAX, (0, false), "the highest number there is"),
            (5, vec![7, 8, 9], 3, (3, false), "numbers that do not begin at 1 have no gap before them"),
            (2, vec![10, 20, 30], 15, (2, false), "numbers with holes: nothing above 15 is gone"),
            (2, vec![10, 20, 30], 9, (2, true), "numbers with holes: 10 is gone"),
            (5, vec![u64::MAX], u64::MAX - 1, (1, false), "no number wraps"),
        ] {
            assert_eq!(asked(&mut window(capacity, 0, &seqs), at(0), after), expected, "{why}");
        }
    }

    #[test]
    fn what_is_too_old_is_let_go_when_it_is_asked_for() {
        let mut window = window(10, 30, &[1, 2]);
        window.push(at(60), WorkerSeq::new(3), StreamSeq::new(103), at(60), 1);
        assert_eq!(asked(&mut window, at(60), 1), (1, true));
        assert_eq!(asked(&mut window, at(90), 2), (1, false), "30 s is not older than 30 s");
        assert_eq!(asked(&mut window, at(91), 2), (0, true));
        let gap = window.gap(at(91), WorkerSeq::new(1)).unwrap();
        assert_eq!(gap.oldest_available, WorkerSeq::new(4), "nothing is left: the next one");
    }

    #[test]
    fn large_events_make_less_of_them_stay_and_the_newest_always_does() {
        let mut window = ReplayWindow::new(Retention { events: 10, age: Millis::ZERO, bytes: 100 });
        for (seq, bytes) in [(1, 60), (2, 30), (3, 30), (4, 500)] {
            window.push(at(0), WorkerSeq::new(seq), StreamSeq::new(seq), at(0), bytes);
            assert_eq!(window.highest(), WorkerSeq::new(seq));
        }
        assert_eq!(window.oldest(), WorkerSeq::new(4));
    }

    #[test]
    fn a_client_that_has_seen_nothing_begins_with_what_comes() {
        let mut window = window(2, 0, &[1, 2, 3]);
        assert_eq!(window.gap(at(0), WorkerSeq::ZERO), None);
        assert_eq!(window.begin(at(0), WorkerSeq::ZERO), (StreamSeq::new(104), 0));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn an_event_is_not_passed_before_it_is_taken_in() {
        let mut window = window(2, 0, &[1]);
        window.pass(StreamSeq::new(102));
        let taken_in =
            std::panic::catch_unwind(move || window.push(at(0), WorkerSeq::new(2), StreamSeq::new(102), at(0), 1));
        assert!(taken_in.is_err(), "a stream that began in between would not have it");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against a list of everything: what follows is complete, or there is a gap, never both wrong.
        #[test]
        fn the_window_agrees_with_a_list(
            steps in proptest::collection::vec((1_u64..4, 1_u64..40, 0_usize..50, 0_u64..3), 0..60),
            capacity in 0_usize..8, age in 0_u64..60, bytes in 0_usize..200, after in prop_oneof![0_u64..150, Just(u64::MAX)],
        ) {
            let retention = Retention { events: capacity, age: Millis::from_secs(age), bytes };
            let (mut window, mut all) = (ReplayWindow::new(retention), Vec::new());
            let (mut seq, mut now, mut position) = (0, 0, 0);
            for (step, wait, size, others) in steps {
                for _ in 0..others {
                    position += 1;
                    window.pass(StreamSeq::new(position));
                    let (from, following) = window.go_on(WorkerSeq::new(seq));
                    prop_assert_eq!((from.get(), following), (position + 1, 0), "nothing is skipped");
                }
                seq += step;
                now += wait;
                position += 1;
                window.push(at(now), WorkerSeq::new(seq), StreamSeq::new(position), at(now), size);
                all.push((seq, position));
                let (from, following) = window.go_on(WorkerSeq::new(seq));
                prop_assert_eq!((from.get(), following), (position + 1, 0), "nothing is skipped");
            }
            let gap = window.gap(at(now), WorkerSeq::new(after));
            let (from, count) = window.begin(at(now), WorkerSeq::new(after));
            let wanted: Vec<_> = all.iter().copied().filter(|(seq, _)| after > 0 && *seq > after).collect();
            let given: Vec<_> = all.iter().copied().filter(|(_, position)| *position >= from.get()).collect();
            prop_assert_eq!(given.len(), count);
            prop_assert!(wanted.ends_with(&given), "what follows is the newest of what was wanted, in order");
            prop_assert_eq!(gap.is_some(), given.len() < wanted.len(), "a gap is told exactly if something is missing");
            if let Some(gap) = gap {
                let again = WorkerSeq::new(gap.oldest_available.get() - 1);
                prop_assert_eq!(window.gap(at(now), again), None, "the remedy works");
            }
        }
    }
}
