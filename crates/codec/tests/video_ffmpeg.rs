//! The decoder on libavcodec, against the ffmpeg command.
#![cfg(feature = "ffmpeg")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod video_media;

use cutrickle_codec::video::ffmpeg::FfmpegDecoder;
use cutrickle_codec::{VideoCodec, VideoDecoder};
use cutrickle_frame::Colour;
use video_media::{Media, decode_all, h264, h265, has_ffmpeg, psnr, samples, source};

#[track_caller]
fn all(codec: VideoCodec, media: &Media) -> Vec<usize> {
    let (frames, counts) = decode_all(&mut FfmpegDecoder::new(codec).unwrap(), &media.units);
    assert_eq!(frames.len(), media.pictures.len());
    for pair in frames.windows(2) {
        assert!(pair[0].timestamp() < pair[1].timestamp());
    }
    for (frame, picture) in frames.iter().zip(&media.pictures) {
        assert_eq!((frame.width(), frame.height()), (media.width, media.height));
        // Conversion from other formats rounds a little differently than ffmpeg's does.
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
    let mut decoder = FfmpegDecoder::new(VideoCodec::H264).unwrap();
    let mut count = 0;
    for unit in &media.units[5..10] {
        decoder.decode(&unit.borrow(), &mut |_| count += 1).unwrap();
    }
    assert_eq!(count, 0);
    for (index, unit) in media.units.iter().enumerate() {
        let mut unit = unit.clone();
        let length = unit.data.len();
        match index % 3 {
            0 => unit.data.truncate(length / 2),
            1 => unit.data[length / 3..].iter_mut().for_each(|byte| *byte ^= 0x5a),
            _ => unit.data.clear(),
        }
        let _ = decoder.decode(&unit.borrow(), &mut |_| ());
    }
    decoder.flush(&mut |_| ()).unwrap();
    let (frames, _) = decode_all(&mut decoder, &media.units);
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
    let (frames, _) = decode_all(&mut FfmpegDecoder::new(VideoCodec::H264).unwrap(), &media.units);
    assert_eq!(frames[0].colour(), Colour { full_range: true, ..Colour::BT709 });
}
