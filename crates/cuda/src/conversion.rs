//! Launches the kernels that convert between pictures and the pixels of tensors.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DeviceRepr};
use half::{bf16, f16};

use cutrickle_media::{ColourSpace, Element, ModelInput, Size};

use crate::device::driver;
use crate::kernels::{OverlayBlend, Pixels, RgbToNv12, SurfaceFormat, YuvToModel, YuvToRgb};
use crate::{Error, Gpu, Picture, Result, Stage};

/// A type of tensor elements.
pub trait Sample: DeviceRepr + sealed::Sealed {
    /// The kernels' name for this type.
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

// SAFETY: these are plain numbers in the layout that kernels/parameters.cuh declares.
unsafe impl DeviceRepr for YuvToRgb {}
// SAFETY: as above.
unsafe impl DeviceRepr for YuvToModel {}
// SAFETY: as above.
unsafe impl DeviceRepr for RgbToNv12 {}
// SAFETY: as above.
unsafe impl DeviceRepr for OverlayBlend {}

/// The pixels of a tensor on a device, HWC.
#[derive(Debug)]
pub struct TensorPixels<'a, T> {
    /// The memory that contains them.
    pub values: &'a CudaSlice<T>,
    /// The number of elements before the first pixel.
    pub offset: usize,
    /// The distance between rows in elements.
    pub row_stride: usize,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The number of elements of a pixel: 1 (grey), 3, or 4 (the last one is ignored).
    pub channels: u32,
}

/// The pixels of a tensor on a device, HWC, for writing.
#[derive(Debug)]
pub struct TensorPixelsMut<'a, T> {
    /// The memory that contains them.
    pub values: &'a mut CudaSlice<T>,
    /// The number of elements before the first pixel.
    pub offset: usize,
    /// The distance between rows in elements.
    pub row_stride: usize,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The number of elements of a pixel.
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
    /// Blends `picture` (RGBA with straight alpha) over `target` (R'G'B') in place, with the first pixel of
    /// `picture` at the column and row `at` of the target.
    ///
    /// # Errors
    /// The number of channels is wrong, the pixels exceed their memory, [`OverlayBlend::new`] rejects them,
    /// or a driver call fails.
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
        // SAFETY: both are within their memory, as checked, which is freed on the stream. The target is
        // borrowed exclusively.
        unsafe { self.launch(OverlayBlend::kernel(), parameters.grid(), &parameters) }
    }
}

impl Picture {
    /// Converts the picture to packed R'G'B' u8 of shape (height, width, 3).
    ///
    /// # Errors
    /// A driver call fails.
    pub fn to_rgb(&self, colour: ColourSpace) -> Result<CudaSlice<u8>> {
        let mut rgb = allocate::<u8>(self.gpu(), self.rgb_length())?;
        self.write_rgb(colour, &mut rgb)?;
        Ok(rgb)
    }

    /// Like [`to_rgb`](Self::to_rgb), but writes to the beginning of existing memory.
    ///
    /// # Errors
    /// The memory is too small or belongs to a stream other than the picture's, or a driver call fails.
    pub fn write_rgb(&self, colour: ColourSpace, rgb: &mut CudaSlice<u8>) -> Result<()> {
        check_room(self.gpu(), rgb, self.rgb_length())?;
        let _timed = self.gpu().sample(Stage::Convert);
        self.read(|surface| {
            let (address, _guard) = rgb.device_ptr_mut(self.gpu().stream());
            let pitch = 3 * i64::from(self.width());
            let parameters = YuvToRgb::new(surface, self.format(), colour, address, pitch)?;
            // SAFETY: `surface` is this picture, `address` has `height` rows of `pitch` bytes, and both are
            // freed on the stream.
            unsafe { self.gpu().launch(YuvToRgb::kernel(self.format()), parameters.grid(), &parameters) }
        })
    }

    fn rgb_length(&self) -> usize {
        self.width() as usize * self.height() as usize * 3
    }

    /// Converts the picture to a model's input of three values a pixel, in `input.layout`.
    ///
    /// # Errors
    /// `T` is not `input.element`, [`YuvToModel::new`] rejects the parameters, or a driver call fails.
    pub fn to_model<T: Sample>(&self, colour: ColourSpace, input: &ModelInput) -> Result<CudaSlice<T>> {
        let mut output = allocate::<T>(self.gpu(), self.model_length(input))?;
        self.write_model(colour, input, &mut output)?;
        Ok(output)
    }

    /// Like [`to_model`](Self::to_model), but writes to the beginning of existing memory.
    ///
    /// # Errors
    /// The same as for [`to_model`](Self::to_model). In addition, the memory is too small or belongs to a
    /// stream other than the picture's.
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
            // SAFETY: `surface` is this picture, `address` has room for all elements, and both are freed on
            // the stream.
            unsafe { self.gpu().launch(kernel, parameters.grid(), &parameters) }
        })
    }

    fn model_length(&self, input: &ModelInput) -> usize {
        let Size { width, height } = input.size_of(self.width(), self.height());
        width as usize * height as usize * 3
    }

    /// Creates an NV12 picture from `pixels`, where u8 ranges from 0 to 255 and floats range from 0 to 1.
    ///
    /// # Errors
    /// The rows exceed their memory, [`RgbToNv12::new`] rejects the parameters, or a driver call fails.
    pub fn from_pixels<T: Sample>(
        gpu: &Arc<Gpu>,
        pixels: &TensorPixels<'_, T>,
        colour: ColourSpace,
    ) -> Result<Self> {
        let mut picture = Self::new(gpu, SurfaceFormat::Nv12, pixels.width, pixels.height)?;
        picture.fill(pixels, colour)?;
        Ok(picture)
    }

    /// Writes `pixels` to this NV12 picture of the same size.
    ///
    /// # Errors
    /// The same as for [`from_pixels`](Self::from_pixels). In addition, the sizes differ or the picture is
    /// not NV12.
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
            // SAFETY: the rows are within `values`, as checked, and `surface` is this picture. Both are freed
            // on the stream.
            unsafe { gpu.launch(RgbToNv12::kernel(T::ELEMENT), parameters.grid(T::ELEMENT), &parameters) }
        })
    }
}

/// Checks that `memory` has the needed number of elements and is freed in the order of the stream that writes
/// them.
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
    // SAFETY: plain numbers have no invalid values, and a kernel writes all of them before anything reads
    // them.
    unsafe { gpu.stream().alloc(length) }.map_err(|e| driver("cuMemAllocAsync", &e))
}
