//! The suite that every store passes.
//!
//! A store's tests implement [`Factory`] and name it once:
//!
//! ```text
//! moorline_store::conformance_suite!(MyFactory::default());
//! ```
//!
//! Each case becomes a test of its own, on a runtime with two threads, over a store of its own. Random cases print their
//! seed when they fail; `MOORLINE_SEED` repeats one.

use std::sync::Arc;

use async_trait::async_trait;
use moorline_types::{Committed, JobId, Offset, Record, RecordKind, SessionId, StreamId, StreamSeq, Timestamp};

use crate::contract::{CommittedRecord, ReadLimit, Store};

pub mod append;
pub mod documents;
pub mod lifetime;
pub mod read;
pub mod tail;
pub mod together;

mod random;
pub use random::Random;

/// Makes the stores of one kind. Each case has a factory of its own.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A fresh, empty store.
    async fn open(&self) -> Arc<dyn Store>;

    /// Closes the store in an orderly way and opens its data again.
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;

    /// Opens the data that a new process finds if the store's process is killed at this moment. `store` is not told.
    async fn crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// Runs the whole suite over the stores that `$factory` makes; the expression is evaluated once per case.
#[macro_export]
macro_rules! conformance_suite {
    ($factory:expr) => {
        $crate::conformance_suite! { @cases $factory;
            append::offsets_are_dense_over_concurrent_appenders,
            append::a_stream_keeps_its_order,
            append::a_record_that_does_not_follow_its_streams_head_is_refused_and_nothing_written,
            append::a_conflict_in_the_middle_of_a_batch_refuses_all_of_it,
            append::of_two_appenders_at_one_position_one_wins,
            append::a_batch_beyond_its_bounds_is_refused_and_the_largest_is_not,
            append::a_refused_batch_does_not_spoil_its_neighbours,
            append::a_batch_over_several_streams_is_seen_whole_or_not_at_all,
            append::an_empty_batch_is_appended_by_doing_nothing,
            read::streams_are_merged_in_offset_order,
            read::limits_are_honoured_and_one_record_is_always_read,
            read::a_page_says_through_where_it_is_complete,
            read::what_is_not_there_reads_as_empty,
            read::random_reads_equal_a_filter_over_everything,
            read::a_trimmed_stream_begins_later_and_its_numbers_are_not_given_again,
            read::a_stream_trimmed_to_nothing_keeps_its_head_when_reopened,
            read::the_last_moment_is_that_of_the_last_record,
            read::what_is_trimmed_takes_up_no_room,
            read::many_readers_read_while_records_are_written,
            tail::the_tail_answers_exactly_or_says_that_it_cannot,
            tail::the_tail_has_what_an_appender_was_told,
            tail::an_interest_wakes_for_its_streams,
            tail::readers_that_fall_back_to_the_store_see_each_record_once_in_order,
            documents::a_document_reads_back_with_its_revision,
            documents::a_change_under_a_false_expectation_is_refused_with_what_was_found,
            documents::of_many_concurrent_changes_one_wins,
            documents::a_revision_is_never_given_twice,
            documents::an_oversized_document_is_refused,
            documents::a_listing_is_ordered_and_paged,
            together::a_batch_and_its_documents_are_committed_together,
            together::if_a_part_is_refused_nothing_is_done,
            together::documents_without_records_are_changed_together,
            lifetime::everything_acknowledged_survives_a_crash,
            lifetime::everything_survives_an_orderly_close,
            lifetime::numbers_continue_after_a_crash,
            lifetime::a_fresh_store_has_another_epoch,
            lifetime::a_closed_store_refuses_everything,
            lifetime::what_is_queued_before_a_close_is_finished,
            lifetime::a_probe_leaves_no_trace,
        }
    };
    (@cases $factory:expr; $($group:ident :: $case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::conformance::$group::$case(&$factory).await;
        }
    )*};
}

/// More than any case writes.
pub const EVERYTHING: ReadLimit = ReadLimit::new(1_000_000, 1 << 30);

/// When every record of the suite was made.
pub const AT: Timestamp = Timestamp::from_unix_millis(1_778_701_333_020);

/// A job's stream, the same for the same number.
pub fn job(number: u8) -> StreamId {
    StreamId::Job(JobId::mint(AT, [number; 10]))
}

/// A session's stream, the same for the same number.
pub fn session(number: u8) -> StreamId {
    StreamId::Session(SessionId::mint(AT, [number; 10]))
}

/// A record whose body names it.
pub fn record(stream: StreamId, seq: u64) -> Record {
    sized(stream, seq, 0)
}

/// A record whose body names it and has at least this many bytes.
pub fn sized(stream: StreamId, seq: u64, bytes: usize) -> Record {
    let mut body = format!("{stream} {seq}").into_bytes();
    body.resize(bytes.max(body.len()), b'.');
    let kind = match stream {
        StreamId::Job(_) => RecordKind::JobEvent,
        StreamId::Session(_) => RecordKind::SessionAttached,
    };
    Record { stream, seq: StreamSeq::new(seq), at: AT, kind, body: body.into() }
}

/// Appends and returns what was committed; the case fails if the batch is refused.
async fn append(store: &dyn Store, records: Vec<Record>) -> Vec<CommittedRecord> {
    store.append(records.into()).await.expect("a batch in order is appended").into_records()
}

/// Appends the records `from..=to` of one stream, one batch each.
async fn append_each(store: &dyn Store, stream: StreamId, from: u64, to: u64) -> Vec<CommittedRecord> {
    let mut committed = Vec::new();
    for seq in from..=to {
        committed.extend(append(store, vec![record(stream, seq)]).await);
    }
    committed
}

/// Reads everything that these streams have, page by page, from the store and not from its tail.
pub async fn read_all(store: &dyn Store, streams: &[StreamId]) -> Vec<CommittedRecord> {
    let mut records = Vec::new();
    let mut after = Offset::ZERO;
    loop {
        let page = store.read_streams(streams, after, EVERYTHING).await.expect("a healthy store can be read");
        let head = store.tail().head();
        records.extend(page.records);
        if page.through >= head {
            return records;
        }
        assert!(page.through > after, "a page that is not the last one advances");
        after = page.through;
    }
}

fn offsets(records: &[CommittedRecord]) -> Vec<u64> {
    records.iter().map(|record| record.offset().get()).collect()
}

fn plain(records: &[CommittedRecord]) -> Vec<Record> {
    records.iter().map(|record| Record::clone(record)).collect()
}

fn assert_dense(records: &[CommittedRecord]) {
    let expected: Vec<_> = (1_u64..).take(records.len()).collect();
    assert_eq!(offsets(records), expected, "offsets are dense from 1");
}

/// The naive answer to a read of several streams.
fn filtered(everything: &[CommittedRecord], streams: &[StreamId], after: Offset) -> Vec<CommittedRecord> {
    let wanted = |record: &&CommittedRecord| record.offset() > after && streams.contains(&record.stream);
    everything.iter().filter(wanted).map(Committed::clone).collect()
}
