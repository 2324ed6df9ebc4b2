//! What sessions say, for a person or for a script.

use std::time::{SystemTime, UNIX_EPOCH};

use moorline_gateway_client::{Done, Event, EventBody, Failure, Gap, GapCause, Reading, Sample, Value as Held};
use moorline_gateway_proto::v1::{self, SessionState};
use moorline_types::Timestamp;
use serde_json::{Value, json};

use super::rates;
use super::tags::quality;
use crate::output::{Output, Style, printable};
use crate::table;

/// A state in a word.
pub(super) fn state(state: SessionState) -> String {
    state.as_str_name().trim_start_matches("SESSION_STATE_").to_lowercase()
}

/// Everything that is known of a session.
pub(super) fn session(session: &v1::Session) -> Value {
    let millis = |length: prost_types::Duration| length.seconds * 1_000 + i64::from(length.nanos) / 1_000_000;
    json!({
        "session_id": session.session_id, "state": state(session.state()), "backend": session.backend,
        "owner": session.owner, "tag": session.tag, "name": session.client_session_name,
        "correlation_id": session.correlation_id, "opened_at": moment(session.opened_at),
        "last_activity_at": moment(session.last_activity_at), "lease_expires_at": moment(session.lease_expires_at),
        "detached_at": moment(session.detached_at), "subscribers": session.subscribers,
        "pending_commands": session.pending_commands, "last_worker_sequence": session.last_worker_sequence,
        "oldest_worker_sequence": session.oldest_worker_sequence, "epoch": session.epoch, "fault": session.fault,
        "close_reason": session.close_reason, "command_timeout_ms": session.command_timeout.map(millis),
        "worker_id": session.worker_id, "adopted": session.adopted,
    })
}

/// The same for a person: what there is of it, a line each.
pub(super) fn about(session: &v1::Session) -> String {
    const FIELDS: [&str; 21] = [
        "session_id",
        "state",
        "fault",
        "close_reason",
        "name",
        "backend",
        "owner",
        "tag",
        "correlation_id",
        "opened_at",
        "last_activity_at",
        "lease_expires_at",
        "detached_at",
        "subscribers",
        "pending_commands",
        "command_timeout_ms",
        "last_worker_sequence",
        "oldest_worker_sequence",
        "epoch",
        "worker_id",
        "adopted",
    ];
    let all = self::session(session);
    let shown = FIELDS.iter().filter_map(|name| {
        let value = &all[*name];
        let text = match value {
            Value::String(text) if !text.is_empty() => printable(text).into_owned(),
            Value::Null | Value::String(_) => return None,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        Some(format!("{:<24}{text}", name.replace('_', " ")))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Sessions as a table.
pub(super) fn sessions(sessions: &[v1::Session], output: &Output) -> String {
    let mut table = table::table(&["state", "session", "backend", "owner", "tag", "opened (UTC)", "name"], &[]);
    for session in sessions {
        let opened = moment(session.opened_at).unwrap_or_default();
        let cells = [
            &state(session.state()),
            &session.session_id,
            &session.backend,
            &session.owner,
            &session.tag,
            &opened.get(..19).unwrap_or(&opened).replace('T', " "),
            &session.client_session_name,
        ];
        table.add_row(cells.map(|cell| printable(cell).into_owned()));
    }
    let mut text = String::new();
    table::add(&mut text, &table, output);
    text.trim_end().to_owned()
}

/// A moment as RFC 3339 writes it; nothing if there is none.
fn moment(at: Option<prost_types::Timestamp>) -> Option<String> {
    at.and_then(|at| SystemTime::try_from(at).ok()).and_then(written)
}

fn written(at: SystemTime) -> Option<String> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_millis(u64::try_from(since.as_millis()).ok()?).to_string())
}

/// The time of day, in UTC.
pub(super) fn time_of_day(at: SystemTime) -> String {
    written(at).and_then(|text| text.get(11..23).map(str::to_owned)).unwrap_or_default()
}

/// What an item holds.
pub(super) fn value(value: &Held) -> Value {
    match value {
        Held::Null => Value::Null,
        Held::Bool(value) => json!(value),
        Held::Integer(value) => json!(value),
        Held::Double(value) => json!(value),
        Held::Text(value) => json!(value),
    }
}

fn sample(sample: &Sample) -> Value {
    json!({
        "value": value(&sample.value), "quality": sample.quality, "source_time": sample.source_time.and_then(written),
        "server_time": sample.server_time.and_then(written), "received_time": sample.received_time.and_then(written),
        "raw_status": sample.raw_status,
    })
}

fn in_words(sample: &Sample) -> String {
    format!("{} {}", printable(&value(&sample.value).to_string()), quality(sample.quality))
}

pub(super) fn reading(reading: &Reading, as_json: bool) -> String {
    match (&reading.sample, as_json) {
        (Ok(found), true) => {
            json!({ "item": reading.item, "success": true, "message": "", "sample": sample(found) }).to_string()
        }
        (Err(failure), true) => {
            json!({ "item": reading.item, "success": false, "message": failure.message, "sample": null }).to_string()
        }
        (Ok(found), false) => format!("{} {}", printable(&reading.item), in_words(found)),
        (Err(failure), false) => {
            format!("{} could not be read: {}", printable(&reading.item), printable(&failure.to_string()))
        }
    }
}

/// A gap, in a line that nobody overlooks.
pub(super) fn gap(gap: &Gap, output: &Output) -> String {
    output.styled(Style::Red, format_args!("-- GAP: {gap}: look at the items anew --"))
}

pub(super) fn gap_as_json(gap: &Gap) -> Value {
    let cause = match gap.cause {
        GapCause::Retention => "retention",
        GapCause::OtherJournal => "other_journal",
        GapCause::NoNumber => "no_number",
        GapCause::Unknown | _ => "unknown",
    };
    json!({ "replay_gap": { "requested_after": gap.after, "oldest_available": gap.oldest_available, "cause": cause } })
}

/// What an event is about, in a word.
const fn family(body: &EventBody) -> &'static str {
    match body {
        EventBody::DataChange(_) => "data_change",
        EventBody::BufferedDataChange(_) => "buffered_data_change",
        EventBody::ItemRevised(_) => "item_revised",
        EventBody::WriteComplete { .. } => "write_complete",
        EventBody::OperationComplete { .. } => "operation_complete",
        EventBody::BackendGap { .. } => "backend_gap",
        EventBody::Alarm(_) => "alarm",
        EventBody::AlarmSnapshotComplete => "alarm_snapshot_complete",
        EventBody::Unknown | _ => "unknown",
    }
}

pub(super) fn event_as_json(event: &Event, item: Option<&str>) -> Value {
    let said = match &event.body {
        EventBody::DataChange(change) => sample(change),
        EventBody::BufferedDataChange(changes) => changes.iter().map(sample).collect::<Vec<_>>().into(),
        EventBody::ItemRevised(revision) => rates::as_json(revision),
        EventBody::WriteComplete { command } | EventBody::OperationComplete { command } => {
            json!({ "command_id": command.as_str() })
        }
        EventBody::BackendGap { reason } => json!({ "reason": reason }),
        EventBody::Alarm(one) => alarm_as_json(one),
        EventBody::AlarmSnapshotComplete | EventBody::Unknown | _ => Value::Null,
    };
    let (server, handle) = event.item.map_or((0, 0), |item| (item.server.0, item.handle));
    json!({
        "worker_sequence": event.sequence, "worker_time": event.at.and_then(written), "server_handle": server,
        "item_handle": handle, "item": item, "family": family(&event.body), "said": said,
        "statuses": event.statuses.iter().map(status).collect::<Vec<_>>(),
    })
}

fn status(status: &v1::Status) -> Value {
    json!({ "success": status.success, "category": category(status), "detail": status.detail })
}

/// What a status is about, in the words of the API.
fn category(status: &v1::Status) -> String {
    let name = status.category().as_str_name();
    name.trim_start_matches("STATUS_CATEGORY_").to_ascii_lowercase()
}

/// How something went, by what the back end says of it.
fn outcome(statuses: &[v1::Status]) -> String {
    let failed = statuses.iter().filter(|status| !status.success);
    let failed: Vec<_> = failed.map(|status| format!("{} {}", category(status), status.detail)).collect();
    if failed.is_empty() { "done".to_owned() } else { format!("failed ({})", failed.join(", ")) }
}

pub(super) fn event(event: &Event, item: Option<&str>) -> String {
    let said = match &event.body {
        EventBody::DataChange(change) => in_words(change),
        EventBody::BufferedDataChange(changes) => changes.iter().map(in_words).collect::<Vec<_>>().join("; "),
        EventBody::ItemRevised(revision) => rates::in_words(revision),
        EventBody::WriteComplete { command } | EventBody::OperationComplete { command } => {
            format!("{} {}", outcome(&event.statuses), printable(command.as_str()))
        }
        EventBody::BackendGap { reason } => printable(reason).into_owned(),
        EventBody::Alarm(one) => alarm(one, false),
        EventBody::AlarmSnapshotComplete | EventBody::Unknown | _ => String::new(),
    };
    let at = event.at.map(time_of_day).unwrap_or_default();
    let about = match (item, event.item) {
        (Some(name), _) => format!(" {}", printable(name)),
        (None, Some(item)) => format!(" {}/{}", item.server.0, item.handle),
        (None, None) => String::new(),
    };
    format!("{} {at}{about} {} {said}", event.sequence, family(&event.body)).trim_end().to_owned()
}

fn alarm_as_json(alarm: &v1::Alarm) -> Value {
    json!({
        "alarm_id": alarm.alarm_id, "item": alarm.item, "active": alarm.active, "severity": alarm.severity,
        "acknowledged": alarm.acknowledged, "by": alarm.acknowledged_by, "message": alarm.message,
    })
}

pub(super) fn alarm(alarm: &v1::Alarm, as_json: bool) -> String {
    if as_json {
        return alarm_as_json(alarm).to_string();
    }
    let is = if alarm.active { "active" } else { "cleared" };
    let seen = if alarm.acknowledged { ", acknowledged" } else { "" };
    format!("{} {is}{seen} ({}): {}", printable(&alarm.alarm_id), alarm.severity, printable(&alarm.message))
}

/// What is known of the alarms is out of date.
pub(super) fn interrupted_as_json() -> Value {
    json!({ "interrupted": true })
}

/// What a command has brought, in lines; none if it has brought nothing.
pub(super) fn done(done: &Done) -> Vec<String> {
    match done {
        Done::Server(server) => vec![server.0.to_string()],
        Done::ItemHandle(handle) => vec![handle.to_string()],
        Done::Advised(revision) => vec![rates::in_words(revision)],
        Done::User(user) => vec![user.0.to_string()],
        Done::IntervalMs(interval) => vec![interval.to_string()],
        Done::Readings(readings) => readings.iter().map(|one| reading(one, false)).collect(),
        Done::WorkerState(state) => held(state),
        Done::WorkerInfo(info) => {
            let (backend, version) = (printable(&info.backend), printable(&info.version));
            let started = moment(info.started_at).unwrap_or_default();
            vec![format!("{backend} {version}, process {}, since {started}", info.pid)]
        }
        Done::Parts(parts) => parts.iter().enumerate().map(|(n, one)| format!("{}: {}", n + 1, part(one))).collect(),
        Done::Nothing | _ => Vec::new(),
    }
}

/// What has come of one of several commands.
fn part(part: &Result<Done, Failure>) -> String {
    let brought = match part {
        Err(failure) => return format!("not done: {}", printable(&failure.to_string())),
        Ok(brought) => done(brought).join("; "),
    };
    if brought.is_empty() { "done".to_owned() } else { format!("done: {brought}") }
}

/// How a worker stands with its back end.
fn standing(link: &v1::LinkState) -> String {
    if !link.problem.is_empty() {
        return printable(&link.problem).into_owned();
    }
    let (subscriptions, gaps) = (link.subscriptions.len(), link.gaps);
    let items: u64 = link.subscriptions.iter().map(|subscription| u64::from(subscription.items)).sum();
    let name = printable(&link.name);
    format!("session {name}, {items} items in {subscriptions} subscriptions, values lost {gaps} times")
}

/// What a worker holds.
fn held(state: &v1::WorkerSessionState) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(state.link.as_ref().map(|link| format!("with the back end: {}", standing(link))));
    for server in &state.servers {
        let interval = server.buffered_interval_ms;
        lines.push(format!("server {} {:?}, collecting for {interval} ms", server.server_handle, server.client_name));
        lines.extend(server.link.as_ref().map(|link| format!("  with the back end: {}", standing(link))));
        for item in &server.items {
            let is = [
                (item.advised, "advised"),
                (item.supervisory, "supervisory"),
                (item.buffered, "buffered"),
                (item.suspended, "suspended"),
            ];
            let is: Vec<_> = is.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
            let line = format!("  item {} {} {}", item.item_handle, printable(&item.item), is.join(", "));
            lines.push(line.trim_end().to_owned());
            lines.extend(item.revision.map(|revision| format!("    {}", rates::in_words(&revision.into()))));
        }
    }
    let finished = state.commands.iter().filter(|command| command.finished).count();
    lines.push(format!("{} commands are known by name, {finished} of them finished", state.commands.len()));
    lines.push(format!("alarms are {}told", if state.alarms_subscribed { "" } else { "not " }));
    lines
}
