//! Depth Anything V2: how near each pixel is. The transformer below is `dino`'s, the processor `depth`'s.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::{
    Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, VarBuilder, conv_transpose2d, conv2d,
    conv2d_no_bias,
};

use crate::dino::Dino;
use crate::layers::{conv3, map_of_tokens, shape_of};

/// L. Yang et al., "Depth Anything V2", 2024: DINOv2, and the head of R. Ranftl et al., "Vision transformers for dense
/// prediction", 2021. Small, base or large by the shapes of its weights, which have the names of the authors' files:
/// `pretrained.*` and `depth_head.*`. For the files of relative depth; those of depth in metres end otherwise.
#[derive(Debug, Clone)]
pub struct DepthAnything {
    below: Dino,
    taken: [usize; 4],
    projects: Vec<Conv2d>,
    enlarge: [ConvTranspose2d; 2],
    reduce: Conv2d,
    narrow: Vec<Conv2d>,
    fusions: Vec<Fusion>,
    half: Conv2d,
    last: [Conv2d; 2],
}

impl DepthAnything {
    /// The network with these weights.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: VarBuilder<'_>) -> Result<Self> {
        let below = Dino::new(&weights.pp("pretrained"))?;
        let taken = taken(below.depth())?;
        let head = weights.pp("depth_head");
        let mut widths = [0; 4];
        for (i, width) in widths.iter_mut().enumerate() {
            [*width] = shape_of(&head, &format!("projects.{i}.bias"))?;
        }
        let scratch = head.pp("scratch");
        let [features] = shape_of(&scratch, "refinenet1.out_conv.bias")?;
        let [most] = shape_of(&scratch, "output_conv2.0.bias")?;
        let plain = Conv2dConfig::default();
        let (padded, halving) =
            (Conv2dConfig { padding: 1, ..plain }, Conv2dConfig { padding: 1, stride: 2, ..plain });
        let resize = head.pp("resize_layers");
        let enlarge = |i: usize, times: usize| {
            let stride = ConvTranspose2dConfig { stride: times, ..ConvTranspose2dConfig::default() };
            conv_transpose2d(widths[i], widths[i], times, stride, resize.pp(i))
        };
        let each = || widths.iter().enumerate();
        Ok(Self {
            projects: each()
                .map(|(i, &width)| conv2d(below.channels, width, 1, plain, head.pp("projects").pp(i)))
                .collect::<Result<_>>()?,
            enlarge: [enlarge(0, 4)?, enlarge(1, 2)?],
            reduce: conv2d(widths[3], widths[3], 3, halving, resize.pp(3))?,
            narrow: each()
                .map(|(i, &width)| {
                    conv2d_no_bias(width, features, 3, padded, scratch.pp(format!("layer{}_rn", i + 1)))
                })
                .collect::<Result<_>>()?,
            fusions: (1..=4)
                .map(|i| Fusion::new(features, i < 4, &scratch.pp(format!("refinenet{i}"))))
                .collect::<Result<_>>()?,
            half: conv3(features, features / 2, scratch.pp("output_conv1"))?,
            last: [
                conv3(features / 2, most, scratch.pp("output_conv2").pp(0))?,
                conv2d(most, 1, 1, plain, scratch.pp("output_conv2").pp(2))?,
            ],
            below,
            taken,
        })
    }

    /// Width and height of the pictures that the network takes, in pixels: 518 where it is a published one.
    pub fn side(&self) -> usize {
        self.below.grid * self.below.patch
    }
}

impl Module for DepthAnything {
    /// (batch, 3, side, side), normalised as for ImageNet, to (batch, 1, side, side): the nearer the larger, 0 or more, by
    /// no scale that two pictures share.
    fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let grid = self.below.grid;
        let mut levels = Vec::with_capacity(4);
        for (i, (features, project)) in
            self.below.features(pictures, &self.taken)?.iter().zip(&self.projects).enumerate()
        {
            let map = project.forward(&map_of_tokens(features, grid, grid)?)?;
            levels.push(match i {
                0 | 1 => self.enlarge[i].forward(&map)?,
                2 => map,
                _ => self.reduce.forward(&map)?,
            });
        }
        let mut path: Option<Tensor> = None;
        for i in (0..4).rev() {
            let level = self.narrow[i].forward(&levels[i])?;
            // To the size of the finer level; there is none above the first, which is doubled.
            let (_, _, height, width) = if i == 0 { levels[0].dims4()? } else { levels[i - 1].dims4()? };
            let times = if i == 0 { 2 } else { 1 };
            path = Some(self.fusions[i].forward(path, level, times * height, times * width)?);
        }
        let Some(path) = path else { bail!("a head without levels") };
        let side = self.side();
        let fine = self.half.forward(&path)?.upsample_bilinear2d(side, side, true)?;
        self.last[1].forward(&self.last[0].forward(&fine)?.relu()?)?.relu()
    }
}

/// The blocks whose output the head takes: the last of each quarter, but for the large variant's first.
fn taken(blocks: usize) -> Result<[usize; 4]> {
    match blocks {
        0..4 => {
            bail!("pretrained.blocks.{blocks}.norm1.weight is missing: the head takes four blocks' output")
        }
        24 => Ok([4, 11, 17, 23]),
        _ => Ok([1, 2, 3, 4].map(|quarter| quarter * blocks / 4 - 1)),
    }
}

/// Brings a level and what came of the coarser ones together.
#[derive(Debug, Clone)]
struct Fusion {
    /// For the level; the coarsest has nothing to be brought together with.
    beside: Option<Residual>,
    both: Residual,
    out: Conv2d,
}

impl Fusion {
    fn new(features: usize, beside: bool, weights: &VarBuilder<'_>) -> Result<Self> {
        let residual = |name: &str| Residual::new(features, &weights.pp(name));
        Ok(Self {
            beside: beside.then(|| residual("resConfUnit1")).transpose()?,
            both: residual("resConfUnit2")?,
            out: conv2d(features, features, 1, Conv2dConfig::default(), weights.pp("out_conv"))?,
        })
    }

    fn forward(&self, path: Option<Tensor>, level: Tensor, height: usize, width: usize) -> Result<Tensor> {
        let both = match (path, &self.beside) {
            (Some(path), Some(beside)) => (path + beside.forward(&level)?)?,
            _ => level,
        };
        self.out.forward(&self.both.forward(&both)?.upsample_bilinear2d(height, width, true)?)
    }
}

/// What two convolutions of 3x3 add.
#[derive(Debug, Clone)]
struct Residual([Conv2d; 2]);

impl Residual {
    fn new(features: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self([
            conv3(features, features, weights.pp("conv1"))?,
            conv3(features, features, weights.pp("conv2"))?,
        ]))
    }
}

impl Module for Residual {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs + self.0[1].forward(&self.0[0].forward(&xs.relu()?)?.relu()?)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_variants_give_the_head_the_blocks_that_it_was_trained_with() {
        assert_eq!(taken(12).unwrap(), [2, 5, 8, 11]);
        assert_eq!(taken(24).unwrap(), [4, 11, 17, 23]);
        assert_eq!(taken(40).unwrap(), [9, 19, 29, 39]);
        assert!(taken(3).is_err());
    }
}
