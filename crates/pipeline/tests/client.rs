//! A client in the processor's place, whose caller may do with the pictures what it likes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use cutrickle_pipeline::{StreamOptions, TrickleClient};
use live::{Clip, Stage, Viewer, every_picture, judge};

async fn connect(stage: &Stage, options: StreamOptions) -> (TrickleClient, Viewer) {
    stage.open("out").await;
    let (input, output) = (stage.url("in"), stage.url("out"));
    let client = TrickleClient::connect_with(Some(&input), Some(&output), options).unwrap();
    (client, Viewer::new(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_taken_and_published_come_out_with_the_sound() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let stage = Stage::new().await;
    let (mut client, viewer) = connect(&stage, every_picture()).await;
    let mut pictures = client.video_frames();
    let mut source = stage.source();
    for (n, segment) in segments.iter().enumerate() {
        source.send(segment).await;
        for _ in 0..30 {
            client.publish_video_frame(pictures.next().await.unwrap()).await.unwrap();
        }
        viewer.pictures((n + 1) * 30).await;
    }
    source.end().await;
    assert!(pictures.next().await.is_none());
    client.close().await;
    let verdict = judge(&viewer.end().await.bytes);
    assert_eq!((verdict.codecs.len(), verdict.video.len(), verdict.complaints.as_str()), (2, 60, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_a_reader_that_went_away_are_dropped_and_counted() {
    let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
    let stage = Stage::new().await;
    let (mut client, viewer) = connect(&stage, every_picture()).await;
    let mut pictures = client.video_frames();
    let mut source = stage.source();
    source.send(&segments[0]).await;
    assert!(pictures.next().await.is_some());
    drop(pictures);
    assert!(client.video_frames().next().await.is_none(), "there is one such stream");
    live::until_so(|| client.status().metrics, |m| m.frames_dropped == 29).await;
    client.close().await;
    assert_eq!(viewer.end().await.pictures, 0);
}
