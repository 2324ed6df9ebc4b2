//! The tail against a naive filter over a full list, and its limits.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;

use moorline_store::conformance::{job, session, sized};
use moorline_store::{CommittedRecord, ReadLimit, Tail, TailLimits};
use moorline_types::{Committed, Offset, StreamId, StreamSeq};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Publish records of these streams, with bodies of these sizes.
    Publish(Vec<(u8, usize)>),
    /// Read these streams from this far behind the head.
    Read { streams: Vec<u8>, behind: u64, limit: (usize, usize) },
    /// Read one stream from this far behind its head, having read the journal through this far beyond the tail's head.
    ReadStream { stream: u8, behind: u64, ahead: u64, limit: (usize, usize) },
    /// Trim this stream up to this many records before its head.
    Forget { stream: u8, behind: u64 },
    /// The store reads the records from this far before where its tail began.
    Look { behind: u64 },
    /// It puts what it has read last into the tail.
    Warm,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => vec((0..12_u8, 0..200_usize), 1..8).prop_map(Step::Publish),
        4 => (vec(0..14_u8, 0..14), 0..60_u64, (0..20_usize, 0..1_000_usize))
            .prop_map(|(streams, behind, limit)| Step::Read { streams, behind, limit }),
        2 => (0..14_u8, 0..20_u64, 0..2_u64, (0..20_usize, 0..1_000_usize))
            .prop_map(|(stream, behind, ahead, limit)| Step::ReadStream { stream, behind, ahead, limit }),
        1 => (0..12_u8, 0..10_u64).prop_map(|(stream, behind)| Step::Forget { stream, behind }),
        1 => (0..60_u64).prop_map(|behind| Step::Look { behind }),
        1 => Just(Step::Warm),
    ]
}

/// Everything that was ever published and not trimmed.
#[derive(Default)]
struct Naive {
    head: u64,
    heads: [u64; 16],
    records: Vec<CommittedRecord>,
}

impl Naive {
    #[expect(clippy::disallowed_methods, reason = "the test stands in for a store")]
    fn publish(&mut self, streams: &[(u8, usize)]) -> Vec<CommittedRecord> {
        let mut published = Vec::new();
        for (number, size) in streams {
            self.head += 1;
            self.heads[usize::from(*number)] += 1;
            let record = sized(stream(*number), self.heads[usize::from(*number)], *size);
            published.push(Committed::attest(Offset::new(self.head), Arc::new(record)));
        }
        self.records.extend(published.iter().cloned());
        published
    }

    fn read(&self, streams: &[StreamId], after: Offset, limit: ReadLimit) -> (Vec<CommittedRecord>, Offset) {
        let mut budget = limit.budget();
        let matching: Vec<_> =
            self.records.iter().filter(|r| r.offset() > after && streams.contains(&r.stream)).cloned().collect();
        let page: Vec<_> = matching.iter().take_while(|r| budget.take(r.body.len())).cloned().collect();
        let through = if page.len() == matching.len() { Offset::new(self.head) } else { page[page.len() - 1].offset() };
        (page, through)
    }
}

fn stream(number: u8) -> StreamId {
    if number.is_multiple_of(2) { job(number) } else { session(number) }
}

proptest! {
    #[test]
    fn any_interleaving_reads_like_a_filter_over_everything(
        before in vec((0..12_u8, 0..200_usize), 0..60),
        steps in vec(step(), 1..80),
        records in 0..60_usize,
        bytes in 0..6_000_usize,
    ) {
        let limits = TailLimits { bytes, records };
        let mut naive = Naive::default();
        naive.publish(&before);
        let began = Offset::new(naive.head);
        let tail = Tail::cold(began, limits);
        let mut looked = None;
        let mut is_warm = false;
        for step in steps {
            match step {
                Step::Look { behind } => {
                    let after = Offset::new(began.get().saturating_sub(behind));
                    let older = naive.records.iter().filter(|r| r.offset() > after && r.offset() <= began);
                    looked = Some((after, older.cloned().collect()));
                }
                Step::Warm => if !is_warm && let Some((after, older)) = looked.take() {
                    tail.warm(after, older);
                    is_warm = true;
                }
                Step::ReadStream { stream: number, behind, ahead, limit } => {
                    let from = StreamSeq::new(naive.heads[usize::from(number)].saturating_sub(behind).max(1));
                    let (seen, limit) = (Offset::new(tail.head().get() + ahead), ReadLimit::new(limit.0, limit.1));
                    let of: Vec<_> = naive.records.iter().filter(|r| r.stream == stream(number)).cloned().collect();
                    let held: Vec<_> = of.iter().filter(|r| r.offset() > tail.evicted_through()).collect();
                    prop_assert_eq!(tail.stream_head(stream(number)), held.last().map(|last| last.seq));
                    let is_held = held.first().is_some_and(|first| first.seq <= from) && ahead == 0;
                    let mut budget = limit.budget();
                    let expected: Vec<_> = of.into_iter().filter(|r| r.seq >= from).take_while(|r| budget.take(r.body.len())).collect();
                    prop_assert_eq!(tail.read_stream(stream(number), from, seen, limit), is_held.then_some(expected));
                }
                Step::Publish(streams) => tail.publish(naive.publish(&streams)),
                Step::Forget { stream: number, behind } => {
                    let before = StreamSeq::new(naive.heads[usize::from(number)].saturating_sub(behind));
                    tail.forget(stream(number), before);
                    naive.records.retain(|r| r.stream != stream(number) || r.seq >= before);
                }
                Step::Read { streams, behind, limit } => {
                    let streams: Vec<_> = streams.into_iter().map(stream).collect();
                    let after = Offset::new(naive.head.saturating_sub(behind));
                    let limit = ReadLimit::new(limit.0, limit.1);
                    match tail.read(&streams, after, limit) {
                        None => prop_assert!(after < tail.evicted_through()),
                        Some(page) => {
                            prop_assert!(after >= tail.evicted_through());
                            let (expected, through) = naive.read(&streams, after, limit);
                            prop_assert_eq!(page.records, expected);
                            prop_assert_eq!(page.through, through);
                        }
                    }
                }
            }
            let held: Vec<_> = naive.records.iter().filter(|r| r.offset() > tail.evicted_through()).collect();
            prop_assert_eq!(tail.head(), Offset::new(naive.head));
            prop_assert!(held.len() <= records, "{} records are held", held.len());
            prop_assert!(held.iter().map(|r| r.body.len()).sum::<usize>() <= bytes);
        }
    }
}

#[test]
fn the_tail_evicts_no_more_than_it_must() {
    let mut naive = Naive::default();
    let tail = Tail::new(Offset::ZERO, TailLimits { bytes: 1_000, records: 4 });
    for (sizes, evicted_through) in [
        (vec![100, 100, 100, 100], 0),
        (vec![100], 1),
        (vec![800], 3),
        (vec![1_000], 6),
        (vec![1_001], 8),
        (vec![50], 8),
    ] {
        tail.publish(naive.publish(&sizes.iter().map(|size| (0, *size)).collect::<Vec<_>>()));
        assert_eq!(tail.evicted_through(), Offset::new(evicted_through), "{sizes:?}");
    }
}

#[test]
fn a_cursor_beyond_the_head_reads_nothing_and_stays() {
    let tail = Tail::new(Offset::new(7), TailLimits::default());
    let page = tail.read(&[job(1)], Offset::new(9), ReadLimit::new(1, 1)).unwrap();
    assert_eq!((page.records.len(), page.through), (0, Offset::new(9)));
}

#[test]
fn what_was_there_before_is_held_as_far_as_there_is_room_and_nothing_is_missing_between() {
    // Bodies of records from before, and whether something that came later is evicted before they are read.
    for (before, later, evicted_through) in [
        (vec![100; 3], vec![100], 0),
        (vec![100; 5], vec![100], 2),
        (vec![1_000, 100], vec![100], 1),
        (vec![100; 3], vec![100; 5], 4),
        (vec![], vec![100], 0),
    ] {
        let mut naive = Naive::default();
        let older = naive.publish(&before.iter().map(|size| (0, *size)).collect::<Vec<_>>());
        let tail = Tail::cold(Offset::new(naive.head), TailLimits { bytes: 1_000, records: 4 });
        tail.publish(naive.publish(&later.iter().map(|size| (0, *size)).collect::<Vec<_>>()));
        tail.warm(Offset::ZERO, older);
        assert_eq!(tail.evicted_through(), Offset::new(evicted_through), "{before:?}, then {later:?}");
        let page = tail.read(&[stream(0)], tail.evicted_through(), ReadLimit::new(99, 9_999)).unwrap();
        let held: Vec<_> = page.records.iter().map(|record| record.offset().get()).collect();
        assert_eq!(held, (evicted_through + 1..=naive.head).collect::<Vec<_>>(), "{before:?}, then {later:?}");
    }
}

#[test]
fn what_is_trimmed_while_it_is_read_is_not_held() {
    let mut naive = Naive::default();
    let older = naive.publish(&[(0, 10), (0, 10), (1, 10)]);
    let tail = Tail::cold(Offset::new(3), TailLimits::default());
    tail.forget(stream(0), StreamSeq::new(2));
    tail.warm(Offset::ZERO, older);
    assert_eq!(tail.read_stream(stream(0), StreamSeq::FIRST, Offset::ZERO, ReadLimit::new(9, 999)), None);
    let page = tail.read(&[stream(0), stream(1)], Offset::ZERO, ReadLimit::new(9, 999)).unwrap();
    assert_eq!(page.records.iter().map(|record| record.offset().get()).collect::<Vec<_>>(), [2, 3]);
}
