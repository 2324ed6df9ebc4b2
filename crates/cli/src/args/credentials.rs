//! `moorline credentials`: its grammar, and what was typed.

use clap::{Arg, ArgMatches, Command as Clap, value_parser};
use moorline_types::CredentialId;

use super::grammar::json;

/// What is to be done about credentials for upstreams.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    List { json: bool },
    Retry { json: bool },
    Rotate { job: String, name: Option<CredentialId>, json: bool },
}

pub(super) fn credentials() -> Clap {
    let list = Clap::new("list")
        .about("Show whether credentials are issued, and those that could not be withdrawn yet")
        .arg(json("Print JSON, one line"));
    let retry = Clap::new("retry")
        .about("Have the upstream asked at once for everything that is to be withdrawn")
        .arg(json("Print JSON, one line"));
    let rotate = Clap::new("rotate")
        .about("Give a credential of a job another value at once, and have the one before withdrawn")
        .arg(Arg::new("job").value_name("JOB").required(true).help("The job's id"))
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .value_parser(value_parser!(CredentialId))
                .help("The credential's id; without it, the only one that the job has"),
        )
        .arg(json("Print JSON, one line"));
    Clap::new("credentials")
        .about("Look after credentials for upstreams, as an administrator")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(list)
        .subcommand(retry)
        .subcommand(rotate)
        .after_help(
            "What cannot be withdrawn is asked for again and again by the gateway; this shows what is left, and why. \
             Values are never shown.\n\n\
             Examples:\n  moorline credentials list\n  moorline credentials retry\n  \
             moorline credentials rotate job_01JABCDEFGHJKMNPQRSTVWXYZ0",
        )
}

pub(super) fn credentials_of(of: &ArgMatches) -> Option<Credentials> {
    let (name, of) = of.subcommand()?;
    let json = of.get_flag("json");
    Some(match name {
        "retry" => Credentials::Retry { json },
        "rotate" => {
            let job = of.get_one::<String>("job")?.clone();
            Credentials::Rotate { job, name: of.get_one("name").copied(), json }
        }
        _ => Credentials::List { json },
    })
}
