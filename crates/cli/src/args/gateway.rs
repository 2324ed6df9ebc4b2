//! `moorline gateway`: its grammar, and what was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};
use serde_json::{Map, Value};

use super::grammar::{duration, json};

mod invoke;

/// What is to be done with gateway sessions.
#[derive(Debug)]
pub(crate) enum GatewayCommand {
    Open { backend: String, name: String, tag: String, options: String },
    List { states: Vec<String>, json: bool },
    Get { session: String, json: bool },
    Invoke(Invoke),
    Read { session: String, items: Vec<String>, json: bool },
    Write { session: String, item: String, value: String, timeout: Option<Duration> },
    Stream(Stream),
    Alarms { session: String, json: bool },
    Acknowledge { session: String, alarm: String, comment: String },
    Close { session: String },
    Kill { session: String, reason: String },
}

/// Events that are to be shown.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) session: String,
    /// Items that are advised for as long as the events are shown.
    pub(crate) items: Vec<String>,
    /// A line for each event, also on a terminal.
    pub(crate) lines: bool,
    /// The last number that was seen.
    pub(crate) after: u64,
    pub(crate) json: bool,
}

/// A command that is to be carried out.
#[derive(Debug)]
pub(crate) struct Invoke {
    pub(crate) session: String,
    /// Its name; empty if it has none.
    pub(crate) id: String,
    pub(crate) timeout: Option<Duration>,
    /// Whether to wait until what the command begins is complete.
    pub(crate) wait: bool,
    pub(crate) command: InvokeCommand,
    pub(crate) json: bool,
}

/// How a command was said.
#[derive(Debug)]
pub(crate) enum InvokeCommand {
    /// With flags.
    Typed {
        /// Its name in the API.
        name: &'static str,
        fields: Map<String, Value>,
        /// A field that is to be read from a file.
        secret: Option<(&'static str, PathBuf)>,
    },
    /// As JSON; `-` is standard input.
    Json(String),
    /// In both ways, which may differ.
    Twice,
    /// Not at all.
    Missing,
}

/// The words for the states of a session.
pub(crate) const STATES: [&str; 8] =
    ["creating", "starting_worker", "handshaking", "ready", "reattaching", "closing", "closed", "faulted"];

/// The grammar.
pub(super) fn grammar() -> Clap {
    let session = || Arg::new("session").value_name("SESSION").required(true).help("The session's id");
    let option =
        |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value).default_value("");
    let as_json = || json("Print JSON, one line each");
    let open = Clap::new("open")
        .about("Open a session and print its id")
        .arg(option("backend", "NAME").hide_default_value(true).help("Which back end [default: the configured one]"))
        .arg(option("name", "NAME").hide_default_value(true).help("What to call the session"))
        .arg(
            option("tag", "TAG")
                .hide_default_value(true)
                .help("One of your tags: who has it too may look at the session"),
        )
        .arg(option("options", "JSON").hide_default_value(true).help("How the back end is set up, a JSON object"));
    let list = Clap::new("list").about("List the sessions that you may see").arg(as_json()).arg(
        Arg::new("state")
            .long("state")
            .value_name("STATE")
            .action(ArgAction::Append)
            .value_delimiter(',')
            .value_parser(PossibleValuesParser::new(STATES))
            .help("Only sessions in this state; may be given several times"),
    );
    let get = Clap::new("get").about("Show everything that is known of a session").arg(session()).arg(as_json());
    let read =
        Clap::new("read").about("Read items").arg(session()).arg(as_json()).arg(
            Arg::new("items").value_name("ITEM").required(true).action(ArgAction::Append).help("The items' names"),
        );
    let write = Clap::new("write")
        .about("Write a value to an item, and wait until that is complete")
        .arg(session())
        .arg(Arg::new("item").value_name("ITEM").required(true).help("The item's name"))
        .arg(
            Arg::new("value")
                .value_name("VALUE")
                .required(true)
                .allow_negative_numbers(true)
                .help("JSON: a number, true, false or null; anything else is text"),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("DURATION")
                .value_parser(duration)
                .help("How long that may take, such as 5s [default: the session's]"),
        )
        .after_help(
            "The exit code is 5 if the back end has not written it, or has not said so in time: then it may yet be\n\
             written.",
        );
    let stream = Clap::new("stream")
        .about("Show a session's events as they come: on a terminal as a live table of its items")
        .arg(session())
        .arg(
            Arg::new("items")
                .value_name("ITEM")
                .action(ArgAction::Append)
                .help("Items to advise for as long as this lasts; none for those that the session has"),
        )
        .arg(as_json())
        .arg(
            Arg::new("lines")
                .long("lines")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help("Print every event in a line of its own, also on a terminal"),
        )
        .arg(
            Arg::new("after")
                .long("after")
                .value_name("NUMBER")
                .value_parser(value_parser!(u64))
                .default_value("0")
                .help("The last number that was seen: what followed comes first"),
        )
        .after_help(
            "A lost connection and a gateway that was killed are waited for, and the stream goes on behind\n\
             what was seen last. What the gateway no longer has is shown as a gap: the items are read anew.\n\n\
             On a terminal q ends the table, with exit code 0, and Ctrl-C any stream. The session goes on.\n\n\
             Examples:\n  moorline gateway stream $S Plant.Temperature Plant.Ramp\n  \
             moorline gateway stream $S --json | jq -c '[.item, .said.value]'",
        );
    let alarms = Clap::new("alarms").about("Show the active alarms, then every change").arg(session()).arg(as_json());
    let acknowledge = Clap::new("acknowledge")
        .about("Acknowledge an alarm")
        .arg(session())
        .arg(Arg::new("alarm").value_name("ALARM").required(true).help("The alarm's id, as `alarms` shows it"))
        .arg(option("comment", "TEXT").hide_default_value(true).help("What there is to say about it"));
    let close = Clap::new("close").about("Close a session in order").arg(session());
    let kill = Clap::new("kill")
        .about("End a session's worker at once")
        .arg(session())
        .arg(Arg::new("reason").long("reason").value_name("TEXT").required(true).help("Why, for the audit trail"));
    Clap::new("gateway")
        .about("Use sessions of the session gateway")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            open,
            list,
            get,
            read,
            write,
            invoke::grammar(session()),
            stream,
            alarms,
            acknowledge,
            close,
            kill,
        ])
        .after_help(
            "The session gateway is the one of the data directory, or at --url, such as http://127.0.0.1:7709.\n\n\
             Examples:\n  S=$(moorline gateway open)\n  moorline gateway read $S Plant.Temperature Plant.Setpoint\n  \
             moorline gateway write $S Plant.Setpoint 42.5\n  \
             moorline gateway invoke $S get-session-state\n  \
             moorline gateway stream $S Plant.Temperature Plant.Ramp",
        )
}

/// What was typed; `None` for what the grammar does not let through.
pub(super) fn gateway_of(matches: &ArgMatches) -> Option<GatewayCommand> {
    let (action, of) = matches.subcommand()?;
    let text = |name: &str| of.get_one::<String>(name).cloned().unwrap_or_default();
    let texts = |name: &str| of.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
    let session = || text("session");
    Some(match action {
        "open" => GatewayCommand::Open {
            backend: text("backend"),
            name: text("name"),
            tag: text("tag"),
            options: text("options"),
        },
        "list" => GatewayCommand::List { states: texts("state"), json: of.get_flag("json") },
        "get" => GatewayCommand::Get { session: session(), json: of.get_flag("json") },
        "invoke" => GatewayCommand::Invoke(invoke::read(session(), of)),
        "read" => GatewayCommand::Read { session: session(), items: texts("items"), json: of.get_flag("json") },
        "write" => GatewayCommand::Write {
            session: session(),
            item: text("item"),
            value: text("value"),
            timeout: of.get_one("timeout").copied(),
        },
        "stream" => GatewayCommand::Stream(Stream {
            session: session(),
            items: texts("items"),
            lines: of.get_flag("lines"),
            after: of.get_one("after").copied().unwrap_or_default(),
            json: of.get_flag("json"),
        }),
        "alarms" => GatewayCommand::Alarms { session: session(), json: of.get_flag("json") },
        "acknowledge" => {
            GatewayCommand::Acknowledge { session: session(), alarm: text("alarm"), comment: text("comment") }
        }
        "close" => GatewayCommand::Close { session: session() },
        "kill" => GatewayCommand::Kill { session: session(), reason: text("reason") },
        _ => return None,
    })
}
