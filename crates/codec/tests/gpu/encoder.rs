//! The encoder of the device, or that of the CPU if the device has none, with every coding that can be
//! requested. Its output is decoded on the device.

use cutrickle_codec::{Backends, Coding, EncoderConfig, RateControl};
use cutrickle_cuda::nvenc;
use cutrickle_frame::VideoFrame;
use cutrickle_media::{AccessUnit, Codec, Colour, VideoCodec};

use crate::gpu_clip::{device, encoder_for, open_decoder, units};
use crate::{decode, psnr};

/// The first frames of the clip, on the device.
fn frames(number: usize) -> Vec<VideoFrame> {
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    decode(&mut *decoder, &units()[..number])
}

fn has_encoder(codec: VideoCodec) -> bool {
    let gpu = cutrickle_frame::gpu(&device()).unwrap();
    nvenc::codecs(&gpu).is_ok_and(|codecs| codecs.contains(&codec))
}

/// Encodes the frames with this configuration, with an IDR picture every 12 frames.
fn encode(config: EncoderConfig, frames: &[VideoFrame]) -> Vec<AccessUnit> {
    let codec = config.coding.codec;
    let mut encoder = Backends::builtin().open_video_encoder(config, &device()).unwrap();
    // The fallback to the CPU must not hide an encoder that exists but does not work.
    assert_eq!(encoder.backend() == "nvenc", has_encoder(codec), "{codec:?} by {}", encoder.backend());
    let coded = frames.iter().enumerate().map(|(at, frame)| encoder.encode(frame, at % 12 == 0).unwrap());
    coded.collect()
}

#[test]
fn every_coding_gives_a_stream_of_the_pictures() {
    let frames = frames(24);
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        for (rate, preset) in
            [(RateControl::Constant, 1), (RateControl::Variable, 4), (RateControl::Quality(24), 7)]
        {
            let config = EncoderConfig { coding: Coding { codec, rate, preset }, ..encoder_for(&frames[0]) };
            let coded = encode(config, &frames);
            // The encoder on the CPU only has H.264, and labels its output accordingly.
            let actual = if has_encoder(codec) { codec } else { VideoCodec::H264 };
            for (at, unit) in coded.iter().enumerate() {
                let expected = (Codec::Video(actual), at % 12 == 0);
                assert_eq!((unit.codec, unit.keyframe), expected, "{config:?}: frame {at}");
            }
            // Decoding can begin at either IDR picture, because each of them has its parameter sets.
            for (first, from) in [(0, &coded[..]), (12, &coded[12..])] {
                let mut decoder = open_decoder(actual, &device());
                let back = decode(&mut *decoder, from);
                assert_eq!(back.len(), from.len(), "{config:?}");
                for (frame, back) in frames[first..].iter().zip(&back) {
                    assert_eq!((back.timestamp(), back.colour()), (frame.timestamp(), Colour::BT709));
                    let likeness = psnr(&frame.i420().unwrap(), &back.i420().unwrap());
                    assert!(likeness > 32.0, "{likeness:.1} dB at {}, {config:?}", frame.timestamp());
                }
            }
        }
    }
}

#[test]
fn a_constant_quality_takes_the_bits_that_it_needs() {
    let frames = frames(24);
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let bytes = |quality| -> usize {
            let coding = Coding { codec, rate: RateControl::Quality(quality), ..Coding::default() };
            // This bitrate would only be enough for the poorer quality.
            let config = EncoderConfig { bitrate: 300_000, coding, ..encoder_for(&frames[0]) };
            encode(config, &frames).iter().map(|unit| unit.data.len()).sum()
        };
        let (good, poor) = (bytes(20), bytes(40));
        assert!(good > 3 * poor, "{codec:?}: {good} and {poor} bytes");
    }
}

#[test]
fn a_new_rate_holds_without_a_new_encoder() {
    let frames = frames(60);
    for (codec, rate) in
        [(VideoCodec::H264, RateControl::Constant), (VideoCodec::H265, RateControl::Variable)]
    {
        let coding = Coding { codec, rate, ..Coding::default() };
        let config = EncoderConfig { coding, ..encoder_for(&frames[0]) };
        let mut encoder = Backends::builtin().open_video_encoder(config, &device()).unwrap();
        // Encodes a second and counts the bytes of its second half.
        let mut second = |bits: Option<u32>| -> usize {
            if let Some(bits) = bits {
                encoder.set_rate(30.0, bits).unwrap();
            }
            let coded: Vec<_> =
                frames[30..].iter().map(|frame| encoder.encode(frame, false).unwrap()).collect();
            coded[15..].iter().map(|unit| unit.data.len()).sum()
        };
        let before = second(None);
        let after = second(Some(600_000));
        assert!(after * 2 < before, "{codec:?}: {after} bytes, and {before} at ten times the rate");
        assert!(encoder.set_rate(30.0, 0).is_err());
        assert_eq!(encoder.config().bitrate, 600_000);
    }
}
