//! SegFormer: the network against what `training/reference_segment.py` made of the same weights, the
//! processor, and what is said of files that do not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod seeded;

use std::path::Path;

use candle_core::{Device, Module, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{Element, Timestamp};
use cutrickle_models::{SegFormer, segment};
use cutrickle_pipeline::{Params, StreamContext, Trial, initialize};
use seeded::Reference;

fn reference() -> Reference {
    Reference::read("segment.json")
}

fn params(text: &str) -> Params {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_network_is_the_authors() {
    let reference = reference();
    let network = SegFormer::new(reference.weights()).unwrap();
    assert_eq!(network.classes(), 7);
    let distance = reference.distance(&network.forward(&reference.input).unwrap());
    assert!(distance < 2e-5, "{distance}");
    let two = Tensor::cat(&[&reference.input, &reference.input], 0).unwrap();
    let second = network.forward(&two).unwrap().narrow(0, 1, 1).unwrap();
    assert!(reference.distance(&second) < 2e-5);
}

#[tokio::test]
async fn classes_are_coloured_as_strongly_as_is_asked_for() {
    // One class everywhere: the others' weights are nothing beside its bias.
    let reference = reference();
    let mut tensors = reference.tensors();
    let bias = Tensor::new(&[0f32, 0., 0., 0., 0., 1e4, 0.], &Device::Cpu).unwrap();
    tensors.insert("decode_head.classifier.bias".to_owned(), bias);
    let file = reference.file("strength.safetensors");
    candle_core::safetensors::save(&tensors, &file.0).unwrap();

    // Class 5 is (128, 0, 128).
    let cases = [
        (Element::F32, "0", [200, 100, 40]),
        (Element::F32, "1", [128, 0, 128]),
        (Element::F16, "0.25", [182, 75, 62]),
    ];
    for (element, strength, wanted) in cases {
        let stage = initialize(segment(&file.0, element).unwrap(), &Device::Cpu).await.unwrap();
        let stream = StreamContext::new("test", Params::new(), Device::Cpu);
        let mut processor = Trial::start(&stage, &stream).await.unwrap();
        processor
            .update_params(&params(&format!(r#"{{"strength": {strength}, "every": 2}}"#)))
            .await
            .unwrap();
        let pixels = [200u8, 100, 40].repeat(48 * 32);
        let pixels = Tensor::from_vec(pixels, (32, 48, 3), &Device::Cpu).unwrap();
        let frame = VideoFrame::from_tensor(pixels, Timestamp::from_ticks(900)).unwrap();
        let answer = processor.process_video(frame).await.unwrap().unwrap();
        assert_eq!((answer.width(), answer.height(), answer.timestamp().ticks()), (48, 32, 900));
        let answer = answer.tensor().unwrap().to_vec3::<u8>().unwrap();
        assert!(answer.iter().flatten().all(|pixel| *pixel == wanted), "{strength}: {:?}", answer[0][0]);
    }
}

#[track_caller]
fn refused(path: &Path, wanted: &str) {
    let Err(e) = segment(path, Element::F32) else { panic!("{} was taken", path.display()) };
    let e = e.to_string();
    assert_eq!(e.lines().count(), 1, "{e}");
    assert!(e.contains(&path.display().to_string()) && e.contains(wanted), "{e}");
}

#[test]
fn a_file_that_does_not_fit_is_one_line_that_names_the_file_and_the_tensor() {
    refused(Path::new("no/such/segment.safetensors"), "No such file");
    for name in [
        "segformer.encoder.patch_embeddings.0.proj.weight",
        "segformer.encoder.block.1.1.attention.self.sr.bias",
        "segformer.encoder.block.2.0.mlp.dwconv.dwconv.weight",
        "segformer.encoder.layer_norm.3.weight",
        "decode_head.linear_fuse.weight",
        "decode_head.batch_norm.running_mean",
        "decode_head.classifier.bias",
    ] {
        let mut missing = reference();
        missing.shapes.remove(name).unwrap();
        refused(&missing.file(&format!("missing-{name}")).0, name);
        let mut other = reference();
        other.shapes.insert(name.to_owned(), vec![3, 5]);
        refused(&other.file(&format!("other-{name}")).0, name);
    }
}
