//! The server of the test kit as a process of its own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

use std::process::ExitCode;
use std::time::Duration;

use moorline_opcua_testkit::{Options, TestServer};
use tokio::io::{AsyncReadExt as _, stdin};

const HELP: &str = "\
moorline-opcua-testkit serve [--port N] [--count-every MS] [--publish-every MS] [--queue N]

Serves tags and alarms over OPC UA on the loopback address, until its standard input ends. The first line that it
prints is `listening url=…`.
  --port N            listen there, and not on a free port
  --count-every MS    how often the counter counts (20)
  --publish-every MS  publishing intervals are no shorter (10)
  --queue N           queues of items are no longer (100000)
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (port, options) = match read(&args) {
        Ok(read) => read,
        Err(problem) => {
            eprint!("{problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let server = match TestServer::start_at(port, options).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("listening url={}", server.url());
    let mut ignored = [0; 64];
    while let Ok(1..) = stdin().read(&mut ignored).await {}
    ExitCode::SUCCESS
}

/// The port and the options that the arguments ask for.
fn read(args: &[String]) -> Result<(u16, Options), String> {
    let (mut port, mut options) = (0, Options::default());
    let [command, flags @ ..] = args else { return Err("say what to do".to_owned()) };
    if command != "serve" {
        return Err(format!("there is no command {command:?}"));
    }
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { return Err(format!("{} takes a number", pair.join(" "))) };
        let number: u32 = value.parse().map_err(|_| format!("{flag} takes a number, not {value:?}"))?;
        let millis = Duration::from_millis(number.into());
        match flag.as_str() {
            "--port" => port = u16::try_from(number).map_err(|_| format!("there is no port {number}"))?,
            "--count-every" if number > 0 => options.count_every = millis,
            "--publish-every" => options.limits.publishing_interval = millis,
            "--queue" => options.limits.queue_size = usize::try_from(number).unwrap_or(usize::MAX),
            _ => return Err(format!("there is no {flag} {number}")),
        }
    }
    Ok((port, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_anything_else_refused() {
        let read = |line: &str| read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        for bad in
            ["", "run", "serve --port", "serve --port x", "serve --port 70000", "serve --count-every 0", "serve 7"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("serve"), Ok((0, Options::default())));
        let asked = Options { count_every: Duration::from_millis(5), ..Options::default() };
        assert_eq!(read("serve --port 4840 --count-every 5"), Ok((4840, asked)));
    }
}
