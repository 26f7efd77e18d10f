//! TLS: certificates are verified by default, a CA file can be added, and verification can be switched off.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutrickle_trickle::{ClientConfig, Publisher, Start, Subscriber};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Answers every request with a segment 0 of one byte.
async fn server() -> String {
    let certificates =
        CertificateDer::pem_file_iter(data("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(data("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/ch", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer =
                "HTTP/1.1 200 OK\r\nLp-Trickle-Seq: 0\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

async fn read(config: ClientConfig) -> Result<String, cutrickle_trickle::Error> {
    let mut subscriber = Subscriber::new(&server().await, Start::Current, config).unwrap();
    let mut segment = soon("an answer", subscriber.next()).await?.expect("a segment");
    Ok(String::from_utf8(soon("the segment", segment.collect(10)).await?.to_vec()).unwrap())
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let error = read(ClientConfig::default()).await.unwrap_err();
    assert!(error.is_tls());
    assert!(error.to_string().ends_with("/ch: TLS failed"), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("invalid peer certificate"), "{cause}");
    let mut publisher = Publisher::new(&server().await, "x/y", ClientConfig::default()).unwrap();
    assert!(soon("the answer", publisher.segment()).await.unwrap_err().is_tls());
}

#[tokio::test]
async fn a_ca_file_vouches_for_its_certificates() {
    let config = ClientConfig { ca_file: Some(data("ca.pem")), ..ClientConfig::default() };
    assert_eq!(read(config).await.unwrap(), "x");
}

#[tokio::test]
async fn verification_can_be_switched_off() {
    let config = ClientConfig { insecure_skip_verify: true, ..ClientConfig::default() };
    assert_eq!(read(config).await.unwrap(), "x");
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_used_is_an_error_that_names_it() {
    for name in ["missing.pem", "server.key"] {
        let config = ClientConfig { ca_file: Some(data(name)), ..ClientConfig::default() };
        let error = read(config).await.unwrap_err();
        assert!(error.is_tls());
        assert!(std::error::Error::source(&error).unwrap().to_string().contains(name));
    }
}
