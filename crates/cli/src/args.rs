//! What the person typed.
//!
//! The flags of the gateway's configuration are made from the server's table of options, so that a new option needs no
//! line here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap_complete::Shell;
use moorline_client::ReconnectPolicy;
use moorline_server::config::ConfigOption;
use moorline_types::ResolvedAgent;
use moorline_wire::vendor::Overflow;

use crate::output::Color;

mod bench;
mod grammar;
pub(crate) use bench::Bench;
mod credentials;
mod gateway;
mod keys;
pub(crate) use credentials::Credentials;
pub(crate) use gateway::{GatewayCommand, InvokeCommand, Stream};
pub(crate) use grammar::command;
pub(crate) use keys::{Keys, NewKey, Told};

/// A command line.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) command: Command,
    pub(crate) connection: Connection,
    pub(crate) color: Color,
    pub(crate) verbose: u8,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Serve {
        stdio: bool,
        config: ConfigArgs,
    },
    Config(ConfigCommand),
    Demo(Demo),
    Submit(Submit),
    Watch(Watch),
    Result(Fetch),
    Cancel(Cancel),
    Jobs(Jobs),
    Gc(Collect),
    Audit(Audit),
    Keys(Keys),
    Credentials(Credentials),
    Gateway(GatewayCommand),
    Agents {
        json: bool,
    },
    Bench(Bench),
    Version {
        json: bool,
    },
    Completions(Shell),
    /// Hosts what the gateway that started this process asks for.
    Worker,
    ExternalWorker(ExternalWorker),
    Workers(Workers),
}

#[derive(Debug)]
pub(crate) enum ConfigCommand {
    Check(ConfigArgs),
    Show(ConfigArgs),
}

/// A worker of a gateway on another machine.
#[derive(Debug)]
pub(crate) struct ExternalWorker {
    pub(crate) address: String,
    pub(crate) agent: ResolvedAgent,
    pub(crate) capacity: u32,
    pub(crate) answers: bool,
    pub(crate) description: String,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) orphan_lifetime: Duration,
    pub(crate) plaintext: bool,
    pub(crate) command: Vec<String>,
}

/// What is to be done about enrolled workers.
#[derive(Debug)]
pub(crate) enum Workers {
    Enroll { name: String, agents: Vec<String> },
    List { json: bool },
    Revoke { name: String },
}

/// The gateway's configuration, as far as the command line gives it.
#[derive(Debug)]
pub(crate) struct ConfigArgs {
    pub(crate) file: Option<PathBuf>,
    /// Flags without their dashes, and their values.
    pub(crate) flags: BTreeMap<String, String>,
}

/// Where the gateway is, as far as the command line gives it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) url: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) ca_cert: Option<PathBuf>,
    /// The certificate that is shown, and its key.
    pub(crate) client_cert: Option<(PathBuf, PathBuf)>,
    pub(crate) reconnect: ReconnectPolicy,
}

#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) directory: PathBuf,
    pub(crate) json: bool,
    pub(crate) top: u64,
    pub(crate) report: Option<PathBuf>,
    /// Nothing is broken on purpose.
    pub(crate) calm: bool,
    /// Sessions of the session gateway, and not jobs.
    pub(crate) sessions: bool,
}

#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) agent: String,
    pub(crate) input: Option<String>,
    pub(crate) lease: Option<String>,
    pub(crate) max_runtime: Option<Duration>,
    pub(crate) expires_at: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    /// The job below which it is.
    pub(crate) parent: Option<String>,
    /// What that job is to call it.
    pub(crate) delegate_id: Option<String>,
    pub(crate) follow: bool,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) job: String,
    pub(crate) history: bool,
    /// With history: only what follows this number of the session that submitted the job.
    pub(crate) from: Option<u64>,
    pub(crate) overflow: Option<Overflow>,
    /// Also the jobs that it has delegated, and theirs.
    pub(crate) tree: bool,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) job: String,
    /// Standard output if there is none.
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Cancel {
    pub(crate) job: String,
    pub(crate) reason: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Jobs {
    pub(crate) status: Vec<String>,
    pub(crate) agent: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) limit: usize,
    pub(crate) all: bool,
    pub(crate) observable: bool,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Collect {
    pub(crate) dry_run: bool,
    pub(crate) older_than: Option<Duration>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Audit {
    pub(crate) since: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) decision: Option<String>,
    pub(crate) follow: bool,
    pub(crate) json: bool,
}

/// Reads the command line; ends the process with help or an explanation if there is nothing to be done.
pub(crate) fn parse() -> Parsed {
    read(&command().get_matches())
}

fn read(matches: &ArgMatches) -> Parsed {
    let (name, of) = matches.subcommand().unwrap_or(("", matches));
    let text = |name: &str| of.get_one::<String>(name).cloned();
    let path = |name: &str| of.get_one::<PathBuf>(name).cloned();
    let command = match name {
        "serve" => Command::Serve { stdio: of.get_flag("stdio"), config: config_of(of) },
        "config" => match of.subcommand() {
            Some(("show", of)) => Command::Config(ConfigCommand::Show(config_of(of))),
            Some((_, of)) => Command::Config(ConfigCommand::Check(config_of(of))),
            None => Command::Config(ConfigCommand::Check(config_of(of))),
        },
        "demo" => Command::Demo(Demo {
            directory: path("directory").unwrap_or_else(|| PathBuf::from(".")),
            json: of.get_flag("json"),
            top: of.get_one("top").copied().unwrap_or(10),
            report: path("report"),
            calm: of.get_flag("calm"),
            sessions: of.get_flag("gateway"),
        }),
        "submit" => Command::Submit(Submit {
            agent: text("agent").unwrap_or_default(),
            input: text("input"),
            lease: text("lease"),
            max_runtime: of.get_one("max-runtime").copied(),
            expires_at: text("expires-at"),
            trace_id: text("trace-id"),
            idempotency_key: text("idempotency-key"),
            parent: text("parent"),
            delegate_id: text("delegate-id"),
            follow: of.get_flag("follow"),
            json: of.get_flag("json"),
        }),
        "watch" => Command::Watch(Watch {
            job: text("job").unwrap_or_default(),
            history: !of.get_flag("no-history"),
            from: of.get_one("from").copied(),
            overflow: of.get_one("overflow").copied(),
            tree: of.get_flag("tree"),
            json: of.get_flag("json"),
        }),
        "result" => Command::Result(Fetch {
            job: text("job").unwrap_or_default(),
            file: path("output").filter(|path| path.as_os_str() != "-"),
        }),
        "cancel" => Command::Cancel(Cancel { job: text("job").unwrap_or_default(), reason: text("reason") }),
        "jobs" => Command::Jobs(Jobs {
            status: of.get_many::<String>("status").unwrap_or_default().cloned().collect(),
            agent: text("agent"),
            after: text("after"),
            before: text("before"),
            limit: of.get_one::<u64>("limit").map_or(100, |limit| usize::try_from(*limit).unwrap_or(usize::MAX)),
            all: of.get_flag("all"),
            observable: of.get_flag("observable"),
            json: of.get_flag("json"),
        }),
        "gc" => Command::Gc(Collect {
            dry_run: of.get_flag("dry-run"),
            older_than: of.get_one("older-than").copied(),
            max_bytes: of.get_one("max-bytes").copied(),
            json: of.get_flag("json"),
        }),
        "audit" => Command::Audit(Audit {
            since: text("since"),
            principal: text("principal"),
            action: text("action"),
            job: text("job"),
            decision: text("decision"),
            follow: of.get_flag("follow"),
            json: of.get_flag("json"),
        }),
        "agents" => Command::Agents { json: of.get_flag("json") },
        "bench" => Command::Bench(Bench::read(of)),
        "version" => Command::Version { json: of.get_flag("json") },
        "completions" => Command::Completions(of.get_one("shell").copied().unwrap_or(Shell::Bash)),
        "workers" => Command::Workers(workers_of(of)),
        "keys" => keys::keys_of(of).map_or(Command::Worker, Command::Keys),
        "credentials" => credentials::credentials_of(of).map_or(Command::Worker, Command::Credentials),
        "gateway" => gateway::gateway_of(of).map_or(Command::Worker, Command::Gateway),
        _ => external_worker_of(of).map_or(Command::Worker, Command::ExternalWorker),
    };
    Parsed {
        command,
        connection: Connection {
            url: text("url"),
            token: text("token"),
            token_file: path("token-file"),
            data_dir: path("data-dir"),
            ca_cert: path("ca-cert"),
            client_cert: path("client-cert").zip(path("client-key")),
            reconnect: reconnect_of(of),
        },
        color: of.get_one("color").copied().unwrap_or(Color::Auto),
        verbose: of.get_count("verbose"),
    }
}

fn workers_of(matches: &ArgMatches) -> Workers {
    let (action, of) = matches.subcommand().unwrap_or(("", matches));
    let name = || of.get_one::<String>("name").cloned().unwrap_or_default();
    match action {
        "enroll" => Workers::Enroll {
            name: name(),
            agents: of.get_many::<String>("agents").unwrap_or_default().cloned().collect(),
        },
        "revoke" => Workers::Revoke { name: name() },
        _ => Workers::List { json: of.get_flag("json") },
    }
}

/// `None` without `--connect`: a gateway has started this process.
fn external_worker_of(matches: &ArgMatches) -> Option<ExternalWorker> {
    Some(ExternalWorker {
        address: matches.get_one::<String>("connect").cloned()?,
        agent: matches.get_one::<ResolvedAgent>("agent").cloned()?,
        capacity: matches.get_one("capacity").copied().unwrap_or(1),
        answers: matches.get_flag("answers"),
        description: matches.get_one::<String>("description").cloned().unwrap_or_default(),
        state_dir: matches.get_one::<PathBuf>("state-dir").cloned(),
        orphan_lifetime: matches.get_one("orphan-lifetime").copied()?,
        plaintext: matches.get_flag("insecure-plaintext"),
        command: matches.get_many::<String>("command").unwrap_or_default().cloned().collect(),
    })
}

fn reconnect_of(matches: &ArgMatches) -> ReconnectPolicy {
    if matches.get_flag("no-reconnect") {
        return ReconnectPolicy::Never;
    }
    matches.get_one("reconnect-for").copied().map_or_else(ReconnectPolicy::default, ReconnectPolicy::For)
}

fn config_of(matches: &ArgMatches) -> ConfigArgs {
    let given = |flag: &str| matches.value_source(flag) == Some(clap::parser::ValueSource::CommandLine);
    let mut flags: BTreeMap<String, String> = BTreeMap::new();
    for option in ConfigOption::all() {
        let flag = option.flag();
        if !given(&flag) {
            continue;
        }
        let value = match option.key {
            "data_dir" => matches.get_one::<PathBuf>(&flag).map(|path| path.to_string_lossy().into_owned()),
            _ => matches.get_one::<String>(&flag).cloned(),
        };
        flags.extend(value.map(|value| (flag, value)));
    }
    ConfigArgs { file: matches.get_one::<PathBuf>("config").cloned(), flags }
}

impl Color {
    /// The words of `--color`, for messages.
    #[cfg(test)]
    fn words() -> Vec<String> {
        use clap::ValueEnum as _;

        Self::value_variants()
            .iter()
            .filter_map(|color| Some(color.to_possible_value()?.get_name().to_owned()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
        assert_eq!(Color::words(), ["auto", "always", "never"]);
    }

    #[test]
    fn flags_of_the_configuration_are_passed_on_as_they_were_given() {
        let matches = command().get_matches_from([
            "moorline",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--insecure-plaintext",
            "--data-dir",
            "/d",
            "--log-format=json",
        ]);
        let Command::Serve { config, stdio: false } = read(&matches).command else { panic!("not serve") };
        let flags: Vec<_> = config.flags.iter().map(|(flag, value)| (flag.as_str(), value.as_str())).collect();
        assert_eq!(
            flags,
            [("data-dir", "/d"), ("insecure-plaintext", "true"), ("listen", "127.0.0.1:0"), ("log-format", "json")]
        );
    }
}
