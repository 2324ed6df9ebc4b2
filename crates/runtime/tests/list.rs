//! Lists of jobs, with everything real but the disk and the clients' sockets.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, all_over, memory, options, pass, request, see_to_end, with_quotas};
use moorline_core::Refusal;
use moorline_core::job::Status;
use moorline_core::listing::JobFilter;
use moorline_runtime::{JobPage, JobQuery, SessionHandle, SubmitRequest};
use moorline_store::{Collection, Store, StoreFault, TailLimits};
use moorline_types::{EventSeq, JobId, Json, Quotas, limits};

fn of(filter: JobFilter) -> JobQuery {
    JobQuery { filter, ..JobQuery::default() }
}

fn in_state(status: Status) -> JobFilter {
    JobFilter { statuses: vec![status], ..JobFilter::default() }
}

fn ids(page: &JobPage) -> Vec<JobId> {
    page.jobs.iter().map(|listed| listed.job).collect()
}

/// Every page, one after the other.
async fn all(session: &SessionHandle, filter: &JobFilter, limit: u64) -> Vec<JobId> {
    let mut query = JobQuery { filter: filter.clone(), limit: Some(limit), cursor: None };
    let mut jobs = Vec::new();
    loop {
        let page = session.list_jobs(&query).await.unwrap();
        assert!(page.jobs.len() as u64 <= limit);
        jobs.extend(ids(&page));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return jobs;
        }
    }
}

/// A list is in the order of creation, which only different moments have.
const MOMENT: Duration = Duration::from_millis(1);

async fn submit(session: &mut SessionHandle, agent: &str, input: &str) -> JobId {
    pass(MOMENT).await;
    session.submit(request(agent, input)).await.unwrap().job
}

#[tokio::test(start_paused = true)]
async fn a_list_has_the_principals_jobs_oldest_first_with_how_they_stand() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let done = submit(&mut session, "counter", "3").await;
    see_to_end(&mut session, done).await;
    let failed = submit(&mut session, "counter", "\"no number\"").await;
    see_to_end(&mut session, failed).await;
    let cancelled = submit(&mut session, "patient", "null").await;
    session.cancel(&cancelled.to_string(), None).await.unwrap();
    see_to_end(&mut session, cancelled).await;
    let running = submit(&mut session, "patient", "null").await;
    common::see(&mut session).await;
    let page = session.list_jobs(&JobQuery::default()).await.unwrap();
    assert_eq!(ids(&page), [done, failed, cancelled, running]);
    assert_eq!(page.next_cursor, None);
    let statuses: Vec<_> = page.jobs.iter().map(|listed| listed.status).collect();
    assert_eq!(statuses, [Status::Success, Status::Error, Status::Cancelled, Status::Running]);
    let first = &page.jobs[0];
    assert_eq!((first.agent.as_str(), first.version.as_str(), first.lease.get()), ("counter", "1.0.0", "{}"));
    assert_eq!(first.last_event_seq, EventSeq::new(4), "three events and the result");
    assert_eq!(page.jobs[3].last_event_seq, session.event_seq());
    for (status, expected) in
        [(Status::Success, done), (Status::Error, failed), (Status::Cancelled, cancelled), (Status::Running, running)]
    {
        assert_eq!(ids(&session.list_jobs(&of(in_state(status))).await.unwrap()), [expected]);
    }
    assert!(session.list_jobs(&of(in_state(Status::TimedOut))).await.unwrap().jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_is_narrowed_by_agent_version_and_time() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let one = submit(&mut session, "counter", "1").await;
    let two = submit(&mut session, "patient", "null").await;
    let three = submit(&mut session, "counter", "1").await;
    let created = session.list_jobs(&JobQuery::default()).await.unwrap().jobs[1].created_at;
    let named = |agent: &str| JobFilter { agent: Some(agent.parse().unwrap()), ..JobFilter::default() };
    let after = JobFilter { created_after: Some(created), ..JobFilter::default() };
    let before = JobFilter { created_before: Some(created), ..JobFilter::default() };
    for (filter, expected) in [
        (named("counter"), vec![one, three]),
        (named("counter@1.0.0"), vec![one, three]),
        (named("counter@2"), vec![]),
        (named("nobody"), vec![]),
        (named("patient"), vec![two]),
        (after.clone(), vec![three]),
        (before.clone(), vec![one]),
        (JobFilter { created_after: after.created_after, ..before }, vec![]),
        (JobFilter { agent: named("patient").agent, ..after }, vec![]),
    ] {
        assert_eq!(all(&session, &filter, 1).await, expected, "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_any_size_have_every_job_once_while_others_come_and_end() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(submit(&mut session, "patient", "null").await);
    }
    for limit in [1, 2, 3, 7, 19, 20, 21] {
        assert_eq!(all(&session, &JobFilter::default(), limit).await, jobs, "{limit}");
    }
    let mut query = JobQuery { limit: Some(5), ..JobQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = session.list_jobs(&query).await.unwrap();
        seen.extend(ids(&page));
        let Some(cursor) = page.next_cursor else { break };
        query.cursor = Some(cursor);
        if jobs.len() < 23 {
            session.cancel(&jobs[jobs.len() - 20].to_string(), None).await.unwrap();
            jobs.push(submit(&mut session, "counter", "1").await);
        }
    }
    assert_eq!(seen, jobs);
}

#[tokio::test(start_paused = true)]
async fn limits_are_a_hundred_by_default_and_a_thousand_at_the_most() {
    let wide = Quotas { jobs: Some(2_000), ..Quotas::default() };
    let bench = Bench::over(memory(), with_quotas(wide)).await;
    let mut session = bench.session("ada").await;
    for _ in 0..1_005 {
        session.submit(request("stubborn", "null")).await.unwrap();
    }
    for (limit, expected) in [(None, 100), (Some(1), 1), (Some(1_000), 1_000), (Some(u64::MAX), 1_000)] {
        let page = session.list_jobs(&JobQuery { limit, ..JobQuery::default() }).await.unwrap();
        assert_eq!(page.jobs.len(), expected, "{limit:?}");
        assert!(page.next_cursor.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn long_leases_are_listed_whole_on_shorter_pages() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let lease = format!(r#"{{"fs.read":["/{}"]}}"#, "a".repeat(300_000));
    let mut jobs = Vec::new();
    for _ in 0..5 {
        pass(MOMENT).await;
        let request = SubmitRequest { lease: Json::parse(&lease).unwrap(), ..request("counter", "1") };
        jobs.push(session.submit(request).await.unwrap().job);
        see_to_end(&mut session, jobs[jobs.len() - 1]).await;
    }
    let page = session.list_jobs(&JobQuery::default()).await.unwrap();
    assert!(page.jobs.iter().all(|listed| listed.lease.get() == lease));
    assert!(page.jobs.len() * lease.len() <= limits::MAX_LIST_JOBS_BYTES);
    assert_eq!(all(&session, &JobFilter::default(), 100).await, jobs);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_other_principals_is_listed_and_their_cursors_are_worth_nothing() {
    let bench = Bench::start().await;
    let mut ada = bench.session("ada").await;
    let mut eve = bench.session("eve").await;
    let hers = submit(&mut eve, "counter", "1").await;
    for _ in 0..3 {
        submit(&mut ada, "patient", "null").await;
    }
    let two = JobQuery { limit: Some(2), ..JobQuery::default() };
    let cursor = ada.list_jobs(&two).await.unwrap().next_cursor;
    assert!(cursor.is_some());
    assert_eq!(all(&eve, &JobFilter::default(), 10).await, [hers]);
    assert!(all(&bench.session("bob").await, &JobFilter::default(), 10).await.is_empty());
    let stolen = JobQuery { cursor: cursor.clone(), ..JobQuery::default() };
    assert_eq!(eve.list_jobs(&stolen).await.unwrap_err(), Refusal::CursorUnknown);
    let refiltered = JobQuery { filter: in_state(Status::Running), cursor, limit: None };
    assert_eq!(ada.list_jobs(&refiltered).await.unwrap_err(), Refusal::CursorUnknown);
    let garbled = JobQuery { cursor: Some("garbled".to_owned()), ..JobQuery::default() };
    assert_eq!(ada.list_jobs(&garbled).await.unwrap_err(), Refusal::CursorUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_list_survives_a_kill_and_knows_how_everything_ended() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let done = submit(&mut session, "counter", "3").await;
    see_to_end(&mut session, done).await;
    let open = submit(&mut session, "patient", "null").await;
    let query = JobQuery { limit: Some(1), ..JobQuery::default() };
    let cursor = session.list_jobs(&query).await.unwrap().next_cursor;
    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, options()).await;
    let session = bench.session("ada").await;
    assert_eq!(all(&session, &JobFilter::default(), 10).await, [done, open]);
    let rest = session.list_jobs(&JobQuery { cursor, ..query }).await.unwrap();
    assert_eq!(ids(&rest), [open], "a cursor outlives the gateway");
    assert_eq!(ids(&session.list_jobs(&of(in_state(Status::Success))).await.unwrap()), [done]);
}

/// The two crash points: after the entry and before the job, and after the job's end and before the entry says so.
#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_between_job_and_index_is_not_shown_and_is_repaired() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let done = submit(&mut session, "counter", "1").await;
    see_to_end(&mut session, done).await;
    let never = JobId::mint(bench.gateway.now(), [9; 10]);
    let entries = bench.store.list(Collection::JobIndex, None, 10).await.unwrap();
    let (key, entry) = &entries[0];
    let unended = String::from_utf8(entry.value.to_vec()).unwrap().replace(r#","ended":"success""#, "");
    assert!(!unended.contains("ended"), "{unended}");
    let name = |collection, key: String| moorline_store::DocKey::new(collection, key).unwrap();
    let any = moorline_store::Expect::Any;
    for (document, value) in [
        (key.clone(), unended.clone()),
        (name(Collection::JobIndex, key.key().replace(&done.to_string(), &never.to_string())), unended),
        (name(Collection::OpenJobs, done.to_string()), "ada".to_owned()),
        (name(Collection::OpenJobs, never.to_string()), "ada".to_owned()),
    ] {
        bench.store.put(&document, value.into(), any).await.unwrap();
    }
    let page = session.list_jobs(&of(in_state(Status::Success))).await.unwrap();
    assert_eq!(ids(&page), [done], "the journal knows");
    assert_eq!(all(&session, &JobFilter::default(), 10).await, [done]);

    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, options()).await;
    let repaired = bench.store.list(Collection::JobIndex, None, 10).await.unwrap();
    assert_eq!(repaired.len(), 1);
    assert!(String::from_utf8(repaired[0].1.value.to_vec()).unwrap().contains(r#""ended":"success""#));
    assert!(bench.store.list(Collection::OpenJobs, None, 10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_admits_few_of_many_gives_short_pages_and_reaches_the_end() {
    let wide = Quotas { jobs: Some(10_000), ..Quotas::default() };
    let bench = Bench::over(memory(), with_quotas(wide)).await;
    let mut session = bench.session("ada").await;
    for _ in 0..limits::MAX_LIST_JOBS_SCANNED + 10 {
        session.submit(request("stubborn", "null")).await.unwrap();
    }
    let wanted = submit(&mut session, "patient", "null").await;
    let filter = JobFilter { agent: Some("patient".parse().unwrap()), ..JobFilter::default() };
    let first = session.list_jobs(&of(filter.clone())).await.unwrap();
    assert!(first.jobs.is_empty() && first.next_cursor.is_some());
    let second = session.list_jobs(&JobQuery { cursor: first.next_cursor, ..of(filter) }).await.unwrap();
    assert_eq!((ids(&second), second.next_cursor), (vec![wanted], None));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_is_an_error_and_never_an_empty_list() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    submit(&mut session, "patient", "null").await;
    bench.store.faults().refuse_reads(StoreFault::Io);
    let refused = session.list_jobs(&JobQuery::default()).await.unwrap_err();
    assert!(matches!(refused, Refusal::StoreUnavailable { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn jobs_that_have_ended_take_no_memory_and_stay_in_the_list() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let mut jobs = Vec::new();
    for _ in 0..50 {
        jobs.push(submit(&mut session, "counter", "2").await);
        see_to_end(&mut session, jobs[jobs.len() - 1]).await;
    }
    all_over(&bench.gateway).await;
    assert_eq!(all(&session, &in_state(Status::Success), 7).await, jobs);
}
