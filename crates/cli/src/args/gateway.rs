//! `moorline gateway`: its grammar, and what was typed.

use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};

use super::grammar::json;

/// What is to be done with gateway sessions.
#[derive(Debug)]
pub(crate) enum GatewayCommand {
    Open { backend: String, name: String, tag: String, options: String },
    List { json: bool },
    Read { session: String, items: Vec<String>, json: bool },
    Write { session: String, item: String, value: String },
    Stream { session: String, after: u64, json: bool },
    Alarms { session: String, json: bool },
    Close { session: String },
    Kill { session: String, reason: String },
}

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
    let list = Clap::new("list").about("List the sessions that you may see").arg(as_json());
    let read =
        Clap::new("read").about("Read items").arg(session()).arg(as_json()).arg(
            Arg::new("items").value_name("ITEM").required(true).action(ArgAction::Append).help("The items' names"),
        );
    let write = Clap::new("write")
        .about("Write a value to an item")
        .arg(session())
        .arg(Arg::new("item").value_name("ITEM").required(true).help("The item's name"))
        .arg(
            Arg::new("value")
                .value_name("VALUE")
                .required(true)
                .allow_negative_numbers(true)
                .help("JSON: a number, true, false or null; anything else is text"),
        );
    let stream = Clap::new("stream").about("Show a session's events as they come").arg(session()).arg(as_json()).arg(
        Arg::new("after")
            .long("after")
            .value_name("NUMBER")
            .value_parser(value_parser!(u64))
            .default_value("0")
            .help("The last number that was seen: what followed comes first"),
    );
    let alarms = Clap::new("alarms").about("Show the active alarms, then every change").arg(session()).arg(as_json());
    let close = Clap::new("close").about("Close a session in order").arg(session());
    let kill = Clap::new("kill")
        .about("End a session's worker at once")
        .arg(session())
        .arg(Arg::new("reason").long("reason").value_name("TEXT").required(true).help("Why, for the audit trail"));
    Clap::new("gateway")
        .about("Use sessions of the session gateway")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([open, list, read, write, stream, alarms, close, kill])
        .after_help(
            "The session gateway is the one of the data directory, or at --url, such as http://127.0.0.1:7709.\n\n\
             Examples:\n  S=$(moorline gateway open)\n  moorline gateway read $S Plant.Temperature Plant.Setpoint\n  \
             moorline gateway write $S Plant.Setpoint 42.5\n  moorline gateway stream $S",
        )
}

/// What was typed; `None` for what the grammar does not let through.
pub(super) fn gateway_of(matches: &ArgMatches) -> Option<GatewayCommand> {
    let (action, of) = matches.subcommand()?;
    let text = |name: &str| of.get_one::<String>(name).cloned().unwrap_or_default();
    let session = || text("session");
    Some(match action {
        "open" => GatewayCommand::Open {
            backend: text("backend"),
            name: text("name"),
            tag: text("tag"),
            options: text("options"),
        },
        "list" => GatewayCommand::List { json: of.get_flag("json") },
        "read" => GatewayCommand::Read {
            session: session(),
            items: of.get_many::<String>("items").into_iter().flatten().cloned().collect(),
            json: of.get_flag("json"),
        },
        "write" => GatewayCommand::Write { session: session(), item: text("item"), value: text("value") },
        "stream" => GatewayCommand::Stream {
            session: session(),
            after: of.get_one("after").copied().unwrap_or_default(),
            json: of.get_flag("json"),
        },
        "alarms" => GatewayCommand::Alarms { session: session(), json: of.get_flag("json") },
        "close" => GatewayCommand::Close { session: session() },
        "kill" => GatewayCommand::Kill { session: session(), reason: text("reason") },
        _ => return None,
    })
}
