//! openh264's decoder against ffmpeg's: the same pictures, each as early as its stream allows. B-frames are the
//! exception: the library's are not exact.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod video_media;

use cutrickle_codec::video::openh264::H264Decoder;
use cutrickle_frame::{Colour, Matrix, VideoFrame};
use video_media::{Media, decode_all, h264, has_ffmpeg, psnr, samples, source};

/// Every frame right after its unit, sample for sample what ffmpeg decodes.
#[track_caller]
fn at_once(media: &Media) {
    let mut decoder = H264Decoder::new().unwrap();
    let (frames, counts) = decode_all(&mut decoder, &media.units);
    assert!(counts[..media.units.len()].iter().all(|n| *n == 1), "{counts:?}");
    alike(media, &frames, f64::INFINITY);
}

/// All frames in display order, at least `bound` dB from ffmpeg's: infinity stands for the same samples.
#[track_caller]
fn alike(media: &Media, frames: &[VideoFrame], bound: f64) {
    assert_eq!(frames.len(), media.pictures.len());
    let mut timestamps: Vec<i64> = media.units.iter().map(|unit| unit.timestamp).collect();
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
        let mut decoder = H264Decoder::new().unwrap();
        let (frames, counts) = decode_all(&mut decoder, &media.units);
        alike(&media, &frames, 55.0);
        // Held back no longer than the parameter sets say: at most two frames for x264's pyramids.
        assert!(*counts.last().unwrap() <= 2, "{options:?}: {counts:?}");
    }
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
        decode_all(&mut H264Decoder::new().unwrap(), &media.units).0[0].colour()
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
