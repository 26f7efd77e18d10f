//! Errors as a user of the framework meets and prints them: each cause once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::error::Error;

use cutrickle::processors::Passthrough;
use cutrickle::trickle::ClientConfig;
use cutrickle::{BoxError, StreamServer, TrickleClient, chain};

/// The texts of `error` and of all that caused it.
fn texts(error: &(dyn Error + 'static)) -> Vec<String> {
    let (mut texts, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts
}

#[track_caller]
fn says_each_cause_once(error: impl Into<BoxError>) {
    let error = error.into();
    let (line, texts) = (chain(&*error).to_string(), texts(&*error));
    assert!(texts.len() > 1, "{line}");
    for text in texts {
        assert_eq!(line.matches(&text).count(), 1, "{text:?} in {line:?}");
    }
}

#[tokio::test]
async fn each_crate_leaves_a_cause_to_be_printed_once() {
    let frame = cutrickle_frame::Error::from(cutrickle::candle_core::Error::Msg("out of memory".into()));
    says_each_cause_once(cutrickle_codec::Error::from(frame));

    let missing = ClientConfig { ca_file: Some("no/such/file".into()), ..ClientConfig::default() };
    says_each_cause_once(missing.tls().unwrap_err());

    says_each_cause_once(TrickleClient::connect("nonsense", "http://127.0.0.1:1/x").unwrap_err());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let server = StreamServer::builder(Passthrough).host("127.0.0.1").port(port).build().unwrap();
    says_each_cause_once(server.bind().await.err().unwrap());
}
