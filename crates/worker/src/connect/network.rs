//! Reaching a gateway on another machine.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Dial;
use crate::stream::Stream;

/// A gateway's address on the network. With TLS, whoever answers must have a certificate for it; either way it must
/// know the worker's key ([`crate::handshake`]), and without TLS everybody on the way reads what jobs say.
#[derive(Clone)]
pub struct NetworkDial {
    address: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why an address cannot be dialled at all.
#[derive(Debug, thiserror::Error)]
pub enum NetworkDialError {
    /// The text is no address.
    #[error("an address is HOST:PORT, such as gateway.example:7708")]
    Address,
    /// No certificate can be for such a host.
    #[error("no certificate can be for this host")]
    Name(#[source] InvalidDnsNameError),
    /// What should be trusted cannot be read.
    #[error("what is to be trusted is no PEM file with certificates")]
    Pem(#[source] pem::Error),
    /// There is no certificate in what should be trusted.
    #[error("there is no certificate in the file of certificates to trust")]
    NoCertificate,
    /// TLS cannot be used so.
    #[error("the certificates to trust cannot be used")]
    Tls(#[from] rustls::Error),
}

impl NetworkDial {
    /// Dials with TLS, trusting the public roots and the certificates in `trusted` (PEM).
    ///
    /// # Errors
    /// See [`NetworkDialError`].
    pub fn with_tls(address: &str, trusted: Option<&[u8]>) -> Result<Self, NetworkDialError> {
        let name = ServerName::try_from(host(address)?.to_owned()).map_err(NetworkDialError::Name)?;
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = trusted {
            add(&mut roots, pem)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address: address.to_owned(), tls: Some((TlsConnector::from(Arc::new(config)), name)) })
    }

    /// Dials without TLS.
    ///
    /// # Errors
    /// If the address is none.
    pub fn plaintext(address: &str) -> Result<Self, NetworkDialError> {
        host(address)?;
        Ok(Self { address: address.to_owned(), tls: None })
    }
}

#[async_trait]
impl Dial for NetworkDial {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.address).await?;
        // Messages are written whole; waiting for more to send would only delay them.
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            None => Box::new(stream),
        })
    }
}

impl std::fmt::Debug for NetworkDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has_tls = self.tls.is_some();
        f.debug_struct("NetworkDial").field("address", &self.address).field("tls", &has_tls).finish()
    }
}

/// The host of `HOST:PORT`; one that is an IPv6 address stands in brackets.
fn host(address: &str) -> Result<&str, NetworkDialError> {
    let (host, port) = address.rsplit_once(':').ok_or(NetworkDialError::Address)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_whole = bare.is_some() || !host.contains(':');
    match port.parse::<u16>() {
        Ok(1..) if is_whole && !host.is_empty() => Ok(bare.unwrap_or(host)),
        _ => Err(NetworkDialError::Address),
    }
}

fn add(roots: &mut RootCertStore, trusted: &[u8]) -> Result<(), NetworkDialError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(trusted) {
        roots.add(certificate.map_err(NetworkDialError::Pem)?)?;
    }
    if roots.len() == before { Err(NetworkDialError::NoCertificate) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for bad in
            ["", "gateway", "gateway:", ":7708", "gateway:0", "gateway:70000", "gateway:http", "::1:7708", "[::1]"]
        {
            assert!(host(bad).is_err(), "{bad:?}");
        }
        for (good, expected) in
            [("gateway.example:7708", "gateway.example"), ("192.0.2.1:1", "192.0.2.1"), ("[::1]:7708", "::1")]
        {
            assert_eq!(host(good).unwrap(), expected);
            assert!(NetworkDial::with_tls(good, None).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        for pem in ["", "/etc/ssl/ca.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
            assert!(NetworkDial::with_tls("gateway:7708", Some(pem.as_bytes())).is_err(), "{pem:?}");
        }
    }
}
