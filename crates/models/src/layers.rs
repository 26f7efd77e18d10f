//! What the networks here are made of beside candle's own layers.

use candle_core::{D, DType, Device, Module, Result, Tensor, bail};
use candle_nn::ops::{pixel_shuffle, softmax_last_dim};
use candle_nn::{Conv2d, Conv2dConfig, VarBuilder, conv2d};

/// A convolution of 3x3 that keeps the picture's size.
pub(crate) fn conv3(inputs: usize, outputs: usize, weights: VarBuilder<'_>) -> Result<Conv2d> {
    conv2d(inputs, outputs, 3, Conv2dConfig { padding: 1, ..Conv2dConfig::default() }, weights)
}

/// Convolutions of 3x3 named `conv1`, `conv2` and so on, from `widths[0]` channels to the last of them, with ReLU
/// between them.
#[derive(Debug, Clone)]
pub(crate) struct Stack(Vec<Conv2d>);

impl Stack {
    pub(crate) fn new(widths: &[usize], weights: &VarBuilder<'_>) -> Result<Self> {
        let pairs = widths.iter().zip(widths.iter().skip(1)).enumerate();
        let layers = pairs.map(|(i, (&from, &to))| conv3(from, to, weights.pp(format!("conv{}", i + 1))));
        Ok(Self(layers.collect::<Result<_>>()?))
    }
}

impl Module for Stack {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut xs = xs.clone();
        for (i, layer) in self.0.iter().enumerate() {
            xs = layer.forward(&xs)?;
            if i + 1 < self.0.len() {
                xs = xs.relu()?;
            }
        }
        Ok(xs)
    }
}

/// Luma of R'G'B' of shape (batch, 3, height, width), by the weights of BT.601.
pub(crate) fn luma(rgb: &Tensor) -> Result<Tensor> {
    let channel = |c: usize, weight: f64| rgb.narrow(1, c, 1)?.affine(weight, 0.0);
    (channel(0, 0.299)? + channel(1, 0.587)?)? + channel(2, 0.114)?
}

/// Pictures doubled by bicubic interpolation (R. Keys, "Cubic convolution interpolation for digital image
/// processing", 1981, a = -0.5), each new pixel a quarter of a pixel beside an old one.
#[derive(Debug, Clone)]
pub(crate) struct Bicubic(Tensor);

impl Bicubic {
    pub(crate) fn new(dtype: DType, device: &Device) -> Result<Self> {
        // The kernel at 1.25, 0.25, 0.75 and 1.75, and 0: what lies to the left takes it in this order.
        let left: [f32; 5] = [-9.0, 111.0, 29.0, -3.0, 0.0].map(|w| w / 128.0);
        // For the first of the two new pixels the old ones are 1.75, 0.75, 0.25 and 1.25 away.
        let first = [left[3], left[2], left[1], left[0], 0.0];
        let second = [0.0, left[0], left[1], left[2], left[3]];
        let mut weights = Vec::with_capacity(100);
        for down in [first, second] {
            for across in [first, second] {
                weights.extend(down.iter().flat_map(|y| across.iter().map(move |x| x * y)));
            }
        }
        Ok(Self(Tensor::from_vec(weights, (4, 1, 5, 5), device)?.to_dtype(dtype)?))
    }
}

impl Module for Bicubic {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = xs.dims4()?;
        let planes = xs.reshape((batch * channels, 1, height, width))?;
        let planes = planes.pad_with_same(D::Minus1, 2, 2)?.pad_with_same(D::Minus2, 2, 2)?;
        pixel_shuffle(&planes.conv2d(&self.0, 0, 1, 1, 1)?, 2)?.reshape((
            batch,
            channels,
            2 * height,
            2 * width,
        ))
    }
}

/// The shape of a tensor of `N` dimensions, by which weights say what they are of.
pub(crate) fn shape_of<const N: usize>(weights: &VarBuilder<'_>, name: &str) -> Result<[usize; N]> {
    let tensor = weights.get_unchecked(name)?;
    match tensor.dims().try_into() {
        Ok(shape) if tensor.elem_count() > 0 => Ok(shape),
        _ => {
            bail!("{}.{name} has the shape {:?}: {N} dimensions are wanted", weights.prefix(), tensor.dims())
        }
    }
}

/// Attention of `heads` heads (A. Vaswani et al., "Attention is all you need", 2017, 3.2): queries of shape (batch, n,
/// channels), keys and values of shape (batch, m, channels), to (batch, n, channels).
pub(crate) fn attention(queries: &Tensor, keys: &Tensor, values: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, n, channels) = queries.dims3()?;
    let split = |xs: &Tensor| {
        let (_, length, _) = xs.dims3()?;
        xs.reshape((batch, length, heads, channels / heads))?.transpose(1, 2)?.contiguous()
    };
    // Scaled before the product, which in half precision might not hold it.
    let queries = (split(queries)? * (channels as f64 / heads as f64).sqrt().recip())?;
    let weights = softmax_last_dim(&queries.matmul(&split(keys)?.t()?)?)?;
    weights.matmul(&split(values)?)?.transpose(1, 2)?.reshape((batch, n, channels))
}

/// (batch, height x width, channels) to (batch, channels, height, width).
pub(crate) fn map_of_tokens(tokens: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (batch, _, channels) = tokens.dims3()?;
    tokens.transpose(1, 2)?.reshape((batch, channels, height, width))
}

/// (batch, channels, height, width) to (batch, height x width, channels).
pub(crate) fn tokens_of_map(map: &Tensor) -> Result<Tensor> {
    map.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// `run` on pictures whose sides are even: an odd side is made one longer by repeating its last line, which is taken
/// off again.
pub(crate) fn on_even_sides(xs: &Tensor, run: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (_, _, height, width) = xs.dims4()?;
    let even = xs.pad_with_same(2, 0, height % 2)?.pad_with_same(3, 0, width % 2)?;
    run(&even)?.narrow(2, 0, height)?.narrow(3, 0, width)
}
