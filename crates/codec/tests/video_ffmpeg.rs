//! The decoder that uses libavcodec, compared with the ffmpeg command.
#![cfg(feature = "ffmpeg")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod video_media;

use candle_core::Device;
use cutrickle_codec::{Backends, VideoDecoder};
use cutrickle_frame::Origin;
use cutrickle_media::{Colour, VideoCodec};
use video_media::{Media, check_origins, decode_all, edit, h264, h265, has_ffmpeg, psnr, samples, source};

fn ffmpeg(codec: VideoCodec) -> Box<dyn VideoDecoder> {
    Backends::builtin().open_video_decoder_named("ffmpeg", codec, &Device::Cpu).unwrap()
}

/// Checks that all frames are there in display order and look as the ffmpeg command decodes them. Returns how
/// many of them each unit produced.
#[track_caller]
fn all(codec: VideoCodec, media: &Media) -> Vec<usize> {
    let (frames, counts) = decode_all(&mut *ffmpeg(codec), &media.units);
    assert_eq!(frames.len(), media.pictures.len());
    for pair in frames.windows(2) {
        assert!(pair[0].timestamp() < pair[1].timestamp());
    }
    for (frame, picture) in frames.iter().zip(&media.pictures) {
        assert_eq!((frame.width(), frame.height()), (media.width, media.height));
        // The conversion from other pixel formats rounds a little differently than that of ffmpeg.
        let likeness = psnr(&samples(frame), picture);
        assert!(likeness > 45.0, "{likeness} dB");
    }
    counts
}

#[test]
fn every_frame_of_a_stream_without_b_frames_comes_out_right_after_its_unit() {
    if !has_ffmpeg() {
        return;
    }
    for (width, height) in [(512, 512), (854, 480), (1920, 1080)] {
        let media = h264(&source(width, height, 8), &["-bf", "0"]);
        let counts = all(VideoCodec::H264, &media);
        assert!(counts[..8].iter().all(|n| *n == 1), "{counts:?}");
    }
    let media = h265(&source(640, 360, 8), &["-x265-params", "bframes=0:log-level=none"]);
    let counts = all(VideoCodec::H265, &media);
    assert!(counts[..8].iter().all(|n| *n == 1), "{counts:?}");
}

#[test]
fn frames_of_a_stream_with_b_frames_come_out_in_display_order_and_none_is_lost() {
    if !has_ffmpeg() {
        return;
    }
    all(VideoCodec::H264, &h264(&source(640, 360, 30), &["-bf", "3"]));
    all(VideoCodec::H265, &h265(&source(640, 360, 30), &["-x265-params", "bframes=3:log-level=none"]));
}

#[test]
fn frames_have_the_origins_of_their_own_units_though_timestamps_are_equal_or_reordered() {
    if !has_ffmpeg() {
        return;
    }
    let mut units = h264(&source(320, 240, 4), &["-bf", "0"]).units;
    (units[2].pts, units[2].dts) = (units[1].pts, units[1].dts);
    check_origins(&mut *ffmpeg(VideoCodec::H264), &[&units]);
    for (codec, media) in [
        (VideoCodec::H264, h264(&source(320, 240, 15), &["-bf", "3"])),
        (VideoCodec::H265, h265(&source(320, 240, 15), &["-x265-params", "bframes=3:log-level=none"])),
    ] {
        assert!(!media.units.is_sorted_by_key(|unit| unit.pts), "there are B-frames");
        // Every timestamp appears twice.
        check_origins(&mut *ffmpeg(codec), &[&media.units, &media.units]);
    }
}

#[test]
fn ten_bits_finer_chroma_and_fields_become_8_bit_420() {
    if !has_ffmpeg() {
        return;
    }
    for pixels in ["yuv420p10le", "yuv422p", "yuv444p", "yuv422p10le"] {
        all(VideoCodec::H264, &h264(&source(320, 240, 4), &["-pix_fmt", pixels]));
    }
    let fields = ["-flags", "+ilme+ildct", "-x264-params", "tff=1"];
    all(VideoCodec::H264, &h264(&source(320, 240, 4), &fields));
    let ten = ["-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none"];
    all(VideoCodec::H265, &h265(&source(320, 240, 4), &ten));
}

#[test]
fn nothing_comes_out_before_a_keyframe_and_broken_units_do_no_harm() {
    if !has_ffmpeg() {
        return;
    }
    let media = h264(&source(320, 240, 30), &["-bf", "0", "-g", "10"]);
    let mut decoder = ffmpeg(VideoCodec::H264);
    let mut count = 0;
    for unit in &media.units[5..10] {
        decoder.decode(unit, Origin::now(), &mut |_| count += 1).unwrap();
    }
    assert_eq!(count, 0);
    for (index, unit) in media.units.iter().enumerate() {
        let mut unit = unit.clone();
        let length = unit.data.len();
        edit(&mut unit, |data| match index % 3 {
            0 => data.truncate(length / 2),
            1 => data[length / 3..].iter_mut().for_each(|byte| *byte ^= 0x5a),
            _ => data.clear(),
        });
        let _ = decoder.decode(&unit, Origin::now(), &mut |_| ());
    }
    decoder.flush(&mut |_| ()).unwrap();
    let (frames, _) = decode_all(&mut *decoder, &media.units);
    assert_eq!(frames.len(), 30);
    assert!(samples(&frames[29]) == media.pictures[29]);
}

#[test]
fn colour_is_what_the_stream_signals() {
    if !has_ffmpeg() {
        return;
    }
    let options =
        ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "pc"];
    let media = h264(&source(128, 240, 1), &options);
    let (frames, _) = decode_all(&mut *ffmpeg(VideoCodec::H264), &media.units);
    assert_eq!(frames[0].colour(), Colour { full_range: true, ..Colour::BT709 });
}
