//! The description of a model's input: size, fit, order and type of elements, normalisation.

use std::fmt;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl Size {
    /// Creates a size of `width` x `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

impl From<(u32, u32)> for Size {
    fn from((width, height): (u32, u32)) -> Self {
        Self { width, height }
    }
}

/// Formatted as `1280x720`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How a picture is fitted to a size of another shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// Stretch the whole picture, without keeping its shape.
    Stretch,
    /// Keep the whole picture and its shape, centred; the rest has this colour, R'G'B' from 0 to 1.
    Letterbox([f32; 3]),
    /// Keep as much of the middle as fills the size.
    Crop,
}

/// The order of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Three planes: (3, height, width).
    Chw,
    /// Pixels: (height, width, 3).
    Hwc,
}

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 0 to 255.
    U8,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// IEEE 754 binary32.
    F32,
}

impl Element {
    /// The size of one element in bytes.
    pub const fn size(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// The input of a model: R'G'B' from 0 to 1, minus `mean`, divided by `std`.
///
/// ```
/// use cutrickle_media::{Fit, ModelInput};
///
/// let input = ModelInput {
///     fit: Fit::Crop,
///     mean: [0.485, 0.456, 0.406],
///     std: [0.229, 0.224, 0.225],
///     ..ModelInput::new(224, 224)
/// };
/// assert_eq!(input.shape(1280, 720), [3, 224, 224]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelInput {
    /// The size in pixels; `None` uses each frame's own size.
    pub size: Option<Size>,
    /// How a picture of another shape is fitted.
    pub fit: Fit,
    /// The order of the elements.
    pub layout: Layout,
    /// The type of the elements. [`Element::U8`] is R'G'B' from 0 to 255, without `mean` and `std`.
    pub element: Element,
    /// Subtracted from R'G'B' in the range 0 to 1.
    pub mean: [f32; 3],
    /// Divides the result.
    pub std: [f32; 3],
}

impl Default for ModelInput {
    /// Frames at their own size, as (3, height, width), f32, 0 to 1.
    fn default() -> Self {
        Self {
            size: None,
            fit: Fit::Stretch,
            layout: Layout::Chw,
            element: Element::F32,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }
}

impl ModelInput {
    /// Frames stretched to `width` x `height`, as (3, height, width), f32, 0 to 1.
    pub fn new(width: u32, height: u32) -> Self {
        Self { size: Some(Size { width, height }), ..Self::default() }
    }

    /// The size of the tensor for a frame of `width` x `height`.
    pub fn size_of(&self, width: u32, height: u32) -> Size {
        self.size.unwrap_or(Size { width, height })
    }

    /// The shape of the tensor for a frame of `width` x `height`.
    pub fn shape(&self, width: u32, height: u32) -> [usize; 3] {
        let Size { width, height } = self.size_of(width, height);
        match self.layout {
            Layout::Chw => [3, height as usize, width as usize],
            Layout::Hwc => [height as usize, width as usize, 3],
        }
    }

    /// Checks the normalisation.
    ///
    /// # Errors
    /// Fails if a `mean` or `std` is not finite, if a `std` is 0, or if either is set for u8; the message
    /// says which.
    pub fn check(&self) -> Result<(), String> {
        let Self { element, mean, std, .. } = self;
        if !std.iter().all(|std| std.is_normal()) || !mean.iter().all(|mean| mean.is_finite()) {
            return Err(format!(
                "a model's input with a mean of {mean:?} and a standard deviation of {std:?}"
            ));
        }
        if *element == Element::U8 && (*mean != [0.0; 3] || *std != [1.0; 3]) {
            return Err("a model's input of u8 with a mean and a standard deviation: floats have them".into());
        }
        Ok(())
    }
}
