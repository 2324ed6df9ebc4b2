//! From the API's messages to what sessions and back ends are asked for. What makes no sense is refused here, by the
//! name of its field.

use moorline_backend::contract::{Command, ItemAt, ItemHandle, Password, ServerHandle, UserHandle, Value, Write};
use moorline_gateway_proto::v1::{self, command::Body};
use moorline_types::{Json, Millis, Timestamp};
use tonic::Status;

use super::status::invalid;

/// A length of time that is more than nothing.
pub(super) fn length(field: &str, given: Option<prost_types::Duration>) -> Result<Option<Millis>, Box<Status>> {
    let Some(given) = given else { return Ok(None) };
    let wrong = || Box::new(invalid(format!("{field} must be a length of time of at least a millisecond")));
    let seconds = u64::try_from(given.seconds).map_err(|_| wrong())?;
    let nanos = u64::try_from(given.nanos).map_err(|_| wrong())?;
    let millis = seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000);
    if millis == 0 { Err(wrong()) } else { Ok(Some(Millis::new(millis))) }
}

/// Text that is there or is not.
pub(super) fn text(given: String) -> Option<String> {
    Some(given).filter(|given| !given.is_empty())
}

/// A JSON object, or nothing.
pub(super) fn object(field: &str, given: &str) -> Result<Option<Json>, Box<Status>> {
    if given.is_empty() {
        return Ok(None);
    }
    Json::parse(given).map(Some).map_err(|error| Box::new(invalid(format!("{field}: {error}"))))
}

/// A command.
pub(super) fn command(given: Option<v1::Command>) -> Result<Command, Box<Status>> {
    let body = given.and_then(|command| command.body);
    Ok(match body.ok_or_else(|| Box::new(invalid("command.body must be one of the commands")))? {
        Body::Register(given) => Command::Register { client: given.client_name },
        Body::Unregister(given) => Command::Unregister { server: ServerHandle(given.server_handle) },
        Body::AddItem(given) => Command::AddItem {
            server: ServerHandle(given.server_handle),
            item: given.item,
            context: given.context,
            buffered: given.buffered,
        },
        Body::RemoveItem(given) => Command::RemoveItem(at(given.server_handle, given.item_handle)),
        Body::Advise(given) => {
            Command::Advise { at: at(given.server_handle, given.item_handle), supervisory: given.supervisory }
        }
        Body::UnAdvise(given) => Command::UnAdvise(at(given.server_handle, given.item_handle)),
        Body::Suspend(given) => Command::Suspend(at(given.server_handle, given.item_handle)),
        Body::Activate(given) => Command::Activate(at(given.server_handle, given.item_handle)),
        Body::Write(given) => Command::Write(Write {
            at: at(given.server_handle, given.item_handle),
            value: value(given.value)?,
            user: UserHandle(given.user_handle),
            verifier: None,
            source_time: time("source_time", given.source_time)?,
        }),
        Body::WriteSecured(given) => Command::Write(Write {
            at: at(given.server_handle, given.item_handle),
            value: value(given.value)?,
            user: UserHandle(given.user_handle),
            verifier: Some(UserHandle(given.verifier_handle)),
            source_time: time("source_time", given.source_time)?,
        }),
        Body::AuthenticateUser(given) => Command::AuthenticateUser {
            server: ServerHandle(given.server_handle),
            user: given.user,
            password: Password::new(given.password),
        },
        Body::SetBufferedUpdateInterval(given) => Command::SetBufferedUpdateInterval {
            server: ServerHandle(given.server_handle),
            interval_ms: given.interval_ms,
        },
        Body::Read(given) => Command::Read { items: given.items },
        Body::SubscribeAlarms(given) => Command::SubscribeAlarms { area: given.area },
        Body::RefreshAlarms(v1::RefreshAlarms {}) => Command::RefreshAlarms,
        Body::GetSessionState(v1::GetSessionState {}) => Command::SessionState,
        Body::GetWorkerInfo(v1::GetWorkerInfo {}) => Command::WorkerInfo,
        Body::Bulk(given) => {
            let commands: Result<Vec<_>, _> = given.commands.into_iter().map(|one| command(Some(one))).collect();
            Command::Bulk { commands: commands? }
        }
    })
}

const fn at(server: i32, item: i32) -> ItemAt {
    ItemAt { server: ServerHandle(server), item: ItemHandle(item) }
}

fn value(given: Option<v1::Value>) -> Result<Value, Box<Status>> {
    use v1::value::Kind;

    Ok(match given.and_then(|value| value.kind) {
        None => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::IntegerValue(value)) => Value::Integer(value),
        Some(Kind::DoubleValue(value)) if value.is_finite() => Value::Double(value),
        Some(Kind::DoubleValue(_)) => return Err(Box::new(invalid("value must be a finite number"))),
        Some(Kind::StringValue(value)) => Value::Text(value),
    })
}

fn time(field: &str, given: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Box<Status>> {
    let Some(given) = given else { return Ok(None) };
    let wrong = || Box::new(invalid(format!("{field} must lie between the years 1970 and 9999")));
    let seconds = u64::try_from(given.seconds).map_err(|_| wrong())?;
    let nanos = u64::try_from(given.nanos).map_err(|_| wrong())?;
    let millis = seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000);
    if millis > Timestamp::MAX.as_unix_millis() {
        return Err(wrong());
    }
    Ok(Some(Timestamp::from_unix_millis(millis)))
}
