//! The decoder of openh264 compared with that of ffmpeg: the same frames, each as early as its stream allows.
//! B-frames are an exception, because those of openh264 are not exact.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod video_media;

use cutrickle_frame::VideoFrame;
use cutrickle_media::{Colour, Matrix, Timestamp};
use video_media::{Media, check_origins, decode_all, h264, has_ffmpeg, openh264, psnr, samples, source};

/// Checks that every frame comes out right after its access unit, with exactly the samples that ffmpeg
/// decodes.
#[track_caller]
fn at_once(media: &Media) {
    let (frames, counts) = decode_all(&mut *openh264(), &media.units);
    assert!(counts[..media.units.len()].iter().all(|n| *n == 1), "{counts:?}");
    alike(media, &frames, f64::INFINITY);
}

/// Checks that all frames are there in display order, and that each has a PSNR of at least `bound` dB
/// compared with that of ffmpeg. Infinity stands for equal samples.
#[track_caller]
fn alike(media: &Media, frames: &[VideoFrame], bound: f64) {
    assert_eq!(frames.len(), media.pictures.len());
    let mut timestamps: Vec<Timestamp> = media.units.iter().map(|unit| unit.pts).collect();
    timestamps.sort_unstable();
    for (index, (frame, picture)) in frames.iter().zip(&media.pictures).enumerate() {
        assert_eq!((frame.width(), frame.height()), (media.width, media.height));
        let samples = samples(frame);
        let likeness = if samples == *picture { f64::INFINITY } else { psnr(&samples, picture) };
        assert!(likeness >= bound, "frame {index}: {likeness} dB");
        assert_eq!(frame.timestamp(), timestamps[index]);
    }
}

#[test]
fn every_frame_of_a_stream_without_b_frames_comes_out_right_after_its_unit() {
    if !has_ffmpeg() {
        return;
    }
    for (profile, width, height) in
        [("baseline", 512, 512), ("main", 854, 480), ("high", 1280, 720), ("high", 1920, 1080)]
    {
        at_once(&h264(
            &source(width, height, 12),
            &["-profile:v", profile, "-bf", "0", "-g", "8", "-b:v", "4M"],
        ));
    }
}

#[test]
fn sizes_that_are_no_multiple_of_a_macroblock_are_cropped() {
    if !has_ffmpeg() {
        return;
    }
    for (width, height) in [(854, 480), (482, 270), (18, 34), (640, 362)] {
        at_once(&h264(&source(width, height, 5), &["-bf", "0"]));
    }
}

#[test]
fn frames_of_a_stream_with_b_frames_come_out_in_display_order_and_none_is_lost() {
    if !has_ffmpeg() {
        return;
    }
    for options in [
        &["-bf", "3", "-g", "15"][..],
        &["-bf", "2", "-profile:v", "main", "-x264-params", "b-pyramid=none"],
        &["-bf", "8", "-x264-params", "b-pyramid=normal:b-adapt=0:ref=4"],
        &["-bf", "3", "-x264-params", "open-gop=1:keyint=12:min-keyint=12"],
        &["-bf", "2", "-x264-params", "cabac=0:weightb=0"],
    ] {
        let media = h264(&source(640, 360, 45), options);
        let (frames, counts) = decode_all(&mut *openh264(), &media.units);
        alike(&media, &frames, 55.0);
        // Frames are held back no longer than the parameter sets require, which is two frames for a pyramid
        // of x264.
        assert!(*counts.last().unwrap() <= 2, "{options:?}: {counts:?}");
    }
}

#[test]
fn units_with_equal_timestamps_give_a_frame_each_with_the_origin_of_its_own_unit() {
    if !has_ffmpeg() {
        return;
    }
    let mut units = h264(&source(320, 240, 4), &["-bf", "0"]).units;
    (units[2].pts, units[2].dts) = (units[1].pts, units[1].dts);
    check_origins(&mut *openh264(), &[&units]);
}

#[test]
fn frames_that_are_reordered_have_the_origins_of_their_own_units() {
    if !has_ffmpeg() {
        return;
    }
    let units = h264(&source(320, 240, 15), &["-bf", "3"]).units;
    assert!(!units.is_sorted_by_key(|unit| unit.pts), "there are B-frames");
    // Every timestamp appears twice.
    check_origins(&mut *openh264(), &[&units, &units]);
}

#[test]
fn slices_and_references_of_every_kind_decode_as_ffmpeg_decodes_them() {
    if !has_ffmpeg() {
        return;
    }
    for options in [
        &["-tune", "zerolatency", "-x264-params", "slices=4:ref=4"][..],
        &["-bf", "0", "-x264-params", "weightp=2:8x8dct=1:cqm=jvt"],
        &["-bf", "0", "-x264-params", "intra-refresh=1:keyint=20"],
        &["-bf", "0", "-x264-params", "cabac=0:no-deblock=1"],
    ] {
        let fade = format!("{},fade=out:5:15", source(512, 512, 25));
        at_once(&h264(&fade, options));
    }
}

#[test]
fn colour_is_what_the_stream_signals() {
    if !has_ffmpeg() {
        return;
    }
    let colour = |options: &[&str], height| {
        let media = h264(&source(128, height, 1), options);
        decode_all(&mut *openh264(), &media.units).0[0].colour()
    };
    let signalled = |matrix, primaries, transfer, range| {
        ["-colorspace", matrix, "-color_primaries", primaries, "-color_trc", transfer, "-color_range", range]
    };
    assert_eq!(colour(&signalled("bt709", "bt709", "bt709", "tv"), 240), Colour::BT709);
    assert_eq!(colour(&signalled("smpte170m", "smpte170m", "smpte170m", "tv"), 720), Colour::BT601);
    assert_eq!(colour(&signalled("bt2020nc", "bt2020", "bt2020-10", "tv"), 720), Colour::BT2020);
    assert!(colour(&signalled("bt709", "bt709", "bt709", "pc"), 240).full_range);
    assert_eq!(colour(&[], 240).matrix, Matrix::Bt601);
    assert_eq!(colour(&[], 720).matrix, Matrix::Bt709);
}
