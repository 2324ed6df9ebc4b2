//! What sessions say, for a person or for a script.

use anyhow::{Result, anyhow};
use moorline_gateway_proto::v1::value::Kind;
use moorline_gateway_proto::v1::{self, SessionState, event};
use serde_json::{Value, json};

use super::{family, parse};
use crate::exit::{Exit, Stop};
use crate::output::printable;

/// A value that was typed: JSON if it is, and else text.
pub(super) fn value_of(text: &str) -> Result<v1::Value> {
    let kind = match parse(text).unwrap_or_else(|_| Value::String(text.to_owned())) {
        Value::Null => None,
        Value::Bool(value) => Some(Kind::BoolValue(value)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Some(Kind::IntegerValue(whole)),
            (None, Some(number)) => Some(Kind::DoubleValue(number)),
            (None, None) => return Err(anyhow!("{text} is no number that can be written").context(Stop(Exit::Usage))),
        },
        Value::String(text) => Some(Kind::StringValue(text)),
        Value::Array(_) | Value::Object(_) => {
            return Err(anyhow!("an item has no {text}").context(Stop(Exit::Usage)));
        }
    };
    Ok(v1::Value { kind })
}

fn value(value: Option<&v1::Value>) -> Value {
    match value.and_then(|value| value.kind.as_ref()) {
        None => Value::Null,
        Some(Kind::BoolValue(value)) => json!(value),
        Some(Kind::IntegerValue(value)) => json!(value),
        Some(Kind::DoubleValue(value)) => json!(value),
        Some(Kind::StringValue(value)) => json!(value),
    }
}

/// A state in a word.
pub(super) fn state(state: SessionState) -> String {
    state.as_str_name().trim_start_matches("SESSION_STATE_").to_lowercase()
}

pub(super) fn session(session: &v1::Session, as_json: bool) -> String {
    let state = state(session.state());
    if as_json {
        return json!({
            "session_id": session.session_id, "state": state, "backend": session.backend, "owner": session.owner,
            "tag": session.tag, "name": session.client_session_name, "subscribers": session.subscribers,
            "last_worker_sequence": session.last_worker_sequence, "fault": session.fault,
        })
        .to_string();
    }
    let why = if session.fault.is_empty() { String::new() } else { format!(" ({})", printable(&session.fault)) };
    format!(
        "{} {state}{why} {} of {} {}",
        session.session_id,
        printable(&session.backend),
        printable(&session.owner),
        printable(&session.client_session_name)
    )
    .trim_end()
    .to_owned()
}

fn sample(sample: Option<&v1::Sample>) -> Value {
    let Some(sample) = sample else { return Value::Null };
    json!({ "value": value(sample.value.as_ref()), "quality": sample.quality })
}

pub(super) fn reading(reading: &v1::Reading, as_json: bool) -> String {
    let sample = sample(reading.sample.as_ref());
    if as_json {
        let (item, success, message) = (&reading.item, reading.success, &reading.message);
        return json!({ "item": item, "success": success, "message": message, "sample": sample }).to_string();
    }
    let item = printable(&reading.item);
    match reading.success {
        true => format!("{item} {} quality {}", sample["value"], sample["quality"]),
        false => format!("{item} could not be read: {}", printable(&reading.message)),
    }
}

pub(super) fn gap(gap: &v1::ReplayGap, as_json: bool) -> String {
    let (asked, oldest) = (gap.requested_after_sequence, gap.oldest_available_sequence);
    match as_json {
        true => json!({ "replay_gap": { "requested_after": asked, "oldest_available": oldest } }).to_string(),
        false => format!("-- events between {asked} and {oldest} are gone: look at the items anew --"),
    }
}

pub(super) fn event(event: &v1::Event, as_json: bool) -> String {
    let family = family(event.body.as_ref());
    let said = match &event.body {
        Some(event::Body::DataChange(change)) => sample(change.sample.as_ref()),
        Some(event::Body::BufferedDataChange(changes)) => {
            changes.samples.iter().map(|one| sample(Some(one))).collect::<Vec<_>>().into()
        }
        Some(event::Body::WriteComplete(complete)) => json!({ "command_id": complete.command_id }),
        Some(event::Body::OperationComplete(complete)) => json!({ "command_id": complete.command_id }),
        Some(event::Body::BackendGap(gap)) => json!({ "reason": gap.reason }),
        Some(event::Body::Alarm(one)) => json!({ "alarm_id": one.alarm_id, "active": one.active }),
        Some(event::Body::AlarmSnapshotComplete(_)) | None => Value::Null,
    };
    let (number, server, item) = (event.worker_sequence, event.server_handle, event.item_handle);
    match as_json {
        true => json!({
            "worker_sequence": number, "server_handle": server, "item_handle": item, "family": family, "said": said,
        })
        .to_string(),
        false => format!("{number} {server}/{item} {family} {}", printable(&said.to_string())),
    }
}

pub(super) fn alarm(alarm: &v1::Alarm, as_json: bool) -> String {
    if as_json {
        return json!({
            "alarm_id": alarm.alarm_id, "item": alarm.item, "active": alarm.active, "severity": alarm.severity,
            "acknowledged": alarm.acknowledged, "by": alarm.acknowledged_by, "message": alarm.message,
        })
        .to_string();
    }
    let is = if alarm.active { "active" } else { "cleared" };
    let seen = if alarm.acknowledged { ", acknowledged" } else { "" };
    format!("{} {is}{seen} ({}): {}", printable(&alarm.alarm_id), alarm.severity, printable(&alarm.message))
}
