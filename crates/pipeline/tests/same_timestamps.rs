//! Frames of one timestamp, as some encoders and many clients send them: which frame is which, no stage may tell by its time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stream;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cutrickle_media::{AccessUnit, TrackKind};
use cutrickle_pipeline::compose::{from_fn, parallel, with_timeout};
use cutrickle_pipeline::{Session, Stage};
use serde_json::json;
use stream::{Clip, Seen, Several, Stream, compositions, every_frame, inverted, number};

/// The units of a clip, of which each `alike` in a row have the time of the first.
fn alike(frames: usize, alike: usize) -> Vec<AccessUnit> {
    let mut units = Clip::of(frames).units();
    for group in units.chunks_mut(alike) {
        let at = group[0].pts;
        group.iter_mut().for_each(|unit| (unit.pts, unit.dts) = (at, at));
    }
    units
}

async fn play(stage: &impl Stage, units: Vec<AccessUnit>) -> (Session, Seen) {
    let mut stream = Stream::start(stage, json!({}), every_frame());
    stream.feed(units).await;
    stream.finish().await
}

async fn every_frame_keeps_its_own_pixels(several: Several) {
    for composition in compositions(several) {
        let name = composition.name;
        // Groups of calls and of timestamps do not coincide.
        let (session, seen) = play(&composition.stage, alike(30, 5)).await;
        assert_eq!(session.status().last_error, None, "{several:?}: {name}");
        assert_eq!(seen.numbers(), composition.expected(30), "{several:?}: {name}");
        let frames = seen.of(TrackKind::Video);
        let rise = frames.windows(2).all(|pair| pair[1].pts > pair[0].pts);
        assert!(rise, "{several:?}: {name}: the output's time does not stand still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_at_work_on_several_threads_keep_their_own_pixels() {
    every_frame_keeps_its_own_pixels(Several::Parallel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_at_work_in_several_futures_keep_their_own_pixels() {
    every_frame_keeps_its_own_pixels(Several::Buffered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_late_is_not_taken_for_that_of_another_frame_of_its_time() {
    let door = Arc::new((Mutex::new(false), Condvar::new()));
    let wait = {
        let door = Arc::clone(&door);
        move || drop(door.1.wait_while(door.0.lock().unwrap(), |open| !*open).unwrap())
    };
    let second_hangs = from_fn(move |frame| {
        if number(&frame) == 1 {
            wait();
        }
        inverted(&frame).map(Some)
    });
    let stage = with_timeout(parallel(second_hangs, 2), Duration::from_millis(100));
    let mut stream = Stream::start(&stage, json!({}), every_frame());
    let mut units = alike(40, 40);
    let rest = units.split_off(20);
    stream.feed(units).await;
    stream.viewer.frames(20).await;
    *door.0.lock().unwrap() = true;
    door.1.notify_all();
    stream.feed(rest).await;
    let (session, seen) = stream.finish().await;
    let numbers = seen.numbers();
    assert_eq!(numbers.len(), 40);
    assert_eq!(numbers[1], 1, "it was late, and went out as it came");
    // How many others were late depends on the machine.
    for (n, shown) in (0..40).zip(&numbers) {
        assert!(*shown == n || *shown == !n, "frame {n} shows {shown}: {numbers:?}");
    }
    assert!(session.metrics().frames_late >= 1);
}
