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
use moorline_core::listing::{JobFilter, Whose};
use moorline_runtime::{JobPage, JobQuery, Retention, RuntimeOptions, SessionHandle, SubmitRequest};
use moorline_store::{Collection, Store, StoreFault, TailLimits};
use moorline_types::{EventSeq, JobId, Json, Millis, Principal, Quotas, Scope, Scopes, limits};

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
    let patterns: Vec<_> = (0..250).map(|n| format!("/{n}{}", "a".repeat(1_000))).collect();
    let lease = serde_json::json!({ "fs.read": patterns }).to_string();
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

/// Whom it lists, with which scopes and tags.
fn as_whom(name: &str, scopes: Scopes, tags: &[&str]) -> Principal {
    let mut principal = common::principal(name, scopes);
    principal.grants.tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    principal
}

async fn open(bench: &Bench, principal: Principal) -> SessionHandle {
    bench.gateway.open_session(principal, "test".to_owned()).await.unwrap().session
}

fn observable() -> JobFilter {
    JobFilter { whose: Whose::Observable, ..JobFilter::default() }
}

/// Jobs of four principals, in the order of creation, and in the order in which they are taken here: of `ada` with the
/// tags `a` and `b`, of `bob` with `b`, of `eve` without one, and of `tom`, who looks.
async fn of_four(bench: &Bench) -> Vec<JobId> {
    let mut sessions = [
        open(bench, as_whom("ada", Scopes::JOBS, &["a", "b"])).await,
        open(bench, as_whom("bob", Scopes::JOBS, &["b"])).await,
        open(bench, as_whom("eve", Scopes::JOBS, &[])).await,
        open(bench, as_whom("tom", Scopes::JOBS, &[])).await,
    ];
    let mut jobs = Vec::new();
    for _ in 0..3 {
        for session in &mut sessions {
            jobs.push(submit(session, "counter", "1").await);
            see_to_end(session, jobs[jobs.len() - 1]).await;
        }
    }
    all_over(&bench.gateway).await;
    jobs
}

/// Who may see whose of them.
fn who_sees_whose() -> Vec<(Principal, Vec<usize>)> {
    let observe = Scopes::from(Scope::Observe);
    vec![
        (as_whom("tom", observe, &[]), vec![3]),
        (as_whom("tom", observe, &["a"]), vec![0, 3]),
        (as_whom("tom", observe, &["b"]), vec![0, 1, 3]),
        (as_whom("tom", observe, &["a", "b", "c"]), vec![0, 1, 3]),
        (as_whom("tom", Scope::ObserveAll.into(), &["c"]), vec![0, 1, 2, 3]),
        (as_whom("zoe", observe, &["c"]), vec![]),
        (as_whom("zoe", Scopes::ADMIN, &[]), vec![0, 1, 2, 3]),
    ]
}

async fn assert_lists(bench: &Bench, jobs: &[JobId]) {
    for (who, whose) in who_sees_whose() {
        let case = format!("{} with {:?} and {:?}", who.id, who.grants.scopes, who.grants.tags);
        let expected: Vec<_> =
            jobs.iter().zip((0..4).cycle()).filter(|(_, n)| whose.contains(n)).map(|(job, _)| *job).collect();
        let session = open(bench, who).await;
        for limit in [1, 2, 5, 100] {
            assert_eq!(all(&session, &observable(), limit).await, expected, "{case}, {limit} a page");
        }
        let narrow = JobFilter { statuses: vec![Status::Running], ..observable() };
        assert!(all(&session, &narrow, 2).await.is_empty(), "{case}");
        let own = all(&session, &JobFilter::default(), 2).await;
        assert_eq!(own.len(), if session.principal().id.as_str() == "tom" { 3 } else { 0 }, "{case}: by default");
        session.close(None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_what_may_be_observed_has_exactly_that_once_and_in_order() {
    let bench = Bench::start().await;
    let jobs = of_four(&bench).await;
    assert_lists(&bench, &jobs).await;
    let admin = open(&bench, as_whom("zoe", Scopes::ADMIN, &[])).await;
    let page = admin.list_jobs(&of(observable())).await.unwrap();
    let owners: Vec<_> = page.jobs.iter().take(4).map(|job| job.owner.as_ref().unwrap().as_str()).collect();
    assert_eq!(owners, ["ada", "bob", "eve", "tom"]);
    let own = open(&bench, as_whom("ada", Scopes::JOBS, &[])).await.list_jobs(&JobQuery::default()).await.unwrap();
    assert!(own.jobs.iter().all(|job| job.owner.is_none() && job.status == Status::Success));

    let nobody = open(&bench, as_whom("tom", Scope::Submit.into(), &["a"])).await;
    assert!(matches!(nobody.list_jobs(&of(observable())).await, Err(Refusal::ScopeMissing { .. })));
    let two = JobQuery { limit: Some(2), ..of(observable()) };
    let cursor = admin.list_jobs(&two).await.unwrap().next_cursor;
    let other = open(&bench, as_whom("tom", Scope::ObserveAll.into(), &[])).await;
    for (session, filter) in [(&admin, JobFilter::default()), (&other, observable())] {
        let stolen = JobQuery { cursor: cursor.clone(), ..of(filter) };
        assert_eq!(session.list_jobs(&stolen).await.unwrap_err(), Refusal::CursorUnknown);
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_of_an_earlier_version_gets_its_lists_at_the_first_start() {
    let bench = Bench::start().await;
    let jobs = of_four(&bench).await;
    let any = moorline_store::Expect::Any;
    for (key, _) in bench.store.list(Collection::JobLists, None, 1_000).await.unwrap() {
        bench.store.delete(&key, any).await.unwrap();
    }
    for (key, found) in bench.store.list(Collection::JobIndex, None, 1_000).await.unwrap() {
        let mut entry: serde_json::Value = serde_json::from_slice(&found.value).unwrap();
        entry.as_object_mut().unwrap().remove("tags");
        bench.store.put(&key, entry.to_string().into(), any).await.unwrap();
    }
    let done = moorline_store::DocKey::new(Collection::Meta, "job_lists").unwrap();
    bench.store.delete(&done, any).await.unwrap();

    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let retention = Retention { max_age: Some(Millis::from_secs(1)), max_bytes: None };
    let again = Bench::over(store, RuntimeOptions { retention, ..options() }).await;
    assert_lists(&again, &jobs).await;
    pass(Duration::from_secs(3_600)).await;
    again.gateway.retain().await;
    let left = again.store.list(Collection::JobLists, None, 1_000).await.unwrap();
    assert!(left.is_empty(), "what is removed is in no list: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_of_many_jobs_of_others_is_bounded_work_and_reaches_the_end() {
    let wide = Quotas { jobs: Some(10_000), ..Quotas::default() };
    let bench = Bench::over(memory(), with_quotas(wide)).await;
    let mut ada = bench.session("ada").await;
    for _ in 0..limits::MAX_LIST_JOBS_LOOKED_UP + 10 {
        ada.submit(request("stubborn", "null")).await.unwrap();
    }
    let wanted = submit(&mut ada, "patient", "null").await;
    let filter = JobFilter { agent: Some("patient".parse().unwrap()), ..observable() };
    let admin = open(&bench, as_whom("zoe", Scopes::ADMIN, &[])).await;
    let first = admin.list_jobs(&of(filter.clone())).await.unwrap();
    assert!(first.jobs.is_empty() && first.next_cursor.is_some());
    let second = admin.list_jobs(&JobQuery { cursor: first.next_cursor, ..of(filter) }).await.unwrap();
    assert_eq!((ids(&second), second.next_cursor), (vec![wanted], None));
}

/// The two crash points: after the entry and before the job, and after the job's end and before the entry says so.
#[tokio::test(start_paused = true)]
async fn what_a_crash_leaves_between_job_and_index_is_not_shown_and_is_repaired() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let done = submit(&mut session, "counter", "1").await;
    see_to_end(&mut session, done).await;
    let never = JobId::mint(bench.gateway.now(), [9; 10]);
    assert_eq!(all(&session, &in_state(Status::Success), 10).await, [done], "which has it noted");
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

/// What is noted of jobs is written later than their records.
#[tokio::test(start_paused = true)]
async fn a_job_is_listed_from_its_acceptance_on_though_nothing_is_noted_of_it_and_whatever_a_crash_or_a_fault_takes() {
    let bench = Bench::start().await;
    let mut session = bench.session("ada").await;
    let zoe = open(&bench, as_whom("zoe", Scopes::ADMIN, &[])).await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(submit(&mut session, "stubborn", "null").await);
        assert_eq!(all(&session, &JobFilter::default(), 10).await, jobs);
        assert_eq!(all(&zoe, &observable(), 10).await, jobs, "by whoever may observe it");
    }
    jobs.push(submit(&mut session, "stubborn", "null").await);
    let noted = bench.store.list(Collection::JobIndex, None, 10).await.unwrap().len();
    assert_eq!(noted, 3, "the last is not noted when the gateway is killed");

    let store = Arc::new(bench.store.reopen(TailLimits::default()));
    let bench = Bench::over(store, options()).await;
    let mut session = bench.session("ada").await;
    let zoe = open(&bench, as_whom("zoe", Scopes::ADMIN, &[])).await;
    assert_eq!(all(&session, &JobFilter::default(), 10).await, jobs);
    assert_eq!(all(&zoe, &observable(), 10).await, jobs);

    // The time of a gateway goes on from its journal's last record, which may have been of this moment.
    pass(MOMENT * 10).await;
    jobs.push(submit(&mut session, "counter", "1").await);
    bench.store.faults().refuse_appends(StoreFault::Full);
    pass(Duration::from_secs(10)).await;
    assert_eq!(all(&session, &JobFilter::default(), 10).await, jobs[..4], "what is noted is listed all the same");
    bench.store.faults().allow();
    see_to_end(&mut session, jobs[4]).await;
    assert_eq!(all(&session, &JobFilter::default(), 10).await, jobs);
    assert_eq!(all(&zoe, &observable(), 10).await, jobs);
    pass(Duration::from_secs(10)).await;
    let open = bench.store.list(Collection::OpenJobs, None, 10).await.unwrap();
    assert!(open.iter().all(|(key, _)| key.key() != jobs[4].to_string()), "the one that is over is not open");
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
