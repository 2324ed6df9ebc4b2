//! What must be true of every history.

use std::collections::BTreeMap;

use moorline_core::record::{Cause, Fact, Output, Success};
use moorline_core::view::{Pull, Shown, View};
use moorline_store::{CommittedRecord, ReadLimit, Store};
use moorline_types::{EventKind, JobId, Offset, RecordKind, SessionId, StreamId, StreamSeq};

use crate::agent::Script;
use crate::family;
use crate::world::{Seen, World};

const LIMIT: ReadLimit = ReadLimit::new(7, 1024 * 1024);

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A client was told that a job exists, and the journal knows nothing of it.
    LostJob(JobId),
    /// A submission that was repeated with its key became a second job.
    SecondJob(JobId, JobId),
    /// A job's records have a hole or a repetition.
    BrokenStream(JobId, Vec<StreamSeq>),
    /// A job does not end with its only ending.
    Endings(JobId, Vec<StreamSeq>),
    /// A job whose cancellation was confirmed ended otherwise.
    UndoneCancellation(JobId),
    /// An event of the agent is missing, twice, or out of order.
    Events(JobId, Vec<u64>),
    /// A job has lost its worker, which did not die while the job was open.
    LostWorker(JobId),
    /// The costs of a job are not those that its budget allows, each once: so many there are, and so many there may be.
    Costs(JobId, u64, u64),
    /// What a job and those below it have, give and spend does not add up.
    Budget(JobId, String),
    /// A job and its child do not agree, or the child may do more or goes on for longer.
    Family(JobId, JobId, String),
    /// A job has ended for its lease before that did.
    Lease(JobId),
    /// A credential is good that nobody needs, or was given twice.
    Credential(JobId, String),
    /// So many credentials have been asked back and are still good, or not known to be gone.
    Withdrawals(usize),
    /// A job's result is not what its agent returned after its last event.
    Result(JobId, String),
    /// A session saw a record of a job after a later one, or twice.
    Repeated(SessionId, JobId, StreamSeq),
    /// A session saw something else than what the journal says that it saw.
    View(SessionId, Box<(Option<Seen>, Option<Seen>)>),
}

/// Everything that is wrong with what happened.
pub async fn check(world: &World) -> Vec<Violation> {
    let mut violations = Vec::new();
    let families = family::all(world).await;
    for (job, records) in &families {
        violations.extend(check_job(*job, records, world.cancelled.contains(job)));
        violations.extend(check_ending(world, *job, records));
        violations.extend(check_costs(*job, records));
    }
    violations.extend(family::check(world, &families).await);
    let twice = world.repeated.iter().filter(|(first, second)| first != second);
    violations.extend(twice.map(|(first, second)| Violation::SecondJob(*first, *second)));
    for (session, seen) in &world.seen {
        violations.extend(check_order(world, *session, seen));
        let due = replay(world, *session).await;
        let differs = (0..seen.len()).find(|n| due.get(*n) != seen.get(*n));
        if let Some(n) = differs {
            violations.push(Violation::View(*session, Box::new((due.get(n).cloned(), seen.get(n).cloned()))));
        }
    }
    violations
}

/// Whatever it watches, a session sees the records of a job once and in order.
fn check_order(world: &World, session: SessionId, seen: &[Seen]) -> Option<Violation> {
    let mut latest: BTreeMap<JobId, StreamSeq> = BTreeMap::new();
    seen.iter().filter(|seen| !world.repeatable.contains(&(session, seen.job))).find_map(|seen| {
        let before = latest.insert(seen.job, seen.seq).unwrap_or(StreamSeq::ZERO);
        (before >= seen.seq).then_some(Violation::Repeated(session, seen.job, seen.seq))
    })
}

fn check_job(job: JobId, records: &[CommittedRecord], cancelled: bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    if records.is_empty() {
        return vec![Violation::LostJob(job)];
    }
    let seqs: Vec<_> = records.iter().map(|record| record.seq).collect();
    if !seqs.iter().zip(1..).all(|(seq, n)| seq.get() == n) {
        violations.push(Violation::BrokenStream(job, seqs));
    }
    let endings: Vec<_> = records
        .iter()
        .filter(|record| matches!(record.kind, RecordKind::JobResult | RecordKind::JobError))
        .map(|record| record.seq)
        .collect();
    if endings != [records[records.len() - 1].seq] {
        violations.push(Violation::Endings(job, endings));
    }
    if cancelled && records[records.len() - 1].kind != RecordKind::JobError {
        violations.push(Violation::UndoneCancellation(job));
    }
    let events = numbers_of_events(records);
    if !events.iter().zip(1..).all(|(event, n)| *event == n) {
        violations.push(Violation::Events(job, events));
    }
    violations
}

/// Only a worker that died loses a job, and a result follows all of the agent's events.
fn check_ending(world: &World, job: JobId, records: &[CommittedRecord]) -> Option<Violation> {
    let (first, last) = (records.first()?, records.last()?);
    match Fact::decode(last) {
        Ok(Fact::Error(failure)) if matches!(failure.cause, Cause::WorkerLost | Cause::Gateway) => {
            let died = world.deaths.iter().any(|death| (first.at..=last.at).contains(death));
            (!died).then_some(Violation::LostWorker(job))
        }
        Ok(Fact::Result(Success { output: Output::Inline(result), .. })) => {
            let events = numbers_of_events(records).len().to_string();
            (result.get() != events).then(|| Violation::Result(job, result.get().to_owned()))
        }
        _ => None,
    }
}

/// A job pays after each of its events until its budget is spent, whoever dies in between; one that is ended before may
/// not have paid for its last.
fn check_costs(job: JobId, records: &[CommittedRecord]) -> Option<Violation> {
    let Ok(Fact::Accepted(accepted)) = Fact::decode(records.first()?) else { return None };
    let script: Script = accepted.input.to().ok()?;
    if records.iter().any(|record| record.kind == RecordKind::JobReserved) {
        // What its children are given and leave is in between.
        return None;
    }
    let budget = family::cents(&accepted);
    let affordable = if script.price == 0 { 0 } else { budget.div_ceil(script.price) };
    let (events, paid) = (numbers_of_events(records).len() as u64, number_of_costs(records));
    let most = affordable.min(events);
    let is_done = records.last()?.kind == RecordKind::JobResult;
    let fits = if is_done { paid == most } else { paid <= most && most <= paid + 1 };
    (!fits).then_some(Violation::Costs(job, paid, most))
}

fn number_of_costs(records: &[CommittedRecord]) -> u64 {
    let is_cost = |record: &&CommittedRecord| match Fact::decode(record) {
        Ok(Fact::Event(event)) => event.kind == EventKind::Metric && event.worker_seq.is_some(),
        _ => false,
    };
    records.iter().filter(is_cost).count() as u64
}

/// The numbers that the scripted agent put into its log events.
fn numbers_of_events(records: &[CommittedRecord]) -> Vec<u64> {
    let message = |record: &CommittedRecord| match Fact::decode(record) {
        Ok(Fact::Event(event)) => {
            let body: BTreeMap<String, String> = event.body.to().ok()?;
            body.get("message")?.parse().ok()
        }
        _ => None,
    };
    records.iter().filter_map(message).collect()
}

pub(crate) async fn read_stream(world: &World, stream: StreamId) -> Vec<CommittedRecord> {
    let mut records: Vec<CommittedRecord> = Vec::new();
    loop {
        let next = records.last().map_or(StreamSeq::FIRST, |record| record.seq.next());
        let page = world.store.read_stream(stream, next, LIMIT).await.expect("the store is whole");
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

/// What the session must have seen, by the journal alone.
async fn replay(world: &World, session: SessionId) -> Vec<Seen> {
    let mut view = View::new(session, Offset::ZERO);
    let mut due = Vec::new();
    loop {
        let (records, through) = match view.pull() {
            Pull::Stretch { job, from } => {
                let records = world.store.read_stream(StreamId::Job(job), from, LIMIT).await;
                let records = records.expect("the store is whole");
                if records.is_empty() {
                    view.handle_end_of_stretch();
                    continue;
                }
                (records, None)
            }
            Pull::Live { after } => {
                let streams: Vec<_> = view.streams().collect();
                let page = world.store.read_streams(&streams, after, LIMIT).await.expect("the store is whole");
                if page.records.is_empty() && page.through == after {
                    return due;
                }
                (page.records, Some(page.through))
            }
        };
        let turned = take(&mut view, &records, &mut due);
        if let (Some(through), false) = (through, turned) {
            view.handle_end_of_page(through);
        }
    }
}

fn take(view: &mut View, records: &[CommittedRecord], due: &mut Vec<Seen>) -> bool {
    for record in records {
        let seen = view.handle(record).expect("the records decode");
        if let Some(Shown { event_seq, job }) = seen.shown {
            let offset: Offset = record.offset();
            due.push(Seen { event_seq: event_seq.get(), job, seq: record.seq, offset });
        }
        if seen.turned {
            return true;
        }
    }
    false
}
