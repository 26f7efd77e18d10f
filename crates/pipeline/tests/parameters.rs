//! New parameters of a running stream, and the processor's word on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod live;

use bytes::Bytes;
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::Part;
use cutrickle_pipeline::{FrameProcessor, Params, Result, StreamOptions};
use live::{Stage, ended, until};
use serde_json::{Value, json};

/// Takes an `x` below 5.
#[derive(Clone)]
struct Small;

impl FrameProcessor for Small {
    async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }

    async fn update_params(&mut self, params: &Params) -> Result<()> {
        match params.get("x").and_then(Value::as_i64) {
            Some(x) if x < 5 => Ok(()),
            _ => Err("`x` is too large".into()),
        }
    }

    fn parts(&self) -> Vec<Part> {
        vec![Part::taking(["x"])]
    }
}

fn params(value: Value) -> Params {
    value.as_object().cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_tells_what_the_processor_said() {
    let stage = Stage::new().await;
    let (session, _viewer) = stage.start(&Small, json!({"x": 1}), StreamOptions::default()).await;
    session.update_params(params(json!({"x": 2}))).unwrap().known().await.unwrap();
    let refused = session.update_params(params(json!({"x": 7}))).unwrap().known().await.unwrap_err();
    assert!(refused.is_invalid() && refused.to_string().contains("too large"), "{refused}");
    assert_eq!((session.status().params, session.metrics().error_count), (params(json!({"x": 2})), 0));
    assert!(session.update_params(params(json!({"y": 1}))).unwrap_err().is_invalid());
    session.stop();
    ended(&session).await;
    let late = session.update_params(params(json!({"x": 3}))).unwrap().known().await.unwrap_err();
    assert!(!late.is_invalid() && late.to_string().contains("ended"), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_nobody_waits_for_is_an_error_of_the_stream_which_goes_on() {
    let stage = Stage::new().await;
    stage.open("control").await;
    let mut control = stage.publisher("control");
    let session = stage.run(&Small, stage.request(&["in", "control"]), StreamOptions::default());
    for (message, errors, reason) in
        [(&br#"{"x": 7}"#[..], 1, "update_params: `x` is too large"), (br#"{"y": 1}"#, 2, "`y` is unknown")]
    {
        let mut segment = control.segment().await.unwrap();
        segment.write(Bytes::from_static(message)).await.unwrap();
        segment.finish();
        until(&session, |_| session.status().last_error.is_some_and(|error| error.contains(reason))).await;
        assert_eq!(session.metrics().error_count, errors);
        assert!(session.status().params.is_empty() && !session.is_ended());
    }
    session.stop();
    ended(&session).await;
}
