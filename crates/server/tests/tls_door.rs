//! The door for clients with TLS: certificates that are renewed, and those that clients show.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed expectation is a failed test, and a test names the cases that it is about"
)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Bench, Client, hello_with, http_options};
use moorline_server::http::HttpOptions;
use moorline_server::tls::{Certificates, ClientCerts, TlsFiles};
use moorline_types::{Principal, Scope, Scopes};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{Connector, client_async_tls_with_config};

/// An authority and what it has issued.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate with its key, as PEM and as DER.
    fn issue(&self, host: &str, common_name: &str) -> Issued {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Issued {
            pem: (cert.pem(), key.serialize_pem()),
            der: (cert.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())),
        }
    }

    /// A client's view: it trusts this authority, and shows a certificate if it has one.
    fn client(&self, shown: Option<&Issued>) -> Connector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match shown {
            Some(Issued { der: (cert, key), .. }) => {
                builder.with_client_auth_cert(vec![cert.clone()], key.clone_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Connector::Rustls(Arc::new(config))
    }
}

struct Issued {
    pem: (String, String),
    der: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Issued {
    fn write(&self, directory: &Path) {
        fs::write(directory.join("cert.pem"), &self.pem.0).unwrap();
        fs::write(directory.join("key.pem"), &self.pem.1).unwrap();
    }
}

fn files(directory: &Path) -> TlsFiles {
    TlsFiles { cert: directory.join("cert.pem"), key: directory.join("key.pem"), clients: None }
}

/// Connects under this name; `None` if the two do not come to terms.
async fn connect(bench: &Bench, host: &str, connector: Connector) -> Option<Client> {
    let stream = TcpStream::connect(bench.address).await.unwrap();
    let url = format!("wss://{host}/arcp");
    let (socket, _) = client_async_tls_with_config(url, stream, None, Some(connector)).await.ok()?;
    Some(Client { socket, session: None })
}

/// Says hello, and returns the answer; `None` if the connection ends without one.
async fn greet(bench: &Bench, connector: Connector, auth: &Value) -> Option<Value> {
    let mut client = connect(bench, "localhost", connector).await?;
    client.send(&hello_with(auth)).await;
    client.recv().await
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    authority.issue("before.example", "before").write(directory.path());
    let certificates = Arc::new(Certificates::load(files(directory.path())).unwrap());
    let bench = Bench::behind(HttpOptions { tls: Some(Arc::clone(&certificates)), ..http_options() }).await;
    let mut old = connect(&bench, "before.example", authority.client(None)).await.expect("its name is the host's");
    assert!(connect(&bench, "after.example", authority.client(None)).await.is_none());

    for (cert, key) in [
        (authority.issue("after.example", "after").pem.0, None),
        ("rubbish".to_owned(), None),
        (String::new(), Some(String::new())),
    ] {
        fs::write(directory.path().join("cert.pem"), cert).unwrap();
        if let Some(key) = key {
            fs::write(directory.path().join("key.pem"), key).unwrap();
        }
        certificates.reload();
        assert!(connect(&bench, "before.example", authority.client(None)).await.is_some(), "it stays as it was");
    }

    authority.issue("after.example", "after").write(directory.path());
    certificates.reload();
    assert!(connect(&bench, "after.example", authority.client(None)).await.is_some(), "and so do the host names");
    assert!(connect(&bench, "before.example", authority.client(None)).await.is_none());
    old.send(&bench.hello()).await;
    assert_eq!(old.recv().await.unwrap()["type"], "session.welcome", "who was connected stays so");
}

#[tokio::test]
async fn a_certificate_that_changes_is_noticed() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    authority.issue("before.example", "before").write(directory.path());
    let certificates = Certificates::load(files(directory.path())).unwrap();
    tokio::time::pause();
    authority.issue("after.example.com", "after").write(directory.path());
    // Two writes within the clock's grain would look like one.
    let renewed = fs::File::options().write(true).open(directory.path().join("cert.pem")).unwrap();
    renewed.set_modified(std::time::UNIX_EPOCH).unwrap();
    tokio::select! {
        () = certificates.watch(|_| {}) => {}
        () = async {
            while *certificates.hosts() != ["after.example.com"] {
                // not a wait: it moves the paused clock on
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        } => {}
    }
}

/// Who may submit jobs, and see and cancel its own.
fn jobs_of(who: &str) -> Arc<Principal> {
    Arc::new(Principal::new(who.parse().unwrap(), Scopes::JOBS))
}

#[tokio::test]
async fn what_a_certificates_principal_may_do_is_configured_and_a_token_beside_it_says_otherwise() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    authority.issue("localhost", "gateway").write(directory.path());
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, authority.0.pem()).unwrap();
    let mut watcher = Principal::new("ada".parse().unwrap(), Scope::Observe.into());
    watcher.grants.quotas.sessions = Some(1);
    let clients = Some(ClientCerts { authority: ca, is_required: true });
    let tls = Certificates::load(TlsFiles { clients, ..files(directory.path()) }).unwrap();
    let client_principals = [("CN:ci".parse().unwrap(), Arc::new(watcher))].into();
    let door = HttpOptions { tls: Some(Arc::new(tls)), client_principals, ..http_options() };
    let bench = Bench::behind(door).await;
    let shown = || authority.client(Some(&authority.issue("ci.example", "ci")));

    let mut client = connect(&bench, "localhost", shown()).await.unwrap();
    client.send(&hello_with(&json!(null))).await;
    client.session = client.recv_type("session.welcome").await["session_id"].as_str().map(str::to_owned);
    client.say("msg_1", "job.submit", json!({ "agent": "echo", "input": 1 })).await;
    let refused = client.recv_type("session.error").await["payload"].take();
    assert_eq!((&refused["code"], &refused["details"]["scope"]), (&json!("PERMISSION_DENIED"), &json!("submit")));
    let second = greet(&bench, shown(), &json!(null)).await.unwrap();
    assert_eq!(second["payload"]["details"], json!({ "quota": "sessions", "limit": 1, "used": 1 }), "{second}");

    let mut client = connect(&bench, "localhost", shown()).await.unwrap();
    client.send(&bench.hello()).await;
    client.session = client.recv_type("session.welcome").await["session_id"].as_str().map(str::to_owned);
    assert_eq!(client.echo(json!(1)).await, json!(1), "the key may submit");
}

#[tokio::test]
async fn a_clients_certificate_says_who_it_is_and_a_token_may_not_say_otherwise() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    authority.issue("localhost", "gateway").write(directory.path());
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, authority.0.pem()).unwrap();
    let principals = [("CN:ci", "ada"), ("CN:other", "eve"), ("DNS:both.example", "eve"), ("CN:both", "ada")];
    let client_principals = principals.map(|(name, who)| (name.parse().unwrap(), jobs_of(who))).into();
    let door = |is_required| {
        let clients = Some(ClientCerts { authority: ca.clone(), is_required });
        let tls = Certificates::load(TlsFiles { clients, ..files(directory.path()) }).unwrap();
        HttpOptions { tls: Some(Arc::new(tls)), ..http_options() }
    };
    let bench = Bench::behind(HttpOptions { client_principals, ..door(false) }).await;

    let shown = |name: &str| authority.client(Some(&authority.issue(&format!("{name}.example"), name)));
    let foreign = Authority::new().issue("ci.example", "ci");
    let (nothing, ours) = (json!(null), bench.hello()["payload"]["auth"].clone());
    for (what, connector, auth, answer) in [
        ("neither", authority.client(None), &nothing, Some("session.error")),
        ("a token alone", authority.client(None), &ours, Some("session.welcome")),
        ("a certificate alone", shown("ci"), &nothing, Some("session.welcome")),
        ("both", shown("ci"), &ours, Some("session.welcome")),
        ("a certificate and another's token", shown("other"), &ours, Some("session.error")),
        (
            "a certificate and a wrong token",
            shown("ci"),
            &json!({"scheme":"bearer","token":"x"}),
            Some("session.error"),
        ),
        ("a certificate of nobody", shown("nobody"), &nothing, Some("session.error")),
        ("a certificate of nobody and a token", shown("nobody"), &ours, Some("session.welcome")),
        ("a certificate of two", shown("both"), &nothing, Some("session.error")),
        ("a certificate of another authority", authority.client(Some(&foreign)), &ours, None),
    ] {
        let answered = greet(&bench, connector, auth).await;
        assert_eq!(answered.as_ref().and_then(|answer| answer["type"].as_str()), answer, "{what}: {answered:?}");
    }

    let strict = Bench::behind(door(true)).await;
    let token = strict.hello()["payload"]["auth"].clone();
    assert!(greet(&strict, authority.client(None), &token).await.is_none(), "a certificate is required");
    assert!(greet(&strict, shown("nobody"), &token).await.is_some());
}
