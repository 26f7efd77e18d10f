//! The kernels, launched: between a picture and tensors' pixels.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DeviceRepr};
use half::{bf16, f16};

use cutrickle_media::{ColourSpace, Element, ModelInput, Size};

use crate::device::driver;
use crate::kernels::{OverlayBlend, Pixels, RgbToNv12, SurfaceFormat, YuvToModel, YuvToRgb};
use crate::{Error, Gpu, Picture, Result, Stage};

/// A type of a tensor's elements.
pub trait Sample: DeviceRepr + sealed::Sealed {
    /// The kernels' word for it.
    const ELEMENT: Element;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! samples {
    ($($type:ty => $element:ident),*) => {
        $(impl sealed::Sealed for $type {}
        impl Sample for $type {
            const ELEMENT: Element = Element::$element;
        })*
    };
}

samples!(u8 => U8, f16 => F16, bf16 => Bf16, f32 => F32);

// SAFETY: these are plain numbers in the layout that kernels/parameters.cuh declares for the kernels.
unsafe impl DeviceRepr for YuvToRgb {}
// SAFETY: as above.
unsafe impl DeviceRepr for YuvToModel {}
// SAFETY: as above.
unsafe impl DeviceRepr for RgbToNv12 {}
// SAFETY: as above.
unsafe impl DeviceRepr for OverlayBlend {}

/// Pixels of a tensor on a device, HWC.
#[derive(Debug)]
pub struct TensorPixels<'a, T> {
    /// The memory that they lie in.
    pub values: &'a CudaSlice<T>,
    /// Elements before the first pixel.
    pub offset: usize,
    /// Elements from a row to the next.
    pub row_stride: usize,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Elements of a pixel: 1 (grey), 3, or 4 (the last is left out).
    pub channels: u32,
}

/// Pixels of a tensor on a device, HWC, to be changed.
#[derive(Debug)]
pub struct TensorPixelsMut<'a, T> {
    /// The memory that they lie in.
    pub values: &'a mut CudaSlice<T>,
    /// Elements before the first pixel.
    pub offset: usize,
    /// Elements from a row to the next.
    pub row_stride: usize,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Elements of a pixel.
    pub channels: u32,
}

impl<T> TensorPixels<'_, T> {
    fn check(&self) -> Result<()> {
        let &Self { values, offset, row_stride, width, height, channels } = self;
        check_lie_in(values.len(), offset, row_stride, [width, height, channels])
    }
}

fn check_lie_in(elements: usize, offset: usize, stride: usize, size: [u32; 3]) -> Result<()> {
    let [width, height, channels] = size.map(|side| side as usize);
    let row = width * channels;
    let needed = height.saturating_sub(1).saturating_mul(stride).saturating_add(offset).saturating_add(row);
    if row <= stride && needed <= elements {
        return Ok(());
    }
    Err(Error::new(format!(
        "{height} rows of {row} elements, {stride} apart, from {offset} on, in {elements} elements"
    )))
}

impl Gpu {
    /// Blends `picture` (RGBA, alpha straight) over `target` (R'G'B') in place, its first pixel at column and row `at` of
    /// the target.
    ///
    /// # Errors
    /// Pixels of other channels, or that do not lie in their memory; what [`OverlayBlend::new`] refuses; the driver's.
    pub fn overlay(
        &self,
        target: TensorPixelsMut<'_, u8>,
        picture: &TensorPixels<'_, u8>,
        at: [i32; 2],
    ) -> Result<()> {
        let TensorPixelsMut { values, offset, row_stride, width, height, channels } = target;
        picture.check()?;
        check_lie_in(values.len(), offset, row_stride, [width, height, channels])?;
        if (picture.channels, channels) != (4, 3) {
            return Err(Error::new(format!("{} channels over {channels}", picture.channels)));
        }
        let pixels = |address: u64, offset: usize, stride: usize, width, height| Pixels {
            address: address + offset as u64,
            pitch: i64::try_from(stride).unwrap_or(i64::MAX),
            width,
            height,
        };
        let (over, _over) = picture.values.device_ptr(self.stream());
        let over = pixels(over, picture.offset, picture.row_stride, picture.width, picture.height);
        let (under, _under) = values.device_ptr_mut(self.stream());
        let under = pixels(under, offset, row_stride, width, height);
        let Some(parameters) = OverlayBlend::new(over, under, at)? else { return Ok(()) };
        // SAFETY: both lie in their memory, as checked, which is freed on the stream; the target is borrowed alone.
        unsafe { self.launch(OverlayBlend::kernel(), parameters.grid(), &parameters) }
    }
}

impl Picture {
    /// The picture as R'G'B' u8, (height, width, 3), packed.
    ///
    /// # Errors
    /// The driver's.
    pub fn to_rgb(&self, colour: ColourSpace) -> Result<CudaSlice<u8>> {
        let mut rgb = allocate::<u8>(self.gpu(), self.rgb_length())?;
        self.write_rgb(colour, &mut rgb)?;
        Ok(rgb)
    }

    /// The same into the beginning of memory that is there.
    ///
    /// # Errors
    /// Less memory, or memory of another stream than the picture's; the driver's.
    pub fn write_rgb(&self, colour: ColourSpace, rgb: &mut CudaSlice<u8>) -> Result<()> {
        check_room(self.gpu(), rgb, self.rgb_length())?;
        let _timed = self.gpu().sample(Stage::Convert);
        self.read(|surface| {
            let (address, _guard) = rgb.device_ptr_mut(self.gpu().stream());
            let pitch = 3 * i64::from(self.width());
            let parameters = YuvToRgb::new(surface, self.format(), colour, address, pitch)?;
            // SAFETY: `surface` is this picture, `address` has `height` rows of `pitch` bytes, and both are freed on the
            // stream.
            unsafe { self.gpu().launch(YuvToRgb::kernel(self.format()), parameters.grid(), &parameters) }
        })
    }

    fn rgb_length(&self) -> usize {
        self.width() as usize * self.height() as usize * 3
    }

    /// The picture as a model's input: three values a pixel, in `input.layout`.
    ///
    /// # Errors
    /// A `T` that is not `input.element`; what [`YuvToModel::new`] refuses; the driver's.
    pub fn to_model<T: Sample>(&self, colour: ColourSpace, input: &ModelInput) -> Result<CudaSlice<T>> {
        let mut output = allocate::<T>(self.gpu(), self.model_length(input))?;
        self.write_model(colour, input, &mut output)?;
        Ok(output)
    }

    /// The same into the beginning of memory that is there.
    ///
    /// # Errors
    /// As [`to_model`](Self::to_model); less memory, or memory of another stream than the picture's.
    pub fn write_model<T: Sample>(
        &self,
        colour: ColourSpace,
        input: &ModelInput,
        output: &mut CudaSlice<T>,
    ) -> Result<()> {
        if input.element != T::ELEMENT {
            return Err(Error::new(format!("{:?} elements in a buffer of {:?}", input.element, T::ELEMENT)));
        }
        check_room(self.gpu(), output, self.model_length(input))?;
        let _timed = self.gpu().sample(Stage::Convert);
        self.read(|surface| {
            let (address, _guard) = output.device_ptr_mut(self.gpu().stream());
            let parameters = YuvToModel::new(surface, self.format(), colour, input, address)?;
            let kernel = YuvToModel::kernel(self.format(), input.element)?;
            // SAFETY: `surface` is this picture, `address` has all the elements, and both are freed on the stream.
            unsafe { self.gpu().launch(kernel, parameters.grid(), &parameters) }
        })
    }

    fn model_length(&self, input: &ModelInput) -> usize {
        let Size { width, height } = input.size_of(self.width(), self.height());
        width as usize * height as usize * 3
    }

    /// A new NV12 picture of `pixels`: u8 from 0 to 255, floats from 0 to 1.
    ///
    /// # Errors
    /// Rows that do not lie in their memory; what [`RgbToNv12::new`] refuses; the driver's.
    pub fn from_pixels<T: Sample>(
        gpu: &Arc<Gpu>,
        pixels: &TensorPixels<'_, T>,
        colour: ColourSpace,
    ) -> Result<Self> {
        let mut picture = Self::new(gpu, SurfaceFormat::Nv12, pixels.width, pixels.height)?;
        picture.fill(pixels, colour)?;
        Ok(picture)
    }

    /// Writes `pixels` into this NV12 picture of the same size.
    ///
    /// # Errors
    /// As [`from_pixels`](Self::from_pixels); another size, or a picture that is no NV12.
    pub fn fill<T: Sample>(&mut self, pixels: &TensorPixels<'_, T>, colour: ColourSpace) -> Result<()> {
        pixels.check()?;
        let size = (self.width(), self.height(), self.format());
        if size != (pixels.width, pixels.height, SurfaceFormat::Nv12) {
            return Err(Error::new(format!("{}x{} pixels for {size:?}", pixels.width, pixels.height)));
        }
        let _timed = self.gpu().sample(Stage::Encode);
        self.write(|gpu, surface| {
            let (address, _guard) = pixels.values.device_ptr(gpu.stream());
            let size = T::ELEMENT.size();
            let first = address + pixels.offset as u64 * size;
            let pitch = i64::try_from(pixels.row_stride as u64 * size).unwrap_or(i64::MAX);
            let parameters = RgbToNv12::new(first, pitch, pixels.channels, T::ELEMENT, surface, colour)?;
            // SAFETY: the rows lie in `values`, as checked; `surface` is this picture. Both are freed on the stream.
            unsafe { gpu.launch(RgbToNv12::kernel(T::ELEMENT), parameters.grid(T::ELEMENT), &parameters) }
        })
    }
}

/// Whether `memory` has so many elements, and is freed in the order of the stream that writes them.
fn check_room<T>(gpu: &Gpu, memory: &CudaSlice<T>, needed: usize) -> Result<()> {
    if memory.len() < needed {
        return Err(Error::new(format!("{needed} elements into memory of {}", memory.len())));
    }
    if !Arc::ptr_eq(memory.stream(), gpu.stream()) {
        return Err(Error::new("pixels into memory of another stream"));
    }
    Ok(())
}

fn allocate<T: Sample>(gpu: &Gpu, length: usize) -> Result<CudaSlice<T>> {
    // SAFETY: plain numbers have no invalid values, and a kernel writes all of them before anything reads them.
    unsafe { gpu.stream().alloc(length) }.map_err(|e| driver("cuMemAllocAsync", &e))
}
