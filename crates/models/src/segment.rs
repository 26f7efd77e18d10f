//! What is shown and told of the classes in a picture. The network is `segformer`'s.

use candle_core::{DType, Device, Tensor};
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Answer, Inference};

/// The frame with a colour on all that is of one class, and as data how much of it each class has.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClassView {
    /// How many frames there were.
    frames: u64,
    /// (classes, 3), 0 to 1, once there was a frame.
    palette: Option<Tensor>,
}

/// What a stream's caller may say of it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "segment")]
pub(crate) struct ClassParams {
    /// How much of the colours is seen: 0 leaves the frame as it is, 1 leaves nothing of it.
    #[schemars(range(min = 0.0, max = 1.0))]
    strength: f64,
    /// Frames from one line of data to the next.
    #[schemars(range(min = 1))]
    every: u64,
}

impl Default for ClassParams {
    fn default() -> Self {
        Self { strength: 0.5, every: 1 }
    }
}

impl Answer for ClassView {
    type Params = ClassParams;

    fn answer(&mut self, made: Inference<'_>, params: &ClassParams) -> Result<Option<VideoFrame>> {
        let classes = made.output.dim(1)?;
        let map = made.output.argmax(1)?.squeeze(0)?;
        if self.frames.is_multiple_of(params.every) {
            let shares = shares(&map.flatten_all()?.to_vec1()?, classes);
            made.stream.emit(&serde_json::json!({ "pts": made.frame.pts(), "classes": shares }))?;
        }
        self.frames += 1;
        let palette = match &self.palette {
            Some(palette) => palette,
            None => self.palette.insert(palette(classes, made.output.device())?),
        };
        let colours = colours(&map, palette, made.frame.width() as usize, made.frame.height() as usize)?;
        let rgb = (made.frame.tensor()?.to_dtype(DType::F32)? * ((1.0 - params.strength) / 255.0))?;
        let pixels = (rgb + (colours * params.strength)?)?;
        Ok(Some(made.frame.replace_tensor(pixels)?))
    }
}

/// Each class's colour: (height, width) of classes to (H, W, 3), soft where one passes into another.
fn colours(map: &Tensor, palette: &Tensor, width: usize, height: usize) -> candle_core::Result<Tensor> {
    let (rows, columns) = map.dims2()?;
    let small = palette.index_select(&map.flatten_all()?, 0)?.reshape((1, rows, columns, 3))?;
    let large = small.permute((0, 3, 1, 2))?.contiguous()?.upsample_bilinear2d(height, width, false)?;
    large.squeeze(0)?.permute((1, 2, 0))
}

/// How much of a frame a class has.
#[derive(Debug, PartialEq, Serialize)]
struct Share {
    class: u32,
    /// 0 to 1.
    share: f32,
}

/// The classes that are there, those that have most first.
fn shares(map: &[u32], classes: usize) -> Vec<Share> {
    let mut counts = vec![0u32; classes];
    for class in map {
        if let Some(count) = counts.get_mut(*class as usize) {
            *count += 1;
        }
    }
    let share = |count: u32| count as f32 / map.len() as f32;
    let present = (0..).zip(counts).filter(|(_, count)| *count > 0);
    let mut shares: Vec<_> = present.map(|(class, count)| Share { class, share: share(count) }).collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share));
    shares
}

/// (classes, 3), 0 to 1: the colours of the PASCAL VOC development kit, where the bits of the class, three at
/// a time, are the highest of red, green and blue.
fn palette(classes: usize, device: &Device) -> candle_core::Result<Tensor> {
    let colour = |class: usize| {
        [0, 1, 2].map(|channel| {
            let bit = |i: usize| (class >> (3 * i + channel) & 1) << (7 - i);
            (0..8).map(bit).sum::<usize>() as f32 / 255.0
        })
    };
    let colours: Vec<f32> = (0..classes).flat_map(colour).collect();
    Tensor::from_vec(colours, (classes, 3), device)
}

#[cfg(test)]
mod tests {
    use cutrickle_pipeline::{Params, TypedParams};

    use super::*;

    #[test]
    fn shares_are_those_of_the_classes_that_are_there_the_largest_first() {
        let shares = shares(&[3, 1, 3, 3], 5);
        assert_eq!(shares, [Share { class: 3, share: 0.75 }, Share { class: 1, share: 0.25 }]);
        let line = serde_json::to_value(&shares).unwrap();
        assert_eq!(line[0], serde_json::json!({ "class": 3, "share": 0.75 }));
    }

    #[test]
    fn the_first_colours_are_those_of_the_kit() {
        let colours = (palette(21, &Device::Cpu).unwrap() * 255.0).unwrap().round().unwrap();
        let colours = colours.to_vec2::<f32>().unwrap();
        assert_eq!(colours[..4], [[0., 0., 0.], [128., 0., 0.], [0., 128., 0.], [128., 128., 0.]]);
        assert_eq!((&colours[8][..], &colours[20][..]), (&[64., 0., 0.][..], &[0., 64., 128.][..]));
    }

    #[test]
    fn a_colour_lies_where_its_class_is() {
        let map = Tensor::new(&[[0u32, 1]], &Device::Cpu).unwrap();
        let palette = Tensor::new(&[[1f32, 0.0, 0.0], [0.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let colours = colours(&map, &palette, 8, 2).unwrap().to_vec3::<f32>().unwrap();
        for row in colours {
            assert_eq!((&row[0][..], &row[7][..]), (&[1.0, 0.0, 0.0][..], &[0.0, 0.0, 1.0][..]));
        }
    }

    #[test]
    fn a_wrong_parameter_is_named_and_changes_nothing() {
        let mut params = ClassParams::default();
        let given = |json| serde_json::from_str::<Params>(json).unwrap();
        for (wrong, refusal) in [
            (r#"{"every": 5, "strength": 2}"#, "`strength` is 2: a number from 0 to 1 is wanted"),
            (r#"{"strength": 1, "every": 0}"#, "`every` is 0: a whole number from 1 is wanted"),
            (r#"{"every": 1.5}"#, "`every` is 1.5: a whole number from 1 is wanted"),
        ] {
            assert_eq!(params.update(&given(wrong)).unwrap_err().to_string(), refusal);
            assert_eq!((params.strength, params.every), (0.5, 1));
        }
        params.update(&given(r#"{"strength": 0.25, "every": 3}"#)).unwrap();
        assert_eq!((params.strength, params.every), (0.25, 3));
    }
}
