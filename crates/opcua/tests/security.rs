//! Endpoints that are secured: messages that nobody reads along, servers that are trusted, clients and users that are.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod support;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moorline_backend::contract::{Command, Done, StatusCategory, Value};
use moorline_backend::{OpenError, Opened, Opener as _};
use moorline_opcua_testkit::pki::{self, Pki};
use moorline_opcua_testkit::{Options, Recorder, Security, TestServer, tags};
use support::{PATIENCE, Session};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// What is written, and must not be seen.
const RECIPE: &str = "the recipe of the house";

/// What an endpoint says that takes whatever certificate it is shown.
const TRUSTING: &str = "trust_unknown_certificates = true\n";

/// A directory with a file and certificates of ours.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    async fn open(&self, url: &str, endpoint: &str) -> Result<Opened, OpenError> {
        support::open(self.0.path(), url, endpoint, "{}").await
    }

    /// Why it does not open.
    async fn refusal(&self, url: &str, endpoint: &str) -> String {
        match self.open(url, endpoint).await {
            Ok(_) => panic!("it is open: {endpoint}"),
            Err(error) => error.to_string(),
        }
    }

    /// Opens, looks at a value, and closes again.
    async fn succeeds(&self, url: &str, endpoint: &str) {
        let opened = self.open(url, endpoint).await.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
        let mut session = Session::of(opened).await;
        let at = session.advised("Int32").await;
        assert_eq!(session.sample(at).await.0.value, Value::Integer(-32), "{endpoint}");
        session.close().await;
    }
}

async fn server(security: Security) -> TestServer {
    TestServer::start(Options { security, ..Options::default() }).await.unwrap()
}

fn as_certificate(certificate: &Path, key: &Path) -> String {
    format!("user_certificate = \"{}\"\nuser_key = \"{}\"\n", certificate.display(), key.display())
}

#[tokio::test]
async fn what_is_written_in_an_encrypted_session_is_nowhere_on_the_wire() {
    let server = server(Security::Trusting).await;
    let home = Home::new();
    for (policy, mode, is_readable) in [
        ("Basic256Sha256", "SignAndEncrypt", false),
        ("Aes128-Sha256-RsaOaep", "SignAndEncrypt", false),
        ("Aes256-Sha256-RsaPss", "SignAndEncrypt", false),
        ("Basic256Sha256", "Sign", true),
    ] {
        let wire = Recorder::to(server.address()).await.unwrap();
        let url = format!("opc.tcp://{}/", wire.address());
        let endpoint = format!("security_policy = \"{policy}\"\nsecurity_mode = \"{mode}\"\n{TRUSTING}");
        let mut session = Session::of(home.open(&url, &endpoint).await.unwrap()).await;
        let at = session.advised("String").await;
        session.sample(at).await;
        assert!(session.write(Session::write_of(at, Value::Text(RECIPE.to_owned()))).await.success);
        session.value(at, &Value::Text(RECIPE.to_owned())).await;
        assert_eq!(wire.has_carried(RECIPE.as_bytes()), is_readable, "{policy} {mode}");
        assert!(session.write(Session::write_of(at, Value::Text(policy.to_owned()))).await.success);
        session.close().await;
    }
}

#[tokio::test]
async fn a_server_that_nobody_trusts_is_refused_and_the_refusal_says_which_file_to_move_where() {
    let mut server = server(Security::Trusting).await;
    let (home, url) = (Home::new(), server.url());
    for _ in 0..2 {
        let refusal = home.refusal(&url, "").await;
        let shown = [home.at("pki/rejected"), home.at("pki/trusted")].map(|path| path.display().to_string());
        assert!(shown.iter().all(|path| refusal.contains(path)) && refusal.contains("mv '"), "{refusal}");
    }
    pki::move_all(&home.at("pki/rejected"), &home.at("pki/trusted")).unwrap();
    home.succeeds(&url, "").await;

    server.start_again().await.unwrap();
    home.succeeds(&url, "").await;
    server.crash().await;
    let options = Options { security: Security::Trusting, ..Options::default() };
    let impostor = TestServer::start_at(server.address().port(), options).await.unwrap();
    let refusal = home.refusal(&impostor.url(), "").await;
    assert!(refusal.contains("not trusted"), "another server is at the same place: {refusal}");
}

#[tokio::test]
async fn a_certificate_for_another_host_and_an_endpoint_that_is_not_there_are_refused_with_their_remedy() {
    let server = server(Security::Trusting).await;
    let home = Home::new();
    // Every address that begins with 127 is this machine, and the certificate has only the first of them.
    let elsewhere = Recorder::at(Ipv4Addr::new(127, 0, 0, 2), server.address()).await.unwrap();
    let refusal = home.refusal(&format!("opc.tcp://{}/", elsewhere.address()), TRUSTING).await;
    assert!(refusal.contains("127.0.0.2") && refusal.contains("url"), "{refusal}");
    let plain = TestServer::start(Options::default()).await.unwrap();
    let refusal = home.refusal(&plain.url(), TRUSTING).await;
    assert!(refusal.contains("Basic256Sha256") && refusal.contains("it has None"), "{refusal}");
}

/// Sessions that are opened in one instant, each as a worker would.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn workers_that_start_in_one_instant_show_the_server_one_certificate() {
    let server = server(Security::Strict).await;
    let (home, url) = (Home::new(), server.url());
    let back_end = Arc::new(support::back_end(home.0.path(), &url, TRUSTING));
    let opened = async || {
        let mut opening = JoinSet::new();
        for _ in 0..AT_ONCE {
            let back_end = Arc::clone(&back_end);
            opening.spawn(async move { back_end.open(None).await });
        }
        opening.join_all().await
    };
    for refused in opened().await {
        let refusal = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refusal.contains("let the server trust"), "{refusal}");
    }
    let shown = std::fs::read_dir(server.pki().directory().join("rejected")).unwrap().count();
    assert_eq!(shown, 1, "they have shown it different ones");
    server.pki().trust_rejected().unwrap();
    for opened in opened().await {
        opened.unwrap_or_else(|error| panic!("{error}")).close().await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_trust_us_is_told_of_with_the_file_that_it_is_to_trust() {
    let server = server(Security::Strict).await;
    let (home, url) = (Home::new(), server.url());
    let refusal = home.refusal(&url, TRUSTING).await;
    let own = home.at("pki/own/cert.der");
    assert!(own.exists() && refusal.contains(&own.display().to_string()), "{refusal}");
    server.pki().trust_rejected().unwrap();
    home.succeeds(&url, TRUSTING).await;
}

#[tokio::test]
async fn users_are_let_in_by_their_password_or_their_certificate_and_others_are_refused_by_name() {
    let server = server(Security::Trusting).await;
    let (home, url) = (Home::new(), server.url());
    let (stranger, strangers_key) = (home.at("stranger.der"), home.at("stranger.pem"));
    pki::make("stranger", &stranger, &strangers_key).unwrap();
    std::fs::write(home.at("no.pem"), "no key").unwrap();
    let pki: &Pki = server.pki();
    let (engineer, key) = (pki.user_certificate(), pki.user_key());

    for user in [&password("operator", "OPCUA_OPERATOR"), &as_certificate(&engineer, &key)] {
        let mut session = Session::of(home.open(&url, &format!("{TRUSTING}{user}")).await.unwrap()).await;
        let at = session.advised(tags::SECURED).await;
        session.sample(at).await;
        assert!(session.write(Session::write_of(at, Value::Integer(1))).await.success, "{user}");
        session.close().await;
    }
    for (user, words) in [
        (password("operator", "OPCUA_NOBODY"), ["operator", "check"]),
        (password("nobody", "OPCUA_OPERATOR"), ["nobody", "check"]),
        (as_certificate(&stranger, &strangers_key), ["stranger.der", "trust"]),
        (as_certificate(&engineer, &strangers_key), ["stranger.pem", "is not the key"]),
        (as_certificate(&home.at("nowhere.der"), &key), ["user_certificate", "nowhere.der"]),
        (as_certificate(&engineer, &home.at("no.pem")), ["user_key", "PEM"]),
    ] {
        let refusal = home.refusal(&url, &format!("{TRUSTING}{user}")).await;
        assert!(words.iter().all(|word| refusal.contains(word)), "{user}: {refusal}");
        assert!(!refusal.contains(tags::PASSWORD) && !refusal.contains("of-nobody"), "{refusal}");
    }
}

fn password(user: &str, variable: &str) -> String {
    format!("user = \"{user}\"\npassword_env = \"{variable}\"\n")
}

#[tokio::test]
async fn a_user_of_a_client_is_authenticated_over_what_is_secured() {
    let server = server(Security::Trusting).await;
    let home = Home::new();
    let mut session = Session::of(home.open(&server.url(), TRUSTING).await.unwrap()).await;
    let wrong = session.authenticate(tags::USER, "another").await;
    assert_eq!((wrong.success, wrong.statuses[0].category), (false, StatusCategory::SecurityError), "{wrong:?}");
    let right = session.authenticate(tags::USER, tags::PASSWORD).await;
    assert!(matches!(right.done, Done::User(_)), "{right:?}");
    session.close().await;
}

#[tokio::test]
async fn a_session_goes_on_with_a_server_that_comes_back_with_another_certificate_that_is_trusted() {
    let mut server = server(Security::Trusting).await;
    let home = Home::new();
    let mut session = Session::of(home.open(&server.url(), TRUSTING).await.unwrap()).await;
    let at = session.advised("Int32").await;
    session.sample(at).await;
    server.crash().await;
    server.pki().renew().unwrap();
    server.start_again().await.unwrap();
    session.gap().await;
    session.value(at, &Value::Integer(-32)).await;
    assert!(session.write(Session::write_of(at, Value::Integer(1))).await.success);
    session.close().await;
}

/// Why the links of a session have no connection.
async fn problems(session: &mut Session) -> [String; 2] {
    let Done::Session(state) = session.done(Command::SessionState).await else { panic!() };
    [state.link.unwrap().problem, state.servers[0].link.clone().unwrap().problem]
}

#[tokio::test]
async fn a_session_says_how_to_trust_a_server_that_comes_back_with_another_certificate_and_goes_on_when_that_is_done() {
    let mut server = server(Security::Trusting).await;
    let (home, url) = (Home::new(), server.url());
    home.refusal(&url, "").await;
    pki::move_all(&home.at("pki/rejected"), &home.at("pki/trusted")).unwrap();
    let mut session = Session::of(home.open(&url, "request_timeout_ms = 500").await.unwrap()).await;
    assert_eq!(problems(&mut session).await, ["", ""]);
    let at = session.advised("Int32").await;
    session.sample(at).await;
    server.crash().await;
    server.pki().renew().unwrap();
    server.start_again().await.unwrap();

    let said = async {
        loop {
            let problems = problems(&mut session).await;
            if problems.iter().all(|problem| problem.contains("not trusted")) {
                return problems;
            }
            // not a wait: it is a pause between two looks.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let [problem, _] = tokio::time::timeout(PATIENCE, said).await.expect("it is not said what is wrong");
    let read = session.invoke(Command::Read { items: vec![tags::item("Int32")] }).await;
    let register = session.invoke(Command::Register { client: "another".to_owned() }).await;
    for said in [problem, read.message, register.message] {
        let (_, remedy) = said.split_once('`').unwrap_or_else(|| panic!("{said}"));
        let (remedy, then) = remedy.split_once('`').unwrap();
        assert!(remedy.starts_with("mv '") && then.contains("goes on by itself"), "{said}");
    }
    assert_eq!(read.statuses[0].category, StatusCategory::CommunicationError);

    // What it says is done as it says, by a shell.
    let [problem, _] = problems(&mut session).await;
    let remedy = problem.split('`').nth(1).unwrap();
    assert!(std::process::Command::new("sh").args(["-c", remedy]).status().unwrap().success(), "{remedy}");
    session.gap().await;
    session.value(at, &Value::Integer(-32)).await;
    assert_eq!(problems(&mut session).await, ["", ""]);
    session.close().await;
}
