//! What a painted sheet looks like, as numbers: the loss that teaches `Style`. No network judges here, only fixed
//! filters: edges and ridges of eight directions and two widths, at two scales, in luma and in two differences of
//! colours. The products of their rectified answers, on average over a picture (the Gram matrix of L. Gatys et al.,
//! "Image style transfer using convolutional neural networks", 2016), say which strokes and colours come together.

use candle_core::{D, Device, Result, Tensor};

use crate::pictures::Chance;

const SIDE: usize = 192;
const KERNEL: usize = 9;

pub struct Strokes {
    /// To luma and two differences of colours: (3, 3, 1, 1).
    opponents: Tensor,
    /// (filters, 3, KERNEL, KERNEL).
    filters: Tensor,
    /// Of the sheet, at each scale.
    grams: Vec<Tensor>,
}

impl Strokes {
    pub fn new() -> Result<Self> {
        let opponents = [[0.4f32, 0.4, 0.2], [0.5, -0.5, 0.0], [0.25, 0.25, -0.5]].concat();
        let opponents = Tensor::from_vec(opponents, (3, 3, 1, 1), &Device::Cpu)?;
        let mut strokes = Self { opponents, filters: filters()?, grams: Vec::new() };
        strokes.grams = strokes.grams_of(&sheet()?)?;
        Ok(strokes)
    }

    /// How far `painted` is from the sheet's strokes, and from what is where in `content`.
    pub fn loss(&self, painted: &Tensor, content: &Tensor) -> Result<Tensor> {
        let mut loss = Tensor::zeros((), painted.dtype(), painted.device())?;
        for (got, want) in self.grams_of(painted)?.iter().zip(&self.grams) {
            let error = got.broadcast_sub(want)?.sqr()?.sum((1, 2))?.mean_all()?;
            loss = (loss + (error / want.sqr()?.sum_all()?)?)?;
        }
        // Luma may be shifted a little by strokes; over 4x4 pixels it stays.
        let coarse = |t: &Tensor| t.conv2d(&self.opponents, 0, 1, 1, 1)?.narrow(1, 0, 1)?.avg_pool2d(4);
        let content = (coarse(painted)? - coarse(content)?)?.sqr()?.mean_all()?;
        let beyond = (painted - painted.clamp(0f32, 1f32)?)?.sqr()?.mean_all()?;
        loss + (content * 60.0)? + (beyond * 20.0)?
    }

    /// (batch, features, features), one a scale.
    fn grams_of(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        let mut colours = pictures.conv2d(&self.opponents, 0, 1, 1, 1)?;
        let mut grams = Vec::new();
        for _ in 0..2 {
            let answers = colours.conv2d(&self.filters, 0, 1, 1, 1)?;
            let colour =
                colours.narrow(2, KERNEL / 2, answers.dim(2)?)?.narrow(3, KERNEL / 2, answers.dim(3)?)?;
            // A filter's opposite answers elsewhere. Colours themselves belong to it, too, and 1, for the means.
            let one = colour.narrow(1, 0, 1)?.ones_like()?;
            let features = Tensor::cat(&[answers.relu()?, colour.contiguous()?, (one * 0.5)?], 1)?;
            let (batch, channels, height, width) = features.dims4()?;
            let features = features.reshape((batch, channels, height * width))?;
            let gram = features.matmul(&features.transpose(D::Minus1, D::Minus2)?)?;
            grams.push((gram / (height * width) as f64)?);
            colours = colours.avg_pool2d(2)?;
        }
        Ok(grams)
    }
}

/// Edges and ridges in luma; broad ones in colours.
fn filters() -> Result<Tensor> {
    let mut values = Vec::new();
    let mut count = 0;
    let mut add = |channel: usize, width: f32, angle: f32, ridge: bool| {
        let (sin, cos) = angle.sin_cos();
        let middle = (KERNEL / 2) as f32;
        let mut kernel: Vec<f32> = (0..KERNEL * KERNEL)
            .map(|i| {
                let (x, y) = ((i % KERNEL) as f32 - middle, (i / KERNEL) as f32 - middle);
                let (across, along) = ((x * cos + y * sin) / width, (y * cos - x * sin) / (2.0 * width));
                let bell = (-0.5 * (across * across + along * along)).exp();
                if ridge { (1.0 - across * across) * bell } else { across * bell }
            })
            .collect();
        let mean = kernel.iter().sum::<f32>() / kernel.len() as f32;
        kernel.iter_mut().for_each(|v| *v -= mean);
        let size = kernel.iter().map(|v| v.abs()).sum::<f32>();
        for c in 0..3 {
            values.extend(kernel.iter().map(|v| if c == channel { 4.0 * v / size } else { 0.0 }));
        }
        count += 1;
    };
    for i in 0..8 {
        let angle = i as f32 * std::f32::consts::PI / 8.0;
        for (width, ridge) in [(1.0, true), (2.0, true), (1.5, false)] {
            add(0, width, angle, ridge);
            // Dark strokes answer the opposite filter.
            add(0, width, angle + std::f32::consts::PI, ridge);
        }
        if i % 2 == 0 {
            add(1, 1.5, angle, true);
            add(2, 1.5, angle, true);
        }
    }
    Tensor::from_vec(values, (count, 3, KERNEL, KERNEL), &Device::Cpu)
}

/// A sheet painted by arithmetic: strokes of a few colours along a field that turns, (1, 3, SIDE, SIDE).
fn sheet() -> Result<Tensor> {
    let palette = [
        [0.07f32, 0.12, 0.32],
        [0.12, 0.30, 0.55],
        [0.20, 0.52, 0.66],
        [0.93, 0.80, 0.42],
        [0.86, 0.50, 0.18],
        [0.95, 0.93, 0.82],
        [0.05, 0.06, 0.12],
        [0.30, 0.45, 0.28],
    ];
    let mut chance = Chance::new(7);
    let mut pixels = vec![[0.5f32; 3]; SIDE * SIDE];
    for _ in 0..6000 {
        let (mut x, mut y) = (chance.unit() * SIDE as f32, chance.unit() * SIDE as f32);
        // Neighbours have like colours.
        let patch = ((x / 48.0).sin() + (y / 40.0).cos() + 2.0) * 2.0;
        let colour = palette[(patch as usize + chance.below(3)) % palette.len()];
        let shade = 0.85 + 0.3 * chance.unit();
        let (length, width) = (8 + chance.below(10), 1.0 + 0.9 * chance.unit());
        for _ in 0..length {
            let angle = (x / 31.0).sin() * 2.0 + (y / 37.0).cos() * 2.0;
            (x, y) = (x + angle.cos(), y + angle.sin());
            let reach = width.ceil() as isize;
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let (px, py) = (x.floor() as isize + dx, y.floor() as isize + dy);
                    let distance = ((px as f32 + 0.5 - x).powi(2) + (py as f32 + 0.5 - y).powi(2)).sqrt();
                    let side = SIDE as isize;
                    if distance > width || !(0..side).contains(&px) || !(0..side).contains(&py) {
                        continue;
                    }
                    // The bristles leave the rim of a stroke darker.
                    let rim = 1.0 - 0.35 * (distance / width).powi(2);
                    pixels[(py * side + px) as usize] = colour.map(|c| (c * shade * rim).min(1.0));
                }
            }
        }
    }
    let planes: Vec<f32> = (0..3).flat_map(|c| pixels.iter().map(move |p| p[c])).collect();
    Tensor::from_vec(planes, (1, 3, SIDE, SIDE), &Device::Cpu)
}
