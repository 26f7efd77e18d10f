//! Why streams end: by what happens to their channels, or does not happen on them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use std::time::Duration;

use cutrickle_frame::VideoFrame;
use cutrickle_live::StreamRequest;
use cutrickle_pipeline::{
    EndReason, FrameProcessor, Result, Session, StreamContext, StreamOptions, StreamState,
};
use cutrickle_trickle::{ClientConfig, Hooks, Refusal, Server, ServerConfig};
use live::{Channels, Clip, Documents, Untouched, assert_accounted, ended, reached_by, retried_for, with};
use serde_json::json;
use tokio::net::TcpListener;

const ALL: [&str; 5] = ["in", "out", "control", "events", "data"];

/// Nothing is listened to there.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/gone", listener.local_addr().unwrap())
}

/// Emits a line when it starts.
#[derive(Clone)]
struct Emitting;

impl FrameProcessor for Emitting {
    async fn on_stream_start(&mut self, context: &StreamContext) -> Result<()> {
        Ok(context.emit(&"started")?)
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

async fn reason(session: &Session) -> EndReason {
    ended(session).await;
    assert_accounted(session);
    session.status().end_reason.expect("a reason")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_other_side_closes_ends_the_stream() {
    let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
    for channel in ALL {
        let channels = Channels::new().await;
        for channel in ALL {
            channels.open(channel).await;
        }
        let mut events = Documents::new(&channels.url("events"));
        let mut data = Documents::new(&channels.url("data"));
        let session = channels.run(&Emitting, channels.request(&ALL), StreamOptions::default());
        let mut source = channels.source();
        source.send(&segments[0]).await;
        while session.status().state != StreamState::Online {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(events.json().await["event"]["type"], "stream_started");
        assert_eq!(data.next().await.unwrap(), "\"started\"\n");
        channels.publisher(channel).close().await.unwrap();
        let wanted = match channel {
            "in" | "control" => EndReason::InputEnded,
            _ => EndReason::OutputClosed,
        };
        assert_eq!(reason(&session).await, wanted, "{channel}");
        assert_eq!(session.status().state, StreamState::Offline, "{channel}");
        assert_eq!(session.metrics().error_count, 0, "{channel}: {:?}", session.status().last_error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_out_of_reach_ends_the_stream() {
    let impatient = retried_for(Duration::from_millis(300));
    for channel in ALL {
        let channels = Channels::new().await;
        for channel in ALL {
            channels.open(channel).await;
        }
        let mut request = channels.request(&ALL);
        let (url, wanted) = match channel {
            "in" => (&mut request.subscribe_url, EndReason::InputFailed),
            "control" => (&mut request.control_url, EndReason::InputFailed),
            "out" => (&mut request.publish_url, EndReason::OutputFailed),
            "events" => (&mut request.events_url, EndReason::OutputFailed),
            _ => (&mut request.data_url, EndReason::OutputFailed),
        };
        *url = Some(nowhere().await);
        let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
        let session = channels.run_with(&Emitting, request, StreamOptions::default(), &impatient);
        let mut source = channels.source();
        source.send(&segments[0]).await;
        assert_eq!(reason(&session).await, wanted, "{channel}");
        assert_eq!(session.status().state, StreamState::Error, "{channel}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_refused_ends_the_stream() {
    let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
    let hooks = Hooks::default().before_create(|request| async move {
        match request.channel() {
            "in" => Ok(()),
            _ => Err(Refusal::forbidden("not yours")),
        }
    });
    let server = Server::bind_with_hooks(([127, 0, 0, 1], 0).into(), ServerConfig::default(), hooks);
    let server = server.await.unwrap();
    let channels = Channels::at(server.url());
    tokio::spawn(server.run(std::future::pending()));
    channels.open("in").await;
    for channel in ["out", "events", "data"] {
        let session = channels.run(&Emitting, channels.request(&["in", channel]), StreamOptions::default());
        let mut source = channels.source();
        source.send(&segments[0]).await;
        assert_eq!(reason(&session).await, EndReason::OutputFailed, "{channel}");
        let error = session.status().last_error.unwrap();
        assert!(error.contains("403"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_dies_silently_ends_the_stream_and_the_gateway_hears_why() {
    let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    for channel in ["in", "out", "events"] {
        channels.open(channel).await;
    }
    let mut events = Documents::new(&channels.url("events"));
    let timeout = Some(Duration::from_millis(500));
    let options = with(StreamOptions::default(), |options| options.input_timeout = timeout);
    let session = channels.run(&Untouched, channels.request(&["in", "out", "events"]), options);
    let mut source = channels.source();
    source.send(&segments[0]).await;
    assert_eq!(reason(&session).await, EndReason::InputTimeout);
    let mut last = json!(null);
    while let Some(event) = events.next().await {
        last = serde_json::from_slice(&event).unwrap();
    }
    let last = &last["event"];
    assert_eq!((&last["type"], &last["reason"]), (&json!("stream_stopped"), &json!("input_timeout")));
    assert_eq!(last["message"], "input: neither pictures nor sound for 500ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_outputs_server_is_away_is_no_error() {
    let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    channels.open("in").await;
    let request = StreamRequest { publish_url: Some(nowhere().await), ..channels.request(&["in"]) };
    let close_timeout = Duration::from_millis(100);
    let trickle = reached_by(ClientConfig { close_timeout, ..ClientConfig::default() });
    let session = channels.run_with(&Untouched, request, StreamOptions::default(), &trickle);
    let mut source = channels.source();
    source.send(&segments[0]).await;
    while session.status().state != StreamState::DegradedOutput {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    session.stop();
    assert_eq!(reason(&session).await, EndReason::Stopped);
    assert!(session.metrics().output_bytes_dropped > 0);
}
