//! Workers of other machines: real gateways and real workers that meet over TLS, through a proxy that stands for the
//! network between them.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::proxy::Proxy;
use common::survival::{LEAVE, assert_whole, kill, read, watching};
use common::{Gateway, Running, moorline, stderr, stdout, wait_for};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Says a number every so often. Its input is how many.
const COUNT: &str = "
import json, sys, time
number = json.loads(sys.stdin.readline())['input']
for n in range(1, number + 1):
    time.sleep(0.02)
    print(n, flush=True)
print(json.dumps({'result': number}))
";

/// What the gateway's log says in front of the address.
const LISTENED: &str = "workers of other machines are listened for address=";

/// A gateway, the network in front of its workers' address, and who vouches for it.
struct Bench {
    gateway: Gateway,
    network: Proxy,
    config: String,
    ca: PathBuf,
}

impl Bench {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let ca = certify(home.path());
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let tls = format!("tls_cert = {:?}\ntls_key = {:?}\n", path("cert.pem"), path("key.pem"));
        Self::over(home, ca, &tls)
    }

    /// Without TLS, and with little patience: as long as a busy machine needs to give a worker that is there its job.
    fn hasty() -> Self {
        let home = tempfile::tempdir().unwrap();
        let ca = home.path().join("none.pem");
        Self::over(home, ca, "adoption_window = \"3s\"\n[jobs]\nmax_pending = \"3s\"\n")
    }

    fn over(home: tempfile::TempDir, ca: PathBuf, options: &str) -> Self {
        let config = format!("builtin_agents = [\"echo\"]\n[workers]\nlisten = \"127.0.0.1:0\"\n{options}");
        let gateway = Gateway::over(home, &config, LEAVE);
        let network = Proxy::before(listened(&gateway));
        Self { gateway, network, config, ca }
    }

    /// Ends the gateway in this way and starts it again, behind the same network.
    fn restart(self, signal: Signal) -> Self {
        let Self { gateway, network, config, ca } = self;
        let (home, _) = gateway.end(signal);
        let gateway = Gateway::over(home, &config, LEAVE);
        network.aim(listened(&gateway));
        Self { gateway, network, config, ca }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.gateway.home.path().join(name)
    }

    /// Enrols a worker, and returns the file with its token.
    fn enrol(&self, name: &str, agents: &str) -> PathBuf {
        let output = self.gateway.run(&["workers", "enroll", "--name", name, "--agents", agents]);
        assert!(output.status.success(), "{}", stderr(&output));
        let path = self.file(&format!("{name}.token"));
        fs::write(&path, stdout(&output)).unwrap();
        path
    }

    /// A worker that logs into the file `NAME.worker`.
    fn worker(&self, name: &str, token: &Path) -> Running {
        self.worker_trusting(name, token, &self.ca)
    }

    /// The same without TLS.
    fn plain_worker(&self, name: &str, token: &Path) -> Running {
        self.worker_with(name, token, &["--insecure-plaintext"])
    }

    fn worker_trusting(&self, name: &str, token: &Path, ca: &Path) -> Running {
        self.worker_with(name, token, &["--ca-cert", ca.to_str().unwrap()])
    }

    fn worker_with(&self, name: &str, token: &Path, flags: &[&str]) -> Running {
        let log = fs::File::options().create(true).append(true).open(self.file(&format!("{name}.worker"))).unwrap();
        let address = format!("localhost:{}", self.network.address.port());
        let (token, state) = (token.to_str().unwrap(), self.file(name));
        let mut command = moorline(["worker", "--connect", &address, "--token-file", token]);
        command.args(flags);
        command.args(["--agent", "count@1.0.0", "--capacity", "4", "--orphan-lifetime", "1m", "--state-dir"]);
        command.arg(state).args(["--", "python3", "-u", "-c", COUNT]);
        Running::start(command.stderr(log))
    }

    fn said_by(&self, name: &str) -> String {
        fs::read_to_string(self.file(&format!("{name}.worker"))).unwrap()
    }

    /// Waits until the worker says this, `times` in all.
    fn wait_until_says(&self, name: &str, fragment: &str, times: usize) {
        wait_for(fragment, || self.said_by(name).matches(fragment).count() >= times);
    }

    fn wait_until_logged(&self, fragment: &str) {
        wait_for(fragment, || self.gateway.log().contains(fragment));
    }

    fn agents(&self) -> String {
        stdout(&self.gateway.run(&["agents"]))
    }
}

/// Where the gateway that was started last listens for workers.
fn listened(gateway: &Gateway) -> std::net::SocketAddr {
    let log = gateway.log();
    let rest = log.rsplit_once(LISTENED).unwrap_or_else(|| panic!("{log}")).1;
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// Writes `cert.pem` and `key.pem` for this machine, and returns the file of who vouches for them.
fn certify(home: &Path) -> PathBuf {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(home.join("cert.pem"), leaf.pem()).unwrap();
    fs::write(home.join("key.pem"), key.serialize_pem()).unwrap();
    let ca = home.join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    ca
}

fn number(n: u64) -> String {
    n.to_string()
}

/// The status of a job, as the list of jobs has it.
fn status(gateway: &Gateway, job: &str) -> Value {
    let jobs = common::json_lines(&gateway.run(&["jobs", "--json"]));
    jobs.into_iter().find(|listed| listed["job_id"] == job).unwrap()["status"].take()
}

#[test]
fn what_is_no_enrolment_is_refused_with_a_remedy() {
    let bench = Bench::start();
    bench.enrol("taken", "*");
    for (args, code, fragment) in [
        (&["workers", "enroll", "--name", "a b"][..], 2, "1 to 64 characters"),
        (&["workers", "enroll", "--name", "taken"], 2, "workers revoke taken"),
        (&["workers", "enroll", "--name", "b", "--agents", "a*b"], 2, "followed by *"),
        (&["workers", "revoke", "nobody"], 2, "workers list"),
        (&["worker", "--connect", "gateway:7708"], 2, "--agent"),
        (&["worker", "--connect", "gateway", "--agent", "a@1", "--", "true"], 2, "--token-file"),
    ] {
        let output = bench.gateway.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(fragment), "{args:?}: {}", stderr(&output));
    }
    let listed = stdout(&bench.gateway.run(&["workers", "list"]));
    assert!(listed.contains("taken") && listed.lines().count() == 2, "{listed}");
}

/// A token of another gateway, a gateway that nobody vouches for, an agent that was not agreed on, a revoked token:
/// both sides say so, and no agent is listed for it.
#[test]
fn who_is_not_enrolled_is_refused_and_told_why() {
    let (bench, other) = (Bench::start(), Bench::start());
    let foreign = other.enrol("foreign", "*");
    let _foreign = bench.worker("foreign", &foreign);
    bench.wait_until_says("foreign", "whose token it is", 1);
    bench.wait_until_logged("does not take this gateway for the one of its token");

    let token = bench.enrol("trusting", "*");
    let _trusting = bench.worker_trusting("trusting", &token, &other.ca);
    bench.wait_until_says("trusting", "invalid peer certificate", 1);
    bench.wait_until_logged("could not agree on encryption");

    let token = bench.enrol("overreaching", "fold*");
    let mut overreaching = bench.worker("overreaching", &token);
    assert_eq!(overreaching.wait().code(), Some(77));
    bench.wait_until_says("overreaching", "for which it was not enrolled", 1);
    bench.wait_until_logged("for which it was not enrolled");

    let token = bench.enrol("revoked", "*");
    let revoked = bench.gateway.run(&["workers", "revoke", "revoked"]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    let mut worker = bench.worker("revoked", &token);
    assert_eq!(worker.wait().code(), Some(77));
    bench.wait_until_says("revoked", "its token was revoked", 1);
    bench.wait_until_logged("its token was revoked");

    assert!(!bench.agents().contains("count"), "{}", bench.agents());
    let secret = fs::read_to_string(&token).unwrap();
    assert!(!bench.gateway.log().contains(&secret[30..50]) && !bench.said_by("revoked").contains(&secret[30..50]));
}

#[test]
fn a_job_goes_on_over_a_cut_link_and_a_killed_gateway_and_is_told_once() {
    let bench = Bench::start();
    let token = bench.enrol("gpu-1", "count");
    let worker = bench.worker("gpu-1", &token);
    bench.wait_until_says("gpu-1", "attached fence", 1);
    let jobs: Vec<_> = (0..3).map(|_| bench.gateway.submit("count", &json!(300))).collect();
    watching(&bench.gateway, &jobs[0]).line_with("job.event");
    assert!(bench.network.cut() > 0);
    bench.wait_until_says("gpu-1", "attached fence", 2);
    let bench = bench.restart(Signal::KILL);
    bench.wait_until_says("gpu-1", "attached fence", 3);
    let bench = bench.restart(Signal::KILL);
    for job in &jobs {
        assert_whole(&read(&bench.gateway, job), 300, number);
    }
    drop(worker);
    bench.wait_until_says("gpu-1", "ended reason=signal", 1);
}

#[test]
fn a_job_waits_for_the_worker_of_its_agent_and_an_agent_that_nobody_has_offered_is_refused() {
    let bench = Bench::start();
    let token = bench.enrol("gpu-1", "*");
    let unknown = bench.gateway.run(&["submit", "count", "--input", "3"]);
    assert_eq!(unknown.status.code(), Some(5));
    assert!(stderr(&unknown).contains("AGENT_NOT_AVAILABLE"), "{}", stderr(&unknown));
    let mut first = bench.worker("gpu-1", &token);
    bench.wait_until_says("gpu-1", "attached fence", 1);
    assert_eq!(bench.gateway.follow("count", &json!(3)).1, 0);
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));
    // The agent stays known, over a restart too.
    let bench = bench.restart(Signal::TERM);
    assert!(bench.agents().contains("count"), "{}", bench.agents());
    let job = bench.gateway.submit("count", &json!(5));
    assert_eq!(status(&bench.gateway, &job), "pending");
    let _second = bench.worker("gpu-1", &token);
    assert_whole(&read(&bench.gateway, &job), 5, number);
}

#[test]
fn jobs_are_spread_over_workers_and_those_of_one_that_is_killed_or_revoked_end() {
    let bench = Bench::start();
    let (one, two) = (bench.enrol("one", "count"), bench.enrol("two", "count"));
    let (mut first, mut second) = (bench.worker("one", &one), bench.worker("two", &two));
    bench.wait_until_says("one", "attached fence", 1);
    bench.wait_until_says("two", "attached fence", 1);
    // Each takes four, so eight run at once.
    let jobs: Vec<_> = (0..8).map(|_| bench.gateway.submit("count", &json!(100_000))).collect();
    wait_for("all run", || jobs.iter().all(|job| status(&bench.gateway, job) == "running"));
    // The worker's next process says that it holds nothing.
    kill(first.child.id());
    first.wait();
    let again = bench.worker("one", &one);
    let ended = |bench: &Bench| jobs.iter().filter(|job| status(&bench.gateway, job) == "error").count();
    wait_for("the jobs of the killed one end", || ended(&bench) == 4);
    let revoked = bench.gateway.run(&["workers", "revoke", "two"]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert_eq!(second.wait().code(), Some(77));
    wait_for("the jobs of the revoked one end", || ended(&bench) == 8);
    let last = read(&bench.gateway, jobs.iter().rfind(|job| status(&bench.gateway, job) == "error").unwrap());
    assert_eq!(last.last().unwrap()["payload"]["retryable"], true);
    assert_eq!(bench.gateway.follow("count", &json!(3)).1, 0, "the other goes on");
    drop(again);
}

#[test]
fn a_token_is_for_one_process() {
    let bench = Bench::start();
    let token = bench.enrol("gpu-1", "*");
    let _first = bench.worker("gpu-1", &token);
    bench.wait_until_says("gpu-1", "attached fence", 1);
    let mut same = bench.worker("gpu-1", &token);
    assert_eq!(same.wait().code(), Some(75), "on one machine the directory tells");
    bench.wait_until_says("gpu-1", "another process uses", 1);
    let copy = bench.file("copy.token");
    fs::copy(&token, &copy).unwrap();
    let _elsewhere = bench.worker("copy", &copy);
    bench.wait_until_says("copy", "another process is attached", 1);
    assert_eq!(bench.gateway.follow("count", &json!(3)).1, 0, "the first is not disturbed");
}

#[test]
fn a_job_ends_when_its_worker_or_any_worker_was_waited_for_long_enough() {
    let bench = Bench::hasty();
    let token = bench.enrol("gpu-1", "count");
    let mut worker = bench.plain_worker("gpu-1", &token);
    bench.wait_until_says("gpu-1", "attached fence", 1);
    let job = bench.gateway.submit("count", &json!(100_000));
    watching(&bench.gateway, &job).line_with("job.event");
    kill(worker.child.id());
    worker.wait();
    for (seen, expected) in [
        (read(&bench.gateway, &job), "did not come back in time"),
        (bench.gateway.follow("count", &json!(3)).0, "no worker took the job up within 3 seconds"),
    ] {
        let last = &seen.last().unwrap()["payload"];
        assert_eq!((&last["code"], &last["retryable"]), (&json!("INTERNAL_ERROR"), &json!(true)), "{last}");
        assert!(last["message"].as_str().unwrap().contains(expected), "{last}");
    }
    let _again = bench.plain_worker("gpu-1", &token);
    bench.wait_until_says("gpu-1", "attached fence", 2);
    assert_eq!(bench.gateway.follow("count", &json!(3)).1, 0, "it may come back");
}
