//! The service within another hyper or axum server, and garbage that is sent to the sockets of this one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use cutrickle_trickle::{ServerConfig, Service};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{Raw, Running, soon};

async fn call(service: &Service, method: Method, path: &str, body: &'static str) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(path).body(Full::from(body)).unwrap();
    let (head, body) = soon("an answer", service.handle(request)).await.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_service_answers_requests_of_any_server() {
    let service = Service::new(&ServerConfig { base: "/live".into(), ..ServerConfig::default() });
    let answer = call(&service, Method::POST, "/live/ch/0", "hello").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["lp-trickle-seq"], "0");
    assert_eq!(call(&service, Method::GET, "/live/ch/-2", "").await.body(), "hello");
    assert_eq!(call(&service, Method::GET, "/live/ch/next", "").await.body(), "1");
    assert_eq!((service.channels(), service.held_bytes()), (1, 5));
    assert_eq!(call(&service, Method::DELETE, "/live/ch", "").await.status(), StatusCode::OK);
    assert_eq!((service.channels(), service.held_bytes()), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_no_reader_behind() {
    let service = Service::new(&ServerConfig::default());
    assert_eq!(call(&service, Method::POST, "/ch", "").await.status(), StatusCode::OK);
    for _ in 0..100 {
        let request = Request::get("/ch/-1").body(Full::<Bytes>::default()).unwrap();
        let waiting = service.handle(request);
        tokio::select! {
            biased;
            _ = waiting => panic!("answered without a byte"),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(call(&service, Method::POST, "/ch/0", "x").await.status(), StatusCode::OK);
    assert_eq!(call(&service, Method::GET, "/ch/0", "").await.body(), "x");
}

#[tokio::test]
async fn garbage_costs_its_own_connection_only() {
    let server = Running::start(ServerConfig::default()).await;
    let mut raw = server.writer("/ch/0", "kept").await;
    for garbage in [
        "\x16\x03\x01\x02\x00\r\n\r\n".to_owned(),
        "GET /ch/0\r\n\r\n".to_owned(),
        "GET /ch/0 HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
        format!("GET /ch/0 HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(5000)),
        "POST /ch/0 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "POST /ch/0 HTTP/1.1\r\nHost: t\r\nContent-Length: -5\r\n\r\n".to_owned(),
        "GET /%00%ff/0 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        let mut bad = Raw::connect(server.address).await;
        bad.send(garbage).await;
        let answer = bad.rest().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    }
    let mut reader = server.reader("/ch/0").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "kept");
    raw.chunk("on").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "on");
}
