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
    /// Trim this stream up to this many records before its head.
    Forget { stream: u8, behind: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => vec((0..12_u8, 0..200_usize), 1..8).prop_map(Step::Publish),
        4 => (vec(0..14_u8, 0..14), 0..60_u64, (0..20_usize, 0..1_000_usize))
            .prop_map(|(streams, behind, limit)| Step::Read { streams, behind, limit }),
        1 => (0..12_u8, 0..10_u64).prop_map(|(stream, behind)| Step::Forget { stream, behind }),
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
        steps in vec(step(), 1..80),
        records in 0..60_usize,
        bytes in 0..6_000_usize,
    ) {
        let limits = TailLimits { bytes, records };
        let tail = Tail::new(Offset::ZERO, limits);
        let mut naive = Naive::default();
        for step in steps {
            match step {
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
