//! Processors composed of processors.
//!
//! ```
//! # use cutrickle_pipeline::{Stage, compose::*};
//! # use std::time::Duration;
//! # fn look(detector: impl Stage, upscaler: impl Stage) -> impl Stage {
//! with_overlay(
//!     every(2, detector)
//!         .then(map_tensor(|pixels| pixels.flip(&[1])))
//!         .then(with_timeout(upscaler, Duration::from_millis(30)).named("upscaler")),
//! )
//! # }
//! ```
//!
//! Each combinator is a [`Stage`] and is independent of the others. None of them reads pixels that it does
//! not need, so a frame that no part changed reaches the encoder as it arrived. Each type documents how it
//! handles time, order, audio and parameters.

mod batched;
mod buffered;
mod dynamic;
mod every;
mod from_fn;
mod in_order;
mod map_tensor;
mod model;
mod named;
mod overlay;
mod parallel;
mod parts;
mod remote;
mod switch;
mod then;
mod timeout;

pub use batched::{BatchModel, Batched};
pub use buffered::{Buffered, buffered};
pub use dynamic::DynProcessor;
pub use every::{Every, every};
pub use from_fn::{FromFn, from_fn};
pub use map_tensor::{MapTensor, map_tensor};
pub use model::{WithModel, with_model};
pub use named::Named;
pub use overlay::{Overlay, with_overlay};
pub use parallel::{Parallel, parallel};
pub use parts::Part;
pub(crate) use parts::{Partly, check_names, collect, merge};
pub use switch::{Switch, switch};
pub use then::Then;
pub use timeout::{Timeout, with_timeout};

use serde_json::Value;

use crate::Stage;

/// Composition methods that every processor has.
pub trait Compose: Stage {
    /// Runs this processor, then `next` on what it returns.
    fn then<N: Stage>(self, next: N) -> Then<Self, N> {
        Then::new(self, next)
    }

    /// Names the processor, so that parameters can address it: `{"name": {"strength": 0.5}}`.
    fn named(self, name: impl Into<String>) -> Named<Self> {
        Named::new(self, name.into())
    }

    /// Erases the processor's type, for a choice at run time.
    fn boxed(self) -> DynProcessor {
        DynProcessor::new(self)
    }

    /// The JSON schema of the parameters it accepts, with those of named parts under their names.
    fn params_schema(&self) -> Value {
        parts::schema(&self.parts())
    }
}

impl<S: Stage> Compose for S {}
