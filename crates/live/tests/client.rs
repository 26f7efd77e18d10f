//! A client in the processor's place, whose caller may do with the frames what it likes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use cutrickle_live::{TrickleClient, TrickleOptions};
use cutrickle_pipeline::StreamOptions;
use live::{Channels, Clip, Viewer, every_frame, judge};

async fn connect(channels: &Channels, options: StreamOptions) -> (TrickleClient, Viewer) {
    channels.open("out").await;
    let (input, output) = (channels.url("in"), channels.url("out"));
    let client =
        TrickleClient::connect_with(Some(&input), Some(&output), options, &TrickleOptions::default())
            .unwrap();
    (client, Viewer::new(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_taken_and_published_come_out_with_the_audio() {
    let Some(segments) = (Clip { seconds: 2, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    let (mut client, viewer) = connect(&channels, every_frame()).await;
    let mut frames = client.video_frames();
    let mut source = channels.source();
    for (n, segment) in segments.iter().enumerate() {
        source.send(segment).await;
        for _ in 0..30 {
            client.publish_video_frame(frames.next().await.unwrap()).await.unwrap();
        }
        viewer.frames((n + 1) * 30).await;
    }
    source.end().await;
    assert!(frames.next().await.is_none());
    client.close().await;
    let verdict = judge(&viewer.end().await.bytes);
    assert_eq!((verdict.codecs.len(), verdict.video.len(), verdict.complaints.as_str()), (2, 60, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_a_reader_that_went_away_are_dropped_and_counted() {
    let Some(segments) = (Clip { seconds: 1, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    let (mut client, viewer) = connect(&channels, every_frame()).await;
    let mut frames = client.video_frames();
    let mut source = channels.source();
    source.send(&segments[0]).await;
    assert!(frames.next().await.is_some());
    drop(frames);
    assert!(client.video_frames().next().await.is_none(), "there is one such stream");
    live::until_so(|| client.status().metrics, |m| m.frames_dropped == 29).await;
    client.close().await;
    assert_eq!(viewer.end().await.frames, 0);
}
