//! DINOv2, the vision transformer below Depth Anything V2. Which of its layers are looked at, and what is made of them, is
//! `depth_anything`'s.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::{Conv2d, Conv2dConfig, LayerNorm, Linear, VarBuilder, conv2d, layer_norm, linear};

use crate::layers::{attention, shape_of, tokens_of_map};

/// Channels of a head of attention in every published variant.
const HEAD: usize = 64;
const EPSILON: f64 = 1e-6;

/// A vision transformer (A. Dosovitskiy et al., "An image is worth 16x16 words", 2020) with scaled residuals, as M. Oquab
/// et al. trained it ("DINOv2: Learning robust visual features without supervision", 2023), for pictures of the size
/// that its positions are of.
#[derive(Debug, Clone)]
pub(crate) struct Dino {
    patches: Conv2d,
    class: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    /// Patches along a side of the picture.
    pub(crate) grid: usize,
    /// Pixels along a side of a patch.
    pub(crate) patch: usize,
    pub(crate) channels: usize,
}

impl Dino {
    pub(crate) fn new(weights: &VarBuilder<'_>) -> Result<Self> {
        let [_, _, channels] = shape_of(weights, "cls_token")?;
        let [_, tokens, _] = shape_of(weights, "pos_embed")?;
        let [_, _, _, patch] = shape_of(weights, "patch_embed.proj.weight")?;
        if channels % HEAD != 0 {
            bail!("{}.cls_token has {channels} channels: heads of {HEAD} do not fit", weights.prefix());
        }
        let grid = (tokens - 1).isqrt();
        if grid == 0 || grid * grid + 1 != tokens {
            bail!("{}.pos_embed has {tokens} positions: a square and one are wanted", weights.prefix());
        }
        let blocks = (0..)
            .map(|i| weights.pp("blocks").pp(i))
            .take_while(|block| block.contains_tensor("norm1.weight") || block.contains_tensor("ls2.gamma"))
            .map(|block| Block::new(channels, &block));
        let cut = Conv2dConfig { stride: patch, ..Conv2dConfig::default() };
        Ok(Self {
            patches: conv2d(3, channels, patch, cut, weights.pp("patch_embed").pp("proj"))?,
            class: weights.get((1, 1, channels), "cls_token")?,
            positions: weights.get((1, tokens, channels), "pos_embed")?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: layer_norm(channels, EPSILON, weights.pp("norm"))?,
            grid,
            patch,
            channels,
        })
    }

    pub(crate) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Pictures of shape (batch, 3, side, side) to what the blocks `taken` put out, in their order, each normalised and
    /// without the class token: (batch, grid x grid, channels).
    pub(crate) fn features(&self, pictures: &Tensor, taken: &[usize]) -> Result<Vec<Tensor>> {
        let (batch, _, height, width) = pictures.dims4()?;
        let side = self.grid * self.patch;
        if (height, width) != (side, side) {
            bail!("a picture of {width}x{height} for a network of {side}x{side}");
        }
        let patches = tokens_of_map(&self.patches.forward(pictures)?)?;
        let class = self.class.broadcast_as((batch, 1, self.channels))?;
        let mut tokens = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&self.positions)?;
        let mut features = Vec::with_capacity(taken.len());
        for (i, block) in self.blocks.iter().enumerate() {
            tokens = block.forward(&tokens)?;
            if taken.contains(&i) {
                features.push(self.norm.forward(&tokens)?.narrow(1, 1, self.grid * self.grid)?);
            }
        }
        Ok(features)
    }
}

#[derive(Debug, Clone)]
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    scale1: Tensor,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    scale2: Tensor,
}

impl Block {
    fn new(channels: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let (attention, mlp) = (weights.pp("attn"), weights.pp("mlp"));
        Ok(Self {
            norm1: layer_norm(channels, EPSILON, weights.pp("norm1"))?,
            qkv: linear(channels, 3 * channels, attention.pp("qkv"))?,
            proj: linear(channels, channels, attention.pp("proj"))?,
            scale1: weights.get(channels, "ls1.gamma")?,
            norm2: layer_norm(channels, EPSILON, weights.pp("norm2"))?,
            fc1: linear(channels, 4 * channels, mlp.pp("fc1"))?,
            fc2: linear(4 * channels, channels, mlp.pp("fc2"))?,
            scale2: weights.get(channels, "ls2.gamma")?,
        })
    }
}

impl Module for Block {
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let (_, _, channels) = tokens.dims3()?;
        let qkv = self.qkv.forward(&self.norm1.forward(tokens)?)?;
        let part = |i: usize| qkv.narrow(2, i * channels, channels);
        let looked = attention(&part(0)?, &part(1)?, &part(2)?, channels / HEAD)?;
        let tokens = (tokens + self.proj.forward(&looked)?.broadcast_mul(&self.scale1)?)?;
        let thought = self.fc2.forward(&self.fc1.forward(&self.norm2.forward(&tokens)?)?.gelu_erf()?)?;
        tokens + thought.broadcast_mul(&self.scale2)?
    }
}
