//! Depth Anything V2: the network against what `training/reference_depth.py` made of the same weights, the
//! processor, and what is said of files that do not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod seeded;

use std::path::Path;

use candle_core::{DType, Device, Module, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{Element, ModelInput, Timestamp};
use cutrickle_models::{DepthAnything, depth};
use cutrickle_pipeline::{Params, Stage, StreamContext, Trial, initialize};
use seeded::Reference;

fn reference() -> Reference {
    Reference::read("depth.json")
}

/// A processor that was loaded, in a stream.
async fn loaded<S: Stage>(stage: S) -> Trial<S> {
    let stage = initialize(stage, &Device::Cpu).await.unwrap();
    Trial::start(&stage, &StreamContext::new("test", Params::new(), Device::Cpu)).await.unwrap()
}

/// What the network says of a picture, row by row, from 0 for the least to 255 for the most.
fn expected(network: &DepthAnything, frame: &VideoFrame) -> Vec<f32> {
    let imagenet =
        ModelInput { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], ..ModelInput::new(70, 70) };
    let output = network.forward(&frame.to_model(&imagenet).unwrap().unsqueeze(0).unwrap()).unwrap();
    let output = output.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (least, most) = output.iter().fold((f32::MAX, 0f32), |(a, b), x| (a.min(*x), b.max(*x)));
    output.iter().map(|x| (x - least) / (most - least) * 255.0).collect()
}

/// A picture that is redder to the right and bluer downwards, with a bright square.
fn frame(width: usize, height: usize) -> VideoFrame {
    let pixel = |i: usize| {
        let (x, y) = (i % width * 255 / width, i / width * 255 / height);
        let square = (60..120).contains(&x) && (100..190).contains(&y);
        [x as u8, if square { 240 } else { 30 }, y as u8]
    };
    let pixels: Vec<u8> = (0..width * height).flat_map(pixel).collect();
    let pixels = Tensor::from_vec(pixels, (height, width, 3), &Device::Cpu).unwrap();
    VideoFrame::from_tensor(pixels, Timestamp::from_ticks(900)).unwrap()
}

#[test]
fn the_network_is_the_authors() {
    let reference = reference();
    let network = DepthAnything::new(reference.weights()).unwrap();
    assert_eq!(network.side(), 70);
    let distance = reference.distance(&network.forward(&reference.input).unwrap());
    assert!(distance < 2e-5, "{distance}");
    let two = Tensor::cat(&[&reference.input, &reference.input], 0).unwrap();
    let second = network.forward(&two).unwrap().narrow(0, 1, 1).unwrap();
    assert!(reference.distance(&second) < 2e-5);
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let network = DepthAnything::new(reference().weights()).unwrap();
    let other = Tensor::zeros((1, 3, 84, 70), DType::F32, &Device::Cpu).unwrap();
    assert!(network.forward(&other).unwrap_err().to_string().contains("70x84 for a network of 70x70"));
}

#[tokio::test]
async fn a_picture_becomes_its_depth_in_its_own_size_and_at_its_own_time() {
    let reference = reference();
    let file = reference.file("depth.safetensors");
    let mut processor = loaded(depth(&file.0, Element::F32).unwrap()).await;

    // Where nothing is scaled it is what the network says.
    let network = DepthAnything::new(reference.weights()).unwrap();
    let input = frame(70, 70);
    let wanted = expected(&network, &input);
    let answer = processor.process_video(input).await.unwrap().unwrap();
    let answer = answer.tensor().unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
    assert_eq!((answer.iter().min(), answer.iter().max()), (Some(&0), Some(&255)));
    assert!(wanted.iter().zip(&answer).all(|(wanted, got)| (wanted - f32::from(*got)).abs() <= 1.0));

    // Where it is, corners stay what and where they were.
    let input = frame(96, 54);
    let wanted = expected(&network, &input);
    let answer = processor.process_video(input).await.unwrap().unwrap();
    assert_eq!((answer.width(), answer.height(), answer.timestamp().ticks()), (96, 54, 900));
    let answer = answer.tensor().unwrap();
    assert_eq!(answer.dims(), [54, 96, 1]);
    let answer = answer.to_vec3::<u8>().unwrap();
    let corners = [(0, 0, 0), (69, 0, 95), (69 * 70, 53, 0), (70 * 70 - 1, 53, 95)];
    let mut corners = corners.iter().map(|(i, y, x)| wanted[*i] - f32::from(answer[*y][*x][0]));
    assert!(corners.all(|difference| difference.abs() <= 1.0));
    // A middle row is between its neighbours of the network's: rows are not mixed up with columns.
    let (above, below) = (wanted[34 * 70], wanted[35 * 70]);
    let middle = (f32::from(answer[26][0][0]) + f32::from(answer[27][0][0])) / 2.0;
    assert!((middle - (above + below) / 2.0).abs() <= 2.0, "{above}, {below}: {middle}");

    let colours = |value: serde_json::Value| Params::from_iter([("colours".to_owned(), value)]);
    processor.update_params(&colours(true.into())).await.unwrap();
    let answer = processor.process_video(frame(96, 54)).await.unwrap().unwrap();
    assert_eq!(answer.tensor().unwrap().dims(), [54, 96, 3]);
    let refused = processor.update_params(&colours("red".into())).await.unwrap_err();
    assert_eq!(refused.to_string(), r#"`colours` is "red": true or false is wanted"#);
}

#[tokio::test]
async fn half_precision_gives_nearly_the_same_picture() {
    let file = reference().file("half.safetensors");
    let mut pictures = Vec::new();
    for element in [Element::F32, Element::F16] {
        let mut processor = loaded(depth(&file.0, element).unwrap()).await;
        let answer = processor.process_video(frame(70, 70)).await.unwrap().unwrap();
        pictures.push(answer.tensor().unwrap().to_dtype(DType::F32).unwrap());
    }
    let difference = (&pictures[0] - &pictures[1]).unwrap().abs().unwrap();
    let difference = difference.mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(difference < 2.0, "{difference}");
}

#[track_caller]
fn refused(path: &Path, wanted: &str) {
    let Err(e) = depth(path, Element::F32) else { panic!("{} was taken", path.display()) };
    let e = e.to_string();
    assert_eq!(e.lines().count(), 1, "{e}");
    assert!(e.contains(&path.display().to_string()) && e.contains(wanted), "{e}");
}

#[test]
fn a_file_that_does_not_fit_is_one_line_that_names_the_file_and_the_tensor() {
    refused(Path::new("no/such/depth.safetensors"), "No such file");
    for name in [
        "pretrained.cls_token",
        "pretrained.blocks.3.attn.qkv.weight",
        "pretrained.norm.bias",
        "depth_head.resize_layers.3.weight",
        "depth_head.scratch.output_conv2.2.weight",
    ] {
        let mut missing = reference();
        missing.shapes.remove(name).unwrap();
        refused(&missing.file(&format!("missing-{name}")).0, name);
        let mut other = reference();
        other.shapes.insert(name.to_owned(), vec![3, 5]);
        refused(&other.file(&format!("other-{name}")).0, name);
    }
    let mut few = reference();
    few.shapes.retain(|name, _| !name.contains("blocks.3") && !name.contains("blocks.5"));
    refused(&few.file("few").0, "pretrained.blocks.3.norm1.weight");
}
