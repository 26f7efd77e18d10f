//! Pictures for training and judging: read from PPM files, cut into patches by a seeded generator of numbers, and
//! spoiled as the models are to mend them.

use std::path::Path;

use candle_core::{D, Device, Module, Result, Tensor};
use candle_nn::{Conv2d, Conv2dConfig};

/// R'G'B' 0 to 255, plane by plane.
#[derive(Debug, Clone)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub planes: [Vec<u8>; 3],
}

impl Picture {
    /// A binary PPM (P6) without comments.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        Self::parse(&bytes).ok_or_else(|| candle_core::Error::msg(format!("{}: no PPM", path.display())))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        // Four words, each ended by one blank.
        let mut words = [""; 4];
        let mut rest = bytes;
        for word in &mut words {
            let end = rest.iter().position(u8::is_ascii_whitespace)?;
            *word = std::str::from_utf8(&rest[..end]).ok()?;
            rest = &rest[end + 1..];
        }
        let [kind, width, height, top] = words;
        let (width, height): (usize, usize) = (width.parse().ok()?, height.parse().ok()?);
        if kind != "P6" || top != "255" || rest.len() != width * height * 3 {
            return None;
        }
        let planes = [0, 1, 2].map(|c| rest.iter().skip(c).step_by(3).copied().collect());
        Some(Self { width, height, planes })
    }

    /// (1, 3, height, width), 0 to 1.
    pub fn tensor(&self) -> Result<Tensor> {
        let values: Vec<f32> = self.planes.iter().flatten().map(|&v| f32::from(v) / 255.0).collect();
        Tensor::from_vec(values, (1, 3, self.height, self.width), &Device::Cpu)
    }

    /// A square of `side` pixels at a random place, turned and mirrored at random, plane by plane, 0 to 1.
    pub fn patch(&self, side: usize, chance: &mut Chance, out: &mut Vec<f32>) {
        let (left, top) = (chance.below(self.width - side + 1), chance.below(self.height - side + 1));
        let (flip_x, flip_y, turn) = (chance.below(2) == 1, chance.below(2) == 1, chance.below(2) == 1);
        for plane in &self.planes {
            for y in 0..side {
                for x in 0..side {
                    let (x, y) = if turn { (y, x) } else { (x, y) };
                    let x = left + if flip_x { side - 1 - x } else { x };
                    let y = top + if flip_y { side - 1 - y } else { y };
                    out.push(f32::from(plane[y * self.width + x]) / 255.0);
                }
            }
        }
    }
}

/// `count` patches as (count, 3, side, side), from pictures taken at random, large ones more often.
pub fn batch(pictures: &[Picture], count: usize, side: usize, chance: &mut Chance) -> Result<Tensor> {
    let all: usize = pictures.iter().map(|p| p.width * p.height).sum();
    let mut values = Vec::with_capacity(count * 3 * side * side);
    for _ in 0..count {
        let mut at = chance.below(all);
        let picture = pictures.iter().find(|p| {
            let size = p.width * p.height;
            let here = at < size;
            at = at.saturating_sub(size);
            here
        });
        picture.unwrap_or(&pictures[0]).patch(side, chance, &mut values);
    }
    Tensor::from_vec(values, (count, 3, side, side), &Device::Cpu)
}

/// Numbers by chance, the same from the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to 1, never 0.
    pub fn unit(&mut self) -> f32 {
        ((self.next() >> 40) as f32 + 0.5) / (1u64 << 24) as f32
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Gaussian, of mean 0 and deviation 1 (Box and Muller).
    pub fn normal(&mut self) -> f32 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f32::consts::TAU * self.unit()).cos()
    }
}

/// `pictures` with Gaussian noise of deviation `sigma(chance)` of 255, one for each picture of the batch, in 8 bits.
pub fn noisy(
    pictures: &Tensor,
    chance: &mut Chance,
    mut sigma: impl FnMut(&mut Chance) -> f32,
) -> Result<Tensor> {
    let (batch, channels, height, width) = pictures.dims4()?;
    let mut noise = Vec::with_capacity(pictures.elem_count());
    for _ in 0..batch {
        let sigma = sigma(chance) / 255.0;
        noise.extend((0..channels * height * width).map(|_| chance.normal() * sigma));
    }
    eight_bit(&(pictures + Tensor::from_vec(noise, pictures.shape(), &Device::Cpu)?)?)
}

/// Clamped and rounded as a frame's pixels are.
pub fn eight_bit(pictures: &Tensor) -> Result<Tensor> {
    ((pictures.clamp(0f32, 1f32)? * 255.0)? + 0.5)?.floor()? / 255.0
}

/// Pictures of even sides halved by bicubic interpolation whose support is doubled against aliasing, in 8 bits: what
/// super-resolution starts from.
pub fn halved(pictures: &Tensor) -> Result<Tensor> {
    // The kernel of Keys, a = -0.5, at (i + 0.5) / 2 for i = 0 to 3, halved.
    let half = [0.433_593_75f32, 0.113_281_25, -0.035_156_25, -0.011_718_75];
    let taps: Vec<f32> = half.iter().rev().chain(&half).copied().collect();
    let (batch, channels, height, width) = pictures.dims4()?;
    let planes = pictures.reshape((batch * channels, 1, height, width))?;
    let planes = planes.pad_with_same(D::Minus1, 3, 3)?.pad_with_same(D::Minus2, 3, 3)?;
    let square: Vec<f32> = taps.iter().flat_map(|y| taps.iter().map(move |x| x * y)).collect();
    let weights = Tensor::from_vec(square, (1, 1, 8, 8), &Device::Cpu)?;
    let config = Conv2dConfig { stride: 2, ..Conv2dConfig::default() };
    let small = Conv2d::new(weights, None, config).forward(&planes)?;
    eight_bit(&small.reshape((batch, channels, height / 2, width / 2))?)
}

/// Peak signal-to-noise ratio in dB, of values 0 to 1, without `border` pixels at each edge.
pub fn psnr(got: &Tensor, want: &Tensor, border: usize) -> Result<f64> {
    let (_, _, height, width) = want.dims4()?;
    let inner = |t: &Tensor| t.narrow(2, border, height - 2 * border)?.narrow(3, border, width - 2 * border);
    let error = (inner(got)? - inner(want)?)?.sqr()?.mean_all()?.to_scalar::<f32>()?;
    Ok(-10.0 * f64::from(error).log10())
}

/// BT.601 luma of (batch, 3, height, width).
pub fn luma(rgb: &Tensor) -> Result<Tensor> {
    let weights = Tensor::new(&[[[[0.299f32]], [[0.587]], [[0.114]]]], &Device::Cpu)?;
    rgb.conv2d(&weights, 0, 1, 1, 1)
}
