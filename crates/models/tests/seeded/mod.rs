//! Weights made from their names, as `training/reference_layers.py` makes them, and what that made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

/// What a script of `training` wrote.
pub struct Reference {
    /// The shapes of all weights.
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub input: Tensor,
    pub output: Tensor,
}

impl Reference {
    pub fn read(name: &str) -> Self {
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(data(name)).unwrap()).unwrap();
        let shape =
            |value: &serde_json::Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };
        let shapes = file["tensors"].as_object().unwrap().iter();
        let values: Vec<f32> = serde_json::from_value(file["values"].clone()).unwrap();
        Self {
            shapes: shapes.map(|(name, value)| (name.clone(), shape(value))).collect(),
            input: seeded("input", &shape(&file["input"])),
            output: Tensor::from_vec(values, shape(&file["output"]), &Device::Cpu).unwrap(),
        }
    }

    pub fn tensors(&self) -> std::collections::HashMap<String, Tensor> {
        self.shapes.iter().map(|(name, shape)| (name.clone(), seeded(name, shape))).collect()
    }

    pub fn weights(&self) -> VarBuilder<'static> {
        self.weights_on(&Device::Cpu)
    }

    pub fn weights_on(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.tensors(), DType::F32, device)
    }

    /// How far `output` is from the reference at most, as a part of the reference's largest value.
    pub fn distance(&self, output: &Tensor) -> f32 {
        assert_eq!(output.dims(), self.output.dims());
        let most = |xs: &Tensor| xs.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        most(&(output - &self.output).unwrap()) / most(&self.output)
    }

    /// The weights as a file of their own, `name`.
    pub fn file(&self, name: &str) -> File {
        let path = std::env::temp_dir().join(format!("cutrickle-{}-{name}", std::process::id()));
        candle_core::safetensors::save(&self.tensors(), &path).unwrap();
        File(path)
    }
}

/// A file that goes when it is let go.
pub struct File(pub PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file of the tests' data: beside the crate, or, on a machine that has no cargo, below the repository's root.
pub fn data(name: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or("crates/models".into(), PathBuf::from);
    root.join("tests/data").join(name)
}

fn seeded(name: &str, shape: &[usize]) -> Tensor {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    let (middle, spread) = if name == "input" {
        (0.0, 2.0)
    } else if ends(&["weight"]) && shape.len() > 1 {
        (0.0, (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt())
    } else if ends(&["weight", "gamma", "running_var"]) {
        (1.0, 0.25)
    } else {
        (0.0, 0.25)
    };
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_: usize| (middle + spread * next()) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
