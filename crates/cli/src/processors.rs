//! The built-in processors by name.

use std::path::PathBuf;

use cutrickle::compose::{Compose, DynProcessor};
use cutrickle::models::{
    denoise, depth, depth_params_schema, segment, segment_params_schema, style, super_resolution,
};
use cutrickle::processors::{Gain, Grayscale, Invert, Mirror, MuteWhen, Passthrough, Pitch, Tint};
use cutrickle_media::Element;
use cutrickle_worker::Failure;
use serde_json::Value;

/// A built-in processor, as `--processor` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Pass frames through unchanged.
    Passthrough,
    /// Remove all color.
    Grayscale,
    /// Invert colors.
    Invert,
    /// Blend with a color: parameters `r`, `g`, `b` (0-255) and `strength` (0-1).
    Tint,
    /// Swap left and right.
    Mirror,
    /// Change the volume: parameter `gain` (-60 to 24 dB).
    Gain,
    /// Change the pitch of the audio, but not its duration: parameter `semitones` (-12 to 12).
    Pitch,
    /// Mute the audio while nobody speaks, or while somebody does: parameters `when` (`quiet`, `active`),
    /// `threshold` (dB).
    MuteWhen,
    /// Remove sensor noise with a small neural network.
    Denoise,
    /// Make frames look painted with a small neural network.
    Style,
    /// Double the width and height with a small neural network.
    SuperResolution,
    /// Show how near each pixel is, with Depth Anything V2 (`--weights`): parameter `colours` (true or
    /// false).
    Depth,
    /// Color each pixel by its class and send the classes as data, with SegFormer (`--weights`): parameters
    /// `strength` (0-1), `every` (frames).
    Segment,
}

/// The data type that neural networks compute in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the memory, and up to twice as fast on a GPU.
    F16,
    /// 16-bit floats with the range of 32-bit floats.
    Bf16,
}

impl Precision {
    fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
            Self::Bf16 => Element::Bf16,
        }
    }
}

impl Name {
    /// The name on the command line. Parameters also find the processor by it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Grayscale => "grayscale",
            Self::Invert => "invert",
            Self::Tint => "tint",
            Self::Mirror => "mirror",
            Self::Gain => "gain",
            Self::Pitch => "pitch",
            Self::MuteWhen => "mute-when",
            Self::Denoise => "denoise",
            Self::Style => "style",
            Self::SuperResolution => "super-resolution",
            Self::Depth => "depth",
            Self::Segment => "segment",
        }
    }

    /// The JSON schema of the processor's parameters.
    pub fn params_schema(self) -> Value {
        match self {
            // These cannot be made without weights.
            Self::Depth => depth_params_schema(),
            Self::Segment => segment_params_schema(),
            _ => match self.processor(Precision::default(), &mut [].iter()) {
                Ok(processor) => processor.params_schema(),
                Err(_) => Value::Null,
            },
        }
    }

    /// The processor. If its weights come from a file, it is the next one of `weights`.
    fn processor(
        self,
        precision: Precision,
        weights: &mut std::slice::Iter<'_, PathBuf>,
    ) -> Result<DynProcessor, Failure> {
        let name = self.as_str();
        let mut weights = || {
            let line = || format!("`{name}` takes its weights from a file: --weights PATH");
            weights.next().ok_or_else(|| Failure::usage(line()))
        };
        Ok(match self {
            Self::Passthrough => Passthrough.boxed(),
            Self::Grayscale => Grayscale.boxed(),
            Self::Invert => Invert.boxed(),
            Self::Tint => Tint::default().boxed(),
            Self::Mirror => Mirror.boxed(),
            Self::Gain => Gain::default().boxed(),
            Self::Pitch => Pitch::default().boxed(),
            Self::MuteWhen => MuteWhen::default().boxed(),
            Self::Denoise => denoise(precision.element()).boxed(),
            Self::Style => style(precision.element()).boxed(),
            Self::SuperResolution => super_resolution(precision.element()).boxed(),
            Self::Depth => depth(weights()?, precision.element())?.boxed(),
            Self::Segment => segment(weights()?, precision.element())?.boxed(),
        })
    }
}

/// Makes one processor that runs those of `names` one after the other. `weights` are the files of those whose
/// weights come from a file, in their order.
///
/// # Errors
/// There are too few files or too many, or one does not fit.
pub fn chain(names: &[Name], precision: Precision, weights: &[PathBuf]) -> Result<DynProcessor, Failure> {
    let mut weights = weights.iter();
    let mut chain: Option<DynProcessor> = None;
    for name in names {
        let next = name.processor(precision, &mut weights)?.named(name.as_str()).boxed();
        chain = Some(match chain {
            Some(before) => before.then(next).boxed(),
            None => next,
        });
    }
    if let Some(path) = weights.next() {
        let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
        let line = format!("--weights {}: nothing in `{}` takes it", path.display(), names.join(","));
        return Err(Failure::usage(line));
    }
    Ok(chain.unwrap_or_else(|| Passthrough.boxed()))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use cutrickle::candle_core::{DType, Device, Tensor};
    use cutrickle::{Params, StreamContext, Trial, VideoFrame};
    use serde_json::json;

    use super::*;

    fn params(value: Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    /// The first row of what becomes of a frame whose left pixel is black and whose right one is white.
    async fn row(processor: &mut Trial<DynProcessor>) -> Vec<Vec<u8>> {
        let black = Tensor::zeros((2, 1, 3), DType::U8, &Device::Cpu).unwrap();
        let white = Tensor::full(255u8, (2, 1, 3), &Device::Cpu).unwrap();
        let frame = VideoFrame::try_from(Tensor::cat(&[black, white], 1).unwrap()).unwrap();
        let out = processor.process_video(frame).await.unwrap().unwrap();
        out.tensor().unwrap().to_vec3::<u8>().unwrap().swap_remove(0)
    }

    #[tokio::test]
    async fn a_chain_is_one_after_another_and_takes_parameters_flat_and_by_name() {
        let both = chain(&[Name::Tint, Name::Mirror], Precision::F32, &[]).ok().unwrap();
        let start = params(json!({"r": 10, "g": 20, "b": 30, "strength": 1.0}));
        let stream = StreamContext::new("test", start, Device::Cpu);
        let mut both = Trial::start(&both, &stream).await.unwrap();
        assert_eq!(row(&mut both).await, [[10, 20, 30], [10, 20, 30]]);
        both.update_params(&params(json!({"tint": {"strength": 0}}))).await.unwrap();
        assert_eq!(row(&mut both).await, [[255; 3], [0; 3]]);
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for name in Name::value_variants() {
            let value = name.to_possible_value().unwrap();
            assert_eq!(value.get_name(), name.as_str());
        }
    }

    #[test]
    fn each_processor_has_a_schema_without_weights() {
        for name in Name::value_variants() {
            let schema = name.params_schema();
            assert!(schema.is_object(), "{name:?}: {schema}");
        }
        assert!(Name::Depth.params_schema()["properties"]["colours"].is_object());
        assert_eq!(Name::Tint.params_schema()["properties"]["strength"]["maximum"], 1.0);
    }
}
