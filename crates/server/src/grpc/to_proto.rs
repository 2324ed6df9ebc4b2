//! From what sessions and back ends say to the API's messages.

use std::time::Duration;

use moorline_backend::contract as backend;
use moorline_core::backend_session::{CloseReason, Gap, State};
use moorline_gateway_proto::v1;
use moorline_runtime::backend_sessions::{Completion, Invoked, SessionSummary, StreamItem, StreamedEvent};
use moorline_types::{Epoch, Millis, Timestamp};

/// A point in time.
pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let millis = at.as_unix_millis();
    // The year 9999 is far within the range of either.
    let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(millis % 1_000 * 1_000_000).unwrap_or_default();
    prost_types::Timestamp { seconds, nanos }
}

/// A length of time.
pub(super) fn duration(length: Millis) -> prost_types::Duration {
    let seconds = i64::try_from(length.get() / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(length.get() % 1_000 * 1_000_000).unwrap_or_default();
    prost_types::Duration { seconds, nanos }
}

/// Where a session stands.
pub(super) const fn state(state: &State) -> v1::SessionState {
    match state {
        State::StartingWorker => v1::SessionState::StartingWorker,
        State::Handshaking => v1::SessionState::Handshaking,
        State::Ready => v1::SessionState::Ready,
        State::Reattaching => v1::SessionState::Reattaching,
        State::Closing(_) => v1::SessionState::Closing,
        State::Closed(_) => v1::SessionState::Closed,
        State::Faulted(_) => v1::SessionState::Faulted,
    }
}

/// A session.
pub(super) fn session(summary: SessionSummary, epoch: Epoch) -> v1::Session {
    let (fault, reason) = match &summary.state {
        State::Faulted(fault) => (fault.message.clone(), None),
        State::Closing(reason) | State::Closed(reason) => (String::new(), Some(*reason)),
        State::StartingWorker | State::Handshaking | State::Ready | State::Reattaching => (String::new(), None),
    };
    let session_id = summary.id.to_string();
    let name = match summary.client_session_name.as_str() {
        "" => "client",
        name => name,
    };
    v1::Session {
        correlation_id: format!("{name}-{session_id}"),
        session_id,
        state: state(&summary.state).into(),
        backend: summary.backend,
        owner: summary.owner.to_string(),
        tag: summary.tag.map(|tag| tag.to_string()).unwrap_or_default(),
        client_session_name: summary.client_session_name,
        opened_at: Some(timestamp(summary.opened_at)),
        last_activity_at: Some(timestamp(summary.last_activity)),
        lease_expires_at: Some(timestamp(summary.lease_expires)),
        detached_at: summary.detached.map(timestamp),
        subscribers: count(summary.subscribers),
        pending_commands: count(summary.pending_commands),
        last_worker_sequence: summary.last_worker_seq.get(),
        oldest_worker_sequence: summary.oldest_worker_seq.get(),
        epoch: epoch.to_string(),
        fault,
        close_reason: reason.map(CloseReason::as_str).unwrap_or_default().to_owned(),
        command_timeout: Some(duration(summary.command_timeout)),
        worker_id: summary.worker.map(|worker| worker.to_string()).unwrap_or_default(),
        adopted: summary.adopted,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What came of a command.
pub(super) fn invoked(invoked: Invoked) -> v1::InvokeResponse {
    v1::InvokeResponse {
        command_id: invoked.id.into(),
        result: Some(result(invoked.result, &invoked.backend)),
        worker_sequence: invoked.worker_seq.get(),
        repeated: invoked.repeated,
        completions: invoked.completions.into_iter().map(completion).collect(),
    }
}

fn completion(Completion { worker_seq, at, statuses }: Completion) -> v1::Completion {
    v1::Completion {
        worker_sequence: worker_seq.get(),
        server_handle: at.map_or(0, |at| at.server.0),
        item_handle: at.map_or(0, |at| at.item.0),
        statuses: self::statuses(&statuses),
    }
}

/// What came of one command.
pub(super) fn result(result: backend::CommandResult, by: &str) -> v1::CommandResult {
    use v1::command_result::Value;

    let value = match result.done {
        backend::Done::Nothing => None,
        backend::Done::Server(handle) => Some(Value::ServerHandle(handle.0)),
        backend::Done::Item { item, .. } => Some(Value::ItemHandle(item.0)),
        backend::Done::Advised(one) => Some(Value::Revision(revision(*one))),
        backend::Done::User(handle) => Some(Value::UserHandle(handle.0)),
        backend::Done::Interval(millis) => Some(Value::IntervalMs(millis)),
        backend::Done::Readings(readings) => {
            Some(Value::Readings(v1::Readings { readings: readings.into_iter().map(reading).collect() }))
        }
        backend::Done::Session(state) => Some(Value::SessionState(session_state(state))),
        backend::Done::Worker(info) => Some(Value::WorkerInfo(v1::WorkerInfo {
            backend: info.backend,
            version: info.version,
            pid: info.pid,
            started_at: Some(timestamp(info.started_at)),
        })),
        backend::Done::Results(results) => {
            let results = results.into_iter().map(|one| self::result(one, by)).collect();
            Some(Value::Results(v1::Results { results }))
        }
    };
    v1::CommandResult {
        success: result.success,
        message: result.message,
        statuses: statuses(&result.statuses),
        hresult: result.hresult,
        backend: by.to_owned(),
        value,
    }
}

fn reading(reading: backend::Reading) -> v1::Reading {
    v1::Reading {
        item: reading.item,
        success: reading.success,
        message: reading.message,
        sample: reading.sample.map(sample),
        statuses: statuses(&reading.statuses),
    }
}

fn session_state(state: backend::SessionState) -> v1::WorkerSessionState {
    let item = |item: backend::ItemState| v1::ItemState {
        item_handle: item.item.0,
        item: item.name,
        advised: item.advised,
        supervisory: item.supervisory,
        buffered: item.buffered,
        suspended: item.suspended,
        revision: item.revision.map(revision),
    };
    let server = |server: backend::ServerState| v1::ServerState {
        server_handle: server.server.0,
        client_name: server.client,
        buffered_interval_ms: server.interval_ms,
        items: server.items.into_iter().map(item).collect(),
        link: server.link.map(link),
    };
    let command =
        |command: backend::CommandState| v1::CommandState { command_id: command.id.into(), finished: command.finished };
    v1::WorkerSessionState {
        servers: state.servers.into_iter().map(server).collect(),
        commands: state.commands.into_iter().map(command).collect(),
        alarms_subscribed: state.alarms,
        link: state.link.map(|state| link(*state)),
    }
}

fn link(link: backend::LinkState) -> v1::LinkState {
    let subscription = |subscription: backend::SubscriptionState| v1::SubscriptionState {
        name: subscription.name,
        items: subscription.items,
        last_sequence: subscription.last_sequence,
    };
    let subscriptions = link.subscriptions.into_iter().map(subscription).collect();
    v1::LinkState { name: link.name, subscriptions, gaps: link.gaps, problem: link.problem }
}

fn revision(revision: backend::Revision) -> v1::Revision {
    v1::Revision { requested: Some(rates(revision.requested)), revised: Some(rates(revision.revised)) }
}

fn rates(rates: backend::ItemRates) -> v1::ItemRates {
    // An interval that is beyond what the API can express is none that anybody waits for.
    let interval = |length: Option<Duration>| length.and_then(|length| length.try_into().ok());
    v1::ItemRates {
        sampling_interval: interval(rates.sampling),
        queue_size: rates.queue_size,
        publishing_interval: interval(rates.publishing),
        keep_alive_interval: interval(rates.keep_alive),
        lifetime: interval(rates.lifetime),
    }
}

fn value(value: backend::Value) -> v1::Value {
    use v1::value::Kind;

    let kind = match value {
        backend::Value::Null => None,
        backend::Value::Bool(value) => Some(Kind::BoolValue(value)),
        backend::Value::Integer(value) => Some(Kind::IntegerValue(value)),
        backend::Value::Double(value) => Some(Kind::DoubleValue(value)),
        backend::Value::Text(value) => Some(Kind::StringValue(value)),
    };
    v1::Value { kind }
}

fn sample(sample: backend::Sample) -> v1::Sample {
    // A worker that knows one time only has never said whose it is.
    let source = if sample.received.is_some() { sample.source } else { Some(sample.at) };
    v1::Sample {
        value: Some(value(sample.value)),
        quality: sample.quality.0.into(),
        source_time: source.map(timestamp),
        raw_status: sample.raw,
        server_time: sample.server.map(timestamp),
        received_time: sample.received.map(timestamp),
    }
}

fn statuses(statuses: &[backend::Status]) -> Vec<v1::Status> {
    statuses.iter().map(one_status).collect()
}

fn one_status(status: &backend::Status) -> v1::Status {
    use backend::{StatusCategory as From, StatusSource as Source};
    use v1::{StatusCategory as To, StatusSource as ToSource};

    let category = match status.category {
        From::Unknown => To::Unknown,
        From::Ok => To::Ok,
        From::Pending => To::Pending,
        From::Warning => To::Warning,
        From::CommunicationError => To::CommunicationError,
        From::ConfigurationError => To::ConfigurationError,
        From::OperationalError => To::OperationalError,
        From::SecurityError => To::SecurityError,
        From::SoftwareError => To::SoftwareError,
        From::OtherError => To::OtherError,
    };
    let source = match status.source {
        Source::Unknown => ToSource::Unknown,
        Source::RequestingLmx => ToSource::RequestingLmx,
        Source::RespondingLmx => ToSource::RespondingLmx,
        Source::RequestingNmx => ToSource::RequestingNmx,
        Source::RespondingNmx => ToSource::RespondingNmx,
        Source::RequestingAutomationObject => ToSource::RequestingAutomationObject,
        Source::RespondingAutomationObject => ToSource::RespondingAutomationObject,
    };
    v1::Status { success: status.success, category: category.into(), detected_by: source.into(), detail: status.detail }
}

/// What a stream of events is made of; `None` for what clients are shown otherwise.
pub(super) fn stream_item(item: StreamItem) -> Option<v1::StreamEventsResponse> {
    use v1::stream_events_response::Item;

    let item = match item {
        StreamItem::Gap { gap: Gap { requested_after, oldest_available }, epoch, is_other_journal } => {
            let cause = match is_other_journal {
                true => v1::ReplayGapCause::Epoch,
                false => v1::ReplayGapCause::Retention,
            };
            Item::ReplayGap(v1::ReplayGap {
                requested_after_sequence: requested_after.get(),
                oldest_available_sequence: oldest_available.get(),
                epoch: epoch.to_string(),
                cause: cause.into(),
            })
        }
        StreamItem::Event(streamed) => Item::Event(event(streamed)?),
    };
    Some(v1::StreamEventsResponse { item: Some(item) })
}

fn event(StreamedEvent { worker_seq, at, event }: StreamedEvent) -> Option<v1::Event> {
    use v1::event::Body;

    let body = match event.said {
        backend::EventBody::Opened => return None,
        backend::EventBody::DataChange(one) => Body::DataChange(v1::DataChange { sample: Some(sample(one)) }),
        backend::EventBody::BufferedDataChange(all) => {
            Body::BufferedDataChange(v1::BufferedDataChange { samples: all.into_iter().map(sample).collect() })
        }
        backend::EventBody::ItemRevised(one) => Body::ItemRevised(v1::ItemRevised { revision: Some(revision(one)) }),
        backend::EventBody::WriteComplete { command } => {
            Body::WriteComplete(v1::WriteComplete { command_id: command.into() })
        }
        backend::EventBody::OperationComplete { command } => {
            Body::OperationComplete(v1::OperationComplete { command_id: command.into() })
        }
        backend::EventBody::BackendGap { reason } => Body::BackendGap(v1::BackendGap { reason }),
        backend::EventBody::Alarm(one) => Body::Alarm(alarm(one)),
        backend::EventBody::AlarmSnapshotComplete => Body::AlarmSnapshotComplete(v1::AlarmSnapshotComplete {}),
    };
    Some(v1::Event {
        worker_sequence: worker_seq.get(),
        worker_time: Some(timestamp(at)),
        server_handle: event.at.map_or(0, |at| at.server.0),
        item_handle: event.at.map_or(0, |at| at.item.0),
        statuses: statuses(&event.statuses),
        body: Some(body),
    })
}

/// An alarm.
pub(super) fn alarm(alarm: backend::Alarm) -> v1::Alarm {
    v1::Alarm {
        alarm_id: alarm.alarm,
        item: alarm.item,
        area: alarm.area,
        message: alarm.message,
        severity: alarm.severity.into(),
        active: alarm.active,
        acknowledged: alarm.acknowledged,
        raised_at: Some(timestamp(alarm.raised_at)),
        acknowledged_by: alarm.by,
        comment: alarm.comment,
        snapshot: alarm.snapshot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_backend::contract::{Quality, Sample, Times, Value};

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn a_sample_of_an_earlier_worker_is_told_with_its_one_time() {
        let earlier: Sample = serde_json::from_str(r#"{"value":7,"quality":192,"at":5}"#).unwrap();
        let told = sample(earlier);
        assert_eq!((told.source_time, told.server_time, told.received_time), (Some(timestamp(at(5))), None, None));
    }

    #[test]
    fn a_time_that_the_back_end_does_not_give_is_absent() {
        let [server, received] = [at(5), at(6)];
        let times = Times { source: None, server: Some(server), received };
        let told = sample(Sample::new(Value::Null, Quality::GOOD, times, 0));
        assert_eq!(told.source_time, None);
        assert_eq!((told.server_time, told.received_time), (Some(timestamp(server)), Some(timestamp(received))));
    }
}
