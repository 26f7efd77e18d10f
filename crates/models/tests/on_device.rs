//! The networks on a CUDA device make of a picture what they make of it on the host, in each type that they
//! may have. Needs a device, and fails without one: candle's own kernels and cuBLAS, which the stand-in
//! driver does not compute.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../training/pictures.rs"]
#[allow(dead_code, reason = "training uses more of it")]
mod pictures;
#[allow(dead_code, reason = "others use more of it")]
mod seeded;

use candle_core::{DType, Device, Module, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{Element, Timestamp};
use cutrickle_models::{DepthAnything, SegFormer, denoise, style, super_resolution};
use cutrickle_pipeline::{Params, Stage, StreamContext, Trial, initialize};
use pictures::Picture;
use seeded::{Reference, data};

/// Types, and the steps of 255 by which an output may differ from the host's in f32: at most, and on average.
const TYPES: [(Element, f32, f32); 3] =
    [(Element::F32, 1.0, 0.01), (Element::F16, 8.0, 0.5), (Element::Bf16, 40.0, 3.0)];

fn device() -> Device {
    cutrickle_frame::cuda_device(0).expect("these tests need a device")
}

/// A photograph, (160, 160, 3) u8.
fn photograph(device: &Device) -> VideoFrame {
    let picture = Picture::read(&data("chelsea.ppm")).unwrap().tensor().unwrap();
    let pixels = (picture.squeeze(0).unwrap().permute((1, 2, 0)).unwrap() * 255.0).unwrap();
    let pixels = pixels.round().unwrap().to_dtype(DType::U8).unwrap().contiguous().unwrap();
    VideoFrame::from_tensor(pixels.to_device(device).unwrap(), Timestamp::ZERO).unwrap()
}

async fn through(stage: impl Stage, device: &Device) -> Vec<f32> {
    let stage = initialize(stage, device).await.unwrap();
    let stream = StreamContext::new("test", Params::new(), device.clone());
    let mut processor = Trial::start(&stage, &stream).await.unwrap();
    let answer = processor.process_video(photograph(device)).await.unwrap().unwrap();
    assert!(answer.tensor().unwrap().device().same_device(device));
    let pixels = answer.tensor().unwrap().to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    // Of an answer in floats, 0 to 1, what is shown of it.
    let shown =
        if answer.tensor().unwrap().dtype() == DType::U8 { pixels } else { (pixels * 255.0).unwrap() };
    shown.flatten_all().unwrap().to_vec1().unwrap()
}

async fn holds<S: Stage>(name: &str, network: fn(Element) -> S) {
    let host = through(network(Element::F32), &Device::Cpu).await;
    for (element, most, mean) in TYPES {
        let there = through(network(element), &device()).await;
        assert_eq!(there.len(), host.len(), "{name}");
        let apart = || there.iter().zip(&host).map(|(a, b)| (a - b).abs());
        let (largest, sum) = (apart().fold(0.0, f32::max), apart().sum::<f32>());
        println!(
            "{name} in {element:?}: {largest:.2} steps apart at most, {:.4} on average",
            sum / host.len() as f32
        );
        assert!(largest <= most && sum / host.len() as f32 <= mean, "{name} in {element:?}");
    }
}

#[tokio::test]
async fn networks_that_ship_make_the_hosts_pictures() {
    holds("denoise", denoise).await;
    holds("style", style).await;
    holds("super-resolution", super_resolution).await;
}

#[test]
fn published_networks_are_their_authors() {
    let device = device();
    let judge = |name: &str, forward: &dyn Fn(&Reference, &Tensor) -> Tensor| {
        let reference = Reference::read(name);
        let output = forward(&reference, &reference.input.to_device(&device).unwrap());
        let distance = reference.distance(&output.to_device(&Device::Cpu).unwrap());
        println!("{name}: {distance:e} of the largest value");
        assert!(distance < 1e-4, "{name}: {distance}");
    };
    judge("depth.json", &|of, input| {
        DepthAnything::new(of.weights_on(&device)).unwrap().forward(input).unwrap()
    });
    judge("segment.json", &|of, input| {
        SegFormer::new(of.weights_on(&device)).unwrap().forward(input).unwrap()
    });
}
