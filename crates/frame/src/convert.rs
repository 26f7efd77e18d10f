//! Conversion between I420 pictures and RGB tensors on the CPU, with the SIMD kernels of the `yuv` crate.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use cutrickle_media::{Colour, Matrix};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImage, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
};

use crate::{Error, I420, Result, range};

/// Converts `picture` to a tensor of shape (H, W, 3), u8, RGB.
pub(crate) fn i420_to_rgb(picture: &I420, colour: Colour) -> Result<Tensor> {
    let (width, height) = (picture.width(), picture.height());
    let [y, u, v] = picture.planes();
    let image = YuvPlanarImage {
        y_plane: y.data,
        y_stride: y.stride as u32,
        u_plane: u.data,
        u_stride: u.stride as u32,
        v_plane: v.data,
        v_stride: v.stride as u32,
        width,
        height,
    };
    let mut rgb = vec![0; width as usize * height as usize * 3];
    yuv::yuv420_to_rgb(&image, &mut rgb, width * 3, range(colour), matrix(colour))
        .map_err(|e| Error::new(format!("I420 to RGB, {width}x{height}")).because(e))?;
    Ok(Tensor::from_vec(rgb, (height as usize, width as usize, 3), &Device::Cpu)?)
}

/// Converts a tensor of shape (H, W, 1|3|4), u8, to a picture of colour `colour`. Chroma is the mean of 2x2
/// pixels; a fourth channel is ignored, and a single channel is grey.
pub(crate) fn rgb_to_i420(tensor: &Tensor, colour: Colour) -> Result<I420> {
    let (height, width, channels) = tensor.dims3()?;
    let tensor = match channels {
        1 => tensor.repeat((1, 1, 3))?,
        4 => tensor.narrow(2, 0, 3)?.contiguous()?,
        _ => tensor.contiguous()?,
    };
    let mut picture = I420::new(width as u32, height as u32)?;
    let (storage, layout) = tensor.storage_and_layout();
    let (Storage::Cpu(CpuStorage::U8(all)), Some((start, end))) = (&*storage, layout.contiguous_offsets())
    else {
        return Err(Error::new("RGB to I420 of a tensor that is not u8 in host memory"));
    };
    let rgb = all.get(start..end).ok_or_else(|| Error::new("RGB to I420 of a tensor without its storage"))?;
    let [y, u, v] = picture.planes_mut();
    let mut image = YuvPlanarImageMut {
        y_stride: y.width as u32,
        y_plane: BufferStoreMut::Borrowed(y.data),
        u_stride: u.width as u32,
        u_plane: BufferStoreMut::Borrowed(u.data),
        v_stride: v.width as u32,
        v_plane: BufferStoreMut::Borrowed(v.data),
        width: width as u32,
        height: height as u32,
    };
    yuv::rgb_to_yuv420(
        &mut image,
        rgb,
        width as u32 * 3,
        range(colour),
        matrix(colour),
        YuvConversionMode::Balanced,
    )
    .map_err(|e| Error::new(format!("RGB to I420, {width}x{height}")).because(e))?;
    drop(storage);
    Ok(picture)
}

/// Checks that `tensor` can be a frame's pixels: (H, W, 1|3|4), u8 from 0 to 255 or float from 0 to 1.
pub(crate) fn accept_pixels(tensor: Tensor) -> Result<Tensor> {
    let dims = tensor.dims();
    let [height, width, 1 | 3 | 4] = *dims else {
        return Err(Error::new(format!(
            "pixels of shape {dims:?}: a frame takes (height, width, channels) with 1, 3 or 4 channels"
        )));
    };
    I420::check_size(width, height)?;
    let pixels = match tensor.dtype() {
        DType::U8 | DType::F32 | DType::F16 | DType::BF16 => tensor,
        DType::F64 => tensor.to_dtype(DType::F32)?,
        other => {
            return Err(Error::new(format!(
                "pixels of type {other:?} and shape {dims:?}: a frame takes u8 (0-255) or float (0-1)"
            )));
        }
    };
    range::watch(&pixels);
    Ok(pixels)
}

/// Converts pixels that passed [`accept_pixels`] to u8.
pub(crate) fn to_u8(pixels: &Tensor) -> Result<Tensor> {
    if pixels.dtype() == DType::U8 {
        return Ok(pixels.clone());
    }
    // Adding 0.5 rounds, because the cast truncates.
    let scaled = (pixels.to_dtype(DType::F32)?.clamp(0f32, 1f32)? * 255.0)?;
    Ok((scaled + 0.5)?.to_dtype(DType::U8)?)
}

fn range(colour: Colour) -> YuvRange {
    if colour.full_range { YuvRange::Full } else { YuvRange::Limited }
}

fn matrix(colour: Colour) -> YuvStandardMatrix {
    match colour.matrix {
        Matrix::Bt601 => YuvStandardMatrix::Bt601,
        Matrix::Bt709 => YuvStandardMatrix::Bt709,
        Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula of H.273, 8.3, in f64, which the kernels are compared with.
    fn reference(y: f64, u: f64, v: f64, colour: Colour) -> [f64; 3] {
        let (kr, kb) = match colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let (y, cb, cr) = if colour.full_range {
            (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0)
        } else {
            ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0)
        };
        let r = y + 2.0 * (1.0 - kr) * cr;
        let b = y + 2.0 * (1.0 - kb) * cb;
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|c| (c * 255.0).clamp(0.0, 255.0))
    }

    fn colours() -> Vec<Colour> {
        [Colour::BT601, Colour::BT709, Colour::BT2020]
            .into_iter()
            .flat_map(|c| [c, Colour { full_range: true, ..c }])
            .collect()
    }

    #[test]
    fn rgb_is_within_one_step_of_the_standard_for_every_colour_space() {
        for colour in colours() {
            for (y, u, v) in [(16, 128, 128), (235, 128, 128), (81, 90, 240), (145, 54, 34), (100, 160, 90)] {
                let mut picture = I420::new(33, 7).unwrap();
                let [py, pu, pv] = picture.planes_mut();
                py.data.fill(y);
                pu.data.fill(u);
                pv.data.fill(v);
                let rgb = i420_to_rgb(&picture, colour).unwrap().to_vec3::<u8>().unwrap();
                let want = reference(y.into(), u.into(), v.into(), colour);
                for pixel in rgb.iter().flatten() {
                    for (got, want) in pixel.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() <= 1.5, "{colour:?} {pixel:?} {want:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_round_trip_keeps_flat_colours_within_two_steps() {
        for colour in colours() {
            for rgb in [[0u8, 0, 0], [255, 255, 255], [200, 40, 90], [10, 250, 128]] {
                let tensor = Tensor::new(&rgb, &Device::Cpu).unwrap().broadcast_as((5, 9, 3)).unwrap();
                let picture = rgb_to_i420(&tensor, colour).unwrap();
                let again = i420_to_rgb(&picture, colour).unwrap().to_vec3::<u8>().unwrap();
                for (got, want) in again[2][4].iter().zip(rgb) {
                    assert!(got.abs_diff(want) <= 2, "{colour:?} {:?} {rgb:?}", again[2][4]);
                }
            }
        }
    }

    #[test]
    fn one_and_four_channels_are_taken() {
        let grey = Tensor::full(77u8, (4, 4, 1), &Device::Cpu).unwrap();
        let picture = rgb_to_i420(&grey, Colour { full_range: true, ..Colour::BT709 }).unwrap();
        assert!(picture.planes()[0].data.iter().all(|y| y.abs_diff(77) <= 1));
        let rgba = Tensor::full(77u8, (4, 4, 4), &Device::Cpu).unwrap();
        assert_eq!(rgb_to_i420(&rgba, Colour { full_range: true, ..Colour::BT709 }).unwrap(), picture);
    }

    #[test]
    fn floats_are_rounded_and_clamped() {
        let t = Tensor::new(&[[[-1f32, 0.5, 2.0]]], &Device::Cpu).unwrap();
        assert_eq!(to_u8(&accept_pixels(t).unwrap()).unwrap().to_vec3::<u8>().unwrap(), [[[0, 128, 255]]]);
    }

    #[test]
    fn wrong_shapes_and_types_are_refused_by_name() {
        let t = Tensor::zeros((3, 4, 5), DType::U8, &Device::Cpu).unwrap();
        assert!(accept_pixels(t).unwrap_err().to_string().contains("[3, 4, 5]"));
        let t = Tensor::zeros((4, 4, 3), DType::I64, &Device::Cpu).unwrap();
        assert!(accept_pixels(t).unwrap_err().to_string().contains("I64"));
    }
}
