//! What may be typed: every command, its options and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, Command as Clap, ValueHint, value_parser};
use clap_complete::Shell;
use moorline_client::wire::JobStatus;
use moorline_server::config::{ConfigOption, parse_duration, parse_size};
use moorline_types::ResolvedAgent;
use moorline_wire::Word as _;
use moorline_wire::vendor::Overflow;

use crate::exit;
use crate::output::Color;

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
        .subcommand(gc())
        .subcommand(audit())
        .subcommand(super::keys::keys())
        .subcommand(super::credentials::credentials())
        .subcommand(agents())
        .subcommand(super::gateway::grammar())
        .subcommand(super::bench::grammar())
        .subcommand(version())
        .subcommand(completions())
        .subcommand(workers())
        .subcommand(worker())
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
        path("token-file")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .help("A file that holds an API key; for `worker`, its token"),
        path("data-dir")
            .value_name("DIR")
            .env("MOORLINE_DATA_DIR")
            .value_hint(ValueHint::DirPath)
            .help("The data directory of a gateway on this machine [default: $XDG_DATA_HOME/moorline]"),
        path("ca-cert")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .help("A PEM file with further certificates to trust"),
        path("client-cert")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .requires("client-key")
            .help("A PEM file with a certificate to show; no API key is sent then but one that is given here"),
        path("client-key")
            .value_name("FILE")
            .value_hint(ValueHint::FilePath)
            .requires("client-cert")
            .help("A PEM file with the key of that certificate"),
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
        .about("Take stock of a directory, or watch a plant, while connections are cut and the gateway is killed")
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
                .help("Only the census or the plant: no connection is cut and no gateway killed on the way"),
        )
        .arg(
            Arg::new("gateway")
                .long("gateway")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["directory", "top", "report"])
                .help("A session of the session gateway with a simulated plant, which three clients watch"),
        )
        .after_help("A second job counts aloud while the client's connection is cut and the gateway is killed with\nSIGKILL and started again. At the end it is counted what was lost and repeated. Not with --json.\n\nCtrl-C cancels both jobs.\n\nWith --gateway three clients watch a plant. One is cut off, the gateway is killed and started again, and the slow\none is kept away for longer than what it misses is retained. At the end it is counted what each was told, what was\nlost without being told so, and what came twice.\n\nExamples:\n  moorline demo\n  moorline demo --gateway\n  moorline demo ~/src --top 5\n  moorline demo . --json | jq .files")
}

fn submit() -> Clap {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Clap::new("submit")
        .about("Submit a job")
        .arg(Arg::new("agent").value_name("AGENT").required(true).help("The agent: a name, or name@version"))
        .arg(text("input", "JSON|@FILE|-").help("What the agent is given; @FILE and - read a file or standard input"))
        .arg(text("lease", "JSON").help("What the job may do, such as {\"fs.read\": [\"/data/**\"]}"))
        .arg(
            text("expires-at", "TIME")
                .help("When the job's lease ends, and the job with it, in UTC, such as 2026-12-31T18:00:00Z"),
        )
        .arg(
            text("max-runtime", "DURATION")
                .value_parser(duration)
                .help("End the job after running for so long, such as 30s, 5m or 1h"),
        )
        .arg(
            text("trace-id", "ID")
                .help("The W3C trace that the job belongs to, or a traceparent; $TRACEPARENT without it"),
        )
        .arg(
            text("idempotency-key", "KEY")
                .help("Makes it safe to submit again: with the same key there is one job, and other input is refused"),
        )
        .arg(
            text("parent", "JOB")
                .help("Make it a child of this job, within its lease and its budget, as if its agent had delegated it"),
        )
        .arg(
            text("delegate-id", "ID")
                .requires("parent")
                .help("What the parent is to call it; a name of its own without it"),
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
        .arg(
            Arg::new("tree")
                .long("tree")
                .action(ArgAction::SetTrue)
                .conflicts_with("from")
                .help("Show also the jobs that it delegates, and theirs; each line says whose it is"),
        )
        .arg(json("Print JSON, one object a line"))
        .after_help(
            "Shows the job from its first event, also one that has ended, and goes on after a lost connection. The exit \
             code says how it ended. Ctrl-C stops watching; the job goes on.\n\nExamples:\n  moorline watch job_01KAH4...\n  moorline watch job_01KAH4... --json | jq .payload\n  moorline watch job_01KAH4... --tree",
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
        .arg(
            Arg::new("observable")
                .long("observable")
                .action(ArgAction::SetTrue)
                .help("Also jobs of others, as far as you may watch them, and whose they are"),
        )
        .arg(json("Print JSON, one job a line"))
        .after_help(
            "Whoever has the same principal is you. Jobs that are over are listed too.\n\nExamples:\n  moorline jobs --status running,pending\n  \
             moorline jobs --observable --status running\n  \
             moorline jobs --agent census --after 2026-05-13T00:00:00Z\n  \
             moorline jobs --all --json | jq -r 'select(.status == \"error\").job_id'",
        )
}

fn gc() -> Clap {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Clap::new("gc")
        .about("Remove jobs and sessions that are over, as an administrator")
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Remove nothing, and show what would go"),
        )
        .arg(text("older-than", "DURATION").value_parser(age).help("What ended so long ago or longer, such as 7d or 12h"))
        .arg(
            text("max-bytes", "SIZE")
                .value_parser(size)
                .help("What ended first, until the journal is no larger, such as 2 GiB"),
        )
        .arg(json("Print one JSON object"))
        .after_help(
            "Without --older-than and --max-bytes, what the gateway is configured not to keep. What has not ended is never \
             removed, and what a session is about to be shown stays for now. May be interrupted: what was removed until \
             then is gone whole, and the rest is as it was.\n\nExamples:\n  moorline gc --dry-run --older-than 7d\n  \
             moorline gc --max-bytes 2GiB\n  moorline gc --older-than 0s --json | jq .bytes_after",
        )
}

fn audit() -> Clap {
    let text = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    Clap::new("audit")
        .about("Read the audit trail, as an administrator: who did what, and what was refused")
        .arg(text("since", "TIME").help("From this time on: RFC 3339, or an age such as 2h or 7d"))
        .arg(text("principal", "NAME").help("What this principal or worker did"))
        .arg(text("action", "ACTION").help("What was done, such as submit, cancel, subscribe or authenticate"))
        .arg(text("job", "JOB").help("What was done to this job"))
        .arg(text("decision", "DECISION").value_parser(["allowed", "refused"]).help("What was allowed, or what was not"))
        .arg(
            Arg::new("follow")
                .long("follow")
                .short('f')
                .action(ArgAction::SetTrue)
                .help("Go on with what is written from now on, until interrupted"),
        )
        .arg(json("Print JSON, one entry a line"))
        .after_help(
            "Oldest first. An entry has no secret in it.\n\nExamples:\n  moorline audit --since 1d --decision refused\n  \
             moorline audit --follow --action submit\n  moorline audit --since 30d --json > audit.jsonl",
        )
}

fn agents() -> Clap {
    Clap::new("agents").about("List the agents of a gateway").arg(json("Print JSON")).after_help(
        "Examples:\n  moorline agents\n  moorline --url wss://gateway.example:7707/arcp --token-file key.txt agents --json",
    )
}

fn workers() -> Clap {
    let name = || Arg::new("name").value_name("NAME").required(true);
    let agents = Arg::new("agents").long("agents").value_name("PATTERN").value_delimiter(',').action(ArgAction::Append);
    let enroll = Clap::new("enroll")
        .about("Enrol a worker and print its token, once")
        .arg(name().long("name").help("What to call it, such as gpu-1"))
        .arg(agents.default_value("*").help("Agents that it may offer: names, or beginnings of names followed by *"))
        .after_help("Examples:\n  moorline workers enroll --name gpu-1 --agents 'fold,train-*' > gpu-1.token");
    let list = Clap::new("list").about("List the enrolled workers").arg(json("Print JSON, one worker a line"));
    let revoke = Clap::new("revoke")
        .about("Revoke a worker's token; its jobs end, and it is told to end itself")
        .arg(name().help("What it was called when it was enrolled"))
        .after_help("Examples:\n  moorline workers revoke gpu-1");
    Clap::new("workers")
        .about("Say which workers of other machines are let in by the gateway of this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(enroll)
        .subcommand(list)
        .subcommand(revoke)
        .after_help(
            "Works on the data directory, whether its gateway runs or not; a gateway that runs needs no restart.\n\n\
             Examples:\n  moorline workers enroll --name gpu-1 > gpu-1.token\n  moorline workers list",
        )
}

fn worker() -> Clap {
    let with_connect = |name: &'static str| Arg::new(name).long(name).requires("connect");
    Clap::new("worker")
        .about("Run a program as an agent for a gateway on another machine")
        .arg(
            Arg::new("connect")
                .long("connect")
                .value_name("HOST:PORT")
                .requires_all(["agent", "command"])
                .help("Where the gateway listens for workers. (Without it: host what the gateway that started this process asks for)"),
        )
        .arg(
            with_connect("agent")
                .value_name("NAME@VERSION")
                .value_parser(|text: &str| text.parse::<ResolvedAgent>().map_err(|error| error.to_string()))
                .help("What the program is called"),
        )
        .arg(
            with_connect("capacity")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=1_000))
                .default_value("1")
                .help("How many jobs are run at once"),
        )
        .arg(
            with_connect("answers")
                .action(ArgAction::SetTrue)
                .help("Keep the program's standard input open and answer on it what the program asks"),
        )
        .arg(with_connect("description").value_name("TEXT").help("One line about it, for people"))
        .arg(
            with_connect("state-dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .help("Where what cannot be reported yet is kept [default: $XDG_STATE_HOME/moorline/workers/ID]"),
        )
        .arg(
            with_connect("orphan-lifetime")
                .value_name("DURATION")
                .value_parser(duration)
                .default_value("24h")
                .help("How long to go on without hearing from the gateway"),
        )
        .arg(
            with_connect("insecure-plaintext")
                .action(ArgAction::SetTrue)
                .help("Connect without TLS: everybody on the way reads what jobs say"),
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .last(true)
                .requires("connect")
                .help("The program and its arguments; it is started for each job"),
        )
        .after_help(
            "The token is from `moorline workers enroll` on the gateway's machine, one for each worker. Jobs go on when\n\
             the link or the gateway is gone for a while. SIGTERM ends the worker and its jobs in order.\n\n\
             Examples:\n  moorline worker --connect gateway.example:7708 --token-file gpu-1.token --agent fold@1.0.0 \\\n    \
             --capacity 2 -- python3 fold.py",
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

pub(super) fn json(help: &'static str) -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help(help)
}

/// Reads `7d` or `1h30m`. A bare number is refused, as in the configuration: what is removed by mistake does not come back.
pub(super) fn age(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("an age is a number with d, h, m, s or ms, such as 7d or 1h30m")
}

/// Reads `2 GiB`, `512MiB` or a number of bytes.
fn size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).ok_or("a size is a number with GiB, MiB, KiB or B, such as 512 MiB")
}

/// Reads `90s`, `5m`, `1h30m` or a number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_others_refused() {
        for (text, seconds) in [("30", 30), ("30s", 30), ("5m", 300), ("1h30m", 5_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "1.5h", "9999999999999999999h", "5m3"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
