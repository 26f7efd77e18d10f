//! Models as processors: what they are given, what they answer, and what is said of weights that do not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Conv2d, Conv2dConfig, VarBuilder, conv2d};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{Element, Fit, Layout, ModelInput, Timestamp};
use cutrickle_models::{CandleModel, Inference, Weights, as_picture, candle_nn};
use cutrickle_pipeline::{Params, Result, Stage, StreamContext, Trial, initialize};

/// A picture that is brighter to the right and redder downwards.
fn frame(width: usize, height: usize) -> VideoFrame {
    let pixels: Vec<u8> = (0..height * width)
        .flat_map(|i| [(i / width * 255 / height) as u8, (i % width * 255 / width) as u8, 80])
        .collect();
    let pixels = Tensor::from_vec(pixels, (height, width, 3), &Device::Cpu).unwrap();
    VideoFrame::from_tensor(pixels, Timestamp::from_ticks(900)).unwrap()
}

async fn started<S: Stage>(stage: &S) -> Result<Trial<S>> {
    Trial::start(stage, &StreamContext::new("test", Params::new(), Device::Cpu)).await
}

/// A processor that was loaded, in a stream.
async fn loaded<S: Stage>(stage: S) -> Trial<S> {
    started(&initialize(stage, &Device::Cpu).await.unwrap()).await.unwrap()
}

/// Notes the shapes and types that it is given, and gives them back.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<Vec<Seen>>>);

type Seen = (Vec<usize>, DType);

impl Module for Watched {
    fn forward(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        self.0.lock().unwrap().push((xs.dims().to_vec(), xs.dtype()));
        Ok(xs.clone())
    }
}

#[tokio::test]
async fn a_closure_is_a_model_and_its_output_a_picture() {
    let negative = |xs: &Tensor| 1.0 - xs;
    let mut processor = loaded(CandleModel::new(negative, ModelInput::default()).answering(as_picture)).await;
    let frame = frame(48, 32);
    let before = frame.tensor().unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let after = processor.process_video(frame).await.unwrap().unwrap();
    assert_eq!((after.width(), after.height(), after.timestamp().ticks()), (48, 32, 900));
    let after = after.tensor().unwrap().flatten_all().unwrap().to_vec1::<u8>().unwrap();
    assert!(before.iter().zip(&after).all(|(before, after)| *before == 255 - *after));
}

#[tokio::test]
async fn a_model_is_given_what_its_input_says_and_is_warmed_up_with_it() {
    let watched = Watched::default();
    let input =
        ModelInput { element: Element::F16, layout: Layout::Hwc, fit: Fit::Crop, ..ModelInput::new(20, 10) };
    let model = CandleModel::new(watched.clone(), input).warmed_up_at(64, 48);
    let mut processor = loaded(model.answering(|seen: Inference<'_>| Ok(Some(seen.frame)))).await;
    processor.process_video(frame(48, 32)).await.unwrap();
    let seen = (vec![1, 10, 20, 3], DType::F16);
    assert_eq!(*watched.0.lock().unwrap(), [seen.clone(), seen]);

    let watched = Watched::default();
    let own = CandleModel::new(watched.clone(), ModelInput::default()).warmed_up_at(64, 48);
    let mut own = loaded(own.answering(as_picture)).await;
    own.process_video(frame(48, 32)).await.unwrap();
    let seen = [(vec![1, 3, 48, 64], DType::F32), (vec![1, 3, 32, 48], DType::F32)];
    assert_eq!(*watched.0.lock().unwrap(), seen);
}

#[tokio::test]
async fn an_answer_may_be_data_alone_and_each_stream_has_its_own_closure() {
    let mut count = 0;
    let counting = move |seen: Inference<'_>| -> Result<Option<VideoFrame>> {
        count += 1;
        seen.stream.emit(&serde_json::json!({ "pictures": count }))?;
        Ok((count == 1).then_some(seen.frame))
    };
    let watched = Watched::default();
    let stage = CandleModel::new(watched.clone(), ModelInput::new(8, 8)).answering(counting);
    let stage = initialize(stage, &Device::Cpu).await.unwrap();
    for _ in 0..2 {
        let mut stream = started(&stage).await.unwrap();
        assert!(stream.process_video(frame(16, 16)).await.unwrap().is_some());
        assert!(stream.process_video(frame(16, 16)).await.unwrap().is_none());
    }
    assert_eq!(watched.0.lock().unwrap().len(), 5, "both streams share the model, which was warmed up once");
}

#[tokio::test]
async fn a_model_that_was_not_initialised_is_an_error_and_so_is_an_output_that_is_no_picture() {
    let stage = CandleModel::new(Watched::default(), ModelInput::default()).answering(as_picture);
    assert!(started(&stage).await.is_err());
    let flat = |xs: &Tensor| xs.flatten_all();
    let mut processor = loaded(CandleModel::new(flat, ModelInput::new(8, 8)).answering(as_picture)).await;
    assert!(processor.process_video(frame(16, 16)).await.is_err());
}

fn build(weights: VarBuilder<'_>) -> candle_core::Result<Conv2d> {
    conv2d(3, 3, 1, Conv2dConfig::default(), weights.pp("mix"))
}

/// A file in a folder that goes with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, tensors: &[(&str, Tensor)]) -> Self {
        let folder = std::env::temp_dir().join(format!("cutrickle-models-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let tensors = tensors.iter().map(|(name, tensor)| (*name, tensor.clone())).collect();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn load(path: &Path) -> Result<impl Stage> {
    let model = CandleModel::load(Weights::File(path.into()), ModelInput::new(8, 8), build);
    initialize(model.answering(as_picture), &Device::Cpu).await
}

#[tokio::test]
async fn weights_come_from_a_file_in_the_type_that_is_asked_for() {
    // Red, green and blue each become the next.
    let turn = [0f32, 1., 0., 0., 0., 1., 1., 0., 0.];
    let turn = Tensor::from_slice(&turn, (3, 3, 1, 1), &Device::Cpu).unwrap();
    let none = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    let file = File::new("turn", &[("mix.weight", turn), ("mix.bias", none)]);
    for element in [Element::F32, Element::F16] {
        let input = ModelInput { element, ..ModelInput::default() };
        let model = CandleModel::load(Weights::File(file.0.clone()), input, build);
        let mut processor = loaded(model.answering(as_picture)).await;
        let frame = frame(16, 16);
        let before = frame.tensor().unwrap().to_vec3::<u8>().unwrap();
        let after = processor.process_video(frame).await.unwrap().unwrap().tensor().unwrap();
        let after = after.to_vec3::<u8>().unwrap();
        for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
            assert_eq!(*after, [before[1], before[2], before[0]], "{element:?}");
        }
    }
}

#[tokio::test]
async fn weights_that_do_not_fit_are_one_line_that_names_the_file_and_the_tensor() {
    let small = Tensor::zeros((3, 2, 1, 1), DType::F32, &Device::Cpu).unwrap();
    let mismatched = File::new("mismatched", &[("mix.weight", small.clone())]);
    let missing = File::new("missing", &[("other", small)]);
    let garbage = File::new("garbage", &[]);
    std::fs::write(&garbage.0, b"no tensors at all").unwrap();
    let nowhere = Path::new("no/such/file.safetensors");
    for (path, wanted) in [
        (&*mismatched.0, "mix.weight"),
        (&*missing.0, "mix.weight"),
        (&*garbage.0, ""),
        (nowhere, "No such file"),
    ] {
        let e = load(path).await.err().unwrap().to_string();
        assert_eq!(e.lines().count(), 1, "{e}");
        assert!(e.contains(&path.display().to_string()) && e.contains(wanted), "{e}");
    }
}
