//! The encoder of openh264. Its output is checked with ffmpeg and ffprobe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod video_media;

use candle_core::Device;
use cutrickle_codec::{Backends, Coding, EncoderConfig, RateControl, Result, VideoEncoder};
use cutrickle_frame::{I420, Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Size, Timestamp, VideoCodec};
use video_media::{Folder, has_ffmpeg, openh264, psnr, run, samples, text};

fn config(width: u32, height: u32) -> EncoderConfig {
    let (bitrate, colour, coding) = (4_000_000, Colour::BT709, Coding::default());
    EncoderConfig { size: Size::new(width, height), fps: 30.0, bitrate, coding, colour }
}

/// Opens the encoder of openh264.
fn open(config: EncoderConfig) -> Result<Box<dyn VideoEncoder>> {
    Backends::builtin().open_video_encoder_named("openh264", config, &Device::Cpu)
}

/// A frame whose luma and chroma are functions of place and time.
fn picture(width: u32, height: u32, number: u32, kind: &str) -> VideoFrame {
    let mut picture = I420::new(width, height).unwrap();
    let mut grain = 1 + u64::from(number);
    for (index, plane) in picture.planes_mut().into_iter().enumerate() {
        for (y, row) in plane.data.chunks_mut(plane.width).enumerate() {
            for (x, sample) in row.iter_mut().enumerate() {
                let (x, y, t) = (x as f64, y as f64, f64::from(number));
                *sample = match (kind, index) {
                    ("flat", _) => 100,
                    ("gradient", 0) => ((x + y / 2.0 + 2.0 * t) / 4.0 % 200.0 + 20.0) as u8,
                    ("natural", 0) => {
                        grain = grain.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        let noise = ((grain >> 60) as f64 - 8.0) / 2.0;
                        (128.0 + 60.0 * ((x + 3.0 * t) / 23.0).sin() * (y / 17.0).cos() + noise) as u8
                    }
                    _ => (128.0 + 30.0 * ((x - t) / 40.0).sin()) as u8,
                };
            }
        }
    }
    VideoFrame::from_i420(picture, Colour::BT709, Timestamp::from_ticks(i64::from(number) * 3000))
}

/// The types of the NAL units in an access unit.
fn kinds(data: &[u8]) -> Vec<u8> {
    let starts = data.windows(4).filter(|w| w[..3] == [0, 0, 1]);
    starts.map(|w| w[3] & 0x1f).collect()
}

fn stream(units: &[AccessUnit]) -> Vec<u8> {
    units.iter().flat_map(|unit| &unit.data[..]).copied().collect()
}

fn encode(config: EncoderConfig, kind: &str, frames: u32) -> Vec<AccessUnit> {
    let mut encoder = open(config).unwrap();
    let Size { width, height } = config.size;
    (0..frames).map(|n| encoder.encode(&picture(width, height, n, kind), false).unwrap()).collect()
}

#[test]
fn idr_pictures_come_where_they_are_asked_for_and_carry_their_parameter_sets() {
    let mut encoder = open(config(512, 512)).unwrap();
    for number in 0..90 {
        let asked = [7, 8, 40].contains(&number);
        // A scene cut in the middle must not cause an IDR picture.
        let kind = if number < 60 { "natural" } else { "gradient" };
        let frame = picture(512, 512, number, kind);
        let unit = encoder.encode(&frame, asked).unwrap();
        assert_eq!(unit.keyframe, number == 0 || asked, "frame {number}");
        assert_eq!(unit.pts, frame.timestamp());
        let expected = if unit.keyframe { vec![7, 8, 5, 5] } else { vec![1, 1] };
        assert_eq!(kinds(&unit.data), expected, "frame {number}");
    }
}

#[test]
fn ffmpeg_decodes_every_frame_without_complaint_and_finds_no_b_frames() {
    if !has_ffmpeg() {
        return;
    }
    let folder = Folder::new();
    for (width, height) in [(512, 512), (1280, 720), (854, 480), (1920, 1080), (127, 99), (16, 16)] {
        let path = folder.path(&format!("{width}x{height}.h264"));
        std::fs::write(&path, stream(&encode(config(width, height), "natural", 10))).unwrap();
        let output = std::process::Command::new("ffmpeg")
            .args(["-v", "warning", "-xerror", "-i", text(&path), "-f", "null", "-"])
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        // A raw stream has no timestamps. That is the only warning that is allowed.
        let complaints: Vec<&str> = complaints
            .lines()
            .filter(|l| !l.contains("Timestamps are unset") && !l.trim().is_empty())
            .collect();
        assert!(output.status.success() && complaints.is_empty(), "{width}x{height}: {complaints:?}");
        let frames = run(
            "ffprobe",
            &["-v", "error", "-show_entries", "frame=pict_type", "-of", "csv=p=0", text(&path)],
        );
        let kinds: String =
            String::from_utf8(frames).unwrap().lines().map(|l| l.trim_end_matches(',')).collect();
        assert_eq!(kinds, "IPPPPPPPPP");
        let shape =
            ["-v", "error", "-show_entries", "stream=width,height,has_b_frames,profile", "-of", "csv=p=0"];
        let shape = String::from_utf8(run("ffprobe", &[&shape[..], &[text(&path)]].concat())).unwrap();
        assert_eq!(shape.trim(), format!("Main,{},{},0", width & !1, height & !1));
    }
}

#[test]
fn the_colour_is_signalled() {
    if !has_ffmpeg() {
        return;
    }
    let folder = Folder::new();
    for (colour, words) in [
        (Colour::BT601, "tv,smpte170m,smpte170m,smpte170m"),
        (Colour::BT709, "tv,bt709,bt709,bt709"),
        (Colour::BT2020, "tv,bt2020nc,bt2020-10,bt2020"),
        (Colour { full_range: true, ..Colour::BT601 }, "pc,smpte170m,smpte170m,smpte170m"),
        (Colour { full_range: true, ..Colour::BT709 }, "pc,bt709,bt709,bt709"),
        (Colour { full_range: true, ..Colour::BT2020 }, "pc,bt2020nc,bt2020-10,bt2020"),
    ] {
        let path = folder.path("a.h264");
        std::fs::write(&path, stream(&encode(EncoderConfig { colour, ..config(64, 64) }, "flat", 1)))
            .unwrap();
        let fields = "stream=color_range,color_space,color_transfer,color_primaries";
        let said = run("ffprobe", &["-v", "error", "-show_entries", fields, "-of", "csv=p=0", text(&path)]);
        assert_eq!(String::from_utf8(said).unwrap().trim(), words);
    }
}

#[test]
fn our_own_decoder_gives_each_frame_back_at_once_and_close_to_the_original() {
    for (kind, bound) in [("flat", 50.0), ("gradient", 40.0), ("natural", 36.0)] {
        let units = encode(config(640, 360), kind, 30);
        let mut decoder = openh264();
        for (number, unit) in (0..).zip(&units) {
            let mut frames = Vec::new();
            decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
            assert_eq!(frames.len(), 1, "{kind} {number}");
            assert_eq!(frames[0].colour(), Colour::BT709);
            let likeness = psnr(&samples(&frames[0]), &samples(&picture(640, 360, number, kind)));
            assert!(likeness > bound, "{kind} {number}: {likeness} dB");
        }
    }
}

#[test]
fn the_bitrate_is_kept() {
    let mut bits = 0;
    for unit in encode(EncoderConfig { bitrate: 800_000, ..config(640, 360) }, "natural", 150) {
        bits += 8 * unit.data.len();
    }
    let rate = bits / 5;
    assert!((500_000..1_000_000).contains(&rate), "{rate} bit/s");
}

#[test]
fn a_constant_quality_takes_the_bits_that_it_needs() {
    let of = |quality, bitrate| {
        let coding = Coding { rate: RateControl::Quality(quality), ..Coding::default() };
        // Without the first unit, because the level in its parameter sets depends on the bitrate.
        stream(&encode(EncoderConfig { bitrate, coding, ..config(320, 240) }, "natural", 30)[1..])
    };
    let (good, poor) = (of(20, 100_000), of(40, 100_000));
    assert!(good.len() > 2 * poor.len(), "{} and {} bytes", good.len(), poor.len());
    assert!(good == of(20, 4_000_000), "the bitrate makes a difference");
}

#[test]
fn timestamps_that_jump_do_not_stop_it() {
    let mut encoder = open(config(320, 240)).unwrap();
    for (number, timestamp) in
        [0, 3000, -450_000, 324_000_000, i64::MAX, i64::MIN, 3000].into_iter().enumerate()
    {
        let timestamp = Timestamp::from_ticks(timestamp);
        let frame = picture(320, 240, number as u32, "natural").at(timestamp);
        let unit = encoder.encode(&frame, false).unwrap();
        assert_eq!((unit.pts, unit.keyframe), (timestamp, number == 0));
    }
}

#[test]
fn what_it_cannot_encode_is_an_error_that_says_why() {
    assert!(open(config(15, 480)).err().unwrap().to_string().contains("15x480"));
    assert!(open(config(16_000, 16_000)).is_err());
    assert!(open(EncoderConfig { fps: 0.0, ..config(64, 64) }).is_err());
    assert!(open(EncoderConfig { fps: f64::NAN, ..config(64, 64) }).is_err());
    assert!(open(EncoderConfig { bitrate: 0, ..config(64, 64) }).is_err());
    let like = |coding| open(EncoderConfig { coding, ..config(64, 64) });
    for quality in [0, 52] {
        assert!(like(Coding { rate: RateControl::Quality(quality), ..Coding::default() }).is_err());
    }
    let h265 = like(Coding { codec: VideoCodec::H265, ..Coding::default() });
    assert!(h265.err().unwrap().is_unsupported());
    let mut encoder = open(config(320, 240)).unwrap();
    let error = encoder.encode(&picture(322, 240, 0, "flat"), false).unwrap_err().to_string();
    assert!(error.contains("322x240") && error.contains("320x240"), "{error}");
    assert!(encoder.encode(&picture(320, 240, 0, "flat"), false).unwrap().keyframe);
}

#[test]
fn encoders_and_decoders_open_and_close_on_any_thread() {
    let threads: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..25 {
                    let mut encoder = open(config(320, 256)).unwrap();
                    let unit = encoder.encode(&picture(320, 256, 0, "gradient"), false).unwrap();
                    // The encoder is dropped on another thread than the one it was opened on.
                    std::thread::spawn(move || {
                        let mut decoder = openh264();
                        let mut frames = 0;
                        decoder.decode(&unit, Origin::now(), &mut |_| frames += 1).unwrap();
                        drop(encoder);
                        assert_eq!(frames, 1);
                    })
                    .join()
                    .unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_new_rate_holds_from_the_next_frame_on_without_an_idr_picture() {
    let mut encoder = open(config(512, 512)).unwrap();
    // Encodes two seconds and counts the bytes of the last one, as rate control takes a while to settle.
    let settled = |encoder: &mut dyn VideoEncoder, from: u32| -> usize {
        let encode = |n| encoder.encode(&picture(512, 512, n, "natural"), false).unwrap();
        let units: Vec<_> = (from..from + 60).map(encode).collect();
        assert!(units.iter().all(|unit| !unit.keyframe || unit.pts == Timestamp::ZERO));
        units[30..].iter().map(|unit| unit.data.len()).sum()
    };
    let before = settled(&mut *encoder, 0);
    encoder.set_rate(30.0, 500_000).unwrap();
    assert_eq!((encoder.config().fps, encoder.config().bitrate), (30.0, 500_000));
    let after = settled(&mut *encoder, 60);
    assert!(after * 2 < before, "{after} bytes in a second, and {before} at 4 Mbit/s");
    assert!(encoder.set_rate(30.0, 0).is_err() && encoder.set_rate(f64::NAN, 1000).is_err());
    assert_eq!(encoder.config().bitrate, 500_000);
}
