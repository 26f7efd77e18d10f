//! Input as it should not be. Each costs what it must and nothing more: the next good segment comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod live;

use cutrickle_media::{Codec, Ticks};
use cutrickle_pipeline::Session;
use live::{Channels, Clip, Replaced, Seen, Untouched, assert_accounted, ended, every_frame, judge, taken};
use serde_json::json;

/// Plays `segments`, of which the last one is good: it comes out whole.
async fn play(segments: &[Vec<u8>]) -> (Session, Seen) {
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Replaced, json!({}), every_frame()).await;
    let mut source = channels.source();
    for segment in segments {
        source.send(segment).await;
        source.settled(&session).await;
    }
    if let Some(last) = segments.last() {
        viewer.reaches(last).await;
    }
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    (session, viewer.end().await)
}

/// A sequence that is the same on every run (Knuth, The Art of Computer Programming, 3.3.4, table 1).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_damaged_packet_in_a_hundred_does_not_end_the_stream() {
    let Some(mut segments) = Clip { seconds: 4, ..Clip::default() }.segments() else { return };
    let mut random = Random(1);
    for segment in &mut segments[..3] {
        for packet in segment.chunks_mut(188) {
            if random.below(100) == 0 {
                let at = random.below(packet.len());
                packet[at..].fill_with(|| random.below(256) as u8);
            }
        }
    }
    let (session, seen) = play(&segments).await;
    assert!(session.metrics().error_count > 0, "damage is counted");
    assert!(seen.frames >= 30, "{} frames", seen.frames);
    assert_eq!(last_second(&seen), 30, "the good segment comes out whole");
}

/// Frames of the last segment's second.
fn last_second(seen: &Seen) -> usize {
    let key = seen.units.iter().rposition(|(codec, _, key)| codec.is_video() && *key).unwrap();
    seen.units[key..].iter().filter(|(codec, ..)| codec.is_video()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_segments_cost_their_ends() {
    let Some(mut segments) = Clip { seconds: 3, ..Clip::default() }.segments() else { return };
    for segment in &mut segments[..2] {
        segment.truncate(segment.len() * 2 / 3 + 17);
    }
    let (_, seen) = play(&segments).await;
    assert!(seen.frames > 60, "{} frames", seen.frames);
    assert_eq!(judge(&seen.bytes).complaints, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_between_good_segments_are_passed_over() {
    let Some(mut segments) = Clip { seconds: 2, ..Clip::default() }.segments() else { return };
    let mut random = Random(2);
    let noise = (0..300_000).map(|_| random.below(256) as u8).collect();
    segments.insert(0, noise);
    let noise = (0..5_000).map(|_| random.below(256) as u8).collect();
    segments.insert(2, noise);
    let (_, seen) = play(&segments).await;
    assert_eq!(seen.frames, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_begins_in_mid_gop_gives_nothing_before_its_keyframe() {
    let Some(segments) = Clip { seconds: 2, audio: None, ..Clip::default() }.segments() else { return };
    let mut packets = segments[0].chunks(188);
    let tables: Vec<u8> = packets.by_ref().take(3).flatten().copied().collect();
    let rest: Vec<u8> = packets.skip(40).flatten().copied().collect();
    let (session, seen) = play(&[[tables, rest].concat(), segments[1].clone()]).await;
    assert_eq!(seen.frames, 30);
    assert!(session.metrics().frames_failed > 0);
    assert_eq!(judge(&seen.bytes).complaints, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_size_begins_a_new_segment_of_the_new_size() {
    let Some(large) = Clip { size: "1280x720", seconds: 1, ..Clip::default() }.segments() else { return };
    let small = Clip { size: "512x512", seconds: 2, ..Clip::default() }.segments().unwrap();
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Replaced, json!({}), every_frame()).await;
    let mut source = channels.source();
    source.send(&large[0]).await;
    viewer.frames(30).await;
    source.send(&small[0]).await;
    viewer.frames(60).await;
    source.end().await;
    ended(&session).await;
    assert_eq!(session.status().output_size, Some((512, 512)));
    let seen = viewer.end().await;
    assert_eq!(seen.frames, 60);
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.complaints, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_alone_comes_out() {
    let clip = Clip { video: false, seconds: 4, ..Clip::default() };
    let Some(segments) = clip.segments() else { return };
    let (session, seen) = play(&segments).await;
    assert_eq!(session.metrics().error_count, 0, "{:?}", session.status());
    let verdict = judge(&seen.bytes);
    assert_eq!(verdict.codecs, ["aac"]);
    assert_eq!(verdict.audio.len(), judge(&segments.concat()).audio.len());
    assert!(seen.segments >= 3, "{} segments", seen.segments);
}

/// `segments` without the packets of `pid`.
fn without(segments: &[Vec<u8>], pid: u16) -> Vec<Vec<u8>> {
    let keep = |packet: &&[u8]| (u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2])) != pid;
    segments.iter().map(|s| s.chunks(188).filter(keep).flatten().copied().collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn audio_that_is_announced_and_never_comes_holds_nothing_up() {
    let Some(segments) = Clip { seconds: 2, ..Clip::default() }.segments() else { return };
    // ffmpeg's second track is on PID 0x101.
    let (session, seen) = play(&without(&segments, 0x101)).await;
    assert_eq!((seen.frames, seen.packets, seen.segments), (60, 0, 2), "{:?}", session.status());
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_announced_and_never_come_do_not_hold_audio_up() {
    let Some(segments) = Clip { seconds: 4, ..Clip::default() }.segments() else { return };
    let (_, seen) = play(&without(&segments, 0x100)).await;
    assert_eq!(seen.frames, 0);
    assert!(seen.packets > 90, "{} packets", seen.packets);
}

/// A clip whose clock runs on from `offset` seconds.
fn shifted(offset: &'static str) -> Option<Vec<Vec<u8>>> {
    let more: &'static [&'static str] = Box::leak(Box::new(["-output_ts_offset", offset]));
    Clip { seconds: 1, more, ..Clip::default() }.segments()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_does_not_jump_in_the_output() {
    let (Some(a), Some(b)) = (shifted("100"), shifted("95")) else { return };
    let (c, d) = (shifted("3700").unwrap(), shifted("200").unwrap());
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Untouched, json!({}), every_frame()).await;
    let mut source = channels.source();
    for (n, segment) in [&a[0], &b[0], &c[0], &d[0]].into_iter().enumerate() {
        source.send(segment).await;
        viewer.frames((n + 1) * 30).await;
    }
    source.end().await;
    ended(&session).await;
    let seen = viewer.end().await;
    let verdict = judge(&seen.bytes);
    assert_eq!((verdict.video.len(), verdict.complaints.as_str()), (120, ""));
    let span = verdict.video[119] - verdict.video[0];
    assert!((span - 119.0 / 30.0).abs() < 0.2, "four seconds stay four seconds: {span}");
    for (codec, pts, _) in &seen.units {
        let from_first = pts.distance(seen.units[0].1);
        assert!(from_first < Ticks::PER_SECOND * 6, "{codec} at {from_first} from the start");
    }
    assert_eq!(seen.units.iter().filter(|(codec, ..)| *codec == Codec::AAC).count(), seen.packets);
}

/// Without the feature `ffmpeg` such a stream gives no frame and one error that names the feature; with it, frames.
async fn needs_ffmpeg(what: &str, more: &'static [&'static str]) {
    let Some(segments) = (Clip { seconds: 1, more, ..Clip::default() }).segments() else { return };
    let channels = Channels::new().await;
    let (session, viewer) = channels.start(&Replaced, json!({}), every_frame()).await;
    let mut source = channels.source();
    source.send(&segments[0]).await;
    if cfg!(feature = "ffmpeg") {
        viewer.frames(30).await;
    } else {
        taken(&session, 30).await;
    }
    source.end().await;
    ended(&session).await;
    assert_accounted(&session);
    if cfg!(not(feature = "ffmpeg")) {
        let error = session.status().last_error.unwrap();
        assert!(error.contains(what) && error.contains("feature `ffmpeg`"), "{error}");
        assert_eq!(session.metrics().frames_out, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_frames_are_one_clear_error() {
    needs_ffmpeg("10-bit", &["-pix_fmt", "yuv420p10le", "-profile:v", "high10"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_with_more_colour_are_one_clear_error() {
    needs_ffmpeg("4:2:2", &["-pix_fmt", "yuv422p", "-profile:v", "high422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interlaced_frames_are_one_clear_error() {
    needs_ffmpeg("interlaced", &["-x264-params", "interlaced=1", "-profile:v", "main"]).await;
}
