//! Keys that an issuer publishes, from real servers on real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use moorline_runtime::{TaskKind, Tasks};
use rcgen::CertificateParams;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::fetch::Fetcher;
use super::*;
use crate::tls::{Certificates, TlsFiles};

/// Answers every request with the same bytes, until they are changed.
#[derive(Default)]
struct Publisher {
    answer: Mutex<Vec<u8>>,
    asked: AtomicUsize,
}

impl Publisher {
    fn publish(&self, keys: &[&Issuer]) {
        let keys: Vec<Value> = keys.iter().map(|issuer| issuer.jwk()).collect();
        self.answer_with(&ok(json!({ "keys": keys }).to_string().as_bytes()));
    }

    fn answer_with(&self, answer: &[u8]) {
        *self.answer.lock().unwrap() = answer.to_vec();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Serves; answers its port.
    async fn serve(self: &Arc<Self>, tls: Option<Arc<Certificates>>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = Arc::clone(self);
        Tasks::default().spawn(TaskKind::Door, async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                match &tls {
                    Some(tls) => {
                        if let Ok(stream) = tls.acceptor().accept(stream).await {
                            publisher.answer(stream).await;
                        }
                    }
                    None => publisher.answer(stream).await,
                }
            }
        });
        port
    }

    /// An empty answer is none: the connection stays as it is until the other side ends it.
    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = [0; 4096];
        if stream.read(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.lock().unwrap().clone();
        if answer.is_empty() {
            assert_eq!(stream.read(&mut request).await.unwrap_or(0), 0, "a second request");
            return;
        }
        // Whoever finds the answer too large goes away.
        if stream.write_all(&answer).await.is_ok() {
            stream.shutdown().await.ok();
        }
    }
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn address(url: String) -> JwtKeys {
    JwtKeys::Address { url: url.parse().unwrap(), authority: None }
}

fn started(keys: JwtKeys) -> Arc<Jwt> {
    let jwt = Arc::new(Jwt::load(config(keys)).unwrap());
    let watched = Arc::clone(&jwt);
    Tasks::default().spawn(TaskKind::TokenKeys, async move { watched.watch(|_| {}).await });
    jwt
}

async fn is_let_in(jwt: &Jwt, issuer: &Issuer) -> bool {
    jwt.authenticate(&issuer.sign(&claims()), now()).await.is_ok()
}

#[tokio::test]
async fn keys_that_are_published_anew_are_fetched_when_a_token_names_one_and_at_a_bounded_rate() {
    let (first, second, third) =
        (Issuer::new("ES256", "one"), Issuer::new("EdDSA", "two"), Issuer::new("ES384", "three"));
    let publisher = Arc::new(Publisher::default());
    publisher.publish(&[&first]);
    let jwt = started(address(format!("http://127.0.0.1:{}/keys", publisher.serve(None).await)));
    assert!(is_let_in(&jwt, &first).await, "who comes before the first answer waits for it");
    assert!(is_let_in(&jwt, &first).await);
    assert_eq!(publisher.asked(), 1, "keys that are known are not asked for");

    publisher.publish(&[&first, &second]);
    assert!(is_let_in(&jwt, &second).await);
    let before = publisher.asked();
    let unknown = third.sign(&claims());
    let answers = join_all((0..50).map(|_| jwt.authenticate(&unknown, now()))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().err() == Some(&NotTrusted::UnknownKey)));
    assert!(publisher.asked() <= before + 2, "{} requests for 50 tokens", publisher.asked() - before);

    // The issuer has withdrawn a key, and what it answers then cannot be used.
    publisher.publish(&[&second]);
    assert_eq!(refused(&jwt, &unknown).await, NotTrusted::UnknownKey);
    assert_eq!(refused(&jwt, &first.sign(&claims())).await, NotTrusted::UnknownKey);
    publisher.answer_with(&ok(b"<html>maintenance</html>"));
    assert_eq!(refused(&jwt, &unknown).await, NotTrusted::UnknownKey);
    assert!(is_let_in(&jwt, &second).await, "the keys of before stay");
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_says_why() {
    let large = ok(&vec![b' '; 300 * 1024]);
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b' '; 300 * 1024]].concat();
    for (answer, expected) in [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".as_slice(), "500"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "302"),
        (&large, "larger than 262144 bytes"),
        (&endless, "larger than 262144 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broken"),
        (b"SSH-2.0-hello\r\n\r\n", "the request failed"),
    ] {
        let publisher = Arc::new(Publisher::default());
        publisher.answer_with(answer);
        let url = format!("http://localhost:{}/", publisher.serve(None).await);
        let error = Fetcher::new(url.parse().unwrap(), None).unwrap().fetch().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// Time passes as soon as everybody waits.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_does_not_answer_is_given_up() {
    let publisher = Arc::new(Publisher::default());
    let port = publisher.serve(None).await;
    let fetcher = Fetcher::new(format!("http://127.0.0.1:{port}/").parse().unwrap(), None).unwrap();
    assert!(fetcher.fetch().await.unwrap_err().to_string().contains("no answer within"));
    let jwt = started(address(format!("http://127.0.0.1:{port}/")));
    assert_eq!(refused(&jwt, &Issuer::new("ES256", "one").sign(&claims())).await, NotTrusted::UnknownKey);
}

#[tokio::test]
async fn with_tls_the_issuer_has_to_be_who_its_address_says() {
    let pair = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let dir = TempDir::new().unwrap();
    let (cert_path, key_path) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert_path, cert.pem()).unwrap();
    fs::write(&key_path, pair.serialize_pem()).unwrap();
    let files = TlsFiles { cert: cert_path.clone(), key: key_path, clients: None };
    let issuer = Issuer::new("ES256", "one");
    let publisher = Arc::new(Publisher::default());
    publisher.publish(&[&issuer]);
    let port = publisher.serve(Some(Arc::new(Certificates::load(files).unwrap()))).await;
    for (host, authority, is_fetched) in [
        ("localhost", Some(cert_path.as_path()), true),
        ("127.0.0.1", Some(cert_path.as_path()), false),
        ("localhost", None, false),
    ] {
        let url = format!("https://{host}:{port}/keys").parse().unwrap();
        let fetched = Fetcher::new(url, authority).unwrap().fetch().await;
        assert_eq!(fetched.is_ok(), is_fetched, "{host}: {fetched:?}");
    }
}
