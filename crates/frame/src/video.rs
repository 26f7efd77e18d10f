//! A video frame of a live stream, on its way from the decoder to the encoder.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use cutrickle_media::{Colour, Timestamp};

#[cfg(feature = "cuda")]
use cutrickle_cuda::Picture;

#[cfg(feature = "cuda")]
use crate::cuda;
use crate::{Error, FrameId, I420, Origin, Result, convert};

/// A video frame with its time and its [`Origin`]; both stay the same when the pixels are replaced.
///
/// Cloning is cheap: pixels are shared by reference count.
#[derive(Debug, Clone)]
pub struct VideoFrame {
    pixels: Pixels,
    timestamp: Timestamp,
    origin: Origin,
    colour: Colour,
    device: Device,
    /// The pixels as RGB, once they were requested.
    rgb: OnceLock<Tensor>,
}

/// The pixels in the form they were last set.
#[derive(Debug, Clone)]
enum Pixels {
    I420(Arc<I420>),
    /// As the GPU decoded it, on the frame's device.
    #[cfg(feature = "cuda")]
    Device(Arc<Picture>),
    /// (H, W, 1|3|4), u8 or a float.
    Rgb(Tensor),
}

impl VideoFrame {
    /// Creates a frame from a decoder's picture, with a new origin.
    pub fn from_i420(picture: I420, colour: Colour, timestamp: Timestamp) -> Self {
        Self {
            pixels: Pixels::I420(Arc::new(picture)),
            timestamp,
            origin: Origin::now(),
            colour,
            device: Device::Cpu,
            rgb: OnceLock::new(),
        }
    }

    /// Creates a frame from a picture in the memory of `device`, with a new origin.
    ///
    /// # Errors
    /// Fails if the picture is not on `device`.
    #[cfg(feature = "cuda")]
    pub fn from_picture(
        picture: Picture,
        colour: Colour,
        timestamp: Timestamp,
        device: Device,
    ) -> Result<Self> {
        if !cuda::is_on(&picture, &device) {
            return Err(Error::new(format!("a picture on {:?} for a frame on {device:?}", picture.gpu())));
        }
        let pixels = Pixels::Device(Arc::new(picture));
        Ok(Self { pixels, timestamp, origin: Origin::now(), colour, device, rgb: OnceLock::new() })
    }

    /// Creates a frame from pixels of shape (H, W, 1|3|4), u8 (0-255) or float (0-1), with a new origin.
    ///
    /// # Errors
    /// Fails for another shape or type; the message says which.
    pub fn from_tensor(pixels: Tensor, timestamp: Timestamp) -> Result<Self> {
        let pixels = convert::accept_pixels(pixels)?;
        let colour = Colour::unspecified(pixels.dims()[0] as u32);
        let device = pixels.device().clone();
        let pixels = Pixels::Rgb(pixels);
        Ok(Self { pixels, timestamp, origin: Origin::now(), colour, device, rgb: OnceLock::new() })
    }

    /// Returns the pixels as (H, W, 3), u8, 0-255, RGB, on the frame's device. They are converted on first
    /// use, then shared. If they were replaced by 1 or 4 channels, those are returned.
    ///
    /// # Errors
    /// Fails if the conversion or the device does.
    pub fn tensor(&self) -> Result<Tensor> {
        if let Pixels::Rgb(tensor) = &self.pixels
            && tensor.dtype() == DType::U8
        {
            return Ok(tensor.clone());
        }
        if let Some(rgb) = self.rgb.get() {
            return Ok(rgb.clone());
        }
        let rgb = match &self.pixels {
            Pixels::Rgb(tensor) => convert::to_u8(tensor)?,
            Pixels::I420(picture) => {
                let rgb = convert::i420_to_rgb(picture, self.colour)?;
                #[cfg(feature = "cuda")]
                cuda::count_upload(&rgb, &self.device);
                rgb.to_device(&self.device)?
            }
            #[cfg(feature = "cuda")]
            Pixels::Device(picture) => cuda::rgb_of(picture, self.colour, &self.device)?,
        };
        Ok(self.rgb.get_or_init(|| rgb).clone())
    }

    /// Replaces the pixels: (H, W, 1|3|4), u8 (0-255) or float (0-1). A different size is allowed and changes
    /// the output's size.
    ///
    /// # Errors
    /// Fails for another shape or type; the message says which.
    pub fn replace_tensor(self, pixels: Tensor) -> Result<Self> {
        let pixels = convert::accept_pixels(pixels)?;
        let device = pixels.device().clone();
        Ok(Self { pixels: Pixels::Rgb(pixels), device, rgb: OnceLock::new(), ..self })
    }

    /// Returns the picture for an encoder on the CPU: the decoder's own if the pixels were not replaced,
    /// otherwise converted with the frame's colour. Pixels on a device are converted there, and one copy of
    /// 1.5 bytes per pixel is waited for.
    ///
    /// # Errors
    /// Fails if the conversion or the device does.
    pub fn i420(&self) -> Result<Arc<I420>> {
        match &self.pixels {
            Pixels::I420(picture) => Ok(Arc::clone(picture)),
            #[cfg(feature = "cuda")]
            Pixels::Device(picture) => cuda::i420_of(picture).map(Arc::new),
            #[cfg(feature = "cuda")]
            Pixels::Rgb(tensor) if tensor.device().is_cuda() => {
                cuda::i420_of(&cuda::picture_of(tensor, self.colour)?).map(Arc::new)
            }
            Pixels::Rgb(tensor) => {
                let host = convert::to_u8(&tensor.to_device(&Device::Cpu)?)?;
                Ok(Arc::new(convert::rgb_to_i420(&host, self.colour)?))
            }
        }
    }

    /// Returns what [`to_model`](Self::to_model) does, made by a single kernel, if the decoder's picture is
    /// in the frame's device memory and the elements are floats.
    #[cfg(feature = "cuda")]
    pub(crate) fn to_model_on_device(&self, input: &cutrickle_media::ModelInput) -> Result<Option<Tensor>> {
        match &self.pixels {
            Pixels::Device(picture) => cuda::model_of(picture, self.colour, input, &self.device),
            Pixels::I420(_) | Pixels::Rgb(_) => Ok(None),
        }
    }

    /// Enqueues a copy of the frame's pixels to `input`, an encoder's NV12 picture on the frame's device that
    /// is at most as large as the frame. No pixel leaves the device.
    ///
    /// # Errors
    /// Fails if the frame's pixels are not on a CUDA device, or if the device fails.
    #[cfg(feature = "cuda")]
    pub fn write_to(&self, input: &mut Picture) -> Result<()> {
        match &self.pixels {
            Pixels::Device(picture) if picture.format() == input.format() => input
                .copy_picture(picture)
                .map_err(|e| Error::new("a frame to an encoder's input").because(e)),
            Pixels::Rgb(tensor) => cuda::fill(input, tensor, self.colour),
            Pixels::Device(_) | Pixels::I420(_) => {
                let tensor = self.tensor()?;
                cuda::fill(input, &tensor, self.colour)
            }
        }
    }

    /// Returns the frame with its pixels on `device` from now on.
    ///
    /// # Errors
    /// Fails if the device does.
    pub fn to(self, device: &Device) -> Result<Self> {
        let pixels = match self.pixels {
            Pixels::Rgb(tensor) => Pixels::Rgb(tensor.to_device(device)?),
            #[cfg(feature = "cuda")]
            Pixels::Device(picture) if !cuda::is_on(&picture, device) => {
                Pixels::I420(Arc::new(cuda::i420_of(&picture)?))
            }
            decoded => decoded,
        };
        // Pixels already converted on the same device are kept.
        let rgb = if self.device.same_device(device) { self.rgb } else { OnceLock::new() };
        Ok(Self { pixels, device: device.clone(), rgb, ..self })
    }

    /// The same picture with another timestamp.
    #[must_use]
    pub fn at(self, timestamp: Timestamp) -> Self {
        Self { timestamp, ..self }
    }

    /// The same picture with another origin.
    #[must_use]
    pub fn of(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// The same picture with the timestamp and origin of `other`.
    #[must_use]
    pub fn in_place_of(self, other: &Self) -> Self {
        Self { timestamp: other.timestamp, origin: other.origin, ..self }
    }

    /// The frame's identity and arrival time.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The frame's id, which does not change when the pixels are replaced.
    pub fn id(&self) -> FrameId {
        self.origin.id()
    }

    /// When the frame's access unit arrived.
    pub fn arrived(&self) -> Instant {
        self.origin.arrived()
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        match &self.pixels {
            Pixels::I420(picture) => picture.width(),
            #[cfg(feature = "cuda")]
            Pixels::Device(picture) => picture.width(),
            Pixels::Rgb(tensor) => side(tensor, 1),
        }
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        match &self.pixels {
            Pixels::I420(picture) => picture.height(),
            #[cfg(feature = "cuda")]
            Pixels::Device(picture) => picture.height(),
            Pixels::Rgb(tensor) => side(tensor, 0),
        }
    }

    /// Presentation time in seconds.
    pub fn pts(&self) -> f64 {
        self.timestamp.seconds()
    }

    /// The exact presentation time.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The colour of the samples, as signalled by the stream.
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// The device on which `tensor()` returns the pixels.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether a processor replaced the pixels.
    pub fn is_replaced(&self) -> bool {
        matches!(self.pixels, Pixels::Rgb(_))
    }
}

impl TryFrom<Tensor> for VideoFrame {
    type Error = Error;

    fn try_from(pixels: Tensor) -> Result<Self> {
        Self::from_tensor(pixels, Timestamp::ZERO)
    }
}

fn side(tensor: &Tensor, dim: usize) -> u32 {
    tensor.dims().get(dim).map_or(0, |n| u32::try_from(*n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> VideoFrame {
        VideoFrame::from_i420(I420::new(64, 48).unwrap(), Colour::BT709, Timestamp::from_ticks(45_000))
    }

    #[test]
    fn an_untouched_frame_is_the_decoders_picture_itself() {
        let frame = frame();
        let picture = frame.i420().unwrap();
        frame.tensor().unwrap();
        assert!(Arc::ptr_eq(&picture, &frame.i420().unwrap()));
        assert!(!frame.is_replaced());
    }

    #[test]
    fn pixels_are_converted_once() {
        let frame = frame();
        let (first, second) = (frame.tensor().unwrap(), frame.tensor().unwrap());
        assert_eq!(first.id(), second.id());
        assert_eq!(first.dims(), [48, 64, 3]);
    }

    #[test]
    fn a_frame_is_the_same_whatever_its_pixels_and_no_two_are() {
        let (one, other) = (frame(), frame());
        assert_ne!(one.id(), other.id());
        let origin = one.origin();
        let pixels = Tensor::full(200u8, (48, 64, 3), &Device::Cpu).unwrap();
        let changed = one.replace_tensor(pixels.clone()).unwrap().to(&Device::Cpu).unwrap();
        assert_eq!((changed.origin(), changed.arrived()), (origin, origin.arrived()));
        let made = VideoFrame::try_from(pixels).unwrap().in_place_of(&changed);
        assert_eq!((made.origin(), made.timestamp()), (origin, changed.timestamp()));
    }

    #[test]
    fn replaced_pixels_keep_time_and_colour_and_may_change_size() {
        let big = Tensor::full(200u8, (96, 128, 3), &Device::Cpu).unwrap();
        let frame = frame().replace_tensor(big).unwrap();
        assert_eq!((frame.width(), frame.height()), (128, 96));
        assert_eq!((frame.timestamp().ticks(), frame.pts()), (45_000, 0.5));
        assert_eq!(frame.colour(), Colour::BT709);
        assert_eq!((frame.i420().unwrap().width(), frame.i420().unwrap().height()), (128, 96));
    }
}
