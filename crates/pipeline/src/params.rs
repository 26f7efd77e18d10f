//! The parameters of a stream: those that the framework handles itself, and those for the processor.

use cutrickle_media::Size;
use serde_json::{Map, Value};

use crate::error::Error;

/// Parameters by name, as JSON values.
pub type Params = Map<String, Value>;

/// The smallest and largest output width or height that may be requested, in pixels.
const MIN_SIDE: u32 = 16;
const MAX_SIDE: u32 = 8192;
/// The range of frame rates, in frames per second.
const MIN_FRAMERATE: f64 = 1.0;
const MAX_FRAMERATE: f64 = 60.0;

/// The parameters that the framework handles itself. Parameters that a caller leaves out keep their value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamParams {
    /// `width` and `height`: scale and centre-crop the input to this size in pixels. Rounded down to even
    /// numbers.
    pub size: Option<Size>,
    /// `max_framerate`: the maximum frames per second, 1 to 60. Rounded to the nearest integer: 29.97 is 30.
    pub max_framerate: Option<u32>,
    /// `detect_out_resolution`: take the output's size from the processor's frames instead of `width` and
    /// `height`. The output always has the size of the processor's frames, so both values are accepted and
    /// neither changes anything.
    pub detect_out_resolution: Option<bool>,
    /// `show_loading`: show a "loading" banner in place of the processor's answers. It is drawn by
    /// [`with_overlay`](crate::compose::with_overlay); processors without it show none. Any processor may
    /// read it with [`StreamContext::show_loading`](crate::StreamContext::show_loading).
    pub show_loading: Option<bool>,
}

impl StreamParams {
    /// Removes the framework's own parameters from `params`, and leaves the rest for the processor.
    ///
    /// # Errors
    /// Fails for a value of the wrong type or out of range; the message names it. `params` is then unchanged.
    pub fn take_from(params: &mut Params) -> Result<Self, Error> {
        let size = match (params.get("width"), params.get("height")) {
            (None, None) => None,
            (Some(width), Some(height)) => Some(Size::new(side("width", width)?, side("height", height)?)),
            (width, _) => {
                let (given, missing) =
                    if width.is_some() { ("width", "height") } else { ("height", "width") };
                return Err(Error::invalid(format!("`{given}` without `{missing}`: give both or none")));
            }
        };
        let taken = Self {
            size,
            max_framerate: params.get("max_framerate").map(framerate).transpose()?,
            detect_out_resolution: boolean(params, "detect_out_resolution")?,
            show_loading: boolean(params, "show_loading")?,
        };
        for name in ["width", "height", "max_framerate", "detect_out_resolution", "show_loading"] {
            params.remove(name);
        }
        Ok(taken)
    }

    /// These parameters, with missing ones taken from `earlier`.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            size: self.size.or(earlier.size),
            max_framerate: self.max_framerate.or(earlier.max_framerate),
            detect_out_resolution: self.detect_out_resolution.or(earlier.detect_out_resolution),
            show_loading: self.show_loading.or(earlier.show_loading),
        }
    }
}

/// Reads a number, which may be a string and need not be an integer, because senders write 512.0 for 512.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

fn side(name: &str, value: &Value) -> Result<u32, Error> {
    match number(value) {
        // 4:2:0 chroma has half the size in both directions, and encoders need whole chroma samples.
        Some(n) if (f64::from(MIN_SIDE)..f64::from(MAX_SIDE + 1)).contains(&n) => Ok(n as u32 & !1),
        _ => Err(Error::invalid(format!(
            "`{name}` is {value}: a number from {MIN_SIDE} to {MAX_SIDE} is wanted"
        ))),
    }
}

fn framerate(value: &Value) -> Result<u32, Error> {
    match number(value).map(f64::round) {
        Some(n) if (MIN_FRAMERATE..=MAX_FRAMERATE).contains(&n) => Ok(n as u32),
        _ => Err(Error::invalid(format!(
            "`max_framerate` is {value}: a number from {MIN_FRAMERATE} to {MAX_FRAMERATE} is wanted"
        ))),
    }
}

fn boolean(params: &Params, name: &str) -> Result<Option<bool>, Error> {
    let Some(value) = params.get(name) else { return Ok(None) };
    let known = match value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    };
    known.map(Some).ok_or_else(|| Error::invalid(format!("`{name}` is {value}: true or false is wanted")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn take(value: Value) -> Result<(StreamParams, Params), Error> {
        let Value::Object(mut params) = value else { panic!("an object") };
        StreamParams::take_from(&mut params).map(|taken| (taken, params))
    }

    #[test]
    fn known_names_are_taken_and_the_rest_is_left_for_the_processor() {
        let (taken, rest) = take(json!({"width": "640", "height": 480, "max_framerate": "15",
            "detect_out_resolution": "yes", "show_loading": 0, "prompt": "a cat", "strength": 0.5}))
        .unwrap();
        assert_eq!(taken.size, Some(Size::new(640, 480)));
        assert_eq!(taken.max_framerate, Some(15));
        assert_eq!((taken.detect_out_resolution, taken.show_loading), (Some(true), Some(false)));
        assert_eq!(Value::Object(rest), json!({"prompt": "a cat", "strength": 0.5}));
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (value, named) in [
            (json!({"width": 640}), "height"),
            (json!({"height": 640}), "width"),
            (json!({"width": 0, "height": 480}), "width"),
            (json!({"width": -2, "height": 480}), "width"),
            (json!({"width": 15.9, "height": 480}), "width"),
            (json!({"width": "NaN", "height": 480}), "width"),
            (json!({"width": 8193, "height": 480}), "width"),
            (json!({"width": 640, "height": "tall"}), "height"),
            (json!({"width": 640, "height": null}), "height"),
            (json!({"width": 640, "height": 100_000_000}), "height"),
            (json!({"max_framerate": 0}), "max_framerate"),
            (json!({"max_framerate": 61}), "max_framerate"),
            (json!({"max_framerate": 0.4}), "max_framerate"),
            (json!({"max_framerate": "inf"}), "max_framerate"),
            (json!({"max_framerate": [30]}), "max_framerate"),
            (json!({"show_loading": "maybe"}), "show_loading"),
            (json!({"detect_out_resolution": 2}), "detect_out_resolution"),
        ] {
            let error = take(value).unwrap_err();
            assert!(error.is_invalid() && error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn numbers_may_have_a_fraction_and_sizes_become_even() {
        for (width, height, size) in [
            (json!(512.0), json!("512.0"), (512, 512)),
            (json!(641), json!("361"), (640, 360)),
            (json!(16.9), json!(8192.5), (16, 8192)),
        ] {
            assert_eq!(
                take(json!({"width": width, "height": height})).unwrap().0.size,
                Some(Size::from(size))
            );
        }
        for (given, taken) in [
            (json!(29.97), 30),
            (json!("23.976"), 24),
            (json!(59.94), 60),
            (json!(0.5), 1),
            (json!(15.0), 15),
        ] {
            let params = take(json!({"max_framerate": given})).unwrap().0;
            assert_eq!(params.max_framerate, Some(taken));
        }
    }

    #[test]
    fn what_is_left_out_stays_as_it_was() {
        let earlier =
            StreamParams { size: Some(Size::new(64, 64)), max_framerate: Some(10), ..Default::default() };
        let later = StreamParams { max_framerate: Some(20), ..Default::default() };
        assert_eq!(later.or(earlier).size, Some(Size::new(64, 64)));
        assert_eq!(later.or(earlier).max_framerate, Some(20));
    }
}
