//! The built-in processors by name.

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

/// Calls `$run` with the processor of that name: each is a type of its own.
macro_rules! with_processor {
    ($name:expr, |$processor:ident| $run:expr) => {{
        use $crate::processors::Name;
        match $name {
            Name::Passthrough => {
                let $processor = cutrickle::processors::Passthrough;
                $run
            }
            Name::Grayscale => {
                let $processor = cutrickle::processors::Grayscale;
                $run
            }
            Name::Invert => {
                let $processor = cutrickle::processors::Invert;
                $run
            }
            Name::Tint => {
                let $processor = cutrickle::processors::Tint::default();
                $run
            }
            Name::Mirror => {
                let $processor = cutrickle::processors::Mirror;
                $run
            }
        }
    }};
}
pub(crate) use with_processor;
