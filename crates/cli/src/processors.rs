//! The built-in processors by name.

use std::path::PathBuf;

use cutrickle::candle_core::DType;
use cutrickle::compose::{Compose, DynProcessor};
use cutrickle::models::{denoise, depth, segment, style, super_resolution};
use cutrickle::processors::{Gain, Grayscale, Invert, Mirror, MuteWhen, Passthrough, Pitch, Tint};

use crate::failure::Failure;

/// A built-in processor, as `--processor` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Pictures go out as they came.
    Passthrough,
    /// No colour.
    Grayscale,
    /// Every colour its opposite.
    Invert,
    /// Towards a colour: parameters `r`, `g`, `b` (0-255) and `strength` (0-1).
    Tint,
    /// Left and right exchanged.
    Mirror,
    /// Louder or softer: parameter `gain` (-60 to 24 dB).
    Gain,
    /// Sound higher or lower, for as long as before: parameter `semitones` (-12 to 12).
    Pitch,
    /// Silence while nobody speaks, or somebody does: parameters `when` (`quiet`, `active`), `threshold` (dB).
    MuteWhen,
    /// A small network that takes a sensor's noise away.
    Denoise,
    /// A small network that paints pictures over.
    Style,
    /// A small network that makes pictures twice as wide and twice as high.
    SuperResolution,
    /// How near each pixel is, by Depth Anything V2 (`--weights`): parameter `colours` (true or false).
    Depth,
    /// What each pixel is of, by SegFormer (`--weights`), and as data: parameters `strength` (0-1), `every` (pictures).
    Segment,
}

/// The type that networks compute in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: half the memory, and on a GPU up to twice the speed.
    F16,
    /// 16-bit floats of the range of 32-bit ones.
    Bf16,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl Name {
    /// As it stands on the command line, where parameters find the processor under it as well.
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

    /// The processor, with the next of `weights` where its weights come from a file.
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
            Self::Passthrough => Passthrough.named(name).boxed(),
            Self::Grayscale => Grayscale.named(name).boxed(),
            Self::Invert => Invert.named(name).boxed(),
            Self::Tint => Tint::default().named(name).boxed(),
            Self::Mirror => Mirror.named(name).boxed(),
            Self::Gain => Gain::default().named(name).boxed(),
            Self::Pitch => Pitch::default().named(name).boxed(),
            Self::MuteWhen => MuteWhen::default().named(name).boxed(),
            Self::Denoise => denoise(precision.dtype()).named(name).boxed(),
            Self::Style => style(precision.dtype()).named(name).boxed(),
            Self::SuperResolution => super_resolution(precision.dtype()).named(name).boxed(),
            Self::Depth => depth(weights()?, precision.dtype())?.named(name).boxed(),
            Self::Segment => segment(weights()?, precision.dtype())?.named(name).boxed(),
        })
    }
}

/// One after another; `weights` are the files of those whose weights come from one, in their order.
///
/// # Errors
/// A file too few, too many, or that does not fit.
pub fn chain(names: &[Name], precision: Precision, weights: &[PathBuf]) -> Result<DynProcessor, Failure> {
    let mut weights = weights.iter();
    let mut chain: Option<DynProcessor> = None;
    for name in names {
        let next = name.processor(precision, &mut weights)?;
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
    use cutrickle::candle_core::{Device, Tensor};
    use cutrickle::{FrameProcessor, Params, StreamContext, VideoFrame};
    use serde_json::{Value, json};

    use super::*;

    fn params(value: Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    /// The first row of what comes of a picture whose left pixel is black and whose right one is white.
    async fn row(processor: &mut DynProcessor) -> Vec<Vec<u8>> {
        let black = Tensor::zeros((2, 1, 3), DType::U8, &Device::Cpu).unwrap();
        let white = Tensor::full(255u8, (2, 1, 3), &Device::Cpu).unwrap();
        let frame = VideoFrame::from_tensor(Tensor::cat(&[black, white], 1).unwrap(), 0).unwrap();
        let out = processor.process_video(frame).await.unwrap().unwrap();
        out.tensor().unwrap().to_vec3::<u8>().unwrap().swap_remove(0)
    }

    #[tokio::test]
    async fn a_chain_is_one_after_another_and_takes_parameters_flat_and_by_name() {
        let mut both = chain(&[Name::Tint, Name::Mirror], Precision::F32, &[]).ok().unwrap();
        let start = params(json!({"r": 10, "g": 20, "b": 30, "strength": 1.0}));
        both.on_stream_start(&StreamContext::new("test", start, Device::Cpu)).await.unwrap();
        assert_eq!(row(&mut both).await, [[10, 20, 30], [10, 20, 30]]);
        both.update_params(&params(json!({"tint": {"strength": 0}}))).await.unwrap();
        assert_eq!(row(&mut both).await, [[255; 3], [0; 3]]);
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for name in <Name as clap::ValueEnum>::value_variants() {
            let value = clap::ValueEnum::to_possible_value(name).unwrap();
            assert_eq!(value.get_name(), name.as_str());
        }
    }
}
