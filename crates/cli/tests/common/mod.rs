//! A real gateway, run as a person runs it, and commands against it.

#![allow(dead_code, reason = "not every test needs all of this")]

pub(crate) mod collector;

pub(crate) mod grpc;

pub(crate) mod issuer;

pub(crate) mod plant;

pub(crate) mod proxy;

pub(crate) mod raw;

pub(crate) mod secrets;

pub(crate) mod survival;

pub(crate) mod terminal;

pub(crate) mod upstream;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a test waits for what must come: a debug build on a busy machine takes a second for most of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long it is between two looks at another process: no test takes longer for it, and a look costs much less.
const LOOK: Duration = Duration::from_millis(5);

/// The command, with nothing of the environment that could lead it elsewhere.
pub(crate) fn moorline<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    isolated(Command::new(env!("CARGO_BIN_EXE_moorline")), args)
}

fn isolated<I: AsRef<OsStr>>(mut command: Command, args: impl IntoIterator<Item = I>) -> Command {
    command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

/// The command, told to end by SIGTERM when the thread that starts it does, where there is a program for that: a test
/// that is killed leaves no gateway behind.
fn mortal<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let wrapper = ["--pdeathsig", "TERM"];
    let is_there = || Command::new("setpriv").args(wrapper).arg("true").status().is_ok_and(|status| status.success());
    if !SETPRIV.get_or_init(is_there) {
        return moorline(args);
    }
    let mut command = Command::new("setpriv");
    command.args(wrapper).arg(env!("CARGO_BIN_EXE_moorline"));
    isolated(command, args)
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that is ended when the test is.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Starts a command and reads its standard output line by line.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::of(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// A process that was started in another way, such as one whose output nobody reads.
    pub(crate) fn of(mut child: Child) -> Self {
        let (said, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take().map(BufReader::new) {
            std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        }
        Self { child, lines }
    }

    /// The next line; `None` when the output has ended.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// The next line that has this in it.
    pub(crate) fn line_with(&self, fragment: &str) -> String {
        loop {
            let line = self.line().unwrap_or_else(|| panic!("the output ended before {fragment:?}"));
            if line.contains(fragment) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a process, which has no other clock")]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end");
            look_again();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            // A gateway need not grant its jobs the grace: nobody waits for them. Two of one kind might come as one.
            self.signal(Signal::INT);
            self.wait();
        }
    }
}

/// A gateway with a data directory of its own. When it ends, however it does, no secret that the test has used may be in
/// its log and its data directory.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Running,
    pub(crate) url: String,
    // Behind the process, which has ended when this looks, and before the directory, which is still there.
    watch: secrets::Watch,
    pub(crate) home: tempfile::TempDir,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::with("", &[])
    }

    /// A gateway with this configuration file and these flags.
    pub(crate) fn with(config: &str, flags: &[&str]) -> Self {
        Self::over(tempfile::tempdir().unwrap(), config, flags)
    }

    /// The same over what another one left behind.
    pub(crate) fn over(home: tempfile::TempDir, config: &str, flags: &[&str]) -> Self {
        Self::among(home, config, flags, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn among(home: tempfile::TempDir, config: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        std::fs::write(home.path().join("moorline.toml"), config).unwrap();
        let mut command = serve(home.path(), flags);
        let process = Running::start(command.envs(variables.iter().copied()).stderr(log(home.path())));
        let line = process.line().unwrap_or_else(|| {
            panic!("the gateway did not start:\n{}", std::fs::read_to_string(home.path().join("log")).unwrap())
        });
        let url = line.strip_prefix("listening url=").unwrap_or_else(|| panic!("{line}")).to_owned();
        let gateway = Self { process, url, watch: secrets::Watch(home.path().to_owned()), home };
        for (file, kind) in [("admin.token", secrets::API_KEY), ("workers.key", secrets::WORKERS_KEY)] {
            gateway.secret(kind, &std::fs::read_to_string(gateway.data_dir().join(file)).unwrap_or_default());
        }
        gateway
    }

    /// This may be in no file that the gateway leaves behind. What commands make is known without.
    #[expect(clippy::unused_self, reason = "it is said of a gateway")]
    pub(crate) fn secret(&self, kind: &'static str, value: &str) {
        secrets::keep(kind, value);
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// What the gateway has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// A command against this gateway.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let data_dir = self.data_dir();
        moorline([OsStr::new("--data-dir"), data_dir.as_os_str()].into_iter().chain(args.iter().map(OsStr::new)))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        secrets::keep_of_command(args, &String::from_utf8_lossy(&output.stdout));
        output
    }

    /// Submits a job, follows it, and returns what was seen of it, and the exit code.
    pub(crate) fn follow(&self, agent: &str, input: &Value) -> (Vec<Value>, i32) {
        let output = self.run(&["submit", agent, "--input", &input.to_string(), "--follow", "--json"]);
        (json_lines(&output), output.status.code().unwrap())
    }

    /// Submits a job and returns its id.
    pub(crate) fn submit(&self, agent: &str, input: &Value) -> String {
        let output = self.run(&["submit", agent, "--input", &input.to_string()]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    }

    /// Ends the gateway in this way, and gives back what it left behind.
    pub(crate) fn end(self, signal: Signal) -> (tempfile::TempDir, ExitStatus) {
        let Self { mut process, watch, home, .. } = self;
        process.signal(signal);
        let status = process.wait();
        drop(watch);
        (home, status)
    }
}

/// The command that runs a gateway in `home`.
pub(crate) fn serve(home: &Path, flags: &[&str]) -> Command {
    let (config, data) = (home.join("moorline.toml"), home.join("data"));
    let fixed =
        [OsStr::new("serve"), OsStr::new("--config"), config.as_os_str(), OsStr::new("--data-dir"), data.as_os_str()];
    let listen: &[&str] = if flags.contains(&"--stdio") { &[] } else { &["--listen", "127.0.0.1:0"] };
    let given = listen.iter().filter(|_| !flags.contains(&"--listen")).chain(flags).map(OsStr::new);
    // What a test starts ends with it, or soon after it if the test is killed.
    let tidy = ["--stop-workers", "--workers-max-orphan-lifetime=1m"].map(OsStr::new);
    let given_flag =
        |flag: &OsStr| flags.iter().any(|given| given.split('=').next() == flag.to_str().unwrap().split('=').next());
    let tidy = tidy.into_iter().filter(|flag| !given_flag(flag));
    mortal(fixed.into_iter().chain(given).chain(tidy))
}

fn log(home: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().create(true).append(true).open(home.join("log")).unwrap()
}

pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    let text = stdout(output);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    let lines: Vec<Value> = lines.collect();
    assert!(!lines.is_empty(), "nothing on standard output: {}", stderr(output));
    lines
}

/// The messages of the log events among what was seen, with their levels.
pub(crate) fn logs(seen: &[Value]) -> Vec<(String, String)> {
    let logs = seen.iter().filter(|line| line["payload"]["kind"] == "log").map(|line| &line["payload"]["body"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    logs.map(|body| (text(&body["level"]), text(&body["message"]))).collect()
}

/// Waits until this holds.
pub(crate) fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    wait_for_or_tell(what, holds, String::new);
}

/// Waits until this holds, and fails with what this tells if it does not.
#[expect(clippy::disallowed_methods, reason = "a deadline for other processes, which have no other clock")]
pub(crate) fn wait_for_or_tell(what: &str, mut holds: impl FnMut() -> bool, told: impl FnOnce() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= deadline {
            panic!("{what}: not within {PATIENCE:?}\n{}", told());
        }
        look_again();
    }
}

/// Leaves the machine to others between two looks at them: who looks all the time takes it from those it waits for.
fn look_again() {
    // not a wait: it is a pause between two looks
    std::thread::sleep(LOOK);
}

/// The most memory that a process has had so far; none if it has ended.
pub(crate) fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib * 1024)
}

/// The processes whose command line has this in it, by number.
pub(crate) fn processes_with(fragment: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).contains(fragment)
    })
    .collect()
}

/// The worker processes of the gateway with this data directory, of jobs and of gateway sessions: whoever logs there.
pub(crate) fn workers_of(data_dir: &Path) -> std::collections::BTreeSet<u32> {
    let is_worker = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let logs_to = std::fs::read_link(format!("/proc/{pid}/fd/2")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("moorline\0worker") && logs_to.starts_with(data_dir)
    };
    processes_with("moorline").into_iter().filter(is_worker).collect()
}
