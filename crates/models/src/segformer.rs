//! SegFormer: what each part of a picture is of. The processor is `segment`'s.

use candle_core::{Module, ModuleT, Result, Tensor, bail};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, LayerNorm, Linear, VarBuilder, batch_norm, conv2d, conv2d_no_bias,
    layer_norm, linear,
};

use crate::layers::{attention, map_of_tokens, shape_of, tokens_of_map};

/// Heads of attention by stage, in every published variant: nothing in the weights says them.
const HEADS: [usize; 4] = [1, 2, 5, 8];
const EPSILON: f64 = 1e-5;

/// E. Xie et al., "SegFormer: Simple and efficient design for semantic segmentation with transformers", 2021. Any variant
/// (B0 to B5) of any number of classes by the shapes of its weights, which have the names of Hugging Face's files:
/// `segformer.encoder.*` and `decode_head.*`.
#[derive(Debug, Clone)]
pub struct SegFormer {
    stages: Vec<Stage>,
    project: Vec<Linear>,
    fuse: Conv2d,
    norm: BatchNorm,
    classify: Conv2d,
    classes: usize,
}

impl SegFormer {
    /// The network with these weights.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn new(weights: VarBuilder<'_>) -> Result<Self> {
        let encoder = weights.pp("segformer").pp("encoder");
        let mut stages: Vec<Stage> = Vec::with_capacity(HEADS.len());
        for (i, heads) in HEADS.into_iter().enumerate() {
            let inputs = stages.last().map_or(3, |stage| stage.channels);
            stages.push(Stage::new(i, inputs, heads, &encoder)?);
        }
        let head = weights.pp("decode_head");
        let [width] = shape_of(&head, "batch_norm.bias")?;
        let [classes] = shape_of(&head, "classifier.bias")?;
        let project =
            |(i, stage): (usize, &Stage)| linear(stage.channels, width, head.pp("linear_c").pp(i).pp("proj"));
        let plain = Conv2dConfig::default();
        Ok(Self {
            project: stages.iter().enumerate().map(project).collect::<Result<_>>()?,
            fuse: conv2d_no_bias(HEADS.len() * width, width, 1, plain, head.pp("linear_fuse"))?,
            norm: batch_norm(width, EPSILON, head.pp("batch_norm"))?,
            classify: conv2d(width, classes, 1, plain, head.pp("classifier"))?,
            stages,
            classes,
        })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

impl Module for SegFormer {
    /// (batch, 3, height, width), normalised as for ImageNet, to (batch, classes, height / 4, width / 4), rounded up: the
    /// larger, the likelier the class.
    fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let mut map = pictures.clone();
        let mut levels = Vec::with_capacity(self.stages.len());
        let mut size = None;
        for (stage, project) in self.stages.iter().zip(&self.project) {
            let (tokens, height, width) = stage.forward(&map)?;
            map = map_of_tokens(&tokens, height, width)?;
            let (fine_height, fine_width) = *size.get_or_insert((height, width));
            let level = map_of_tokens(&project.forward(&tokens)?, height, width)?;
            levels.push(level.upsample_bilinear2d(fine_height, fine_width, false)?);
        }
        // The coarsest comes first.
        levels.reverse();
        let fused = self.norm.forward_t(&self.fuse.forward(&Tensor::cat(&levels, 1)?)?, false)?.relu()?;
        self.classify.forward(&fused)
    }
}

/// Layers of one size.
#[derive(Debug, Clone)]
struct Stage {
    embed: Conv2d,
    embed_norm: LayerNorm,
    layers: Vec<Layer>,
    norm: LayerNorm,
    channels: usize,
}

impl Stage {
    fn new(i: usize, inputs: usize, heads: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let embed = weights.pp("patch_embeddings").pp(i);
        let [channels, _, _, patch] = shape_of(&embed, "proj.weight")?;
        if channels % heads != 0 {
            bail!("{}.proj.weight has {channels} channels: {heads} heads do not fit", embed.prefix());
        }
        // Patches overlap: 7 pixels every 4, 3 every 2.
        let cut = Conv2dConfig { stride: patch.div_ceil(2), padding: patch / 2, ..Conv2dConfig::default() };
        let layers = (0..)
            .map(|j| (j, weights.pp("block").pp(i).pp(j)))
            .take_while(|(j, layer)| {
                let there = |name| layer.contains_tensor(name);
                *j == 0 || there("layer_norm_1.weight") || there("mlp.dense2.weight")
            })
            .map(|(_, layer)| Layer::new(channels, heads, &layer));
        Ok(Self {
            embed: conv2d(inputs, channels, patch, cut, embed.pp("proj"))?,
            embed_norm: layer_norm(channels, EPSILON, embed.pp("layer_norm"))?,
            layers: layers.collect::<Result<_>>()?,
            norm: layer_norm(channels, EPSILON, weights.pp("layer_norm").pp(i))?,
            channels,
        })
    }

    /// A map to tokens, and the height and width that they are of.
    fn forward(&self, map: &Tensor) -> Result<(Tensor, usize, usize)> {
        let map = self.embed.forward(map)?;
        let (_, _, height, width) = map.dims4()?;
        let mut tokens = self.embed_norm.forward(&tokens_of_map(&map)?)?;
        for layer in &self.layers {
            tokens = layer.forward(&tokens, height, width)?;
        }
        Ok((self.norm.forward(&tokens)?, height, width))
    }
}

#[derive(Debug, Clone)]
struct Layer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    /// What makes keys and values fewer.
    reduce: Option<(Conv2d, LayerNorm)>,
    out: Linear,
    norm2: LayerNorm,
    dense1: Linear,
    spread: Depthwise,
    dense2: Linear,
    heads: usize,
}

impl Layer {
    fn new(channels: usize, heads: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let (looking, mlp) = (weights.pp("attention").pp("self"), weights.pp("mlp"));
        let square = |name: &str| linear(channels, channels, looking.pp(name));
        let [hidden] = shape_of(&mlp, "dense1.bias")?;
        let reduce = if looking.contains_tensor("sr.weight") {
            let [_, _, _, ratio] = shape_of(&looking, "sr.weight")?;
            let cut = Conv2dConfig { stride: ratio, ..Conv2dConfig::default() };
            let norm = layer_norm(channels, EPSILON, looking.pp("layer_norm"))?;
            Some((conv2d(channels, channels, ratio, cut, looking.pp("sr"))?, norm))
        } else {
            None
        };
        Ok(Self {
            norm1: layer_norm(channels, EPSILON, weights.pp("layer_norm_1"))?,
            query: square("query")?,
            key: square("key")?,
            value: square("value")?,
            reduce,
            out: linear(channels, channels, weights.pp("attention").pp("output").pp("dense"))?,
            norm2: layer_norm(channels, EPSILON, weights.pp("layer_norm_2"))?,
            dense1: linear(channels, hidden, mlp.pp("dense1"))?,
            spread: Depthwise::new(hidden, &mlp.pp("dwconv").pp("dwconv"))?,
            dense2: linear(hidden, channels, mlp.pp("dense2"))?,
            heads,
        })
    }

    fn forward(&self, tokens: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        let normed = self.norm1.forward(tokens)?;
        let few = match &self.reduce {
            Some((reduce, norm)) => {
                let fewer = reduce.forward(&map_of_tokens(&normed, height, width)?)?;
                &norm.forward(&tokens_of_map(&fewer)?)?
            }
            None => &normed,
        };
        let (keys, values) = (self.key.forward(few)?, self.value.forward(few)?);
        let looked = attention(&self.query.forward(&normed)?, &keys, &values, self.heads)?;
        let tokens = (tokens + self.out.forward(&looked)?)?;
        let hidden = self.dense1.forward(&self.norm2.forward(&tokens)?)?;
        let spread = self.spread.forward(&hidden, height, width)?;
        tokens + self.dense2.forward(&spread.gelu_erf()?)?
    }
}

/// A convolution of 3x3 of each channel by itself, on tokens: as nine products, where candle would run one convolution
/// for each channel.
#[derive(Debug, Clone)]
struct Depthwise {
    /// By row and column, (channels) each.
    weights: Vec<Tensor>,
    bias: Tensor,
}

impl Depthwise {
    fn new(channels: usize, weights: &VarBuilder<'_>) -> Result<Self> {
        let kernel = weights.get((channels, 1, 3, 3), "weight")?.reshape((channels, 9))?;
        let weights_of = |i: usize| kernel.narrow(1, i, 1)?.squeeze(1)?.contiguous();
        Ok(Self {
            weights: (0..9).map(weights_of).collect::<Result<_>>()?,
            bias: weights.get(channels, "bias")?,
        })
    }

    fn forward(&self, tokens: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        let (batch, length, channels) = tokens.dims3()?;
        let map = tokens.reshape((batch, height, width, channels))?;
        let map = map.pad_with_zeros(1, 1, 1)?.pad_with_zeros(2, 1, 1)?;
        let mut sum = self.bias.broadcast_as((batch, height, width, channels))?;
        for (i, weight) in self.weights.iter().enumerate() {
            let shifted = map.narrow(1, i / 3, height)?.narrow(2, i % 3, width)?;
            sum = (sum + shifted.broadcast_mul(weight)?)?;
        }
        sum.reshape((batch, length, channels))
    }
}
