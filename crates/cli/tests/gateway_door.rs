//! The door of the session gateway: TLS, client certificates, reflection, and keys that end.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::fs;

use common::grpc::{Key, url, within};
use common::{Gateway, stderr, stdout};
use moorline_gateway_proto::v1;
use moorline_gateway_proto::v1::session_gateway_client::SessionGatewayClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// An authority that issues certificates for this machine.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key.
    fn issue(&self, common_name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A gateway with TLS, and with this beside it in its configuration.
struct Encrypted {
    authority: Authority,
    gateway: Gateway,
    files: tempfile::TempDir,
}

impl Encrypted {
    fn with(rest: &str) -> Self {
        let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
        let path = |name: &str| files.path().join(name).display().to_string();
        let (cert, key) = authority.issue("gateway");
        for (name, content) in [("cert.pem", cert), ("key.pem", key), ("ca.pem", authority.0.pem())] {
            fs::write(path(name), content).unwrap();
        }
        let config = format!(
            "[tls]\ncert = {:?}\nkey = {:?}\n{}\n[gateway]\nlisten = \"127.0.0.1:0\"\nreflection = true\n",
            path("cert.pem"),
            path("key.pem"),
            rest.replace("CA", &path("ca.pem")),
        );
        let gateway = Gateway::with(&config, &[]);
        Self { authority, gateway, files }
    }

    /// A client that trusts the authority, and shows a certificate with this name if it has one.
    async fn channel(&self, shown: Option<&str>) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.authority.0.pem()));
        let tls = match shown.map(|name| self.authority.issue(name)) {
            Some((cert, key)) => tls.identity(Identity::from_pem(cert, key)),
            None => tls,
        };
        Channel::from_shared(url(&self.gateway)).unwrap().tls_config(tls).unwrap().connect().await
    }
}

/// Whose session it is that somebody opens; or why there is none.
async fn owner(channel: Channel, key: Key) -> Result<String, Code> {
    let mut api = SessionGatewayClient::with_interceptor(channel, key);
    let opened = within(api.open_session(v1::OpenSessionRequest::default())).await;
    opened.map(|opened| opened.into_inner().session.unwrap().owner).map_err(|status| status.code())
}

#[tokio::test]
async fn with_a_certificate_everything_is_encrypted() {
    let encrypted = Encrypted::with("");
    let (gateway, key) = (&encrypted.gateway, Key::admin(&encrypted.gateway));
    let address = url(gateway);
    assert!(address.starts_with("https://"), "{address}");
    let channel = encrypted.channel(None).await.unwrap();
    assert_eq!(owner(channel.clone(), key.clone()).await, Ok("admin".to_owned()));
    let mut health = HealthClient::with_interceptor(channel, key.clone());
    within(health.check(HealthCheckRequest::default())).await.unwrap();

    // Neither plaintext nor a client that does not trust the certificate comes as far as a call.
    let plain = Channel::from_shared(address.replace("https:", "http:")).unwrap().connect().await;
    if let Ok(plain) = plain {
        let mut api = SessionGatewayClient::with_interceptor(plain, key);
        within(api.list_sessions(v1::ListSessionsRequest::default())).await.unwrap_err();
    }
    let stranger = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(Authority::new().0.pem()));
    let stranger = Channel::from_shared(address).unwrap().tls_config(stranger).unwrap();
    within(stranger.connect()).await.unwrap_err();

    let ca = encrypted.files.path().join("ca.pem");
    let listed = gateway.run(&["--ca-cert", ca.to_str().unwrap(), "gateway", "list"]);
    assert!(listed.status.success() && stdout(&listed).contains("session-"), "{}", stderr(&listed));
    let untrusting = gateway.run(&["gateway", "list"]);
    assert_eq!(untrusting.status.code(), Some(6), "{}", stderr(&untrusting));
}

#[tokio::test]
async fn a_clients_certificate_says_who_it_is_and_a_key_may_not_say_otherwise() {
    let principals = "client_ca = \"CA\"\nclient_principals = [\"CN:ci=build-bot\", \"CN:root=admin\"]\n";
    let encrypted = Encrypted::with(principals);
    let (admin, nobody) = (Key::admin(&encrypted.gateway), Key(None));
    for (shown, key, expected) in [
        (Some("ci"), &nobody, Ok("build-bot")),
        (Some("root"), &admin, Ok("admin")),
        (None, &admin, Ok("admin")),
        (Some("nobody"), &admin, Ok("admin")),
        (Some("ci"), &admin, Err(Code::Unauthenticated)),
        (Some("nobody"), &nobody, Err(Code::Unauthenticated)),
        (None, &nobody, Err(Code::Unauthenticated)),
    ] {
        let channel = within(encrypted.channel(shown)).await.unwrap();
        let opened = owner(channel, key.clone()).await;
        let opened = opened.as_deref().map_err(|code| *code);
        assert_eq!(opened, expected, "with the certificate {shown:?} and a key: {}", key.0.is_some());
    }
}

#[tokio::test]
async fn where_a_certificate_is_required_a_key_alone_is_not_enough() {
    let required = "client_ca = \"CA\"\nclient_principals = [\"CN:ci=build-bot\"]\nclient_auth = \"required\"\n";
    let encrypted = Encrypted::with(required);
    let admin = Key::admin(&encrypted.gateway);
    // The refusal of a certificate that is not there comes after the client's own part of the handshake.
    if let Ok(channel) = within(encrypted.channel(None)).await {
        owner(channel, admin.clone()).await.unwrap_err();
    }
    let channel = within(encrypted.channel(Some("nobody"))).await.unwrap();
    assert_eq!(owner(channel, admin).await, Ok("admin".to_owned()));
}

/// The command line shows a certificate to both of a gateway's doors.
#[test]
fn a_command_shows_the_certificate_that_it_is_given_with_its_key() {
    let required = "client_ca = \"CA\"\nclient_principals = [\"CN:ci=build-bot\"]\nclient_auth = \"required\"\n";
    let encrypted = Encrypted::with(required);
    let file = |name: &str, content: &str| {
        let path = encrypted.files.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let ((cert, key), (_, other)) = (encrypted.authority.issue("ci"), encrypted.authority.issue("ci"));
    let (cert, key, other) = (file("ci.pem", &cert), file("ci-key.pem", &key), file("other-key.pem", &other));
    let (ca, missing, text) = (file("trusted.pem", &encrypted.authority.0.pem()), "nowhere.pem", file("text", "ci"));
    let plaintext = ["--url", "http://127.0.0.1:1"];
    for (shown, elsewhere, code, fragments) in [
        (&["--no-reconnect"][..], &[][..], 6, &["show one with --client-cert"][..]),
        (&["--client-cert", &cert], &[], 2, &["--client-key"]),
        (&["--client-key", &key], &[], 2, &["--client-cert"]),
        (&["--client-cert", &cert, "--client-key", missing], &[], 2, &["cannot read nowhere.pem"]),
        (&["--client-cert", missing, "--client-key", &key], &[], 2, &["cannot read nowhere.pem"]),
        (&["--client-cert", &key, "--client-key", &cert], &[], 2, &["are the two options swapped?"]),
        (&["--client-cert", &text, "--client-key", &key], &[], 2, &["holds no certificate"]),
        (&["--client-cert", &cert, "--client-key", &other], &[], 2, &["does not belong to", "other-key.pem"]),
        (&["--client-cert", &cert, "--client-key", &key], &plaintext, 2, &["over TLS only", "https://"]),
    ] {
        for command in [&["gateway", "list"][..], &["jobs"]] {
            let is_jobs = command == ["jobs"];
            let elsewhere: Vec<_> = elsewhere
                .iter()
                .map(|word| if is_jobs { word.replace("http:", "ws:") } else { (*word).to_owned() })
                .collect();
            let elsewhere: Vec<_> = elsewhere.iter().map(String::as_str).collect();
            let output = encrypted.gateway.run(&[&["--ca-cert", &ca], shown, &elsewhere, command].concat());
            assert_eq!(output.status.code(), Some(code), "{shown:?} {command:?}: {}", stderr(&output));
            for fragment in fragments {
                let fragment = if is_jobs { fragment.replace("https:", "wss:") } else { (*fragment).to_owned() };
                assert!(stderr(&output).contains(&fragment), "{shown:?} {command:?}: {}", stderr(&output));
            }
        }
    }
    let known = ["--ca-cert", &ca, "--client-cert", &cert, "--client-key", &key];
    let run = |command: &[&str]| encrypted.gateway.run(&[&known[..], command].concat());
    let opened = run(&["gateway", "open"]);
    let session = stdout(&opened).trim().to_owned();
    assert!(opened.status.success(), "{}", stderr(&opened));
    let about = stdout(&run(&["gateway", "get", &session, "--json"]));
    assert!(about.contains("build-bot"), "{about}");
    let jobs = run(&["jobs"]);
    assert!(jobs.status.success() && stdout(&jobs).contains("simulated"), "{}", stderr(&jobs));
    let admin = encrypted.gateway.data_dir().join("admin.token");
    let mixed = run(&["--token-file", admin.to_str().unwrap(), "gateway", "list"]);
    assert_eq!(mixed.status.code(), Some(5), "a key of somebody else: {}", stderr(&mixed));
}

/// What the reflection service answers.
async fn reflected(channel: Channel, key: Key, asked: MessageRequest) -> Result<MessageResponse, Code> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let mut client = ServerReflectionClient::with_interceptor(channel, key);
    let answers = within(client.server_reflection_info(tokio_stream_of(request))).await;
    let mut answers = answers.map_err(|status| status.code())?.into_inner();
    let answer = within(answers.message()).await.map_err(|status| status.code())?;
    Ok(answer.unwrap().message_response.unwrap())
}

fn tokio_stream_of<T: Send + 'static>(one: T) -> impl futures_util::Stream<Item = T> + Send + 'static {
    futures_util::stream::iter([one])
}

#[tokio::test]
async fn the_api_is_told_to_whoever_has_a_key_where_that_is_configured() {
    const SERVICE: &str = "moorline.gateway.v1.SessionGateway";

    let encrypted = Encrypted::with("");
    let channel = encrypted.channel(None).await.unwrap();
    let key = Key::admin(&encrypted.gateway);
    let list = || MessageRequest::ListServices(String::new());
    let refused = reflected(channel.clone(), Key(None), list()).await;
    assert_eq!(refused.map(drop), Err(Code::Unauthenticated));
    let listed = reflected(channel.clone(), key.clone(), list()).await.unwrap();
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("{listed:?}") };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&SERVICE) && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    let found = reflected(channel, key, MessageRequest::FileContainingSymbol(SERVICE.to_owned())).await.unwrap();
    assert!(
        matches!(&found, MessageResponse::FileDescriptorResponse(found) if !found.file_descriptor_proto.is_empty())
    );

    let silent = Gateway::with("[gateway]\nlisten = \"127.0.0.1:0\"\n", &[]);
    let channel = Channel::from_shared(url(&silent)).unwrap().connect().await.unwrap();
    let untold = reflected(channel, Key::admin(&silent), list()).await;
    assert_eq!(untold.map(drop), Err(Code::Unimplemented));
}

#[tokio::test]
async fn a_stream_ends_with_the_key_that_it_was_asked_for_with() {
    let gateway = Gateway::with("[gateway]\nlisten = \"127.0.0.1:0\"\n", &[]);
    let made = gateway.run(&["keys", "create", "--principal", "ada", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&stdout(&made)).unwrap_or_else(|_| panic!("{}", stderr(&made)));
    let secret = made["secret"].as_str().unwrap_or_else(|| panic!("{made}"));
    gateway.secret(common::secrets::API_KEY, secret);
    let channel = Channel::from_shared(url(&gateway)).unwrap().connect().await.unwrap();
    let mut api = SessionGatewayClient::with_interceptor(channel, Key::of(secret));
    let session = within(api.open_session(v1::OpenSessionRequest::default())).await.unwrap().into_inner().session;
    let session_id = session.unwrap().session_id;
    let asked = v1::StreamEventsRequest { session_id: session_id.clone(), ..Default::default() };
    let mut events = within(api.stream_events(asked)).await.unwrap().into_inner();
    let mut alarms = within(api.stream_alarms(v1::StreamAlarmsRequest { session_id })).await.unwrap().into_inner();
    let revoked = gateway.run(&["keys", "revoke", made["key"]["id"].as_str().unwrap_or_else(|| panic!("{made}"))]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    let end = within(async {
        loop {
            match events.message().await {
                Ok(event) => assert!(event.is_some(), "the session is not over"),
                Err(status) => return status.code(),
            }
        }
    });
    assert_eq!(end.await, Code::Unauthenticated);
    let end = within(async {
        loop {
            match alarms.message().await {
                Ok(alarm) => assert!(alarm.is_some(), "the session is not over"),
                Err(status) => return status.code(),
            }
        }
    });
    assert_eq!(end.await, Code::Unauthenticated);
}
