//! What the command line asks for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use moorline_opcua_testkit::{Options, Security};

pub(crate) const HELP: &str = "\
moorline-opcua-testkit serve [--port N] [--secured yes] [--count-every MS] [--publish-every MS] [--queue N]
  Serves tags and alarms over OPC UA on the loopback address, until its standard input ends. The first line that it
  prints is `listening url=… certificates=…`, the directory of its certificates.
    --port N            listen there, and not on a free port
    --secured yes       has secured endpoints too, and trusts every client
    --count-every MS    how often the counter counts (20)
    --publish-every MS  publishing intervals are no shorter (10)
    --queue N           queues of items are no longer (100000)

moorline-opcua-testkit drive --server HOST:PORT | --config FILE
  Opens the worker's back end to a server, or as a file says, carries out the commands of its standard input, and prints
  answers and events: all of them lines of JSON.

moorline-opcua-testkit cuts [--server HOST:PORT] [--gateway DIRECTORY] [--cuts N] [--longest MS] [--seed N]
  Lets the worker's back end watch the counter of a server, its own unless one is named, while the connection is cut,
  and prints what was lost and what came twice.
    --gateway DIRECTORY watches as a client of a gateway, whose program and whose worker's are there
    --cuts N            how often (100)
    --longest MS        no cut is longer (5000)
    --seed N            what decides about the cuts; drawn and shown if it is not given
";

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Serve { port: u16, options: Options },
    Drive(Drive),
    Cuts(Cuts),
}

/// What the worker's back end is opened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drive {
    /// A server that is not secured.
    Server(SocketAddr),
    /// What a file says.
    Config(PathBuf),
}

/// How is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cuts {
    pub(crate) server: Option<SocketAddr>,
    /// Where the gateway's program and the worker's are, if a client of one watches.
    pub(crate) gateway: Option<PathBuf>,
    pub(crate) cuts: usize,
    pub(crate) longest: Duration,
    pub(crate) seed: Option<u64>,
}

/// What the arguments ask for.
pub(crate) fn read(args: &[String]) -> Result<Request, String> {
    let [command, flags @ ..] = args else { return Err("say what to do".to_owned()) };
    let (mut port, mut options) = (0, Options::default());
    let mut cuts = Cuts { server: None, gateway: None, cuts: 100, longest: Duration::from_secs(5), seed: None };
    let mut config = None;
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{} takes a value", pair.join(" "))) };
        let wrong = || format!("{command} takes no {flag} {value}");
        let number = || value.parse::<u64>().map_err(|_| wrong());
        let small = || value.parse::<usize>().map_err(|_| wrong());
        match (command.as_str(), flag.as_str()) {
            ("serve", "--port") => port = value.parse().map_err(|_| wrong())?,
            ("serve", "--count-every") if value != "0" => options.count_every = Duration::from_millis(number()?),
            ("serve", "--publish-every") => options.limits.publishing_interval = Duration::from_millis(number()?),
            ("serve", "--queue") => options.limits.queue_size = small()?,
            ("serve", "--secured") if value == "yes" => options.security = Security::Trusting,
            ("drive", "--config") => config = Some(PathBuf::from(value)),
            ("cuts", "--gateway") => cuts.gateway = Some(PathBuf::from(value)),
            ("drive" | "cuts", "--server") => cuts.server = Some(value.parse().map_err(|_| wrong())?),
            ("cuts", "--cuts") => cuts.cuts = small()?,
            ("cuts", "--longest") => cuts.longest = Duration::from_millis(number()?),
            ("cuts", "--seed") => cuts.seed = Some(number()?),
            _ => return Err(wrong()),
        }
    }
    match command.as_str() {
        "serve" => Ok(Request::Serve { port, options }),
        "drive" => match (cuts.server, config) {
            (Some(server), None) => Ok(Request::Drive(Drive::Server(server))),
            (None, Some(config)) => Ok(Request::Drive(Drive::Config(config))),
            _ => Err("drive needs either --server or --config".to_owned()),
        },
        "cuts" => Ok(Request::Cuts(cuts)),
        _ => Err(format!("there is no command {command:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in [
            "",
            "run",
            "serve --port",
            "serve --port x",
            "serve --port 70000",
            "serve --count-every 0",
            "serve --cuts 3",
            "serve 7",
            "drive",
            "drive --server here",
            "drive --server 127.0.0.1:4840 --config x",
            "serve --secured no",
            "cuts --seed -1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("serve"), Ok(Request::Serve { port: 0, options: Options::default() }));
        let options = Options { count_every: Duration::from_millis(5), ..Options::default() };
        assert_eq!(read("serve --port 4840 --count-every 5"), Ok(Request::Serve { port: 4840, options }));
        let server = SocketAddr::from(([127, 0, 0, 1], 4840));
        assert_eq!(read("drive --server 127.0.0.1:4840"), Ok(Request::Drive(Drive::Server(server))));
        assert_eq!(read("drive --config x"), Ok(Request::Drive(Drive::Config("x".into()))));
        let secured = Options { security: Security::Trusting, ..Options::default() };
        assert_eq!(read("serve --secured yes"), Ok(Request::Serve { port: 0, options: secured }));
        let cuts = Cuts { server: None, gateway: None, cuts: 3, longest: Duration::from_millis(700), seed: Some(7) };
        assert_eq!(read("cuts --cuts 3 --longest 700 --seed 7"), Ok(Request::Cuts(cuts.clone())));
        let through = Cuts { gateway: Some("x".into()), ..cuts };
        assert_eq!(read("cuts --cuts 3 --longest 700 --seed 7 --gateway x"), Ok(Request::Cuts(through)));
    }
}
