//! The decoder and encoder of the GPU compared with those of the CPU. Decoded frames are equal bit for bit
//! before colour conversion, and the decoder on the CPU reads what was encoded. The tests fail without a
//! device, which is real hardware or the stand-in driver (ci/stand-in.sh). They find out whether the device
//! has an encoder, and so they test what happens without one if they run on a device that has none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod encoder;
#[path = "../gpu_clip/mod.rs"]
mod gpu_clip;

use candle_core::{Device, Tensor};
use cutrickle_codec::{Backends, VideoDecoder};
use cutrickle_frame::{I420, Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Fit, Layout, ModelInput, Size, Timestamp, VideoCodec};
use gpu_clip::{device, encoder_for, made, open_decoder, units};

fn decode(decoder: &mut dyn VideoDecoder, units: &[AccessUnit]) -> Vec<VideoFrame> {
    let mut frames = Vec::new();
    for unit in units {
        decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
    }
    decoder.flush(&mut |frame| frames.push(frame)).unwrap();
    frames
}

/// The peak signal-to-noise ratio of luma in dB.
fn psnr(a: &I420, b: &I420) -> f64 {
    let ([a, ..], [b, ..]) = (a.planes(), b.planes());
    let squares: f64 = a.data.iter().zip(b.data).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.data.len() as f64 / squares.max(1e-9)).log10()
}

#[test]
fn pictures_are_those_of_the_hosts_decoder_bit_for_bit() {
    let units = units();
    let mut on_gpu = open_decoder(VideoCodec::H264, &device());
    let mut on_host = open_decoder(VideoCodec::H264, &Device::Cpu);
    let (gpu, host) = (decode(&mut *on_gpu, &units), decode(&mut *on_host, &units));
    assert_eq!(on_gpu.backend(), "nvdec");
    assert_eq!(gpu.len(), units.len());
    assert_eq!(gpu.len(), host.len());
    for (gpu, host) in gpu.iter().zip(&host) {
        assert!(gpu.device().is_cuda());
        assert_eq!((gpu.timestamp(), gpu.colour()), (host.timestamp(), host.colour()));
        assert!(gpu.i420().unwrap() == host.i420().unwrap(), "the frame at {}", gpu.timestamp());
    }
}

#[test]
fn each_unit_gives_its_picture_at_once() {
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    for unit in units().iter().take(40) {
        let mut times = Vec::new();
        decoder.decode(unit, Origin::now(), &mut |frame| times.push(frame.timestamp())).unwrap();
        assert_eq!(times, [unit.pts]);
    }
}

#[test]
fn pictures_outlive_their_decoder() {
    let units = units();
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    let kept = decode(&mut *decoder, &units[..32]);
    drop(decoder);
    let mut host = open_decoder(VideoCodec::H264, &Device::Cpu);
    for (gpu, host) in kept.iter().zip(decode(&mut *host, &units[..32])) {
        assert!(gpu.i420().unwrap() == host.i420().unwrap(), "the frame at {}", gpu.timestamp());
    }
}

#[test]
fn h265_comes_out_in_display_order_and_no_later_than_the_stream_asks() {
    // Four B-frames with a pyramid, where two frames may precede one that is displayed before them. Of 10
    // bits per sample the host gets the upper 8.
    for (name, depth) in [("h265-b.ts", 8u32), ("h265-10-b.ts", 10)] {
        let (units, raw) = made(name);
        let mut decoder = open_decoder(VideoCodec::H265, &device());
        let mut frames = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
            assert!(frames.len() + 2 > number, "{name}: {} after unit {number}", frames.len());
        }
        decoder.flush(&mut |frame| frames.push(frame)).unwrap();
        assert_eq!(decoder.backend(), "nvdec");
        let mut times: Vec<_> = units.iter().map(|unit| unit.pts).collect();
        assert!(!times.is_sorted(), "{name} has no B-frames");
        times.sort_unstable();
        assert_eq!(frames.iter().map(VideoFrame::timestamp).collect::<Vec<_>>(), times);
        let judged: Vec<u8> = match depth {
            8 => raw,
            _ => raw.chunks_exact(2).map(|at| (u16::from_le_bytes([at[0], at[1]]) >> 2) as u8).collect(),
        };
        let frame_size = judged.len() / frames.len();
        for (frame, judged) in frames.iter().zip(judged.chunks(frame_size)) {
            assert!(frame.device().is_cuda());
            let picture = frame.i420().unwrap();
            let planes: Vec<u8> = picture.planes().iter().flat_map(|plane| plane.data).copied().collect();
            assert!(planes == judged, "{name}: the frame at {}", frame.timestamp());
        }
    }
}

#[test]
fn ten_bits_reach_models_and_encoders() {
    let (units, _) = made("h265-10-b.ts");
    let device = device();
    let mut decoder = open_decoder(VideoCodec::H265, &device);
    let frames = decode(&mut *decoder, &units);
    let host = frames[0].clone().to(&Device::Cpu).unwrap();
    let input = ModelInput::new(160, 96);
    let all = |tensor: Tensor| -> Vec<f32> {
        tensor.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    for (there, here) in
        all(frames[0].to_model(&input).unwrap()).into_iter().zip(all(host.to_model(&input).unwrap()))
    {
        // The host has only 8 of the 10 bits.
        assert!((there - here).abs() < 4.0 / 255.0, "{there} and {here}");
    }
    let mut encoder = Backends::builtin().open_video_encoder(encoder_for(&frames[0]), &device).unwrap();
    let mut coded = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        coded.push(encoder.encode(frame, at == 0).unwrap());
    }
    let mut host = open_decoder(VideoCodec::H264, &Device::Cpu);
    let back = decode(&mut *host, &coded);
    assert_eq!(back.len(), frames.len());
    for (frame, back) in frames.iter().zip(&back) {
        let quality = psnr(&frame.i420().unwrap(), &back.i420().unwrap());
        assert!(quality > 30.0, "{quality:.1} dB at {}", frame.timestamp());
    }
}

#[test]
fn a_target_size_is_reached_by_the_decoder_from_the_next_keyframe_on() {
    let units = units();
    let second = units.iter().skip(1).position(|unit| unit.keyframe).unwrap() + 1;
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    let before = decode(&mut *decoder, &units[..second - 4]);
    let (width, height) = (before[0].width(), before[0].height());
    decoder.scale_to(Some(Size::new(320, 320)));
    let mut sizes = Vec::new();
    for unit in &units[second - 4..second + 4] {
        let out = &mut |frame: VideoFrame| sizes.push((frame.width(), frame.height()));
        decoder.decode(unit, Origin::now(), out).unwrap();
    }
    assert_eq!(sizes, [[(width, height); 4], [(320, 320); 4]].concat());
}

#[test]
fn damage_costs_pictures_until_the_next_keyframe_and_no_more() {
    let mut units = units();
    let second = units.iter().skip(1).position(|unit| unit.keyframe).unwrap() + 1;
    // Keeps the header of the slice and replaces the rest with noise.
    let mut damaged = units[5].data.to_vec();
    let from = damaged.len() / 3;
    damaged[from..].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 151 + 89) as u8 | 1);
    units[5].data = damaged.into();
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    let mut times = Vec::new();
    for unit in &units {
        // What cannot be decoded may be an error.
        let _ = decoder.decode(unit, Origin::now(), &mut |frame| times.push(frame.timestamp()));
    }
    let whole: Vec<Timestamp> = units[second..].iter().map(|unit| unit.pts).collect();
    assert!(times.ends_with(&whole), "all frames from the second keyframe on");
    assert!(times.iter().is_sorted());
}

#[test]
fn rgb_and_back_changes_a_picture_by_little() {
    let units = units();
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    for frame in decode(&mut *decoder, &units[..8]) {
        let before = frame.i420().unwrap();
        let rgb = frame.tensor().unwrap();
        assert!(rgb.device().is_cuda());
        assert_eq!(rgb.dims(), [frame.height() as usize, frame.width() as usize, 3]);
        let after = frame.replace_tensor(rgb).unwrap().i420().unwrap();
        // Chroma is averaged over the pixels that it was spread over, so that only luma is rounded.
        assert!(psnr(&before, &after) > 48.0, "{:.1} dB", psnr(&before, &after));
    }
}

#[test]
fn a_models_input_is_the_hosts_to_a_rounding() {
    let units = units();
    let mut on_gpu = open_decoder(VideoCodec::H264, &device());
    let mut on_host = open_decoder(VideoCodec::H264, &Device::Cpu);
    let (gpu, host) = (decode(&mut *on_gpu, &units[..4]), decode(&mut *on_host, &units[..4]));
    for layout in [Layout::Chw, Layout::Hwc] {
        for fit in [Fit::Stretch, Fit::Crop, Fit::Letterbox([0.5; 3])] {
            let input =
                ModelInput { fit, layout, mean: [0.485; 3], std: [0.229; 3], ..ModelInput::new(640, 417) };
            for (gpu, host) in gpu.iter().zip(&host) {
                let (there, here) = (gpu.to_model(&input).unwrap(), host.to_model(&input).unwrap());
                assert!(there.device().is_cuda());
                assert_eq!(there.dims(), here.dims());
                let all = |tensor: Tensor| -> Vec<f32> {
                    tensor.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
                };
                for (there, here) in all(there).into_iter().zip(all(here)) {
                    assert!((there - here).abs() < 0.5 / 255.0 / 0.229, "{there} and {here}, {input:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_drawn_over_a_picture_is_what_the_host_draws_bit_for_bit() {
    let units = units();
    let mut decoder = open_decoder(VideoCodec::H264, &device());
    let frame = decode(&mut *decoder, &units[..1]).remove(0);
    let on_host = |tensor: &Tensor| tensor.to_device(&Device::Cpu).unwrap();
    let host = VideoFrame::from_tensor(on_host(&frame.tensor().unwrap()), Timestamp::ZERO).unwrap();
    let bytes: Vec<u8> = (0..57u32 * 101 * 4).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let picture = Tensor::from_vec(bytes, (57, 101, 4), &Device::Cpu).unwrap();
    let there = picture.to_device(frame.device()).unwrap();
    let (right, bottom) = (frame.width() as i32, frame.height() as i32);
    for at in [[0, 0], [33, 17], [-50, -7], [right - 13, bottom - 1], [right, 0]] {
        let drawn = frame.clone().overlay(&there, at).unwrap().tensor().unwrap();
        assert!(drawn.device().is_cuda());
        let wanted = host.clone().overlay(&picture, at).unwrap().tensor().unwrap();
        let all = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        assert!(all(on_host(&drawn)) == all(wanted), "at {at:?}");
    }
}
