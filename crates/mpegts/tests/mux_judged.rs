//! An independent judge of the muxer: ffprobe finds the packets that were written, and the streams decode
//! without a warning. The access units come from ffmpeg, by way of the demuxer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod judge;

use bytes::{Bytes, BytesMut};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Timestamp, TrackKind, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer};
use judge::Scratch;

fn units_of(bytes: &[u8]) -> Vec<AccessUnit> {
    let mut units = Vec::new();
    let mut sink = |event| {
        if let Event::Unit(unit) = event {
            units.push(unit);
        }
    };
    let mut demuxer = Demuxer::new();
    demuxer.push(bytes, &mut sink);
    demuxer.end_segment(&mut sink);
    units
}

/// Writes the units as segments that begin at keyframes.
fn segments(units: &[AccessUnit], program: MuxProgram) -> Vec<BytesMut> {
    let mut muxer = Muxer::new(program);
    let mut segments = Vec::new();
    for unit in units {
        let cuts = unit.keyframe && (unit.codec.is_video() || program.video().is_none());
        if segments.is_empty() || (cuts && (program.video().is_some() || segments.len() < 3)) {
            segments.push(BytesMut::new());
            muxer.begin_segment(segments.last_mut().unwrap());
        }
        let out = segments.last_mut().unwrap();
        muxer.write_unit(unit, out).unwrap();
    }
    segments
}

fn judge_remux(arguments: &str, video: Option<VideoCodec>, audio: Option<AudioCodec>, channels: u8) {
    if !judge::present() {
        return;
    }
    let scratch = Scratch::new();
    let (made, bytes) = judge::make(&scratch, arguments);
    let program = MuxProgram::new(video, audio).unwrap().with_opus_channels(channels);
    let mut units = units_of(&bytes);
    if video.is_some() {
        // Gateways expect no audio before the first video unit.
        let first = units.iter().position(|unit| unit.codec.is_video()).unwrap();
        units[..=first].rotate_right(1);
    }
    let segments = segments(&units, program);
    assert!(segments.len() > 1);
    let joined = scratch.file("joined.ts");
    std::fs::write(&joined, segments.concat()).unwrap();

    let codecs = video.map(VideoCodec::name).into_iter().chain(audio.map(AudioCodec::name));
    let frames = units.iter().filter(|unit| unit.codec.is_video()).count();
    assert_eq!(judge::decode(&joined), (codecs.map(str::to_owned).collect(), frames));
    for (track, kind) in [("v:0", TrackKind::Video), ("a:0", TrackKind::Audio)] {
        let found = judge::packets(&joined, track);
        // These have to be exact. ffprobe rounds timestamps twice only where one PES packet has several audio
        // frames, and this muxer writes one PES packet per unit.
        let stamps = |packets: &[judge::Probed]| packets.iter().map(|p| (p.pts, p.dts)).collect::<Vec<_>>();
        let written: Vec<(i64, i64)> = units
            .iter()
            .filter(|unit| unit.codec.kind() == kind)
            .map(|unit| (unit.pts.ticks(), unit.dts.ticks()))
            .collect();
        assert!(stamps(&found) == written, "{track}: other timestamps than those written");
        let sizes = |packets: &[judge::Probed]| packets.iter().map(|p| p.size).collect::<Vec<_>>();
        assert!(
            sizes(&found) == sizes(&judge::packets(&made, track)),
            "{track}: other sizes than the source's"
        );
        assert!(found.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{track} goes back");
    }
    // Each segment can be read on its own, and begins with a keyframe.
    let mut frames_alone = 0;
    for segment in &segments {
        let alone = scratch.file("alone.ts");
        std::fs::write(&alone, segment).unwrap();
        frames_alone += judge::decode(&alone).1;
        let track = if video.is_some() { "v:0" } else { "a:0" };
        assert!(judge::packets(&alone, track)[0].keyframe);
    }
    assert_eq!(frames_alone, frames);
    // The demuxer reads the joined segments back as the same units.
    assert_eq!(plain(&units_of(&segments.concat())), plain(&units));
}

fn plain(units: &[AccessUnit]) -> Vec<(Codec, Timestamp, Timestamp, bool, Vec<u8>)> {
    let fields = |unit: &AccessUnit| (unit.codec, unit.pts, unit.dts, unit.keyframe, unit.data.to_vec());
    let mut units: Vec<_> = units.iter().map(fields).collect();
    // Units are emitted as they become complete, so only the order within a track is guaranteed.
    units.sort_by_key(|unit| unit.0.is_video());
    units
}

const PICTURES: &str = "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=sample_rate=";

#[test]
fn h264_and_aac() {
    let codecs = "-t 4 -c:v libx264 -preset veryfast -bf 0 -g 30 -c:a aac";
    judge_remux(&format!("{PICTURES}44100 {codecs}"), Some(VideoCodec::H264), Some(AudioCodec::Aac), 2);
}

#[test]
fn h264_with_b_frames_and_opus() {
    let codecs =
        "-t 4 -c:v libx264 -preset veryfast -bf 2 -x264-params open-gop=0:keyint=30 -c:a libopus -ac 1";
    judge_remux(&format!("{PICTURES}48000 {codecs}"), Some(VideoCodec::H264), Some(AudioCodec::Opus), 1);
}

#[test]
fn h265_and_opus() {
    let codecs =
        "-t 2 -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=0 -c:a libopus";
    judge_remux(&format!("{PICTURES}48000 {codecs}"), Some(VideoCodec::H265), Some(AudioCodec::Opus), 1);
}

#[test]
fn sound_alone_carries_the_clock() {
    judge_remux("-f lavfi -i sine=sample_rate=48000 -t 2 -c:a aac", None, Some(AudioCodec::Aac), 2);
    judge_remux(
        "-f lavfi -i sine=sample_rate=48000 -t 2 -ac 2 -c:a libopus",
        None,
        Some(AudioCodec::Opus),
        2,
    );
}

#[test]
fn a_delimiter_that_the_encoder_left_out_is_put_in() {
    if !judge::present() {
        return;
    }
    let data = [0, 0, 0, 1, 0x65, 0x88, 0x84];
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(MuxProgram::new(Some(VideoCodec::H264), None).unwrap());
    let unit = AccessUnit::new(VideoCodec::H264, Timestamp::ZERO, true, Bytes::copy_from_slice(&data));
    muxer.write_unit(&unit, &mut out).unwrap();
    let units = units_of(&out);
    assert_eq!(units[0].data[..], [&[0, 0, 0, 1, 9, 0xF0][..], &data].concat());
}
