//! The API's messages as JSON: commands that a person has typed, and answers for scripts.
//!
//! The names are the API's, and so is what makes sense: both are read from its descriptors. One thing is eased: where an
//! item's value is asked for, plain JSON is enough (`42.5` for `{"double_value": 42.5}`).

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use moorline_gateway_client::Invoked;
use moorline_gateway_proto::v1;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::{Value, json};

use crate::args::InvokeCommand;
use crate::exit::{Exit, Stop};

/// The most that is read of a command, in bytes: as much as the gateway takes in one message by default.
const MAX_COMMAND_BYTES: u64 = 16 << 20;

const COMMAND: &str = "moorline.gateway.v1.Command";
const VALUE: &str = "moorline.gateway.v1.Value";
const RESULT: &str = "moorline.gateway.v1.CommandResult";
const COMPLETION: &str = "moorline.gateway.v1.Completion";

/// The command that was asked for.
pub(super) fn command(asked: InvokeCommand) -> Result<v1::Command> {
    read(asked).context(Stop(Exit::Usage))
}

fn read(asked: InvokeCommand) -> Result<v1::Command> {
    let said = match asked {
        InvokeCommand::Typed { name, mut fields, secret } => {
            if let Some((field, path)) = secret {
                fields.insert(field.to_owned(), Value::String(first_line(&path)?));
            }
            json!({ name: fields })
        }
        InvokeCommand::Json(text) => {
            let text = if text == "-" { standard_input()? } else { text };
            serde_json::from_str(&text).context("--command is no JSON")?
        }
        InvokeCommand::Twice => bail!("the command is said twice; give it with flags or with --command"),
        InvokeCommand::Missing => bail!("there is no command; `moorline gateway invoke --help` shows them"),
    };
    of_json(said)
}

fn of_json(mut said: Value) -> Result<v1::Command> {
    let message = descriptor(COMMAND)?;
    widen(&message, &mut said);
    let commands = || message.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>().join(", ");
    let read = DynamicMessage::deserialize(message.clone(), said).map_err(|error| anyhow!("the command: {error}"))?;
    let command: v1::Command = read.transcode_to().context("the command")?;
    if command.body.is_none() {
        bail!("the command is none of {}", commands());
    }
    Ok(command)
}

/// Spells out values that are said as plain JSON.
fn widen(message: &MessageDescriptor, said: &mut Value) {
    let Value::Object(fields) = said else { return };
    for (name, value) in fields {
        let found = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
        let Some(Kind::Message(inner)) = found.map(|field| field.kind()) else { continue };
        match value {
            Value::Array(several) => several.iter_mut().for_each(|one| widen(&inner, one)),
            Value::Object(_) => widen(&inner, value),
            plain if inner.full_name() == VALUE => *plain = spelled_out(plain),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn spelled_out(plain: &Value) -> Value {
    match plain {
        Value::Bool(value) => json!({ "bool_value": value }),
        Value::Number(value) if value.is_i64() => json!({ "integer_value": value }),
        Value::Number(value) => json!({ "double_value": value }),
        Value::String(value) => json!({ "string_value": value }),
        Value::Null | Value::Array(_) | Value::Object(_) => json!({}),
    }
}

fn descriptor(name: &str) -> Result<MessageDescriptor> {
    let pool = DescriptorPool::decode(v1::DESCRIPTORS).context("the API's descriptors")?;
    pool.get_message_by_name(name).with_context(|| format!("the API has no {name}"))
}

/// An answer with every field, by its name in the API.
pub(super) fn answer(invoked: &Invoked) -> Result<Value> {
    let result = as_json(RESULT, &invoked.result)?;
    let completions: Result<Vec<_>> = invoked.completions.iter().map(|one| as_json(COMPLETION, one)).collect();
    Ok(json!({
        "command_id": invoked.id.as_str(), "worker_sequence": invoked.worker_sequence, "repeated": invoked.repeated,
        "result": result, "completions": completions?,
    }))
}

fn as_json(name: &str, message: &impl Message) -> Result<Value> {
    let mut dynamic = DynamicMessage::new(descriptor(name)?);
    dynamic.transcode_from(message).context("the answer")?;
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false).skip_default_fields(false);
    dynamic.serialize_with_options(serde_json::value::Serializer, &options).context("the answer")
}

fn standard_input() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(MAX_COMMAND_BYTES + 1).read_to_string(&mut text);
    read.context("the command cannot be read from standard input")?;
    if text.len() as u64 > MAX_COMMAND_BYTES {
        bail!("the command has more than {MAX_COMMAND_BYTES} bytes");
    }
    Ok(text)
}

/// The first line of a file, or of standard input.
fn first_line(path: &Path) -> Result<String> {
    let text = match path.as_os_str() == "-" {
        true => standard_input()?,
        false => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
    };
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What somebody has typed as an item's value: JSON if it is, and else text.
pub(super) fn value(text: &str) -> Result<moorline_gateway_client::Value> {
    use moorline_gateway_client::Value as Held;

    let wrong = |problem: &str| Err(anyhow!("{problem}").context(Stop(Exit::Usage)));
    Ok(match serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())) {
        Value::Null => Held::Null,
        Value::Bool(value) => Held::Bool(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Held::Integer(whole),
            (None, Some(number)) => Held::Double(number),
            (None, None) => return wrong(&format!("{text} is no number that can be written")),
        },
        Value::String(text) => Held::Text(text),
        Value::Array(_) | Value::Object(_) => return wrong(&format!("an item has no {text}")),
    })
}

#[cfg(test)]
mod tests {
    use moorline_gateway_proto::v1::command::Body;
    use moorline_gateway_proto::v1::value::Kind;

    use super::*;

    fn of(text: &str) -> Result<Body, String> {
        let read = read(InvokeCommand::Json(text.to_owned()));
        read.map(|command| command.body.unwrap()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_command_is_read_by_the_apis_names_and_values_may_be_plain() {
        for (said, expected) in [
            ("42.5", Some(Kind::DoubleValue(42.5))),
            ("7", Some(Kind::IntegerValue(7))),
            ("-7", Some(Kind::IntegerValue(-7))),
            ("true", Some(Kind::BoolValue(true))),
            ("\"on\"", Some(Kind::StringValue("on".to_owned()))),
            ("{}", None),
            ("{\"double_value\":7}", Some(Kind::DoubleValue(7.0))),
            ("{\"integerValue\":\"7\"}", Some(Kind::IntegerValue(7))),
        ] {
            let text = format!("{{\"bulk\":{{\"commands\":[{{\"write\":{{\"serverHandle\":1,\"value\":{said}}}}}]}}}}");
            let Ok(Body::Bulk(bulk)) = of(&text) else { panic!("{said}: {:?}", of(&text)) };
            let Some(Body::Write(write)) = &bulk.commands[0].body else { panic!("{bulk:?}") };
            assert_eq!((write.server_handle, write.value.as_ref().and_then(|value| value.kind.clone())), (1, expected));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_wrong_with_it() {
        for (said, word) in [
            ("{", "--command is no JSON"),
            ("7", "the command"),
            ("{}", "none of register, unregister"),
            ("{\"reed\":{}}", "reed"),
            ("{\"read\":{\"item\":[\"A\"]}}", "item"),
            ("{\"read\":{\"items\":7}}", "the command"),
            ("{\"advise\":{\"server_handle\":\"one\"}}", "the command"),
            ("{\"advise\":{\"server_handle\":99999999999}}", "the command"),
            ("{\"read\":{},\"refresh_alarms\":{}}", "the command"),
            ("{\"write\":{\"source_time\":\"yesterday\"}}", "the command"),
        ] {
            let error = of(said).unwrap_err();
            assert!(error.contains(word), "{said}: {error}");
        }
    }
}
