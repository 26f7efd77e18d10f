//! Stages that work at several frames at a time: they do so within every combinator, and frames come out in order, each with
//! the pixels of its own input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use cutrickle_media::TrackKind;
use stream::{Clip, FRAME, SIZE, Several, compositions, every_frame, play};

/// Whole groups of calls, also where every other frame is left out.
const FRAMES: usize = 30;

async fn overlap_and_keep_order(several: Several) {
    for composition in compositions(several) {
        let name = composition.name;
        let (session, seen) = play(&composition.stage, &Clip::of(FRAMES), every_frame()).await;
        let status = session.status();
        assert_eq!(
            (status.metrics.frames_out, status.last_error),
            (FRAMES as u64, None),
            "{several:?}: {name}"
        );
        assert_eq!(seen.numbers(), composition.expected(FRAMES), "{several:?}: {name}");
        assert_eq!(composition.most(), SIZE, "{several:?}: {name}: calls at a time");
        let frames = seen.of(TrackKind::Video);
        assert!(frames.windows(2).all(|pair| pair[1].pts - pair[0].pts == FRAME), "{several:?}: {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_on_several_threads_overlap_within_every_combinator() {
    overlap_and_keep_order(Several::Parallel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_await_overlap_within_every_combinator() {
    overlap_and_keep_order(Several::Buffered).await;
}
