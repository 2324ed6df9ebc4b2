//! `moorline credentials`: its grammar, and what was typed.

use clap::{ArgMatches, Command as Clap};

use super::grammar::json;

/// What is to be done about credentials for upstreams.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Credentials {
    List { json: bool },
    Retry { json: bool },
}

pub(super) fn credentials() -> Clap {
    let list = Clap::new("list")
        .about("Show whether credentials are issued, and those that could not be withdrawn yet")
        .arg(json("Print JSON, one line"));
    let retry = Clap::new("retry")
        .about("Have the upstream asked at once for everything that is to be withdrawn")
        .arg(json("Print JSON, one line"));
    Clap::new("credentials")
        .about("Look after credentials for upstreams, as an administrator")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(list)
        .subcommand(retry)
        .after_help(
            "What cannot be withdrawn is asked for again and again by the gateway; this shows what is left, and why. \
             Values are never shown.\n\n\
             Examples:\n  moorline credentials list\n  moorline credentials retry",
        )
}

pub(super) fn credentials_of(of: &ArgMatches) -> Option<Credentials> {
    let (name, of) = of.subcommand()?;
    let json = of.get_flag("json");
    Some(if name == "retry" { Credentials::Retry { json } } else { Credentials::List { json } })
}
