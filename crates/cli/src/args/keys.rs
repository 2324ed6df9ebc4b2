//! `moorline keys`: its grammar, and what was typed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command as Clap, ValueHint, value_parser};
use moorline_types::{
    AgentPattern, BudgetCap, Constraints, Grants, KeyId, LeaseCap, PrincipalId, Quotas, Scopes, Tag, limits,
};
use moorline_wire::Name;

use super::grammar::{age, json};

/// What is to be done about API keys.
#[derive(Debug)]
pub(crate) enum Keys {
    Create { new: Box<NewKey>, told: Told },
    List { json: bool },
    Revoke { key: KeyId },
    Rotate { key: KeyId, overlap: Option<Duration>, told: Told },
}

/// A key to be made.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) name: Name,
    pub(crate) principal: PrincipalId,
    pub(crate) grants: Box<Grants>,
    pub(crate) expires_in: Option<Duration>,
}

/// Where a secret is told, once.
#[derive(Debug)]
pub(crate) struct Told {
    /// A file that there is not yet; standard output without one.
    pub(crate) out: Option<PathBuf>,
    pub(crate) json: bool,
}

/// `namespace=pattern`.
#[derive(Debug, Clone)]
struct CapEntry(Box<str>, Box<str>);

fn cap_entry(text: &str) -> Result<CapEntry, &'static str> {
    match text.split_once('=') {
        Some((namespace, pattern)) if !namespace.is_empty() && !pattern.is_empty() => {
            Ok(CapEntry(namespace.into(), pattern.into()))
        }
        _ => Err("a cap is NAMESPACE=PATTERN, such as 'fs.read=/data/**'"),
    }
}

pub(super) fn keys() -> Clap {
    let create = Clap::new("create")
        .about("Make a key and show its secret, once")
        .args(create_args())
        .args(told_args())
        .after_help(
            "Scopes: submit, observe and cancel, for one's own jobs (the three together: jobs); observe_all and \
             control_all, for everybody's; administer, for the gateway. admin is all of them, and so in effect is \
             administer, as its bearer can make other keys.\n\n\
             Examples:\n  moorline keys create --principal ci --out ci.key --agent 'census*' --max-runtime 1h\n  \
             moorline keys create --principal grafana --scope observe_all --expires-in 90d",
        );
    let list = Clap::new("list").about("List the keys, without their secrets").arg(json("Print JSON, one key a line"));
    let revoke = Clap::new("revoke")
        .about("Revoke a key: it lets nobody in any more, and whoever it has let in is disconnected")
        .arg(key())
        .after_help("Examples:\n  moorline keys revoke key_01KRHDRWGW0W3GE1R70W3GE1R7");
    let rotate = Clap::new("rotate")
        .about("Give a key another secret and show it, once")
        .arg(key())
        .arg(
            option("overlap", "DURATION")
                .value_parser(age)
                .help("How long the secret before is good, such as 0s or 2d [default: 1h]"),
        )
        .args(told_args())
        .after_help("Examples:\n  moorline keys rotate key_01KRHDRWGW0W3GE1R70W3GE1R7 --out ci.key.new");
    Clap::new("keys")
        .about("Make, list, rotate and revoke API keys, as an administrator")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(create)
        .subcommand(list)
        .subcommand(revoke)
        .subcommand(rotate)
        .after_help(
            "Asks the gateway, which has to run, here or elsewhere (--url); what changes holds at once.\n\n\
             Examples:\n  moorline keys create --principal ci --out ci.key\n  moorline keys list",
        )
}

fn option(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value)
}

fn many(name: &'static str, value: &'static str) -> Arg {
    option(name, value).action(ArgAction::Append)
}

fn number(name: &'static str) -> Arg {
    option(name, "N").value_parser(value_parser!(u64).range(1..))
}

fn key() -> Arg {
    Arg::new("key").value_name("KEY").required(true).value_parser(value_parser!(KeyId)).help("Its id, from the list")
}

fn create_args() -> Vec<Arg> {
    let most = "At most";
    vec![
        option("principal", "NAME")
            .required(true)
            .value_parser(value_parser!(PrincipalId))
            .help("Whom it authenticates; several keys may be one principal's"),
        option("name", "TEXT")
            .value_parser(value_parser!(Name))
            .help("What to call it [default: the principal's name]"),
        many("scope", "SCOPE")
            .value_delimiter(',')
            .value_parser(value_parser!(Scopes))
            .default_value("jobs")
            .help("What it is for; may be given several times"),
        many("tag", "TAG")
            .value_delimiter(',')
            .value_parser(value_parser!(Tag))
            .help("A mark on its jobs; keys with a tag of a job may watch it"),
        option("expires-in", "DURATION").value_parser(age).help("When it ends by itself, such as 90d"),
        many("agent", "PATTERN")
            .value_delimiter(',')
            .value_parser(value_parser!(AgentPattern))
            .help_heading(most)
            .help("Agents that it may use: names, or beginnings of names followed by *"),
        many("lease-cap", "NAMESPACE=PATTERN")
            .value_parser(cap_entry)
            .help_heading(most)
            .help("The most that a lease may name; with one, a namespace without one may not be named"),
        many("max-budget", "CURRENCY:AMOUNT")
            .value_delimiter(',')
            .value_parser(value_parser!(BudgetCap))
            .help_heading(most)
            .help("What a job may spend, such as USD:5.00"),
        option("max-runtime", "DURATION")
            .value_parser(age)
            .help_heading(most)
            .help("How long a job may run, such as 1h"),
        number("max-sessions").help_heading(most).help("Sessions of the principal"),
        number("max-jobs").help_heading(most).help("Unfinished jobs of the principal"),
        number("max-queued-jobs").help_heading(most).help("Jobs of the principal that no worker has begun"),
        number("max-submits-per-sec").help_heading(most).help("Submissions in a second"),
        number("max-stored-bytes")
            .help_heading(most)
            .help("Bytes of records of its jobs and sessions, beyond which nothing is submitted"),
    ]
}

fn told_args() -> Vec<Arg> {
    vec![
        option("out", "FILE")
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help("Write the secret to a new file that only its owner may read, instead of showing it"),
        json("Print one JSON object"),
    ]
}

pub(super) fn keys_of(matches: &ArgMatches) -> Option<Keys> {
    let (action, of) = matches.subcommand()?;
    let told = || Told { out: of.get_one::<PathBuf>("out").cloned(), json: of.get_flag("json") };
    let key = || of.get_one::<KeyId>("key").copied();
    Some(match action {
        "create" => Keys::Create { new: Box::new(new_key(of)?), told: told() },
        "revoke" => Keys::Revoke { key: key()? },
        "rotate" => Keys::Rotate { key: key()?, overlap: of.get_one("overlap").copied(), told: told() },
        _ => Keys::List { json: of.get_flag("json") },
    })
}

fn new_key(of: &ArgMatches) -> Option<NewKey> {
    fn all<T: Clone + Send + Sync + 'static>(of: &ArgMatches, name: &str) -> impl Iterator<Item = T> {
        of.get_many::<T>(name).into_iter().flatten().cloned()
    }

    let number = |name: &str| of.get_one::<u64>(name).copied();
    let mut cap: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for CapEntry(namespace, pattern) in all(of, "lease-cap") {
        cap.entry(namespace).or_default().push(pattern);
    }
    let principal = of.get_one::<PrincipalId>("principal").cloned()?;
    let short = |text: &str| text.get(..text.floor_char_boundary(limits::MAX_TAG_BYTES)).unwrap_or_default().to_owned();
    let name = of.get_one::<Name>("name").cloned().or_else(|| short(principal.as_str()).parse().ok())?;
    let constraints = Constraints {
        agents: all(of, "agent").collect(),
        lease: (!cap.is_empty()).then_some(LeaseCap(cap)),
        max_budget: all(of, "max-budget").collect(),
        max_runtime_sec: of.get_one::<Duration>("max-runtime").map(|length| length.as_secs().max(1)),
    };
    let quotas = Quotas {
        sessions: number("max-sessions"),
        jobs: number("max-jobs"),
        queued: number("max-queued-jobs"),
        submits_per_sec: number("max-submits-per-sec"),
        stored_bytes: number("max-stored-bytes"),
    };
    let scopes = all(of, "scope").fold(Scopes::NONE, Scopes::union);
    let grants = Grants { scopes, tags: all(of, "tag").collect(), constraints, quotas };
    Some(NewKey { name, principal, grants: Box::new(grants), expires_in: of.get_one("expires-in").copied() })
}
