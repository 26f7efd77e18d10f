//! The kernels on a device return exactly what their host builds do.
//!
//! These tests fail without a device. It is either real hardware or the stand-in driver (ci/stand-in.sh),
//! whose kernels are the host builds, so that only copies, launches and their order are tested.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use cutrickle_cuda::kernels::SurfaceFormat;
use cutrickle_cuda::{Download, Gpu, HostPicture, Picture, Sample, TensorPixels};
use cutrickle_host_kernels as host;
use cutrickle_media::{ColourSpace, Element, Fit, Layout, Matrix, ModelInput, Size};
use half::{bf16, f16};

/// A 64-bit generator of the xorshift family, whose numbers are the same in every run.
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::try_from((self.bits() >> 32) % u64::from(end)).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.bits() >> 32) as u8).collect()
    }

    /// The size of a frame: tiny, odd, close to the width that a thread processes at once, or usual.
    fn size(&mut self) -> (u32, u32) {
        match self.below(4) {
            0 => (1 + self.below(4), 1 + self.below(4)),
            1 => (15 + self.below(4), 1 + self.below(40)),
            2 => (1 + self.below(700), 1 + self.below(500)),
            _ => [(1920, 1080), (1280, 720), (641, 479)][self.below(3) as usize],
        }
    }

    fn colour(&mut self) -> ColourSpace {
        let matrix = [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020][self.below(3) as usize];
        ColourSpace { matrix, full_range: self.below(2) == 1 }
    }
}

/// A decoded frame in host memory.
struct Scene {
    format: SurfaceFormat,
    width: u32,
    height: u32,
    pitch: usize,
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

impl Scene {
    fn new(chance: &mut Chance, format: SurfaceFormat) -> Self {
        let (width, height) = chance.size();
        let pitch = width.next_multiple_of(2) as usize * format.sample_size() as usize;
        let luma = chance.bytes(pitch * height as usize);
        let chroma = chance.bytes(pitch * height.div_ceil(2) as usize);
        Self { format, width, height, pitch, luma, chroma }
    }

    fn borrow(&self) -> HostPicture<'_> {
        let Self { format, width, height, pitch, .. } = *self;
        HostPicture { format, width, height, pitch, luma: &self.luma, chroma: &self.chroma }
    }

    fn host(&self, colour: ColourSpace) -> host::Picture<'_> {
        let rows = |bytes| host::Rows { bytes, pitch: self.pitch };
        let Self { format, width, height, .. } = *self;
        host::Picture { format, colour, width, height, luma: rows(&self.luma), chroma: rows(&self.chroma) }
    }
}

const FORMATS: [SurfaceFormat; 2] = [SurfaceFormat::Nv12, SurfaceFormat::P010];

fn gpu() -> Arc<Gpu> {
    Gpu::open(0).expect("these tests need a device")
}

fn values<T: Sample + Clone + Default>(
    gpu: &Gpu,
    on_device: &cutrickle_cuda::cudarc::driver::CudaSlice<T>,
) -> Vec<T> {
    gpu.stream().clone_dtoh(on_device).unwrap()
}

#[test]
fn a_picture_comes_back_as_it_went() {
    let gpu = gpu();
    let mut chance = Chance(11);
    let mut download = Download::new(Arc::clone(&gpu));
    for round in 0..24 {
        let scene = Scene::new(&mut chance, FORMATS[round % 2]);
        let picture = Picture::upload(&gpu, &scene.borrow()).unwrap();
        let mut copy = Picture::new(&gpu, scene.format, scene.width, scene.height).unwrap();
        copy.copy_picture(&picture).unwrap();
        drop(picture);
        let back = download.fetch(&copy).unwrap();
        for (planes, rows) in [
            ((&scene.luma, back.luma), scene.height),
            ((&scene.chroma, back.chroma), scene.height.div_ceil(2)),
        ] {
            for row in 0..rows as usize {
                let (there, here) = (
                    &planes.0[row * scene.pitch..][..scene.pitch],
                    &planes.1[row * back.pitch..][..scene.pitch],
                );
                assert_eq!(there, here, "row {row} of {}x{}", scene.width, scene.height);
            }
        }
    }
}

#[test]
fn rgb_on_the_device_is_the_host_builds() {
    let gpu = gpu();
    let mut chance = Chance(23);
    for round in 0..40 {
        let scene = Scene::new(&mut chance, FORMATS[round % 2]);
        let colour = chance.colour();
        let picture = Picture::upload(&gpu, &scene.borrow()).unwrap();
        let rgb = values(&gpu, &picture.to_rgb(colour).unwrap());
        let pitch = 3 * scene.width as usize;
        let mut want = vec![0; pitch * scene.height as usize];
        host::yuv_to_rgb(&scene.host(colour), host::RowsMut { bytes: &mut want, pitch }, None).unwrap();
        assert!(rgb == want, "{}x{} {:?} {colour:?}", scene.width, scene.height, scene.format);
    }
}

fn model_input(chance: &mut Chance, element: Element) -> ModelInput {
    let (width, height) = [(640, 640), (224, 224), (33, 7), (1, 1), (513, 300)][chance.below(5) as usize];
    ModelInput {
        size: Some(Size::new(width, height)),
        layout: [Layout::Chw, Layout::Hwc][chance.below(2) as usize],
        element,
        fit: [Fit::Stretch, Fit::Crop, Fit::Letterbox([0.5, 0.4, 0.3])][chance.below(3) as usize],
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    }
}

fn models_match<T: Sample + Clone + Default>(seed: u64) {
    let gpu = gpu();
    let mut chance = Chance(seed);
    for round in 0..16 {
        let scene = Scene::new(&mut chance, FORMATS[round % 2]);
        let (colour, input) = (chance.colour(), model_input(&mut chance, T::ELEMENT));
        let picture = Picture::upload(&gpu, &scene.borrow()).unwrap();
        let on_device = picture.to_model::<T>(colour, &input).unwrap();
        let got = bytes_of(&values(&gpu, &on_device));
        let mut want = vec![0; got.len()];
        let Size { width, height } = input.size_of(scene.width, scene.height);
        let (width, height) = (width as usize, height as usize);
        let row_stride = if input.layout == Layout::Hwc { 3 * width } else { width };
        let output = host::ModelOutput { bytes: &mut want, row_stride, plane_stride: row_stride * height };
        // A vector of bytes is aligned as the allocator aligns everything, which is enough for the elements.
        host::yuv_to_model(&scene.host(colour), &input, output, None).unwrap();
        assert!(got == want, "{}x{} {:?} {colour:?} {input:?}", scene.width, scene.height, scene.format);
    }
}

/// The bytes of the values.
fn bytes_of<T: Sample>(values: &[T]) -> Vec<u8> {
    // SAFETY: the types that implement `Sample` are plain numbers without padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }.to_vec()
}

#[test]
fn model_inputs_on_the_device_are_the_host_builds() {
    models_match::<f16>(31);
    models_match::<bf16>(37);
    models_match::<f32>(41);
}

fn pixels_match<T: Sample + Clone>(seed: u64, value: impl Fn(&mut Chance) -> T) {
    let gpu = gpu();
    let mut chance = Chance(seed);
    let mut download = Download::new(Arc::clone(&gpu));
    for _ in 0..12 {
        let (width, height) = chance.size();
        let (colour, channels) = (chance.colour(), [1, 3, 4][chance.below(3) as usize]);
        let row = width as usize * channels as usize;
        let (offset, row_stride) = (chance.below(9) as usize, row + chance.below(9) as usize);
        let all: Vec<T> = (0..offset + row_stride * height as usize).map(|_| value(&mut chance)).collect();
        let on_device = gpu.stream().clone_htod(&all).unwrap();
        let pixels = TensorPixels { values: &on_device, offset, row_stride, width, height, channels };
        let picture = Picture::from_pixels(&gpu, &pixels, colour).unwrap();
        let back = download.fetch(&picture).unwrap();
        let (mut luma, mut chroma) = (vec![0; back.luma.len()], vec![0; back.chroma.len()]);
        let size = size_of::<T>();
        let from = bytes_of(&all);
        let rows = host::Rows { bytes: &from[offset * size..], pitch: row_stride * size };
        let to = |bytes| host::RowsMut { bytes, pitch: back.pitch };
        host::rgb_to_nv12(
            (rows, channels, T::ELEMENT),
            (width, height),
            colour,
            to(&mut luma),
            to(&mut chroma),
            None,
        )
        .unwrap();
        for (want, got, rows, wide) in [
            (&luma, back.luma, height, width),
            (&chroma, back.chroma, height.div_ceil(2), width.next_multiple_of(2)),
        ] {
            for at in 0..rows as usize {
                let row = at * back.pitch..at * back.pitch + wide as usize;
                assert_eq!(want[row.clone()], got[row], "row {at} of {width}x{height}, {:?}", T::ELEMENT);
            }
        }
    }
}

#[test]
fn nv12_on_the_device_is_the_host_builds() {
    pixels_match::<u8>(43, |chance| chance.below(256) as u8);
    // Values outside of 0 to 1 are clamped.
    let float = |chance: &mut Chance| chance.below(4096) as f32 / 3072.0 - 0.16;
    pixels_match::<f16>(47, |chance| f16::from_f32(float(chance)));
    pixels_match::<bf16>(53, |chance| bf16::from_f32(float(chance)));
    pixels_match::<f32>(59, float);
}

#[test]
fn rows_that_leave_their_memory_are_refused() {
    let gpu = gpu();
    let memory = gpu.stream().clone_htod(&vec![0u8; 3 * 16 * 16]).unwrap();
    let pixels = |offset, row_stride, height| TensorPixels {
        values: &memory,
        offset,
        row_stride,
        width: 16,
        height,
        channels: 3,
    };
    let colour = ColourSpace { matrix: Matrix::Bt709, full_range: false };
    assert!(Picture::from_pixels(&gpu, &pixels(0, 48, 16), colour).is_ok());
    assert!(Picture::from_pixels(&gpu, &pixels(1, 48, 16), colour).is_err());
    assert!(Picture::from_pixels(&gpu, &pixels(0, 49, 16), colour).is_err());
    assert!(Picture::from_pixels(&gpu, &pixels(0, 47, 16), colour).is_err());
    assert!(Picture::from_pixels(&gpu, &pixels(0, 48, 17), colour).is_err());
}

#[test]
fn work_of_several_threads_keeps_its_order() {
    let gpu = gpu();
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let gpu = Arc::clone(&gpu);
            std::thread::spawn(move || {
                let mut chance = Chance(61 + seed);
                let mut download = Download::new(Arc::clone(&gpu));
                for _ in 0..10 {
                    let scene = Scene::new(&mut chance, SurfaceFormat::Nv12);
                    let picture = Picture::upload(&gpu, &scene.borrow()).unwrap();
                    let rgb =
                        picture.to_rgb(ColourSpace { matrix: Matrix::Bt709, full_range: true }).unwrap();
                    // The conversion may not have begun yet, so only the stream's order protects the memory.
                    drop(picture);
                    let (width, height) = (scene.width, scene.height);
                    let pixels = TensorPixels {
                        values: &rgb,
                        offset: 0,
                        row_stride: 3 * width as usize,
                        width,
                        height,
                        channels: 3,
                    };
                    let colour = ColourSpace { matrix: Matrix::Bt709, full_range: true };
                    let again = Picture::from_pixels(&gpu, &pixels, colour).unwrap();
                    drop(rgb);
                    let pitch = 3 * width as usize;
                    let mut want = vec![0; pitch * height as usize];
                    host::yuv_to_rgb(&scene.host(colour), host::RowsMut { bytes: &mut want, pitch }, None)
                        .unwrap();
                    let back = download.fetch(&again).unwrap();
                    let (mut luma, mut chroma) = (vec![0; back.luma.len()], vec![0; back.chroma.len()]);
                    let to = |bytes| host::RowsMut { bytes, pitch: back.pitch };
                    let from = host::Rows { bytes: &want, pitch };
                    host::rgb_to_nv12(
                        (from, 3, Element::U8),
                        (width, height),
                        colour,
                        to(&mut luma),
                        to(&mut chroma),
                        None,
                    )
                    .unwrap();
                    let first = back.luma[..width as usize].to_vec();
                    assert_eq!(luma[..width as usize], first);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
