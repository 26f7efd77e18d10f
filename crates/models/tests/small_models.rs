//! The models that ship with the project do what they are for, on pictures that their training never saw. The
//! bars are on the middles of those pictures; docs/MODELS.md has the figures of the whole ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../training/pictures.rs"]
#[allow(dead_code, reason = "training uses more of it")]
mod pictures;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{Element, Timestamp};
use cutrickle_models::{denoise, style, super_resolution};
use cutrickle_pipeline::{Params, Stage, StreamContext, Trial, initialize};
use pictures::{Chance, Picture, halved, luma, noisy, psnr};

const HELD_OUT: [&str; 3] = ["camera", "chelsea", "coffee"];

/// (1, 3, 160, 160), 0 to 1.
fn held_out(name: &str) -> Tensor {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).with_extension("ppm");
    Picture::read(&path).unwrap().tensor().unwrap()
}

/// A processor that was loaded, in a stream.
async fn loaded<S: Stage>(stage: S) -> Trial<S> {
    let stage = initialize(stage, &Device::Cpu).await.unwrap();
    Trial::start(&stage, &StreamContext::new("test", Params::new(), Device::Cpu)).await.unwrap()
}

/// `picture` through a processor as frames go through it: 8 bits in, 8 bits out.
async fn through<S: Stage>(processor: &mut Trial<S>, picture: &Tensor) -> Tensor {
    let pixels = picture.squeeze(0).unwrap().permute((1, 2, 0)).unwrap().contiguous().unwrap();
    let frame = VideoFrame::from_tensor(pixels, Timestamp::ZERO).unwrap();
    let frame = VideoFrame::from_tensor(frame.tensor().unwrap(), Timestamp::ZERO).unwrap();
    let answer = processor.process_video(frame).await.unwrap().unwrap();
    let pixels = (answer.tensor().unwrap().to_dtype(DType::F32).unwrap() / 255.0).unwrap();
    pixels.permute((2, 0, 1)).unwrap().unsqueeze(0).unwrap().contiguous().unwrap()
}

/// The median of each pixel's 3x3 neighbours, channel by channel; edges are repeated.
fn median(picture: &Tensor) -> Tensor {
    let (_, channels, height, width) = picture.dims4().unwrap();
    let values = picture.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let at = |c: usize, y: isize, x: isize| {
        let (y, x) = (y.clamp(0, height as isize - 1) as usize, x.clamp(0, width as isize - 1) as usize);
        values[(c * height + y) * width + x]
    };
    let mut out = Vec::with_capacity(values.len());
    for c in 0..channels {
        for y in 0..height as isize {
            for x in 0..width as isize {
                let mut near: Vec<f32> = (0..9).map(|n| at(c, y + n / 3 - 1, x + n % 3 - 1)).collect();
                near.sort_by(f32::total_cmp);
                out.push(near[4]);
            }
        }
    }
    Tensor::from_vec(out, picture.shape(), &Device::Cpu).unwrap()
}

/// Bicubic, written down a second time: each output pixel from 4x4 inputs by the kernel of Keys, a = -0.5.
fn bicubic(picture: &Tensor) -> Tensor {
    let (_, channels, height, width) = picture.dims4().unwrap();
    let values = picture.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let kernel = |d: f32| match d.abs() {
        d if d < 1.0 => 1.5 * d * d * d - 2.5 * d * d + 1.0,
        d if d < 2.0 => -0.5 * d * d * d + 2.5 * d * d - 4.0 * d + 2.0,
        _ => 0.0,
    };
    let mut out = Vec::with_capacity(4 * values.len());
    for c in 0..channels {
        for y in 0..2 * height {
            for x in 0..2 * width {
                let (v, u) = ((y as f32 + 0.5) / 2.0 - 0.5, (x as f32 + 0.5) / 2.0 - 0.5);
                let (top, left) = (v.floor() as isize - 1, u.floor() as isize - 1);
                let mut sum = 0.0;
                for j in top..top + 4 {
                    for i in left..left + 4 {
                        let row = j.clamp(0, height as isize - 1) as usize;
                        let column = i.clamp(0, width as isize - 1) as usize;
                        sum += values[(c * height + row) * width + column]
                            * kernel(v - j as f32)
                            * kernel(u - i as f32);
                    }
                }
                out.push(sum);
            }
        }
    }
    Tensor::from_vec(out, (1, channels, 2 * height, 2 * width), &Device::Cpu).unwrap()
}

#[tokio::test]
async fn super_resolution_doubles_pictures_and_is_a_decibel_better_than_bicubic() {
    let mut processor = loaded(super_resolution(Element::F32)).await;
    let mut gains = Vec::new();
    for name in HELD_OUT {
        let whole = held_out(name);
        let small = halved(&whole).unwrap();
        let large = through(&mut processor, &small).await;
        assert_eq!(large.dims(), whole.dims());
        let quality = |picture: &Tensor| psnr(&luma(picture).unwrap(), &luma(&whole).unwrap(), 4).unwrap();
        let (before, after) = (quality(&pictures::eight_bit(&bicubic(&small)).unwrap()), quality(&large));
        println!("{name}: bicubic {before:.2} dB, network {after:.2} dB");
        gains.push(after - before);
    }
    assert!(gains.iter().sum::<f64>() / 3.0 >= 1.0, "{gains:?}");
}

#[tokio::test]
async fn denoise_gains_four_decibels_at_sigma_25_and_beats_a_median() {
    let mut processor = loaded(denoise(Element::F32)).await;
    for name in HELD_OUT {
        let clean = held_out(name);
        let spoiled = noisy(&clean, &mut Chance::new(25), |_| 25.0).unwrap();
        let mended = through(&mut processor, &spoiled).await;
        let quality = |picture: &Tensor| psnr(picture, &clean, 0).unwrap();
        let (before, after, rival) = (quality(&spoiled), quality(&mended), quality(&median(&spoiled)));
        println!("{name}: noisy {before:.2} dB, median {rival:.2} dB, network {after:.2} dB");
        assert!(after >= before + 4.0 && after > rival, "{name}: {before:.2}, {rival:.2}, {after:.2}");
    }
}

#[tokio::test]
async fn pictures_of_odd_sides_go_through_all_three() {
    let picture = held_out("coffee").narrow(2, 0, 33).unwrap().narrow(3, 0, 47).unwrap();
    let all = [
        through(&mut loaded(super_resolution(Element::F32)).await, &picture).await.dims().to_vec(),
        through(&mut loaded(denoise(Element::F32)).await, &picture).await.dims().to_vec(),
        through(&mut loaded(style(Element::F32)).await, &picture).await.dims().to_vec(),
    ];
    assert_eq!(all, [vec![1, 3, 66, 94], vec![1, 3, 33, 47], vec![1, 3, 33, 47]]);
}

#[tokio::test]
async fn half_precision_gives_nearly_the_same_picture() {
    let picture = held_out("chelsea").narrow(2, 0, 64).unwrap().narrow(3, 0, 64).unwrap();
    let (mut single, mut half) = (loaded(style(Element::F32)).await, loaded(style(Element::F16)).await);
    let (single, half) = (through(&mut single, &picture).await, through(&mut half, &picture).await);
    let difference = psnr(&half, &single, 0).unwrap();
    assert!(difference > 45.0, "{difference:.1} dB");
}
