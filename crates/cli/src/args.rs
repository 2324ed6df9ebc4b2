//! What the person typed.
//!
//! The flags of the gateway's configuration are made from the server's table of options, so that a new option needs no
//! line here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, ValueHint, value_parser};
use clap_complete::Shell;
use moorline_client::ReconnectPolicy;
use moorline_client::wire::JobStatus;
use moorline_server::config::ConfigOption;
use moorline_wire::Word as _;
use moorline_wire::vendor::Overflow;

use crate::exit;
use crate::output::Color;

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
    Serve { stdio: bool, config: ConfigArgs },
    Config(ConfigCommand),
    Demo(Demo),
    Submit(Submit),
    Watch(Watch),
    Result(Fetch),
    Cancel(Cancel),
    Jobs(Jobs),
    Agents { json: bool },
    Version { json: bool },
    Completions(Shell),
    Worker,
}

#[derive(Debug)]
pub(crate) enum ConfigCommand {
    Check(ConfigArgs),
    Show(ConfigArgs),
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
}

#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) agent: String,
    pub(crate) input: Option<String>,
    pub(crate) lease: Option<String>,
    pub(crate) max_runtime: Option<Duration>,
    pub(crate) trace_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
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
    pub(crate) json: bool,
}

/// Reads the command line; ends the process with help or an explanation if there is nothing to be done.
pub(crate) fn parse() -> Parsed {
    read(&command().get_matches())
}

/// The whole command line as the parser knows it.
pub(crate) fn command() -> Clap {
    Clap::new("moorline")
        .about("A durable runtime and session gateway for long-running agent work")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(exit::HELP)
        .args(global_args())
        .subcommand(serve())
        .subcommand(config())
        .subcommand(demo())
        .subcommand(submit())
        .subcommand(watch())
        .subcommand(result())
        .subcommand(cancel())
        .subcommand(jobs())
        .subcommand(agents())
        .subcommand(version())
        .subcommand(completions())
        .subcommand(Clap::new("worker").about("Host an agent for a gateway that started this process").hide(true))
}

fn global_args() -> Vec<Arg> {
    let heading = "Connection";
    let path = |name: &'static str| {
        Arg::new(name).long(name).global(true).value_parser(value_parser!(PathBuf)).help_heading(heading)
    };
    vec![
        Arg::new("url")
            .long("url")
            .env("MOORLINE_URL")
            .value_name("URL")
            .global(true)
            .help_heading(heading)
            .help("The gateway's address, such as ws://127.0.0.1:7707/arcp [default: the one in the data directory]"),
        Arg::new("token")
            .long("token")
            .env("MOORLINE_TOKEN")
            .hide_env_values(true)
            .value_name("KEY")
            .global(true)
            .help_heading(heading)
            .help("An API key [default: admin.token in the data directory, for the gateway of that directory only]"),
        path("token-file").value_name("FILE").value_hint(ValueHint::FilePath).help("A file that holds an API key"),
        path("data-dir")
            .value_name("DIR")
            .env("MOORLINE_DATA_DIR")
            .value_hint(ValueHint::DirPath)
            .help("The data directory of a gateway on this machine [default: $XDG_DATA_HOME/moorline]"),
        path("ca-cert")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .help("A PEM file with further certificates to trust"),
        Arg::new("reconnect-for")
            .long("reconnect-for")
            .value_name("DURATION")
            .global(true)
            .value_parser(duration)
            .help_heading(heading)
            .help("How long a lost connection is sought again, such as 30s or 1h [default: 10m]"),
        Arg::new("no-reconnect")
            .long("no-reconnect")
            .global(true)
            .action(ArgAction::SetTrue)
            .help_heading(heading)
            .conflicts_with("reconnect-for")
            .help("End when the connection is lost"),
        Arg::new("color")
            .long("color")
            .value_name("WHEN")
            .global(true)
            .value_parser(value_parser!(Color))
            .default_value("auto")
            .help("When to use colours; NO_COLOR is respected"),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .global(true)
            .action(ArgAction::Count)
            .help("Log what the client does to standard error; twice and thrice for more"),
    ]
}

fn serve() -> Clap {
    let stdio = Arg::new("stdio").long("stdio").action(ArgAction::SetTrue);
    Clap::new("serve")
        .about("Run a gateway")
        .arg(stdio.help("Serve one client on standard input and output instead of the network"))
        .args(config_args())
        .after_help(
            "Prints one line `listening url=URL` when clients can connect. SIGTERM and SIGINT shut down in order; a\n\
             second one cuts the grace short. The first start prints an administrator's API key, once, and leaves it in\n\
             admin.token in the data directory.\n\n\
             Examples:\n  moorline serve\n  moorline serve --listen 127.0.0.1:0 --data-dir /tmp/m\n  \
             moorline serve --config moorline.toml --log-format json",
        )
}

fn config() -> Clap {
    let check = Clap::new("check").about("Report every mistake in the configuration").args(config_args());
    let show = Clap::new("show").about("Print every value and where it came from").args(config_args());
    Clap::new("config")
        .about("Look at the gateway's configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(check)
        .subcommand(show)
        .after_help("Examples:\n  moorline config check --config moorline.toml\n  MOORLINE_LISTEN=127.0.0.1:0 moorline config show")
}

fn config_args() -> Vec<Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("The configuration file [env: MOORLINE_CONFIG] [default: moorline.toml here or in $XDG_CONFIG_HOME/moorline]");
    let options = ConfigOption::all().iter().filter(|option| option.key != "data_dir").map(config_arg);
    std::iter::once(file).chain(options).collect()
}

fn config_arg(option: &ConfigOption) -> Arg {
    let flag = option.flag();
    let help = format!("{} [default: {}]", option.doc.replace('`', ""), option.default_shown());
    let arg = Arg::new(flag.clone()).long(flag).help(help).help_heading("Configuration");
    if option.is_switch() {
        // A switch may be given a value too, so that a flag can undo what a file says.
        arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
    } else {
        arg.value_name(option.value_name)
    }
}

fn demo() -> Clap {
    let number = Arg::new("top").long("top").value_name("N").value_parser(value_parser!(u64).range(1..=1_000));
    Clap::new("demo")
        .about("Take stock of a directory, while the connection is cut and the gateway is killed")
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .default_value(".")
                .help("The directory"),
        )
        .arg(json("Print the result as JSON and nothing else"))
        .arg(number.default_value("10").help("Entries in each list"))
        .arg(
            Arg::new("report")
                .long("report")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Keep the full report in this file"),
        )
        .arg(
            Arg::new("calm")
                .long("calm")
                .action(ArgAction::SetTrue)
                .help("Only the census: no connection is cut and no gateway killed on the way"),
        )
        .after_help("A second job counts aloud while the client's connection is cut and the gateway is killed with\nSIGKILL and started again. At the end it is counted what was lost and repeated. Not with --json.\n\nCtrl-C cancels both jobs.\n\nExamples:\n  moorline demo\n  moorline demo ~/src --top 5\n  moorline demo . --json | jq .files")
}

fn submit() -> Clap {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Clap::new("submit")
        .about("Submit a job")
        .arg(Arg::new("agent").value_name("AGENT").required(true).help("The agent: a name, or name@version"))
        .arg(text("input", "JSON|@FILE|-").help("What the agent is given; @FILE and - read a file or standard input"))
        .arg(text("lease", "JSON").help("What the job may do, such as {\"fs.read\": [\"/data/**\"]}"))
        .arg(
            text("max-runtime", "DURATION")
                .value_parser(duration)
                .help("End the job after running for so long, such as 30s, 5m or 1h"),
        )
        .arg(text("trace-id", "ID").help("The W3C trace that the job belongs to: 32 hexadecimal digits"))
        .arg(
            text("idempotency-key", "KEY")
                .help("Makes it safe to submit again: with the same key there is one job, and other input is refused"),
        )
        .arg(follow_arg())
        .arg(json("Print JSON, one object a line"))
        .after_help(
            "Without --follow, prints the job's id once it is accepted. With --follow, the exit code says how the job \
             ended.\n\nExamples:\n  moorline submit echo --input '{\"hello\": \"world\"}' --follow\n  \
             moorline submit census --input @job.json --max-runtime 10m\n  \
             moorline submit census --input @job.json --idempotency-key nightly-2026-05-13 --follow\n  \
             echo '[1, 2]' | moorline submit echo --input - --follow --json",
        )
}

fn follow_arg() -> Arg {
    Arg::new("follow").short('f').long("follow").action(ArgAction::SetTrue).help("Show the job's events until it ends")
}

fn watch() -> Clap {
    Clap::new("watch")
        .about("Show a job's events until it ends")
        .arg(Arg::new("job").value_name("JOB").required(true).help("The job's id"))
        .arg(
            Arg::new("no-history")
                .long("no-history")
                .action(ArgAction::SetTrue)
                .help("Show only what happens from here on"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .conflicts_with("no-history")
                .help("Show only what follows event N, as the session that submitted the job numbers it"),
        )
        .arg(
            Arg::new("overflow")
                .long("overflow")
                .value_name("POLICY")
                .value_parser(overflow())
                .help("What becomes of events that are not read in time [default: the gateway's]"),
        )
        .arg(json("Print JSON, one object a line"))
        .after_help(
            "Shows the job from its first event, also one that has ended, and goes on after a lost connection. The exit \
             code says how it ended. Ctrl-C stops watching; the job goes on.\n\nExamples:\n  moorline watch job_01KAH4...\n  moorline watch job_01KAH4... --json | jq .payload",
        )
}

fn overflow() -> impl TypedValueParser<Value = Overflow> {
    PossibleValuesParser::new(Overflow::ALL.iter().map(|policy| policy.as_str()))
        .try_map(|policy| Overflow::read(&policy).ok_or("no such policy"))
}

fn result() -> Clap {
    Clap::new("result")
        .about("Fetch a job's result, as it was made")
        .arg(Arg::new("job").value_name("JOB").required(true).help("The job's id"))
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE|-")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Where to put it; a file appears when it is whole [default: standard output]"),
        )
        .after_help(
            "Waits for a job that has not ended. A streamed result is written as it comes, whatever its size, and its \
             size is checked; another one is JSON. The exit code says how the job ended.\n\nExamples:\n  \
             moorline result job_01KAH4... | jq .\n  moorline result job_01KAH4... --output build.tar",
        )
}

fn cancel() -> Clap {
    Clap::new("cancel")
        .about("Ask for a job's end")
        .arg(Arg::new("job").value_name("JOB").required(true).help("The job's id"))
        .arg(Arg::new("reason").long("reason").value_name("TEXT").help("Why, for the agent and whoever watches"))
        .after_help("Examples:\n  moorline cancel job_01KAH4... --reason 'wrong directory'")
}

fn jobs() -> Clap {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let statuses = JobStatus::ALL.iter().map(|status| status.as_str());
    Clap::new("jobs")
        .about("List the jobs that you have submitted, oldest first")
        .arg(
            text("status", "STATUS")
                .value_parser(PossibleValuesParser::new(statuses))
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("Only those that stand so; several with commas"),
        )
        .arg(text("agent", "AGENT").help("Only those of this agent: a name, or name@version"))
        .arg(text("after", "TIME").help("Only those that were accepted later, such as 2026-05-13T19:42:13Z"))
        .arg(text("before", "TIME").help("Only those that were accepted earlier"))
        .arg(
            text("limit", "N")
                .value_parser(value_parser!(u64).range(1..=1_000_000))
                .default_value("100")
                .help("At most so many"),
        )
        .arg(Arg::new("all").long("all").action(ArgAction::SetTrue).conflicts_with("limit").help("All of them"))
        .arg(json("Print JSON, one job a line"))
        .after_help(
            "Whoever has the same principal is you. Jobs that are over are listed too.\n\nExamples:\n  moorline jobs --status running,pending\n  \
             moorline jobs --agent census --after 2026-05-13T00:00:00Z\n  \
             moorline jobs --all --json | jq -r 'select(.status == \"error\").job_id'",
        )
}

fn agents() -> Clap {
    Clap::new("agents").about("List the agents of a gateway").arg(json("Print JSON")).after_help(
        "Examples:\n  moorline agents\n  moorline --url wss://gateway.example:7707/arcp --token-file key.txt agents --json",
    )
}

fn version() -> Clap {
    Clap::new("version")
        .about("Print the version")
        .arg(json("Print JSON"))
        .after_help("Examples:\n  moorline version --json | jq -r .version")
}

fn completions() -> Clap {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell));
    Clap::new("completions")
        .about("Print a shell's completions")
        .arg(shell.help("The shell"))
        .after_help("Examples:\n  moorline completions bash > ~/.local/share/bash-completion/completions/moorline")
}

fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}

/// Reads `90s`, `5m`, `1h30m` or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a number with s, m or h, such as 30s or 1h30m".to_owned();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut seconds: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
        digits.clear();
    }
    if digits.is_empty() && !text.is_empty() { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
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
        }),
        "submit" => Command::Submit(Submit {
            agent: text("agent").unwrap_or_default(),
            input: text("input"),
            lease: text("lease"),
            max_runtime: of.get_one("max-runtime").copied(),
            trace_id: text("trace-id"),
            idempotency_key: text("idempotency-key"),
            follow: of.get_flag("follow"),
            json: of.get_flag("json"),
        }),
        "watch" => Command::Watch(Watch {
            job: text("job").unwrap_or_default(),
            history: !of.get_flag("no-history"),
            from: of.get_one("from").copied(),
            overflow: of.get_one("overflow").copied(),
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
            json: of.get_flag("json"),
        }),
        "agents" => Command::Agents { json: of.get_flag("json") },
        "version" => Command::Version { json: of.get_flag("json") },
        "completions" => Command::Completions(of.get_one("shell").copied().unwrap_or(Shell::Bash)),
        _ => Command::Worker,
    };
    Parsed {
        command,
        connection: Connection {
            url: text("url"),
            token: text("token"),
            token_file: path("token-file"),
            data_dir: path("data-dir"),
            ca_cert: path("ca-cert"),
            reconnect: reconnect_of(of),
        },
        color: of.get_one("color").copied().unwrap_or(Color::Auto),
        verbose: of.get_count("verbose"),
    }
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
    fn durations_are_read_and_others_refused() {
        for (text, seconds) in [("30", 30), ("30s", 30), ("5m", 300), ("1h30m", 5_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "1.5h", "9999999999999999999h", "5m3"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
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
