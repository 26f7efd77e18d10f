//! Hooks that allow or refuse channels, and the effects of a hook that panics or hangs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutrickle_trickle::{Hooks, Refusal, Server, ServerConfig};
use http::StatusCode;
use support::{Raw, Running, ask_with as ask, soon};
use tokio::sync::Semaphore;

async fn start(config: ServerConfig, hooks: Hooks) -> Running {
    let server = Server::bind_with_hooks(([127, 0, 0, 1], 0).into(), config, hooks).await.unwrap();
    Running::of(server)
}

#[tokio::test]
async fn a_refused_channel_is_not_made_and_the_refusal_has_its_status_and_reason() {
    let hooks = Hooks::default().before_create(|request| async move {
        match request.headers().get("authorization") {
            Some(token) if token == "mine" => Ok(()),
            _ => Err(Refusal::new(StatusCode::UNAUTHORIZED, format!("not {}", request.channel()))),
        }
    });
    let server = start(ServerConfig { changefeed: true, ..ServerConfig::default() }, hooks).await;
    for path in ["/ch", "/ch/0"] {
        let (head, body) = ask(&server, "POST", path, "Authorization: theirs\r\n").await;
        assert_eq!((head.status(), head.header("connection")), (401, Some("close")), "{path}");
        assert_eq!(body, "not ch");
    }
    assert_eq!(ask(&server, "GET", "/ch/next", "").await.0.status(), 404);
    assert_eq!(ask(&server, "POST", "/ch", "Authorization: mine\r\n").await.0.status(), 200);
    // The channel exists now, so no hook is called. The changefeed does not list the refused requests.
    assert_eq!(ask(&server, "POST", "/ch/0", "").await.0.status(), 200);
    assert_eq!(ask(&server, "GET", "/_changes/next", "").await.1, "1");
}

#[tokio::test]
async fn a_refused_delete_leaves_the_channel_and_its_readers_alone() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let hooks = Hooks::default().before_delete({
        let asked = asked.clone();
        move |request| {
            asked.lock().unwrap().push(request.channel().to_owned());
            async { Err(Refusal::forbidden("not yours")) }
        }
    });
    let server = start(ServerConfig::default(), hooks).await;
    let mut writer = server.writer("/ch/0", "x").await;
    let mut reader = Raw::connect(server.address).await;
    support::until("the byte", || server.service.held_bytes() == 1).await;
    reader.ask("GET", "/ch/0").await;
    reader.head().await;
    assert_eq!(reader.body_chunk().await.unwrap(), "x");
    let (head, body) = ask(&server, "DELETE", "/ch", "").await;
    assert_eq!((head.status(), &*body), (403, "not yours"));
    writer.chunk("y").await;
    assert_eq!(reader.body_chunk().await.unwrap(), "y");
    // The hook is called neither for a channel that does not exist nor for a segment.
    assert_eq!(ask(&server, "DELETE", "/no", "").await.0.status(), 400);
    assert_eq!(ask(&server, "DELETE", "/ch/0", "").await.0.status(), 200);
    assert_eq!(*asked.lock().unwrap(), ["ch"]);
}

#[tokio::test]
async fn a_hook_that_panics_costs_its_request_alone() {
    let hooks = Hooks::default().before_create(|request| {
        assert!(request.channel() != "call", "at the call");
        async move {
            assert!(request.channel() != "later", "in the future");
            Ok(())
        }
    });
    let server = start(ServerConfig::default(), hooks).await;
    for path in ["/call", "/later/0"] {
        assert_eq!(ask(&server, "POST", path, "").await.0.status(), 500, "{path}");
    }
    assert_eq!(ask(&server, "POST", "/good", "").await.0.status(), 200);
    assert_eq!(server.service.channels(), 1);
}

#[tokio::test]
async fn a_hook_that_hangs_costs_its_request_alone_and_for_a_bounded_time() {
    let hooks = Hooks::default().before_create(|request| async move {
        if request.channel() == "hangs" {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let config = ServerConfig { hook_timeout: Duration::from_millis(200), ..ServerConfig::default() };
    let server = start(config, hooks).await;
    let mut hanging = Raw::connect(server.address).await;
    hanging.ask("POST", "/hangs/0").await;
    // No lock is held and no thread is blocked meanwhile. This test has a single thread.
    assert_eq!(ask(&server, "POST", "/good", "").await.0.status(), 200);
    assert_eq!(ask(&server, "DELETE", "/good", "").await.0.status(), 200);
    let (head, body) = hanging.answer().await;
    assert_eq!((head.status(), &*body), (503, "No decision in time"));
    assert_eq!(server.service.channels(), 0);
}

#[tokio::test]
async fn a_hook_is_given_up_when_its_request_goes_away() {
    struct Gone(Arc<AtomicU32>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (running, gone) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let hooks = Hooks::default().before_create({
        let (running, gone) = (running.clone(), gone.clone());
        move |_| {
            let (running, gone) = (running.clone(), Gone(gone.clone()));
            async move {
                let _gone = gone;
                running.add_permits(1);
                std::future::pending().await
            }
        }
    });
    let config = ServerConfig { hook_timeout: Duration::from_secs(3600), ..ServerConfig::default() };
    let server = start(config, hooks).await;
    let mut raw = Raw::connect(server.address).await;
    raw.ask("POST", "/ch").await;
    soon("the hook", running.acquire()).await.unwrap().forget();
    drop(raw);
    support::until("the end of the hook", || gone.load(Ordering::Relaxed) == 1).await;
}
