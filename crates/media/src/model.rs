//! What a model takes: size, fit, order and type of elements, normalisation.

use std::fmt;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size of `width` x `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

impl From<(u32, u32)> for Size {
    fn from((width, height): (u32, u32)) -> Self {
        Self { width, height }
    }
}

/// As `1280x720`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// How a picture is brought to a size of another shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fit {
    /// All of it, its shape given up.
    Stretch,
    /// All of it, its shape kept, in the middle; the rest has this colour, R'G'B' 0 to 1.
    Letterbox([f32; 3]),
    /// As much of its middle as fills the size.
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
    /// Bytes of one element.
    pub const fn size(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// What a model takes: R'G'B' 0 to 1, less `mean`, divided by `std`.
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
    /// The size in pixels; `None` takes each frame's own.
    pub size: Option<Size>,
    /// How a picture of another shape is fitted.
    pub fit: Fit,
    /// Order of elements.
    pub layout: Layout,
    /// Type of elements. [`Element::U8`] is R'G'B' 0 to 255 and has no `mean` and `std`.
    pub element: Element,
    /// Subtracted from R'G'B' 0 to 1.
    pub mean: [f32; 3],
    /// Divides what is left.
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

    /// The tensor's size for a frame of `width` x `height`.
    pub fn size_of(&self, width: u32, height: u32) -> Size {
        self.size.unwrap_or(Size { width, height })
    }

    /// The tensor's shape for a frame of `width` x `height`.
    pub fn shape(&self, width: u32, height: u32) -> [usize; 3] {
        let Size { width, height } = self.size_of(width, height);
        match self.layout {
            Layout::Chw => [3, height as usize, width as usize],
            Layout::Hwc => [height as usize, width as usize, 3],
        }
    }

    /// Whether the normalisation makes sense; the error says what does not.
    ///
    /// # Errors
    /// A `mean` or `std` that is not finite, a `std` of 0, or either for u8.
    pub fn check(&self) -> Result<(), String> {
        let Self { element, mean, std, .. } = self;
        if !std.iter().all(|std| std.is_normal()) || !mean.iter().all(|mean| mean.is_finite()) {
            return Err(format!("a model's input with a mean of {mean:?} and a standard deviation of {std:?}"));
        }
        if *element == Element::U8 && (*mean != [0.0; 3] || *std != [1.0; 3]) {
            return Err("a model's input of u8 with a mean and a standard deviation: floats have them".into());
        }
        Ok(())
    }
}
