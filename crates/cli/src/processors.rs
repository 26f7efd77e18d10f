//! The built-in processors by name.

use cutrickle::compose::{Compose, DynProcessor};
use cutrickle::processors::{Grayscale, Invert, Mirror, Passthrough, Tint};

/// A built-in processor, as `--processor` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Pictures go out as they came.
    Passthrough,
    /// No colour.
    Grayscale,
    /// Every colour its opposite.
    Invert,
    /// Towards a colour: parameters `r`, `g`, `b` (0-255) and `strength` (0-1).
    Tint,
    /// Left and right exchanged.
    Mirror,
}

impl Name {
    /// As it stands on the command line, where parameters find the processor under it as well.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Grayscale => "grayscale",
            Self::Invert => "invert",
            Self::Tint => "tint",
            Self::Mirror => "mirror",
        }
    }

    fn processor(self) -> DynProcessor {
        match self {
            Self::Passthrough => Passthrough.named(self.as_str()).boxed(),
            Self::Grayscale => Grayscale.named(self.as_str()).boxed(),
            Self::Invert => Invert.named(self.as_str()).boxed(),
            Self::Tint => Tint::default().named(self.as_str()).boxed(),
            Self::Mirror => Mirror.named(self.as_str()).boxed(),
        }
    }
}

/// One after another.
pub fn chain(names: &[Name]) -> DynProcessor {
    let mut processors = names.iter().map(|name| name.processor());
    let first = processors.next().unwrap_or_else(|| Name::Passthrough.processor());
    processors.fold(first, |before, next| before.then(next).boxed())
}
