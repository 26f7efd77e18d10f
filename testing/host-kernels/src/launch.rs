//! A safe function for each kind of kernel, which takes slices, chooses the kernel, and checks that no row
//! leaves its slice.

use cutrickle_cuda::Result;
use cutrickle_cuda::kernels::{
    Grid, OverlayBlend, Pixels, RgbToNv12, Surface, SurfaceFormat, YuvToModel, YuvToRgb,
};
use cutrickle_media::{ColourSpace, Element, Layout, ModelInput, Size};

use crate::device::{self, Launch, Launcher};

/// Rows to read, which begin at the slice's first byte.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The memory that the rows lie in.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub pitch: usize,
}

/// Rows to write, which begin at the slice's first byte.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// The memory that the rows lie in.
    pub bytes: &'a mut [u8],
    /// Bytes from one row to the next.
    pub pitch: usize,
}

/// A decoded frame.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// How the samples are stored.
    pub format: SurfaceFormat,
    /// What the samples mean.
    pub colour: ColourSpace,
    /// Pixels in a row.
    pub width: u32,
    /// Rows of luma.
    pub height: u32,
    /// The rows of luma.
    pub luma: Rows<'a>,
    /// The rows of chroma, interleaved.
    pub chroma: Rows<'a>,
}

/// Where a model's input is written to.
#[derive(Debug)]
pub struct ModelOutput<'a> {
    /// The memory of the tensor.
    pub bytes: &'a mut [u8],
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one plane to the next (CHW).
    pub plane_stride: usize,
}

/// Panics unless `rows` rows of `row` bytes each, `pitch` bytes apart, lie in `bytes`.
fn check_extent(bytes: &[u8], pitch: usize, row: usize, rows: usize) {
    let needed = (rows - 1).checked_mul(pitch).and_then(|n| n.checked_add(row));
    assert!(needed.is_some_and(|n| n <= bytes.len()), "{rows} rows, {pitch} apart, in {} bytes", bytes.len());
}

fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr().expose_provenance() as u64
}

fn address_mut(bytes: &mut [u8]) -> u64 {
    bytes.as_mut_ptr().expose_provenance() as u64
}

impl Picture<'_> {
    fn surface(&self) -> Surface {
        Surface {
            luma: address(self.luma.bytes),
            chroma: address(self.chroma.bytes),
            luma_pitch: self.luma.pitch as i64,
            chroma_pitch: self.chroma.pitch as i64,
            width: self.width,
            height: self.height,
        }
    }

    fn check_extent(&self) {
        let size = self.format.sample_size() as usize;
        let (width, height) = (self.width as usize, self.height as usize);
        check_extent(self.luma.bytes, self.luma.pitch, width * size, height);
        let chroma_row = width.next_multiple_of(2) * size;
        check_extent(self.chroma.bytes, self.chroma.pitch, chroma_row, height.div_ceil(2));
    }
}

/// Converts `picture` to R'G'B' u8, HWC. Without a `grid`, the kernel runs with the one that its parameters
/// propose.
///
/// # Errors
/// See [`YuvToRgb::new`].
///
/// # Panics
/// Panics if a row leaves its slice.
pub fn yuv_to_rgb(picture: &Picture<'_>, rgb: RowsMut<'_>, grid: Option<Grid>) -> Result<()> {
    let target = address_mut(rgb.bytes);
    let parameters =
        YuvToRgb::new(picture.surface(), picture.format, picture.colour, target, rgb.pitch as i64)?;
    picture.check_extent();
    check_extent(rgb.bytes, rgb.pitch, 3 * picture.width as usize, picture.height as usize);
    let kernel: Launcher<YuvToRgb> = match picture.format {
        SurfaceFormat::Nv12 => device::host_nv12_to_rgb,
        SurfaceFormat::P010 => device::host_p010_to_rgb,
    };
    let grid = Launch::from(grid.unwrap_or(parameters.grid()));
    // SAFETY: all rows that the parameters name lie in slices that are borrowed for the call, exclusively
    // where they are written.
    unsafe { kernel(&parameters, &grid) };
    Ok(())
}

/// Converts `picture` to the tensor that `input` describes.
///
/// # Errors
/// See [`YuvToModel::new`].
///
/// # Panics
/// Panics if a row leaves its slice, or if rows overlap.
pub fn yuv_to_model(
    picture: &Picture<'_>,
    input: &ModelInput,
    output: ModelOutput<'_>,
    grid: Option<Grid>,
) -> Result<()> {
    let target = address_mut(output.bytes);
    let mut parameters = YuvToModel::new(picture.surface(), picture.format, picture.colour, input, target)?;
    let size = input.element.size() as usize;
    let Size { width, height } = input.size_of(picture.width, picture.height);
    let (width, height) = (width as usize, height as usize);
    let (row, planes) = match input.layout {
        Layout::Chw => (width, 3),
        Layout::Hwc => (3 * width, 1),
    };
    assert!(output.row_stride >= row && output.plane_stride >= output.row_stride * height, "rows overlap");
    picture.check_extent();
    check_extent(output.bytes, output.plane_stride * size, 0, planes);
    let last_plane = &output.bytes[(planes - 1) * output.plane_stride * size..];
    check_extent(last_plane, output.row_stride * size, row * size, height);
    parameters.row_stride = output.row_stride as i64;
    parameters.plane_stride = output.plane_stride as i64;
    let kernel: Launcher<YuvToModel> = match YuvToModel::kernel(picture.format, input.element)? {
        "nv12_to_model_f16" => device::host_nv12_to_model_f16,
        "nv12_to_model_bf16" => device::host_nv12_to_model_bf16,
        "nv12_to_model_f32" => device::host_nv12_to_model_f32,
        "p010_to_model_f16" => device::host_p010_to_model_f16,
        "p010_to_model_bf16" => device::host_p010_to_model_bf16,
        "p010_to_model_f32" => device::host_p010_to_model_f32,
        other => unreachable!("no kernel is called {other}"),
    };
    let grid = Launch::from(grid.unwrap_or(parameters.grid()));
    // SAFETY: all rows that the parameters name lie in slices that are borrowed for the call, exclusively
    // where they are written. YuvToModel::new has checked that they are aligned to their elements.
    unsafe { kernel(&parameters, &grid) };
    Ok(())
}

/// Converts `size` (width and height) pixels of `channels` elements each to NV12.
///
/// # Errors
/// See [`RgbToNv12::new`].
///
/// # Panics
/// Panics if a row leaves its slice.
pub fn rgb_to_nv12(
    (pixels, channels, element): (Rows<'_>, u32, Element),
    size: (u32, u32),
    colour: ColourSpace,
    luma: RowsMut<'_>,
    chroma: RowsMut<'_>,
    grid: Option<Grid>,
) -> Result<()> {
    let (width, height) = size;
    let target = Surface {
        luma: address_mut(luma.bytes),
        chroma: address_mut(chroma.bytes),
        luma_pitch: luma.pitch as i64,
        chroma_pitch: chroma.pitch as i64,
        width,
        height,
    };
    let parameters =
        RgbToNv12::new(address(pixels.bytes), pixels.pitch as i64, channels, element, target, colour)?;
    let (width, height) = (width as usize, height as usize);
    check_extent(pixels.bytes, pixels.pitch, width * channels as usize * element.size() as usize, height);
    check_extent(luma.bytes, luma.pitch, width, height);
    check_extent(chroma.bytes, chroma.pitch, width.next_multiple_of(2), height.div_ceil(2));
    let kernel: Launcher<RgbToNv12> = match element {
        Element::U8 => device::host_rgb_u8_to_nv12,
        Element::F16 => device::host_rgb_f16_to_nv12,
        Element::Bf16 => device::host_rgb_bf16_to_nv12,
        Element::F32 => device::host_rgb_f32_to_nv12,
    };
    let grid = Launch::from(grid.unwrap_or(parameters.grid(element)));
    // SAFETY: all rows that the parameters name lie in slices that are borrowed for the call, exclusively
    // where they are written.
    unsafe { kernel(&parameters, &grid) };
    Ok(())
}

/// Blends `picture` (RGBA) over `target` (R'G'B'), with its first pixel at column and row `at`.
///
/// # Errors
/// See [`OverlayBlend::new`].
///
/// # Panics
/// Panics if a row leaves its slice.
pub fn overlay_blend(
    (picture, picture_size): (Rows<'_>, (u32, u32)),
    (target, target_size): (RowsMut<'_>, (u32, u32)),
    at: [i32; 2],
    grid: Option<Grid>,
) -> Result<()> {
    let pixels = |address, pitch, (width, height)| Pixels { address, pitch: pitch as i64, width, height };
    let over = pixels(address(picture.bytes), picture.pitch, picture_size);
    let under = pixels(address_mut(target.bytes), target.pitch, target_size);
    let Some(parameters) = OverlayBlend::new(over, under, at)? else { return Ok(()) };
    check_extent(picture.bytes, picture.pitch, 4 * over.width as usize, over.height as usize);
    check_extent(target.bytes, target.pitch, 3 * under.width as usize, under.height as usize);
    let grid = Launch::from(grid.unwrap_or(parameters.grid()));
    // SAFETY: all rows that the parameters name lie in slices that are borrowed for the call, exclusively
    // where they are written.
    unsafe { device::host_overlay_blend(&parameters, &grid) };
    Ok(())
}
