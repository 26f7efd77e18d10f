//! The muxer before an independent judge: what it writes is what ffprobe finds, and decodes without a
//! complaint. The units come from ffmpeg by way of the demuxer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod judge;

use bytes::BytesMut;
use cutrickle_mpegts::{AccessUnit, Codec, Demuxer, Event, MuxProgram, Muxer, TrackKind};
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

/// Writes units in segments that begin at keyframes.
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
        muxer.write_unit(unit.codec.kind(), unit.pts, unit.dts, unit.keyframe, &unit.data, out).unwrap();
    }
    segments
}

fn judge_remux(arguments: &str, video: Option<Codec>, audio: Option<Codec>, channels: u8) {
    if !judge::present() {
        return;
    }
    let scratch = Scratch::new();
    let (made, bytes) = judge::make(&scratch, arguments);
    let program = MuxProgram::new(video, audio).unwrap().with_opus_channels(channels);
    let mut units = units_of(&bytes);
    if video.is_some() {
        // As the gateways want it: no sound before the first picture.
        let first = units.iter().position(|unit| unit.codec.is_video()).unwrap();
        units[..=first].rotate_right(1);
    }
    let segments = segments(&units, program);
    assert!(segments.len() > 1);
    let joined = scratch.file("joined.ts");
    std::fs::write(&joined, segments.concat()).unwrap();

    let codecs: Vec<&str> = [video, audio].into_iter().flatten().map(Codec::name).collect();
    let pictures = units.iter().filter(|unit| unit.codec.is_video()).count();
    assert_eq!(judge::decode(&joined), (codecs.iter().map(|&codec| codec.to_owned()).collect(), pictures));
    for (track, kind) in [("v:0", TrackKind::Video), ("a:0", TrackKind::Audio)] {
        let found = judge::packets(&joined, track);
        // ffprobe rounds stamps twice where ffmpeg packs several frames; ours are one each.
        let stamps = |packets: &[judge::Probed]| packets.iter().map(|p| (p.pts, p.dts)).collect::<Vec<_>>();
        let written: Vec<(i64, i64)> =
            units.iter().filter(|unit| unit.codec.kind() == kind).map(|unit| (unit.pts, unit.dts)).collect();
        assert!(stamps(&found) == written, "{track}: other stamps than those written");
        let sizes = |packets: &[judge::Probed]| packets.iter().map(|p| p.size).collect::<Vec<_>>();
        assert!(
            sizes(&found) == sizes(&judge::packets(&made, track)),
            "{track}: other sizes than the source's"
        );
        assert!(found.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{track} goes back");
    }
    // Each segment can be read alone, and begins with its keyframe.
    let mut pictures_alone = 0;
    for segment in &segments {
        let alone = scratch.file("alone.ts");
        std::fs::write(&alone, segment).unwrap();
        pictures_alone += judge::decode(&alone).1;
        let track = if video.is_some() { "v:0" } else { "a:0" };
        assert!(judge::packets(&alone, track)[0].keyframe);
    }
    assert_eq!(pictures_alone, pictures);
    // And the demuxer agrees, whether or not it is told where segments end.
    assert_eq!(plain(&units_of(&segments.concat())), plain(&units));
}

fn plain(units: &[AccessUnit]) -> Vec<(Codec, i64, i64, bool, Vec<u8>)> {
    let fields = |unit: &AccessUnit| (unit.codec, unit.pts, unit.dts, unit.keyframe, unit.data.to_vec());
    let mut units: Vec<_> = units.iter().map(fields).collect();
    // Units leave as they become complete; only the order within a track is promised.
    units.sort_by_key(|unit| unit.0.is_video());
    units
}

const PICTURES: &str = "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=sample_rate=";

#[test]
fn h264_and_aac() {
    let codecs = "-t 4 -c:v libx264 -preset veryfast -bf 0 -g 30 -c:a aac";
    judge_remux(&format!("{PICTURES}44100 {codecs}"), Some(Codec::H264), Some(Codec::Aac), 2);
}

#[test]
fn h264_with_b_frames_and_opus() {
    let codecs =
        "-t 4 -c:v libx264 -preset veryfast -bf 2 -x264-params open-gop=0:keyint=30 -c:a libopus -ac 1";
    judge_remux(&format!("{PICTURES}48000 {codecs}"), Some(Codec::H264), Some(Codec::Opus), 1);
}

#[test]
fn h265_and_opus() {
    let codecs =
        "-t 2 -c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=30:bframes=0 -c:a libopus";
    judge_remux(&format!("{PICTURES}48000 {codecs}"), Some(Codec::H265), Some(Codec::Opus), 1);
}

#[test]
fn sound_alone_carries_the_clock() {
    judge_remux("-f lavfi -i sine=sample_rate=48000 -t 2 -c:a aac", None, Some(Codec::Aac), 2);
    judge_remux("-f lavfi -i sine=sample_rate=48000 -t 2 -ac 2 -c:a libopus", None, Some(Codec::Opus), 2);
}

#[test]
fn a_delimiter_that_the_encoder_left_out_is_put_in() {
    if !judge::present() {
        return;
    }
    let unit = [0, 0, 0, 1, 0x65, 0x88, 0x84];
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(MuxProgram::new(Some(Codec::H264), None).unwrap());
    muxer.write_unit(TrackKind::Video, 0, 0, true, &unit, &mut out).unwrap();
    let units = units_of(&out);
    assert_eq!(units[0].data[..], [&[0, 0, 0, 1, 9, 0xF0][..], &unit].concat());
}
