//! Trains the networks of this crate, and measures them on pictures that training never saw.
//!
//!     cargo run --release -p cutrickle-models --example train -- super-resolution target/pictures/ppm
//!
//! `pictures.py` beside this writes the pictures. From one seed come the same patches in the same order; sums of
//! floats may still differ in their last bits from machine to machine, and so may the weights.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the project's own")]

mod pictures;
mod strokes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use clap::Parser;
use cutrickle_models::{Denoise, Style, SuperResolution};
use pictures::{Chance, Picture, batch, eight_bit, halved, luma, noisy, psnr};
use strokes::Strokes;

#[derive(Parser)]
struct Args {
    model: Model,
    /// The folder that `pictures.py` wrote.
    pictures: PathBuf,
    /// Where weights are written to and read from.
    #[arg(long, default_value = "crates/models/weights")]
    weights: PathBuf,
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Start from the weights that are there.
    #[arg(long)]
    resume: bool,
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only measure.
    #[arg(long)]
    measure: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Model {
    SuperResolution,
    Denoise,
    Style,
}

/// A network, and how it is judged.
enum Network {
    SuperResolution(SuperResolution),
    Denoise(Denoise),
    Style(Style, Box<Strokes>),
}

impl Network {
    fn new(model: Model, weights: VarBuilder<'_>) -> Result<Self> {
        Ok(match model {
            Model::SuperResolution => Self::SuperResolution(SuperResolution::new(weights)?),
            Model::Denoise => Self::Denoise(Denoise::new(weights)?),
            Model::Style => Self::Style(Style::new(weights)?, Box::new(Strokes::new()?)),
        })
    }

    fn loss(&self, pictures: &[Picture], chance: &mut Chance) -> Result<Tensor> {
        match self {
            Self::SuperResolution(net) => {
                let large = batch(pictures, 12, 64, chance)?;
                let (large, small) = (luma(&large)?, luma(&halved(&large)?)?);
                let error = (net.bicubic(&small)? + net.detail(&small)? - large)?;
                // Beyond the edge of a patch there is more of the picture, of which the network knows nothing.
                error.narrow(2, 6, 52)?.narrow(3, 6, 52)?.sqr()?.mean_all()?.affine(1000.0, 0.0)
            }
            Self::Denoise(net) => {
                let clean = batch(pictures, 12, 56, chance)?;
                let spoiled = noisy(&clean, chance, |chance| 5.0 + 35.0 * chance.unit())?;
                (net.forward(&spoiled)? - clean)?.sqr()?.mean_all()?.affine(1000.0, 0.0)
            }
            Self::Style(net, strokes) => {
                let content = batch(pictures, 4, 96, chance)?;
                strokes.loss(&net.forward(&content)?, &content)
            }
        }
    }

    /// One line a picture: dB before and after.
    fn measure(&self, held_out: &[(String, Picture)], out: &Path) -> Result<()> {
        for (name, picture) in held_out {
            let (width, height) = (picture.width / 2 * 2, picture.height / 2 * 2);
            let whole = picture.tensor()?.narrow(2, 0, height)?.narrow(3, 0, width)?;
            match self {
                Self::SuperResolution(net) => {
                    let small = halved(&whole)?;
                    let want = luma(&whole)?;
                    let by = |large: Tensor| psnr(&luma(&eight_bit(&large)?)?, &want, 4);
                    let (before, after) = (by(net.bicubic(&small)?)?, by(net.forward(&small)?)?);
                    println!(
                        "{name}: bicubic {before:.2} dB, network {after:.2} dB, gain {:.2}",
                        after - before
                    );
                }
                Self::Denoise(net) => {
                    let spoiled = noisy(&whole, &mut Chance::new(25), |_| 25.0)?;
                    let before = psnr(&spoiled, &whole, 0)?;
                    let after = psnr(&eight_bit(&net.forward(&spoiled)?)?, &whole, 0)?;
                    println!(
                        "{name}: noisy {before:.2} dB, network {after:.2} dB, gain {:.2}",
                        after - before
                    );
                }
                Self::Style(net, _) => {
                    let painted = eight_bit(&net.forward(&whole)?)?;
                    write_ppm(&out.join(format!("style-{name}.ppm")), &painted)?;
                }
            }
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let name = match args.model {
        Model::SuperResolution => "super-resolution",
        Model::Denoise => "denoise",
        Model::Style => "style",
    };
    let file = args.weights.join(format!("{name}.safetensors"));
    let variables = VarMap::new();
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let network = Network::new(args.model, builder)?;
    let mut chance = Chance::new(args.seed);
    if args.measure || args.resume {
        restore(&variables, &file)?;
    } else {
        begin(&variables, &mut chance)?;
    }
    let held_out = read(&args.pictures.join("held-out"))?;
    if args.measure {
        return network.measure(&held_out, &args.pictures);
    }

    let pictures: Vec<Picture> = read(&args.pictures.join("training"))?.into_iter().map(|(_, p)| p).collect();
    let pictures: Vec<Picture> =
        pictures.into_iter().filter(|picture| picture.width.min(picture.height) >= 96).collect();
    let mut adam = AdamW::new(all(&variables), ParamsAdamW { weight_decay: 0.0, ..ParamsAdamW::default() })?;
    let started = Instant::now();
    let mut sum = 0.0;
    for step in 0..args.steps {
        let done = step as f64 / args.steps as f64;
        // Half a cosine down to a hundredth, after a short run-up.
        let rate = args.rate * (0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()));
        adam.set_learning_rate(rate * ((step + 1) as f64 / 50.0).min(1.0));
        let loss = network.loss(&pictures, &mut chance)?;
        adam.backward_step(&loss)?;
        sum += loss.to_scalar::<f32>()?;
        if (step + 1) % 100 == 0 {
            println!("step {}: loss {:.4}, {:.0} s", step + 1, sum / 100.0, started.elapsed().as_secs_f64());
            sum = 0.0;
        }
    }
    std::fs::create_dir_all(&args.weights)?;
    variables.save(&file)?;
    network.measure(&held_out, &args.pictures)
}

/// All variables, in the order of their names.
fn sorted(variables: &VarMap) -> Vec<(String, Var)> {
    let data = variables.data().lock().unwrap();
    let mut all: Vec<_> = data.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn all(variables: &VarMap) -> Vec<Var> {
    sorted(variables).into_iter().map(|(_, var)| var).collect()
}

/// Weights by chance, of the size that keeps a signal's size through ReLU (K. He et al., 2015); biases of 0.
fn begin(variables: &VarMap, chance: &mut Chance) -> Result<()> {
    for (_, var) in sorted(variables) {
        let dims = var.dims().to_vec();
        let inputs: usize = dims.iter().skip(1).product();
        let size = if dims.len() == 1 { 0.0 } else { (2.0 / inputs as f32).sqrt() };
        let values: Vec<f32> = (0..var.elem_count()).map(|_| size * chance.normal()).collect();
        var.set(&Tensor::from_vec(values, dims, &Device::Cpu)?)?;
    }
    Ok(())
}

fn restore(variables: &VarMap, file: &Path) -> Result<()> {
    let stored: HashMap<String, Tensor> = candle_core::safetensors::load(file, &Device::Cpu)?;
    for (name, var) in sorted(variables) {
        var.set(&stored[&name])?;
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<(String, Picture)>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    paths
        .iter()
        .map(|path| Ok((path.file_stem().unwrap().to_string_lossy().into_owned(), Picture::read(path)?)))
        .collect()
}

fn write_ppm(path: &Path, picture: &Tensor) -> Result<()> {
    let (_, _, height, width) = picture.dims4()?;
    let pixels = ((picture.squeeze(0)?.permute((1, 2, 0))? * 255.0)? + 0.5)?.to_dtype(DType::U8)?;
    let mut bytes = format!("P6\n{width} {height}\n255\n").into_bytes();
    bytes.extend(pixels.flatten_all()?.to_vec1::<u8>()?);
    Ok(std::fs::write(path, bytes)?)
}
