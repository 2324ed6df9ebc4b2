//! `moorline gateway invoke`: the commands of the contract, as flags.
//!
//! One table says which commands there are and what each takes; the grammar and what is sent follow from it. A test
//! compares it with the API, so that a command or a field that is added there is not forgotten here.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command as Clap, ValueHint, value_parser};
use serde_json::{Map, Value, json};

use super::super::grammar::{duration, json};
use super::{Invoke, InvokeCommand};

/// What a field holds, and so how it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A handle.
    Handle,
    /// Milliseconds.
    Millis,
    Text,
    /// Names, of which there may be several: the arguments of the command.
    Names,
    /// What an item holds.
    Value,
    /// A point in time, as RFC 3339 writes it.
    Moment,
    /// A flag.
    Yes,
    /// What must not be seen in a list of processes: it is read from a file.
    Secret,
}

/// A field of a command.
#[derive(Debug, Clone, Copy)]
struct Field {
    /// Its name in the API; the flag has hyphens.
    name: &'static str,
    kind: Kind,
    is_required: bool,
    help: &'static str,
}

const fn required(name: &'static str, kind: Kind, help: &'static str) -> Field {
    Field { name, kind, is_required: true, help }
}

const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Field {
    Field { name, kind, is_required: false, help }
}

const SERVER: Field = required("server_handle", Kind::Handle, "The client session of the back end, from `register`");
const ITEM: Field = required("item_handle", Kind::Handle, "The item, from `add-item`");
const VALUE: Field =
    required("value", Kind::Value, "JSON: a number, true, false or null; anything else is text, as is what is quoted");
const USER: Field = optional("user_handle", Kind::Handle, "On whose behalf, from `authenticate-user`");
const SOURCE_TIME: Field = optional(
    "source_time",
    Kind::Moment,
    "The value's own time, such as 2026-05-13T19:42:00Z, if the back end takes one",
);

/// A command: its name in the API, what it does, and what it takes.
type Command = (&'static str, &'static str, &'static [Field]);

const COMMANDS: &[Command] = &[
    (
        "register",
        "Open a client session of the back end; prints its server handle",
        &[optional("client_name", Kind::Text, "What to call it")],
    ),
    ("unregister", "Close a client session of the back end, and remove its items", &[SERVER]),
    (
        "add_item",
        "Name an item; prints its item handle",
        &[
            SERVER,
            required("item", Kind::Text, "The item's name. One that the back end does not know is told as an event"),
            optional("context", Kind::Text, "What the name is relative to"),
            optional("buffered", Kind::Yes, "Collect its changes, and tell them once in an interval"),
        ],
    ),
    ("remove_item", "Forget an item", &[SERVER, ITEM]),
    (
        "advise",
        "Begin an item's data changes; must come before a write",
        &[SERVER, ITEM, optional("supervisory", Kind::Yes, "Writes are the gateway's own and need no user")],
    ),
    ("un_advise", "End an item's data changes", &[SERVER, ITEM]),
    ("suspend", "Pause an item", &[SERVER, ITEM]),
    ("activate", "End an item's pause", &[SERVER, ITEM]),
    (
        "write",
        "Write an item that is advised; that it is complete is an event, or with --wait the answer",
        &[SERVER, ITEM, VALUE, USER, SOURCE_TIME],
    ),
    (
        "write_secured",
        "Write an item as one user, verified by another",
        &[
            SERVER,
            ITEM,
            VALUE,
            required("user_handle", Kind::Handle, "Who writes, from `authenticate-user`"),
            required("verifier_handle", Kind::Handle, "Who verifies; the same for a single signature"),
            SOURCE_TIME,
        ],
    ),
    (
        "authenticate_user",
        "Authenticate a user of the back end; prints its user handle",
        &[
            SERVER,
            required("user", Kind::Text, "The user"),
            required("password", Kind::Secret, "A file whose first line is the user's password; - for standard input"),
        ],
    ),
    (
        "set_buffered_update_interval",
        "Say how often collected changes are told; prints what it has become",
        &[SERVER, required("interval_ms", Kind::Millis, "In milliseconds")],
    ),
    ("read", "Read items by name", &[required("items", Kind::Names, "The items' names")]),
    (
        "subscribe_alarms",
        "Begin alarms as events: those that are active, then every change",
        &[optional("area", Kind::Text, "Only below this area")],
    ),
    ("refresh_alarms", "Have the active alarms said again", &[]),
    ("get_session_state", "Print what the worker holds: client sessions, items, commands", &[]),
    ("get_worker_info", "Print what the worker is", &[]),
];

/// The grammar.
pub(super) fn grammar(session: Arg) -> Clap {
    let options = [
        Arg::new("id")
            .long("id")
            .value_name("NAME")
            .help("Names the command: one that comes again under its name is not carried out again")
            .long_help(
                "Names the command: one that comes again under its name is not carried out again, and its answer is \
                 printed once more. Without one, a repetition is another command",
            ),
        Arg::new("timeout")
            .long("timeout")
            .value_name("DURATION")
            .value_parser(duration)
            .help("How long the answer may take, such as 5s [default: the session's]"),
        Arg::new("wait")
            .long("wait")
            .action(ArgAction::SetTrue)
            .help("Wait until what it begins is complete: a write, a pause, the end of one"),
        json("Print the whole answer as JSON, in one line"),
    ];
    let by_json = Arg::new("command")
        .long("command")
        .value_name("JSON")
        .help("The command as JSON, such as '{\"read\":{\"items\":[\"A\"]}}'; - for standard input");
    Clap::new("invoke")
        .about("Have a command carried out, or several")
        .arg(session)
        .arg(by_json)
        // Behind the flags of a command in its help.
        .args(options.map(|option| option.global(true).display_order(900)))
        .args_conflicts_with_subcommands(false)
        .subcommand_value_name("COMMAND")
        .disable_help_subcommand(true)
        .subcommands(COMMANDS.iter().map(command))
        .after_help(
            "The command is one of those above with its flags, or --command with JSON, whose fields are those\n\
             of moorline.gateway.v1; `bulk` has several commands, which are carried out one after the other,\n\
             in one round trip. A write is answered when the back end has taken it in; how it went is an event,\n\
             and with --wait a part of the answer. The exit code is 5 if the command, or one of several, was not\n\
             carried out.\n\n\
             Examples:\n  \
             H=$(moorline gateway invoke $S register --client-name line1)\n  \
             I=$(moorline gateway invoke $S add-item --server-handle $H --item Plant.Setpoint)\n  \
             moorline gateway invoke $S advise --server-handle $H --item-handle $I\n  \
             moorline gateway invoke $S --id set-1 write --server-handle $H --item-handle $I --value 42.5\n  \
             moorline gateway invoke $S --command '{\"bulk\":{\"commands\":[{\"read\":{\"items\":[\"Plant.Ramp\"]}},\n    \
             {\"get_worker_info\":{}}]}}' --json",
        )
}

fn command(&(name, about, fields): &Command) -> Clap {
    Clap::new(hyphenated(name)).about(about).args(fields.iter().map(arg))
}

fn arg(field: &Field) -> Arg {
    let arg = Arg::new(field.name).required(field.is_required).help(field.help);
    let flag = hyphenated(field.name);
    match field.kind {
        Kind::Names => return arg.value_name("ITEM").action(ArgAction::Append),
        Kind::Yes => return arg.long(flag).action(ArgAction::SetTrue),
        Kind::Handle => arg.value_name("HANDLE").value_parser(value_parser!(i32)),
        Kind::Millis => arg.value_name("MS").value_parser(value_parser!(u32)),
        Kind::Text => arg.value_name("TEXT"),
        Kind::Value => arg.value_name("VALUE").allow_negative_numbers(true),
        Kind::Moment => arg.value_name("TIME"),
        Kind::Secret => {
            let arg = arg.value_name("FILE").value_parser(value_parser!(PathBuf)).value_hint(ValueHint::FilePath);
            return arg.long(format!("{flag}-file"));
        }
    }
    .long(flag)
}

fn hyphenated(name: &str) -> String {
    name.replace('_', "-")
}

/// What was typed.
pub(super) fn read(session: String, of: &ArgMatches) -> Invoke {
    let command = match of.subcommand() {
        Some((name, flags)) => typed(name, flags),
        None => {
            of.get_one::<String>("command").map_or(InvokeCommand::Missing, |text| InvokeCommand::Json(text.clone()))
        }
    };
    let is_both = of.subcommand().is_some() && of.contains_id("command");
    Invoke {
        session,
        id: of.get_one::<String>("id").cloned().unwrap_or_default(),
        timeout: of.get_one("timeout").copied(),
        wait: of.get_flag("wait"),
        command: if is_both { InvokeCommand::Twice } else { command },
        json: of.get_flag("json"),
    }
}

fn typed(flag: &str, flags: &ArgMatches) -> InvokeCommand {
    let Some((name, _, fields)) = COMMANDS.iter().find(|(name, ..)| hyphenated(name) == flag) else {
        return InvokeCommand::Missing;
    };
    let given = fields.iter().filter_map(|field| Some((field.name.to_owned(), value(field, flags)?)));
    let fields_given: Map<String, Value> = given.collect();
    let secret = fields.iter().find(|field| field.kind == Kind::Secret);
    let secret = secret.and_then(|field| Some((field.name, flags.get_one::<PathBuf>(field.name)?.clone())));
    InvokeCommand::Typed { name, fields: fields_given, secret }
}

/// The field as JSON says it, if it was given.
fn value(field: &Field, flags: &ArgMatches) -> Option<Value> {
    match field.kind {
        Kind::Handle => flags.get_one::<i32>(field.name).map(|number| json!(number)),
        Kind::Millis => flags.get_one::<u32>(field.name).map(|number| json!(number)),
        Kind::Text | Kind::Moment => flags.get_one::<String>(field.name).map(|text| json!(text)),
        Kind::Value => flags
            .get_one::<String>(field.name)
            .map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))),
        Kind::Names => flags.get_many::<String>(field.name).map(|names| names.cloned().collect::<Vec<_>>().into()),
        Kind::Yes => flags.get_flag(field.name).then_some(Value::Bool(true)),
        Kind::Secret => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use moorline_gateway_proto::v1;
    use prost_reflect::DescriptorPool;

    use super::*;

    /// What only JSON can say.
    const BY_JSON_ONLY: &[&str] = &["bulk"];

    #[test]
    fn every_command_of_the_api_can_be_typed_with_every_field() {
        let pool = DescriptorPool::decode(v1::DESCRIPTORS).unwrap();
        let api = pool.get_message_by_name("moorline.gateway.v1.Command").unwrap();
        let expected: BTreeSet<_> = api
            .fields()
            .filter(|command| !BY_JSON_ONLY.contains(&command.name()))
            .map(|command| {
                let message = command.kind().as_message().unwrap().clone();
                let fields: BTreeSet<_> = message.fields().map(|field| field.name().to_owned()).collect();
                (command.name().to_owned(), fields)
            })
            .collect();
        let here: BTreeSet<_> = COMMANDS
            .iter()
            .map(|(name, _, fields)| {
                (name.to_string(), fields.iter().map(|field| field.name.to_owned()).collect::<BTreeSet<_>>())
            })
            .collect();
        assert_eq!(here, expected);
    }
}
